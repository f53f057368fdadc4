//! What every page here has in common: bounded connections, bounded heads, time limits, and answers as text or
//! JSON. A peer that is slow, greedy or silent costs a connection for a few seconds, and no more.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// Connections at a time; more wait in the kernel's queue.
pub(crate) const MAX_CONNECTIONS: usize = 64;
/// How long a head may take to arrive, and a connection may rest between two requests.
pub(crate) const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a head.
pub(crate) const MAX_HEAD: usize = 16 * 1024;
/// Lines of a head.
pub(crate) const MAX_HEADERS: usize = 64;

/// How long an accept loop rests when the machine has no connection to give.
const REST: Duration = Duration::from_millis(10);

const PLAIN: &str = "text/plain; charset=utf-8";

pub(crate) type Answer = Response<Full<Bytes>>;

/// Serves `answer` to whoever connects to `listener`, until the runtime ends.
pub(crate) async fn serve<F, A>(listener: TcpListener, answer: F)
where
    F: Fn(Request<Incoming>, SocketAddr) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Answer> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let answer = answer.clone();
                tokio::spawn(async move {
                    connection(stream, peer, answer).await;
                    drop(place);
                });
            }
            Err(_) => tokio::time::sleep(REST).await,
        }
    }
}

async fn connection<F, A>(stream: TcpStream, peer: SocketAddr, answer: F)
where
    F: Fn(Request<Incoming>, SocketAddr) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Answer> + Send + 'static,
{
    let service = service_fn(move |request| {
        let answer = answer(request, peer);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    // Whoever hung up does not want to be told.
    let _ = connection.await;
}

pub(crate) fn answer(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

pub(crate) fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    answer(status, PLAIN, body)
}

/// A method that the path does not have; `allowed` are those that it has.
pub(crate) fn not_allowed(allowed: &'static str) -> Answer {
    let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, format!("here is {allowed}\n"));
    refused.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    refused
}
