//! The control API over real sockets: what it answers, what it writes down, and that a refused request has
//! changed nothing.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use indexmap::IndexMap;
use pumphandle_console::client::Admin;
use pumphandle_console::remote::RemoteStack;
use pumphandle_core::time::Origin;
use pumphandle_experiment::document::{Style, commands};
use pumphandle_experiment::scenario::{paths, read};
use serde_json::{Value, json};
use support::{Rig, SCENARIO};

#[test]
fn settings_are_read_whole_and_one_by_one() {
    let rig = Rig::start("api", None);
    let all = rig.get("/settings");
    assert_eq!(all["api"]["workers"], 4);
    assert!(all.get("client").is_none(), "another process");
    assert_eq!(rig.get("/settings/api.queue.size"), 100);
    assert_eq!(rig.get("/settings/api.service_time"), json!({ "exponential": "5ms" }));
    for nothing in ["/settings/api.pool.size", "/settings/api.nonsense", "/settings/", "/settings/db.workers"]
    {
        assert_eq!(rig.ask("GET", nothing, "").status, 404, "{nothing}");
    }
}

#[test]
fn changes_are_in_force_at_once_and_on_the_timeline_with_old_and_new_and_who() {
    let rig = Rig::start("api", None);
    let body = r#"{ "api.workers": 8, "api.queue.size": 50, "api.queue.order": "fifo" }"#;
    let answer = rig.ask_with("PATCH", "/settings", "pumphandle-who: Ada\r\n", body);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["changed"]["api.workers"], json!({ "old": "4", "new": "8" }));
    assert_eq!(rig.ask("PUT", "/settings/api.service_time", r#"{ "constant": "7ms" }"#).status, 200);
    assert_eq!(rig.get("/settings")["api"]["queue"]["size"], 50);
    assert_eq!(rig.get("/settings/api.service_time"), json!({ "constant": "7ms" }));
    let events = rig.get("/events");
    let told: Vec<[&str; 3]> = events["events"]
        .as_array()
        .expect("a test can do this")
        .iter()
        .map(|event| ["what", "old", "new"].map(|field| event[field].as_str().expect("a test can do this")))
        .collect();
    // What is set to what it was is no event.
    let expected = [
        ["api.workers", "4", "8"],
        ["api.queue.size", "100", "50"],
        ["api.service_time", "{ exponential: 5ms }", "{ constant: 7ms }"],
    ];
    assert_eq!(told, expected);
    assert_eq!(events["events"][0]["who"], "Ada at 127.0.0.1");
    assert_eq!(rig.get("/")["changed"]["api.workers"], json!({ "scenario": "4", "now": "8" }));
}

#[test]
fn null_and_delete_put_back_what_the_scenario_says_even_where_that_is_nothing() {
    let rig = Rig::start("client", None);
    let budget =
        r#"{ "client.retry_budget": { "token_bucket": { "deposit": "10%" } }, "client.retry.attempts": 2 }"#;
    assert_eq!(rig.ask("PATCH", "/settings", budget).status, 200);
    assert_eq!(
        rig.get("/")["changed"].as_object().expect("a test can do this").len(),
        5,
        "four fields of the budget, and the attempts"
    );
    assert_eq!(rig.ask("PATCH", "/settings", r#"{ "client.retry_budget": null }"#).status, 200);
    assert_eq!(rig.ask("DELETE", "/settings/client.retry.attempts", "").status, 200);
    assert_eq!(rig.get("/")["changed"], json!({}));
    assert_eq!(rig.get("/settings/client.retry.attempts"), 4);
    // There is nothing to put back any more, and that is no error.
    assert_eq!(rig.ask("DELETE", "/settings/client.retry_budget", "").status, 200);
    assert_eq!(rig.get("/events")["events"].as_array().expect("a test can do this").len(), 4);
}

#[test]
fn a_wrong_change_is_refused_with_every_problem_in_the_words_of_set_and_levers() {
    let rig = Rig::start("api", None);
    let before = rig.everything();
    let changes: IndexMap<String, Value> = [
        ("api.workers", json!(0)),
        ("api.queue.sise", json!(5)),
        ("api.service_time", json!({ "exponential": "soon" })),
        ("api.retry.attempts", json!(2)),
    ]
    .map(|(path, value)| (path.to_owned(), value))
    .into();
    let answer = rig.ask("PATCH", "/settings", &serde_json::to_string(&changes).expect("a test can do this"));
    assert_eq!(answer.status, 422, "{answer:?}");
    let mut services =
        read::read("shop.yaml", SCENARIO, Style::Plain).expect("a test can do this").scenario.services;
    let expected = paths::set_all(&mut services, &changes).unwrap_err();
    let told = answer.json();
    let told: Vec<&str> = told["problems"]
        .as_array()
        .expect("a test can do this")
        .iter()
        .map(|it| it["message"].as_str().expect("a test can do this"))
        .collect();
    let expected: Vec<&str> = expected.iter().map(|problem| problem.message.as_str()).collect();
    assert_eq!(told, expected);
    assert_eq!(told.len(), 4);
    assert_eq!(rig.everything(), before, "one of them would have been right in another company");
}

/// What is wrong, request by request: method, path, further lines of the head, body, status, and what is said.
const REFUSED: &[(&str, &str, &str, &str, u16, &str)] = &[
    ("PATCH", "/settings", "", "", 400, "not the JSON"),
    ("PATCH", "/settings", "", "{", 400, "not the JSON"),
    ("PATCH", "/settings", "", "[1]", 400, "an object"),
    ("PATCH", "/settings", "", "\u{0}\u{1}", 400, "not the JSON"),
    ("PATCH", "/settings", "", "{}", 422, "no setting is named"),
    ("PATCH", "/settings", "", r#"{"api.workers":8,"api.workers":9}"#, 400, "twice"),
    ("PATCH", "/settings", "", r#"{"api.workers":8} {}"#, 400, "trailing"),
    ("PATCH", "/settings", "", r#"{"api.workers":1e999}"#, 400, "out of range"),
    ("PATCH", "/settings", "", r#"{"api.workers":-1}"#, 422, "api.workers"),
    ("PATCH", "/settings", "", r#"{"api.workers":8,"api.worker":8}"#, 422, "did you mean `workers`"),
    ("PATCH", "/settings", "", r#"{"api":{}}"#, 422, "whole service"),
    ("PATCH", "/settings", "", r#"{"api.calls":"db"}"#, 422, "who calls whom cannot change"),
    ("PATCH", "/settings", "", r#"{"client.retry.attempts":2}"#, 422, "a process of its own"),
    ("PATCH", "/settings", "", r#"{"nobody.workers":null}"#, 422, "no such service"),
    ("PATCH", "/settings", "", r#"{"api.nonsense":null}"#, 422, "nonsense"),
    ("PATCH", "/settings", "", r#"{"":1}"#, 422, "no such service"),
    ("PUT", "/settings/api.workers", "", "many", 400, "not the JSON"),
    ("PUT", "/settings/api.workers", "", r#""many""#, 422, "api.workers"),
    ("PUT", "/settings/", "", "1", 422, "no such service"),
    ("PUT", "/settings/api.workers/../../x", "", "1", 422, ""),
    ("DELETE", "/settings/api.wrong", "", "", 422, "wrong"),
    ("DELETE", "/settings", "", "", 405, "GET, HEAD, PATCH"),
    ("POST", "/metrics", "", "", 405, "GET, HEAD"),
    ("POST", "/", "", "{}", 405, "GET, HEAD"),
    ("GET", "/reset", "", "", 405, "POST"),
    ("HEAD", "/reset", "", "", 405, ""),
    ("TRACE", "/reset", "", "", 405, "POST"),
    ("POST", "/nowhere", "", "{}", 404, "here are"),
    ("POST", "/reset/", "", "{}", 404, "here are"),
    ("POST", "//reset", "", "{}", 404, "here are"),
    ("POST", "/%72eset", "", "{}", 404, "here are"),
    ("POST", "/reset", "", r#"{"seed":"x"}"#, 400, "whole number"),
    ("POST", "/reset", "", r#"{"seed":-1}"#, 400, "whole number"),
    ("POST", "/reset", "", r#"{"sed":1}"#, 400, "no such field"),
    ("POST", "/restart", "", r#"{"down":5}"#, 400, "expected text"),
    ("POST", "/restart", "", r#"{"down":"later"}"#, 400, "later"),
    ("POST", "/kill", "", "", 400, "`older_than`: is missing"),
    ("POST", "/kill", "", "{}", 400, "`older_than`: is missing"),
    ("POST", "/kill", "", r#"{"older_than":5}"#, 400, "expected text"),
    ("POST", "/kill", "", r#"{"older_than":"soon"}"#, 400, "soon"),
    ("POST", "/kill", "", r#"{"older":"1s"}"#, 400, "no such field"),
    ("GET", "/kill", "", "", 405, "POST"),
    ("POST", "/calm", "", r#"{"trigger":7}"#, 400, "expected text"),
    ("POST", "/disturb", "", "", 422, "no trigger"),
    ("POST", "/disturb", "", r#"{"trigger":"fast"}"#, 422, "there is slow, broken"),
    ("POST", "/disturb", "", r#"{"trigger":"slow","when":"now"}"#, 400, "no such field"),
    ("POST", "/disturb", "", r#"{"trigger":"x","do":{"explode":{"service":"api"}}}"#, 422, "explode"),
    (
        "POST",
        "/disturb",
        "",
        r#"{"trigger":"x","do":{"hang":{"service":"api","share":"200%"}}}"#,
        422,
        "share",
    ),
    ("POST", "/disturb", "", r#"{"trigger":"x","do":{"hang":{"service":"db","share":"1%"}}}"#, 422, "db"),
    ("POST", "/disturb", "", r#"{"trigger":"x","do":{"outage":{"service":"client"}}}"#, 422, "of its own"),
    ("POST", "/disturb", "", r#"{"trigger":"x","do":{"traffic_spike":{"factor":2}}}"#, 422, "runner"),
    ("POST", "/disturb", "", r#"{"trigger":"x\n","do":{"outage":{"service":"api"}}}"#, 422, "letters"),
    ("POST", "/disturb", "", r#"{"trigger":"slow","for":"0s"}"#, 422, "does nothing"),
    ("POST", "/reset", "origin: https://evil.example\r\n", "{}", 403, "web page"),
    ("POST", "/reset", "sec-fetch-site: cross-site\r\n", "{}", 403, "web page"),
    ("POST", "/reset", "host: evil.example\r\n", "{}", 400, "host"),
];

#[test]
fn a_request_that_makes_no_sense_is_told_why_and_changes_nothing() {
    let rig = Rig::start("api", None);
    let before = rig.everything();
    for (method, path, more, body, status, said) in REFUSED {
        let answer = rig.ask_with(method, path, more, body);
        assert_eq!(answer.status, *status, "{method} {path} {more}{body}: {answer:?}");
        assert!(answer.body.contains(said), "{method} {path} {body}: {answer:?}");
        assert_eq!(rig.everything(), before, "{method} {path} {more}{body}");
    }
}

#[test]
fn a_stranger_name_a_wrong_kind_and_too_much_of_anything_are_refused() {
    let rig = Rig::start("api", None);
    let before = rig.everything();
    let own = rig.address;
    let post = |host: &str, more: &str, body: &str| {
        rig.raw(
            format!("POST /reset HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{more}\r\n{body}")
                .as_bytes(),
        )
    };
    let own = own.to_string();
    let json = "content-type: application/json\r\n";
    // DNS rebinding: the name of a page's owner, made to lead here.
    assert_eq!(post("evil.example:9100", "", "").status, 421);
    assert_eq!(rig.raw(b"GET / HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n").status, 421);
    assert_eq!(rig.raw(b"POST /reset HTTP/1.0\r\n\r\n").status, 400, "no host at all");
    // What a form on a web page can send without asking first.
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""] {
        let answer = post(&own, &format!("content-type: {kind}\r\ncontent-length: 2\r\n"), "{}");
        assert_eq!(answer.status, 415, "{kind}: {answer:?}");
    }
    let huge = "x".repeat(64 * 1024 + 1);
    assert_eq!(post(&own, &format!("{json}content-length: {}\r\n", huge.len()), &huge).status, 413);
    assert_eq!(post(&own, &format!("{json}content-length: 99999999999\r\n"), "{}").status, 413);
    let chunks = format!("10001\r\n{huge}\r\n0\r\n\r\n");
    assert_eq!(post(&own, &format!("{json}transfer-encoding: chunked\r\n"), &chunks).status, 413);
    let half = format!("POST /reset HTTP/1.1\r\nhost: {own}\r\n{json}content-length: 10\r\n\r\n{{}}");
    assert!([0, 400].contains(&rig.raw_and_hang_up(half.as_bytes()).status), "it broke off");
    let long = format!("x: {}\r\n", "y".repeat(20_000));
    assert!([400, 431].contains(&post(&own, &long, "").status), "a head of 20 kB");
    let many: String = (0..100).map(|i| format!("x{i}: y\r\n")).collect();
    assert!([400, 431].contains(&post(&own, &many, "").status), "a hundred lines of head");
    assert_eq!(rig.everything(), before);
    let full = format!("{{\"seed\": 7{}}}", " ".repeat(64 * 1024 - 11));
    assert_eq!(full.len(), 64 * 1024);
    assert_eq!(
        post(&own, &format!("{json}content-length: {}\r\n", full.len()), &full).status,
        200,
        "just fits"
    );
}

/// Processor time is not counted while it is spent: whoever asks has it counted first.
#[test]
fn what_a_service_has_computed_is_seen_by_whoever_asks() {
    let rig = Rig::start("api", None);
    let computed = || {
        let page = rig.ask("GET", "/metrics", "").body;
        let line =
            page.lines().find(|line| line.starts_with("pumphandle_cpu_seconds_total{")).unwrap().to_owned();
        line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()
    };
    assert_eq!(computed(), 0.0);
    let data = rig.get("/")["data"].as_str().unwrap().to_owned();
    let mut call = std::net::TcpStream::connect(&data).unwrap();
    let request = "POST / HTTP/1.1\r\nhost: api\r\nconnection: close\r\ncontent-length: 0\r\n\
                   pumphandle-arrival: 1\r\npumphandle-path: 1\r\n\r\n";
    call.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    call.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(computed() > 0.0);
}

#[test]
fn without_the_token_everything_can_be_read_and_nothing_changed() {
    const TOKEN: &str = "a-token-for-this-test";
    let rig = Rig::start("api", Some(TOKEN));
    let before = rig.everything();
    assert_eq!(rig.ask("GET", "/metrics", "").status, 200);
    let changes = [
        ("PATCH", "/settings", r#"{ "api.workers": 8 }"#),
        ("PUT", "/settings/api.workers", "8"),
        ("DELETE", "/settings/api.workers", ""),
        ("POST", "/disturb", r#"{ "trigger": "slow" }"#),
        ("POST", "/calm", "{}"),
        ("POST", "/restart", "{}"),
        ("POST", "/kill", r#"{ "older_than": "30s" }"#),
        ("POST", "/reset", "{}"),
    ];
    for (method, path, body) in changes {
        for wrong in ["", "authorization: Bearer another-token-of-some-length\r\n"] {
            let answer = rig.ask_with(method, path, wrong, body);
            assert_eq!(answer.status, 401, "{method} {path}: {answer:?}");
            assert!(answer.head.contains("www-authenticate: bearer") && !answer.body.contains(TOKEN));
        }
    }
    assert_eq!(rig.everything(), before);
    for (method, path, body) in changes {
        let answer = rig.ask_with(method, path, &format!("authorization: Bearer {TOKEN}\r\n"), body);
        assert_eq!(answer.status, 200, "{method} {path}: {answer:?}");
    }
}

#[test]
fn a_trigger_begins_once_and_ends_by_hand_or_by_itself_and_both_are_on_the_timeline() {
    let rig = Rig::start("api", None);
    assert_eq!(rig.ask("POST", "/disturb", r#"{ "trigger": "slow" }"#).status, 200);
    assert_eq!(rig.ask("POST", "/disturb", r#"{ "trigger": "slow" }"#).status, 409, "it acts already");
    assert_eq!(rig.get("/")["triggers"][0], json!({ "trigger": "slow", "does": "api 20x slower" }));
    let own =
        r#"{ "trigger": "mine", "for": "10ms", "do": { "hang": { "service": "api", "share": "5%" } } }"#;
    assert_eq!(rig.ask("POST", "/disturb", own).status, 200);
    until(|| rig.get("/")["triggers"].as_array().expect("a test can do this").len() == 1);
    assert_eq!(rig.ask("POST", "/calm", r#"{ "trigger": "slow" }"#).json(), json!({ "ended": ["slow"] }));
    assert_eq!(rig.ask("POST", "/calm", "").json(), json!({ "ended": [] }), "nothing acts any more");
    let events = rig.get("/events");
    let whats: Vec<&str> = events["events"]
        .as_array()
        .expect("a test can do this")
        .iter()
        .map(|event| event["what"].as_str().expect("a test can do this"))
        .collect();
    assert_eq!(whats, ["trigger slow", "trigger mine", "trigger mine", "trigger slow"]);
    assert_eq!(events["events"][2]["who"], "its time is over");
}

#[test]
fn a_reset_puts_back_settings_triggers_and_seed_however_often_it_is_asked() {
    let rig = Rig::start("api", None);
    let fresh = (rig.get("/settings"), rig.get("/")["triggers"].clone());
    rig.ask("PATCH", "/settings", r#"{ "api.workers": 8 }"#);
    rig.ask("POST", "/disturb", r#"{ "trigger": "slow" }"#);
    for _ in 0..3 {
        assert_eq!(rig.ask("POST", "/reset", r#"{ "seed": 5 }"#).status, 200);
        assert_eq!((rig.get("/settings"), rig.get("/")["triggers"].clone()), fresh);
        assert_eq!(rig.get("/")["changed"], json!({}));
        assert_eq!(rig.get("/")["seed"], 5);
    }
    // And nothing of before comes back: the same trigger can begin anew.
    assert_eq!(rig.ask("POST", "/disturb", r#"{ "trigger": "slow" }"#).status, 200);
}

#[test]
fn the_timeline_keeps_the_last_thousand_and_says_how_many_it_forgot() {
    let rig = Rig::start("api", None);
    let mut stream = TcpStream::connect(rig.address).expect("a test can do this");
    let mut answer = [0; 4096];
    for _ in 0..1010 {
        let head = format!("POST /restart HTTP/1.1\r\nhost: {}\r\ncontent-length: 0\r\n\r\n", rig.address);
        stream.write_all(head.as_bytes()).expect("a test can do this");
        assert!(stream.read(&mut answer).expect("a test can do this") > 0);
    }
    let events = rig.get("/events");
    assert_eq!(events["events"].as_array().expect("a test can do this").len(), 1000);
    assert_eq!((&events["forgotten"], &events["events"][0]["n"]), (&json!(10), &json!(11)));
}

#[test]
fn silent_connections_hold_a_bounded_number_of_places_and_no_more() {
    let rig = Rig::start("api", None);
    let silent = |_| {
        let mut stream = TcpStream::connect(rig.address).expect("a test can do this");
        stream.write_all(b"GET / HT").expect("a test can do this");
        stream
    };
    let mut crowd: Vec<TcpStream> = (0..64).map(silent).collect();
    let address = rig.address;
    let late = std::thread::spawn(move || {
        let mut stream = TcpStream::connect(address).expect("a test can do this");
        stream
            .write_all(
                format!("GET /healthz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").as_bytes(),
            )
            .expect("a test can do this");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("a test can do this");
        answer
    });
    // It waits for a place, and gets the one that comes free.
    drop(crowd.pop());
    assert!(late.join().expect("a test can do this").starts_with("HTTP/1.1 200"));
}

/// Somebody who answers every request with these bytes.
fn impostor(answer: &'static [u8]) -> std::net::SocketAddr {
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a test can do this");
    let at = port.local_addr().expect("a test can do this");
    std::thread::spawn(move || {
        for stream in port.incoming() {
            let mut stream = stream.expect("a test can do this");
            let mut head = [0; 4096];
            // Whoever asked may have gone.
            let _ = stream.read(&mut head);
            let _ = stream.write_all(answer);
        }
    });
    at
}

#[test]
fn what_another_process_says_cannot_command_a_terminal() {
    const REFUSAL: &[u8] =
        b"HTTP/1.1 422 x\r\nconnection: close\r\n\r\n{\"error\":\"no\\u001b[2J\\u009b2J\\u202e\",\
        \"problems\":[{\"path\":\"\\u001b]0;x\\u0007\",\"message\":\"\\u2066\",\"help\":\"\\r\"}]}";
    const PLAIN: &[u8] = b"HTTP/1.1 500 x\r\nconnection: close\r\n\r\n\x1b[2J\x1b]0;owned\x07 sorry";
    const NAMED: &[u8] = b"HTTP/1.1 200 x\r\nconnection: close\r\n\r\n{\"service\":\"\\u001b[2J\"}";
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a test can do this");
    Origin::after(Duration::ZERO).enter();
    let mut said = Vec::new();
    for answer in [REFUSAL, PLAIN, NAMED] {
        let admin = Admin::at(&impostor(answer).to_string(), None, "test").expect("it is an address");
        runtime.block_on(async {
            said.extend(admin.get("/").await.err().map(|failure| failure.to_string()));
            said.extend(admin.metrics().await.err().map(|failure| failure.to_string()));
            let found = RemoteStack::find(vec![admin], &["api".to_owned()]).await;
            said.extend(found.expect_err("that is no stack"));
        });
    }
    assert!(
        said.len() >= 8
            && said.iter().any(|it| it.contains("no"))
            && said.iter().any(|it| it.contains("sorry"))
    );
    for sentence in said {
        assert!(!sentence.contains(commands), "{sentence:?}");
    }
}

fn until(condition: impl Fn() -> bool) {
    let give_up = 20_000;
    for _ in 0..give_up {
        if condition() {
            return;
        }
        std::thread::park_timeout(Duration::from_millis(1));
    }
    panic!("it never happened");
}
