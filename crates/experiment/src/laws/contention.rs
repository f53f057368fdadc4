//! The Universal Scalability Law: parameters that went in have to come out, from throughput alone.

use pumphandle_core::meter::Flow;
use pumphandle_load::Arrivals;
use pumphandle_stack::processor::Contention;

use super::bench::{Seen, SetUp};
use super::row::{Question, Row};
use super::theory::{Scalability, fit_scalability};
use super::waiting::mean_service_s;
use super::{Law, Size};

/// See the module.
pub(super) struct Scaling;

const FILE: (&str, &str) = ("laws/contention.yaml", include_str!("../../../../laws/contention.yaml"));
/// The shipped incident whose database is measured.
const INCIDENT: (&str, &str) =
    ("scenarios/retry-storm.yaml", include_str!("../../../../scenarios/retry-storm.yaml"));

const USERS: [u32; 7] = [1, 2, 4, 8, 16, 32, 64];

impl Law for Scaling {
    fn name(&self) -> &'static str {
        "Universal Scalability Law"
    }

    fn says(&self) -> &'static str {
        "n pieces of work at once each proceed at 1 / (1 + alpha (n - 1) + beta n (n - 1)) of their speed alone \
         (Gunther, Guerrilla Capacity Planning, 2007). Throughput is measured with 1 to 64 users who do not \
         think, and the parameters are fitted to it by least squares. And the database of retry-storm, with \
         as many users as it has connections, does what is said of it."
    }

    fn set_ups(&self, size: Size) -> Vec<SetUp> {
        let end = format!("duration={}s", if size == Size::Full { 200 } else { 40 });
        let mut set_ups: Vec<SetUp> = USERS
            .iter()
            .map(|n| {
                SetUp::new(
                    format!("{n} at once"),
                    FILE,
                    &[end.clone(), format!("load.arrivals.closed.users={n}")],
                )
            })
            .collect();
        set_ups.push(database(&end));
        set_ups
    }

    fn rows(&self, set_ups: &[SetUp], seen: &[Vec<Seen>]) -> Vec<Row> {
        let Some((incident, swept)) = set_ups.split_last() else { return Vec::new() };
        let server = &swept[0].scenario.services[0];
        let Contention { alpha, beta } = server.contention;
        // The capacity has to be within one per cent of what an incident says.
        let coarse = if incident.counted_s() > 100.0 { 1.0 } else { 5.0 };
        let fits: Vec<Scalability> = (0..seen[0].len())
            .filter_map(|run| {
                let points = swept
                    .iter()
                    .zip(seen)
                    .map(|(set_up, seen)| (users(set_up), throughput(set_up, &seen[run])));
                fit_scalability(&points.collect::<Vec<_>>())
            })
            .collect();
        let fitted = |of: fn(&Scalability) -> f64| fits.iter().map(of).collect::<Vec<f64>>();
        let case = format!("fitted to {} throughputs", swept.len());
        let db = &incident.scenario.services[0];
        let nominal = db.contention.throughput(users(incident), mean_service_s(db));
        let last = seen.last().expect("the incident's database");
        vec![
            Question::value(&case, "time alone", "ms", 1e3 * mean_service_s(server), 0.01 * coarse)
                .answered(&fitted(|fit| 1e3 * fit.alone_s)),
            Question::value(&case, "alpha", "", alpha, 0.01 * coarse).answered(&fitted(|fit| fit.alpha)),
            Question::value(&case, "beta", "", beta, 0.01 * coarse).answered(&fitted(|fit| fit.beta)),
            Question::value(&incident.case, "answers per second", "1/s", nominal, 0.01 * coarse)
                .answered(&last.iter().map(|run| throughput(incident, run)).collect::<Vec<_>>()),
        ]
    }
}

/// The database of the incident, alone, with as many users as its callers have connections.
fn database(end: &str) -> SetUp {
    let mut set_up = SetUp::new("", FILE, &[end.to_owned()]);
    let incident = SetUp::new("", INCIDENT, &[]).scenario;
    let connections = incident.services["api"].with.pool.as_ref().expect("its database is pooled").size;
    let mut db = incident.services["db"].clone();
    db.workers = Some(connections);
    set_up.scenario.services.clear();
    set_up.scenario.services.insert("db".to_owned(), db);
    if let Arrivals::Closed(closed) = &mut set_up.scenario.load.arrivals {
        closed.users = connections as u32;
    }
    SetUp { case: format!("db of retry-storm, {connections} at once"), ..set_up }
}

fn users(set_up: &SetUp) -> usize {
    match &set_up.scenario.load.arrivals {
        Arrivals::Closed(closed) => closed.users as usize,
        _ => 0,
    }
}

fn throughput(set_up: &SetUp, run: &Seen) -> f64 {
    run.flow(0, Flow::Completed) / set_up.counted_s()
}
