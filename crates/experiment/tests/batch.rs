//! Work that ends: what a stack does with jobs that are listed is what list scheduling on paper does with them, to the
//! nanosecond.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;
use pumphandle_core::meter::{Flow, StockName};
use pumphandle_experiment::document::Style;
use pumphandle_experiment::plan;
use pumphandle_experiment::run::SeedRun;
use pumphandle_experiment::run::virtual_clock::{Job, run_one};
use pumphandle_experiment::scenario::{Scenario, check, overrides, read};

/// The twenty jobs of the exercise: when each is created, and how long it takes, seconds.
const EXERCISE: [u64; 10] = [9, 14, 5, 11, 7, 12, 6, 13, 8, 10];

fn exercise() -> Vec<(u64, u64)> {
    let first = EXERCISE.iter().map(|&length| (0, length));
    first.chain(std::iter::repeat_n((4, 8), 10)).collect()
}

/// What came of a batch, seconds.
#[derive(Debug, PartialEq, Eq)]
struct Drained {
    /// From the first job's creation to the last one's end.
    after: u64,
    /// Waiting for a worker, all jobs added.
    waited: u64,
}

/// List scheduling by hand: each job in its turn gets the worker that is free first.
fn on_paper(jobs: &[(u64, u64)], workers: usize) -> Drained {
    let mut free = vec![0; workers];
    let (mut end, mut waited) = (0, 0);
    for &(created, length) in jobs {
        let next = free.iter_mut().min().unwrap();
        let starts = created.max(*next);
        *next = starts + length;
        (end, waited) = (end.max(*next), waited + starts - created);
    }
    Drained { after: end - jobs[0].0, waited }
}

fn scenario(jobs: &[(u64, u64)], workers: usize) -> Scenario {
    let lengths: std::collections::BTreeSet<u64> = jobs.iter().map(|job| job.1).collect();
    let share = |length: u64| jobs.iter().filter(|job| job.1 == length).count() as f64 / jobs.len() as f64;
    let lines = |line: &dyn Fn(u64) -> String| lengths.iter().map(|&length| line(length)).collect::<String>();
    let listed: String =
        jobs.iter().map(|(at, length)| format!("      - {{ at: {at}s, class: c{length} }}\n")).collect();
    let text = format!(
        "scenario: batch\ntitle: A batch\nstory: It ends.\nkind: batch\nslo: {{ latency: 10s }}\nduration: 600s\nload:\n  \
         arrivals:\n    listed:\n{listed}  classes:\n{}services:\n  jobs:\n    workers: {workers}\n    \
         service_time_of:\n{}",
        lines(&|length| format!("    c{length}: {{ share: {} }}\n", share(length))),
        lines(&|length| format!("      c{length}: {{ constant: {length}s }}\n")),
    );
    read::read("batch.yaml", &text, Style::Plain).unwrap_or_else(|wrong| panic!("{wrong}\n{text}")).scenario
}

fn run(scenario: &Scenario, seed: u64) -> SeedRun {
    let arm = plan::control(scenario);
    let run = run_one(scenario, &Job { arm: &arm, seed, keep_events: false }).unwrap();
    assert_eq!(run.wrong_accounts, Vec::<String>::new());
    run
}

fn drained(run: &SeedRun) -> Drained {
    let waited: u64 = run.rows.iter().map(|row| row[0].stock(StockName::Queue).integral_ns).sum();
    let after = run.tally.drain_time();
    assert_eq!(
        (after.subsec_nanos(), waited % 1_000_000_000),
        (0, 0),
        "whole seconds: {after:?}, {waited} ns"
    );
    Drained { after: after.as_secs(), waited: waited / 1_000_000_000 }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn any_batch_drains_as_list_scheduling_says(
        mut jobs in prop::collection::vec((0_u64..30, 1_u64..8), 1..40), workers in 1_usize..12, seed: u64,
    ) {
        jobs.sort_by_key(|job| job.0);
        prop_assert_eq!(drained(&run(&scenario(&jobs, workers), seed)), on_paper(&jobs, workers));
    }
}

#[test]
fn the_exercise_takes_what_its_page_says() {
    let text = include_str!("../../../scenarios/draining-jobs.yaml");
    let shipped = read::read("draining-jobs.yaml", text, Style::Plain).unwrap().scenario;
    for (workers, after, waited) in [
        (1, 175, 1_699),
        (2, 91, 783),
        (4, 46, 325),
        (6, 33, 173),
        (8, 25, 98),
        (10, 21, 54),
        (12, 20, 36),
        (20, 14, 0),
    ] {
        let paper = on_paper(&exercise(), workers);
        assert_eq!(paper, Drained { after, waited }, "{workers} workers, on paper");
        let mut scenario = shipped.clone();
        overrides::apply(&mut scenario, &format!("jobs.workers={workers}")).unwrap();
        overrides::apply(&mut scenario, "duration=200s").unwrap();
        // Some of these numbers of workers are what a lever or the reference would make of it.
        (scenario.levers, scenario.reference, scenario.known_to_work) = Default::default();
        assert!(check::check(&scenario).iter().all(|wrong| wrong.path.to_string().starts_with("claims")));
        let run = run(&scenario, 1);
        assert_eq!(drained(&run), paper, "{workers} workers, measured");
        let created: u64 = run.rows.iter().map(|row| row[0].flow(Flow::Arrived)).sum();
        let completed: u64 = run.rows.iter().map(|row| row[0].flow(Flow::Completed)).sum();
        assert_eq!((created, completed), (20, 20));
    }
}
