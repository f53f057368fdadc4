//! What can be said of a service, and what is wrong with what was said.

use std::collections::BTreeSet;

use indexmap::IndexMap;
use pumphandle_core::gate::{AdaptiveLifo, CoDel, Discipline};
use pumphandle_core::{Dur, Share};
use pumphandle_policy::concurrency_limit::ConcurrencyLimit;
use pumphandle_policy::load_shed::LoadShed;
use pumphandle_policy::rate_limit::RateLimit;
use pumphandle_policy::retry_quota::RetryQuota;
use pumphandle_policy::{Policies, Settings as _, Wrong};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::processor::Contention;
use crate::service_time::ServiceTime;

/// The services of a stack by name. The first is the one that users reach.
pub type StackSettings = IndexMap<String, ServiceSettings>;

/// One service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceSettings {
    /// Identical instances, from 1 to 1000, each with a queue, workers, connections and breakers of its own.
    /// One if absent.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1000))]
    pub replicas: u32,
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
    /// Refuse retries above a share of first attempts. None is refused if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_quota: Option<RetryQuota>,
    /// The services it calls for every call, one after the other: a name or a list of names. None if absent.
    #[serde(default, skip_serializing_if = "Calls::is_none")]
    pub calls: Calls,
    /// Policies on its calls to other services. None if absent.
    #[serde(default)]
    pub with: Policies,
}

impl Default for ServiceSettings {
    fn default() -> ServiceSettings {
        ServiceSettings {
            replicas: 1,
            workers: None,
            queue: Queue::default(),
            service_time: None,
            contention: Contention::default(),
            failure: Share(0.0),
            latency: Dur::default(),
            cancel_on_disconnect: false,
            load_shed: None,
            door_rate_limit: None,
            door_concurrency_limit: None,
            retry_quota: None,
            calls: Calls::default(),
            with: Policies::default(),
        }
    }
}

fn one() -> u32 {
    1
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
    pub const FIELDS: [&'static str; 14] = [
        "replicas",
        "workers",
        "queue",
        "service_time",
        "contention",
        "failure",
        "latency",
        "cancel_on_disconnect",
        "load_shed",
        "door_rate_limit",
        "door_concurrency_limit",
        "retry_quota",
        "calls",
        "with",
    ];

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
        wrong.extend(under("with", self.with.check()));
        wrong
    }
}

/// What is wrong between services: unknown names, cycles, services that nobody reaches. Paths are
/// `service.calls`.
pub fn check_graph(services: &StackSettings) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    for (name, service) in services {
        for (i, callee) in service.calls.names().iter().enumerate() {
            let place = match &service.calls {
                Calls::Several(_) => format!("{name}.calls[{i}]"),
                _ => format!("{name}.calls"),
            };
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
            next.extend(services[name].calls.names().iter().map(String::as_str));
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
        for callee in services.get(name).map_or(&[][..], |service| service.calls.names()) {
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
