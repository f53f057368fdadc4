//! What one arm and seed came to: pure functions of its book and rows. Definitions:
//!
//! * **good share**: good / arrivals by *due* time, in bins; the baseline B is the good share before the
//!   trigger for a pulse, else 1; a bin is healthy at 0.95 B or more;
//! * **harm**: arrivals that were not good from the later of trigger and pull to the end;
//! * **onset**: the first of three bins in a row under B / 2;
//! * **recovered** at R: the first healthy bin after the trigger from which at least 95 % of the bins, and
//!   all of the last 30 s, are healthy;
//! * **metastable**: a pulse, long after its end, not recovered and not rising.

use std::collections::BTreeMap;

use pumphandle_core::meter::{FLOWS, Flow, STOCKS, StockName};
use pumphandle_load::ledger::Second;

use crate::claims::Window;
use crate::run::SeedRun;
use crate::run::rows::{Row, Rows};
use crate::scenario::{CostOf, Kind, Scenario};

/// A bin is healthy from this share of the baseline on.
pub const HEALTHY: f64 = 0.95;

/// The parts of a run, in seconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Timeline {
    /// What sort of incident it is.
    pub kind: Kind,
    /// Start and end of the trigger; a trigger that does not end, ends with the run.
    pub trigger: Option<(f64, f64)>,
    /// When pulled levers act.
    pub pull: f64,
    /// The end of arrivals.
    pub end: usize,
    /// Width of the bins.
    pub bin: usize,
    /// The SLO latency.
    pub slo: f64,
    /// Parts of the run that claims are about and that have no name.
    pub spans: Vec<Window>,
    /// What levers are judged by, and the place of the service of which it is measured.
    pub cost: (CostOf, usize),
    /// Before this second nothing counts; 0 where there is a trigger.
    pub settling: usize,
    /// Seconds of a sample: rows and what became of users are kept by it.
    pub step: usize,
}

impl Timeline {
    /// Of a checked scenario.
    pub fn of(scenario: &Scenario) -> Timeline {
        let end = scenario.duration.0.as_secs_f64();
        let trigger = scenario
            .trigger_window()
            .map(|(from, to)| (from.as_secs_f64(), to.map_or(end, |to| to.as_secs_f64())));
        Timeline {
            kind: scenario.kind,
            trigger,
            pull: scenario.pull.map_or(0.0, |pull| pull.0.as_secs_f64()),
            end: end.ceil() as usize,
            bin: scenario.bin_s(),
            slo: scenario.slo.latency.0.as_secs_f64(),
            spans: spans(scenario),
            cost: scenario.cost(),
            settling: scenario.settling.map_or(0, |settling| settling.0.as_secs() as usize),
            step: scenario.step_s(),
        }
    }

    /// All parts of the run that are measured.
    fn windows(&self) -> impl Iterator<Item = Window> {
        Window::ALL.into_iter().chain(self.spans.iter().copied())
    }

    /// The samples of a window; `None` if the run has no such part.
    pub fn window(&self, window: Window) -> Option<std::ops::Range<usize>> {
        let end = self.end.div_ceil(self.step);
        let whole = |seconds: f64| self.samples(seconds).min(end);
        let range = match (window, self.trigger) {
            (Window::All, _) => 0..end,
            // The last sample, where one is longer than a minute.
            (Window::LastMinute, _) => end.saturating_sub((60 / self.step).max(1))..end,
            (Window::Before, Some((from, _))) => 0..whole(from),
            (Window::Before, None) => 0..end,
            (Window::During, Some((from, to))) => whole(from)..whole(to),
            (Window::After, Some((_, to))) => whole(to)..end,
            (Window::During | Window::After, None) => return None,
            (Window::Span(from, to), _) => whole(f64::from(from))..whole(f64::from(to)),
        };
        (!range.is_empty()).then_some(range)
    }

    /// The sample in which this time of the run lies.
    fn samples(&self, seconds: f64) -> usize {
        seconds.round() as usize / self.step
    }

    /// The sample from which harm counts, for a lever that acts at `pull`.
    pub fn harm_from(&self, pull: f64) -> usize {
        let from = self.trigger.map_or(0.0, |(from, _)| from).max(pull);
        self.samples(from.max(self.settling as f64))
    }
}

fn spans(scenario: &Scenario) -> Vec<Window> {
    let measures =
        scenario.claims.iter().flat_map(|claim| claim.values()).filter_map(|it| it.measure.as_ref());
    let mut spans: Vec<Window> =
        measures.map(crate::claims::Measure::part).filter(|part| matches!(part, Window::Span(..))).collect();
    spans.sort();
    spans.dedup();
    spans
}

/// One arm and seed, judged by itself.
#[derive(Clone, Debug)]
pub struct SeedOutcome {
    /// Users.
    pub arrivals: f64,
    /// Good answers.
    pub good: f64,
    /// Fallbacks in time.
    pub degraded: f64,
    /// With the harm window of pulled levers.
    pub pulled: Judged,
    /// With the harm window of standing levers.
    pub standing: Judged,
    /// The same, with fallbacks counted as good.
    pub pulled_degraded: Judged,
    /// The same, with fallbacks counted as good.
    pub standing_degraded: Judged,
    /// By window.
    pub good_share: BTreeMap<Window, f64>,
    /// Good answers per second by completion, by window.
    pub goodput: BTreeMap<Window, f64>,
    /// Answered correctly within `slo.patient`, by window.
    pub patient_share: BTreeMap<Window, f64>,
    /// Stayed away, by window.
    pub away_share: BTreeMap<Window, f64>,
    /// Mean waiting time of those who were answered, seconds, by window of their due times.
    pub wait_s: BTreeMap<Window, f64>,
    /// By service, in the scenario's order, then by window.
    pub services: Vec<BTreeMap<Window, ServiceOutcome>>,
    /// By service and stock: the highest level, and how many seconds after the trigger's start it was first
    /// there.
    pub peaks: Vec<[(f64, f64); STOCKS]>,
    /// By service and flow: how many seconds after the trigger's start the second ended in which it was first above
    /// zero from then on; none if it never was.
    pub first_flows: Vec<[Option<f64>; FLOWS]>,
    /// How often per week users began to be served badly, after the settling time.
    pub incidents_per_week: f64,
    /// Seconds from the first arrival to the last answer, or to the end of the run.
    pub drain_time_s: f64,
}

/// One service over one window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ServiceOutcome {
    /// Attempts that reached it per user arrival.
    pub amplification: Option<f64>,
    /// Share of busy time spent for nobody.
    pub wasted: Option<f64>,
    /// Correct answers per second.
    pub completed_per_s: f64,
    /// Mean level of the request queue at seconds' ends.
    pub queue: f64,
    /// Every flow per second.
    pub flows: [f64; FLOWS],
    /// Every stock.
    pub stocks: [StockOutcome; STOCKS],
    /// How many replicas there were to be, in the mean of the seconds' ends.
    pub replicas: f64,
    /// The most that there were to be at a second's end.
    pub replicas_peak: f64,
    /// Replicas times the seconds for which they were there, ready or not.
    pub replica_seconds: f64,
    /// From the start of the window to the end of the last second in which the number of replicas changed; 0 if it
    /// did not.
    pub settles_after_s: f64,
}

/// One stock over one window.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StockOutcome {
    /// Mean level, straight from each second's end to the next.
    pub level: f64,
    /// By how much it rose per second from the start of the window to its end.
    pub slope_per_s: f64,
    /// In how many seconds the outflow of the window takes the mean level away; none without outflow.
    pub clears_in_s: Option<f64>,
    /// Seconds spent in it, divided among those who left; none if nobody did.
    pub stay_s: Option<f64>,
}

/// What levers are judged by, for one harm window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judged {
    /// Arrivals in the harm window.
    pub arrivals: f64,
    /// Those that were not good.
    pub harm: f64,
    /// harm / arrivals.
    pub harm_share: f64,
    /// Errors and unanswered / arrivals.
    pub error_share: f64,
    /// Work completed per second by the services that do work of their own.
    pub completed_per_s: f64,
    /// How much of such work was in progress, in the mean.
    pub in_progress: f64,
    /// Whether it recovered, where there was something to recover from.
    pub recovered: bool,
    /// Seconds from the later of trigger end and pull to the recovery.
    pub recovery_s: Option<f64>,
    /// Seconds from the trigger's start to the onset.
    pub onset_s: Option<f64>,
    /// Down for good.
    pub metastable: bool,
    /// Of the bins outside of the trigger and its aftermath, how many were healthy.
    pub healthy_outside: f64,
    /// Good share of the last minute.
    pub last_minute: f64,
    /// What levers are judged by: the share of harm, or what the scenario declares.
    pub cost: f64,
}

/// Judges one run.
pub fn judge(timeline: &Timeline, run: &SeedRun) -> SeedOutcome {
    let seconds = &run.tally.seconds;
    let bins = |degraded| Bins::new(timeline, seconds, degraded);
    let (plain, lenient) = (bins(false), bins(true));
    let drain_time_s = run.tally.drain_time().as_secs_f64();
    let judged = |bins: &Bins<'_>, pull: f64| {
        let judged = bins.judge(pull, &run.rows);
        match timeline.cost.0 {
            CostOf::DrainTime => Judged { cost: drain_time_s, ..judged },
            _ => judged,
        }
    };
    let total = |count: fn(&Second) -> u32| seconds.iter().map(|s| f64::from(count(s))).sum::<f64>();
    let by_window = |value: &dyn Fn(std::ops::Range<usize>) -> Option<f64>| {
        let windows = timeline.windows();
        windows.filter_map(|w| Some((w, value(timeline.window(w)?)?))).collect::<BTreeMap<_, _>>()
    };
    let trigger_s = timeline.trigger.map_or(0.0, |(from, _)| from);
    let services = run.rows.first().map_or(0, Vec::len);
    SeedOutcome {
        arrivals: total(|s| s.arrivals),
        good: total(|s| s.good),
        degraded: total(|s| s.degraded),
        pulled: judged(&plain, timeline.pull),
        standing: judged(&plain, 0.0),
        pulled_degraded: judged(&lenient, timeline.pull),
        standing_degraded: judged(&lenient, 0.0),
        good_share: by_window(&|range| share(&seconds[range], |s| s.good)),
        goodput: by_window(&|range| {
            let length = (range.len() * timeline.step) as f64;
            Some(seconds[range].iter().map(|s| f64::from(s.completed_good)).sum::<f64>() / length)
        }),
        patient_share: by_window(&|range| share(&seconds[range], |s| s.patient)),
        away_share: by_window(&|range| share(&seconds[range], |s| s.away)),
        wait_s: by_window(&|range| mean_wait_s(&seconds[range])),
        services: (0..services)
            .map(|service| {
                timeline
                    .windows()
                    .filter_map(|w| {
                        Some((w, of_service(&run.rows, seconds, service, timeline.window(w)?, timeline.step)))
                    })
                    .collect()
            })
            .collect(),
        peaks: run
            .peaks
            .iter()
            .map(|stocks| stocks.map(|(level, at)| (level as f64, at.secs_f64() - trigger_s)))
            .collect(),
        first_flows: (0..services)
            .map(|service| first_flows(&run.rows, service, trigger_s, timeline.step))
            .collect(),
        incidents_per_week: plain.incidents_per_week(timeline.harm_from(0.0)),
        drain_time_s,
    }
}

fn mean_wait_s(seconds: &[Second]) -> Option<f64> {
    let answered: u64 = seconds.iter().map(|s| u64::from(s.good + s.degraded + s.late)).sum();
    let waited: u64 = seconds.iter().map(|s| s.answered_ns).sum();
    (answered > 0).then(|| waited as f64 / answered as f64 / 1e9)
}

fn share(seconds: &[Second], count: impl Fn(&Second) -> u32) -> Option<f64> {
    let arrivals: u64 = seconds.iter().map(|s| u64::from(s.arrivals)).sum();
    let counted: u64 = seconds.iter().map(|s| u64::from(count(s))).sum();
    (arrivals > 0).then(|| counted as f64 / arrivals as f64)
}

fn of_service(
    rows: &Rows,
    seconds: &[Second],
    service: usize,
    range: std::ops::Range<usize>,
    step: usize,
) -> ServiceOutcome {
    let stocks = StockName::ALL.iter().map(|&name| of_stock(rows, service, name, &range, step));
    let stocks: Vec<StockOutcome> = stocks.collect();
    let rows = &rows[range.start.min(rows.len())..range.end.min(rows.len())];
    let sum = |flow: Flow| rows.iter().map(|row| row[service].flow(flow)).sum::<u64>() as f64;
    let arrivals: u64 = seconds[range].iter().map(|s| u64::from(s.arrivals)).sum();
    let busy = sum(Flow::BusyNanos);
    let queue: u64 = rows.iter().map(|row| u64::from(row[service].stock(StockName::Queue).level)).sum();
    let samples = rows.len().max(1) as f64;
    let length = samples * step as f64;
    ServiceOutcome {
        amplification: (arrivals > 0).then(|| sum(Flow::Arrived) / arrivals as f64),
        wasted: (busy > 0.0).then(|| sum(Flow::WastedNanos) / busy),
        completed_per_s: sum(Flow::Completed) / length,
        queue: queue as f64 / samples,
        flows: std::array::from_fn(|i| sum(Flow::ALL[i]) / length),
        stocks: std::array::from_fn(|i| stocks[i]),
        replicas: rows.iter().map(|row| f64::from(row[service].replicas)).sum::<f64>() / samples,
        replicas_peak: rows.iter().map(|row| f64::from(row[service].replicas)).fold(0.0, f64::max),
        replica_seconds: declared(CostOf::ReplicaSeconds, rows, service, step),
        settles_after_s: rows
            .iter()
            .rposition(|row| is_scaled(&row[service]))
            .map_or(0.0, |i| ((i + 1) * step) as f64),
    }
}

fn of_stock(
    rows: &Rows,
    service: usize,
    name: StockName,
    range: &std::ops::Range<usize>,
    step: usize,
) -> StockOutcome {
    let range = range.start.min(rows.len())..range.end.min(rows.len());
    if range.is_empty() {
        return StockOutcome::default();
    }
    let (samples, length) = (range.len() as f64, (range.len() * step) as f64);
    // Rows hold the level at a second's end. The run starts empty, but for replicas.
    let at = |second: usize| match second.checked_sub(1) {
        Some(row) => f64::from(rows[row][service].stock(name).level),
        None => {
            let first = rows[0][service].stock(name);
            f64::from(first.level + first.outflow) - f64::from(first.inflow)
        }
    };
    let stock = |row: &Vec<Row>| row[service].stock(name);
    let outflow: u64 = rows[range.clone()].iter().map(|row| u64::from(stock(row).outflow)).sum();
    let inside_ns: u64 = rows[range.clone()].iter().map(|row| stock(row).integral_ns).sum();
    let level = range.clone().map(|second| (at(second) + at(second + 1)) / 2.0).sum::<f64>() / samples;
    StockOutcome {
        level,
        slope_per_s: (at(range.end) - at(range.start)) / length,
        clears_in_s: (outflow > 0).then(|| level / (outflow as f64 / length)),
        stay_s: (outflow > 0).then(|| inside_ns as f64 / 1e9 / outflow as f64),
    }
}

/// Good shares by bin.
struct Bins<'a> {
    timeline: &'a Timeline,
    seconds: &'a [Second],
    degraded: bool,
    /// Good share of each bin; bins without arrivals have none.
    shares: Vec<Option<f64>>,
    baseline: f64,
}

impl<'a> Bins<'a> {
    fn new(timeline: &'a Timeline, seconds: &'a [Second], degraded: bool) -> Bins<'a> {
        let good = move |s: &Second| s.good + if degraded { s.degraded } else { 0 };
        // A last bin that is not whole would be judged by too few arrivals.
        let shares: Vec<Option<f64>> =
            seconds.chunks_exact(timeline.bin / timeline.step).map(|bin| share(bin, good)).collect();
        let baseline = match (timeline.kind, timeline.window(Window::Before)) {
            (Kind::Pulse, Some(before)) => share(&seconds[before], good).unwrap_or(1.0),
            _ => 1.0,
        };
        Bins { timeline, seconds, degraded, shares, baseline }
    }

    fn good(&self, second: &Second) -> u32 {
        second.good + if self.degraded { second.degraded } else { 0 }
    }

    fn healthy(&self, bin: usize) -> bool {
        self.shares[bin].is_none_or(|share| share >= HEALTHY * self.baseline)
    }

    fn judge(&self, pull: f64, rows: &Rows) -> Judged {
        let timeline = self.timeline;
        let harm_from = timeline.harm_from(pull).min(self.seconds.len());
        let window = &self.seconds[harm_from..];
        let arrivals: f64 = window.iter().map(|s| f64::from(s.arrivals)).sum();
        let good: f64 = window.iter().map(|s| f64::from(self.good(s))).sum();
        let errors: f64 = window.iter().map(|s| f64::from(s.errors + s.unanswered())).sum();
        let part = |n: f64| if arrivals > 0.0 { n / arrivals } else { 0.0 };
        let recovered_at = self.recovered_at();
        let counted_from = timeline.trigger.map_or(0.0, |(_, to)| to).max(pull);
        let last_minute = timeline.window(Window::LastMinute);
        let (completed_per_s, in_progress) = work(rows, harm_from, timeline.step);
        Judged {
            arrivals,
            harm: arrivals - good,
            harm_share: part(arrivals - good),
            error_share: part(errors),
            completed_per_s,
            in_progress,
            recovered: recovered_at.is_some(),
            recovery_s: recovered_at.map(|at| (at - counted_from).max(0.0)),
            onset_s: self.onset().map(|at| at - timeline.trigger.map_or(0.0, |(from, _)| from)),
            metastable: recovered_at.is_none() && self.metastable(),
            healthy_outside: self.healthy_outside(),
            last_minute: last_minute
                .and_then(|range| share(&self.seconds[range], |s| self.good(s)))
                .unwrap_or(1.0),
            cost: match timeline.cost {
                (CostOf::HarmShare, _) => part(arrivals - good),
                (CostOf::IncidentsPerWeek, _) => self.incidents_per_week(harm_from),
                (of, service) => declared(of, &rows[harm_from.min(rows.len())..], service, timeline.step),
            },
        }
    }

    /// Bins that are not healthy after one that is, or at the start, per week from the sample `from` on.
    fn incidents_per_week(&self, from: usize) -> f64 {
        let first = (from * self.timeline.step).div_ceil(self.timeline.bin);
        let begins = |&bin: &usize| !self.healthy(bin) && (bin == first || self.healthy(bin - 1));
        let begun = (first..self.shares.len()).filter(begins).count();
        let length = self.shares.len().saturating_sub(first) * self.timeline.bin;
        begun as f64 / length.max(1) as f64 * 7.0 * 86_400.0
    }

    fn start(&self, bin: usize) -> f64 {
        (bin * self.timeline.bin) as f64
    }

    /// The start of the first healthy bin, after the trigger, from which it stays healthy.
    fn recovered_at(&self) -> Option<f64> {
        let n = self.shares.len();
        let after = self.timeline.trigger.map_or(0.0, |(_, to)| to);
        let last = (30.0 / self.timeline.bin as f64).ceil() as usize;
        if (n.saturating_sub(last)..n).any(|bin| !self.healthy(bin)) {
            return None;
        }
        let mut healthy = 0_usize;
        let mut found = None;
        for (from_end, bin) in (0..n).rev().enumerate() {
            if self.start(bin) < after {
                break;
            }
            healthy += usize::from(self.healthy(bin));
            if self.healthy(bin) && healthy as f64 >= 0.95 * (from_end + 1) as f64 {
                found = Some(self.start(bin));
            }
        }
        found
    }

    fn onset(&self) -> Option<f64> {
        let from = self.timeline.trigger.map_or(0.0, |(from, _)| from);
        let down = |bin: usize| self.shares[bin].is_some_and(|share| share < self.baseline / 2.0);
        let mut bins = (0..self.shares.len().saturating_sub(2)).filter(|&bin| self.start(bin + 1) > from);
        bins.find(|&bin| (bin..bin + 3).all(down)).map(|bin| self.start(bin).max(from))
    }

    fn metastable(&self) -> bool {
        let Some((from, to)) = self.timeline.trigger else { return false };
        let after = self.timeline.end as f64 - to;
        if self.timeline.kind != Kind::Pulse || after < (5.0 * (to - from)).max(120.0) {
            return false;
        }
        let quarter = &self.shares[self.shares.len() - self.shares.len() / 4..];
        let mean = |bins: &[Option<f64>]| {
            let known: Vec<f64> = bins.iter().copied().flatten().collect();
            known.iter().sum::<f64>() / known.len().max(1) as f64
        };
        let (first, second) = quarter.split_at(quarter.len() / 2);
        mean(second) - mean(first) <= 0.05 * self.baseline
    }

    fn healthy_outside(&self) -> f64 {
        let (from, to) = self.timeline.trigger.unwrap_or((0.0, 0.0));
        let settled = self.timeline.settling as f64;
        let to = if self.timeline.trigger.is_some() { to + self.timeline.slo + 10.0 } else { settled };
        let outside: Vec<usize> = (0..self.shares.len())
            .filter(|&bin| self.start(bin + 1) <= from || self.start(bin) >= to)
            .collect();
        let healthy = outside.iter().filter(|&&bin| self.healthy(bin)).count();
        if outside.is_empty() { 1.0 } else { healthy as f64 / outside.len() as f64 }
    }
}

fn first_flows(rows: &Rows, service: usize, from_s: f64, step: usize) -> [Option<f64>; FLOWS] {
    let after = &rows[(from_s as usize / step).min(rows.len())..];
    std::array::from_fn(|i| {
        let first = after.iter().position(|row| row[service].flow(Flow::ALL[i]) > 0);
        first.map(|second| ((second + 1) * step) as f64 - from_s.fract())
    })
}

fn is_scaled(row: &Row) -> bool {
    row.flow(Flow::ScaledUp) + row.flow(Flow::ScaledDown) > 0
}

/// What a scenario declares levers to be judged by, over these rows.
fn declared(of: CostOf, rows: &[Vec<Row>], service: usize, step: usize) -> f64 {
    let seconds = (rows.len().max(1) * step) as f64;
    match of {
        // Of users, not of a service.
        CostOf::HarmShare | CostOf::DrainTime | CostOf::IncidentsPerWeek => 0.0,
        CostOf::DirectionChangesPerHour => {
            let turned: u64 = rows.iter().map(|row| row[service].flow(Flow::Turned)).sum();
            turned as f64 / seconds * 3600.0
        }
        CostOf::ReplicaSeconds => {
            let there = |row: &Row| {
                [StockName::Ready, StockName::Starting]
                    .iter()
                    .map(|it| row.stock(*it).integral_ns)
                    .sum::<u64>()
            };
            rows.iter().map(|row| there(&row[service])).sum::<u64>() as f64 / 1e9
        }
    }
}

/// Of the services that do work of their own: work completed per second, and how much was in progress in the
/// mean. A service that only passes calls on is left out: what it completes is another's work.
fn work(rows: &Rows, from: usize, step: usize) -> (f64, f64) {
    let rows = &rows[from.min(rows.len())..];
    let length = (rows.len().max(1) * step) as f64;
    let (mut completed, mut in_service_ns) = (0, 0);
    for service in 0..rows.first().map_or(0, Vec::len) {
        let progress: u64 = rows.iter().map(|row| row[service].stock(StockName::InService).integral_ns).sum();
        if progress > 0 {
            completed += rows.iter().map(|row| row[service].flow(Flow::Completed)).sum::<u64>();
            in_service_ns += progress;
        }
    }
    (completed as f64 / length, in_service_ns as f64 / 1e9 / length)
}

#[cfg(test)]
mod tests;
