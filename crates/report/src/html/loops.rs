//! A causal loop as SVG: variables on a circle, an arrow per link with its sign, the gain in the middle. Colours and
//! fonts belong to the page's style sheet; coordinates are computed with `libm`, so that they are the same anywhere.

use std::fmt::Write;

use pumphandle_experiment::result::{CausalLoop, LoopLink};

use crate::words;

/// A drawing with what is said beside it.
pub(super) struct Drawing {
    pub(super) name: String,
    pub(super) title: String,
    pub(super) kind: &'static str,
    pub(super) svg: String,
    pub(super) gain: String,
    pub(super) doubts: Vec<String>,
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

pub(super) fn svg(causal: &CausalLoop) -> Drawing {
    let n = causal.links.len().max(1);
    let kind = if causal.reinforcing { "reinforcing" } else { "balancing" };
    let mut out = format!(
        r#"<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Loop {}: {}">"#,
        escaped(&causal.name),
        escaped(&causal.title)
    );
    let labels: Vec<Label> = causal.links.iter().enumerate().map(|(i, link)| Label::of(link, i, n)).collect();
    for (i, link) in causal.links.iter().enumerate() {
        arrow(&mut out, link, &labels[i], &labels[(i + 1) % n], n);
    }
    labels.iter().for_each(|label| label.write(&mut out));
    let gain = causal
        .gain
        .map_or_else(|| "gain not measured".to_string(), |gain| format!("gain {}", words::number(gain)));
    let (x, y) = (WIDTH / 2.0, HEIGHT / 2.0);
    let _ =
        write!(out, r#"<text class="loop-name" x="{x}" y="{}">{}</text>"#, y - 4.0, escaped(&causal.name));
    let _ = write!(out, r#"<text class="loop-gain" x="{x}" y="{}">{gain}</text></svg>"#, y + 18.0);
    Drawing {
        name: causal.name.clone(),
        title: causal.title.clone(),
        kind,
        svg: out,
        gain: if causal.gain.is_some() { causal.gain_how.clone() } else { String::new() },
        doubts: causal.links.iter().filter_map(doubt).collect(),
    }
}

/// What the run showed of a link, where it is not what was drawn.
fn doubt(link: &LoopLink) -> Option<String> {
    let (from, to) = (&link.from, &link.to);
    match link.measured {
        None => Some(format!("{from} -> {to}: drawn {}, not measured", link.sign)),
        Some(sign) if sign != link.sign => {
            Some(format!("{from} -> {to}: drawn {}, measured {sign}", link.sign))
        }
        Some(_) => None,
    }
}

/// A variable at its place on the circle.
struct Label {
    angle: f64,
    lines: Vec<String>,
    half: [f64; 2],
}

impl Label {
    fn of(link: &LoopLink, i: usize, n: usize) -> Self {
        let lines = wrapped(&link.from);
        let longest = lines.iter().map(|line| line.chars().count()).max().unwrap_or(0);
        let half = [longest as f64 * CHARACTER / 2.0 + 7.0, HALF_LINE * lines.len() as f64];
        Self { angle: (i as f64 / n as f64 - 0.25) * std::f64::consts::TAU, lines, half }
    }

    fn covers(&self, [x, y]: [f64; 2]) -> bool {
        let [cx, cy] = on_circle(self.angle);
        (x - cx).abs() < self.half[0] + 5.0 && (y - cy).abs() < self.half[1] + 5.0
    }

    fn write(&self, out: &mut String) {
        let [x, y] = on_circle(self.angle);
        for (i, line) in self.lines.iter().enumerate() {
            let y = y + 5.0 + (i as f64 - (self.lines.len() - 1) as f64 / 2.0) * 17.0;
            let _ = write!(out, r#"<text class="loop-var" x="{x:.1}" y="{y:.1}">{}</text>"#, escaped(line));
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
    let sure = if link.measured == Some(link.sign) { "" } else { " unsure" };
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
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}
