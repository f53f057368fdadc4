//! On call: what is seen of users, who is paged, and when it is over. A state machine that is told what users got in each
//! minute; it must not look at a stack, or know whether a version is bad.

use std::collections::VecDeque;
use std::time::Duration;

use pumphandle_core::Time;
use pumphandle_core::draws::{Draws, Path, Stream};

use super::{Account, Answered, rules};
use crate::scenario::team::OnCall;

/// Fewer users than this in a look say nothing: a free choice.
const FEWEST: u64 = 10;
/// False alarms have no change by which something could be drawn; they are numbered from here on.
const FALSE_ALARMS: u64 = 1 << 40;

/// What is drawn by the number of the change that did it. Beside the draws for changes.
#[derive(Clone, Copy)]
enum Draw {
    Heard = 16,
    Acknowledge,
    Diagnose,
}

#[derive(Clone, Copy)]
enum State {
    Quiet,
    /// Nobody has heard it yet; `tries` pages were sent.
    Paging {
        incident: u64,
        tries: u32,
        next: Time,
    },
    /// Somebody has it, and will have taken the version back by then.
    Repairing {
        until: Time,
    },
}

/// See the module.
pub struct Duty {
    draws: Draws,
    state: State,
    looked: Option<Time>,
    /// What users got, minute by minute.
    seen: VecDeque<(Time, Answered)>,
    /// Pages outside of working hours from which each engineer has not rested yet.
    tired: Vec<u64>,
    rested: Time,
    fatigue: Account,
    incidents: Account,
    false_alarms: u64,
}

impl Duty {
    pub(super) fn new(draws: Draws, fatigue: Account, incidents: Account) -> Duty {
        let (state, rested) = (State::Quiet, Time::ZERO);
        let (looked, seen, tired) = (None, VecDeque::new(), Vec::new());
        Duty { draws, state, looked, seen, tired, rested, fatigue, incidents, false_alarms: 0 }
    }

    /// Whether there is an incident that has been paged and is not over.
    pub fn is_busy(&self) -> bool {
        !matches!(self.state, State::Quiet)
    }

    /// One minute. `cause` is the number of the change by which draws are made. True if versions are taken back now.
    pub fn minute(&mut self, settings: &OnCall, answered: Answered, cause: Option<u64>, at: Time) -> bool {
        self.tired.resize(settings.engineers as usize, 0);
        self.rest(settings, at);
        self.seen.push_back((at, answered));
        self.seen.retain(|(then, _)| *then + settings.over.0 > at);
        let state = self.state;
        match state {
            State::Quiet => {
                if !self.sees_harm(settings, at) {
                    return false;
                }
                let incident = cause.unwrap_or(FALSE_ALARMS + self.false_alarms);
                self.false_alarms += u64::from(cause.is_none());
                self.incidents.put(1);
                self.page(settings, incident, 0, at);
            }
            State::Paging { incident, tries, next } if at >= next => self.page(settings, incident, tries, at),
            State::Repairing { until } if at >= until => {
                self.incidents.take(1);
                self.state = State::Quiet;
                // What users got before says nothing of what they get now.
                self.seen.clear();
                return true;
            }
            _ => {}
        }
        false
    }

    fn sees_harm(&mut self, settings: &OnCall, at: Time) -> bool {
        if self.looked.is_some_and(|looked| looked + settings.look.0 > at) {
            return false;
        }
        self.looked = Some(at);
        let sum = |count: fn(&Answered) -> u64| self.seen.iter().map(|(_, it)| count(it)).sum::<u64>();
        let (all, good) = (sum(|it| it.all), sum(|it| it.good));
        all >= FEWEST && (good as f64) < settings.below.0 * all as f64
    }

    fn page(&mut self, settings: &OnCall, incident: u64, tries: u32, at: Time) {
        let week = rules::minute(at) / (7 * 1440);
        let further = if settings.escalation.is_some() { u64::from(tries) } else { 0 };
        let who = ((week + further) % u64::from(settings.engineers)) as usize;
        let path = Path::of_arrival(incident).attempt(tries);
        let draw = |what: Draw| self.draws.uniform(Stream::Team, what as u64, path);
        let at_work = rules::at_work(at);
        if !at_work {
            self.tired[who] += 1;
            self.fatigue.put(1);
        }
        if !at_work && draw(Draw::Heard) < settings.unheard.0 {
            let next = at + settings.escalation.unwrap_or(settings.again).0;
            self.state = State::Paging { incident, tries: tries + 1, next };
            return;
        }
        let takes = |mean: Duration, what| {
            rules::takes(mean, draw(what), settings.fatigue.lengthens, self.tired[who])
        };
        let acknowledged = at + takes(settings.acknowledge.0, Draw::Acknowledge);
        let known = acknowledged + takes(settings.diagnose.0, Draw::Diagnose);
        self.state = State::Repairing { until: known + settings.roll_back.0 };
    }

    fn rest(&mut self, settings: &OnCall, at: Time) {
        if at < self.rested + settings.fatigue.rest.0 {
            return;
        }
        self.rested = at;
        let tired = self.tired.iter_mut().filter(|tired| **tired > 0);
        let rested = tired.map(|tired| *tired -= 1).count() as u64;
        self.fatigue.take(rested);
    }
}
