//! Estimates with intervals, and decisions made from them: what a lever was worth, whether a share is
//! above one half, whether a claim holds.
//!
//! Pure functions on slices. Nothing here knows an arm, a lever or a file, draws a number (except the
//! simulation in [`coverage`], from a seed it is given), or calls the platform's mathematics: all
//! transcendental functions come from `libm`, so the same values give the same bits on every machine.
//!
//! # Layout, in reading order
//!
//! - [`special`]: the distributions' functions and quantiles.
//! - [`sample`]: mean, variance, quantile of a sample.
//! - [`means`]: one sample, two independent samples, paired differences; all by Student's t.
//! - [`mod@ratio`]: the ratio of two paired means, by Fieller's theorem.
//! - [`share`]: Clopper-Pearson bounds of a share of seeds.
//! - [`rank`]: rank correlation with an interval.
//! - [`looks`]: looking at the same claim several times, and deciding.
//! - [`coverage`]: how often those intervals are right, by simulation.
//!
//! # What an interval here does not promise
//!
//! Student's t and Fieller's interval assume that *means* over seeds are near normal. With 20 seeds of
//! heavily skewed values they cover less often than they say, and for an event so rare that no seed
//! has shown it, all values are equal and the interval is a single point. [`coverage`] puts numbers on
//! both. A claim about how often something happens belongs to [`share`], which is exact.

pub mod coverage;
pub mod looks;
pub mod means;
pub mod rank;
pub mod ratio;
pub mod sample;
pub mod share;
pub mod special;
#[cfg(test)]
mod tests;

pub use looks::{Decision, Judged, Looks, Region, decide};
pub use means::{one_mean, paired_difference, welch_difference};
pub use rank::{kendall, spearman};
pub use ratio::{ratio, ratio_minus_one};
pub use sample::{mean, quantile_sorted, variance};
pub use share::{ShareState, clopper_pearson, share_state};
pub use special::{beta_inc, beta_quantile, normal_quantile, t_quantile};

/// A point estimate with its interval: `low <= mean <= high`, all finite, in the unit of the values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The point estimate: of a mean, a difference, a ratio or a correlation.
    pub mean: f64,
    /// Lower bound.
    pub low: f64,
    /// Upper bound.
    pub high: f64,
    /// Observations: seeds, pairs of seeds, or (two independent samples) both samples together.
    pub n: usize,
    /// How the interval was computed, for the reader of a result.
    pub method: &'static str,
}

impl Estimate {
    /// Both bounds, as [`decide`] takes them.
    pub fn interval(&self) -> (f64, f64) {
        (self.low, self.high)
    }

    /// An interval that is a single point, because nothing varied.
    fn point(mean: f64, n: usize, method: &'static str) -> Self {
        Self { mean, low: mean, high: mean, n, method }
    }
}

/// Why there is no estimate. Each is a property of the data, never of the arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoEstimate {
    /// Fewer observations than the method can work with.
    #[error("needs at least {needed} observations, has {has}")]
    TooFew {
        /// The smallest number that gives an interval.
        needed: usize,
        /// The number given.
        has: usize,
    },
    /// Paired samples must have one value per seed each.
    #[error("paired samples differ in length: {left} and {right}")]
    Unpaired {
        /// Length of the first sample.
        left: usize,
        /// Length of the second.
        right: usize,
    },
    /// A value is infinite or not a number.
    #[error("a value is not finite")]
    NotFinite,
    /// The denominator's mean cannot be told from zero, so that the interval of the ratio is unbounded.
    #[error("the control's mean cannot be told from zero")]
    ControlNearZero,
    /// All values of one variable are equal: it has no rank order.
    #[error("all values of one variable are equal")]
    Constant,
}

/// Panics unless `confidence` is strictly between 0 and 1: a wrong constant of ours, not a measurement.
fn assert_confidence(confidence: f64) {
    assert!(confidence > 0.0 && confidence < 1.0, "confidence {confidence} is not between 0 and 1");
}

/// The two-sided critical value of Student's t with `df` degrees of freedom.
fn t_critical(confidence: f64, df: f64) -> f64 {
    assert_confidence(confidence);
    -t_quantile((1.0 - confidence) / 2.0, df)
}

fn check_finite(values: &[f64]) -> Result<(), NoEstimate> {
    if values.iter().all(|v| v.is_finite()) { Ok(()) } else { Err(NoEstimate::NotFinite) }
}

fn check_size(values: &[f64], needed: usize) -> Result<(), NoEstimate> {
    if values.len() >= needed { Ok(()) } else { Err(NoEstimate::TooFew { needed, has: values.len() }) }
}

fn check_pairs(left: &[f64], right: &[f64], needed: usize) -> Result<(), NoEstimate> {
    if left.len() != right.len() {
        return Err(NoEstimate::Unpaired { left: left.len(), right: right.len() });
    }
    check_size(left, needed)?;
    check_finite(left)?;
    check_finite(right)
}
