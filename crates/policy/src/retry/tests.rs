//! What is tried again, when, how often, and under which keys.

use std::sync::Mutex;

use proptest::prelude::*;
use pumphandle_core::call::AdviceSlot;
use pumphandle_core::time::simulate;

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

// === Advice

/// Refuses with each of these, then answers.
fn refusing(advice: Vec<Option<Advice>>) -> Script {
    Script::new(move |n, call| {
        let Some(advice) = advice.get(n) else { return (millis(1), FINE) };
        if let (Some(slot), Some(advice)) = (&call.advice, advice) {
            slot.leave(*advice);
        }
        (millis(1), Err(CallError::Overloaded))
    })
}

fn after(ms: u64) -> Option<Advice> {
    Some(Advice::RetryAfter(millis(ms)))
}

const HEEDING: &str = r#"{"retry": {"attempts": 4, "honour_advice": true,
    "backoff": {"up_to": "10ms", "jitter": "none"}}}"#;

#[test]
fn a_call_waits_as_long_as_it_is_advised_to_and_its_pause_on_top() {
    let script = refusing(vec![after(500), None, after(0)]);
    simulate(async {
        let rig = Rig::new(HEEDING, &script);
        assert_eq!(rig.call(0).await, FINE);
        // 1 + 500 + 10, then 1 + 10, then 1 + 0 + 10.
        assert_eq!(script.times(), [0, 511, 522, 533].map(at_ms));
        assert_eq!((rig.flow(Flow::AdviceHeeded), rig.stock(StockName::BackingOff).level), (1, 0));
    })
    .unwrap();
}

#[test]
fn one_who_is_told_not_to_come_back_does_not_and_passes_it_on() {
    let script = refusing(vec![after(5), Some(Advice::DoNotRetry)]);
    simulate(async {
        let rig = Rig::new(HEEDING, &script);
        let slot = Arc::new(AdviceSlot::default());
        let call = Call { advice: Some(Arc::clone(&slot)), ..Call::arriving(0) };
        assert_eq!(rig.send(call).await, Err(CallError::Overloaded));
        assert_eq!((script.asked().len(), slot.read()), (2, Some(Advice::DoNotRetry)));
    })
    .unwrap();
}

#[test]
fn nobody_waits_for_an_attempt_that_would_come_too_late() {
    let own = HEEDING.replacen('{', r#"{"deadline": "100ms","#, 1);
    for (advised, attempts, end) in [(80, 2, 92), (99, 1, 1), (5_000, 1, 1)] {
        let script = refusing(vec![after(advised)]);
        assert_eq!((one_call(&own, &script).1, script.asked().len()), (at_ms(end), attempts), "{advised}");
        // With a deadline that travels, and none of its own.
        let script = refusing(vec![after(advised)]);
        simulate(async {
            let rig = Rig::new(HEEDING, &script);
            let _ = rig.send(Call { deadline: Some(at_ms(100)), ..Call::arriving(0) }).await;
            assert_eq!((now(), script.asked().len()), (at_ms(end), attempts), "{advised}");
        })
        .unwrap();
    }
}

#[test]
fn advice_is_not_heeded_unless_asked_for_nor_beside_an_error_that_is_no_refusal() {
    let plain = HEEDING.replace("true", "false");
    for (json, error) in [(plain.as_str(), CallError::Overloaded), (HEEDING, CallError::Failed)] {
        let script = Script::new(move |_, call| {
            if let Some(slot) = &call.advice {
                slot.leave(Advice::DoNotRetry);
            }
            (millis(1), Err(error))
        });
        assert_eq!(one_call(json, &script), (Err(error), at_ms(34)));
        assert_eq!(script.asked().len(), 4);
    }
}

#[test]
fn late_advice_for_an_attempt_that_was_given_up_does_not_reach_the_next_one() {
    // The first attempt times out; what it is advised then concerns nobody.
    let first: Arc<Mutex<Option<Arc<AdviceSlot>>>> = Arc::default();
    let kept = Arc::clone(&first);
    let script = Script::new(move |n, call| match n {
        0 => {
            *kept.lock().unwrap() = call.advice.clone();
            (NEVER, FINE)
        }
        1 => {
            kept.lock().unwrap().as_ref().unwrap().leave(Advice::DoNotRetry);
            (millis(1), Err(CallError::Overloaded))
        }
        _ => (millis(1), FINE),
    });
    let json = HEEDING.replacen('{', r#"{"attempt_timeout": "50ms","#, 1);
    assert_eq!(one_call(&json, &script).0, FINE);
    assert_eq!(script.asked().len(), 3);
}

proptest! {
    /// No attempt before its time, whatever is advised, and nothing left behind by callers who leave.
    #[test]
    fn no_attempt_comes_before_it_was_advised_to(
        advice in prop::collection::vec(prop::option::of(0_u64..200), 0..5), patience in prop::option::of(0_u64..300),
    ) {
        let script = refusing(advice.iter().map(|ms| ms.and_then(after)).collect());
        simulate(async {
            let rig = Rig::new(HEEDING, &script);
            let outcome = rig.call_for(0, patience.map_or(NEVER, millis)).await;
            prop_assert!(patience.is_some() || outcome.is_some());
            let times = script.times();
            for (i, pair) in times.windows(2).enumerate() {
                let advised = advice.get(i).copied().flatten().unwrap_or(0);
                prop_assert_eq!(pair[1].since(pair[0]), millis(1 + advised + 10));
            }
            prop_assert_eq!((script.active(), rig.stock(StockName::BackingOff).level), (0, 0));
            Ok(())
        }).unwrap()?;
    }
}
