//! A run as time series of Prometheus, under the names of the catalogue: as if it had been scraped every second while
//! it happened. From what a run leaves (`result.json`, `series.ndjson`) to samples, and from samples to bytes.
//!
//! Nothing here opens a file, asks a server or knows what time it is: when the run shall have been is an argument. In
//! memory is never more than a minute of it, and what [`openmetrics`] is told to hold.
//!
//! # Layout
//!
//! - `frames`: second by second, the samples of all series; `series`: which series there are
//! - `remote_write`: the same as requests of Prometheus' remote write
//! - `openmetrics`: the same as a file for `promtool tsdb create-blocks-from openmetrics`

mod frames;
mod openmetrics;
mod remote_write;
mod series;

use std::fmt;

use pumphandle_core::catalogue::LIVE;
use pumphandle_experiment::result::{RunResult, SCHEMA};

pub use frames::{Extent, Frame, Frames, Sample, extent};
pub use openmetrics::openmetrics;
pub use remote_write::{Batch, Batches};
pub use series::Series;

/// How long the run is shown as ended, in seconds: verdict and shares are known only then.
pub const TAIL: u32 = 60;

/// The most seconds that a recording may have: a year.
const LONGEST: f64 = 366.0 * 86_400.0;

/// Why a recording cannot be made.
#[derive(Debug)]
pub enum Unreadable {
    /// The file could not be read.
    Io(std::io::Error),
    /// `result.json` is not that of a run.
    Result(String),
    /// A line of `series.ndjson`, counted from 1, and what is wrong with it.
    Line(u64, String),
    /// `series.ndjson` ends too early: at which second, and of how many.
    Short(u32, u32),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unreadable::Io(error) => write!(f, "{error}"),
            Unreadable::Result(why) => write!(f, "result.json: {why}"),
            Unreadable::Line(line, why) => write!(f, "series.ndjson, line {line}: {why}"),
            Unreadable::Short(at, of) => {
                write!(f, "series.ndjson ends at {at} s, and the run at {of} s: the file was cut off")
            }
        }
    }
}

impl std::error::Error for Unreadable {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Unreadable::Io(error) => Some(error),
            _ => None,
        }
    }
}

/// Reads a `result.json`.
///
/// # Errors
///
/// [`Unreadable::Result`], if it is none of a run, or one of another version.
pub fn result(text: &str) -> Result<RunResult, Unreadable> {
    let refuse = |why: String| Err(Unreadable::Result(why));
    let result: RunResult = match serde_json::from_str(text) {
        Ok(result) => result,
        Err(error) => return refuse(format!("it is not what `pumphandle run` writes: {error}")),
    };
    if result.schema != SCHEMA {
        return refuse(format!("it has schema {}, and this version reads {SCHEMA}", result.schema));
    }
    let end = result.windows_s.end;
    if !(0.0..=LONGEST).contains(&end) {
        return refuse(format!("a run of {end} s is none"));
    }
    let mut names: Vec<&str> = result.arms.iter().map(|arm| arm.arm.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    if result.seeds.is_empty() || names.is_empty() || names.len() != result.arms.len() {
        return refuse("it has no seed, no arm, or two arms of one name".to_owned());
    }
    Ok(result)
}

/// Why a run cannot be called so; none if it can.
pub fn misnamed(name: &str) -> Option<String> {
    if name == LIVE {
        return Some(format!("`{LIVE}` is what is scraped: a recording needs another name"));
    }
    let plain = |c: char| !c.is_control() && !"{},".contains(c);
    if name.is_empty() || name.len() > 100 || !name.chars().all(plain) {
        return Some(format!(
            "`{}` is no name for a run: 1 to 100 bytes, no {{ }} or comma",
            name.escape_debug()
        ));
    }
    None
}
