//! One incident file: what can be written in it. Everything here is shape and documentation (the JSON Schema
//! is made from it); what the shape cannot refuse is refused in [`check`].

pub mod check;
pub mod levers;
pub mod overrides;
pub mod paths;
pub mod read;
pub mod triggers;

use std::time::Duration;

use indexmap::IndexMap;
use pumphandle_core::Dur;
use pumphandle_load::Load;
use pumphandle_stack::StackSettings;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use levers::{Lever, Mode};
pub use triggers::Trigger;

use crate::claims::ClaimBody;

/// One incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// The name by which it is run: letters, digits and hyphens.
    pub scenario: String,
    /// A headline.
    pub title: String,
    /// What happened, in a few sentences.
    pub story: String,
    /// What sort of incident it is.
    pub kind: Kind,
    /// When an answer is good.
    pub slo: Slo,
    /// How long users arrive.
    pub duration: Dur,
    /// When pulled levers act. The same moment for all levers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull: Option<Dur>,
    /// The load.
    pub load: Load,
    /// The services; users reach the first.
    pub services: StackSettings,
    /// What happens to them.
    #[serde(default)]
    pub timeline: Vec<Trigger>,
    /// What can be done about it.
    #[serde(default)]
    pub levers: IndexMap<String, Lever>,
    /// Levers of the incident that cannot be pulled yet, with the reason.
    #[serde(default)]
    pub not_yet: IndexMap<String, String>,
    /// A lever known to work, by which claims of no effect are shown to be able to fail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_to_work: Option<String>,
    /// The causal loops of the incident.
    #[serde(default)]
    pub loops: IndexMap<String, Loop>,
    /// Sentences that are measured again by every check.
    #[serde(default)]
    pub claims: Vec<IndexMap<String, ClaimBody>>,
}

/// What sort of incident it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A trigger with a start and an end.
    Pulse,
    /// A trigger that does not end.
    Sustained,
    /// No onset: it is like that all the time.
    Regime,
    /// Work that ends.
    Batch,
}

impl Kind {
    /// As written.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Pulse => "pulse",
            Kind::Sustained => "sustained",
            Kind::Regime => "regime",
            Kind::Batch => "batch",
        }
    }
}

/// When an answer is good.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Slo {
    /// Answered correctly within this time from when the user was due.
    pub latency: Dur,
}

/// A causal loop: variables and signs, as `load (+) latency (+) timeouts (+) retries (+)`; each sign is that
/// of the link to the next variable, the last one leads back to the first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Loop {
    /// In a few words.
    pub title: String,
    /// The variables with the signs of their links.
    pub links: Vec<String>,
}

impl Loop {
    /// Variables and signs; `None` if a link is not written as `variable (+)` or `variable (-)`.
    pub fn parse(&self) -> Option<Vec<(String, char)>> {
        self.links
            .iter()
            .map(|link| {
                let (name, sign) = link.trim().rsplit_once(' ')?;
                let sign = match sign {
                    "(+)" => '+',
                    "(-)" => '-',
                    _ => return None,
                };
                Some((name.trim().to_owned(), sign))
            })
            .collect()
    }
}

impl Scenario {
    /// The first trigger's start and the last one's end, if there are triggers; the end is absent if one of
    /// them does not end.
    pub fn trigger_window(&self) -> Option<(Duration, Option<Duration>)> {
        let from = self.timeline.iter().map(|trigger| trigger.from.0).min()?;
        let ends: Option<Vec<Duration>> = self.timeline.iter().map(Trigger::end).collect();
        Some((from, ends.and_then(|ends| ends.into_iter().max())))
    }

    /// Width of the bins by which good shares are judged, in whole seconds: at least 5 s and 200 arrivals.
    pub fn bin_s(&self) -> usize {
        let arrivals = self.load.base_rate().filter(|&rate| rate > 0.0).map_or(0.0, |rate| 200.0 / rate);
        (arrivals.ceil() as usize).max(5)
    }
}
