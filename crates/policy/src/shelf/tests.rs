//! The shelf as a whole: what is off is not there, the order in which a call meets the policies, what their
//! settings refuse, and how they are written. Also the policies that are too small for tests of their own.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use pumphandle_core::meter::{Flow, StockName};
use pumphandle_core::time::{now, simulate};
use pumphandle_core::{CallError, Outcome, Service, Time};

use super::*;
use crate::testing::*;
use crate::tower_edge::{AsTower, FromTower};

// === Off

/// Everything that can be switched off, switched off.
const ALL_OFF: &str = r#"{
    "deadline": "off", "propagate_deadline": false, "attempt_timeout": "off", "query_timeout": "off",
    "retry": {"enabled": false, "attempts": 9, "backoff": {"up_to": "1s"}},
    "retry_budget": {"enabled": false, "share_of_active": {"share": 0}},
    "hedge": {"enabled": false, "after": "1ms"},
    "bulkhead": {"enabled": false, "calls": 1},
    "throttle": {"enabled": false, "k": 1},
    "breaker": {"enabled": false, "consecutive": 1},
    "pool": {"enabled": false, "size": 1}
}"#;

#[test]
fn what_is_off_passes_everything_through_unchanged_and_takes_no_time() {
    let failures = CallError::ALL.map(Err);
    for outcome in failures.into_iter().chain([FINE]) {
        for json in ["{}", ALL_OFF] {
            let script = Script::always(millis(17), outcome);
            simulate(async {
                let rig = Rig::new(json, &script);
                let mut call = Call::arriving(5);
                call.deadline = Some(at_ms(3));
                call.kill_after = Some(millis(4));
                assert_eq!(rig.send(call.clone()).await, outcome);
                assert_eq!(now(), at_ms(17));
                let (at, asked) = script.asked().remove(0);
                assert_eq!((at, asked.path), (Time::ZERO, call.path.attempt(0)));
                assert_eq!((asked.deadline, asked.kill_after), (call.deadline, call.kill_after));
                for name in [StockName::PoolActive, StockName::PoolWaiting, StockName::BackingOff] {
                    assert_eq!(rig.stock(name).inflow, 0);
                }
                assert_eq!((rig.flow(Flow::Calls), rig.flow(Flow::Attempts)), (1, 1));
            })
            .unwrap();
        }
    }
}

#[test]
fn a_call_keeps_the_settings_with_which_it_entered() {
    simulate(async {
        let script = Script::always(millis(10), Err(CallError::Failed));
        let rig = Rig::new(r#"{"retry": {"attempts": 3}}"#, &script);
        let caller = Arc::clone(&rig);
        pumphandle_core::time::spawn("an early caller", async move {
            let _ = caller.call(0).await;
        });
        pass(millis(5)).await;
        rig.set("{}");
        let _ = rig.call(1).await;
        pass(millis(100)).await;
        let arrivals: Vec<u64> = script.asked().iter().map(|(_, call)| call.arrival).collect();
        assert_eq!(arrivals, [0, 1, 0, 0]);
    })
    .unwrap();
}

// === Timeouts and deadlines

#[test]
fn an_attempt_ends_at_its_timeout_and_an_answer_at_that_very_instant_counts() {
    for (takes, outcome) in [(49, FINE), (50, FINE), (51, Err(CallError::Timeout))] {
        let (got, at) = one_call(r#"{"attempt_timeout": "50ms"}"#, &Script::always(millis(takes), FINE));
        assert_eq!((got, at), (outcome, at_ms(takes.min(50))));
    }
}

#[test]
fn the_attempt_that_is_given_up_is_dropped() {
    simulate(async {
        let rig = Rig::new(r#"{"attempt_timeout": "50ms"}"#, &Script::always(NEVER, FINE));
        assert_eq!(rig.call(0).await, Err(CallError::Timeout));
        assert_eq!((rig.script.active(), rig.flow(Flow::AttemptTimeouts)), (0, 1));
    })
    .unwrap();
}

#[test]
fn the_deadline_ends_the_whole_series_of_attempts_and_pauses() {
    let json = r#"{"deadline": "100ms", "attempt_timeout": "30ms",
                   "retry": {"attempts": 50, "backoff": {"up_to": "10ms", "jitter": "none"}}}"#;
    let script = Script::always(NEVER, FINE);
    simulate(async {
        let rig = Rig::new(json, &script);
        assert_eq!((rig.call(0).await, now()), (Err(CallError::DeadlineExceeded), at_ms(100)));
        pass(millis(1_000)).await;
        assert_eq!(script.times(), [0, 40, 80].map(at_ms), "nothing is sent after the deadline");
        assert_eq!((script.active(), rig.stock(StockName::BackingOff).level), (0, 0));
    })
    .unwrap();
}

proptest! {
    /// Deadlines only ever get shorter on their way in, and travel only where they are told to.
    #[test]
    fn the_deadline_that_travels_is_the_earliest_of_all(
        whole in prop::option::of(1_u64..100), attempt in prop::option::of(1_u64..100),
        inherited in prop::option::of(1_u64..200), travels in any::<bool>(), sent_at in 0_u64..50,
    ) {
        let limit = |ms: Option<u64>| ms.map_or("off".into(), |ms| format!("{ms}ms"));
        let json = format!(
            r#"{{"deadline": "{}", "attempt_timeout": "{}", "propagate_deadline": {travels}}}"#,
            limit(whole), limit(attempt)
        );
        let script = Script::always(Duration::ZERO, FINE);
        simulate(async {
            let rig = Rig::new(&json, &script);
            pass(millis(sent_at)).await;
            let deadline = inherited.map(at_ms);
            rig.send(Call { deadline, ..Call::arriving(0) }).await.unwrap();
            let own = [whole, attempt].into_iter().flatten().map(|ms| at_ms(sent_at + ms)).min();
            let expected = if travels { [own, deadline].into_iter().flatten().min() } else { deadline };
            assert_eq!(script.asked()[0].1.deadline, expected);
        }).unwrap();
    }
}

#[test]
fn a_query_timeout_travels_with_every_attempt() {
    let script = Script::always(Duration::ZERO, Err(CallError::Killed));
    let json = r#"{"query_timeout": "250ms", "retry": {"attempts": 2}}"#;
    assert_eq!(one_call(json, &script).0, Err(CallError::Killed));
    let kills: Vec<_> = script.asked().iter().map(|(_, call)| call.kill_after).collect();
    assert_eq!(kills, [Some(millis(250)); 2]);
}

// === The order of the shelf

#[test]
fn a_call_meets_the_policies_in_the_order_of_the_shelf() {
    let place = |name| Policies::NAMES.iter().position(|it| *it == name).expect(name);
    let order = [
        "deadline",
        "retry",
        "hedge",
        "bulkhead",
        "throttle",
        "breaker",
        "attempt_timeout",
        "pool",
        "query_timeout",
    ]
    .map(place);
    assert!(order.is_sorted(), "{:?}", Policies::NAMES);
}

#[test]
fn the_breaker_sees_every_attempt_and_what_it_refuses_takes_no_connection() {
    let json = r#"{"retry": {"attempts": 10, "on": ["failed", "breaker_open"]},
                   "breaker": {"consecutive": 3}, "pool": {"size": 1}}"#;
    simulate(async {
        let rig = Rig::new(json, &Script::always(Duration::ZERO, Err(CallError::Failed)));
        assert_eq!(rig.call(0).await, Err(CallError::BreakerOpen));
        assert_eq!((rig.script.asked().len(), rig.flow(Flow::BreakerRefused)), (3, 7));
        assert_eq!(rig.stock(StockName::PoolActive).inflow, 3);
    })
    .unwrap();
}

// === Settings

#[test]
fn settings_that_cannot_work_are_refused_with_the_path_and_the_reason() {
    for (json, path, reason) in [
        (r#"{"breaker": {}}"#, "breaker", "nothing would ever open it"),
        (r#"{"breaker": {"failure_rate": 0}}"#, "breaker.failure_rate", "open it at once"),
        (r#"{"breaker": {"slow": {"over": "1s", "rate": 0}}}"#, "breaker.slow.rate", "open it at once"),
        (r#"{"breaker": {"consecutive": 1, "window": "0s"}}"#, "breaker.window", "has a length"),
        (
            r#"{"retry": {"attempts": 2, "backoff": {"first": "2s", "up_to": "1s"}}}"#,
            "retry.backoff.first",
            "2s",
        ),
        (
            r#"{"retry": {"attempts": 2, "backoff": {"first": "2s"}}}"#,
            "retry.backoff.first",
            "above the ceiling",
        ),
        (
            r#"{"retry": {"attempts": 2, "backoff": {"up_to": "1s", "jitter": "decorrelated"}}}"#,
            "retry.backoff.jitter",
            "add it",
        ),
        (r#"{"retry_budget": {}}"#, "retry_budget", "either"),
        (
            r#"{"retry_budget": {"token_bucket": {"deposit": 0.1}, "share_of_active": {"share": 0.2}}}"#,
            "retry_budget",
            "either",
        ),
        (r#"{"pool": {"size": 0}}"#, "pool.size", "at least one"),
        (r#"{"bulkhead": {"calls": 0}}"#, "bulkhead.calls", "at least one"),
        (r#"{"throttle": {"window": "0s"}}"#, "throttle.window", "nothing in it"),
        (r#"{"throttle": {"on": []}}"#, "throttle.on", "never act"),
        (r#"{"hedge": {}}"#, "hedge", "`after` a time"),
        (r#"{"hedge": {"after": "1s", "percentile": 0.5}}"#, "hedge", "`after` a time"),
        (r#"{"hedge": {"after": "0s"}}"#, "hedge.after", "twice at once"),
        (r#"{"hedge": {"percentile": 1}}"#, "hedge.percentile", "between 0% and 100%"),
    ] {
        let wrong = policies(json).check();
        assert_eq!(wrong.len(), 1, "{json}: {wrong:?}");
        assert_eq!(wrong[0].path, path, "{json}");
        assert!(wrong[0].message.contains(reason), "{json}: {}", wrong[0].message);
    }
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let json = r#"{"breaker": {"window": "0s"}, "retry_budget": {}, "pool": {"size": 0}}"#;
    let paths: Vec<String> = policies(json).check().into_iter().map(|wrong| wrong.path).collect();
    assert_eq!(paths, ["retry_budget", "breaker", "breaker.window", "pool.size"]);
}

/// Every policy with every field.
const FULL: &str = r#"{
    "deadline": "3s", "propagate_deadline": true,
    "retry": {"enabled": true, "attempts": 3,
        "backoff": {"up_to": "1s", "first": "100ms", "factor": 1.5, "jitter": "decorrelated"},
        "on": ["timeout", "overloaded", "breaker_open", "pool_timeout", "killed", "failed", "disconnected",
               "expired", "limited"],
        "share": 0.5, "honour_advice": true},
    "retry_budget": {"enabled": true, "token_bucket": {"deposit": 0.1, "per": "success", "capacity": 5}},
    "hedge": {"enabled": true, "after": "200ms", "at_most": 2, "share": 0.25, "burst": 7},
    "bulkhead": {"enabled": true, "calls": 10, "max_wait": "100ms"},
    "throttle": {"enabled": true, "k": 1.5, "window": "30s", "on": ["overloaded", "timeout"]},
    "breaker": {"enabled": true, "failure_rate": 0.5, "consecutive": 5, "failures": 7,
        "slow": {"over": "250ms", "rate": 0.25}, "window": "10s", "minimum": 20, "open_for": "5s",
        "probes": 3, "fallback": true},
    "attempt_timeout": "250ms",
    "pool": {"enabled": true, "size": 10, "acquire_timeout": "1s", "order": "lifo", "waiting": 50},
    "query_timeout": "500ms"
}"#;

#[test]
fn settings_are_written_as_they_are_read() {
    for json in [FULL, ALL_OFF, "{}"] {
        let read = policies(json);
        assert_eq!(read.check(), [], "{json}");
        let written = serde_json::to_value(&read).unwrap();
        assert_eq!(policies(&written.to_string()), read, "{json}");
    }
    let full: serde_json::Value = serde_json::from_str(FULL).unwrap();
    assert_eq!(serde_json::to_value(policies(FULL)).unwrap(), full, "no field is lost or renamed");
}

/// What was left out is written with values that mean the same and that the schema allows.
#[test]
fn defaults_that_are_written_out_are_within_their_own_ranges() {
    let written = serde_json::to_value(policies(r#"{"retry": {"attempts": 2}}"#)).unwrap();
    let factor = written["retry"]["backoff"]["factor"].as_f64().unwrap();
    assert!((1.0..=10.0).contains(&factor), "{written}");
    let explicit = policies(r#"{"retry": {"attempts": 2, "backoff": {}}}"#);
    assert_eq!(serde_json::to_value(explicit).unwrap(), written);
}

/// Adds a field nobody knows to every object below.
fn with_stray_fields(value: &serde_json::Value, at: &str, all: &mut Vec<(String, serde_json::Value)>) {
    let serde_json::Value::Object(fields) = value else { return };
    let mut stray = fields.clone();
    stray.insert("enabeld".into(), true.into());
    all.push((at.into(), stray.into()));
    for (name, field) in fields {
        let mut below = Vec::new();
        with_stray_fields(field, &format!("{at}.{name}"), &mut below);
        for (path, changed) in below {
            let mut whole = fields.clone();
            whole.insert(name.clone(), changed);
            all.push((path, whole.into()));
        }
    }
}

#[test]
fn a_field_that_nobody_knows_is_refused_wherever_it_stands() {
    let mut all = Vec::new();
    with_stray_fields(&serde_json::from_str(FULL).unwrap(), "", &mut all);
    let other_kind = r#"{"retry_budget": {"share_of_active": {"share": 0.2, "at_least": 3}}}"#;
    with_stray_fields(&serde_json::from_str(other_kind).unwrap(), "", &mut all);
    assert_eq!(all.len(), 14, "every object of the settings");
    for (path, json) in all {
        let refused = serde_json::from_value::<Policies>(json).expect_err(&path).to_string();
        assert!(refused.contains("enabeld"), "{path}: {refused}");
    }
}

#[test]
fn a_limit_of_nothing_is_refused_and_told_how_to_switch_it_off() {
    let refused = serde_json::from_str::<Policies>(r#"{"deadline": "0s"}"#).unwrap_err().to_string();
    assert!(refused.contains("`off`"), "{refused}");
    assert!(serde_json::from_str::<Policies>(r#"{"deadline": "soon"}"#).is_err());
}

// === The edges to tower

/// A chain, as a service.
struct Chained(Arc<Rig>);

impl Service for Chained {
    fn call(&self, call: Call) -> pumphandle_core::Answering<'_> {
        Box::pin(self.0.send(call))
    }
}

#[test]
fn through_tower_and_back_a_service_answers_the_same() {
    let json = r#"{"retry": {"attempts": 3}, "attempt_timeout": "20ms", "breaker": {"consecutive": 9}}"#;
    let answer = |through_tower: bool| -> Vec<(Outcome, Time)> {
        let script = Script::new(|n, _| match n % 4 {
            0 => (millis(5), Err(CallError::Failed)),
            1 => (NEVER, FINE),
            2 => (millis(1), Err(CallError::Limited)),
            _ => (millis(3), FINE),
        });
        simulate(async {
            let rig = Rig::new(json, &script);
            let mut service: Arc<dyn Service> = Arc::new(Chained(rig));
            if through_tower {
                service = Arc::new(FromTower(AsTower(service)));
                service = Arc::new(FromTower(AsTower(service)));
            }
            let mut answers = Vec::new();
            for arrival in 0..20 {
                answers.push((service.call(Call::arriving(arrival)).await, now()));
            }
            answers
        })
        .unwrap()
    };
    let direct = answer(false);
    assert!(direct.iter().any(|(outcome, _)| outcome.is_ok()));
    assert!(direct.iter().any(|(outcome, _)| outcome.is_err()));
    assert_eq!(answer(true), direct);
}

#[test]
fn a_caller_who_leaves_through_tower_leaves_the_service_too() {
    simulate(async {
        let rig = Rig::new("{}", &Script::always(NEVER, FINE));
        let script = rig.script.clone();
        let service = FromTower(AsTower(Arc::new(Chained(rig))));
        let left = pumphandle_core::time::timeout(
            millis(10),
            pumphandle_core::time::Order::timeout(0),
            service.call(Call::arriving(0)),
        );
        assert!(left.await.is_err());
        assert_eq!((script.asked().len(), script.active()), (1, 0));
    })
    .unwrap();
}
