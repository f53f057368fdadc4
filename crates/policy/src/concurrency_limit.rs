//! Adaptive concurrency limit: how many calls may be under way at a time, set by what their latency tells. The
//! rest are refused at once. At a service's door, or on calls to other services.
//!
//! Prevents: the queue in which everything is too late, without anybody having to know the number of workers
//! behind it. Can cause: a limit that follows the outage. All of these algorithms compare the present latency
//! with one that they believe to be that of an idle service; when they measured it while the service was slow,
//! slow is the measure
//! (`scenarios/policies/limit-learns-the-outage.yaml`). And refusals of short bursts that a queue would have absorbed.
//!
//! The algorithms are pure and stand apart ([`aimd`], [`gradient2`], [`gradient`], [`vegas`]); this is what
//! counts calls and applies them, as in Netflix concurrency-limits: an answer is a sample; a timeout or a
//! refusal further in, and a caller who leaves, is a drop; an error of the service itself says nothing.

pub mod aimd;
pub mod gradient;
pub mod gradient2;
pub mod vegas;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pumphandle_core::draws::{Path, Stream};
use pumphandle_core::meter::{Flow, Meter};
use pumphandle_core::time::{Time, now};
use pumphandle_core::{Answering, Call, CallError, Outcome, World};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tower::layer::layer_fn;

use crate::{Next, Policies, Policy, Settings, Surroundings, Wrong, yes};

/// Settings of an adaptive concurrency limit. With another algorithm it starts anew; with other settings of the
/// same one it keeps what it knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConcurrencyLimit {
    /// On or off. On if absent.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// How the limit is found: `aimd`, `gradient` (Envoy's), `gradient2` (Netflix's) or `vegas`.
    pub algorithm: Algorithm,
}

/// How a limit is found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(title = "algorithm")]
pub enum Algorithm {
    /// One more per answer, a tenth less per drop.
    Aimd(aimd::Aimd),
    /// By the latency against one that is measured from time to time with few calls.
    Gradient(gradient::Gradient),
    /// By the latency against its own slow average.
    Gradient2(gradient2::Gradient2),
    /// By the number of those who wait, estimated from the shortest latency.
    Vegas(vegas::Vegas),
}

impl Settings for ConcurrencyLimit {
    fn check(&self) -> Vec<Wrong> {
        let (name, wrong) = match &self.algorithm {
            Algorithm::Aimd(it) => ("aimd", it.check()),
            Algorithm::Gradient(it) => ("gradient", it.check()),
            Algorithm::Gradient2(it) => ("gradient2", it.check()),
            Algorithm::Vegas(it) => ("vegas", it.check()),
        };
        let place = |it: Wrong| Wrong::at(format!("algorithm.{name}.{}", it.path), it.message);
        wrong.into_iter().map(place).collect()
    }
}

/// What is wrong with a lowest limit, one to start with and a highest one.
fn wrong_bounds(min: u32, initial: u32, max: u32) -> Vec<Wrong> {
    if min > max {
        return vec![Wrong::at("min", format!("the lowest limit, {min}, is above the highest, {max}"))];
    }
    if !(min..=max).contains(&initial) {
        return vec![Wrong::at("initial", format!("it starts between its bounds, from {min} to {max}"))];
    }
    Vec::new()
}

/// What one call tells an algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When it ended.
    pub ended: Time,
    /// How long it took.
    pub took: Duration,
    /// How many were under way when it began, itself included.
    pub in_flight: u32,
    /// It was refused further in, or nobody waited for it any longer.
    pub dropped: bool,
}

/// An algorithm with what it remembers.
#[derive(Clone, Debug)]
enum Law {
    Aimd(u32),
    Gradient(gradient::State),
    Gradient2(gradient2::State),
    Vegas(vegas::State),
}

impl Law {
    fn new(algorithm: &Algorithm, at: Time, u: f64) -> Law {
        match algorithm {
            Algorithm::Aimd(it) => Law::Aimd(it.initial),
            Algorithm::Gradient(it) => Law::Gradient(gradient::State::new(it, at)),
            Algorithm::Gradient2(it) => Law::Gradient2(gradient2::State::new(it)),
            Algorithm::Vegas(it) => Law::Vegas(vegas::State::new(it, u)),
        }
    }

    /// The limit at `at`; none if the algorithm is another.
    fn limit(&mut self, algorithm: &Algorithm, at: Time) -> Option<u32> {
        match (self, algorithm) {
            (Law::Aimd(limit), Algorithm::Aimd(it)) => Some((*limit).min(it.max).max(it.min)),
            (Law::Gradient(state), Algorithm::Gradient(it)) => {
                state.look(it, at);
                Some(state.limit(it))
            }
            (Law::Gradient2(state), Algorithm::Gradient2(it)) => Some(state.limit(it)),
            (Law::Vegas(state), Algorithm::Vegas(it)) => Some(state.limit(it)),
            _ => None,
        }
    }

    fn update(&mut self, algorithm: &Algorithm, sample: &Sample, u: f64) {
        match (self, algorithm) {
            (Law::Aimd(limit), Algorithm::Aimd(it)) => *limit = it.next(*limit, sample),
            (Law::Gradient(state), Algorithm::Gradient(it)) => state.update(it, sample, u),
            (Law::Gradient2(state), Algorithm::Gradient2(it)) => state.update(it, sample),
            (Law::Vegas(state), Algorithm::Vegas(it)) => state.update(it, sample, u),
            _ => {}
        }
    }
}

/// The limiter of one edge or one door.
pub struct Limiter {
    state: Mutex<State>,
    world: Arc<World>,
    meter: Arc<Meter>,
    subject: u64,
}

#[derive(Default)]
struct State {
    on: Option<(ConcurrencyLimit, Law)>,
    /// Those let in, whether or not it was switched off since.
    in_flight: u32,
    /// What the meter was told last.
    shown: u64,
}

impl State {
    fn limit(&mut self, at: Time) -> Option<u32> {
        let (settings, law) = self.on.as_mut()?;
        law.limit(&settings.algorithm, at)
    }

    fn show(&mut self, meter: &Meter, limit: Option<u32>) {
        let limit = u64::from(limit.unwrap_or(0));
        meter.move_limit(self.shown, limit);
        self.shown = limit;
    }
}

impl Limiter {
    /// A limiter that is off. `subject` is the key of its draws.
    pub fn new(world: Arc<World>, meter: Arc<Meter>, subject: u64) -> Arc<Limiter> {
        Arc::new(Limiter { state: Mutex::default(), world, meter, subject })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn draw(&self, path: Path) -> f64 {
        self.world.draws.uniform(Stream::Probe, self.subject, path)
    }

    /// The settings have changed.
    pub fn changed(&self, settings: Option<&ConcurrencyLimit>) {
        let settings = settings.filter(|settings| settings.enabled).cloned();
        let mut state = self.lock();
        if settings.is_none() && state.on.is_none() {
            return;
        }
        let at = now();
        let kept = state.on.take().map(|(_, law)| law);
        state.on = settings.map(|settings| {
            let kept = kept.filter(|law| law.clone().limit(&settings.algorithm, at).is_some());
            let law = kept.unwrap_or_else(|| {
                Law::new(&settings.algorithm, at, self.draw(Path::of_arrival(at.nanos())))
            });
            (settings, law)
        });
        let limit = state.limit(at);
        state.show(&self.meter, limit);
    }

    /// Lets a call in, if there is room.
    pub fn enter(self: &Arc<Self>, path: Path) -> Option<Place> {
        let mut state = self.lock();
        let at = now();
        let limit = state.limit(at);
        state.show(&self.meter, limit);
        if limit.is_some_and(|limit| state.in_flight >= limit) {
            return None;
        }
        state.in_flight += 1;
        Some(Place {
            limiter: Arc::clone(self),
            began: at,
            in_flight: state.in_flight,
            path,
            // Whoever drops it unfinished has given up on it, as with a timeout.
            end: End::Dropped,
        })
    }

    /// The limit, and how many are under way.
    #[cfg(test)]
    fn load(&self) -> (Option<u32>, u32) {
        let mut state = self.lock();
        (state.limit(now()), state.in_flight)
    }
}

impl Drop for Limiter {
    fn drop(&mut self) {
        let meter = Arc::clone(&self.meter);
        self.state.get_mut().unwrap_or_else(PoisonError::into_inner).show(&meter, None);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Success,
    Dropped,
    Ignored,
}

impl End {
    fn of(outcome: &Outcome) -> End {
        use CallError::{DeadlineExceeded, Expired, Killed, Limited, Overloaded, PoolTimeout, Timeout};
        match outcome {
            Ok(_) => End::Success,
            Err(Timeout | DeadlineExceeded | Overloaded | PoolTimeout | Killed | Expired | Limited) => {
                End::Dropped
            }
            Err(_) => End::Ignored,
        }
    }
}

/// A call under way within a limit.
pub struct Place {
    limiter: Arc<Limiter>,
    began: Time,
    in_flight: u32,
    path: Path,
    end: End,
}

impl Place {
    /// The call has come to `outcome`.
    pub fn ended(mut self, outcome: &Outcome) {
        self.end = End::of(outcome);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Place { limiter, began, in_flight, path, end } = self;
        let ended = now();
        let mut state = limiter.lock();
        state.in_flight -= 1;
        if *end == End::Ignored {
            return;
        }
        let took = ended.since(*began);
        let sample = Sample { ended, took, in_flight: *in_flight, dropped: *end == End::Dropped };
        if let Some((settings, law)) = &mut state.on {
            law.update(&settings.algorithm, &sample, limiter.draw(*path));
        }
        let limit = state.limit(ended);
        state.show(&limiter.meter, limit);
    }
}

/// See the module.
pub struct ConcurrencyLimited {
    inner: Next,
    limiter: Arc<Limiter>,
}

/// The layer that adds a [`ConcurrencyLimited`].
pub fn layer(surroundings: &Surroundings) -> impl tower::Layer<Next, Service = ConcurrencyLimited> + use<> {
    let Surroundings { world, meter, subject, .. } = surroundings.clone();
    layer_fn(move |inner| ConcurrencyLimited {
        inner,
        limiter: Limiter::new(Arc::clone(&world), Arc::clone(&meter), subject),
    })
}

impl Policy for ConcurrencyLimited {
    fn call<'a>(&'a self, settings: &'a Policies, call: Call) -> Answering<'a> {
        if !settings.concurrency_limit.as_ref().is_some_and(|limit| limit.enabled) {
            return self.inner.call(settings, call);
        }
        Box::pin(async move {
            let Some(place) = self.limiter.enter(call.path) else {
                self.limiter.meter.count(Flow::Limited);
                return Err(CallError::Limited);
            };
            let outcome = self.inner.call(settings, call).await;
            place.ended(&outcome);
            outcome
        })
    }

    fn changed(&self, settings: &Policies) {
        self.limiter.changed(settings.concurrency_limit.as_ref());
        self.inner.changed(settings);
    }
}

#[cfg(test)]
mod tests;
