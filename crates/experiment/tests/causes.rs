//! "Inflow up, outflow down, or both?" The files of `scenarios/causes/` are the same small shop with one cause
//! each. Here each is asked which of its flows changed, by what was measured, and the answer has to be its cause.
//!
//! To add one: a file there, with claims, and its line in [`CAUSES`].

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use pumphandle_core::meter::{Flow, StockName};
use pumphandle_experiment::claims::Window;
use pumphandle_experiment::document::Style;
use pumphandle_experiment::measure::{How, Measured};
use pumphandle_experiment::outcome::SeedOutcome;
use pumphandle_experiment::plan;
use pumphandle_experiment::scenario::read::{Checked, read};

/// What becomes of a flow.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Is {
    Up,
    Same,
    Down,
}

/// A file, the service to look at, and what the trigger does to what comes there and to what goes.
const CAUSES: [(&str, &str, Is, Is); 7] = [
    // More come, and more go until the workers are all busy: outflow changes too.
    ("traffic-spike", "api", Is::Up, Is::Up),
    // Seen from the api nobody comes, and then all at once; the stock is in front of it.
    ("backlog-after-downtime", "client", Is::Same, Is::Down),
    ("fewer-workers", "api", Is::Same, Is::Down),
    ("slower-dependency", "api", Is::Same, Is::Down),
    ("noisy-neighbour", "api", Is::Same, Is::Down),
    ("lock-contention", "api", Is::Same, Is::Down),
    ("both-at-once", "api", Is::Up, Is::Down),
];

/// Further apart than chance makes two parts of a run: ten standard deviations of 6,000 arrivals are 13 %.
const CHANGED: f64 = 0.15;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../scenarios/causes")
}

fn control(name: &str) -> (Checked, Measured) {
    let text = fs::read_to_string(folder().join(format!("{name}.yaml"))).unwrap();
    let checked = read(name, &text, Style::Plain).unwrap_or_else(|wrong| panic!("{wrong}"));
    let stop = AtomicBool::new(false);
    let how = How { threads: 2, stop: &stop, keep_events: 0, keep_series: false };
    let mut measured = Measured::new(&checked.scenario, vec![plan::control(&checked.scenario)], false);
    measured.extend(&checked.scenario, &[1, 2, 3], &how, || ());
    assert!(measured.valid(0), "{name}: {:?} {:?}", measured.reasons, measured.arms[0].reasons);
    (checked, measured)
}

fn is(before: f64, during: f64) -> Is {
    match during / before {
        more if more > 1.0 + CHANGED => Is::Up,
        less if less < 1.0 - CHANGED => Is::Down,
        _ => Is::Same,
    }
}

fn per_second(seed: &SeedOutcome, service: usize, flow: Flow) -> (f64, f64) {
    let of = |window| seed.services[service][&window].flows[flow as usize];
    (of(Window::Before), of(Window::During))
}

#[test]
fn every_file_is_asked_and_every_cause_has_its_file() {
    let files: BTreeSet<String> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    assert_eq!(files, CAUSES.iter().map(|(name, ..)| (*name).to_owned()).collect());
}

#[test]
fn the_flow_that_changed_is_that_of_the_cause_and_the_stock_fills_by_the_difference() {
    for (name, service, inflow, outflow) in CAUSES {
        let (checked, measured) = control(name);
        let service = checked.scenario.services.get_index_of(service).unwrap();
        for seed in &measured.arms[0].seeds {
            let (came, comes) = per_second(seed, service, Flow::Arrived);
            let (went, goes) = per_second(seed, service, Flow::Completed);
            assert_eq!(
                (is(came, comes), is(went, goes)),
                (inflow, outflow),
                "{name}: {came} {comes} {went} {goes}"
            );
            let (most, _) = seed.peaks[service][StockName::Inside as usize];
            // At least half of the difference, or nearly all the room that there is.
            let filled = ((comes - goes) * checked.scenario.timeline[0].lasts.unwrap().0.as_secs_f64() * 0.5)
                .min(1900.0);
            assert!(most > filled && filled > 200.0, "{name}: {most} inside, of {filled}");
        }
    }
}
