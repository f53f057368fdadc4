//! Work in progress at one resource, slowed by contention. With `n` pieces of work in service each proceeds
//! at 1 / (1 + alpha (n - 1) + beta n (n - 1)) of its speed alone: the Universal Scalability Law (Gunther,
//! "Guerrilla Capacity Planning", 2007). The speed is that of the moment: it changes for all whenever one
//! enters, leaves, or a trigger acts. (Fixing the duration of each when it starts is another system, with
//! other thresholds.)
//!
//! Since all proceed at one speed, a single clock of work done serves for all: a piece is finished when that
//! clock has advanced by its demand. One timer, for the earliest.
//!
//! Where somebody asks, it also counts what is computed, as a kernel's accounts of processor time do.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use pumphandle_core::gate::Woken;
use pumphandle_core::time::{self, Alarm, Order, Time, now};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use slab::Slab;

/// How pieces of work in service slow each other down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Contention {
    /// Contention: waiting for shared resources, from 0 to 10. Limits throughput to 1 / alpha of one piece's.
    /// None if absent.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 10.0))]
    pub alpha: f64,
    /// Coherence: pieces that have to agree pairwise, from 0 to 10. Makes throughput fall again beyond a
    /// maximum. None if absent.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 10.0))]
    pub beta: f64,
}

impl Contention {
    /// The speed of each of `n` pieces of work, as a share of its speed alone.
    pub fn speed(&self, n: usize) -> f64 {
        let n = n as f64;
        1.0 / (1.0 + self.alpha * (n - 1.0) + self.beta * n * (n - 1.0))
    }

    /// Pieces finished per second with `n` in service, each of which would take `alone_s` alone.
    pub fn throughput(&self, n: usize, alone_s: f64) -> f64 {
        n as f64 * self.speed(n) / alone_s
    }
}

/// See the module.
pub struct Processor {
    state: Mutex<State>,
    alarm: Alarm,
    key: u64,
}

struct State {
    contention: Contention,
    /// How many times slower than normal everything is.
    slow: f64,
    /// The share of time in service that is computing; 0 where nobody asks.
    computing: f64,
    /// Nanoseconds computed since the start, by all pieces together.
    computed: f64,
    /// Work that each piece in service has received since the clock was last zero, in nanoseconds.
    work: f64,
    updated: Time,
    in_service: usize,
    due: BinaryHeap<Due>,
    pieces: Slab<Piece>,
    sequence: u64,
    /// Nothing proceeds.
    paused: bool,
    /// It has ended for good.
    stopped: bool,
}

struct Piece {
    sequence: u64,
    waker: Option<Waker>,
    done: bool,
}

/// A piece's place in the order of completion.
struct Due {
    target: f64,
    key: u64,
    sequence: u64,
    piece: usize,
}

impl Ord for Due {
    fn cmp(&self, other: &Due) -> Ordering {
        // Earliest first, in a heap that keeps the greatest on top.
        (other.target.total_cmp(&self.target))
            .then(other.key.cmp(&self.key))
            .then(other.sequence.cmp(&self.sequence))
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Due) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Due) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Due {}

impl Processor {
    /// A processor with nothing to do, and the task that completes its work. `key` orders completions of
    /// the same instant between processors.
    pub fn start(key: u64) -> Arc<Processor> {
        let processor = Arc::new(Processor {
            state: Mutex::new(State {
                contention: Contention::default(),
                slow: 1.0,
                computing: 0.0,
                computed: 0.0,
                work: 0.0,
                updated: Time::ZERO,
                in_service: 0,
                due: BinaryHeap::new(),
                pieces: Slab::new(),
                sequence: 0,
                paused: false,
                stopped: false,
            }),
            alarm: Alarm::default(),
            key,
        });
        let driven = Arc::clone(&processor);
        time::spawn("completions of a service", async move {
            loop {
                driven.alarm.wait(Order::completion(driven.key)).await;
                if !driven.complete() {
                    return;
                }
            }
        });
        processor
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on, this contention and this slow-down, and this share of time in service counts as computing.
    pub fn set_speed(&self, contention: Contention, slow: f64, computing: f64) {
        let mut state = self.lock();
        state.advance(now());
        state.contention = contention;
        state.slow = slow;
        state.computing = computing;
        self.arm(&state);
    }

    /// Nothing proceeds from now on, or everything does again. Meanwhile whoever stopped it computes, on one processor.
    pub fn pause(&self, paused: bool) {
        let mut state = self.lock();
        state.advance(now());
        state.paused = paused;
        self.arm(&state);
    }

    /// Nanoseconds computed until now, by all pieces together: waiting for one another is no computing, and a
    /// machine that is slower computes for longer. Looking changes nothing, not even by rounding.
    pub fn computed_ns(&self) -> f64 {
        let state = self.lock();
        state.computed + state.computes_in(now().since(state.updated).as_nanos() as f64)
    }

    /// Ends for good: whatever is in service, or comes later, is done at once.
    pub fn stop(&self) {
        self.lock().stopped = true;
        // An instant that has passed on every clock, and that is known on threads without one.
        self.alarm.set(Some(Time::ZERO), Order::completion(self.key));
    }

    /// Works off `demand` nanoseconds of work. Dropping the future takes the work out of service.
    pub fn work(&self, demand: f64, key: u64) -> Work<'_> {
        Work { processor: self, demand, key, piece: None }
    }

    fn arm(&self, state: &State) {
        if state.stopped {
            return;
        }
        let next = state.due.peek().filter(|_| !state.paused);
        let at = next.map(|due| {
            let left = (due.target - state.work).max(0.0) / state.speed();
            state.updated + Duration::from_nanos(left.ceil() as u64)
        });
        self.alarm.set(at, Order::completion(self.key));
    }

    /// Ends what is due; false when nothing will ever be due again.
    fn complete(&self) -> bool {
        let mut finished = Woken::default();
        let mut state = self.lock();
        state.advance(now());
        // Half a nanosecond of work absorbs the rounding of the timer and of the sums.
        while state.due.peek().is_some_and(|due| due.target <= state.work + 0.5) {
            let due = state.due.pop().expect("it was just looked at");
            let Some(piece) = state.pieces.get_mut(due.piece).filter(|piece| piece.sequence == due.sequence)
            else {
                continue;
            };
            piece.done = true;
            finished.push(piece.waker.take());
            state.in_service -= 1;
        }
        let goes_on = !state.stopped;
        if goes_on {
            state.skip_withdrawn();
            self.arm(&state);
        } else {
            for (_, piece) in state.pieces.iter_mut().filter(|(_, piece)| !piece.done) {
                piece.done = true;
                finished.push(piece.waker.take());
            }
            state.in_service = 0;
        }
        drop(state);
        finished.wake();
        goes_on
    }
}

impl State {
    fn speed(&self) -> f64 {
        self.contention.speed(self.in_service.max(1)) / self.slow
    }

    fn advance(&mut self, at: Time) {
        if self.paused {
            self.computed += self.computes_in(at.since(self.updated).as_nanos() as f64);
        } else if self.in_service == 0 {
            self.work = 0.0;
            self.due.clear();
        } else {
            let span = at.since(self.updated).as_nanos() as f64;
            if self.computing > 0.0 {
                self.computed += self.computes_in(span);
            }
            self.work += span * self.speed();
        }
        self.updated = self.updated.max(at);
    }

    /// What is computed in `span` nanoseconds with those in service now.
    fn computes_in(&self, span: f64) -> f64 {
        if self.paused {
            return if self.computing > 0.0 { span } else { 0.0 };
        }
        let busy = self.in_service as f64 * self.contention.speed(self.in_service.max(1));
        span * busy * self.computing
    }

    /// The earliest entry must be of a piece still in service, or the timer would be set for nobody.
    fn skip_withdrawn(&mut self) {
        while self.due.peek().is_some_and(|due| {
            self.pieces.get(due.piece).is_none_or(|piece| piece.sequence != due.sequence || piece.done)
        }) {
            self.due.pop();
        }
    }
}

/// A piece of work. See [`Processor::work`].
pub struct Work<'a> {
    processor: &'a Processor,
    demand: f64,
    key: u64,
    piece: Option<usize>,
}

impl Future for Work<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.processor.lock();
        match self.piece {
            None if state.stopped => Poll::Ready(()),
            None => {
                state.advance(now());
                state.in_service += 1;
                state.sequence += 1;
                let sequence = state.sequence;
                let waker = Some(cx.waker().clone());
                let piece = state.pieces.insert(Piece { sequence, waker, done: false });
                let target = state.work + self.demand;
                state.due.push(Due { target, key: self.key, sequence, piece });
                self.processor.arm(&state);
                drop(state);
                self.piece = Some(piece);
                Poll::Pending
            }
            Some(piece) if state.pieces[piece].done => {
                state.pieces.remove(piece);
                drop(state);
                self.piece = None;
                Poll::Ready(())
            }
            Some(piece) => {
                let waker = &mut state.pieces[piece].waker;
                if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                    *waker = Some(cx.waker().clone());
                }
                Poll::Pending
            }
        }
    }
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        let Some(piece) = self.piece else { return };
        let mut state = self.processor.lock();
        let done = state.pieces[piece].done;
        if !done {
            state.advance(now());
            state.in_service -= 1;
        }
        state.pieces.remove(piece);
        if !done {
            state.skip_withdrawn();
            self.processor.arm(&state);
        }
    }
}
