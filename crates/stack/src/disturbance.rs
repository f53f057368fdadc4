//! What triggers do to a service. Several may act at once; they combine.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

/// All that disturbs one service at a moment. The default disturbs nothing.
#[derive(Clone, Debug)]
pub struct Disturbance {
    /// How many times slower than normal its work is.
    pub slow: f64,
    /// Time added on the way to it.
    pub latency: Duration,
    /// The share of calls that fail at the door.
    pub errors: f64,
    /// The share of calls that get a worker and are never answered.
    pub hang: f64,
    /// The share of its workers that is left.
    pub capacity: f64,
    /// Calls wait at the door until this opens.
    pub hold: Option<Hold>,
}

impl Default for Disturbance {
    fn default() -> Disturbance {
        Disturbance { slow: 1.0, latency: Duration::ZERO, errors: 0.0, hang: 0.0, capacity: 1.0, hold: None }
    }
}

impl Disturbance {
    /// Both at once.
    pub fn and(&self, other: &Disturbance) -> Disturbance {
        Disturbance {
            slow: self.slow * other.slow,
            latency: self.latency + other.latency,
            errors: 1.0 - (1.0 - self.errors) * (1.0 - other.errors),
            hang: 1.0 - (1.0 - self.hang) * (1.0 - other.hang),
            capacity: self.capacity * other.capacity,
            hold: self.hold.clone().or_else(|| other.hold.clone()),
        }
    }
}

/// A door that is shut for a while, and lets all who waited in at once.
#[derive(Clone, Debug)]
pub struct Hold(Arc<Semaphore>);

impl Default for Hold {
    fn default() -> Hold {
        Hold(Arc::new(Semaphore::new(0)))
    }
}

impl Hold {
    /// Waits until the door opens.
    pub async fn wait(&self) {
        // It never has a permit: the only way on is that it is closed, which is how this door opens.
        let _ = self.0.acquire().await;
    }

    /// Opens the door, for good.
    pub fn open(&self) {
        self.0.close();
    }
}
