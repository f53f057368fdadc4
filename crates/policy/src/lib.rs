//! The shelf of defences: one file each, each a tower layer around what lies further in. They know calls,
//! time and draws; they must not know sockets, files, services or experiments.
//!
//! # How a policy is made
//!
//! A policy is a struct that holds what lies further in ([`Next`]) and its own state, and implements
//! [`Policy`] by reference: `call(&self, ..)`. One that is off returns the inner future itself, so that off
//! means strictly passed through. (Cloning a service per call, as tower's own stacks do, costs a clone of
//! everything further in at every layer.) Settings come in with the call: one snapshot, taken when the call
//! entered the edge.
//!
//! To add one: write its file with `Settings`, the policy and its `layer`, and add one line to the list in
//! [`shelf`]. Scenario files, `--set`, the schema and the chain know it from there.

pub mod advice;
pub mod attempt_timeout;
pub mod breaker;
pub mod bulkhead;
pub mod concurrency_limit;
pub mod deadline;
pub mod hedge;
pub mod load_shed;
pub mod pool;
pub mod query_timeout;
pub mod rate_limit;
pub mod retry;
pub mod retry_budget;
pub mod retry_quota;
pub mod shelf;
#[cfg(test)]
mod testing;
pub mod throttle;
pub mod tower_edge;

use std::sync::Arc;

use pumphandle_core::gate::Gate;
use pumphandle_core::meter::Meter;
use pumphandle_core::{Answering, Call, World};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use shelf::Policies;

/// One defence, or the end of a chain of them.
pub trait Policy: Send + Sync {
    /// Answers `call`, or lets what lies further in answer it.
    fn call<'a>(&'a self, settings: &'a Policies, call: Call) -> Answering<'a>;

    /// The settings in force have changed. For policies that hold permits or timers of their own.
    fn changed(&self, settings: &Policies);
}

/// What lies further in.
pub type Next = Box<dyn Policy>;

/// What a policy is given when its chain is built.
#[derive(Clone)]
pub struct Surroundings {
    /// Draws and event log of the arm.
    pub world: Arc<World>,
    /// The meter of the service whose calls pass here.
    pub meter: Arc<Meter>,
    /// The key of this chain's draws: which service calls which.
    pub subject: u64,
    /// The calling service's number in the event log.
    pub service: u8,
    /// Connections of all replicas of the calling service together, for a pool that is shared.
    pub pool: Arc<Gate>,
}

/// Something wrong with a value, by its path within the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Such as `retry.attempts`.
    pub path: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl Wrong {
    /// At `path`.
    pub fn at(path: impl Into<String>, message: impl Into<String>) -> Wrong {
        Wrong { path: path.into(), message: message.into() }
    }
}

/// Settings of one policy.
pub trait Settings {
    /// What the shape alone cannot refuse. Paths are relative to these settings; empty for the whole.
    fn check(&self) -> Vec<Wrong> {
        Vec::new()
    }
}

/// A wait with an end, or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience(pub Option<pumphandle_core::Dur>);

impl Patience {
    /// The limit, if there is one.
    pub fn limit(self) -> Option<std::time::Duration> {
        self.0.map(|dur| dur.0)
    }

    /// Reads `off` or a duration above zero.
    ///
    /// # Errors
    ///
    /// A sentence for the person who wrote it.
    pub fn parse(text: &str) -> Result<Patience, String> {
        if text == "off" {
            return Ok(Patience(None));
        }
        let dur = pumphandle_core::Dur::parse(text)
            .map_err(|_| format!("expected a duration such as 250ms or 3s, or off, found `{text}`"))?;
        if dur.0.is_zero() {
            return Err("a limit of zero would refuse everything; `off` switches it off".into());
        }
        Ok(Patience(Some(dur)))
    }
}

/// The check behind the schema format `patience`.
pub fn check_patience(value: &serde_json::Value) -> Result<(), String> {
    match value.as_str() {
        Some(text) => Patience::parse(text).map(drop),
        None => Err(format!("expected a duration such as 250ms or 3s, or off, found {value}")),
    }
}

impl Serialize for Patience {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Some(dur) => dur.serialize(s),
            None => s.serialize_str("off"),
        }
    }
}

impl<'de> Deserialize<'de> for Patience {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Patience, D::Error> {
        Patience::parse(&String::deserialize(d)?).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Patience {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Patience".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string", "format": "patience",
            "description": "How long to wait at most, such as 250ms or 3s; or off.",
            "examples": ["1s", "off"]
        })
    }
}

impl Settings for Patience {}

/// `true`, for serde.
pub(crate) fn yes() -> bool {
    true
}
