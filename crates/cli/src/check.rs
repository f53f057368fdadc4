//! `pumphandle check`: every claim measured again.

use std::path::Path;
use std::sync::atomic::Ordering;

use anyhow::Context;
use pumphandle_experiment::claims::{ClaimBody, judge};
use pumphandle_experiment::measure::{How, Measured};
use pumphandle_experiment::plan::{self, ArmPlan};
use pumphandle_experiment::result::RunResult;
use pumphandle_experiment::scenario::Mode;
use pumphandle_experiment::scenario::read::Checked;
use pumphandle_experiment::stats::{Decision, Looks};
use pumphandle_experiment::story::{self, Circumstances};
use pumphandle_experiment::verdict::Is;
use serde_json::json;

use crate::args::{CheckArguments, threads};
use crate::progress::{Progress, stop_flag};
use crate::run::machine;
use crate::screen::NotKept;
use crate::{End, folder, scenarios, screen};

pub(crate) fn check(arguments: &CheckArguments) -> anyhow::Result<End> {
    let asked = scenarios::asked(&arguments.scenarios);
    // All are read before any is run: bad input never starts a run.
    let mut all: Vec<Checked> = asked.iter().map(|name| scenarios::load(name)).collect::<Result<_, _>>()?;
    if let Some(text) = &arguments.filter {
        all.iter_mut().for_each(|checked| checked.keep_claims(|sentence| sentence.contains(text.as_str())));
    }
    let baseline = arguments.baseline.as_deref().map(read_baseline).transpose()?;
    let claims: usize = all.iter().map(|checked| checked.claims().count()).sum();
    anyhow::ensure!(claims > 0, "there is no claim to check");
    let (results, proofs, seconds) = measure(arguments, &all, claims)?;
    report(arguments, &results, &proofs, baseline.as_deref(), seconds)?;
    Ok(end(&results, &proofs))
}

/// Results, claims that were found unable to fail, and wall seconds.
type Outcome = (Vec<RunResult>, Vec<String>, f64);

fn measure(arguments: &CheckArguments, all: &[Checked], claims: usize) -> anyhow::Result<Outcome> {
    let stop = stop_flag();
    let how = How { threads: threads(arguments.jobs), stop: &stop, keep_events: 0, keep_series: false };
    let looks = Looks::new(0.05, claims);
    // A single look spends its whole share of the error at once.
    let confidence = if arguments.seeds.is_some() { 1.0 - 0.05 / claims as f64 } else { looks.confidence() };
    let mut progress = Progress::new(0, "check");
    let mut results = Vec::new();
    let mut proofs = Vec::new();
    for checked in all.iter().filter(|checked| checked.claims().next().is_some()) {
        let arms = arms(checked, arguments.prove)?;
        let loops_of = loops_of(checked, &arms, arguments.prove);
        let mut measured = Measured::new(&checked.scenario, arms, false);
        if !loops_of.is_empty() {
            measured = measured.with_loops(&checked.scenario, &loops_of);
        }
        let runs_per_seed = measured.runs_per_seed() as u64;
        let mut look = Some(arguments.seeds.map_or(Looks::SEEDS[0], |seeds| seeds as usize));
        while let Some(seeds) = look {
            let from = measured.seeds.len() as u64;
            let more: Vec<u64> = (from..seeds as u64).map(|i| arguments.seed + i).collect();
            progress.expect(more.len() as u64 * runs_per_seed);
            measured.extend(&checked.scenario, &more, &how, || progress.step());
            let undecided = checked.claims().any(|(_, body, _)| {
                measured.find(&body.arm).is_some_and(|arm| {
                    measured.valid(arm)
                        && judge::judge(&checked.scenario, &measured, body, arm, confidence).decision
                            == Decision::Undecided
                })
            });
            let go_on = undecided && arguments.seeds.is_none() && !stop.load(Ordering::Relaxed);
            look = if go_on { Looks::after(seeds) } else { None };
        }
        if arguments.prove {
            proofs.extend(unprovable(checked, &measured, confidence));
        }
        results.push(story::result(checked, &measured, &circumstances(&measured, confidence)));
        if stop.load(Ordering::Relaxed) {
            break;
        }
    }
    Ok((results, proofs, progress.finish().as_secs_f64()))
}

fn circumstances(measured: &Measured, claims_at: f64) -> Circumstances {
    Circumstances {
        clock: "virtual",
        overrides: Vec::new(),
        again: String::new(),
        machine: machine(0.0, measured.arms.iter().map(|arm| arm.attempts).sum(), 0.0),
        claims_at,
    }
}

/// The control and every arm that a claim speaks of; to prove claims, also the lever known to work.
fn arms(checked: &Checked, prove: bool) -> anyhow::Result<Vec<ArmPlan>> {
    let scenario = &checked.scenario;
    let mut names: Vec<String> = checked.claims().map(|(_, body, _)| body.arm.clone()).collect();
    if prove && let Some(known) = &scenario.known_to_work {
        let modes = &scenario.levers[known].modes;
        names.extend(modes.contains(&Mode::Pulled).then(|| known.clone()));
        names.extend(modes.contains(&Mode::Standing).then(|| format!("{known}@start")));
    }
    let mut arms = vec![plan::control(scenario)];
    arms.extend(plan::reference(scenario));
    for name in names {
        if arms.iter().any(|arm| arm.name == name) {
            continue;
        }
        let (lever, mode) = match name.strip_suffix("@start") {
            Some(lever) => (lever, Mode::Standing),
            None => (name.as_str(), Mode::Pulled),
        };
        let arm = plan::treatment(scenario, lever, mode);
        arms.push(arm.map_err(|wrong| anyhow::anyhow!("lever `{lever}`: {}", wrong[0].1))?);
    }
    Ok(arms)
}

/// The arms whose loops a claim speaks of, by place; to prove claims, also those of the lever known to work.
fn loops_of(checked: &Checked, arms: &[ArmPlan], prove: bool) -> Vec<usize> {
    let about_loops: Vec<&ClaimBody> =
        checked.claims().map(|(_, body, _)| body).filter(|body| body.comes_back.is_some()).collect();
    let known = checked.scenario.known_to_work.as_deref();
    let speaks = |arm: &ArmPlan| about_loops.iter().any(|body| body.arm == arm.name);
    let proves = |arm: &ArmPlan| prove && (arm.lever.is_none() || arm.lever.as_deref() == known);
    let needed = |arm: &ArmPlan| !about_loops.is_empty() && (speaks(arm) || proves(arm));
    arms.iter().enumerate().filter(|(_, arm)| needed(arm)).map(|(i, _)| i).collect()
}

/// Claims that hold where they must not: without their lever; or, for claims of the control and of no
/// effect, with a lever that is known to work.
fn unprovable(checked: &Checked, measured: &Measured, confidence: f64) -> Vec<String> {
    let scenario = &checked.scenario;
    let mut cannot_fail = Vec::new();
    for (sentence, body, _) in checked.claims() {
        let weak = |is: &Is| matches!(is, Is::NoEffect | Is::Masks | Is::Worsens | Is::Delays);
        let needs_a_lever = body.arm == "control" || body.verdict.iter().any(weak) || stays_down(body);
        // What is claimed of the control may be over before a lever is pulled: then it is the one in place from
        // the start that can break it.
        let suffixes: &[&str] = match body.arm.as_str() {
            "control" => &["", "@start"],
            arm if arm.ends_with("@start") => &["@start"],
            _ => &[""],
        };
        let stand_ins: Vec<usize> = match &scenario.known_to_work {
            _ if !needs_a_lever => vec![0],
            Some(known) => suffixes.iter().filter_map(|it| measured.find(&format!("{known}{it}"))).collect(),
            None => Vec::new(),
        };
        if stand_ins.is_empty() {
            let name = &scenario.scenario;
            cannot_fail
                .push(format!("{name}: {sentence}: there is no `known_to_work` lever to prove it with"));
            continue;
        }
        let holds =
            |arm: &usize| judge::judge(scenario, measured, body, *arm, confidence).decision == Decision::Held;
        if stand_ins.iter().all(holds) {
            let others: Vec<String> =
                stand_ins.iter().map(|&arm| format!("`{}`", measured.arms[arm].plan.name)).collect();
            cannot_fail.push(format!(
                "{}: {sentence}: holds of {} too",
                scenario.scenario,
                others.join(" and ")
            ));
        }
    }
    cannot_fail
}

fn stays_down(body: &ClaimBody) -> bool {
    body.metastable == Some(true) || body.state == Some(pumphandle_experiment::claims::State::StaysDown)
}

/// Bytes of a baseline that are read. One of all incidents has less than a megabyte.
const MAX_BASELINE: u64 = 64 << 20;

fn read_baseline(file: &Path) -> anyhow::Result<Vec<RunResult>> {
    let name = file.display();
    let bytes = scenarios::bytes(file, MAX_BASELINE)?;
    let text = String::from_utf8(bytes).with_context(|| format!("{name} is not a text file"))?;
    let mut document: serde_json::Value =
        serde_json::from_str(&text).with_context(|| format!("{name} is not what `check --json` prints"))?;
    serde_json::from_value(document["results"].take())
        .with_context(|| format!("{name} is not what `check --json` prints"))
}

fn report(
    arguments: &CheckArguments,
    results: &[RunResult],
    proofs: &[String],
    baseline: Option<&[RunResult]>,
    seconds: f64,
) -> anyhow::Result<()> {
    // What was measured is shown first: it must not be lost because a file cannot be written.
    let shown = show(arguments, results, proofs, baseline, seconds);
    let junit = arguments.junit.as_ref().map(|file| (file, pumphandle_report::junit(results)));
    let summary = arguments.summary.as_ref().map(|file| (file, pumphandle_report::markdown(results)));
    let saved = junit.into_iter().chain(summary).map(|(file, text)| folder::file(file, text.as_bytes()));
    let wrong: Vec<String> =
        saved.chain([shown]).filter_map(|done| done.err().map(|error| format!("{error:#}"))).collect();
    if wrong.is_empty() { Ok(()) } else { Err(NotKept(wrong.join("; ")).into()) }
}

fn show(
    arguments: &CheckArguments,
    results: &[RunResult],
    proofs: &[String],
    baseline: Option<&[RunResult]>,
    seconds: f64,
) -> anyhow::Result<()> {
    let changes = baseline.map(|old| pumphandle_report::baseline_diff(old, results));
    if arguments.json {
        let count = |word: &str| {
            results.iter().flat_map(|result| &result.claims).filter(|claim| claim.is == word).count()
        };
        let document = json!({
            "schema": 1,
            "results": results,
            "summary": { "held": count("held"), "broken": count("broken"), "not_tested": count("not tested") },
            "cannot_fail": arguments.prove.then_some(proofs),
            "changes": changes,
        });
        screen::print(&format!("{}\n", serde_json::to_string_pretty(&document)?))?;
        return Ok(());
    }
    screen::print(&pumphandle_report::check_text(results, seconds))?;
    if arguments.prove {
        let text = match proofs {
            [] => "every claim was shown to be able to fail\n".to_owned(),
            some => format!("these claims cannot fail:\n  {}\n", some.join("\n  ")),
        };
        screen::print(&text)?;
    }
    if let Some(changes) = changes {
        let text = if changes.is_empty() {
            "nothing changed since the baseline".to_owned()
        } else {
            changes.join("\n")
        };
        screen::print(&format!("{text}\n"))?;
    }
    Ok(())
}

fn end(results: &[RunResult], proofs: &[String]) -> End {
    let is = |word: &str| results.iter().flat_map(|result| &result.claims).any(|claim| claim.is == word);
    if results.iter().any(|result| result.partial) {
        End::Interrupted
    } else if is("broken") || !proofs.is_empty() {
        End::Broken
    } else if is("not tested") {
        End::CouldNotMeasure
    } else {
        End::Held
    }
}
