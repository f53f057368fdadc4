//! Every policy that is known to cause an incident causes it here, measured: the files of
//! `scenarios/policies/`. They are scenarios like any other (`pumphandle run` and `check` take their paths),
//! but no incidents of the collection: small, about one policy, explained where the policy is.
//!
//! To add one: a file there, with claims, and its path in the `Can cause` of the policy's file. It is found
//! by itself. Every claim has to hold, and those about a lever must not hold of the control.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use pumphandle_experiment::claims::judge::judge;
use pumphandle_experiment::document::Style;
use pumphandle_experiment::measure::{How, Measured};
use pumphandle_experiment::plan;
use pumphandle_experiment::scenario::Mode;
use pumphandle_experiment::scenario::read::{Checked, read};
use pumphandle_experiment::stats::Decision;

/// Enough to show that more than half of all seeds do the same: 6 of 6 have a 95 % interval above 0.54.
const SEEDS: u64 = 6;
const CONFIDENCE: f64 = 0.95;

fn all() -> Vec<Checked> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../scenarios/policies");
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "yaml"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "this test looks in the wrong place");
    let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    files
        .iter()
        .map(|path| {
            let text = fs::read_to_string(path).unwrap();
            read(&name(path), &text, Style::Plain).unwrap_or_else(|wrong| panic!("{wrong}"))
        })
        .collect()
}

/// The control and every arm that a claim speaks of.
fn measured(checked: &Checked) -> Measured {
    let scenario = &checked.scenario;
    let mut arms = vec![plan::control(scenario)];
    for (_, claim, _) in checked.claims() {
        if arms.iter().all(|arm| arm.name != claim.arm) {
            let (lever, mode) = match claim.arm.strip_suffix("@start") {
                Some(lever) => (lever, Mode::Standing),
                None => (claim.arm.as_str(), Mode::Pulled),
            };
            arms.push(plan::treatment(scenario, lever, mode).unwrap());
        }
    }
    let stop = AtomicBool::new(false);
    let how = How { threads: 2, stop: &stop, keep_events: 0, keep_series: false };
    let mut measured = Measured::new(scenario, arms, false);
    measured.extend(scenario, &(1..=SEEDS).collect::<Vec<_>>(), &how, || ());
    measured
}

/// A claim about a lever that holds without the lever says nothing about it.
#[test]
fn every_incident_that_a_policy_is_said_to_cause_happens_and_does_not_without_it() {
    let mut wrong = Vec::new();
    for checked in all() {
        let name = &checked.scenario.scenario;
        assert!(checked.claims().count() > 0, "{name} claims nothing");
        let measured = measured(&checked);
        for (sentence, claim, _) in checked.claims() {
            let arm = measured.find(&claim.arm).unwrap();
            let reasons = [&measured.reasons, &measured.arms[0].reasons, &measured.arms[arm].reasons];
            assert!(measured.valid(arm), "{name}, {}: {reasons:?}", claim.arm);
            let judged = |arm| judge(&checked.scenario, &measured, claim, arm, CONFIDENCE);
            let found = judged(arm);
            if found.decision != Decision::Held {
                wrong.push(format!(
                    "{name}: {sentence}: {:?}, expected {}, measured {}",
                    found.decision, found.expected, found.measured
                ));
            } else if arm > 0 && judged(0).decision == Decision::Held {
                wrong.push(format!("{name}: {sentence}: the control does so too"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
