//! One service in a process of its own. It is a [`Stack`] of that service alone; those it calls are other
//! processes, at the end of lines over TCP.
//!
//! A reset is a new stack in the place of the old one, which takes everything with it that a run may have
//! changed: settings, queues, permits, breakers, budgets, triggers. Only the meter stays: what was counted has
//! happened. It must not know who asks for a change, or by which protocol.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use indexmap::IndexMap;
use pumphandle_core::meter::Meter;
use pumphandle_core::{Answering, Call, Service, World};
use tokio::net::TcpListener;

use crate::Stack;
use crate::listen::Listen;
use crate::service::Line;
use crate::settings::StackSettings;
use crate::wire::tcp::{Listens, Tcp};

/// See the module.
pub struct Process {
    service: String,
    settings: StackSettings,
    /// The names of the load's classes: a call says its class by number.
    classes: Vec<String>,
    tcp: Tcp,
    lines: IndexMap<String, Line>,
    meter: Arc<Meter>,
    seed: AtomicU64,
    stack: ArcSwap<Stack>,
}

impl Process {
    /// Starts `service` of the checked `settings`, with the draws of `seed`. `classes` are the names of the
    /// load's classes, in their order; `at` says where each service that it may call is found, as `host:port`.
    ///
    /// # Errors
    ///
    /// The name of a service for which `at` gives no address, and what it gives.
    ///
    /// # Panics
    ///
    /// If there is no such service, or outside a tokio runtime on the real clock.
    pub fn start(
        settings: StackSettings,
        service: &str,
        classes: Vec<String>,
        seed: u64,
        at: impl Fn(&str) -> String,
    ) -> Result<Process, (String, String)> {
        let tcp = Tcp::default();
        let mut lines = IndexMap::new();
        for callee in settings[service].callees() {
            let address = at(callee);
            let line = tcp.line_to_process(&address).ok_or_else(|| (callee.clone(), address))?;
            lines.insert(callee.clone(), line);
        }
        let meter: Arc<Meter> = Arc::default();
        let world = World::with_classes(seed, false, classes.clone());
        let stack = Arc::new(Stack::start_alone(world, &settings, service, Arc::clone(&meter), &lines));
        let stack = ArcSwap::new(stack);
        Ok(Process {
            service: service.to_owned(),
            settings,
            classes,
            tcp,
            lines,
            meter,
            seed: AtomicU64::new(seed),
            stack,
        })
    }

    /// Answers the calls of whoever connects to `listener`, until the runtime ends.
    pub fn listen(self: &Arc<Process>, listener: TcpListener) {
        let door = Arc::clone(self) as Arc<dyn Service>;
        self.tcp.serve(listener, door, Some(Arc::clone(self) as Arc<dyn Listens>));
    }

    /// The service's name.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// The services of the scenario, as they are at the start and after every reset.
    pub fn settings(&self) -> &StackSettings {
        &self.settings
    }

    /// What it counts, from the start of the process.
    pub fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }

    /// The seed of its draws.
    pub fn seed(&self) -> u64 {
        self.seed.load(Ordering::Relaxed)
    }

    /// The service as it runs now, to be changed or disturbed.
    pub fn stack(&self) -> Arc<Stack> {
        self.stack.load_full()
    }

    /// Starts anew, with the draws of `seed`: the scenario's settings, empty queues, closed breakers, full
    /// budgets, no trigger. What was inside is lost, as in a restart, but nobody is away: the next call is
    /// answered by the new one.
    pub fn reset(&self, seed: u64) {
        let world = World::with_classes(seed, false, self.classes.clone());
        let meter = Arc::clone(&self.meter);
        let new = Stack::start_alone(world, &self.settings, &self.service, meter, &self.lines);
        self.seed.store(seed, Ordering::Relaxed);
        self.stack.swap(Arc::new(new)).retire();
    }

    /// What about its connections was not as the settings say, in words.
    pub fn not_as_said(&self) -> Vec<String> {
        self.tcp.not_as_said()
    }

    /// How often the machine had no socket to give.
    pub fn machine_faults(&self) -> u64 {
        self.tcp.machine_faults()
    }
}

impl Listens for Process {
    fn listens(&self) -> Option<Listen> {
        self.stack.load().listens(&self.service)
    }

    fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }
}

impl Service for Process {
    fn call(&self, call: Call) -> Answering<'_> {
        let entry = self.stack.load().entry();
        Box::pin(async move { entry.call(call).await })
    }
}

#[cfg(test)]
mod tests;
