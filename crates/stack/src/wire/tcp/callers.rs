//! Who waits for a call that is on its way through the kernel.
//!
//! Only for measuring. A real service cannot know that the user three hops up has left, and nothing that a
//! service does may depend on this; but wasted work is work that nobody *up to the user* waits for, and over
//! TCP the chain of [`Exchange`]s cannot travel with the call. So the caller leaves it here under the call's
//! path, and the server picks it up.
//!
//! The wire adds an exchange of its own to the chain, marked in the instant in which the caller leaves. What
//! is wasted therefore counts from the departure itself, as it does in memory, and not from when the server
//! noticed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pumphandle_core::time::{Time, now};
use pumphandle_core::{Exchange, Path};

/// Entries are spread over this many locks. A power of two; paths are hashes, so their low bits will do.
const SHARDS: usize = 16;

/// How long an entry is kept after its caller has left. The call's bytes may be with the kernel, and the
/// server reads them however late it is; or they were never sent, and nobody will ever ask.
const KEPT: Duration = Duration::from_secs(10);

/// The callers of one arm's calls in transit: sent, and not yet read by the server.
#[derive(Default)]
pub(super) struct Callers([Mutex<Shard>; SHARDS]);

#[derive(Default)]
struct Shard {
    waiting: BTreeMap<u64, Arc<Exchange>>,
    /// Calls whose caller left before the server had read them, in the order of leaving.
    departed: VecDeque<(Time, u64, Arc<Exchange>)>,
}

impl Callers {
    /// `caller` is about to send the call at `path`. Two calls with one path must not be under way at once:
    /// every attempt has a path of its own.
    pub(super) fn sending(&self, path: Path, caller: Option<Arc<Exchange>>) -> InTransit<'_> {
        let exchange = Exchange::new(caller);
        self.shard(path.id()).waiting.insert(path.id(), Arc::clone(&exchange));
        InTransit { callers: self, path: path.id(), exchange, answered: false }
    }

    /// Who waits for the call at `path`, asked by the server, once, when it has read the call. `None` for a
    /// call that did not come from this arm.
    pub(super) fn take(&self, path: Path) -> Option<Arc<Exchange>> {
        self.shard(path.id()).waiting.remove(&path.id())
    }

    fn shard(&self, path: u64) -> MutexGuard<'_, Shard> {
        self.0[path as usize % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    /// Removes the entry of `exchange`, unless the server has taken it or a later call is in its place.
    fn remove(&mut self, path: u64, exchange: &Arc<Exchange>) {
        if self.waiting.get(&path).is_some_and(|entry| Arc::ptr_eq(entry, exchange)) {
            self.waiting.remove(&path);
        }
    }

    /// Removes what nobody has asked for in time.
    fn forget_before(&mut self, now: Time) {
        while let Some((at, path, exchange)) = self.departed.pop_front() {
            if now.since(at) < KEPT {
                self.departed.push_front((at, path, exchange));
                return;
            }
            self.remove(path, &exchange);
        }
    }
}

/// A call under way. Dropped unanswered, the caller has left.
pub(super) struct InTransit<'a> {
    callers: &'a Callers,
    path: u64,
    exchange: Arc<Exchange>,
    answered: bool,
}

impl InTransit<'_> {
    /// The caller has its answer, or knows that it will get none.
    pub(super) fn answered(mut self) {
        self.answered = true;
    }
}

impl Drop for InTransit<'_> {
    fn drop(&mut self) {
        let mut shard = self.callers.shard(self.path);
        if self.answered {
            shard.remove(self.path, &self.exchange);
            return;
        }
        let at = now();
        self.exchange.leave(at);
        shard.forget_before(at);
        if shard.waiting.get(&self.path).is_some_and(|entry| Arc::ptr_eq(entry, &self.exchange)) {
            shard.departed.push_back((at, self.path, Arc::clone(&self.exchange)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pumphandle_core::time::Origin;

    fn entries(callers: &Callers) -> usize {
        callers.0.iter().map(|shard| shard.lock().unwrap().waiting.len()).sum()
    }

    #[test]
    fn a_server_that_reads_a_call_late_still_learns_when_its_caller_left() {
        Origin::after(Duration::ZERO).enter();
        let callers = Callers::default();
        let path = Path::of_arrival(1);
        drop(callers.sending(path, None));
        let caller = callers.take(path).unwrap();
        assert!(caller.gone_since() <= now());
        assert!(callers.take(path).is_none());
    }

    #[test]
    fn a_departure_further_up_shows_through_the_wire() {
        Origin::after(Duration::ZERO).enter();
        let callers = Callers::default();
        let user = Exchange::new(None);
        let in_transit = callers.sending(Path::of_arrival(1), Some(Arc::clone(&user)));
        let caller = callers.take(Path::of_arrival(1)).unwrap();
        assert_eq!(caller.gone_since(), Time::MAX);
        user.leave(Time::from_nanos(7));
        assert_eq!(caller.gone_since(), Time::from_nanos(7));
        in_transit.answered();
    }

    #[test]
    fn an_answered_call_leaves_no_entry_and_nobody_gone() {
        let callers = Callers::default();
        let read = callers.sending(Path::of_arrival(1), None);
        let never_read = callers.sending(Path::of_arrival(2), None);
        let caller = callers.take(Path::of_arrival(1)).unwrap();
        read.answered();
        never_read.answered();
        assert_eq!(caller.gone_since(), Time::MAX);
        assert_eq!(entries(&callers), 0);
    }

    #[test]
    fn a_call_that_was_never_read_is_forgotten_after_a_while() {
        let mut shard = Shard::default();
        let (old, new) = (Exchange::new(None), Exchange::new(None));
        shard.waiting.insert(1, Arc::clone(&old));
        shard.waiting.insert(2, Arc::clone(&new));
        shard.departed.push_back((Time::ZERO, 1, old));
        shard.departed.push_back((Time::ZERO, 2, Exchange::new(None)));
        shard.forget_before(Time::ZERO + (KEPT - Duration::from_nanos(1)));
        assert_eq!(shard.waiting.len(), 2, "too early");
        shard.forget_before(Time::ZERO + KEPT);
        assert_eq!(shard.waiting.keys().collect::<Vec<_>>(), [&2], "2 is a later call in the same place");
        assert!(shard.departed.is_empty());
    }
}
