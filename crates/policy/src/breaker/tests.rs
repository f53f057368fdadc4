//! The machine against a naive model of it and against laws of its own, then the policy around it.

use proptest::prelude::*;
use pumphandle_core::time::{self, simulate};

use super::*;
use crate::testing::*;

fn breaker(json: &str) -> Breaker {
    serde_json::from_str(json).unwrap()
}

fn secs(s: f64) -> Time {
    Time::from_secs_f64(s)
}

const FAILURE: Result = Result { failed: true, took: Duration::ZERO };
const SUCCESS: Result = Result { failed: false, took: Duration::ZERO };

/// Admits and ends one call at once; false if it was refused.
fn go(machine: &mut Machine, settings: &Breaker, at: Time, result: Result) -> bool {
    let ticket = machine.admit(settings, at);
    if let Some(ticket) = ticket {
        machine.record(settings, ticket, at, result);
    }
    ticket.is_some()
}

fn go_many(machine: &mut Machine, settings: &Breaker, n: usize, at: Time, result: Result) {
    (0..n).for_each(|_| assert!(go(machine, settings, at, result), "refused at {at:?}"));
}

// === The machine and its model

#[derive(Clone, Debug)]
enum Step {
    Come,
    /// One of those under way ends: failed or not, after so many nanoseconds.
    End(usize, bool, u64),
    Pass(u64),
}

fn settings() -> impl Strategy<Value = Breaker> {
    let share = prop::option::of((1_u32..=100).prop_map(|percent| Share(f64::from(percent) / 100.0)));
    let slow = prop::option::of((1_u32..=100).prop_map(|percent| Slow {
        over: Dur(Duration::from_nanos(50)),
        rate: Share(f64::from(percent) / 100.0),
    }));
    let count = || prop::option::of(1_u32..8);
    let span = |range: std::ops::Range<u64>| range.prop_map(|n| Dur(Duration::from_nanos(n)));
    (share, count(), count(), slow, span(10..500), 1_u32..12, span(0..100), 1_u32..6).prop_map(
        |(failure_rate, consecutive, failures, slow, window, minimum, open_for, probes)| Breaker {
            enabled: true,
            failure_rate,
            consecutive,
            failures,
            slow,
            window,
            minimum,
            open_for,
            probes,
            fallback: false,
        },
    )
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => Just(Step::Come),
        3 => (0_usize..100, any::<bool>(), 0_u64..100).prop_map(|(n, failed, took)| Step::End(n, failed, took)),
        1 => (0_u64..80).prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 1..200)
}

/// Everything is kept, and counted anew each time.
enum Model {
    Closed { results: Vec<(u64, bool, bool)>, in_a_row: u32 },
    Open { since: u64 },
    HalfOpen { admitted: Vec<u64>, results: Vec<bool> },
}

impl Model {
    fn closed() -> Model {
        Model::Closed { results: Vec::new(), in_a_row: 0 }
    }

    fn state(&self) -> BreakerState {
        match self {
            Model::Closed { .. } => BreakerState::Closed,
            Model::Open { .. } => BreakerState::Open,
            Model::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    fn admits(&mut self, settings: &Breaker, at: u64) -> bool {
        let open_for = settings.open_for.0.as_nanos() as u64;
        if let Model::Open { since } = self
            && at - *since >= open_for
        {
            *self = Model::HalfOpen { admitted: Vec::new(), results: Vec::new() };
        }
        match self {
            Model::Closed { .. } => true,
            Model::Open { .. } => false,
            Model::HalfOpen { admitted, .. } => {
                // `probes` at a time, and `open_for` between the last of them and the first of the next.
                let all_sent = !admitted.is_empty() && admitted.len() % settings.probes as usize == 0;
                let admits = !all_sent || admitted.last().is_some_and(|last| at - last >= open_for);
                admitted.extend(admits.then_some(at));
                admits
            }
        }
    }

    /// The result of a call that was admitted in the present phase.
    fn result(&mut self, settings: &Breaker, at: u64, failed: bool, slow: bool) {
        match self {
            Model::Closed { results, in_a_row } => {
                results.push((at, failed, slow));
                *in_a_row = if failed { *in_a_row + 1 } else { 0 };
                if trips(settings, results, *in_a_row, at) {
                    *self = Model::Open { since: at };
                }
            }
            Model::HalfOpen { results, .. } => {
                results.push(failed || slow);
                if results.len() == settings.probes as usize {
                    let bad = results.iter().filter(|bad| **bad).count() as f64;
                    let bearable = settings.failure_rate.map_or(0.0, |rate| rate.0);
                    let closes = bad == 0.0 || bad / f64::from(settings.probes) < bearable;
                    *self = if closes { Model::closed() } else { Model::Open { since: at } };
                }
            }
            Model::Open { .. } => unreachable!("an open breaker admits nobody"),
        }
    }
}

fn trips(settings: &Breaker, results: &[(u64, bool, bool)], in_a_row: u32, at: u64) -> bool {
    let width = (settings.window.0.as_nanos() as u64 / 10).max(1);
    let counted = || results.iter().filter(|(then, ..)| at / width - then / width < 10);
    let calls = counted().count() as f64;
    let failed = counted().filter(|(_, failed, _)| *failed).count() as f64;
    let slow = counted().filter(|(.., slow)| *slow).count() as f64;
    let enough = calls >= f64::from(settings.minimum);
    settings.consecutive.is_some_and(|most| in_a_row >= most)
        || settings.failures.is_some_and(|most| failed >= f64::from(most))
        || enough && settings.failure_rate.is_some_and(|rate| failed / calls >= rate.0)
        || enough && settings.slow.as_ref().is_some_and(|most| slow / calls >= most.rate.0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// Which also says: open refuses until `open_for` has passed; half-open admits `probes` at a time and closes only if they were good; no rate trips below `minimum`; results of calls that
    /// were admitted in an earlier phase count for nothing.
    #[test]
    fn the_machine_does_what_its_model_does(settings in settings(), steps in steps()) {
        let (mut machine, mut model, mut at, mut phase) = (Machine::default(), Model::closed(), 0, 0);
        let mut under_way: Vec<(Ticket, u64)> = Vec::new();
        for step in steps {
            let before = model.state();
            match step {
                Step::Come => {
                    let ticket = machine.admit(&settings, Time::from_nanos(at));
                    let admits = model.admits(&settings, at);
                    prop_assert_eq!(ticket.is_some(), admits);
                    phase += u64::from(before != model.state());
                    under_way.extend(ticket.map(|ticket| (ticket, phase)));
                }
                Step::End(n, failed, took) if !under_way.is_empty() => {
                    let (ticket, of) = under_way.remove(n % under_way.len());
                    let result = Result { failed, took: Duration::from_nanos(took) };
                    machine.record(&settings, ticket, Time::from_nanos(at), result);
                    if of == phase {
                        model.result(&settings, at, failed, settings.slow.is_some() && took > 50);
                        phase += u64::from(before != model.state());
                    }
                }
                Step::End(..) => {}
                Step::Pass(span) => at += span,
            }
            prop_assert_eq!(machine.state(), model.state());
        }
    }

    /// Whatever happened, and however many never came back: once the service is well, the breaker closes.
    #[test]
    fn no_history_keeps_it_from_closing_again(
        settings in settings(), steps in steps(), later in prop::option::of((1_u32..6, 1_u32..12)),
    ) {
        let (mut machine, mut at) = (Machine::default(), 0);
        let mut under_way = Vec::new();
        for step in steps {
            match step {
                Step::Come => under_way.extend(machine.admit(&settings, Time::from_nanos(at))),
                Step::End(n, failed, took) if !under_way.is_empty() => {
                    let ticket = under_way.remove(n % under_way.len());
                    let result = Result { failed, took: Duration::from_nanos(took) };
                    machine.record(&settings, ticket, Time::from_nanos(at), result);
                }
                Step::End(..) => {}
                Step::Pass(span) => at += span,
            }
        }
        // Even when its settings change at the worst moment.
        let mut settings = settings;
        if let Some((probes, minimum)) = later {
            (settings.probes, settings.minimum) = (probes, minimum);
        }
        let rest = settings.open_for.0.max(settings.window.0).as_nanos() as u64;
        // Two rounds to forget or to conclude what went wrong before (the first may find probes of which
        // some hang and some failed), one that goes well.
        for _ in 0..3 {
            at += rest;
            for _ in 0..settings.probes {
                // Refused or not: it is what callers do.
                go(&mut machine, &settings, Time::from_nanos(at), SUCCESS);
            }
        }
        prop_assert_eq!(machine.state(), BreakerState::Closed);
    }

    #[test]
    fn the_window_forgets_after_its_length_and_not_before_nine_tenths_of_it(
        length in 10_u64..100_000, failed_at in 0_u64..1_000_000, age in 0_u64..200_000,
    ) {
        let mut settings = breaker(r#"{"failures": 2}"#);
        settings.window = Dur(Duration::from_nanos(length / 10 * 10));
        let length = length / 10 * 10;
        let mut machine = Machine::default();
        go(&mut machine, &settings, Time::from_nanos(failed_at), FAILURE);
        go(&mut machine, &settings, Time::from_nanos(failed_at + age), FAILURE);
        let opened = machine.state() == BreakerState::Open;
        if age <= length * 9 / 10 {
            prop_assert!(opened, "forgotten too early");
        }
        if age >= length {
            prop_assert!(!opened, "remembered too long");
        }
    }
}

#[test]
fn no_rate_opens_it_below_the_minimum_of_calls() {
    let settings = breaker(r#"{"failure_rate": 0.5, "minimum": 10}"#);
    let mut machine = Machine::default();
    go_many(&mut machine, &settings, 9, Time::ZERO, FAILURE);
    assert_eq!(machine.state(), BreakerState::Closed);
    go_many(&mut machine, &settings, 1, Time::ZERO, FAILURE);
    assert_eq!(machine.state(), BreakerState::Open);
}

#[test]
fn a_rate_that_is_just_reached_opens_it_at_every_percentage() {
    for percent in 1..=100_u32 {
        let mut settings = breaker(r#"{"failure_rate": 1, "minimum": 100}"#);
        settings.failure_rate = Some(Share::parse(&format!("{percent}%")).unwrap());
        for (failures, opens) in [(percent - 1, false), (percent, true)] {
            let mut machine = Machine::default();
            go_many(&mut machine, &settings, failures as usize, Time::ZERO, FAILURE);
            go_many(&mut machine, &settings, (100 - failures) as usize, Time::ZERO, SUCCESS);
            assert_eq!(machine.state() == BreakerState::Open, opens, "{failures} of 100 at {percent} %");
        }
    }
}

#[test]
fn successes_break_a_row_of_failures_but_not_a_count_of_them() {
    for (json, opens) in [(r#"{"consecutive": 3}"#, false), (r#"{"failures": 3}"#, true)] {
        let settings = breaker(json);
        let mut machine = Machine::default();
        for result in [FAILURE, FAILURE, SUCCESS, FAILURE] {
            go(&mut machine, &settings, Time::ZERO, result);
        }
        assert_eq!(machine.state() == BreakerState::Open, opens, "{json}");
    }
}

#[test]
fn open_refuses_until_the_very_instant_at_which_it_may_be_tried_again() {
    let settings = breaker(r#"{"consecutive": 1, "open_for": "5s", "probes": 2}"#);
    let mut machine = Machine::default();
    go(&mut machine, &settings, secs(1.0), FAILURE);
    assert_eq!(machine.admit(&settings, secs(5.999_999_999)), None);
    assert!(machine.admit(&settings, secs(6.0)).is_some());
    assert!(machine.admit(&settings, secs(6.0)).is_some());
    assert_eq!(machine.admit(&settings, secs(6.0)), None);
}

#[test]
fn late_results_of_any_earlier_phase_count_for_nothing() {
    let settings = breaker(r#"{"consecutive": 2, "open_for": "1s", "probes": 1}"#);
    let mut machine = Machine::default();
    let early: Vec<Ticket> = (0..10).filter_map(|_| machine.admit(&settings, Time::ZERO)).collect();
    go_many(&mut machine, &settings, 2, Time::ZERO, FAILURE);
    let first_probe = machine.admit(&settings, secs(1.0)).unwrap();
    machine.record(&settings, early[0], secs(1.0), SUCCESS);
    assert_eq!(machine.state(), BreakerState::HalfOpen, "no probe, no news");
    machine.record(&settings, first_probe, secs(1.0), SUCCESS);
    assert_eq!(machine.state(), BreakerState::Closed);
    for ticket in early {
        machine.record(&settings, ticket, secs(2.0), FAILURE);
    }
    assert_eq!(machine.state(), BreakerState::Closed, "they failed before it opened and closed again");
}

#[test]
fn probes_that_hang_make_room_for_others_and_still_count_if_they_end() {
    let settings = breaker(r#"{"consecutive": 1, "open_for": "1s", "probes": 2}"#);
    let mut machine = Machine::default();
    go(&mut machine, &settings, Time::ZERO, FAILURE);
    let hung = [(); 2].map(|()| machine.admit(&settings, secs(1.0)).unwrap());
    assert_eq!(machine.admit(&settings, secs(1.9)), None);
    assert!(go(&mut machine, &settings, secs(2.0), SUCCESS));
    assert_eq!(machine.state(), BreakerState::HalfOpen);
    machine.record(&settings, hung[0], secs(2.5), SUCCESS);
    assert_eq!(machine.state(), BreakerState::Closed);
}

#[test]
fn fewer_probes_than_have_been_answered_already_decide_at_once() {
    let many = breaker(r#"{"consecutive": 1, "open_for": "1s", "probes": 10}"#);
    let few = Breaker { probes: 3, ..many.clone() };
    let mut machine = Machine::default();
    go(&mut machine, &many, Time::ZERO, FAILURE);
    go_many(&mut machine, &many, 5, secs(1.0), SUCCESS);
    assert_eq!(machine.state(), BreakerState::HalfOpen);
    assert!(machine.admit(&few, secs(1.0)).is_some());
    assert_eq!(machine.state(), BreakerState::Closed);
}

#[test]
fn a_window_whose_length_changes_keeps_forgetting() {
    let settings = |window: f64| Breaker {
        window: Dur(Duration::from_secs_f64(window)),
        ..breaker(r#"{"failures": 2, "open_for": "1s"}"#)
    };
    for (before, after) in [(1.0, 10.0), (10.0, 1.0)] {
        let mut machine = Machine::default();
        go(&mut machine, &settings(before), secs(100.0), FAILURE);
        go(&mut machine, &settings(after), secs(100.2), SUCCESS);
        go(&mut machine, &settings(after), secs(111.0), FAILURE);
        assert_eq!(machine.state(), BreakerState::Closed, "{before} s, then {after} s");
        go(&mut machine, &settings(after), secs(111.1), FAILURE);
        assert_eq!(machine.state(), BreakerState::Open);
    }
}

#[test]
fn slow_calls_open_it_although_they_succeed() {
    let settings = breaker(r#"{"slow": {"over": "100ms", "rate": "50%"}, "minimum": 4}"#);
    for (slow, opens) in [(1, false), (2, true)] {
        let mut machine = Machine::default();
        for i in 0..4 {
            let took = if i < slow { millis(101) } else { millis(100) };
            go(&mut machine, &settings, Time::ZERO, Result { failed: false, took });
        }
        assert_eq!(machine.state() == BreakerState::Open, opens);
    }
}

// === The policy

const BREAKER: &str = r#"{"breaker": {"consecutive": 3, "open_for": "1s", "probes": 2}}"#;

#[test]
fn what_it_refuses_takes_no_time_and_reaches_nobody() {
    simulate(async {
        let rig = Rig::new(BREAKER, &Script::always(millis(10), error(CallError::Failed)));
        for i in 0..3 {
            assert_eq!(rig.call(i).await, Err(CallError::Failed));
        }
        let began = now();
        assert_eq!(rig.call(3).await, Err(CallError::BreakerOpen));
        assert_eq!((now(), rig.script.asked().len(), rig.flow(Flow::BreakerRefused)), (began, 3, 1));
        assert_eq!(rig.breaker(), BreakerState::Open);
    })
    .unwrap();
}

#[test]
fn with_a_fallback_what_it_refuses_is_answered_degraded() {
    let json = r#"{"breaker": {"consecutive": 1, "fallback": true}}"#;
    simulate(async {
        let rig = Rig::new(json, &Script::always(Duration::ZERO, error(CallError::Failed)));
        assert_eq!(rig.call(0).await, Err(CallError::Failed));
        assert_eq!(rig.call(1).await, Ok(Reply { degraded: true }));
        assert_eq!((rig.flow(Flow::BreakerRefused), rig.flow(Flow::Fallbacks)), (1, 1));
    })
    .unwrap();
}

#[test]
fn a_timeout_of_an_attempt_counts_as_a_failure() {
    let json = r#"{"breaker": {"consecutive": 2}, "attempt_timeout": "50ms"}"#;
    simulate(async {
        let rig = Rig::new(json, &Script::always(NEVER, FINE));
        for i in 0..2 {
            assert_eq!(rig.call(i).await, Err(CallError::Timeout));
        }
        assert_eq!((rig.call(2).await, now()), (Err(CallError::BreakerOpen), at_ms(100)));
    })
    .unwrap();
}

#[test]
fn a_call_that_is_given_up_counts_as_a_failure() {
    simulate(async {
        let rig = Rig::new(BREAKER, &Script::always(NEVER, FINE));
        for i in 0..3 {
            assert_eq!(rig.call_for(i, millis(10)).await, None);
        }
        assert_eq!(rig.breaker(), BreakerState::Open);
    })
    .unwrap();
}

#[test]
fn a_probe_whose_caller_leaves_opens_it_again_and_never_blocks_it() {
    simulate(async {
        // Fails three times, hangs twice (the probes), and is well from then on.
        let failed = (Duration::ZERO, error(CallError::Failed));
        let hangs = (NEVER, FINE);
        let rig = Rig::new(BREAKER, &Script::list(vec![failed, failed, failed, hangs, hangs]));
        for i in 0..3 {
            assert_eq!(rig.call(i).await, Err(CallError::Failed));
        }
        pass(millis(1_000)).await;
        for i in 3..5 {
            assert_eq!(rig.breaker(), if i == 3 { BreakerState::Open } else { BreakerState::HalfOpen });
            assert_eq!(rig.call_for(i, millis(10)).await, None);
        }
        assert_eq!(rig.breaker(), BreakerState::Open);
        pass(millis(1_000)).await;
        for i in 5..7 {
            assert_eq!(rig.call(i).await, FINE);
        }
        assert_eq!(rig.breaker(), BreakerState::Closed);
        let states: Vec<u64> = logged(&rig.world.log).into_iter().map(|(_, state)| state).collect();
        use BreakerState::{Closed, HalfOpen, Open};
        assert_eq!(states, [Open, HalfOpen, Open, HalfOpen, Closed].map(|state| state as u64));
    })
    .unwrap();
}

#[test]
fn probes_that_never_end_do_not_refuse_everybody_for_ever() {
    simulate(async {
        let failed = (Duration::ZERO, error(CallError::Failed));
        let hangs = (NEVER, FINE);
        let rig = Rig::new(BREAKER, &Script::list(vec![failed, failed, failed, hangs, hangs]));
        for i in 0..3 {
            assert_eq!(rig.call(i).await, Err(CallError::Failed));
        }
        pass(millis(1_000)).await;
        for i in 3..5 {
            let rig = Arc::clone(&rig);
            time::spawn("a caller with all the time in the world", async move {
                let _ = rig.call(i).await;
            });
        }
        pass(millis(999)).await;
        assert_eq!(rig.call(5).await, Err(CallError::BreakerOpen));
        pass(millis(1)).await;
        assert_eq!([rig.call(6).await, rig.call(7).await], [FINE, FINE]);
        assert_eq!(rig.breaker(), BreakerState::Closed);
    })
    .unwrap();
}

#[test]
fn switched_off_it_lets_everything_through_and_on_again_it_starts_closed() {
    simulate(async {
        let rig = Rig::new(BREAKER, &Script::always(millis(10), error(CallError::Failed)));
        // Three that are still under way when it is switched off, and fail after that.
        for i in 0..3 {
            let rig = Arc::clone(&rig);
            time::spawn("an early caller", async move {
                let _ = rig.call(i).await;
            });
        }
        pass(millis(5)).await;
        for off in ["{}", r#"{"breaker": {"consecutive": 3, "enabled": false}}"#] {
            rig.set(off);
            assert_eq!(rig.breaker(), BreakerState::Absent);
            for i in 10..20 {
                assert_eq!(rig.call(i).await, Err(CallError::Failed));
            }
            assert_eq!(rig.breaker(), BreakerState::Absent);
        }
        rig.set(BREAKER);
        assert_eq!(rig.breaker(), BreakerState::Closed);
        for i in 20..23 {
            assert_eq!(rig.call(i).await, Err(CallError::Failed));
        }
        assert_eq!(rig.breaker(), BreakerState::Open);
        // Settings that change while it stays on do not close it.
        rig.set(r#"{"breaker": {"consecutive": 4, "open_for": "1s"}}"#);
        assert_eq!(rig.breaker(), BreakerState::Open);
    })
    .unwrap();
}

#[test]
fn callers_from_before_it_was_switched_off_do_not_show_it_as_open() {
    let with_retries = r#"{"breaker": {"consecutive": 3}, "retry": {"attempts": 9, "on": ["failed"]}}"#;
    simulate(async {
        let rig = Rig::new(with_retries, &Script::always(millis(10), error(CallError::Failed)));
        let caller = Arc::clone(&rig);
        time::spawn("an early caller", async move {
            // By its own settings there is a breaker, which opens.
            assert_eq!(caller.call(0).await, Err(CallError::BreakerOpen));
        });
        pass(millis(5)).await;
        rig.set("{}");
        pass(millis(1_000)).await;
        assert_eq!((rig.breaker(), rig.script.asked().len()), (BreakerState::Absent, 4));
        rig.set(BREAKER);
        assert_eq!(rig.breaker(), BreakerState::Closed);
        assert_eq!(rig.call(1).await, Err(CallError::Failed), "what happened in between is forgotten");
    })
    .unwrap();
}
