//! From a file's text to a scenario that can run, or to everything that is wrong with it at once.

use std::collections::BTreeMap;

use pumphandle_policy::Policies;
use pumphandle_stack::ServiceSettings;
use sha2::{Digest, Sha256};

use crate::claims::ClaimBody;
use crate::document::{Document, Part, Path, Problems, Segment, Style};
use crate::scenario::{Scenario, check};

pub use super::schema::{formats, schema, schema_text};

/// A scenario that can run.
#[derive(Clone, Debug)]
pub struct Checked {
    /// What the file says.
    pub scenario: Scenario,
    /// The file as a person would open it.
    pub file: String,
    /// SHA-256 of its bytes, in hex.
    pub sha256: String,
    /// The line of each claim, by its place.
    claim_lines: BTreeMap<usize, u32>,
}

impl Checked {
    /// The claims: sentence, body, line.
    pub fn claims(&self) -> impl Iterator<Item = (&str, &ClaimBody, u32)> {
        self.scenario.claims.iter().enumerate().flat_map(|(i, claim)| {
            let line = self.claim_lines.get(&i).copied().unwrap_or(0);
            claim.iter().map(move |(sentence, body)| (sentence.as_str(), body, line))
        })
    }
}

impl Checked {
    /// Leaves out the claims whose sentence `keep` refuses.
    pub fn keep_claims(&mut self, keep: impl Fn(&str) -> bool) {
        self.scenario.claims.iter_mut().for_each(|claim| claim.retain(|sentence, _| keep(sentence)));
    }
}

/// Why a scenario cannot run, as a person should see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CannotRun(pub String);

impl std::fmt::Display for CannotRun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CannotRun {}

/// Reads a scenario file. `name` is the file as a person would open it.
///
/// # Errors
///
/// Every problem, with file, line and what would be right.
pub fn read(name: &str, text: &str, style: Style) -> Result<Checked, CannotRun> {
    let document = Document::parse(name, text).map_err(|unreadable| CannotRun(unreadable.render(style)))?;
    let refuse = |problems: Problems| CannotRun(problems.render(&document, style));
    let scenario: Scenario =
        document.read(schema(), &formats()).map_err(|problems| refuse(policies_apart(problems)))?;
    let problems = check::check_in(&scenario, &document);
    if !problems.is_empty() {
        return Err(refuse(problems));
    }
    let claim_lines = (0..scenario.claims.len())
        .map(|i| (i, document.line(&Path::root().join("claims").join(i))))
        .collect();
    let sha256 = Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Checked { scenario, file: name.to_owned(), sha256, claim_lines })
}

/// Policies stand in a service's `with`, its own settings beside it: tells who mistook one for the other.
fn policies_apart(mut problems: Problems) -> Problems {
    for problem in problems.iter_mut() {
        let keys: Vec<&str> = problem
            .path
            .segments()
            .iter()
            .map(|segment| if let Segment::Key(key) = segment { key.as_str() } else { "" })
            .collect();
        match keys.as_slice() {
            ["services", _, name] if problem.part == Part::Key && Policies::NAMES.contains(name) => {
                problem.help = Some(format!("it is a policy: put it into `with`, as with: {{ {name}: … }}"));
            }
            ["services", _, "with", name] if ServiceSettings::FIELDS.contains(name) => {
                problem.help =
                    Some(format!("`{name}` is a setting of the service itself: put it beside `with`"));
            }
            _ => {}
        }
    }
    problems
}

/// The parts of a scenario in which every number is somebody's decision.
pub(crate) const DECIDED: [&str; 12] = [
    "slo",
    "duration",
    "pull",
    "load",
    "services",
    "autoscalers",
    "team",
    "sampling",
    "reference",
    "settling",
    "timeline",
    "levers",
];

/// The numbers of a scenario file that carry no `# why:`. The project's own scenarios must have none: a
/// number without a reason cannot be told from one that was tuned until the story came out right.
/// The level of a lever is not one of them: it names a rung.
pub fn without_why(document: &Document) -> Vec<Path> {
    let decided = |path: &Path| match path.segments().first() {
        Some(Segment::Key(part)) => DECIDED.contains(&part.as_str()),
        _ => false,
    };
    let names_a_rung =
        |path: &Path| path.segments().len() == 3 && matches!(path.last_key(), Some("level" | "also_level"));
    let mut numbers = document.numbers();
    numbers.retain(|path| decided(path) && !names_a_rung(path) && document.why(path).is_none());
    numbers
}
