//! Sends the arrivals of a plan to whatever answers them, on whichever clock the thread is on. Open loop:
//! nobody waits for an earlier answer. The generator of a real run is a thread of its own, so that a stack
//! that is out of breath does not slow the load that took it.

use std::sync::Arc;
use std::time::Duration;

use pumphandle_core::draws::{Path, Stream};
use pumphandle_core::events::EventKind;
use pumphandle_core::time::{self, Order, Origin, Time, now};
use pumphandle_core::world::outcome_code;
use pumphandle_core::{Call, Service, World};

use crate::classes::Classifier;
use crate::demand::Demand;
use crate::ledger::Ledger;
use crate::plan::{Closed, Plan, think};

/// Whom to send users to, and who keeps the book.
#[derive(Clone)]
pub struct Target {
    /// Where users arrive.
    pub entry: Arc<dyn Service>,
    /// What becomes of them.
    pub ledger: Arc<Ledger>,
    /// Of which class each of them is.
    pub classes: Classifier,
    /// What users have heard; none if all come who are due.
    pub demand: Option<Arc<Demand>>,
    /// Draws and event log.
    pub world: Arc<World>,
}

impl Target {
    /// A user is due: whether he comes.
    fn comes(&self, arrival: u64, due: Time) -> bool {
        self.ledger.arrived(due);
        let away = self.demand.as_ref().is_some_and(|demand| demand.stays_away(&self.world.draws, arrival));
        if away {
            self.ledger.stayed_away(due);
            self.world.record(EventKind::Away, u8::MAX, arrival, 0);
        }
        !away
    }

    /// One user, from the due time to the answer.
    async fn visit(self, arrival: u64, due: Time) {
        self.ledger.begun(due, now());
        let class = self.classes.class_of(&self.world.draws, arrival);
        self.world.record(EventKind::Arrival, u8::MAX, arrival, u64::from(class.0));
        let criticality = self.classes.criticality_of(class);
        let outcome = self.entry.call(Call { class, criticality, ..Call::arriving(arrival) }).await;
        self.ledger.resolved(due, now(), &outcome);
        if let Some(demand) = &self.demand {
            demand.answered(now(), now().since(due));
        }
        self.world.record(EventKind::Resolved, u8::MAX, arrival, outcome_code(&outcome));
    }
}

/// Sends a plan, as a task of the run itself.
pub async fn open_loop(target: Target, plan: Plan) {
    for (arrival, due) in (0_u64..).zip(plan) {
        time::sleep_until(due, Order::arrival(arrival)).await;
        if target.comes(arrival, due) {
            time::spawn("a user's request", target.clone().visit(arrival, due));
        }
    }
}

/// The first number of a user beyond the plan: no plan comes this far, so that nobody else's draws change.
const MORE: u64 = 1 << 48;

/// `users` beyond any plan, each at an instant of his own within the time `over` that begins at `from`: drawn
/// by his number, as Poisson arrivals lie if their number is known. (Evenly spaced users find a crowded place
/// less often than others do.)
pub async fn more_users(target: Target, from: Time, over: Duration, users: u32) {
    let draws = target.world.draws;
    let after = |arrival: u64| over.mul_f64(draws.uniform(Stream::Arrival, 0, Path::of_arrival(arrival)));
    let numbers = MORE..MORE + u64::from(users);
    let mut all: Vec<(Time, u64)> = numbers.map(|arrival| (from + after(arrival), arrival)).collect();
    all.sort_unstable();
    for (due, arrival) in all {
        time::sleep_until(due, Order::arrival(arrival)).await;
        target.ledger.arrived(due);
        time::spawn("one user more", target.clone().visit(arrival, due));
    }
}

/// Sends a plan to several targets at the same instants, from the calling thread, which must not be one of a
/// runtime. Each target's users are tasks of its own runtime.
pub fn open_loop_from_thread(
    origin: Origin,
    targets: &[(tokio::runtime::Handle, Target)],
    plan: Plan,
    stop: &dyn Fn() -> bool,
) {
    origin.enter();
    for (arrival, due) in (0_u64..).zip(plan) {
        while now() < due {
            let wait = origin.until(due).min(Duration::from_millis(200));
            #[allow(clippy::disallowed_methods, reason = "the generator's thread waits for real due times")]
            std::thread::sleep(wait);
            if stop() {
                return;
            }
        }
        for (runtime, target) in targets {
            if target.comes(arrival, due) {
                runtime.spawn(target.clone().visit(arrival, due));
            }
        }
    }
}

/// Users who wait for their answers, until `end`.
pub fn closed_loop(target: &Target, closed: &Closed, end: Time) {
    for user in 0..closed.users {
        let (target, closed) = (target.clone(), closed.clone());
        time::spawn("a closed-loop user", async move {
            for request in 0_u64.. {
                let pause = think(&closed, &target.world.draws, user, request);
                let due = now() + pause;
                let arrival = request * u64::from(closed.users) + u64::from(user);
                if due >= end {
                    return;
                }
                time::sleep_until(due, Order::arrival(arrival)).await;
                target.ledger.arrived(due);
                target.clone().visit(arrival, due).await;
            }
        });
    }
}

/// Waits until everyone who was sent has been answered, or until `at_most`.
pub async fn drain(ledger: &Ledger, at_most: Time) {
    while ledger.open() > 0 && now() < at_most {
        time::sleep_until((now() + Duration::from_millis(100)).min(at_most), Order::sample(0)).await;
    }
}
