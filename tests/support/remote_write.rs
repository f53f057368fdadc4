//! The other end of remote write, for tests: snappy blocks and protobuf read by hand, from their descriptions
//! (`format_description.txt` of snappy; "Encoding" of protobuf), so that nothing that writes them is trusted to read
//! them. Strict: whatever a reader might forgive is an error here.

use std::collections::BTreeMap;

/// What Prometheus takes for the end of a series.
pub(crate) const STALE: u64 = 0x7ff0_0000_0000_0002;

/// A series by its labels, with times in milliseconds and the bits of values.
pub(crate) type Received = BTreeMap<BTreeMap<String, String>, Vec<(i64, u64)>>;

/// Adds a request's samples to what was received.
pub(crate) fn receive(body: &[u8], into: &mut Received) {
    for (field, series) in fields(&unpacked(body)) {
        assert_eq!(field, 1, "a WriteRequest has series and nothing else here");
        let (mut labels, mut samples, mut names) = (BTreeMap::new(), Vec::new(), Vec::new());
        for (field, bytes) in fields(series.bytes()) {
            match field {
                1 => {
                    let (name, value) = label(bytes.bytes());
                    names.push(name.clone());
                    assert!(!value.is_empty() && labels.insert(name, value).is_none());
                }
                2 => samples.push(sample(bytes.bytes())),
                other => panic!("a TimeSeries has no field {other} here"),
            }
        }
        assert!(names.is_sorted(), "labels are in the order of their names: {names:?}");
        assert!(!samples.is_empty(), "a series without samples");
        into.entry(labels).or_default().extend(samples);
    }
}

fn label(bytes: &[u8]) -> (String, String) {
    let text = |field: &Field| String::from_utf8(field.bytes().to_vec()).expect("labels are text");
    match &fields(bytes)[..] {
        [(1, name), (2, value)] => (text(name), text(value)),
        other => panic!("a Label is a name and a value: {other:?}"),
    }
}

fn sample(bytes: &[u8]) -> (i64, u64) {
    let (mut value, mut time) = (0, 0);
    for (field, content) in fields(bytes) {
        match (field, content) {
            (1, Field::Fixed(bits)) => value = bits,
            (2, Field::Varint(number)) => time = number as i64,
            other => panic!("a Sample is a double and a time: {other:?}"),
        }
    }
    (time, value)
}

#[derive(Debug)]
enum Field<'a> {
    Varint(u64),
    Fixed(u64),
    Bytes(&'a [u8]),
}

impl<'a> Field<'a> {
    fn bytes(&self) -> &'a [u8] {
        match self {
            Field::Bytes(bytes) => bytes,
            other => panic!("bytes are expected here: {other:?}"),
        }
    }
}

fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let field = match key & 7 {
            0 => Field::Varint(varint(&mut bytes)),
            1 => {
                Field::Fixed(u64::from_le_bytes(take(&mut bytes, 8).try_into().expect("8 bytes were taken")))
            }
            2 => {
                let length = varint(&mut bytes) as usize;
                Field::Bytes(take(&mut bytes, length))
            }
            other => panic!("no field of ours is of wire type {other}"),
        };
        all.push((key >> 3, field));
    }
    all
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut number = 0;
    for i in 0..10 {
        let byte = take(bytes, 1)[0];
        number |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return number;
        }
    }
    panic!("a varint of more than ten bytes");
}

fn take<'a>(bytes: &mut &'a [u8], many: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(many);
    *bytes = rest;
    taken
}

/// A snappy block without its compression.
fn unpacked(mut block: &[u8]) -> Vec<u8> {
    let length = varint(&mut block) as usize;
    let mut all: Vec<u8> = Vec::with_capacity(length);
    while !block.is_empty() {
        let tag = usize::from(take(&mut block, 1)[0]);
        let number = |block: &mut &[u8], many| {
            take(block, many).iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte))
        };
        let (length, offset) = match tag & 3 {
            0 => {
                let length = match tag >> 2 {
                    short @ ..=59 => short + 1,
                    long => number(&mut block, long - 59) + 1,
                };
                all.extend_from_slice(take(&mut block, length));
                continue;
            }
            1 => ((tag >> 2 & 7) + 4, (tag >> 5) << 8 | number(&mut block, 1)),
            2 => ((tag >> 2) + 1, number(&mut block, 2)),
            _ => ((tag >> 2) + 1, number(&mut block, 4)),
        };
        assert!(offset > 0 && offset <= all.len(), "a copy from before the start");
        // A copy may reach into what it writes.
        for _ in 0..length {
            all.push(all[all.len() - offset]);
        }
    }
    assert_eq!(all.len(), length, "the block is as long as it says");
    all
}
