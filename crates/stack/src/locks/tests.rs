//! Who holds a row, who waits how long, who waits for himself; conflicts; the slow-query log and a limit of connections.

use std::time::Duration;

use indexmap::IndexMap;
use proptest::prelude::*;
use pumphandle_core::draws::{Draws, exponential};
use pumphandle_core::meter::Snapshot;
use pumphandle_core::time::{now, simulate, sleep, spawn};
use pumphandle_core::{CallError, Share};

use super::*;
use crate::service_time::ServiceTime;
use crate::settings::ServiceSettings;
use crate::testing::{Answer, MS, ended, ms, pass, read, send};
use crate::{Stack, StackSettings};

fn constant(n: u32) -> Option<ServiceTime> {
    Some(ServiceTime::Constant(ms(n)))
}

/// One row for all, that every call locks.
fn locks() -> Locks {
    Locks {
        rows: 1,
        exponent: 0.0,
        per_call: 1,
        share: Share(1.0),
        wait_timeout: None,
        deadlock_timeout: ms(1000),
        ordered: false,
    }
}

/// One service, which users reach.
fn stack(db: ServiceSettings) -> Arc<Stack> {
    assert_eq!(db.check(), []);
    let all: StackSettings = IndexMap::from([("db".to_owned(), db)]);
    Arc::new(Stack::start(World::new(7, true), &all))
}

/// `n` users by a Poisson process of this rate, and what was counted when all are answered.
fn poisson(db: ServiceSettings, per_s: f64, n: u64) -> Snapshot {
    simulate(async {
        let stack = stack(db);
        for arrival in 0..n {
            let u = Draws::new(3).uniform(Stream::Arrival, 0, Path::of_arrival(arrival));
            sleep(Duration::from_secs_f64(exponential(u) / per_s), Order::arrival(arrival)).await;
            send(&stack, arrival);
        }
        while read(&stack).stock(StockName::Inside).level > 0 {
            pass(1000).await;
        }
        read(&stack)
    })
    .unwrap()
}

/// Seconds that a call waited for its lock, on average over all.
fn mean_wait(read: &Snapshot) -> f64 {
    read.stock(StockName::LockWaiting).sojourns as f64 / 1e9 / read.flow(Flow::Arrived) as f64
}

#[test]
fn the_wait_for_one_hot_row_is_that_of_a_queue_with_one_server() {
    // 70 per second at a row that is held for 10 ms.
    let (load, held) = (0.7, 0.01);
    let of = |takes| ServiceSettings { locks: Some(locks()), service_time: takes, ..Default::default() };
    let (constant, random) = (constant(10), Some(ServiceTime::Exponential(ms(10))));
    for (takes, expected) in
        [(constant, load * held / (2.0 * (1.0 - load))), (random, load * held / (1.0 - load))]
    {
        let read = poisson(of(takes), 70.0, 60_000);
        let wait = mean_wait(&read);
        assert!((wait / expected - 1.0).abs() < 0.06, "{wait} s are not {expected} s");
        let account = read.stock(StockName::LockWaiting);
        assert_eq!((account.integral, account.level), (account.sojourns, 0));
    }
}

#[test]
fn calls_fail_in_optimistic_rows_as_arrivals_are_lost_in_a_counter_with_dead_time() {
    // After each commit of a row, those that began before it and end within 10 ms fail: a counter that registers
    // nothing for the time it takes after each that it registers loses r t / (1 + r t) of a rate r.
    let (per_s, took, optimistic) = (100.0, 0.01, Optimistic { rows: 3, exponent: 1.0 });
    let settings =
        ServiceSettings { optimistic: Some(optimistic), service_time: constant(10), ..Default::default() };
    let read = poisson(settings, per_s, 60_000);
    let share = read.flow(Flow::Conflicts) as f64 / read.flow(Flow::Arrived) as f64;
    let weights = [1.0, 1.0 / 2.0, 1.0 / 3.0];
    let lost = |weight: f64| {
        let part = weight / weights.iter().sum::<f64>();
        part * (per_s * part * took) / (1.0 + per_s * part * took)
    };
    let expected: f64 = weights.into_iter().map(lost).sum();
    assert!((share / expected - 1.0).abs() < 0.03, "{share} is not {expected}");
    assert_eq!(read.flow(Flow::Conflicts), read.flow(Flow::Failed));
    assert_eq!(read.flow(Flow::Conflicts) + read.flow(Flow::Completed), 60_000);
}

#[test]
fn a_row_is_given_back_by_work_that_ends_fails_or_is_ended() {
    simulate(async {
        let locks = Locks { wait_timeout: Some(ms(150)), deadlock_timeout: ms(0), ..locks() };
        let stack =
            stack(ServiceSettings { locks: Some(locks), service_time: constant(100), ..Default::default() });
        let answers: Vec<Answer> = (0..3).map(|i| send(&stack, i)).collect();
        pass(1).await;
        assert_eq!(read(&stack).stock(StockName::LockWaiting).level, 2);
        assert_eq!(read(&stack).stock(StockName::InService).level, 1, "who waits is no work in progress");
        pass(250).await;
        let expected = [(Ok(()), 100), (Ok(()), 200), (Err(CallError::Failed), 150)];
        assert_eq!(answers.iter().map(|it| ended(it).unwrap()).collect::<Vec<_>>(), expected);
        assert_eq!(read(&stack).flow(Flow::LockTimeouts), 1);
        // Killed: the one that holds it and one of those that wait.
        send(&stack, 3);
        send(&stack, 4);
        pass(50).await;
        let last = send(&stack, 5);
        pass(10).await;
        stack.kill("db", MS * 60);
        pass(1).await;
        assert_eq!(read(&stack).stock(StockName::LockWaiting).level, 0);
        pass(100).await;
        assert_eq!(ended(&last), Some((Ok(()), 411)), "it got the row when the two were killed");
        // And with the whole replica.
        send(&stack, 6);
        send(&stack, 7);
        pass(50).await;
        stack.restart("db", Duration::ZERO);
        let after = send(&stack, 8);
        pass(101).await;
        assert!(matches!(ended(&after), Some((Ok(()), _))), "{:?}", ended(&after));
        assert_eq!(read(&stack).stock(StockName::LockWaiting).level, 0);
    })
    .unwrap();
}

/// What tasks know of one another without the rows' own accounts.
#[derive(Default)]
struct Record {
    holder: BTreeMap<u32, usize>,
    waits_for: BTreeMap<usize, u32>,
    deadlocks: usize,
}

impl Record {
    /// Whether it waits for a row that is held by one who waits ... for a row that it holds.
    fn is_in_a_cycle(&self, task: usize) -> bool {
        let mut at = task;
        for _ in 0..=self.waits_for.len() {
            let Some(holder) = self.waits_for.get(&at).and_then(|row| self.holder.get(row)) else {
                return false;
            };
            at = *holder;
            if at == task {
                return true;
            }
        }
        false
    }
}

impl Record {
    /// A task has the row or has given up; whether it has it.
    fn come_back(&mut self, task: usize, row: u32, locked: Result<(), Unlocked>) -> bool {
        if locked.is_err() {
            assert_eq!(locked, Err(Unlocked::Deadlock));
            assert!(self.is_in_a_cycle(task), "{task} was aborted without a cycle");
            self.deadlocks += 1;
        } else {
            let other = self.holder.insert(row, task).filter(|&other| other != task);
            assert_eq!(other, None, "row {row} is held by two");
        }
        self.waits_for.remove(&task);
        locked.is_ok()
    }
}

/// Tasks that begin at these milliseconds, lock these rows one after the other, and keep each so long. All of them end.
/// Returns how many deadlocks there were.
fn lock_all(tasks: &[(u32, [u32; 3], u32)], locks: Locks) -> usize {
    simulate(async move {
        let (state, meter) = (Arc::new(LockState::default()), Arc::new(Meter::default()));
        let record = Arc::new(Mutex::new(Record::default()));
        let all = Arc::new(Mutex::new(0));
        for (task, &(begins, rows, keeps)) in tasks.iter().enumerate() {
            let (state, meter) = (Arc::clone(&state), Arc::clone(&meter));
            let (record, all) = (Arc::clone(&record), Arc::clone(&all));
            spawn("a transaction", async move {
                pass(begins).await;
                let transaction = state.begin();
                for row in rows {
                    record.lock().unwrap().waits_for.insert(task, row);
                    let locked = transaction.lock(row, &locks, &meter, task as u64).await;
                    if !record.lock().unwrap().come_back(task, row, locked) {
                        break;
                    }
                    pass(keeps).await;
                }
                record.lock().unwrap().holder.retain(|_, holder| *holder != task);
                drop(transaction);
                *all.lock().unwrap() += 1;
            });
        }
        pass(100_000).await;
        assert_eq!(*all.lock().unwrap(), tasks.len(), "all of them end");
        let state = state.lock();
        assert!(state.rows.is_empty() && state.transactions.is_empty());
        let now = meter.read(now());
        assert_eq!(now.stock(StockName::LockWaiting).level, 0);
        let deadlocks = record.lock().unwrap().deadlocks;
        assert_eq!(now.flow(Flow::Deadlocks), deadlocks as u64);
        deadlocks
    })
    .unwrap()
}

proptest! {
    #[test]
    fn no_row_is_held_by_two_every_abort_has_a_cycle_and_every_cycle_an_abort(
        tasks in prop::collection::vec((0_u32..50, [0_u32..5, 0_u32..5, 0_u32..5], 0_u32..20), 1..25),
        looks_after in prop::sample::select(vec![0, 1, 7, 1000]),
    ) {
        let locks = Locks { deadlock_timeout: ms(looks_after), ..locks() };
        lock_all(&tasks, locks);
        // In one order there are none.
        let mut ordered = tasks;
        ordered.iter_mut().for_each(|(_, rows, _)| rows.sort_unstable());
        prop_assert_eq!(lock_all(&ordered, locks), 0);
    }
}

#[test]
fn two_that_want_each_others_row_are_parted_after_the_deadlock_timeout() {
    assert_eq!(lock_all(&[(0, [1, 2, 1], 10), (5, [2, 1, 2], 10)], locks()), 1);
    assert_eq!(lock_all(&[(0, [1, 2, 1], 10), (5, [1, 2, 1], 10)], locks()), 0);
}

#[test]
fn calls_that_lock_two_rows_deadlock_unless_they_do_it_in_order() {
    let of = |ordered| {
        let locks = Locks { rows: 20, exponent: 0.5, per_call: 2, ordered, ..locks() };
        ServiceSettings { locks: Some(locks), service_time: constant(40), ..Default::default() }
    };
    let read = poisson(of(false), 60.0, 3000);
    assert!(read.flow(Flow::Deadlocks) > 10, "{}", read.flow(Flow::Deadlocks));
    assert_eq!(read.flow(Flow::Failed), read.flow(Flow::Deadlocks));
    let read = poisson(of(true), 60.0, 3000);
    assert_eq!((read.flow(Flow::Deadlocks), read.flow(Flow::Completed)), (0, 3000));
    assert!(read.stock(StockName::LockWaiting).inflow > 100, "they wait for each other all the same");
}

#[test]
fn an_arrival_locks_the_same_rows_in_every_attempt_and_a_share_of_them_locks_none() {
    let (state, world) = (LockState::default(), World::new(1, false));
    let locks = Locks { rows: 50, per_call: 2, share: Share(0.3), ..locks() };
    state.changed(Some(&locks));
    let rows = |call: &Call| state.rows_of(&locks, &world, 5, call);
    let calls: Vec<Call> = (0..10_000).map(Call::arriving).collect();
    for call in &calls[..100] {
        let again = Call { path: call.path.attempt(1), attempt: 1, ..call.clone() };
        assert_eq!(rows(call), rows(&again));
    }
    let lock = calls.iter().filter(|call| rows(call).len() == 2).count();
    assert!((2800..3200).contains(&lock), "{lock} of 10000 calls lock rows, where 30 % should");
    assert_eq!(calls.iter().filter(|call| rows(call).is_empty()).count(), 10_000 - lock);
}

#[test]
fn one_connection_more_than_there_are_is_refused_and_they_are_in_use_as_long_as_the_work() {
    simulate(async {
        let one = Some(1);
        let stack = stack(ServiceSettings {
            max_connections: Some(3),
            workers: one,
            service_time: constant(100),
            ..Default::default()
        });
        let answers: Vec<Answer> = (0..4).map(|i| send(&stack, i)).collect();
        pass(50).await;
        let refused = Some((Err(CallError::Overloaded), 0));
        assert_eq!(answers.iter().map(ended).collect::<Vec<_>>(), [None, None, None, refused]);
        pass(51).await;
        let (next, over) = (send(&stack, 4), send(&stack, 5));
        pass(300).await;
        assert_eq!(ended(&next), Some((Ok(()), 400)));
        assert_eq!(ended(&over), Some((Err(CallError::Overloaded), 101)));
        let now = read(&stack);
        assert_eq!(
            [Flow::ConnectionsRefused, Flow::Rejected, Flow::Completed].map(|it| now.flow(it)),
            [2, 2, 4]
        );
    })
    .unwrap();
}

#[test]
fn the_slow_log_counts_what_takes_long_in_work_and_not_what_waits_for_a_worker() {
    simulate(async {
        let of = |locks| ServiceSettings {
            slow_log: Some(ms(150)),
            workers: if locks { None } else { Some(1) },
            locks: locks.then(self::locks),
            service_time: constant(100),
            ..Default::default()
        };
        // Of three the second takes 200 ms and the third 300 ms, in line for a worker or for a row.
        for (locks, slow) in [(false, 0), (true, 2)] {
            let stack = stack(of(locks));
            (0..3).for_each(|i| drop(send(&stack, i)));
            pass(301).await;
            let now = read(&stack);
            assert_eq!((now.flow(Flow::SlowQueries), now.flow(Flow::Completed)), (slow, 3));
        }
    })
    .unwrap();
}

#[test]
fn what_makes_no_sense_of_rows_is_refused_at_its_field() {
    let wrong = |locks: Locks| locks.check().into_iter().map(|it| it.path).collect::<Vec<_>>();
    assert_eq!(wrong(Locks { per_call: 2, ordered: true, ..locks() }), [""; 0]);
    assert_eq!(wrong(Locks { rows: 0, exponent: 11.0, ..locks() }), ["rows", "exponent"]);
    assert_eq!(wrong(Locks { per_call: 3, ..locks() }), ["per_call"]);
    assert_eq!(wrong(Locks { ordered: true, ..locks() }), ["ordered"]);
    assert_eq!(wrong(Locks { wait_timeout: Some(ms(0)), ..locks() }), ["wait_timeout"]);
    assert_eq!(Optimistic { rows: 0, exponent: 0.0 }.check()[0].path, "rows");
    let none = ServiceSettings { max_connections: Some(0), ..Default::default() };
    assert_eq!(none.check()[0].path, "max_connections");
}
