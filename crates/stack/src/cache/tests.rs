//! What is served, who fills, and what is left when somebody leaves: caches by themselves, and in a small stack.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use proptest::prelude::*;
use pumphandle_core::draws::Draws;
use pumphandle_core::meter::{Snapshot, StockName};
use pumphandle_core::time::{self, Order, simulate, spawn, timeout};
use pumphandle_core::{Call, CallError, Class, Share};

use super::fills::Turn;
use super::settings::{EarlyRefresh, Keys, ServeStale};
use super::*;
use crate::service_time::ServiceTime;
use crate::settings::{Calls, ServiceSettings};
use crate::testing::{MS, ms, pass};
use crate::{Disturbance, Stack, StackSettings};

/// Of so many keys, all as popular.
fn cache(keys: u32, ttl_ms: u32) -> Cache {
    Cache {
        enabled: true,
        keys: Keys { count: keys, exponent: 0.0 },
        size: None,
        ttl: Some(ms(ttl_ms)),
        jitter: Share(0.0),
        coalesce: false,
        early_refresh: None,
        serve_stale: None,
        fill_outlives_caller: false,
        warm: None,
    }
}

/// A cache that users reach, and a database that takes 100 ms.
fn settings(cache: Cache) -> StackSettings {
    let front = ServiceSettings {
        calls: Calls::One("db".to_owned()),
        cache: Some(cache),
        ..ServiceSettings::default()
    };
    let takes = Some(ServiceTime::Constant(ms(100)));
    let db = ServiceSettings { service_time: takes, ..ServiceSettings::default() };
    IndexMap::from([("cache".to_owned(), front), ("db".to_owned(), db)])
}

fn stack(cache: Cache) -> Arc<Stack> {
    Arc::new(Stack::start(World::new(7, false), &settings(cache)))
}

fn read(stack: &Stack) -> (Snapshot, Snapshot) {
    let all = stack.read();
    (all[0].0, all[1].0)
}

fn entries(stack: &Stack) -> u64 {
    read(stack).0.stock(StockName::CacheEntries).level
}

/// A user who waits for `patience_ms` and then leaves.
fn send(stack: &Arc<Stack>, arrival: u64, patience_ms: u32) -> Arc<Mutex<Option<Outcome>>> {
    let (entry, answer) = (stack.entry(), Arc::new(Mutex::new(None)));
    let into = Arc::clone(&answer);
    spawn("a user", async move {
        let call = entry.call(Call::arriving(arrival));
        let outcome = timeout(MS * patience_ms, Order::timeout(arrival), call).await;
        *into.lock().unwrap() = Some(outcome.unwrap_or(Err(CallError::Timeout)));
    });
    answer
}

async fn ask(stack: &Stack, arrival: u64) -> Outcome {
    stack.entry().call(Call::arriving(arrival)).await
}

const WHOLE: Outcome = Ok(Reply { degraded: false });
const STALE: Outcome = Ok(Reply { degraded: true });

proptest! {
    /// The age of whatever is served is below its time to live; above it only where stale entries may be served, and
    /// then by no more than is allowed.
    #[test]
    fn nothing_older_than_its_time_to_live_is_served_unless_it_may_be_stale(
        steps in prop::collection::vec((0_u64..40, 0_u32..6), 1..150),
        (ttl, jitter, size) in (1_u32..100, 0.0_f64..1.0, 1_usize..8),
        beta in prop::option::of(0.0_f64..3.0),
        stale in prop::option::of((0_u32..60, 0_u32..60)),
    ) {
        let serve_stale = stale.map(|(a, b)| ServeStale { while_refreshing: ms(a), if_error: ms(b) });
        let early_refresh = beta.map(|beta| EarlyRefresh { beta });
        let size = Some(size);
        let rules = Cache { jitter: Share(jitter), size, early_refresh, serve_stale, ..cache(6, ttl) };
        prop_assert!(rules.check().is_empty());
        let checked = simulate(async move {
            let it = CacheState::new(World::new(3, false), Arc::default(), 1);
            it.changed(Some(&rules));
            let mut stored: BTreeMap<u64, Time> = BTreeMap::new();
            let allowed = rules.serve_stale.map_or(Duration::ZERO, |it| it.while_refreshing.0);
            for (arrival, (gap, key)) in steps.into_iter().enumerate() {
                pass(gap as u32).await;
                let (key, call) = (u64::from(key), Call::arriving(arrival as u64));
                let age = stored.get(&key).map(|stored| now().since(*stored));
                match it.look(&rules, key, &call) {
                    Look::Fresh | Look::Early => prop_assert!(age.unwrap() < MS * ttl),
                    Look::Stale => {
                        let age = age.unwrap();
                        prop_assert!(age < MS * ttl + allowed);
                        prop_assert!(age + MS >= (MS * ttl).mul_f64(1.0 - jitter));
                    }
                    Look::Missing => {
                        let Turn::Lead(leading) = it.turn(&rules, key) else { panic!("nobody else fills") };
                        let begun = now();
                        pass(3).await;
                        it.filled(&rules, leading, &call, begun, WHOLE);
                        stored.insert(key, now());
                    }
                }
            }
            Ok(())
        });
        checked.unwrap()?;
    }

    /// However calls come: with coalescing at most one fill for each key is under way, each answer is a whole one, and
    /// every lookup is a hit, a fill, or waits for one.
    #[test]
    fn with_coalescing_there_is_at_most_one_fill_for_each_key(
        gaps in prop::collection::vec(0_u32..60, 1..80), keys in 1_u32..4, ttl in 1_u32..400, outlives in any::<bool>(),
    ) {
        let checked = simulate(async move {
            let rules = Cache { coalesce: true, fill_outlives_caller: outlives, ..cache(keys, ttl) };
            let stack = stack(rules);
            let mut answers = Vec::new();
            for (arrival, gap) in (0..).zip(&gaps) {
                pass(*gap).await;
                answers.push(send(&stack, arrival, 10_000));
            }
            pass(1000).await;
            for answer in answers {
                prop_assert_eq!(*answer.lock().unwrap(), Some(WHOLE));
            }
            let (front, db) = read(&stack);
            let [hits, misses, coalesced, fills] =
                [Flow::CacheHits, Flow::CacheMisses, Flow::CacheCoalesced, Flow::CacheFills].map(|it| front.flow(it));
            prop_assert!(front.stock(StockName::CacheFilling).peak <= u64::from(keys));
            prop_assert_eq!(hits + misses, gaps.len() as u64);
            prop_assert_eq!(misses, coalesced + fills);
            prop_assert_eq!(fills, db.flow(Flow::Arrived));
            Ok(())
        });
        checked.unwrap()?;
    }

    /// XFetch as it was published: at a time `gap` before the end, with fills that take D, the share of lookups that
    /// refresh is P(-D beta ln(U) >= gap) = exp(-gap / (D beta)).
    #[test]
    fn early_refreshes_are_as_frequent_as_xfetch_says(gap in 0.0_f64..4.0, beta in 0.1_f64..10.0, seed in any::<u64>()) {
        let (took, n, draws) = (50 * MS, 20_000_u64, Draws::new(seed));
        let at = Time::from_secs_f64(100.0);
        let found = Found { expires: at + took.mul_f64(beta * gap), took };
        let early = (0..n)
            .filter(|i| {
                let u = draws.uniform(Stream::EarlyRefresh, 1, Path::of_arrival(*i));
                is_due_early(at, &found, beta, u)
            })
            .count() as f64;
        let expected = libm::exp(-gap);
        let deviation = libm::sqrt(expected * (1.0 - expected) / n as f64);
        prop_assert!((early / n as f64 - expected).abs() <= 6.0 * deviation + 1e-6, "{early} of {n}, {expected}");
    }
}

#[test]
fn without_coalescing_every_call_that_finds_nothing_makes_a_fill() {
    simulate(async {
        let stack = stack(cache(1, 1000));
        let answers: Vec<_> = (0..5).map(|i| send(&stack, i, 10_000)).collect();
        pass(150).await;
        assert!(answers.iter().all(|it| *it.lock().unwrap() == Some(WHOLE)));
        let (front, db) = read(&stack);
        assert_eq!((front.stock(StockName::CacheFilling).peak, db.flow(Flow::Arrived)), (5, 5));
        assert_eq!(entries(&stack), 1);
        assert_eq!(ask(&stack, 9).await, WHOLE);
        assert_eq!(read(&stack).0.flow(Flow::CacheHits), 1);
        pass(1000).await;
        assert_eq!(entries(&stack), 0, "what is past its time is not counted when somebody looks");
    })
    .unwrap();
}

#[test]
fn a_fill_goes_on_after_its_caller_has_left_or_is_discarded_with_it() {
    for outlives in [true, false] {
        simulate(async move {
            let stack = stack(Cache { fill_outlives_caller: outlives, ..cache(1, 10_000) });
            let answer = send(&stack, 0, 30);
            pass(200).await;
            assert_eq!(*answer.lock().unwrap(), Some(Err(CallError::Timeout)));
            let (front, db) = read(&stack);
            assert_eq!(front.stock(StockName::CacheFilling).level, 0);
            assert_eq!(db.flow(Flow::Completed), 1, "the database knows nothing of it, in either case");
            assert_eq!(entries(&stack), u64::from(outlives));
            assert_eq!(db.flow(Flow::WastedNanos) > 0, !outlives, "a fill that is wanted is no waste");
        })
        .unwrap();
    }
}

#[test]
fn who_waits_for_a_fill_that_is_discarded_makes_the_next() {
    simulate(async {
        let stack = stack(Cache { coalesce: true, ..cache(1, 10_000) });
        let impatient = send(&stack, 0, 50);
        pass(20).await;
        let others: Vec<_> = (1..4).map(|i| send(&stack, i, 10_000)).collect();
        pass(60).await;
        assert_eq!(*impatient.lock().unwrap(), Some(Err(CallError::Timeout)));
        assert_eq!(read(&stack).0.stock(StockName::CacheFilling).level, 1, "one of the three");
        pass(100).await;
        assert!(others.iter().all(|it| *it.lock().unwrap() == Some(WHOLE)));
        let (front, db) = read(&stack);
        assert_eq!((front.stock(StockName::CacheFilling).peak, db.flow(Flow::Arrived)), (1, 2));
    })
    .unwrap();
}

#[test]
fn an_error_is_shared_by_all_who_wait_and_is_not_stored() {
    simulate(async {
        let stack = stack(Cache { coalesce: true, ..cache(1, 10_000) });
        stack.disturb(0, "db", Disturbance { errors: 1.0, latency: MS * 10, ..Disturbance::default() });
        let answers: Vec<_> = (0..3).map(|i| send(&stack, i, 10_000)).collect();
        pass(50).await;
        assert!(answers.iter().all(|it| *it.lock().unwrap() == Some(Err(CallError::Failed))));
        stack.calm(0);
        assert_eq!(ask(&stack, 9).await, WHOLE);
        let front = read(&stack).0;
        assert_eq!([Flow::CacheFills, Flow::CacheFillFailures].map(|it| front.flow(it)), [2, 1]);
    })
    .unwrap();
}

#[test]
fn stale_answers_are_degraded_and_come_while_a_fill_goes_on_or_when_it_has_failed() {
    simulate(async {
        let serve_stale = Some(ServeStale { while_refreshing: ms(200), if_error: ms(2000) });
        let stack = stack(Cache { serve_stale, coalesce: true, ..cache(1, 1000) });
        assert_eq!(ask(&stack, 0).await, WHOLE);
        pass(1100).await;
        let began = now();
        assert_eq!([ask(&stack, 1).await, ask(&stack, 2).await], [STALE, STALE]);
        assert_eq!(now(), began, "at once");
        pass(150).await;
        assert_eq!(ask(&stack, 3).await, WHOLE);
        let (front, db) = read(&stack);
        assert_eq!([Flow::CacheStale, Flow::CacheRefreshes].map(|it| front.flow(it)), [2, 1], "one for both");
        assert_eq!(db.flow(Flow::Arrived), 2);
        // Longer past its time than it may be served at once: it waits, and the fill fails.
        stack.disturb(0, "db", Disturbance { errors: 1.0, ..Disturbance::default() });
        pass(1500).await;
        assert_eq!(ask(&stack, 4).await, STALE);
        pass(2000).await;
        assert_eq!(ask(&stack, 5).await, Err(CallError::Failed), "too old for that too");
        assert_eq!(entries(&stack), 0);
    })
    .unwrap();
}

#[test]
fn an_early_refresh_is_answered_at_once_and_renews_the_entry() {
    simulate(async {
        let early_refresh = Some(EarlyRefresh { beta: 1e6 });
        let stack = stack(Cache { early_refresh, coalesce: true, ..cache(1, 1000) });
        assert_eq!(ask(&stack, 0).await, WHOLE);
        pass(800).await;
        let began = now();
        assert_eq!([ask(&stack, 1).await, ask(&stack, 2).await], [WHOLE, WHOLE]);
        assert_eq!(now(), began);
        pass(500).await;
        assert_eq!(ask(&stack, 3).await, WHOLE);
        let front = read(&stack).0;
        let counted = [Flow::CacheHits, Flow::CacheMisses, Flow::CacheRefreshes, Flow::CacheStale];
        assert_eq!(counted.map(|it| front.flow(it)), [3, 1, 2, 0]);
    })
    .unwrap();
}

#[test]
fn a_warm_cache_holds_what_is_asked_for_most_and_all_of_it_is_due_at_once_unless_there_is_jitter() {
    for (jitter, left) in [(0.0, 40), (0.5, 20)] {
        simulate(async move {
            let warm = Cache { warm: Some(90), size: Some(40), jitter: Share(jitter), ..cache(100, 1000) };
            let stack = stack(Cache { keys: Keys { count: 100, exponent: 1.0 }, ..warm });
            assert_eq!(entries(&stack), 40);
            pass(749).await;
            assert!(entries(&stack).abs_diff(left) <= 8, "{} of {left}", entries(&stack));
            pass(251).await;
            assert_eq!(entries(&stack), 0);
        })
        .unwrap();
    }
    simulate(async {
        let keys = Keys { count: 100, exponent: 1.0 };
        let it = CacheState::new(World::new(3, false), Arc::default(), 1);
        let rules = Cache { warm: Some(90), size: Some(40), keys, ..cache(100, 1000) };
        it.changed(Some(&rules));
        it.warm(&rules);
        let found: Vec<u64> =
            (0..100).filter(|key| it.look(&rules, *key, &Call::arriving(0)) == Look::Fresh).collect();
        assert_eq!(found, (0..40).collect::<Vec<_>>());
    })
    .unwrap();
}

#[test]
fn a_replica_that_restarts_or_goes_takes_its_entries_out_of_the_stock() {
    simulate(async {
        let mut services = settings(Cache { warm: Some(10), ..cache(10, 10_000) });
        let api = ServiceSettings { replicas: 3, ..services["cache"].clone() };
        services.insert("cache".to_owned(), api.clone());
        let stack = Arc::new(Stack::start(World::new(7, false), &services));
        assert_eq!(entries(&stack), 30);
        stack.scale("cache", 2);
        assert_eq!(entries(&stack), 20);
        stack.scale("cache", 3);
        assert_eq!(entries(&stack), 20, "a new one is empty");
        stack.lose("cache", 1, MS);
        assert_eq!(entries(&stack), 10);
        stack.restart("cache", MS);
        assert_eq!(entries(&stack), 0);
        pass(10).await;
        assert_eq!(ask(&stack, 1).await, WHOLE);
        let off = Cache { enabled: false, ..api.cache.clone().unwrap() };
        stack.set("cache", ServiceSettings { cache: Some(off), ..api });
        assert_eq!(entries(&stack), 0, "one that is switched off is empty");
        ask(&stack, 1).await.unwrap();
        ask(&stack, 1).await.unwrap();
        let (front, db) = read(&stack);
        assert_eq!(front.flow(Flow::CacheHits) + front.flow(Flow::CacheMisses), 1, "and is not asked");
        assert_eq!(db.flow(Flow::Arrived), 3);
        let account = front.stock(StockName::CacheEntries);
        assert_eq!((account.inflow - account.outflow, account.integral), (account.level, account.sojourns));
    })
    .unwrap();
}

#[test]
fn a_restart_ends_fills_that_nobody_waits_for_any_more() {
    simulate(async {
        let stack = stack(Cache { fill_outlives_caller: true, ..cache(1, 10_000) });
        drop(send(&stack, 0, 10));
        pass(50).await;
        stack.restart("cache", Duration::ZERO);
        pass(100).await;
        let front = read(&stack).0;
        assert_eq!(front.stock(StockName::CacheFilling).level, 0);
        assert_eq!(entries(&stack), 0);
    })
    .unwrap();
}

#[test]
fn an_arrival_asks_for_the_same_in_every_attempt_and_arm_and_classes_ask_for_different_things() {
    let of = |rules: &Cache| {
        let it = CacheState::new(World::new(3, false), Arc::default(), 1);
        it.changed(Some(rules));
        it
    };
    let plain = cache(1000, 100);
    let other = Cache { jitter: Share(0.2), coalesce: true, size: Some(5), ..plain.clone() };
    let (a, b) = (of(&plain), of(&other));
    let mut distinct = std::collections::BTreeSet::new();
    for arrival in 0..1000 {
        let first = Call::arriving(arrival);
        let again = Call { path: first.path.call(0).attempt(2), attempt: 2, ..first.clone() };
        let key = a.key_of(&plain, &first);
        assert_eq!((a.key_of(&plain, &again), b.key_of(&other, &first)), (key, key));
        assert_eq!(a.key_of(&plain, &Call { class: Class(1), ..first }), key + 1000);
        distinct.insert(key);
    }
    assert!((550..720).contains(&distinct.len()), "1000 draws of 1000 keys: {}", distinct.len());
}

#[test]
fn settings_that_say_nothing_sensible_are_refused_where_they_stand() {
    let places = |rules: Cache| rules.check().into_iter().map(|wrong| wrong.path).collect::<Vec<_>>();
    assert!(places(cache(1, 1)).is_empty());
    let keys = Keys { count: 0, exponent: 11.0 };
    assert_eq!(
        places(Cache { keys, size: Some(0), ..cache(1, 0) }),
        ["keys.count", "keys.exponent", "size", "ttl"]
    );
    let serve_stale = Some(ServeStale::default());
    let early_refresh = Some(EarlyRefresh { beta: -1.0 });
    let endless = Cache { ttl: None, jitter: Share(0.1), serve_stale, early_refresh, ..cache(1, 1) };
    assert_eq!(places(endless), ["jitter", "early_refresh", "serve_stale", "early_refresh.beta"]);
    let alone = ServiceSettings { cache: Some(cache(1, 1)), ..ServiceSettings::default() };
    assert_eq!(alone.check()[0].path, "cache");
    assert!(!format!("{:?}", ServiceSettings::default()).contains("cache"));
}

/// A call's time passes on this clock as on the other: see `wire::tcp::tests` and `process::tests`.
#[test]
fn the_same_seed_gives_the_same_events() {
    let run = || {
        simulate(async {
            let world = World::new(11, true);
            let rules = Cache {
                keys: Keys { count: 30, exponent: 0.8 },
                jitter: Share(0.3),
                coalesce: true,
                size: Some(20),
                fill_outlives_caller: true,
                early_refresh: Some(EarlyRefresh { beta: 2.0 }),
                serve_stale: Some(ServeStale { while_refreshing: ms(50), if_error: ms(100) }),
                ..cache(30, 300)
            };
            let stack = Arc::new(Stack::start(Arc::clone(&world), &settings(rules)));
            for arrival in 0..500 {
                drop(send(&stack, arrival, 80));
                pass((mix_of(arrival) % 7) as u32).await;
            }
            time::sleep(MS * 1000, Order::sample(0)).await;
            world.log.digest()
        })
        .unwrap()
    };
    assert_eq!(run(), run());
}

fn mix_of(arrival: u64) -> u64 {
    pumphandle_core::draws::mix(arrival)
}
