//! The document of `sensitivity`. Results only; equal for equal commands. Reports read it.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// The schema version of [`SensitivityResult`]. Fields may be added under one version, never renamed.
pub const SCHEMA: u32 = 1;

/// Every number of a scenario varied, one at a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SensitivityResult {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The scenario's name.
    pub scenario: String,
    /// Its title.
    pub title: String,
    /// The file as a person would open it.
    pub file: String,
    /// SHA-256 of the file's bytes, in hex.
    pub scenario_sha256: String,
    /// `free choices` or `all numbers`.
    pub which: String,
    /// By what part each number was varied, down and up.
    pub by: f64,
    /// The seeds.
    pub seeds: Vec<u64>,
    /// How the control ends as the file is: `recovers`, `stays down`, `mixed`; none where there is nothing to
    /// recover from.
    pub control: Option<String>,
    /// The verdict of every arm as the file is.
    pub base: IndexMap<String, String>,
    /// What speaks against the file as it is.
    pub reasons: Vec<String>,
    /// The numbers that were varied, in the file's order.
    pub numbers: Vec<NumberResult>,
    /// Variations that cannot run.
    pub not_varied: Vec<NotVaried>,
    /// Verdicts that were compared.
    pub compared: u64,
    /// Simulations that were made.
    pub runs: u64,
    /// Simulations that running every arm for every variation would have cost.
    pub runs_without_sharing: u64,
    /// Interrupted before all numbers were varied.
    pub partial: bool,
    /// The command that makes it again.
    pub again: String,
}

/// One number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NumberResult {
    /// As in `--set`.
    pub path: String,
    /// As the file has it.
    pub value: String,
    /// Its reason.
    pub why: String,
    /// Lower, then higher, where they can run.
    pub variations: Vec<Variation>,
}

/// One value of one number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Variation {
    /// The number as varied.
    pub value: String,
    /// How the control ends; none where it was not run again, or has nothing to recover from.
    pub control: Option<String>,
    /// Verdicts of the arms that can read the number.
    pub verdicts: IndexMap<String, String>,
    /// Decided findings that are others than with the file as it is. The control is among them by its end.
    pub flips: Vec<Flip>,
    /// Findings that are decided in the file as it is and not here, or the other way round.
    pub undecided: Vec<Flip>,
    /// What speaks against the variation as a whole.
    pub reasons: Vec<String>,
}

/// A finding that is another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flip {
    /// The arm; `control` for how it ends by itself.
    pub arm: String,
    /// With the file as it is.
    pub from: String,
    /// As varied.
    pub to: String,
}

/// A number that was not varied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotVaried {
    /// As in `--set`.
    pub path: String,
    /// As the file has it.
    pub value: String,
    /// Why not.
    pub reason: String,
}
