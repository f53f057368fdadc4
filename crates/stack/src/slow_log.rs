//! The log of slow queries: how many pieces of work took long, as a database's slow-query log says.
//!
//! What it can tell: that something at a service became slow, and when. What it cannot: that a call waited for a worker
//! or a connection before its work began, which is most of what a caller sees of an overload.

use pumphandle_core::Dur;
use pumphandle_core::meter::{Flow, Meter};
use pumphandle_core::time::{Time, now};

/// Work from when a worker begins it until it ends, however it does: locks and other services that it waits for are
/// part of it.
pub struct Timed<'a> {
    meter: &'a Meter,
    slow: Dur,
    since: Time,
}

impl<'a> Timed<'a> {
    /// Work begins that is slow if it takes so long.
    pub fn begin(meter: &'a Meter, slow: Dur) -> Timed<'a> {
        Timed { meter, slow, since: now() }
    }
}

impl Drop for Timed<'_> {
    fn drop(&mut self) {
        if now().since(self.since) >= self.slow.0 {
            self.meter.count(Flow::SlowQueries);
        }
    }
}
