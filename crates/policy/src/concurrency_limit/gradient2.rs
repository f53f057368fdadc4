//! Netflix's second gradient: the limit follows the ratio of a slow average of the latency to the present one.
//! What it takes for the latency without a queue is an average of what it saw: when a service stays slow for
//! long, that becomes the measure, and the limit grows back.
//!
//! Prevents and can cause: see [`super`]. It must not know calls or clocks.

use std::time::Duration;

use pumphandle_core::Dur;
use pumphandle_core::time::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Sample, Wrong, wrong_bounds};

/// Settings of the gradient of averages, with the defaults of Netflix concurrency-limits' `Gradient2Limit`
/// (commit 14ddfa2) in its `WindowedLimit` (commit 25a05f1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gradient2 {
    /// The limit at the start, from 1 to 1000000. 20 if absent.
    #[serde(default = "twenty")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub initial: u32,
    /// The lowest limit, from 1 to 1000000. 20 if absent.
    #[serde(default = "twenty")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub min: u32,
    /// The highest limit, from 1 to 1000000. 200 if absent.
    #[serde(default = "two_hundred")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max: u32,
    /// How much of a new estimate is taken over, from 0 to 1. 0.2 if absent.
    #[serde(default = "a_fifth")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub smoothing: f64,
    /// What the limit may grow by while nothing is slow, from 1 to 100000. 4 if absent.
    #[serde(default = "four")]
    #[schemars(range(min = 1, max = 100_000))]
    pub queue: u32,
    /// How many windows the slow average remembers, from 1 to 1000000. 600 if absent.
    #[serde(default = "six_hundred")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub long_window: u32,
    /// How long answers are gathered for one estimate, such as 100ms; with 0s, every answer is one. 1s if absent.
    #[serde(default = "one_second")]
    pub window: Dur,
    /// A window with fewer answers says nothing: from 1 to 1000000. 10 if absent.
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub window_samples: u32,
}

fn twenty() -> u32 {
    20
}

fn two_hundred() -> u32 {
    200
}

fn a_fifth() -> f64 {
    0.2
}

fn four() -> u32 {
    4
}

fn six_hundred() -> u32 {
    600
}

fn one_second() -> Dur {
    Dur(Duration::from_secs(1))
}

fn ten() -> u32 {
    10
}

/// Answers before the slow average is one with a memory: `ExpAvgMeasurement(longWindow, 10)`.
const WARM_UP: u32 = 10;
/// Faster answers are no measurement of a service: `DEFAULT_MIN_RTT_THRESHOLD`.
const FASTEST: Duration = Duration::from_micros(100);

/// What the algorithm remembers.
#[derive(Clone, Debug)]
pub struct State {
    estimate: f64,
    long_ns: f64,
    seen: u32,
    window: Window,
    next_update: Time,
}

#[derive(Clone, Debug, Default)]
struct Window {
    samples: u32,
    sum_ns: f64,
    in_flight: u32,
}

impl State {
    /// Before any answer.
    pub fn new(settings: &Gradient2) -> State {
        State {
            estimate: f64::from(settings.initial),
            long_ns: 0.0,
            seen: 0,
            window: Window::default(),
            next_update: Time::ZERO,
        }
    }

    /// How many may be under way.
    pub fn limit(&self, settings: &Gradient2) -> u32 {
        (self.estimate as u32).min(settings.max).max(settings.min)
    }

    /// A call has ended.
    pub fn update(&mut self, settings: &Gradient2, sample: &Sample) {
        if sample.took < FASTEST {
            return;
        }
        self.window.samples += 1;
        self.window.sum_ns += sample.took.as_nanos() as f64;
        self.window.in_flight = self.window.in_flight.max(sample.in_flight);
        if !settings.window.0.is_zero() && sample.ended <= self.next_update {
            return;
        }
        self.next_update = sample.ended + settings.window.0;
        let Window { samples, sum_ns, in_flight } = std::mem::take(&mut self.window);
        if settings.window.0.is_zero() || samples >= settings.window_samples {
            self.estimate(settings, sum_ns / f64::from(samples), in_flight);
        }
    }

    fn estimate(&mut self, settings: &Gradient2, short_ns: f64, in_flight: u32) {
        if self.seen < WARM_UP {
            self.seen += 1;
            self.long_ns += (short_ns - self.long_ns) / f64::from(self.seen);
        } else {
            let share = 2.0 / f64::from(settings.long_window + 1);
            self.long_ns = self.long_ns * (1.0 - share) + short_ns * share;
        }
        let long_ns = self.long_ns;
        if long_ns / short_ns > 2.0 {
            // After a long time of slowness the average would take as long to forget it.
            self.long_ns *= 0.9;
        }
        if f64::from(in_flight) < self.estimate / 2.0 {
            return;
        }
        let gradient = (long_ns / short_ns).clamp(0.5, 1.0);
        let new = self.estimate * gradient + f64::from(settings.queue);
        let new = self.estimate * (1.0 - settings.smoothing) + new * settings.smoothing;
        self.estimate = new.min(f64::from(settings.max)).max(f64::from(settings.min));
    }
}

impl Gradient2 {
    pub(super) fn check(&self) -> Vec<Wrong> {
        wrong_bounds(self.min, self.initial, self.max)
    }
}
