//! Claims of many runs for a person at a terminal or in the log of a job. Judges nothing: `is` says it.

use pumphandle_experiment::document::clean_lines;
use pumphandle_experiment::result::{Claim, RunResult};

use crate::{levers, words};

/// How many claims were held, broken, not tested.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Tally {
    pub(crate) held: usize,
    pub(crate) broken: usize,
    pub(crate) not_tested: usize,
}

impl Tally {
    pub(crate) fn of<'a>(claims: impl IntoIterator<Item = &'a Claim>) -> Self {
        let mut tally = Self::default();
        for claim in claims {
            match claim.is.as_str() {
                "held" => tally.held += 1,
                "broken" => tally.broken += 1,
                _ => tally.not_tested += 1,
            }
        }
        tally
    }

    pub(crate) fn all(self) -> usize {
        self.held + self.broken + self.not_tested
    }

    /// `84 held, 1 broken, 1 not tested`.
    pub(crate) fn words(self) -> String {
        format!("{} held, {} broken, {} not tested", self.held, self.broken, self.not_tested)
    }
}

/// A line per scenario, the claims that did not hold below it, and a line for all; `seconds` is the wall time.
pub fn check_text(runs: &[RunResult], seconds: f64) -> String {
    let name = runs.iter().map(|run| run.scenario.chars().count()).max().unwrap_or(0);
    let mut out = String::new();
    for run in runs {
        let tally = Tally::of(&run.claims);
        let mut line = format!(
            "{:name$}  {:>9}  {:>3} held",
            run.scenario,
            words::count(tally.all(), "claim"),
            tally.held
        );
        for (n, word) in [(tally.broken, "BROKEN"), (tally.not_tested, "NOT TESTED")] {
            if n > 0 {
                line.push_str(&format!("   {n} {word}"));
            }
        }
        out.push_str(&line);
        out.push_str(if run.partial { "   (interrupted)\n" } else { "\n" });
        if !run.valid {
            out.push_str(&format!("  not valid: {}\n", run.reasons.join("; ")));
        }
        out.push_str(&beside_the_lesson(run));
        run.claims
            .iter()
            .filter(|claim| claim.is != "held")
            .for_each(|claim| out.push_str(&unheld(run, claim)));
    }
    let tally = Tally::of(runs.iter().flat_map(|run| &run.claims));
    let all = format!(
        "{}, {}: {}",
        words::count(runs.len(), "scenario"),
        words::count(tally.all(), "claim"),
        tally.words()
    );
    out.push_str(&format!("{all:<70}  {}\n", words::duration(libm::round(seconds * 10.0) / 10.0)));
    clean_lines(&out)
}

/// A line for every measured lever of which the lesson says something: its level, its word, the verdict.
fn beside_the_lesson(run: &RunResult) -> String {
    let told = levers::levers(run);
    let rows: Vec<[String; 4]> = told
        .iter()
        .flat_map(|lever| lever.pulled.into_iter().chain(lever.standing).map(move |arm| (lever, arm)))
        .filter_map(|(lever, arm)| {
            let lesson = arm.lesson.as_deref()?;
            let measured = format!("{} {}", levers::mark(arm), levers::verdict(arm));
            Some([lever.level(), arm.arm.clone(), lesson.to_owned(), measured])
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    words::text_table(&["level", "lever", "the lesson says", "  measured"], &rows)
}

/// What was expected and measured, or why it was not tested, where it stands, and how to see it again.
fn unheld(run: &RunResult, claim: &Claim) -> String {
    let said = match claim.is.as_str() {
        "broken" => format!("expected {}, measured {}", claim.expected, claim.measured),
        _ => claim.reason.clone(),
    };
    let place = place(run, claim).map_or_else(String::new, |place| format!("    at: {place}\n"));
    format!("  {}: {said}\n{place}    again: {}\n", claim.claim, words::again(run, &claim.arm))
}

/// `file:line` of a claim; none if the result does not know its file.
pub(crate) fn place(run: &RunResult, claim: &Claim) -> Option<String> {
    (!run.file.is_empty()).then(|| format!("{}:{}", run.file, claim.line))
}
