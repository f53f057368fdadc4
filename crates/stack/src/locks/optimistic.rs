//! Rows that nobody locks: a call remembers which version of its row it read, and fails when it ends if that is not the
//! last one any more. Nobody waits; the more calls there are for one row, the more of their work is for nothing.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use pumphandle_core::{Call, World};

use super::{Optimistic, Ranks};

/// The rows of one replica, with how often each was written.
#[derive(Default)]
pub struct Versions {
    popularity: Ranks,
    written: Mutex<BTreeMap<u32, u64>>,
}

/// A row as a call has read it.
#[derive(Clone, Copy, Debug)]
pub struct Read {
    row: u32,
    version: u64,
}

impl Versions {
    /// The settings in force have changed.
    pub fn changed(&self, optimistic: Option<&Optimistic>) {
        self.popularity.changed(optimistic.map(Optimistic::keys));
    }

    /// A call begins, and reads its row.
    pub fn read(&self, world: &World, subject: u64, call: &Call) -> Read {
        let row = self.popularity.row(world, subject, call.arrival, 0);
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        Read { row, version: written.get(&row).copied().unwrap_or(0) }
    }

    /// A call ends, and writes what it has read; whether it could.
    pub fn commit(&self, read: Read) -> bool {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let version = written.entry(read.row).or_insert(0);
        let is_last = *version == read.version;
        *version += u64::from(is_last);
        is_last
    }
}
