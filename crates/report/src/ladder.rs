//! The ladder of leverage over many incidents: as a page, and for a terminal. Judges nothing.

use std::fmt::Write as _;

use pumphandle_experiment::ladder::{Correlation, Count, Group, Rung, correlation, group};

use crate::words;
use crate::words::markdown_table;

/// One incident on the ladder.
#[derive(Debug)]
pub struct Climbed {
    /// Its name.
    pub scenario: String,
    /// Its headline.
    pub title: String,
    /// Its file, as a link from the root; may be empty.
    pub file: String,
    /// Why nothing of it may be believed; empty if all may.
    pub reasons: Vec<String>,
    /// Its levers as measured.
    pub rungs: Vec<Rung>,
    /// Levers that are not there yet: name, reason.
    pub not_yet: Vec<(String, String)>,
}

const MODES: [(&str, &str); 2] = [("pulled", "pulled"), ("standing", "from the start")];

/// Levels that are looked at together: the two that everybody tries first, what is between, where solutions are
/// said to live, and what is said to be strongest.
const GROUPS: [(&str, std::ops::RangeInclusive<u8>); 4] =
    [("12 and 11", 11..=12), ("10 to 8", 8..=10), ("7 to 5", 5..=7), ("4 to 1", 1..=4)];

fn all(climbed: &[Climbed]) -> Vec<&Rung> {
    climbed.iter().flat_map(|it| &it.rungs).collect()
}

fn of_mode<'a>(rungs: &[&'a Rung], mode: &str) -> Vec<&'a Rung> {
    rungs.iter().copied().filter(|rung| rung.mode == mode).collect()
}

fn signed(rho: f64) -> String {
    let text = words::fixed(rho, 2);
    if text.starts_with('-') || text == "0.00" { text } else { format!("+{text}") }
}

fn of_all(count: Count, n: u64) -> String {
    if n == 0 {
        return "-".to_owned();
    }
    let percent = |share: f64| words::fixed(share * 100.0, 0);
    format!(
        "{} ({} % [{}, {}])",
        count.k,
        percent(count.k as f64 / n as f64),
        percent(count.low),
        percent(count.high)
    )
}

fn percent(effect: Option<f64>) -> String {
    effect.map_or_else(|| "-".to_owned(), |effect| format!("{} %", words::fixed(effect * 100.0, 0)))
}

const GROUP_HEAD: [&str; 7] = [
    "mode",
    "levels",
    "levers",
    "end or prevent",
    "take away half or more",
    "make it worse",
    "median effect",
];

fn group_rows(rungs: &[&Rung]) -> Vec<[String; 7]> {
    let mut rows = Vec::new();
    for (mode, said) in MODES {
        let of_mode = of_mode(rungs, mode);
        for (name, levels) in &GROUPS {
            let chosen: Vec<&Rung> =
                of_mode.iter().copied().filter(|rung| levels.contains(&rung.level)).collect();
            let Group { n, solves, halves, worsens, median } = group(&chosen);
            rows.push([
                said.to_owned(),
                (*name).to_owned(),
                n.to_string(),
                of_all(solves, n),
                of_all(halves, n),
                of_all(worsens, n),
                percent(median),
            ]);
        }
    }
    rows
}

const LEVEL_HEAD: [&str; 11] = [
    "level",
    "mode",
    "levers",
    "prevents",
    "ends",
    "eases",
    "delays",
    "masks",
    "no effect",
    "worsens",
    "undecided",
];

fn level_rows(rungs: &[&Rung]) -> Vec<[String; 11]> {
    let mut rows = Vec::new();
    for level in (1..=12).rev() {
        for (mode, said) in MODES {
            let here: Vec<&Rung> =
                of_mode(rungs, mode).into_iter().filter(|rung| rung.level == level).collect();
            if here.is_empty() {
                continue;
            }
            let count = |word: &str| match here.iter().filter(|rung| rung.verdict == word).count() {
                0 => String::new(),
                n => n.to_string(),
            };
            rows.push([
                level.to_string(),
                said.to_owned(),
                here.len().to_string(),
                count("prevents"),
                count("ends"),
                count("eases"),
                count("delays"),
                count("masks"),
                count("no effect"),
                count("worsens"),
                count("undecided"),
            ]);
        }
    }
    rows
}

const RHO_HEAD: [&str; 5] = ["levers", "mode", "how many", "rho [95 %]", "without one incident"];

fn rho_row(name: &str, said: &str, chosen: &[&Rung]) -> [String; 5] {
    let found = correlation(chosen);
    let (n, rho, range) = match &found {
        None => (chosen.len().to_string(), "too few, or all alike".to_owned(), "-".to_owned()),
        Some(Correlation { rho, low, high, n, without_one }) => (
            n.to_string(),
            format!("{} [{}, {}]", signed(*rho), signed(*low), signed(*high)),
            without_one.map_or_else(
                || "-".to_owned(),
                |(least, most)| format!("{} to {}", signed(least), signed(most)),
            ),
        ),
    };
    [name.to_owned(), said.to_owned(), n, rho, range]
}

/// Which rungs a correlation is over.
type Selection<'a> = (&'a str, fn(&Rung) -> bool);

fn rho_rows(rungs: &[&Rung]) -> Vec<[String; 5]> {
    let selections: [Selection<'_>; 4] = [
        ("all", |_| true),
        ("without assumed effects", |rung| rung.evidence != "assumed"),
        ("levels of the lesson", |rung| !rung.level_is_ours),
        ("levels of the lesson, without assumed effects", |rung| {
            !rung.level_is_ours && rung.evidence != "assumed"
        }),
    ];
    let mut rows = Vec::new();
    for (name, keep) in selections {
        for (mode, said) in MODES {
            let chosen: Vec<&Rung> = of_mode(rungs, mode).into_iter().filter(|rung| keep(rung)).collect();
            rows.push(rho_row(name, said, &chosen));
        }
    }
    rows
}

fn incident_rho_rows(climbed: &[Climbed]) -> Vec<[String; 5]> {
    let mut rows = Vec::new();
    for it in climbed {
        for (mode, said) in MODES {
            let chosen = of_mode(&it.rungs.iter().collect::<Vec<_>>(), mode);
            if correlation(&chosen).is_some() {
                rows.push(rho_row(&it.scenario, said, &chosen));
            }
        }
    }
    rows
}

const RUNG_HEAD: [&str; 8] =
    ["level", "lever", "mode", "evidence", "the lesson says", "measured", "effect, %", "seeds"];

fn rung_row(rung: &Rung) -> [String; 8] {
    let agrees = match rung.agrees.as_deref() {
        Some("yes") => "= ",
        Some("and more") => "+ ",
        Some("no") => "≠ ",
        _ => "",
    };
    let degrading = if rung.by_degrading { " *" } else { "" };
    let said = MODES.iter().find(|(mode, _)| *mode == rung.mode).map_or("", |(_, said)| said);
    [
        if rung.level_is_ours { format!("[{}]", rung.level) } else { rung.level.to_string() },
        rung.lever.clone(),
        said.to_owned(),
        rung.evidence.clone(),
        rung.lesson.clone().unwrap_or_else(|| "-".to_owned()),
        format!("{agrees}{}{degrading}", rung.verdict),
        rung.effect.as_ref().map_or_else(|| "-".to_owned(), words::change),
        rung.seeds.to_string(),
    ]
}

/// The rungs of an incident: weakest level first, a lever's modes together.
fn ordered(it: &Climbed) -> Vec<&Rung> {
    let mut rungs: Vec<&Rung> = it.rungs.iter().collect();
    let place = |rung: &Rung| it.rungs.iter().position(|other| other.lever == rung.lever);
    rungs.sort_by_key(|rung| (std::cmp::Reverse(rung.level), place(rung)));
    rungs
}

/// What was claimed of the levels, and what was measured, in a sentence for each mode.
fn headline(rungs: &[&Rung]) -> Vec<String> {
    let mut said = Vec::new();
    for (mode, name) in MODES {
        let of_mode = of_mode(rungs, mode);
        let within = |levels: std::ops::RangeInclusive<u8>| {
            let chosen: Vec<&Rung> =
                of_mode.iter().copied().filter(|rung| levels.contains(&rung.level)).collect();
            group(&chosen)
        };
        let (weak, strong) = (within(11..=12), within(5..=7));
        if weak.n == 0 || strong.n == 0 {
            said.push(format!("{name}: too few levers to say"));
            continue;
        }
        said.push(format!(
            "{name}: {} of {} levers on levels 12 and 11 take away half or more, {} of {} on levels 7 to 5; the medians are \
             {} and {}",
            weak.halves.k,
            weak.n,
            strong.halves.k,
            strong.n,
            percent(weak.median),
            percent(strong.median)
        ));
    }
    said
}

/// For a terminal: the headline, the groups, the correlation.
pub fn text(climbed: &[Climbed]) -> String {
    let rungs = all(climbed);
    let mut out = String::from("\"12 and 11 are weak, 7 to 5 are where solutions live\", as measured:\n");
    headline(&rungs).iter().for_each(|line| out.push_str(&format!("  {line}\n")));
    out.push('\n');
    out.push_str(&words::text_table(&GROUP_HEAD, &group_rows(&rungs)));
    out.push_str("\nrank correlation of level and effect (+1: every higher lever does more)\n");
    out.push_str(&words::text_table(&RHO_HEAD, &rho_rows(&rungs)));
    for it in climbed {
        writeln!(out, "\n{}", it.scenario).expect("strings grow");
        if !it.reasons.is_empty() {
            writeln!(out, "  NOT VALID: {}", it.reasons.join("; ")).expect("strings grow");
        }
        let rows: Vec<[String; 8]> = ordered(it).into_iter().map(rung_row).collect();
        out.push_str(&words::text_table(&RUNG_HEAD, &rows));
    }
    out
}

/// The page `docs/ladder.md`.
pub fn markdown(climbed: &[Climbed]) -> String {
    let rungs = all(climbed);
    let mut out = String::from(INTRODUCTION);
    out.push_str(
        "\n## The headline\n\n\"12 and 11 are weak, 7 to 5 are where solutions live.\" As measured:\n\n",
    );
    headline(&rungs).iter().for_each(|line| out.push_str(&format!("- {line}\n")));
    out.push('\n');
    out.push_str(&markdown_table(&GROUP_HEAD, &group_rows(&rungs)));
    out.push_str(CORRELATION);
    out.push_str(&markdown_table(&RHO_HEAD, &rho_rows(&rungs)));
    out.push_str("\nOf each incident that has enough levers:\n\n");
    out.push_str(&markdown_table(&RHO_HEAD, &incident_rho_rows(climbed)));
    out.push_str("\n## Level by level\n\nHow many levers got which verdict.\n\n");
    out.push_str(&markdown_table(&LEVEL_HEAD, &level_rows(&rungs)));
    out.push_str("\n## Incident by incident\n");
    climbed.iter().for_each(|it| out.push_str(&incident(it)));
    out
}

fn incident(it: &Climbed) -> String {
    let name = match it.file.as_str() {
        "" => format!("`{}`", it.scenario),
        file => format!("[`{}`](../{file})", it.scenario),
    };
    let mut out = format!("\n### {}\n\n{name}", it.title);
    if let Some(rung) = it.rungs.first() {
        write!(out, ", judged by {}", rung.cost.replace('_', " ")).expect("strings grow");
    }
    out.push_str(".\n\n");
    if !it.reasons.is_empty() {
        write!(out, "NOT VALID: {}.\n\n", it.reasons.join("; ")).expect("strings grow");
    }
    let rows: Vec<[String; 8]> = ordered(it).into_iter().map(rung_row).collect();
    out.push_str(&markdown_table(&RUNG_HEAD, &rows));
    if !it.not_yet.is_empty() {
        out.push_str("\nNot there yet:\n\n");
        it.not_yet.iter().for_each(|(name, why)| writeln!(out, "- `{name}`: {why}").expect("strings grow"));
    }
    out
}

const INTRODUCTION: &str = "# The ladder, as measured\n\n\
    Made by `pumphandle ladder --markdown`. Do not edit.\n\n\
    Donella Meadows ranks the places where one can act on a system from 12, which are numbers, to 1. Here every lever of \
    every incident is measured: beside its control, with the same users, *pulled* in the middle of the incident (does it \
    cure?) and *from the start* (does it prevent?). Effect is the change of what the incident is judged by, mostly users \
    without a good answer, in percent of the control's, with its 95 % interval: -100 is all of it gone.\n\n\
    Levels are the lesson's that this project began with; those in [brackets] are this project's. *Emergent* effects come out of the mechanism; \
    *assumed* ones follow from a number that was put in. `=` the lesson says so too, `+` it does more, `≠` it does \
    not. `*` the verdict would differ if degraded answers counted as good. The words of the verdicts are those of the \
    [README](../README.md). Six seeds each; a lever that six leave undecided is measured with twenty.\n\n\
    Levers act on the incidents that were chosen here, and several of them are variants of each other. This is what was \
    found in these, not a law.\n";

const CORRELATION: &str = "\nShares have exact intervals, and treat levers as independent, which levers of one incident \
    are not. Incidents that are judged in another way than by recovery (`regime`, `sustained`, `batch`) cannot be \
    *ended*: half of the cost is the measure that all have in common.\n\n\
    ## Does a higher lever do more?\n\n\
    Spearman's rank correlation of leverage (12 least, 1 most) and of cost taken away. +1: every higher lever does more. 0: \
    the level tells nothing. The interval treats levers as independent; the last column is the range of rho when any one \
    incident is left out.\n\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_are_written_where_there_is_something_to_sign() {
        assert_eq!([0.314, -0.314, 0.0, 1.0, 0.001].map(signed), ["+0.31", "-0.31", "0.00", "+1.00", "0.00"]);
    }
}
