//! Hands on a live incident: triggers, levers and settings of a stack that is running, through its admin ports.
//! What a lever does is read from the scenario that the stack itself runs, and checked as a whole before the
//! first service is asked.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use indexmap::IndexMap;
use pumphandle_console::client::{Admin, Method};
use pumphandle_console::remote::RemoteStack;
use pumphandle_core::Dur;
use pumphandle_core::time::{self, Order};
use pumphandle_experiment::document::{clean, suggest};
use pumphandle_experiment::plan::{self, StepOf};
use pumphandle_experiment::run::remote::{Controls, Wish, of_services, reset_order};
use pumphandle_experiment::scenario::levers::Lever;
use pumphandle_experiment::scenario::read::Checked;
use pumphandle_experiment::scenario::triggers::Act;
use pumphandle_experiment::scenario::{Scenario, overrides, paths};
use serde_json::{Value, json};

use crate::args::{
    CalmArguments, LeverArguments, ResetArguments, SetArguments, StackArguments, TriggerArguments,
};
use crate::stacks::{block_on, by_hand};
use crate::{End, screen};

type Changes = IndexMap<String, Value>;

pub(crate) fn trigger(arguments: &TriggerArguments) -> anyhow::Result<End> {
    block_on(async {
        let (stack, checked) = by_hand(&arguments.stack).await?;
        let all = &checked.scenario.timeline;
        let known = all.iter().map(|it| it.trigger.as_str());
        let trigger = all
            .iter()
            .find(|it| it.trigger == arguments.trigger)
            .ok_or_else(|| unknown("trigger", &arguments.trigger, known))?;
        let Some(service) = trigger.service() else {
            bail!(
                "`{}` changes the load, which comes from the runner: no service can do that",
                trigger.trigger
            );
        };
        let lasts = arguments.lasts.or(trigger.lasts);
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
        ask(&stack, service, wish).await?;
        let lasts = lasts.map_or_else(|| ", until it is calmed".to_owned(), |lasts| format!(", for {lasts}"));
        say(&format!("{service}: {}{lasts}", trigger.words()))?;
        Ok(End::Held)
    })?
}

pub(crate) fn calm(arguments: &CalmArguments) -> anyhow::Result<End> {
    block_on(async {
        let (stack, checked) = by_hand(&arguments.stack).await?;
        for service in checked.scenario.services.keys() {
            let body = arguments.trigger.as_ref().map_or(json!({}), |trigger| json!({ "trigger": trigger }));
            let ended = port(&stack, service)?.change(Method::POST, "/calm", &body).await?;
            for name in ended["ended"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                say(&format!("{service}: {} has ended", clean(name)))?;
            }
        }
        Ok(End::Held)
    })?
}

pub(crate) fn pull(arguments: &LeverArguments) -> anyhow::Result<End> {
    block_on(async {
        let (stack, checked) = by_hand(&arguments.stack).await?;
        let lever = lever(&checked.scenario, &arguments.lever)?;
        let mut passed = Duration::ZERO;
        for StepOf { after, set, restart, kill } in plan::steps(lever) {
            if after > passed {
                say(&format!("the next step follows in {}", Dur(after - passed)))?;
                time::sleep(after - passed, Order::timeline(0)).await;
                passed = after;
            }
            change(&stack, &checked, set).await?;
            for service in restart.iter().flat_map(|restart| &restart.services) {
                let down = restart.map_or(Dur::default(), |restart| restart.down);
                ask(&stack, service, Wish::Restart(down)).await?;
                say(&format!("{service}: restarted, away for {down}"))?;
            }
            for service in kill.iter().flat_map(|kill| &kill.services) {
                let age = kill.map_or(Dur::default(), |kill| kill.older_than);
                ask(&stack, service, Wish::Kill(age)).await?;
                say(&format!("{service}: work of {age} and older ended"))?;
            }
        }
        Ok(End::Held)
    })?
}

pub(crate) fn unpull(arguments: &LeverArguments) -> anyhow::Result<End> {
    block_on(async {
        let (stack, checked) = by_hand(&arguments.stack).await?;
        let lever = lever(&checked.scenario, &arguments.lever)?;
        let set: Changes = plan::steps(lever)
            .iter()
            .flat_map(|step| step.set.keys())
            .map(|path| (path.clone(), Value::Null))
            .collect();
        if set.is_empty() {
            bail!("lever `{}` changes no setting: there is nothing to put back", arguments.lever);
        }
        change(&stack, &checked, &set).await?;
        Ok(End::Held)
    })?
}

pub(crate) fn set(arguments: &SetArguments) -> anyhow::Result<End> {
    let mut set = Changes::new();
    for assignment in &arguments.set {
        let (path, value) = overrides::assigned(assignment).map_err(anyhow::Error::msg)?;
        if set.insert(path.to_owned(), value).is_some() {
            bail!("`{path}` is set twice");
        }
    }
    block_on(async {
        let (stack, checked) = by_hand(&arguments.stack).await?;
        change(&stack, &checked, &set).await?;
        Ok(End::Held)
    })?
}

pub(crate) fn reset(arguments: &ResetArguments) -> anyhow::Result<End> {
    block_on(async {
        let (stack, checked) = by_hand(&arguments.stack).await?;
        let body = arguments.seed.map_or(json!({}), |seed| json!({ "seed": seed }));
        for service in reset_order(&checked.scenario) {
            port(&stack, &service)?.change(Method::POST, "/reset", &body).await?;
            say(&format!("{service}: as the scenario says, with nothing inside"))?;
        }
        Ok(End::Held)
    })?
}

pub(crate) fn state(arguments: &StackArguments) -> anyhow::Result<End> {
    block_on(async {
        let (stack, checked) = by_hand(arguments).await?;
        let mut out = String::new();
        for service in checked.scenario.services.keys() {
            let about = port(&stack, service)?.get("/").await?;
            let text = |value: &Value| clean(value.as_str().unwrap_or_default());
            writeln!(
                out,
                "{service}  up {:.0} s, seed {}",
                about["up_s"].as_f64().unwrap_or(0.0),
                clean(&about["seed"].to_string())
            )?;
            for trigger in about["triggers"].as_array().into_iter().flatten() {
                writeln!(out, "  trigger {}: {}", text(&trigger["trigger"]), text(&trigger["does"]))?;
            }
            for (path, change) in about["changed"].as_object().into_iter().flatten() {
                writeln!(
                    out,
                    "  {}: {} (scenario: {})",
                    clean(path),
                    text(&change["now"]),
                    text(&change["scenario"])
                )?;
            }
        }
        screen::print(&out)?;
        Ok(End::Held)
    })?
}

pub(crate) fn healthcheck(url: &str) -> anyhow::Result<End> {
    let port = Admin::at(url, None, "healthcheck").map_err(anyhow::Error::msg)?;
    block_on(async { port.text("/healthz").await })?.with_context(|| format!("{url} is not well"))?;
    Ok(End::Held)
}

fn port<'a>(stack: &'a RemoteStack, service: &str) -> anyhow::Result<&'a Admin> {
    stack.port(service).map_err(anyhow::Error::msg)
}

async fn ask(stack: &RemoteStack, service: &str, wish: Wish) -> anyhow::Result<()> {
    stack.ask(service, wish).await.map_err(|sentence| anyhow!("{service}: {sentence}"))
}

/// Changes settings of one or more services. All of it is checked against the scenario before the first is
/// asked; each service changes all of its own at once.
async fn change(stack: &RemoteStack, checked: &Checked, set: &Changes) -> anyhow::Result<()> {
    if set.is_empty() {
        return Ok(());
    }
    let mut now = Scenario::clone(&checked.scenario).services;
    // What is in force, since a change may only make sense together with an earlier one.
    for service in of_services(set).keys().filter(|service| checked.scenario.services.contains_key(*service))
    {
        let settings = port(stack, service)?.get("/settings").await?;
        if let Ok(settings) = serde_json::from_value(settings[service].clone()) {
            now[service] = settings;
        }
    }
    let to_values: Changes =
        set.iter().filter(|(_, value)| !value.is_null()).map(|(k, v)| (k.clone(), v.clone())).collect();
    if let Err(problems) = paths::set_all(&mut now, &to_values) {
        let lines: Vec<String> =
            problems.iter().map(|problem| format!("\n  {}: {}", problem.path, problem.message)).collect();
        bail!("nothing was changed:{}", lines.concat());
    }
    for (service, set) in of_services(set) {
        let (port, body) = (port(stack, &service)?, json!(set));
        let done = port.change(Method::PATCH, "/settings", &body).await;
        let done = done.with_context(|| format!("{service} was not changed"))?;
        for (path, change) in done["changed"].as_object().into_iter().flatten() {
            let text = |value: &Value| clean(value.as_str().unwrap_or_default());
            say(&format!("{}: {} -> {}", clean(path), text(&change["old"]), text(&change["new"])))?;
        }
    }
    Ok(())
}

fn lever<'a>(scenario: &'a Scenario, name: &str) -> anyhow::Result<&'a Lever> {
    let known = scenario.levers.keys().map(String::as_str);
    scenario.levers.get(name).ok_or_else(|| unknown("lever", name, known))
}

fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str> + Clone) -> anyhow::Error {
    match suggest(name, known.clone()) {
        Some(close) => anyhow!("no such {what}: `{name}`; did you mean `{close}`?"),
        None => anyhow!("no such {what}: `{name}`; there is {}", known.collect::<Vec<_>>().join(", ")),
    }
}

fn say(text: &str) -> anyhow::Result<()> {
    screen::print(&format!("{text}\n"))
}
