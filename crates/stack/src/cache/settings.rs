//! What can be said of a cache, and what is wrong with what was said.

use std::time::Duration;

use pumphandle_core::{Dur, Share};
use pumphandle_policy::Wrong;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A cache in front of the services that a service calls. Each replica has entries of its own, and loses them when
/// it restarts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cache {
    /// Switched off it is empty, and every call goes through. On if absent.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub enabled: bool,
    /// What calls ask for, and how often.
    pub keys: Keys,
    /// How many entries there is room for, from 1 to 10000000: the least recently used one goes for a new one. Room
    /// for all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub size: Option<usize>,
    /// Time to live: an entry serves so long from when it was stored, however often it is asked for, such as 1h. For
    /// ever if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Dur>,
    /// By up to what share an entry's time to live is shortened, evenly, when it is stored, such as 20%. Not at all if
    /// absent.
    #[serde(default, skip_serializing_if = "is_none")]
    pub jitter: Share,
    /// Calls that find nothing wait for a fill of their key that is under way. Each makes its own if absent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub coalesce: bool,
    /// Have an entry refreshed in the background before it is due, by chance (XFetch). Not before it is due if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub early_refresh: Option<EarlyRefresh>,
    /// Serve entries that are past their time, as degraded answers. They are not served if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serve_stale: Option<ServeStale>,
    /// A fill goes on, and is stored, when the work for the call that began it has ended: cancelled because its caller
    /// left, or killed. It is discarded with it if absent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fill_outlives_caller: bool,
    /// At the start it holds so many keys, those that are asked for most, all stored at the same instant; from 1 to
    /// 10000000, and no more than there is room for. It is empty at the start if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub warm: Option<usize>,
}

/// Keys by popularity: the k-th most popular one is asked for in proportion to 1 / k^exponent (Zipf's law).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    /// How many there are, of each class of requests, from 1 to 1000000.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub count: u32,
    /// From 0 (all are asked for as often) to 10. Web requests were found between 0.64 and 0.83 (Breslau and others,
    /// INFOCOM 1999). 0 if absent.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 10.0))]
    pub exponent: f64,
}

/// Refreshing before the end, by chance: the nearer the end and the longer a fill takes, the likelier.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EarlyRefresh {
    /// Above 1 earlier, below 1 later, from 0 to 1000000. An entry of the start counts as taking what the last fill
    /// took. 1 if absent.
    #[serde(default = "one")]
    #[schemars(range(min = 0.0, max = 1e6))]
    pub beta: f64,
}

/// For how long past its time an entry may be served: RFC 5861's stale-while-revalidate and stale-if-error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServeStale {
    /// At once, while a fill goes on in the background, such as 10m. Not at all if absent.
    #[serde(default)]
    pub while_refreshing: Dur,
    /// When a fill has failed, such as 1h. Not at all if absent.
    #[serde(default)]
    pub if_error: Dur,
}

fn yes() -> bool {
    true
}

fn is_true(it: &bool) -> bool {
    *it
}

fn is_none(share: &Share) -> bool {
    share.0 == 0.0
}

fn one() -> f64 {
    1.0
}

impl Cache {
    /// For how long past its time an entry may be of use.
    pub fn keeps(&self) -> Duration {
        self.serve_stale.map_or(Duration::ZERO, |it| it.while_refreshing.0.max(it.if_error.0))
    }

    /// How many entries a replica has at the start, where requests are of `classes` classes.
    pub fn warmed(&self, classes: usize) -> usize {
        let all = self.keys.count as usize * classes.max(1);
        let wanted = self.warm.filter(|_| self.enabled).unwrap_or(0);
        wanted.min(all).min(self.size.unwrap_or(usize::MAX))
    }

    /// What the shape alone does not refuse.
    pub fn check(&self) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        if !(1..=1_000_000).contains(&self.keys.count) {
            wrong.push(Wrong::at("keys.count", "there are 1 to 1000000 keys"));
        }
        if !(0.0..=10.0).contains(&self.keys.exponent) {
            wrong.push(Wrong::at("keys.exponent", "the exponent lies between 0 and 10"));
        }
        if self.size == Some(0) {
            wrong.push(Wrong::at(
                "size",
                "there is room for one entry at least; `enabled: false` switches it off",
            ));
        }
        if self.ttl.is_some_and(|ttl| ttl.0.is_zero()) {
            wrong.push(Wrong::at("ttl", "nothing lives for no time; `enabled: false` switches it off"));
        }
        let without_ttl = [
            ("jitter", self.jitter.0 > 0.0, "shortens"),
            ("early_refresh", self.early_refresh.is_some(), "is before the end of"),
            ("serve_stale", self.serve_stale.is_some(), "goes beyond"),
        ];
        for (place, there, does) in without_ttl {
            if there && self.ttl.is_none() {
                wrong.push(Wrong::at(place, format!("it {does} a time to live: add `ttl`")));
            }
        }
        if self.early_refresh.is_some_and(|it| !(0.0..=1e6).contains(&it.beta)) {
            wrong.push(Wrong::at("early_refresh.beta", "beta lies between 0 and 1000000"));
        }
        wrong
    }
}
