//! Stocks and flows, and the catalogue of their names. A stock is a level with an inflow and an outflow; a
//! flow alone is a counter. Every service has one [`Meter`]; dashboards, `/metrics` and the series of a run
//! use the names declared here and no others.
//!
//! Hot paths touch plain atomics; whoever wants text reads a [`Snapshot`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::time::Time;

macro_rules! catalogue {
    ($(#[$doc:meta])* $enum:ident, $specs:ident { $($variant:ident = $name:literal: $help:literal;)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(usize)]
        pub enum $enum { $(#[doc = $help] $variant,)+ }

        impl $enum {
            /// All of them, in the order of the catalogue.
            pub const ALL: &'static [$enum] = &[$($enum::$variant,)+];

            /// The name in series files, scenario files and, prefixed, in Prometheus.
            pub const fn name(self) -> &'static str {
                match self { $($enum::$variant => $name,)+ }
            }

            /// One sentence for people.
            pub const fn help(self) -> &'static str {
                match self { $($enum::$variant => $help,)+ }
            }

            /// The one of this name.
            pub fn from_name(name: &str) -> Option<$enum> {
                $enum::ALL.iter().copied().find(|it| it.name() == name)
            }
        }

        /// How many there are.
        pub const $specs: usize = $enum::ALL.len();
    };
}

catalogue! {
    /// Counters of one service, from the start of the run.
    Flow, FLOWS {
        Arrived = "arrived": "Attempts that reached the service.";
        Completed = "completed": "Work finished with a correct answer.";
        InTime = "in_time": "Correct answers finished while everyone up to the user still waited.";
        Failed = "failed": "Work that ended in an error of the service itself.";
        Rejected = "rejected": "Attempts refused for want of room, or shed.";
        Expired = "expired": "Work dropped unstarted because nobody waited for it any more.";
        Killed = "killed": "Work ended by the service: by a time limit, or because somebody had old work ended.";
        Disconnected = "disconnected": "Attempts cut off by a restart.";
        Abandoned = "abandoned": "Attempts whose caller left before the answer.";
        BusyNanos = "busy_ns": "Time spent in service, summed over all work, nanoseconds.";
        WastedNanos = "wasted_ns": "The part of it spent after somebody up to the user had given up, nanoseconds.";
        Calls = "calls": "Calls to other services, each with all its attempts.";
        Attempts = "attempts": "Attempts sent to other services.";
        Retries = "retries": "Attempts that were not a call's first.";
        AttemptTimeouts = "attempt_timeouts": "Attempts given up because the answer took too long.";
        BudgetDenied = "budget_denied": "Retries that the retry budget refused.";
        BreakerRefused = "breaker_refused": "Attempts that an open circuit breaker refused.";
        Fallbacks = "fallbacks": "Calls answered by a fallback value.";
        PoolTimeouts = "pool_timeouts": "Attempts that got no pooled connection in time.";
        Limited = "limited": "Attempts that a limit refused: a rate limit, a bulkhead, a quota.";
        Hedges = "hedges": "Attempts sent because an earlier one of their call had not been answered yet.";
        HedgesWon = "hedges_won": "Hedges whose answer came first.";
        AdviceHeeded = "advice_heeded": "Refusals after which the service's advice was followed: to wait, or not to try again.";
        HedgesDenied = "hedges_denied": "Hedges that their limit refused.";
        Disturbed = "disturbed": "Attempts that a trigger delayed, failed, held, or left hanging.";
        CpuNanos = "cpu_ns": "Time spent computing by a service that says what processors it asks for, summed over all replicas, nanoseconds.";
        ScaledUp = "scaled_up": "Changes of the number of replicas to more.";
        ScaledDown = "scaled_down": "Changes of the number of replicas to fewer.";
        Turned = "direction_changes": "Changes of the number of replicas in the other direction than the change before.";
        CacheHits = "cache_hits": "Lookups that found an entry within its time to live.";
        CacheMisses = "cache_misses": "Lookups that found none; what was served stale is among them.";
        CacheStale = "cache_stale": "Answers from entries past their time to live.";
        CacheCoalesced = "cache_coalesced": "Misses that waited for a fill that was under way.";
        CacheFills = "cache_fills": "Fills begun, in the background or not.";
        CacheRefreshes = "cache_refreshes": "Fills begun in the background: before an entry was due, or behind a stale answer.";
        CacheFillFailures = "cache_fill_failures": "Fills that brought nothing to store: an error, or a fallback.";
        CacheEvictions = "cache_evictions": "Entries that went to make room.";
        Accepted = "accepted": "Connections that a service that says how it listens took out of its accept queue, those whose caller had left included.";
        ListenDrops = "listen_drops": "Packets that were to open a connection and found no place in the accept queue, retransmissions included (the kernel's ListenDrops).";
        SynRetransmissions = "syn_retransmissions": "Packets that were to open a connection and were sent again, for want of an answer to the one before.";
        Collections = "gc_collections": "Garbage collections, each with a pause of its replica.";
        CollectingNanos = "gc_ns": "Time in which replicas stood still for a garbage collection, summed over all replicas, nanoseconds.";
        OomKills = "oom_kills": "Replicas that were killed because they were out of memory.";
        SlowQueries = "slow_queries": "Work that took longer than the service's slow-query log asks for, from its beginning by a worker to its end.";
        LockTimeouts = "lock_timeouts": "Work that failed because it had waited too long for a lock.";
        Deadlocks = "deadlocks": "Work that failed because it waited for itself, through the locks of others.";
        ConnectionsRefused = "connections_refused": "Attempts refused because all connections of a replica were in use; they are among those rejected.";
        Conflicts = "conflicts": "Work that failed because its row had been written since it was read.";
    }
}

catalogue! {
    /// Levels of one service, each with an inflow and an outflow.
    StockName, STOCKS {
        Inside = "inside": "Attempts between their arrival at the service and its answer.";
        Queue = "queue": "Attempts waiting for a worker.";
        Working = "working": "Workers occupied.";
        InService = "in_service": "Work in progress at the service's own resource (queries, for a database).";
        Waiting = "waiting_for_answer": "Attempts sent to other services and not yet resolved.";
        BackingOff = "backing_off": "Calls waiting to try again.";
        PoolWaiting = "pool_waiting": "Attempts waiting for a pooled connection.";
        PoolActive = "pool_active": "Pooled connections in use.";
        BulkheadWaiting = "bulkhead_waiting": "Attempts waiting for a place in a bulkhead.";
        BulkheadActive = "bulkhead_active": "Places of a bulkhead that are taken.";
        RateWaiting = "rate_waiting": "Attempts waiting for their turn under a rate limit.";
        Ready = "replicas_ready": "Replicas that take calls.";
        Starting = "replicas_starting": "Replicas that have been started and take no calls yet.";
        CacheEntries = "cache_entries": "Entries of the cache.";
        CacheFilling = "cache_filling": "Fills of the cache under way.";
        AcceptQueue = "accept_queue": "Connections that the kernel has completed and the service has not accepted yet.";
        Memory = "memory_kib": "Memory that its replicas hold, in KiB.";
        Garbage = "garbage_kib": "The part of it that nobody uses any more, and that a collection will free, in KiB.";
        LockWaiting = "lock_waiting": "Work waiting for a row that other work has locked.";
        FeatureBacklog = "feature_backlog": "Ideas for features that nobody has developed yet.";
        Undeployed = "undeployed": "Changes that are developed and do not reach users yet.";
        TechnicalDebt = "technical_debt": "Shortcuts taken and not paid back.";
        BadVersions = "bad_versions": "Versions in production that harm users, whether or not anybody knows.";
        Incidents = "incidents": "Incidents that were paged and are not over.";
        Fatigue = "on_call_fatigue": "Pages outside of working hours from which those on call have not rested yet.";
        ErrorBudget = "error_budget": "Users who may still go without a good answer.";
        BudgetOverspent = "error_budget_overspent": "Users without a good answer beyond the error budget.";
    }
}

/// A level with its flows, and the two sides of Little's law kept apart: the integral of the level, and the
/// sum of the sojourns of those who entered.
#[derive(Debug, Default)]
pub struct Stock(Mutex<Accounts>);

#[derive(Clone, Copy, Debug, Default)]
struct Accounts {
    level: u64,
    inflow: u64,
    outflow: u64,
    peak: u64,
    peaked: u64,
    changed: u64,
    integral: u128,
    sojourns: u128,
    /// Sum of the entry times of those inside.
    entries: u128,
}

/// A stock at an instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StockReading {
    /// How many are inside.
    pub level: u64,
    /// How many entered since the start.
    pub inflow: u64,
    /// How many left since the start.
    pub outflow: u64,
    /// The highest level since the start.
    pub peak: u64,
    /// When the level was first that high, in nanoseconds.
    pub peaked: u64,
    /// Integral of the level over time, in nanoseconds.
    pub integral: u128,
    /// Sum of the time spent inside by all who entered, until they left or until this reading.
    pub sojourns: u128,
}

impl Stock {
    /// One enters. The returned instant is to be handed to [`Stock::leave`].
    pub fn enter(&self, now: Time) -> Time {
        let mut it = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = it.advance(now);
        it.level += 1;
        it.inflow += 1;
        if it.level > it.peak {
            (it.peak, it.peaked) = (it.level, now);
        }
        it.entries += u128::from(now);
        Time::from_nanos(now)
    }

    /// One who entered at `entered` leaves.
    pub fn leave(&self, entered: Time, now: Time) {
        let mut it = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = it.advance(now);
        it.level -= 1;
        it.outflow += 1;
        it.entries -= u128::from(entered.nanos());
        it.sojourns += u128::from(now.saturating_sub(entered.nanos()));
    }

    /// `amount` enters at once. The returned instant is to be handed to [`Stock::leave_much`].
    pub fn enter_much(&self, amount: u64, now: Time) -> Time {
        let mut it = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = it.advance(now);
        it.level += amount;
        it.inflow += amount;
        if it.level > it.peak {
            (it.peak, it.peaked) = (it.level, now);
        }
        it.entries += u128::from(amount) * u128::from(now);
        Time::from_nanos(now)
    }

    /// `amount` leaves at once; `entries` is the sum, over all of it, of the instants at which it entered, in
    /// nanoseconds.
    pub fn leave_much(&self, amount: u64, entries: u128, now: Time) {
        let mut it = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = it.advance(now);
        it.level -= amount;
        it.outflow += amount;
        it.entries -= entries;
        it.sojourns += u128::from(amount) * u128::from(now) - entries;
    }

    /// The accounts at `now`.
    pub fn read(&self, now: Time) -> StockReading {
        let mut it = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        it.advance(now);
        let still_inside = u128::from(it.level) * u128::from(it.changed) - it.entries;
        StockReading {
            level: it.level,
            inflow: it.inflow,
            outflow: it.outflow,
            peak: it.peak,
            peaked: it.peaked,
            integral: it.integral,
            sojourns: it.sojourns + still_inside,
        }
    }

    /// Enters now and leaves when the guard is dropped, however the work ends.
    pub fn inside(&self) -> Inside<'_> {
        Inside { stock: self, entered: self.enter(crate::time::now()) }
    }
}

impl Accounts {
    /// Returns the instant as booked. Two threads of a real run may look at the clock and lock in different
    /// orders: the one who comes too late is booked at the instant of the one before, on both sides.
    fn advance(&mut self, now: Time) -> u64 {
        let now = now.nanos().max(self.changed);
        self.integral += u128::from(self.level) * u128::from(now - self.changed);
        self.changed = now;
        now
    }
}

/// A place in a stock, left when dropped.
#[derive(Debug)]
pub struct Inside<'a> {
    stock: &'a Stock,
    entered: Time,
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.stock.leave(self.entered, crate::time::now());
    }
}

/// The state of a circuit breaker, in the electrical sense.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u64)]
pub enum BreakerState {
    /// There is none, or it is switched off.
    #[default]
    Absent = 0,
    /// Lets calls through.
    Closed = 1,
    /// Lets a few calls through to see.
    HalfOpen = 2,
    /// Refuses calls.
    Open = 3,
}

impl BreakerState {
    /// The state of this number; absent for a number that is none.
    pub const fn from_number(number: u64) -> BreakerState {
        match number {
            1 => BreakerState::Closed,
            2 => BreakerState::HalfOpen,
            3 => BreakerState::Open,
            _ => BreakerState::Absent,
        }
    }
}

/// All that one service is measured by.
#[derive(Debug)]
pub struct Meter {
    flows: [AtomicU64; FLOWS],
    stocks: [Stock; STOCKS],
    breaker: AtomicU64,
    replicas: AtomicU64,
    limit: AtomicU64,
}

impl Default for Meter {
    fn default() -> Meter {
        Meter {
            flows: std::array::from_fn(|_| AtomicU64::new(0)),
            stocks: std::array::from_fn(|_| Stock::default()),
            breaker: AtomicU64::new(0),
            replicas: AtomicU64::new(0),
            limit: AtomicU64::new(0),
        }
    }
}

impl Meter {
    /// One more of `flow`.
    #[inline]
    pub fn count(&self, flow: Flow) {
        self.add(flow, 1);
    }

    /// `n` more of `flow`.
    #[inline]
    pub fn add(&self, flow: Flow, n: u64) {
        self.flows[flow as usize].fetch_add(n, Ordering::Relaxed);
    }

    /// The stock of this name.
    #[inline]
    pub fn stock(&self, name: StockName) -> &Stock {
        &self.stocks[name as usize]
    }

    /// What the service's breaker is at from now on.
    pub fn set_breaker(&self, state: BreakerState) {
        self.breaker.store(state as u64, Ordering::Relaxed);
    }

    /// How many replicas the service has from now on.
    pub fn set_replicas(&self, count: u64) {
        self.replicas.store(count, Ordering::Relaxed);
    }

    /// One of the service's adaptive concurrency limits, or none (0), has become another.
    pub fn move_limit(&self, from: u64, to: u64) {
        if from != to {
            self.limit.fetch_add(to.wrapping_sub(from), Ordering::Relaxed);
        }
    }

    /// Everything, at `now`.
    pub fn read(&self, now: Time) -> Snapshot {
        Snapshot {
            flows: std::array::from_fn(|i| self.flows[i].load(Ordering::Relaxed)),
            stocks: std::array::from_fn(|i| self.stocks[i].read(now)),
            breaker: BreakerState::from_number(self.breaker.load(Ordering::Relaxed)),
            replicas: self.replicas.load(Ordering::Relaxed),
            concurrency_limit: self.limit.load(Ordering::Relaxed),
        }
    }
}

/// A meter at an instant: totals since the start of the run.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot {
    flows: [u64; FLOWS],
    stocks: [StockReading; STOCKS],
    /// What the service's breaker was at.
    pub breaker: BreakerState,
    /// How many replicas the service had.
    pub replicas: u64,
    /// Its adaptive concurrency limits, those of all replicas and edges added; 0 where there is none.
    pub concurrency_limit: u64,
}

impl Default for Snapshot {
    fn default() -> Snapshot {
        Meter::default().read(Time::ZERO)
    }
}

impl Snapshot {
    /// A snapshot that was taken elsewhere: flows and stocks in the order of the catalogue.
    pub fn of(
        flows: [u64; FLOWS],
        stocks: [StockReading; STOCKS],
        breaker: BreakerState,
        replicas: u64,
        concurrency_limit: u64,
    ) -> Snapshot {
        Snapshot { flows, stocks, breaker, replicas, concurrency_limit }
    }

    /// The total of a flow.
    pub fn flow(&self, flow: Flow) -> u64 {
        self.flows[flow as usize]
    }

    /// The reading of a stock.
    pub fn stock(&self, name: StockName) -> &StockReading {
        &self.stocks[name as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Little's law as an identity, with those still inside counted to the border.
        #[test]
        fn the_integral_of_a_level_is_the_sum_of_its_sojourns(
            steps in prop::collection::vec((0_u64..1_000, 0_u64..300, prop::bool::ANY), 1..200),
            rest in 0_u64..1_000,
        ) {
            let stock = Stock::default();
            let mut inside = std::collections::VecDeque::new();
            let mut now = 0;
            for (gap, late, enters) in steps {
                now += gap;
                // Threads that looked at the clock earlier and come to the lock later.
                let at = Time::from_nanos(now - late.min(now));
                if enters {
                    inside.push_back(stock.enter(at));
                } else if let Some(entered) = inside.pop_front() {
                    stock.leave(entered, at);
                }
                let reading = stock.read(at);
                prop_assert_eq!(reading.level, reading.inflow - reading.outflow);
                prop_assert_eq!(reading.level, inside.len() as u64);
            }
            let reading = stock.read(Time::from_nanos(now + rest));
            prop_assert_eq!(reading.integral, reading.sojourns);
        }
    }

    proptest! {
        /// The same where much enters and leaves at once, and what leaves has entered at different times.
        #[test]
        fn the_integral_of_an_amount_is_the_sum_of_its_sojourns(
            steps in prop::collection::vec((0_u64..1_000, 0_u64..300, 1_u64..5_000, prop::bool::ANY), 1..100),
            rest in 0_u64..1_000,
        ) {
            let stock = Stock::default();
            let (mut now, mut inside, mut entries) = (0, 0, 0_u128);
            for (gap, late, amount, enters) in steps {
                now += gap;
                let at = Time::from_nanos(now - late.min(now));
                if enters {
                    let entered = stock.enter_much(amount, at);
                    inside += amount;
                    entries += u128::from(amount) * u128::from(entered.nanos());
                } else {
                    stock.leave_much(std::mem::take(&mut inside), std::mem::take(&mut entries), at);
                }
                let reading = stock.read(at);
                prop_assert_eq!(reading.level, reading.inflow - reading.outflow);
                prop_assert_eq!(reading.level, inside);
            }
            let reading = stock.read(Time::from_nanos(now + rest));
            prop_assert_eq!(reading.integral, reading.sojourns);
        }
    }

    #[test]
    fn every_name_of_the_catalogue_is_unique_and_finds_its_entry() {
        let names: std::collections::BTreeSet<_> =
            Flow::ALL.iter().map(|f| f.name()).chain(StockName::ALL.iter().map(|s| s.name())).collect();
        assert_eq!(names.len(), Flow::ALL.len() + StockName::ALL.len());
        assert!(Flow::ALL.iter().all(|f| Flow::from_name(f.name()) == Some(*f)));
        assert!(StockName::ALL.iter().all(|s| StockName::from_name(s.name()) == Some(*s)));
    }
}
