//! A limit of connections at a service that is called, as a database has one: whoever finds that many is refused.
//!
//! A connection is in use by a call from the door to the end of its work, and work goes on whose caller has left: a
//! database notices that only when it answers. Connections that lie idle in the callers' pools do not count, so that this
//! is the limit of those that are in use at one replica, and pools of more than that in sum are refused under load only.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Connections of one replica that are in use.
#[derive(Default)]
pub struct Connections(Arc<AtomicUsize>);

/// One of them, until this is dropped.
pub struct Connected(Arc<AtomicUsize>);

impl Connections {
    /// One more, unless there are `most`.
    pub fn connect(&self, most: usize) -> Option<Connected> {
        let one_more = |used| (used < most).then_some(used + 1);
        let connected = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        connected.is_ok().then(|| Connected(Arc::clone(&self.0)))
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
