//! Names that Grafana's schema leaves open as strings, and that Grafana ignores without a word when they are wrong.
//! Lists of what our dashboards use: whoever needs another looks it up in Grafana's documentation and adds it.

/// Units, by Grafana's ids (`@grafana/data`, `valueFormats/categories.ts`).
pub const UNITS: &[&str] =
    &["none", "short", "string", "s", "percentunit", "kbytes", "reqps", "ops", "bytes", "dateTimeAsIso"];

/// Matchers of fields, by id.
pub const MATCHERS: &[&str] = &["byName", "byRegexp", "byFrameRefID"];

/// Transformations, by id.
pub const TRANSFORMATIONS: &[&str] = &["merge", "organize", "joinByField", "sortBy"];

/// What functions of a series a panel may reduce it to.
pub const REDUCERS: &[&str] = &["lastNotNull"];

/// Colours by name, beside `#rrggbb`.
pub const COLORS: &[&str] = &["red", "orange", "dark-orange", "blue", "purple", "text", "transparent"];

/// Types of panels with what the schema calls them. Those without a name there have the options that stand in
/// [`OPTIONS`].
pub const PANELS: &[(&str, Option<&str>)] = &[
    ("row", None),
    ("text", None),
    ("xychart", None),
    ("nodeGraph", None),
    ("timeseries", Some("timeseries")),
    ("stat", Some("stat")),
    ("bargauge", Some("bargauge")),
    ("state-timeline", Some("statetimeline")),
    ("table", Some("table")),
    ("heatmap", Some("heatmap")),
];

/// Options, and custom properties of fields, of types of panels that the schema does not describe.
pub const OPTIONS: &[(&str, &[&str], &[&str])] = &[
    ("text", &["mode", "content", "code"], &[]),
    (
        "xychart",
        &["mapping", "series", "legend", "tooltip"],
        &["show", "pointSize", "pointShape", "lineWidth"],
    ),
    ("nodeGraph", &["nodes", "edges", "zoomMode"], &[]),
];

/// What the schema does not know and Grafana does: the part of a marker that is Prometheus' own.
pub const OF_MARKERS: &[&str] = &["expr", "step", "titleFormat", "textFormat", "tagKeys", "useValueForTime"];

/// Custom properties of tables' fields, which the schema leaves out.
pub const OF_TABLES: &[&str] = &["align", "width", "cellOptions", "filterable", "inspect"];
