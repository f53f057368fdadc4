//! Measuring probes: a probe is one changed scenario, one arm of it, and one trigger (the point's, none, or the
//! longest). Two points that come to the same probe share its runs. Looks follow [`Looks`]; every probe is
//! looked at under the same seeds. Decides nothing about classes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pumphandle_core::Dur;

use crate::map::class::{Fate, Tally};
use crate::map::looks::Looks;
use crate::outcome::{Timeline, judge};
use crate::plan::{self, ArmPlan};
use crate::run::virtual_clock::{Job, in_order, run_one};
use crate::scenario::{Kind, Mode, Scenario, check};
use crate::validity;

/// Seconds after its trigger (or five times the trigger, if that is more) after which nobody can blame it any
/// more: the rule of [`outcome`](crate::outcome) for "metastable".
const AFTER: Duration = Duration::from_secs(120);

/// Which arm is measured at every point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arm {
    /// The lever and how it is tried; none for the control.
    pub lever: Option<(String, Mode)>,
}

impl Arm {
    /// As in results: `control`, `LEVER`, `LEVER@start`.
    pub fn name(&self) -> String {
        match &self.lever {
            None => "control".to_owned(),
            Some((lever, Mode::Pulled)) => lever.clone(),
            Some((lever, Mode::Standing)) => format!("{lever}@start"),
        }
    }

    /// How its lever is tried.
    pub fn mode(&self) -> Option<Mode> {
        self.lever.as_ref().map(|(_, mode)| *mode)
    }

    fn plan(&self, scenario: &Scenario) -> Result<ArmPlan, String> {
        match &self.lever {
            None => Ok(plan::control(scenario)),
            Some((lever, mode)) => plan::treatment(scenario, lever, *mode)
                .map_err(|wrong| format!("lever `{lever}`: {}", wrong[0].1)),
        }
    }
}

/// Which trigger a probe has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TriggerOf {
    /// As the scenario has it.
    Point,
    /// There is none.
    None,
    /// Every trigger that ends lasts this long, if it does not last longer by itself.
    Longest(Dur),
}

/// What happens while measuring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tick {
    /// So many runs more will be made.
    Expect(u64),
    /// One run is done.
    Done,
}

/// How to measure.
#[derive(Clone, Copy, Debug)]
pub struct HowMany<'a> {
    /// Simulations at a time.
    pub threads: usize,
    /// Becomes true when somebody wants it to end.
    pub stop: &'a AtomicBool,
    /// The first seed.
    pub first_seed: u64,
    /// The looks at each probe.
    pub looks: Looks,
}

/// One probe with what was seen of it.
#[derive(Clone, Debug)]
pub struct Probe {
    scenario: Scenario,
    plan: ArmPlan,
    mode: Option<Mode>,
    timeline: Timeline,
    fates: Vec<Fate>,
    /// Reasons to believe nothing of it.
    pub reasons: Vec<String>,
}

impl Probe {
    /// The seeds counted.
    pub fn tally(&self) -> Tally {
        Tally::of(&self.fates)
    }

    /// Whether more seeds could still decide it.
    fn is_open(&self, looks: Looks) -> bool {
        let tally = self.tally();
        self.reasons.is_empty()
            && !tally.ill_before(looks)
            && tally.end(looks) == crate::map::class::End::Open
    }
}

/// All probes, by what they are.
#[derive(Debug, Default)]
pub struct Bench {
    probes: BTreeMap<String, Probe>,
    /// Simulations that were made.
    pub runs: u64,
    /// Somebody ended it before everything was measured.
    pub partial: bool,
}

impl Bench {
    /// Adds the probe of a changed scenario, unless it is there already, and returns its name.
    ///
    /// # Errors
    ///
    /// What speaks against running this scenario, for the person who chose the values.
    pub fn add(&mut self, scenario: &Scenario, arm: &Arm, trigger: TriggerOf) -> Result<String, String> {
        let scenario = prepare(scenario, arm, trigger);
        let text = serde_json::to_string(&scenario).expect("a scenario is plain data");
        let key = format!("{}\n{text}", arm.name());
        if !self.probes.contains_key(&key) {
            let plan = arm.plan(&scenario)?;
            let timeline = Timeline::of(&scenario);
            let probe =
                Probe { plan, mode: arm.mode(), timeline, scenario, fates: Vec::new(), reasons: Vec::new() };
            self.probes.insert(key.clone(), probe);
        }
        Ok(key)
    }

    /// The probe of this name.
    ///
    /// # Panics
    ///
    /// If it was not added.
    pub fn probe(&self, key: &str) -> &Probe {
        &self.probes[key]
    }

    /// Measures these probes until they are decided or have had their last look.
    pub fn settle(&mut self, keys: &[String], how: &HowMany<'_>, tick: &mut dyn FnMut(Tick)) {
        for look in how.looks.at() {
            let mut jobs: Vec<(String, u64)> = Vec::new();
            let mut asked: Vec<&String> = keys.iter().collect();
            asked.sort();
            asked.dedup();
            for key in asked {
                let probe = &self.probes[key];
                if probe.is_open(how.looks) {
                    let seen = probe.fates.len() as u64;
                    jobs.extend((seen..look).map(|seed| (key.clone(), how.first_seed + seed)));
                }
            }
            self.run(&jobs, how, tick);
            if self.partial {
                return;
            }
        }
    }

    fn run(&mut self, jobs: &[(String, u64)], how: &HowMany<'_>, tick: &mut dyn FnMut(Tick)) {
        tick(Tick::Expect(jobs.len() as u64));
        let probes = &self.probes;
        let work = |i: usize| {
            let (key, seed) = &jobs[i];
            one(&probes[key], *seed)
        };
        let mut done = Vec::new();
        in_order(jobs.len(), how.threads, how.stop, work, |_, result| {
            tick(Tick::Done);
            done.push(result);
        });
        self.runs += done.len() as u64;
        for ((key, _), (fate, reasons)) in jobs.iter().zip(done.iter()) {
            let probe = self.probes.get_mut(key).expect("jobs are of probes");
            probe.fates.extend(*fate);
            for reason in reasons {
                if !probe.reasons.contains(reason) {
                    probe.reasons.push(reason.clone());
                }
            }
        }
        self.partial |= done.len() < jobs.len() || how.stop.load(Ordering::Relaxed);
    }
}

/// One seed of a probe: what it came to, and reasons against it.
fn one(probe: &Probe, seed: u64) -> (Option<Fate>, Vec<String>) {
    let job = Job { arm: &probe.plan, seed, keep_events: false };
    match run_one(&probe.scenario, &job) {
        Ok(run) => {
            let mut reasons = validity::of_arm(&run);
            // A standing lever may keep the trigger from being seen at all.
            if probe.mode != Some(Mode::Standing) {
                reasons.extend(validity::of_control(&probe.scenario, &probe.timeline, &run));
            }
            let outcome = judge(&probe.timeline, &run);
            (Some(Fate::of(&probe.scenario, probe.mode, &outcome)), reasons)
        }
        Err(stalled) => (None, vec![stalled.to_string()]),
    }
}

/// The scenario as a probe runs it: with the probe's trigger, and going on long enough after it.
fn prepare(scenario: &Scenario, arm: &Arm, trigger: TriggerOf) -> Scenario {
    let mut scenario = scenario.clone();
    // Claims are about the scenario as it is written; without them equal probes are equal.
    scenario.claims.clear();
    match trigger {
        TriggerOf::Point => {}
        TriggerOf::None => scenario.timeline.clear(),
        TriggerOf::Longest(longest) => {
            let ending = scenario.timeline.iter_mut().filter_map(|trigger| trigger.lasts.as_mut());
            ending.for_each(|lasts| *lasts = longest.max(*lasts));
        }
    }
    go_on_long_enough(&mut scenario, arm);
    scenario
}

/// Lengthens a pulse so that what is still down at its end may be called metastable. Never shortens.
pub fn go_on_long_enough(scenario: &mut Scenario, arm: &Arm) {
    let Some((from, Some(to))) = scenario.trigger_window() else { return };
    if scenario.kind != Kind::Pulse {
        return;
    }
    let after = AFTER.max((to - from) * 5);
    let mut end = to + after;
    if arm.mode() == Some(Mode::Pulled) {
        end = end.max(scenario.pull.unwrap_or_default().0 + AFTER);
    }
    scenario.duration = scenario.duration.max(Dur(end));
}

/// What speaks against a changed scenario, as one text; nothing if it can run.
pub fn problems(scenario: &Scenario, arm: &Arm) -> Option<String> {
    let scenario = prepare(scenario, arm, TriggerOf::Point);
    let problems = check::check(&scenario);
    let lines: Vec<String> = problems.iter().map(|it| format!("{}: {}", it.path, it.message)).collect();
    (!lines.is_empty()).then(|| lines.join("; "))
}
