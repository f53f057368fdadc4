//! The series of an arm: every service's levels at each second's end, and its flows over the second.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pumphandle_core::meter::{BreakerState, FLOWS, Flow, STOCKS, Snapshot, StockName};
use pumphandle_core::time::{self, Order, Time};
use pumphandle_stack::Stack;

/// A stock over one second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StockRow {
    /// At the second's end.
    pub level: u32,
    /// Entered during the second.
    pub inflow: u32,
    /// Left during the second.
    pub outflow: u32,
    /// Integral of the level over the second, nanoseconds.
    pub integral_ns: u64,
}

/// One service over one second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// By [`Flow`].
    pub flows: [u64; FLOWS],
    /// By [`StockName`].
    pub stocks: [StockRow; STOCKS],
    /// At the second's end.
    pub breaker: BreakerState,
    /// Adaptive concurrency limits, added; 0 where there is none. At the second's end.
    pub concurrency_limit: u64,
    /// At the second's end.
    pub replicas: u32,
}

impl Row {
    /// What happened from one reading to the other.
    pub(super) fn between(from: &Snapshot, to: &Snapshot, replicas: usize) -> Row {
        Row {
            flows: std::array::from_fn(|i| to.flow(Flow::ALL[i]) - from.flow(Flow::ALL[i])),
            stocks: std::array::from_fn(|i| {
                let (before, after) = (from.stock(StockName::ALL[i]), to.stock(StockName::ALL[i]));
                StockRow {
                    level: after.level as u32,
                    inflow: (after.inflow - before.inflow) as u32,
                    outflow: (after.outflow - before.outflow) as u32,
                    integral_ns: (after.integral - before.integral) as u64,
                }
            }),
            breaker: to.breaker,
            concurrency_limit: to.concurrency_limit,
            replicas: replicas as u32,
        }
    }

    /// A flow over the second.
    pub fn flow(&self, flow: Flow) -> u64 {
        self.flows[flow as usize]
    }

    /// A stock over the second.
    pub fn stock(&self, name: StockName) -> StockRow {
        self.stocks[name as usize]
    }
}

/// The rows of a run: by second, then by service.
pub type Rows = Vec<Vec<Row>>;

/// Samples a stack at the end of every `step` seconds, `samples` times: where a row says second, it means a step. `before` is what it read at the start, when
/// nobody had come yet.
pub async fn sample(
    stack: Arc<Stack>,
    mut before: Vec<(Snapshot, usize)>,
    samples: usize,
    step: usize,
    into: Arc<Mutex<Rows>>,
) {
    for sample in 1..=samples {
        let end = Time::ZERO + Duration::from_secs((sample * step) as u64);
        time::sleep_until(end, Order::sample(1)).await;
        let after = stack.read();
        let rows =
            before.iter().zip(&after).map(|((from, _), (to, replicas))| Row::between(from, to, *replicas));
        into.lock().unwrap_or_else(PoisonError::into_inner).push(rows.collect());
        before = after;
    }
}
