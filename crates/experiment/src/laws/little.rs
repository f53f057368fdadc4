//! Little's law, as an identity: for every stock of every service, the integral of its level equals the sum
//! of the times spent in it, to the nanosecond. The rig keeps both sides apart and compares them at the end
//! of every run; here it is a row of the table.

use super::bench::{Log, Seen, SetUp};
use super::row::{Question, Row};
use crate::scenario::Scenario;

/// The law's name.
pub(super) const NAME: &str = "Little's law";

/// What it says.
pub(super) const SAYS: &str = "The integral of a level is the sum of the sojourns of those who were counted in it \
     (Little, Operations Research 9(3), 1961; over a finite stretch it is an identity, with those still inside \
     counted to its end). Compared for every stock of every service at the end of every run, to the nanosecond, \
     together with level = inflow - outflow.";

/// One run of an incident's control.
pub(super) fn set_up(incident: &Scenario) -> SetUp {
    SetUp { case: incident.scenario.clone(), scenario: incident.clone(), seeds: 1, log: Log::Unread }
}

/// `laws` by law, set-up and seed; `incidents` by incident and seed.
pub(super) fn rows(laws: &[Vec<Vec<Seen>>], incidents: &[SetUp], seen: &[Vec<Seen>]) -> Vec<Row> {
    let of_laws: Vec<&Seen> = laws.iter().flatten().flatten().collect();
    let mut rows = vec![row("all runs of the laws", &of_laws)];
    for (set_up, seen) in incidents.iter().zip(seen) {
        rows.push(row(&format!("{}, control", set_up.case), &seen.iter().collect::<Vec<_>>()));
    }
    rows
}

fn row(case: &str, runs: &[&Seen]) -> Row {
    let stocks: u64 = runs.iter().map(|run| run.stocks).sum();
    let wrong: usize = runs.iter().map(|run| run.wrong_accounts.len()).sum();
    let quantity = format!("stocks whose accounts differ, of {stocks}");
    let row = Question::bounds(case, quantity, "", 0.0, 0.0).exactly(wrong as f64, runs.len());
    Row { law: NAME, ..row }
}
