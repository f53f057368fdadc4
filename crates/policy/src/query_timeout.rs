//! Query timeout: the called service ends work that takes longer than this, as a database's statement
//! timeout does. Unlike an attempt timeout, the work stops.
//!
//! Prevents: queries that hold connections and locks for ever. Can cause: a service that spends all its time
//! on work it then kills, when the limit is shorter than a query takes under the load at hand:
//! `scenarios/policies/query-timeout-under-load.yaml`.

use pumphandle_core::{Answering, Call};
use tower::layer::layer_fn;

use crate::{Next, Policies, Policy, Surroundings};

/// See the module.
pub struct QueryTimeout {
    inner: Next,
}

/// The layer that adds a [`QueryTimeout`].
pub fn layer(_: &Surroundings) -> impl tower::Layer<Next, Service = QueryTimeout> + use<> {
    layer_fn(|inner| QueryTimeout { inner })
}

impl Policy for QueryTimeout {
    fn call<'a>(&'a self, settings: &'a Policies, mut call: Call) -> Answering<'a> {
        if let Some(limit) = settings.query_timeout.and_then(|patience| patience.limit()) {
            call.kill_after = Some(limit);
        }
        self.inner.call(settings, call)
    }

    fn changed(&self, settings: &Policies) {
        self.inner.changed(settings);
    }
}
