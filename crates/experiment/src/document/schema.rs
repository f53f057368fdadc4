//! The shape of a document against a JSON Schema, in sentences a person can act on.
//!
//! The schema is what `schemars` 1.2 writes for `serde` types (draft 2020-12): references, types,
//! properties, required, additional and integer-pattern properties, lists and tuples, enums and constants,
//! `oneOf` and `anyOf` (tagged enums, options, untagged unions), `allOf`, bounds, lengths and formats.
//! [`unsupported_keywords`] names anything else in a schema, so that nothing is silently left unchecked.
//! What a format means is passed in: the check uses the parser that reads the value later.
//!
//! It differs from the letter of JSON Schema where `serde` does: `3.0` is not a whole number.

mod choice;
mod describe;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::path::{Path, Segment};
use super::problem::{Part, Problems};
use super::{Document, suggest};

/// Says whether a value of a format is well written; if not, the whole sentence for a person, such as
/// ``expected a duration such as 250ms, 3s or 2m, found `fast` ``.
pub type FormatCheck = fn(&Value) -> Result<(), String>;

/// The formats that a schema may name, besides those of integers and floats.
#[derive(Clone, Debug, Default)]
pub struct Formats(BTreeMap<&'static str, FormatCheck>);

impl Formats {
    /// No formats.
    pub fn new() -> Formats {
        Formats::default()
    }

    /// These formats and one more.
    #[must_use]
    pub fn with(mut self, name: &'static str, check: FormatCheck) -> Formats {
        self.0.insert(name, check);
        self
    }
}

/// References that lead through more references than this are taken for a circle.
const MAX_HOPS: usize = 16;

/// A schema as the JSON object it is, for everything but `true` and `false`.
type Layer<'a> = &'a Map<String, Value>;

pub(super) fn check(document: &Document, schema: &Value, formats: &Formats) -> Problems {
    let mut problems = Problems::new();
    let checker = Checker { document, root: schema, formats };
    checker.check(schema, document.value(), &mut Path::root(), &mut problems);
    problems
}

pub(super) fn check_at(
    document: &Document,
    path: &Path,
    part: &Value,
    schema: &Value,
    formats: &Formats,
) -> Problems {
    let mut problems = Problems::new();
    if let Some(value) = document.get(path) {
        let checker = Checker { document, root: schema, formats };
        checker.check(part, value, &mut path.clone(), &mut problems);
    }
    problems
}

struct Checker<'a> {
    document: &'a Document,
    root: &'a Value,
    formats: &'a Formats,
}

impl<'a> Checker<'a> {
    fn check(&self, schema: &'a Value, value: &Value, path: &mut Path, problems: &mut Problems) {
        if problems.stop_if_full() {
            return;
        }
        if schema == &Value::Bool(false) {
            problems.at_key(path, "nothing can be given here");
        }
        for layer in self.layers(schema) {
            self.check_layer(schema, layer, value, path, problems);
        }
    }

    /// A schema and what it refers to, outermost first.
    fn layers(&self, schema: &'a Value) -> Vec<Layer<'a>> {
        let mut layers = Vec::new();
        let mut next = schema.as_object();
        while let Some(layer) = next.filter(|_| layers.len() < MAX_HOPS) {
            layers.push(layer);
            next = layer.get("$ref").and_then(|reference| self.target(reference)).and_then(Value::as_object);
        }
        layers
    }

    fn target(&self, reference: &Value) -> Option<&'a Value> {
        self.root.pointer(reference.as_str()?.strip_prefix('#')?)
    }

    /// `origin` is the schema that led to this layer, which may give its choices a name.
    /// Each step stops at its first problem: what follows from a wrong type helps nobody.
    fn check_layer(
        &self,
        origin: &'a Value,
        layer: Layer<'a>,
        value: &Value,
        path: &mut Path,
        problems: &mut Problems,
    ) {
        let before = problems.len();
        self.check_format(layer, value, path, problems);
        if problems.len() == before {
            self.check_type(layer, value, path, problems);
        }
        if problems.len() == before {
            self.check_constants(origin, layer, value, path, problems);
        }
        if problems.len() > before {
            return;
        }
        match value {
            Value::Number(_) => self.check_number(layer, value, path, problems),
            Value::String(text) => self.check_text(layer, text, path, problems),
            Value::Array(list) => self.check_list(layer, list, path, problems),
            Value::Object(map) => self.check_map(layer, map, path, problems),
            Value::Null | Value::Bool(_) => {}
        }
        self.check_choice(origin, layer, value, path, problems);
        for part in list_of(layer, "allOf") {
            self.check(part, value, path, problems);
        }
    }

    fn check_format(&self, layer: Layer<'a>, value: &Value, path: &Path, problems: &mut Problems) {
        let Some(check) = text_of(layer, "format").and_then(|format| self.formats.0.get(format)) else {
            return;
        };
        if value.is_null() && types_of(layer).has(Types::NULL) && layer.contains_key("type") {
            return;
        }
        if let Err(message) = check(value) {
            problems.at_value(path, message);
        }
    }

    fn check_type(&self, layer: Layer<'a>, value: &Value, path: &Path, problems: &mut Problems) {
        if !types_of(layer).has(Types::of(value)) {
            self.wrong_type(layer, value, path, problems);
        }
    }

    fn check_constants(
        &self,
        origin: &'a Value,
        layer: Layer<'a>,
        value: &Value,
        path: &Path,
        problems: &mut Problems,
    ) {
        let constants = constants_of(layer);
        if constants.is_empty() || constants.contains(&value) {
            return;
        }
        match (value.as_str(), constants.iter().map(|constant| constant.as_str()).collect::<Option<Vec<_>>>())
        {
            (Some(word), Some(known)) => {
                self.unknown_kind(word, &known, origin, (path, Part::Value), problems)
            }
            _ => self.unexpected(&self.describe_layer(layer), value, path, problems),
        }
    }

    fn check_number(&self, layer: Layer<'a>, value: &Value, path: &Path, problems: &mut Problems) {
        let Some(number) = value.as_f64() else { return };
        let bound = |name: &str| layer.get(name).and_then(Value::as_f64);
        let fits = bound("minimum").is_none_or(|bound| number >= bound)
            && bound("maximum").is_none_or(|bound| number <= bound)
            && bound("exclusiveMinimum").is_none_or(|bound| number > bound)
            && bound("exclusiveMaximum").is_none_or(|bound| number < bound);
        if !fits {
            self.unexpected(&self.describe_layer(layer), value, path, problems);
            return;
        }
        let Some((least, most)) = text_of(layer, "format").and_then(integer_range) else { return };
        if value.as_i64().is_some_and(|number| number < least || number > most) {
            let expected = format!("a whole number from {least} to {most}");
            self.unexpected(&expected, value, path, problems);
        }
    }

    fn check_text(&self, layer: Layer<'a>, text: &str, path: &Path, problems: &mut Problems) {
        let length = text.chars().count() as u64;
        if count_of(layer, "minLength").is_some_and(|least| length < least) {
            let message = if length == 0 {
                "expected some text, found none".to_owned()
            } else {
                format!(
                    "expected at least {} characters, found {length}",
                    count_of(layer, "minLength").unwrap_or(0)
                )
            };
            problems.at_value(path, message);
        } else if let Some(most) = count_of(layer, "maxLength").filter(|&most| length > most) {
            problems.at_value(path, format!("expected at most {most} characters, found {length}"));
        }
    }

    fn check_list(&self, layer: Layer<'a>, list: &[Value], path: &mut Path, problems: &mut Problems) {
        let least = count_of(layer, "minItems").unwrap_or(0);
        let most = count_of(layer, "maxItems").unwrap_or(u64::MAX);
        let length = list.len() as u64;
        if length < least || length > most {
            let expected = match (least, most) {
                (least, most) if least == most => describe::entries(least, ""),
                (least, _) if length < least => describe::entries(least, "at least "),
                (_, most) => describe::entries(most, "at most "),
            };
            problems.at_value(path, format!("expected {expected}, found {}", describe::amount(length)));
        }
        if layer.get("uniqueItems") == Some(&Value::Bool(true)) {
            self.check_unique(list, path, problems);
        }
        let tuple: Vec<&Value> = list_of(layer, "prefixItems").collect();
        for (index, value) in list.iter().enumerate() {
            if let Some(schema) = tuple.get(index).copied().or_else(|| layer.get("items")) {
                self.check_inside(schema, value, Segment::Index(index), path, problems);
            }
        }
    }

    fn check_unique(&self, list: &[Value], path: &Path, problems: &mut Problems) {
        // By their JSON text, which is the same for equal values written in the same order.
        let mut seen = BTreeMap::new();
        for (index, value) in list.iter().enumerate() {
            let path = path.join(index);
            if let Some(first) = seen.insert(value.to_string(), self.document.line(&path)) {
                problems.at_value(&path, format!("the same entry as on line {first}"));
            }
        }
    }

    fn check_map(
        &self,
        layer: Layer<'a>,
        map: &Map<String, Value>,
        path: &mut Path,
        problems: &mut Problems,
    ) {
        let fields = layer.get("properties").and_then(Value::as_object);
        let mut meant = Vec::new();
        for (key, value) in map {
            if problems.stop_if_full() {
                return;
            }
            if let Some(names) = layer.get("propertyNames") {
                self.check_inside(names, &Value::from(key.as_str()), Segment::from(key), path, problems);
            }
            if let Some(schema) = self.schema_of(layer, fields, key) {
                self.check_inside(schema, value, Segment::from(key), path, problems);
            } else if layer.get("additionalProperties") == Some(&Value::Bool(false)) {
                let free = known(fields).into_iter().filter(|field| !map.contains_key(*field)).collect();
                meant.extend(self.unknown_field(key, free, fields, path, problems));
            }
        }
        for field in list_of(layer, "required").filter_map(Value::as_str) {
            if !map.contains_key(field) && !meant.contains(&field) {
                problems.at_key(path, format!("missing field `{field}`{}", of(path)));
                if let Some(what) =
                    fields.and_then(|fields| fields.get(field)).and_then(|schema| self.explain(schema))
                {
                    problems.help(format!("{field}: {what}"));
                }
            }
        }
    }

    /// The schema of a field, unless additional properties are refused or nothing is said about them.
    fn schema_of(&self, layer: Layer<'a>, fields: Option<Layer<'a>>, key: &str) -> Option<&'a Value> {
        let pattern = layer.get("patternProperties").and_then(Value::as_object).and_then(|patterns| {
            patterns.iter().find(|(pattern, _)| integer_pattern(pattern).is_some_and(|fits| fits(key)))
        });
        fields
            .and_then(|fields| fields.get(key))
            .or_else(|| pattern.map(|(_, schema)| schema))
            .or_else(|| layer.get("additionalProperties").filter(|schema| schema.is_object()))
    }

    /// Reports a field that does not exist, and returns the one that was probably meant.
    fn unknown_field(
        &self,
        key: &str,
        free: Vec<&'a str>,
        fields: Option<Layer<'a>>,
        path: &Path,
        problems: &mut Problems,
    ) -> Option<&'a str> {
        let message = format!("unknown field `{}`{}", super::scalar::shorten(key), of(path));
        let at = path.join(key);
        if let Some(meant) = suggest(key, free) {
            problems.at_key(&at, format!("{message}; did you mean `{meant}`?"));
            return Some(meant);
        }
        problems.at_key(&at, message);
        let known = known(fields);
        if key.split_once(':').is_some_and(|(field, _)| known.contains(&field)) {
            problems.help("write a space after the colon");
        } else if known.is_empty() {
            problems.help("nothing can be set here");
        } else if known.len() <= describe::LONGEST_LIST {
            problems.help(format!("known fields: {}", known.join(", ")));
        }
        None
    }

    fn check_inside(
        &self,
        schema: &'a Value,
        value: &Value,
        segment: Segment,
        path: &mut Path,
        problems: &mut Problems,
    ) {
        path.push(segment);
        self.check(schema, value, path, problems);
        path.pop();
    }
}

/// A set of JSON types. `integer` and `number` follow `serde`: a whole number may be given for a number,
/// but `3.0` is not whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Types(u8);

impl Types {
    const NONE: Types = Types(0);
    const NULL: Types = Types(1);
    const BOOLEAN: Types = Types(2);
    const INTEGER: Types = Types(4);
    const FRACTION: Types = Types(8);
    const STRING: Types = Types(16);
    const ARRAY: Types = Types(32);
    const OBJECT: Types = Types(64);
    const ALL: Types = Types(127);

    fn of(value: &Value) -> Types {
        match value {
            Value::Null => Types::NULL,
            Value::Bool(_) => Types::BOOLEAN,
            Value::Number(number) if number.is_f64() => Types::FRACTION,
            Value::Number(_) => Types::INTEGER,
            Value::String(_) => Types::STRING,
            Value::Array(_) => Types::ARRAY,
            Value::Object(_) => Types::OBJECT,
        }
    }

    fn named(name: &str) -> Types {
        match name {
            "null" => Types::NULL,
            "boolean" => Types::BOOLEAN,
            "integer" => Types::INTEGER,
            "number" => Types::INTEGER.or(Types::FRACTION),
            "string" => Types::STRING,
            "array" => Types::ARRAY,
            "object" => Types::OBJECT,
            _ => Types::NONE,
        }
    }

    fn has(self, other: Types) -> bool {
        self.0 & other.0 == other.0
    }

    fn or(self, other: Types) -> Types {
        Types(self.0 | other.0)
    }

    fn and(self, other: Types) -> Types {
        Types(self.0 & other.0)
    }
}

/// The types that the `type` keyword of a layer allows.
fn types_of(layer: Layer<'_>) -> Types {
    match layer.get("type") {
        Some(Value::String(name)) => Types::named(name),
        Some(Value::Array(names)) => names
            .iter()
            .filter_map(Value::as_str)
            .fold(Types::NONE, |types, name| types.or(Types::named(name))),
        _ => Types::ALL,
    }
}

/// The values of `enum` or `const`; empty when neither is given.
fn constants_of(layer: Layer<'_>) -> Vec<&Value> {
    list_of(layer, "enum").chain(layer.get("const")).collect()
}

fn list_of<'a>(layer: Layer<'a>, keyword: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    layer.get(keyword).and_then(Value::as_array).into_iter().flatten()
}

fn text_of<'a>(layer: Layer<'a>, keyword: &str) -> Option<&'a str> {
    layer.get(keyword).and_then(Value::as_str)
}

fn count_of(layer: Layer<'_>, keyword: &str) -> Option<u64> {
    layer.get(keyword).and_then(Value::as_u64)
}

fn known<'a>(fields: Option<Layer<'a>>) -> Vec<&'a str> {
    fields.into_iter().flat_map(|fields| fields.keys()).map(String::as_str).collect()
}

/// ` of client.with`, or nothing for the whole document. A key that is a path itself, such as
/// `client.breaker` of a lever, is enough to tell where.
fn of(path: &Path) -> String {
    let is_path = |segment: &Segment| match segment {
        Segment::Key(key) => key.contains('.') && !key.contains(char::is_whitespace),
        Segment::Index(_) => false,
    };
    match path.segments().iter().rposition(is_path) {
        _ if path.is_root() => String::new(),
        None => format!(" of `{}`", path.tail()),
        Some(start) => {
            let text = path.segments()[start..].iter().fold(String::new(), |text, segment| match segment {
                Segment::Key(key) if text.is_empty() => key.clone(),
                Segment::Key(key) => format!("{text}.{key}"),
                Segment::Index(index) => format!("{text}[{index}]"),
            });
            format!(" of `{text}`")
        }
    }
}

/// The formats that `schemars` gives to integers, as far as they are narrower than the numbers that a
/// document can hold.
fn integer_range(format: &str) -> Option<(i64, i64)> {
    match format {
        "int8" => Some((i8::MIN.into(), i8::MAX.into())),
        "int16" => Some((i16::MIN.into(), i16::MAX.into())),
        "int32" => Some((i32::MIN.into(), i32::MAX.into())),
        "uint8" => Some((0, u8::MAX.into())),
        "uint16" => Some((0, u16::MAX.into())),
        "uint32" => Some((0, u32::MAX.into())),
        "uint" | "uint64" | "uint128" => Some((0, i64::MAX)),
        _ => None,
    }
}

/// The two patterns that `schemars` writes for maps whose keys are integers.
fn integer_pattern(pattern: &str) -> Option<fn(&str) -> bool> {
    fn digits(key: &str) -> bool {
        !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_digit())
    }
    match pattern {
        r"^\d+$" => Some(digits),
        r"^-?\d+$" => Some(|key| digits(key.strip_prefix('-').unwrap_or(key))),
        _ => None,
    }
}

/// Formats that need no parser of their own: [`Document::parse`] and the type have checked them.
const NUMBER_FORMATS: [&str; 14] = [
    "int8", "int16", "int32", "int64", "int128", "int", "uint8", "uint16", "uint32", "uint64", "uint128",
    "uint", "float", "double",
];

/// The keywords that [`Document::check`] obeys.
const CHECKED: [&str; 25] = [
    "$ref",
    "type",
    "properties",
    "required",
    "additionalProperties",
    "patternProperties",
    "propertyNames",
    "items",
    "prefixItems",
    "minItems",
    "maxItems",
    "uniqueItems",
    "enum",
    "const",
    "oneOf",
    "anyOf",
    "allOf",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minLength",
    "maxLength",
    "format",
    "pattern",
];

/// Keywords that say nothing about which documents are right.
const NOTES: [&str; 12] = [
    "$schema",
    "$id",
    "$defs",
    "$comment",
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "markdownDescription",
];

/// The keywords, formats and patterns of a schema that [`Document::check`] would pass over, as JSON
/// pointers. A test of the schema should see that there are none. A `pattern` is accepted only beside a
/// format of `formats`, which must then be the stricter of the two.
pub fn unsupported_keywords(schema: &Value, formats: &Formats) -> Vec<String> {
    let mut found = Vec::new();
    unsupported(schema, formats, "#", &mut found);
    found
}

fn unsupported(schema: &Value, formats: &Formats, at: &str, found: &mut Vec<String>) {
    let Some(layer) = schema.as_object() else { return };
    let format = text_of(layer, "format");
    for (keyword, value) in layer {
        let at = format!("{at}/{keyword}");
        let holds = match keyword.as_str() {
            "format" => {
                format.is_some_and(|name| NUMBER_FORMATS.contains(&name) || formats.0.contains_key(name))
            }
            "pattern" => format.is_some_and(|name| formats.0.contains_key(name)),
            "items" => value.is_object() || value == &Value::Bool(true),
            "patternProperties" => {
                known(value.as_object()).into_iter().all(|key| integer_pattern(key).is_some())
            }
            word => CHECKED.contains(&word) || NOTES.contains(&word) || word.starts_with("x-"),
        };
        if !holds {
            found.push(at.clone());
        }
        match (keyword.as_str(), value) {
            ("properties" | "patternProperties" | "$defs", Value::Object(map)) => {
                for (name, schema) in map {
                    unsupported(schema, formats, &format!("{at}/{name}"), found);
                }
            }
            ("prefixItems" | "oneOf" | "anyOf" | "allOf", Value::Array(list)) => {
                for (index, schema) in list.iter().enumerate() {
                    unsupported(schema, formats, &format!("{at}/{index}"), found);
                }
            }
            ("items" | "additionalProperties" | "propertyNames", schema) => {
                unsupported(schema, formats, &at, found)
            }
            _ => {}
        }
    }
}
