//! What a run measured, as documents: `result.json` (versioned; results only) and the series that the
//! report draws. Nothing here computes; nothing here knows how a service works.
//!
//! Counts are means per seed; shares are 0 to 1; units stand in names; there is never a NaN.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// The schema version of [`RunResult`]. Fields may be added under one version, never renamed.
pub const SCHEMA: u32 = 1;

/// One run of one scenario: every arm over every seed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunResult {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The scenario's name.
    pub scenario: String,
    /// The scenario file as a person would open it (as given, or its path in the repository); may be empty.
    #[serde(default)]
    pub file: String,
    /// SHA-256 of the scenario file's bytes, in hex.
    pub scenario_sha256: String,
    /// Settings changed on the command line (`--set`, `--duration`), as `path=value`.
    pub overrides: Vec<String>,
    /// `pulse`, `sustained`, `regime` or `batch`.
    pub kind: String,
    /// `virtual` or `real`.
    pub clock: String,
    /// The seeds, in the order of every per-seed list.
    pub seeds: Vec<u64>,
    /// Interrupted before all seeds and arms were measured.
    pub partial: bool,
    /// False when no verdict of this run may be believed.
    pub valid: bool,
    /// Why not.
    pub reasons: Vec<String>,
    /// Named instants and windows of the timeline.
    pub windows_s: Windows,
    /// Control first, then the treatments in the file's order, pulled before standing.
    pub arms: Vec<Arm>,
    /// The scenario's claims, in the file's order.
    pub claims: Vec<Claim>,
    /// The accounts of the control's stocks. Left out where no series were kept, as by `check`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stocks: Vec<StockAccount>,
    /// The scenario's causal loops, with what was measured of them in the control. Left out unless loops were
    /// measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub loops: Vec<CausalLoop>,
}

/// Instants in seconds since the start of the run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Windows {
    /// Start and end of the trigger; absent in a scenario without onset.
    pub trigger: Option<[f64; 2]>,
    /// The moment at which pulled levers act.
    pub pull: Option<f64>,
    /// The end of arrivals.
    pub end: f64,
    /// Width of the bins by which a good share is judged.
    pub bin: f64,
    /// Every trigger of the timeline.
    #[serde(default)]
    pub triggers: Vec<TriggerWindow>,
}

/// When a trigger acts, in seconds since the start of the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TriggerWindow {
    /// Its name in the file.
    pub trigger: String,
    /// Since when.
    pub from: f64,
    /// Until when; none if it does not end.
    pub to: Option<f64>,
}

/// One arm over all its seeds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Arm {
    /// `control`, `LEVER` (pulled) or `LEVER@start` (standing).
    pub arm: String,
    /// The lever's name; none for the control.
    pub lever: Option<String>,
    /// The lever's one-line description.
    pub title: Option<String>,
    /// `pulled` or `standing`; none for the control.
    pub mode: Option<String>,
    /// Meadows' level, 12 (weakest) to 1.
    pub level: Option<u8>,
    /// The level was assigned by this project, not by the lesson.
    pub level_is_ours: bool,
    /// What the lesson says of this lever, in the words of the verdicts.
    pub lesson: Option<String>,
    /// `emergent` (comes out of the mechanism) or `assumed` (follows from a number put in).
    pub evidence: Option<String>,
    /// False when this arm's verdict may not be believed.
    pub valid: bool,
    /// Why not.
    pub reasons: Vec<String>,
    /// `recovers`, `stays down` or `mixed`; none where there was nothing to recover from.
    pub state: Option<String>,
    /// Over all seeds.
    pub outcome: Outcome,
    /// None for the control.
    pub verdict: Option<Verdict>,
    /// Digest of the event log, per seed, in hex.
    pub events: Vec<String>,
}

/// Values by window of the timeline.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ByWindow {
    /// From the start to the trigger's start (or to the end, without a trigger).
    pub before: Option<f64>,
    /// While the trigger lasts.
    pub during: Option<f64>,
    /// From the trigger's end to the end.
    pub after: Option<f64>,
    /// The last 60 s.
    pub last_minute: Option<f64>,
}

/// What was measured of one arm; means over seeds unless it says otherwise.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// User requests.
    pub arrivals: f64,
    /// Answered correctly within the SLO latency, counted from the due time.
    pub good: f64,
    /// Answered in time with a fallback.
    pub degraded: f64,
    /// good / arrivals over the whole run.
    pub good_share: f64,
    /// Arrivals that were not good in the harm window.
    pub harm: f64,
    /// harm / arrivals of the harm window.
    pub harm_share: f64,
    /// Error answers and deadlines / arrivals, in the harm window.
    pub visible_error_share: f64,
    /// Share of seeds that recovered; none where there was no onset to recover from.
    pub recovered_share: Option<f64>,
    /// Share of seeds that were metastable.
    pub metastable_share: Option<f64>,
    /// Recovery time over the seeds that recovered.
    pub recovery_s: Option<Recovery>,
    /// First visible onset, seconds after the trigger's start, mean over the seeds that had one.
    pub onset_s: Option<f64>,
    /// What levers are judged by.
    pub cost_j: Cost,
    /// good / arrivals, by due time.
    pub good_share_by_window: ByWindow,
    /// Good answers by completion time, per second.
    pub goodput_per_s: ByWindow,
    /// Attempts arriving at a service / arrivals.
    pub amplification: IndexMap<String, ByWindow>,
    /// Share of a service's busy time spent for callers who had given up.
    pub wasted_work: IndexMap<String, Option<f64>>,
    /// All arrivals of the harm window, from the due time; all seeds together.
    pub latency_ms: Latency,
}

/// How long recovery took, from the later of the trigger's end and the pull.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Recovery {
    /// Seeds that recovered.
    pub recovered: u64,
    /// Seeds.
    pub n: u64,
    /// Median of those that recovered.
    pub p50: Option<f64>,
    /// Smallest.
    pub min: Option<f64>,
    /// Largest.
    pub max: Option<f64>,
    /// 95 % interval of the mean.
    pub low: Option<f64>,
    /// 95 % interval of the mean.
    pub high: Option<f64>,
}

/// The quantity that levers are judged by.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cost {
    /// `harm_share`, or what the scenario declares.
    pub name: String,
    /// Mean over seeds.
    pub value: f64,
}

/// Percentiles of latency in milliseconds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Latency {
    /// Median.
    pub p50: f64,
    /// 90th percentile.
    pub p90: f64,
    /// 99th percentile.
    pub p99: f64,
    /// 99.9th percentile.
    pub p999: f64,
    /// Arrivals never answered, counted at their deadline or the run's end.
    pub censored: u64,
}

/// What a lever was worth.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Verdict {
    /// `prevents`, `ends`, `worsens`, `delays`, `eases`, `masks`, `no effect`, `undecided` or `not tested`.
    pub is: String,
    /// Counting degraded answers as good would change the verdict.
    pub by_degrading: bool,
    /// Share of seeds whose own outcome agrees with the arm's state.
    pub share_of_seeds: Option<f64>,
    /// mean J of the treatment / mean J of the control - 1, with its 95 % interval.
    pub harm_vs_control: Option<Interval>,
    /// `yes`, `and more`, `no`; none where the lesson says nothing.
    pub agrees_with_lesson: Option<String>,
    /// Stocks and flows that the lever made worse by 10 % or more, in words.
    pub side_effects: Vec<String>,
    /// Seconds from the pull to the first visible effect (a quarter of the control's gap in good share closed).
    pub first_effect_s: Option<f64>,
}

/// What a stock took in and let out over a run of the control, means per seed. Everything is empty at the
/// start, and `entered - left = level` held at the end of every second of every arm and seed, or the arm is not
/// valid.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StockAccount {
    /// `service.stock`.
    pub stock: String,
    /// Entered over the run.
    pub entered: f64,
    /// Left over the run.
    pub left: f64,
    /// Inside when the last user was due.
    pub level: f64,
    /// The most that was inside at a second's end, in the mean of the seeds.
    pub highest: f64,
    /// Its limit, where it has one.
    pub limit: Option<f64>,
}

/// An estimate with its 95 % interval.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Interval {
    /// `ratio`, `s`, `share`, ...
    pub unit: String,
    /// Point estimate.
    pub mean: f64,
    /// Lower bound.
    pub low: f64,
    /// Upper bound.
    pub high: f64,
    /// Seeds.
    pub n: u64,
    /// How it was computed.
    pub method: String,
}

/// One claim of the scenario.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Claim {
    /// The sentence.
    pub claim: String,
    /// The arm it speaks of, as in [`Arm::arm`]; empty when it speaks of several.
    #[serde(default)]
    pub arm: String,
    /// `held`, `broken` or `not tested`.
    pub is: String,
    /// Why it was not tested; empty otherwise.
    pub reason: String,
    /// In words.
    pub expected: String,
    /// In words.
    pub measured: String,
    /// Line of the scenario file.
    pub line: u32,
}

/// Everything a report needs: the result, and what is drawn or quoted beside it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Story {
    /// The result document.
    pub result: RunResult,
    /// The scenario's title.
    pub title: String,
    /// The scenario's story.
    pub story: String,
    /// Arrivals in words, such as `100 arrivals/s`.
    pub load: String,
    /// The SLO latency in seconds.
    pub slo_s: f64,
    /// Every trigger of the timeline.
    pub triggers: Vec<TriggerBand>,
    /// The settings of the control: path to value, in words.
    pub settings: IndexMap<String, String>,
    /// What each lever changes: lever to (path, old, new).
    pub changes: IndexMap<String, Vec<Change>>,
    /// How many seconds a value of the series stands for: its mean.
    pub sample_s: usize,
    /// Per arm (name as in [`Arm::arm`]), drawn over all seeds.
    pub series: IndexMap<String, ArmSeries>,
    /// Causal loops of the scenario.
    pub loops: Vec<CausalLoop>,
    /// The command that reproduces the run.
    pub again: String,
    /// Versions and host, for the foot of the page; never part of the result.
    pub machine: Machine,
}

/// A trigger as drawn.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TriggerBand {
    /// Its name in the file.
    pub name: String,
    /// What it does, in words.
    pub does: String,
    /// Start, seconds.
    pub from_s: f64,
    /// End, seconds; none if it does not end.
    pub to_s: Option<f64>,
}

/// One changed setting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// `service.policy.field`.
    pub path: String,
    /// In words; `-` where there was none.
    pub old: String,
    /// In words.
    pub new: String,
}

/// Mean over seeds and the range of the middle 90 % of seeds, one value per second of the run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Band {
    /// Mean over seeds.
    pub mean: Vec<f64>,
    /// 5th percentile of the seeds.
    pub low: Vec<f64>,
    /// 95th percentile of the seeds.
    pub high: Vec<f64>,
}

/// One arm's run, second by second: index `i` is the second from `i` to `i + 1`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ArmSeries {
    /// Arrivals due in the second.
    pub arrivals_per_s: Band,
    /// Good answers, by the arrival's due second.
    pub good_per_s: Band,
    /// Degraded answers, by due second.
    pub degraded_per_s: Band,
    /// Good answers by completion second.
    pub goodput_per_s: Band,
    /// Attempts by the client per arrival of the second.
    pub attempts_per_arrival: Band,
    /// Median latency of the arrivals due in the second, ms, all seeds together.
    pub latency_p50_ms: Vec<Option<f64>>,
    /// 99th percentile, ms.
    pub latency_p99_ms: Vec<Option<f64>>,
    /// Per service.
    pub services: IndexMap<String, ServiceSeries>,
}

/// One service of one arm, second by second, means over seeds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ServiceSeries {
    /// Stock name to its level at the second's end and its flows over the second.
    pub stocks: IndexMap<String, StockSeries>,
    /// Flow name (per second) to its values; names of the metric catalogue.
    pub flows: IndexMap<String, Vec<f64>>,
    /// Breaker state at the second's end, share of seeds (0 to 1) in which it was open or half-open; empty without one.
    pub breaker_open: Vec<f64>,
    /// Replicas at the second's end.
    pub replicas: Vec<f64>,
}

/// A stock second by second.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct StockSeries {
    /// Level at the second's end.
    pub level: Vec<f64>,
    /// Entered during the second.
    pub inflow: Vec<f64>,
    /// Left during the second.
    pub outflow: Vec<f64>,
    /// Its limit, where it has one.
    pub limit: Option<f64>,
}

/// A causal loop as the scenario names it, with what the run showed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CausalLoop {
    /// Such as `R1`.
    pub name: String,
    /// In words.
    pub title: String,
    /// Reinforcing (even number of minus links) or balancing.
    pub reinforcing: bool,
    /// Variables in order; link `i` leads from variable `i` to `i + 1`, the last one back to the first.
    pub links: Vec<LoopLink>,
    /// Measured gain of the loop, once round, in the control after the trigger has gone (or in the middle of
    /// a run without one).
    pub gain: Option<f64>,
    /// How the gain was measured; why it was not, if there are reasons against it.
    pub gain_how: String,
    /// What a few more users set going, by phase of the run. Empty if it was not measured.
    #[serde(default)]
    pub phases: Vec<LoopPhase>,
    /// What is wrong with the loop, in words: links that contradict the drawing, nothing that balances it.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// A loop in one phase of the run: the difference between the control and its twin with a few more users.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LoopPhase {
    /// `before`, `onset`, `after` or `steady`.
    pub phase: String,
    /// The same in words.
    pub when: String,
    /// From the first extra user until the end of the watch, seconds since the start of the run.
    pub watched_s: [f64; 2],
    /// How many users were added.
    pub users: u32,
    /// Within how many seconds.
    pub within_s: f64,
    /// To the first variable, all turns together, per unit put in: 0 is nothing, -1 that it was taken away.
    pub comes_back: Option<Interval>,
    /// The share that comes back in one turn: comes_back / (1 + comes_back).
    pub gain: Option<Interval>,
    /// Seconds from the first extra user until half of it is back; none where nothing was shown to come back.
    pub half_back_s: Option<f64>,
    /// It was over before the end of the watch.
    pub over: bool,
    /// The variables, in the order of the links.
    pub variables: Vec<LoopVariable>,
    /// The signs of the links, as measured; none where none was shown.
    pub signs: Vec<Option<char>>,
}

/// What a few more users did to a variable.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LoopVariable {
    /// Its name in the loop.
    pub name: String,
    /// What it is measured by.
    pub source: String,
    /// Difference per extra user, over the watch. The unit is empty for a number of things, `item s` for a
    /// level, `s` for a mean time.
    pub per_user: Option<Interval>,
}

/// One link of a loop.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LoopLink {
    /// Where it starts.
    pub from: String,
    /// Where it ends.
    pub to: String,
    /// The sign that was drawn: `+` or `-`.
    pub sign: char,
    /// The sign that was measured; none where it was not.
    pub measured: Option<char>,
}

/// Where and by what a run was made. `machine.json`; differs between machines by design.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Machine {
    /// The rig's version.
    pub pumphandle: String,
    /// Operating system and architecture.
    pub host: String,
    /// Logical processors.
    pub cpus: u64,
    /// Wall time of the run, seconds.
    pub wall_s: f64,
    /// Attempts simulated or sent, all arms and seeds.
    pub attempts: u64,
    /// Simulated or real seconds, all arms and seeds.
    pub arm_seconds: f64,
}
