//! The laws of the executor: what fires when, what never fires, and how a run ends. The last part runs small
//! programs under tokio too: same free functions, real waits of a few milliseconds, no upper bounds.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use proptest::prelude::*;

use super::*;

/// Counts how often it is woken.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// What happened, in order.
#[derive(Clone, Debug, Default)]
struct Log<T>(Arc<Mutex<Vec<T>>>);

impl<T> Log<T> {
    fn new() -> Log<T> {
        Log(Arc::default())
    }
    fn add(&self, entry: T) {
        self.0.lock().unwrap().push(entry);
    }
    fn take(&self) -> Vec<T> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// A flag that one task waits for: what a channel is, without anybody's cleverness in between.
#[derive(Default)]
struct Flag(Mutex<(bool, Option<Waker>)>);

impl Flag {
    fn raise(&self) {
        let waker = {
            let mut state = self.0.lock().unwrap();
            state.0 = true;
            state.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    async fn raised(&self) {
        std::future::poll_fn(|cx| {
            let mut state = self.0.lock().unwrap();
            if state.0 {
                return Poll::Ready(());
            }
            state.1 = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// Runs something when dropped.
struct AtDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for AtDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

fn nanos(n: u64) -> Duration {
    Duration::from_nanos(n)
}

fn any_order() -> Order {
    Order::completion(0)
}

/// Lets everyone else who is ready run once.
async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

fn timers() -> (usize, usize) {
    with_backend(|backend| match backend {
        Backend::Virtual(sim) => sim.timers(),
        _ => panic!("not in a simulation"),
    })
}

fn order_of(kind: u8, key: u64) -> Order {
    match kind {
        0 => Order::timeline(key),
        1 => Order::completion(key),
        2 => Order::timeout(key),
        3 => Order::arrival(key),
        _ => Order::sample(key),
    }
}

// === Timers

#[test]
fn time_starts_at_zero_and_passes_by_single_nanoseconds() {
    let times = simulate(async {
        let mut times = vec![now()];
        for _ in 0..3 {
            sleep(nanos(1), any_order()).await;
            times.push(now());
        }
        sleep(nanos(999_999_999), any_order()).await;
        times.push(now());
        times
    });
    assert_eq!(times.unwrap(), [0, 1, 2, 3, 1_000_000_002].map(Time::from_nanos));
}

#[test]
fn a_sleep_whose_instant_has_passed_costs_no_time_and_no_timer() {
    simulate(async {
        sleep(nanos(5), any_order()).await;
        sleep_until(Time::from_nanos(3), any_order()).await;
        sleep(Duration::ZERO, any_order()).await;
        assert_eq!((now(), timers().0), (Time::from_nanos(5), 0));
    })
    .unwrap();
}

#[test]
fn kinds_of_one_instant_come_in_the_order_timeline_completion_timeout_arrival_sample() {
    let kinds: Vec<Order> = (0..5).map(|kind| order_of(kind, u64::MAX)).collect();
    assert!(kinds.windows(2).all(|pair| pair[0] < pair[1]));
    // A kind outranks every key of the next one.
    assert!((0..4).all(|kind| order_of(kind, u64::MAX) < order_of(kind + 1, 0)));
}

proptest! {
    /// Which of several timers comes first is a matter of (time, kind, key), never of who asked first.
    #[test]
    fn timers_fire_by_time_kind_and_key_however_they_were_registered(
        timers in prop::collection::btree_set((1_u64..4, 0_u8..5, 0_u64..4), 1..40)
            .prop_flat_map(|set| Just(set.into_iter().collect::<Vec<_>>()).prop_shuffle()),
    ) {
        let log = Log::new();
        let mut expected = timers.clone();
        expected.sort_unstable();
        simulate(async {
            for &(at, kind, key) in &timers {
                let log = log.clone();
                spawn("a sleeper", async move {
                    sleep_until(Time::from_nanos(at), order_of(kind, key)).await;
                    log.add((at, kind, key));
                    assert_eq!(now(), Time::from_nanos(at));
                });
            }
            sleep_until(Time::from_nanos(10), any_order()).await;
        }).unwrap();
        prop_assert_eq!(log.take(), expected);
    }

    /// A wait ends at the later of the two, whoever comes first, and also when both come at one instant.
    #[test]
    fn no_wake_up_is_lost_whoever_comes_first(pairs in prop::collection::vec((0_u64..4, 0_u64..4), 1..20)) {
        let log = Log::new();
        simulate(async {
            for (i, &(raised, waits)) in pairs.iter().enumerate() {
                let flag = Arc::new(Flag::default());
                let (raiser, log) = (Arc::clone(&flag), log.clone());
                spawn("one who waits", async move {
                    sleep_until(Time::from_nanos(waits), Order::arrival(i as u64)).await;
                    flag.raised().await;
                    log.add((i, now().nanos()));
                });
                spawn("one who raises", async move {
                    sleep_until(Time::from_nanos(raised), Order::arrival(i as u64)).await;
                    raiser.raise();
                });
            }
            sleep_until(Time::from_nanos(10), any_order()).await;
        }).unwrap();
        let mut ended = log.take();
        ended.sort_unstable();
        let expected: Vec<_> =
            pairs.iter().enumerate().map(|(i, &(raised, waits))| (i, raised.max(waits))).collect();
        prop_assert_eq!(ended, expected);
    }

    /// Whatever an alarm is set to on the way, it goes off once per set instant that was reached.
    #[test]
    fn an_alarm_goes_off_at_what_it_was_last_set_to(
        script in prop::collection::vec((1_u64..6, prop::option::of(0_u64..9)), 1..30),
    ) {
        let alarm = Arc::new(Alarm::default());
        let (log, polls) = (Log::new(), Arc::new(AtomicUsize::new(0)));
        simulate(async {
            let (waiter, heard, polled) = (Arc::clone(&alarm), log.clone(), Arc::clone(&polls));
            spawn("one who waits", async move {
                loop {
                    let mut wait = pin!(waiter.wait(Order::completion(0)));
                    std::future::poll_fn(|cx| {
                        polled.fetch_add(1, Ordering::Relaxed);
                        wait.as_mut().poll(cx)
                    })
                    .await;
                    heard.add(now().nanos());
                }
            });
            for &(gap, set) in &script {
                sleep(nanos(gap), Order::timeline(0)).await;
                alarm.set(set.map(|after| now() + nanos(after)), Order::completion(0));
            }
            sleep(nanos(100), Order::timeline(0)).await;
        }).unwrap();
        let (mut expected, mut at, mut set): (Vec<u64>, u64, Option<u64>) = (Vec::new(), 0, None);
        for &(gap, after) in &script {
            at += gap;
            // What is due at the instant of the next setting has not gone off yet: the timeline comes first.
            expected.extend(set.take_if(|due| *due < at));
            set = after.map(|after| at + after);
        }
        expected.extend(set);
        let heard = log.take();
        prop_assert_eq!(&heard, &expected);
        // One poll when it begins to wait and one when it goes off; none for being reset.
        prop_assert_eq!(polls.load(Ordering::Relaxed), 2 * heard.len() + 1);
    }
}

#[test]
fn a_cancelled_timer_neither_fires_nor_moves_the_clock() {
    let wakes = Arc::new(Wakes::default());
    let stalled = simulate(async {
        let waker = Waker::from(Arc::clone(&wakes));
        let mut cancelled = sleep(nanos(50), any_order());
        assert!(Pin::new(&mut cancelled).poll(&mut Context::from_waker(&waker)).is_pending());
        drop(cancelled);
        assert_eq!(timers().0, 0);
        let _ = timeout(nanos(7), any_order(), sleep(nanos(90), any_order())).await;
        std::future::pending::<()>().await;
    })
    .unwrap_err();
    assert_eq!((stalled.at, wakes.0.load(Ordering::Relaxed)), (Time::from_nanos(7), 0));
}

#[test]
fn the_place_of_a_cancelled_timer_serves_another_without_inheriting_its_instant() {
    simulate(async {
        for n in 1..100 {
            let began = now();
            // The inner sleep is cancelled at n; the next one takes its place in the slab.
            assert_eq!(timeout(nanos(n), any_order(), sleep(nanos(1_000), any_order())).await, Err(Elapsed));
            assert_eq!(now().since(began), nanos(n));
        }
    })
    .unwrap();
}

#[test]
fn timeouts_that_are_far_off_and_never_reached_do_not_pile_up() {
    simulate(async {
        for _ in 0..100_000 {
            let answer = timeout(Duration::from_secs(3_600), any_order(), sleep(nanos(10), any_order()));
            answer.await.unwrap();
            assert!(timers().1 <= 1_025, "{:?}", timers());
        }
        assert_eq!(timers().0, 0);
    })
    .unwrap();
}

#[test]
fn the_newest_waker_of_a_sleep_is_the_one_that_is_woken() {
    let (old, new) = (Arc::new(Wakes::default()), Arc::new(Wakes::default()));
    simulate(async {
        let mut sleeping = sleep(nanos(5), Order::timeline(0));
        for wakes in [&old, &new] {
            let waker = Waker::from(Arc::clone(wakes));
            assert!(Pin::new(&mut sleeping).poll(&mut Context::from_waker(&waker)).is_pending());
        }
        sleep(nanos(5), Order::sample(0)).await;
        assert!(Pin::new(&mut sleeping).poll(&mut Context::from_waker(Waker::noop())).is_ready());
    })
    .unwrap();
    assert_eq!([&old, &new].map(|wakes| wakes.0.load(Ordering::Relaxed)), [0, 1]);
}

/// A waker whose destructor uses the simulation again.
struct Nosy(Arc<Alarm>);

impl Wake for Nosy {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Nosy {
    fn drop(&mut self) {
        self.0.set(Some(now() + nanos(1)), any_order());
        let mut sleeping = sleep(nanos(1), any_order());
        assert!(Pin::new(&mut sleeping).poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
}

#[test]
fn wakers_are_dropped_while_nothing_is_locked() {
    simulate(async {
        let alarm = Arc::new(Alarm::default());
        let mut sleeping = sleep(nanos(5), any_order());
        let waiting = alarm.wait(any_order());
        let mut waiting = Box::pin(waiting);
        for waker in [Waker::from(Arc::new(Nosy(Arc::clone(&alarm)))), Waker::noop().clone()] {
            let mut cx = Context::from_waker(&waker);
            assert!(Pin::new(&mut sleeping).poll(&mut cx).is_pending());
            assert!(waiting.as_mut().poll(&mut cx).is_pending());
        }
        sleep(nanos(1), Order::sample(0)).await;
        let waker = Waker::from(Arc::new(Nosy(Arc::clone(&alarm))));
        assert!(Pin::new(&mut sleeping).poll(&mut Context::from_waker(&waker)).is_pending());
        drop(waker);
        drop(sleeping);
        assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    })
    .unwrap();
}

// === Timeouts and alarms

#[test]
fn an_answer_due_at_the_very_instant_of_the_timeout_wins() {
    simulate(async {
        for (answer, patience) in [(10, 10), (9, 10), (10, 11)] {
            let answer = sleep(nanos(answer), Order::completion(u64::MAX));
            assert_eq!(timeout(nanos(patience), Order::timeout(0), answer).await, Ok(()));
        }
        // Even when the answer is work of another task, and was asked for later than the patience began.
        let flag = Arc::new(Flag::default());
        let raiser = Arc::clone(&flag);
        spawn("a service", async move {
            sleep(nanos(4), any_order()).await;
            sleep(nanos(6), any_order()).await;
            yield_now().await;
            raiser.raise();
        });
        assert_eq!(timeout(nanos(10), Order::timeout(0), flag.raised()).await, Ok(()));
    })
    .unwrap();
}

#[test]
fn an_answer_one_nanosecond_late_is_dropped_at_the_timeout() {
    simulate(async {
        let began = now();
        let dropped_at = Log::new();
        let log = dropped_at.clone();
        let answer = async move {
            let _guard = AtDrop(|| log.add(now()));
            sleep(nanos(11), any_order()).await;
        };
        assert_eq!(timeout(nanos(10), Order::timeout(0), answer).await, Err(Elapsed));
        assert_eq!(now().since(began), nanos(10));
        assert_eq!(dropped_at.take(), [now()]);
        assert_eq!(timers().0, 0);
    })
    .unwrap();
}

#[test]
fn no_patience_at_all_still_takes_what_is_there() {
    simulate(async {
        assert_eq!(timeout(Duration::ZERO, any_order(), async { 1 }).await, Ok(1));
        assert_eq!(timeout(Duration::ZERO, any_order(), std::future::pending::<()>()).await, Err(Elapsed));
        assert_eq!(timeout(Duration::MAX, any_order(), sleep(nanos(1), any_order())).await, Ok(()));
    })
    .unwrap();
}

#[test]
fn an_alarm_set_before_anybody_waits_is_heard_and_cleared() {
    simulate(async {
        let alarm = Alarm::default();
        alarm.set(Some(Time::from_nanos(3)), any_order());
        alarm.wait(any_order()).await;
        assert_eq!(now(), Time::from_nanos(3));
        let again = timeout(nanos(10), Order::timeout(0), alarm.wait(any_order())).await;
        assert_eq!(again, Err(Elapsed), "it was cleared when it was heard");
    })
    .unwrap();
}

#[test]
fn a_wait_that_was_given_up_leaves_no_timer_behind() {
    let wakes = Arc::new(Wakes::default());
    let stalled = simulate(async {
        let alarm = Alarm::default();
        alarm.set(Some(Time::from_nanos(50)), any_order());
        let waker = Waker::from(Arc::clone(&wakes));
        let mut wait = Box::pin(alarm.wait(any_order()));
        assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        drop(wait);
        assert_eq!(timers().0, 0);
        alarm.set(Some(Time::from_nanos(20)), any_order());
        // It still is set, for whoever comes next.
        alarm.wait(any_order()).await;
        std::future::pending::<()>().await;
    })
    .unwrap_err();
    assert_eq!((stalled.at, wakes.0.load(Ordering::Relaxed)), (Time::from_nanos(20), 0));
}

// === The run queue

#[test]
fn ready_tasks_take_turns_in_the_order_in_which_they_became_ready() {
    let log = Log::new();
    simulate(async {
        for task in 0..4 {
            let log = log.clone();
            spawn("one of four", async move {
                for turn in 0..3 {
                    log.add((turn, task));
                    yield_now().await;
                }
            });
        }
        sleep(nanos(1), any_order()).await;
    })
    .unwrap();
    let expected: Vec<_> = (0..3).flat_map(|turn| (0..4).map(move |task| (turn, task))).collect();
    assert_eq!(log.take(), expected);
}

#[test]
fn several_wake_ups_before_a_poll_are_one_and_one_during_the_poll_is_another() {
    let polls = AtomicUsize::new(0);
    simulate(std::future::poll_fn(|cx| match polls.fetch_add(1, Ordering::Relaxed) {
        0 => {
            (0..3).for_each(|_| cx.waker().wake_by_ref());
            Poll::Pending
        }
        1 => {
            cx.waker().wake_by_ref();
            Poll::Pending
        }
        _ => Poll::Ready(()),
    }))
    .unwrap();
    assert_eq!(polls.load(Ordering::Relaxed), 3);
}

#[test]
fn a_wake_up_for_a_task_that_ended_does_not_poll_the_next_tenant_of_its_place() {
    let polls = Arc::new(AtomicUsize::new(0));
    simulate(async {
        let kept: Log<Waker> = Log::new();
        let keeper = kept.clone();
        spawn("first tenant", async move {
            std::future::poll_fn(|cx| {
                keeper.add(cx.waker().clone());
                Poll::Ready(())
            })
            .await;
        });
        yield_now().await;
        let polled = Arc::clone(&polls);
        spawn("second tenant", async move {
            std::future::poll_fn(|_| {
                polled.fetch_add(1, Ordering::Relaxed);
                Poll::<()>::Pending
            })
            .await;
        });
        yield_now().await;
        kept.take().into_iter().for_each(Waker::wake);
        yield_now().await;
    })
    .unwrap();
    assert_eq!(polls.load(Ordering::Relaxed), 1);
}

#[test]
fn a_task_may_drop_the_future_that_another_was_to_poll_even_while_timers_of_both_are_due() {
    type Shared = Arc<Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>>;
    let log = Log::new();
    simulate(async {
        let shared: Shared = Arc::default();
        let (owner, log) = (Arc::clone(&shared), log.clone());
        let noted = log.clone();
        *shared.lock().unwrap() = Some(Box::pin(async move {
            let _guard = AtDrop(|| noted.add("dropped"));
            sleep(nanos(5), Order::completion(2)).await;
            noted.add("must not happen");
        }));
        let finished = log.clone();
        spawn("one who polls what may be gone", async move {
            std::future::poll_fn(|cx| match owner.lock().unwrap().as_mut() {
                Some(future) => future.as_mut().poll(cx),
                None => Poll::Ready(()),
            })
            .await;
            finished.add("found it gone");
        });
        // Due at the same instant, but first: drops the other's sleep in the middle of its own poll.
        sleep(nanos(5), Order::completion(1)).await;
        drop(shared.lock().unwrap().take());
        sleep(nanos(5), any_order()).await;
        assert_eq!(log.take(), ["dropped"], "nobody told the other task, so it still waits");
    })
    .unwrap();
    assert_eq!(log.take(), Vec::<&str>::new());
}

#[test]
fn a_future_dropped_in_its_owners_poll_may_wake_that_owner() {
    let polls = AtomicUsize::new(0);
    let mut inner: Option<AtDrop<Box<dyn FnMut()>>> = None;
    simulate(std::future::poll_fn(|cx| match polls.fetch_add(1, Ordering::Relaxed) {
        0 => {
            let waker = cx.waker().clone();
            inner = Some(AtDrop(Box::new(move || waker.wake_by_ref())));
            drop(inner.take());
            Poll::Pending
        }
        _ => Poll::Ready(()),
    }))
    .unwrap();
    assert_eq!(polls.load(Ordering::Relaxed), 2);
}

#[test]
fn the_sync_primitives_of_tokio_hand_over_in_order() {
    let log = Log::new();
    simulate(async {
        let permits = Arc::new(tokio::sync::Semaphore::new(1));
        for i in 0..5_u64 {
            let (permits, log) = (Arc::clone(&permits), log.clone());
            spawn("one in line", async move {
                let _permit = permits.acquire().await.unwrap();
                sleep(nanos(10), Order::completion(i)).await;
                log.add((i, now().nanos()));
            });
        }
        sleep(nanos(100), any_order()).await;
    })
    .unwrap();
    assert_eq!(log.take(), (0..5).map(|i| (i, 10 * (i + 1))).collect::<Vec<_>>());
}

// === How a run ends

#[test]
fn what_still_waits_at_the_end_is_dropped_one_by_one_while_the_clock_is_there() {
    let log = Log::new();
    simulate(async {
        let flag = Arc::new(Flag::default());
        for i in 0..3 {
            let (log, flag) = (log.clone(), Arc::clone(&flag));
            spawn("one who never ends", async move {
                let _guard = AtDrop(|| {
                    log.add((i, now().nanos()));
                    flag.raise();
                    let log = log.clone();
                    spawn("too late", async move { log.add((99, 0)) });
                });
                flag.raised().await;
                log.add((77, 0));
            });
        }
        let _main = AtDrop(|| log.add((50, now().nanos())));
        sleep(nanos(8), any_order()).await;
    })
    .unwrap();
    assert_eq!(log.take(), [(50, 8), (0, 8), (1, 8), (2, 8)]);
}

#[test]
fn a_task_spawned_by_the_last_act_of_the_main_future_is_dropped_unpolled() {
    let log = Log::new();
    simulate(async {
        let _main = AtDrop(|| {
            let guard = AtDrop({
                let log = log.clone();
                move || log.add("dropped")
            });
            let log = log.clone();
            spawn("too late", async move {
                let _guard = guard;
                log.add("polled");
            });
        });
    })
    .unwrap();
    assert_eq!(log.take(), ["dropped"]);
}

#[test]
fn a_stall_tells_when_it_happened_and_who_waits() {
    let stalled = simulate(async {
        for name in ["a worker", "a client", "a worker"] {
            spawn(name, std::future::pending());
        }
        spawn("one who ends", async {});
        sleep(nanos(1_500_000_000), any_order()).await;
        std::future::pending::<()>().await;
    })
    .unwrap_err();
    assert_eq!(stalled.at, Time::from_nanos(1_500_000_000));
    assert_eq!(stalled.waiting, [("a worker", 2), ("a client", 1)]);
    let text = stalled.to_string();
    assert!(text.contains("1.5 s") && text.contains("2 x a worker"), "{text}");
}

#[test]
fn a_timer_that_will_never_come_is_no_reason_to_wait() {
    let stalled = simulate(sleep_until(Time::MAX, any_order())).unwrap_err();
    assert_eq!(stalled.at, Time::ZERO);
}

#[test]
fn waking_from_outside_panics_there_and_loses_nothing_inside() {
    simulate(async {
        let woken = Arc::new(Flag::default());
        let mut outside = None;
        let mut patience = Some(sleep(nanos(5), any_order()));
        std::future::poll_fn(|cx| {
            if outside.is_none() {
                let waker = cx.waker().clone();
                outside = Some(std::thread::spawn(move || waker.wake()).join());
            }
            let ready = Pin::new(patience.as_mut().unwrap()).poll(cx);
            if ready.is_ready() {
                woken.raise();
            }
            ready
        })
        .await;
        assert!(outside.unwrap().is_err(), "a foreign thread cannot wake a simulated task");
        woken.raised().await;
    })
    .expect("the timer's own wake-up still counts");
}

#[test]
fn waking_after_the_end_panics() {
    let kept: Log<Waker> = Log::new();
    let keeper = kept.clone();
    simulate(std::future::poll_fn(|cx| {
        keeper.add(cx.waker().clone());
        Poll::Ready(())
    }))
    .unwrap();
    let waker = kept.take().remove(0);
    assert!(catch_unwind(AssertUnwindSafe(|| waker.wake_by_ref())).is_err());
    // Nor can it be mistaken for a task of the next simulation.
    simulate(async {
        assert!(catch_unwind(AssertUnwindSafe(|| waker.wake_by_ref())).is_err());
    })
    .unwrap();
}

#[test]
fn a_simulation_within_a_simulation_panics_and_the_outer_one_goes_on() {
    let at = simulate(async {
        sleep(nanos(2), any_order()).await;
        assert!(catch_unwind(AssertUnwindSafe(|| simulate(async {}))).is_err());
        sleep(nanos(2), any_order()).await;
        now()
    });
    assert_eq!(at, Ok(Time::from_nanos(4)));
}

#[test]
fn without_a_run_there_is_no_clock() {
    assert!(catch_unwind(now).is_err());
    assert!(catch_unwind(|| sleep(nanos(1), any_order())).is_err());
}

#[test]
fn a_panic_leaves_the_thread_ready_for_another_simulation() {
    let log = Log::new();
    for who in ["main", "a task", "a destructor"] {
        let log = log.clone();
        let result = catch_unwind(AssertUnwindSafe(|| {
            simulate(async {
                for i in 0..3 {
                    let log = log.clone();
                    spawn("a bystander", async move {
                        let _guard = AtDrop(|| {
                            log.add(now().nanos());
                            assert!(!(who == "a destructor" && i == 1), "a destructor that panics");
                        });
                        std::future::pending::<()>().await;
                    });
                }
                spawn("one who panics", async move {
                    sleep(nanos(3), any_order()).await;
                    assert!(who != "a task", "a task that panics");
                });
                sleep(nanos(4), any_order()).await;
                assert!(who != "main", "a main future that panics");
            })
        }));
        assert!(result.is_err(), "{who}");
        assert_eq!(log.take(), [if who == "a task" { 3 } else { 4 }; 3], "all bystanders are dropped: {who}");
        assert_eq!(simulate(async { now() }), Ok(Time::ZERO));
    }
}

#[test]
fn two_simulations_on_two_threads_know_nothing_of_each_other() {
    let run = |step: u64| {
        move || {
            simulate(async move {
                for _ in 0..1_000 {
                    sleep(nanos(step), any_order()).await;
                }
                now().nanos()
            })
            .unwrap()
        }
    };
    let threads = [1, 7].map(|step| std::thread::spawn(run(step)));
    assert_eq!(threads.map(|thread| thread.join().unwrap()), [1_000, 7_000]);
}

// === Arithmetic

#[test]
fn instants_saturate_instead_of_wrapping() {
    assert_eq!(Time::ZERO.since(Time::MAX), Duration::ZERO);
    assert_eq!(Time::MAX + nanos(1), Time::MAX);
    assert_eq!(Time::ZERO + Duration::MAX, Time::MAX);
    assert_eq!(Time::from_secs_f64(-1.0), Time::ZERO);
    assert_eq!(Time::from_secs_f64(1.5), Time::from_nanos(1_500_000_000));
}

// === The same programs on the real clock

/// Runs `program` on tokio, on a thread of its own, since a thread keeps its clock for good.
fn on_tokio<T: Send + 'static>(program: impl Future<Output = T> + Send + 'static) -> T {
    let thread = std::thread::spawn(|| {
        Origin::after(Duration::ZERO).enter();
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(program)
    });
    thread.join().unwrap()
}

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Runs one program under both clocks.
fn on_both<T: Send + 'static, F: Future<Output = T> + Send + 'static>(program: impl Fn() -> F) -> [T; 2] {
    [simulate(program()).unwrap(), on_tokio(program())]
}

#[test]
fn sleepers_wake_in_the_order_of_their_instants_and_not_before_them_on_both_clocks() {
    let program = || async {
        let log = Log::new();
        let all = Arc::new(tokio::sync::Semaphore::new(0));
        for ms in [8_u64, 2, 6, 4] {
            let (log, all) = (log.clone(), Arc::clone(&all));
            spawn("a sleeper", async move {
                let began = now();
                sleep(millis(ms), any_order()).await;
                log.add((ms, now().since(began) >= millis(ms)));
                all.add_permits(1);
            });
        }
        all.acquire_many(4).await.unwrap().forget();
        log.take()
    };
    for order in on_both(program) {
        assert_eq!(order, [(2, true), (4, true), (6, true), (8, true)]);
    }
}

#[test]
fn timeouts_end_what_does_not_end_and_nothing_else_on_both_clocks() {
    let program = || async {
        let began = now();
        let soon = timeout(Duration::from_secs(3_600), any_order(), sleep(millis(1), any_order())).await;
        let never = timeout(millis(2), any_order(), std::future::pending::<()>()).await;
        (soon, never, now().since(began) >= millis(3))
    };
    for ended in on_both(program) {
        assert_eq!(ended, (Ok(()), Err(Elapsed), true));
    }
}

#[test]
fn an_alarm_can_be_brought_forward_taken_back_and_set_again_on_both_clocks() {
    let program = || async {
        let alarm = Arc::new(Alarm::default());
        let setter = Arc::clone(&alarm);
        let began = now();
        alarm.set(Some(began + Duration::from_secs(3_600)), any_order());
        spawn("one who sets", async move {
            sleep(millis(1), any_order()).await;
            setter.set(None, any_order());
            sleep(millis(1), any_order()).await;
            setter.set(Some(now() + Duration::from_secs(1_800)), any_order());
            sleep(millis(1), any_order()).await;
            setter.set(Some(now() + millis(2)), any_order());
        });
        alarm.wait(any_order()).await;
        let first = now().since(began) >= millis(5);
        // One whose instant has passed already goes off too.
        alarm.set(Some(began), any_order());
        alarm.wait(any_order()).await;
        first
    };
    assert_eq!(on_both(program), [true, true]);
}

#[test]
fn an_alarm_can_be_set_from_another_thread_of_a_real_run() {
    let alarm = Arc::new(Alarm::default());
    let setter = Arc::clone(&alarm);
    on_tokio(async move {
        let other = std::thread::spawn(move || setter.set(Some(Time::ZERO), any_order()));
        alarm.wait(any_order()).await;
        other.join().unwrap();
    });
}

#[test]
fn before_its_origin_a_real_run_is_at_zero() {
    let thread = std::thread::spawn(|| {
        let origin = Origin::after(Duration::from_secs(3_600));
        origin.enter();
        (now(), origin.until(Time::ZERO) > Duration::from_secs(3_000))
    });
    assert_eq!(thread.join().unwrap(), (Time::ZERO, true));
}
