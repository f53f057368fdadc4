//! Grafana's dashboards, written by code: names of metrics come from the catalogue, so that a metric that is renamed or
//! removed is an error here and not an empty panel in front of an audience. What comes out is plain JSON of Grafana's
//! classic schema, the same bytes every time, committed under `dashboards/` and checked there.
//!
//! Nothing here asks a server or knows a file. How each is read: `docs/dashboards.md`.
//!
//! # Layout
//!
//! - `query`: PromQL over the catalogue; `panel`: one panel; `board`: variables, markers, links, places
//! - `home`, `incident`, `stocks`, `mechanisms`, `loops`, `rig`: a dashboard each
//! - [`NOT_DRAWN`]: what no dashboard shows, and why

mod board;
mod home;
mod incident;
mod loops;
mod mechanisms;
mod panel;
mod query;
mod rig;
mod stocks;

use board::Board;
use serde_json::{Value, json};

/// Why a team's stocks are on no dashboard.
const OF_A_TEAM: &str = "a team's runs are of weeks: they are sampled, and no recording is made of them";

macro_rules! of_a_team {
    ($($stock:literal)+) => {
        &[$(
            (concat!("pumphandle_", $stock), OF_A_TEAM),
            (concat!("pumphandle_", $stock, "_inflow_total"), OF_A_TEAM),
            (concat!("pumphandle_", $stock, "_outflow_total"), OF_A_TEAM),
            (concat!("pumphandle_", $stock, "_level_seconds_total"), OF_A_TEAM),
        )+]
    };
}

/// Metrics that no dashboard draws, with the reason. Every other one of the catalogue is on one.
pub const NOT_DRAWN: &[(&str, &str)] = of_a_team! {
    "feature_backlog" "undeployed" "technical_debt" "bad_versions" "incidents" "on_call_fatigue" "error_budget"
    "error_budget_overspent"
};

/// A dashboard as a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its name, such as `incident.json`.
    pub name: String,
    /// Its text: JSON, with a line end behind it.
    pub text: String,
}

/// All dashboards, in the order in which they are read.
pub fn files() -> Vec<File> {
    boards().iter().map(file).collect()
}

fn boards() -> [Board; 6] {
    [home::board(), incident::board(), stocks::board(), mechanisms::board(), loops::board(), rig::board()]
}

fn file(board: &Board) -> File {
    let mut text = String::new();
    write(&board.json(), 0, &mut text);
    File { name: format!("{}.json", board.name()), text: text + "\n" }
}

/// Columns of a line of JSON.
const WIDTH: usize = 110;

/// JSON for people: what fits into a line is one, so that a change of a panel is a change of a few lines.
fn write(value: &Value, indent: usize, into: &mut String) {
    let line = value.to_string();
    let inner = "  ".repeat(indent + 1);
    let end = "  ".repeat(indent);
    match value {
        Value::Array(all) if indent + line.len() > WIDTH => {
            into.push('[');
            for (i, it) in all.iter().enumerate() {
                into.push_str(if i == 0 { "\n" } else { ",\n" });
                into.push_str(&inner);
                write(it, indent + 1, into);
            }
            into.push_str(&format!("\n{end}]"));
        }
        Value::Object(all) if indent + line.len() > WIDTH => {
            into.push('{');
            for (i, (name, it)) in all.iter().enumerate() {
                into.push_str(if i == 0 { "\n" } else { ",\n" });
                into.push_str(&format!("{inner}{}: ", json!(name)));
                write(it, indent + 1, into);
            }
            into.push_str(&format!("\n{end}}}"));
        }
        _ => into.push_str(&line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_the_same_json_in_lines_for_people() {
        for (file, board) in files().iter().zip(boards()) {
            let read: Value = serde_json::from_str(&file.text).expect("it is JSON");
            assert_eq!(read, board.json(), "{}", file.name);
            assert!(file.text.len() < 200_000, "{} is too large", file.name);
        }
    }
}
