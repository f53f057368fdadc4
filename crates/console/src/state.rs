//! Everything that a runner shows of itself, as one JSON document, and the page that draws it. The page is one
//! file without requests to anybody but this port, and its policy says so to the browser.

use std::sync::LazyLock;

use http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_FRAME_OPTIONS};
use http::{HeaderValue, StatusCode};
use pumphandle_experiment::board::{ArmShown, Settled, Shown};
use pumphandle_experiment::plan;
use pumphandle_experiment::result::{Arm, RunResult};
use pumphandle_experiment::runner::{Doing, Finished, Known, Runner, Together};
use pumphandle_experiment::scenario::Scenario;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::http::{self as answers, Answer};
use crate::lookout::Lookout;

const PAGE: &str = include_str!("page.html");

/// A majority cannot be shown by fewer seeds than this.
const ENOUGH: usize = 6;

/// The page for people.
pub(crate) fn page() -> Answer {
    static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
        let policy = format!(
            "default-src 'none'; script-src '{}'; style-src '{}'; connect-src 'self'; img-src data:; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            hash(between("<script>", "</script>")),
            hash(between("<style>", "</style>")),
        );
        HeaderValue::try_from(policy).expect("a policy is printable")
    });
    let mut answer = answers::answer(StatusCode::OK, "text/html; charset=utf-8", PAGE);
    let headers = answer.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, POLICY.clone());
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    answer
}

fn between(open: &str, close: &str) -> &'static str {
    let (_, rest) = PAGE.split_once(open).expect("the page has this part");
    rest.split_once(close).expect("a part that is opened is closed").0
}

/// By which a browser recognises a script or a style that may act: only what we have written ourselves.
fn hash(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bytes = Sha256::digest(text.as_bytes());
    let mut base64 = String::new();
    for three in bytes.chunks(3) {
        let at = |i: usize| u32::from(three.get(i).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for digit in 0..4 {
            let given = digit <= three.len();
            let place = (bits >> (18 - 6 * digit)) as usize & 63;
            base64.push(if given { char::from(DIGITS[place]) } else { '=' });
        }
    }
    format!("sha256-{base64}")
}

/// Everything that is known.
pub(crate) fn of(runner: &Runner, known: &Known, shown: &Shown, lookout: &Lookout) -> Value {
    let setup = runner.setup();
    let scenario = &known.checked.scenario;
    json!({
        "pumphandle": env!("CARGO_PKG_VERSION"),
        "scenario": scenario.scenario,
        "title": scenario.title,
        "story": scenario.story.trim(),
        "slo_s": scenario.slo.latency.secs_f64(),
        "phase": shown.phase.name(),
        "doing": doing(runner, &known.doing),
        "seconds": shown.seconds,
        "run": run(known, scenario),
        "again": setup.again,
        "pause_s": setup.pause.as_secs_f64(),
        "arms": shown.arms.iter().enumerate().map(|(i, arm)| of_arm(arm, lookout.of_stack(i))).collect::<Vec<_>>(),
        "rig": {
            "idle_timer_late_s": shown.machine.map(|it| it.idle_timer_late.as_secs_f64()),
            "cpu": shown.machine.and_then(|it| it.cpu),
        },
        "levers": levers(scenario),
        "triggers": triggers(scenario),
        "last": known.last.as_ref().map(last),
        "together": known.together.as_ref().map(together),
        "happened": known.happened,
    })
}

fn doing(runner: &Runner, doing: &Doing) -> Value {
    match doing {
        Doing::Rests => json!({ "is": "rests", "waits_for": "a start" }),
        Doing::Seeks(wrong) => json!({ "is": "seeks", "waits_for": "the stacks", "wrong": wrong }),
        Doing::Runs => json!({ "is": "runs" }),
        Doing::Pauses(until) => {
            json!({ "is": "pauses", "waits_for": "the next run", "next_in_s": until.since(runner.now()).as_secs_f64() })
        }
        Doing::Ends => json!({ "is": "ends" }),
    }
}

fn run(known: &Known, scenario: &Scenario) -> Value {
    let lever = known.lever.as_deref();
    let name = lever.map(|lever| lever.strip_suffix("@start").unwrap_or(lever));
    let found = name.and_then(|name| scenario.levers.get(name));
    json!({
        "n": known.run,
        "seed": known.seed,
        "lever": lever,
        "lever_title": found.map(|lever| lever.title.clone()),
        "level": found.map(|lever| lever.level),
        "duration_s": scenario.duration.secs_f64(),
        "pull_s": found.and(scenario.pull).map(|pull| pull.secs_f64()),
        "changes": known.changes,
    })
}

fn of_arm(arm: &ArmShown, stack: Value) -> Value {
    let users = |what: Settled| arm.users.of(what);
    let mut all = json!({
        "arm": arm.label,
        "users": {
            "due": arm.users.due,
            "good": users(Settled::Good),
            "degraded": users(Settled::Degraded),
            "late": users(Settled::Late),
            "error": users(Settled::Error),
            "waiting": arm.users.waiting,
        },
        "lag_s": arm.lag.as_secs_f64(),
        "late_sends": arm.users.late_sends,
        "troubles": arm.troubles,
    });
    if let (Some(all), Value::Object(stack)) = (all.as_object_mut(), stack) {
        all.extend(stack);
    }
    all
}

fn levers(scenario: &Scenario) -> Vec<Value> {
    let mut levers: Vec<_> = scenario.levers.iter().collect();
    levers.sort_by_key(|(_, lever)| std::cmp::Reverse(lever.level));
    let one = levers.into_iter().map(|(name, lever)| {
        let puts_back = !lever.set.is_empty() || lever.then.iter().any(|step| !step.set.is_empty());
        json!({
            "lever": name,
            "level": lever.level,
            "title": lever.title,
            "puts_back": puts_back,
            "by_hand": plan::acts_on_processes(lever),
        })
    });
    one.collect()
}

fn triggers(scenario: &Scenario) -> Vec<Value> {
    let one = scenario.timeline.iter().map(|trigger| {
        json!({
            "trigger": trigger.trigger,
            "does": trigger.words(),
            "from_s": trigger.from.secs_f64(),
            "to_s": trigger.end().map(|end| end.as_secs_f64()),
            "by_hand": trigger.service().is_some(),
        })
    });
    one.collect()
}

fn last(finished: &Finished) -> Value {
    let result = &finished.result;
    json!({
        "run": finished.run,
        "seed": result.seeds.first(),
        "partial": result.partial,
        "valid": valid(result),
        "reasons": reasons(result),
        "arms": result.arms.iter().map(found).collect::<Vec<_>>(),
        "kept": finished.kept,
    })
}

fn together(together: &Together) -> Value {
    let result = &together.result;
    let seeds = result.seeds.len();
    json!({
        "seeds": result.seeds,
        "left_out": together.left_out,
        "arms": result.arms.iter().map(found).collect::<Vec<_>>(),
        "words": words(seeds),
    })
}

/// How much is to be made of a verdict from so many seeds.
fn words(seeds: usize) -> String {
    match seeds {
        0 => "no valid run yet: not tested".to_owned(),
        1 => "one seed decides nothing: there is a picture, and no verdict".to_owned(),
        n if n < ENOUGH => format!("{n} seeds: too few to say"),
        n => format!("{n} seeds"),
    }
}

fn valid(result: &RunResult) -> bool {
    result.valid && result.arms.iter().all(|arm| arm.valid)
}

fn reasons(result: &RunResult) -> Vec<&String> {
    let mut all: Vec<&String> = Vec::new();
    for reason in result.reasons.iter().chain(result.arms.iter().flat_map(|arm| &arm.reasons)) {
        if !all.contains(&reason) {
            all.push(reason);
        }
    }
    all
}

fn found(arm: &Arm) -> Value {
    let outcome = &arm.outcome;
    json!({
        "arm": arm.arm,
        "state": arm.state,
        "arrivals": outcome.arrivals,
        "good_share": outcome.good_share,
        "harm_share": outcome.harm_share,
        "good_share_by_window": outcome.good_share_by_window,
        "recovered": outcome.recovery_s.as_ref().map(|it| json!([it.recovered, it.n])),
        "recovery_s": outcome.recovery_s.as_ref().and_then(|it| it.p50),
        "verdict": arm.verdict.as_ref().map(|verdict| json!({
            "is": verdict.is,
            "harm_vs_control": verdict.harm_vs_control,
        })),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_that_browsers_make() {
        // As `printf '' | openssl dgst -sha256 -binary | base64` says, and of `alert(1)`.
        assert_eq!(hash(""), "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
        assert_eq!(hash("alert(1)"), "sha256-bhHHL3z2vDgxUt0W3dWQOrprscmda2Y5pLsLg4GF+pI=");
    }

    #[test]
    fn the_page_has_one_script_and_one_style_and_asks_nobody_else_for_anything() {
        for part in ["<script", "<style"] {
            assert_eq!(PAGE.matches(part).count(), 1, "{part}");
        }
        // An address stands only where the name of SVG has to.
        let addresses = PAGE.matches("://").count() - PAGE.matches("http://www.w3.org/2000/svg").count();
        assert_eq!(addresses, 0);
        for forbidden in ["src=", "@import", "url(", "innerHTML", " style=\"", " onclick="] {
            assert!(!PAGE.contains(forbidden), "{forbidden}");
        }
    }

    #[test]
    fn one_seed_decides_nothing() {
        assert!(words(1).contains("decides nothing") && words(5).contains("too few"));
        assert_eq!(words(6), "6 seeds");
    }
}
