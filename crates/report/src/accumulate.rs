//! What is accumulating: the stock of the control that grew and stayed full. Reads series; draws nothing.

use pumphandle_experiment::result::{ArmSeries, Story};

use crate::words;

/// Near its limit from here on: 90 %, so that a full queue whose level flickers still counts as full.
const NEAR: f64 = 0.9;

/// A stock without a limit wanders about its mean: it has arrived when it stays above half of that.
const HALF_WAY: f64 = 0.5;

/// Growth below this is noise: a stock of less than one item more than before has not accumulated.
const LEAST_GROWTH: f64 = 1.0;

/// A stock that grew, and what flows through it in the last minute.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Accumulation {
    /// `service.stock`.
    pub(crate) name: String,
    /// Mean level before the trigger.
    pub(crate) before: f64,
    /// Mean level over the last minute; over the last day of a run of weeks, and so below.
    pub(crate) after: f64,
    /// Its limit, where it has one and stays near it.
    pub(crate) full: Option<f64>,
    /// The instant from which it stays there, in words.
    pub(crate) since: Option<String>,
    /// The run is one of weeks.
    pub(crate) in_days: bool,
    /// Entered per second, last minute.
    pub(crate) inflow: f64,
    /// Left per second, last minute.
    pub(crate) outflow: f64,
    /// Good answers per second completed in the last minute, of the whole system.
    pub(crate) in_time: f64,
}

/// The control's stock that stays near its limit and grew most; without any such, the one that grew most;
/// none if nothing grew by half of what it was.
pub(crate) fn accumulating(story: &Story) -> Option<Accumulation> {
    accumulations(story).into_iter().next()
}

/// All of the control's stocks that grew by half of what they were: full ones first, then by growth.
pub(crate) fn accumulations(story: &Story) -> Vec<Accumulation> {
    let Some(control) = story.series.get("control") else { return Vec::new() };
    let windows = &story.result.windows_s;
    let trigger = windows.trigger.map(|t| t[0]);
    let in_days = words::in_days(windows.end);
    let rows = if in_days { words::DAY as usize / story.sample_s.max(1) } else { 60 };
    let mut found: Vec<Accumulation> = Vec::new();
    for (service, series) in &control.services {
        // Replicas do not pile up: somebody asks for them.
        for (stock, values) in series.stocks.iter().filter(|(stock, _)| !stock.starts_with("replicas_")) {
            let n = values.level.len();
            let before = mean(&values.level[..before_end(n, trigger)]);
            let after = last(&values.level, rows);
            let full = values.limit.filter(|limit| after >= NEAR * limit);
            if after - before < LEAST_GROWTH.max(before * 0.5) {
                continue;
            }
            let since = since(&values.level, full.map_or(HALF_WAY * after, |limit| NEAR * limit));
            found.push(Accumulation {
                name: format!("{service}.{stock}"),
                before,
                after,
                full,
                since: since.map(|row| words::instant((row * story.sample_s) as f64, windows.end)),
                in_days,
                inflow: last(&values.inflow, rows),
                outflow: last(&values.outflow, rows),
                in_time: last(&control.goodput_per_s.mean, rows),
            });
        }
    }
    found.sort_by(|a, b| {
        b.full.is_some().cmp(&a.full.is_some()).then((b.after - b.before).total_cmp(&(a.after - a.before)))
    });
    found
}

/// Attempts per arrival over the last minute of an arm.
pub(crate) fn attempts_per_arrival(series: &ArmSeries) -> f64 {
    last(&series.attempts_per_arrival.mean, 60)
}

/// Where "before" ends: the trigger's start, or a fifth of the run without one; at least one second.
fn before_end(n: usize, trigger: Option<f64>) -> usize {
    trigger.map_or(n / 5, |at| at as usize).clamp(n.min(1), n)
}

/// The second after the last one below the threshold, if that is not the end.
fn since(level: &[f64], threshold: f64) -> Option<usize> {
    let below = level.iter().rposition(|value| *value < threshold);
    let since = below.map_or(0, |at| at + 1);
    (since < level.len()).then_some(since)
}

/// The mean of the last `rows` values.
fn last(values: &[f64], rows: usize) -> f64 {
    mean(&values[values.len().saturating_sub(rows)..])
}

fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stock_is_full_since_the_second_after_it_was_last_clearly_below() {
        assert_eq!(since(&[0.0, 500.0, 1000.0, 980.0, 1000.0], 900.0), Some(2));
        assert_eq!(since(&[1000.0, 1000.0], 900.0), Some(0));
        assert_eq!(since(&[1000.0, 0.0], 900.0), None);
    }
}
