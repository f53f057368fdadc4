//! Scenario files, arms, triggers, levers, outcomes, statistics, verdicts, claims.

pub mod result;
pub mod stats;
