//! A run in real time while the wall clock is stepped to and fro by days, as by an administrator or a bad time
//! server: `clock-steps PATH-TO-PUMPHANDLE`. Nothing below a run may notice, since only clocks that cannot be set
//! are read. The machine's own clock is left alone: libfaketime answers for it inside the process, and is told
//! to pass on the clocks that cannot be set.
//!
//! Exit codes: 0 nothing changed · 1 something did · 2 it could not be tried · 3 libfaketime is not here.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use serde_json::Value;

/// Everybody is answered within some milliseconds, ten times a second is asked.
const SCENARIO: &str = "\
scenario: steps
title: Two services with little to do
story: Somebody sets the clock.
kind: regime
slo: { latency: 2s }
duration: 10s
load: { arrivals: { poisson: 100/s } }
services:
  client: { calls: api, with: { attempt_timeout: 1s, retry: { attempts: 3, backoff: { up_to: 100ms } } } }
  api: { workers: 20, queue: { size: 100 }, service_time: { exponential: 5ms } }
";

/// How the wall clock is off, in turn: a month ahead, a year back, an hour ahead, right.
const STEPS: [&str; 4] = ["+30d", "-365d", "+3600", "+0"];
const EVERY: Duration = Duration::from_millis(150);
/// After so many, a minute, a run of ten seconds is given up.
const MOST_STEPS: usize = 400;

fn main() -> ExitCode {
    let Some(binary) = std::env::args().nth(1) else {
        eprintln!("usage: clock-steps PATH-TO-PUMPHANDLE");
        return ExitCode::from(2);
    };
    let Some(library) = library() else {
        eprintln!("libfaketime is not here: the package `faketime` has it");
        return ExitCode::from(3);
    };
    let folder = std::env::temp_dir().join(format!("pumphandle-steps-{}", std::process::id()));
    let tried = std::fs::create_dir(&folder).map_err(|error| error.to_string());
    let tried = tried.and_then(|()| compare(&binary, &library, &folder));
    // Its own folder, made above.
    let _ = std::fs::remove_dir_all(&folder);
    match tried {
        Ok(differences) if differences.is_empty() => {
            println!("the wall clock was stepped by up to a year, and nothing changed");
            ExitCode::SUCCESS
        }
        Ok(differences) => {
            println!("the wall clock was stepped, and it shows:\n  {}", differences.join("\n  "));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("it could not be tried: {error}");
            ExitCode::from(2)
        }
    }
}

/// The library, for processes of several threads.
fn library() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?.filter_map(|it| Some(it.ok()?.path()));
    folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1")).find(|library| library.exists())
}

/// The wall clock as a process sees it.
struct Clock<'a> {
    library: &'a Path,
    offset: PathBuf,
}

impl Clock<'_> {
    /// Whole or not at all: the process may read it at any moment.
    fn set(&self, offset: &str) -> std::io::Result<()> {
        let draft = self.offset.with_extension("draft");
        std::fs::write(&draft, offset)?;
        std::fs::rename(draft, &self.offset)
    }

    fn lend(&self, command: &mut Command) {
        command
            .env("LD_PRELOAD", self.library)
            .env("FAKETIME_TIMESTAMP_FILE", &self.offset)
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            // A sleep is a length, and not a date.
            .env("FAKE_SLEEP", "0");
    }

    /// The year that a process sees.
    fn year(&self) -> Result<i64, String> {
        let mut date = Command::new("date");
        self.lend(date.arg("+%s"));
        let output = date.output().map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        text.parse::<i64>()
            .map(|seconds| seconds / 31_557_600)
            .map_err(|error| format!("date: {text}: {error}"))
    }
}

/// What differs between a run with steps and one without.
fn compare(binary: &str, library: &Path, folder: &Path) -> Result<Vec<String>, String> {
    let file = folder.join("steps.yaml");
    std::fs::write(&file, SCENARIO).map_err(|error| error.to_string())?;
    let clock = Clock { library, offset: folder.join("offset") };
    let set = |offset: &str| clock.set(offset).map_err(|error| error.to_string());
    set("+0")?;
    let now = clock.year()?;
    set("-3650d")?;
    let then = clock.year()?;
    if now - then != 10 && now - then != 9 {
        return Err(format!("the clock cannot be stepped: {now} and {then} years after 1970"));
    }
    set("+0")?;
    let run = |out: &str| -> Result<Command, String> {
        let mut command = Command::new(binary);
        command
            .args(["run", "--clock", "real", "--json", "--seed", "7", "--out"])
            .arg(folder.join(out))
            .arg(&file);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(command)
    };
    let plain = run("plain")?.output().map_err(|error| format!("{binary}: {error}"))?;
    let stepped = while_stepping(&clock, run("stepped")?, false)?;
    println!("{} steps of the wall clock during the run", stepped.1);
    let found = differences("with steps of the wall clock", &plain, &stepped)?;
    // With the other clocks stepped too, it must show: else the steps do not reach the process at all.
    let all = while_stepping(&clock, run("all")?, true)?;
    let shown = match differences("with steps of every clock, which no machine makes", &plain, &all) {
        Ok(differences) => !differences.is_empty(),
        Err(_) => true,
    };
    println!("{}", if shown { "  which shows, as it should" } else { "  which does not show" });
    if shown { Ok(found) } else { Err("the steps do not reach the process".to_owned()) }
}

/// What came out, and how many steps there were: of the wall clock, or of all clocks.
fn while_stepping(clock: &Clock<'_>, mut command: Command, all: bool) -> Result<(Output, usize), String> {
    clock.lend(&mut command);
    if all {
        command.env_remove("FAKETIME_DONT_FAKE_MONOTONIC");
    }
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    // Nobody ever sends: waiting on this is waiting for the time.
    let (_keep, tick) = channel::<()>();
    let mut steps = 0;
    while child.try_wait().map_err(|error| error.to_string())?.is_none() {
        if tick.recv_timeout(EVERY) != Err(RecvTimeoutError::Timeout) {
            break;
        }
        clock.set(STEPS[steps % STEPS.len()]).map_err(|error| error.to_string())?;
        steps += 1;
        if steps == MOST_STEPS {
            // It waits for a day that does not come.
            child.kill().map_err(|error| error.to_string())?;
        }
    }
    Ok((child.wait_with_output().map_err(|error| error.to_string())?, steps))
}

fn result(output: &Output) -> Result<Value, String> {
    let told = || String::from_utf8_lossy(&output.stderr).into_owned();
    match output.status.code() {
        // 3: the machine was too busy for latencies to be believed. What is compared here does not hang on it.
        Some(0 | 3) => serde_json::from_slice(&output.stdout).map_err(|error| format!("{error}: {}", told())),
        code => Err(format!("the run ended with {code:?}: {}", told())),
    }
}

fn differences(
    what: &str,
    plain: &Output,
    (stepped, steps): &(Output, usize),
) -> Result<Vec<String>, String> {
    let (plain, stepped) = (result(plain)?, result(stepped)?);
    let mut all = Vec::new();
    // The run has ten seconds, and nobody was served in less or waited for more.
    if !(40..MOST_STEPS).contains(steps) {
        all.push(format!("it took {:.1} s", *steps as f64 * EVERY.as_secs_f64()));
    }
    let of = |run: &Value, field: &str| run["arms"][0]["outcome"][field].clone();
    if of(&plain, "arrivals") != of(&stepped, "arrivals") {
        all.push(format!("{} users instead of {}", of(&stepped, "arrivals"), of(&plain, "arrivals")));
    }
    for (name, run) in [("without steps", &plain), (what, &stepped)] {
        let good = of(run, "good_share").as_f64().unwrap_or(0.0);
        let slowest = of(run, "latency_ms")["p99"].as_f64().unwrap_or(f64::INFINITY);
        println!(
            "{name}: {} users, {:.1} % served well, p99 {slowest:.0} ms",
            of(run, "arrivals"),
            good * 100.0
        );
        // Timers that went by a clock that is set would end at once, or never.
        if good < 0.95 || slowest > 2_000.0 {
            all.push(format!("{name}, {:.1} % of the users were served well", good * 100.0));
        }
    }
    Ok(all)
}
