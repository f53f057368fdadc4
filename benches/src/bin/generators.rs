//! Our load generator beside others, on one service of ours on this machine: `generators PATH-TO-PUMPHANDLE OHA WRK`.
//! Prints the table of `docs/performance.md`. The others are found by name or path (`cargo install oha --locked`;
//! `apt-get install wrk`).
//!
//! All of them send the same requests to the same port. Ours and oha are open loops, at the same constant rates, and
//! count latency from the instant at which a request was due (oha: `--latency-correction`). wrk is a closed loop:
//! each of its connections waits for its answer before it sends again, so that it has no rate to hold, and what it
//! calls latency leaves out whatever a user would have waited before. Of it, only the most requests per second are
//! shown. Requests are one after the other on kept connections.

#![allow(clippy::disallowed_methods, reason = "this measures wall time, and nothing else")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Output, Stdio};
use std::time::{Duration, Instant};

use pumphandle_benches::machine::{machine, process_cpu_s, wanted};
use serde_json::Value;

/// One service that takes five milliseconds, whoever asks: no draw depends on the number of the request, which only
/// our generator counts up.
const SCENARIO: &str = "\
scenario: target
title: One service that takes five milliseconds
story: Nothing happens to it.
kind: regime
slo: { latency: 1s }
duration: 10s
load: { arrivals: { constant: 500/s } }
services:
  shop: { workers: 2000, queue: { size: 10000 }, service_time: { constant: 5ms } }
";
const RATES: [u32; 5] = [500, 1_000, 2_000, 4_000, 8_000];
const SECONDS: u32 = 15;
/// Connections of the others: enough for the highest rate with answers of 25 ms, five times what they take.
const CONNECTIONS: &str = "200";
/// What makes a request one of ours.
const HEADERS: [&str; 2] = ["pumphandle-arrival: 1", "pumphandle-path: 1"];

/// How one generator did at one rate.
struct Did {
    per_s: f64,
    good: f64,
    /// p50, p90, p99 from when a request was due, milliseconds.
    ms: [f64; 3],
    cpu_s: f64,
    note: String,
}

/// The service; ends when dropped.
struct Target {
    child: Child,
    data: String,
    admin: String,
}

impl Drop for Target {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [pumphandle, oha, wrk] = arguments.as_slice() else {
        eprintln!("usage: generators PATH-TO-PUMPHANDLE OHA WRK");
        return ExitCode::from(2);
    };
    let folder = std::env::temp_dir().join(format!("pumphandle-generators-{}", std::process::id()));
    let compared = std::fs::create_dir(&folder)
        .map_err(|error| error.to_string())
        .and_then(|()| compare(pumphandle, oha, wrk, &folder));
    // Its own folder, made above.
    let _ = std::fs::remove_dir_all(&folder);
    match compared {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("they could not be compared: {error}");
            ExitCode::from(2)
        }
    }
}

fn compare(pumphandle: &str, oha: &str, wrk: &str, folder: &Path) -> Result<(), String> {
    let file = folder.join("target.yaml");
    std::fs::write(&file, SCENARIO).map_err(|error| error.to_string())?;
    let target = Target::start(pumphandle, &file)?;
    let busy = |when: &str| {
        let wanted = wanted().map_or("unknown".to_owned(), |wanted| format!("{wanted:.1}"));
        println!("{when}: {wanted} processes wanted a processor in the last minute (1-minute load average)");
    };
    println!("{}; {} s per cell; {}; wrk of Debian", machine(), SECONDS, version(oha));
    busy("before");
    println!(
        "\n| generator | rate asked | sent per s | answered well | p50 | p90 | p99 | processor time per 1000 | |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|--:|---|");
    for rate in RATES {
        row("pumphandle", rate, &ours(pumphandle, &file, folder, &target, rate)?);
        row("oha", rate, &of_oha(oha, &target, rate)?);
    }
    let (per_s, good, cpu_s) = of_wrk(wrk, folder, &target)?;
    println!(
        "| wrk, closed loop, {CONNECTIONS} connections | as many as it can | {per_s:.0} | {:.2} % | - | - | - | {:.1} ms | \
         its latencies are of another kind |",
        good * 100.0,
        cpu_s * 1e6 / (per_s * f64::from(SECONDS)).max(1.0),
    );
    println!();
    busy("after");
    Ok(())
}

fn row(name: &str, rate: u32, did: &Did) {
    let [p50, p90, p99] = did.ms;
    println!(
        "| {name} | {rate}/s | {:.1} | {:.2} % | {p50:.2} ms | {p90:.2} ms | {p99:.2} ms | {:.1} ms | {} |",
        did.per_s,
        did.good * 100.0,
        did.cpu_s * 1e6 / (did.per_s * f64::from(SECONDS)).max(1.0),
        did.note,
    );
}

impl Target {
    fn start(pumphandle: &str, file: &Path) -> Result<Target, String> {
        let mut child = Command::new(pumphandle)
            .args(["serve", "shop", "--data", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--scenario"])
            .arg(file)
            .env_remove("PUMPHANDLE_TOKEN")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{pumphandle}: {error}"))?;
        let mut line = String::new();
        let read = child.stdout.take().map(|out| BufReader::new(out).read_line(&mut line));
        let mut target = Target { child, data: String::new(), admin: String::new() };
        let ports = line.trim().split_once("calls at ").and_then(|(_, rest)| rest.split_once(", admin at "));
        let (Some(Ok(_)), Some((data, admin))) = (read, ports) else {
            return Err(format!("the service did not start: {line:?}"));
        };
        (target.data, target.admin) = (data.to_owned(), admin.to_owned());
        Ok(target)
    }
}

/// Runs to the end; also the processor time of the process, looked at while it runs.
fn run(mut command: Command) -> Result<(Output, f64), String> {
    let name = format!("{:?}", command.get_program());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("{name}: {error}"))?;
    let begun = Instant::now();
    let mut cpu_s = 0.0_f64;
    // What it prints fits into the pipes.
    while child.try_wait().map_err(|error| error.to_string())?.is_none() {
        cpu_s = cpu_s.max(process_cpu_s(child.id()));
        std::thread::sleep(Duration::from_millis(20));
        if begun.elapsed() > Duration::from_secs(u64::from(SECONDS) * 10) {
            let _ = child.kill();
            return Err(format!("{name} does not end"));
        }
    }
    Ok((child.wait_with_output().map_err(|error| error.to_string())?, cpu_s))
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn number(value: &Value, name: &str) -> Result<f64, String> {
    value.as_f64().ok_or_else(|| format!("no number `{name}`"))
}

fn ours(pumphandle: &str, file: &Path, folder: &Path, target: &Target, rate: u32) -> Result<Did, String> {
    let mut command = Command::new(pumphandle);
    command.arg("run").arg(file).arg("--out").arg(folder.join("out")).args(["--json", "--set"]);
    command.arg(format!("load.arrivals.constant={rate}/s")).args(["--duration", &format!("{SECONDS}s")]);
    command.args(["--stack", &format!("control={}", target.admin)]);
    let (output, cpu_s) = run(command)?;
    if !matches!(output.status.code(), Some(0 | 3)) {
        return Err(said(&output));
    }
    let result: Value =
        serde_json::from_slice(&output.stdout).map_err(|error| format!("{error}: {}", said(&output)))?;
    let outcome = &result["arms"][0]["outcome"];
    let ms = |name: &str| number(&outcome["latency_ms"][name], name);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let health = told.lines().map(str::trim).find(|line| line.starts_with("idle timer")).unwrap_or("");
    Ok(Did {
        per_s: number(&outcome["arrivals"], "arrivals")? / f64::from(SECONDS),
        good: number(&outcome["good_share"], "good_share")?,
        ms: [ms("p50")?, ms("p90")?, ms("p99")?],
        cpu_s,
        note: health.replace("arms at most", "users begun at most"),
    })
}

fn version(oha: &str) -> String {
    let output = Command::new(oha).arg("--version").output();
    output.map_or_else(|error| format!("{oha}: {error}"), |it| said(&it).trim().to_owned())
}

fn of_oha(oha: &str, target: &Target, rate: u32) -> Result<Did, String> {
    let mut command = Command::new(oha);
    command.args(["-z", &format!("{SECONDS}s"), "-q", &rate.to_string(), "-c", CONNECTIONS]);
    command.args(["--latency-correction", "--no-tui", "--output-format", "json", "-m", "POST"]);
    for header in HEADERS {
        command.args(["-H", header]);
    }
    command.arg(format!("http://{}/", target.data));
    let (output, cpu_s) = run(command)?;
    let result: Value =
        serde_json::from_slice(&output.stdout).map_err(|error| format!("{error}: {}", said(&output)))?;
    let ms = |name: &str| Ok::<f64, String>(number(&result["latencyPercentiles"][name], name)? * 1e3);
    Ok(Did {
        per_s: number(&result["summary"]["requestsPerSec"], "requestsPerSec")?,
        good: number(&result["summary"]["successRate"], "successRate")?,
        ms: [ms("p50")?, ms("p90")?, ms("p99")?],
        cpu_s,
        note: String::new(),
    })
}

/// Requests per second, the share answered well, and processor time.
fn of_wrk(wrk: &str, folder: &Path, target: &Target) -> Result<(f64, f64, f64), String> {
    let lines: String = HEADERS
        .iter()
        .filter_map(|header| header.split_once(": "))
        .map(|(name, value)| format!("wrk.headers[\"{name}\"] = \"{value}\"\n"))
        .collect();
    let script = folder.join("post.lua");
    std::fs::write(&script, format!("wrk.method = \"POST\"\n{lines}")).map_err(|error| error.to_string())?;
    let mut command = Command::new(wrk);
    command.args(["-t", "1", "-c", CONNECTIONS, "-d", &format!("{SECONDS}s"), "-s"]).arg(script);
    command.arg(format!("http://{}/", target.data));
    let (output, cpu_s) = run(command)?;
    let text = said(&output);
    let after = |name: &str| {
        let rest = text.split_once(name)?.1.trim_start();
        rest.split(|c: char| !c.is_ascii_digit() && c != '.').next()?.parse::<f64>().ok()
    };
    let per_s = after("Requests/sec:").ok_or_else(|| text.clone())?;
    let bad = after("Non-2xx or 3xx responses:").unwrap_or(0.0);
    Ok((per_s, 1.0 - bad / (per_s * f64::from(SECONDS)).max(1.0), cpu_s))
}
