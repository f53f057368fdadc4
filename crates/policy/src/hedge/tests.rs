//! When hedges are sent, which answer counts, what is left of the losers, and how many there may be.

use proptest::prelude::*;
use pumphandle_core::CallError;
use pumphandle_core::meter::StockName;
use pumphandle_core::time::simulate;

use super::*;
use crate::testing::*;

const AFTER: &str = r#"{"hedge": {"after": "10ms", "share": 1}}"#;

proptest! {
    /// Against the obvious model: of the tries that are sent, the one that answers first decides when and how
    /// the call ends; nothing is under way afterwards, whether the call ended or its caller left.
    #[test]
    fn a_call_ends_with_the_first_good_answer_of_its_tries(
        tries in prop::collection::vec((1_u64..100, any::<bool>()), 4),
        delay in 1_u64..50, at_most in 1_u32..4, patience in prop::option::of(1_u64..150),
    ) {
        let script = {
            let tries = tries.clone();
            Script::new(move |n, _| {
                let (takes, good) = tries[n];
                (millis(takes), if good { FINE } else { Err(CallError::Failed) })
            })
        };
        // The model: try i begins at i * delay, if until then none has answered well and one is still open.
        let mut expected = None::<(u64, bool)>;
        let mut ends: Vec<(u64, bool)> = Vec::new();
        for i in 0..=u64::from(at_most) {
            let begins = i * delay;
            let won = ends.iter().any(|&(at, good)| good && at <= begins);
            let open = ends.iter().any(|&(at, _)| at > begins);
            if i > 0 && (won || !open) {
                break;
            }
            let (takes, good) = tries[i as usize];
            ends.push((begins + takes, good));
        }
        let best = ends.iter().filter(|end| end.1).map(|end| end.0).min();
        let last = ends.iter().map(|end| end.0).max().unwrap();
        expected.get_or_insert(best.map_or((last, false), |at| (at, true)));
        let (at, good) = expected.unwrap();
        simulate(async {
            let json = format!(r#"{{"hedge": {{"after": "{delay}ms", "at_most": {at_most}, "share": 1}}}}"#);
            let rig = Rig::new(&json, &script);
            let outcome = rig.call_for(0, patience.map_or(NEVER, millis)).await;
            match patience {
                // At one instant an answer comes before a departure.
                Some(patience) if patience < at => assert_eq!(outcome, None),
                _ => {
                    assert_eq!((outcome.unwrap().is_ok(), now()), (good, at_ms(at)));
                    assert_eq!(script.asked().len(), ends.len());
                }
            }
            assert_eq!(script.active(), 0, "losers leave");
            assert_eq!(rig.flow(Flow::Hedges) + 1, script.asked().len() as u64);
            assert_eq!(rig.flow(Flow::Attempts), script.asked().len() as u64);
            pass(millis(1_000)).await;
            assert_eq!(rig.flow(Flow::Hedges) + 1, script.asked().len() as u64, "nothing is sent later");
        }).unwrap();
    }

    /// Whatever is asked, under settings that change: never more hedges than the largest share and burst allow.
    #[test]
    fn hedges_never_exceed_their_share_of_calls_and_what_was_saved_up(
        shares in prop::collection::vec((0.0_f64..0.5, 1_u32..20, 1_u64..60), 1..8),
    ) {
        simulate(async {
            let json = |share: f64, burst: u32| {
                format!(r#"{{"hedge": {{"after": "1ms", "share": {share}, "burst": {burst}}}}}"#)
            };
            let rig = Rig::new("{}", &Script::always(millis(2), FINE));
            let (mut allowed, mut calls) = (f64::from(shares[0].1), 0.0);
            for (i, &(share, burst, n)) in (0..).zip(&shares) {
                rig.set(&json(share, burst));
                for k in 0..n {
                    rig.call(i * 1_000 + k).await.unwrap();
                }
                calls += n as f64;
                // Half a thousandth per call is what rounding may add.
                allowed += (share + 0.0005) * n as f64;
                let hedges = rig.flow(Flow::Hedges) as f64;
                assert!(hedges <= allowed + 1e-9, "{hedges} of {calls}, {allowed} allowed");
                let asked = rig.flow(Flow::Hedges) + rig.flow(Flow::HedgesDenied);
                assert_eq!(asked as f64, calls, "every call was late");
            }
        }).unwrap();
    }
}

#[test]
fn an_answer_at_the_very_instant_needs_no_hedge() {
    for (takes, tries) in [(10, 1), (11, 2)] {
        let script = Script::always(millis(takes), FINE);
        let (outcome, at) = one_call(AFTER, &script);
        assert_eq!((outcome, at, script.asked().len()), (FINE, at_ms(takes), tries));
    }
}

#[test]
fn the_first_try_keeps_its_key_and_hedges_have_keys_and_numbers_of_their_own() {
    let script = Script::always(millis(50), Err(CallError::Failed));
    let json = r#"{"retry": {"attempts": 2}, "hedge": {"after": "10ms", "at_most": 2, "share": 1}}"#;
    assert_eq!(one_call(json, &script).0, Err(CallError::Failed));
    let asked: Vec<Call> = script.asked().into_iter().map(|(_, call)| call).collect();
    let call = Call::arriving(0);
    let (first, second) = (call.path.attempt(0), call.path.attempt(1));
    let paths: Vec<_> = asked.iter().map(|call| call.path).collect();
    assert_eq!(paths, [first, first.hedge(1), first.hedge(2), second, second.hedge(1), second.hedge(2)]);
    assert!(asked.iter().skip(1).all(|call| call.attempt > 0), "to a door, only the first is no repetition");
}

#[test]
fn a_failure_is_no_reason_for_a_hedge_and_waits_for_one_that_is_under_way() {
    let failed = (millis(5), Err(CallError::Failed));
    let script = Script::list(vec![failed]);
    assert_eq!(one_call(AFTER, &script), (Err(CallError::Failed), at_ms(5)));
    assert_eq!(script.asked().len(), 1);
    let script = Script::list(vec![(millis(15), Err(CallError::Failed)), (millis(15), FINE)]);
    assert_eq!(one_call(AFTER, &script), (FINE, at_ms(25)));
}

#[test]
fn every_try_has_a_timeout_and_a_connection_of_its_own() {
    let json = r#"{"hedge": {"after": "10ms", "share": 1}, "attempt_timeout": "30ms", "pool": {"size": 2}}"#;
    simulate(async {
        let rig = Rig::new(json, &Script::always(NEVER, FINE));
        assert_eq!((rig.call(0).await, now()), (Err(CallError::Timeout), at_ms(40)));
        assert_eq!((rig.flow(Flow::AttemptTimeouts), rig.stock(StockName::PoolActive).inflow), (2, 2));
        assert_eq!(rig.stock(StockName::PoolActive).level, 0);
    })
    .unwrap();
}

#[test]
fn a_try_that_has_lost_is_a_failure_to_the_breaker() {
    let json = r#"{"hedge": {"after": "10ms", "share": 1}, "breaker": {"consecutive": 1}}"#;
    simulate(async {
        let rig = Rig::new(json, &Script::list(vec![(millis(50), FINE), (millis(10), FINE)]));
        assert_eq!((rig.call(0).await, now()), (FINE, at_ms(20)));
        assert_eq!(rig.call(1).await, Err(CallError::BreakerOpen));
    })
    .unwrap();
}

#[test]
fn a_hedge_takes_a_place_of_the_bulkhead() {
    let json = r#"{"hedge": {"after": "10ms", "share": 1}, "bulkhead": {"calls": 1}}"#;
    simulate(async {
        let rig = Rig::new(json, &Script::always(millis(30), FINE));
        assert_eq!((rig.call(0).await, now()), (FINE, at_ms(30)));
        assert_eq!((rig.flow(Flow::Limited), rig.script.peak()), (1, 1));
    })
    .unwrap();
}

#[test]
fn a_measured_delay_hedges_the_tail_and_nothing_before_there_are_answers_enough() {
    // Every twentieth first try is slow; the 90th percentile is the usual 10 ms.
    let script = Script::new(|_, call| {
        let slow = call.attempt == 0 && call.arrival % 20 == 19;
        (millis(if slow { 500 } else { 10 }), FINE)
    });
    simulate(async {
        let rig = Rig::new(r#"{"hedge": {"percentile": 0.9, "share": 0.1, "burst": 1}}"#, &script);
        let mut slowest_of_later = Duration::ZERO;
        for i in 0..400 {
            let begun = now();
            rig.call(i).await.unwrap();
            let took = now().since(begun);
            if i < 100 {
                assert_eq!(rig.flow(Flow::Hedges), 0, "the tail is not known yet");
            } else {
                slowest_of_later = slowest_of_later.max(took);
            }
        }
        // The delay, and one more usual answer.
        assert_eq!(slowest_of_later, millis(20));
        assert_eq!((rig.flow(Flow::Hedges), rig.flow(Flow::HedgesWon)), (15, 15));
    })
    .unwrap();
}

proptest! {
    /// The cached percentile is one of the sorted list, at most [`STALE`] answers old.
    #[test]
    fn the_percentile_is_that_of_the_last_answers(
        took in prop::collection::vec(0_u64..1_000_000, 0..2_500), share in 0.01_f64..0.99,
    ) {
        let mut latencies = Latencies::default();
        for &nanos in &took {
            latencies.add(Duration::from_nanos(nanos));
        }
        let mut last: Vec<u64> = took.iter().rev().take(REMEMBERED).copied().collect();
        last.sort_unstable();
        let expected = (last.len() >= LEAST).then(|| {
            let rank = (share * last.len() as f64).ceil() as usize;
            Duration::from_nanos(last[rank.clamp(1, last.len()) - 1])
        });
        prop_assert_eq!(latencies.percentile(share), expected);
        for _ in 0..STALE {
            latencies.add(Duration::from_nanos(7));
        }
        if last.len() >= LEAST {
            let fresh = latencies.percentile(share).unwrap();
            prop_assert!(fresh <= expected.unwrap(), "fifty fast answers cannot make it slower");
        }
    }
}
