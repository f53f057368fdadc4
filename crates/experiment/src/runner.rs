//! The same experiment against running stacks, as often as it is asked for: it waits until the stacks are there,
//! runs, judges, and rests or goes on with the next seed. What every run measured is added to what the ones
//! before it did, as long as they ask the same question, so that the verdict becomes the real one with time.
//!
//! Nothing that happens to a service ends it. It knows no protocol: how stacks are found and where results are
//! kept is handed in.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pumphandle_core::Dur;
use pumphandle_core::time::{Origin, Time};
use serde::Serialize;

use crate::board::{Board, Phase};
use crate::live::Refused;
use crate::measure::Measured;
use crate::plan::{self, ArmPlan};
use crate::result::{Machine, RunResult};
use crate::run::real_clock::Health;
use crate::run::remote::{Around, Controls, Stacks, Tell, run_against};
use crate::scenario::overrides;
use crate::scenario::read::Checked;
use crate::story::{self, Circumstances, SHOWN};

/// How long to wait before stacks that were not there are looked for again.
const AGAIN: Duration = Duration::from_secs(2);

/// Things that happened which are kept; older ones go first.
const KEPT: usize = 500;

/// Runs that are judged together; later ones are shown and kept, but no longer added.
pub const MOST_SEEDS: usize = 100;

/// What a runner is for.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The scenario, with what the command line changes.
    pub checked: Checked,
    /// The names of the stacks, the control's first.
    pub stacks: Vec<String>,
    /// The lever that is pulled on the second, if there are two: `NAME` or `NAME@start`.
    pub lever: Option<String>,
    /// The first seed.
    pub seed: u64,
    /// Do not begin before somebody asks for it.
    pub wait: bool,
    /// Go on with the next seed when a run is over.
    pub again: bool,
    /// How long to rest between two runs.
    pub pause: Duration,
}

/// What somebody asks to be run. What is left out is as before, or as the command line says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Which lever, `NAME` or `NAME@start`.
    pub lever: Option<String>,
    /// Which seed.
    pub seed: Option<u64>,
    /// How long users arrive.
    pub duration: Option<Dur>,
    /// When the lever is pulled.
    pub pull: Option<Dur>,
}

/// A question that can be asked of the stacks under any seed.
#[derive(Clone, Debug)]
struct Question {
    checked: Checked,
    arms: Vec<ArmPlan>,
    lever: Option<String>,
    /// What differs from the command line, as `path=value`.
    changes: Vec<String>,
}

impl Question {
    fn is(&self, other: &Question) -> bool {
        self.lever == other.lever && self.changes == other.changes
    }
}

/// What a runner is doing.
#[derive(Clone, Debug, PartialEq)]
pub enum Doing {
    /// It waits for somebody to ask for a run.
    Rests,
    /// It waits for the stacks: why, in sentences.
    Seeks(Vec<String>),
    /// A run is under way.
    Runs,
    /// The next run begins at this instant of [`Runner::now`].
    Pauses(Time),
    /// It was told to end.
    Ends,
}

/// Something that happened.
#[derive(Clone, Debug, Serialize)]
pub struct Happened {
    /// Counted from 1.
    pub n: u64,
    /// Seconds since the runner started.
    pub at_s: f64,
    /// Of which run, if one was under way.
    pub run: Option<u64>,
    /// Seconds into it.
    pub run_s: Option<f64>,
    /// What.
    pub what: String,
    /// By whom.
    pub who: String,
}

/// A run that is over.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Counted from 1.
    pub run: u64,
    /// Its result alone.
    pub result: RunResult,
    /// Where its results are kept, if anywhere.
    pub kept: Option<String>,
}

/// What is known from all runs that asked the same question.
#[derive(Clone, Debug)]
pub struct Together {
    /// Their result: of those that were valid and whole.
    pub result: RunResult,
    /// How many were left out because they were not.
    pub left_out: usize,
}

/// What is handed to whoever keeps results.
pub struct ToKeep<'a> {
    /// The scenario that was run.
    pub checked: &'a Checked,
    /// The seed that was run.
    pub seed: u64,
    /// The lever, as it was asked for.
    pub lever: Option<&'a str>,
    /// What differs from the command line, as `path=value`.
    pub changes: &'a [String],
    /// This run alone.
    pub one: &'a Measured,
    /// All that asked the same and can be believed.
    pub all: &'a Measured,
}

/// Finds the stacks, the control's first.
pub type Find = dyn Fn() -> Result<Stacks, Vec<String>> + Send + Sync;

/// Keeps a run's results; says where, or what went wrong.
pub type Keep = dyn Fn(&ToKeep<'_>) -> Result<Option<String>, String> + Send + Sync;

/// See the module.
pub struct Runner {
    setup: Setup,
    board: Arc<Board>,
    origin: Origin,
    stop: Arc<AtomicBool>,
    tell: Box<dyn Fn(&str) + Send + Sync>,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    doing: Doing,
    /// What is run next, and under which seed; none while nobody has said which lever.
    next: Option<Question>,
    seed: u64,
    /// Somebody asked for a run that has not begun.
    asked: bool,
    /// Somebody asked for quiet.
    quiet: bool,
    ends: bool,
    run: u64,
    last: Option<Finished>,
    together: Option<Together>,
    happened: VecDeque<Happened>,
    count: u64,
}

/// A copy of what a runner knows, for showing.
#[derive(Clone, Debug)]
pub struct Known {
    /// What it is doing.
    pub doing: Doing,
    /// The scenario of the run under way or the next one.
    pub checked: Checked,
    /// Its lever.
    pub lever: Option<String>,
    /// What differs from the command line.
    pub changes: Vec<String>,
    /// The seed of the run under way, or of the next one.
    pub seed: u64,
    /// How many runs have begun.
    pub run: u64,
    /// The last one that is over.
    pub last: Option<Finished>,
    /// All that ask what the last one asked.
    pub together: Option<Together>,
    /// What happened, oldest first.
    pub happened: Vec<Happened>,
}

impl Runner {
    /// Nothing runs yet. `tell` is told of everything that happens, a sentence each.
    ///
    /// # Errors
    ///
    /// What is wrong with the setup: see [`Runner::start`].
    pub fn new(setup: Setup, tell: Box<dyn Fn(&str) + Send + Sync>) -> Result<Runner, Refused> {
        let next = match (&setup.lever, setup.stacks.len()) {
            (None, 2..) => None,
            (lever, _) => Some(question(&setup, lever.as_deref(), &Wanted::default())?),
        };
        if next.is_none() && !setup.wait {
            return Err(Refused::wrong(
                "lever",
                "two stacks, and no lever to pull on the second: name one, or wait",
            ));
        }
        let state = State {
            doing: Doing::Rests,
            next,
            seed: setup.seed,
            asked: !setup.wait,
            quiet: false,
            ends: false,
            run: 0,
            last: None,
            together: None,
            happened: VecDeque::new(),
            count: 0,
        };
        Ok(Runner {
            board: Arc::new(Board::new(&setup.stacks, &setup.checked.scenario)),
            setup,
            origin: Origin::after(Duration::ZERO),
            stop: Arc::default(),
            tell,
            state: Mutex::new(state),
            changed: Condvar::new(),
        })
    }

    /// What it was made for.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Where its runs are shown.
    pub fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// Time since it started.
    pub fn now(&self) -> Time {
        self.origin.now()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it knows now.
    pub fn known(&self) -> Known {
        let state = self.lock();
        let question = state.next.as_ref();
        Known {
            doing: state.doing.clone(),
            checked: question.map_or(&self.setup.checked, |question| &question.checked).clone(),
            lever: question.and_then(|question| question.lever.clone()),
            changes: question.map(|question| question.changes.clone()).unwrap_or_default(),
            seed: state.seed,
            run: state.run,
            last: state.last.clone(),
            together: state.together.clone(),
            happened: state.happened.iter().cloned().collect(),
        }
    }

    /// Writes down that something happened.
    pub fn note(&self, what: &str, who: &str) {
        (self.tell)(what);
        let run_s = self.board.read().seconds;
        let at_s = self.now().secs_f64();
        let mut state = self.lock();
        state.count += 1;
        if state.happened.len() == KEPT {
            state.happened.pop_front();
        }
        let run = (state.doing == Doing::Runs).then_some(state.run);
        let n = state.count;
        let happened = Happened { n, at_s, run, run_s, what: what.to_owned(), who: who.to_owned() };
        state.happened.push_back(happened);
    }

    /// Asks for a run. It begins as soon as the stacks are there. Returns lever and seed.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it, or that a run is under way or has been asked for already.
    pub fn start(&self, wanted: &Wanted, who: &str) -> Result<(Option<String>, u64), Refused> {
        let mut state = self.lock();
        if state.doing == Doing::Runs {
            let sentence = format!("run {} is under way: stop it first", state.run);
            return Err(Refused::Conflict(sentence));
        }
        if state.asked {
            return Err(Refused::Conflict(
                "a run has been asked for, and begins when the stacks are there".to_owned(),
            ));
        }
        let before = state.next.as_ref().and_then(|question| question.lever.clone());
        let lever = wanted.lever.clone().or(before);
        if lever.is_none() && self.setup.stacks.len() > 1 {
            let known: Vec<&str> = self.setup.checked.scenario.levers.keys().map(String::as_str).collect();
            return Err(Refused::wrong("lever", format!("say which lever: {}", known.join(", "))));
        }
        let question = question(&self.setup, lever.as_deref(), wanted)?;
        let (lever, seed) = (question.lever.clone(), wanted.seed.unwrap_or(state.seed));
        state.next = Some(question);
        state.seed = seed;
        state.asked = true;
        state.quiet = false;
        drop(state);
        self.changed.notify_all();
        self.note("a run is asked for", who);
        Ok((lever, seed))
    }

    /// Ends the run under way, if there is one, keeps what it measured, and rests. Returns which run ends.
    pub fn stop(&self, who: &str) -> Option<u64> {
        let ending = {
            let mut state = self.lock();
            state.quiet = true;
            state.asked = false;
            let runs = state.doing == Doing::Runs;
            if runs {
                self.stop.store(true, Ordering::Relaxed);
            }
            runs.then_some(state.run)
        };
        self.changed.notify_all();
        self.note("it is told to stop", who);
        ending
    }

    /// Ends for good; [`Runner::conduct`] returns once the run under way is over and kept.
    pub fn end(&self) {
        let mut state = self.lock();
        state.ends = true;
        self.stop.store(true, Ordering::Relaxed);
        drop(state);
        self.changed.notify_all();
    }

    /// Conducts runs until [`Runner::end`]. Call it once, on a thread of its own.
    pub fn conduct(self: &Arc<Runner>, find: &Find, keep: &Keep) {
        let mut all: Option<All> = None;
        while let Some((question, seed)) = self.wait_for_order() {
            let Some((runs, health)) = self.run(&question, seed, find) else { continue };
            self.finish(&question, seed, runs, &health, keep, &mut all);
            self.pause();
        }
        self.lock().doing = Doing::Ends;
    }

    /// Rests until a run is asked for; none at the end.
    fn wait_for_order(&self) -> Option<(Question, u64)> {
        let mut state = self.lock();
        loop {
            if state.ends {
                return None;
            }
            if let Some(question) = state.next.clone().filter(|_| state.asked) {
                return Some((question, state.seed));
            }
            state.quiet = false;
            state.doing = Doing::Rests;
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether what was asked for is not wanted any more.
    fn called_off(&self) -> bool {
        let state = self.lock();
        state.ends || !state.asked
    }

    /// Finds the stacks and runs, as soon as they are there; none if it was called off.
    fn run(
        self: &Arc<Runner>,
        question: &Question,
        seed: u64,
        find: &Find,
    ) -> Option<(Vec<crate::run::SeedRun>, Health)> {
        let mut said = Vec::new();
        loop {
            if self.called_off() {
                return None;
            }
            let ran = find().and_then(|stacks| self.run_on(question, seed, &stacks));
            match ran {
                Ok(ran) => return ran,
                Err(wrong) => {
                    self.board.rest(Phase::Waiting);
                    if said != wrong {
                        self.note(&format!("waits for the stacks: {}", wrong.join("; ")), "the runner");
                        said.clone_from(&wrong);
                    }
                    self.lock().doing = Doing::Seeks(wrong);
                    self.rest_until(self.now() + AGAIN, |state| state.ends || !state.asked);
                }
            }
        }
    }

    fn run_on(
        self: &Arc<Runner>,
        question: &Question,
        seed: u64,
        stacks: &[(String, Arc<dyn Controls>)],
    ) -> Result<Option<(Vec<crate::run::SeedRun>, Health)>, Vec<String>> {
        {
            let mut state = self.lock();
            if state.ends || !state.asked {
                return Ok(None);
            }
            self.stop.store(false, Ordering::Relaxed);
            state.doing = Doing::Runs;
            state.run += 1;
        }
        let lever = question.lever.as_deref().map_or(String::new(), |lever| format!(", lever {lever}"));
        let runner = Arc::clone(self);
        let tell: Tell = Arc::new(move |sentence: String| {
            // The time stands in a field of its own.
            let what = sentence.split_once(" s  ").map_or(sentence.as_str(), |(_, what)| what);
            runner.note(what, "the runner");
        });
        let around = Around { stop: Arc::clone(&self.stop), tell, board: Some(Arc::clone(&self.board)) };
        let Checked { scenario, sha256, .. } = &question.checked;
        self.note(&format!("resets the stacks: seed {seed}{lever}"), "the runner");
        let ran = run_against(scenario, sha256, &question.arms, stacks, seed, &around);
        let mut state = self.lock();
        match ran {
            Ok(ran) => {
                state.asked = false;
                Ok(Some(ran))
            }
            Err(wrong) => {
                state.run -= 1;
                Err(wrong)
            }
        }
    }

    /// Judges a run that is over, alone and together with those before it, and has it kept.
    fn finish(
        &self,
        question: &Question,
        seed: u64,
        runs: Vec<crate::run::SeedRun>,
        health: &Health,
        keep: &Keep,
        all: &mut Option<All>,
    ) {
        let Question { checked, arms, .. } = question;
        let scenario = &checked.scenario;
        let mut one = Measured::new(scenario, arms.clone(), true);
        one.add_real_seed(scenario, seed, runs.clone(), health);
        one.judge_controls(scenario);
        let valid = (0..arms.len()).all(|arm| one.valid(arm)) && !one.partial;
        if !all.as_ref().is_some_and(|all| all.question.is(question)) {
            *all = Some(All {
                question: question.clone(),
                measured: Measured::new(scenario, arms.clone(), true),
                left_out: 0,
            });
        }
        let all = all.as_mut().expect("it was just put there");
        if !valid {
            all.left_out += 1;
        } else if all.measured.seeds.len() < MOST_SEEDS && !all.measured.seeds.contains(&seed) {
            all.measured.add_real_seed(scenario, seed, runs, health);
        }
        let around = circumstances(question);
        let result = story::result(checked, &one, &around);
        let together =
            Together { result: story::result(checked, &all.measured, &around), left_out: all.left_out };
        self.board.found(if all.measured.seeds.is_empty() { &result } else { &together.result });
        let to_keep = ToKeep {
            checked,
            seed,
            lever: question.lever.as_deref(),
            changes: &question.changes,
            one: &one,
            all: &all.measured,
        };
        let kept = keep(&to_keep).unwrap_or_else(|sentence| {
            self.note(&sentence, "the runner");
            None
        });
        self.note(&said_of(&result), "the runner");
        let mut state = self.lock();
        let run = state.run;
        state.last = Some(Finished { run, result, kept });
        state.together = Some(together);
        state.seed = seed.wrapping_add(1);
    }

    /// After a run: rests, or asks for the next one itself.
    fn pause(&self) {
        if !self.setup.again || self.lock().quiet {
            return;
        }
        let next = self.now() + self.setup.pause;
        self.lock().doing = Doing::Pauses(next);
        self.rest_until(next, |state| state.ends || state.quiet || state.asked);
        let mut state = self.lock();
        state.asked = !state.ends && !state.quiet;
    }

    /// Waits until the instant, or until `over`.
    fn rest_until(&self, at: Time, over: impl Fn(&State) -> bool) {
        let mut state = self.lock();
        while !over(&state) && self.now() < at {
            let rest = at.since(self.now());
            let (again, _) = self.changed.wait_timeout(state, rest).unwrap_or_else(PoisonError::into_inner);
            state = again;
        }
    }
}

/// The runs that asked one question.
struct All {
    question: Question,
    measured: Measured,
    left_out: usize,
}

fn question(setup: &Setup, lever: Option<&str>, wanted: &Wanted) -> Result<Question, Refused> {
    let mut checked = setup.checked.clone();
    let change = |name: &str, value: Option<Dur>| value.map(|value| format!("{name}={value}"));
    let changes: Vec<String> =
        change("duration", wanted.duration).into_iter().chain(change("pull", wanted.pull)).collect();
    for assignment in &changes {
        let path = assignment.split('=').next().unwrap_or_default();
        overrides::apply(&mut checked.scenario, assignment)
            .map_err(|sentence| Refused::wrong(path, sentence))?;
    }
    if !changes.is_empty() {
        overrides::check_again(&mut checked).map_err(|sentences| Refused::wrong("", sentences.join("; ")))?;
    }
    let mut arms = vec![plan::control(&checked.scenario)];
    if let Some(asked) = lever {
        if setup.stacks.len() < 2 {
            return Err(Refused::wrong("lever", "there is one stack, the control: none to pull a lever on"));
        }
        let (name, mode) =
            plan::lever_of(&checked.scenario, asked).map_err(|sentence| Refused::wrong("lever", sentence))?;
        let arm = plan::treatment(&checked.scenario, &name, mode);
        arms.push(arm.map_err(|wrong| Refused::wrong("lever", format!("{}: {}", wrong[0].0, wrong[0].1)))?);
    }
    let path = if lever.is_some() { "lever" } else { "autoscalers" };
    plan::of_processes(&arms).map_err(|sentence| Refused::wrong(path, sentence))?;
    Ok(Question { checked, arms, lever: lever.map(str::to_owned), changes })
}

fn circumstances(question: &Question) -> Circumstances {
    Circumstances {
        clock: "real",
        overrides: question.changes.clone(),
        again: String::new(),
        machine: Machine::default(),
        claims_at: SHOWN,
    }
}

/// How a run ended, in a sentence.
fn said_of(result: &RunResult) -> String {
    let reasons: Vec<&str> = result
        .reasons
        .iter()
        .chain(result.arms.iter().skip(1).flat_map(|arm| &arm.reasons))
        .map(String::as_str)
        .collect();
    let end =
        if result.partial { "the run was stopped; what was measured is kept" } else { "the run is over" };
    if reasons.is_empty() { end.to_owned() } else { format!("{end}; not valid: {}", reasons.join("; ")) }
}
