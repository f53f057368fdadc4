//! Users counted while a run goes on, for whoever watches: what is due, what became of it, how late it was
//! begun. Counts only grow, over all runs that one book after another writes here. The book itself, which
//! verdicts are made from, is the [`Ledger`](crate::Ledger); nothing is ever read back from here into it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use pumphandle_core::catalogue::LATENCY_BUCKETS;

/// Users begun later than this count as sent late.
pub const LATE_SEND: Duration = Duration::from_millis(5);

/// What a user got, once it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// A correct answer in time.
    Good,
    /// A fallback in time.
    Degraded,
    /// An answer too late.
    Late,
    /// An error.
    Error,
}

impl Settled {
    /// All of them, in the order of their counts.
    pub const ALL: [Settled; 4] = [Settled::Good, Settled::Degraded, Settled::Late, Settled::Error];

    /// As metrics say it.
    pub const fn name(self) -> &'static str {
        match self {
            Settled::Good => "good",
            Settled::Degraded => "degraded",
            Settled::Late => "late",
            Settled::Error => "error",
        }
    }
}

/// See the module. Each count is exact; counts that are read together may be of instants that differ by a user.
#[derive(Debug, Default)]
pub struct Users {
    due: AtomicU64,
    settled: [AtomicU64; Settled::ALL.len()],
    /// Never settled: their book was closed, or they stayed away.
    given_up: AtomicU64,
    buckets: [AtomicU64; LATENCY_BUCKETS.len() + 1],
    latency_ns: AtomicU64,
    late_sends: AtomicU64,
    worst_lag_ns: AtomicU64,
}

/// What was counted until now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Users whose due time has come.
    pub due: u64,
    /// What became of them, as in [`Settled::ALL`].
    pub settled: [u64; Settled::ALL.len()],
    /// Due, and neither settled nor left behind by a run that is over.
    pub waiting: u64,
    /// Latencies of those who were settled: not above the bound of the same place of [`LATENCY_BUCKETS`], and above
    /// the one before it; the last are those above all bounds.
    pub buckets: [u64; LATENCY_BUCKETS.len() + 1],
    /// Their sum, nanoseconds.
    pub latency_ns: u64,
    /// Users begun more than [`LATE_SEND`] after they were due.
    pub late_sends: u64,
}

impl Counted {
    /// How many got this.
    pub fn of(&self, what: Settled) -> u64 {
        self.settled[what as usize]
    }
}

impl Users {
    pub(crate) fn due(&self) {
        self.due.fetch_add(1, Relaxed);
    }

    pub(crate) fn begun(&self, lag: Duration) {
        if lag > LATE_SEND {
            self.late_sends.fetch_add(1, Relaxed);
        }
        self.worst_lag_ns.fetch_max(lag.as_nanos() as u64, Relaxed);
    }

    pub(crate) fn settled(&self, what: Settled, latency: Duration) {
        self.settled[what as usize].fetch_add(1, Relaxed);
        let seconds = latency.as_secs_f64();
        self.buckets[LATENCY_BUCKETS.partition_point(|bound| *bound < seconds)].fetch_add(1, Relaxed);
        self.latency_ns.fetch_add(latency.as_nanos() as u64, Relaxed);
    }

    pub(crate) fn give_up(&self, users: u64) {
        self.given_up.fetch_add(users, Relaxed);
    }

    /// What was counted until now.
    pub fn read(&self) -> Counted {
        // Those who have left first, so that nobody leaves who has not come.
        let (settled, given_up) =
            (std::array::from_fn(|i| self.settled[i].load(Relaxed)), self.given_up.load(Relaxed));
        let due = self.due.load(Relaxed);
        Counted {
            due,
            settled,
            waiting: due.saturating_sub(settled.iter().sum::<u64>() + given_up),
            buckets: std::array::from_fn(|i| self.buckets[i].load(Relaxed)),
            latency_ns: self.latency_ns.load(Relaxed),
            late_sends: self.late_sends.load(Relaxed),
        }
    }

    /// How late the latest user was begun since this was last asked.
    pub fn take_worst_lag(&self) -> Duration {
        Duration::from_nanos(self.worst_lag_ns.swap(0, Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Ledger;
    use pumphandle_core::{CallError, Reply, Time};
    use std::sync::Arc;

    #[test]
    fn a_watched_book_counts_everybody_once_and_nobody_after_it_is_closed() {
        let users = Arc::new(Users::default());
        let at = |ms: u64| Time::ZERO + Duration::from_millis(ms);
        for (run, late) in [(0_u64, 2_000), (1, 9_000)] {
            let book = Ledger::new(Duration::from_secs(1), 10, Time::ZERO).watched(Arc::clone(&users));
            for _ in 0..6 {
                book.arrived(Time::ZERO);
            }
            book.begun(Time::ZERO, at(5));
            book.begun(Time::ZERO, at(7 + run));
            book.resolved(Time::ZERO, at(5), &Ok(Reply::default()));
            book.resolved(Time::ZERO, at(6), &Ok(Reply { degraded: true }));
            book.resolved(Time::ZERO, at(late), &Ok(Reply::default()));
            book.resolved(Time::ZERO, at(70_000), &Err(CallError::Disconnected));
            assert_eq!(users.read().waiting, 2);
            book.close(at(70_000));
            book.resolved(Time::ZERO, at(70_001), &Ok(Reply::default()));
            book.arrived(Time::ZERO);
            let counted = users.read();
            let runs = run + 1;
            assert_eq!((counted.due, counted.waiting, counted.late_sends), (6 * runs, 0, runs));
            assert_eq!(counted.settled, [runs; 4]);
            assert_eq!(counted.buckets.iter().sum::<u64>(), 4 * runs);
            assert_eq!((counted.buckets[0], counted.buckets[1]), (runs, runs), "5 ms are within 5 ms");
            assert_eq!(counted.buckets[LATENCY_BUCKETS.len()], runs, "70 s are above all bounds");
            assert_eq!(users.take_worst_lag(), Duration::from_millis(7 + run));
            assert_eq!(users.take_worst_lag(), Duration::ZERO);
        }
        assert_eq!(users.read().latency_ns, (5 + 6 + 2_000 + 70_000 + 5 + 6 + 9_000 + 70_000) * 1_000_000);
    }
}
