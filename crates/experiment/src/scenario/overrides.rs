//! Changing a scenario from the command line: any setting of a service by its path, and any other value of
//! the file by where it stands, `load.arrivals.poisson` or `timeline.slow-queries.for`.

use serde_json::Value;

use crate::document::{Document, Problem, Problems, suggest};
use crate::scenario::read::Checked;
use crate::scenario::schema::{formats, schema};
use crate::scenario::{Scenario, autoscalers, check, knobs, paths, team};

/// Applies `PATH=VALUE`. The result has to be checked again.
///
/// # Errors
///
/// A sentence for the person who wrote it.
pub fn apply(scenario: &mut Scenario, assignment: &str) -> Result<(), String> {
    let (path, value) = assigned(assignment)?;
    let first = path.split('.').next().unwrap_or_default();
    if scenario.services.contains_key(first) {
        return paths::set(&mut scenario.services, path, &value).map(drop);
    }
    if autoscalers::is_path(path) || team::is_path(path) {
        let changes = [(path.to_owned(), value)].into();
        let Scenario { services, autoscalers, team, .. } = scenario;
        let changed = knobs::set_all(services, autoscalers, team, &changes);
        return changed
            .map(drop)
            .map_err(|problems| problems.iter().map(|it| it.message.clone()).collect::<Vec<_>>().join("; "));
    }
    let mut tree = serde_json::to_value(&*scenario).expect("a scenario is plain data");
    put(&mut tree, path, value)?;
    *scenario = Document::from_value(tree)
        .read(schema(), &formats())
        .map_err(|problems| sentences(&problems, path))?;
    Ok(())
}

/// Checks a scenario again that was changed. Its claims go, since they are about the scenario as it is written.
///
/// # Errors
///
/// A sentence for each problem. `checked` is of no use then.
pub fn check_again(checked: &mut Checked) -> Result<(), Vec<String>> {
    checked.keep_claims(|_| false);
    checked.scenario.claims.retain(|claim| !claim.is_empty());
    let problems = check::check(&checked.scenario);
    if problems.is_empty() {
        return Ok(());
    }
    Err(problems.iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect())
}

/// Path and value of `PATH=VALUE`.
///
/// # Errors
///
/// A sentence, if it is something else.
pub fn assigned(assignment: &str) -> Result<(&str, Value), String> {
    let (path, text) = assignment
        .split_once('=')
        .ok_or_else(|| format!("expected PATH=VALUE, such as db.workers=20, found `{assignment}`"))?;
    let value = parse(text).ok_or_else(|| format!("`{text}` is not a value"))?;
    Ok((path, value))
}

/// What is wrong with the value at `changed`, each with where it is if it lies deeper.
fn sentences(problems: &Problems, changed: &str) -> String {
    let sentence = |problem: &Problem| {
        let place = problem.path.to_string();
        let at = if place.starts_with(changed) { place } else { changed.to_owned() };
        let help = problem.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
        format!("{at}: {}{help}", problem.message)
    };
    problems.iter().map(sentence).collect::<Vec<_>>().join("; ")
}

fn parse(text: &str) -> Option<Value> {
    let document = Document::parse("value", &format!("value: {text}\n")).ok()?;
    document.value().get("value").cloned()
}

fn put(tree: &mut Value, path: &str, value: Value) -> Result<(), String> {
    let (mut at, mut rest) = (tree, path);
    // The keys of a lever's `set` are paths themselves, and are taken whole.
    while let Some((segment, deeper)) = rest.split_once('.').filter(|_| !has(at, rest)) {
        let names = names(at);
        at = inside(at, segment).ok_or_else(|| nothing_there(segment, path, names))?;
        rest = deeper;
    }
    match at {
        // A field that the file leaves out may be given; one that does not exist is refused with the whole.
        Value::Object(fields) => drop(fields.insert(rest.to_owned(), value)),
        _ => {
            let names = names(at);
            *inside(at, rest).ok_or_else(|| nothing_there(rest, path, names))? = value;
        }
    }
    Ok(())
}

fn has(value: &Value, key: &str) -> bool {
    value.as_object().is_some_and(|fields| fields.contains_key(key))
}

/// What `value` holds under `segment`. Lists of named things are addressed by name.
fn inside<'a>(value: &'a mut Value, segment: &str) -> Option<&'a mut Value> {
    match value {
        Value::Object(fields) => fields.get_mut(segment),
        Value::Array(items) => items.iter_mut().find(|item| name(item) == Some(segment)),
        _ => None,
    }
}

/// What can follow in a path.
fn names(value: &Value) -> Vec<String> {
    match value {
        Value::Object(fields) => fields.keys().cloned().collect(),
        Value::Array(items) => items.iter().filter_map(name).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

/// The name of a named thing: the first of its fields.
fn name(item: &Value) -> Option<&str> {
    item.as_object()?.values().next()?.as_str()
}

fn nothing_there(segment: &str, path: &str, names: Vec<String>) -> String {
    let help = match suggest(segment, names.iter().map(String::as_str)) {
        Some(close) => format!("did you mean `{close}`?"),
        None if names.is_empty() => "what stands before it is a plain value".to_owned(),
        None => format!("there is: {}", names.join(", ")),
    };
    format!("there is no `{segment}` on the way to `{path}`; {help}")
}
