//! Running a law's scenario and reading off what happened between two instants: counters, stocks, users,
//! and the event log. It uses the same arms, stacks and clocks as any incident; what it adds is a probe that
//! reads every meter when the warm-up is over and again at the end. It must not know any theory.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hdrhistogram::Histogram;
use pumphandle_core::World;
use pumphandle_core::events::{self, EventKind};
use pumphandle_core::meter::{Flow, Snapshot, StockName};
use pumphandle_core::time::{self, Order, Stalled, Time, simulate};
use pumphandle_load::ledger::Second;
use pumphandle_stack::Stack;

use crate::document::Style;
use crate::plan;
use crate::run::arm::{Generator, conduct};
use crate::scenario::{Scenario, overrides, read};

/// A scenario of a law, and how often to run it.
#[derive(Clone, Debug)]
pub struct SetUp {
    /// What sets it apart from the law's other set-ups, in a few words.
    pub case: String,
    /// What is run. What comes before its `pull` is warm-up and not counted, nor is what is due in the last
    /// stretch as long as its SLO: the load ends there, and the last of a queue are served faster.
    pub scenario: Scenario,
    /// Independent runs: seeds from 1.
    pub seeds: u64,
    /// Read the event log: costs memory while it runs.
    pub log: Log,
}

/// What to make of the event log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Log {
    /// Nothing; it is not kept.
    Unread,
    /// How long calls waited for a worker of the first service.
    Waits,
    /// The bytes, for the law itself.
    Kept,
}

/// Why a law's scenario is no use: a defect of the rig or of the law.
#[derive(Debug, thiserror::Error)]
pub enum CannotTest {
    /// The file does not say what a scenario file has to say.
    #[error("{0}")]
    File(String),
    /// The run came to a stop.
    #[error("{case}, seed {seed}: {stalled}")]
    Stalled {
        /// The set-up.
        case: String,
        /// The seed.
        seed: u64,
        /// Where.
        stalled: Stalled,
    },
}

impl SetUp {
    /// The scenario of a law's file, changed by `path=value` assignments.
    ///
    /// # Panics
    ///
    /// If file or assignments are wrong: they are part of this crate, and tested.
    pub fn new(case: impl Into<String>, (file, text): (&str, &str), set: &[String]) -> SetUp {
        let mut scenario =
            read::read(file, text, Style::Plain).unwrap_or_else(|wrong| panic!("{wrong}")).scenario;
        for assignment in set {
            overrides::apply(&mut scenario, assignment).unwrap_or_else(|wrong| panic!("{file}: {wrong}"));
        }
        let wrong = crate::scenario::check::check(&scenario);
        assert!(wrong.is_empty(), "{file}, changed by {set:?}, cannot run: {wrong:?}");
        SetUp { case: case.into(), scenario, seeds: 20, log: Log::Unread }
    }

    /// Reads waits from the event log.
    pub fn with_waits(self) -> SetUp {
        SetUp { log: Log::Waits, ..self }
    }

    /// Keeps the event log for the law.
    pub fn with_log(self) -> SetUp {
        SetUp { log: Log::Kept, ..self }
    }

    /// Since when it counts.
    pub fn from(&self) -> Time {
        Time::ZERO + self.scenario.pull.unwrap_or_default().0
    }

    /// Until when it counts.
    pub fn until(&self) -> Time {
        self.from().max(Time::ZERO + self.scenario.duration.0.saturating_sub(self.scenario.slo.latency.0))
    }

    /// From [`SetUp::from`] to [`SetUp::until`], in seconds.
    pub fn counted_s(&self) -> f64 {
        self.until().since(self.from()).as_secs_f64()
    }
}

/// What one run showed between the two instants.
#[derive(Clone, Debug)]
pub struct Seen {
    services: Vec<(Snapshot, Snapshot)>,
    /// Users by due second, within the two instants.
    pub seconds: Vec<Second>,
    /// Waits, if they were asked for.
    pub waits: Option<Waits>,
    /// The event log, if it was asked for.
    pub log: Option<Vec<u8>>,
    /// Stocks whose accounts were compared at the end of the run.
    pub stocks: u64,
    /// And did not add up.
    pub wrong_accounts: Vec<String>,
}

impl Seen {
    /// A counter of service number `service`.
    pub fn flow(&self, service: usize, flow: Flow) -> f64 {
        let (before, after) = &self.services[service];
        (after.flow(flow) - before.flow(flow)) as f64
    }

    /// How many entered a stock.
    pub fn inflow(&self, service: usize, stock: StockName) -> f64 {
        let (before, after) = &self.services[service];
        (after.stock(stock).inflow - before.stock(stock).inflow) as f64
    }

    /// The integral of a stock's level, in nanoseconds: exact.
    pub fn integral_ns(&self, service: usize, stock: StockName) -> u128 {
        let (before, after) = &self.services[service];
        after.stock(stock).integral - before.stock(stock).integral
    }

    /// The integral of a stock's level, in seconds.
    pub fn integral_s(&self, service: usize, stock: StockName) -> f64 {
        self.integral_ns(service, stock) as f64 / 1e9
    }

    /// The share of users for whom something is true.
    pub fn share(&self, count: impl Fn(&Second) -> u32) -> f64 {
        let sum = |count: &dyn Fn(&Second) -> u32| self.seconds.iter().map(|s| f64::from(count(s))).sum();
        let (counted, arrivals): (f64, f64) = (sum(&count), sum(&|s| s.arrivals));
        counted / arrivals
    }
}

/// Waits for a worker, of all who got one and had arrived between the two instants.
#[derive(Clone, Debug)]
pub struct Waits {
    /// How many got a worker.
    pub served: u64,
    /// How many of them not at once.
    pub waited: u64,
    /// All their waits, nanoseconds.
    pub sum_ns: u128,
    /// The longest, nanoseconds.
    pub longest_ns: u64,
    /// Their waits in nanoseconds, to three digits.
    pub histogram: Histogram<u64>,
    /// The time between the two instants that anybody spent waiting, whenever they had arrived: nanoseconds.
    pub between_ns: u128,
}

impl Waits {
    /// Reads them from a log: from `Arrived` to `Started` (or `Rejected`) of the same attempt.
    ///
    /// # Panics
    ///
    /// If the log is damaged, or was cut: half of the waits would say nothing.
    pub fn read(log: &[u8], from: Time, until: Time) -> Waits {
        let mut waits = Waits {
            served: 0,
            waited: 0,
            sum_ns: 0,
            longest_ns: 0,
            histogram: Histogram::new(3).expect("three significant digits are in range"),
            between_ns: 0,
        };
        let mut waiting: BTreeMap<u64, Time> = BTreeMap::new();
        for event in events::read(log) {
            let event = event.expect("a log that was just written can be read");
            match (event.kind, event.service) {
                (EventKind::Cut, _) => panic!("the run is too long for its log to be kept whole"),
                (EventKind::Arrived, 0) => drop(waiting.insert(event.b, event.at)),
                (EventKind::Started | EventKind::Rejected, 0) => {
                    let Some(arrived) = waiting.remove(&event.b) else { continue };
                    waits.between_ns += overlap_ns(arrived, event.at, from, until);
                    if event.kind == EventKind::Started && (from..until).contains(&arrived) {
                        waits.add(event.at.since(arrived).as_nanos() as u64);
                    }
                }
                _ => {}
            }
        }
        waits.between_ns +=
            waiting.values().map(|&since| overlap_ns(since, until, from, until)).sum::<u128>();
        waits
    }

    fn add(&mut self, wait_ns: u64) {
        self.served += 1;
        self.waited += u64::from(wait_ns > 0);
        self.sum_ns += u128::from(wait_ns);
        self.longest_ns = self.longest_ns.max(wait_ns);
        self.histogram.record(wait_ns).expect("the histogram resizes itself");
    }

    /// The share of waits above `wait_ns`.
    pub fn share_above(&self, wait_ns: u64) -> f64 {
        let above = self.histogram.count_between(wait_ns.saturating_add(1), u64::MAX);
        above as f64 / self.served.max(1) as f64
    }
}

fn overlap_ns(begin: Time, end: Time, from: Time, until: Time) -> u128 {
    end.min(until).since(begin.max(from)).as_nanos()
}

/// Runs a set-up under one seed, in virtual time on this thread.
///
/// # Errors
///
/// [`CannotTest::Stalled`].
pub fn observe(set_up: &SetUp, seed: u64) -> Result<Seen, CannotTest> {
    let (from, until) = (set_up.from(), set_up.until());
    let readings = Arc::new(Mutex::new(Vec::new()));
    let read_into = Arc::clone(&readings);
    let run = simulate(async move {
        let keep = set_up.log != Log::Unread;
        let world = World::with_classes(seed, keep, set_up.scenario.class_names());
        let arm = plan::control(&set_up.scenario);
        let stack = Arc::new(Stack::start(world, &arm.settings));
        let read = Arc::clone(&stack);
        time::spawn("a law's probe", async move {
            for at in [from, until] {
                time::sleep_until(at, Order::sample(0)).await;
                read_into.lock().unwrap_or_else(PoisonError::into_inner).push(read.read());
            }
        });
        conduct(&set_up.scenario, &arm, stack, Generator::Within, None, std::future::pending()).await
    })
    .map_err(|stalled| CannotTest::Stalled { case: set_up.case.clone(), seed, stalled })?;
    let readings = std::mem::take(&mut *readings.lock().unwrap_or_else(PoisonError::into_inner));
    let [before, after] = <[Vec<_>; 2]>::try_from(readings).expect("the probe reads twice before the end");
    // The book has a row for every sample; one that is not over is left out.
    let row = |at: Time| (at.nanos() / 1_000_000_000) as usize / set_up.scenario.step_s();
    let log = run.kept;
    Ok(Seen {
        services: before.into_iter().zip(after).map(|((before, _), (after, _))| (before, after)).collect(),
        seconds: run.tally.seconds[row(from)..row(until)].to_vec(),
        waits: log.as_deref().filter(|_| set_up.log == Log::Waits).map(|log| Waits::read(log, from, until)),
        log: log.filter(|_| set_up.log == Log::Kept),
        stocks: (set_up.scenario.services.len() * StockName::ALL.len()) as u64,
        wrong_accounts: run.wrong_accounts,
    })
}

/// `make(0)`, `make(1)`, .. on `threads` threads, in that order.
pub fn in_order<T: Send>(count: usize, threads: usize, make: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let made: Mutex<BTreeMap<usize, T>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    if i >= count {
                        return;
                    }
                    let one = make(i);
                    made.lock().unwrap_or_else(PoisonError::into_inner).insert(i, one);
                }
            });
        }
    });
    made.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_read_from_the_log_with_those_still_waiting_counted_to_the_border() {
        let log = events::EventLog::new(true);
        let at = |s: u64| Time::from_nanos(s);
        log.record(at(10), EventKind::Arrived, 0, 1, 71);
        log.record(at(10), EventKind::Started, 0, 1, 71);
        log.record(at(20), EventKind::Arrived, 0, 2, 72);
        log.record(at(30), EventKind::Arrived, 0, 3, 73);
        log.record(at(35), EventKind::Rejected, 0, 3, 73);
        log.record(at(50), EventKind::Started, 0, 2, 72);
        log.record(at(60), EventKind::Arrived, 0, 4, 74);
        let waits = Waits::read(&log.take().unwrap(), at(5), at(100));
        assert_eq!((waits.served, waits.waited, waits.sum_ns, waits.longest_ns), (2, 1, 30, 30));
        assert_eq!(waits.between_ns, 30 + 5 + 40);
        assert!((waits.share_above(29) - 0.5).abs() < 1e-12 && waits.share_above(30) < 1e-12);
    }

    #[test]
    fn what_many_threads_make_comes_in_order() {
        assert_eq!(in_order(100, 7, |i| i * i), (0..100).map(|i| i * i).collect::<Vec<_>>());
    }
}
