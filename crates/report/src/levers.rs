//! The arms of a run as levers: pulled and standing side by side, the best and the worst, where the lesson errs.
//! Reads verdicts; never makes one.

use pumphandle_experiment::result::{Arm, RunResult, Story};

use crate::words;

/// One lever with its arms.
pub(crate) struct Lever<'a> {
    pub(crate) name: &'a str,
    /// Whichever arm there is, for what both share (level, lesson, title).
    pub(crate) any: &'a Arm,
    pub(crate) pulled: Option<&'a Arm>,
    pub(crate) standing: Option<&'a Arm>,
}

impl Lever<'_> {
    /// `12`, `[7]` where the level is this project's, `-` where there is none.
    pub(crate) fn level(&self) -> String {
        match self.any.level {
            None => "-".to_string(),
            Some(level) if self.any.level_is_ours => format!("[{level}]"),
            Some(level) => level.to_string(),
        }
    }
}

/// The levers by level, 12 first, without a level last; else in the file's order.
pub(crate) fn levers(result: &RunResult) -> Vec<Lever<'_>> {
    let mut levers: Vec<Lever<'_>> = Vec::new();
    for arm in &result.arms {
        let Some(name) = arm.lever.as_deref() else { continue };
        let at = levers.iter().position(|lever| lever.name == name).unwrap_or_else(|| {
            levers.push(Lever { name, any: arm, pulled: None, standing: None });
            levers.len() - 1
        });
        match arm.mode.as_deref() {
            Some("standing") => levers[at].standing = Some(arm),
            _ => levers[at].pulled = Some(arm),
        }
    }
    levers.sort_by_key(|lever| std::cmp::Reverse(lever.any.level.unwrap_or(0)));
    levers
}

/// The control, if the run has one (a partial run may not).
pub(crate) fn control(result: &RunResult) -> Option<&Arm> {
    result.arms.iter().find(|arm| arm.lever.is_none())
}

/// A sentence per lever and verdict that disagrees with the lesson; one where both modes agree on it.
pub(crate) fn disagreements(result: &RunResult) -> Vec<String> {
    let mut said = Vec::new();
    for lever in levers(result) {
        let arms: Vec<&Arm> = lever.pulled.into_iter().chain(lever.standing).collect();
        let against: Vec<&Arm> = arms.into_iter().filter(|arm| agreement(arm) == Some("no")).collect();
        match against.as_slice() {
            [pulled, standing] if verdict(pulled) == verdict(standing) => {
                said.push(against_lesson(
                    &format!("{}, pulled or standing", lever.name),
                    &[pulled, standing],
                ));
            }
            each => said.extend(each.iter().map(|arm| against_lesson(&described(arm), &[arm]))),
        }
    }
    said
}

/// `yes`, `and more`, `no`; none where the lesson says nothing.
pub(crate) fn agreement(arm: &Arm) -> Option<&str> {
    arm.verdict.as_ref()?.agrees_with_lesson.as_deref()
}

/// The agreement as one character: `=`, `+`, `≠`, or a blank.
pub(crate) fn mark(arm: &Arm) -> &'static str {
    match agreement(arm) {
        Some("yes") => "=",
        Some("and more") => "+",
        Some("no") => "≠",
        _ => " ",
    }
}

/// The verdict's word; `-` for the control.
pub(crate) fn verdict(arm: &Arm) -> &str {
    arm.verdict.as_ref().map_or("-", |verdict| verdict.is.as_str())
}

/// `longer-timeout pulled: the lesson says masks, measured no effect (harm -0.3 % [-0.9, +0.4])`.
fn against_lesson(who: &str, arms: &[&Arm]) -> String {
    let Some(first) = arms.first() else { return who.to_string() };
    let lesson = first.lesson.as_deref().unwrap_or("nothing");
    let harm = arms.iter().filter_map(|arm| arm.verdict.as_ref()?.harm_vs_control.as_ref());
    let harm: Vec<String> = harm.map(words::change_percent).collect();
    let harm =
        if harm.is_empty() { String::new() } else { format!(" ({} {})", cost_name(first), harm.join(", ")) };
    format!("{who}: the lesson says {lesson}, measured {}{harm}", verdict(first))
}

/// `harm`, or the cost that the scenario declares.
pub(crate) fn cost_name(arm: &Arm) -> String {
    match arm.outcome.cost_j.name.as_str() {
        "harm_share" | "" => "harm".to_string(),
        other => other.replace("_per_hour", "/h").replace("_per_week", "/week").replace('_', " "),
    }
}

/// The arm's lever with its mode: `disable-retries pulled`.
pub(crate) fn described(arm: &Arm) -> String {
    match (arm.lever.as_deref(), arm.mode.as_deref()) {
        (Some(lever), Some(mode)) => format!("{lever} {mode}"),
        (Some(lever), None) => lever.to_string(),
        _ => arm.arm.clone(),
    }
}

/// Arms worth drawing beside the control: all if there are at most `room`, else the best and the worst by harm,
/// among those pulled if there are any (a cure is what the pictures are about).
pub(crate) fn to_draw(story: &Story, room: usize) -> Vec<&Arm> {
    let drawn = |arm: &&Arm| arm.lever.is_some() && story.series.contains_key(&arm.arm);
    let treatments: Vec<&Arm> = story.result.arms.iter().filter(drawn).collect();
    if treatments.len() <= room {
        return treatments;
    }
    let (best, worst) = extremes(&treatments);
    let mut chosen: Vec<&Arm> = best.into_iter().chain(worst).collect();
    chosen.dedup_by_key(|arm| arm.arm.clone());
    chosen
}

/// The arms with the least and the most harm against the control; pulled ones if there are any.
pub(crate) fn extremes<'a>(treatments: &[&'a Arm]) -> (Option<&'a Arm>, Option<&'a Arm>) {
    let effect = |arm: &Arm| arm.verdict.as_ref().and_then(|v| v.harm_vs_control.as_ref()).map(|i| i.mean);
    let judged = |arm: &&&Arm| arm.valid && effect(arm).is_some();
    let pulled = |arm: &&&Arm| judged(arm) && arm.mode.as_deref() == Some("pulled");
    let mut pool: Vec<&Arm> = treatments.iter().filter(pulled).copied().collect();
    if pool.is_empty() {
        pool = treatments.iter().filter(judged).copied().collect();
    }
    pool.sort_by(|a, b| effect(a).unwrap_or(0.0).total_cmp(&effect(b).unwrap_or(0.0)));
    (pool.first().copied(), pool.last().copied())
}
