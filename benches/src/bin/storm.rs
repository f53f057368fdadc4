//! Runs one storm and prints what it did: the workload for profilers and for the count of instructions.
//! Usage: `storm POLICIES SECONDS`, where POLICIES is none, incident, usual or shelf.

use std::process::ExitCode;

use pumphandle_benches::{Defences, attempts, run, storm};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let defences = arguments.next().and_then(|name| Defences::from_name(&name));
    let seconds = arguments.next().and_then(|seconds| seconds.parse().ok());
    let (Some(defences), Some(seconds)) = (defences, seconds) else {
        eprintln!("usage: storm none|incident|usual|shelf SECONDS");
        return ExitCode::from(2);
    };
    let scenario = storm(defences, seconds);
    let run = run(&scenario, 1);
    let (events, digest) = &run.events;
    println!("{} attempts, {events} events, digest {digest}", attempts(&run));
    ExitCode::SUCCESS
}
