//! Where to measure next along one setting, to find where the share of seeds that recover crosses one half.
//! Pure: it is told counts and asks for places; it runs nothing.
//!
//! Three things are bisected to neighbouring places: the crossing itself (the *bracket*: one half lies between
//! the shares that were seen), and from each end the last place at which the side is still *shown* (the
//! *interval*: outside of it the share is beyond one half at the confidence of each place; inside, the seeds
//! do not tell). All places are measured under the same seeds, so that neighbours differ by the setting only.
//! A few places between the ends are measured first: bisection assumes that there is one crossing, and only
//! they can contradict it.

use std::collections::{BTreeMap, BTreeSet};

/// What was seen at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Seeds that recovered.
    pub recovered: u64,
    /// Seeds.
    pub of: u64,
    /// Whether it is shown that most recover (`Some(true)`), that most do not, or neither.
    pub shown: Option<bool>,
}

impl Seen {
    /// Which side of one half the share is on; exactly one half counts as neither.
    fn side(self) -> Option<bool> {
        (self.recovered * 2 != self.of).then_some(self.recovered * 2 > self.of)
    }
}

/// What a search came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The share crosses one half.
    Crosses(Crossing),
    /// Both ends are on the same side: there is no crossing to be found, or an even number of them.
    Agree(bool),
    /// The seeds do not tell on which side this end is.
    Open(usize),
}

/// Two neighbouring places that are known.
type Gap = (usize, usize);

/// Where the share crosses one half. All are places of the grid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crossing {
    /// Whether it recovers at the lower end.
    pub recovers_below: bool,
    /// Neighbours between which the share that was seen crosses one half for the first time.
    pub bracket: (usize, usize),
    /// Up to the first of the two the lower end's side is shown, from the second on the upper end's.
    pub interval: (usize, usize),
    /// Pairs of places that are shown to be on the wrong sides of each other: there is more than one crossing.
    pub contradictions: Vec<(usize, usize)>,
}

/// A search over places 0 to `last`.
#[derive(Clone, Debug)]
pub struct Search {
    last: usize,
    scan: usize,
    known: BTreeMap<usize, Seen>,
}

impl Search {
    /// Over the places 0 to `last`, of which `scan` between the ends are measured before bisecting.
    ///
    /// # Panics
    ///
    /// If there are fewer than two places.
    pub fn new(last: usize, scan: usize) -> Search {
        assert!(last > 0, "one place has no two ends");
        Search { last, scan, known: BTreeMap::new() }
    }

    /// Tells what was seen at a place.
    pub fn learn(&mut self, place: usize, seen: Seen) {
        self.known.insert(place, seen);
    }

    /// What was seen, by place.
    pub fn known(&self) -> &BTreeMap<usize, Seen> {
        &self.known
    }

    /// The places to measure next, in order; none when the answer is as good as it gets.
    pub fn wanted(&self) -> Vec<usize> {
        let unknown = |places: Vec<usize>| -> Vec<usize> {
            places.into_iter().filter(|place| !self.known.contains_key(place)).collect()
        };
        let ends = unknown(vec![0, self.last]);
        if !ends.is_empty() {
            return ends;
        }
        let scan: BTreeSet<usize> =
            (1..=self.scan).map(|i| i * self.last / (self.scan + 1)).filter(|&place| place > 0).collect();
        let scan = unknown(scan.into_iter().collect());
        let Some(below) = self.ends() else { return scan };
        if !scan.is_empty() {
            return scan;
        }
        let wide = self.gaps(below).into_iter().filter(|(from, to)| to - from > 1);
        let middles: BTreeSet<usize> = wide.map(|(from, to)| from + (to - from) / 2).collect();
        middles.into_iter().collect()
    }

    /// The side of the lower end, if the ends are known and shown to be on different sides.
    fn ends(&self) -> Option<bool> {
        let shown = |place| self.known.get(place).and_then(|seen: &Seen| seen.shown);
        let (low, high) = (shown(&0)?, shown(&self.last)?);
        (low != high).then_some(low)
    }

    /// Neighbouring known places around the crossing, around the end of what is shown from below, and around
    /// the end of what is shown from above.
    fn gaps(&self, below: bool) -> [Gap; 3] {
        let pairs = || self.known.iter().zip(self.known.iter().skip(1));
        let first = |leaves: &dyn Fn(&Seen) -> bool| {
            let gap = pairs().find(|(_, (_, next))| leaves(next));
            gap.map_or((self.last - 1, self.last), |((from, _), (to, _))| (*from, *to))
        };
        let bracket = first(&|seen| seen.side() != Some(below));
        let from_below = first(&|seen| seen.shown != Some(below));
        let from_above = pairs()
            .rfind(|((_, seen), _)| seen.shown != Some(!below))
            .map_or((0, 1), |((from, _), (to, _))| (*from, *to));
        [bracket, from_below, from_above]
    }

    /// What is known so far; none before both ends are.
    pub fn answer(&self) -> Option<Answer> {
        let (low, high) = (self.known.get(&0)?, self.known.get(&self.last)?);
        let Some(below) = self.ends() else {
            return Some(match (low.shown, high.shown) {
                (None, _) => Answer::Open(0),
                (_, None) => Answer::Open(self.last),
                (Some(side), _) => Answer::Agree(side),
            });
        };
        let [bracket, from_below, from_above] = self.gaps(below);
        let shown = |side| self.known.iter().filter(move |(_, seen)| seen.shown == Some(side));
        let wrong = shown(!below).next().and_then(|(first, _)| {
            let later = shown(below).find(|(place, _)| *place > first)?;
            Some((*first, *later.0))
        });
        Some(Answer::Crosses(Crossing {
            recovers_below: below,
            bracket,
            interval: (from_below.0, from_above.1),
            contradictions: wrong.into_iter().collect(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::map::looks::Looks;

    /// Searches a field of exact counts; returns the answer and the number of places measured.
    fn search(last: usize, scan: usize, field: &dyn Fn(usize) -> Seen) -> (Option<Answer>, usize) {
        let mut search = Search::new(last, scan);
        loop {
            let wanted = search.wanted();
            if wanted.is_empty() {
                return (search.answer(), search.known().len());
            }
            for place in wanted {
                assert!(!search.known().contains_key(&place), "{place} was measured twice");
                search.learn(place, field(place));
            }
        }
    }

    fn seen(recovered: u64, of: u64) -> Seen {
        Seen { recovered, of, shown: Looks::new(of).most(recovered, of) }
    }

    proptest! {
        #[test]
        fn a_step_is_found_exactly_and_in_logarithmic_time(last in 1_usize..5000, at in 0.0..1.0_f64, rises: bool) {
            let step = 1 + (at * last as f64) as usize % last;
            let field = |place: usize| seen(if (place >= step) == rises { 20 } else { 0 }, 20);
            let (answer, spent) = search(last, 7, &field);
            let expected = Crossing {
                recovers_below: !rises,
                bracket: (step - 1, step),
                interval: (step - 1, step),
                contradictions: Vec::new(),
            };
            prop_assert_eq!(answer, Some(Answer::Crosses(expected)));
            prop_assert!(spent <= 9 + (last as f64).log2().ceil() as usize, "{} of {}", spent, last);
        }

        #[test]
        fn a_slope_is_found_as_by_brute_force(mut counts in proptest::collection::vec(0_u64..=20, 1..200), rises: bool) {
            counts.extend([0, 20]);
            counts.sort_unstable();
            if !rises {
                counts.reverse();
            }
            let field = |place: usize| seen(counts[place], 20);
            let last = counts.len() - 1;
            let (answer, _) = search(last, 7, &field);
            let Some(Answer::Crosses(found)) = answer else { return Err(TestCaseError::fail("no crossing")) };
            let beyond = |place: &usize| counts[*place] * 2 <= 20;
            let first = if rises { (0..=last).find(|place| !beyond(place) || counts[*place] == 10) }
                        else { (0..=last).find(beyond) }.unwrap();
            prop_assert_eq!(found.bracket, (first - 1, first));
            let shown_below = (0..=last).take_while(|&place| field(place).shown == Some(!rises)).last().unwrap();
            let shown_above = (0..=last).find(|&place| field(place).shown == Some(rises)).unwrap();
            prop_assert_eq!(found.interval, (shown_below, shown_above));
            prop_assert!(found.interval.0 <= found.bracket.0 && found.bracket.1 <= found.interval.1);
            prop_assert!(found.contradictions.is_empty());
        }

        #[test]
        fn noise_never_keeps_it_from_ending(counts in proptest::collection::vec(0_u64..=20, 2..300), scan in 0_usize..9) {
            let (answer, spent) = search(counts.len() - 1, scan, &|place| seen(counts[place], 20));
            prop_assert!(answer.is_some());
            prop_assert!(spent <= counts.len());
            if let Some(Answer::Crosses(found)) = answer {
                prop_assert_eq!(found.bracket.1 - found.bracket.0, 1);
                let (low, high) = (counts[found.bracket.0] * 2 > 20, counts[found.bracket.1] * 2 > 20);
                prop_assert!(low != high || counts[found.bracket.1] == 10);
            }
        }
    }

    #[test]
    fn ends_that_agree_or_do_not_tell_are_refused() {
        let (answer, spent) = search(100, 3, &|_| seen(20, 20));
        assert_eq!((answer, spent), (Some(Answer::Agree(true)), 5));
        let (answer, _) = search(100, 0, &|place| if place == 0 { seen(11, 20) } else { seen(20, 20) });
        assert_eq!(answer, Some(Answer::Open(0)));
        let (answer, _) = search(100, 0, &|place| if place == 0 { seen(0, 20) } else { seen(9, 20) });
        assert_eq!(answer, Some(Answer::Open(100)));
    }

    #[test]
    fn a_second_crossing_that_the_scan_meets_is_told() {
        // Down, up again in the middle, down.
        let field = |place: usize| seen(if (40..60).contains(&place) || place < 10 { 20 } else { 0 }, 20);
        let (answer, _) = search(100, 7, &field);
        let Some(Answer::Crosses(found)) = answer else { panic!("{answer:?}") };
        assert_eq!(found.bracket, (9, 10));
        assert_eq!(found.contradictions.len(), 1);
        let (without, _) = search(100, 0, &field);
        assert!(matches!(without, Some(Answer::Crosses(_))));
    }
}
