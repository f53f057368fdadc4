//! Scenario files, arms, triggers, levers, outcomes, statistics, verdicts, claims.
//!
//! # Layout, in reading order
//!
//! * [`document`]: a YAML file with positions, and all that is wrong with it at once
//! * [`scenario`]: what can be written in a scenario file; its triggers and levers
//! * [`plan`]: the arms that follow from it
//! * [`run`]: running them, on either clock
//! * [`scaling`]: controllers of numbers of replicas, while they run
//! * [`team`]: who changes services and keeps them running, over days
//! * [`board`]: what a run in real time shows while it goes on
//! * [`runner`]: an experiment against running stacks, as often as it is asked for
//! * [`stocks`]: what a run's stocks hold, against what entered and left
//! * [`live`]: hands on one running service, and the timeline of what they did
//! * [`outcome`]: what one arm and seed came to
//! * `stats`: intervals
//! * [`loops`]: what a few more users set going
//! * [`verdict`]: what a lever was worth
//! * [`claims`]: sentences that are measured again by every check
//! * [`result`]: the documents that a run leaves; [`record`]: its series, as lines
//! * [`presets`]: published defaults of libraries, as levers
//! * [`laws`]: the rig itself, held to what is known
//! * [`map`]: how it ends over two settings, and where along one its end changes
//! * [`ladder`]: the levers of many runs by level
//! * [`sensitivity`]: which verdicts hang on a number that somebody chose

pub mod board;
pub mod claims;
pub mod document;
pub mod ladder;
pub mod laws;
pub mod live;
pub mod loops;
pub mod map;
pub mod measure;
pub mod outcome;
pub mod plan;
pub mod presets;
pub mod record;
pub mod result;
pub mod run;
pub mod runner;
pub mod scaling;
pub mod scenario;
pub mod sensitivity;
pub mod stats;
pub mod stocks;
pub mod story;
pub mod team;
pub mod validity;
pub mod verdict;
