//! Vegas: how many of those under way are waiting is estimated from the latency against the shortest one seen,
//! and held between two bounds. Brakmo and Peterson, "TCP Vegas", IEEE JSAC 13(8), 1995, as in Netflix
//! concurrency-limits.
//!
//! Now and then the present latency is taken for the shortest, so that a service that has become slower for
//! good is not throttled for ever. Under a load that never pauses each such probe sees a queue and calls it
//! none: the limit climbs, step by step.
//!
//! Prevents and can cause: see [`super`]. It must not know calls or clocks.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Sample, Wrong, wrong_bounds};

/// Settings of Vegas, with the defaults of Netflix concurrency-limits' `VegasLimit` (commit 141214d). With l the
/// whole decades of the limit (1 below 100, 2 below 1000), it aims at 3 l to 6 l waiting, and moves by l.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Vegas {
    /// The limit at the start, from 1 to 1000000. 20 if absent.
    #[serde(default = "twenty")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub initial: u32,
    /// The highest limit, from 1 to 1000000. 1000 if absent.
    #[serde(default = "thousand")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max: u32,
    /// How much of a new estimate is taken over, from 0 to 1. All of it if absent.
    #[serde(default = "all")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub smoothing: f64,
    /// A new shortest latency is measured after this many times the limit of answers (times a draw between a
    /// half and one): from 1 to 1000000. 30 if absent.
    #[serde(default = "thirty")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub probe: u32,
}

fn twenty() -> u32 {
    20
}

fn thousand() -> u32 {
    1_000
}

fn all() -> f64 {
    1.0
}

fn thirty() -> u32 {
    30
}

/// What the algorithm remembers.
#[derive(Clone, Debug)]
pub struct State {
    estimate: f64,
    shortest: Option<Duration>,
    since_probe: u32,
    jitter: f64,
}

impl State {
    /// Before any answer, with a uniform draw for the first probe.
    pub fn new(settings: &Vegas, u: f64) -> State {
        State { estimate: f64::from(settings.initial), shortest: None, since_probe: 0, jitter: 0.5 + u / 2.0 }
    }

    /// How many may be under way.
    pub fn limit(&self, settings: &Vegas) -> u32 {
        (self.estimate as u32).min(settings.max).max(1)
    }

    /// A call has ended. `u` is a uniform draw, for when to probe next.
    pub fn update(&mut self, settings: &Vegas, sample: &Sample, u: f64) {
        if sample.took.is_zero() {
            return;
        }
        self.since_probe += 1;
        let probes = self.jitter * f64::from(settings.probe) * self.estimate <= f64::from(self.since_probe);
        if probes {
            self.since_probe = 0;
            self.jitter = 0.5 + u / 2.0;
        }
        match self.shortest {
            Some(shortest) if !probes && sample.took >= shortest => self.estimate(settings, sample, shortest),
            _ => self.shortest = Some(sample.took),
        }
    }

    fn estimate(&mut self, settings: &Vegas, sample: &Sample, shortest: Duration) {
        let limit = self.estimate;
        let step = f64::from((limit as u32).max(1).ilog10().max(1));
        let waiting = (limit * (1.0 - shortest.as_nanos() as f64 / sample.took.as_nanos() as f64)).ceil();
        let new = if sample.dropped {
            limit - step
        } else if f64::from(sample.in_flight) * 2.0 < limit {
            return;
        } else if waiting <= step {
            limit + 6.0 * step
        } else if waiting < 3.0 * step {
            limit + step
        } else if waiting > 6.0 * step {
            limit - step
        } else {
            return;
        };
        let new = new.min(f64::from(settings.max)).max(1.0);
        self.estimate = (1.0 - settings.smoothing) * limit + settings.smoothing * new;
    }
}

impl Vegas {
    pub(super) fn check(&self) -> Vec<Wrong> {
        wrong_bounds(1, self.initial, self.max)
    }
}
