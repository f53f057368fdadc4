//! Classes of requests: what share of the users wants what. Of which class an arrival is, is drawn by key, so
//! that it is the same in all arms of a seed. What a class means is for services and policies to say; this
//! module must not know them.

use std::sync::Arc;

use indexmap::IndexMap;
use pumphandle_core::Share;
use pumphandle_core::call::{Class, Criticality};
use pumphandle_core::draws::{Draws, Path, Stream};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::plan::{Group, Load};

/// The classes of requests by name; users of the first are drawn first.
pub type Classes = IndexMap<String, RequestClass>;

/// The most classes of one load: calls carry their class in one byte.
pub const MOST: usize = 100;

/// A class of requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestClass {
    /// How many of all users are of this class, such as 10%. The shares of all classes add up to 1.
    pub share: Share,
    /// How bad it is to refuse them: `critical_plus`, `critical`, `sheddable_plus` or `sheddable`. Critical if
    /// absent.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub criticality: Criticality,
}

fn is_usual(criticality: &Criticality) -> bool {
    *criticality == Criticality::default()
}

/// What is wrong with them: sentences by path, empty for the whole.
pub fn check(classes: &Classes) -> Vec<(String, String)> {
    if classes.is_empty() {
        return Vec::new();
    }
    let mut wrong = Vec::new();
    if classes.len() > MOST {
        wrong.push((String::new(), format!("at most {MOST} classes, these are {}", classes.len())));
    }
    let total: f64 = classes.values().map(|class| class.share.0).sum();
    if (total - 1.0).abs() > 1e-9 {
        // Sums of decimal fractions are off in the last digits, which say nothing to a reader.
        let total = (total * 1e6).round() / 1e6;
        wrong.push((String::new(), format!("the shares of all classes add up to 1, these to {total}")));
    }
    wrong
}

/// Says of which class an arrival is, and how critical that is.
#[derive(Clone, Debug, Default)]
pub struct Classifier {
    /// Where the shares of the classes end, added up. None where there is no choice.
    below: Option<Arc<[f64]>>,
    /// By class. None where all are as usual.
    criticalities: Option<Arc<[Criticality]>>,
    /// Classes of arrivals that are listed, each with the first arrival that is no longer of it.
    listed: Option<Arc<[(u64, Class)]>>,
}

impl Classifier {
    /// For these classes; none of them: every arrival is of the first.
    pub fn new(classes: &Classes) -> Classifier {
        let below = classes.values().scan(0.0, |sum, class| {
            *sum += class.share.0;
            Some(*sum)
        });
        let criticalities = classes.values().map(|class| class.criticality);
        Classifier {
            // One class needs no draw.
            below: (classes.len() > 1).then(|| below.collect()),
            criticalities: (!classes.is_empty()).then(|| criticalities.collect()),
            listed: None,
        }
    }

    /// For this load: where arrivals are listed, the list says of which class each is.
    pub fn of(load: &Load) -> Classifier {
        let ends = load.listed().filter(|_| load.classes.len() > 1).map(|groups| {
            let of_group = |end: &mut u64, group: &Group| {
                *end += u64::from(group.count);
                let class = group.class.as_ref().and_then(|name| load.classes.get_index_of(name));
                Some((*end, Class(class.unwrap_or(0) as u8)))
            };
            groups.iter().scan(0, of_group).collect()
        });
        Classifier { listed: ends, ..Classifier::new(&load.classes) }
    }

    /// The class of this arrival.
    pub fn class_of(&self, draws: &Draws, arrival: u64) -> Class {
        if let Some(listed) = &self.listed {
            // Those beyond the list are users more, by which loops are measured: as the last ones.
            let at = listed.partition_point(|(end, _)| *end <= arrival).min(listed.len() - 1);
            return listed[at].1;
        }
        let Some(below) = &self.below else { return Class::default() };
        let u = draws.uniform(Stream::Class, 0, Path::of_arrival(arrival));
        // The last one also takes what the sum of the shares lacks of 1 in its last digits.
        let at = below.iter().position(|&end| u < end).unwrap_or(below.len() - 1);
        Class(at as u8)
    }

    /// How critical requests of this class are.
    pub fn criticality_of(&self, class: Class) -> Criticality {
        let known = self.criticalities.as_ref().and_then(|all| all.get(usize::from(class.0)));
        known.copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Arrivals;
    use proptest::prelude::*;
    use pumphandle_core::Dur;

    fn classes(shares: &[f64]) -> Classes {
        let class = |(i, &share): (usize, &f64)| {
            (format!("class-{i}"), RequestClass { share: Share(share), criticality: Criticality::default() })
        };
        shares.iter().enumerate().map(class).collect()
    }

    proptest! {
        /// Shares are shares, and a class that grows at its neighbour's cost keeps those it had.
        #[test]
        fn arrivals_are_of_a_class_by_its_share_and_stay_in_it_when_it_grows(
            first in 0.05_f64..0.9, more in 0.01_f64..0.09, seed: u64,
        ) {
            let draws = Draws::new(seed);
            let (small, large) =
                (classes(&[first, 1.0 - first]), classes(&[first + more, 1.0 - first - more]));
            let (small, large) = (Classifier::new(&small), Classifier::new(&large));
            let n = 20_000;
            let mut counted = 0;
            for arrival in 0..n {
                let class = small.class_of(&draws, arrival);
                prop_assert!(class != Class(0) || large.class_of(&draws, arrival) == Class(0));
                counted += u64::from(class == Class(0));
            }
            let (share, sigma) = (counted as f64 / n as f64, (first * (1.0 - first) / n as f64).sqrt());
            prop_assert!((share - first).abs() < 5.0 * sigma, "{share} of {first}");
        }
    }

    #[test]
    fn arrivals_that_are_listed_are_of_the_class_that_the_list_says() {
        let classes = classes(&[0.25, 0.75]);
        let group = |count, class: &str| Group { at: Dur::default(), count, class: Some(class.to_owned()) };
        let arrivals = Arrivals::Listed(vec![group(2, "class-1"), group(1, "class-0"), group(1, "class-1")]);
        let load = Load { arrivals, changes: vec![], classes, elastic: None };
        assert_eq!(load.check(), []);
        let classifier = Classifier::of(&load);
        for seed in 0..20 {
            let of: Vec<u8> =
                (0..4).map(|arrival| classifier.class_of(&Draws::new(seed), arrival).0).collect();
            assert_eq!(of, [1, 1, 0, 1]);
        }
    }

    #[test]
    fn without_classes_and_with_one_every_arrival_is_of_the_first() {
        let draws = Draws::new(1);
        for classes in [classes(&[]), classes(&[1.0])] {
            let classifier = Classifier::new(&classes);
            assert!((0..100).all(|arrival| classifier.class_of(&draws, arrival) == Class(0)));
        }
    }

    #[test]
    fn shares_that_do_not_add_up_and_too_many_classes_are_refused() {
        assert!(check(&classes(&[])).is_empty() && check(&classes(&[0.9, 0.1])).is_empty());
        assert!(check(&classes(&[0.9, 0.2]))[0].1.contains("these to 1.1"));
        assert_eq!(check(&classes(&[0.5; 101])).len(), 2);
    }
}
