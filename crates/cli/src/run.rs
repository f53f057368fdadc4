//! `pumphandle run`.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::bail;
use pumphandle_console::{serve_metrics, serve_run_metrics};
use pumphandle_core::Dur;
use pumphandle_core::meter::Meter;
use pumphandle_experiment::board::Board;
use pumphandle_experiment::loops;
use pumphandle_experiment::measure::{How, Measured};
use pumphandle_experiment::plan::{self, ArmPlan};
use pumphandle_experiment::presets as experiment_presets;
use pumphandle_experiment::result::{Machine, Story};
use pumphandle_experiment::run::real_clock::Health;
use pumphandle_experiment::run::remote::{Around, Controls, Stacks, Tell};
use pumphandle_experiment::scenario::read::Checked;
use pumphandle_experiment::scenario::{Mode, Scenario};
use pumphandle_experiment::story::{self, Circumstances, SHOWN};

use crate::args::{Clock, RunArguments, threads};
use crate::folder::Left;
use crate::progress::{Progress, stop_flag};
use crate::{End, folder, scenarios, screen, serve, stacks};

/// Seeds of a run in virtual time: enough for a majority to be shown (six of six), few enough to wait for.
const SEEDS: u64 = 6;

pub(crate) fn run(arguments: &RunArguments) -> anyhow::Result<End> {
    folder::usable(arguments.out.as_deref())?;
    let mut checked = scenarios::load(&arguments.scenario)?;
    scenarios::change(&mut checked, &assignments(arguments))?;
    let presets = presets(&mut checked.scenario, arguments)?;
    let arms = arms(&checked.scenario, arguments, &presets)?;
    let loops = wants_loops(&checked.scenario, arguments, arms.len())?;
    let stacks = stacks(&checked.scenario, &arms, arguments)?;
    let in_real_time = arguments.clock == Clock::Real || !stacks.is_empty();
    let count = arguments.seeds.unwrap_or(if in_real_time { 1 } else { SEEDS });
    let seeds: Vec<u64> = (0..count).map(|i| arguments.seed + i).collect();
    let stop = stop_flag();
    let keep_events = if arguments.events { arms.len() } else { usual_logs(&checked.scenario) };
    let how = How { threads: threads(arguments.jobs), stop: &stop, keep_events, keep_series: true };
    let mut measured = Measured::new(&checked.scenario, arms, true);
    if loops {
        measured = measured.with_loops(&checked.scenario, &[0]);
    }
    let runs = seeds.len() as u64 * measured.runs_per_seed() as u64;
    let mut progress = Progress::new(runs, &checked.scenario.scenario);
    match arguments.clock {
        _ if !stacks.is_empty() => against(&checked, &mut measured, &stacks, &seeds, &stop, &mut progress)?,
        Clock::Virtual => measured.extend(&checked.scenario, &seeds, &how, || progress.step()),
        Clock::Real => real(&checked.scenario, &mut measured, &seeds, &stop, &mut progress)?,
    }
    let wall = progress.finish();
    let circumstances = circumstances(arguments, &measured, count, wall.as_secs_f64());
    let story = story::story(&checked, &measured, &circumstances);
    let folder = folder::choose(arguments.out.as_deref(), &checked.scenario.scenario, &story.again);
    let left = match measured.seeds.is_empty() {
        true => Left::nothing(),
        false => folder::write(&folder, &story, &measured),
    };
    let shown = show(arguments, &story, left.at.as_deref());
    left.after(shown)?;
    Ok(end(&story))
}

/// The running stacks of `--stack`, in the order of the arms; none without it.
fn stacks(scenario: &Scenario, arms: &[ArmPlan], arguments: &RunArguments) -> anyhow::Result<Stacks> {
    if arguments.stack.is_empty() {
        return Ok(Vec::new());
    }
    if arguments.stack.len() != arms.len() {
        let (stacks, arms) = (arguments.stack.len(), arms.len());
        bail!("{stacks} stacks for {arms} arms: there is one for the control, and one for every --lever");
    }
    let token = serve::token(&arguments.token)?;
    stacks::for_run(&arguments.stack, scenario, token.as_ref())
}

/// Against services that are running.
fn against(
    checked: &Checked,
    measured: &mut Measured,
    stacks: &[(String, Arc<dyn Controls>)],
    seeds: &[u64],
    stop: &Arc<AtomicBool>,
    progress: &mut Progress,
) -> anyhow::Result<()> {
    screen::note(&format!("{} s in real time, {} stacks side by side", measured.timeline.end, stacks.len()));
    let tell: Tell = Arc::new(|sentence| screen::note(&format!("  {sentence}")));
    let around = Around { stop: Arc::clone(stop), tell, board: None };
    let ran = measured.extend_against(checked, stacks, seeds, &around, || progress.step());
    match ran {
        Ok(healths) => healths.iter().for_each(tell_health),
        // What the seeds before it measured is worth keeping.
        Err(wrong) if measured.seeds.is_empty() => return Err(stacks::of_stack("it", &wrong)),
        Err(wrong) => measured.break_off(wrong),
    }
    Ok(())
}

fn tell_health(health: &Health) {
    let lag = health.lag_p99_ms.iter().copied().fold(0.0, f64::max);
    let cpu =
        health.cpu.map_or(String::new(), |cpu| format!(", {:.0} % of the processors busy", cpu * 100.0));
    screen::note(&format!(
        "  idle timer {:.2} ms late (p99), arms at most {lag:.2} ms{cpu}",
        health.probe_p99_ms
    ));
    if let Some(dropped) = health.dropped.filter(|dropped| dropped.listen_drops > 0) {
        screen::note(&format!(
            "  the kernel dropped packets that were to open connections: ListenOverflows +{}, ListenDrops +{}, in this \
             network namespace, all arms and everybody else in it; listen_drops of a service are its own",
            dropped.listen_overflows, dropped.listen_drops
        ));
    }
}

/// Loops are measured without being asked where it makes the run at most this much longer.
const LOOPS_COST: f64 = 0.1;

/// Whether loops are measured: asked for, or as good as free.
fn wants_loops(scenario: &Scenario, arguments: &RunArguments, arms: usize) -> anyhow::Result<bool> {
    let measurable = loops::measurable(scenario);
    let in_real_time = arguments.clock == Clock::Real || !arguments.stack.is_empty();
    if arguments.loops && in_real_time {
        let other = if arguments.stack.is_empty() { "--clock real" } else { "--stack" };
        bail!("loops are measured in virtual time only: leave out --loops or {other}");
    }
    if arguments.loops && !measurable {
        bail!("{} says of no loop by what its variables are measured: see `variables`", scenario.scenario);
    }
    let cheap = !in_real_time && loops::cost(scenario, arms) < LOOPS_COST;
    Ok(measurable && (arguments.loops || cheap))
}

/// Side by side in real time, with a page of metrics for every service, and one for the run.
fn real(
    scenario: &Scenario,
    measured: &mut Measured,
    seeds: &[u64],
    stop: &Arc<AtomicBool>,
    progress: &mut Progress,
) -> anyhow::Result<()> {
    serve::more_files();
    screen::note(&format!(
        "{} s in real time, {} arms side by side",
        measured.timeline.end,
        measured.arms.len()
    ));
    let anywhere = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let labels: Vec<String> = measured.arms.iter().map(|arm| arm.plan.name.clone()).collect();
    let board = Arc::new(Board::new(&labels, scenario));
    // It outlives the runtimes of the arms, which are new for every seed.
    let runtime = serve::runtime()?;
    let page = runtime.block_on(async { serve_run_metrics(Arc::clone(&board), anywhere) });
    match page {
        Ok(address) => screen::note(&format!("  the run: http://{address}/metrics")),
        Err(error) => screen::note(&format!("  the run: no metrics page: {error}")),
    }
    let started = |arm: &str, services: Vec<(String, Arc<Meter>)>| match serve_metrics(
        services,
        arm.to_owned(),
        anywhere,
    ) {
        Ok(pages) => {
            for (service, address) in pages {
                screen::note(&format!("  {arm} {service}: http://{address}/metrics"));
            }
        }
        Err(error) => screen::note(&format!("  {arm}: no metrics page: {error}")),
    };
    let ran = measured.extend_in_real_time(scenario, seeds, stop, &started, Some(&board), || progress.step());
    runtime.shutdown_background();
    ran?.iter().for_each(tell_health);
    Ok(())
}

/// Event logs of the control and of the first treatment. A storm writes some 300 bytes per user: of a long
/// run only the digest is kept.
fn usual_logs(scenario: &Scenario) -> usize {
    let users = scenario.load.base_rate().unwrap_or(100.0) * scenario.duration.secs_f64();
    if users <= 100_000.0 { 2 } else { 0 }
}

/// Everything that the command line changes, as `path=value`.
fn assignments(arguments: &RunArguments) -> Vec<String> {
    overrides(arguments.duration, arguments.pull, &arguments.set)
}

/// `--duration`, `--pull` and `--set`, as `path=value`.
pub(crate) fn overrides(duration: Option<Dur>, pull: Option<Dur>, set: &[String]) -> Vec<String> {
    let special = |name: &str, value: Option<Dur>| value.map(|value| format!("{name}={value}"));
    special("duration", duration)
        .into_iter()
        .chain(special("pull", pull))
        .chain(set.iter().cloned())
        .collect()
}

/// Adds the asked presets to the scenario's levers; returns their names.
fn presets(scenario: &mut Scenario, arguments: &RunArguments) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for asked in &arguments.preset {
        let Some((service, name)) = asked.split_once('=') else {
            bail!("expected SERVICE=NAME, such as client=envoy, found `{asked}`");
        };
        let preset = scenarios::preset(name)?;
        names.push(experiment_presets::add(scenario, service, &preset).map_err(anyhow::Error::msg)?);
    }
    Ok(names)
}

fn arms(scenario: &Scenario, arguments: &RunArguments, presets: &[String]) -> anyhow::Result<Vec<ArmPlan>> {
    let mut arms = vec![plan::control(scenario)];
    arms.extend(plan::reference(scenario));
    let mut wanted: Vec<(String, Mode)> = Vec::new();
    if arguments.all {
        wanted.extend(plan::every_lever(scenario));
    }
    let asked = if arguments.all { &[] } else { presets };
    wanted.extend(asked.iter().map(|name| (name.clone(), Mode::Pulled)));
    wanted.extend(asked.iter().map(|name| (name.clone(), Mode::Standing)));
    for asked in &arguments.lever {
        wanted.push(plan::lever_of(scenario, asked).map_err(anyhow::Error::msg)?);
    }
    for (name, mode) in wanted {
        let arm = plan::treatment(scenario, &name, mode);
        arms.push(arm.map_err(|wrong| anyhow::anyhow!("lever `{name}`: {}", wrong[0].1))?);
    }
    Ok(arms)
}

fn circumstances(arguments: &RunArguments, measured: &Measured, seeds: u64, wall_s: f64) -> Circumstances {
    let again = command(arguments, seeds);
    let arm_seconds = measured.timeline.end as f64 * (measured.seeds.len() * measured.arms.len()) as f64;
    Circumstances {
        clock: if arguments.clock == Clock::Real || !arguments.stack.is_empty() { "real" } else { "virtual" },
        overrides: assignments(arguments),
        again,
        machine: machine(wall_s, measured.arms.iter().map(|arm| arm.attempts).sum(), arm_seconds),
        claims_at: SHOWN,
    }
}

/// The command that reproduces this run.
fn command(arguments: &RunArguments, seeds: u64) -> String {
    let mut words = vec!["pumphandle run".to_owned(), quoted(&arguments.scenario)];
    words.extend(arguments.lever.iter().map(|lever| format!("--lever {}", quoted(lever))));
    words.extend(arguments.preset.iter().map(|preset| format!("--preset {}", quoted(preset))));
    if arguments.all {
        words.push("--all".to_owned());
    }
    if arguments.loops {
        words.push("--loops".to_owned());
    }
    if arguments.clock == Clock::Real {
        words.push("--clock real".to_owned());
    }
    words.extend(arguments.stack.iter().map(|stack| format!("--stack {}", quoted(stack))));
    words.extend(arguments.duration.map(|duration| format!("--duration {duration}")));
    words.extend(arguments.pull.map(|pull| format!("--pull {pull}")));
    words.extend(arguments.set.iter().map(|set| format!("--set {}", quoted(set))));
    words.push(format!("--seeds {seeds} --seed {}", arguments.seed));
    words.join(" ")
}

pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=@%:".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// Where and by what a run was made.
pub(crate) fn machine(wall_s: f64, attempts: u64, arm_seconds: f64) -> Machine {
    Machine {
        pumphandle: env!("CARGO_PKG_VERSION").to_owned(),
        host: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        cpus: std::thread::available_parallelism().map_or(1, |n| n.get() as u64),
        wall_s,
        attempts,
        arm_seconds,
    }
}

fn show(arguments: &RunArguments, story: &Story, folder: Option<&Path>) -> anyhow::Result<()> {
    if arguments.json {
        screen::print(&format!("{}\n", serde_json::to_string_pretty(&story.result)?))?;
        return Ok(());
    }
    let report = folder.map(|folder| folder.join("report.html").display().to_string());
    let terminal = pumphandle_report::Terminal { width: screen::width(), colour: screen::colour(), report };
    screen::print(&pumphandle_report::terminal(story, &terminal))?;
    Ok(())
}

fn end(story: &Story) -> End {
    let result = &story.result;
    let is = |word: &str| result.claims.iter().any(|claim| claim.is == word);
    let invalid = !result.valid || result.arms.iter().any(|arm| !arm.valid);
    if result.partial {
        End::Interrupted
    } else if is("broken") {
        End::Broken
    } else if invalid {
        End::CouldNotMeasure
    } else {
        // Claims about levers that were not asked for are not tested here: that is what `check` is for.
        End::Held
    }
}
