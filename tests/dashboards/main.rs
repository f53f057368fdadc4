//! Asks a Prometheus every query of every committed dashboard, and says which have no answer.
//!
//!     dashboards URL RUN...      recorded runs: every query must be answered in one of them
//!     dashboards URL live        what was scraped in the last five minutes
//!
//! What may be empty stands in `empty.rs`, with reasons. Exit codes: 0 every query is answered, but for those · 1 one is
//! not · 2 bad usage, no such run, or nobody answers.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use pumphandle_core::catalogue::LIVE;
use pumphandle_tests::dashboards::ask::{self, Answer, Screen};
use pumphandle_tests::dashboards::prometheus::Prometheus;
use pumphandle_tests::dashboards::{committed, empty};

fn main() -> ExitCode {
    match ask_all() {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(1),
        Err(sentence) => {
            eprintln!("error: {sentence}");
            ExitCode::from(2)
        }
    }
}

/// How many queries were not answered as they should be.
fn ask_all() -> Result<usize, String> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (url, runs) = match arguments.as_slice() {
        [url, runs @ ..] if !runs.is_empty() => (url, runs),
        _ => return Err("usage: dashboards URL RUN...".to_owned()),
    };
    let live = runs == [LIVE];
    let (server, boards) = (Prometheus::at(url), committed()?);
    let now = ask::now(&server)?;
    let mut best = BTreeMap::new();
    for run in runs {
        let last_minutes = || Screen { run: run.clone(), from: now - 300.0, to: now };
        let screen = if live { last_minutes() } else { ask::when(&server, run, now)? };
        ask::notices_mistakes(&server, &screen)?;
        let answers = ask::all(&server, &boards, &screen)?;
        let answered = answers.iter().filter(|it| matches!(it.series, Ok(1..))).count();
        let seconds = screen.to - screen.from;
        println!("{run}, {seconds:.0} s: {answered} of {} queries are answered", answers.len());
        answers.into_iter().for_each(|answer| keep(&mut best, answer));
    }
    excused(&best, live).iter().for_each(|sentence| println!("  empty: {sentence}"));
    let wrong: Vec<String> = best.values().filter_map(|answer| judge(answer, live)).collect();
    wrong.iter().for_each(|sentence| println!("  {sentence}"));
    let answered = best.values().filter(|it| matches!(it.series, Ok(1..))).count();
    println!(
        "{} dashboards, {} queries: {answered} answered, {} empty, {} wrong",
        boards.len(),
        best.len(),
        best.len() - answered,
        wrong.len()
    );
    Ok(wrong.len())
}

/// Of several answers to one query the best; but an error is not made good by another run.
fn keep(best: &mut BTreeMap<(String, String), Answer>, answer: Answer) {
    let worth = |answer: &Answer| answer.series.as_ref().map_or(usize::MAX, |series| *series);
    // Panels of control and treatments may have one title.
    let key = (answer.query.place(), answer.query.text.clone());
    match best.get(&key) {
        Some(before) if worth(before) >= worth(&answer) => {}
        _ => drop(best.insert(key, answer)),
    }
}

/// Panels without an answer that have a reason for it, by reason.
fn excused(best: &BTreeMap<(String, String), Answer>, live: bool) -> Vec<String> {
    let list = if live { empty::LIVE } else { empty::RECORDED };
    let mut by_reason = BTreeMap::<&str, BTreeSet<&str>>::new();
    for answer in best.values().filter(|it| matches!(it.series, Ok(0))) {
        if let Some(entry) = empty::entry(list, &answer.query) {
            by_reason.entry(entry.why).or_default().insert(&answer.query.panel);
        }
    }
    let told = |(why, panels): (&str, BTreeSet<&str>)| {
        format!("{why}: {}", panels.into_iter().collect::<Vec<_>>().join(", "))
    };
    by_reason.into_iter().map(told).collect()
}

/// What is wrong with an answer; nothing if it is as it should be.
fn judge(answer: &Answer, live: bool) -> Option<String> {
    let place = answer.query.place();
    let entry = empty::entry(if live { empty::LIVE } else { empty::RECORDED }, &answer.query);
    match (&answer.series, entry) {
        (Err(error), _) => Some(format!("{place}: {error}")),
        (Ok(0), None) => Some(format!("{place}: no answer")),
        (Ok(1..), Some(entry)) if !live => {
            Some(format!("{place}: it may be empty ({}), but it is answered", entry.why))
        }
        _ => None,
    }
}
