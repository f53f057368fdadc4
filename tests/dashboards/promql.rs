//! A query read: which metrics it uses, with which labels, and how. Grafana's variables are replaced first; ranges that
//! come from a variable are told from those that somebody wrote as a number.

use promql_parser::parser::{self, AtModifier, Expr, VectorSelector};
use std::collections::BTreeSet;
use std::time::Duration;

/// What stands for Grafana's ranges while a query is read. Nobody writes these numbers by hand.
const STANDS_FOR: [(&str, &str); 3] =
    [("$__rate_interval", "617s"), ("$__range", "7919s"), ("$__interval", "59s")];

/// Functions of a range that count growth: for counters, and for them only.
const GROWTH: [&str; 3] = ["rate", "irate", "increase"];

/// The range of a selector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// `$__rate_interval`.
    RateInterval,
    /// `$__range`, or the whole range of a subquery.
    Screen,
    /// A number that somebody wrote.
    Fixed,
}

/// One use of a metric.
#[derive(Clone, Debug)]
pub struct Use {
    /// The metric.
    pub metric: String,
    /// Labels it is narrowed by, with what it must be.
    pub matchers: Vec<(String, String)>,
    /// Its range, if it has one.
    pub range: Option<Range>,
    /// Whether that range ends at the end of the screen, whatever instant is asked about.
    pub at_end: bool,
    /// The function around the range.
    pub function: Option<String>,
}

impl Use {
    /// Read through a function for counters.
    pub fn as_growth(&self) -> bool {
        self.function.as_deref().is_some_and(|name| GROWTH.contains(&name))
    }
}

/// A query read.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// Metrics in it.
    pub uses: Vec<Use>,
    /// Labels that results may have: those they are grouped by, and those that are made.
    pub labels: BTreeSet<String>,
    /// Ranges of subqueries.
    pub subqueries: Vec<Range>,
}

/// Reads a query.
///
/// # Errors
///
/// The parser's sentence, if it is no PromQL.
pub fn read(query: &str) -> Result<Reading, String> {
    let mut reading = Reading::default();
    walk(&parser::parse(&stand_in(query))?, None, &mut reading);
    Ok(reading)
}

/// The query with Grafana's variables replaced by something that can be parsed.
fn stand_in(query: &str) -> String {
    let mut text = query.to_owned();
    for (variable, value) in STANDS_FOR {
        text = text.replace(variable, value);
    }
    // A quantile is a number; `${so}` is a part of a name; everything else stands in a string.
    let mut text = text.replace("$quantile", "0.5");
    while let Some((before, after)) = text.split_once("${") {
        text = format!("{before}{}", after.replacen('}', "", 1));
    }
    text.replace('$', "")
}

fn range_of(range: Duration) -> Range {
    match range.as_secs() {
        617 => Range::RateInterval,
        7919 => Range::Screen,
        _ => Range::Fixed,
    }
}

fn walk(expression: &Expr, function: Option<&str>, into: &mut Reading) {
    match expression {
        Expr::Aggregate(it) => {
            let labels =
                it.modifier.as_ref().filter(|by| by.is_include()).map(|by| by.labels().labels.clone());
            into.labels.extend(labels.unwrap_or_default());
            walk(&it.expr, None, into);
            it.param.iter().for_each(|param| walk(param, None, into));
        }
        Expr::Unary(it) => walk(&it.expr, None, into),
        Expr::Paren(it) => walk(&it.expr, function, into),
        Expr::Binary(it) => {
            walk(&it.lhs, None, into);
            walk(&it.rhs, None, into);
        }
        Expr::Subquery(it) => {
            into.subqueries.push(range_of(it.range));
            walk(&it.expr, None, into);
        }
        Expr::VectorSelector(it) => into.uses.push(used(it, None, None)),
        Expr::MatrixSelector(it) => into.uses.push(used(&it.vs, Some(range_of(it.range)), function)),
        Expr::Call(it) => {
            if it.func.name == "label_replace" {
                into.labels.extend(it.args.args.get(1).and_then(|label| literal(label)));
            }
            it.args.args.iter().for_each(|argument| walk(argument, Some(it.func.name), into));
        }
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => {}
    }
}

fn literal(expression: &Expr) -> Option<String> {
    match expression {
        Expr::StringLiteral(it) => Some(it.val.clone()),
        _ => None,
    }
}

fn used(selector: &VectorSelector, range: Option<Range>, function: Option<&str>) -> Use {
    let matchers = &selector.matchers.matchers;
    Use {
        metric: selector.name.clone().unwrap_or_default(),
        matchers: matchers.iter().map(|it| (it.name.clone(), it.value.clone())).collect(),
        range,
        at_end: matches!(selector.at, Some(AtModifier::End)),
        function: function.map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_labels_and_ranges_are_found_wherever_they_stand() {
        let query = r#"label_replace(sum by (arm) (rate(a_total{run="$run"}[$__rate_interval])), "stock", "x", "", "")
            / on (arm) (max_over_time(b[$__range] @ end()) > 0) or min_over_time((c)[5m:1s])"#;
        let reading = read(query).unwrap();
        let named: Vec<&str> = reading.uses.iter().map(|it| it.metric.as_str()).collect();
        assert_eq!(named, ["a_total", "b", "c"]);
        let [a, b, c] = &reading.uses[..] else { unreachable!("there are three") };
        assert!(a.as_growth() && a.range == Some(Range::RateInterval) && !a.at_end);
        assert_eq!(a.matchers, [("run".to_owned(), "run".to_owned())]);
        assert!(!b.as_growth() && b.range == Some(Range::Screen) && b.at_end);
        assert_eq!(c.range, None);
        assert_eq!(reading.subqueries, [Range::Fixed]);
        assert!(reading.labels.contains("arm") && reading.labels.contains("stock"));
    }

    #[test]
    fn what_is_no_promql_is_refused() {
        assert!(read("sum by (arm) (rate(a_total[$__rate_interval])").is_err());
        assert!(read("rate(a_total)").is_err());
    }
}
