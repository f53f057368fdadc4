//! Bulkhead: how many attempts of one edge may be under way at a time; one more is refused, or waits a little.
//!
//! Prevents: one slow service that takes the whole caller down. A caller's workers are shared by all that it
//! calls. When one of these is slow, by Little's law the workers that wait for it are its rate times its
//! latency, and soon they are all of them: calls that need only its healthy neighbours then find no worker
//! either. A bulkhead is the wall between compartments after which it is named: what one edge can fill is
//! its own compartment (Nygard, "Release It!", 2nd edition, 2018, chapter 5).
//!
//! Can cause: refusals on an ordinary day, if it is as wide as the *mean* number of calls under way and not as
//! their peak: `scenarios/policies/bulkhead-as-wide-as-the-mean.yaml`. A cap that nobody remembers, which
//! scales with nothing. And with a long wait, what it is there to prevent: those who wait for a place hold the
//! caller's workers too.
//!
//! Why not the pool? A pool's connections are shared resources of the called service, and waiting for one is
//! part of an attempt; a bulkhead protects the *caller*. It therefore refuses at once if not told otherwise,
//! says "limited", which is not tried again, and stands outside of the breaker: what it refuses says nothing
//! of the service behind it, and must not open a breaker on it.

use std::sync::Arc;

use pumphandle_core::gate::{Gate, Permit, Rules, UNLIMITED};
use pumphandle_core::meter::{Flow, Meter, StockName};
use pumphandle_core::time::{self, Order};
use pumphandle_core::{Answering, Call, CallError, Dur};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tower::layer::layer_fn;

use crate::{Next, Policies, Policy, Settings, Surroundings, Wrong, yes};

/// Settings of a bulkhead. As resilience4j's: a number of permits and a wait, which is zero unless set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bulkhead {
    /// On or off. On if absent.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Attempts under way at a time, from 1 to 1000000.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub calls: usize,
    /// How long one may wait for a place, such as 100ms. Refused at once if absent.
    #[serde(default)]
    pub max_wait: Dur,
}

impl Settings for Bulkhead {
    fn check(&self) -> Vec<Wrong> {
        let none = self.calls == 0;
        none.then(|| Wrong::at("calls", "a bulkhead has room for at least one call")).into_iter().collect()
    }
}

/// See the module.
pub struct Compartment {
    inner: Next,
    gate: Gate,
    meter: Arc<Meter>,
}

/// The layer that adds a [`Compartment`].
pub fn layer(surroundings: &Surroundings) -> impl tower::Layer<Next, Service = Compartment> + use<> {
    let meter = Arc::clone(&surroundings.meter);
    layer_fn(move |inner| Compartment { inner, gate: Gate::new(Rules::default()), meter: Arc::clone(&meter) })
}

impl Compartment {
    async fn enter(&self, bulkhead: &Bulkhead, call: &Call) -> Result<Permit<'_>, CallError> {
        let waiting = self.gate.acquire(None, self.meter.stock(StockName::BulkheadWaiting));
        // Also with a wait of nothing, for which the gate has no room: a call keeps the settings with which it
        // entered, and in its second attempt the gate may have room by newer ones.
        match time::timeout(bulkhead.max_wait.0, Order::timeout(call.path.id()), waiting).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => {
                self.meter.count(Flow::Limited);
                Err(CallError::Limited)
            }
        }
    }
}

impl Policy for Compartment {
    fn call<'a>(&'a self, settings: &'a Policies, call: Call) -> Answering<'a> {
        let Some(bulkhead) = settings.bulkhead.as_ref().filter(|bulkhead| bulkhead.enabled) else {
            return self.inner.call(settings, call);
        };
        Box::pin(async move {
            let _place = self.enter(bulkhead, &call).await?;
            let _inside = self.meter.stock(StockName::BulkheadActive).inside();
            self.inner.call(settings, call).await
        })
    }

    fn changed(&self, settings: &Policies) {
        let bulkhead = settings.bulkhead.as_ref().filter(|bulkhead| bulkhead.enabled);
        self.gate.set_rules(Rules {
            limit: bulkhead.map_or(UNLIMITED, |bulkhead| bulkhead.calls),
            room: bulkhead.map_or(UNLIMITED, |it| if it.max_wait.0.is_zero() { 0 } else { UNLIMITED }),
            ..Rules::default()
        });
        self.inner.changed(settings);
    }
}

#[cfg(test)]
mod tests;
