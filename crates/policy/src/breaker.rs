//! Circuit breaker: stop calling a service that fails, try it again now and then.
//!
//! Prevents: the retry storm, by cutting the loop at its fastest link. Can cause: an outage of its own, when
//! it opens for a part of the traffic and refuses all of it, or when its half-open probes are too few to be
//! representative. *Closed* lets calls through, *open* refuses them, *half-open* lets a few through to see.
//!
//! The state machine takes the time as an argument and knows nothing of calls; the policy applies it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pumphandle_core::events::EventKind;
use pumphandle_core::meter::{BreakerState, Flow, Meter};
use pumphandle_core::time::{Time, now};
use pumphandle_core::{Answering, Call, CallError, Dur, Outcome, Reply, Share, World};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tower::layer::layer_fn;

use crate::{Next, Policies, Policy, Settings, Surroundings, Wrong, yes};

/// Settings of a circuit breaker. At least one of `failure_rate`, `consecutive` and `slow` trips it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Breaker {
    /// On or off. On if absent.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Opens when this share of the window's calls failed, such as 50%. No rate opens it if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_rate: Option<Share>,
    /// Opens after this many failures in a row, from 1 to 1000000. No row opens it if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub consecutive: Option<u32>,
    /// Opens after this many failures within the window, successes notwithstanding: from 1 to 1000000. No
    /// number opens it if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub failures: Option<u32>,
    /// Opens when too many calls are slow, whether or not they fail. Slowness does not open it if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow: Option<Slow>,
    /// How far back calls count, such as 10s, which it is if absent.
    #[serde(default = "ten_seconds")]
    pub window: Dur,
    /// No rate opens it before this many calls are in the window: from 1 to 1000000, 10 if absent.
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub minimum: u32,
    /// How long it refuses before it lets probes through, such as 5s, which it is if absent.
    #[serde(default = "five_seconds")]
    pub open_for: Dur,
    /// Calls let through when half-open, from 1 to 100000; their results decide. If some have not ended
    /// `open_for` after the last began, as many again may try: calls that hang must not keep it half-open for
    /// ever. 10 if absent.
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 100_000))]
    pub probes: u32,
    /// Answer with a default value instead of an error while refusing. Errors if absent.
    #[serde(default)]
    pub fallback: bool,
}

fn ten() -> u32 {
    10
}

fn ten_seconds() -> Dur {
    Dur(Duration::from_secs(10))
}

fn five_seconds() -> Dur {
    Dur(Duration::from_secs(5))
}

/// When calls are slow, and how many of them are too many.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Slow {
    /// A call longer than this is slow, such as 500ms.
    pub over: Dur,
    /// Opens when this share of the window's calls was slow, such as 80%.
    pub rate: Share,
}

impl Settings for Breaker {
    fn check(&self) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        if self.failure_rate.is_none()
            && self.consecutive.is_none()
            && self.failures.is_none()
            && self.slow.is_none()
        {
            let message =
                "nothing would ever open it: add `failure_rate`, `consecutive`, `failures` or `slow`";
            wrong.push(Wrong::at("", message));
        }
        for (field, share) in
            [("failure_rate", self.failure_rate), ("slow.rate", self.slow.as_ref().map(|slow| slow.rate))]
        {
            if share.is_some_and(|share| share.0 <= 0.0) {
                wrong.push(Wrong::at(field, "a rate of zero would open it at once"));
            }
        }
        if self.window.0.is_zero() {
            wrong.push(Wrong::at("window", "a window has a length"));
        }
        wrong
    }
}

/// How a call went, as far as a breaker cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Result {
    /// It failed.
    pub failed: bool,
    /// How long it took.
    pub took: Duration,
}

/// The state machine: pure, timed by its arguments.
#[derive(Debug, Default)]
pub struct Machine {
    phase: Phase,
    /// Distinguishes each phase from all others: results that come after the end of the phase in which
    /// their call was admitted must not count.
    number: u64,
    window: Window,
    consecutive: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Closed,
    Open {
        until: Time,
    },
    HalfOpen {
        admitted: u32,
        results: u32,
        failed: u32,
        /// When the last probe was admitted.
        last: Time,
    },
}

/// Permission to try, in the phase of this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(u64);

impl Machine {
    /// Its state at `at`, in the electrical sense.
    pub fn state(&self) -> BreakerState {
        match self.phase {
            Phase::Closed => BreakerState::Closed,
            Phase::Open { .. } => BreakerState::Open,
            Phase::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// Whether a call may try now.
    pub fn admit(&mut self, settings: &Breaker, at: Time) -> Option<Ticket> {
        if let Phase::Open { until } = self.phase
            && at >= until
        {
            self.enter(Phase::HalfOpen { admitted: 0, results: 0, failed: 0, last: at });
        }
        // The number of probes may have been lowered to what there are results for.
        self.conclude(settings, at);
        match &mut self.phase {
            Phase::Closed => {}
            Phase::Open { .. } => return None,
            Phase::HalfOpen { admitted, last, .. } => {
                if *admitted >= settings.probes {
                    if at < *last + settings.open_for.0 {
                        return None;
                    }
                    *admitted = 0;
                }
                *admitted += 1;
                *last = at;
            }
        }
        Some(Ticket(self.number))
    }

    /// A call that was admitted has ended.
    pub fn record(&mut self, settings: &Breaker, ticket: Ticket, at: Time, result: Result) {
        if ticket != Ticket(self.number) {
            // It was admitted in a phase that is over: it says nothing about this one.
            return;
        }
        let slow = settings.slow.as_ref().is_some_and(|slow| result.took > slow.over.0);
        match &mut self.phase {
            Phase::Closed => {
                self.consecutive = if result.failed { self.consecutive + 1 } else { 0 };
                self.window.push(at, settings.window.0, result.failed, slow);
                if self.trips(settings) {
                    self.enter(Phase::Open { until: at + settings.open_for.0 });
                }
            }
            Phase::HalfOpen { results, failed, .. } => {
                *results += 1;
                *failed += u32::from(result.failed || slow);
                self.conclude(settings, at);
            }
            Phase::Open { .. } => {}
        }
    }

    /// As new, except that results of earlier calls still do not count.
    pub fn reset(&mut self) {
        self.enter(Phase::Closed);
    }

    /// Ends the half-open phase once there are results enough.
    fn conclude(&mut self, settings: &Breaker, at: Time) {
        let Phase::HalfOpen { results, failed, .. } = self.phase else { return };
        if results < settings.probes {
            return;
        }
        let bearable = settings.failure_rate.map_or(0.0, |rate| rate.0);
        let closes = failed == 0 || share(failed, results) < bearable;
        self.enter(if closes { Phase::Closed } else { Phase::Open { until: at + settings.open_for.0 } });
    }

    fn enter(&mut self, phase: Phase) {
        *self = Machine { phase, number: self.number + 1, ..Machine::default() };
    }

    fn trips(&self, settings: &Breaker) -> bool {
        let Totals { calls, failed, slow } = self.window.totals;
        let rate = |part: u32, rate: Option<Share>| {
            calls >= settings.minimum && rate.is_some_and(|rate| share(part, calls) >= rate.0)
        };
        settings.consecutive.is_some_and(|most| self.consecutive >= most)
            || settings.failures.is_some_and(|most| failed >= most)
            || rate(failed, settings.failure_rate)
            || rate(slow, settings.slow.as_ref().map(|slow| slow.rate))
    }
}

/// A division, because a product with the rate would be rounded to above the count: 7 of 100 are 7 %.
fn share(part: u32, of: u32) -> f64 {
    f64::from(part) / f64::from(of)
}

/// Counts over the last while, in ten slices that leave one by one.
#[derive(Debug, Default)]
struct Window {
    /// By the nanosecond in which each begins, which stays true when the window's length changes.
    slices: VecDeque<(u64, Totals)>,
    totals: Totals,
}

#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    calls: u32,
    failed: u32,
    slow: u32,
}

const SLICES: u64 = 10;

impl Window {
    fn push(&mut self, at: Time, window: Duration, failed: bool, slow: bool) {
        let width = (window.as_nanos() as u64 / SLICES).max(1);
        let begin = at.nanos() - at.nanos() % width;
        while let Some(&(oldest, slice)) = self.slices.front()
            && oldest + SLICES * width <= begin
        {
            self.slices.pop_front();
            self.totals.calls -= slice.calls;
            self.totals.failed -= slice.failed;
            self.totals.slow -= slice.slow;
        }
        // Not for one that is earlier: threads of a real run may come in another order than their instants.
        if self.slices.back().is_none_or(|&(last, _)| last < begin) {
            self.slices.push_back((begin, Totals::default()));
        }
        let (_, slice) = self.slices.back_mut().expect("a slice was just pushed if there was none");
        for totals in [slice, &mut self.totals] {
            totals.calls += 1;
            totals.failed += u32::from(failed);
            totals.slow += u32::from(slow);
        }
    }
}

/// See the module.
pub struct Breaking {
    inner: Next,
    switch: Mutex<Switch>,
    world: Arc<World>,
    meter: Arc<Meter>,
    service: u8,
}

#[derive(Default)]
struct Switch {
    machine: Machine,
    /// Calls that entered before it was switched off go on by the settings they entered with. What they do
    /// to the machine then is nobody else's concern.
    on: bool,
}

/// The layer that adds a [`Breaking`].
pub fn layer(surroundings: &Surroundings) -> impl tower::Layer<Next, Service = Breaking> + use<> {
    let Surroundings { world, meter, service, .. } = surroundings.clone();
    layer_fn(move |inner| Breaking {
        inner,
        switch: Mutex::default(),
        world: Arc::clone(&world),
        meter: Arc::clone(&meter),
        service,
    })
}

impl Breaking {
    fn with_machine<T>(&self, change: impl FnOnce(&mut Machine) -> T) -> T {
        let mut switch = self.lock();
        let before = switch.machine.state();
        let value = change(&mut switch.machine);
        let after = switch.machine.state();
        // Under the lock: the log and the meter must see changes in the order in which they happened.
        if before != after && switch.on {
            self.world.record(EventKind::Breaker, self.service, after as u64, 0);
            self.meter.set_breaker(after);
        }
        value
    }

    fn lock(&self) -> MutexGuard<'_, Switch> {
        self.switch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refuse(&self, settings: &Breaker) -> Outcome {
        self.meter.count(Flow::BreakerRefused);
        if settings.fallback {
            self.meter.count(Flow::Fallbacks);
            Ok(Reply { degraded: true })
        } else {
            Err(CallError::BreakerOpen)
        }
    }
}

/// An admitted call; one that is dropped unfinished counts as failed, since its caller gave up on it.
struct Trial<'a> {
    breaking: &'a Breaking,
    settings: &'a Breaker,
    ticket: Ticket,
    began: Time,
    failed: bool,
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        let at = now();
        let result = Result { failed: self.failed, took: at.since(self.began) };
        self.breaking.with_machine(|machine| machine.record(self.settings, self.ticket, at, result));
    }
}

impl Policy for Breaking {
    fn call<'a>(&'a self, settings: &'a Policies, call: Call) -> Answering<'a> {
        let Some(breaker) = settings.breaker.as_ref().filter(|breaker| breaker.enabled) else {
            return self.inner.call(settings, call);
        };
        Box::pin(async move {
            let began = now();
            let Some(ticket) = self.with_machine(|machine| machine.admit(breaker, began)) else {
                return self.refuse(breaker);
            };
            let mut trial = Trial { breaking: self, settings: breaker, ticket, began, failed: true };
            let outcome = self.inner.call(settings, call).await;
            trial.failed = outcome.is_err();
            outcome
        })
    }

    fn changed(&self, settings: &Policies) {
        let on = settings.breaker.as_ref().is_some_and(|breaker| breaker.enabled);
        let mut switch = self.lock();
        if !(on && switch.on) {
            switch.machine.reset();
        }
        switch.on = on;
        self.meter.set_breaker(if on { switch.machine.state() } else { BreakerState::Absent });
        drop(switch);
        self.inner.changed(settings);
    }
}

#[cfg(test)]
mod tests;
