//! Reasons to believe nothing: a run that did not do what it says is "not tested", never a verdict.

use pumphandle_core::meter::StockName;

use crate::claims::Window;
use crate::outcome::{SeedOutcome, Timeline};
use crate::run::SeedRun;
use crate::run::rows::Row;
use crate::scenario::triggers::{Effect, Trigger};
use crate::scenario::{Kind, Scenario};
use crate::stats::one_mean;

/// The control of a pulse has to be this healthy before its trigger.
const HEALTHY_BEFORE: f64 = 0.95;

/// What speaks against the control under one seed: triggers that did nothing.
pub fn of_control(scenario: &Scenario, timeline: &Timeline, run: &SeedRun) -> Vec<String> {
    scenario.timeline.iter().filter_map(|trigger| without_effect(scenario, timeline, trigger, run)).collect()
}

/// What speaks against any arm under one seed: accounts that do not add up, which is a defect of the rig, and
/// services that were not there.
pub fn of_arm(run: &SeedRun) -> Vec<String> {
    let accounts =
        run.wrong_accounts.iter().map(|wrong| format!("the accounts of a stock do not add up: {wrong}"));
    run.troubles.iter().cloned().chain(accounts).collect()
}

/// What speaks against a control over all its seeds.
pub fn of_controls(scenario: &Scenario, seeds: &[SeedOutcome]) -> Option<String> {
    if scenario.kind != Kind::Pulse {
        return None;
    }
    let before: Vec<f64> =
        seeds.iter().filter_map(|seed| seed.good_share.get(&Window::Before).copied()).collect();
    let mean = match one_mean(&before, 0.95) {
        Ok(estimate) => estimate.mean,
        Err(_) => *before.first()?,
    };
    (mean < HEALTHY_BEFORE).then(|| {
        format!(
            "the control was not healthy before the trigger: {:.1} % good, at least 95 % needed",
            mean * 100.0
        )
    })
}

fn without_effect(
    scenario: &Scenario,
    timeline: &Timeline,
    trigger: &Trigger,
    run: &SeedRun,
) -> Option<String> {
    let from = trigger.from.0.as_secs_f64();
    let to = trigger.end().map_or(timeline.end as f64, |end| end.as_secs_f64());
    let rows = |from: f64, to: f64| {
        let clamp = |t: f64| (t.floor() as usize).min(run.rows.len());
        &run.rows[clamp(from)..clamp(to.ceil())]
    };
    // A last second in which the trigger already ends would dilute what it did.
    let whole = to.floor();
    let (before, during) = (rows(0.0, from), rows(from, if whole > from { whole } else { to }));
    let index = |service: &str| scenario.services.get_index_of(service).unwrap_or(0);
    let failed = match trigger.effect() {
        Effect::Slower(service, times) => {
            let service_index = index(&service);
            let ratio = mean_in_service(during, service_index)? / mean_in_service(before, service_index)?;
            let expected = if times > 1.0 { ratio >= times } else { ratio <= times };
            (!expected).then(|| {
                format!(
                    "work of {service} took {ratio:.2} times as long as before; at least {times:.2} expected"
                )
            })
        }
        Effect::Counted(service, flow) => {
            let index = index(&service);
            let happened: u64 = during.iter().map(|row| row[index].flow(flow)).sum();
            (happened == 0).then(|| format!("no call to {service} was affected"))
        }
        Effect::Exhausted(service, left) => {
            let index = index(&service);
            let workers = scenario.services[&service].workers.unwrap_or(usize::MAX);
            let left = (workers as f64 * left).round().max(1.0) as u32;
            let reached = during.iter().any(|row| row[index].stock(StockName::Working).level >= left);
            (!reached).then(|| format!("the {left} workers that {service} had left were never all busy"))
        }
        Effect::FewerReplicas(service) => {
            let index = index(&service);
            let lost: u32 = during.iter().map(|row| row[index].stock(StockName::Ready).outflow).sum();
            (lost == 0).then(|| format!("no replica of {service} was lost"))
        }
        Effect::MoreArrivals(times) => {
            let rate = |from: f64, to: f64| {
                let seconds =
                    &run.tally.seconds[from as usize..(to.ceil() as usize).min(run.tally.seconds.len())];
                seconds.iter().map(|s| f64::from(s.arrivals)).sum::<f64>() / seconds.len().max(1) as f64
            };
            let ratio = rate(from, to) / rate(0.0, from).max(f64::MIN_POSITIVE);
            // Arrivals are known by the second: of a spike shorter than that, its second has so much.
            let covered = (to - from) / (to.ceil() - from.floor());
            let times = 1.0 + (times - 1.0) * covered;
            let expected = if times > 1.0 { ratio >= times } else { ratio <= times };
            (!expected).then(|| format!("arrivals were {ratio:.2} times those of before"))
        }
    }?;
    Some(format!("trigger `{}` did not take effect: {failed}", trigger.trigger))
}

/// Mean time in service over some rows, seconds; of what is still inside, the time so far.
fn mean_in_service(rows: &[Vec<Row>], service: usize) -> Option<f64> {
    let time: u64 = rows.iter().map(|row| row[service].stock(StockName::InService).integral_ns).sum();
    let begun: u64 = rows.iter().map(|row| u64::from(row[service].stock(StockName::InService).outflow)).sum();
    // Nothing finished: it cannot be slower than that.
    (time > 0).then(|| time as f64 / begun.max(1) as f64 / 1e9)
}
