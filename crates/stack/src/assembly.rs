//! From settings to running services. **A call's way**, outermost first:
//!
//! 1. the driver of the load calls [`Stack::entry`] when an arrival is due;
//! 2. the entry service handles it ([`Replica::knock`]: door, then queue, worker, handler) and calls others
//!    through an [`Edge`];
//! 3. the edge's policies, in the order of [`pumphandle_policy::shelf`]: deadline, retries, hedge, bulkhead,
//!    throttle, breaker, attempt timeout, pool, query timeout;
//! 4. the end of the chain, [`Send`]: what leaves the service, counted;
//! 5. [`ServiceNode`]: which replica is next;
//! 6. the wire: [`InMemory`], or HTTP over TCP, to the same door;
//! 7. the next service's door, and so on to a service that calls nobody; then all the way back.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indexmap::IndexMap;
use pumphandle_core::draws::{Path, mix, name_key};
use pumphandle_core::events::EventKind;
use pumphandle_core::gate::{Gate, Rules};
use pumphandle_core::meter::{Meter, Snapshot, StockName};
use pumphandle_core::time::now;
use pumphandle_core::{Answering, Call, CallError, Live, Service, World};
use pumphandle_policy::{Next, Policies, Policy, Surroundings, deadline, shelf};

use crate::disturbance::Disturbance;
use crate::listen::Listen;
use crate::replica::{Door, Replica, Shared};
use crate::service::{Chosen, Line, Seen, ServiceNode};
use crate::settings::{ServiceSettings, StackSettings, callees_first};
use crate::wire::memory::InMemory;

/// Where a service's calls go.
#[derive(Clone)]
enum Callee {
    /// A service of this stack.
    Here(Arc<ServiceNode>),
    /// A service of another process.
    There(Line),
}

impl Callee {
    /// The way for the call at `path`; none while no replica takes calls.
    fn choose(&self, path: Path) -> Option<Chosen> {
        match self {
            Callee::Here(node) => node.choose(path),
            Callee::There(line) => Some(Chosen::only(Arc::clone(line))),
        }
    }
}

/// One service's calls to one other: policies, then the wire.
pub struct Edge {
    chain: Next,
}

impl Edge {
    fn new(surroundings: &Surroundings, callee: Callee) -> Edge {
        let end = Send { callee, meter: Arc::clone(&surroundings.meter) };
        Edge { chain: shelf::chain(surroundings, Box::new(end)) }
    }

    /// Calls the other service, under these policies.
    pub fn call<'a>(&'a self, policies: &'a Policies, mut call: Call) -> Answering<'a> {
        if !deadline::propagates(policies) {
            call.deadline = None;
        }
        self.chain.call(policies, call)
    }

    /// The policies in force have changed.
    pub fn changed(&self, policies: &Policies) {
        self.chain.changed(policies);
    }
}

/// The end of a chain of policies: the call leaves the service.
struct Send {
    callee: Callee,
    meter: Arc<Meter>,
}

impl Policy for Send {
    fn call<'a>(&'a self, _: &'a Policies, call: Call) -> Answering<'a> {
        Box::pin(async move {
            let _waiting = self.meter.stock(StockName::Waiting).inside();
            // The line itself rather than the node's answer: one allocation less for every attempt.
            match self.callee.choose(call.path) {
                Some(chosen) => chosen.line.call(call).await,
                None => Err(CallError::Disconnected),
            }
        })
    }

    fn changed(&self, _: &Policies) {}
}

/// How a new replica gets its line. `None`: in memory.
pub type Wiring = Arc<dyn Fn(Arc<Replica>) -> Line + core::marker::Send + Sync>;

type Active = BTreeMap<usize, (String, Disturbance)>;

/// Running services, and the handles by which triggers and levers act on them.
pub struct Stack {
    world: Arc<World>,
    wiring: Wiring,
    nodes: IndexMap<String, Arc<ServiceNode>>,
    /// Everything that a service of this stack may call.
    callees: IndexMap<String, Callee>,
    /// Active triggers by number, each with the service it disturbs.
    disturbances: Mutex<Active>,
    /// Held while settings are replaced: a controller and a lever may come at the same time.
    replacing: Mutex<()>,
}

impl Stack {
    /// Builds and starts the services, connected in memory.
    ///
    /// # Panics
    ///
    /// If the settings were not checked: an unknown callee, a circle of calls, no service at all.
    pub fn start(world: Arc<World>, settings: &StackSettings) -> Stack {
        Stack::start_on(world, settings, Arc::new(|replica| Arc::new(InMemory(replica))))
    }

    /// Builds and starts the services, connected by `wiring`.
    ///
    /// # Panics
    ///
    /// As [`Stack::start`].
    pub fn start_on(world: Arc<World>, settings: &StackSettings, wiring: Wiring) -> Stack {
        let order = callees_first(settings).expect("checked settings have no circle of calls");
        let mut built: IndexMap<String, Arc<ServiceNode>> = IndexMap::new();
        let mut callees: IndexMap<String, Callee> = IndexMap::new();
        for name in &order {
            let node = node(&world, settings, name, Arc::default());
            let count = settings[name].replicas as usize;
            node.begin(count, &mut |ordinal| replica(&node, &callees, &wiring, ordinal));
            node.shared.meter.set_replicas(count as u64);
            callees.insert(name.clone(), Callee::Here(Arc::clone(&node)));
            built.insert(name.clone(), node);
        }
        let nodes = settings.keys().map(|name| (name.clone(), Arc::clone(&built[name]))).collect();
        Stack { world, wiring, nodes, callees, disturbances: Mutex::default(), replacing: Mutex::default() }
    }

    /// Builds and starts one of the services, `service`, which counts in `meter`. Those it calls are elsewhere,
    /// at the end of `lines`.
    ///
    /// # Panics
    ///
    /// If the settings were not checked, or a line is missing.
    pub fn start_alone(
        world: Arc<World>,
        settings: &StackSettings,
        service: &str,
        meter: Arc<Meter>,
        lines: &IndexMap<String, Line>,
    ) -> Stack {
        // What comes has come over a wire already.
        let wiring: Wiring = Arc::new(|replica| Arc::new(Door(replica)));
        let there = |(name, line): (&String, &Line)| (name.clone(), Callee::There(Arc::clone(line)));
        let callees: IndexMap<String, Callee> = lines.iter().map(there).collect();
        let node = node(&world, settings, service, meter);
        let count = settings[service].replicas as usize;
        node.begin(count, &mut |ordinal| replica(&node, &callees, &wiring, ordinal));
        node.shared.meter.set_replicas(count as u64);
        let nodes = IndexMap::from([(service.to_owned(), node)]);
        Stack { world, wiring, nodes, callees, disturbances: Mutex::default(), replacing: Mutex::default() }
    }

    /// Where users arrive.
    pub fn entry(&self) -> Arc<dyn Service> {
        let (_, node) = self.nodes.first().expect("checked settings have a service");
        Arc::clone(node) as Arc<dyn Service>
    }

    /// Draws and event log of this stack.
    pub fn world(&self) -> &Arc<World> {
        &self.world
    }

    /// Every service's name, in the scenario's order.
    pub fn services(&self) -> impl Iterator<Item = &str> {
        self.nodes.keys().map(String::as_str)
    }

    /// Every service's meter, in the scenario's order.
    pub fn meters(&self) -> Vec<(String, Arc<Meter>)> {
        self.nodes.iter().map(|(name, node)| (name.clone(), Arc::clone(&node.shared.meter))).collect()
    }

    /// Every service's meter read now, in the scenario's order, with its number of replicas.
    pub fn read(&self) -> Vec<(Snapshot, usize)> {
        self.bill();
        let at = now();
        let of = |node: &Arc<ServiceNode>| (node.shared.meter.read(at), node.replicas().len());
        self.nodes.values().map(of).collect()
    }

    /// Tells the meters what was computed until now, and what is past its time in caches: nobody counts that while it
    /// happens. For whoever reads a meter by itself.
    pub fn bill(&self) {
        self.nodes.values().for_each(|node| node.bill());
    }

    /// The meter of a service.
    ///
    /// # Panics
    ///
    /// If there is no such service.
    pub fn meter(&self, service: &str) -> Arc<Meter> {
        Arc::clone(&self.nodes[service].shared.meter)
    }

    /// Calls sent to each replica of a service, and not answered.
    #[cfg(test)]
    pub(crate) fn sent(&self, service: &str) -> Vec<usize> {
        self.nodes[service].sent()
    }

    /// The processors that each replica of a service asks for; none if it does not say.
    ///
    /// # Panics
    ///
    /// If there is no such service.
    pub fn requested_cpu(&self, service: &str) -> Option<f64> {
        self.nodes[service].shared.settings.snapshot().cpu.map(|cpu| cpu.requested)
    }

    /// How a service says that it takes connections.
    ///
    /// # Panics
    ///
    /// If there is no such service.
    pub fn listens(&self, service: &str) -> Option<Listen> {
        self.nodes[service].shared.settings.snapshot().listen
    }

    /// The replicas of a service, as a controller sees them.
    ///
    /// # Panics
    ///
    /// If there is no such service.
    pub fn seen(&self, service: &str) -> Vec<Seen> {
        self.nodes[service].seen()
    }

    /// Puts new settings of one service in force: whole, and for all calls that enter from now on. The calls
    /// between services cannot change.
    ///
    /// # Panics
    ///
    /// If there is no such service: settings are checked before.
    pub fn set(&self, service: &str, settings: ServiceSettings) {
        let _alone = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        self.replace(service, settings);
    }

    /// [`Stack::set`], except that there are as many replicas as there were: how many there are is somebody
    /// else's decision.
    ///
    /// # Panics
    ///
    /// As [`Stack::set`].
    pub fn set_all_but_replicas(&self, service: &str, settings: ServiceSettings) {
        let _alone = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        let replicas = self.nodes[service].shared.settings.snapshot().replicas;
        self.replace(service, ServiceSettings { replicas, ..settings });
    }

    fn replace(&self, service: &str, settings: ServiceSettings) {
        let node = &self.nodes[service];
        // As a file would say it, without what is absent: a policy that is added to the rig changes no log of a
        // scenario that has never heard of it.
        let text = serde_json::to_string(&settings).expect("settings are plain data");
        let key = name_key(service);
        self.world.record(EventKind::Setting, node.shared.number, key, mix(name_key(&text)));
        self.publish(node, settings);
        node.refresh();
    }

    /// Brings a service to `count` replicas and leaves the rest of its settings as it is, as a controller does.
    /// Returns how many there were.
    ///
    /// # Panics
    ///
    /// As [`Stack::set`].
    pub fn scale(&self, service: &str, count: u32) -> u32 {
        let _alone = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        let node = &self.nodes[service];
        let settings = node.shared.settings.snapshot();
        let before = settings.replicas;
        if before != count {
            let (from, to) = (u64::from(before), u64::from(count));
            self.world.record(EventKind::Scaled, node.shared.number, from, to);
            self.publish(node, ServiceSettings { replicas: count, ..(*settings).clone() });
        }
        before
    }

    /// Settings, and as many replicas as they say.
    fn publish(&self, node: &Arc<ServiceNode>, settings: ServiceSettings) {
        let (count, start_up) = (settings.replicas, settings.start_up.0);
        node.shared.settings.publish(settings);
        node.shared.meter.set_replicas(u64::from(count));
        let mut make = |ordinal| replica(node, &self.callees, &self.wiring, ordinal);
        node.scale(count as usize, start_up, &mut make);
    }

    /// `count` replicas of `service` lose what they are doing, and are started anew `away` later. Returns how many
    /// there were to lose.
    ///
    /// # Panics
    ///
    /// If there is no such service.
    pub fn lose(&self, service: &str, count: u32, away: Duration) -> usize {
        let node = &self.nodes[service];
        let start_up = node.shared.settings.snapshot().start_up.0;
        node.lose(count as usize, away, start_up)
    }

    /// Trigger number `trigger` begins to disturb `service`.
    ///
    /// # Panics
    ///
    /// If there is no such service.
    pub fn disturb(&self, trigger: usize, service: &str, disturbance: Disturbance) {
        self.world.record(EventKind::Trigger, self.nodes[service].shared.number, trigger as u64, 1);
        let mut active = self.active();
        active.insert(trigger, (service.to_owned(), disturbance));
        self.publish_disturbance(service, &active);
    }

    /// Trigger number `trigger` ends.
    pub fn calm(&self, trigger: usize) {
        let mut active = self.active();
        let Some((service, disturbance)) = active.remove(&trigger) else { return };
        self.world.record(EventKind::Trigger, self.nodes[&service].shared.number, trigger as u64, 0);
        self.publish_disturbance(&service, &active);
        if let Some(hold) = disturbance.hold {
            hold.open();
        }
    }

    fn active(&self) -> std::sync::MutexGuard<'_, Active> {
        self.disturbances.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish_disturbance(&self, service: &str, active: &Active) {
        let all = active.values().filter(|(of, _)| of == service);
        let combined = all.fold(Disturbance::default(), |sum, (_, one)| sum.and(one));
        let node = &self.nodes[service];
        node.shared.disturbance.publish(combined);
        node.refresh();
    }

    /// All replicas of `service` lose what they are doing and are away for `down`.
    ///
    /// # Panics
    ///
    /// If there is no such service.
    pub fn restart(&self, service: &str, down: Duration) {
        let up_again = now() + down;
        for replica in self.nodes[service].replicas() {
            replica.restart(up_again);
        }
    }

    /// Ends all work at `service` that came in at least `older_than` ago. Returns how much that was.
    ///
    /// # Panics
    ///
    /// If there is no such service.
    pub fn kill(&self, service: &str, older_than: Duration) -> usize {
        let node = &self.nodes[service];
        let killed: usize = node.replicas().iter().map(|replica| replica.kill(older_than)).sum();
        let age = older_than.as_nanos() as u64;
        self.world.record(EventKind::Kill, node.shared.number, age, killed as u64);
        killed
    }

    /// Ends the stack for good: what is inside is lost, nobody gets in any more, and nothing of it goes on in
    /// the background. For a stack that another one takes the place of.
    pub fn retire(&self) {
        self.nodes.values().for_each(|node| node.retire());
        // Whoever waits at a closed door is let in, and finds that there is nobody.
        let active: Vec<usize> = self.active().keys().copied().collect();
        active.into_iter().for_each(|trigger| self.calm(trigger));
    }
}

/// The service `name`, without replicas for now.
fn node(world: &Arc<World>, settings: &StackSettings, name: &str, meter: Arc<Meter>) -> Arc<ServiceNode> {
    let number = settings.get_index_of(name).expect("checked settings name known services");
    let shared = Shared {
        name: name.to_owned(),
        number: number as u8,
        subject: Shared::subject_of(name),
        world: Arc::clone(world),
        meter,
        settings: Live::new(settings[name].clone()),
        disturbance: Live::new(Disturbance::default()),
        entry: number == 0,
        pools: settings[name]
            .callees()
            .map(|callee| (callee.clone(), Arc::new(Gate::new(Rules::default()))))
            .collect(),
    };
    Arc::new(ServiceNode::new(Arc::new(shared)))
}

/// The replica of this ordinal with edges of its own to the services it calls, and the way to it.
fn replica(
    node: &Arc<ServiceNode>,
    callees: &IndexMap<String, Callee>,
    wiring: &Wiring,
    ordinal: u32,
) -> (Arc<Replica>, Line) {
    let shared = &node.shared;
    let settings = shared.settings.snapshot();
    let edges = settings.callees().map(|callee| {
        let surroundings = Surroundings {
            world: Arc::clone(&shared.world),
            meter: Arc::clone(&shared.meter),
            subject: mix(shared.subject ^ name_key(callee).rotate_left(1)),
            service: shared.number,
            pool: Arc::clone(&shared.pools[callee]),
        };
        Edge::new(&surroundings, callees[callee].clone())
    });
    let replica = Replica::new(Arc::clone(shared), ordinal, edges.collect());
    let (whose, which) = (Arc::downgrade(node), Arc::downgrade(&replica));
    replica.is_killed_by(move || {
        if let (Some(node), Some(replica)) = (whose.upgrade(), which.upgrade()) {
            node.killed(&replica);
        }
    });
    // Users are handed to the first service by the driver: there is no wire between them.
    let line: Line =
        if shared.entry { Arc::new(Door(Arc::clone(&replica))) } else { wiring(Arc::clone(&replica)) };
    (replica, line)
}
