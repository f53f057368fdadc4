//! Settings that can change while calls are under way: replaced whole, read whole. A call takes one
//! snapshot when it enters and sees no change after that.

use std::sync::Arc;

use arc_swap::ArcSwap;

/// See the module.
#[derive(Debug)]
pub struct Live<T>(ArcSwap<T>);

impl<T> Live<T> {
    /// Starts with `value`.
    pub fn new(value: T) -> Live<T> {
        Live(ArcSwap::from_pointee(value))
    }

    /// The settings in force now.
    pub fn snapshot(&self) -> Arc<T> {
        self.0.load_full()
    }

    /// Puts `value` in force for everyone who enters from now on.
    pub fn publish(&self, value: T) {
        self.0.store(Arc::new(value));
    }
}
