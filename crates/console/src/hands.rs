//! Hands on a stack that is running: triggers, levers and settings, through its services' admin ports. One
//! implementation for the command line and for the runner's port. What a lever does is read from the scenario, and
//! checked as a whole before the first service is asked.

use std::fmt;

use indexmap::IndexMap;
use pumphandle_core::Dur;
use pumphandle_experiment::document::clean;
use pumphandle_experiment::plan::{self, StepOf, unknown};
use pumphandle_experiment::run::remote::{Wish, of_services, reset_order};
use pumphandle_experiment::scenario::autoscalers::is_path;
use pumphandle_experiment::scenario::levers::Lever;
use pumphandle_experiment::scenario::triggers::Act;
use pumphandle_experiment::scenario::{Scenario, paths};
use serde_json::{Value, json};

use crate::client::{Failure, Method};
use crate::remote::RemoteStack;

/// New values by path; null for what the scenario says.
pub type Changes = IndexMap<String, Value>;

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undone {
    /// It makes no sense for this scenario. Nobody was asked.
    Wrong(String),
    /// A service refused, or did not answer; those before it have done their part.
    By(String, Failure),
}

impl fmt::Display for Undone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Undone::Wrong(sentence) => f.write_str(sentence),
            Undone::By(service, failure) => write!(f, "{service}: {failure}"),
        }
    }
}

impl std::error::Error for Undone {}

/// Is told what was done, a sentence each.
pub type Say<'a> = &'a mut (dyn FnMut(String) + Send);

/// Begins a trigger of the scenario. It lasts as long as the scenario says, or `lasts`.
///
/// # Errors
///
/// See [`Undone`].
pub async fn trigger(
    stack: &RemoteStack,
    scenario: &Scenario,
    name: &str,
    lasts: Option<Dur>,
    say: Say<'_>,
) -> Result<(), Undone> {
    let known = scenario.timeline.iter().map(|it| it.trigger.as_str());
    let found = scenario.timeline.iter().find(|it| it.trigger == name);
    let trigger = found.ok_or_else(|| Undone::Wrong(unknown("trigger", name, known)))?;
    let Some(service) = trigger.service() else {
        let sentence =
            format!("`{name}` changes the load, which comes from the runner: no service can do that");
        return Err(Undone::Wrong(sentence));
    };
    let lasts = lasts.or(trigger.lasts);
    let wish = match trigger.act() {
        Act::Restart(..) => Wish::Restart(lasts.unwrap_or_default()),
        _ => {
            let mut begin = json!({ "trigger": trigger.trigger, "do": trigger.does });
            if let Some(lasts) = lasts {
                begin["for"] = json!(lasts);
            }
            Wish::Begin(begin)
        }
    };
    ask(stack, service, wish).await?;
    let lasts = lasts.map_or_else(|| ", until it is calmed".to_owned(), |lasts| format!(", for {lasts}"));
    say(format!("{service}: {}{lasts}", trigger.words()));
    Ok(())
}

/// Ends a trigger, or all of them.
///
/// # Errors
///
/// See [`Undone`].
pub async fn calm(
    stack: &RemoteStack,
    scenario: &Scenario,
    trigger: Option<&str>,
    say: Say<'_>,
) -> Result<(), Undone> {
    let body = trigger.map_or(json!({}), |trigger| json!({ "trigger": trigger }));
    for service in scenario.services.keys() {
        let ended = post(stack, service, "/calm", &body).await?;
        for name in ended["ended"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            say(format!("{service}: {} has ended", clean(name)));
        }
    }
    Ok(())
}

/// The lever of this name.
///
/// # Errors
///
/// If there is none.
pub fn lever<'a>(scenario: &'a Scenario, name: &str) -> Result<&'a Lever, Undone> {
    let known = scenario.levers.keys().map(String::as_str);
    scenario.levers.get(name).ok_or_else(|| Undone::Wrong(unknown("lever", name, known)))
}

/// Does one step of a lever. When it is time for it, the caller knows.
///
/// # Errors
///
/// See [`Undone`].
pub async fn step(
    stack: &RemoteStack,
    scenario: &Scenario,
    step: &StepOf<'_>,
    say: Say<'_>,
) -> Result<(), Undone> {
    let StepOf { set: changes, restart, kill, .. } = *step;
    set(stack, scenario, changes, say).await?;
    for service in restart.iter().flat_map(|restart| &restart.services) {
        let down = restart.map_or(Dur::default(), |restart| restart.down);
        ask(stack, service, Wish::Restart(down)).await?;
        say(format!("{service}: restarted, away for {down}"));
    }
    for service in kill.iter().flat_map(|kill| &kill.services) {
        let age = kill.map_or(Dur::default(), |kill| kill.older_than);
        ask(stack, service, Wish::Kill(age)).await?;
        say(format!("{service}: work of {age} and older ended"));
    }
    Ok(())
}

/// Puts back what a lever has changed.
///
/// # Errors
///
/// See [`Undone`]; also if it changes no setting.
pub async fn unpull(
    stack: &RemoteStack,
    scenario: &Scenario,
    name: &str,
    say: Say<'_>,
) -> Result<(), Undone> {
    let steps = plan::steps(lever(scenario, name)?);
    let back: Changes =
        steps.iter().flat_map(|step| step.set.keys()).map(|path| (path.clone(), Value::Null)).collect();
    if back.is_empty() {
        let sentence = format!("lever `{name}` changes no setting: there is nothing to put back");
        return Err(Undone::Wrong(sentence));
    }
    set(stack, scenario, &back, say).await
}

/// Changes settings of one or more services. All of it is checked against the scenario before the first is
/// asked; each service changes all of its own at once.
///
/// # Errors
///
/// See [`Undone`].
pub async fn set(
    stack: &RemoteStack,
    scenario: &Scenario,
    set: &Changes,
    say: Say<'_>,
) -> Result<(), Undone> {
    if set.is_empty() {
        return Ok(());
    }
    if set.keys().any(|path| is_path(path)) {
        return Err(Undone::Wrong(plan::NO_AUTOSCALERS.to_owned()));
    }
    let mut now = scenario.services.clone();
    // What is in force, since a change may only make sense together with an earlier one.
    for service in of_services(set).keys().filter(|service| scenario.services.contains_key(*service)) {
        let port = stack.port(service).map_err(Undone::Wrong)?;
        let settings = port.get("/settings").await.map_err(|failure| Undone::By(service.clone(), failure))?;
        if let Ok(settings) = serde_json::from_value(settings[service].clone()) {
            now[service] = settings;
        }
    }
    let to_values: Changes =
        set.iter().filter(|(_, value)| !value.is_null()).map(|(k, v)| (k.clone(), v.clone())).collect();
    if let Err(problems) = paths::set_all(&mut now, &to_values) {
        let lines: Vec<String> =
            problems.iter().map(|problem| format!("\n  {}: {}", problem.path, problem.message)).collect();
        return Err(Undone::Wrong(format!("nothing was changed:{}", lines.concat())));
    }
    for (service, set) in of_services(set) {
        let port = stack.port(&service).map_err(Undone::Wrong)?;
        let done = port.change(Method::PATCH, "/settings", &json!(set)).await;
        let done = done.map_err(|failure| Undone::By(format!("{service} was not changed"), failure))?;
        for (path, change) in done["changed"].as_object().into_iter().flatten() {
            let text = |value: &Value| clean(value.as_str().unwrap_or_default());
            say(format!("{}: {} -> {}", clean(path), text(&change["old"]), text(&change["new"])));
        }
    }
    Ok(())
}

/// Everything back to what the scenario says, with nothing inside; with the draws of another seed, if one is given.
///
/// # Errors
///
/// See [`Undone`].
pub async fn reset(
    stack: &RemoteStack,
    scenario: &Scenario,
    seed: Option<u64>,
    say: Say<'_>,
) -> Result<(), Undone> {
    let body = seed.map_or(json!({}), |seed| json!({ "seed": seed }));
    for service in reset_order(scenario) {
        post(stack, &service, "/reset", &body).await?;
        say(format!("{service}: as the scenario says, with nothing inside"));
    }
    Ok(())
}

async fn ask(stack: &RemoteStack, service: &str, wish: Wish) -> Result<(), Undone> {
    let (method, path, body) = crate::remote::request(&wish);
    change(stack, service, method, path, &body).await.map(drop)
}

async fn post(stack: &RemoteStack, service: &str, path: &str, body: &Value) -> Result<Value, Undone> {
    change(stack, service, Method::POST, path, body).await
}

async fn change(
    stack: &RemoteStack,
    service: &str,
    method: Method,
    path: &str,
    body: &Value,
) -> Result<Value, Undone> {
    let port = stack.port(service).map_err(Undone::Wrong)?;
    port.change(method, path, body).await.map_err(|failure| Undone::By(service.to_owned(), failure))
}
