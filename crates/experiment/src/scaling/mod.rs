//! Controllers at work: each reads metrics at its interval, and decides at its own. What it decides is a pure function
//! of what it knows ([`hpa`]); what it knows is as old as its settings say. Everything happens on the clock of the
//! arm, so that a controller is the same in virtual and in real time.
//!
//! It acts through [`Stack::scale`], as a person would, and must not look at anything that a real controller could
//! not: it sees replicas (since when they are ready, what they have computed) and stocks.

pub mod hpa;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indexmap::IndexMap;
use pumphandle_core::meter::StockName;
use pumphandle_core::time::{self, Alarm, Order, Time, now};
use pumphandle_stack::Stack;
use pumphandle_stack::service::Seen;

use crate::scenario::autoscalers::{Autoscaler, Autoscalers};

/// After the sampler of rows: a second ends before anything is changed at its end.
const FIRST_ORDER: u64 = 16;

/// One reading of the metrics.
#[derive(Clone, Debug)]
struct Reading {
    at: Time,
    /// Replica and nanoseconds computed.
    computed: Vec<(u64, f64)>,
    /// Integral of the level of the stock that is looked at, item nanoseconds.
    backlog: u128,
}

struct State {
    settings: Autoscaler,
    memory: hpa::Memory,
    readings: VecDeque<Reading>,
    read_at: Time,
    decided_at: Time,
}

/// A controller at work.
struct Controller {
    stack: Arc<Stack>,
    order: Order,
    alarm: Alarm,
    state: Mutex<State>,
}

/// All controllers of an arm.
pub struct Controllers(IndexMap<String, Arc<Controller>>);

impl Controllers {
    /// Starts the controllers of an arm, on the clock of this thread.
    pub fn start(all: &Autoscalers, stack: &Arc<Stack>) -> Controllers {
        let start = |(i, (name, settings)): (u64, (&String, &Autoscaler))| {
            let controller = Arc::new(Controller::new(stack, settings.clone(), i));
            let at_work = Arc::clone(&controller);
            time::spawn("an autoscaler", async move { at_work.work().await });
            (name.clone(), controller)
        };
        Controllers((0..).zip(all).map(start).collect())
    }

    /// Puts other settings in force for one of them. What it knows and remembers stays.
    ///
    /// # Panics
    ///
    /// If there is none of this name: settings are checked before.
    pub fn set(&self, name: &str, settings: Autoscaler) {
        let controller = &self.0[name];
        controller.lock().settings = settings;
        controller.arm();
    }
}

impl Controller {
    fn new(stack: &Arc<Stack>, settings: Autoscaler, i: u64) -> Controller {
        let (read_at, decided_at) = (Time::ZERO, Time::ZERO);
        let (memory, readings) = (hpa::Memory::default(), VecDeque::new());
        Controller {
            stack: Arc::clone(stack),
            order: Order::sample(FIRST_ORDER + i),
            alarm: Alarm::default(),
            state: Mutex::new(State { settings, memory, readings, read_at, decided_at }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When there is something to do next.
    fn arm(&self) {
        let state = self.lock();
        let next = state.next_reading().min(state.next_decision());
        self.alarm.set(Some(next), self.order);
    }

    async fn work(&self) {
        self.lock().read(&self.stack);
        loop {
            self.arm();
            self.alarm.wait(self.order).await;
            let mut state = self.lock();
            let at = now();
            if at >= state.next_reading() {
                state.read(&self.stack);
            }
            if at >= state.next_decision() {
                state.decided_at = at;
                state.decide(&self.stack);
            }
        }
    }
}

impl State {
    fn next_reading(&self) -> Time {
        self.read_at + self.settings.metrics.interval.0
    }

    fn next_decision(&self) -> Time {
        self.decided_at + self.settings.sync.0
    }

    fn read(&mut self, stack: &Stack) {
        let at = now();
        let seen = stack.seen(&self.settings.service);
        let computed = seen.iter().map(|it| (it.id, it.computed_ns)).collect();
        let backlog = backlog(&self.settings, stack, at);
        self.read_at = at;
        self.readings.push_back(Reading { at, computed, backlog });
        // Two that can be seen are needed, and all that cannot be seen yet.
        let lag = self.settings.metrics.lag.0;
        while self.readings.len() > 2 && self.readings[2].at + lag <= at {
            self.readings.pop_front();
        }
    }

    /// The newest reading that can be seen, and the one before it.
    fn visible(&self, at: Time) -> Option<(&Reading, Option<&Reading>)> {
        let lag = self.settings.metrics.lag.0;
        let newest = self.readings.iter().rposition(|reading| reading.at + lag <= at)?;
        let before = newest.checked_sub(1).map(|before| &self.readings[before]);
        Some((&self.readings[newest], before))
    }

    fn decide(&mut self, stack: &Stack) {
        if !self.settings.enabled {
            // Switched on again, it begins anew, as one that is created.
            self.memory = hpa::Memory::default();
            return;
        }
        let (at, service) = (now(), self.settings.service.clone());
        let seen = stack.seen(&service);
        let current = seen.len() as u32;
        let proposals = self.proposals(stack, &seen, current, at);
        let proposed = hpa::largest(current, &proposals);
        let wanted = self.memory.decide(&self.settings, current, proposed, at);
        if wanted != current {
            stack.scale(&service, wanted);
        }
    }

    fn proposals(&self, stack: &Stack, seen: &[Seen], current: u32, at: Time) -> Vec<hpa::Proposal> {
        let mut proposals = Vec::new();
        let visible = self.visible(at);
        if let Some(cpu) = &self.settings.cpu {
            let pods: Vec<hpa::Pod> = seen.iter().map(|seen| pod(seen, visible)).collect();
            let requested = stack.requested_cpu(&self.settings.service).unwrap_or(1.0);
            let (requested, target) =
                ((requested * 1000.0).round() as i64, (cpu.target.0 * 100.0).round() as i64);
            proposals.push(hpa::by_cpu(&self.settings, current, requested, &pods, target, at));
        }
        if let Some(backlog) = &self.settings.backlog {
            let known = visible.and_then(mean_backlog);
            let propose = |known| hpa::by_backlog(&self.settings, current, known, backlog.per_replica);
            proposals.push(known.and_then(propose));
        }
        proposals
    }
}

/// A replica with what is known of the processors it uses: what it computed between two readings.
fn pod(seen: &Seen, visible: Option<(&Reading, Option<&Reading>)>) -> hpa::Pod {
    let computed = |reading: &Reading| reading.computed.iter().find(|(id, _)| *id == seen.id).map(|it| it.1);
    let usage = visible.and_then(|(newest, before)| {
        let before = before?;
        let (to, from) = (computed(newest)?, computed(before)?);
        let window: Duration = newest.at.since(before.at);
        let cores = (to - from) / window.as_nanos().max(1) as f64;
        Some(hpa::Usage { milli: (cores * 1000.0).round() as i64, at: newest.at, window })
    });
    hpa::Pod { started: seen.started, ready: seen.ready, since: seen.since, usage }
}

fn backlog(settings: &Autoscaler, stack: &Stack, at: Time) -> u128 {
    let stock = settings.backlog.as_ref().and_then(|it| StockName::from_name(&it.stock));
    stock.map_or(0, |stock| stack.meter(&settings.service).stock(stock).read(at).integral)
}

/// The mean level between two readings.
fn mean_backlog((newest, before): (&Reading, Option<&Reading>)) -> Option<f64> {
    let before = before?;
    let span = newest.at.since(before.at).as_nanos().max(1);
    Some(newest.backlog.saturating_sub(before.backlog) as f64 / span as f64)
}
