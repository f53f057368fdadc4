//! What can be said of a service, and what is wrong with what was said.

use std::collections::BTreeSet;

use indexmap::IndexMap;
use pumphandle_core::gate::{AdaptiveLifo, CoDel, Discipline};
use pumphandle_core::{Dur, Share};
use pumphandle_policy::advice::RefusalAdvice;
use pumphandle_policy::concurrency_limit::ConcurrencyLimit;
use pumphandle_policy::load_shed::LoadShed;
use pumphandle_policy::rate_limit::RateLimit;
use pumphandle_policy::retry_quota::RetryQuota;
use pumphandle_policy::{Policies, Settings, Wrong};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cache::Cache;
use crate::listen::Listen;
use crate::locks::{Locks, Optimistic};
use crate::memory::Memory;
use crate::processor::Contention;
use crate::service::Balance;
use crate::service_time::ServiceTime;

/// The services of a stack by name. The first is the one that users reach.
pub type StackSettings = IndexMap<String, ServiceSettings>;

/// One service.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceSettings {
    /// Identical instances, from 1 to 1000, each with a queue, workers, connections and breakers of its own.
    /// One if absent.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1000))]
    pub replicas: u32,
    /// How the replica for the next call is chosen: `round_robin`, `least_requests`, `power_of_two` or `random`.
    /// One after the other if absent.
    #[serde(default, skip_serializing_if = "Balance::is_default")]
    pub balance: Balance,
    /// How long a replica that is started, or was lost, takes until it takes calls, such as 30s. Those that are
    /// there at the start are ready. At once if absent.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub start_up: Dur,
    /// Processors: what a replica asks for, and how much of its own work is computing. Not counted if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Cpu>,
    /// How connections come in: the kernel's queue of them, and who accepts them. They cost nothing if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen: Option<Listen>,
    /// Calls handled at a time by one replica; without a limit if absent. A worker that waits for another
    /// service is occupied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub workers: Option<usize>,
    /// Where calls wait for a worker. A queue without a limit, first in first out, if absent.
    #[serde(default)]
    pub queue: Queue,
    /// How much work a call is for this service itself. None if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_time: Option<ServiceTime>,
    /// How much work a call of a class is, by the class's name, where it is not `service_time`, such as
    /// `{ report: { constant: 1s } }`. The same for all classes if absent.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub service_time_of: IndexMap<String, ServiceTime>,
    /// How calls being worked on slow each other down. They do not if absent.
    #[serde(default)]
    pub contention: Contention,
    /// The share of calls that fail after the work is done, such as 1% or 0.01. None if absent.
    #[serde(default)]
    pub failure: Share,
    /// Time on the way to the service, such as 1ms. None if absent.
    #[serde(default)]
    pub latency: Dur,
    /// Stop working on a call whose caller has left. Work goes on if absent, as a thread per request does,
    /// which notices nothing.
    #[serde(default)]
    pub cancel_on_disconnect: bool,
    /// Refuse calls above a number inside. None is refused if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_shed: Option<LoadShed>,
    /// Let only so many calls per second in, through each replica. As many as there are if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub door_rate_limit: Option<RateLimit>,
    /// Let only so many calls in at a time, into each replica, by what their latency tells. As many as there are
    /// if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub door_concurrency_limit: Option<ConcurrencyLimit>,
    /// What to tell callers that are refused. Nothing if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<RefusalAdvice>,
    /// Refuse retries above a share of first attempts. None is refused if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_quota: Option<RetryQuota>,
    /// A cache in front of the services that it calls: a call for which there is an entry is answered by it. None if
    /// absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<Cache>,
    /// Memory of each replica: what calls take of it, and that it is killed at the limit. Not counted if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// Work that takes as long as this is counted as slow, from when a worker begins it until it ends, however it does,
    /// such as 500ms. Not counted if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_log: Option<Dur>,
    /// Rows that calls lock while they are worked on. There are no locks if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locks: Option<Locks>,
    /// Connections that may be in use at one replica, from 1 to 1000000, one by each call inside; one more is refused.
    /// Any number if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_connections: Option<usize>,
    /// Rows that calls read when their work begins and write when it ends; one that was written in between makes the
    /// call fail. Nothing is written if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optimistic: Option<Optimistic>,
    /// The services it calls for every call, one after the other: a name or a list of names. None if absent.
    #[serde(default, skip_serializing_if = "Calls::is_none")]
    pub calls: Calls,
    /// Services that it calls only where `route` says so: a name or a list of names. None if absent.
    #[serde(default, skip_serializing_if = "Calls::is_none")]
    pub standby: Calls,
    /// Where calls of a class go instead: by class, then by the service that they would go to, such as
    /// `{ report: { db: replica } }`. All go where `calls` says if absent.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub route: Routes,
    /// Policies on its calls to other services. None if absent.
    #[serde(default)]
    pub with: Policies,
}

impl Default for ServiceSettings {
    fn default() -> ServiceSettings {
        ServiceSettings {
            replicas: 1,
            balance: Balance::default(),
            start_up: Dur::default(),
            cpu: None,
            listen: None,
            workers: None,
            queue: Queue::default(),
            service_time: None,
            service_time_of: IndexMap::new(),
            contention: Contention::default(),
            failure: Share(0.0),
            latency: Dur::default(),
            cancel_on_disconnect: false,
            load_shed: None,
            door_rate_limit: None,
            door_concurrency_limit: None,
            advice: None,
            retry_quota: None,
            cache: None,
            memory: None,
            slow_log: None,
            locks: None,
            max_connections: None,
            optimistic: None,
            calls: Calls::default(),
            standby: Calls::default(),
            route: Routes::new(),
            with: Policies::default(),
        }
    }
}

/// By class, then by the service that a call would go to: the service that it goes to.
pub type Routes = IndexMap<String, IndexMap<String, String>>;

/// As derived, except that what concerns classes is only written where there is something to write. The digest
/// of an event log is made from this text: a feature that a scenario does not use must not change it.
impl std::fmt::Debug for ServiceSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // By name and without `..`, so that no field is forgotten.
        let ServiceSettings {
            replicas,
            balance,
            start_up,
            cpu,
            listen,
            workers,
            queue,
            service_time,
            service_time_of,
            contention,
            failure,
            latency,
            cancel_on_disconnect,
            load_shed,
            door_rate_limit,
            door_concurrency_limit,
            advice,
            retry_quota,
            cache,
            memory,
            slow_log,
            locks,
            max_connections,
            optimistic,
            calls,
            standby,
            route,
            with,
        } = self;
        let mut all = f.debug_struct("ServiceSettings");
        all.field("replicas", replicas).field("workers", workers).field("queue", queue);
        all.field("service_time", service_time);
        if !balance.is_default() {
            all.field("balance", balance);
        }
        if !is_zero(start_up) {
            all.field("start_up", start_up);
        }
        if cpu.is_some() {
            all.field("cpu", cpu);
        }
        if listen.is_some() {
            all.field("listen", listen);
        }
        if !service_time_of.is_empty() {
            all.field("service_time_of", service_time_of);
        }
        all.field("contention", contention).field("failure", failure).field("latency", latency);
        all.field("cancel_on_disconnect", cancel_on_disconnect);
        all.field("load_shed", load_shed).field("retry_quota", retry_quota).field("calls", calls);
        if door_rate_limit.is_some() {
            all.field("door_rate_limit", door_rate_limit);
        }
        if door_concurrency_limit.is_some() {
            all.field("door_concurrency_limit", door_concurrency_limit);
        }
        if advice.is_some() {
            all.field("advice", advice);
        }
        if cache.is_some() {
            all.field("cache", cache);
        }
        if memory.is_some() {
            all.field("memory", memory);
        }
        if slow_log.is_some() {
            all.field("slow_log", slow_log);
        }
        if locks.is_some() {
            all.field("locks", locks);
        }
        if max_connections.is_some() {
            all.field("max_connections", max_connections);
        }
        if optimistic.is_some() {
            all.field("optimistic", optimistic);
        }
        if !standby.is_none() {
            all.field("standby", standby);
        }
        if !route.is_empty() {
            all.field("route", route);
        }
        all.field("with", with).finish()
    }
}

fn one() -> u32 {
    1
}

fn is_zero(dur: &Dur) -> bool {
    dur.0.is_zero()
}

/// What a replica asks for, and what it computes. A piece of work takes one processor while it is in service, for
/// the share of it that is computing. Waiting is none: for other services, for locks (`contention`), for a worker.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cpu {
    /// Processors that one replica asks for, from 0.001 to 1000, such as 0.25. Nothing keeps it from using more,
    /// up to one per worker: utilisation is a share of what was asked for, and may be far above 100 %.
    #[schemars(range(min = 0.001, max = 1000.0))]
    pub requested: f64,
    /// How much of the service time is computing. All of it if absent.
    #[serde(default = "all", skip_serializing_if = "is_all")]
    pub computing: Share,
}

fn all() -> Share {
    Share(1.0)
}

fn is_all(share: &Share) -> bool {
    share.0 == 1.0
}

/// A request queue.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Queue {
    /// How many calls may wait, up to 1000000000; one more is refused. Without a limit if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1_000_000_000))]
    pub size: Option<usize>,
    /// Who is served next: `fifo` or `lifo`. First in, first out, if absent.
    #[serde(default)]
    pub order: Discipline,
    /// Drop calls at the head while the wait has been too long for a while. None is dropped if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codel: Option<CoDel>,
    /// First in, first out while the queue is short-lived, last in, first out with a short patience while it is
    /// not: instead of `order` and `codel`. Not if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adaptive_lifo: Option<AdaptiveLifo>,
    /// Drop calls whose deadline has passed instead of serving them. Needs callers that propagate deadlines
    /// (`propagate_deadline`). All are served if absent.
    #[serde(default)]
    pub drop_expired: bool,
}

/// The services that a service calls.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Calls {
    /// None.
    #[default]
    #[schemars(skip)]
    None,
    /// One service.
    One(String),
    /// Several, in this order.
    Several(Vec<String>),
}

impl Calls {
    fn is_none(&self) -> bool {
        *self == Calls::None
    }

    /// Every name with its place below `field`.
    fn places<'a>(&'a self, field: &'a str) -> impl Iterator<Item = (String, &'a String)> {
        self.names().iter().enumerate().map(move |(i, name)| match self {
            Calls::Several(_) => (format!("{field}[{i}]"), name),
            _ => (field.to_owned(), name),
        })
    }

    /// Their names, in the order of the calls.
    pub fn names(&self) -> &[String] {
        match self {
            Calls::None => &[],
            Calls::One(name) => std::slice::from_ref(name),
            Calls::Several(names) => names,
        }
    }
}

impl ServiceSettings {
    /// The names of its own fields, as opposed to its policies'.
    pub const FIELDS: [&'static str; 28] = [
        "replicas",
        "balance",
        "start_up",
        "cpu",
        "listen",
        "workers",
        "queue",
        "service_time",
        "service_time_of",
        "contention",
        "failure",
        "latency",
        "cancel_on_disconnect",
        "load_shed",
        "door_rate_limit",
        "door_concurrency_limit",
        "advice",
        "retry_quota",
        "cache",
        "memory",
        "slow_log",
        "locks",
        "max_connections",
        "optimistic",
        "calls",
        "standby",
        "route",
        "with",
    ];

    /// All services that it may call: those for every call, then those for which it needs a route.
    pub fn callees(&self) -> impl Iterator<Item = &String> {
        self.calls.names().iter().chain(self.standby.names())
    }

    /// The place among [`callees`](ServiceSettings::callees) of the service that calls of `class` go to in
    /// place of the `call`-th of `calls`.
    pub fn routed(&self, class: &str, call: usize) -> usize {
        let instead = || self.route.get(class)?.get(&self.calls.names()[call]);
        let place = |name: &String| self.callees().position(|callee| callee == name);
        instead().and_then(place).unwrap_or(call)
    }

    /// The share of a piece of work in service that is counted as computing; none is where no processors are
    /// asked for.
    pub fn computing(&self) -> f64 {
        self.cpu.map_or(0.0, |cpu| cpu.computing.0)
    }

    /// The classes that it names, each with the setting that does.
    pub fn named_classes(&self) -> impl Iterator<Item = (&'static str, &String)> {
        let times = self.service_time_of.keys().map(|class| ("service_time_of", class));
        times.chain(self.route.keys().map(|class| ("route", class)))
    }

    /// What the shape alone does not refuse, for this service by itself.
    pub fn check(&self) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        if self.workers == Some(0) {
            wrong.push(Wrong::at("workers", "a service has at least one worker"));
        }
        if self.queue.adaptive_lifo.is_some() && self.queue.codel.is_some() {
            let message = "it has a controlled delay of its own: leave out `codel`";
            wrong.push(Wrong::at("queue.adaptive_lifo", message));
        }
        if self.queue.adaptive_lifo.is_some() && self.queue.order == Discipline::Lifo {
            let message = "it decides itself who is served next: leave out `order`";
            wrong.push(Wrong::at("queue.adaptive_lifo", message));
        }
        if self.replicas == 0 {
            wrong.push(Wrong::at("replicas", "a service has at least one replica"));
        }
        let under = |place: &str, all: Vec<Wrong>| -> Vec<Wrong> {
            let place = place.to_owned();
            all.into_iter()
                .map(|w| {
                    let dot = if w.path.is_empty() { "" } else { "." };
                    Wrong::at(format!("{place}{dot}{}", w.path), w.message)
                })
                .collect()
        };
        if let Some(takes) = &self.service_time {
            wrong.extend(under("service_time", takes.check()));
        }
        for (class, takes) in &self.service_time_of {
            wrong.extend(under(&format!("service_time_of.{class}"), takes.check()));
        }
        if let Some(cpu) = &self.cpu {
            if !(0.001..=1000.0).contains(&cpu.requested) {
                let message = "a replica asks for 0.001 to 1000 processors";
                wrong.push(Wrong::at("cpu.requested", message));
            }
            if self.service_time.is_none() && self.service_time_of.is_empty() {
                wrong.push(Wrong::at("cpu", "it has no service_time: there is nothing to compute"));
            }
        }
        if let Some(listen) = &self.listen {
            wrong.extend(under("listen", listen.check()));
        }
        wrong.extend(self.check_routes());
        for (name, value) in [("alpha", self.contention.alpha), ("beta", self.contention.beta)] {
            if !(0.0..=10.0).contains(&value) {
                wrong.push(Wrong::at(format!("contention.{name}"), format!("{name} lies between 0 and 10")));
            }
        }
        if let Some(limit) = &self.door_rate_limit {
            wrong.extend(under("door_rate_limit", limit.check()));
        }
        if let Some(limit) = &self.door_concurrency_limit {
            wrong.extend(under("door_concurrency_limit", limit.check()));
        }
        if let Some(shed) = &self.load_shed {
            wrong.extend(under("load_shed", shed.check()));
        }
        if let Some(advice) = &self.advice {
            wrong.extend(under("advice", advice.check()));
        }
        if let Some(cache) = &self.cache {
            wrong.extend(under("cache", cache.check()));
            if self.calls.is_none() {
                wrong.push(Wrong::at("cache", "it calls nobody: there is nothing to fill a cache with"));
            }
        }
        if let Some(memory) = &self.memory {
            wrong.extend(under("memory", memory.check()));
        }
        if let Some(locks) = &self.locks {
            wrong.extend(under("locks", locks.check()));
        }
        if self.max_connections == Some(0) {
            wrong.push(Wrong::at("max_connections", "nobody could connect: 1 to 1000000"));
        }
        if let Some(optimistic) = &self.optimistic {
            wrong.extend(under("optimistic", optimistic.check()));
        }
        wrong.extend(under("with", self.with.check()));
        wrong
    }

    fn check_routes(&self) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        for (i, name) in self.standby.names().iter().enumerate() {
            if self.calls.names().contains(name) || self.standby.names()[..i].contains(name) {
                let place =
                    if let Calls::Several(_) = self.standby { format!("[{i}]") } else { String::new() };
                let message = format!("`{name}` is called already: what stands by is called by a route only");
                wrong.push(Wrong::at(format!("standby{place}"), message));
            }
        }
        for (class, ways) in &self.route {
            for (from, to) in ways {
                let place = format!("route.{class}.{from}");
                if !self.calls.names().contains(from) {
                    wrong.push(Wrong::at(place, format!("`{from}` is not among the services that it calls")));
                } else if !self.callees().any(|callee| callee == to) {
                    let message = format!("no way leads to `{to}`: add it to `standby`");
                    wrong.push(Wrong::at(place, message));
                }
            }
        }
        wrong
    }
}

/// Why the first service has no accept queue.
pub const FIRST_DOES_NOT_LISTEN: &str =
    "users are handed to the first service without a connection: a service that is called listens";

/// What is wrong between services: unknown names, cycles, services that nobody reaches. Paths are
/// `service.calls`.
pub fn check_graph(services: &StackSettings) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    if let Some((name, _)) = services.first().filter(|(_, first)| first.listen.is_some()) {
        wrong.push(Wrong::at(format!("{name}.listen"), FIRST_DOES_NOT_LISTEN));
    }
    for (name, service) in services {
        let places = service.calls.places("calls").chain(service.standby.places("standby"));
        for (place, callee) in places {
            let place = format!("{name}.{place}");
            if callee == name {
                wrong.push(Wrong::at(place, format!("`{name}` calls itself")));
            } else if !services.contains_key(callee) {
                wrong.push(Wrong::at(place, format!("no such service: `{callee}`")));
            }
        }
    }
    if !wrong.is_empty() {
        return wrong;
    }
    match callees_first(services) {
        Err(cycle) => {
            let path = format!("{}.calls", cycle[0]);
            wrong.push(Wrong::at(path, format!("the calls go round in a circle: {}", cycle.join(" -> "))));
        }
        Ok(_) => {
            let reached = reached(services);
            for name in services.keys().filter(|name| !reached.contains(name.as_str())) {
                let entry = services.keys().next().map_or("", |name| name);
                wrong.push(Wrong::at(name.clone(), format!("nobody calls `{name}`: users reach `{entry}`")));
            }
        }
    }
    wrong
}

fn reached(services: &StackSettings) -> BTreeSet<&str> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&str> = services.keys().take(1).map(String::as_str).collect();
    while let Some(name) = next.pop() {
        if reached.insert(name) {
            next.extend(services[name].callees().map(String::as_str));
        }
    }
    reached
}

/// The services in an order in which every callee comes before its callers.
///
/// # Errors
///
/// The names along a circle, if the calls have one.
pub fn callees_first(services: &StackSettings) -> Result<Vec<String>, Vec<String>> {
    fn visit(
        name: &str,
        services: &StackSettings,
        trail: &mut Vec<String>,
        done: &mut Vec<String>,
    ) -> Result<(), Vec<String>> {
        if done.iter().any(|known| known == name) {
            return Ok(());
        }
        if let Some(start) = trail.iter().position(|known| known == name) {
            let mut cycle = trail[start..].to_vec();
            cycle.push(name.to_owned());
            return Err(cycle);
        }
        trail.push(name.to_owned());
        for callee in services.get(name).into_iter().flat_map(ServiceSettings::callees) {
            visit(callee, services, trail, done)?;
        }
        trail.pop();
        done.push(name.to_owned());
        Ok(())
    }
    let mut done = Vec::new();
    for name in services.keys() {
        visit(name, services, &mut Vec::new(), &mut done)?;
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_settings_that_use_no_classes_does_not_know_of_them() {
        let plain = format!("{:?}", ServiceSettings::default());
        for word in ["service_time_of", "standby", "route"] {
            assert!(!plain.contains(&format!("{word}:")), "{plain}");
        }
        let mut routed = ServiceSettings { calls: Calls::One("db".to_owned()), ..ServiceSettings::default() };
        let before = format!("{routed:?}");
        routed.standby = Calls::One("replica".to_owned());
        routed.route.insert("report".to_owned(), [("db".to_owned(), "replica".to_owned())].into());
        assert!(format!("{routed:?}") != before && routed.check().is_empty());
    }

    #[test]
    fn a_route_leads_from_a_service_that_is_called_to_one_that_may_be() {
        let several = |names: &[&str]| Calls::Several(names.iter().map(|&name| name.to_owned()).collect());
        let route = |from: &str, to: &str| -> Routes {
            [("report".to_owned(), [(from.to_owned(), to.to_owned())].into())].into()
        };
        let (calls, standby) = (several(&["cache", "db"]), several(&["replica"]));
        let of = |route| ServiceSettings {
            calls: calls.clone(),
            standby: standby.clone(),
            route,
            ..Default::default()
        };
        let right = of(route("db", "replica"));
        assert!(right.check().is_empty());
        assert_eq!([0, 1].map(|call| right.routed("report", call)), [0, 2]);
        assert_eq!([0, 1].map(|call| right.routed("point", call)), [0, 1]);
        assert_eq!(of(route("replica", "db")).check()[0].path, "route.report.replica");
        assert!(of(route("db", "other")).check()[0].message.contains("standby"));
        let twice = ServiceSettings { standby: several(&["db"]), ..of(Routes::new()) };
        assert_eq!(twice.check()[0].path, "standby[0]");
    }
}
