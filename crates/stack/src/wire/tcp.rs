//! HTTP/1.1 over TCP, for the real clock: in a run every replica listens on a loopback port of its own; a
//! service in a process of its own listens where it was told to. Callers reach it over keep-alive connections.
//!
//! A caller leaves by closing its connection. The server notices the end of the connection, drops the
//! handler, and with it the ticket at the [`Door`]: the same departure as in memory, a little later.
//!
//! What this module must not do is limit, queue or retry calls. Concurrency is bounded by the policy `pool`,
//! room by the door's queue; a second limit down here would be one that nobody drew. So new connections are
//! unlimited, and the kernel's queue of connections is as long as the kernel allows: unless the service says how it
//! [listens](crate::listen), which is then what the kernel is asked for.
//!
//! A restart of a replica does not close its connections. The new incarnation answers on them, and while it
//! is away its door answers [`CallError::Disconnected`], which is what a caller would have seen.
//!
//! Every thread that runs this must be on the run's clock: whoever builds the runtime gives
//! [`Origin::enter`](pumphandle_core::time::Origin::enter) to `on_thread_start`.

mod accept;
mod address;
mod callers;
pub mod kernel;
mod message;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use pumphandle_core::call::AdviceSlot;
use pumphandle_core::meter::Meter;
use pumphandle_core::time::now;
use pumphandle_core::{Answering, Call, CallError, Outcome, Service};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

pub use self::accept::Listens;
use self::accept::{Knocking, Said, accept};
use self::address::Address;
use self::callers::Callers;
use crate::assembly::Wiring;
use crate::listen::Listen;
use crate::replica::{Door, Replica};
use crate::service::Line;

/// Connections that the kernel completes ahead of the accept loop. The kernel lowers it to its own limit
/// (`net.core.somaxconn`, 4096 on current Linux). Where a service says nothing else.
const BACKLOG: u32 = 4096;

/// How long the accept loop rests when the machine cannot give it a connection: file descriptors come back
/// when calls end, and trying again at once would only take the time that they need to end.
const REST: Duration = Duration::from_millis(10);

/// The TCP wire of one arm.
#[derive(Default)]
pub struct Tcp {
    callers: Arc<Callers>,
    counts: Arc<Counts>,
}

/// What the wire did, as opposed to the services.
#[derive(Debug, Default)]
struct Counts {
    connections: AtomicU64,
    machine_faults: AtomicU64,
    said: Mutex<BTreeSet<Said>>,
}

impl Tcp {
    /// The wiring for [`Stack::start_on`](crate::Stack::start_on). It is used inside a tokio runtime with I/O
    /// enabled, and the replicas it wires live on that runtime.
    pub fn wiring(self: &Arc<Self>) -> Wiring {
        let tcp = Arc::clone(self);
        Arc::new(move |replica| {
            let door = Arc::new(Door(Arc::clone(&replica)));
            tcp.line_between(door, Some(replica as Arc<dyn Listens>))
        })
    }

    /// Serves `door` on a loopback port of its own, and returns the way there. The port closes when the line
    /// is dropped; calls that have got through are still finished.
    ///
    /// A port that the machine cannot give is a [fault of the machine](Tcp::machine_faults), and the line
    /// answers [`CallError::Disconnected`].
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with I/O enabled.
    pub fn line_to(&self, door: Arc<dyn Service>) -> Line {
        self.line_between(door, None)
    }

    /// [`Tcp::line_to`], for a service that may say how it listens.
    fn line_between(&self, door: Arc<dyn Service>, service: Option<Arc<dyn Listens>>) -> Line {
        let said = service.as_ref().and_then(|service| service.listens());
        let asked = said.map_or(BACKLOG, |listen| listen.asked());
        match listen(asked) {
            Ok((listener, address)) => {
                let callers = Arc::clone(&self.callers);
                let port = Port { door, callers, service: service.clone() };
                let accepting = tokio::spawn(accept(listener, port, Arc::clone(&self.counts), asked));
                let listening = Some(Listening(accepting.abort_handle()));
                Arc::new(TcpLine { _listening: listening, service, ..self.line_from(address) })
            }
            Err(error) => {
                self.counts.note(&error);
                Arc::new(NoPort)
            }
        }
    }

    /// The way to a service of another process, at `address`: `127.0.0.1:7000`, or a name and a port. Names are
    /// looked up when a connection is opened. `None` if it is no address.
    pub fn line_to_process(&self, address: &str) -> Option<Line> {
        let line = Address::parse(address).is_some() && HeaderValue::try_from(address).is_ok();
        line.then(|| Arc::new(self.line_from(address)) as Line)
    }

    /// Serves `door` to whoever connects to `listener`, until the runtime ends, as `service` says if it says anything.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with I/O enabled.
    pub fn serve(&self, listener: TcpListener, door: Arc<dyn Service>, service: Option<Arc<dyn Listens>>) {
        let port = Port { door, callers: Arc::clone(&self.callers), service };
        tokio::spawn(accept(listener, port, Arc::clone(&self.counts), BACKLOG));
    }

    /// The caller's side of a line to `address`, whoever listens there.
    fn line_from(&self, address: impl std::fmt::Display) -> TcpLine {
        let address = address.to_string();
        let host = HeaderValue::try_from(address.as_str()).expect("an address is printable ASCII");
        let address = Address::parse(&address).expect("an address was checked");
        TcpLine {
            address,
            host,
            idle: Mutex::default(),
            callers: Arc::clone(&self.callers),
            counts: Arc::clone(&self.counts),
            service: None,
            _listening: None,
        }
    }

    /// Connections opened since the start.
    pub fn connections(&self) -> u64 {
        self.counts.connections.load(Ordering::Relaxed)
    }

    /// What was not as settings of services say of their connections, in words. Figures of accept queues in a run of
    /// which something is said here are no figures.
    pub fn not_as_said(&self) -> Vec<String> {
        let said = self.counts.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.iter().map(ToString::to_string).collect()
    }

    /// How often the machine could not give a socket: no file descriptor, port or memory was left. Every call
    /// under way takes two descriptors per hop; once they run out, calls fail at once, or wait unread until
    /// their callers leave. None of that is the stack's doing, so a run in which this is not zero measures the
    /// machine.
    pub fn machine_faults(&self) -> u64 {
        self.counts.machine_faults.load(Ordering::Relaxed)
    }
}

impl Counts {
    fn say(&self, what: Said) {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).insert(what);
    }

    /// Counts `error` unless a peer can cause it.
    fn note(&self, error: &io::Error) {
        use io::ErrorKind::{
            BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable,
            NetworkUnreachable, NotFound, TimedOut,
        };
        let of_peers = [
            BrokenPipe,
            ConnectionAborted,
            ConnectionRefused,
            ConnectionReset,
            HostUnreachable,
            NetworkUnreachable,
            NotFound,
            TimedOut,
        ];
        if !of_peers.contains(&error.kind()) {
            self.machine_faults.fetch_add(1, Ordering::Relaxed);
        }
    }
}

// === the service's side ===

/// What is behind a listener.
#[derive(Clone)]
struct Port {
    door: Arc<dyn Service>,
    callers: Arc<Callers>,
    /// Says how it listens, if it does.
    service: Option<Arc<dyn Listens>>,
}

impl Listens for Replica {
    fn listens(&self) -> Option<Listen> {
        Replica::listens(self)
    }

    fn meter(&self) -> &Arc<Meter> {
        Replica::meter(self)
    }
}

/// An accept loop, ended when dropped.
struct Listening(AbortHandle);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn listen(backlog: u32) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = address::socket_for(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let listener = socket.listen(backlog)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Listens at `address`, with the kernel's longest queue of connections.
///
/// # Errors
///
/// If the address cannot be had.
pub fn listen_at(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = address::socket_for(address)?;
    // A service that comes back after it was killed finds its port, although the kernel still remembers the
    // connections of the one before.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Answers the calls of one connection, one after the other.
///
/// A plain function rather than a tower service through hyper-util's adapter: a request that is no call must
/// be answered without calling, and a door is always ready, so readiness and clones would be for nothing.
async fn serve(stream: TcpStream, port: Port) {
    // A socket that refuses the option is one that the peer has already closed.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: Request<Incoming>| {
        let port = port.clone();
        async move { Ok::<_, Infallible>(port.answer(&request).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        // By default hyper closes idle connections after 30 seconds, and callers would see errors that no
        // service made.
        .header_read_timeout(None)
        .auto_date_header(false)
        // A caller that has closed its side is gone; with half-closing the handler would never be dropped.
        .half_close(false)
        .serve_connection(TokioIo::new(stream), service);
    // It ends in an error whenever a caller leaves, and the ticket has counted that.
    let _ = connection.await;
}

impl Port {
    fn listens(&self) -> Option<Listen> {
        self.service.as_ref()?.listens()
    }

    async fn answer(&self, request: &Request<Incoming>) -> Response<Empty<Bytes>> {
        match message::read_request(request.headers(), now()) {
            Some(mut call) => {
                call.caller = self.callers.take(call.path);
                let advice = Arc::clone(call.advice.insert(Arc::default()));
                let mut response = message::response(self.door.call(call).await, advice.read());
                if self.listens().is_some_and(|listen| !listen.keep_alive) {
                    message::close(response.headers_mut());
                }
                response
            }
            None => message::not_a_call(),
        }
    }
}

// === the caller's side ===

type Connection = SendRequest<Empty<Bytes>>;

/// A way to one replica over TCP.
struct TcpLine {
    address: Address,
    host: HeaderValue,
    /// Connections without a call, the last used on top: it is the likeliest to be warm.
    idle: Mutex<Vec<Connection>>,
    callers: Arc<Callers>,
    counts: Arc<Counts>,
    /// The service that is reached, where it is in this process.
    service: Option<Arc<dyn Listens>>,
    _listening: Option<Listening>,
}

impl Service for TcpLine {
    fn call(&self, mut call: Call) -> Answering<'_> {
        Box::pin(async move {
            let in_transit = self.callers.sending(call.path, call.caller.take());
            let request = message::request(&call, &self.host, now());
            let outcome = self.ask(request, call.advice.as_deref()).await;
            in_transit.answered();
            outcome
        })
    }
}

impl TcpLine {
    /// Sends `request` and waits for the answer. The connection belongs to this future until the answer is
    /// there, so a caller that leaves before closes it, and no later call can get the answer.
    async fn ask(&self, request: Request<Empty<Bytes>>, advice: Option<&AdviceSlot>) -> Outcome {
        let mut connection = self.connection().await?;
        match connection.send_request(request).await {
            Ok(response) => {
                if !message::closes(response.headers()) {
                    self.idle().push(connection);
                }
                if let (Some(slot), Some(advice)) = (advice, message::read_advice(response.headers())) {
                    slot.leave(advice);
                }
                message::read_response(&response)
            }
            Err(_) => Err(CallError::Disconnected),
        }
    }

    async fn connection(&self) -> Result<Connection, CallError> {
        while let Some(mut connection) = self.pop() {
            // The answer overtakes the connection's own tidying up by microseconds, so this may wait that
            // long; a connection that has ended says so.
            if connection.ready().await.is_ok() {
                return Ok(connection);
            }
        }
        self.connect().await.map_err(|error| {
            self.counts.note(&error);
            CallError::Disconnected
        })
    }

    async fn connect(&self) -> io::Result<Connection> {
        let address = self.address.find().await?;
        let socket = address::socket_for(address)?;
        socket.set_nodelay(true)?;
        // Closing resets the connection, however early the caller leaves. An orderly close would keep the
        // caller's port for a while after every abandoned call, in a storm tens of thousands of them; measured
        // on loopback, callers that leave can then come back only half as often.
        socket.set_zero_linger()?;
        let _knocking = Knocking::at(self.service.as_ref(), &socket);
        let stream = socket.connect(address).await.inspect_err(|_| self.address.forget())?;
        let shaken = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (connection, transport) = shaken.map_err(io::Error::other)?;
        self.counts.connections.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(async move {
            // Its errors reach the call that waits on it.
            let _ = transport.await;
        });
        Ok(connection)
    }

    fn pop(&self) -> Option<Connection> {
        self.idle().pop()
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A line to a replica that has no port.
struct NoPort;

impl Service for NoPort {
    fn call(&self, _: Call) -> Answering<'_> {
        Box::pin(std::future::ready(Err(CallError::Disconnected)))
    }
}

#[cfg(test)]
mod tests;
