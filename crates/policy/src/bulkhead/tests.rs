//! The bulkhead under changing sizes, impatient callers, and beside a breaker.

use std::time::Duration;

use proptest::prelude::*;
use pumphandle_core::time::{now, simulate};

use super::*;
use crate::testing::*;

const REFUSED: pumphandle_core::Outcome = Err(CallError::Limited);

fn bulkhead(calls: usize, max_wait_ms: u64) -> String {
    format!(r#"{{"bulkhead": {{"calls": {calls}, "max_wait": "{max_wait_ms}ms"}}}}"#)
}

proptest! {
    /// A bulkhead made smaller ends nobody's call, but lets none in above its size either; whoever leaves,
    /// waiting or inside, leaves nothing behind; and whoever waits no longer than allowed is let in or refused.
    #[test]
    fn no_more_calls_are_under_way_than_there_are_places(
        sizes in prop::collection::vec((1_usize..6, 0_u64..8, 1_u64..30), 1..12),
        callers in prop::collection::vec((1_u64..4, prop::option::of(0_u64..40)), 1..60),
        takes in 1_u64..20,
    ) {
        simulate(async {
            let rig = Rig::new(&bulkhead(sizes[0].0, sizes[0].1), &Script::always(millis(takes), FINE));
            let everybody = Arc::clone(&rig);
            let after = callers.iter().map(|caller| caller.0).sum::<u64>() + 60 * 20 + 100;
            time::spawn("callers", async move {
                for (i, (gap, patience)) in (0_u64..).zip(callers) {
                    pass(millis(gap)).await;
                    let rig = Arc::clone(&everybody);
                    time::spawn("a caller", async move {
                        let patience = patience.map_or(NEVER, millis);
                        let _ = rig.call_for(i, patience).await;
                    });
                }
            });
            let mut allowed = sizes[0].0;
            for &(size, max_wait, span) in &sizes {
                rig.set(&bulkhead(size, max_wait));
                // Those above a lowered size may finish, and must have after one call's time.
                allowed = allowed.max(size);
                for ms in 0..span {
                    if ms == takes {
                        allowed = size;
                    }
                    let active = rig.script.active();
                    assert!(active <= allowed, "{active} under way, {allowed} allowed");
                    assert_eq!(rig.stock(StockName::BulkheadActive).level, active as u64);
                    time::sleep(millis(1), Order::sample(0)).await;
                }
            }
            pass(millis(after)).await;
            let levels = [StockName::BulkheadActive, StockName::BulkheadWaiting].map(|name| rig.stock(name).level);
            assert_eq!((levels, rig.script.active()), ([0, 0], 0));
            rig.set(&bulkhead(1, 0));
            assert_eq!(rig.call(1_000).await, FINE, "all places are free again");
        }).unwrap();
    }
}

#[test]
fn one_too_many_is_refused_at_once_unless_it_may_wait() {
    simulate(async {
        let rig = Rig::new(r#"{"bulkhead": {"calls": 2}}"#, &Script::always(millis(10), FINE));
        assert_eq!(rig.many(4, millis(1)).await, [FINE, FINE, REFUSED, REFUSED]);
        assert_eq!(now(), at_ms(11), "nobody waited");
        assert_eq!((rig.flow(Flow::Limited), rig.stock(StockName::BulkheadWaiting).inflow), (2, 0));
    })
    .unwrap();
}

#[test]
fn one_who_may_wait_is_let_in_when_a_place_comes_free_and_refused_when_none_does() {
    simulate(async {
        let rig = Rig::new(&bulkhead(1, 50), &Script::always(millis(40), FINE));
        assert_eq!(rig.many(3, Duration::ZERO).await, [FINE, FINE, REFUSED]);
        assert_eq!(rig.script.times(), [0, 40].map(at_ms));
        let waiting = rig.stock(StockName::BulkheadWaiting);
        assert_eq!(waiting.sojourns, millis(40 + 50).as_nanos());
    })
    .unwrap();
}

#[test]
fn a_bulkhead_made_larger_or_switched_off_lets_those_who_wait_in_at_once() {
    simulate(async {
        let rig = Rig::new(&bulkhead(1, 1_000), &Script::always(millis(100), FINE));
        let callers = Arc::clone(&rig);
        time::spawn("callers", async move {
            callers.many(5, Duration::ZERO).await;
        });
        pass(millis(10)).await;
        assert_eq!((rig.script.active(), rig.stock(StockName::BulkheadWaiting).level), (1, 4));
        rig.set(&bulkhead(3, 1_000));
        pass(Duration::from_nanos(1)).await;
        assert_eq!((rig.script.active(), rig.stock(StockName::BulkheadWaiting).level), (3, 2));
        rig.set("{}");
        pass(Duration::from_nanos(1)).await;
        assert_eq!(rig.script.active(), 5);
    })
    .unwrap();
}

#[test]
fn a_pause_between_attempts_takes_no_place_and_a_refusal_is_not_tried_again() {
    let json = r#"{"retry": {"attempts": 2, "backoff": {"up_to": "50ms", "jitter": "none"}},
                   "bulkhead": {"calls": 1}}"#;
    simulate(async {
        let script = Script::list(vec![(millis(10), Err(CallError::Failed)), (millis(10), FINE)]);
        let rig = Rig::new(json, &script);
        // The second comes while the first pauses, the third while the second is inside.
        assert_eq!(rig.many(3, millis(15)).await[..2], [FINE, FINE]);
        assert_eq!(rig.flow(Flow::Limited), 0);
        let rig = Rig::new(json, &Script::always(millis(10), FINE));
        assert_eq!(rig.many(2, millis(1)).await, [FINE, REFUSED]);
        assert_eq!(rig.script.asked().len(), 1);
    })
    .unwrap();
}

#[test]
fn one_who_entered_when_nobody_waited_does_not_wait_later() {
    let json = r#"{"retry": {"attempts": 2, "backoff": {"up_to": "50ms", "jitter": "none"}},
                   "bulkhead": {"calls": 1}}"#;
    simulate(async {
        let script = Script::new(|n, _| match n {
            0 => (millis(10), Err(CallError::Failed)),
            _ => (NEVER, FINE),
        });
        let rig = Rig::new(json, &script);
        let early = Arc::clone(&rig);
        let ended = Arc::new(std::sync::Mutex::new(None));
        let seen = Arc::clone(&ended);
        time::spawn("an early caller", async move {
            let outcome = early.call(0).await;
            *seen.lock().unwrap() = Some((outcome, now()));
        });
        pass(millis(20)).await;
        rig.set(&bulkhead(1, 60_000));
        // Takes the only place, for good, while the other pauses.
        let _ = rig.call_for(1, millis(1_000)).await;
        assert_eq!(*ended.lock().unwrap(), Some((REFUSED, at_ms(60))));
    })
    .unwrap();
}

#[test]
fn what_the_bulkhead_refuses_does_not_open_the_breaker() {
    let json = r#"{"bulkhead": {"calls": 1}, "breaker": {"consecutive": 1}}"#;
    simulate(async {
        let rig = Rig::new(json, &Script::always(millis(10), FINE));
        assert_eq!(rig.many(3, millis(1)).await, [FINE, REFUSED, REFUSED]);
        assert_eq!(rig.call(9).await, FINE);
    })
    .unwrap();
}
