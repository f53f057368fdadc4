//! The answer in a few sentences: what the control did, what the levers did, where the lesson errs.

use pumphandle_experiment::result::{Arm, Story};

use crate::{levers, words};

/// Plain text, to be escaped by whoever prints it.
pub(super) fn answer(story: &Story) -> String {
    let result = &story.result;
    if !result.valid {
        return "This run is not valid: it says nothing about any lever.".to_string();
    }
    let mut said = Vec::new();
    if let Some(control) = levers::control(result) {
        said.push(format!("The control {}.", verb(&words::ending(control, result))));
    }
    let at = result
        .windows_s
        .pull
        .map_or_else(String::new, |at| format!(" at {}", words::instant(at, result.windows_s.end)));
    said.extend(of_mode(story, "pulled", &format!("pulled{at}")));
    said.extend(of_mode(story, "standing", "in place from the start"));
    let against = levers::disagreements(result).len();
    if against > 0 {
        said.push(format!(
            "{} the lesson.",
            if against == 1 {
                "One finding contradicts".into()
            } else {
                format!("{against} findings contradict")
            }
        ));
    }
    said.join(" ")
}

/// `stays down` needs no verb; a share does.
fn verb(ending: &str) -> String {
    match ending.starts_with(|c: char| c.is_ascii_digit()) {
        true => format!("had {ending}"),
        false => ending.to_string(),
    }
}

/// `Of 6 levers pulled at 180 s, 4 end it (soonest smaller-queue, 1 s), 2 have no effect.`
fn of_mode(story: &Story, mode: &str, words_of_mode: &str) -> Option<String> {
    let arms: Vec<&Arm> = story.result.arms.iter().filter(|arm| arm.mode.as_deref() == Some(mode)).collect();
    if arms.len() == 1 {
        let arm = arms[0];
        let ending = words::ending(arm, &story.result);
        return Some(format!(
            "{} {words_of_mode}: {}; it {ending}.",
            arm.lever.as_deref()?,
            levers::verdict(arm)
        ));
    }
    let mut parts = Vec::new();
    for (verdict, _) in &words::VERDICTS {
        let with: Vec<&Arm> = arms.iter().filter(|arm| levers::verdict(arm) == *verdict).copied().collect();
        if !with.is_empty() {
            parts.push(format!("{} {}{}", with.len(), plural(verdict, with.len()), soonest(verdict, &with)));
        }
    }
    (!parts.is_empty()).then(|| format!("Of {} levers {words_of_mode}, {}.", arms.len(), parts.join(", ")))
}

/// The verdict as a verb after a number.
fn plural(verdict: &str, n: usize) -> &'static str {
    match (verdict, n) {
        ("prevents", 1) => "prevents it",
        ("prevents", _) => "prevent it",
        ("ends", 1) => "ends it",
        ("ends", _) => "end it",
        ("eases", 1) => "eases it",
        ("eases", _) => "ease it",
        ("delays", 1) => "delays it",
        ("delays", _) => "delay it",
        ("masks", 1) => "masks it",
        ("masks", _) => "mask it",
        ("no effect", 1) => "has no effect",
        ("no effect", _) => "have no effect",
        ("worsens", 1) => "makes it worse",
        ("worsens", _) => "make it worse",
        ("undecided", 1) => "is undecided",
        ("undecided", _) => "are undecided",
        (_, 1) => "was not tested",
        _ => "were not tested",
    }
}

/// Of those that end it, the one that recovers first.
fn soonest(verdict: &str, arms: &[&Arm]) -> String {
    let time = |arm: &Arm| arm.outcome.recovery_s.as_ref().and_then(|r| r.p50);
    let first = arms.iter().filter(|arm| time(arm).is_some());
    let first = first.min_by(|a, b| time(a).unwrap_or(0.0).total_cmp(&time(b).unwrap_or(0.0)));
    match (verdict, first) {
        ("ends", Some(arm)) => {
            let soonest = if arms.len() > 1 { "soonest " } else { "" };
            format!(" ({soonest}{}, {})", arm.lever.as_deref().unwrap_or(&arm.arm), words::recovery(arm))
        }
        _ => String::new(),
    }
}
