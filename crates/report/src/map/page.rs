//! A map as a page: one file, offline, light and dark, printable, without a script that is needed. The picture
//! is a drawing in the page itself; every class has a colour that colour-blind people tell apart and a pattern
//! of its own.

use std::fmt::Write as _;

use askama::Template;
use pumphandle_experiment::map::class::Class;
use pumphandle_experiment::map::result::{AxisInfo, MapPoint, MapResult};

use super::{meaning, occurring, seeds, share, sign, spacing, spent, value};

/// Size of the plot without its labels.
const WIDE: f64 = 760.0;
const HIGH: f64 = 480.0;
/// Room for labels: left, below.
const LEFT: f64 = 84.0;
const BELOW: f64 = 58.0;
const TOP: f64 = 12.0;
const RIGHT: f64 = 40.0;

/// The page of a map.
pub fn map_html(map: &MapResult) -> String {
    let page = Page {
        map,
        svg: svg(map),
        legend: occurring(map).into_iter().map(|class| Entry::of(class, map)).collect(),
        rows: map.points.iter().map(|point| Row::of(point, map)).collect(),
        spent: spent(map),
        seeds: seeds(&map.about),
        axes: [("across", &map.x), ("up", &map.y)].map(|(name, axis)| described(name, axis)),
        css: include_str!("../../templates/report.css"),
    };
    page.render().expect("the template writes into a string and calls nothing that fails")
}

#[derive(Template)]
#[template(path = "map.html")]
struct Page<'a> {
    map: &'a MapResult,
    svg: String,
    legend: Vec<Entry>,
    rows: Vec<Row>,
    spent: String,
    seeds: String,
    axes: [String; 2],
    css: &'static str,
}

fn described(name: &str, axis: &AxisInfo) -> String {
    let last = axis.values.len() - 1;
    format!("{name}: {}, {} to {}, {}", axis.path, value(axis, 0), value(axis, last), spacing(axis))
}

/// A line of the legend.
struct Entry {
    class: String,
    name: &'static str,
    sign: char,
    meaning: String,
}

impl Entry {
    fn of(class: Class, map: &MapResult) -> Entry {
        Entry { class: css(class), name: class.name(), sign: sign(Some(class)), meaning: meaning(class, map) }
    }
}

/// A measured point in the table.
struct Row {
    x: String,
    y: String,
    class: &'static str,
    with: String,
    none: String,
    longest: String,
    note: String,
}

impl Row {
    fn of(point: &MapPoint, map: &MapResult) -> Row {
        let optional = |seeds: &Option<_>| seeds.as_ref().map_or_else(|| "-".to_owned(), share);
        let recovering = match point.still_recovering {
            0 => None,
            n => Some(format!("{n} still recovering")),
        };
        Row {
            x: value(&map.x, point.x),
            y: value(&map.y, point.y),
            class: point.class.name(),
            with: share(&point.well),
            none: optional(&point.well_without_trigger),
            longest: optional(&point.well_after_longest),
            note: recovering.into_iter().chain(point.reasons.iter().cloned()).collect::<Vec<_>>().join("; "),
        }
    }
}

/// The class of the style sheet.
fn css(class: Class) -> String {
    format!("is-{}", class.name().replace(' ', "-"))
}

/// The drawing. All text in it is made here, from numbers and from names that are escaped.
fn svg(map: &MapResult) -> String {
    let (columns, rows) = (map.x.values.len(), map.y.values.len());
    let cell = (WIDE / columns as f64, HIGH / rows as f64);
    let at = |x: f64, y: f64| (LEFT + x * cell.0, TOP + HIGH - (y + 1.0) * cell.1);
    let (width, height) = (LEFT + WIDE + RIGHT, TOP + HIGH + BELOW);
    let mut out = String::new();
    let label = escaped(&format!("{} by {} over {}", map.about.title, map.y.path, map.x.path));
    write!(out, "<svg viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" aria-label=\"{label}\">{PATTERNS}")
        .expect("strings grow");
    areas(&mut out, map, cell, &at);
    for point in &map.points {
        let (x, y) = at(point.x as f64 + 0.5, point.y as f64 - 0.5);
        let radius = (cell.0.min(cell.1) / 6.0).clamp(0.8, 3.0);
        let what = format!(
            "{}, {}: {}, {} of {} seeds well at the end",
            value(&map.x, point.x),
            value(&map.y, point.y),
            point.class.name(),
            point.well.k,
            point.well.n
        );
        let what = escaped(&what);
        write!(
            out,
            "<circle class=\"measured\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius:.1}\"><title>{what}</title></circle>"
        )
        .expect("strings grow");
    }
    axes(&mut out, map, cell);
    out.push_str("</svg>");
    out
}

/// Neighbours of a row that have one class are one rectangle.
fn areas(out: &mut String, map: &MapResult, cell: (f64, f64), at: &dyn Fn(f64, f64) -> (f64, f64)) {
    for (y, row) in map.classes.iter().enumerate() {
        let mut from = 0;
        while from < row.len() {
            let to = from + row[from..].iter().take_while(|class| **class == row[from]).count();
            if let Some(class) = row[from] {
                let (left, top) = at(from as f64, y as f64);
                let (wide, high) = ((to - from) as f64 * cell.0, cell.1);
                for layer in ["area", "pattern"] {
                    write!(
                        out,
                        "<rect class=\"{layer} {}\" x=\"{left:.2}\" y=\"{top:.2}\" width=\"{wide:.2}\" \
                         height=\"{high:.2}\"/>",
                        css(class)
                    )
                    .expect("strings grow");
                }
            }
            from = to;
        }
    }
}

fn axes(out: &mut String, map: &MapResult, cell: (f64, f64)) {
    let bottom = TOP + HIGH;
    write!(out, "<path class=\"axis\" d=\"M{LEFT} {TOP}V{bottom}H{}\"/>", LEFT + WIDE).expect("strings grow");
    for x in chosen(map.x.values.len(), 8) {
        let middle = LEFT + (x as f64 + 0.5) * cell.0;
        let text = escaped(&value(&map.x, x));
        write!(
            out,
            "<path class=\"axis\" d=\"M{middle:.1} {bottom}v5\"/><text class=\"tick middle\" x=\"{middle:.1}\" \
             y=\"{:.1}\">{text}</text>",
            bottom + 20.0
        )
        .expect("strings grow");
    }
    for y in chosen(map.y.values.len(), 8) {
        let middle = bottom - (y as f64 + 0.5) * cell.1;
        let text = escaped(&value(&map.y, y));
        write!(
            out,
            "<path class=\"axis\" d=\"M{LEFT} {middle:.1}h-5\"/><text class=\"tick end\" x=\"{:.1}\" \
             y=\"{:.1}\">{text}</text>",
            LEFT - 9.0,
            middle + 4.0
        )
        .expect("strings grow");
    }
    let (middle_x, middle_y) = (LEFT + WIDE / 2.0, TOP + HIGH / 2.0);
    let (x, y) = (escaped(&map.x.path), escaped(&map.y.path));
    write!(
        out,
        "<text class=\"name middle\" x=\"{middle_x:.1}\" y=\"{:.1}\">{x}</text><text class=\"name middle\" \
         transform=\"translate(16 {middle_y:.1}) rotate(-90)\">{y}</text>",
        bottom + 46.0
    )
    .expect("strings grow");
}

/// About `most` places from the first to the last.
fn chosen(places: usize, most: usize) -> Vec<usize> {
    let every = (places - 1).div_ceil(most).max(1);
    (0..places).step_by(every).collect()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A pattern per class, so that the picture survives a printer and any eye.
const PATTERNS: &str = "<defs>\
<pattern id=\"dots\" width=\"8\" height=\"8\" patternUnits=\"userSpaceOnUse\"><circle class=\"ink\" cx=\"4\" cy=\"4\" r=\"1.1\"/></pattern>\
<pattern id=\"lines\" width=\"7\" height=\"7\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\"><path class=\"stroke\" d=\"M0 0V7\"/></pattern>\
<pattern id=\"crosses\" width=\"10\" height=\"10\" patternUnits=\"userSpaceOnUse\"><path class=\"stroke\" d=\"M2 2L8 8M8 2L2 8\"/></pattern>\
<pattern id=\"rows\" width=\"5\" height=\"5\" patternUnits=\"userSpaceOnUse\"><path class=\"stroke\" d=\"M0 2.5H5\"/></pattern></defs>";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_few_and_begin_at_the_first_place() {
        assert_eq!(chosen(33, 8), [0, 4, 8, 12, 16, 20, 24, 28, 32]);
        assert_eq!(chosen(2, 8), [0, 1]);
    }
}
