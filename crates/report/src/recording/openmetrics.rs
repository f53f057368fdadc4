//! The same as a file in the OpenMetrics text format, with a time on every sample, for `promtool tsdb
//! create-blocks-from openmetrics`. A metric family stands in one piece, and so does every metric in it, as the format
//! demands; the file of series is therefore read again for as many samples as may be held.
//!
//! The format has no way to say that a series has ended: to a query it goes on for five minutes.

use std::io::{self, BufRead, Write};

use pumphandle_core::catalogue::Kind;
use pumphandle_experiment::result::RunResult;

use super::Unreadable;
use super::frames::{Frames, Sample, extent};
use super::series::Series;

/// Writes the recording as if it had begun at `start`, seconds since 1970. `lines` opens the file of series, again and
/// again; `held` is how many samples may be held in memory, 8 bytes each (one metric may have more). Returns the number of
/// samples.
///
/// # Errors
///
/// [`Unreadable`]; also [`Unreadable::Io`] for what `out` refuses.
pub fn openmetrics<R: BufRead>(
    result: &RunResult,
    run: &str,
    start: i64,
    held: usize,
    mut lines: impl FnMut() -> io::Result<R>,
    out: &mut impl Write,
) -> Result<u64, Unreadable> {
    let mut open = || Frames::new(result, lines().map_err(Unreadable::Io)?, run);
    let series = in_order(open()?.series());
    let seconds = extent(open()?)?.last as usize + 1;
    let (mut written, mut rest, mut family) = (0, series.as_slice(), "");
    while !rest.is_empty() {
        let (piece, more) = rest.split_at(piece(rest, held / seconds));
        let columns = columns(open()?, piece, seconds)?;
        for metric in piece.iter().zip(&columns).collect::<Vec<_>>().chunk_by(|a, b| a.0.1.belongs_to(&b.0.1))
        {
            let first = &metric[0].0.1;
            if first.metric != family {
                family = &first.metric;
                head(first, out).map_err(Unreadable::Io)?;
            }
            written += write(metric, start, out).map_err(Unreadable::Io)?;
        }
        rest = more;
    }
    writeln!(out, "# EOF").map_err(Unreadable::Io)?;
    Ok(written)
}

/// A series with its place among the samples.
type Placed = (usize, Series);

/// The series of a family together, and in it those of a metric; otherwise as they were.
fn in_order(series: &[Series]) -> Vec<Placed> {
    let mut all: Vec<Placed> = series.iter().cloned().enumerate().collect();
    let key = |(_, it): &Placed| {
        let labels = it.labels.iter().filter(|(label, _)| *label != "le");
        (it.metric.clone(), labels.map(|(_, value)| value.clone()).collect::<Vec<_>>())
    };
    all.sort_by_cached_key(key);
    all
}

/// How many of the series are done together: as many as may be held, and whole metrics.
fn piece(series: &[Placed], most: usize) -> usize {
    let mut many = most.clamp(1, series.len());
    while many < series.len() && series[many].1.belongs_to(&series[many - 1].1) {
        many += 1;
    }
    many
}

/// The values of these series, by second; what is none is no number.
fn columns<R: BufRead>(
    mut frames: Frames<'_, R>,
    series: &[Placed],
    seconds: usize,
) -> Result<Vec<Vec<f64>>, Unreadable> {
    let mut columns = vec![Vec::with_capacity(seconds); series.len()];
    while let Some(frame) = frames.next()? {
        for (column, (at, _)) in columns.iter_mut().zip(series) {
            let value = if let Sample::Value(value) = frame.samples[*at] { value } else { f64::NAN };
            column.push(value);
        }
    }
    Ok(columns)
}

fn head(series: &Series, out: &mut impl Write) -> io::Result<()> {
    // The ending of a counter belongs to its samples, not to its family.
    let family = match series.kind {
        Kind::Counter => series.metric.trim_end_matches("_total"),
        Kind::Gauge | Kind::Histogram => &series.metric,
    };
    writeln!(out, "# TYPE {family} {}", series.kind.name())?;
    writeln!(out, "# HELP {family} {}", escaped(&series.help))
}

/// One metric, point by point: all parts of a histogram for one second, then those for the next.
fn write(metric: &[(&Placed, &Vec<f64>)], start: i64, out: &mut impl Write) -> io::Result<u64> {
    let names: Vec<String> = metric.iter().map(|((_, series), _)| sample_name(series)).collect();
    let seconds = metric.iter().map(|(_, column)| column.len()).max().unwrap_or(0);
    let mut written = 0;
    for second in 0..seconds {
        for (name, (_, column)) in names.iter().zip(metric) {
            let value = column[second];
            if !value.is_nan() {
                writeln!(out, "{name} {value} {}", start + second as i64)?;
                written += 1;
            }
        }
    }
    Ok(written)
}

fn sample_name(series: &Series) -> String {
    let labels: Vec<String> =
        series.labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    format!("{}{{{}}}", series.name, labels.join(","))
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
