//! Measuring: the control and its treatments, seed by seed. What comes out is everything that verdicts,
//! claims and reports are made from.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use hdrhistogram::Histogram;
use pumphandle_load::ledger::{Answers, Second};

use crate::board::Board;
use crate::loops::Loops;
use crate::outcome::{SeedOutcome, Timeline, judge};
use crate::plan::ArmPlan;
use crate::run::SeedRun;
use crate::run::real_clock::{Health, Started, run_side_by_side};
use crate::run::remote::{Around, Controls, run_against};
use crate::run::rows::Rows;
use crate::run::series::Series;
use crate::run::virtual_clock::{Job, run_all};
use crate::scenario::Scenario;
use crate::scenario::read::Checked;
use crate::validity;

/// One arm over the seeds measured so far.
#[derive(Debug)]
pub struct MeasuredArm {
    /// What was run.
    pub plan: ArmPlan,
    /// By seed.
    pub seeds: Vec<SeedOutcome>,
    /// Reasons against this arm.
    pub reasons: Vec<String>,
    /// Digest of the event log, by seed.
    pub events: Vec<String>,
    /// For drawing.
    pub series: Series,
    /// Latencies of the harm window, all seeds, microseconds.
    pub latency: Histogram<u64>,
    /// Of them, never answered.
    pub censored: u64,
    /// The first seed's rows.
    pub first_rows: Option<Rows>,
    /// The first seed's users, by due second.
    pub first_seconds: Vec<Second>,
    /// The first seed's users, by the second of their answer.
    pub first_answers: Vec<Answers>,
    /// The first seed's event log, if it was kept.
    pub kept: Option<Vec<u8>>,
    /// Attempts that reached a service, all seeds.
    pub attempts: u64,
}

/// A control and its treatments.
#[derive(Debug)]
pub struct Measured {
    /// The parts of the run.
    pub timeline: Timeline,
    /// The seeds measured by all arms.
    pub seeds: Vec<u64>,
    /// The control first.
    pub arms: Vec<MeasuredArm>,
    /// Reasons against the whole.
    pub reasons: Vec<String>,
    /// Twins by which loops are measured; none unless they were asked for.
    pub loops: Loops,
    /// Stopped before all seeds were measured.
    pub partial: bool,
    /// Keep what is needed for drawing.
    keep_series: bool,
}

/// How to measure.
#[derive(Clone, Copy, Debug)]
pub struct How<'a> {
    /// Simulations at a time.
    pub threads: usize,
    /// Becomes true when somebody wants it to end.
    pub stop: &'a AtomicBool,
    /// Keep the first seed's event log of the first this many arms.
    pub keep_events: usize,
    /// Keep what is needed for drawing.
    pub keep_series: bool,
}

impl Measured {
    /// Nothing yet.
    pub fn new(scenario: &Scenario, arms: Vec<ArmPlan>, keep_series: bool) -> Measured {
        Measured {
            timeline: Timeline::of(scenario),
            seeds: Vec::new(),
            arms: arms.into_iter().map(MeasuredArm::new).collect(),
            reasons: Vec::new(),
            loops: Loops::default(),
            partial: false,
            keep_series,
        }
    }

    /// Measures loops too, of the arms at these places: in virtual time.
    pub fn with_loops(mut self, scenario: &Scenario, of: &[usize]) -> Measured {
        let plans: Vec<ArmPlan> = self.arms.iter().map(|arm| arm.plan.clone()).collect();
        self.loops = Loops::of(scenario, &plans, of);
        self
    }

    /// Runs that a seed takes.
    pub fn runs_per_seed(&self) -> usize {
        self.arms.len() + self.loops.plans().count()
    }

    /// Measures all arms under further seeds, in virtual time. `progress` is told of every finished run.
    pub fn extend(&mut self, scenario: &Scenario, seeds: &[u64], how: &How<'_>, mut progress: impl FnMut()) {
        let arms = self.arms.iter().map(|arm| &arm.plan);
        let plans: Vec<ArmPlan> = arms.chain(self.loops.plans()).cloned().collect();
        let before = self.seeds.len();
        let first = before == 0;
        // Seed by seed, so that an interruption leaves whole seeds.
        let jobs: Vec<Job<'_>> = seeds
            .iter()
            .enumerate()
            .flat_map(|(s, &seed)| {
                plans.iter().enumerate().map(move |(a, arm)| {
                    let keep_events = first && s == 0 && a < how.keep_events;
                    Job { arm, seed, keep_events }
                })
            })
            .collect();
        let mut of_seed: Vec<SeedRun> = Vec::new();
        run_all(scenario, &jobs, how.threads, how.stop, |i, result| {
            progress();
            match result {
                Ok(run) => of_seed.push(run),
                Err(stalled) => {
                    self.note(format!("{} under seed {}: {stalled}", jobs[i].arm.name, jobs[i].seed))
                }
            }
            if (i + 1) % plans.len() == 0 {
                if of_seed.len() == plans.len() {
                    self.add_seed(scenario, jobs[i].seed, std::mem::take(&mut of_seed));
                }
                of_seed.clear();
            }
        });
        let measured = self.seeds.len() - before;
        self.partial |= how.stop.load(std::sync::atomic::Ordering::Relaxed) && measured < seeds.len();
        self.judge_controls(scenario);
    }

    /// Measures all arms under further seeds, in real time, side by side. Returns how the machine did, by
    /// seed.
    ///
    /// # Errors
    ///
    /// If the system refuses threads or runtimes.
    pub fn extend_in_real_time(
        &mut self,
        scenario: &Scenario,
        seeds: &[u64],
        stop: &Arc<AtomicBool>,
        started: Started<'_>,
        board: Option<&Arc<Board>>,
        mut progress: impl FnMut(),
    ) -> std::io::Result<Vec<Health>> {
        let plans: Vec<ArmPlan> = self.arms.iter().map(|arm| arm.plan.clone()).collect();
        let mut healths = Vec::new();
        for &seed in seeds {
            let (runs, health) = run_side_by_side(scenario, &plans, seed, stop, started, board)?;
            self.add_real_seed(scenario, seed, runs, &health);
            healths.push(health);
            (0..plans.len()).for_each(|_| progress());
            if stop.load(std::sync::atomic::Ordering::Relaxed) {
                self.partial = true;
                break;
            }
        }
        self.judge_controls(scenario);
        Ok(healths)
    }

    /// Measures all arms under further seeds, each on its stack of running services. Returns how the machine
    /// did, by seed.
    ///
    /// # Errors
    ///
    /// Sentences, if a run could not begin. What was measured before is kept.
    pub fn extend_against(
        &mut self,
        checked: &Checked,
        stacks: &[(String, Arc<dyn Controls>)],
        seeds: &[u64],
        around: &Around,
        mut progress: impl FnMut(),
    ) -> Result<Vec<Health>, Vec<String>> {
        let plans: Vec<ArmPlan> = self.arms.iter().map(|arm| arm.plan.clone()).collect();
        let mut healths = Vec::new();
        for &seed in seeds {
            let ran = run_against(&checked.scenario, &checked.sha256, &plans, stacks, seed, around);
            let (runs, health) = ran?;
            self.add_real_seed(&checked.scenario, seed, runs, &health);
            healths.push(health);
            (0..plans.len()).for_each(|_| progress());
            if around.stop.load(std::sync::atomic::Ordering::Relaxed) {
                self.partial = true;
                break;
            }
        }
        self.judge_controls(&checked.scenario);
        Ok(healths)
    }

    /// Notes what speaks against the control over all seeds so far.
    pub fn judge_controls(&mut self, scenario: &Scenario) {
        let controls = validity::of_controls(scenario, &self.arms[0].seeds);
        controls.into_iter().for_each(|reason| self.note(reason));
    }

    /// It could not go on after the seeds that were measured.
    pub fn break_off(&mut self, reasons: Vec<String>) {
        reasons.into_iter().for_each(|reason| self.note(reason));
    }

    /// Adds one seed of all arms that was run in real time, on a machine that did like this.
    pub fn add_real_seed(&mut self, scenario: &Scenario, seed: u64, runs: Vec<SeedRun>, health: &Health) {
        health.reasons().into_iter().for_each(|reason| self.note(reason));
        if let Some(at) = runs.iter().find_map(|run| run.stopped_at) {
            self.note(format!("interrupted after {:.0} s", at.secs_f64()));
            self.partial = true;
        }
        self.add_seed(scenario, seed, runs);
    }

    /// Adds one seed of all arms, in their order, and of the twins by which loops are measured.
    pub fn add_seed(&mut self, scenario: &Scenario, seed: u64, mut runs: Vec<SeedRun>) {
        let twins = runs.split_off(self.arms.len().min(runs.len()));
        self.loops.add(scenario, &runs, &twins);
        for reason in validity::of_control(scenario, &self.timeline, &runs[0]) {
            self.note(reason);
        }
        let before_pull = runs[0].events_before_pull.clone();
        for (arm, run) in self.arms.iter_mut().zip(runs) {
            let mut reasons = validity::of_arm(&run);
            let pulled = arm.plan.mode == Some(crate::scenario::Mode::Pulled);
            if pulled && before_pull.0 > 0 && run.events_before_pull != before_pull {
                reasons
                    .push(format!("differs from the control before the lever is pulled, under seed {seed}"));
            }
            for reason in reasons {
                if !arm.reasons.contains(&reason) {
                    arm.reasons.push(reason);
                }
            }
            arm.add(&self.timeline, run, self.keep_series);
        }
        self.seeds.push(seed);
    }

    fn note(&mut self, reason: String) {
        if !self.reasons.contains(&reason) {
            self.reasons.push(reason);
        }
    }

    /// Whether verdicts on this arm may be believed.
    pub fn valid(&self, arm: usize) -> bool {
        self.reasons.is_empty() && self.arms[0].reasons.is_empty() && self.arms[arm].reasons.is_empty()
    }

    /// The arm of this name.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.arms.iter().position(|arm| arm.plan.name == name)
    }
}

impl MeasuredArm {
    fn new(plan: ArmPlan) -> MeasuredArm {
        MeasuredArm {
            plan,
            seeds: Vec::new(),
            reasons: Vec::new(),
            events: Vec::new(),
            series: Series::default(),
            latency: Histogram::new(3).expect("three significant digits are in range"),
            censored: 0,
            first_rows: None,
            first_seconds: Vec::new(),
            first_answers: Vec::new(),
            kept: None,
            attempts: 0,
        }
    }

    fn add(&mut self, timeline: &Timeline, run: SeedRun, keep_series: bool) {
        self.seeds.push(judge(timeline, &run));
        self.events.push(run.events.1.clone());
        self.attempts += run.attempts;
        self.censored += run.tally.censored;
        self.latency.add(&run.tally.harm_window).expect("both histograms resize themselves");
        if keep_series {
            self.series.add(&run, timeline.step);
            if self.first_rows.is_none() {
                self.first_rows = Some(run.rows);
                self.first_seconds = run.tally.seconds;
                self.first_answers = run.tally.answers;
            }
        }
        if let Some(kept) = run.kept {
            self.kept.get_or_insert(kept);
        }
    }
}
