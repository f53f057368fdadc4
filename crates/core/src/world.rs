//! What all services of one arm share: the seed's draws and the event log.

use std::sync::Arc;

use crate::call::{Class, Outcome};
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
    /// The names of the classes of requests, in the scenario's order. None where there are no classes.
    classes: Vec<String>,
}

impl World {
    /// The world of one seed, without classes of requests.
    pub fn new(seed: u64, keep_events: bool) -> Arc<World> {
        World::with_classes(seed, keep_events, Vec::new())
    }

    /// The world of one seed, whose requests are of these classes.
    pub fn with_classes(seed: u64, keep_events: bool, classes: Vec<String>) -> Arc<World> {
        Arc::new(World { draws: Draws::new(seed), log: EventLog::new(keep_events), classes })
    }

    /// The name of a class; `None` where there are no classes.
    pub fn class_name(&self, class: Class) -> Option<&str> {
        self.classes.get(usize::from(class.0)).map(String::as_str)
    }

    /// How many classes of requests there are; 0 where there are no classes.
    pub fn class_count(&self) -> usize {
        self.classes.len()
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
