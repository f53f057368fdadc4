//! Adaptive throttling: a client that is being refused sends less, by itself.
//!
//! Prevents: a service that spends its time on refusing. A refusal is cheap and not free; when requests come
//! at many times what the service can accept, refusing all but a few of them takes all it has. Nobody on the
//! service's side can prevent that: the request has already arrived. So each client looks at its own last two
//! minutes: `requests` it wanted to send, `accepts` that the service accepted, and refuses a new one by itself
//! with probability
//!
//! > max(0, (requests - K accepts) / (requests + 1))
//!
//! (Google, "Site Reliability Engineering", 2016, chapter 21, "Handling Overload"). Where the service accepts
//! at a rate A and the clients want R > K A, what is sent settles at K A: the law "Client-side throttling" of
//! `pumphandle laws` measures it. K is how much the client still sends for each one that is accepted: with 2,
//! as many are refused by the service as are accepted, and it is noticed soon when the service can do more.
//!
//! Can cause: an outage that outlives its cause. A window that is full of refusals keeps refusing healthy
//! traffic after the service has recovered, the longer the nearer K is to 1: with K = 1 a client that saw
//! nothing accepted goes on to see hardly anything accepted. `scenarios/policies/throttle-too-strict.yaml`.
//! And it is blind where the service does not refuse but answers late: timeouts count as accepted unless
//! `on` names them.
//!
//! A request counts when its outcome is known. With those under way counted as not accepted yet, as the book's
//! words allow, a client that has just started would refuse its first users while it waits for the first
//! answers.
//!
//! It stands outside of the breaker, which would take local refusals for the service's, and inside of the
//! bulkhead, whose refusals never were requests to the service.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pumphandle_core::draws::Stream;
use pumphandle_core::meter::{Flow, Meter};
use pumphandle_core::time::{Time, now};
use pumphandle_core::{Answering, Call, CallError, Dur, World};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tower::layer::layer_fn;

use crate::retry::RetryOn;
use crate::{Next, Policies, Policy, Settings, Surroundings, Wrong, yes};

/// Settings of adaptive throttling.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Throttle {
    /// On or off. On if absent.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// How many requests are sent for each one that the service accepts, from 1 to 100. 2 if absent.
    #[serde(default = "two")]
    #[schemars(range(min = 1.0, max = 100.0))]
    pub k: f64,
    /// How far back requests and accepts are counted, such as 30s. 2m if absent.
    #[serde(default = "two_minutes")]
    pub window: Dur,
    /// The errors by which the service says that it did not accept a request. `overloaded` and `limited` if
    /// absent.
    #[serde(default = "refusals")]
    pub on: Vec<RetryOn>,
}

fn two() -> f64 {
    2.0
}

fn two_minutes() -> Dur {
    Dur(Duration::from_secs(120))
}

fn refusals() -> Vec<RetryOn> {
    vec![RetryOn::Overloaded, RetryOn::Limited]
}

impl Settings for Throttle {
    fn check(&self) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        if self.window.0.is_zero() {
            wrong.push(Wrong::at("window", "a window of 0s has nothing in it: 2m is usual"));
        }
        if self.on.is_empty() {
            wrong.push(Wrong::at("on", "without an error that counts as a refusal it would never act"));
        }
        wrong
    }
}

/// Requests and accepts of the last while, without the rest of the rig.
#[derive(Debug, Default)]
pub struct Counts {
    /// By the nanosecond in which each slice begins, which stays true when the window's length changes.
    slices: VecDeque<(u64, u64, u64)>,
    requests: u64,
    accepts: u64,
}

/// Into how many slices a window is cut, which leave it one by one.
const SLICES: u64 = 24;

impl Counts {
    /// The probability with which a request at `at` is to be refused locally.
    pub fn refuses(&mut self, at: Time, settings: &Throttle) -> f64 {
        self.forget(at, settings.window.0);
        let (requests, accepts) = (self.requests as f64, self.accepts as f64);
        ((requests - settings.k * accepts) / (requests + 1.0)).max(0.0)
    }

    /// A request that was refused, by the service or locally, or accepted.
    pub fn request(&mut self, at: Time, settings: &Throttle) {
        self.slice(at, settings.window.0).1 += 1;
        self.requests += 1;
    }

    /// A request that was accepted.
    pub fn accept(&mut self, at: Time, settings: &Throttle) {
        self.slice(at, settings.window.0).2 += 1;
        self.accepts += 1;
    }

    fn width(window: Duration) -> u64 {
        (window.as_nanos() as u64 / SLICES).max(1)
    }

    fn forget(&mut self, at: Time, window: Duration) {
        let width = Counts::width(window);
        let begin = at.nanos() - at.nanos() % width;
        while let Some(&(oldest, requests, accepts)) = self.slices.front()
            && oldest + SLICES * width <= begin
        {
            self.slices.pop_front();
            self.requests -= requests;
            self.accepts -= accepts;
        }
    }

    fn slice(&mut self, at: Time, window: Duration) -> &mut (u64, u64, u64) {
        self.forget(at, window);
        let width = Counts::width(window);
        let begin = at.nanos() - at.nanos() % width;
        // Not for one that is earlier: threads of a real run may come in another order than their instants.
        if self.slices.back().is_none_or(|&(last, ..)| last < begin) {
            self.slices.push_back((begin, 0, 0));
        }
        self.slices.back_mut().expect("a slice was just pushed if there was none")
    }
}

/// See the module.
pub struct Throttling {
    inner: Next,
    switch: Mutex<Switch>,
    world: Arc<World>,
    meter: Arc<Meter>,
    subject: u64,
}

#[derive(Default)]
struct Switch {
    counts: Counts,
    on: bool,
}

/// The layer that adds a [`Throttling`].
pub fn layer(surroundings: &Surroundings) -> impl tower::Layer<Next, Service = Throttling> + use<> {
    let Surroundings { world, meter, subject, .. } = surroundings.clone();
    layer_fn(move |inner| Throttling {
        inner,
        switch: Mutex::default(),
        world: Arc::clone(&world),
        meter: Arc::clone(&meter),
        subject,
    })
}

impl Throttling {
    fn lock(&self) -> MutexGuard<'_, Switch> {
        self.switch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tosses the coin.
    fn lets_go(&self, throttle: &Throttle, call: &Call) -> bool {
        let at = now();
        let mut switch = self.lock();
        let probability = switch.counts.refuses(at, throttle);
        let refuses = self.world.draws.chance(probability, Stream::Shed, self.subject, call.path);
        if refuses {
            switch.counts.request(at, throttle);
        }
        !refuses
    }
}

/// A request that was sent. Whoever gives up on it was not refused: it counts as accepted, unless the service
/// says otherwise.
struct Sent<'a> {
    throttling: &'a Throttling,
    throttle: &'a Throttle,
    refused: bool,
}

impl Drop for Sent<'_> {
    fn drop(&mut self) {
        let mut switch = self.throttling.lock();
        switch.counts.request(now(), self.throttle);
        if !self.refused {
            switch.counts.accept(now(), self.throttle);
        }
    }
}

impl Policy for Throttling {
    fn call<'a>(&'a self, settings: &'a Policies, call: Call) -> Answering<'a> {
        let Some(throttle) = settings.throttle.as_ref().filter(|throttle| throttle.enabled) else {
            return self.inner.call(settings, call);
        };
        Box::pin(async move {
            if !self.lets_go(throttle, &call) {
                self.meter.count(Flow::Limited);
                return Err(CallError::Limited);
            }
            let mut sent = Sent { throttling: self, throttle, refused: false };
            let outcome = self.inner.call(settings, call).await;
            sent.refused = outcome.is_err_and(|error| throttle.on.iter().any(|on| on.includes(error)));
            outcome
        })
    }

    fn changed(&self, settings: &Policies) {
        let on = settings.throttle.as_ref().is_some_and(|throttle| throttle.enabled);
        let mut switch = self.lock();
        if !(on && switch.on) {
            // Switched on again, it starts from what it sees then.
            switch.counts = Counts::default();
        }
        switch.on = on;
        drop(switch);
        self.inner.changed(settings);
    }
}

#[cfg(test)]
mod tests;
