//! What retries buy, and what they cost, when failures are independent: at one layer, and at three.

use pumphandle_core::meter::Flow;

use super::bench::{Seen, SetUp};
use super::row::{Question, Row};
use super::theory::retried;
use super::{Law, Size};

/// See the module.
pub(super) struct Retries;

const ONE: (&str, &str) = ("laws/retries.yaml", include_str!("../../../../laws/retries.yaml"));
const THREE: (&str, &str) =
    ("laws/retries-in-three-layers.yaml", include_str!("../../../../laws/retries-in-three-layers.yaml"));

/// The share of attempts that fail at the last service: of three layers more, or the first layer's calls
/// would fail too rarely to be seen.
const CASES: [(&str, (&str, &str), &str); 4] = [
    ("one layer", ONE, "50%"),
    ("one layer", ONE, "90%"),
    ("three layers", THREE, "90%"),
    ("three layers", THREE, "95%"),
];

impl Law for Retries {
    fn name(&self) -> &'static str {
        "Retries"
    }

    fn says(&self) -> &'static str {
        "With up to n + 1 attempts that fail independently with probability p, a share 1 - p^(n+1) of calls \
         succeeds, and a call costs (1 - p^(n+1)) / (1 - p) attempts. With retries at every layer the failures \
         of one layer's calls are the p of the next, and the costs multiply (a geometric distribution cut off \
         at n + 1)."
    }

    fn set_ups(&self, size: Size) -> Vec<SetUp> {
        let end = if size == Size::Full { 100 } else { 10 };
        let each = |(label, file, p): &(&str, (&'static str, &'static str), &str)| {
            let set = [format!("server.failure={p}"), format!("duration={end}s")];
            SetUp::new(format!("{label}, p = {p}"), *file, &set)
        };
        CASES.iter().map(each).collect()
    }

    fn rows(&self, set_ups: &[SetUp], seen: &[Vec<Seen>]) -> Vec<Row> {
        set_ups.iter().zip(seen).flat_map(|(set_up, seen)| of_one(set_up, seen)).collect()
    }
}

fn of_one(set_up: &SetUp, seen: &[Seen]) -> Vec<Row> {
    let services = &set_up.scenario.services;
    let last = services.len() - 1;
    let tolerance = if set_up.counted_s() > 50.0 { 0.015 } else { 0.06 };
    let mut failure = services[last].failure.0;
    let mut product = 1.0;
    let mut rows = Vec::new();
    for layer in (0..last).rev() {
        let attempts = services[layer].with.retry.as_ref().map_or(1, |retry| retry.attempts);
        let (fails, mean) = retried(failure, attempts);
        let per_call: Vec<f64> =
            seen.iter().map(|run| run.flow(layer, Flow::Attempts) / run.flow(layer, Flow::Calls)).collect();
        let quantity = format!("attempts per call of the {}", services.get_index(layer).expect("a layer").0);
        rows.push(Question::value(&set_up.case, quantity, "", mean, tolerance).answered(&per_call));
        failure = fails;
        product *= mean;
    }
    let arrivals = |run: &Seen| run.seconds.iter().map(|s| f64::from(s.arrivals)).sum::<f64>();
    let load: Vec<f64> = seen.iter().map(|run| run.flow(last, Flow::Arrived) / arrivals(run)).collect();
    rows.push(
        Question::value(&set_up.case, "attempts at the server per user", "", product, tolerance)
            .answered(&load),
    );
    let good: Vec<f64> = seen.iter().map(|run| run.share(|s| s.good)).collect();
    rows.push(
        Question::value(&set_up.case, "share of users served", "", 1.0 - failure, tolerance).answered(&good),
    );
    rows
}
