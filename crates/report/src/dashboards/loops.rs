//! Loops: what keeps an incident going when its cause has gone. A phase portrait, and the ring of retries as a graph.

use pumphandle_core::catalogue::RunMetric;
use pumphandle_core::meter::{Flow, StockName};
use serde_json::json;

use super::board::{self, Board};
use super::incident::attempts_per_user;
use super::panel::{Panel, fixed};
use super::query::{Arms, Series, flow, level, level_seconds, ratio, run};

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
        .folded("$treatment, $service", Some("treatment"), of(Arms::Treatment))
}

fn makes_itself() -> Panel {
    let about = "Share of the attempts sent by a service that are not a call's first, at the service where it is largest: \
                 load that the system makes itself. It is how many more attempts each attempt causes, so at 75 % every \
                 call is four. 0 % when all is well; with three retries 75 % when every attempt fails.";
    Panel::lines("Load made by the system itself", "percentunit", about)
        .twin("{{arm}}", |arms| {
            let by = ["arm", "service"];
            let of = |which| flow(which).of(arms).per_second(&by);
            format!("max by (arm) ({})", ratio(&of(Flow::Retries), &of(Flow::Attempts)))
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

/// What a part of the ring comes to: a mean over the screen.
fn part(id: &str, arms: Arms) -> String {
    let here = |series: Series| series.of(arms).with("service", "=", "$service");
    let in_arm = |which: Flow| flow(which).of(arms).mean_growth(&[]);
    match id {
        "users" => run(RunMetric::UsersDue).of(arms).mean_growth(&[]),
        "load" => here(flow(Flow::Arrived)).mean_growth(&[]),
        "inside" => here(level_seconds(StockName::Inside)).mean_growth(&[]),
        "failures" => {
            let refused = here(flow(Flow::Rejected)).mean_growth(&[]);
            format!("({} + {refused})", in_arm(Flow::AttemptTimeouts))
        }
        "retries" => in_arm(Flow::Retries),
        other => unreachable!("the ring has no part {other}"),
    }
}

/// The parts, and what stands below the number of each.
const PARTS: [(&str, &str); 5] = [
    ("users", "users due, per second"),
    ("load", "attempts arriving, per second"),
    ("inside", "attempts inside"),
    ("failures", "timeouts and refusals, per second"),
    ("retries", "retries, per second"),
];

/// Which part drives which, and what one of the first makes of the second.
const LINKS: [(&str, &str, &str); 5] = [
    ("users", "load", "attempts here, for each user"),
    ("load", "inside", "seconds inside, for each attempt"),
    ("inside", "failures", "failures per second, for each attempt inside"),
    ("failures", "retries", "retries, for each timeout or refusal"),
    ("retries", "load", "attempts here, for each retry anywhere"),
];

fn ring(arms: Arms) -> Panel {
    let about = "The ring of retries at the chosen service, with the mean of each part over what is on the screen: load \
                 fills the service, who stands inside too long gives up, who fails tries again, and that is load. On the \
                 links, how much of the second came with each one of the first (click one to read what). Narrow the time \
                 range to what is after the trigger: where `retries` exceeds `users`, the ring feeds itself.";
    let labelled = |query: &str, labels: &[(&str, &str)]| {
        labels.iter().fold(query.to_owned(), |query, (label, value)| {
            format!(r#"label_replace({query}, "{label}", "{value}", "", "")"#)
        })
    };
    let node = |(id, title): &(&str, &str)| {
        labelled(&format!("({} or vector(0))", part(id, arms)), &[("id", id), ("title", title)])
    };
    let edge = |(from, to, gain): &(&str, &str, &str)| {
        let each = ratio(&part(to, arms), &part(from, arms));
        let id = format!("{from}-{to}");
        let labels = [("id", id.as_str()), ("source", from), ("target", to), ("detail__gain", gain)];
        labelled(&format!("({each} or vector(0))"), &labels)
    };
    let joined = |queries: Vec<String>| queries.join(" or ");
    let columns = json!({
        "excludeByName": { "Time": true },
        "indexByName": {},
        "renameByName": { "Value #nodes": "mainstat", "Value #edges": "mainstat" },
    });
    Panel::graph("Ring of retries, means", about)
        .at_end("nodes", &joined(PARTS.iter().map(node).collect()), "")
        .at_end("edges", &joined(LINKS.iter().map(edge).collect()), "")
        .then("organize", columns)
        .option("nodes", json!({ "mainStatUnit": "short" }))
        .option("edges", json!({ "mainStatUnit": "short" }))
        .size(12, 11)
}
