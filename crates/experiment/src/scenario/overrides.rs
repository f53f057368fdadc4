//! Changing a scenario from the command line: any setting of a service by its path, and any other value of
//! the file by where it stands, `load.arrivals.poisson` or `timeline.slow-queries.for`.

use serde_json::Value;

use crate::document::Document;
use crate::scenario::{Scenario, paths};

/// Applies `PATH=VALUE`. The result has to be checked again.
///
/// # Errors
///
/// A sentence for the person who wrote it.
pub fn apply(scenario: &mut Scenario, assignment: &str) -> Result<(), String> {
    let (path, text) = assignment
        .split_once('=')
        .ok_or_else(|| format!("expected PATH=VALUE, such as db.workers=20, found `{assignment}`"))?;
    let value = parse(text).ok_or_else(|| format!("`{text}` is not a value"))?;
    let first = path.split('.').next().unwrap_or_default();
    if scenario.services.contains_key(first) {
        return paths::set(&mut scenario.services, path, &value).map(drop);
    }
    let mut tree = serde_json::to_value(&*scenario).expect("a scenario is plain data");
    put(&mut tree, path, value)?;
    *scenario = serde_json::from_value(tree).map_err(|error| format!("{path}: {error}"))?;
    Ok(())
}

fn parse(text: &str) -> Option<Value> {
    let document = Document::parse("value", &format!("value: {text}\n")).ok()?;
    document.value().get("value").cloned()
}

fn put(tree: &mut Value, path: &str, value: Value) -> Result<(), String> {
    let mut at = tree;
    for segment in path.split('.') {
        let here = match at {
            Value::Object(fields) => fields.get_mut(segment),
            // Lists of named things are addressed by name.
            Value::Array(items) => items.iter_mut().find(|item| {
                item.as_object()
                    .is_some_and(|fields| fields.values().next().is_some_and(|name| name == segment))
            }),
            _ => None,
        };
        at = here.ok_or_else(|| {
            format!("there is no `{segment}` on the way to `{path}`; `pumphandle show` prints the scenario")
        })?;
    }
    *at = value;
    Ok(())
}
