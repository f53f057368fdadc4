//! What can be said of a service's rows, and what is wrong with what was said.

use std::time::Duration;

use pumphandle_core::{Dur, Share};
use pumphandle_policy::Wrong;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cache::settings::Keys;

/// Locks on rows. A call locks its rows one after the other, does an even part of its own work after each, and gives all
/// back when it ends. Each replica has rows of its own.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Locks {
    /// How many rows there are, from 1 to 1000000.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub rows: u32,
    /// How much more popular some are than others: the k-th most popular one is locked in proportion to 1 / k^exponent
    /// (Zipf's law), from 0 (all alike) to 10. 0 if absent.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 10.0))]
    pub exponent: f64,
    /// How many rows a call locks, 1 or 2; with 2 there can be deadlocks. One if absent.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    #[schemars(range(min = 1, max = 2))]
    pub per_call: u32,
    /// How many of the calls lock anything, such as 20%. All if absent.
    #[serde(default = "all", skip_serializing_if = "is_all")]
    pub share: Share,
    /// A call that has waited so long for one row fails, such as 50s (`lock_timeout` of PostgreSQL, and
    /// `innodb_lock_wait_timeout`, which is 50s unless set). It waits as long as it takes if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_timeout: Option<Dur>,
    /// A call that has waited so long for one row looks whether it waits for itself, through others, and fails if it
    /// does. 0s is at once, as InnoDB does. 1s if absent, as in PostgreSQL.
    #[serde(default = "a_second", skip_serializing_if = "is_a_second")]
    pub deadlock_timeout: Dur,
    /// Calls lock rows in one order that is the same for all, so that none can wait for itself. In the order in which
    /// they come to them if absent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ordered: bool,
}

/// Rows that are read when a call's work begins, and written when it ends, unless another call has written the row in
/// between: then it fails. Each replica has rows of its own.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Optimistic {
    /// How many rows there are, from 1 to 1000000.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub rows: u32,
    /// How much more popular some are than others: the k-th most popular one is asked for in proportion to
    /// 1 / k^exponent (Zipf's law), from 0 (all alike) to 10. 0 if absent.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 10.0))]
    pub exponent: f64,
}

fn one() -> u32 {
    1
}

fn is_one(count: &u32) -> bool {
    *count == 1
}

fn all() -> Share {
    Share(1.0)
}

fn is_all(share: &Share) -> bool {
    share.0 == 1.0
}

fn a_second() -> Dur {
    Dur(Duration::from_secs(1))
}

fn is_a_second(dur: &Dur) -> bool {
    *dur == a_second()
}

fn check_rows(rows: u32, exponent: f64) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    if !(1..=1_000_000).contains(&rows) {
        wrong.push(Wrong::at("rows", "there are 1 to 1000000 rows"));
    }
    if !(0.0..=10.0).contains(&exponent) {
        wrong.push(Wrong::at("exponent", "the exponent lies between 0 and 10"));
    }
    wrong
}

impl Locks {
    /// Its rows, by popularity.
    pub fn keys(&self) -> Keys {
        Keys { count: self.rows, exponent: self.exponent }
    }

    /// What the shape alone does not refuse.
    pub fn check(&self) -> Vec<Wrong> {
        let mut wrong = check_rows(self.rows, self.exponent);
        if !(1..=2).contains(&self.per_call) {
            wrong.push(Wrong::at("per_call", "a call locks 1 or 2 rows"));
        }
        if self.per_call == 1 && self.ordered {
            wrong.push(Wrong::at("ordered", "a call that locks one row has no order: say `per_call: 2`"));
        }
        if self.wait_timeout.is_some_and(|it| it.0.is_zero()) {
            wrong.push(Wrong::at("wait_timeout", "it would never wait: a wait takes time, such as 5s"));
        }
        wrong
    }
}

impl Optimistic {
    /// Its rows, by popularity.
    pub fn keys(&self) -> Keys {
        Keys { count: self.rows, exponent: self.exponent }
    }

    /// What the shape alone does not refuse.
    pub fn check(&self) -> Vec<Wrong> {
        check_rows(self.rows, self.exponent)
    }
}
