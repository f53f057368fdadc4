//! Mean, variance and quantile of a sample. Sums run in the order of the slice, so they are the same
//! bits everywhere; nothing here judges whether a mean is a good summary.

/// The arithmetic mean; none of an empty slice. A second pass adds the mean of what rounding left.
pub fn mean(values: &[f64]) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    let n = values.len() as f64;
    let first = values.iter().sum::<f64>() / n;
    Some(first + values.iter().map(|v| v - first).sum::<f64>() / n)
}

/// The unbiased sample variance (divisor n - 1), in the square of the unit; none below two values.
/// Exactly 0 if and only if all values are equal (up to underflow).
pub fn variance(values: &[f64]) -> Option<f64> {
    if values.len() < 2 {
        return None;
    }
    if all_equal(values) {
        return Some(0.0);
    }
    let centre = mean(values)?;
    Some(cross(values, values, centre, centre) / (values.len() - 1) as f64)
}

/// True when no value differs from the first.
pub(super) fn all_equal(values: &[f64]) -> bool {
    values.iter().all(|v| *v == values[0])
}

/// Sum of products of the deviations from two centres.
pub(super) fn cross(left: &[f64], right: &[f64], left_centre: f64, right_centre: f64) -> f64 {
    left.iter().zip(right).map(|(l, r)| (l - left_centre) * (r - right_centre)).sum()
}

/// The quantile of an ascending slice by linear interpolation between order statistics (type 7 of
/// Hyndman and Fan, The American Statistician 50(4), 1996: the default of R and NumPy), for
/// 0 <= p <= 1; none of an empty slice.
///
/// # Panics
/// If `p` is not between 0 and 1.
pub fn quantile_sorted(ascending: &[f64], p: f64) -> Option<f64> {
    assert!((0.0..=1.0).contains(&p), "quantile of {p}");
    debug_assert!(ascending.is_sorted(), "quantile of an unsorted slice");
    let last = ascending.len().checked_sub(1)?;
    let position = p * last as f64;
    let below = libm::floor(position) as usize;
    let above = (below + 1).min(last);
    let weight = position - below as f64;
    Some(ascending[below] + weight * (ascending[above] - ascending[below]))
}
