//! Attempt timeout: how long a caller waits for one attempt before it gives up on it.
//!
//! Prevents: callers stuck on an answer that will not come. Can cause: a retry storm, because the work that
//! was given up on goes on while its retry adds to it.

use pumphandle_core::meter::{Flow, Meter};
use pumphandle_core::time::{self, Order};
use pumphandle_core::{Answering, Call, CallError};
use std::sync::Arc;
use tower::layer::layer_fn;

use crate::deadline::stamp;
use crate::{Next, Policies, Policy, Surroundings};

/// See the module.
pub struct AttemptTimeout {
    inner: Next,
    meter: Arc<Meter>,
}

/// The layer that adds an [`AttemptTimeout`].
pub fn layer(surroundings: &Surroundings) -> impl tower::Layer<Next, Service = AttemptTimeout> + use<> {
    let meter = Arc::clone(&surroundings.meter);
    layer_fn(move |inner| AttemptTimeout { inner, meter: Arc::clone(&meter) })
}

impl Policy for AttemptTimeout {
    fn call<'a>(&'a self, settings: &'a Policies, mut call: Call) -> Answering<'a> {
        let Some(limit) = settings.attempt_timeout.and_then(|patience| patience.limit()) else {
            return self.inner.call(settings, call);
        };
        stamp(settings, &mut call, limit);
        let order = Order::timeout(call.path.id());
        Box::pin(async move {
            match time::timeout(limit, order, self.inner.call(settings, call)).await {
                Ok(outcome) => outcome,
                Err(time::Elapsed) => {
                    self.meter.count(Flow::AttemptTimeouts);
                    Err(CallError::Timeout)
                }
            }
        })
    }

    fn changed(&self, settings: &Policies) {
        self.inner.changed(settings);
    }
}
