//! The definitions of outcomes, on made-up seconds: 100 users a second, so bins of five seconds.

use super::*;

/// A pulse with its trigger from 60 s to 90 s and the pull at 180 s.
fn timeline(end: usize) -> Timeline {
    Timeline {
        kind: Kind::Pulse,
        trigger: Some((60.0, 90.0)),
        pull: 180.0,
        end,
        bin: 5,
        slo: 3.0,
        spans: Vec::new(),
        cost: (CostOf::HarmShare, 0),
        settling: 0,
        step: 1,
    }
}

/// Seconds of 100 users, of whom `good(t)` are answered well and the rest get errors.
fn seconds(end: usize, good: impl Fn(usize) -> u32) -> Vec<Second> {
    (0..end)
        .map(|t| {
            let good = good(t);
            Second { arrivals: 100, good, errors: 100 - good, completed_good: good, ..Second::default() }
        })
        .collect()
}

fn judged(timeline: &Timeline, seconds: &[Second], pull: f64) -> Judged {
    Bins::new(timeline, seconds, false).judge(pull, &Vec::new())
}

#[test]
fn harm_counts_from_the_later_of_trigger_and_pull() {
    let timeline = timeline(300);
    let all = seconds(300, |t| if t < 60 { 100 } else { 0 });
    assert_eq!(judged(&timeline, &all, 180.0).harm, 12_000.0);
    assert_eq!(judged(&timeline, &all, 0.0).harm, 24_000.0);
    assert_eq!(judged(&timeline, &all, 0.0).harm_share, 1.0);
}

#[test]
fn what_never_fell_has_recovered_at_once_and_has_no_onset() {
    let timeline = timeline(300);
    let it = judged(&timeline, &seconds(300, |_| 100), 180.0);
    assert_eq!((it.recovered, it.recovery_s, it.onset_s, it.metastable), (true, Some(0.0), None, false));
    assert_eq!(it.healthy_outside, 1.0);
}

#[test]
fn recovery_is_timed_from_the_pull_and_onset_from_the_trigger() {
    let timeline = timeline(300);
    let it = judged(&timeline, &seconds(300, |t| if (65..200).contains(&t) { 0 } else { 100 }), 180.0);
    assert_eq!((it.recovery_s, it.onset_s), (Some(20.0), Some(5.0)));
    let standing = judged(&timeline, &seconds(300, |t| if (65..200).contains(&t) { 0 } else { 100 }), 0.0);
    assert_eq!(standing.recovery_s, Some(110.0), "from the trigger's end");
}

#[test]
fn two_bad_bins_are_no_onset_and_three_are() {
    let timeline = timeline(300);
    let dip = |length: usize| seconds(300, move |t| if (65..65 + length).contains(&t) { 0 } else { 100 });
    assert_eq!(judged(&timeline, &dip(10), 180.0).onset_s, None);
    assert_eq!(judged(&timeline, &dip(15), 180.0).onset_s, Some(5.0));
}

#[test]
fn a_relapse_in_the_last_half_minute_is_no_recovery() {
    let timeline = timeline(300);
    let it =
        judged(&timeline, &seconds(300, |t| if (60..100).contains(&t) || t >= 290 { 0 } else { 100 }), 180.0);
    assert!(!it.recovered);
    let earlier =
        judged(&timeline, &seconds(300, |t| if (60..100).contains(&t) || t == 250 { 0 } else { 100 }), 0.0);
    assert!(earlier.recovered, "one bad bin in twenty is borne");
}

#[test]
fn metastable_is_down_for_long_and_not_rising() {
    let long = timeline(300);
    assert!(judged(&long, &seconds(300, |t| if t < 60 { 100 } else { 0 }), 180.0).metastable);
    let rising = seconds(300, |t| if t < 60 { 100 } else { (t as u32).saturating_sub(200).min(80) });
    assert!(!judged(&long, &rising, 180.0).metastable, "it drains");
    let short = timeline(200);
    let down = seconds(200, |t| if t < 60 { 100 } else { 0 });
    assert!(!judged(&short, &down, 180.0).metastable, "110 s after the trigger are too few to say");
}

#[test]
fn health_is_measured_against_what_it_was_before_the_trigger() {
    let timeline = timeline(300);
    // It was never better than 90 %: so 86 % after the trigger is healthy, and 85 % is not.
    assert!(judged(&timeline, &seconds(300, |t| if t < 60 { 90 } else { 86 }), 180.0).recovered);
    assert!(!judged(&timeline, &seconds(300, |t| if t < 60 { 90 } else { 85 }), 180.0).recovered);
}

#[test]
fn the_trigger_and_its_aftermath_do_not_count_against_prevention() {
    let timeline = timeline(300);
    // Down from the trigger's start to SLO + 10 s after its end, which is within the bins up to 105 s.
    let it = judged(&timeline, &seconds(300, |t| if (60..103).contains(&t) { 0 } else { 100 }), 0.0);
    assert_eq!(it.healthy_outside, 1.0);
    let worse = judged(&timeline, &seconds(300, |t| if (60..110).contains(&t) { 0 } else { 100 }), 0.0);
    assert!(worse.healthy_outside < 1.0);
}

#[test]
fn the_unanswered_are_errors_and_stay_in_the_denominator() {
    let timeline = timeline(300);
    let all: Vec<Second> =
        (0..300).map(|_| Second { arrivals: 100, good: 50, ..Second::default() }).collect();
    let it = judged(&timeline, &all, 0.0);
    assert_eq!((it.harm_share, it.error_share), (0.5, 0.5));
}

#[test]
fn windows_follow_the_trigger() {
    let timeline = timeline(300);
    assert_eq!(timeline.window(Window::Before), Some(0..60));
    assert_eq!(timeline.window(Window::During), Some(60..90));
    assert_eq!(timeline.window(Window::After), Some(90..300));
    assert_eq!(timeline.window(Window::LastMinute), Some(240..300));
    let calm = Timeline { trigger: None, ..timeline };
    assert_eq!(calm.window(Window::During), None);
    assert_eq!(calm.window(Window::Before), Some(0..300));
}
