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
    /// Run one service of a scenario as a process of its own, or the runner of its experiment.
    Serve(Box<ServeCommand>),
    /// Start a trigger in a running stack.
    Trigger(TriggerArguments),
    /// End a trigger in a running stack, or all of them.
    Calm(CalmArguments),
    /// Pull a lever in a running stack.
    Pull(LeverArguments),
    /// Put back what a lever has changed.
    Unpull(LeverArguments),
    /// Change settings of a running stack.
    Set(SetArguments),
    /// A running stack back to what its scenario says, with nothing inside.
    Reset(ResetArguments),
    /// What runs in a stack, and how it differs from its scenario.
    State(StackArguments),
    /// Ask an admin port whether its service is up: for health checks of containers.
    Healthcheck {
        /// The address of the admin port.
        #[arg(default_value = "http://127.0.0.1:9100")]
        url: String,
    },
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
        /// A name of `pumphandle list`, a preset, or a path.
        scenario: String,
    },
    /// Print the JSON Schema of scenario files.
    Schema,
    /// Measure things side by side on the incidents.
    #[command(subcommand)]
    Compare(Compare),
    /// Put a run into a running Prometheus, so that dashboards show it as if it had happened.
    Load(LoadArguments),
    /// Write a run as a file that Prometheus' own tools read.
    Export(ExportArguments),
    /// Write Grafana's dashboards, or check that they are current.
    Dashboards(DashboardsArguments),
    /// Print an event log of a run.
    Events(EventsArguments),
    /// Every lever of every incident by Meadows' level: what was claimed, and what was measured. Levers that the seeds
    /// leave undecided are measured with 20.
    Ladder(ManyArguments),
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
    /// Put published defaults on a service's calls, pulled and standing: client=envoy; may be repeated.
    #[arg(long, value_name = "SERVICE=NAME")]
    pub(crate) preset: Vec<String>,
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
    /// Run against services that are running: NAME=URL, as control=http://control-{service}:9100, or with the
    /// URLs of all admin ports, separated by commas. Once for the control, and once for every lever.
    #[arg(long, value_name = "NAME=URL", conflicts_with = "clock")]
    pub(crate) stack: Vec<String>,
    #[command(flatten)]
    pub(crate) token: TokenArguments,
    /// Measure the causal loops of the control by twins with a few more users. Default: where it makes the run
    /// less than 10 % longer, as with --all.
    #[arg(long)]
    pub(crate) loops: bool,
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

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct ServeCommand {
    #[command(subcommand)]
    pub(crate) runner: Option<ServeRunner>,
    #[command(flatten)]
    pub(crate) service: ServeArguments,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ServeRunner {
    /// The experiment against running stacks, as often as it is asked for, with a page, metrics, and hands.
    Runner(RunnerArguments),
}

#[derive(Debug, Args)]
pub(crate) struct RunnerArguments {
    /// A name of `pumphandle list`, or a path. The same as that of the stacks.
    #[arg(long, value_name = "SCENARIO", env = "PUMPHANDLE_SCENARIO")]
    pub(crate) scenario: String,
    /// A stack, NAME=URL, as control=http://control-{service}:9100, or with the URLs of all admin ports, separated
    /// by commas. The control, and one more if a lever is to be pulled.
    #[arg(long, value_name = "NAME=URL", required = true)]
    pub(crate) stack: Vec<String>,
    /// The lever to pull on the other stack, or NAME@start. With --wait it can be named later.
    #[arg(long, value_name = "NAME", env = "PUMPHANDLE_LEVER")]
    pub(crate) lever: Option<String>,
    /// Where the page, /metrics, /healthz and the hands are. Other than loopback it needs a token.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9100")]
    pub(crate) admin: std::net::SocketAddr,
    /// Begin when somebody asks for it, by POST /start or on the page, and not at once.
    #[arg(long)]
    pub(crate) wait: bool,
    /// When a run is over, go on with the next seed.
    #[arg(long = "loop")]
    pub(crate) again: bool,
    /// How long to rest between two runs.
    #[arg(long, value_name = "D", value_parser = Dur::parse, default_value = "10s")]
    pub(crate) pause: Dur,
    /// How long users arrive, instead of what the file says.
    #[arg(long, value_name = "D", value_parser = Dur::parse)]
    pub(crate) duration: Option<Dur>,
    /// When levers are pulled, instead of what the file says.
    #[arg(long, value_name = "D", value_parser = Dur::parse)]
    pub(crate) pull: Option<Dur>,
    /// Change any value of the scenario: load.arrivals.poisson=80/s. Settings of services: as the stacks have them.
    #[arg(long, value_name = "PATH=VALUE")]
    pub(crate) set: Vec<String>,
    /// The first seed.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,
    /// Keep the results of the last 20 runs in this folder, and those of all seeds together in `together`.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// A link on the page, NAME=URL, such as Grafana=http://localhost:3000; may be repeated.
    #[arg(long, value_name = "NAME=URL")]
    pub(crate) link: Vec<String>,
    /// A further name by which the port may be reached; may be repeated.
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Vec<String>,
    #[command(flatten)]
    pub(crate) token: TokenArguments,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    /// Which service of the scenario: its name, or its place in the file, counted from 1. A place that the
    /// scenario does not fill stays empty.
    #[arg(required = true)]
    pub(crate) service: Option<String>,
    /// A name of `pumphandle list`, or a path. The same for every service of a stack.
    #[arg(long, value_name = "SCENARIO", env = "PUMPHANDLE_SCENARIO", required = true)]
    pub(crate) scenario: Option<String>,
    /// The name of the stack, as metrics show it: control, treatment.
    #[arg(long, value_name = "NAME", default_value = "control")]
    pub(crate) stack: String,
    /// The seed of its draws. The same for every service of a twin; a run may give another.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,
    /// Where a called service is found, SERVICE=HOST:PORT; may be repeated. Or a rule for all of them with
    /// {service} or {place} in it. Default: {service}:7000.
    #[arg(long, value_name = "WHERE")]
    pub(crate) at: Vec<String>,
    /// Where calls are taken. Whoever reaches it can cause load: keep it on the stack's own network.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7000")]
    pub(crate) data: std::net::SocketAddr,
    /// Where /metrics, /healthz and the control API are. Other than loopback it needs a token.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9100")]
    pub(crate) admin: std::net::SocketAddr,
    /// A further name by which the admin port may be reached; may be repeated.
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Vec<String>,
    /// Change any value of the scenario: db.workers=20. The same for every service of a stack.
    #[arg(long, value_name = "PATH=VALUE")]
    pub(crate) set: Vec<String>,
    #[command(flatten)]
    pub(crate) token: TokenArguments,
}

#[derive(Debug, Args)]
pub(crate) struct TokenArguments {
    /// A file with the token that changes need. Default: the environment variable PUMPHANDLE_TOKEN.
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct StackArguments {
    /// The admin ports of the stack: http://control-{service}:9100 ({place} counts them from 1), or all of them,
    /// separated by commas.
    #[arg(long, value_name = "URL")]
    pub(crate) stack: String,
    /// What the stack runs: a name of `pumphandle list`, or a path. Only needed where URLs are a rule;
    /// otherwise the stack says it.
    #[arg(long, value_name = "SCENARIO", env = "PUMPHANDLE_SCENARIO")]
    pub(crate) scenario: Option<String>,
    #[command(flatten)]
    pub(crate) token: TokenArguments,
}

#[derive(Debug, Args)]
pub(crate) struct TriggerArguments {
    /// A trigger of the scenario.
    pub(crate) trigger: String,
    /// How long it lasts, instead of what the file says.
    #[arg(long = "for", value_name = "D", value_parser = Dur::parse)]
    pub(crate) lasts: Option<Dur>,
    #[command(flatten)]
    pub(crate) stack: StackArguments,
}

#[derive(Debug, Args)]
pub(crate) struct CalmArguments {
    /// The trigger. Default: all that act.
    pub(crate) trigger: Option<String>,
    #[command(flatten)]
    pub(crate) stack: StackArguments,
}

#[derive(Debug, Args)]
pub(crate) struct LeverArguments {
    /// A lever of the scenario.
    pub(crate) lever: String,
    #[command(flatten)]
    pub(crate) stack: StackArguments,
}

#[derive(Debug, Args)]
pub(crate) struct SetArguments {
    /// What to change: api.workers=20, or api.workers=null for what the scenario says. All at once per service.
    #[arg(value_name = "PATH=VALUE", required = true)]
    pub(crate) set: Vec<String>,
    #[command(flatten)]
    pub(crate) stack: StackArguments,
}

#[derive(Debug, Args)]
pub(crate) struct ResetArguments {
    /// Go on with the draws of this seed.
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    #[command(flatten)]
    pub(crate) stack: StackArguments,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Compare {
    /// Published defaults of libraries, each standing on the calls of the incident's client.
    Presets(PresetsArguments),
}

/// Whole incidents in virtual time, and how what was measured is shown.
#[derive(Debug, Args)]
pub(crate) struct ManyArguments {
    /// Names of `pumphandle list`, or paths. Default: all that are built in.
    pub(crate) scenarios: Vec<String>,
    /// The first seed.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,
    /// How many seeds, counted up from the first.
    #[arg(long, default_value_t = 6, value_name = "N", value_parser = clap::value_parser!(u64).range(6..=100_000))]
    pub(crate) seeds: u64,
    /// As one JSON document.
    #[arg(long)]
    pub(crate) json: bool,
    /// As the page of docs that is made by this command.
    #[arg(long, conflicts_with = "json")]
    pub(crate) markdown: bool,
    /// Runs at a time. Default: one per processor.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) jobs: Option<u16>,
}

#[derive(Debug, Args)]
pub(crate) struct PresetsArguments {
    #[command(flatten)]
    pub(crate) many: ManyArguments,
    /// Only these; may be repeated. Default: all.
    #[arg(long, value_name = "NAME")]
    pub(crate) preset: Vec<String>,
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
pub(crate) struct RecordingArguments {
    /// The folder of a run, as `run` leaves it below `runs`.
    #[arg(value_name = "RUN")]
    pub(crate) folder: PathBuf,
    /// When the run shall have begun: 2026-01-31T16:23:00Z, or seconds since 1970. Default: on a full minute, so that
    /// it has just ended.
    #[arg(long, value_name = "TIME", value_parser = crate::calendar::parse)]
    pub(crate) at: Option<i64>,
    /// What the run is called there, as its label `run`. Default: the folder's name.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct LoadArguments {
    #[command(flatten)]
    pub(crate) recording: RecordingArguments,
    /// The server; it must take remote write (--web.enable-remote-write-receiver).
    #[arg(long, value_name = "URL")]
    pub(crate) prometheus: String,
    /// Where Grafana is, for the links to dashboards that are printed; nothing is asked of it.
    #[arg(long, value_name = "URL", default_value = "http://localhost:3000")]
    pub(crate) grafana: String,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArguments {
    #[command(flatten)]
    pub(crate) recording: RecordingArguments,
    /// Where to write OpenMetrics text, for `promtool tsdb create-blocks-from openmetrics`; `-` is standard output.
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-", required = true)]
    pub(crate) openmetrics: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct DashboardsArguments {
    /// The folder that they are written to.
    #[arg(long, value_name = "DIR", default_value = "dashboards")]
    pub(crate) out: PathBuf,
    /// Write nothing: name every file of this folder that is not what this version writes, and exit with 1 if there is
    /// one.
    #[arg(long, value_name = "DIR", num_args = 0..=1, default_missing_value = "dashboards", conflicts_with = "out")]
    pub(crate) check: Option<PathBuf>,
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
