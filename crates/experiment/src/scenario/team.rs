//! A team that changes a service and keeps it running: what can be said of its deployer, of those who are on call, and of
//! its error budget, and what is wrong with what was said. What they do is in [`team`](crate::team).
//!
//! It must not know how anything is deployed, or when anybody is paged.

use indexmap::IndexMap;
use pumphandle_core::{Dur, Share};
use pumphandle_stack::StackSettings;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::paths::{Sentence, below, unknown};
use super::schema::part;
use crate::document::{Part, Path, Problem, Problems};

/// The first word of the path of a team's setting.
pub const PREFIX: &str = "team";

/// A team. The run begins on a Monday at midnight; work is done from 9 to 17 o'clock, Monday to Friday.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Team {
    /// Who develops changes, and when they reach users.
    pub deployer: Deployer,
    /// Who is paged, and how long what they do takes.
    pub on_call: OnCall,
    /// How many users may have no good answer. None is kept if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_budget: Option<ErrorBudget>,
}

/// From ideas to changes, and from changes to versions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Deployer {
    /// Services on which a version runs, by name. The team's stocks are counted at the first.
    pub services: Vec<String>,
    /// New ideas for features per working day, from 0 to 1000: the inflow of the feature backlog.
    #[schemars(range(min = 0.0, max = 1000.0))]
    pub ideas_per_day: f64,
    /// Changes developed per working day without technical debt, from 0.1 to 1000: its outflow.
    #[schemars(range(min = 0.1, max = 1000.0))]
    pub velocity_per_day: f64,
    /// Days on which there may be a deploy, such as `[mon, tue]`. Every working day if absent.
    #[serde(default = "working_days")]
    pub days: Vec<Day>,
    /// At which times of the day all that is developed is deployed as one version, such as `[10h, 15h]`. During work,
    /// as soon as there is a change and no other version is on its way, if absent.
    #[serde(default)]
    pub at: Vec<Dur>,
    /// The chance of a change to be bad where there is no technical debt. A version is bad if one of its changes is.
    pub bad: Share,
    /// What a bad change does. Every other one fails calls, the rest makes them slow.
    pub harm: Harm,
    /// Technical debt: what it comes from, and what it does. There is none if absent.
    #[serde(default)]
    pub debt: Debt,
    /// A version runs on one of the services first, and further only if that does well. At once on all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary>,
    /// The share of bad changes that a replay of real traffic finds before the deploy: an assumption. None if absent.
    #[serde(default)]
    pub replay: Share,
}

/// What a bad change does to calls.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Harm {
    /// The share of calls that fail.
    pub errors: Share,
    /// How many times as long work takes, from 1 to 1000000.
    #[schemars(range(min = 1.0, max = 1_000_000.0))]
    pub slow: f64,
    /// Mean time for which the change runs before it does so, such as 6h: until there is a peak, or a leak is full. At
    /// once if absent.
    #[serde(default)]
    pub after: Dur,
}

/// Technical debt, counted in shortcuts taken and not paid back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Debt {
    /// The share of changes that take a shortcut. None if absent.
    #[serde(default)]
    pub shortcuts: Share,
    /// The share of developing that pays debt back instead. None if absent.
    #[serde(default)]
    pub refactoring: Share,
    /// By how much a shortcut makes every change more likely to be bad, as a share. Not at all if absent.
    #[serde(default)]
    pub risk: Share,
    /// By how much a shortcut makes developing slower, as a share. Not at all if absent.
    #[serde(default)]
    pub drag: Share,
}

/// A version that is tried on some users first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Canary {
    /// On which of the deployer's services, by name.
    pub service: String,
    /// For how long, such as 1h.
    #[serde(rename = "for")]
    pub lasts: Dur,
    /// It is taken back if this share of the service's calls fails, or if they take longer than the SLO in the mean.
    pub failures: Share,
}

/// Those who are on call, one after the other, a week each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OnCall {
    /// How many take turns, from 1 to 1000.
    #[schemars(range(min = 1, max = 1000))]
    pub engineers: u32,
    /// How often the monitoring looks at how users are served, such as 5m.
    pub look: Dur,
    /// Over which time, such as 30m.
    pub over: Dur,
    /// It pages if fewer of the users answered in that time than this share got a good answer.
    pub below: Share,
    /// Mean time until a page that is heard is acknowledged, such as 5m.
    pub acknowledge: Dur,
    /// The share of pages that nobody hears outside of working hours. None if absent.
    #[serde(default)]
    pub unheard: Share,
    /// The same engineer is paged again after this time, such as 30m.
    pub again: Dur,
    /// The next engineer is paged after this time, such as 10m, in place of the same one again. Nobody else is if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escalation: Option<Dur>,
    /// Mean time from there until it is known which version did it, such as 45m.
    pub diagnose: Dur,
    /// How long a rollback takes, such as 10m.
    pub roll_back: Dur,
    /// What pages outside of working hours do to those who get them. Nothing if absent.
    #[serde(default)]
    pub fatigue: Fatigue,
}

/// Fatigue, counted in pages outside of working hours from which one has not rested yet.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fatigue {
    /// How long it takes to rest from one page, such as 2d.
    pub rest: Dur,
    /// By how much each makes acknowledging and diagnosing longer, as a share.
    pub lengthens: Share,
}

impl Default for Fatigue {
    fn default() -> Fatigue {
        Fatigue { rest: DAY, lengthens: Share(0.0) }
    }
}

/// How many users may have no good answer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ErrorBudget {
    /// The share of users who are to get a good answer, such as 99%.
    pub target: Share,
    /// Over which time, such as 28d: what was spent comes back when it is that old.
    pub window: Dur,
    /// Nothing is deployed while the budget is spent, and all developing pays back debt. It is only looked at if absent.
    #[serde(default)]
    pub gate: bool,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Day {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

impl Day {
    /// All of them, from Monday on.
    pub const ALL: [Day; 7] = [Day::Mon, Day::Tue, Day::Wed, Day::Thu, Day::Fri, Day::Sat, Day::Sun];
}

const MINUTE: Dur = Dur(std::time::Duration::from_secs(60));
const DAY: Dur = Dur(std::time::Duration::from_secs(86_400));

fn working_days() -> Vec<Day> {
    Day::ALL[..5].to_vec()
}

impl Team {
    /// What the shape alone does not refuse: places below it, and sentences.
    pub fn check(&self, services: &StackSettings) -> Vec<(String, Sentence)> {
        let Team { deployer, on_call, error_budget } = self;
        let mut wrong: Vec<(String, Sentence)> = Vec::new();
        let mut say = |at: &str, message: &str| wrong.push((at.to_owned(), (message.to_owned(), None)));
        if deployer.services.is_empty() {
            say("deployer.services", "on which services does a version run? name at least one");
        }
        if deployer.days.is_empty() {
            say("deployer.days", "there would never be a deploy: name at least one day");
        }
        if deployer.at.iter().any(|at| *at >= DAY) {
            say("deployer.at", "a time of day is below 24h");
        }
        let times = [
            ("on_call.look", on_call.look),
            ("on_call.again", on_call.again),
            ("on_call.fatigue.rest", on_call.fatigue.rest),
            ("on_call.escalation", on_call.escalation.unwrap_or(MINUTE)),
            ("deployer.canary.for", deployer.canary.as_ref().map_or(MINUTE, |canary| canary.lasts)),
            ("error_budget.window", error_budget.map_or(MINUTE, |budget| budget.window)),
        ];
        for (at, _) in times.iter().filter(|(_, time)| *time < MINUTE) {
            say(at, "is at least 1m: a team acts once a minute");
        }
        if on_call.over < on_call.look {
            say("on_call.over", "is at least as long as `look`: else some users are never looked at");
        }
        if deployer.harm.errors.0 == 0.0 && deployer.harm.slow == 1.0 {
            say("deployer.harm", "a bad change would do nothing: give it `errors`, or make it `slow`");
        }
        if error_budget.is_some_and(|budget| budget.target.0 >= 1.0) {
            say("error_budget.target", "nobody is perfect: a target of 100% leaves no budget");
        }
        if let Some(canary) = &deployer.canary {
            if !deployer.services.contains(&canary.service) {
                let known = deployer.services.iter().map(String::as_str);
                wrong
                    .push(("deployer.canary.service".to_owned(), unknown("service", &canary.service, known)));
            } else if deployer.services.len() < 2 {
                let message = "there is no other service that the version could go to after it".to_owned();
                wrong.push(("deployer.canary.service".to_owned(), (message, None)));
            }
        }
        for (i, name) in
            deployer.services.iter().enumerate().filter(|(_, name)| !services.contains_key(*name))
        {
            let known = services.keys().map(String::as_str);
            wrong.push((format!("deployer.services[{i}]"), unknown("service", name, known)));
        }
        wrong
    }
}

/// Everything wrong with the team of a scenario.
pub(super) fn check(team: &Team, services: &StackSettings, problems: &mut Problems) {
    for (place, (message, help)) in team.check(services) {
        let path = below(Path::from([PREFIX]), &place);
        problems.push(Problem { path, part: Part::Value, span: None, message, help });
    }
}

/// Whether `path` is that of a team's setting.
pub fn is_path(path: &str) -> bool {
    path.split('.').next() == Some(PREFIX)
}

/// Puts every value at its path, all at once; true if one was one of a team. `changes` stand at `place` of a document;
/// only those are looked at whose path is one of a team.
///
/// # Errors
///
/// Problems whose paths start with the changed path as one key. `team` is unchanged then.
pub fn set_all_of(
    team: &mut Option<Team>,
    services: &StackSettings,
    changes: &IndexMap<String, Value>,
    place: &Path,
) -> Result<bool, Problems> {
    let mut problems = Problems::new();
    let mut tree = serde_json::to_value(&*team).expect("settings are plain data");
    let mut last = None;
    for (path, value) in changes.iter().filter(|(path, _)| is_path(path)) {
        last = Some(path);
        if let Err((message, help)) = put(&mut tree, path, value) {
            problems.push(Problem { path: place.join(path), part: Part::Key, span: None, message, help });
        }
    }
    let Some(last) = last else { return Ok(false) };
    problems.into_result()?;
    let mut problems = Problems::new();
    match read(tree, services) {
        Ok(changed) => *team = Some(changed),
        Err(wrong) => {
            for (at, (message, help)) in wrong {
                let of = |path: &&String| path.strip_prefix("team.").is_some_and(|it| at.starts_with(it));
                let path = place.join(changes.keys().find(of).unwrap_or(last));
                let message = if at.is_empty() { message } else { format!("`{at}`: {message}") };
                problems.push(Problem { path, part: Part::Value, span: None, message, help });
            }
        }
    }
    problems.into_result().map(|()| true)
}

fn put(tree: &mut Value, path: &str, value: &Value) -> Result<(), Sentence> {
    if tree.is_null() {
        return Err(("the scenario has no team".to_owned(), None));
    }
    let fields: Vec<&str> = path.split('.').skip(1).collect();
    let Some((last, parents)) = fields.split_last() else {
        let help = format!("name one of its settings, such as {PREFIX}.on_call.engineers");
        return Err((format!("`{path}` is a whole team"), Some(help)));
    };
    let mut at = tree;
    for field in parents {
        at = at.get_mut(*field).ok_or_else(|| {
            let help = format!("set `{field}` as a whole");
            (format!("there is no `{field}` here yet of which `{last}` could change"), Some(help))
        })?;
    }
    let fields = at.as_object_mut();
    let fields = fields.ok_or_else(|| (format!("`{path}` goes on below a plain value"), None))?;
    fields.insert((*last).to_owned(), value.clone());
    Ok(())
}

/// A team from its tree, or all that is wrong with it.
fn read(tree: Value, services: &StackSettings) -> Result<Team, Vec<(String, Sentence)>> {
    let team: Team = part(tree, "Team")?;
    let wrong = team.check(services);
    if wrong.is_empty() { Ok(team) } else { Err(wrong) }
}

/// The value at `path`, in words; `-` where there is none.
pub fn show(team: Option<&Team>, path: &str) -> String {
    let tree = serde_json::to_value(team).expect("settings are plain data");
    let value = path.split('.').skip(1).try_fold(&tree, |at, field| at.get(field));
    value.map_or("-".to_owned(), super::paths::words)
}
