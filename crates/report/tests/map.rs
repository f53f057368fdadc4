//! What a map, a threshold and a sensitivity table look like. Golden files hold the picture; properties hold
//! the width, and that nothing of a scenario reaches the page as markup.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use insta::assert_snapshot;
use proptest::prelude::*;
use pumphandle_experiment::map::axis::Unit;
use pumphandle_experiment::map::class::Class;
use pumphandle_experiment::map::result::*;
use pumphandle_experiment::sensitivity::result::{
    Flip, NotVaried, NumberResult, SensitivityResult, Variation,
};
use pumphandle_report::{
    Terminal, map_html, map_terminal, sensitivity_markdown, sensitivity_terminal, threshold_terminal,
};
use unicode_width::UnicodeWidthStr;

fn about() -> About {
    About {
        scenario: "made-up".into(),
        title: "A made-up outage".into(),
        file: "made-up.yaml".into(),
        scenario_sha256: "00".repeat(32),
        overrides: vec!["client.retry.attempts=2".into()],
        arm: "control".into(),
        kind: "pulse".into(),
        first_seed: 1,
        looks: vec![6, 20],
        again: "pumphandle sweep made-up.yaml --x load.arrivals.poisson=50/s..240/s".into(),
    }
}

fn axis(path: &str, unit: Unit, geometric: bool, values: Vec<f64>) -> AxisInfo {
    let written = values.iter().map(|value| unit.write(*value)).collect();
    AxisInfo { path: path.into(), unit, geometric, values, written }
}

/// A made-up map: overloaded on the right, a falling border in the middle, stable on the left.
fn map(columns: usize, rows: usize) -> MapResult {
    let class = |x: usize, y: usize| {
        let (across, up) = (x as f64 / columns as f64, y as f64 / rows as f64);
        match across {
            a if a > 0.9 => Class::Overloaded,
            a if a < 0.3 => Class::Stable,
            a if (a + up - 0.8).abs() < 0.04 => Class::Undecided,
            a if a + up > 0.8 => Class::Metastable,
            _ => Class::Vulnerable,
        }
    };
    let classes = (0..rows).map(|y| (0..columns).map(|x| Some(class(x, y))).collect()).collect();
    let corner = |(x, y): (usize, usize)| MapPoint {
        x,
        y,
        class: class(x, y),
        well: Seeds::of(6, 6),
        still_recovering: 0,
        well_without_trigger: None,
        well_after_longest: Some(Seeds::of(16, 20)),
        reasons: Vec::new(),
    };
    MapResult {
        schema: SCHEMA,
        about: about(),
        x: axis(
            "load.arrivals.poisson",
            Unit::Rate,
            false,
            (0..columns).map(|x| 50.0 + 5.0 * x as f64).collect(),
        ),
        y: axis(
            "timeline.slow.for",
            Unit::Duration,
            true,
            (0..rows).map(|y| (10.0 * 1.2_f64.powi(y as i32)).round() / 10.0).collect(),
        ),
        longest_trigger_s: Some(60.0),
        classes,
        points: [(0, 0), (columns - 1, 0), (0, rows - 1), (columns - 1, rows - 1)].map(corner).to_vec(),
        runs: 24,
        runs_of_full_grid: (columns * rows * 6) as u64,
        partial: false,
    }
}

fn threshold() -> ThresholdResult {
    let point = |value: f64, k, n, shown: &str| ThresholdPoint {
        value,
        written: Unit::Duration.write(value),
        well: Seeds::of(k, n),
        still_recovering: u64::from(shown.is_empty()),
        shown: shown.into(),
        reasons: Vec::new(),
    };
    ThresholdResult {
        schema: SCHEMA,
        about: about(),
        path: "timeline.slow.for".into(),
        unit: Unit::Duration,
        precision: "250ms".into(),
        found: Some(Threshold {
            recovers_below: true,
            bracket: [2.0, 2.25],
            bracket_written: ["2s".into(), "2250ms".into()],
            interval: [1.5, 2.5],
            interval_written: ["1500ms".into(), "2500ms".into()],
        }),
        refused: String::new(),
        warnings: vec!["not monotone: it recovers at 9s".into()],
        points: vec![point(1.5, 6, 6, "recovers"), point(2.0, 12, 20, ""), point(2.5, 0, 6, "stays down")],
        runs: 32,
        runs_of_every_place: 400,
        partial: false,
    }
}

fn sensitivity() -> SensitivityResult {
    let flip = |arm: &str, from: &str, to: &str| Flip { arm: arm.into(), from: from.into(), to: to.into() };
    let variation = |value: &str, flips, undecided| Variation {
        value: value.into(),
        control: Some("stays down".into()),
        verdicts: [("restart".to_owned(), "ends".to_owned())].into_iter().collect(),
        flips,
        undecided,
        reasons: Vec::new(),
    };
    let number = |path: &str, value: &str, variations| NumberResult {
        path: path.into(),
        value: value.into(),
        why: "common".into(),
        variations,
    };
    let flips = vec![flip("restart", "ends", "no effect"), flip("queue", "ends", "no effect")];
    SensitivityResult {
        schema: 1,
        scenario: "made-up".into(),
        title: "A made-up outage".into(),
        file: "scenarios/made-up.yaml".into(),
        scenario_sha256: "00".repeat(32),
        which: "free choices".into(),
        by: 0.25,
        seeds: (1..=6).collect(),
        control: Some("stays down".into()),
        base: [("restart", "ends"), ("queue", "ends"), ("budget", "ends"), ("pool", "undecided")]
            .map(|(arm, is)| (arm.to_owned(), is.to_owned()))
            .into_iter()
            .collect(),
        reasons: Vec::new(),
        numbers: vec![
            number(
                "client.retry.attempts",
                "4",
                vec![variation("3", flips, vec![]), variation("5", vec![], vec![])],
            ),
            number(
                "api.queue.size",
                "1000",
                vec![variation("750", vec![], vec![flip("pool", "undecided", "eases")])],
            ),
        ],
        not_varied: vec![NotVaried {
            path: "api.replicas".into(),
            value: "1".into(),
            reason: "0 cannot be: at least one".into(),
        }],
        compared: 3,
        runs: 60,
        runs_without_sharing: 120,
        partial: false,
        again: "pumphandle sensitivity made-up".into(),
    }
}

fn terminal(width: usize) -> Terminal {
    Terminal { width, colour: false, report: Some("runs/made-up-map-7f3a/map.html".into()) }
}

#[test]
fn a_map_at_eighty_columns() {
    assert_snapshot!(map_terminal(&map(33, 25), &terminal(80)));
}

#[test]
fn a_threshold_with_a_warning() {
    assert_snapshot!(threshold_terminal(&threshold(), &terminal(80)));
}

#[test]
fn flips_in_a_table_and_on_the_page() {
    let result = sensitivity();
    assert_snapshot!(format!(
        "{}\n{}",
        sensitivity_terminal(&result, &terminal(80)),
        sensitivity_markdown(&result)
    ));
}

#[test]
fn every_class_that_occurs_has_its_own_sign_and_stands_in_the_legend() {
    let text = map_terminal(&map(33, 25), &terminal(80));
    for (sign, name) in
        [('.', "stable"), ('o', "vulnerable"), ('#', "metastable"), ('X', "overloaded"), ('?', "undecided")]
    {
        assert!(text.lines().any(|line| line.trim_start().starts_with(&format!("{sign}  {name}"))), "{text}");
        assert!(text.lines().any(|line| line.contains(['┤', '│']) && line.contains(sign)), "{sign}: {text}");
    }
    assert!(!text.contains("not tested"), "what does not occur is not explained");
}

#[test]
fn an_interrupted_map_says_so_and_leaves_blank_what_is_not_known() {
    let mut partial = map(9, 9);
    partial.partial = true;
    partial.classes.iter_mut().flatten().for_each(|class| *class = None);
    let text = map_terminal(&partial, &terminal(80));
    assert!(text.starts_with("PARTIAL"), "{text}");
    assert!(!text.contains('#'));
    assert!(map_html(&partial).contains("Partial: interrupted"));
}

#[test]
fn the_page_shows_axes_units_and_legend_and_needs_nobody() {
    let page = map_html(&map(33, 25));
    for part in [
        "load.arrivals.poisson",
        "timeline.slow.for",
        "210/s",
        "60 s",
        "still down long after this trigger has gone",
        "16 of 20 [56, 94] %",
        "data-theme=\"dark\"",
        "default-src 'none'",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("http://") && !page.contains("https://"), "it asks nobody for anything");
    assert_eq!(page, map_html(&map(33, 25)), "the same map gives the same bytes");
}

#[test]
fn names_reach_the_page_as_text_only() {
    let mut map = map(9, 9);
    map.about.title = "<script>alert(1)</script>".into();
    map.x.path = "a\"><img src=x>".into();
    let page = map_html(&map);
    assert!(!page.contains("<script>alert") && !page.contains("<img"));
}

proptest! {
    #[test]
    fn no_line_is_wider_than_the_terminal(columns in 1_usize..130, rows in 1_usize..40, width in 40_usize..160) {
        prop_assume!(columns + 14 <= width);
        for text in [
            map_terminal(&map(columns, rows), &terminal(width)),
            threshold_terminal(&threshold(), &terminal(width)),
            sensitivity_terminal(&sensitivity(), &terminal(width)),
        ] {
            for line in text.lines() {
                prop_assert!(line.width() <= width, "{} > {}: {}", line.width(), width, line);
            }
        }
    }
}
