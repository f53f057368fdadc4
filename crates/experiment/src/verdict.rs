//! What a lever was worth: one word, by rules that are the same for all incidents. First match wins:
//!
//! | verdict | means |
//! |---|---|
//! | not tested | the run is invalid, or the control's cost is under 1 % |
//! | prevents | standing; in most seeds 99 % of the bins outside the trigger are healthy, and in the control they are not |
//! | ends | it recovers and the control stays down; or it recovers in less than half the time, with 10 s saved or more |
//! | worsens | cost up by 10 % or more; or 90 % harm in both, and a tenth less work completed out of as much in progress; or it stays down and the control recovers |
//! | delays | both stay down, the onset comes at least 10 s later, and the last minute is equal within 5 points |
//! | eases | cost down by 10 % or more |
//! | masks | visible errors down by 20 % or more, good share up by 1 point at most |
//! | no effect | the interval of the cost lies within +-10 % |
//! | undecided | otherwise |
//!
//! Cost is harm, or what the scenario declares; where it has a reference, the arm without its defect, it is what is
//! more than there. With a declared cost, a lever *prevents* that is standing and in most seeds closes 95 % of the
//! gap, and one *worsens* too that pays for less cost with harm: at least a point and a tenth more. Both are in
//! decision 77.
//!
//! "In most seeds" and the bounds of means are bounds of intervals, never point estimates.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::claims::State;
use crate::outcome::{Judged, SeedOutcome};
use crate::scenario::Kind;
use crate::scenario::levers::{Lesson, Mode};
use crate::stats::{Estimate, clopper_pearson, paired_difference, ratio, ratio_minus_one};

/// A verdict. The module has the exact rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "verdict")]
pub enum Is {
    /// The run is invalid, or there was nothing to cure.
    #[serde(rename = "not tested")]
    NotTested,
    /// Standing, it keeps the incident from happening.
    #[serde(rename = "prevents")]
    Prevents,
    /// It recovers where the control stays down, or in less than half the time.
    #[serde(rename = "ends")]
    Ends,
    /// It costs a tenth more, or does harm of another kind.
    #[serde(rename = "worsens")]
    Worsens,
    /// It comes later, and ends as badly.
    #[serde(rename = "delays")]
    Delays,
    /// It costs at least a tenth less.
    #[serde(rename = "eases")]
    Eases,
    /// Fewer visible errors, no more good answers.
    #[serde(rename = "masks")]
    Masks,
    /// The cost is the same within a tenth.
    #[serde(rename = "no effect")]
    NoEffect,
    /// The intervals do not tell.
    #[serde(rename = "undecided")]
    Undecided,
}

impl Is {
    /// As written.
    pub fn name(self) -> &'static str {
        match self {
            Is::NotTested => "not tested",
            Is::Prevents => "prevents",
            Is::Ends => "ends",
            Is::Worsens => "worsens",
            Is::Delays => "delays",
            Is::Eases => "eases",
            Is::Masks => "masks",
            Is::NoEffect => "no effect",
            Is::Undecided => "undecided",
        }
    }

    /// How good it is; higher is better. None where nothing is known.
    fn rank(self) -> Option<i8> {
        Some(match self {
            Is::NotTested | Is::Undecided => return None,
            Is::Worsens => -1,
            Is::NoEffect => 0,
            Is::Masks => 1,
            Is::Delays => 2,
            Is::Eases => 3,
            Is::Ends => 4,
            Is::Prevents => 5,
        })
    }
}

/// A verdict with what it rests on.
#[derive(Clone, Debug)]
pub struct Ruling {
    /// The word.
    pub is: Is,
    /// Counting fallbacks as good would change the word.
    pub by_degrading: bool,
    /// Cost against the control's, minus one.
    pub cost: Option<Estimate>,
    /// Share of seeds whose own outcome agrees with the arm's state.
    pub share_of_seeds: Option<f64>,
    /// Mean recovery time of the treatment, where it recovered.
    pub recovery_s: Option<f64>,
}

/// Outcomes of the same seeds in the same order.
#[derive(Clone, Copy, Debug)]
pub struct Arms<'a> {
    /// With nobody touching anything.
    pub control: &'a [&'a SeedOutcome],
    /// With the lever.
    pub treatment: &'a [&'a SeedOutcome],
    /// Without the defect, if the scenario says how that is.
    pub reference: Option<&'a [&'a SeedOutcome]>,
    /// Levers are judged by a cost that the scenario declares, not by harm.
    pub declared: bool,
}

/// Rules on a treatment.
pub fn rule(kind: Kind, mode: Mode, arms: &Arms<'_>, confidence: f64) -> Ruling {
    let (control, treatment) = (arms.control, arms.treatment);
    let pick = |of: &[&SeedOutcome], lenient: bool| -> Vec<Judged> {
        of.iter()
            .map(|seed| match (mode, lenient) {
                (Mode::Pulled, false) => seed.pulled,
                (Mode::Standing, false) => seed.standing,
                (Mode::Pulled, true) => seed.pulled_degraded,
                (Mode::Standing, true) => seed.standing_degraded,
            })
            .collect()
    };
    let case = |lenient| Case {
        kind,
        mode,
        control: pick(control, lenient),
        treatment: pick(treatment, lenient),
        reference: arms.reference.map(|reference| pick(reference, lenient)),
        declared: arms.declared,
        confidence,
    };
    let plain = case(false);
    let is = plain.verdict();
    let state = state(&plain.treatment, confidence);
    let agrees = plain.treatment.iter().filter(|seed| match state {
        State::Recovers => seed.recovered,
        State::StaysDown => !seed.recovered,
        State::Mixed => true,
    });
    let recoveries: Vec<f64> = plain.treatment.iter().filter_map(|seed| seed.recovery_s).collect();
    Ruling {
        is,
        by_degrading: case(true).verdict() != is,
        cost: plain.cost(),
        share_of_seeds: (kind == Kind::Pulse)
            .then(|| agrees.count() as f64 / plain.treatment.len().max(1) as f64),
        recovery_s: (!recoveries.is_empty())
            .then(|| recoveries.iter().sum::<f64>() / recoveries.len() as f64),
    }
}

/// How an arm ends, over its seeds.
pub fn state(seeds: &[Judged], confidence: f64) -> State {
    let recovered = seeds.iter().filter(|seed| seed.recovered).count();
    match majority(recovered, seeds.len(), confidence) {
        Some(true) => State::Recovers,
        Some(false) => State::StaysDown,
        None => State::Mixed,
    }
}

/// Whether `k` of `n` shows that it is more than half of all; `None` if it shows neither that nor less.
fn majority(k: usize, n: usize, confidence: f64) -> Option<bool> {
    let (low, high) = clopper_pearson(k as u64, n as u64, confidence);
    if low > 0.5 {
        Some(true)
    } else if high < 0.5 {
        Some(false)
    } else {
        None
    }
}

struct Case {
    kind: Kind,
    mode: Mode,
    control: Vec<Judged>,
    treatment: Vec<Judged>,
    reference: Option<Vec<Judged>>,
    declared: bool,
    confidence: f64,
}

impl Case {
    /// By how much each seed of `of` costs more than the reference.
    fn gaps(&self, of: &[Judged]) -> Vec<f64> {
        let cost = |seed: &Judged| if self.declared { seed.cost } else { seed.harm_share };
        let least = |i: usize| self.reference.as_ref().and_then(|all| all.get(i)).map_or(0.0, cost);
        of.iter().enumerate().map(|(i, seed)| cost(seed) - least(i)).collect()
    }

    /// There is hardly anything to cure: less than a hundredth of all users are harmed; or the declared cost is
    /// above the reference by less than a hundredth of itself.
    fn nothing_to_cure(&self) -> bool {
        let mean = |of: &[f64]| of.iter().sum::<f64>() / of.len().max(1) as f64;
        let gap = mean(&self.gaps(&self.control));
        let whole = if self.declared { Case::mean(&self.control, |seed| seed.cost) } else { 1.0 };
        gap <= 0.0 || gap < 0.01 * whole
    }

    /// In how many seeds at most a twentieth of the control's mean gap is left.
    fn closes_the_gap(&self, of: &[Judged]) -> Option<bool> {
        let gaps = self.gaps(&self.control);
        let left = 0.05 * gaps.iter().sum::<f64>() / gaps.len().max(1) as f64;
        let k = self.gaps(of).iter().filter(|gap| **gap <= left).count();
        majority(k, of.len(), self.confidence)
    }

    /// Users with no good answer, by how many points more than in the control.
    fn more_harm(&self) -> Option<Estimate> {
        self.difference_of(|seed| seed.harm_share)
    }

    fn pays_with_harm(&self) -> bool {
        let a_point = self.more_harm().is_some_and(|more| more.low >= 0.01);
        let a_tenth = self.ratio_of(|seed| seed.harm_share).is_none_or(|ratio| ratio.low >= 0.10);
        self.declared && a_point && a_tenth
    }

    fn column(of: &[Judged], value: impl Fn(&Judged) -> f64) -> Vec<f64> {
        of.iter().map(value).collect()
    }

    fn ratio_of(&self, value: impl Fn(&Judged) -> f64 + Copy) -> Option<Estimate> {
        ratio_minus_one(
            &Case::column(&self.treatment, value),
            &Case::column(&self.control, value),
            self.confidence,
        )
        .ok()
    }

    fn difference_of(&self, value: impl Fn(&Judged) -> f64 + Copy) -> Option<Estimate> {
        paired_difference(
            &Case::column(&self.treatment, value),
            &Case::column(&self.control, value),
            self.confidence,
        )
        .ok()
    }

    fn cost(&self) -> Option<Estimate> {
        ratio_minus_one(&self.gaps(&self.treatment), &self.gaps(&self.control), self.confidence).ok()
    }

    fn mean(of: &[Judged], value: impl Fn(&Judged) -> f64) -> f64 {
        of.iter().map(value).sum::<f64>() / of.len().max(1) as f64
    }

    fn verdict(&self) -> Is {
        let pulse = self.kind == Kind::Pulse;
        if self.control.len() < 2 || self.nothing_to_cure() {
            return Is::NotTested;
        }
        if pulse && majority(self.control.len(), self.control.len(), self.confidence).is_none() {
            // So few seeds that not even all of them would show how an arm ends.
            return Is::Undecided;
        }
        let treatment = state(&self.treatment, self.confidence);
        let control = state(&self.control, self.confidence);
        let cost = self.cost();
        if self.prevents() {
            Is::Prevents
        } else if pulse
            && (treatment == State::Recovers && control == State::StaysDown || self.halves_recovery())
        {
            Is::Ends
        } else if cost.as_ref().is_some_and(|cost| cost.low >= 0.10)
            || self.pays_with_harm()
            || pulse && self.same_harm_for_less_work()
            || pulse && control == State::Recovers && treatment == State::StaysDown
        {
            Is::Worsens
        } else if pulse && treatment == State::StaysDown && control == State::StaysDown && self.delays() {
            Is::Delays
        } else if cost.as_ref().is_some_and(|cost| cost.high <= -0.10) {
            Is::Eases
        } else if self.masks() {
            Is::Masks
        } else if cost.as_ref().is_some_and(|cost| -0.10 <= cost.low && cost.high <= 0.10) {
            Is::NoEffect
        } else {
            Is::Undecided
        }
    }

    fn prevents(&self) -> bool {
        if self.declared {
            let no_harm = self.more_harm().is_some_and(|more| more.high <= 0.01);
            return self.mode == Mode::Standing
                && self.closes_the_gap(&self.treatment) == Some(true)
                && self.closes_the_gap(&self.control) == Some(false)
                && no_harm;
        }
        let healthy = |of: &[Judged]| {
            let k = of.iter().filter(|seed| seed.healthy_outside >= 0.99).count();
            majority(k, of.len(), self.confidence)
        };
        self.mode == Mode::Standing
            && healthy(&self.treatment) == Some(true)
            && healthy(&self.control) == Some(false)
    }

    fn halves_recovery(&self) -> bool {
        let pairs: Vec<(f64, f64)> = self
            .treatment
            .iter()
            .zip(&self.control)
            .filter_map(|(treatment, control)| Some((treatment.recovery_s?, control.recovery_s?)))
            .collect();
        // Recovery times exist only where both recovered; of too few seeds they say nothing.
        if majority(pairs.len(), self.treatment.len(), self.confidence) != Some(true) {
            return false;
        }
        let (treatment, control): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
        let saved = paired_difference(&control, &treatment, self.confidence);
        ratio(&treatment, &control, self.confidence).is_ok_and(|ratio| ratio.high < 0.5)
            && saved.is_ok_and(|saved| saved.mean >= 10.0)
    }

    fn same_harm_for_less_work(&self) -> bool {
        let ruined = |of: &[Judged]| Case::mean(of, |seed| seed.harm_share) >= 0.9;
        let work = self.ratio_of(|seed| seed.completed_per_s);
        // Who does less because less is asked of him does no harm by that.
        let in_progress = self.ratio_of(|seed| seed.in_progress);
        ruined(&self.control)
            && ruined(&self.treatment)
            && work.is_some_and(|work| work.high <= -0.10)
            && in_progress.is_some_and(|in_progress| in_progress.low >= -0.10)
    }

    fn delays(&self) -> bool {
        let onsets: Option<Vec<(f64, f64)>> = self
            .treatment
            .iter()
            .zip(&self.control)
            .map(|(treatment, control)| Some((treatment.onset_s?, control.onset_s?)))
            .collect();
        let Some(onsets) = onsets else { return false };
        let (treatment, control): (Vec<f64>, Vec<f64>) = onsets.into_iter().unzip();
        let later = paired_difference(&treatment, &control, self.confidence);
        let last = self.difference_of(|seed| seed.last_minute);
        later.is_ok_and(|later| later.low >= 10.0)
            && last.is_some_and(|last| last.low >= -0.05 && last.high <= 0.05)
    }

    fn masks(&self) -> bool {
        let errors = self.ratio_of(|seed| seed.error_share);
        let good = self.difference_of(|seed| 1.0 - seed.harm_share);
        errors.is_some_and(|errors| errors.high <= -0.20) && good.is_some_and(|good| good.high <= 0.01)
    }
}

/// Whether the measured verdict agrees with the lesson's word: `yes`, `and more`, `no`; `None` where either
/// says nothing.
pub fn agrees(lesson: Option<Lesson>, ruling: &Ruling) -> Option<&'static str> {
    let rank = ruling.is.rank()?;
    let fast = ruling.recovery_s.is_some_and(|seconds| seconds <= 30.0);
    let claimed = match lesson? {
        Lesson::Terrible => return Some(if ruling.is == Is::Worsens { "yes" } else { "no" }),
        Lesson::DidNotHelp => Is::NoEffect,
        Lesson::Weak if ruling.is == Is::NoEffect => Is::NoEffect,
        Lesson::Weak | Lesson::Moderate => Is::Eases,
        Lesson::Masks => Is::Masks,
        Lesson::Delays => Is::Delays,
        Lesson::Strong | Lesson::High | Lesson::Ends => Is::Ends,
        // What prevents can only be seen to end when it is pulled late: at once counts as much.
        Lesson::VeryStrong | Lesson::VeryHigh | Lesson::Prevents if ruling.is == Is::Ends && fast => Is::Ends,
        Lesson::VeryStrong | Lesson::VeryHigh | Lesson::Prevents => Is::Prevents,
    };
    Some(match rank.cmp(&claimed.rank()?) {
        std::cmp::Ordering::Equal => "yes",
        std::cmp::Ordering::Greater => "and more",
        std::cmp::Ordering::Less => "no",
    })
}

#[cfg(test)]
mod tests;
