//! What the tools of this package share. The tests themselves are in `tests/tests`; those that start the binary are
//! part of its own package.

pub mod dashboards;
mod growth;

pub use growth::{Growth, Sample, growth};
