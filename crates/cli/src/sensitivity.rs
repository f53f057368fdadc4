//! `pumphandle sensitivity`.

use pumphandle_experiment::document::Document;
use pumphandle_experiment::sensitivity::measure::{About, How, measure, plan};
use pumphandle_experiment::sensitivity::numbers::Which;

use crate::args::{SensitivityArguments, threads};
use crate::progress::{Progress, stop_flag};
use crate::run::quoted;
use crate::{End, scenarios, screen};

pub(crate) fn sensitivity(arguments: &SensitivityArguments) -> anyhow::Result<End> {
    let checked = scenarios::load(&arguments.scenario)?;
    let (file, text) = scenarios::text(&arguments.scenario)?;
    let document = Document::parse(&file, &text)?;
    let which = if arguments.all { Which::All } else { Which::Free };
    let planned = plan(&document, &checked.scenario, which).map_err(anyhow::Error::msg)?;
    let seeds: Vec<u64> = (0..arguments.seeds).map(|i| arguments.seed + i).collect();
    let stop = stop_flag();
    let how = How { threads: threads(arguments.jobs), stop: &stop, seeds: &seeds };
    let mut progress = Progress::new(planned.runs_per_seed() * arguments.seeds, &checked.scenario.scenario);
    let about =
        About { file: checked.file.clone(), sha256: checked.sha256.clone(), again: command(arguments) };
    let result = measure(planned, about, &how, || progress.step());
    progress.finish();
    let terminal =
        pumphandle_report::Terminal { width: screen::width(), colour: screen::colour(), report: None };
    let text = if arguments.json {
        format!("{}\n", serde_json::to_string_pretty(&result)?)
    } else if arguments.markdown {
        pumphandle_report::sensitivity_markdown(&result)
    } else {
        pumphandle_report::sensitivity_terminal(&result, &terminal)
    };
    screen::print(&text)?;
    Ok(match (result.partial, result.reasons.is_empty()) {
        (true, _) => End::Interrupted,
        (false, false) => End::CouldNotMeasure,
        (false, true) => End::Held,
    })
}

/// The command that makes it again.
fn command(arguments: &SensitivityArguments) -> String {
    let mut words = vec![format!("pumphandle sensitivity {}", quoted(&arguments.scenario))];
    words.extend(arguments.all.then(|| "--all".to_owned()));
    if (arguments.seeds, arguments.seed) != (6, 1) {
        words.push(format!("--seeds {} --seed {}", arguments.seeds, arguments.seed));
    }
    words.extend(arguments.markdown.then(|| "--markdown".to_owned()));
    words.join(" ")
}
