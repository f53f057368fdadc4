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

/// Metrics that no dashboard draws, with the reason. Every other one of the catalogue is on one.
pub const NOT_DRAWN: &[(&str, &str)] = &[];

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
    let boards = [
        home::board(),
        incident::board(),
        stocks::board(),
        mechanisms::board(),
        loops::board(),
        rig::board(),
    ];
    boards.iter().map(file).collect()
}

fn file(board: &Board) -> File {
    let text = serde_json::to_string_pretty(&board.json()).expect("it is made of strings and finite numbers");
    File { name: format!("{}.json", board.name()), text: text + "\n" }
}
