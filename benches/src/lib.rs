//! The workloads by which speed is measured: one storm, with as many policies on its edges as asked for, and for
//! real time three services with little to do. Nothing here reads a clock: that is the rig's affair, or the
//! command's.

pub mod machine;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use pumphandle_core::Dur;
use pumphandle_core::meter::Flow;
use pumphandle_experiment::document::Style;
use pumphandle_experiment::plan::{self, ArmPlan};
use pumphandle_experiment::run::SeedRun;
use pumphandle_experiment::run::real_clock::run_side_by_side;
use pumphandle_experiment::run::virtual_clock::{Job, run_one};
use pumphandle_experiment::scenario::{Scenario, overrides, read};
use pumphandle_load::ledger::Second;
use pumphandle_policy::Policies;
use serde_json::{Value, json};

/// Which policies are on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defences {
    /// None at all: three services that call each other. No retries, and therefore no storm.
    None,
    /// As the incident has them: attempt timeout and retries on the client, a pool on the api.
    Incident,
    /// What a careful team has on the first edge (deadline, retries with a budget, breaker, timeouts, pool: 6
    /// layers), the incident's pool on the second.
    Usual,
    /// Every layer of the shelf on the first edge (11), the incident's pool on the second.
    Shelf,
}

impl Defences {
    /// All of them, lightest first.
    pub const ALL: [Defences; 4] = [Defences::None, Defences::Incident, Defences::Usual, Defences::Shelf];

    /// In words, for tables and arguments.
    pub const fn name(self) -> &'static str {
        match self {
            Defences::None => "none",
            Defences::Incident => "incident",
            Defences::Usual => "usual",
            Defences::Shelf => "shelf",
        }
    }

    /// How many layers a call from the user to the database passes that are on.
    pub const fn layers(self) -> usize {
        match self {
            Defences::None => 0,
            Defences::Incident => 3,
            Defences::Usual => 7,
            Defences::Shelf => 12,
        }
    }

    /// The one of this name.
    pub fn from_name(name: &str) -> Option<Defences> {
        Defences::ALL.into_iter().find(|it| it.name() == name)
    }
}

/// Settings under which layers do their work on every call and none of them changes the storm's course: limits
/// that are out of reach, a breaker that counts and never opens.
fn usual_policies() -> Value {
    json!({
        "deadline": "60s",
        "propagate_deadline": true,
        "retry": { "attempts": 4, "backoff": { "up_to": "100ms" } },
        "retry_budget": { "token_bucket": { "deposit": 1.0, "capacity": 1_000_000 } },
        "breaker": { "consecutive": 1_000_000 },
        "attempt_timeout": "1s",
        "pool": { "size": 1_000_000 },
        "query_timeout": "50s",
    })
}

/// As [`usual_policies`], and all others of the shelf.
fn every_policy() -> Value {
    let mut all = usual_policies();
    let others = json!({
        "hedge": { "after": "50s" },
        "rate_limit": { "rate": "1000000/s", "burst": 1_000_000 },
        "bulkhead": { "calls": 1_000_000 },
        "concurrency_limit": {
            "algorithm": { "aimd": { "initial": 1_000_000, "min": 1_000_000, "max": 1_000_000 } },
        },
        "throttle": { "on": ["killed"] },
    });
    let Some(fields) = all.as_object_mut() else { unreachable!("it was written as an object") };
    fields.extend(others.as_object().cloned().unwrap_or_default());
    let missing: Vec<_> = Policies::NAMES.iter().filter(|name| !fields.contains_key(**name)).collect();
    assert!(missing.is_empty(), "new on the shelf and not yet measured here: {missing:?}");
    all
}

/// The storm for `seconds`, with these policies on.
///
/// # Panics
///
/// If the storm's file cannot be read: it is compiled in.
pub fn storm(defences: Defences, seconds: u64) -> Scenario {
    let checked = read::read("storm.yaml", include_str!("../storm.yaml"), Style::Plain)
        .unwrap_or_else(|refused| panic!("{}", refused.0));
    let mut scenario = checked.scenario;
    scenario.duration = Dur(std::time::Duration::from_secs(seconds));
    let first = match defences {
        Defences::None => json!({}),
        Defences::Incident => {
            json!({ "attempt_timeout": "1s", "retry": { "attempts": 4, "backoff": { "up_to": "100ms" } } })
        }
        Defences::Usual => usual_policies(),
        Defences::Shelf => every_policy(),
    };
    scenario.services["client"].with = serde_json::from_value(first).expect("all of them are on the shelf");
    if defences == Defences::None {
        scenario.services["api"].with = Policies::default();
    }
    scenario
}

/// Three services with little to do, for `seconds`, under `rate` arrivals per second.
///
/// # Panics
///
/// If its file cannot be read: it is compiled in.
pub fn through_three(rate: u32, seconds: u64) -> Scenario {
    let checked = read::read("through-three.yaml", include_str!("../through-three.yaml"), Style::Plain)
        .unwrap_or_else(|refused| panic!("{}", refused.0));
    let mut scenario = checked.scenario;
    scenario.duration = Dur(std::time::Duration::from_secs(seconds));
    overrides::apply(&mut scenario, &format!("load.arrivals.poisson={rate}/s")).expect("a rate is a rate");
    scenario
}

/// How `rate` arrivals per second through three services over TCP went.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// How late a user's handling began, beyond an idle timer, 99th percentile, milliseconds.
    pub lag_ms: f64,
    /// How late an idle timer was at the same time, 99th percentile, milliseconds.
    pub probe_ms: f64,
    /// Answered within the SLO, of all arrivals.
    pub good_share: f64,
}

/// Sends the load in real time, over TCP in this process.
///
/// # Errors
///
/// If the system refuses threads or sockets.
pub fn send(rate: u32, seconds: u64) -> std::io::Result<Sent> {
    let scenario = through_three(rate, seconds);
    let arm = plan::control(&scenario);
    let never = Arc::new(AtomicBool::new(false));
    let (runs, health) = run_side_by_side(&scenario, &[arm], 1, &never, &|_, _| {}, None)?;
    let total = |count: fn(&Second) -> u32| -> f64 {
        runs[0].tally.seconds.iter().map(|second| f64::from(count(second))).sum()
    };
    Ok(Sent {
        lag_ms: (health.lag_p99_ms[0] - health.probe_p99_ms).max(0.0),
        probe_ms: health.probe_p99_ms,
        good_share: total(|second| second.good) / total(|second| second.arrivals).max(1.0),
    })
}

/// Runs the control of `scenario` under `seed`, in virtual time.
///
/// # Panics
///
/// If the simulation stalls, or its accounts do not add up: then there is nothing to measure.
pub fn run(scenario: &Scenario, seed: u64) -> SeedRun {
    let arm: ArmPlan = plan::control(scenario);
    let job = Job { arm: &arm, seed, keep_events: false };
    let run = run_one(scenario, &job).unwrap_or_else(|stalled| panic!("{stalled}"));
    assert!(run.wrong_accounts.is_empty(), "{:?}", run.wrong_accounts);
    run
}

/// Attempts that the first service sent: the measure of virtual speed.
pub fn attempts(run: &SeedRun) -> u64 {
    run.rows.iter().filter_map(|services| services.first()).map(|row| row.flow(Flow::Attempts)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_with_nothing_to_do_change_no_event_of_a_storm() {
        let digest = |defences| run(&storm(defences, 40), 1).events;
        let as_the_incident = digest(Defences::Incident);
        assert_eq!(digest(Defences::Usual), as_the_incident);
        assert_eq!(digest(Defences::Shelf), as_the_incident);
    }

    #[test]
    fn the_storm_is_one_and_without_retries_there_is_none() {
        let per_arrival = |defences| attempts(&run(&storm(defences, 60), 1)) as f64 / 6_000.0;
        assert!(per_arrival(Defences::Incident) > 2.0);
        assert!(per_arrival(Defences::None) < 1.1);
    }
}
