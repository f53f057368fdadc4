//! One service's metrics in Prometheus' text format.
//!
//! The services count in their own atomics, and values are copied when somebody asks: the hot path pays
//! nothing for being watched. The recorder is the service's own.

use std::collections::BTreeMap;
use std::sync::Arc;

use metrics::{Counter, Gauge, Key, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use pumphandle_core::catalogue::{self, Kind, MetricSpec, Source};
use pumphandle_core::meter::Meter;
use pumphandle_core::time::now;

/// See the module.
pub(crate) struct Exposition {
    meter: Arc<Meter>,
    recorder: PrometheusHandle,
    cells: BTreeMap<String, (Source, Cell)>,
}

/// Where the recorder keeps a value.
enum Cell {
    Counter(Counter),
    Gauge(Gauge),
}

impl Cell {
    fn set(&self, value: u64) {
        match self {
            Cell::Counter(counter) => counter.absolute(value),
            Cell::Gauge(gauge) => gauge.set(value as f64),
        }
    }
}

impl Exposition {
    pub(crate) fn new(service: &str, arm: &str, meter: Arc<Meter>) -> Exposition {
        let labelled = PrometheusBuilder::new().add_global_label("arm", arm);
        let recorder = labelled.add_global_label("service", service).build_recorder();
        let cells = catalogue::services().into_iter().map(|(spec, source)| {
            let cell = register(&recorder, &spec);
            (spec.name, (source, cell))
        });
        Exposition { meter, cells: cells.collect(), recorder: recorder.handle() }
    }

    /// Everything as it is now, families in alphabetical order.
    ///
    /// # Panics
    ///
    /// On a thread without a clock.
    pub(crate) fn render(&self) -> String {
        let snapshot = self.meter.read(now());
        for (source, cell) in self.cells.values() {
            cell.set(source.read(&snapshot));
        }
        let rendered = self.recorder.render();
        // The exporter goes through a hash map: the order differs from process to process.
        let families: BTreeMap<&str, &str> =
            rendered.split("\n\n").filter_map(|family| Some((name_of(family)?, family))).collect();
        families.into_iter().map(|(name, family)| self.finish(name, family)).collect()
    }

    /// A family as it is to be sent. The recorder's counters are integers, so those of time are in
    /// nanoseconds until here.
    fn finish(&self, name: &str, family: &str) -> String {
        let in_nanos = self.cells.get(name).is_some_and(|(source, _)| source.is_time());
        let lines = family.trim_end().lines().map(|line| match line.rsplit_once(' ') {
            Some((sample, nanos)) if in_nanos && !line.starts_with('#') => {
                format!("{sample} {}\n", seconds(nanos.parse().expect("a counter is an integer")))
            }
            _ => format!("{line}\n"),
        });
        lines.collect()
    }
}

fn register(recorder: &impl Recorder, spec: &MetricSpec) -> Cell {
    const METADATA: Metadata<'_> = Metadata::new(module_path!(), Level::INFO, Some(module_path!()));
    let key = Key::from_name(spec.name.clone());
    match spec.kind {
        Kind::Counter => {
            recorder.describe_counter(spec.name.clone().into(), None, spec.help.clone().into());
            Cell::Counter(recorder.register_counter(&key, &METADATA))
        }
        // A meter keeps no histograms.
        Kind::Gauge | Kind::Histogram => {
            recorder.describe_gauge(spec.name.clone().into(), None, spec.help.clone().into());
            Cell::Gauge(recorder.register_gauge(&key, &METADATA))
        }
    }
}

/// The metric that a family describes in its first line.
fn name_of(family: &str) -> Option<&str> {
    family.trim_start().strip_prefix("# HELP ")?.split(' ').next()
}

/// Nanoseconds as decimal seconds, exactly.
fn seconds(nanos: u64) -> String {
    format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pumphandle_core::Time;
    use pumphandle_core::catalogue::LABELS;
    use pumphandle_core::meter::{BreakerState, Flow, StockName};
    use pumphandle_core::time::Origin;

    type Samples = BTreeMap<String, (BTreeMap<String, String>, f64)>;

    /// Samples by name. Strict about all that this crate may write, and fails on anything else.
    fn parse(text: &str) -> Samples {
        let mut samples = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with("# ")) {
            let (name, rest) = line.split_once('{').unwrap();
            let (labels, value) = rest.rsplit_once("} ").unwrap();
            let labels = labels.split("\",").map(|label| {
                let (name, value) = label.split_once("=\"").unwrap();
                (name.to_owned(), value.trim_end_matches('"').to_owned())
            });
            let before = samples.insert(name.to_owned(), (labels.collect(), value.parse::<f64>().unwrap()));
            assert!(before.is_none(), "twice: {line}");
        }
        samples
    }

    fn busy_meter() -> Arc<Meter> {
        let meter = Arc::new(Meter::default());
        meter.add(Flow::Arrived, 12);
        meter.add(Flow::WastedNanos, 1_500_000_001);
        let queue = meter.stock(StockName::Queue);
        let first = queue.enter(Time::from_nanos(5));
        queue.enter(Time::from_nanos(6));
        queue.enter(Time::from_nanos(7));
        queue.leave(first, Time::from_nanos(8));
        meter.set_breaker(BreakerState::Open);
        meter
    }

    #[test]
    fn every_metric_of_the_catalogue_has_help_type_and_a_sample_in_this_order() {
        Origin::after(std::time::Duration::ZERO).enter();
        let text = Exposition::new("api", "control", busy_meter()).render();
        let mut lines = text.lines();
        let mut specs = catalogue::services();
        specs.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
        for (spec, _) in specs {
            let MetricSpec { name, kind, help, .. } = &spec;
            assert_eq!(lines.next(), Some(format!("# HELP {name} {help}").as_str()));
            assert_eq!(lines.next(), Some(format!("# TYPE {name} {}", kind.name()).as_str()));
            assert!(lines.next().unwrap().starts_with(&format!("{name}{{")));
        }
        assert_eq!(lines.next(), None);
    }

    #[test]
    fn values_and_labels_are_those_of_the_meter() {
        Origin::after(std::time::Duration::ZERO).enter();
        let samples = parse(&Exposition::new("api", "control", busy_meter()).render());
        let value = |name: &str| samples[name].1;
        assert_eq!(value("pumphandle_arrived_total"), 12.0);
        assert_eq!(value("pumphandle_wasted_seconds_total"), 1.500_000_001);
        assert_eq!(value("pumphandle_busy_seconds_total"), 0.0);
        assert_eq!(value("pumphandle_queue"), 2.0);
        assert_eq!(value("pumphandle_queue_inflow_total"), 3.0);
        assert_eq!(value("pumphandle_queue_outflow_total"), 1.0);
        assert_eq!(value("pumphandle_breaker_state"), 3.0);
        for (name, (labels, _)) in &samples {
            assert!(labels.keys().map(String::as_str).eq(LABELS.iter().copied()), "{name}");
            assert_eq!((labels["arm"].as_str(), labels["service"].as_str()), ("control", "api"));
        }
    }

    #[test]
    fn each_reading_shows_what_the_meter_counted_since_the_last() {
        Origin::after(std::time::Duration::ZERO).enter();
        let meter = busy_meter();
        let exposition = Exposition::new("api", "control", Arc::clone(&meter));
        let before = exposition.render();
        // Levels go on lasting; all else stays until something happens.
        let counted = |text: &str| {
            text.lines().filter(|it| !it.contains("_level_")).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(counted(&exposition.render()), counted(&before), "nothing has happened");
        meter.count(Flow::Arrived);
        meter.stock(StockName::Queue).leave(Time::from_nanos(6), Time::from_nanos(9));
        let samples = parse(&exposition.render());
        assert_eq!(samples["pumphandle_arrived_total"].1, 13.0);
        assert_eq!(samples["pumphandle_queue"].1, 1.0);
    }

    #[test]
    fn two_services_write_the_same_metrics_in_the_same_order() {
        Origin::after(std::time::Duration::ZERO).enter();
        let names = |service: &str| {
            let text = Exposition::new(service, "arm", Arc::default()).render();
            text.lines().map(|line| line.split('{').next().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(names("api"), names("db"));
    }

    #[test]
    fn names_of_people_cannot_break_the_format() {
        Origin::after(std::time::Duration::ZERO).enter();
        let text = Exposition::new("a\"b", "no\n\nretries\\", Arc::default()).render();
        assert_eq!(text.lines().count(), 3 * catalogue::services().len());
        assert!(text.contains(r#"arm="no\n\nretries\\",service="a\"b""#), "{}", &text[..400]);
    }

    #[test]
    fn seconds_keep_every_nanosecond() {
        assert_eq!(seconds(0), "0.000000000");
        assert_eq!(seconds(1), "0.000000001");
        assert_eq!(seconds(u64::MAX), "18446744073.709551615");
    }
}
