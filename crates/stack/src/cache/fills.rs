//! Fills under way, by key: who makes one, and who waits for it. Where calls share fills, there is at most one under
//! way for each key.
//!
//! Who waits gets the outcome of the fill, an error too, as with Go's `singleflight`. If the fill is discarded before
//! it has come to anything, they look again, and one of them makes the next.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use pumphandle_core::Outcome;
use tokio::sync::Semaphore;

use super::CacheState;

/// See the module.
#[derive(Default)]
pub struct Fills(Mutex<BTreeMap<u64, Arc<Fill>>>);

/// One fill, which may be waited for.
pub struct Fill {
    /// It never has a permit: that it is closed is how those who wait learn of the end, in the order in which they came.
    over: Semaphore,
    outcome: OnceLock<Outcome>,
}

/// Whose fill it is.
pub enum Turn {
    /// The call's own.
    Lead(Leading),
    /// One that is under way.
    Follow(Arc<Fill>),
}

/// Whoever holds this makes the fill. Dropped before its end, the fill is discarded.
pub struct Leading {
    cache: Arc<CacheState>,
    key: u64,
    fill: Arc<Fill>,
    shared: bool,
}

impl Fill {
    /// What it came to; none if it was discarded.
    pub async fn outcome(&self) -> Option<Outcome> {
        let _ = self.over.acquire().await;
        self.outcome.get().copied()
    }
}

impl Fills {
    /// The fill for `key`: one that is under way, where they are `shared`.
    pub fn turn(cache: &Arc<CacheState>, key: u64, shared: bool) -> Turn {
        let fill = || Arc::new(Fill { over: Semaphore::new(0), outcome: OnceLock::new() });
        if !shared {
            return Turn::Lead(Leading { cache: Arc::clone(cache), key, fill: fill(), shared });
        }
        let mut under_way = cache.fills.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(fill) = under_way.get(&key) {
            return Turn::Follow(Arc::clone(fill));
        }
        let fill = fill();
        under_way.insert(key, Arc::clone(&fill));
        drop(under_way);
        Turn::Lead(Leading { cache: Arc::clone(cache), key, fill, shared })
    }
}

impl Leading {
    /// What is filled.
    pub fn key(&self) -> u64 {
        self.key
    }

    /// The fill, to be waited for.
    pub fn fill(&self) -> Arc<Fill> {
        Arc::clone(&self.fill)
    }

    /// It has come to something.
    pub fn end(self, outcome: Outcome) {
        // Nobody else sets it, and this consumes who may.
        let _ = self.fill.outcome.set(outcome);
    }
}

impl Drop for Leading {
    fn drop(&mut self) {
        if self.shared {
            let mut under_way = self.cache.fills.0.lock().unwrap_or_else(PoisonError::into_inner);
            under_way.remove(&self.key);
        }
        self.fill.over.close();
    }
}
