//! The series and effects that the page draws, as JSON that may stand in a script element. Rounded to what a
//! screen can show; of runs longer than [`MOST_POINTS`] seconds, means of several seconds.

use indexmap::IndexMap;
use pumphandle_experiment::result::{Arm, ArmSeries, Band, ServiceSeries, StockSeries, Story};
use serde::{Serialize, Serializer};

use crate::{levers, words};

/// More points than this no screen shows; a page of an hour would weigh tens of megabytes.
const MOST_POINTS: usize = 1200;

/// JSON in which `<` is escaped, so that no text in it can end the script element.
pub(super) fn json(story: &Story) -> String {
    let seconds = story.series.values().map(|series| series.good_per_s.mean.len()).max().unwrap_or(0);
    let step = seconds.div_ceil(MOST_POINTS).max(1);
    let treatments: Vec<&Arm> = story.result.arms.iter().filter(|arm| arm.lever.is_some()).collect();
    // Weeks are drawn in days, and what flows in them by the day.
    let end = story.result.windows_s.end;
    let in_days = words::in_days(end);
    let unit = if in_days { words::DAY } else { 1.0 };
    let scale = Scale { step, per: unit };
    let means = words::duration((step * story.sample_s) as f64);
    let data = Data {
        step: (step * story.sample_s) as f64 / unit,
        end: end / unit,
        units: if in_days { "days" } else { "seconds" },
        per: if in_days { "per day" } else { "per second" },
        means: (step * story.sample_s > 1).then_some(means),
        slo_ms: story.slo_s * 1000.0,
        pull: story.result.windows_s.pull.map(|at| at / unit),
        triggers: story
            .triggers
            .iter()
            .map(|t| Trigger { name: &t.name, from: t.from_s / unit, to: t.to_s.map(|to| to / unit) })
            .collect(),
        selected: levers::extremes(&treatments).0.or(treatments.first().copied()).map(|arm| arm.arm.as_str()),
        ladder: treatments.iter().map(|arm| Rung::of(arm)).collect(),
        arms: story
            .result
            .arms
            .iter()
            .filter_map(|arm| Some((arm.arm.as_str(), Drawn::of(arm, story.series.get(&arm.arm)?, scale))))
            .collect(),
    };
    let json = serde_json::to_string(&data).expect("no map has keys that are not strings");
    json.replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}

#[derive(Serialize)]
struct Data<'a> {
    /// Between two points, and from start to end, in `units`.
    step: f64,
    end: f64,
    units: &'static str,
    /// Of what flows.
    per: &'static str,
    /// What points are means of; none of seconds.
    means: Option<String>,
    slo_ms: f64,
    pull: Option<f64>,
    triggers: Vec<Trigger<'a>>,
    selected: Option<&'a str>,
    ladder: Vec<Rung<'a>>,
    arms: IndexMap<&'a str, Drawn<'a>>,
}

#[derive(Serialize)]
struct Trigger<'a> {
    name: &'a str,
    from: f64,
    to: Option<f64>,
}

/// One mark of the ladder.
#[derive(Serialize)]
struct Rung<'a> {
    lever: Option<&'a str>,
    mode: Option<&'a str>,
    level: Option<u8>,
    ours: bool,
    lesson: Option<&'a str>,
    verdict: &'a str,
    /// Agreement with the lesson: `=`, `+`, `≠` or a blank.
    mark: &'static str,
    /// Change of harm against the control in percent: estimate, low, high.
    change: Option<[Number; 3]>,
}

impl<'a> Rung<'a> {
    fn of(arm: &'a Arm) -> Self {
        let change = arm.verdict.as_ref().and_then(|verdict| verdict.harm_vs_control.as_ref());
        Self {
            lever: arm.lever.as_deref(),
            mode: arm.mode.as_deref(),
            level: arm.level,
            ours: arm.level_is_ours,
            lesson: arm.lesson.as_deref(),
            verdict: levers::verdict(arm),
            mark: levers::mark(arm),
            change: change.map(|i| [i.mean, i.low, i.high].map(|x| Number(x * 100.0))),
        }
    }
}

type Line = Vec<Option<Number>>;

/// How series are brought to what is drawn.
#[derive(Clone, Copy)]
struct Scale {
    /// So many values are one point.
    step: usize,
    /// What is per second is drawn per so many seconds.
    per: f64,
}

/// One arm; what is absent everywhere in a series is left out.
#[derive(Serialize)]
struct Drawn<'a> {
    lever: Option<&'a str>,
    mode: Option<&'a str>,
    arrivals: Line,
    good: Line,
    low: Line,
    high: Line,
    degraded: Option<Line>,
    attempts: Line,
    p50: Line,
    p99: Line,
    services: IndexMap<&'a str, Service<'a>>,
}

impl<'a> Drawn<'a> {
    fn of(arm: &'a Arm, series: &'a ArmSeries, scale: Scale) -> Self {
        let line = |values: &[f64]| flow(values, scale);
        let Band { mean, low, high } = &series.good_per_s;
        let degraded = &series.degraded_per_s.mean;
        Self {
            lever: arm.lever.as_deref(),
            mode: arm.mode.as_deref(),
            arrivals: line(&series.arrivals_per_s.mean),
            good: line(mean),
            low: line(low),
            high: line(high),
            degraded: degraded.iter().any(|value| *value > 0.0).then(|| line(degraded)),
            attempts: level(&series.attempts_per_arrival.mean, scale.step),
            p50: gaps(&series.latency_p50_ms, scale.step),
            p99: gaps(&series.latency_p99_ms, scale.step),
            services: series
                .services
                .iter()
                .map(|(name, s)| (name.as_str(), Service::of(s, scale)))
                .collect(),
        }
    }
}

#[derive(Serialize)]
struct Service<'a> {
    stocks: IndexMap<&'a str, Stock>,
    breaker: Option<Line>,
    replicas: Option<Line>,
}

impl<'a> Service<'a> {
    fn of(service: &'a ServiceSeries, scale: Scale) -> Self {
        let varies = service.replicas.iter().any(|replicas| *replicas != 1.0);
        Self {
            stocks: service
                .stocks
                .iter()
                .map(|(name, stock)| (name.as_str(), Stock::of(stock, scale)))
                .collect(),
            breaker: (!service.breaker_open.is_empty()).then(|| level(&service.breaker_open, scale.step)),
            replicas: varies.then(|| level(&service.replicas, scale.step)),
        }
    }
}

#[derive(Serialize)]
struct Stock {
    level: Line,
    inflow: Line,
    /// None where it equals the inflow, point by point.
    outflow: Option<Line>,
    limit: Option<Number>,
}

impl Stock {
    fn of(stock: &StockSeries, scale: Scale) -> Self {
        let (inflow, outflow) = (flow(&stock.inflow, scale), flow(&stock.outflow, scale));
        let same = inflow == outflow;
        let limit = stock.limit.filter(|limit| limit.is_finite()).map(Number);
        Self { level: level(&stock.level, scale.step), inflow, outflow: (!same).then_some(outflow), limit }
    }
}

/// What is given per second.
fn flow(per_s: &[f64], Scale { step, per }: Scale) -> Line {
    let scaled: Vec<f64> = per_s.iter().map(|value| value * per).collect();
    level(&scaled, step)
}

/// Means of `step` values each.
fn level(values: &[f64], step: usize) -> Line {
    values.chunks(step).map(|chunk| Some(Number(chunk.iter().sum::<f64>() / chunk.len() as f64))).collect()
}

/// Means of the values that are there.
fn gaps(values: &[Option<f64>], step: usize) -> Line {
    let mean = |chunk: &[Option<f64>]| {
        let there: Vec<f64> = chunk.iter().flatten().copied().collect();
        (!there.is_empty()).then(|| Number(there.iter().sum::<f64>() / there.len() as f64))
    };
    values.chunks(step).map(mean).collect()
}

/// A number written with at most two decimals, and none from 100 on.
#[derive(Clone, Copy, Debug)]
struct Number(f64);

impl Number {
    fn rounded(self) -> f64 {
        let scale = match self.0.abs() {
            size if size >= 100.0 => 1.0,
            size if size >= 10.0 => 10.0,
            _ => 100.0,
        };
        libm::round(self.0 * scale) / scale
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.rounded() == other.rounded()
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value = self.rounded();
        match value {
            v if v == libm::trunc(v) && v.abs() < 9e15 => serializer.serialize_i64(v as i64),
            v => serializer.serialize_f64(v),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_short_as_a_screen_needs() {
        let numbers = [100.0, 0.004, -0.001, 3.456, 12.345, 1234.56].map(Number);
        assert_eq!(serde_json::to_string(&numbers).unwrap(), "[100,0,0,3.46,12.3,1235]");
    }

    #[test]
    fn long_runs_are_means_and_the_last_point_may_be_of_fewer_seconds() {
        assert_eq!(level(&[1.0, 3.0, 5.0], 2), [Some(Number(2.0)), Some(Number(5.0))]);
        assert_eq!(gaps(&[None, Some(4.0), None], 2), [Some(Number(4.0)), None]);
    }
}
