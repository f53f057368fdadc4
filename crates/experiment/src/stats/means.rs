//! Means with Student's t intervals: of one sample, of two independent samples, of paired differences.
//!
//! Arms of one seed see the same arrivals, so a lever is always judged by [`paired_difference`]; the
//! independent [`welch_difference`] is for samples that share nothing, such as two sets of seeds.

use super::sample::{all_equal, mean, variance};
use super::{Estimate, NoEstimate, check_finite, check_pairs, check_size, t_critical};

/// Bounds of one arm's mean: mean +- t(n - 1) s / sqrt(n) (Student, 1908).
///
/// If all values are equal the interval is that point, and the method says so: it tells that nothing
/// was seen to vary, not that nothing can.
///
/// # Errors
/// Fewer than two values, or one that is not finite.
///
/// # Panics
/// If `confidence` is not strictly between 0 and 1.
pub fn one_mean(values: &[f64], confidence: f64) -> Result<Estimate, NoEstimate> {
    t_interval(values, confidence, "t", "no variation: a point")
}

/// Bounds of the mean of `treatment[i] - control[i]`, where `i` is the same seed in both: paired t.
///
/// # Errors
/// Different lengths, fewer than two pairs, or a value that is not finite.
///
/// # Panics
/// If `confidence` is not strictly between 0 and 1.
pub fn paired_difference(
    treatment: &[f64],
    control: &[f64],
    confidence: f64,
) -> Result<Estimate, NoEstimate> {
    check_pairs(treatment, control, 2)?;
    let differences: Vec<f64> = treatment.iter().zip(control).map(|(t, c)| t - c).collect();
    t_interval(&differences, confidence, "paired t", "paired, equal in all seeds: a point")
}

fn t_interval(
    values: &[f64],
    confidence: f64,
    method: &'static str,
    without_variance: &'static str,
) -> Result<Estimate, NoEstimate> {
    super::assert_confidence(confidence);
    check_size(values, 2)?;
    check_finite(values)?;
    let n = values.len();
    if all_equal(values) {
        return Ok(Estimate::point(values[0], n, without_variance));
    }
    let (centre, spread) = moments(values);
    let half = t_critical(confidence, n as f64 - 1.0) * libm::sqrt(spread / n as f64);
    around(centre, half, n, method)
}

/// Bounds of mean(left) - mean(right) for independent samples whose variances may differ: Welch's t
/// (Biometrika 34, 1947) with Satterthwaite's degrees of freedom (Biometrics Bulletin 2, 1946).
///
/// # Errors
/// Fewer than two values in a sample, or one that is not finite.
///
/// # Panics
/// If `confidence` is not strictly between 0 and 1.
pub fn welch_difference(left: &[f64], right: &[f64], confidence: f64) -> Result<Estimate, NoEstimate> {
    super::assert_confidence(confidence);
    for sample in [left, right] {
        check_size(sample, 2)?;
        check_finite(sample)?;
    }
    let n = left.len() + right.len();
    if all_equal(left) && all_equal(right) {
        return Ok(Estimate::point(left[0] - right[0], n, "no variation: a point"));
    }
    let share = |values: &[f64]| {
        let (centre, spread) = moments(values);
        (centre, spread / values.len() as f64, values.len() as f64 - 1.0)
    };
    let (left_mean, left_error, left_df) = share(left);
    let (right_mean, right_error, right_df) = share(right);
    let error = left_error + right_error;
    // Shares of the error, not the errors: their squares may underflow.
    let (a, b) = (left_error / error, right_error / error);
    let df = 1.0 / (a * a / left_df + b * b / right_df);
    around(left_mean - right_mean, t_critical(confidence, df) * libm::sqrt(error), n, "Welch's t")
}

/// Mean and variance of two or more values.
fn moments(values: &[f64]) -> (f64, f64) {
    (mean(values).expect("two or more values"), variance(values).expect("two or more values"))
}

/// The symmetric interval, unless finite values were so large that it overflowed.
fn around(centre: f64, half: f64, n: usize, method: &'static str) -> Result<Estimate, NoEstimate> {
    let (low, high) = (centre - half, centre + half);
    check_finite(&[low, high])?;
    Ok(Estimate { mean: centre, low, high, n, method })
}
