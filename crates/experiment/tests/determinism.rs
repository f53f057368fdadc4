//! One seed is one result, however the runs are spread over threads and whatever ran before in the process.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::atomic::AtomicBool;

use pumphandle_core::events::first_difference;
use pumphandle_experiment::document::Style;
use pumphandle_experiment::measure::{How, Measured};
use pumphandle_experiment::plan;
use pumphandle_experiment::scenario::{Mode, Scenario, read};

fn scenario(file: &str, text: &str) -> Scenario {
    read::read(file, text, Style::Plain).unwrap().scenario
}

fn storm() -> Scenario {
    scenario("scenarios/retry-storm.yaml", include_str!("../../../scenarios/retry-storm.yaml"))
}

/// Digests of the event logs by arm and seed, and the first log of the control.
fn measure(threads: usize) -> (Vec<Vec<String>>, Vec<u8>) {
    let scenario = storm();
    let treated = |name| plan::treatment(&scenario, name, Mode::Pulled).unwrap();
    let arms = vec![plan::control(&scenario), treated("circuit-breaker"), treated("backoff-and-jitter")];
    let never = AtomicBool::new(false);
    let how = How { threads, stop: &never, keep_events: 1, keep_series: false };
    let mut measured = Measured::new(&scenario, arms, false);
    measured.extend(&scenario, &[1, 2], &how, || ());
    assert!(measured.reasons.is_empty(), "{:?}", measured.reasons);
    let kept = measured.arms[0].kept.take().unwrap();
    (measured.arms.into_iter().map(|arm| arm.events).collect(), kept)
}

#[test]
fn the_number_of_threads_and_what_ran_before_cannot_be_seen_in_any_result() {
    let (digests, log) = measure(1);
    assert_eq!(digests.len(), 3);
    assert_ne!(digests[0][0], digests[0][1], "two seeds are two results");
    for threads in [2, 5] {
        let (other, other_log) = measure(threads);
        if let Some(difference) = first_difference(&log, &other_log) {
            panic!("one thread and {threads}: {difference}");
        }
        assert_eq!(digests, other, "one thread and {threads}");
    }
    let unrelated = scenario("laws/overload.yaml", include_str!("../../../laws/overload.yaml"));
    let never = AtomicBool::new(false);
    let how = How { threads: 2, stop: &never, keep_events: 0, keep_series: false };
    let mut other = Measured::new(&unrelated, vec![plan::control(&unrelated)], false);
    other.extend(&unrelated, &[7, 8, 9], &how, || ());
    assert_eq!(other.seeds.len(), 3);
    assert_eq!(digests, measure(2).0, "after an unrelated scenario");
}
