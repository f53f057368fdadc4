//! Each row of the table of verdicts, from made-up outcomes of twenty seeds.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn healthy() -> Judged {
    Judged {
        arrivals: 10_000.0,
        harm: 0.0,
        harm_share: 0.0,
        error_share: 0.0,
        completed_per_s: 100.0,
        in_progress: 10.0,
        recovered: true,
        recovery_s: Some(0.0),
        onset_s: None,
        metastable: false,
        healthy_outside: 1.0,
        last_minute: 1.0,
        cost: 0.0,
    }
}

fn down() -> Judged {
    Judged {
        harm: 10_000.0,
        harm_share: 1.0,
        error_share: 0.9,
        completed_per_s: 250.0,
        in_progress: 50.0,
        recovered: false,
        recovery_s: None,
        onset_s: Some(5.0),
        metastable: true,
        healthy_outside: 0.2,
        last_minute: 0.0,
        ..healthy()
    }
}

fn seed(judged: Judged) -> SeedOutcome {
    SeedOutcome {
        arrivals: judged.arrivals,
        good: judged.arrivals - judged.harm,
        degraded: 0.0,
        pulled: judged,
        standing: judged,
        pulled_degraded: judged,
        standing_degraded: judged,
        good_share: BTreeMap::new(),
        goodput: BTreeMap::new(),
        patient_share: BTreeMap::new(),
        away_share: BTreeMap::new(),
        wait_s: BTreeMap::new(),
        services: Vec::new(),
        peaks: Vec::new(),
        first_flows: Vec::new(),
        incidents_per_week: 0.0,
        drain_time_s: 0.0,
    }
}

/// Twenty seeds, each a little different: the `i`-th is what `of` makes of it.
fn seeds(of: impl Fn(usize) -> Judged) -> Vec<SeedOutcome> {
    (0..20).map(|i| seed(of(i))).collect()
}

fn ruled(kind: Kind, mode: Mode, control: &[SeedOutcome], treatment: &[SeedOutcome]) -> Is {
    let refs = |of: &'static str, all: &[SeedOutcome]| -> Vec<SeedOutcome> {
        assert!(!all.is_empty(), "{of}");
        all.to_vec()
    };
    let (control, treatment) = (refs("control", control), refs("treatment", treatment));
    let (control, treatment): (Vec<_>, Vec<_>) = (control.iter().collect(), treatment.iter().collect());
    rule(
        kind,
        mode,
        &Arms { control: &control, treatment: &treatment, reference: None, declared: false },
        0.95,
    )
    .is
}

fn pulled(control: &[SeedOutcome], treatment: &[SeedOutcome]) -> Is {
    ruled(Kind::Pulse, Mode::Pulled, control, treatment)
}

fn wiggle(i: usize) -> f64 {
    (i % 5) as f64 / 1000.0
}

#[test]
fn a_lever_that_recovers_what_stays_down_ends_it() {
    let treatment = seeds(|i| Judged { harm_share: 0.05 + wiggle(i), recovery_s: Some(10.0), ..healthy() });
    assert_eq!(pulled(&seeds(|_| down()), &treatment), Is::Ends);
}

#[test]
fn standing_it_prevents_if_the_bins_outside_the_trigger_stay_healthy() {
    let control = seeds(|_| down());
    let treatment = seeds(|i| Judged { harm_share: 0.1 + wiggle(i), ..healthy() });
    assert_eq!(ruled(Kind::Pulse, Mode::Standing, &control, &treatment), Is::Prevents);
    let fourteen = seeds(|i| if i < 14 { healthy() } else { down() });
    assert_ne!(
        ruled(Kind::Pulse, Mode::Standing, &control, &fourteen),
        Is::Prevents,
        "14 of 20 show no majority"
    );
    let fifteen = seeds(|i| if i < 15 { healthy() } else { down() });
    assert_eq!(ruled(Kind::Pulse, Mode::Standing, &control, &fifteen), Is::Prevents);
}

#[test]
fn recovering_in_less_than_half_the_time_ends_it_only_if_ten_seconds_are_saved() {
    let control = |seconds: f64| {
        seeds(move |i| Judged { harm_share: 0.3, recovery_s: Some(seconds + wiggle(i)), ..healthy() })
    };
    let treatment = |seconds: f64| {
        seeds(move |i| Judged { harm_share: 0.29 + wiggle(i), recovery_s: Some(seconds), ..healthy() })
    };
    assert_eq!(pulled(&control(100.0), &treatment(30.0)), Is::Ends);
    assert_ne!(pulled(&control(12.0), &treatment(3.0)), Is::Ends, "nine seconds are no matter");
    assert_ne!(pulled(&control(100.0), &treatment(60.0)), Is::Ends);
}

#[test]
fn more_harm_worsens_and_so_does_staying_down_where_the_control_recovers() {
    let control = seeds(|i| Judged { harm_share: 0.2 + wiggle(i), ..healthy() });
    let more = seeds(|i| Judged { harm_share: 0.3 + wiggle(i), ..healthy() });
    assert_eq!(pulled(&control, &more), Is::Worsens);
    let stuck =
        seeds(|i| Judged { harm_share: 0.2 + wiggle(i), recovered: false, recovery_s: None, ..healthy() });
    assert_eq!(pulled(&control, &stuck), Is::Worsens);
}

#[test]
fn the_same_ruin_with_less_work_done_is_worse_unless_less_was_asked_for() {
    let doing = |completed: f64, in_progress: f64| {
        seeds(move |i| Judged {
            completed_per_s: completed + wiggle(i),
            in_progress: in_progress + wiggle(i),
            ..down()
        })
    };
    let control = doing(20.0, 200.0);
    assert_eq!(pulled(&control, &doing(8.0, 500.0)), Is::Worsens, "more in progress, less done");
    assert_eq!(pulled(&control, &doing(8.0, 80.0)), Is::NoEffect, "work that nobody asks for is not missed");
    assert_eq!(pulled(&control, &control), Is::NoEffect);
}

#[test]
fn a_later_onset_of_the_same_end_delays() {
    let later =
        |by: f64| seeds(move |i| Judged { onset_s: Some(5.0 + by + wiggle(i)), harm_share: 0.99, ..down() });
    assert_eq!(pulled(&seeds(|_| down()), &later(15.0)), Is::Delays);
    assert_eq!(pulled(&seeds(|_| down()), &later(5.0)), Is::NoEffect);
}

#[test]
fn less_harm_eases_fewer_errors_alone_mask_and_neither_has_no_effect() {
    let control = seeds(|i| Judged { harm_share: 0.8 + wiggle(i), error_share: 0.5 + wiggle(i), ..down() });
    let eased = seeds(|i| Judged { harm_share: 0.6 + wiggle(i), error_share: 0.5 + wiggle(i), ..down() });
    assert_eq!(pulled(&control, &eased), Is::Eases);
    let masked = seeds(|i| Judged { harm_share: 0.8 + wiggle(i), error_share: 0.1 + wiggle(i), ..down() });
    assert_eq!(pulled(&control, &masked), Is::Masks);
    assert_eq!(pulled(&control, &control), Is::NoEffect);
}

#[test]
fn a_wide_interval_is_undecided_and_a_control_without_harm_tests_nothing() {
    let control = seeds(|_| Judged { harm_share: 0.5, ..down() });
    let wild = seeds(|i| Judged { harm_share: if i % 2 == 0 { 0.9 } else { 0.15 }, ..down() });
    assert_eq!(pulled(&control, &wild), Is::Undecided);
    let well = seeds(|_| healthy());
    assert_eq!(pulled(&well, &seeds(|_| down())), Is::NotTested);
}

#[test]
fn what_does_not_begin_cannot_end() {
    let control = seeds(|i| Judged { harm_share: 0.5 + wiggle(i), ..down() });
    let treatment = seeds(|i| Judged { harm_share: 0.1 + wiggle(i), ..healthy() });
    for kind in [Kind::Sustained, Kind::Regime, Kind::Batch] {
        assert_eq!(ruled(kind, Mode::Pulled, &control, &treatment), Is::Eases);
    }
}

#[test]
fn fallbacks_that_would_change_the_verdict_are_marked() {
    let control = seeds(|_| down());
    let mut treatment = seeds(|_| down());
    for seed in &mut treatment {
        seed.pulled_degraded = Judged { harm_share: 0.05, recovery_s: Some(10.0), ..healthy() };
    }
    let (control, treatment): (Vec<_>, Vec<_>) = (control.iter().collect(), treatment.iter().collect());
    let arms = Arms { control: &control, treatment: &treatment, reference: None, declared: false };
    let ruling = rule(Kind::Pulse, Mode::Pulled, &arms, 0.95);
    assert_eq!((ruling.is, ruling.by_degrading), (Is::NoEffect, true));
}

#[test]
fn the_lesson_agrees_when_the_verdict_is_what_it_says_or_better() {
    let ruling =
        |is, recovery_s| Ruling { is, by_degrading: false, cost: None, share_of_seeds: None, recovery_s };
    let says = |lesson, is, after| agrees(Some(lesson), &ruling(is, after));
    assert_eq!(says(Lesson::Masks, Is::Masks, None), Some("yes"));
    assert_eq!(says(Lesson::Masks, Is::NoEffect, None), Some("no"));
    assert_eq!(says(Lesson::Moderate, Is::Ends, None), Some("and more"));
    assert_eq!(says(Lesson::Weak, Is::NoEffect, None), Some("yes"));
    assert_eq!(says(Lesson::Weak, Is::Eases, None), Some("yes"));
    assert_eq!(says(Lesson::Terrible, Is::Worsens, None), Some("yes"));
    assert_eq!(says(Lesson::Terrible, Is::Ends, None), Some("no"), "a claim of harm is refuted by a cure");
    assert_eq!(says(Lesson::VeryHigh, Is::Ends, Some(20.0)), Some("yes"));
    assert_eq!(says(Lesson::VeryHigh, Is::Ends, Some(40.0)), Some("no"));
    assert_eq!(says(Lesson::Ends, Is::Undecided, None), None);
    assert_eq!(agrees(None, &ruling(Is::Ends, None)), None);
}

proptest! {
    /// An arm compared with itself is never anything but without effect, or not tested.
    #[test]
    fn an_arm_is_never_better_or_worse_than_itself(
        shares in prop::collection::vec(0.0_f64..=1.0, 20), recovered in prop::collection::vec(any::<bool>(), 20),
        pulled in any::<bool>(), pulse in any::<bool>(),
    ) {
        let all = seeds(|i| Judged {
            harm_share: shares[i],
            error_share: shares[i] / 2.0,
            recovered: recovered[i],
            recovery_s: recovered[i].then_some(10.0 * shares[i]),
            onset_s: (!recovered[i]).then_some(5.0),
            healthy_outside: 1.0 - shares[i],
            ..healthy()
        });
        let mode = if pulled { Mode::Pulled } else { Mode::Standing };
        let kind = if pulse { Kind::Pulse } else { Kind::Regime };
        let is = ruled(kind, mode, &all, &all);
        prop_assert!(matches!(is, Is::NoEffect | Is::NotTested), "{is:?}");
    }
}

/// A regime judged by a declared cost, on the way to a reference.
fn by_cost(mode: Mode, [control, treatment, reference]: [&[SeedOutcome]; 3]) -> Is {
    fn refs(all: &[SeedOutcome]) -> Vec<&SeedOutcome> {
        all.iter().collect()
    }
    let (control, treatment, reference) = (refs(control), refs(treatment), refs(reference));
    let arms = Arms { control: &control, treatment: &treatment, reference: Some(&reference), declared: true };
    rule(Kind::Regime, mode, &arms, 0.95).is
}

fn costing(cost: f64) -> Vec<SeedOutcome> {
    seeds(|i| Judged { cost: cost + wiggle(i), ..healthy() })
}

#[test]
fn a_declared_cost_is_counted_from_the_reference_and_not_from_nothing() {
    let (control, reference) = (costing(24.0), costing(20.0));
    // 22 is a twelfth less than 24, and half of the way to 20.
    assert_eq!(by_cost(Mode::Pulled, [&control, &costing(22.0), &reference]), Is::Eases);
    assert_eq!(by_cost(Mode::Pulled, [&control, &costing(22.0), &costing(0.0)]), Is::NoEffect);
    assert_eq!(by_cost(Mode::Pulled, [&control, &costing(25.0), &reference]), Is::Worsens);
    assert_eq!(by_cost(Mode::Pulled, [&control, &control, &reference]), Is::NoEffect);
    assert_eq!(by_cost(Mode::Pulled, [&control, &costing(22.0), &control]), Is::NotTested, "there is no gap");
}

#[test]
fn with_a_declared_cost_a_lever_prevents_that_closes_the_gap_and_harms_nobody_for_it() {
    let (control, reference) = (costing(24.0), costing(4.0));
    let closed = costing(4.5);
    assert_eq!(by_cost(Mode::Standing, [&control, &closed, &reference]), Is::Prevents);
    assert_eq!(
        by_cost(Mode::Pulled, [&control, &closed, &reference]),
        Is::Eases,
        "it was pulled too late for that"
    );
    assert_eq!(by_cost(Mode::Standing, [&control, &costing(6.0), &reference]), Is::Eases);
    let starved = seeds(|i| Judged { cost: 4.5, harm_share: 0.2 + wiggle(i), ..healthy() });
    assert_eq!(by_cost(Mode::Standing, [&control, &starved, &reference]), Is::Worsens);
}
