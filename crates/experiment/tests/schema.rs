//! The schema of scenario files: it says all that the types say, it is committed for editors as it is, it
//! documents every field, and the scenarios of this project keep to it.

use std::fs;
use std::path::PathBuf;

use pumphandle_experiment::document::{Document, Path, Style, unsupported_keywords};
use pumphandle_experiment::scenario::read::{self, formats, schema, schema_text};
use serde_json::Value;

fn project() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Name and text of every scenario of the project, those of policies included.
fn scenarios() -> Vec<(String, String)> {
    let folders = ["scenarios", "scenarios/policies"].map(|folder| project().join(folder));
    let listed = folders.iter().flat_map(|folder| fs::read_dir(folder).expect("the scenarios are there"));
    let mut files: Vec<PathBuf> = listed
        .map(|entry| entry.expect("a folder lists its files").path())
        .filter(|path| path.extension().is_some_and(|end| end == "yaml"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "the project has no scenarios");
    let name = |path: &PathBuf| path.file_name().expect("a file has a name").to_string_lossy().into_owned();
    files.iter().map(|path| (name(path), fs::read_to_string(path).expect("a file of text"))).collect()
}

#[test]
fn nothing_in_the_schema_goes_unchecked() {
    assert_eq!(unsupported_keywords(schema(), &formats()), Vec::<String>::new());
}

#[test]
fn the_committed_schema_is_that_of_the_types() {
    let committed = fs::read_to_string(project().join("schema/scenario.schema.json")).unwrap_or_default();
    if committed != schema_text() {
        let current = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("scenario.schema.json");
        fs::write(&current, schema_text()).unwrap();
        panic!(
            "schema/scenario.schema.json is not that of the types: run `pumphandle schema > \
             schema/scenario.schema.json`, or copy {}",
            current.display()
        );
    }
}

/// The fields of a schema: where, the field, whether it may be left out.
fn fields(at: &str, schema: &Value, found: &mut Vec<(String, Value, bool)>) {
    let Some(layer) = schema.as_object() else { return };
    let required = layer.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    let own = layer.get("properties").and_then(Value::as_object);
    for (name, field) in own.into_iter().flatten() {
        let at = format!("{at}.{name}");
        let mut field = field.clone();
        // The kind of a tagged enum is documented around its only field.
        let is_kind = own.is_some_and(|own| own.len() == 1) && !required.is_empty();
        if let (true, Some(object), Some(text)) = (is_kind, field.as_object_mut(), layer.get("description")) {
            object.entry("description").or_insert(text.clone());
        }
        fields(&at, &field, found);
        found.push((at, field, !required.contains(&Value::from(name.as_str()))));
    }
    for word in ["oneOf", "anyOf"] {
        for kind in layer.get(word).and_then(Value::as_array).into_iter().flatten() {
            fields(at, kind, found);
        }
    }
    for (name, schema) in layer.get("$defs").and_then(Value::as_object).into_iter().flatten() {
        fields(name, schema, found);
    }
}

fn all_fields() -> Vec<(String, Value, bool)> {
    let mut found = Vec::new();
    fields("Scenario", schema(), &mut found);
    assert!(found.len() > 80, "only {} fields were found", found.len());
    found
}

#[test]
fn every_field_says_what_it_is_for_and_what_holds_when_it_is_absent() {
    let mut bare = Vec::new();
    for (at, field, optional) in all_fields() {
        let description = field["description"].as_str().unwrap_or("");
        if description.is_empty() || optional && !description.replace('\n', " ").contains("if absent") {
            bare.push(format!("{at}: {description}"));
        }
    }
    assert!(bare.is_empty(), "say what these are for, and what holds `if absent`:\n{}", bare.join("\n"));
}

#[test]
fn every_number_of_the_schema_has_bounds() {
    let open: Vec<String> = all_fields()
        .into_iter()
        .filter(|(_, field, _)| matches!(field["type"].as_str(), Some("integer" | "number")))
        .filter(|(_, field, _)| field["minimum"].is_null() || field["maximum"].is_null())
        .map(|(at, ..)| at)
        .collect();
    assert!(open.is_empty(), "give these a range: {open:?}");
}

#[test]
fn every_scenario_of_the_project_conforms_and_reads() {
    let oracle = jsonschema::draft202012::new(schema()).unwrap();
    for (name, text) in scenarios() {
        let document = Document::parse(&name, &text).unwrap_or_else(|problems| panic!("{problems}"));
        let wrong: Vec<String> =
            oracle.iter_errors(document.value()).map(|error| error.to_string()).collect();
        assert!(wrong.is_empty(), "{name}: {wrong:?}");
        let read = read::read(&name, &text, Style::Plain).unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(format!("{}.yaml", read.scenario.scenario), name, "a scenario is named as its file");
        let written = serde_json::to_value(&read.scenario).unwrap();
        assert!(oracle.is_valid(&written), "{name} does not conform when it is written back");
    }
}

#[test]
fn a_number_without_a_reason_is_found() {
    let text = "slo: { latency: 3s }\nload: # why: lesson\n  arrivals: { poisson: 100/s }\nduration: 5m\n\
                levers:\n  longer: { title: Wait 3 s, level: 12, set: { client.deadline: 2s } }\n\
                claims:\n  - one: { arm: control, recovers_within: 10s }\n";
    let document = Document::parse("mine.yaml", text).unwrap();
    let expected = [
        Path::from(["slo", "latency"]),
        Path::from(["duration"]),
        Path::from(["levers", "longer", "set", "client.deadline"]),
    ];
    assert_eq!(read::without_why(&document), expected);
}

#[test]
fn every_number_of_the_projects_scenarios_has_a_reason() {
    for (name, text) in scenarios() {
        let document = Document::parse(&name, &text).unwrap_or_else(|problems| panic!("{problems}"));
        let bare: Vec<String> = read::without_why(&document)
            .iter()
            .map(|path| format!("{name}:{}: {path}", document.line(path)))
            .collect();
        assert!(bare.is_empty(), "say why, in a comment `# why: ...`:\n{}", bare.join("\n"));
        assert!(document.numbers().len() > 10, "{name} has hardly any numbers");
    }
}

/// A scenario may come from a stranger: nothing in it may make the rig open, call or run anything. What a field is
/// for, only its name can tell a test; the names are those under which other formats have such things.
#[test]
fn no_field_of_a_scenario_names_a_file_an_address_or_a_command() {
    const WORDS: [&str; 18] = [
        "file", "path", "folder", "dir", "include", "import", "url", "uri", "host", "address", "port",
        "endpoint", "command", "cmd", "exec", "run", "script", "env",
    ];
    let mut found = Vec::new();
    let root = schema();
    fields("", root, &mut found);
    for (name, part) in root["$defs"].as_object().expect("the schema has parts") {
        fields(name, part, &mut found);
    }
    assert!(found.len() > 100, "this test looks in the wrong place: {} fields", found.len());
    for (at, field, _) in &found {
        let name = at.rsplit('.').next().expect("it has a last part");
        assert!(!name.split('_').any(|word| WORDS.contains(&word)), "{at}");
        assert!(
            !["uri", "uri-reference", "iri", "hostname", "ipv4", "ipv6"]
                .contains(&field["format"].as_str().unwrap_or(""))
        );
    }
}
