//! `load` and `export` as a person uses them: a run of the binary, put into a server that takes remote write and knows
//! by itself what it was sent, or written as a file that is read strictly.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/openmetrics.rs"]
mod openmetrics;
#[path = "support/remote_write.rs"]
mod remote_write;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Output;
use std::sync::{Arc, Mutex};

use pumphandle_core::catalogue::{self, Kind};
use remote_write::{Received, STALE, receive};
use serde_json::{Value, json};
use support::pumphandle;

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// A storm small enough for a test, with one lever.
fn run(folder: &Path, out: &str, seed: &str) -> Value {
    let arguments = [
        "run",
        "retry-storm",
        "--duration",
        "110s",
        "--pull",
        "70s",
        "--set",
        "timeline.slow-queries.from=20s",
        "--set",
        "timeline.slow-queries.for=20s",
        "--lever",
        "circuit-breaker",
        "--seeds",
        "1",
        "--seed",
        seed,
        "--out",
        out,
    ];
    let output = pumphandle(folder, &arguments);
    assert!(folder.join(out).join("series.ndjson").exists(), "{}", told(&output));
    serde_json::from_slice(&std::fs::read(folder.join(out).join("result.json")).unwrap()).unwrap()
}

// === a server ===

/// Takes remote write, and answers the few questions that `load` asks.
struct Server {
    url: String,
    received: Arc<Mutex<Received>>,
}

/// What it answers to remote write: a status, and a text.
type Manner = (u16, &'static str);

impl Server {
    fn start(manner: Manner) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server =
            Server { url: format!("http://{}", listener.local_addr().unwrap()), received: Arc::default() };
        let received = Arc::clone(&server.received);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                answer(&mut stream.unwrap(), manner, &received);
            }
        });
        server
    }

    fn received(&self) -> Received {
        self.received.lock().unwrap().clone()
    }
}

fn answer(stream: &mut TcpStream, (status, text): Manner, received: &Mutex<Received>) {
    let (head, body) = request(stream);
    let (status, text) = if head[0].starts_with("POST /api/v1/write ") {
        for header in ["content-encoding: snappy", "content-type: application/x-protobuf"] {
            assert!(head.iter().any(|line| line.eq_ignore_ascii_case(header)), "{head:?}");
        }
        if status == 204 {
            receive(&body, &mut received.lock().unwrap());
        }
        (status, text.to_owned())
    } else {
        (
            200,
            json!({ "status": "success", "data": { "result": query(&head[0], &received.lock().unwrap()) } })
                .to_string(),
        )
    };
    // A client that has seen enough may be gone.
    let _ = write!(
        stream,
        "HTTP/1.1 {status} -\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
        text.len()
    );
}

fn request(stream: &TcpStream) -> (Vec<String>, Vec<u8>) {
    let mut reader = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        match line.trim_end() {
            "" => break,
            line => head.push(line.to_owned()),
        }
    }
    let length =
        head.iter().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).unwrap();
    (head, body)
}

/// Just what `load` asks: since when a run is there, and what its users have come to at an instant.
fn query(line: &str, received: &Received) -> Value {
    let time: i64 = line.rsplit_once("time=").unwrap().1.split(' ').next().unwrap().parse().unwrap();
    let info = |labels: &BTreeMap<String, String>| labels["__name__"] == "pumphandle_run_info";
    let first = received.iter().find(|(labels, _)| info(labels)).map(|(_, samples)| samples[0].0 / 1000);
    if line.contains("min_over_time") {
        return first.map_or(json!([]), |at| json!([{ "value": [time, at.to_string()] }]));
    }
    if line.contains("run_info") && line.contains("5B1m%5D") {
        return json!([{ "values": [[first, "1"]] }]);
    }
    if line.contains("count_over_time") {
        // Everything overlaps here, but nothing begins where it is asked for.
        return json!([{ "value": [time, "7"] }]);
    }
    let users = received.iter().filter(|(labels, _)| labels["__name__"].starts_with("pumphandle_user"));
    let at = |samples: &[(i64, u64)]| {
        let (_, bits) = samples.iter().rfind(|(at, _)| *at <= time * 1000)?;
        Some(f64::from_bits(*bits).to_string())
    };
    users
        .filter_map(|(labels, samples)| Some(json!({ "metric": labels, "value": [time, at(samples)?] })))
        .collect()
}

fn values(samples: &[(i64, u64)]) -> Vec<f64> {
    samples.iter().filter(|(_, bits)| *bits != STALE).map(|(_, bits)| f64::from_bits(*bits)).collect()
}

/// The last value of the one series that fits.
fn last(received: &Received, name: &str, wanted: &[(&str, &str)]) -> f64 {
    let fits = |labels: &BTreeMap<String, String>| {
        labels["__name__"] == name
            && wanted.iter().all(|(label, value)| labels.get(*label).is_some_and(|it| it == value))
    };
    let found: Vec<_> = received.iter().filter(|(labels, _)| fits(labels)).collect();
    assert_eq!(found.len(), 1, "{name} {wanted:?}");
    *values(found[0].1).last().unwrap()
}

#[test]
fn a_run_is_loaded_under_the_names_of_the_catalogue_in_order_without_gaps_and_as_result_json_says() {
    let folder = tempfile::tempdir().unwrap();
    let result = run(folder.path(), "storm", "1");
    let server = Server::start((204, ""));
    let at = ["--at", "2026-01-31T16:23:00Z"];
    let load = ["load", "storm", "--prometheus", &server.url, at[0], at[1], "--grafana", "http://g:3000/"];
    let output = pumphandle(folder.path(), &load);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    assert!(
        told(&output).contains("from 2026-01-31T16:23:00Z to 2026-01-31T16:24:50Z; all there, as counted")
    );
    for address in ["incident", "stocks", "mechanisms"] {
        let link = format!("http://g:3000/d/pumphandle-{address}?var-run=storm&from=1769876575000&to=");
        assert!(told(&output).contains(&link), "{}", told(&output));
    }
    let received = server.received();
    let specs: BTreeMap<_, _> = catalogue::all().into_iter().map(|spec| (spec.name.clone(), spec)).collect();
    let mut seen = BTreeSet::new();
    for (labels, samples) in &received {
        let name = labels["__name__"].as_str();
        let base =
            ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        let spec = &specs[base];
        seen.insert(base.to_owned());
        let mut expected: BTreeSet<&str> = spec.labels.iter().copied().chain(["__name__", "run"]).collect();
        if name.ends_with("_bucket") {
            expected.insert("le");
        }
        assert_eq!(labels.keys().map(String::as_str).collect::<BTreeSet<_>>(), expected);
        assert_eq!(labels["run"], "storm");
        let seconds: Vec<i64> = samples.iter().map(|(at, _)| *at).collect();
        assert!(
            seconds.windows(2).all(|pair| pair[1] - pair[0] == 1000),
            "{labels:?}: no gap, nothing twice"
        );
        let ends: Vec<usize> = (0..samples.len()).filter(|i| samples[*i].1 == STALE).collect();
        assert_eq!(ends, [samples.len() - 1], "{labels:?} ends once, at its end");
        if spec.kind != Kind::Gauge {
            let values = values(samples);
            assert_eq!((samples[0].0, values[0]), (1_769_876_580_000, 0.0), "{labels:?}");
            assert!(values.windows(2).all(|pair| pair[0] <= pair[1]), "{labels:?}");
        }
    }
    let services = catalogue::services().into_iter().map(|(spec, _)| spec.name);
    assert!(services.into_iter().all(|name| seen.contains(&name)));
    for arm in result["arms"].as_array().unwrap() {
        let name = arm["arm"].as_str().unwrap();
        let outcome = |what: &str| arm["outcome"][what].as_f64().unwrap();
        let users = |what: &str| {
            last(&received, "pumphandle_users_settled_total", &[("arm", name), ("outcome", what)])
        };
        assert_eq!(last(&received, "pumphandle_users_due_total", &[("arm", name)]), outcome("arrivals"));
        assert_eq!((users("good"), users("degraded")), (outcome("good"), outcome("degraded")));
        let waiting = last(&received, "pumphandle_users_waiting", &[("arm", name)]);
        let settled = users("good") + users("degraded") + users("late") + users("error");
        assert_eq!(settled + waiting, outcome("arrivals"));
        assert_eq!(last(&received, "pumphandle_user_latency_seconds_count", &[("arm", name)]), settled);
        assert_eq!(last(&received, "pumphandle_harm_share", &[("arm", name)]), outcome("harm_share"));
        let last_minute =
            last(&received, "pumphandle_good_share", &[("arm", name), ("window", "last_minute")]);
        assert_eq!(Some(last_minute), arm["outcome"]["good_share_by_window"]["last_minute"].as_f64());
        // Attempts arriving at a service, over the whole run, against the accounts of its door.
        let inside = [("arm", name), ("service", "api")];
        let arrived = last(&received, "pumphandle_arrived_total", &inside);
        assert!(arrived >= outcome("arrivals"), "{arrived}");
        let [entered, left] = ["inflow", "outflow"]
            .map(|it| last(&received, &format!("pumphandle_inside_{it}_total"), &inside));
        assert_eq!(entered - left, last(&received, "pumphandle_inside", &inside));
    }
    for account in result["stocks"].as_array().unwrap() {
        let (service, stock) = account["stock"].as_str().unwrap().split_once('.').unwrap();
        let wanted = [("arm", "control"), ("service", service)];
        for (what, field) in [("_inflow_total", "entered"), ("_outflow_total", "left"), ("", "level")] {
            let shown = last(&received, &format!("pumphandle_{stock}{what}"), &wanted);
            assert_eq!(Some(shown), account[field].as_f64(), "{stock} {field}");
        }
    }
    // The lever is a breaker, and it is seen to open.
    let breaker = received.iter().find(|(labels, _)| {
        labels["__name__"] == "pumphandle_breaker_state"
            && labels["arm"] == "circuit-breaker"
            && labels["service"] == "client"
    });
    let states: BTreeSet<u64> = values(breaker.unwrap().1).iter().map(|state| *state as u64).collect();
    assert!(states.contains(&0) && states.contains(&3), "{states:?}");
}

#[test]
fn a_run_that_is_there_is_not_sent_again_and_another_of_its_name_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), "storm", "1");
    run(folder.path(), "other", "2");
    let server = Server::start((204, ""));
    let load = |run: &str, more: &[&str]| {
        pumphandle(folder.path(), &[&["load", run, "--prometheus", &server.url], more].concat())
    };
    let output = load("storm", &[]);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let first = server.received();
    let output = load("storm", &[]);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    assert!(
        told(&output).contains("storm is there already, from 20")
            && told(&output).contains("nothing was sent")
            && told(&output).contains("http://localhost:3000/d/pumphandle-incident?var-run=storm&from="),
        "{}",
        told(&output)
    );
    let output = load("other", &["--name", "storm"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(told(&output).contains("another run called storm is there") && told(&output).contains("--name"));
    // At another time it would mix with what is there.
    let output = load("storm", &["--at", "1769876580"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(told(&output).contains("the two would mix"), "{}", told(&output));
    assert!(server.received() == first, "nothing was added by any of them");
    // A part of it is completed.
    let due = first
        .iter()
        .find(|(labels, _)| labels["__name__"] == "pumphandle_users_due_total")
        .unwrap()
        .0
        .clone();
    server.received.lock().unwrap().remove(&due);
    let output = load("storm", &[]);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    assert!(told(&output).contains("is there in part") && server.received().contains_key(&due));
}

#[test]
fn what_a_server_refuses_is_told_with_what_to_change() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), "storm", "1");
    for (manner, said) in [
        ((404, "404 page not found"), "--web.enable-remote-write-receiver"),
        ((404, "remote write receiver needs to be enabled"), "--web.enable-remote-write-receiver"),
        ((400, "out of bounds"), "out_of_order_time_window: 30d"),
        ((400, "out of order sample"), "out_of_order_time_window: 30d"),
        ((500, "too old sample"), "choose a later --at, or a longer window"),
        ((400, "duplicate sample for timestamp"), "another --name"),
        ((401, "who?"), "wants credentials"),
        ((503, "busy\u{1b}[31m"), "(503: busy\u{fffd}[31m): see its log"),
    ] {
        let server = Server::start(manner);
        let output = pumphandle(folder.path(), &["load", "storm", "--prometheus", &server.url]);
        let told = told(&output);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains(said) && told.contains("nothing of it is there"), "{manner:?}: {told}");
        assert!(!told.contains('\u{1b}') && output.stdout.is_empty(), "{told}");
    }
}

#[test]
fn what_cannot_be_loaded_is_refused_before_anything_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), "storm", "1");
    let inside = |path: &str| folder.path().join(path);
    let copy = |to: &str, change: &dyn Fn(Vec<u8>) -> Vec<u8>| {
        std::fs::create_dir(inside(to)).unwrap();
        std::fs::copy(inside("storm/result.json"), inside(to).join("result.json")).unwrap();
        let series = std::fs::read(inside("storm/series.ndjson")).unwrap();
        std::fs::write(inside(to).join("series.ndjson"), change(series)).unwrap();
    };
    copy("cut", &|all| all[..all.len() / 2].to_vec());
    copy("whole-lines", &|all| {
        all[..=all[..all.len() / 2].iter().rposition(|byte| *byte == b'\n').unwrap()].to_vec()
    });
    copy("binary", &|all| all.iter().map(|byte| byte ^ 0x80).collect());
    copy("empty", &|_| Vec::new());
    copy("no-series", &|all| all);
    std::fs::remove_file(inside("no-series/series.ndjson")).unwrap();
    copy("a-sweep", &|all| all);
    std::fs::write(inside("a-sweep/result.json"), "{\"schema\": 1, \"x\": []}").unwrap();
    std::fs::create_dir(inside("nothing")).unwrap();
    let server = Server::start((204, ""));
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = server.url.as_str();
    let future = "2999-01-01T00:00:00Z";
    let table: &[(&[&str], &str)] = &[
        (&["load", "nowhere", "--prometheus", url], "nowhere: No such file"),
        (&["load", "nothing", "--prometheus", url], "nothing is no folder that a run left"),
        (&["load", "storm/result.json", "--prometheus", url], "is no folder that a run left"),
        (&["load", "no-series", "--prometheus", url], "no-series holds no series of a run"),
        (&["load", "a-sweep", "--prometheus", url], "result.json: it is not what `pumphandle run` writes"),
        (&["load", "cut", "--prometheus", url], "cut: series.ndjson, line"),
        (&["load", "whole-lines", "--prometheus", url], "the file was cut off"),
        (&["load", "binary", "--prometheus", url], "line 1: it is no text"),
        (&["load", "empty", "--prometheus", url], "ends at 0 s, and the run at 110 s"),
        (&["load", "storm", "--prometheus", url, "--name", "live"], "`live` is what is scraped"),
        (&["load", "storm", "--prometheus", url, "--name", ""], "no name for a run"),
        (&["load", "storm", "--prometheus", url, "--at", future], "would end in the future"),
        (&["load", "storm", "--prometheus", url, "--at", "tomorrow"], "expected 2026-01-31T16:23:00Z"),
        (&["load", "storm", "--prometheus", "https://x:1"], "TLS"),
        (&["load", "storm", "--prometheus", "x:y"], "no address of a Prometheus"),
        (&["load", "storm", "--prometheus", &format!("http://{nobody}")], "Connection refused"),
        (&["load", "storm"], "--prometheus"),
        (&["export", "storm"], "--openmetrics"),
        (&["export", "storm", "--openmetrics", "no/such/folder/file"], "could not be written"),
        (&["export", "cut", "--openmetrics", "cut.txt"], "cut: series.ndjson, line"),
    ];
    for (arguments, said) in table {
        let output = pumphandle(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", told(&output));
        assert!(told(&output).contains(said), "{arguments:?}: {}", told(&output));
        assert!(!told(&output).contains("panicked"));
    }
    assert!(server.received().is_empty() && !inside("cut.txt").exists());
}

#[test]
fn an_export_is_strict_openmetrics_with_the_numbers_of_result_json() {
    let folder = tempfile::tempdir().unwrap();
    let result = run(folder.path(), "storm", "1");
    let export = |to: &[&str]| {
        pumphandle(folder.path(), &[&["export", "storm", "--at", "1769876580", "--openmetrics"], to].concat())
    };
    let output = export(&["storm.txt"]);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    assert!(told(&output).contains("promtool tsdb create-blocks-from openmetrics storm.txt DATA"));
    let text = std::fs::read_to_string(folder.path().join("storm.txt")).unwrap();
    for to in [&[][..], &["-"]] {
        assert!(export(to).stdout == text.as_bytes(), "standard output gets the same, and nothing else");
    }
    let families = openmetrics::parse(&text);
    let specs: BTreeMap<_, _> = catalogue::all().into_iter().map(|spec| (spec.name.clone(), spec)).collect();
    for family in &families {
        let name =
            if family.kind == "counter" { format!("{}_total", family.name) } else { family.name.clone() };
        assert_eq!(specs[&name].kind.name(), family.kind);
    }
    let due = families.iter().find(|family| family.name == "pumphandle_users_due").unwrap();
    let control: Vec<_> = due.samples.iter().filter(|sample| sample.labels["arm"] == "control").collect();
    let (first, last) = (control[0], control[control.len() - 1]);
    assert_eq!((first.time, first.value), (1_769_876_580, 0.0));
    assert_eq!(Some(last.value), result["arms"][0]["outcome"]["arrivals"].as_f64());
}
