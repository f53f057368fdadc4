//! `pumphandle sweep` and `pumphandle threshold`.

use std::path::Path;

use anyhow::Context;
use pumphandle_experiment::map::axis::{Axis, Places};
use pumphandle_experiment::map::bench::{Arm, HowMany, Tick};
use pumphandle_experiment::map::class::Class;
use pumphandle_experiment::map::looks::Looks;
use pumphandle_experiment::map::result::{About, MapResult, ThresholdResult};
use pumphandle_experiment::map::sweep::Sweep;
use pumphandle_experiment::map::threshold::Along;
use pumphandle_experiment::plan;
use pumphandle_experiment::scenario::read::Checked;
use serde::Serialize;

use crate::args::{PointArguments, SweepArguments, ThresholdArguments, threads};
use crate::progress::{Progress, stop_flag};
use crate::run::{machine, quoted};
use crate::{End, folder, scenarios, screen};

pub(crate) fn sweep(arguments: &SweepArguments) -> anyhow::Result<End> {
    let point = &arguments.point;
    let (checked, arm) = prepare(&arguments.scenario, point)?;
    let scenario = &checked.scenario;
    let steps = Places::Steps(usize::from(arguments.steps));
    let sweep = Sweep {
        arm: arm.clone(),
        x: axis(&checked, &arguments.x, steps, "--x")?,
        y: axis(&checked, &arguments.y, steps, "--y")?,
        longest: arguments.longest,
        scenario,
    };
    sweep.check().map_err(refused)?;
    let mut words = vec![format!("pumphandle sweep {}", quoted(&arguments.scenario))];
    words.push(format!("--x {} --y {}", quoted(&arguments.x), quoted(&arguments.y)));
    words.push(format!("--steps {}", arguments.steps));
    words.extend(arguments.longest.map(|longest| format!("--longest {longest}")));
    let about = about(&checked, &arm, point, words);
    let (result, wall) = measure(&scenario.scenario, point, |how, tick| sweep.run(about, how, tick));
    let folder =
        folder::choose(point.out.as_deref(), &format!("{}-map", scenario.scenario), &result.about.again);
    let page = pumphandle_report::map_html(&result);
    let left = leave(&folder, &result, wall, Some(("map.html", &page)));
    let report = left.at.as_ref().map(|folder| folder.join("map.html").display().to_string());
    let terminal = pumphandle_report::Terminal { width: screen::width(), colour: screen::colour(), report };
    left.after(show(point.json, &result, || pumphandle_report::map_terminal(&result, &terminal)))?;
    Ok(end_of_map(&result))
}

pub(crate) fn threshold(arguments: &ThresholdArguments) -> anyhow::Result<End> {
    let point = &arguments.point;
    let (checked, arm) = prepare(&arguments.scenario, point)?;
    let scenario = &checked.scenario;
    let along = Along {
        arm: arm.clone(),
        x: axis(&checked, &arguments.x, Places::Precision(&arguments.to), "--x")?,
        precision: arguments.to.clone(),
        scenario,
    };
    along.check().map_err(refused)?;
    let words = vec![
        format!("pumphandle threshold {}", quoted(&arguments.scenario)),
        format!("--x {} --to {}", quoted(&arguments.x), quoted(&arguments.to)),
    ];
    let about = about(&checked, &arm, point, words);
    let (result, wall) = measure(&scenario.scenario, point, |how, tick| along.run(about, how, tick));
    let name = format!("{}-threshold", scenario.scenario);
    let folder = folder::choose(point.out.as_deref(), &name, &result.about.again);
    let left = leave(&folder, &result, wall, None);
    let terminal =
        pumphandle_report::Terminal { width: screen::width(), colour: screen::colour(), report: None };
    left.after(show(point.json, &result, || pumphandle_report::threshold_terminal(&result, &terminal)))?;
    Ok(end_of_threshold(&result))
}

/// The scenario as the command line changes it, and the arm that is measured.
fn prepare(scenario: &str, point: &PointArguments) -> anyhow::Result<(Checked, Arm)> {
    folder::usable(point.out.as_deref())?;
    let mut checked = scenarios::load(scenario)?;
    let lever = point
        .lever
        .as_deref()
        .map(|asked| plan::lever_of(&checked.scenario, asked).map_err(anyhow::Error::msg))
        .transpose()?;
    // A lever that is not measured must not keep a point from being measured, by changing nothing there.
    let measured = |name: &String| lever.as_ref().is_some_and(|(lever, _)| lever == name);
    checked.scenario.levers.retain(|name, _| measured(name));
    checked.scenario.known_to_work = None;
    checked.scenario.claims.clear();
    scenarios::change(&mut checked, &point.set)?;
    Ok((checked, Arm { lever }))
}

fn axis(checked: &Checked, text: &str, places: Places<'_>, option: &str) -> anyhow::Result<Axis> {
    let named = text.strip_prefix("levers.").and_then(|rest| rest.split('.').next());
    if let Some(name) = named.filter(|name| !checked.scenario.levers.contains_key(*name)) {
        let known = checked.scenario.levers.keys().next();
        let known = known.map_or_else(|| "the control".to_owned(), |lever| format!("`{lever}`"));
        anyhow::bail!(
            "{option} {text}: {known} is measured, which does not read `{name}`; add --lever {name}"
        );
    }
    let axis = Axis::parse(&checked.scenario, text, places).map_err(anyhow::Error::msg);
    axis.with_context(|| format!("{option} {text}"))
}

fn refused(why: String) -> anyhow::Error {
    anyhow::anyhow!("{why}\nnothing was run")
}

fn about(checked: &Checked, arm: &Arm, point: &PointArguments, mut words: Vec<String>) -> About {
    words.extend(point.lever.iter().map(|lever| format!("--lever {}", quoted(lever))));
    words.extend(point.set.iter().map(|set| format!("--set {}", quoted(set))));
    words.push(format!("--seeds {} --seed {}", point.seeds, point.seed));
    About {
        scenario: checked.scenario.scenario.clone(),
        title: checked.scenario.title.clone(),
        file: checked.file.clone(),
        scenario_sha256: checked.sha256.clone(),
        overrides: point.set.clone(),
        arm: arm.name(),
        kind: checked.scenario.kind.name().to_owned(),
        first_seed: point.seed,
        looks: Looks::new(point.seeds).at(),
        again: words.join(" "),
    }
}

/// Runs with a bar and a hand on Ctrl-C; returns wall seconds too.
fn measure<T>(
    name: &str,
    point: &PointArguments,
    work: impl FnOnce(&HowMany<'_>, &mut dyn FnMut(Tick)) -> T,
) -> (T, f64) {
    let stop = stop_flag();
    let mut progress = Progress::new(0, name);
    let how = HowMany {
        threads: threads(point.jobs),
        stop: &stop,
        first_seed: point.seed,
        looks: Looks::new(point.seeds),
    };
    let result = work(&how, &mut |tick| match tick {
        Tick::Expect(runs) => progress.expect(runs),
        Tick::Done => progress.step(),
    });
    (result, progress.finish().as_secs_f64())
}

/// What a map or a threshold leaves: the document, its page, and how long it took.
fn leave<T: Serialize>(folder: &Path, result: &T, wall: f64, page: Option<(&str, &str)>) -> folder::Left {
    folder::leave(folder, |draft| {
        folder::save(
            &draft.join("result.json"),
            format!("{}\n", serde_json::to_string_pretty(result)?).as_bytes(),
        )?;
        let machine = serde_json::to_string_pretty(&machine(wall, 0, 0.0))?;
        folder::save(&draft.join("machine.json"), format!("{machine}\n").as_bytes())?;
        if let Some((name, text)) = page {
            folder::save(&draft.join(name), text.as_bytes())?;
        }
        Ok(())
    })
}

fn show<T: Serialize>(json: bool, result: &T, text: impl FnOnce() -> String) -> anyhow::Result<()> {
    let text = if json { format!("{}\n", serde_json::to_string_pretty(result)?) } else { text() };
    screen::print(&text)?;
    Ok(())
}

fn end_of_map(result: &MapResult) -> End {
    if result.partial {
        End::Interrupted
    } else if result.points.iter().all(|point| matches!(point.class, Class::NotTested | Class::Undecided)) {
        End::CouldNotMeasure
    } else {
        End::Held
    }
}

fn end_of_threshold(result: &ThresholdResult) -> End {
    match (result.partial, &result.found) {
        (true, _) => End::Interrupted,
        (false, None) => End::CouldNotMeasure,
        (false, Some(_)) => End::Held,
    }
}
