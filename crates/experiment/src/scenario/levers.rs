//! Interventions. A lever is a change of settings, or steps of changes and restarts; everything that it can
//! do is done to live services by the handles that a person would use.

use indexmap::IndexMap;
use pumphandle_core::Dur;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One intervention.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lever {
    /// What it does, in a few words.
    pub title: String,
    /// Meadows' leverage level, 12 (weakest) to 1.
    #[schemars(range(min = 1, max = 12))]
    pub level: u8,
    /// A second level, from 12 to 1, on which the lesson puts the same thing. None if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 12))]
    pub also_level: Option<u8>,
    /// The level is this project's, not the lesson's. It is the lesson's if absent.
    #[serde(default)]
    pub ours: bool,
    /// What the lesson says it is worth. Written before the first run; never gates. It says nothing if
    /// absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lesson: Option<Lesson>,
    /// Whether its effect comes out of the mechanism (`emergent`, also if absent) or follows from a number put
    /// in (`assumed`).
    #[serde(default)]
    pub evidence: Evidence,
    /// How it is tried: `pulled` at one moment of the incident, `standing` from the start. Both if absent.
    #[serde(default = "both")]
    pub modes: Vec<Mode>,
    /// Settings to change, by path: `service.policy.field` or `service.field`, such as
    /// `client.retry.enabled: false`. None if absent.
    #[serde(default)]
    pub set: IndexMap<String, Value>,
    /// Services to restart, losing all that is inside. None if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<Restart>,
    /// Work to end because it is old, as somebody does who kills long queries: once, at the moment of the lever.
    /// None if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kill: Option<Kill>,
    /// Further steps, each some time after the lever was pulled. None if absent.
    #[serde(default)]
    pub then: Vec<Step>,
}

/// A later step of a lever.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// How long after the lever was pulled (or after the start, when standing), such as 30s.
    pub after: Dur,
    /// Settings to change, by path. None if absent.
    #[serde(default)]
    pub set: IndexMap<String, Value>,
    /// Services to restart. None if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<Restart>,
    /// Work to end because it is old. None if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kill: Option<Kill>,
}

/// An end to old work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Kill {
    /// At which services, by name.
    pub services: Vec<String>,
    /// Work that came in at least this long ago ends in an error, such as 30s; 0s ends all of it.
    pub older_than: Dur,
}

/// A restart of services.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Restart {
    /// Which services, by name.
    pub services: Vec<String>,
    /// How long they are away, such as 5s.
    pub down: Dur,
}

/// How a lever is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// At one moment of the incident: does it cure?
    Pulled,
    /// In place from the start: does it prevent?
    Standing,
}

impl Mode {
    /// As written.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Pulled => "pulled",
            Mode::Standing => "standing",
        }
    }
}

fn both() -> Vec<Mode> {
    vec![Mode::Pulled, Mode::Standing]
}

/// Where a lever's effect comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// Out of the mechanism.
    #[default]
    Emergent,
    /// From a number put in.
    Assumed,
}

/// What the lesson says of a lever, in its own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Lesson {
    /// Makes it worse.
    Terrible,
    /// Hides it.
    Masks,
    /// Puts it off.
    Delays,
    /// Does little.
    Weak,
    /// Does not help.
    DidNotHelp,
    /// Helps somewhat.
    Moderate,
    /// Stops it.
    Strong,
    /// Stops it.
    High,
    /// Ends it.
    Ends,
    /// Keeps it from happening, or ends it within half a minute.
    VeryStrong,
    /// As very strong.
    VeryHigh,
    /// Keeps it from happening.
    Prevents,
}
