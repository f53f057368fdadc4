//! The other end of an admin port: asks a service for what it says of itself and its metrics, and for changes.
//! Every request has a connection of its own and a time limit, so that a service that has been killed or
//! stopped costs that long and no longer. What is done about it is the caller's affair.

use std::io;
use std::time::Duration;

use bytes::Bytes;
pub use http::Method;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use pumphandle_core::time::{self, Order};
use pumphandle_experiment::document::clean;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::Token;
use crate::control::credentials;
use crate::reader::{MAX_PAGE, Page, read_metrics};

/// How long an answer may take.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// Why there is no answer to work with. Shown, it is one line that cannot command a terminal: it comes from
/// elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nobody answered.
    Unreachable(String),
    /// The service refused: status, and its sentences.
    Refused(u16, String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Unreachable(why) => f.write_str(&clean(why)),
            Failure::Refused(status, sentences) => write!(f, "refused ({status}): {}", clean(sentences)),
        }
    }
}

impl std::error::Error for Failure {}

/// An admin port.
#[derive(Clone, Debug)]
pub struct Admin {
    authority: String,
    token: Option<Token>,
    who: String,
}

impl Admin {
    /// The admin port at `url`: `http://127.0.0.1:9100`, with or without the scheme and a slash at the end.
    /// `who` is written into the service's timeline.
    ///
    /// # Errors
    ///
    /// A sentence, if that is no such address.
    pub fn at(url: &str, token: Option<Token>, who: &str) -> Result<Admin, String> {
        let authority = url.strip_prefix("http://").unwrap_or(url).trim_end_matches('/');
        let port = authority.rsplit_once(':').map(|(host, port)| (!host.is_empty(), port.parse::<u16>()));
        let printable = |c: char| c.is_ascii_graphic() && !"/?#@\\".contains(c);
        match port {
            Some((true, Ok(port))) if port > 0 && authority.chars().all(printable) => {
                Ok(Admin { authority: authority.to_owned(), token, who: who.to_owned() })
            }
            _ => Err(format!("`{url}` is no address of an admin port, such as http://127.0.0.1:9100")),
        }
    }

    /// The address as given, without scheme.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The host alone.
    pub fn host(&self) -> &str {
        self.authority.rsplit_once(':').map_or(self.authority.as_str(), |(host, _)| host)
    }

    /// What `path` says, as text.
    ///
    /// # Errors
    ///
    /// See [`Failure`].
    pub async fn text(&self, path: &str) -> Result<String, Failure> {
        let body = self.ask(Method::GET, path, None).await?;
        String::from_utf8(body.into()).map_err(|_| Failure::Unreachable(format!("{path} is no text")))
    }

    /// What `path` says, as JSON.
    ///
    /// # Errors
    ///
    /// See [`Failure`].
    pub async fn get(&self, path: &str) -> Result<Value, Failure> {
        value(&self.ask(Method::GET, path, None).await?)
    }

    /// What the service counted until now.
    ///
    /// # Errors
    ///
    /// See [`Failure`]; also if the page is not one of ours.
    pub async fn metrics(&self) -> Result<Page, Failure> {
        let text = self.text("/metrics").await?;
        read_metrics(&text).map_err(|error| Failure::Unreachable(format!("/metrics: {error}")))
    }

    /// Asks for a change.
    ///
    /// # Errors
    ///
    /// See [`Failure`].
    pub async fn change(&self, method: Method, path: &str, body: &Value) -> Result<Value, Failure> {
        value(&self.ask(method, path, Some(body.to_string())).await?)
    }

    async fn ask(&self, method: Method, path: &str, body: Option<String>) -> Result<Bytes, Failure> {
        let unreachable = |why: String| Failure::Unreachable(format!("{}: {why}", self.authority));
        let asking = self.exchange(method, path, body);
        let answered = time::timeout(PATIENCE, Order::timeout(0), asking).await;
        let (status, body) = answered
            .map_err(|_| unreachable(format!("no answer within {} s", PATIENCE.as_secs())))?
            .map_err(|error| unreachable(error.to_string()))?;
        if status.is_success() { Ok(body) } else { Err(Failure::Refused(status.as_u16(), sentences(&body))) }
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> io::Result<(StatusCode, Bytes)> {
        let has_body = body.is_some();
        let mut request = Request::new(Full::new(Bytes::from(body.unwrap_or_default())));
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().map_err(io::Error::other)?;
        let headers = request.headers_mut();
        if has_body {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        headers.extend(
            credentials(self.token.as_ref(), &self.who).into_iter().map(|(name, value)| (Some(name), value)),
        );
        exchange(&self.authority, request).await
    }
}

/// Sends one request to `authority` on a connection of its own; returns status and body of the answer.
pub(crate) async fn exchange(
    authority: &str,
    mut request: Request<Full<Bytes>>,
) -> io::Result<(StatusCode, Bytes)> {
    request.headers_mut().insert(HOST, HeaderValue::try_from(authority).map_err(io::Error::other)?);
    let stream = TcpStream::connect(authority).await?;
    let shaken = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut connection, transport) = shaken.map_err(io::Error::other)?;
    tokio::spawn(async move {
        // Its errors reach the request that waits on it.
        let _ = transport.await;
    });
    let response = connection.send_request(request).await.map_err(io::Error::other)?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_PAGE).collect().await.map_err(io::Error::other)?;
    Ok((status, body.to_bytes()))
}

fn value(body: &[u8]) -> Result<Value, Failure> {
    serde_json::from_slice(body).map_err(|_| Failure::Unreachable("the answer is no JSON".to_owned()))
}

/// What a refusal says, on one line.
pub(crate) fn sentences(body: &[u8]) -> String {
    let text = match serde_json::from_slice::<Value>(body) {
        Ok(told) => {
            let problems = told["problems"].as_array().map(Vec::as_slice).unwrap_or_default();
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let each = problems.iter().map(|it| {
                let help = it["help"].as_str().map(|help| format!(" ({help})")).unwrap_or_default();
                format!("{}: {}{help}", text(&it["path"]), text(&it["message"]))
            });
            std::iter::once(text(&told["error"])).chain(each).collect::<Vec<_>>().join("; ")
        }
        Err(_) => String::from_utf8_lossy(body).trim().to_owned(),
    };
    text.chars().take(2000).collect()
}
