//! OpenMetrics text, read strictly, for tests: what the specification forbids and promtool forgives is an error here.
//! (OpenMetrics 1.0: families in one piece, and metrics within them; times that grow; names by type; `# EOF`.)

use std::collections::{BTreeMap, BTreeSet};

/// A family with its samples, in their order.
#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) samples: Vec<Read>,
}

/// A sample.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
    /// Seconds.
    pub(crate) time: i64,
}

/// Reads a whole file.
pub(crate) fn parse(text: &str) -> Vec<Family> {
    let body = text.strip_suffix("# EOF\n").expect("it ends with # EOF and a line end");
    let mut families: Vec<Family> = Vec::new();
    for line in body.split_terminator('\n') {
        assert!(!line.is_empty() && line.trim() == line, "a line with nothing to say: {line:?}");
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type has a name");
            let new = families.iter().all(|family| family.name != name);
            assert!(new && is_name(name) && ["counter", "gauge", "histogram"].contains(&kind), "{line}");
            families.push(Family { name: name.to_owned(), kind: kind.to_owned(), samples: Vec::new() });
            continue;
        }
        let family = families.last_mut().expect("a family begins with its type");
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, _) = rest.split_once(' ').expect("a help says something");
            assert!(name == family.name && family.samples.is_empty(), "{line}");
        } else {
            let sample = read(line);
            hold_to_type(family, &sample);
            family.samples.push(sample);
        }
    }
    families.iter().for_each(hold_together);
    families
}

fn is_name(name: &str) -> bool {
    let mut all = name.chars();
    all.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && all.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn hold_to_type(family: &Family, sample: &Read) {
    let ending = sample
        .name
        .strip_prefix(&family.name)
        .unwrap_or_else(|| panic!("{} in {}", sample.name, family.name));
    let known: &[&str] = match family.kind.as_str() {
        "counter" => &["_total"],
        "gauge" => &[""],
        _ => &["_bucket", "_sum", "_count"],
    };
    assert!(known.contains(&ending), "{} in {} {}", sample.name, family.kind, family.name);
    assert_eq!(sample.labels.contains_key("le"), ending == "_bucket", "{sample:?}");
    assert!(sample.value.is_finite() && (family.kind == "gauge" || sample.value >= 0.0), "{sample:?}");
}

/// A metric's points come one after the other, each with a later time; no metric comes back.
fn hold_together(family: &Family) {
    let metric = |sample: &Read| {
        let mut labels = sample.labels.clone();
        labels.remove("le");
        labels
    };
    let mut seen = BTreeSet::new();
    for samples in family.samples.chunk_by(|a, b| metric(a) == metric(b)) {
        assert!(seen.insert(metric(&samples[0])), "{} comes in two pieces", family.name);
        assert!(samples.is_sorted_by_key(|sample| sample.time), "{} goes back in time", family.name);
        for point in samples.chunk_by(|a, b| a.time == b.time) {
            if family.kind == "histogram" {
                hold_to_histogram(point);
            } else {
                assert_eq!(point.len(), 1, "{} says two things at once", family.name);
            }
        }
    }
}

fn hold_to_histogram(point: &[Read]) {
    let buckets: Vec<&Read> = point.iter().filter(|it| it.name.ends_with("_bucket")).collect();
    let bound =
        |it: &&Read| it.labels["le"].replace("+Inf", "inf").parse::<f64>().expect("a bound is a number");
    assert!(
        buckets.windows(2).all(|pair| bound(&pair[0]) < bound(&pair[1]) && pair[0].value <= pair[1].value)
    );
    let last = buckets.last().expect("a histogram has buckets");
    assert_eq!(last.labels["le"], "+Inf");
    let count = point.iter().find(|it| it.name.ends_with("_count")).expect("a histogram counts");
    assert_eq!(last.value, count.value);
    assert_eq!(point.len(), buckets.len() + 2, "buckets, sum and count");
}

fn read(line: &str) -> Read {
    let (name, rest) = line.split_once('{').expect("every sample of ours has labels");
    assert!(is_name(name), "{line}");
    let (mut labels, mut rest) = (BTreeMap::new(), rest);
    loop {
        let (label, after) = rest.split_once("=\"").expect("a label has a value");
        assert!(is_name(label), "{line}");
        let (value, after) = unescaped(after);
        assert!(labels.insert(label.to_owned(), value).is_none(), "twice: {line}");
        match after.strip_prefix(',') {
            Some(after) => rest = after,
            None => {
                rest = after.strip_prefix("} ").expect("labels end");
                break;
            }
        }
    }
    let (value, time) = rest.split_once(' ').expect("a value and a time");
    let number = |text: &str| text.parse::<f64>().expect("a value is a number");
    Read {
        name: name.to_owned(),
        labels,
        value: number(value),
        time: time.parse().expect("a time is whole seconds"),
    }
}

/// A label's value up to its closing quote, and what follows.
fn unescaped(text: &str) -> (String, &str) {
    let (mut value, mut chars) = (String::new(), text.char_indices());
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, c @ ('"' | '\\'))) => value.push(c),
                other => panic!("no escape: {other:?}"),
            },
            c => value.push(c),
        }
    }
    panic!("a value without an end: {text}");
}
