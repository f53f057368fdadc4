//! Panels: what Grafana's JSON needs said again and again, said once. Control is orange and wide and lies underneath;
//! treatments are shades of blue and lie on top. Nothing is told by colour alone: legends and names tell it too.

use serde_json::{Map, Value, json};

use super::query::Arms;

/// Everything asks this data source, whichever was chosen.
pub(super) fn datasource() -> Value {
    json!({ "type": "prometheus", "uid": "${datasource}" })
}

/// One panel without its place.
#[derive(Clone, Debug)]
pub(super) struct Panel {
    kind: &'static str,
    title: String,
    description: String,
    width: u32,
    height: u32,
    targets: Vec<Value>,
    defaults: Map<String, Value>,
    overrides: Vec<Value>,
    options: Value,
    transformations: Vec<Value>,
    extra: Map<String, Value>,
}

impl Panel {
    fn new(kind: &'static str, title: &str, unit: &str, description: &str) -> Panel {
        let mut defaults = Map::new();
        if !unit.is_empty() {
            defaults.insert("unit".to_owned(), json!(unit));
        }
        Panel {
            kind,
            title: title.to_owned(),
            description: description.to_owned(),
            width: 12,
            height: 8,
            targets: Vec::new(),
            defaults,
            overrides: Vec::new(),
            options: json!({}),
            transformations: Vec::new(),
            extra: Map::new(),
        }
    }

    /// Lines over time, from zero upwards, treatments' shades of blue.
    pub(super) fn lines(title: &str, unit: &str, description: &str) -> Panel {
        let mut panel = Panel::new("timeseries", title, unit, description);
        panel.options = json!({
            "legend": { "calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": true },
            "tooltip": { "mode": "multi", "sort": "desc" },
        });
        panel
            .default("color", shades("blue"))
            .default("min", json!(0))
            .custom("drawStyle", json!("line"))
            .custom("lineWidth", json!(2))
            .custom("fillOpacity", json!(0))
            .custom("showPoints", json!("never"))
            .custom("spanNulls", json!(false))
    }

    /// One large number per series: the last.
    pub(super) fn stat(title: &str, unit: &str, description: &str) -> Panel {
        let mut panel = Panel::new("stat", title, unit, description);
        panel.options = json!({
            "colorMode": "background",
            "graphMode": "none",
            "justifyMode": "auto",
            "orientation": "auto",
            "reduceOptions": { "calcs": ["lastNotNull"], "fields": "", "values": false },
            "textMode": "value_and_name",
            "wideLayout": true,
        });
        panel.default("color", json!({ "mode": "fixed", "fixedColor": "text" })).size(6, 4)
    }

    /// A bar per series: the last value, the longest bar first if the query sorts.
    pub(super) fn bars(title: &str, unit: &str, description: &str) -> Panel {
        let mut panel = Panel::new("bargauge", title, unit, description);
        panel.options = json!({
            "displayMode": "basic",
            "namePlacement": "left",
            "orientation": "horizontal",
            "reduceOptions": { "calcs": ["lastNotNull"], "fields": "", "values": false },
            "showUnfilled": false,
            "valueMode": "text",
        });
        panel.default("min", json!(0))
    }

    /// Bands over time, one row per series.
    pub(super) fn bands(title: &str, description: &str) -> Panel {
        let mut panel = Panel::new("state-timeline", title, "none", description);
        panel.options = json!({
            "alignValue": "left",
            "legend": { "calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": false },
            "mergeValues": true,
            "rowHeight": 0.85,
            "showValue": "auto",
            "tooltip": { "mode": "single", "sort": "none" },
        });
        panel
            .default("color", json!({ "mode": "fixed", "fixedColor": "text" }))
            .custom("fillOpacity", json!(70))
            .custom("lineWidth", json!(0))
            .size(24, 6)
    }

    /// A table: a row per label, a column per query.
    pub(super) fn table(title: &str, unit: &str, description: &str) -> Panel {
        let mut panel = Panel::new("table", title, unit, description);
        panel.options = json!({ "cellHeight": "sm", "showHeader": true });
        panel.size(24, 7)
    }

    /// How a distribution moves over time, from the buckets of a histogram.
    pub(super) fn heatmap(title: &str, unit: &str, description: &str) -> Panel {
        let mut panel = Panel::new("heatmap", title, unit, description);
        panel.options = json!({
            "calculate": false,
            "cellGap": 1,
            "color": {
                "exponent": 0.5, "fill": "dark-orange", "mode": "scheme", "reverse": false,
                "scale": "exponential", "scheme": "Viridis", "steps": 64,
            },
            "filterValues": { "le": 1e-9 },
            "legend": { "show": true },
            "rowsFrame": { "layout": "auto" },
            "tooltip": { "mode": "single", "showColorScale": false, "yHistogram": false },
            "yAxis": { "axisPlacement": "left", "unit": unit },
        });
        panel.extra.insert("maxDataPoints".to_owned(), json!(120));
        panel
    }

    /// One quantity against another; `x` and `y` are names of fields.
    pub(super) fn against(title: &str, description: &str) -> Panel {
        let mut panel = Panel::new("xychart", title, "none", description);
        panel.extra.insert("pluginVersion".to_owned(), json!("12.2.0"));
        panel
    }

    /// Nodes and edges, from the queries `nodes` and `edges`.
    pub(super) fn graph(title: &str, description: &str) -> Panel {
        Panel::new("nodeGraph", title, "none", description)
    }

    /// Words.
    pub(super) fn text(title: &str, description: &str, markdown: &str) -> Panel {
        let mut panel = Panel::new("text", title, "", description);
        panel.options = json!({ "mode": "markdown", "content": markdown });
        panel.size(24, 4)
    }

    /// Width, of 24, and height.
    pub(super) fn size(mut self, width: u32, height: u32) -> Panel {
        (self.width, self.height) = (width, height);
        self
    }

    /// What stands where there is nothing to draw.
    pub(super) fn when_empty(self, sentence: &str) -> Panel {
        self.default("noValue", json!(sentence))
    }

    /// A value of all fields.
    pub(super) fn default(mut self, name: &str, value: Value) -> Panel {
        self.defaults.insert(name.to_owned(), value);
        self
    }

    /// An axis that goes below zero, or does not begin there.
    pub(super) fn below_zero_too(mut self) -> Panel {
        self.defaults.remove("min");
        self
    }

    /// A value of all fields that is the panel type's own.
    pub(super) fn custom(mut self, name: &str, value: Value) -> Panel {
        let custom = self.defaults.entry("custom").or_insert_with(|| json!({}));
        custom[name] = value;
        self
    }

    /// An option of the panel type.
    pub(super) fn option(mut self, name: &str, value: Value) -> Panel {
        self.options[name] = value;
        self
    }

    /// Equal factors are equal heights.
    pub(super) fn logarithmic(self) -> Panel {
        self.below_zero_too().custom("scaleDistribution", json!({ "type": "log", "log": 10 }))
    }

    /// A dashed line where the rig itself draws one, such as at 95 %.
    pub(super) fn limit(self, at: f64) -> Panel {
        let steps = json!([{ "color": "transparent", "value": null }, { "color": "text", "value": at }]);
        self.default("thresholds", json!({ "mode": "absolute", "steps": steps }))
            .custom("thresholdsStyle", json!({ "mode": "dashed" }))
    }

    /// A query drawn over time.
    pub(super) fn query(mut self, name: &str, expression: &str, legend: &str) -> Panel {
        self.targets.push(target(name, expression, legend, false, "time_series"));
        self
    }

    /// A query whose answer is one number per series, at the end of the screen.
    pub(super) fn at_end(mut self, name: &str, expression: &str, legend: &str) -> Panel {
        let format = if self.kind == "table" || self.kind == "nodeGraph" { "table" } else { "time_series" };
        self.targets.push(target(name, expression, legend, true, format));
        self
    }

    /// The buckets of a heatmap.
    pub(super) fn buckets(mut self, expression: &str) -> Panel {
        self.targets.push(target("buckets", expression, "{{le}}", false, "heatmap"));
        self
    }

    /// The same question to control and treatments.
    pub(super) fn twin(self, legend: &str, question: impl Fn(Arms) -> String) -> Panel {
        self.control(legend, question(Arms::Control)).query(
            Arms::Treatment.name(),
            &question(Arms::Treatment),
            legend,
        )
    }

    fn control(self, legend: &str, expression: String) -> Panel {
        let name = Arms::Control.name();
        // Several lines of one arm are shades of its colour.
        let several = legend != "{{arm}}";
        let color = if several { shades("orange") } else { fixed("orange") };
        let panel = self
            .query(name, &expression, legend)
            .where_query(name, &[("color", color), ("custom.lineWidth", json!(5))]);
        if several {
            return panel;
        }
        // The one treatment of two stacks side by side has this name, and then the base of the shades.
        panel.where_name("/^treatment\\b/", &[("color", fixed("blue"))])
    }

    /// Properties of the fields of one query.
    pub(super) fn where_query(mut self, name: &str, properties: &[(&str, Value)]) -> Panel {
        self.overrides.push(matching("byFrameRefID", name, properties));
        self
    }

    /// Properties of the fields whose name matches.
    pub(super) fn where_name(mut self, pattern: &str, properties: &[(&str, Value)]) -> Panel {
        self.overrides.push(matching("byRegexp", pattern, properties));
        self
    }

    /// Properties of the field of this name.
    pub(super) fn field(mut self, name: &str, properties: &[(&str, Value)]) -> Panel {
        self.overrides.push(matching("byName", name, properties));
        self
    }

    /// A step between the answers and what is drawn.
    pub(super) fn then(mut self, id: &str, options: Value) -> Panel {
        self.transformations.push(json!({ "id": id, "options": options }));
        self
    }

    /// Asks about this much of the past, if the dashboard looks at a time up to now.
    pub(super) fn over(mut self, span: &str) -> Panel {
        self.extra.insert("timeFrom".to_owned(), json!(span));
        self
    }

    /// Width and height.
    pub(super) fn extent(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    /// As JSON, in a place of the grid.
    pub(super) fn place(&self, id: u32, x: u32, y: u32) -> Value {
        let mut panel = json!({
            "id": id,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "gridPos": { "h": self.height, "w": self.width, "x": x, "y": y },
            "fieldConfig": { "defaults": self.defaults, "overrides": self.overrides },
            "options": self.options,
        });
        let into = panel.as_object_mut().expect("it was made as one");
        if self.kind != "text" {
            into.insert("datasource".to_owned(), datasource());
            into.insert("targets".to_owned(), json!(self.targets));
        }
        if !self.transformations.is_empty() {
            into.insert("transformations".to_owned(), json!(self.transformations));
        }
        into.extend(self.extra.clone());
        panel
    }
}

/// One colour for all values.
pub(super) fn fixed(color: &str) -> Value {
    json!({ "mode": "fixed", "fixedColor": color })
}

/// A shade of one colour for each series.
fn shades(color: &str) -> Value {
    json!({ "mode": "shades", "fixedColor": color })
}

/// Words and colours in place of numbers.
pub(super) fn words(of: &[(u64, &str, &str)]) -> Value {
    let word = |(i, (value, text, color)): (usize, &(u64, &str, &str))| {
        (value.to_string(), json!({ "color": color, "index": i, "text": text }))
    };
    let options: Map<String, Value> = of.iter().enumerate().map(word).collect();
    json!([{ "type": "value", "options": options }])
}

fn target(name: &str, expression: &str, legend: &str, instant: bool, format: &str) -> Value {
    json!({
        "refId": name,
        "datasource": datasource(),
        "editorMode": "code",
        "expr": expression,
        "legendFormat": legend,
        "format": format,
        "instant": instant,
        "range": !instant,
    })
}

fn matching(id: &str, options: &str, properties: &[(&str, Value)]) -> Value {
    let properties: Vec<Value> =
        properties.iter().map(|(id, value)| json!({ "id": id, "value": value })).collect();
    json!({ "matcher": { "id": id, "options": options }, "properties": properties })
}
