//! Real time: all arms at the same time, over TCP in one process. Each arm has a runtime of its own and the
//! load has a thread of its own, because in one runtime a storming neighbour moves its twin's latencies.
//!
//! Twins share a machine all the same. So an idle timer is watched throughout, and a run on a machine that
//! was too busy to be believed is not tested.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use pumphandle_core::meter::Meter;
use pumphandle_core::time::{Origin, Time};
use pumphandle_core::{Draws, World};
use pumphandle_load::Plan;
use pumphandle_load::driver::{Target, open_loop_from_thread};
use pumphandle_load::plan::Arrivals;
use pumphandle_stack::Stack;
use pumphandle_stack::wire::tcp::Tcp;
use pumphandle_stack::wire::tcp::kernel::{self, Namespace};

use crate::board::{self, Board, Phase};
use crate::plan::{ArmPlan, spikes};
use crate::run::arm::{Generator, SeedRun, conduct};
use crate::scenario::Scenario;

/// An idle timer may be this late (99th percentile).
pub const PROBE_P99_MS: f64 = 5.0;
/// An arm may start to handle its users this much later than an idle timer (99th percentile).
pub const LAG_BEYOND_PROBE_MS: f64 = 2.0;
/// Two arms may differ by this much in that.
pub const LAG_BETWEEN_ARMS_MS: f64 = 2.0;
/// The machine may be this busy.
pub const CPU_SHARE: f64 = 0.70;

/// How the machine did.
#[derive(Clone, Debug, Default)]
pub struct Health {
    /// How late an idle timer was, 99th percentile.
    pub probe_p99_ms: f64,
    /// How late each arm began to handle its users, 99th percentile.
    pub lag_p99_ms: Vec<f64>,
    /// Share of all processors that was used, by anybody; none where the system does not tell.
    pub cpu: Option<f64>,
    /// Sockets that the machine could not give.
    pub faults: u64,
    /// What was not as services say of their connections, in words.
    pub not_as_said: Vec<String>,
    /// What the kernel dropped of connections during the run: in the whole network namespace, of all arms and of
    /// whoever else is in it. None where the system does not tell.
    pub dropped: Option<Namespace>,
}

impl Health {
    /// Why a run on this machine cannot be believed; nothing if it can.
    pub fn reasons(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if self.probe_p99_ms > PROBE_P99_MS {
            reasons.push(format!(
                "the machine was too busy: an idle timer was {:.1} ms late (p99)",
                self.probe_p99_ms
            ));
        }
        for (arm, lag) in self.lag_p99_ms.iter().enumerate() {
            if *lag > self.probe_p99_ms + LAG_BEYOND_PROBE_MS {
                let beyond = lag - self.probe_p99_ms;
                reasons.push(format!("arm {arm} fell behind: {beyond:.1} ms (p99) beyond an idle timer"));
            }
        }
        let most = self.lag_p99_ms.iter().copied().fold(0.0, f64::max);
        let least = self.lag_p99_ms.iter().copied().fold(f64::INFINITY, f64::min);
        if most - least > LAG_BETWEEN_ARMS_MS {
            reasons.push(format!(
                "the arms were not treated alike: their lags differ by {:.1} ms (p99)",
                most - least
            ));
        }
        if let Some(cpu) = self.cpu.filter(|cpu| *cpu > CPU_SHARE) {
            reasons.push(format!("the machine was too busy: {:.0} % of its processors", cpu * 100.0));
        }
        reasons.extend(self.not_as_said.iter().cloned());
        if self.faults > 0 {
            reasons.push(format!("the machine had no socket to give, {} times", self.faults));
        }
        reasons
    }
}

/// Called when an arm's services are up, inside the arm's runtime: its name and its services' meters.
pub type Started<'a> = &'a (dyn Fn(&str, Vec<(String, Arc<Meter>)>) + Sync);

/// Runs all `arms` under one seed, side by side, in real time.
///
/// # Errors
///
/// If the system refuses threads or runtimes.
///
/// # Panics
///
/// If an arm panics.
pub fn run_side_by_side(
    scenario: &Scenario,
    arms: &[ArmPlan],
    seed: u64,
    stop: &Arc<AtomicBool>,
    started: Started<'_>,
    board: Option<&Arc<Board>>,
) -> std::io::Result<(Vec<SeedRun>, Health)> {
    let origin = Origin::after(Duration::from_millis(500));
    if let Some(board) = board {
        board.begin(scenario, arms, "real", seed, origin);
    }
    let watch = Watch::start(origin, board.cloned());
    let runtimes: Vec<tokio::runtime::Runtime> =
        arms.iter().map(|_| runtime(origin)).collect::<Result<_, _>>()?;
    let wires: Vec<Arc<Tcp>> = arms.iter().map(|_| Arc::default()).collect();
    let runs: Vec<SeedRun> = std::thread::scope(|scope| {
        let (ready, targets) = mpsc::channel::<(usize, Target)>();
        let mut threads = Vec::new();
        for (i, arm) in arms.iter().enumerate() {
            let (ready, runtime, wire) = (ready.clone(), &runtimes[i], &wires[i]);
            threads.push(scope.spawn(move || {
                origin.enter();
                runtime.block_on(async {
                    let world = World::with_classes(seed, false, scenario.class_names());
                    let stack = Arc::new(Stack::start_on(world, &arm.settings, wire.wiring()));
                    started(&arm.name, stack.meters());
                    let send = move |target: Target| drop(ready.send((i, target)));
                    let users = board.map(|board| board.users(i));
                    conduct(scenario, arm, stack, Generator::Outside(Box::new(send)), users, until(stop))
                        .await
                })
            }));
        }
        drop(ready);
        if !matches!(scenario.load.arrivals, Arrivals::Closed(_)) {
            scope.spawn(|| generate(scenario, seed, origin, targets, &runtimes, stop));
        }
        threads.into_iter().map(|thread| thread.join().expect("an arm panicked")).collect()
    });
    let mut health = watch.end(&runs, wires.iter().map(|wire| wire.machine_faults()).sum());
    let not_as_said: BTreeSet<String> = wires.iter().flat_map(|wire| wire.not_as_said()).collect();
    health.not_as_said = not_as_said.into_iter().collect();
    if let Some(board) = board {
        board.rest(Phase::Ended);
    }
    for runtime in runtimes {
        runtime.shutdown_background();
    }
    Ok((runs.into_iter().map(without_order).collect(), health))
}

/// Watches the machine from its start to its end.
pub(super) struct Watch {
    over: Arc<AtomicBool>,
    probe: std::thread::JoinHandle<Histogram<u64>>,
    cpu_before: Option<(u64, u64)>,
    dropped_before: Option<Namespace>,
}

impl Watch {
    /// Watches for a run that begins at `origin`, and tells the board, if there is one, every second.
    pub(super) fn start(origin: Origin, board: Option<Arc<Board>>) -> Watch {
        let over = Arc::new(AtomicBool::new(false));
        let probe = std::thread::spawn({
            let over = Arc::clone(&over);
            move || probe(&over, origin, board.as_deref())
        });
        Watch { over, probe, cpu_before: cpu_times(), dropped_before: kernel::namespace() }
    }

    /// How the machine did while it made `runs`; `faults` times it had no socket to give.
    pub(super) fn end(self, runs: &[SeedRun], faults: u64) -> Health {
        self.over.store(true, Ordering::Relaxed);
        let probe = self.probe.join().expect("the probe only sleeps");
        let ms = |histogram: &Histogram<u64>| histogram.value_at_quantile(0.99) as f64 / 1e3;
        Health {
            probe_p99_ms: ms(&probe),
            lag_p99_ms: runs.iter().map(|run| ms(&run.tally.lag)).collect(),
            cpu: cpu_share(self.cpu_before, cpu_times()),
            faults,
            not_as_said: Vec::new(),
            dropped: kernel::namespace().zip(self.dropped_before).map(|(after, before)| after.since(&before)),
        }
    }
}

/// The order of events is the machine's: digests say nothing in real time.
fn without_order(run: SeedRun) -> SeedRun {
    SeedRun { events: (0, String::new()), events_before_pull: (0, String::new()), ..run }
}

pub(super) fn runtime(origin: Origin) -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .on_thread_start(move || origin.enter())
        .build()
}

/// Sends the load to every arm, once all of them are there to receive it.
pub(super) fn generate(
    scenario: &Scenario,
    seed: u64,
    origin: Origin,
    targets: mpsc::Receiver<(usize, Target)>,
    runtimes: &[tokio::runtime::Runtime],
    stop: &AtomicBool,
) {
    let mut all: Vec<(usize, Target)> = targets.iter().take(runtimes.len()).collect();
    all.sort_by_key(|(i, _)| *i);
    let targets: Vec<_> = all.into_iter().map(|(i, target)| (runtimes[i].handle().clone(), target)).collect();
    let end = Time::ZERO + scenario.duration.0;
    let plan = Plan::new(&scenario.load, &spikes(scenario), Draws::new(seed), end);
    open_loop_from_thread(origin, &targets, plan, &|| stop.load(Ordering::Relaxed));
}

pub(super) async fn until(stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// How late an idle timer is, in microseconds.
#[allow(clippy::disallowed_methods, reason = "this watches the machine's own clock")]
fn probe(over: &AtomicBool, origin: Origin, board: Option<&Board>) -> Histogram<u64> {
    let mut late = Histogram::new(3).expect("three significant digits are in range");
    let span = Duration::from_millis(5);
    let (mut second, mut worst, mut cpu_before) = (0, Duration::ZERO, cpu_times());
    while !over.load(Ordering::Relaxed) {
        let begun = Instant::now();
        std::thread::sleep(span);
        let by = begun.elapsed().saturating_sub(span);
        late.record(by.as_micros() as u64).expect("the histogram resizes itself");
        worst = worst.max(by);
        let now = origin.now().nanos() / 1_000_000_000;
        if let Some(board) = board.filter(|_| now > second) {
            let cpu = cpu_times();
            board.tick(board::Machine { idle_timer_late: worst, cpu: cpu_share(cpu_before, cpu) });
            (second, worst, cpu_before) = (now, Duration::ZERO, cpu);
        }
    }
    late
}

/// Busy and total time of all processors so far, in ticks. Linux only.
fn cpu_times() -> Option<(u64, u64)> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    let numbers: Vec<u64> =
        stat.lines().next()?.split_whitespace().skip(1).filter_map(|n| n.parse().ok()).collect();
    let total: u64 = numbers.iter().take(8).sum();
    let idle = numbers.get(3)? + numbers.get(4)?;
    Some((total - idle, total))
}

fn cpu_share(before: Option<(u64, u64)>, after: Option<(u64, u64)>) -> Option<f64> {
    let ((busy_before, total_before), (busy, total)) = (before?, after?);
    let passed = total.checked_sub(total_before).filter(|ticks| *ticks > 0)?;
    Some((busy - busy_before) as f64 / passed as f64)
}
