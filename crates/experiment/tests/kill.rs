//! Ending old work: who is hit, who is not, and what is written down.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use pumphandle_core::events::{Event, EventKind, read};
use pumphandle_core::meter::Flow;
use pumphandle_experiment::document::Style;
use pumphandle_experiment::plan;
use pumphandle_experiment::run::SeedRun;
use pumphandle_experiment::run::virtual_clock::{Job, run_one};
use pumphandle_experiment::scenario::{Mode, Scenario, read as scenario_file};

/// One user per second, each of whom is worked on for 20 s: at 40.5 s the oldest work has lasted 19.5 s.
const DESK: &str = "
scenario: desk
title: A desk
story: Whoever comes stays for twenty seconds.
kind: regime
slo: { latency: 30s }
duration: 100s
pull: 40500ms
load: { arrivals: { constant: 1/s } }
services:
  users: { calls: desk }
  desk: { service_time: { constant: 20s } }
levers:
  kill: { title: end what is old, level: 9, modes: [pulled], kill: { services: [desk], older_than: AGE } }
";

fn run(age: &str) -> (Scenario, SeedRun) {
    let text = DESK.replace("AGE", age);
    let scenario = scenario_file::read("desk.yaml", &text, Style::Plain).unwrap().scenario;
    let arm = plan::treatment(&scenario, "kill", Mode::Pulled).unwrap();
    let run = run_one(&scenario, &Job { arm: &arm, seed: 1, keep_events: true }).unwrap();
    (scenario, run)
}

fn kills(run: &SeedRun) -> Vec<Event> {
    let events = read(run.kept.as_ref().unwrap()).map(Result::unwrap);
    events.filter(|event| event.kind == EventKind::Kill).collect()
}

#[test]
fn what_is_older_ends_what_is_younger_goes_on_and_the_log_says_so() {
    for (age, expected) in [("0s", 20), ("10s", 10), ("19500ms", 1), ("19600ms", 0), ("30s", 0)] {
        let (scenario, run) = run(age);
        let kills = kills(&run);
        assert_eq!(kills.len(), 1, "one note for one act");
        assert_eq!((kills[0].at.secs_f64(), kills[0].b), (40.5, expected), "older than {age}");
        let desk = scenario.services.get_index_of("desk").unwrap();
        let counted = |flow| run.rows.iter().map(|row| row[desk].flow(flow)).sum::<u64>();
        assert_eq!(counted(Flow::Killed), expected);
        let [good, errors] = [
            run.tally.seconds.iter().map(|s| u64::from(s.good)).sum::<u64>(),
            run.tally.seconds.iter().map(|s| u64::from(s.errors)).sum(),
        ];
        assert_eq!((good, errors), (100 - expected, expected), "who comes later is not hit");
        assert!(run.wrong_accounts.is_empty(), "{:?}", run.wrong_accounts);
    }
}
