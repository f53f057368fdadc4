//! Processes for tests: services and their stacks, started on ports that the system gives, and ended with the test.
#![allow(dead_code, reason = "each binary of tests uses its part")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use serde_json::Value;

use crate::support::command;

/// client -> api. A lever, so that there are two stacks; everything is over in six seconds.
pub(crate) const SCENARIO: &str = "\
scenario: shop
title: A shop
story: It is slow for a while.
kind: pulse
slo: { latency: 500ms }
duration: 6s
pull: 4s
load: { arrivals: { poisson: 50/s } }
services:
  client: { calls: api, with: { attempt_timeout: 200ms, retry: { attempts: 2, backoff: { up_to: 10ms } } } }
  api: { workers: 8, queue: { size: 20 }, service_time: { constant: 2ms } }
autoscalers:
  api: { service: api, enabled: false, backlog: { stock: inside, per_replica: 4 }, max: 3 }
timeline:
  - { trigger: slow, from: 1s, for: 2s, do: { slow_down: { service: api, factor: 20 } } }
levers:
  no-retries:
    title: no retries
    level: 7
    set: { client.retry.enabled: false }
    modes: [pulled]
    kill: { services: [api], older_than: 1s }
  scale:
    title: an autoscaler
    level: 8
    set: { autoscalers.api.enabled: true }
";

pub(crate) fn pumphandle(arguments: &[&str]) -> Output {
    command(arguments).output().expect("the binary starts")
}

/// A process of one service; killed when dropped.
pub(crate) struct Served {
    pub(crate) child: Child,
    pub(crate) data: String,
    pub(crate) admin: String,
}

impl Served {
    pub(crate) fn start(scenario: &Path, service: &str, stack: &str, more: &[&str]) -> Served {
        Served::try_to_start(scenario, service, stack, more)
            .unwrap_or_else(|line| panic!("it did not start: {line:?}"))
    }

    /// Where another one was: its port may be taken for a moment, by a connection that got it by chance.
    pub(crate) fn start_again(scenario: &Path, service: &str, stack: &str, more: &[&str]) -> Served {
        let mut tries = (0..100).map(|_| Served::try_to_start(scenario, service, stack, more));
        tries.find_map(Result::ok).expect("the port comes free")
    }

    pub(crate) fn try_to_start(
        scenario: &Path,
        service: &str,
        stack: &str,
        more: &[&str],
    ) -> Result<Served, String> {
        let mut all = vec![
            "serve",
            service,
            "--scenario",
            scenario.to_str().expect("a test can do this"),
            "--stack",
            stack,
        ];
        all.extend(more);
        let child = command(&all).stdout(Stdio::piped()).spawn().expect("the binary starts");
        let mut served = Served { child, data: String::new(), admin: String::new() };
        let mut line = String::new();
        let said = served.child.stdout.take().expect("it was asked for");
        BufReader::new(said).read_line(&mut line).expect("a line can be read");
        // "api of control: calls at 127.0.0.1:1, admin at http://127.0.0.1:2"
        let ports =
            line.trim().split_once("calls at ").map(|(_, rest)| rest.split_once(", admin at http://"));
        let (data, admin) = ports.flatten().ok_or_else(|| line.clone())?;
        (served.data, served.admin) = (data.to_owned(), admin.to_owned());
        Ok(served)
    }

    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(sent.expect("there is `kill`").success());
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        let mut stream = TcpStream::connect(&self.admin).expect("a test can do this");
        write!(stream, "GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.admin)
            .expect("a test can do this");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("a test can do this");
        serde_json::from_str(answer.split_once("\r\n\r\n").expect("a test can do this").1)
            .expect("a test can do this")
    }

    /// What was done to it, as `what`.
    pub(crate) fn done(&self) -> Vec<String> {
        let events = self.get("/events");
        events["events"]
            .as_array()
            .expect("a test can do this")
            .iter()
            .map(|it| it["what"].as_str().expect("a test can do this").to_owned())
            .collect()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended already, which is what some tests are about.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) const ANY: [&str; 4] = ["--data", "127.0.0.1:0", "--admin", "127.0.0.1:0"];

/// Both services of a stack.
pub(crate) struct Stack {
    pub(crate) client: Served,
    pub(crate) api: Served,
    pub(crate) name: &'static str,
}

impl Stack {
    pub(crate) fn start(scenario: &Path, name: &'static str) -> Stack {
        let api = Served::start(scenario, "api", name, &ANY);
        let at = format!("api={}", api.data);
        let client = Served::start(scenario, "client", name, &[&ANY[..], &["--at", &at]].concat());
        Stack { client, api, name }
    }

    pub(crate) fn urls(&self) -> String {
        format!("http://{},http://{}", self.client.admin, self.api.admin)
    }

    pub(crate) fn spec(&self) -> String {
        format!("{}={}", self.name, self.urls())
    }
}

pub(crate) struct Twin {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) control: Stack,
    pub(crate) treatment: Stack,
}

impl Twin {
    pub(crate) fn start() -> Twin {
        let folder = tempfile::tempdir().expect("a test can do this");
        let file = folder.path().join("shop.yaml");
        std::fs::write(&file, SCENARIO).expect("a test can do this");
        let [control, treatment] = ["control", "treatment"].map(|name| Stack::start(&file, name));
        Twin { folder, control, treatment }
    }

    pub(crate) fn file(&self) -> String {
        self.folder.path().join("shop.yaml").to_str().expect("a test can do this").to_owned()
    }

    pub(crate) fn out(&self) -> String {
        self.folder.path().join("out").to_str().expect("a test can do this").to_owned()
    }

    /// An experiment against both stacks, under way.
    pub(crate) fn run(&self, more: &[&str]) -> (Child, BufReader<ChildStderr>) {
        let (file, out) = (self.file(), self.out());
        let (control, treatment) = (self.control.spec(), self.treatment.spec());
        let mut all = vec!["run", &file, "--lever", "no-retries", "--json", "--out", &out];
        all.extend(["--stack", &control, "--stack", &treatment]);
        all.extend(more);
        let mut child =
            command(&all).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("a test can do this");
        let told = BufReader::new(child.stderr.take().expect("a test can do this"));
        (child, told)
    }

    pub(crate) fn result(&self) -> Value {
        let file = Path::new(&self.out()).join("result.json");
        serde_json::from_slice(&std::fs::read(file).expect("what was measured is kept"))
            .expect("a test can do this")
    }
}

/// Reads what a run tells until it tells `what`.
pub(crate) fn until(told: &mut BufReader<ChildStderr>, what: &str) -> String {
    let mut all = String::new();
    while !all.lines().last().is_some_and(|line| line.contains(what)) {
        assert!(
            told.read_line(&mut all).expect("a test can do this") > 0,
            "it never told {what:?}, but:\n{all}"
        );
    }
    all
}

/// The rest of what a run tells, and how it ends.
pub(crate) fn end(mut child: Child, mut told: BufReader<ChildStderr>) -> (i32, String) {
    let mut rest = String::new();
    told.read_to_string(&mut rest).expect("a test can do this");
    (child.wait().expect("a test can do this").code().expect("it ended by itself"), rest)
}
