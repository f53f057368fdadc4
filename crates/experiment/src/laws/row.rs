//! One line of the table: what theory says, what was measured, and whether the two agree. A law that cannot
//! fail is no law: an interval too wide to tell is `undecided`, never `held`.

use serde::Serialize;

use crate::laws::bench::Waits;
use crate::stats::{Decision, Estimate, Region, decide, one_mean};

/// Confidence of every interval here. With some eighty rows, one true law in twelve tables would be outside
/// of its interval by chance; the seeds are 1, 2, 3, .. and were not chosen.
pub const CONFIDENCE: f64 = 0.999;

/// What theory says.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Theory {
    /// A value. The law holds if the interval contains it and reaches no further than `tolerance` (a share
    /// of the value) to either side.
    Value {
        /// In the row's unit.
        value: f64,
        /// A share of the value.
        tolerance: f64,
    },
    /// Bounds. The law holds if the whole interval lies within.
    Bounds {
        /// The least.
        low: f64,
        /// The most.
        high: f64,
    },
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The law.
    pub law: &'static str,
    /// With which parameters.
    pub case: String,
    /// What is compared.
    pub quantity: String,
    /// Of all numbers of the row; empty for counts and ratios.
    pub unit: &'static str,
    /// What it should be.
    pub theory: Theory,
    /// What it was.
    pub measured: f64,
    /// Interval of what was measured, [`CONFIDENCE`].
    pub low: f64,
    /// Its other end.
    pub high: f64,
    /// Independent runs.
    pub runs: usize,
    /// Whether they agree.
    #[serde(serialize_with = "in_words")]
    pub verdict: Decision,
}

fn in_words<S: serde::Serializer>(verdict: &Decision, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(word(*verdict))
}

/// A verdict as it is printed.
pub fn word(verdict: Decision) -> &'static str {
    match verdict {
        Decision::Held => "held",
        Decision::Broken => "BROKEN",
        Decision::Undecided => "undecided",
    }
}

/// What is compared, before anything was.
#[derive(Clone, Debug)]
pub struct Question {
    /// With which parameters.
    pub case: String,
    /// What is compared.
    pub quantity: String,
    /// Of all numbers of the row.
    pub unit: &'static str,
    /// What it should be.
    pub theory: Theory,
}

impl Question {
    /// Of a value.
    pub fn value(
        case: &str,
        quantity: impl Into<String>,
        unit: &'static str,
        value: f64,
        tolerance: f64,
    ) -> Question {
        let theory = Theory::Value { value, tolerance };
        Question { case: case.to_owned(), quantity: quantity.into(), unit, theory }
    }

    /// Of bounds.
    pub fn bounds(
        case: &str,
        quantity: impl Into<String>,
        unit: &'static str,
        low: f64,
        high: f64,
    ) -> Question {
        let theory = Theory::Bounds { low, high };
        Question { case: case.to_owned(), quantity: quantity.into(), unit, theory }
    }

    /// Answered by one value per run.
    pub fn answered(self, values: &[f64]) -> Row {
        let estimate = one_mean(values, CONFIDENCE);
        self.by(estimate.map(|e| (e.mean, e.low, e.high)).ok(), values.len())
    }

    /// Answered by an estimate of several samples.
    pub fn estimated(self, estimate: Option<Estimate>) -> Row {
        let runs = estimate.map_or(0, |e| e.n);
        self.by(estimate.map(|e| (e.mean, e.low, e.high)), runs)
    }

    /// Answered by something that cannot vary, or whose worst case counts.
    pub fn exactly(self, value: f64, runs: usize) -> Row {
        self.by(Some((value, value, value)), runs)
    }

    /// Answered, for a quantile in milliseconds, by the waits of all runs.
    pub fn quantile(self, p: f64, waits: &[&Waits]) -> Row {
        let runs = waits.len();
        self.by(Some(quantile_ms(p, waits)), runs)
    }

    fn by(self, measured: Option<(f64, f64, f64)>, runs: usize) -> Row {
        let Question { case, quantity, unit, theory } = self;
        let verdict = measured.map_or(Decision::Undecided, |(_, low, high)| judge(theory, low, high));
        // Without an estimate there is nothing to show: zeros, and a verdict that says so.
        let (measured, low, high) = measured.unwrap_or_default();
        Row { law: "", case, quantity, unit, theory, measured, low, high, runs, verdict }
    }
}

fn judge(theory: Theory, low: f64, high: f64) -> Decision {
    match theory {
        Theory::Bounds { low: least, high: most } => decide((low, high), Region::from_to(least, most)),
        Theory::Value { value, tolerance } if (low..=high).contains(&value) => {
            let reach = (high - value).max(value - low);
            if reach <= tolerance * value.abs() { Decision::Held } else { Decision::Undecided }
        }
        Theory::Value { .. } => Decision::Broken,
    }
}

/// The `p` quantile of all waits, in milliseconds, with its interval: the values q of which the share of waits
/// above q, one number per run, has an interval that contains 1 - p. (The mean of the runs' own quantiles
/// would be biased: a run is too short for its own 99 %.)
fn quantile_ms(p: f64, waits: &[&Waits]) -> (f64, f64, f64) {
    let longest = waits.iter().map(|waits| waits.longest_ns).max().unwrap_or(0);
    let above = |q: u64| {
        let shares: Vec<f64> = waits.iter().map(|waits| waits.share_above(q)).collect();
        one_mean(&shares, CONFIDENCE).map_or((0.0, 0.0, 1.0), |e| (e.mean, e.low, e.high))
    };
    // The largest q of which still more than 1 - p lies above.
    let last = |part: fn((f64, f64, f64)) -> f64| {
        let (mut some, mut none) = (0, longest + 1);
        while none - some > 1 {
            let middle = some + (none - some) / 2;
            if part(above(middle)) > 1.0 - p { some = middle } else { none = middle }
        }
        none as f64 / 1e6
    };
    (last(|(mean, _, _)| mean), last(|(_, low, _)| low), last(|(_, _, high)| high))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(value: f64, tolerance: f64, values: &[f64]) -> Row {
        Question::value("", "", "", value, tolerance).answered(values)
    }

    #[test]
    fn a_law_can_hold_break_and_stay_undecided() {
        assert_eq!(row(10.0, 0.1, &[9.9, 10.0, 10.1]).verdict, Decision::Undecided, "three runs tell little");
        let close: Vec<f64> = (0..20).map(|i| 9.9 + 0.01 * f64::from(i)).collect();
        assert_eq!(row(10.0, 0.1, &close).verdict, Decision::Held);
        assert_eq!(row(11.0, 0.1, &close).verdict, Decision::Broken);
        assert_eq!(row(10.0, 0.001, &close).verdict, Decision::Undecided);
        assert_eq!(row(10.0, 0.1, &[10.0]).verdict, Decision::Undecided, "one run tells nothing");
        let within = |low, high| Question::bounds("", "", "", low, high).answered(&close).verdict;
        assert_eq!(within(9.0, 11.0), Decision::Held);
        assert_eq!(within(10.5, 11.0), Decision::Broken);
        assert_eq!(within(10.0, 11.0), Decision::Undecided);
    }

    #[test]
    fn a_quantile_lies_within_its_interval_which_narrows_with_more_runs() {
        use pumphandle_core::Time;
        use pumphandle_core::draws::{Draws, Path, Stream, exponential};
        use pumphandle_core::events::{EventKind, EventLog};
        let run = |seed: u64| {
            let (draws, log) = (Draws::new(seed), EventLog::new(true));
            for i in 0..5000_u64 {
                let u = draws.uniform(Stream::ServiceTime, 0, Path::of_arrival(i));
                let begin = Time::from_nanos(i * 100_000_000_000);
                let wait = std::time::Duration::from_nanos((1e9 * exponential(u)) as u64);
                log.record(begin, EventKind::Arrived, 0, i, i);
                log.record(begin + wait, EventKind::Started, 0, i, i);
            }
            Waits::read(&log.take().unwrap(), Time::ZERO, Time::MAX)
        };
        let runs: Vec<Waits> = (1..=40).map(run).collect();
        let truth = 1e3 * libm::log(100.0);
        let of = |n: usize| quantile_ms(0.99, &runs[..n].iter().collect::<Vec<_>>());
        let ((_, few_low, few_high), (mean, low, high)) = (of(5), of(40));
        assert!(few_low < truth && truth < few_high && low < truth && truth < high);
        assert!(low < mean && mean < high && high - low < few_high - few_low);
        assert!((mean / truth - 1.0).abs() < 0.03, "{mean} for {truth}");
    }
}
