//! Measures the rig on this machine and prints the table of figures as Markdown: what, measured, bar, goal.
//! Usage: `performance PATH-TO-PUMPHANDLE`, or without the path for the rows that need no binary.
//!
//! Speeds are attempts per second of processor time, which neighbours change little (by sharing caches and
//! cores' units), and the best of several runs, since a neighbour can only make a simulation slower. What a
//! person waits for is wall time, and needs a machine that does nothing else; its processor time stands
//! beside it. Linux only: both come from /proc.

#![allow(clippy::disallowed_methods, reason = "this measures wall time, and nothing else")]

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use pumphandle_benches::machine::{machine, process_cpu_s};
use pumphandle_benches::{Defences, Sent, attempts, run, send, storm};

/// Runs per row; the best counts.
const TRIES: usize = 5;
/// Length of each run over TCP.
const SECONDS_OF_REAL_TIME: u64 = 10;
/// Arrivals per second that are tried over TCP, until one is not held.
const RATES: [u32; 9] = [3_000, 4_000, 5_000, 6_000, 8_000, 10_000, 12_500, 15_000, 20_000];

fn main() -> ExitCode {
    println!("{}\n", machine());
    println!("| what | measured | bar | goal |\n|---|---:|---:|---:|");
    for (defences, bar, goal) in [
        (Defences::None, None, None),
        (Defences::Incident, None, None),
        (Defences::Usual, Some(400_000.0), Some(700_000.0)),
        (Defences::Shelf, Some(200_000.0), Some(400_000.0)),
    ] {
        speed(defences, bar, goal);
    }
    three_hours();
    if let Err(error) = real_time() {
        eprintln!("real time could not be measured: {error}");
        return ExitCode::from(2);
    }
    match std::env::args().nth(1) {
        None => ExitCode::SUCCESS,
        Some(binary) => commands(Path::new(&binary)),
    }
}

/// One arm of 300 s, attempts sent by the client per second of wall time, on one core.
fn speed(defences: Defences, bar: Option<f64>, goal: Option<f64>) {
    let scenario = storm(defences, 300);
    let best = (0..TRIES)
        .map(|_| {
            let begun = thread_cpu_s();
            let run = run(&scenario, 1);
            attempts(&run) as f64 / (thread_cpu_s() - begun)
        })
        .fold(0.0, f64::max);
    let thousands = |rate: Option<f64>| rate.map_or("-".to_owned(), |r| format!("{:.0},000/s", r / 1e3));
    println!(
        "| virtual speed, one core, {} layers on: attempts sent by the client | {} | {} | {} |",
        defences.layers(),
        thousands(Some(best)),
        thousands(bar),
        thousands(goal)
    );
}

/// The storm of three hours and ten minutes: time, and the memory of this process when it is over.
fn three_hours() {
    let begun = thread_cpu_s();
    let run = run(&storm(Defences::Incident, 11_400), 1);
    let took = thread_cpu_s() - begun;
    let millions = attempts(&run) as f64 / 1e6;
    println!(
        "| a storm of three hours ({millions:.1} million attempts), one arm | {took:.1} s | 15 s | 6 s |"
    );
    println!("| most memory of all runs so far (VmHWM) | {} | 200 MB | 60 MB |", megabytes(peak_kb("self")));
}

/// Over TCP: how late users are sent, and how many per second can be.
fn real_time() -> std::io::Result<()> {
    // Every call under way takes two sockets per hop.
    let _ = rlimit::increase_nofile_limit(1 << 16);
    let usual = send(2_000, SECONDS_OF_REAL_TIME)?;
    println!(
        "| real clock, 2,000 arrivals/s through client, api, db: begun late beyond an idle timer, p99 \
         | {:.2} ms (the timer itself: {:.2} ms) | 2 ms | 0.5 ms |",
        usual.lag_ms, usual.probe_ms
    );
    let mut held = None;
    for rate in RATES {
        if !holds(rate)? {
            break;
        }
        held = Some(rate);
    }
    let held = held.map_or("none held".to_owned(), |rate| format!("{rate}/s"));
    println!("| real clock: most arrivals/s before that exceeds 5 ms | {held} | 5,000/s | 15,000/s |");
    Ok(())
}

/// Whether the rate is held, in the best of three tries: a neighbour can only make it later.
fn holds(rate: u32) -> std::io::Result<bool> {
    for _ in 0..3 {
        let Sent { lag_ms, probe_ms, good_share } = send(rate, SECONDS_OF_REAL_TIME)?;
        let good = good_share * 100.0;
        eprintln!("{rate}/s: {lag_ms:.2} ms late beyond an idle timer ({probe_ms:.2} ms), {good:.2} % good");
        if lag_ms <= 5.0 && good_share >= 0.99 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What a person waits for.
fn commands(binary: &Path) -> ExitCode {
    let scratch = std::env::temp_dir().join(format!("pumphandle-performance-{}", std::process::id()));
    let folder = scratch.display();
    let rows = [
        (
            "`run retry-storm --all --seeds 20`",
            format!("run retry-storm --all --seeds 20 --out {folder}"),
            "45 s",
            "15 s",
        ),
        ("`run retry-storm --all`", format!("run retry-storm --all --out {folder}"), "-", "5 s"),
        (
            "`run retry-storm --lever disable-retries --duration 3h10m --pull 3h --seeds 1`, two arms",
            format!(
                "run retry-storm --lever disable-retries --duration 3h10m --pull 3h --seeds 1 --out {folder}"
            ),
            "15 s",
            "6 s",
        ),
    ];
    for (what, arguments, bar, goal) in rows {
        match timed(binary, &arguments) {
            Ok((wall, cpu, peak)) => {
                let peak = megabytes(peak);
                println!("| {what} | {wall:.1} s ({cpu:.1} s of processor time), {peak} | {bar} | {goal} |");
            }
            Err(problem) => {
                eprintln!("{what}: {problem}");
                return ExitCode::from(2);
            }
        }
    }
    // What is left in a temporary folder does no harm.
    let _ = std::fs::remove_dir_all(scratch);
    ExitCode::SUCCESS
}

/// Wall time, processor time and peak memory of a command, the latter two looked at while it runs.
fn timed(binary: &Path, arguments: &str) -> Result<(f64, f64, Option<u64>), String> {
    let begun = Instant::now();
    let mut child = Command::new(binary)
        .args(arguments.split(' '))
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| format!("{} cannot be started: {error}", binary.display()))?;
    let (mut peak, mut cpu) = (None, 0.0_f64);
    let status = loop {
        peak = peak_kb(&child.id().to_string()).max(peak);
        cpu = cpu.max(process_cpu_s(child.id()));
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(status) => break status,
            None => std::thread::sleep(std::time::Duration::from_millis(2)),
        }
    };
    // A claim that does not hold (1) or is undecided (3) is a result too.
    match status.code() {
        Some(0 | 1 | 3) => Ok((begun.elapsed().as_secs_f64(), cpu, peak)),
        _ => Err(format!("ended with {status}")),
    }
}

/// Time that this thread has had a processor, in seconds.
fn thread_cpu_s() -> f64 {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = schedstat.split_whitespace().next().and_then(|nanos| nanos.parse::<f64>().ok());
    nanos.expect("Linux tells how long a thread has run") / 1e9
}

/// The most memory a process has held at a time, in kB. Linux only.
fn peak_kb(process: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn megabytes(kb: Option<u64>) -> String {
    kb.map_or("unknown".to_owned(), |kb| format!("{:.0} MB", kb as f64 / 1024.0))
}
