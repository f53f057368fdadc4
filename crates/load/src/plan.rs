//! When users arrive. A plan is a pure function of the load's settings and the seed: every arm of a seed gets
//! the same arrivals.
//!
//! Times come from unit-rate points (exponential gaps for Poisson, whole numbers for constant arrivals)
//! pushed through the inverse of the cumulative rate, which is piecewise quadratic: the rate is a piecewise
//! linear function of time (steps, ramps, spikes).

use std::time::Duration;

use pumphandle_core::draws::{Draws, Path, Stream, exponential};
use pumphandle_core::{Dur, Rate, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::classes::{self, Classes, RequestClass};
use crate::demand::Elastic;

/// The load on a stack.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Load {
    /// How users arrive.
    pub arrivals: Arrivals,
    /// Steps and ramps of the rate, in the order of time. Open loop only. The rate stays if absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// Classes of requests by name, each with its share of the users, such as
    /// `{ point: { share: 90% }, report: { share: 10% } }`. All requests are alike if absent.
    #[serde(default, skip_serializing_if = "Classes::is_empty")]
    pub classes: Classes,
    /// Users who stay away when it is slow. Open loop only. All come if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elastic: Option<Elastic>,
}

/// How users arrive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Arrivals {
    /// Independently of each other, at this rate, such as 100/s.
    Poisson(Rate),
    /// Evenly spaced, at this rate, such as 100/s.
    Constant(Rate),
    /// In groups that arrive at one instant, the groups independently of each other.
    Bursts(Bursts),
    /// A number of users, each of whom waits for an answer, thinks, and asks again. Counting shares, not
    /// numbers: arms have unequal arrivals.
    Closed(Closed),
    /// These and no others: groups in the order of time, such as `[{ at: 0s, count: 10, class: short }]`. Within a
    /// group and between groups of one instant they come in the order in which they are written.
    Listed(Vec<Group>),
}

/// Arrivals at one instant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// When they arrive, from the start of the run, such as 10s.
    pub at: Dur,
    /// How many, from 1 to 1000000. One if absent.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub count: u32,
    /// Of which class they are, by name, which has to be said where the load has classes. All are alike if
    /// absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
}

fn one() -> u32 {
    1
}
fn is_one(count: &u32) -> bool {
    *count == 1
}

/// Arrivals in groups.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bursts {
    /// Arrivals over all groups, such as 100/s.
    pub rate: Rate,
    /// Arrivals per group, from 1 to 100000.
    #[schemars(range(min = 1, max = 100_000))]
    pub size: u32,
}

/// Users who wait for their answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Closed {
    /// How many users, from 1 to 1000000.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub users: u32,
    /// Mean of the exponential pause between an answer and the next request, such as 1s.
    pub think: Dur,
}

/// A change of the arrival rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// When it begins, from the start of the run, such as 60s.
    pub at: Dur,
    /// The rate from then on (from the ramp's end on), such as 200/s.
    pub to: Rate,
    /// How long the ramp takes; a step if absent.
    #[serde(default)]
    pub over: Dur,
}

/// The rate multiplied for a while.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spike {
    /// When it begins.
    pub from: Time,
    /// When it ends.
    pub to: Time,
    /// By how much.
    pub factor: f64,
}

impl Load {
    /// Arrivals per second at the start; `None` for closed loops, whose rate is a result, and for arrivals that are
    /// listed, which have none.
    pub fn base_rate(&self) -> Option<f64> {
        match &self.arrivals {
            Arrivals::Poisson(rate) | Arrivals::Constant(rate) => Some(rate.0),
            Arrivals::Bursts(bursts) => Some(bursts.rate.0),
            Arrivals::Closed(_) | Arrivals::Listed(_) => None,
        }
    }

    /// The arrivals that are listed, if they are.
    pub fn listed(&self) -> Option<&[Group]> {
        if let Arrivals::Listed(groups) = &self.arrivals { Some(groups) } else { None }
    }

    /// Arrivals per second in the mean of the first `duration`, traffic spikes not counted; `None` for closed loops.
    pub fn mean_rate(&self, duration: Duration) -> Option<f64> {
        let seconds = duration.as_secs_f64();
        if let Some(groups) = self.listed() {
            let due = groups.iter().filter(|group| group.at.0 < duration);
            return Some(due.map(|group| f64::from(group.count)).sum::<f64>() / seconds);
        }
        let base = self.base_rate()?;
        if self.changes.is_empty() || seconds <= 0.0 {
            return Some(base);
        }
        let expected: f64 = stretches(self, &[], seconds).iter().map(Stretch::expected).sum();
        Some(expected / seconds)
    }

    /// What the shape alone does not refuse: sentences by path.
    pub fn check(&self) -> Vec<(String, String)> {
        let mut wrong = Vec::new();
        let name = match &self.arrivals {
            Arrivals::Poisson(_) => "poisson",
            Arrivals::Constant(_) => "constant",
            Arrivals::Bursts(_) => "bursts.rate",
            Arrivals::Closed(_) => "closed",
            Arrivals::Listed(_) => "listed",
        };
        if self.base_rate() == Some(0.0) && self.changes.is_empty() {
            wrong.push((format!("arrivals.{name}"), "nobody would ever arrive".to_owned()));
        }
        if matches!(self.arrivals, Arrivals::Closed(_)) && !self.changes.is_empty() {
            wrong.push(("changes".to_owned(), "a closed loop has no rate to change".to_owned()));
        }
        if matches!(self.arrivals, Arrivals::Closed(_)) && self.elastic.is_some() {
            let message = "users of a closed loop wait for their answers: they come less often when it is slow without it";
            wrong.push(("elastic".to_owned(), message.to_owned()));
        }
        wrong.extend(self.elastic.iter().flat_map(Elastic::check));
        if let Some(groups) = self.listed() {
            wrong.extend(self.check_listed(groups));
        }
        for (i, pair) in self.changes.windows(2).enumerate() {
            let ends = pair[0].at.0 + pair[0].over.0;
            if pair[1].at.0 < ends {
                let message = format!("begins before the change above it has ended, at {}", Dur(ends));
                wrong.push((format!("changes[{}].at", i + 1), message));
            }
        }
        wrong.extend(classes::check(&self.classes).into_iter().map(|(_, text)| ("classes".to_owned(), text)));
        wrong
    }
}

impl Load {
    fn check_listed(&self, groups: &[Group]) -> Vec<(String, String)> {
        let mut wrong = Vec::new();
        let mut say = |at: String, message: String| wrong.push((at, message));
        if groups.is_empty() {
            say("arrivals.listed".to_owned(), "nobody would ever arrive".to_owned());
        }
        if !self.changes.is_empty() {
            say("changes".to_owned(), "arrivals that are listed have no rate to change".to_owned());
        }
        for (i, pair) in groups.windows(2).enumerate().filter(|(_, pair)| pair[1].at < pair[0].at) {
            let message =
                format!("is before the group above it, at {}: write them in the order of time", pair[0].at);
            say(format!("arrivals.listed[{}].at", i + 1), message);
        }
        for (i, group) in groups.iter().enumerate() {
            let at = format!("arrivals.listed[{i}]");
            let known = || self.classes.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            match &group.class {
                None if !self.classes.is_empty() => {
                    say(at, format!("of which class? add `class`; there is {}", known()));
                }
                Some(class) if self.classes.is_empty() => {
                    say(
                        format!("{at}.class"),
                        format!("the load has no class `{class}`: it has none at all"),
                    );
                }
                Some(class) if !self.classes.contains_key(class) => {
                    say(format!("{at}.class"), format!("no such class: `{class}`; there is {}", known()));
                }
                _ => {}
            }
        }
        if wrong.is_empty() {
            wrong.extend(self.check_shares(groups));
        }
        wrong
    }

    /// Shares of classes are said by the list; a file that says others contradicts itself.
    fn check_shares(&self, groups: &[Group]) -> Vec<(String, String)> {
        let count = |of: &dyn Fn(&Group) -> bool| {
            groups.iter().filter(|group| of(group)).map(|group| f64::from(group.count)).sum::<f64>()
        };
        let all = count(&|_| true);
        let share = |name: &str| count(&|group| group.class.as_deref() == Some(name)) / all;
        let differ = self.classes.iter().filter(|(name, class)| (class.share.0 - share(name)).abs() > 1e-9);
        let said = |(name, _): (&String, &RequestClass)| {
            let percent = (share(name) * 1e8).round() / 1e6;
            (
                format!("classes.{name}.share"),
                format!("of the arrivals that are listed, {percent}% are of this class"),
            )
        };
        differ.map(said).collect()
    }
}

/// A stretch of time over which the rate is linear.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    /// Seconds.
    start: f64,
    length: f64,
    /// Rate at its start and end, per second.
    from: f64,
    to: f64,
    /// Arrivals expected before it.
    before: f64,
}

impl Stretch {
    fn expected(&self) -> f64 {
        (self.from + self.to) / 2.0 * self.length
    }

    /// How far into the stretch `expected` arrivals are expected.
    fn invert(&self, expected: f64) -> f64 {
        let slope = (self.to - self.from) / self.length;
        // The root that does not cancel; also right for a constant rate.
        2.0 * expected / (self.from + (self.from * self.from + 2.0 * slope * expected).max(0.0).sqrt())
    }
}

/// The due times of an open loop, in order.
#[derive(Clone, Debug)]
pub struct Plan {
    draws: Draws,
    kind: Arrivals,
    stretches: Vec<Stretch>,
    at: usize,
    arrival: u64,
    points: f64,
    left_in_burst: u32,
    last: Time,
    end: Time,
}

impl Plan {
    /// The plan of `load` with `spikes`, from the start until `end`. Empty for closed loops.
    pub fn new(load: &Load, spikes: &[Spike], draws: Draws, end: Time) -> Plan {
        Plan {
            draws,
            kind: load.arrivals.clone(),
            stretches: stretches(load, spikes, end.secs_f64()),
            at: 0,
            arrival: 0,
            points: 0.0,
            left_in_burst: 0,
            last: Time::ZERO,
            end,
        }
    }

    /// The cumulative unit-rate point of the next arrival (or group).
    fn next_point(&mut self) -> f64 {
        let key = Path::of_arrival(self.arrival);
        let gap = |draws: &Draws| exponential(draws.uniform(Stream::Arrival, 0, key));
        match &self.kind {
            Arrivals::Poisson(_) => self.points += gap(&self.draws),
            Arrivals::Constant(_) => self.points = self.arrival as f64,
            Arrivals::Bursts(bursts) => self.points += gap(&self.draws) * f64::from(bursts.size),
            Arrivals::Closed(_) | Arrivals::Listed(_) => self.points = f64::INFINITY,
        }
        self.points
    }

    /// When the next group of a list is due, which becomes the one under way.
    fn next_group(&mut self) -> Option<Time> {
        let Arrivals::Listed(groups) = &self.kind else { return None };
        let group = groups.get(self.at)?;
        (self.at, self.left_in_burst) = (self.at + 1, group.count - 1);
        Some(Time::ZERO + group.at.0).filter(|&due| due < self.end)
    }

    fn time_of(&mut self, point: f64) -> Option<Time> {
        while let Some(stretch) = self.stretches.get(self.at) {
            if point < stretch.before + stretch.expected() {
                let seconds = stretch.start + stretch.invert(point - stretch.before);
                return Some(Time::from_secs_f64(seconds));
            }
            self.at += 1;
        }
        None
    }
}

impl Iterator for Plan {
    type Item = Time;

    fn next(&mut self) -> Option<Time> {
        if self.left_in_burst > 0 {
            self.left_in_burst -= 1;
        } else if matches!(self.kind, Arrivals::Listed(_)) {
            self.last = self.next_group()?;
        } else {
            let point = self.next_point();
            self.last = self.time_of(point)?;
            if let Arrivals::Bursts(bursts) = &self.kind {
                self.left_in_burst = bursts.size - 1;
            }
        }
        self.arrival += 1;
        Some(self.last)
    }
}

fn stretches(load: &Load, spikes: &[Spike], end: f64) -> Vec<Stretch> {
    let Some(base) = load.base_rate() else { return Vec::new() };
    let mut corners: Vec<f64> = vec![0.0, end];
    for change in &load.changes {
        corners.extend([change.at.secs_f64(), (change.at.0 + change.over.0).as_secs_f64()]);
    }
    for spike in spikes {
        corners.extend([spike.from.secs_f64(), spike.to.secs_f64()]);
    }
    corners.retain(|&corner| corner <= end);
    corners.sort_by(f64::total_cmp);
    corners.dedup();
    let mut before = 0.0;
    let mut stretches = Vec::new();
    for pair in corners.windows(2) {
        let (start, length) = (pair[0], pair[1] - pair[0]);
        let middle = start + length / 2.0;
        let factor: f64 = spikes
            .iter()
            .filter(|spike| spike.from.secs_f64() <= middle && middle < spike.to.secs_f64())
            .map(|spike| spike.factor)
            .product();
        let (from, to) = rate_over(load, base, start, pair[1]);
        let stretch = Stretch { start, length, from: from * factor, to: to * factor, before };
        before += stretch.expected();
        stretches.push(stretch);
    }
    stretches
}

/// The rate at the start and the end of a stretch within which no change begins or ends.
fn rate_over(load: &Load, base: f64, start: f64, end: f64) -> (f64, f64) {
    let mut rate = base;
    for change in &load.changes {
        let (at, over) = (change.at.secs_f64(), change.over.secs_f64());
        if at + over <= start {
            rate = change.to.0;
        } else if at < end {
            let on_ramp = |t: f64| rate + (change.to.0 - rate) * ((t - at) / over).clamp(0.0, 1.0);
            return (on_ramp(start), on_ramp(end));
        }
    }
    (rate, rate)
}

/// A closed-loop user's pause before request number `request`.
pub fn think(closed: &Closed, draws: &Draws, user: u32, request: u64) -> Duration {
    let u = draws.uniform(Stream::ThinkTime, u64::from(user), Path::of_arrival(request));
    Duration::from_nanos((closed.think.0.as_nanos() as f64 * exponential(u)).round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn secs(s: f64) -> Dur {
        Dur(Duration::from_nanos((s * 1e9) as u64))
    }

    fn times(load: &Load, spikes: &[Spike], seed: u64, end: f64) -> Vec<f64> {
        Plan::new(load, spikes, Draws::new(seed), Time::from_secs_f64(end)).map(Time::secs_f64).collect()
    }

    #[test]
    fn constant_arrivals_are_evenly_spaced() {
        let load = Load {
            arrivals: Arrivals::Constant(Rate(100.0)),
            changes: vec![],
            classes: Classes::new(),
            elastic: None,
        };
        let times = times(&load, &[], 1, 10.0);
        assert_eq!(times.len(), 1000);
        assert!(times.iter().enumerate().all(|(i, t)| (t - i as f64 / 100.0).abs() < 1e-9));
    }

    #[test]
    fn what_is_listed_arrives_and_nobody_else() {
        let group = |at: f64, count| Group { at: secs(at), count, class: None };
        let arrivals = Arrivals::Listed(vec![group(0.0, 3), group(2.5, 1), group(2.5, 2), group(9.0, 7)]);
        let load = Load { arrivals, changes: vec![], classes: Classes::new(), elastic: None };
        assert_eq!(
            times(&load, &[], 1, 9.0),
            [0.0, 0.0, 0.0, 2.5, 2.5, 2.5],
            "what is due at the end is not"
        );
        assert_eq!(times(&load, &[], 2, 9.5).len(), 13);
        assert_eq!(load.mean_rate(Duration::from_secs(12)), Some(13.0 / 12.0));
    }

    #[test]
    fn a_spike_multiplies_the_rate_and_nothing_else() {
        let load = Load {
            arrivals: Arrivals::Constant(Rate(100.0)),
            changes: vec![],
            classes: Classes::new(),
            elastic: None,
        };
        let spike = Spike { from: Time::from_secs_f64(2.0), to: Time::from_secs_f64(4.0), factor: 3.0 };
        let times = times(&load, &[spike], 1, 6.0);
        let within = |a: f64, b: f64| times.iter().filter(|&&t| t >= a && t < b).count() as i64;
        assert!((within(0.0, 2.0) - 200).abs() <= 1);
        assert!((within(2.0, 4.0) - 600).abs() <= 1);
        assert!((within(4.0, 6.0) - 200).abs() <= 1);
    }

    #[test]
    fn a_ramp_sends_the_area_under_it() {
        let change = Change { at: secs(10.0), to: Rate(300.0), over: secs(10.0) };
        let load = Load {
            arrivals: Arrivals::Constant(Rate(100.0)),
            changes: vec![change],
            classes: Classes::new(),
            elastic: None,
        };
        let times = times(&load, &[], 1, 30.0);
        let within = |a: f64, b: f64| times.iter().filter(|&&t| t >= a && t < b).count() as i64;
        assert!((within(10.0, 20.0) - 2000).abs() <= 1);
        assert!((within(20.0, 30.0) - 3000).abs() <= 1);
    }

    #[test]
    fn poisson_counts_have_the_variance_of_their_mean() {
        let load = Load {
            arrivals: Arrivals::Poisson(Rate(50.0)),
            changes: vec![],
            classes: Classes::new(),
            elastic: None,
        };
        let times = times(&load, &[], 7, 4000.0);
        let mut counts = vec![0.0_f64; 4000];
        times.iter().for_each(|&t| counts[t as usize] += 1.0);
        let mean = counts.iter().sum::<f64>() / 4000.0;
        let variance = counts.iter().map(|c| (c - mean) * (c - mean)).sum::<f64>() / 3999.0;
        assert!((mean / 50.0 - 1.0).abs() < 0.02, "mean {mean}");
        assert!((variance / mean - 1.0).abs() < 0.1, "index of dispersion {}", variance / mean);
    }

    proptest! {
        #[test]
        fn plans_are_sorted_end_in_time_and_repeat(
            rate in 1.0_f64..300.0, to in 0.0_f64..300.0, at in 0.0_f64..20.0, over in 0.0_f64..10.0,
            factor in 0.1_f64..5.0, seed in any::<u64>(), kind in 0..3,
        ) {
            let arrivals = match kind {
                0 => Arrivals::Poisson(Rate(rate)),
                1 => Arrivals::Constant(Rate(rate)),
                _ => Arrivals::Bursts(Bursts { rate: Rate(rate), size: 5 }),
            };
            let change = Change { at: secs(at), to: Rate(to), over: secs(over) };
            let load = Load { arrivals, changes: vec![change], classes: Classes::new(), elastic: None };
            let spike = Spike { from: Time::from_secs_f64(5.0), to: Time::from_secs_f64(15.0), factor };
            let first = times(&load, &[spike], seed, 20.0);
            prop_assert!(first.is_sorted());
            prop_assert!(first.iter().all(|&t| (0.0..=20.0).contains(&t)));
            prop_assert_eq!(first, times(&load, &[spike], seed, 20.0));
        }
    }
}
