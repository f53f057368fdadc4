//! The rig held to known laws. Each law is a file here: which scenarios of the folder `laws` it runs, with
//! which parameters, what theory says of them (computed from the scenario's own numbers, by [`theory`]) and
//! what is measured. A new law is a new file and one line in [`ALL`].
//!
//! # Layout, in reading order
//!
//! * [`theory`]: what is known
//! * [`bench`]: what happened
//! * [`row`]: whether the two agree
//! * one file per law; `little`, of all runs of all laws and of every incident, is made last

pub mod bench;
mod caching;
mod closed_loop;
pub mod common_draws;
mod contention;
mod little;
mod loss;
mod overload;
pub mod page;
mod retries;
mod retry_budget;
pub mod row;
pub mod theory;
mod throttling;
mod variability;
mod waiting;

use bench::{CannotTest, Seen, SetUp, in_order, observe};
pub use row::{Row, Theory};

use crate::scenario::Scenario;

/// One law.
pub trait Law: Sync {
    /// Its name.
    fn name(&self) -> &'static str;

    /// What it says, with its source, and how it is tested.
    fn says(&self) -> &'static str;

    /// What is run.
    fn set_ups(&self, size: Size) -> Vec<SetUp>;

    /// What is compared. `seen` holds the runs of each set-up, seed by seed.
    fn rows(&self, set_ups: &[SetUp], seen: &[Vec<Seen>]) -> Vec<Row>;
}

/// How much to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Everything, as long as the tolerances need.
    Full,
    /// A few cases of every law, with wider tolerances: for a test that ends in seconds.
    Reduced,
}

/// All of them, in the order of the table.
pub const ALL: &[&dyn Law] = &[
    &waiting::Waiting,
    &variability::Variability,
    &loss::Loss,
    &closed_loop::ClosedLoop,
    &retries::Retries,
    &retry_budget::RetryBudget,
    &contention::Scaling,
    &overload::Overload,
    &throttling::Throttling,
    &caching::Caching,
];

/// Runs laws and compares. `incidents` are scenarios of which only the accounts are looked at: one run of
/// each control. Runs are spread over `threads` threads; the rows do not depend on how many.
///
/// # Errors
///
/// [`CannotTest`], a defect of the rig.
pub fn test(
    laws: &[&dyn Law],
    incidents: &[Scenario],
    size: Size,
    threads: usize,
) -> Result<Vec<Row>, CannotTest> {
    let mut set_ups: Vec<Vec<SetUp>> = laws.iter().map(|law| law.set_ups(size)).collect();
    set_ups.push(incidents.iter().map(little::set_up).collect());
    let mut seen = observe_all(&set_ups, threads)?;
    let mut rows = Vec::new();
    for ((law, set_ups), seen) in laws.iter().zip(&set_ups).zip(&seen) {
        rows.extend(law.rows(set_ups, seen).into_iter().map(|row| Row { law: law.name(), ..row }));
    }
    let incident_runs = seen.pop().unwrap_or_default();
    let incident_set_ups = set_ups.pop().unwrap_or_default();
    rows.extend(little::rows(&seen, &incident_set_ups, &incident_runs));
    Ok(rows)
}

/// All runs: by law, set-up and seed.
fn observe_all(set_ups: &[Vec<SetUp>], threads: usize) -> Result<Vec<Vec<Vec<Seen>>>, CannotTest> {
    let mut jobs: Vec<(usize, usize, u64)> = Vec::new();
    for (l, of_law) in set_ups.iter().enumerate() {
        for (s, set_up) in of_law.iter().enumerate() {
            jobs.extend((1..=set_up.seeds).map(|seed| (l, s, seed)));
        }
    }
    let runs = in_order(jobs.len(), threads, |i| {
        let (l, s, seed) = jobs[i];
        observe(&set_ups[l][s], seed)
    });
    let mut seen: Vec<Vec<Vec<Seen>>> =
        set_ups.iter().map(|of_law| of_law.iter().map(|_| Vec::new()).collect()).collect();
    for (&(l, s, _), run) in jobs.iter().zip(runs) {
        seen[l][s].push(run?);
    }
    Ok(seen)
}
