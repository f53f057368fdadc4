//! Everything that levers and `--set` can change while a scenario runs: settings of services, of the controllers of
//! their replicas, and of a team. It only tells the one from the other, by the first word of a path.

use indexmap::IndexMap;
use pumphandle_stack::StackSettings;
use serde_json::Value;

use super::autoscalers::{self, Autoscalers};
use super::paths;
use super::team::{self, Team};
use crate::document::{Document, Path, Problems};

/// What was changed, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Services, in the order in which they are first named.
    pub services: Vec<String>,
    /// Controllers.
    pub autoscalers: Vec<String>,
    /// The team.
    pub team: bool,
}

/// Puts every value at its path, all at once.
///
/// # Errors
///
/// Problems whose paths start with the changed path as one key. Nothing is changed then.
pub fn set_all(
    services: &mut StackSettings,
    autoscalers: &mut Autoscalers,
    team: &mut Option<Team>,
    changes: &IndexMap<String, Value>,
) -> Result<Changed, Problems> {
    let document = Document::from_value(Value::Object(changes.clone().into_iter().collect()));
    set_all_of(services, autoscalers, team, changes, &document, &Path::root())
}

/// [`set_all`] for changes that stand at `place` of `document`, where their problems are reported.
///
/// # Errors
///
/// As [`set_all`].
pub fn set_all_of(
    services: &mut StackSettings,
    autoscalers: &mut Autoscalers,
    team: &mut Option<Team>,
    changes: &IndexMap<String, Value>,
    document: &Document,
    place: &Path,
) -> Result<Changed, Problems> {
    let of_services: IndexMap<String, Value> =
        changes.iter().filter(|(path, _)| is_of_service(path)).map(|(k, v)| (k.clone(), v.clone())).collect();
    let mut now = services.clone();
    let changed = paths::set_all_of(&mut now, &of_services, document, place)?;
    // A controller is checked against the services as they are with the same change.
    let mut scalers = autoscalers.clone();
    let controllers = autoscalers::set_all_of(&mut scalers, &now, changes, place)?;
    let team = team::set_all_of(team, &now, changes, place)?;
    (*services, *autoscalers) = (now, scalers);
    Ok(Changed { services: changed, autoscalers: controllers, team })
}

/// The value at `path`, in words; `-` where there is none.
pub fn show(services: &StackSettings, autoscalers: &Autoscalers, team: Option<&Team>, path: &str) -> String {
    match path {
        _ if autoscalers::is_path(path) => autoscalers::show(autoscalers, path),
        _ if team::is_path(path) => team::show(team, path),
        _ => paths::show(services, path),
    }
}

/// Whether `path` is that of a service's setting.
fn is_of_service(path: &str) -> bool {
    !autoscalers::is_path(path) && !team::is_path(path)
}
