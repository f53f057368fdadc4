//! Client-side throttling: where it settles, and that it leaves healthy traffic alone.

use pumphandle_core::meter::Flow;

use super::bench::{Seen, SetUp};
use super::row::{Question, Row};
use super::waiting::mean_service_s;
use super::{Law, Size};

/// See the module.
pub(super) struct Throttling;

const FILE: (&str, &str) = ("laws/throttling.yaml", include_str!("../../../../laws/throttling.yaml"));

/// K, and what is wanted, as multiples of what the server accepts: above K and below it.
const CASES: [(f64, f64); 4] = [(2.0, 4.0), (1.5, 4.0), (2.0, 10.0), (2.0, 1.5)];

impl Law for Throttling {
    fn name(&self) -> &'static str {
        "Client-side throttling"
    }

    fn says(&self) -> &'static str {
        "Clients that refuse by themselves with probability max(0, (requests - K accepts) / (requests + 1)) \
         (Google, Site Reliability Engineering, 2016, chapter 21). Of a server that accepts A per second, R \
         wanted per second: what is sent solves sent = R (1 - (R - K A) / R), which is K A, while R is above \
         K A. Below, everything is sent, although the server refuses what is above A: by this much the \
         throttle leaves it to the server."
    }

    fn set_ups(&self, size: Size) -> Vec<SetUp> {
        let cases = if size == Size::Full { &CASES[..] } else { &CASES[1..2] };
        let end = format!("duration={}s", if size == Size::Full { 200 } else { 90 });
        let file = |set: &[String]| SetUp::new("", FILE, set).scenario;
        let accepted = accepted_per_s(&file(&[]));
        cases
            .iter()
            .map(|(k, times)| {
                let set = [
                    end.clone(),
                    format!("client.throttle.k={k}"),
                    format!("load.arrivals.poisson={}/s", times * accepted),
                ];
                SetUp::new(format!("K = {k}, {times} times what is accepted"), FILE, &set)
            })
            .collect()
    }

    fn rows(&self, set_ups: &[SetUp], seen: &[Vec<Seen>]) -> Vec<Row> {
        set_ups.iter().zip(seen).flat_map(|(set_up, seen)| of_one(set_up, seen)).collect()
    }
}

/// What one busy server can do: its queue never empties at more than its capacity.
fn accepted_per_s(scenario: &crate::scenario::Scenario) -> f64 {
    1.0 / mean_service_s(scenario.services.last().expect("the law has a server").1)
}

fn of_one(set_up: &SetUp, seen: &[Seen]) -> Vec<Row> {
    let client = &set_up.scenario.services[0].with;
    let k = client.throttle.as_ref().expect("the law's client has a throttle").k;
    let wanted = set_up.scenario.load.base_rate().expect("an open loop");
    let accepted = accepted_per_s(&set_up.scenario);
    let per_s = |count: &dyn Fn(&Seen) -> f64| -> Vec<f64> {
        seen.iter().map(|run| count(run) / set_up.counted_s()).collect()
    };
    let sent = per_s(&|run| run.flow(1, Flow::Arrived));
    let case = &set_up.case;
    let mut rows =
        vec![Question::value(case, "requests sent", "1/s", (k * accepted).min(wanted), 0.02).answered(&sent)];
    if k * accepted < wanted {
        let done = per_s(&|run| run.flow(1, Flow::Completed));
        rows.push(Question::value(case, "requests served", "1/s", accepted, 0.01).answered(&done));
    } else {
        let most = seen.iter().map(|run| run.flow(0, Flow::Limited)).fold(0.0, f64::max);
        let question = Question::bounds(case, "requests refused by the client (worst run)", "", 0.0, 0.0);
        rows.push(question.exactly(most, seen.len()));
    }
    rows
}
