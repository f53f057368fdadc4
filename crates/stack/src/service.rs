//! One service: its replicas, which of them take calls, and which of those is next.
//!
//! A replica that is started takes calls when it is ready, `start_up` later. One that is lost (its process was
//! killed) loses what is inside, and takes calls again `start_up` after it was started anew. One that is one too many
//! gets no more calls and finishes those it has.
//!
//! It must not decide how many there should be: that is said by settings, by a lever, or by a controller.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use pumphandle_core::draws::{Path, Stream, mix};
use pumphandle_core::events::EventKind;
use pumphandle_core::meter::{Flow, StockName};
use pumphandle_core::time::{self, Order, Time, now};
use pumphandle_core::{Answering, Call, CallError, Service};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::replica::{Replica, Shared};

/// A way to one replica: in memory or over TCP.
pub type Line = Arc<dyn Service>;

/// How the replica for the next call is chosen, among those that are ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// One after the other.
    #[default]
    RoundRobin,
    /// The one with the fewest calls that were sent to it and not answered; among equals, the one whose turn it is.
    /// A caller that has left waits for nothing: work that goes on for nobody is not seen.
    LeastRequests,
    /// Of two drawn by chance, the one with fewer calls sent to it and not answered (Mitzenmacher, "The power of
    /// two choices in randomized load balancing", 2001).
    PowerOfTwo,
    /// Drawn by chance.
    Random,
}

impl Balance {
    /// Whether it is what a file says that says nothing.
    pub fn is_default(&self) -> bool {
        *self == Balance::default()
    }

    fn counts(self) -> bool {
        matches!(self, Balance::LeastRequests | Balance::PowerOfTwo)
    }
}

/// One replica, as a controller sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    /// A number of its own, that no other replica of the service ever has.
    pub id: u64,
    /// When it was started.
    pub started: Time,
    /// Whether it takes calls.
    pub ready: bool,
    /// Since when it is as it is.
    pub since: Time,
    /// Nanoseconds that it has computed since it was started.
    pub computed_ns: f64,
}

/// A replica that has been started.
struct Member {
    id: u64,
    ordinal: u32,
    replica: Arc<Replica>,
    line: Line,
    /// Calls sent to it and not answered, where the balancer counts them.
    sent: Arc<AtomicUsize>,
    started: Time,
    ready: bool,
    /// Since when; that is also when it entered the stock that it is in.
    since: Time,
    /// How often it was lost.
    losses: u64,
}

#[derive(Default)]
struct Members {
    all: Vec<Member>,
    /// Those that finish what they have.
    leaving: Vec<Weak<Replica>>,
    next_id: u64,
    /// Whether the last change of the number was upwards; none before the first.
    upwards: Option<bool>,
}

/// A way to a replica that takes calls.
struct Way {
    line: Line,
    sent: Arc<AtomicUsize>,
}

/// Those that take calls, and how one of them is chosen.
#[derive(Default)]
struct Ways {
    ways: Vec<Way>,
    balance: Balance,
}

/// See the module.
pub struct ServiceNode {
    /// What its replicas share.
    pub shared: Arc<Shared>,
    members: Mutex<Members>,
    ways: ArcSwap<Ways>,
    next: AtomicUsize,
}

/// The line to a replica for one call. The call is counted as sent for as long as this is there.
pub struct Chosen {
    /// The way.
    pub line: Line,
    counted: Option<Arc<AtomicUsize>>,
}

impl Chosen {
    /// A way that nobody counts on.
    pub fn only(line: Line) -> Chosen {
        Chosen { line, counted: None }
    }
}

impl Drop for Chosen {
    fn drop(&mut self) {
        if let Some(sent) = &self.counted {
            sent.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Makes the replica of an ordinal, with the way to it.
pub type Make<'a> = &'a mut dyn FnMut(u32) -> (Arc<Replica>, Line);

impl ServiceNode {
    /// A service without replicas, for now.
    pub fn new(shared: Arc<Shared>) -> ServiceNode {
        ServiceNode { shared, members: Mutex::default(), ways: ArcSwap::default(), next: AtomicUsize::new(0) }
    }

    fn lock(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The replicas that have been started, whether or not they take calls.
    pub fn replicas(&self) -> Vec<Arc<Replica>> {
        self.lock().all.iter().map(|member| Arc::clone(&member.replica)).collect()
    }

    /// The replicas, as a controller sees them.
    pub fn seen(&self) -> Vec<Seen> {
        let of = |member: &Member| Seen {
            id: member.id,
            started: member.started,
            ready: member.ready,
            since: member.since,
            computed_ns: member.replica.computed_ns(),
        };
        self.lock().all.iter().map(of).collect()
    }

    /// Calls sent to each replica that takes calls, and not answered; all 0 where the balancer does not count.
    #[cfg(test)]
    pub fn sent(&self) -> Vec<usize> {
        self.ways.load().ways.iter().map(|way| way.sent.load(Ordering::Relaxed)).collect()
    }

    /// Starts the first `count` replicas: they take calls at once.
    pub fn begin(self: &Arc<Self>, count: usize, make: Make<'_>) {
        self.grow(&mut self.lock(), count, Duration::ZERO, make);
        self.lock().all.iter().for_each(|member| member.replica.warm());
        self.publish(&self.lock());
    }

    /// Brings the number of replicas to `count`: new ones take calls `start_up` later; of surplus ones those go first
    /// that take no calls yet, then those that came last.
    pub fn scale(self: &Arc<Self>, count: usize, start_up: Duration, make: Make<'_>) {
        let mut members = self.lock();
        let before = members.all.len();
        if count == before {
            return;
        }
        let (upwards, meter) = (count > before, &self.shared.meter);
        meter.count(if upwards { Flow::ScaledUp } else { Flow::ScaledDown });
        if members.upwards.replace(upwards).is_some_and(|last| last != upwards) {
            meter.count(Flow::Turned);
        }
        self.grow(&mut members, count, start_up, make);
        while members.all.len() > count {
            let last = |(_, member): &(usize, &Member)| (!member.ready, member.ordinal);
            let surplus = members.all.iter().enumerate().max_by_key(last).map(|(i, _)| i);
            let member = members.all.remove(surplus.expect("there are more than `count`"));
            self.stock(member.ready).leave(member.since, now());
            member.replica.leave();
            members.leaving.push(Arc::downgrade(&member.replica));
        }
        self.publish(&members);
    }

    fn grow(self: &Arc<Self>, members: &mut Members, count: usize, start_up: Duration, make: Make<'_>) {
        while members.all.len() < count {
            let taken = |ordinal: u32| members.all.iter().any(|member| member.ordinal == ordinal);
            let ordinal = (0..).find(|ordinal| !taken(*ordinal)).expect("there are few replicas");
            let (replica, line) = make(ordinal);
            let (id, started, ready) = (members.next_id, now(), start_up.is_zero());
            members.next_id += 1;
            let since = self.stock(ready).enter(started);
            let sent = Arc::default();
            let losses = 0;
            members.all.push(Member { id, ordinal, replica, line, sent, started, ready, since, losses });
            if !ready {
                self.ready_later(id, losses, start_up);
            }
        }
    }

    /// The first `count` replicas that take calls lose what is inside. They are started anew `away` later, and take
    /// calls `start_up` after that. Returns how many there were to lose.
    pub fn lose(self: &Arc<Self>, count: usize, away: Duration, start_up: Duration) -> usize {
        self.lose_those(count, away + start_up, |member| member.ready)
    }

    /// One replica was killed: it loses what is inside, and takes calls again when it has started anew.
    pub fn killed(self: &Arc<Self>, replica: &Arc<Replica>) {
        let start_up = self.shared.settings.snapshot().start_up.0;
        let is_it = |member: &Member| Arc::ptr_eq(&member.replica, replica);
        if self.lose_those(1, start_up, is_it) == 0 {
            // It was one too many, and finished what it had: that is over, and nobody starts it again.
            replica.restart(now());
        }
    }

    fn lose_those(self: &Arc<Self>, most: usize, down: Duration, which: impl Fn(&Member) -> bool) -> usize {
        let mut members = self.lock();
        let mut lost = Vec::new();
        for member in members.all.iter_mut().filter(|member| which(member)).take(most) {
            member.losses += 1;
            self.turn(member, false);
            lost.push((Arc::clone(&member.replica), member.id, member.losses));
        }
        self.publish(&members);
        drop(members);
        for (replica, id, losses) in &lost {
            replica.restart(now() + down);
            if down.is_zero() {
                self.is_ready(*id, *losses);
            } else {
                self.ready_later(*id, *losses, down);
            }
        }
        lost.len()
    }

    /// It enters the other stock.
    fn turn(&self, member: &mut Member, ready: bool) {
        let at = now();
        self.stock(member.ready).leave(member.since, at);
        member.ready = ready;
        member.since = self.stock(ready).enter(at);
    }

    fn stock(&self, ready: bool) -> &pumphandle_core::meter::Stock {
        self.shared.meter.stock(if ready { StockName::Ready } else { StockName::Starting })
    }

    fn ready_later(self: &Arc<Self>, id: u64, losses: u64, after: Duration) {
        let node = Arc::downgrade(self);
        let key = mix(self.shared.subject ^ id);
        time::spawn("the start of a replica", async move {
            time::sleep(after, Order::timeline(key)).await;
            if let Some(node) = node.upgrade() {
                node.is_ready(id, losses);
            }
        });
    }

    /// The start-up is over that began with the loss of this number; it may be that the replica is no more, or was
    /// lost again.
    fn is_ready(&self, id: u64, losses: u64) {
        let mut members = self.lock();
        let fits = |member: &&mut Member| member.id == id && member.losses == losses && !member.ready;
        let Some(member) = members.all.iter_mut().find(fits) else { return };
        self.turn(member, true);
        let ordinal = u64::from(member.ordinal);
        let ready = members.all.iter().filter(|member| member.ready).count() as u64;
        self.shared.world.record(EventKind::Ready, self.shared.number, ordinal, ready);
        self.publish(&members);
    }

    fn publish(&self, members: &Members) {
        let ready = members.all.iter().filter(|member| member.ready);
        let way = |member: &Member| Way { line: Arc::clone(&member.line), sent: Arc::clone(&member.sent) };
        let balance = self.shared.settings.snapshot().balance;
        self.ways.store(Arc::new(Ways { ways: ready.map(way).collect(), balance }));
    }

    /// Ends for good: nobody takes calls any more.
    pub fn retire(&self) {
        let mut members = self.lock();
        for member in members.all.drain(..) {
            self.stock(member.ready).leave(member.since, now());
            member.replica.retire();
        }
    }

    /// Settings or disturbances have changed.
    pub fn refresh(&self) {
        let members = self.lock();
        members.all.iter().for_each(|member| member.replica.refresh());
        members.leaving.iter().filter_map(Weak::upgrade).for_each(|replica| replica.refresh());
        if self.ways.load().balance != self.shared.settings.snapshot().balance {
            self.publish(&members);
        }
    }

    /// Tells the meter what was computed, where processors are asked for, and what is past its time in a cache.
    pub fn bill(&self) {
        let mut members = self.lock();
        members.leaving.retain(|replica| replica.strong_count() > 0);
        let settings = self.shared.settings.snapshot();
        if settings.cpu.is_some() {
            members.all.iter().for_each(|member| member.replica.bill());
            members.leaving.iter().filter_map(Weak::upgrade).for_each(|replica| replica.bill());
        }
        if let Some(cache) = &settings.cache {
            members.all.iter().for_each(|member| member.replica.tidy(cache));
            members.leaving.iter().filter_map(Weak::upgrade).for_each(|replica| replica.tidy(cache));
        }
    }

    /// The way for the call at `path`; none while no replica takes calls.
    pub fn choose(&self, path: Path) -> Option<Chosen> {
        let ways = self.ways.load();
        let turn = match (ways.ways.len(), ways.balance) {
            (0, _) => return None,
            (1, _) => 0,
            (n, Balance::RoundRobin) => self.next.fetch_add(1, Ordering::Relaxed) % n,
            (n, Balance::LeastRequests) => self.least(&ways.ways, n),
            (n, Balance::PowerOfTwo) => {
                let bits = self.shared.world.draws.bits(Stream::Balance, self.shared.subject, path);
                let (one, other) = two_of(bits, n);
                let sent = |i: usize| ways.ways[i].sent.load(Ordering::Relaxed);
                if sent(other) < sent(one) { other } else { one }
            }
            (n, Balance::Random) => {
                let bits = self.shared.world.draws.bits(Stream::Balance, self.shared.subject, path);
                two_of(bits, n).0
            }
        };
        let way = &ways.ways[turn];
        let counted = ways.balance.counts().then(|| {
            way.sent.fetch_add(1, Ordering::Relaxed);
            Arc::clone(&way.sent)
        });
        Some(Chosen { line: Arc::clone(&way.line), counted })
    }

    fn least(&self, ways: &[Way], n: usize) -> usize {
        let first = self.next.fetch_add(1, Ordering::Relaxed) % n;
        let order = (0..n).map(|i| (first + i) % n);
        order.min_by_key(|i| ways[*i].sent.load(Ordering::Relaxed)).unwrap_or(first)
    }
}

/// Two different numbers below `n`, each as likely as the other, from 64 random bits.
fn two_of(bits: u64, n: usize) -> (usize, usize) {
    let below = |bits: u64, n: usize| (((bits & 0xffff_ffff) * n as u64) >> 32) as usize;
    let one = below(bits >> 32, n);
    let other = below(bits, n.max(2) - 1);
    (one, if other >= one { other + 1 } else { other })
}

impl Service for ServiceNode {
    fn call(&self, call: Call) -> Answering<'_> {
        let chosen = self.choose(call.path);
        Box::pin(async move {
            match chosen {
                Some(chosen) => chosen.line.call(call).await,
                None => Err(CallError::Disconnected),
            }
        })
    }
}

#[cfg(test)]
mod tests;
