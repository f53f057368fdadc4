//! The causal loops of a scenario and what their variables are measured by: what can be written, and what is
//! wrong with it. It measures nothing; that is [`crate::loops`].

use pumphandle_core::meter::{Flow, StockName};
use pumphandle_stack::StackSettings;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::paths::{Sentence, unknown};
use crate::document::{Part, Path, Problem, Problems};
use crate::scenario::Scenario;

/// A causal loop: variables and signs, as `load (+) latency (+) timeouts (+) retries (+)`; each sign is that
/// of the link to the next variable, the last one leads back to the first. A loop called R1, R2, .. has to
/// reinforce (an even number of minus signs), one called B1, B2, .. to balance (an odd number).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Loop {
    /// In a few words.
    pub title: String,
    /// The variables with the signs of their links, two at least: `- load (+)`.
    pub links: Vec<String>,
}

impl Loop {
    /// Variables and signs; `None` if a link is not written as `variable (+)` or `variable (-)`.
    pub fn parse(&self) -> Option<Vec<(String, char)>> {
        self.links.iter().map(|link| Loop::link(link)).collect()
    }

    fn link(link: &str) -> Option<(String, char)> {
        let (name, sign) = link.trim().rsplit_once(' ')?;
        let sign = match sign {
            "(+)" => '+',
            "(-)" => '-',
            _ => return None,
        };
        Some((name.trim().to_owned(), sign))
    }
}

/// Whether links of these signs reinforce: an even number of minus signs. What goes round comes back with the
/// sign it had.
pub fn reinforces(signs: impl IntoIterator<Item = char>) -> bool {
    signs.into_iter().filter(|sign| *sign == '-').count() % 2 == 0
}

/// What a variable of a loop is measured by, of one service (by its place in the scenario).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// `service.flow`: how many, over a stretch of the run.
    Flow(usize, Flow),
    /// `service.stock`: its level, summed over time (item-seconds).
    Level(usize, StockName),
    /// `service.stock.time`: the mean time spent in a stock, by Little's law: level over outflow.
    Time(usize, StockName),
}

impl Source {
    /// The one that is written as `text`.
    ///
    /// # Errors
    ///
    /// A sentence about what is wrong with it, and what would be right.
    pub fn find(services: &StackSettings, text: &str) -> Result<Source, Sentence> {
        let mut parts = text.split('.');
        let service = parts.next().unwrap_or_default();
        let Some(i) = services.get_index_of(service) else {
            return Err(unknown("service", service, services.keys().map(String::as_str)));
        };
        let flows = Flow::ALL.iter().map(|flow| flow.name());
        let stocks = StockName::ALL.iter().map(|stock| stock.name());
        match (parts.next(), parts.next(), parts.next()) {
            (Some(name), None, None) => match (Flow::from_name(name), StockName::from_name(name)) {
                (Some(flow), _) => Ok(Source::Flow(i, flow)),
                (_, Some(stock)) => Ok(Source::Level(i, stock)),
                _ => Err(unknown("flow or stock", name, stocks.chain(flows))),
            },
            (Some(name), Some("time"), None) => match StockName::from_name(name) {
                Some(stock) => Ok(Source::Time(i, stock)),
                None => Err(unknown("stock", name, stocks)),
            },
            _ => Err((
                format!("`{text}` names nothing that is measured"),
                Some("write service.flow, service.stock or service.stock.time".to_owned()),
            )),
        }
    }

    /// In what its changes are counted.
    pub fn unit(self) -> &'static str {
        match self {
            Source::Flow(_, Flow::BusyNanos | Flow::WastedNanos | Flow::CpuNanos) => "ns",
            Source::Flow(..) => "",
            Source::Level(..) => "item s",
            Source::Time(..) => "s",
        }
    }

    /// How many each user adds to it as long as nothing else changes, retries not counted: of a stock, how
    /// many times he enters it. `None` of what users do not add to directly.
    pub fn per_user(self, services: &StackSettings) -> Option<f64> {
        let visits = |i: usize| visits(services, i);
        let calls = |i: usize| visits(i) * services[i].calls.names().len() as f64;
        let per_user = match self {
            Source::Flow(i, Flow::Arrived) => visits(i),
            Source::Flow(i, Flow::Calls | Flow::Attempts) => calls(i),
            Source::Level(i, StockName::Inside | StockName::Queue | StockName::Working) => visits(i),
            Source::Level(i, StockName::InService) => visits(i),
            Source::Level(i, StockName::Waiting | StockName::PoolActive) => calls(i),
            _ => return None,
        };
        (per_user > 0.0).then_some(per_user)
    }
}

/// How often one user reaches service `i`, without retries. The graph of calls has no circle: that is checked
/// before.
fn visits(services: &StackSettings, i: usize) -> f64 {
    if i == 0 {
        return 1.0;
    }
    let Some((name, _)) = services.get_index(i) else { return 0.0 };
    let callers = services.values().enumerate();
    let times = |calls: &[String]| calls.iter().filter(|callee| *callee == name).count();
    callers
        .map(|(j, caller)| (j, times(caller.calls.names())))
        .filter(|(j, times)| *times > 0 && *j != i)
        .map(|(j, times)| visits(services, j) * times as f64)
        .sum()
}

/// What is wrong with the loops and variables. `services_are_right`: variables can be looked up.
pub(super) fn check(scenario: &Scenario, services_are_right: bool, problems: &mut Problems) {
    for (name, it) in &scenario.loops {
        let at = Path::from(["loops", name]);
        let links = at.join("links");
        if it.links.len() < 2 {
            problems.at_value(&links, "a loop has two links at least");
        }
        for (i, _) in it.links.iter().enumerate().filter(|(_, link)| Loop::link(link).is_none()) {
            problems.at_value(&links.join(i), "a link is written as `variable (+)` or `variable (-)`");
        }
        if let Some(parsed) = it.parse() {
            polarity(name, &parsed, &at, problems);
            variables_of(scenario, &parsed, &links, services_are_right, problems);
        }
    }
    for (name, source) in &scenario.variables {
        let at = Path::from(["variables", name]);
        let mut loops = scenario.loops.values().filter_map(Loop::parse).flatten();
        if !loops.any(|(variable, _)| variable == *name) {
            problems.at_key(&at, format!("no loop has a variable `{name}`"));
        }
        if services_are_right && let Err((message, help)) = Source::find(&scenario.services, source) {
            problems.push(Problem { path: at, part: Part::Value, span: None, message, help });
        }
    }
}

/// The letter of a loop's name against its signs.
fn polarity(name: &str, links: &[(String, char)], at: &Path, problems: &mut Problems) {
    let said = match name.split_at_checked(1) {
        Some(("R", number)) if is_number(number) => true,
        Some(("B", number)) if is_number(number) => false,
        _ => return,
    };
    let minus = links.iter().filter(|(_, sign)| *sign == '-').count();
    if reinforces(links.iter().map(|(_, sign)| *sign)) == said {
        return;
    }
    let signs = if minus == 1 { "1 minus sign".to_owned() } else { format!("{minus} minus signs") };
    let (does, letter) =
        if said { ("an odd number, balances", "B") } else { ("an even number, reinforces", "R") };
    let message = format!("a loop with {signs}, {does}: `{name}` says that it does not");
    problems.at_key(at, message).help(format!("call it {letter}{}, or look at the signs again", &name[1..]));
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_digit())
}

/// Either all variables of a loop are measured, or none: half a loop has no gain.
fn variables_of(
    scenario: &Scenario,
    links: &[(String, char)],
    at: &Path,
    services_are_right: bool,
    problems: &mut Problems,
) {
    let known = |name: &str| scenario.variables.contains_key(name);
    if !links.iter().any(|(name, _)| known(name)) {
        return;
    }
    for (i, (name, _)) in links.iter().enumerate().filter(|(_, (name, _))| !known(name)) {
        let (message, help) = unknown("variable", name, scenario.variables.keys().map(String::as_str));
        problems.at_value(&at.join(i), message);
        let rule = "of a loop, all variables are measured or none";
        problems.help(help.map_or(rule.to_owned(), |help| format!("{help}; {rule}")));
    }
    let first = links.first().and_then(|(name, _)| scenario.variables.get(name));
    if services_are_right
        && let Some(source) = first.and_then(|source| Source::find(&scenario.services, source).ok())
        && source.per_user(&scenario.services).is_none()
    {
        let message = "loops are measured by a few more users, who add nothing to this one directly";
        problems.at_value(&at.join(0), message);
        problems.help("begin the loop at a variable like client.attempts, api.arrived or api.queue");
    }
}
