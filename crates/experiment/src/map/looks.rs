//! How many seeds a point needs: few where they agree, more where they do not. Two looks at one point share
//! its 5 % of error (Bonferroni, unequal shares), so that a point is decided wrongly in at most 5 % of all
//! cases however often it was looked at.

use crate::stats::clopper_pearson;

/// Seeds of the first look: six of six is the least that can show a majority.
const FIRST: u64 = 6;
/// What the first look may err: six of six must be enough (1/32), and nothing less.
const FIRST_ALPHA: f64 = 0.032;
/// What is left for the second look: 16 of 20.
const SECOND_ALPHA: f64 = 0.018;

/// The looks at one point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Looks {
    most: u64,
}

impl Looks {
    /// At most this many seeds; up to six there is one look only, and fewer than six show nothing.
    pub fn new(most: u64) -> Looks {
        Looks { most }
    }

    /// Seeds at each look.
    pub fn at(self) -> Vec<u64> {
        if self.most <= FIRST { vec![self.most] } else { vec![FIRST, self.most] }
    }

    /// Whether `k` of `n` shows that most seeds do, or that most do not; none if neither is shown.
    pub fn most(self, k: u64, n: u64) -> Option<bool> {
        let alpha = match (self.most <= FIRST, n <= FIRST) {
            (true, _) => FIRST_ALPHA + SECOND_ALPHA,
            (false, true) => FIRST_ALPHA,
            (false, false) => SECOND_ALPHA,
        };
        let (low, high) = clopper_pearson(k, n, 1.0 - alpha);
        match (low > 0.5, high < 0.5) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The probability of `k` of `n` under one half.
    fn binomial(k: u64, n: u64) -> f64 {
        (1..=k).fold(0.5_f64.powi(n as i32), |p, i| p * (n + 1 - i) as f64 / i as f64)
    }

    #[test]
    fn six_of_six_decide_and_five_of_six_ask_for_more() {
        let looks = Looks::new(20);
        assert_eq!(looks.at(), [6, 20]);
        assert_eq!([0, 1, 5, 6].map(|k| looks.most(k, 6)), [Some(false), None, None, Some(true)]);
        assert_eq!([4, 5, 15, 16].map(|k| looks.most(k, 20)), [Some(false), None, None, Some(true)]);
        assert_eq!(Looks::new(6).most(6, 6), Some(true));
        assert_eq!(Looks::new(5).most(5, 5), None);
        assert_eq!(looks.most(0, 0), None);
    }

    #[test]
    fn a_share_of_one_half_is_called_either_way_in_at_most_five_per_cent_of_all_points() {
        for most in [6, 10, 20, 40] {
            let looks = Looks::new(most);
            let first: u64 = looks.at()[0];
            let decided = |k, n| looks.most(k, n).is_some();
            let mut wrong: f64 = (0..=first).filter(|&k| decided(k, first)).map(|k| binomial(k, first)).sum();
            if most > first {
                for k in (0..=first).filter(|&k| !decided(k, first)) {
                    for more in (0..=most - first).filter(|&more| decided(k + more, most)) {
                        wrong += binomial(k, first) * binomial(more, most - first);
                    }
                }
            }
            assert!(wrong <= 0.05, "{most} seeds: {wrong}");
            assert!(wrong > 0.01, "{most} seeds: so careful that it hardly decides anything: {wrong}");
        }
    }
}
