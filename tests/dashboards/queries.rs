//! Everything that a dashboard asks: of panels, of markers, of variables.

use serde_json::Value;

use super::{Board, list, panels, text};

/// How an answer is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Over the time range.
    Range,
    /// One number per series, at its end.
    Instant,
    /// Markers over the time range, every so many seconds.
    Markers(u64),
    /// Values of a label, for people to choose from.
    Values,
}

/// One query.
#[derive(Clone, Debug)]
pub struct Query {
    /// The dashboard's file.
    pub file: String,
    /// The panel's title, or the name of the marker or variable.
    pub panel: String,
    /// The query's name within the panel.
    pub name: String,
    /// What is asked: PromQL; for [`Wanted::Values`] the selector.
    pub text: String,
    /// The label whose values are wanted.
    pub label: String,
    /// How.
    pub wanted: Wanted,
}

impl Query {
    /// Where it stands, for people.
    pub fn place(&self) -> String {
        format!("{}: {}: {}", self.file, self.panel, self.name)
    }
}

/// All queries of a dashboard. One with a variable in the name of a metric stands here once for each of its values.
pub fn of(board: &Board) -> Vec<Query> {
    let variables = list(&board.json["templating"]["list"]);
    let named: Vec<&Value> = variables.iter().filter(|it| text(&it["type"]) == "custom").collect();
    written(board).into_iter().flat_map(|query| in_full(query, &named)).collect()
}

/// The query for each value of the variable that it writes in braces, `${so}`.
fn in_full(query: Query, variables: &[&Value]) -> Vec<Query> {
    let braced = |variable: &Value| format!("${{{}}}", text(&variable["name"]));
    let Some(variable) = variables.iter().find(|it| query.text.contains(&braced(it))) else {
        return vec![query];
    };
    let called = format!("${{{}:text}}", text(&variable["name"]));
    let with = |option: &Value| Query {
        panel: query.panel.replace(&called, text(&option["text"])),
        text: query.text.replace(&braced(variable), text(&option["value"])),
        ..query.clone()
    };
    list(&variable["options"]).iter().map(with).collect()
}

/// All queries as they are written.
fn written(board: &Board) -> Vec<Query> {
    let new = |panel: &str, name: &str, text: &str, wanted| Query {
        file: board.file.clone(),
        panel: panel.to_owned(),
        name: name.to_owned(),
        text: text.to_owned(),
        label: String::new(),
        wanted,
    };
    let mut all = Vec::new();
    for panel in panels(&board.json) {
        for target in list(&panel["targets"]) {
            let wanted = if target["instant"] == Value::Bool(true) { Wanted::Instant } else { Wanted::Range };
            all.push(new(text(&panel["title"]), text(&target["refId"]), text(&target["expr"]), wanted));
        }
    }
    for marker in list(&board.json["annotations"]["list"]) {
        let step = text(&marker["step"]).trim_end_matches('s').parse().unwrap_or(60);
        all.push(new("markers", text(&marker["name"]), text(&marker["expr"]), Wanted::Markers(step)));
    }
    for variable in list(&board.json["templating"]["list"]) {
        if text(&variable["type"]) == "query" {
            let (selector, label) = label_values(text(&variable["query"]["query"])).unwrap_or_default();
            let query = new("variables", text(&variable["name"]), &selector, Wanted::Values);
            all.push(Query { label, ..query });
        }
    }
    all
}

/// The two parts of `label_values(selector, label)`; none if that is not what it is.
pub fn label_values(query: &str) -> Option<(String, String)> {
    let inner = query.strip_prefix("label_values(")?.strip_suffix(')')?;
    let (selector, label) = inner.rsplit_once(',')?;
    Some((selector.trim().to_owned(), label.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_in_the_name_of_a_metric_is_many_queries() {
        let json = serde_json::json!({
            "panels": [{ "title": "${stock:text}: level", "targets": [{ "refId": "a", "expr": "x_${stock}_y" }] }],
            "templating": { "list": [{
                "name": "stock", "type": "custom",
                "options": [{ "text": "Queue", "value": "queue" }, { "text": "Workers", "value": "working" }],
            }] },
        });
        let all = of(&Board { file: "a.json".to_owned(), json });
        let told: Vec<_> = all.iter().map(|it| (it.panel.as_str(), it.text.as_str())).collect();
        assert_eq!(told, [("Queue: level", "x_queue_y"), ("Workers: level", "x_working_y")]);
    }

    #[test]
    fn a_variables_query_has_a_selector_with_commas_and_a_label() {
        let (selector, label) = label_values(r#"label_values(x{a="1",b!="2"}, arm)"#).unwrap();
        assert_eq!((selector.as_str(), label.as_str()), (r#"x{a="1",b!="2"}"#, "arm"));
        assert_eq!(label_values("query_result(x)"), None);
    }
}
