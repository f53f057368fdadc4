//! A causal loop as SVG: variables on a circle with what a user more did to them, an arrow per link with its sign,
//! in the middle what comes back. Colours and fonts belong to the page's style sheet; coordinates are computed with
//! `libm`, so that they are the same anywhere. Nothing is told by colour alone: a link that was not shown is dashed
//! and has a question mark.

use std::fmt::Write;

use pumphandle_experiment::result::{CausalLoop, LoopLink, LoopPhase};

use crate::words;

/// A drawing with what is said beside it.
pub(super) struct Drawing {
    pub(super) name: String,
    pub(super) title: String,
    pub(super) kind: &'static str,
    pub(super) svg: String,
    /// Why there is no measure; empty if there is one.
    pub(super) unmeasured: String,
    /// Links that were not shown.
    pub(super) not_shown: String,
    /// What contradicts the drawing, and what holds nothing.
    pub(super) warnings: Vec<String>,
    /// The phases, as heads of columns.
    pub(super) phases: Vec<String>,
    /// A variable or what comes back, and its cell in every phase.
    pub(super) rows: Vec<(String, Vec<String>)>,
}

const WIDTH: f64 = 380.0;
const HEIGHT: f64 = 300.0;
const RADIUS: [f64; 2] = [125.0, 105.0];

/// Text is measured as this many units per character: an estimate on the wide side for a 14 unit sans-serif.
const CHARACTER: f64 = 7.8;

/// Half the height of a label's box.
const HALF_LINE: f64 = 13.0;

/// Characters per line of a label.
const LABEL: usize = 14;

/// The drawing of a loop. Its numbers are those of the last phase that was measured: the state that levers meet.
pub(super) fn drawing(causal: &CausalLoop) -> Drawing {
    let last = causal.phases.last();
    let unmeasured = match (last, causal.gain_how.as_str()) {
        (Some(_), _) => String::new(),
        (None, "") => "its variables were not measured in this run".to_owned(),
        (None, why) => why.to_owned(),
    };
    Drawing {
        name: causal.name.clone(),
        title: causal.title.clone(),
        kind: if causal.reinforcing { "reinforcing" } else { "balancing" },
        svg: svg(causal, last),
        unmeasured,
        not_shown: not_shown(causal),
        warnings: causal.warnings.clone(),
        phases: causal.phases.iter().map(|at| at.when.clone()).collect(),
        rows: rows(causal),
    }
}

fn svg(causal: &CausalLoop, last: Option<&LoopPhase>) -> String {
    let n = causal.links.len().max(1);
    let mut out = format!(
        r#"<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Loop {}: {}">"#,
        escaped(&causal.name),
        escaped(&causal.title)
    );
    let value = |i: usize| last.and_then(|at| words::per_user(at.variables.get(i)?));
    let label = |(i, link): (usize, &LoopLink)| Label::of(link, value(i), i, n);
    let labels: Vec<Label> = causal.links.iter().enumerate().map(label).collect();
    for (i, link) in causal.links.iter().enumerate() {
        arrow(&mut out, link, &labels[i], &labels[(i + 1) % n], n);
    }
    labels.iter().for_each(|label| label.write(&mut out));
    let (x, y) = (WIDTH / 2.0, HEIGHT / 2.0);
    let mut line = |class: &str, y: f64, text: &str| {
        let _ = write!(out, r#"<text class="{class}" x="{x}" y="{y}">{}</text>"#, escaped(text));
    };
    line("loop-name", y - 8.0, &causal.name);
    match last.and_then(|at| at.comes_back.as_ref()) {
        Some(back) => {
            line("loop-gain", y + 13.0, &format!("{} back", words::number(back.mean)));
            line("loop-small", y + 30.0, &words::range(back));
        }
        None => line("loop-gain", y + 13.0, if last.is_some() { "nothing put in" } else { "not measured" }),
    }
    out.push_str("</svg>");
    out
}

/// Links of which no phase showed the sign.
fn not_shown(causal: &CausalLoop) -> String {
    let links = causal.links.iter().filter(|link| link.measured.is_none() && !causal.phases.is_empty());
    links.map(|link| format!("{} -> {}", link.from, link.to)).collect::<Vec<_>>().join(", ")
}

/// What a user more did to every variable, and what came back, by phase.
fn rows(causal: &CausalLoop) -> Vec<(String, Vec<String>)> {
    let cell = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let variable = |(i, link): (usize, &LoopLink)| {
        let source = causal.phases.first().and_then(|at| at.variables.get(i)).map(|it| it.source.clone());
        let cells = causal.phases.iter().map(|at| {
            cell(at.variables.get(i).and_then(|it| {
                Some(format!("{} {}", words::per_user(it)?, words::range(it.per_user.as_ref()?)))
            }))
        });
        (format!("{} ({})", link.from, source.unwrap_or_default()), cells.collect())
    };
    let mut rows: Vec<(String, Vec<String>)> = Vec::new();
    if !causal.phases.is_empty() {
        rows.extend(causal.links.iter().enumerate().map(variable));
        let back = causal.phases.iter().map(|at| cell(at.comes_back.as_ref().map(words::with_range)));
        rows.push(("comes back, per unit put in".to_owned(), back.collect()));
        let half = causal.phases.iter().map(|at| cell(at.half_back_s.map(words::duration)));
        rows.push(("half of it within".to_owned(), half.collect()));
    }
    rows
}

/// A variable at its place on the circle.
struct Label {
    angle: f64,
    lines: Vec<String>,
    /// What a user more did to it.
    value: Option<String>,
    half: [f64; 2],
}

impl Label {
    fn of(link: &LoopLink, value: Option<String>, i: usize, n: usize) -> Self {
        let lines = wrapped(&link.from);
        let all = lines.iter().chain(&value);
        let longest = all.map(|line| line.chars().count()).max().unwrap_or(0);
        let height = (lines.len() + usize::from(value.is_some())) as f64;
        let half = [longest as f64 * CHARACTER / 2.0 + 7.0, HALF_LINE * height];
        Self { angle: (i as f64 / n as f64 - 0.25) * std::f64::consts::TAU, lines, value, half }
    }

    fn covers(&self, [x, y]: [f64; 2]) -> bool {
        let [cx, cy] = on_circle(self.angle);
        (x - cx).abs() < self.half[0] + 5.0 && (y - cy).abs() < self.half[1] + 5.0
    }

    fn write(&self, out: &mut String) {
        let [x, y] = on_circle(self.angle);
        let names = self.lines.iter().map(|line| ("loop-var", line));
        let all: Vec<(&str, &String)> = names.chain(self.value.iter().map(|it| ("loop-value", it))).collect();
        for (i, (class, line)) in all.iter().enumerate() {
            let y = y + 5.0 + (i as f64 - (all.len() - 1) as f64 / 2.0) * 17.0;
            let _ = write!(out, r#"<text class="{class}" x="{x:.1}" y="{y:.1}">{}</text>"#, escaped(line));
        }
    }
}

/// The arc from label to label as a polyline with a head, its sign at the middle, outside.
fn arrow(out: &mut String, link: &LoopLink, from: &Label, to: &Label, n: usize) {
    let sweep = std::f64::consts::TAU / n as f64;
    let steps = 96;
    let along = (0..=steps).map(|step| on_circle(from.angle + sweep * f64::from(step) / f64::from(steps)));
    let free: Vec<[f64; 2]> = along.filter(|point| !from.covers(*point) && !to.covers(*point)).collect();
    let Some([end_x, end_y]) = free.last().copied() else { return };
    let points: Vec<String> = free.iter().map(|[x, y]| format!("{x:.1},{y:.1}")).collect();
    let sure = match link.measured {
        None => " unsure",
        Some(sign) if sign != link.sign => " against",
        Some(_) => "",
    };
    let _ = write!(out, r#"<polyline class="loop-link{sure}" points="{}"/>"#, points.join(" "));
    let [back_x, back_y] = free[free.len().saturating_sub(4)];
    let turn = libm::atan2(end_y - back_y, end_x - back_x);
    let corner = |off: f64| (end_x - 11.0 * libm::cos(turn + off), end_y - 11.0 * libm::sin(turn + off));
    let ((ax, ay), (bx, by)) = (corner(0.45), corner(-0.45));
    let _ = write!(
        out,
        r#"<path class="loop-head" d="M{end_x:.1} {end_y:.1}L{ax:.1} {ay:.1}L{bx:.1} {by:.1}Z"/>"#
    );
    let [mx, my] = free[free.len() / 2];
    let (x, y) = (mx + (mx - WIDTH / 2.0) * 0.16, my + (my - HEIGHT / 2.0) * 0.16);
    let sign = if link.sign == '-' { "−" } else { "+" };
    let sign = match link.measured {
        None => format!("{sign} ?"),
        Some(measured) if measured != link.sign => format!("{sign} ≠"),
        Some(_) => sign.to_string(),
    };
    let _ = write!(out, r#"<text class="loop-sign" x="{x:.1}" y="{:.1}">{sign}</text>"#, y + 6.0);
}

fn on_circle(angle: f64) -> [f64; 2] {
    [WIDTH / 2.0 + RADIUS[0] * libm::cos(angle), HEIGHT / 2.0 + RADIUS[1] * libm::sin(angle)]
}

/// Words over lines of about [`LABEL`] characters; a longer word is cut.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let word: String = word.chars().take(LABEL + 6).collect();
        match lines.last_mut() {
            Some(line) if line.chars().count() + word.chars().count() < LABEL => {
                line.push_str(&format!(" {word}"))
            }
            _ => lines.push(word),
        }
    }
    lines.truncate(3);
    lines
}

/// Text inside an element or a quoted attribute.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}
