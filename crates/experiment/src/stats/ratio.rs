//! The ratio of two paired means, with the interval of Fieller's theorem.
//!
//! A lever's worth is mean(T) / mean(C) - 1. Averaging the ratios of single seeds would estimate
//! something else, and explode when one seed's control is near zero.

use super::sample::{all_equal, cross, mean};
use super::{Estimate, NoEstimate, check_finite, check_pairs, t_critical};

/// mean(treatment) / mean(control) over pairs of one seed each, with Fieller's interval (E. C. Fieller,
/// J. Royal Statistical Society B 16(2), 1954).
///
/// The interval holds each q for which a paired t test does not refuse mean(T - q C) = 0; with t the
/// critical value and v the (co)variances of the two means these q solve
/// (c^2 - t^2 v_cc) q^2 - 2 (m c - t^2 v_mc) q + (m^2 - t^2 v_mm) <= 0.
///
/// # Errors
/// Different lengths, fewer than two pairs, a value that is not finite, or a control whose own t
/// interval at this confidence contains 0: then the set above is unbounded.
///
/// # Panics
/// If `confidence` is not strictly between 0 and 1.
pub fn ratio(treatment: &[f64], control: &[f64], confidence: f64) -> Result<Estimate, NoEstimate> {
    super::assert_confidence(confidence);
    check_pairs(treatment, control, 2)?;
    let n = control.len();
    // Both are divided by the control's scale, so that no square of them over- or underflows.
    let scale = control.iter().fold(0.0_f64, |largest, c| largest.max(c.abs()));
    if scale == 0.0 {
        return Err(NoEstimate::ControlNearZero);
    }
    let treatment: Vec<f64> = treatment.iter().map(|v| v / scale).collect();
    let control: Vec<f64> = control.iter().map(|v| v / scale).collect();
    let moments = PairedMoments::of(&treatment, &control);
    let mean = moments.treatment / moments.control;
    if all_equal(&treatment) && all_equal(&control) {
        check_finite(&[mean])?;
        return Ok(Estimate::point(mean, n, "ratio, equal in all seeds: a point"));
    }
    let (low, high) = moments.fieller(t_critical(confidence, n as f64 - 1.0))?;
    check_finite(&[mean, low, high])?;
    // The estimate solves the inequality; only rounding could put it a digit outside.
    Ok(Estimate { mean, low: low.min(mean), high: high.max(mean), n, method: "Fieller, paired" })
}

/// [`ratio`] - 1: what the treatment adds (above 0) or takes away, as a share of the control.
///
/// # Errors
/// As [`ratio`].
///
/// # Panics
/// If `confidence` is not strictly between 0 and 1.
pub fn ratio_minus_one(treatment: &[f64], control: &[f64], confidence: f64) -> Result<Estimate, NoEstimate> {
    let ratio = ratio(treatment, control, confidence)?;
    Ok(Estimate { mean: ratio.mean - 1.0, low: ratio.low - 1.0, high: ratio.high - 1.0, ..ratio })
}

/// Two means, and what Fieller's inequality needs of their errors.
struct PairedMoments {
    treatment: f64,
    control: f64,
    /// Variance of the control's mean.
    control_error: f64,
    /// Covariance of the two means.
    shared_error: f64,
    /// c^2 v_mm - 2 m c v_mc + m^2 v_cc, as the sum of squares that it is.
    cross_error: f64,
    /// v_mm v_cc - v_mc^2, in the same way.
    determinant: f64,
}

impl PairedMoments {
    /// The last two are summed from residuals: as differences of products they would lose the digits
    /// that a narrow interval is made of.
    fn of(treatment: &[f64], control: &[f64]) -> Self {
        let n = control.len() as f64;
        let per_mean = 1.0 / (n * (n - 1.0));
        let (m, c) = (mean(treatment).expect("two pairs"), mean(control).expect("two pairs"));
        let control_error = if all_equal(control) { 0.0 } else { cross(control, control, c, c) * per_mean };
        let shared_error = cross(treatment, control, m, c) * per_mean;
        let slope = if control_error > 0.0 { shared_error / control_error } else { 0.0 };
        let squares = |left: f64, right: f64| -> f64 {
            let residual = |(t, k): (&f64, &f64)| left * (t - m) - right * (k - c);
            treatment.iter().zip(control).map(residual).map(|w| w * w).sum::<f64>() * per_mean
        };
        Self {
            treatment: m,
            control: c,
            control_error,
            shared_error,
            cross_error: squares(c, m),
            determinant: squares(1.0, slope) * control_error,
        }
    }

    /// Both ends of Fieller's set, when it is an interval.
    fn fieller(&self, critical: f64) -> Result<(f64, f64), NoEstimate> {
        let square = critical * critical;
        let leading = self.control * self.control - square * self.control_error;
        if leading <= 0.0 {
            return Err(NoEstimate::ControlNearZero);
        }
        let middle = self.treatment * self.control - square * self.shared_error;
        let root = critical * libm::sqrt((self.cross_error - square * self.determinant).max(0.0));
        Ok(((middle - root) / leading, (middle + root) / leading))
    }
}
