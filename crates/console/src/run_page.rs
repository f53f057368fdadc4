//! What the runner sees, in Prometheus' text format. By hand, and not by a recorder as the pages of services are:
//! series come and go here (a verdict changes its word, a lever its arm), and a recorder never forgets one.

use std::fmt::Write as _;

use pumphandle_core::catalogue::{LATENCY_BUCKETS, RunMetric};
use pumphandle_experiment::board::{ArmShown, Phase, Settled, Shown};

/// Everything that `shown` holds, families in alphabetical order.
pub(crate) fn render(shown: &Shown) -> String {
    let mut metrics: Vec<RunMetric> = RunMetric::ALL.to_vec();
    metrics.sort_by_key(|metric| metric.name());
    let mut text = String::new();
    for metric in metrics {
        let (name, kind) = (metric.name(), metric.kind().name());
        writeln!(text, "# HELP {name} {}\n# TYPE {name} {kind}", metric.help()).expect("strings grow");
        if metric == RunMetric::UserLatency {
            shown.arms.iter().for_each(|arm| latency(&mut text, name, arm));
            continue;
        }
        for (labels, value) in samples(metric, shown) {
            sample(&mut text, name, metric.labels(), &labels, value);
        }
    }
    text
}

fn samples(metric: RunMetric, shown: &Shown) -> Vec<(Vec<String>, f64)> {
    let by_arm = |value: &dyn Fn(&ArmShown) -> f64| -> Vec<(Vec<String>, f64)> {
        shown.arms.iter().map(|arm| (vec![arm.label.clone()], value(arm))).collect()
    };
    let one = |value: Option<f64>| value.map(|value| (Vec::new(), value)).into_iter().collect();
    let is = |holds: bool| f64::from(u8::from(holds));
    match metric {
        RunMetric::RunInfo => {
            let run = shown.run.iter();
            run.map(|(name, clock, seed)| (vec![name.clone(), (*clock).to_owned(), seed.to_string()], 1.0))
                .collect()
        }
        RunMetric::Phase => {
            let all = Phase::ALL.iter();
            all.map(|phase| (vec![phase.name().to_owned()], is(*phase == shown.phase))).collect()
        }
        RunMetric::TriggerActive => {
            shown.triggers.iter().map(|(trigger, acts)| (vec![trigger.clone()], is(*acts))).collect()
        }
        RunMetric::LeverActive => {
            let levers = shown.levers.iter();
            levers
                .map(|(arm, lever, level, acts)| {
                    (vec![arm.clone(), lever.clone(), level.to_string()], is(*acts))
                })
                .collect()
        }
        RunMetric::UsersDue => by_arm(&|arm| arm.users.due as f64),
        RunMetric::UsersSettled => {
            let of = |arm: &ArmShown, what: Settled| {
                (vec![arm.label.clone(), what.name().to_owned()], arm.users.of(what) as f64)
            };
            shown.arms.iter().flat_map(|arm| Settled::ALL.map(|what| of(arm, what))).collect()
        }
        RunMetric::UsersWaiting => by_arm(&|arm| arm.users.waiting as f64),
        RunMetric::GoodShare => {
            let found = shown.found.good_share.iter();
            found.map(|(arm, window, share)| (vec![arm.clone(), (*window).to_owned()], *share)).collect()
        }
        RunMetric::HarmShare => {
            shown.found.harm_share.iter().map(|(arm, share)| (vec![arm.clone()], *share)).collect()
        }
        RunMetric::Verdict => {
            let verdicts = shown.found.verdicts.iter();
            verdicts
                .map(|(arm, lever, level, is)| {
                    (vec![arm.clone(), lever.clone(), level.to_string(), is.clone()], 1.0)
                })
                .collect()
        }
        RunMetric::RigLag => by_arm(&|arm| arm.lag.as_secs_f64()),
        RunMetric::RigLateSends => by_arm(&|arm| arm.users.late_sends as f64),
        RunMetric::RigIdleTimerLate => one(shown.machine.map(|it| it.idle_timer_late.as_secs_f64())),
        RunMetric::RigCpu => one(shown.machine.and_then(|it| it.cpu)),
        RunMetric::RigTroubles => by_arm(&|arm| arm.troubles as f64),
        // A histogram has lines of its own.
        RunMetric::UserLatency => Vec::new(),
    }
}

fn latency(text: &mut String, name: &str, arm: &ArmShown) {
    let mut below = 0;
    let ends = LATENCY_BUCKETS.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
    for (end, count) in ends.zip(arm.users.buckets) {
        below += count;
        let labels = [arm.label.clone(), end];
        sample(text, &format!("{name}_bucket"), &["arm", "le"], &labels, below as f64);
    }
    let label = [arm.label.clone()];
    sample(text, &format!("{name}_sum"), &["arm"], &label, arm.users.latency_ns as f64 / 1e9);
    sample(text, &format!("{name}_count"), &["arm"], &label, below as f64);
}

fn sample(text: &mut String, name: &str, labels: &[&str], values: &[String], value: f64) {
    let escaped = |value: &String| value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
    let labels: Vec<String> =
        labels.iter().zip(values).map(|(label, value)| format!("{label}=\"{}\"", escaped(value))).collect();
    let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
    writeln!(text, "{name}{labels} {value}").expect("strings grow");
}
