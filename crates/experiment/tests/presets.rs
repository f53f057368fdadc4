//! The files of `presets/`: every number has its source, and every preset can stand where it is meant to.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::PathBuf;

use pumphandle_experiment::document::Style;
use pumphandle_experiment::presets::{self, Read};
use pumphandle_experiment::scenario::{Mode, Scenario, check, read};
use pumphandle_experiment::{plan, scenario};

const STORM: &str = include_str!("../../../scenarios/retry-storm.yaml");

fn all() -> Vec<(String, Read)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../presets");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 5, "this test looks in the wrong place");
    let one = |path: &PathBuf| {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(path).unwrap();
        (name.clone(), presets::read(&name, &text, Style::Plain).unwrap_or_else(|wrong| panic!("{wrong}")))
    };
    files.iter().map(one).collect()
}

fn storm() -> Scenario {
    read::read("retry-storm.yaml", STORM, Style::Plain).unwrap().scenario
}

#[test]
fn every_number_of_a_preset_has_a_source() {
    for (name, preset) in all() {
        assert_eq!(preset.preset.preset, name, "a preset is called as its file is");
        assert!(!preset.numbers.is_empty(), "{name} sets nothing");
        for (path, value, source) in &preset.numbers {
            assert!(source.as_ref().is_some_and(|it| it.len() > 5), "{name}: {path}: {value} has no source");
        }
        assert!(preset.preset.not_expressed.values().all(|why| !why.trim().is_empty()), "{name}");
    }
}

#[test]
fn every_preset_can_stand_on_the_calls_of_the_storms_client_and_leaves_the_rest_alone() {
    let mut scenario = storm();
    let before = scenario.services["client"].with.clone();
    let (service, callee) = presets::edge(&scenario).map(|(s, c)| (s.to_owned(), c.to_owned())).unwrap();
    assert_eq!((service.as_str(), callee.as_str()), ("client", "api"));
    for (name, preset) in all() {
        assert_eq!(presets::add(&mut scenario, &service, &preset), Ok(name.clone()));
        for mode in [Mode::Pulled, Mode::Standing] {
            plan::treatment(&scenario, &name, mode).unwrap_or_else(|wrong| panic!("{name}: {wrong:?}"));
        }
        let arm = plan::treatment(&scenario, &name, Mode::Standing).unwrap();
        let with = &arm.settings["client"].with;
        assert_ne!(*with, before, "{name} changes nothing");
        if preset.preset.with.attempt_timeout.is_none() {
            assert_eq!(with.attempt_timeout, before.attempt_timeout, "{name}");
        }
        let again = presets::add(&mut scenario, &service, &preset).unwrap_err();
        assert!(again.contains("of its own"), "{again}");
    }
    assert!(check::check(&scenario).is_empty());
}

#[test]
fn a_preset_stands_only_where_there_are_calls() {
    let mut scenario = storm();
    let (_, preset) = all().remove(0);
    let wrong = presets::add(&mut scenario, "db", &preset).unwrap_err();
    assert!(wrong.contains("calls no other service"), "{wrong}");
    let wrong = presets::add(&mut scenario, "dbb", &preset).unwrap_err();
    assert!(wrong.contains("known: client, api, db"), "{wrong}");
    scenario::overrides::apply(&mut scenario, "client.calls=api").unwrap_err();
}

#[test]
fn a_preset_that_cannot_be_is_refused_at_the_word_that_is_wrong() {
    let refused = |with: &str| {
        let text = format!("preset: mine\ntitle: mine\nof: nothing\nwith:\n  {with}\n");
        presets::read("mine.yaml", &text, Style::Plain).unwrap_err().0
    };
    let text = refused("retyr: { attempts: 2 }");
    assert!(text.contains("5 │   retyr") && text.contains("did you mean `retry`?"), "{text}");
    let text = refused("rate_limit: { rate: 0/s }");
    assert!(text.contains("^^^ a rate limit lies above 0/s"), "{text}");
}
