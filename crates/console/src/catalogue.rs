//! What is exported, derived from the catalogue of the meters. Nothing is declared here that is not counted
//! there, and nothing counted there is left out.

use pumphandle_core::meter::{BreakerState, Flow, Snapshot, StockName};

/// The labels of every metric: which service, and in which arm of the experiment.
pub const LABELS: &[&str] = &["arm", "service"];

/// How Prometheus treats a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows: to be read through `rate` or `increase`.
    Counter,
    /// Goes up and down.
    Gauge,
}

impl Kind {
    /// The name in the exposition format.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        }
    }
}

/// One exported metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricSpec {
    /// The name in Prometheus, such as `pumphandle_arrived_total`.
    pub name: String,
    /// Counter or gauge.
    pub kind: Kind,
    /// One sentence for people.
    pub help: String,
    /// Its labels, in the order of the exposition.
    pub labels: &'static [&'static str],
    pub(crate) source: Source,
}

/// Where a metric's value is found in a meter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Flow(Flow),
    /// A flow of time: counted in nanoseconds, exported in seconds, as Prometheus' conventions ask.
    Nanos(Flow),
    Level(StockName),
    Inflow(StockName),
    Outflow(StockName),
    /// A level over time: counted in nanoseconds, exported in seconds.
    Integral(StockName),
    Breaker,
    Replicas,
    ConcurrencyLimit,
}

impl Source {
    /// Counted in nanoseconds, and exported in seconds.
    pub(crate) fn is_time(self) -> bool {
        matches!(self, Source::Nanos(_) | Source::Integral(_))
    }

    pub(crate) fn read(self, meter: &Snapshot) -> u64 {
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

/// Every metric that [`serve_metrics`](crate::serve_metrics) exports, in the order of the meters' catalogue.
pub fn catalogue() -> Vec<MetricSpec> {
    let flows = Flow::ALL.iter().map(|flow| of_flow(*flow));
    let stocks = StockName::ALL.iter().flat_map(|stock| of_stock(*stock));
    flows.chain(stocks).chain([breaker(), replicas(), concurrency_limit()]).collect()
}

fn spec(name: String, kind: Kind, help: String, source: Source) -> MetricSpec {
    MetricSpec { name: format!("pumphandle_{name}"), kind, help, labels: LABELS, source }
}

fn of_flow(flow: Flow) -> MetricSpec {
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

fn of_stock(stock: StockName) -> [MetricSpec; 4] {
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

fn breaker() -> MetricSpec {
    use BreakerState::{Absent, Closed, HalfOpen, Open};
    let help = format!(
        "State of the circuit breaker: {} none, {} closed (lets calls through), {} half open, {} open (refuses).",
        Absent as u64, Closed as u64, HalfOpen as u64, Open as u64
    );
    spec("breaker_state".to_owned(), Kind::Gauge, help, Source::Breaker)
}

fn replicas() -> MetricSpec {
    let help = "Identical instances of the service in this process.".to_owned();
    spec("replicas".to_owned(), Kind::Gauge, help, Source::Replicas)
}

fn concurrency_limit() -> MetricSpec {
    let help = "Adaptive concurrency limits, those of all replicas and edges added: 0 where there is none.";
    spec("concurrency_limit".to_owned(), Kind::Gauge, help.to_owned(), Source::ConcurrencyLimit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn everything_that_a_meter_counts_is_exported_once_under_a_name_of_its_own() {
        let all = catalogue();
        let names: BTreeSet<_> = all.iter().map(|spec| spec.name.as_str()).collect();
        assert_eq!(names.len(), all.len());
        assert_eq!(all.len(), Flow::ALL.len() + 4 * StockName::ALL.len() + 3);
        for flow in Flow::ALL {
            assert!(all.iter().any(|s| [Source::Flow(*flow), Source::Nanos(*flow)].contains(&s.source)));
        }
    }

    #[test]
    fn names_follow_the_conventions_of_prometheus() {
        for spec in catalogue() {
            let valid = |c: char| c.is_ascii_lowercase() || c == '_';
            assert!(spec.name.chars().all(valid), "{}", spec.name);
            assert_eq!(spec.name.ends_with("_total"), spec.kind == Kind::Counter, "{}", spec.name);
            assert!(!spec.name.contains("_ns") && !spec.help.contains("nano"), "{spec:?}");
            assert_eq!(spec.name.contains("_seconds_"), spec.source.is_time(), "{spec:?}");
        }
    }
}
