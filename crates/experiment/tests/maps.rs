//! Maps of a storm that is small enough for a test: what is shared is not run twice, what was measured before
//! an interruption is what the whole map says, and a point has one class whatever else is measured.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::atomic::{AtomicBool, Ordering};

use pumphandle_experiment::document::Style;
use pumphandle_experiment::map::axis::{Axis, Places};
use pumphandle_experiment::map::bench::{Arm, Bench, HowMany, Tick, TriggerOf, go_on_long_enough};
use pumphandle_experiment::map::class::Class;
use pumphandle_experiment::map::looks::Looks;
use pumphandle_experiment::map::result::{About, MapResult};
use pumphandle_experiment::map::sweep::Sweep;
use pumphandle_experiment::scenario::Scenario;
use pumphandle_experiment::scenario::read::read;

/// 160 answers per second, four attempts, a queue that holds more than anybody waits for.
const STORM: &str = "
scenario: tiny
title: A tiny storm
story: It is slow for a while.
kind: pulse
slo: { latency: 1s }
duration: 150s
load: { arrivals: { poisson: 80/s } }
services:
  client:
    calls: shop
    with: { attempt_timeout: 300ms, retry: { attempts: 4, backoff: { up_to: 50ms, jitter: full } } }
  shop: { workers: 8, queue: { size: 400 }, service_time: { exponential: 50ms } }
timeline:
  - { trigger: slow, from: 20s, for: 6s, do: { slow_down: { service: shop, factor: 20 } } }
";

fn storm() -> Scenario {
    read("tiny.yaml", STORM, Style::Plain).unwrap().scenario
}

fn control() -> Arm {
    Arm { lever: None }
}

fn about() -> About {
    About {
        scenario: "tiny".into(),
        title: String::new(),
        file: String::new(),
        scenario_sha256: String::new(),
        overrides: Vec::new(),
        arm: "control".into(),
        kind: "pulse".into(),
        first_seed: 1,
        looks: vec![6],
        again: String::new(),
    }
}

fn map(scenario: &Scenario, steps: usize, stop_after: u64) -> MapResult {
    let axis = |text: &str| Axis::parse(scenario, text, Places::Steps(steps)).unwrap();
    let sweep = Sweep {
        scenario,
        arm: control(),
        x: axis("load.arrivals.poisson=20/s..220/s"),
        y: axis("timeline.slow.for=2s..9s"),
        longest: None,
    };
    sweep.check().unwrap();
    let stop = AtomicBool::new(false);
    let how = HowMany { threads: 2, stop: &stop, first_seed: 1, looks: Looks::new(6) };
    let mut done = 0;
    sweep.run(about(), &how, &mut |tick| {
        done += u64::from(tick == Tick::Done);
        stop.store(done >= stop_after, Ordering::Relaxed);
    })
}

#[test]
fn what_was_measured_before_an_interruption_is_what_the_whole_map_says() {
    let scenario = storm();
    let whole = map(&scenario, 4, u64::MAX);
    assert!(!whole.partial && whole.classes.iter().flatten().all(Option::is_some));
    for stop_after in [1, 40, 140] {
        let part = map(&scenario, 4, stop_after);
        assert!(part.partial && part.points.len() < whole.points.len(), "{stop_after}");
        for point in &part.points {
            assert!(whole.points.contains(point), "{stop_after}: {point:?}");
        }
    }
}

#[test]
fn runs_that_two_points_have_in_common_are_made_once() {
    let whole = map(&storm(), 4, u64::MAX);
    let metastable = whole.points.iter().filter(|point| point.class == Class::Metastable).count();
    assert!(metastable > 4, "there is something to share");
    // Without sharing every point needs another probe beside its own: none, or the longest.
    let probes = whole.runs / 6;
    let without =
        whole.points.len() + whole.points.iter().filter(|it| it.well_without_trigger.is_some()).count();
    assert!((probes as usize) < without, "{probes} probes, {without} without sharing");
}

#[test]
fn the_same_probe_asked_twice_is_one_and_a_longer_trigger_is_another() {
    let mut bench = Bench::default();
    let mut add = |trigger| bench.add(&storm(), &control(), trigger).unwrap();
    let six: pumphandle_core::Dur = pumphandle_core::Dur::parse("6s").unwrap();
    let nine = pumphandle_core::Dur::parse("9s").unwrap();
    assert_eq!(add(TriggerOf::Point), add(TriggerOf::Point));
    assert_eq!(add(TriggerOf::Point), add(TriggerOf::Longest(six)));
    assert_ne!(add(TriggerOf::Point), add(TriggerOf::Longest(nine)));
    assert_ne!(add(TriggerOf::Point), add(TriggerOf::None));
}

#[test]
fn a_run_goes_on_until_its_trigger_cannot_be_blamed_any_more_and_is_never_shortened() {
    for (lasts, expected) in [("6s", 150.0), ("30s", 20.0 + 30.0 + 150.0), ("60s", 20.0 + 60.0 + 300.0)] {
        let mut scenario = storm();
        scenario.timeline[0].lasts = Some(pumphandle_core::Dur::parse(lasts).unwrap());
        go_on_long_enough(&mut scenario, &control());
        assert_eq!(scenario.duration.secs_f64(), expected, "{lasts}");
    }
}
