//! The wire over the kernel: departures, broken peers, machines without sockets, and whole stacks on both wires.

use std::future::{Future, pending};

use pumphandle_core::call::Criticality;
use pumphandle_core::meter::{Flow, Meter, StockName};
use pumphandle_core::time::{self, Order, Origin, now, timeout};
use pumphandle_core::{Class, Dur, Reply, Time, World};

use super::*;
use crate::disturbance::{Disturbance, Hold};
use crate::settings::{Calls, ServiceSettings, StackSettings};
use crate::{Stack, service_time::ServiceTime};

const PATIENCE: Duration = Duration::from_secs(20);

fn on_the_real_clock(test: impl Future<Output = ()>) {
    let origin = Origin::after(Duration::ZERO);
    origin.enter();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .on_thread_start(move || origin.enter())
        .build()
        .unwrap();
    runtime.block_on(test);
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            time::sleep(Duration::from_millis(1), Order::sample(0)).await;
        }
    };
    timeout(PATIENCE, Order::timeout(0), waiting).await.unwrap_or_else(|_| panic!("never happened: {what}"));
}

/// Answers every call by a function of it.
struct By<F>(F);

impl<F: Fn(Call) -> Outcome + Send + Sync> Service for By<F> {
    fn call(&self, call: Call) -> Answering<'_> {
        Box::pin(std::future::ready((self.0)(call)))
    }
}

/// Never answers; counts who comes and who leaves.
#[derive(Default)]
struct Silent {
    came: AtomicU64,
    left: AtomicU64,
}

impl Service for Silent {
    fn call(&self, _: Call) -> Answering<'_> {
        struct Leaving<'a>(&'a AtomicU64);
        impl Drop for Leaving<'_> {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        Box::pin(async {
            let _leaving = Leaving(&self.left);
            self.came.fetch_add(1, Ordering::SeqCst);
            pending().await
        })
    }
}

fn good() -> Arc<dyn Service> {
    Arc::new(By(|_| Ok(Reply::default())))
}

/// Calls, and leaves as soon as `condition` holds.
async fn call_and_leave(line: &Line, call: Call, condition: impl Fn() -> bool) {
    tokio::select! {
        biased;
        outcome = line.call(call) => panic!("answered: {outcome:?}"),
        () = until("the moment to leave", condition) => {}
    }
}

// === through whole stacks ===

fn service(calls: Option<&str>) -> ServiceSettings {
    let calls = calls.map_or(Calls::None, |name| Calls::One(name.into()));
    ServiceSettings { calls, ..ServiceSettings::default() }
}

/// client -> api -> db.
fn three_services(cancel_on_disconnect: bool) -> StackSettings {
    let api = ServiceSettings { cancel_on_disconnect, ..service(Some("db")) };
    [("client", service(Some("api"))), ("api", api), ("db", service(None))]
        .map(|(name, it)| (name.into(), it))
        .into()
}

/// A user calls and leaves while the database's door is shut, which only [`Stack::calm`] opens.
async fn leave_while_the_database_is_shut(stack: &Stack) {
    stack.disturb(0, "db", Disturbance { hold: Some(Hold::default()), ..Disturbance::default() });
    let (api, db) = (meter(stack, "api"), meter(stack, "db"));
    call_and_leave(&stack.entry(), Call::arriving(0), || flow(&db, Flow::Disturbed) == 1).await;
    until("the api notices", || flow(&api, Flow::Abandoned) == 1).await;
}

fn stack(settings: &StackSettings) -> (Arc<Tcp>, Stack) {
    let tcp = Arc::new(Tcp::default());
    let stack = Stack::start_on(World::new(1, false), settings, tcp.wiring());
    (tcp, stack)
}

fn meter(stack: &Stack, service: &str) -> Arc<Meter> {
    stack.meters().into_iter().find(|(name, _)| name == service).unwrap().1
}

fn flow(meter: &Meter, flow: Flow) -> u64 {
    meter.read(now()).flow(flow)
}

#[test]
fn a_call_goes_through_three_services_and_back() {
    on_the_real_clock(async {
        let mut settings = three_services(false);
        settings["db"].service_time = Some(ServiceTime::Constant(Dur(Duration::from_millis(1))));
        let (tcp, stack) = stack(&settings);
        assert_eq!(stack.entry().call(Call::arriving(0)).await, Ok(Reply::default()));
        for service in ["client", "api", "db"] {
            assert_eq!(flow(&meter(&stack, service), Flow::InTime), 1, "{service}");
        }
        // Users are handed to the first service without a wire.
        assert_eq!(tcp.connections(), 2);
        assert_eq!(tcp.machine_faults(), 0);
    });
}

#[test]
fn work_goes_on_after_its_caller_has_left_and_is_wasted() {
    on_the_real_clock(async {
        let (_tcp, stack) = stack(&three_services(false));
        leave_while_the_database_is_shut(&stack).await;
        stack.calm(0);
        let (api, db) = (meter(&stack, "api"), meter(&stack, "db"));
        until("the api finishes", || flow(&api, Flow::Completed) == 1).await;
        assert_eq!(flow(&api, Flow::InTime), 0);
        assert!(flow(&api, Flow::WastedNanos) > 0);
        assert_eq!(flow(&db, Flow::Completed), 1);
        assert_eq!(flow(&db, Flow::Abandoned), 0, "the api still waited for it");
        assert_eq!(flow(&db, Flow::InTime), 0, "but the user, further up, did not");
    });
}

#[test]
fn work_is_cancelled_with_its_caller_where_the_service_says_so() {
    on_the_real_clock(async {
        let (_tcp, stack) = stack(&three_services(true));
        leave_while_the_database_is_shut(&stack).await;
        let api = meter(&stack, "api");
        until("the api stops", || api.read(now()).stock(StockName::Inside).level == 0).await;
        assert_eq!(flow(&api, Flow::Completed) + flow(&api, Flow::Failed), 0);
    });
}

#[test]
fn a_restarted_service_answers_on_its_old_connections() {
    on_the_real_clock(async {
        let (tcp, stack) = stack(&three_services(false));
        stack.restart("db", PATIENCE);
        assert_eq!(stack.entry().call(Call::arriving(0)).await, Err(CallError::Disconnected));
        stack.restart("db", Duration::ZERO);
        assert_eq!(stack.entry().call(Call::arriving(1)).await, Ok(Reply::default()));
        // Users are handed to the first service without a wire.
        assert_eq!(tcp.connections(), 2);
    });
}

// === through one line ===

#[test]
fn every_error_survives_the_round_trip() {
    on_the_real_clock(async {
        let tcp = Tcp::default();
        let line = tcp.line_to(Arc::new(By(|call: Call| Err(CallError::ALL[call.arrival as usize]))));
        for (arrival, error) in (0..).zip(CallError::ALL) {
            assert_eq!(line.call(Call::arriving(arrival)).await, Err(error));
        }
        assert_eq!(tcp.connections(), 1, "an error is an answer like any other");
    });
}

#[test]
fn the_limits_of_a_call_arrive_with_it() {
    on_the_real_clock(async {
        let limits = |call: &Call| {
            (call.arrival, call.path, call.class, call.criticality, call.deadline.is_some(), call.kill_after)
        };
        let mut sent = Call::arriving(3);
        sent.class = Class(2);
        sent.criticality = Criticality::Sheddable;
        let deadline = Time::from_nanos(3_600_000_000_000);
        sent.deadline = Some(deadline);
        sent.kill_after = Some(Duration::from_nanos(987_654_321));
        let expected = limits(&sent);
        let read = Arc::new(Mutex::new(Vec::new()));
        let book = Arc::clone(&read);
        let door = By(move |call: Call| {
            // It is given the time on the way, and no more.
            let later =
                call.deadline.is_none_or(|it| it >= deadline && it.since(deadline) < now().since(Time::ZERO));
            book.lock().unwrap().push((limits(&call), later));
            Ok(Reply::default())
        });
        let line = Tcp::default().line_to(Arc::new(door));
        assert!(line.call(sent).await.is_ok());
        assert!(line.call(Call::arriving(4)).await.is_ok());
        assert_eq!(*read.lock().unwrap(), [(expected, true), (limits(&Call::arriving(4)), true)]);
    });
}

#[test]
fn a_connection_is_used_again_after_an_answer() {
    on_the_real_clock(async {
        let tcp = Tcp::default();
        let line = tcp.line_to(good());
        for arrival in 0..50 {
            assert!(line.call(Call::arriving(arrival)).await.is_ok());
        }
        assert_eq!(tcp.connections(), 1);
    });
}

#[test]
fn a_connection_is_not_used_again_after_its_caller_has_left() {
    on_the_real_clock(async {
        let tcp = Tcp::default();
        let silent = Arc::new(Silent::default());
        let line = tcp.line_to(Arc::clone(&silent) as Arc<dyn Service>);
        for round in 1..=3 {
            call_and_leave(&line, Call::arriving(round), || silent.came.load(Ordering::SeqCst) == round)
                .await;
            until("the server notices", || silent.left.load(Ordering::SeqCst) == round).await;
            assert_eq!(tcp.connections(), round);
        }
    });
}

#[test]
fn a_service_that_is_not_there_is_disconnected() {
    on_the_real_clock(async {
        let (listener, address) = listen(BACKLOG).unwrap();
        drop(listener);
        let tcp = Tcp::default();
        assert_eq!(tcp.line_from(address).call(Call::arriving(0)).await, Err(CallError::Disconnected));
        assert_eq!(tcp.machine_faults(), 0, "a refused connection is the service's");
    });
}

#[test]
fn a_service_that_hangs_up_without_an_answer_is_disconnected() {
    on_the_real_clock(async {
        let (listener, address) = listen(BACKLOG).unwrap();
        let hanging_up = tokio::spawn(async move { drop(listener.accept().await) });
        let outcome = Tcp::default().line_from(address).call(Call::arriving(0)).await;
        assert_eq!(outcome, Err(CallError::Disconnected));
        hanging_up.await.unwrap();
    });
}

#[test]
fn a_caller_that_leaves_gives_its_port_back_at_once() {
    use tokio::io::AsyncReadExt;
    on_the_real_clock(async {
        let (listener, address) = listen(BACKLOG).unwrap();
        let line: Line = Arc::new(Tcp::default().line_from(address));
        let (sender, mut accepted) = tokio::sync::mpsc::channel(1);
        let server =
            tokio::spawn(async move { sender.send(listener.accept().await.unwrap()).await.unwrap() });
        call_and_leave(&line, Call::arriving(0), || !accepted.is_empty()).await;
        server.await.unwrap();
        // The service's end stays open meanwhile: after an orderly close the port would now wait for it.
        let (mut stream, caller) = accepted.recv().await.unwrap();
        let free = || tokio::net::TcpSocket::new_v4().unwrap().bind(caller).is_ok();
        until("the port is free", free).await;
        let mut read = Vec::new();
        let ended = timeout(PATIENCE, Order::timeout(0), stream.read_to_end(&mut read)).await;
        ended.expect("the service sees the end").ok();
    });
}

#[test]
fn a_stranger_gets_an_answer_without_a_call() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    on_the_real_clock(async {
        let (listener, address) = listen(BACKLOG).unwrap();
        let silent = Arc::new(Silent::default());
        let port =
            Port { door: Arc::clone(&silent) as Arc<dyn Service>, callers: Arc::default(), service: None };
        let accepting = tokio::spawn(accept(listener, port, Arc::default(), BACKLOG));
        let mut stranger = TcpStream::connect(address).await.unwrap();
        let request = b"GET / HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n";
        stranger.write_all(request).await.unwrap();
        let mut answer = String::new();
        stranger.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert_eq!(silent.came.load(Ordering::SeqCst), 0);
        accepting.abort();
    });
}

#[test]
fn the_port_closes_with_its_line() {
    on_the_real_clock(async {
        let tcp = Tcp::default();
        let (listener, address) = listen(BACKLOG).unwrap();
        let port = Port { door: good(), callers: Arc::clone(&tcp.callers), service: None };
        let accepting = tokio::spawn(accept(listener, port, Arc::clone(&tcp.counts), BACKLOG));
        let listening = Listening(accepting.abort_handle());
        let line = TcpLine { _listening: Some(listening), ..tcp.line_from(address) };
        assert!(line.call(Call::arriving(0)).await.is_ok());
        drop(line);
        assert!(accepting.await.unwrap_err().is_cancelled());
        assert_eq!(tcp.line_from(address).call(Call::arriving(1)).await, Err(CallError::Disconnected));
    });
}

#[test]
fn two_hundred_calls_at_once_get_their_own_answers() {
    on_the_real_clock(async {
        let tcp = Tcp::default();
        let line = tcp.line_to(Arc::new(By(|call: Call| match call.arrival % 3 {
            0 => Ok(Reply::default()),
            1 => Ok(Reply { degraded: true }),
            _ => Err(CallError::Overloaded),
        })));
        let calls: Vec<_> = (0..200)
            .map(|arrival| {
                let line = Arc::clone(&line);
                tokio::spawn(async move { line.call(Call::arriving(arrival)).await })
            })
            .collect();
        for (arrival, call) in (0..).zip(calls) {
            let expected = match arrival % 3 {
                0 => Ok(Reply::default()),
                1 => Ok(Reply { degraded: true }),
                _ => Err(CallError::Overloaded),
            };
            assert_eq!(call.await.unwrap(), expected, "arrival {arrival}");
        }
        assert!(tcp.connections() <= 200);
        assert_eq!(tcp.machine_faults(), 0);
    });
}

// === on both wires ===

/// client -> api -> db, where the client heeds advice and the database refuses everything: what the client
/// comes to, the attempts that reached the api and the database, and how often the client heeded.
async fn advised(tcp: bool, advice: &str, api_heeds: bool) -> (Outcome, [u64; 3]) {
    let heeding = r#"{"retry": {"attempts": 3, "honour_advice": true}}"#;
    let mut settings = three_services(false);
    settings["client"].with = serde_json::from_str(heeding).unwrap();
    if api_heeds {
        settings["api"].with = serde_json::from_str(heeding).unwrap();
    }
    settings["db"].load_shed = Some(serde_json::from_str(r#"{"inside": 0}"#).unwrap());
    settings["db"].advice = Some(serde_json::from_str(advice).unwrap());
    let wire = Arc::new(Tcp::default());
    let stack = if tcp {
        Stack::start_on(World::new(1, false), &settings, wire.wiring())
    } else {
        Stack::start(World::new(1, false), &settings)
    };
    let outcome = stack.entry().call(Call::arriving(0)).await;
    let counted = [("api", Flow::Arrived), ("db", Flow::Arrived), ("client", Flow::AdviceHeeded)];
    (outcome, counted.map(|(service, it)| flow(&meter(&stack, service), it)))
}

#[test]
fn advice_is_heeded_and_passed_on_alike_on_both_wires() {
    let never = r#"{"do_not_retry": true}"#;
    let soon = r#"{"retry_after": "2ms"}"#;
    for (advice, api_heeds, expected) in [
        // Passed on by an api that makes one attempt.
        (never, false, [1, 1, 1]),
        (soon, false, [3, 3, 2]),
        // Passed on by an api that heeds it too: it has used up its own attempts every time.
        (never, true, [1, 1, 1]),
        (soon, true, [3, 9, 2]),
    ] {
        let over_tcp = Arc::new(Mutex::new(None));
        let seen = Arc::clone(&over_tcp);
        on_the_real_clock(async move {
            let came_to = advised(true, advice, api_heeds).await;
            *seen.lock().unwrap() = Some(came_to);
        });
        // A thread of a real run has no simulation.
        let simulated = std::thread::spawn(move || time::simulate(advised(false, advice, api_heeds)));
        let in_memory = simulated.join().unwrap().unwrap();
        assert_eq!(in_memory, (Err(CallError::Overloaded), expected), "{advice}");
        assert_eq!(over_tcp.lock().unwrap().take(), Some(in_memory), "{advice}");
    }
}

#[test]
fn nobody_comes_back_before_the_advised_time_on_either_wire() {
    let soon = r#"{"retry_after": "30ms"}"#;
    let (_, took) = time::simulate(async {
        let came_to = advised(false, soon, false).await;
        (came_to, now())
    })
    .unwrap();
    assert_eq!(took, Time::from_nanos(60_000_000));
    on_the_real_clock(async {
        let begun = now();
        let _ = advised(true, soon, false).await;
        assert!(now().since(begun) >= Duration::from_millis(60));
    });
}

// === caches ===

/// client -> cache -> db, all over TCP but the first hop.
#[test]
fn a_cache_answers_over_the_wire_and_its_fill_goes_on_when_its_caller_has_left() {
    on_the_real_clock(async {
        let mut cache = service(Some("db"));
        let text = r#"{"keys": {"count": 1}, "ttl": "1h", "coalesce": true, "fill_outlives_caller": true}"#;
        cache.cache = Some(serde_json::from_str(text).unwrap());
        cache.cancel_on_disconnect = true;
        let services: StackSettings =
            [("client", service(Some("cache"))), ("cache", cache), ("db", service(None))]
                .map(|(name, it)| (name.into(), it))
                .into();
        let (_tcp, stack) = stack(&services);
        stack.disturb(0, "db", Disturbance { hold: Some(Hold::default()), ..Disturbance::default() });
        let (cache, db) = (meter(&stack, "cache"), meter(&stack, "db"));
        call_and_leave(&stack.entry(), Call::arriving(0), || flow(&db, Flow::Disturbed) == 1).await;
        until("the cache notices", || flow(&cache, Flow::Abandoned) == 1).await;
        stack.calm(0);
        let level = || cache.read(now()).stock(StockName::CacheEntries).level;
        until("the fill is stored", || level() == 1).await;
        assert_eq!(stack.entry().call(Call::arriving(1)).await, Ok(Reply::default()));
        assert_eq!([Flow::CacheHits, Flow::CacheMisses].map(|it| flow(&cache, it)), [1, 1]);
        assert_eq!(flow(&db, Flow::Arrived), 1);
    });
}
