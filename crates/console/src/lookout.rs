//! Looks at all services of all stacks once a second: who answers, what differs from the scenario there, what
//! acts. What it sees is what the services say of themselves, whoever had hands on them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pumphandle_core::time::{self, Order};
use pumphandle_experiment::board::Board;
use pumphandle_experiment::document::clean;
use pumphandle_experiment::plan;
use pumphandle_experiment::scenario::{Scenario, paths};
use serde_json::{Map, Value, json};

use crate::client::Admin;

/// The admin ports of a stack, as they were named.
#[derive(Clone, Debug)]
pub struct Ports {
    /// The stack's name.
    pub stack: String,
    /// Its admin ports, in the order of the services if a rule named them.
    pub ports: Vec<Admin>,
}

/// What a port said last.
#[derive(Clone, Debug, Default)]
struct Seen {
    /// Which service it is, if it ever said so.
    service: Option<String>,
    /// What it says of itself; none if it did not answer.
    about: Option<Value>,
    /// Why not.
    wrong: String,
}

/// See the module.
pub(crate) struct Lookout {
    stacks: Vec<Ports>,
    /// By lever: the settings that it changes at once, in words. None of a lever that changes none.
    levers: Vec<(String, Vec<(String, String)>)>,
    triggers: BTreeSet<String>,
    state: Mutex<State>,
}

struct State {
    seen: Vec<Vec<Seen>>,
    /// Levers that change no setting, and were pulled since the last reset: which stack, which lever.
    done: BTreeSet<(usize, String)>,
    /// How often each stack was put back.
    turns: Vec<u64>,
}

impl Lookout {
    pub(crate) fn new(stacks: Vec<Ports>, scenario: &Scenario) -> Lookout {
        let original = paths::flatten(&scenario.services);
        let changes = |name: &String| {
            let mut services = scenario.services.clone();
            // A lever whose path is wrong has been refused before it gets here.
            let _ = paths::set_all(&mut services, plan::steps(&scenario.levers[name])[0].set);
            let changed = paths::flatten(&services).into_iter();
            changed.filter(|(path, value)| original.get(path) != Some(value)).collect()
        };
        let seen = stacks.iter().map(|stack| vec![Seen::default(); stack.ports.len()]).collect();
        Lookout {
            levers: scenario.levers.keys().map(|name| (name.clone(), changes(name))).collect(),
            triggers: scenario.timeline.iter().map(|it| it.trigger.clone()).collect(),
            state: Mutex::new(State { seen, done: BTreeSet::new(), turns: vec![0; stacks.len()] }),
            stacks,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks, once a second, until the runtime ends.
    pub(crate) async fn look(self: Arc<Lookout>, board: Arc<Board>) {
        loop {
            let mut looks = tokio::task::JoinSet::new();
            for (i, stack) in self.stacks.iter().enumerate() {
                for (j, port) in stack.ports.iter().cloned().enumerate() {
                    looks.spawn(async move { (i, j, port.get("/").await) });
                }
            }
            while let Some(looked) = looks.join_next().await {
                let Ok((i, j, about)) = looked else { continue };
                let mut state = self.lock();
                let seen = &mut state.seen[i][j];
                match about {
                    Ok(about) => {
                        seen.service = about["service"].as_str().map(clean);
                        (seen.about, seen.wrong) = (Some(about), String::new());
                    }
                    Err(failure) => (seen.about, seen.wrong) = (None, clean(&failure.to_string())),
                }
            }
            let (triggers, levers) = self.acting();
            board.observe(triggers, levers);
            time::sleep(Duration::from_secs(1), Order::sample(0)).await;
        }
    }

    /// A lever was pulled: remembered if it leaves no setting by which it could be seen.
    pub(crate) fn pulled(&self, stack: usize, lever: &str) {
        if self.levers.iter().any(|(name, changes)| name == lever && changes.is_empty()) {
            self.lock().done.insert((stack, lever.to_owned()));
        }
    }

    /// A stack was put back: what was begun there by hand does not go on.
    pub(crate) fn forget(&self, stack: usize) {
        let mut state = self.lock();
        state.done.retain(|(of, _)| *of != stack);
        state.turns[stack] += 1;
    }

    /// How often a stack was put back.
    pub(crate) fn turn(&self, stack: usize) -> u64 {
        self.lock().turns[stack]
    }

    /// Triggers that act on any stack, levers that act on each.
    fn acting(&self) -> (BTreeSet<String>, BTreeSet<(usize, String)>) {
        let state = self.lock();
        let mut levers = state.done.clone();
        let mut triggers = BTreeSet::new();
        for (i, seen) in state.seen.iter().enumerate() {
            triggers.extend(triggers_of(seen).filter(|name| self.triggers.contains(name)));
            let changed = changed_of(seen);
            let acts = |changes: &Vec<(String, String)>| {
                !changes.is_empty()
                    && changes.iter().all(|(path, value)| {
                        changed.get(path).is_some_and(|it| it["now"].as_str() == Some(value.as_str()))
                    })
            };
            let acting = self.levers.iter().filter(|(_, changes)| acts(changes));
            levers.extend(acting.map(|(name, _)| (i, name.clone())));
        }
        (triggers, levers)
    }

    /// What is to be shown of a stack: its services, what acts and what differs from the scenario there.
    pub(crate) fn of_stack(&self, stack: usize) -> Value {
        let (_, levers) = self.acting();
        let state = self.lock();
        let seen = &state.seen[stack];
        let service = |(port, seen): (&Admin, &Seen)| {
            let about = seen.about.as_ref();
            json!({
                "service": seen.service,
                "admin": port.authority(),
                "up": about.is_some(),
                "up_s": about.map(|about| about["up_s"].clone()),
                "seed": about.map(|about| about["seed"].clone()),
                "wrong": seen.wrong,
            })
        };
        let levers = levers.into_iter().filter(|(of, _)| *of == stack).map(|(_, name)| name);
        json!({
            "services": self.stacks[stack].ports.iter().zip(seen).map(service).collect::<Vec<_>>(),
            "triggers": triggers_of(seen).collect::<Vec<_>>(),
            "levers": levers.collect::<Vec<_>>(),
            "changed": changed_of(seen),
        })
    }
}

fn triggers_of(seen: &[Seen]) -> impl Iterator<Item = String> + '_ {
    let abouts = seen.iter().filter_map(|seen| seen.about.as_ref());
    let triggers = abouts.flat_map(|about| about["triggers"].as_array().into_iter().flatten());
    triggers.filter_map(|it| it["trigger"].as_str().map(clean))
}

fn changed_of(seen: &[Seen]) -> Map<String, Value> {
    let abouts = seen.iter().filter_map(|seen| seen.about.as_ref());
    let changed = abouts.flat_map(|about| about["changed"].as_object().into_iter().flatten());
    changed.map(|(path, change)| (clean(path), change.clone())).collect()
}
