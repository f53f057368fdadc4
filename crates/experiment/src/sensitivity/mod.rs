//! Sensitivity: every free number of a scenario a quarter lower and a quarter higher, one at a time, and which
//! verdicts that turns over. It tells what a scenario's author chose without a reason; whether a finding
//! depends on such a choice is what nobody can see in the finding itself.
//!
//! # Layout, in reading order
//!
//! * [`numbers`]: which numbers there are, and what a quarter less or more of each is
//! * [`measure`]: running the arms that can read them, and comparing verdicts
//! * [`result`]: the document that it leaves
//!
//! What it must not do: call chance a flip. Only two decided verdicts that differ are one.

pub mod measure;
pub mod numbers;
pub mod result;
