//! A team in a run: the same changes are bad in all arms, what they break is noticed and taken back, every stock's account
//! adds up, and longer samples say the same as seconds.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use pumphandle_core::meter::{Flow, StockName};
use pumphandle_experiment::document::Style;
use pumphandle_experiment::plan::{self, ArmPlan};
use pumphandle_experiment::run::SeedRun;
use pumphandle_experiment::run::virtual_clock::{Job, run_one};
use pumphandle_experiment::scenario::{Mode, Scenario, check, overrides, read};

/// A week of a team that deploys once a day; few users, so that it can be run in a test.
const WEEK: &str = "
scenario: week
title: A week
story: One version a day.
kind: regime
slo: { latency: 1s }
duration: 7d
pull: 2d
sampling: 10m
load: { arrivals: { constant: 1/min } }
services:
  front: { calls: api }
  api: { service_time: { constant: 100ms } }
team:
  deployer:
    services: [api]
    ideas_per_day: 4
    velocity_per_day: 4
    at: [16h]
    bad: 30%
    harm: { errors: 100%, slow: 1 }
    debt: { shortcuts: 50%, refactoring: 20%, risk: 1%, drag: 1% }
  on_call:
    engineers: 2
    look: 5m
    over: 30m
    below: 90%
    acknowledge: 5m
    unheard: 50%
    again: 30m
    diagnose: 60m
    roll_back: 10m
    fatigue: { rest: 1d, lengthens: 10% }
  error_budget: { target: 99%, window: 3d }
levers:
  escalation: { title: the next is paged, level: 8, set: { team.on_call.escalation: 10m } }
  replay: { title: all is found, level: 6, set: { team.deployer.replay: 100% } }
";

fn scenario(changes: &[&str]) -> Scenario {
    let mut scenario =
        read::read("week.yaml", WEEK, Style::Plain).unwrap_or_else(|it| panic!("{it}")).scenario;
    for change in changes {
        overrides::apply(&mut scenario, change).unwrap();
    }
    assert!(
        check::check(&scenario).is_empty(),
        "{:?}",
        check::check(&scenario).iter().next().map(|it| &it.message)
    );
    scenario
}

fn run_arm(scenario: &Scenario, arm: &ArmPlan, seed: u64) -> SeedRun {
    let run = run_one(scenario, &Job { arm, seed, keep_events: false }).unwrap();
    assert_eq!(run.wrong_accounts, Vec::<String>::new());
    run
}

fn run(scenario: &Scenario, seed: u64) -> SeedRun {
    run_arm(scenario, &plan::control(scenario), seed)
}

/// What entered a stock of the api, and what is in it at the end.
fn account(run: &SeedRun, stock: StockName) -> (u64, u64) {
    let entered = run.rows.iter().map(|row| u64::from(row[1].stock(stock).inflow)).sum();
    (entered, u64::from(run.rows.last().unwrap()[1].stock(stock).level))
}

fn bad_users(run: &SeedRun) -> u64 {
    run.tally.seconds.iter().map(|it| u64::from(it.arrivals - it.good)).sum()
}

#[test]
fn bad_versions_harm_users_are_noticed_and_are_taken_back() {
    let scenario = scenario(&[]);
    let mut versions = 0;
    for seed in 1..=6 {
        let run = run(&scenario, seed);
        let (bad, left) = account(&run, StockName::BadVersions);
        let (incidents, _) = account(&run, StockName::Incidents);
        versions += bad;
        assert!(
            left <= 1 && incidents <= bad && incidents + 1 >= bad,
            "{bad} bad, {incidents} noticed, {left} left"
        );
        assert_eq!(bad > 0, bad_users(&run) > 0, "seed {seed}");
        // All who had no good answer are in the budget, or beyond it.
        let spent = |stock| {
            let rows = run.rows.iter().map(|row| row[1].stock(stock));
            rows.map(|it| u64::from(it.outflow)).sum::<u64>()
        };
        let (over, _) = account(&run, StockName::BudgetOverspent);
        assert!(spent(StockName::ErrorBudget) + over <= bad_users(&run));
        assert!(
            spent(StockName::ErrorBudget) + over + 1 >= bad_users(&run),
            "but for one of the last minute"
        );
    }
    assert!((6..=25).contains(&versions), "of thirty versions {versions} were bad");
}

#[test]
fn without_bad_changes_nobody_is_harmed_and_nobody_is_paged() {
    let run = run(&scenario(&["team.deployer.bad=0%"]), 1);
    assert_eq!((bad_users(&run), account(&run, StockName::Incidents).0), (0, 0));
    assert_eq!(run.rows.iter().map(|row| row[1].flow(Flow::Disturbed)).sum::<u64>(), 0);
    assert!(account(&run, StockName::Undeployed).0 >= 15, "they have worked all the same");
}

#[test]
fn what_a_replay_finds_reaches_nobody_and_has_to_be_done_again() {
    let scenario = scenario(&[]);
    let arm = plan::treatment(&scenario, "replay", Mode::Standing).unwrap();
    let (control, replay) = (run(&scenario, 2), run_arm(&scenario, &arm, 2));
    assert!(account(&control, StockName::BadVersions).0 > 0);
    assert_eq!((account(&replay, StockName::BadVersions).0, bad_users(&replay)), (0, 0));
    let deployed = |run: &SeedRun| {
        let (developed, waiting) = account(run, StockName::Undeployed);
        developed - waiting
    };
    assert!(deployed(&replay) > 0);
}

#[test]
fn a_lever_of_a_team_changes_nothing_before_it_is_pulled() {
    let scenario = scenario(&[]);
    let arm = plan::treatment(&scenario, "escalation", Mode::Pulled).unwrap();
    let (control, pulled) = (run(&scenario, 3), run_arm(&scenario, &arm, 3));
    let before = 2 * 144;
    assert_eq!(control.events_before_pull, pulled.events_before_pull);
    assert_eq!(control.rows[..before], pulled.rows[..before]);
}

#[test]
fn a_gate_keeps_bad_users_from_growing_once_the_budget_is_spent() {
    let open = scenario(&["team.deployer.bad=100%", "team.error_budget.window=7d"]);
    let gated =
        scenario(&["team.deployer.bad=100%", "team.error_budget.window=7d", "team.error_budget.gate=true"]);
    let (open, gated) = (run(&open, 1), run(&gated, 1));
    assert!(account(&open, StockName::BadVersions).0 > account(&gated, StockName::BadVersions).0);
    let (bad, _) = account(&gated, StockName::BadVersions);
    assert!((1..=2).contains(&bad), "{bad} of them spend a hundredth of a week's users");
    assert_eq!(account(&gated, StockName::ErrorBudget).1, 0);
}

#[test]
fn longer_samples_are_the_sums_of_shorter_ones() {
    let fine = scenario(&["sampling=1m", "duration=2d", "pull=1d"]);
    let coarse = scenario(&["sampling=1h", "duration=2d", "pull=1d"]);
    let (fine, coarse) = (run(&fine, 5), run(&coarse, 5));
    assert_eq!(fine.events, coarse.events, "how it is looked at changes nothing");
    assert_eq!((fine.rows.len(), coarse.rows.len()), (2_880, 48));
    for (hour, minutes) in coarse.rows.iter().zip(fine.rows.chunks(60)) {
        for (i, service) in hour.iter().enumerate() {
            for &flow in Flow::ALL {
                assert_eq!(service.flow(flow), minutes.iter().map(|row| row[i].flow(flow)).sum::<u64>());
            }
            for &stock in StockName::ALL {
                let whole = service.stock(stock);
                let parts = || minutes.iter().map(|row| row[i].stock(stock));
                assert_eq!(whole.level, parts().next_back().unwrap().level);
                assert_eq!(whole.inflow, parts().map(|it| it.inflow).sum::<u32>());
                assert_eq!(whole.integral_ns, parts().map(|it| it.integral_ns).sum::<u64>());
            }
        }
    }
    for (hour, minutes) in coarse.tally.seconds.iter().zip(fine.tally.seconds.chunks(60)) {
        assert_eq!(hour.arrivals, minutes.iter().map(|it| it.arrivals).sum::<u32>());
        assert_eq!(hour.good, minutes.iter().map(|it| it.good).sum::<u32>());
    }
}

#[test]
fn services_in_other_processes_have_no_team() {
    let scenario = scenario(&[]);
    assert!(plan::of_processes(&[plan::control(&scenario)]).unwrap_err().contains("a team"));
}
