//! Autoscalers in a run: what is on paper comes out of a stack, and what is off leaves no trace.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use pumphandle_core::meter::{Flow, StockName};
use pumphandle_experiment::document::Style;
use pumphandle_experiment::plan::{self, ArmPlan};
use pumphandle_experiment::run::SeedRun;
use pumphandle_experiment::run::virtual_clock::{Job, run_one};
use pumphandle_experiment::scenario::{Mode, Scenario, check, overrides, read};

/// One replica that can answer ten per second and asks for a quarter of a processor; metrics are fresh and replicas
/// are ready at once.
const STEP: &str = "
scenario: step
title: A step
story: From hardly anybody to seventy per second.
kind: regime
slo: { latency: 1s }
duration: 200s
pull: 100s
load:
  arrivals: { constant: 0.4/s }
  changes: [{ at: 60s, to: 70/s }]
services:
  api:
    workers: 1
    queue: { size: 20 }
    service_time: { constant: 100ms }
    cpu: { requested: 0.25 }
autoscalers:
  cpu: { service: api, enabled: false, cpu: { target: 70% }, max: 100, metrics: { interval: 5s } }
levers:
  queue: { title: a longer queue, level: 11, set: { api.queue.size: 30 } }
  fixed: { title: three, level: 12, set: { api.replicas: 3, autoscalers.cpu.enabled: false } }
  later: { title: from the pull on, level: 8, set: { autoscalers.cpu.enabled: true } }
";

/// With the autoscaler at work.
fn scenario(changes: &[&str]) -> Scenario {
    let mut scenario = switched_off();
    scenario.levers.shift_remove("later");
    overrides::apply(&mut scenario, "autoscalers.cpu.enabled=true").unwrap();
    for change in changes {
        overrides::apply(&mut scenario, change).unwrap();
    }
    assert!(check::check(&scenario).is_empty());
    scenario
}

fn switched_off() -> Scenario {
    read::read("step.yaml", STEP, Style::Plain).unwrap().scenario
}

fn run(scenario: &Scenario, arm: &ArmPlan) -> SeedRun {
    let run = run_one(scenario, &Job { arm, seed: 1, keep_events: false }).unwrap();
    assert_eq!(run.wrong_accounts, Vec::<String>::new());
    run
}

fn control(scenario: &Scenario) -> SeedRun {
    run(scenario, &plan::control(scenario))
}

/// The numbers of replicas, each with the second at whose end it was first seen.
fn steps(run: &SeedRun) -> Vec<(usize, u32)> {
    let mut steps: Vec<(usize, u32)> = Vec::new();
    for (second, row) in (1..).zip(&run.rows) {
        if steps.last().is_none_or(|last| last.1 != row[0].replicas) {
            steps.push((second, row[0].replicas));
        }
    }
    steps
}

#[test]
fn without_delays_forty_replicas_are_reached_by_the_documented_steps() {
    let run = control(&scenario(&[]));
    // Decisions are at 75, 90, 105 and 120 s, after the second was read.
    assert_eq!(steps(&run)[..5], [(1, 1), (76, 5), (91, 10), (106, 20), (121, 40)]);
}

#[test]
fn replicas_that_take_time_to_start_are_waited_for_as_are_their_metrics() {
    let slow = control(&scenario(&["api.start_up=30s"]));
    let steps = steps(&slow);
    assert_eq!(steps[1], (76, 5));
    // Four that are not ready count with nothing: 400 % of one is 80 % of five, and six are wanted.
    assert_eq!(steps[2], (91, 6));
    let ready = |second: usize| slow.rows[second][0].stock(StockName::Ready).level;
    assert_eq!((ready(103), ready(104)), (1, 5), "started at 75 s, ready at 105 s");
}

#[test]
fn a_trigger_that_kills_replicas_takes_effect_for_as_long_as_it_lasts_and_a_start_up() {
    let lose = |replicas: u32| {
        let mut scenario = switched_off();
        scenario.load.changes.clear();
        for change in ["api.replicas=3", "api.start_up=10s", "pull=150s"] {
            overrides::apply(&mut scenario, change).unwrap();
        }
        let timeline = format!(
            "timeline=[{{ trigger: killed, from: 60s, for: 5s, do: {{ lose_replicas: {{ service: api, replicas: {replicas} }} }} }}]"
        );
        scenario.kind = pumphandle_experiment::scenario::Kind::Pulse;
        overrides::apply(&mut scenario, &timeline).unwrap();
        control(&scenario)
    };
    let ready = |run: &SeedRun, second: usize| run.rows[second - 1][0].stock(StockName::Ready).level;
    let run = lose(2);
    // What happens at a second's end is in that second's row.
    assert_eq!([59, 60, 74, 75].map(|second| ready(&run, second)), [3, 1, 1, 3]);
    assert_eq!(run.rows[61][0].replicas, 3, "as many are wanted as before");
    assert_eq!([60, 75].map(|second| ready(&lose(5), second)), [0, 3], "all that there are");
}

#[test]
fn utilisation_is_a_share_of_what_is_asked_for_and_no_replica_computes_more_than_its_workers() {
    let run = control(&scenario(&["autoscalers.cpu.max=1"]));
    let computed: Vec<u64> = run.rows.iter().map(|row| row[0].flow(Flow::CpuNanos)).collect();
    // 0.4 per second take 0.04 of a processor; a worker that is always busy takes one, four times the request.
    assert_eq!(computed[20..50].iter().sum::<u64>(), 12 * 100_000_000);
    assert!(computed[100..150].iter().all(|ns| *ns == 1_000_000_000), "{computed:?}");
}

#[test]
fn an_autoscaler_that_is_off_leaves_no_trace_in_the_event_log() {
    let off = switched_off();
    let mut none = off.clone();
    none.autoscalers.clear();
    none.levers.clear();
    assert_eq!(control(&off).events, control(&none).events);
    assert_ne!(control(&off).events, control(&scenario(&[])).events);
}

#[test]
fn a_lever_that_says_nothing_of_replicas_leaves_as_many_as_the_autoscaler_wants() {
    let scenario = scenario(&[]);
    let of = |name, mode| plan::treatment(&scenario, name, mode).unwrap();
    let queue = run(&scenario, &of("queue", Mode::Pulled));
    let (before, after) = (queue.rows[98][0].replicas, queue.rows[100][0].replicas);
    assert_eq!((before, after), (10, 10), "it is not brought back to one");
    let fixed = run(&scenario, &of("fixed", Mode::Pulled));
    assert_eq!(fixed.rows[198][0].replicas, 3, "one that says how many is obeyed");
    let standing = run(&scenario, &of("fixed", Mode::Standing));
    assert_eq!(steps(&standing), [(1, 3)]);
}

#[test]
fn one_that_is_switched_on_later_is_the_same_as_its_control_until_then() {
    let scenario = switched_off();
    let later = run(&scenario, &plan::treatment(&scenario, "later", Mode::Pulled).unwrap());
    let alone = control(&scenario);
    assert_eq!(later.events_before_pull, alone.events_before_pull);
    assert_eq!(steps(&later)[..3], [(1, 1), (106, 5), (121, 10)]);
    assert_eq!(steps(&alone), [(1, 1)]);
}

#[test]
fn settings_of_autoscalers_are_refused_where_they_make_no_sense_with_what_would_be_right() {
    let refused = |change: &str| {
        let mut scenario = scenario(&[]);
        overrides::apply(&mut scenario, change).unwrap_err()
    };
    let told = |sentence: String, what: &str| assert!(sentence.contains(what), "{what}: {sentence}");
    told(refused("autoscalers.cpu.maxx=3"), "unknown field `maxx`");
    told(refused("autoscalers.cup.max=3"), "did you mean `cpu`");
    told(refused("autoscalers.cpu.min=300"), "above `max`");
    told(refused("autoscalers.cpu.sync=0s"), "at least 100ms");
    told(refused("autoscalers.cpu.backlog={ stock: quue, per_replica: 1 }"), "did you mean `queue`");
    told(refused("autoscalers.cpu.max.more=1"), "below a plain value");
    told(refused("autoscalers.cpu=1"), "is a whole autoscaler");
    let wrong = |from: &str, to: &str| {
        read::read("step.yaml", &STEP.replacen(from, to, 1), Style::Plain).unwrap_err().0
    };
    told(wrong("    cpu: { requested: 0.25 }\n", ""), "does not say what processors it asks for");
    told(wrong("service: api, enabled", "service: apo, enabled"), "did you mean `api`");
    told(wrong("cpu: { target: 70% }, ", ""), "by what does it decide");
    told(wrong("autoscalers.cpu.enabled: true", "autoscalers.cpu.enabled: 3"), "`enabled`");
}
