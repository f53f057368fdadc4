//! From a checked scenario to the arms that are run: for each lever and mode, the settings at the start and
//! what is done when. A treatment is the control plus one lever; everything else is the same.

use std::time::Duration;

use indexmap::IndexMap;
use pumphandle_load::plan::Spike;
use pumphandle_stack::{ServiceSettings, StackSettings};
use serde_json::Value;

use crate::document::suggest;
use crate::loops::Nudge;
use crate::result::Change;
use crate::scenario::autoscalers::{self, Autoscaler, Autoscalers};
use crate::scenario::levers::{Kill, Lever, Mode, Restart};
use crate::scenario::team::{self, Team};
use crate::scenario::triggers::Act;
use crate::scenario::{Scenario, knobs};

/// The name of the arm without the defect.
pub const REFERENCE: &str = "reference";

/// One arm, ready to run.
#[derive(Clone, Debug)]
pub struct ArmPlan {
    /// `control`, `LEVER` or `LEVER@start`.
    pub name: String,
    /// The lever; none for the control.
    pub lever: Option<String>,
    /// How it is tried.
    pub mode: Option<Mode>,
    /// Settings at the start.
    pub settings: StackSettings,
    /// Controllers of numbers of replicas, as they are at the start.
    pub autoscalers: Autoscalers,
    /// The team, as it is at the start.
    pub team: Option<Team>,
    /// What is done when, in the order of time.
    pub actions: Vec<(Duration, Action)>,
    /// More users for a while: a twin by which loops are measured, never an arm that is judged.
    pub nudge: Option<Nudge>,
}

/// Something done to a running stack.
#[derive(Clone, Debug)]
pub enum Action {
    /// New settings for a service.
    Set(String, Box<ServiceSettings>),
    /// New settings for a service, except that it keeps as many replicas as it has: the lever says nothing of
    /// them, and a controller may have changed them.
    SetAllButReplicas(String, Box<ServiceSettings>),
    /// New settings for a controller.
    SetAutoscaler(String, Box<Autoscaler>),
    /// New settings for the team.
    SetTeam(Box<Team>),
    /// Services lose what is inside and are away for a while.
    Restart(Vec<String>, Duration),
    /// Services end all work that came in at least this long ago.
    Kill(Vec<String>, Duration),
}

/// The control.
pub fn control(scenario: &Scenario) -> ArmPlan {
    ArmPlan {
        name: "control".to_owned(),
        lever: None,
        mode: None,
        settings: scenario.services.clone(),
        autoscalers: scenario.autoscalers.clone(),
        team: scenario.team.clone(),
        actions: Vec::new(),
        nudge: None,
    }
}

/// The arm without the defect, if the scenario has one.
///
/// # Panics
///
/// If the scenario was not checked.
pub fn reference(scenario: &Scenario) -> Option<ArmPlan> {
    let reference = scenario.reference.as_ref()?;
    let mut plan = ArmPlan { name: REFERENCE.to_owned(), ..control(scenario) };
    knobs::set_all(&mut plan.settings, &mut plan.autoscalers, &mut plan.team, &reference.set)
        .expect("a checked scenario's reference can be set");
    Some(plan)
}

/// One treatment.
///
/// # Errors
///
/// What is wrong with the lever: the path of the setting (within the lever) and a sentence.
pub fn treatment(scenario: &Scenario, name: &str, mode: Mode) -> Result<ArmPlan, Vec<(String, String)>> {
    let lever = &scenario.levers[name];
    let begins = match mode {
        Mode::Standing => Duration::ZERO,
        Mode::Pulled => scenario.pull.unwrap_or_default().0,
    };
    let mut plan = ArmPlan {
        name: if mode == Mode::Pulled { name.to_owned() } else { format!("{name}@start") },
        lever: Some(name.to_owned()),
        mode: Some(mode),
        ..control(scenario)
    };
    let (mut now, mut controllers) = (scenario.services.clone(), scenario.autoscalers.clone());
    let mut team = scenario.team.clone();
    let mut wrong = Vec::new();
    for (i, StepOf { after, set, restart, kill }) in steps(lever).into_iter().enumerate() {
        let place = if i == 0 { String::new() } else { format!("then[{}].", i - 1) };
        let at = begins + after;
        match knobs::set_all(&mut now, &mut controllers, &mut team, set) {
            Ok(changed) => {
                if let Some(team) = team.clone().filter(|_| changed.team) {
                    plan.actions.push((at, Action::SetTeam(Box::new(team))));
                }
                plan.actions.extend(changed.services.into_iter().map(|service| {
                    let settings = Box::new(now[&service].clone());
                    let all = set.contains_key(&format!("{service}.replicas"));
                    let action = if all { Action::Set } else { Action::SetAllButReplicas };
                    (at, action(service, settings))
                }));
                plan.actions.extend(changed.autoscalers.into_iter().map(|name| {
                    let settings = Box::new(controllers[&name].clone());
                    (at, Action::SetAutoscaler(name, settings))
                }));
            }
            Err(problems) => {
                wrong.extend(problems.into_iter().map(|it| (format!("{place}set.{}", it.path), it.message)))
            }
        }
        if let Some(restart) = restart {
            plan.actions.push((at, Action::Restart(restart.services.clone(), restart.down.0)));
        }
        if let Some(kill) = kill {
            plan.actions.push((at, Action::Kill(kill.services.clone(), kill.older_than.0)));
        }
    }
    if mode == Mode::Standing {
        // In place from the start means: there is no moment at which anything changes.
        plan.actions.retain(|(at, action)| match action {
            Action::Set(service, settings) | Action::SetAllButReplicas(service, settings) if at.is_zero() => {
                plan.settings[service] = (**settings).clone();
                false
            }
            Action::SetAutoscaler(name, settings) if at.is_zero() => {
                plan.autoscalers[name] = (**settings).clone();
                false
            }
            Action::SetTeam(settings) if at.is_zero() => {
                plan.team = Some((**settings).clone());
                false
            }
            _ => true,
        });
    }
    plan.actions.sort_by_key(|(at, _)| *at);
    if wrong.is_empty() { Ok(plan) } else { Err(wrong) }
}

/// Every lever in every mode that it is tried in: all that are pulled, then all that stand.
pub fn every_lever(scenario: &Scenario) -> Vec<(String, Mode)> {
    let of = |mode: Mode| {
        let levers = scenario.levers.iter().filter(move |(_, lever)| lever.modes.contains(&mode));
        levers.map(move |(name, _)| (name.clone(), mode))
    };
    of(Mode::Pulled).chain(of(Mode::Standing)).collect()
}

/// The lever of this name and how it is tried: `NAME`, or `NAME@start`. One that is only tried one way is tried
/// that way.
///
/// # Errors
///
/// A sentence, if there is no such lever.
pub fn lever_of(scenario: &Scenario, asked: &str) -> Result<(String, Mode), String> {
    let (name, mode) = match asked.strip_suffix("@start") {
        Some(name) => (name, Mode::Standing),
        None => (asked, Mode::Pulled),
    };
    let known = scenario.levers.keys().map(String::as_str);
    let lever = scenario.levers.get(name).ok_or_else(|| unknown("lever", name, known))?;
    let mode = if lever.modes.contains(&mode) { mode } else { lever.modes[0] };
    Ok((name.to_owned(), mode))
}

/// That there is no such thing, and what there is.
pub fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let known_names = || known.clone().collect::<Vec<_>>().join(", ");
    match suggest(name, known.clone()) {
        Some(close) => format!("no such {what}: `{name}`; did you mean `{close}`?"),
        None => format!("no such {what}: `{name}`; there is {}", known_names()),
    }
}

/// What a lever does at one moment, in this order.
#[derive(Clone, Copy, Debug)]
pub struct StepOf<'a> {
    /// When, after the lever's own moment.
    pub after: Duration,
    /// Which settings change, by path.
    pub set: &'a IndexMap<String, Value>,
    /// What is restarted.
    pub restart: Option<&'a Restart>,
    /// What old work is ended.
    pub kill: Option<&'a Kill>,
}

/// What a lever does, step by step.
pub fn steps(lever: &Lever) -> Vec<StepOf<'_>> {
    let Lever { set, restart, kill, .. } = lever;
    let first = StepOf { after: Duration::ZERO, set, restart: restart.as_ref(), kill: kill.as_ref() };
    let then = lever.then.iter().map(|step| StepOf {
        after: step.after.0,
        set: &step.set,
        restart: step.restart.as_ref(),
        kill: step.kill.as_ref(),
    });
    std::iter::once(first).chain(then).collect()
}

/// Why autoscalers are of no use to services in processes of their own.
pub const NO_AUTOSCALERS: &str = "autoscalers act on services of the run's own process: a stack of processes is scaled by \
     whatever runs it";

/// Why a team is of no use to services in processes of their own.
pub const NO_TEAM: &str = "a team deploys to services of the run's own process, over days: a stack of processes is not waited for so long";

/// Whether a lever can act on services in processes of their own.
pub fn acts_on_processes(lever: &Lever) -> bool {
    let is_not = |path: &str| autoscalers::is_path(path) || team::is_path(path);
    !steps(lever).iter().any(|step| step.set.keys().any(|path| is_not(path)))
}

/// Refuses arms that services in processes of their own cannot be.
///
/// # Errors
///
/// A sentence.
pub fn of_processes(arms: &[ArmPlan]) -> Result<(), String> {
    let scales = arms.iter().any(|arm| {
        let later = |(_, action): &(Duration, Action)| matches!(action, Action::SetAutoscaler(..));
        arm.autoscalers.values().any(|it| it.enabled) || arm.actions.iter().any(later)
    });
    if arms.iter().any(|arm| arm.team.is_some()) {
        return Err(NO_TEAM.to_owned());
    }
    match scales {
        true => Err(format!("{NO_AUTOSCALERS}. Switch them off (--set autoscalers.NAME.enabled=false)")),
        false => Ok(()),
    }
}

/// What the arm's lever does, as it is asked of services that are running: when, and what.
pub fn by_hand<'a>(scenario: &'a Scenario, arm: &ArmPlan) -> Vec<(Duration, StepOf<'a>)> {
    let Some(lever) = arm.lever.as_ref().and_then(|name| scenario.levers.get(name)) else {
        return Vec::new();
    };
    let begins = match arm.mode {
        Some(Mode::Pulled) => scenario.pull.unwrap_or_default().0,
        _ => Duration::ZERO,
    };
    steps(lever).into_iter().map(|step| (begins + step.after, step)).collect()
}

/// What a lever changes, in words.
pub fn changes(scenario: &Scenario, lever: &Lever) -> Vec<Change> {
    let (mut now, mut controllers) = (scenario.services.clone(), scenario.autoscalers.clone());
    let mut team = scenario.team.clone();
    let mut changes = Vec::new();
    for StepOf { after, set, restart, kill } in steps(lever) {
        let when =
            if after.is_zero() { String::new() } else { format!(" (after {} s)", after.as_secs_f64()) };
        let before = (now.clone(), controllers.clone(), team.clone());
        // A lever whose path is wrong has been refused before it gets here.
        let _ = knobs::set_all(&mut now, &mut controllers, &mut team, set);
        changes.extend(set.keys().map(|path| Change {
            path: format!("{path}{when}"),
            old: knobs::show(&before.0, &before.1, before.2.as_ref(), path),
            new: knobs::show(&now, &controllers, team.as_ref(), path),
        }));
        for service in restart.iter().flat_map(|restart| &restart.services) {
            let down = restart.map_or(0.0, |restart| restart.down.secs_f64());
            changes.push(Change {
                path: format!("{service}{when}"),
                old: "-".to_owned(),
                new: format!("restarted, away for {down} s"),
            });
        }
        for service in kill.iter().flat_map(|kill| &kill.services) {
            let age = kill.map_or(0.0, |kill| kill.older_than.secs_f64());
            changes.push(Change {
                path: format!("{service}{when}"),
                old: "-".to_owned(),
                new: format!("work of {age} s and older ended"),
            });
        }
    }
    changes
}

/// The traffic spikes of the timeline.
pub fn spikes(scenario: &Scenario) -> Vec<Spike> {
    scenario
        .timeline
        .iter()
        .filter_map(|trigger| match trigger.act() {
            Act::Spike(spike) => Some(spike),
            _ => None,
        })
        .collect()
}
