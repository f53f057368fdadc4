//! `pumphandle laws`: the rig held to known laws.

use pumphandle_experiment::laws::{self, Row, Size, common_draws, page};
use pumphandle_experiment::scenario::Scenario;
use pumphandle_experiment::stats::{Decision, coverage};
use serde_json::json;

use crate::args::{LawsArguments, threads};
use crate::{End, scenarios, screen};

/// Over how many seeds the worth of common draws is measured, on every incident.
const COMMON_DRAWS: u64 = 20;
/// Seed and replications of the simulated intervals: below one point of error in every row.
const COVERAGE: (u64, u32) = (1, 10_000);

pub(crate) fn laws(arguments: &LawsArguments) -> anyhow::Result<End> {
    let threads = threads(arguments.jobs);
    let incidents: Vec<Scenario> = scenarios::names()
        .into_iter()
        .map(|name| Ok(scenarios::load(name)?.scenario))
        .collect::<anyhow::Result<_>>()?;
    let rows = laws::test(laws::ALL, &incidents, Size::Full, threads)?;
    if arguments.json {
        let count = |verdict| rows.iter().filter(|row| row.verdict == verdict).count();
        let document = json!({
            "schema": 1,
            "rows": rows,
            "summary": { "held": count(Decision::Held), "broken": count(Decision::Broken),
                         "undecided": count(Decision::Undecided) },
        });
        screen::print(&format!("{}\n", serde_json::to_string_pretty(&document)?))?;
    } else if arguments.markdown {
        screen::print(&validation(&rows, &incidents, threads))?;
    } else {
        screen::print(&page::text(&rows))?;
    }
    Ok(end(&rows))
}

/// The page of which the laws are the first part.
fn validation(rows: &[Row], incidents: &[Scenario], threads: usize) -> String {
    let measure = |incident: &Scenario| {
        (incident.scenario.clone(), common_draws::measure(incident, COMMON_DRAWS, threads))
    };
    let gains: Vec<_> = incidents.iter().map(measure).collect();
    let (seed, replications) = COVERAGE;
    let coverage = coverage::report(seed, replications);
    page::markdown(&page::Page { rows, coverage: &coverage, gains: (COMMON_DRAWS, &gains) })
}

fn end(rows: &[Row]) -> End {
    let any = |verdict| rows.iter().any(|row| row.verdict == verdict);
    if any(Decision::Broken) {
        End::Broken
    } else if any(Decision::Undecided) {
        End::CouldNotMeasure
    } else {
        End::Held
    }
}
