//! What travels along the call graph, what comes back, and who still waits for it.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::draws::Path;
use crate::time::Time;

/// One call to one service.
#[derive(Clone, Debug)]
pub struct Call {
    /// The user request that this call belongs to, numbered from 0.
    pub arrival: u64,
    /// The call's place in the arrival's tree of calls: the key of its draws.
    pub path: Path,
    /// Which attempt of its call this is, from 0: what an edge can be told of retries.
    pub attempt: u32,
    /// What kind of request the arrival is; every call that it causes is of the same.
    pub class: Class,
    /// How bad it is to refuse it; every call that it causes is as critical.
    pub criticality: Criticality,
    /// After this instant nobody wants the answer. Only set where a policy propagates deadlines.
    pub deadline: Option<Time>,
    /// The service ends the work after this long (a database's statement timeout).
    pub kill_after: Option<Duration>,
    /// Who waits for the answer, up to the user.
    pub caller: Option<Arc<Exchange>>,
    /// Where a refusal's advice is left, for a caller that would heed it. A call that a service makes on behalf
    /// of another has the same place unless somebody in between heeds advice: so it is passed on.
    pub advice: Option<Arc<AdviceSlot>>,
}

impl Call {
    /// A user request, before anybody has handled it.
    pub fn arriving(arrival: u64) -> Call {
        Call {
            arrival,
            path: Path::of_arrival(arrival),
            attempt: 0,
            class: Class::default(),
            criticality: Criticality::default(),
            deadline: None,
            kill_after: None,
            caller: None,
            advice: None,
        }
    }
}

/// A class of requests, by its number in the scenario's order. Where there are no classes all are of the
/// first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Class(pub u8);

/// How bad it is to refuse a request: the four words of Google's "Site Reliability Engineering", 2016, chapter
/// 21. In the order of importance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(title = "criticality")]
pub enum Criticality {
    /// May be refused often, and for good.
    Sheddable,
    /// May be refused for a while: a batch that tries again in minutes or hours.
    SheddablePlus,
    /// Refusing it is seen by users. What is not said to be anything else.
    #[default]
    Critical,
    /// The most important.
    CriticalPlus,
}

impl Criticality {
    /// All of them, the least important first.
    pub const ALL: [Criticality; 4] = [
        Criticality::Sheddable,
        Criticality::SheddablePlus,
        Criticality::Critical,
        Criticality::CriticalPlus,
    ];

    /// The name in files and on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Criticality::Sheddable => "sheddable",
            Criticality::SheddablePlus => "sheddable_plus",
            Criticality::Critical => "critical",
            Criticality::CriticalPlus => "critical_plus",
        }
    }

    /// The one of this name.
    pub fn from_name(name: &str) -> Option<Criticality> {
        Criticality::ALL.into_iter().find(|it| it.name() == name)
    }
}

/// A correct answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// A fallback answered: correct, but not what was asked for.
    pub degraded: bool,
}

/// Why there is no answer. Small and closed: every layer understands every error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum CallError {
    /// The caller waited as long as it wanted to.
    Timeout = 1,
    /// The deadline of the whole request has passed.
    DeadlineExceeded = 2,
    /// The service has no room: its queue is full, or it sheds load.
    Overloaded = 3,
    /// A circuit breaker refused to try.
    BreakerOpen = 4,
    /// No connection of the pool came free in time.
    PoolTimeout = 5,
    /// The service ended the work because it took too long.
    Killed = 6,
    /// The service failed.
    Failed = 7,
    /// The connection broke: the service restarted or went away.
    Disconnected = 8,
    /// Work that nobody waited for was dropped.
    Expired = 9,
    /// A limit on the caller's side refused to send: a rate limit, a bulkhead, a throttle.
    Limited = 10,
}

impl CallError {
    /// Every error, for tables and schemas.
    pub const ALL: [CallError; 10] = [
        CallError::Timeout,
        CallError::DeadlineExceeded,
        CallError::Overloaded,
        CallError::BreakerOpen,
        CallError::PoolTimeout,
        CallError::Killed,
        CallError::Failed,
        CallError::Disconnected,
        CallError::Expired,
        CallError::Limited,
    ];

    /// The name used in scenario files, metrics and on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            CallError::Timeout => "timeout",
            CallError::DeadlineExceeded => "deadline_exceeded",
            CallError::Overloaded => "overloaded",
            CallError::BreakerOpen => "breaker_open",
            CallError::PoolTimeout => "pool_timeout",
            CallError::Killed => "killed",
            CallError::Failed => "failed",
            CallError::Disconnected => "disconnected",
            CallError::Expired => "expired",
            CallError::Limited => "limited",
        }
    }

    /// The error of this name.
    pub fn from_name(name: &str) -> Option<CallError> {
        CallError::ALL.into_iter().find(|error| error.name() == name)
    }
}

impl CallError {
    /// Whether it is a refusal, which may come with [`Advice`].
    pub const fn is_refusal(self) -> bool {
        matches!(self, CallError::Overloaded | CallError::Limited)
    }
}

impl std::fmt::Display for CallError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::error::Error for CallError {}

/// What a service that refuses advises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Come back after this long, in whole milliseconds.
    RetryAfter(Duration),
    /// Do not try again.
    DoNotRetry,
}

/// A place for advice beside a refusal. It is not part of the error: every layer between refusal and retry
/// knows the error alone, and most need to know no more.
#[derive(Debug, Default)]
pub struct AdviceSlot(AtomicU64);

impl AdviceSlot {
    const DO_NOT_RETRY: u64 = u64::MAX;

    /// Leaves advice. The last word counts.
    pub fn leave(&self, advice: Advice) {
        let number = match advice {
            Advice::DoNotRetry => AdviceSlot::DO_NOT_RETRY,
            // One more than the milliseconds: zero is no advice.
            Advice::RetryAfter(time) => {
                u64::try_from(time.as_millis()).unwrap_or(u64::MAX).saturating_add(1).min(u64::MAX - 1)
            }
        };
        self.0.store(number, Ordering::Relaxed);
    }

    /// What was left, if anything.
    pub fn read(&self) -> Option<Advice> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            AdviceSlot::DO_NOT_RETRY => Some(Advice::DoNotRetry),
            more => Some(Advice::RetryAfter(Duration::from_millis(more - 1))),
        }
    }
}

/// What a call came to.
pub type Outcome = Result<Reply, CallError>;

/// A call under way. Dropping it is how a caller leaves.
pub type Answering<'a> = Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// Anything that answers calls: a service, or the wire to one.
pub trait Service: Send + Sync {
    /// Answers `call`. The caller leaves by dropping the future.
    fn call(&self, call: Call) -> Answering<'_>;
}

/// The point where a caller's waiting and a service's work meet. The work may outlive the caller's
/// patience: that is the engine of a retry storm.
#[derive(Debug)]
pub struct Exchange {
    gone_at: AtomicU64,
    parent: Option<Arc<Exchange>>,
    slot: Mutex<Slot>,
}

#[derive(Debug, Default)]
struct Slot {
    outcome: Option<Outcome>,
    waker: Option<Waker>,
}

impl Exchange {
    /// A new one, on behalf of `parent`.
    pub fn new(parent: Option<Arc<Exchange>>) -> Arc<Exchange> {
        Arc::new(Exchange { gone_at: AtomicU64::new(u64::MAX), parent, slot: Mutex::default() })
    }

    /// The caller has left. Only the first departure counts.
    pub fn leave(&self, at: Time) {
        self.gone_at.fetch_min(at.nanos(), Ordering::Relaxed);
    }

    /// Since when nobody up to the user waits along this chain; [`Time::MAX`] while somebody does.
    pub fn gone_since(&self) -> Time {
        let mut earliest = self.gone_at.load(Ordering::Relaxed);
        let mut next = &self.parent;
        while let Some(exchange) = next {
            earliest = earliest.min(exchange.gone_at.load(Ordering::Relaxed));
            next = &exchange.parent;
        }
        Time::from_nanos(earliest)
    }

    /// The work's end: hands the outcome to the caller, if it still waits.
    pub fn answer(&self, outcome: Outcome) {
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        slot.outcome.get_or_insert(outcome);
        let waker = slot.waker.take();
        drop(slot);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Waits for the outcome, as the caller.
    pub fn poll_answer(&self, cx: &mut Context<'_>) -> Poll<Outcome> {
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        match slot.outcome {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                if slot.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                    return Poll::Pending;
                }
                let old = slot.waker.replace(cx.waker().clone());
                // Wakers go outside of the lock: the last one of a task may have a destructor.
                drop(slot);
                drop(old);
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Nobody waits for work once anybody above has left, and the first departure is the one that counts.
        #[test]
        fn a_chain_is_gone_since_the_earliest_departure_above(
            departures in prop::collection::vec(prop::collection::vec(0_u64..100, 0..3), 1..6),
        ) {
            let mut chain = None;
            let mut earliest = Time::MAX;
            for times in &departures {
                let exchange = Exchange::new(chain.take());
                for &at in times {
                    exchange.leave(Time::from_nanos(at));
                    earliest = earliest.min(Time::from_nanos(at));
                }
                prop_assert_eq!(exchange.gone_since(), earliest);
                chain = Some(exchange);
            }
        }
    }

    #[test]
    fn the_first_answer_is_the_one_the_caller_gets_whoever_comes_first() {
        let mut cx = Context::from_waker(Waker::noop());
        let exchange = Exchange::new(None);
        assert!(exchange.poll_answer(&mut cx).is_pending());
        exchange.answer(Err(CallError::Disconnected));
        exchange.answer(Ok(Reply::default()));
        assert_eq!(exchange.poll_answer(&mut cx), Poll::Ready(Err(CallError::Disconnected)));
    }

    #[test]
    fn an_answer_from_another_task_wakes_the_caller() {
        use crate::time::{self, Order, now, simulate};
        let exchange = Exchange::new(None);
        let answered = simulate(async {
            let work = Arc::clone(&exchange);
            time::spawn("work", async move {
                time::sleep(Duration::from_nanos(5), Order::completion(0)).await;
                work.answer(Ok(Reply::default()));
            });
            (std::future::poll_fn(|cx| exchange.poll_answer(cx)).await, now())
        });
        assert_eq!(answered, Ok((Ok(Reply::default()), Time::from_nanos(5))));
    }

    #[test]
    fn advice_is_read_as_it_was_left() {
        let slot = AdviceSlot::default();
        assert_eq!(slot.read(), None);
        for advice in [0, 1, 2_500, u64::MAX / 2].map(|ms| Advice::RetryAfter(Duration::from_millis(ms))) {
            slot.leave(advice);
            assert_eq!(slot.read(), Some(advice));
        }
        slot.leave(Advice::DoNotRetry);
        assert_eq!(slot.read(), Some(Advice::DoNotRetry));
        slot.leave(Advice::RetryAfter(Duration::MAX));
        assert!(matches!(slot.read(), Some(Advice::RetryAfter(_))), "for ever is not never");
    }

    #[test]
    fn every_error_has_a_name_of_its_own_and_is_found_by_it() {
        assert!(CallError::ALL.into_iter().all(|error| CallError::from_name(error.name()) == Some(error)));
        assert_eq!(CallError::from_name("weather"), None);
    }
}
