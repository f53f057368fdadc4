//! Which series a run has. Names, kinds and labels come from the catalogue and from nowhere else.

use pumphandle_core::catalogue::{Kind, LATENCY_BUCKETS, MetricSpec, RUN, RunMetric, Source, services};
use pumphandle_experiment::result::{self, RunResult};

/// The phases of a run, as [`RunMetric::Phase`] calls them.
pub(super) const PHASES: [&str; 5] = ["waiting", "before", "trigger", "after", "ended"];

/// What users get, as [`RunMetric::UsersSettled`] calls it.
pub(super) const OUTCOMES: [&str; 4] = ["good", "degraded", "late", "error"];

/// One time series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    /// The metric's name in the catalogue.
    pub metric: String,
    /// Its kind.
    pub kind: Kind,
    /// Its sentence for people.
    pub help: String,
    /// The name of the samples: the metric's own, or that of a histogram's part.
    pub name: String,
    /// Labels with their values, in the order of the catalogue; then `le`, where it has one, and the run.
    pub labels: Vec<(&'static str, String)>,
}

impl Series {
    fn of(spec: &MetricSpec, values: &[&str], run: &str) -> Series {
        assert_eq!(spec.labels.len(), values.len(), "{}", spec.name);
        // A label without a value is none to Prometheus.
        let given = spec.labels.iter().zip(values).filter(|(_, value)| !value.is_empty());
        let mut labels: Vec<_> = given.map(|(label, value)| (*label, (*value).to_owned())).collect();
        labels.push((RUN, run.to_owned()));
        Series {
            metric: spec.name.clone(),
            kind: spec.kind,
            help: spec.help.clone(),
            name: spec.name.clone(),
            labels,
        }
    }

    fn part(mut self, ending: &str, le: Option<String>) -> Series {
        self.name = format!("{}_{ending}", self.metric);
        if let Some(le) = le {
            self.labels.insert(self.labels.len() - 1, ("le", le));
        }
        self
    }

    /// The value of a label; empty where there is none.
    pub fn label(&self, name: &str) -> &str {
        self.labels.iter().find(|(label, _)| *label == name).map_or("", |(_, value)| value)
    }

    /// Whether both are parts of one metric with the same labels, as the buckets of one histogram are.
    pub fn belongs_to(&self, other: &Series) -> bool {
        let apart = |it: &Series| {
            let without = it.labels.iter().filter(|(label, _)| *label != "le");
            without.cloned().collect::<Vec<_>>()
        };
        self.metric == other.metric && apart(self) == apart(other)
    }
}

/// An upper bound as Prometheus 3 and OpenMetrics write it.
fn bound(le: f64) -> String {
    if le.fract() == 0.0 { format!("{le:.1}") } else { le.to_string() }
}

/// The series of one service, in the order of the catalogue, with where their values are found.
pub(super) fn of_service(arm: &str, service: &str, run: &str) -> Vec<(Series, Source)> {
    services().into_iter().map(|(spec, source)| (Series::of(&spec, &[arm, service], run), source)).collect()
}

/// The series of an arm's users: due, settled by [`OUTCOMES`], waiting, then the histogram: buckets, sum, count.
pub(super) fn of_users(arm: &str, run: &str) -> Vec<Series> {
    let spec = |metric: RunMetric| metric.spec();
    let latency = Series::of(&spec(RunMetric::UserLatency), &[arm], run);
    let bounds = LATENCY_BUCKETS.iter().map(|le| bound(*le)).chain(["+Inf".to_owned()]);
    let settled =
        OUTCOMES.iter().map(|outcome| Series::of(&spec(RunMetric::UsersSettled), &[arm, outcome], run));
    [Series::of(&spec(RunMetric::UsersDue), &[arm], run)]
        .into_iter()
        .chain(settled)
        .chain([Series::of(&spec(RunMetric::UsersWaiting), &[arm], run)])
        .chain(bounds.map(|le| latency.clone().part("bucket", Some(le))))
        .chain([latency.clone().part("sum", None), latency.clone().part("count", None)])
        .collect()
}

/// A series whose value follows from `result.json`: none before it is known.
pub(super) struct Told {
    pub(super) series: Series,
    pub(super) at: At,
}

/// What such a series shows when.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum At {
    /// 1 from one instant until before another, in seconds since the start; 0 otherwise.
    Within(f64, f64),
    /// A value, from an instant on.
    Since(f64, f64),
}

impl At {
    /// The value at a second.
    pub(super) fn value(self, second: u32) -> Option<f64> {
        let at = f64::from(second);
        match self {
            // What lies between two seconds is shown at the later one.
            At::Within(from, to) => {
                Some(f64::from(u8::from(from <= at && (at < to || at < from + 1.0 && from < to))))
            }
            At::Since(from, value) => (from <= at).then_some(value),
        }
    }
}

/// What is told of the run as a whole, and of its arms.
pub(super) fn told(result: &RunResult, run: &str) -> Vec<Told> {
    let end = result.windows_s.end;
    let mut all = Vec::new();
    let mut tell = |metric: RunMetric, values: &[&str], at: At| {
        all.push(Told { series: Series::of(&metric.spec(), values, run), at });
    };
    let seed = result.seeds.first().map_or_else(String::new, u64::to_string);
    tell(RunMetric::RunInfo, &[&result.scenario, &result.clock, &seed], At::Since(0.0, 1.0));
    for (phase, (from, to)) in PHASES.iter().zip(phases(result)) {
        tell(RunMetric::Phase, &[phase], At::Within(from, to));
    }
    for trigger in &result.windows_s.triggers {
        let to = trigger.to.unwrap_or(end).min(end);
        tell(RunMetric::TriggerActive, &[&trigger.trigger], At::Within(trigger.from, to));
    }
    for arm in &result.arms {
        of_arm(result, arm, &mut tell);
    }
    all
}

fn of_arm(result: &RunResult, arm: &result::Arm, tell: &mut impl FnMut(RunMetric, &[&str], At)) {
    let windows = &result.windows_s;
    let name = arm.arm.as_str();
    let level = arm.level.map_or_else(String::new, |level| level.to_string());
    if let Some(lever) = &arm.lever {
        let standing = arm.mode.as_deref() == Some("standing");
        let pulled = if standing { 0.0 } else { windows.pull.unwrap_or(windows.end) };
        tell(RunMetric::LeverActive, &[name, lever, &level], At::Within(pulled, windows.end));
    }
    let share = &arm.outcome.good_share_by_window;
    let (from, to) = windows.trigger.map_or((windows.end, windows.end), |[from, to]| (from, to));
    for (window, over, value) in [
        ("before", from, share.before),
        ("during", to, share.during),
        ("after", windows.end, share.after),
        ("last_minute", windows.end, share.last_minute),
    ] {
        if let Some(value) = value {
            tell(RunMetric::GoodShare, &[name, window], At::Since(over.min(windows.end), value));
        }
    }
    tell(RunMetric::HarmShare, &[name], At::Since(windows.end, arm.outcome.harm_share));
    if let (Some(verdict), Some(lever)) = (&arm.verdict, &arm.lever) {
        tell(RunMetric::Verdict, &[name, lever, &level, &verdict.is], At::Since(windows.end, 1.0));
    }
}

/// From when until when each of [`PHASES`] lasts.
fn phases(result: &RunResult) -> [(f64, f64); 5] {
    let end = result.windows_s.end;
    let [from, to] = result.windows_s.trigger.unwrap_or([end, end]).map(|at| at.clamp(0.0, end));
    [(0.0, 0.0), (0.0, from), (from, to), (to.max(from), end), (end, f64::INFINITY)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lasts_less_than_a_second_is_shown_once_and_what_never_was_is_not() {
        let shown = |from: f64, to: f64| -> Vec<u32> {
            (0..10).filter(|at| At::Within(from, to).value(*at) == Some(1.0)).collect()
        };
        assert_eq!(shown(2.0, 5.0), [2, 3, 4]);
        assert_eq!(shown(2.2, 2.7), [3]);
        assert_eq!(shown(2.0, 2.5), [2]);
        assert_eq!(shown(0.0, 0.0), [0_u32; 0]);
        assert_eq!(shown(8.0, f64::INFINITY), [8, 9]);
    }

    #[test]
    fn bounds_are_written_as_prometheus_keeps_them() {
        assert_eq!([0.005, 1.0, 7.5, 60.0].map(bound), ["0.005", "1.0", "7.5", "60.0"]);
    }
}
