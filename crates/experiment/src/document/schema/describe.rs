//! The words of the schema check: what was expected, what was found, what a field is for. It decides
//! nothing about right and wrong.

use serde_json::Value;

use super::{Checker, Layer, Types, constants_of, known, list_of, text_of, types_of};
use crate::document::path::{Path, Segment};
use crate::document::problem::Problems;
use crate::document::scalar;

/// Longer lists of what is known are not shown: a wall of words helps nobody.
pub(super) const LONGEST_LIST: usize = 14;

impl<'a> Checker<'a> {
    /// Reports `expected X, found Y` at a value.
    pub(super) fn unexpected(&self, expected: &str, value: &Value, path: &Path, problems: &mut Problems) {
        problems.at_value(path, format!("expected {expected}, found {}", self.found(value, path)));
        if let Some(help) = self.quoting_help(expected, value, path) {
            problems.help(help);
        }
    }

    /// Reports a value of a type that the layer does not have.
    pub(super) fn wrong_type(&self, layer: Layer<'a>, value: &Value, path: &Path, problems: &mut Problems) {
        let expected = self.describe_layer(layer);
        self.unexpected(&expected, value, path, problems);
        let fields = known(layer.get("properties").and_then(Value::as_object));
        let unhelped = self.quoting_help(&expected, value, path).is_none();
        if unhelped && !fields.is_empty() && fields.len() <= LONGEST_LIST {
            problems.help(format!("its fields: {}", fields.join(", ")));
        }
        if let (true, Some(word)) = (types_of(layer) == Types::ARRAY, self.document.plain_text(path))
            && !value.is_null()
            && word.chars().all(|c| c.is_alphanumeric() || "_- ".contains(c))
        {
            problems.help(format!("write [{}]", scalar::shorten(&word)));
        }
    }

    /// The value as a person would name it, in the file's own words where it is one.
    pub(super) fn found(&self, value: &Value, path: &Path) -> String {
        let written = self.document.plain_text(path).filter(|text| !text.is_empty());
        match value {
            Value::Null if written.is_none() => "nothing".to_owned(),
            Value::Null | Value::Bool(_) => format!("`{}`", written.unwrap_or_else(|| value.to_string())),
            Value::Number(_) => scalar::shorten(&written.unwrap_or_else(|| value.to_string())),
            Value::String(text) if text.is_empty() => "empty text".to_owned(),
            Value::String(text) if self.document.is_quoted(path) => {
                format!("the text `{}`", scalar::shorten(text))
            }
            Value::String(text) => format!("`{}`", scalar::shorten(text.trim_end())),
            Value::Array(list) if list.is_empty() => "an empty list".to_owned(),
            Value::Array(_) => "a list".to_owned(),
            Value::Object(map) if map.is_empty() => "an empty mapping".to_owned(),
            Value::Object(_) => "a mapping".to_owned(),
        }
    }

    /// The slips that YAML invites: quotes too many, quotes too few, no space after a colon.
    fn quoting_help(&self, expected: &str, value: &Value, path: &Path) -> Option<&'static str> {
        let scalar = !value.is_array() && !value.is_object() && !value.is_null();
        match value.as_str() {
            Some(text) if self.document.is_quoted(path) && scalar::is_special(text) => {
                Some("remove the quotes")
            }
            Some(text) if expected == MAPPING && is_glued(text) => Some("write a space after the colon"),
            None if scalar && expected == TEXT => Some("put it in quotes"),
            _ => None,
        }
    }

    /// What a schema expects, as the rest of a sentence that starts with `expected`.
    pub(super) fn describe(&self, schema: &'a Value) -> String {
        let mut parts: Vec<String> = Vec::new();
        for layer in self.layers(schema) {
            let branches = self.branches(layer);
            let described = match branches.is_empty() {
                true if is_silent(layer) => continue,
                true => vec![self.describe_layer(layer)],
                false => self.describe_choice(&branches),
            };
            parts.extend(described);
        }
        join(parts)
    }

    pub(super) fn describe_layer(&self, layer: Layer<'a>) -> String {
        if let Some(format) = text_of(layer, "format").filter(|format| self.formats.0.contains_key(format)) {
            return describe_format(layer, format);
        }
        let constants = constants_of(layer);
        if !constants.is_empty() {
            return quoted(
                constants
                    .iter()
                    .map(|constant| constant.as_str().map_or(constant.to_string(), str::to_owned)),
            );
        }
        let types = types_of(layer);
        let names = [
            (Types::BOOLEAN, "`true` or `false`".to_owned()),
            (Types::INTEGER, numbers(layer, types)),
            (Types::STRING, TEXT.to_owned()),
            (Types::ARRAY, "a list".to_owned()),
            (Types::OBJECT, MAPPING.to_owned()),
        ];
        let parts: Vec<String> =
            names.into_iter().filter(|(kind, _)| types.has(*kind)).map(|(_, name)| name).collect();
        if parts.is_empty() { "nothing".to_owned() } else { join(parts) }
    }

    /// What a field is for: the first sentence of its description, else its title.
    pub(super) fn explain(&self, schema: &'a Value) -> Option<String> {
        let layers = self.layers(schema);
        let text = layers
            .iter()
            .find_map(|layer| text_of(layer, "description").or_else(|| text_of(layer, "title")))?;
        let paragraph = text.split("\n\n").next().unwrap_or(text).replace('\n', " ");
        let sentence = paragraph.split_once(". ").map_or(paragraph.as_str(), |(sentence, _)| sentence);
        Some(sentence.trim_end_matches('.').to_owned())
    }

    /// What is chosen from here: the schema's title, else its name, else the name of the field.
    pub(super) fn noun(&self, schema: &'a Value, path: &Path) -> String {
        let layers = self.layers(schema);
        let title = layers.iter().find_map(|layer| text_of(layer, "title"));
        let name = layers.iter().rev().find_map(|layer| Some(text_of(layer, "$ref")?.rsplit_once('/')?.1));
        let key = path.segments().iter().rev().find_map(|segment| match segment {
            Segment::Key(key) => Some(key.as_str()),
            Segment::Index(_) => None,
        });
        match title {
            Some(title) => title.to_lowercase(),
            None => words(name.or(key).unwrap_or("document")),
        }
    }
}

const TEXT: &str = "text";
const MAPPING: &str = "a mapping";

/// A layer that only points elsewhere or annotates.
fn is_silent(layer: Layer<'_>) -> bool {
    layer.contains_key("$ref") && !layer.contains_key("type")
}

fn is_glued(text: &str) -> bool {
    text.split_once(':').is_some_and(|(key, value)| !key.contains(' ') && !value.starts_with(' '))
}

fn describe_format(layer: Layer<'_>, format: &str) -> String {
    let examples: Vec<String> = list_of(layer, "examples")
        .map(|example| example.as_str().map_or(example.to_string(), str::to_owned))
        .collect();
    let such_as = if examples.is_empty() { String::new() } else { format!(" such as {}", join(examples)) };
    format!(
        "{} {}{such_as}",
        if format.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" },
        words(format)
    )
}

/// `SlowDown` and `slow-down` as `slow down`.
fn words(name: &str) -> String {
    let mut words = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        if matches!(c, '_' | '-') { words.push(' ') } else { words.extend(c.to_lowercase()) }
    }
    words
}

fn numbers(layer: Layer<'_>, types: Types) -> String {
    let bound = |name: &str| layer.get(name).and_then(Value::as_f64);
    let from = match (bound("minimum"), bound("exclusiveMinimum")) {
        (_, Some(bound)) => format!(" above {bound}"),
        (Some(bound), None) => format!(" from {bound}"),
        (None, None) => String::new(),
    };
    let to = match (bound("maximum"), bound("exclusiveMaximum")) {
        (_, Some(bound)) => format!(" below {bound}"),
        (Some(bound), None) if bound_starts_range(&from) => format!(" to {bound}"),
        (Some(bound), None) => format!(" up to {bound}"),
        (None, None) if bound_starts_range(&from) => " on".to_owned(),
        (None, None) => String::new(),
    };
    let and =
        if !from.is_empty() && (to.starts_with(" up") || to.starts_with(" below")) { " and" } else { "" };
    let kind = if types.has(Types::FRACTION) { "a number" } else { "a whole number" };
    format!("{kind}{from}{and}{to}")
}

fn bound_starts_range(from: &str) -> bool {
    from.starts_with(" from")
}

/// The distinct parts as `a, b or c`.
pub(super) fn join(parts: Vec<String>) -> String {
    let mut distinct: Vec<String> = Vec::new();
    for part in parts {
        if !distinct.contains(&part) {
            distinct.push(part);
        }
    }
    match distinct.split_last() {
        None => "something".to_owned(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
    }
}

/// The distinct parts as `a, b, or c`, for parts that hold an `or` themselves.
pub(super) fn join_clauses(parts: Vec<String>) -> String {
    match parts.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{}, or {last}", rest.join(", ")),
        _ => join(parts),
    }
}

/// The words as `` `a`, `b` or `c` ``, as many as a person would read.
pub(super) fn quoted(words: impl Iterator<Item = String>) -> String {
    let mut parts: Vec<String> = words.map(|word| format!("`{word}`")).collect();
    if parts.len() > LONGEST_LIST {
        parts.truncate(LONGEST_LIST);
        parts.push("another known word".to_owned());
    }
    join(parts)
}

pub(super) fn entries(count: u64, qualifier: &str) -> String {
    format!("{qualifier}{count} {}", if count == 1 { "entry" } else { "entries" })
}

pub(super) fn amount(count: u64) -> String {
    if count == 0 { "none".to_owned() } else { count.to_string() }
}
