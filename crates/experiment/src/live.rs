//! Hands on one running service: settings are read and changed, triggers begin and end, the service restarts,
//! ends old work or starts anew. A change is validated whole, then published whole, then written to the timeline of what,
//! old, new, who and when; a request that is refused has changed nothing.
//!
//! It speaks JSON values and knows no protocol, and it must not know who may do what: that is the door's
//! affair (`console`).

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indexmap::IndexMap;
use pumphandle_core::Dur;
use pumphandle_core::time::{self, Order, now};
use pumphandle_stack::{Process, StackSettings};
use serde::Serialize;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

use crate::document::{Document, Path, Problem, Problems};
use crate::run::arm::audit;
use crate::scenario::read::Checked;
use crate::scenario::schema::{formats, schema};
use crate::scenario::triggers::{Act, Trigger};
use crate::scenario::{check, paths};

/// Entries of the timeline that are kept; older ones go first, and it is said how many went.
pub const KEPT_EVENTS: usize = 1000;

/// Triggers that may act at a time.
pub const MAX_TRIGGERS: usize = 100;

pub use pumphandle_stack::wire::tcp::listen_at as listen;

/// Something that was done to the service.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    /// Counted from 1 since the process started.
    pub n: u64,
    /// Seconds since the process started.
    pub at_s: f64,
    /// The path of a setting, `trigger NAME`, `restart`, `kill` or `reset`.
    pub what: String,
    /// What it was.
    pub old: String,
    /// What it is now.
    pub new: String,
    /// By whom, in their own words.
    pub who: String,
}

/// One problem of a refused request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Told {
    /// Where in the request.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What would be right, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

/// Why nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The request makes no sense here; all that is wrong with it.
    Wrong(Vec<Told>),
    /// There is no such thing.
    Unknown(String),
    /// It is so already.
    Conflict(String),
}

impl Refused {
    /// One thing is wrong with a request.
    pub fn wrong(path: &str, message: impl Into<String>) -> Refused {
        Refused::Wrong(vec![Told { path: path.to_owned(), message: message.into(), help: None }])
    }
}

impl From<Problems> for Refused {
    fn from(problems: Problems) -> Refused {
        Refused::Wrong(problems.into_iter().map(Told::from).collect())
    }
}

impl From<Problem> for Told {
    fn from(problem: Problem) -> Told {
        // A changed path is one key of the request, and is shown as it was written there.
        let segments = problem.path.segments();
        let path = match segments.first() {
            Some(crate::document::Segment::Key(first)) => {
                let rest: Path = segments[1..].iter().cloned().collect();
                let rest = rest.to_string();
                let dot = if rest.is_empty() || rest.starts_with('[') { "" } else { "." };
                format!("{first}{dot}{rest}")
            }
            _ => problem.path.to_string(),
        };
        Told { path, message: problem.message, help: problem.help }
    }
}

/// See the module.
pub struct Desk {
    checked: Checked,
    process: Arc<Process>,
    state: Mutex<State>,
}

struct State {
    /// The settings in force, of this service only.
    services: StackSettings,
    /// Active triggers by name, each with its number in the stack.
    active: BTreeMap<String, (usize, Trigger)>,
    next_trigger: usize,
    events: VecDeque<Event>,
    happened: u64,
}

impl Desk {
    fn new(checked: Checked, process: Arc<Process>) -> Arc<Desk> {
        let services = own(&process);
        let state = State {
            services,
            active: BTreeMap::new(),
            next_trigger: 0,
            events: VecDeque::new(),
            happened: 0,
        };
        Arc::new(Desk { checked, process, state: Mutex::new(state) })
    }

    /// Starts `service` of `checked` in this process, with the draws of `seed`, and answers its calls at
    /// `listener`. `at` says where each service that it calls is found, as `host:port`.
    ///
    /// # Errors
    ///
    /// A sentence, if there is no such service, or no address for one that it calls.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime whose threads are on the real clock.
    pub fn start(
        checked: Checked,
        service: &str,
        seed: u64,
        at: impl Fn(&str) -> String,
        listener: TcpListener,
    ) -> Result<Arc<Desk>, String> {
        let settings = checked.scenario.services.clone();
        if !settings.contains_key(service) {
            let (message, help) = paths::unknown("service", service, settings.keys().map(String::as_str));
            return Err(help.map_or(message.clone(), |help| format!("{message}; {help}")));
        }
        let classes = checked.scenario.class_names();
        let process = Process::start(settings, service, classes, seed, at).map_err(|(callee, address)| {
            format!("`{address}` is no address at which `{callee}` could be: expected HOST:PORT")
        })?;
        let process = Arc::new(process);
        process.listen(listener);
        Ok(Desk::new(checked, process))
    }

    /// The service that is worked on.
    pub fn process(&self) -> &Arc<Process> {
        &self.process
    }

    /// What runs here, and how it differs from what the scenario says.
    pub fn about(&self) -> Value {
        let state = self.lock();
        let original = paths::flatten(&own(&self.process));
        let in_force = paths::flatten(&state.services);
        let mut changed = Map::new();
        for path in original.keys().chain(in_force.keys()) {
            let of =
                |all: &IndexMap<String, String>| all.get(path).cloned().unwrap_or_else(|| "-".to_owned());
            if original.get(path) != in_force.get(path) {
                changed.insert(path.clone(), json!({ "scenario": of(&original), "now": of(&in_force) }));
            }
        }
        let triggers =
            state.active.iter().map(|(name, (_, it))| json!({ "trigger": name, "does": it.words() }));
        json!({
            "service": self.process.service(),
            "scenario": self.checked.scenario.scenario,
            "scenario_sha256": self.checked.sha256,
            "seed": self.process.seed(),
            "up_s": now().secs_f64(),
            "calls": self.process.settings()[self.process.service()].callees().collect::<Vec<_>>(),
            "changed": changed,
            "triggers": triggers.collect::<Vec<_>>(),
            "machine_faults": self.process.machine_faults(),
            "not_as_said": self.process.not_as_said(),
            "wrong_accounts": audit(&self.process.stack()),
        })
    }

    /// All settings in force.
    pub fn settings(&self) -> Value {
        serde_json::to_value(&self.lock().services).expect("settings are plain data")
    }

    /// One setting in force.
    ///
    /// # Errors
    ///
    /// If there is none of this path, or none is set.
    pub fn setting(&self, path: &str) -> Result<Value, Refused> {
        paths::get(&self.lock().services, path)
            .ok_or_else(|| Refused::Unknown(format!("`{path}` is not set here, or no setting")))
    }

    /// The timeline of what was done.
    pub fn events(&self) -> Value {
        let state = self.lock();
        json!({ "events": state.events, "forgotten": state.happened - state.events.len() as u64 })
    }

    /// Puts every value at its path, all at once; null puts back what the scenario says. Returns what is in
    /// force now, by path.
    ///
    /// # Errors
    ///
    /// Everything wrong with the changes. Nothing is changed then.
    pub fn change(&self, changes: &IndexMap<String, Value>, who: &str) -> Result<Value, Refused> {
        if changes.is_empty() {
            return Err(Refused::wrong("", "no setting is named: write { \"api.workers\": 20 }"));
        }
        let elsewhere: Vec<Told> = changes.keys().filter_map(|path| self.elsewhere(path)).collect();
        if !elsewhere.is_empty() {
            return Err(Refused::Wrong(elsewhere));
        }
        let mut state = self.lock();
        let mut services = state.services.clone();
        let (back, set): (Vec<_>, Vec<_>) = changes.iter().partition(|(_, value)| value.is_null());
        let back: Vec<String> = back.into_iter().map(|(path, _)| path.clone()).collect();
        let set: IndexMap<String, Value> = set.into_iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        if !back.is_empty() {
            paths::restore(&mut services, &own(&self.process), &back)?;
        }
        if !set.is_empty() {
            paths::set_all(&mut services, &set)?;
        }
        let before = std::mem::replace(&mut state.services, services);
        let service = self.process.service();
        if before != state.services {
            self.process.stack().set(service, state.services[service].clone());
        }
        let mut told = Map::new();
        for path in changes.keys() {
            let (old, new) = (paths::show(&before, path), paths::show(&state.services, path));
            told.insert(path.clone(), json!({ "old": old, "new": new }));
            if old != new {
                state.note(path, old, new, who);
            }
        }
        Ok(json!({ "changed": told }))
    }

    fn elsewhere(&self, path: &str) -> Option<Told> {
        let (first, here) = (path.split('.').next()?, self.process.service());
        let known = first != here && self.checked.scenario.services.contains_key(first);
        known.then(|| Told {
            path: path.to_owned(),
            message: format!("`{first}` is a process of its own; this one is `{here}`"),
            help: None,
        })
    }

    /// Begins a trigger: one of the scenario by its name, or any other whose `do` is given. It ends after its
    /// `for`, if it has one, or with [`Desk::calm`].
    ///
    /// # Errors
    ///
    /// Everything wrong with it, or that it acts already.
    pub fn disturb(self: &Arc<Desk>, trigger: &Value, who: &str) -> Result<Value, Refused> {
        let trigger = self.trigger(trigger)?;
        match trigger.act() {
            Act::Spike(_) => Err(Refused::wrong("do", "the load comes from the runner: a service has none")),
            Act::Restart(_, down) => Ok(self.restart_for(down, &trigger.trigger, who)),
            Act::Lose(service, count, away) => {
                let mut state = self.lock();
                let lost = self.process.stack().lose(&service, count, away);
                state.note(&format!("trigger {}", trigger.trigger), "-".to_owned(), trigger.words(), who);
                Ok(json!({ "trigger": trigger.trigger, "does": trigger.words(), "lost": lost }))
            }
            Act::Disturb(service, disturbance) => {
                let number = {
                    let mut state = self.lock();
                    if state.active.contains_key(&trigger.trigger) {
                        return Err(Refused::Conflict(format!("trigger `{}` acts already", trigger.trigger)));
                    }
                    if state.active.len() >= MAX_TRIGGERS {
                        return Err(Refused::Conflict(format!("{MAX_TRIGGERS} triggers act already")));
                    }
                    let number = state.next_trigger;
                    state.next_trigger += 1;
                    self.process.stack().disturb(number, &service, disturbance);
                    let what = format!("trigger {}", trigger.trigger);
                    state.note(&what, "-".to_owned(), trigger.words(), who);
                    state.active.insert(trigger.trigger.clone(), (number, trigger.clone()));
                    number
                };
                if let Some(lasts) = trigger.lasts {
                    self.end_later(trigger.trigger.clone(), number, lasts.0);
                }
                Ok(json!({ "trigger": trigger.trigger, "does": trigger.words(), "for": trigger.lasts }))
            }
        }
    }

    /// The trigger that a request means.
    fn trigger(&self, asked: &Value) -> Result<Trigger, Refused> {
        let Some(fields) = asked.as_object() else {
            return Err(Refused::wrong(
                "",
                "expected { \"trigger\": NAME } or one with a `do` as in scenario files",
            ));
        };
        let mut fields = fields.clone();
        let name = fields.get("trigger").and_then(Value::as_str).unwrap_or_default().to_owned();
        if !fields.contains_key("do") {
            let known = &self.checked.scenario.timeline;
            let Some(found) = known.iter().find(|it| it.trigger == name) else {
                let known: Vec<&str> = known.iter().map(|it| it.trigger.as_str()).collect();
                let message = format!("the scenario has no trigger `{name}`; there is {}", known.join(", "));
                return Err(Refused::wrong("trigger", message));
            };
            let Value::Object(whole) = serde_json::to_value(found).expect("a trigger is plain data") else {
                return Err(Refused::wrong("trigger", "a trigger is an object"));
            };
            for (field, value) in whole {
                if !fields.contains_key(&field) {
                    fields.insert(field, value);
                }
            }
        }
        fields.insert("from".to_owned(), Value::from("0s"));
        let document = Document::from_value(Value::Object(fields));
        let shape = schema().pointer("/$defs/Trigger").expect("scenarios have triggers");
        document.check_at(&Path::root(), shape, schema(), &formats()).into_result()?;
        let trigger: Trigger = serde_json::from_value(document.value().clone())
            .map_err(|error| Refused::wrong("", error.to_string()))?;
        check::by_hand(&self.checked.scenario, &trigger).into_result()?;
        match trigger.service() {
            Some(service) if service != self.process.service() => {
                let here = self.process.service();
                let message = format!("it acts on `{service}`, a process of its own; this one is `{here}`");
                Err(Refused::wrong("do", message))
            }
            _ => Ok(trigger),
        }
    }

    fn end_later(self: &Arc<Desk>, name: String, number: usize, lasts: Duration) {
        let desk = Arc::downgrade(self);
        time::spawn("the end of a trigger", async move {
            time::sleep(lasts, Order::timeline(number as u64)).await;
            let Some(desk) = desk.upgrade() else { return };
            let mut state = desk.lock();
            if state.active.get(&name).is_some_and(|(active, _)| *active == number) {
                desk.end(&mut state, &name, "its time is over");
            }
        });
    }

    fn end(&self, state: &mut State, name: &str, who: &str) {
        if let Some((number, trigger)) = state.active.remove(name) {
            self.process.stack().calm(number);
            state.note(&format!("trigger {name}"), trigger.words(), "-".to_owned(), who);
        }
    }

    /// Ends one trigger, or all of them. Ending what does not act changes nothing. Returns those that ended.
    pub fn calm(&self, trigger: Option<&str>, who: &str) -> Value {
        let mut state = self.lock();
        let fits = |name: &&String| trigger.is_none_or(|trigger| trigger == name.as_str());
        let names: Vec<String> = state.active.keys().filter(fits).cloned().collect();
        names.iter().for_each(|name| self.end(&mut state, name, who));
        json!({ "ended": names })
    }

    /// Restarts the service: what is inside is lost, and it is away for `down`.
    pub fn restart(&self, down: Dur, who: &str) -> Value {
        self.restart_for(down.0, "restart", who)
    }

    fn restart_for(&self, down: Duration, what: &str, who: &str) -> Value {
        let mut state = self.lock();
        self.process.stack().restart(self.process.service(), down);
        state.note(what, "-".to_owned(), format!("restarted, away for {}", Dur(down)), who);
        json!({ "restarted": self.process.service(), "down": Dur(down) })
    }

    /// Ends all work that came in at least `older_than` ago, as somebody does who kills long queries.
    pub fn kill(&self, older_than: Dur, who: &str) -> Value {
        let mut state = self.lock();
        let killed = self.process.stack().kill(self.process.service(), older_than.0);
        state.note("kill", "-".to_owned(), format!("work of {older_than} and older ended: {killed}"), who);
        json!({ "service": self.process.service(), "older_than": older_than, "killed": killed })
    }

    /// Back to what the scenario says, with nothing inside: see [`Process::reset`]. Another seed can be given.
    pub fn reset(&self, seed: Option<u64>, who: &str) -> Value {
        let mut state = self.lock();
        let seed = seed.unwrap_or(self.process.seed());
        state.active.clear();
        state.services = own(&self.process);
        self.process.reset(seed);
        state.note("reset", "-".to_owned(), format!("as the scenario says, seed {seed}"), who);
        json!({ "reset": self.process.service(), "seed": seed })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn note(&mut self, what: &str, old: String, new: String, who: &str) {
        self.happened += 1;
        if self.events.len() == KEPT_EVENTS {
            self.events.pop_front();
        }
        let at_s = now().secs_f64();
        self.events.push_back(Event {
            n: self.happened,
            at_s,
            what: what.to_owned(),
            old,
            new,
            who: who.to_owned(),
        });
    }
}

/// What the scenario says of the process' own service.
fn own(process: &Process) -> StackSettings {
    let name = process.service();
    IndexMap::from([(name.to_owned(), process.settings()[name].clone())])
}
