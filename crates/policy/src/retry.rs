//! Retries: try again after a failure, after a pause.
//!
//! Prevents: errors that a second attempt hides, when failures are rare and independent. Can cause: the
//! retry storm. When a service is slow, every attempt that is given up on has already cost it the work, and
//! the retry costs it again: load -> latency -> timeouts -> retries -> load.
//!
//! Told to (`honour_advice`), it heeds what a service says with a refusal: it waits at least as long as it is
//! advised to, and the usual pause on top, so that those who were advised alike do not come back together; or
//! it does not try again, and passes the advice on. It never waits for an attempt that would come too late.

use std::sync::Arc;
use std::time::Duration;

use pumphandle_core::call::Advice;
use pumphandle_core::draws::{Draws, Path, Stream};
use pumphandle_core::meter::{Flow, Meter, StockName};
use pumphandle_core::time::{self, Order, Time, now};
use pumphandle_core::{Answering, Call, CallError, Dur, Outcome, Share, World};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tower::layer::layer_fn;

use crate::retry_budget::Budget;
use crate::{Next, Policies, Policy, Settings, Surroundings, Wrong, yes};

/// Settings of retries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// On or off. On if absent.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Attempts in all, the first included: from 1 to 100.
    #[schemars(range(min = 1, max = 100))]
    pub attempts: u32,
    /// The pause before each further attempt. None if absent.
    #[serde(default)]
    pub backoff: Backoff,
    /// The errors after which to try again. All but `breaker_open` and `limited` if absent.
    #[serde(default = "usual_errors")]
    pub on: Vec<RetryOn>,
    /// The share of failures that are tried again, such as 50%. All if absent.
    #[serde(default = "all")]
    pub share: Share,
    /// Heed what a refusal advises: wait at least that long, or do not try again. Advice is ignored if absent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub honour_advice: bool,
}

fn all() -> Share {
    Share(1.0)
}

fn usual_errors() -> Vec<RetryOn> {
    use RetryOn::*;
    vec![Timeout, Overloaded, PoolTimeout, Killed, Failed, Disconnected, Expired]
}

/// An error that can be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(title = "error")]
pub enum RetryOn {
    /// The attempt took too long.
    Timeout,
    /// The service had no room.
    Overloaded,
    /// The circuit breaker refused.
    BreakerOpen,
    /// No connection came free in time, at the called service.
    PoolTimeout,
    /// The called service ended the work.
    Killed,
    /// The service failed.
    Failed,
    /// The connection broke.
    Disconnected,
    /// The service dropped the work because it came too late.
    Expired,
    /// A limit on the caller's side refused.
    Limited,
}

impl RetryOn {
    /// Whether this names `error`.
    pub(crate) fn includes(self, error: CallError) -> bool {
        matches!(
            (self, error),
            (RetryOn::Timeout, CallError::Timeout)
                | (RetryOn::Overloaded, CallError::Overloaded)
                | (RetryOn::BreakerOpen, CallError::BreakerOpen)
                | (RetryOn::PoolTimeout, CallError::PoolTimeout)
                | (RetryOn::Killed, CallError::Killed)
                | (RetryOn::Failed, CallError::Failed)
                | (RetryOn::Disconnected, CallError::Disconnected)
                | (RetryOn::Expired, CallError::Expired)
                | (RetryOn::Limited, CallError::Limited)
        )
    }
}

/// The pause before an attempt. Its ceiling is `up_to`; with `first` it starts there and grows by `factor`
/// per retry until it reaches `up_to`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Backoff {
    /// The highest ceiling, such as 100ms. No pause at all if absent.
    #[serde(default)]
    pub up_to: Dur,
    /// The ceiling of the first pause; `up_to` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<Dur>,
    /// By how much the ceiling grows per retry: from 1 to 10. It doubles if absent.
    #[serde(default = "doubling")]
    #[schemars(range(min = 1.0, max = 10.0))]
    pub factor: f64,
    /// How the pause is drawn below its ceiling: `none`, `full`, `equal` or `decorrelated`. Full if absent.
    #[serde(default)]
    pub jitter: Jitter,
}

fn doubling() -> f64 {
    2.0
}

/// No pause.
impl Default for Backoff {
    fn default() -> Backoff {
        Backoff { up_to: Dur::default(), first: None, factor: doubling(), jitter: Jitter::default() }
    }
}

/// How a pause is drawn below its ceiling. Brooker, "Exponential backoff and jitter", AWS Architecture
/// Blog, 2015.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Jitter {
    /// The ceiling itself.
    None,
    /// Uniform from zero to the ceiling.
    #[default]
    Full,
    /// Half the ceiling, and uniform up to the other half.
    Equal,
    /// Uniform from `first` to three times the previous pause, at most `up_to`.
    Decorrelated,
}

impl Settings for Retry {
    fn check(&self) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        let backoff = &self.backoff;
        if let Some(first) = backoff.first
            && first > backoff.up_to
        {
            let message = format!("the first pause, {first}, is above the ceiling up_to, {}", backoff.up_to);
            wrong.push(Wrong::at("backoff.first", message));
        }
        if backoff.jitter == Jitter::Decorrelated && backoff.first.is_none() {
            wrong.push(Wrong::at("backoff.jitter", "decorrelated jitter starts from `first`: add it"));
        }
        wrong
    }
}

impl Backoff {
    /// The pause before retry `retry` (from 1), given the one before it and a uniform draw.
    pub fn pause(&self, retry: u32, previous: Duration, u: f64) -> Duration {
        let most = self.up_to.0.as_nanos() as f64;
        let first = self.first.map_or(most, |dur| dur.0.as_nanos() as f64);
        let ceiling = (1..retry).fold(first, |ceiling, _| (ceiling * self.factor).min(most)).min(most);
        let nanos = match self.jitter {
            Jitter::None => ceiling,
            Jitter::Full => ceiling * u,
            Jitter::Equal => ceiling / 2.0 + ceiling / 2.0 * u,
            Jitter::Decorrelated => {
                let previous = (previous.as_nanos() as f64).max(first);
                (first + (3.0 * previous - first) * u).min(most)
            }
        };
        Duration::from_nanos(nanos.round() as u64)
    }
}

/// See the module.
pub struct Retrying {
    inner: Next,
    budget: Budget,
    world: Arc<World>,
    meter: Arc<Meter>,
    subject: u64,
}

/// The layer that adds a [`Retrying`].
pub fn layer(surroundings: &Surroundings) -> impl tower::Layer<Next, Service = Retrying> + use<> {
    let Surroundings { world, meter, subject, .. } = surroundings.clone();
    layer_fn(move |inner| Retrying {
        inner,
        budget: Budget::default(),
        world: Arc::clone(&world),
        meter: Arc::clone(&meter),
        subject,
    })
}

impl Retrying {
    async fn attempts(&self, retry: &Retry, settings: &Policies, call: Call) -> Outcome {
        let budget = settings.retry_budget.as_ref();
        let heeding = retry.honour_advice.then(|| Heeding::new(settings, &call));
        let mut under_way = self.budget.begin(budget);
        let mut pause = Duration::ZERO;
        let mut attempt = 0;
        loop {
            let path = call.path.attempt(attempt);
            self.meter.count(Flow::Attempts);
            let mut one = Call { path, attempt, ..call.clone() };
            let advice = heeding.as_ref().map(|_| Arc::clone(one.advice.insert(Arc::default())));
            let outcome = self.inner.call(settings, one).await;
            let error = match outcome {
                Ok(reply) => {
                    under_way.succeeded(budget);
                    return Ok(reply);
                }
                Err(error) => error,
            };
            attempt += 1;
            let advice = advice.and_then(|slot| slot.read()).filter(|_| error.is_refusal());
            if attempt >= retry.attempts || !self.tries_again(retry, error, path) {
                pass_on(&call, advice);
                return Err(error);
            }
            let advised = match heeding.as_ref().map_or(Ok(Duration::ZERO), |it| it.wait(advice)) {
                Ok(wait) => wait,
                Err(NoSense) => {
                    self.meter.count(Flow::AdviceHeeded);
                    pass_on(&call, advice);
                    return Err(error);
                }
            };
            if !under_way.withdraw(budget) {
                self.meter.count(Flow::BudgetDenied);
                return Err(error);
            }
            let draws: &Draws = &self.world.draws;
            pause = retry.backoff.pause(attempt, pause, draws.uniform(Stream::Backoff, self.subject, path));
            if !advised.is_zero() {
                self.meter.count(Flow::AdviceHeeded);
            }
            let wait = advised + pause;
            if !wait.is_zero() {
                let _waiting = self.meter.stock(StockName::BackingOff).inside();
                time::sleep(wait, Order::timeout(path.id())).await;
            }
            self.meter.count(Flow::Retries);
        }
    }

    fn tries_again(&self, retry: &Retry, error: CallError, path: Path) -> bool {
        retry.on.iter().any(|on| on.includes(error))
            && (retry.share.0 >= 1.0
                || self.world.draws.chance(retry.share.0, Stream::RetryShare, self.subject, path))
    }
}

/// What a call that heeds advice has to know.
struct Heeding {
    /// After this instant no attempt makes sense.
    until: Time,
}

/// Another attempt would be against the advice, or too late.
struct NoSense;

impl Heeding {
    /// A call that begins now. The deadline of the whole began with it: it stands right around the retries.
    fn new(settings: &Policies, call: &Call) -> Heeding {
        let own = settings.deadline.and_then(|it| it.limit()).map(|limit| now() + limit);
        Heeding { until: own.into_iter().chain(call.deadline).min().unwrap_or(Time::MAX) }
    }

    /// How long to wait at least.
    fn wait(&self, advice: Option<Advice>) -> Result<Duration, NoSense> {
        match advice {
            None => Ok(Duration::ZERO),
            Some(Advice::RetryAfter(time)) if now() + time < self.until => Ok(time),
            Some(_) => Err(NoSense),
        }
    }
}

/// Leaves advice that came with a call's last refusal for whoever waits further out.
fn pass_on(call: &Call, advice: Option<Advice>) {
    if let (Some(slot), Some(advice)) = (&call.advice, advice) {
        slot.leave(advice);
    }
}

impl Policy for Retrying {
    fn call<'a>(&'a self, settings: &'a Policies, call: Call) -> Answering<'a> {
        self.meter.count(Flow::Calls);
        match settings.retry.as_ref().filter(|retry| retry.enabled && retry.attempts > 1) {
            Some(retry) => Box::pin(self.attempts(retry, settings, call)),
            None => {
                self.meter.count(Flow::Attempts);
                self.inner.call(settings, Policies::first_attempt(call))
            }
        }
    }

    fn changed(&self, settings: &Policies) {
        self.inner.changed(settings);
    }
}

#[cfg(test)]
mod tests;
