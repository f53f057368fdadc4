//! A dashboard around its panels: variables, markers, links, and the places of the panels in the grid.

use pumphandle_core::catalogue::{LIVE, RUN, RunMetric};
use serde_json::{Value, json};

use super::panel::{Panel, datasource};
use super::query::{self, Arms};

/// Columns of Grafana's grid.
const COLUMNS: u32 = 24;

/// The tag by which the dashboards find each other.
const TAG: &str = "pumphandle";

/// How far apart markers ask, in seconds. Answers this close are one region; a range of six hours is asked in full,
/// since Prometheus gives 11,000 points at most.
const STEP: &str = "2s";

/// A dashboard.
#[derive(Debug)]
pub(super) struct Board {
    name: &'static str,
    title: &'static str,
    description: &'static str,
    variables: Vec<Value>,
    panels: Vec<Value>,
    next: u32,
    bottom: u32,
}

impl Board {
    /// An empty one; `name` is its file's, and the end of its address.
    pub(super) fn new(name: &'static str, title: &'static str, description: &'static str) -> Board {
        let variables = vec![source(), runs(), control(), treatment()];
        Board { name, title, description, variables, panels: Vec::new(), next: 1, bottom: 0 }
    }

    /// One more thing that can be chosen.
    pub(super) fn choose(mut self, variable: Value) -> Board {
        self.variables.push(variable);
        self
    }

    /// Panels, placed from left to right and from top to bottom.
    pub(super) fn with(mut self, panels: Vec<Panel>) -> Board {
        let placed = self.lay(&panels);
        self.panels.extend(placed);
        self
    }

    /// Panels under a heading.
    pub(super) fn section(mut self, heading: &str, panels: Vec<Panel>) -> Board {
        let row = self.heading(heading, None);
        self.panels.push(row);
        self.with(panels)
    }

    /// Panels under a heading, folded away: they ask nothing until somebody opens them. Repeated for every value of a
    /// variable, if one is named.
    pub(super) fn folded(mut self, heading: &str, repeat: Option<&str>, panels: Vec<Panel>) -> Board {
        let mut row = self.heading(heading, repeat);
        let below = self.bottom;
        row["collapsed"] = json!(true);
        row["panels"] = json!(self.lay(&panels));
        // Folded panels take no room.
        self.bottom = below;
        self.panels.push(row);
        self
    }

    /// Panels under a heading, repeated for every value of a variable.
    pub(super) fn repeated(mut self, heading: &str, variable: &str, panels: Vec<Panel>) -> Board {
        let row = self.heading(heading, Some(variable));
        self.panels.push(row);
        self.with(panels)
    }

    fn heading(&mut self, heading: &str, repeat: Option<&str>) -> Value {
        let (id, y) = (self.next, self.bottom);
        (self.next, self.bottom) = (id + 1, y + 1);
        let place = json!({ "h": 1, "w": COLUMNS, "x": 0, "y": y });
        let mut row = json!({
            "id": id, "type": "row", "title": heading, "collapsed": false, "gridPos": place, "panels": [],
        });
        if let Some(variable) = repeat {
            row["repeat"] = json!(variable);
        }
        row
    }

    fn lay(&mut self, panels: &[Panel]) -> Vec<Value> {
        let (mut x, mut tallest) = (0, 0);
        let mut placed = Vec::new();
        for panel in panels {
            let (width, height) = panel.extent();
            if x + width > COLUMNS {
                self.bottom += tallest;
                (x, tallest) = (0, 0);
            }
            placed.push(panel.place(self.next, x, self.bottom));
            self.next += 1;
            x += width;
            tallest = tallest.max(height);
        }
        self.bottom += tallest;
        placed
    }

    /// The name of its file, without an ending.
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// All of it.
    pub(super) fn json(&self) -> Value {
        json!({
            "annotations": { "list": markers() },
            "description": self.description,
            "editable": false,
            "fiscalYearStartMonth": 0,
            // One crosshair for all panels.
            "graphTooltip": 1,
            "id": null,
            "links": [links()],
            "panels": self.panels,
            "refresh": "5s",
            "schemaVersion": 41,
            "tags": [TAG],
            "templating": { "list": self.variables },
            "time": { "from": "now-10m", "to": "now" },
            "timepicker": { "refresh_intervals": ["1s", "5s", "10s", "30s", "1m"] },
            "timezone": "utc",
            "title": self.title,
            "uid": address(self.name),
            "version": 1,
        })
    }
}

/// The address of a dashboard within Grafana.
pub(super) fn address(name: &str) -> String {
    format!("pumphandle-{name}")
}

fn links() -> Value {
    json!({
        "asDropdown": false, "icon": "external link", "includeVars": true, "keepTime": true, "tags": [TAG],
        "targetBlank": false, "title": "", "tooltip": "", "type": "dashboards", "url": "",
    })
}

fn source() -> Value {
    json!({
        "name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus",
        "description": "A Prometheus that scrapes the rig, or into which runs were loaded.",
        "hide": 0, "includeAll": false, "multi": false, "refresh": 1, "regex": "",
    })
}

fn runs() -> Value {
    let query = format!("label_values({}, {RUN})", query::run(RunMetric::RunInfo).of_every_run());
    let about = "`live` is what is being scraped. Others were recorded and loaded: choose their time range too, or open \
                 them from the home page.";
    let mut it = asked(RUN, "Run", &query, about);
    it["current"] = json!({ "text": LIVE, "value": LIVE });
    it
}

fn control() -> Value {
    let query = format!("label_values({}, arm)", query::run(RunMetric::UsersDue));
    let mut it =
        asked("control", "Compare with", &query, "The arm in which nobody touches anything; or any other.");
    it["current"] = json!({ "text": "control", "value": "control" });
    it
}

fn treatment() -> Value {
    let due = query::run(RunMetric::UsersDue).with("arm", "!=", "$control");
    let query = format!("label_values({due}, arm)");
    let about = "The arms with a lever. A run of all levers has many: one or two are easier to see.";
    let mut it = asked("treatment", "Treatments", &query, about);
    it["includeAll"] = json!(true);
    it["multi"] = json!(true);
    it["current"] = json!({ "text": ["All"], "value": ["$__all"] });
    it
}

/// One of the services of the run.
pub(super) fn service() -> Value {
    let inside = query::level(pumphandle_core::meter::StockName::Inside);
    let query = format!("label_values({inside}, service)");
    asked("service", "Service", &query, "Whose stocks are shown.")
}

/// Which latency is drawn.
pub(super) fn quantile() -> Value {
    let all = ["0.5", "0.9", "0.99", "0.999"];
    let options: Vec<Value> =
        all.iter().map(|it| json!({ "text": it, "value": it, "selected": *it == "0.99" })).collect();
    json!({
        "name": "quantile", "label": "Quantile", "type": "custom", "query": all.join(","),
        "description": "0.99: one user in a hundred waits longer than the line.",
        "hide": 0, "includeAll": false, "multi": false, "options": options,
        "current": { "text": "0.99", "value": "0.99" },
    })
}

/// Some of a list of names, each with what stands for it; `first` are chosen until somebody chooses.
pub(super) fn several(
    name: &str,
    label: &str,
    description: &str,
    all: &[(&str, &str)],
    first: &[&str],
) -> Value {
    let pairs: Vec<String> = all.iter().map(|(text, value)| format!("{text} : {value}")).collect();
    let chosen: Vec<_> = all.iter().filter(|(_, value)| first.contains(value)).collect();
    let (texts, values): (Vec<&str>, Vec<&str>) = chosen.into_iter().copied().unzip();
    let option = |(text, value): &(&str, &str)| json!({ "text": text, "value": value, "selected": first.contains(value) });
    json!({
        "name": name, "label": label, "type": "custom", "query": pairs.join(", "), "description": description,
        "hide": 0, "includeAll": true, "multi": true, "options": all.iter().map(option).collect::<Vec<_>>(),
        "current": { "text": texts, "value": values },
    })
}

/// A variable whose values are asked for again whenever the time range changes.
fn asked(name: &str, label: &str, query: &str, description: &str) -> Value {
    json!({
        "name": name, "label": label, "type": "query", "datasource": datasource(),
        "query": { "query": query, "refId": name }, "description": description,
        "hide": 0, "includeAll": false, "multi": false, "refresh": 2, "regex": "", "sort": 1,
    })
}

fn markers() -> Vec<Value> {
    let trigger = query::run(RunMetric::TriggerActive).max(&["trigger"]);
    let lever = query::run(RunMetric::LeverActive).of(Arms::Both);
    let starts = query::run(RunMetric::Phase).with("phase", "=", "before");
    vec![
        marker("Trigger acts", "red", &format!("{trigger} == 1"), "{{trigger}}", "the trigger acts"),
        marker("Lever pulled", "blue", &moment(&lever, &["arm", "lever"]), "{{lever}}", "pulled in {{arm}}"),
        marker("Run starts", "purple", &moment(&starts, &["phase"]), "run starts", "users begin to come"),
    ]
}

/// When a gauge has become 1.
fn moment(gauge: &query::Series, by: &[&str]) -> String {
    let by = by.join(", ");
    format!("max by ({by}) ({gauge}) == 1 unless max by ({by}) ({gauge} offset {STEP}) == 1")
}

fn marker(name: &str, color: &str, expression: &str, title: &str, text: &str) -> Value {
    json!({
        "name": name, "enable": true, "iconColor": color, "datasource": datasource(), "expr": expression,
        "step": STEP, "titleFormat": title, "textFormat": text, "tagKeys": "", "useValueForTime": false,
    })
}
