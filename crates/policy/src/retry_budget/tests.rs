//! Both kinds of budget against their bounds, with calls that end in every way.

use proptest::prelude::*;
use pumphandle_core::time::simulate;

use std::time::Duration;

use super::*;
use crate::testing::*;
use pumphandle_core::CallError;
use pumphandle_core::meter::Flow;

fn bucket(deposit: f64, per: Deposit, capacity: u32) -> RetryBudget {
    let token_bucket = Some(TokenBucket { deposit: Share(deposit), per, capacity });
    RetryBudget { enabled: true, token_bucket, share_of_active: None }
}

fn share(share: f64, at_least: u32) -> RetryBudget {
    let share_of_active = Some(ShareOfActive { share: Share(share), at_least });
    RetryBudget { enabled: true, token_bucket: None, share_of_active }
}

proptest! {
    /// When everything fails and every call would retry without end, what is granted is what was paid in and
    /// saved up, down to the thousandth. (The first deposit meets a full bucket.)
    #[test]
    fn a_token_bucket_grants_what_was_paid_in_and_saved_up(
        thousandths in 0_u64..=1_000, capacity in 2_u32..50, calls in 1_u64..500,
    ) {
        let settings = bucket(thousandths as f64 / 1_000.0, Deposit::Call, capacity);
        let budget = Budget::default();
        let mut granted = 0;
        for _ in 0..calls {
            let mut call = budget.begin(Some(&settings));
            while call.withdraw(Some(&settings)) {
                granted += 1;
            }
            let paid_in = thousandths * calls + u64::from(capacity) * TOKEN;
            prop_assert!(granted * TOKEN <= paid_in);
        }
        let usable = u64::from(capacity) * TOKEN + thousandths * (calls - 1);
        prop_assert_eq!(granted, usable / TOKEN);
        prop_assert_eq!(budget.active(), (0, 0));
    }

    /// Grants of the other kind, against calls that begin, retry and end in any order.
    #[test]
    fn retries_under_way_never_exceed_their_share_when_one_is_granted(
        percent in 0_u32..=100, at_least in 0_u32..5,
        steps in prop::collection::vec((0_u8..4, 0_usize..100), 1..300),
    ) {
        let settings = share(f64::from(percent) / 100.0, at_least);
        let budget = Budget::default();
        let mut calls: Vec<(CallUnderWay<'_>, bool)> = Vec::new();
        for (what, which) in steps {
            match what {
                0 | 1 => calls.push((budget.begin(Some(&settings)), false)),
                2 if !calls.is_empty() => {
                    let n = which % calls.len();
                    let others = calls.iter().enumerate().filter(|(i, call)| *i != n && call.1).count() as u64;
                    let within_share = (others + 1) * 100 <= u64::from(percent) * calls.len() as u64;
                    let expected = within_share || others < u64::from(at_least);
                    prop_assert_eq!(calls[n].0.withdraw(Some(&settings)), expected);
                    calls[n].1 |= expected;
                }
                3 if !calls.is_empty() => drop(calls.swap_remove(which % calls.len())),
                _ => {}
            }
            let retrying = calls.iter().filter(|call| call.1).count() as u64;
            prop_assert_eq!(budget.active(), (calls.len() as u64, retrying));
        }
        drop(calls);
        prop_assert_eq!(budget.active(), (0, 0));
    }

    /// The same bound through the whole chain, when callers come and leave as they like.
    #[test]
    fn retries_through_the_chain_stay_within_the_budget_and_nothing_leaks(
        thousandths in 0_u64..=500, capacity in 1_u64..20, callers in prop::collection::vec(0_u64..100, 1..60),
    ) {
        let deposit = thousandths as f64 / 1_000.0;
        let json = format!(
            r#"{{"retry": {{"attempts": 10, "backoff": {{"up_to": "20ms"}}}},
                "retry_budget": {{"token_bucket": {{"deposit": {deposit}, "capacity": {capacity}}}}}}}"#
        );
        simulate(async {
            let rig = Rig::new(&json, &Script::always(millis(3), error(CallError::Failed)));
            for (i, &patience) in callers.iter().enumerate() {
                let rig = std::sync::Arc::clone(&rig);
                pumphandle_core::time::spawn("a caller", async move {
                    let _ = rig.call_for(i as u64, millis(patience)).await;
                });
                pass(millis(2)).await;
            }
            pass(millis(1_000)).await;
            let bound = thousandths * callers.len() as u64 + capacity * TOKEN;
            assert!(rig.flow(Flow::Retries) * TOKEN <= bound);
            assert_eq!(rig.flow(Flow::Attempts), rig.flow(Flow::Calls) + rig.flow(Flow::Retries));
            assert_eq!((rig.script.active(), rig.stock(pumphandle_core::meter::StockName::BackingOff).level), (0, 0));
        }).unwrap();
    }
}

#[test]
fn when_everything_fails_the_chain_makes_exactly_the_retries_that_the_bucket_holds() {
    let json = r#"{"retry": {"attempts": 100},
                   "retry_budget": {"token_bucket": {"deposit": 0.1, "capacity": 10}}}"#;
    simulate(async {
        let rig = Rig::new(json, &Script::always(Duration::ZERO, error(CallError::Failed)));
        for i in 0..1_001 {
            assert_eq!(rig.call(i).await, Err(CallError::Failed));
        }
        assert_eq!(rig.flow(Flow::Retries), 10 + 100);
        // Whoever got no further was refused by the budget, not by the number of attempts.
        assert_eq!(rig.flow(Flow::BudgetDenied), 1_001);
    })
    .unwrap();
}

#[test]
fn a_bucket_that_successes_pay_into_gets_nothing_from_failures() {
    let settings = bucket(0.5, Deposit::Success, 2);
    let budget = Budget::default();
    let drain = || {
        let mut call = budget.begin(Some(&settings));
        std::iter::from_fn(|| call.withdraw(Some(&settings)).then_some(())).count()
    };
    assert_eq!(drain(), 2, "it is full at the start");
    assert_eq!(drain(), 0);
    for _ in 0..3 {
        budget.begin(Some(&settings)).succeeded(Some(&settings));
    }
    assert_eq!(drain(), 1, "three halves");
    budget.begin(Some(&settings)).succeeded(Some(&settings));
    assert_eq!(drain(), 1, "the half that was left, and another");
}

#[test]
fn through_the_chain_only_correct_answers_pay_in_where_successes_do() {
    let json = r#"{"retry": {"attempts": 100},
                   "retry_budget": {"token_bucket": {"deposit": 0.5, "per": "success", "capacity": 1}}}"#;
    let good = 2..6;
    simulate(async {
        // The first call uses the one token up; then four successes, two of which fit in; then failures.
        let script = Script::new(move |n, _| {
            let outcome = if good.contains(&n) { FINE } else { error(CallError::Failed) };
            (Duration::ZERO, outcome)
        });
        let rig = Rig::new(json, &script);
        let mut outcomes = Vec::new();
        for i in 0..7 {
            outcomes.push(rig.call(i).await.is_ok());
        }
        assert_eq!(outcomes, [false, true, true, true, true, false, false]);
        assert_eq!(rig.flow(Flow::Retries), 2);
    })
    .unwrap();
}

#[test]
fn a_bucket_made_smaller_keeps_no_more_than_it_holds() {
    let budget = Budget::default();
    let (large, small) = (bucket(0.0, Deposit::Call, 100), bucket(0.0, Deposit::Call, 3));
    assert!(budget.begin(Some(&large)).withdraw(Some(&large)));
    let mut call = budget.begin(Some(&small));
    assert_eq!(std::iter::from_fn(|| call.withdraw(Some(&small)).then_some(())).count(), 3);
}

#[test]
fn a_share_that_is_just_reached_is_allowed_at_every_percentage() {
    for percent in 1..=100_u32 {
        let settings = share(f64::from(percent) / 100.0, 0);
        let budget = Budget::default();
        let mut calls: Vec<_> = (0..100).map(|_| budget.begin(Some(&settings))).collect();
        let granted =
            calls.iter_mut().filter_map(|call| call.withdraw(Some(&settings)).then_some(())).count();
        assert_eq!(granted, percent as usize);
    }
}

#[test]
fn a_call_that_retries_again_is_still_one_retrying_call() {
    let settings = share(0.0, 1);
    let budget = Budget::default();
    let (mut first, mut second) = (budget.begin(Some(&settings)), budget.begin(Some(&settings)));
    assert!((0..5).all(|_| first.withdraw(Some(&settings))));
    assert!(!second.withdraw(Some(&settings)));
    drop(first);
    assert!(second.withdraw(Some(&settings)));
}

#[test]
fn without_a_budget_or_with_one_switched_off_every_retry_is_allowed() {
    let off = RetryBudget { enabled: false, ..share(0.0, 0) };
    let budget = Budget::default();
    for settings in [None, Some(&off)] {
        let mut call = budget.begin(settings);
        assert!((0..1_000).all(|_| call.withdraw(settings)));
    }
    assert_eq!(budget.active(), (0, 0));
}
