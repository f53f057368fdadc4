//! Common draws: an arm with a lever that never acts is its control, event for event; and what they are
//! worth where levers do act.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use indexmap::IndexMap;
use pumphandle_core::events::{Event, EventKind, first_difference, read};
use pumphandle_experiment::document::Style;
use pumphandle_experiment::laws::common_draws;
use pumphandle_experiment::plan::{self, ArmPlan};
use pumphandle_experiment::run::SeedRun;
use pumphandle_experiment::run::virtual_clock::{Job, run_one};
use pumphandle_experiment::scenario::{Mode, Scenario, check, read as scenario_file};
use serde_json::{Value, json};

fn storm() -> Scenario {
    let text = include_str!("../../../scenarios/retry-storm.yaml");
    scenario_file::read("scenarios/retry-storm.yaml", text, Style::Plain).unwrap().scenario
}

/// The storm with one lever, `idle`, that sets these values.
fn with_lever(set: Value) -> Scenario {
    let mut scenario = storm();
    let lever = json!({ "title": "one that never acts", "level": 12, "set": set });
    scenario.levers = IndexMap::from([("idle".to_owned(), serde_json::from_value(lever).unwrap())]);
    scenario.claims.clear();
    scenario.known_to_work = None;
    let wrong = check::check(&scenario);
    assert!(wrong.is_empty(), "{wrong:?}");
    scenario
}

fn run(scenario: &Scenario, arm: &ArmPlan) -> SeedRun {
    run_one(scenario, &Job { arm, seed: 3, keep_events: true }).unwrap()
}

fn assert_same(control: &SeedRun, treated: &SeedRun) {
    let (left, right) = (control.kept.as_ref().unwrap(), treated.kept.as_ref().unwrap());
    if let Some(difference) = first_difference(left, right) {
        panic!("{difference}");
    }
    assert_eq!(control.events, treated.events);
    assert_eq!(control.tally.seconds, treated.tally.seconds);
}

/// Levers that never act: a policy that is switched off, and policies that find nothing to do.
fn idle() -> Vec<Value> {
    vec![
        json!({ "client.retry_budget": { "enabled": false, "token_bucket": { "deposit": "1%" } } }),
        json!({ "client.breaker": { "consecutive": 1_000_000, "minimum": 1_000_000 } }),
        json!({ "client.retry_budget": { "token_bucket": { "deposit": "100%", "capacity": 1_000_000 } } }),
        json!({ "client.deadline": "1000s" }),
        json!({ "client.hedge": { "after": "1000s" } }),
        json!({ "client.hedge": { "enabled": false, "after": "1ms" } }),
        json!({ "client.bulkhead": { "calls": 1_000_000 } }),
        json!({ "client.throttle": { "k": 1, "on": ["killed"] } }),
        json!({ "client.retry.honour_advice": true }),
        json!({ "api.advice": { "retry_after": "2s" } }),
        json!({ "db.load_shed": { "inside": 1_000_000, "by_criticality": { "sheddable": "0%" } } }),
        json!({ "api.query_timeout": "1000s" }),
    ]
}

#[test]
fn an_arm_with_a_lever_that_never_acts_is_its_control_event_for_event() {
    for set in idle() {
        let scenario = with_lever(set);
        let control = run(&scenario, &plan::control(&scenario));
        let standing = plan::treatment(&scenario, "idle", Mode::Standing).unwrap();
        assert_same(&control, &run(&scenario, &standing));
    }
}

#[test]
fn pulled_halfway_it_leaves_only_the_note_that_it_was_pulled() {
    let events = |run: &SeedRun| -> Vec<Event> {
        let all = read(run.kept.as_ref().unwrap()).map(Result::unwrap);
        all.filter(|event| event.kind != EventKind::Setting).collect()
    };
    for set in idle() {
        let scenario = with_lever(set);
        let control = run(&scenario, &plan::control(&scenario));
        let pulled = run(&scenario, &plan::treatment(&scenario, "idle", Mode::Pulled).unwrap());
        let (control, pulled) = (events(&control), events(&pulled));
        let parted = control.iter().zip(&pulled).find(|(left, right)| left != right);
        assert!(parted.is_none(), "{parted:?}");
        assert_eq!(control.len(), pulled.len());
    }
}

#[test]
fn a_lever_that_acts_is_told_apart_by_its_first_event() {
    let scenario = with_lever(json!({ "client.retry.attempts": 3 }));
    let control = run(&scenario, &plan::control(&scenario));
    let standing = run(&scenario, &plan::treatment(&scenario, "idle", Mode::Standing).unwrap());
    let difference =
        first_difference(control.kept.as_ref().unwrap(), standing.kept.as_ref().unwrap()).unwrap();
    // Until the trigger at 60 s no call needs a fourth attempt.
    assert!(difference.left.unwrap().at.secs_f64() > 60.0, "{difference}");
    assert_ne!(control.events, standing.events);
}

#[test]
fn a_lever_that_changes_little_is_measured_with_far_fewer_seeds_than_with_draws_of_its_own() {
    let mut scenario = storm();
    scenario.levers.retain(|name, _| name == "larger-pool");
    let gains = common_draws::measure(&scenario, 6, 2).unwrap();
    assert_eq!(gains.len(), 1);
    assert!(gains[0].factor().is_none_or(|factor| factor > 2.0), "{gains:?}");
}
