//! Stocks as bathtubs: what runs in through the tap, what runs out through the drain, how full it is, and what goes
//! over the edge. As SVG, with all words in the page itself, so that they stay readable on any width. It draws the
//! control's means over seeds; that every second adds up was checked when the run was made.

use std::fmt::Write;

use pumphandle_experiment::result::{StockSeries, Story};

use crate::accumulate::{Accumulation, accumulations};
use crate::terminal::accumulation;
use crate::words;

/// More tubs than this tell nobody anything.
const MOST: usize = 3;

/// Two stocks whose levels are as near as this before and after are shown once.
const ALIKE: f64 = 0.02;

/// Points of the line of levels: more cannot be seen.
const POINTS: usize = 300;

/// A stock with its pictures.
pub(super) struct Bathtub {
    pub(super) name: String,
    /// What happened to it, in a sentence.
    pub(super) says: String,
    /// Level over time.
    pub(super) levels: String,
    pub(super) end: String,
    /// What the top of the picture of levels is.
    pub(super) top: String,
    pub(super) instants: Vec<Instant>,
}

/// A tub at one second.
pub(super) struct Instant {
    pub(super) when: String,
    pub(super) svg: String,
    pub(super) says: String,
}

/// The control's stocks that filled most.
pub(super) fn bathtubs(story: &Story) -> Vec<Bathtub> {
    let trigger = story.result.windows_s.trigger.map(|t| t[0] as usize);
    let mut shown: Vec<Accumulation> = Vec::new();
    for it in accumulations(story) {
        // A worker with a connection is in two stocks that fill as one: two pictures would say one thing.
        let near = |a: f64, b: f64| (a - b).abs() <= ALIKE * a.max(b);
        let as_one = |other: &Accumulation| near(other.before, it.before) && near(other.after, it.after);
        if shown.len() < MOST && !shown.iter().any(as_one) {
            shown.push(it);
        }
    }
    shown.iter().filter_map(|it| bathtub(story, it, trigger)).collect()
}

fn bathtub(story: &Story, found: &Accumulation, trigger: Option<usize>) -> Option<Bathtub> {
    let (service, stock) = found.name.split_once('.')?;
    let of_service = story.series.get("control")?.services.get(service)?;
    let series = of_service.stocks.get(stock)?;
    let top = highest(&series.level).max(series.limit.unwrap_or(0.0)).max(1.0);
    let flows = highest(&series.inflow).max(highest(&series.outflow)).max(1.0);
    let spill = (stock == "queue").then(|| of_service.flows.get("rejected")).flatten();
    let at = |row: usize| words::instant((row * story.sample_s) as f64, story.result.windows_s.end);
    let instant = |(when, t): (String, usize)| instant(series, spill, when, t, top, flows);
    Some(Bathtub {
        name: found.name.clone(),
        says: accumulation(found),
        levels: levels(series, top),
        end: at(series.level.len()),
        top: match series.limit {
            Some(limit) => format!("its limit, {}", words::number(limit)),
            None => format!("the most there was, {}", words::number(top)),
        },
        instants: instants(series, trigger, at).into_iter().map(instant).collect(),
    })
}

/// The seconds worth a picture, with their names: at rest, filling fastest, full, and the end.
fn instants(
    series: &StockSeries,
    trigger: Option<usize>,
    at: impl Fn(usize) -> String,
) -> Vec<(String, usize)> {
    let n = series.level.len().min(series.inflow.len()).min(series.outflow.len());
    if n == 0 {
        return Vec::new();
    }
    let rest = trigger.map_or(n / 5, |at| at.saturating_sub(1)).min(n - 1);
    let gain = |t: usize| series.inflow[t] - series.outflow[t];
    let fastest = (0..n).rev().max_by(|a, b| gain(*a).total_cmp(&gain(*b))).unwrap_or(0);
    let most = highest(&series.level);
    let full = series.level.iter().position(|level| *level >= 0.98 * most).unwrap_or(n - 1).min(n - 1);
    let named = [
        ("at rest", rest),
        ("filling fastest", fastest),
        ("as full as it gets", full),
        ("at the end", n - 1),
    ];
    let mut all: Vec<(String, usize)> = named.map(|(name, t)| (format!("{name}, {}", at(t + 1)), t)).into();
    all.dedup_by_key(|(_, t)| *t);
    all
}

fn instant(
    series: &StockSeries,
    spill: Option<&Vec<f64>>,
    when: String,
    t: usize,
    top: f64,
    flows: f64,
) -> Instant {
    let (level, inflow, outflow) = (series.level[t], series.inflow[t], series.outflow[t]);
    let over = spill.and_then(|rejected| rejected.get(t)).copied().filter(|rejected| *rejected >= 0.5);
    let edge = over.map_or_else(String::new, |over| format!(", over the edge {}/s", words::number(over)));
    let says = format!("in {}/s, out {}/s{edge}", words::number(inflow), words::number(outflow));
    Instant {
        svg: tub(&when, level / top, level, inflow / flows, outflow / flows, over.is_some()),
        when,
        says,
    }
}

/// One tub, 150 by 150: the water's height is the level, the widths of the streams are the flows.
fn tub(when: &str, full: f64, level: f64, inflow: f64, outflow: f64, spills: bool) -> String {
    let (left, right, rim, bottom) = (22.0, 128.0, 46.0, 118.0);
    let label = format!("{when}: {} inside", words::number(level));
    let mut out =
        format!(r#"<svg viewBox="0 0 150 150" role="img" aria-label="{}">"#, super::loops::escaped(&label));
    let surface = bottom - (bottom - rim) * full.clamp(0.0, 1.0);
    let mut stream = |x: f64, from: f64, to: f64, flow: f64| {
        if flow > 0.0 {
            let width = (22.0 * flow).max(1.5);
            let x = x - width / 2.0;
            let height = to - from;
            let _ = write!(
                out,
                r#"<rect class="tub-flow" x="{x:.1}" y="{from:.1}" width="{width:.1}" height="{height:.1}"/>"#
            );
        }
    };
    stream(37.0, 18.0, surface.max(rim), inflow);
    stream(113.0, bottom, 144.0, outflow);
    let width = right - left;
    let _ = write!(
        out,
        r#"<rect class="tub-water" x="{left}" y="{surface:.1}" width="{width}" height="{:.1}"/>"#,
        bottom - surface
    );
    if spills {
        let _ = write!(
            out,
            r#"<path class="tub-spill" d="M{left} {rim}q-10 2 -11 26v66M{right} {rim}q10 2 11 26v66"/>"#
        );
    }
    let _ = write!(
        out,
        r#"<path class="tub-wall" d="M{} {rim}H{left}V{bottom}H{right}V{rim}h6"/><path class="tub-wall" d="M19 10H37V18"/>"#,
        left - 6.0
    );
    let y = (rim + bottom) / 2.0 + 6.0;
    let _ = write!(out, r#"<text class="tub-level" x="75" y="{y:.1}">{}</text></svg>"#, words::number(level));
    out
}

/// The level over time as an area below its limit; stretched to the page's width, so without any text.
fn levels(series: &StockSeries, top: f64) -> String {
    let n = series.level.len();
    let step = n.div_ceil(POINTS).max(1);
    let point = |(i, chunk): (usize, &[f64])| {
        let mean = chunk.iter().sum::<f64>() / chunk.len() as f64;
        let x = (i * step + chunk.len()) as f64 / n.max(1) as f64 * 600.0;
        format!("{x:.1},{:.1}", 100.0 - mean / top * 94.0)
    };
    let points: Vec<String> = series.level.chunks(step).enumerate().map(point).collect();
    let points = points.join(" ");
    format!(
        r#"<svg class="tub-levels" viewBox="0 0 600 100" preserveAspectRatio="none" aria-hidden="true"><polygon class="tub-water" points="0,100 {points} 600,100"/><path class="tub-limit" d="M0 6H600"/></svg>"#
    )
}

fn highest(values: &[f64]) -> f64 {
    values.iter().copied().fold(0.0, f64::max)
}
