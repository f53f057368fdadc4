//! Everything that levers and `--set` can change while a scenario runs: settings of services, and of the controllers of
//! their replicas. It only tells the one from the other, by the first word of a path.

use indexmap::IndexMap;
use pumphandle_stack::StackSettings;
use serde_json::Value;

use super::autoscalers::{self, Autoscalers, is_path};
use super::paths;
use crate::document::{Document, Path, Problems};

/// What was changed, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Services, in the order in which they are first named.
    pub services: Vec<String>,
    /// Controllers.
    pub autoscalers: Vec<String>,
}

/// Puts every value at its path, all at once.
///
/// # Errors
///
/// Problems whose paths start with the changed path as one key. Nothing is changed then.
pub fn set_all(
    services: &mut StackSettings,
    autoscalers: &mut Autoscalers,
    changes: &IndexMap<String, Value>,
) -> Result<Changed, Problems> {
    let document = Document::from_value(Value::Object(changes.clone().into_iter().collect()));
    set_all_of(services, autoscalers, changes, &document, &Path::root())
}

/// [`set_all`] for changes that stand at `place` of `document`, where their problems are reported.
///
/// # Errors
///
/// As [`set_all`].
pub fn set_all_of(
    services: &mut StackSettings,
    autoscalers: &mut Autoscalers,
    changes: &IndexMap<String, Value>,
    document: &Document,
    place: &Path,
) -> Result<Changed, Problems> {
    let of_services: IndexMap<String, Value> =
        changes.iter().filter(|(path, _)| !is_path(path)).map(|(k, v)| (k.clone(), v.clone())).collect();
    let mut now = services.clone();
    let changed = paths::set_all_of(&mut now, &of_services, document, place)?;
    // A controller is checked against the services as they are with the same change.
    let controllers = autoscalers::set_all_of(autoscalers, &now, changes, place)?;
    *services = now;
    Ok(Changed { services: changed, autoscalers: controllers })
}

/// The value at `path`, in words; `-` where there is none.
pub fn show(services: &StackSettings, autoscalers: &Autoscalers, path: &str) -> String {
    if is_path(path) { autoscalers::show(autoscalers, path) } else { paths::show(services, path) }
}
