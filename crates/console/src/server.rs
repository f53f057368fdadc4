//! `/metrics` and `/healthz` over HTTP, one port per service.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use http::{Method, StatusCode};
use pumphandle_core::meter::Meter;
use pumphandle_experiment::board::Board;
use tokio::net::TcpListener;

use crate::exposition::Exposition;
use crate::http::{self as page, Answer};
use crate::run_page;

/// The text format of Prometheus, by which a scraper recognises it.
pub(crate) const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Serves the metrics of each service on a port of its own, until the runtime ends: `/metrics` for
/// Prometheus, `/healthz` for whoever waits until it is up. The first service gets the port of `bind`, the
/// next the one after it, and so on; with port 0 each gets any that is free. Returns where each is found.
///
/// Anybody who can reach the address can read: bind a loopback address unless others are to see it.
///
/// # Errors
///
/// If a port cannot be had. Then none is served.
///
/// # Panics
///
/// Outside a tokio runtime with I/O and time enabled whose threads are on the real clock.
pub fn serve_metrics(
    services: Vec<(String, Arc<Meter>)>,
    arm: String,
    bind: SocketAddr,
) -> io::Result<Vec<(String, SocketAddr)>> {
    let listeners = (0..services.len()).map(|i| listen(bind, i)).collect::<io::Result<Vec<_>>>()?;
    let addresses = listeners.iter().map(TcpListener::local_addr).collect::<io::Result<Vec<_>>>()?;
    for ((name, meter), listener) in services.iter().zip(listeners) {
        let exposition = Arc::new(Exposition::new(name, &arm, Arc::clone(meter)));
        tokio::spawn(page::serve(listener, move |request, _| {
            let answer = respond(request.method(), request.uri().path(), || exposition.render());
            std::future::ready(answer)
        }));
    }
    Ok(services.into_iter().map(|(name, _)| name).zip(addresses).collect())
}

/// Serves what a run shows of itself, users, levers and its machine, until the runtime ends. Returns where.
///
/// # Errors
///
/// If the port cannot be had.
///
/// # Panics
///
/// Outside a tokio runtime with I/O and time enabled whose threads are on the real clock.
pub fn serve_run_metrics(board: Arc<Board>, bind: SocketAddr) -> io::Result<SocketAddr> {
    let listener = listen(bind, 0)?;
    let address = listener.local_addr()?;
    tokio::spawn(page::serve(listener, move |request, _| {
        let answer = respond(request.method(), request.uri().path(), || run_page::render(&board.read()));
        std::future::ready(answer)
    }));
    Ok(address)
}

/// A listener for the `i`-th service.
fn listen(bind: SocketAddr, i: usize) -> io::Result<TcpListener> {
    let port = match bind.port() {
        0 => 0,
        first => u16::try_from(usize::from(first) + i)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "there is no port above 65535"))?,
    };
    let listener = std::net::TcpListener::bind(SocketAddr::new(bind.ip(), port))?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

fn respond(method: &Method, path: &str, render: impl Fn() -> String) -> Answer {
    if !["/metrics", "/healthz"].contains(&path) {
        return page::text(StatusCode::NOT_FOUND, "here are /metrics and /healthz\n");
    }
    if ![Method::GET, Method::HEAD].contains(method) {
        return page::not_allowed("GET, HEAD");
    }
    match path {
        "/metrics" => page::answer(StatusCode::OK, TEXT_FORMAT, render()),
        _ => page::text(StatusCode::OK, "ok\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pumphandle_core::meter::Flow;
    use pumphandle_core::time::Origin;
    use std::net::Ipv4Addr;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    fn two_services() -> Vec<(String, Arc<Meter>)> {
        ["api", "db"].map(|name| (name.to_owned(), Arc::default())).into()
    }

    /// Puts the test's thread, which is its runtime's only one, on the real clock.
    fn start_the_clock() {
        Origin::after(Duration::ZERO).enter();
    }

    /// Head and body of the answer.
    async fn ask(address: SocketAddr, request_line: &str) -> (String, String) {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("{request_line} HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }

    #[tokio::test]
    async fn each_service_shows_its_own_meter() {
        start_the_clock();
        let services = two_services();
        services[1].1.add(Flow::Arrived, 7);
        let served = serve_metrics(services, "control".to_owned(), ANY_PORT).unwrap();
        assert!(served.iter().map(|(name, _)| name.as_str()).eq(["api", "db"]));
        for ((name, address), arrived) in served.into_iter().zip([0, 7]) {
            let (head, body) = ask(address, "GET /metrics").await;
            assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
            assert!(head.to_ascii_lowercase().contains(&format!("content-type: {TEXT_FORMAT}")), "{head}");
            let sample =
                format!("\npumphandle_arrived_total{{arm=\"control\",service=\"{name}\"}} {arrived}\n");
            assert!(body.contains(&sample), "{body}");
        }
    }

    #[tokio::test]
    async fn other_requests_are_answered_by_what_is_wrong_with_them() {
        start_the_clock();
        let served = serve_metrics(two_services(), "control".to_owned(), ANY_PORT).unwrap();
        let address = served[0].1;
        let expected = [
            ("GET /healthz", "200", "ok\n"),
            ("HEAD /metrics", "200", ""),
            ("GET /metrics?debug=1", "200", "# HELP "),
            ("GET /", "404", "here are "),
            ("POST /nowhere", "404", "here are "),
            ("POST /metrics", "405", "here is GET"),
            ("DELETE /healthz", "405", "here is GET"),
        ];
        for (request, status, start) in expected {
            let (head, body) = ask(address, request).await;
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {head}");
            assert!(body.starts_with(start), "{request}: {body}");
            assert_eq!(body.is_empty(), start.is_empty(), "{request}: {body}");
            assert_eq!(head.to_ascii_lowercase().contains("allow: get, head"), status == "405", "{head}");
        }
    }

    #[tokio::test]
    async fn a_port_that_cannot_be_had_is_an_error_and_none_is_kept() {
        let taken = std::net::TcpListener::bind(ANY_PORT).unwrap();
        let there = taken.local_addr().unwrap();
        let error = serve_metrics(two_services(), "control".to_owned(), there).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        let last = SocketAddr::new(ANY_PORT.ip(), u16::MAX);
        let error = serve_metrics(two_services(), "control".to_owned(), last).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "the second service has no port");
        std::net::TcpListener::bind(last).expect("the first service's port is free again");
    }
}
