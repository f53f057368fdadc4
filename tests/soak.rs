//! Services and a load on them as processes of their own, for as long as one likes, without growth in memory or
//! in descriptors: `soak PATH-TO-PUMPHANDLE [SECONDS]`, 75 s if nobody says otherwise. Linux: both are read from /proc.
//!
//! Calls time out and callers leave, so that connections are lost and opened again all the time; every second the
//! run asks each service for its metrics. Of every process, memory and open descriptors are sampled once a second.
//! What they grow by, from the end of the warm-up (a third of the time) to the end, is the median of the slopes
//! of all pairs of samples (Theil and Sen) times that time: a single peak cannot make it or hide it.
//!
//! Exit codes: 0 no growth · 1 growth · 2 it could not be measured.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use pumphandle_tests::{Growth, Sample, growth};

/// Some 800 calls per second; one in seven takes longer than its caller waits, who leaves and tries again.
const SCENARIO: &str = "\
scenario: soak
title: A service that is always a little too slow
story: Callers leave, and come back.
kind: regime
slo: { latency: 200ms }
duration: 60s
load: { arrivals: { poisson: 350/s } }
services:
  client: { calls: api, with: { attempt_timeout: 20ms, retry: { attempts: 3, backoff: { up_to: 10ms } } } }
  api: { workers: 64, queue: { size: 200 }, service_time: { exponential: 10ms }, calls: db, with: { pool: { size: 40 } } }
  db: { service_time: { exponential: 1ms } }
";

/// What a process may grow by after its warm-up, however long it runs: less than one byte per call in an hour, and
/// in a minute what an allocator needs to settle.
const MOST_KB: f64 = 2048.0;
/// A connection more or less at the ends of a window is no leak.
const MOST_DESCRIPTORS: f64 = 8.0;
/// The run itself keeps what it measures: a row per second and service, and the first seed's seconds. So many more
/// KB per second it may have.
const RUN_KB_PER_S: f64 = 12.0;

/// A process that is ended when this is dropped.
struct Process {
    name: &'static str,
    child: Child,
    samples: Vec<Sample>,
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    /// One more sample, if it is still there.
    fn sample(&mut self, second: f64) {
        let proc = format!("/proc/{}", self.child.id());
        let status = std::fs::read_to_string(format!("{proc}/status")).unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kb = resident.and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok());
        let descriptors = std::fs::read_dir(format!("{proc}/fd")).map(|all| all.count() as f64);
        if let (Some(kb), Ok(descriptors)) = (kb, descriptors) {
            self.samples.push(Sample { second, kb, descriptors });
        }
    }
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let binary = arguments.next();
    let seconds = arguments.next().map_or(Ok(75), |text| text.parse::<u32>());
    let (Some(binary), Ok(seconds @ 30..)) = (binary, seconds) else {
        eprintln!("usage: soak PATH-TO-PUMPHANDLE [SECONDS, at least 30]");
        return ExitCode::from(2);
    };
    match soak(&binary, seconds) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("it could not be measured: {error}");
            ExitCode::from(2)
        }
    }
}

/// Whether nothing grew.
fn soak(binary: &str, seconds: u32) -> Result<bool, String> {
    let folder = std::env::temp_dir().join(format!("pumphandle-soak-{}", std::process::id()));
    std::fs::create_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let file = folder.join("soak.yaml").display().to_string();
    let written = std::fs::write(&file, SCENARIO).map_err(|error| format!("{file}: {error}"));
    let measured =
        written.and_then(|()| run(binary, &file, &folder.join("out").display().to_string(), seconds));
    // Its own folder, made above.
    let _ = std::fs::remove_dir_all(&folder);
    Ok(tell(&measured?, f64::from(seconds)))
}

fn run(binary: &str, file: &str, out: &str, seconds: u32) -> Result<Vec<Process>, String> {
    let (db, db_at) = serve(binary, file, "db", &[])?;
    let (api, api_at) = serve(binary, file, "api", &[format!("db={}", db_at.data)])?;
    let (client, client_at) = serve(binary, file, "client", &[format!("api={}", api_at.data)])?;
    let urls = [client_at.admin, api_at.admin, db_at.admin].join(",");
    let runner = Command::new(binary)
        .args(["run", file, "--out", out, "--duration", &format!("{seconds}s"), "--json"])
        .args(["--stack", &format!("control={urls}")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| format!("{binary}: {error}"))?;
    let mut all = vec![client, api, db, Process { name: "run", child: runner, samples: Vec::new() }];
    // Nobody ever sends: waiting on this is waiting for a second.
    let (_keep, tick) = channel::<()>();
    for second in 1.. {
        if tick.recv_timeout(Duration::from_secs(1)) != Err(RecvTimeoutError::Timeout) {
            break;
        }
        all.iter_mut().for_each(|process| process.sample(f64::from(second)));
        let ended = all[3].child.try_wait().map_err(|error| error.to_string())?;
        match ended.map(|status| status.code()) {
            None => {}
            // A machine that is busy makes the run no measurement of latency; of memory it is one.
            Some(Some(0 | 3)) => return Ok(all),
            Some(code) => return Err(format!("the run ended with {code:?}")),
        }
        if let Some(gone) =
            all[..3].iter_mut().find_map(|it| it.child.try_wait().ok().flatten().map(|_| it.name))
        {
            return Err(format!("{gone} has ended"));
        }
    }
    Err("the run did not end".to_owned())
}

/// Where a service is found.
struct Ports {
    data: String,
    admin: String,
}

fn serve(binary: &str, file: &str, service: &'static str, at: &[String]) -> Result<(Process, Ports), String> {
    let mut child = Command::new(binary)
        .args(["serve", service, "--scenario", file, "--data", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .args(at.iter().flat_map(|at| ["--at", at]))
        .env_remove("PUMPHANDLE_TOKEN")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{binary}: {error}"))?;
    let mut line = String::new();
    let told = child.stdout.take().map(|out| BufReader::new(out).read_line(&mut line));
    let process = Process { name: service, child, samples: Vec::new() };
    let ports = line.trim().split_once("calls at ").and_then(|(_, rest)| rest.split_once(", admin at "));
    match (told, ports) {
        (Some(Ok(_)), Some((data, admin))) => {
            Ok((process, Ports { data: data.to_owned(), admin: admin.to_owned() }))
        }
        _ => Err(format!("{service} did not start: {line:?}")),
    }
}

/// Prints what grew by how much, and says whether all of it may.
fn tell(all: &[Process], seconds: f64) -> bool {
    println!("| process | samples | memory at the end | grew by | may | descriptors | grew by | may |");
    println!("|---|--:|--:|--:|--:|--:|--:|--:|");
    let mut well = true;
    for process in all {
        let after: Vec<Sample> =
            process.samples.iter().filter(|it| it.second > seconds / 3.0).copied().collect();
        // The last one may be of a process that is ending.
        let after = &after[..after.len().saturating_sub(1)];
        let Some((Growth { kb, descriptors }, last)) = growth(after).zip(after.last()) else {
            println!("| {} | too few to tell | | | | | | |", process.name);
            well = false;
            continue;
        };
        let most_kb = MOST_KB + if process.name == "run" { RUN_KB_PER_S * seconds } else { 0.0 };
        well &= kb <= most_kb && descriptors <= MOST_DESCRIPTORS;
        println!(
            "| {} | {} | {:.0} KB | {kb:+.0} KB | {most_kb:.0} KB | {:.0} | {descriptors:+.0} | {MOST_DESCRIPTORS} |",
            process.name,
            after.len(),
            last.kb,
            last.descriptors,
        );
    }
    println!("\n{}", if well { "nothing grew" } else { "SOMETHING GREW" });
    well
}
