//! The one place that names a clock. `now`, `sleep`, `timeout` and `spawn` are free functions that
//! dispatch on a backend of the current thread: the deterministic simulation, or tokio.
//!
//! Below an arm nothing may know which of the two it runs under, so nothing here lets it ask.
//!
//! An enum in a thread-local, rather than a type parameter: `cfg` cannot serve one binary that has both
//! clocks, and a generic clock would stand in the signature of every service and policy.

mod sim;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use sim::{Sim, Task, TimerId};
pub use sim::{Stalled, simulate};

/// An instant: nanoseconds since the start of the run. Subtraction saturates at zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// The start of the run.
    pub const ZERO: Time = Time(0);
    /// Later than any instant of any run.
    pub const MAX: Time = Time(u64::MAX);

    /// From nanoseconds since the start.
    pub const fn from_nanos(nanos: u64) -> Time {
        Time(nanos)
    }

    /// From seconds since the start; negative values are the start itself.
    pub fn from_secs_f64(seconds: f64) -> Time {
        Time((seconds * 1e9).round() as u64)
    }

    /// Nanoseconds since the start.
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// Seconds since the start.
    pub fn secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// The time from `earlier` to here; zero if `earlier` is later.
    pub const fn since(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl std::ops::Add<Duration> for Time {
    type Output = Time;
    fn add(self, by: Duration) -> Time {
        Time(self.0.saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// What comes first when several timers are due at one instant: by kind, then by key, never by the order of
/// registration (which a lever that does nothing could change).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Order(u64);

impl Order {
    const KEY_BITS: u32 = 60;

    const fn new(kind: u64, key: u64) -> Order {
        Order(kind << Order::KEY_BITS | (key & ((1 << Order::KEY_BITS) - 1)))
    }
    /// The timeline: triggers and levers act before anything else of their instant.
    pub const fn timeline(key: u64) -> Order {
        Order::new(0, key)
    }
    /// The end of work.
    pub const fn completion(key: u64) -> Order {
        Order::new(1, key)
    }
    /// A caller's patience: an answer that comes at the very instant still counts.
    pub const fn timeout(key: u64) -> Order {
        Order::new(2, key)
    }
    /// A new request.
    pub const fn arrival(key: u64) -> Order {
        Order::new(3, key)
    }
    /// Whoever looks at the levels once everything of the instant has happened.
    pub const fn sample(key: u64) -> Order {
        Order::new(4, key)
    }
}

enum Backend {
    None,
    Virtual(Rc<Sim>),
    Real(tokio::time::Instant),
}

thread_local! {
    static BACKEND: RefCell<Backend> = const { RefCell::new(Backend::None) };
    /// The instant of this thread's simulation. Apart from the backend, because the time is asked for many
    /// times per event, and a thread-local without a destructor is a plain load.
    static VIRTUAL_NOW: Cell<Option<Time>> = const { Cell::new(None) };
}

fn with_backend<T>(f: impl FnOnce(&Backend) -> T) -> T {
    BACKEND.with(|backend| f(&backend.borrow()))
}

/// The zero of a real run, shared by every thread that serves it.
#[derive(Clone, Copy, Debug)]
pub struct Origin(tokio::time::Instant);

impl Origin {
    /// An origin `ahead` from now, so that every arm can be built before the first arrival is due.
    pub fn after(ahead: Duration) -> Origin {
        Origin(tokio::time::Instant::now() + ahead)
    }

    /// Puts the current thread on the real clock with this origin, for good: give it to every thread of a
    /// runtime when the thread starts. Before the origin, [`now`] is zero.
    pub fn enter(self) {
        BACKEND.with(|backend| *backend.borrow_mut() = Backend::Real(self.0));
    }

    /// The instant of this run, for a thread that serves another one or none; zero before the origin.
    pub fn now(self) -> Time {
        Time(tokio::time::Instant::now().saturating_duration_since(self.0).as_nanos() as u64)
    }

    /// How long the current thread would have to wait for `at`.
    pub fn until(self, at: Time) -> Duration {
        (self.0 + Duration::from_nanos(at.nanos())).saturating_duration_since(tokio::time::Instant::now())
    }
}

/// The current instant of this thread's run.
///
/// # Panics
///
/// If the thread serves no run: neither inside [`simulate`] nor after [`Origin::enter`].
#[inline]
pub fn now() -> Time {
    VIRTUAL_NOW.get().unwrap_or_else(real_now)
}

#[inline(never)]
fn real_now() -> Time {
    with_backend(|backend| match backend {
        Backend::Real(origin) => Origin(*origin).now(),
        _ => panic!("this thread has no clock: it is in no simulation and no real run"),
    })
}

/// Runs `future` in the background of this thread's run. `name` is what a stalled run is told of it.
pub fn spawn(name: &'static str, future: impl Future<Output = ()> + Send + 'static) {
    if VIRTUAL_NOW.get().is_none() {
        drop(tokio::spawn(future));
        return;
    }
    let task: Task = Box::pin(future);
    let refused = with_backend(|backend| match backend {
        Backend::Virtual(sim) => sim.spawn(name, task),
        _ => Some(task),
    });
    drop(refused);
}

/// Waits until `at`; at once if it has passed.
pub fn sleep_until(at: Time, order: Order) -> Sleep {
    Sleep { at, order, timer: Timer::Idle }
}

/// Waits for `span`.
pub fn sleep(span: Duration, order: Order) -> Sleep {
    sleep_until(now() + span, order)
}

/// Time ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

/// `future`, but for no longer than `span`; it is dropped when time runs out. An answer due at the very
/// instant of the timeout wins.
///
/// # Errors
///
/// [`Elapsed`] when time ran out first.
pub fn timeout<F: Future>(span: Duration, order: Order, future: F) -> Timeout<F> {
    Timeout { future, span, order, patience: None }
}

pin_project_lite::pin_project! {
    /// See [`timeout`]. A struct, because an `async fn` keeps a future that it is given twice: as its
    /// argument and pinned.
    pub struct Timeout<F> {
        #[pin]
        future: F,
        span: Duration,
        order: Order,
        // Set when first polled: that is when the waiting begins.
        patience: Option<Sleep>,
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let patience = this.patience.get_or_insert_with(|| sleep(*this.span, *this.order));
        if let Poll::Ready(value) = this.future.poll(cx) {
            return Poll::Ready(Ok(value));
        }
        Pin::new(patience).poll(cx).map(|()| Err(Elapsed))
    }
}

enum Timer {
    Idle,
    Virtual(TimerId),
    Real(Pin<Box<tokio::time::Sleep>>),
}

/// A wait for an instant. See [`sleep_until`].
pub struct Sleep {
    at: Time,
    order: Order,
    timer: Timer,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        with_backend(|backend| match backend {
            Backend::Virtual(sim) => {
                if now() >= this.at {
                    return Poll::Ready(());
                }
                match &this.timer {
                    Timer::Virtual(timer) => sim.set_waker(*timer, cx.waker()),
                    _ => this.timer = Timer::Virtual(sim.add_timer(this.at, this.order, cx.waker().clone())),
                }
                Poll::Pending
            }
            Backend::Real(origin) => {
                let at = *origin + Duration::from_nanos(this.at.nanos());
                if let Timer::Idle = this.timer {
                    this.timer = Timer::Real(Box::pin(tokio::time::sleep_until(at)));
                }
                match &mut this.timer {
                    Timer::Real(sleep) => sleep.as_mut().poll(cx),
                    _ => Poll::Ready(()),
                }
            }
            Backend::None => panic!("a sleep was polled on a thread without a clock"),
        })
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Timer::Virtual(timer) = self.timer {
            remove_timer(Some(timer));
        }
    }
}

fn remove_timer(timer: Option<TimerId>) {
    with_backend(|backend| {
        if let (Backend::Virtual(sim), Some(timer)) = (backend, timer) {
            sim.remove_timer(timer);
        }
    });
}

/// A timer that one task waits for and others set. Resetting it costs no wake-up in virtual time: a server
/// whose speed changes with every arrival resets it with every arrival.
#[derive(Default)]
pub struct Alarm {
    state: Mutex<AlarmState>,
}

#[derive(Default)]
struct AlarmState {
    at: Option<Time>,
    timer: Option<TimerId>,
    waker: Option<Waker>,
}

impl Alarm {
    /// Sets the instant at which [`Alarm::wait`] returns; `None` for never.
    pub fn set(&self, at: Option<Time>, order: Order) {
        let mut state = self.lock();
        if state.at == at {
            return;
        }
        state.at = at;
        let wake = with_backend(|backend| match (backend, &state.waker) {
            (_, None) => None,
            (Backend::Virtual(sim), Some(waker)) => {
                if let Some(timer) = state.timer {
                    sim.reset_timer(timer, at, order, waker);
                    None
                } else {
                    Some(waker.clone())
                }
            }
            (_, Some(waker)) => Some(waker.clone()),
        });
        drop(state);
        if let Some(waker) = wake {
            waker.wake();
        }
    }

    /// Waits until the set instant has come, and clears it.
    pub async fn wait(&self, order: Order) {
        let _waiting = Waiting(self);
        let mut sleep: Option<Sleep> = None;
        std::future::poll_fn(|cx| {
            let mut state = self.lock();
            if state.at.is_some_and(|at| now() >= at) {
                state.at = None;
                return Poll::Ready(());
            }
            let old = state.waker.replace(cx.waker().clone());
            let at = state.at;
            let in_simulation = with_backend(|backend| match backend {
                Backend::Virtual(sim) => {
                    match state.timer {
                        Some(timer) => sim.reset_timer(timer, at, order, cx.waker()),
                        None => {
                            let timer = sim.add_timer(at.unwrap_or(Time::MAX), order, cx.waker().clone());
                            state.timer = Some(timer);
                        }
                    }
                    true
                }
                _ => false,
            });
            drop(state);
            drop(old);
            if in_simulation {
                return Poll::Pending;
            }
            sleep = at.map(|at| sleep_until(at, order));
            // The instant may have come between the two looks: look again.
            if sleep.as_mut().is_some_and(|sleep| Pin::new(sleep).poll(cx).is_ready()) {
                cx.waker().wake_by_ref();
            }
            Poll::Pending
        })
        .await;
    }

    fn lock(&self) -> MutexGuard<'_, AlarmState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One who waits for an alarm. Whether the wait ends or is given up, its timer goes: nothing may fire later
/// on behalf of one who has left.
struct Waiting<'a>(&'a Alarm);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let (waker, timer) = {
            let mut state = self.0.lock();
            (state.waker.take(), state.timer.take())
        };
        drop(waker);
        remove_timer(timer);
    }
}

#[cfg(test)]
mod tests;
