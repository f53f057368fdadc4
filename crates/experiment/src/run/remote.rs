//! An experiment against services that are running, each in a process of its own: the same users to every stack
//! at the same instants, triggers to all of them, levers to the treatments only. Everything is done and seen
//! through [`Controls`]; which protocol that is, it does not know.
//!
//! A service that dies or stops in the middle is not the end of the run: what was measured is kept, the rest is
//! missing, and the run says what happened and is not tested. One that comes back with everything forgotten is
//! brought to where the run is: its draws, the levers pulled and the triggers that act. Whoever watches sees the
//! incident go on; the verdict stays "not tested".

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use indexmap::IndexMap;
use pumphandle_core::meter::{Flow, STOCKS, Snapshot, StockName};
use pumphandle_core::time::{self, Order, Origin, Time, now};
use pumphandle_core::{Dur, World};
use pumphandle_load::driver::{self, Target};
use pumphandle_load::plan::Arrivals;
use pumphandle_load::{Classifier, Demand, Ledger, Tally};
use pumphandle_stack::settings::callees_first;
use pumphandle_stack::wire::tcp::Tcp;
use serde_json::{Value, json};

use crate::board::{Board, Phase};
use crate::plan::{self, ArmPlan};
use crate::run::arm::{DRAIN, SeedRun, either, harm_from};
use crate::run::real_clock::{self, Health};
use crate::run::rows::{Row, Rows};
use crate::scenario::triggers::Act;
use crate::scenario::{Scenario, paths};

/// How long a run in which something went wrong waits for answers still under way.
const SHORT_DRAIN: Duration = Duration::from_secs(5);

/// How long the readings of the last second are waited for.
const LAST_READINGS: Duration = Duration::from_secs(1);

/// Something that is asked of a service.
#[derive(Clone, Debug, PartialEq)]
pub enum Wish {
    /// Other settings, by path; null for what the scenario says.
    Set(IndexMap<String, Value>),
    /// A trigger begins: its name and its `do`.
    Begin(Value),
    /// A trigger ends.
    End(String),
    /// It restarts, and is away for a while.
    Restart(Dur),
    /// It ends all work that came in at least this long ago.
    Kill(Dur),
    /// It starts anew, with the draws of this seed.
    Reset(u64),
}

/// What a service says of itself.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// SHA-256 of its scenario file, in hex.
    pub scenario_sha256: String,
    /// Its settings in force.
    pub settings: Value,
    /// Stocks whose accounts do not add up, in words.
    pub wrong_accounts: Vec<String>,
    /// How often its machine had no socket to give.
    pub machine_faults: u64,
    /// What was not as its settings say, in words.
    pub not_as_said: Vec<String>,
}

/// Something under way; an error is a sentence.
pub type Doing<'a, T> = Pin<Box<dyn Future<Output = Result<T, String>> + Send + 'a>>;

/// One stack's services, wherever they run. What is asked ends by itself after a while, answered or not.
pub trait Controls: Send + Sync {
    /// Where users go, as `host:port`.
    fn entry(&self) -> &str;
    /// What `service` has counted until now.
    fn read<'a>(&'a self, service: &'a str) -> Doing<'a, Snapshot>;
    /// What `service` says of itself.
    fn about<'a>(&'a self, service: &'a str) -> Doing<'a, About>;
    /// Asks something of `service`.
    fn ask<'a>(&'a self, service: &'a str, wish: Wish) -> Doing<'a, ()>;
}

/// Is told what happens, in sentences, while it happens.
pub type Tell = Arc<dyn Fn(String) + Send + Sync>;

/// What is around a run: who ends it, who is told of it, where it is shown.
#[derive(Clone)]
pub struct Around {
    /// Becomes true when somebody wants it to end.
    pub stop: Arc<AtomicBool>,
    /// Is told what happens.
    pub tell: Tell,
    /// Where it is shown while it goes on, if anywhere. Its arms are those of the run.
    pub board: Option<Arc<Board>>,
}

/// Stacks by name, in the order of the arms.
pub type Stacks = Vec<(String, Arc<dyn Controls>)>;

/// The services' names, callees before their callers: the order in which a stack is reset, so that nothing of
/// before is sent into a service that is new already.
pub fn reset_order(scenario: &Scenario) -> Vec<String> {
    callees_first(&scenario.services).unwrap_or_else(|_| scenario.services.keys().cloned().collect())
}

/// Brings every stack to the start: reset, with the draws of `seed`, and as the scenario says.
///
/// # Errors
///
/// Sentences: who did not answer, and what differs. Such stacks are no twins.
pub async fn prepare(
    scenario: &Scenario,
    sha256: &str,
    stacks: &[(String, Arc<dyn Controls>)],
    seed: u64,
) -> Result<(), Vec<String>> {
    let mut wrong = Vec::new();
    for (name, stack) in stacks {
        for service in reset_order(scenario) {
            let of = |sentence: String| format!("{service} of {name}: {sentence}");
            if let Err(sentence) = stack.ask(&service, Wish::Reset(seed)).await {
                wrong.push(of(sentence));
                continue;
            }
            let about = match stack.about(&service).await {
                Ok(about) => about,
                Err(sentence) => {
                    wrong.push(of(sentence));
                    continue;
                }
            };
            if about.scenario_sha256 != sha256 {
                wrong.push(of("it runs another scenario, or another version of the file".to_owned()));
            } else if about.settings != json!(scenario.services[&service]) {
                wrong.push(of("its settings are not those of this run: give both the same --set".to_owned()));
            }
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

/// Runs all `arms` under one seed, each on its stack, side by side, in real time.
///
/// # Errors
///
/// Sentences, if it cannot begin: see [`prepare`].
///
/// # Panics
///
/// If an arm panics.
pub fn run_against(
    scenario: &Scenario,
    sha256: &str,
    arms: &[ArmPlan],
    stacks: &[(String, Arc<dyn Controls>)],
    seed: u64,
    around: &Around,
) -> Result<(Vec<SeedRun>, Health), Vec<String>> {
    let system = |error: std::io::Error| vec![error.to_string()];
    plan::of_processes(arms).map_err(|sentence| vec![sentence])?;
    // Before the clock of the run begins: a reset takes as long as the slowest service.
    let before = Origin::after(Duration::ZERO);
    before.enter();
    real_clock::runtime(before).map_err(system)?.block_on(prepare(scenario, sha256, stacks, seed))?;
    let origin = Origin::after(Duration::from_millis(500));
    let runtimes: Vec<tokio::runtime::Runtime> =
        arms.iter().map(|_| real_clock::runtime(origin)).collect::<Result<_, _>>().map_err(system)?;
    let wires: Vec<Tcp> = arms.iter().map(|_| Tcp::default()).collect();
    if let Some(board) = &around.board {
        board.begin(scenario, arms, "real", seed, origin);
    }
    let watch = real_clock::Watch::start(origin, around.board.clone());
    let runs: Vec<(SeedRun, u64)> = std::thread::scope(|scope| {
        let (ready, targets) = mpsc::channel::<(usize, Target)>();
        let mut threads = Vec::new();
        for (i, arm) in arms.iter().enumerate() {
            let (ready, runtime, wire, stack) = (ready.clone(), &runtimes[i], &wires[i], &stacks[i]);
            threads.push(scope.spawn(move || {
                origin.enter();
                let send = move |target: Target| drop(ready.send((i, target)));
                let place = Place { scenario, arm, index: i, stack, wire, seed, around };
                runtime.block_on(conduct(&place, send))
            }));
        }
        drop(ready);
        if !matches!(scenario.load.arrivals, Arrivals::Closed(_)) {
            scope.spawn(|| real_clock::generate(scenario, seed, origin, targets, &runtimes, &around.stop));
        }
        threads.into_iter().map(|thread| thread.join().expect("an arm panicked")).collect()
    });
    let faults = runs.iter().map(|(_, faults)| faults).sum::<u64>()
        + wires.iter().map(Tcp::machine_faults).sum::<u64>();
    let runs: Vec<SeedRun> = runs.into_iter().map(|(run, _)| run).collect();
    let health = watch.end(&runs, faults);
    if let Some(board) = &around.board {
        board.rest(Phase::Ended);
    }
    for runtime in runtimes {
        runtime.shutdown_background();
    }
    Ok((runs, health))
}

/// One arm on its stack.
struct Place<'a> {
    scenario: &'a Scenario,
    arm: &'a ArmPlan,
    /// Its place among the arms.
    index: usize,
    stack: &'a (String, Arc<dyn Controls>),
    wire: &'a Tcp,
    seed: u64,
    around: &'a Around,
}

impl Place<'_> {
    fn ledger(&self, seconds: usize) -> Arc<Ledger> {
        let slo = &self.scenario.slo;
        let ledger = Ledger::new(slo.latency.0, seconds, harm_from(self.scenario));
        let ledger = ledger.with_patience(slo.patient.unwrap_or_default().0);
        Arc::new(match &self.around.board {
            Some(board) => ledger.watched(board.users(self.index)),
            None => ledger,
        })
    }

    /// Sends users to the stack's first service.
    fn load(&self, ledger: &Arc<Ledger>, end: Time, hand: &Hand, send: impl FnOnce(Target)) {
        let entry = self.stack.1.entry();
        let Some(line) = self.wire.line_to_process(entry) else {
            return hand.troubles.note(format!("`{entry}` is no address for users"));
        };
        let target = Target {
            entry: line,
            ledger: Arc::clone(ledger),
            classes: Classifier::of(&self.scenario.load),
            demand: self.scenario.load.elastic.map(|elastic| Arc::new(Demand::new(elastic))),
            world: World::with_classes(self.seed, false, self.scenario.class_names()),
        };
        match &self.scenario.load.arrivals {
            Arrivals::Closed(closed) => driver::closed_loop(&target, closed, end),
            _ => send(target),
        }
    }
}

/// One arm on its stack, with the machine faults of its services.
async fn conduct(place: &Place<'_>, send: impl FnOnce(Target)) -> (SeedRun, u64) {
    let Place { scenario, arm, index, stack: (name, stack), seed, around, .. } = *place;
    let seconds = scenario.duration.0.as_secs_f64().ceil() as usize;
    let end = Time::ZERO + scenario.duration.0;
    let troubles = Troubles::new(name, index, around);
    let hand = Hand { stack: Arc::clone(stack), troubles: troubles.clone(), seed, asked: Arc::default() };
    let ledger = place.ledger(seconds);
    let samples: BTreeMap<String, Arc<Samples>> = (0..)
        .zip(scenario.services.keys())
        .map(|(i, service)| (service.clone(), watch_service(&hand, (index, i), service, seconds)))
        .collect();
    let mut acts = timeline(scenario, arm).into_iter().peekable();
    // What is in place from the start is there before the first user.
    while let Some((_, service, wish)) = acts.next_if(|(at, _, _)| at.is_zero()) {
        hand.ask(&service, wish).await;
    }
    place.load(&ledger, end, &hand, send);
    let acting = hand.clone();
    time::spawn("the timeline", async move {
        for (i, (at, service, wish)) in (0_u64..).zip(acts) {
            time::sleep_until(Time::ZERO + at, Order::timeline(i)).await;
            acting.ask(&service, wish).await;
        }
    });
    let ended = either(real_clock::until(&around.stop), async {
        time::sleep_until(end, Order::sample(2)).await;
        driver::drain(&ledger, end + SHORT_DRAIN).await;
        if troubles.none() {
            driver::drain(&ledger, end + DRAIN).await;
        }
    });
    let stopped_at = (!ended.await).then(now);
    let tally = ledger.close(now());
    if stopped_at.is_none() {
        last_readings(&samples, end).await;
    }
    let (wrong_accounts, faults) = last_words(scenario, &hand).await;
    if let Some(board) = &around.board {
        board.take_marks(index).into_iter().for_each(|mark| troubles.keep(mark));
    }
    let rows = rows(scenario, &samples, seconds, &troubles);
    (seed_run(tally, rows, wrong_accounts, troubles.take(), stopped_at), faults)
}

fn seed_run(
    tally: Tally,
    rows: Rows,
    wrong_accounts: Vec<String>,
    troubles: Vec<String>,
    stopped_at: Option<Time>,
) -> SeedRun {
    let attempts = rows.iter().flatten().map(|row| row.flow(Flow::Arrived)).sum();
    SeedRun {
        tally,
        peaks: peaks(&rows),
        rows,
        events: (0, String::new()),
        events_before_pull: (0, String::new()),
        kept: None,
        wrong_accounts,
        attempts,
        troubles,
        stopped_at,
    }
}

/// The highest levels that were seen: at the seconds' ends. A service's own peaks count from the start of its
/// process, which is not that of the run.
fn peaks(rows: &Rows) -> Vec<[(u64, Time); STOCKS]> {
    let mut peaks = vec![[(0, Time::ZERO); STOCKS]; rows.first().map_or(0, Vec::len)];
    for (second, row) in (1..).zip(rows) {
        for (peaks, row) in peaks.iter_mut().zip(row) {
            for (peak, stock) in peaks.iter_mut().zip(&row.stocks) {
                if u64::from(stock.level) > peak.0 {
                    *peak = (stock.level.into(), Time::ZERO + Duration::from_secs(second));
                }
            }
        }
    }
    peaks
}

/// What the services have to say at the end. Then they are left as they were found: nothing acts on.
async fn last_words(scenario: &Scenario, hand: &Hand) -> (Vec<String>, u64) {
    let (mut wrong, mut faults) = (Vec::new(), 0);
    for service in reset_order(scenario) {
        match hand.stack.about(&service).await {
            Ok(about) => {
                if about.settings != hand.expected(scenario, &service) {
                    hand.troubles
                        .note(format!("the settings of {service} are not those that this run gave it"));
                }
                wrong.extend(about.wrong_accounts);
                faults += about.machine_faults;
                for sentence in about.not_as_said {
                    hand.troubles.note(format!("{service}: {sentence}"));
                }
            }
            Err(sentence) => hand.troubles.note(format!("{service} had no last words: {sentence}")),
        }
        hand.ask(&service, Wish::Reset(hand.seed)).await;
    }
    (wrong, faults)
}

/// What is asked of whom and when; at one instant triggers end before others begin, and levers come last.
fn timeline(scenario: &Scenario, arm: &ArmPlan) -> Vec<(Duration, String, Wish)> {
    let mut all: Vec<(Duration, u8, String, Wish)> = Vec::new();
    for trigger in &scenario.timeline {
        let Some(service) = trigger.service().map(str::to_owned) else { continue };
        match trigger.act() {
            Act::Spike(_) => {}
            Act::Restart(_, down) => all.push((trigger.from.0, 1, service, Wish::Restart(Dur(down)))),
            Act::Lose(..) => {
                // Its `for` is how long they are away: nothing has to be ended.
                let lose = json!({ "trigger": trigger.trigger, "do": trigger.does, "for": trigger.lasts });
                all.push((trigger.from.0, 1, service, Wish::Begin(lose)));
            }
            Act::Disturb(..) => {
                let begin = json!({ "trigger": trigger.trigger, "do": trigger.does });
                all.push((trigger.from.0, 1, service.clone(), Wish::Begin(begin)));
                if let Some(end) = trigger.end() {
                    all.push((end, 0, service, Wish::End(trigger.trigger.clone())));
                }
            }
        }
    }
    for (at, plan::StepOf { set, restart, kill, .. }) in plan::by_hand(scenario, arm) {
        let by_service = of_services(set).into_iter();
        all.extend(by_service.map(|(service, set)| (at, 3, service, Wish::Set(set))));
        for service in restart.iter().flat_map(|restart| &restart.services) {
            let down = restart.map_or(Dur::default(), |restart| restart.down);
            all.push((at, 4, service.clone(), Wish::Restart(down)));
        }
        for service in kill.iter().flat_map(|kill| &kill.services) {
            let age = kill.map_or(Dur::default(), |kill| kill.older_than);
            all.push((at, 5, service.clone(), Wish::Kill(age)));
        }
    }
    all.sort_by_key(|(at, rank, _, _)| (*at, *rank));
    all.into_iter().map(|(at, _, service, wish)| (at, service, wish)).collect()
}

/// Changes by path, apart for each service.
pub fn of_services(set: &IndexMap<String, Value>) -> IndexMap<String, IndexMap<String, Value>> {
    let mut all: IndexMap<String, IndexMap<String, Value>> = IndexMap::new();
    for (path, value) in set {
        let service = path.split('.').next().unwrap_or_default();
        all.entry(service.to_owned()).or_default().insert(path.clone(), value.clone());
    }
    all
}

// === what is asked ===

/// What asks a stack, and remembers what it has asked for.
#[derive(Clone)]
struct Hand {
    stack: Arc<dyn Controls>,
    troubles: Troubles,
    seed: u64,
    /// By service.
    asked: Arc<Mutex<BTreeMap<String, Asked>>>,
}

/// What should act on a service.
#[derive(Default)]
struct Asked {
    set: IndexMap<String, Value>,
    triggers: IndexMap<String, Value>,
    /// What it has not been told, because it did not answer.
    owed: Vec<Wish>,
}

impl Asked {
    fn note(&mut self, wish: &Wish) {
        match wish {
            Wish::Set(set) => self.set.extend(set.clone()),
            Wish::Begin(trigger) => {
                let name = trigger["trigger"].as_str().unwrap_or_default().to_owned();
                self.triggers.insert(name, trigger.clone());
            }
            Wish::End(trigger) => drop(self.triggers.shift_remove(trigger)),
            // Done once, and not again on behalf of a service that has since lost everything anyway.
            Wish::Restart(_) | Wish::Kill(_) | Wish::Reset(_) => {}
        }
    }

    /// What brings a service that has forgotten everything to where the run is.
    fn all_again(&self, seed: u64) -> Vec<Wish> {
        let set = (!self.set.is_empty()).then(|| Wish::Set(self.set.clone()));
        let triggers = self.triggers.values().cloned().map(Wish::Begin);
        std::iter::once(Wish::Reset(seed)).chain(set).chain(triggers).collect()
    }
}

impl Hand {
    fn asked(&self) -> MutexGuard<'_, BTreeMap<String, Asked>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask(&self, service: &str, wish: Wish) {
        self.asked().entry(service.to_owned()).or_default().note(&wish);
        if !self.troubles.ask(&self.stack, service, wish.clone()).await
            && matches!(wish, Wish::Set(_) | Wish::Begin(_) | Wish::End(_))
        {
            self.asked().entry(service.to_owned()).or_default().owed.push(wish);
        }
    }

    /// A service answers again, with all that it knew (`anew` is false) or nothing: it is told what it does not
    /// know.
    async fn tell_again(&self, service: &str, anew: bool) {
        let wishes = {
            let mut asked = self.asked();
            let asked = asked.entry(service.to_owned()).or_default();
            let owed = std::mem::take(&mut asked.owed);
            if anew { asked.all_again(self.seed) } else { owed }
        };
        for wish in wishes {
            self.troubles.ask(&self.stack, service, wish).await;
        }
    }

    /// The settings that `service` has if only this run had hands on it.
    fn expected(&self, scenario: &Scenario, service: &str) -> Value {
        let mut services = scenario.services.clone();
        if let Some(asked) = self.asked().get(service) {
            // What cannot be set was refused when it was asked for, and is a trouble already.
            let _ = paths::set_all(&mut services, &asked.set);
        }
        json!(services[service])
    }
}

// === what goes wrong ===

/// Everything that went wrong on one stack, said once when it happens, and kept as a reason.
#[derive(Clone)]
struct Troubles {
    stack: String,
    arm: usize,
    around: Around,
    all: Arc<Mutex<Vec<String>>>,
}

impl Troubles {
    fn new(stack: &str, arm: usize, around: &Around) -> Troubles {
        Troubles { stack: stack.to_owned(), arm, around: around.clone(), all: Arc::default() }
    }

    fn note(&self, sentence: String) {
        self.tell(&sentence);
        self.keep(sentence);
    }

    /// Notes what was told already.
    fn keep(&self, sentence: String) {
        if let Some(board) = &self.around.board {
            board.trouble(self.arm);
        }
        let sentence = format!("{}: {sentence}", self.stack);
        self.all.lock().unwrap_or_else(PoisonError::into_inner).push(sentence);
    }

    fn tell(&self, sentence: &str) {
        (self.around.tell)(format!("{:.0} s  {}: {sentence}", now().secs_f64(), self.stack));
    }

    fn none(&self) -> bool {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.all.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether it was granted.
    async fn ask(&self, stack: &Arc<dyn Controls>, service: &str, wish: Wish) -> bool {
        let what = match &wish {
            Wish::Set(set) => format!("set {}", set.keys().cloned().collect::<Vec<_>>().join(", ")),
            Wish::Begin(trigger) => {
                format!("begin trigger {}", trigger["trigger"].as_str().unwrap_or_default())
            }
            Wish::End(trigger) => format!("end trigger {trigger}"),
            Wish::Restart(_) => "restart".to_owned(),
            Wish::Kill(age) => format!("end work of {age} and older"),
            Wish::Reset(_) => "reset".to_owned(),
        };
        let granted = stack.ask(service, wish).await;
        match &granted {
            Ok(()) => self.tell(&format!("{service}: {what}")),
            Err(sentence) => self.note(format!("{service} could not be asked to {what}: {sentence}")),
        }
        granted.is_ok()
    }
}

// === what is seen ===

/// Readings of one service: the first at the start, then one for each second's end. None where there was no
/// answer.
type Samples = Mutex<Vec<Option<Snapshot>>>;

/// `place` is that of the arm, and that of the service among the arm's.
fn watch_service(hand: &Hand, place: (usize, usize), service: &str, seconds: usize) -> Arc<Samples> {
    let samples: Arc<Samples> = Arc::new(Mutex::new(vec![None; seconds + 1]));
    let (kept, hand, service) = (Arc::clone(&samples), hand.clone(), service.to_owned());
    time::spawn("the sampler", async move {
        let (mut answers, mut before) = (true, None);
        for second in 0..=seconds {
            let end = Time::ZERO + Duration::from_secs(second as u64);
            // An answer that took longer than a second has taken the place of the next.
            if now() > end + Duration::from_millis(900) {
                continue;
            }
            time::sleep_until(end, Order::sample(1)).await;
            let snapshot = match hand.stack.read(&service).await {
                Ok(snapshot) => snapshot,
                Err(sentence) => {
                    if answers {
                        let sentence = format!("{service} does not answer, since {second} s: {sentence}");
                        hand.troubles.note(sentence);
                    }
                    answers = false;
                    continue;
                }
            };
            kept.lock().unwrap_or_else(PoisonError::into_inner)[second] = Some(snapshot);
            if let Some(board) = &hand.troubles.around.board {
                board.saw(place.0, place.1, second, &snapshot);
            }
            let anew = before.replace(snapshot).is_some_and(|before| started_anew(&before, &snapshot));
            if !answers || anew {
                let what = if answers { "was started anew" } else { "answers again" };
                hand.troubles.tell(&format!("{service} {what}"));
                hand.tell_again(&service, anew).await;
            }
            answers = true;
        }
    });
    samples
}

/// Waits for the readings of the last second, as long as there may be some: a reset must not come before them.
async fn last_readings(samples: &BTreeMap<String, Arc<Samples>>, end: Time) {
    let is_there = |samples: &Arc<Samples>| {
        samples.lock().unwrap_or_else(PoisonError::into_inner).last().is_some_and(Option::is_some)
    };
    while now() < end + LAST_READINGS && !samples.values().all(is_there) {
        time::sleep(Duration::from_millis(10), Order::sample(1)).await;
    }
}

/// Rows from readings. Nothing is made up for seconds without one: their flows are zero, and what was counted in
/// them stands in the row of the next reading.
fn rows(
    scenario: &Scenario,
    samples: &BTreeMap<String, Arc<Samples>>,
    seconds: usize,
    troubles: &Troubles,
) -> Rows {
    let whole = now().secs_f64() as usize;
    let mut rows: Rows = vec![Vec::new(); seconds.min(whole)];
    for service in scenario.services.keys() {
        let samples = samples[service].lock().unwrap_or_else(PoisonError::into_inner);
        let anew = |second| troubles.note(format!("{service} had been started anew by {second} s"));
        rows.iter_mut().zip(rows_of(&samples, anew)).for_each(|(row, it)| row.push(it));
    }
    rows
}

/// The rows of one service. `anew` is told of the seconds by which it had been started anew: what it counted
/// since then is all that is known.
fn rows_of(samples: &[Option<Snapshot>], mut anew: impl FnMut(usize)) -> Vec<Row> {
    let mut before = samples.iter().flatten().next().copied().unwrap_or_default();
    let mut rows = Vec::with_capacity(samples.len());
    for (second, after) in samples.iter().enumerate().skip(1) {
        let after = after.unwrap_or(before);
        if started_anew(&before, &after) {
            anew(second);
            before = Snapshot::default();
        }
        rows.push(Row::between(&before, &after, after.replicas as usize));
        before = after;
    }
    rows
}

/// Whether something that only grows has become less.
fn started_anew(before: &Snapshot, after: &Snapshot) -> bool {
    let flows = Flow::ALL.iter().any(|flow| after.flow(*flow) < before.flow(*flow));
    let stocks = (0..STOCKS).any(|i| {
        let (from, to) = (before.stock(StockName::ALL[i]), after.stock(StockName::ALL[i]));
        to.inflow < from.inflow || to.outflow < from.outflow || to.integral < from.integral
    });
    flows || stocks
}

#[cfg(test)]
mod tests {
    use super::*;
    use pumphandle_core::meter::Meter;

    fn reading(arrived: u64, level: u64) -> Option<Snapshot> {
        let meter = Meter::default();
        meter.add(Flow::Arrived, arrived);
        for _ in 0..level {
            meter.stock(StockName::Queue).enter(Time::ZERO);
        }
        meter.set_replicas(2);
        Some(meter.read(Time::ZERO))
    }

    #[test]
    fn what_was_counted_in_seconds_without_a_reading_stands_in_the_next_row_and_nothing_is_counted_twice() {
        // It counted before the run; then it is away for two seconds, and later it is started anew.
        let samples =
            [reading(100, 0), reading(105, 3), None, None, reading(112, 4), reading(2, 1), reading(4, 1)];
        let mut anew = Vec::new();
        let rows = rows_of(&samples, |second| anew.push(second));
        let arrived: Vec<u64> = rows.iter().map(|row| row.flow(Flow::Arrived)).collect();
        let levels: Vec<u32> = rows.iter().map(|row| row.stock(StockName::Queue).level).collect();
        assert_eq!(arrived, [5, 0, 0, 7, 2, 2]);
        assert_eq!(levels, [3, 3, 3, 4, 1, 1]);
        assert_eq!(anew, [5]);
        // One that was not there at the start is counted from when it was first seen.
        let late = rows_of(&[None, None, reading(50, 0), reading(51, 0)], |_| anew.push(0));
        assert_eq!(late.iter().map(|row| row.flow(Flow::Arrived)).collect::<Vec<_>>(), [0, 0, 1]);
        assert_eq!(anew, [5]);
        // One that was never there has rows of zeros.
        assert!(rows_of(&[None, None], |_| {}).iter().all(|row| row.flows.iter().all(|n| *n == 0)));
    }

    #[test]
    fn changes_are_taken_apart_by_service_in_their_order() {
        let set = ["b.x", "a.y", "b.z.w"].map(|path| (path.to_owned(), Value::Null)).into();
        let all = of_services(&set);
        let keys = |service: &str| all[service].keys().map(String::as_str).collect::<Vec<_>>();
        assert_eq!(all.keys().collect::<Vec<_>>(), ["b", "a"]);
        assert_eq!((keys("b"), keys("a")), (vec!["b.x", "b.z.w"], vec!["a.y"]));
    }
}
