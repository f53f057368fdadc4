//! The methods against other people's code (`fixtures/`, made by `fixtures/make.py`), and the laws that
//! hold for every sample.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

const TOLERANCE: f64 = 1e-9;

fn fixtures(section: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("fixtures/fixtures.json")).unwrap();
    let cases = all[section].as_array().unwrap().clone();
    assert!(!cases.is_empty(), "no cases of {section}");
    cases
}

fn number(case: &Value, name: &str) -> f64 {
    case[name].as_f64().unwrap_or_else(|| panic!("{name} in {case}"))
}

fn numbers(case: &Value, name: &str) -> Vec<f64> {
    case[name].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

/// Relative above 1, absolute below it.
fn assert_close(found: f64, expected: f64, what: &Value) {
    assert!(
        (found - expected).abs() <= TOLERANCE * expected.abs().max(1.0),
        "found {found}, expected {expected}: {what}"
    );
}

fn assert_interval(found: Estimate, expected: &Value, case: &Value) {
    assert_close(found.low, number(expected, "low"), case);
    assert_close(found.high, number(expected, "high"), case);
}

// === Against independent implementations ===

#[test]
fn normal_quantiles_agree_with_fifty_digits() {
    for case in fixtures("normal_quantile") {
        let (p, z) = (number(&case, "p"), number(&case, "z"));
        assert_close(normal_quantile(p), z, &case);
        assert!((normal_quantile(p) - z).abs() <= 1e-13 * z.abs().max(1.0), "{case}");
    }
}

#[test]
fn t_quantiles_agree_with_scipy() {
    for case in fixtures("t_quantile") {
        assert_close(t_quantile(number(&case, "p"), number(&case, "df")), number(&case, "t"), &case);
    }
}

#[test]
fn the_incomplete_beta_function_agrees_with_fifty_digits() {
    for case in fixtures("beta_inc") {
        let found = beta_inc(number(&case, "a"), number(&case, "b"), number(&case, "x"));
        assert!((found - number(&case, "i")).abs() < 1e-12, "found {found}: {case}");
    }
}

#[test]
fn beta_quantiles_agree_with_scipy() {
    for case in fixtures("beta_quantile") {
        let found = beta_quantile(number(&case, "p"), number(&case, "a"), number(&case, "b"));
        assert!((found - number(&case, "x")).abs() < 1e-12, "found {found}: {case}");
    }
}

#[test]
fn clopper_pearson_agrees_with_scipy() {
    for case in fixtures("clopper_pearson") {
        let (k, n) = (case["k"].as_u64().unwrap(), case["n"].as_u64().unwrap());
        let (low, high) = clopper_pearson(k, n, number(&case, "confidence"));
        assert_close(low, number(&case, "low"), &case);
        assert_close(high, number(&case, "high"), &case);
    }
}

#[test]
fn means_agree_with_scipy_and_ratios_with_the_textbook_form_of_fieller() {
    let mut unbounded = 0;
    for case in fixtures("means") {
        let (treatment, control) = (numbers(&case, "treatment"), numbers(&case, "control"));
        let confidence = number(&case, "confidence");
        let shorter = &control[..control.len() - control.len() / 3];
        assert_close(mean(&treatment).unwrap(), number(&case, "mean"), &case);
        assert_close(variance(&treatment).unwrap(), number(&case, "variance"), &case);
        assert_interval(one_mean(&treatment, confidence).unwrap(), &case["one"], &case);
        assert_interval(paired_difference(&treatment, &control, confidence).unwrap(), &case["paired"], &case);
        assert_interval(welch_difference(&treatment, shorter, confidence).unwrap(), &case["welch"], &case);
        let found = ratio(&treatment, &control, confidence);
        if case["ratio"].is_null() {
            assert_eq!(found, Err(NoEstimate::ControlNearZero), "{case}");
            unbounded += 1;
        } else {
            assert_close(found.unwrap().mean, number(&case["ratio"], "mean"), &case);
            assert_interval(found.unwrap(), &case["ratio"], &case);
        }
    }
    assert!(unbounded > 0, "no case has a control near zero");
}

#[test]
fn rank_correlations_agree_with_scipy_and_the_published_variances() {
    for case in fixtures("ranks") {
        let (x, y, confidence) = (numbers(&case, "x"), numbers(&case, "y"), number(&case, "confidence"));
        let rho = spearman(&x, &y, confidence).unwrap();
        assert_close(rho.mean, number(&case, "rho"), &case);
        assert_interval(rho, &case["rho_interval"], &case);
        let tau = kendall(&x, &y, confidence).unwrap();
        assert_close(tau.mean, number(&case, "tau"), &case);
        assert_interval(tau, &case["tau_interval"], &case);
    }
}

#[test]
fn quantiles_of_a_sample_agree_with_numpy() {
    for case in fixtures("quantile") {
        let found = quantile_sorted(&numbers(&case, "values"), number(&case, "p")).unwrap();
        assert_close(found, number(&case, "q"), &case);
    }
}

// === Shares and one half ===

/// The rule in whole numbers: the tail of a fair coin, sum of C(n, i) / 2^n from k to n, is under 1/40.
fn exactly_above_half(k: u64, n: u64) -> bool {
    let mut choose: u128 = 1;
    let mut tail: u128 = 0;
    for i in 0..=n {
        if i >= k {
            tail += choose;
        }
        choose = choose * u128::from(n - i) / u128::from(i + 1);
    }
    tail * 40 < 1 << n
}

#[test]
fn the_state_of_a_share_is_that_of_an_exact_sign_test() {
    for n in 1..=100 {
        for k in 0..=n {
            let expected = if exactly_above_half(k, n) {
                ShareState::AboveHalf
            } else if exactly_above_half(n - k, n) {
                ShareState::BelowHalf
            } else {
                ShareState::Mixed
            };
            assert_eq!(share_state(k, n), expected, "{k} of {n}");
        }
    }
}

#[test]
fn of_twenty_seeds_fifteen_are_above_half_and_five_below() {
    for k in 0..=20 {
        let expected = match k {
            0..=5 => ShareState::BelowHalf,
            6..=14 => ShareState::Mixed,
            _ => ShareState::AboveHalf,
        };
        assert_eq!(share_state(k, 20), expected, "{k} of 20");
    }
    assert_eq!(share_state(5, 5), ShareState::Mixed, "five seeds decide nothing");
    assert_eq!(share_state(6, 6), ShareState::AboveHalf);
    assert_eq!(share_state(0, 0), ShareState::Mixed);
}

// === Degenerate data ===

#[test]
fn equal_differences_give_a_point_that_says_so() {
    let control = [0.1, 0.7, 0.3];
    let same = paired_difference(&control, &control, 0.95).unwrap();
    assert_eq!((same.low, same.mean, same.high), (0.0, 0.0, 0.0));
    assert!(same.method.contains("point"));
    let ratio = ratio_minus_one(&[0.2; 3], &[0.8; 3], 0.95).unwrap();
    assert_eq!((ratio.low, ratio.mean, ratio.high), (-0.75, -0.75, -0.75));
    assert!(ratio.method.contains("point"));
    let both = welch_difference(&[1.0; 3], &[3.0; 4], 0.95).unwrap();
    assert_eq!((both.low, both.high, both.n), (-2.0, -2.0, 7));
}

#[test]
fn a_treatment_without_any_harm_is_minus_one() {
    let cured = ratio_minus_one(&[0.0; 4], &[0.9, 0.8, 0.7, 0.9], 0.95).unwrap();
    assert_eq!((cured.low, cured.mean, cured.high), (-1.0, -1.0, -1.0));
}

#[test]
fn what_cannot_be_estimated_says_why() {
    assert_eq!(one_mean(&[1.0], 0.95), Err(NoEstimate::TooFew { needed: 2, has: 1 }));
    assert_eq!(paired_difference(&[], &[], 0.95), Err(NoEstimate::TooFew { needed: 2, has: 0 }));
    assert_eq!(paired_difference(&[1.0, 2.0], &[1.0], 0.95), Err(NoEstimate::Unpaired { left: 2, right: 1 }));
    assert_eq!(one_mean(&[1.0, f64::NAN], 0.95), Err(NoEstimate::NotFinite));
    assert_eq!(one_mean(&[f64::MAX, -f64::MAX], 0.95), Err(NoEstimate::NotFinite));
    assert_eq!(ratio(&[1.0, 2.0], &[0.0, 0.0], 0.95), Err(NoEstimate::ControlNearZero));
    assert_eq!(ratio(&[1.0, 2.0], &[-1.0, 1.0], 0.95), Err(NoEstimate::ControlNearZero));
    assert_eq!(kendall(&[1.0; 4], &[1.0; 4], 0.95), Err(NoEstimate::TooFew { needed: 5, has: 4 }));
    assert_eq!(spearman(&[1.0; 5], &[1.0, 2.0, 3.0, 4.0, 5.0], 0.95), Err(NoEstimate::Constant));
    assert_eq!(kendall(&[1.0; 5], &[1.0, 2.0, 3.0, 4.0, 5.0], 0.95), Err(NoEstimate::Constant));
    assert_eq!((mean(&[]), variance(&[1.0]), quantile_sorted(&[], 0.5)), (None, None, None));
}

#[test]
fn a_perfect_order_of_a_dozen_points_does_not_prove_a_law() {
    let up: Vec<f64> = (0..12).map(f64::from).collect();
    let down: Vec<f64> = up.iter().rev().copied().collect();
    for method in [spearman, kendall] {
        let (same, reversed) = (method(&up, &up, 0.95).unwrap(), method(&up, &down, 0.95).unwrap());
        assert_eq!((same.mean, same.high), (1.0, 1.0));
        assert_eq!((reversed.mean, reversed.low), (-1.0, -1.0));
        assert!(0.5 < same.low && same.low < 0.99, "{same:?}");
        assert!((same.low + reversed.high).abs() < 1e-12);
    }
}

// === Looks and decisions ===

#[test]
fn looks_share_alpha_among_looks_and_claims() {
    assert!((Looks::new(0.05, 1).confidence() - 0.9875).abs() < 1e-15);
    assert!((Looks::new(0.05, 10).confidence() - 0.99875).abs() < 1e-15);
    let plan: Vec<usize> = std::iter::successors(Looks::after(0), |seeds| Looks::after(*seeds)).collect();
    assert_eq!(plan, Looks::SEEDS);
    assert_eq!(Looks::after(25), Some(40), "an odd number of seeds goes on to the next look");
}

#[test]
fn looking_stops_at_the_first_decision() {
    let looks = Looks::new(0.05, 1);
    let mut asked = Vec::new();
    let judged = looks.judge(Region::above(0.0), |seeds, _| {
        asked.push(seeds);
        match seeds {
            20 => None,
            40 => Some((-1.0, 1.0)),
            _ => Some((0.5, 1.0)),
        }
    });
    assert_eq!(judged, Judged { decision: Decision::Held, seeds: 80 });
    assert_eq!(asked, [20, 40, 80]);
    let never = looks.judge(Region::above(0.0), |_, _| None);
    assert_eq!(never, Judged { decision: Decision::Undecided, seeds: 160 });
}

#[test]
fn the_border_belongs_to_a_closed_region_and_not_to_an_open_one() {
    let cases = [
        (Region::above(1.0), Decision::Broken),
        (Region::at_least(1.0), Decision::Held),
        (Region::below(1.0), Decision::Broken),
        (Region::at_most(1.0), Decision::Held),
        (Region::between(1.0, 2.0), Decision::Broken),
        (Region::from_to(1.0, 2.0), Decision::Held),
    ];
    for (region, expected) in cases {
        assert_eq!(decide((1.0, 1.0), region), expected, "{region:?}");
    }
    assert_eq!(decide((1.0, 1.5), Region::above(1.0)), Decision::Undecided);
    assert_eq!(decide((0.0, 1.0), Region::above(1.0)), Decision::Broken);
    assert_eq!(decide((0.0, 1.0), Region::at_least(1.0)), Decision::Undecided);
    assert_eq!(decide((-9.0, 9.0), Region::between(-0.1, 0.1)), Decision::Undecided);
    assert_eq!(decide((-0.05, 0.05), Region::between(-0.1, 0.1)), Decision::Held);
}

// === Laws ===

fn sample() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(-100.0..100.0_f64, 2..40)
}

fn paired() -> impl Strategy<Value = (Vec<f64>, Vec<f64>)> {
    prop::collection::vec((0.0..10.0_f64, 5.0..10.0_f64), 5..40).prop_map(|pairs| pairs.into_iter().unzip())
}

fn map(values: &[f64], change: impl Fn(f64) -> f64) -> Vec<f64> {
    values.iter().map(|v| change(*v)).collect()
}

/// Both estimates are the same interval up to rounding at the given scale.
fn same(found: Estimate, low: f64, high: f64, scale: f64) -> bool {
    (found.low - low).abs() <= 1e-9 * scale && (found.high - high).abs() <= 1e-9 * scale
}

proptest! {
    #[test]
    fn an_interval_contains_its_estimate_and_a_wider_confidence_contains_the_interval(
        (treatment, control) in paired(),
        confidence in 0.5..0.99_f64,
    ) {
        let methods = [one_difference, paired_difference, welch_difference, ratio_minus_one, spearman, kendall];
        for method in methods {
            let (Ok(narrow), Ok(wide)) =
                (method(&treatment, &control, confidence), method(&treatment, &control, confidence + 0.009))
            else {
                continue;
            };
            prop_assert!(narrow.low <= narrow.mean && narrow.mean <= narrow.high, "{narrow:?}");
            prop_assert!(wide.low <= narrow.low && narrow.high <= wide.high, "{narrow:?} {wide:?}");
        }
    }

    #[test]
    fn a_mean_moves_and_stretches_with_its_values(
        values in sample(), shift in -1e3..1e3_f64, scale in 0.01..100.0_f64,
    ) {
        let before = one_mean(&values, 0.95).unwrap();
        let moved = one_mean(&map(&values, |v| shift + scale * v), 0.95).unwrap();
        let size = 1e3 + scale * (before.high.abs().max(before.low.abs()));
        prop_assert!(same(moved, shift + scale * before.low, shift + scale * before.high, size));
        let mirrored = one_mean(&map(&values, |v| -v), 0.95).unwrap();
        prop_assert!(same(mirrored, -before.high, -before.low, size));
    }

    #[test]
    fn a_paired_difference_does_not_see_what_both_arms_share(
        (treatment, control) in paired(), shift in -100.0..100.0_f64,
    ) {
        let before = paired_difference(&treatment, &control, 0.95).unwrap();
        let add = |values: &[f64]| map(values, |v| v + shift);
        let after = paired_difference(&add(&treatment), &add(&control), 0.95).unwrap();
        prop_assert!(same(after, before.low, before.high, 100.0));
        let swapped = paired_difference(&control, &treatment, 0.95).unwrap();
        prop_assert!(same(swapped, -before.high, -before.low, 10.0));
    }

    #[test]
    fn a_ratio_is_free_of_units_and_scales_with_its_treatment(
        (treatment, control) in paired(), unit in 1e-6..1e6_f64, factor in 0.1..10.0_f64,
    ) {
        let before = ratio(&treatment, &control, 0.95).unwrap();
        let size = before.high.abs().max(before.low.abs()).max(1.0);
        let other_unit = ratio(&map(&treatment, |v| v * unit), &map(&control, |v| v * unit), 0.95).unwrap();
        prop_assert!(same(other_unit, before.low, before.high, size));
        let scaled = ratio(&map(&treatment, |v| v * factor), &control, 0.95).unwrap();
        prop_assert!(same(scaled, factor * before.low, factor * before.high, factor * size));
    }

    #[test]
    fn each_end_of_fiellers_interval_is_just_refused_by_a_paired_t_test((treatment, control) in paired()) {
        let found = ratio(&treatment, &control, 0.95).unwrap();
        for end in [found.low, found.high] {
            let scaled = map(&control, |v| v * end);
            let test = paired_difference(&treatment, &scaled, 0.95).unwrap();
            let nearest = test.low.abs().min(test.high.abs());
            prop_assert!(nearest < 1e-8, "{end} of {found:?}: {test:?}");
        }
    }

    #[test]
    fn clopper_pearson_is_symmetric_and_rises_with_the_count(n in 1..300_u64, pick in 0.0..1.0_f64) {
        let k = (pick * n as f64) as u64;
        let (low, high) = clopper_pearson(k, n, 0.95);
        let share = k as f64 / n as f64;
        prop_assert!(0.0 <= low && low <= share && share <= high && high <= 1.0);
        let (mirrored_low, mirrored_high) = clopper_pearson(n - k, n, 0.95);
        prop_assert!((low - (1.0 - mirrored_high)).abs() < 1e-15 && (high - (1.0 - mirrored_low)).abs() < 1e-15);
        let (next_low, next_high) = clopper_pearson(k + 1, n + 1, 0.95);
        prop_assert!(low < next_low && high <= next_high, "one more success");
        if k < n {
            let (more_low, more_high) = clopper_pearson(k + 1, n, 0.95);
            prop_assert!(low < more_low && high <= more_high);
            prop_assert!(high < more_high || high == 1.0, "only at n - 1 may the upper bound round to 1");
        }
    }

    #[test]
    fn quantiles_undo_their_distribution_functions(p in 1e-6..0.999_999_f64, a in 0.3..200.0_f64, b in 0.3..200.0_f64) {
        // At the neighbouring numbers I_x must already lie on both sides, where a shape is too steep for 1e-12.
        let x = beta_quantile(p, a, b);
        let (under, over) = (beta_inc(a, b, x * (1.0 - 1e-12)), beta_inc(a, b, (x * (1.0 + 1e-12)).min(1.0)));
        prop_assert!(under - 1e-12 <= p && p <= over + 1e-12, "{under} {p} {over}");
        let z = normal_quantile(p);
        prop_assert!((1.0 - special::normal_upper(z) - p).abs() < 1e-14);
        prop_assert!((t_quantile(p, a) + t_quantile(1.0 - p, a)).abs() <= 1e-9 * (1.0 + t_quantile(p, a).abs()));
    }

    #[test]
    fn ranks_see_order_only(values in prop::collection::vec((-4.0..4.0_f64, -4.0..4.0_f64), 5..30)) {
        let (x, y): (Vec<f64>, Vec<f64>) = values.into_iter().unzip();
        for method in [spearman, kendall] {
            let before = method(&x, &y, 0.95).unwrap();
            prop_assert_eq!(before, method(&map(&x, libm::exp), &map(&y, |v| 3.0 * v - 1.0), 0.95).unwrap());
            let mirrored = method(&x, &map(&y, |v| -v), 0.95).unwrap();
            prop_assert!(same(mirrored, -before.high, -before.low, 1.0));
            prop_assert_eq!(before, method(&y, &x, 0.95).unwrap());
        }
    }

    #[test]
    fn a_decision_is_what_every_point_of_the_interval_says(
        low in -3..3_i32, width in 0..3_i32, from in -3..3_i32, size in 1..3_i32, open in any::<bool>(),
    ) {
        let region = if open { Region::between(f64::from(from), f64::from(from + size)) }
            else { Region::from_to(f64::from(from), f64::from(from + size)) };
        // Steps of a quarter meet each border of whole numbers and both of its sides.
        let inside = |quarter: i32| {
            let (first, last) = (4 * from, 4 * (from + size));
            if open { first < quarter && quarter < last } else { first <= quarter && quarter <= last }
        };
        let points: Vec<bool> = (4 * low..=4 * (low + width)).map(inside).collect();
        let expected = match (points.iter().all(|p| *p), points.iter().any(|p| *p)) {
            (true, _) => Decision::Held,
            (false, true) => Decision::Undecided,
            (false, false) => Decision::Broken,
        };
        prop_assert_eq!(decide((f64::from(low), f64::from(low + width)), region), expected);
    }

    #[test]
    fn a_quantile_of_a_sample_lies_between_its_neighbours(mut values in sample(), p in 0.0..=1.0_f64) {
        values.sort_by(f64::total_cmp);
        let found = quantile_sorted(&values, p).unwrap();
        let below = (p * (values.len() - 1) as f64) as usize;
        prop_assert!(values[below] <= found && found <= values[(below + 1).min(values.len() - 1)]);
    }
}

/// The first sample alone, in the shape of the others.
fn one_difference(values: &[f64], _: &[f64], confidence: f64) -> Result<Estimate, NoEstimate> {
    one_mean(values, confidence)
}
