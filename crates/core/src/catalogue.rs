//! What is exported under which name, wherever it goes: `/metrics`, files, remote write. A service's metrics are
//! derived from the catalogue of the meters: nothing is declared here that is not counted there, and nothing
//! counted there is left out. What is known of a run as a whole, its users and levers, is declared here.

use crate::meter::{BreakerState, Flow, Snapshot, StockName};

/// The labels of every metric of a service: in which arm of the experiment, and which service.
pub const LABELS: &[&str] = &["arm", "service"];

/// The label that tells runs apart. Whoever collects adds it: [`LIVE`] for what is scraped, the run's name for what
/// was recorded.
pub const RUN: &str = "run";

/// The value of [`RUN`] for what is scraped.
pub const LIVE: &str = "live";

/// The buckets of latencies: upper ends, in seconds, with `+Inf` behind them. The ratio of neighbours is at most 2, and
/// the usual SLOs of 1, 2, 3, 5 and 10 s are ends.
pub const LATENCY_BUCKETS: [f64; 24] = [
    0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0,
    5.0, 7.5, 10.0, 15.0, 30.0, 60.0,
];

/// How Prometheus treats a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows: to be read through `rate` or `increase`.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counters by upper end: `_bucket` with the label `le`, `_sum` and `_count`.
    Histogram,
}

impl Kind {
    /// The name in the exposition format.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// One exported metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricSpec {
    /// The name in Prometheus, such as `pumphandle_arrived_total`.
    pub name: String,
    /// Counter, gauge or histogram.
    pub kind: Kind,
    /// One sentence for people.
    pub help: String,
    /// Its labels, in the order of the exposition; without [`RUN`], and without `le`.
    pub labels: &'static [&'static str],
}

macro_rules! run_metrics {
    ($($variant:ident = $kind:ident $name:literal [$($label:literal),*]: $help:literal;)+) => {
        /// What is known of a run as a whole: its users, what was done, and what came of it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum RunMetric { $(#[doc = $help] $variant,)+ }

        impl RunMetric {
            /// All of them, in the order of the catalogue.
            pub const ALL: &'static [RunMetric] = &[$(RunMetric::$variant,)+];

            /// The name in Prometheus.
            pub const fn name(self) -> &'static str {
                match self { $(RunMetric::$variant => concat!("pumphandle_", $name),)+ }
            }

            /// Counter, gauge or histogram.
            pub const fn kind(self) -> Kind {
                match self { $(RunMetric::$variant => Kind::$kind,)+ }
            }

            /// Its labels, in the order of the exposition.
            pub const fn labels(self) -> &'static [&'static str] {
                match self { $(RunMetric::$variant => &[$($label),*],)+ }
            }

            /// One sentence for people.
            pub const fn help(self) -> &'static str {
                match self { $(RunMetric::$variant => $help,)+ }
            }
        }
    };
}

run_metrics! {
    RunInfo = Gauge "run_info" ["scenario", "clock", "seed"]: "Which scenario, clock and seed: always 1.";
    Phase = Gauge "phase" ["phase"]: "1 for what the run is at: waiting, before the trigger, trigger, after, ended.";
    TriggerActive = Gauge "trigger_active" ["trigger"]: "1 while the trigger acts.";
    LeverActive = Gauge "lever_active" ["arm", "lever", "level"]: "1 since the lever was pulled in this arm.";
    UsersDue = Counter "users_due_total" ["arm"]: "Users whose due time has come.";
    UsersSettled = Counter "users_settled_total" ["arm", "outcome"]:
        "Users settled, by what they got: good, degraded, late, or error; counted when it is settled.";
    UsersWaiting = Gauge "users_waiting" ["arm"]: "Users due and not yet settled.";
    UserLatency = Histogram "user_latency_seconds" ["arm"]:
        "Seconds from the due time until the user was settled, whatever came of it.";
    GoodShare = Gauge "good_share" ["arm", "window"]:
        "Share of good answers among users due in a window: before, during, after, last_minute; once it is over.";
    HarmShare = Gauge "harm_share" ["arm"]:
        "Share of users without a good answer since the trigger or the pull, whichever came later; once it is over.";
    Verdict = Gauge "verdict" ["arm", "lever", "level", "verdict"]: "1 for what the lever of this arm was found to do.";
    RigLag = Gauge "rig_lag_seconds" ["arm"]: "How late users were begun: the worst of the last second.";
    RigLateSends = Counter "rig_late_sends_total" ["arm"]: "Users begun more than 5 ms after they were due.";
    RigIdleTimerLate = Gauge "rig_idle_timer_late_seconds" []:
        "How late an idle timer of the runner was: the worst of the last second.";
    RigCpu = Gauge "rig_cpu_ratio" []: "Share of all processors of the runner's machine that was used, by anybody.";
    RigTroubles = Counter "rig_troubles_total" ["arm"]: "What went wrong with services of this arm in all runs.";
}

impl RunMetric {
    /// Whether it says how the machine of a live run did: such metrics are scraped, and never recorded.
    pub const fn is_of_the_machine(self) -> bool {
        use RunMetric::{RigCpu, RigIdleTimerLate, RigLag, RigLateSends, RigTroubles};
        matches!(self, RigLag | RigLateSends | RigIdleTimerLate | RigCpu | RigTroubles)
    }

    /// All of it as one value.
    pub fn spec(self) -> MetricSpec {
        MetricSpec {
            name: self.name().to_owned(),
            kind: self.kind(),
            help: self.help().to_owned(),
            labels: self.labels(),
        }
    }
}

/// Every metric there is: of services, then of the run.
pub fn all() -> Vec<MetricSpec> {
    let services = services().into_iter().map(|(spec, _)| spec);
    services.chain(RunMetric::ALL.iter().map(|metric| metric.spec())).collect()
}

/// Where a metric's value is found in a meter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A flow's total.
    Flow(Flow),
    /// A flow of time: counted in nanoseconds, exported in seconds, as Prometheus' conventions ask.
    Nanos(Flow),
    /// A stock's level.
    Level(StockName),
    /// A stock's inflow.
    Inflow(StockName),
    /// A stock's outflow.
    Outflow(StockName),
    /// A level over time: counted in nanoseconds, exported in seconds.
    Integral(StockName),
    /// The breaker's state as a number.
    Breaker,
    /// The number of replicas.
    Replicas,
    /// The adaptive limits, added.
    ConcurrencyLimit,
}

impl Source {
    /// Counted in nanoseconds, and exported in seconds.
    pub fn is_time(self) -> bool {
        matches!(self, Source::Nanos(_) | Source::Integral(_))
    }

    /// Its value in `meter`; time in nanoseconds.
    pub fn read(self, meter: &Snapshot) -> u64 {
        match self {
            Source::Flow(flow) | Source::Nanos(flow) => meter.flow(flow),
            Source::Level(stock) => meter.stock(stock).level,
            Source::Inflow(stock) => meter.stock(stock).inflow,
            Source::Outflow(stock) => meter.stock(stock).outflow,
            Source::Integral(stock) => u64::try_from(meter.stock(stock).integral).unwrap_or(u64::MAX),
            Source::Breaker => meter.breaker as u64,
            Source::Replicas => meter.replicas,
            Source::ConcurrencyLimit => meter.concurrency_limit,
        }
    }
}

/// Every metric of a service with where its value is found, in the order of the meters' catalogue.
pub fn services() -> Vec<(MetricSpec, Source)> {
    let flows = Flow::ALL.iter().map(|flow| of_flow(*flow));
    let stocks = StockName::ALL.iter().flat_map(|stock| of_stock(*stock));
    flows.chain(stocks).chain([breaker(), replicas(), concurrency_limit()]).collect()
}

fn spec(name: String, kind: Kind, help: String, source: Source) -> (MetricSpec, Source) {
    (MetricSpec { name: format!("pumphandle_{name}"), kind, help, labels: LABELS }, source)
}

fn of_flow(flow: Flow) -> (MetricSpec, Source) {
    match flow.name().strip_suffix("_ns") {
        Some(what) => {
            let help = flow.help().replace("nanoseconds", "seconds");
            spec(format!("{what}_seconds_total"), Kind::Counter, help, Source::Nanos(flow))
        }
        None => {
            spec(format!("{}_total", flow.name()), Kind::Counter, flow.help().to_owned(), Source::Flow(flow))
        }
    }
}

fn of_stock(stock: StockName) -> [(MetricSpec, Source); 4] {
    let (name, help) = (stock.name(), stock.help());
    let counted = |end: &str, what: &str, source| {
        spec(format!("{name}_{end}_total"), Kind::Counter, format!("{what}: {help}"), source)
    };
    [
        spec(name.to_owned(), Kind::Gauge, help.to_owned(), Source::Level(stock)),
        counted("inflow", "Entered", Source::Inflow(stock)),
        counted("outflow", "Left", Source::Outflow(stock)),
        counted("level_seconds", "Level times seconds; its rate is the mean level", Source::Integral(stock)),
    ]
}

fn breaker() -> (MetricSpec, Source) {
    use BreakerState::{Absent, Closed, HalfOpen, Open};
    let help = format!(
        "State of the circuit breaker: {} none, {} closed (lets calls through), {} half open, {} open (refuses).",
        Absent as u64, Closed as u64, HalfOpen as u64, Open as u64
    );
    spec("breaker_state".to_owned(), Kind::Gauge, help, Source::Breaker)
}

fn replicas() -> (MetricSpec, Source) {
    let help = "Identical instances of the service in this process.".to_owned();
    spec("replicas".to_owned(), Kind::Gauge, help, Source::Replicas)
}

fn concurrency_limit() -> (MetricSpec, Source) {
    let help = "Adaptive concurrency limits, those of all replicas and edges added: 0 where there is none.";
    spec("concurrency_limit".to_owned(), Kind::Gauge, help.to_owned(), Source::ConcurrencyLimit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn everything_that_a_meter_counts_is_exported_once_under_a_name_of_its_own() {
        let services = services();
        assert_eq!(services.len(), Flow::ALL.len() + 4 * StockName::ALL.len() + 3);
        for flow in Flow::ALL {
            assert!(services.iter().any(|(_, it)| [Source::Flow(*flow), Source::Nanos(*flow)].contains(it)));
        }
        let all = all();
        let names: BTreeSet<_> = all.iter().map(|spec| spec.name.as_str()).collect();
        assert_eq!(names.len(), all.len());
    }

    #[test]
    fn names_follow_the_conventions_of_prometheus() {
        for spec in all() {
            let valid = |c: char| c.is_ascii_lowercase() || c == '_';
            assert!(spec.name.starts_with("pumphandle_") && spec.name.chars().all(valid), "{}", spec.name);
            assert_eq!(spec.name.ends_with("_total"), spec.kind == Kind::Counter, "{}", spec.name);
            assert!(!spec.name.contains("_ns") && !spec.help.contains("nano"), "{spec:?}");
            assert!(spec.help.ends_with('.') && !spec.labels.contains(&RUN), "{spec:?}");
        }
        for (spec, source) in services() {
            assert_eq!(spec.name.contains("_seconds_"), source.is_time(), "{spec:?}");
            assert!(spec.kind != Kind::Histogram && spec.labels == LABELS, "{spec:?}");
        }
    }

    #[test]
    fn buckets_of_latencies_grow_by_a_factor_of_two_at_most() {
        for pair in LATENCY_BUCKETS.windows(2) {
            assert!(pair[0] < pair[1] && pair[1] <= 2.0 * pair[0], "{pair:?}");
        }
    }
}
