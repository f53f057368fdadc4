//! Services as processes of their own: started, run against, killed, stopped, started again. Everything waits
//! for what it has to see, and ports are those that the system gives.
#![cfg(unix)]

mod served;
mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use support::{command, text};

use served::{ANY, SCENARIO, Served, Twin, end, pumphandle, until};

fn reasons(arm: &Value) -> String {
    arm["reasons"].to_string()
}

#[test]
fn an_experiment_sends_the_same_users_to_both_stacks_and_pulls_the_lever_on_one() {
    let twin = Twin::start();
    let (child, told) = twin.run(&["--seed", "3"]);
    let (code, told) = end(child, told);
    // A machine that is busy with other tests may have to say "not valid"; it must never say "held".
    assert!([0, 3].contains(&code), "{told}");
    let result = twin.result();
    let [control, treatment] = [0, 1].map(|i| &result["arms"][i]);
    assert_eq!(control["outcome"]["arrivals"], treatment["outcome"]["arrivals"]);
    assert!(control["outcome"]["arrivals"].as_f64().expect("a test can do this") > 200.0, "{control}");
    assert!(!reasons(control).contains("api") && !reasons(treatment).contains("api"), "{result}");
    assert_eq!(twin.control.api.done(), ["reset", "trigger slow", "trigger slow", "reset"]);
    assert_eq!(twin.treatment.api.done(), ["reset", "trigger slow", "trigger slow", "kill", "reset"]);
    assert_eq!(twin.control.client.done(), ["reset", "reset"]);
    assert_eq!(twin.treatment.client.done(), ["reset", "client.retry.enabled", "reset"]);
    assert_eq!(twin.control.api.get("/")["seed"], 3);
    // Every user reached the api of both, and was counted there.
    let arrived = |arm: &str| -> u64 {
        let rows = std::fs::read_to_string(Path::new(&twin.out()).join("series.ndjson"))
            .expect("a test can do this");
        let rows = rows.lines().map(|line| serde_json::from_str::<Value>(line).expect("a test can do this"));
        let of = rows.filter(|row| row["arm"] == arm && row["service"] == "api");
        of.filter_map(|row| row["flows"]["arrived"].as_u64()).sum()
    };
    for arm in ["control", "no-retries"] {
        assert!(
            arrived(arm) as f64 >= control["outcome"]["arrivals"].as_f64().expect("a test can do this"),
            "{arm}"
        );
    }
}

#[test]
fn a_service_that_is_killed_makes_the_run_not_tested_and_comes_back_into_it() {
    let mut twin = Twin::start();
    let (child, mut told) = twin.run(&[]);
    until(&mut told, "control: api: begin trigger slow");
    let (data, admin) = (twin.treatment.api.data.clone(), twin.treatment.api.admin.clone());
    twin.treatment.api.child.kill().expect("a test can do this");
    twin.treatment.api.child.wait().expect("a test can do this");
    until(&mut told, "treatment: api does not answer, since");
    let file = twin.file();
    let again = ["--data", &data, "--admin", &admin];
    twin.treatment.api = Served::start_again(Path::new(&file), "api", "treatment", &again);
    until(&mut told, "treatment: api answers again");
    let (code, told) = end(child, told);
    assert_eq!(code, 3, "{told}");
    assert!(!told.contains("panicked"), "{told}");
    let result = twin.result();
    assert!(reasons(&result["arms"][1]).contains("treatment: api does not answer, since"), "{result}");
    assert!(!reasons(&result["arms"][0]).contains("does not answer"), "{result}");
    assert_eq!(result["arms"][1]["verdict"]["is"], "not tested");
    assert!(
        result["arms"][0]["outcome"]["arrivals"].as_f64().expect("a test can do this") > 200.0,
        "what was measured is kept"
    );
    // The rig goes on: the stack is whole again.
    let set = pumphandle(&["set", "api.workers=9", "--stack", &twin.treatment.urls()]);
    assert_eq!(set.status.code(), Some(0), "{}", text(&set.stderr));
    assert_eq!(twin.treatment.api.get("/settings/api.workers"), 9);
}

#[test]
fn a_service_that_is_stopped_and_continued_is_told_of_and_the_run_ends() {
    let twin = Twin::start();
    let (child, mut told) = twin.run(&[]);
    until(&mut told, "control: api: begin trigger slow");
    // The kernel goes on to accept its connections: nobody answers on them.
    twin.treatment.api.signal("-STOP");
    let all = until(&mut told, "treatment: api does not answer, since");
    assert!(all.contains("no answer within 2 s"), "{all}");
    twin.treatment.api.signal("-CONT");
    until(&mut told, "treatment: api answers again");
    let (code, told) = end(child, told);
    assert_eq!(code, 3, "{told}");
    assert!(reasons(&twin.result()["arms"][1]).contains("api does not answer"));
}

#[test]
fn stacks_that_are_no_twins_are_refused_and_nothing_is_run() {
    let twin = Twin::start();
    let (child, told) = twin.run(&["--set", "api.workers=4"]);
    let (code, told) = end(child, told);
    assert_eq!(code, 2, "{told}");
    assert!(told.contains("api of treatment: its settings are not those of this run"), "{told}");
    assert!(told.contains("nothing was run") && !Path::new(&twin.out()).exists());
    // Another version of the file.
    std::fs::write(twin.file(), SCENARIO.replace("A shop", "Another shop")).expect("a test can do this");
    let (child, told) = twin.run(&[]);
    let (code, told) = end(child, told);
    assert_eq!(code, 2, "{told}");
    assert!(told.contains("another version of the file"), "{told}");
    // A stack too few, one of whom nobody answers, one in which a service is missing.
    let (file, urls) = (twin.file(), twin.control.urls());
    let nobody = TcpListener::bind("127.0.0.1:0")
        .expect("a test can do this")
        .local_addr()
        .expect("a test can do this");
    for (specs, said) in [
        (vec![format!("control={urls}")], "one for every --lever"),
        (vec![format!("control={urls}"), format!("treatment=http://{nobody}")], "nothing was run"),
        (
            vec![format!("control=http://{}", twin.control.api.admin), twin.treatment.spec()],
            "`client` is missing",
        ),
        (vec![format!("a={urls}"), twin.treatment.spec()], "called control"),
        (vec![urls.clone(), twin.treatment.spec()], "expected NAME=URL"),
    ] {
        let mut all = vec!["run", &file, "--lever", "no-retries"];
        specs.iter().for_each(|spec| all.extend(["--stack", spec.as_str()]));
        let output = pumphandle(&all);
        let told = text(&output.stderr);
        assert!(output.status.code() == Some(2) && told.contains(said), "{specs:?}: {told}");
    }
}

#[test]
fn a_stack_can_be_seated_by_places_before_anybody_knows_the_names_of_its_services() {
    let folder = tempfile::tempdir().expect("a test can do this");
    let file = folder.path().join("shop.yaml");
    std::fs::write(&file, SCENARIO).expect("a test can do this");
    // Every place has a host of its own, as in a network of containers.
    let api = Served::start(&file, "2", "control", &["--data", "127.0.0.2:0", "--admin", "127.0.0.1:0"]);
    let rule = api.data.replace("127.0.0.2:", "127.0.0.{place}:");
    let client = Served::start(&file, "1", "control", &[&ANY[..], &["--at", &rule]].concat());
    let third = command(&["serve", "3", "--scenario", file.to_str().expect("a test can do this")])
        .args(["--admin", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut third = Served { child: third, data: String::new(), admin: String::new() };
    let mut line = String::new();
    let said = third.child.stdout.take().expect("it was asked for");
    BufReader::new(said).read_line(&mut line).expect("a line can be read");
    assert!(line.starts_with("place 3 of control is empty: shop has 2 services; admin at http://"), "{line}");
    line.trim().rsplit_once('/').expect("an address").1.clone_into(&mut third.admin);

    for (served, name) in [(&client, "client"), (&api, "api")] {
        assert_eq!(served.get("/")["service"], name);
    }
    // A user of the client is answered by the api, which was found.
    let mut user = TcpStream::connect(&client.data).expect("the client takes calls");
    let call = "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\npumphandle-arrival: 1\r\npumphandle-path: 1\r\n\r\n";
    user.write_all(call.as_bytes()).expect("a test can do this");
    let mut answer = String::new();
    user.read_to_string(&mut answer).expect("a test can do this");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(third.get("/")["service"], Value::Null);
    let well = pumphandle(&["healthcheck", &third.admin]);
    assert_eq!(well.status.code(), Some(0), "{}", text(&well.stderr));
    // It is no part of the stack, and who takes it for one is told.
    let urls = format!("http://{},http://{},http://{}", client.admin, api.admin, third.admin);
    let state = pumphandle(&["state", "--stack", &urls]);
    assert_eq!(state.status.code(), Some(2));
    assert!(text(&state.stderr).contains("it serves none of client, api"), "{}", text(&state.stderr));
    let nowhere = command(&["serve", "0", "--scenario", file.to_str().expect("a test can do this")])
        .args(ANY)
        .output()
        .expect("the binary starts");
    assert_eq!(nowhere.status.code(), Some(2), "places are counted from 1");
}

#[test]
fn a_host_can_play_an_incident_by_hand() {
    let twin = Twin::start();
    let urls = twin.control.urls();
    let run = |arguments: &[&str]| {
        let output = pumphandle(&[arguments, &["--stack", &urls]].concat());
        (output.status.code().expect("a test can do this"), text(&output.stdout), text(&output.stderr))
    };
    let good = |arguments: &[&str], said: &str| {
        let (code, out, err) = run(arguments);
        assert!(code == 0 && out.contains(said), "{arguments:?}: {out}{err}");
    };
    let bad = |arguments: &[&str], said: &str| {
        let (code, out, err) = run(arguments);
        assert!(code == 2 && err.contains(said), "{arguments:?}: {out}{err}");
    };
    good(&["trigger", "slow", "--for", "1h"], "api: api 20x slower, for 1h");
    bad(&["trigger", "slow"], "acts already");
    bad(&["trigger", "slwo"], "did you mean `slow`?");
    good(&["pull", "no-retries"], "client.retry.enabled: true -> false");
    good(&["set", "api.queue.size=5", "client.retry.attempts=3"], "api.queue.size: 20 -> 5");
    good(&["state"], "client.retry.enabled: false (scenario: true)");
    bad(&["set", "api.queue.size=6", "client.retry.attempts=0"], "nothing was changed");
    assert_eq!(twin.control.api.get("/settings/api.queue.size"), 5, "not even the part that was right");
    bad(&["pull", "no-retry"], "did you mean `no-retries`?");
    good(&["unpull", "no-retries"], "client.retry.enabled: false -> true");
    good(&["calm"], "api: slow has ended");
    good(&["set", "api.queue.size=null"], "api.queue.size: 5 -> 20");
    for _ in 0..2 {
        good(&["reset"], "client: as the scenario says");
    }
    assert_eq!(twin.control.client.get("/")["changed"], serde_json::json!({}));
    assert_eq!(twin.treatment.api.done().len() + twin.treatment.client.done().len(), 0, "the other stack");
}

#[test]
fn a_port_that_is_taken_and_a_port_for_everybody_without_a_token_are_refused_before_anything_starts() {
    let folder = tempfile::tempdir().expect("a test can do this");
    let file = folder.path().join("shop.yaml");
    std::fs::write(&file, SCENARIO).expect("a test can do this");
    let serve = |more: &[&str], token: Option<&str>| {
        let mut command = command(
            &[&["serve", "api", "--scenario", file.to_str().expect("a test can do this")], more].concat(),
        );
        token.map(|token| command.env("PUMPHANDLE_TOKEN", token));
        let output = command.output().expect("a test can do this");
        (output.status.code(), text(&output.stderr))
    };
    let taken = TcpListener::bind("127.0.0.1:0").expect("a test can do this");
    let there = taken.local_addr().expect("a test can do this").to_string();
    for (more, what) in [
        (["--data", &there, "--admin", "127.0.0.1:0"], "data"),
        (["--data", "127.0.0.1:0", "--admin", &there], "admin"),
    ] {
        let (code, told) = serve(&more, None);
        assert!(
            code == Some(2) && told.contains(&format!("the {what} port {there} cannot be had")),
            "{told}"
        );
    }
    let everybody = ["--data", "127.0.0.1:0", "--admin", "0.0.0.0:0"];
    let (code, told) = serve(&everybody, None);
    assert!(code == Some(2) && told.contains("changes need a token there"), "{told}");
    let (code, told) = serve(&everybody, Some("short"));
    assert!(code == Some(2) && told.contains("at least 16 characters") && !told.contains("short"), "{told}");
    let (code, told) = serve(&["--at", "db=127.0.0.1:1"], None);
    assert!(code == Some(2) && told.contains("no such service: `db`"), "{told}");
    let output = pumphandle(&[
        "serve",
        "apo",
        "--scenario",
        file.to_str().expect("a test can do this"),
        "--data",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
    ]);
    assert!(output.status.code() == Some(2) && text(&output.stderr).contains("did you mean `api`?"));
}

#[test]
fn a_stack_with_a_token_obeys_only_those_who_have_it_and_ends_when_it_is_told_to() {
    let folder = tempfile::tempdir().expect("a test can do this");
    let (file, secret) = (folder.path().join("shop.yaml"), folder.path().join("token"));
    std::fs::write(&file, SCENARIO).expect("a test can do this");
    std::fs::write(&secret, "a-token-for-this-test\n").expect("a test can do this");
    let token = ["--token-file", secret.to_str().expect("a test can do this")];
    let api = Served::start(&file, "api", "control", &[&ANY[..], &token].concat());
    let at = format!("api={}", api.data);
    let mut client = Served::start(&file, "client", "control", &[&ANY[..], &token, &["--at", &at]].concat());
    let urls = format!("http://{},http://{}", client.admin, api.admin);
    let set = ["set", "api.workers=9", "--stack", &urls];
    let refused = pumphandle(&set);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("changes need the token"), "{}", text(&refused.stderr));
    assert_eq!(api.get("/settings/api.workers"), 8);
    assert_eq!(pumphandle(&[&set[..], &token].concat()).status.code(), Some(0));
    assert_eq!(api.get("/settings/api.workers"), 9);
    assert_eq!(pumphandle(&["healthcheck", &format!("http://{}", client.admin)]).status.code(), Some(0));
    client.signal("-TERM");
    assert_eq!(
        client.child.wait().expect("a test can do this").code(),
        Some(0),
        "it ended because it was told to"
    );
    assert_eq!(pumphandle(&["healthcheck", &format!("http://{}", client.admin)]).status.code(), Some(2));
}
