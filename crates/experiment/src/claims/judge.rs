//! Judging claims: each part of a claim gives held, broken or not tested; a claim is the worst of its parts.

use pumphandle_core::meter::{Flow, StockName};

use crate::claims::{ClaimBody, ComesBack, Measure, Quantity, State};
use crate::measure::Measured;
use crate::outcome::{Judged, SeedOutcome};
use crate::plan::REFERENCE;
use crate::scenario::{Mode, Scenario};
use crate::stats::{Decision, Estimate, NoEstimate, Region, clopper_pearson, decide, one_mean};
use crate::verdict::{self, Arms, Is};

/// How a claim came out.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Held, broken, or neither.
    pub decision: Decision,
    /// What was expected, in words.
    pub expected: String,
    /// What was measured, in words.
    pub measured: String,
}

/// Judges a claim on `measured`, with every interval at `confidence`. `arm` stands in for the arm that the
/// claim names, when it is to be shown that the claim can fail.
pub fn judge(
    scenario: &Scenario,
    measured: &Measured,
    claim: &ClaimBody,
    arm: usize,
    confidence: f64,
) -> Finding {
    let parts = parts(scenario, measured, claim, arm, confidence);
    let worst =
        parts.iter().map(|part| part.decision).fold(Decision::Held, |worst, next| match (worst, next) {
            (Decision::Broken, _) | (_, Decision::Broken) => Decision::Broken,
            (Decision::Undecided, _) | (_, Decision::Undecided) => Decision::Undecided,
            _ => Decision::Held,
        });
    let join = |text: fn(&Finding) -> &String| parts.iter().map(text).cloned().collect::<Vec<_>>().join("; ");
    Finding { decision: worst, expected: join(|part| &part.expected), measured: join(|part| &part.measured) }
}

fn parts(
    scenario: &Scenario,
    measured: &Measured,
    claim: &ClaimBody,
    arm: usize,
    confidence: f64,
) -> Vec<Finding> {
    let seeds = &measured.arms[arm].seeds;
    let mode = measured.arms[arm].plan.mode.unwrap_or(Mode::Pulled);
    let judged: Vec<Judged> = seeds.iter().map(|seed| of_mode(seed, mode)).collect();
    let mut parts = Vec::new();
    if let Some(state) = claim.state {
        parts.push(on_state(state, &judged, confidence));
    }
    if let Some(expected) = claim.metastable {
        let k = judged.iter().filter(|seed| seed.metastable == expected).count();
        let name = if expected { "metastable" } else { "not metastable" };
        parts.push(on_majority(name, k, judged.len(), confidence));
    }
    if let Some(limit) = claim.recovers_within {
        parts.push(on_recovery(limit.secs_f64(), &judged, confidence));
    }
    if !claim.verdict.is_empty() {
        parts.push(on_verdict(scenario, measured, &claim.verdict, arm, mode, confidence));
    }
    if let Some(measure) = &claim.measure {
        parts.push(on_measure(scenario, measure, seeds, confidence));
    }
    if let Some(claim) = &claim.comes_back {
        parts.push(on_loop(scenario, measured, claim, arm, confidence));
    }
    parts
}

fn of_mode(seed: &SeedOutcome, mode: Mode) -> Judged {
    match mode {
        Mode::Pulled => seed.pulled,
        Mode::Standing => seed.standing,
    }
}

fn on_state(expected: State, judged: &[Judged], confidence: f64) -> Finding {
    let recovered = judged.iter().filter(|seed| seed.recovered).count();
    match expected {
        State::Recovers => on_majority("recovers", recovered, judged.len(), confidence),
        State::StaysDown => on_majority("stays down", judged.len() - recovered, judged.len(), confidence),
        State::Mixed => {
            let mixed = verdict::state(judged, confidence) == State::Mixed;
            Finding {
                decision: if mixed { Decision::Held } else { Decision::Broken },
                expected: "mixed".to_owned(),
                measured: format!("recovered in {recovered} of {} seeds", judged.len()),
            }
        }
    }
}

fn on_majority(name: &str, k: usize, n: usize, confidence: f64) -> Finding {
    let interval = clopper_pearson(k as u64, n as u64, confidence);
    Finding {
        decision: decide(interval, Region::above(0.5)),
        expected: format!("{name} in most seeds"),
        measured: format!("{name} in {k} of {n} seeds"),
    }
}

fn on_recovery(limit: f64, judged: &[Judged], confidence: f64) -> Finding {
    let state = on_state(State::Recovers, judged, confidence);
    let times: Vec<f64> = judged.iter().filter_map(|seed| seed.recovery_s).collect();
    let expected = format!("recovers within {limit} s");
    match one_mean(&times, confidence) {
        Ok(mean) if state.decision == Decision::Held => Finding {
            decision: decide(mean.interval(), Region::at_most(limit)),
            expected,
            measured: format!("recovers after {:.1} s [{:.1}, {:.1}]", mean.mean, mean.low, mean.high),
        },
        _ => Finding { expected, ..state },
    }
}

fn on_verdict(
    scenario: &Scenario,
    measured: &Measured,
    expected: &[Is],
    arm: usize,
    mode: Mode,
    confidence: f64,
) -> Finding {
    let refs = |arm: usize| measured.arms[arm].seeds.iter().collect::<Vec<_>>();
    let reference = measured.find(REFERENCE).map(refs);
    let (control, treatment) = (refs(0), refs(arm));
    let declared = scenario.cost.is_some();
    let case = Arms { control: &control, treatment: &treatment, reference: reference.as_deref(), declared };
    let ruling = verdict::rule(scenario.kind, mode, &case, confidence);
    let decision = match ruling.is {
        Is::Undecided | Is::NotTested => Decision::Undecided,
        is if expected.contains(&is) => Decision::Held,
        _ => Decision::Broken,
    };
    let names: Vec<&str> = expected.iter().map(|is| is.name()).collect();
    let cost = ruling.cost.map_or(String::new(), |cost| {
        let percent = |x: f64| x * 100.0;
        format!(
            " ({} {:+.1} % [{:+.1}, {:+.1}])",
            if scenario.cost.is_some() { "cost" } else { "harm" },
            percent(cost.mean),
            percent(cost.low),
            percent(cost.high)
        )
    });
    Finding {
        decision,
        expected: format!("verdict {}", names.join(" or ")),
        measured: format!("{}{cost}", ruling.is.name()),
    }
}

fn on_measure(scenario: &Scenario, measure: &Measure, seeds: &[SeedOutcome], confidence: f64) -> Finding {
    let service = measure.service.as_ref().and_then(|name| scenario.services.get_index_of(name));
    let values: Vec<f64> = seeds.iter().filter_map(|seed| value(seed, measure, service)).collect();
    let word = |name: &Option<String>| name.as_ref().map(|name| format!("{name} ")).unwrap_or_default();
    let what = [&measure.service, &measure.flow, &measure.stock].map(word).concat();
    let name = format!("{what}{:?} {:?}", measure.of, measure.part());
    within(name, one_mean(&values, confidence), measure.at_least, measure.at_most)
}

/// Where the interval of a quantity lies, against the bounds of a claim.
fn within(
    name: String,
    estimate: Result<Estimate, NoEstimate>,
    at_least: Option<f64>,
    at_most: Option<f64>,
) -> Finding {
    let bound = |bound: Option<f64>, word: &str| bound.map(|x| format!(" {word} {x}")).unwrap_or_default();
    let expected = format!("{name}{}{}", bound(at_least, "at least"), bound(at_most, "at most"));
    let region = Region::from_to(at_least.unwrap_or(f64::NEG_INFINITY), at_most.unwrap_or(f64::INFINITY));
    match estimate {
        Ok(mean) => Finding {
            decision: decide(mean.interval(), region),
            expected,
            measured: format!("{:.4} [{:.4}, {:.4}]", mean.mean, mean.low, mean.high),
        },
        Err(why) => Finding { decision: Decision::Undecided, expected, measured: why.to_string() },
    }
}

fn on_loop(
    scenario: &Scenario,
    measured: &Measured,
    claim: &ComesBack,
    arm: usize,
    confidence: f64,
) -> Finding {
    let phase = claim.phase(scenario);
    let name = format!("of {}, {}, comes back per unit put in:", claim.of, phase.words());
    let estimate = measured.loops.comes_back(scenario, &claim.of, arm, phase, confidence);
    // The loops of this arm were not measured, or nothing was put in that could come back.
    within(name, estimate.ok_or(NoEstimate::ControlNearZero), claim.at_least, claim.at_most)
}

/// A quantity of one seed.
pub fn value(seed: &SeedOutcome, measure: &Measure, at: Option<usize>) -> Option<f64> {
    let window = measure.part();
    let service = || seed.services.get(at?)?.get(&window);
    let stock = || StockName::from_name(measure.stock.as_ref()?);
    let of_stock = || Some(&service()?.stocks[stock()? as usize]);
    let peak = || Some(seed.peaks.get(at?)?[stock()? as usize]);
    match measure.of {
        Quantity::GoodShare => seed.good_share.get(&window).copied(),
        Quantity::GoodputPerS => seed.goodput.get(&window).copied(),
        Quantity::Amplification => service()?.amplification,
        Quantity::WastedWork => service()?.wasted,
        Quantity::CompletedPerS => service().map(|it| it.completed_per_s),
        Quantity::QueueLevel => service().map(|it| it.queue),
        Quantity::FlowPerS => Some(service()?.flows[Flow::from_name(measure.flow.as_ref()?)? as usize]),
        Quantity::StockLevel => of_stock().map(|it| it.level),
        Quantity::StockSlopePerS => of_stock().map(|it| it.slope_per_s),
        Quantity::StockPeak => peak().map(|(level, _)| level),
        Quantity::StockPeakAfterS => peak().map(|(_, after_s)| after_s),
        Quantity::WaitByStock => Some(seed.wait_s.get(&window)? / of_stock()?.clears_in_s?),
        Quantity::FlowFirstAfterS => {
            seed.first_flows.get(at?)?[Flow::from_name(measure.flow.as_ref()?)? as usize]
        }
        Quantity::Replicas => service().map(|it| it.replicas),
        Quantity::ReplicasPeak => service().map(|it| it.replicas_peak),
        Quantity::ReplicaSeconds => service().map(|it| it.replica_seconds),
        Quantity::DirectionChangesPerHour => Some(service()?.flows[Flow::Turned as usize] * 3600.0),
        Quantity::SettlesAfterS => service().map(|it| it.settles_after_s),
        Quantity::HitRate => {
            let of = |flow: Flow| Some(service()?.flows[flow as usize]);
            let (hits, misses) = (of(Flow::CacheHits)?, of(Flow::CacheMisses)?);
            (hits + misses > 0.0).then(|| hits / (hits + misses))
        }
        Quantity::IncidentsPerWeek => Some(seed.incidents_per_week),
        Quantity::StockStayS => of_stock()?.stay_s,
        Quantity::DrainTimeS => Some(seed.drain_time_s),
        Quantity::MeanWaitS => seed.wait_s.get(&window).copied(),
        Quantity::PatientShare => seed.patient_share.get(&window).copied(),
        Quantity::AwayShare => seed.away_share.get(&window).copied(),
    }
}
