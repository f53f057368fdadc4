//! Memory of one replica: what calls hold and use up, a garbage collector that stops the world, and the end of the
//! process when there is no more.
//!
//! What it can cause: a queue without a limit is memory, and what is at the limit is killed with all that is inside
//! (`scenarios/out-of-memory.yaml`). Before that collections come more often and take longer, so that the queue grows
//! faster.
//!
//! It is a model: it counts what was said that calls need, under both clocks, and allocates nothing. It must not know
//! how a replica is killed and started anew: that is its service's affair.
//!
//! Memory is what is in use (base, and what calls inside hold) and garbage. With a collector what a call held is
//! garbage once it is answered. A collection begins when so much was used since the last one, stops the replica for a
//! time that grows with what is *in use*, and frees all garbage. If more is in use then than the limit, that is the end.
//! Without a collector it is as soon as the limit is exceeded.

pub mod settings;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use pumphandle_core::Bytes;
use pumphandle_core::meter::{Flow, Meter, StockName};
use pumphandle_core::time::{self, Order, Time, now};

use crate::disturbance::Hold;
use crate::processor::Processor;
pub use settings::{Collector, Memory, Pause};

/// See the module. It is there whether or not the settings say anything of memory: a lever may.
pub struct MemoryState {
    meter: Arc<Meter>,
    processor: Arc<Processor>,
    /// Orders its collections among what happens at the same instant.
    key: u64,
    state: Mutex<State>,
    /// A collection is under way: nothing goes on.
    stopped: AtomicBool,
    kill: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

#[derive(Default)]
struct State {
    memory: Option<Memory>,
    base: Amount,
    /// What calls inside hold.
    held: Amount,
    garbage: Amount,
    /// Of all garbage, the sum of when it became garbage, in nanoseconds.
    wasted: u128,
    /// When so many KiB are used, a collection begins.
    collect_at: u64,
    collection: Option<Collection>,
    /// How often it has lost everything: what was held before is none of its business any more.
    losses: u64,
    /// The end has been decided, and comes in this same instant.
    doomed: bool,
}

impl State {
    /// KiB that a collection would not free.
    fn live(&self) -> u64 {
        self.base.kib + self.held.kib
    }
}

/// KiB, and the sum over all of them of when they were allocated, in nanoseconds.
#[derive(Clone, Copy, Default)]
struct Amount {
    kib: u64,
    allocated: u128,
}

impl Amount {
    fn add(&mut self, other: Amount) {
        self.kib += other.kib;
        self.allocated += other.allocated;
    }

    fn take(&mut self, other: Amount) {
        self.kib -= other.kib;
        self.allocated -= other.allocated;
    }
}

struct Collection {
    since: Time,
    over: Hold,
}

/// What a call holds, until this is dropped.
pub struct Held<'a> {
    memory: &'a MemoryState,
    amount: Amount,
    losses: u64,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.memory.release(self.amount, self.losses);
    }
}

impl MemoryState {
    /// Of a replica that computes on `processor`; nothing is used yet.
    pub fn new(meter: Arc<Meter>, processor: Arc<Processor>, key: u64) -> Arc<MemoryState> {
        Arc::new(MemoryState {
            meter,
            processor,
            key,
            state: Mutex::default(),
            stopped: AtomicBool::new(false),
            kill: OnceLock::new(),
        })
    }

    /// How the replica is killed.
    pub fn is_killed_by(&self, kill: impl Fn() + Send + Sync + 'static) {
        let _ = self.kill.set(Box::new(kill));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The settings in force have changed.
    pub fn changed(self: &Arc<Self>, memory: Option<&Memory>) {
        let mut state = self.lock();
        if state.memory.as_ref() == memory {
            return;
        }
        state.memory = memory.copied();
        let Some(memory) = memory else {
            let over = self.empty(&mut state);
            drop(state);
            open(over);
            return;
        };
        self.free(std::mem::take(&mut state.base));
        state.base = self.allocate(memory.base);
        state.collect_at = collect_at(memory, state.live());
        self.look(&mut state);
    }

    /// A call comes in.
    pub fn hold(self: &Arc<Self>, memory: &Memory) -> Held<'_> {
        let mut state = self.lock();
        let amount = self.allocate(memory.per_call);
        state.held.add(amount);
        self.look(&mut state);
        Held { memory: self, amount, losses: state.losses }
    }

    fn release(&self, amount: Amount, losses: u64) {
        let mut state = self.lock();
        if state.losses != losses {
            return;
        }
        state.held.take(amount);
        match state.memory {
            Some(Memory { collector: Some(_), .. }) => self.waste(&mut state, amount),
            _ => self.free(amount),
        }
    }

    /// A call's work begins, once nothing stands still, and leaves garbage.
    pub async fn begin(self: &Arc<Self>, memory: &Memory) {
        self.goes_on().await;
        if memory.garbage.0 == 0 {
            return;
        }
        {
            let mut state = self.lock();
            let amount = self.allocate(memory.garbage);
            self.waste(&mut state, amount);
            self.look(&mut state);
        }
        // It may have been what made a collection begin.
        self.goes_on().await;
    }

    /// Waits until nothing stands still.
    pub async fn goes_on(&self) {
        while self.stopped.load(Ordering::Acquire) {
            let over = self.lock().collection.as_ref().map(|it| it.over.clone());
            let Some(over) = over else { return };
            over.wait().await;
        }
    }

    /// Loses everything and begins anew, as a process that is started again does.
    pub fn lose(&self) {
        let mut state = self.lock();
        let Some(memory) = state.memory else { return };
        let over = self.empty(&mut state);
        state.base = self.allocate(memory.base);
        state.collect_at = collect_at(&memory, state.live());
        drop(state);
        open(over);
    }

    /// Ends for good.
    pub fn end(&self) {
        let mut state = self.lock();
        state.memory = None;
        let over = self.empty(&mut state);
        drop(state);
        open(over);
    }

    /// Nothing is used any more. Returns what those wait for who wait for a collection.
    fn empty(&self, state: &mut State) -> Option<Hold> {
        state.losses += 1;
        state.doomed = false;
        self.sweep(state);
        self.free(std::mem::take(&mut state.base));
        self.free(std::mem::take(&mut state.held));
        self.resume(state)
    }

    /// Decides whether a collection has to begin, or whether this is the end.
    fn look(self: &Arc<Self>, state: &mut State) {
        let Some(memory) = state.memory.filter(|_| !state.doomed && state.collection.is_none()) else {
            return;
        };
        match memory.collector {
            Some(collector) if state.live() + state.garbage.kib >= state.collect_at => {
                self.collect(state, collector.pause.of(state.live()));
            }
            None if state.live() > memory.limit.kib() => self.doom(state),
            _ => {}
        }
    }

    fn collect(self: &Arc<Self>, state: &mut State, pause: Duration) {
        self.meter.count(Flow::Collections);
        state.collection = Some(Collection { since: now(), over: Hold::default() });
        self.stopped.store(true, Ordering::Release);
        self.processor.pause(true);
        let (this, losses) = (Arc::clone(self), state.losses);
        time::spawn("a garbage collection", async move {
            time::sleep(pause, Order::timeline(this.key)).await;
            this.collected(losses);
        });
    }

    fn collected(self: &Arc<Self>, losses: u64) {
        let mut state = self.lock();
        let Some(memory) = state.memory.filter(|_| state.losses == losses) else { return };
        self.sweep(&mut state);
        state.collect_at = collect_at(&memory, state.live());
        let over = if state.live() > memory.limit.kib() {
            // It does not go on before the end.
            self.doom(&mut state);
            None
        } else {
            self.resume(&mut state)
        };
        drop(state);
        open(over);
    }

    /// The replica is killed, in this instant, though not before whoever is at it has let go of everything.
    fn doom(self: &Arc<Self>, state: &mut State) {
        state.doomed = true;
        self.meter.count(Flow::OomKills);
        let this = Arc::clone(self);
        time::spawn("the end of a process", async move {
            if let Some(kill) = this.kill.get() {
                kill();
            }
        });
    }

    /// Everything goes on, from when what is returned is opened.
    fn resume(&self, state: &mut State) -> Option<Hold> {
        let Collection { since, over } = state.collection.take()?;
        self.meter.add(Flow::CollectingNanos, now().since(since).as_nanos() as u64);
        self.stopped.store(false, Ordering::Release);
        self.processor.pause(false);
        Some(over)
    }

    fn waste(&self, state: &mut State, amount: Amount) {
        let at = self.meter.stock(StockName::Garbage).enter_much(amount.kib, now());
        state.wasted += u128::from(amount.kib) * u128::from(at.nanos());
        state.garbage.add(amount);
    }

    /// Garbage is free.
    fn sweep(&self, state: &mut State) {
        let (garbage, wasted) = (std::mem::take(&mut state.garbage), std::mem::take(&mut state.wasted));
        self.meter.stock(StockName::Garbage).leave_much(garbage.kib, wasted, now());
        self.free(garbage);
    }

    fn allocate(&self, bytes: Bytes) -> Amount {
        let kib = bytes.kib();
        let at = self.meter.stock(StockName::Memory).enter_much(kib, now());
        Amount { kib, allocated: u128::from(kib) * u128::from(at.nanos()) }
    }

    fn free(&self, amount: Amount) {
        self.meter.stock(StockName::Memory).leave_much(amount.kib, amount.allocated, now());
    }
}

fn open(over: Option<Hold>) {
    if let Some(over) = over {
        over.open();
    }
}

/// When so many KiB are used, a collection begins, with so many of them in use after the last one.
fn collect_at(memory: &Memory, live: u64) -> u64 {
    let share = memory.collector.map_or(1.0, |it| it.at.0);
    live + (memory.limit.kib().saturating_sub(live) as f64 * share) as u64
}

#[cfg(test)]
mod tests;
