//! What virtual time costs, part by part: the executor, a gate, a processor, a plan, and whole storms.
//! For finding out where a change of speed comes from; the table of figures is printed by `performance`.

use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use pumphandle_benches::{Defences, attempts, run, storm};
use pumphandle_core::Time;
use pumphandle_core::draws::Draws;
use pumphandle_core::gate::{Gate, Rules};
use pumphandle_core::meter::Stock;
use pumphandle_core::time::{self, Order, simulate};
use pumphandle_load::Plan;
use pumphandle_stack::processor::{Contention, Processor};

const TASKS: u64 = 10_000;

/// Tasks that sleep once each: a spawn, a timer, two polls.
fn executor(c: &mut Criterion) {
    let mut group = c.benchmark_group("executor");
    group.throughput(Throughput::Elements(TASKS));
    group.bench_function("spawn and sleep", |b| {
        b.iter(|| {
            simulate(async {
                for i in 0..TASKS {
                    time::spawn("sleeper", time::sleep(Duration::from_nanos(i % 977), Order::arrival(i)));
                }
                time::sleep(Duration::from_nanos(1_000), Order::sample(0)).await;
            })
        });
    });
    // Timeouts that are far off and never reached: their entries must not pile up.
    group.bench_function("timeout that is not reached", |b| {
        b.iter(|| {
            simulate(async {
                for i in 0..TASKS {
                    let work = time::sleep(Duration::from_nanos(1), Order::completion(i));
                    let _ = time::timeout(Duration::from_secs(60), Order::timeout(i), work).await;
                }
            })
        });
    });
    group.finish();
}

/// Fifty permits, two hundred who want them.
fn gate(c: &mut Criterion) {
    let mut group = c.benchmark_group("gate");
    group.throughput(Throughput::Elements(TASKS));
    group.bench_function("wait, hold, give back", |b| {
        b.iter(|| {
            simulate(async {
                let gate = Arc::new(Gate::new(Rules { limit: 50, ..Rules::default() }));
                let stock = Arc::new(Stock::default());
                for user in 0..200 {
                    let (gate, stock) = (Arc::clone(&gate), Arc::clone(&stock));
                    time::spawn("user", async move {
                        for _ in 0..TASKS / 200 {
                            let permit = gate.acquire(None, &stock).await;
                            time::sleep(Duration::from_nanos(100), Order::completion(user)).await;
                            drop(permit);
                        }
                    });
                }
                time::sleep(Duration::from_micros(1_000), Order::sample(0)).await;
                assert_eq!(gate.load(), (0, 0), "everyone was served");
            })
        });
    });
    group.finish();
}

/// Fifty pieces of work in service at a time, under contention.
fn processor(c: &mut Criterion) {
    let mut group = c.benchmark_group("processor");
    group.throughput(Throughput::Elements(TASKS));
    group.bench_function("work under contention", |b| {
        b.iter(|| {
            simulate(async {
                let processor = Processor::start(1);
                processor.set_speed(Contention { alpha: 0.02, beta: 0.0 }, 1.0, 0.0);
                for user in 0..50 {
                    let processor = Arc::clone(&processor);
                    time::spawn("user", async move {
                        for i in 0..TASKS / 50 {
                            processor.work((1_000 + 37 * i) as f64, user).await;
                        }
                    });
                }
                time::sleep(Duration::from_secs(1), Order::sample(0)).await;
            })
        });
    });
    group.finish();
}

/// Arrivals of a quarter of an hour.
fn plan(c: &mut Criterion) {
    let load = storm(Defences::None, 60).load;
    let end = Time::from_secs_f64(900.0);
    let mut group = c.benchmark_group("plan");
    let arrivals = Plan::new(&load, &[], Draws::new(1), end).count();
    group.throughput(Throughput::Elements(arrivals as u64));
    group.bench_function("poisson arrivals", |b| {
        b.iter_batched(
            || Plan::new(&load, &[], Draws::new(1), end),
            |plan| plan.fold(Time::ZERO, |_, at| at),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

/// One arm, by the policies that are on. Elements are attempts sent by the client.
fn storms(c: &mut Criterion) {
    let mut group = c.benchmark_group("storm");
    group.sample_size(10);
    for defences in Defences::ALL {
        let scenario = storm(defences, 60);
        group.throughput(Throughput::Elements(attempts(&run(&scenario, 1))));
        group.bench_function(format!("{} layers on", defences.layers()), |b| b.iter(|| run(&scenario, 1)));
    }
    group.finish();
}

criterion_group!(benches, executor, gate, processor, plan, storms);
criterion_main!(benches);
