//! One arm under one seed, on whichever clock the thread is on: load, timeline, sampling, and the end.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use pumphandle_core::World;
use pumphandle_core::meter::{STOCKS, Snapshot, StockName};
use pumphandle_core::time::{self, Order, Time, now};
use pumphandle_load::driver::{self, Target};
use pumphandle_load::plan::Arrivals;
use pumphandle_load::{Classifier, Demand, Ledger, Plan, Tally, Users};
use pumphandle_stack::Stack;

use crate::plan::{Action, ArmPlan, spikes};
use crate::run::rows::{Rows, sample};
use crate::scaling::Controllers;
use crate::scenario::Scenario;
use crate::scenario::triggers::Act;
use crate::stocks::{self, AtStart};
use crate::team::TeamAtWork;

/// How long a run waits after its last arrival for answers still under way.
pub const DRAIN: Duration = Duration::from_secs(120);

/// What one arm and seed left behind.
#[derive(Clone, Debug)]
pub struct SeedRun {
    /// What became of the users.
    pub tally: Tally,
    /// Every service, every second.
    pub rows: Rows,
    /// The highest level of every stock of every service, and when it was first that high.
    pub peaks: Vec<[(u64, Time); STOCKS]>,
    /// Number of events, and their digest.
    pub events: (u64, String),
    /// The digest when the pulled levers act, before they do.
    pub events_before_pull: (u64, String),
    /// The event log, if it was kept.
    pub kept: Option<Vec<u8>>,
    /// Stocks whose accounts do not add up, in words: a defect of the rig.
    pub wrong_accounts: Vec<String>,
    /// Attempts that reached a service.
    pub attempts: u64,
    /// What went wrong with services of other processes, in words.
    pub troubles: Vec<String>,
    /// Somebody ended it before its time.
    pub stopped_at: Option<Time>,
}

/// Who sends the load.
pub enum Generator {
    /// A task of the run itself.
    Within,
    /// A thread outside: it is handed the target.
    Outside(Box<dyn FnOnce(Target) + Send>),
}

/// Runs `arm` on an already started stack. Its users are counted in `users`, if somebody watches.
pub async fn conduct(
    scenario: &Scenario,
    arm: &ArmPlan,
    stack: Arc<Stack>,
    generator: Generator,
    users: Option<Arc<Users>>,
    stopped: impl Future<Output = ()>,
) -> SeedRun {
    // A twin that is only watched for a while ends a second after the watch, since a user who is due at its very end
    // is counted in it; its last users' answers matter to nobody.
    let watched = arm.nudge.map(|nudge| Duration::from_secs(nudge.until_s as u64 + 1));
    let length = watched.map_or(scenario.duration.0, |watched| watched.min(scenario.duration.0));
    let rest = if arm.nudge.is_some() { Duration::ZERO } else { DRAIN };
    let step = scenario.step_s();
    let samples = (length.as_secs_f64() / step as f64).ceil() as usize;
    let end = Time::ZERO + length;
    let world = Arc::clone(stack.world());
    // Before any user: a closed loop's come at the very start.
    let empty = stack.read();
    let patience = scenario.slo.patient.unwrap_or_default().0;
    let ledger = Ledger::new(scenario.slo.latency.0, samples, harm_from(scenario));
    let ledger = ledger.with_patience(patience).in_steps_of(step);
    // A team looks at what users get, as whoever watches a run does.
    let users = users.or_else(|| arm.team.is_some().then(Arc::default));
    let seen = users.clone();
    let ledger = Arc::new(match users {
        Some(users) => ledger.watched(users),
        None => ledger,
    });
    let target = Target {
        entry: stack.entry(),
        ledger: Arc::clone(&ledger),
        classes: Classifier::of(&scenario.load),
        demand: scenario.load.elastic.map(|elastic| Arc::new(Demand::new(elastic))),
        world: Arc::clone(&world),
    };
    let target_of_nudge = target.clone();
    match (&scenario.load.arrivals, generator) {
        (Arrivals::Closed(closed), _) => driver::closed_loop(&target, closed, end),
        (_, Generator::Outside(send)) => send(target),
        (_, Generator::Within) => {
            let plan = Plan::new(&scenario.load, &spikes(scenario), world.draws, end);
            time::spawn("the arrivals", driver::open_loop(target, plan));
        }
    }
    if let Some(nudge) = &arm.nudge {
        let from = Time::ZERO + Duration::from_secs(nudge.from_s as u64);
        let more = driver::more_users(target_of_nudge, from, nudge.over, nudge.users);
        time::spawn("more users", more);
    }
    let rows = Arc::new(Mutex::new(Vec::with_capacity(samples)));
    time::spawn("the sampler", sample(Arc::clone(&stack), empty, samples, step, Arc::clone(&rows)));
    let before_pull = Arc::new(Mutex::new((0, String::new())));
    let controllers = Controllers::start(&arm.autoscalers, &stack);
    let team = TeamAtWork::start(arm.team.as_ref(), scenario, &stack, seen.as_ref());
    let acting = timeline(scenario, arm, Arc::clone(&stack), (controllers, team), Arc::clone(&before_pull));
    time::spawn("the timeline", acting);
    let ended = either(stopped, async {
        time::sleep_until(end, Order::sample(2)).await;
        driver::drain(&ledger, end + rest).await;
    });
    let stopped_at = (!ended.await).then(now);
    let closed_at = now();
    let mut wrong_accounts = audit(&stack);
    let attempts = attempts(&stack);
    let rows = std::mem::take(&mut *rows.lock().unwrap_or_else(PoisonError::into_inner));
    let classes = scenario.class_names().len();
    let services = arm.settings.iter().map(|(name, settings)| AtStart::of(name, settings, classes));
    wrong_accounts.extend(stocks::wrong(services, &rows));
    let events_before_pull = std::mem::take(&mut *before_pull.lock().unwrap_or_else(PoisonError::into_inner));
    SeedRun {
        tally: ledger.close(closed_at),
        rows,
        peaks: peaks(&stack),
        events: world.log.digest(),
        events_before_pull,
        kept: world.log.take(),
        wrong_accounts,
        attempts,
        troubles: Vec::new(),
        stopped_at,
    }
}

/// Waits for the first of the two; true if it was the second.
pub(super) async fn either(first: impl Future<Output = ()>, second: impl Future<Output = ()>) -> bool {
    let (mut first, mut second) = (pin!(first), pin!(second));
    std::future::poll_fn(|cx| {
        if second.as_mut().poll(cx).is_ready() {
            return Poll::Ready(true);
        }
        first.as_mut().poll(cx).map(|()| false)
    })
    .await
}

/// Since when arrivals count for the percentiles of latency: the later of trigger and pull.
pub(super) fn harm_from(scenario: &Scenario) -> Time {
    let trigger = scenario.trigger_window().map_or(Duration::ZERO, |(from, _)| from);
    Time::ZERO + trigger.max(scenario.pull.unwrap_or_default().0)
}

enum Happening {
    Begin(usize, Act),
    End(usize),
    Pull,
    Do(Action),
}

/// Triggers and levers, in the order of time; at one instant triggers end before others begin, and levers
/// come last.
fn timeline(
    scenario: &Scenario,
    arm: &ArmPlan,
    stack: Arc<Stack>,
    (controllers, team): (Controllers, TeamAtWork),
    before_pull: Arc<Mutex<(u64, String)>>,
) -> impl Future<Output = ()> + Send + use<> {
    let mut all: Vec<(Duration, u8, Happening)> = Vec::new();
    for (i, trigger) in scenario.timeline.iter().enumerate() {
        all.push((trigger.from.0, 1, Happening::Begin(i, trigger.act())));
        if let Some(end) = trigger.end() {
            all.push((end, 0, Happening::End(i)));
        }
    }
    if let Some(pull) = scenario.pull {
        all.push((pull.0, 2, Happening::Pull));
    }
    for (at, action) in &arm.actions {
        all.push((*at, 3, Happening::Do(action.clone())));
    }
    all.sort_by_key(|(at, rank, _)| (*at, *rank));
    async move {
        for (i, (at, _, happening)) in (0_u64..).zip(all) {
            time::sleep_until(Time::ZERO + at, Order::timeline(i)).await;
            match happening {
                Happening::Begin(i, Act::Disturb(service, disturbance)) => {
                    stack.disturb(i, &service, disturbance)
                }
                Happening::Begin(_, Act::Restart(service, down)) => stack.restart(&service, down),
                Happening::Begin(_, Act::Lose(service, count, away)) => {
                    stack.lose(&service, count, away);
                }
                Happening::Begin(_, Act::Spike(_)) => {}
                Happening::End(i) => stack.calm(i),
                Happening::Pull => {
                    *before_pull.lock().unwrap_or_else(PoisonError::into_inner) = stack.world().log.digest();
                }
                Happening::Do(Action::Set(service, settings)) => stack.set(&service, *settings),
                Happening::Do(Action::SetAllButReplicas(service, settings)) => {
                    stack.set_all_but_replicas(&service, *settings);
                }
                Happening::Do(Action::SetAutoscaler(name, settings)) => controllers.set(&name, *settings),
                Happening::Do(Action::SetTeam(settings)) => team.set(*settings),
                Happening::Do(Action::Restart(services, down)) => {
                    services.iter().for_each(|service| stack.restart(service, down));
                }
                Happening::Do(Action::Kill(services, older_than)) => {
                    for service in &services {
                        stack.kill(service, older_than);
                    }
                }
            }
        }
    }
}

/// Little's law as an identity, and levels against flows, for every stock of every service.
pub(crate) fn audit(stack: &Stack) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, (snapshot, _)) in stack.services().zip(stack.read()) {
        for &stock in StockName::ALL {
            let reading = snapshot.stock(stock);
            if reading.level != reading.inflow - reading.outflow || reading.integral != reading.sojourns {
                wrong.push(format!("{name}.{}: {reading:?}", stock.name()));
            }
        }
    }
    wrong
}

fn peaks(stack: &Stack) -> Vec<[(u64, Time); STOCKS]> {
    let of = |(snapshot, _): (Snapshot, usize)| {
        std::array::from_fn(|i| {
            let reading = snapshot.stock(StockName::ALL[i]);
            (reading.peak, Time::from_nanos(reading.peaked))
        })
    };
    stack.read().into_iter().map(of).collect()
}

fn attempts(stack: &Stack) -> u64 {
    use pumphandle_core::meter::Flow;
    stack.read().iter().map(|(snapshot, _)| snapshot.flow(Flow::Arrived)).sum()
}

/// Builds the stack of `arm` under `seed` in memory and runs it, on the clock of this thread.
pub async fn conduct_in_memory(scenario: &Scenario, arm: &ArmPlan, seed: u64, keep_events: bool) -> SeedRun {
    let world = World::with_classes(seed, keep_events, scenario.class_names());
    let stack = Arc::new(Stack::start(world, &arm.settings));
    conduct(scenario, arm, stack, Generator::Within, None, std::future::pending()).await
}
