//! The entries of a cache: by key, by when they were last used, and by when they are past their time. Every operation
//! takes logarithmic time. It must not know what an entry is of.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use pumphandle_core::Time;
use pumphandle_core::meter::{Flow, Meter, StockName};
use slab::Slab;

/// An entry, as it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// From this instant on it is past its time.
    pub expires: Time,
    /// How long its fill took; for an entry of the start, how long the last fill did.
    pub took: Duration,
}

#[derive(Debug)]
struct Entry {
    key: u64,
    /// When it entered the stock.
    stored: Time,
    expires: Time,
    took: Option<Duration>,
    /// Its neighbours in the order of use.
    newer: usize,
    older: usize,
}

/// No neighbour.
const NONE: usize = usize::MAX;

/// See the module. It counts entries in the meter's stock as they come and go.
#[derive(Debug)]
pub struct Store {
    meter: Arc<Meter>,
    limit: usize,
    places: BTreeMap<u64, usize>,
    entries: Slab<Entry>,
    newest: usize,
    oldest: usize,
    /// By when they are past their time; entries that live for ever are not here.
    due: BTreeSet<(Time, u64)>,
    last_took: Duration,
}

impl Store {
    /// An empty one, without room.
    pub fn new(meter: Arc<Meter>) -> Store {
        Store {
            meter,
            limit: 0,
            places: BTreeMap::new(),
            entries: Slab::new(),
            newest: NONE,
            oldest: NONE,
            due: BTreeSet::new(),
            last_took: Duration::ZERO,
        }
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// There is room for so many from now on; the least recently used ones above it go.
    pub fn limit(&mut self, limit: usize) {
        self.limit = limit;
        while self.len() > limit {
            self.evict(pumphandle_core::time::now());
        }
    }

    /// The entry of this key, which is used by that.
    pub fn look(&mut self, key: u64) -> Option<Found> {
        let place = *self.places.get(&key)?;
        if self.newest != place {
            self.unlink(place);
            self.link(place);
        }
        let Entry { expires, took, .. } = self.entries[place];
        Some(Found { expires, took: took.unwrap_or(self.last_took) })
    }

    /// Stores an entry, in place of the one of its key or else of the least recently used one. `took` is how long its
    /// fill took, where there was one.
    pub fn put(&mut self, key: u64, expires: Time, took: Option<Duration>, now: Time) {
        if let Some(place) = self.places.get(&key) {
            self.remove(*place, now);
        }
        if self.limit == 0 {
            return;
        }
        while self.len() >= self.limit {
            self.evict(now);
        }
        self.last_took = took.unwrap_or(self.last_took);
        let stored = self.meter.stock(StockName::CacheEntries).enter(now);
        let place = self.entries.insert(Entry { key, stored, expires, took, newer: NONE, older: NONE });
        self.places.insert(key, place);
        self.link(place);
        if expires < Time::MAX {
            self.due.insert((expires, key));
        }
    }

    /// Lets go of entries that have been past their time for `keeps` or longer. Whoever comes first after that notices;
    /// in the stock's account they went when it was time.
    pub fn expire(&mut self, now: Time, keeps: Duration) {
        while let Some(&(expires, key)) = self.due.first() {
            let goes = expires + keeps;
            if goes > now {
                break;
            }
            let place = self.places[&key];
            self.remove(place, goes);
        }
    }

    /// Lets go of all.
    pub fn clear(&mut self) {
        let now = pumphandle_core::time::now();
        while self.oldest != NONE {
            self.remove(self.oldest, now);
        }
    }

    fn evict(&mut self, now: Time) {
        self.remove(self.oldest, now);
        self.meter.count(Flow::CacheEvictions);
    }

    fn remove(&mut self, place: usize, now: Time) {
        self.unlink(place);
        let entry = self.entries.remove(place);
        self.places.remove(&entry.key);
        if entry.expires < Time::MAX {
            self.due.remove(&(entry.expires, entry.key));
        }
        self.meter.stock(StockName::CacheEntries).leave(entry.stored, now);
    }

    /// Puts it at the newest end.
    fn link(&mut self, place: usize) {
        let before = self.newest;
        (self.entries[place].newer, self.entries[place].older) = (NONE, before);
        match before {
            NONE => self.oldest = place,
            _ => self.entries[before].newer = place,
        }
        self.newest = place;
    }

    fn unlink(&mut self, place: usize) {
        let Entry { newer, older, .. } = self.entries[place];
        match newer {
            NONE => self.newest = older,
            _ => self.entries[newer].older = older,
        }
        match older {
            NONE => self.oldest = newer,
            _ => self.entries[older].newer = newer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        Look(u64),
        Put(u64, u64),
        Wait(u64),
        Limit(usize),
        Clear,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0_u64..12).prop_map(Step::Look),
            4 => ((0_u64..12), (1_u64..50)).prop_map(|(key, lives)| Step::Put(key, lives)),
            2 => (0_u64..20).prop_map(Step::Wait),
            1 => (0_usize..8).prop_map(Step::Limit),
            1 => Just(Step::Clear),
        ]
    }

    /// The same by the simplest means: a list in the order of use, the least recently used first.
    #[derive(Default)]
    struct Model {
        limit: usize,
        entries: Vec<(u64, u64)>,
        evicted: u64,
    }

    impl Model {
        fn shrink(&mut self, to: usize) {
            while self.entries.len() > to {
                self.entries.remove(0);
                self.evicted += 1;
            }
        }

        fn put(&mut self, key: u64, expires: u64) {
            self.entries.retain(|(k, _)| *k != key);
            if self.limit > 0 {
                self.shrink(self.limit - 1);
                self.entries.push((key, expires));
            }
        }

        fn look(&mut self, key: u64) -> Option<u64> {
            let at = self.entries.iter().position(|(k, _)| *k == key)?;
            let entry = self.entries.remove(at);
            self.entries.push(entry);
            Some(entry.1)
        }
    }

    proptest! {
        /// Never more than there is room for; the least recently used goes; nothing is found that is past its time for
        /// longer than it is kept; and what has come in less what has gone out is what is there.
        #[test]
        fn it_does_what_a_list_in_the_order_of_use_does(
            steps in prop::collection::vec(step(), 1..200), keeps in 0_u64..30,
        ) {
            let checked = pumphandle_core::time::simulate(async move {
                let meter: Arc<Meter> = Arc::default();
                let (mut store, mut model, mut at) = (Store::new(Arc::clone(&meter)), Model::default(), 0);
                for step in steps {
                    let now = Time::from_nanos(at);
                    store.expire(now, Duration::from_nanos(keeps));
                    model.entries.retain(|(_, expires)| expires + keeps > at);
                    match step {
                        Step::Look(key) => {
                            let found = store.look(key).map(|found| found.expires.nanos());
                            prop_assert_eq!(found, model.look(key));
                            prop_assert!(found.is_none_or(|expires| at < expires + keeps));
                        }
                        Step::Put(key, lives) => {
                            store.put(key, Time::from_nanos(at + lives), Some(Duration::ZERO), now);
                            model.put(key, at + lives);
                        }
                        Step::Wait(span) => at += span,
                        Step::Limit(limit) => {
                            store.limit(limit);
                            model.limit = limit;
                            model.shrink(limit);
                        }
                        Step::Clear => {
                            store.clear();
                            model.entries.clear();
                        }
                    }
                    let snapshot = meter.read(Time::from_nanos(at));
                    let account = snapshot.stock(StockName::CacheEntries);
                    prop_assert!(store.len() <= model.limit);
                    prop_assert_eq!(store.len(), model.entries.len());
                    prop_assert_eq!(store.is_empty(), model.entries.is_empty());
                    prop_assert_eq!(account.level, store.len() as u64);
                    prop_assert_eq!(account.inflow - account.outflow, account.level);
                    prop_assert_eq!(account.integral, account.sojourns);
                    prop_assert_eq!(snapshot.flow(Flow::CacheEvictions), model.evicted);
                }
                Ok(())
            });
            checked.unwrap()?;
        }
    }
}
