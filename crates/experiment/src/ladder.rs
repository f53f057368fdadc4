//! The ladder of leverage as measured beside the ladder as claimed: one rung per lever and mode of many runs, the
//! rank correlation of level and effect, and how often the levers of a few levels are worth something.
//!
//! Reads results. Measures nothing and decides no verdict.
//!
//! Levers of one incident share its control, so they are not independent, and the interval of a correlation
//! over all of them is too narrow. What one incident is worth is therefore shown beside it: the least and the
//! greatest correlation that is left when one incident is left out (the leave-one-out of the jackknife,
//! Efron, SIAM 1982, over groups).

use serde::Serialize;

use crate::result::{Arm, Interval, RunResult};
use crate::stats::{Estimate, clopper_pearson, spearman};

/// One lever in one mode.
#[derive(Clone, Debug, Serialize)]
pub struct Rung {
    /// The incident.
    pub scenario: String,
    /// The lever's name.
    pub lever: String,
    /// Its one-line description.
    pub title: String,
    /// Meadows' level, 12 (weakest) to 1.
    pub level: u8,
    /// The level was assigned by this project, not by the lesson.
    pub level_is_ours: bool,
    /// `pulled` or `standing`.
    pub mode: String,
    /// `emergent` or `assumed`.
    pub evidence: String,
    /// What the lesson says, in the words of the verdicts; none where it says nothing.
    pub lesson: Option<String>,
    /// The verdict's word.
    pub verdict: String,
    /// Counting degraded answers as good would change it.
    pub by_degrading: bool,
    /// `yes`, `and more`, `no`; none where the lesson says nothing.
    pub agrees: Option<String>,
    /// The quantity that levers of the incident are judged by.
    pub cost: String,
    /// Cost against the control's, as a share of it: -1 is all of it gone. None where it was not tested.
    pub effect: Option<Interval>,
    /// Seeds.
    pub seeds: u64,
}

impl Rung {
    /// Whether the lever took away at least half of the cost, and the interval says so too.
    pub fn halves(&self) -> bool {
        self.effect.as_ref().is_some_and(|effect| effect.high <= -0.5)
    }

    /// Whether the incident is over, or does not happen, with it.
    pub fn solves(&self) -> bool {
        matches!(self.verdict.as_str(), "prevents" | "ends")
    }

    fn measured(&self) -> bool {
        self.verdict != "not tested" && self.effect.is_some()
    }
}

/// The rungs of a run, in the order of its arms; levers without a level are none.
pub fn rungs(result: &RunResult) -> Vec<Rung> {
    let seeds = result.seeds.len() as u64;
    result.arms.iter().filter_map(|arm| rung(&result.scenario, arm, seeds)).collect()
}

fn rung(scenario: &str, arm: &Arm, seeds: u64) -> Option<Rung> {
    let verdict = arm.verdict.as_ref()?;
    Some(Rung {
        scenario: scenario.to_owned(),
        lever: arm.lever.clone()?,
        title: arm.title.clone().unwrap_or_default(),
        level: arm.level?,
        level_is_ours: arm.level_is_ours,
        mode: arm.mode.clone()?,
        evidence: arm.evidence.clone().unwrap_or_else(|| "emergent".to_owned()),
        lesson: arm.lesson.clone(),
        verdict: verdict.is.clone(),
        by_degrading: verdict.by_degrading,
        agrees: verdict.agrees_with_lesson.clone(),
        cost: arm.outcome.cost_j.name.clone(),
        effect: verdict.harm_vs_control.clone(),
        seeds,
    })
}

/// How level and effect go together over a selection of rungs.
#[derive(Clone, Debug, Serialize)]
pub struct Correlation {
    /// Spearman's rho of leverage (12 is least, 1 is most) and of cost taken away: 1 if every higher lever does
    /// more, 0 if the level tells nothing.
    pub rho: f64,
    /// 95 % interval, as if levers were independent.
    pub low: f64,
    /// 95 % interval, as if levers were independent.
    pub high: f64,
    /// Rungs.
    pub n: usize,
    /// The least and the greatest rho with one incident left out; none if that leaves too few.
    pub without_one: Option<(f64, f64)>,
}

/// Fewer rungs have no rank correlation worth a line.
const FEWEST: usize = 5;

/// The rank correlation over the rungs that were measured. None of fewer than five, or where all are equal.
pub fn correlation(rungs: &[&Rung]) -> Option<Correlation> {
    let all: Vec<&Rung> = rungs.iter().copied().filter(|rung| rung.measured()).collect();
    let Estimate { mean: rho, low, high, .. } = of_ranks(&all)?;
    let mut incidents: Vec<&str> = all.iter().map(|rung| rung.scenario.as_str()).collect();
    incidents.dedup();
    let without = |incident: &&str| {
        let others: Vec<&Rung> = all.iter().copied().filter(|rung| rung.scenario != *incident).collect();
        of_ranks(&others).map(|estimate| estimate.mean)
    };
    let left: Option<Vec<f64>> = incidents.iter().map(without).collect();
    let without_one = left.filter(|_| incidents.len() > 1).map(|rhos| {
        let least = rhos.iter().copied().fold(f64::INFINITY, f64::min);
        (least, rhos.iter().copied().fold(f64::NEG_INFINITY, f64::max))
    });
    Some(Correlation { rho, low, high, n: all.len(), without_one })
}

fn of_ranks(rungs: &[&Rung]) -> Option<Estimate> {
    if rungs.len() < FEWEST {
        return None;
    }
    let leverage: Vec<f64> = rungs.iter().map(|rung| -f64::from(rung.level)).collect();
    let taken: Vec<f64> =
        rungs.iter().filter_map(|rung| rung.effect.as_ref()).map(|effect| -effect.mean).collect();
    spearman(&leverage, &taken, 0.95).ok()
}

/// What the levers of some levels were worth.
#[derive(Clone, Debug, Serialize)]
pub struct Group {
    /// Rungs that were measured.
    pub n: u64,
    /// Those that end or prevent the incident.
    pub solves: Count,
    /// Those that take away half of the cost or more.
    pub halves: Count,
    /// Those that make it worse.
    pub worsens: Count,
    /// Median of the effects; none of no rungs.
    pub median: Option<f64>,
}

/// So many of a group, as a share with its exact 95 % interval (Clopper and Pearson), as if levers were independent.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Count {
    /// How many.
    pub k: u64,
    /// Lower bound of the share.
    pub low: f64,
    /// Upper bound of the share.
    pub high: f64,
}

/// What the rungs were worth that were measured.
pub fn group(rungs: &[&Rung]) -> Group {
    let all: Vec<&Rung> = rungs.iter().copied().filter(|rung| rung.measured()).collect();
    let n = all.len() as u64;
    let count = |is: &dyn Fn(&Rung) -> bool| {
        let k = all.iter().filter(|rung| is(rung)).count() as u64;
        let (low, high) = if n == 0 { (0.0, 1.0) } else { clopper_pearson(k, n, 0.95) };
        Count { k, low, high }
    };
    let mut effects: Vec<f64> =
        all.iter().filter_map(|rung| rung.effect.as_ref()).map(|effect| effect.mean).collect();
    effects.sort_by(f64::total_cmp);
    let middle = effects.len() / 2;
    let median = match effects.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(effects[middle]),
        _ => Some(f64::midpoint(effects[middle - 1], effects[middle])),
    };
    Group {
        n,
        solves: count(&|rung| rung.solves()),
        halves: count(&|rung| rung.halves()),
        worsens: count(&|rung| rung.verdict == "worsens"),
        median,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rung_of(scenario: &str, level: u8, effect: f64, verdict: &str) -> Rung {
        Rung {
            scenario: scenario.to_owned(),
            lever: format!("lever-{level}"),
            title: String::new(),
            level,
            level_is_ours: false,
            mode: "pulled".to_owned(),
            evidence: "emergent".to_owned(),
            lesson: None,
            verdict: verdict.to_owned(),
            by_degrading: false,
            agrees: None,
            cost: "harm_share".to_owned(),
            effect: Some(Interval {
                unit: "ratio".to_owned(),
                mean: effect,
                low: effect - 0.1,
                high: effect + 0.1,
                n: 6,
                method: String::new(),
            }),
            seeds: 6,
        }
    }

    fn ladder(scenario: &str, worth: impl Fn(u8) -> f64) -> Vec<Rung> {
        (1..=12).map(|level| rung_of(scenario, level, -worth(level), "eases")).collect()
    }

    fn refs(rungs: &[Rung]) -> Vec<&Rung> {
        rungs.iter().collect()
    }

    #[test]
    fn a_ladder_that_does_what_it_claims_has_a_correlation_of_one_and_its_mirror_minus_one() {
        let claimed = ladder("a", |level| 1.0 - f64::from(level) / 20.0);
        let found = correlation(&refs(&claimed)).unwrap();
        assert!((found.rho - 1.0).abs() < 1e-12, "{found:?}");
        assert!(found.low > 0.9 && found.without_one.is_none(), "{found:?}");
        let mirrored = ladder("a", |level| f64::from(level) / 20.0);
        assert!((correlation(&refs(&mirrored)).unwrap().rho + 1.0).abs() < 1e-12);
    }

    #[test]
    fn one_incident_that_contradicts_shows_in_the_range_without_one() {
        let mut rungs = ladder("a", |level| 1.0 - f64::from(level) / 20.0);
        rungs.extend(ladder("b", |level| f64::from(level) / 20.0));
        let found = correlation(&refs(&rungs)).unwrap();
        let (least, greatest) = found.without_one.unwrap();
        assert!(least < -0.99 && greatest > 0.99, "{found:?}");
    }

    #[test]
    fn what_was_not_tested_counts_nowhere() {
        let mut rungs = ladder("a", |level| 1.0 - f64::from(level) / 20.0);
        let before = (correlation(&refs(&rungs)).unwrap().rho, group(&refs(&rungs)).n);
        rungs.push(rung_of("a", 1, 9.0, "not tested"));
        assert_eq!((correlation(&refs(&rungs)).unwrap().rho, group(&refs(&rungs)).n), before);
    }

    #[test]
    fn a_group_counts_by_verdict_and_by_the_bound_of_the_interval() {
        let rungs = [
            rung_of("a", 7, -0.9, "ends"),
            rung_of("a", 6, -0.55, "eases"),
            rung_of("a", 5, -0.7, "eases"),
            rung_of("a", 12, 0.4, "worsens"),
        ];
        let found = group(&refs(&rungs));
        assert_eq!((found.n, found.solves.k, found.halves.k, found.worsens.k), (4, 1, 2, 1));
        assert!((found.median.unwrap() + 0.625).abs() < 1e-12);
        assert!(found.solves.low > 0.0 && found.solves.high < 1.0);
    }

    #[test]
    fn four_levers_or_equal_ones_have_no_correlation() {
        let few = ladder("a", f64::from);
        assert!(correlation(&refs(&few)[..4]).is_none());
        assert!(correlation(&refs(&ladder("a", |_| 0.5))).is_none());
        assert_eq!(group(&[]).median, None);
    }
}
