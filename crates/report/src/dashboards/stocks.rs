//! Stocks and flows: what accumulates where, and which of its two flows is to blame.

use pumphandle_core::meter::StockName;
use serde_json::{Value, json};

use super::board::{self, Board};
use super::panel::{Panel, fixed};
use super::query::{self, Arms, chosen, inflow, level, level_seconds, outflow, where_any};

const HEAD: &str = "\
**You see** first connections, queries and locks of all services; then the stocks of one service: how much is in it, what \
enters and leaves per second, and how long one stays. A level rises exactly while more enters than leaves. Orange and wide is \
the control, blue the treatment. Stocks in which nothing moved are empty panels.\n\n\
**Look for** a level that stays up while both flows are equal: it is full, and it stays full because as much comes in as \
goes out. Then ask which flow the lever has changed. Above, choose the service, and which of its stocks are shown.";

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
        S::CacheEntries => {
            ("Cache entries", "A wall in the outflow: entries that came together are due together.")
        }
        S::CacheFilling => {
            ("Cache fills", "What the cache has asked of the service behind it, and waits for.")
        }
        S::FeatureBacklog => {
            ("Feature backlog", "Its outflow is velocity; a rollback brings work back into it.")
        }
        S::Undeployed => (
            "Changes not deployed",
            "All of them are the next version: the more there are, the likelier it is bad.",
        ),
        S::TechnicalDebt => {
            ("Technical debt", "Makes changes riskier and work slower; only refactoring takes it out.")
        }
        S::BadVersions => (
            "Bad versions",
            "How long one stays is the time to repair; what enters is the rate of incidents.",
        ),
        S::Incidents => {
            ("Incidents", "Paged and not over: beside the bad versions, what nobody has noticed yet.")
        }
        S::Fatigue => {
            ("On-call fatigue", "Pages at night fill it, rest empties it; it makes everything take longer.")
        }
        S::ErrorBudget => (
            "Error budget",
            "Users without a good answer take from it; what was spent comes back after a window.",
        ),
        S::BudgetOverspent => {
            ("Error budget overspent", "What has to come back before there is a budget again.")
        }
        S::AcceptQueue => (
            "Accept queue",
            "Connections that their clients believe in and nobody has accepted; full, it drops without a word.",
        ),
        S::Memory => (
            "Memory in KiB",
            "A queue without a limit is memory; at the limit the process is killed with all that is inside.",
        ),
        S::Garbage => {
            ("Garbage in KiB", "Freed by the next collection; what is left then makes its pause long.")
        }
        S::LockWaiting => (
            "Waiting for a lock",
            "Each has a worker and a connection, and does nothing: the resource looks idle.",
        ),
    }
}

/// The stocks that are shown before anybody chooses: those that a service in the middle of a chain has.
const FIRST: [StockName; 4] = [StockName::Inside, StockName::Queue, StockName::Working, StockName::Waiting];

/// See the module.
pub(super) fn board() -> Board {
    let about = "Level, inflow, outflow and time inside of every stock, control and treatment on one axis.";
    let words = "What the stocks are, and what to know of each.";
    Board::new("stocks", "Pumphandle 2: stocks and flows", about)
        .choose(board::service())
        .choose(choice())
        .with(vec![
            Panel::text("How to read this", "What you see here, and what to look for.", HEAD).size(24, 5),
            fullest(Arms::Control, "control"),
            fullest(Arms::Treatment, "treatments"),
        ])
        .section("Connections, queries and locks, all services", connections())
        .folded("The stocks", None, vec![Panel::text("The stocks", words, &glossary()).size(24, 14)])
        // The last, since it is there once for each of the stocks.
        .repeated("$service: ${stock:text}", "stock", vec![levels(), flows(), stays()])
}

/// All but those of a team: its runs are of weeks, sampled, and have no recording. The report draws them.
fn drawn() -> impl Iterator<Item = StockName> {
    StockName::ALL.iter().copied().filter(|stock| (*stock as usize) < StockName::FeatureBacklog as usize)
}

/// Which stocks are shown.
fn choice() -> Value {
    let all: Vec<(&str, &str)> = drawn().map(|it| (about(it).0, it.name())).collect();
    let about = "The stocks that are shown, of the chosen service. What each is stands under \"The stocks\".";
    board::several("stock", "Stocks", about, &all, &FIRST.map(StockName::name))
}

/// What every stock is, as a table.
fn glossary() -> String {
    let line = |stock: StockName| {
        let (name, known) = about(stock);
        format!("| {name} | {} | {known} |\n", stock.help())
    };
    let lines: String = drawn().map(line).collect();
    format!("| stock | what is in it | what to know |\n|---|---|---|\n{lines}")
}

/// Where most has accumulated, over all services.
fn fullest(arms: Arms, whose: &str) -> Panel {
    let named = |stock: StockName| {
        let mean = level(stock).of(arms).mean(&["arm", "service"]);
        format!(r#"label_replace({mean}, "stock", "{}", "", "")"#, about(stock).0)
    };
    // Replicas, entries of a cache and memory are no load.
    let no_load = [
        StockName::Ready,
        StockName::Starting,
        StockName::CacheEntries,
        StockName::Memory,
        StockName::Garbage,
    ];
    let held = drawn().filter(|stock| !no_load.contains(stock));
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

fn levels() -> Panel {
    let words = "How much is in the stock. It rises while more enters than leaves. Look for a level that stays up after the \
                 red region is over.";
    Panel::lines("${stock:text}: level", "short", words)
        .twin("{{arm}}", |arms| {
            let level = chosen(level).of(arms).with("service", "=", "$service");
            where_any(&level.sum(&["arm"]), &level.highest(&["arm"]))
        })
        .size(8, 7)
        .when_empty("nothing was in it")
}

fn flows() -> Panel {
    let words = "Solid: what enters per second. Dashed: what leaves. Where solid is above dashed the level rises. Equal \
                 flows at a high level are a stock that nothing drains.";
    let ask = |series: query::Series, arms| {
        let series = series.of(arms).with("service", "=", "$service");
        where_any(&series.per_second(&["arm"]), &series.grown(&["arm"]))
    };
    let dashed = json!({ "dash": [8, 8], "fill": "dash" });
    Panel::lines("${stock:text}: in and out", "reqps", words)
        .query("control_in", &ask(chosen(inflow), Arms::Control), "{{arm}}, in")
        .query("control_out", &ask(chosen(outflow), Arms::Control), "{{arm}}, out")
        .query("treatment_in", &ask(chosen(inflow), Arms::Treatment), "{{arm}}, in")
        .query("treatment_out", &ask(chosen(outflow), Arms::Treatment), "{{arm}}, out")
        .where_query("control_in", &[("color", fixed("orange")), ("custom.lineWidth", json!(5))])
        .where_query("control_out", &[("color", fixed("orange")), ("custom.lineStyle", dashed.clone())])
        .where_query("treatment_out", &[("custom.lineStyle", dashed)])
        .where_name("/^treatment\\b/", &[("color", fixed("blue"))])
        .size(8, 7)
        .when_empty("nothing entered it")
}

/// Mean time inside, by these labels: the level over time, divided among those who left.
fn mean_stay(inside: &query::Series, left: &query::Series, by: &[&str]) -> String {
    query::ratio(&inside.per_second(by), &left.per_second(by))
}

fn stays() -> Panel {
    let words = "Mean time in the stock: its level over time, divided by what leaves (Little's law). Exact while the level \
                 is steady; while it rises, those who have not left yet are missing from the divisor. The axis is \
                 logarithmic.";
    Panel::lines("${stock:text}: time inside", "s", words)
        .twin("{{arm}}", |arms| {
            let here = |series: query::Series| series.of(arms).with("service", "=", "$service");
            mean_stay(&here(chosen(level_seconds)), &here(chosen(outflow)), &["arm"])
        })
        .logarithmic()
        .size(8, 7)
        .when_empty("nothing left it")
}

/// How long a query takes, by arm and service.
fn query_time(arms: Arms) -> String {
    let (inside, left) = (level_seconds(StockName::InService), outflow(StockName::InService));
    mean_stay(&inside.of(arms), &left.of(arms), &["arm", "service"])
}

/// The questions of an outage of connections, each with the name that people have for it.
fn connections() -> Vec<Panel> {
    use StockName::{InService, PoolActive, PoolWaiting};
    let twin = |title: &str, unit: &str, words: &str, question: &dyn Fn(Arms) -> String| {
        Panel::lines(title, unit, words).twin("{{arm}}: {{service}}", question).size(12, 7)
    };
    let by = ["arm", "service"];
    let held = |stock: StockName, arms| {
        let level = level(stock).of(arms);
        where_any(&level.sum(&by), &level.highest(&by))
    };
    let active = twin(
        "Active connections",
        "short",
        "Connections of the pools that are in use, by the service whose pool it is. A line that is flat at the pool's size \
         is an exhausted pool: look below at how long each is held.",
        &|arms| held(PoolActive, arms),
    )
    .when_empty("no connection pool in this run");
    let queued = twin(
        "Waiting for a connection",
        "short",
        "Attempts that have no connection yet. They occupy what they hold upstream; those who wait too long are counted \
         as *No connection in time* under mechanisms.",
        &|arms| held(PoolWaiting, arms),
    )
    .when_empty("nobody waited for a connection");
    let times = twin(
        "Query times",
        "s",
        "Mean time of a query, or of other work in service, at each service that does any. Where queries slow each other \
         down it grows with how many run at once: more connections then mean longer queries, and fewer finished. The axis \
         is logarithmic.",
        &query_time,
    )
    .logarithmic()
    .size(8, 7)
    .when_empty("no work in service here");
    let locks = twin(
        "Lock waits",
        "s",
        "What a query takes beyond the least that it took on this screen, at the same service in the same arm: time spent \
         waiting for others, on locks and other shared resources. A trigger that makes queries slow is in it too, while it \
         acts; what is left after the trigger is contention alone.",
        &|arms| {
            let stay = query_time(arms);
            format!("{stay} - min_over_time(({stay})[$__range:10s] @ end())")
        },
    )
    .custom("scaleDistribution", json!({ "type": "symlog", "log": 10, "linearThreshold": 0.1 }))
    .size(8, 7)
    .when_empty("no work in service here");
    let ended = twin(
        "Queries that end",
        "reqps",
        "Work that leaves service per second, however it ends. Where more run at once and fewer end, they are in each \
         other's way.",
        &|arms| {
            let left = outflow(InService).of(arms);
            where_any(&left.per_second(&by), &left.grown(&by))
        },
    )
    .size(8, 7)
    .when_empty("no work in service here");
    vec![active, queued, times, locks, ended]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_has_a_comma_which_parts_the_choices_of_a_variable() {
        let with: Vec<&str> =
            drawn().map(|stock| about(stock).0).filter(|name| name.contains([',', ':'])).collect();
        assert_eq!(with, [""; 0]);
    }
}
