//! Series over all seeds of an arm, for drawing: sums of whole numbers, so that the order in which seeds come
//! in cannot be seen in them.

use pumphandle_core::meter::{BreakerState, FLOWS, Flow, STOCKS, StockName};
use pumphandle_load::ledger::{BUCKETS, Second, bucket_ms};
use pumphandle_stack::StackSettings;

use crate::result::{ArmSeries, Band, ServiceSeries, StockAccount, StockSeries};
use crate::run::SeedRun;
use crate::stats::quantile_sorted;

/// Collects an arm's runs, seed by seed.
#[derive(Debug, Default)]
pub struct Series {
    seeds: Vec<Vec<Second>>,
    /// Attempts sent by the first service, by seed and second.
    attempts: Vec<Vec<u32>>,
    latencies: Vec<[u32; BUCKETS]>,
    /// By second, then service.
    rows: Vec<Vec<Sum>>,
    /// Seconds of a sample, where it is not one: what is called a second here is a sample.
    step: usize,
}

#[derive(Clone, Debug)]
struct Sum {
    flows: [u64; FLOWS],
    stocks: [[u64; 3]; STOCKS],
    open: u32,
    replicas: u64,
}

impl Series {
    /// Adds one seed, whose samples are `step` seconds long.
    pub fn add(&mut self, run: &SeedRun, step: usize) {
        self.step = step;
        let attempts =
            run.rows.iter().map(|row| row.first().map_or(0, |first| first.flow(Flow::Attempts) as u32));
        self.attempts.push(attempts.collect());
        self.seeds.push(run.tally.seconds.clone());
        self.latencies.resize(run.tally.sketches.len(), [0; BUCKETS]);
        for (sum, sketch) in self.latencies.iter_mut().zip(&run.tally.sketches) {
            sum.iter_mut().zip(sketch).for_each(|(sum, n)| *sum += u32::from(*n));
        }
        let empty = Sum { flows: [0; FLOWS], stocks: [[0; 3]; STOCKS], open: 0, replicas: 0 };
        self.rows.resize(run.rows.len(), Vec::new());
        for (sums, row) in self.rows.iter_mut().zip(&run.rows) {
            sums.resize(row.len(), empty.clone());
            for (sum, service) in sums.iter_mut().zip(row) {
                sum.flows.iter_mut().zip(service.flows).for_each(|(sum, n)| *sum += n);
                for (sum, stock) in sum.stocks.iter_mut().zip(service.stocks) {
                    let [level, inflow, outflow] = sum;
                    *level += u64::from(stock.level);
                    *inflow += u64::from(stock.inflow);
                    *outflow += u64::from(stock.outflow);
                }
                sum.open += u32::from(matches!(service.breaker, BreakerState::Open | BreakerState::HalfOpen));
                sum.replicas += u64::from(service.replicas);
            }
        }
    }

    /// What is drawn of it. `settings` name the services and their limits.
    pub fn finish(&self, settings: &StackSettings) -> ArmSeries {
        ArmSeries {
            arrivals_per_s: self.band(|s| s.arrivals),
            good_per_s: self.band(|s| s.good),
            degraded_per_s: self.band(|s| s.degraded),
            goodput_per_s: self.band(|s| s.completed_good),
            attempts_per_arrival: self.attempts_per_arrival(),
            latency_p50_ms: self.latency(0.50),
            latency_p99_ms: self.latency(0.99),
            services: settings
                .keys()
                .enumerate()
                .map(|(i, name)| (name.clone(), self.service(i, settings)))
                .collect(),
        }
    }

    /// The account of every stock that anybody entered.
    pub fn accounts(&self, settings: &StackSettings) -> Vec<StockAccount> {
        let n = self.seeds.len().max(1) as f64;
        let of_stock = |i: usize, name: &str, at: usize| {
            let of = |part: usize| self.rows.iter().map(move |row| row[i].stocks[at][part]);
            let entered: u64 = of(1).sum();
            (entered > 0).then(|| StockAccount {
                stock: format!("{name}.{}", StockName::ALL[at].name()),
                entered: entered as f64 / n,
                left: of(2).sum::<u64>() as f64 / n,
                level: of(0).next_back().unwrap_or(0) as f64 / n,
                highest: of(0).max().unwrap_or(0) as f64 / n,
                limit: self.limit(StockName::ALL[at], i, settings),
            })
        };
        let all = settings.keys().enumerate().flat_map(|(i, name)| (0..STOCKS).map(move |at| (i, name, at)));
        all.filter_map(|(i, name, at)| of_stock(i, name, at)).collect()
    }

    /// Good answers and arrivals per second, summed over seeds.
    pub fn good_and_arrivals(&self) -> Vec<(u64, u64)> {
        let length = self.seeds.iter().map(Vec::len).max().unwrap_or(0);
        (0..length)
            .map(|t| {
                let sum = |count: fn(&Second) -> u32| {
                    self.seeds.iter().filter_map(|seed| seed.get(t)).map(|s| u64::from(count(s))).sum()
                };
                (sum(|s| s.good), sum(|s| s.arrivals))
            })
            .collect()
    }

    /// Mean level of a stock, and mean of a flow per second, of service `i` over `range`.
    pub fn means(&self, i: usize, range: std::ops::Range<usize>) -> Means {
        let rows = &self.rows[range.start.min(self.rows.len())..range.end.min(self.rows.len())];
        let n = (rows.len() * self.seeds.len()).max(1) as f64;
        let per_s = n * self.step.max(1) as f64;
        let level = |at: usize| rows.iter().map(|row| row[i].stocks[at][0]).sum::<u64>() as f64 / n;
        let flow = |at: usize| rows.iter().map(|row| row[i].flows[at]).sum::<u64>() as f64 / per_s;
        Means {
            levels: StockName::ALL.iter().enumerate().map(|(at, &name)| (name, level(at))).collect(),
            flows: Flow::ALL.iter().enumerate().map(|(at, &name)| (name, flow(at))).collect(),
        }
    }

    /// The most that a stock can hold; none where the number of replicas, and with it the limit, changes.
    fn limit(&self, stock: StockName, i: usize, settings: &StackSettings) -> Option<f64> {
        let mut replicas = self.rows.iter().map(|row| row[i].replicas);
        let first = replicas.next();
        let changes = replicas.any(|replicas| Some(replicas) != first);
        limit(stock, &settings[i]).filter(|_| !changes).map(|limit| limit as f64)
    }

    fn band(&self, count: fn(&Second) -> u32) -> Band {
        let step = self.step.max(1) as f64;
        let seeds: Vec<Vec<f64>> =
            self.seeds.iter().map(|seed| seed.iter().map(|s| f64::from(count(s)) / step).collect()).collect();
        band(&seeds)
    }

    fn attempts_per_arrival(&self) -> Band {
        let ratio = |(second, attempts): (&Second, &u32)| {
            if second.arrivals == 0 { 0.0 } else { f64::from(*attempts) / f64::from(second.arrivals) }
        };
        let seeds = self.seeds.iter().zip(&self.attempts);
        band(&seeds.map(|(s, a)| s.iter().zip(a).map(ratio).collect()).collect::<Vec<_>>())
    }

    fn latency(&self, q: f64) -> Vec<Option<f64>> {
        let of = |counts: &[u32; BUCKETS]| {
            let total: u64 = counts.iter().map(|&n| u64::from(n)).sum();
            let wanted = (q * total as f64).ceil() as u64;
            let mut seen = 0;
            counts.iter().position(|&n| {
                seen += u64::from(n);
                total > 0 && seen >= wanted
            })
        };
        self.latencies.iter().map(|counts| of(counts).map(bucket_ms)).collect()
    }

    fn service(&self, i: usize, settings: &StackSettings) -> ServiceSeries {
        let n = self.seeds.len().max(1) as f64;
        let column = |value: &dyn Fn(&Sum) -> u64| -> Vec<f64> {
            self.rows.iter().map(|row| value(&row[i]) as f64 / n).collect()
        };
        let step = self.step.max(1) as f64;
        let per_s = |value: &dyn Fn(&Sum) -> u64| {
            column(value).into_iter().map(|sum| sum / step).collect::<Vec<f64>>()
        };
        let used = |at: usize| self.rows.iter().any(|row| row[i].stocks[at][1] > 0);
        let stocks = StockName::ALL.iter().enumerate().filter(|(at, _)| used(*at)).map(|(at, &name)| {
            let limit = self.limit(name, i, settings);
            let level = column(&|sum| sum.stocks[at][0]);
            let [inflow, outflow] = [1, 2].map(|part| per_s(&|sum| sum.stocks[at][part]));
            (name.name().to_owned(), StockSeries { level, inflow, outflow, limit })
        });
        let happened = |at: usize| self.rows.iter().any(|row| row[i].flows[at] > 0);
        let flows = Flow::ALL.iter().enumerate().filter(|(at, _)| happened(*at));
        let open = self.rows.iter().map(|row| f64::from(row[i].open) / n);
        ServiceSeries {
            stocks: stocks.collect(),
            flows: flows.map(|(at, flow)| (flow.name().to_owned(), per_s(&|sum| sum.flows[at]))).collect(),
            breaker_open: if self.rows.iter().any(|row| row[i].open > 0) {
                open.collect()
            } else {
                Vec::new()
            },
            replicas: column(&|sum| sum.replicas),
        }
    }
}

/// A service over a part of the run, over all seeds.
#[derive(Debug)]
pub struct Means {
    /// Mean level of every stock.
    pub levels: Vec<(StockName, f64)>,
    /// Mean of every flow, per second.
    pub flows: Vec<(Flow, f64)>,
}

/// The most that a stock can hold under these settings.
pub fn limit(stock: StockName, settings: &pumphandle_stack::ServiceSettings) -> Option<usize> {
    let each = match stock {
        StockName::Queue => settings.queue.size,
        StockName::Working => settings.workers,
        StockName::PoolActive => {
            settings.with.pool.as_ref().filter(|pool| pool.enabled).map(|pool| pool.size)
        }
        StockName::PoolWaiting => {
            settings.with.pool.as_ref().filter(|pool| pool.enabled).and_then(|pool| pool.waiting)
        }
        _ => None,
    }?;
    let shared = settings.with.pool.as_ref().is_some_and(|pool| pool.shared);
    match stock {
        StockName::PoolActive | StockName::PoolWaiting if shared => Some(each),
        _ => Some(each * settings.replicas as usize),
    }
}

fn band(seeds: &[Vec<f64>]) -> Band {
    let length = seeds.iter().map(Vec::len).max().unwrap_or(0);
    let mut band = Band::default();
    for t in 0..length {
        let mut values: Vec<f64> = seeds.iter().filter_map(|seed| seed.get(t).copied()).collect();
        values.sort_by(f64::total_cmp);
        band.mean.push(values.iter().sum::<f64>() / values.len().max(1) as f64);
        band.low.push(quantile_sorted(&values, 0.05).unwrap_or(0.0));
        band.high.push(quantile_sorted(&values, 0.95).unwrap_or(0.0));
    }
    band
}
