//! Deciding a claim from an interval, and looking again with more seeds while it is undecided.
//!
//! Looking four times at a 95 % interval would be wrong more often than 5 %. Each look therefore gets a
//! quarter of alpha, and each claim of one check its share of that (Bonferroni, twice): whatever the
//! claims have in common, the probability of any false decision in the whole check stays at most alpha.

use std::ops::Bound;

/// What an interval says of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The whole interval lies inside the region.
    Held,
    /// The whole interval lies outside the region.
    Broken,
    /// It has points of both.
    Undecided,
}

/// The values for which a claim is true: one interval, each end open, closed or absent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Region {
    /// The lower end.
    pub low: Bound<f64>,
    /// The upper end.
    pub high: Bound<f64>,
}

impl Region {
    /// Strictly above `low`.
    pub fn above(low: f64) -> Self {
        Self { low: Bound::Excluded(low), high: Bound::Unbounded }
    }

    /// `low` or more.
    pub fn at_least(low: f64) -> Self {
        Self { low: Bound::Included(low), high: Bound::Unbounded }
    }

    /// Strictly below `high`.
    pub fn below(high: f64) -> Self {
        Self { low: Bound::Unbounded, high: Bound::Excluded(high) }
    }

    /// `high` or less.
    pub fn at_most(high: f64) -> Self {
        Self { low: Bound::Unbounded, high: Bound::Included(high) }
    }

    /// Strictly between `low` and `high`.
    pub fn between(low: f64, high: f64) -> Self {
        Self { low: Bound::Excluded(low), high: Bound::Excluded(high) }
    }

    /// From `low` to `high`, both included.
    pub fn from_to(low: f64, high: f64) -> Self {
        Self { low: Bound::Included(low), high: Bound::Included(high) }
    }

    /// True if the value is too small for the region.
    fn is_below(&self, value: f64) -> bool {
        match self.low {
            Bound::Included(low) => value < low,
            Bound::Excluded(low) => value <= low,
            Bound::Unbounded => false,
        }
    }

    /// True if the value is too large for the region.
    fn is_above(&self, value: f64) -> bool {
        match self.high {
            Bound::Included(high) => value > high,
            Bound::Excluded(high) => value >= high,
            Bound::Unbounded => false,
        }
    }
}

/// Compares an interval (both bounds belong to it) with the region of a claim.
///
/// # Panics
/// If the bounds are not in order, or not numbers.
pub fn decide(interval: (f64, f64), region: Region) -> Decision {
    let (low, high) = interval;
    assert!(low <= high, "not an interval: {low} to {high}");
    if region.is_below(high) || region.is_above(low) {
        Decision::Broken
    } else if region.is_below(low) || region.is_above(high) {
        Decision::Undecided
    } else {
        Decision::Held
    }
}

/// The plan of looks for one check: how sure each interval must be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Looks {
    alpha: f64,
    claims: usize,
}

/// How a claim ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judged {
    /// What was decided at the last look.
    pub decision: Decision,
    /// Seeds at the last look.
    pub seeds: usize,
}

impl Looks {
    /// Seeds after which a claim is looked at; each look uses all seeds so far.
    pub const SEEDS: [usize; 4] = [20, 40, 80, 160];

    /// For a check of `claims` claims, of which one or more may be decided wrongly with a probability of
    /// at most `alpha`.
    ///
    /// # Panics
    /// If `alpha` is not strictly between 0 and 1, or there is no claim.
    pub fn new(alpha: f64, claims: usize) -> Self {
        assert!(alpha > 0.0 && alpha < 1.0, "alpha {alpha} is not between 0 and 1");
        assert!(claims > 0, "a check without claims needs no looks");
        Self { alpha, claims }
    }

    /// The confidence of every single interval: 1 - alpha / (looks x claims).
    pub fn confidence(&self) -> f64 {
        1.0 - self.alpha / (Self::SEEDS.len() * self.claims) as f64
    }

    /// The next look once `seeds` have been run; none after the last.
    pub fn after(seeds: usize) -> Option<usize> {
        Self::SEEDS.into_iter().find(|look| *look > seeds)
    }

    /// Looks until the claim is decided or the looks are used up. `interval` is asked with the number of
    /// seeds and the confidence; where it has no answer, the look decides nothing.
    pub fn judge(
        &self,
        region: Region,
        mut interval: impl FnMut(usize, f64) -> Option<(f64, f64)>,
    ) -> Judged {
        let mut judged = Judged { decision: Decision::Undecided, seeds: 0 };
        for seeds in Self::SEEDS {
            judged.seeds = seeds;
            if let Some(bounds) = interval(seeds, self.confidence()) {
                judged.decision = decide(bounds, region);
            }
            if judged.decision != Decision::Undecided {
                break;
            }
        }
        judged
    }
}
