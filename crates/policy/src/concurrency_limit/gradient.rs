//! Envoy's gradient: the limit follows the ratio of the latency without a queue to the present one, plus room
//! for a burst. The latency without a queue is measured from time to time, by letting only a few calls through
//! for as long as that takes.
//!
//! It is measured of the service as it is then. When that is during an outage, the outage becomes the measure
//! until the next time.
//!
//! Prevents and can cause: see [`super`]. It must not know calls or clocks. Envoy's timers are looked at
//! whenever a call comes or ends.

use std::time::Duration;

use pumphandle_core::time::Time;
use pumphandle_core::{Dur, Share};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Sample, Wrong, wrong_bounds};

/// Settings of the gradient with a measured minimum, with the defaults of Envoy's adaptive concurrency filter
/// (`gradient_controller.cc`, commit 054694f); `every` and `update` have none there, and are those of the
/// example in its documentation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gradient {
    /// The lowest limit, and how many are let through while the shortest latency is measured: from 1 to 1000000.
    /// 3 if absent.
    #[serde(default = "three")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub min: u32,
    /// The highest limit, from 1 to 1000000. 1000 if absent.
    #[serde(default = "thousand")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max: u32,
    /// How often the limit is set anew, such as 100ms, which it is if absent.
    #[serde(default = "tenth_of_a_second")]
    pub update: Dur,
    /// Which quantile of the latencies counts, such as 90%. The median if absent.
    #[serde(default = "half")]
    pub quantile: Share,
    /// How long until the shortest latency is measured again, such as 60s, which it is if absent.
    #[serde(default = "a_minute")]
    pub every: Dur,
    /// By how much that is put off at random, as a share of `every`. 15% if absent.
    #[serde(default = "fifteen_percent")]
    pub jitter: Share,
    /// How many answers make a measurement, from 1 to 100000. 50 if absent.
    #[serde(default = "fifty")]
    #[schemars(range(min = 1, max = 100_000))]
    pub requests: u32,
    /// How much slower than the shortest is not yet slow, as a share of it. 25% if absent.
    #[serde(default = "a_quarter")]
    pub buffer: Share,
}

fn three() -> u32 {
    3
}

fn thousand() -> u32 {
    1_000
}

fn tenth_of_a_second() -> Dur {
    Dur(Duration::from_millis(100))
}

fn half() -> Share {
    Share(0.5)
}

fn a_minute() -> Dur {
    Dur(Duration::from_secs(60))
}

fn fifteen_percent() -> Share {
    Share(0.15)
}

fn fifty() -> u32 {
    50
}

fn a_quarter() -> Share {
    Share(0.25)
}

/// This many updates at the lowest limit suggest that the shortest latency was measured wrongly.
const AT_MINIMUM: u32 = 5;

/// What the algorithm remembers.
#[derive(Clone, Debug)]
pub struct State {
    limit: u32,
    /// The limit to go back to, while the shortest latency is measured.
    set_aside: Option<u32>,
    shortest_ns: f64,
    /// When its last measurement began: what began earlier says nothing of it.
    since: Time,
    measure_at: Time,
    update_at: Time,
    at_minimum: u32,
    latencies: Vec<u64>,
}

impl State {
    /// Begins with a measurement.
    pub fn new(settings: &Gradient, at: Time) -> State {
        State {
            limit: settings.min,
            set_aside: Some(settings.min),
            shortest_ns: 0.0,
            since: at,
            measure_at: at,
            update_at: at + settings.update.0,
            at_minimum: 0,
            latencies: Vec::new(),
        }
    }

    /// How many may be under way.
    pub fn limit(&self, settings: &Gradient) -> u32 {
        self.limit.min(settings.max).max(settings.min)
    }

    /// Whether the shortest latency is being measured.
    pub fn is_measuring(&self) -> bool {
        self.set_aside.is_some()
    }

    /// What was due at `at` or before.
    pub fn look(&mut self, settings: &Gradient, at: Time) {
        if self.is_measuring() {
            return;
        }
        if at >= self.measure_at {
            return self.measure(settings, at);
        }
        if at >= self.update_at {
            self.update_at = at + settings.update.0;
            if !self.latencies.is_empty() {
                let before = self.limit;
                self.limit = self.new_limit(settings);
                let stays = before == settings.min && self.limit == settings.min;
                self.at_minimum = if stays { self.at_minimum + 1 } else { 0 };
                if self.at_minimum >= AT_MINIMUM {
                    self.measure(settings, at);
                }
            }
        }
    }

    fn measure(&mut self, settings: &Gradient, at: Time) {
        self.set_aside = Some(self.limit);
        self.limit = settings.min;
        self.at_minimum = 0;
        self.latencies.clear();
        self.since = at;
    }

    fn new_limit(&mut self, settings: &Gradient) -> u32 {
        let shortest = self.shortest_ns * (1.0 + settings.buffer.0);
        let gradient = (shortest / self.latency(settings)).clamp(0.5, 2.0);
        let limit = f64::from(self.limit) * gradient;
        ((limit + limit.sqrt()) as u32).min(settings.max).max(settings.min)
    }

    /// The quantile of what was gathered, which is forgotten.
    fn latency(&mut self, settings: &Gradient) -> f64 {
        self.latencies.sort_unstable();
        let n = self.latencies.len();
        let place = ((settings.quantile.0 * n as f64).ceil() as usize).clamp(1, n) - 1;
        let latency = self.latencies[place] as f64;
        self.latencies.clear();
        latency
    }

    /// A call has ended. `u` is a uniform draw, for when to measure next.
    pub fn update(&mut self, settings: &Gradient, sample: &Sample, u: f64) {
        self.look(settings, sample.ended);
        let began = Time::from_nanos(sample.ended.nanos().saturating_sub(sample.took.as_nanos() as u64));
        if began < self.since || sample.took.is_zero() {
            return;
        }
        self.latencies.push(sample.took.as_nanos() as u64);
        if let Some(limit) = self.set_aside
            && self.latencies.len() >= settings.requests as usize
        {
            self.shortest_ns = self.latency(settings);
            self.limit = limit;
            self.set_aside = None;
            self.measure_at = sample.ended + settings.every.0.mul_f64(1.0 + settings.jitter.0 * u);
            self.update_at = sample.ended + settings.update.0;
        }
    }
}

impl Gradient {
    pub(super) fn check(&self) -> Vec<Wrong> {
        let mut wrong = wrong_bounds(self.min, self.min, self.max);
        for (field, dur) in [("update", self.update), ("every", self.every)] {
            if dur.0.is_zero() {
                wrong.push(Wrong::at(field, "at every instant is too often: give it a length"));
            }
        }
        wrong
    }
}
