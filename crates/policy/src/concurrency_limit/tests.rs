//! The algorithms against their published rules, on a server whose knee is known, and the limiter under changes
//! and impatience.

use proptest::prelude::*;
use pumphandle_core::gate::{Gate, Rules};
use pumphandle_core::meter::{Stock, StockName};
use pumphandle_core::time::{self, Order, simulate};

use super::*;
use crate::testing::*;

fn sample(ended_ms: u64, took_ms: u64, in_flight: u32) -> Sample {
    Sample { ended: at_ms(ended_ms), took: millis(took_ms), in_flight, dropped: false }
}

fn dropped(ended_ms: u64, took_ms: u64, in_flight: u32) -> Sample {
    Sample { dropped: true, ..sample(ended_ms, took_ms, in_flight) }
}

fn aimd(json: &str) -> aimd::Aimd {
    serde_json::from_str(json).unwrap()
}

fn vegas(json: &str) -> vegas::Vegas {
    serde_json::from_str(json).unwrap()
}

#[test]
fn aimd_adds_one_per_answer_when_at_least_half_used_and_keeps_nine_tenths_after_a_drop() {
    let it = aimd("{}");
    assert_eq!(it.next(20, &sample(0, 10, 10)), 21);
    assert_eq!(it.next(20, &sample(0, 10, 9)), 20, "not half used");
    assert_eq!(it.next(100, &dropped(0, 10, 1)), 90);
    assert_eq!(it.next(100, &sample(0, 5_001, 100)), 90, "longer than 5 s counts as a drop");
    assert_eq!(it.next(100, &sample(0, 5_000, 100)), 101);
    assert_eq!((it.next(200, &sample(0, 10, 200)), it.next(21, &dropped(0, 1, 1))), (200, 20), "bounds");
}

#[test]
fn vegas_moves_by_how_many_wait_as_published() {
    // Waiting: ceil(limit * (1 - shortest / latency)), with the shortest at 100 ms and a limit of 10.
    let it = vegas(r#"{"initial": 10, "probe": 1000}"#);
    let after = |second: Sample| {
        let mut state = vegas::State::new(&it, 0.0);
        state.update(&it, &sample(100, 100, 10), 0.0);
        assert_eq!(state.limit(&it), 10, "the first is the shortest");
        state.update(&it, &second, 0.0);
        state.limit(&it)
    };
    assert_eq!(after(sample(200, 100, 10)), 16, "none waits: up by beta, 6");
    assert_eq!(after(sample(200, 111, 10)), 16, "one waits, which is the threshold");
    assert_eq!(after(sample(200, 120, 10)), 11, "two wait: fewer than alpha, 3");
    assert_eq!(after(sample(200, 140, 10)), 10, "three wait: neither few nor many");
    assert_eq!(after(sample(200, 250, 10)), 10, "six wait: still not many");
    assert_eq!(after(sample(200, 300, 10)), 9, "seven wait");
    assert_eq!(after(dropped(200, 100, 10)), 9, "a drop");
    assert_eq!(after(sample(200, 100, 4)), 10, "less than half used");
    assert_eq!(after(sample(200, 50, 10)), 10, "a new shortest");
}

#[test]
fn vegas_takes_larger_steps_at_larger_limits() {
    let it = vegas(r#"{"initial": 200, "probe": 1000}"#);
    let mut state = vegas::State::new(&it, 0.0);
    state.update(&it, &sample(100, 100, 200), 0.0);
    state.update(&it, &sample(200, 100, 200), 0.0);
    assert_eq!(state.limit(&it), 212, "up by 6 times two decades");
    state.update(&it, &dropped(300, 100, 200), 0.0);
    assert_eq!(state.limit(&it), 210);
}

#[test]
fn vegas_takes_the_present_for_the_shortest_after_as_many_answers_as_published() {
    // Jitter 0.5 + 0.5/2 = 0.75: 0.75 * 2 * 10 = 15 answers. Three wait: the limit stays at 10 until then.
    let it = vegas(r#"{"initial": 10, "probe": 2}"#);
    let mut state = vegas::State::new(&it, 0.5);
    state.update(&it, &sample(0, 100, 10), 0.0);
    for _ in 0..14 {
        state.update(&it, &sample(0, 140, 10), 0.0);
        assert_eq!(state.limit(&it), 10);
    }
    state.update(&it, &sample(0, 140, 10), 0.0);
    assert_eq!(state.limit(&it), 16, "140 ms is the shortest now, and nobody seems to wait");
}

#[test]
fn gradient2_follows_its_published_formula() {
    let it: gradient2::Gradient2 =
        serde_json::from_str(r#"{"initial": 100, "min": 1, "window": "0s", "queue": 4, "max": 1000}"#)
            .unwrap();
    let mut state = gradient2::State::new(&it);
    // The first: long = short. 0.8 * 100 + 0.2 * (100 + 4).
    state.update(&it, &sample(0, 100, 100));
    let mut expected = 100.8;
    assert_eq!(state.limit(&it), expected as u32);
    // The second: long = (100 + 300) / 2, gradient = 200 / 300.
    state.update(&it, &sample(0, 300, 100));
    expected = 0.8 * expected + 0.2 * (expected * 200.0 / 300.0 + 4.0);
    assert_eq!(state.limit(&it), expected as u32);
    // Much slower: the gradient is cut off at a half.
    state.update(&it, &sample(0, 30_000, 100));
    expected = 0.8 * expected + 0.2 * (expected * 0.5 + 4.0);
    assert_eq!(state.limit(&it), expected as u32);
    state.update(&it, &sample(0, 100, 10));
    assert_eq!(state.limit(&it), expected as u32, "less than half used");
}

#[test]
fn gradient2_gathers_a_window_and_leaves_out_one_with_too_few_answers() {
    let it: gradient2::Gradient2 = serde_json::from_str(r#"{"initial": 100, "min": 1}"#).unwrap();
    let mut state = gradient2::State::new(&it);
    state.update(&it, &sample(1, 100, 100));
    assert_eq!(state.limit(&it), 100, "a window of one answer says nothing");
    for ms in 0..9 {
        state.update(&it, &sample(100 + ms, 100, 100));
    }
    assert_eq!(state.limit(&it), 100, "the second is not over");
    state.update(&it, &sample(1_002, 100, 100));
    assert_eq!(state.limit(&it), 100, "100.8");
    assert!(format!("{state:?}").contains("estimate: 100.8"), "{state:?}");
}

#[test]
fn gradient_measures_with_few_calls_and_then_follows_its_published_formula() {
    let it: gradient::Gradient = serde_json::from_str(r#"{"requests": 2, "jitter": 0}"#).unwrap();
    let mut state = gradient::State::new(&it, at_ms(0));
    assert_eq!((state.limit(&it), state.is_measuring()), (3, true));
    state.update(&it, &sample(100, 100, 1), 0.0);
    state.update(&it, &sample(101, 101, 1), 0.0);
    assert_eq!((state.limit(&it), state.is_measuring()), (3, false), "the median of two: 100 ms");
    state.update(&it, &sample(150, 40, 1), 0.0);
    // 125 / 40 is cut off at 2: 3 * 2 + sqrt(6).
    state.look(&it, at_ms(201));
    assert_eq!(state.limit(&it), 8);
    // 125 / 250: a half. 8 * 0.5 + sqrt(4).
    state.update(&it, &sample(300, 250, 1), 0.0);
    assert_eq!(state.limit(&it), 8, "the window is not yet over");
    state.look(&it, at_ms(301));
    assert_eq!(state.limit(&it), 6);
    state.look(&it, at_ms(101 + 60_000));
    assert_eq!((state.limit(&it), state.is_measuring()), (3, true), "a minute later it measures anew");
    state.update(&it, &sample(60_150, 100, 1), 0.0);
    assert!(state.is_measuring(), "what began earlier says nothing");
    state.update(&it, &sample(60_301, 150, 1), 0.0);
    state.update(&it, &sample(60_302, 150, 1), 0.0);
    assert_eq!((state.limit(&it), state.is_measuring()), (6, false), "back to where it was");
}

#[test]
fn gradient_measures_again_when_it_stays_at_the_lowest_limit() {
    let it: gradient::Gradient = serde_json::from_str(r#"{"requests": 1, "jitter": 0}"#).unwrap();
    let mut state = gradient::State::new(&it, at_ms(0));
    state.update(&it, &sample(10, 10, 1), 0.0);
    for round in 1..=5 {
        assert!(!state.is_measuring(), "round {round}");
        state.update(&it, &sample(100 * round + 9, 80, 1), 0.0);
        state.look(&it, at_ms(100 * round + 10));
    }
    assert!(state.is_measuring());
}

/// A server with so many workers, each of which takes as long for every call, and a line in front of them.
struct Station {
    workers: Gate,
    takes: Duration,
    line: Stock,
}

impl Policy for Station {
    fn call<'a>(&'a self, _: &'a Policies, call: Call) -> Answering<'a> {
        Box::pin(async move {
            let _worker = self.workers.acquire(None, &self.line).await;
            time::sleep(self.takes, Order::completion(call.path.id())).await;
            FINE
        })
    }

    fn changed(&self, _: &Policies) {}
}

/// The limit, looked at twenty times per second, in front of 10 workers of 100 ms and under twice what they
/// can do. Little's law: the knee is at 100/s * 0.1 s = 10 under way.
fn limits_at_a_known_server(json: &str, seconds: u64) -> Vec<u64> {
    let workers = Gate::new(Rules { limit: 10, ..Rules::default() });
    let station = Station { workers, takes: millis(100), line: Stock::default() };
    simulate(async {
        let around = surroundings();
        let json = format!(r#"{{"concurrency_limit": {{"algorithm": {json}}}}}"#);
        let settings = Arc::new(policies(&json));
        let chain: Arc<Next> = Arc::new(crate::shelf::chain(&around, Box::new(station)));
        chain.changed(&settings);
        let mut limits = Vec::new();
        for i in 0..200 * seconds {
            let (chain, settings) = (Arc::clone(&chain), Arc::clone(&settings));
            time::spawn("a caller", async move {
                let _ = chain.call(&settings, Call::arriving(i)).await;
            });
            pass(millis(5)).await;
            if i % 10 == 0 {
                limits.push(around.meter.read(now()).concurrency_limit);
            }
        }
        pass(Duration::from_secs(60)).await;
        limits
    })
    .unwrap()
}

/// The lowest, mean and highest of the second half.
fn settled(limits: &[u64]) -> (u64, f64, u64) {
    let half = &limits[limits.len() / 2..];
    let mean = half.iter().sum::<u64>() as f64 / half.len() as f64;
    (*half.iter().min().unwrap(), mean, *half.iter().max().unwrap())
}

// All of them swing: what a call tells was decided by the limit of one latency ago, and every call under way
// tells it once more. So it is the mean that is held against the theory: between the knee and twice the knee.

#[test]
fn vegas_swings_around_three_to_six_waiting_beyond_the_knee() {
    let (low, mean, high) = settled(&limits_at_a_known_server(r#"{"vegas": {"probe": 1000000}}"#, 120));
    assert!((13.0..=20.0).contains(&mean), "{low}, {mean}, {high}");
}

#[test]
fn gradient_swings_around_the_fixed_point_of_its_formula() {
    // limit = limit * g + sqrt(limit * g) with g = 1.25 * 10 / limit: 12.5 + sqrt(12.5) = 16.03.
    let (low, mean, high) = settled(&limits_at_a_known_server(r#"{"gradient": {"every": "1h"}}"#, 120));
    assert!((12.5..=20.0).contains(&mean), "{low}, {mean}, {high}");
}

#[test]
fn aimd_swings_below_the_limit_at_which_answers_come_too_late() {
    // With 300 ms as its timeout: 300 ms * 100/s = 30 under way.
    let (low, mean, high) =
        settled(&limits_at_a_known_server(r#"{"aimd": {"timeout": "300ms", "min": 1}}"#, 120));
    assert!((10.0..=30.0).contains(&mean), "{low}, {mean}, {high}");
}

/// Its measure of an idle service is an average, and the average forgets.
#[test]
fn gradient2_takes_an_overload_that_lasts_for_the_new_normal() {
    let json = r#"{"gradient2": {"min": 1, "initial": 10, "long_window": 60}}"#;
    let limits = limits_at_a_known_server(json, 600);
    let of = |from: usize, to: usize| settled(&limits[20 * from..20 * to]);
    let (early, late) = (of(10, 30), of(580, 600));
    assert!(early.1 < 30.0 && late.1 > 2.0 * early.1, "{early:?}, {late:?}");
}

fn any_algorithm() -> impl Strategy<Value = String> {
    let one = |text: &str| Just(text.to_owned());
    prop_oneof![
        (1_u32..6, 6_u32..12).prop_map(|(min, max)| format!(
            r#"{{"aimd": {{"min": {min}, "initial": {min}, "max": {max}, "timeout": "20ms"}}}}"#
        )),
        (1_u32..4)
            .prop_map(|min| format!(r#"{{"gradient": {{"min": {min}, "requests": 3, "every": "100ms"}}}}"#)),
        one(r#"{"gradient2": {"min": 1, "initial": 5, "max": 9, "window": "0s"}}"#),
        one(r#"{"vegas": {"initial": 3, "max": 9, "probe": 2}}"#),
    ]
}

proptest! {
    /// Whatever changes and whoever leaves: nobody gets in above the limit, and everybody who got in is counted
    /// out.
    #[test]
    fn nobody_gets_in_above_the_limit_and_nothing_is_left_behind(
        changes in prop::collection::vec((prop::option::of(any_algorithm()), 1_u64..40), 1..10),
        callers in prop::collection::vec((0_u64..4, prop::option::of(0_u64..30), 0_usize..12), 1..120),
    ) {
        simulate(async {
            let around = surroundings();
            let limiter = Limiter::new(Arc::clone(&around.world), Arc::clone(&around.meter), 7);
            let door = Arc::clone(&limiter);
            time::spawn("callers", async move {
                for (i, (gap, takes, outcome)) in (0_u64..).zip(callers) {
                    pass(millis(gap)).await;
                    let door = Arc::clone(&door);
                    time::spawn("a caller", async move {
                        let (limit, before) = door.load();
                        let Some(place) = door.enter(Path::of_arrival(i)) else {
                            assert!(limit.is_some_and(|limit| before >= limit), "{before} of {limit:?}");
                            return;
                        };
                        assert!(limit.is_none_or(|limit| before < limit), "{before} of {limit:?}");
                        match takes {
                            Some(ms) => {
                                pass(millis(ms)).await;
                                place.ended(&CallError::ALL.get(outcome).map_or(FINE, |error| Err(*error)));
                            }
                            // Leaves.
                            None => drop(place),
                        }
                    });
                }
            });
            for (algorithm, span) in changes {
                let settings = algorithm.map(|json| {
                    let json = format!(r#"{{"concurrency_limit": {{"algorithm": {json}}}}}"#);
                    policies(&json).concurrency_limit.unwrap()
                });
                limiter.changed(settings.as_ref());
                let limit = limiter.load().0;
                assert_eq!(limit.is_some(), settings.is_some());
                assert_eq!(around.meter.read(now()).concurrency_limit, limit.map_or(0, u64::from));
                pass(millis(span)).await;
            }
            pass(Duration::from_secs(1)).await;
            assert_eq!(limiter.load().1, 0, "everybody has left");
            drop(limiter);
            assert_eq!(around.meter.read(now()).concurrency_limit, 0);
        }).unwrap();
    }
}

#[test]
fn what_the_limit_refuses_is_not_tried_again_and_tells_a_breaker_nothing() {
    let json = r#"{"concurrency_limit": {"algorithm": {"aimd": {"initial": 1, "min": 1}}},
                   "breaker": {"consecutive": 1}, "retry": {"attempts": 3}}"#;
    simulate(async {
        let rig = Rig::new(json, &Script::always(millis(10), FINE));
        let limited = Err(CallError::Limited);
        assert_eq!(rig.many(3, Duration::ZERO).await, [FINE, limited, limited]);
        assert_eq!((rig.flow(Flow::Attempts), rig.flow(Flow::Limited)), (3, 2));
        assert_eq!(rig.breaker(), pumphandle_core::meter::BreakerState::Closed);
        assert_eq!(rig.stock(StockName::Waiting).level, 0);
    })
    .unwrap();
}

#[test]
fn bounds_that_contradict_each_other_are_refused() {
    let wrong = |json: &str| {
        let json = format!(r#"{{"concurrency_limit": {{"algorithm": {json}}}}}"#);
        policies(&json).check().into_iter().map(|it| it.path).collect::<Vec<_>>()
    };
    assert_eq!(wrong(r#"{"aimd": {"min": 9, "max": 8}}"#), ["concurrency_limit.algorithm.aimd.min"]);
    assert_eq!(
        wrong(r#"{"vegas": {"initial": 9, "max": 8}}"#),
        ["concurrency_limit.algorithm.vegas.initial"]
    );
    assert_eq!(wrong(r#"{"gradient": {"every": "0s"}}"#), ["concurrency_limit.algorithm.gradient.every"]);
    assert_eq!(wrong(r#"{"gradient2": {}}"#), [""; 0]);
}
