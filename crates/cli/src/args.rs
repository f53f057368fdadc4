//! What can be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use pumphandle_core::Dur;

/// Reproduces production incidents, pulls one lever at a time beside an identical control, and reports what
/// each fix was really worth.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run an incident: the control, and levers beside it.
    Run(RunArguments),
    /// Measure every claim again: for CI.
    Check(CheckArguments),
    /// Map how an incident ends over two settings: stable, vulnerable, metastable.
    Sweep(SweepArguments),
    /// Search along one setting for the value at which the end changes.
    Threshold(ThresholdArguments),
    /// Vary every free number by a quarter, and tell which verdicts flip.
    Sensitivity(SensitivityArguments),
    /// The incidents that are built in, and their levers.
    List(ListArguments),
    /// Print a scenario file.
    Show {
        /// A name of `pumphandle list`, or a path.
        scenario: String,
    },
    /// Print the JSON Schema of scenario files.
    Schema,
    /// Print an event log of a run.
    Events(EventsArguments),
    /// Hold the rig itself to known laws of queues, retries and bookkeeping.
    Laws(LawsArguments),
    /// Look at this machine: what can be measured on it.
    Doctor,
}

#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// A name of `pumphandle list`, or a path.
    pub(crate) scenario: String,
    /// A lever to pull beside the control; may be repeated. `NAME@start`: in place from the start.
    #[arg(long, value_name = "NAME", conflicts_with = "all")]
    pub(crate) lever: Vec<String>,
    /// Every lever, pulled and standing.
    #[arg(long)]
    pub(crate) all: bool,
    /// The first seed.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,
    /// How many seeds, counted up from the first. Default: 6, or 1 in real time.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub(crate) seeds: Option<u64>,
    /// Which clock to run on.
    #[arg(long, value_enum, default_value_t = Clock::Virtual)]
    pub(crate) clock: Clock,
    /// How long users arrive, instead of what the file says.
    #[arg(long, value_name = "D", value_parser = Dur::parse)]
    pub(crate) duration: Option<Dur>,
    /// When levers are pulled, instead of what the file says.
    #[arg(long, value_name = "D", value_parser = Dur::parse)]
    pub(crate) pull: Option<Dur>,
    /// Change any value of the scenario: db.workers=20, load.arrivals.poisson=80/s.
    #[arg(long, value_name = "PATH=VALUE")]
    pub(crate) set: Vec<String>,
    /// Print the result as one JSON document, and nothing else.
    #[arg(long)]
    pub(crate) json: bool,
    /// Keep the first seed's event log of every arm. Default: of the control and the first lever, unless the
    /// run is long.
    #[arg(long)]
    pub(crate) events: bool,
    /// Where to put the results. Default: a folder below `runs`.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Runs at a time. Default: one per processor.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) jobs: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Clock {
    /// Deterministic virtual time, in memory.
    Virtual,
    /// Real time, over TCP on this machine.
    Real,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    /// Names of `pumphandle list`, or paths. Default: all that are built in.
    pub(crate) scenarios: Vec<String>,
    /// Look once, at this many seeds. Default: at 20, and at 40, 80 and 160 while a claim is undecided.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(2..=100_000))]
    pub(crate) seeds: Option<u64>,
    /// The first seed.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,
    /// Show that every claim can fail: without its lever, or with one that works where none should.
    #[arg(long)]
    pub(crate) prove: bool,
    /// Only claims whose sentence contains this.
    #[arg(long, value_name = "TEXT")]
    pub(crate) filter: Option<String>,
    /// Write the claims as JUnit XML.
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    /// Write a Markdown summary.
    #[arg(long, value_name = "FILE")]
    pub(crate) summary: Option<PathBuf>,
    /// Print the results as one JSON document, and nothing else.
    #[arg(long)]
    pub(crate) json: bool,
    /// Say what has changed since an earlier `check --json`.
    #[arg(long, value_name = "FILE")]
    pub(crate) baseline: Option<PathBuf>,
    /// Runs at a time. Default: one per processor.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) jobs: Option<u16>,
}

/// What `sweep` and `threshold` have in common.
#[derive(Debug, Args)]
pub(crate) struct PointArguments {
    /// Measure with this lever instead of the control. `NAME@start`: in place from the start.
    #[arg(long, value_name = "NAME")]
    pub(crate) lever: Option<String>,
    /// The most seeds of a point: all that agree at six are not asked again.
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u64).range(6..=1000))]
    pub(crate) seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,
    /// Change any value of the scenario beforehand: client.retry.attempts=2.
    #[arg(long, value_name = "PATH=VALUE")]
    pub(crate) set: Vec<String>,
    /// Print the result as one JSON document, and nothing else.
    #[arg(long)]
    pub(crate) json: bool,
    /// Where to put the results. Default: a folder below `runs`.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Runs at a time. Default: one per processor.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) jobs: Option<u16>,
}

#[derive(Debug, Args)]
pub(crate) struct SweepArguments {
    /// A name of `pumphandle list`, or a path.
    pub(crate) scenario: String,
    /// The horizontal axis: load.arrivals.poisson=50/s..200/s. With `:log` behind it, equal factors. A value
    /// of a lever: levers.NAME.set.client.attempt_timeout=1s..5s.
    #[arg(long, value_name = "PATH=A..B")]
    pub(crate) x: String,
    /// The vertical axis, written like the horizontal one.
    #[arg(long, value_name = "PATH=A..B")]
    pub(crate) y: String,
    /// Steps on each axis; whole numbers have no more steps than lie between their ends.
    #[arg(long, default_value_t = 32, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) steps: u16,
    /// What counts as a longer trigger: vulnerable is what such a one tips. Default: the map's longest where
    /// an axis is the length of a trigger, else ten times the scenario's.
    #[arg(long, value_name = "D", value_parser = Dur::parse)]
    pub(crate) longest: Option<Dur>,
    #[command(flatten)]
    pub(crate) point: PointArguments,
}

#[derive(Debug, Args)]
pub(crate) struct ThresholdArguments {
    /// A name of `pumphandle list`, or a path.
    pub(crate) scenario: String,
    /// The setting and where to search: timeline.slow-queries.for=1s..30s. A value of a lever:
    /// levers.NAME.set.client.attempt_timeout=1s..5s.
    #[arg(long, value_name = "PATH=A..B")]
    pub(crate) x: String,
    /// How precisely, written like a value of the setting.
    #[arg(long, value_name = "STEP")]
    pub(crate) to: String,
    #[command(flatten)]
    pub(crate) point: PointArguments,
}

#[derive(Debug, Args)]
pub(crate) struct SensitivityArguments {
    /// A name of `pumphandle list`, or a path.
    pub(crate) scenario: String,
    /// Every number, not only those whose reason is "free choice".
    #[arg(long)]
    pub(crate) all: bool,
    /// How many seeds; fewer than six decide nothing.
    #[arg(long, default_value_t = 6, value_name = "N", value_parser = clap::value_parser!(u64).range(6..=1000))]
    pub(crate) seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,
    /// Print the result as one JSON document, and nothing else.
    #[arg(long)]
    pub(crate) json: bool,
    /// As the page docs/sensitivity/NAME.md.
    #[arg(long, conflicts_with = "json")]
    pub(crate) markdown: bool,
    /// Runs at a time. Default: one per processor.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) jobs: Option<u16>,
}

#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    /// As one JSON document.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LawsArguments {
    /// As one JSON document.
    #[arg(long)]
    pub(crate) json: bool,
    /// As the page docs/validation.md, with what else is known about the rig's own results.
    #[arg(long, conflicts_with = "json")]
    pub(crate) markdown: bool,
    /// Runs at a time. Default: one per processor.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) jobs: Option<u16>,
}

#[derive(Debug, Args)]
pub(crate) struct EventsArguments {
    /// A file of a run's `events` folder.
    pub(crate) file: PathBuf,
    /// Skip what happened before.
    #[arg(long, value_name = "D", value_parser = Dur::parse)]
    pub(crate) from: Option<Dur>,
    /// Skip what happened after.
    #[arg(long, value_name = "D", value_parser = Dur::parse)]
    pub(crate) to: Option<Dur>,
    /// Only what happened to this arrival.
    #[arg(long, value_name = "N")]
    pub(crate) arrival: Option<u64>,
}

/// How many runs at a time.
pub(crate) fn threads(jobs: Option<u16>) -> usize {
    jobs.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from)
}
