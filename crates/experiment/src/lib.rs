//! Scenario files, arms, triggers, levers, outcomes, statistics, verdicts, claims.

pub mod document;
pub mod result;
pub mod stats;
