//! Stocks and flows: what accumulates where, and which of its two flows is to blame.

use pumphandle_core::meter::{Flow, StockName};
use serde_json::json;

use super::board::{self, Board};
use super::panel::{Panel, fixed};
use super::query::{Arms, flow, inflow, level, level_seconds, outflow, where_any};

const HEAD: &str = "\
**You see** the stocks of one service: how much is in it, what enters and leaves per second, and how long one stays. A \
level rises exactly while more enters than leaves. Orange and wide is the control, blue the treatment. Stocks in which \
nothing moved are empty panels.\n\n\
**Look for** a level that stays up while both flows are equal: it is full, and it stays full because as much comes in as \
goes out. Then ask which flow the lever has changed.";

/// What a stock is called where people look at it, with what they should know of it.
const fn about(stock: StockName) -> (&'static str, &'static str) {
    use StockName as S;
    match stock {
        S::Inside => {
            ("Inside", "Everything between arrival and answer; a caller that has left does not empty it.")
        }
        S::Queue => {
            ("Queue", "Attempts that wait for a worker; a full queue is a delay that all newcomers inherit.")
        }
        S::Working => {
            ("Workers", "Workers occupied; at the limit, more load makes the queue longer and nothing else.")
        }
        S::InService => {
            ("In service", "Work in progress; where work slows other work down, more of it finishes less.")
        }
        S::Waiting => ("Waiting for answers", "Attempts sent to other services and not yet resolved."),
        S::BackingOff => ("Backing off", "Calls that will try again: load that has not arrived yet."),
        S::PoolWaiting => {
            ("Waiting for a connection", "Attempts without a connection; they hold a worker meanwhile.")
        }
        S::PoolActive => ("Connections in use", "A pool that is full and slow is a queue with another name."),
        S::BulkheadWaiting => ("Waiting at the bulkhead", "Attempts that wait for one of its places."),
        S::BulkheadActive => {
            ("In the bulkhead", "Places taken: the most that the service called can be sent at once.")
        }
        S::RateWaiting => {
            ("Waiting for their turn", "Attempts held back by a rate limit that lets them wait.")
        }
        S::Ready => {
            ("Replicas ready", "More of them that do not raise what is finished: the limit is elsewhere.")
        }
        S::Starting => (
            "Replicas starting",
            "Capacity that was ordered and has not come; it is ordered again meanwhile.",
        ),
    }
}

/// See the module.
pub(super) fn board() -> Board {
    use StockName as S;
    let about = "Level, inflow, outflow and time inside of every stock, control and treatment on one axis.";
    let of = |stocks: &[StockName]| stocks.iter().flat_map(|stock| panels(*stock)).collect();
    Board::new("stocks", "Pumphandle 2: stocks and flows", about)
        .choose(board::service())
        .with(vec![
            Panel::text("How to read this", "What you see here, and what to look for.", HEAD).size(24, 5),
            fullest(Arms::Control, "control"),
            fullest(Arms::Treatment, "treatments"),
        ])
        .section("$service: at the service", of(&[S::Queue, S::Working, S::InService, S::Inside]))
        .section("$service: connections", connections())
        .section("$service: calls to others", of(&[S::Waiting, S::BackingOff]))
        .folded("$service: replicas", None, of(&[S::Ready, S::Starting]))
        .folded(
            "$service: pool, bulkhead and rate limit",
            None,
            of(&[S::PoolActive, S::PoolWaiting, S::BulkheadActive, S::BulkheadWaiting, S::RateWaiting]),
        )
}

/// Where most has accumulated, over all services.
fn fullest(arms: Arms, whose: &str) -> Panel {
    let named = |stock: &StockName| {
        let mean = level(*stock).of(arms).mean(&["arm", "service"]);
        format!(r#"label_replace({mean}, "stock", "{}", "", "")"#, about(*stock).0)
    };
    // Replicas are no load.
    let held = StockName::ALL.iter().filter(|stock| !matches!(stock, StockName::Ready | StockName::Starting));
    let union = held.map(named).collect::<Vec<_>>().join(" or ");
    let words = format!(
        "The stocks of the {whose} that hold most, of all services, as means over what is on the screen. One that is in \
         front here and was not before the trigger is where the incident is kept. Callers wait where their callees do: \
         the stock furthest to the back is the cause, those before it its shadow."
    );
    let color = if arms == Arms::Control { "orange" } else { "blue" };
    Panel::bars(&format!("Fullest stocks, {whose}"), "short", &words)
        .at_end("stocks", &format!("topk(8, {union})"), "{{service}}: {{stock}} ({{arm}})")
        .default("color", fixed(color))
        .default("decimals", json!(1))
        .size(12, 8)
        .when_empty("nothing in this time range")
}

/// Level, flows, and time inside of one stock.
fn panels(stock: StockName) -> Vec<Panel> {
    vec![levels(stock), flows(stock), stays(stock)]
}

fn levels(stock: StockName) -> Panel {
    let (name, known) = about(stock);
    let words = format!("{} {known}", stock.help());
    Panel::lines(&format!("{name}: level"), "short", &words)
        .twin("{{arm}}", |arms| {
            let level = level(stock).of(arms).with("service", "=", "$service");
            where_any(&level.sum(&["arm"]), &level.highest(&["arm"]))
        })
        .size(8, 7)
        .when_empty("nothing was in it")
}

fn flows(stock: StockName) -> Panel {
    let name = about(stock).0;
    let words = "Solid: what enters per second. Dashed: what leaves. Where solid is above dashed the level rises. Equal \
                 flows at a high level are a stock that nothing drains.";
    let ask = |series: super::query::Series, arms| {
        let series = series.of(arms).with("service", "=", "$service");
        where_any(&series.per_second(&["arm"]), &series.grown(&["arm"]))
    };
    let dashed = json!({ "dash": [8, 8], "fill": "dash" });
    Panel::lines(&format!("{name}: in and out"), "reqps", words)
        .query("control_in", &ask(inflow(stock), Arms::Control), "{{arm}}, in")
        .query("control_out", &ask(outflow(stock), Arms::Control), "{{arm}}, out")
        .query("treatment_in", &ask(inflow(stock), Arms::Treatment), "{{arm}}, in")
        .query("treatment_out", &ask(outflow(stock), Arms::Treatment), "{{arm}}, out")
        .where_query("control_in", &[("color", fixed("orange")), ("custom.lineWidth", json!(5))])
        .where_query("control_out", &[("color", fixed("orange")), ("custom.lineStyle", dashed.clone())])
        .where_query("treatment_out", &[("custom.lineStyle", dashed)])
        .size(8, 7)
        .when_empty("nothing entered it")
}

/// Mean time inside: the level over time, divided among those who left.
fn mean_stay(stock: StockName, arms: Arms) -> String {
    let inside = level_seconds(stock).of(arms).with("service", "=", "$service").per_second(&["arm"]);
    let left = outflow(stock).of(arms).with("service", "=", "$service").per_second(&["arm"]);
    super::query::ratio(&inside, &left)
}

fn stays(stock: StockName) -> Panel {
    let name = about(stock).0;
    let words = "Mean time in the stock: its level over time, divided by what leaves (Little's law). Exact while the level \
                 is steady; while it rises, those who have not left yet are missing from the divisor. The axis is \
                 logarithmic.";
    Panel::lines(&format!("{name}: time inside"), "s", words)
        .twin("{{arm}}", |arms| mean_stay(stock, arms))
        .logarithmic()
        .size(8, 7)
        .when_empty("nothing left it")
}

/// The three questions of an outage of connections, each with the name that people have for it.
fn connections() -> Vec<Panel> {
    use StockName::{InService, PoolActive, PoolWaiting};
    let twin = |title: &str, unit: &str, words: &str, question: &dyn Fn(Arms) -> String| {
        Panel::lines(title, unit, words).twin("{{arm}}", question).size(12, 7)
    };
    let held = |stock: StockName, arms| {
        let level = level(stock).of(arms);
        where_any(&level.sum(&["arm"]), &level.highest(&["arm"]))
    };
    let active = twin(
        "Active connections, all services",
        "short",
        "Connections of all pools that are in use. A line that is flat at the pool's size is an exhausted pool: look \
         beside it at how long each is held.",
        &|arms| held(PoolActive, arms),
    )
    .when_empty("no connection pool in this run");
    let queued = twin(
        "Waiting for a connection, all services",
        "short",
        "Attempts that have no connection yet. They occupy what they hold upstream; those who wait too long are counted \
         as pool timeouts under mechanisms.",
        &|arms| held(PoolWaiting, arms),
    )
    .when_empty("nobody waited for a connection");
    let times = twin(
        "Query times: $service",
        "s",
        "How long a query takes at the chosen service (choose the database). Where queries slow each other down it grows \
         with how many run at once: more connections then mean longer queries, and fewer finished. The axis is \
         logarithmic.",
        &|arms| mean_stay(InService, arms),
    )
    .logarithmic()
    .when_empty("no work in service here");
    let locks = twin(
        "Lock waits: $service",
        "s",
        "What a query takes beyond the least that queries took on this screen: time spent waiting for others, on locks \
         and other shared resources. A trigger that makes queries slow is in it too, while it acts; what is left after \
         the trigger is contention alone.",
        &|arms| {
            let stay = mean_stay(InService, arms);
            format!("{stay} - min_over_time(({stay})[$__range:10s] @ end())")
        },
    )
    .custom("scaleDistribution", json!({ "type": "symlog", "log": 10, "linearThreshold": 0.1 }))
    .when_empty("no work in service here");
    let finished = twin(
        "Queries finished: $service",
        "reqps",
        "Correct answers per second. Active connections divided by this is the time that each is held.",
        &|arms| flow(Flow::Completed).of(arms).with("service", "=", "$service").per_second(&["arm"]),
    )
    .size(24, 7);
    vec![active, queued, times, locks, finished]
}
