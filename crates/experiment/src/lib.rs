//! Scenario files, arms, triggers, levers, outcomes, statistics, verdicts, claims.
//!
//! # Layout, in reading order
//!
//! * [`document`]: a YAML file with positions, and all that is wrong with it at once
//! * [`scenario`]: what can be written in a scenario file; its triggers and levers
//! * [`plan`]: the arms that follow from it
//! * [`run`]: running them, on either clock
//! * [`live`]: hands on one running service, and the timeline of what they did
//! * [`outcome`]: what one arm and seed came to
//! * `stats`: intervals
//! * [`verdict`]: what a lever was worth
//! * [`claims`]: sentences that are measured again by every check
//! * [`result`]: the documents that a run leaves
//! * [`laws`]: the rig itself, held to what is known

pub mod claims;
pub mod document;
pub mod laws;
pub mod live;
pub mod measure;
pub mod outcome;
pub mod plan;
pub mod result;
pub mod run;
pub mod scenario;
pub mod stats;
pub mod story;
pub mod validity;
pub mod verdict;
