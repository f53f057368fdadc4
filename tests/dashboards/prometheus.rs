//! A Prometheus, asked over HTTP/1.0: so that an answer ends where the connection does, and needs no library. For
//! servers on this machine or in its own networks; it knows no TLS.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use serde_json::Value;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server.
#[derive(Clone, Debug)]
pub struct Prometheus {
    authority: String,
}

impl Prometheus {
    /// The server at `url`, as `http://127.0.0.1:9090`.
    pub fn at(url: &str) -> Prometheus {
        let authority = url.strip_prefix("http://").unwrap_or(url).trim_end_matches('/');
        Prometheus { authority: authority.to_owned() }
    }

    /// The data of an answer of its API: `path` below `/api/v1/`.
    ///
    /// # Errors
    ///
    /// A sentence: nobody answers, or the server's own words about what was wrong with the question.
    pub fn ask(&self, path: &str, parameters: &[(&str, String)]) -> Result<Value, String> {
        let answer = self.post(path, parameters).map_err(|error| format!("{}: {error}", self.authority))?;
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
        let mut json: Value =
            serde_json::from_str(body).map_err(|error| format!("{}: no JSON: {error}", self.authority))?;
        match json["status"].as_str() {
            Some("success") => Ok(json["data"].take()),
            _ => Err(json["error"].as_str().unwrap_or("an error without a sentence").to_owned()),
        }
    }

    fn post(&self, path: &str, parameters: &[(&str, String)]) -> std::io::Result<String> {
        let pairs: Vec<String> =
            parameters.iter().map(|(name, value)| format!("{}={}", escaped(name), escaped(value))).collect();
        // Values of labels are only given to GET.
        let get = path.starts_with("label/");
        let (method, query, body) = if get {
            ("GET", format!("?{}", pairs.join("&")), String::new())
        } else {
            ("POST", String::new(), pairs.join("&"))
        };
        let address = self.authority.to_socket_addrs()?.next();
        let address = address.ok_or_else(|| std::io::Error::other("there is no such address"))?;
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(
            stream,
            "{method} /api/v1/{path}{query} HTTP/1.0\r\nHost: {}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.authority,
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

fn escaped(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_end_a_parameter_is_escaped() {
        assert_eq!(escaped(r#"a{b="c&d"}+é"#), "a%7Bb%3D%22c%26d%22%7D%2B%C3%A9");
    }
}
