//! A small scenario language with every shape of type that a real one uses.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::Value;

use crate::document::{Document, Formats, Style};

/// A scenario.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "the fields are read through their schema")]
pub(super) struct Demo {
    /// The name on the command line. It is also the file's name.
    pub(super) scenario: String,
    /// What drives the system.
    pub(super) load: Load,
    #[serde(default)]
    pub(super) services: BTreeMap<String, Service>,
    #[serde(default)]
    pub(super) timeline: Vec<Action>,
    pub(super) window: Option<(Duration, Duration)>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "the fields are read through their schema")]
pub(super) struct Load {
    pub(super) arrivals: Arrivals,
    pub(super) warm_up: Option<Duration>,
    pub(super) shape: Option<Arrivals>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(dead_code, reason = "the fields are read through their schema")]
pub(super) enum Arrivals {
    Poisson(Rate),
    Constant(Rate),
    Steps(Vec<Step>),
    /// Nobody comes.
    None,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "the fields are read through their schema")]
pub(super) struct Step {
    pub(super) rate: Rate,
    pub(super) hold: Duration,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "the fields are read through their schema")]
pub(super) struct Service {
    /// How many requests are served at once.
    #[schemars(range(min = 1))]
    pub(super) workers: u32,
    pub(super) queue: Option<Queue>,
    pub(super) jitter: Option<Jitter>,
    #[schemars(range(min = 0.0, max = 1.0))]
    pub(super) share: Option<f64>,
    pub(super) replicas: Option<u8>,
    #[schemars(length(min = 1, max = 3))]
    pub(super) calls: Option<Vec<String>>,
    pub(super) enabled: Option<bool>,
    pub(super) service_time: Option<ServiceTime>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Jitter {
    Full,
    Equal,
    None,
}

/// A length, or `unbounded`, or all of its settings.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "the fields are read through their schema")]
pub(super) enum Queue {
    Word(Unbounded),
    Size(u64),
    Settings(QueueSettings),
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Unbounded {
    Unbounded,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "the fields are read through their schema")]
pub(super) struct QueueSettings {
    pub(super) size: u64,
    pub(super) timeout: Option<Duration>,
}

/// Always the same, or drawn.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "the fields are read through their schema")]
pub(super) enum ServiceTime {
    Always(Duration),
    Drawn(Drawn),
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(dead_code, reason = "the fields are read through their schema")]
pub(super) enum Drawn {
    Exponential(Duration),
    Uniform { from: Duration, to: Duration },
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
#[allow(dead_code, reason = "the fields are read through their schema")]
pub(super) enum Action {
    SlowDown { service: String, factor: f64 },
    Restart { service: String },
}

macro_rules! quantity {
    ($name:ident, $format:literal, $examples:expr) => {
        #[derive(Debug, Deserialize)]
        pub(super) struct $name(#[allow(dead_code, reason = "checked by its format")] pub(super) String);

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "format": $format, "examples": $examples })
            }
        }
    };
}

quantity!(Duration, "duration", ["250ms", "3s", "2m"]);
quantity!(Rate, "rate", ["100/s"]);

fn found(value: &Value) -> String {
    match value {
        Value::Null => "nothing".into(),
        Value::String(text) => format!("`{text}`"),
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "a mapping".into(),
        other => other.to_string(),
    }
}

pub(super) fn duration(value: &Value) -> Result<(), String> {
    let digits =
        value.as_str().and_then(|text| ["ms", "s", "m"].iter().find_map(|unit| text.strip_suffix(unit)));
    match digits.filter(|digits| digits.parse::<u64>().is_ok()) {
        Some(_) => Ok(()),
        None => Err(format!("expected a duration such as 250ms, 3s or 2m, found {}", found(value))),
    }
}

pub(super) fn rate(value: &Value) -> Result<(), String> {
    match value.as_str().and_then(|text| text.strip_suffix("/s")).filter(|rate| rate.parse::<f64>().is_ok()) {
        Some(_) => Ok(()),
        None => Err(format!("expected a rate such as 100/s, found {}", found(value))),
    }
}

pub(super) fn formats() -> Formats {
    Formats::new().with("duration", duration).with("rate", rate)
}

pub(super) fn schema() -> Value {
    schemars::schema_for!(Demo).to_value()
}

pub(super) const GOOD: &str = r#"# yaml-language-server: $schema=demo.schema.json
scenario: retry-storm
load:
  arrivals: { poisson: 100/s }   # why: lesson; two thirds of capacity
  warm_up: 30s
  shape:
    steps:
      - { rate: 10/s, hold: 5s }
      - rate: 20/s
        hold: 1m
services:
  "client": { workers: 4, queue: { size: 10, timeout: 3s }, jitter: full }
  api:
    workers: 50                  # why: source: "one per # connection"
    queue: unbounded
    calls: [db]
    service_time: { uniform: { from: 1s, to: 2s } }
  db: { workers: 1, queue: 7, share: 0.5, replicas: 3, enabled: true, service_time: 100ms }
  überlast: { workers: 2, service_time: { exponential: 1ms } }
timeline:
  - do: slow_down
    service: db
    factor: 10
  - { do: restart, service: api }
window: [10s, 20s]
"#;

/// What a person sees for a file: nothing for a good one.
pub(super) fn seen(text: &str) -> String {
    match Document::parse("mine.yaml", text) {
        Err(unreadable) => unreadable.render(Style::Plain),
        Ok(document) => match document.read::<Demo>(&schema(), &formats()) {
            Err(problems) => problems.render(&document, Style::Plain),
            Ok(_) => String::new(),
        },
    }
}
