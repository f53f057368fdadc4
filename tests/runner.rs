//! `pumphandle serve runner` as a process, against services as processes: started, stopped, refused, and on its way
//! again after a service was killed. Everything waits for what it has to see.
#![cfg(unix)]

mod served;
mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use served::{Served, Twin};
use support::{command, text};

/// How often to look for what has to be seen, and how many times: two minutes.
const LOOKS: (Duration, usize) = (Duration::from_millis(100), 1200);

/// A runner; killed when dropped.
struct Runner {
    child: Child,
    at: String,
}

impl Runner {
    fn start(twin: &Twin, more: &[&str]) -> Runner {
        Runner::start_with(&twin.file(), &[twin.control.spec(), twin.treatment.spec()], more)
    }

    fn start_with(file: &str, stacks: &[String], more: &[&str]) -> Runner {
        let mut all = vec!["serve", "runner", "--scenario", file, "--admin", "127.0.0.1:0"];
        stacks.iter().for_each(|stack| all.extend(["--stack", stack]));
        all.extend(more);
        let mut child = command(&all).stdout(Stdio::piped()).spawn().expect("the binary starts");
        let mut line = String::new();
        let said = child.stdout.take().expect("it was asked for");
        BufReader::new(said).read_line(&mut line).expect("a line can be read");
        let at =
            line.trim().strip_prefix("the runner: http://").unwrap_or_else(|| panic!("it said {line:?}"));
        Runner { child, at: at.to_owned() }
    }

    /// Status and body of the answer to a request with these further lines of its head.
    fn ask(&self, method: &str, path: &str, head: &[&str], body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.at).expect("the runner listens");
        let head: String = head.iter().map(|line| format!("{line}\r\n")).collect();
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{head}content-length: {length}\r\n\r\n{body}",
            self.at
        )
        .expect("a request can be sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer can be read");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
        (head[9..12].parse().expect("an answer has a status"), body.to_owned())
    }

    fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let (status, told) = self.ask("POST", path, &["content-type: application/json"], &body.to_string());
        (status, serde_json::from_str(&told).unwrap_or(Value::Null))
    }

    fn state(&self) -> Value {
        let (status, body) = self.ask("GET", "/", &[], "");
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).expect("the state is JSON")
    }

    /// The samples of `/metrics` whose line begins like this, added.
    fn metric(&self, begins: &str) -> Option<f64> {
        let (_, page) = self.ask("GET", "/metrics", &[], "");
        let lines = page.lines().filter(|line| line.starts_with(begins));
        let values: Vec<f64> = lines.filter_map(|line| line.rsplit_once(' ')?.1.parse().ok()).collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }

    /// Looks until the state is as `what` says; returns it.
    fn until(&self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        until(what, || Some(self.state()).filter(|state| is(state)), || self.state().to_string())
    }

    fn until_over(&self, run: u64) -> Value {
        self.until("the run is over", |state| state["last"]["run"] == run)
    }

    /// Everything that happened, a sentence each.
    fn happened(&self) -> String {
        let state = self.state();
        let all = state["happened"].as_array().cloned().unwrap_or_default();
        all.iter().map(|it| format!("{}\n", it["what"].as_str().unwrap_or_default())).collect()
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        // It may have ended already, which is what one test is about.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn until<T>(what: &str, look: impl Fn() -> Option<T>, otherwise: impl Fn() -> String) -> T {
    for _ in 0..LOOKS.1 {
        if let Some(seen) = look() {
            return seen;
        }
        // A pause between looks at another process, which has no event to wait for.
        let (_never, nothing) = std::sync::mpsc::channel::<()>();
        assert!(nothing.recv_timeout(LOOKS.0).is_err(), "nobody sends anything");
    }
    panic!("never seen: {what}; but {}", otherwise())
}

fn share(value: &Value) -> f64 {
    value.as_f64().expect("it is a number")
}

#[test]
fn it_waits_for_a_start_runs_goes_on_with_the_next_seed_and_judges_all_of_them_together() {
    let twin = Twin::start();
    let out = twin.out();
    let more =
        ["--lever", "no-retries", "--wait", "--loop", "--pause", "200ms", "--seed", "7", "--out", &out];
    let runner = Runner::start(&twin, &more);
    let state = runner.state();
    assert_eq!((&state["phase"], &state["doing"]["is"]), (&json!("waiting"), &json!("rests")));
    assert_eq!(runner.metric("pumphandle_phase{phase=\"waiting\"}"), Some(1.0));
    assert_eq!(runner.metric("pumphandle_users_due_total{arm=\"control\"}"), Some(0.0));
    assert_eq!(runner.post("/start", &json!({})), (200, json!({ "lever": "no-retries", "seed": 7 })));
    runner.until("the trigger acts", |state| state["phase"] == "trigger");
    until(
        "the trigger acts in the metrics",
        || (runner.metric("pumphandle_trigger_active{trigger=\"slow\"}") == Some(1.0)).then_some(()),
        || runner.state().to_string(),
    );
    let (status, told) = runner.post("/start", &json!({}));
    assert!(status == 409 && told["error"].as_str().is_some_and(|it| it.contains("is under way")), "{told}");
    let lever = "pumphandle_lever_active{arm=\"treatment\",lever=\"no-retries\",level=\"7\"}";
    until("the lever acts", || (runner.metric(lever) == Some(1.0)).then_some(()), || runner.happened());
    assert_eq!(runner.metric(&lever.replace("treatment", "control")), Some(0.0));
    let first = runner.until_over(1);
    let due = runner.metric("pumphandle_users_due_total{arm=\"control\"}").expect("it is counted");
    assert!(due > 200.0, "{due}");
    let second = runner.until("a second run is over", |state| state["last"]["run"] == 2);
    assert_eq!((&first["last"]["seed"], &second["last"]["seed"]), (&json!(7), &json!(8)));
    // Counters go on over runs; users due are those settled, and none is left.
    let due_after = runner.metric("pumphandle_users_due_total{arm=\"control\"}").expect("it is counted");
    assert!(due_after > due + 200.0, "{due_after} after {due}");
    // Both arms have the same users.
    let of = |arm: &str| second["last"]["arms"][usize::from(arm == "treatment")]["arrivals"].clone();
    assert_eq!(of("control"), of("treatment"));
    assert_eq!(runner.post("/stop", &json!({})).0, 200);
    let state = runner.until("it rests", |state| state["doing"]["is"] == "rests");
    // Each valid run is judged together with the others, each invalid one is left out; none is forgotten.
    let together = &state["together"];
    let seeds = together["seeds"].as_array().expect("a list").len() as u64;
    let runs = state["last"]["run"].as_u64().expect("a number");
    assert_eq!(seeds + together["left_out"].as_u64().expect("a number"), runs, "{together}");
    let kept = state["last"]["kept"].as_str().expect("it is kept");
    let result: Value = serde_json::from_slice(
        &std::fs::read(Path::new(kept).join("result.json")).expect("a run leaves its result"),
    )
    .expect("a result is JSON");
    assert_eq!(result["clock"], "real");
    assert!(Path::new(&out).join("shop-no-retries-seed-7").join("report.html").exists());
    assert!(runner.metric("pumphandle_good_share{arm=\"control\"").is_some());
    assert!(runner.metric("pumphandle_verdict{arm=\"treatment\",lever=\"no-retries\"").is_some());
}

#[test]
fn a_run_that_is_stopped_keeps_what_it_measured_and_leaves_no_trace_on_the_stacks() {
    let twin = Twin::start();
    let out = twin.out();
    let runner = Runner::start(&twin, &["--lever", "no-retries", "--out", &out]);
    runner.until("the trigger acts", |state| state["phase"] == "trigger");
    let (status, told) = runner.post("/stop", &json!({}));
    assert_eq!((status, &told["stops"]), (200, &json!(1)));
    let state = runner.until_over(1);
    assert_eq!(state["last"]["partial"], true);
    assert!(share(&state["last"]["arms"][0]["arrivals"]) > 0.0, "{state}");
    assert_eq!(state["together"]["seeds"], json!([]), "a part of a run is not judged with whole ones");
    let kept = state["last"]["kept"].as_str().expect("it is kept");
    assert!(Path::new(kept).join("series.ndjson").exists());
    assert_eq!(twin.control.api.get("/")["triggers"], json!([]));
    runner.until("it rests", |state| state["doing"]["is"] == "rests");
    assert_eq!(runner.post("/stop", &json!({})), (200, json!({ "stops": null })));
    // What is shown while it runs is what the book says in the end.
    let counted = runner.metric("pumphandle_users_due_total{arm=\"control\"}");
    assert_eq!(counted, state["last"]["arms"][0]["arrivals"].as_f64());
    // Nobody waits any more, although some were never answered.
    assert_eq!(runner.metric("pumphandle_users_waiting"), Some(0.0));
}

#[test]
fn a_service_that_is_killed_marks_its_run_and_the_next_one_begins_when_it_is_back() {
    let mut twin = Twin::start();
    let more = ["--lever", "no-retries", "--loop", "--pause", "100ms"];
    let runner = Runner::start(&twin, &more);
    runner.until("the first run begins", |state| state["phase"] == "before");
    let (data, admin) = (twin.treatment.api.data.clone(), twin.treatment.api.admin.clone());
    twin.treatment.api.child.kill().expect("it runs");
    twin.treatment.api.child.wait().expect("it ends");
    let down = |state: &Value| {
        let all = state["arms"][1]["services"].as_array().cloned().unwrap_or_default();
        all.iter().any(|it| it["up"] == false)
    };
    runner.until("it is seen to be away", down);
    let state = runner.until_over(1);
    assert_eq!(state["last"]["valid"], false);
    assert!(
        state["last"]["reasons"].to_string().contains("treatment: api does not answer, since"),
        "{state}"
    );
    let told = runner.until("it waits for the stack", |state| state["doing"]["is"] == "seeks");
    assert!(told["doing"]["wrong"].to_string().contains("treatment: "), "{told}");
    assert_eq!(told["phase"], "waiting");
    let again = ["--data", &data, "--admin", &admin];
    let file = twin.file();
    twin.treatment.api = Served::start_again(Path::new(&file), "api", "treatment", &again);
    let state = runner.until_over(2);
    assert!(!state["last"]["reasons"].to_string().contains("does not answer"), "{state}");
    assert!(runner.metric("pumphandle_rig_troubles_total{arm=\"treatment\"}") >= Some(1.0));
}

#[test]
fn a_service_that_comes_back_into_a_run_is_told_again_what_should_act_on_it() {
    let mut twin = Twin::start();
    let long =
        ["--lever", "no-retries", "--set", "timeline.slow.for=40s", "--duration", "45s", "--pull", "2s"];
    let runner = Runner::start(&twin, &[&long[..], &["--seed", "5"]].concat());
    let acting = |state: &Value, what: &str, name: &str| {
        state["arms"][1][what].as_array().is_some_and(|all| all.contains(&json!(name)))
    };
    runner.until("both act", |state| {
        acting(state, "levers", "no-retries") && acting(state, "triggers", "slow")
    });
    let file = twin.file();
    for service in ["api", "client"] {
        let at = format!("api={}", twin.treatment.api.data);
        let old = if service == "api" { &mut twin.treatment.api } else { &mut twin.treatment.client };
        let (data, admin) = (old.data.clone(), old.admin.clone());
        old.child.kill().expect("it runs");
        old.child.wait().expect("it ends");
        let mut more = vec!["--data", &data, "--admin", &admin];
        if service == "client" {
            more.extend(["--at", &at]);
        }
        *old = Served::start_again(Path::new(&file), service, "treatment", &more);
    }
    until(
        "the new processes are told",
        || {
            let api = twin.treatment.api.get("/");
            let client = twin.treatment.client.get("/settings/client.retry.enabled");
            (api["triggers"][0]["trigger"] == "slow" && api["seed"] == 5 && client == false).then_some(())
        },
        || runner.happened(),
    );
    assert!(runner.state()["seconds"].as_f64().is_some(), "within the same run");
    runner.post("/stop", &json!({}));
    let state = runner.until_over(1);
    assert_eq!(state["last"]["valid"], false, "it went on, and is not tested");
}

#[test]
fn what_makes_no_sense_is_refused_with_what_would_and_changes_nothing() {
    let twin = Twin::start();
    let runner = Runner::start(&twin, &["--wait"]);
    for (path, body, status, said) in [
        ("/start", json!({}), 422, "say which lever: no-retries"),
        ("/start", json!({ "lever": "no-retry" }), 422, "did you mean `no-retries`?"),
        ("/start", json!({ "lever": "scale" }), 422, "a stack of processes is scaled by whatever runs it"),
        ("/pull", json!({ "arm": "treatment", "lever": "scale" }), 422, "scaled by whatever runs it"),
        ("/start", json!({ "lever": "no-retries", "seed": -1 }), 400, "`seed`"),
        ("/start", json!({ "lever": "no-retries", "duration": "long" }), 400, "`duration`"),
        ("/start", json!({ "lever": "no-retries", "duration": "1ms" }), 422, "duration"),
        ("/start", json!({ "lever": "no-retries", "until": "1s" }), 400, "no such field: `until`"),
        ("/start", json!([]), 400, "the body is not the JSON"),
        ("/stop", json!({ "now": true }), 400, "no such field: `now`"),
        ("/pull", json!({ "lever": "no-retries" }), 400, "`arm` is missing"),
        ("/pull", json!({ "arm": "treatment" }), 400, "`lever` is missing"),
        ("/pull", json!({ "arm": "treatmant", "lever": "no-retries" }), 422, "did you mean `treatment`?"),
        ("/pull", json!({ "arm": "treatment", "lever": "no-retry" }), 422, "did you mean `no-retries`?"),
        ("/trigger", json!({ "trigger": "slo" }), 422, "did you mean `slow`?"),
        ("/trigger", json!({ "trigger": 5 }), 400, "expected text"),
        ("/set", json!({ "arm": "control", "set": {} }), 400, "`set`"),
        ("/set", json!({ "arm": "control", "set": { "api.workers": -1 } }), 422, "nothing was changed"),
        ("/set", json!({ "arm": "control", "set": { "apo.workers": 1 } }), 422, "did you mean `api`?"),
        ("/reset", json!({ "seed": "one" }), 400, "`seed`"),
    ] {
        let (got, told) = runner.post(path, &body);
        let told = told.to_string();
        assert!(got == status && told.contains(&said.replace('"', "\\\"")), "{path} {body}: {got} {told}");
    }
    assert_eq!(runner.ask("POST", "/start", &[], "lever=no-retries").0, 415);
    assert_eq!(runner.ask("GET", "/start", &[], "").0, 405);
    assert_eq!(runner.ask("POST", "/", &[], "").0, 405);
    assert_eq!(runner.ask("GET", "/elsewhere", &[], "").0, 404);
    let state = runner.state();
    assert_eq!((&state["doing"]["is"], &state["run"]["n"]), (&json!("rests"), &json!(0)), "{state}");
    let services = [&twin.control.client, &twin.control.api, &twin.treatment.client, &twin.treatment.api];
    assert!(services.iter().all(|service| service.done().is_empty()));
}

#[test]
fn hands_reach_the_stack_that_they_name_and_mark_the_run_under_way() {
    let twin = Twin::start();
    let runner = Runner::start(&twin, &["--lever", "no-retries", "--wait"]);
    let (status, told) = runner.post("/pull", &json!({ "arm": "treatment", "lever": "no-retries" }));
    assert_eq!(status, 200, "{told}");
    assert!(told["done"]["treatment"].to_string().contains("client.retry.enabled: true -> false"), "{told}");
    assert!(twin.control.client.done().is_empty());
    runner.until("the lever is seen", |state| state["arms"][1]["levers"] == json!(["no-retries"]));
    assert_eq!(runner.post("/unpull", &json!({ "arm": "treatment", "lever": "no-retries" })).0, 200);
    assert_eq!(runner.post("/set", &json!({ "arm": "control", "set": { "api.workers": 3 } })).0, 200);
    assert_eq!(twin.control.api.get("/settings/api.workers"), 3);
    assert_eq!(runner.post("/trigger", &json!({ "trigger": "slow", "for": "1h" })).0, 200, "on both");
    assert_eq!(runner.post("/trigger", &json!({ "arm": "control", "trigger": "slow" })).0, 409);
    runner.until("the trigger is seen", |state| {
        (0..2).all(|arm| state["arms"][arm]["triggers"] == json!(["slow"]))
    });
    assert_eq!(runner.post("/calm", &json!({ "arm": "control" })).0, 200);
    for _ in 0..2 {
        assert_eq!(runner.post("/reset", &json!({})).0, 200, "as often as one likes");
    }
    for stack in [&twin.control, &twin.treatment] {
        let api = stack.api.get("/");
        assert_eq!((&api["changed"], &api["triggers"]), (&json!({}), &json!([])));
    }
    assert_eq!(runner.post("/start", &json!({})).0, 200);
    runner.until("it runs", |state| state["phase"] == "before");
    assert_eq!(runner.post("/set", &json!({ "arm": "control", "set": { "api.queue.size": 19 } })).0, 200);
    let state = runner.until_over(1);
    let reasons = state["last"]["reasons"].to_string();
    assert!(reasons.contains("control: by hand: set api.queue.size"), "{reasons}");
    assert!(reasons.contains("the settings of api are not those that this run gave it"), "{reasons}");
    assert_eq!(state["together"]["left_out"], 1);
}

#[test]
fn without_the_token_all_is_seen_and_nothing_changed_and_only_its_own_page_may_ask() {
    let twin = Twin::start();
    let secret = twin.folder.path().join("token");
    std::fs::write(&secret, "a-token-for-this-test\n").expect("a test can do this");
    let token = ["--token-file", secret.to_str().expect("a test can do this")];
    let runner = Runner::start(&twin, &[&["--lever", "no-retries", "--wait"], &token[..]].concat());
    let json_body = "content-type: application/json";
    for head in [&[json_body][..], &[json_body, "authorization: Bearer not-the-right-token"]] {
        assert_eq!(runner.ask("POST", "/start", head, "{}").0, 401);
        assert_eq!(runner.ask("POST", "/reset", head, "{}").0, 401);
    }
    assert_eq!(runner.state()["token"], true);
    let right = "authorization: Bearer a-token-for-this-test";
    let own = format!("origin: http://{}", runner.at);
    for (origin, status) in [("origin: http://evil.example", 403), ("origin: null", 403), (own.as_str(), 200)]
    {
        assert_eq!(runner.ask("POST", "/stop", &[json_body, right, origin], "{}").0, status, "{origin}");
    }
    let cross = "sec-fetch-site: cross-site";
    assert_eq!(runner.ask("POST", "/stop", &[json_body, right, &own, cross], "{}").0, 403);
    let stranger = ["host: evil.example"];
    assert_eq!(runner.ask("GET", "/metrics", &stranger, "").0, 400, "two names are none");
    let (status, page) = runner.ask("GET", "/", &["accept: text/html,application/xhtml+xml"], "");
    assert!(status == 200 && page.starts_with("<!doctype html>") && !page.contains("a-token"), "{page}");
}

#[test]
fn it_ends_when_it_is_told_to_and_puts_the_stacks_back_first() {
    let twin = Twin::start();
    let out = twin.out();
    let mut runner = Runner::start(&twin, &["--lever", "no-retries", "--out", &out]);
    runner.until("the trigger acts", |state| state["arms"][0]["triggers"] == json!(["slow"]));
    let pid = runner.child.id().to_string();
    let sent = std::process::Command::new("kill").args(["-TERM", &pid]).status();
    assert!(sent.expect("there is `kill`").success());
    assert_eq!(runner.child.wait().expect("it ends").code(), Some(0));
    assert_eq!(twin.control.api.get("/")["triggers"], json!([]));
    assert!(Path::new(&out).join("shop-no-retries-seed-1").join("result.json").exists());
}

#[test]
fn stacks_and_settings_that_make_no_experiment_are_refused_before_anything_listens() {
    let folder = tempfile::tempdir().expect("a test can do this");
    let file = folder.path().join("shop.yaml");
    std::fs::write(&file, served::SCENARIO).expect("a test can do this");
    let file = file.to_str().expect("a test can do this");
    let stack = |name: &str| format!("{name}=http://{name}-{{service}}:9100");
    let (control, treatment) = (stack("control"), stack("treatment"));
    let both = ["--stack", &control, "--stack", &treatment];
    for (more, said) in [
        (&both[..], "name one, or wait"),
        (&["--stack", &control, "--lever", "no-retries"], "there is one stack"),
        (&["--stack", &treatment], "one --stack is called control"),
        (&[both[0], both[1], both[2], both[3], "--lever", "no-retry"], "did you mean `no-retries`?"),
        (&[both[0], both[1], both[2], both[3], "--lever", "scale"], "scaled by whatever runs it"),
        (&[both[0], both[1], both[2], both[3], "--wait", "--link", "x=javascript:1"], "begins with http"),
        (&[both[0], both[1], both[2], both[3], "--wait", "--admin", "0.0.0.0:0"], "changes need a token"),
    ] {
        let output = command(&[&["serve", "runner", "--scenario", file], more].concat()).output();
        let output = output.expect("the binary starts");
        let told = text(&output.stderr);
        assert!(output.status.code() == Some(2) && told.contains(said), "{more:?}: {told}");
    }
}
