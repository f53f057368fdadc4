//! The rate limit against another form of its algorithm, in line, under changing limits and with callers who
//! leave.

use std::sync::Mutex;

use proptest::prelude::*;
use pumphandle_core::time::simulate;

use super::*;
use crate::testing::*;

const LIMITED: pumphandle_core::Outcome = Err(CallError::Limited);

fn limit(rate: u32, burst: u32, max_wait_ms: u64) -> String {
    format!(r#"{{"rate_limit": {{"rate": "{rate}/s", "burst": {burst}, "max_wait": "{max_wait_ms}ms"}}}}"#)
}

/// ITU-T I.371's other form of the algorithm, the continuous-state leaky bucket: what is in the bucket drains
/// steadily, each cell pours in one interval, and there must have been room. Nanoseconds, in whole numbers.
struct LeakyBucket {
    interval: i128,
    room: i128,
    level: i128,
    looked: i128,
}

impl LeakyBucket {
    fn new(settings: &RateLimit, at: Time) -> LeakyBucket {
        let interval = settings.interval().as_nanos() as i128;
        let room = interval * i128::from(settings.burst - 1);
        LeakyBucket { interval, room, level: 0, looked: i128::from(at.nanos()) }
    }

    fn level_at(&self, at: Time) -> i128 {
        (self.level - (i128::from(at.nanos()) - self.looked)).max(0)
    }

    /// How long until a cell conforms.
    fn wait(&self, at: Time) -> i128 {
        (self.level_at(at) - self.room).max(0)
    }

    fn pour(&mut self, at: Time) {
        (self.level, self.looked) = (self.level_at(at) + self.interval, i128::from(at.nanos()));
    }
}

fn settings(json: &str) -> RateLimit {
    policies(json).rate_limit.expect("the test sets a limit")
}

/// Arrivals one after another, in line with a reservation for each: who passes, and when.
fn reserved(settings: &RateLimit, arrivals: &[Time]) -> Vec<Option<Time>> {
    let mut bucket = LeakyBucket::new(settings, Time::ZERO);
    let mut last = Time::ZERO;
    let one = |&at: &Time| {
        // Nobody passes before those who stand in line.
        let from = at.max(last);
        let turn = from + Duration::from_nanos(bucket.wait(from) as u64);
        let passes = turn.since(at) <= settings.max_wait.0;
        passes.then(|| {
            bucket.pour(turn);
            last = turn;
            turn
        })
    };
    arrivals.iter().map(one).collect()
}

/// When each of the callers at these instants got through, in virtual time.
fn passed(json: &str, arrivals: &[Time]) -> Vec<Option<Time>> {
    let through: Arc<Mutex<Vec<Option<Time>>>> = Arc::new(Mutex::new(vec![None; arrivals.len()]));
    simulate(async {
        let script = Script::always(Duration::ZERO, FINE);
        let rig = Rig::new(json, &script);
        for (i, &at) in arrivals.iter().enumerate() {
            time::sleep_until(at, Order::timeline(0)).await;
            let (rig, through) = (Arc::clone(&rig), Arc::clone(&through));
            time::spawn("a caller", async move {
                if rig.call(i as u64).await == FINE {
                    through.lock().unwrap()[i] = Some(now());
                }
            });
        }
        pass(Duration::from_secs(3_600)).await;
        assert_eq!(rig.stock(StockName::RateWaiting).level, 0);
        let refused = through.lock().unwrap().iter().filter(|it| it.is_none()).count();
        assert_eq!(rig.flow(Flow::Limited), refused as u64);
    })
    .unwrap();
    Arc::try_unwrap(through).unwrap().into_inner().unwrap()
}

proptest! {
    #[test]
    fn who_passes_is_what_a_leaky_bucket_says(
        rate in 1_u32..2_000, burst in 1_u32..20, gaps in prop::collection::vec(0_u64..20_000_000, 1..200),
    ) {
        let json = limit(rate, burst, 0);
        let mut at = Time::ZERO;
        let arrivals: Vec<Time> = gaps.iter().map(|&gap| { at = at + Duration::from_nanos(gap); at }).collect();
        prop_assert_eq!(passed(&json, &arrivals), reserved(&settings(&json), &arrivals));
    }

    /// Nobody overtakes, nobody waits in vain, and the line is as fast as the limit. On a grid of milliseconds
    /// newcomers and cells often come at one instant.
    #[test]
    fn who_waits_passes_in_the_order_of_arrival_as_soon_as_the_limit_allows(
        rate in prop::sample::select(vec![50_u32, 100, 250, 333, 500, 1_000]), burst in 1_u32..20,
        wait in 0_u64..60, gaps in prop::collection::vec((0_u64..7).prop_map(|ms| ms * 1_000_000), 1..200),
    ) {
        let json = limit(rate, burst, wait);
        let mut at = Time::ZERO;
        let arrivals: Vec<Time> = gaps.iter().map(|&gap| { at = at + Duration::from_nanos(gap); at }).collect();
        prop_assert_eq!(passed(&json, &arrivals), reserved(&settings(&json), &arrivals));
    }

    /// Whatever changes and whoever leaves: no more than the burst and what has come free since, counting from
    /// each change; and the line is empty when all is over.
    #[test]
    fn changes_and_impatience_let_nobody_through_above_the_limit(
        limits in prop::collection::vec((1_u32..200, 1_u32..10, 0_u64..100, 1_u64..300), 1..8),
        callers in prop::collection::vec((0_u64..20, prop::option::of(0_u64..60)), 1..80),
    ) {
        simulate(async {
            let script = Script::always(Duration::ZERO, FINE);
            let (rate, burst, wait, _) = limits[0];
            let rig = Rig::new(&limit(rate, burst, wait), &script);
            let everybody = Arc::clone(&rig);
            time::spawn("callers", async move {
                for (i, (gap, patience)) in (0_u64..).zip(callers) {
                    pass(millis(gap)).await;
                    let rig = Arc::clone(&everybody);
                    time::spawn("a caller", async move {
                        let _ = rig.call_for(i, patience.map_or(NEVER, millis)).await;
                    });
                }
            });
            let (mut before, mut passed) = (None, 0);
            for &(rate, burst, wait, span) in &limits {
                rig.set(&limit(rate, burst, wait));
                let unchanged = before == Some((rate, burst));
                before = Some((rate, burst));
                pass(millis(span)).await;
                let through = script.asked().len() - passed;
                passed += through;
                // Those in the old line pass at the old rate; none stood in it for longer than its limit.
                let old: f64 = limits.iter().map(|&(rate, ..)| f64::from(rate) * 0.1 + 1.0).sum();
                let most = f64::from(burst) + f64::from(rate) * span as f64 / 1e3 + old;
                assert!(unchanged || through as f64 <= most, "{through} > {most}");
            }
            pass(Duration::from_secs(10)).await;
            assert_eq!(rig.stock(StockName::RateWaiting).level, 0);
            assert_eq!(rig.call(1_000).await, FINE, "after a pause one gets through");
        }).unwrap();
    }
}

#[test]
fn a_limit_that_is_set_again_keeps_what_was_used_and_a_new_one_starts_with_its_burst() {
    simulate(async {
        let rig = Rig::new(&limit(1, 2, 0), &Script::always(Duration::ZERO, FINE));
        assert_eq!(rig.many(3, Duration::ZERO).await, [FINE, FINE, LIMITED]);
        rig.set(&limit(1, 2, 10));
        assert_eq!(rig.call(3).await, LIMITED, "the same limit, with another wait");
        rig.set(&limit(1, 3, 0));
        assert_eq!(rig.many(4, Duration::ZERO).await, [FINE, FINE, FINE, LIMITED]);
        rig.set(r#"{"rate_limit": {"rate": "1/s", "enabled": false}}"#);
        assert_eq!(rig.many(9, Duration::ZERO).await, [FINE; 9], "switched off");
    })
    .unwrap();
}

#[test]
fn who_leaves_the_line_makes_room_for_the_next() {
    simulate(async {
        let script = Script::always(Duration::ZERO, FINE);
        let rig = Rig::new(&limit(10, 1, 150), &script);
        let in_line = |n: u64, patience: Duration| {
            let rig = Arc::clone(&rig);
            time::spawn("a caller", async move {
                let _ = rig.call_for(n, patience).await;
            });
        };
        in_line(0, NEVER);
        in_line(1, millis(30));
        pass(millis(50)).await;
        assert_eq!(rig.call(2).await, FINE, "the one before has left");
        assert_eq!((now(), script.times()), (at_ms(100), vec![at_ms(0), at_ms(100)]));
    })
    .unwrap();
}

#[test]
fn retries_pass_the_limit_too_and_its_refusals_neither_open_a_breaker_nor_are_tried_again() {
    let json = r#"{"rate_limit": {"rate": "1/s", "burst": 3}, "breaker": {"consecutive": 3},
                   "retry": {"attempts": 2}}"#;
    simulate(async {
        let rig = Rig::new(json, &Script::always(Duration::ZERO, error(CallError::Failed)));
        assert_eq!(rig.call(0).await, Err(CallError::Failed));
        assert_eq!(rig.call(1).await, LIMITED, "its second attempt");
        assert_eq!(rig.call(2).await, LIMITED);
        assert_eq!((rig.flow(Flow::Attempts), rig.flow(Flow::Limited)), (5, 2));
        assert_eq!(rig.breaker(), pumphandle_core::meter::BreakerState::Open, "three failures, not five");
    })
    .unwrap();
}

#[test]
fn what_would_refuse_everything_or_never_refill_is_refused_itself() {
    let wrong = |json: &str| policies(json).check();
    for json in [
        r#"{"rate_limit": {"rate": "0/s"}}"#,
        r#"{"rate_limit": {"rate": "2000000/s"}}"#,
        r#"{"rate_limit": {"rate": "1/s", "burst": 0}}"#,
        r#"{"rate_limit": {"rate": "1/d", "burst": 1000000}}"#,
    ] {
        assert_eq!(wrong(json).len(), 1, "{json}");
    }
    assert_eq!(wrong(r#"{"rate_limit": {"rate": "1/d", "burst": 1000}}"#), []);
}
