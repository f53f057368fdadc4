//! The incident: what happened to users in control and treatment, on one axis, and what the lever was worth.

use pumphandle_core::catalogue::RunMetric;
use pumphandle_core::meter::{Flow, StockName};
use serde_json::json;

use super::board::{self, Board};
use super::panel::{Panel, fixed, words};
use super::query::{Arms, Series, flow, level, ratio, run};

/// The windows of [`RunMetric::GoodShare`], and what their columns are called.
const WINDOWS: [(&str, &str); 4] =
    [("before", "Before"), ("during", "Trigger"), ("after", "After"), ("last_minute", "Last minute")];

/// What is good enough, as a share: a bin is healthy from here on (decision 0011).
const HEALTHY: f64 = 0.95;

/// Outcomes of users with colours that stay apart for eyes that see no red or no green (Okabe and Ito).
const OUTCOMES: [(&str, &str); 4] =
    [("good", "#009E73"), ("degraded", "#F0E442"), ("late", "#CC79A7"), ("error", "#D55E00")];

const HEAD: &str = "\
**You see** the same users at the same instants in two arms. The **control** (orange, wide) is the incident with nobody \
touching anything; a **treatment** (blue) is the same with a lever. The red region is the trigger, the blue line the \
pull.\n\n\
**Look for** three things. Does orange stay down after the trigger has gone? Then something else keeps it down. Does \
blue come back, and how long after the pull? And what does blue pay for it: degraded answers, fewer users let in?";

/// See the module.
pub(super) fn board() -> Board {
    let about =
        "Control and treatment on one time axis: good answers, latency, errors, load, and what was found.";
    Board::new("incident", "Pumphandle 1: incident", about)
        .choose(board::quantile())
        .with(vec![
            Panel::text("How to read this", "What you see here, and what to look for.", HEAD).size(24, 5),
            sequence(),
        ])
        .section("What was found", vec![score_card(), good_now(), sooner_or_later()])
        .section(
            "What users get",
            vec![
                good_answers(),
                lift(),
                latency(),
                not_good(),
                waiting(),
                fullest_queue(),
                attempts_per_user(),
                done_for_nobody(),
            ],
        )
        .folded("Control: outcomes and latencies", None, details(Arms::Control))
        .folded("$treatment: outcomes and latencies", Some("treatment"), details(Arms::Treatment))
}

/// What happened when: phase, triggers, levers.
pub(super) fn sequence() -> Panel {
    let phase = run(RunMetric::Phase);
    let names = ["waiting", "before", "trigger", "after", "ended"];
    let numbered =
        |(i, name): (usize, &&str)| format!("{i} * ({} == 1)", phase.clone().with("phase", "=", name));
    let number = format!("max({})", names.iter().enumerate().map(numbered).collect::<Vec<_>>().join(" or "));
    let trigger = format!("{} == 1", run(RunMetric::TriggerActive).max(&["trigger"]));
    let lever = format!("{} == 1", run(RunMetric::LeverActive).of(Arms::Both).max(&["arm", "lever"]));
    let about = "Bands show what acts when: the phase of the run, triggers, and levers with the arm in which they were \
                 pulled. Look for how long the trigger lasted, and for what was pulled after it.";
    let phases = [
        (0, "waiting", "#808080"),
        (1, "before", "#56B4E9"),
        (2, "trigger", "#D55E00"),
        (3, "after", "#CC79A7"),
        (4, "ended", "#808080"),
    ];
    Panel::bands("What happens when", about)
        .query("phase", &number, "phase")
        .query("trigger", &trigger, "trigger: {{trigger}}")
        .query("lever", &lever, "lever: {{lever}} ({{arm}})")
        .where_query("phase", &[("mappings", words(&phases))])
        .where_query("trigger", &[("mappings", words(&[(1, "acts", "#D55E00")]))])
        .where_query("lever", &[("mappings", words(&[(1, "pulled", "#0072B2")]))])
        .when_empty("no run in this time range")
}

fn score_card() -> Panel {
    let about = "One row per arm. *Verdict* is what the lever was found to do, by rules that are the same for all \
                 incidents; *harm* is the share of users without a good answer since the trigger or the pull, whichever \
                 came later; the other columns are shares of good answers in parts of the run. Cells fill once they are \
                 known. Click an arm to see it alone beside the control.";
    let verdict = run(RunMetric::Verdict).of(Arms::Both).known(&["arm", "lever", "level", "verdict"]);
    let harm = run(RunMetric::HarmShare).of(Arms::Both).known(&["arm"]);
    let mut panel = Panel::table("Score card", "percentunit", about).at_end("harm", &harm, "").at_end(
        "verdict",
        &format!("{verdict} == 1"),
        "",
    );
    let mut renamed = json!({
        "arm": "Arm", "lever": "Lever", "level": "Level", "verdict": "Verdict", "Value #harm": "Harm",
    });
    let mut order = json!({ "arm": 0, "lever": 1, "level": 2, "verdict": 3, "Value #harm": 4 });
    for (i, (window, title)) in WINDOWS.iter().enumerate() {
        let share = run(RunMetric::GoodShare).of(Arms::Both).with("window", "=", window).known(&["arm"]);
        panel = panel.at_end(window, &share, "");
        renamed[format!("Value #{window}")] = json!(title);
        order[format!("Value #{window}")] = json!(5 + i);
    }
    let organize = json!({
        "excludeByName": { "Time": true, "Value #verdict": true },
        "indexByName": order,
        "renameByName": renamed,
    });
    let alone = format!(
        "/d/{}?${{datasource:queryparam}}&${{run:queryparam}}&${{control:queryparam}}&\
         var-treatment=${{__value.text}}&${{__url_time_range}}",
        board::address("incident")
    );
    panel
        .then("merge", json!({}))
        .then("organize", organize)
        .default("decimals", json!(1))
        .field("Arm", &[("links", json!([{ "title": "Beside the control, alone", "url": alone }]))])
        .where_name("/^(Arm|Lever|Level|Verdict)$/", &[("unit", json!("string"))])
        .when_empty("not known yet")
}

fn good(arms: Arms) -> Series {
    run(RunMetric::UsersSettled).of(arms).with("outcome", "=", "good")
}

fn good_now() -> Panel {
    let about = "Share of good answers among users who got something in the last seconds on the screen in which anybody \
                 did, by arm. From 95 % on an arm counts as healthy.";
    let by = ["arm"];
    let settled = run(RunMetric::UsersSettled).of(Arms::Both).per_second(&by);
    let share = ratio(&good(Arms::Both).per_second(&by), &settled);
    Panel::bars("Good answers at the end", "percentunit", about)
        .query("share", &share, "{{arm}}")
        .default("max", json!(1))
        .default("color", fixed("blue"))
        .field("control", &[("color", fixed("orange"))])
        .size(12, 6)
        .when_empty("no users in this time range")
}

fn sooner_or_later() -> Panel {
    let about = "Users with a good answer in the treatment, less those in the control, over all that is on the screen. \
                 Both arms had the same users: the difference is the lever's. Narrow the time range to what is after the \
                 pull to see what it was worth.";
    let control = good(Arms::Control).grown(&[]);
    let more = format!("{} - on () group_left () {control}", good(Arms::Treatment).grown(&["arm"]));
    Panel::bars("Users helped, on the screen", "short", about)
        .at_end("helped", &format!("sort_desc({more})"), "{{arm}}")
        .default("color", fixed("blue"))
        .default("decimals", json!(0))
        .below_zero_too()
        .size(12, 6)
        .when_empty("no treatment in this run")
}

fn good_answers() -> Panel {
    let about = "Correct answers per second that came in time, against users due per second (grey, dashed). Look for \
                 orange that stays down when the red region is over, and for blue that meets the dashed line again.";
    Panel::lines("Good answers", "reqps", about)
        .twin("{{arm}}", |arms| good(arms).per_second(&["arm"]))
        .query("due", &run(RunMetric::UsersDue).of(Arms::Control).per_second(&[]), "users due")
        .where_query(
            "due",
            &[
                ("color", fixed("text")),
                ("custom.lineStyle", json!({ "dash": [8, 8], "fill": "dash" })),
                ("custom.lineWidth", json!(1)),
            ],
        )
        .where_name(
            "/^treatment\\b/",
            &[("custom.fillBelowTo", json!("control")), ("custom.fillOpacity", json!(15))],
        )
        .size(12, 10)
}

fn lift() -> Panel {
    let about = "Good answers per second in the treatment, less those in the control. Zero is \"it changes nothing\". \
                 Before the pull it must be zero: the arms are the same until then. Below zero the lever costs users.";
    let control = good(Arms::Control).per_second(&[]);
    let more = format!("{} - on () group_left () {control}", good(Arms::Treatment).per_second(&["arm"]));
    Panel::lines("Lift: treatment less control", "reqps", about)
        .query("treatment", &more, "{{arm}}")
        .below_zero_too()
        .custom("axisCenteredZero", json!(true))
        .custom("fillOpacity", json!(10))
        .where_name("/^treatment\\b/", &[("color", fixed("blue"))])
        .when_empty("no treatment in this run")
        .size(12, 10)
}

fn latency() -> Panel {
    let about = "How long users waited, from when they were due until they got whatever they got: $quantile of them \
                 no longer than this. Errors count: a quick refusal is a short wait, and no good answer. The axis is \
                 logarithmic; buckets end at 60 s.";
    Panel::lines("Latency, quantile $quantile", "s", about)
        .twin("{{arm}}", |arms| {
            let buckets = run(RunMetric::UserLatency).buckets().of(arms).per_second(&["arm", "le"]);
            format!("histogram_quantile($quantile, {buckets})")
        })
        .logarithmic()
}

fn not_good() -> Panel {
    let about = "Share of settled users whose answer was not good: late, degraded, or an error. The dashed line is where \
                 an arm stops to be healthy. Look for a share that stays at 100 % long after the trigger.";
    Panel::lines("Users without a good answer", "percentunit", about)
        .twin("{{arm}}", |arms| {
            let (good, settled) = (good(arms), run(RunMetric::UsersSettled).of(arms));
            let (good, settled) = (good.per_second(&["arm"]), settled.per_second(&["arm"]));
            // Where nobody has had a good answer yet there may be no such series.
            format!("1 - {}", ratio(&format!("({good} or 0 * {settled})"), &settled))
        })
        .default("max", json!(1))
        .limit(1.0 - HEALTHY)
}

/// Attempts that reached the busiest service, per user: what a storm is made of.
pub(super) fn attempts_per_user() -> Panel {
    let about = "Attempts that reach the service with the most of them, per user that is due. 1 without retries; with \
                 them it rises as answers fail. Look for an orange line that stays high after the trigger: then the \
                 load is made by the system itself.";
    Panel::lines("Attempts per user", "none", about).twin("{{arm}}", |arms| {
        let arrived = flow(Flow::Arrived).of(arms).per_second(&["arm", "service"]);
        let due = run(RunMetric::UsersDue).of(arms).per_second(&["arm"]);
        let share = format!("max by (arm) ({arrived} / on (arm) group_left () ({due} > 0))");
        // When users have stopped to come there are none to divide by, and attempts still.
        format!("{share} unless on () {} == 1", run(RunMetric::Phase).with("phase", "=", "ended"))
    })
}

/// Work that nobody waits for: what a busy system does that is down.
fn done_for_nobody() -> Panel {
    let about = "Share of the time in service, at all services, that was spent after somebody up to the user had given up. \
                 Look for a system that is busy and useless at once.";
    Panel::lines("Work done for nobody", "percentunit", about)
        .twin("{{arm}}", |arms| {
            let of = |which| flow(which).of(arms).per_second(&["arm"]);
            ratio(&of(Flow::WastedNanos), &of(Flow::BusyNanos))
        })
        .default("max", json!(1))
}

fn waiting() -> Panel {
    let about = "Users who are due and have got nothing yet: the stock behind everything else here. It rises while more \
                 come than are settled, and falls only when more are settled than come.";
    Panel::lines("Users waiting", "short", about)
        .twin("{{arm}}", |arms| run(RunMetric::UsersWaiting).of(arms).sum(&["arm"]))
}

fn fullest_queue() -> Panel {
    let about = "Attempts that wait for a worker, at the service where most do. It can hold more than there are users: \
                 attempts that nobody waits for any more wait all the same. Flat at the top is a full queue: whoever gets \
                 in waits for all before.";
    Panel::lines("Fullest queue", "short", about).twin("{{arm}}", |arms| {
        format!("max by (arm) ({})", level(StockName::Queue).of(arms).max(&["arm", "service"]))
    })
}

fn details(arms: Arms) -> Vec<Panel> {
    let about = "What users got, per second, stacked: good, degraded (a fallback in time), late, error.";
    let settled = run(RunMetric::UsersSettled).of(arms).per_second(&["outcome"]);
    let mut outcomes = Panel::lines("Outcomes", "reqps", about)
        .query("outcomes", &settled, "{{outcome}}")
        .custom("stacking", json!({ "group": "A", "mode": "normal" }))
        .custom("fillOpacity", json!(60))
        .custom("lineWidth", json!(0));
    for (outcome, color) in OUTCOMES {
        outcomes = outcomes.field(outcome, &[("color", fixed(color))]);
    }
    let about = "How latencies are spread, and how the spread moves: bright is where many users are. Two bright bands are \
                 two kinds of users, such as those who are refused at once and those who wait for nothing.";
    let buckets = run(RunMetric::UserLatency).buckets().of(arms);
    let buckets = format!("sum by (le) (increase({buckets}[$__rate_interval]))");
    vec![outcomes, Panel::heatmap("Latencies", "s", about).buckets(&buckets)]
}
