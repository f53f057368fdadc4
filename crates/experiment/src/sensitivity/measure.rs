//! Running variations, and comparing verdicts. An arm that cannot read a number is not run again for it: the
//! result would be the same bytes. All runs of a command are one list over all cores.

use std::sync::atomic::AtomicBool;

use indexmap::IndexMap;

use crate::claims::State;
use crate::document::Document;
use crate::outcome::{SeedOutcome, Timeline, judge};
use crate::plan::{self, ArmPlan};
use crate::run::virtual_clock::{Job, in_order, run_one};
use crate::scenario::{Kind, Mode, Scenario};
use crate::sensitivity::numbers::{BY, Number, Reach, Which, numbers, vary};
use crate::sensitivity::result::{Flip, NotVaried, NumberResult, SCHEMA, SensitivityResult, Variation};
use crate::story::SHOWN;
use crate::validity;
use crate::verdict::{self, Is};

/// How to measure.
#[derive(Clone, Copy, Debug)]
pub struct How<'a> {
    /// Simulations at a time.
    pub threads: usize,
    /// Becomes true when somebody wants it to end.
    pub stop: &'a AtomicBool,
    /// The seeds.
    pub seeds: &'a [u64],
}

/// A scenario, changed in one number or not at all, with the arms that are run of it.
struct Variant {
    scenario: Scenario,
    timeline: Timeline,
    arms: Vec<Measured>,
}

/// An arm of a variant.
struct Measured {
    plan: ArmPlan,
    seeds: Vec<SeedOutcome>,
    reasons: Vec<String>,
}

impl Variant {
    fn new(scenario: Scenario, reach: &Reach) -> Result<Variant, String> {
        let mut arms = Vec::new();
        if !matches!(reach, Reach::Lever(_)) {
            arms.push(Measured::of(plan::control(&scenario)));
            arms.extend(plan::reference(&scenario).map(Measured::of));
        }
        for mode in [Mode::Pulled, Mode::Standing] {
            let read = scenario.levers.iter().filter(|(name, lever)| {
                lever.modes.contains(&mode)
                    && match reach {
                        Reach::Lever(only) => *name == only,
                        Reach::Pulled => mode == Mode::Pulled,
                        Reach::Everywhere => true,
                    }
            });
            for (name, _) in read {
                let plan = plan::treatment(&scenario, name, mode);
                arms.push(Measured::of(plan.map_err(|wrong| format!("lever `{name}`: {}", wrong[0].1))?));
            }
        }
        Ok(Variant { timeline: Timeline::of(&scenario), scenario, arms })
    }

    /// Its control, if it was run.
    fn control(&self) -> Option<&Measured> {
        self.arms.first().filter(|arm| arm.plan.lever.is_none())
    }

    /// What speaks against it as a whole.
    fn reasons(&self) -> Vec<String> {
        let Some(control) = self.control() else { return Vec::new() };
        control.reasons.iter().cloned().chain(validity::of_controls(&self.scenario, &control.seeds)).collect()
    }

    /// How its control ends.
    fn end(&self) -> Option<String> {
        let control = self.control().filter(|_| self.scenario.kind == Kind::Pulse)?;
        let judged: Vec<_> = control.seeds.iter().map(|seed| seed.standing).collect();
        Some(word(verdict::state(&judged, SHOWN)).to_owned())
    }

    /// Whether all of its runs were made.
    fn is_whole(&self, seeds: usize) -> bool {
        self.arms.iter().all(|arm| arm.seeds.len() == seeds || !arm.reasons.is_empty())
    }

    /// Its arm without the defect, if it was run.
    fn reference(&self) -> Option<&Measured> {
        self.arms.iter().find(|arm| arm.plan.name == plan::REFERENCE)
    }

    /// The verdict of every arm, against `control`, on the way to `reference`.
    fn verdicts(
        &self,
        control: &Measured,
        reference: Option<&Measured>,
        reasons: &[String],
    ) -> IndexMap<String, Is> {
        let treatments = self.arms.iter().filter(|arm| arm.plan.lever.is_some());
        treatments
            .map(|arm| {
                let valid = reasons.is_empty() && arm.reasons.is_empty();
                let is = if valid { self.rule(control, reference, arm) } else { Is::NotTested };
                (arm.plan.name.clone(), is)
            })
            .collect()
    }

    fn rule(&self, control: &Measured, reference: Option<&Measured>, arm: &Measured) -> Is {
        let refs = |of: &'_ Measured| -> Vec<SeedOutcome> { of.seeds.clone() };
        let (control, treatment, reference) = (refs(control), refs(arm), reference.map(refs));
        let (control, treatment): (Vec<_>, Vec<_>) = (control.iter().collect(), treatment.iter().collect());
        let reference: Option<Vec<&SeedOutcome>> = reference.as_ref().map(|all| all.iter().collect());
        let mode = arm.plan.mode.unwrap_or(Mode::Pulled);
        let declared = self.scenario.cost.is_some();
        let arms = verdict::Arms {
            control: &control,
            treatment: &treatment,
            reference: reference.as_deref(),
            declared,
        };
        verdict::rule(self.scenario.kind, mode, &arms, SHOWN).is
    }
}

impl Measured {
    fn of(plan: ArmPlan) -> Measured {
        Measured { plan, seeds: Vec::new(), reasons: Vec::new() }
    }
}

fn word(state: State) -> &'static str {
    match state {
        State::Recovers => "recovers",
        State::StaysDown => "stays down",
        State::Mixed => "mixed",
    }
}

/// What is going to be run: numbers with their variants.
pub struct Planned {
    base: Variant,
    varied: Vec<(Number, Vec<(String, Variant)>)>,
    not_varied: Vec<NotVaried>,
    which: Which,
}

impl Planned {
    /// Simulations per seed.
    pub fn runs_per_seed(&self) -> u64 {
        self.variants().map(|variant| variant.arms.len() as u64).sum()
    }

    fn variants(&self) -> impl Iterator<Item = &Variant> {
        std::iter::once(&self.base).chain(self.varied.iter().flat_map(|(_, of)| of.iter().map(|(_, it)| it)))
    }

    fn variants_mut(&mut self) -> impl Iterator<Item = &mut Variant> {
        let varied = self.varied.iter_mut().flat_map(|(_, of)| of.iter_mut().map(|(_, it)| it));
        std::iter::once(&mut self.base).chain(varied)
    }
}

/// Plans the variations of a scenario that was read from `document`.
///
/// # Errors
///
/// That there is nothing to vary.
pub fn plan(document: &Document, scenario: &Scenario, which: Which) -> Result<Planned, String> {
    let base = Variant::new(scenario.clone(), &Reach::Everywhere)?;
    let mut varied = Vec::new();
    let mut not_varied = Vec::new();
    for number in numbers(document, which) {
        let mut of_number = Vec::new();
        for factor in [1.0 - BY, 1.0 + BY] {
            let variant = vary(document, &number, factor)
                .and_then(|(scenario, written)| Ok((written, Variant::new(scenario, &number.reach)?)));
            match variant {
                Ok(variant) => of_number.push(variant),
                Err(reason) => not_varied.push(NotVaried {
                    path: number.path.clone(),
                    value: number.value.clone(),
                    reason,
                }),
            }
        }
        if !of_number.is_empty() {
            varied.push((number, of_number));
        }
    }
    if varied.is_empty() {
        return Err(match which {
            Which::Free => {
                "no number has `# why: free choice`, so there is none to vary; try --all".to_owned()
            }
            Which::All => "there is no number that could be varied".to_owned(),
        });
    }
    Ok(Planned { base, varied, not_varied, which })
}

/// What a result is told of itself.
#[derive(Clone, Debug)]
pub struct About {
    /// The file as a person would open it.
    pub file: String,
    /// SHA-256 of the file's bytes, in hex.
    pub sha256: String,
    /// The command that makes it again.
    pub again: String,
}

/// Runs everything that was planned, and compares. `done` is told of every finished run.
pub fn measure(mut planned: Planned, about: About, how: &How<'_>, done: impl FnMut()) -> SensitivityResult {
    let runs = run(&mut planned, how, done);
    let n = how.seeds.len();
    let base_reasons = planned.base.reasons();
    let control = planned.base.control().expect("the base is run as a whole");
    let base = if planned.base.is_whole(n) {
        planned.base.verdicts(control, planned.base.reference(), &base_reasons)
    } else {
        IndexMap::new()
    };
    let base_end = planned.base.end();
    let mut numbers = Vec::new();
    for (number, variants) in &planned.varied {
        let whole = variants.iter().filter(|(_, variant)| variant.is_whole(n) && !base.is_empty());
        let variations: Vec<Variation> = whole
            .map(|(value, variant)| {
                let base_of = (control, planned.base.reference());
                compare(value, variant, base_of, &base_reasons, &base, base_end.as_deref())
            })
            .collect();
        if !variations.is_empty() {
            numbers.push(NumberResult {
                path: number.path.clone(),
                value: number.value.clone(),
                why: number.why.clone(),
                variations,
            });
        }
    }
    let all = planned.variants().count() as u64;
    SensitivityResult {
        schema: SCHEMA,
        scenario: planned.base.scenario.scenario.clone(),
        title: planned.base.scenario.title.clone(),
        file: about.file,
        scenario_sha256: about.sha256,
        which: if planned.which == Which::Free { "free choices" } else { "all numbers" }.to_owned(),
        by: BY,
        seeds: how.seeds.to_vec(),
        control: base_end,
        base: base.iter().map(|(arm, is)| (arm.clone(), is.name().to_owned())).collect(),
        reasons: base_reasons,
        compared: numbers.iter().flat_map(|it| &it.variations).map(|it| it.verdicts.len() as u64).sum(),
        numbers,
        partial: runs < planned.runs_per_seed() * n as u64,
        not_varied: planned.not_varied,
        runs,
        runs_without_sharing: all * planned.base.arms.len() as u64 * n as u64,
        again: about.again,
    }
}

fn compare(
    value: &str,
    variant: &Variant,
    (base_control, base_reference): (&Measured, Option<&Measured>),
    base_reasons: &[String],
    base: &IndexMap<String, Is>,
    base_end: Option<&str>,
) -> Variation {
    // A control that cannot read the number is the one of the file as it is.
    let control = variant.control().unwrap_or(base_control);
    let reasons = if variant.control().is_some() { variant.reasons() } else { base_reasons.to_vec() };
    let reference = if variant.control().is_some() { variant.reference() } else { base_reference };
    let verdicts = variant.verdicts(control, reference, &reasons);
    let end = variant.end();
    let mut flips = Vec::new();
    let mut undecided = Vec::new();
    let flip = |arm: &str, from: &str, to: &str| Flip { arm: arm.into(), from: from.into(), to: to.into() };
    if let (Some(from), Some(to)) = (base_end, end.as_deref())
        && from != to
    {
        let open = [from, to].contains(&word(State::Mixed));
        if open { &mut undecided } else { &mut flips }.push(flip("control", from, to));
    }
    for (arm, is) in &verdicts {
        let Some(was) = base.get(arm).filter(|was| *was != is) else { continue };
        let open = |is: &Is| matches!(is, Is::Undecided | Is::NotTested);
        let list = if open(was) || open(is) { &mut undecided } else { &mut flips };
        list.push(flip(arm, was.name(), is.name()));
    }
    Variation {
        value: value.to_owned(),
        control: end,
        verdicts: verdicts.iter().map(|(arm, is)| (arm.clone(), is.name().to_owned())).collect(),
        flips,
        undecided,
        reasons,
    }
}

/// Runs all arms of all variants under all seeds; returns how many runs were made.
fn run(planned: &mut Planned, how: &How<'_>, mut done: impl FnMut()) -> u64 {
    let jobs: Vec<(&Variant, usize, usize, u64)> = planned
        .variants()
        .enumerate()
        .flat_map(|(v, variant)| {
            let arms = 0..variant.arms.len();
            arms.flat_map(move |a| how.seeds.iter().map(move |&seed| (variant, v, a, seed)))
        })
        .collect();
    let work = |i: usize| {
        let (variant, _, a, seed) = jobs[i];
        one(variant, a, seed)
    };
    let mut results = Vec::new();
    in_order(jobs.len(), how.threads, how.stop, work, |i, result| {
        done();
        results.push((jobs[i].1, jobs[i].2, result));
    });
    let runs = results.len() as u64;
    let mut variants: Vec<&mut Variant> = planned.variants_mut().collect();
    for (v, a, (outcome, reasons)) in results {
        let arm = &mut variants[v].arms[a];
        arm.seeds.extend(outcome);
        for reason in reasons {
            if !arm.reasons.contains(&reason) {
                arm.reasons.push(reason);
            }
        }
    }
    runs
}

fn one(variant: &Variant, arm: usize, seed: u64) -> (Option<SeedOutcome>, Vec<String>) {
    let plan = &variant.arms[arm].plan;
    match run_one(&variant.scenario, &Job { arm: plan, seed, keep_events: false }) {
        Ok(run) => {
            let mut reasons = validity::of_arm(&run);
            if plan.lever.is_none() && plan.name != plan::REFERENCE {
                reasons.extend(validity::of_control(&variant.scenario, &variant.timeline, &run));
            }
            (Some(judge(&variant.timeline, &run)), reasons)
        }
        Err(stalled) => (None, vec![stalled.to_string()]),
    }
}
