//! A table that gives up its least needed columns, never its width. Knows cells; knows nothing of runs.

use super::page::{Page, Span, plain, styled, wide};

/// A column with a title of two lines.
pub(crate) struct Column {
    over: String,
    title: String,
    /// 0 stays; of the others the highest goes first.
    dispensable: u8,
    /// What a user types: set on a line of its own rather than cut.
    is_name: bool,
}

impl Column {
    pub(crate) fn new(over: &str, title: &str, dispensable: u8) -> Self {
        Self { over: over.to_string(), title: title.to_string(), dispensable, is_name: false }
    }

    pub(crate) fn name(over: &str, title: &str) -> Self {
        Self { is_name: true, ..Self::new(over, title, 0) }
    }
}

/// Narrower than this a column of names is not worth having.
const LEAST_NAME: usize = 10;

/// Rows of as many cells as there are columns.
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Span>>,
}

impl Table {
    pub(crate) fn new(columns: Vec<Column>) -> Self {
        Self { columns, rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: Vec<Span>) {
        assert_eq!(cells.len(), self.columns.len(), "a row has a cell for every column");
        self.rows.push(cells);
    }

    pub(crate) fn print(mut self, page: &mut Page) {
        let widths = self.fit(page.width().saturating_sub(2));
        let over: Vec<Span> = self.columns.iter().map(|c| styled(&c.over, super::dim())).collect();
        let titles: Vec<Span> = self.columns.iter().map(|c| styled(&c.title, super::dim())).collect();
        overlapping(page, &over, &widths);
        line(page, &titles, &widths);
        for row in &self.rows {
            self.print_row(page, row, &widths);
        }
    }

    /// A name too wide for its column takes a line of its own.
    fn print_row(&self, page: &mut Page, row: &[Span], widths: &[usize]) {
        let name = self.columns.iter().position(|column| column.is_name);
        match name.filter(|at| row[*at].wide() > widths[*at]) {
            None => line(page, row, widths),
            Some(at) => {
                let mut first: Vec<Span> = vec![plain("  ")];
                first.extend(row[..at].iter().zip(widths).map(|(cell, width)| cell.fit(width + 1)));
                first.push(row[at].clone());
                page.line(&first);
                let mut rest: Vec<Span> = row.to_vec();
                rest[..=at].iter_mut().for_each(|cell| *cell = plain(""));
                line(page, &rest, widths);
            }
        }
    }

    /// Removes columns until the rest fit; returns the widths.
    fn fit(&mut self, room: usize) -> Vec<usize> {
        loop {
            let mut widths: Vec<usize> = (0..self.columns.len()).map(|at| self.natural(at)).collect();
            let used = widths.iter().sum::<usize>() + widths.len().saturating_sub(1);
            let over = used.saturating_sub(room);
            if let Some(at) = self.columns.iter().position(|column| column.is_name) {
                widths[at] = widths[at].saturating_sub(over).max(LEAST_NAME.min(widths[at]));
            }
            let used = widths.iter().sum::<usize>() + widths.len().saturating_sub(1);
            let weakest = (0..self.columns.len()).max_by_key(|at| self.columns[*at].dispensable);
            match weakest.filter(|at| used > room && self.columns[*at].dispensable > 0) {
                None => return widths,
                Some(at) => {
                    self.columns.remove(at);
                    self.rows.iter_mut().for_each(|row| drop(row.remove(at)));
                }
            }
        }
    }

    /// As wide as its cells and titles; an upper title may run over what is free to its right.
    fn natural(&self, at: usize) -> usize {
        let cells = self.rows.iter().map(|row| row[at].wide()).max().unwrap_or(0);
        let alone = self.columns.get(at + 1).is_some_and(|next| !next.over.is_empty());
        let over = if alone { wide(&self.columns[at].over) } else { 0 };
        cells.max(wide(&self.columns[at].title)).max(over)
    }
}

fn line(page: &mut Page, cells: &[Span], widths: &[usize]) {
    let mut spans = vec![plain("  ")];
    spans.extend(cells.iter().zip(widths).flat_map(|(cell, width)| [cell.fit(*width), plain(" ")]));
    page.line(&spans);
}

/// The upper titles: each may run over the empty ones to its right.
fn overlapping(page: &mut Page, cells: &[Span], widths: &[usize]) {
    let mut spans = vec![plain("  ")];
    let mut at = 0;
    while at < cells.len() {
        let empty = cells[at + 1..].iter().take_while(|cell| cell.wide() == 0).count();
        let covered = if cells[at].wide() == 0 { 0 } else { empty };
        let room = widths[at..=at + covered].iter().sum::<usize>() + covered;
        let last = at + covered + 1 == cells.len();
        spans.extend([if last { cells[at].clone() } else { cells[at].fit(room) }, plain(" ")]);
        at += covered + 1;
    }
    page.line(&spans);
}
