//! What is tried again, when, how often, and under which keys.

use proptest::prelude::*;
use pumphandle_core::time::{now, simulate};

use super::*;
use crate::testing::*;

fn backoff() -> impl Strategy<Value = Backoff> {
    let jitter =
        prop_oneof![Just(Jitter::None), Just(Jitter::Full), Just(Jitter::Equal), Just(Jitter::Decorrelated),];
    (1_u64..1_000_000, 1_u64..1_000_000, 1.0_f64..4.0, jitter).prop_map(|(a, b, factor, jitter)| Backoff {
        up_to: Dur(Duration::from_nanos(a.max(b))),
        first: Some(Dur(Duration::from_nanos(a.min(b)))),
        factor,
        jitter,
    })
}

proptest! {
    #[test]
    fn every_pause_lies_between_the_bounds_of_its_jitter(
        backoff in backoff(), us in prop::collection::vec(0.0_f64..1.0, 1..20),
    ) {
        let nanos = |span: Duration| span.as_nanos() as f64;
        let (first, most) = (nanos(backoff.first.unwrap().0), nanos(backoff.up_to.0));
        let (mut previous, mut ceiling) = (Duration::ZERO, first);
        for (retry, u) in (1..).zip(us) {
            let pause = backoff.pause(retry, previous, u);
            let (low, high) = match backoff.jitter {
                Jitter::None => (ceiling, ceiling),
                Jitter::Full => (0.0, ceiling),
                Jitter::Equal => (ceiling / 2.0, ceiling),
                Jitter::Decorrelated => (first, (3.0 * nanos(previous).max(first)).min(most)),
            };
            prop_assert!((low - 1.0..=high + 1.0).contains(&nanos(pause)), "{pause:?}: {low} to {high}");
            prop_assert!(pause <= backoff.up_to.0);
            // Monotone in the draw: what waits longer in one arm waits longer in the other.
            prop_assert!(pause <= backoff.pause(retry, previous, (u + 1.0) / 2.0));
            previous = pause;
            ceiling = (ceiling * backoff.factor).min(most);
        }
    }

    /// Attempts, retries and calls are three counts of one thing.
    #[test]
    fn a_call_is_tried_until_it_succeeds_or_its_attempts_are_used_up(attempts in 1_u32..20, good_from in 0_usize..25) {
        let script = Script::new(move |n, _| (millis(1), if n < good_from { Err(CallError::Failed) } else { FINE }));
        simulate(async {
            let rig = Rig::new(&format!(r#"{{"retry": {{"attempts": {attempts}}}}}"#), &script);
            let outcome = rig.call(0).await;
            let made = (good_from + 1).min(attempts as usize) as u64;
            assert_eq!(outcome.is_ok(), good_from < attempts as usize);
            assert_eq!((script.asked().len() as u64, rig.flow(Flow::Attempts)), (made, made));
            assert_eq!((rig.flow(Flow::Retries), rig.flow(Flow::Calls)), (made - 1, 1));
            assert_eq!(now(), at_ms(made));
        }).unwrap();
    }
}

#[test]
fn full_jitter_fills_the_whole_span_below_the_ceiling() {
    let backoff = Backoff { up_to: Dur(millis(100)), ..Backoff::default() };
    assert_eq!(backoff.pause(1, Duration::ZERO, 0.0), Duration::ZERO);
    assert_eq!(backoff.pause(1, Duration::ZERO, 0.5), millis(50));
    assert_eq!(backoff.pause(9, Duration::ZERO, 1.0), millis(100));
}

#[test]
fn exactly_the_errors_that_are_named_are_tried_again() {
    let names: Vec<&str> = CallError::ALL.map(CallError::name).to_vec();
    for failure in CallError::ALL {
        for on in &names {
            let json = format!(r#"{{"retry": {{"attempts": 2, "on": ["{on}"]}}}}"#);
            if *on == "deadline_exceeded" {
                // Once the deadline of the whole has passed, nobody waits for another attempt.
                assert!(serde_json::from_str::<Policies>(&json).is_err());
                continue;
            }
            let script = Script::always(Duration::ZERO, Err(failure));
            assert_eq!(one_call(&json, &script).0, Err(failure));
            assert_eq!(script.asked().len() == 2, failure.name() == *on, "{} on {on}", failure.name());
        }
    }
}

#[test]
fn what_the_callers_side_refused_is_not_tried_again_unless_asked_for() {
    for failure in CallError::ALL {
        let script = Script::always(Duration::ZERO, Err(failure));
        assert_eq!(one_call(r#"{"retry": {"attempts": 2}}"#, &script).0, Err(failure));
        let own =
            matches!(failure, CallError::BreakerOpen | CallError::Limited | CallError::DeadlineExceeded);
        assert_eq!(script.asked().len(), if own { 1 } else { 2 }, "{}", failure.name());
    }
}

#[test]
fn the_pauses_grow_by_the_factor_up_to_the_ceiling() {
    let json = r#"{"retry": {"attempts": 6, "backoff":
        {"first": "10ms", "up_to": "35ms", "factor": 2, "jitter": "none"}}}"#;
    let script = Script::always(millis(1), Err(CallError::Failed));
    simulate(async {
        let rig = Rig::new(json, &script);
        assert_eq!(rig.call(0).await, Err(CallError::Failed));
        assert_eq!(script.times(), [0, 11, 32, 68, 104, 140].map(at_ms));
        assert_eq!(now(), at_ms(141), "no pause after the last");
        let backing_off = rig.stock(StockName::BackingOff);
        assert_eq!((backing_off.inflow, backing_off.level), (5, 0));
        assert_eq!(backing_off.sojourns, millis(10 + 20 + 3 * 35).as_nanos());
    })
    .unwrap();
}

#[test]
fn callers_who_fail_together_do_not_come_back_together() {
    let json = r#"{"retry": {"attempts": 2, "backoff": {"up_to": "1s"}}}"#;
    let script = Script::always(Duration::ZERO, Err(CallError::Failed));
    simulate(async {
        let rig = Rig::new(json, &script);
        rig.many(1_000, Duration::ZERO).await;
        let mut again: Vec<f64> = script.times()[1_000..].iter().map(|at| at.secs_f64()).collect();
        again.sort_unstable_by(f64::total_cmp);
        for (i, at) in again.iter().enumerate() {
            // Kolmogorov-Smirnov: 1.95 / sqrt(1000) is exceeded once in a thousand; the draws are fixed.
            assert!((at - i as f64 / 1_000.0).abs() < 0.062, "{i}: {at}");
        }
    })
    .unwrap();
}

#[test]
fn a_share_of_failures_is_tried_again_and_a_larger_share_includes_the_smaller() {
    let retried = |share: &str| {
        let script = Script::always(Duration::ZERO, Err(CallError::Failed));
        simulate(async {
            let json = format!(r#"{{"retry": {{"attempts": 2, "share": "{share}"}}}}"#);
            Rig::new(&json, &script).many(2_000, Duration::ZERO).await;
        })
        .unwrap();
        let mut arrivals: Vec<u64> = script.asked().iter().map(|(_, call)| call.arrival).collect();
        arrivals.sort_unstable();
        arrivals.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect::<Vec<u64>>()
    };
    let (none, some, more, all) = (retried("0%"), retried("10%"), retried("30%"), retried("100%"));
    assert_eq!((none.len(), all.len()), (0, 2_000));
    // Four standard deviations: sqrt(2000 x 0.1 x 0.9) = 13.4, sqrt(2000 x 0.3 x 0.7) = 20.5.
    assert!(some.len().abs_diff(200) < 54 && more.len().abs_diff(600) < 82, "{} {}", some.len(), more.len());
    assert!(some.iter().all(|arrival| more.binary_search(arrival).is_ok()));
}

#[test]
fn the_first_attempt_has_the_same_key_whether_or_not_anything_would_try_again() {
    let keys = |json: &str, n: usize| {
        let script = Script::always(Duration::ZERO, Err(CallError::Failed));
        assert_eq!(one_call(json, &script).0, Err(CallError::Failed));
        let asked = script.asked();
        assert_eq!(asked.len(), n, "{json}");
        asked.into_iter().map(|(_, call)| call.path).collect::<Vec<_>>()
    };
    let many = keys(r#"{"retry": {"attempts": 5}}"#, 5);
    for (json, n) in [
        ("{}", 1),
        (r#"{"retry": {"attempts": 1}}"#, 1),
        (r#"{"retry": {"attempts": 5, "enabled": false}}"#, 1),
        (r#"{"retry": {"attempts": 3, "share": 0.999999}}"#, 3),
        (r#"{"retry": {"attempts": 2}, "attempt_timeout": "1s", "deadline": "9s", "pool": {"size": 1}}"#, 2),
    ] {
        assert_eq!(keys(json, n), many[..n], "{json}");
    }
    let path = Call::arriving(0).path;
    assert_eq!(many, (0..5).map(|attempt| path.attempt(attempt)).collect::<Vec<_>>());
}

#[test]
fn a_caller_who_leaves_during_a_pause_is_no_longer_backing_off() {
    let json = r#"{"retry": {"attempts": 2, "backoff": {"up_to": "1s", "jitter": "none"}}}"#;
    simulate(async {
        let rig = Rig::new(json, &Script::always(millis(1), Err(CallError::Failed)));
        assert_eq!(rig.call_for(0, millis(500)).await, None);
        let backing_off = rig.stock(StockName::BackingOff);
        assert_eq!((backing_off.inflow, backing_off.level), (1, 0));
        pass(millis(2_000)).await;
        assert_eq!((rig.script.asked().len(), rig.flow(Flow::Retries)), (1, 0));
    })
    .unwrap();
}
