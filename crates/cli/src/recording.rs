//! The folder of a run, read again: as a recording for Prometheus. `export` writes it as a file; `load` hands it to a
//! server.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use pumphandle_experiment::result::RunResult;
use pumphandle_report::recording::{self, Extent, Frames, Unreadable};

use crate::args::{ExportArguments, RecordingArguments};
use crate::{End, calendar, folder, screen};

/// Samples that an export holds in memory: 32 MB.
const HELD: usize = 4_000_000;

/// A run that is to be seen in Prometheus: read once, so that nothing is handed on of a file that ends in a defect.
pub(crate) struct Recording {
    folder: PathBuf,
    /// What it is called there.
    pub(crate) name: String,
    pub(crate) result: RunResult,
    pub(crate) extent: Extent,
}

impl Recording {
    pub(crate) fn open(arguments: &RecordingArguments) -> anyhow::Result<Recording> {
        let folder = arguments.folder.clone();
        let name = match &arguments.name {
            Some(name) => name.clone(),
            None => name_of(&folder)?,
        };
        if let Some(why) = recording::misnamed(&name) {
            bail!("{why}: see --name");
        }
        let file = folder.join("result.json");
        let text = std::fs::read_to_string(&file).with_context(|| {
            format!("{} is no folder that a run left: {}", folder.display(), file.display())
        })?;
        let result = recording::result(&text).with_context(|| folder.display().to_string())?;
        let lines = open(&folder).with_context(|| series_of(&folder))?;
        let extent = Frames::new(&result, lines, &name).and_then(recording::extent);
        let extent = extent.with_context(|| folder.display().to_string())?;
        Ok(Recording { folder, name, result, extent })
    }

    /// Its seconds, from the start.
    pub(crate) fn frames(&self) -> anyhow::Result<Frames<'_, BufReader<File>>> {
        let lines = open(&self.folder).with_context(|| series_of(&self.folder))?;
        Ok(Frames::new(&self.result, lines, &self.name)?)
    }

    /// When it shall have begun, seconds since 1970: as asked, or on a full minute so that all of it is over now.
    ///
    /// # Errors
    ///
    /// If it would end in the future.
    pub(crate) fn start(&self, asked: Option<i64>) -> anyhow::Result<i64> {
        let (now, length) = (calendar::now(), i64::from(self.extent.last));
        let latest = now - length;
        let Some(at) = asked else { return Ok(latest - latest.rem_euclid(60)) };
        if at > latest {
            bail!(
                "--at {}: the run takes {length} s and would end in the future, which no server takes well; \
                 at the latest {}",
                calendar::text(at),
                calendar::text(latest)
            );
        }
        Ok(at)
    }

    /// What is in it, in one line.
    pub(crate) fn about(&self) -> String {
        let RunResult { seeds, arms, windows_s, .. } = &self.result;
        let arms: Vec<&str> = arms.iter().map(|arm| arm.arm.as_str()).collect();
        let arms = if arms.len() > 3 { format!("{} arms", arms.len()) } else { arms.join(", ") };
        let of =
            if seeds.len() > 1 { format!(", the first of {} seeds", seeds.len()) } else { String::new() };
        let stopped = self.extent.interrupted.map(|at| format!(", interrupted after {at} s"));
        let stopped = stopped.unwrap_or_default();
        format!("{arms}; {} s; seed {}{of}{stopped}", windows_s.end, seeds[0])
    }
}

/// The name of the folder, also where it is given as `.`.
fn name_of(folder: &Path) -> anyhow::Result<String> {
    let whole = folder.canonicalize().with_context(|| folder.display().to_string())?;
    let name = whole.file_name().with_context(|| format!("{} is no folder of a run", folder.display()))?;
    Ok(name.to_string_lossy().into_owned())
}

fn open(folder: &Path) -> std::io::Result<BufReader<File>> {
    Ok(BufReader::with_capacity(1 << 18, File::open(folder.join("series.ndjson"))?))
}

fn series_of(folder: &Path) -> String {
    format!("{} holds no series of a run: {}", folder.display(), folder.join("series.ndjson").display())
}

/// `pumphandle export`.
pub(crate) fn export(arguments: &ExportArguments) -> anyhow::Result<End> {
    let run = Recording::open(&arguments.recording)?;
    let start = run.start(arguments.recording.at)?;
    let file = &arguments.openmetrics;
    let samples = if file == Path::new("-") {
        write(&run, start, &mut BufWriter::with_capacity(1 << 18, std::io::stdout().lock()))
    } else {
        to_file(&run, start, file)
    };
    let samples = match samples {
        // Whoever reads has seen enough.
        Err(Unreadable::Io(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(End::Held),
        other => other.with_context(|| format!("{} could not be written", file.display()))?,
    };
    screen::note(&format!("{}: {}", run.name, run.about()));
    screen::note(&format!(
        "{samples} samples from {} on; then, for each data folder of a Prometheus:",
        calendar::text(start)
    ));
    screen::note(&format!("  promtool tsdb create-blocks-from openmetrics {} DATA", file.display()));
    Ok(End::Held)
}

fn write(run: &Recording, start: i64, out: &mut impl Write) -> Result<u64, Unreadable> {
    let lines = || open(&run.folder);
    let samples = recording::openmetrics(&run.result, &run.name, start, HELD, lines, out)?;
    out.flush().map_err(Unreadable::Io)?;
    Ok(samples)
}

/// Beside its place first: a half file would be taken for a whole one up to its end.
fn to_file(run: &Recording, start: i64, file: &Path) -> Result<u64, Unreadable> {
    let draft =
        folder::draft(file).map_err(|why| Unreadable::Io(std::io::Error::other(format!("{why:#}"))))?;
    let written = File::create(&draft).map_err(Unreadable::Io).and_then(|out| {
        let mut out = BufWriter::with_capacity(1 << 18, out);
        write(run, start, &mut out)
    });
    let placed =
        written.and_then(|samples| std::fs::rename(&draft, file).map(|()| samples).map_err(Unreadable::Io));
    if placed.is_err() {
        let _ = std::fs::remove_file(&draft);
    }
    placed
}
