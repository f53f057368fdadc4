//! Demand that reacts: users who have heard that it is slow stay away. The loop that closes through the users
//! (requests raise latency, latency lowers requests) exists only with it.
//!
//! What is heard is the mean latency of everybody who was answered, with an answer or an error, weighted by
//! exp(-age / memory). Of those who would come, the share (latency / heard) ^ elasticity does, and all of them while
//! what is heard is not above `latency`: demand of constant elasticity, as economists have it (Varian,
//! Intermediate Microeconomics, chapter 15), with waiting in the place of a price. Who has no answer yet has told
//! nobody.
//!
//! Whether a user comes is decided by a draw of his own, so that arms differ only in what was heard.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pumphandle_core::draws::{Draws, Path, Stream};
use pumphandle_core::{Dur, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Users who stay away when it is slow.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Elastic {
    /// What users are used to, such as 200ms: as long as the mean is not above it, all of them come.
    pub latency: Dur,
    /// How much they mind, from 0.01 to 10: with 1, half of them come when it takes twice as long.
    #[schemars(range(min = 0.01, max = 10.0))]
    pub elasticity: f64,
    /// How long they remember, such as 30s: after it, what was heard weighs a third.
    pub memory: Dur,
}

impl Elastic {
    /// What the shape alone does not refuse: sentences by path.
    pub(crate) fn check(&self) -> Vec<(String, String)> {
        let times = [("latency", self.latency), ("memory", self.memory)];
        let zero = times.into_iter().filter(|(_, time)| time.0.is_zero());
        zero.map(|(name, _)| (format!("elastic.{name}"), "has to be longer than 0 s".to_owned())).collect()
    }
}

/// What users of one arm have heard.
#[derive(Debug)]
pub struct Demand {
    settings: Elastic,
    heard: Mutex<Heard>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Heard {
    /// Latencies by weight, seconds.
    sum: f64,
    /// Weights.
    weight: f64,
    /// Of what instant the weights are.
    at: Time,
}

impl Demand {
    /// Nobody has heard anything.
    pub fn new(settings: Elastic) -> Demand {
        Demand { settings, heard: Mutex::default() }
    }

    /// Somebody was answered at `at` after `latency`.
    pub fn answered(&self, at: Time, latency: Duration) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        // In real time two answers may come here in the other order.
        let age = at.since(heard.at.min(at)).as_secs_f64();
        let fades = libm::exp(-age / self.settings.memory.secs_f64());
        *heard = Heard {
            sum: heard.sum * fades + latency.as_secs_f64(),
            weight: heard.weight * fades + 1.0,
            at: heard.at.max(at),
        };
    }

    /// The share of users who come, from above 0 to 1.
    pub fn share(&self) -> f64 {
        let heard = *self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        // Fading changes neither of two weights more than the other: the mean stays what it was.
        let mean = if heard.weight > 0.0 { heard.sum / heard.weight } else { 0.0 };
        let used_to = self.settings.latency.secs_f64();
        if mean <= used_to { 1.0 } else { libm::pow(used_to / mean, self.settings.elasticity) }
    }

    /// Whether this user stays away.
    pub fn stays_away(&self, draws: &Draws, arrival: u64) -> bool {
        let share = self.share();
        share < 1.0 && draws.uniform(Stream::Demand, 0, Path::of_arrival(arrival)) >= share
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn demand(latency_ms: u64, elasticity: f64, memory_s: u64) -> Demand {
        let dur = |time| Dur(time);
        Demand::new(Elastic {
            latency: dur(Duration::from_millis(latency_ms)),
            elasticity,
            memory: dur(Duration::from_secs(memory_s)),
        })
    }

    fn at(seconds: f64) -> Time {
        Time::from_secs_f64(seconds)
    }

    #[test]
    fn with_an_elasticity_of_one_half_of_them_come_when_it_takes_twice_as_long() {
        let demand = demand(200, 1.0, 30);
        assert_eq!(demand.share(), 1.0, "nobody has heard anything");
        demand.answered(at(1.0), Duration::from_millis(150));
        assert_eq!(demand.share(), 1.0, "it is faster than they are used to");
        let slow = demand_after(&[(1.0, 0.4), (2.0, 0.4)]);
        assert!((slow.share() - 0.5).abs() < 1e-12);
    }

    fn demand_after(answers: &[(f64, f64)]) -> Demand {
        let demand = demand(200, 1.0, 30);
        answers
            .iter()
            .for_each(|(when, latency)| demand.answered(at(*when), Duration::from_secs_f64(*latency)));
        demand
    }

    #[test]
    fn what_was_heard_weighs_a_third_after_the_memory() {
        let demand = demand_after(&[(0.0, 1.0), (30.0, 0.2)]);
        let third = libm::exp(-1.0);
        let mean = (third + 0.2) / (third + 1.0);
        assert!((demand.share() - 0.2 / mean).abs() < 1e-9);
    }

    #[test]
    fn as_many_stay_away_as_the_share_says_and_who_does_is_his_own_draw() {
        let half = demand_after(&[(0.0, 0.4)]);
        let quarter = demand_after(&[(0.0, 0.8)]);
        let draws = Draws::new(7);
        let away =
            |demand: &Demand| (0..20_000).filter(|it| demand.stays_away(&draws, *it)).collect::<Vec<_>>();
        let (some, more) = (away(&half), away(&quarter));
        assert!((some.len() as f64 / 20_000.0 - 0.5).abs() < 0.01, "{}", some.len());
        assert!((more.len() as f64 / 20_000.0 - 0.75).abs() < 0.01, "{}", more.len());
        assert!(some.iter().all(|it| more.contains(it)), "who minds a little minds more");
    }

    proptest! {
        #[test]
        fn the_share_is_above_zero_never_above_one_and_falls_with_what_is_heard(
            latencies in prop::collection::vec((0.0_f64..100.0, 0.0_f64..50.0), 1..40), slower in 1.0_f64..5.0,
        ) {
            let mut times: Vec<f64> = latencies.iter().map(|it| it.0).collect();
            times.sort_by(f64::total_cmp);
            let heard: Vec<(f64, f64)> =
                times.iter().zip(&latencies).map(|(when, (_, latency))| (*when, *latency)).collect();
            let worse: Vec<(f64, f64)> = heard.iter().map(|(when, latency)| (*when, latency * slower)).collect();
            let (share, less) = (demand_after(&heard).share(), demand_after(&worse).share());
            prop_assert!(share > 0.0 && share <= 1.0);
            prop_assert!(less <= share + 1e-12);
        }
    }
}
