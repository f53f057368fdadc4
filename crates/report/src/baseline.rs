//! What changed between two lists of results, in sentences: claims, verdicts, arms, scenarios. Numbers that moved
//! within a verdict are no change.

use std::collections::BTreeMap;

use pumphandle_experiment::document::clean;
use pumphandle_experiment::result::RunResult;

use crate::levers;

/// Sentences, in the order of the new results, then what is gone; empty if nothing changed.
pub fn baseline_diff(old: &[RunResult], new: &[RunResult]) -> Vec<String> {
    let mut said = Vec::new();
    for run in new {
        match old.iter().find(|before| before.scenario == run.scenario) {
            None => said.push(format!("{}: new scenario, nothing to compare with", run.scenario)),
            Some(before) => compare(before, run, &mut said),
        }
    }
    let gone = old.iter().filter(|before| new.iter().all(|run| run.scenario != before.scenario));
    said.extend(gone.map(|before| format!("{}: scenario no longer measured", before.scenario)));
    said.iter().map(|sentence| clean(sentence)).collect()
}

fn compare(old: &RunResult, new: &RunResult, said: &mut Vec<String>) {
    let mut say = |text: String| said.push(format!("{}: {text}", new.scenario));
    if old.valid != new.valid {
        let reasons = new.reasons.join("; ");
        say(if new.valid {
            "valid now, it was not".into()
        } else {
            format!("not valid any more: {reasons}")
        });
    }
    let claims =
        |run: &RunResult| run.claims.iter().map(|c| (c.claim.clone(), c.is.clone())).collect::<Pairs>();
    differences("claim", &claims(old), &claims(new), &mut say);
    let verdicts = |run: &RunResult| {
        let judged = run.arms.iter().filter(|arm| arm.lever.is_some());
        judged.map(|arm| (levers::described(arm), levers::verdict(arm).to_string())).collect::<Pairs>()
    };
    differences("lever", &verdicts(old), &verdicts(new), &mut say);
    if let (Some(before), Some(now)) = (levers::control(old), levers::control(new))
        && before.state != now.state
    {
        let state = |arm: &Option<String>| arm.clone().unwrap_or_else(|| "nothing to recover from".into());
        say(format!("the control was `{}`, now `{}`", state(&before.state), state(&now.state)));
    }
}

type Pairs = BTreeMap<String, String>;

/// What is in one and not in the other, and what has another word now.
fn differences(thing: &str, old: &Pairs, new: &Pairs, say: &mut impl FnMut(String)) {
    for (name, now) in new {
        match old.get(name) {
            None => say(format!("{thing} `{name}` is new: {now}")),
            Some(before) if before != now => say(format!("{thing} `{name}` was {before}, now {now}")),
            Some(_) => {}
        }
    }
    for (name, before) in old.iter().filter(|(name, _)| !new.contains_key(*name)) {
        say(format!("{thing} `{name}` is gone; it was {before}"));
    }
}
