//! Twice as much as can be done, and four ways to queue for it.

use pumphandle_core::meter::{Flow, StockName};

use super::bench::{Seen, SetUp};
use super::row::{Question, Row};
use super::theory::{controlled_delay_peak_s, last_in_first_out_share};
use super::waiting::station;
use super::{Law, Size};

/// See the module.
pub(super) struct Overload;

const FILE: (&str, &str) = ("laws/overload.yaml", include_str!("../../../../laws/overload.yaml"));

impl Law for Overload {
    fn name(&self) -> &'static str {
        "Overload"
    }

    fn says(&self) -> &'static str {
        "Arrivals at twice the capacity of one server. First in, first out with a bounded queue: M/M/1/K, all \
         wait about K services, and nobody is served in time. Last in, first out: the share answered within T \
         is that of busy periods shorter than T, half of all at most. Controlled delay (RFC 8289): the server \
         stays busy, so half is dropped; its drop rate grows by 1 / (2 interval^2) per second, so that callers \
         who do not give way push the wait to a peak that a fluid limit predicts, once, at the onset; later \
         the wait stays below that peak. (No closed form of its mean is known: those are bounds.) Adaptive LIFO: \
         while nobody is too late it is last in, first out; with its patience, nobody who waited longer than the \
         interval is served, and between two answers the server waits for one arrival at most, so that it makes \
         at least 1 / (1 / arrivals + 1 / service) per second. (A bound again.)"
    }

    fn set_ups(&self, size: Size) -> Vec<SetUp> {
        let end = format!("duration={}s", if size == Size::Full { 200 } else { 60 });
        let with = |case: &str, set: &[&str]| {
            let set: Vec<String> = set.iter().map(|&it| it.to_owned()).chain([end.clone()]).collect();
            SetUp::new(case, FILE, &set)
        };
        let codel = "server.queue.codel={ target: 20ms, interval: 100ms }";
        let mut onset = with(
            "controlled delay, evenly spaced, from the start",
            &[
                codel,
                "load.arrivals={ constant: 200/s }",
                "server.service_time={ constant: 10ms }",
                "pull=0s",
            ],
        )
        .with_waits();
        onset.seeds = 1;
        vec![
            with("first in, first out, room 200", &["server.queue.size=200"]),
            with("last in, first out", &["server.queue.order=lifo"]),
            with("last in, first out, impatient", &["server.queue.order=lifo", "slo.latency=30ms"]),
            with("controlled delay", &[codel]).with_waits(),
            onset,
            with(
                "adaptive LIFO, with patience without end",
                &["server.queue.adaptive_lifo={ interval: 100ms, target: 1h }"],
            ),
            with(
                "adaptive LIFO, with patience without end, impatient users",
                &["server.queue.adaptive_lifo={ interval: 100ms, target: 1h }", "slo.latency=30ms"],
            ),
            with(
                "adaptive LIFO, as published",
                &["server.queue.adaptive_lifo={ interval: 100ms, target: 5ms }"],
            )
            .with_waits(),
        ]
    }

    fn rows(&self, set_ups: &[SetUp], seen: &[Vec<Seen>]) -> Vec<Row> {
        let mut rows = bounded(&set_ups[0], &seen[0]);
        rows.push(last_first(&set_ups[1], &seen[1]));
        rows.push(last_first(&set_ups[2], &seen[2]));
        rows.extend(controlled(&set_ups[3], &seen[3]));
        rows.push(onset(&set_ups[4], &seen[4]));
        rows.push(last_first(&set_ups[5], &seen[5]));
        rows.push(last_first(&set_ups[6], &seen[6]));
        rows.extend(adaptive(&set_ups[7], &seen[7]));
        rows
    }
}

fn each(seen: &[Seen], of: impl Fn(&Seen) -> f64) -> Vec<f64> {
    seen.iter().map(of).collect()
}

fn tolerance(set_up: &SetUp) -> f64 {
    if set_up.counted_s() > 100.0 { 0.02 } else { 0.05 }
}

fn bounded(set_up: &SetUp, seen: &[Seen]) -> Vec<Row> {
    let room = set_up.scenario.services[0].queue.size.expect("the law sets the room");
    let theory = station(&set_up.scenario).with_room(room);
    let let_in = |run: &Seen| run.flow(0, Flow::Arrived) - run.flow(0, Flow::Rejected);
    vec![
        Question::value(
            &set_up.case,
            "mean wait of those let in",
            "ms",
            1e3 * theory.mean_wait_s,
            tolerance(set_up),
        )
        .answered(&each(seen, |run| 1e3 * run.integral_s(0, StockName::Queue) / let_in(run))),
        Question::bounds(&set_up.case, "share of users served in time", "", 0.0, 0.0)
            .answered(&each(seen, |run| run.share(|s| s.good))),
    ]
}

fn last_first(set_up: &SetUp, seen: &[Seen]) -> Row {
    let it = station(&set_up.scenario);
    let within_s = set_up.scenario.slo.latency.secs_f64();
    let share = last_in_first_out_share(it.arrivals, it.service, within_s);
    Question::value(
        &set_up.case,
        format!("share of users answered within {within_s} s"),
        "",
        share,
        tolerance(set_up),
    )
    .answered(&each(seen, |run| run.share(|s| s.good)))
}

/// Peak of the fluid limit, in milliseconds.
fn peak_ms(set_up: &SetUp) -> f64 {
    let it = station(&set_up.scenario);
    let codel = set_up.scenario.services[0].queue.codel.expect("the law sets it");
    1e3 * controlled_delay_peak_s(it.arrivals, it.service, codel.target.secs_f64(), codel.interval.secs_f64())
}

fn controlled(set_up: &SetUp, seen: &[Seen]) -> Vec<Row> {
    let it = station(&set_up.scenario);
    let wait = |run: &Seen| {
        run.waits.as_ref().map_or(f64::NAN, |waits| waits.sum_ns as f64 / waits.served as f64 / 1e6)
    };
    vec![
        Question::value(&set_up.case, "answers per second", "1/s", it.service, tolerance(set_up))
            .answered(&each(seen, |run| run.flow(0, Flow::Completed) / set_up.counted_s())),
        Question::value(&set_up.case, "share dropped", "", 1.0 - it.service / it.arrivals, tolerance(set_up))
            .answered(&each(seen, |run| run.flow(0, Flow::Rejected) / run.flow(0, Flow::Arrived))),
        Question::bounds(
            &set_up.case,
            "mean wait of those served, after the onset",
            "ms",
            0.0,
            peak_ms(set_up),
        )
        .answered(&each(seen, wait)),
    ]
}

fn adaptive(set_up: &SetUp, seen: &[Seen]) -> Vec<Row> {
    let it = station(&set_up.scenario);
    let rules = set_up.scenario.services[0].queue.adaptive_lifo.expect("the law sets it");
    let longest = seen.iter().filter_map(|run| run.waits.as_ref()).map(|waits| waits.longest_ns).max();
    let least = it.arrivals * it.service / (it.arrivals + it.service);
    vec![
        Question::bounds(
            &set_up.case,
            "longest wait of those served",
            "ms",
            0.0,
            1e3 * rules.interval.secs_f64().max(rules.target.secs_f64()),
        )
        .exactly(longest.unwrap_or(0) as f64 / 1e6, seen.len()),
        Question::bounds(&set_up.case, "answers per second", "1/s", least, it.service)
            .answered(&each(seen, |run| run.flow(0, Flow::Completed) / set_up.counted_s())),
    ]
}

fn onset(set_up: &SetUp, seen: &[Seen]) -> Row {
    let longest = seen.iter().filter_map(|run| run.waits.as_ref()).map(|waits| waits.longest_ns).max();
    // The fluid has no single calls: it may be off by one service, and by one arrival's share of one.
    let (peak, grain) = (peak_ms(set_up), 2e3 / station(&set_up.scenario).service);
    Question::bounds(&set_up.case, "longest wait of those served", "ms", peak - grain, peak + grain)
        .exactly(longest.unwrap_or(0) as f64 / 1e6, seen.len())
}
