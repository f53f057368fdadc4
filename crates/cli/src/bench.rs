//! Whole incidents in virtual time for commands that show many of them: no run folder, no series, no logs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pumphandle_experiment::measure::{How, Measured};
use pumphandle_experiment::plan::ArmPlan;
use pumphandle_experiment::result::RunResult;
use pumphandle_experiment::scenario::read::Checked;
use pumphandle_experiment::story::{self, Circumstances, SHOWN};

use crate::End;
use crate::args::threads;
use crate::progress::{Progress, stop_flag};
use crate::run::machine;

/// Threads, progress, and whether somebody wants it to end.
pub(crate) struct Bench {
    threads: usize,
    stop: Arc<AtomicBool>,
    progress: Progress,
}

impl Bench {
    /// `runs` are simulations, as far as they are known.
    pub(crate) fn new(jobs: Option<u16>, runs: usize, what: &str) -> Bench {
        Bench { threads: threads(jobs), stop: stop_flag(), progress: Progress::new(runs as u64, what) }
    }

    /// More simulations than were known of.
    pub(crate) fn expect(&self, runs: usize) {
        self.progress.expect(runs as u64);
    }

    pub(crate) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// The arms of an incident, the control first, over `seeds` seeds.
    pub(crate) fn measure(
        &mut self,
        checked: &Checked,
        arms: Vec<ArmPlan>,
        seed: u64,
        seeds: u64,
    ) -> RunResult {
        let scenario = &checked.scenario;
        let how = How { threads: self.threads, stop: &self.stop, keep_events: 0, keep_series: false };
        let mut measured = Measured::new(scenario, arms, false);
        let seeds: Vec<u64> = (0..seeds).map(|i| seed + i).collect();
        measured.extend(scenario, &seeds, &how, || self.progress.step());
        let around = Circumstances {
            clock: "virtual",
            overrides: Vec::new(),
            again: String::new(),
            machine: machine(0.0, 0, 0.0),
            claims_at: SHOWN,
        };
        story::result(checked, &measured, &around)
    }

    pub(crate) fn finish(self) {
        self.progress.finish();
    }
}

/// What a command ends with that shows these.
pub(crate) fn end<'a>(results: impl Iterator<Item = &'a RunResult> + Clone) -> End {
    if results.clone().any(|result| result.partial) {
        End::Interrupted
    } else if results.clone().next().is_none() || results.clone().any(|result| !result.valid) {
        End::CouldNotMeasure
    } else {
        End::Held
    }
}
