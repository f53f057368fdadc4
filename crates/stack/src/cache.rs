//! A cache between a service and those that it calls: time to live, jitter, a size, least recently used out
//! first. Concurrent fills of one key may be one, an entry may be refreshed before it is due, and one that is
//! past its time may be served for want of a better.
//!
//! What it prevents: load on the services behind. What it can cause: entries that were filled together are due
//! together, and then all that load comes back at once (`scenarios/synchronized-expiry.yaml`). While fills fail
//! nothing is stored, so that the load stays.
//!
//! It must not know how a fill is made: that is the replica's affair.
//!
//! # Layout, in reading order
//!
//! * [`settings`]: what can be said of a cache
//! * [`keys`]: what is asked for, and how often
//! * [`store`]: the entries
//! * [`fills`]: who fills, and who waits for it
//! * here: what becomes of a call

pub mod fills;
pub mod keys;
pub mod settings;
pub mod store;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use pumphandle_core::draws::{Path, Stream, exponential};
use pumphandle_core::meter::{Flow, Meter};
use pumphandle_core::time::{Time, now};
use pumphandle_core::{Call, Outcome, Reply, World};

use fills::{Fills, Leading};
use keys::Popularity;
pub use settings::Cache;
use store::{Found, Store};

/// What a call finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// An entry within its time to live.
    Fresh,
    /// The same, and it is this call's lot to have it refreshed before it is due.
    Early,
    /// An entry past its time, that may be served while it is refreshed.
    Stale,
    /// Nothing that may be served.
    Missing,
}

/// The cache of one replica. It is there whether or not the settings say that there is a cache: one can be added
/// while it runs.
pub struct CacheState {
    world: Arc<World>,
    meter: Arc<Meter>,
    /// The key of its draws.
    subject: u64,
    popularity: ArcSwapOption<Popularity>,
    store: Mutex<Store>,
    fills: Fills,
}

impl CacheState {
    /// An empty one.
    pub fn new(world: Arc<World>, meter: Arc<Meter>, subject: u64) -> Arc<CacheState> {
        Arc::new(CacheState {
            world,
            store: Mutex::new(Store::new(Arc::clone(&meter))),
            meter,
            subject,
            popularity: ArcSwapOption::empty(),
            fills: Fills::default(),
        })
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The settings in force have changed. A cache that is off is empty, and stays so.
    pub fn changed(&self, cache: Option<&Cache>) {
        let Some(cache) = cache.filter(|cache| cache.enabled) else {
            if self.popularity.swap(None).is_some() {
                self.store().limit(0);
            }
            return;
        };
        let known = self.popularity.load();
        if known.as_ref().is_none_or(|it| !it.is_of(&cache.keys)) {
            self.popularity.store(Some(Arc::new(Popularity::new(&cache.keys))));
        }
        self.store().limit(cache.size.unwrap_or(usize::MAX));
    }

    /// Fills it with what is asked for most, all at once, as a job that warms a cache does.
    pub fn warm(&self, cache: &Cache) {
        let classes = self.world.class_count().max(1) as u64;
        let at = now();
        let mut store = self.store();
        // The most popular last: they are the most recently used.
        for nth in (0..cache.warmed(classes as usize) as u64).rev() {
            let (rank, class) = (nth / classes, nth % classes);
            let key = class * u64::from(cache.keys.count) + rank;
            let expires = at + self.lives_for(cache, Path::of_arrival(key).hedge(1));
            store.put(key, expires, None, at);
        }
    }

    /// What the call asks for: requests of other classes ask for other things. An arrival asks for the same thing in
    /// all its attempts, in every arm, and wherever it comes to a cache with the same keys.
    pub fn key_of(&self, cache: &Cache, call: &Call) -> u64 {
        let u = self.world.draws.uniform(Stream::CacheKey, 0, Path::of_arrival(call.arrival));
        let rank = self.popularity.load().as_ref().map_or(0, |it| it.rank(u));
        u64::from(call.class.0) * u64::from(cache.keys.count) + u64::from(rank)
    }

    /// What there is for a call. Nothing is counted.
    pub fn look(&self, cache: &Cache, key: u64, call: &Call) -> Look {
        let at = now();
        let mut store = self.store();
        store.expire(at, cache.keeps());
        let Some(found) = store.look(key) else { return Look::Missing };
        drop(store);
        if at >= found.expires {
            let while_refreshing = cache.serve_stale.map_or(Duration::ZERO, |it| it.while_refreshing.0);
            return if at < found.expires + while_refreshing { Look::Stale } else { Look::Missing };
        }
        let Some(early) = cache.early_refresh else { return Look::Fresh };
        let u = self.world.draws.uniform(Stream::EarlyRefresh, self.subject, call.path);
        if is_due_early(at, &found, early.beta, u) { Look::Early } else { Look::Fresh }
    }

    /// Whose fill a call that needs one waits for: its own, or one that is under way.
    pub fn turn(self: &Arc<Self>, cache: &Cache, key: u64) -> fills::Turn {
        Fills::turn(self, key, cache.coalesce)
    }

    /// A fill that took from `begun` until now has come to `outcome`. Only a whole answer is stored.
    pub fn filled(&self, cache: &Cache, leading: Leading, call: &Call, begun: Time, outcome: Outcome) {
        match outcome {
            Ok(Reply { degraded: false }) => {
                let at = now();
                let expires = at + self.lives_for(cache, call.path);
                let mut store = self.store();
                store.expire(at, cache.keeps());
                store.put(leading.key(), expires, Some(at.since(begun)), at);
            }
            _ => self.meter.count(Flow::CacheFillFailures),
        }
        leading.end(outcome);
    }

    /// What is answered when a fill has come to `outcome`: an entry past its time rather than an error, where that is
    /// allowed.
    pub fn or_stale(&self, cache: &Cache, key: u64, outcome: Outcome) -> Outcome {
        let Some(stale) = cache.serve_stale.filter(|_| outcome.is_err()) else { return outcome };
        match self.store().look(key) {
            Some(found) if now() < found.expires + stale.if_error.0 => {
                self.meter.count(Flow::CacheStale);
                Ok(Reply { degraded: true })
            }
            _ => outcome,
        }
    }

    /// Lets go of what is past its time. For whoever reads the level of the stock.
    pub fn tidy(&self, cache: &Cache) {
        self.store().expire(now(), cache.keeps());
    }

    /// Loses everything, as a process that restarts does.
    pub fn lose(&self) {
        self.store().clear();
    }

    /// How long an entry lives that is stored for the call at `path`.
    fn lives_for(&self, cache: &Cache, path: Path) -> Duration {
        let Some(ttl) = cache.ttl else { return Duration::MAX };
        if cache.jitter.0 <= 0.0 {
            return ttl.0;
        }
        let u = self.world.draws.uniform(Stream::CacheTtl, self.subject, path);
        Duration::from_nanos((ttl.0.as_nanos() as f64 * (1.0 - cache.jitter.0 * u)) as u64)
    }
}

/// XFetch: whether, at `at`, the lookup with the draw `u` refreshes an entry that is not due yet. It does if
/// `at - took * beta * ln(u')` is at or past the end, with u' uniform between 0 and 1: Vattani, Chierichetti,
/// Lowenstein, "Optimal Probabilistic Cache Stampede Prevention", VLDB 2015, figure 2. Here u' is 1 - u.
pub fn is_due_early(at: Time, found: &Found, beta: f64, u: f64) -> bool {
    let ahead = found.took.as_nanos() as f64 * beta * exponential(u);
    ahead >= found.expires.since(at).as_nanos() as f64
}

#[cfg(test)]
mod tests;
