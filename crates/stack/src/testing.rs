//! What tests of a small stack in virtual time share: milliseconds, users, and when they were answered.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use pumphandle_core::meter::Snapshot;
use pumphandle_core::time::{Order, Time, now, sleep, spawn};
use pumphandle_core::{Call, CallError, Dur, Outcome};

use crate::Stack;

pub(crate) const MS: Duration = Duration::from_millis(1);

pub(crate) fn ms(n: u32) -> Dur {
    Dur(MS * n)
}

pub(crate) async fn pass(n: u32) {
    sleep(MS * n, Order::sample(0)).await;
}

/// What the first service has counted.
pub(crate) fn read(stack: &Stack) -> Snapshot {
    stack.read()[0].0
}

pub(crate) type Answer = Arc<Mutex<Option<(Outcome, Time)>>>;

/// A user, who waits for as long as it takes.
pub(crate) fn send(stack: &Arc<Stack>, arrival: u64) -> Answer {
    let (entry, answer) = (stack.entry(), Answer::default());
    let into = Arc::clone(&answer);
    spawn("a user", async move {
        let outcome = entry.call(Call::arriving(arrival)).await;
        *into.lock().unwrap() = Some((outcome, now()));
    });
    answer
}

/// What he got, and at which millisecond; none while he waits.
pub(crate) fn ended(answer: &Answer) -> Option<(Result<(), CallError>, u64)> {
    let ended = *answer.lock().unwrap();
    ended.map(|(outcome, at)| (outcome.map(drop), at.nanos() / 1_000_000))
}
