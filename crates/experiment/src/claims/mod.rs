//! Sentences that are measured again by every check. A claim is held when the interval of what was measured
//! lies inside what it says, broken when it lies wholly outside, and otherwise not tested.
//!
//! To add a kind of claim: a field of [`ClaimBody`], and its line in [`judge`].

pub mod judge;

use pumphandle_core::Dur;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::loops::Phase;
use crate::scenario::Scenario;
use crate::verdict::Is;

/// What a claim says: of one arm, at least one thing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClaimBody {
    /// `control`, a lever (pulled), or `LEVER@start` (standing).
    pub arm: String,
    /// It `recovers`, `stays_down`, or does now one and now the other (`mixed`). Not claimed if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// It is down for good although its trigger has gone. Not claimed if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metastable: Option<bool>,
    /// It recovers in most seeds, and on average within this time of the pull (or of the trigger's end),
    /// such as 30s. Not claimed if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovers_within: Option<Dur>,
    /// The verdict on the lever is one of these. Not claimed if absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verdict: Vec<Is>,
    /// A measured quantity lies within bounds. Not claimed if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measure: Option<Measure>,
    /// What comes back round a loop lies within bounds. Not claimed if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comes_back: Option<ComesBack>,
}

/// What comes back to the first variable of a loop, all turns together, for each unit that a few more users
/// put into it: 0 is nothing, 1 as much as was put in, -1 that it was taken away again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ComesBack {
    /// Which loop.
    pub of: String,
    /// When the users are added: `before` the trigger, at its `onset`, long `after` it, or in the middle of
    /// a run without one (`steady`). `after` (or `steady`) if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// The mean is at least this. No lower bound if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1e12, max = 1e12))]
    pub at_least: Option<f64>,
    /// The mean is at most this. No upper bound if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1e12, max = 1e12))]
    pub at_most: Option<f64>,
}

impl ComesBack {
    /// The phase that it speaks of.
    pub fn phase(&self, scenario: &Scenario) -> Phase {
        let usual = if scenario.timeline.is_empty() { Phase::Steady } else { Phase::After };
        self.phase.unwrap_or(usual)
    }
}

/// How an arm ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// In more than half of all seeds, with 95 % confidence.
    Recovers,
    /// In less than half of all seeds, with 95 % confidence.
    StaysDown,
    /// Neither: a knife-edge.
    Mixed,
}

impl State {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            State::Recovers => "recovers",
            State::StaysDown => "stays down",
            State::Mixed => "mixed",
        }
    }
}

/// A quantity of an arm, and where its mean over seeds has to lie.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Measure {
    /// Which quantity.
    pub of: Quantity,
    /// Over which part of the run: `before`, `during` or `after` the trigger, `last_minute`, or `all` of it.
    /// The last minute if absent.
    #[serde(default)]
    pub window: Window,
    /// A part of its own, in place of a window: from this second of the run on, such as 64s. Whole seconds,
    /// together with `to`. None if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Dur>,
    /// The end of that part, such as 72s. None if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Dur>,
    /// Which flow, for `flow_per_s`: by its name in `series.ndjson`, such as retries. None if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow: Option<String>,
    /// Which stock, for quantities of stocks: by its name in `series.ndjson`, such as inside. None if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stock: Option<String>,
    /// Of which service, for quantities of services. Measured of users if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The mean is at least this, in the quantity's unit. No lower bound if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1e12))]
    pub at_least: Option<f64>,
    /// The mean is at most this, in the quantity's unit. No upper bound if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1e12))]
    pub at_most: Option<f64>,
}

/// What can be measured of an arm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// Good answers per arrival, by due time.
    GoodShare,
    /// Good answers per second, by completion.
    GoodputPerS,
    /// Attempts arriving at a service per user arrival.
    Amplification,
    /// Share of a service's busy time spent for callers who had given up. Of the whole run.
    WastedWork,
    /// Work completed by a service per second.
    CompletedPerS,
    /// Mean level of a service's request queue.
    QueueLevel,
    /// A flow of a service, per second.
    FlowPerS,
    /// Mean level of a stock of a service.
    StockLevel,
    /// By how much a stock of a service rises, per second, from the start of the window to its end.
    StockSlopePerS,
    /// The highest level of a stock of a service. Of the whole run.
    StockPeak,
    /// Seconds from the start of the trigger to when a stock of a service was first at its highest. Of the whole
    /// run.
    StockPeakAfterS,
    /// Mean waiting time of users who are answered, over what a service's stock and its outflow would make them
    /// wait: 1 where they wait for what is there when they come.
    WaitByStock,
    /// Answered correctly within `slo.patient`, per arrival, by due time.
    PatientShare,
    /// Users who stayed away (`load.elastic`), per user due.
    AwayShare,
    /// Seconds from the start of the trigger to the end of the second in which a flow of a service was first above
    /// zero from then on: of a loop that acts, when it began to. Of the whole run.
    FlowFirstAfterS,
    /// How many replicas of a service there are to be, in the mean.
    Replicas,
    /// The most replicas of a service that there are to be.
    ReplicasPeak,
    /// Replicas of a service times the seconds for which they are there, ready or not.
    ReplicaSeconds,
    /// How often per hour the number of a service's replicas changes in the other direction than the change before.
    DirectionChangesPerHour,
    /// Seconds from the start of the window until the number of a service's replicas has changed for the last time
    /// in it; 0 if it does not change.
    SettlesAfterS,
    /// Share of a service's lookups in its cache that found an entry within its time to live.
    HitRate,
    /// Seconds from the first arrival to the last answer; to the end of the run if somebody got none. Of the whole run.
    DrainTimeS,
    /// Seconds from when users were due to their answers, work included, in the mean of those who were answered.
    MeanWaitS,
    /// How often per week users began to be served badly: bins of users that are not healthy, after one that is. Of the
    /// whole run, after its settling time.
    IncidentsPerWeek,
    /// Seconds spent in a stock of a service, divided among those who left it: how long one stays.
    StockStayS,
}

impl Quantity {
    /// Whether it is one of a service.
    pub fn needs_service(self) -> bool {
        use Quantity::{
            AwayShare, DrainTimeS, GoodShare, GoodputPerS, IncidentsPerWeek, MeanWaitS, PatientShare,
        };
        !matches!(
            self,
            AwayShare | GoodShare | GoodputPerS | PatientShare | DrainTimeS | MeanWaitS | IncidentsPerWeek
        )
    }

    /// Whether it is one of a flow.
    pub fn needs_flow(self) -> bool {
        matches!(self, Quantity::FlowPerS | Quantity::FlowFirstAfterS)
    }

    /// Whether it is one of a stock.
    pub fn needs_stock(self) -> bool {
        use Quantity::{StockLevel, StockPeak, StockPeakAfterS, StockSlopePerS, StockStayS, WaitByStock};
        matches!(self, StockStayS | StockLevel | StockSlopePerS | StockPeak | StockPeakAfterS | WaitByStock)
    }
}

/// A part of the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// From the start to the trigger's start.
    Before,
    /// While the trigger lasts.
    During,
    /// From the trigger's end to the end.
    After,
    /// The last 60 s.
    #[default]
    LastMinute,
    /// All of it.
    All,
    /// From one whole second to another, as a claim says with `from` and `to`.
    #[serde(skip)]
    #[schemars(skip)]
    Span(u32, u32),
}

impl Measure {
    /// The part of the run that it is about.
    pub fn part(&self) -> Window {
        match (self.from, self.to) {
            (Some(from), Some(to)) => Window::Span(from.0.as_secs() as u32, to.0.as_secs() as u32),
            _ => self.window,
        }
    }
}

impl Window {
    /// All that have names.
    pub const ALL: [Window; 5] =
        [Window::Before, Window::During, Window::After, Window::LastMinute, Window::All];
}
