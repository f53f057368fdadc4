//! The wire in virtual time: a call is handed over as a value. Where the service says how it listens, the call first
//! needs a connection, and that is modelled: the kernel's accept queue, the loop that empties it, and the schedule by
//! which a client's kernel tries again.
//!
//! What is modelled, and what a test holds against the kernel ([`tcp::kernel`](crate::wire::tcp::kernel)):
//!
//! * the queue holds one more than the smaller of backlog and `somaxconn`;
//! * a packet (SYN) that finds it full is dropped, and nobody is told;
//! * a client is connected as soon as it is in the queue. What it waits for then is that somebody accepts it;
//! * a caller that leaves while it waits for its next packet sends none any more;
//! * a caller that leaves while it is in the queue leaves its connection there. It takes a place until its turn comes,
//!   and the time of whoever accepts it, who finds it closed.
//!
//! What is not: the kernel's timers are late by up to an eighth of their time, and coarse; here they are on time. The
//! handshake takes no time. Therefore no two packets are on their way at once. In the kernel those that its timers send
//! again in one tick (some tens of milliseconds, a second later) are: all of them find the last place free, all their
//! clients are connected, and what completes their connections is dropped for all but one. The others get in when they
//! send their request again, after 0.2, 0.4 s and so on, where here they are dropped and try again a second later.
//!
//! What it must not do is cost anything where a service says nothing of how it listens.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pumphandle_core::draws::Path;
use pumphandle_core::events::EventKind;
use pumphandle_core::meter::{Flow, Meter, StockName};
use pumphandle_core::time::{self, Order, Time, now};
use pumphandle_core::{Answering, Call, CallError, Exchange, Reply, Service, World};

use crate::listen::Listen;
use crate::replica::Replica;

/// A replica as callers in memory reach it.
pub struct InMemory(pub Arc<Replica>);

impl Service for InMemory {
    fn call(&self, call: Call) -> Answering<'_> {
        let connections = self.0.connections();
        if connections.are_free() {
            return Box::pin(self.0.knock(call));
        }
        Box::pin(async move {
            connections.connect(call.path).await?;
            let outcome = self.0.knock(call).await;
            connections.answered();
            outcome
        })
    }
}

/// The connections of one replica in virtual time.
pub struct Connections {
    world: Arc<World>,
    meter: Arc<Meter>,
    /// The service's number in the scenario's order.
    number: u8,
    /// Whether the service says how it listens. Apart from the rest, because every call asks.
    listens: AtomicBool,
    state: Mutex<State>,
}

struct State {
    /// None: they cost nothing.
    listen: Option<Listen>,
    /// The accept queue.
    queue: VecDeque<Waiting>,
    /// Connections that are being accepted.
    accepting: u32,
    /// Open connections without a call.
    idle: usize,
}

/// A connection that the kernel has completed and nobody has accepted.
struct Waiting {
    since: Time,
    path: Path,
    accepted: Arc<Exchange>,
}

impl Connections {
    /// None yet, of a service about which nothing is said yet.
    pub fn new(world: Arc<World>, meter: Arc<Meter>, number: u8) -> Arc<Connections> {
        let state = State { listen: None, queue: VecDeque::new(), accepting: 0, idle: 0 };
        let (listens, state) = (AtomicBool::new(false), Mutex::new(state));
        Arc::new(Connections { world, meter, number, listens, state })
    }

    /// Whether calls get through as they are.
    #[inline]
    pub fn are_free(&self) -> bool {
        !self.listens.load(Ordering::Relaxed)
    }

    /// The settings have changed. A longer queue takes connections from now on, and more workers begin with those
    /// that wait; of fewer, those that are one too many finish what they have.
    pub fn changed(self: &Arc<Self>, listen: Option<Listen>) {
        self.listens.store(listen.is_some(), Ordering::Relaxed);
        let mut state = self.lock();
        state.listen = listen;
        self.accept(&mut state);
    }

    /// An open connection, or a new one: returns when somebody reads what is sent on it.
    async fn connect(self: &Arc<Self>, path: Path) -> Result<(), CallError> {
        let Some(mut connected) = self.first_packet(path) else { return Ok(()) };
        let (first, schedule) = (now(), self.listen().syn_schedule);
        let mut again = schedule.again_s().iter();
        let accepted = loop {
            if let Some(accepted) = connected {
                break accepted;
            }
            let Some(after) = again.next() else {
                time::sleep_until(first + schedule.gives_up(), Order::timeout(path.id())).await;
                return Err(CallError::Disconnected);
            };
            time::sleep_until(first + Duration::from_secs(*after), Order::arrival(path.id())).await;
            self.meter.count(Flow::SynRetransmissions);
            connected = self.packet(&mut self.lock(), path);
        };
        poll_fn(|cx| accepted.poll_answer(cx)).await.map(|_| ())
    }

    /// An idle connection, for which nothing has to be sent (`None`), or what became of the first packet of a new one.
    fn first_packet(self: &Arc<Self>, path: Path) -> Option<Option<Arc<Exchange>>> {
        let mut state = self.lock();
        if state.idle > 0 {
            state.idle -= 1;
            return None;
        }
        Some(self.packet(&mut state, path))
    }

    /// The packet that opens a connection reaches the kernel. None: it was dropped.
    fn packet(self: &Arc<Self>, state: &mut State, path: Path) -> Option<Arc<Exchange>> {
        if state.listen.is_some_and(|listen| state.queue.len() >= listen.places()) {
            self.meter.count(Flow::ListenDrops);
            self.world.record(EventKind::SynDropped, self.number, path.id(), state.queue.len() as u64);
            return None;
        }
        let accepted = Exchange::new(None);
        let since = self.meter.stock(StockName::AcceptQueue).enter(now());
        state.queue.push_back(Waiting { since, path, accepted: Arc::clone(&accepted) });
        self.accept(state);
        Some(accepted)
    }

    /// Workers that are free take connections out of the queue.
    fn accept(self: &Arc<Self>, state: &mut State) {
        let workers = state.listen.map_or(u32::MAX, |listen| listen.accept.workers);
        while state.accepting < workers {
            let Some(connection) = self.take(state) else { return };
            state.accepting += 1;
            time::spawn("accepting connections", Arc::clone(self).work(connection));
        }
    }

    /// The first of the queue, out of it.
    fn take(&self, state: &mut State) -> Option<Waiting> {
        let connection = state.queue.pop_front()?;
        self.meter.count(Flow::Accepted);
        self.meter.stock(StockName::AcceptQueue).leave(connection.since, now());
        Some(connection)
    }

    /// A worker accepts one connection after the other, until there is none.
    async fn work(self: Arc<Self>, mut connection: Waiting) {
        loop {
            let takes = self.listen().accept.takes.0;
            if !takes.is_zero() {
                time::sleep(takes, Order::completion(connection.path.id())).await;
            }
            // Of one that is closed by now it only learns that.
            connection.accepted.answer(Ok(Reply::default()));
            let mut state = self.lock();
            let surplus = state.listen.is_some_and(|listen| state.accepting > listen.accept.workers);
            let next = if surplus { None } else { self.take(&mut state) };
            let Some(next) = next else {
                state.accepting -= 1;
                return;
            };
            connection = next;
        }
    }

    /// A call was answered: its connection stays, or not. One whose caller has left is gone, and does not get here.
    fn answered(&self) {
        let mut state = self.lock();
        state.idle += usize::from(state.listen.is_none_or(|listen| listen.keep_alive));
    }

    fn listen(&self) -> Listen {
        self.lock().listen.unwrap_or(Listen::OPEN)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
