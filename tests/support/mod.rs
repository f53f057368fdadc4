//! The binary started from a test, and what it printed. It knows nothing of what is tested.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// The binary, with no environment of the caller's that means something to it.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pumphandle"));
    command
        .args(arguments)
        .stdin(Stdio::null())
        .env_remove("PUMPHANDLE_TOKEN")
        .env_remove("PUMPHANDLE_SCENARIO")
        .env_remove("PUMPHANDLE_LEVER");
    command
}

/// What the binary does in `folder`.
pub(crate) fn pumphandle(folder: &Path, arguments: &[&str]) -> Output {
    command(arguments).current_dir(folder).output().expect("the binary starts")
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("everything printed is text")
}

pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().expect("it ended by itself")
}

pub(crate) fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("standard output is no JSON document: {}", text(&output.stderr)))
}

/// Names of what lies in a folder, hidden or not, in order.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("the folder is there");
    let name = |it: std::io::Result<std::fs::DirEntry>| it.expect("it can be read").file_name();
    let mut names: Vec<String> = entries.map(|it| name(it).into_string().expect("names are text")).collect();
    names.sort();
    names
}

/// A scenario file in `folder`: a lone queue with too little to do, so that it runs in no time.
pub(crate) fn scenario(folder: &Path, claims: &str) -> PathBuf {
    let file = folder.join("mine.yaml");
    let text = format!(
        "scenario: mine\ntitle: A queue\nstory: It is slow for a while.\nkind: pulse\nslo: {{ latency: 1s }}\n\
         duration: 160s\npull: 60s\nload: {{ arrivals: {{ poisson: 20/s }} }}\n\
         services:\n  shop:\n    workers: 4\n    queue: {{ size: 1000 }}\n    service_time: {{ exponential: 50ms }}\n\
         timeline:\n  - {{ trigger: slow, from: 20s, for: 20s, do: {{ slow_down: {{ service: shop, factor: 20 }} }} }}\n\
         levers:\n  more-workers: {{ title: more, level: 11, set: {{ shop.workers: 40 }} }}\n\
         claims:\n{claims}"
    );
    std::fs::write(&file, text).expect("the folder is there");
    file
}
