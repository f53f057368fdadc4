//! From a file's text to a scenario that can run, or to everything that is wrong with it at once.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use pumphandle_core::units::FORMATS;
use pumphandle_policy::check_patience;
use schemars::transform::RecursiveTransform;
use schemars::{Schema, SchemaGenerator, generate::SchemaSettings};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::claims::ClaimBody;
use crate::document::{Document, Formats, Path, Problems, Style};
use crate::scenario::{Scenario, check};

/// A scenario that can run.
#[derive(Clone, Debug)]
pub struct Checked {
    /// What the file says.
    pub scenario: Scenario,
    /// The file as a person would open it.
    pub file: String,
    /// SHA-256 of its bytes, in hex.
    pub sha256: String,
    /// The line of each claim, by its place.
    claim_lines: BTreeMap<usize, u32>,
}

impl Checked {
    /// The claims: sentence, body, line.
    pub fn claims(&self) -> impl Iterator<Item = (&str, &ClaimBody, u32)> {
        self.scenario.claims.iter().enumerate().flat_map(|(i, claim)| {
            let line = self.claim_lines.get(&i).copied().unwrap_or(0);
            claim.iter().map(move |(sentence, body)| (sentence.as_str(), body, line))
        })
    }
}

impl Checked {
    /// Leaves out the claims whose sentence `keep` refuses.
    pub fn keep_claims(&mut self, keep: impl Fn(&str) -> bool) {
        self.scenario.claims.iter_mut().for_each(|claim| claim.retain(|sentence, _| keep(sentence)));
    }
}

/// Why a scenario cannot run, as a person should see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CannotRun(pub String);

impl std::fmt::Display for CannotRun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CannotRun {}

/// The JSON Schema of scenario files.
pub fn schema() -> &'static Value {
    static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
        let settings = SchemaSettings::draft2020_12().with_transform(RecursiveTransform(without_null));
        let mut schema = SchemaGenerator::new(settings).into_root_schema_for::<Scenario>();
        schema.insert("title".to_owned(), "A Pumphandle scenario".into());
        schema.to_value()
    });
    &SCHEMA
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

/// The checks behind the formats of the schema.
pub fn formats() -> Formats {
    FORMATS
        .iter()
        .fold(Formats::new(), |formats, &(name, check)| formats.with(name, check))
        .with("patience", check_patience)
}

/// Reads a scenario file. `name` is the file as a person would open it.
///
/// # Errors
///
/// Every problem, with file, line and what would be right.
pub fn read(name: &str, text: &str, style: Style) -> Result<Checked, CannotRun> {
    let document = Document::parse(name, text).map_err(|unreadable| CannotRun(unreadable.render(style)))?;
    let refuse = |problems: Problems| CannotRun(problems.render(&document, style));
    let scenario: Scenario = document.read(schema(), &formats()).map_err(refuse)?;
    let problems = check::check(&scenario);
    if !problems.is_empty() {
        return Err(refuse(problems));
    }
    let claim_lines = (0..scenario.claims.len())
        .map(|i| (i, document.line(&Path::root().join("claims").join(i))))
        .collect();
    let sha256 = Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Checked { scenario, file: name.to_owned(), sha256, claim_lines })
}
