//! The gate against a simple model of it: whatever is asked, given back, given up or changed, in whatever
//! order, both say the same of everybody. Then controlled delay, which has laws of its own.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use proptest::prelude::*;

use super::*;
use crate::time::{self, Order, simulate};

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Wakes {
    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

fn millis(n: u64) -> Dur {
    Dur(Duration::from_millis(n))
}

async fn wait(span: Dur) {
    time::sleep(span.0, Order::timeline(0)).await;
}

// === The gate and its model

#[derive(Clone, Debug)]
enum Step {
    /// One more comes, with a deadline so far from now.
    Come(Option<u64>),
    /// One who has no answer yet looks for it.
    Look(usize),
    /// One who has no answer yet, or has not seen it, leaves.
    Leave(usize),
    /// One gives the permit back.
    Release(usize),
    Change(Rules),
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let rules =
        (0_usize..5, 0_usize..6, any::<bool>(), any::<bool>(), prop::option::of((0_u64..12, 0_u64..6)))
            .prop_map(|(limit, room, lifo, expire, adaptive)| {
                let discipline = if lifo { Discipline::Lifo } else { Discipline::Fifo };
                let nanos = |n| Dur(Duration::from_nanos(n));
                let adaptive = adaptive.map(|(interval, target)| AdaptiveLifo {
                    interval: nanos(interval),
                    target: nanos(target),
                });
                Rules { limit, room, discipline, codel: None, adaptive, drop_expired: expire }
            });
    let step = prop_oneof![
        4 => prop::option::of(0_u64..20).prop_map(Step::Come),
        2 => (0_usize..100).prop_map(Step::Look),
        2 => (0_usize..100).prop_map(Step::Leave),
        3 => (0_usize..100).prop_map(Step::Release),
        1 => rules.prop_map(Step::Change),
        1 => (1_u64..5).prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 1..120)
}

/// What a caller is at, according to the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Line,
    /// Decided, but the caller has not looked yet.
    Decided(Result<(), Refused>),
    Holding,
    Gone,
}

struct Caller<'a> {
    at: At,
    deadline: Option<Time>,
    until: Time,
    acquire: Option<Acquire<'a>>,
    permit: Option<Permit<'a>>,
    wakes: Arc<Wakes>,
}

struct Model<'a> {
    gate: &'a Gate,
    stock: &'a Stock,
    rules: Rules,
    callers: Vec<Caller<'a>>,
    /// Callers in line, in the order in which they came.
    line: Vec<usize>,
    /// Since when somebody has stood in it.
    standing_since: Time,
    /// Permits out, seen by their holders or not.
    held: usize,
}

impl<'a> Model<'a> {
    fn new(gate: &'a Gate, stock: &'a Stock) -> Model<'a> {
        Model {
            gate,
            stock,
            rules: Rules::default(),
            callers: Vec::new(),
            line: Vec::new(),
            standing_since: now(),
            held: 0,
        }
    }

    fn apply(&mut self, step: &Step) {
        match *step {
            Step::Come(deadline) => self.come(deadline.map(|after| now() + Duration::from_nanos(after))),
            Step::Look(n) => self.nth(n, At::is_open).into_iter().for_each(|i| self.look(i)),
            Step::Leave(n) => self.nth(n, At::is_open).into_iter().for_each(|i| self.leave(i)),
            Step::Release(n) => {
                self.nth(n, |at| at == At::Holding).into_iter().for_each(|i| self.release(i));
            }
            Step::Change(rules) => {
                self.gate.set_rules(rules);
                self.rules = rules;
                self.serve();
            }
            Step::Pass(_) => {}
        }
    }

    fn nth(&self, n: usize, which: impl Fn(At) -> bool) -> Option<usize> {
        let those: Vec<usize> = (0..self.callers.len()).filter(|&i| which(self.callers[i].at)).collect();
        (!those.is_empty()).then(|| those[n % those.len()])
    }

    fn expired(&self, deadline: Option<Time>) -> bool {
        self.rules.drop_expired && deadline.is_some_and(|deadline| deadline <= now())
    }

    /// Not empty for longer than the interval.
    fn overloaded(&self) -> bool {
        let interval = self.rules.adaptive.map(|it| it.interval.0);
        !self.line.is_empty() && interval.is_some_and(|span| now().since(self.standing_since) > span)
    }

    fn overdue(&self, i: usize) -> bool {
        now() > self.callers[i].until
    }

    /// Those at the head who are overdue go when somebody comes.
    fn sweep(&mut self) {
        while self.rules.adaptive.is_some() && self.line.first().is_some_and(|&i| self.overdue(i)) {
            let i = self.line.remove(0);
            self.callers[i].at = At::Decided(Err(Refused::Shed));
        }
    }

    fn come(&mut self, deadline: Option<Time>) {
        self.sweep();
        let i = self.callers.len();
        let until = match self.rules.adaptive {
            None => Time::MAX,
            Some(it) if self.overloaded() => now() + it.target.0,
            Some(it) => now() + it.interval.0,
        };
        let at = if self.expired(deadline) {
            At::Decided(Err(Refused::Expired))
        } else if self.line.is_empty() && self.held < self.rules.limit {
            self.held += 1;
            At::Decided(Ok(()))
        } else if self.line.len() >= self.rules.room {
            At::Decided(Err(Refused::Full))
        } else {
            if self.line.is_empty() {
                self.standing_since = now();
            }
            self.line.push(i);
            At::Line
        };
        let acquire = Some(self.gate.acquire(deadline, self.stock));
        self.callers.push(Caller { at, deadline, until, acquire, permit: None, wakes: Arc::default() });
        self.look(i);
    }

    /// A fresh waker for every look: only the newest may be relied on.
    fn look(&mut self, i: usize) {
        let caller = &mut self.callers[i];
        caller.wakes = Arc::default();
        let waker = Waker::from(Arc::clone(&caller.wakes));
        let acquire = caller.acquire.as_mut().expect("an open caller still asks");
        let polled = Pin::new(acquire).poll(&mut Context::from_waker(&waker));
        match (caller.at, polled) {
            (At::Line, Poll::Pending) => {}
            (At::Decided(Ok(())), Poll::Ready(Ok(permit))) => {
                caller.permit = Some(permit);
                caller.at = At::Holding;
            }
            (At::Decided(Err(expected)), Poll::Ready(Err(why))) if why == expected => caller.at = At::Gone,
            (at, polled) => panic!("caller {i} is {at:?} in the model, but was told {polled:?}"),
        }
    }

    fn leave(&mut self, i: usize) {
        drop(self.callers[i].acquire.take());
        let at = std::mem::replace(&mut self.callers[i].at, At::Gone);
        self.line.retain(|&other| other != i);
        if at == At::Decided(Ok(())) {
            self.held -= 1;
            self.serve();
        }
    }

    fn release(&mut self, i: usize) {
        drop(self.callers[i].permit.take());
        self.callers[i].at = At::Gone;
        self.held -= 1;
        self.serve();
    }

    fn serve(&mut self) {
        while self.held < self.rules.limit && !self.line.is_empty() {
            let lifo = match self.rules.adaptive {
                Some(_) => self.overloaded(),
                None => self.rules.discipline == Discipline::Lifo,
            };
            let next = if lifo { self.line.pop().expect("it is not empty") } else { self.line.remove(0) };
            let decided = if self.expired(self.callers[next].deadline) {
                Err(Refused::Expired)
            } else if self.overdue(next) {
                Err(Refused::Shed)
            } else {
                Ok(())
            };
            self.held += usize::from(decided.is_ok());
            self.callers[next].at = At::Decided(decided);
        }
    }

    fn agrees(&self) {
        assert_eq!(self.gate.load(), (self.held, self.line.len()));
        let mut unseen = 0;
        for (i, caller) in self.callers.iter().enumerate() {
            let decided = matches!(caller.at, At::Decided(_));
            unseen += usize::from(decided);
            // No wake-up is lost, and none is for nothing.
            if decided || caller.at == At::Line {
                assert_eq!(caller.wakes.count(), usize::from(decided), "wake-ups of {i}: {:?}", caller.at);
            }
        }
        assert!(self.held >= self.rules.limit || self.line.is_empty(), "a permit is free while one waits");
        assert_eq!(self.stock.read(now()).level, (self.line.len() + unseen) as u64);
    }
}

impl At {
    fn is_open(self) -> bool {
        matches!(self, At::Line | At::Decided(_))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn the_gate_does_what_its_model_does(steps in steps()) {
        let (gate, stock) = (Gate::new(Rules::default()), Stock::default());
        simulate(async {
            let mut model = Model::new(&gate, &stock);
            for step in &steps {
                if let Step::Pass(span) = step {
                    time::sleep(Duration::from_nanos(*span), Order::timeline(0)).await;
                }
                let before = model.held;
                model.apply(step);
                model.agrees();
                assert!(
                    model.held <= before.max(model.rules.limit),
                    "permits above a lowered limit are not handed out again"
                );
            }
        }).unwrap();
        // The model is gone, and everybody with it.
        prop_assert_eq!((gate.load(), gate.places()), ((0, 0), 0));
        simulate(async {
            let left = stock.read(Time::MAX);
            assert_eq!((left.level, left.inflow), (0, left.outflow));
        }).unwrap();
    }

    /// Tasks with timers, instead of polls by hand: every permit goes to somebody, and time is spent only
    /// while somebody holds one.
    #[test]
    fn nobody_is_forgotten_whoever_loses_patience(
        users in prop::collection::vec((0_u64..50, 1_u64..20, prop::option::of(0_u64..30)), 1..40),
        limit in 1_usize..4,
        lifo in any::<bool>(),
    ) {
        let discipline = if lifo { Discipline::Lifo } else { Discipline::Fifo };
        let gate = Arc::new(Gate::new(Rules { limit, discipline, ..Rules::default() }));
        let stock = Arc::new(Stock::default());
        let served = Arc::new(AtomicUsize::new(0));
        let gave_up = Arc::new(AtomicUsize::new(0));
        let ended_at = simulate(async {
            let all = Arc::new(tokio::sync::Semaphore::new(0));
            for (i, &(comes, holds, patience)) in users.iter().enumerate() {
                let (gate, stock, all) = (Arc::clone(&gate), Arc::clone(&stock), Arc::clone(&all));
                let (served, gave_up) = (Arc::clone(&served), Arc::clone(&gave_up));
                time::spawn("a user", async move {
                    let key = i as u64;
                    time::sleep(Duration::from_nanos(comes), Order::arrival(key)).await;
                    let patience = patience.map_or(Duration::MAX, Duration::from_nanos);
                    let acquire = gate.acquire(None, &stock);
                    match time::timeout(patience, Order::timeout(key), acquire).await {
                        Ok(permit) => {
                            let _permit = permit.expect("there is room for all");
                            assert!(gate.load().0 <= limit);
                            time::sleep(Duration::from_nanos(holds), Order::completion(key)).await;
                            served.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(time::Elapsed) => {
                            gave_up.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                    all.add_permits(1);
                });
            }
            all.acquire_many(users.len() as u32).await.unwrap().forget();
            now().nanos()
        }).expect("nobody waits for ever");
        let (served, gave_up) = (served.load(Ordering::Relaxed), gave_up.load(Ordering::Relaxed));
        prop_assert_eq!(served + gave_up, users.len());
        prop_assert_eq!((gate.load(), gate.places()), ((0, 0), 0));
        // Work-conserving: at the latest, all come and are then served one after another.
        let work: u64 = users.iter().map(|user| user.1).sum();
        prop_assert!(ended_at <= 50 + 30 + work);
    }
}

#[test]
fn a_lowered_limit_waits_for_the_permits_to_come_back() {
    simulate(async {
        let rules = |limit| Rules { limit, ..Rules::default() };
        let (gate, stock) = (Gate::new(rules(8)), Stock::default());
        let mut held = Vec::new();
        for _ in 0..8 {
            held.push(gate.acquire(None, &stock).await.unwrap());
        }
        let mut waiting = pin!(gate.acquire(None, &stock));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(waiting.as_mut().poll(&mut cx).is_pending());
        gate.set_rules(rules(3));
        for left in (3..8).rev() {
            held.pop();
            assert_eq!(gate.load(), (left, 1), "the one who waits gets none of those above the limit");
        }
        held.pop();
        assert_eq!(gate.load(), (3, 0));
        assert!(waiting.as_mut().poll(&mut cx).is_ready());
    })
    .unwrap();
}

#[test]
fn a_raised_limit_serves_at_once_as_many_as_it_was_raised_by() {
    simulate(async {
        let rules = |limit| Rules { limit, ..Rules::default() };
        let (gate, stock) = (Gate::new(rules(0)), Stock::default());
        let mut line: Vec<_> = (0..10).map(|_| gate.acquire(None, &stock)).collect();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(line.iter_mut().all(|it| Pin::new(it).poll(&mut cx).is_pending()));
        gate.set_rules(rules(4));
        assert_eq!(gate.load(), (4, 6));
        gate.set_rules(rules(UNLIMITED));
        assert_eq!(gate.load(), (10, 0));
    })
    .unwrap();
}

#[test]
fn those_who_leave_a_last_in_first_out_line_do_not_pile_up_below_those_who_stay() {
    simulate(async {
        let rules = Rules { limit: 0, discipline: Discipline::Lifo, ..Rules::default() };
        let (gate, stock) = (Gate::new(rules), Stock::default());
        let mut cx = Context::from_waker(Waker::noop());
        let mut stays = gate.acquire(None, &stock);
        assert!(Pin::new(&mut stays).poll(&mut cx).is_pending());
        for _ in 0..10_000 {
            let mut leaves = gate.acquire(None, &stock);
            assert!(Pin::new(&mut leaves).poll(&mut cx).is_pending());
        }
        assert!(gate.places() <= 66, "{}", gate.places());
        drop(stays);
        assert_eq!(gate.places(), 0);
    })
    .unwrap();
}

// === Controlled delay

/// One who was served (or shed), when, and after what wait.
type Decision = (Time, Duration, Result<(), Refused>);

/// `workers` who each take 10 ms, arrivals at these instants, and what became of each.
fn run_queue(codel: Option<CoDel>, workers: usize, arrivals: Vec<Time>) -> Vec<Decision> {
    let gate = Arc::new(Gate::new(Rules { limit: workers, codel, ..Rules::default() }));
    let stock = Arc::new(Stock::default());
    let decisions: Arc<Mutex<Vec<Decision>>> = Arc::default();
    simulate(async {
        let all = Arc::new(tokio::sync::Semaphore::new(0));
        let n = arrivals.len();
        for (i, at) in arrivals.into_iter().enumerate() {
            let (gate, stock, decisions, all) =
                (Arc::clone(&gate), Arc::clone(&stock), Arc::clone(&decisions), Arc::clone(&all));
            time::sleep_until(at, Order::arrival(i as u64)).await;
            time::spawn("a request", async move {
                let acquired = gate.acquire(None, &stock).await;
                let wait = now().since(at);
                decisions.lock().unwrap().push((now(), wait, acquired.as_ref().map(drop).map_err(|e| *e)));
                if acquired.is_ok() {
                    time::sleep(Duration::from_millis(10), Order::completion(i as u64)).await;
                }
                drop(acquired);
                all.add_permits(1);
            });
        }
        all.acquire_many(n as u32).await.unwrap().forget();
    })
    .unwrap();
    assert_eq!((gate.load(), gate.places()), ((0, 0), 0));
    Arc::try_unwrap(decisions).unwrap().into_inner().unwrap()
}

/// Exponential gaps at `per_s`, for `seconds`.
fn poisson(seed: u64, per_s: f64, seconds: f64) -> Vec<Time> {
    use crate::draws::{Draws, Path, Stream, exponential};
    let draws = Draws::new(seed);
    let mut at = 0.0;
    (0_u64..)
        .map(|i| {
            at += exponential(draws.uniform(Stream::Arrival, 0, Path::of_arrival(i))) / per_s;
            at
        })
        .take_while(|&at| at < seconds)
        .map(Time::from_secs_f64)
        .collect()
}

/// The median wait of those served between two instants, in seconds.
fn median_wait(decisions: &[Decision], from_s: f64, to_s: f64) -> f64 {
    let mut waits: Vec<f64> = decisions
        .iter()
        .filter(|(at, _, got)| got.is_ok() && (from_s..to_s).contains(&at.secs_f64()))
        .map(|(_, wait, _)| wait.as_secs_f64())
        .collect();
    waits.sort_unstable_by(f64::total_cmp);
    waits[waits.len() / 2]
}

#[test]
fn under_twofold_overload_controlled_delay_stops_the_wait_from_growing() {
    // Excess 1000 per second: under control after 2 x 1000 x 0.02^2 s = 0.8 s.
    let codel = CoDel { target: millis(20), interval: millis(20) };
    for seed in 1..=3 {
        let arrivals = poisson(seed, 2_000.0, 60.0);
        let open = run_queue(None, 10, arrivals.clone());
        let controlled = run_queue(Some(codel), 10, arrivals);
        for tenth in 1..6 {
            let (from, to) = (10.0 * f64::from(tenth), 10.0 * f64::from(tenth + 1));
            let (held, grown) = (median_wait(&controlled, from, to), median_wait(&open, from, to));
            assert!((0.01..0.12).contains(&held), "seed {seed}, {from} s: {held} s");
            assert!(grown > 0.4 * from, "without control it grows for ever: {grown} s");
        }
        // Nothing is lost by it: the workers are never idle for want of those who were dropped.
        let served = controlled.iter().filter(|(_, _, got)| got.is_ok()).count();
        assert!(served > 59_900, "{served} of 60000 that could be served");
    }
}

#[test]
fn a_longer_interval_takes_as_much_longer_to_gain_control_as_the_square_root_law_says() {
    // 10 workers and an excess of 1000 per second: 2 x 1000 x 0.05^2 = 5 s of growth, then decline.
    let codel = CoDel { target: millis(20), interval: millis(50) };
    let controlled = run_queue(Some(codel), 10, poisson(1, 2_000.0, 30.0));
    let medians: Vec<f64> =
        (0..15).map(|i| median_wait(&controlled, 2.0 * f64::from(i), 2.0 * f64::from(i + 1))).collect();
    let peak = (0..15).max_by(|&a, &b| medians[a].total_cmp(&medians[b])).unwrap();
    assert!(
        (1..=3).contains(&peak),
        "the wait peaked between {} and {} s: {medians:?}",
        2 * peak,
        2 * peak + 2
    );
    // From then on it swings, as the rate starts over whenever the wait was bearable for a moment.
    assert!(medians.iter().skip(4).any(|&wait| wait < medians[peak] / 3.0), "{medians:?}");
}

proptest! {
    /// Whoever is dropped had waited longer than the target, at the end of an interval in which everybody
    /// before had too.
    #[test]
    fn controlled_delay_drops_nobody_whose_wait_was_bearable(
        seed in any::<u64>(), load in 0.5_f64..3.0, target in 1_u64..50, interval in 1_u64..200,
    ) {
        let codel = CoDel { target: millis(target), interval: millis(interval) };
        let decisions = run_queue(Some(codel), 2, poisson(seed, load * 200.0, 5.0));
        let mut bearable_at = Time::ZERO;
        for (at, wait, got) in decisions {
            if wait < codel.target.0 {
                bearable_at = at;
            }
            if got == Err(Refused::Shed) {
                prop_assert!(wait >= codel.target.0);
                prop_assert!(at.since(bearable_at) >= codel.interval.0);
            }
        }
    }
}

#[test]
fn a_line_that_emptied_because_all_left_starts_controlled_delay_afresh() {
    simulate(async {
        let codel = Some(CoDel { target: millis(5), interval: millis(100) });
        let (gate, stock) = (Gate::new(Rules { limit: 1, codel, ..Rules::default() }), Stock::default());
        let mut cx = Context::from_waker(Waker::noop());
        let mut queue = |n: usize| -> Vec<Acquire<'_>> {
            let mut line: Vec<_> = (0..n).map(|_| gate.acquire(None, &stock)).collect();
            assert!(line.iter_mut().all(|it| Pin::new(it).poll(&mut cx).is_pending()));
            line
        };
        let first = gate.acquire(None, &stock).await.unwrap();
        let mut line = queue(3);
        wait(millis(10)).await;
        drop(first);
        let second = line.remove(0).await.expect("above the target, but not for long");
        // The others give up; much later there is another short queue.
        drop(line);
        wait(millis(1_000)).await;
        let mut line = queue(3);
        wait(millis(10)).await;
        drop(second);
        assert!(line.remove(0).await.is_ok(), "10 ms of standing queue are not 100");
    })
    .unwrap();
}

#[test]
fn one_who_comes_too_late_is_not_served_even_by_an_idle_worker() {
    simulate(async {
        let gate = Gate::new(Rules { drop_expired: true, ..Rules::default() });
        let stock = Stock::default();
        wait(millis(10)).await;
        for (deadline, served) in [(9, false), (10, false), (11, true)] {
            let deadline = Time::ZERO + millis(deadline).0;
            assert_eq!(gate.acquire(Some(deadline), &stock).await.is_ok(), served);
        }
    })
    .unwrap();
}

#[test]
fn permits_go_round_between_the_threads_of_a_real_run() {
    let gate = Arc::new(Gate::new(Rules { limit: 2, ..Rules::default() }));
    let (stock, most) = (Arc::new(Stock::default()), Arc::new(AtomicUsize::new(0)));
    let origin = time::Origin::after(Duration::ZERO);
    let thread = {
        let (gate, stock, most) = (Arc::clone(&gate), Arc::clone(&stock), Arc::clone(&most));
        std::thread::spawn(move || {
            origin.enter();
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            let runtime = builder.worker_threads(3).on_thread_start(move || origin.enter()).build().unwrap();
            runtime.block_on(async {
                let mut users = tokio::task::JoinSet::new();
                for _ in 0..8 {
                    let (gate, stock, most) = (Arc::clone(&gate), Arc::clone(&stock), Arc::clone(&most));
                    users.spawn(async move {
                        for _ in 0..500 {
                            let _permit = gate.acquire(None, &stock).await.unwrap();
                            most.fetch_max(gate.load().0, Ordering::Relaxed);
                            tokio::task::yield_now().await;
                        }
                    });
                }
                users.join_all().await;
            });
            now()
        })
    };
    let end = thread.join().unwrap();
    assert_eq!((gate.load(), gate.places()), ((0, 0), 0));
    assert!(most.load(Ordering::Relaxed) <= 2);
    let reading = stock.read(end);
    assert_eq!((reading.level, reading.integral), (0, reading.sojourns), "Little's law, to the nanosecond");
}
