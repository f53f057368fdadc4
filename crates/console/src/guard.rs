//! Who may do what at an admin port. Everybody who can reach it may read; changing takes the token, if there is
//! one, and there must be one where the port can be reached from other machines.
//!
//! A page on the web must not be able to do it through somebody's browser. So the name by which the request
//! reached us is checked (a stranger's name that resolves to this machine: DNS rebinding), a request on behalf
//! of another origin is refused, and a body has to be JSON, which a browser does not send across origins
//! without asking first.

use std::net::{IpAddr, SocketAddr};

use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::{HeaderMap, StatusCode};

/// A token has at least this many characters.
pub const SHORTEST_TOKEN: usize = 16;

/// A secret that allows changes.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// Reads a token.
    ///
    /// # Errors
    ///
    /// A sentence, if it is too short or cannot stand in a header.
    pub fn new(text: &str) -> Result<Token, String> {
        let text = text.trim();
        if text.len() < SHORTEST_TOKEN {
            return Err(format!("a token has at least {SHORTEST_TOKEN} characters, this one {}", text.len()));
        }
        if !text.chars().all(|c| c.is_ascii_graphic()) {
            return Err("a token is made of printable ASCII characters without spaces".to_owned());
        }
        Ok(Token(text.to_owned()))
    }

    /// The value of the header `authorization`.
    pub fn header(&self) -> String {
        format!("Bearer {}", self.0)
    }

    /// Looks at every byte whatever the first ones are: how long it takes must not tell how many were right.
    fn is(&self, other: &str) -> bool {
        let (own, other) = (self.0.as_bytes(), other.as_bytes());
        let differ = own.iter().zip(other).fold(0, |differ, (a, b)| differ | (a ^ b));
        own.len() == other.len() && differ == 0
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Guard {
    token: Option<Token>,
    /// Further names by which the port may be reached, in lower case.
    hosts: Vec<String>,
    loopback: bool,
}

/// Why a request is refused.
pub(crate) type Refusal = (StatusCode, String);

impl Guard {
    /// For a port at `bind`.
    ///
    /// # Errors
    ///
    /// A sentence, if others can reach it and there is no token.
    pub fn new(bind: SocketAddr, token: Option<Token>, hosts: &[String]) -> Result<Guard, String> {
        let loopback = bind.ip().is_loopback();
        if !loopback && token.is_none() {
            return Err(format!("other machines can reach {bind}: changes need a token there"));
        }
        Ok(Guard { token, hosts: hosts.iter().map(|host| host.to_ascii_lowercase()).collect(), loopback })
    }

    /// May this request read?
    pub(crate) fn may_read(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let host = the_only(headers, HOST.as_str())
            .ok_or_else(|| (StatusCode::BAD_REQUEST, "a request names its host, once".to_owned()))?;
        if self.knows(host) {
            return Ok(());
        }
        // Only what is printable can be in it: `the_only` sees to that.
        Err((StatusCode::MISDIRECTED_REQUEST, format!("this is not `{host}`")))
    }

    /// May this request change something? Asked after [`Guard::may_read`].
    pub(crate) fn may_change(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        if headers.contains_key(ORIGIN) || of_another_site(headers) {
            let sentence = "changes on behalf of a web page are refused".to_owned();
            return Err((StatusCode::FORBIDDEN, sentence));
        }
        let Some(token) = &self.token else { return Ok(()) };
        let given = the_only(headers, AUTHORIZATION.as_str()).and_then(|value| value.strip_prefix("Bearer "));
        match given {
            Some(given) if token.is(given) => Ok(()),
            Some(_) => Err((StatusCode::UNAUTHORIZED, "this is not the token".to_owned())),
            None => {
                Err((StatusCode::UNAUTHORIZED, "changes need the token: authorization: Bearer …".to_owned()))
            }
        }
    }

    /// May this request change something at a port that has a page of its own? That page may ask: a browser says
    /// which origin asks, and only one that names this very port, by a name that [`Guard::may_read`] has let
    /// through, is ours.
    pub(crate) fn may_change_here(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let own = the_only(headers, HOST.as_str()).map(|host| format!("http://{host}"));
        let is_own = headers.contains_key(ORIGIN) && the_only(headers, ORIGIN.as_str()) == own.as_deref();
        if !is_own || of_another_site(headers) {
            return self.may_change(headers);
        }
        let mut of_nobody = headers.clone();
        of_nobody.remove(ORIGIN);
        self.may_change(&of_nobody)
    }

    /// Whether changes need a token.
    pub(crate) fn needs_token(&self) -> bool {
        self.token.is_some()
    }

    /// Whether `host`, with or without a port, is a name of this machine that no stranger can have given it.
    fn knows(&self, host: &str) -> bool {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if !port.is_empty() && port.bytes().all(|c| c.is_ascii_digit()) => name,
            _ => host,
        };
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        match address {
            // No name was resolved, so none can have been made to lead here.
            Ok(address) => address.is_loopback() || !self.loopback,
            Err(_) if name == "localhost" || self.hosts.contains(&name) => true,
            // Names of one word are given by the network itself (compose, Kubernetes), not by a domain's owner.
            Err(_) => !self.loopback && is_one_word(&name),
        }
    }
}

fn is_one_word(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_')
}

fn of_another_site(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_some_and(|site| site != "none" && site != "same-origin")
}

/// The value of a header that is there once and is printable.
fn the_only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "correct-horse-battery";

    fn guard(bind: &str, token: bool) -> Guard {
        let token = token.then(|| Token::new(SECRET).unwrap());
        Guard::new(bind.parse().unwrap(), token, &["Rig.Example.org".to_owned()]).unwrap()
    }

    fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
        all.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_port_that_others_can_reach_needs_a_token() {
        for bind in ["0.0.0.0:9100", "192.168.1.5:9100", "[::]:9100"] {
            assert!(Guard::new(bind.parse().unwrap(), None, &[]).is_err(), "{bind}");
        }
        for bind in ["127.0.0.1:9100", "127.9.9.9:1", "[::1]:9100"] {
            assert!(Guard::new(bind.parse().unwrap(), None, &[]).is_ok(), "{bind}");
        }
    }

    #[test]
    fn only_names_that_no_stranger_can_have_given_are_answered() {
        let (here, everywhere) = (guard("127.0.0.1:9100", false), guard("0.0.0.0:9100", true));
        let always = [
            "localhost",
            "localhost:9100",
            "127.0.0.1:9100",
            "[::1]:9100",
            "LOCALHOST.:1",
            "rig.example.org",
        ];
        let on_the_network = ["control-api:9100", "api", "10.0.0.7:9100", "[2001:db8::1]:9100"];
        let never =
            ["evil.example", "evil.example:9100", "localhost.evil.example", "", ":9100", "a b", "api:x"];
        for (hosts, by_loopback, by_network) in
            [(&always[..], true, true), (&on_the_network[..], false, true), (&never[..], false, false)]
        {
            for host in hosts {
                let asked = headers(&[("host", host)]);
                assert_eq!(here.may_read(&asked).is_ok(), by_loopback, "{host}");
                assert_eq!(everywhere.may_read(&asked).is_ok(), by_network, "{host}");
            }
        }
        assert!(here.may_read(&headers(&[])).is_err());
        assert!(here.may_read(&headers(&[("host", "localhost"), ("host", "localhost")])).is_err());
    }

    #[test]
    fn changes_need_the_whole_token_and_nothing_but_the_token() {
        let guard = guard("0.0.0.0:9100", true);
        let right = format!("Bearer {SECRET}");
        assert!(guard.may_change(&headers(&[("authorization", &right)])).is_ok());
        for wrong in ["", "Bearer", "Bearer ", SECRET, "Basic x", "Bearer correct-horse-batterz", "bearer x"]
        {
            let (status, _) = guard.may_change(&headers(&[("authorization", wrong)])).unwrap_err();
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{wrong}");
        }
        for longer in [format!("{right}x"), right[..right.len() - 1].to_owned()] {
            assert!(guard.may_change(&headers(&[("authorization", &longer)])).is_err());
        }
        assert!(guard.may_change(&headers(&[("authorization", &right), ("authorization", &right)])).is_err());
    }

    #[test]
    fn a_browser_is_refused_whatever_it_brings() {
        let guard = guard("127.0.0.1:9100", false);
        assert!(guard.may_change(&headers(&[])).is_ok());
        for (name, value) in [
            ("origin", "https://evil.example"),
            ("origin", "null"),
            ("origin", "http://127.0.0.1:9100"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            let (status, _) = guard.may_change(&headers(&[(name, value)])).unwrap_err();
            assert_eq!(status, StatusCode::FORBIDDEN, "{name}: {value}");
        }
    }

    #[test]
    fn a_token_is_long_and_printable_and_never_shown() {
        assert!(Token::new("short").is_err());
        assert!(Token::new("with a space in the middle").is_err());
        assert!(Token::new("zeichenkette-mit-ümlaut").is_err());
        let token = Token::new(" correct-horse-battery\n").unwrap();
        assert_eq!(token.header(), "Bearer correct-horse-battery");
        assert!(!format!("{token:?}").contains("horse"));
    }
}
