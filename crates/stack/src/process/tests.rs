//! Services in processes of their own, here all in one, but with nothing between them but TCP.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use pumphandle_core::meter::{BreakerState, Flow, StockName};
use pumphandle_core::time::{self, Order, Origin, now, timeout};
use pumphandle_core::{CallError, Class, Dur, Outcome, Reply};
use pumphandle_policy::{Patience, deadline, retry_quota};

use super::*;
use crate::disturbance::{Disturbance, Hold};
use crate::service_time::ServiceTime;
use crate::settings::{Calls, ServiceSettings};
use crate::wire::tcp::listen_at;

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

/// client -> api, whose queue drops what comes too late.
fn settings() -> StackSettings {
    let mut client = ServiceSettings { calls: Calls::One("api".into()), ..ServiceSettings::default() };
    client.with.deadline = Some(Patience(Some(Dur(Duration::from_secs(5)))));
    client.with.propagate_deadline = Some(serde_json::from_str::<deadline::Propagation>("true").unwrap());
    client.with.breaker = Some(serde_json::from_str(r#"{"consecutive": 3, "open_for": "1h"}"#).unwrap());
    let mut api = ServiceSettings { workers: Some(1), ..ServiceSettings::default() };
    api.queue.drop_expired = true;
    api.service_time = Some(ServiceTime::Constant(Dur(Duration::from_millis(1))));
    [("client", client), ("api", api)].map(|(name, it)| (name.to_owned(), it)).into()
}

fn start(service: &str, seed: u64, callee: SocketAddr) -> (Arc<Process>, SocketAddr) {
    let process =
        Arc::new(Process::start(settings(), service, Vec::new(), seed, |_| callee.to_string()).unwrap());
    let listener = listen_at(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = listener.local_addr().unwrap();
    process.listen(listener);
    (process, address)
}

/// Both processes, and the way to the first.
fn both() -> (Arc<Process>, Arc<Process>, Line) {
    let (api, address) = start("api", 1, SocketAddr::from(([127, 0, 0, 1], 1)));
    let (client, address) = start("client", 1, address);
    let line = Tcp::default().line_to_process(&address.to_string()).unwrap();
    (client, api, line)
}

fn flow(process: &Process, flow: Flow) -> u64 {
    process.meter().read(now()).flow(flow)
}

fn level(process: &Process, stock: StockName) -> u64 {
    process.meter().read(now()).stock(stock).level
}

fn changed(service: &str, change: impl Fn(&mut ServiceSettings)) -> ServiceSettings {
    let mut settings = settings()[service].clone();
    change(&mut settings);
    settings
}

/// A trigger that keeps whoever gets a worker.
fn hanging() -> Disturbance {
    Disturbance { hang: 1.0, ..Disturbance::default() }
}

#[test]
fn a_user_passes_two_processes_and_each_counts_for_itself() {
    on_the_real_clock(async {
        let (client, api, line) = both();
        for arrival in 0..3 {
            assert_eq!(line.call(Call::arriving(arrival)).await, Ok(Reply::default()));
        }
        for process in [&client, &api] {
            assert_eq!(flow(process, Flow::Arrived), 3);
            assert_eq!(flow(process, Flow::InTime), 3);
        }
    });
}

#[test]
fn a_service_that_nobody_serves_is_a_broken_connection_and_no_fault_of_the_machine() {
    on_the_real_clock(async {
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (client, address) = start("client", 1, nobody);
        let line = Tcp::default().line_to_process(&address.to_string()).unwrap();
        assert_eq!(line.call(Call::arriving(0)).await, Err(CallError::Disconnected));
        assert_eq!(client.machine_faults(), 0);
    });
}

/// What the two ends count from is not known to each other (`message` is tested with ends that differ).
#[test]
fn a_deadline_travels_as_the_time_that_is_left() {
    on_the_real_clock(async {
        let (client, api, line) = both();
        api.stack().disturb(0, "api", hanging());
        let first = async { line.call(Call::arriving(0)).await };
        let second = async {
            until("the first has the worker", || level(&api, StockName::Working) == 1).await;
            // One that has 100 ms left waits behind it, and is dropped when its turn comes.
            client.stack().set(
                "client",
                changed("client", |it| {
                    it.with.deadline = Some(Patience(Some(Dur(Duration::from_millis(100)))));
                }),
            );
            let outcome: Outcome = line.call(Call::arriving(1)).await;
            assert_eq!(outcome, Err(CallError::DeadlineExceeded));
            api.stack().set("api", changed("api", |it| it.workers = Some(2)));
            until("it is dropped", || flow(&api, Flow::Expired) == 1).await;
            api.reset(1);
        };
        assert_eq!(tokio::join!(biased; first, second).0, Err(CallError::Disconnected));
    });
}

#[test]
fn a_reset_puts_everything_back_and_loses_what_is_inside() {
    on_the_real_clock(async {
        let (client, api, line) = both();
        api.stack().set(
            "api",
            changed("api", |it| {
                it.retry_quota = serde_json::from_str::<Option<retry_quota::RetryQuota>>("null").unwrap()
            }),
        );
        api.stack().disturb(0, "api", hanging());
        // One works for ever, one waits behind it, one stands before a shut door.
        let lost = ["works", "waits"].map(|_| line.call(Call::arriving(7)));
        let [works, waits] = lost;
        let stuck = async {
            until("both are inside", || level(&api, StockName::Inside) == 2).await;
            api.stack().disturb(
                1,
                "api",
                Disturbance { hold: Some(Hold::default()), ..Disturbance::default() },
            );
            let at_the_door = line.call(Call::arriving(8));
            let reset = async {
                until("the third is at the door", || flow(&api, Flow::Disturbed) == 2).await;
                api.reset(1);
            };
            tokio::join!(biased; at_the_door, reset).0
        };
        let outcomes = tokio::join!(biased; works, waits, stuck);
        assert_eq!(
            outcomes,
            (Err(CallError::Disconnected), Err(CallError::Disconnected), Err(CallError::Disconnected))
        );
        for stock in [StockName::Inside, StockName::Queue, StockName::Working] {
            assert_eq!(level(&api, stock), 0, "{stock:?}");
        }
        // Three failures opened the client's breaker, and it would stay open for an hour.
        assert_eq!(client.meter().read(now()).breaker, BreakerState::Open);
        assert_eq!(line.call(Call::arriving(9)).await, Err(CallError::BreakerOpen));
        client.reset(1);
        assert_eq!(client.meter().read(now()).breaker, BreakerState::Closed);
        assert_eq!(line.call(Call::arriving(10)).await, Ok(Reply::default()));
        assert_eq!(flow(&client, Flow::Arrived), 5, "what was counted has happened");
    });
}

#[test]
fn a_thousand_resets_leave_nothing_behind() {
    on_the_real_clock(async {
        let (_, api, line) = both();
        let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
        assert_eq!(line.call(Call::arriving(0)).await, Ok(Reply::default()));
        let before = tasks();
        for seed in 0..1000 {
            api.reset(seed);
        }
        assert_eq!(api.seed(), 999);
        assert_eq!(line.call(Call::arriving(1)).await, Ok(Reply::default()));
        until("the old ones end", || tasks() <= before).await;
    });
}

/// Both stacks of a twin must meet the same luck, and another seed another one.
#[test]
fn draws_follow_the_seed_and_the_arrival_and_not_the_process() {
    on_the_real_clock(async {
        let fails = async |seed: u64| {
            let (api, address) = start("api", seed, SocketAddr::from(([127, 0, 0, 1], 1)));
            api.stack().disturb(0, "api", Disturbance { errors: 0.5, ..Disturbance::default() });
            let line = Tcp::default().line_to_process(&address.to_string()).unwrap();
            let mut outcomes = Vec::new();
            for arrival in 0..64 {
                outcomes.push(line.call(Call::arriving(arrival)).await.is_err());
            }
            outcomes
        };
        let (control, treatment, other) = (fails(1).await, fails(1).await, fails(2).await);
        assert_eq!(control, treatment);
        assert_ne!(control, other);
        assert!(control.contains(&true) && control.contains(&false));
    });
}

/// Classes travel by number, and what they mean is known to every process; a service that stands by is found as
/// those that are called are.
#[test]
fn a_class_finds_its_own_way_and_its_own_work_in_other_processes() {
    on_the_real_clock(async {
        let json = r#"{
            "client": { "calls": "api", "standby": "spare", "route": { "paying": { "api": "spare" } } },
            "api": {},
            "spare": { "service_time_of": { "paying": { "constant": "30ms" } } }
        }"#;
        let all: StackSettings = serde_json::from_str(json).unwrap();
        let classes = || vec!["usual".to_owned(), "paying".to_owned()];
        let of = |service: &str, at: Vec<(&'static str, SocketAddr)>| {
            let at = |name: &str| at.iter().find(|(known, _)| *known == name).unwrap().1.to_string();
            let process = Arc::new(Process::start(all.clone(), service, classes(), 1, at).unwrap());
            let listener = listen_at(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
            let address = listener.local_addr().unwrap();
            process.listen(listener);
            (process, address)
        };
        let (api, api_at) = of("api", Vec::new());
        let (spare, spare_at) = of("spare", Vec::new());
        let (client, at) = of("client", vec![("api", api_at), ("spare", spare_at)]);
        let line = Tcp::default().line_to_process(&at.to_string()).unwrap();
        let paying = || Call { class: Class(1), ..Call::arriving(1) };
        for _ in ["as started", "as reset"] {
            let before = now();
            assert_eq!(line.call(Call::arriving(0)).await, Ok(Reply::default()));
            assert_eq!(line.call(paying()).await, Ok(Reply::default()));
            assert!(now().since(before) >= Duration::from_millis(30), "work of its class");
            [&client, &api, &spare].into_iter().for_each(|process| process.reset(1));
        }
        assert_eq!([&client, &api, &spare].map(|process| flow(process, Flow::Arrived)), [4, 2, 2]);
    });
}

#[test]
fn a_reset_takes_its_limits_with_it_and_whoever_stands_in_line_finds_nobody() {
    on_the_real_clock(async {
        let (_client, api, _) = both();
        let limits = changed("api", |it| {
            it.door_concurrency_limit =
                serde_json::from_str(r#"{ "algorithm": { "aimd": { "initial": 7, "min": 1 } } }"#).unwrap();
            it.door_rate_limit =
                serde_json::from_str(r#"{ "rate": "2/s", "burst": 1, "max_wait": "10s" }"#).unwrap();
        });
        api.stack().set("api", limits);
        let limit = || api.meter().read(now()).concurrency_limit;
        assert_eq!(limit(), 7);
        assert_eq!(api.call(Call::arriving(0)).await, Ok(Reply::default()));
        let waits = api.call(Call::arriving(1));
        let reset = async {
            until("it stands in line", || level(&api, StockName::RateWaiting) == 1).await;
            api.reset(1);
        };
        assert_eq!(tokio::join!(biased; waits, reset).0, Err(CallError::Disconnected));
        until("the limits are gone", || limit() == 0).await;
        assert_eq!(level(&api, StockName::RateWaiting), 0);
    });
}

#[test]
fn old_work_in_another_process_is_ended_and_young_work_is_not() {
    on_the_real_clock(async {
        let (_client, api, line) = both();
        api.stack().disturb(0, "api", hanging());
        let works = async { line.call(Call::arriving(0)).await };
        let kill = async {
            until("it works", || level(&api, StockName::Working) == 1).await;
            assert_eq!(api.stack().kill("api", Duration::from_secs(3600)), 0);
            assert_eq!(level(&api, StockName::Inside), 1);
            assert_eq!(api.stack().kill("api", Duration::ZERO), 1);
        };
        assert_eq!(tokio::join!(biased; works, kill).0, Err(CallError::Killed));
        assert_eq!(flow(&api, Flow::Killed), 1);
    });
}

#[test]
fn a_process_that_is_a_cache_is_as_warm_after_a_reset_as_at_the_start() {
    on_the_real_clock(async {
        let (api, address) = start("api", 1, SocketAddr::from(([127, 0, 0, 1], 1)));
        let mut services = settings();
        let text = r#"{"keys": {"count": 1000, "exponent": 1}, "ttl": "1h", "size": 300, "warm": 300}"#;
        services["client"].cache = Some(serde_json::from_str(text).unwrap());
        let process = Process::start(services, "client", Vec::new(), 1, |_| address.to_string()).unwrap();
        assert_eq!(level(&process, StockName::CacheEntries), 300);
        for arrival in 0..100 {
            process.call(Call::arriving(arrival)).await.unwrap();
        }
        let [hits, misses] = [Flow::CacheHits, Flow::CacheMisses].map(|it| flow(&process, it));
        assert!(hits > 50 && misses > 5 && hits + misses == 100, "{hits} hits, {misses} misses");
        assert_eq!(flow(&api, Flow::Arrived), misses, "only what it has not got is asked for");
        assert_eq!(flow(&process, Flow::CacheEvictions), misses);
        process.reset(2);
        assert_eq!(level(&process, StockName::CacheEntries), 300);
        let account = *process.meter().read(now()).stock(StockName::CacheEntries);
        assert_eq!(account.inflow - account.outflow, 300);
    });
}
