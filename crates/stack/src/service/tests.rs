//! Replicas that come, go and are lost, who gets the next call, and what is computed.

use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use proptest::prelude::*;
use pumphandle_core::draws::{Draws, Path};
use pumphandle_core::meter::{Flow, StockName};
use pumphandle_core::time::{Order, simulate, sleep, spawn};
use pumphandle_core::{Call, CallError, Dur, Outcome, Share, World};
use pumphandle_policy::Policies;

use super::*;
use crate::service_time::ServiceTime;
use crate::settings::{Calls, Cpu, ServiceSettings};
use crate::{Stack, StackSettings};

const SECOND: Duration = Duration::from_secs(1);

fn seconds(n: u32) -> Dur {
    Dur(SECOND * n)
}

/// A front end without work of its own, and an api whose work takes a second.
fn stack(api: ServiceSettings) -> Arc<Stack> {
    let front = ServiceSettings { calls: Calls::One("api".to_owned()), ..ServiceSettings::default() };
    let all: StackSettings = IndexMap::from([("front".to_owned(), front), ("api".to_owned(), api)]);
    Arc::new(Stack::start(World::new(7, true), &all))
}

fn api(replicas: u32) -> ServiceSettings {
    let takes = Some(ServiceTime::Constant(seconds(1)));
    ServiceSettings { replicas, service_time: takes, ..ServiceSettings::default() }
}

async fn pass(span: Duration) {
    sleep(span, Order::sample(0)).await;
}

/// How many replicas take calls, and how many do not yet.
fn levels(stack: &Stack) -> (u64, u64) {
    let level = |stock| stack.meter("api").stock(stock).read(now()).level;
    (level(StockName::Ready), level(StockName::Starting))
}

fn flow(stack: &Stack, flow: Flow) -> u64 {
    let read = stack.read();
    read[1].0.flow(flow)
}

/// Sends a call; its answer comes into what is returned.
fn send(stack: &Arc<Stack>, arrival: u64) -> Arc<Mutex<Option<Outcome>>> {
    let (entry, answer) = (stack.entry(), Arc::new(Mutex::new(None)));
    let into = Arc::clone(&answer);
    spawn("a user", async move {
        let outcome = entry.call(Call::arriving(arrival)).await;
        *into.lock().unwrap() = Some(outcome);
    });
    answer
}

#[test]
fn a_replica_that_is_started_gets_calls_only_after_its_start_up() {
    simulate(async {
        let stack = stack(ServiceSettings { start_up: seconds(30), workers: Some(1), ..api(1) });
        assert_eq!(levels(&stack), (1, 0), "those of the start are ready");
        stack.scale("api", 3);
        assert_eq!(levels(&stack), (1, 2));
        // Three calls of a second each, one after the other: there is one worker.
        let answers: Vec<_> = (0..3).map(|i| send(&stack, i)).collect();
        pass(Duration::from_millis(1500)).await;
        assert_eq!(answers.iter().filter(|it| it.lock().unwrap().is_some()).count(), 1);
        pass(SECOND * 28).await;
        assert_eq!(levels(&stack), (1, 2));
        pass(SECOND).await;
        assert_eq!(levels(&stack), (3, 0));
        let answers: Vec<_> = (10..13).map(|i| send(&stack, i)).collect();
        pass(Duration::from_millis(1500)).await;
        assert_eq!(answers.iter().filter(|it| it.lock().unwrap().is_some()).count(), 3, "one on each");
        let starting = stack.meter("api").stock(StockName::Starting).read(now());
        assert_eq!(starting.sojourns, 60 * 1_000_000_000, "two replicas, thirty seconds each");
    })
    .unwrap();
}

#[test]
fn of_surplus_replicas_those_go_first_that_are_not_ready_and_the_others_finish_what_they_have() {
    simulate(async {
        let stack = stack(ServiceSettings { start_up: seconds(30), ..api(2) });
        let answers = [send(&stack, 1), send(&stack, 2)];
        stack.scale("api", 4);
        let before: Vec<u64> = stack.seen("api").iter().map(|it| it.id).collect();
        pass(Duration::from_millis(100)).await;
        stack.scale("api", 2);
        assert_eq!(stack.seen("api").iter().map(|it| it.id).collect::<Vec<_>>(), before[..2]);
        stack.scale("api", 1);
        pass(SECOND * 2).await;
        assert!(answers.iter().all(|it| it.lock().unwrap().as_ref().is_some_and(Result::is_ok)));
        assert_eq!(levels(&stack), (1, 0));
        pass(SECOND * 60).await;
        assert_eq!(levels(&stack), (1, 0), "whose start-up is over when it is gone, is gone");
        stack.scale("api", 2);
        assert_eq!(stack.seen("api")[1].id, 4, "no number is given twice");
        let counted = [Flow::ScaledUp, Flow::ScaledDown, Flow::Turned].map(|it| flow(&stack, it));
        assert_eq!(counted, [2, 2, 2], "up, down, down, up");
    })
    .unwrap();
}

#[test]
fn a_replica_that_is_lost_loses_what_is_inside_and_is_back_after_its_start_up() {
    simulate(async {
        let stack = stack(ServiceSettings { start_up: seconds(30), ..api(3) });
        let answers: Vec<_> = (0..3).map(|i| send(&stack, i)).collect();
        pass(Duration::from_millis(100)).await;
        assert_eq!(stack.lose("api", 2, SECOND * 5), 2);
        pass(SECOND * 2).await;
        let lost = answers.iter().filter(|it| *it.lock().unwrap() == Some(Err(CallError::Disconnected)));
        assert_eq!(lost.count(), 2);
        assert_eq!(levels(&stack), (1, 2));
        pass(SECOND * 32).await;
        assert_eq!(levels(&stack), (1, 2), "away for 5 s, then 30 s of start-up");
        pass(SECOND * 2).await;
        assert_eq!(levels(&stack), (3, 0));
        // Lost again while it starts: the first start-up is not the one that counts.
        assert_eq!(stack.lose("api", 1, Duration::ZERO), 1);
        pass(SECOND * 20).await;
        assert_eq!(stack.lose("api", 5, Duration::ZERO), 2, "there were two to lose");
        assert_eq!(levels(&stack), (0, 3));
        let refused = send(&stack, 9);
        pass(SECOND).await;
        assert_eq!(*refused.lock().unwrap(), Some(Err(CallError::Disconnected)), "nobody takes calls");
        pass(SECOND * 30).await;
        assert_eq!(levels(&stack), (3, 0));
        let accounts =
            [StockName::Ready, StockName::Starting].map(|it| stack.meter("api").stock(it).read(now()));
        assert!(accounts.iter().all(|it| it.level == it.inflow - it.outflow && it.integral == it.sojourns));
    })
    .unwrap();
}

#[test]
fn calls_go_where_fewest_wait_if_the_balancer_counts() {
    simulate(async {
        // Replica 0 of three is slowed by a long call that it got first.
        let takes = IndexMap::from([("long".to_owned(), ServiceTime::Constant(seconds(100)))]);
        let api = ServiceSettings { balance: Balance::LeastRequests, service_time_of: takes, ..api(3) };
        let front = ServiceSettings { calls: Calls::One("api".to_owned()), ..ServiceSettings::default() };
        let all: StackSettings = IndexMap::from([("front".to_owned(), front), ("api".to_owned(), api)]);
        let world = World::with_classes(7, true, vec!["short".to_owned(), "long".to_owned()]);
        let stack = Arc::new(Stack::start(world, &all));
        let entry = stack.entry();
        spawn("the long one", async move {
            let class = pumphandle_core::call::Class(1);
            let _ = entry.call(Call { class, ..Call::arriving(0) }).await;
        });
        pass(Duration::from_millis(1)).await;
        for i in 1..=4 {
            send(&stack, i);
            pass(Duration::from_millis(1)).await;
        }
        let node_sent = stack.sent("api");
        assert_eq!(node_sent.iter().sum::<usize>(), 5);
        assert_eq!(*node_sent.iter().max().unwrap(), 2, "{node_sent:?}");
        pass(SECOND * 2).await;
        assert_eq!(stack.sent("api"), [1, 0, 0], "an answer is counted off, and so is a place");
    })
    .unwrap();
}

proptest! {
    #[test]
    fn two_are_drawn_that_are_not_the_same_and_each_as_often(n in 2_usize..40) {
        let draws = Draws::new(3);
        let mut drawn = vec![0_u32; n];
        let each = 4_000;
        for i in 0..n as u64 * each {
            let (one, other) = two_of(draws.bits(Stream::Balance, 1, Path::of_arrival(i)), n);
            prop_assert!(one != other && one < n && other < n);
            drawn[one] += 1;
            drawn[other] += 1;
        }
        for count in drawn {
            // Two of n: the mean is twice `each`; six standard deviations of a binomial are below a tenth of it.
            prop_assert!((f64::from(count) / (2.0 * each as f64) - 1.0).abs() < 0.1, "{count} of {each}");
        }
    }
}

#[test]
fn a_shared_pool_lets_as_many_through_as_one_replica_would() {
    for (shared, at_a_time) in [(false, 2), (true, 1)] {
        simulate(async move {
            let pool = serde_json::json!({ "pool": { "size": 1, "shared": shared } });
            let with: Policies = serde_json::from_value(pool).unwrap();
            let calls = Calls::One("api".to_owned());
            let front = ServiceSettings { calls, with, replicas: 2, ..ServiceSettings::default() };
            let all: StackSettings =
                IndexMap::from([("front".to_owned(), front), ("api".to_owned(), api(1))]);
            let stack = Arc::new(Stack::start(World::new(7, true), &all));
            let answers = [send(&stack, 1), send(&stack, 2)];
            pass(SECOND * 3).await;
            assert!(answers.iter().all(|it| it.lock().unwrap().as_ref().is_some_and(Result::is_ok)));
            let active = stack.meter("front").stock(StockName::PoolActive).read(now());
            assert_eq!((active.peak, active.inflow), (at_a_time, 2));
        })
        .unwrap();
    }
}

#[test]
fn computing_is_work_in_service_and_waiting_is_none() {
    simulate(async {
        let cpu = Some(Cpu { requested: 0.25, computing: Share(0.5) });
        // Two at a time on one worker: the second waits, and computes nothing meanwhile.
        let stack = stack(ServiceSettings { cpu, workers: Some(1), ..api(1) });
        send(&stack, 1);
        send(&stack, 2);
        pass(Duration::from_millis(500)).await;
        assert_eq!(stack.seen("api")[0].computed_ns, 0.25e9, "half a second, half of it computing");
        pass(SECOND * 3).await;
        assert_eq!(flow(&stack, Flow::CpuNanos), 1_000_000_000);
        // What waits for the api in the front end computes nothing there, and it has no work of its own.
        assert_eq!(stack.seen("front")[0].computed_ns, 0.0);
    })
    .unwrap();
}

#[test]
fn a_replica_that_leaves_is_billed_until_its_last_call() {
    simulate(async {
        let stack =
            stack(ServiceSettings { cpu: Some(Cpu { requested: 1.0, computing: Share(1.0) }), ..api(2) });
        send(&stack, 1);
        send(&stack, 2);
        pass(Duration::from_millis(100)).await;
        stack.scale("api", 1);
        pass(Duration::from_millis(500)).await;
        assert_eq!(flow(&stack, Flow::CpuNanos), 1_200_000_000, "two of them, for 0.6 s");
        pass(SECOND).await;
        assert_eq!(flow(&stack, Flow::CpuNanos), 2_000_000_000);
    })
    .unwrap();
}
