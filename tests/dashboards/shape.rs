//! The shape of a dashboard, against Grafana's own types: `grafana-dashboard.schema.json`, derived from the package
//! `@grafana/schema` (see `README.md` there). It is closed: a name that Grafana would ignore is an error.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use jsonschema::Validator;
use serde_json::{Map, Value, json};

use super::known::{OF_MARKERS, OF_TABLES, OPTIONS, PANELS};
use super::{list, panels, text};

/// The schema, as text.
const SCHEMA: &str = include_str!("grafana-dashboard.schema.json");

/// Validators for a dashboard and its parts, made when they are first needed.
pub struct Shapes {
    definitions: Value,
    made: RefCell<BTreeMap<String, Rc<Validator>>>,
}

impl Default for Shapes {
    fn default() -> Shapes {
        let schema: Value = serde_json::from_str(SCHEMA).expect("the schema is JSON");
        Shapes { definitions: schema["definitions"].clone(), made: RefCell::default() }
    }
}

impl Shapes {
    /// The validator of the schema at a JSON pointer below the definitions; none if there is nothing.
    fn at(&self, pointer: &str) -> Option<Rc<Validator>> {
        if let Some(made) = self.made.borrow().get(pointer) {
            return Some(Rc::clone(made));
        }
        let mut schema = self.definitions.pointer(pointer)?.clone();
        schema["definitions"] = self.definitions.clone();
        let made = Rc::new(jsonschema::draft7::new(&schema).expect("the schema is one"));
        self.made.borrow_mut().insert(pointer.to_owned(), Rc::clone(&made));
        Some(made)
    }

    fn of_definition(&self, name: &str) -> Rc<Validator> {
        self.at(&format!("/{name}")).expect("the schema defines it")
    }

    /// What is wrong with a dashboard's shape, in sentences.
    pub fn faults(&self, board: &Value) -> Vec<String> {
        let mut wrong = told(&self.of_definition("Dashboard"), &alone(board), "");
        for panel in panels(board) {
            wrong.extend(self.of_panel(panel));
        }
        wrong
    }

    fn of_panel(&self, panel: &Value) -> Vec<String> {
        let (kind, title) = (text(&panel["type"]), text(&panel["title"]));
        if kind == "row" {
            return told(&self.of_definition("RowPanel"), panel, title);
        }
        let mut wrong = told(&self.of_definition("Panel"), panel, title);
        let Some((_, named)) = PANELS.iter().find(|(it, _)| *it == kind) else {
            wrong.push(format!("{title}: no panel is of the type `{kind}`"));
            return wrong;
        };
        let custom = &panel["fieldConfig"]["defaults"]["custom"];
        let Some(named) = named else {
            wrong.extend(undescribed(kind, title, &panel["options"], custom));
            return wrong;
        };
        let part = |which: &str| self.at(&format!("/All/properties/{named}/properties/{which}"));
        wrong.extend(part("o").iter().flat_map(|options| told(options, &panel["options"], title)));
        match part("c") {
            None => wrong.extend(unknown(title, custom, OF_TABLES)),
            Some(of_fields) if !custom.is_null() => wrong.extend(told(&of_fields, custom, title)),
            Some(_) => {}
        }
        wrong.extend(self.of_overrides(named, panel));
        wrong
    }

    /// Properties that overrides set: known, and of the shape that they have in the defaults.
    fn of_overrides(&self, named: &str, panel: &Value) -> Vec<String> {
        let mut wrong = Vec::new();
        for rule in list(&panel["fieldConfig"]["overrides"]) {
            for property in list(&rule["properties"]) {
                let (id, title) = (text(&property["id"]), text(&panel["title"]));
                let pointer = match id.strip_prefix("custom.") {
                    Some(name) if named == "table" && OF_TABLES.contains(&name) => continue,
                    Some(name) => format!("/All/properties/{named}/properties/c/properties/{name}"),
                    None => format!("/FieldConfig/properties/{id}"),
                };
                match self.at(&pointer) {
                    None => wrong.push(format!("{title}: no field has a property `{id}`")),
                    Some(shape) => wrong.extend(told(&shape, &property["value"], &format!("{title}: {id}"))),
                }
            }
        }
        wrong
    }
}

/// Without its panels, which are looked at one by one (of a choice of shapes a validator only says that none fits), and
/// without what the schema does not know though Grafana does.
fn alone(board: &Value) -> Value {
    let mut board = board.clone();
    board["panels"] = json!([]);
    let markers = board["annotations"]["list"].as_array_mut();
    for marker in markers.into_iter().flatten().filter_map(Value::as_object_mut) {
        marker.retain(|name, _| !OF_MARKERS.contains(&name.as_str()));
    }
    board
}

fn undescribed(kind: &str, title: &str, options: &Value, custom: &Value) -> Vec<String> {
    let Some((_, of_options, of_fields)) = OPTIONS.iter().find(|(it, ..)| *it == kind) else {
        return Vec::new();
    };
    let mut wrong = unknown(title, options, of_options);
    wrong.extend(unknown(title, custom, of_fields));
    wrong
}

fn unknown(title: &str, object: &Value, known: &[&str]) -> Vec<String> {
    let none = Map::new();
    let names = object.as_object().unwrap_or(&none).keys();
    names
        .filter(|name| !known.contains(&name.as_str()))
        .map(|name| format!("{title}: unknown `{name}`"))
        .collect()
}

fn told(validator: &Validator, value: &Value, title: &str) -> Vec<String> {
    let errors = validator.iter_errors(value);
    errors.map(|error| format!("{title}{}: {error}", error.instance_path())).collect()
}
