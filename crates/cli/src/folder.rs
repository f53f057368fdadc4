//! What is left on disk: the folder of a run, and single files. Written beside its final name and renamed when it
//! is whole: a full disk or a killed process leaves no half result under that name, and not less than was there
//! before. What cannot be written where it should go is written to the system's folder for temporary files.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use pumphandle_core::draws::name_key;
use pumphandle_experiment::measure::Measured;
use pumphandle_experiment::record;
use pumphandle_experiment::result::Story;

use crate::screen::NotKept;

/// The folder for this run: what was asked for, or one below `runs` whose name follows from what is run.
pub(crate) fn choose(asked: Option<&Path>, scenario: &str, again: &str) -> PathBuf {
    match asked {
        Some(folder) => folder.to_owned(),
        None => Path::new("runs").join(format!("{scenario}-{:04x}", name_key(again) as u16)),
    }
}

/// Where results were left.
pub(crate) struct Left {
    /// The folder; none if they could not be written anywhere.
    pub(crate) at: Option<PathBuf>,
    /// Why they are not where they should be.
    wrong: Option<anyhow::Error>,
}

impl Left {
    /// There was nothing to write.
    pub(crate) fn nothing() -> Left {
        Left { at: None, wrong: None }
    }

    /// After the results were shown, or could not be.
    ///
    /// # Errors
    ///
    /// [`NotKept`], if they are not where they should be, with where they are.
    pub(crate) fn after(self, shown: anyhow::Result<()>) -> anyhow::Result<()> {
        let Some(wrong) = self.wrong else {
            return match self.at {
                Some(at) => shown.with_context(|| format!("what was measured is in {}", at.display())),
                None => shown,
            };
        };
        let now = match self.at {
            Some(elsewhere) => format!("what was measured is in {}", elsewhere.display()),
            None if shown.is_ok() => "what was measured was shown, and is nowhere else".to_owned(),
            None => "what was measured is lost".to_owned(),
        };
        Err(wrong.context(NotKept(now)))
    }
}

/// Refuses, before anything is measured, a folder that would not be overwritten afterwards.
///
/// # Errors
///
/// A sentence.
pub(crate) fn usable(asked: Option<&Path>) -> anyhow::Result<()> {
    match asked {
        Some(folder) => may_be_replaced(folder)
            .with_context(|| format!("the folder for the results, {}", folder.display())),
        None => Ok(()),
    }
}

/// Writes everything of a run and puts it in place.
pub(crate) fn write(folder: &Path, story: &Story, measured: &Measured) -> Left {
    leave(folder, |draft| fill(draft, story, measured))
}

/// Writes what `fill` puts into a folder, and puts the folder in place once it is whole; if that cannot be, into
/// a new folder among the system's temporary files.
pub(crate) fn leave(folder: &Path, fill: impl Fn(&Path) -> anyhow::Result<()>) -> Left {
    let wrong = match leave_at(folder, &fill) {
        Ok(()) => return Left { at: Some(folder.to_owned()), wrong: None },
        Err(wrong) => wrong.context(format!("the results could not be written to {}", folder.display())),
    };
    let own = std::env::temp_dir().join(format!("pumphandle-{}", std::process::id()));
    // A folder that was there is somebody else's, who may be waiting for what is put into it.
    let elsewhere = private(&own)
        .map_err(anyhow::Error::from)
        .and_then(|()| Ok(own.join(folder.file_name().context("it has no name")?)))
        .and_then(|elsewhere| leave_at(&elsewhere, &fill).map(|()| elsewhere));
    match elsewhere {
        Ok(elsewhere) => Left { at: Some(elsewhere), wrong: Some(wrong) },
        Err(too) => {
            // It is empty, or somebody else's and stays.
            let _ = fs::remove_dir(&own);
            let wrong = anyhow::anyhow!("{wrong:#}; nor to {}: {too:#}", own.display());
            Left { at: None, wrong: Some(wrong) }
        }
    }
}

/// A new folder that only its owner can look into.
fn private(folder: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

fn leave_at(folder: &Path, fill: impl Fn(&Path) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let parent = parent(folder);
    fs::create_dir_all(parent).with_context(|| format!("cannot make the folder {}", parent.display()))?;
    let draft = draft(folder)?;
    mend(folder)?;
    let made = fs::create_dir_all(&draft).map_err(anyhow::Error::from);
    let written = made.and_then(|()| fill(&draft)).and_then(|()| put_in_place(&draft, folder));
    if written.is_err() {
        // The first error is the one to tell; what cannot be removed either stays hidden by its dot.
        let _ = fs::remove_dir_all(&draft);
    }
    written
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Where something is written before it gets its name: beside it, hidden by a dot.
pub(crate) fn draft(path: &Path) -> anyhow::Result<PathBuf> {
    let name = path.file_name().context("it has no name")?.to_string_lossy();
    Ok(parent(path).join(format!(".{name}.{}", std::process::id())))
}

fn fill(draft: &Path, story: &Story, measured: &Measured) -> anyhow::Result<()> {
    fs::create_dir_all(draft.join("events"))?;
    save(
        &draft.join("result.json"),
        format!("{}\n", serde_json::to_string_pretty(&story.result)?).as_bytes(),
    )?;
    save(
        &draft.join("machine.json"),
        format!("{}\n", serde_json::to_string_pretty(&story.machine)?).as_bytes(),
    )?;
    save(&draft.join("report.html"), pumphandle_report::html(story).as_bytes())?;
    series(&draft.join("series.ndjson"), measured)?;
    for arm in &measured.arms {
        if let (Some(bytes), Some(seed)) = (&arm.kept, measured.seeds.first()) {
            save(&draft.join("events").join(format!("{}.seed-{seed}.events", arm.plan.name)), bytes)?;
        }
    }
    Ok(())
}

pub(crate) fn save(file: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut out = fs::File::create(file)?;
    out.write_all(bytes)?;
    // A disk that is full may say so only now.
    Ok(out.sync_all()?)
}

fn may_be_replaced(folder: &Path) -> anyhow::Result<()> {
    if folder.exists() {
        anyhow::ensure!(folder.is_dir(), "it is a file: not overwritten");
        let is_a_run = folder.join("result.json").exists() || fs::read_dir(folder)?.next().is_none();
        anyhow::ensure!(is_a_run, "it exists and is no run's folder: not overwritten");
    }
    Ok(())
}

/// What the folder of an earlier run is called while another one takes its place.
const OLD: &str = ".old";

fn put_in_place(draft: &Path, folder: &Path) -> anyhow::Result<()> {
    may_be_replaced(folder)?;
    if folder.exists() {
        let mut old = draft.as_os_str().to_owned();
        old.push(OLD);
        // A process that ends between these two leaves the old results and the new ones, both whole, both under
        // other names. See `mend`.
        fs::rename(folder, &old)?;
        fs::rename(draft, folder)?;
        fs::remove_dir_all(&old)?;
    } else {
        fs::rename(draft, folder)?;
    }
    settle(parent(folder));
    Ok(())
}

/// Makes a rename last over a loss of power. Not everywhere can a folder be opened for that: then it lasts as the
/// system lets it.
fn settle(folder: &Path) {
    if let Ok(folder) = fs::File::open(folder) {
        let _ = folder.sync_all();
    }
}

/// Completes what a process that was killed between its two renames has begun: the new results get the name, and
/// the old ones go. Killed before it, or after it, it has left the old or the new ones in place.
fn mend(folder: &Path) -> anyhow::Result<()> {
    let name = folder.file_name().context("it has no name")?.to_string_lossy().into_owned();
    for entry in fs::read_dir(parent(folder))? {
        let path = entry?.path();
        let found = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let process = found.strip_prefix(&format!(".{name}.")).and_then(|rest| rest.strip_suffix(OLD));
        let Some(process) = process.filter(|it| !it.is_empty() && it.bytes().all(|c| c.is_ascii_digit()))
        else {
            continue;
        };
        let draft = parent(folder).join(format!(".{name}.{process}"));
        if !folder.exists() {
            fs::rename(if draft.exists() { &draft } else { &path }, folder)?;
        }
        if path.exists() {
            fs::remove_dir_all(&path)?;
        }
    }
    Ok(())
}

/// Writes a file that is whole, or not there, or what it was before. What is no file, such as /dev/stdout, is
/// written to as it is; so is a file whose folder takes no other, such as one that was lent to a container.
pub(crate) fn file(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let what = || format!("cannot write {}", path.display());
    let before = fs::metadata(path).ok();
    if before.as_ref().is_some_and(|it| !it.is_file()) {
        return fs::write(path, bytes).with_context(what);
    }
    // Through a link, which is to stay one.
    let path = &if before.is_some() { path.canonicalize().with_context(what)? } else { path.to_owned() };
    let draft = draft(path)?;
    let written = save(&draft, bytes).and_then(|()| {
        if let Some(before) = &before {
            fs::set_permissions(&draft, before.permissions())?;
        }
        Ok(fs::rename(&draft, path)?)
    });
    if let Err(error) = written {
        // The first error is the one to tell.
        let _ = fs::remove_file(&draft);
        let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        let folder_is_closed =
            [ErrorKind::PermissionDenied, ErrorKind::ResourceBusy, ErrorKind::ReadOnlyFilesystem];
        if before.is_some() && kind.is_some_and(|kind| folder_is_closed.contains(&kind)) {
            return fs::write(path, bytes).with_context(what);
        }
        return Err(error).with_context(what);
    }
    settle(parent(path));
    Ok(())
}

/// A row per second, arm and service of the first seed.
fn series(file: &Path, measured: &Measured) -> anyhow::Result<()> {
    let mut out = std::io::BufWriter::new(fs::File::create(file)?);
    record::write(measured, &mut out)?;
    let out = out.into_inner().map_err(std::io::IntoInnerError::into_error)?;
    Ok(out.sync_all()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with a run in it.
    fn a_run(folder: &Path, says: &str) {
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join("result.json"), says).unwrap();
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn says(folder: &Path) -> String {
        fs::read_to_string(folder.join("result.json")).unwrap()
    }

    #[test]
    fn a_process_that_ended_between_the_two_renames_has_lost_neither_the_old_results_nor_the_new() {
        let root = tempfile::tempdir().unwrap();
        let (folder, new) = (root.path().join("out"), root.path().join(".out.77"));
        let old = root.path().join(".out.77.old");
        // Between the renames: both are there, whole. The next run to this name completes it, then its own.
        a_run(&old, "old");
        a_run(&new, "new");
        mend(&folder).unwrap();
        assert_eq!((says(&folder), names(root.path())), ("new".to_owned(), vec!["out".to_owned()]));
        // After the second rename, before the old one is gone.
        a_run(&old, "old");
        mend(&folder).unwrap();
        assert_eq!((says(&folder), names(root.path())), ("new".to_owned(), vec!["out".to_owned()]));
        // Somebody has taken the new one away: the old one comes back.
        fs::remove_dir_all(&folder).unwrap();
        a_run(&old, "old");
        mend(&folder).unwrap();
        assert_eq!((says(&folder), names(root.path())), ("old".to_owned(), vec!["out".to_owned()]));
        // Names that only look like it, and drafts of runs that may be under way, are left alone.
        for other in [".out.x.old", ".out.old", ".outer.7.old", ".out.9"] {
            a_run(&root.path().join(other), "other");
        }
        mend(&folder).unwrap();
        assert_eq!(names(root.path()), [".out.9", ".out.old", ".out.x.old", ".outer.7.old", "out"]);
    }

    #[test]
    fn a_draft_that_cannot_be_filled_leaves_what_was_there_and_goes_elsewhere() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("out");
        a_run(&folder, "old");
        let left = leave(&folder, |draft| {
            fs::write(draft.join("result.json"), "half")?;
            anyhow::ensure!(!draft.starts_with(root.path()), "the disk is full");
            Ok(fs::write(draft.join("result.json"), "whole")?)
        });
        assert_eq!((says(&folder), names(root.path())), ("old".to_owned(), vec!["out".to_owned()]));
        let elsewhere = left.at.clone().unwrap();
        assert_eq!(says(&elsewhere), "whole");
        let told = format!("{:#}", left.after(Ok(())).unwrap_err());
        assert!(told.contains("the disk is full") && told.contains(elsewhere.to_str().unwrap()), "{told}");
        fs::remove_dir_all(elsewhere.parent().unwrap()).unwrap();
    }

    #[test]
    fn a_file_is_replaced_whole_and_what_is_no_file_is_written_to() {
        let root = tempfile::tempdir().unwrap();
        let (target, link) = (root.path().join("a.xml"), root.path().join("link.xml"));
        file(&target, b"one").unwrap();
        file(&target, b"two").unwrap();
        assert_eq!(
            (fs::read(&target).unwrap(), names(root.path())),
            (b"two".to_vec(), vec!["a.xml".to_owned()])
        );
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(&target, &link).unwrap();
            file(&link, b"three").unwrap();
            assert!(link.is_symlink() && fs::read(&target).unwrap() == b"three");
            file(Path::new("/dev/null"), b"nothing").unwrap();
            assert!(!fs::metadata("/dev/null").unwrap().is_file());
        }
        let nowhere = file(&root.path().join("no/such/a.xml"), b"x").unwrap_err();
        assert!(format!("{nowhere:#}").contains("no/such/a.xml"));
    }
}
