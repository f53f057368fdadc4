//! What all services of one arm share: the seed's draws and the event log.

use std::sync::Arc;

use crate::call::Outcome;
use crate::draws::Draws;
use crate::events::{EventKind, EventLog};
use crate::time;

/// See the module.
#[derive(Debug)]
pub struct World {
    /// The randomness of this arm: the same for all arms of one seed.
    pub draws: Draws,
    /// What happened.
    pub log: EventLog,
}

impl World {
    /// The world of one seed.
    pub fn new(seed: u64, keep_events: bool) -> Arc<World> {
        Arc::new(World { draws: Draws::new(seed), log: EventLog::new(keep_events) })
    }

    /// Adds an entry to the event log, now.
    #[inline]
    pub fn record(&self, kind: EventKind, service: u8, a: u64, b: u64) {
        self.log.record(time::now(), kind, service, a, b);
    }
}

/// How the event log writes an outcome: 0 good, 1 degraded, else 1 + the error's number.
pub fn outcome_code(outcome: &Outcome) -> u64 {
    match outcome {
        Ok(reply) => u64::from(reply.degraded),
        Err(error) => 1 + *error as u64,
    }
}
