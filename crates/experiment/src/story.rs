//! From what was measured to the documents of [`result`](crate::result): verdicts, claims, series.

mod causal;

use indexmap::IndexMap;
use pumphandle_core::meter::{Flow, StockName};

use crate::claims::{Window, judge};
use crate::measure::{Measured, MeasuredArm};
use crate::outcome::{Judged, SeedOutcome};
use crate::plan;
use crate::result::*;
use crate::scenario::levers::Lesson;
use crate::scenario::read::Checked;
use crate::scenario::{Kind, Mode, paths};
use crate::stats::{Decision, Estimate, mean, one_mean, quantile_sorted};
use crate::verdict::{self, Arms, Is, Ruling};

/// The confidence of every interval that is displayed.
pub const SHOWN: f64 = 0.95;

/// What a run is told of itself, beside what was measured.
#[derive(Clone, Debug)]
pub struct Circumstances {
    /// `virtual` or `real`.
    pub clock: &'static str,
    /// Changed settings, as `path=value`.
    pub overrides: Vec<String>,
    /// The command that reproduces the run.
    pub again: String,
    /// Host and times.
    pub machine: Machine,
    /// The confidence at which claims are judged.
    pub claims_at: f64,
}

/// The result document.
pub fn result(checked: &Checked, measured: &Measured, around: &Circumstances) -> RunResult {
    let scenario = &checked.scenario;
    let mut reasons = measured.reasons.clone();
    reasons.extend(measured.arms[0].reasons.iter().cloned());
    RunResult {
        schema: SCHEMA,
        scenario: scenario.scenario.clone(),
        file: checked.file.clone(),
        scenario_sha256: checked.sha256.clone(),
        overrides: around.overrides.clone(),
        kind: scenario.kind.name().to_owned(),
        clock: around.clock.to_owned(),
        seeds: measured.seeds.clone(),
        partial: measured.partial,
        valid: reasons.is_empty(),
        reasons,
        windows_s: Windows {
            trigger: measured.timeline.trigger.map(|(from, to)| [from, to]),
            pull: scenario.pull.map(|pull| pull.secs_f64()),
            end: scenario.duration.secs_f64(),
            bin: measured.timeline.bin as f64,
            triggers: scenario.timeline.iter().map(trigger_window).collect(),
        },
        arms: (0..measured.arms.len()).map(|arm| arm_document(checked, measured, arm)).collect(),
        claims: claims(checked, measured, around.claims_at),
        stocks: measured.arms[0].series.accounts(&measured.arms[0].plan.settings),
        loops: if measured.loops.is_empty() { Vec::new() } else { causal::loops(scenario, measured) },
    }
}

/// Everything that a report needs.
pub fn story(checked: &Checked, measured: &Measured, around: &Circumstances) -> Story {
    let scenario = &checked.scenario;
    let treated = |name: &str| measured.arms.iter().any(|arm| arm.plan.lever.as_deref() == Some(name));
    Story {
        result: result(checked, measured, around),
        title: scenario.title.clone(),
        story: scenario.story.trim().to_owned(),
        load: load_words(scenario),
        slo_s: scenario.slo.latency.secs_f64(),
        triggers: scenario.timeline.iter().map(trigger_band).collect(),
        settings: paths::flatten(&scenario.services),
        changes: scenario
            .levers
            .iter()
            .filter(|(name, _)| treated(name))
            .map(|(name, lever)| (name.clone(), plan::changes(scenario, lever)))
            .collect(),
        sample_s: scenario.step_s(),
        series: measured
            .arms
            .iter()
            .map(|arm| (arm.plan.name.clone(), arm.series.finish(&arm.plan.settings)))
            .collect(),
        loops: causal::loops(scenario, measured),
        again: around.again.clone(),
        machine: around.machine.clone(),
    }
}

fn load_words(scenario: &crate::scenario::Scenario) -> String {
    use pumphandle_load::Arrivals::*;
    match &scenario.load.arrivals {
        Poisson(rate) => format!("{} arrivals/s", rate.0),
        Constant(rate) => format!("{} arrivals/s, evenly spaced", rate.0),
        Bursts(bursts) => format!("{} arrivals/s in groups of {}", bursts.rate.0, bursts.size),
        Closed(closed) => format!("{} users who wait for their answers", closed.users),
        Listed(groups) => {
            let count: u64 = groups.iter().map(|group| u64::from(group.count)).sum();
            format!("{count} arrivals, each at its time")
        }
    }
}

fn trigger_window(trigger: &crate::scenario::Trigger) -> TriggerWindow {
    TriggerWindow {
        trigger: trigger.trigger.clone(),
        from: trigger.from.secs_f64(),
        to: trigger.end().map(|end| end.as_secs_f64()),
    }
}

fn trigger_band(trigger: &crate::scenario::Trigger) -> TriggerBand {
    TriggerBand {
        name: trigger.trigger.clone(),
        does: trigger.words(),
        from_s: trigger.from.secs_f64(),
        to_s: trigger.end().map(|end| end.as_secs_f64()),
    }
}

fn arm_document(checked: &Checked, measured: &Measured, index: usize) -> Arm {
    let scenario = &checked.scenario;
    let arm = &measured.arms[index];
    let lever = arm.plan.lever.as_ref().map(|name| &scenario.levers[name]);
    let valid = measured.valid(index);
    let mode = arm.plan.mode.unwrap_or(Mode::Pulled);
    let judged: Vec<Judged> = arm.seeds.iter().map(|seed| of_mode(seed, mode)).collect();
    let pulse = scenario.kind == Kind::Pulse;
    Arm {
        arm: arm.plan.name.clone(),
        lever: arm.plan.lever.clone(),
        title: match (&scenario.reference, arm.plan.name.as_str()) {
            (Some(reference), plan::REFERENCE) => Some(reference.title.clone()),
            _ => lever.map(|lever| lever.title.clone()),
        },
        mode: arm.plan.mode.map(|mode| mode.name().to_owned()),
        level: lever.map(|lever| lever.level),
        level_is_ours: lever.is_some_and(|lever| lever.ours),
        lesson: lever.and_then(|lever| lever.lesson).map(|lesson| lesson_words(lesson).to_owned()),
        evidence: lever.map(|lever| format!("{:?}", lever.evidence).to_lowercase()),
        valid,
        reasons: arm.reasons.clone(),
        state: (pulse && !judged.is_empty()).then(|| verdict::state(&judged, SHOWN).name().to_owned()),
        outcome: outcome(checked, measured, arm, &judged),
        verdict: lever.filter(|_| !judged.is_empty()).map(|lever| {
            let refs = |of: &MeasuredArm| -> Vec<SeedOutcome> { of.seeds.clone() };
            let (control, treatment) = (refs(&measured.arms[0]), refs(arm));
            let reference = measured.find(plan::REFERENCE).map(|at| refs(&measured.arms[at]));
            let reference: Option<Vec<&SeedOutcome>> = reference.as_ref().map(|all| all.iter().collect());
            let (control, treatment): (Vec<_>, Vec<_>) =
                (control.iter().collect(), treatment.iter().collect());
            let declared = scenario.cost.is_some();
            let arms =
                Arms { control: &control, treatment: &treatment, reference: reference.as_deref(), declared };
            let ruling = verdict::rule(scenario.kind, mode, &arms, SHOWN);
            verdict_document(measured, index, lever.lesson, valid, &ruling)
        }),
        events: arm.events.clone(),
    }
}

fn lesson_words(lesson: Lesson) -> &'static str {
    match lesson {
        Lesson::Terrible => "worsens",
        Lesson::Masks => "masks",
        Lesson::Delays => "delays",
        Lesson::Weak => "weak",
        Lesson::DidNotHelp => "no effect",
        Lesson::Moderate => "eases",
        Lesson::Strong | Lesson::High | Lesson::Ends => "ends",
        Lesson::VeryStrong | Lesson::VeryHigh | Lesson::Prevents => "prevents",
    }
}

fn of_mode(seed: &SeedOutcome, mode: Mode) -> Judged {
    match mode {
        Mode::Pulled => seed.pulled,
        Mode::Standing => seed.standing,
    }
}

fn interval(estimate: Estimate, unit: &str) -> Interval {
    Interval {
        unit: unit.to_owned(),
        mean: estimate.mean,
        low: estimate.low,
        high: estimate.high,
        n: estimate.n as u64,
        method: estimate.method.to_owned(),
    }
}

fn verdict_document(
    measured: &Measured,
    index: usize,
    lesson: Option<Lesson>,
    valid: bool,
    ruling: &Ruling,
) -> Verdict {
    let is = if valid { ruling.is } else { Is::NotTested };
    Verdict {
        is: is.name().to_owned(),
        by_degrading: valid && ruling.by_degrading,
        share_of_seeds: ruling.share_of_seeds,
        harm_vs_control: ruling.cost.map(|cost| interval(cost, "ratio")),
        agrees_with_lesson: valid.then(|| verdict::agrees(lesson, ruling).map(str::to_owned)).flatten(),
        side_effects: side_effects(measured, index),
        first_effect_s: first_effect(measured, index),
    }
}

/// Flows of which more is worse.
const BAD: [Flow; 9] = [
    Flow::Rejected,
    Flow::Expired,
    Flow::Killed,
    Flow::Disconnected,
    Flow::Abandoned,
    Flow::BreakerRefused,
    Flow::Fallbacks,
    Flow::PoolTimeouts,
    Flow::Limited,
];

/// Stocks and flows that the lever made worse by 10 % or more, by more than one per second or one item.
fn side_effects(measured: &Measured, index: usize) -> Vec<String> {
    let (control, arm) = (&measured.arms[0], &measured.arms[index]);
    let timeline = &measured.timeline;
    let pull = if arm.plan.mode == Some(Mode::Standing) { 0.0 } else { timeline.pull };
    let range = timeline.harm_from(pull)..timeline.end;
    let mut worse = Vec::new();
    for (i, name) in arm.plan.settings.keys().enumerate() {
        if control.first_rows.is_none() {
            break;
        }
        let (before, after) = (control.series.means(i, range.clone()), arm.series.means(i, range.clone()));
        let stocks =
            before.levels.iter().zip(&after.levels).filter(|((stock, _), _)| *stock != StockName::Waiting);
        for ((stock, before), (_, after)) in stocks {
            if *after > before * 1.1 && after - before > 1.0 {
                worse.push((after - before, format!("{name}.{} {before:.0} -> {after:.0}", stock.name())));
            }
        }
        for ((flow, before), (_, after)) in
            before.flows.iter().zip(&after.flows).filter(|((flow, _), _)| BAD.contains(flow))
        {
            if *after > before * 1.1 && after - before > 1.0 {
                worse.push((after - before, format!("{name}.{} {before:.0}/s -> {after:.0}/s", flow.name())));
            }
        }
    }
    worse.sort_by(|a, b| b.0.total_cmp(&a.0));
    worse.into_iter().take(5).map(|(_, text)| text).collect()
}

/// Seconds from the pull until two bins in a row have closed a quarter of the control's gap in good share.
fn first_effect(measured: &Measured, index: usize) -> Option<f64> {
    let arm = &measured.arms[index];
    if arm.plan.mode != Some(Mode::Pulled) || measured.arms[0].first_rows.is_none() {
        return None;
    }
    let timeline = &measured.timeline;
    let from = timeline.pull.max(timeline.trigger.map_or(0.0, |(from, _)| from)) as usize;
    let bins = |of: &MeasuredArm| -> Vec<f64> {
        let all = of.series.good_and_arrivals();
        all[from.min(all.len())..]
            .chunks_exact(timeline.bin)
            .map(|bin| {
                let (good, arrivals) = bin.iter().fold((0, 0), |(g, a), (good, n)| (g + good, a + n));
                good as f64 / arrivals.max(1) as f64
            })
            .collect()
    };
    let (control, treatment) = (bins(&measured.arms[0]), bins(arm));
    let closes: Vec<bool> = control
        .iter()
        .zip(&treatment)
        .map(|(control, treatment)| 1.0 - control > 0.05 && treatment - control >= (1.0 - control) / 4.0)
        .collect();
    let bin = closes.windows(2).position(|pair| pair[0] && pair[1])?;
    Some((bin * timeline.bin) as f64)
}

fn outcome(checked: &Checked, measured: &Measured, arm: &MeasuredArm, judged: &[Judged]) -> Outcome {
    let seeds = &arm.seeds;
    let over = |value: &dyn Fn(&SeedOutcome) -> f64| average(seeds.iter().map(value));
    let over_judged = |value: &dyn Fn(&Judged) -> f64| average(judged.iter().map(value));
    let (arrivals, good) = (over(&|seed| seed.arrivals), over(&|seed| seed.good));
    let pulse = checked.scenario.kind == Kind::Pulse;
    let share_of = |holds: fn(&Judged) -> bool| {
        let k = judged.iter().filter(|seed| holds(seed)).count();
        (pulse && !judged.is_empty()).then(|| k as f64 / judged.len() as f64)
    };
    let onsets: Vec<f64> = judged.iter().filter_map(|seed| seed.onset_s).collect();
    Outcome {
        arrivals,
        good,
        degraded: over(&|seed| seed.degraded),
        good_share: if arrivals > 0.0 { good / arrivals } else { 0.0 },
        harm: over_judged(&|seed| seed.harm),
        harm_share: over_judged(&|seed| seed.harm_share),
        visible_error_share: over_judged(&|seed| seed.error_share),
        recovered_share: share_of(|seed| seed.recovered),
        metastable_share: share_of(|seed| seed.metastable),
        recovery_s: pulse.then(|| recovery(judged)),
        onset_s: mean(&onsets),
        cost_j: Cost {
            name: checked.scenario.cost().0.name().to_owned(),
            value: over_judged(&|seed| seed.cost),
        },
        good_share_by_window: by_window(|w| maybe(seeds, |seed| seed.good_share.get(&w).copied())),
        goodput_per_s: by_window(|w| maybe(seeds, |seed| seed.goodput.get(&w).copied())),
        amplification: services(checked, |i| {
            by_window(|w| maybe(seeds, |seed| seed.services.get(i)?.get(&w)?.amplification))
        }),
        wasted_work: services(checked, |i| {
            maybe(seeds, |seed| seed.services.get(i)?.get(&Window::All)?.wasted)
        }),
        latency_ms: latency(measured, arm),
    }
}

fn average(values: impl Iterator<Item = f64>) -> f64 {
    mean(&values.collect::<Vec<_>>()).unwrap_or(0.0)
}

fn maybe(seeds: &[SeedOutcome], value: impl Fn(&SeedOutcome) -> Option<f64>) -> Option<f64> {
    mean(&seeds.iter().filter_map(value).collect::<Vec<_>>())
}

fn services<T>(checked: &Checked, value: impl Fn(usize) -> T) -> IndexMap<String, T> {
    checked.scenario.services.keys().enumerate().map(|(i, name)| (name.clone(), value(i))).collect()
}

fn by_window(value: impl Fn(Window) -> Option<f64>) -> ByWindow {
    ByWindow {
        before: value(Window::Before),
        during: value(Window::During),
        after: value(Window::After),
        last_minute: value(Window::LastMinute),
    }
}

fn recovery(judged: &[Judged]) -> Recovery {
    let mut times: Vec<f64> = judged.iter().filter_map(|seed| seed.recovery_s).collect();
    times.sort_by(f64::total_cmp);
    let interval = one_mean(&times, SHOWN).ok();
    Recovery {
        recovered: times.len() as u64,
        n: judged.len() as u64,
        p50: quantile_sorted(&times, 0.5),
        min: times.first().copied(),
        max: times.last().copied(),
        low: interval.map(|it| it.low.max(0.0)),
        high: interval.map(|it| it.high),
    }
}

fn latency(_: &Measured, arm: &MeasuredArm) -> Latency {
    let ms = |q: f64| arm.latency.value_at_quantile(q) as f64 / 1e3;
    Latency { p50: ms(0.5), p90: ms(0.9), p99: ms(0.99), p999: ms(0.999), censored: arm.censored }
}

fn claims(checked: &Checked, measured: &Measured, confidence: f64) -> Vec<Claim> {
    checked
        .claims()
        .filter_map(|(sentence, body, line)| {
            // A run of some levers says nothing of the others; `check` runs them all.
            let arm = measured.find(&body.arm)?;
            if body.comes_back.is_some() && measured.loops.is_empty() {
                return None;
            }
            let finding = judge::judge(&checked.scenario, measured, body, arm, confidence);
            let reasons =
                measured.reasons.iter().chain(&measured.arms[0].reasons).chain(&measured.arms[arm].reasons);
            let of_loops = measured.loops.reasons.iter().filter(|_| body.comes_back.is_some());
            let against: Vec<String> = reasons.chain(of_loops).cloned().collect();
            let (is, reason) = match finding.decision {
                _ if measured.seeds.is_empty() => ("not tested", "interrupted".to_owned()),
                _ if !against.is_empty() => ("not tested", against.join("; ")),
                Decision::Held => ("held", String::new()),
                Decision::Broken => ("broken", String::new()),
                Decision::Undecided => {
                    let n = measured.seeds.len();
                    ("not tested", format!("undecided with {n} {}", if n == 1 { "seed" } else { "seeds" }))
                }
            };
            Some(Claim {
                claim: sentence.to_owned(),
                arm: body.arm.clone(),
                is: is.to_owned(),
                reason,
                expected: finding.expected,
                measured: finding.measured,
                line,
            })
        })
        .collect()
}
