//! One incident file: what can be written in it. Everything here is shape and documentation (the JSON Schema
//! is made from it); what the shape cannot refuse is refused in [`check`].

pub mod autoscalers;
pub mod check;
pub mod knobs;
pub mod levers;
pub mod loops;
pub mod overrides;
pub mod paths;
pub mod read;
pub mod schema;
pub mod team;
pub mod triggers;

use std::time::Duration;

use indexmap::IndexMap;
use pumphandle_core::Dur;
use pumphandle_load::Load;
use pumphandle_stack::StackSettings;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use levers::{Lever, Mode};
pub use loops::Loop;
pub use triggers::Trigger;

use crate::claims::ClaimBody;
use crate::scenario::autoscalers::Autoscalers;
use crate::scenario::team::Team;

/// One incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// The name by which it is run: lower-case letters, digits and hyphens.
    pub scenario: String,
    /// A headline.
    pub title: String,
    /// What happened, in a few sentences.
    pub story: String,
    /// What sort of incident it is: `pulse`, `sustained`, `regime` or `batch`.
    pub kind: Kind,
    /// When an answer is good.
    pub slo: Slo,
    /// How long users arrive, such as 300s: from 1s to 31d.
    pub duration: Dur,
    /// When pulled levers act, from the start of the run, such as 180s. The same moment for all levers; no
    /// lever can be pulled if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull: Option<Dur>,
    /// The load.
    pub load: Load,
    /// The services by name; users reach the first.
    pub services: StackSettings,
    /// Controllers of numbers of replicas, by name. None if absent.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub autoscalers: Autoscalers,
    /// Who changes the services and keeps them running, over days. Nobody if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<Team>,
    /// How long a sample of the series is, such as 10m, for scenarios of days: everything that is said per second is
    /// its mean over a sample then. In whole seconds; 1s if absent.
    #[serde(default = "second", skip_serializing_if = "is_second")]
    pub sampling: Dur,
    /// What happens to them. Nothing if absent.
    #[serde(default)]
    pub timeline: Vec<Trigger>,
    /// What can be done about it, by name. Nothing if absent.
    #[serde(default)]
    pub levers: IndexMap<String, Lever>,
    /// Levers of the incident that cannot be pulled yet, with the reason. None if absent.
    #[serde(default)]
    pub not_yet: IndexMap<String, String>,
    /// A lever known to work, by which claims of no effect are shown to be able to fail. They are not shown
    /// if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_to_work: Option<String>,
    /// The scenario without its defect, from the start: what is possible. Levers are judged by how much of the way
    /// there they go. They are judged against the control alone if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<Reference>,
    /// What levers are judged by, where it is not harm: not for a pulse. The share of users without a good answer
    /// if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
    /// Nothing counts before this time, in a scenario without a trigger: it takes so long until its state is its
    /// own, such as 300s. Everything counts if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settling: Option<Dur>,
    /// The causal loops of the incident, by name. None if absent.
    #[serde(default)]
    pub loops: IndexMap<String, Loop>,
    /// What the variables of the loops are measured by: `load: client.attempts` (a flow), `queue: api.queue`
    /// (a stock's level), `latency: api.queue.time` (the mean time in a stock). The same name means the same
    /// in all loops. Loops are drawn and not measured if absent.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub variables: IndexMap<String, String>,
    /// Sentences that are measured again by every check, each with what it says. None if absent.
    #[serde(default)]
    pub claims: Vec<IndexMap<String, ClaimBody>>,
}

/// The scenario without its defect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// What is different, in a few words.
    pub title: String,
    /// Settings that differ, by path as in levers.
    pub set: IndexMap<String, serde_json::Value>,
}

/// What levers are judged by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// Which quantity: less of it is better.
    pub of: CostOf,
    /// Of which service. Of users if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
}

/// A quantity of which less is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(title = "cost")]
pub enum CostOf {
    /// Users without a good answer, as a share of all.
    HarmShare,
    /// How often per hour the number of a service's replicas changed in the other direction than the change before.
    DirectionChangesPerHour,
    /// Replicas of a service times the seconds for which they were there, ready or not.
    ReplicaSeconds,
    /// Seconds from the first arrival to the last answer: how long it takes until all is done. Of the whole run.
    DrainTime,
    /// How often per week users began to be served badly: bins of users that are not healthy, after one that is.
    IncidentsPerWeek,
}

impl CostOf {
    /// Whether it is one of a service.
    pub fn needs_service(self) -> bool {
        !matches!(self, CostOf::HarmShare | CostOf::DrainTime | CostOf::IncidentsPerWeek)
    }

    /// As written.
    pub fn name(self) -> &'static str {
        match self {
            CostOf::HarmShare => "harm_share",
            CostOf::DirectionChangesPerHour => "direction_changes_per_hour",
            CostOf::ReplicaSeconds => "replica_seconds",
            CostOf::DrainTime => "drain_time",
            CostOf::IncidentsPerWeek => "incidents_per_week",
        }
    }
}

/// What sort of incident it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(title = "incident")]
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
    /// Answered correctly within this time from when the user was due, such as 3s.
    pub latency: Dur,
    /// A longer time of more patient users, such as 10s: how many are answered within it can be claimed
    /// (`patient_share`). No verdict is made from it. Not measured if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patient: Option<Dur>,
}

fn second() -> Dur {
    Dur(Duration::from_secs(1))
}
fn is_second(sampling: &Dur) -> bool {
    *sampling == second()
}

impl Scenario {
    /// The first trigger's start and the last one's end, if there are triggers; the end is absent if one of
    /// them does not end.
    pub fn trigger_window(&self) -> Option<(Duration, Option<Duration>)> {
        let from = self.timeline.iter().map(|trigger| trigger.from.0).min()?;
        let ends: Option<Vec<Duration>> = self.timeline.iter().map(Trigger::end).collect();
        Some((from, ends.and_then(|ends| ends.into_iter().max())))
    }

    /// What levers are judged by, and the place of the service of which it is measured.
    pub fn cost(&self) -> (CostOf, usize) {
        let service = |cost: &Cost| self.services.get_index_of(cost.service.as_deref()?);
        self.cost.as_ref().map_or((CostOf::HarmShare, 0), |cost| (cost.of, service(cost).unwrap_or(0)))
    }

    /// The names of the classes of requests, in their order.
    pub fn class_names(&self) -> Vec<String> {
        self.load.classes.keys().cloned().collect()
    }

    /// How many seconds a sample of the series is.
    pub fn step_s(&self) -> usize {
        (self.sampling.0.as_secs() as usize).max(1)
    }

    /// How many samples the series of the run has.
    pub fn samples(&self) -> usize {
        (self.duration.secs_f64() / self.step_s() as f64).ceil() as usize
    }

    /// Width of the bins by which good shares are judged, in seconds: whole samples, at least 5 s and 200 arrivals.
    pub fn bin_s(&self) -> usize {
        let arrivals =
            self.load.mean_rate(self.duration.0).filter(|&rate| rate > 0.0).map_or(0.0, |rate| 200.0 / rate);
        (arrivals.ceil() as usize).max(5).next_multiple_of(self.step_s())
    }
}
