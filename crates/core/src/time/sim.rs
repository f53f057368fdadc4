//! Virtual time: a small deterministic executor. Tasks in a slab, a first-in-first-out run queue, timers in
//! a heap ordered by (time, kind, key), nanosecond resolution, cancelled timers skipped when they surface.
//!
//! One simulation per thread, and never inside a tokio task: tokio's cooperative budget would defer
//! wake-ups and look like a stall. It must not read any real clock.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use slab::Slab;

use super::{BACKEND, Backend, Order, Time, VIRTUAL_NOW, now, with_backend};

pub(super) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The run can never end: nothing is ready, no timer is set, and the main future still waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stalled {
    /// When it happened.
    pub at: Time,
    /// Names of the tasks that wait, with how many there are of each.
    pub waiting: Vec<(&'static str, usize)>,
}

impl std::fmt::Display for Stalled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "the simulation stalled at {} s: nothing is ready and no timer is set; waiting:",
            self.at.secs_f64()
        )?;
        self.waiting.iter().try_for_each(|(name, n)| write!(f, " {n} x {name}"))
    }
}

impl std::error::Error for Stalled {}

/// Runs `main` in virtual time on this thread until it completes. Background tasks that still wait are
/// dropped, one by one, while the simulation is current.
///
/// # Errors
///
/// [`Stalled`] when `main` waits for something that can no longer happen.
///
/// # Panics
///
/// If this thread already has a clock.
pub fn simulate<F: Future>(main: F) -> Result<F::Output, Stalled> {
    let sim = Rc::new(Sim::new());
    BACKEND.with(|backend| {
        let mut backend = backend.borrow_mut();
        assert!(matches!(*backend, Backend::None), "this thread already has a clock");
        *backend = Backend::Virtual(Rc::clone(&sim));
        VIRTUAL_NOW.set(Some(Time::ZERO));
    });
    let _current = Current(Rc::clone(&sim));
    sim.run(pin!(main))
}

/// Ends a simulation whichever way it is left.
struct Current(Rc<Sim>);

impl Drop for Current {
    fn drop(&mut self) {
        // A guard, because a destructor that panics must not leave the thread with the clock of a run
        // that is over.
        let _last = Leave;
        self.0.drop_tasks();
    }
}

/// Takes the clock from the thread.
struct Leave;

impl Drop for Leave {
    fn drop(&mut self) {
        VIRTUAL_NOW.set(None);
        let sim = BACKEND.with(|backend| std::mem::replace(&mut *backend.borrow_mut(), Backend::None));
        // Outside of the borrow: what is left of the run may have destructors.
        drop(sim);
    }
}

/// A timer's place in the slab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TimerId(usize);

pub(super) struct Sim {
    id: u64,
    /// Once it is ending: the first place where a task may be left to drop.
    ending: Cell<Option<usize>>,
    tasks: RefCell<Slab<Slot>>,
    ready: RefCell<VecDeque<Ready>>,
    timers: RefCell<Timers>,
    generation: Cell<u64>,
}

struct Slot {
    name: &'static str,
    /// Out of its slot while it is being polled: a poll may spawn, and so move the slab. Its waker goes with
    /// it, so that a poll costs no reference count.
    task: Option<(Task, Waker)>,
    handle: Arc<Handle>,
}

#[derive(Clone, Copy)]
struct Ready {
    index: usize,
    generation: u64,
}

#[derive(Default)]
struct Timers {
    heap: BinaryHeap<Reverse<Entry>>,
    set: Slab<Setting>,
    sequence: u64,
}

/// `sequence` identifies the setting: an entry whose timer has another one is stale. It also breaks ties,
/// which can only be between equal keys.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    at: Time,
    order: Order,
    sequence: u64,
    timer: usize,
}

struct Setting {
    sequence: u64,
    waker: Option<Waker>,
}

const MAIN: usize = usize::MAX;

struct Handle {
    sim: u64,
    index: usize,
    generation: u64,
    queued: AtomicBool,
}

impl Wake for Handle {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        with_backend(|backend| match backend {
            // Whose wake-up this is comes first: one from outside must not mark a task as queued that is
            // in no queue, or it would never be woken again.
            Backend::Virtual(sim) if sim.id == self.sim => {
                // Two steps will do: there is no other thread to come between them.
                if !self.queued.load(Ordering::Relaxed) {
                    self.queued.store(true, Ordering::Relaxed);
                    let ready = Ready { index: self.index, generation: self.generation };
                    sim.ready.borrow_mut().push_back(ready);
                }
            }
            _ => panic!("a simulated task was woken from outside its simulation"),
        });
    }
}

impl Sim {
    fn new() -> Sim {
        static IDS: AtomicU64 = AtomicU64::new(0);
        Sim {
            id: IDS.fetch_add(1, Ordering::Relaxed),
            ending: Cell::new(None),
            tasks: RefCell::default(),
            ready: RefCell::default(),
            timers: RefCell::default(),
            generation: Cell::new(0),
        }
    }

    /// Takes a task up; hands it back when the simulation is ending.
    pub(super) fn spawn(&self, name: &'static str, task: Task) -> Option<Task> {
        if self.ending.get().is_some() {
            // A task dropped at the end may spawn from its destructors; nothing will run it.
            return Some(task);
        }
        let generation = self.generation.get() + 1;
        self.generation.set(generation);
        let mut tasks = self.tasks.borrow_mut();
        let entry = tasks.vacant_entry();
        let index = entry.key();
        let handle = Arc::new(Handle { sim: self.id, index, generation, queued: AtomicBool::new(true) });
        let waker = Waker::from(Arc::clone(&handle));
        entry.insert(Slot { name, task: Some((task, waker)), handle });
        self.ready.borrow_mut().push_back(Ready { index, generation });
        None
    }

    fn run<F: Future>(&self, mut main: Pin<&mut F>) -> Result<F::Output, Stalled> {
        let handle =
            Arc::new(Handle { sim: self.id, index: MAIN, generation: 0, queued: AtomicBool::new(true) });
        let waker = Waker::from(Arc::clone(&handle));
        self.ready.borrow_mut().push_back(Ready { index: MAIN, generation: 0 });
        loop {
            while let Some(ready) = self.pop_ready() {
                if ready.index == MAIN {
                    handle.queued.store(false, Ordering::Relaxed);
                    if let Poll::Ready(value) = main.as_mut().poll(&mut Context::from_waker(&waker)) {
                        return Ok(value);
                    }
                } else {
                    self.poll_task(ready);
                }
            }
            if !self.fire_next_timer() {
                return Err(self.stalled());
            }
        }
    }

    fn pop_ready(&self) -> Option<Ready> {
        self.ready.borrow_mut().pop_front()
    }

    fn poll_task(&self, Ready { index, generation }: Ready) {
        let taken = self.tasks.borrow_mut().get_mut(index).and_then(|slot| {
            // A task that ended leaves wake-ups behind; its slot may have a new tenant.
            if slot.handle.generation != generation {
                return None;
            }
            // Cleared before the poll: a wake-up during the poll must queue the task again.
            slot.handle.queued.store(false, Ordering::Relaxed);
            slot.task.take()
        });
        let Some((mut task, waker)) = taken else { return };
        match task.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Pending => {
                if let Some(slot) = self.tasks.borrow_mut().get_mut(index) {
                    slot.task = Some((task, waker));
                }
            }
            Poll::Ready(()) => {
                let slot = self.tasks.borrow_mut().try_remove(index);
                drop(task);
                drop(waker);
                drop(slot);
            }
        }
    }

    /// Advances to the earliest timer and wakes its task. One timer at a time: all that follows from it
    /// happens before the next one of the same instant.
    fn fire_next_timer(&self) -> bool {
        loop {
            let fired = {
                let mut timers = self.timers.borrow_mut();
                let Some(Reverse(entry)) = timers.heap.pop() else { return false };
                match timers.set.get_mut(entry.timer) {
                    Some(setting) if setting.sequence == entry.sequence && entry.at < Time::MAX => {
                        setting.waker.take().map(|waker| (entry.at, waker))
                    }
                    _ => None,
                }
            };
            if let Some((at, waker)) = fired {
                debug_assert!(at >= now(), "time never goes back");
                VIRTUAL_NOW.set(Some(at));
                waker.wake();
                return true;
            }
        }
    }

    pub(super) fn add_timer(&self, at: Time, order: Order, waker: Waker) -> TimerId {
        let mut timers = self.timers.borrow_mut();
        let sequence = timers.next_sequence();
        let timer = timers.set.insert(Setting { sequence, waker: Some(waker) });
        timers.push(Entry { at, order, sequence, timer });
        TimerId(timer)
    }

    pub(super) fn set_waker(&self, timer: TimerId, waker: &Waker) {
        let old = self.timers.borrow_mut().set.get_mut(timer.0).and_then(|setting| setting.wakes(waker));
        drop(old);
    }

    pub(super) fn reset_timer(&self, timer: TimerId, at: Option<Time>, order: Order, waker: &Waker) {
        let old = {
            let mut timers = self.timers.borrow_mut();
            let sequence = timers.next_sequence();
            let Some(setting) = timers.set.get_mut(timer.0) else { return };
            setting.sequence = sequence;
            let old = setting.wakes(waker);
            if let Some(at) = at {
                let at = at.max(now());
                timers.push(Entry { at, order, sequence, timer: timer.0 });
            }
            old
        };
        drop(old);
    }

    pub(super) fn remove_timer(&self, timer: TimerId) {
        let setting = self.timers.borrow_mut().set.try_remove(timer.0);
        drop(setting);
    }

    fn stalled(&self) -> Stalled {
        let mut waiting: Vec<(&'static str, usize)> = Vec::new();
        for (_, slot) in self.tasks.borrow().iter() {
            match waiting.iter_mut().find(|(name, _)| *name == slot.name) {
                Some((_, n)) => *n += 1,
                None => waiting.push((slot.name, 1)),
            }
        }
        Stalled { at: now(), waiting }
    }

    fn drop_tasks(&self) {
        /// Goes on with the rest when a destructor panics.
        struct Rest<'a>(&'a Sim);
        impl Drop for Rest<'_> {
            fn drop(&mut self) {
                while let Some(task) = self.0.take_task() {
                    drop(task);
                }
                self.0.ready.borrow_mut().clear();
            }
        }
        self.ending.set(Some(0));
        let rest = Rest(self);
        while let Some(task) = self.take_task() {
            drop(task);
        }
        drop(rest);
    }

    /// Takes a task out, to be dropped outside of the borrow: a destructor may wake others.
    fn take_task(&self) -> Option<Slot> {
        let mut tasks = self.tasks.borrow_mut();
        let from = self.ending.get().unwrap_or(0);
        let index = (from..tasks.capacity()).find(|&index| tasks.contains(index))?;
        self.ending.set(Some(index + 1));
        Some(tasks.remove(index))
    }

    /// Timers set, and entries in the heap, stale ones included.
    #[cfg(test)]
    pub(super) fn timers(&self) -> (usize, usize) {
        let timers = self.timers.borrow();
        (timers.set.len(), timers.heap.len())
    }
}

impl Timers {
    fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    /// Stale entries go when they surface, but timeouts that are far off and almost never reached would
    /// pile up until then: from time to time all stale ones are swept out.
    fn push(&mut self, entry: Entry) {
        if entry.at == Time::MAX {
            return;
        }
        if self.heap.len() >= 128 && self.heap.len() > 2 * self.set.len() {
            let set = &self.set;
            self.heap.retain(|Reverse(entry)| {
                set.get(entry.timer).is_some_and(|setting| setting.sequence == entry.sequence)
            });
        }
        self.heap.push(Reverse(entry));
    }
}

impl Setting {
    /// Wakes this one from now on; returns the one it woke before, to be dropped outside of the borrow.
    fn wakes(&mut self, waker: &Waker) -> Option<Waker> {
        match &self.waker {
            Some(old) if old.will_wake(waker) => None,
            _ => self.waker.replace(waker.clone()),
        }
    }
}
