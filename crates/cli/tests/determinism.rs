//! Two processes, one result: what is printed, and the event logs, byte for byte.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};
use std::process::Command;

use pumphandle_core::events::first_difference;

/// Runs the storm into a folder of its own; returns what was printed, and the folder.
fn run(name: &str) -> (String, PathBuf) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let output = Command::new(env!("CARGO_BIN_EXE_pumphandle"))
        .args(["run", "retry-storm", "--lever", "circuit-breaker", "--seeds", "1", "--json", "--out"])
        .arg(&folder)
        .output()
        .unwrap();
    assert!(output.status.code().is_some(), "it was killed");
    (String::from_utf8(output.stdout).unwrap(), folder)
}

/// Event logs of a folder, by name.
fn logs(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut logs: Vec<(String, Vec<u8>)> = std::fs::read_dir(folder.join("events"))
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(path).unwrap())
        })
        .collect();
    logs.sort();
    logs
}

#[test]
fn the_same_seed_in_two_processes_prints_the_same_bytes_and_leaves_the_same_events() {
    let ((printed, folder), (again, other)) = (run("determinism-1"), run("determinism-2"));
    let (logs, others) = (logs(&folder), logs(&other));
    assert_eq!(logs.len(), 2, "the control and one lever");
    for ((name, log), (_, other)) in logs.iter().zip(&others) {
        assert!(log.len() > 10_000, "{name} holds {} bytes", log.len());
        if let Some(difference) = first_difference(log, other) {
            panic!("{name}: {difference}");
        }
    }
    assert_eq!(logs, others);
    assert!(printed.contains("\"retry-storm\"") && printed == again, "the printed results differ");
}
