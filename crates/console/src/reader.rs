//! Reads what `/metrics` of a service says back into what its meter counted. Strict: what is not in the text
//! format, stands there twice or is missing is an error with its line, since a guess here would be a wrong
//! measurement there. Metrics that this version does not know are passed over.

use std::collections::BTreeMap;

use pumphandle_core::catalogue::{self, Source};
use pumphandle_core::meter::{BreakerState, FLOWS, STOCKS, Snapshot, StockReading};

/// Bytes of a page that are read.
pub const MAX_PAGE: usize = 1024 * 1024;

/// What is wrong with a page of metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadMetrics {
    /// The line, from 1; 0 for the page as a whole.
    pub line: usize,
    /// A sentence.
    pub message: String,
}

impl std::fmt::Display for BadMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            0 => f.write_str(&self.message),
            line => write!(f, "line {line}: {}", self.message),
        }
    }
}

impl std::error::Error for BadMetrics {}

/// A page of metrics, of one service.
#[derive(Clone, Debug)]
pub struct Page {
    /// Which service, by its label.
    pub service: String,
    /// Of which stack, by its label.
    pub arm: String,
    /// What it counted. Sojourns are not exported: they are the integral, by Little's law.
    pub snapshot: Snapshot,
}

/// Reads a page.
///
/// # Errors
///
/// The first thing that is wrong with it.
pub fn read_metrics(text: &str) -> Result<Page, BadMetrics> {
    let whole = |message: String| BadMetrics { line: 0, message };
    if text.len() > MAX_PAGE {
        return Err(whole(format!("more than {MAX_PAGE} bytes")));
    }
    let sources: BTreeMap<String, Source> =
        catalogue::services().into_iter().map(|(spec, source)| (spec.name, source)).collect();
    let mut values: BTreeMap<&str, u64> = BTreeMap::new();
    let mut labels: Option<(String, String)> = None;
    for (i, line) in text.lines().enumerate() {
        let wrong = |message: &str| BadMetrics { line: i + 1, message: message.to_owned() };
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let sample = Sample::parse(line).map_err(wrong)?;
        let Some((name, source)) = sources.get_key_value(sample.name) else { continue };
        let value = if source.is_time() { nanos(sample.value) } else { sample.value.parse().ok() };
        let value = value.ok_or_else(|| wrong("its value is no number that a service counts"))?;
        if values.insert(name, value).is_some() {
            return Err(wrong("this metric stands there twice"));
        }
        let of =
            |label: &str| sample.labels.iter().find(|(name, _)| *name == label).map(|(_, text)| text.clone());
        let whose = (
            of("service").ok_or_else(|| wrong("it has no label `service`"))?,
            of("arm").ok_or_else(|| wrong("it has no label `arm`"))?,
        );
        if labels.get_or_insert_with(|| whose.clone()) != &whose {
            return Err(wrong("it is of another service than the lines before"));
        }
    }
    if let Some(missing) = sources.keys().find(|name| !values.contains_key(name.as_str())) {
        return Err(whole(format!("`{missing}` is missing")));
    }
    let (service, arm) = labels.ok_or_else(|| whole("it is empty".to_owned()))?;
    Ok(Page { service, arm, snapshot: snapshot(&sources, &values) })
}

fn snapshot(sources: &BTreeMap<String, Source>, values: &BTreeMap<&str, u64>) -> Snapshot {
    let mut flows = [0; FLOWS];
    let mut stocks = [StockReading::default(); STOCKS];
    let (mut breaker, mut replicas, mut concurrency_limit) = (BreakerState::Absent, 0, 0);
    for (name, source) in sources {
        let value = values.get(name.as_str()).copied().unwrap_or(0);
        match *source {
            Source::Flow(flow) | Source::Nanos(flow) => flows[flow as usize] = value,
            Source::Level(name) => stocks[name as usize].level = value,
            Source::Inflow(name) => stocks[name as usize].inflow = value,
            Source::Outflow(name) => stocks[name as usize].outflow = value,
            Source::Integral(name) => {
                stocks[name as usize].integral = u128::from(value);
                stocks[name as usize].sojourns = u128::from(value);
            }
            Source::Breaker => breaker = BreakerState::from_number(value),
            Source::Replicas => replicas = value,
            Source::ConcurrencyLimit => concurrency_limit = value,
        }
    }
    // A peak is a level that nobody saw: the highest that is known is the one that was read.
    stocks.iter_mut().for_each(|stock| stock.peak = stock.level);
    Snapshot::of(flows, stocks, breaker, replicas, concurrency_limit)
}

struct Sample<'a> {
    name: &'a str,
    labels: Vec<(&'a str, String)>,
    value: &'a str,
}

impl<'a> Sample<'a> {
    fn parse(line: &'a str) -> Result<Sample<'a>, &'static str> {
        let end = line.find(|c: char| !is_name(c)).ok_or("a sample has a value")?;
        let (name, rest) = line.split_at(end);
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            return Err("a sample begins with the name of a metric");
        }
        let (labels, rest) = match rest.strip_prefix('{') {
            Some(rest) => parse_labels(rest)?,
            None => (Vec::new(), rest),
        };
        let value = rest.strip_prefix(' ').ok_or("the value stands behind a blank")?;
        // A time stamp may follow in the format; a service writes none.
        if value.is_empty() || value.contains(' ') {
            return Err("a sample has one value, and no time stamp");
        }
        Ok(Sample { name, labels, value })
    }
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

type Labels<'a> = Vec<(&'a str, String)>;

/// Labels up to the closing brace, and what follows it.
fn parse_labels(mut rest: &str) -> Result<(Labels<'_>, &str), &'static str> {
    let mut labels: Labels<'_> = Vec::new();
    loop {
        if let Some(after) = rest.strip_prefix('}') {
            return Ok((labels, after));
        }
        let (name, quoted) = rest.split_once("=\"").ok_or("a label is name=\"value\"")?;
        if name.is_empty() || !name.chars().all(is_name) {
            return Err("a label begins with its name");
        }
        if labels.iter().any(|(known, _)| *known == name) {
            return Err("a label stands there twice");
        }
        let (value, after) = unquote(quoted)?;
        labels.push((name, value));
        rest = match after.strip_prefix(',') {
            Some(more) if !more.starts_with('}') => more,
            Some(_) => return Err("a label follows the comma"),
            None if after.starts_with('}') => after,
            None => return Err("labels end in a brace"),
        };
    }
}

/// A label's value up to its closing quote, and what follows it.
fn unquote(text: &str) -> Result<(String, &str), &'static str> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => value.push(match chars.next() {
                Some((_, 'n')) => '\n',
                Some((_, c @ ('\\' | '"'))) => c,
                _ => return Err("only a backslash, a quote and n can be escaped"),
            }),
            c => value.push(c),
        }
    }
    Err("a label's value ends in a quote")
}

/// Seconds with nine decimals as nanoseconds, exactly.
fn nanos(text: &str) -> Option<u64> {
    let (seconds, decimals) = text.split_once('.')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    if !digits(seconds) || !digits(decimals) || decimals.len() != 9 {
        return None;
    }
    seconds.parse::<u64>().ok()?.checked_mul(1_000_000_000)?.checked_add(decimals.parse().ok()?)
}
