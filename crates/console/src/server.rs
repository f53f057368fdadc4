//! `/metrics` and `/healthz` over HTTP, one port per service.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use pumphandle_core::meter::Meter;
use tokio::net::{TcpListener, TcpStream};

use crate::exposition::Exposition;

/// The text format of Prometheus, by which a scraper recognises it.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";

/// How long an accept loop rests when the machine has no connection to give.
const REST: Duration = Duration::from_millis(10);

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
/// Outside a tokio runtime with I/O and time enabled.
pub fn serve_metrics(
    services: Vec<(String, Arc<Meter>)>,
    arm: String,
    bind: SocketAddr,
) -> io::Result<Vec<(String, SocketAddr)>> {
    let listeners = (0..services.len()).map(|i| listen(bind, i)).collect::<io::Result<Vec<_>>>()?;
    let addresses = listeners.iter().map(TcpListener::local_addr).collect::<io::Result<Vec<_>>>()?;
    for ((name, meter), listener) in services.iter().zip(listeners) {
        let exposition = Exposition::new(name, &arm, Arc::clone(meter));
        tokio::spawn(accept(listener, Arc::new(exposition)));
    }
    Ok(services.into_iter().map(|(name, _)| name).zip(addresses).collect())
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

async fn accept(listener: TcpListener, exposition: Arc<Exposition>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(serve(stream, Arc::clone(&exposition)))),
            Err(_) => tokio::time::sleep(REST).await,
        }
    }
}

async fn serve(stream: TcpStream, exposition: Arc<Exposition>) {
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let response = answer(request.method(), request.uri().path(), &exposition);
        std::future::ready(Ok::<_, Infallible>(response))
    });
    // The timer lets hyper close connections whose peer has gone silent.
    let connection =
        http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
    // Whoever hung up does not want to be told.
    let _ = connection.await;
}

fn answer(method: &Method, path: &str, exposition: &Exposition) -> Response<Full<Bytes>> {
    if !["/metrics", "/healthz"].contains(&path) {
        return text(StatusCode::NOT_FOUND, PLAIN, "here are /metrics and /healthz\n");
    }
    if ![Method::GET, Method::HEAD].contains(method) {
        let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "to be read, not written\n");
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    match path {
        "/metrics" => text(StatusCode::OK, TEXT_FORMAT, exposition.render()),
        _ => text(StatusCode::OK, PLAIN, "ok\n"),
    }
}

fn text(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use pumphandle_core::meter::Flow;
    use std::net::Ipv4Addr;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    fn two_services() -> Vec<(String, Arc<Meter>)> {
        ["api", "db"].map(|name| (name.to_owned(), Arc::default())).into()
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
        let served = serve_metrics(two_services(), "control".to_owned(), ANY_PORT).unwrap();
        let address = served[0].1;
        let expected = [
            ("GET /healthz", "200", "ok\n"),
            ("HEAD /metrics", "200", ""),
            ("GET /metrics?debug=1", "200", "# HELP "),
            ("GET /", "404", "here are "),
            ("POST /nowhere", "404", "here are "),
            ("POST /metrics", "405", "to be read"),
            ("DELETE /healthz", "405", "to be read"),
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
