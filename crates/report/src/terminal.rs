//! A run on a terminal: control and treatments on one time axis, the table of levers, what accumulates.
//!
//! Colour never carries a meaning that no word or sign carries too. Whether there is colour, and how wide the
//! terminal is, the caller knows; nothing here asks the environment.

pub(crate) mod page;
mod spark;
mod table;

use anstyle::{AnsiColor, Style};
use pumphandle_experiment::result::{Arm, CausalLoop, Story};

use crate::accumulate::{Accumulation, accumulating, attempts_per_arrival};
use crate::levers::{self, Lever};
use crate::words;
use page::{Page, Span, plain, styled};
use table::{Column, Table};

/// Where the text goes.
#[derive(Clone, Debug)]
pub struct Terminal {
    /// Columns; no line is wider. Fewer than 40 count as 40.
    pub width: usize,
    /// Whether escape sequences may be used.
    pub colour: bool,
    /// Where the HTML page lies, if one was written.
    pub report: Option<String>,
}

/// Treatments drawn beside the control; of more, the best and the worst.
const ROOM: usize = 4;

/// Sentences quoted of a list before the page is referred to.
const QUOTED: usize = 6;

/// The run as text, ending with a line feed.
pub fn terminal(story: &Story, terminal: &Terminal) -> String {
    let mut page = Page::new(terminal.width, terminal.colour);
    warnings(&mut page, story);
    head(&mut page, story);
    pictures(&mut page, story);
    lever_table(&mut page, story);
    findings(&mut page, story);
    disagreements(&mut page, story);
    claims(&mut page, story);
    foot(&mut page, story, terminal.report.as_deref());
    page.finish()
}

pub(crate) fn bold() -> Style {
    Style::new().bold()
}

fn dim() -> Style {
    Style::new().dimmed()
}

fn alarm() -> Style {
    AnsiColor::Red.on_default().bold()
}

fn control_style() -> Style {
    AnsiColor::Yellow.on_default()
}

fn treatment_style() -> Style {
    AnsiColor::Cyan.on_default()
}

/// Green for what helps, red for what harms, nothing in between.
fn verdict_style(verdict: &str) -> Style {
    match verdict {
        "prevents" | "ends" | "eases" | "held" => AnsiColor::Green.on_default(),
        "worsens" | "broken" => AnsiColor::Red.on_default(),
        "not tested" | "undecided" => AnsiColor::Magenta.on_default(),
        _ => Style::new(),
    }
}

/// A run that may not be believed says so before anything else.
fn warnings(page: &mut Page, story: &Story) {
    let result = &story.result;
    if !result.valid {
        page.wrap(&[styled("NOT VALID: no verdict of this run may be believed.", alarm())], 0, 2);
        for reason in &result.reasons {
            page.wrap(&[plain(format!("- {reason}"))], 2, 4);
        }
    }
    if result.partial {
        let text =
            "PARTIAL: interrupted before every arm and seed was measured; what follows is what there is.";
        page.wrap(&[styled(text, alarm())], 0, 2);
    }
    for arm in result.arms.iter().filter(|arm| !arm.valid) {
        let text = format!("{}: not valid: {}", arm.arm, arm.reasons.join("; "));
        page.wrap(&[styled(text, alarm())], 0, 2);
    }
    if !result.valid || result.partial {
        page.gap();
    }
}

fn head(page: &mut Page, story: &Story) {
    let result = &story.result;
    let seeds = words::count(result.seeds.len(), "seed");
    let load = format!(
        "{} · {} · {seeds} · {} time",
        story.load,
        words::duration(result.windows_s.end),
        result.clock
    );
    page.ends(&[styled(&story.title, bold())], &[styled(load, dim())]);
    page.wrap(&[plain(&story.story)], 0, 0);
    page.gap();
}

/// A ruler with triggers and the pull, a spark line per arm, the seconds below.
fn pictures(page: &mut Page, story: &Story) {
    let drawn = levers::to_draw(story, ROOM);
    let arms: Vec<&Arm> = levers::control(&story.result).into_iter().chain(drawn).collect();
    let names = arms.iter().map(|arm| page::wide(&arm.arm)).max().unwrap_or(0).clamp(14, 24);
    let beside = page.width() >= 140;
    let room = page.width().saturating_sub(4 + names + if beside { 74 } else { 0 });
    let axis = spark::Axis { seconds: story.result.windows_s.end, columns: room };
    let margin = " ".repeat(4 + names);
    let top = arms
        .iter()
        .filter_map(|arm| story.series.get(&arm.arm))
        .map(|s| spark::top(s, &axis))
        .fold(0.0, f64::max);
    for row in spark::ruler(story, &axis) {
        page.line(&[styled(format!("{margin}{row}"), dim())]);
    }
    page.line(&[styled(format!("  good answers/s, █ is {}", words::number(top)), dim())]);
    for arm in arms {
        let style = if arm.lever.is_none() { control_style() } else { treatment_style() };
        let Some(series) = story.series.get(&arm.arm) else { continue };
        let name = page::pad(&page::cut(&arm.arm, names), names);
        let line =
            [styled(format!("  {name}  "), style.bold()), styled(spark::line(series, &axis, top), style)];
        let said = told(arm, story);
        if beside {
            page.line(&[&line[..], &[plain(format!("  {}", said.join(" · ")))]].concat());
        } else {
            page.line(&line);
            page.sentences(&said, 4 + names);
        }
    }
    page.line(&[styled(format!("{margin}{}", spark::seconds(&axis)), dim())]);
    page.gap();
}

/// How an arm ended, and how often users' requests were attempted.
fn told(arm: &Arm, story: &Story) -> Vec<String> {
    let attempts = story.series.get(&arm.arm).map(attempts_per_arrival).filter(|mean| *mean > 0.0);
    let attempts = attempts.map(|mean| format!("{} attempts per arrival", words::fixed(mean, 1)));
    [words::ending(arm, &story.result)].into_iter().chain(attempts).collect()
}

/// One row per lever; pulled and standing side by side.
fn lever_table(page: &mut Page, story: &Story) {
    let levers = levers::levers(&story.result);
    if levers.is_empty() {
        return;
    }
    let modes = [levers.iter().any(|l| l.pulled.is_some()), levers.iter().any(|l| l.standing.is_some())];
    let mut table = Table::new(lever_columns(story, &levers, modes));
    for lever in &levers {
        let lesson = lever.any.lesson.as_deref().unwrap_or("-");
        let mut cells = vec![plain(format!("{:>4}", lever.level())), plain(lever.name), plain(lesson)];
        for (shown, arm) in modes.into_iter().zip([lever.pulled, lever.standing]) {
            if shown {
                let [verdict, harm, recovery] = verdict_cells(arm);
                cells.extend([verdict, harm]);
                cells.extend(recovers(story).then_some(recovery));
            }
        }
        table.row(cells);
    }
    table.print(page);
    page.wrap(&[styled("= as the lesson says   + does more   ≠ disagrees", dim())], 2, 2);
    page.wrap(&[styled("%: change against the control, with its 95 % interval", dim())], 2, 2);
    if levers.iter().any(|lever| lever.any.level_is_ours) {
        page.wrap(&[styled("[n]: a level that this project assigned, not the lesson", dim())], 2, 2);
    }
    page.gap();
}

/// Whether there is anything to recover from: without an onset a column of it would be empty.
fn recovers(story: &Story) -> bool {
    story.result.arms.iter().any(|arm| arm.outcome.recovery_s.is_some())
}

/// Titles; there are columns for the modes that the run has.
fn lever_columns(story: &Story, levers: &[Lever<'_>], [has_pulled, has_standing]: [bool; 2]) -> Vec<Column> {
    let windows = &story.result.windows_s;
    let pull = windows.pull.map_or_else(String::new, |at| format!(" at {}", words::instant(at, windows.end)));
    let cost = levers.first().map_or_else(|| "harm".to_string(), |lever| levers::cost_name(lever.any));
    let (cost, recovers) = (format!("{cost}, %"), recovers(story));
    let mut columns = vec![Column::new("", "lvl", 0), Column::name("", "lever")];
    columns.push(Column::new("lesson", "says", 1));
    if has_pulled {
        columns.push(Column::new(&format!("pulled{pull}"), "measured", 0));
        columns.push(Column::new("", &cost, 3));
        columns.extend(recovers.then(|| Column::new("", "recovery", 2)));
    }
    if has_standing {
        columns.push(Column::new("from start", "measured", 0));
        columns.push(Column::new("", &cost, 4));
        columns.extend(recovers.then(|| Column::new("", "recovery", 5)));
    }
    columns
}

/// Verdict with its agreement mark, harm with interval, recovery.
fn verdict_cells(arm: Option<&Arm>) -> [Span; 3] {
    let Some(arm) = arm else { return [plain("  -"), plain(""), plain("")] };
    let verdict = levers::verdict(arm);
    let extra = if arm.verdict.as_ref().is_some_and(|v| v.by_degrading) { "*" } else { "" };
    let harm = arm.verdict.as_ref().and_then(|v| v.harm_vs_control.as_ref());
    [
        styled(format!("{} {verdict}{extra}", levers::mark(arm)), verdict_style(verdict)),
        plain(harm.map_or_else(|| "-".to_string(), words::change)),
        plain(words::recovery(arm)),
    ]
}

/// What accumulates, what drives it, where to intervene: each a line that begins with its name.
fn findings(page: &mut Page, story: &Story) {
    if let Some(stock) = accumulating(story) {
        page.item("Accumulating", &accumulation(&stock));
    }
    story.loops.iter().for_each(|causal| one_loop(page, causal));
    interventions(page, story);
    side_effects(page, story);
    page.gap();
}

/// `death spiral: load -> latency -> load (reinforcing). Comes back per unit put in: ...`, and what is wrong with it.
fn one_loop(page: &mut Page, causal: &CausalLoop) {
    let kind = if causal.reinforcing { "reinforcing" } else { "balancing" };
    let first = causal.links.first();
    let way: Vec<&str> = causal.links.iter().chain(first).map(|l| l.from.as_str()).collect();
    let mut text = format!("{}: {} ({kind})", causal.title, way.join(" -> "));
    let back = causal.phases.iter().filter_map(|at| {
        let back = at.comes_back.as_ref()?;
        Some(format!("{} {}", words::with_range(back), at.when))
    });
    let back: Vec<String> = back.collect();
    if !back.is_empty() {
        text.push_str(&format!("; comes back per unit put in: {}", back.join(", ")));
    }
    page.item(&format!("Loop {}", causal.name), &text);
    causal.warnings.iter().for_each(|warning| page.item("", &format!("(!) {warning}")));
}

/// Which levers end it, prevent it, make it worse: measured, not claimed.
fn interventions(page: &mut Page, story: &Story) {
    let list = |pulled: bool, verdict: &str| {
        let matching = levers::levers(&story.result).into_iter().filter_map(|lever| {
            let arm = if pulled { lever.pulled } else { lever.standing }?;
            (levers::verdict(arm) == verdict).then(|| format!("{} ({})", lever.name, lever.level()))
        });
        matching.collect::<Vec<String>>().join(", ")
    };
    for (pulled, verdict, title) in [
        (true, "ends", "Ends it now"),
        (false, "prevents", "Prevents it"),
        (true, "worsens", "Makes it worse"),
    ] {
        let names = list(pulled, verdict);
        if !names.is_empty() {
            page.item(title, &names);
        }
    }
}

/// More levers than this with side effects are for the page, not for the screen.
const SIDE_EFFECTS: usize = 3;

fn side_effects(page: &mut Page, story: &Story) {
    let effects = |arm: &Arm| arm.verdict.as_ref().map_or_else(Vec::new, |v| v.side_effects.clone());
    let arms: Vec<&Arm> = story.result.arms.iter().filter(|arm| !effects(arm).is_empty()).collect();
    if arms.len() > SIDE_EFFECTS {
        page.item("Side effects", &format!("{} arms made something else worse: see the report", arms.len()));
    } else {
        for arm in arms {
            page.item("Side effects", &format!("{}: {}", levers::described(arm), effects(arm).join("; ")));
        }
    }
    if story.result.arms.iter().any(|arm| arm.verdict.as_ref().is_some_and(|v| v.by_degrading)) {
        page.item("*", "the verdict would differ if degraded answers counted as good");
    }
}

/// `api.queue 0 -> 1000 (full since 71 s), in 252/s, out 252/s; good answers 0/s`.
pub(crate) fn accumulation(stock: &Accumulation) -> String {
    let state = if stock.full.is_some() { "full" } else { "up" };
    let since = stock.since.as_ref().map_or_else(String::new, |at| format!(" ({state} since {at})"));
    // Of weeks nobody counts by the second.
    let (per, factor) = if stock.in_days { ("d", words::DAY) } else { ("s", 1.0) };
    let rate = |per_s: f64| format!("{}/{per}", words::number(per_s * factor));
    format!(
        "{} {} -> {}{since}; last {}: in {}, out {}, good answers {}",
        stock.name,
        words::number(stock.before),
        words::number(stock.after),
        if stock.in_days { "day" } else { "minute" },
        rate(stock.inflow),
        rate(stock.outflow),
        rate(stock.in_time)
    )
}

fn disagreements(page: &mut Page, story: &Story) {
    let said = levers::disagreements(&story.result);
    if said.is_empty() {
        return;
    }
    page.line(&[styled("Against the lesson", bold())]);
    for sentence in said.iter().take(QUOTED) {
        page.wrap(&[plain(format!("≠ {sentence}"))], 2, 4);
    }
    if said.len() > QUOTED {
        page.wrap(&[plain(format!("and {} more: see the report", said.len() - QUOTED))], 2, 2);
    }
    page.gap();
}

fn claims(page: &mut Page, story: &Story) {
    let result = &story.result;
    if result.claims.is_empty() {
        return;
    }
    let tally = crate::check::Tally::of(&result.claims);
    page.line(&[styled(format!("{}: {}", words::count(tally.all(), "claim"), tally.words()), bold())]);
    for claim in &result.claims {
        let is = if claim.is == "held" { claim.is.clone() } else { claim.is.to_uppercase() };
        page.wrap(&[styled(format!("{is}  "), verdict_style(&claim.is)), plain(&claim.claim)], 2, 4);
        match claim.is.as_str() {
            "held" => {}
            "not tested" => page.wrap(&[plain(&claim.reason)], 4, 4),
            _ => {
                page.wrap(&[plain(format!("expected {}, measured {}", claim.expected, claim.measured))], 4, 4)
            }
        }
    }
    page.gap();
}

fn foot(page: &mut Page, story: &Story, report: Option<&str>) {
    if let Some(path) = report {
        page.item("Report", path);
    }
    page.item("Again", &story.again);
}
