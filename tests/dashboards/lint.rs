//! The rules, each with a name. Those of shape are Grafana's; those of conventions are of Grafana's dashboard-linter, as
//! far as they concern us; the others are ours: queries ask only for what the catalogue has.

use std::collections::{BTreeMap, BTreeSet};

use pumphandle_core::catalogue::{self, Kind, RUN, RunMetric};
use serde_json::Value;

use super::known::{COLORS, MATCHERS, REDUCERS, TRANSFORMATIONS, UNITS};
use super::promql::{self, Range, Use};
use super::queries::{self, Query, Wanted};
use super::shape::Shapes;
use super::{Board, list, panels, text};

/// Columns of Grafana's grid.
const COLUMNS: u64 = 24;

/// Schema versions of Grafana 11 to 13 that need no migration.
const VERSIONS: [u64; 2] = [41, 42];

/// Something that a rule does not allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The rule's name.
    pub rule: &'static str,
    /// Where, and what.
    pub what: String,
}

/// All rules, with what they need to know.
#[derive(Default)]
pub struct Rules {
    shapes: Shapes,
    metrics: Metrics,
}

impl Rules {
    /// What is wrong with these dashboards, taken together.
    pub fn faults(&self, boards: &[Board]) -> Vec<Fault> {
        let mut found = Found::default();
        let addresses: Vec<&str> = boards.iter().map(|board| text(&board.json["uid"])).collect();
        found.if_any(
            "uid",
            twice(&addresses).iter().map(|uid| format!("{uid} is the address of two dashboards")),
        );
        boards.iter().for_each(|board| self.of_one(board, &addresses, &mut found));
        found.all
    }

    /// What is wrong with a dashboard, which may link to these addresses.
    fn of_one(&self, board: &Board, addresses: &[&str], found: &mut Found) {
        let wrong = self.shapes.faults(&board.json);
        found.if_any("shape", wrong.iter().map(|sentence| format!("{}: {sentence}", board.file)));
        of_board(board, found);
        of_variables(board, found);
        of_grid(board, found);
        of_links(board, addresses, found);
        panels(&board.json).iter().for_each(|panel| of_panel(&board.file, panel, found));
        queries::of(board).iter().for_each(|query| of_query(query, &self.metrics, found));
    }
}
/// Faults as they are found.
#[derive(Default)]
struct Found {
    all: Vec<Fault>,
}

impl Found {
    fn unless(&mut self, rule: &'static str, fine: bool, what: impl FnOnce() -> String) {
        if !fine {
            self.all.push(Fault { rule, what: what() });
        }
    }

    fn if_any(&mut self, rule: &'static str, wrong: impl Iterator<Item = String>) {
        self.all.extend(wrong.map(|what| Fault { rule, what }));
    }
}

fn twice<'a>(of: &[&'a str]) -> Vec<&'a str> {
    let mut seen = BTreeSet::new();
    of.iter().copied().filter(|it| !seen.insert(*it)).collect()
}

// === the whole dashboard ===

fn of_board(board: &Board, found: &mut Found) {
    let (file, json) = (&board.file, &board.json);
    let uid = text(&json["uid"]);
    let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    found.unless("uid", (1..=40).contains(&uid.len()) && uid.chars().all(valid), || {
        format!("{file}: `{uid}` is no stable address")
    });
    found.unless("provisioned", json["id"].is_null() && json["editable"] == Value::Bool(false), || {
        format!("{file}: a provisioned dashboard has id null and editable false")
    });
    let versions = json["schemaVersion"].as_u64();
    found.unless("version", versions.is_some_and(|it| VERSIONS.contains(&it)), || {
        format!("{file}: schemaVersion {versions:?}")
    });
    found.unless(
        "described",
        !text(&json["title"]).is_empty() && !text(&json["description"]).is_empty(),
        || format!("{file}: a dashboard has a title and a description"),
    );
    for name in ["__inputs", "__requires", "__elements"] {
        found.unless("provisioned", json.get(name).is_none(), || format!("{file}: {name} is for exports"));
    }
    let ids: Vec<String> = panels(json).iter().map(|panel| panel["id"].to_string()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    found.if_any("ids", twice(&ids).iter().map(|id| format!("{file}: two panels have the id {id}")));
}

fn of_variables(board: &Board, found: &mut Found) {
    let (file, variables) = (&board.file, list(&board.json["templating"]["list"]));
    let sources: Vec<&Value> = variables.iter().filter(|it| text(&it["type"]) == "datasource").collect();
    let one = matches!(sources[..], [it] if it["name"] == "datasource" && it["label"] == "Data source");
    found
        .unless("datasource", one, || format!("{file}: one variable, `datasource`, chooses the data source"));
    let mut known: BTreeSet<&str> = variables.iter().map(|it| text(&it["name"])).collect();
    known.extend(["__rate_interval", "__range", "__interval", "__value", "__data", "__url_time_range"]);
    let whole = board.json.to_string();
    let unknown = mentioned(&whole).into_iter().filter(|name| !known.contains(name.as_str()));
    found.if_any("variable", unknown.map(|name| format!("{file}: nothing defines ${name}")));
    for variable in variables.iter().filter(|it| text(&it["type"]) == "query") {
        let name = text(&variable["name"]);
        found.unless("refresh", variable["refresh"] == 2, || {
            format!("{file}: ${name} must be asked again when the time range changes")
        });
        found.unless("variable", queries::label_values(text(&variable["query"]["query"])).is_some(), || {
            format!("{file}: ${name} is to ask for label_values")
        });
        of_source(file, name, &variable["datasource"], found);
    }
    for marker in list(&board.json["annotations"]["list"]) {
        of_source(file, text(&marker["name"]), &marker["datasource"], found);
    }
    for panel in panels(&board.json).iter().filter(|panel| panel.get("repeat").is_some()) {
        let by = text(&panel["repeat"]);
        let multi = variables.iter().any(|it| it["name"] == by && it["multi"] == Value::Bool(true));
        found.unless("variable", multi, || format!("{file}: nothing can be repeated by ${by}"));
    }
}

/// Names after a dollar sign, with or without braces. Doubled ones are Grafana's own (`$__all` is a value).
fn mentioned(text: &str) -> BTreeSet<String> {
    let names = text.split('$').skip(1).map(|rest| {
        let rest = rest.strip_prefix('{').unwrap_or(rest);
        rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>()
    });
    names.filter(|name| !name.is_empty() && name != "__all").collect()
}

fn of_source(file: &str, whose: &str, source: &Value, found: &mut Found) {
    let chosen = source["uid"] == "${datasource}" && source["type"] == "prometheus";
    found.unless("datasource", chosen, || format!("{file}: {whose} does not ask the chosen data source"));
}

fn of_grid(board: &Board, found: &mut Found) {
    let place = |panel: &Value| {
        let at = |name: &str| panel["gridPos"][name].as_u64().unwrap_or(0);
        (at("x"), at("y"), at("w"), at("h"), text(&panel["title"]).to_owned())
    };
    // Panels in a folded row have a grid of their own.
    let rows = list(&board.json["panels"]).iter().map(|row| list(&row["panels"]));
    for group in rows.chain([list(&board.json["panels"])]) {
        let places: Vec<_> = group.iter().map(place).collect();
        for (i, (x, y, w, h, title)) in places.iter().enumerate() {
            found.unless("grid", *w > 0 && *h > 0 && x + w <= COLUMNS, || {
                format!("{}: {title} does not fit into {COLUMNS} columns", board.file)
            });
            for (x2, y2, w2, h2, other) in &places[..i] {
                let apart = x + w <= *x2 || x2 + w2 <= *x || y + h <= *y2 || y2 + h2 <= *y;
                found.unless("grid", apart, || format!("{}: {title} lies over {other}", board.file));
            }
        }
    }
}

fn of_links(board: &Board, addresses: &[&str], found: &mut Found) {
    let whole = board.json.to_string();
    let ends = |c: char| !(c.is_alphanumeric() || c == '-' || c == '_');
    let targets = whole.split("/d/").skip(1).map(|rest| rest.split(ends).next().unwrap_or_default());
    let lost = targets.filter(|uid| !addresses.contains(uid));
    found.if_any("link", lost.map(|uid| format!("{}: there is no dashboard {uid}", board.file)));
}

// === one panel ===

fn of_panel(file: &str, panel: &Value, found: &mut Found) {
    let (kind, title) = (text(&panel["type"]), text(&panel["title"]));
    let place = || format!("{file}: {title}");
    if kind == "row" {
        found.unless("described", !title.is_empty(), || format!("{file}: a row has a title"));
        return;
    }
    let described = !title.is_empty() && text(&panel["description"]).len() >= 20;
    found.unless("described", described, || format!("{}: a panel has a title and a description", place()));
    if kind == "text" {
        return;
    }
    of_source(file, title, &panel["datasource"], found);
    let targets = list(&panel["targets"]);
    found.unless("targets", !targets.is_empty(), || format!("{} asks nothing", place()));
    let names: Vec<&str> = targets.iter().map(|target| text(&target["refId"])).collect();
    found.if_any("targets", twice(&names).iter().map(|name| format!("{}: two queries {name}", place())));
    for target in targets {
        of_source(file, title, &target["datasource"], found);
    }
    of_units(&place(), panel, found);
    of_the_machine(&place(), panel, found);
    of_names(&place(), panel, &names, found);
}

fn of_units(place: &str, panel: &Value, found: &mut Found) {
    let defaults = &panel["fieldConfig"]["defaults"]["unit"];
    found.unless("unit", UNITS.contains(&text(defaults)), || format!("{place}: unit {defaults}"));
    for rule in list(&panel["fieldConfig"]["overrides"]) {
        for property in list(&rule["properties"]).iter().filter(|it| it["id"] == "unit") {
            let unit = text(&property["value"]);
            found.unless("unit", UNITS.contains(&unit), || format!("{place}: unit `{unit}`"));
        }
    }
    let all = panel.to_string();
    let colours = ["fixedColor", "color"].map(|key| format!("\"{key}\":\""));
    let named = |key: &String| all.split(key.as_str()).skip(1).collect::<Vec<_>>();
    for rest in colours.iter().flat_map(named) {
        let colour = rest.split('"').next().unwrap_or_default();
        let hex = colour.len() == 7 && colour.starts_with('#');
        found.unless("colour", hex || COLORS.contains(&colour), || format!("{place}: colour `{colour}`"));
    }
}

/// A recording has nothing of the machine: a panel that shows it says so where a recorded run leaves it empty.
fn of_the_machine(place: &str, panel: &Value, found: &mut Found) {
    let asked = panel["targets"].to_string();
    let machine = RunMetric::ALL.iter().filter(|it| it.is_of_the_machine());
    let says = text(&panel["fieldConfig"]["defaults"]["noValue"]).contains("recording");
    for metric in machine.map(|it| it.name()).filter(|name| asked.contains(name)) {
        found.unless("recorded", says, || format!("{place}: recordings have no {metric}; it must say so"));
    }
}

fn of_names(place: &str, panel: &Value, queries: &[&str], found: &mut Found) {
    for rule in list(&panel["fieldConfig"]["overrides"]) {
        let (id, options) = (text(&rule["matcher"]["id"]), text(&rule["matcher"]["options"]));
        found.unless("matcher", MATCHERS.contains(&id), || format!("{place}: matcher `{id}`"));
        let there = id != "byFrameRefID" || queries.contains(&options);
        found.unless("matcher", there, || format!("{place}: there is no query `{options}`"));
    }
    for step in list(&panel["transformations"]) {
        let id = text(&step["id"]);
        found.unless("transformation", TRANSFORMATIONS.contains(&id), || format!("{place}: `{id}`"));
        for part in ["renameByName", "indexByName", "excludeByName"] {
            let names = step["options"][part].as_object().into_iter().flat_map(|it| it.keys());
            let lost = names.filter_map(|name| name.strip_prefix("Value #"));
            let lost = lost.filter(|name| !queries.contains(name));
            found.if_any("transformation", lost.map(|name| format!("{place}: there is no query `{name}`")));
        }
    }
    for reducer in list(&panel["options"]["reduceOptions"]["calcs"]) {
        found.unless("reducer", REDUCERS.contains(&text(reducer)), || format!("{place}: {reducer}"));
    }
    for target in list(&panel["targets"]) {
        let reading = promql::read(text(&target["expr"])).unwrap_or_default();
        let legend = text(&target["legendFormat"]);
        let names = legend.split("{{").skip(1).filter_map(|rest| rest.split("}}").next());
        let lost = names.filter(|name| !reading.labels.contains(*name));
        found.if_any("legend", lost.map(|name| format!("{place}: no series has a label `{name}` left")));
    }
}

// === one query ===

/// The catalogue by name, histograms with the series that they are made of.
struct Metrics(BTreeMap<String, (Kind, Vec<&'static str>)>);

impl Default for Metrics {
    fn default() -> Metrics {
        let mut all = BTreeMap::new();
        for spec in catalogue::all() {
            let mut labels = spec.labels.to_vec();
            labels.push(RUN);
            if spec.kind == Kind::Histogram {
                for part in ["_sum", "_count"] {
                    all.insert(format!("{}{part}", spec.name), (Kind::Counter, labels.clone()));
                }
                let with_ends = [labels, vec!["le"]].concat();
                all.insert(format!("{}_bucket", spec.name), (Kind::Counter, with_ends));
            } else {
                all.insert(spec.name, (spec.kind, labels));
            }
        }
        Metrics(all)
    }
}

fn of_query(query: &Query, metrics: &Metrics, found: &mut Found) {
    let place = query.place();
    let reading = match promql::read(&query.text) {
        Ok(reading) => reading,
        Err(error) => return found.unless("promql", false, || format!("{place}: {error}")),
    };
    for range in &reading.subqueries {
        found.unless("range", *range != Range::Fixed, || format!("{place}: a range is not the screen's"));
    }
    for used in &reading.uses {
        let Some((kind, labels)) = metrics.0.get(&used.metric) else {
            found.unless("metric", false, || format!("{place}: the catalogue has no {}", used.metric));
            continue;
        };
        let strange = used.matchers.iter().filter(|(label, _)| !labels.contains(&label.as_str()));
        found.if_any("label", strange.map(|(label, _)| format!("{place}: {} has no {label}", used.metric)));
        of_range(query, used, *kind, found);
        let narrowed = used.matchers.iter().any(|(label, value)| label == RUN && value == RUN);
        let lists_runs = used.metric == RunMetric::RunInfo.name() && used.matchers.is_empty();
        found.unless("run", narrowed || lists_runs, || format!("{place}: of which run?"));
    }
    of_grouping(&place, query, &reading, metrics, found);
}

fn of_range(query: &Query, used: &Use, kind: Kind, found: &mut Found) {
    let place = query.place();
    if query.wanted != Wanted::Values {
        let counted = (kind == Kind::Counter) == used.as_growth();
        found.unless("counter", counted, || {
            format!("{place}: {} is a {}; rate and increase are for counters", used.metric, kind.name())
        });
    }
    // One number for the whole screen is asked at its end.
    let whole = used.at_end || query.wanted == Wanted::Instant;
    let fine = match used.range {
        None | Some(Range::RateInterval) => true,
        Some(Range::Screen) => whole,
        Some(Range::Fixed) => false,
    };
    found.unless("range", fine, || format!("{place}: the range of {} is not Grafana's", used.metric));
}

/// Labels by which results are grouped exist in one of the metrics, or are made in the query.
fn of_grouping(place: &str, query: &Query, reading: &promql::Reading, metrics: &Metrics, found: &mut Found) {
    let made: BTreeSet<&str> =
        query.text.split("label_replace(").skip(1).flat_map(|it| it.split('"')).collect();
    let known = |label: &str| {
        let of = |it: &Use| metrics.0.get(&it.metric).is_none_or(|(_, labels)| labels.contains(&label));
        reading.uses.iter().any(of) || made.contains(label)
    };
    let lost = reading.labels.iter().filter(|label| !known(label));
    found.if_any("label", lost.map(|label| format!("{place}: no metric of it has a label {label}")));
}

/// Metrics of the catalogue that no query uses, and metrics that queries use, by name.
pub fn coverage(boards: &[Board]) -> (Vec<String>, BTreeSet<String>) {
    let queries = boards.iter().flat_map(queries::of);
    let uses = queries.filter_map(|query| promql::read(&query.text).ok()).flat_map(|it| it.uses);
    let used: BTreeSet<String> = uses.map(|it| it.metric).collect();
    let drawn = |name: &str| {
        ["", "_bucket", "_sum", "_count"].iter().any(|part| used.contains(&format!("{name}{part}")))
    };
    let missing = catalogue::all().into_iter().map(|spec| spec.name).filter(|name| !drawn(name)).collect();
    (missing, used)
}
