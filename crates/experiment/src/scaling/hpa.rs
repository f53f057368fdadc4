//! The decision of the Horizontal Pod Autoscaler of Kubernetes, as pure functions of what it knows and of the
//! instant. They follow `pkg/controller/podautoscaler` of Kubernetes 1.33: `replica_calculator.go` (how many replicas
//! a metric proposes, and which replicas are not looked at) and `horizontal.go` (stabilization, policies, limits). Words
//! are this project's: pods are replicas, unready ones are set aside.
//!
//! What it must not do is look at a clock, at a stack, or at anything but its arguments.

use std::time::Duration;

use pumphandle_core::time::Time;

use crate::scenario::autoscalers::{Autoscaler, Behaviour, ScalingPolicy, Select};

/// One replica, as the controller knows it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pod {
    /// When it was started.
    pub started: Time,
    /// Whether it takes calls.
    pub ready: bool,
    /// Since when it does, or does not.
    pub since: Time,
    /// What is known of the processors it uses; none if nothing is.
    pub usage: Option<Usage>,
}

/// The use of processors by one replica.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usage {
    /// Thousandths of a processor, in the mean of the window: Kubernetes counts in whole ones.
    pub milli: i64,
    /// The end of the window.
    pub at: Time,
    /// Its length.
    pub window: Duration,
}

/// What one metric proposes; `None` if nothing is known.
pub type Proposal = Option<u32>;

/// How many replicas the use of processors proposes (`GetResourceReplicas`). `requested` is what each asks for, in
/// thousandths of a processor; `target` the use that is wanted, in whole percent.
pub fn by_cpu(
    it: &Autoscaler,
    current: u32,
    requested: i64,
    pods: &[Pod],
    target: i64,
    now: Time,
) -> Proposal {
    let groups = Groups::of(it, pods, now);
    let mut usages: Vec<i64> = groups.looked_at;
    let looked_at = usages.len();
    let ratio = ratio(&usages, requested, target)?;
    let (unready, missing) = (groups.unready, groups.missing);
    let up_with_unready = unready > 0 && ratio > 1.0;
    if !up_with_unready && missing == 0 {
        return Some(if within(it, ratio) { current } else { ceil(ratio * looked_at as f64) });
    }
    // A replica of which nothing is known is taken to use all it asked for when it could be taken away, and nothing
    // when another could be added. One that is not ready is taken to use nothing when another could be added.
    if ratio < 1.0 {
        usages.extend(std::iter::repeat_n(requested * target.max(100) / 100, missing));
    } else if ratio > 1.0 {
        usages.extend(std::iter::repeat_n(0, missing));
    }
    if up_with_unready {
        usages.extend(std::iter::repeat_n(0, unready));
    }
    let again = self::ratio(&usages, requested, target)?;
    let turned = ratio < 1.0 && again > 1.0 || ratio > 1.0 && again < 1.0;
    if within(it, again) || turned {
        return Some(current);
    }
    let wanted = ceil(again * usages.len() as f64);
    let against = again < 1.0 && wanted > current || again > 1.0 && wanted < current;
    Some(if against { current } else { wanted })
}

/// How many replicas a backlog proposes (`GetExternalPerPodMetricReplicas`).
pub fn by_backlog(it: &Autoscaler, current: u32, backlog: f64, per_replica: f64) -> Proposal {
    let ratio = backlog / (per_replica * f64::from(current.max(1)));
    Some(if within(it, ratio) { current } else { ceil(backlog / per_replica) })
}

/// The largest of the proposals. If one is not known, nothing is taken away (`computeReplicasForMetrics`).
pub fn largest(current: u32, proposals: &[Proposal]) -> Proposal {
    let largest = proposals.iter().copied().flatten().max()?;
    let all_known = proposals.iter().all(Option::is_some);
    (all_known || largest >= current).then_some(largest)
}

/// Replicas by what can be said of them (`groupPods`).
struct Groups {
    /// Thousandths of a processor used by each that is looked at.
    looked_at: Vec<i64>,
    unready: usize,
    missing: usize,
}

impl Groups {
    fn of(it: &Autoscaler, pods: &[Pod], now: Time) -> Groups {
        let mut groups = Groups { looked_at: Vec::new(), unready: 0, missing: 0 };
        for pod in pods {
            let Some(usage) = pod.usage else {
                groups.missing += 1;
                continue;
            };
            let unready = if pod.started + it.cpu_initialization_period.0 > now {
                // It may still be starting: its use counts when it was ready for the whole window.
                !pod.ready || usage.at < pod.since + usage.window
            } else {
                // It has never been ready.
                !pod.ready && pod.started + it.initial_readiness_delay.0 > pod.since
            };
            if unready {
                groups.unready += 1;
            } else {
                groups.looked_at.push(usage.milli);
            }
        }
        groups
    }
}

/// What is used over what is wanted. The percentage is cut to a whole one, as Kubernetes does.
fn ratio(usages: &[i64], requested: i64, target: i64) -> Option<f64> {
    let used: i64 = usages.iter().sum();
    let asked = requested * usages.len() as i64;
    (asked > 0).then(|| (used * 100 / asked) as f64 / target as f64)
}

fn within(it: &Autoscaler, ratio: f64) -> bool {
    // As Kubernetes compares: 1.1 is within a tenth, which its distance from 1 is not, by rounding.
    1.0 - it.tolerance.0 <= ratio && ratio <= 1.0 + it.tolerance.0
}

fn ceil(x: f64) -> u32 {
    x.ceil() as u32
}

/// What it remembers from one decision to the next.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// Every proposal, and when it was made.
    proposals: Vec<(Time, u32)>,
    /// By how much the number went up, and when.
    ups: Vec<(Time, u32)>,
    /// By how much it went down, and when.
    downs: Vec<(Time, u32)>,
}

impl Memory {
    /// How many replicas there are to be, where `proposed` were proposed and there are `current`
    /// (`normalizeDesiredReplicasWithBehaviors`).
    pub fn decide(&mut self, it: &Autoscaler, current: u32, proposed: Proposal, now: Time) -> u32 {
        if current > it.max {
            return self.done(it, current, it.max, now);
        }
        if current < it.min {
            return self.done(it, current, it.min, now);
        }
        let Some(proposed) = proposed else { return current };
        if self.proposals.is_empty() {
            // What there is when it begins counts as a proposal: a new controller takes nothing away at once.
            self.proposals.push((now, current));
        }
        let stable = self.stabilized(it, current, proposed, now);
        self.proposals.push((now, proposed));
        let wanted = match stable.cmp(&current) {
            std::cmp::Ordering::Greater => stable.min(it.max).min(self.up_limit(&it.up, current, now)),
            std::cmp::Ordering::Less => stable.max(it.min).max(self.down_limit(&it.down, current, now)),
            std::cmp::Ordering::Equal => current,
        };
        self.done(it, current, wanted, now)
    }

    /// Between the lowest proposal of the window upwards and the highest of the window downwards.
    fn stabilized(&self, it: &Autoscaler, current: u32, proposed: u32, now: Time) -> u32 {
        let within = |window: Duration| {
            self.proposals.iter().filter(move |(at, _)| *at + window > now).map(|(_, it)| *it)
        };
        let up = within(it.up.stabilization.0).fold(proposed, u32::min);
        let down = within(it.down.stabilization.0).fold(proposed, u32::max);
        current.max(up).min(down)
    }

    fn up_limit(&self, behaviour: &Behaviour, current: u32, now: Time) -> u32 {
        let allowed = |policy: &ScalingPolicy| {
            let start = self.at_start_of(policy, current, now);
            match (policy.replicas, policy.percent) {
                (Some(replicas), _) => start + i64::from(replicas),
                (None, percent) => (start as f64 * (1.0 + percent.unwrap_or(0.0) / 100.0)).ceil() as i64,
            }
        };
        let all = behaviour.policies.iter().map(allowed);
        let limit = match behaviour.select {
            Select::Disabled => return current,
            Select::Max => all.max(),
            Select::Min => all.min(),
        };
        limit.map_or(u32::MAX, |limit| limit.max(i64::from(current)) as u32)
    }

    fn down_limit(&self, behaviour: &Behaviour, current: u32, now: Time) -> u32 {
        let allowed = |policy: &ScalingPolicy| {
            let start = self.at_start_of(policy, current, now);
            match (policy.replicas, policy.percent) {
                (Some(replicas), _) => start - i64::from(replicas),
                (None, percent) => (start as f64 * (1.0 - percent.unwrap_or(0.0) / 100.0)) as i64,
            }
        };
        let all = behaviour.policies.iter().map(allowed);
        let limit = match behaviour.select {
            Select::Disabled => return current,
            Select::Max => all.min(),
            Select::Min => all.max(),
        };
        limit.map_or(0, |limit| limit.clamp(0, i64::from(current)) as u32)
    }

    /// How many replicas there were when the period of `policy` began.
    fn at_start_of(&self, policy: &ScalingPolicy, current: u32, now: Time) -> i64 {
        let within = |changes: &[(Time, u32)]| -> i64 {
            let recent = changes.iter().filter(|(at, _)| *at + policy.per.0 > now);
            recent.map(|(_, by)| i64::from(*by)).sum()
        };
        i64::from(current) - within(&self.ups) + within(&self.downs)
    }

    fn done(&mut self, it: &Autoscaler, current: u32, wanted: u32, now: Time) -> u32 {
        match wanted.cmp(&current) {
            std::cmp::Ordering::Greater => self.ups.push((now, wanted - current)),
            std::cmp::Ordering::Less => self.downs.push((now, current - wanted)),
            std::cmp::Ordering::Equal => {}
        }
        let per = |behaviour: &Behaviour| behaviour.policies.iter().map(|it| it.per.0).max();
        let longest = per(&it.up).max(per(&it.down)).unwrap_or_default();
        let window = it.up.stabilization.0.max(it.down.stabilization.0);
        self.ups.retain(|(at, _)| *at + longest > now);
        self.downs.retain(|(at, _)| *at + longest > now);
        // The newest is kept: that there was one tells a controller at work from one that begins.
        let newest = self.proposals.last().copied();
        self.proposals.retain(|entry| entry.0 + window > now || Some(*entry) == newest);
        wanted
    }
}

#[cfg(test)]
mod tests;
