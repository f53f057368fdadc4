//! What a run looks like to a person: terminal, HTML page, JUnit, Markdown, and what changed since a baseline.
//!
//! Everything here reads a [`Story`](pumphandle_experiment::result::Story) or the
//! [`RunResult`](pumphandle_experiment::result::RunResult) in it and returns text. Nothing here measures, judges,
//! opens a file, or asks what terminal it writes to; the same input gives the same bytes.
//!
//! # Layout
//!
//! - [`terminal`]: the two stories side by side, the table of levers, what accumulates
//! - [`html`]: the page (charts by plotly's script, which travels inside the page)
//! - [`junit`], [`markdown`], [`check_text`]: claims, for machines, for job summaries, for people
//! - [`map_terminal`], [`map_html`], [`threshold_terminal`]: how it ends over two settings, or along one
//! - [`sensitivity_terminal`], [`sensitivity_markdown`]: which verdicts hang on a number that somebody chose
//! - [`baseline_diff`]: what changed between two lists of results, in sentences
//! - [`recording`]: a run as time series, for Prometheus
//! - [`presets`]: published defaults side by side
//! - [`ladder`]: the levers of all incidents by level
//! - `words`, `levers`, `accumulate`: what all of them share

mod accumulate;
mod baseline;
mod check;
pub mod dashboards;
mod html;
mod junit;
pub mod ladder;
mod levers;
mod map;
mod markdown;
pub mod presets;
pub mod recording;
mod sensitivity;
mod terminal;
mod words;

pub use baseline::baseline_diff;
pub use check::check_text;
pub use html::html;
pub use junit::junit;
pub use map::{map_html, map_terminal, threshold_terminal};
pub use markdown::markdown;
pub use sensitivity::{sensitivity_markdown, sensitivity_terminal};
pub use terminal::{Terminal, terminal};
