//! Hit rates: of entries that live for a fixed time, by renewal theory, and of the least recently used, by Che's
//! approximation.

use pumphandle_core::meter::{Flow, StockName};
use pumphandle_stack::cache::Cache;
use pumphandle_stack::service_time::ServiceTime;

use super::bench::{Seen, SetUp};
use super::row::{Question, Row};
use super::theory::{least_recently_used, time_to_live};
use super::{Law, Size};

/// See the module.
pub(super) struct Caching;

const FILE: (&str, &str) = ("laws/caching.yaml", include_str!("../../../../laws/caching.yaml"));

/// What is asked for (how many keys, Zipf's exponent), how long an entry lives, how long a fill takes, and how many
/// entries there is room for; a case has a time to live or a size.
struct Case {
    keys: (u32, f64),
    ttl_s: Option<f64>,
    fill_ms: u32,
    size: Option<u32>,
    /// How far the interval may reach, as a share of the value.
    tolerance: f64,
}

const CASES: [Case; 6] = [
    // One key: 50 per second and a tenth of a second make five hits for each miss.
    Case { keys: (1, 0.0), ttl_s: Some(0.1), fill_ms: 0, size: None, tolerance: 0.005 },
    Case { keys: (100, 0.0), ttl_s: Some(2.0), fill_ms: 0, size: None, tolerance: 0.005 },
    Case { keys: (10_000, 0.8), ttl_s: Some(100.0), fill_ms: 0, size: None, tolerance: 0.01 },
    // Fills that take longer than an entry lives: whoever asks meanwhile waits, and has missed.
    Case { keys: (10, 0.0), ttl_s: Some(0.5), fill_ms: 500, size: None, tolerance: 0.01 },
    Case { keys: (1000, 0.8), ttl_s: None, fill_ms: 0, size: Some(100), tolerance: 0.01 },
    Case { keys: (1000, 1.2), ttl_s: None, fill_ms: 0, size: Some(200), tolerance: 0.01 },
];

impl Law for Caching {
    fn name(&self) -> &'static str {
        "Caches"
    }

    fn says(&self) -> &'static str {
        "Poisson arrivals of rate r for a key whose entry lives for T from when it was stored, after a fill of D: a \
         cycle is a miss, r D misses that wait for its fill, and r T hits, so that the hit rate is r T / (1 + r (T + D)), \
         by renewal theory (Jung, Berger, Balakrishnan, INFOCOM 2003, for D = 0), and the key is stored for a share \
         r T / (1 + r (T + D)) of the time. Over keys by Zipf's law it is the mean by popularity. Least recently used \
         out first, room for C: Che's approximation, 1 - exp(-r t) with t such that C keys are asked for within t on \
         average (Che, Tung, Wang, IEEE JSAC 20(7), 2002), which is one: it is off by some thousandths."
    }

    fn set_ups(&self, size: Size) -> Vec<SetUp> {
        let cases = if size == Size::Full { &CASES[..] } else { &CASES[1..5] };
        let end = if size == Size::Full { 2200 } else { 600 };
        cases.iter().map(|case| set_up(case, end)).collect()
    }

    fn rows(&self, set_ups: &[SetUp], seen: &[Vec<Seen>]) -> Vec<Row> {
        set_ups.iter().zip(seen).flat_map(|(set_up, seen)| of_one(set_up, seen)).collect()
    }
}

fn set_up(case: &Case, end: u32) -> SetUp {
    let Case { keys: (count, exponent), ttl_s, fill_ms, size, .. } = case;
    let (lives, room) = (
        ttl_s.map_or(String::new(), |ttl| format!(", ttl: {ttl}s")),
        size.map_or(String::new(), |size| format!(", size: {size}")),
    );
    let set = [
        format!(
            "cache.cache={{keys: {{count: {count}, exponent: {exponent:?}}}, coalesce: true{lives}{room}}}"
        ),
        format!("store.service_time={{constant: {fill_ms}ms}}"),
        format!("duration={end}s"),
    ];
    let what = match (ttl_s, size) {
        (Some(ttl), _) => format!("entries live {ttl} s"),
        (_, Some(size)) => format!("room for {size}"),
        _ => "no end".to_owned(),
    };
    let fills = if *fill_ms > 0 { format!(", fills of {fill_ms} ms") } else { String::new() };
    let keys = if *count == 1 { "1 key".to_owned() } else { format!("{count} keys") };
    SetUp::new(format!("{keys}, exponent {exponent}, {what}{fills}"), FILE, &set)
}

/// The popularity of each key: shares of all arrivals, the most popular first.
fn popularity(cache: &Cache) -> Vec<f64> {
    let weight = |k: u32| libm::pow(f64::from(k), -cache.keys.exponent);
    let total: f64 = (1..=cache.keys.count).map(weight).sum();
    (1..=cache.keys.count).map(|k| weight(k) / total).collect()
}

fn of_one(set_up: &SetUp, seen: &[Seen]) -> Vec<Row> {
    let services = &set_up.scenario.services;
    let cache = services[0].cache.as_ref().expect("the law's first service has a cache");
    let fill_s = services[1].service_time.as_ref().map_or(0.0, ServiceTime::mean_s);
    let arrivals = set_up.scenario.load.base_rate().expect("an open loop");
    let shares = popularity(cache);
    let hits = |run: &Seen| {
        let [hits, misses] = [Flow::CacheHits, Flow::CacheMisses].map(|flow| run.flow(0, flow));
        hits / (hits + misses)
    };
    let stored = |run: &Seen| run.integral_s(0, StockName::CacheEntries) / set_up.counted_s();
    let (hit_rate, entries) = match (cache.ttl, cache.size) {
        (Some(ttl), _) => time_to_live(&shares, arrivals, ttl.secs_f64(), fill_s),
        (_, Some(size)) => (least_recently_used(&shares, arrivals, size as f64), size as f64),
        _ => (1.0, shares.len() as f64),
    };
    let case = &set_up.case;
    let tolerance =
        tolerance(cache, fill_s) * if seen.len() < 20 || set_up.counted_s() < 1000.0 { 3.0 } else { 1.0 };
    let answered = |of: &dyn Fn(&Seen) -> f64| seen.iter().map(of).collect::<Vec<_>>();
    if cache.ttl.is_none() {
        // An approximation, with an error of its own: bounds.
        let (low, high) = (hit_rate * (1.0 - tolerance), hit_rate * (1.0 + tolerance));
        return vec![Question::bounds(case, "hit rate", "", low, high).answered(&answered(&hits))];
    }
    vec![
        Question::value(case, "hit rate", "", hit_rate, tolerance).answered(&answered(&hits)),
        Question::value(case, "entries stored", "", entries, tolerance).answered(&answered(&stored)),
    ]
}

fn tolerance(cache: &Cache, fill_s: f64) -> f64 {
    let is_of = |case: &&Case| {
        case.keys == (cache.keys.count, cache.keys.exponent)
            && case.size.map(|size| size as usize) == cache.size
            && (f64::from(case.fill_ms) / 1e3 - fill_s).abs() < 0.2
    };
    CASES.iter().find(is_of).map_or(0.01, |case| case.tolerance)
}
