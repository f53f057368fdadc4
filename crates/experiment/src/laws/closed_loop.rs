//! A closed loop of users, and what it hides: coordinated omission.

use pumphandle_core::meter::{Flow, StockName};
use pumphandle_load::Arrivals;

use super::bench::{Seen, SetUp};
use super::row::{CONFIDENCE, Question, Row};
use super::theory::{Closed, Station, mean_value_analysis};
use super::waiting::mean_service_s;
use super::{Law, Size};
use crate::scenario::Scenario;
use crate::stats::ratio;

/// See the module.
pub(super) struct ClosedLoop;

const FILE: (&str, &str) = ("laws/closed-loop.yaml", include_str!("../../../../laws/closed-loop.yaml"));

/// Users: well below, at, and above the number at which server and users are equally the bottleneck,
/// 1 + think time / service time.
const USERS: [u32; 3] = [5, 20, 40];
/// The number of users that is compared with an open loop of the same throughput.
const COMPARED: u32 = 20;

impl Law for ClosedLoop {
    fn name(&self) -> &'static str {
        "Closed loop"
    }

    fn says(&self) -> &'static str {
        "N users who think, ask one exponential server, wait for its answer and think again: throughput and \
         mean response by exact mean value analysis (Reiser and Lavenberg, Journal of the ACM 27(2), 1980). An \
         open loop of the same throughput waits longer, because its users do not stop asking when the server \
         is slow: by this factor a closed-loop load generator flatters (coordinated omission)."
    }

    fn set_ups(&self, size: Size) -> Vec<SetUp> {
        let users: &[u32] = if size == Size::Full { &USERS } else { &[COMPARED] };
        let length = length(size);
        let closed = users.iter().map(|users| {
            let users_set = format!("load.arrivals.closed.users={users}");
            SetUp::new(format!("{users} users"), FILE, &[length.clone(), users_set])
        });
        let mut set_ups: Vec<SetUp> = closed.collect();
        let same =
            set_ups.iter().find(|it| users_of(&it.scenario) == Some(COMPARED)).expect("it is one of them");
        let rate = theory(&same.scenario).throughput;
        let poisson = format!("load.arrivals={{ poisson: {rate}/s }}");
        set_ups.push(SetUp::new(format!("open loop as busy as {COMPARED} users"), FILE, &[length, poisson]));
        set_ups
    }

    fn rows(&self, set_ups: &[SetUp], seen: &[Vec<Seen>]) -> Vec<Row> {
        let (open, open_seen) = (set_ups.last().expect("the open loop"), seen.last().expect("the open loop"));
        let mut rows = Vec::new();
        for (set_up, seen) in set_ups.iter().zip(seen) {
            let Some(users) = users_of(&set_up.scenario) else { continue };
            rows.extend(of_one(set_up, seen));
            if users == COMPARED {
                rows.push(omission(set_up, seen, open, open_seen));
            }
        }
        rows
    }
}

fn length(size: Size) -> String {
    format!("duration={}s", if size == Size::Full { 3_000 } else { 400 })
}

fn users_of(scenario: &Scenario) -> Option<u32> {
    match &scenario.load.arrivals {
        Arrivals::Closed(closed) => Some(closed.users),
        _ => None,
    }
}

fn theory(scenario: &Scenario) -> Closed {
    let Arrivals::Closed(closed) = &scenario.load.arrivals else { panic!("the law's load is a closed loop") };
    mean_value_analysis(closed.users, closed.think.secs_f64(), mean_service_s(&scenario.services[0]))
}

fn tolerance(set_up: &SetUp, full: f64) -> f64 {
    if set_up.counted_s() > 2_000.0 { full } else { 4.0 * full }
}

/// Mean response by Little's law: the integral of those inside over the answers.
fn response_ms(run: &Seen) -> f64 {
    1e3 * run.integral_s(0, StockName::Inside) / run.flow(0, Flow::Completed)
}

fn of_one(set_up: &SetUp, seen: &[Seen]) -> [Row; 2] {
    let Closed { throughput, response_s } = theory(&set_up.scenario);
    let measured: Vec<f64> =
        seen.iter().map(|run| run.flow(0, Flow::Completed) / set_up.counted_s()).collect();
    let responses: Vec<f64> = seen.iter().map(response_ms).collect();
    [
        Question::value(&set_up.case, "answers per second", "1/s", throughput, tolerance(set_up, 0.01))
            .answered(&measured),
        Question::value(&set_up.case, "mean response", "ms", 1e3 * response_s, tolerance(set_up, 0.03))
            .answered(&responses),
    ]
}

fn omission(closed: &SetUp, closed_seen: &[Seen], open: &SetUp, open_seen: &[Seen]) -> Row {
    let server = &open.scenario.services[0];
    let arrivals = open.scenario.load.base_rate().expect("it is an open loop");
    let service_s = mean_service_s(server);
    let station = Station { arrivals, service: 1.0 / service_s, servers: server.workers.unwrap_or(1) };
    let factor = (station.mean_wait_s() + service_s) / theory(&closed.scenario).response_s;
    let of = |seen: &[Seen]| seen.iter().map(response_ms).collect::<Vec<f64>>();
    Question::value(
        &closed.case,
        "mean response of an open loop as busy, times this one's",
        "",
        factor,
        tolerance(open, 0.10),
    )
    .estimated(ratio(&of(open_seen), &of(closed_seen), CONFIDENCE).ok())
}
