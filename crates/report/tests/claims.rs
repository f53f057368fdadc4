//! Claims as JUnit, Markdown, text, and against a baseline.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use insta::assert_snapshot;
use pumphandle_experiment::document::commands;
use pumphandle_experiment::result::RunResult;
use pumphandle_report::{baseline_diff, check_text, junit, markdown};

fn runs() -> Vec<RunResult> {
    let storm = support::story().result;
    let mut quiet = storm.clone();
    quiet.scenario = "invisible-queue".into();
    quiet.file = "scenarios/invisible-queue.yaml".into();
    quiet.claims.truncate(2);
    quiet.overrides = vec!["client.attempt_timeout=8s".into(), "duration=600s".into()];
    quiet.valid = false;
    quiet.reasons = vec!["the accept queue never filled: the trigger did not take effect".into()];
    quiet.claims[1].is = "not tested".into();
    quiet.claims[1].reason = quiet.reasons[0].clone();
    vec![storm, quiet]
}

#[test]
fn check_shows_a_line_per_scenario_and_what_did_not_hold() {
    assert_snapshot!(check_text(&runs(), 58.04));
}

#[test]
fn junit_tells_broken_from_not_tested() {
    let xml = junit(&runs());
    assert_snapshot!(xml);
    assert!(!xml.contains("timestamp") && !xml.contains("time="));
}

#[test]
fn markdown_puts_what_is_broken_first() {
    assert_snapshot!(markdown(&runs()));
}

#[test]
fn a_claim_cannot_break_out_of_markdown_or_xml() {
    let mut runs = runs();
    runs[0].claims[2].claim = "<script>|*x*`]] & ``y``".into();
    runs[0].scenario = "a`b".into();
    let text = markdown(&runs);
    assert!(!text.contains("<script>") && text.contains(r"&lt;script&gt;\|\*x\*"));
    assert!(text.contains("``"), "a code span with a backtick needs a longer fence");
    assert!(!junit(&runs).contains("<script>"));
}

#[test]
fn what_commands_a_terminal_gets_into_no_file_for_ci() {
    let mut runs = runs();
    let spoiled = "x\u{1b}[2J\u{9b}2J\u{7}\u{0}\u{202e}y\u{fffe}";
    runs[0].claims[2].claim = spoiled.into();
    runs[0].claims[2].is = "broken".into();
    runs[0].claims[2].measured = spoiled.into();
    runs[0].scenario = spoiled.into();
    runs[0].file = spoiled.into();
    runs[0].overrides = vec![spoiled.into()];
    runs[1].reasons = vec![spoiled.into()];
    let diff = baseline_diff(&runs, &[]).join("\n");
    for text in [markdown(&runs), junit(&runs), check_text(&runs, 1.0), diff] {
        let bad = text.chars().find(|&c| commands(c) && c != '\n' || c == '\u{fffe}');
        assert_eq!(bad, None, "{text}");
    }
}

#[test]
fn equal_results_have_no_difference() {
    assert_eq!(baseline_diff(&runs(), &runs()), Vec::<String>::new());
}

#[test]
fn a_baseline_names_every_claim_verdict_and_arm_that_changed() {
    let old = runs();
    let mut new = runs();
    new[0].claims[0].is = "broken".into();
    new[0].claims.remove(1);
    let verdict = new[0].arms[1].verdict.as_mut().unwrap();
    verdict.is = "masks".into();
    let mut gone = new[0].arms.remove(2);
    gone.lever = Some("brand-new".into());
    new[0].arms.push(gone);
    new[0].arms[0].state = Some("recovers".into());
    new[1].scenario = "other".into();
    assert_snapshot!(baseline_diff(&old, &new).join("\n"));
}

#[test]
fn numbers_that_move_within_a_verdict_are_no_difference() {
    let mut new = runs();
    new[0].arms[1].outcome.good += 12.0;
    new[0].claims[1].measured = "9 s [7, 12]".into();
    assert!(baseline_diff(&runs(), &new).is_empty());
}
