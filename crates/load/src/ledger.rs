//! What became of the arrivals, second by second of their due times (or in longer steps, over days). Open loop: latency counts from the due
//! time, and those who were never answered stay in the denominator.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use pumphandle_core::catalogue::LATENCY_BUCKETS;
use pumphandle_core::{Outcome, Time};

use crate::users::{Settled, Users};

/// One second of due times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Second {
    /// Users due in it.
    pub arrivals: u32,
    /// Answered correctly within the SLO.
    pub good: u32,
    /// Answered with a fallback within the SLO.
    pub degraded: u32,
    /// Answered correctly, or with a fallback, too late.
    pub late: u32,
    /// Answered with an error.
    pub errors: u32,
    /// Stayed away, because they had heard that it is slow: nobody was asked.
    pub away: u32,
    /// Good answers completed in this second, whenever they were due.
    pub completed_good: u32,
    /// Answered correctly within the patience of a second SLO; none if there is none.
    pub patient: u32,
    /// Waiting time of all who were answered correctly or with a fallback, in time or not: nanoseconds.
    pub answered_ns: u64,
}

impl Second {
    /// Sent, and not answered at all by the end of the run.
    pub fn unanswered(&self) -> u32 {
        self.arrivals - self.away - self.good - self.degraded - self.late - self.errors
    }
}

/// Number of counts of [`Answers::latencies`].
pub const LATENCIES: usize = LATENCY_BUCKETS.len() + 1;

/// One second of answers: users settled in it, whenever they were due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// Answered correctly within the SLO.
    pub good: u32,
    /// Answered with a fallback within the SLO.
    pub degraded: u32,
    /// Answered correctly, or with a fallback, too late.
    pub late: u32,
    /// Answered with an error.
    pub errors: u32,
    /// Their latencies from the due time: not above the bound of the same place of [`LATENCY_BUCKETS`], and above the
    /// one before it. The last are those above all bounds.
    pub latencies: [u32; LATENCIES],
    /// Sum of these latencies, nanoseconds.
    pub latency_ns: u64,
}

impl Answers {
    /// All of them.
    pub fn all(&self) -> u32 {
        self.good + self.degraded + self.late + self.errors
    }
}

/// Number of latency buckets.
pub const BUCKETS: usize = 128;
/// Lower edge of the first bucket but one, nanoseconds.
const SMALLEST: f64 = 1e5;
/// Ratio of a bucket's edges: from 0.1 ms to 170 s.
const RATIO: f64 = 1.121;

/// Latencies of one second of due times in logarithmic buckets, for drawing; 12 % wide.
pub type Sketch = [u16; BUCKETS];

/// The bucket of a latency.
pub fn bucket_of(nanos: u64) -> usize {
    let ratio = nanos as f64 / SMALLEST;
    if ratio < 1.0 { 0 } else { ((libm::log(ratio) / libm::log(RATIO)) as usize + 1).min(BUCKETS - 1) }
}

/// The geometric middle of a bucket, in milliseconds.
pub fn bucket_ms(bucket: usize) -> f64 {
    if bucket == 0 {
        return SMALLEST / 2e6;
    }
    SMALLEST * libm::pow(RATIO, bucket as f64 - 0.5) / 1e6
}

/// All of one arm and seed, once it is over.
#[derive(Clone, Debug)]
pub struct Tally {
    /// By due second.
    pub seconds: Vec<Second>,
    /// By the second of the answer, until the last one: longer than `seconds` where users waited on, shorter where the
    /// last ones got none.
    pub answers: Vec<Answers>,
    /// By due second.
    pub sketches: Vec<Sketch>,
    /// Latencies in microseconds of all arrivals due in the harm window.
    pub harm_window: Histogram<u64>,
    /// Those of them that were never answered, counted at the end of the run.
    pub censored: u64,
    /// Due time to the start of handling, microseconds: how far generator and arm fell behind.
    pub lag: Histogram<u64>,
    /// When the first user was due; none if nobody came.
    pub first_due: Option<Time>,
    /// When the last answer came, or the book was closed on somebody who had none.
    pub last_answer: Time,
}

/// The open book of a run. See the module.
#[derive(Debug)]
pub struct Ledger {
    slo: Duration,
    patience: Duration,
    harm_from: Time,
    /// Seconds in a row.
    step: u64,
    /// For whoever watches; nobody does in virtual time.
    users: Option<Arc<Users>>,
    book: Mutex<Book>,
}

#[derive(Debug)]
struct Book {
    tally: Tally,
    open: u64,
    closed: bool,
    step: u64,
    /// Sum over those still unanswered would need each due time; they are few: kept per second.
    unanswered_due: Vec<u32>,
}

impl Ledger {
    /// An empty book for `seconds` seconds of arrivals. `harm_from`: since when latencies count for the
    /// percentiles.
    pub fn new(slo: Duration, seconds: usize, harm_from: Time) -> Ledger {
        let histogram = || Histogram::new(3).expect("three significant digits are in range");
        let tally = Tally {
            seconds: vec![Second::default(); seconds],
            answers: Vec::with_capacity(seconds),
            sketches: vec![[0; BUCKETS]; seconds],
            harm_window: histogram(),
            censored: 0,
            lag: histogram(),
            first_due: None,
            last_answer: Time::ZERO,
        };
        let book = Book { tally, open: 0, closed: false, step: 1, unanswered_due: vec![0; seconds] };
        Ledger { slo, patience: Duration::ZERO, harm_from, step: 1, users: None, book: Mutex::new(book) }
    }

    /// Also counts who was answered correctly within `patience`.
    pub fn with_patience(self, patience: Duration) -> Ledger {
        Ledger { patience, ..self }
    }

    /// In rows of so many seconds, in place of one: where the book says `seconds`, it means rows.
    pub fn in_steps_of(mut self, seconds: usize) -> Ledger {
        self.step = seconds.max(1) as u64;
        self.book.get_mut().unwrap_or_else(PoisonError::into_inner).step = self.step;
        self
    }

    /// Also counts in `users`, who can be read while the run goes on.
    pub fn watched(self, users: Arc<Users>) -> Ledger {
        Ledger { users: Some(users), ..self }
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The arm has begun to handle a user who was due at `due`.
    pub fn begun(&self, due: Time, begun: Time) {
        let lag = begun.since(due);
        if let Some(users) = &self.users {
            users.begun(lag);
        }
        keep(&mut self.lock().tally.lag, lag);
    }

    /// A user who was due at `due` is sent.
    pub fn arrived(&self, due: Time) {
        let mut book = self.lock();
        if book.closed {
            return;
        }
        let second = book.second(due);
        book.tally.first_due.get_or_insert(due);
        book.tally.seconds[second].arrivals += 1;
        book.unanswered_due[second] += 1;
        book.open += 1;
        if let Some(users) = &self.users {
            users.due();
        }
    }

    /// And stays away. He stays among the users who were due: he got no good answer. He waited for none either, so he has no
    /// latency.
    pub fn stayed_away(&self, due: Time) {
        let mut book = self.lock();
        if book.closed {
            return;
        }
        let second = book.second(due);
        book.tally.seconds[second].away += 1;
        book.unanswered_due[second] -= 1;
        book.open -= 1;
        if let Some(users) = &self.users {
            users.give_up(1);
        }
    }

    /// And was answered at `done`.
    pub fn resolved(&self, due: Time, done: Time, outcome: &Outcome) {
        let latency = done.since(due);
        let in_time = latency <= self.slo;
        let mut book = self.lock();
        if book.closed {
            return;
        }
        let second = book.second(due);
        book.open -= 1;
        book.unanswered_due[second] -= 1;
        book.tally.last_answer = book.tally.last_answer.max(done);
        let completed = (done.secs_f64() / self.step as f64) as usize;
        let (row, answers) = book.of(second, completed);
        answers.note(latency);
        let settled = match outcome {
            Ok(reply) if in_time && reply.degraded => Settled::Degraded,
            Ok(_) if in_time => Settled::Good,
            Ok(_) => Settled::Late,
            Err(_) => Settled::Error,
        };
        let (by_due, by_answer) = match settled {
            Settled::Good => (&mut row.good, &mut answers.good),
            Settled::Degraded => (&mut row.degraded, &mut answers.degraded),
            Settled::Late => (&mut row.late, &mut answers.late),
            Settled::Error => (&mut row.errors, &mut answers.errors),
        };
        *by_due += 1;
        *by_answer += 1;
        if let Ok(reply) = outcome {
            row.answered_ns += latency.as_nanos() as u64;
            row.patient += u32::from(!reply.degraded && latency <= self.patience);
        }
        if settled == Settled::Good && completed < book.tally.seconds.len() {
            book.tally.seconds[completed].completed_good += 1;
        }
        book.note_latency(second, latency, due >= self.harm_from);
        if let Some(users) = &self.users {
            users.settled(settled, latency);
        }
    }

    /// Users sent and not yet answered.
    pub fn open(&self) -> u64 {
        self.lock().open
    }

    /// Closes the book at `end`: the unanswered have waited until then.
    /// What happens after that is no longer written down.
    pub fn close(&self, end: Time) -> Tally {
        let mut book = self.lock();
        if let Some(users) = self.users.as_ref().filter(|_| !book.closed) {
            users.give_up(book.open);
        }
        book.closed = true;
        if book.open > 0 {
            book.tally.last_answer = end;
        }
        for second in 0..book.unanswered_due.len() {
            let due = Time::from_secs_f64((second as f64 + 0.5) * self.step as f64);
            for _ in 0..book.unanswered_due[second] {
                let counts = due >= self.harm_from;
                book.note_latency(second, end.since(due), counts);
                book.tally.censored += u64::from(counts);
            }
        }
        book.tally.clone()
    }
}

impl Book {
    fn second(&self, due: Time) -> usize {
        ((due.nanos() / (1_000_000_000 * self.step)) as usize).min(self.tally.seconds.len().saturating_sub(1))
    }

    /// The rows of a due second and of a second of answers.
    fn of(&mut self, due: usize, answered: usize) -> (&mut Second, &mut Answers) {
        let Tally { seconds, answers, .. } = &mut self.tally;
        if answers.len() <= answered {
            answers.resize(answered + 1, Answers::default());
        }
        (&mut seconds[due], &mut answers[answered])
    }

    fn note_latency(&mut self, second: usize, latency: Duration, harm: bool) {
        let bucket = bucket_of(latency.as_nanos() as u64);
        let count = &mut self.tally.sketches[second][bucket];
        *count = count.saturating_add(1);
        if harm {
            keep(&mut self.tally.harm_window, latency);
        }
    }
}

impl Tally {
    /// From when the first user was due to the last answer; to the end of the run where somebody had none.
    pub fn drain_time(&self) -> Duration {
        self.first_due.map_or(Duration::ZERO, |first| self.last_answer.since(first))
    }
}

impl Answers {
    fn note(&mut self, latency: Duration) {
        let seconds = latency.as_secs_f64();
        self.latencies[LATENCY_BUCKETS.partition_point(|bound| *bound < seconds)] += 1;
        self.latency_ns += latency.as_nanos() as u64;
    }
}

/// Adds a time to a histogram of microseconds. (Its saturating method would cut at the few values that a
/// histogram can hold before it first grows.)
fn keep(histogram: &mut Histogram<u64>, time: Duration) {
    histogram.record(time.as_micros() as u64).expect("the histogram resizes itself");
}

#[cfg(test)]
mod tests {
    use super::*;
    use pumphandle_core::Reply;

    #[test]
    fn latencies_and_lags_from_microseconds_to_hours_are_kept_to_three_digits() {
        for micros in [3_u64, 2_050, 120_000, 9_000_000, 10_000_000_000] {
            let ledger = Ledger::new(Duration::from_secs(1), 1, Time::ZERO);
            let done = Time::ZERO + Duration::from_micros(micros);
            ledger.arrived(Time::ZERO);
            ledger.begun(Time::ZERO, done);
            ledger.resolved(Time::ZERO, done, &Ok(Reply::default()));
            let tally = ledger.close(done);
            for histogram in [&tally.harm_window, &tally.lag] {
                let kept = histogram.value_at_quantile(0.5) as f64;
                assert!((kept / micros as f64 - 1.0).abs() < 1e-3, "{kept} us for {micros} us");
            }
        }
    }

    #[test]
    fn who_stays_away_was_due_got_nothing_and_waits_for_nothing() {
        let ledger = Ledger::new(Duration::from_secs(1), 1, Time::ZERO);
        (0..3).for_each(|_| ledger.arrived(Time::ZERO));
        ledger.stayed_away(Time::ZERO);
        ledger.resolved(Time::ZERO, Time::ZERO, &Ok(Reply::default()));
        assert_eq!(ledger.open(), 1);
        let tally = ledger.close(Time::ZERO + Duration::from_secs(5));
        let second = tally.seconds[0];
        assert_eq!((second.arrivals, second.good, second.away, second.unanswered()), (3, 1, 1, 1));
        assert_eq!((tally.harm_window.len(), tally.censored), (2, 1), "he has no latency");
    }

    #[test]
    fn a_book_drains_from_its_first_user_to_its_last_answer_or_to_its_end() {
        let at = |ms: u64| Time::ZERO + Duration::from_millis(ms);
        let book = || Ledger::new(Duration::from_secs(1), 3, Time::ZERO);
        assert_eq!(book().close(at(90)).drain_time(), Duration::ZERO, "nobody came");
        for (answered, drained) in [(2, 4_300), (1, 8_800)] {
            let ledger = book();
            [200, 1_500].into_iter().for_each(|due| ledger.arrived(at(due)));
            let answers = [(1_500, 4_500), (200, 900)].into_iter().take(answered);
            answers.for_each(|(due, done)| ledger.resolved(at(due), at(done), &Ok(Reply::default())));
            assert_eq!(ledger.close(at(9_000)).drain_time(), Duration::from_millis(drained));
        }
    }

    #[test]
    fn answers_count_in_the_second_in_which_they_come_with_how_long_their_users_waited() {
        let at = |ms: u64| Time::ZERO + Duration::from_millis(ms);
        let ledger = Ledger::new(Duration::from_secs(1), 3, Time::ZERO);
        (0..6).for_each(|_| ledger.arrived(at(100)));
        let fallback = Reply { degraded: true };
        ledger.resolved(at(100), at(200), &Ok(Reply::default()));
        ledger.resolved(at(100), at(1_099), &Ok(fallback));
        ledger.resolved(at(100), at(1_101), &Ok(Reply::default()));
        ledger.resolved(at(100), at(5_000), &Err(pumphandle_core::CallError::Disconnected));
        ledger.resolved(at(100), at(70_101), &Ok(Reply::default()));
        let answers = ledger.close(at(90_000)).answers;
        assert_eq!(answers.len(), 71, "until the last answer, long after the last user was due");
        assert_eq!(answers.iter().map(Answers::all).sum::<u32>(), 5, "one was never answered");
        let [first, second] = [answers[0], answers[1]];
        assert_eq!((first.good, first.all(), first.latency_ns), (1, 1, 100_000_000));
        assert_eq!((second.degraded, second.late, second.all()), (1, 1, 2));
        assert_eq!((answers[5].errors, answers[70].late), (1, 1));
        let within = |le: f64| LATENCY_BUCKETS.iter().position(|bound| *bound == le).unwrap();
        assert_eq!(first.latencies[within(0.1)], 1, "100 ms are within 100 ms");
        assert_eq!((second.latencies[within(1.0)], second.latencies[within(1.5)]), (1, 1));
        assert_eq!(answers[70].latencies[LATENCIES - 1], 1, "above all bounds");
    }
}
