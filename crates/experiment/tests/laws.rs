//! The laws in seconds: fewer cases, shorter runs, wider tolerances. `pumphandle laws` runs all of it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use pumphandle_core::{Dur, Share};
use pumphandle_experiment::laws::bench::{SetUp, observe};
use pumphandle_experiment::laws::{self, Law, Row, Size};
use pumphandle_experiment::stats::Decision;
use pumphandle_stack::service_time::ServiceTime;

fn rows(laws: &[&dyn Law]) -> Vec<Row> {
    laws::test(laws, &[], Size::Reduced, 2).unwrap()
}

#[test]
fn every_law_holds_of_the_rig() {
    let rows = rows(laws::ALL);
    let not_held: Vec<String> =
        rows.iter().filter(|row| row.verdict != Decision::Held).map(|row| format!("{row:#?}")).collect();
    assert!(not_held.is_empty(), "{}", not_held.join("\n"));
    for law in laws::ALL {
        assert!(rows.iter().any(|row| row.law == law.name()), "{} has no row", law.name());
    }
}

/// A rig that is a little wrong: work takes longer than it says, fewer attempts fail, budgets are forgotten.
fn sabotaged(set_up: &SetUp) -> SetUp {
    let mut set_up = set_up.clone();
    for service in set_up.scenario.services.values_mut() {
        service.failure = Share(service.failure.0 * 0.95);
        service.with.retry_budget = None;
        if let Some(takes) = service.service_time.take() {
            let more = Dur(Duration::from_secs_f64(0.15 * takes.mean_s()));
            service.service_time = Some(ServiceTime::Sum(vec![takes, ServiceTime::Constant(more)]));
        }
    }
    set_up
}

#[test]
fn every_law_is_broken_by_a_rig_that_is_a_little_wrong() {
    for law in laws::ALL {
        let set_ups = law.set_ups(Size::Reduced);
        let seen: Vec<_> = set_ups
            .iter()
            .map(|set_up| {
                let wrong = sabotaged(set_up);
                (1..=set_up.seeds).map(|seed| observe(&wrong, seed).unwrap()).collect()
            })
            .collect();
        let rows = law.rows(&set_ups, &seen);
        assert!(rows.iter().any(|row| row.verdict == Decision::Broken), "{}: {rows:#?}", law.name());
    }
}
