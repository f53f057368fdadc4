//! One service: its replicas, and which of them is next.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use pumphandle_core::{Answering, Call, CallError, Service};

use crate::replica::{Replica, Shared};

/// A way to one replica: in memory or over TCP.
pub type Line = Arc<dyn Service>;

/// See the module.
pub struct ServiceNode {
    /// What its replicas share.
    pub shared: Arc<Shared>,
    replicas: ArcSwap<Vec<(Arc<Replica>, Line)>>,
    next: AtomicUsize,
}

impl ServiceNode {
    /// A service without replicas, for now.
    pub fn new(shared: Arc<Shared>) -> ServiceNode {
        ServiceNode { shared, replicas: ArcSwap::default(), next: AtomicUsize::new(0) }
    }

    /// The replicas that take calls.
    pub fn replicas(&self) -> Vec<Arc<Replica>> {
        self.replicas.load().iter().map(|(replica, _)| Arc::clone(replica)).collect()
    }

    /// Brings the number of replicas to `count`: new ones are made, surplus ones get no more calls and
    /// finish those they have.
    pub fn scale(&self, count: usize, mut make: impl FnMut(u32) -> (Arc<Replica>, Line)) {
        let mut replicas = Vec::clone(&self.replicas.load());
        replicas.truncate(count);
        while replicas.len() < count {
            replicas.push(make(replicas.len() as u32));
        }
        self.replicas.store(Arc::new(replicas));
    }

    /// Settings or disturbances have changed.
    pub fn refresh(&self) {
        for (replica, _) in self.replicas.load().iter() {
            replica.refresh();
        }
    }

    /// The line to the replica whose turn it is; none while there is no replica.
    pub fn next_line(&self) -> Option<Line> {
        let replicas = self.replicas.load();
        let turn = match replicas.len() {
            0 => return None,
            1 => 0,
            n => self.next.fetch_add(1, Ordering::Relaxed) % n,
        };
        Some(Arc::clone(&replicas[turn].1))
    }
}

impl Service for ServiceNode {
    fn call(&self, call: Call) -> Answering<'_> {
        let line = self.next_line();
        Box::pin(async move {
            match line {
                Some(line) => line.call(call).await,
                None => Err(CallError::Disconnected),
            }
        })
    }
}
