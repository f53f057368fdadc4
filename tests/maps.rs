//! Maps, thresholds and sensitivity as a person uses them, on a storm that is small enough for a test.

mod support;

use std::path::Path;
use std::process::Output;

use support::{code, json, pumphandle, text};

/// Eight workers that answer 160 per second, clients that try four times, a queue that holds 2.5 s of work: by
/// attempts x arrivals > capacity it can be tipped from 40 arrivals per second on.
const STORM: &str = "\
scenario: tiny
title: A tiny storm
story: It is slow for a while.
kind: pulse
# why: lesson: as told
slo: { latency: 1s }
# why: lesson: as told
duration: 150s
# why: lesson: as told
pull: 60s
load: { arrivals: { poisson: 80/s } } # why: free choice; half of the capacity
services:
  client:
    calls: shop
    with:
      attempt_timeout: 300ms # why: lesson: as told
      retry: { attempts: 4, backoff: { up_to: 50ms, jitter: full } } # why: lesson: as told
  shop:
    workers: 8 # why: lesson: as told
    queue: { size: 400 } # why: free choice; longer than anybody waits
    service_time: { exponential: 50ms } # why: lesson: as told
timeline:
  - trigger: slow
    from: 20s # why: lesson: as told
    for: 6s # why: lesson: as told
    do: { slow_down: { service: shop, factor: 20 } } # why: lesson: as told
levers:
  no-retries: { title: none, level: 7, set: { client.retry.enabled: false } }
  patience:
    title: more
    level: 12
    set: { client.attempt_timeout: 450ms } # why: free choice; a little more
known_to_work: no-retries
claims: []
";

fn storm() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("there is room");
    std::fs::write(folder.path().join("tiny.yaml"), STORM).expect("the folder is there");
    folder
}

const MAP: [&str; 9] = [
    "sweep",
    "tiny.yaml",
    "--x",
    "load.arrivals.poisson=20/s..220/s",
    "--y",
    "timeline.slow.for=2s..8s",
    "--steps",
    "4",
    "--seeds",
];

fn map(folder: &Path, extra: &[&'static str]) -> Output {
    let arguments: Vec<&str> = MAP.into_iter().chain(["6"]).chain(extra.iter().copied()).collect();
    pumphandle(folder, &arguments)
}

#[test]
fn a_map_is_stable_below_capacity_by_attempts_metastable_above_and_overloaded_beyond_capacity() {
    let folder = storm();
    let output = map(folder.path(), &["--json", "--out", "map"]);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    let result = json(&output);
    // At 20, 120 and 220 arrivals per second; 40 are the border, 160 the capacity.
    let class = |x: usize, y: usize| result["classes"][y][x].as_str().unwrap_or("-").to_owned();
    assert_eq!(class(0, 4), "stable");
    assert_eq!(class(0, 0), "stable");
    assert_eq!(class(2, 4), "metastable");
    assert_eq!(class(4, 2), "overloaded");
    let points = result["points"].as_array().expect("points");
    assert!(points.iter().all(|point| point["well"]["n"] == 6));
    assert_eq!(result["x"]["written"][4], "220/s");
    assert_eq!(result["longest_trigger_s"], 8.0);
    let kept = |file: &str| std::fs::read(folder.path().join("map").join(file)).expect(file);
    assert_eq!(kept("result.json"), output.stdout);
    assert!(text(&kept("map.html")).contains("<svg"));
    let again = map(folder.path(), &["--json", "--out", "again", "--jobs", "3"]);
    assert!(again.stdout == output.stdout, "the number of threads cannot be seen");
}

#[test]
fn a_map_measures_less_than_its_grid_and_shows_the_same_as_the_grid() {
    let folder = storm();
    let rows = |steps: &'static str, y: &'static str| {
        let arguments = ["sweep", "tiny.yaml", "--x", "load.arrivals.poisson=20/s..30/s", "--y", y, "--json"];
        json(&pumphandle(folder.path(), &[&arguments[..], &["--steps", steps, "--seeds", "6"]].concat()))
    };
    // Far from every border 81 corners are enough for 17 x 17 points.
    let result = rows("16", "timeline.slow.for=2s..4s");
    assert_eq!(result["points"].as_array().map(Vec::len), Some(81));
    assert!(result["classes"].as_array().unwrap().iter().all(|row| row.as_array().unwrap().len() == 17));
    assert!(result["runs"].as_u64() < result["runs_of_full_grid"].as_u64());
}

#[test]
fn the_picture_is_eighty_columns_wide_and_names_its_axes() {
    let folder = storm();
    let output = map(folder.path(), &["--out", "map"]);
    let shown = text(&output.stdout);
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    for part in [
        "load.arrivals.poisson: 20/s to 220/s",
        "timeline.slow.for: 2 s to 8 s",
        "metastable",
        "map/map.html",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}

#[test]
fn a_threshold_is_found_where_attempts_times_arrivals_reach_capacity() {
    let folder = storm();
    let arguments = [
        "threshold",
        "tiny.yaml",
        "--x",
        "load.arrivals.poisson=20/s..120/s",
        "--to",
        "4/s",
        "--json",
        "--out",
        "t",
    ];
    let output = pumphandle(folder.path(), &arguments);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    let result = json(&output);
    let [low, high] = [0, 1].map(|i| result["found"]["bracket"][i].as_f64().expect("a bracket"));
    assert_eq!((high - low, result["found"]["recovers_below"].as_bool()), (4.0, Some(true)));
    // 160 / 4, within a tenth: what still is answered in time takes some load off.
    assert!(low <= 44.0 && high >= 36.0, "{low} to {high}");
    let [from, to] = [0, 1].map(|i| result["found"]["interval"][i].as_f64().expect("an interval"));
    assert!(from <= low && high <= to);
}

#[test]
fn a_threshold_within_a_lever_is_searched_with_that_lever() {
    let folder = storm();
    let path = "levers.patience.set.client.attempt_timeout=320ms..6s";
    let arguments = [
        "threshold",
        "tiny.yaml",
        "--lever",
        "patience@start",
        "--x",
        path,
        "--to",
        "200ms",
        "--json",
        "--out",
        "t",
    ];
    let output = pumphandle(folder.path(), &arguments);
    assert_eq!(code(&output), 0, "{} {}", text(&output.stderr), text(&output.stdout));
    let result = json(&output);
    assert_eq!(result["about"]["arm"], "patience@start");
    assert_eq!(result["found"]["recovers_below"], false, "who outlasts the queue does not come back");
}

#[test]
fn ends_that_agree_are_refused_and_are_no_success() {
    let folder = storm();
    let arguments =
        ["threshold", "tiny.yaml", "--x", "load.arrivals.poisson=15/s..25/s", "--to", "1/s", "--out", "t"];
    let output = pumphandle(folder.path(), &arguments);
    assert_eq!(code(&output), 3);
    assert!(text(&output.stdout).contains("both ends agree: it recovers"), "{}", text(&output.stdout));
}

#[test]
fn a_range_that_cannot_be_is_refused_before_anything_runs() {
    let folder = storm();
    let good_y = "timeline.slow.for=2s..8s";
    for (x, y, hint) in [
        ("load.arrivals.poisson", good_y, "expected PATH=A..B"),
        ("load.arrivals.poisson=slow..fast", good_y, "expected a rate such as 100/s"),
        ("load.arrivals.poisson=9/s..3/s", good_y, "the first has to be below the second"),
        ("load.arrivals.poisson=5/s..5/s", good_y, "the first has to be below the second"),
        ("load.arivals.poisson=5/s..9/s", good_y, "did you mean `arrivals`?"),
        ("shop.wrokers=1..4", good_y, "did you mean `workers`?"),
        (
            "client.retry.enabled=true..false",
            good_y,
            "only durations, rates, shares, amounts of memory and numbers",
        ),
        ("shop.workers=1.5..4", good_y, "shop.workers"),
        ("shop.workers=0..4", good_y, "shop.workers"),
        ("timeline.slow.for=1s..2s", good_y, "a map needs two settings"),
        ("slo.latency=0s..1s", good_y, "an SLO is above 0s"),
        ("load.arrivals.poisson=5/s..9/s", "timeline.slow.for=0s..5s:log", "equal factors"),
        ("levers.patiense.set.client.attempt_timeout=1s..2s", good_y, "add --lever patiense"),
    ] {
        let output = pumphandle(folder.path(), &["sweep", "tiny.yaml", "--x", x, "--y", y]);
        let message = text(&output.stderr);
        assert_eq!(code(&output), 2, "{x} {y}: {message}");
        assert!(message.contains(hint), "{x} {y}: {message}");
        assert!(output.stdout.is_empty() && !folder.path().join("runs").exists(), "{x} {y}");
    }
    for (arguments, hint) in [
        (["--x", "load.arrivals.poisson=5/s..9/s", "--to", "0/s"], "above 0"),
        (["--x", "load.arrivals.poisson=5/s..9/s", "--to", "1s"], "the precision: expected a rate"),
        (["--x", "load.arrivals.poisson=9/s..5/s", "--to", "1/s"], "the first has to be below"),
    ] {
        let output = pumphandle(folder.path(), &[&["threshold", "tiny.yaml"], &arguments[..]].concat());
        assert_eq!(code(&output), 2);
        assert!(text(&output.stderr).contains(hint), "{}", text(&output.stderr));
    }
    let output = pumphandle(
        folder.path(),
        &["sweep", "tiny.yaml", "--x", good_y, "--y", good_y, "--lever", "patiense"],
    );
    assert!(code(&output) == 2 && text(&output.stderr).contains("did you mean `patience`?"));
}

#[test]
fn sensitivity_tells_flips_from_what_is_not_decided_and_runs_only_arms_that_can_read_a_number() {
    let folder = storm();
    let output = pumphandle(folder.path(), &["sensitivity", "tiny.yaml", "--json"]);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    let result = json(&output);
    let paths: Vec<&str> =
        result["numbers"].as_array().unwrap().iter().map(|number| number["path"].as_str().unwrap()).collect();
    assert_eq!(
        paths,
        ["load.arrivals.poisson", "shop.queue.size", "levers.patience.set.client.attempt_timeout"]
    );
    let of_lever = &result["numbers"][2]["variations"][0];
    assert_eq!(of_lever["verdicts"].as_object().unwrap().len(), 2, "only the lever's own arms");
    assert!(of_lever["control"].is_null(), "the control cannot read it");
    // 5 arms as it is; two numbers everywhere; one of a lever with two arms; two variations, six seeds each.
    assert_eq!(result["runs"], (5 + 2 * 2 * 5 + 2 * 2) * 6);
    for number in result["numbers"].as_array().unwrap() {
        for variation in number["variations"].as_array().unwrap() {
            for flip in variation["flips"].as_array().unwrap() {
                for side in ["from", "to"] {
                    assert!(!["undecided", "not tested", "mixed"].contains(&flip[side].as_str().unwrap()));
                }
                assert_ne!(flip["from"], flip["to"]);
            }
        }
    }
    let page = text(&pumphandle(folder.path(), &["sensitivity", "tiny.yaml", "--markdown"]).stdout);
    assert!(
        page.starts_with("# Sensitivity: tiny") && page.contains("| `shop.queue.size` | 400 | 300 |"),
        "{page}"
    );
    let again = pumphandle(folder.path(), &["sensitivity", "tiny.yaml", "--json", "--jobs", "1"]);
    assert!(again.stdout == output.stdout, "the number of threads cannot be seen");
}
