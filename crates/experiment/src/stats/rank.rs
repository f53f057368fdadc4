//! Rank correlation with an interval: does the ladder of levers as measured follow the ladder as claimed?
//!
//! Both intervals are made on Fisher's z scale, z = atanh(r), with a variance that fits rank
//! correlations better than the 1 / (n - 3) of Pearson's. They are approximations for a dozen points;
//! [`coverage`](super::coverage) measures them. Ties are allowed, the intervals then only indicative.
//!
//! At r = +-1 Fisher's z is infinite and the interval would be a point, as if a dozen points proved a
//! law. There z is taken half a step short of 1, a step being the least change that exchanging two
//! neighbours makes. This continuity correction is our own; it errs on the wide side.

use super::sample::{cross, mean};
use super::{Estimate, NoEstimate, assert_confidence, check_pairs, normal_quantile};

/// Spearman's rho: Pearson's correlation of the ranks, equal values sharing the mean of their ranks.
/// Interval: Fisher's z with variance (1 + r^2 / 2) / (n - 3) (Bonett and Wright, Psychometrika 65(1),
/// 2000). Needs 4 points.
///
/// # Errors
/// Different lengths, too few points, a value that is not finite, or a variable that never varies.
///
/// # Panics
/// If `confidence` is not strictly between 0 and 1.
pub fn spearman(x: &[f64], y: &[f64], confidence: f64) -> Result<Estimate, NoEstimate> {
    assert_confidence(confidence);
    check_pairs(x, y, 4)?;
    let (x, y) = (ranks(x), ranks(y));
    let n = x.len() as f64;
    let centre = mean(&x).expect("four points");
    let spread = cross(&x, &x, centre, centre) * cross(&y, &y, centre, centre);
    if spread == 0.0 {
        return Err(NoEstimate::Constant);
    }
    let r = (cross(&x, &y, centre, centre) / libm::sqrt(spread)).clamp(-1.0, 1.0);
    let error = libm::sqrt((1.0 + r * r / 2.0) / (n - 3.0));
    let step = 12.0 / (n * (n * n - 1.0));
    Ok(on_z_scale(r, step, error, confidence, x.len(), "Spearman, Fisher z (Bonett-Wright)"))
}

/// Kendall's tau-b: concordant less discordant pairs, over the geometric mean of the pairs that are not
/// tied in x and in y. Interval: Fisher's z with variance 0.437 / (n - 4) (Fieller, Hartley and
/// Pearson, Biometrika 44, 1957), which is meant for |tau| < 0.8: with a dozen points of strong
/// correlation it covers 91 % instead of 95 %, where Spearman's keeps its word. Needs 5 points.
///
/// # Errors
/// Different lengths, too few points, a value that is not finite, or a variable that never varies.
///
/// # Panics
/// If `confidence` is not strictly between 0 and 1.
pub fn kendall(x: &[f64], y: &[f64], confidence: f64) -> Result<Estimate, NoEstimate> {
    assert_confidence(confidence);
    check_pairs(x, y, 5)?;
    let n = x.len();
    let (mut balance, mut x_pairs, mut y_pairs) = (0_i64, 0_i64, 0_i64);
    for i in 1..n {
        for j in 0..i {
            let (dx, dy) = (order(x[i], x[j]), order(y[i], y[j]));
            balance += dx * dy;
            x_pairs += dx.abs();
            y_pairs += dy.abs();
        }
    }
    if x_pairs == 0 || y_pairs == 0 {
        return Err(NoEstimate::Constant);
    }
    let tau = (balance as f64 / libm::sqrt(x_pairs as f64 * y_pairs as f64)).clamp(-1.0, 1.0);
    let count = n as f64;
    let error = libm::sqrt(0.437 / (count - 4.0));
    let step = 4.0 / (count * (count - 1.0));
    Ok(on_z_scale(tau, step, error, confidence, n, "Kendall tau-b, Fisher z (Fieller)"))
}

/// tanh(atanh(r) +- z error), with |r| held half a `step` short of 1.
fn on_z_scale(r: f64, step: f64, error: f64, confidence: f64, n: usize, method: &'static str) -> Estimate {
    let most = 1.0 - step / 2.0;
    let z = libm::atanh(r.clamp(-most, most));
    let half = -normal_quantile((1.0 - confidence) / 2.0) * error;
    let (low, high) = (libm::tanh(z - half), libm::tanh(z + half));
    // A perfect order is its own bound on the outer side.
    let (low, high) = (if r <= -most { -1.0 } else { low }, if r >= most { 1.0 } else { high });
    Estimate { mean: r, low, high, n, method }
}

fn order(a: f64, b: f64) -> i64 {
    i64::from(a > b) - i64::from(a < b)
}

/// Ranks from 1; equal values share the mean of the ranks they would take.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut places: Vec<usize> = (0..values.len()).collect();
    places.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    for tied in places.chunk_by(|a, b| values[*a] == values[*b]) {
        let shared = first as f64 + (tied.len() as f64 + 1.0) / 2.0;
        for place in tied {
            ranks[*place] = shared;
        }
        first += tied.len();
    }
    ranks
}
