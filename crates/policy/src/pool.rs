//! Connection pool: how many calls to a service may be under way at a time; the rest wait for a connection.
//!
//! Prevents: a database drowned in concurrent queries. Can cause: connection exhaustion, when each is held
//! longer because there are so many of them; and a hidden queue, since waiting for a connection is not a
//! queue that anybody drew.
//!
//! The size can be changed while connections are out: see [`Gate`].
//!
//! Each replica of the calling service has a pool of its own, as a process has: what is called sees as many
//! connections as there are replicas times the size, and scaling the caller scales the pressure on it. A pool that
//! is `shared` stands between all replicas and what they call, as PgBouncer does: scaling the caller adds
//! waiters, not connections.

use std::sync::Arc;

use pumphandle_core::gate::{Discipline, Gate, Refused, Rules, UNLIMITED};
use pumphandle_core::meter::{Flow, Meter, StockName};
use pumphandle_core::time::{self, Order};
use pumphandle_core::{Answering, Call, CallError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tower::layer::layer_fn;

use crate::{Next, Patience, Policies, Policy, Settings, Surroundings, Wrong, yes};

/// Settings of a connection pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    /// On or off. On if absent.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Connections, from 1 to 1000000.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub size: usize,
    /// The longest wait for a connection, such as 250ms, or off. No limit if absent.
    #[serde(default = "no_limit")]
    pub acquire_timeout: Patience,
    /// Who gets a connection that comes free: `fifo` or `lifo`. First in, first out, if absent.
    #[serde(default)]
    pub order: Discipline,
    /// How many may wait, up to 1000000000; one more fails at once. No limit if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1_000_000_000))]
    pub waiting: Option<usize>,
    /// One pool for all replicas of the calling service, as a proxy in front of a database is. Each replica has
    /// one of its own if absent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shared: bool,
}

fn no_limit() -> Patience {
    Patience(None)
}

impl Settings for Pool {
    fn check(&self) -> Vec<Wrong> {
        let none = self.size == 0;
        none.then(|| Wrong::at("size", "a pool has at least one connection")).into_iter().collect()
    }
}

/// See the module.
pub struct Pooled {
    inner: Next,
    gate: Gate,
    shared: Arc<Gate>,
    meter: Arc<Meter>,
}

/// The layer that adds a [`Pooled`].
pub fn layer(surroundings: &Surroundings) -> impl tower::Layer<Next, Service = Pooled> + use<> {
    let (meter, shared) = (Arc::clone(&surroundings.meter), Arc::clone(&surroundings.pool));
    layer_fn(move |inner| Pooled {
        inner,
        gate: Gate::new(Rules::default()),
        shared: Arc::clone(&shared),
        meter: Arc::clone(&meter),
    })
}

impl Pooled {
    async fn acquire(
        &self,
        pool: &Pool,
        call: &Call,
    ) -> Result<pumphandle_core::gate::Permit<'_>, CallError> {
        let gate = if pool.shared { &*self.shared } else { &self.gate };
        let waiting = gate.acquire(None, self.meter.stock(StockName::PoolWaiting));
        let acquired = match pool.acquire_timeout.limit() {
            None => waiting.await,
            Some(limit) => time::timeout(limit, Order::timeout(call.path.id()), waiting)
                .await
                .unwrap_or(Err(Refused::Expired)),
        };
        acquired.map_err(|_| {
            self.meter.count(Flow::PoolTimeouts);
            CallError::PoolTimeout
        })
    }
}

impl Policy for Pooled {
    fn call<'a>(&'a self, settings: &'a Policies, call: Call) -> Answering<'a> {
        let Some(pool) = settings.pool.as_ref().filter(|pool| pool.enabled) else {
            return self.inner.call(settings, call);
        };
        Box::pin(async move {
            let _connection = self.acquire(pool, &call).await?;
            let _held = self.meter.stock(StockName::PoolActive).inside();
            self.inner.call(settings, call).await
        })
    }

    fn changed(&self, settings: &Policies) {
        let pool = settings.pool.as_ref().filter(|pool| pool.enabled);
        let rules = Rules {
            limit: pool.map_or(UNLIMITED, |pool| pool.size),
            room: pool.and_then(|pool| pool.waiting).unwrap_or(UNLIMITED),
            discipline: pool.map(|pool| pool.order).unwrap_or_default(),
            ..Rules::default()
        };
        // Both, since whoever is in the one line stays there when others go to the other.
        self.gate.set_rules(rules);
        self.shared.set_rules(rules);
        self.inner.changed(settings);
    }
}

#[cfg(test)]
mod tests;
