//! `pumphandle serve`: one service of a scenario as a process of its own; and what all that serve have in common.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use pumphandle_console::remote::{by_rule, is_rule};
use pumphandle_console::{Guard, Token, serve_control, serve_nobody};
use pumphandle_core::time::Origin;
use pumphandle_experiment::live::{Desk, listen};

use crate::args::{ServeArguments, ServeCommand, ServeRunner, TokenArguments};
use crate::{End, runner, scenarios, screen};

pub(crate) fn serve(command: &ServeCommand) -> anyhow::Result<End> {
    match (&command.runner, &command.service) {
        (Some(ServeRunner::Runner(arguments)), _) => runner::serve(arguments),
        (None, arguments) => service(arguments),
    }
}

fn service(arguments: &ServeArguments) -> anyhow::Result<End> {
    let (Some(scenario), Some(wanted)) = (&arguments.scenario, &arguments.service) else {
        bail!("serve what? A service of a scenario, or `runner`");
    };
    let (_, text) = scenarios::text(scenario)?;
    let mut checked = scenarios::load(scenario)?;
    scenarios::change(&mut checked, &arguments.set)?;
    let token = token(&arguments.token)?;
    let name = checked.scenario.scenario.clone();
    let services: Vec<String> = checked.scenario.services.keys().cloned().collect();
    let service = seated(wanted, &services);
    let ways = Ways::read(&arguments.at, services)?;
    let guard = guard(arguments.admin, token, &arguments.host)?;
    more_files();
    let runtime = runtime()?;
    runtime.block_on(async {
        let port = |what: &str, at: SocketAddr| {
            listen(at).with_context(|| format!("the {what} port {at} cannot be had"))
        };
        let admin = port("admin", arguments.admin)?;
        let (admin_at, stack) = (admin.local_addr()?, &arguments.stack);
        // One line, once it answers: for whoever started it with ports that the system chose.
        match service {
            Seat::Of(service) => {
                let data = port("data", arguments.data)?;
                let (data_at, at) = (data.local_addr()?, |callee: &str| ways.to(callee));
                let desk = Desk::start(checked, &service, arguments.seed, at, data);
                serve_control(admin, desk.map_err(anyhow::Error::msg)?, stack.clone(), text, data_at, guard);
                let line = format!("{service} of {stack}: calls at {data_at}, admin at http://{admin_at}\n");
                screen::print(&line)?;
            }
            Seat::Empty(place) => {
                let why = format!(
                    "place {place} of {stack} is empty: {} has {} services",
                    name,
                    ways.services.len()
                );
                serve_nobody(admin, &why, guard);
                screen::print(&format!("{why}; admin at http://{admin_at}\n"))?;
            }
        }
        until_told().await
    })?;
    // What is under way is lost, as when any process ends.
    runtime.shutdown_background();
    Ok(End::Held)
}

/// Every call under way takes two sockets; the usual limit of 1024 files is soon reached.
pub(crate) fn more_files() {
    let files = rlimit::increase_nofile_limit(1 << 16).unwrap_or(0);
    if files < 8192 {
        screen::note(&format!("this system allows only {files} open files: a storm may need more"));
    }
}

/// A runtime whose threads, and this one, are on the real clock.
pub(crate) fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    let origin = Origin::after(Duration::ZERO);
    origin.enter();
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .on_thread_start(move || origin.enter())
        .build()
}

/// Waits for the system to ask for an end.
pub(crate) async fn until_told() -> anyhow::Result<()> {
    #[cfg(unix)]
    {
        let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            biased;
            _ = terminated.recv() => {}
            interrupted = tokio::signal::ctrl_c() => interrupted?,
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await?;
    Ok(())
}

/// Bytes of a file with a token that are read.
const MAX_TOKEN: u64 = 4096;
/// Who may do what at an admin port.
pub(crate) fn guard(at: SocketAddr, token: Option<Token>, hosts: &[String]) -> anyhow::Result<Guard> {
    Guard::new(at, token, hosts)
        .map_err(|sentence| anyhow!("{sentence}: give PUMPHANDLE_TOKEN, or --token-file"))
}

/// The token from the environment or from a file. Not from the command line, which everybody on the machine
/// can read.
pub(crate) fn token(arguments: &TokenArguments) -> anyhow::Result<Option<Token>> {
    let read = |file: &Path| {
        let bytes = scenarios::bytes(file, MAX_TOKEN)?;
        String::from_utf8(bytes).map_err(|_| anyhow!("{} is not a text file", file.display()))
    };
    let text = match &arguments.token_file {
        Some(file) => Some(read(file)?),
        None => std::env::var("PUMPHANDLE_TOKEN").ok().filter(|text| !text.is_empty()),
    };
    text.map(|text| Token::new(&text).map_err(anyhow::Error::msg)).transpose()
}

/// Who sits where `serve` was told to.
enum Seat {
    Of(String),
    /// A place, counted from 1, beyond the last service.
    Empty(usize),
}

/// Reads a service's name, or its place in the scenario. Names begin with a letter.
fn seated(text: &str, services: &[String]) -> Seat {
    match text.parse::<usize>() {
        Ok(place) if place > services.len() => Seat::Empty(place),
        Ok(place) if place > 0 => Seat::Of(services[place - 1].clone()),
        _ => Seat::Of(text.to_owned()),
    }
}

/// Where services are found: one by one, or by a rule.
struct Ways {
    services: Vec<String>,
    rule: String,
    ones: Vec<(String, String)>,
}

impl Ways {
    /// Reads every `--at`: `api=127.0.0.1:7001`, or a rule such as `control-{service}:7000`.
    fn read(at: &[String], services: Vec<String>) -> anyhow::Result<Ways> {
        let mut ways = Ways { services, rule: "{service}:7000".to_owned(), ones: Vec::new() };
        for text in at {
            match text.split_once('=') {
                Some((service, address)) if ways.services.iter().any(|known| known == service) => {
                    ways.ones.push((service.to_owned(), address.to_owned()));
                }
                Some((service, _)) => {
                    bail!("--at {text}: no such service: `{service}`; there is {}", ways.services.join(", "))
                }
                None if is_rule(text) => ways.rule.clone_from(text),
                None => {
                    bail!(
                        "--at {text}: expected SERVICE=HOST:PORT, or a rule with {{service}} or {{place}} in it"
                    )
                }
            }
        }
        Ok(ways)
    }

    fn to(&self, service: &str) -> String {
        let one = self.ones.iter().rev().find(|(name, _)| name == service);
        let index = self.services.iter().position(|name| name == service).unwrap_or_default();
        one.map_or_else(|| by_rule(&self.rule, index, service), |(_, address)| address.clone())
    }
}
