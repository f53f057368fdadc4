//! For the tests of policies: an innermost policy that answers as told and remembers what it was asked, and
//! a chain around it whose settings can be changed under way, as an edge's can.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pumphandle_core::events::EventLog;
use pumphandle_core::gate::{Gate, Rules};
use pumphandle_core::meter::{BreakerState, Flow, Meter, StockName, StockReading};
use pumphandle_core::time::{self, Order, now, simulate};
use pumphandle_core::{Answering, Call, CallError, Live, Outcome, Reply, Time, World};

use crate::{Next, Policies, Policy, Surroundings, shelf};

/// A correct answer.
pub(crate) const FINE: Outcome = Ok(Reply { degraded: false });
/// Longer than any run.
pub(crate) const NEVER: Duration = Duration::MAX;

pub(crate) fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// An instant, in milliseconds since the start.
pub(crate) fn at_ms(n: u64) -> Time {
    Time::ZERO + millis(n)
}

pub(crate) async fn pass(span: Duration) {
    time::sleep(span, Order::timeline(0)).await;
}

/// Settings as a scenario file would have them.
pub(crate) fn policies(json: &str) -> Policies {
    serde_json::from_str(json).unwrap_or_else(|wrong| panic!("{wrong} in {json}"))
}

type Answer = Box<dyn Fn(usize, &Call) -> (Duration, Outcome) + Send + Sync>;

/// The innermost policy: what comes after how long, by the number of the call (from 0) and the call itself.
#[derive(Clone)]
pub(crate) struct Script(Arc<Inner>);

struct Inner {
    answer: Answer,
    asked: Mutex<Vec<(Time, Call)>>,
    active: AtomicUsize,
    peak: AtomicUsize,
}

impl Script {
    pub(crate) fn new(
        answer: impl Fn(usize, &Call) -> (Duration, Outcome) + Send + Sync + 'static,
    ) -> Script {
        Script(Arc::new(Inner {
            answer: Box::new(answer),
            asked: Mutex::default(),
            active: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
        }))
    }

    /// The same answer to everything.
    pub(crate) fn always(after: Duration, outcome: Outcome) -> Script {
        Script::new(move |_, _| (after, outcome))
    }

    /// These, one after another; then correct answers at once.
    pub(crate) fn list(steps: Vec<(Duration, Outcome)>) -> Script {
        Script::new(move |n, _| steps.get(n).copied().unwrap_or((Duration::ZERO, FINE)))
    }

    /// Every call that came, and when.
    pub(crate) fn asked(&self) -> Vec<(Time, Call)> {
        self.0.asked.lock().unwrap().clone()
    }

    pub(crate) fn times(&self) -> Vec<Time> {
        self.asked().into_iter().map(|(at, _)| at).collect()
    }

    /// Calls under way now.
    pub(crate) fn active(&self) -> usize {
        self.0.active.load(Ordering::Relaxed)
    }

    /// The most calls that ever were under way at a time.
    pub(crate) fn peak(&self) -> usize {
        self.0.peak.load(Ordering::Relaxed)
    }
}

/// A call under way, which a caller may drop.
struct UnderWay<'a>(&'a Inner);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Policy for Script {
    fn call<'a>(&'a self, _: &'a Policies, call: Call) -> Answering<'a> {
        Box::pin(async move {
            let inner = &*self.0;
            let active = inner.active.fetch_add(1, Ordering::Relaxed) + 1;
            inner.peak.fetch_max(active, Ordering::Relaxed);
            let _under_way = UnderWay(inner);
            let number = {
                let mut asked = inner.asked.lock().unwrap();
                asked.push((now(), call.clone()));
                asked.len() - 1
            };
            let (after, outcome) = (inner.answer)(number, &call);
            time::sleep(after, Order::completion(call.path.id())).await;
            outcome
        })
    }

    fn changed(&self, _: &Policies) {}
}

/// What a policy is given in tests.
pub(crate) fn surroundings() -> Surroundings {
    let pool = Arc::new(Gate::new(Rules::default()));
    Surroundings { world: World::new(1, true), meter: Arc::default(), subject: 7, service: 3, pool }
}

/// The whole shelf around a script.
pub(crate) struct Rig {
    chain: Next,
    settings: Live<Policies>,
    pub(crate) script: Script,
    pub(crate) meter: Arc<Meter>,
    pub(crate) world: Arc<World>,
}

impl Rig {
    pub(crate) fn new(json: &str, script: &Script) -> Arc<Rig> {
        let surroundings = surroundings();
        let chain = shelf::chain(&surroundings, Box::new(script.clone()));
        let Surroundings { world, meter, .. } = surroundings;
        let settings = Live::new(Policies::default());
        let rig = Rig { chain, settings, script: script.clone(), meter, world };
        rig.set(json);
        Arc::new(rig)
    }

    /// New settings, for everyone who enters from now on.
    pub(crate) fn set(&self, json: &str) {
        let new = policies(json);
        self.settings.publish(new.clone());
        self.chain.changed(&new);
    }

    pub(crate) async fn send(&self, call: Call) -> Outcome {
        let settings = self.settings.snapshot();
        self.chain.call(&settings, call).await
    }

    pub(crate) async fn call(&self, arrival: u64) -> Outcome {
        self.send(Call::arriving(arrival)).await
    }

    /// A call whose caller leaves after `patience`.
    pub(crate) async fn call_for(&self, arrival: u64, patience: Duration) -> Option<Outcome> {
        time::timeout(patience, Order::sample(arrival), self.call(arrival)).await.ok()
    }

    /// `n` calls, one every `gap`, and what each came to once all have.
    pub(crate) async fn many(self: &Arc<Self>, n: u64, gap: Duration) -> Vec<Outcome> {
        let done = Arc::new(tokio::sync::Semaphore::new(0));
        let outcomes: Arc<Mutex<Vec<Option<Outcome>>>> = Arc::new(Mutex::new(vec![None; n as usize]));
        for i in 0..n {
            let (rig, done, outcomes) = (Arc::clone(self), Arc::clone(&done), Arc::clone(&outcomes));
            time::spawn("a caller", async move {
                let outcome = rig.call(i).await;
                outcomes.lock().unwrap()[i as usize] = Some(outcome);
                done.add_permits(1);
            });
            pass(gap).await;
        }
        done.acquire_many(n as u32).await.unwrap().forget();
        let outcomes = outcomes.lock().unwrap();
        outcomes.iter().map(|outcome| outcome.expect("all have ended")).collect()
    }

    pub(crate) fn flow(&self, flow: Flow) -> u64 {
        self.meter.read(now()).flow(flow)
    }

    pub(crate) fn stock(&self, name: StockName) -> StockReading {
        *self.meter.read(now()).stock(name)
    }

    pub(crate) fn breaker(&self) -> BreakerState {
        self.meter.read(now()).breaker
    }
}

/// One call through the shelf in virtual time: what it came to, and when.
pub(crate) fn one_call(json: &str, script: &Script) -> (Outcome, Time) {
    simulate(async {
        let rig = Rig::new(json, script);
        let outcome = rig.call(0).await;
        (outcome, now())
    })
    .expect("every call ends")
}

/// The kinds and first numbers of what was logged.
pub(crate) fn logged(log: &EventLog) -> Vec<(pumphandle_core::events::EventKind, u64)> {
    let bytes = log.take().expect("tests keep their events");
    pumphandle_core::events::read(&bytes)
        .map(|event| event.expect("a log that was just written can be read"))
        .map(|event| (event.kind, event.a))
        .collect()
}

/// An error, as an outcome.
pub(crate) fn error(error: CallError) -> Outcome {
    Err(error)
}
