//! One setting and the values it is given: `PATH=A..B`, with the paths of `--set`, and
//! `levers.NAME.set.PATH` for a value that a lever sets. A value keeps its type from end to end: a duration
//! stays one, a whole number stays whole. Nothing is run here; what cannot be varied is refused with what
//! would be right.

use pumphandle_core::{Bytes, Dur, Rate, Share};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::scenario::{Scenario, overrides};

/// The most places of one axis.
const MOST_PLACES: f64 = 1e6;

/// What sort of value is varied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Seconds.
    Duration,
    /// Per second.
    Rate,
    /// Of a whole, 0 to 1.
    Share,
    /// Memory, in bytes.
    Bytes,
    /// A whole number.
    Whole,
    /// Any other number.
    Number,
}

impl Unit {
    /// As it stands behind a number.
    pub fn suffix(self) -> &'static str {
        match self {
            Unit::Duration => "s",
            Unit::Rate => "/s",
            Unit::Bytes => "B",
            Unit::Share | Unit::Whole | Unit::Number => "",
        }
    }

    /// What sort of value this is, if it is one that can be varied. Text is read as in a scenario file.
    pub fn of(value: &Value) -> Option<Unit> {
        match value {
            Value::Number(number) if number.is_f64() => Some(Unit::Number),
            Value::Number(_) => Some(Unit::Whole),
            Value::String(text) if Rate::parse(text).is_ok() => Some(Unit::Rate),
            Value::String(text) if Share::parse(text).is_ok() => Some(Unit::Share),
            Value::String(text) if Dur::parse(text).is_ok() => Some(Unit::Duration),
            Value::String(text) if Bytes::parse(text).is_ok() => Some(Unit::Bytes),
            _ => None,
        }
    }

    /// Reads a value of this sort: seconds, per second, a share, a number.
    ///
    /// # Errors
    ///
    /// A sentence that says what would be right.
    pub fn read(self, text: &str) -> Result<f64, String> {
        let number = || text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
        match self {
            Unit::Duration => Dur::parse(text).map(Dur::secs_f64),
            Unit::Rate => Rate::parse(text).map(|rate| rate.0),
            Unit::Bytes => Bytes::parse(text).map(|bytes| bytes.0 as f64),
            Unit::Share => match number() {
                Some(share) => Share::of(share).map(|share| share.0),
                None => Share::parse(text).map(|share| share.0),
            },
            Unit::Whole => number()
                .filter(|number| libm::trunc(*number) == *number)
                .ok_or_else(|| format!("expected a whole number such as 3, found `{text}`")),
            Unit::Number => number().ok_or_else(|| format!("expected a number such as 0.5, found `{text}`")),
        }
    }

    /// A value as it is written in a file.
    pub fn write(self, value: f64) -> String {
        match self {
            Unit::Duration => {
                let nanos = libm::round(value * 1e9).max(0.0) as u64;
                Dur(std::time::Duration::from_nanos(nanos)).to_string()
            }
            Unit::Rate => format!("{value}/s"),
            Unit::Bytes => Bytes(libm::round(value).max(0.0) as u64).to_string(),
            Unit::Whole => format!("{value:.0}"),
            Unit::Share => format!("{value}"),
            // A number that happens to be whole stays a number of its sort.
            Unit::Number => format!("{value:?}"),
        }
    }

    /// A value as people read it beside an axis.
    pub fn words(self, value: f64) -> String {
        match self {
            Unit::Share => format!("{} %", trimmed(value * 100.0)),
            Unit::Bytes => self.write(value),
            unit => {
                let gap = if unit == Unit::Duration { " " } else { "" };
                format!("{}{gap}{}", trimmed(value), unit.suffix())
            }
        }
    }
}

/// Without the noise of binary fractions.
fn trimmed(value: f64) -> String {
    format!("{}", rounded(value, 9))
}

/// To so many significant digits.
fn rounded(value: f64, digits: i32) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let decimals = digits - 1 - libm::floor(libm::log10(libm::fabs(value))) as i32;
    at_decimals(value, decimals)
}

fn at_decimals(value: f64, decimals: i32) -> f64 {
    // Through text: the nearest number that a person would have typed.
    match decimals {
        0.. => format!("{value:.*}", decimals.min(17) as usize).parse().unwrap_or(value),
        _ => {
            let scale = libm::pow(10.0, f64::from(-decimals));
            libm::round(value / scale) * scale
        }
    }
}

/// How the places of an axis are chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Places<'a> {
    /// This many steps between the ends; fewer where the values are whole numbers.
    Steps(usize),
    /// Steps of this size at most, written like a value.
    Precision(&'a str),
}

/// A setting and the values it is given.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// Where it stands.
    pub path: String,
    /// What sort of value it is.
    pub unit: Unit,
    /// Steps are equal factors, not equal differences.
    pub geometric: bool,
    /// The values, rising, in seconds, per second or plain: two at least.
    pub values: Vec<f64>,
}

impl Axis {
    /// Reads `PATH=A..B`, or `PATH=A..B:log` for equal factors, for a setting of `scenario`.
    ///
    /// # Errors
    ///
    /// A sentence for the person who wrote it.
    pub fn parse(scenario: &Scenario, text: &str, places: Places<'_>) -> Result<Axis, String> {
        let shape =
            || format!("expected PATH=A..B, such as load.arrivals.poisson=50/s..200/s, found `{text}`");
        let (path, range) = text.split_once('=').ok_or_else(shape)?;
        let (range, geometric) = match range.strip_suffix(":log") {
            Some(range) => (range, true),
            None => (range, false),
        };
        let (low, high) = range.split_once("..").ok_or_else(shape)?;
        let (low, high) = (low.trim(), high.trim());
        let unit = unit(scenario, path, low, high)?;
        let at_end = |end: &str| unit.read(end).map_err(|wrong| format!("{path}: {wrong}"));
        let (from, to) = (at_end(low)?, at_end(high)?);
        if from >= to {
            return Err(format!(
                "{path}: nothing lies between {low} and {high}: the first has to be below the second"
            ));
        }
        if geometric && from <= 0.0 {
            return Err(format!("{path}: equal factors need a start above 0, found {low}; leave out `:log`"));
        }
        let values = match places {
            Places::Steps(steps) => spread(unit, geometric, from, to, steps),
            Places::Precision(step) => {
                let step = unit.read(step).map_err(|wrong| format!("the precision: {wrong}"))?;
                stepped(unit, from, to, step)?
            }
        };
        Ok(Axis { path: path.to_owned(), unit, geometric, values })
    }

    /// The value at a place, as it is written in a file.
    pub fn text(&self, place: usize) -> String {
        self.unit.write(self.values[place])
    }

    /// The value at a place, as people read it.
    pub fn words(&self, place: usize) -> String {
        self.unit.words(self.values[place])
    }

    /// Gives `scenario` the value at a place.
    ///
    /// # Errors
    ///
    /// A sentence for the person who chose the range.
    pub fn put(&self, scenario: &mut Scenario, place: usize) -> Result<(), String> {
        set(scenario, &self.path, &self.text(place))
    }
}

/// What sort of value stands at `path`, or would stand there.
fn unit(scenario: &Scenario, path: &str, low: &str, high: &str) -> Result<Unit, String> {
    let Some(now) = value_at(scenario, path) else {
        // Nothing stands there yet: it is what it is written like, if it can be set at all.
        set(&mut scenario.clone(), path, low)?;
        let written = |text: &str| Unit::of(&parsed(text));
        return match (written(low), written(high)) {
            (Some(Unit::Whole), Some(Unit::Number)) => Ok(Unit::Number),
            (Some(unit), _) => Ok(unit),
            (None, _) => {
                Err(format!("{path}: `{low}` is no duration, rate, share, amount of memory or number"))
            }
        };
    };
    match Unit::of(&now) {
        // A file may say 1 where 1.5 is possible; if it is not, the scenario's check refuses it.
        Some(Unit::Whole) if low.contains('.') || high.contains('.') => Ok(Unit::Number),
        // A share of a scenario is kept as a number.
        Some(Unit::Number) if low.ends_with('%') || high.ends_with('%') => Ok(Unit::Share),
        Some(unit) => Ok(unit),
        // Such as a timeout that is `off`: what is written decides, if it can be set.
        None => Unit::of(&parsed(low)).filter(|_| set(&mut scenario.clone(), path, low).is_ok()).ok_or_else(
            || {
                let now = crate::scenario::paths::words(&now);
                format!("{path}: it is `{now}` here; only durations, rates, shares, amounts of memory and numbers have a range")
            },
        ),
    }
}

/// A word as it would be read in a file.
fn parsed(text: &str) -> Value {
    match (text.parse::<i64>(), text.parse::<f64>()) {
        (Ok(whole), _) => Value::from(whole),
        (_, Ok(number)) => Value::from(number),
        _ => Value::from(text),
    }
}

fn spread(unit: Unit, geometric: bool, from: f64, to: f64, steps: usize) -> Vec<f64> {
    let steps = steps.max(1);
    let whole = unit == Unit::Whole;
    let steps = if whole { steps.min((to - from) as usize) } else { steps };
    let exact = |i: usize| {
        let part = i as f64 / steps as f64;
        match (i, geometric) {
            (0, _) => from,
            (i, _) if i == steps => to,
            (_, true) => from * libm::pow(to / from, part),
            (_, false) => from + (to - from) * part,
        }
    };
    let mut values: Vec<f64> = (0..=steps)
        .map(|i| {
            // As few digits as move a value by less than a twentieth of the way to its neighbour.
            let step = if i < steps { exact(i + 1) - exact(i) } else { exact(i) - exact(i - 1) };
            let decimals = if whole { 0 } else { libm::ceil(-libm::log10(step / 10.0)) as i32 };
            if i == 0 || i == steps { exact(i) } else { at_decimals(exact(i), decimals) }
        })
        .collect();
    values.dedup();
    values
}

fn stepped(unit: Unit, from: f64, to: f64, step: f64) -> Result<Vec<f64>, String> {
    if step <= 0.0 {
        return Err("the precision has to be above 0".to_owned());
    }
    let steps = libm::ceil((to - from) / step - 1e-9).max(1.0);
    if steps > MOST_PLACES {
        return Err(format!("{steps} steps lie between the ends; at most {MOST_PLACES} can be told apart"));
    }
    let at = |i: usize| match unit {
        Unit::Whole => from + libm::round(step) * i as f64,
        _ => rounded(from + step * i as f64, 12),
    };
    let mut values: Vec<f64> = (0..steps as usize).map(at).collect();
    values.push(to);
    Ok(values)
}

/// Changes one value of a scenario, by a path of `--set`, or within what a lever sets
/// (`levers.NAME.set.client.attempt_timeout`). The result has to be checked again.
///
/// # Errors
///
/// A sentence for the person who wrote it.
pub fn set(scenario: &mut Scenario, path: &str, text: &str) -> Result<(), String> {
    let Some((name, inside)) = within_a_lever(scenario, path) else {
        return overrides::apply(scenario, &format!("{path}={text}"));
    };
    let (key, fields) = inside;
    let value = scenario.levers.get_mut(&name).and_then(|lever| lever.set.get_mut(&key));
    let place = fields.split('.').fold(value, |at, field| at?.get_mut(field));
    match place {
        Some(place) => {
            *place = parsed(text);
            Ok(())
        }
        None => Err(format!("lever `{name}` sets `{key}` as a whole, and there is no `{fields}` in it")),
    }
}

/// The lever, the key that it sets, and the fields below that key, of a path that leads into what a lever sets
/// as a whole: `levers.NAME.set.client.retry_budget` and `token_bucket.deposit`.
fn within_a_lever(scenario: &Scenario, path: &str) -> Option<(String, (String, String))> {
    let (name, inside) = path.strip_prefix("levers.")?.split_once(".set.")?;
    let keys = scenario.levers.get(name)?.set.keys();
    let key = keys.max_by_key(|key| inside.strip_prefix(key.as_str()).map_or(0, |_| key.len()))?;
    let fields = inside.strip_prefix(key.as_str())?.strip_prefix('.')?;
    Some((name.to_owned(), (key.clone(), fields.to_owned())))
}

/// The value at a path of `--set`, or within what a lever sets; none where there is none yet.
pub fn value_at(scenario: &Scenario, path: &str) -> Option<Value> {
    let tree = serde_json::to_value(scenario).expect("a scenario is plain data");
    let path = match path.split('.').next() {
        Some(first) if scenario.services.contains_key(first) => format!("services.{path}"),
        _ => path.to_owned(),
    };
    let segments: Vec<&str> = path.split('.').collect();
    find(&tree, &segments).cloned()
}

/// Goes down by segments: fields, policies within `with`, named entries of lists, keys with dots in them.
fn find<'a>(at: &'a Value, segments: &[&str]) -> Option<&'a Value> {
    let Some((first, rest)) = segments.split_first() else { return Some(at) };
    match at {
        Value::Object(fields) => {
            let within = || fields.get("with").and_then(|with| find(with, segments));
            let dotted = || {
                (2..=segments.len()).find_map(|n| {
                    fields.get(&segments[..n].join(".")).and_then(|value| find(value, &segments[n..]))
                })
            };
            fields.get(*first).and_then(|value| find(value, rest)).or_else(within).or_else(dotted)
        }
        Value::Array(items) => items
            .iter()
            .find(|item| {
                let name = item.as_object().and_then(|fields| fields.values().next());
                name.is_some_and(|name| name == first)
            })
            .and_then(|item| find(item, rest)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Style;
    use crate::scenario::read::read;

    fn scenario() -> Scenario {
        let text = include_str!("../../../../scenarios/retry-storm.yaml");
        read("retry-storm.yaml", text, Style::Plain).expect("it ships").scenario
    }

    fn axis(text: &str, steps: usize) -> Result<Axis, String> {
        Axis::parse(&scenario(), text, Places::Steps(steps))
    }

    #[test]
    fn a_value_keeps_its_type_from_end_to_end() {
        for (text, texts) in [
            ("load.arrivals.poisson=126/s..240/s", vec!["126/s", "164/s", "202/s", "240/s"]),
            ("timeline.slow-queries.for=1s..60s", vec!["1s", "21s", "40s", "1m"]),
            ("timeline.slow-queries.for=1s..64s:log", vec!["1s", "4s", "16s", "64s"]),
            ("client.retry.attempts=2..4", vec!["2", "3", "4"]),
            ("db.contention.alpha=0..0.03", vec!["0.0", "0.01", "0.02", "0.03"]),
            ("levers.larger-pool.set.api.pool.size=100..400", vec!["100", "200", "300", "400"]),
            (
                "levers.retry-budget-10.set.client.retry_budget.token_bucket.deposit=10%..40%",
                vec!["0.1", "0.2", "0.3", "0.4"],
            ),
            ("levers.longer-timeout.set.client.attempt_timeout=2s..5s", vec!["2s", "3s", "4s", "5s"]),
            ("levers.restart.restart.down=1s..4s", vec!["1s", "2s", "3s", "4s"]),
            ("api.pool.acquire_timeout=1s..4s", vec!["1s", "2s", "3s", "4s"]),
            ("api.pool.waiting=10..40", vec!["10", "20", "30", "40"]),
        ] {
            let axis = axis(text, 3).unwrap_or_else(|message| panic!("{text}: {message}"));
            let written: Vec<String> = (0..axis.values.len()).map(|i| axis.text(i)).collect();
            assert_eq!(written, texts, "{text}");
            for i in 0..axis.values.len() {
                let mut changed = scenario();
                axis.put(&mut changed, i).expect(text);
                let there = value_at(&changed, &axis.path).expect(text);
                let read = match &there {
                    Value::String(text) => axis.unit.read(text).expect(text),
                    number => number.as_f64().expect("a number"),
                };
                assert!((read - axis.values[i]).abs() < 1e-9, "{text}: {there}");
            }
        }
    }

    #[test]
    fn a_range_that_cannot_be_is_refused_with_what_would_be_right() {
        for (text, hint) in [
            ("load.arrivals.poisson", "expected PATH=A..B"),
            ("load.arrivals.poisson=50/s", "expected PATH=A..B"),
            ("load.arrivals.poisson=slow..fast", "expected a rate such as 100/s"),
            ("load.arrivals.poisson=50..200", "expected a rate such as 100/s"),
            ("load.arrivals.poisson=200/s..50/s", "the first has to be below the second"),
            ("client.attempt_timeout=1s..1s", "the first has to be below the second"),
            ("client.attempt_timeout=1..5", "expected a duration such as 250ms"),
            ("client.retry.attempts=two..4", "expected a whole number"),
            ("client.retry.enabled=true..false", "it is `true` here"),
            ("api.pol.size=1..5", "did you mean `pool`?"),
            ("load.arivals.poisson=1/s..5/s", "there is no `arivals`"),
            ("timeline.slow.for=1s..5s", "there is no `slow`"),
            ("timeline.slow-queries.for=0s..5s:log", "equal factors need a start above 0"),
            ("levers.longer-timout.set.client.attempt_timeout=1s..5s", "did you mean `longer-timeout`?"),
            ("levers.longer-timeout.set.client.retry.attempts=1..5", "there is: client.attempt_timeout"),
            ("levers.retry-budget-10.set.client.retry_budget.token_bucket.deposit=10%..400%", "between 0"),
            (
                "levers.retry-budget-10.set.client.retry_budget.leaky.deposit=10%..40%",
                "no `leaky.deposit` in it",
            ),
        ] {
            let message = axis(text, 4).expect_err(text);
            assert!(message.contains(hint), "{text}: {message}");
        }
    }

    #[test]
    fn precision_is_kept_and_whole_numbers_are_not_split() {
        let precise = |text: &str, step| Axis::parse(&scenario(), text, Places::Precision(step));
        let axis = precise("timeline.slow-queries.for=1s..2s", "300ms").unwrap();
        assert_eq!(axis.values, [1.0, 1.3, 1.6, 1.9, 2.0]);
        let axis = precise("client.retry.attempts=1..4", "1").unwrap();
        assert_eq!(axis.values, [1.0, 2.0, 3.0, 4.0]);
        for (step, hint) in
            [("0s", "above 0"), ("5", "the precision: expected a duration"), ("1ns", "steps lie")]
        {
            let message = precise("timeline.slow-queries.for=1s..2s", step).expect_err(step);
            assert!(message.contains(hint), "{step}: {message}");
        }
        assert_eq!(axis_values("client.retry.attempts=2..5", 64), [2.0, 3.0, 4.0, 5.0]);
    }

    fn axis_values(text: &str, steps: usize) -> Vec<f64> {
        axis(text, steps).unwrap().values
    }
}
