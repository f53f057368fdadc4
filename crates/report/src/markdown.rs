//! Claims as Markdown for the summary of a job: what failed first, then a table of scenarios.

use pumphandle_experiment::document::clean_lines;
use pumphandle_experiment::result::{Claim, RunResult};

use crate::check::{Tally, place};
use crate::words;

/// A headline, the claims that did not hold (broken before not tested), a row per scenario.
pub fn markdown(runs: &[RunResult]) -> String {
    let tally = Tally::of(runs.iter().flat_map(|run| &run.claims));
    let mut out = format!("## Pumphandle: {} of {} held\n\n", tally.held, words::count(tally.all(), "claim"));
    for run in runs.iter().filter(|run| !run.valid || run.partial) {
        let why = if run.valid {
            "interrupted: what is shown is part of it".into()
        } else {
            run.reasons.join("; ")
        };
        let word = if run.valid { "Partial" } else { "Not valid" };
        out.push_str(&format!("> **{word}: {}**: {}\n\n", escaped(&run.scenario), escaped(&why)));
    }
    for (is, title) in [("broken", "Broken"), ("not tested", "Not tested")] {
        let found = runs.iter().flat_map(|run| run.claims.iter().map(move |claim| (run, claim)));
        let found: Vec<_> = found.filter(|(_, claim)| claim.is == is).collect();
        if !found.is_empty() {
            out.push_str(&format!("### {title}\n\n"));
            found.iter().for_each(|(run, claim)| out.push_str(&item(run, claim)));
            out.push('\n');
        }
    }
    out.push_str("| scenario | claims | held | broken | not tested | seeds |\n|---|--:|--:|--:|--:|--:|\n");
    for run in runs {
        let t = Tally::of(&run.claims);
        let cells = [t.all(), t.held, t.broken, t.not_tested, run.seeds.len()].map(|n| n.to_string());
        out.push_str(&format!("| {} | {} |\n", escaped(&run.scenario), cells.join(" | ")));
    }
    clean_lines(&out)
}

fn item(run: &RunResult, claim: &Claim) -> String {
    let said = match claim.is.as_str() {
        "broken" => format!("expected {}, measured {}", claim.expected, claim.measured),
        _ => claim.reason.clone(),
    };
    let place = place(run, claim).map_or_else(String::new, |place| format!(" ({})", code(&place)));
    let again = code(&words::again(run, &claim.arm));
    let title = format!("**{}: {}**", escaped(&run.scenario), escaped(&claim.claim));
    format!("- {title}{place}  \n  {}  \n  {again}\n", escaped(&said))
}

/// Text in which nothing is Markdown or HTML.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '\n' | '\r' => out.push(' '),
            '|' | '*' | '_' | '`' | '[' | ']' | '\\' | '#' | '~' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

/// A code span, fenced by more backticks than it contains in a row.
fn code(text: &str) -> String {
    let text = text.replace(['\n', '\r'], " ");
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    let pad = if longest > 0 { " " } else { "" };
    format!("{fence}{pad}{text}{pad}{fence}")
}
