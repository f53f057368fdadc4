//! Overall deadline: the longest that a user waits for a call with all its attempts.
//!
//! Prevents: users who wait for minutes behind a series of retries. Can cause: nothing by itself, but work
//! goes on for a caller who has left unless the deadline is propagated and the service drops expired work.

use pumphandle_core::time::{self, Order};
use pumphandle_core::{Answering, Call, CallError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tower::layer::layer_fn;

use crate::{Next, Policies, Policy, Settings, Surroundings};

/// Whether deadlines travel with the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Propagation(pub bool);

impl Settings for Propagation {}

/// Whether deadlines travel with calls on this edge.
pub fn propagates(settings: &Policies) -> bool {
    settings.propagate_deadline == Some(Propagation(true))
}

/// Shortens the deadline that travels with `call` to `limit` from now, if deadlines travel here.
pub(crate) fn stamp(settings: &Policies, call: &mut Call, limit: std::time::Duration) {
    if propagates(settings) {
        let deadline = time::now() + limit;
        call.deadline = Some(call.deadline.map_or(deadline, |earlier| earlier.min(deadline)));
    }
}

/// See the module.
pub struct Deadline {
    inner: Next,
}

/// The layer that adds a [`Deadline`].
pub fn layer(_: &Surroundings) -> impl tower::Layer<Next, Service = Deadline> + use<> {
    layer_fn(|inner| Deadline { inner })
}

impl Policy for Deadline {
    fn call<'a>(&'a self, settings: &'a Policies, mut call: Call) -> Answering<'a> {
        let Some(limit) = settings.deadline.and_then(|patience| patience.limit()) else {
            return self.inner.call(settings, call);
        };
        stamp(settings, &mut call, limit);
        let order = Order::timeout(call.path.id());
        Box::pin(async move {
            time::timeout(limit, order, self.inner.call(settings, call))
                .await
                .unwrap_or(Err(CallError::DeadlineExceeded))
        })
    }

    fn changed(&self, settings: &Policies) {
        self.inner.changed(settings);
    }
}
