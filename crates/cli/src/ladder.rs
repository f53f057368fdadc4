//! `pumphandle ladder`: every lever of every incident, by level.

use pumphandle_experiment::ladder::{self, Rung};
use pumphandle_experiment::plan::{self, ArmPlan};
use pumphandle_experiment::result::RunResult;
use pumphandle_experiment::scenario::read::Checked;
use pumphandle_report::ladder::Climbed;
use serde_json::json;

use crate::args::ManyArguments;
use crate::bench::{self, Bench};
use crate::{End, scenarios, screen};

/// Seeds of a lever that fewer leave undecided: what the definition of the verdicts speaks of.
const MORE: u64 = 20;

pub(crate) fn ladder(arguments: &ManyArguments) -> anyhow::Result<End> {
    let names = scenarios::asked(&arguments.scenarios);
    // All that can be wrong is told before anything is run.
    let incidents: Vec<(Checked, Vec<ArmPlan>)> =
        names.iter().map(|name| incident(name)).collect::<Result<_, _>>()?;
    let (climbed, results) = climb(arguments, incidents);
    if arguments.json {
        let rungs: Vec<&Rung> = climbed.iter().flat_map(|it| &it.rungs).collect();
        let of = |mode: &str| {
            let rungs: Vec<&Rung> = rungs.iter().copied().filter(|rung| rung.mode == mode).collect();
            ladder::correlation(&rungs)
        };
        let document = json!({
            "schema": 1,
            "rungs": rungs,
            "correlation": { "pulled": of("pulled"), "standing": of("standing") },
        });
        screen::print(&format!("{}\n", serde_json::to_string_pretty(&document)?))?;
    } else if arguments.markdown {
        screen::print(&pumphandle_report::ladder::markdown(&climbed))?;
    } else {
        screen::print(&pumphandle_report::ladder::text(&climbed))?;
    }
    Ok(bench::end(results.iter()))
}

fn incident(name: &str) -> anyhow::Result<(Checked, Vec<ArmPlan>)> {
    let checked = scenarios::load(name)?;
    let scenario = &checked.scenario;
    let mut arms = vec![plan::control(scenario)];
    arms.extend(plan::reference(scenario));
    for (lever, mode) in plan::every_lever(scenario) {
        let arm = plan::treatment(scenario, &lever, mode);
        arms.push(arm.map_err(|wrong| anyhow::anyhow!("lever `{lever}`: {}", wrong[0].1))?);
    }
    Ok((checked, arms))
}

fn climb(
    arguments: &ManyArguments,
    incidents: Vec<(Checked, Vec<ArmPlan>)>,
) -> (Vec<Climbed>, Vec<RunResult>) {
    let runs: usize = incidents.iter().map(|(_, arms)| arms.len()).sum::<usize>() * arguments.seeds as usize;
    let mut bench = Bench::new(arguments.jobs, runs, "ladder");
    let (mut climbed, mut results) = (Vec::new(), Vec::new());
    for (checked, arms) in incidents {
        if bench.stopped() {
            break;
        }
        let result = bench.measure(&checked, arms.clone(), arguments.seed, arguments.seeds);
        let mut rungs = ladder::rungs(&result);
        if arguments.seeds < MORE && !result.partial {
            decide(arguments, &mut bench, &checked, &arms, &mut rungs);
        }
        let scenario = &checked.scenario;
        climbed.push(Climbed {
            scenario: scenario.scenario.clone(),
            title: scenario.title.clone(),
            file: checked.file.clone(),
            reasons: result.reasons.clone(),
            rungs,
            not_yet: scenario.not_yet.iter().map(|(name, why)| (name.clone(), why.clone())).collect(),
        });
        results.push(result);
    }
    bench.finish();
    (climbed, results)
}

/// Measures what is undecided with more seeds.
fn decide(
    arguments: &ManyArguments,
    bench: &mut Bench,
    checked: &Checked,
    arms: &[ArmPlan],
    rungs: &mut [Rung],
) {
    let undecided = |arm: &ArmPlan| {
        rungs.iter().any(|rung| {
            rung.verdict == "undecided"
                && arm.lever.as_ref() == Some(&rung.lever)
                && arm.mode.is_some_and(|mode| mode.name() == rung.mode)
        })
    };
    let again: Vec<ArmPlan> =
        arms.iter().filter(|arm| arm.lever.is_none() || undecided(arm)).cloned().collect();
    if again.iter().all(|arm| arm.lever.is_none()) {
        return;
    }
    bench.expect(again.len() * MORE as usize);
    let result = bench.measure(checked, again, arguments.seed, MORE);
    for better in ladder::rungs(&result) {
        let same = |rung: &&mut Rung| rung.lever == better.lever && rung.mode == better.mode;
        if let Some(rung) = rungs.iter_mut().find(same) {
            *rung = better;
        }
    }
}
