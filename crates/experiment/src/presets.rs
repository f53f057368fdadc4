//! Published default settings of libraries, by name: data, and the lever that puts one on a service's calls. It
//! must not hold a number of its own: every value stands in a file of `presets/` with its source.

use indexmap::IndexMap;
use pumphandle_policy::Policies;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::document::{Document, Path, Segment, Style};
use crate::scenario::levers::Evidence;
use crate::scenario::read::{CannotRun, formats};
use crate::scenario::{Lever, Mode, Scenario, paths, schema::schema_of};

/// A named set of policies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// The name by which it is used; the name of the file.
    pub preset: String,
    /// What it is, in a few words.
    pub title: String,
    /// The library with its version, and which of its settings.
    pub of: String,
    /// The policies that it sets. What it does not name stays as the incident has it.
    pub with: Policies,
    /// What the library does by default and the rig cannot say, with the reason. Nothing if absent.
    #[serde(default)]
    pub not_expressed: IndexMap<String, String>,
}

/// A preset as its file has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Read {
    /// What it sets.
    pub preset: Preset,
    /// Its values as written, by policy, so that what is absent stays absent.
    pub written: IndexMap<String, Value>,
    /// Every number: its path below `with`, its value, and the source that the file gives for it.
    pub numbers: Vec<(String, String, Option<String>)>,
}

/// Reads a file of `presets/`.
///
/// # Errors
///
/// Every problem, with file, line and what would be right.
pub fn read(name: &str, text: &str, style: Style) -> Result<Read, CannotRun> {
    let document = Document::parse(name, text).map_err(|unreadable| CannotRun(unreadable.render(style)))?;
    let refused = |problems: crate::document::Problems| CannotRun(problems.render(&document, style));
    let preset: Preset = document.read(&schema_of::<Preset>("A preset"), &formats()).map_err(refused)?;
    let mut problems = crate::document::Problems::new();
    for wrong in preset.with.check() {
        problems.at_value(&paths::below(Path::root().join("with"), &wrong.path), wrong.message);
    }
    problems.into_result().map_err(refused)?;
    let written = document.value()["with"].as_object().cloned().unwrap_or_else(Map::new);
    let numbers = document
        .numbers()
        .into_iter()
        .filter_map(|path| {
            let mut segments = path.segments().iter();
            matches!(segments.next(), Some(Segment::Key(key)) if key == "with").then_some(())?;
            let below: Path = segments.cloned().collect();
            let value = document.get(&path).map(paths::words).unwrap_or_default();
            Some((below.to_string(), value, document.why(&path).map(|why| why.text)))
        })
        .collect();
    Ok(Read { preset, written: written.into_iter().collect(), numbers })
}

/// The service on whose calls an incident's presets are measured: that of the users, if it calls another one.
///
/// # Errors
///
/// Why there is none.
pub fn edge(scenario: &Scenario) -> Result<(&str, &str), String> {
    let (service, settings) = scenario.services.first().ok_or("it has no service")?;
    match settings.calls.names().first() {
        Some(callee) => Ok((service, callee)),
        None => Err(format!("the users' service, `{service}`, calls nobody: there is no edge for a policy")),
    }
}

/// Adds the lever that puts `preset` on the calls of `service`, under the preset's name. Policies that the
/// preset does not name stay as they are.
///
/// # Errors
///
/// A sentence for the person who asked.
pub fn add(scenario: &mut Scenario, service: &str, read: &Read) -> Result<String, String> {
    let Some(settings) = scenario.services.get(service) else {
        let known = scenario.services.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        return Err(format!("no such service: `{service}`; known: {known}"));
    };
    if settings.calls.names().is_empty() {
        return Err(format!("`{service}` calls no other service: there is nothing to put a policy on"));
    }
    let name = read.preset.preset.clone();
    if scenario.levers.contains_key(&name) {
        return Err(format!("the scenario has a lever `{name}` of its own"));
    }
    let lever = Lever {
        title: format!("{} on the calls of {service}", read.preset.title),
        // Defaults of a library are rules of the system that nobody chose: as the other policies' levers.
        level: 7,
        also_level: None,
        ours: true,
        lesson: None,
        evidence: Evidence::Emergent,
        modes: vec![Mode::Pulled, Mode::Standing],
        set: read
            .written
            .iter()
            .map(|(policy, value)| (format!("{service}.{policy}"), value.clone()))
            .collect(),
        restart: None,
        kill: None,
        then: Vec::new(),
    };
    scenario.levers.insert(name.clone(), lever);
    Ok(name)
}
