//! Loops: what keeps an incident going when its cause has gone. A phase portrait, and the ring of retries as a graph.

use pumphandle_core::catalogue::RunMetric;
use pumphandle_core::meter::{Flow, StockName};
use serde_json::json;

use super::board::{self, Board};
use super::incident::attempts_per_user;
use super::panel::{Panel, fixed};
use super::query::{Arms, Series, flow, level, level_seconds, outflow, ratio, run};

const HEAD: &str = "\
**You see** the same run without a time axis. In the *portrait* every point is a moment: to the right more attempts arrive \
at the chosen service, further up more of them are inside. In the *ring*, what each part of the retry loop was \
doing, as means over the screen.\n\n\
**Look for** two places where points gather: one where the system was well, and one from which it does not come back by \
itself. A lever that ends an incident draws the way home. What a loop is worth is not read from such pictures, though: it \
is measured by twins, and stands in the report of the run.";

/// See the module.
pub(super) fn board() -> Board {
    let about = "Load against what is inside, and the ring of retries: what keeps an incident going.";
    let of = |arms| vec![portrait(arms), ring(arms)];
    Board::new("loops", "Pumphandle 4: loops", about)
        .choose(board::service())
        .with(vec![
            Panel::text("How to read this", "What you see here, and what to look for.", HEAD).size(24, 5),
            attempts_per_user(),
            makes_itself(),
        ])
        .section("Control, $service", of(Arms::Control))
        .repeated("$treatment, $service", "treatment", of(Arms::Treatment))
}

fn makes_itself() -> Panel {
    let about = "Share of the attempts at all services that are not a call's first: load that the system makes itself. \
                 0 % when all is well; with three retries 75 % when every attempt fails.";
    Panel::lines("Load made by the system itself", "percentunit", about)
        .twin("{{arm}}", |arms| {
            let by = ["arm"];
            ratio(
                &flow(Flow::Retries).of(arms).per_second(&by),
                &flow(Flow::Attempts).of(arms).per_second(&by),
            )
        })
        .default("max", json!(1))
        .when_empty("no calls between services")
}

fn portrait(arms: Arms) -> Panel {
    const LOAD: &str = "attempts arriving per second";
    const INSIDE: &str = "attempts inside";
    let about = "Each point is a moment: how many attempts arrive per second at the service, and how many are inside. Points \
                 of neighbouring moments are joined. One cloud is a system that is well; a second one, far to the upper \
                 right, is a system that has learned to be ill.";
    let arrived = flow(Flow::Arrived).of(arms).with("service", "=", "$service").per_second(&[]);
    let inside = level(StockName::Inside).of(arms).with("service", "=", "$service").sum(&[]);
    let matcher = |name: &str| json!({ "matcher": { "id": "byName", "options": name } });
    let color = if arms == Arms::Control { "orange" } else { "blue" };
    let panel = Panel::against("Portrait: load against what is inside", about)
        .query("load", &arrived, LOAD)
        .query("inside", &inside, INSIDE)
        .then("joinByField", json!({ "byField": "Time", "mode": "outer" }))
        .default("color", fixed(color))
        .custom("show", json!("points+lines"))
        .custom("pointSize", json!({ "fixed": 5 }))
        .custom("lineWidth", json!(1))
        .when_empty("nothing arrived at this service");
    panel
        .option("mapping", json!("manual"))
        .option(
            "series",
            json!([{
                "frame": { "matcher": { "id": "byIndex", "options": 0 } },
                "x": matcher(LOAD),
                "y": matcher(INSIDE),
            }]),
        )
        .option(
            "legend",
            json!({ "calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": false }),
        )
        .option("tooltip", json!({ "mode": "single", "sort": "none" }))
        .size(12, 11)
}

/// What the ring says of each part: its name in the graph, what stands beside it, and the query, a mean over the screen.
fn parts(arms: Arms) -> [(&'static str, &'static str, String); 6] {
    let here = |series: Series| series.of(arms).with("service", "=", "$service");
    let in_arm = |which: Flow| flow(which).of(arms).mean_growth(&[]);
    let inside = here(level_seconds(StockName::Inside)).mean_growth(&[]);
    let left = here(outflow(StockName::Inside)).mean_growth(&[]);
    let refused = here(flow(Flow::Rejected)).mean_growth(&[]);
    [
        ("users", "users due, per second", run(RunMetric::UsersDue).of(arms).mean_growth(&[])),
        ("load", "attempts arriving, per second", here(flow(Flow::Arrived)).mean_growth(&[])),
        ("inside", "attempts inside", here(level(StockName::Inside)).mean(&[])),
        ("time", "seconds inside", ratio(&inside, &left)),
        (
            "failures",
            "timeouts and refusals, per second",
            format!("{} + {refused}", in_arm(Flow::AttemptTimeouts)),
        ),
        ("retries", "retries, per second", in_arm(Flow::Retries)),
    ]
}

/// Which part drives which.
const LINKS: [(&str, &str); 6] = [
    ("users", "load"),
    ("load", "inside"),
    ("inside", "time"),
    ("time", "failures"),
    ("failures", "retries"),
    ("retries", "load"),
];

fn ring(arms: Arms) -> Panel {
    let about = "The ring of retries at the chosen service, with the mean of each part over what is on the screen: load fills \
                 the service, a full service is slow, what is slow fails, what fails is tried again, and that is load. \
                 Narrow the time range to what is after the trigger, and look whether `retries` exceeds `users`: then the \
                 ring feeds itself.";
    let labelled = |query: &str, labels: &[(&str, &str)]| {
        labels.iter().fold(query.to_owned(), |query, (label, value)| {
            format!(r#"label_replace({query}, "{label}", "{value}", "", "")"#)
        })
    };
    let node = |(id, title, query): &(&str, &str, String)| {
        labelled(&format!("({query} or vector(0))"), &[("id", id), ("title", title)])
    };
    let edge = |(from, to): &(&str, &str)| {
        labelled("vector(1)", &[("id", &format!("{from}-{to}")), ("source", from), ("target", to)])
    };
    let joined = |queries: Vec<String>| queries.join(" or ");
    let columns = json!({
        "excludeByName": { "Time": true, "Value #edges": true },
        "indexByName": {},
        "renameByName": { "Value #nodes": "mainstat" },
    });
    Panel::graph("Ring of retries, means", about)
        .at_end("nodes", &joined(parts(arms).iter().map(node).collect()), "")
        .at_end("edges", &joined(LINKS.iter().map(edge).collect()), "")
        .then("organize", columns)
        .option("nodes", json!({ "mainStatUnit": "short" }))
        .option("edges", json!({}))
        .size(12, 11)
}
