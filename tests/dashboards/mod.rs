//! What is checked of Grafana's dashboards without Grafana: their shape, their conventions, their queries against the
//! catalogue of metrics; and, with a Prometheus at hand, every query's answer. It reads JSON as Grafana would and knows
//! nothing of the generator, so that what somebody mends by hand is held to the same.
//!
//! # Layout
//!
//! - [`queries`]: everything that a dashboard asks
//! - [`promql`]: a query read: which metrics it uses, and how
//! - [`shape`]: Grafana's own schema; [`known`]: names that the schema leaves open
//! - [`lint`]: the rules, each with a name
//! - [`ask`]: all queries, asked; [`prometheus`]: the server at the other end; [`empty`]: what may have no answer

pub mod ask;
pub mod empty;
pub mod known;
pub mod lint;
pub mod prometheus;
pub mod promql;
pub mod queries;
pub mod shape;

use std::path::{Path, PathBuf};

use serde_json::Value;

/// A dashboard as it is committed.
#[derive(Clone, Debug)]
pub struct Board {
    /// Its file's name.
    pub file: String,
    /// What is in it.
    pub json: Value,
}

/// The folder of the committed dashboards.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../dashboards")
}

/// The committed dashboards, in the order of their names.
///
/// # Errors
///
/// A sentence, if one cannot be read or is no JSON.
pub fn committed() -> Result<Vec<Board>, String> {
    let unreadable = |error: std::io::Error| format!("{}: {error}", folder().display());
    let entries = std::fs::read_dir(folder()).map_err(unreadable)?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "json"));
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

fn read(path: &Path) -> Result<Board, String> {
    let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let text = std::fs::read_to_string(path).map_err(|error| format!("{file}: {error}"))?;
    let json = serde_json::from_str(&text).map_err(|error| format!("{file}: {error}"))?;
    Ok(Board { file, json })
}

/// Panels of a dashboard in their order, those folded away in rows too; and rows themselves.
pub fn panels(board: &Value) -> Vec<&Value> {
    let mut all = Vec::new();
    for panel in list(&board["panels"]) {
        all.push(panel);
        all.extend(list(&panel["panels"]));
    }
    all
}

/// The elements of an array; of anything else none.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Text; of anything else none.
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
