//! All queries of all dashboards, asked as Grafana would: variables are filled in from what their own queries answer, in
//! their order; ranges and steps are those of a panel 800 points wide.

use std::collections::BTreeMap;

use serde_json::Value;

use super::prometheus::Prometheus;
use super::queries::{self, Query, Wanted};
use super::{Board, list, text};

/// Points of a panel.
const WIDTH: f64 = 800.0;

/// Seconds between two samples: what the data source is told, too (`timeInterval`).
const SCRAPED: f64 = 1.0;

/// Which run is looked at, and when, in seconds since 1970.
#[derive(Clone, Debug)]
pub struct Screen {
    /// The value of `$run`.
    pub run: String,
    /// Its start.
    pub from: f64,
    /// Its end.
    pub to: f64,
}

/// What came of one query.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The query.
    pub query: Query,
    /// How many series have a value; or what the server said.
    pub series: Result<usize, String>,
}

/// A dashboard's variables with all values that each may have.
type Choices = BTreeMap<String, Vec<String>>;

/// Asks everything.
///
/// # Errors
///
/// A sentence, if the run is not there, or has no control.
pub fn all(server: &Prometheus, boards: &[Board], screen: &Screen) -> Result<Vec<Answer>, String> {
    let mut answers = Vec::new();
    for board in boards {
        let choices = choose(server, board, screen)?;
        for query in queries::of(board) {
            let series = one(server, &query, &choices, screen);
            answers.push(Answer { query, series });
        }
    }
    Ok(answers)
}

/// That a wrong question would be noticed: a value that no label has gives no series, and no PromQL is an error.
///
/// # Errors
///
/// A sentence, if this server answers both.
pub fn notices_mistakes(server: &Prometheus, screen: &Screen) -> Result<(), String> {
    let settled = pumphandle_core::catalogue::RunMetric::UsersSettled.name();
    let ask = |text: String| over(server, text, screen, interval(screen));
    let nothing = ask(format!(r#"{settled}{{run="{}",outcome="goood"}}"#, screen.run))?;
    let nonsense = ask(format!(r#"sum({settled}{{run="{}"}}"#, screen.run));
    if list(&nothing["result"]).is_empty() && nonsense.is_err() {
        return Ok(());
    }
    Err("this server answers whatever it is asked".to_owned())
}

/// The server's time, in seconds since 1970.
///
/// # Errors
///
/// A sentence, if nobody answers.
pub fn now(server: &Prometheus) -> Result<f64, String> {
    let data = server.ask("query", &[("query", "time()".to_owned())])?;
    text(&data["result"][1]).parse().map_err(|_| "the server has no time".to_owned())
}

/// When a run was: from its first to its last sample of the week before `now`.
///
/// # Errors
///
/// A sentence, if it is not there.
pub fn when(server: &Prometheus, run: &str, now: f64) -> Result<Screen, String> {
    let ask = |which: &str| {
        let info = pumphandle_core::catalogue::RunMetric::RunInfo.name();
        let query = format!(r#"{which}({which}_over_time(timestamp({info}{{run="{run}"}})[7d:15s]))"#);
        let data = server.ask("query", &[("query", query), ("time", now.to_string())])?;
        let value = text(&data["result"][0]["value"][1]).parse::<f64>();
        value.map_err(|_| format!("there is no run `{run}` in the last week"))
    };
    Ok(Screen { run: run.to_owned(), from: ask("min")?, to: ask("max")? })
}

/// What Grafana would offer, and what this chooses: the run, `control`, and everything else there is.
fn choose(server: &Prometheus, board: &Board, screen: &Screen) -> Result<Choices, String> {
    let mut choices = Choices::from([("quantile".to_owned(), vec!["0.99".to_owned()])]);
    for query in queries::of(board).into_iter().filter(|query| query.wanted == Wanted::Values) {
        let offered = values(server, &query, &choices, screen)?;
        let chosen = match query.name.as_str() {
            "run" => vec![screen.run.clone()],
            "control" => vec!["control".to_owned()],
            _ => offered.clone(),
        };
        if let Some(lost) = chosen.iter().find(|value| !offered.contains(value)) {
            return Err(format!("{} does not offer `{lost}`, only {offered:?}", query.place()));
        }
        choices.insert(query.name, chosen);
    }
    Ok(choices)
}

fn values(
    server: &Prometheus,
    query: &Query,
    choices: &Choices,
    screen: &Screen,
) -> Result<Vec<String>, String> {
    let selector = filled(&query.text, choices, screen).swap_remove(0);
    let parameters =
        [("match[]", selector), ("start", screen.from.to_string()), ("end", screen.to.to_string())];
    let data = server.ask(&format!("label/{}/values", query.label), &parameters)?;
    Ok(list(&data).iter().map(|value| text(value).to_owned()).collect())
}

/// The most series that any choice gives; Grafana shows one choice at a time.
fn one(server: &Prometheus, query: &Query, choices: &Choices, screen: &Screen) -> Result<usize, String> {
    if query.wanted == Wanted::Values {
        return values(server, query, choices, screen).map(|it| it.len());
    }
    let mut most = 0;
    for text in filled(&query.text, choices, screen) {
        let data = match query.wanted {
            Wanted::Instant => server.ask("query", &[("query", text), ("time", screen.to.to_string())])?,
            Wanted::Markers(step) => over(server, text, screen, step as f64)?,
            Wanted::Range | Wanted::Values => over(server, text, screen, interval(screen))?,
        };
        most = most.max(list(&data["result"]).iter().filter(|series| has_value(series)).count());
    }
    Ok(most)
}

fn over(server: &Prometheus, query: String, screen: &Screen, step: f64) -> Result<Value, String> {
    let (from, to) = (screen.from.to_string(), screen.to.to_string());
    server.ask("query_range", &[("query", query), ("start", from), ("end", to), ("step", step.to_string())])
}

/// Not a number is nothing to draw.
fn has_value(series: &Value) -> bool {
    let number = |sample: &Value| text(&sample[1]) != "NaN";
    list(&series["values"]).iter().any(number) || (!series["value"].is_null() && number(&series["value"]))
}

fn interval(screen: &Screen) -> f64 {
    ((screen.to - screen.from) / WIDTH).ceil().max(SCRAPED)
}

/// The query with every variable filled in; once for every service, since one is shown at a time.
fn filled(query: &str, choices: &Choices, screen: &Screen) -> Vec<String> {
    let seconds = |seconds: f64| format!("{}s", seconds.ceil());
    let interval = interval(screen);
    // Longer names first: `$__range` is the beginning of no other, but `$__interval` and `$__rate_interval` end alike.
    let mut text = query
        .replace("$__rate_interval", &seconds((interval + SCRAPED).max(4.0 * SCRAPED)))
        .replace("$__range", &seconds(screen.to - screen.from))
        .replace("$__interval", &seconds(interval));
    for (name, values) in choices.iter().filter(|(name, _)| *name != "service") {
        let value = match values.as_slice() {
            [one] => one.clone(),
            some => format!("({})", some.join("|")),
        };
        text = text.replace(&format!("${name}"), &value);
    }
    match choices.get("service") {
        Some(services) if text.contains("$service") => {
            services.iter().map(|service| text.replace("$service", service)).collect()
        }
        _ => vec![text],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_filled_in_as_grafana_does() {
        let of = |values: &[&str]| values.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        let choices = Choices::from([
            ("control".to_owned(), of(&["control"])),
            ("run".to_owned(), of(&["r"])),
            ("service".to_owned(), of(&["api", "db"])),
            ("treatment".to_owned(), of(&["a", "b"])),
        ]);
        let screen = Screen { run: "r".to_owned(), from: 0.0, to: 300.0 };
        let query = r#"rate(x{run="$run",arm=~"$control|$treatment"}[$__rate_interval])"#;
        assert_eq!(filled(query, &choices, &screen), [r#"rate(x{run="r",arm=~"control|(a|b)"}[4s])"#]);
        let query = r#"max_over_time(x{service="$service"}[$__range] @ end())"#;
        let wanted = ["api", "db"].map(|it| format!(r#"max_over_time(x{{service="{it}"}}[300s] @ end())"#));
        assert_eq!(filled(query, &choices, &screen), wanted);
        let long = Screen { to: 8_000.0, ..screen };
        assert_eq!(filled("[$__interval] [$__rate_interval]", &choices, &long), ["[10s] [11s]"]);
    }

    #[test]
    fn only_numbers_count_as_an_answer() {
        assert!(!has_value(&serde_json::json!({ "values": [[0, "NaN"]] })));
        assert!(!has_value(&serde_json::json!({ "value": [0, "NaN"] })));
        assert!(has_value(&serde_json::json!({ "values": [[0, "NaN"], [1, "0"]] })));
        assert!(has_value(&serde_json::json!({ "value": [0, "+Inf"] })));
    }
}
