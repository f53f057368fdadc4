//! What the shape of a scenario file cannot refuse: names that do not exist, times in the wrong order,
//! levers that would change nothing, claims about arms that are never run.

use std::collections::BTreeMap;

use pumphandle_core::Dur;
use pumphandle_core::meter::{Flow, StockName};
use pumphandle_stack::ServiceSettings;
use pumphandle_stack::settings::{StackSettings, callees_first, check_graph};

use super::knobs;
use super::paths::{Sentence, below, unknown};
use crate::claims::{ClaimBody, ComesBack, Measure, Quantity, State, Window};
use crate::document::{Document, Part, Path, Problem, Problems};
use crate::loops::{Phase, nudges};
use crate::plan::REFERENCE;
use crate::scenario::levers::{Kill, Lever, Restart};
use crate::scenario::triggers::Does;
use crate::scenario::{Kind, Mode, Reference, Scenario, autoscalers, loops, team};

/// The most services of one stack: the event log numbers them in one byte.
pub const MAX_SERVICES: usize = 100;
/// The most calls that one user may cause, retries not counted. Services that call several others multiply.
pub const MAX_CALLS: u64 = 10_000;
/// The most samples of one arm and seed: as many as 31 days have seconds.
pub const MAX_SAMPLES: usize = 31 * 86_400;
/// The most users of one arm and seed: beyond it nobody would wait for the end.
pub const MAX_ARRIVALS: f64 = 1e8;

/// Everything wrong with `scenario`, by path only.
pub fn check(scenario: &Scenario) -> Problems {
    let value = serde_json::to_value(scenario).expect("scenarios are plain data");
    check_in(scenario, &Document::from_value(value))
}

/// Everything wrong with `scenario`, which was read from `document`.
pub fn check_in(scenario: &Scenario, document: &Document) -> Problems {
    let mut problems = Problems::new();
    services(scenario, &mut problems);
    // Levers change services: on services that are wrong they would only repeat it.
    let services_are_right = problems.is_empty();
    load(scenario, &mut problems);
    times(scenario, &mut problems);
    triggers(scenario, &mut problems);
    for (name, it) in &scenario.levers {
        lever(scenario, name, it, &mut problems);
        if services_are_right {
            changes(scenario, it, &place(["levers", name]), document, &mut problems);
        }
    }
    if services_are_right {
        autoscalers::check(&scenario.autoscalers, &scenario.services, &mut problems);
        if let Some(team) = &scenario.team {
            team::check(team, &scenario.services, &mut problems);
        }
        if let Some(reference) = &scenario.reference {
            is_set(scenario, reference, document, &mut problems);
        }
    }
    sampling(scenario, &mut problems);
    cost(scenario, &mut problems);
    all_levers(scenario, &mut problems);
    loops::check(scenario, services_are_right, &mut problems);
    claims(scenario, &mut problems);
    problems
}

fn place<const N: usize>(segments: [&str; N]) -> Path {
    Path::from(segments)
}

fn report(problems: &mut Problems, path: Path, part: Part, (message, help): Sentence) {
    problems.push(Problem { path, part, span: None, message, help });
}

fn no_service(scenario: &Scenario, name: &str) -> Sentence {
    unknown("service", name, scenario.services.keys().map(String::as_str))
}

/// Names are parts of paths, of arms and of files.
fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(fits)
}

const NAMES: &str = "a name is made of letters, digits, hyphens and underscores";

fn services(scenario: &Scenario, problems: &mut Problems) {
    let services = &scenario.services;
    let root = place(["services"]);
    if services.is_empty() {
        problems.at_value(&root, "there is no service: users need one to reach");
    }
    if services.len() > MAX_SERVICES {
        let message = format!("a stack has at most {MAX_SERVICES} services, this one {}", services.len());
        problems.at_value(&root, message);
    }
    for (name, service) in services {
        if !is_name(name) {
            problems.at_key(&root.join(name), NAMES);
        }
        if name == autoscalers::PREFIX {
            problems.at_key(&root.join(name), "paths that begin like this are those of autoscalers");
        }
        if name == team::PREFIX {
            problems.at_key(&root.join(name), "paths that begin like this are those of a team");
        }
        for wrong in service.check() {
            problems.at_value(&below(root.join(name), &wrong.path), wrong.message);
        }
        for (setting, sentence) in unknown_classes(scenario, service) {
            report(problems, root.join(name).join(setting), Part::Value, sentence);
        }
    }
    if problems.is_empty() {
        calls(services, &root, problems);
    }
}

/// The settings of `service` that name a class of requests that the load does not have.
fn unknown_classes(scenario: &Scenario, service: &ServiceSettings) -> Vec<(&'static str, Sentence)> {
    let classes = &scenario.load.classes;
    let strange = service.named_classes().filter(|(_, class)| !classes.contains_key(*class));
    strange
        .map(|(setting, class)| (setting, unknown("class", class, classes.keys().map(String::as_str))))
        .collect()
}

fn calls(services: &StackSettings, root: &Path, problems: &mut Problems) {
    for wrong in check_graph(services) {
        let missing = wrong.message.strip_prefix("no such service: `").and_then(|it| it.strip_suffix('`'));
        let sentence = match missing {
            Some(name) => unknown("service", name, services.keys().map(String::as_str)),
            None => (wrong.message, None),
        };
        let part = if wrong.path.contains('.') { Part::Value } else { Part::Key };
        report(problems, below(root.clone(), &wrong.path), part, sentence);
    }
    let Ok(order) = callees_first(services) else { return };
    let mut cost: BTreeMap<&str, u64> = BTreeMap::new();
    for (name, service) in order.iter().filter_map(|name| services.get_key_value(name)) {
        // A route may replace any of its calls by the dearest of those that stand by.
        let standby = service.standby.names().iter().filter_map(|callee| cost.get(callee.as_str()).copied());
        let dearest = standby.max().unwrap_or(0);
        let inner = service.calls.names().iter().filter_map(|callee| cost.get(callee.as_str()));
        cost.insert(name, inner.fold(1, |all, one| all.saturating_add(*one.max(&dearest))));
    }
    if let Some((entry, &all)) = services.keys().next().and_then(|entry| cost.get_key_value(entry.as_str()))
        && all > MAX_CALLS
    {
        let message = format!("one user would cause {all} calls; at most {MAX_CALLS} can be run");
        problems.at_value(&root.join(*entry).join("calls"), message);
    }
}

fn load(scenario: &Scenario, problems: &mut Problems) {
    let root = place(["load"]);
    for class in scenario.load.classes.keys().filter(|class| !is_name(class)) {
        problems.at_key(&root.join("classes").join(class), NAMES);
    }
    for (at, message) in scenario.load.check() {
        problems.at_value(&below(root.clone(), &at), message);
    }
    let changes = &scenario.load.changes;
    for (i, change) in changes.iter().enumerate().filter(|(_, change)| change.at >= scenario.duration) {
        let message = format!("begins at {}, when the run of {} is over", change.at, scenario.duration);
        problems.at_value(&root.join("changes").join(i).join("at"), message);
    }
    let base = scenario.load.base_rate();
    if base == Some(0.0) && !changes.is_empty() && changes.iter().all(|change| change.to.0 == 0.0) {
        problems.at_value(&root.join("changes"), "nobody would ever arrive");
    }
    for (i, group) in scenario.load.listed().unwrap_or_default().iter().enumerate() {
        if group.at >= scenario.duration {
            let message = format!("is at {}, when the run of {} is over", group.at, scenario.duration);
            problems.at_value(&root.join("arrivals").join("listed").join(i).join("at"), message);
        }
    }
    let listed = scenario.load.listed().map(|groups| groups.iter().map(|group| f64::from(group.count)).sum());
    let arrivals = listed.unwrap_or_else(|| base.unwrap_or(0.0) * scenario.duration.secs_f64());
    if arrivals > MAX_ARRIVALS {
        let message = format!("about {arrivals:e} users would arrive; at most {MAX_ARRIVALS:e} can be run");
        problems.at_value(&root.join("arrivals"), message);
    }
}

fn times(scenario: &Scenario, problems: &mut Problems) {
    let root = Path::root();
    let valid = is_name(&scenario.scenario)
        && !scenario.scenario.contains(|c: char| c == '_' || c.is_ascii_uppercase());
    if !valid {
        problems.at_value(&root.join("scenario"), "a name is made of lower-case letters, digits and hyphens");
    }
    if scenario.duration.secs_f64() < 1.0 {
        problems.at_value(&root.join("duration"), "a run lasts at least 1s");
    }
    if scenario.samples() > MAX_SAMPLES {
        let message = match scenario.step_s() {
            1 => "a run lasts at most 31d",
            _ => "a run has at most 2678400 samples: make `sampling` longer",
        };
        problems.at_value(&root.join("duration"), message);
    }
    if scenario.slo.latency.0.is_zero() {
        problems.at_value(&place(["slo", "latency"]), "every answer takes some time: an SLO is above 0s");
    }
    if let Some(pull) = scenario.pull
        && pull >= scenario.duration
    {
        let message = format!("levers are pulled at {pull}, when the run of {} is over", scenario.duration);
        problems.at_value(&root.join("pull"), message);
    }
    match scenario.trigger_window() {
        None if matches!(scenario.kind, Kind::Pulse | Kind::Sustained) => {
            let message = format!("a {} incident has a trigger: there is none", scenario.kind.name());
            problems.at_value(&root.join("kind"), message).help("add one to the timeline");
        }
        Some((_, None)) if scenario.kind == Kind::Pulse => {
            for (i, _) in scenario.timeline.iter().enumerate().filter(|(_, it)| it.lasts.is_none()) {
                let message = "the trigger of a pulse has an end: add `for`";
                problems.at_key(&root.join("timeline").join(i).join("trigger"), message);
                problems.help("or make the kind `sustained`");
            }
        }
        _ => {}
    }
}

fn triggers(scenario: &Scenario, problems: &mut Problems) {
    for (i, trigger) in scenario.timeline.iter().enumerate() {
        let place = place(["timeline"]).join(i);
        if trigger.from >= scenario.duration {
            let message =
                format!("begins at {}, when the run of {} is over", trigger.from, scenario.duration);
            problems.at_value(&place.join("from"), message);
        } else if let Some(end) = trigger.end().filter(|end| *end > scenario.duration.0) {
            let message = format!("ends at {}, after the run of {}", Dur(end), scenario.duration);
            problems.at_value(&place.join("for"), message);
        }
        if trigger.lasts.is_some_and(|lasts| lasts.0.is_zero()) {
            problems.at_value(&place.join("for"), "a trigger that lasts 0s does nothing");
        }
        if scenario.timeline[..i].iter().any(|other| other.trigger == trigger.trigger) {
            let message = format!("there are two triggers `{}`", trigger.trigger);
            problems.at_value(&place.join("trigger"), message);
        }
        does(scenario, &trigger.does, &place.join("do"), trigger.service(), problems);
    }
}

/// Everything wrong with a trigger that somebody starts by hand in a running incident.
pub fn by_hand(scenario: &Scenario, trigger: &super::Trigger) -> Problems {
    let mut problems = Problems::new();
    if trigger.lasts.is_some_and(|lasts| lasts.0.is_zero()) {
        problems.at_value(&place(["for"]), "a trigger that lasts 0s does nothing");
    }
    if !is_name(&trigger.trigger) {
        problems.at_value(&place(["trigger"]), NAMES);
    }
    does(scenario, &trigger.does, &place(["do"]), trigger.service(), &mut problems);
    problems
}

fn does(scenario: &Scenario, does: &Does, place: &Path, service: Option<&str>, problems: &mut Problems) {
    let (name, idle) = match does {
        Does::SlowDown(it) => ("slow_down", (it.factor == 1.0).then_some(("factor", "1"))),
        Does::AddLatency(it) => ("add_latency", it.latency.0.is_zero().then_some(("latency", "0s"))),
        Does::Errors(it) => ("errors", (it.share.0 == 0.0).then_some(("share", "0"))),
        Does::Hang(it) => ("hang", (it.share.0 == 0.0).then_some(("share", "0"))),
        Does::LoseCapacity(it) => ("lose_capacity", (it.share.0 == 0.0).then_some(("share", "0"))),
        Does::TrafficSpike(it) => ("traffic_spike", (it.factor == 1.0).then_some(("factor", "1"))),
        Does::LoseReplicas(_) => ("lose_replicas", None),
        Does::Outage(_) => ("outage", None),
        Does::Restart(_) => ("restart", None),
    };
    let place = place.join(name);
    if let Some((field, value)) = idle {
        problems.at_value(&place.join(field), format!("a {field} of {value} changes nothing"));
    }
    let Some(service) = service else {
        if scenario.load.base_rate().is_none() {
            problems.at_key(&place, "these arrivals have no rate that could spike");
        }
        return;
    };
    let at_service = place.join("service");
    match (does, scenario.services.get(service)) {
        (_, None) => report(problems, at_service, Part::Value, no_service(scenario, service)),
        (Does::SlowDown(_), Some(settings))
            if settings.service_time.is_none() && settings.service_time_of.is_empty() =>
        {
            let message = format!("`{service}` has no service_time: no work of its own could be slower");
            problems.at_value(&at_service, message);
        }
        (Does::LoseCapacity(_), Some(settings)) if settings.workers.is_none() => {
            let message = format!("`{service}` has no number of workers of which it could lose some");
            problems.at_value(&at_service, message).help(format!("give services.{service} `workers`"));
        }
        _ => {}
    }
}

fn lever(scenario: &Scenario, name: &str, lever: &Lever, problems: &mut Problems) {
    let at = place(["levers", name]);
    if name == "control" {
        problems.at_key(&at, "a lever cannot be called `control`: that is the arm without one");
    } else if name == REFERENCE {
        problems.at_key(&at, "a lever cannot be called `reference`: that is the arm without the defect");
    } else if !is_name(name) {
        problems.at_key(&at, NAMES);
    }
    if lever.set.is_empty() && lever.restart.is_none() && lever.kill.is_none() && lever.then.is_empty() {
        problems.at_key(&at, format!("lever `{name}` does nothing: add `set`, `restart`, `kill` or `then`"));
    }
    let modes = at.join("modes");
    if lever.modes.is_empty() {
        problems.at_value(&modes, "a lever is tried pulled, standing, or both");
    }
    for (i, mode) in lever.modes.iter().enumerate().filter(|(i, mode)| lever.modes[..*i].contains(mode)) {
        problems.at_value(&modes.join(i), format!("it is tried {} already", mode.name()));
    }
    let pulled = lever.modes.contains(&Mode::Pulled);
    let at_once = [("restart", lever.restart.is_some()), ("kill", lever.kill.is_some())];
    for (what, _) in at_once.iter().filter(|(_, is)| *is && lever.modes.contains(&Mode::Standing)) {
        let message = format!("a {what} at the very start has nothing to {what}");
        problems.at_key(&at.join(*what), message).help("add `modes: [pulled]` to the lever");
    }
    let begins = if pulled { scenario.pull.unwrap_or_default().0 } else { Dur::default().0 };
    for (at, step) in lever.then.iter().enumerate().map(|(i, step)| (at.join("then").join(i), step)) {
        if step.set.is_empty() && step.restart.is_none() && step.kill.is_none() {
            problems.at_value(&at, "this step does nothing: add `set`, `restart` or `kill`");
        }
        let when = begins + step.after.0;
        if when >= scenario.duration.0 {
            let message = format!("happens at {}, when the run of {} is over", Dur(when), scenario.duration);
            problems.at_value(&at.join("after"), message);
        }
        acts(scenario, step.restart.as_ref(), step.kill.as_ref(), &at, problems);
    }
    acts(scenario, lever.restart.as_ref(), lever.kill.as_ref(), &at, problems);
}

/// The services that are restarted, or at which old work is ended.
fn acts(
    scenario: &Scenario,
    restart: Option<&Restart>,
    kill: Option<&Kill>,
    place: &Path,
    problems: &mut Problems,
) {
    for (what, services) in
        [("restart", restart.map(|restart| &restart.services)), ("kill", kill.map(|kill| &kill.services))]
    {
        let place = place.join(what).join("services");
        if let Some(services) = services {
            act_on(scenario, services, &place, problems);
        }
    }
}

fn act_on(scenario: &Scenario, services: &[String], place: &Path, problems: &mut Problems) {
    if services.is_empty() {
        problems.at_value(place, "which services? name at least one");
    }
    for (i, service) in services.iter().enumerate() {
        if !scenario.services.contains_key(service) {
            report(problems, place.join(i), Part::Value, no_service(scenario, service));
        }
    }
}

/// Tries every step of a lever on a copy of the services, as a run will.
fn changes(scenario: &Scenario, lever: &Lever, at: &Path, document: &Document, problems: &mut Problems) {
    let later = lever.then.iter().enumerate().map(|(i, step)| {
        let acts = step.restart.is_some() || step.kill.is_some();
        (at.join("then").join(i).join("set"), &step.set, acts)
    });
    let acts = lever.restart.is_some() || lever.kill.is_some();
    let steps = std::iter::once((at.join("set"), &lever.set, acts)).chain(later);
    let mut now = scenario.services.clone();
    let mut controllers = scenario.autoscalers.clone();
    let mut team = scenario.team.clone();
    let mut all_right = true;
    for (place, set, acts) in steps {
        let before = now.clone();
        let others_before = (controllers.clone(), team.clone());
        if let Err(wrong) = knobs::set_all_of(&mut now, &mut controllers, &mut team, set, document, &place) {
            problems.extend(wrong);
            all_right = false;
        }
        for (name, service) in now.iter().filter(|(name, service)| before.get(*name) != Some(service)) {
            for (setting, (message, help)) in unknown_classes(scenario, service) {
                let path = set.keys().find(|path| path.starts_with(&format!("{name}.{setting}")));
                let at = path.map_or(place.clone(), |path| place.join(path));
                report(problems, at, Part::Value, (message, help));
                all_right = false;
            }
        }
        // Only of a step that does nothing at all: a change may spell out what is so already.
        if all_right
            && !acts
            && now == before
            && (&controllers, &team) == (&others_before.0, &others_before.1)
        {
            for path in set.keys() {
                let is = knobs::show(&now, &controllers, team.as_ref(), path);
                let message = format!("this changes nothing: it is {is} already");
                problems.at_value(&place.join(path), message);
            }
        }
    }
}

/// Whether what the reference sets can be set.
fn is_set(scenario: &Scenario, reference: &Reference, document: &Document, problems: &mut Problems) {
    let place = place(["reference", "set"]);
    let (mut services, mut controllers) = (scenario.services.clone(), scenario.autoscalers.clone());
    let (mut team, set) = (scenario.team.clone(), &reference.set);
    if let Err(wrong) = knobs::set_all_of(&mut services, &mut controllers, &mut team, set, document, &place) {
        problems.extend(wrong);
    } else if services == scenario.services && controllers == scenario.autoscalers && team == scenario.team {
        problems.at_value(&place, "this changes nothing: the reference is the control");
    }
}

/// What a scenario may say whose samples are longer than a second.
fn sampling(scenario: &Scenario, problems: &mut Problems) {
    let (step, at) = (scenario.sampling.0, place(["sampling"]));
    if step.is_zero() || step.subsec_nanos() != 0 {
        problems.at_value(&at, "a sample is at least 1s, and whole seconds");
        return;
    }
    if step.as_secs() == 1 {
        return;
    }
    let needs_seconds =
        [("timeline", !scenario.timeline.is_empty()), ("variables", !scenario.variables.is_empty())];
    for (field, _) in needs_seconds.iter().filter(|(_, is)| *is) {
        problems.at_key(&place([field]), "this is measured second by second: `sampling` has to be 1s");
    }
    let times =
        [("duration", Some(scenario.duration)), ("pull", scenario.pull), ("settling", scenario.settling)];
    for (field, time) in times.iter().filter_map(|(field, time)| Some((*field, (*time)?))) {
        if !time.0.as_nanos().is_multiple_of(step.as_nanos()) {
            let message = format!("is not at the end of a sample: they are {} long", scenario.sampling);
            problems.at_value(&place([field]), message);
        }
    }
}

fn cost(scenario: &Scenario, problems: &mut Problems) {
    for (field, said) in [
        ("cost", scenario.cost.is_some()),
        ("settling", scenario.settling.is_some()),
        ("reference", scenario.reference.is_some()),
    ] {
        if said && scenario.kind == Kind::Pulse {
            let message = "levers against a pulse are judged by recovery and harm";
            problems.at_key(&place([field]), message).help("this is for the other kinds of incident");
        }
    }
    if let Some(settling) = scenario.settling.filter(|settling| *settling >= scenario.duration) {
        let message = format!("at {settling} the run of {} is over", scenario.duration);
        problems.at_value(&place(["settling"]), message);
    }
    let Some(cost) = &scenario.cost else { return };
    let at = place(["cost"]);
    match (&cost.service, cost.of.needs_service()) {
        (None, true) => drop(problems.at_value(&at.join("of"), "of which service? add `service`")),
        (Some(_), false) => drop(problems.at_key(&at.join("service"), "this is measured of users")),
        (Some(name), true) if !scenario.services.contains_key(name) => {
            report(problems, at.join("service"), Part::Value, no_service(scenario, name));
        }
        _ => {}
    }
}

fn all_levers(scenario: &Scenario, problems: &mut Problems) {
    let pulled: Vec<&str> = scenario
        .levers
        .iter()
        .filter(|(_, lever)| lever.modes.contains(&Mode::Pulled))
        .map(|(name, _)| name.as_str())
        .collect();
    if scenario.pull.is_none() && !pulled.is_empty() {
        problems.at_key(&place(["levers"]), "when are they pulled? the scenario has no `pull`");
        problems.help(format!("add `pull`, or `modes: [standing]` to {}", pulled.join(", ")));
    }
    for name in scenario.not_yet.keys().filter(|name| scenario.levers.contains_key(*name)) {
        problems.at_key(&place(["not_yet", name]), format!("`{name}` is among the levers too"));
    }
    if let Some(name) = &scenario.known_to_work
        && !scenario.levers.contains_key(name)
    {
        let sentence = unknown("lever", name, scenario.levers.keys().map(String::as_str));
        report(problems, place(["known_to_work"]), Part::Value, sentence);
    }
}

fn claims(scenario: &Scenario, problems: &mut Problems) {
    let mut seen = std::collections::BTreeSet::new();
    for (i, claim) in scenario.claims.iter().enumerate() {
        let place = Path::root().join("claims").join(i);
        if claim.len() != 1 {
            problems.at_value(&place, "a claim is one sentence and what it says: `- sentence: { arm: ... }`");
        }
        for (sentence, body) in claim {
            let place = place.join(sentence.as_str());
            if !seen.insert(sentence) {
                problems.at_key(&place, "this sentence is claimed twice");
            }
            one_claim(scenario, body, &place, problems);
        }
    }
}

fn one_claim(scenario: &Scenario, claim: &ClaimBody, place: &Path, problems: &mut Problems) {
    arm(scenario, &claim.arm, &place.join("arm"), problems);
    if claim.arm == "control" && !claim.verdict.is_empty() {
        problems.at_key(&place.join("verdict"), "verdicts are of levers; the control has a `state`");
    } else if claim.arm == REFERENCE && !claim.verdict.is_empty() {
        problems.at_key(&place.join("verdict"), "verdicts are of levers; the reference is what they aim at");
    }
    let about_recovery = [
        ("state", claim.state.is_some()),
        ("metastable", claim.metastable.is_some()),
        ("recovers_within", claim.recovers_within.is_some()),
    ];
    let mut said = about_recovery.iter().filter(|(_, is)| *is).map(|(field, _)| *field).peekable();
    let measures = claim.measure.is_some() || claim.comes_back.is_some();
    if said.peek().is_none() && claim.verdict.is_empty() && !measures {
        let parts = "state, metastable, recovers_within, verdict, measure or comes_back";
        problems.at_key(place, format!("says nothing: add {parts}"));
    }
    for field in said.filter(|_| scenario.kind != Kind::Pulse) {
        let message = format!("a {} incident has nothing to recover from", scenario.kind.name());
        problems.at_key(&place.join(field), message);
    }
    let down = claim.metastable == Some(true) || claim.state == Some(State::StaysDown);
    let up = claim.recovers_within.is_some() || claim.state == Some(State::Recovers);
    if down && up {
        problems.at_key(place, "says that it recovers and that it stays down");
    }
    if let Some(measure) = &claim.measure {
        one_measure(scenario, measure, &place.join("measure"), problems);
    }
    if let Some(comes_back) = &claim.comes_back {
        one_loop(scenario, comes_back, &place.join("comes_back"), problems);
    }
}

fn one_loop(scenario: &Scenario, claim: &ComesBack, place: &Path, problems: &mut Problems) {
    let parsed = scenario.loops.get(&claim.of).and_then(super::Loop::parse);
    match parsed {
        _ if !scenario.loops.contains_key(&claim.of) => {
            let sentence = unknown("loop", &claim.of, scenario.loops.keys().map(String::as_str));
            report(problems, place.join("of"), Part::Value, sentence);
        }
        Some(links) if !links.iter().all(|(name, _)| scenario.variables.contains_key(name)) => {
            let message = format!("loop `{}` is not measured: `variables` does not say by what", claim.of);
            problems.at_value(&place.join("of"), message);
        }
        _ => {
            let phases: Vec<Phase> = nudges(scenario).iter().map(|nudge| nudge.phase).collect();
            let phase = claim.phase(scenario);
            if !phases.contains(&phase) {
                let names: Vec<&str> = phases.iter().map(|phase| phase.name()).collect();
                let message = format!("no loop is measured in a phase `{}` of this run", phase.name());
                let at = if claim.phase.is_some() { place.join("phase") } else { place.join("of") };
                problems.at_value(&at, message).help(format!("there is: {}", names.join(", ")));
            }
        }
    }
    bounds(claim.at_least, claim.at_most, place, problems);
}

fn arm(scenario: &Scenario, arm: &str, place: &Path, problems: &mut Problems) {
    if arm == "control" || arm == REFERENCE && scenario.reference.is_some() {
        return;
    }
    let (lever, mode) = match arm.strip_suffix("@start") {
        Some(lever) => (lever, Mode::Standing),
        None => (arm, Mode::Pulled),
    };
    match scenario.levers.get(lever) {
        None => {
            let known = std::iter::once("control").chain(scenario.levers.keys().map(String::as_str));
            report(problems, place.clone(), Part::Value, unknown("lever", lever, known));
        }
        Some(known) if !known.modes.contains(&mode) => {
            problems.at_value(place, format!("lever `{lever}` is never tried {}", mode.name()));
            match mode {
                Mode::Pulled => problems.help(format!("{lever}@start is its arm from the start")),
                Mode::Standing => problems.help(format!("{lever} is its arm when pulled")),
            };
        }
        Some(_) => {}
    }
}

/// A `what` that a quantity is of has to be named, has to exist, and is not to be named for others.
fn named<'a>(
    needed: bool,
    what: &str,
    name: Option<&str>,
    known: impl Iterator<Item = &'a str>,
    place: &Path,
    problems: &mut Problems,
) {
    let known: Vec<&str> = known.collect();
    match name {
        None if needed => {
            problems.at_value(&place.join("of"), format!("of which {what}? add `{what}`"));
            problems.help(format!("known: {}", known.join(", ")));
        }
        Some(_) if !needed => {
            problems.at_key(&place.join(what), format!("this is not measured of a {what}"));
        }
        Some(name) if !known.contains(&name) => {
            report(problems, place.join(what), Part::Value, unknown(what, name, known.into_iter()));
        }
        _ => {}
    }
}

fn span(scenario: &Scenario, measure: &Measure, place: &Path, problems: &mut Problems) {
    let (from, to) = match (measure.from, measure.to) {
        (None, None) => return,
        (Some(from), Some(to)) => (from, to),
        (from, _) => {
            let (there, missing) = if from.is_some() { ("from", "to") } else { ("to", "from") };
            problems.at_key(&place.join(there), format!("a part of the run has two ends: add `{missing}`"));
            return;
        }
    };
    for (field, at) in [("from", from), ("to", to)] {
        if at.0.subsec_nanos() != 0 {
            problems.at_value(&place.join(field), "stocks and flows are read at whole seconds");
        } else if !at.0.as_secs().is_multiple_of(scenario.step_s() as u64) {
            let message = format!("stocks and flows are read every {}", scenario.sampling);
            problems.at_value(&place.join(field), message);
        }
    }
    if from >= to {
        problems.at_value(&place.join("to"), format!("is not after `from`, which is {from}"));
    } else if to > scenario.duration {
        let message = format!("is after the end of the run of {}", scenario.duration);
        problems.at_value(&place.join("to"), message);
    }
    if measure.window != Window::default() {
        problems.at_key(&place.join("window"), "either a window, or `from` and `to`");
    }
}

fn one_measure(scenario: &Scenario, measure: &Measure, place: &Path, problems: &mut Problems) {
    match (&measure.service, measure.of.needs_service()) {
        (None, true) => drop(problems.at_value(&place.join("of"), "of which service? add `service`")),
        (Some(_), false) => {
            problems.at_key(&place.join("service"), "this is measured of users, not of a service");
        }
        (Some(name), true) if !scenario.services.contains_key(name) => {
            report(problems, place.join("service"), Part::Value, no_service(scenario, name));
        }
        _ => {}
    }
    named(
        measure.of.needs_flow(),
        "flow",
        measure.flow.as_deref(),
        Flow::ALL.iter().map(|it| it.name()),
        place,
        problems,
    );
    let stocks = StockName::ALL.iter().map(|it| it.name());
    named(measure.of.needs_stock(), "stock", measure.stock.as_deref(), stocks, place, problems);
    if measure.of == Quantity::PatientShare && scenario.slo.patient.is_none() {
        problems.at_value(&place.join("of"), "how patient? the scenario has no `slo.patient`");
    }
    if measure.of == Quantity::AwayShare && scenario.load.elastic.is_none() {
        problems.at_value(&place.join("of"), "nobody stays away: the scenario has no `load.elastic`");
    }
    span(scenario, measure, place, problems);
    let of_a_trigger = matches!(measure.window, Window::Before | Window::During | Window::After);
    if of_a_trigger && scenario.timeline.is_empty() {
        let message = "there is no trigger that a part of the run could lie before, during or after";
        problems.at_value(&place.join("window"), message).help("write last_minute or all");
    }
    bounds(measure.at_least, measure.at_most, place, problems);
}

fn bounds(at_least: Option<f64>, at_most: Option<f64>, place: &Path, problems: &mut Problems) {
    match (at_least, at_most) {
        (None, None) => drop(problems.at_key(place, "within which bounds? add `at_least` or `at_most`")),
        (Some(low), Some(high)) if low > high => {
            problems.at_value(&place.join("at_most"), format!("is below at_least, which is {low}"));
        }
        _ => {}
    }
}
