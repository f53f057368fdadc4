//! The incidents that are built in, and files that people bring.

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context, anyhow, bail};
use pumphandle_experiment::document::{MAX_BYTES, suggest};
use pumphandle_experiment::presets;
use pumphandle_experiment::scenario::overrides;
use pumphandle_experiment::scenario::read::{self, Checked};
use serde_json::json;

use crate::args::ListArguments;
use crate::{End, screen};

include!(concat!(env!("OUT_DIR"), "/shipped.rs"));
include!(concat!(env!("OUT_DIR"), "/presets.rs"));

/// The name of a built-in file: without folder and ending.
fn short(file: &str) -> &str {
    file.trim_start_matches("scenarios/").trim_end_matches(".yaml")
}

/// Names of all built-in incidents.
pub(crate) fn names() -> Vec<&'static str> {
    SHIPPED.iter().map(|(file, _)| short(file)).collect()
}

/// File name and text of a scenario: by its built-in name, or from a path.
pub(crate) fn text(scenario: &str) -> anyhow::Result<(String, String)> {
    if let Some((file, text)) = SHIPPED.iter().find(|(file, _)| short(file) == scenario) {
        return Ok(((*file).to_owned(), (*text).to_owned()));
    }
    let is_path = scenario.contains(['/', '\\', '.']);
    if !is_path {
        match suggest(scenario, names()) {
            Some(close) => bail!("no such incident: `{scenario}`; did you mean `{close}`?"),
            None => bail!("no such incident: `{scenario}`; there is {}; or give a path", names().join(", ")),
        }
    }
    let bytes = bytes(Path::new(scenario), MAX_BYTES as u64)?;
    let text =
        String::from_utf8(bytes).ok().with_context(|| format!("{scenario} is not a text file (UTF-8)"))?;
    Ok((scenario.to_owned(), text))
}

/// The bytes of a file, if there are at most `most`: a stranger's file, or a device without an end, costs no more
/// memory than that.
pub(crate) fn bytes(file: &Path, most: u64) -> anyhow::Result<Vec<u8>> {
    let name = file.display();
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(file).with_context(|| format!("cannot read {name}"))?;
    let read =
        opened.take(most + 1).read_to_end(&mut bytes).with_context(|| format!("cannot read {name}"))?;
    anyhow::ensure!(
        read as u64 <= most,
        "{name} has more than {most} bytes, which are the most that are read"
    );
    Ok(bytes)
}

/// A scenario that can run.
pub(crate) fn load(scenario: &str) -> anyhow::Result<Checked> {
    let (file, text) = text(scenario)?;
    Ok(read::read(&file, &text, screen::error_style())?)
}

/// Changes what a file says, by assignments of the command line, and checks it again.
pub(crate) fn change(checked: &mut Checked, assignments: &[String]) -> anyhow::Result<()> {
    for assignment in assignments {
        overrides::apply(&mut checked.scenario, assignment).map_err(anyhow::Error::msg)?;
    }
    if assignments.is_empty() {
        return Ok(());
    }
    overrides::check_again(checked).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(|problem| format!("  {problem}")).collect();
        anyhow!("changed like that, {} cannot run:\n{}\nnothing was run", checked.file, lines.join("\n"))
    })
}

fn preset_name(file: &str) -> &str {
    file.trim_start_matches("presets/").trim_end_matches(".yaml")
}

/// A built-in preset.
pub(crate) fn preset(name: &str) -> anyhow::Result<presets::Read> {
    let known = || PRESETS.iter().map(|(file, _)| preset_name(file));
    let Some((file, text)) = PRESETS.iter().find(|(file, _)| preset_name(file) == name) else {
        match suggest(name, known()) {
            Some(close) => bail!("no such preset: `{name}`; did you mean `{close}`?"),
            None => bail!("no such preset: `{name}`; there is {}", known().collect::<Vec<_>>().join(", ")),
        }
    };
    Ok(presets::read(file, text, screen::error_style())?)
}

/// Those that were asked for; without any, all that are built in.
pub(crate) fn asked(names: &[String]) -> Vec<String> {
    if names.is_empty() { self::names().into_iter().map(str::to_owned).collect() } else { names.to_vec() }
}

/// All built-in presets.
pub(crate) fn all_presets() -> anyhow::Result<Vec<presets::Read>> {
    PRESETS.iter().map(|(file, _)| preset(preset_name(file))).collect()
}

pub(crate) fn list(arguments: &ListArguments) -> anyhow::Result<End> {
    let all: Vec<Checked> = names().into_iter().map(load).collect::<Result<_, _>>()?;
    if arguments.json {
        let entries: Vec<_> = all.iter().map(entry).collect();
        screen::print(&format!("{}\n", serde_json::to_string_pretty(&entries)?))?;
        return Ok(End::Held);
    }
    let mut out = String::new();
    for Checked { scenario, .. } in &all {
        writeln!(out, "{}  ({})  {}", scenario.scenario, scenario.kind.name(), scenario.title)?;
        let mut levers: Vec<_> = scenario.levers.iter().collect();
        levers.sort_by_key(|(_, lever)| std::cmp::Reverse(lever.level));
        for (name, lever) in levers {
            writeln!(out, "  {:>3}  {name:<28} {}", lever.level, lever.title)?;
        }
        for (name, why) in &scenario.not_yet {
            writeln!(out, "    -  {name:<28} not yet there: {why}")?;
        }
        writeln!(out)?;
    }
    screen::print(&out)?;
    Ok(End::Held)
}

fn entry(checked: &Checked) -> serde_json::Value {
    let scenario = &checked.scenario;
    let levers = scenario.levers.iter().map(|(name, lever)| {
        json!({ "lever": name, "level": lever.level, "title": lever.title,
                "modes": lever.modes.iter().map(|mode| mode.name()).collect::<Vec<_>>() })
    });
    json!({ "scenario": scenario.scenario, "title": scenario.title, "kind": scenario.kind.name(),
            "file": checked.file, "claims": checked.claims().count(), "levers": levers.collect::<Vec<_>>() })
}

pub(crate) fn show(scenario: &str) -> anyhow::Result<End> {
    let preset = PRESETS.iter().find(|(file, _)| preset_name(file) == scenario);
    let text = preset.map_or_else(|| Ok(text(scenario)?.1), |(_, text)| anyhow::Ok((*text).to_owned()))?;
    screen::print(&text)?;
    Ok(End::Held)
}

pub(crate) fn schema() -> anyhow::Result<End> {
    screen::print(&format!("{}\n", serde_json::to_string_pretty(read::schema())?))?;
    Ok(End::Held)
}
