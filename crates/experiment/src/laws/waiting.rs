//! M/M/1 and M/M/c: who waits, how long on average, and how long the unluckiest hundredth.

use pumphandle_core::meter::StockName;
use pumphandle_stack::ServiceSettings;
use pumphandle_stack::service_time::ServiceTime;

use super::bench::{Seen, SetUp, Waits};
use super::row::{Question, Row};
use super::theory::Station;
use super::{Law, Size};
use crate::scenario::Scenario;

/// See the module.
pub(super) struct Waiting;

/// Utilisation, arrivals counted per seed, and tolerances (shares) of: who waits, the mean wait, its 99th
/// percentile. The closer to saturation, the longer a queue remembers: the standard error of the mean wait
/// of n calls is about sqrt((2 + 5 u - 4 u^2 + u^3) / (u n)) / (1 - u) of it (Whitt, Management Science
/// 35(11), 1989): the same error at 0.95 takes fourteen times the calls of 0.8.
const CASES: [(f64, f64, [f64; 3]); 3] = [
    (0.80, 100_000.0, [0.05, 0.10, 0.10]),
    (0.90, 100_000.0, [0.04, 0.10, 0.17]),
    (0.95, 150_000.0, [0.03, 0.10, 0.17]),
];

impl Law for Waiting {
    fn name(&self) -> &'static str {
        "M/M/c"
    }

    fn says(&self) -> &'static str {
        "Poisson arrivals, exponential service, c servers, one line: the share that waits is Erlang's C, and \
         waits above zero are exponential at the rate of the spare capacity (Gross and others, Fundamentals \
         of Queueing Theory, section 2.3; c = 1 is M/M/1). Waits are read from the event log, from a call's \
         arrival to its worker."
    }

    fn set_ups(&self, size: Size) -> Vec<SetUp> {
        let (servers, cases): (&[usize], &[_]) = match size {
            Size::Full => (&[1, 4, 10, 32], &CASES),
            Size::Reduced => (&[1, 10], &CASES[..1]),
        };
        let both = servers.iter().flat_map(|&c| cases.iter().map(move |&(u, n, _)| (c, u, n)));
        both.map(|(c, u, n)| set_up(c, u, if size == Size::Full { n } else { n / 10.0 })).collect()
    }

    fn rows(&self, set_ups: &[SetUp], seen: &[Vec<Seen>]) -> Vec<Row> {
        let mut rows: Vec<Row> =
            set_ups.iter().zip(seen).flat_map(|(set_up, seen)| of_one(set_up, seen)).collect();
        let both = seen.iter().flatten().map(|run| {
            let from_log = run.waits.as_ref().map_or(0, |waits| waits.between_ns);
            from_log.abs_diff(run.integral_ns(0, StockName::Queue)) as f64
        });
        let question = Question::bounds(
            "all of these",
            "time spent waiting, by the event log less by the queue's level (worst run)",
            "ns",
            0.0,
            0.0,
        );
        rows.push(question.exactly(both.fold(0.0, f64::max), seen.iter().map(Vec::len).sum()));
        rows
    }
}

/// The station that the entry service of a scenario is.
///
/// # Panics
///
/// If it is not one: a mistake of a law.
pub(super) fn station(scenario: &Scenario) -> Station {
    let (_, server) = scenario.services.first().expect("a checked scenario has a service");
    Station {
        arrivals: scenario.load.base_rate().expect("the law's load is an open loop"),
        service: 1.0 / mean_service_s(server),
        servers: server.workers.expect("the law's server has a number of workers"),
    }
}

pub(super) fn mean_service_s(server: &ServiceSettings) -> f64 {
    server.service_time.as_ref().map(ServiceTime::mean_s).expect("the law's server does some work")
}

/// The scenario of `file` with the rate, warm-up and length that give it this utilisation and number of
/// counted arrivals. The warm-up is eight times the relaxation time: what is left of the empty start has
/// faded to e^-8, a third of a thousandth of its bias.
pub(super) fn sized(
    file: (&'static str, &'static str),
    case: &str,
    set: &[String],
    utilisation: f64,
    counted: f64,
) -> SetUp {
    let plain = SetUp::new(case, file, set);
    let mut it = station(&plain.scenario);
    it.arrivals = utilisation * it.servers as f64 * it.service;
    let pull = libm::ceil(8.0 * it.relaxation_s().min(1e4 / it.arrivals)).max(1.0);
    let end = pull + libm::ceil(counted / it.arrivals) + plain.scenario.slo.latency.secs_f64();
    let mut set = set.to_vec();
    set.push(format!("load.arrivals.poisson={}/s", it.arrivals));
    set.push(format!("duration={end}s"));
    set.push(format!("pull={pull}s"));
    SetUp::new(case, file, &set)
}

fn set_up(servers: usize, utilisation: f64, counted: f64) -> SetUp {
    let case = format!("c = {servers}, utilisation {utilisation}");
    let set = [format!("server.workers={servers}")];
    let file = ("laws/waiting.yaml", include_str!("../../../../laws/waiting.yaml"));
    sized(file, &case, &set, utilisation, counted).with_waits()
}

fn of_one(set_up: &SetUp, seen: &[Seen]) -> [Row; 3] {
    let it = station(&set_up.scenario);
    let nearest =
        CASES.iter().min_by(|a, b| (a.0 - it.utilisation()).abs().total_cmp(&(b.0 - it.utilisation()).abs()));
    let [waits, mean, p99] = nearest.expect("there are cases").2;
    // A shorter test is a coarser one: an interval is wider by the square root of what it lacks.
    let coarser =
        libm::sqrt(nearest.map_or(1.0, |case| case.1) / (it.arrivals * set_up.counted_s())).max(1.0);
    let all: Vec<&Waits> = seen.iter().filter_map(|run| run.waits.as_ref()).collect();
    let each = |of: &dyn Fn(&Waits) -> f64| all.iter().map(|waits| of(waits)).collect::<Vec<f64>>();
    let case = &set_up.case;
    [
        Question::value(case, "share that waits", "", it.waits(), waits * coarser)
            .answered(&each(&|w| w.waited as f64 / w.served as f64)),
        Question::value(case, "mean wait", "ms", 1e3 * it.mean_wait_s(), mean * coarser)
            .answered(&each(&|w| w.sum_ns as f64 / w.served as f64 / 1e6)),
        Question::value(case, "p99 wait", "ms", 1e3 * it.wait_quantile_s(0.99), p99 * coarser)
            .quantile(0.99, &all),
    ]
}
