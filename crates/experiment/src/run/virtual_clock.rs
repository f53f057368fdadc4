//! Virtual time: every (arm, seed) is a simulation of its own; they are spread over the cores by a common
//! counter and come back in order, so that the number of threads cannot be seen in any result.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

use pumphandle_core::time::{Stalled, simulate};

use crate::plan::ArmPlan;
use crate::run::arm::{SeedRun, conduct_in_memory};
use crate::scenario::Scenario;

/// One simulation to run.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    /// The arm.
    pub arm: &'a ArmPlan,
    /// The seed.
    pub seed: u64,
    /// Keep the event log.
    pub keep_events: bool,
}

/// Runs one arm under one seed.
///
/// # Errors
///
/// [`Stalled`], which is a defect of the rig.
pub fn run_one(scenario: &Scenario, job: &Job<'_>) -> Result<SeedRun, Stalled> {
    simulate(conduct_in_memory(scenario, job.arm, job.seed, job.keep_events))
}

/// Runs `jobs` on `threads` threads and hands each result to `done`, in the order of the jobs. Stops early
/// when `stop` becomes true; what was finished in order until then has been handed over.
///
/// # Panics
///
/// If a simulation panics.
pub fn run_all(
    scenario: &Scenario,
    jobs: &[Job<'_>],
    threads: usize,
    stop: &AtomicBool,
    done: impl FnMut(usize, Result<SeedRun, Stalled>),
) {
    in_order(jobs.len(), threads, stop, |i| run_one(scenario, &jobs[i]), done);
}

/// Does `count` pieces of work on `threads` threads, and hands each result to `done` on this thread, in the
/// order of the pieces. Stops early when `stop` becomes true, as [`run_all`] does.
///
/// # Panics
///
/// If a piece of work panics.
pub fn in_order<T: Send>(
    count: usize,
    threads: usize,
    stop: &AtomicBool,
    work: impl Fn(usize) -> T + Sync,
    mut done: impl FnMut(usize, T),
) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        // Bounded, so that a slow first job does not pile up the results of the others.
        let (send, receive) = mpsc::sync_channel(threads * 4);
        for _ in 0..threads.max(1) {
            let (send, next, work) = (send.clone(), &next, &work);
            scope.spawn(move || {
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    if i >= count || stop.load(Ordering::Relaxed) || send.send((i, work(i))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(send);
        let mut early = std::collections::BTreeMap::new();
        let mut expected = 0;
        for (i, result) in receive {
            early.insert(i, result);
            while let Some(result) = early.remove(&expected) {
                done(expected, result);
                expected += 1;
            }
        }
    });
}
