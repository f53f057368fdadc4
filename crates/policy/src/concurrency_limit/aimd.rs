//! Additive increase, multiplicative decrease: one more per answer, a tenth less per drop. It knows losses
//! only: a queue that is long but not too long is no reason for it to give way.
//!
//! Prevents and can cause: see [`super`]. It must not know calls or clocks.

use std::time::Duration;

use pumphandle_core::Dur;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Sample, Wrong, wrong_bounds};

/// Settings of AIMD, with the defaults of Netflix concurrency-limits' `AIMDLimit` (commit 784c960).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Aimd {
    /// The limit at the start, from 1 to 1000000. 20 if absent.
    #[serde(default = "twenty")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub initial: u32,
    /// The lowest limit, from 1 to 1000000. 20 if absent.
    #[serde(default = "twenty")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub min: u32,
    /// The highest limit, from 1 to 1000000. 200 if absent.
    #[serde(default = "two_hundred")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max: u32,
    /// What a drop leaves of the limit, from 0.5 to 1. 0.9 if absent.
    #[serde(default = "nine_tenths")]
    #[schemars(range(min = 0.5, max = 1.0))]
    pub backoff: f64,
    /// An answer that takes longer counts as dropped, such as 500ms. 5s if absent.
    #[serde(default = "five_seconds")]
    pub timeout: Dur,
}

fn twenty() -> u32 {
    20
}

fn two_hundred() -> u32 {
    200
}

fn nine_tenths() -> f64 {
    0.9
}

fn five_seconds() -> Dur {
    Dur(Duration::from_secs(5))
}

impl Aimd {
    pub(super) fn check(&self) -> Vec<Wrong> {
        wrong_bounds(self.min, self.initial, self.max)
    }

    /// The limit after `sample`.
    pub fn next(&self, limit: u32, sample: &Sample) -> u32 {
        let next = if sample.dropped || sample.took > self.timeout.0 {
            (f64::from(limit) * self.backoff) as u32
        } else if sample.in_flight.saturating_mul(2) >= limit {
            limit + 1
        } else {
            limit
        };
        next.min(self.max).max(self.min)
    }
}
