//! Load shedding, on the way in: refuse at once what could only be served too late.
//!
//! Prevents: a queue whose every entry is answered after its caller has left. Can cause: refusals during
//! bursts that the queue would have absorbed; and a storm of its own, if callers retry refusals without a
//! budget.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Settings, yes};

/// Settings of load shedding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoadShed {
    /// On or off. On if absent.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Refuse when this many attempts are inside the service, waiting ones included: from 1 to 1000000.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub inside: u64,
}

impl Settings for LoadShed {}

impl LoadShed {
    /// Whether an attempt that finds `inside` others is refused.
    pub fn refuses(&self, inside: u64) -> bool {
        self.enabled && inside >= self.inside
    }
}
