//! Causal loops as documents: what was drawn, what was measured, and where the two contradict each other.

use crate::loops::{InPhase, Phase};
use crate::measure::Measured;
use crate::result::{CausalLoop, LoopLink, LoopPhase, LoopVariable};
use crate::scenario::loops::{Source, reinforces};
use crate::scenario::{Loop, Scenario};
use crate::story::{SHOWN, interval};

/// How the numbers come about, for the reader of a report.
const HOW: &str = "the control against its twin with a few more users and the same draws for all others";

/// All loops of a scenario.
pub(super) fn loops(scenario: &Scenario, measured: &Measured) -> Vec<CausalLoop> {
    scenario.loops.iter().filter_map(|(name, it)| causal_loop(scenario, measured, name, it)).collect()
}

fn causal_loop(scenario: &Scenario, measured: &Measured, name: &str, it: &Loop) -> Option<CausalLoop> {
    let links = it.parse()?;
    let against: Vec<&String> =
        measured.reasons.iter().chain(&measured.arms[0].reasons).chain(&measured.loops.reasons).collect();
    let phases = if against.is_empty() { measured.loops.phases(scenario, it, SHOWN) } else { Vec::new() };
    let last = phases.iter().rfind(|at| matches!(at.nudge.phase, Phase::After | Phase::Steady));
    let gain = last.and_then(|at| at.per_turn).map(|gain| gain.mean);
    let why: Vec<String> = against.into_iter().cloned().collect();
    let mut causal = CausalLoop {
        name: name.to_owned(),
        title: it.title.clone(),
        reinforcing: reinforces(links.iter().map(|(_, sign)| *sign)),
        links: (0..links.len()).map(|i| link(&links, i, &phases)).collect(),
        gain,
        gain_how: if phases.is_empty() { why.join("; ") } else { HOW.to_owned() },
        phases: phases.iter().map(|at| phase(scenario, &links, at)).collect(),
        warnings: Vec::new(),
    };
    causal.warnings = warnings(scenario, &causal);
    Some(causal)
}

fn link(links: &[(String, char)], i: usize, phases: &[InPhase]) -> LoopLink {
    let (from, sign) = &links[i];
    let shown: Vec<char> = phases.iter().filter_map(|at| at.signs[i]).collect();
    LoopLink {
        from: from.clone(),
        to: links[(i + 1) % links.len()].0.clone(),
        sign: *sign,
        // One phase that contradicts the drawing is enough.
        measured: shown.iter().copied().find(|is| is != sign).or(shown.first().copied()),
    }
}

fn phase(scenario: &Scenario, links: &[(String, char)], at: &InPhase) -> LoopPhase {
    let variable = |(i, (name, _)): (usize, &(String, char))| {
        let source = scenario.variables[name].clone();
        let unit = Source::find(&scenario.services, &source).map_or("", Source::unit);
        LoopVariable {
            name: name.clone(),
            source,
            per_user: at.per_user[i].map(|estimate| interval(estimate, unit)),
        }
    };
    LoopPhase {
        phase: at.nudge.phase.name().to_owned(),
        when: at.nudge.phase.words().to_owned(),
        watched_s: [at.nudge.from_s as f64, at.nudge.until_s as f64],
        users: at.nudge.users,
        within_s: at.nudge.over.as_secs_f64(),
        comes_back: at.comes_back.map(|estimate| interval(estimate, "per unit put in")),
        gain: at.per_turn.map(|estimate| interval(estimate, "share per turn")),
        half_back_s: at.half_back_s,
        over: at.over,
        variables: links.iter().enumerate().map(variable).collect(),
        signs: at.signs.clone(),
    }
}

fn warnings(scenario: &Scenario, causal: &CausalLoop) -> Vec<String> {
    let mut warnings = Vec::new();
    for (i, link) in causal.links.iter().enumerate() {
        let against = |at: &&LoopPhase| at.signs[i].is_some_and(|sign| sign != link.sign);
        let when: Vec<&str> = causal.phases.iter().filter(against).map(|at| at.when.as_str()).collect();
        if let (Some(measured), false) = (link.measured, when.is_empty()) {
            let (from, to, drawn) = (&link.from, &link.to, link.sign);
            let when = when.join(" and ");
            warnings
                .push(format!("{from} -> {to} is drawn as {drawn} and was measured as {measured}, {when}"));
        }
    }
    for at in causal.phases.iter().filter(|at| !at.over) {
        let watched = at.watched_s[1] - at.watched_s[0];
        warnings.push(format!("it had not come to an end {watched} s after the users came, {}", at.when));
    }
    let meets = |other: &Loop| {
        let links = other.parse().unwrap_or_default();
        let balances = !reinforces(links.iter().map(|(_, sign)| *sign));
        balances && links.iter().any(|(name, _)| causal.links.iter().any(|link| link.from == *name))
    };
    if causal.reinforcing && !scenario.loops.values().any(meets) {
        warnings.push(format!(
            "{} reinforces, and no balancing loop of this scenario meets it: nothing here is said to hold it",
            causal.name
        ));
    }
    warnings
}
