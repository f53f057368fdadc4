//! Retry budgets when everything fails, which is when they matter.

use std::collections::BTreeMap;

use pumphandle_core::draws::Path;
use pumphandle_core::events::{self, EventKind};
use pumphandle_core::meter::Flow;

use super::bench::{Seen, SetUp};
use super::row::{Question, Row};
use super::{Law, Size};

/// See the module.
pub(super) struct RetryBudget;

const FILE: (&str, &str) = ("laws/retry-budget.yaml", include_str!("../../../../laws/retry-budget.yaml"));

const DEPOSITS: [&str; 2] = ["2%", "10%"];
const SHARE: &str = "20%";

impl Law for RetryBudget {
    fn name(&self) -> &'static str {
        "Retry budgets"
    }

    fn says(&self) -> &'static str {
        "When every attempt fails, a token bucket that is paid d per call lets d retries per call through: \
         tokens are neither made nor lost, so that over any stretch retries and d times calls differ by less \
         than one token and what one more call would pay. A budget of a share of the calls under way admits no \
         retry that would bring the retries under way above it; this is recomputed from the event log at \
         every retry."
    }

    fn set_ups(&self, size: Size) -> Vec<SetUp> {
        let end = format!("duration={}s", if size == Size::Full { 60 } else { 10 });
        let mut set_ups: Vec<SetUp> = DEPOSITS
            .iter()
            .map(|deposit| {
                let budget = format!("client.retry_budget={{ token_bucket: {{ deposit: {deposit} }} }}");
                SetUp::new(format!("token bucket, {deposit}"), FILE, &[end.clone(), budget])
            })
            .collect();
        let budget = format!("client.retry_budget={{ share_of_active: {{ share: {SHARE} }} }}");
        set_ups.push(SetUp::new(format!("share of active calls, {SHARE}"), FILE, &[end, budget]).with_log());
        set_ups
    }

    fn rows(&self, set_ups: &[SetUp], seen: &[Vec<Seen>]) -> Vec<Row> {
        set_ups.iter().zip(seen).flat_map(|(set_up, seen)| of_one(set_up, seen)).collect()
    }
}

fn of_one(set_up: &SetUp, seen: &[Seen]) -> Vec<Row> {
    let client = &set_up.scenario.services[0].with;
    let budget = client.retry_budget.as_ref().expect("the law's client has a budget");
    let case = &set_up.case;
    if let Some(bucket) = &budget.token_bucket {
        let deposit = bucket.deposit.0;
        let of = |run: &Seen| (run.flow(0, Flow::Retries), run.flow(0, Flow::Calls));
        let off = |run: &Seen| {
            let (retries, calls) = of(run);
            (retries - deposit * calls).abs()
        };
        let per_call: Vec<f64> = seen.iter().map(|run| of(run).0 / of(run).1).collect();
        let worst = seen.iter().map(off).fold(0.0, f64::max);
        return vec![
            Question::value(case, "retries per call", "", deposit, 0.01).answered(&per_call),
            Question::bounds(case, "retries less what was paid in (worst run)", "tokens", 0.0, 1.0 + deposit)
                .exactly(worst, seen.len()),
        ];
    }
    let share = budget.share_of_active.as_ref().expect("a budget is one of the two").share.0;
    let attempts = client.retry.as_ref().map_or(1, |retry| retry.attempts);
    let worst =
        seen.iter().filter_map(|run| largest_share(run.log.as_deref()?, attempts)).fold(0.0, f64::max);
    vec![
        Question::bounds(
            case,
            "retries under way per call under way, when one is admitted (largest of all)",
            "",
            // It has to come close, or the budget was never at its limit and nothing was tested.
            0.95 * share,
            share,
        )
        .exactly(worst, seen.len()),
    ]
}

/// The largest share of calls under way that are retrying, at any moment at which a retry is sent. A call is
/// under way from its first attempt to its end, and retrying from its first retry on. None without retries.
fn largest_share(log: &[u8], attempts: u32) -> Option<f64> {
    // By arrival: whether the call is retrying.
    let mut under_way: BTreeMap<u64, bool> = BTreeMap::new();
    let mut retrying = 0_u64;
    let mut largest = None;
    for event in events::read(log) {
        let event = event.expect("a log that was just written can be read");
        match (event.kind, event.service) {
            (EventKind::Arrived, 0) => drop(under_way.insert(event.a, false)),
            (EventKind::Resolved, _) => {
                retrying -= u64::from(under_way.remove(&event.a).unwrap_or(false));
            }
            (EventKind::Arrived, 1) => {
                let call = Path::of_arrival(event.a).call(0);
                let attempt = (0..attempts).find(|&attempt| call.attempt(attempt).id() == event.b);
                if attempt.expect("the server is reached by attempts of the client only") > 0 {
                    let before = under_way.insert(event.a, true).expect("a call that retries is under way");
                    retrying += u64::from(!before);
                    let share = retrying as f64 / under_way.len() as f64;
                    largest = Some(largest.map_or(share, |other: f64| other.max(share)));
                }
            }
            _ => {}
        }
    }
    largest
}
