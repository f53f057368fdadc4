//! The page: what it says, that it says it safely, and that it asks nobody for anything.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use insta::assert_snapshot;
use pumphandle_experiment::result::Story;
use pumphandle_report::html;

/// The page without the parts that are files of their own: style, chart script, page script.
fn own(page: &str) -> String {
    let mut page = page.to_string();
    for (open, close) in [
        ("<style>", "</style>"),
        ("<script id=\"plotly\">", "</script>"),
        ("<script id=\"page\">", "</script>"),
    ] {
        let from = page.find(open).unwrap() + open.len();
        let to = from + page[from..].find(close).unwrap();
        page.replace_range(from..to, "…");
    }
    page
}

/// The JSON that the charts are drawn from.
fn data(page: &str) -> serde_json::Value {
    let (_, rest) = page.split_once("id=\"data\">").unwrap();
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
}

/// Three arms and six seconds: small enough for a golden file.
fn small() -> Story {
    let mut story = support::story();
    let kept = ["control", "disable-retries", "disable-retries@start"];
    story.result.arms.retain(|arm| kept.contains(&arm.arm.as_str()));
    story.series.retain(|arm, _| kept.contains(&arm.as_str()));
    for series in story.series.values_mut() {
        for band in [&mut series.arrivals_per_s, &mut series.good_per_s, &mut series.attempts_per_arrival] {
            [&mut band.mean, &mut band.low, &mut band.high].into_iter().for_each(|line| line.truncate(6));
        }
        series.latency_p50_ms.truncate(6);
        series.latency_p99_ms.truncate(6);
        series.services.retain(|name, _| name == "api");
        for stock in series.services.values_mut().flat_map(|service| service.stocks.values_mut()) {
            [&mut stock.level, &mut stock.inflow, &mut stock.outflow]
                .into_iter()
                .for_each(|line| line.truncate(6));
        }
    }
    story
}

/// A text that would do something in HTML, in an attribute, and at the end of a script.
const HOSTILE: &str = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>";

/// The story with the hostile text at the end of every string of it, keys of maps included.
fn hostile() -> Story {
    fn spoil(value: serde_json::Value) -> serde_json::Value {
        use serde_json::Value::{Array, Object, String};
        match value {
            // A sign of a loop is a single character; words of a verdict are the engine's own and stay.
            String(text) if text.chars().count() > 1 && !WORDS.contains(&text.as_str()) => {
                String(text + HOSTILE)
            }
            Array(items) => Array(items.into_iter().map(spoil).collect()),
            Object(fields) => Object(fields.into_iter().map(|(key, value)| (key, spoil(value))).collect()),
            other => other,
        }
    }
    const WORDS: [&str; 4] = ["pulled", "standing", "held", "broken"];
    let spoiled = spoil(serde_json::to_value(small()).unwrap());
    let mut story: Story = serde_json::from_value(spoiled).unwrap();
    story.settings.insert(HOSTILE.into(), HOSTILE.into());
    let keyed = std::mem::take(&mut story.series);
    story.series = keyed.into_iter().map(|(arm, series)| (arm + HOSTILE, series)).collect();
    for series in story.series.values_mut() {
        let api = series.services.swap_remove("api").unwrap();
        series.services.insert(HOSTILE.into(), api);
    }
    story
}

#[test]
fn the_page_of_a_small_run() {
    assert_snapshot!(own(&html(&small())));
}

#[test]
fn every_text_of_the_story_is_escaped() {
    let page = own(&html(&hostile()));
    assert!(page.contains("&#60;script&#62;alert(1)"), "the hostile texts are there, as text");
    assert!(!page.contains("<script>alert"));
    assert!(!page.contains("<img"));
    assert_eq!(page.matches("<script").count(), 4, "early, data, plotly, page");
    assert_eq!(page.matches("</script>").count(), 4);
    let arms = data(&html(&hostile()));
    let arms = arms["arms"].as_object().unwrap();
    assert!(arms.keys().all(|arm| arm.ends_with(HOSTILE)), "and unharmed in the data");
}

#[test]
fn nothing_in_the_page_requests_anything() {
    let page = html(&support::story());
    assert!(page.contains("default-src 'none'"), "the browser is told to refuse every request");
    let script = include_str!("../templates/report.js");
    let style = include_str!("../templates/report.css");
    for text in [own(&page).as_str(), script, style] {
        for word in ["http://", "https://", "url(", "@import", "src=", "fetch(", "XMLHttpRequest", "eval("] {
            assert!(!text.contains(word), "found {word}");
        }
    }
}

#[test]
fn the_chart_script_is_in_the_page_once_and_the_formula_renderer_is_not() {
    let page = html(&small());
    assert_eq!(page.matches("Plotly, Inc.").count(), 1);
    assert!(page.len() < 5_500_000, "with the renderer it would be two megabytes more: {} bytes", page.len());
}

#[test]
fn the_same_story_gives_the_same_bytes() {
    assert_eq!(html(&support::story()), html(&support::story()));
}

#[test]
fn every_arm_can_be_chosen_and_is_in_the_data() {
    let story = support::story();
    let page = html(&story);
    let data = data(&page);
    for arm in &story.result.arms {
        assert_eq!(data["arms"][&arm.arm]["good"].as_array().unwrap().len(), 300, "{}", arm.arm);
        let option = format!("<option value=\"{}\">", arm.arm);
        assert_eq!(page.contains(&option), arm.lever.is_some(), "{}", arm.arm);
    }
    assert_eq!(data["selected"], "smaller-queue", "the pulled lever with the least harm is shown first");
}

#[test]
fn a_run_of_three_hours_is_drawn_with_as_many_points_as_a_screen_shows() {
    let mut story = small();
    for series in story.series.values_mut() {
        series.good_per_s.mean = (0..10_800).map(f64::from).collect();
    }
    let data = data(&html(&story));
    assert_eq!(data["step"], 9.0);
    assert_eq!(data["arms"]["control"]["good"].as_array().unwrap().len(), 1200);
    assert_eq!(data["arms"]["control"]["good"][0], 4, "the mean of 0 to 8");
}

#[test]
fn a_run_that_may_not_be_believed_says_so_before_the_answer() {
    let mut story = small();
    story.result.valid = false;
    story.result.reasons = vec!["the trigger did not take effect".into()];
    let page = own(&html(&story));
    let (alarm, answer) = (page.find("Not valid: no verdict").unwrap(), page.find("id=\"answer\"").unwrap());
    assert!(alarm < answer);
    assert!(page[alarm..answer].contains("the trigger did not take effect"));
    assert!(page[answer..].contains("says nothing about any lever"));
}

#[test]
fn a_run_without_levers_claims_or_loops_has_a_page() {
    let mut story = small();
    story.result.arms.truncate(1);
    story.result.claims.clear();
    story.loops.clear();
    story.triggers.clear();
    story.result.windows_s.trigger = None;
    let page = own(&html(&story));
    assert!(page.contains("The control stays down") && !page.contains("id=\"ladder\""));
}
