//! `pumphandle serve runner`: arguments in, folders out. The runs are `experiment`'s, the port is `console`'s.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, anyhow, bail};
use pumphandle_console::remote::RemoteStack;
use pumphandle_console::{Link, Ports, serve_runner};
use pumphandle_experiment::live::{Refused, listen};
use pumphandle_experiment::measure::Measured;
use pumphandle_experiment::run::remote::Stacks;
use pumphandle_experiment::runner::{Runner, Setup, ToKeep};
use pumphandle_experiment::story::{self, Circumstances, SHOWN};

use crate::args::RunnerArguments;
use crate::run::{machine, overrides, quoted};
use crate::{End, folder, scenarios, screen, serve, stacks};

/// Runs whose folders are kept; the oldest goes first.
const KEPT: usize = 20;

pub(crate) fn serve(arguments: &RunnerArguments) -> anyhow::Result<End> {
    let mut checked = scenarios::load(&arguments.scenario)?;
    scenarios::change(&mut checked, &assignments(arguments))?;
    let token = serve::token(&arguments.token)?;
    let ports = stacks::ports_of(&arguments.stack, &checked.scenario, token.as_ref())?;
    if ports.len() > 2 {
        bail!("{} stacks: there is the control, and one to pull a lever on", ports.len());
    }
    let links = arguments.link.iter().map(|link| read_link(link)).collect::<anyhow::Result<Vec<_>>>()?;
    let guard = serve::guard(arguments.admin, token, &arguments.host)?;
    let setup = Setup {
        checked,
        stacks: ports.iter().map(|stack| stack.stack.clone()).collect(),
        // An empty variable of the environment is none.
        lever: arguments.lever.clone().filter(|lever| !lever.is_empty()),
        seed: arguments.seed,
        wait: arguments.wait,
        again: arguments.again,
        pause: arguments.pause.0,
    };
    let runner = Arc::new(
        Runner::new(setup, Box::new(|sentence| screen::note(&format!("  {sentence}")))).map_err(wrong)?,
    );
    serve::more_files();
    let runtime = serve::runtime()?;
    runtime.block_on(async {
        let admin = listen(arguments.admin)
            .with_context(|| format!("the admin port {} cannot be had", arguments.admin))?;
        let at = admin.local_addr()?;
        serve_runner(admin, Arc::clone(&runner), ports.clone(), links, guard);
        screen::print(&format!("the runner: http://{at}\n"))?;
        let conducting = conduct(&runner, ports, arguments);
        let told = serve::until_told().await;
        // The run under way is ended, its stacks are put back, and what it measured is kept.
        runner.end();
        let ended = conducting.join().map_err(|_| anyhow!("the runner panicked"));
        told.and(ended)
    })?;
    runtime.shutdown_background();
    Ok(End::Held)
}

/// A thread that conducts runs until the runner is told to end.
fn conduct(
    runner: &Arc<Runner>,
    ports: Vec<Ports>,
    arguments: &RunnerArguments,
) -> std::thread::JoinHandle<()> {
    let runner = Arc::clone(runner);
    let folders = Folders::new(arguments);
    std::thread::spawn(move || {
        let services: Vec<String> = runner.setup().checked.scenario.services.keys().cloned().collect();
        let find = move || find(&ports, &services);
        let keep = move |of: &ToKeep<'_>| folders.keep(of).map_err(|error| format!("{error:#}"));
        runner.conduct(&find, &keep);
    })
}

fn find(ports: &[Ports], services: &[String]) -> Result<Stacks, Vec<String>> {
    let mut found: Stacks = Vec::new();
    let mut missing = Vec::new();
    for Ports { stack, ports } in ports {
        let looked = stacks::block_on(RemoteStack::find(ports.clone(), services));
        match looked.map_err(|error| vec![error.to_string()]).and_then(|found| found) {
            Ok(there) => found.push((stack.clone(), Arc::new(there))),
            Err(wrong) => missing.extend(wrong.into_iter().map(|sentence| format!("{stack}: {sentence}"))),
        }
    }
    if missing.is_empty() { Ok(found) } else { Err(missing) }
}

fn wrong(refused: Refused) -> anyhow::Error {
    match refused {
        Refused::Wrong(problems) => {
            let sentences: Vec<String> = problems
                .into_iter()
                .map(|told| {
                    let path = if told.path.is_empty() { String::new() } else { format!("{}: ", told.path) };
                    format!("{path}{}", told.message)
                })
                .collect();
            anyhow!("{}", sentences.join("; "))
        }
        Refused::Unknown(sentence) | Refused::Conflict(sentence) => anyhow!(sentence),
    }
}

/// A link of the page. Other schemes could act when somebody follows them.
fn read_link(text: &str) -> anyhow::Result<Link> {
    let link = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, url) = link.with_context(|| format!("--link {text}: expected NAME=URL"))?;
    if !url.starts_with("http://") && !url.starts_with("https://") {
        bail!("--link {text}: an address begins with http:// or https://");
    }
    Ok(Link { name: name.to_owned(), url: url.to_owned() })
}

/// Everything that the command line changes, as `path=value`.
fn assignments(arguments: &RunnerArguments) -> Vec<String> {
    overrides(arguments.duration, arguments.pull, &arguments.set)
}

/// Where results are kept.
struct Folders {
    out: Option<PathBuf>,
    overrides: Vec<String>,
    scenario: String,
    stacks: Vec<String>,
    /// Those of this process, oldest first.
    kept: Mutex<VecDeque<PathBuf>>,
}

impl Folders {
    fn new(arguments: &RunnerArguments) -> Folders {
        Folders {
            out: arguments.out.clone(),
            overrides: assignments(arguments),
            scenario: arguments.scenario.clone(),
            stacks: arguments.stack.clone(),
            kept: Mutex::default(),
        }
    }

    /// Leaves a run's folder, and that of all runs that ask the same. Says where the first one is.
    fn keep(&self, of: &ToKeep<'_>) -> anyhow::Result<Option<String>> {
        let Some(out) = &self.out else { return Ok(None) };
        let lever = of.lever.unwrap_or("control").replace('@', "-");
        let folder = out.join(format!("{}-{lever}-seed-{}", of.checked.scenario.scenario, of.seed));
        self.write(&folder, of, of.one)?;
        if !of.all.seeds.is_empty() {
            self.write(&out.join("together"), of, of.all)?;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|other| *other != folder);
        kept.push_back(folder.clone());
        while kept.len() > KEPT {
            if let Some(oldest) = kept.pop_front() {
                fs::remove_dir_all(&oldest)
                    .with_context(|| format!("{} could not be removed", oldest.display()))?;
            }
        }
        Ok(Some(folder.display().to_string()))
    }

    fn write(&self, folder: &Path, of: &ToKeep<'_>, measured: &Measured) -> anyhow::Result<()> {
        let overrides: Vec<String> = self.overrides.iter().chain(of.changes).cloned().collect();
        let arm_seconds = measured.timeline.end as f64 * (measured.seeds.len() * measured.arms.len()) as f64;
        let attempts = measured.arms.iter().map(|arm| arm.attempts).sum();
        let around = Circumstances {
            clock: "real",
            again: self.again(of, &overrides, measured),
            overrides,
            machine: machine(arm_seconds / measured.arms.len().max(1) as f64, attempts, arm_seconds),
            claims_at: SHOWN,
        };
        folder::write(folder, &story::story(of.checked, measured, &around), measured).after(Ok(()))
    }

    /// The command that runs the same against the same stacks.
    fn again(&self, of: &ToKeep<'_>, overrides: &[String], measured: &Measured) -> String {
        let mut words = vec!["pumphandle run".to_owned(), quoted(&self.scenario)];
        words.extend(of.lever.map(|lever| format!("--lever {}", quoted(lever))));
        words.extend(self.stacks.iter().map(|stack| format!("--stack {}", quoted(stack))));
        words.extend(overrides.iter().map(|change| format!("--set {}", quoted(change))));
        words.push(format!(
            "--seeds {} --seed {}",
            measured.seeds.len(),
            measured.seeds.first().unwrap_or(&1)
        ));
        words.join(" ")
    }
}
