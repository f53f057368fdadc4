//! Permits with a queue in front. Workers behind a request queue, connections of a pool and the places of a
//! bulkhead are all this: a number that may be held, and an order in which those who wait are served.
//!
//! The limit can be changed while it is in use. When it shrinks, permits above it are not taken away: they
//! are not handed out again when they come back.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use slab::Slab;

use crate::call::Exchange;
use crate::meter::Stock;
use crate::time::{Time, now};
use crate::units::Dur;

/// No limit.
pub const UNLIMITED: usize = usize::MAX;

/// Who is served next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(title = "order")]
pub enum Discipline {
    /// First in, first out.
    #[default]
    Fifo,
    /// Last in, first out: under overload some are served in time instead of all too late.
    Lifo,
}

/// Controlled delay: drops from the head of the queue while the wait has been above `target` for `interval`,
/// at a rate that grows with the square root of the drops. Nichols and Jacobson, "Controlling queue delay",
/// ACM Queue 10(5), 2012; RFC 8289.
///
/// The rate grows by 1 / (2 `interval`^2) per second, so that callers who do not slow down and exceed what
/// can be served by E per second are brought under control only after 2 E `interval`^2 seconds: with 100 ms,
/// 2 s for an excess of 100 per second, but 20 s for 1000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CoDel {
    /// The wait that is acceptable as a standing one, such as 5ms (what RFC 8289 suggests for networks).
    pub target: Dur,
    /// How long it may be exceeded before the first drop, such as 100ms (what RFC 8289 suggests for networks).
    pub interval: Dur,
}

/// Adaptive LIFO with its form of controlled delay: while the queue has not been empty for `interval`, it is
/// overloaded. Then the last to come is served first and whoever comes waits for at most `target`; else the first
/// to come is, and whoever comes waits for at most `interval`. Maurer, "Fail at scale", ACM Queue 13(8), 2015,
/// who found 5 ms and 100 ms to suit many of Facebook's services.
///
/// Those who have waited too long are noticed when somebody comes or a permit comes back. A `target` as short as
/// the time between two arrivals empties the queue now and then, and the server waits for the next arrival: of one
/// server under two-fold overload it cost 2.5 % of the answers (`laws/overload.yaml`, 200 arrivals per second,
/// 5 ms).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdaptiveLifo {
    /// How long the queue must not have been empty, and the longest wait otherwise. 100ms if absent.
    #[serde(default = "hundred_milliseconds")]
    pub interval: Dur,
    /// The longest wait of those who come while it is overloaded. 5ms if absent.
    #[serde(default = "five_milliseconds")]
    pub target: Dur,
}

fn hundred_milliseconds() -> Dur {
    Dur(Duration::from_millis(100))
}

fn five_milliseconds() -> Dur {
    Dur(Duration::from_millis(5))
}

/// How a gate behaves from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Permits that may be held at a time.
    pub limit: usize,
    /// How many may wait; one more is refused.
    pub room: usize,
    /// Who is served next.
    pub discipline: Discipline,
    /// Drop those who have waited too long.
    pub codel: Option<CoDel>,
    /// Decide by the state of the queue who is served next and who is dropped; `discipline` does not count then.
    pub adaptive: Option<AdaptiveLifo>,
    /// Drop, instead of serving, those whose deadline has passed by the time it is their turn.
    pub drop_expired: bool,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            limit: UNLIMITED,
            room: UNLIMITED,
            discipline: Discipline::Fifo,
            codel: None,
            adaptive: None,
            drop_expired: false,
        }
    }
}

/// Why there is no permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Too many wait already.
    Full,
    /// The deadline passed while waiting.
    Expired,
    /// Dropped by controlled delay.
    Shed,
}

/// See the module.
#[derive(Debug)]
pub struct Gate {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    rules: Rules,
    held: usize,
    waiting: usize,
    line: VecDeque<usize>,
    slots: Slab<Slot>,
    /// When the line that stands now began.
    standing_since: Time,
    codel: CoDelState,
}

#[derive(Debug)]
struct Slot {
    since: Time,
    deadline: Option<Time>,
    /// Until when it may wait, under [`AdaptiveLifo`].
    until: Time,
    standing: Standing,
}

#[derive(Debug)]
enum Standing {
    Waiting(Option<Waker>),
    Granted,
    Refused(Refused),
    /// The one who waited has left; the slot goes when its turn comes.
    Left,
}

#[derive(Debug, Default)]
struct CoDelState {
    above_since: Option<Time>,
    dropping: bool,
    drop_next: Time,
    count: u32,
    /// `count` when the last spell of dropping began.
    last_count: u32,
}

impl Gate {
    /// A gate with these rules and nobody at it.
    pub fn new(rules: Rules) -> Gate {
        Gate { state: Mutex::new(State { rules, ..State::default() }) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the rules. A raised limit serves those who wait at once; a lowered one takes effect as
    /// permits come back.
    pub fn set_rules(&self, rules: Rules) {
        let mut state = self.lock();
        state.rules = rules;
        let woken = state.serve();
        drop(state);
        woken.wake();
    }

    /// Permits held, and callers waiting.
    pub fn load(&self) -> (usize, usize) {
        let state = self.lock();
        (state.held, state.waiting)
    }

    /// Places in line that were not given up yet, by those who wait, were served or have left.
    #[cfg(test)]
    fn places(&self) -> usize {
        self.lock().slots.len()
    }

    /// Asks for a permit; waits in line if there is none. Those in line are counted in `stock`.
    pub fn acquire<'a>(&'a self, deadline: Option<Time>, stock: &'a Stock) -> Acquire<'a> {
        Acquire { gate: self, stock, deadline, place: Place::New }
    }

    fn release(&self) {
        let mut state = self.lock();
        state.held -= 1;
        let woken = state.serve();
        drop(state);
        woken.wake();
    }
}

/// Those to wake once the lock is no longer held. Mostly nobody or one: no allocation for either.
#[derive(Debug, Default)]
pub struct Woken {
    first: Option<Waker>,
    rest: Vec<Waker>,
}

impl Woken {
    /// One more, if there is one.
    pub fn push(&mut self, waker: Option<Waker>) {
        match (&self.first, waker) {
            (_, None) => {}
            (None, waker) => self.first = waker,
            (_, Some(waker)) => self.rest.push(waker),
        }
    }

    /// Wakes them, in the order in which they were pushed.
    pub fn wake(self) {
        self.first.into_iter().chain(self.rest).for_each(Waker::wake);
    }
}

impl State {
    /// Hands out what may be handed out.
    fn serve(&mut self) -> Woken {
        let mut woken = Woken::default();
        while self.held < self.rules.limit && self.waiting > 0 {
            let at = now();
            let Some(index) = self.next_in_line(at) else { break };
            let Slot { since, deadline, until, .. } = self.slots[index];
            let standing = if self.has_expired(deadline, at) {
                Standing::Refused(Refused::Expired)
            } else if at > until || self.sheds(at, at.since(since)) {
                Standing::Refused(Refused::Shed)
            } else {
                self.held += 1;
                Standing::Granted
            };
            self.decide(index, standing, &mut woken);
        }
        woken
    }

    /// One who was taken out of the line waits no more.
    fn decide(&mut self, index: usize, standing: Standing, woken: &mut Woken) {
        self.one_waits_no_more();
        let slot = &mut self.slots[index];
        if let Standing::Waiting(waker) = std::mem::replace(&mut slot.standing, standing) {
            woken.push(waker);
        }
    }

    /// Whether the queue has not been empty for so long that it is overloaded.
    fn is_overloaded(&self, adaptive: AdaptiveLifo, at: Time) -> bool {
        self.waiting > 0 && at.since(self.standing_since) > adaptive.interval.0
    }

    /// Until when one who comes at `at` may wait.
    fn until(&self, at: Time) -> Time {
        match self.rules.adaptive {
            None => Time::MAX,
            Some(it) if self.is_overloaded(it, at) => at + it.target.0,
            Some(it) => at + it.interval.0,
        }
    }

    /// Drops those at the head of the line who have waited too long: under last-in-first-out their turn may
    /// never come, and they take the room of others.
    fn drop_overdue(&mut self, at: Time) -> Woken {
        let mut woken = Woken::default();
        while let Some(&index) = self.line.front() {
            let slot = &self.slots[index];
            let left = matches!(slot.standing, Standing::Left);
            if !left && at <= slot.until {
                break;
            }
            self.line.pop_front();
            if left {
                self.slots.remove(index);
            } else {
                self.decide(index, Standing::Refused(Refused::Shed), &mut woken);
            }
        }
        woken
    }

    fn has_expired(&self, deadline: Option<Time>, at: Time) -> bool {
        self.rules.drop_expired && deadline.is_some_and(|deadline| deadline <= at)
    }

    fn one_waits_no_more(&mut self) {
        self.waiting -= 1;
        if self.waiting == 0 {
            // However the line emptied, no queue is standing any more, and whoever is still in it has left.
            self.codel.above_since = None;
            self.codel.dropping = false;
            for index in self.line.drain(..) {
                self.slots.remove(index);
            }
        }
    }

    fn next_in_line(&mut self, at: Time) -> Option<usize> {
        let discipline = match self.rules.adaptive {
            None => self.rules.discipline,
            Some(it) if self.is_overloaded(it, at) => Discipline::Lifo,
            Some(_) => Discipline::Fifo,
        };
        loop {
            let index = match discipline {
                Discipline::Fifo => self.line.pop_front(),
                Discipline::Lifo => self.line.pop_back(),
            }?;
            match self.slots[index].standing {
                Standing::Left => drop(self.slots.remove(index)),
                _ => return Some(index),
            }
        }
    }

    /// RFC 8289, section 5: whether the one who waited `wait` is dropped.
    fn sheds(&mut self, at: Time, wait: Duration) -> bool {
        let Some(CoDel { target, interval }) = self.rules.codel else { return false };
        let state = &mut self.codel;
        // A standing wait cannot be told from a burst while one alone waits.
        let above = wait >= target.0 && self.waiting > 1;
        if !above {
            state.above_since = None;
            state.dropping = false;
            return false;
        }
        let since = *state.above_since.get_or_insert(at);
        if state.dropping {
            if at < state.drop_next {
                return false;
            }
            state.count += 1;
            state.drop_next = state.drop_next + control_law(interval, state.count);
            return true;
        }
        if at.since(since) < interval.0 {
            return false;
        }
        // Dropping again soon after it stopped resumes near the rate that was needed.
        let soon = at.since(state.drop_next) < 16 * interval.0;
        let dropped_last_time = state.count.saturating_sub(state.last_count);
        state.dropping = true;
        state.count = if soon && dropped_last_time > 1 { dropped_last_time } else { 1 };
        state.last_count = state.count;
        state.drop_next = at + control_law(interval, state.count);
        true
    }

    /// Left slots are removed when their turn comes; under last-in-first-out that may be late.
    fn sweep(&mut self) {
        if self.line.len() > 64 && self.line.len() > 4 * self.waiting {
            let slots = &mut self.slots;
            self.line.retain(|&index| {
                let left = matches!(slots[index].standing, Standing::Left);
                if left {
                    slots.remove(index);
                }
                !left
            });
        }
    }
}

fn control_law(interval: Dur, count: u32) -> Duration {
    Duration::from_nanos((interval.0.as_nanos() as f64 / f64::from(count).sqrt()) as u64)
}

/// Waiting for a permit. Dropping it leaves the line.
pub struct Acquire<'a> {
    gate: &'a Gate,
    stock: &'a Stock,
    deadline: Option<Time>,
    place: Place,
}

enum Place {
    New,
    Line { index: usize, since: Time },
    Done,
}

impl<'a> Future for Acquire<'a> {
    type Output = Result<Permit<'a>, Refused>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let gate = self.gate;
        let mut state = gate.lock();
        match self.place {
            Place::New => {
                if state.rules.adaptive.is_some() && state.waiting > 0 {
                    let woken = state.drop_overdue(now());
                    drop(state);
                    woken.wake();
                    state = gate.lock();
                }
                if state.rules.drop_expired && state.has_expired(self.deadline, now()) {
                    self.place = Place::Done;
                    return Poll::Ready(Err(Refused::Expired));
                }
                if state.held < state.rules.limit && state.waiting == 0 {
                    state.held += 1;
                    self.place = Place::Done;
                    return Poll::Ready(Ok(Permit { gate }));
                }
                if state.waiting >= state.rules.room {
                    self.place = Place::Done;
                    return Poll::Ready(Err(Refused::Full));
                }
                let since = self.stock.enter(now());
                if state.waiting == 0 {
                    state.standing_since = since;
                }
                let until = state.until(since);
                let standing = Standing::Waiting(Some(cx.waker().clone()));
                let index = state.slots.insert(Slot { since, deadline: self.deadline, until, standing });
                state.line.push_back(index);
                state.waiting += 1;
                self.place = Place::Line { index, since };
                Poll::Pending
            }
            Place::Line { index, since } => {
                let result = match &mut state.slots[index].standing {
                    Standing::Waiting(waker) => {
                        if waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                            return Poll::Pending;
                        }
                        let old = waker.replace(cx.waker().clone());
                        // Outside of the lock: the last waker of a task may have a destructor.
                        drop(state);
                        drop(old);
                        return Poll::Pending;
                    }
                    Standing::Granted => Ok(Permit { gate }),
                    Standing::Refused(why) => Err(*why),
                    Standing::Left => unreachable!("only the drop of this future marks a place as left"),
                };
                state.slots.remove(index);
                drop(state);
                self.stock.leave(since, now());
                self.place = Place::Done;
                Poll::Ready(result)
            }
            Place::Done => panic!("a permit was asked for again after it was given"),
        }
    }
}

impl Drop for Acquire<'_> {
    fn drop(&mut self) {
        let Place::Line { index, since } = self.place else { return };
        let mut state = self.gate.lock();
        let mut woken = Woken::default();
        let standing = match state.slots[index].standing {
            Standing::Waiting(_) => {
                let standing = std::mem::replace(&mut state.slots[index].standing, Standing::Left);
                state.one_waits_no_more();
                state.sweep();
                standing
            }
            // The permit came, but nobody was there to take it: it goes to the next.
            Standing::Granted => {
                state.held -= 1;
                woken = state.serve();
                state.slots.remove(index).standing
            }
            _ => state.slots.remove(index).standing,
        };
        drop(state);
        drop(standing);
        self.stock.leave(since, now());
        woken.wake();
    }
}

/// The right to go on; given back when dropped.
#[derive(Debug)]
pub struct Permit<'a> {
    gate: &'a Gate,
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.gate.release();
    }
}

/// Whether somebody up to the user still waits.
pub fn still_wanted(caller: &Option<Arc<Exchange>>) -> bool {
    caller.as_ref().is_none_or(|exchange| exchange.gone_since() > now())
}

#[cfg(test)]
mod tests;
