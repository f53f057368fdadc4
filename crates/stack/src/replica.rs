//! One replica of one service: door, request queue, workers, handler.
//!
//! Work that its caller has given up on goes on, unless the service is told to cancel it: that is what a
//! thread per request does, and the engine of a retry storm. So the work is a task of its own, and what the
//! caller holds is a [`Ticket`] for its answer.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use pumphandle_core::draws::{Stream, mix, name_key};
use pumphandle_core::events::EventKind;
use pumphandle_core::gate::{Gate, Refused, Rules, UNLIMITED};
use pumphandle_core::meter::{Flow, Meter, StockName};
use pumphandle_core::time::{self, Order, Time, now};
use pumphandle_core::world::outcome_code;
use pumphandle_core::{Answering, Call, CallError, Exchange, Live, Outcome, Reply, Service, World};
use pumphandle_policy::advice::Outflow;
use pumphandle_policy::concurrency_limit::{self, Place};
use pumphandle_policy::rate_limit::{Limiter, RateLimit};
use pumphandle_policy::retry_quota::Quota;
use slab::Slab;

use crate::assembly::Edge;
use crate::cache::fills::{Leading, Turn};
use crate::cache::{Cache, CacheState, Look};
use crate::disturbance::Disturbance;
use crate::listen::Listen;
use crate::locks::optimistic::{Read, Versions};
use crate::locks::{LockState, Locks, Transaction};
use crate::max_connections;
use crate::memory::MemoryState;
use crate::processor::Processor;
use crate::service_time::ServiceTime;
use crate::settings::ServiceSettings;
use crate::slow_log::Timed;
use crate::wire::memory::Connections;

/// What the replicas of one service share.
pub struct Shared {
    /// The service's name.
    pub name: String,
    /// Its number in the scenario's order.
    pub number: u8,
    /// The key of its draws.
    pub subject: u64,
    /// Draws and event log.
    pub world: Arc<World>,
    /// What it is measured by.
    pub meter: Arc<Meter>,
    /// Its settings.
    pub settings: Live<ServiceSettings>,
    /// What triggers do to it.
    pub disturbance: Live<Disturbance>,
    /// Users reach it: nobody can leave before it answers.
    pub entry: bool,
    /// By the service that is called: connections of all replicas together, for pools that are shared.
    pub pools: BTreeMap<String, Arc<Gate>>,
}

impl Shared {
    /// The key of a service's draws.
    pub fn subject_of(name: &str) -> u64 {
        name_key(name)
    }
}

/// See the module.
pub struct Replica {
    shared: Arc<Shared>,
    workers: Gate,
    processor: Arc<Processor>,
    edges: Vec<Edge>,
    cache: Arc<CacheState>,
    /// Of callers in memory; over TCP they are the kernel's.
    connections: Arc<Connections>,
    memory: Arc<MemoryState>,
    locks: LockState,
    versions: Versions,
    /// Of callers, whatever they came by, where there is a limit of them.
    connected: max_connections::Connections,
    lives: Lives,
    quota: Quota,
    rate: Limiter,
    concurrency: Arc<concurrency_limit::Limiter>,
    outflow: Outflow,
    down_until: AtomicU64,
    /// Nanoseconds computed that the meter knows of.
    billed: AtomicU64,
    /// It gets no more calls, and goes when it has finished those it has.
    leaving: AtomicBool,
}

impl Replica {
    /// A replica with nothing to do.
    pub fn new(shared: Arc<Shared>, ordinal: u32, edges: Vec<Edge>) -> Arc<Replica> {
        let key = mix(shared.subject ^ u64::from(ordinal));
        let processor = Processor::start(key);
        let (world, meter) = (Arc::clone(&shared.world), Arc::clone(&shared.meter));
        let cache = CacheState::new(Arc::clone(&world), Arc::clone(&meter), key);
        let connections = Connections::new(Arc::clone(&world), Arc::clone(&meter), shared.number);
        let memory = MemoryState::new(Arc::clone(&meter), Arc::clone(&processor), key);
        let replica = Replica {
            shared,
            workers: Gate::new(Rules::default()),
            processor,
            edges,
            cache,
            connections,
            memory,
            locks: LockState::default(),
            versions: Versions::default(),
            connected: max_connections::Connections::default(),
            lives: Lives::default(),
            quota: Quota::default(),
            rate: Limiter::default(),
            concurrency: concurrency_limit::Limiter::new(world, meter, key),
            outflow: Outflow::default(),
            down_until: AtomicU64::new(0),
            billed: AtomicU64::new(0),
            leaving: AtomicBool::new(false),
        };
        replica.refresh();
        Arc::new(replica)
    }

    /// Settings or disturbances have changed: brings the queue, the workers, the processor and the policies
    /// up to date.
    pub fn refresh(&self) {
        let settings = self.shared.settings.snapshot();
        let disturbance = self.shared.disturbance.snapshot();
        let left = |workers: usize| ((workers as f64 * disturbance.capacity).round() as usize).max(1);
        self.workers.set_rules(Rules {
            limit: settings.workers.map_or(UNLIMITED, left),
            room: settings.queue.size.unwrap_or(UNLIMITED),
            discipline: settings.queue.order,
            codel: settings.queue.codel,
            adaptive: settings.queue.adaptive_lifo,
            drop_expired: settings.queue.drop_expired,
        });
        self.rate.changed(settings.door_rate_limit.as_ref());
        self.concurrency.changed(settings.door_concurrency_limit.as_ref());
        self.processor.set_speed(settings.contention, disturbance.slow, settings.computing());
        self.cache.changed(settings.cache.as_ref());
        self.connections.changed(settings.listen);
        self.memory.changed(settings.memory.as_ref());
        self.locks.changed(settings.locks.as_ref());
        self.versions.changed(settings.optimistic.as_ref());
        for edge in &self.edges {
            edge.changed(&settings.with);
        }
    }

    /// How its service says that it takes connections.
    pub fn listens(&self) -> Option<Listen> {
        self.shared.settings.snapshot().listen
    }

    /// What its service is measured by.
    pub fn meter(&self) -> &Arc<Meter> {
        &self.shared.meter
    }

    /// Its connections in virtual time.
    pub fn connections(&self) -> &Arc<Connections> {
        &self.connections
    }

    /// Fills its cache, if it has one that is warm at the start.
    pub fn warm(&self) {
        let settings = self.shared.settings.snapshot();
        if let Some(cache) = settings.cache.as_ref().filter(|cache| cache.enabled) {
            self.cache.warm(cache);
        }
    }

    /// Lets go of what is past its time in its cache.
    pub fn tidy(&self, cache: &Cache) {
        self.cache.tidy(cache);
    }

    /// How it is killed when it is out of memory.
    pub fn is_killed_by(&self, kill: impl Fn() + Send + Sync + 'static) {
        self.memory.is_killed_by(kill);
    }

    /// Nanoseconds that it has computed so far.
    pub fn computed_ns(&self) -> f64 {
        self.processor.computed_ns()
    }

    /// Tells the meter what was computed since it was last told.
    pub fn bill(&self) {
        let computed = self.processor.computed_ns() as u64;
        let known = self.billed.swap(computed, Ordering::Relaxed);
        self.shared.meter.add(Flow::CpuNanos, computed.saturating_sub(known));
    }

    /// It gets no more calls from now on.
    pub fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    /// Everything inside is lost, and nobody gets in until `up_again`.
    pub fn restart(&self, up_again: Time) {
        self.down_until.store(up_again.nanos(), Ordering::Relaxed);
        let lost = self.lives.end();
        self.cache.lose();
        self.memory.lose();
        self.shared.world.record(EventKind::Restart, self.shared.number, self.lives.current(), lost as u64);
    }

    /// Ends for good, with all that is inside.
    pub fn retire(&self) {
        self.restart(Time::MAX);
        self.memory.end();
        self.processor.stop();
    }

    /// Ends all work that came in at least `older_than` ago, as an operator who kills old queries does. Returns
    /// how much that was.
    pub fn kill(&self, older_than: Duration) -> usize {
        self.lives.kill(older_than)
    }

    /// The door: what comes from the wire.
    #[allow(clippy::manual_async_fn, reason = "an async fn would keep the call twice")]
    pub fn knock(self: &Arc<Self>, mut call: Call) -> impl Future<Output = Outcome> + Send {
        // A block rather than an `async fn`, which would keep the call twice.
        async move {
            let shared = &self.shared;
            let settings = shared.settings.snapshot();
            let disturbance = shared.disturbance.snapshot();
            if !settings.latency.0.is_zero() || !disturbance.latency.is_zero() || disturbance.hold.is_some() {
                // In a box: room for it would be most of this future's size, and hardly any call needs it.
                Box::pin(self.travel(&settings, &disturbance, &call)).await;
            }
            if settings.memory.is_some() {
                // In a box, as the way to the door: hardly any service has a limit.
                Box::pin(self.memory.goes_on()).await;
            }
            self.come_in(&disturbance, &call)?;
            shared.meter.count(Flow::Arrived);
            shared.world.record(EventKind::Arrived, shared.number, call.arrival, call.path.id());
            if settings.retry_quota.as_ref().is_some_and(|it| !self.quota.admits(it, call.attempt > 0)) {
                shared.meter.count(Flow::Limited);
                self.advise(&settings, &call);
                return Err(CallError::Limited);
            }
            if let Some(limit) = settings.door_rate_limit.as_ref().filter(|limit| limit.enabled) {
                // In a box, as the way to the door: hardly any service has one.
                if let Err(limited) = Box::pin(self.wait_for_turn(limit, &call)).await {
                    self.advise(&settings, &call);
                    return Err(limited);
                }
                // It may have gone away, even for good, while this call stood in line.
                self.is_there()?;
            }
            let inside = shared.meter.stock(StockName::Inside);
            let shed = settings.load_shed.as_ref();
            if shed.is_some_and(|it| it.refuses(inside.read(now()).level, call.criticality))
                || self.is_full(&settings)
            {
                return self.reject(&settings, &call);
            }
            let mut connected = None;
            if let Some(most) = settings.max_connections {
                connected = self.connected.connect(most);
                if connected.is_none() {
                    shared.meter.count(Flow::ConnectionsRefused);
                    return self.reject(&settings, &call);
                }
            }
            let mut place = None;
            if settings.door_concurrency_limit.as_ref().is_some_and(|limit| limit.enabled) {
                let Some(entered) = self.concurrency.enter(call.path) else {
                    return self.reject(&settings, &call);
                };
                place = Some(Box::new(entered));
            }
            let exchange = Exchange::new(call.caller.take());
            call.caller = Some(Arc::clone(&exchange));
            let ticket = Ticket::new(shared, Arc::clone(&exchange), &call);
            let ends_with_caller = settings.cancel_on_disconnect || shared.entry;
            let replica = Arc::clone(self);
            let life = async move {
                let outcome = replica.live(&settings, &disturbance, &call).await;
                // As long as there is work, whether or not somebody still waits for it.
                if let Some(place) = place {
                    Place::ended(*place, &outcome);
                }
                drop(connected);
                exchange.answer(outcome)
            };
            if ends_with_caller {
                // In a box, as the task of the other case is: it is much larger than the rest of this future.
                Box::pin(life).await;
            } else {
                time::spawn("work of a service", life);
            }
            ticket.await
        }
    }

    /// The way to the door.
    async fn travel(&self, settings: &ServiceSettings, disturbance: &Disturbance, call: &Call) {
        if !disturbance.latency.is_zero() || disturbance.hold.is_some() {
            self.shared.meter.count(Flow::Disturbed);
        }
        let on_the_way = settings.latency.0 + disturbance.latency;
        if !on_the_way.is_zero() {
            time::sleep(on_the_way, Order::completion(call.path.id())).await;
        }
        if let Some(hold) = &disturbance.hold {
            hold.wait().await;
        }
    }

    /// What may happen at the door, whether or not there is room behind it.
    fn come_in(&self, disturbance: &Disturbance, call: &Call) -> Result<(), CallError> {
        self.is_there()?;
        let Shared { world, subject, .. } = &*self.shared;
        if world.draws.chance(disturbance.errors, Stream::TriggerError, *subject, call.path) {
            self.shared.meter.count(Flow::Disturbed);
            self.shared.meter.count(Flow::Failed);
            return Err(CallError::Failed);
        }
        Ok(())
    }

    fn is_there(&self) -> Result<(), CallError> {
        if now().nanos() < self.down_until.load(Ordering::Relaxed) {
            self.shared.meter.count(Flow::Disconnected);
            return Err(CallError::Disconnected);
        }
        Ok(())
    }

    /// A limit on the rate at the door: at once, or when it is the call's turn.
    async fn wait_for_turn(&self, limit: &RateLimit, call: &Call) -> Result<(), CallError> {
        // One who leaves while waiting is counted as one who leaves the queue is.
        let mut leaves = Ticket::new(&self.shared, Exchange::new(None), call);
        let passed = self.rate.pass(limit, &self.shared.meter, call.path.id()).await;
        leaves.answered = true;
        passed
    }

    /// Refusing at the door saves making a task only to refuse it.
    fn is_full(&self, settings: &ServiceSettings) -> bool {
        settings.workers.is_some()
            && settings.queue.size.is_some_and(|room| {
                let (_, waiting) = self.workers.load();
                waiting >= room && room > 0
            })
    }

    fn reject(&self, settings: &ServiceSettings, call: &Call) -> Outcome {
        let Shared { meter, world, number, .. } = &*self.shared;
        meter.count(Flow::Rejected);
        self.advise(settings, call);
        world.record(EventKind::Rejected, *number, call.arrival, call.path.id());
        Err(CallError::Overloaded)
    }

    /// Leaves advice beside a refusal, where somebody would heed it.
    fn advise(&self, settings: &ServiceSettings, call: &Call) {
        let (Some(advice), Some(slot)) = (&settings.advice, &call.advice) else { return };
        let Shared { meter, world, subject, .. } = &*self.shared;
        let at = now();
        let [waiting, working] = [StockName::Queue, StockName::Working].map(|it| meter.stock(it).read(at));
        let outflow = self.outflow.per_s(at, working.outflow);
        let u = world.draws.uniform(Stream::Advice, *subject, call.path);
        if let Some(advice) = advice.now(waiting.level + working.level, outflow, u) {
            slot.leave(advice);
        }
    }

    /// The work, for as long as the replica lives and within the time that the call allows.
    async fn live(
        self: &Arc<Self>,
        settings: &Arc<ServiceSettings>,
        disturbance: &Disturbance,
        call: &Call,
    ) -> Outcome {
        let _inside = self.shared.meter.stock(StockName::Inside).inside();
        let _held = settings.memory.as_ref().map(|memory| self.memory.hold(memory));
        let path = call.path;
        let ended = {
            // Pinned here and lent to what bounds it: an `async fn` that is given a future keeps it twice.
            let handled = pin!(self.handle(settings, disturbance, call));
            let work = pin!(self.lives.within(handled));
            match call.kill_after {
                None => work.await,
                Some(limit) => match time::timeout(limit, Order::timeout(path.id()), work).await {
                    Ok(ended) => ended,
                    Err(time::Elapsed) => {
                        self.shared.meter.count(Flow::Killed);
                        Ok(Err(CallError::Killed))
                    }
                },
            }
        };
        let outcome = ended.unwrap_or_else(|cut| {
            let (flow, error) = match cut {
                Cut::Restarted => (Flow::Disconnected, CallError::Disconnected),
                Cut::Killed => (Flow::Killed, CallError::Killed),
            };
            self.shared.meter.count(flow);
            Err(error)
        });
        self.shared.world.record(EventKind::Ended, self.shared.number, path.id(), outcome_code(&outcome));
        outcome
    }

    /// Queue, worker, own work, calls to others.
    async fn handle(
        self: &Arc<Self>,
        settings: &Arc<ServiceSettings>,
        disturbance: &Disturbance,
        call: &Call,
    ) -> Outcome {
        let Shared { meter, world, number, subject, .. } = &*self.shared;
        let acquired = self.workers.acquire(call.deadline, meter.stock(StockName::Queue)).await;
        let _worker = match acquired {
            Ok(permit) => permit,
            Err(Refused::Expired) => {
                meter.count(Flow::Expired);
                return Err(CallError::Expired);
            }
            Err(Refused::Full | Refused::Shed) => return self.reject(settings, call),
        };
        let _working = meter.stock(StockName::Working).inside();
        if let Some(memory) = &settings.memory {
            Box::pin(self.memory.begin(memory)).await;
        }
        let _timed = settings.slow_log.map(|slow| Timed::begin(meter, slow));
        let busy = Busy { meter, caller: call.caller.as_deref(), since: now() };
        world.record(EventKind::Started, *number, call.arrival, call.path.id());
        if world.draws.chance(disturbance.hang, Stream::TriggerHang, *subject, call.path) {
            meter.count(Flow::Disturbed);
            std::future::pending::<()>().await;
        }
        let read = settings.optimistic.is_some().then(|| self.versions.read(world, *subject, call));
        let demand = self.work_of(settings, call).map(|takes| takes.draw(&world.draws, *subject, call.path));
        let mut locked = Ok(None);
        if let Some(locks) = &settings.locks {
            // In a box, as the way to the door: hardly any service has locks.
            locked = Box::pin(self.work_in_locks(locks, demand, call)).await.map(Some);
        } else if let Some(demand) = demand {
            let _in_service = meter.stock(StockName::InService).inside();
            self.processor.work(demand, call.path.id()).await;
        }
        let outcome = match (&locked, &settings.cache) {
            (Err(refused), _) => Err(*refused),
            // In a box, as the way to the door: hardly any service has one.
            (_, Some(cache)) if cache.enabled => Box::pin(self.ask_cache(cache, settings, call)).await,
            _ => self.call_others(settings, call).await,
        };
        if settings.memory.is_some() {
            // An answer that comes while nothing goes on is read afterwards.
            Box::pin(self.memory.goes_on()).await;
        }
        drop(busy);
        self.conclude(settings, call, read, outcome)
    }

    /// Locks the call's rows, and does an even part of its work after each. What is returned holds them.
    async fn work_in_locks(
        &self,
        locks: &Locks,
        demand: Option<f64>,
        call: &Call,
    ) -> Result<Transaction<'_>, CallError> {
        let Shared { meter, world, subject, .. } = &*self.shared;
        let rows = self.locks.rows_of(locks, world, *subject, call);
        let transaction = self.locks.begin();
        let parts = rows.len().max(1);
        for part in 0..parts {
            if let Some(row) = rows.get(part) {
                let locked = transaction.lock(*row, locks, meter, call.path.id()).await;
                locked.map_err(|_| CallError::Failed)?;
            }
            if let Some(demand) = demand {
                let _in_service = meter.stock(StockName::InService).inside();
                self.processor.work(demand / parts as f64, call.path.id()).await;
            }
        }
        Ok(transaction)
    }

    /// How much work the call is.
    fn work_of<'a>(&self, settings: &'a ServiceSettings, call: &Call) -> Option<&'a ServiceTime> {
        let of_class = || settings.service_time_of.get(self.shared.world.class_name(call.class)?);
        let own = if settings.service_time_of.is_empty() { None } else { of_class() };
        own.or(settings.service_time.as_ref())
    }

    /// Which edge the handler's `i`-th call takes.
    fn way(&self, settings: &ServiceSettings, call: &Call, i: usize) -> usize {
        match self.shared.world.class_name(call.class) {
            Some(class) if !settings.route.is_empty() => settings.routed(class, i),
            _ => i,
        }
    }

    async fn call_others(&self, settings: &ServiceSettings, call: &Call) -> Outcome {
        let mut answer = Reply::default();
        for i in 0..settings.calls.names().len() {
            let edge = &self.edges[self.way(settings, call, i)];
            let i = i as u32;
            let child = Call { path: call.path.call(i), attempt: 0, kill_after: None, ..call.clone() };
            let reply = edge.call(&settings.with, child).await?;
            answer.degraded |= reply.degraded;
        }
        Ok(answer)
    }

    /// An answer from the cache, or from a fill.
    async fn ask_cache(
        self: &Arc<Self>,
        cache: &Cache,
        settings: &Arc<ServiceSettings>,
        call: &Call,
    ) -> Outcome {
        let (key, meter) = (self.cache.key_of(cache, call), &self.shared.meter);
        let mut looked = false;
        loop {
            let look = self.cache.look(cache, key, call);
            let hit = matches!(look, Look::Fresh | Look::Early);
            if !std::mem::replace(&mut looked, true) {
                meter.count(if hit { Flow::CacheHits } else { Flow::CacheMisses });
            }
            if matches!(look, Look::Early | Look::Stale)
                && let Turn::Lead(leading) = self.cache.turn(cache, key)
            {
                meter.count(Flow::CacheRefreshes);
                self.fill_apart(settings, call, leading);
            }
            if hit {
                return Ok(Reply::default());
            }
            if look == Look::Stale {
                meter.count(Flow::CacheStale);
                return Ok(Reply { degraded: true });
            }
            let outcome = match self.cache.turn(cache, key) {
                Turn::Follow(fill) => {
                    meter.count(Flow::CacheCoalesced);
                    fill.outcome().await
                }
                Turn::Lead(leading) => {
                    let fill = leading.fill();
                    if cache.fill_outlives_caller {
                        self.fill_apart(settings, call, leading);
                    } else {
                        self.fill(cache, settings, call, leading).await;
                    }
                    fill.outcome().await
                }
            };
            // None came of it where it was discarded: look again.
            if let Some(outcome) = outcome {
                return self.cache.or_stale(cache, key, outcome);
            }
        }
    }

    /// One fill, on behalf of `call`.
    async fn fill(&self, cache: &Cache, settings: &ServiceSettings, call: &Call, leading: Leading) {
        self.shared.meter.count(Flow::CacheFills);
        let _filling = self.shared.meter.stock(StockName::CacheFilling).inside();
        let begun = now();
        let outcome = self.call_others(settings, call).await;
        self.cache.filled(cache, leading, call, begun, outcome);
    }

    /// The same as a task of its own, without worker, deadline or caller: the cache itself wants it.
    fn fill_apart(self: &Arc<Self>, settings: &Arc<ServiceSettings>, call: &Call, leading: Leading) {
        let (replica, settings) = (Arc::clone(self), Arc::clone(settings));
        let call = Call { deadline: None, caller: None, advice: None, ..call.clone() };
        time::spawn("a fill of a cache", async move {
            let Some(cache) = &settings.cache else { return };
            let fill = pin!(replica.fill(cache, &settings, &call, leading));
            // Ends with the replica's life, or for its age, as all work here.
            let _ = replica.lives.within(fill).await;
        });
    }

    fn conclude(
        &self,
        settings: &ServiceSettings,
        call: &Call,
        read: Option<Read>,
        outcome: Outcome,
    ) -> Outcome {
        let Shared { meter, world, subject, .. } = &*self.shared;
        let fails = world.draws.chance(settings.failure.0, Stream::Failure, *subject, call.path);
        let mut outcome = if fails { outcome.and(Err(CallError::Failed)) } else { outcome };
        // What has failed writes nothing.
        if let Some(read) = read.filter(|_| outcome.is_ok())
            && !self.versions.commit(read)
        {
            meter.count(Flow::Conflicts);
            outcome = Err(CallError::Failed);
        }
        match outcome {
            Ok(_) => {
                meter.count(Flow::Completed);
                if call.caller.as_ref().is_none_or(|caller| caller.gone_since() == Time::MAX) {
                    meter.count(Flow::InTime);
                }
            }
            Err(_) => meter.count(Flow::Failed),
        }
        outcome
    }
}

/// A replica that was one too many goes with its last call, and what runs in its background goes with it.
impl Drop for Replica {
    fn drop(&mut self) {
        if *self.leaving.get_mut() {
            if self.shared.settings.snapshot().cpu.is_some() {
                self.bill();
            }
            self.processor.stop();
            self.cache.lose();
            self.memory.end();
        }
    }
}

/// A replica as the wire knows it.
pub struct Door(pub Arc<Replica>);

impl Service for Door {
    fn call(&self, call: Call) -> Answering<'_> {
        Box::pin(self.0.knock(call))
    }
}

/// Time in which a worker is occupied, and how much of it for nobody.
struct Busy<'a> {
    meter: &'a Meter,
    caller: Option<&'a Exchange>,
    since: Time,
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        let until = now();
        self.meter.add(Flow::BusyNanos, until.since(self.since).as_nanos() as u64);
        if let Some(caller) = self.caller {
            let wasted = until.since(caller.gone_since().max(self.since));
            self.meter.add(Flow::WastedNanos, wasted.as_nanos() as u64);
        }
    }
}

/// What a caller holds while its call is worked on. Dropped unanswered, the caller has left.
struct Ticket<'a> {
    shared: &'a Shared,
    exchange: Arc<Exchange>,
    arrival: u64,
    path: u64,
    answered: bool,
}

impl<'a> Ticket<'a> {
    fn new(shared: &'a Shared, exchange: Arc<Exchange>, call: &Call) -> Ticket<'a> {
        let (arrival, path) = (call.arrival, call.path.id());
        Ticket { shared, exchange, arrival, path, answered: false }
    }
}

impl Future for Ticket<'_> {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        let answer = self.exchange.poll_answer(cx);
        self.answered |= answer.is_ready();
        answer
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if !self.answered {
            let shared = self.shared;
            self.exchange.leave(now());
            shared.meter.count(Flow::Abandoned);
            shared.world.record(EventKind::Left, shared.number, self.arrival, self.path);
        }
    }
}

/// The work under way, so that a restart can end all of it, and a person what is old of it.
#[derive(Default)]
struct Lives {
    number: AtomicU64,
    /// How often old work was ended: only then has anybody to look whether it was meant.
    kills: AtomicU64,
    under_way: Mutex<Slab<Life>>,
}

struct Life {
    waker: Waker,
    since: Time,
    killed: bool,
}

/// Why work ended that was under way.
#[derive(Debug)]
enum Cut {
    /// The replica restarted.
    Restarted,
    /// Somebody had it ended for its age.
    Killed,
}

impl Lives {
    fn current(&self) -> u64 {
        self.number.load(Ordering::Relaxed)
    }

    /// Ends all work under way; returns how much there was.
    fn end(&self) -> usize {
        self.number.fetch_add(1, Ordering::Relaxed);
        let wakers: Vec<Waker> = self.lock().iter().map(|(_, life)| life.waker.clone()).collect();
        let lost = wakers.len();
        wakers.into_iter().for_each(Waker::wake);
        lost
    }

    fn lock(&self) -> MutexGuard<'_, Slab<Life>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the work that has been under way for `older_than` or longer; returns how much.
    fn kill(&self, older_than: Duration) -> usize {
        let at = now();
        let mut wakers = Vec::new();
        for (_, life) in self.lock().iter_mut().filter(|(_, life)| !life.killed) {
            if at.since(life.since) >= older_than {
                life.killed = true;
                wakers.push(life.waker.clone());
            }
        }
        self.kills.fetch_add(1, Ordering::Relaxed);
        let ended = wakers.len();
        wakers.into_iter().for_each(Waker::wake);
        ended
    }

    fn is_killed(&self, registered: &Registered<'_>) -> bool {
        self.kills.load(Ordering::Relaxed) != registered.kills && self.lock()[registered.place].killed
    }

    /// `work`, until this life ends or it is killed for its age.
    async fn within<F: Future>(&self, work: F) -> Result<F::Output, Cut> {
        let life = self.current();
        let mut work = pin!(work);
        let mut registered: Option<Registered<'_>> = None;
        std::future::poll_fn(|cx| {
            if self.current() != life {
                return Poll::Ready(Err(Cut::Restarted));
            }
            if registered.as_ref().is_some_and(|registered| self.is_killed(registered)) {
                return Poll::Ready(Err(Cut::Killed));
            }
            let ended = work.as_mut().poll(cx).map(Ok);
            if ended.is_pending() && registered.is_none() {
                let kills = self.kills.load(Ordering::Relaxed);
                let life = Life { waker: cx.waker().clone(), since: now(), killed: false };
                registered = Some(Registered { lives: self, place: self.lock().insert(life), kills });
            }
            ended
        })
        .await
    }
}

struct Registered<'a> {
    lives: &'a Lives,
    place: usize,
    /// How often old work had been ended when this came in.
    kills: u64,
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        let life = self.lives.lock().remove(self.place);
        drop(life);
    }
}
