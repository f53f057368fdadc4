//! The shape of scenario files as a JSON Schema, made from the types. It must not say anything that the types
//! do not: what it accepts, they read.

use std::sync::LazyLock;

use pumphandle_core::units::FORMATS;
use pumphandle_policy::check_patience;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::paths::Sentence;
use crate::document::{Document, Formats, Path};
use crate::scenario::Scenario;

/// The JSON Schema of scenario files.
pub fn schema() -> &'static Value {
    static SCHEMA: LazyLock<Value> = LazyLock::new(|| schema_of::<Scenario>("A Pumphandle scenario"));
    &SCHEMA
}

/// The JSON Schema of other files of the same kind.
pub(crate) fn schema_of<T: JsonSchema>(title: &str) -> Value {
    let settings = SchemaSettings::draft2020_12().with_transform(RecursiveTransform(without_null));
    let mut schema = SchemaGenerator::new(settings).into_root_schema_for::<T>();
    schema.insert("title".to_owned(), title.into());
    schema.to_value()
}

/// A part of a scenario file from its tree, or all that is wrong with its shape. `name` is that of its type.
pub(super) fn part<T: DeserializeOwned>(tree: Value, name: &str) -> Result<T, Vec<(String, Sentence)>> {
    let document = Document::from_value(tree);
    let shape = schema()["$defs"].get(name).expect("scenarios have this part");
    let found = document.check_at(&Path::root(), shape, schema(), &formats());
    if !found.is_empty() {
        return Err(found.into_iter().map(|it| (it.path.to_string(), (it.message, it.help))).collect());
    }
    let value = document.value().clone();
    serde_json::from_value(value).map_err(|error| vec![(String::new(), (error.to_string(), None))])
}

/// Optional fields are left out, never written as null.
fn without_null(schema: &mut Schema) {
    let Some(object) = schema.as_object_mut() else { return };
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            object.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(choices)) = object.get_mut("anyOf") {
        choices.retain(|choice| choice.get("type").is_none_or(|kind| kind != "null"));
        if let [only] = choices.as_slice()
            && let Value::Object(only) = only.clone()
        {
            object.remove("anyOf");
            for (key, value) in only {
                object.entry(key).or_insert(value);
            }
        }
    }
    if object.get("default") == Some(&Value::Null) {
        object.remove("default");
    }
}

/// [`schema`] as it is committed, for editors: indented, with a newline at its end.
pub fn schema_text() -> String {
    let mut text = serde_json::to_string_pretty(schema()).expect("a JSON value is always JSON");
    text.push('\n');
    text
}

/// The checks behind the formats of the schema.
pub fn formats() -> Formats {
    FORMATS
        .iter()
        .fold(Formats::new(), |formats, &(name, check)| formats.with(name, check))
        .with("patience", check_patience)
}
