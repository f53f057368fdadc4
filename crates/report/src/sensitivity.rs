//! Which verdicts hang on a number that somebody chose: for a terminal, and as the page
//! `docs/sensitivity/NAME.md`. Nothing here judges; a flip is what the document calls one.

use std::fmt::Write as _;

use pumphandle_experiment::sensitivity::result::{Flip, NumberResult, SensitivityResult};

use crate::terminal::page::{Page, pad, plain, styled};
use crate::terminal::{Terminal, bold};
use crate::words;

/// `-25 % and +25 %`.
fn by(result: &SensitivityResult) -> String {
    let percent = words::fixed(result.by * 100.0, 0);
    format!("-{percent} % and +{percent} %")
}

/// How many variations there are, and in how many something flips.
fn counts(result: &SensitivityResult) -> (usize, usize) {
    let variations = || result.numbers.iter().flat_map(|number| &number.variations);
    (variations().count(), variations().filter(|it| !it.flips.is_empty()).count())
}

/// The arms whose verdict is the same in every variation, and decided.
fn robust(result: &SensitivityResult) -> Vec<&str> {
    let moved = |arm: &str| {
        let variations = result.numbers.iter().flat_map(|number| &number.variations);
        variations.flat_map(|it| it.flips.iter().chain(&it.undecided)).any(|flip| flip.arm == arm)
    };
    let decided = |is: &str| !["undecided", "not tested"].contains(&is);
    let arms = result.base.iter().filter(|(_, is)| decided(is)).map(|(arm, _)| arm.as_str());
    arms.filter(|arm| !moved(arm)).collect()
}

/// Flips grouped by what turned into what: `ends -> no effect: a, b`.
fn grouped(flips: &[Flip]) -> Vec<String> {
    let mut groups: Vec<(String, Vec<&str>)> = Vec::new();
    for flip in flips {
        let change = format!("{} -> {}", flip.from, flip.to);
        match groups.iter_mut().find(|(known, _)| *known == change) {
            Some((_, arms)) => arms.push(&flip.arm),
            None => groups.push((change, vec![&flip.arm])),
        }
    }
    groups.into_iter().map(|(change, arms)| format!("{}: {change}", arms.join(", "))).collect()
}

/// What one variation turned over, or why it tells nothing.
fn told(flips: &[Flip], reasons: &[String]) -> Vec<String> {
    match (reasons, flips) {
        ([], []) => vec!["nothing flips".to_owned()],
        ([], flips) => grouped(flips),
        (reasons, _) => vec![format!("not tested: {}", reasons.join("; "))],
    }
}

fn spent(result: &SensitivityResult) -> String {
    format!(
        "{} verdicts compared in {} runs; running every arm for every variation takes {}",
        result.compared, result.runs, result.runs_without_sharing
    )
}

fn seeds(result: &SensitivityResult) -> String {
    let (first, last) = (result.seeds.first(), result.seeds.last());
    format!("{} to {}", first.copied().unwrap_or(0), last.copied().unwrap_or(0))
}

/// For a terminal, ending with a line feed.
pub fn sensitivity_terminal(result: &SensitivityResult, terminal: &Terminal) -> String {
    let mut page = Page::new(terminal.width, terminal.colour);
    if result.partial {
        page.wrap(&[styled("PARTIAL: interrupted; what follows is what was measured.", bold())], 0, 2);
    }
    let (variations, with_flips) = counts(result);
    let head = format!("{} {} · {}", result.numbers.len(), result.which, by(result));
    page.ends(&[styled(&result.title, bold())], &[plain(head)]);
    for reason in &result.reasons {
        page.wrap(&[styled(format!("NOT VALID as the file is: {reason}"), bold())], 0, 2);
    }
    page.gap();
    for number in &result.numbers {
        one_number(&mut page, number);
    }
    for not in &result.not_varied {
        page.wrap(&[plain(format!("  {}  {}", not.path, not.value))], 0, 4);
        page.wrap(&[plain(format!("not varied: {}", not.reason))], 6, 8);
    }
    page.gap();
    page.item("Flips", &format!("in {with_flips} of {variations} variations"));
    let robust = robust(result);
    if !robust.is_empty() {
        page.item("Never flips", &robust.join(", "));
    }
    page.item("Measured", &format!("{}; seeds {}", spent(result), seeds(result)));
    page.item("Again", &result.again);
    page.finish()
}

fn one_number(page: &mut Page, number: &NumberResult) {
    page.wrap(&[plain("  "), styled(&number.path, bold()), plain(format!("  {}", number.value))], 0, 4);
    for variation in &number.variations {
        let mut lines = told(&variation.flips, &variation.reasons);
        if variation.reasons.is_empty() {
            lines.extend(grouped(&variation.undecided).into_iter().map(|line| format!("? {line}")));
        }
        for (i, line) in lines.iter().enumerate() {
            let value = if i == 0 { variation.value.as_str() } else { "" };
            page.wrap(&[plain(format!("    {}  ", pad(value, 8))), plain(line)], 0, 16);
        }
    }
}

/// The page `docs/sensitivity/NAME.md`: the same text wherever it is made.
pub fn sensitivity_markdown(result: &SensitivityResult) -> String {
    let mut out = String::new();
    let (variations, with_flips) = counts(result);
    let (name, which) = (&result.scenario, &result.which);
    write!(
        out,
        "# Sensitivity: {name}\n\nMade by `{}`; CI makes it again and compares.\n\n\
         Each of the {} {which} of [`{file}`](../../{file}) is varied by {}, one at a time,\n\
         and every verdict of an arm that can read it is measured again under the same seeds ({}). A *flip* is a decided\n\
         verdict that becomes another decided one. What is decided on one side only is listed apart: it may be chance.\n\n\
         **Something flips in {with_flips} of {variations} variations.** {}.\n",
        result.again,
        result.numbers.len(),
        by(result),
        seeds(result),
        spent(result),
        file = result.file,
    )
    .expect("strings grow");
    if result.partial {
        out.push_str("\n**Partial: interrupted; what follows is what was measured.**\n");
    }
    for reason in &result.reasons {
        writeln!(out, "\n**Not valid as the file is: {reason}**").expect("strings grow");
    }
    out.push_str("\n## As the file is\n\n| arm | |\n|---|---|\n");
    if let Some(end) = &result.control {
        writeln!(out, "| control | {end} |").expect("strings grow");
    }
    for (arm, is) in &result.base {
        writeln!(out, "| {arm} | {is} |").expect("strings grow");
    }
    let robust = robust(result);
    let robust = if robust.is_empty() { "none".to_owned() } else { robust.join(", ") };
    write!(out, "\nVerdicts that no variation moves: {robust}.\n\n## What each number moves\n\n")
        .expect("strings grow");
    out.push_str("| number | in the file | varied | flips | undecided |\n|---|---|---|---|---|\n");
    for number in &result.numbers {
        for variation in &number.variations {
            let unsure =
                if variation.reasons.is_empty() { grouped(&variation.undecided) } else { Vec::new() };
            writeln!(
                out,
                "| `{}` | {} | {} | {} | {} |",
                number.path,
                number.value,
                variation.value,
                told(&variation.flips, &variation.reasons).join("<br>").replace("nothing flips", "-"),
                unsure.join("<br>")
            )
            .expect("strings grow");
        }
    }
    if !result.not_varied.is_empty() {
        out.push_str("\n## Not varied\n\n| number | in the file | why |\n|---|---|---|\n");
        for not in &result.not_varied {
            writeln!(out, "| `{}` | {} | {} |", not.path, not.value, not.reason).expect("strings grow");
        }
    }
    out
}
