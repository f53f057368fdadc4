//! PromQL, written by functions that take metrics from the catalogue: a wrong name does not compile, a label that a
//! metric does not have stops the generator. What a query *means* is checked against a real server, not here.
//!
//! Every series is narrowed to the chosen run. Ranges are Grafana's: `$__rate_interval` where a line is drawn,
//! `$__range` where one number stands for all that is on the screen.

use std::fmt;

use pumphandle_core::catalogue::{self, Kind, RUN, RunMetric, Source};
use pumphandle_core::meter::{Flow, StockName};

/// Which arms a query is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arms {
    /// The one that is compared with.
    Control,
    /// Those that are compared.
    Treatment,
    /// All that were chosen.
    Both,
}

impl Arms {
    /// What the queries of this choice are called in a panel; colours go by it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Arms::Control => "control",
            Arms::Treatment => "treatment",
            Arms::Both => "arms",
        }
    }

    const fn matcher(self) -> &'static str {
        match self {
            Arms::Control => r#"arm="$control""#,
            Arms::Treatment => r#"arm=~"$treatment""#,
            Arms::Both => r#"arm=~"$control|$treatment""#,
        }
    }
}

/// Series of one metric in the chosen run.
#[derive(Clone, Debug)]
pub(super) struct Series {
    name: String,
    kind: Kind,
    labels: Vec<&'static str>,
    matchers: Vec<String>,
}

/// A flow of services.
pub(super) fn flow(flow: Flow) -> Series {
    of_services(|source| [Source::Flow(flow), Source::Nanos(flow)].contains(&source))
}

/// How much is in a stock.
pub(super) fn level(stock: StockName) -> Series {
    of_services(|source| source == Source::Level(stock))
}

/// What entered a stock.
pub(super) fn inflow(stock: StockName) -> Series {
    of_services(|source| source == Source::Inflow(stock))
}

/// What left a stock.
pub(super) fn outflow(stock: StockName) -> Series {
    of_services(|source| source == Source::Outflow(stock))
}

/// The level of a stock times the time.
pub(super) fn level_seconds(stock: StockName) -> Series {
    of_services(|source| source == Source::Integral(stock))
}

/// Where the name of the chosen stock stands in names of metrics.
const CHOSEN: &str = "${stock}";

/// What `of` asks of a stock, of the one that is chosen above: `pumphandle_${stock}`.
pub(super) fn chosen(of: impl Fn(StockName) -> Series) -> Series {
    let mut series = of(StockName::Queue);
    series.name = series.name.replacen(StockName::Queue.name(), CHOSEN, 1);
    series
}

/// What services say of themselves beside flows and stocks.
pub(super) fn gauge(which: Source) -> Series {
    of_services(|source| source == which)
}

fn of_services(wanted: impl Fn(Source) -> bool) -> Series {
    let all = catalogue::services();
    let (spec, _) =
        all.into_iter().find(|(_, source)| wanted(*source)).expect("meters export all they count");
    Series::new(spec.name, spec.kind, spec.labels)
}

/// What the runner sees.
pub(super) fn run(metric: RunMetric) -> Series {
    Series::new(metric.name().to_owned(), metric.kind(), metric.labels())
}

impl Series {
    fn new(name: String, kind: Kind, labels: &'static [&'static str]) -> Series {
        Series { name, kind, labels: labels.to_vec(), matchers: vec![format!(r#"{RUN}="$run""#)] }
    }

    /// Of these arms.
    pub(super) fn of(mut self, arms: Arms) -> Series {
        self.know("arm");
        self.matchers.push(arms.matcher().to_owned());
        self
    }

    /// Where a label has this value, or one of several that a variable holds (`=~`).
    pub(super) fn with(mut self, label: &str, is: &str, value: &str) -> Series {
        self.know(label);
        self.matchers.push(format!(r#"{label}{is}"{value}""#));
        self
    }

    /// Of all runs, not only of the one that is chosen.
    pub(super) fn of_every_run(mut self) -> Series {
        self.matchers.remove(0);
        self
    }

    /// The buckets of a histogram.
    pub(super) fn buckets(mut self) -> Series {
        assert_eq!(self.kind, Kind::Histogram, "{} has no buckets", self.name);
        self.name.push_str("_bucket");
        self.labels.push("le");
        self
    }

    /// Growth per second, by these labels.
    pub(super) fn per_second(&self, by: &[&str]) -> String {
        assert_ne!(self.kind, Kind::Gauge, "{} does not only grow", self.name);
        format!("sum by ({}) (rate({self}[$__rate_interval]))", self.list(by))
    }

    /// Growth over all that is on the screen, by these labels: one number.
    pub(super) fn grown(&self, by: &[&str]) -> String {
        assert_ne!(self.kind, Kind::Gauge, "{} does not only grow", self.name);
        format!("sum by ({}) (increase({self}[$__range] @ end()))", self.list(by))
    }

    /// Growth per second over all that is on the screen, by these labels: one number.
    pub(super) fn mean_growth(&self, by: &[&str]) -> String {
        assert_ne!(self.kind, Kind::Gauge, "{} does not only grow", self.name);
        format!("sum by ({}) (rate({self}[$__range] @ end()))", self.list(by))
    }

    /// The value, by these labels: added, where several series differ in others.
    pub(super) fn sum(&self, by: &[&str]) -> String {
        format!("sum by ({}) ({})", self.list(by), self.gauge())
    }

    /// The largest value, by these labels.
    pub(super) fn max(&self, by: &[&str]) -> String {
        format!("max by ({}) ({})", self.list(by), self.gauge())
    }

    /// The largest value on the screen, by these labels: one number.
    pub(super) fn highest(&self, by: &[&str]) -> String {
        format!("max by ({}) (max_over_time({}[$__range] @ end()))", self.list(by), self.gauge())
    }

    /// The mean value on the screen, by these labels: one number.
    pub(super) fn mean(&self, by: &[&str]) -> String {
        format!("sum by ({}) (avg_over_time({}[$__range] @ end()))", self.list(by), self.gauge())
    }

    /// What is known at the end of the screen, by these labels. A run that was recorded may have ended before:
    /// then it is the last that was known. Of a run that goes on it is only what is known now.
    pub(super) fn known(&self, by: &[&str]) -> String {
        let gauge = self.gauge();
        let over = format!("last_over_time({gauge}[$__range])");
        let going_on = run(RunMetric::Phase);
        format!("max by ({}) ({gauge} or ({over} unless on () {going_on}))", self.list(by))
    }

    fn gauge(&self) -> &Series {
        assert_eq!(self.kind, Kind::Gauge, "{} is to be read through rate or increase", self.name);
        self
    }

    fn list(&self, by: &[&str]) -> String {
        by.iter().for_each(|label| self.know(label));
        by.join(", ")
    }

    fn know(&self, label: &str) {
        assert!(label == RUN || self.labels.contains(&label), "{} has no label `{label}`", self.name);
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.matchers.as_slice() {
            [] => f.write_str(&self.name),
            some => write!(f, "{}{{{}}}", self.name, some.join(",")),
        }
    }
}

/// `line`, of those only for which `number` is above zero: what never moved is not drawn.
pub(super) fn where_any(line: &str, number: &str) -> String {
    format!("{line} and {number} > 0")
}

/// A share or a ratio; nothing where the lower part is zero.
pub(super) fn ratio(above: &str, below: &str) -> String {
    format!("{above} / ({below} > 0)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_written_as_one_would_by_hand() {
        let settled = run(RunMetric::UsersSettled).of(Arms::Treatment).with("outcome", "=", "good");
        assert_eq!(
            settled.per_second(&["arm"]),
            r#"sum by (arm) (rate(pumphandle_users_settled_total{run="$run",arm=~"$treatment",outcome="good"}[$__rate_interval]))"#
        );
        assert_eq!(
            level(StockName::Queue).of(Arms::Control).max(&["arm", "service"]),
            r#"max by (arm, service) (pumphandle_queue{run="$run",arm="$control"})"#
        );
        assert_eq!(run(RunMetric::RunInfo).of_every_run().to_string(), "pumphandle_run_info");
        assert_eq!(
            chosen(inflow).per_second(&[]),
            r#"sum by () (rate(pumphandle_${stock}_inflow_total{run="$run"}[$__rate_interval]))"#
        );
    }

    #[test]
    fn what_a_metric_cannot_be_asked_stops_the_generator() {
        let refuses = |ask: fn() -> String| std::panic::catch_unwind(ask).is_err();
        assert!(refuses(|| run(RunMetric::UsersDue).with("service", "=", "api").to_string()));
        assert!(refuses(|| run(RunMetric::UsersDue).sum(&["arm"])));
        assert!(refuses(|| run(RunMetric::UsersWaiting).per_second(&["arm"])));
        assert!(refuses(|| flow(Flow::Retries).per_second(&["outcome"])));
        assert!(refuses(|| run(RunMetric::UsersDue).buckets().to_string()));
    }
}
