//! Load shedding, on the way in: refuse at once what could only be served too late, the least critical first.
//!
//! Prevents: a queue whose every entry is answered after its caller has left; and, by criticality, that a batch
//! which nobody waits for takes the place of a user (Google, "Site Reliability Engineering", 2016, chapter 21:
//! of a service short of capacity, requests of a lower criticality are refused before any of a higher one is).
//! The word travels with the call and with every call made on its behalf, so that a database three hops away
//! can tell them apart.
//!
//! Can cause: refusals during bursts that the queue would have absorbed; a storm of its own, if callers retry
//! refusals without a budget; and starvation: under a lasting overload the least critical get nothing at all,
//! for as long as it lasts. When everybody calls his own requests critical, it is as if nobody did.

use pumphandle_core::{Criticality, Share};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Settings, Wrong, yes};

/// Settings of load shedding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoadShed {
    /// On or off. On if absent.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Refuse when this many attempts are inside the service, waiting ones included: from 1 to 1000000.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub inside: u64,
    /// How much of `inside` the less critical may find taken before they are refused, such as
    /// `{ sheddable: 50% }`. All alike if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_criticality: Option<ByCriticality>,
}

/// A share of the whole for each criticality. What is critical_plus has all of it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ByCriticality {
    /// For critical requests, such as 95%. All of it if absent.
    #[serde(default = "all")]
    pub critical: Share,
    /// For sheddable_plus requests, such as 80%. As for critical ones if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sheddable_plus: Option<Share>,
    /// For sheddable requests, such as 50%. As for sheddable_plus ones if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sheddable: Option<Share>,
}

fn all() -> Share {
    Share(1.0)
}

impl ByCriticality {
    fn sheddable_plus(&self) -> Share {
        self.sheddable_plus.unwrap_or(self.critical)
    }

    fn sheddable(&self) -> Share {
        self.sheddable.unwrap_or(self.sheddable_plus())
    }
}

impl Settings for LoadShed {
    fn check(&self) -> Vec<Wrong> {
        let Some(shares) = self.by_criticality else { return Vec::new() };
        let mut wrong = Vec::new();
        for (less, share, more, of_more) in [
            ("sheddable_plus", shares.sheddable_plus(), "critical", shares.critical),
            ("sheddable", shares.sheddable(), "sheddable_plus", shares.sheddable_plus()),
        ] {
            if share.0 > of_more.0 {
                let message = format!("more than for {more}, which would be refused first: lower it");
                wrong.push(Wrong::at(format!("by_criticality.{less}"), message));
            }
        }
        wrong
    }
}

impl LoadShed {
    /// Whether an attempt that finds `inside` others is refused.
    pub fn refuses(&self, inside: u64, criticality: Criticality) -> bool {
        self.enabled && inside >= self.room(criticality)
    }

    fn room(&self, criticality: Criticality) -> u64 {
        let Some(shares) = self.by_criticality else { return self.inside };
        let share = match criticality {
            Criticality::CriticalPlus => return self.inside,
            Criticality::Critical => shares.critical,
            Criticality::SheddablePlus => shares.sheddable_plus(),
            Criticality::Sheddable => shares.sheddable(),
        };
        (self.inside as f64 * share.0).round() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shed(json: &str) -> LoadShed {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn it_refuses_the_first_one_too_many() {
        let on = shed(r#"{"inside": 3}"#);
        for criticality in Criticality::ALL {
            assert_eq!([2, 3, 4].map(|inside| on.refuses(inside, criticality)), [false, true, true]);
        }
        assert!(!shed(r#"{"inside": 3, "enabled": false}"#).refuses(u64::MAX, Criticality::Sheddable));
    }

    proptest! {
        /// Whoever is refused, everybody less critical would be refused too.
        #[test]
        fn the_less_critical_are_refused_first(
            inside in 1_u64..1_000, finds in 0_u64..1_200, mut shares in prop::array::uniform3(0.0_f64..=1.0),
            said in any::<(bool, bool)>(),
        ) {
            shares.sort_by(f64::total_cmp);
            let [sheddable, sheddable_plus, critical] = shares.map(Share);
            let (sheddable_plus, sheddable) = (said.0.then_some(sheddable_plus), said.1.then_some(sheddable));
            let by_criticality = Some(ByCriticality { critical, sheddable_plus, sheddable });
            let shed = LoadShed { enabled: true, inside, by_criticality };
            prop_assert_eq!(shed.check(), []);
            let refused = Criticality::ALL.map(|criticality| shed.refuses(finds, criticality));
            prop_assert!(refused.is_sorted_by(|less, more| less >= more), "{refused:?}");
            prop_assert_eq!(refused[3], finds >= inside, "the most critical have all of it");
        }
    }

    #[test]
    fn shares_that_would_refuse_the_more_critical_first_are_refused() {
        for (json, path) in [
            (r#"{"critical": 0.5, "sheddable_plus": 0.6}"#, "by_criticality.sheddable_plus"),
            (r#"{"sheddable": 0.6, "sheddable_plus": 0.5}"#, "by_criticality.sheddable"),
        ] {
            let shed = shed(&format!(r#"{{"inside": 3, "by_criticality": {json}}}"#));
            let wrong = shed.check();
            assert_eq!(wrong.len(), 1, "{json}: {wrong:?}");
            assert_eq!(wrong[0].path, path);
        }
    }
}
