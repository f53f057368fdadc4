//! The event log of one arm: what happened, when, to which call. Always digested, so that two runs can be
//! compared by 16 bytes; kept as bytes only when somebody asked for the file, and then only up to
//! [`MOST_KEPT`]: three hours of a storm would be 400 MB that nobody reads.
//!
//! Entries are (time, kind, service, two numbers), as variable-length integers with the time as a
//! difference: 5 to 12 bytes each.

use std::sync::{Mutex, PoisonError};

use crate::draws::mix;
use crate::time::Time;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum EventKind {
    /// A user request became due. a: arrival; b: its class.
    Arrival = 1,
    /// A user request was resolved. a: arrival; b: 0 good answer, 1 degraded, else 1 + error.
    Resolved = 2,
    /// An attempt reached a service. a: arrival; b: path.
    Arrived = 3,
    /// A service refused an attempt. a: arrival; b: path.
    Rejected = 4,
    /// Work got a worker. a: arrival; b: path.
    Started = 5,
    /// Work ended. a: path; b: as for Resolved.
    Ended = 6,
    /// A caller left. a: arrival; b: path.
    Left = 7,
    /// A setting changed. a: hash of the path; b: hash of the value.
    Setting = 8,
    /// A trigger began or ended. a: its index; b: 1 or 0.
    Trigger = 9,
    /// A breaker changed state. a: the new state; b: 0.
    Breaker = 10,
    /// A service restarted. a: incarnation; b: work lost.
    Restart = 11,
    /// The kept log ends here, though more happened. a: bytes kept; b: 0. Never part of a digest.
    Cut = 12,
    /// Somebody ended old work at a service. a: how old, nanoseconds; b: work ended.
    Kill = 13,
    /// The number of replicas changed while it ran. a: before; b: after.
    Scaled = 14,
    /// A replica takes calls from now on. a: its ordinal; b: how many do.
    Ready = 15,
    /// A user who was due stayed away. a: arrival; b: 0.
    Away = 16,
    /// A packet that was to open a connection found no place in the accept queue. a: path; b: connections in it.
    SynDropped = 17,
}

/// Bytes of a log that are kept: about 1.2 million entries, eight minutes of a storm with 1,000 attempts per
/// second.
pub const MOST_KEPT: usize = 16 << 20;

impl EventKind {
    /// The kind of this number.
    pub fn from_number(number: u8) -> Option<EventKind> {
        use EventKind::*;
        const ALL: [EventKind; 17] = [
            Arrival, Resolved, Arrived, Rejected, Started, Ended, Left, Setting, Trigger, Breaker, Restart,
            Cut, Kill, Scaled, Ready, Away, SynDropped,
        ];
        ALL.into_iter().find(|kind| *kind as u8 == number)
    }
}

/// One entry, read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: Time,
    /// What.
    pub kind: EventKind,
    /// Where: index of the service in the scenario's order.
    pub service: u8,
    /// See [`EventKind`].
    pub a: u64,
    /// See [`EventKind`].
    pub b: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub struct EventLog(Mutex<Log>);

#[derive(Debug, Default)]
struct Log {
    digest: [u64; 2],
    count: u64,
    last: u64,
    kept: Option<Kept>,
}

#[derive(Debug)]
struct Kept {
    bytes: Vec<u8>,
    most: usize,
    cut: bool,
}

impl EventLog {
    /// A log that only digests, or also keeps every entry.
    pub fn new(keep: bool) -> EventLog {
        EventLog::keeping(keep.then_some(MOST_KEPT))
    }

    fn keeping(most: Option<usize>) -> EventLog {
        let kept = most.map(|most| Kept { bytes: Vec::new(), most, cut: false });
        EventLog(Mutex::new(Log { kept, ..Log::default() }))
    }

    /// Adds an entry.
    #[inline]
    pub fn record(&self, at: Time, kind: EventKind, service: u8, a: u64, b: u64) {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let head = at.nanos() ^ u64::from(kind as u8) << 56 ^ u64::from(service) << 48;
        log.digest[0] = (log.digest[0].rotate_left(5) ^ head).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ a;
        log.digest[1] = (log.digest[1].rotate_left(7) ^ b).wrapping_mul(0xc2b2_ae3d_27d4_eb4f) ^ head;
        log.count += 1;
        let last = log.last;
        log.last = last.max(at.nanos());
        if let Some(kept) = &mut log.kept {
            kept.add(at.nanos().saturating_sub(last), kind, service, a, b);
        }
    }

    /// How many entries, and their digest in hex.
    pub fn digest(&self) -> (u64, String) {
        let log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let [x, y] = log.digest;
        (log.count, format!("{:016x}{:016x}", mix(x ^ mix(log.count)), mix(y ^ x)))
    }

    /// The kept bytes, taken out.
    pub fn take(&self) -> Option<Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).kept.take().map(|kept| kept.bytes)
    }
}

impl Kept {
    fn add(&mut self, gap: u64, kind: EventKind, service: u8, a: u64, b: u64) {
        if self.cut {
            return;
        }
        self.cut = self.bytes.len() >= self.most;
        let (kind, service, a, b) = if self.cut {
            (EventKind::Cut, u8::MAX, self.bytes.len() as u64, 0)
        } else {
            (kind, service, a, b)
        };
        self.bytes.push(kind as u8);
        self.bytes.push(service);
        for number in [gap, a, b] {
            put(&mut self.bytes, number);
        }
    }
}

fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn get(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

/// Reads kept bytes back. Ends early, with `Err` holding the offset, at bytes that are no event.
pub fn read(bytes: &[u8]) -> impl Iterator<Item = Result<Event, usize>> {
    let mut rest = bytes;
    let mut at = 0_u64;
    let mut broken = false;
    std::iter::from_fn(move || {
        if rest.is_empty() || broken {
            return None;
        }
        let offset = bytes.len() - rest.len();
        let event = (|| {
            let (&kind, tail) = rest.split_first()?;
            let (&service, tail) = tail.split_first()?;
            rest = tail;
            at = at.checked_add(get(&mut rest)?)?;
            let kind = EventKind::from_number(kind)?;
            Some(Event { at: Time::from_nanos(at), kind, service, a: get(&mut rest)?, b: get(&mut rest)? })
        })();
        broken = event.is_none();
        Some(event.ok_or(offset))
    })
}

/// Where two logs part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// How many events they have in common before it.
    pub after: usize,
    /// The next event of the first log; none if it has ended, or is damaged there.
    pub left: Option<Event>,
    /// The next event of the second log.
    pub right: Option<Event>,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let show = |event: Option<Event>| match event {
            Some(Event { at, kind, service, a, b }) => {
                format!("{:.9} s {kind:?} service {service} a {a:#x} b {b:#x}", at.secs_f64())
            }
            None => "no event".to_owned(),
        };
        write!(f, "after {} equal events: {} | {}", self.after, show(self.left), show(self.right))
    }
}

/// The first event in which two kept logs differ; none if they are equal. `left` and `right` are as
/// [`EventLog::take`] gave them.
pub fn first_difference(left: &[u8], right: &[u8]) -> Option<Difference> {
    let (mut lefts, mut rights) = (read(left), read(right));
    for after in 0.. {
        let (left, right) = (lefts.next().and_then(Result::ok), rights.next().and_then(Result::ok));
        if left != right {
            return Some(Difference { after, left, right });
        }
        if left.is_none() {
            break;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_kept_is_read_back(entries in prop::collection::vec((0_u64..1 << 40, 1_u8..=11, any::<u8>(), any::<u64>(), any::<u64>()), 0..50)) {
            let log = EventLog::new(true);
            let mut at = 0;
            let mut expected = Vec::new();
            for (gap, kind, service, a, b) in entries {
                at += gap;
                let event = Event { at: Time::from_nanos(at), kind: EventKind::from_number(kind).unwrap(), service, a, b };
                log.record(event.at, event.kind, event.service, event.a, event.b);
                expected.push(Ok(event));
            }
            prop_assert_eq!(read(&log.take().unwrap()).collect::<Vec<_>>(), expected);
        }

        /// Up to the bound everything is kept, then one entry says that there was more; the digest is of all.
        #[test]
        fn a_log_over_its_bound_says_that_it_was_cut(most in 0_usize..200, n in 1_u64..100) {
            let (bounded, whole) = (EventLog::keeping(Some(most)), EventLog::new(true));
            for i in 0..n {
                for log in [&bounded, &whole] {
                    log.record(Time::from_nanos(i * 1_000), EventKind::Arrived, 1, i, i << 20);
                }
            }
            prop_assert_eq!(bounded.digest(), whole.digest());
            let kept: Vec<Event> = read(&bounded.take().unwrap()).map(Result::unwrap).collect();
            let all: Vec<Event> = read(&whole.take().unwrap()).map(Result::unwrap).collect();
            let entries = kept.iter().take_while(|event| event.kind != EventKind::Cut).count();
            prop_assert_eq!(&kept[..entries], &all[..entries]);
            prop_assert_eq!(kept.len(), all.len().min(entries + 1));
            prop_assert_eq!(kept.last().map(|event| event.at), all.get(kept.len() - 1).map(|event| event.at));
        }

        #[test]
        fn arbitrary_bytes_are_refused_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes).count();
        }
    }

    #[test]
    fn the_first_difference_is_the_first_event_that_is_not_the_same() {
        let log = |numbers: &[u64]| {
            let log = EventLog::new(true);
            for &n in numbers {
                log.record(Time::from_nanos(n), EventKind::Started, 1, n, 2);
            }
            log.take().unwrap()
        };
        assert_eq!(first_difference(&log(&[1, 2, 3]), &log(&[1, 2, 3])), None);
        let parted = first_difference(&log(&[1, 2, 3]), &log(&[1, 5, 6])).unwrap();
        assert_eq!((parted.after, parted.left.unwrap().a, parted.right.unwrap().a), (1, 2, 5));
        let shorter = first_difference(&log(&[1, 2]), &log(&[1])).unwrap();
        assert_eq!((shorter.after, shorter.left.unwrap().a, shorter.right), (1, 2, None));
        assert!(
            shorter.to_string().contains("after 1 equal events") && shorter.to_string().ends_with("no event")
        );
    }

    #[test]
    fn the_digest_tells_any_two_different_logs_apart() {
        let digest = |entries: &[(u64, EventKind, u8, u64, u64)]| {
            let log = EventLog::new(false);
            for &(at, kind, service, a, b) in entries {
                log.record(Time::from_nanos(at), kind, service, a, b);
            }
            log.digest().1
        };
        use EventKind::{Arrival, Resolved};
        let base = digest(&[(1, Arrival, 0, 1, 2), (2, Resolved, 1, 3, 4)]);
        for other in [
            digest(&[(1, Arrival, 0, 1, 2)]),
            digest(&[(1, Arrival, 0, 1, 2), (2, Resolved, 1, 3, 5)]),
            digest(&[(1, Arrival, 0, 1, 2), (2, Resolved, 2, 3, 4)]),
            digest(&[(1, Arrival, 0, 1, 2), (3, Resolved, 1, 3, 4)]),
            digest(&[(2, Resolved, 1, 3, 4), (1, Arrival, 0, 1, 2)]),
            digest(&[(1, Arrival, 0, 2, 2), (2, Resolved, 1, 3, 4)]),
        ] {
            assert_ne!(base, other);
        }
    }
}
