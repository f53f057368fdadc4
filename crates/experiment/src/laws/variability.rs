//! M/D/1 and M/G/1: how the variability of the work, and not only its amount, makes calls wait.

use pumphandle_core::meter::StockName;
use pumphandle_stack::service_time::ServiceTime;

use super::bench::{Seen, SetUp};
use super::row::{Question, Row};
use super::theory::pollaczek_khinchine_s;
use super::waiting::{mean_service_s, sized, station};
use super::{Law, Size};

/// See the module.
pub(super) struct Variability;

const FILE: (&str, &str) = ("laws/waiting.yaml", include_str!("../../../../laws/waiting.yaml"));

/// Service times, as the scenario file has them, of equal means.
const WORK: [(&str, &str); 3] = [
    ("constant work (M/D/1)", "{ constant: 10ms }"),
    ("half of it constant (M/G/1)", "{ sum: [{ constant: 5ms }, { exponential: 5ms }] }"),
    (
        "a tenth of it long (M/G/1)",
        "{ mixture: [{ share: 10%, takes: { constant: 55ms } }, { share: 90%, takes: { constant: 5ms } }] }",
    ),
];

impl Law for Variability {
    fn name(&self) -> &'static str {
        "Pollaczek-Khinchine"
    }

    fn says(&self) -> &'static str {
        "Poisson arrivals at one server: the mean wait is proportional to the second moment of the service \
         time (Kleinrock, Queueing Systems 1, section 5.6). The mean wait is the integral of the queue's level \
         over the calls that arrived, by Little's law."
    }

    fn set_ups(&self, size: Size) -> Vec<SetUp> {
        let counted = if size == Size::Full { 60_000.0 } else { 6_000.0 };
        WORK.iter()
            .map(|(case, work)| {
                sized(
                    FILE,
                    &format!("{case}, utilisation 0.8"),
                    &[format!("server.service_time={work}")],
                    0.8,
                    counted,
                )
            })
            .collect()
    }

    fn rows(&self, set_ups: &[SetUp], seen: &[Vec<Seen>]) -> Vec<Row> {
        set_ups.iter().zip(seen).map(|(set_up, seen)| of_one(set_up, seen)).collect()
    }
}

fn of_one(set_up: &SetUp, seen: &[Seen]) -> Row {
    let (_, server) = set_up.scenario.services.first().expect("a checked scenario has a service");
    let arrivals = station(&set_up.scenario).arrivals;
    let second = second_moment_s2(server.service_time.as_ref().expect("the law's server does some work"));
    let theory = pollaczek_khinchine_s(arrivals, mean_service_s(server), second);
    let tolerance = if arrivals * set_up.counted_s() > 50_000.0 { 0.08 } else { 0.25 };
    let waits: Vec<f64> = seen
        .iter()
        .map(|run| {
            1e3 * run.integral_s(0, StockName::Queue) / run.flow(0, pumphandle_core::meter::Flow::Arrived)
        })
        .collect();
    Question::value(&set_up.case, "mean wait", "ms", 1e3 * theory, tolerance).answered(&waits)
}

/// E\[S^2\] of a service time, in square seconds.
fn second_moment_s2(takes: &ServiceTime) -> f64 {
    match takes {
        ServiceTime::Constant(it) => it.secs_f64() * it.secs_f64(),
        ServiceTime::Exponential(it) => 2.0 * it.secs_f64() * it.secs_f64(),
        ServiceTime::LogNormal(it) => {
            it.median.secs_f64() * it.median.secs_f64() * libm::exp(2.0 * it.sigma * it.sigma)
        }
        ServiceTime::Mixture(parts) => {
            parts.iter().map(|part| part.share.0 * second_moment_s2(&part.takes)).sum()
        }
        ServiceTime::Sum(parts) => {
            let variance = |part: &ServiceTime| second_moment_s2(part) - part.mean_s() * part.mean_s();
            takes.mean_s() * takes.mean_s() + parts.iter().map(variance).sum::<f64>()
        }
    }
}
