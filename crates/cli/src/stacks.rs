//! Running stacks, as the command line names them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use pumphandle_console::client::Admin;
use pumphandle_console::remote::{RemoteStack, ports};
use pumphandle_console::{Ports, Token};
use pumphandle_core::time::Origin;
use pumphandle_experiment::run::remote::Stacks;
use pumphandle_experiment::scenario::Scenario;
use pumphandle_experiment::scenario::read::{self, Checked};

use crate::args::StackArguments;
use crate::{scenarios, screen, serve};

/// What services write into their timelines.
const WHO: &str = "pumphandle";

/// Runs `what` on a small runtime on the real clock.
pub(crate) fn block_on<T>(what: impl Future<Output = T>) -> anyhow::Result<T> {
    Origin::after(Duration::ZERO).enter();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(what))
}

/// The admin ports of every `--stack`, the control's first.
pub(crate) fn ports_of(
    specs: &[String],
    scenario: &Scenario,
    token: Option<&Token>,
) -> anyhow::Result<Vec<Ports>> {
    let services: Vec<String> = scenario.services.keys().cloned().collect();
    let mut stacks: Vec<Ports> = Vec::new();
    for spec in specs {
        let (name, urls) = spec.split_once('=').with_context(|| {
            format!("--stack {spec}: expected NAME=URL, such as control=http://control-{{service}}:9100")
        })?;
        if stacks.iter().any(|known| known.stack == name) {
            bail!("--stack {name}: there are two of that name");
        }
        let ports = ports(urls, &services, token, WHO).map_err(anyhow::Error::msg)?;
        stacks.push(Ports { stack: name.to_owned(), ports });
    }
    let control = stacks.iter().position(|stack| stack.stack == "control");
    let control = control.context("one --stack is called control: the one without a lever")?;
    let control = stacks.remove(control);
    stacks.insert(0, control);
    Ok(stacks)
}

/// The stacks of `run --stack`, the control's first, by name.
pub(crate) fn for_run(
    specs: &[String],
    scenario: &Scenario,
    token: Option<&Token>,
) -> anyhow::Result<Stacks> {
    let services: Vec<String> = scenario.services.keys().cloned().collect();
    let mut stacks: Stacks = Vec::new();
    for Ports { stack: name, ports } in ports_of(specs, scenario, token)? {
        let stack =
            block_on(RemoteStack::find(ports, &services))?.map_err(|wrong| of_stack(&name, &wrong))?;
        stacks.push((name, Arc::new(stack)));
    }
    Ok(stacks)
}

/// What is wrong with a stack, a line each.
pub(crate) fn of_stack(name: &str, wrong: &[String]) -> anyhow::Error {
    let lines: Vec<String> = wrong.iter().map(|sentence| format!("\n  {sentence}")).collect();
    anyhow!("{name} cannot be run against:{}\nnothing was run", lines.concat())
}

/// The stack that a person lays hands on, and the scenario that it runs.
pub(crate) async fn by_hand(arguments: &StackArguments) -> anyhow::Result<(RemoteStack, Checked)> {
    let token = serve::token(&arguments.token)?;
    let urls = arguments.stack.split_once('=').filter(|(name, _)| !name.contains(['/', ':']));
    let urls = urls.map_or(arguments.stack.as_str(), |(_, urls)| urls);
    let named = match &arguments.scenario {
        Some(scenario) => scenarios::load(scenario)?.scenario.services.keys().cloned().collect(),
        None => Vec::new(),
    };
    let ports = ports(urls, &named, token.as_ref(), WHO)
        .map_err(|sentence| anyhow!("{sentence}; give --scenario"))?;
    let checked = scenario_of(&ports[0]).await?;
    let services: Vec<String> = checked.scenario.services.keys().cloned().collect();
    let stack = RemoteStack::find(ports, &services).await;
    Ok((stack.map_err(|wrong| anyhow!("the stack is not whole: {}", wrong.join("; ")))?, checked))
}

/// The scenario that a service runs, as it says itself.
async fn scenario_of(port: &Admin) -> anyhow::Result<Checked> {
    let text = port.text("/scenario").await?;
    Ok(read::read(&format!("{}/scenario", port.authority()), &text, screen::error_style())?)
}
