//! Classes of requests, from the load to the service that does the work.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use pumphandle_core::events::{EventKind, read};
use pumphandle_core::meter::Flow;
use pumphandle_experiment::document::Style;
use pumphandle_experiment::plan::{self, ArmPlan};
use pumphandle_experiment::run::SeedRun;
use pumphandle_experiment::run::virtual_clock::{Job, run_one};
use pumphandle_experiment::scenario::{Mode, Scenario, read as scenario_file};

const SHOP: &str = "
scenario: shop
title: A shop with a replica
story: A tenth of the queries are reports. They take longer, and can be sent elsewhere.
kind: regime
slo: { latency: 3s }
duration: 100s
pull: 50s
load:
  arrivals: { poisson: 100/s }
  classes: { point: { share: 90% }, report: { share: 10% } }
services:
  client: { calls: api }
  api:
    calls: [cache, db]
    standby: replica
  cache: { service_time: { constant: 1ms } }
  db:
    service_time: { constant: 10ms }
    service_time_of: { report: { constant: 200ms } }
  replica: { service_time: { constant: 150ms } }
levers:
  read-replica:
    title: reports are read from a replica
    level: 8
    set: { api.route: { report: { db: replica } } }
  one-report:
    title: a path into the map
    level: 8
    modes: [standing]
    set: { db.service_time_of.report: { constant: 20ms } }
";

fn shop() -> Scenario {
    scenario_file::read("shop.yaml", SHOP, Style::Plain)
        .unwrap_or_else(|problems| panic!("{problems}"))
        .scenario
}

fn run(scenario: &Scenario, arm: &ArmPlan) -> SeedRun {
    run_one(scenario, &Job { arm, seed: 3, keep_events: true }).unwrap()
}

fn treated(scenario: &Scenario, lever: &str, mode: Mode) -> SeedRun {
    run(scenario, &plan::treatment(scenario, lever, mode).unwrap())
}

/// What a service counted from second `from` on.
fn counted(scenario: &Scenario, run: &SeedRun, service: &str, flow: Flow, from: usize) -> u64 {
    let service = scenario.services.get_index_of(service).unwrap();
    run.rows[from..].iter().map(|row| row[service].flow(flow)).sum()
}

/// The arrivals of each class, from the event log.
fn by_class(run: &SeedRun) -> [u64; 2] {
    let mut counts = [0; 2];
    let events = read(run.kept.as_ref().unwrap()).map(Result::unwrap);
    events.filter(|it| it.kind == EventKind::Arrival).for_each(|it| counts[it.b as usize] += 1);
    counts
}

#[test]
fn a_class_has_its_share_of_arrivals_and_its_own_service_time() {
    let scenario = shop();
    let control = run(&scenario, &plan::control(&scenario));
    let [points, reports] = by_class(&control);
    let share = reports as f64 / (points + reports) as f64;
    assert!((share - 0.1).abs() < 0.01, "{share}");
    let busy = counted(&scenario, &control, "db", Flow::BusyNanos, 0) as f64 / 1e9;
    let expected = points as f64 * 0.01 + reports as f64 * 0.2;
    assert!((busy / expected - 1.0).abs() < 0.01, "{busy} s, expected {expected} s");
    assert_eq!(counted(&scenario, &control, "replica", Flow::Arrived, 0), 0, "it only stands by");
    let shorter = treated(&scenario, "one-report", Mode::Standing);
    let busy = counted(&scenario, &shorter, "db", Flow::BusyNanos, 0) as f64 / 1e9;
    let expected = points as f64 * 0.01 + reports as f64 * 0.02;
    assert!((busy / expected - 1.0).abs() < 0.01, "{busy} s, expected {expected} s");
}

#[test]
fn a_route_that_is_set_while_it_runs_sends_the_class_and_nobody_else_to_the_replica() {
    let scenario = shop();
    let standing = treated(&scenario, "read-replica", Mode::Standing);
    let [points, reports] = by_class(&standing);
    let all = |service| counted(&scenario, &standing, service, Flow::Completed, 0);
    assert!(all("db").abs_diff(points) <= 2 && all("replica").abs_diff(reports) <= 20);
    assert!(all("cache").abs_diff(points + reports) <= 2, "the other calls go where they went");
    let pulled = treated(&scenario, "read-replica", Mode::Pulled);
    let from = |second| counted(&scenario, &pulled, "replica", Flow::Arrived, second);
    assert_eq!(from(0), from(50), "before the lever is pulled nobody is sent there");
    assert!(from(50) > 300);
}

#[test]
fn an_arrival_is_of_the_same_class_in_every_arm() {
    let scenario = shop();
    let control = run(&scenario, &plan::control(&scenario));
    for lever in ["read-replica", "one-report"] {
        assert_eq!(by_class(&treated(&scenario, lever, Mode::Standing)), by_class(&control));
    }
}
