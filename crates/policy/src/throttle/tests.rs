//! The formula of the SRE book, the window, and what counts as accepted.

use proptest::prelude::*;
use pumphandle_core::time::simulate;

use super::*;
use crate::testing::*;

const LIMITED: pumphandle_core::Outcome = Err(CallError::Limited);

fn settings(json: &str) -> Throttle {
    policies(&format!(r#"{{"throttle": {json}}}"#)).throttle.unwrap()
}

proptest! {
    /// Against a list of everything that happened: what left the window whole is forgotten, what is younger
    /// than the window less one slice counts, and the probability is the book's.
    #[test]
    fn requests_and_accepts_of_the_window_and_no_others_count(
        steps in prop::collection::vec((0_u64..3_000, any::<bool>()), 1..200),
        k in 1.0_f64..4.0, window_s in 1_u64..20, shorter in prop::option::of(1_u64..20),
    ) {
        let mut throttle = settings(&format!(r#"{{"k": {k}, "window": "{window_s}s"}}"#));
        let mut counts = Counts::default();
        let mut all: Vec<(u64, bool)> = Vec::new();
        let mut ms = 0;
        let half = steps.len() / 2;
        for (i, (gap, accepted)) in steps.into_iter().enumerate() {
            if i == half && let Some(shorter) = shorter {
                throttle.window = Dur(Duration::from_secs(shorter.min(window_s)));
            }
            ms += gap;
            counts.request(at_ms(ms), &throttle);
            if accepted {
                counts.accept(at_ms(ms), &throttle);
            }
            all.push((ms, accepted));
            let window = throttle.window.0.as_millis() as f64;
            // Slices of the old length may outlast a shorter window by one of theirs.
            let slack = 1_000.0 * window_s as f64 / SLICES as f64 + 1.0;
            let since = |age: f64| all.iter().filter(move |(at, _)| (ms - at) as f64 <= age);
            let (least, most) = (since(window - slack).count(), since(window + slack).count());
            prop_assert!((least..=most).contains(&(counts.requests as usize)), "{} {least} {most}", counts.requests);
            let p = counts.refuses(at_ms(ms), &throttle);
            let (requests, accepts) = (counts.requests as f64, counts.accepts as f64);
            prop_assert!((0.0..1.0).contains(&p));
            prop_assert_eq!(p > 0.0, requests > k * accepts);
            prop_assert!(accepts <= requests);
        }
    }
}

#[test]
fn the_probability_is_that_of_the_book() {
    let throttle = settings("{}");
    let mut counts = Counts::default();
    for (requests, accepts, expected) in [(0, 0, 0.0), (1, 0, 0.5), (3, 2, 0.0), (99, 10, 79.0 / 100.0)] {
        while counts.requests < requests {
            counts.request(at_ms(1), &throttle);
        }
        while counts.accepts < accepts {
            counts.accept(at_ms(1), &throttle);
        }
        let p = counts.refuses(at_ms(1), &throttle);
        assert!((p - expected).abs() < 1e-12, "{requests} {accepts}: {p}");
    }
    // Two minutes and a slice later nothing is left of it.
    assert_eq!(counts.refuses(at_ms(126_000), &throttle), 0.0);
}

#[test]
fn a_healthy_service_gets_everything_whether_it_answers_fails_or_is_left() {
    simulate(async {
        let script = Script::new(|n, _| match n % 3 {
            0 => (millis(1), FINE),
            1 => (millis(1), Err(CallError::Failed)),
            _ => (NEVER, FINE),
        });
        let rig = Rig::new(r#"{"throttle": {"k": 1}}"#, &script);
        for i in 0..300 {
            rig.call_for(i, millis(2)).await;
        }
        assert_eq!((script.asked().len(), rig.flow(Flow::Limited), script.active()), (300, 0, 0));
    })
    .unwrap();
}

#[test]
fn a_client_that_has_just_started_refuses_nobody_while_it_waits_for_the_first_answers() {
    simulate(async {
        let rig = Rig::new(r#"{"throttle": {"k": 1}}"#, &Script::always(millis(500), FINE));
        assert!(rig.many(1_000, millis(1)).await.iter().all(|outcome| *outcome == FINE));
    })
    .unwrap();
}

#[test]
fn a_service_that_refuses_all_is_asked_less_and_less_and_all_again_once_the_window_has_passed() {
    simulate(async {
        let bad = Arc::new(std::sync::atomic::AtomicBool::new(true));
        let is_bad = Arc::clone(&bad);
        let script = Script::new(move |_, _| {
            let refuses = is_bad.load(std::sync::atomic::Ordering::Relaxed);
            (Duration::ZERO, if refuses { Err(CallError::Overloaded) } else { FINE })
        });
        let rig = Rig::new(r#"{"throttle": {"window": "10s"}}"#, &script);
        rig.many(1_000, millis(1)).await;
        let sent = script.asked().len();
        // The n-th request goes out with probability 1 / n: about ln 1000 = 7 of them do.
        assert!((2..20).contains(&sent), "{sent}");
        assert_eq!(rig.flow(Flow::Limited), 1_000 - sent as u64);
        bad.store(false, std::sync::atomic::Ordering::Relaxed);
        pass(Duration::from_secs(11)).await;
        assert!(rig.many(1_000, millis(1)).await.iter().all(|outcome| *outcome == FINE));
    })
    .unwrap();
}

#[test]
fn switched_off_and_on_again_it_has_forgotten() {
    simulate(async {
        let script =
            Script::new(|n, _| (Duration::ZERO, if n < 5 { Err(CallError::Overloaded) } else { FINE }));
        let rig = Rig::new(r#"{"throttle": {}}"#, &script);
        let mut arrivals = 0..;
        while script.asked().len() < 5 {
            let _ = rig.call(arrivals.next().unwrap()).await;
        }
        assert!(rig.flow(Flow::Limited) > 0);
        rig.set(r#"{"throttle": {"enabled": false}}"#);
        assert_eq!(rig.call(1).await, FINE);
        rig.set(r#"{"throttle": {}}"#);
        assert!(rig.many(100, millis(1)).await.iter().all(|outcome| *outcome == FINE));
    })
    .unwrap();
}

#[test]
fn its_own_refusals_neither_open_the_breaker_nor_are_tried_again() {
    let json =
        r#"{"retry": {"attempts": 3}, "throttle": {"on": ["failed"]}, "breaker": {"consecutive": 1000}}"#;
    simulate(async {
        let rig = Rig::new(json, &Script::always(Duration::ZERO, Err(CallError::Failed)));
        let outcomes = rig.many(200, millis(1)).await;
        let limited = outcomes.iter().filter(|outcome| **outcome == LIMITED).count() as u64;
        assert_eq!(limited, rig.flow(Flow::Limited), "a call ends with its first local refusal");
        assert!(limited > 150, "{limited}");
    })
    .unwrap();
}

#[test]
fn the_coin_is_keyed_so_that_twins_are_refused_alike() {
    let limited = |json: &str| -> Vec<u64> {
        let script = Script::always(Duration::ZERO, Err(CallError::Overloaded));
        simulate(async {
            Rig::new(json, &script).many(500, millis(1)).await;
        })
        .unwrap();
        script.asked().iter().map(|(_, call)| call.arrival).collect()
    };
    let twin = limited(r#"{"throttle": {}, "pool": {"size": 500}}"#);
    assert_eq!(limited(r#"{"throttle": {}}"#), twin);
}
