//! Readers that take a text or bytes and give back a value or a sentence. Pure: nothing here opens anything.

use std::sync::OnceLock;

use pumphandle_console::read_metrics;
use pumphandle_core::meter::Flow;
use pumphandle_experiment::document::{Style, commands};
use pumphandle_experiment::plan;
use pumphandle_experiment::result::RunResult;
use pumphandle_experiment::scenario::{Scenario, check, overrides, read};
use pumphandle_report::{baseline_diff, junit, markdown};

const GOOD: &str = include_str!("../../crates/experiment/tests/good.yaml");

/// A file is refused in sentences that command no terminal, or every arm of it can be planned and it reads the
/// same after it was written.
pub(crate) fn scenario(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match read::read("mine.yaml", text, Style::Plain) {
        Err(problems) => {
            assert!(problems.0.ends_with("\nnothing was run\n"));
            assert!(!problems.0.contains(|c| commands(c) && c != '\n'), "{:?}", problems.0);
        }
        Ok(checked) => {
            let scenario = &checked.scenario;
            assert!(!scenario.title.contains(|c| commands(c) && c != '\n' && c != '\t'));
            for (name, lever) in &scenario.levers {
                for mode in &lever.modes {
                    assert!(plan::treatment(scenario, name, *mode).is_ok(), "{name}");
                }
            }
            let written = serde_json::to_string(scenario).expect("a scenario can be written");
            let again = read::read("again.yaml", &written, Style::Plain);
            assert_eq!(again.map(|again| again.scenario).as_ref(), Ok(scenario));
        }
    }
}

/// `--set`: refused in a sentence, or the scenario can be checked.
pub(crate) fn assignment(bytes: &[u8]) {
    static SCENARIO: OnceLock<Scenario> = OnceLock::new();
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let good = || read::read("good.yaml", GOOD, Style::Plain).expect("it is good").scenario;
    let mut scenario = SCENARIO.get_or_init(good).clone();
    match overrides::apply(&mut scenario, text) {
        Err(sentence) => assert!(!sentence.is_empty()),
        Ok(()) => drop(check::check(&scenario)),
    }
}

/// A page is refused with a line that it has, or every count is what its line says.
pub(crate) fn metrics(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match read_metrics(text) {
        Err(error) => assert!(error.line <= text.lines().count() && !error.message.is_empty()),
        Ok(page) => {
            for flow in Flow::ALL.iter().filter(|flow| !flow.name().ends_with("_ns")) {
                let sample = format!("pumphandle_{}_total{{", flow.name());
                let line = text.lines().find(|line| line.starts_with(&sample)).expect("it is there");
                let said = line.rsplit_once(' ').map(|(_, number)| number.parse());
                assert_eq!(said, Some(Ok(page.snapshot.flow(*flow))));
            }
        }
    }
}

/// A log is read in the order of time up to its end, or up to a byte that it has.
pub(crate) fn events(bytes: &[u8]) {
    let mut last = None;
    for event in pumphandle_core::events::read(bytes) {
        match event {
            Ok(event) => {
                assert!(last <= Some(event.at));
                last = Some(event.at);
            }
            Err(offset) => assert!(offset < bytes.len()),
        }
    }
}

/// What `check --baseline` reads: no result, or one that can be compared and written in every form.
pub(crate) fn baseline(bytes: &[u8]) {
    let Ok(mut document) = serde_json::from_slice::<serde_json::Value>(bytes) else { return };
    let Some(results) = document.get_mut("results").map(serde_json::Value::take) else { return };
    let Ok(old) = serde_json::from_value::<Vec<RunResult>>(results) else { return };
    // Names that stand there twice are the same scenario twice: only then can a result differ from itself.
    let mut names: Vec<&str> = old.iter().map(|run| run.scenario.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert!(names.len() < old.len() || baseline_diff(&old, &old).is_empty());
    let _ = baseline_diff(&old, &[]);
    let _ = (markdown(&old), junit(&old));
}
