//! Loops, measured by intervention. A *nudge* is a twin of an arm that gets a few more users for a short
//! while; all other users have the same draws. Whatever differs between the two from then on was caused by
//! those users: what they added to each variable of a loop, in which direction, and how much came back to
//! the loop's first variable beyond what they put in themselves.
//!
//! * **put in**: what the extra users add to a variable by themselves: each of their first attempts, or for a
//!   stock the time that each of them spends there as long as that time stays what it is (Little's law);
//! * **comes back**: (difference of the first variable - put in) / put in: all turns of the loop together.
//!   Of a loop that keeps a share g per turn, g + g^2 + .. = g / (1 - g);
//! * **gain per turn**: that g, which is comes back / (1 + comes back): the product of the strengths of the
//!   loop's links. In any state that lasts it is below 1;
//! * **sign of a link**: the product of the signs of its ends' differences; of the last link, of what came
//!   back. Not shown unless both are shown to differ from zero.
//!
//! It knows how differences come about, not how a run is conducted; it never changes an arm that is judged.
//! What it cannot tell: two loops through the same variable come back together. See decision 0040.

use std::ops::Range;
use std::time::Duration;

use pumphandle_core::meter::StockName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::plan::ArmPlan;
use crate::run::SeedRun;
use crate::run::rows::Rows;
use crate::scenario::loops::Source;
use crate::scenario::{Loop, Scenario};
use crate::stats::{Estimate, mean, one_mean, ratio};

/// How long responses are watched, in seconds, from the first extra user on: several attempts of a patient
/// client, and short enough to fit between the trigger and the levers.
pub const WATCHED_S: usize = 30;
/// Less than this is not worth watching.
const LEAST_S: usize = 10;
/// The part of that in which the extra users come.
const STRETCH: f64 = 1.0 / 6.0;
/// How many there are, as a share of the load: few enough not to be the incident itself.
const SHARE: f64 = 0.2;
/// At which a difference counts as shown, for the sign of a link: a sign needs two, so it is wrong in less
/// than 1 % of links, and a report has a dozen links.
const SURE: f64 = 0.995;
/// The last part of the response, by which it should be over.
const TAIL: f64 = 1.0 / 3.0;
/// It is not over if the tail still holds more than this share of what came.
const LEFT_OVER: f64 = 0.1;

/// When a loop is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// While all is well.
    Before,
    /// From the trigger's start on.
    Onset,
    /// Long after the trigger's start; of a pulse, after its end.
    After,
    /// In the middle of a run without a trigger.
    Steady,
}

impl Phase {
    /// As written.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Before => "before",
            Phase::Onset => "onset",
            Phase::After => "after",
            Phase::Steady => "steady",
        }
    }

    /// In a sentence.
    pub fn words(self) -> &'static str {
        match self {
            Phase::Before => "before the trigger",
            Phase::Onset => "at the trigger's start",
            Phase::After => "long after it",
            Phase::Steady => "in the middle of the run",
        }
    }
}

/// A few more users.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nudge {
    /// In which state of the run.
    pub phase: Phase,
    /// When the first comes, in whole seconds since the start.
    pub from_s: usize,
    /// Within how long the others come.
    pub over: Duration,
    /// How many.
    pub users: u32,
    /// Until when it is watched; the twin ends there.
    pub until_s: usize,
}

impl Nudge {
    fn at(scenario: &Scenario, phase: Phase, from_s: usize, until_s: usize) -> Option<Nudge> {
        let watched = until_s.checked_sub(from_s)?.min(WATCHED_S);
        let over = watched as f64 * STRETCH;
        let users = (SHARE * rate(scenario) * over).ceil().max(1.0) as u32;
        let until_s = from_s + watched;
        (watched >= LEAST_S).then(|| Nudge {
            phase,
            from_s,
            over: Duration::from_secs_f64(over),
            users,
            until_s,
        })
    }

    fn seconds(&self) -> Range<usize> {
        self.from_s..self.until_s
    }
}

/// Users per second; of a closed loop, as many as there would be if answers took no time.
fn rate(scenario: &Scenario) -> f64 {
    use pumphandle_load::plan::Arrivals;
    match &scenario.load.arrivals {
        Arrivals::Closed(closed) => f64::from(closed.users) / closed.think.secs_f64().max(1.0),
        _ => scenario.load.base_rate().unwrap_or(0.0),
    }
}

/// The nudges of a scenario: before the trigger, at its start, and long after it: when levers are pulled, or
/// half-way to the end.
pub fn nudges(scenario: &Scenario) -> Vec<Nudge> {
    let end = scenario.duration.0.as_secs_f64().floor() as usize;
    let at = |phase, from: usize, until: usize| Nudge::at(scenario, phase, from, until.min(end));
    let Some((from, to)) = scenario.trigger_window() else {
        return at(Phase::Steady, end / 3, end).into_iter().collect();
    };
    let whole = |time: Duration| time.as_secs_f64().ceil() as usize;
    let (from, gone) = (whole(from), to.map_or(whole(from), whole));
    let pull = scenario.pull.map(|pull| whole(pull.0)).filter(|pull| *pull >= gone && *pull > from);
    [
        // The start of a run is its warm-up.
        at(Phase::Before, from - from.min(WATCHED_S).min(from * 2 / 3), from),
        at(Phase::Onset, from, end),
        at(Phase::After, pull.unwrap_or((gone + end) / 2), end),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Whether the scenario has a loop whose variables are measured.
pub fn measurable(scenario: &Scenario) -> bool {
    scenario.loops.values().any(|it| variables(scenario, it).is_some())
}

/// How much longer a run of `arms` arms takes if loops are measured: simulated seconds over simulated seconds.
pub fn cost(scenario: &Scenario, arms: usize) -> f64 {
    let more: usize = nudges(scenario).iter().map(|nudge| nudge.until_s).sum();
    more as f64 / (scenario.duration.secs_f64() * arms.max(1) as f64)
}

/// The variables of a loop by their places in `scenario.variables`; none if one of them is not measured.
fn variables(scenario: &Scenario, it: &Loop) -> Option<Vec<usize>> {
    it.parse()?.iter().map(|(name, _)| scenario.variables.get_index_of(name)).collect()
}

/// The twins that are run to measure loops, and what came of them.
#[derive(Debug, Default)]
pub struct Loops {
    twins: Vec<Twin>,
    sources: Vec<Source>,
    /// Why they may not be believed.
    pub reasons: Vec<String>,
}

/// An arm with a nudge.
#[derive(Debug)]
struct Twin {
    base: usize,
    plan: ArmPlan,
    nudge: Nudge,
    seeds: Vec<Response>,
}

/// How one seed answered a nudge.
#[derive(Clone, Debug)]
struct Response {
    /// By variable: the difference over all that was watched. None where it cannot be told.
    difference: Vec<Option<f64>>,
    /// By variable: what the extra users put in themselves.
    put_in: Vec<Option<f64>>,
    /// By variable, then second.
    by_second: Vec<Vec<f64>>,
}

impl Loops {
    /// Twins of the arms in `bases` (places in `arms`), for every phase.
    pub fn of(scenario: &Scenario, arms: &[ArmPlan], bases: &[usize]) -> Loops {
        let find = |text: &String| Source::find(&scenario.services, text).ok();
        let twin = |base: usize, nudge: Nudge| {
            let name = format!("{} with more users, {}", arms[base].name, nudge.phase.words());
            let plan = ArmPlan { name, nudge: Some(nudge), ..arms[base].clone() };
            Twin { base, plan, nudge, seeds: Vec::new() }
        };
        let nudges = nudges(scenario);
        let of_base = |base: &usize| nudges.iter().map(|nudge| twin(*base, *nudge)).collect::<Vec<_>>();
        Loops {
            twins: bases.iter().flat_map(of_base).collect(),
            sources: scenario.variables.values().filter_map(find).collect(),
            reasons: Vec::new(),
        }
    }

    /// What to run, in this order, after the arms of a seed.
    pub fn plans(&self) -> impl Iterator<Item = &ArmPlan> {
        self.twins.iter().map(|twin| &twin.plan)
    }

    /// Whether anything is measured.
    pub fn is_empty(&self) -> bool {
        self.twins.is_empty()
    }

    /// Adds a seed: its arms, and the twins in the order of [`Loops::plans`].
    pub fn add(&mut self, scenario: &Scenario, arms: &[SeedRun], twins: &[SeedRun]) {
        for (twin, run) in self.twins.iter_mut().zip(twins) {
            let (base, nudge) = (&arms[twin.base].rows, twin.nudge);
            if base.iter().zip(&run.rows).take(nudge.from_s).any(|(base, nudged)| base != nudged) {
                let reason = format!("the twin of {} differs from it before it is nudged", arms_name(twin));
                self.reasons.extend((!self.reasons.contains(&reason)).then_some(reason));
            }
            twin.seeds.push(response(scenario, &self.sources, base, &run.rows, &nudge));
        }
    }

    /// What comes back to the first variable of a loop of the arm `base` in a phase, per unit put in.
    pub fn comes_back(
        &self,
        scenario: &Scenario,
        name: &str,
        base: usize,
        phase: Phase,
        confidence: f64,
    ) -> Option<Estimate> {
        let first = *variables(scenario, scenario.loops.get(name)?)?.first()?;
        let twin = self.twins.iter().find(|twin| twin.base == base && twin.nudge.phase == phase)?;
        twin.comes_back(first, confidence)
    }

    /// What a loop of the first arm did in every phase; empty if it was not measured.
    pub fn phases(&self, scenario: &Scenario, it: &Loop, confidence: f64) -> Vec<InPhase> {
        let Some(variables) = variables(scenario, it) else { return Vec::new() };
        let twins = self.twins.iter().filter(|twin| twin.base == 0 && !twin.seeds.is_empty());
        twins.map(|twin| twin.in_phase(&variables, confidence)).collect()
    }
}

fn arms_name(twin: &Twin) -> &str {
    twin.plan.lever.as_deref().unwrap_or("the control")
}

/// What one loop did after one nudge.
#[derive(Clone, Debug, PartialEq)]
pub struct InPhase {
    /// When, and how many users.
    pub nudge: Nudge,
    /// Per unit put in, all turns together.
    pub comes_back: Option<Estimate>,
    /// Of what is there, the share that comes back in one turn.
    pub per_turn: Option<Estimate>,
    /// Seconds from the first extra user until half of what comes back is back; none where nothing is shown
    /// to come back.
    pub half_back_s: Option<f64>,
    /// Whether it was over when the window closed.
    pub over: bool,
    /// By variable, in the order of the links: its difference per extra user.
    pub per_user: Vec<Option<Estimate>>,
    /// By link: the sign that was shown.
    pub signs: Vec<Option<char>>,
}

impl Twin {
    fn comes_back(&self, first: usize, confidence: f64) -> Option<Estimate> {
        let (back, put_in) = self.back_and_put_in(first)?;
        ratio(&back, &put_in, confidence).ok()
    }

    /// By seed: what came back to a variable, and what was put in.
    fn back_and_put_in(&self, variable: usize) -> Option<(Vec<f64>, Vec<f64>)> {
        let of_seed = |seed: &Response| {
            let put_in = seed.put_in[variable]?;
            Some((seed.difference[variable]? - put_in, put_in))
        };
        self.seeds.iter().map(of_seed).collect::<Option<Vec<_>>>().map(|pairs| pairs.into_iter().unzip())
    }

    fn in_phase(&self, variables: &[usize], confidence: f64) -> InPhase {
        let first = variables[0];
        let comes_back = self.comes_back(first, confidence);
        let shown = self.direction(self.back_and_put_in(first).map(|(back, _)| back));
        let moves: Vec<Option<f64>> =
            variables.iter().map(|&v| self.direction(self.differences(v))).collect();
        let signs = (0..variables.len()).map(|i| {
            let to = if i + 1 == variables.len() { shown } else { moves[i + 1] };
            Some(if moves[i]? * to? > 0.0 { '+' } else { '-' })
        });
        let users = f64::from(self.nudge.users);
        let per_user = variables.iter().map(|&v| {
            let per_user: Vec<f64> = self.differences(v)?.iter().map(|d| d / users).collect();
            one_mean(&per_user, confidence).ok()
        });
        InPhase {
            nudge: self.nudge,
            comes_back,
            per_turn: comes_back.and_then(per_turn),
            half_back_s: shown.and_then(|_| self.half_back_s(first)),
            over: self.is_over(first),
            per_user: per_user.collect(),
            signs: signs.collect(),
        }
    }

    fn differences(&self, variable: usize) -> Option<Vec<f64>> {
        self.seeds.iter().map(|seed| seed.difference[variable]).collect()
    }

    /// 1 or -1 where the mean is shown to be above or below zero.
    fn direction(&self, values: Option<Vec<f64>>) -> Option<f64> {
        let estimate = one_mean(&values?, SURE).ok()?;
        match (estimate.low > 0.0, estimate.high < 0.0) {
            (true, _) => Some(1.0),
            (_, true) => Some(-1.0),
            _ => None,
        }
    }

    /// What came back, by second, mean over seeds; the users themselves are taken out where they came in.
    fn back_by_second(&self, variable: usize) -> Vec<f64> {
        let seconds = self.nudge.until_s - self.nudge.from_s;
        let over = self.nudge.over.as_secs_f64();
        let came = |t: usize| ((over - t as f64).clamp(0.0, 1.0)) / over;
        let of_seed = |seed: &Response, t: usize| {
            seed.by_second[variable][t] - seed.put_in[variable].unwrap_or(0.0) * came(t)
        };
        let at = |t: usize| mean(&self.seeds.iter().map(|seed| of_seed(seed, t)).collect::<Vec<_>>());
        (0..seconds).map(|t| at(t).unwrap_or(0.0)).collect()
    }

    fn half_back_s(&self, variable: usize) -> Option<f64> {
        let back = self.back_by_second(variable);
        let half = back.iter().sum::<f64>() / 2.0;
        let mut so_far = 0.0;
        back.iter().enumerate().find_map(|(t, more)| {
            let before = so_far;
            so_far += more;
            let reached = if half > 0.0 { so_far >= half } else { so_far <= half };
            reached.then(|| t as f64 + (half - before) / more)
        })
    }

    fn is_over(&self, variable: usize) -> bool {
        let seconds = self.nudge.until_s - self.nudge.from_s;
        let tail = seconds - (seconds as f64 * TAIL) as usize;
        let sum = |of: &[f64]| of.iter().sum::<f64>();
        let in_tail: Vec<f64> =
            self.seeds.iter().map(|seed| sum(&seed.by_second[variable][tail..])).collect();
        let all = mean(&self.seeds.iter().map(|seed| sum(&seed.by_second[variable])).collect::<Vec<_>>());
        let left = mean(&in_tail).unwrap_or(0.0);
        self.direction(Some(in_tail)).is_none() || left.abs() <= LEFT_OVER * all.unwrap_or(0.0).abs()
    }
}

/// g of g / (1 - g), with its interval: the one grows with the other. None where more than all was taken away.
fn per_turn(comes_back: Estimate) -> Option<Estimate> {
    let of = |back: f64| back / (1.0 + back);
    (comes_back.low > -1.0).then(|| Estimate {
        mean: of(comes_back.mean),
        low: of(comes_back.low),
        high: of(comes_back.high),
        ..comes_back
    })
}

fn response(scenario: &Scenario, sources: &[Source], base: &Rows, nudged: &Rows, nudge: &Nudge) -> Response {
    let watched = nudge.seconds();
    let difference = |source: &Source| {
        Some(value(*source, nudged, watched.clone())? - value(*source, base, watched.clone())?)
    };
    let by_second = |source: &Source| {
        let at = |t: usize| value(*source, nudged, t..t + 1).zip(value(*source, base, t..t + 1));
        watched.clone().map(|t| at(t).map_or(0.0, |(nudged, base)| nudged - base)).collect()
    };
    let put_in = |source: &Source| {
        let entries = source.per_user(&scenario.services)? * f64::from(nudge.users);
        match *source {
            Source::Flow(..) => Some(entries),
            Source::Level(i, stock) => Some(entries * value(Source::Time(i, stock), base, watched.clone())?),
            Source::Time(..) => None,
        }
    };
    Response {
        difference: sources.iter().map(difference).collect(),
        put_in: sources.iter().map(put_in).collect(),
        by_second: sources.iter().map(by_second).collect(),
    }
}

/// A variable over some seconds. None if they were not all measured, or if nobody left a stock whose time is
/// asked for.
fn value(source: Source, rows: &Rows, seconds: Range<usize>) -> Option<f64> {
    let rows = rows.get(seconds)?;
    let level = |i: usize, stock: StockName| -> f64 {
        rows.iter().map(|row| row[i].stock(stock).integral_ns as f64 / 1e9).sum()
    };
    match source {
        Source::Flow(i, flow) => Some(rows.iter().map(|row| row[i].flow(flow)).sum::<u64>() as f64),
        Source::Level(i, stock) => Some(level(i, stock)),
        Source::Time(i, stock) => {
            let level = level(i, stock);
            let left: u64 = rows.iter().map(|row| u64::from(row[i].stock(stock).outflow)).sum();
            if level == 0.0 { Some(0.0) } else { (left > 0).then(|| level / left as f64) }
        }
    }
}

#[cfg(test)]
mod tests;
