//! Criticality, from the class of an arrival to a door two hops away: who is refused first, and who gets
//! nothing at all. The book counts all users alike, so that this reads the event log.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;

use pumphandle_core::events::{EventKind, read};
use pumphandle_experiment::document::Style;
use pumphandle_experiment::plan;
use pumphandle_experiment::run::virtual_clock::{Job, run_one};
use pumphandle_experiment::scenario::{Mode, read as scenario_file};

const SHOP: &str = "
scenario: shop
title: Twice as much as can be done
story: A quarter of the requests are users, the rest are batches that nobody waits for.
kind: regime
slo: { latency: 3s }
duration: 60s
load:
  arrivals: { poisson: 200/s }
  classes:
    user: { share: 25% }
    reindex: { share: 25%, criticality: sheddable_plus }
    report: { share: 50%, criticality: sheddable }
services:
  gateway: { calls: api }
  api: { calls: db }
  db:
    workers: 10
    service_time: { exponential: 100ms }
    load_shed: { inside: 40 }
levers:
  by-criticality:
    title: the least critical are refused first
    level: 7
    modes: [standing]
    set: { db.load_shed.by_criticality: { critical: 90%, sheddable_plus: 70%, sheddable: 30% } }
";

/// The share of each class that got an answer, in the control or with the lever.
fn answered(lever: Option<&str>) -> [f64; 3] {
    let scenario = scenario_file::read("shop.yaml", SHOP, Style::Plain)
        .unwrap_or_else(|problems| panic!("{problems}"))
        .scenario;
    let arm = match lever {
        None => plan::control(&scenario),
        Some(lever) => plan::treatment(&scenario, lever, Mode::Standing).unwrap(),
    };
    let run = run_one(&scenario, &Job { arm: &arm, seed: 1, keep_events: true }).unwrap();
    let (mut classes, mut came, mut good) = (BTreeMap::new(), [0.0; 3], [0.0; 3]);
    for event in read(run.kept.as_ref().unwrap()).map(Result::unwrap) {
        match event.kind {
            EventKind::Arrival => {
                classes.insert(event.a, event.b as usize);
                came[event.b as usize] += 1.0;
            }
            EventKind::Resolved if event.b == 0 => good[classes[&event.a]] += 1.0,
            _ => {}
        }
    }
    std::array::from_fn(|class| good[class] / came[class])
}

#[test]
fn without_thresholds_every_class_is_refused_alike() {
    let shares = answered(None);
    // The database can do half of what comes.
    assert!(shares.iter().all(|share| (share - 0.5).abs() < 0.05), "{shares:?}");
}

#[test]
fn with_thresholds_users_are_served_first_and_the_least_critical_get_what_is_left() {
    let [user, reindex, report] = answered(Some("by-criticality"));
    assert!(user > 0.999 && reindex > 0.85, "{user} {reindex}");
    // 100/s less 50/s for users and 50/s for reindexing: hardly anything is left for 100/s.
    assert!(report < 0.1, "{report}");
}
