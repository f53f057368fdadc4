//! The grid of signs with its two axes. Rows run from the top of the vertical axis down.

use pumphandle_experiment::map::result::MapResult;

use super::{sign, value};
use crate::terminal::page::{Page, pad, plain, wide};

/// A label on the vertical axis every so many rows.
const ROWS_PER_LABEL: usize = 4;
/// Blanks between two labels of the horizontal axis.
const GAP: usize = 3;

/// Draws the grid, its axes and their labels.
pub(super) fn draw(page: &mut Page, map: &MapResult) {
    let rows = map.y.values.len();
    let labels = (0..rows).map(|y| wide(&value(&map.y, y))).max().unwrap_or(0);
    let columns = map.x.values.len();
    // Two signs to a point where there is room: then the picture is about as wide as it is high.
    let width = if labels + 4 + 2 * columns <= page.width() { 2 } else { 1 };
    for y in (0..rows).rev() {
        let from_top = rows - 1 - y;
        let is_labelled = y == 0 || from_top.is_multiple_of(ROWS_PER_LABEL) && y >= ROWS_PER_LABEL / 2;
        let label = if is_labelled { value(&map.y, y) } else { String::new() };
        let tick = if is_labelled { '┤' } else { '│' };
        let signs: String = map.classes[y].iter().map(|class| doubled(sign(*class), width)).collect();
        let room = " ".repeat(labels - wide(&label));
        page.line(&[plain(format!("  {room}{label} {tick}{signs}"))]);
    }
    let (ticks, texts) = horizontal(map, width);
    let margin = " ".repeat(labels + 3);
    page.line(&[plain(format!("{margin}└{ticks}"))]);
    page.line(&[plain(format!("{margin} {texts}"))]);
}

/// Areas that end badly are solid, the others are light.
fn doubled(sign: char, width: usize) -> String {
    match (width, sign) {
        (1, sign) => sign.to_string(),
        (_, '#' | 'X') => sign.to_string().repeat(width),
        (_, sign) => pad(&sign.to_string(), width),
    }
}

/// The line of the axis, and the labels under it: as many as fit.
fn horizontal(map: &MapResult, width: usize) -> (String, String) {
    let columns = map.x.values.len();
    let widest = (0..columns).map(|x| wide(&value(&map.x, x))).max().unwrap_or(1);
    let every = (widest + GAP).div_ceil(width).max(1);
    let (mut ticks, mut texts) = (String::new(), String::new());
    for x in 0..columns {
        let is_labelled = x.is_multiple_of(every);
        ticks.push(if is_labelled { '┬' } else { '─' });
        ticks.push_str(&"─".repeat(width - 1));
        if is_labelled {
            texts = pad(&texts, x * width);
            texts.push_str(&value(&map.x, x));
        }
    }
    (ticks, texts)
}
