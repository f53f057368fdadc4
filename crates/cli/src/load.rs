//! `pumphandle load`: a run into a running Prometheus. Looks first whether a run of this name is there already, says
//! what that means, and asks afterwards whether all of it has arrived.

use anyhow::{anyhow, bail};
use pumphandle_console::client::Failure;
use pumphandle_console::prometheus::{Prometheus, encoded};
use pumphandle_core::catalogue::{RUN, RunMetric};
use pumphandle_experiment::document::clean;
use pumphandle_report::recording::{Batches, Sample};

use crate::args::LoadArguments;
use crate::progress::Progress;
use crate::recording::Recording;
use crate::stacks::block_on;
use crate::{End, calendar, screen};

/// The dashboards that are linked, by the end of their address, and what they are.
const DASHBOARDS: [(&str, &str); 3] =
    [("incident", "Incident"), ("stocks", "Stocks"), ("mechanisms", "Mechanisms")];

/// How far back a run of the same name is looked for, and in which steps: shorter than any run is shown.
const LOOK_BACK: &str = "400d:30s";

pub(crate) fn load(arguments: &LoadArguments) -> anyhow::Result<End> {
    let server = Prometheus::at(&arguments.prometheus).map_err(|why| anyhow!("--prometheus: {why}"))?;
    let run = Recording::open(&arguments.recording)?;
    let start = run.start(arguments.recording.at)?;
    block_on(into(&server, &run, start, arguments))?
}

async fn into(
    server: &Prometheus,
    run: &Recording,
    start: i64,
    arguments: &LoadArguments,
) -> anyhow::Result<End> {
    let counts = counts(run)?;
    let there = look(server, run).await?;
    // Where nobody said when, it stays where it is.
    let start = if arguments.recording.at.is_some() { start } else { there.unwrap_or(start) };
    let same = there == Some(start) || there.is_some() && begins(server, run, start).await?;
    if let (Some(there), false) = (there, same) {
        elsewhere(server, run, start, there).await?;
    }
    if same {
        match compare(server, run, start, &counts).await? {
            Found::All => {
                let from = calendar::text(start);
                screen::print(&format!("{} is there already, from {from} on: nothing was sent\n", run.name))?;
                screen::print(&links(run, start, &arguments.grafana))?;
                return Ok(End::Held);
            }
            Found::Other(what) => bail!(
                "another run called {} is there from {} on ({what}); give this one another --name",
                run.name,
                calendar::text(start)
            ),
            Found::Missing(_) => {
                screen::note(&format!(
                    "{} is there in part, from {} on: sent again",
                    run.name,
                    calendar::text(start)
                ));
            }
        }
    }
    let took = send(server, run, start).await?;
    match compare(server, run, start, &counts).await? {
        Found::All => {}
        Found::Missing(what) | Found::Other(what) => {
            bail!("{} took every sample and does not show them: {what}; see its log", server.url())
        }
    }
    let end = start + run.result.windows_s.end.ceil() as i64;
    let (from, to) = (calendar::text(start), calendar::text(end));
    let extent = run.extent;
    screen::print(&format!(
        "{}: {}\n{} samples of {} series in {:.1} s, as if it had been from {from} to {to}; all there, as counted\n",
        run.name,
        run.about(),
        extent.samples,
        extent.series,
        took.as_secs_f64(),
    ))?;
    screen::print(&links(run, start, &arguments.grafana))?;
    Ok(End::Held)
}

/// Where to look at it.
fn links(run: &Recording, start: i64, grafana: &str) -> String {
    // A little air on both sides.
    let (from, to) = ((start - 5) * 1000, (start + i64::from(run.extent.last) + 5) * 1000);
    let link = |(address, title): &(&str, &str)| {
        let grafana = grafana.trim_end_matches('/');
        let name = encoded(&run.name);
        format!("  {title:<11} {grafana}/d/pumphandle-{address}?var-run={name}&from={from}&to={to}\n")
    };
    DASHBOARDS.iter().map(link).collect()
}

// === sending ===

async fn send(server: &Prometheus, run: &Recording, start: i64) -> anyhow::Result<std::time::Duration> {
    let mut progress = Progress::of_samples(run.extent.samples, &run.name);
    let mut batches = Batches::new(run.frames()?, start * 1000);
    let mut sent = 0;
    while let Some(batch) = batches.next()? {
        if let Err(failure) = server.write(batch.body).await {
            progress.finish();
            let rest = if sent == 0 {
                "nothing of it is there".to_owned()
            } else {
                format!("{sent} samples are there")
            };
            bail!("{}; {rest}", refused(server, &failure));
        }
        progress.advance(batch.samples);
        sent += batch.samples;
    }
    Ok(progress.finish())
}

/// What a failure means for whoever runs the server.
fn refused(server: &Prometheus, failure: &Failure) -> String {
    let Failure::Refused(status, said) = failure else { return failure.to_string() };
    let window = "in prometheus.yml, under `storage: tsdb:`, `out_of_order_time_window: 30d` makes it take runs of the past";
    let said_one_of = |words: &[&str]| words.iter().any(|word| said.contains(word));
    let what = if *status == 404 {
        "it takes no remote write: start it with --web.enable-remote-write-receiver".to_owned()
    } else if [401, 403].contains(status) {
        "it wants credentials, which this command has none of".to_owned()
    } else if said_one_of(&["too old sample"]) {
        "the run would lie further back than its `out_of_order_time_window`: choose a later --at, or a longer window".to_owned()
    } else if said_one_of(&["out of bounds", "out of order"]) {
        format!("it takes nothing so far in the past: {window}")
    } else if said_one_of(&["duplicate sample"]) {
        "it has other values at these very times: give the run another --name, or another --at".to_owned()
    } else {
        "see its log".to_owned()
    };
    format!("{} refused ({status}: {}): {what}", server.url(), clean(said))
}

// === what is there ===

/// A counter of the users at the run's end: its name, its labels as a selector, its value.
struct Count {
    selector: String,
    value: f64,
}

/// What the users' counters have come to at the end.
fn counts(run: &Recording) -> anyhow::Result<Vec<Count>> {
    let mut frames = run.frames()?;
    let mut last = Vec::new();
    while let Some(frame) = frames.next()? {
        last.resize(frame.samples.len(), 0.0);
        for (last, sample) in last.iter_mut().zip(frame.samples) {
            if let Sample::Value(value) = sample {
                *last = *value;
            }
        }
    }
    let of_users =
        [RunMetric::UsersDue, RunMetric::UsersSettled, RunMetric::UserLatency].map(RunMetric::name);
    let series = frames.series().iter().zip(last);
    let chosen = series.filter(|(series, _)| of_users.contains(&series.metric.as_str()));
    Ok(chosen
        .map(|(series, value)| Count { selector: selector(&series.name, &series.labels), value })
        .collect())
}

fn selector(name: &str, labels: &[(&'static str, String)]) -> String {
    let mut labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={}", quoted(value))).collect();
    labels.sort();
    format!("{name}{{{}}}", labels.join(","))
}

/// Text as PromQL writes it.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// What the server has of a run.
enum Found {
    All,
    /// Not everything: what is missing.
    Missing(String),
    /// Something else: what differs.
    Other(String),
}

/// Compares the users' counters at the end of the run with those of the file.
async fn compare(
    server: &Prometheus,
    run: &Recording,
    start: i64,
    counts: &[Count],
) -> anyhow::Result<Found> {
    let names = [RunMetric::UsersDue, RunMetric::UsersSettled].map(RunMetric::name).join("|");
    let latency = RunMetric::UserLatency.name();
    let asked = format!("{{__name__=~\"{names}|{latency}_(bucket|sum|count)\",{RUN}={}}}", quoted(&run.name));
    let found = ask(server, &asked, start + i64::from(run.extent.last) - 1).await?;
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let mut there = std::collections::BTreeMap::new();
    for it in &found {
        let labels = it["metric"].as_object().into_iter().flatten();
        let mut labels: Vec<_> = labels.map(|(name, value)| (name.as_str(), text(value))).collect();
        let name = labels.iter().position(|(name, _)| *name == "__name__").map(|at| labels.remove(at).1);
        labels.sort();
        let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={}", quoted(value))).collect();
        let selector = format!("{}{{{}}}", name.unwrap_or_default(), labels.join(","));
        there.insert(selector, text(&it["value"][1]).parse::<f64>().unwrap_or(f64::NAN));
    }
    for Count { selector, value } in counts {
        match there.get(selector) {
            None => return Ok(Found::Missing(format!("no {selector}"))),
            Some(found) if found != value => {
                return Ok(Found::Other(format!("{selector} is {found} there, and {value} here")));
            }
            Some(_) => {}
        }
    }
    Ok(Found::All)
}

/// When a run of this name begins on the server; none if there is none.
async fn look(server: &Prometheus, run: &Recording) -> anyhow::Result<Option<i64>> {
    let info = info(run);
    let first = format!("min(min_over_time(timestamp({info})[{LOOK_BACK}]))");
    let Some(near) = number(&ask(server, &first, calendar::now()).await?) else { return Ok(None) };
    // The step was coarse: the samples before it say it exactly.
    let before = ask(server, &format!("{info}[1m]"), near as i64).await?;
    let first = before.iter().filter_map(|it| it["values"][0][0].as_f64()).min_by(f64::total_cmp);
    Ok(first.map(|first| first as i64))
}

/// Whether a run of this name begins at `start`: there is a sample, and none in the second before.
async fn begins(server: &Prometheus, run: &Recording, start: i64) -> anyhow::Result<bool> {
    // A server before version 3 counts the sample at a range's left end, too; a half second settles that.
    let expression = format!("sum(count_over_time({}[1500ms]))", info(run));
    Ok(number(&ask(server, &expression, start).await?) == Some(1.0))
}

/// The series that every run has once.
fn info(run: &Recording) -> String {
    format!("{}{{{RUN}={}}}", RunMetric::RunInfo.name(), quoted(&run.name))
}

/// It is to be put elsewhere than where it is: refused where the two would mix, and told otherwise.
async fn elsewhere(server: &Prometheus, run: &Recording, start: i64, there: i64) -> anyhow::Result<()> {
    let info = info(run);
    let length = run.extent.last;
    let mixed = format!("sum(count_over_time({info}[{}s]))", length + 1);
    let end = start + i64::from(length);
    if number(&ask(server, &mixed, end).await?).is_some_and(|n| n > 0.0) {
        bail!(
            "{} is there already, from {} on, and the two would mix: give this one another --name, or leave out --at \
             to keep it where it is",
            run.name,
            calendar::text(there)
        );
    }
    screen::note(&format!(
        "{} is there already, from {} on: this is a second copy",
        run.name,
        calendar::text(there)
    ));
    Ok(())
}

async fn ask(server: &Prometheus, expression: &str, at: i64) -> anyhow::Result<Vec<serde_json::Value>> {
    server.query(expression, at).await.map_err(|failure| match failure {
        Failure::Refused(404, _) => anyhow!("{} is no Prometheus: it answers no queries", server.url()),
        other => anyhow!("{}", refused(server, &other)),
    })
}

fn number(found: &[serde_json::Value]) -> Option<f64> {
    found.first()?["value"][1].as_str()?.parse().ok()
}
