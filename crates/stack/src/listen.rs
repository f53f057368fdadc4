//! What can be said of how a service takes connections, and what is wrong with what was said: the queue that the
//! kernel keeps for it, the loop that empties the queue, and how often there is a new connection at all.
//!
//! It says nothing of requests: those wait in `queue`, behind all of this.

use std::time::Duration;

use pumphandle_core::Dur;
use pumphandle_policy::Wrong;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How connections come in. The kernel completes a connection and puts it into the accept queue, where it waits for
/// the service to accept it; its client believes itself connected. The queue holds one connection more than the
/// smaller of `backlog` and `somaxconn`. What does not fit is dropped without a word, and the client's kernel tries
/// again by its schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// Places that the service asks for, from 1 to 65535. 4096 if absent.
    #[serde(default = "longest", skip_serializing_if = "is_longest")]
    #[schemars(range(min = 1, max = 65_535))]
    pub backlog: u32,
    /// The most that the system gives (`net.core.somaxconn`), from 1 to 65535. In real time the machine's own limit
    /// holds as well. 4096 if absent, which is what Linux has since 5.4; it was 128 before.
    #[serde(default = "longest", skip_serializing_if = "is_longest")]
    #[schemars(range(min = 1, max = 65_535))]
    pub somaxconn: u32,
    /// The loop that accepts connections. It takes no time if absent.
    #[serde(default, skip_serializing_if = "Accept::is_default")]
    pub accept: Accept,
    /// Connections stay open after an answer, and later calls use them. If not, every call opens one of its own, as
    /// clients do that are told `Connection: close`. They stay open if absent.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub keep_alive: bool,
    /// When callers' kernels try again. `linear` if absent. In real time it is the machine's own.
    #[serde(default, skip_serializing_if = "SynSchedule::is_default")]
    pub syn_schedule: SynSchedule,
}

/// Who accepts connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Accept {
    /// How many connections are accepted at a time by one replica, from 1 to 1000. One if absent.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    #[schemars(range(min = 1, max = 1000))]
    pub workers: u32,
    /// What accepting one takes until its request can be read and the next one accepted, up to 1m, such as 10ms. It is
    /// waiting and not computing. No time if absent.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub takes: Dur,
}

impl Default for Accept {
    fn default() -> Accept {
        Accept { workers: 1, takes: Dur::default() }
    }
}

impl Accept {
    fn is_default(&self) -> bool {
        *self == Accept::default()
    }
}

/// When a client's kernel sends the first packet of a connection (SYN) again that nobody has answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SynSchedule {
    /// 1, 2, 3, 4, 5, 7, 11, 19, 35 and 67 s after the first: Linux since 6.5 (`net.ipv4.tcp_syn_linear_timeouts` is 4).
    #[default]
    Linear,
    /// 1, 3, 7, 15, 31 and 63 s after the first: Linux before, and others.
    Exponential,
}

impl SynSchedule {
    fn is_default(&self) -> bool {
        *self == SynSchedule::default()
    }

    /// Seconds after the first packet at which it is sent again, with `net.ipv4.tcp_syn_retries` at its default of 6.
    pub const fn again_s(self) -> &'static [u64] {
        match self {
            SynSchedule::Linear => &[1, 2, 3, 4, 5, 7, 11, 19, 35, 67],
            SynSchedule::Exponential => &[1, 3, 7, 15, 31, 63],
        }
    }

    /// When the client's kernel gives up: as long after the last as would have been to the next.
    pub const fn gives_up(self) -> Duration {
        match self {
            SynSchedule::Linear => Duration::from_secs(131),
            SynSchedule::Exponential => Duration::from_secs(127),
        }
    }
}

const LONGEST: u32 = 4096;

fn longest() -> u32 {
    LONGEST
}

fn is_longest(places: &u32) -> bool {
    *places == LONGEST
}

fn one() -> u32 {
    1
}

fn is_one(n: &u32) -> bool {
    *n == 1
}

fn yes() -> bool {
    true
}

fn is_true(it: &bool) -> bool {
    *it
}

fn is_zero(dur: &Dur) -> bool {
    dur.0.is_zero()
}

/// One connection may take as long as this to accept. Longer than any client waits for its first answer.
const SLOWEST: Duration = Duration::from_secs(60);

impl Listen {
    /// Where nothing is said: connections are accepted as they come, and stay open.
    pub const OPEN: Listen = Listen {
        backlog: LONGEST,
        somaxconn: LONGEST,
        accept: Accept { workers: 1, takes: Dur(Duration::ZERO) },
        keep_alive: true,
        syn_schedule: SynSchedule::Linear,
    };

    /// What is asked of the kernel.
    pub fn asked(&self) -> u32 {
        self.backlog.min(self.somaxconn)
    }

    /// How many connections the queue holds: Linux refuses one only when there are more than were asked for.
    pub fn places(&self) -> usize {
        self.asked() as usize + 1
    }

    /// What the shape alone does not refuse.
    pub fn check(&self) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        for (name, places) in [("backlog", self.backlog), ("somaxconn", self.somaxconn)] {
            if !(1..=65_535).contains(&places) {
                wrong.push(Wrong::at(name, "a queue of connections has 1 to 65535 places"));
            }
        }
        if !(1..=1000).contains(&self.accept.workers) {
            wrong.push(Wrong::at("accept.workers", "1 to 1000 connections are accepted at a time"));
        }
        if self.accept.takes.0 > SLOWEST {
            wrong.push(Wrong::at("accept.takes", "accepting a connection takes no longer than 1m"));
        }
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_holds_one_more_than_the_smaller_of_what_is_asked_for_and_what_is_given() {
        let of = |backlog, somaxconn| Listen { backlog, somaxconn, ..Listen::OPEN }.places();
        assert_eq!([of(4, 128), of(4096, 128), of(128, 128)], [5, 129, 129]);
    }

    #[test]
    fn the_gaps_between_packets_never_shrink_and_the_last_wait_goes_on_with_the_row() {
        for schedule in [SynSchedule::Linear, SynSchedule::Exponential] {
            let mut at: Vec<u64> = vec![0];
            at.extend(schedule.again_s());
            at.push(schedule.gives_up().as_secs());
            let gaps: Vec<u64> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
            let linear = gaps.iter().filter(|gap| **gap == 1).count();
            assert_eq!(linear, if schedule == SynSchedule::Linear { 5 } else { 1 });
            assert!(gaps[linear..].iter().zip(1_u32..).all(|(gap, k)| *gap == 2_u64.pow(k)), "{gaps:?}");
        }
    }

    #[test]
    fn what_says_nothing_is_the_same_as_what_is_absent() {
        let read: Listen = serde_json::from_str("{}").unwrap();
        assert_eq!(read, Listen::OPEN);
        assert_eq!(serde_json::to_string(&read).unwrap(), "{}");
        assert!(read.check().is_empty());
    }

    #[test]
    fn queues_loops_and_times_that_cannot_be_are_refused_under_their_names() {
        let accept = |workers, secs| Accept { workers, takes: Dur(Duration::from_secs(secs)) };
        for (wrong, path) in [
            (Listen { backlog: 0, ..Listen::OPEN }, "backlog"),
            (Listen { somaxconn: 70_000, ..Listen::OPEN }, "somaxconn"),
            (Listen { accept: accept(0, 1), ..Listen::OPEN }, "accept.workers"),
            (Listen { accept: accept(1, 61), ..Listen::OPEN }, "accept.takes"),
        ] {
            assert_eq!(wrong.check()[0].path, path);
        }
    }
}
