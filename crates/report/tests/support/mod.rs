//! A made-up but consistent `Story` for tests and the example: a retry storm as a small fluid model, second by
//! second. For looking at reports only; it is not the rig, and no number of it is a measurement.
#![allow(dead_code, unreachable_pub)]

use indexmap::IndexMap;
use pumphandle_experiment::result::*;

const SECONDS: usize = 300;
const TRIGGER: [f64; 2] = [60.0, 90.0];
const PULL: f64 = 180.0;
const SEEDS: u64 = 5;

/// What the model lets a lever change.
#[derive(Clone, Copy)]
struct Settings {
    attempts: f64,
    timeout_s: f64,
    queue: f64,
    capacity: f64,
    breaker: bool,
}

const CONTROL: Settings =
    Settings { attempts: 4.0, timeout_s: 1.0, queue: 1000.0, capacity: 252.0, breaker: false };

struct LeverSpec {
    name: &'static str,
    title: &'static str,
    level: u8,
    ours: bool,
    lesson: Option<&'static str>,
    change: (&'static str, &'static str, &'static str),
    settings: Settings,
}

fn levers() -> Vec<LeverSpec> {
    let lever = |name, title, level, lesson: Option<&'static str>, change, settings| LeverSpec {
        name,
        title,
        level,
        ours: lesson.is_none(),
        lesson,
        change,
        settings,
    };
    vec![
        lever(
            "longer-timeout",
            "Attempts may take 2 s",
            12,
            Some("masks"),
            ("client.attempt_timeout", "1 s", "2 s"),
            Settings { timeout_s: 2.0, ..CONTROL },
        ),
        lever(
            "larger-pool",
            "100 pooled connections",
            11,
            Some("delays"),
            ("api.pool.size", "50", "100"),
            Settings { capacity: 215.0, ..CONTROL },
        ),
        lever(
            "smaller-queue",
            "A buffer made smaller",
            11,
            None,
            ("api.queue.size", "1000", "50"),
            Settings { queue: 50.0, ..CONTROL },
        ),
        lever(
            "circuit-breaker",
            "The client stops calling for a while",
            7,
            Some("ends"),
            ("client.breaker.enabled", "false", "true"),
            Settings { breaker: true, ..CONTROL },
        ),
        lever(
            "disable-retries",
            "One attempt only",
            7,
            Some("ends"),
            ("client.retry.enabled", "true", "false"),
            Settings { attempts: 1.0, ..CONTROL },
        ),
        lever(
            "propagate-deadlines",
            "The api learns that its caller has left",
            6,
            None,
            ("api.cancel_on_disconnect", "false", "true"),
            Settings { attempts: 2.2, ..CONTROL },
        ),
    ]
}

/// A number in -1 to 1 that depends on nothing but its arguments (splitmix64).
fn noise(stream: u64, at: usize) -> f64 {
    let mut z = (stream << 32 ^ at as u64).wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
}

fn band(mean: Vec<f64>, spread: f64) -> Band {
    let at = |sign: f64| mean.iter().map(|m| (m + sign * spread * m.max(0.0).sqrt()).max(0.0)).collect();
    Band { low: at(-1.0), high: at(1.0), mean }
}

/// One arm: a queue whose answers come too late once it is long, so that every arrival is attempted again.
fn simulate(before: Settings, after: Settings, from: f64, stream: u64) -> ArmSeries {
    let (mut queue, mut backing, mut open) = (0.0_f64, 0.0_f64, 0.0_f64);
    let names = ["arrivals", "good", "attempts", "working", "waiting", "active", "db", "backing", "open"];
    let mut v: IndexMap<&str, Vec<f64>> = names.iter().map(|n| (*n, Vec::new())).collect();
    let (mut p50, mut p99) = (Vec::new(), Vec::new());
    let mut stocks: IndexMap<&str, StockSeries> = IndexMap::new();
    for second in 0..SECONDS {
        let set = if second as f64 >= from { after } else { before };
        let slow = (60..90).contains(&second);
        let capacity = if slow { set.capacity / 10.0 } else { set.capacity };
        let arrivals = 100.0 + 6.0 * noise(stream, second);
        let wait = queue / capacity + if slow { 1.0 } else { 0.1 };
        let late = ((wait - 0.6 * set.timeout_s) / (0.4 * set.timeout_s)).clamp(0.0, 1.0);
        let attempts = 1.0 + (set.attempts - 1.0) * late;
        let blocked = if set.breaker && late > 0.9 { 0.92 } else { 0.0 };
        let offered = arrivals * attempts * (1.0 - blocked);
        let entered = offered.min(set.queue - queue + capacity).max(0.0);
        let left = (queue + entered).min(capacity);
        let next = (queue + entered - left).clamp(0.0, set.queue);
        let good = (arrivals * (1.0 - late) * (entered / offered.max(1.0))).min(left);
        let busy = (left / capacity * 50.0).min(50.0);
        let mut stock = |name, level: f64, inflow: f64, outflow: f64, limit| {
            let s = stocks.entry(name).or_insert_with(|| StockSeries { limit, ..Default::default() });
            s.level.push(level);
            s.inflow.push(inflow);
            s.outflow.push(outflow);
        };
        stock("queue", next, entered, entered - (next - queue), Some(set.queue));
        stock("working", busy, left, left, Some(50.0));
        stock("pool_waiting", 0.0, left, left, None);
        stock("pool_active", busy * 0.96, left, left, Some(50.0));
        let retrying = (attempts - 1.0) * arrivals * 0.05;
        stock(
            "backing_off",
            retrying,
            (attempts - 1.0) * arrivals,
            (attempts - 1.0) * arrivals + backing - retrying,
            None,
        );
        (queue, backing) = (next, retrying);
        open = if blocked > 0.0 { 1.0 } else { open * 0.4 };
        for (name, value) in [
            ("arrivals", arrivals),
            ("good", good),
            ("attempts", attempts),
            ("db", busy * 0.96),
            ("open", if open < 0.01 { 0.0 } else { open }),
            ("active", left),
        ] {
            v[name].push(value);
        }
        p50.push(Some((1000.0 * wait * (1.0 + 0.1 * noise(stream + 1, second))).min(12_000.0)));
        p99.push(Some((2900.0 * wait * (1.0 + 0.2 * noise(stream + 2, second))).min(14_000.0)));
    }
    let mut take = |name: &str| v.swap_remove(name).expect("the model fills it");
    let (arrivals, good, attempts, db, open, left) =
        (take("arrivals"), take("good"), take("attempts"), take("db"), take("open"), take("active"));
    let client = ServiceSeries {
        stocks: IndexMap::from([(
            "backing_off".into(),
            stocks.swap_remove("backing_off").expect("the model fills it"),
        )]),
        flows: IndexMap::from([("attempts".into(), attempts.iter().map(|a| a * 100.0).collect())]),
        breaker_open: if after.breaker { open } else { Vec::new() },
        replicas: vec![1.0; SECONDS],
    };
    let of = |names: [&str; 4]| names.map(|n| (n.to_string(), stocks[n].clone())).into_iter().collect();
    let api = ServiceSeries {
        stocks: of(["queue", "working", "pool_waiting", "pool_active"]),
        flows: IndexMap::from([("answered".into(), left.clone())]),
        breaker_open: Vec::new(),
        replicas: vec![1.0; SECONDS],
    };
    let working = StockSeries { level: db, inflow: left.clone(), outflow: left.clone(), limit: None };
    let db = ServiceSeries {
        stocks: IndexMap::from([("working".into(), working)]),
        flows: IndexMap::from([("answered".into(), left)]),
        breaker_open: Vec::new(),
        replicas: vec![1.0; SECONDS],
    };
    ArmSeries {
        arrivals_per_s: band(arrivals, 1.0),
        good_per_s: band(good.clone(), 0.8),
        degraded_per_s: band(vec![0.0; SECONDS], 0.0),
        goodput_per_s: band(good, 0.8),
        attempts_per_arrival: band(attempts, 0.05),
        latency_p50_ms: p50,
        latency_p99_ms: p99,
        services: IndexMap::from([("client".into(), client), ("api".into(), api), ("db".into(), db)]),
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn windows(values: &[f64]) -> ByWindow {
    ByWindow {
        before: Some(mean(&values[..60])),
        during: Some(mean(&values[60..90])),
        after: Some(mean(&values[90..])),
        last_minute: Some(mean(&values[240..])),
    }
}

/// The first of the seconds from which all are good, after the later of trigger end and pull.
fn recovery(series: &ArmSeries, from: f64) -> Option<f64> {
    let good = &series.good_per_s.mean;
    let share: Vec<f64> = good.iter().zip(&series.arrivals_per_s.mean).map(|(g, a)| g / a).collect();
    let last_bad = share.iter().rposition(|s| *s < 0.95).map_or(0, |at| at + 1);
    (last_bad < SECONDS - 30).then(|| (last_bad as f64 - from).max(0.0))
}

fn outcome(series: &ArmSeries, window: f64) -> Outcome {
    let (good, arrivals) = (&series.good_per_s.mean, &series.arrivals_per_s.mean);
    let all: f64 = arrivals.iter().sum();
    let from = window as usize;
    let due: f64 = arrivals[from..].iter().sum();
    let harm = due - good[from..].iter().sum::<f64>();
    let recovered = recovery(series, window.max(TRIGGER[1]));
    let recovery_s = Recovery {
        recovered: if recovered.is_some() { SEEDS } else { 0 },
        n: SEEDS,
        p50: recovered,
        min: recovered.map(|r| (r - 3.0).max(0.0)),
        max: recovered.map(|r| r + 4.0),
        low: recovered.map(|r| (r - 2.0).max(0.0)),
        high: recovered.map(|r| r + 3.0),
    };
    Outcome {
        arrivals: all,
        good: good.iter().sum(),
        degraded: 0.0,
        good_share: good.iter().sum::<f64>() / all,
        harm,
        harm_share: harm / due,
        visible_error_share: harm / due,
        recovered_share: Some(f64::from(u8::from(recovered.is_some()))),
        metastable_share: Some(f64::from(u8::from(recovered.is_none()))),
        recovery_s: Some(recovery_s),
        onset_s: Some(4.0),
        cost_j: Cost { name: "harm_share".into(), value: harm / due },
        good_share_by_window: windows(&good.iter().map(|g| g / 100.0).collect::<Vec<_>>()),
        goodput_per_s: windows(good),
        amplification: IndexMap::from([("api".into(), windows(&series.attempts_per_arrival.mean))]),
        wasted_work: IndexMap::from([
            ("api".into(), Some(0.93)),
            ("db".into(), Some(0.93)),
            ("client".into(), None),
        ]),
        latency_ms: Latency { p50: 4000.0, p90: 9000.0, p99: 12_000.0, p999: 14_000.0, censored: 12 },
    }
}

fn interval(ratio: f64) -> Interval {
    let half = 0.004 + 0.02 * ratio.abs().min(1.0);
    let method = "paired t over seeds, Fieller".into();
    Interval {
        unit: "ratio".into(),
        mean: ratio,
        low: (ratio - half).max(-1.0),
        high: ratio + half,
        n: SEEDS,
        method,
    }
}

/// A verdict by the broad lines of the rules, enough to look right.
fn verdict(lever: &LeverSpec, standing: bool, outcome: &Outcome, control: f64) -> Verdict {
    let ratio = outcome.harm_share / control - 1.0;
    let recovered = outcome.recovered_share == Some(1.0);
    let is = match ratio {
        _ if standing && recovered && ratio < -0.8 => "prevents",
        _ if recovered => "ends",
        r if r <= -0.1 => "eases",
        r if r >= 0.1 => "worsens",
        _ => "no effect",
    };
    let agrees = lever.lesson.map(|lesson| match (lesson, is) {
        ("ends", "prevents") => "and more",
        (lesson, is) if lesson == is => "yes",
        _ => "no",
    });
    let worse = lever.name == "larger-pool" && !standing;
    Verdict {
        is: is.into(),
        by_degrading: false,
        share_of_seeds: Some(1.0),
        harm_vs_control: Some(interval(ratio)),
        agrees_with_lesson: agrees.map(Into::into),
        side_effects: if worse { vec!["db.working level +18 %".into()] } else { Vec::new() },
        first_effect_s: recovered.then_some(4.0),
    }
}

fn arm(lever: Option<&LeverSpec>, standing: bool, series: &ArmSeries, control: (f64, f64)) -> Arm {
    let window = if standing || lever.is_none() { TRIGGER[0] } else { PULL };
    let outcome = outcome(series, window);
    let cost = if standing { control.1 } else { control.0 };
    let recovers = outcome.recovered_share == Some(1.0);
    let name = lever.map_or("control".to_string(), |l| l.name.to_string());
    Arm {
        arm: if standing { format!("{name}@start") } else { name },
        lever: lever.map(|l| l.name.into()),
        title: lever.map(|l| l.title.into()),
        mode: lever.map(|_| if standing { "standing" } else { "pulled" }.into()),
        level: lever.map(|l| l.level),
        level_is_ours: lever.is_some_and(|l| l.ours),
        lesson: lever.and_then(|l| l.lesson.map(Into::into)),
        evidence: lever.map(|_| "emergent".into()),
        valid: true,
        reasons: Vec::new(),
        state: Some(if recovers { "recovers" } else { "stays down" }.into()),
        verdict: lever.map(|l| verdict(l, standing, &outcome, cost)),
        outcome,
        events: (1..=SEEDS).map(|seed| format!("{:016x}", seed * 0x1234_5678_9abc)).collect(),
    }
}

fn causal_loops() -> Vec<CausalLoop> {
    let links = |vars: &[&str], signs: &str, measured: &str| {
        let (signs, measured): (Vec<char>, Vec<char>) = (signs.chars().collect(), measured.chars().collect());
        let link = |i: usize| LoopLink {
            from: vars[i].into(),
            to: vars[(i + 1) % vars.len()].into(),
            sign: signs[i],
            measured: Some(measured[i]).filter(|c| *c != '?'),
        };
        (0..vars.len()).map(link).collect()
    };
    let variables = ["load on the api", "latency", "timeouts", "retries"];
    vec![
        CausalLoop {
            name: "R1".into(),
            title: "the storm feeds itself".into(),
            reinforcing: true,
            links: links(&variables, "++++", "+?++"),
            gain: Some(0.75),
            gain_how: "by twins".into(),
            phases: vec![
                loop_phase(&variables, "before", "before the trigger", [0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]),
                loop_phase(&variables, "after", "long after it", [3.1, 2.9, 3.3], [4.1, 0.004, 0.1, 3.1]),
            ],
            warnings: vec!["R1 reinforces, and nothing here is said to hold it".into()],
        },
        CausalLoop {
            name: "B3".into(),
            title: "the breaker sheds load".into(),
            reinforcing: false,
            links: links(&["timeouts", "breaker open", "load on the api"], "+-+", "++?"),
            gain: None,
            gain_how: String::new(),
            phases: Vec::new(),
            warnings: Vec::new(),
        },
    ]
}

fn loop_phase(names: &[&str], phase: &str, when: &str, back: [f64; 3], per_user: [f64; 4]) -> LoopPhase {
    let interval = |mean: f64, low: f64, high: f64, unit: &str| Interval {
        unit: unit.into(),
        mean,
        low,
        high,
        n: 5,
        method: "Fieller, paired".into(),
    };
    let variable = |(name, value): (&&str, f64)| LoopVariable {
        name: (*name).into(),
        source: "client.attempts".into(),
        per_user: Some(interval(
            value,
            value - 0.25,
            value + 0.25,
            if *name == "latency" { "s" } else { "" },
        )),
    };
    LoopPhase {
        phase: phase.into(),
        when: when.into(),
        watched_s: [30.0, 60.0],
        users: 100,
        within_s: 5.0,
        comes_back: Some(interval(back[0], back[1], back[2], "per unit put in")),
        gain: None,
        half_back_s: None,
        over: true,
        variables: names.iter().zip(per_user).map(variable).collect(),
        signs: vec![Some('+'), None, Some('+'), Some('+')],
    }
}

fn claims() -> Vec<Claim> {
    let claim = |claim: &str, arm: &str, is: &str, said: [&str; 3], line| Claim {
        claim: claim.into(),
        arm: arm.into(),
        is: is.into(),
        reason: said[0].into(),
        expected: said[1].into(),
        measured: said[2].into(),
        line,
    };
    vec![
        claim("control stays down", "control", "held", ["", "metastable", "metastable in 5 of 5 seeds"], 41),
        claim(
            "retries keep it down",
            "disable-retries",
            "held",
            ["", "recovers within 30 s", "8 s [6, 11]"],
            42,
        ),
        claim(
            "a larger pool delays it",
            "larger-pool",
            "broken",
            ["", "verdict delays", "no effect (harm 0.0 % [-0.4, +0.4], 5 seeds)"],
            43,
        ),
        claim(
            "deadlines prevent it",
            "propagate-deadlines@start",
            "not tested",
            [
                "undecided after 160 seeds: the interval [-12 %, +3 %] is wider than the claim",
                "verdict prevents",
                "",
            ],
            44,
        ),
    ]
}

/// The retry storm with six levers, pulled and standing.
pub fn story() -> Story {
    let control_series = simulate(CONTROL, CONTROL, 0.0, 7);
    let control =
        (outcome(&control_series, PULL).harm_share, outcome(&control_series, TRIGGER[0]).harm_share);
    let mut arms = vec![arm(None, false, &control_series, control)];
    let mut series = IndexMap::from([("control".to_string(), control_series)]);
    let mut changes = IndexMap::new();
    for standing in [false, true] {
        for lever in &levers() {
            let from = if standing { 0.0 } else { PULL };
            let values = simulate(CONTROL, lever.settings, from, 7);
            let arm = arm(Some(lever), standing, &values, control);
            series.insert(arm.arm.clone(), values);
            arms.push(arm);
            let (path, old, new) = lever.change;
            changes.insert(
                lever.name.to_string(),
                vec![Change { path: path.into(), old: old.into(), new: new.into() }],
            );
        }
    }
    let result = RunResult {
        schema: SCHEMA,
        scenario: "retry-storm".into(),
        file: "scenarios/retry-storm.yaml".into(),
        scenario_sha256: "7f3a0c".repeat(10) + "beef",
        overrides: Vec::new(),
        kind: "pulse".into(),
        clock: "virtual".into(),
        seeds: (1..=SEEDS).collect(),
        partial: false,
        valid: true,
        reasons: Vec::new(),
        windows_s: Windows {
            trigger: Some(TRIGGER),
            pull: Some(PULL),
            end: SECONDS as f64,
            bin: 5.0,
            triggers: Vec::new(),
        },
        arms,
        claims: claims(),
        stocks: Vec::new(),
        loops: Vec::new(),
    };
    let settings = [
        ("client.attempt_timeout", "1 s"),
        ("client.retry.enabled", "true"),
        ("client.retry.attempts", "4"),
        ("client.retry.backoff", "up to 100 ms, full jitter"),
        ("client.breaker.enabled", "false"),
        ("api.workers", "50"),
        ("api.queue.size", "1000"),
        ("api.queue.order", "first in, first out"),
        ("api.cancel_on_disconnect", "false"),
        ("api.pool.size", "50"),
        ("db.service_time", "exponential, 100 ms"),
        ("db.contention.alpha", "0.02"),
    ];
    Story {
        result,
        title: "The checkout outage".into(),
        story: "At 16:23 checkout slows down for half a minute. The database recovers. Checkout does not."
            .into(),
        load: "100 arrivals/s".into(),
        slo_s: 3.0,
        sample_s: 1,
        triggers: vec![TriggerBand {
            name: "slow-queries".into(),
            does: "queries of db take 10 times as long".into(),
            from_s: TRIGGER[0],
            to_s: Some(TRIGGER[1]),
        }],
        settings: settings.iter().map(|(k, v)| ((*k).to_string(), (*v).to_string())).collect(),
        changes,
        series,
        loops: causal_loops(),
        again: "pumphandle run retry-storm --all --seeds 5 --seed 1".into(),
        machine: Machine {
            pumphandle: "0.1.0".into(),
            host: "linux x86_64".into(),
            cpus: 2,
            wall_s: 3.4,
            attempts: 2_812_000,
            arm_seconds: 19_500.0,
        },
    }
}
