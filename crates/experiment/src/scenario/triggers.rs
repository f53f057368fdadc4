//! What starts an incident. A trigger is its public fields, what it does to the stack or to the load, and a
//! check that it did. To add one: a variant of [`Does`] with its fields, and its three arms below.

use std::time::Duration;

use pumphandle_core::meter::Flow;
use pumphandle_core::{Dur, Share, Time};
use pumphandle_load::plan::Spike;
use pumphandle_stack::Disturbance;
use pumphandle_stack::disturbance::Hold;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Something that happens to the stack or the load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Trigger {
    /// Its name, for tables and pictures.
    pub trigger: String,
    /// When it begins, from the start of the run, such as 60s.
    pub from: Dur,
    /// How long it lasts, such as 30s; it does not end if absent.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Dur>,
    /// What it does: one of slow_down, add_latency, errors, hang, lose_capacity, lose_replicas, outage,
    /// traffic_spike and restart.
    #[serde(rename = "do")]
    pub does: Does,
}

/// What a trigger does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(title = "trigger")]
pub enum Does {
    /// A service's work takes longer.
    SlowDown(SlowDown),
    /// The way to a service takes longer.
    AddLatency(AddLatency),
    /// A share of the calls to a service fail.
    Errors(SomeCalls),
    /// A share of the calls to a service get a worker and are never answered.
    Hang(SomeCalls),
    /// A service loses a share of its workers.
    LoseCapacity(LoseCapacity),
    /// Replicas of a service are killed: all that is inside of them is lost. They are started anew when it ends, and
    /// take calls after the service's `start_up`.
    LoseReplicas(LoseReplicas),
    /// A service holds all calls at its door and lets them in at once when it ends.
    Outage(Outage),
    /// More users arrive.
    TrafficSpike(TrafficSpike),
    /// A service restarts: all that is inside is lost, and nobody gets in until it ends.
    Restart(Outage),
}

/// A service's work takes `factor` times as long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SlowDown {
    /// Which service.
    pub service: String,
    /// How many times as long its work takes: from 0.001 to 1000000, 10 for ten times slower.
    #[schemars(range(min = 0.001, max = 1_000_000.0))]
    pub factor: f64,
}

/// The way to a service takes longer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AddLatency {
    /// Which service.
    pub service: String,
    /// By how much, such as 200ms.
    pub latency: Dur,
}

/// A share of the calls to a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SomeCalls {
    /// Which service.
    pub service: String,
    /// How many of its calls, such as 5%.
    pub share: Share,
}

/// A service loses workers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoseCapacity {
    /// Which service; it must have a number of workers.
    pub service: String,
    /// The share of its workers that is lost, such as 50%.
    pub share: Share,
}

/// Replicas of a service are killed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoseReplicas {
    /// Which service.
    pub service: String,
    /// How many of those that take calls, from 1 to 1000; all if there are fewer.
    #[schemars(range(min = 1, max = 1000))]
    pub replicas: u32,
}

/// A service is away.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Outage {
    /// Which service.
    pub service: String,
}

/// More users arrive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrafficSpike {
    /// By what the arrival rate is multiplied: from 0 to 10000.
    #[schemars(range(min = 0.0, max = 10_000.0))]
    pub factor: f64,
}

/// How a trigger acts.
#[derive(Clone, Debug)]
pub enum Act {
    /// By disturbing a service from its start to its end.
    Disturb(String, Disturbance),
    /// By restarting a service at its start.
    Restart(String, Duration),
    /// By killing some of a service's replicas at its start.
    Lose(String, u32, Duration),
    /// By changing the arrival plan.
    Spike(Spike),
}

/// What shows that a trigger took effect.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Work of the service took at least this many times as long as before.
    Slower(String, f64),
    /// This flow of the service was above zero while it lasted.
    Counted(String, Flow),
    /// All workers that were left were busy at some second's end.
    Exhausted(String, f64),
    /// At least this many times the arrivals of before.
    MoreArrivals(f64),
    /// A replica of the service took no calls any more.
    FewerReplicas(String),
}

/// Half of what a slow-down should do: the rest of the time in service may be waiting for others. One that
/// should do nothing cannot be seen to do it, and fails.
fn half_way(factor: f64) -> f64 {
    if factor < 1.0 { 1.0 - (1.0 - factor) / 2.0 } else { 1.0 + (factor - 1.0).max(0.2) / 2.0 }
}

impl Trigger {
    /// When it ends, if it does.
    pub fn end(&self) -> Option<Duration> {
        self.lasts.map(|lasts| self.from.0 + lasts.0)
    }

    /// The service it acts on, if it acts on one.
    pub fn service(&self) -> Option<&str> {
        match &self.does {
            Does::SlowDown(it) => Some(&it.service),
            Does::AddLatency(it) => Some(&it.service),
            Does::Errors(it) | Does::Hang(it) => Some(&it.service),
            Does::LoseCapacity(it) => Some(&it.service),
            Does::LoseReplicas(it) => Some(&it.service),
            Does::Outage(it) | Does::Restart(it) => Some(&it.service),
            Does::TrafficSpike(_) => None,
        }
    }

    /// How it acts.
    pub fn act(&self) -> Act {
        let quiet = Disturbance::default();
        match &self.does {
            Does::SlowDown(it) => Act::Disturb(it.service.clone(), Disturbance { slow: it.factor, ..quiet }),
            Does::AddLatency(it) => {
                Act::Disturb(it.service.clone(), Disturbance { latency: it.latency.0, ..quiet })
            }
            Does::Errors(it) => Act::Disturb(it.service.clone(), Disturbance { errors: it.share.0, ..quiet }),
            Does::Hang(it) => Act::Disturb(it.service.clone(), Disturbance { hang: it.share.0, ..quiet }),
            Does::LoseCapacity(it) => {
                Act::Disturb(it.service.clone(), Disturbance { capacity: 1.0 - it.share.0, ..quiet })
            }
            Does::Outage(it) => {
                Act::Disturb(it.service.clone(), Disturbance { hold: Some(Hold::default()), ..quiet })
            }
            Does::Restart(it) => {
                Act::Restart(it.service.clone(), self.lasts.map_or(Duration::ZERO, |lasts| lasts.0))
            }
            Does::LoseReplicas(it) => {
                let away = self.lasts.map_or(Duration::ZERO, |lasts| lasts.0);
                Act::Lose(it.service.clone(), it.replicas, away)
            }
            Does::TrafficSpike(it) => {
                let from = Time::ZERO + self.from.0;
                let to = self.lasts.map_or(Time::MAX, |lasts| from + lasts.0);
                Act::Spike(Spike { from, to, factor: it.factor })
            }
        }
    }

    /// What shows that it took effect.
    pub fn effect(&self) -> Effect {
        match &self.does {
            Does::SlowDown(it) => Effect::Slower(it.service.clone(), half_way(it.factor)),
            Does::AddLatency(it) => Effect::Counted(it.service.clone(), Flow::Disturbed),
            Does::Errors(it) | Does::Hang(it) => Effect::Counted(it.service.clone(), Flow::Disturbed),
            Does::Outage(it) => Effect::Counted(it.service.clone(), Flow::Disturbed),
            Does::LoseCapacity(it) => Effect::Exhausted(it.service.clone(), 1.0 - it.share.0),
            Does::Restart(it) => Effect::Counted(it.service.clone(), Flow::Disconnected),
            Does::LoseReplicas(it) => Effect::FewerReplicas(it.service.clone()),
            Does::TrafficSpike(it) => Effect::MoreArrivals(1.0 + (it.factor - 1.0) / 2.0),
        }
    }

    /// What it does, in words.
    pub fn words(&self) -> String {
        match &self.does {
            Does::SlowDown(it) => format!("{} {}x slower", it.service, it.factor),
            Does::AddLatency(it) => format!("{} more on the way to {}", it.latency, it.service),
            Does::Errors(it) => format!("{}% of calls to {} fail", it.share.0 * 100.0, it.service),
            Does::Hang(it) => format!("{}% of calls to {} hang", it.share.0 * 100.0, it.service),
            Does::LoseCapacity(it) => format!("{} loses {}% of its workers", it.service, it.share.0 * 100.0),
            Does::LoseReplicas(it) => format!("{} replicas of {} are killed", it.replicas, it.service),
            Does::Outage(it) => format!("{} holds all calls", it.service),
            Does::Restart(it) => format!("{} restarts", it.service),
            Does::TrafficSpike(it) => format!("{}x the arrivals", it.factor),
        }
    }
}
