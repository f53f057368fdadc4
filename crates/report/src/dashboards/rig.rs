//! Rig health: whether the rig that measured can be believed. The credibility page.

use pumphandle_core::catalogue::{RunMetric, Source};
use serde_json::json;

use super::board::Board;
use super::panel::Panel;
use super::query::{Arms, gauge, ratio, run};

/// Users are begun late beyond this, and an idle timer may not be later (99th percentile): `real_clock.rs`.
const LATE_S: f64 = 0.005;
/// The share of the processors above which a run in real time says nothing: `real_clock.rs`.
const BUSY: f64 = 0.70;

/// What stands where a recording has nothing to draw.
const NOT_RECORDED: &str =
    "only of live runs: a recording has nothing of the machine (real time: see its result.json)";

const HEAD: &str = "\
**You see** what the rig says of itself: whether users were sent when they were due, whether both arms had the same users, \
whether the machine had room. Dashed lines are the rig's own limits. It judges lag and timer by their 99th percentile, and \
here is the worst of each second: a few points above are no reason for doubt, a line that stays above is. A run that the rig \
doubts is *not tested*, whatever its pictures show.\n\n\
**Look for** lines below the dashed ones, and for zero troubles. Of a **recorded** run only identity, users and services \
are here, and the other panels say so: in virtual time nothing can be late, and what was wrong with a run in real time \
stands in its `result.json` as reasons.";

/// See the module.
pub(super) fn board() -> Board {
    let about = "Generator lag, missed sends, processor, idle timer, troubles: is this run to be believed?";
    Board::new("rig", "Pumphandle 5: rig health", about)
        .with(vec![
            Panel::text("How to read this", "What you see here, and what to look for.", HEAD).size(24, 6),
            identity(),
        ])
        .section("At the end of the screen", vec![worst_lag(), worst_timer(), worst_cpu(), troubles_so_far()])
        .section("Was the load what it should be?", vec![lag(), late_sends(), same_users(), reporting()])
        .section("Had the machine room?", vec![timer(), cpu(), troubles()])
}

fn identity() -> Panel {
    let info = run(RunMetric::RunInfo).known(&["run", "scenario", "clock", "seed"]);
    let about =
        "Which scenario, clock and seed. With these three a run in virtual time can be repeated to the byte.";
    Panel::table("What is running", "string", about)
        .at_end("info", &info, "")
        .then(
            "organize",
            json!({
                "excludeByName": { "Time": true, "Value": true },
                "indexByName": { "run": 0, "scenario": 1, "clock": 2, "seed": 3 },
                "renameByName": { "run": "Run", "scenario": "Scenario", "clock": "Clock", "seed": "First seed" },
            }),
        )
        .when_empty("no run in this time range")
        .size(24, 4)
}

fn thresholds(panel: Panel, limit: f64) -> Panel {
    let steps = json!([
        { "color": "#0072B2", "value": null },
        { "color": "#D55E00", "value": limit },
    ]);
    panel
        .default("thresholds", json!({ "mode": "absolute", "steps": steps }))
        .default("color", json!({ "mode": "thresholds" }))
        .when_empty(NOT_RECORDED)
}

fn worst_lag() -> Panel {
    let about = "The latest that any user was begun, of all that is on the screen, by arm. From 5 ms on (orange) the \
                 generator was late itself.";
    let lag = run(RunMetric::RigLag).of(Arms::Both).highest(&["arm"]);
    thresholds(Panel::stat("Worst lag", "s", about).at_end("lag", &lag, "{{arm}}"), LATE_S)
}

fn worst_timer() -> Panel {
    let about = "The latest that a timer was, on the screen, which had nothing to do but be on time. Orange: later than 5 ms \
                 at least once. In more than 1 % of its looks, and the run is not tested.";
    let late = run(RunMetric::RigIdleTimerLate).highest(&[]);
    thresholds(Panel::stat("Worst idle timer", "s", about).at_end("timer", &late, "idle timer"), LATE_S)
}

fn worst_cpu() -> Panel {
    let about = "Mean share of all processors that was used on the screen, by anybody. From 70 % on (orange) arms fight \
                 for them, and the difference between arms is no longer the lever's.";
    let cpu = run(RunMetric::RigCpu).mean(&[]);
    thresholds(Panel::stat("Processors, mean", "percentunit", about).at_end("cpu", &cpu, "processors"), BUSY)
}

fn troubles_so_far() -> Panel {
    let about = "Services that died, did not answer, or refused, on the screen, by arm. One (orange) is enough: the run is \
                 not tested.";
    let troubles = run(RunMetric::RigTroubles).of(Arms::Both).grown(&["arm"]);
    thresholds(Panel::stat("Troubles", "none", about).at_end("troubles", &troubles, "{{arm}}"), 1.0)
        .default("decimals", json!(0))
}

fn lag() -> Panel {
    let about = "How late users were begun: the worst of each second. Both arms should be alike: where one is later than \
                 the other by 2 ms (99th percentile), they are no twins.";
    Panel::lines("Generator lag", "s", about)
        .twin("{{arm}}", |arms| run(RunMetric::RigLag).of(arms).max(&["arm"]))
        .limit(LATE_S)
        .when_empty(NOT_RECORDED)
}

fn late_sends() -> Panel {
    let about = "Share of users that were begun more than 5 ms after they were due. Nobody is left out of any count for \
                 being late: it is counted from when the user was due.";
    Panel::lines("Late sends", "percentunit", about)
        .twin("{{arm}}", |arms| {
            let due = run(RunMetric::UsersDue).of(arms).per_second(&["arm"]);
            ratio(&run(RunMetric::RigLateSends).of(arms).per_second(&["arm"]), &due)
        })
        .when_empty(NOT_RECORDED)
}

fn same_users() -> Panel {
    let about = "Users due per second in the treatment, less those in the control. Twins have the same users at the same \
                 instants: the line is zero. Live it may tremble by what came between two scrapes.";
    let control = run(RunMetric::UsersDue).of(Arms::Control).per_second(&[]);
    let due = run(RunMetric::UsersDue).of(Arms::Treatment).per_second(&["arm"]);
    Panel::lines("Same users? Treatment less control", "reqps", about)
        .query("treatment", &format!("{due} - on () group_left () {control}"), "{{arm}}")
        .below_zero_too()
        .custom("axisCenteredZero", json!(true))
        .when_empty("no treatment in this run")
}

fn reporting() -> Panel {
    let about = "How many services report, by arm. A line that drops is a service that was not heard.";
    Panel::lines("Services that report", "none", about).twin("{{arm}}", |arms| {
        let replicas = gauge(Source::Replicas).of(arms).max(&["arm", "service"]);
        format!("count by (arm) ({replicas})")
    })
}

fn timer() -> Panel {
    let about = "How late an idle timer was: the worst of each second. It has nothing to do with the incident: what it \
                 shows is the machine.";
    Panel::lines("Idle timer", "s", about)
        .query("timer", &run(RunMetric::RigIdleTimerLate).max(&[]), "idle timer")
        .limit(LATE_S)
        .size(8, 8)
        .when_empty(NOT_RECORDED)
}

fn cpu() -> Panel {
    let about = "Share of all processors of the runner's machine that was used, by anybody.";
    Panel::lines("Processors", "percentunit", about)
        .query("cpu", &run(RunMetric::RigCpu).max(&[]), "processors")
        .default("max", json!(1))
        .limit(BUSY)
        .size(8, 8)
        .when_empty(NOT_RECORDED)
}

fn troubles() -> Panel {
    let about = "What went wrong with services, per second. What it was stands in the report of the run.";
    Panel::lines("Troubles", "ops", about)
        .twin("{{arm}}", |arms| run(RunMetric::RigTroubles).of(arms).per_second(&["arm"]))
        .size(8, 8)
        .when_empty(NOT_RECORDED)
}
