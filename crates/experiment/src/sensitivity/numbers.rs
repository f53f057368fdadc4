//! The numbers of a scenario file, and their variations. A varied scenario goes through the same checks as one
//! that somebody wrote: what cannot run is not varied, and the reason is kept.

use pumphandle_core::{Bytes, Dur, Rate, Share};
use serde_json::{Number as Json, Value};

use crate::document::{Document, Path, Segment, WhyKind};
use crate::scenario::read::{DECIDED, formats, schema};
use crate::scenario::{Scenario, check};

/// By how much a number is varied, down and up.
pub const BY: f64 = 0.25;

/// Which numbers are varied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those whose reason is "free choice".
    Free,
    /// All.
    All,
}

/// Which arms can read a number. All others are the same with it changed, and are not run again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// A number of one lever: only that lever's arms.
    Lever(String),
    /// The moment of the pull: pulled arms, and the control, whose harm counts from there.
    Pulled,
    /// Everything else.
    Everywhere,
}

/// A number of a scenario file.
#[derive(Clone, Debug)]
pub struct Number {
    /// Where it stands.
    pub at: Path,
    /// The same as people write it in `--set`.
    pub path: String,
    /// As written.
    pub value: String,
    /// Its reason, without its kind.
    pub why: String,
    /// Which arms can read it.
    pub reach: Reach,
}

/// The numbers of a file, in its order.
pub fn numbers(document: &Document, which: Which) -> Vec<Number> {
    let mut found = Vec::new();
    for at in document.numbers() {
        let decided =
            matches!(at.segments().first(), Some(Segment::Key(part)) if DECIDED.contains(&part.as_str()));
        let names_a_rung = at.segments().len() == 3 && matches!(at.last_key(), Some("level" | "also_level"));
        let why = document.why(&at);
        let free = why.as_ref().is_some_and(|why| why.kind == WhyKind::Free);
        if !decided || names_a_rung || which == Which::Free && !free {
            continue;
        }
        let Some(value) = document.get(&at) else { continue };
        found.push(Number {
            path: spoken(document, &at),
            value: crate::scenario::paths::words(value),
            why: why.map_or_else(String::new, |why| why.text),
            reach: reach(&at),
            at,
        });
    }
    found
}

fn reach(at: &Path) -> Reach {
    match at.segments() {
        [Segment::Key(levers), Segment::Key(name), ..] if levers == "levers" => Reach::Lever(name.clone()),
        [Segment::Key(pull)] if pull == "pull" => Reach::Pulled,
        _ => Reach::Everywhere,
    }
}

/// A path as in `--set`: services and policies without their boxes, triggers by name.
fn spoken(document: &Document, at: &Path) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut so_far = Path::root();
    for (depth, segment) in at.segments().iter().enumerate() {
        so_far.push(segment.clone());
        match segment {
            Segment::Key(key) if depth == 0 && key == "services" => {}
            Segment::Key(key) if key == "with" && depth == 2 => {}
            Segment::Key(key) => words.push(key.clone()),
            Segment::Index(index) => {
                let name = document.get(&so_far.join("trigger")).and_then(Value::as_str);
                match (name, words.last_mut()) {
                    (Some(name), _) => words.push(name.to_owned()),
                    (None, Some(last)) => last.push_str(&format!("[{index}]")),
                    (None, None) => words.push(format!("[{index}]")),
                }
            }
        }
    }
    words.join(".")
}

/// A value times `factor`; whole numbers are rounded, to the next whole number at least.
///
/// # Errors
///
/// Why there is none.
pub fn varied(value: &Value, factor: f64) -> Result<Value, String> {
    let other = match value {
        Value::Number(number) if number.is_f64() => {
            let now = number.as_f64().unwrap_or_default();
            Json::from_f64(tidy(now * factor)).map(Value::Number).ok_or("it is too large to vary")?
        }
        Value::Number(number) => {
            let now = number.as_i64().ok_or("it is too large to vary")?;
            let moved = libm::round(now as f64 * factor) as i64;
            let least = if factor < 1.0 { now - 1 } else { now + 1 };
            // Whole numbers are at least one apart, or nothing was varied.
            let other = if now <= 0 {
                moved
            } else if factor < 1.0 {
                moved.min(least)
            } else {
                moved.max(least)
            };
            Value::from(other)
        }
        Value::String(text) => Value::from(varied_text(text, factor)?),
        _ => return Err("it is no number".to_owned()),
    };
    if other == *value { Err("a quarter of it is nothing".to_owned()) } else { Ok(other) }
}

fn varied_text(text: &str, factor: f64) -> Result<String, String> {
    if let Ok(rate) = Rate::parse(text) {
        return Ok(Rate(tidy(rate.0 * factor)).to_string());
    }
    if let Ok(share) = Share::parse(text) {
        return Ok(format!("{}%", tidy(share.0 * factor * 100.0)));
    }
    if let Ok(bytes) = Bytes::parse(text) {
        // In whole KiB, as amounts of memory count.
        let kib = libm::round(bytes.kib() as f64 * factor) as u64;
        return Ok(Bytes(kib << 10).to_string());
    }
    let duration = Dur::parse(text).map_err(|_| format!("`{text}` is no quantity that can be varied"))?;
    let nanos = libm::round(duration.0.as_nanos() as f64 * factor) as u64;
    Ok(Dur(std::time::Duration::from_nanos(nanos)).to_string())
}

/// Without the noise of binary fractions.
fn tidy(value: f64) -> f64 {
    format!("{value:.12}").parse().unwrap_or(value)
}

/// The scenario of `document` with one number times `factor`, and the number as it is written then.
///
/// # Errors
///
/// Why it cannot run like that.
pub fn vary(document: &Document, number: &Number, factor: f64) -> Result<(Scenario, String), String> {
    let now = document.get(&number.at).ok_or("there is no such number")?;
    let other = varied(now, factor)?;
    let written = crate::scenario::paths::words(&other);
    let mut tree = document.value().clone();
    let mut at = &mut tree;
    for segment in number.at.segments() {
        at = match segment {
            Segment::Key(key) => at.get_mut(key),
            Segment::Index(index) => at.get_mut(*index),
        }
        .ok_or("there is no such number")?;
    }
    *at = other;
    let changed = Document::from_value(tree);
    let told = |problems: crate::document::Problems| {
        let lines: Vec<String> = problems.iter().map(|it| format!("{}: {}", it.path, it.message)).collect();
        format!("{written} cannot be: {}", lines.join("; "))
    };
    let mut scenario: Scenario = changed.read(schema(), &formats()).map_err(told)?;
    let problems = check::check_in(&scenario, &changed);
    if !problems.is_empty() {
        return Err(told(problems));
    }
    // The claims are about the scenario as it is written.
    scenario.claims.clear();
    Ok((scenario, written))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document() -> Document {
        let text = include_str!("../../../../scenarios/retry-storm.yaml");
        Document::parse("retry-storm.yaml", text).expect("it ships")
    }

    #[test]
    fn a_quarter_less_and_more_keep_the_type_and_whole_numbers_move_by_one_at_least() {
        for (now, less, more) in [
            (json!("1s"), json!("750ms"), json!("1250ms")),
            (json!("100/s"), json!("75/s"), json!("125/s")),
            (json!("10%"), json!("7.5%"), json!("12.5%")),
            (json!("512MiB"), json!("384MiB"), json!("640MiB")),
            (json!(1000), json!(750), json!(1250)),
            (json!(4), json!(3), json!(5)),
            (json!(2), json!(1), json!(3)),
            (json!(1), json!(0), json!(2)),
            (json!(0.02), json!(0.015), json!(0.025)),
        ] {
            assert_eq!(varied(&now, 0.75), Ok(less), "{now}");
            assert_eq!(varied(&now, 1.25), Ok(more), "{now}");
        }
        for nothing in [json!(0), json!(0.0), json!("0s"), json!("0/s"), json!("fast"), json!(true)] {
            assert!(varied(&nothing, 0.75).is_err(), "{nothing}");
        }
    }

    #[test]
    fn numbers_are_found_with_their_reason_and_with_the_arms_that_can_read_them() {
        let free = numbers(&document(), Which::Free);
        let find = |path: &str| free.iter().find(|number| number.path == path);
        for (path, value, reach) in [
            ("slo.latency", "3s", Reach::Everywhere),
            ("pull", "180s", Reach::Pulled),
            ("load.arrivals.poisson", "100/s", Reach::Everywhere),
            ("client.retry.attempts", "4", Reach::Everywhere),
            ("db.contention.alpha", "0.02", Reach::Everywhere),
            ("timeline.slow-queries.for", "30s", Reach::Everywhere),
            ("levers.smaller-queue.set.api.queue.size", "50", Reach::Lever("smaller-queue".to_owned())),
            ("levers.restart-twice.then[0].after", "30s", Reach::Lever("restart-twice".to_owned())),
        ] {
            let number = find(path).unwrap_or_else(|| panic!("{path} is not among {free:?}"));
            assert_eq!((number.value.as_str(), &number.reach), (value, &reach), "{path}");
            assert!(!number.why.is_empty() && !number.why.contains("free choice"));
        }
        assert!(find("client.attempt_timeout").is_none(), "the lesson says what it is");
        let all = numbers(&document(), Which::All);
        assert!(all.len() > free.len() && all.iter().any(|number| number.path == "client.attempt_timeout"));
        assert!(!all.iter().any(|number| number.path.ends_with("level")));
    }

    #[test]
    fn what_cannot_run_is_not_varied_and_says_why() {
        let free = numbers(&document(), Which::Free);
        let vary = |path: &str, factor| {
            let number = free.iter().find(|number| number.path == path).expect(path);
            vary(&document(), number, factor)
        };
        let (scenario, written) = vary("load.arrivals.poisson", 1.25).expect("it can run");
        assert_eq!((written.as_str(), scenario.load.base_rate()), ("125/s", Some(125.0)));
        assert!(scenario.claims.is_empty());
        let reason =
            vary("levers.more-api-servers.set.api.replicas", 0.75).expect_err("one server is no lever");
        assert!(reason.contains("1 cannot be") && reason.contains("changes nothing"), "{reason}");
    }
}
