//! Rate limit: so many attempts per second and no more, with a burst; the rest are refused, or wait their turn.
//! On calls to other services, or at a service's door.
//!
//! Prevents: a caller that takes all of a service's capacity, and a queue that fills faster than it is
//! emptied. Can cause: refusals while there is room, since it knows a number and not the service; an overload
//! that it was meant to prevent, when its burst is as large as the queue behind it
//! (`scenarios/policies/burst-as-large-as-the-queue.yaml`), or when the service has become slower than the
//! number; and, with `max_wait`, a queue that nobody drew.
//!
//! The limiter is `governor`'s generic cell rate algorithm (ITU-T I.371: a leaky bucket as a meter), on the
//! clock of the run. What waits stands in one line, first in first out, of which only the first looks at the
//! limiter: otherwise all who wait would wake at every cell, and the last to come could overtake.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use pumphandle_core::gate::{Gate, Permit, Refused, Rules};
use pumphandle_core::meter::{Flow, Meter, StockName};
use pumphandle_core::time::{self, Order, Time, now};
use pumphandle_core::{Answering, Call, CallError, Dur, Rate};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tower::layer::layer_fn;

use crate::{Next, Policies, Policy, Settings, Surroundings, Wrong, yes};

/// Settings of a rate limit. A new `rate` or `burst` replaces the limiter: the new one starts with its whole
/// burst, and those who wait in line stay in the old line at the old rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// On or off. On if absent.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// How many pass in the long run, such as 100/s: above zero, up to 1000000/s. At a door: through each
    /// replica.
    pub rate: Rate,
    /// How many may pass at one instant after a pause, from 1 to 1000000. One if absent.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub burst: u32,
    /// The longest wait for a turn, such as 100ms; who would have to wait longer is refused at once. Nobody waits
    /// if absent.
    #[serde(default)]
    pub max_wait: Dur,
}

fn one() -> u32 {
    1
}

/// The shortest time between two cells is a nanosecond; at this rate, rounding to it is off by a thousandth.
const FASTEST: f64 = 1e6;
/// Longer than any run, in seconds. Beyond, the burst's length in nanoseconds would overflow.
const TOO_LONG_S: f64 = 3660.0 * 86_400.0;

impl Settings for RateLimit {
    fn check(&self) -> Vec<Wrong> {
        let rate = self.rate.0;
        let mut wrong = Vec::new();
        if !(rate > 0.0 && rate <= FASTEST) {
            let message = format!("a rate limit lies above 0/s and up to {FASTEST}/s, found {}", self.rate);
            wrong.push(Wrong::at("rate", message));
        } else if f64::from(self.burst.max(1)) / rate > TOO_LONG_S {
            wrong.push(Wrong::at("", "at this rate it takes longer than ten years to refill the burst"));
        }
        if self.burst == 0 {
            wrong.push(Wrong::at("burst", "a burst of zero would refuse everything"));
        }
        wrong
    }
}

impl RateLimit {
    /// The time in which one cell comes free.
    fn interval(&self) -> Duration {
        Duration::from_nanos((1e9 / self.rate.0).round() as u64)
    }

    fn quota(&self) -> Quota {
        let burst = NonZeroU32::new(self.burst).expect("a burst of zero is refused before anything runs");
        Quota::with_period(self.interval()).expect("a rate above a million is refused").allow_burst(burst)
    }
}

/// The clock of the run, for `governor`.
#[derive(Clone, Copy, Debug)]
struct RunClock;

impl Clock for RunClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        Duration::from_nanos(now().nanos())
    }
}

/// One limiter: its cells, and the line of those who wait for one.
struct Cells {
    settings: RateLimit,
    cells: RateLimiter<NotKeyed, InMemoryState, RunClock, NoOpMiddleware<Duration>>,
    line: Gate,
    /// When the first in line gets a cell: nanoseconds since the start of the run.
    first_due: AtomicU64,
}

impl Cells {
    fn new(settings: &RateLimit) -> Cells {
        Cells {
            cells: RateLimiter::direct_with_clock(settings.quota(), RunClock),
            line: Gate::new(Rules { limit: 1, ..Rules::default() }),
            first_due: AtomicU64::new(0),
            settings: settings.clone(),
        }
    }

    fn is_of(&self, settings: &RateLimit) -> bool {
        (self.settings.rate, self.settings.burst) == (settings.rate, settings.burst)
    }

    /// How many stand in line.
    fn in_line(&self) -> u32 {
        let (first, others) = self.line.load();
        u32::try_from(first + others).unwrap_or(u32::MAX)
    }

    /// Passes at once, or says how long a newcomer would have to wait if nobody in line leaves it.
    fn look(&self) -> Result<(), Duration> {
        match self.in_line() {
            0 => self.cells.check().map_err(|not_yet| not_yet.wait_time_from(RunClock.now())),
            // All of them get a cell first, one per interval: whoever could not be served does not stand here.
            ahead => {
                let first = Time::from_nanos(self.first_due.load(Ordering::Relaxed));
                Err(first.since(now()).saturating_add(self.settings.interval().saturating_mul(ahead)))
            }
        }
    }

    /// Waits until it is one's turn, and then for a cell.
    async fn turn(&self, meter: &Meter, key: u64) {
        let waiting = meter.stock(StockName::RateWaiting);
        let _first: Result<Permit<'_>, Refused> = self.line.acquire(None, waiting).await;
        while let Err(not_yet) = self.cells.check() {
            self.next_cell_at(not_yet.earliest_possible());
            let _waiting = waiting.inside();
            let wait = not_yet.wait_time_from(RunClock.now());
            time::sleep(wait, Order::completion(key)).await;
        }
        self.next_cell_at(RunClock.now() + self.settings.interval());
    }

    fn next_cell_at(&self, at: Duration) {
        self.first_due.store((Time::ZERO + at).nanos(), Ordering::Relaxed);
    }
}

/// The limiter in force: of one edge, or of one door.
#[derive(Default)]
pub struct Limiter(ArcSwapOption<Cells>);

impl Limiter {
    /// The settings have changed. The limiter stays what it is unless its rate or burst did.
    pub fn changed(&self, settings: Option<&RateLimit>) {
        let Some(settings) = settings.filter(|settings| settings.enabled) else {
            return self.0.store(None);
        };
        if !self.0.load().as_ref().is_some_and(|cells| cells.is_of(settings)) {
            self.0.store(Some(Arc::new(Cells::new(settings))));
        }
    }

    /// Lets a call pass, at once or when it is its turn. `key` orders those who would pass at one instant.
    ///
    /// # Errors
    ///
    /// [`CallError::Limited`], counted, if it would have to wait for longer than `settings` say.
    pub async fn pass(&self, settings: &RateLimit, meter: &Meter, key: u64) -> Result<(), CallError> {
        // Switched off since this call looked at the settings.
        let Some(cells) = self.0.load_full() else { return Ok(()) };
        let Err(wait) = cells.look() else { return Ok(()) };
        let max_wait = settings.max_wait.0;
        if wait <= max_wait {
            // The limit is for real time, where somebody else may have come in between.
            let turn = cells.turn(meter, key);
            if time::timeout(max_wait, Order::timeout(key), turn).await.is_ok() {
                return Ok(());
            }
        }
        meter.count(Flow::Limited);
        Err(CallError::Limited)
    }
}

/// See the module.
pub struct RateLimited {
    inner: Next,
    limiter: Limiter,
    meter: Arc<Meter>,
}

/// The layer that adds a [`RateLimited`].
pub fn layer(surroundings: &Surroundings) -> impl tower::Layer<Next, Service = RateLimited> + use<> {
    let meter = Arc::clone(&surroundings.meter);
    layer_fn(move |inner| RateLimited { inner, limiter: Limiter::default(), meter: Arc::clone(&meter) })
}

impl Policy for RateLimited {
    fn call<'a>(&'a self, settings: &'a Policies, call: Call) -> Answering<'a> {
        let Some(limit) = settings.rate_limit.as_ref().filter(|limit| limit.enabled) else {
            return self.inner.call(settings, call);
        };
        Box::pin(async move {
            self.limiter.pass(limit, &self.meter, call.path.id()).await?;
            self.inner.call(settings, call).await
        })
    }

    fn changed(&self, settings: &Policies) {
        self.limiter.changed(settings.rate_limit.as_ref());
        self.inner.changed(settings);
    }
}

#[cfg(test)]
mod tests;
