//! Second by second, the samples of all series. Counters begin at 0, so that what they grew by in the run is what was
//! counted in it; a series that ends says so, as Prometheus does when a target goes away.
//!
//! Lines are held to what they claim: every second is there, every service in it, and nothing twice.

use std::io::{BufRead, Read};

use pumphandle_core::catalogue::{LATENCY_BUCKETS, Source};
use pumphandle_core::meter::{BreakerState, FLOWS, STOCKS, Snapshot, StockReading};
use pumphandle_experiment::record::{self, Flows, Line, Settled, Stocks};
use pumphandle_experiment::result::RunResult;

use super::series::{OUTCOMES, Series, Told, of_service, of_users, told};
use super::{TAIL, Unreadable};
use crate::words;

/// No line of a run is nearly as long.
const LONGEST_LINE: u64 = 1 << 20;

/// What a series shows at a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sample {
    /// Nothing.
    None,
    /// This.
    Value(f64),
    /// It has ended: there was a value a second ago, and there is none any more.
    End,
}

/// A second of a run.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Seconds since the start of the run.
    pub second: u32,
    /// By the place of the series in [`Frames::series`].
    pub samples: &'a [Sample],
}

/// How much there is of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The second in which the last series end.
    pub last: u32,
    /// How many series.
    pub series: usize,
    /// How many samples.
    pub samples: u64,
    /// Services' seconds, where the run was interrupted before its end.
    pub interrupted: Option<u32>,
}

/// A line, with arm and service as places.
#[allow(clippy::large_enum_variant, reason = "most are the larger, and a second's fit into a few kilobytes")]
#[derive(Clone, Copy)]
enum Row {
    Service {
        arm: usize,
        service: usize,
        stocks: Stocks,
        flows: Flows,
        replicas: u32,
        breaker: u64,
        limit: u64,
    },
    Users {
        arm: usize,
        due: u32,
        away: u32,
        settled: Settled,
    },
}

/// What a service had counted by a second.
struct Service {
    name: String,
    /// The place of its first series.
    first: usize,
    /// The last second of which there was a line.
    at: u32,
    flows: [u64; FLOWS],
    stocks: [StockReading; STOCKS],
    replicas: u64,
    breaker: BreakerState,
    limit: u64,
}

/// What an arm's users had come to by a second.
#[derive(Default)]
struct Users {
    /// The place of their first series.
    first: usize,
    /// The last second of which there was a line.
    at: u32,
    due: u64,
    /// Of them, stayed away: they wait for nothing.
    away: u64,
    settled: [u64; OUTCOMES.len()],
    within: [u64; LATENCY_BUCKETS.len() + 1],
    waited_ns: u64,
}

struct Arm {
    name: String,
    services: Vec<Service>,
    users: Users,
}

/// See the module. Not an iterator, since a frame is only lent.
pub struct Frames<'a, R> {
    result: &'a RunResult,
    lines: Lines<R>,
    run: String,
    series: Vec<Series>,
    sources: Vec<Source>,
    told: Vec<(usize, Told)>,
    arms: Vec<Arm>,
    /// The rows of the second that comes next.
    ahead: Vec<Row>,
    samples: Vec<Sample>,
    next: u32,
}

impl<'a, R: BufRead> Frames<'a, R> {
    /// The run of `result` and the `lines` of its series, to be called `run`.
    ///
    /// # Errors
    ///
    /// If the first second cannot be read.
    pub fn new(result: &'a RunResult, lines: R, run: &str) -> Result<Frames<'a, R>, Unreadable> {
        let arms = result.arms.iter().map(|arm| Arm {
            name: arm.arm.clone(),
            services: Vec::new(),
            users: Users::default(),
        });
        let mut frames = Frames {
            result,
            lines: Lines { from: lines, text: Vec::new(), number: 0, peeked: None },
            run: run.to_owned(),
            series: Vec::new(),
            sources: Vec::new(),
            told: Vec::new(),
            arms: arms.collect(),
            ahead: Vec::new(),
            samples: Vec::new(),
            next: 0,
        };
        frames.read_second(1)?;
        frames.lay_out();
        Ok(frames)
    }

    /// Every series there is, in the order of samples.
    pub fn series(&self) -> &[Series] {
        &self.series
    }

    /// The next second; none after the one in which the last series have ended.
    ///
    /// # Errors
    ///
    /// [`Unreadable`].
    #[allow(clippy::should_implement_trait, reason = "a frame is lent, which an iterator cannot do")]
    pub fn next(&mut self) -> Result<Option<Frame<'_>>, Unreadable> {
        let second = self.next;
        if self.lines.over() && second > self.last() {
            return Ok(None);
        }
        if second > 0 {
            let rows = std::mem::take(&mut self.ahead);
            rows.iter().for_each(|row| self.count(second, row));
            self.ahead = rows;
            self.read_second(second + 1)?;
        }
        self.show(second);
        self.next = second + 1;
        Ok(Some(Frame { second, samples: &self.samples }))
    }

    /// The second in which the last series end, once all lines have been read.
    fn last(&self) -> u32 {
        let users = self.arms.iter().map(|arm| arm.users.at).max().unwrap_or(0);
        users.max(self.length() + TAIL) + 1
    }

    /// How long users arrive, in whole seconds.
    fn length(&self) -> u32 {
        self.result.windows_s.end.ceil() as u32
    }

    // === reading ===

    /// Reads all lines of `second` into `ahead`.
    fn read_second(&mut self, second: u32) -> Result<(), Unreadable> {
        self.ahead.clear();
        let first = second == 1;
        while let Some((t, row)) = self.lines.peek(|line| place(line, &mut self.arms, self.result, first))? {
            if t < second {
                return Err(self.lines.wrong(format!("{t} s comes twice")));
            }
            if t > second && self.ahead.is_empty() {
                return Err(self.lines.wrong(format!("second {second} is missing")));
            }
            if t > second {
                break;
            }
            self.ahead.push(row);
            self.lines.peeked = None;
        }
        self.hold_to_claims(second)
    }

    /// Every arm has all of its services in the second, or has ended; and users wherever it has services.
    fn hold_to_claims(&mut self, second: u32) -> Result<(), Unreadable> {
        let mut seen: Vec<(Vec<u32>, u32)> =
            self.arms.iter().map(|arm| (vec![0; arm.services.len()], 0)).collect();
        for row in &self.ahead {
            match row {
                Row::Service { arm, service, .. } => seen[*arm].0[*service] += 1,
                Row::Users { arm, .. } => seen[*arm].1 += 1,
            }
        }
        for (arm, (services, users)) in self.arms.iter().zip(seen) {
            let wrong =
                |what: String| Err(self.lines.wrong(format!("second {second} of {}: {what}", arm.name)));
            let there = services.iter().any(|n| *n > 0);
            if let Some(i) = services.iter().position(|n| *n > 1) {
                return wrong(format!("two lines of {}", arm.services[i].name));
            }
            if let Some(i) = services.iter().position(|n| there && *n == 0) {
                return wrong(format!("no line of {}", arm.services[i].name));
            }
            if users > 1 || there && users == 0 {
                return wrong(format!("{users} lines of its users"));
            }
            let ended = |at: u32| second > 1 && at + 1 < second;
            if there && arm.services.iter().any(|service| ended(service.at))
                || users > 0 && ended(arm.users.at)
            {
                return wrong("it had ended before".to_owned());
            }
        }
        if self.lines.over() { self.hold_to_length(second) } else { Ok(()) }
    }

    /// The last line has been read: every arm's services were there until the end.
    fn hold_to_length(&self, second: u32) -> Result<(), Unreadable> {
        let (at, length) = (self.services_until(second), self.length());
        if at < length && !self.result.partial { Err(Unreadable::Short(at, length)) } else { Ok(()) }
    }

    /// Until when all arms' services have lines, where those of `second` lie ahead.
    fn services_until(&self, second: u32) -> u32 {
        let of = |(i, arm): (usize, &Arm)| {
            let ahead = self.ahead.iter().any(|row| matches!(row, Row::Service { arm, .. } if *arm == i));
            let before = arm.services.iter().map(|service| service.at).min().unwrap_or(0);
            if ahead { second } else { before }
        };
        self.arms.iter().enumerate().map(of).min().unwrap_or(0)
    }

    // === counting ===

    fn count(&mut self, second: u32, row: &Row) {
        match row {
            Row::Service { arm, service, stocks, flows, replicas, breaker, limit } => {
                let it = &mut self.arms[*arm].services[*service];
                it.flows.iter_mut().zip(flows.0).for_each(|(all, n)| *all = all.saturating_add(n));
                for (all, stock) in it.stocks.iter_mut().zip(stocks.0) {
                    all.level = stock.level.into();
                    all.inflow += u64::from(stock.inflow);
                    all.outflow += u64::from(stock.outflow);
                    all.integral += u128::from(stock.integral_ns);
                }
                (it.at, it.replicas, it.limit) = (second, u64::from(*replicas), *limit);
                it.breaker = BreakerState::from_number(*breaker);
            }
            Row::Users { arm, due, away, settled } => {
                let it = &mut self.arms[*arm].users;
                it.at = second;
                it.due += u64::from(*due);
                it.away += u64::from(*away);
                let outcomes = [settled.good, settled.degraded, settled.late, settled.errors];
                it.settled.iter_mut().zip(outcomes).for_each(|(all, n)| *all += u64::from(n));
                it.within.iter_mut().zip(settled.within_s.0).for_each(|(all, n)| *all += u64::from(n));
                it.waited_ns = it.waited_ns.saturating_add(settled.waited_ns);
            }
        }
    }

    // === showing ===

    /// Gives every series its place: the arms' services and users, then what is told of the run.
    fn lay_out(&mut self) {
        for arm in &mut self.arms {
            for service in &mut arm.services {
                service.first = self.series.len();
                let (series, sources): (Vec<_>, Vec<_>) =
                    of_service(&arm.name, &service.name, &self.run).into_iter().unzip();
                self.series.extend(series);
                self.sources = sources;
            }
            arm.users.first = self.series.len();
            self.series.extend(of_users(&arm.name, &self.run));
        }
        for it in told(self.result, &self.run) {
            self.told.push((self.series.len(), it));
            self.series.push(self.told[self.told.len() - 1].1.series.clone());
        }
        self.samples = vec![Sample::None; self.series.len()];
    }

    fn show(&mut self, second: u32) {
        let over = self.lines.over() && second >= self.last();
        for sample in &mut self.samples {
            // Whoever has nothing more to say ends here; the others say it below.
            *sample = if matches!(sample, Sample::Value(_)) { Sample::End } else { Sample::None };
        }
        if over {
            return;
        }
        for arm in &self.arms {
            for service in arm.services.iter().filter(|service| service.at == second) {
                show_service(service, &self.sources, &mut self.samples[service.first..]);
            }
            show_users(&arm.users, &mut self.samples[arm.users.first..]);
        }
        for (at, told) in &self.told {
            if let Some(value) = told.at.value(second) {
                self.samples[*at] = Sample::Value(value);
            }
        }
    }
}

fn show_service(service: &Service, sources: &[Source], into: &mut [Sample]) {
    let Service { flows, stocks, breaker, replicas, limit, .. } = service;
    let meter = Snapshot::of(*flows, *stocks, *breaker, *replicas, *limit);
    for (sample, source) in into.iter_mut().zip(sources) {
        // Before its first second a service has counted nothing; what it was made of is not known.
        let known = service.at > 0
            || !matches!(source, Source::Breaker | Source::Replicas | Source::ConcurrencyLimit);
        let value = source.read(&meter) as f64;
        if known {
            *sample = Sample::Value(if source.is_time() { value / 1e9 } else { value });
        }
    }
}

/// In the order of [`of_users`].
fn show_users(users: &Users, into: &mut [Sample]) {
    let settled: u64 = users.settled.iter().sum();
    let waiting = users.due.saturating_sub(settled + users.away);
    let cumulative = users.within.iter().scan(0, |all: &mut u64, n| {
        *all += n;
        Some(*all as f64)
    });
    let values = [users.due as f64]
        .into_iter()
        .chain(users.settled.iter().map(|n| *n as f64))
        .chain([waiting as f64])
        .chain(cumulative)
        .chain([users.waited_ns as f64 / 1e9, users.within.iter().sum::<u64>() as f64]);
    into.iter_mut().zip(values).for_each(|(sample, value)| *sample = Sample::Value(value));
}

/// A line with its places; services are met in the first second, and no later.
fn place(line: Line<'_>, arms: &mut [Arm], result: &RunResult, first: bool) -> Result<(u32, Row), String> {
    let (t, name, seed) = match &line {
        Line::Service(it) => (it.t, it.arm.as_ref(), it.seed),
        Line::Users(it) => (it.t, it.arm.as_ref(), it.seed),
    };
    if first && t > 1 && arms.iter().all(|arm| arm.services.is_empty()) {
        let length = words::duration(f64::from(t));
        return Err(format!(
            "this run was sampled every {length} (`sampling`): a recording needs every second"
        ));
    }
    if result.seeds.first() != Some(&seed) {
        return Err(format!("seed {seed} is not the first of result.json"));
    }
    let Some(arm) = arms.iter().position(|arm| arm.name == name) else {
        return Err(format!("there is no arm `{name}` in result.json"));
    };
    match &line {
        Line::Users(it) => Ok((t, Row::Users { arm, due: it.arrivals, away: it.away, settled: it.settled })),
        Line::Service(it) => {
            let services = &mut arms[arm].services;
            let known = services.iter().position(|service| service.name == it.service);
            let service = match known {
                Some(service) => service,
                None if first && t == 1 => {
                    services.push(Service::new(it.service.to_string()));
                    services.len() - 1
                }
                None => return Err(format!("the first second of {name} has no service `{}`", it.service)),
            };
            let (stocks, flows) = (it.stocks, it.flows);
            let (replicas, breaker, limit) = (it.replicas, it.breaker, it.concurrency_limit);
            Ok((t, Row::Service { arm, service, stocks, flows, replicas, breaker, limit }))
        }
    }
}

impl Service {
    fn new(name: String) -> Service {
        Service {
            name,
            first: 0,
            at: 0,
            flows: [0; FLOWS],
            stocks: [StockReading::default(); STOCKS],
            replicas: 0,
            breaker: BreakerState::Absent,
            limit: 0,
        }
    }
}

/// The lines of a file, of which one can be looked at before it is taken.
struct Lines<R> {
    from: R,
    text: Vec<u8>,
    /// Of the last line that was read, from 1.
    number: u64,
    /// The line that was looked at: its second and row. None at the end.
    peeked: Option<Option<(u32, Row)>>,
}

impl<R: BufRead> Lines<R> {
    /// The end has been seen.
    fn over(&self) -> bool {
        matches!(self.peeked, Some(None))
    }

    fn wrong(&self, why: String) -> Unreadable {
        Unreadable::Line(self.number, why)
    }

    /// The next line; none at the end.
    fn peek(
        &mut self,
        place: impl FnOnce(Line<'_>) -> Result<(u32, Row), String>,
    ) -> Result<Option<(u32, Row)>, Unreadable> {
        if let Some(peeked) = self.peeked {
            return Ok(peeked);
        }
        self.text.clear();
        let read =
            (&mut self.from).take(LONGEST_LINE).read_until(b'\n', &mut self.text).map_err(Unreadable::Io)?;
        if read == 0 {
            self.peeked = Some(None);
            return Ok(None);
        }
        self.number += 1;
        let text = std::str::from_utf8(&self.text).map_err(|_| self.wrong("it is no text".to_owned()))?;
        let row =
            record::parse(text.trim_end_matches('\n')).and_then(place).map_err(|why| self.wrong(why))?;
        self.peeked = Some(Some(row));
        Ok(Some(row))
    }
}

/// Reads a recording to its end.
///
/// # Errors
///
/// [`Unreadable`].
pub fn extent<R: BufRead>(mut frames: Frames<'_, R>) -> Result<Extent, Unreadable> {
    let (mut samples, mut last) = (0, 0);
    while let Some(frame) = frames.next()? {
        samples += frame.samples.iter().filter(|it| **it != Sample::None).count() as u64;
        last = frame.second;
    }
    let at = frames.services_until(0);
    let interrupted = (at < frames.length()).then_some(at);
    Ok(Extent { last, series: frames.series.len(), samples, interrupted })
}
