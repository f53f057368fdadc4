//! What comes over a socket: requests to an admin port, and what one answers to us. One rig for all inputs; a
//! panic in one of its tasks ends the process, since libFuzzer's hook does.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use pumphandle_console::client::Admin;
use pumphandle_console::{Guard, serve_control};
use pumphandle_core::time::Origin;
use pumphandle_experiment::document::{Style, commands};
use pumphandle_experiment::live::{Desk, listen};
use pumphandle_experiment::scenario::read;
use tokio::runtime::Runtime;

const SCENARIO: &str = include_str!("../../crates/experiment/tests/good.yaml");

struct Rig {
    runtime: Runtime,
    at: SocketAddr,
}

fn rig() -> &'static Rig {
    static RIG: OnceLock<Rig> = OnceLock::new();
    RIG.get_or_init(|| {
        let origin = Origin::after(Duration::ZERO);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .on_thread_start(move || origin.enter())
            .build()
            .expect("the machine has a thread");
        let starting = async {
            let checked = read::read("good.yaml", SCENARIO, Style::Plain).expect("it is good");
            let any = SocketAddr::from(([127, 0, 0, 1], 0));
            let (data, admin) = (listen(any).expect("a port"), listen(any).expect("a port"));
            let (data_at, at) =
                (data.local_addr().expect("it has one"), admin.local_addr().expect("it has one"));
            let to = |_: &str| "127.0.0.1:1".to_owned();
            let desk: Arc<Desk> = Desk::start(checked, "api", 1, to, data).expect("it starts");
            let guard = Guard::new(at, None, &[]).expect("it is loopback");
            serve_control(admin, desk, "control".to_owned(), SCENARIO.to_owned(), data_at, guard);
            at
        };
        let at = runtime.block_on(runtime.spawn(starting)).expect("it starts");
        Rig { runtime, at }
    })
}

/// Sends a request and reads the answer. `whole`: the request says itself where it ends. Otherwise the end of the connection
/// says it, and whoever closes his half before he was heard may be left without an answer.
fn exchange(request: &[u8], whole: bool) -> String {
    let mut stream = TcpStream::connect(rig().at).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(9))).expect("a timeout can be set");
    // It may have seen enough before all is sent.
    let _ = stream.write_all(request);
    if !whole {
        let _ = stream.shutdown(Shutdown::Write);
    }
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

const PLACES: [(&str, &str); 8] = [
    ("PATCH", "/settings"),
    ("PUT", "/settings/api.workers"),
    ("PUT", "/settings/api.queue"),
    ("POST", "/disturb"),
    ("POST", "/calm"),
    ("POST", "/restart"),
    ("POST", "/kill"),
    ("POST", "/reset"),
];

/// The first byte says where; the rest is a body. It is answered, and whatever was accepted can be undone.
pub(crate) fn body(bytes: &[u8]) {
    let Some((place, body)) = bytes.split_first() else { return };
    let (method, path) = PLACES[usize::from(*place) % PLACES.len()];
    let ask = |method: &str, path: &str, body: &[u8]| {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        exchange(&[head.as_bytes(), body].concat(), true)
    };
    let answer = ask(method, path, body);
    let status = answer.strip_prefix("HTTP/1.1 ").and_then(|it| it.get(..3)).unwrap_or("none");
    assert!(status == "200" || status.starts_with('4'), "{method} {path}: {answer}");
    if status == "200" {
        assert!(ask("POST", "/reset", b"{\"seed\":1}").starts_with("HTTP/1.1 200"));
    }
}

/// Any bytes at all: afterwards it is well.
pub(crate) fn request(bytes: &[u8]) {
    let _ = exchange(bytes, false);
    let well = exchange(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n", true);
    assert!(well.starts_with("HTTP/1.1 200"), "{well}");
}

/// Any bytes as an answer to our client: it reads them, or says in one line that commands no terminal why not.
pub(crate) fn answer(bytes: &[u8]) {
    static PORT: OnceLock<TcpListener> = OnceLock::new();
    let port = PORT.get_or_init(|| TcpListener::bind("127.0.0.1:0").expect("a port"));
    let at = port.local_addr().expect("it has one");
    let asked = rig().runtime.spawn(async move {
        let admin = Admin::at(&at.to_string(), None, "fuzz").expect("it is an address");
        (admin.get("/").await.map(drop), admin.metrics().await.map(drop))
    });
    for _ in 0..2 {
        let (mut stream, _) = port.accept().expect("the client connects");
        let mut head = [0; 1024];
        let _ = stream.read(&mut head);
        let _ = stream.write_all(bytes);
    }
    let (of_json, of_metrics) = rig().runtime.block_on(asked).expect("it does not panic");
    for failure in [of_json.err(), of_metrics.err()].into_iter().flatten() {
        let sentence = failure.to_string();
        assert!(!sentence.is_empty() && !sentence.contains(commands), "{sentence:?}");
    }
}
