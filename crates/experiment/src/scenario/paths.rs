//! Settings by path: `api.pool.size` is the field `size` of the policy `pool` on the calls of service `api`;
//! `db.workers` is a field of the service itself. Levers, `--set` and sweeps all change settings this way.

use pumphandle_policy::Policies;
use pumphandle_stack::{ServiceSettings, StackSettings};
use serde_json::Value;

use crate::document::suggest;

/// Puts `value` at `path`, and returns the service it belongs to.
///
/// # Errors
///
/// A sentence for the person who wrote it. `services` is unchanged then.
pub fn set(services: &mut StackSettings, path: &str, value: &Value) -> Result<String, String> {
    let mut segments = path.split('.');
    let name = segments.next().unwrap_or_default();
    let Some(service) = services.get(name) else {
        return Err(unknown("service", name, services.keys().map(String::as_str)));
    };
    let fields = full_path(name, &segments.collect::<Vec<_>>())?;
    let mut tree = serde_json::to_value(service).expect("settings are plain data");
    put(&mut tree, &fields, value, path)?;
    let changed: ServiceSettings = serde_json::from_value(tree).map_err(|error| plain(&error.to_string()))?;
    if let Some(wrong) = changed.check().into_iter().next() {
        return Err(format!("{}: {}", wrong.path, wrong.message));
    }
    services[name] = changed;
    Ok(name.to_owned())
}

/// The value at `path`, in words; `-` where there is none.
pub fn show(services: &StackSettings, path: &str) -> String {
    let mut segments = path.split('.');
    let Some(service) = segments.next().and_then(|name| services.get(name)) else { return "-".to_owned() };
    let Ok(fields) = full_path("", &segments.collect::<Vec<_>>()) else { return "-".to_owned() };
    let tree = serde_json::to_value(service).expect("settings are plain data");
    fields.iter().try_fold(&tree, |at, field| at.get(field)).map_or("-".to_owned(), words)
}

/// Every setting of every service by path, in words.
pub fn flatten(services: &StackSettings) -> indexmap::IndexMap<String, String> {
    fn walk(path: &str, value: &Value, all: &mut indexmap::IndexMap<String, String>) {
        match value {
            Value::Object(fields) => fields.iter().for_each(|(name, value)| {
                let path = if name == "with" { path.to_owned() } else { format!("{path}.{name}") };
                walk(&path, value, all);
            }),
            value => drop(all.insert(path.to_owned(), words(value))),
        }
    }
    let mut all = indexmap::IndexMap::new();
    for (name, service) in services {
        walk(name, &serde_json::to_value(service).expect("settings are plain data"), &mut all);
    }
    all
}

/// A value as people write it.
pub fn words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(fields) => {
            let inner: Vec<String> =
                fields.iter().map(|(name, value)| format!("{name}: {}", words(value))).collect();
            format!("{{ {} }}", inner.join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(words).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

/// Adds the `with` that scenario files leave out in paths.
fn full_path<'a>(service: &str, segments: &[&'a str]) -> Result<Vec<&'a str>, String> {
    let Some(&first) = segments.first() else {
        return Err(format!("`{service}` is a service; name one of its settings, such as {service}.workers"));
    };
    if first == "calls" {
        return Err("who calls whom cannot change while it runs".to_owned());
    }
    if ServiceSettings::FIELDS.contains(&first) {
        return Ok(segments.to_vec());
    }
    if Policies::NAMES.contains(&first) {
        return Ok(std::iter::once("with").chain(segments.iter().copied()).collect());
    }
    let known = ServiceSettings::FIELDS.iter().chain(Policies::NAMES).copied();
    Err(unknown("setting or policy", first, known.filter(|name| !["with", "calls"].contains(name))))
}

fn put(tree: &mut Value, fields: &[&str], value: &Value, path: &str) -> Result<(), String> {
    let (last, parents) = fields.split_last().expect("a full path has a field");
    let mut at = tree;
    for (depth, field) in parents.iter().enumerate() {
        let object = at.as_object_mut().ok_or_else(|| format!("`{path}` goes on below a plain value"))?;
        if !object.contains_key(*field) && depth == 0 && *field == "with" {
            object.insert("with".to_owned(), Value::Object(serde_json::Map::new()));
        }
        at = object.get_mut(*field).ok_or_else(|| {
            format!("there is no `{field}` yet that `{path}` could change: set `{field}` as a whole")
        })?;
    }
    let object = at.as_object_mut().ok_or_else(|| format!("`{path}` goes on below a plain value"))?;
    object.insert((*last).to_owned(), value.clone());
    Ok(())
}

fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.collect();
    match suggest(name, known.iter().copied()) {
        Some(close) => format!("no such {what}: `{name}`; did you mean `{close}`?"),
        None => format!("no such {what}: `{name}`; there is {}", known.join(", ")),
    }
}

/// serde's messages without the position in a text that nobody wrote.
fn plain(message: &str) -> String {
    message.split(" at line ").next().unwrap_or(message).to_owned()
}
