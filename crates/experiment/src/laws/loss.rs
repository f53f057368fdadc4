//! Erlang B and M/M/c/K: how many are refused when there is no room, or little, to wait.

use pumphandle_core::meter::{Flow, StockName};

use super::bench::{Seen, SetUp};
use super::row::{Question, Row};
use super::waiting::{sized, station};
use super::{Law, Size};

/// See the module.
pub(super) struct Loss;

const FILE: (&str, &str) = ("laws/waiting.yaml", include_str!("../../../../laws/waiting.yaml"));

/// Servers, room to wait, utilisation offered.
const CASES: [(usize, usize, f64); 4] = [(1, 0, 0.8), (10, 0, 0.8), (10, 5, 0.95), (10, 20, 1.5)];

impl Law for Loss {
    fn name(&self) -> &'static str {
        "Erlang B and M/M/c/K"
    }

    fn says(&self) -> &'static str {
        "Poisson arrivals, exponential service, c servers, room for K - c to wait: the share refused is the \
         probability that all places are taken; without room it is Erlang's B. Below and above saturation \
         (Gross and others, Fundamentals of Queueing Theory, sections 2.4 and 2.5)."
    }

    fn set_ups(&self, size: Size) -> Vec<SetUp> {
        let counted = if size == Size::Full { 50_000.0 } else { 5_000.0 };
        CASES
            .iter()
            .map(|(servers, room, utilisation)| {
                let case = format!("c = {servers}, room {room}, offered {utilisation}");
                let set = [format!("server.workers={servers}"), format!("server.queue.size={room}")];
                sized(FILE, &case, &set, *utilisation, counted)
            })
            .collect()
    }

    fn rows(&self, set_ups: &[SetUp], seen: &[Vec<Seen>]) -> Vec<Row> {
        set_ups.iter().zip(seen).flat_map(|(set_up, seen)| of_one(set_up, seen)).collect()
    }
}

fn of_one(set_up: &SetUp, seen: &[Seen]) -> Vec<Row> {
    let it = station(&set_up.scenario);
    let (_, server) = set_up.scenario.services.first().expect("a checked scenario has a service");
    let room = server.queue.size.expect("the law sets the room");
    let theory = it.with_room(room);
    let tolerance = if it.arrivals * set_up.counted_s() > 40_000.0 { 0.05 } else { 0.15 };
    let lost = |run: &Seen| run.flow(0, Flow::Rejected) / run.flow(0, Flow::Arrived);
    let wait = |run: &Seen| {
        1e3 * run.integral_s(0, StockName::Queue) / (run.flow(0, Flow::Arrived) - run.flow(0, Flow::Rejected))
    };
    let mut rows = vec![
        Question::value(&set_up.case, "share refused", "", theory.loss, tolerance)
            .answered(&seen.iter().map(lost).collect::<Vec<_>>()),
    ];
    if room > 0 {
        let question = Question::value(
            &set_up.case,
            "mean wait of those let in",
            "ms",
            1e3 * theory.mean_wait_s,
            tolerance,
        );
        rows.push(question.answered(&seen.iter().map(wait).collect::<Vec<_>>()));
    }
    rows
}
