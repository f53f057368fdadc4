//! A service with an admin port, in this process, and a client that sends exactly the bytes it is told to.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use pumphandle_console::{Guard, Token, serve_control};
use pumphandle_core::time::Origin;
use pumphandle_experiment::document::Style;
use pumphandle_experiment::live::{Desk, listen};
use pumphandle_experiment::scenario::read;
use serde_json::Value;

pub(crate) const SCENARIO: &str = r"
scenario: shop
title: A shop
story: It is slow for a while.
kind: pulse
slo: { latency: 1s }
duration: 60s
load: { arrivals: { poisson: 20/s } }
services:
  client: { calls: api, with: { retry: { attempts: 4, backoff: { up_to: 100ms } } } }
  api: { workers: 4, queue: { size: 100 }, service_time: { exponential: 5ms }, cpu: { requested: 1 } }
timeline:
  - { trigger: slow, from: 20s, for: 10s, do: { slow_down: { service: api, factor: 20 } } }
  - { trigger: broken, from: 40s, for: 1s, do: { errors: { service: api, share: 50% } } }
";

/// One service with its admin port. It ends when dropped.
pub(crate) struct Rig {
    pub(crate) address: SocketAddr,
    _runtime: tokio::runtime::Runtime,
}

/// Status, head and body.
#[derive(Debug)]
#[allow(dead_code, reason = "each test binary uses its part")]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

#[allow(dead_code, reason = "each test binary uses its part")]
impl Rig {
    pub(crate) fn start(service: &'static str, token: Option<&str>) -> Rig {
        let origin = Origin::after(Duration::ZERO);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .on_thread_start(move || origin.enter())
            .build()
            .expect("a test can do this");
        let token = token.map(|token| Token::new(token).expect("a test can do this"));
        let starting = async move {
            let checked = read::read("shop.yaml", SCENARIO, Style::Plain).expect("a test can do this");
            let any = SocketAddr::from(([127, 0, 0, 1], 0));
            let data = listen(any).expect("a test can do this");
            let data_at = data.local_addr().expect("a test can do this");
            let at = |_: &str| "127.0.0.1:1".to_owned();
            let desk: Arc<Desk> = Desk::start(checked, service, 1, at, data).expect("a test can do this");
            let admin = listen(any).expect("a test can do this");
            let address = admin.local_addr().expect("a test can do this");
            let guard = Guard::new(address, token, &[]).expect("a test can do this");
            serve_control(admin, desk, "control".to_owned(), SCENARIO.to_owned(), data_at, guard);
            address
        };
        // On a thread of the runtime, which is on the clock.
        let address = runtime.block_on(runtime.spawn(starting)).expect("a test can do this");
        Rig { address, _runtime: runtime }
    }

    /// Sends `bytes`, which ask for the connection to be closed; what comes back until it is. An answer that is
    /// none is status 0.
    pub(crate) fn raw(&self, bytes: &[u8]) -> Answer {
        self.send(bytes, false)
    }

    /// Sends `bytes` and hangs up, as far as one can and still hear what is said.
    pub(crate) fn raw_and_hang_up(&self, bytes: &[u8]) -> Answer {
        self.send(bytes, true)
    }

    fn send(&self, bytes: &[u8], hang_up: bool) -> Answer {
        let mut stream = TcpStream::connect(self.address).expect("a test can do this");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a test can do this");
        // A service that has seen enough may close before it has read all.
        let _ = stream.write_all(bytes);
        if hang_up {
            let _ = stream.shutdown(Shutdown::Write);
        }
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer.strip_prefix("HTTP/1.").and_then(|it| it.get(2..5)?.parse().ok()).unwrap_or(0);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer.as_str(), ""));
        Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    /// A request like one of ours, and further lines of head.
    pub(crate) fn ask_with(&self, method: &str, path: &str, more: &str, body: &str) -> Answer {
        let length = if body.is_empty() && method == "GET" {
            String::new()
        } else {
            format!("content-length: {}\r\ncontent-type: application/json\r\n", body.len())
        };
        let host = self.address;
        let head =
            format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{length}{more}\r\n");
        self.raw(format!("{head}{body}").as_bytes())
    }

    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        self.ask_with(method, path, "", body)
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        let answer = self.ask("GET", path, "");
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// All that a request could have changed.
    pub(crate) fn everything(&self) -> (Value, Value, Value) {
        let about = self.get("/");
        let state = serde_json::json!([about["changed"], about["triggers"], about["seed"]]);
        (self.get("/settings"), self.get("/events"), state)
    }
}
