//! Settings by path: `api.pool.size` is the field `size` of the policy `pool` on the calls of service `api`;
//! `db.workers` is a field of the service itself. Levers, `--set` and sweeps all change settings this way.
//! It decides which change is possible; when it happens, and to which arm, is not its affair.

use indexmap::IndexMap;
use pumphandle_policy::{Policies, Wrong};
use pumphandle_stack::settings::FIRST_DOES_NOT_LISTEN;
use pumphandle_stack::{ServiceSettings, StackSettings};
use serde_json::{Map, Value};

use super::schema::{formats, schema};
use crate::document::{Document, Part, Path, Problem, Problems, suggest};

/// Puts `value` at `path`, and returns the service it belongs to.
///
/// # Errors
///
/// A sentence for the person who wrote it. `services` is unchanged then.
pub fn set(services: &mut StackSettings, path: &str, value: &Value) -> Result<String, String> {
    let changes = IndexMap::from([(path.to_owned(), value.clone())]);
    let mut names = set_all(services, &changes).map_err(|problems| sentences(&problems, path))?;
    Ok(names.pop().expect("a change that is not refused is one of a service"))
}

/// Puts every value at its path, all at once, and returns the services they belong to, in the order in which
/// they are first named.
///
/// # Errors
///
/// Problems whose paths start with the changed path as one key. `services` is unchanged then.
pub fn set_all(
    services: &mut StackSettings,
    changes: &IndexMap<String, Value>,
) -> Result<Vec<String>, Problems> {
    let document = Document::from_value(Value::Object(changes.clone().into_iter().collect()));
    set_all_of(services, changes, &document, &Path::root())
}

/// [`set_all`] for changes that stand at `place` of `document`, where their problems are reported.
///
/// # Errors
///
/// As [`set_all`].
pub fn set_all_of(
    services: &mut StackSettings,
    changes: &IndexMap<String, Value>,
    document: &Document,
    place: &Path,
) -> Result<Vec<String>, Problems> {
    let mut problems = Problems::new();
    let mut trees: IndexMap<String, Value> = IndexMap::new();
    for (path, value) in changes {
        let at = place.join(path);
        let setting = match Setting::find(services, path) {
            Ok(setting) => setting,
            Err((message, help)) => {
                problems.push(Problem { path: at, part: Part::Key, span: None, message, help });
                continue;
            }
        };
        let wrong = document.check_at(&at, setting.shape, schema(), &formats());
        if !wrong.is_empty() {
            problems.extend(wrong);
            continue;
        }
        let tree =
            trees.entry(setting.service.clone()).or_insert_with(|| tree_of(&services[&setting.service]));
        if let Err((message, help)) = put(tree, &setting.fields, value, path) {
            problems.push(Problem { path: at, part: Part::Key, span: None, message, help });
        }
    }
    // What the settings say together is only worth checking once each of them can be read.
    problems.into_result()?;
    let mut problems = Problems::new();
    let changed = publishable(trees, changes, place, &mut problems);
    for (name, settings) in &changed {
        if settings.listen.is_some() && services.get_index_of(name) == Some(0) {
            let message = FIRST_DOES_NOT_LISTEN.to_owned();
            at_nearest(&format!("{name}.listen"), message, changes, place, &mut problems);
        }
    }
    problems.into_result()?;
    let names = changed.iter().map(|(name, _)| name.clone()).collect();
    services.extend(changed);
    Ok(names)
}

/// Puts back, at every path, what `original` has there, or nothing where it has nothing; returns the services
/// they belong to.
///
/// # Errors
///
/// As [`set_all`]. `services` is unchanged then.
pub fn restore(
    services: &mut StackSettings,
    original: &StackSettings,
    paths: &[String],
) -> Result<Vec<String>, Problems> {
    let mut problems = Problems::new();
    let mut trees: IndexMap<String, Value> = IndexMap::new();
    for path in paths {
        let mut refuse = |(message, help): Sentence| {
            let path = Path::root().join(path);
            problems.push(Problem { path, part: Part::Key, span: None, message, help });
        };
        let mut segments = path.split('.');
        let name = segments.next().unwrap_or_default();
        let (Some(now), Some(before)) = (services.get(name), original.get(name)) else {
            refuse(unknown("service", name, services.keys().map(String::as_str)));
            continue;
        };
        let fields = match full_path(name, &segments.collect::<Vec<_>>()) {
            Ok(fields) => fields,
            Err(sentence) => {
                refuse(sentence);
                continue;
            }
        };
        let tree = trees.entry(name.to_owned()).or_insert_with(|| tree_of(now));
        let before = tree_of(before);
        let put_back = match fields.iter().try_fold(&before, |at, field| at.get(field)) {
            Some(value) => put(tree, &fields, value, path),
            None => {
                take_out(tree, &fields);
                Ok(())
            }
        };
        put_back.unwrap_or_else(&mut refuse);
    }
    problems.into_result()?;
    let mut problems = Problems::new();
    let named: IndexMap<String, Value> = paths.iter().map(|path| (path.clone(), Value::Null)).collect();
    let changed = publishable(trees, &named, &Path::root(), &mut problems);
    problems.into_result()?;
    let names = changed.iter().map(|(name, _)| name.clone()).collect();
    services.extend(changed);
    Ok(names)
}

fn take_out(tree: &mut Value, fields: &[&str]) {
    let (last, parents) = fields.split_last().expect("a full path has a field");
    let at = parents.iter().try_fold(tree, |at, field| at.get_mut(*field));
    if let Some(fields) = at.and_then(Value::as_object_mut) {
        fields.shift_remove(*last);
    }
}

/// The settings that `trees` say, as far as they can be.
fn publishable(
    trees: IndexMap<String, Value>,
    changes: &IndexMap<String, Value>,
    place: &Path,
    problems: &mut Problems,
) -> Vec<(String, ServiceSettings)> {
    let mut changed = Vec::new();
    for (name, tree) in trees {
        match together(tree) {
            Ok(settings) => changed.push((name, settings)),
            Err(wrong) => {
                for Wrong { path, message } in wrong {
                    at_nearest(&format!("{name}.{path}"), message, changes, place, problems);
                }
            }
        }
    }
    changed
}

/// The settings of a service, or what is wrong with them as a whole.
fn together(tree: Value) -> Result<ServiceSettings, Vec<Wrong>> {
    let document = Document::from_value(tree);
    let found = document.check_at(&Path::root(), service_shape(), schema(), &formats());
    if !found.is_empty() {
        return Err(found.into_iter().map(|it| Wrong::at(it.path.to_string(), it.message)).collect());
    }
    let settings: ServiceSettings = serde_json::from_value(document.value().clone())
        .map_err(|error| vec![Wrong::at("", error.to_string())])?;
    let wrong = settings.check();
    if wrong.is_empty() { Ok(settings) } else { Err(wrong) }
}

/// Reports what is wrong at `full` (such as `client.with.retry.backoff`) at the change that it is nearest to.
fn at_nearest(
    full: &str,
    message: String,
    changes: &IndexMap<String, Value>,
    place: &Path,
    problems: &mut Problems,
) {
    let full = full.replacen(".with.", ".", 1);
    let service = full.split('.').next();
    let of_service = |path: &&String| path.split('.').next() == service;
    let shared = |path: &&String| path.bytes().zip(full.bytes()).take_while(|(a, b)| a == b).count();
    let Some(path) = changes.keys().filter(of_service).max_by_key(shared) else { return };
    match full.strip_prefix(path.as_str()) {
        Some("") => drop(problems.at_value(&place.join(path), message)),
        Some(rest) if rest.starts_with(['.', '[']) => {
            problems.at_value(&below(place.join(path), rest), message);
        }
        _ => drop(problems.at_value(&place.join(path), format!("`{full}`: {message}"))),
    }
}

/// Goes on from `path` as `text` says: `a.b[0].c`.
pub(crate) fn below(mut path: Path, text: &str) -> Path {
    for part in text.split('.') {
        let (name, indices) = part.split_once('[').unwrap_or((part, ""));
        if !name.is_empty() {
            path.push(name);
        }
        for index in indices.split('[').filter_map(|index| index.trim_end_matches(']').parse::<usize>().ok())
        {
            path.push(index);
        }
    }
    path
}

fn sentences(problems: &Problems, changed: &str) -> String {
    let sentence = |problem: &Problem| {
        let inside: Path = problem.path.segments().iter().skip(1).cloned().collect();
        let dot = if inside.to_string().starts_with('[') { "" } else { "." };
        let at = if inside.is_root() { String::new() } else { format!("{changed}{dot}{inside}: ") };
        let help = problem.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
        format!("{at}{}{help}", problem.message)
    };
    problems.iter().map(sentence).collect::<Vec<_>>().join("; ")
}

/// The value at `path`, in words; `-` where there is none.
pub fn show(services: &StackSettings, path: &str) -> String {
    let mut segments = path.split('.');
    let Some(service) = segments.next().and_then(|name| services.get(name)) else { return "-".to_owned() };
    let Ok(fields) = full_path("", &segments.collect::<Vec<_>>()) else { return "-".to_owned() };
    fields.iter().try_fold(&tree_of(service), |at, field| at.get(field)).map_or("-".to_owned(), words)
}

/// The value at `path` itself; `None` where there is none.
pub fn get(services: &StackSettings, path: &str) -> Option<Value> {
    let (name, rest) = path.split_once('.').unwrap_or((path, ""));
    let tree = tree_of(services.get(name)?);
    if rest.is_empty() {
        return Some(tree);
    }
    let fields = full_path(name, &rest.split('.').collect::<Vec<_>>()).ok()?;
    fields.iter().try_fold(&tree, |at, field| at.get(field)).cloned()
}

/// Every setting of every service by path, in words.
pub fn flatten(services: &StackSettings) -> IndexMap<String, String> {
    fn walk(path: &str, value: &Value, all: &mut IndexMap<String, String>) {
        match value {
            Value::Object(fields) => fields.iter().for_each(|(name, value)| {
                let path = if name == "with" { path.to_owned() } else { format!("{path}.{name}") };
                walk(&path, value, all);
            }),
            value => drop(all.insert(path.to_owned(), words(value))),
        }
    }
    let mut all = IndexMap::new();
    for (name, service) in services {
        walk(name, &tree_of(service), &mut all);
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

fn tree_of(settings: &ServiceSettings) -> Value {
    serde_json::to_value(settings).expect("settings are plain data")
}

/// A message, and what to do about it.
pub(crate) type Sentence = (String, Option<String>);

/// One setting that can be changed.
struct Setting<'a> {
    service: String,
    /// The way to it in the service's settings.
    fields: Vec<&'a str>,
    /// What its values look like.
    shape: &'static Value,
}

impl<'a> Setting<'a> {
    fn find(services: &StackSettings, path: &'a str) -> Result<Setting<'a>, Sentence> {
        let mut segments = path.split('.');
        let name = segments.next().unwrap_or_default();
        if !services.contains_key(name) {
            return Err(unknown("service", name, services.keys().map(String::as_str)));
        }
        let fields = full_path(name, &segments.collect::<Vec<_>>())?;
        let mut shape = service_shape();
        let mut so_far = name.to_owned();
        let tree = tree_of(&services[name]);
        let mut now = Some(&tree);
        for field in &fields {
            let of = shape;
            shape = inside(of, field, &so_far)?;
            if let Some(kind) = now.and_then(Value::as_object).and_then(|map| map.keys().next())
                && is_choice(of)
                && kind != field
            {
                let help = format!("set it as a whole: {so_far}: {{ {field}: … }}");
                return Err((format!("`{so_far}` is `{kind}` here, not `{field}`"), Some(help)));
            }
            now = now.and_then(|value| value.get(field));
            if *field != "with" {
                so_far = format!("{so_far}.{field}");
            }
        }
        Ok(Setting { service: name.to_owned(), fields, shape })
    }
}

fn service_shape() -> &'static Value {
    schema().pointer("/$defs/ServiceSettings").expect("scenarios have services")
}

/// The shape of one field of `shape`, which is that of the setting `of`.
fn inside(shape: &'static Value, field: &str, of: &str) -> Result<&'static Value, Sentence> {
    if let Some(any) = shape.get("additionalProperties").filter(|inner| inner.is_object()) {
        // A map: whatever name stands there has this shape.
        return Ok(any);
    }
    let fields = fields_of(shape);
    if fields.is_empty() {
        return Err((format!("`{of}` has no fields: it is a value by itself"), None));
    }
    fields.get(field).copied().ok_or_else(|| {
        let (message, help) = unknown("field", field, fields.keys().copied());
        (message.replacen("no such field: ", &format!("`{of}` has no field "), 1), help)
    })
}

/// Whether a value of this shape is one of several kinds, each with a field named after it.
fn is_choice(shape: &'static Value) -> bool {
    let target = shape.get("$ref").and_then(Value::as_str).and_then(|name| schema().pointer(&name[1..]));
    [Some(shape), target].into_iter().flatten().any(|shape| shape.get("oneOf").is_some())
}

/// The fields that a value of this shape can have, those of all its kinds together.
fn fields_of(shape: &'static Value) -> IndexMap<&'static str, &'static Value> {
    let mut fields = IndexMap::new();
    if let Some(target) = shape.get("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix('#')) {
        fields.extend(fields_of(schema().pointer(target).expect("references of the schema lead somewhere")));
    }
    for kind in ["oneOf", "anyOf"].iter().filter_map(|word| shape.get(word)?.as_array()).flatten() {
        fields.extend(fields_of(kind));
    }
    if let Some(own) = shape.get("properties").and_then(Value::as_object) {
        fields.extend(own.iter().map(|(name, shape)| (name.as_str(), shape)));
    }
    fields
}

/// Adds the `with` that scenario files leave out in paths.
fn full_path<'a>(service: &str, segments: &[&'a str]) -> Result<Vec<&'a str>, Sentence> {
    let Some(&first) = segments.first() else {
        let help = format!("name one of its settings, such as {service}.workers");
        return Err((format!("`{service}` is a whole service"), Some(help)));
    };
    match first {
        "calls" | "standby" => {
            let help = "`route` can: it sends calls of a class to a service that stands by";
            return Err(("who calls whom cannot change while it runs".to_owned(), Some(help.to_owned())));
        }
        "with" => {
            let rest = segments[1..].join(".");
            let rest = if rest.is_empty() { "retry".to_owned() } else { rest };
            return Err((
                "`with` is left out of paths".to_owned(),
                Some(format!("such as {service}.{rest}")),
            ));
        }
        _ => {}
    }
    if ServiceSettings::FIELDS.contains(&first) {
        return Ok(segments.to_vec());
    }
    if Policies::NAMES.contains(&first) {
        return Ok(std::iter::once("with").chain(segments.iter().copied()).collect());
    }
    let known = ServiceSettings::FIELDS.iter().chain(Policies::NAMES).copied();
    Err(unknown(
        "setting or policy",
        first,
        known.filter(|name| !["with", "calls", "standby"].contains(name)),
    ))
}

fn put(tree: &mut Value, fields: &[&str], value: &Value, path: &str) -> Result<(), Sentence> {
    let (last, parents) = fields.split_last().expect("a full path has a field");
    let mut at = tree;
    for (depth, field) in parents.iter().enumerate() {
        let object = object_at(at, path)?;
        if depth == 0 && *field == "with" {
            object.entry("with").or_insert_with(|| Value::Object(Map::new()));
        }
        at = object.get_mut(*field).ok_or_else(|| {
            let whole = path.split('.').take_while(|part| part != field).collect::<Vec<_>>().join(".");
            let help = format!("set it as a whole: {whole}.{field}: {{ … }}");
            (format!("there is no `{field}` here yet of which `{last}` could change"), Some(help))
        })?;
    }
    object_at(at, path)?.insert((*last).to_owned(), value.clone());
    Ok(())
}

fn object_at<'a>(value: &'a mut Value, path: &str) -> Result<&'a mut Map<String, Value>, Sentence> {
    value.as_object_mut().ok_or_else(|| (format!("`{path}` goes on below a plain value"), None))
}

/// That there is no `what` of this name, and what was probably meant.
pub(crate) fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> Sentence {
    let known: Vec<&str> = known.collect();
    match suggest(name, known.iter().copied()) {
        Some(close) => (format!("no such {what}: `{name}`; did you mean `{close}`?"), None),
        None if known.is_empty() => (format!("no such {what}: `{name}`"), Some("there is none".to_owned())),
        None => (format!("no such {what}: `{name}`"), Some(format!("known: {}", known.join(", ")))),
    }
}
