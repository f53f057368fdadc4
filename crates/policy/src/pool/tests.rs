//! The pool under changing sizes, impatient callers, and switched off.

use std::time::Duration;

use proptest::prelude::*;
use pumphandle_core::time::{now, simulate};

use super::*;
use crate::testing::*;

fn pool(size: usize) -> String {
    format!(r#"{{"pool": {{"size": {size}}}}}"#)
}

proptest! {
    /// A pool made smaller takes no connection away, but hands none out above its size either; whoever
    /// leaves, waiting or served, leaves nothing behind.
    #[test]
    fn no_more_calls_are_under_way_than_there_are_connections(
        sizes in prop::collection::vec((1_usize..6, 1_u64..30), 1..12),
        callers in prop::collection::vec((1_u64..4, prop::option::of(0_u64..40)), 1..60),
        takes in 1_u64..20,
    ) {
        simulate(async {
            let rig = Rig::new(&pool(sizes[0].0), &Script::always(millis(takes), FINE));
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
            for &(size, span) in &sizes {
                rig.set(&pool(size));
                // Those above a lowered size may finish, and must have after one call's time.
                allowed = allowed.max(size);
                for ms in 0..span {
                    if ms == takes {
                        allowed = size;
                    }
                    let active = rig.script.active();
                    assert!(active <= allowed, "{active} under way, {allowed} allowed");
                    assert_eq!(rig.stock(StockName::PoolActive).level, active as u64);
                    time::sleep(millis(1), Order::sample(0)).await;
                }
            }
            pass(millis(after)).await;
            let levels = [StockName::PoolActive, StockName::PoolWaiting].map(|name| rig.stock(name).level);
            assert_eq!((levels, rig.script.active()), ([0, 0], 0));
            assert_eq!(rig.call(1_000).await, FINE, "all connections are back");
        }).unwrap();
    }
}

#[test]
fn one_who_waits_too_long_for_a_connection_fails_and_waits_no_more() {
    let json = r#"{"pool": {"size": 1, "acquire_timeout": "50ms"}}"#;
    simulate(async {
        let rig = Rig::new(json, &Script::always(millis(200), FINE));
        let outcomes = rig.many(3, millis(10)).await;
        assert_eq!(outcomes, [FINE, Err(CallError::PoolTimeout), Err(CallError::PoolTimeout)]);
        let waiting = rig.stock(StockName::PoolWaiting);
        assert_eq!((waiting.level, waiting.inflow), (0, 2));
        assert_eq!(waiting.sojourns, 2 * millis(50).as_nanos());
        assert_eq!((rig.flow(Flow::PoolTimeouts), rig.script.asked().len()), (2, 1));
        assert_eq!(now(), at_ms(200));
    })
    .unwrap();
}

#[test]
fn a_connection_that_comes_free_at_the_very_instant_is_taken() {
    let json = r#"{"pool": {"size": 1, "acquire_timeout": "50ms"}}"#;
    simulate(async {
        let rig = Rig::new(json, &Script::always(millis(50), FINE));
        assert_eq!(rig.many(2, Duration::ZERO).await, [FINE, FINE]);
    })
    .unwrap();
}

#[test]
fn where_nobody_may_wait_the_next_one_fails_at_once() {
    let json = r#"{"pool": {"size": 2, "waiting": 0}}"#;
    simulate(async {
        let rig = Rig::new(json, &Script::always(millis(10), FINE));
        let refused = Err(CallError::PoolTimeout);
        assert_eq!(rig.many(4, millis(1)).await, [FINE, FINE, refused, refused]);
        assert_eq!(now(), at_ms(11), "nobody waited");
    })
    .unwrap();
}

#[test]
fn those_who_wait_are_served_in_the_order_that_was_asked_for() {
    for (order, expected) in [("fifo", [0, 1, 2, 3]), ("lifo", [0, 3, 2, 1])] {
        let script = Script::always(millis(10), FINE);
        simulate(async {
            let json = format!(r#"{{"pool": {{"size": 1, "order": "{order}"}}}}"#);
            Rig::new(&json, &script).many(4, millis(1)).await;
        })
        .unwrap();
        let served: Vec<u64> = script.asked().iter().map(|(_, call)| call.arrival).collect();
        assert_eq!(served, expected, "{order}");
    }
}

#[test]
fn a_pool_made_larger_serves_those_who_wait_at_once() {
    simulate(async {
        let rig = Rig::new(&pool(1), &Script::always(millis(100), FINE));
        let callers = Arc::clone(&rig);
        time::spawn("callers", async move {
            callers.many(5, Duration::ZERO).await;
        });
        pass(millis(10)).await;
        assert_eq!((rig.script.active(), rig.stock(StockName::PoolWaiting).level), (1, 4));
        rig.set(&pool(3));
        pass(Duration::from_nanos(1)).await;
        assert_eq!((rig.script.active(), rig.stock(StockName::PoolWaiting).level), (3, 2));
        rig.set("{}");
        pass(Duration::from_nanos(1)).await;
        assert_eq!(rig.script.active(), 5, "switched off, it holds nobody back");
    })
    .unwrap();
}

#[test]
fn waiting_for_a_connection_is_part_of_an_attempt() {
    let json = r#"{"pool": {"size": 1}, "attempt_timeout": "30ms"}"#;
    simulate(async {
        let rig = Rig::new(json, &Script::always(millis(20), FINE));
        let outcomes = rig.many(3, Duration::ZERO).await;
        assert_eq!(outcomes, [FINE, Err(CallError::Timeout), Err(CallError::Timeout)]);
        assert_eq!(rig.script.times(), [0, 20].map(at_ms), "the third never left");
        assert_eq!((rig.script.peak(), rig.flow(Flow::AttemptTimeouts)), (1, 2));
    })
    .unwrap();
}
