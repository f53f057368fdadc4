//! The documents of `sweep` and `threshold`: what was measured at which point. Results only; equal for equal
//! commands. Reports read them.

use serde::{Deserialize, Serialize};

use crate::map::axis::{Axis, Unit};
use crate::map::class::Class;
use crate::stats::clopper_pearson;

/// The schema version of these documents. Fields may be added under one version, never renamed.
pub const SCHEMA: u32 = 1;

/// What is common to both: which scenario, changed how, under which seeds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// The scenario's name.
    pub scenario: String,
    /// Its title.
    pub title: String,
    /// The file as a person would open it.
    pub file: String,
    /// SHA-256 of the file's bytes, in hex.
    pub scenario_sha256: String,
    /// Settings changed on the command line, as `path=value`.
    pub overrides: Vec<String>,
    /// `control`, `LEVER` or `LEVER@start`.
    pub arm: String,
    /// `pulse`, `sustained`, `regime` or `batch`.
    pub kind: String,
    /// The first seed; every point is measured under the same ones.
    pub first_seed: u64,
    /// Seeds at each look: the later one only where the earlier does not decide.
    pub looks: Vec<u64>,
    /// The command that makes it again.
    pub again: String,
}

/// An axis as drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AxisInfo {
    /// The path of the setting.
    pub path: String,
    /// What sort of value.
    pub unit: Unit,
    /// Steps are equal factors.
    pub geometric: bool,
    /// The values: seconds, per second, or plain.
    pub values: Vec<f64>,
    /// The values as a file would have them.
    pub written: Vec<String>,
}

impl AxisInfo {
    /// Of an axis.
    pub fn of(axis: &Axis) -> AxisInfo {
        AxisInfo {
            path: axis.path.clone(),
            unit: axis.unit,
            geometric: axis.geometric,
            values: axis.values.clone(),
            written: (0..axis.values.len()).map(|i| axis.text(i)).collect(),
        }
    }
}

/// A share of seeds with its 95 % interval (Clopper-Pearson).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Seeds {
    /// Seeds that did.
    pub k: u64,
    /// Seeds.
    pub n: u64,
    /// Lower bound of the share.
    pub low: f64,
    /// Upper bound of the share.
    pub high: f64,
}

impl Seeds {
    /// `k` of `n`.
    pub fn of(k: u64, n: u64) -> Seeds {
        let (low, high) = clopper_pearson(k, n, 0.95);
        Seeds { k, n, low, high }
    }
}

/// A measured point of a map.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MapPoint {
    /// Place on the horizontal axis, from 0.
    pub x: usize,
    /// Place on the vertical axis, from 0 at the bottom.
    pub y: usize,
    /// What it is called.
    pub class: Class,
    /// Seeds that were well at the end, with the point's trigger.
    pub well: Seeds,
    /// Seeds that were neither well at the end nor down for good: still recovering.
    pub still_recovering: u64,
    /// Seeds that were well at the end without any trigger, where that was asked.
    pub well_without_trigger: Option<Seeds>,
    /// Seeds that were well at the end with the longest trigger, where that was asked.
    pub well_after_longest: Option<Seeds>,
    /// Why it is not tested; empty otherwise.
    pub reasons: Vec<String>,
}

/// A map of two settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MapResult {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Of what.
    pub about: About,
    /// The horizontal axis.
    pub x: AxisInfo,
    /// The vertical axis.
    pub y: AxisInfo,
    /// What "a longer trigger" means here, in seconds; none for incidents without a trigger that ends.
    pub longest_trigger_s: Option<f64>,
    /// The class of every point of the grid, row by row from the bottom: measured, or that of the cell around
    /// it. None where an interruption left nothing known.
    pub classes: Vec<Vec<Option<Class>>>,
    /// The measured points, in order of x, then y.
    pub points: Vec<MapPoint>,
    /// Simulations that were made.
    pub runs: u64,
    /// Simulations that the same grid would have cost at its first look alone.
    pub runs_of_full_grid: u64,
    /// Interrupted before it was done.
    pub partial: bool,
}

/// A measured place of a threshold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ThresholdPoint {
    /// The value: seconds, per second, or plain.
    pub value: f64,
    /// The value as a file would have it.
    pub written: String,
    /// Seeds that were well at the end.
    pub well: Seeds,
    /// Seeds that were neither well at the end nor down for good.
    pub still_recovering: u64,
    /// `recovers`, `stays down`, or empty where the seeds do not tell.
    pub shown: String,
    /// Reasons against it.
    pub reasons: Vec<String>,
}

/// Where the share of seeds crosses one half.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    /// Whether it recovers below.
    pub recovers_below: bool,
    /// Neighbouring values between which the share that was seen crosses one half.
    pub bracket: [f64; 2],
    /// The same as a file would have them.
    pub bracket_written: [String; 2],
    /// Up to the first it is shown how it ends below, from the second on how it ends above.
    pub interval: [f64; 2],
    /// The same as a file would have them.
    pub interval_written: [String; 2],
}

/// A search along one setting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ThresholdResult {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Of what.
    pub about: About,
    /// The path of the setting.
    pub path: String,
    /// What sort of value.
    pub unit: Unit,
    /// The precision asked for, as written.
    pub precision: String,
    /// What was found; none if it was refused, with the reason in `refused`.
    pub found: Option<Threshold>,
    /// Why nothing was found; empty otherwise.
    pub refused: String,
    /// What speaks against what was found.
    pub warnings: Vec<String>,
    /// The measured places, rising.
    pub points: Vec<ThresholdPoint>,
    /// Simulations that were made.
    pub runs: u64,
    /// Simulations that measuring every place would have cost, at its first look alone.
    pub runs_of_every_place: u64,
    /// Interrupted before it was done.
    pub partial: bool,
}
