//! The same as requests of Prometheus' remote write, version 1: a `WriteRequest` in protobuf, compressed as one snappy
//! block. The messages are written down here, so that no compiler for them is needed: fields and their numbers are
//! those of `prometheus/prompb/remote.proto` and `types.proto`.
//!
//! Samples go out minute by minute, all series of a minute before the next: a server that accepts nothing older than
//! an hour before its newest sample accepts a run of any length.

use std::collections::VecDeque;
use std::io::BufRead;

use prost::Message;

use super::frames::{Frames, Sample};
use super::series::Series;
use super::{Unreadable, frames::Frame};

/// Seconds that are sent together.
const WINDOW: u32 = 60;

/// Samples of a request, about: some 400 KB before compression.
const REQUEST: usize = 20_000;

/// What Prometheus takes for "this series has ended": its own choice among all values that are no number
/// (`model/value/value.go`).
const STALE: u64 = 0x7ff0_0000_0000_0002;

#[derive(Clone, PartialEq, Message)]
struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    timeseries: Vec<TimeSeries>,
}

#[derive(Clone, PartialEq, Message)]
struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Point>,
}

#[derive(Clone, PartialEq, Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct Point {
    #[prost(double, tag = "1")]
    value: f64,
    /// Milliseconds since 1970.
    #[prost(int64, tag = "2")]
    timestamp: i64,
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Its body.
    pub body: Vec<u8>,
    /// How many samples it has.
    pub samples: u64,
}

/// All requests of a recording, one after the other.
pub struct Batches<'a, R> {
    frames: Frames<'a, R>,
    start_ms: i64,
    /// Series that travel together, in the order of the series; their samples are emptied after each minute.
    together: Vec<WriteRequest>,
    ready: VecDeque<Batch>,
}

impl<'a, R: BufRead> Batches<'a, R> {
    /// The recording, as if it had begun at `start_ms`, milliseconds since 1970.
    pub fn new(frames: Frames<'a, R>, start_ms: i64) -> Batches<'a, R> {
        let each = REQUEST / WINDOW as usize;
        let series: Vec<TimeSeries> = frames.series().iter().map(time_series).collect();
        let together = series.chunks(each).map(|them| WriteRequest { timeseries: them.to_vec() });
        Batches { together: together.collect(), frames, start_ms, ready: VecDeque::new() }
    }

    /// The next request; none when all are made.
    ///
    /// # Errors
    ///
    /// [`Unreadable`].
    #[allow(clippy::should_implement_trait, reason = "an error is not an end")]
    pub fn next(&mut self) -> Result<Option<Batch>, Unreadable> {
        while self.ready.is_empty() {
            let mut seconds = 0;
            while seconds < WINDOW {
                let Some(frame) = self.frames.next()? else { break };
                add(frame, self.start_ms, &mut self.together);
                seconds += 1;
            }
            if seconds == 0 {
                return Ok(None);
            }
            self.ready.extend(self.together.iter_mut().filter_map(batch));
        }
        Ok(self.ready.pop_front())
    }
}

/// A series without samples. Its labels are in the order of their names, as Prometheus wants them.
fn time_series(series: &Series) -> TimeSeries {
    let name = ("__name__", series.name.clone());
    let mut labels: Vec<(&str, String)> = series.labels.iter().cloned().chain([name]).collect();
    labels.sort_unstable();
    let labels = labels.into_iter().map(|(name, value)| Label { name: name.to_owned(), value });
    TimeSeries { labels: labels.collect(), samples: Vec::new() }
}

fn add(frame: Frame<'_>, start_ms: i64, together: &mut [WriteRequest]) {
    let timestamp = start_ms + i64::from(frame.second) * 1000;
    let series = together.iter_mut().flat_map(|request| &mut request.timeseries);
    for (series, sample) in series.zip(frame.samples) {
        match sample {
            Sample::None => {}
            Sample::Value(value) => series.samples.push(Point { value: *value, timestamp }),
            Sample::End => series.samples.push(Point { value: f64::from_bits(STALE), timestamp }),
        }
    }
}

/// What has come together as a request; none if that is nothing.
fn batch(request: &mut WriteRequest) -> Option<Batch> {
    let samples: usize = request.timeseries.iter().map(|series| series.samples.len()).sum();
    if samples == 0 {
        return None;
    }
    // A series without samples in a request is refused by some servers.
    let bytes = if request.timeseries.iter().all(|series| !series.samples.is_empty()) {
        request.encode_to_vec()
    } else {
        let some = request.timeseries.iter().filter(|series| !series.samples.is_empty());
        WriteRequest { timeseries: some.cloned().collect() }.encode_to_vec()
    };
    request.timeseries.iter_mut().for_each(|series| series.samples.clear());
    let body = snap::raw::Encoder::new().compress_vec(&bytes).expect("a request is far below 4 GB");
    Some(Batch { body, samples: samples as u64 })
}
