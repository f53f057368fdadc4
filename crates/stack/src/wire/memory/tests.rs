//! The modelled accept queue: against a simpler model, and against the kernel.

use std::collections::VecDeque;
use std::future::Future;

use proptest::prelude::*;
use pumphandle_core::Dur;
use pumphandle_core::meter::Snapshot;
use pumphandle_core::time::{Order, Origin, simulate, sleep, timeout};

use super::*;
use crate::Stack;
use crate::listen::{Accept, SynSchedule};
use crate::settings::{Calls, ServiceSettings, StackSettings};
use crate::wire::tcp::{Tcp, kernel};

const MS: u64 = 1_000_000;

fn ms(n: u64) -> Dur {
    Dur(Duration::from_millis(n))
}

/// client -> shop, which listens like this and answers at once.
fn shop(listen: Option<Listen>) -> StackSettings {
    let client = ServiceSettings { calls: Calls::One("shop".to_owned()), ..ServiceSettings::default() };
    let shop = ServiceSettings { listen, ..ServiceSettings::default() };
    [("client".to_owned(), client), ("shop".to_owned(), shop)].into()
}

/// A user that comes at `at` and leaves after `patience`; when and how it was answered, in nanoseconds.
async fn user(stack: Arc<Stack>, i: u64, at: u64, patience: u64) -> Option<u64> {
    time::sleep_until(Time::from_nanos(at), Order::arrival(i)).await;
    let entry = stack.entry();
    let answer =
        timeout(Duration::from_nanos(patience), Order::timeout(i), entry.call(Call::arriving(i))).await;
    matches!(answer, Ok(Ok(_))).then(|| now().nanos())
}

/// All of them at once; their answers, and what the shop counted in the end.
async fn users(stack: &Arc<Stack>, all: &[(u64, u64)]) -> (Vec<Option<u64>>, Snapshot) {
    let answers: Arc<Mutex<Vec<Option<u64>>>> = Arc::new(Mutex::new(vec![None; all.len()]));
    let left = Arc::new(std::sync::atomic::AtomicUsize::new(all.len()));
    for (i, &(at, patience)) in all.iter().enumerate() {
        let (stack, answers, left) = (Arc::clone(stack), Arc::clone(&answers), Arc::clone(&left));
        time::spawn("a user", async move {
            let answered = user(stack, i as u64, at, patience).await;
            answers.lock().unwrap()[i] = answered;
            left.fetch_sub(1, Ordering::SeqCst);
        });
    }
    while left.load(Ordering::SeqCst) > 0 {
        time::sleep(Duration::from_millis(20), Order::sample(0)).await;
    }
    let answers = answers.lock().unwrap().clone();
    (answers, stack.meter("shop").read(now()))
}

/// The same as arithmetic, for one worker and connections that are not used again. Events in the order of time; at one
/// instant a worker is free before anybody comes, and whoever leaves does so last but for those who come.
fn reference(listen: Listen, all: &[(u64, u64)]) -> (Vec<Option<u64>>, [u64; 3]) {
    #[derive(PartialEq, Eq, PartialOrd, Ord)]
    enum What {
        Free,
        Packet(usize, usize),
    }
    let takes = listen.accept.takes.0.as_nanos() as u64;
    let again = listen.syn_schedule.again_s();
    let mut events: std::collections::BTreeSet<(u64, What)> =
        all.iter().enumerate().map(|(i, (at, _))| (*at, What::Packet(i, 0))).collect();
    let (mut queue, mut busy): (VecDeque<usize>, Option<usize>) = (VecDeque::new(), None);
    let (mut answers, mut counts) = (vec![None; all.len()], [0_u64; 3]);
    while let Some((at, what)) = events.pop_first() {
        match what {
            What::Free => {
                let user = busy.take().expect("a worker was busy");
                let (came, patience) = all[user];
                answers[user] = (at <= came + patience).then_some(at);
            }
            What::Packet(user, n) => {
                let (came, patience) = all[user];
                // At the very instant at which it leaves, it leaves first.
                if n > 0 && at >= came + patience {
                    continue;
                }
                counts[2] += u64::from(n > 0);
                if queue.len() < listen.places() {
                    queue.push_back(user);
                } else {
                    counts[1] += 1;
                    if let Some(next) = again.get(n) {
                        events.insert((came + next * 1000 * MS, What::Packet(user, n + 1)));
                    }
                }
            }
        }
        if busy.is_none()
            && let Some(user) = queue.pop_front()
        {
            counts[0] += 1;
            busy = Some(user);
            events.insert((at + takes, What::Free));
        }
    }
    (answers, counts)
}

fn counts(shop: &Snapshot) -> [u64; 3] {
    [Flow::Accepted, Flow::ListenDrops, Flow::SynRetransmissions].map(|flow| shop.flow(flow))
}

proptest! {
    /// Who is answered, and when to the nanosecond, what is accepted, dropped and sent again is what the arithmetic
    /// says; and the accounts of the queue close.
    #[test]
    fn the_queue_is_the_one_of_the_arithmetic(
        backlog in 1_u32..6,
        takes in 1_u64..400,
        exponential in prop::bool::ANY,
        crowd in prop::collection::btree_map(0_u64..3_000, 1_u64..9_000, 1..60),
    ) {
        let listen = Listen {
            backlog,
            accept: Accept { workers: 1, takes: Dur(Duration::from_nanos(takes * MS + 1)) },
            keep_alive: false,
            syn_schedule: if exponential { SynSchedule::Exponential } else { SynSchedule::Linear },
            ..Listen::OPEN
        };
        // No two things at one instant, also a second later: which of them is first is nobody's concern here.
        let odd = |(i, (at, patience)): (u64, (u64, u64))| (at * MS + i * 10_000, patience * MS + 5_000);
        let all: Vec<(u64, u64)> = (0..).zip(crowd).map(odd).collect();
        let (answers, shop) = simulate(async {
            let stack = Arc::new(Stack::start(World::new(1, false), &shop(Some(listen))));
            let (answers, _) = users(&stack, &all).await;
            // Those who have left are accepted too.
            time::sleep(Duration::from_secs(30), Order::sample(1)).await;
            (answers, stack.meter("shop").read(now()))
        }).unwrap();
        let (expected, counted) = reference(listen, &all);
        prop_assert_eq!(answers, expected);
        prop_assert_eq!(counts(&shop), counted);
        let queue = shop.stock(StockName::AcceptQueue);
        prop_assert_eq!((queue.level, queue.inflow, queue.outflow), (0, counted[0], counted[0]));
        prop_assert_eq!(queue.integral, queue.sojourns);
        prop_assert!(queue.peak <= listen.places() as u64);
    }
}

/// All in the first tenth of a second, and patient.
fn crowd(n: u64) -> Vec<(u64, u64)> {
    (0..n).map(|i| (i * MS, 60_000 * MS)).collect()
}

fn in_memory(listen: Listen, n: u64) -> (Vec<Option<u64>>, Snapshot) {
    simulate(async {
        users(&Arc::new(Stack::start(World::new(1, false), &shop(Some(listen)))), &crowd(n)).await
    })
    .unwrap()
}

const SLOW: Listen = Listen {
    backlog: 4,
    accept: Accept { workers: 1, takes: Dur(Duration::from_millis(10)) },
    keep_alive: false,
    ..Listen::OPEN
};

#[test]
fn a_service_that_says_nothing_special_lets_everybody_in_at_once() {
    let (answers, shop) = in_memory(Listen::OPEN, 100);
    assert!(answers.iter().zip(crowd(100)).all(|(answered, (at, _))| *answered == Some(at)));
    assert_eq!(shop.flow(Flow::ListenDrops), 0);
}

#[test]
fn more_places_more_workers_or_connections_that_stay_open_each_end_the_drops() {
    let drops = |listen| in_memory(listen, 60).1.flow(Flow::ListenDrops);
    assert!(drops(SLOW) > 20);
    assert_eq!(drops(Listen { backlog: 4096, ..SLOW }), 0);
    assert!(drops(Listen { backlog: 4096, somaxconn: 4, ..SLOW }) > 20, "the system gives no more");
    assert_eq!(drops(Listen { accept: Accept { workers: 10, ..SLOW.accept }, ..SLOW }), 0);
    // The shop takes no time: its first connection is idle again before the second user has been accepted.
    assert!(drops(Listen { keep_alive: true, ..SLOW }) < drops(SLOW) / 2);
}

#[test]
fn an_idle_connection_needs_nobody_to_accept_it() {
    let one_by_one = |keep_alive| {
        simulate(async move {
            let listen = Listen { keep_alive, ..SLOW };
            let stack = Arc::new(Stack::start(World::new(1, false), &shop(Some(listen))));
            let all: Vec<(u64, u64)> = (0..5).map(|i| (i * 100 * MS, 1000 * MS)).collect();
            let (answers, shop) = users(&stack, &all).await;
            let waits: Vec<u64> =
                answers.iter().zip(&all).map(|(it, (at, _))| (it.unwrap() - at) / MS).collect();
            (waits, shop.flow(Flow::Accepted))
        })
        .unwrap()
    };
    assert_eq!(one_by_one(false), (vec![10; 5], 5));
    assert_eq!(one_by_one(true), (vec![10, 0, 0, 0, 0], 1));
}

#[test]
fn a_longer_queue_and_more_workers_act_while_it_runs() {
    let with = |changed: Listen| {
        simulate(async move {
            let stack = Arc::new(Stack::start(World::new(1, false), &shop(Some(SLOW))));
            let (watched, settings) = (Arc::clone(&stack), shop(Some(changed)));
            time::spawn("a lever", async move {
                time::sleep_until(Time::from_nanos(20 * MS), Order::timeline(0)).await;
                watched.set("shop", settings["shop"].clone());
            });
            users(&stack, &crowd(60)).await.1.flow(Flow::ListenDrops)
        })
        .unwrap()
    };
    let unchanged = with(SLOW);
    assert!(with(Listen { backlog: 4096, ..SLOW }) < unchanged / 4);
    assert!(with(Listen { accept: Accept { workers: 10, ..SLOW.accept }, ..SLOW }) < unchanged / 4);
}

#[test]
fn a_client_whose_packets_are_all_dropped_is_told_by_its_own_kernel_in_the_end() {
    let never = Accept { workers: 1, takes: ms(60_000) };
    for (schedule, gives_up) in [(SynSchedule::Linear, 131), (SynSchedule::Exponential, 127)] {
        let listen = Listen { backlog: 1, accept: never, syn_schedule: schedule, ..SLOW };
        let end = simulate(async move {
            let stack = Arc::new(Stack::start(World::new(1, false), &shop(Some(listen))));
            // One is being accepted, two wait, and more come to take the places of those that are accepted.
            for i in 1..20 {
                let (stack, at) = (Arc::clone(&stack), if i < 4 { 0 } else { i - 1 } * 10_000 * MS);
                time::spawn("another", async move {
                    let _ = user(stack, i, at, u64::MAX / 2).await;
                });
            }
            time::sleep_until(Time::from_nanos(1), Order::arrival(99)).await;
            let answer = stack.entry().call(Call::arriving(99)).await;
            assert_eq!(answer, Err(CallError::Disconnected));
            now()
        })
        .unwrap();
        assert_eq!(end, Time::from_nanos(1) + Duration::from_secs(gives_up));
    }
}

// === against the kernel ===

/// What its kernel does, or why nobody can know.
fn schedule_of_this_kernel() -> SynSchedule {
    assert_eq!(
        std::env::consts::OS,
        "linux",
        "NOT TESTED: accept queues are modelled after Linux, and can be read there only"
    );
    match kernel::setting("net/ipv4/tcp_syn_linear_timeouts") {
        Some(4) => SynSchedule::Linear,
        // It came with Linux 6.5.
        Some(0) | None => SynSchedule::Exponential,
        Some(n) => {
            panic!("NOT TESTED: net.ipv4.tcp_syn_linear_timeouts is {n}, and only 0 and 4 are modelled")
        }
    }
}

/// One user is being accepted, five wait, three are dropped. One connection is taken before each of the first two tries
/// again, and they get in; the third is dropped again, and gets in the next time, when accepting takes no time any more.
/// The three are further apart than the kernel's timers are coarse: see the head of the module's parent.
async fn nine_users(stack: Arc<Stack>) -> (Vec<u64>, Snapshot) {
    let mut all = vec![(0, 60_000 * MS)];
    all.extend([50, 60, 70, 80, 90, 100, 250, 400].map(|at| (at * MS, 60_000 * MS)));
    let quick = shop(Some(Listen { accept: Accept::default(), ..NINE }));
    let changing = Arc::clone(&stack);
    // After the second packets and before the worker is free again.
    time::spawn("a lever", async move {
        time::sleep_until(Time::from_nanos(1_500 * MS), Order::timeline(0)).await;
        changing.set("shop", quick["shop"].clone());
    });
    let (answers, shop) = users(&stack, &all).await;
    (answers.into_iter().map(|at| at.expect("everybody is answered")).collect(), shop)
}

const NINE: Listen = Listen { accept: Accept { workers: 1, takes: Dur(Duration::from_millis(600)) }, ..SLOW };

fn on_the_real_clock<T>(test: impl Future<Output = T>) -> T {
    let origin = Origin::after(Duration::from_millis(100));
    origin.enter();
    // One thread, so that no two packets come at the same moment.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(test)
}

/// The same nine users over TCP and in memory: as many are dropped, sent again and accepted, the queue is as full, and
/// each is answered after as many packets.
#[test]
fn the_model_and_the_kernel_drop_the_same_packets_and_let_the_same_users_in() {
    let listen = Listen { syn_schedule: schedule_of_this_kernel(), ..NINE };
    let settings = shop(Some(listen));
    let (model, counted) =
        simulate(async { nine_users(Arc::new(Stack::start(World::new(1, false), &settings))).await })
            .unwrap();
    let (real, read) = on_the_real_clock(async {
        let tcp = Arc::new(Tcp::default());
        let stack = Arc::new(Stack::start_on(World::new(1, false), &settings, tcp.wiring()));
        let seen = nine_users(stack).await;
        assert_eq!(tcp.not_as_said(), Vec::<String>::new());
        assert_eq!(tcp.machine_faults(), 0);
        seen
    });
    assert_eq!(counts(&counted), [9, 4, 4], "accepted, dropped, sent again");
    assert_eq!(counts(&read), counts(&counted));
    let queue = |shop: &Snapshot| {
        let queue = shop.stock(StockName::AcceptQueue);
        (queue.inflow, queue.outflow, queue.peak)
    };
    assert_eq!(queue(&counted), (9, 9, 5));
    assert_eq!(queue(&read), queue(&counted));
    // Who waited for a third packet: the same number of users on both.
    let after = |answers: &[u64], ms: u64| answers.iter().filter(|at| **at > ms * MS).count();
    assert_eq!(after(&model, 1_900), after(&real, 1_900), "{model:?} {real:?}");
    assert_eq!(after(&model, 1_900), 1);
}

/// The kernel sends a packet again when the schedule says, or up to an eighth later: that is what its timers may be
/// late. Between two looks nobody knows when it was; so nothing here depends on how busy the machine is.
#[test]
fn the_kernel_tries_again_when_the_schedule_says() {
    let schedule = schedule_of_this_kernel();
    let socket = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _in_it = socket.enter();
    let listener = tokio::net::TcpSocket::new_v4().unwrap();
    listener.bind((std::net::Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let listener = listener.listen(4).unwrap();
    let address = listener.local_addr().unwrap();
    Origin::after(Duration::ZERO).enter();
    let fill = || socket.block_on(tokio::net::TcpStream::connect(address)).unwrap();
    let _queued: Vec<tokio::net::TcpStream> = (0..5).map(|_| fill()).collect();
    let full = kernel::Listener { level: 5, backlog: 4, drops: 0 };
    assert_eq!(kernel::listener(&listener), Some(full), "one more than was asked for");

    let before = now();
    let sixth = socket.spawn(async move { drop(tokio::net::TcpStream::connect(address).await) });
    let (mut last, mut seen) = (now(), Vec::new());
    while seen.len() < 3 {
        socket.block_on(sleep(Duration::from_millis(2), Order::sample(0)));
        let (at, drops) = (now(), kernel::listener(&listener).unwrap().drops as usize);
        assert!(drops <= 3 && seen.len() <= drops);
        seen.resize(drops, (last.since(before), at.since(before)));
        last = at;
    }
    sixth.abort();
    for ((not_before, by), again) in seen.iter().zip([0].iter().chain(schedule.again_s())) {
        let due = Duration::from_secs(*again);
        // The first packet leaves a moment after `before`.
        assert!(*by >= due, "{seen:?}: too early");
        assert!(*not_before <= due.mul_f64(1.125) + Duration::from_millis(50), "{seen:?}: too late");
    }
    assert_eq!(kernel::listener(&listener).unwrap().level, 5, "nobody was told, and nobody got in");
}
