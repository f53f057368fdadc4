//! The series of a run as lines of JSON: `series.ndjson`. One line per second, arm and service, and one per second
//! and arm for the users; the first seed's. Where a scenario says how long a sample is, a line is of so many seconds. Written second by second, all arms of a second together, so that a
//! reader needs no more memory than one second takes.
//!
//! The form is declared here once, for writing and for reading. What the lines mean to a dashboard is not known here.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Write};

use pumphandle_core::catalogue::LATENCY_BUCKETS;
use pumphandle_core::meter::{FLOWS, Flow, STOCKS, StockName};
use pumphandle_load::ledger::{Answers, LATENCIES, Second};
use serde::de::{self, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::measure::{Measured, MeasuredArm};
use crate::run::rows::{Row, StockRow};

/// One line.
#[allow(clippy::large_enum_variant, reason = "a reader holds one at a time, and most are the larger")]
#[derive(Clone, Debug, PartialEq)]
pub enum Line<'a> {
    /// A service over a second.
    Service(ServiceLine<'a>),
    /// The users of an arm over a second.
    Users(UsersLine<'a>),
}

/// A service over the second that ends at `t`. What is zero is left out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ServiceLine<'a> {
    /// The second's end, from the start of the run; at least 1.
    pub t: u32,
    /// The arm, as in `result.json`.
    pub arm: Cow<'a, str>,
    /// The seed.
    pub seed: u64,
    /// The service.
    pub service: Cow<'a, str>,
    /// Levels at the second's end, and what entered and left in it.
    pub stocks: Stocks,
    /// What was counted in the second.
    pub flows: Flows,
    /// At the second's end.
    pub replicas: u32,
    /// State of the breaker at the second's end, as `pumphandle_breaker_state` counts them: 0 is none.
    #[serde(skip_serializing_if = "is_zero")]
    pub breaker: u64,
    /// Adaptive concurrency limits at the second's end, added; 0 is none.
    #[serde(skip_serializing_if = "is_zero")]
    pub concurrency_limit: u64,
}

/// The users of an arm over the second that ends at `t`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UsersLine<'a> {
    /// The second's end, from the start of the run; at least 1. Past the run's end while answers still come.
    pub t: u32,
    /// The arm, as in `result.json`.
    pub arm: Cow<'a, str>,
    /// The seed.
    pub seed: u64,
    /// Always null: this line is no service's.
    pub service: (),
    /// Users due in the second.
    pub arrivals: u32,
    /// Of them, answered correctly within the SLO, whenever that was.
    pub good: u32,
    /// Of them, answered with a fallback within the SLO.
    pub degraded: u32,
    /// Of them, answered too late.
    pub late: u32,
    /// Of them, answered with an error.
    pub errors: u32,
    /// Of them, stayed away; left out if nobody did.
    #[serde(default, skip_serializing_if = "is_none")]
    pub away: u32,
    /// Good answers in the second, whenever their users were due.
    pub goodput: u32,
    /// Everything that was answered in the second.
    pub settled: Settled,
}

/// What users were answered in a second, whenever they were due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settled {
    /// Correctly, within the SLO.
    pub good: u32,
    /// With a fallback, within the SLO.
    pub degraded: u32,
    /// Correctly or with a fallback, too late.
    pub late: u32,
    /// With an error.
    pub errors: u32,
    /// How many waited up to this many seconds, and longer than the bound before it.
    pub within_s: Latencies,
    /// Sum of their waiting times, nanoseconds.
    pub waited_ns: u64,
}

/// Flows by [`Flow`]; zeros are left out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Flows(pub [u64; FLOWS]);

/// Stocks by [`StockName`]; those that nothing entered, left or was in are left out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stocks(pub [StockRow; STOCKS]);

/// Counts by the bounds of [`LATENCY_BUCKETS`], then those above all of them (`inf`); zeros are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Latencies(pub [u32; LATENCIES]);

/// A stock's line, in the words of the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StockLine {
    level: u32,
    #[serde(rename = "in")]
    inflow: u32,
    #[serde(rename = "out")]
    outflow: u32,
    /// Integral of the level over the second, nanoseconds.
    #[serde(rename = "ns")]
    integral_ns: u64,
}

fn is_none(n: &u32) -> bool {
    *n == 0
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

// === writing ===

/// Writes the series of `measured`; nothing if no seed was measured.
///
/// # Errors
///
/// Those of `out`.
pub fn write(measured: &Measured, out: &mut impl Write) -> io::Result<()> {
    let Some(&seed) = measured.seeds.first() else { return Ok(()) };
    let last = measured.arms.iter().map(last_second).max().unwrap_or(0);
    let step = measured.timeline.step;
    for t in 1..=last {
        for arm in &measured.arms {
            write_sample(arm, seed, t, step, out)?;
        }
    }
    Ok(())
}

/// The last second of which there is something to say.
fn last_second(arm: &MeasuredArm) -> usize {
    let rows = arm.first_rows.as_ref().map_or(0, Vec::len);
    // A run that was interrupted has room for users who were never due.
    let due = arm.first_seconds.iter().rposition(|second| second.arrivals > 0).map_or(0, |at| at + 1);
    rows.max(due).max(arm.first_answers.len())
}

fn write_sample(arm: &MeasuredArm, seed: u64, t: usize, step: usize, out: &mut impl Write) -> io::Result<()> {
    let (name, end) = (arm.plan.name.as_str(), (t * step) as u32);
    if let Some(row) = arm.first_rows.as_ref().and_then(|rows| rows.get(t - 1)) {
        for (service, row) in arm.plan.settings.keys().zip(row) {
            line(&ServiceLine::of(end, name, seed, service, row), out)?;
        }
    }
    if t <= last_second(arm) {
        let due = arm.first_seconds.get(t - 1).copied().unwrap_or_default();
        let answers = arm.first_answers.get(t - 1).copied().unwrap_or_default();
        line(&UsersLine::of(end, name, seed, &due, &answers), out)?;
    }
    Ok(())
}

fn line(line: &impl Serialize, out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}

impl<'a> ServiceLine<'a> {
    fn of(t: u32, arm: &'a str, seed: u64, service: &'a str, row: &Row) -> ServiceLine<'a> {
        ServiceLine {
            t,
            arm: arm.into(),
            seed,
            service: service.into(),
            stocks: Stocks(row.stocks),
            flows: Flows(row.flows),
            replicas: row.replicas,
            breaker: row.breaker as u64,
            concurrency_limit: row.concurrency_limit,
        }
    }
}

impl<'a> UsersLine<'a> {
    fn of(t: u32, arm: &'a str, seed: u64, due: &Second, answers: &Answers) -> UsersLine<'a> {
        UsersLine {
            t,
            arm: arm.into(),
            seed,
            service: (),
            arrivals: due.arrivals,
            good: due.good,
            degraded: due.degraded,
            late: due.late,
            errors: due.errors,
            away: due.away,
            goodput: due.completed_good,
            settled: Settled {
                good: answers.good,
                degraded: answers.degraded,
                late: answers.late,
                errors: answers.errors,
                within_s: Latencies(answers.latencies),
                waited_ns: answers.latency_ns,
            },
        }
    }
}

impl Serialize for Flows {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (flow, n) in Flow::ALL.iter().zip(self.0).filter(|(_, n)| *n > 0) {
            map.serialize_entry(flow.name(), &n)?;
        }
        map.end()
    }
}

impl Serialize for Stocks {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, stock) in StockName::ALL.iter().zip(self.0).filter(|(_, it)| *it != StockRow::default()) {
            let StockRow { level, inflow, outflow, integral_ns } = stock;
            map.serialize_entry(name.name(), &StockLine { level, inflow, outflow, integral_ns })?;
        }
        map.end()
    }
}

/// The name of a count of [`Latencies`].
fn bound(i: usize) -> String {
    LATENCY_BUCKETS.get(i).map_or_else(|| "inf".to_owned(), f64::to_string)
}

impl Serialize for Latencies {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (i, n) in self.0.iter().enumerate().filter(|(_, n)| **n > 0) {
            map.serialize_entry(&bound(i), n)?;
        }
        map.end()
    }
}

// === reading ===

/// Whichever of the two lines it is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Either<'a> {
    t: u32,
    #[serde(borrow)]
    arm: Cow<'a, str>,
    seed: u64,
    #[serde(borrow)]
    service: Option<Cow<'a, str>>,
    stocks: Option<Stocks>,
    flows: Option<Flows>,
    replicas: Option<u32>,
    #[serde(default)]
    breaker: u64,
    #[serde(default)]
    concurrency_limit: u64,
    arrivals: Option<u32>,
    good: Option<u32>,
    degraded: Option<u32>,
    late: Option<u32>,
    errors: Option<u32>,
    away: Option<u32>,
    goodput: Option<u32>,
    settled: Option<Settled>,
}

/// Reads one line.
///
/// # Errors
///
/// A sentence, if it is none, or one of another version of this program.
pub fn parse(text: &str) -> Result<Line<'_>, String> {
    let it: Either<'_> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if it.t == 0 {
        return Err("`t` counts from 1".to_owned());
    }
    match it.service {
        Some(_) => service_line(it).ok_or("a service's line has `stocks`, `flows` and `replicas`"),
        None => users_line(it)
            .ok_or("the users' line has `arrivals`, what became of them, `goodput` and `settled`"),
    }
    .map_err(|expected| format!("{expected}: was it written by another version?"))
}

fn service_line(it: Either<'_>) -> Option<Line<'_>> {
    Some(Line::Service(ServiceLine {
        t: it.t,
        arm: it.arm,
        seed: it.seed,
        service: it.service?,
        stocks: it.stocks?,
        flows: it.flows?,
        replicas: it.replicas?,
        breaker: it.breaker,
        concurrency_limit: it.concurrency_limit,
    }))
}

fn users_line(it: Either<'_>) -> Option<Line<'_>> {
    Some(Line::Users(UsersLine {
        t: it.t,
        arm: it.arm,
        seed: it.seed,
        service: (),
        arrivals: it.arrivals?,
        good: it.good?,
        degraded: it.degraded?,
        late: it.late?,
        errors: it.errors?,
        away: it.away.unwrap_or_default(),
        goodput: it.goodput?,
        settled: it.settled?,
    }))
}

/// Reads a map in which every name has a place in a `T`.
struct Named<T, V>(&'static str, T, fn(&mut T, &str) -> Option<usize>, fn(&mut T, usize, V));

impl<'de, T, V: Deserialize<'de>> Visitor<'de> for Named<T, V> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object by {}", self.0)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        let Named(what, mut all, place, put) = self;
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            let Some(i) = place(&mut all, &name) else {
                return Err(de::Error::custom(format!("there is no {what} `{name}`")));
            };
            put(&mut all, i, map.next_value()?);
        }
        Ok(all)
    }
}

impl<'de> Deserialize<'de> for Flows {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Flows, D::Error> {
        let place = |_: &mut Flows, name: &str| Some(Flow::from_name(name)? as usize);
        deserializer.deserialize_map(Named("flow", Flows([0; FLOWS]), place, |all, i, n: u64| all.0[i] = n))
    }
}

impl<'de> Deserialize<'de> for Stocks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Stocks, D::Error> {
        let place = |_: &mut Stocks, name: &str| Some(StockName::from_name(name)? as usize);
        let put = |all: &mut Stocks, i: usize, it: StockLine| {
            let StockLine { level, inflow, outflow, integral_ns } = it;
            all.0[i] = StockRow { level, inflow, outflow, integral_ns };
        };
        deserializer.deserialize_map(Named("stock", Stocks([StockRow::default(); STOCKS]), place, put))
    }
}

impl<'de> Deserialize<'de> for Latencies {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Latencies, D::Error> {
        let place = |_: &mut Latencies, name: &str| match name {
            "inf" => Some(LATENCY_BUCKETS.len()),
            _ => LATENCY_BUCKETS.iter().position(|bound| name.parse() == Ok(*bound)),
        };
        deserializer
            .deserialize_map(Named("bound", Latencies::default(), place, |all, i, n: u32| all.0[i] = n))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stock() -> impl Strategy<Value = StockRow> {
        let row = |(level, inflow, outflow, integral_ns)| StockRow { level, inflow, outflow, integral_ns };
        prop_oneof![Just(StockRow::default()), any::<(u32, u32, u32, u64)>().prop_map(row)]
    }

    fn rows() -> impl Strategy<Value = Row> {
        let flows = prop::array::uniform::<_, FLOWS>(prop_oneof![Just(0), any::<u64>()]);
        let stocks = prop::array::uniform::<_, STOCKS>(stock());
        (flows, stocks, 0_u64..4, any::<u64>(), any::<u32>()).prop_map(
            |(flows, stocks, breaker, concurrency_limit, replicas)| Row {
                flows,
                stocks,
                breaker: pumphandle_core::meter::BreakerState::from_number(breaker),
                concurrency_limit,
                replicas,
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_of_a_service_is_read_again(row in rows(), t in 1..u32::MAX, arm in ".*", name in ".*") {
            let written = ServiceLine::of(t, &arm, 7, &name, &row);
            let text = serde_json::to_string(&written).unwrap();
            prop_assert_eq!(text.lines().count(), 1);
            prop_assert_eq!(parse(&text), Ok(Line::Service(written)));
        }

        #[test]
        fn what_is_written_of_users_is_read_again(
            counts in any::<[u32; 10]>(), latencies in prop::array::uniform::<_, LATENCIES>(0_u32..3),
            latency_ns in any::<u64>(),
        ) {
            let [arrivals, good, degraded, late, errors, completed_good, a, b, c, d] = counts;
            let away = a;
            let due = Second { arrivals, good, degraded, late, errors, away, completed_good, ..Second::default() };
            let answers = Answers { good: a, degraded: b, late: c, errors: d, latencies, latency_ns };
            let written = UsersLine::of(1, "control", 1, &due, &answers);
            let text = serde_json::to_string(&written).unwrap();
            prop_assert_eq!(parse(&text), Ok(Line::Users(written)));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".*") {
            let _ = parse(&text);
        }
    }

    #[test]
    fn lines_that_are_none_are_refused_in_words() {
        let service = r#"{"t":1,"arm":"control","seed":1,"service":"db","#;
        for (text, said) in [
            (String::new(), "EOF"),
            (format!(r#"{service}"stocks":{{}},"flows":{{"arived":1}},"replicas":1}}"#), "no flow `arived`"),
            (format!(r#"{service}"stocks":{{"queu":{{}}}},"flows":{{}},"replicas":1}}"#), "no stock `queu`"),
            (format!(r#"{service}"flows":{{}},"replicas":1}}"#), "a service's line has `stocks`"),
            (format!(r#"{service}"stocks":{{}},"flows":{{"arrived":-1}},"replicas":1}}"#), "invalid value"),
            (
                format!(r#"{service}"stocks":{{}},"flows":{{}},"replicas":1,"more":1}}"#),
                "unknown field `more`",
            ),
            (
                r#"{"t":1,"arm":"control","seed":1,"service":null,"arrivals":1}"#.to_owned(),
                "the users' line has",
            ),
            (r#"{"t":0,"arm":"control","seed":1,"service":null}"#.to_owned(), "`t` counts from 1"),
        ] {
            let refused = parse(&text).unwrap_err();
            assert!(refused.contains(said), "{text}: {refused}");
        }
    }
}
