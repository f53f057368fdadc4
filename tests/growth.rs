//! Whether something grows, told from samples that jump: the median of the slopes of all pairs (Theil and Sen),
//! which up to a quarter of wild samples cannot move far. It knows nothing of processes.

/// What one process had at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// When, in seconds from the start.
    pub second: f64,
    /// Resident memory, KB.
    pub kb: f64,
    /// Open descriptors.
    pub descriptors: f64,
}

/// By how much it grew from the first sample to the last; negative if it shrank.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Growth {
    /// Resident memory, KB.
    pub kb: f64,
    /// Open descriptors.
    pub descriptors: f64,
}

/// Fewer samples say nothing.
const FEWEST: usize = 10;
/// Pairs are looked at among at most so many samples, spread evenly: an hour has 3600, and 6 million pairs.
const MOST: usize = 400;

/// See the module; none from too few samples.
pub fn growth(samples: &[Sample]) -> Option<Growth> {
    let step = samples.len().div_ceil(MOST).max(1);
    let kept: Vec<Sample> = samples.iter().step_by(step).copied().collect();
    if kept.len() < FEWEST {
        return None;
    }
    let time = samples.last()?.second - samples.first()?.second;
    let by = |of: fn(&Sample) -> f64| Some(slope(&kept, of)? * time);
    Some(Growth { kb: by(|it| it.kb)?, descriptors: by(|it| it.descriptors)? })
}

/// The median of the slopes of all pairs, per second.
fn slope(samples: &[Sample], of: fn(&Sample) -> f64) -> Option<f64> {
    let pairs = samples.iter().enumerate().flat_map(|(i, a)| samples[i + 1..].iter().map(move |b| (a, b)));
    let mut slopes: Vec<f64> = pairs
        .filter(|(a, b)| b.second > a.second)
        .map(|(a, b)| (of(b) - of(a)) / (b.second - a.second))
        .collect();
    slopes.sort_by(f64::total_cmp);
    slopes.get(slopes.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A minute of samples: memory that jumps as an allocator lets it, and grows by `kb` per second.
    fn minute(kb: f64, descriptors: f64) -> Vec<Sample> {
        let jumps = [0.0, 900.0, 0.0, 300.0, 1500.0, 0.0, 0.0, 600.0];
        let at = |i: usize| Sample {
            second: i as f64,
            kb: 9000.0 + jumps[i % jumps.len()] + kb * i as f64,
            descriptors: 40.0 + (i % 3) as f64 + descriptors * i as f64,
        };
        (0..60).map(at).collect()
    }

    #[test]
    fn what_jumps_and_does_not_grow_is_told_from_what_leaks() {
        let quiet = growth(&minute(0.0, 0.0)).unwrap();
        assert!(quiet.kb.abs() < 100.0 && quiet.descriptors.abs() < 1.0, "{quiet:?}");
        // 100 bytes for each of 800 calls per second, and one socket every four seconds.
        let leak = growth(&minute(80.0, 0.25)).unwrap();
        assert!((leak.kb - 80.0 * 59.0).abs() < 500.0, "{leak:?}");
        assert!((leak.descriptors - 0.25 * 59.0).abs() < 2.0, "{leak:?}");
    }

    #[test]
    fn a_peak_is_no_growth_and_few_samples_are_no_answer() {
        let mut samples = minute(0.0, 0.0);
        samples[55].kb = 900_000.0;
        samples[58].descriptors = 4_000.0;
        let growth_of_peaks = growth(&samples).unwrap();
        assert!(growth_of_peaks.kb.abs() < 200.0 && growth_of_peaks.descriptors.abs() < 1.0);
        assert_eq!(growth(&samples[..9]), None);
        assert_eq!(growth(&[]), None);
    }

    #[test]
    fn an_hour_is_looked_at_in_as_many_pairs_as_a_few_minutes() {
        let hour: Vec<Sample> = (0..3600)
            .map(|i| Sample { second: f64::from(i), kb: 9000.0 + f64::from(i), descriptors: 40.0 })
            .collect();
        let growth = growth(&hour).unwrap();
        assert!((growth.kb - 3599.0).abs() < 1.0 && growth.descriptors == 0.0, "{growth:?}");
    }
}
