//! Shares of seeds: k of n recovered. Exact bounds, because 20 of 20 is the usual count and every
//! normal approximation fails there.

use super::assert_confidence;
use super::special::beta_quantile;

/// Clopper-Pearson bounds of a share of which `k` of `n` were seen (Biometrika 26, 1934): each tail has
/// at most half of what `confidence` leaves. They cover at least as often as they say, for every true
/// share and every n. With n = 0 nothing is known: (0, 1).
///
/// # Panics
/// If k > n, or `confidence` is not strictly between 0 and 1.
pub fn clopper_pearson(k: u64, n: u64, confidence: f64) -> (f64, f64) {
    assert!(k <= n, "{k} of {n}");
    assert_confidence(confidence);
    let tail = (1.0 - confidence) / 2.0;
    (lower(k, n, tail), 1.0 - lower(n - k, n, tail))
}

/// The smallest share under which seeing `k` or more of `n` has at least the probability `tail`. The
/// upper bound is the lower bound of the complement, so that the pair is symmetric by construction.
fn lower(k: u64, n: u64, tail: f64) -> f64 {
    if k == 0 { 0.0 } else { beta_quantile(tail, k as f64, (n - k + 1) as f64) }
}

/// Where a share stands relative to one half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShareState {
    /// The 95 % lower bound is above one half (of 20: 15 or more).
    AboveHalf,
    /// The 95 % upper bound is below one half (of 20: 5 or fewer).
    BelowHalf,
    /// Neither can be said.
    Mixed,
}

/// Compares the 95 % Clopper-Pearson bounds of `k` of `n` with one half. Below six seeds every answer
/// is [`ShareState::Mixed`].
///
/// # Panics
/// If k > n.
pub fn share_state(k: u64, n: u64) -> ShareState {
    let (low, high) = clopper_pearson(k, n, 0.95);
    if low > 0.5 {
        ShareState::AboveHalf
    } else if high < 0.5 {
        ShareState::BelowHalf
    } else {
        ShareState::Mixed
    }
}
