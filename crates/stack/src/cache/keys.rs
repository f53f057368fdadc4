//! What is asked for: ranks by Zipf's law, by inversion of one uniform. The larger the uniform, the less popular.

use super::settings::Keys;

/// The popularity of keys, as a table of cumulative weights: exact, 8 bytes for each key.
pub struct Popularity {
    keys: Keys,
    /// Weights of the keys up to this one, the last one 1.
    up_to: Box<[f64]>,
}

impl Popularity {
    /// Of these keys.
    pub fn new(keys: &Keys) -> Popularity {
        let mut sum = 0.0;
        // `libm`, because the platform's powers differ.
        let weights = (1..=keys.count).map(|k| libm::pow(f64::from(k), -keys.exponent));
        let mut up_to: Box<[f64]> = weights
            .map(|weight| {
                sum += weight;
                sum
            })
            .collect();
        up_to.iter_mut().for_each(|weight| *weight /= sum);
        Popularity { keys: *keys, up_to }
    }

    /// Whether it is the one of these keys.
    pub fn is_of(&self, keys: &Keys) -> bool {
        self.keys == *keys
    }

    /// The rank, from 0, of the key at quantile `u`, 0 < u < 1.
    pub fn rank(&self, u: f64) -> u32 {
        let rank = self.up_to.partition_point(|&up_to| up_to < u);
        rank.min(self.up_to.len() - 1) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use pumphandle_core::draws::{Draws, Path, Stream};

    proptest! {
        #[test]
        fn ranks_grow_with_the_quantile_and_are_there(
            count in 1_u32..5000, exponent in 0.0_f64..3.0, a in 1e-9_f64..1.0, b in 1e-9_f64..1.0,
        ) {
            let it = Popularity::new(&Keys { count, exponent });
            let (low, high) = (it.rank(a.min(b)), it.rank(a.max(b)));
            prop_assert!(low <= high && high < count);
            prop_assert_eq!(it.rank(f64::MIN_POSITIVE), 0);
            prop_assert_eq!(it.rank(1.0), count - 1);
        }
    }

    #[test]
    fn keys_are_asked_for_as_often_as_zipfs_law_says() {
        let (keys, n) = (Keys { count: 200, exponent: 0.9 }, 200_000_u64);
        let (it, draws) = (Popularity::new(&keys), Draws::new(5));
        let mut counts = [0.0; 200];
        for i in 0..n {
            counts[it.rank(draws.uniform(Stream::CacheKey, 0, Path::of_arrival(i))) as usize] += 1.0;
        }
        let weights: Vec<f64> = (1..=200).map(|k| libm::pow(f64::from(k), -0.9)).collect();
        let total: f64 = weights.iter().sum();
        let chi2: f64 = counts
            .iter()
            .zip(&weights)
            .map(|(count, weight)| (n as f64 * weight / total, count))
            .map(|(expected, count)| (count - expected) * (count - expected) / expected)
            .sum();
        assert!(chi2 < 267.0, "chi-squared with 199 degrees of freedom exceeds its 99.9 % quantile: {chi2}");
    }
}
