//! The check of a schema against another implementation of JSON Schema: both accept the same documents.

use jsonschema::Validator;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::demo::{GOOD, duration, formats, rate, schema};
use super::laws::mutated;
use crate::document::{Document, Path, Segment};

fn oracle() -> Validator {
    jsonschema::options()
        .with_format("duration", |text: &str| duration(&Value::from(text)).is_ok())
        .with_format("rate", |text: &str| rate(&Value::from(text)).is_ok())
        .should_validate_formats(true)
        .build(&schema())
        .expect("schemars writes valid schemas")
}

/// Values of every type, right and wrong somewhere in the demo.
fn value() -> impl Strategy<Value = Value> {
    let values = vec![
        json!(null),
        json!(true),
        json!(0),
        json!(1),
        json!(-3),
        json!(0.5),
        json!(256),
        json!("x"),
        json!("3s"),
        json!("1/s"),
        json!(""),
        json!("none"),
        json!("poisson"),
        json!("unbounded"),
        json!("full"),
        json!([]),
        json!({}),
        json!(["a"]),
        json!(["1s", "2s"]),
        json!(["a", "b", "c", "d"]),
        json!({ "poisson": "1/s" }),
        json!({ "none": 1 }),
        json!({ "poisson": "1/s", "constant": "1/s" }),
        json!({ "steps": [] }),
        json!({ "size": 3 }),
        json!({ "exponential": "1s" }),
        json!({ "uniform": { "from": "1s" } }),
        json!({ "do": "restart" }),
        json!({ "do": "restart", "service": "x" }),
        json!({ "workers": 1 }),
        json!([{ "do": "nothing" }]),
    ];
    prop::sample::select(values)
}

fn paths(value: &Value, at: Path, found: &mut Vec<Path>) {
    found.push(at.clone());
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| paths(value, at.join(key), found)),
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(index, value)| paths(value, at.join(index), found))
        }
        _ => {}
    }
}

fn place<'a>(value: &'a mut Value, path: &Path) -> Option<&'a mut Value> {
    path.segments().iter().try_fold(value, |value, segment| match segment {
        Segment::Key(key) => value.get_mut(key.as_str()),
        Segment::Index(index) => value.get_mut(*index),
    })
}

/// The good file with some values replaced, as JSON, which is YAML too.
fn replaced() -> impl Strategy<Value = String> {
    prop::collection::vec((any::<prop::sample::Index>(), value()), 1..3).prop_map(|edits| {
        let mut whole = Document::parse("x.yaml", GOOD).expect("it is good").value().clone();
        for (index, value) in edits {
            let mut all = Vec::new();
            paths(&whole, Path::root(), &mut all);
            if let Some(place) = place(&mut whole, index.get(&all)) {
                *place = value;
            }
        }
        whole.to_string()
    })
}

fn agree(text: &str) -> Result<(), TestCaseError> {
    let Ok(document) = Document::parse("x.yaml", text) else { return Ok(()) };
    let problems = document.check(&schema(), &formats());
    prop_assert_eq!(problems.is_empty(), oracle().is_valid(document.value()), "{:?} {}", problems, text);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_good_file_with_other_values_is_judged_alike(text in replaced()) {
        agree(&text)?;
    }

    #[test]
    fn a_good_file_with_slips_is_judged_alike(text in mutated()) {
        agree(&text)?;
    }
}
