//! Locks on the rows of one replica: who holds which, who waits, and who waits for himself.
//!
//! What it can cause: calls that wait for one hot row take up workers and connections while nothing is busy. Two that
//! wait for each other wait for ever, unless somebody looks: who has waited for `deadlock_timeout` looks for a cycle of
//! which he is a part, and gives up if there is one. That is what PostgreSQL does, and it is enough to look once: whoever
//! closes a cycle begins to wait in doing so.
//!
//! It must not know what is done while a row is locked: that is the replica's affair.
//!
//! # Layout, in reading order
//!
//! * [`settings`]: what can be said of rows
//! * here: pessimistic locks
//! * [`optimistic`]: rows that nobody locks, and calls that fail instead of waiting

pub mod optimistic;
pub mod settings;

use std::collections::{BTreeMap, VecDeque};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use arc_swap::ArcSwapOption;
use pumphandle_core::draws::{Path, Stream};
use pumphandle_core::meter::{Flow, Meter, StockName};
use pumphandle_core::time::{self, Order};
use pumphandle_core::{Call, World};
use slab::Slab;

use crate::cache::keys::Popularity;
use crate::cache::settings::Keys;
pub use settings::{Locks, Optimistic};

/// The rows of one replica. They are there whether or not the settings say anything of locks: a lever may.
#[derive(Default)]
pub struct LockState {
    popularity: Ranks,
    state: Mutex<State>,
}

/// Which rows are popular, once somebody asks for one.
#[derive(Default)]
pub struct Ranks(ArcSwapOption<Popularity>);

impl Ranks {
    /// The settings in force have changed.
    pub fn changed(&self, keys: Option<Keys>) {
        let Some(keys) = keys else {
            self.0.store(None);
            return;
        };
        if self.0.load().as_ref().is_none_or(|known| !known.is_of(&keys)) {
            self.0.store(Some(Arc::new(Popularity::new(&keys))));
        }
    }

    /// The `nth` row that an arrival asks for: the same in all its attempts, and in every arm.
    pub fn row(&self, world: &World, subject: u64, arrival: u64, nth: u32) -> u32 {
        let u = world.draws.uniform(Stream::Row, subject, Path::of_arrival(arrival).call(nth));
        self.0.load().as_ref().map_or(0, |it| it.rank(u))
    }
}

#[derive(Default)]
struct State {
    /// Those that are locked.
    rows: BTreeMap<u32, Row>,
    transactions: Slab<Side>,
}

struct Row {
    holder: usize,
    /// In the order in which they came.
    waiting: VecDeque<usize>,
}

/// What is known of a transaction.
#[derive(Default)]
struct Side {
    holds: Vec<u32>,
    waits_for: Option<u32>,
    waker: Option<Waker>,
}

impl State {
    /// Gives a row back: to whoever has waited longest.
    fn release(&mut self, row: u32) -> Option<Waker> {
        let it = self.rows.get_mut(&row)?;
        let Some(next) = it.waiting.pop_front() else {
            self.rows.remove(&row);
            return None;
        };
        it.holder = next;
        let side = &mut self.transactions[next];
        side.waits_for = None;
        side.holds.push(row);
        side.waker.take()
    }

    /// Whether a transaction waits for itself. Each waits for one row at most, and so for one other: who stands before
    /// it in line waits for the same one.
    fn waits_for_itself(&self, id: usize) -> bool {
        let next = |&at: &usize| Some(self.rows[&self.transactions[at].waits_for?].holder);
        // It may as well wait for a cycle that it is no part of.
        std::iter::successors(next(&id), next).take(self.transactions.len()).any(|at| at == id)
    }
}

/// Why a row was not locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unlocked {
    /// It took longer than allowed.
    TimedOut,
    /// It would never have been.
    Deadlock,
}

impl LockState {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The settings in force have changed. Who holds a row keeps it.
    pub fn changed(&self, locks: Option<&Locks>) {
        self.popularity.changed(locks.map(Locks::keys));
    }

    /// The rows that a call locks, in the order in which it does.
    pub fn rows_of(&self, locks: &Locks, world: &World, subject: u64, call: &Call) -> Vec<u32> {
        let locks_any =
            world.draws.chance(locks.share.0, Stream::Row, subject, Path::of_arrival(call.arrival));
        if !locks_any {
            return Vec::new();
        }
        let nth = |nth| self.popularity.row(world, subject, call.arrival, nth);
        let mut rows: Vec<u32> = (0..locks.per_call).map(nth).collect();
        if locks.ordered {
            rows.sort_unstable();
        }
        rows
    }

    /// A transaction that holds nothing yet.
    pub fn begin(&self) -> Transaction<'_> {
        Transaction { locks: self, id: self.lock().transactions.insert(Side::default()) }
    }
}

/// What a call holds. All of it is given back when this is dropped.
pub struct Transaction<'a> {
    locks: &'a LockState,
    id: usize,
}

impl Transaction<'_> {
    /// Locks a row, or one that it has locked already. `key` orders what happens at the same instant.
    ///
    /// # Errors
    ///
    /// Why not. What it holds it keeps until it ends, which it should.
    pub async fn lock(&self, row: u32, locks: &Locks, meter: &Meter, key: u64) -> Result<(), Unlocked> {
        if !self.has_to_wait(row) {
            return Ok(());
        }
        let _waiting = meter.stock(StockName::LockWaiting).inside();
        let mut turn = pin!(std::future::poll_fn(|cx| self.poll_turn(cx)));
        let (look, limit) = (locks.deadlock_timeout.0, locks.wait_timeout.map(|it| it.0));
        if limit.is_none_or(|limit| look < limit) {
            if time::timeout(look, Order::timeout(key), turn.as_mut()).await.is_ok() {
                return Ok(());
            }
            if self.locks.lock().waits_for_itself(self.id) {
                meter.count(Flow::Deadlocks);
                return Err(Unlocked::Deadlock);
            }
        }
        let Some(limit) = limit else {
            turn.await;
            return Ok(());
        };
        let left = if look < limit { limit - look } else { limit };
        time::timeout(left, Order::timeout(key), turn).await.map_err(|time::Elapsed| {
            meter.count(Flow::LockTimeouts);
            Unlocked::TimedOut
        })
    }

    /// Takes the row if it is free, and else a place in the line for it.
    fn has_to_wait(&self, row: u32) -> bool {
        let mut state = self.locks.lock();
        let State { rows, transactions } = &mut *state;
        let side = &mut transactions[self.id];
        match rows.get_mut(&row) {
            Some(it) if it.holder == self.id => false,
            Some(it) => {
                it.waiting.push_back(self.id);
                side.waits_for = Some(row);
                true
            }
            None => {
                rows.insert(row, Row { holder: self.id, waiting: VecDeque::new() });
                side.holds.push(row);
                false
            }
        }
    }

    fn poll_turn(&self, cx: &mut Context<'_>) -> Poll<()> {
        let side = &mut self.locks.lock().transactions[self.id];
        if side.waits_for.is_none() {
            return Poll::Ready(());
        }
        side.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        let mut state = self.locks.lock();
        let Side { holds, waits_for, .. } = state.transactions.remove(self.id);
        if let Some(line) = waits_for.and_then(|row| state.rows.get_mut(&row)) {
            line.waiting.retain(|&id| id != self.id);
        }
        let next: Vec<Waker> = holds.into_iter().filter_map(|row| state.release(row)).collect();
        drop(state);
        next.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests;
