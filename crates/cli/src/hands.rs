//! Hands on a live incident, from the command line. What they do is `console`'s: here are arguments and printing.
//! Which scenario a stack runs, it says itself.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, bail};
use pumphandle_console::client::Admin;
use pumphandle_console::hands::{self, Changes, clean};
use pumphandle_core::Dur;
use pumphandle_core::time::{self, Order};
use pumphandle_experiment::plan;
use pumphandle_experiment::scenario::overrides;
use serde_json::Value;

use crate::args::{
    CalmArguments, LeverArguments, ResetArguments, SetArguments, StackArguments, TriggerArguments,
};
use crate::stacks::{block_on, by_hand};
use crate::{End, screen};

pub(crate) fn trigger(arguments: &TriggerArguments) -> anyhow::Result<End> {
    block_on(async {
        let (stack, checked) = by_hand(&arguments.stack).await?;
        let name = &arguments.trigger;
        hands::trigger(&stack, &checked.scenario, name, arguments.lasts, &mut say).await?;
        Ok(End::Held)
    })?
}

pub(crate) fn calm(arguments: &CalmArguments) -> anyhow::Result<End> {
    block_on(async {
        let (stack, checked) = by_hand(&arguments.stack).await?;
        hands::calm(&stack, &checked.scenario, arguments.trigger.as_deref(), &mut say).await?;
        Ok(End::Held)
    })?
}

pub(crate) fn pull(arguments: &LeverArguments) -> anyhow::Result<End> {
    block_on(async {
        let (stack, checked) = by_hand(&arguments.stack).await?;
        let mut passed = Duration::ZERO;
        for step in plan::steps(hands::lever(&checked.scenario, &arguments.lever)?) {
            if step.after > passed {
                say(format!("the next step follows in {}", Dur(step.after - passed)));
                time::sleep(step.after - passed, Order::timeline(0)).await;
                passed = step.after;
            }
            hands::step(&stack, &checked.scenario, &step, &mut say).await?;
        }
        Ok(End::Held)
    })?
}

pub(crate) fn unpull(arguments: &LeverArguments) -> anyhow::Result<End> {
    block_on(async {
        let (stack, checked) = by_hand(&arguments.stack).await?;
        hands::unpull(&stack, &checked.scenario, &arguments.lever, &mut say).await?;
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
        hands::set(&stack, &checked.scenario, &set, &mut say).await?;
        Ok(End::Held)
    })?
}

pub(crate) fn reset(arguments: &ResetArguments) -> anyhow::Result<End> {
    block_on(async {
        let (stack, checked) = by_hand(&arguments.stack).await?;
        hands::reset(&stack, &checked.scenario, arguments.seed, &mut say).await?;
        Ok(End::Held)
    })?
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
                about["seed"]
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
        screen::print(&out);
        Ok(End::Held)
    })?
}

pub(crate) fn healthcheck(url: &str) -> anyhow::Result<End> {
    let port = Admin::at(url, None, "healthcheck").map_err(anyhow::Error::msg)?;
    block_on(async { port.text("/healthz").await })?.with_context(|| format!("{url} is not well"))?;
    Ok(End::Held)
}

fn say(text: String) {
    screen::print(&format!("{text}\n"));
}
