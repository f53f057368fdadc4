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
    /// Run one service of a scenario as a process of its own.
    Serve(ServeArguments),
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
    /// Run against services that are running: NAME=URL, as control=http://control-{service}:9100, or with the
    /// URLs of all admin ports, separated by commas. Once for the control, and once for every lever.
    #[arg(long, value_name = "NAME=URL", conflicts_with = "clock")]
    pub(crate) stack: Vec<String>,
    #[command(flatten)]
    pub(crate) token: TokenArguments,
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
pub(crate) struct ServeArguments {
    /// Which service of the scenario.
    pub(crate) service: String,
    /// A name of `pumphandle list`, or a path. The same for every service of a stack.
    #[arg(long, value_name = "SCENARIO", env = "PUMPHANDLE_SCENARIO")]
    pub(crate) scenario: String,
    /// The name of the stack, as metrics show it: control, treatment.
    #[arg(long, value_name = "NAME", default_value = "control")]
    pub(crate) stack: String,
    /// The seed of its draws. The same for every service of a twin; a run may give another.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,
    /// Where a called service is found, SERVICE=HOST:PORT; may be repeated. Or a rule for all of them with
    /// {service} in it. Default: {service}:7000.
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
    /// The admin ports of the stack: http://control-{service}:9100, or all of them, separated by commas.
    #[arg(long, value_name = "URL")]
    pub(crate) stack: String,
    /// What the stack runs: a name of `pumphandle list`, or a path. Only needed where {service} stands in URLs;
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
