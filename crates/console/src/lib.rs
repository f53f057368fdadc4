//! The metrics endpoints of a running stack: one small HTTP server per service, as if each were a program
//! of its own, for Prometheus to scrape.
//!
//! It knows meters and the catalogue of their names, both of `core`. It must not know which policies there
//! are, what a scenario is, how a stack is built, or what time it is: whatever is to be shown here is counted
//! by a meter, and named in its catalogue, first. It has no global recorder either, since several arms run in
//! one process.
//!
//! # Layout
//!
//! * [`catalogue`]: what is exported under which name; dashboards are checked against it
//! * `exposition`: one service's metrics as text
//! * `server`: the text over HTTP

mod catalogue;
mod exposition;
mod server;

pub use catalogue::{Kind, LABELS, MetricSpec, catalogue};
pub use server::serve_metrics;
