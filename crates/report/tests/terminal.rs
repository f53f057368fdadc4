//! What a terminal shows of a run. Golden files hold the words; properties hold the width.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use insta::assert_snapshot;
use proptest::prelude::*;
use pumphandle_experiment::document::commands;
use pumphandle_experiment::result::Story;
use pumphandle_report::{Terminal, terminal};
use unicode_width::UnicodeWidthStr;

fn shown(story: &Story, width: usize, colour: bool) -> String {
    let report = Some("runs/retry-storm-7f3a/report.html".to_string());
    terminal(story, &Terminal { width, colour, report })
}

/// The text as it looks: escape sequences removed.
fn without_escapes(text: &str) -> String {
    let mut parts = text.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_string();
    parts.fold(first, |out, part| out + part.split_once('m').map_or(part, |(_, rest)| rest))
}

fn widest(text: &str) -> usize {
    text.lines().map(|line| line.width()).max().unwrap_or(0)
}

#[test]
fn a_run_of_all_levers_at_eighty_columns() {
    assert_snapshot!(shown(&support::story(), 80, false));
}

#[test]
fn a_run_of_all_levers_at_a_hundred_and_twenty_columns() {
    assert_snapshot!(shown(&support::story(), 120, false));
}

#[test]
fn one_lever_shows_its_own_line_and_verdict() {
    let mut story = support::story();
    story.result.arms.retain(|arm| ["control", "disable-retries"].contains(&arm.arm.as_str()));
    story.result.claims.clear();
    assert_snapshot!(shown(&story, 80, false));
}

#[test]
fn a_run_that_may_not_be_believed_says_so_first() {
    let mut story = support::story();
    story.result.valid = false;
    story.result.partial = true;
    story.result.reasons =
        vec!["the trigger did not take effect: db latency rose by 2 %, not by 300 %".into()];
    let text = shown(&story, 80, false);
    assert!(text.starts_with("NOT VALID"), "{text}");
    assert!(text.lines().take(5).any(|line| line.contains("the trigger did not take effect")));
    assert!(text.lines().take(5).any(|line| line.starts_with("PARTIAL")));
}

#[test]
fn colour_adds_escapes_and_no_other_character() {
    let story = support::story();
    let coloured = shown(&story, 80, true);
    assert_ne!(coloured, shown(&story, 80, false));
    assert_eq!(without_escapes(&coloured), shown(&story, 80, false));
}

#[test]
fn a_name_cannot_move_the_cursor() {
    let mut story = support::story();
    for spoiled in ["tit\u{1b}[2Jle\r\n\u{7}", "\u{9b}31m", "\u{202e}elit\u{2066}"] {
        story.title = spoiled.into();
        story.result.arms[1].lever = Some(spoiled.into());
        story.result.claims[2].claim = spoiled.into();
        story.triggers[0].name = spoiled.into();
        story.again = spoiled.into();
        story.result.reasons = vec![spoiled.into()];
        let shown = shown(&story, 80, false);
        assert!(!shown.contains(|c| commands(c) && c != '\n'), "{shown:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn no_line_is_wider_than_the_terminal(width in 40_usize..200, name in "[a-z\u{4e00}-\u{4e20}é -]{0,60}", colour: bool) {
        let mut story = support::story();
        story.title = name.repeat(3);
        story.triggers[0].name = name.clone();
        story.result.arms[1].lever = Some(name.clone());
        story.result.arms[2].lesson = Some(name.clone());
        story.result.claims[2].measured = name.clone();
        story.loops[0].title = name.repeat(2);
        story.again = format!("pumphandle run {name}{name}");
        let text = without_escapes(&shown(&story, width, colour));
        prop_assert!(widest(&text) <= width, "{} > {}:\n{}", widest(&text), width, text);
    }

    #[test]
    fn any_number_of_seconds_can_be_drawn(seconds in 0_usize..90, width in 40_usize..140) {
        let mut story = support::story();
        story.result.windows_s.end = seconds as f64;
        for series in story.series.values_mut() {
            series.good_per_s.mean.truncate(seconds);
            series.attempts_per_arrival.mean.truncate(seconds);
            series.services.values_mut().flat_map(|s| s.stocks.values_mut()).for_each(|s| s.level.truncate(seconds));
        }
        prop_assert!(widest(&shown(&story, width, false)) <= width);
    }
}
