//! The results as text: a table for a terminal, and the page `docs/validation.md`. Numbers are shown to four
//! digits; whoever wants all of them takes the JSON. Nothing here measures or judges.

use std::fmt::Write as _;

use super::common_draws::Gain;
use super::row::{Row, Theory, word};
use super::{ALL, little};
use crate::stats::Decision;
use crate::stats::coverage;

/// A number to four digits. Never in scientific notation: people compare these.
pub fn digits(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let before = libm::floor(libm::log10(value.abs())) as i32;
    let after = (3 - before).clamp(0, 9) as usize;
    format!("{value:.after$}")
}

fn theory(row: &Row) -> String {
    match row.theory {
        Theory::Value { value, .. } => digits(value),
        Theory::Bounds { low, high } if low == high => digits(low),
        Theory::Bounds { low, high } => format!("{} to {}", digits(low), digits(high)),
    }
}

fn measured(row: &Row) -> String {
    if row.low == row.high {
        return digits(row.measured);
    }
    format!("{} [{}, {}]", digits(row.measured), digits(row.low), digits(row.high))
}

fn quantity(row: &Row) -> String {
    if row.unit.is_empty() { row.quantity.clone() } else { format!("{}, {}", row.quantity, row.unit) }
}

/// How far an interval may reach, in per cent.
fn tolerance(row: &Row) -> String {
    match row.theory {
        Theory::Value { tolerance, .. } => format!("{:.1} %", 100.0 * tolerance),
        Theory::Bounds { .. } => "bounds".to_owned(),
    }
}

/// A table for a terminal, and the count of verdicts.
pub fn text(rows: &[Row]) -> String {
    let mut out = String::new();
    let mut law = "";
    for row in rows {
        if row.law != law {
            law = row.law;
            writeln!(out, "\n{law}").expect("strings grow");
        }
        let what = format!("{}: {}", row.case, quantity(row));
        let (theory, measured) = (theory(row), measured(row));
        writeln!(out, "  {:<9} {what:<72} {theory:>18}  {measured}", word(row.verdict))
            .expect("strings grow");
    }
    writeln!(out, "\n{}", summary(rows)).expect("strings grow");
    out
}

fn count(rows: &[Row], verdict: Decision) -> usize {
    rows.iter().filter(|row| row.verdict == verdict).count()
}

fn summary(rows: &[Row]) -> String {
    format!(
        "{} rows: {} held, {} broken, {} undecided",
        rows.len(),
        count(rows, Decision::Held),
        count(rows, Decision::Broken),
        count(rows, Decision::Undecided)
    )
}

/// An incident by name, and what common draws are worth there, or why that was not measured.
pub type OfIncident = (String, Result<Vec<Gain>, String>);

/// What the page is made of.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// The laws.
    pub rows: &'a [Row],
    /// How often intervals are right.
    pub coverage: &'a [coverage::Row],
    /// What common draws are worth, by incident, or why it was not measured there; and over how many seeds.
    pub gains: (u64, &'a [OfIncident]),
}

/// The page `docs/validation.md`: the same text wherever it is made.
pub fn markdown(page: &Page<'_>) -> String {
    let mut out = String::from(INTRODUCTION);
    writeln!(out, "\n**{}.**\n", summary(page.rows)).expect("strings grow");
    out.push_str(HOW_A_LAW_CAN_FAIL);
    let laws = ALL.iter().map(|law| (law.name(), law.says())).chain([(little::NAME, little::SAYS)]);
    for (name, says) in laws {
        let of_law: Vec<&Row> = page.rows.iter().filter(|row| row.law == name).collect();
        if !of_law.is_empty() {
            write!(out, "\n### {name}\n\n{says}\n\n{}", table(&of_law)).expect("strings grow");
        }
    }
    out.push_str(NOT_YET);
    write!(out, "\n## Intervals\n\n{COVERAGE}\n{}", coverage::markdown(page.coverage)).expect("strings grow");
    out.push_str(LIMITS);
    write!(out, "\n## Common draws\n\n{COMMON_DRAWS}\n{}", gains(page.gains)).expect("strings grow");
    write!(out, "\n## Determinism\n\n{DETERMINISM}").expect("strings grow");
    out
}

fn table(rows: &[&Row]) -> String {
    let mut out = String::from(
        "| with | quantity | theory | measured [99.9 %] | may reach | runs | verdict |\n|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} |",
            row.case,
            quantity(row),
            theory(row),
            measured(row),
            tolerance(row),
            row.runs,
            word(row.verdict)
        )
        .expect("strings grow");
    }
    out
}

fn gains((seeds, incidents): (u64, &[OfIncident])) -> String {
    let mut out = format!(
        "Every built-in incident, every lever that can be pulled, {seeds} seeds: the standard deviation, over seeds, of the \
         difference in harm between the lever's arm and the control, in users per seed.\n"
    );
    for (incident, gains) in incidents {
        write!(out, "\n### {incident}\n\n").expect("strings grow");
        match gains {
            Err(reason) => writeln!(out, "Not measured: {reason}.").expect("strings grow"),
            Ok(gains) if gains.is_empty() => out.push_str("It has no lever to pull.\n"),
            Ok(gains) => out.push_str(&of_incident(gains)),
        }
    }
    out
}

fn of_incident(gains: &[Gain]) -> String {
    let mut out =
        String::from("| lever | common draws | draws of their own | times the seeds |\n|---|---|---|---|\n");
    for gain in gains {
        let factor = gain.factor().map_or("-".to_owned(), digits);
        let (common, own) = (digits(gain.common), digits(gain.own));
        writeln!(out, "| {} | {common} | {own} | {factor} |", gain.lever).expect("strings grow");
    }
    out
}

const INTRODUCTION: &str = "\
# How far the rig can be believed

<!-- Made by `pumphandle laws --markdown`. Do not edit: CI makes it again and compares. -->

A rig that reproduces incidents must first reproduce what is known without it. This page runs the same
services, queues, policies, load and clock as every incident, in virtual time, on set-ups for which
queueing theory, probability or bookkeeping say what must come out. The set-ups are the files in `laws/`; they can be
run like any incident. What theory says is computed from each file's own numbers.

Every number below was measured by the command that made this page. It has no clock and no generator but the
seeds, so that the page must come out the same everywhere.
";

const HOW_A_LAW_CAN_FAIL: &str = "\
How to read it, and how it can fail: each row is measured in independent runs (seeds 1, 2, 3, .., which were
not chosen), and has a 99.9 % interval over them. A row has **held** if the interval contains what theory says
and reaches no further from it than the tolerance in the column *may reach*; it is **broken** if theory lies
outside; and **undecided**, which also fails the command, if the interval is too wide to tell. Rows with
*bounds* hold if all of the interval lies within them. Of true laws about one row in a thousand is broken by
chance; rows of one law share their draws, and so their luck.

Runs start empty: what comes before the file's `pull` is warm-up and not counted (for open queues eight
relaxation times, after which e^-8 of the initial bias is left), nor is who arrives within an SLO of the end.
Tolerances follow from the number of calls that fit into a minute on two processors; they are
wide where queues remember long.
";

const NOT_YET: &str = "
### Not yet there

* Adaptive throttling (Google SRE book, \"Handling overload\"): the equilibrium of K times the accepted calls.
* Processor sharing with a queue in front, under Poisson arrivals: only its throughput at fixed numbers of
  pieces is tested.
* The mean wait under controlled delay after the onset: no closed form is known; it is only bounded.
";

const COVERAGE: &str = "\
How often the intervals of verdicts are right, by simulation with a known truth. The first table counts
intervals that contain it; the second counts decisions of a check with several looks, on claims whose border is
the truth: any decision is a wrong one, and the check promises to make at most this many.
";

const LIMITS: &str = "
Known limits, visible above as rows that miss what they say: Student's t on few seeds of heavily skewed
differences is right less often than 95 %, and a check that decides by it is wrong more often than 5 %, nearly
always by calling a true claim broken; worst for an event so rare that no seed, or one, shows it. Twenty seeds of
a difference that is usually nothing and sometimes large are not enough, whatever the interval says. Claims
about how often something happens are judged by exact binomial bounds instead, which keep their promise.
";

const COMMON_DRAWS: &str = "\
All arms of one seed ask one keyed generator: the same user has the same arrival, the same work and the same
failures in every arm, however many other draws a lever adds or removes. A lever that never acts gives an arm
whose event log is byte for byte its control's (tested, `crates/experiment/tests/common_draws.rs`).

What this is worth depends on the lever. Where the arms go on to do nearly the same, the difference varies far less
than with draws of their own (`-`: it did not vary at all). Where a lever ends an incident in which every user
was lost, what varies is mostly how many users there were, which the difference keeps: common draws gain
nothing there, and the factor is one, give or take what so few seeds leave open.
";

const DETERMINISM: &str = "\
One seed is one result. Tested, each by comparing bytes: two processes (the printed JSON and the event log); one,
two and five threads; after unrelated scenarios in the same process; a debug build and a release build
(`tests/same-in-every-build.sh`). When two event logs differ, the first event that differs is printed.
All randomness is keyed by seed, purpose and place in the tree of calls; logarithms and exponentials are those
of one library and not the platform's; ties in time are broken by kind and key.
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::laws::row::CONFIDENCE;

    #[test]
    fn the_page_names_the_confidence_that_is_used() {
        assert!((CONFIDENCE - 0.999).abs() < 1e-12 && HOW_A_LAW_CAN_FAIL.contains("99.9 %"));
    }

    #[test]
    fn every_incident_says_what_common_draws_are_worth_or_why_it_was_not_measured() {
        let gain = |common| Gain { lever: "wait".to_owned(), common, own: 10.0 };
        let text = gains((
            20,
            &[
                ("a".to_owned(), Ok(vec![gain(5.0), gain(0.0)])),
                ("b".to_owned(), Err("the trigger did not take effect".to_owned())),
                ("c".to_owned(), Ok(Vec::new())),
            ],
        ));
        for said in [
            "### a\n",
            "| wait | 5.000 | 10.00 | 4.000 |",
            "| wait | 0 | 10.00 | - |",
            "### b\n\nNot measured: the trigger did not take effect.",
            "### c\n\nIt has no lever to pull.",
        ] {
            assert!(text.contains(said), "{said}: {text}");
        }
    }

    #[test]
    fn numbers_have_four_digits() {
        for (value, text) in
            [(0.0, "0"), (0.012_344, "0.01234"), (1.0, "1.000"), (12_345.6, "12346"), (-0.5, "-0.5000")]
        {
            assert_eq!(digits(value), text);
        }
    }
}
