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

#[cfg(test)]
mod tests {
    use super::*;
    use pumphandle_core::catalogue::Kind;

    #[test]
    fn a_request_is_the_bytes_that_the_description_of_protobuf_gives() {
        let series = Series {
            metric: "a".to_owned(),
            kind: Kind::Gauge,
            help: String::new(),
            name: "a".to_owned(),
            labels: vec![("run", "r".to_owned())],
        };
        let mut together = [WriteRequest { timeseries: vec![time_series(&series)] }];
        add(Frame { second: 1, samples: &[Sample::Value(1.0)] }, 0, &mut together);
        add(Frame { second: 2, samples: &[Sample::End] }, 0, &mut together);
        let by_hand: &[&[u8]] = &[
            b"\x0a\x35",                          // field 1, 53 bytes: a TimeSeries
            b"\x0a\x0d\x0a\x08__name__\x12\x01a", // field 1, 13 bytes: a Label
            b"\x0a\x08\x0a\x03run\x12\x01r",
            b"\x12\x0c\x09\0\0\0\0\0\0\xf0\x3f\x10\xe8\x07", // field 2, 12 bytes: 1.0 at 1000
            b"\x12\x0c\x09\x02\0\0\0\0\0\xf0\x7f\x10\xd0\x0f", // and the mark of an end at 2000
        ];
        assert_eq!(together[0].encode_to_vec(), by_hand.concat());
        let made = batch(&mut together[0]).expect("it has samples");
        assert_eq!(made.samples, 2);
        let unpacked = snap::raw::Decoder::new().decompress_vec(&made.body).expect("a snappy block");
        assert_eq!(unpacked, by_hand.concat());
        assert_eq!(batch(&mut together[0]), None, "they are sent once");
    }
}
