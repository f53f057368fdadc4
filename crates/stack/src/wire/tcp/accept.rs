//! The accept loop: how many connections are accepted at a time, how long each takes, and what the kernel says of
//! those that wait. Where a service says nothing of how it listens, connections are accepted as they come, and nothing
//! is read from the kernel.
//!
//! It must not look at what comes over a connection.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use pumphandle_core::meter::{Flow, Meter, StockName};
use pumphandle_core::time::{self, Order, Time, now};
use socket2::SockRef;
use tokio::net::TcpListener;

use super::{Counts, Port, REST, kernel, serve};
use crate::listen::Listen;

/// A service as the accept loop sees it. Asked anew for every connection: its settings may change.
pub trait Listens: Send + Sync {
    /// How it says that it takes connections.
    fn listens(&self) -> Option<Listen>;
    /// What it is measured by.
    fn meter(&self) -> &Arc<Meter>;
}

/// Accepts connections until it is aborted. `asked` is the backlog that the kernel was asked for.
pub(super) async fn accept(listener: TcpListener, port: Port, counts: Arc<Counts>, asked: u32) {
    let mut workers = Workers::default();
    let mut watch = Watch { asked, drops: 0, entered: VecDeque::new() };
    loop {
        if let Some(listen) = port.listens() {
            watch.ask(&listener, &listen, &counts);
            workers.one_is_free(&listen).await;
        }
        match listener.accept().await {
            Ok((stream, _)) => {
                let Some((listen, service)) = port.listens().zip(port.service.as_ref()) else {
                    watch.ends(&port);
                    drop(tokio::spawn(serve(stream, port.clone())));
                    continue;
                };
                watch.accepted(&listener, service.meter(), &counts);
                let (until, port) = (workers.takes(&listen), port.clone());
                tokio::spawn(async move {
                    time::sleep_until(until, Order::completion(0)).await;
                    serve(stream, port).await;
                });
            }
            Err(error) => {
                counts.note(&error);
                time::sleep(REST, Order::timeout(0)).await;
            }
        }
    }
}

/// A worker that begins so soon after it was free is taken to have begun at once: timers are late by a millisecond
/// or more, and a loop that is behind would get later with every connection.
const LATE: Duration = Duration::from_millis(5);

/// Those who accept, each by when it is free. One loop stands for all of them: a worker does nothing but wait.
#[derive(Default)]
struct Workers(Vec<Time>);

impl Workers {
    /// Waits until a worker is free.
    async fn one_is_free(&mut self, listen: &Listen) {
        self.0.resize(listen.accept.workers as usize, Time::ZERO);
        let first = *self.first();
        if first > now() {
            time::sleep_until(first, Order::completion(0)).await;
        }
    }

    /// The one that has been free for longest accepts a connection; returns until when.
    fn takes(&mut self, listen: &Listen) -> Time {
        self.0.resize(listen.accept.workers as usize, Time::ZERO);
        let (first, at) = (self.first(), now());
        let begins = if at.since(*first) < LATE { *first } else { at };
        *first = begins + listen.accept.takes.0;
        *first
    }

    fn first(&mut self) -> &mut Time {
        self.0.iter_mut().min().expect("there is at least one worker")
    }
}

/// What the kernel's queue of one listener is known to hold. It is looked at whenever a connection has been accepted,
/// so that flows are exact and the instants in which connections came are late by up to the time that accepting takes.
struct Watch {
    /// The backlog that the kernel was asked for last.
    asked: u32,
    /// Drops that the meter knows of.
    drops: u32,
    /// When those in the queue were first seen there.
    entered: VecDeque<Time>,
}

impl Watch {
    /// Asks the kernel for another queue, if the settings do: `listen` on a socket that listens already changes it.
    fn ask(&mut self, listener: &TcpListener, listen: &Listen, counts: &Counts) {
        if self.asked != listen.asked() {
            self.asked = listen.asked();
            if let Err(error) = SockRef::from(listener).listen(self.asked as i32) {
                counts.note(&error);
            }
        }
    }

    fn accepted(&mut self, listener: &TcpListener, meter: &Meter, counts: &Counts) {
        meter.count(Flow::Accepted);
        let stock = meter.stock(StockName::AcceptQueue);
        let seen = kernel::listener(listener);
        let level = seen.map_or(0, |it| it.level as usize);
        while self.entered.len() <= level {
            self.entered.push_back(stock.enter(now()));
        }
        if let Some(since) = self.entered.pop_front() {
            stock.leave(since, now());
        }
        let Some(seen) = seen else { return counts.say(Said::NothingRead) };
        meter.add(Flow::ListenDrops, u64::from(seen.drops.wrapping_sub(self.drops)));
        self.drops = seen.drops;
        if seen.backlog < self.asked {
            counts.say(Said::Shorter { asked: self.asked, given: seen.backlog });
        }
    }

    /// The service does not say any more how it listens: nobody looks any more.
    fn ends(&mut self, port: &Port) {
        let Some(service) = &port.service else { return };
        let stock = service.meter().stock(StockName::AcceptQueue);
        self.entered.drain(..).for_each(|since| stock.leave(since, now()));
    }
}

/// What was not as the settings say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Said {
    /// The kernel does not tell of its queue.
    NothingRead,
    /// The kernel gives less than was asked for.
    Shorter { asked: u32, given: u32 },
}

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Said::NothingRead => f.write_str(
                "this system does not tell how full accept queues are, nor what it drops: of Linux it can be read",
            ),
            Said::Shorter { asked, given } => write!(
                f,
                "this system gives an accept queue {given} places (net.core.somaxconn), and {asked} were asked for"
            ),
        }
    }
}

/// Counts, when it ends, how often the first packet of a connection was sent again, whether or not anything came of
/// it.
pub(super) struct Knocking {
    /// A second descriptor of the socket: the first one belongs to whoever waits for the connection.
    socket: std::os::fd::OwnedFd,
    meter: Arc<Meter>,
}

impl Knocking {
    /// Watches `socket`, which is about to connect to `service`; nothing where that does not say how it listens.
    pub(super) fn at(
        service: Option<&Arc<dyn Listens>>,
        socket: &impl std::os::fd::AsFd,
    ) -> Option<Knocking> {
        let service = service.filter(|service| service.listens().is_some())?;
        let socket = socket.as_fd().try_clone_to_owned().ok()?;
        Some(Knocking { socket, meter: Arc::clone(service.meter()) })
    }
}

impl Drop for Knocking {
    fn drop(&mut self) {
        let again = kernel::retransmissions(&self.socket).unwrap_or(0);
        self.meter.add(Flow::SynRetransmissions, u64::from(again));
    }
}
