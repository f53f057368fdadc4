//! What a run in real time shows while it goes on: users as they are settled, what acts, how the machine does,
//! and, once it is judged, what was found. One board outlives the runs of a process: its counts only grow.
//!
//! It is written from the side and read by whoever watches. Nothing that is measured or judged may come from
//! here: results are made from the ledger and the rows, as if nobody watched.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pumphandle_core::meter::{Flow, Snapshot, StockName};
use pumphandle_core::time::Origin;
use pumphandle_load::Users;
pub use pumphandle_load::users::{Counted, Settled};
use serde_json::{Map, Value, json};

use crate::plan::{self, ArmPlan};
use crate::result::RunResult;
use crate::scenario::triggers::Act;
use crate::scenario::{Mode, Scenario};

/// What a run is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing runs, and none has.
    Waiting,
    /// Users arrive, and no trigger has begun.
    Before,
    /// From the first trigger's start to the last one's end.
    Trigger,
    /// The triggers are over.
    After,
    /// A run is over.
    Ended,
}

impl Phase {
    /// All of them.
    pub const ALL: [Phase; 5] = [Phase::Waiting, Phase::Before, Phase::Trigger, Phase::After, Phase::Ended];

    /// As metrics say it.
    pub const fn name(self) -> &'static str {
        match self {
            Phase::Waiting => "waiting",
            Phase::Before => "before",
            Phase::Trigger => "trigger",
            Phase::After => "after",
            Phase::Ended => "ended",
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Board {
    arms: Vec<ArmBoard>,
    triggers: Vec<String>,
    levers: Vec<(String, u8)>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct ArmBoard {
    label: String,
    users: Arc<Users>,
    troubles: AtomicU64,
    /// What speaks against the arm of the run under way, from outside of it.
    marks: Mutex<Vec<String>>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    run: Option<Run>,
    /// How many runs have begun.
    runs: u64,
    triggers: BTreeSet<String>,
    levers: BTreeSet<(usize, String)>,
    /// Somebody looks at the stacks and says what acts there.
    observed: bool,
    lag: Vec<Duration>,
    machine: Option<Machine>,
    found: Found,
    /// By arm.
    series: Vec<Series>,
}

/// The run under way, or the last one.
#[derive(Clone, Debug)]
struct Run {
    scenario: Scenario,
    arms: Vec<ArmPlan>,
    clock: &'static str,
    seed: u64,
    origin: Origin,
}

/// How the machine did in the last second.
#[derive(Clone, Copy, Debug, Default)]
pub struct Machine {
    /// The latest that an idle timer was.
    pub idle_timer_late: Duration,
    /// Share of all processors that was used, by anybody; none where the system does not tell.
    pub cpu: Option<f64>,
}

/// What was found, once something was.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Arm, window, share of good answers.
    pub good_share: Vec<(String, &'static str, f64)>,
    /// Arm, share of users harmed.
    pub harm_share: Vec<(String, f64)>,
    /// Arm, lever, level, verdict.
    pub verdicts: Vec<(String, String, u8, String)>,
}

/// One arm as it is shown.
#[derive(Clone, Debug)]
pub struct ArmShown {
    /// The arm, as metrics call it.
    pub label: String,
    /// Its users.
    pub users: Counted,
    /// How late users were begun: the worst of the last second.
    pub lag: Duration,
    /// What went wrong in all runs.
    pub troubles: u64,
}

/// Everything as it is now.
#[derive(Clone, Debug)]
pub struct Shown {
    /// What the run is at.
    pub phase: Phase,
    /// Scenario, clock and seed of the run under way, or of the last one.
    pub run: Option<(String, &'static str, u64)>,
    /// How many runs have begun.
    pub runs: u64,
    /// Seconds into the run; none if none is under way.
    pub seconds: Option<f64>,
    /// Every trigger of the scenario, and whether it acts anywhere.
    pub triggers: Vec<(String, bool)>,
    /// Every arm with every lever of the scenario, its level, and whether it acts there.
    pub levers: Vec<(String, String, u8, bool)>,
    /// The arms, the control first.
    pub arms: Vec<ArmShown>,
    /// How the machine did; none if no run is under way.
    pub machine: Option<Machine>,
    /// What was found.
    pub found: Found,
}

/// One arm's run for drawing, by second.
#[derive(Debug, Default)]
struct Series {
    /// What had been counted when the last second was written.
    before: Counted,
    /// Due, and good answers, in the second; none where it was not looked at.
    users: Vec<Option<(u64, u64)>>,
    /// By service: the last reading.
    last: Vec<Option<Snapshot>>,
    /// By service and second: the queue's level, attempts sent.
    services: Vec<Vec<Option<(u64, u64)>>>,
}

impl Board {
    /// For arms that are called like this in metrics, the control first, and their scenario.
    pub fn new(labels: &[String], scenario: &Scenario) -> Board {
        let arm = |label: &String| ArmBoard {
            label: label.clone(),
            users: Arc::default(),
            troubles: AtomicU64::new(0),
            marks: Mutex::default(),
        };
        Board {
            arms: labels.iter().map(arm).collect(),
            triggers: scenario.timeline.iter().map(|it| it.trigger.clone()).collect(),
            levers: scenario.levers.iter().map(|(name, lever)| (name.clone(), lever.level)).collect(),
            state: Mutex::new(State {
                phase: Phase::Waiting,
                run: None,
                runs: 0,
                triggers: BTreeSet::new(),
                levers: BTreeSet::new(),
                observed: false,
                lag: vec![Duration::ZERO; labels.len()],
                machine: None,
                found: Found::default(),
                series: Vec::new(),
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the users of an arm are counted.
    pub(crate) fn users(&self, arm: usize) -> Arc<Users> {
        Arc::clone(&self.arms[arm].users)
    }

    /// A run begins.
    pub(crate) fn begin(
        &self,
        scenario: &Scenario,
        arms: &[ArmPlan],
        clock: &'static str,
        seed: u64,
        origin: Origin,
    ) {
        for arm in &self.arms {
            arm.marks.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
        let mut state = self.lock();
        state.phase = Phase::Before;
        state.runs += 1;
        state.run = Some(Run { scenario: scenario.clone(), arms: arms.to_vec(), clock, seed, origin });
        let services = scenario.services.len();
        let series = |arm: &ArmBoard| Series {
            before: arm.users.read(),
            users: Vec::new(),
            last: vec![None; services],
            services: vec![Vec::new(); services],
        };
        state.series = self.arms.iter().map(series).collect();
    }

    /// Nothing runs any more, and `phase` is what comes then.
    pub fn rest(&self, phase: Phase) {
        let mut state = self.lock();
        state.phase = phase;
        state.machine = None;
        state.lag.fill(Duration::ZERO);
        if !state.observed {
            state.triggers.clear();
            state.levers.clear();
        }
    }

    /// Another second of the run under way has passed.
    pub(crate) fn tick(&self, machine: Machine) {
        let mut state = self.lock();
        let Some(run) = state.run.clone() else { return };
        let second = run.origin.now().secs_f64();
        state.machine = Some(machine);
        state.phase = phase(&run.scenario, second);
        let by_plan = run.scenario.timeline.iter().filter(|trigger| {
            let acts = second >= trigger.from.secs_f64()
                && trigger.end().is_none_or(|end| second < end.as_secs_f64());
            acts && (!state.observed || !matches!(trigger.act(), Act::Disturb(..)))
        });
        let by_plan: Vec<String> = by_plan.map(|trigger| trigger.trigger.clone()).collect();
        if state.observed {
            let seen = run.scenario.timeline.iter().filter(|it| matches!(it.act(), Act::Disturb(..)));
            let seen: BTreeSet<&String> = seen.map(|it| &it.trigger).collect();
            state.triggers.retain(|name| seen.contains(name));
            state.triggers.extend(by_plan);
        } else {
            state.triggers = by_plan.into_iter().collect();
            state.levers = levers_by_plan(&run, second);
        }
        for (i, arm) in self.arms.iter().enumerate() {
            state.lag[i] = arm.users.take_worst_lag();
            state.series[i].users_until(second as usize, arm.users.read());
        }
    }

    /// A service of an arm was read at the end of a second of the run.
    pub(crate) fn saw(&self, arm: usize, service: usize, second: usize, now: &Snapshot) {
        if let Some(series) = self.lock().series.get_mut(arm) {
            series.service_until(service, second, now);
        }
    }

    /// Something went wrong in an arm.
    pub(crate) fn trouble(&self, arm: usize) {
        self.arms[arm].troubles.fetch_add(1, Relaxed);
    }

    /// Somebody had hands on this arm's stack, in words: if a run is under way, it is not tested.
    pub fn mark(&self, arm: usize, sentence: String) {
        self.arms[arm].marks.lock().unwrap_or_else(PoisonError::into_inner).push(sentence);
    }

    pub(crate) fn take_marks(&self, arm: usize) -> Vec<String> {
        std::mem::take(&mut *self.arms[arm].marks.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What somebody who looks at the stacks saw acting there: triggers anywhere, levers by arm.
    pub fn observe(&self, triggers: BTreeSet<String>, levers: BTreeSet<(usize, String)>) {
        let mut state = self.lock();
        let spikes: Vec<String> = state
            .run
            .iter()
            .flat_map(|run| &run.scenario.timeline)
            .filter(|it| !matches!(it.act(), Act::Disturb(..)) && state.triggers.contains(&it.trigger))
            .map(|it| it.trigger.clone())
            .collect();
        let running = matches!(state.phase, Phase::Before | Phase::Trigger | Phase::After);
        state.observed = true;
        state.triggers = triggers;
        if running {
            state.triggers.extend(spikes);
        }
        state.levers = levers;
    }

    /// What was found by now.
    pub fn found(&self, result: &RunResult) {
        let mut found = Found::default();
        for (arm, board) in result.arms.iter().zip(&self.arms) {
            let windows = &arm.outcome.good_share_by_window;
            let by_window = [
                ("before", windows.before),
                ("during", windows.during),
                ("after", windows.after),
                ("last_minute", windows.last_minute),
            ];
            let known = by_window.into_iter().filter_map(|(window, share)| Some((window, share?)));
            found.good_share.extend(known.map(|(window, share)| (board.label.clone(), window, share)));
            found.harm_share.push((board.label.clone(), arm.outcome.harm_share));
            if let (Some(verdict), Some(lever), Some(level)) = (&arm.verdict, &arm.lever, arm.level) {
                found.verdicts.push((board.label.clone(), lever.clone(), level, verdict.is.clone()));
            }
        }
        self.lock().found = found;
    }

    /// Everything as it is now.
    pub fn read(&self) -> Shown {
        let state = self.lock();
        let running = matches!(state.phase, Phase::Before | Phase::Trigger | Phase::After);
        let run = state.run.as_ref();
        let of_arm = |(arm, lag): (&ArmBoard, &Duration)| ArmShown {
            label: arm.label.clone(),
            users: arm.users.read(),
            lag: *lag,
            troubles: arm.troubles.load(Relaxed),
        };
        let levers = self.arms.iter().enumerate().flat_map(|(i, arm)| {
            let state = &state;
            self.levers.iter().map(move |(lever, level)| {
                let acts = state.levers.contains(&(i, lever.clone()));
                (arm.label.clone(), lever.clone(), *level, acts)
            })
        });
        Shown {
            phase: state.phase,
            run: run.map(|run| (run.scenario.scenario.clone(), run.clock, run.seed)),
            runs: state.runs,
            seconds: run.filter(|_| running).map(|run| run.origin.now().secs_f64()),
            triggers: self
                .triggers
                .iter()
                .map(|name| (name.clone(), state.triggers.contains(name)))
                .collect(),
            levers: levers.collect(),
            arms: self.arms.iter().zip(&state.lag).map(of_arm).collect(),
            machine: state.machine,
            found: state.found.clone(),
        }
    }

    /// The run under way, or the last one, second by second from `from` on, for drawing.
    pub fn series(&self, from: usize) -> Value {
        let state = self.lock();
        let services: Vec<&String> = state.run.iter().flat_map(|run| run.scenario.services.keys()).collect();
        let of_arm = |(arm, series): (&ArmBoard, &Series)| {
            let users = &series.users[from.min(series.users.len())..];
            let due: Vec<Option<u64>> = users.iter().map(|second| second.map(|(due, _)| due)).collect();
            let good: Vec<Option<u64>> = users.iter().map(|second| second.map(|(_, good)| good)).collect();
            let of = |i: usize, value: fn(&(u64, u64)) -> u64| -> Vec<Option<u64>> {
                let seconds = &series.services[i];
                seconds[from.min(seconds.len())..].iter().map(|it| it.as_ref().map(value)).collect()
            };
            let queues: Map<String, Value> = services
                .iter()
                .enumerate()
                .map(|(i, name)| ((*name).clone(), json!(of(i, |(queue, _)| *queue))))
                .collect();
            let attempts = if services.is_empty() { Vec::new() } else { of(0, |(_, attempts)| *attempts) };
            json!({ "arm": arm.label, "due": due, "good": good, "attempts": attempts, "queues": queues })
        };
        let arms: Vec<Value> = self.arms.iter().zip(&state.series).map(of_arm).collect();
        json!({ "run": state.runs, "from": from, "arms": arms })
    }
}

fn phase(scenario: &Scenario, second: f64) -> Phase {
    match scenario.trigger_window() {
        Some((from, _)) if second < from.as_secs_f64() => Phase::Before,
        Some((_, Some(to))) if second >= to.as_secs_f64() => Phase::After,
        Some(_) => Phase::Trigger,
        None => Phase::Before,
    }
}

fn levers_by_plan(run: &Run, second: f64) -> BTreeSet<(usize, String)> {
    let since = |arm: &ArmPlan| match arm.mode {
        Some(Mode::Standing) => Some(0.0),
        Some(Mode::Pulled) => plan::by_hand(&run.scenario, arm).first().map(|(at, _)| at.as_secs_f64()),
        None => None,
    };
    let acts = |(i, arm): (usize, &ArmPlan)| {
        let lever = arm.lever.clone()?;
        (second >= since(arm)?).then_some((i, lever))
    };
    run.arms.iter().enumerate().filter_map(acts).collect()
}

impl Series {
    /// Seconds before this one were not looked at if they are not there yet: what was counted in them cannot be
    /// told apart, and stands in this one.
    fn users_until(&mut self, end: usize, now: Counted) {
        let Some(second) = end.checked_sub(1) else { return };
        if self.users.len() <= second {
            self.users.resize(second + 1, None);
        }
        let good = now.of(Settled::Good) - self.before.of(Settled::Good);
        let (due, good) = (now.due - self.before.due, good);
        let there = self.users[second].unwrap_or_default();
        self.users[second] = Some((there.0 + due, there.1 + good));
        self.before = now;
    }

    fn service_until(&mut self, service: usize, end: usize, now: &Snapshot) {
        let attempts = |of: &Snapshot| of.flow(Flow::Attempts);
        let before = self.last[service].replace(*now);
        let (Some(second), Some(before)) = (end.checked_sub(1), before) else { return };
        let seconds = &mut self.services[service];
        if seconds.len() <= second {
            seconds.resize(second + 1, None);
        }
        // One that was started anew has counted from nothing.
        let sent = attempts(now).checked_sub(attempts(&before)).unwrap_or_else(|| attempts(now));
        seconds[second] = Some((now.stock(StockName::Queue).level, sent));
    }
}
