//! Hands on a live incident, from the command line. What they do is `console`'s: here are arguments and printing.
//! Which scenario a stack runs, it says itself.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, bail};
use pumphandle_console::client::Admin;
use pumphandle_console::hands::{self, Changes, Say, Undone};
use pumphandle_console::remote::RemoteStack;
use pumphandle_core::Dur;
use pumphandle_core::time::{self, Order};
use pumphandle_experiment::document::clean;
use pumphandle_experiment::plan;
use pumphandle_experiment::scenario::{Scenario, overrides};
use serde_json::Value;

use crate::args::{
    CalmArguments, LeverArguments, ResetArguments, SetArguments, StackArguments, TriggerArguments,
};
use crate::stacks::{block_on, by_hand};
use crate::{End, screen};

/// Does `what` on the stack that the arguments name, and prints what was done as it is done.
fn on(
    arguments: &StackArguments,
    what: impl AsyncFnOnce(&RemoteStack, &Scenario, Say<'_>) -> Result<(), Undone>,
) -> anyhow::Result<End> {
    block_on(async {
        let (stack, checked) = by_hand(arguments).await?;
        let mut printed = Ok(());
        let mut say = |text: String| {
            let now = screen::print(&format!("{text}\n"));
            if printed.is_ok() {
                printed = now;
            }
        };
        what(&stack, &checked.scenario, &mut say).await?;
        printed.map(|()| End::Held)
    })?
}

pub(crate) fn trigger(arguments: &TriggerArguments) -> anyhow::Result<End> {
    on(&arguments.stack, async |stack, scenario, say| {
        hands::trigger(stack, scenario, &arguments.trigger, arguments.lasts, say).await
    })
}

pub(crate) fn calm(arguments: &CalmArguments) -> anyhow::Result<End> {
    on(&arguments.stack, async |stack, scenario, say| {
        hands::calm(stack, scenario, arguments.trigger.as_deref(), say).await
    })
}

pub(crate) fn pull(arguments: &LeverArguments) -> anyhow::Result<End> {
    on(&arguments.stack, async |stack, scenario, say| {
        let mut passed = Duration::ZERO;
        for step in plan::steps(hands::lever(scenario, &arguments.lever)?) {
            if step.after > passed {
                say(format!("the next step follows in {}", Dur(step.after - passed)));
                time::sleep(step.after - passed, Order::timeline(0)).await;
                passed = step.after;
            }
            hands::step(stack, scenario, &step, say).await?;
        }
        Ok(())
    })
}

pub(crate) fn unpull(arguments: &LeverArguments) -> anyhow::Result<End> {
    on(&arguments.stack, async |stack, scenario, say| {
        hands::unpull(stack, scenario, &arguments.lever, say).await
    })
}

pub(crate) fn set(arguments: &SetArguments) -> anyhow::Result<End> {
    let mut set = Changes::new();
    for assignment in &arguments.set {
        let (path, value) = overrides::assigned(assignment).map_err(anyhow::Error::msg)?;
        if set.insert(path.to_owned(), value).is_some() {
            bail!("`{path}` is set twice");
        }
    }
    on(&arguments.stack, async |stack, scenario, say| hands::set(stack, scenario, &set, say).await)
}

pub(crate) fn reset(arguments: &ResetArguments) -> anyhow::Result<End> {
    on(&arguments.stack, async |stack, scenario, say| {
        hands::reset(stack, scenario, arguments.seed, say).await
    })
}

pub(crate) fn state(arguments: &StackArguments) -> anyhow::Result<End> {
    block_on(async {
        let (stack, checked) = by_hand(arguments).await?;
        let mut out = String::new();
        for service in checked.scenario.services.keys() {
            let about = stack.port(service).map_err(anyhow::Error::msg)?.get("/").await?;
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
