//! A Prometheus server, from outside: takes samples by remote write, and answers questions. What is written and asked
//! is its caller's affair. Over plain HTTP: a Prometheus that is reached over TLS is behind something that adds it,
//! and that something can be passed by where this runs.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Method, Request};
use http_body_util::Full;
use pumphandle_core::time::{self, Order};
use serde_json::Value;

use crate::client::{Failure, exchange, sentences};

/// How long an answer may take: a server that compacts, or a query over a year, takes longer than an admin port.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Clone, Debug)]
pub struct Prometheus {
    authority: String,
    path: String,
}

impl Prometheus {
    /// The server at `url`: `http://127.0.0.1:9090`, with or without a path before its own.
    ///
    /// # Errors
    ///
    /// A sentence, if that is no such address.
    pub fn at(url: &str) -> Result<Prometheus, String> {
        if url.starts_with("https://") {
            return Err(format!("`{url}`: TLS is not spoken here; give the address that is plain HTTP"));
        }
        let rest = url.strip_prefix("http://").unwrap_or(url).trim_end_matches('/');
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = authority.rsplit_once(':').unwrap_or((authority, "80"));
        let printable = |c: char| c.is_ascii_graphic() && !"?#@\\".contains(c);
        let sound = !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0);
        if !sound || !rest.chars().all(printable) {
            return Err(format!("`{url}` is no address of a Prometheus, such as http://127.0.0.1:9090"));
        }
        Ok(Prometheus { authority: format!("{host}:{port}"), path: path.to_owned() })
    }

    /// The address, for people.
    pub fn url(&self) -> String {
        format!("http://{}{}", self.authority, self.path)
    }

    /// Hands it a `WriteRequest`, compressed.
    ///
    /// # Errors
    ///
    /// See [`Failure`].
    pub async fn write(&self, body: Vec<u8>) -> Result<(), Failure> {
        let mut request = self.request(Method::POST, "/api/v1/write", body)?;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("snappy"));
        headers.insert("x-prometheus-remote-write-version", HeaderValue::from_static("0.1.0"));
        self.ask(request).await.map(drop)
    }

    /// What an expression is at an instant, seconds since 1970: the array `result` of the answer.
    ///
    /// # Errors
    ///
    /// See [`Failure`].
    pub async fn query(&self, expression: &str, at: i64) -> Result<Vec<Value>, Failure> {
        let path = format!("/api/v1/query?query={}&time={at}", encoded(expression));
        let body = self.ask(self.request(Method::GET, &path, Vec::new())?).await?;
        let mut answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        match answer["data"]["result"].take() {
            Value::Array(result) => Ok(result),
            _ => Err(self.unreachable("its answer is not that of a Prometheus")),
        }
    }

    fn request(&self, method: Method, path: &str, body: Vec<u8>) -> Result<Request<Full<Bytes>>, Failure> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.path))
            .header(USER_AGENT, concat!("pumphandle/", env!("CARGO_PKG_VERSION")))
            .body(Full::new(Bytes::from(body)));
        request.map_err(|error| self.unreachable(&error.to_string()))
    }

    async fn ask(&self, request: Request<Full<Bytes>>) -> Result<Bytes, Failure> {
        let answered = time::timeout(PATIENCE, Order::timeout(0), exchange(&self.authority, request)).await;
        let late = || io::Error::other(format!("no answer within {} s", PATIENCE.as_secs()));
        let answered = answered.unwrap_or_else(|_| Err(late()));
        let (status, body) = answered.map_err(|error| self.unreachable(&error.to_string()))?;
        if status.is_success() { Ok(body) } else { Err(Failure::Refused(status.as_u16(), sentences(&body))) }
    }

    fn unreachable(&self, why: &str) -> Failure {
        Failure::Unreachable(format!("{}: {why}", self.url()))
    }
}

/// Text as it may stand in a query of a URL.
pub fn encoded(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut all, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            all.push(char::from(byte));
        } else {
            write!(all, "%{byte:02X}").expect("strings grow");
        }
        all
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_with_and_without_scheme_port_and_path() {
        for (given, meant) in [
            ("http://127.0.0.1:9090", "http://127.0.0.1:9090"),
            ("prometheus:9090/", "http://prometheus:9090"),
            ("http://host/prom/", "http://host:80/prom"),
            ("http://[::1]:9090", "http://[::1]:9090"),
        ] {
            assert_eq!(Prometheus::at(given).map(|it| it.url()), Ok(meant.to_owned()), "{given}");
        }
        for wrong in
            ["", "http://", "http://:9090", "http://a:0", "http://a:port", "http://a b:1", "http://u:p@a:1"]
        {
            assert!(Prometheus::at(wrong).is_err_and(|why| why.contains("is no address")), "{wrong}");
        }
        assert!(Prometheus::at("https://a:9090").is_err_and(|why| why.contains("TLS")));
    }

    #[test]
    fn what_has_a_meaning_in_a_url_is_encoded() {
        assert_eq!(encoded("a{b=\"c d\"}[1m]&+ü"), "a%7Bb%3D%22c%20d%22%7D%5B1m%5D%26%2B%C3%BC");
    }
}
