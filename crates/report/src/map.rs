//! Maps and thresholds on a terminal. Every class has a sign of its own, so that the picture needs no colour;
//! what was measured and what lies between measured points is told by numbers below it. Nothing here judges.

mod page;
mod picture;

use pumphandle_experiment::map::axis::Unit;
use pumphandle_experiment::map::class::Class;
use pumphandle_experiment::map::result::{About, AxisInfo, MapResult, Seeds, ThresholdResult};

pub use page::map_html;

use crate::terminal::page::{Page, pad, plain, styled, wide};
use crate::terminal::{Terminal, bold};
use crate::words;

/// The sign of a class.
pub(crate) fn sign(class: Option<Class>) -> char {
    match class {
        Some(Class::Stable | Class::Healthy) => '.',
        Some(Class::Vulnerable) => 'o',
        Some(Class::Metastable) => '#',
        Some(Class::Overloaded) => 'X',
        Some(Class::Undecided) => '?',
        Some(Class::NotTested) => '!',
        None => ' ',
    }
}

/// What a class means on this map.
pub(crate) fn meaning(class: Class, map: &MapResult) -> String {
    let longest = map.longest_trigger_s.map_or_else(String::new, |s| Unit::Duration.words(s));
    match class {
        Class::Stable => format!("recovers from this trigger, and from one of {longest}"),
        Class::Vulnerable => format!("recovers from this trigger; one of {longest} tips it for good"),
        Class::Metastable => "still down long after this trigger has gone; healthy without it".to_owned(),
        Class::Overloaded if map.longest_trigger_s.is_none() => "ill in the last minute".to_owned(),
        Class::Overloaded => "ill without any trigger".to_owned(),
        Class::Healthy => "95 % good or more in the last minute".to_owned(),
        Class::Undecided => "the seeds do not tell, or it was still recovering at the end".to_owned(),
        Class::NotTested => "could not be measured".to_owned(),
    }
}

/// The classes that occur, in the order of a legend.
pub(crate) fn occurring(map: &MapResult) -> Vec<Class> {
    let occurs = |class: &Class| map.classes.iter().flatten().any(|there| *there == Some(*class));
    Class::ALL.into_iter().filter(occurs).collect()
}

/// `equal steps`, or `equal factors`.
pub(crate) fn spacing(axis: &AxisInfo) -> &'static str {
    match (axis.unit, axis.geometric) {
        (Unit::Whole, false) => "whole numbers",
        (_, false) => "equal steps",
        (_, true) => "equal factors",
    }
}

/// The value at a place, as people read it.
pub(crate) fn value(axis: &AxisInfo, place: usize) -> String {
    axis.unit.words(axis.values[place])
}

/// `1 to 6 at every point, to 20 where they differ`.
pub(crate) fn seeds(about: &About) -> String {
    let last = |n: &u64| about.first_seed + n - 1;
    match about.looks.as_slice() {
        [first, most] => format!(
            "{} to {} at every point, to {} where they differ",
            about.first_seed,
            last(first),
            last(most)
        ),
        other => format!("{} to {}", about.first_seed, other.first().map_or(0, last)),
    }
}

/// What was spent, and what it would have cost otherwise.
pub(crate) fn spent(map: &MapResult) -> String {
    let grid = map.x.values.len() * map.y.values.len();
    format!(
        "{} of {grid} points measured, {} runs; the whole grid takes {} for the first look at each point alone",
        map.points.len(),
        map.runs,
        map.runs_of_full_grid
    )
}

/// A map as text, ending with a line feed.
pub fn map_terminal(map: &MapResult, terminal: &Terminal) -> String {
    let mut page = Page::new(terminal.width, terminal.colour);
    if map.partial {
        page.wrap(&[styled("PARTIAL: interrupted; what follows is what was measured.", bold())], 0, 2);
    }
    let about = &map.about;
    page.ends(&[styled(&about.title, bold())], &[plain(format!("{} · {}", about.scenario, about.arm))]);
    for (name, axis) in [("across", &map.x), ("up", &map.y)] {
        let last = axis.values.len() - 1;
        let ends = format!("{} to {}, {}", value(axis, 0), value(axis, last), spacing(axis));
        page.wrap(&[plain(format!("  {}  {}: {ends}", pad(name, 6), axis.path))], 0, 10);
    }
    page.gap();
    picture::draw(&mut page, map);
    page.gap();
    for class in occurring(map) {
        let head = format!("  {}  {}  ", sign(Some(class)), pad(class.name(), 11));
        page.wrap(&[plain(head), plain(meaning(class, map))], 0, 18);
    }
    page.gap();
    page.item("Measured", &spent(map));
    page.item("Seeds", &seeds(about));
    not_tested(&mut page, map);
    if let Some(report) = &terminal.report {
        page.item("Report", report);
    }
    page.item("Again", &about.again);
    page.finish()
}

/// Reasons of the points that could not be measured, each once.
fn not_tested(page: &mut Page, map: &MapResult) {
    let mut reasons: Vec<&String> = map.points.iter().flat_map(|point| &point.reasons).collect();
    reasons.sort();
    reasons.dedup();
    for reason in reasons.iter().take(5) {
        page.item("Not tested", reason);
    }
    if reasons.len() > 5 {
        page.item("", &format!("and {} reasons more", reasons.len() - 5));
    }
}

/// `16 of 20 [56, 94] %`.
pub(crate) fn share(seeds: &Seeds) -> String {
    let percent = |share: f64| words::fixed(share * 100.0, 0);
    format!("{} of {} [{}, {}] %", seeds.k, seeds.n, percent(seeds.low), percent(seeds.high))
}

/// A threshold as text, ending with a line feed.
pub fn threshold_terminal(result: &ThresholdResult, terminal: &Terminal) -> String {
    let mut page = Page::new(terminal.width, terminal.colour);
    if result.partial {
        page.wrap(&[styled("PARTIAL: interrupted; what follows is what was measured.", bold())], 0, 2);
    }
    let about = &result.about;
    page.ends(&[styled(&about.title, bold())], &[plain(format!("{} · {}", about.scenario, about.arm))]);
    page.wrap(&[plain(format!("  along {}, to {}", result.path, result.precision))], 0, 2);
    page.gap();
    let wide = result.points.iter().map(|point| wide(&point.written)).max().unwrap_or(0).max(5);
    page.line(&[plain(format!("  {}  well at the end, seeds [95 %]", pad("value", wide)))]);
    for point in &result.points {
        let rest = match (point.still_recovering, point.reasons.is_empty()) {
            (_, false) => "not tested".to_owned(),
            (0, _) => String::new(),
            (n, _) => format!("{n} still recovering"),
        };
        let seeds = pad(&share(&point.well), 22);
        let row = format!("  {}  {seeds}  {}  {rest}", pad(&point.written, wide), pad(&point.shown, 10));
        page.line(&[plain(row)]);
    }
    page.gap();
    found(&mut page, result);
    for warning in &result.warnings {
        page.item("(!)", warning);
    }
    page.item(
        "Measured",
        &format!(
            "{} places, {} runs; every place would take {} at its first look alone",
            result.points.len(),
            result.runs,
            result.runs_of_every_place
        ),
    );
    page.item("Seeds", &seeds(about));
    page.item("Again", &about.again);
    page.finish()
}

fn found(page: &mut Page, result: &ThresholdResult) {
    let Some(found) = &result.found else {
        return page.item("No threshold", &result.refused);
    };
    let [low, high] = found.bracket.map(|value| result.unit.words(value));
    let [below, above] = found.interval.map(|value| result.unit.words(value));
    let (first, second) =
        if found.recovers_below { ("recovers", "stays down") } else { ("stays down", "recovers") };
    page.item("Threshold", &format!("between {low} and {high} the share of seeds crosses one half"));
    page.item("95 %", &format!("up to {below} it {first} (shown), from {above} on it {second} (shown)"));
}
