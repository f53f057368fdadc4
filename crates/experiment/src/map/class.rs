//! What is measured at a point, and what a point is called. The words are those of Bronson, Aghayev,
//! Charapko and Zhu, "Metastable failures in distributed systems" (HotOS 2021), made measurable; the decision
//! record `0035` says what was chosen where they leave something open.
//!
//! | class | with the point's trigger | with the longest trigger | without a trigger |
//! |---|---|---|---|
//! | stable | recovers | recovers | - |
//! | vulnerable | recovers | stays down | - |
//! | metastable | stays down | - | healthy |
//! | overloaded | stays down, or was ill before it | - | ill |
//! | undecided | the seeds do not tell, or it was still recovering at the end | | |
//! | not tested | the run is invalid there | | |
//!
//! An incident without a trigger that ends has no such states: there a point is *healthy* or *overloaded*, by
//! the last minute.

use serde::{Deserialize, Serialize};

use crate::claims::Window;
use crate::map::looks::Looks;
use crate::outcome::{HEALTHY, SeedOutcome};
use crate::scenario::{Kind, Mode, Scenario};

/// What a point is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Nothing that was tried tips it.
    Stable,
    /// It survives this trigger; a longer one tips it.
    Vulnerable,
    /// This trigger has gone long ago, and it is still down.
    Metastable,
    /// It is ill without any trigger.
    Overloaded,
    /// It is well at the end; said of incidents without a trigger that ends.
    Healthy,
    /// The seeds do not tell.
    Undecided,
    /// The rig could not measure here.
    NotTested,
}

impl Class {
    /// All of them, in the order of a legend.
    pub const ALL: [Class; 7] = [
        Class::Stable,
        Class::Vulnerable,
        Class::Metastable,
        Class::Overloaded,
        Class::Healthy,
        Class::Undecided,
        Class::NotTested,
    ];

    /// As written.
    pub fn name(self) -> &'static str {
        match self {
            Class::Stable => "stable",
            Class::Vulnerable => "vulnerable",
            Class::Metastable => "metastable",
            Class::Overloaded => "overloaded",
            Class::Healthy => "healthy",
            Class::Undecided => "undecided",
            Class::NotTested => "not tested",
        }
    }
}

/// What one seed showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fate {
    /// It was well before its trigger; always true without one.
    pub well_before: bool,
    /// It is well at the end.
    pub well: bool,
    /// It is neither well nor on its way there.
    pub down: bool,
}

impl Fate {
    /// Of a run of `scenario`; `mode` is that of its lever, if it has one.
    pub fn of(scenario: &Scenario, mode: Option<Mode>, seed: &SeedOutcome) -> Fate {
        let good = |window| seed.good_share.get(&window).is_none_or(|share: &f64| *share >= HEALTHY);
        let judged = if mode == Some(Mode::Pulled) { &seed.pulled } else { &seed.standing };
        if scenario.timeline.is_empty() || scenario.kind != Kind::Pulse {
            let well = good(Window::LastMinute);
            return Fate { well_before: true, well, down: !well };
        }
        Fate { well_before: good(Window::Before), well: judged.recovered, down: judged.metastable }
    }
}

/// The seeds of one probe, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Seeds.
    pub n: u64,
    /// Of them, well before the trigger.
    pub well_before: u64,
    /// Well at the end.
    pub well: u64,
    /// Down for good.
    pub down: u64,
}

impl Tally {
    /// Counts seeds.
    pub fn of(fates: &[Fate]) -> Tally {
        let count = |is: fn(&Fate) -> bool| fates.iter().filter(|fate| is(fate)).count() as u64;
        Tally {
            n: fates.len() as u64,
            well_before: count(|fate| fate.well_before),
            well: count(|fate| fate.well),
            down: count(|fate| fate.down),
        }
    }

    /// How it ends, as far as the seeds show it.
    pub fn end(self, looks: Looks) -> End {
        match (looks.most(self.well, self.n), looks.most(self.down, self.n)) {
            (Some(true), _) => End::Well,
            (_, Some(true)) => End::Down,
            _ => End::Open,
        }
    }

    /// Whether it was ill before its trigger.
    pub fn ill_before(self, looks: Looks) -> bool {
        looks.most(self.well_before, self.n) == Some(false)
    }
}

/// How most seeds of a probe end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It is well.
    Well,
    /// It is down, for good.
    Down,
    /// The seeds do not tell, or it has not arrived anywhere yet.
    Open,
}

/// What a point still needs to get its class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It has one.
    Is(Class),
    /// The same without any trigger.
    NeedsNone,
    /// The same with the longest trigger.
    NeedsLongest,
}

/// The class of a point of a pulse, or what is missing for it. `with` is measured; the others may be.
pub fn classify(with: Tally, none: Option<Tally>, longest: Option<Tally>, looks: Looks) -> Verdict {
    if with.ill_before(looks) {
        return Verdict::Is(Class::Overloaded);
    }
    match (with.end(looks), none.map(|it| it.end(looks)), longest.map(|it| it.end(looks))) {
        (End::Open, ..) => Verdict::Is(Class::Undecided),
        (End::Down, None, _) => Verdict::NeedsNone,
        (End::Down, Some(End::Well), _) => Verdict::Is(Class::Metastable),
        (End::Down, Some(End::Down), _) => Verdict::Is(Class::Overloaded),
        (End::Down, Some(End::Open), _) => Verdict::Is(Class::Undecided),
        (End::Well, _, None) => Verdict::NeedsLongest,
        (End::Well, _, Some(End::Well)) => Verdict::Is(Class::Stable),
        (End::Well, _, Some(End::Down)) => Verdict::Is(Class::Vulnerable),
        (End::Well, _, Some(End::Open)) => Verdict::Is(Class::Undecided),
    }
}

/// The class of a point of an incident that has no trigger, or one that does not end.
pub fn classify_without_recovery(with: Tally, looks: Looks) -> Class {
    match with.end(looks) {
        End::Well => Class::Healthy,
        End::Down => Class::Overloaded,
        End::Open => Class::Undecided,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(well: u64, down: u64) -> Tally {
        Tally { n: 6, well_before: 6, well, down }
    }

    #[test]
    fn every_row_of_the_table_gets_its_word() {
        let looks = Looks::new(6);
        let is = |with, none, longest| classify(with, none, longest, looks);
        let (well, down) = (tally(6, 0), tally(0, 6));
        assert_eq!(is(well, None, None), Verdict::NeedsLongest);
        assert_eq!(is(down, None, None), Verdict::NeedsNone);
        assert_eq!(is(well, None, Some(well)), Verdict::Is(Class::Stable));
        assert_eq!(is(well, None, Some(down)), Verdict::Is(Class::Vulnerable));
        assert_eq!(is(down, Some(well), None), Verdict::Is(Class::Metastable));
        assert_eq!(is(down, Some(down), None), Verdict::Is(Class::Overloaded));
        let ill = Tally { well_before: 0, ..well };
        assert_eq!(is(ill, None, None), Verdict::Is(Class::Overloaded));
    }

    #[test]
    fn seeds_that_do_not_tell_and_seeds_still_recovering_are_undecided_not_guessed() {
        let looks = Looks::new(6);
        let (well, down) = (tally(6, 0), tally(0, 6));
        for open in [tally(3, 3), tally(5, 1), tally(1, 5), tally(0, 0)] {
            assert_eq!(classify(open, None, None, looks), Verdict::Is(Class::Undecided));
            assert_eq!(classify(down, Some(open), None, looks), Verdict::Is(Class::Undecided));
            assert_eq!(classify(well, None, Some(open), looks), Verdict::Is(Class::Undecided));
            assert_eq!(classify_without_recovery(open, looks), Class::Undecided);
        }
        assert_eq!(classify_without_recovery(well, looks), Class::Healthy);
        assert_eq!(classify_without_recovery(down, looks), Class::Overloaded);
    }
}
