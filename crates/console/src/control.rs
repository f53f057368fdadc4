//! The admin port of a service that runs as a process of its own: `/metrics`, `/healthz`, and the control API
//! in JSON. It translates between HTTP and the [`Desk`], which decides what a change means and whether it is
//! possible; who may change anything is the [`Guard`]'s.
//!
//! hyper rather than a web framework: there are ten paths, and what needs care here (limits of heads, bodies,
//! connections and time) would have to be set in hyper below a framework too.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use indexmap::IndexMap;
use pumphandle_core::Dur;
use pumphandle_core::time::{self, Order};
use pumphandle_experiment::live::{Desk, Refused};
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

use crate::exposition::Exposition;
use crate::guard::{Guard, Refusal};
use crate::http::{self as page, Answer};
use crate::server::TEXT_FORMAT;

/// Bytes of a request's body.
pub const MAX_BODY: usize = 64 * 1024;
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);
/// Says who asks for a change, for the timeline.
pub const WHO: &str = "pumphandle-who";
/// Characters of that which are kept.
const MAX_WHO: usize = 64;

const JSON: &str = "application/json";

const PATHS: &str = "here are /, /healthz, /metrics, /settings, /settings/PATH, /events, /scenario, \
                     and to be posted /disturb, /calm, /restart, /kill, /reset\n";

/// Serves the admin port until the runtime ends. `arm` is the stack's name in metrics, `scenario` the text of
/// the scenario file, `data` where the service takes calls.
///
/// # Panics
///
/// Outside a tokio runtime with I/O and time enabled whose threads are on the real clock.
pub fn serve_control(
    listener: TcpListener,
    desk: Arc<Desk>,
    arm: String,
    scenario: String,
    data: SocketAddr,
    guard: Guard,
) {
    let process = desk.process();
    let exposition = Exposition::new(process.service(), &arm, Arc::clone(process.meter()));
    let admin = Arc::new(Admin { desk, exposition, arm, scenario: Bytes::from(scenario), data, guard });
    tokio::spawn(page::serve(listener, move |request, peer| {
        let admin = Arc::clone(&admin);
        async move { admin.answer(request, peer).await }
    }));
}

struct Admin {
    desk: Arc<Desk>,
    exposition: Exposition,
    arm: String,
    scenario: Bytes,
    data: SocketAddr,
    guard: Guard,
}

/// Something that a request asks for.
enum Wish {
    Change(IndexMap<String, Value>),
    Disturb(Value),
    Calm(Option<String>),
    Restart(Dur),
    Kill(Dur),
    Reset(Option<u64>),
}

impl Admin {
    async fn answer(&self, request: Request<Incoming>, peer: SocketAddr) -> Answer {
        let answered = self.try_to_answer(request, peer).await;
        answered.unwrap_or_else(|(status, sentence)| refused(status, &sentence, &[]))
    }

    async fn try_to_answer(&self, request: Request<Incoming>, peer: SocketAddr) -> Result<Answer, Refusal> {
        self.guard.may_read(request.headers())?;
        let path = request.uri().path().to_owned();
        let reads = [Method::GET, Method::HEAD].contains(request.method());
        let allowed = match path.as_str() {
            "/" | "/healthz" | "/metrics" | "/events" | "/scenario" => "GET, HEAD",
            "/settings" => "GET, HEAD, PATCH",
            "/disturb" | "/calm" | "/restart" | "/kill" | "/reset" => "POST",
            _ if path.starts_with("/settings/") => "GET, HEAD, PUT, DELETE",
            _ => return Ok(page::text(StatusCode::NOT_FOUND, PATHS)),
        };
        if !allowed.split(", ").any(|method| method == request.method().as_str()) {
            return Ok(page::not_allowed(allowed));
        }
        if reads {
            return Ok(self.read(&path));
        }
        self.guard.may_change(request.headers())?;
        let who = who(request.headers(), peer);
        let method = request.method().clone();
        let body = body(request).await?;
        let wish = wish(&method, &path, &body)?;
        Ok(self.grant(wish, &who))
    }

    fn read(&self, path: &str) -> Answer {
        match path {
            "/healthz" => page::text(StatusCode::OK, "ok\n"),
            "/metrics" => {
                self.desk.process().stack().bill();
                page::answer(StatusCode::OK, TEXT_FORMAT, self.exposition.render())
            }
            "/scenario" => page::text(StatusCode::OK, self.scenario.clone()),
            "/events" => json(StatusCode::OK, &self.desk.events()),
            "/settings" => json(StatusCode::OK, &self.desk.settings()),
            "/" => {
                let mut about = self.desk.about();
                about["stack"] = Value::from(self.arm.as_str());
                about["data"] = Value::from(self.data.to_string());
                about["pumphandle"] = Value::from(env!("CARGO_PKG_VERSION"));
                json(StatusCode::OK, &about)
            }
            _ => match self.desk.setting(&path["/settings/".len()..]) {
                Ok(value) => json(StatusCode::OK, &value),
                Err(refusal) => of_desk(&refusal),
            },
        }
    }

    fn grant(&self, wish: Wish, who: &str) -> Answer {
        let done = match wish {
            Wish::Change(changes) => self.desk.change(&changes, who),
            Wish::Disturb(trigger) => self.desk.disturb(&trigger, who),
            Wish::Calm(trigger) => Ok(self.desk.calm(trigger.as_deref(), who)),
            Wish::Restart(down) => Ok(self.desk.restart(down, who)),
            Wish::Kill(older_than) => Ok(self.desk.kill(older_than, who)),
            Wish::Reset(seed) => Ok(self.desk.reset(seed, who)),
        };
        match done {
            Ok(done) => json(StatusCode::OK, &done),
            Err(refusal) => of_desk(&refusal),
        }
    }
}

/// By whom, for the timeline: what they say, and from where.
pub(crate) fn who(headers: &HeaderMap, peer: SocketAddr) -> String {
    let said = headers.get(WHO).and_then(|value| value.to_str().ok()).unwrap_or("somebody");
    let said: String = said.chars().filter(|c| !c.is_control()).take(MAX_WHO).collect();
    format!("{said} at {}", peer.ip())
}

/// The body, if it is JSON, small enough and in time.
pub(crate) async fn body(request: Request<Incoming>) -> Result<Bytes, Refusal> {
    let headers = request.headers();
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    let too_large = || (StatusCode::PAYLOAD_TOO_LARGE, format!("a body has at most {MAX_BODY} bytes"));
    if length.is_some_and(|length| length > MAX_BODY) {
        return Err(too_large());
    }
    let kind = headers.get(CONTENT_TYPE).map(|kind| kind.to_str().unwrap_or_default().to_ascii_lowercase());
    let is_json = kind.as_deref().and_then(|kind| kind.split(';').next()).map(str::trim) == Some(JSON);
    let reading = Limited::new(request.into_body(), MAX_BODY).collect();
    let read = time::timeout(BODY_TIMEOUT, Order::timeout(0), reading).await;
    let read = read.map_err(|_| (StatusCode::REQUEST_TIMEOUT, "the body did not come".to_owned()))?;
    let body = match read {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => return Err(too_large()),
        Err(_) => return Err((StatusCode::BAD_REQUEST, "the body broke off".to_owned())),
    };
    if !body.is_empty() && !is_json {
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("a body is {JSON}")));
    }
    Ok(body)
}

/// What a request to change something asks for.
fn wish(method: &Method, path: &str, body: &[u8]) -> Result<Wish, Refusal> {
    if let Some(setting) = path.strip_prefix("/settings/") {
        let value = if method == Method::DELETE { Value::Null } else { parse(body)? };
        return Ok(Wish::Change(IndexMap::from([(setting.to_owned(), value)])));
    }
    if path == "/settings" {
        return Ok(Wish::Change(parse::<Once>(body)?.0));
    }
    if path == "/disturb" {
        return Ok(Wish::Disturb(Value::Object(fields(body, &["trigger", "do", "for"])?)));
    }
    let wrong = |field: &str, message: &str| (StatusCode::BAD_REQUEST, format!("`{field}`: {message}"));
    let text = |fields: &Map<String, Value>, field: &str| match fields.get(field) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(wrong(field, "expected text")),
    };
    match path {
        "/calm" => Ok(Wish::Calm(text(&fields(body, &["trigger"])?, "trigger")?)),
        "/restart" => {
            let down = text(&fields(body, &["down"])?, "down")?.unwrap_or_else(|| "0s".to_owned());
            Ok(Wish::Restart(Dur::parse(&down).map_err(|message| wrong("down", &message))?))
        }
        "/kill" => {
            // No age is assumed: what would be ended cannot be brought back.
            let age = text(&fields(body, &["older_than"])?, "older_than")?;
            let age = age.ok_or_else(|| wrong("older_than", "is missing: say how old, such as 30s"))?;
            Ok(Wish::Kill(Dur::parse(&age).map_err(|message| wrong("older_than", &message))?))
        }
        _ => match fields(body, &["seed"])?.get("seed") {
            None => Ok(Wish::Reset(None)),
            Some(seed) => {
                let seed = seed.as_u64().ok_or_else(|| wrong("seed", "expected a whole number from 0"))?;
                Ok(Wish::Reset(Some(seed)))
            }
        },
    }
}

/// The fields of a JSON object, none of them unknown. No body is an object without fields.
pub(crate) fn fields(body: &[u8], known: &[&str]) -> Result<Map<String, Value>, Refusal> {
    let all = if body.is_empty() { IndexMap::new() } else { parse::<Once>(body)?.0 };
    match all.keys().find(|field| !known.contains(&field.as_str())) {
        Some(field) => {
            let sentence = format!("no such field: `{}`; known: {}", short(field), known.join(", "));
            Err((StatusCode::BAD_REQUEST, sentence))
        }
        None => Ok(all.into_iter().collect()),
    }
}

/// What a stranger wrote, short enough to be repeated to them.
pub(crate) fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_WHO).collect()
}

fn parse<T: for<'a> Deserialize<'a>>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| {
        (StatusCode::BAD_REQUEST, format!("the body is not the JSON expected here: {error}"))
    })
}

/// A JSON object that has every field once: of two values for one setting, one would be lost in silence.
struct Once(IndexMap<String, Value>);

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Once, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Once;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Once, A::Error> {
                let mut all = IndexMap::new();
                while let Some((field, value)) = map.next_entry::<String, Value>()? {
                    if all.contains_key(&field) {
                        return Err(de::Error::custom(format_args!(
                            "`{}` stands there twice",
                            short(&field)
                        )));
                    }
                    all.insert(field, value);
                }
                Ok(Once(all))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

pub(crate) fn json(status: StatusCode, value: &Value) -> Answer {
    page::answer(status, JSON, format!("{value}\n"))
}

pub(crate) fn of_desk(refusal: &Refused) -> Answer {
    match refusal {
        Refused::Wrong(problems) => {
            let problems: Vec<Value> = problems.iter().map(|told| json!(told)).collect();
            refused(StatusCode::UNPROCESSABLE_ENTITY, "nothing was changed", &problems)
        }
        Refused::Unknown(sentence) => refused(StatusCode::NOT_FOUND, sentence, &[]),
        Refused::Conflict(sentence) => refused(StatusCode::CONFLICT, sentence, &[]),
    }
}

pub(crate) fn refused(status: StatusCode, sentence: &str, problems: &[Value]) -> Answer {
    let mut answer = json(status, &json!({ "error": sentence, "problems": problems }));
    if status == StatusCode::UNAUTHORIZED {
        answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    answer
}

/// What a caller sends along.
pub(crate) fn credentials(token: Option<&crate::Token>, who: &str) -> Vec<(http::HeaderName, HeaderValue)> {
    let mut headers = Vec::new();
    if let Ok(who) = HeaderValue::try_from(who) {
        headers.push((http::HeaderName::from_static(WHO), who));
    }
    if let Some(Ok(token)) = token.map(|token| HeaderValue::try_from(token.header())) {
        headers.push((AUTHORIZATION, token));
    }
    headers
}
