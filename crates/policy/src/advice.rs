//! Advice, on the way in: a service that refuses says when to come back, or not to.
//!
//! Prevents: retries that come while there is still no room, each of which has to be refused again; and, by
//! "do not retry", the multiplication of retries through layers: a layer whose callee is overloaded passes
//! the word up instead of trying again ("overloaded; don't retry", Google, "Site Reliability Engineering",
//! 2016, chapter 21). Only callers that heed it are helped (`retry.honour_advice`), and only a refusal can
//! carry it: a service that is too late to refuse is too late to advise.
//!
//! Can cause: a second wave. Whoever was refused in one instant and told the same time comes back in one
//! instant, finds as little room, and is told the same time again: a service that is idle in between, and
//! full on every multiple of it. `scenarios/policies/retry-after-without-spread.yaml`. Hence `spread`, and
//! hence the caller's own backoff comes on top of the advised time and not instead of it. And "do not retry"
//! turns a refusal by one unlucky replica into an error for the user, though its neighbour had room.
//!
//! Advice is left beside the refusal, in the place that the caller brought ([`AdviceSlot`]); over HTTP it is
//! `Retry-After` (RFC 9110, section 10.2.3), in whole seconds, with the milliseconds in a header of our own.
//! Where several layers pass it on, it is that of the innermost refusal.
//!
//! [`AdviceSlot`]: pumphandle_core::call::AdviceSlot

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pumphandle_core::call::Advice;
use pumphandle_core::{Dur, Share, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Settings, Wrong, yes};

/// What a service adds to its refusals: exactly one of `retry_after`, `when_drained` and `do_not_retry`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RefusalAdvice {
    /// On or off. On if absent.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Come back after this long, such as 2s. Another kind if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<Dur>,
    /// Come back when what is waiting now will have been served. Another kind if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when_drained: Option<WhenDrained>,
    /// Do not come back. Another kind if absent.
    #[serde(default)]
    pub do_not_retry: bool,
    /// By how much the advised times differ: with 50%, they lie between the time and half as much again. They
    /// are all the same if absent.
    #[serde(default)]
    pub spread: Share,
}

/// The time that a service needs for what it holds: the number of calls inside, by how many leave per second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WhenDrained {
    /// The longest time that is advised, also when nothing leaves: such as 30s.
    pub at_most: Dur,
}

impl Settings for RefusalAdvice {
    fn check(&self) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        let kinds = [self.retry_after.is_some(), self.when_drained.is_some(), self.do_not_retry];
        if kinds.iter().filter(|is| **is).count() != 1 {
            let message = "advice is one of `retry_after`, `when_drained` and `do_not_retry`";
            wrong.push(Wrong::at("", message));
        }
        for (field, time) in [
            ("retry_after", self.retry_after),
            ("when_drained.at_most", self.when_drained.as_ref().map(|it| it.at_most)),
        ] {
            if time.is_some_and(|time| time.0.is_zero()) {
                wrong.push(Wrong::at(field, "to come back at once is no advice: 2s, say"));
            }
        }
        if self.do_not_retry && self.spread.0 > 0.0 {
            wrong.push(Wrong::at("spread", "there is no time that could be spread"));
        }
        wrong
    }
}

impl RefusalAdvice {
    /// What a refusal says now; nothing when switched off. `backlog` is how many calls are waiting or being
    /// worked on, `outflow_per_s` how many of them end per second, `u` a uniform draw.
    ///
    /// Whole milliseconds, rounded up, on every wire: that is what its header holds.
    pub fn now(&self, backlog: u64, outflow_per_s: Option<f64>, u: f64) -> Option<Advice> {
        if !self.enabled {
            return None;
        }
        if self.do_not_retry {
            return Some(Advice::DoNotRetry);
        }
        let time = match &self.when_drained {
            Some(WhenDrained { at_most }) => {
                let drained_s = backlog as f64 / outflow_per_s.unwrap_or(0.0);
                if drained_s < at_most.secs_f64() { Duration::from_secs_f64(drained_s) } else { at_most.0 }
            }
            None => self.retry_after?.0,
        };
        let ms = (time.as_secs_f64() * (1.0 + self.spread.0 * u) * 1e3).ceil();
        Some(Advice::RetryAfter(Duration::from_millis(ms as u64)))
    }
}

/// How many leave a service per second, looked at once a second at most.
#[derive(Debug, Default)]
pub struct Outflow(Mutex<Seen>);

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    at: Time,
    left: u64,
    per_s: Option<f64>,
}

impl Outflow {
    /// The rate since the last look; `left` is how many have left since the start of the run. None in the
    /// first second of it.
    pub fn per_s(&self, at: Time, left: u64) -> Option<f64> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = at.since(seen.at).as_secs_f64();
        if passed >= 1.0 {
            let per_s = Some(left.saturating_sub(seen.left) as f64 / passed);
            *seen = Seen { at, left, per_s };
        }
        seen.per_s
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn advice(json: &str) -> RefusalAdvice {
        serde_json::from_str(json).unwrap()
    }

    fn after(ms: u64) -> Option<Advice> {
        Some(Advice::RetryAfter(Duration::from_millis(ms)))
    }

    proptest! {
        #[test]
        fn advised_times_fill_their_spread_and_never_exceed_it(
            ms in 1_u64..100_000, spread in 0.0_f64..=1.0, u in 0.0_f64..1.0, backlog: u32, outflow in 0.0_f64..1e6,
        ) {
            let fixed = advice(&format!(r#"{{"retry_after": "{ms}ms", "spread": {spread}}}"#));
            let drained = advice(&format!(r#"{{"when_drained": {{"at_most": "{ms}ms"}}, "spread": {spread}}}"#));
            let most = Duration::from_millis((ms as f64 * (1.0 + spread)).ceil() as u64);
            for (it, least) in [(fixed, Duration::from_millis(ms)), (drained, Duration::ZERO)] {
                let Some(Advice::RetryAfter(time)) = it.now(u64::from(backlog), Some(outflow), u) else {
                    panic!("it advises a time");
                };
                // A millisecond for the rounding of a product.
                prop_assert!(least <= time && time <= most + Duration::from_millis(1), "{least:?} {time:?} {most:?}");
            }
        }
    }

    #[test]
    fn a_backlog_is_advised_the_time_that_it_takes_to_drain() {
        let drained = advice(r#"{"when_drained": {"at_most": "10s"}}"#);
        assert_eq!(drained.now(500, Some(250.0), 0.9), after(2_000));
        assert_eq!(drained.now(5_000, Some(250.0), 0.9), after(10_000));
        assert_eq!(drained.now(5_000, Some(0.0), 0.9), after(10_000));
        assert_eq!(drained.now(5_000, None, 0.9), after(10_000));
        assert_eq!(drained.now(0, Some(0.0), 0.9), after(10_000), "nothing leaves: who knows");
        assert_eq!(drained.now(0, Some(1.0), 0.9), after(0));
    }

    #[test]
    fn it_says_what_it_was_told_to_and_nothing_when_switched_off() {
        assert_eq!(advice(r#"{"do_not_retry": true}"#).now(1, None, 0.5), Some(Advice::DoNotRetry));
        assert_eq!(advice(r#"{"retry_after": "1s", "spread": 0.5}"#).now(1, None, 0.5), after(1_250));
        assert_eq!(advice(r#"{"retry_after": "1s", "enabled": false}"#).now(1, None, 0.5), None);
    }

    #[test]
    fn advice_is_of_one_kind() {
        for (json, path, reason) in [
            ("{}", "", "one of"),
            (r#"{"retry_after": "1s", "do_not_retry": true}"#, "", "one of"),
            (r#"{"retry_after": "0s"}"#, "retry_after", "no advice"),
            (r#"{"when_drained": {"at_most": "0s"}}"#, "when_drained.at_most", "no advice"),
            (r#"{"do_not_retry": true, "spread": 0.5}"#, "spread", "no time"),
        ] {
            let wrong = advice(json).check();
            assert_eq!(wrong.len(), 1, "{json}: {wrong:?}");
            assert_eq!(wrong[0].path, path, "{json}");
            assert!(wrong[0].message.contains(reason), "{json}: {}", wrong[0].message);
        }
    }

    #[test]
    fn an_outflow_is_that_since_the_last_look() {
        let at = |s: f64| Time::from_secs_f64(s);
        let outflow = Outflow::default();
        assert_eq!(outflow.per_s(at(0.5), 3), None);
        assert_eq!(outflow.per_s(at(2.0), 200), Some(100.0), "since the start");
        assert_eq!(outflow.per_s(at(2.9), 999), Some(100.0), "too early for another look");
        assert_eq!(outflow.per_s(at(4.0), 300), Some(50.0));
    }
}
