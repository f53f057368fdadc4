//! What the shape of a scenario file cannot refuse: names that do not exist, times in the wrong order,
//! levers that would change nothing, claims about arms that are never run.

use pumphandle_stack::settings::check_graph;

use crate::claims::{ClaimBody, Measure};
use crate::document::{Path, Problems, suggest};
use crate::plan;
use crate::scenario::triggers::Does;
use crate::scenario::{Kind, Mode, Scenario};

/// Everything wrong with `scenario`.
pub fn check(scenario: &Scenario) -> Problems {
    let mut problems = Problems::new();
    services(scenario, &mut problems);
    // Levers change services: on services that are wrong they would only repeat it.
    let services_are_right = problems.is_empty();
    times(scenario, &mut problems);
    triggers(scenario, &mut problems);
    if services_are_right {
        levers(scenario, &mut problems);
    }
    claims(scenario, &mut problems);
    problems
}

/// A path from its text, `a.b[0].c`, below `root`.
fn below(root: &[&str], text: &str) -> Path {
    let mut path = root.iter().fold(Path::root(), |path, segment| path.join(*segment));
    for part in text.split('.').filter(|part| !part.is_empty()) {
        let (name, index) = match part.split_once('[') {
            Some((name, rest)) => {
                (name, rest.strip_suffix(']').and_then(|index| index.parse::<usize>().ok()))
            }
            None => (part, None),
        };
        path.push(name);
        if let Some(index) = index {
            path.push(index);
        }
    }
    path
}

fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.collect();
    match suggest(name, known.iter().copied()) {
        Some(close) => format!("no such {what}: `{name}`; did you mean `{close}`?"),
        None if known.is_empty() => format!("no such {what}: `{name}`; this file has none"),
        None => format!("no such {what}: `{name}`; this file has: {}", known.join(", ")),
    }
}

fn services(scenario: &Scenario, problems: &mut Problems) {
    if scenario.services.is_empty() {
        problems.at_value(&below(&["services"], ""), "there is no service: users need one to reach");
    }
    for (name, service) in &scenario.services {
        for wrong in service.check() {
            problems.at_value(&below(&["services", name], &wrong.path), wrong.message);
        }
    }
    for wrong in check_graph(&scenario.services) {
        let (service, rest) = wrong.path.split_once('.').unwrap_or((&wrong.path, ""));
        let message =
            match wrong.message.strip_prefix("no such service: `").and_then(|it| it.strip_suffix('`')) {
                Some(name) => unknown("service", name, scenario.services.keys().map(String::as_str)),
                None => wrong.message.clone(),
            };
        problems.at_value(&below(&["services", service], rest), message);
    }
    for (place, message) in scenario.load.check() {
        problems.at_value(&below(&["load"], &place), message);
    }
}

fn times(scenario: &Scenario, problems: &mut Problems) {
    let root = Path::root();
    let valid = |name: &str| {
        !name.is_empty()
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
            && !name.starts_with('-')
    };
    if !valid(&scenario.scenario) {
        problems.at_value(&root.join("scenario"), "a name is made of lower-case letters, digits and hyphens");
    }
    if scenario.duration.secs_f64() < 1.0 {
        problems.at_value(&root.join("duration"), "a run lasts at least 1s");
    }
    if scenario.duration.secs_f64() > 31.0 * 86_400.0 {
        problems.at_value(&root.join("duration"), "a run lasts at most 31 days");
    }
    if scenario.slo.latency.0.is_zero() {
        problems.at_value(&below(&["slo", "latency"], ""), "no answer takes no time: an SLO is above 0s");
    }
    if let Some(pull) = scenario.pull
        && pull >= scenario.duration
    {
        let message = format!("levers are pulled at {pull}, when the run of {} is over", scenario.duration);
        problems.at_value(&root.join("pull"), message);
    }
    let pulse = scenario.kind == Kind::Pulse;
    match scenario.trigger_window() {
        None if pulse || scenario.kind == Kind::Sustained => {
            let message = format!("a {} has a trigger: add one to the timeline", scenario.kind.name());
            problems.at_value(&root.join("kind"), message);
        }
        Some((_, None)) if pulse => {
            let message = "the trigger of a pulse ends: add `for`, or make the kind `sustained`";
            problems.at_value(&root.join("kind"), message);
        }
        _ => {}
    }
}

fn triggers(scenario: &Scenario, problems: &mut Problems) {
    for (i, trigger) in scenario.timeline.iter().enumerate() {
        let place = Path::root().join("timeline").join(i);
        if trigger.from >= scenario.duration {
            let message =
                format!("begins at {}, when the run of {} is over", trigger.from, scenario.duration);
            problems.at_value(&place.join("from"), message);
        }
        if trigger.lasts.is_some_and(|lasts| lasts.0.is_zero()) {
            problems.at_value(&place.join("for"), "a trigger that lasts 0s does nothing");
        }
        if trigger.end().is_some_and(|end| end > scenario.duration.0) {
            problems.at_value(&place.join("for"), format!("ends after the run of {}", scenario.duration));
        }
        let earlier = &scenario.timeline[..i];
        if earlier.iter().any(|other| other.trigger == trigger.trigger) {
            problems
                .at_value(&place.join("trigger"), format!("there are two triggers `{}`", trigger.trigger));
        }
        does(scenario, &trigger.does, &place.join("do"), trigger.service(), problems);
    }
}

fn does(scenario: &Scenario, does: &Does, place: &Path, service: Option<&str>, problems: &mut Problems) {
    let name = match does {
        Does::SlowDown(_) => "slow_down",
        Does::AddLatency(_) => "add_latency",
        Does::Errors(_) => "errors",
        Does::Hang(_) => "hang",
        Does::LoseCapacity(_) => "lose_capacity",
        Does::Outage(_) => "outage",
        Does::TrafficSpike(_) => "traffic_spike",
        Does::Restart(_) => "restart",
    };
    let place = place.join(name);
    let Some(service) = service else {
        if scenario.load.base_rate().is_none() {
            problems.at_value(&place, "a closed loop has no rate that could spike");
        }
        return;
    };
    let Some(settings) = scenario.services.get(service) else {
        let names = scenario.services.keys().map(String::as_str);
        problems.at_value(&place.join("service"), unknown("service", service, names));
        return;
    };
    match does {
        Does::SlowDown(it) if it.factor <= 0.0 => {
            problems.at_value(&place.join("factor"), "a factor is above zero");
        }
        Does::SlowDown(_) if settings.service_time.is_none() => {
            let message =
                format!("`{service}` does no work of its own that could be slower: it has no service_time");
            problems.at_value(&place.join("service"), message);
        }
        Does::LoseCapacity(_) if settings.workers.is_none() => {
            let message = format!("`{service}` has no number of workers that it could lose");
            problems.at_value(&place.join("service"), message);
        }
        _ => {}
    }
}

fn levers(scenario: &Scenario, problems: &mut Problems) {
    for (name, lever) in &scenario.levers {
        let place = below(&["levers", name], "");
        if name == "control" || name.contains('@') || name.contains(',') {
            problems.at_key(&place, "a lever cannot be called that: it is how arms are named");
        }
        if lever.set.is_empty() && lever.restart.is_none() && lever.then.is_empty() {
            problems.at_key(&place, format!("lever `{name}` does nothing: add `set`, `restart` or `then`"));
        }
        if lever.modes.is_empty() {
            problems.at_value(&place.join("modes"), "a lever is tried pulled, standing, or both");
        }
        if lever.modes.contains(&Mode::Pulled) && scenario.pull.is_none() {
            problems.at_key(
                &place,
                "when is it pulled? add `pull` to the scenario, or make its modes [standing]",
            );
        }
        let restarts = lever.restart.iter().chain(lever.then.iter().filter_map(|step| step.restart.as_ref()));
        for service in restarts.flat_map(|restart| &restart.services) {
            if !scenario.services.contains_key(service) {
                let names = scenario.services.keys().map(String::as_str);
                problems.at_key(&place, unknown("service", service, names));
            }
        }
        if lever.restart.is_some() && lever.modes.contains(&Mode::Standing) {
            problems
                .at_key(&place, "a restart at the very start has nothing to restart: its modes are [pulled]");
        }
        if let Err(wrong) = plan::treatment(scenario, name, Mode::Pulled) {
            for (at, message) in wrong {
                let (step, path) = at.split_once("set.").unwrap_or(("", &at));
                let path = below(&["levers", name], step).join("set").join(path);
                problems.at_key(&path, message);
            }
        }
    }
    if let Some(name) = &scenario.known_to_work
        && !scenario.levers.contains_key(name)
    {
        let names = scenario.levers.keys().map(String::as_str);
        problems.at_value(&Path::root().join("known_to_work"), unknown("lever", name, names));
    }
    for (name, it) in &scenario.loops {
        if it.parse().is_none_or(|links| links.len() < 2) {
            let message = "each link is written as `variable (+)` or `variable (-)`, two of them at least";
            problems.at_value(&below(&["loops", name, "links"], ""), message);
        }
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
    let (lever, mode) = match claim.arm.strip_suffix("@start") {
        Some(lever) => (lever, Mode::Standing),
        None => (claim.arm.as_str(), Mode::Pulled),
    };
    if claim.arm != "control" {
        match scenario.levers.get(lever) {
            None => {
                let names = scenario.levers.keys().map(String::as_str);
                problems.at_value(&place.join("arm"), unknown("lever", lever, names));
            }
            Some(known) if !known.modes.contains(&mode) => {
                let message = format!("lever `{lever}` is not tried {}", mode.name());
                problems.at_value(&place.join("arm"), message);
            }
            _ => {}
        }
    }
    if claim.arm == "control" && !claim.verdict.is_empty() {
        problems.at_key(&place.join("verdict"), "verdicts are of levers; the control has a `state`");
    }
    let about_recovery =
        claim.state.is_some() || claim.metastable.is_some() || claim.recovers_within.is_some();
    if about_recovery && scenario.kind != Kind::Pulse {
        problems.at_key(place, format!("a {} has nothing to recover from", scenario.kind.name()));
    }
    if !about_recovery && claim.verdict.is_empty() && claim.measure.is_none() {
        problems.at_key(place, "says nothing: add state, metastable, recovers_within, verdict or measure");
    }
    if let Some(measure) = &claim.measure {
        one_measure(scenario, measure, &place.join("measure"), problems);
    }
}

fn one_measure(scenario: &Scenario, measure: &Measure, place: &Path, problems: &mut Problems) {
    match (&measure.service, measure.of.needs_service()) {
        (None, true) => drop(problems.at_value(&place.join("of"), "of which service? add `service`")),
        (Some(_), false) => {
            problems.at_key(&place.join("service"), "this is measured of users, not of a service");
        }
        (Some(name), true) if !scenario.services.contains_key(name) => {
            let names = scenario.services.keys().map(String::as_str);
            problems.at_value(&place.join("service"), unknown("service", name, names));
        }
        _ => {}
    }
    match (measure.at_least, measure.at_most) {
        (None, None) => drop(problems.at_key(place, "within which bounds? add `at_least` or `at_most`")),
        (Some(low), Some(high)) if low > high => {
            problems.at_value(&place.join("at_most"), format!("is below at_least, {low}"));
        }
        _ => {}
    }
}
