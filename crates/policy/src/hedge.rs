//! Hedging: when an answer is late, ask once more, and take whichever comes first.
//!
//! Prevents: the long tail. Where one call in a hundred is slow by chance (a collection of garbage, a cold
//! cache, one bad replica), a second try that begins when the first is later than usual is almost always
//! faster than the rest of the first. Dean and Barroso ("The Tail at Scale", Communications of the ACM 56(2),
//! 2013) send it after the 95th percentile of the expected latency, which costs about 5 % more requests, and
//! report that a read of 1,000 values with hedges after 10 ms had its 99.9th percentile cut from 1,800 ms to
//! 74 ms at 2 % more requests.
//!
//! Can cause: a storm, by the same loop as retries, and earlier. Retries wait for a failure; hedges only for
//! slowness. With a fixed delay, the day on which *every* call is later than that is the day on which every
//! call is sent twice: load -> latency -> hedges -> load. `scenarios/policies/hedging-at-saturation.yaml`.
//! Therefore the limit on the share of calls that are hedged is on unless `share: 100%` takes it away, and a
//! delay that is a measured percentile moves with the latency. It is also wrong where a call must not be
//! done twice.
//!
//! It stands inside of retries, so that what is hedged is one attempt and not a whole series of attempts and
//! pauses, and it is told of each; and outside of everything that limits or bounds an attempt: a hedge takes
//! a place of the bulkhead and a connection of the pool, is seen by the breaker and has a timeout of its own.
//!
//! A try that has lost is dropped: its caller leaves. Whether the work stops then is for the service to say
//! (`cancel_on_disconnect`). To a breaker it is one that was given up on, and so a failure: with many hedges a
//! breaker needs a failure rate well above their share.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use pumphandle_core::meter::{Flow, Meter};
use pumphandle_core::time::{self, Order, Sleep, Time, now};
use pumphandle_core::{Answering, Call, Dur, Outcome, Share};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tower::layer::layer_fn;

use crate::{Next, Policies, Policy, Settings, Surroundings, Wrong, yes};

/// Settings of hedging: exactly one of `after` and `percentile`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hedge {
    /// On or off. On if absent.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Send another try when there is no answer after this long, such as 200ms. `percentile` decides if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Dur>,
    /// Send another try when the answer is later than this share of the edge's last thousand answers were, such
    /// as 95%. None is sent before a hundred answers are known. `after` decides if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percentile: Option<Share>,
    /// Further tries beside the first, each after the same delay again: from 1 to 10. One if absent.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 10))]
    pub at_most: u32,
    /// Hedges per call, over all calls of the edge, such as 10%. 5% if absent.
    #[serde(default = "five_percent")]
    pub share: Share,
    /// Hedges that can be saved up, from 1 to 1000000; all are there at the start. 10 if absent.
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub burst: u32,
}

fn one() -> u32 {
    1
}

fn five_percent() -> Share {
    Share(0.05)
}

fn ten() -> u32 {
    10
}

impl Settings for Hedge {
    fn check(&self) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        if self.after.is_some() == self.percentile.is_some() {
            wrong.push(Wrong::at(
                "",
                "a hedge is sent `after` a time, or after a `percentile` of the answers",
            ));
        }
        if self.after.is_some_and(|after| after.0.is_zero()) {
            wrong.push(Wrong::at("after", "after 0s every call would be sent twice at once: 200ms, say"));
        }
        if self.percentile.is_some_and(|share| share.0 <= 0.0 || share.0 >= 1.0) {
            wrong.push(Wrong::at("percentile", "a percentile lies between 0% and 100%: 95% is usual"));
        }
        wrong
    }
}

/// One hedge, in the thousandths in which the limit is kept: no share is rounded to a fraction 1/n.
const HEDGE: u64 = 1_000;
/// Latencies from which a percentile is taken.
const REMEMBERED: usize = 1_000;
/// Fewer say nothing of a tail.
const LEAST: usize = 100;
/// How many new ones before it is taken anew: sorting for every call would cost more than the call.
const STALE: usize = 50;

/// The last latencies of an edge, and a percentile of them.
#[derive(Debug, Default)]
pub struct Latencies {
    /// A ring once it is full, nanoseconds.
    last: Vec<u64>,
    next: usize,
    since_taken: usize,
    /// The share that was asked for, and the latency that was found for it.
    taken: Option<(f64, u64)>,
}

impl Latencies {
    /// Adds one.
    pub fn add(&mut self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        if self.last.len() < REMEMBERED {
            self.last.push(nanos);
        } else {
            self.last[self.next] = nanos;
            self.next = (self.next + 1) % REMEMBERED;
        }
        self.since_taken += 1;
    }

    /// The least of the remembered latencies that `share` of them do not exceed; none before there are enough.
    pub fn percentile(&mut self, share: f64) -> Option<Duration> {
        if self.last.len() < LEAST {
            return None;
        }
        let fresh = self.taken.filter(|&(of, _)| of.to_bits() == share.to_bits() && self.since_taken < STALE);
        let (_, nanos) = fresh.unwrap_or_else(|| {
            let mut sorted = self.last.clone();
            let rank = ((share * sorted.len() as f64).ceil() as usize).clamp(1, sorted.len()) - 1;
            let (_, &mut nanos, _) = sorted.select_nth_unstable(rank);
            self.since_taken = 0;
            (share, nanos)
        });
        self.taken = Some((share, nanos));
        Some(Duration::from_nanos(nanos))
    }
}

#[derive(Debug, Default)]
struct State {
    latencies: Latencies,
    /// Thousandths of a hedge that are left; none before the first call.
    left: Option<u64>,
}

/// See the module.
pub struct Hedging {
    inner: Next,
    state: Mutex<State>,
    meter: Arc<Meter>,
}

/// The layer that adds a [`Hedging`].
pub fn layer(surroundings: &Surroundings) -> impl tower::Layer<Next, Service = Hedging> + use<> {
    let meter = Arc::clone(&surroundings.meter);
    layer_fn(move |inner| Hedging { inner, state: Mutex::default(), meter: Arc::clone(&meter) })
}

impl Hedging {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call begins: it pays its share in, and learns after how long it may be hedged.
    fn begin(&self, hedge: &Hedge) -> Option<Duration> {
        let most = u64::from(hedge.burst) * HEDGE;
        let part = (hedge.share.0 * HEDGE as f64).round() as u64;
        let mut state = self.lock();
        state.left = Some((state.left.unwrap_or(most) + part).min(most));
        match (hedge.after, hedge.percentile) {
            (Some(after), _) => Some(after.0),
            (None, Some(share)) => state.latencies.percentile(share.0),
            (None, None) => None,
        }
    }

    /// Asks for one hedge.
    fn withdraw(&self) -> bool {
        let mut state = self.lock();
        let left = state.left.unwrap_or(0);
        state.left = Some(if left < HEDGE { left } else { left - HEDGE });
        drop(state);
        self.meter.count(if left < HEDGE { Flow::HedgesDenied } else { Flow::Hedges });
        left >= HEDGE
    }

    /// An answer has come. Tries that were begun earlier and are still open have taken that long at least:
    /// left out, the slow ones would be missing from the latencies, and the percentile would sink.
    fn answered(&self, hedge: &Hedge, begun: impl Iterator<Item = Time>) {
        if hedge.percentile.is_some() {
            let at = now();
            let mut state = self.lock();
            begun.for_each(|begun| state.latencies.add(at.since(begun)));
        }
    }
}

/// A try under way.
struct Try<'a> {
    begun: Time,
    /// From 0: the first try is no hedge.
    number: u32,
    answering: Answering<'a>,
}

/// One attempt with its hedges.
struct Race<'a> {
    hedging: &'a Hedging,
    hedge: &'a Hedge,
    settings: &'a Policies,
    call: Call,
    /// In the order in which they were sent, which is also the order in which they are asked.
    tries: Vec<Try<'a>>,
    /// How many have been sent.
    sent: u32,
    delay: Option<Duration>,
    next: Option<Sleep>,
}

impl<'a> Race<'a> {
    /// Sends a try. The first goes under the attempt's own key, so that a call that is never hedged is the
    /// same call as without hedging.
    fn send(&mut self) {
        let mut call = self.call.clone();
        if self.sent > 0 {
            call.path = call.path.hedge(self.sent);
            // So that a quota at the door can tell it from a first attempt.
            call.attempt += self.sent;
            self.hedging.meter.count(Flow::Attempts);
        }
        let answering = self.hedging.inner.call(self.settings, call);
        self.tries.push(Try { begun: now(), number: self.sent, answering });
        self.sent += 1;
        let delay = self.delay.filter(|_| self.sent <= self.hedge.at_most);
        self.next =
            delay.map(|delay| time::sleep(delay, Order::timeout(self.call.path.hedge(self.sent).id())));
    }

    /// The first good answer; an error only when no try is left that could do better.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        loop {
            let mut i = 0;
            while let Some(it) = self.tries.get_mut(i) {
                match it.answering.as_mut().poll(cx) {
                    Poll::Pending => i += 1,
                    Poll::Ready(Ok(reply)) => {
                        if it.number > 0 {
                            self.hedging.meter.count(Flow::HedgesWon);
                        }
                        let until_winner = self.tries[..=i].iter().map(|it| it.begun);
                        self.hedging.answered(self.hedge, until_winner);
                        return Poll::Ready(Ok(reply));
                    }
                    // A failure is no reason for a hedge: that is what retries are for.
                    Poll::Ready(Err(error)) => {
                        self.tries.remove(i);
                        if self.tries.is_empty() {
                            return Poll::Ready(Err(error));
                        }
                    }
                }
            }
            let due = self.next.as_mut().is_some_and(|next| Pin::new(next).poll(cx).is_ready());
            if !due {
                return Poll::Pending;
            }
            if self.hedging.withdraw() {
                self.send();
            } else {
                self.next = None;
            }
        }
    }
}

impl Policy for Hedging {
    fn call<'a>(&'a self, settings: &'a Policies, call: Call) -> Answering<'a> {
        let Some(hedge) = settings.hedge.as_ref().filter(|hedge| hedge.enabled) else {
            return self.inner.call(settings, call);
        };
        Box::pin(async move {
            let delay = self.begin(hedge);
            let (tries, next) = (Vec::with_capacity(1), None);
            let mut race = Race { hedging: self, hedge, settings, call, tries, sent: 0, delay, next };
            race.send();
            poll_fn(|cx| race.poll(cx)).await
        })
    }

    fn changed(&self, settings: &Policies) {
        self.inner.changed(settings);
    }
}

#[cfg(test)]
mod tests;
