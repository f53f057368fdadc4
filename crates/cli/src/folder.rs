//! The folder that a run leaves. Written beside its final name and renamed when it is whole: a full disk or a
//! killed process leaves no half result.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use pumphandle_core::draws::name_key;
use pumphandle_experiment::measure::Measured;
use pumphandle_experiment::record;
use pumphandle_experiment::result::Story;

/// The folder for this run: what was asked for, or one below `runs` whose name follows from what is run.
pub(crate) fn choose(asked: Option<&Path>, scenario: &str, again: &str) -> PathBuf {
    match asked {
        Some(folder) => folder.to_owned(),
        None => Path::new("runs").join(format!("{scenario}-{:04x}", name_key(again) as u16)),
    }
}

/// Writes everything of a run and puts it in place.
pub(crate) fn write(folder: &Path, story: &Story, measured: &Measured) -> anyhow::Result<()> {
    leave(folder, |draft| fill(draft, story, measured))
}

/// Writes what `fill` puts into a folder, and puts the folder in place once it is whole.
pub(crate) fn leave(folder: &Path, fill: impl FnOnce(&Path) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).with_context(|| format!("cannot make the folder {}", parent.display()))?;
    let name = folder.file_name().context("the folder for the results has no name")?.to_string_lossy();
    let draft = parent.join(format!(".{name}.{}", std::process::id()));
    let made = fs::create_dir_all(&draft).map_err(anyhow::Error::from);
    let written = made.and_then(|()| fill(&draft)).and_then(|()| put_in_place(&draft, folder));
    if written.is_err() {
        // The first error is the one to tell; what cannot be removed either stays hidden by its dot.
        let _ = fs::remove_dir_all(&draft);
    }
    written.with_context(|| format!("the results could not be written to {}", folder.display()))
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

/// A hidden file beside `file`, to be renamed to it once it is whole.
pub(crate) fn beside(file: &Path) -> PathBuf {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    file.with_file_name(format!(".{name}.{}", std::process::id()))
}

pub(crate) fn save(file: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut out = fs::File::create(file)?;
    out.write_all(bytes)?;
    // A disk that is full may say so only now.
    Ok(out.sync_all()?)
}

fn put_in_place(draft: &Path, folder: &Path) -> anyhow::Result<()> {
    if folder.exists() {
        let is_a_run = folder.join("result.json").exists() || fs::read_dir(folder)?.next().is_none();
        anyhow::ensure!(is_a_run, "it exists and is no run's folder: not overwritten");
        let old = draft.with_extension("old");
        fs::rename(folder, &old)?;
        fs::rename(draft, folder)?;
        fs::remove_dir_all(old)?;
        return Ok(());
    }
    Ok(fs::rename(draft, folder)?)
}

/// A row per second, arm and service of the first seed.
fn series(file: &Path, measured: &Measured) -> anyhow::Result<()> {
    let mut out = std::io::BufWriter::new(fs::File::create(file)?);
    record::write(measured, &mut out)?;
    let out = out.into_inner().map_err(std::io::IntoInnerError::into_error)?;
    Ok(out.sync_all()?)
}
