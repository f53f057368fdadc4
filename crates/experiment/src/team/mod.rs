//! A team at work, once a minute on the clock of the arm: ideas become changes and changes versions; those on call are
//! paged by what users got, and take versions back; an error budget is spent by users without a good answer. What they go by
//! are pure functions ([`rules`]). Which change is bad, and how long somebody takes with it, is drawn by the change's number:
//! the same change is as bad in all arms.
//!
//! It acts through the handles of triggers ([`Stack::disturb`], [`Stack::calm`]): a bad version slows or fails calls of real
//! services. It must not look at anything that a team could not: on call sees what users got, a canary its service's own
//! counts. Only the stock of bad versions, which nobody here looks at, is the truth.

pub mod duty;
pub mod rules;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pumphandle_core::Share;
use pumphandle_core::draws::{Path, Stream};
use pumphandle_core::meter::{Flow, Meter, StockName};
use pumphandle_core::time::{self, Order, Time, now};
use pumphandle_load::Users;
use pumphandle_load::users::Settled;
use pumphandle_stack::{Disturbance, Stack};

use crate::scenario::Scenario;
use crate::scenario::team::{Canary, Team};
use duty::Duty;

/// How often it acts.
const TICK: Duration = Duration::from_secs(60);
/// After the sampler of rows and the autoscalers.
const ORDER: u64 = 1 << 20;
/// Numbers of triggers from here on are those of bad changes.
const FIRST_TRIGGER: usize = 1 << 20;

/// What is drawn for a change, a page or a piece of work, by its number.
#[derive(Clone, Copy)]
enum Draw {
    Bad,
    Slow,
    Replay,
    Shortcut,
    Refactoring,
    After,
}

/// A stock of the team, in the accounts of a service.
struct Account {
    meter: Arc<Meter>,
    name: StockName,
    entered: VecDeque<Time>,
}

impl Account {
    fn put(&mut self, n: u64) {
        let at = now();
        self.entered.extend((0..n).map(|_| self.meter.stock(self.name).enter(at)));
    }

    /// Takes out `n`, or all there are; returns how many that was.
    fn take(&mut self, n: u64) -> u64 {
        let at = now();
        let taken = n.min(self.level());
        for entered in self.entered.drain(..taken as usize) {
            self.meter.stock(self.name).leave(entered, at);
        }
        taken
    }

    fn level(&self) -> u64 {
        self.entered.len() as u64
    }
}

#[derive(Clone, Copy, Debug)]
struct Change {
    number: u64,
    bad: bool,
    /// It is bad, and users have begun to feel it.
    shows: bool,
}

/// Changes that run.
struct Version {
    changes: Vec<Change>,
    /// Where.
    services: Vec<String>,
    /// Since when the first of them did.
    since: Time,
}

/// A version on its way, tried on some users.
struct OnCanary {
    version: Version,
    until: Time,
    /// What its service had counted before.
    before: CanaryCounts,
    settings: Canary,
}

#[derive(Clone, Copy)]
struct CanaryCounts {
    failed: u64,
    ended: u64,
    inside_ns: u128,
    left: u64,
}

/// Users without a good answer that have not been forgotten yet, and when they were.
#[derive(Default)]
struct Spent(VecDeque<(Time, u64)>);

/// What users got: how many were answered, and how many of them well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answered {
    /// Answered at all.
    pub all: u64,
    /// Answered well.
    pub good: u64,
}

struct Work {
    stack: Arc<Stack>,
    users: Arc<Users>,
    settings: Arc<Mutex<Team>>,
    slo: Duration,
    /// Users per second, in the mean.
    users_per_s: f64,
    answered: Answered,
    backlog: Account,
    ready: Account,
    debt: Account,
    bad_versions: Account,
    budget: Account,
    overspent: Account,
    budgeted: bool,
    spent: Spent,
    duty: Duty,
    /// Parts of an idea, and of a piece of work.
    parts: (f64, f64),
    worked: u64,
    developed: u64,
    undeployed: Vec<Change>,
    canary: Option<OnCanary>,
    /// Versions that all users have and in which there is a bad change.
    live: Vec<Version>,
}

/// The team of an arm, if it has one.
pub struct TeamAtWork(Option<Arc<Mutex<Team>>>);

impl TeamAtWork {
    /// Starts the team of an arm, on the clock of this thread. It sees what is counted in `users`.
    pub fn start(
        team: Option<&Team>,
        scenario: &Scenario,
        stack: &Arc<Stack>,
        users: Option<&Arc<Users>>,
    ) -> TeamAtWork {
        let (Some(team), Some(users)) = (team, users) else { return TeamAtWork(None) };
        let settings = Arc::new(Mutex::new(team.clone()));
        let mut work = Work::new(scenario, stack, users, Arc::clone(&settings), team);
        time::spawn("a team", async move {
            loop {
                work.minute();
                time::sleep_until(now() + TICK, Order::sample(ORDER)).await;
            }
        });
        TeamAtWork(Some(settings))
    }

    /// Puts other settings in force.
    pub fn set(&self, settings: Team) {
        if let Some(team) = &self.0 {
            *team.lock().unwrap_or_else(PoisonError::into_inner) = settings;
        }
    }
}

impl Work {
    fn new(
        scenario: &Scenario,
        stack: &Arc<Stack>,
        users: &Arc<Users>,
        settings: Arc<Mutex<Team>>,
        team: &Team,
    ) -> Work {
        let meter = stack.meter(&team.deployer.services[0]);
        let account = |name| Account { meter: Arc::clone(&meter), name, entered: VecDeque::new() };
        let (fatigue, pages) = (account(StockName::Fatigue), account(StockName::Incidents));
        Work {
            stack: Arc::clone(stack),
            users: Arc::clone(users),
            settings,
            slo: scenario.slo.latency.0,
            users_per_s: scenario.load.mean_rate(scenario.duration.0).unwrap_or(0.0),
            answered: answered(users),
            backlog: account(StockName::FeatureBacklog),
            ready: account(StockName::Undeployed),
            debt: account(StockName::TechnicalDebt),
            bad_versions: account(StockName::BadVersions),
            budget: account(StockName::ErrorBudget),
            overspent: account(StockName::BudgetOverspent),
            budgeted: false,
            spent: Spent::default(),
            duty: Duty::new(stack.world().draws, fatigue, pages),
            parts: (0.0, 0.0),
            worked: 0,
            developed: 0,
            undeployed: Vec::new(),
            canary: None,
            live: Vec::new(),
        }
    }

    fn chance(&self, share: f64, what: Draw, number: u64) -> bool {
        self.stack.world().draws.chance(share, Stream::Team, what as u64, Path::of_arrival(number))
    }

    fn minute(&mut self) {
        let team = self.settings.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (before, at) = (self.answered, now());
        self.answered = answered(&self.users);
        let all = self.answered.all - before.all;
        let answered = Answered { all, good: self.answered.good - before.good };
        self.keep_budget(&team, all - answered.good, at);
        self.show(&team, at);
        let mut shown = self.live.iter().flat_map(|version| &version.changes).filter(|change| change.shows);
        let first_bad = shown.next().map(|change| change.number);
        if self.duty.minute(&team.on_call, answered, first_bad, at) {
            self.roll_back();
        }
        let closed = team.error_budget.is_some_and(|budget| budget.gate) && self.budget.level() == 0;
        if rules::at_work(at) {
            self.develop(&team, closed);
        }
        self.deploy(&team, closed, at);
    }

    fn develop(&mut self, team: &Team, closed: bool) {
        let deployer = &team.deployer;
        let velocity = rules::velocity(deployer.velocity_per_day, &deployer.debt, self.debt.level());
        self.parts.0 += deployer.ideas_per_day / rules::WORKING_MINUTES;
        self.parts.1 += velocity / rules::WORKING_MINUTES;
        while self.parts.0 >= 1.0 {
            self.parts.0 -= 1.0;
            self.backlog.put(1);
        }
        while self.parts.1 >= 1.0 {
            self.parts.1 -= 1.0;
            self.worked += 1;
            let pays = closed || self.chance(deployer.debt.refactoring.0, Draw::Refactoring, self.worked);
            if (pays && self.debt.take(1) == 1) || closed || self.backlog.take(1) == 0 {
                continue;
            }
            let number = self.developed;
            self.developed += 1;
            let bad = rules::chance_of_bad(deployer.bad, &deployer.debt, self.debt.level());
            let bad = self.chance(bad, Draw::Bad, number);
            if self.chance(deployer.debt.shortcuts.0, Draw::Shortcut, number) {
                self.debt.put(1);
            }
            self.ready.put(1);
            self.undeployed.push(Change { number, bad, shows: false });
        }
    }

    fn deploy(&mut self, team: &Team, closed: bool, at: Time) {
        if self.duty.is_busy() {
            // Nobody ships into an incident.
            return;
        }
        if let Some(canary) = self.canary.take_if(|canary| at >= canary.until) {
            self.end_canary(team, canary);
        } else if self.canary.is_none() && !closed && rules::may_deploy(&team.deployer, at) {
            self.release(team, at);
        }
    }

    fn release(&mut self, team: &Team, at: Time) {
        let changes = std::mem::take(&mut self.undeployed);
        let found =
            |change: &Change| change.bad && self.chance(team.deployer.replay.0, Draw::Replay, change.number);
        let (found, changes): (Vec<Change>, Vec<Change>) = changes.into_iter().partition(found);
        self.do_again(found.len() as u64);
        if changes.is_empty() {
            return;
        }
        match &team.deployer.canary {
            Some(settings) => {
                let (until, before) = (at + settings.lasts.0, self.counts(&settings.service));
                let version = Version { changes, services: vec![settings.service.clone()], since: at };
                self.canary = Some(OnCanary { version, until, before, settings: settings.clone() });
            }
            None => self.promote(team, Version { changes, services: Vec::new(), since: at }),
        }
    }

    /// Changes that are ready turn out to be bad before anybody is harmed: they are ideas again.
    fn do_again(&mut self, found: u64) {
        self.ready.take(found);
        self.backlog.put(found);
    }

    /// A version goes to all users.
    fn promote(&mut self, team: &Team, mut version: Version) {
        self.ready.take(version.changes.len() as u64);
        if version.changes.iter().any(|change| change.bad) {
            version.services.clone_from(&team.deployer.services);
            version.changes.iter_mut().for_each(|change| change.shows = false);
            self.live.push(version);
        }
    }

    /// Bad changes that have run for long enough begin to do harm.
    fn show(&mut self, team: &Team, at: Time) {
        let mut live = std::mem::take(&mut self.live);
        for version in &mut live {
            let harmed = version.changes.iter().any(|change| change.shows);
            self.show_of(team, version, at);
            let harms = version.changes.iter().any(|change| change.shows);
            self.bad_versions.put(u64::from(harms && !harmed));
        }
        self.live = live;
        if let Some(mut canary) = self.canary.take() {
            self.show_of(team, &mut canary.version, at);
            self.canary = Some(canary);
        }
    }

    fn show_of(&self, team: &Team, version: &mut Version, at: Time) {
        let draws = &self.stack.world().draws;
        let Version { changes, services, since } = version;
        for change in changes.iter_mut().filter(|change| change.bad && !change.shows) {
            let u = draws.uniform(Stream::Team, Draw::After as u64, Path::of_arrival(change.number));
            let after = rules::takes(team.deployer.harm.after.0, u, Share(0.0), 0);
            if *since + after <= at {
                change.shows = true;
                self.disturb(team, services, change);
            }
        }
    }

    fn end_canary(&mut self, team: &Team, canary: OnCanary) {
        let OnCanary { version, before, settings, .. } = canary;
        self.calm(&version.changes);
        let after = self.counts(&settings.service);
        let (failed, ended) = (after.failed - before.failed, after.ended - before.ended);
        let mean_ns = (after.inside_ns - before.inside_ns) / u128::from((after.left - before.left).max(1));
        let fails = ended > 0 && failed as f64 >= settings.failures.0 * ended as f64 && failed > 0;
        if !fails && mean_ns <= self.slo.as_nanos() {
            return self.promote(team, version);
        }
        // Who looks at it finds what it was; the others go out again.
        let (bad, good): (Vec<Change>, Vec<Change>) =
            version.changes.into_iter().partition(|change| change.bad);
        self.do_again(bad.len() as u64);
        self.undeployed.splice(..0, good);
    }

    fn counts(&self, service: &str) -> CanaryCounts {
        let snapshot = self.stack.meter(service).read(now());
        let (failed, inside) = (snapshot.flow(Flow::Failed), snapshot.stock(StockName::Inside));
        let ended = failed + snapshot.flow(Flow::Completed);
        CanaryCounts { failed, ended, inside_ns: inside.integral, left: inside.outflow }
    }

    /// All versions that harm users are taken back. What was good in them goes out again, what was bad has to be done again.
    fn roll_back(&mut self) {
        let harms = |version: &Version| version.changes.iter().any(|change| change.shows);
        let (harming, live): (Vec<Version>, Vec<Version>) =
            std::mem::take(&mut self.live).into_iter().partition(harms);
        self.live = live;
        for version in harming {
            self.calm(&version.changes);
            self.bad_versions.take(1);
            let (bad, good): (Vec<Change>, Vec<Change>) =
                version.changes.into_iter().partition(|change| change.bad);
            self.backlog.put(bad.len() as u64);
            self.ready.put(good.len() as u64);
            self.undeployed.splice(..0, good);
        }
    }

    /// Number of the disturbance by which a change harms the `i`-th of the stack's services.
    fn trigger(&self, change: &Change, service: usize) -> usize {
        FIRST_TRIGGER + change.number as usize * self.stack.services().count() + service
    }

    fn disturb(&self, team: &Team, services: &[String], change: &Change) {
        let harm = team.deployer.harm;
        let slow = harm.errors.0 == 0.0 || harm.slow > 1.0 && self.chance(0.5, Draw::Slow, change.number);
        let disturbance = match slow {
            true => Disturbance { slow: harm.slow, ..Disturbance::default() },
            false => Disturbance { errors: harm.errors.0, ..Disturbance::default() },
        };
        let runs_on = |name: &str| services.iter().any(|it| it == name);
        for (i, name) in self.stack.services().enumerate().filter(|(_, name)| runs_on(name)) {
            self.stack.disturb(self.trigger(change, i), name, disturbance.clone());
        }
    }

    fn calm(&self, changes: &[Change]) {
        for change in changes.iter().filter(|change| change.bad) {
            (0..self.stack.services().count()).for_each(|i| self.stack.calm(self.trigger(change, i)));
        }
    }

    /// The budget of the window that ends now.
    fn keep_budget(&mut self, team: &Team, bad: u64, at: Time) {
        let Some(settings) = team.error_budget else { return };
        if !std::mem::replace(&mut self.budgeted, true) {
            let expected = self.users_per_s * settings.window.secs_f64();
            self.budget.put(rules::allowance(settings.target, expected));
        }
        let old = self.spent.forget(at, settings.window.0);
        let paid = self.overspent.take(old);
        self.budget.put(old - paid);
        let taken = self.budget.take(bad);
        self.overspent.put(bad - taken);
        if bad > 0 {
            self.spent.0.push_back((at, bad));
        }
    }
}

impl Spent {
    /// Forgets those that are `window` old; returns how many.
    fn forget(&mut self, at: Time, window: Duration) -> u64 {
        let mut old = 0;
        while let Some((_, n)) = self.0.front().filter(|(then, _)| *then + window <= at) {
            old += n;
            self.0.pop_front();
        }
        old
    }
}

fn answered(users: &Users) -> Answered {
    let counted = users.read();
    let all = counted.settled.iter().sum();
    Answered { all, good: counted.of(Settled::Good) }
}
