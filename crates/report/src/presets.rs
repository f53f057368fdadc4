//! Published defaults side by side: a table per incident, and the page with every value and its source. Judges
//! nothing: verdicts and intervals stand in the results.

use std::fmt::Write as _;

use pumphandle_experiment::presets::Read;
use pumphandle_experiment::result::{Arm, RunResult};

use crate::words;
use crate::words::markdown_table;

/// One incident.
#[derive(Debug)]
pub struct Compared {
    /// Its name.
    pub scenario: String,
    /// Its headline.
    pub title: String,
    /// Whose calls to whom the presets stood on, and what was measured; or why nothing was.
    pub measured: Result<((String, String), RunResult), String>,
}

/// A row: what stood on the calls, its verdict, harm, recovery, amplification.
type Row = [String; 5];

const HEAD: [&str; 5] = ["preset", "verdict", "harm, %", "recovery", "attempts per arrival"];

fn rows(callee: &str, result: &RunResult) -> Vec<Row> {
    let row = |arm: &Arm| {
        let verdict = arm.verdict.as_ref();
        let harm = verdict.and_then(|verdict| verdict.harm_vs_control.as_ref()).map(words::change);
        let attempts = arm.outcome.amplification.get(callee).and_then(|by| by.after.or(by.last_minute));
        [
            arm.lever.clone().unwrap_or_else(|| "(as the incident is)".to_owned()),
            verdict.map_or_else(|| arm.state.clone().unwrap_or_else(|| "-".to_owned()), |it| it.is.clone()),
            harm.unwrap_or_else(|| "-".to_owned()),
            words::recovery(arm),
            attempts.map_or_else(|| "-".to_owned(), |attempts| words::fixed(attempts, 2)),
        ]
    };
    result.arms.iter().map(row).collect()
}

fn seeds(result: &RunResult) -> String {
    words::count(result.seeds.len(), "seed")
}

/// The tables, for a terminal.
pub fn text(presets: &[Read], compared: &[Compared]) -> String {
    let mut out = String::new();
    for it in compared {
        match &it.measured {
            Err(why) => writeln!(out, "{}: not compared: {why}\n", it.scenario),
            Ok(((service, callee), result)) => {
                let head = format!("{}: on the calls of {service} to {callee}", it.scenario);
                writeln!(out, "{head}, from the start, {}\n", seeds(result)).expect("strings grow");
                if !result.valid {
                    writeln!(out, "NOT VALID: {}\n", result.reasons.join("; ")).expect("strings grow");
                }
                writeln!(out, "{}", words::text_table(&HEAD, &rows(callee, result)))
            }
        }
        .expect("strings grow");
    }
    let silent: Vec<&str> = presets
        .iter()
        .filter(|it| !it.preset.not_expressed.is_empty())
        .map(|it| it.preset.preset.as_str())
        .collect();
    if !silent.is_empty() {
        writeln!(out, "Not all of their defaults can be expressed: pumphandle show {}", silent.join(" | "))
            .expect("strings grow");
    }
    out
}

/// The page `docs/presets.md`.
pub fn markdown(presets: &[Read], compared: &[Compared]) -> String {
    let mut out = String::from(
        "# Published defaults, measured\n\n\
         Made by `pumphandle compare presets --markdown`. Do not edit.\n\n\
         What do the default settings of well-known libraries do in these incidents? Each preset stands from the \
         start on the calls of the incident's client. It replaces the policies that it names; the others stay \
         as the incident has them. The words of the verdicts are those of the [README](../README.md). \
         Attempts per arrival are those that reach the called service after the trigger has gone.\n",
    );
    for it in compared {
        write!(out, "\n## {}\n\n{}.", it.title, it.scenario).expect("strings grow");
        match &it.measured {
            Err(why) => writeln!(out, " Not compared: {why}."),
            Ok(((service, callee), result)) => {
                write!(out, " On the calls of `{service}` to `{callee}`, {}.\n\n", seeds(result))
                    .expect("strings grow");
                if !result.valid {
                    write!(out, "NOT VALID: {}.\n\n", result.reasons.join("; ")).expect("strings grow");
                }
                write!(out, "{}", markdown_table(&HEAD, &rows(callee, result)))
            }
        }
        .expect("strings grow");
    }
    out.push_str("\n## The presets\n");
    presets.iter().for_each(|preset| out.push_str(&values(preset)));
    out
}

fn values(read: &Read) -> String {
    let preset = &read.preset;
    let mut out = format!("\n### {}\n\n{}. {}.\n\n", preset.preset, preset.title, preset.of);
    let rows: Vec<[String; 3]> = read
        .numbers
        .iter()
        .map(|(path, value, source)| {
            [format!("`{path}`"), value.clone(), source.clone().unwrap_or_else(|| "-".to_owned())]
        })
        .collect();
    out.push_str(&markdown_table(&["setting", "value", "source"], &rows));
    if !preset.not_expressed.is_empty() {
        out.push_str("\nNot expressed:\n\n");
        for (what, why) in &preset.not_expressed {
            writeln!(out, "- {what}: {why}").expect("strings grow");
        }
    }
    out
}
