//! Series as one line of blocks over a shared time axis, with a ruler above and seconds below.

use pumphandle_experiment::result::{ArmSeries, Story};

use super::page::wide;
use crate::words;

const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The run's seconds over columns of the terminal.
pub(crate) struct Axis {
    pub(crate) seconds: f64,
    pub(crate) columns: usize,
}

impl Axis {
    /// The column in which an instant lies.
    fn column(&self, at_s: f64) -> usize {
        let column = at_s / self.seconds.max(1.0) * self.columns as f64;
        (column as usize).min(self.columns.saturating_sub(1))
    }
}

/// The highest column of an arm, in good answers per second: what a full block stands for.
pub(crate) fn top(series: &ArmSeries, axis: &Axis) -> f64 {
    binned(&series.good_per_s.mean, axis).into_iter().fold(0.0, f64::max)
}

/// Good answers per second, a block per column.
pub(crate) fn line(series: &ArmSeries, axis: &Axis, top: f64) -> String {
    let block = |value: f64| {
        let step = if top > 0.0 { value / top * 8.0 } else { 0.0 };
        BLOCKS[(libm::ceil(step - 0.5) as usize).clamp(1, 8) - 1]
    };
    binned(&series.good_per_s.mean, axis).into_iter().map(block).collect()
}

/// The mean of the seconds that fall into each column (at least one).
fn binned(values: &[f64], axis: &Axis) -> Vec<f64> {
    let n = values.len();
    if n == 0 {
        return vec![0.0; axis.columns];
    }
    let bin = |column: usize| {
        let from = (column * n / axis.columns.max(1)).min(n - 1);
        let to = ((column + 1) * n / axis.columns.max(1)).clamp(from + 1, n);
        values[from..to].iter().sum::<f64>() / (to - from) as f64
    };
    (0..axis.columns).map(bin).collect()
}

/// Names of triggers and of the pull over their marks: as many rows as the names need, then the marks.
pub(crate) fn ruler(story: &Story, axis: &Axis) -> Vec<String> {
    let mut marks = vec![' '; axis.columns];
    let mut labels: Vec<(usize, String)> = Vec::new();
    for trigger in &story.triggers {
        let from = axis.column(trigger.from_s);
        let to = axis.column(trigger.to_s.unwrap_or(axis.seconds));
        (from..=to).for_each(|at| marks[at] = '━');
        marks[from] = '┣';
        marks[to] = if trigger.to_s.is_some() { '┫' } else { '▶' };
        if from == to {
            marks[from] = '┃';
        }
        labels.push((from, trigger.name.clone()));
    }
    let pulled = story.result.arms.iter().any(|arm| arm.mode.as_deref() == Some("pulled"));
    if let Some(at) = story.result.windows_s.pull.filter(|_| pulled) {
        marks[axis.column(at)] = '▼';
        labels.push((axis.column(at), format!("levers pulled at {}", words::instant(at, axis.seconds))));
    }
    let mut rows = placed(labels, axis.columns);
    rows.push(marks.into_iter().collect());
    rows
}

/// Seconds at round distances, under their columns; days of a run of weeks.
pub(crate) fn seconds(axis: &Axis) -> String {
    let step = step(axis);
    let mut labels = Vec::new();
    let mut at = 0.0;
    let unit = if words::in_days(axis.seconds) { words::DAY } else { 1.0 };
    while at < axis.seconds {
        labels.push((axis.column(at), words::number(at / unit)));
        at += step;
    }
    let end = words::instant(axis.seconds, axis.seconds);
    let end_at = axis.columns.saturating_sub(wide(&end));
    labels.retain(|(column, text)| column + wide(text) < end_at);
    labels.push((end_at, end));
    placed(labels, axis.columns).pop().unwrap_or_default()
}

/// The smallest round step that leaves at least ten columns between labels.
fn step(axis: &Axis) -> f64 {
    let least = axis.seconds * 10.0 / axis.columns.max(1) as f64;
    let round = [1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 14_400.0];
    round.into_iter().find(|step| *step >= least).unwrap_or(libm::ceil(least / 86_400.0).max(1.0) * 86_400.0)
}

/// Labels at their columns, moved left where they would leave the axis; one that overlaps goes to a row above.
fn placed(labels: Vec<(usize, String)>, columns: usize) -> Vec<String> {
    let mut rows: Vec<Vec<(usize, String)>> = Vec::new();
    for (at, text) in labels {
        let text = super::page::cut(&text, columns);
        let at = at.min(columns.saturating_sub(wide(&text)));
        let free =
            |row: &Vec<(usize, String)>| row.iter().all(|(a, t)| at > a + wide(t) || at + wide(&text) < *a);
        match rows.iter_mut().find(|row| free(row)) {
            Some(row) => row.push((at, text)),
            None => rows.push(vec![(at, text)]),
        }
    }
    rows.reverse();
    rows.into_iter().map(written).collect()
}

fn written(mut row: Vec<(usize, String)>) -> String {
    row.sort();
    row.into_iter().fold(String::new(), |line, (at, text)| format!("{}{text}", super::page::pad(&line, at)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_that_would_overlap_move_to_a_row_above() {
        let rows = placed(vec![(0, "slow".into()), (2, "pull".into()), (9, "end".into())], 10);
        assert_eq!(rows, ["  pull", "slow   end"]);
    }

    #[test]
    fn a_label_at_every_step_and_the_end_at_the_end() {
        assert_eq!(
            seconds(&Axis { seconds: 300.0, columns: 50 }),
            "0         60        120       180       240  300 s"
        );
    }

    #[test]
    fn a_bin_is_never_empty_even_with_fewer_seconds_than_columns() {
        let axis = Axis { seconds: 3.0, columns: 7 };
        assert_eq!(binned(&[1.0, 2.0, 3.0], &axis), [1.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0]);
    }
}
