//! The admin port of a place at which the scenario has no service, so that a rig with such places is whole: everything that
//! runs is well and can be scraped. Nothing can be changed there.

use http::{Method, StatusCode};
use tokio::net::TcpListener;

use crate::guard::Guard;
use crate::http::{self as page, Answer};
use crate::server::TEXT_FORMAT;

/// Serves the admin port of a place at which the scenario has no service: it is well, has no metrics, and says
/// `why` it is empty.
///
/// # Panics
///
/// Outside a tokio runtime with I/O and time enabled whose threads are on the real clock.
pub fn serve_nobody(listener: TcpListener, why: &str, guard: Guard) {
    let about = serde_json::json!({ "service": null, "empty": why }).to_string();
    tokio::spawn(page::serve(listener, move |request, _| {
        let answer = match guard.may_read(request.headers()) {
            Ok(()) => empty(request.method(), request.uri().path(), &about),
            Err((status, sentence)) => page::text(status, sentence + "\n"),
        };
        std::future::ready(answer)
    }));
}

fn empty(method: &Method, path: &str, about: &str) -> Answer {
    match path {
        "/" | "/healthz" | "/metrics" if ![Method::GET, Method::HEAD].contains(method) => {
            page::not_allowed("GET, HEAD")
        }
        "/" => page::answer(StatusCode::OK, "application/json", about.to_owned()),
        "/healthz" => page::text(StatusCode::OK, "ok\n"),
        "/metrics" => page::answer(StatusCode::OK, TEXT_FORMAT, ""),
        _ => page::text(StatusCode::NOT_FOUND, format!("{about}\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pumphandle_core::time::Origin;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    #[tokio::test]
    async fn a_place_without_a_service_is_well_has_no_metrics_and_can_be_told_nothing() {
        Origin::after(Duration::ZERO).enter();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        serve_nobody(listener, "a \"shop\" has one service", Guard::new(address, None, &[]).unwrap());
        let of = |request: &'static str, host: &'static str| async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let head = format!("{request} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            (head[9..12].to_owned(), body.to_owned())
        };
        let about = r#"{"service":null,"empty":"a \"shop\" has one service"}"#;
        for (request, host, status, body) in [
            ("GET /healthz", "localhost", "200", "ok\n"),
            ("GET /metrics", "localhost", "200", ""),
            ("GET /", "127.0.0.1", "200", about),
            ("POST /reset", "localhost", "404", &format!("{about}\n")),
            ("POST /", "localhost", "405", "here is GET, HEAD\n"),
            ("GET /", "evil.example", "421", "this is not `evil.example`\n"),
        ] {
            assert_eq!(of(request, host).await, (status.to_owned(), body.to_owned()), "{request}");
        }
    }
}
