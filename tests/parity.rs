//! The two clocks beside each other: `retry-storm`, shortened, with every lever, over TCP in real time and in
//! memory in virtual time, under one seed. First a control against an identical control, which must show no
//! effect; then every lever must come to the same verdict on both clocks, with outcomes within stated bands.
//!
//! Exit codes: 0 the clocks agree · 1 they do not · 3 the machine was too busy to tell, three times.
//! `--standing` also compares levers in place from the start. It takes real minutes, so it is no unit test.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use pumphandle_experiment::claims::Window;
use pumphandle_experiment::document::Style;
use pumphandle_experiment::outcome::{Judged, SeedOutcome, Timeline, judge};
use pumphandle_experiment::plan::{self, ArmPlan};
use pumphandle_experiment::run::real_clock::run_side_by_side;
use pumphandle_experiment::run::virtual_clock::{Job, run_one};
use pumphandle_experiment::scenario::{Mode, Scenario, overrides, read};
use pumphandle_experiment::validity;

/// Treatments side by side with one control. More would make the arms crowd each other out.
const SIDE_BY_SIDE: usize = 7;
/// How often a machine that was too busy is tried again.
const TRIES: usize = 3;
const SEED: u64 = 1;

/// The shortened storm: a quarter of a minute of trigger, half a minute of storm, a minute to recover.
const SHORTENED: [&str; 4] =
    ["duration=130s", "pull=60s", "timeline.slow-queries.from=15s", "timeline.slow-queries.for=15s"];

/// A quantity by name, how far apart the clocks may be in it, and how it is read from an outcome.
type Band = (&'static str, f64, fn(&SeedOutcome, Mode) -> f64);

/// How far apart the clocks may be. Real time adds the kernel, hyper, a timer grid of 1 ms and the machine's
/// other work; the draws and arrivals are the same.
const BANDS: [Band; 5] = [
    ("good share before the trigger", 0.02, |seed, _| seed.good_share[&Window::Before]),
    ("harm share", 0.05, |seed, mode| of_mode(seed, mode).harm_share),
    ("good share of the last minute", 0.05, |seed, mode| of_mode(seed, mode).last_minute),
    ("attempts per arrival, last minute", 0.25, |seed, _| {
        seed.services[1][&Window::LastMinute].amplification.unwrap_or(0.0)
    }),
    ("database answers per second / 100, last minute", 0.20, |seed, _| {
        seed.services[2][&Window::LastMinute].completed_per_s / 100.0
    }),
];

fn of_mode(seed: &SeedOutcome, mode: Mode) -> &Judged {
    match mode {
        Mode::Pulled => &seed.pulled,
        Mode::Standing => &seed.standing,
    }
}

fn main() -> ExitCode {
    let text = include_str!("../scenarios/retry-storm.yaml");
    let mut scenario = read::read("scenarios/retry-storm.yaml", text, Style::Plain)
        .unwrap_or_else(|error| panic!("the shipped scenario can run: {error}"))
        .scenario;
    for change in SHORTENED {
        overrides::apply(&mut scenario, change).expect("the shortened storm is a scenario");
    }
    let standing = std::env::args().any(|argument| argument == "--standing");
    // Two sockets per call and hop; the usual limit of 1024 open files is soon reached.
    let _ = rlimit::increase_nofile_limit(1 << 16);
    let mut again = plan::control(&scenario);
    again.name = "control again".to_owned();
    let mut treatments = vec![again];
    for mode in [Mode::Pulled, Mode::Standing] {
        let levers = scenario.levers.iter().filter(|(_, lever)| lever.modes.contains(&mode));
        treatments.extend(
            levers
                .filter(|_| mode == Mode::Pulled || standing)
                .map(|(name, _)| plan::treatment(&scenario, name, mode).expect("a checked lever")),
        );
    }
    let mut differences = 0;
    for batch in treatments.chunks(SIDE_BY_SIDE) {
        match compare_batch(&scenario, batch) {
            Some(found) => differences += found,
            None => {
                println!("NOT TESTED: the machine was too busy, {TRIES} times");
                return ExitCode::from(3);
            }
        }
    }
    println!("{} arms on both clocks, {differences} differences", treatments.len() + 1);
    ExitCode::from(u8::from(differences > 0))
}

/// Runs a control and some treatments on both clocks; returns how many of them differ. `None`: too busy.
fn compare_batch(scenario: &Scenario, treatments: &[ArmPlan]) -> Option<usize> {
    let timeline = Timeline::of(scenario);
    let arms: Vec<ArmPlan> =
        std::iter::once(plan::control(scenario)).chain(treatments.iter().cloned()).collect();
    let real = (1..=TRIES).find_map(|attempt| measure_in_real_time(scenario, &timeline, &arms, attempt))?;
    let virtually: Vec<SeedOutcome> = arms
        .iter()
        .map(|arm| {
            let job = Job { arm, seed: SEED, keep_events: false };
            judge(&timeline, &run_one(scenario, &job).expect("a simulation does not stall"))
        })
        .collect();
    let mut differences = 0;
    for (i, arm) in arms.iter().enumerate() {
        let mode = arm.mode.unwrap_or(Mode::Pulled);
        let verdicts =
            [&virtually, &real].map(|clock| verdict(of_mode(&clock[0], mode), of_mode(&clock[i], mode)));
        let mut apart: Vec<String> = BANDS
            .iter()
            .filter_map(|(name, band, value)| {
                let (a, b) = (value(&virtually[i], mode), value(&real[i], mode));
                ((a - b).abs() > *band).then(|| format!("{name}: virtual {a:.3}, real {b:.3}, band {band}"))
            })
            .collect();
        if verdicts[0] != verdicts[1] {
            apart.push(format!("verdict: virtual {}, real {}", verdicts[0], verdicts[1]));
        }
        if arm.name == "control again" && verdicts[1] != "no effect" {
            apart.push(format!("two identical controls: {}", verdicts[1]));
        }
        differences += usize::from(!apart.is_empty());
        let harm = [&virtually, &real].map(|clock| of_mode(&clock[i], mode).harm_share * 100.0);
        println!(
            "{} {:<28} {:<10} harm {:>5.1} % virtual, {:>5.1} % real{}",
            if apart.is_empty() { "ok " } else { "(!)" },
            arm.name,
            verdicts[1],
            harm[0],
            harm[1],
            apart.iter().map(|what| format!("\n      {what}")).collect::<String>(),
        );
    }
    Some(differences)
}

fn measure_in_real_time(
    scenario: &Scenario,
    timeline: &Timeline,
    arms: &[ArmPlan],
    attempt: usize,
) -> Option<Vec<SeedOutcome>> {
    println!("{} arms side by side, {} s of real time", arms.len(), timeline.end);
    let stop = Arc::new(AtomicBool::new(false));
    let (runs, health) =
        run_side_by_side(scenario, arms, SEED, &stop, &|_, _| (), None).expect("the system gives threads");
    let mut reasons = health.reasons();
    reasons.extend(validity::of_control(scenario, timeline, &runs[0]));
    reasons.extend(runs.iter().flat_map(validity::of_arm));
    if reasons.is_empty() {
        let lag = health.lag_p99_ms.iter().copied().fold(0.0, f64::max);
        println!("idle timer {:.2} ms late (p99), arms at most {lag:.2} ms", health.probe_p99_ms);
        return Some(runs.iter().map(|run| judge(timeline, run)).collect());
    }
    println!("attempt {attempt} of {TRIES} cannot be believed:");
    reasons.iter().for_each(|reason| println!("    {reason}"));
    None
}

/// What one seed says of a lever, by the rules for many seeds without their intervals.
fn verdict(control: &Judged, treatment: &Judged) -> &'static str {
    let cost = treatment.harm_share / control.harm_share - 1.0;
    if treatment.recovered && !control.recovered {
        "ends"
    } else if cost >= 0.10 {
        "worsens"
    } else if cost <= -0.10 {
        "eases"
    } else {
        "no effect"
    }
}
