//! Mechanisms: what the defences do, and what they cost.

use pumphandle_core::catalogue::Source;
use pumphandle_core::meter::{BreakerState, Flow, StockName};
use serde_json::json;

use super::board::Board;
use super::panel::{Panel, words};
use super::query::{Arms, flow, gauge, level, ratio, where_any};

const HEAD: &str = "\
**You see** what breakers, budgets, pools, limits and hedges do in each arm. Only services where something happened are \
drawn; a panel that says so instead of drawing is a mechanism that this run does not have, or that never acted. Several \
services of one arm are shades of its colour. Headings further down are folded: click one to open it.\n\n\
**Look for** the moment at which a mechanism begins to act, against the red region and the blue line: one that acts before \
users are hurt prevents, one that acts afterwards can only end. And for what it refuses that would have been a good answer.";

/// See the module.
pub(super) fn board() -> Board {
    let about = "Breakers, retry budgets, pools, caches, locks, accept queues, memory, limits, hedges, replicas: when each acts, and what it refuses.";
    Board::new("mechanisms", "Pumphandle 3: mechanisms", about)
        .with(vec![
            Panel::text("How to read this", "What you see here, and what to look for.", HEAD).size(24, 5),
        ])
        .section("Circuit breaker", breaker())
        .section("Retries and their budget", retries())
        .section("Connection pool", pool())
        .section("Cache", cache())
        .section("Connections: the kernel's accept queue", connections())
        .section("Memory", memory())
        .section("Rows, locks and connections of a database", database())
        .section("Replicas and their autoscaler", scaling())
        .folded("Queues, limits and bulkheads", None, room())
        .folded("Time limits, and callers that left", None, patience())
        .folded("Hedges", None, hedges())
        .folded("Capacity, and what it is spent on", None, capacity())
}

/// Flows per second by arm and service, where there were any.
fn per_second(title: &str, what: Flow, words: &str) -> Panel {
    let words = format!("{} {words}", what.help());
    Panel::lines(title, "reqps", &words)
        .twin("{{arm}}: {{service}}", |arms| {
            let flow = flow(what).of(arms);
            where_any(&flow.per_second(&["arm", "service"]), &flow.grown(&["arm", "service"]))
        })
        .size(8, 7)
        .when_empty("none")
}

/// A level by arm and service, where there was any.
fn held(title: &str, what: StockName, words: &str) -> Panel {
    let words = format!("{} {words}", what.help());
    Panel::lines(title, "short", &words)
        .twin("{{arm}}: {{service}}", |arms| {
            let level = level(what).of(arms);
            where_any(&level.sum(&["arm", "service"]), &level.highest(&["arm", "service"]))
        })
        .size(8, 7)
        .when_empty("none")
}

fn breaker() -> Vec<Panel> {
    use BreakerState::{Closed, HalfOpen, Open};
    let state = gauge(Source::Breaker).of(Arms::Both).max(&["arm", "service"]);
    let about = "State of the circuit breaker on the calls of each service. Closed lets calls through; open refuses them at \
                 once; half open lets a few through to see. Look for a breaker that opens and closes again and again: it \
                 finds the service ill because of the load that it has just let in.";
    let states = [
        (Closed as u64, "closed: lets calls through", "#56B4E9"),
        (HalfOpen as u64, "half open: tries a few", "#F0E442"),
        (Open as u64, "open: refuses", "#D55E00"),
    ];
    let timeline = Panel::bands("Breaker state", about)
        .query("state", &format!("{state} > 0"), "{{arm}}: {{service}}")
        .default("mappings", words(&states))
        .when_empty("no circuit breaker in these arms")
        .size(24, 6);
    let refused = per_second(
        "Refused by an open breaker",
        Flow::BreakerRefused,
        "Each is load that did not reach the service, and a user who was told at once.",
    );
    let fallbacks = per_second(
        "Fallbacks",
        Flow::Fallbacks,
        "Degraded answers: they count as neither good nor error, and cost the user something.",
    );
    vec![timeline, refused.size(12, 7), fallbacks.size(12, 7)]
}

fn retries() -> Vec<Panel> {
    let amplification = Panel::lines(
        "Attempts per call",
        "none",
        "Attempts sent for each call to another service: 1 without retries and hedges. Look for a value at the most that \
         the policy allows: then every call fails, and every failure is load.",
    )
    .twin("{{arm}}: {{service}}", |arms| {
        let by = ["arm", "service"];
        ratio(&flow(Flow::Attempts).of(arms).per_second(&by), &flow(Flow::Calls).of(arms).per_second(&by))
    })
    .size(8, 7)
    .when_empty("no calls between services");
    vec![
        amplification,
        per_second("Retries", Flow::Retries, "Look for a rate far above that of users."),
        per_second(
            "Denied by the budget",
            Flow::BudgetDenied,
            "A budget acts when retries stop growing with failures.",
        ),
        held("Backing off", StockName::BackingOff, "Load that will come back."),
        per_second(
            "Advice heeded",
            Flow::AdviceHeeded,
            "A service that says when to come back is only as good as this.",
        ),
        per_second("Calls", Flow::Calls, "What the users' load has become at each service."),
    ]
}

fn patience() -> Vec<Panel> {
    vec![
        per_second(
            "Attempt timeouts",
            Flow::AttemptTimeouts,
            "Each leaves work behind that nobody waits for.",
        ),
        per_second("Abandoned", Flow::Abandoned, "The service does not notice unless it is told to cancel."),
        per_second("Expired unstarted", Flow::Expired, "Work saved: dropped before it was begun."),
        per_second("Killed", Flow::Killed, "Look for kills that do not lower the time of those that remain."),
        per_second(
            "Disconnected by a restart",
            Flow::Disconnected,
            "A restart that callers answer with retries is load.",
        ),
        per_second("Touched by a trigger", Flow::Disturbed, "Look for none outside of the red region."),
    ]
}

fn pool() -> Vec<Panel> {
    vec![
        held("Connections in use", StockName::PoolActive, "Flat at the pool's size: exhausted."),
        held("Waiting for a connection", StockName::PoolWaiting, "A queue that few systems show."),
        per_second("No connection in time", Flow::PoolTimeouts, "What users of an exhausted pool see."),
    ]
}

fn room() -> Vec<Panel> {
    let limit = Panel::lines(
        "Adaptive concurrency limit",
        "short",
        "The limits that adapt, those of all replicas and edges added. Look for one that has learned the outage: low, and \
         staying low when the service is well again.",
    )
    .twin("{{arm}}: {{service}}", |arms| {
        let limit = gauge(Source::ConcurrencyLimit).of(arms);
        where_any(&limit.sum(&["arm", "service"]), &limit.highest(&["arm", "service"]))
    })
    .size(8, 7)
    .when_empty("no adaptive limit in these arms");
    vec![
        per_second("Refused at the door", Flow::Rejected, "A refusal is cheap, unless it is tried again."),
        per_second(
            "Refused by a limit",
            Flow::Limited,
            "A limit that refuses before the queue is full keeps answers in time.",
        ),
        limit,
        held("Places of the bulkhead", StockName::BulkheadActive, "Flat at its size: it is the bottleneck."),
        held(
            "Waiting at the bulkhead",
            StockName::BulkheadWaiting,
            "Those who hold something else meanwhile.",
        ),
        held("Waiting for their turn", StockName::RateWaiting, "A rate limit that lets wait is a queue."),
    ]
}

fn hedges() -> Vec<Panel> {
    vec![
        per_second("Hedges sent", Flow::Hedges, "Extra load, bought to cut the tail."),
        per_second("Hedges that won", Flow::HedgesWon, "What the extra load was good for."),
        per_second(
            "Hedges denied",
            Flow::HedgesDenied,
            "Look for denials as the service slows: that is the limit at work.",
        ),
    ]
}

fn cache() -> Vec<Panel> {
    let by = ["arm", "service"];
    let hits = Panel::lines(
        "Hit rate",
        "percentunit",
        "Share of lookups that found an entry within its time to live. The load behind the cache goes by what is missing to \
         100 %: from 95 % to 60 % is eight times as much. Look for a fall without one user more.",
    )
    .twin("{{arm}}: {{service}}", |arms| {
        let (hits, misses) = (flow(Flow::CacheHits).of(arms), flow(Flow::CacheMisses).of(arms));
        let all = format!("({} + {})", hits.per_second(&by), misses.per_second(&by));
        ratio(&hits.per_second(&by), &all)
    })
    .default("max", json!(1))
    .size(8, 7)
    .when_empty("no cache in these arms");
    vec![
        hits,
        per_second("Misses", Flow::CacheMisses, "What users' requests ask of the service behind."),
        held(
            "Entries",
            StockName::CacheEntries,
            "Look for a cliff: a time to live that is the same for all.",
        ),
        per_second("Hits", Flow::CacheHits, "What the service behind was spared."),
        per_second(
            "Fills",
            Flow::CacheFills,
            "Look for many more than there are keys: fills that are lost, and begun anew.",
        ),
        held(
            "Fills under way",
            StockName::CacheFilling,
            "A pile here is the load that the cache used to keep away.",
        ),
        per_second(
            "Fills in the background",
            Flow::CacheRefreshes,
            "Look for them before the wall, and not at it.",
        ),
        per_second(
            "Fills that brought nothing",
            Flow::CacheFillFailures,
            "A cache that cannot be filled stays empty: the loop closes here.",
        ),
        per_second(
            "Served stale",
            Flow::CacheStale,
            "Answers that are old: they spare the service behind, and may cost the user something.",
        ),
        per_second(
            "Waited for another's fill",
            Flow::CacheCoalesced,
            "One fill for all who miss the same key; they all wait as long as it takes.",
        ),
        per_second(
            "Evicted",
            Flow::CacheEvictions,
            "Look for entries that go before they are due: the cache is too small.",
        ),
    ]
}

fn connections() -> Vec<Panel> {
    let quarter = |panel: Panel| panel.size(6, 7).when_empty("no service says how it listens, or none");
    vec![
        quarter(held(
            "Not accepted yet",
            StockName::AcceptQueue,
            "Look for a level that is flat at its limit for a moment: a full queue looks like nothing on any other panel.",
        )),
        quarter(per_second(
            "Dropped at the accept queue",
            Flow::ListenDrops,
            "No error, no log, no reset: the client waits a second and tries again.",
        )),
        quarter(per_second(
            "Sent again",
            Flow::SynRetransmissions,
            "Over TCP they are counted when the attempt ends, not when they are sent.",
        )),
        quarter(per_second(
            "Accepted",
            Flow::Accepted,
            "A flat line is an accept loop at its limit. Those whose caller had left cost as much.",
        )),
    ]
}

fn memory() -> Vec<Panel> {
    let by = ["arm", "service"];
    let stood_still = Panel::lines(
        "Standing still to collect",
        "none",
        "Seconds per second in which replicas stood still for a garbage collection, added over the replicas: near their \
         number they do nothing else. Look for it rising with the memory in use, and with the queue behind it.",
    )
    .twin("{{arm}}: {{service}}", |arms| {
        let stood = flow(Flow::CollectingNanos).of(arms);
        where_any(&stood.per_second(&by), &stood.grown(&by))
    })
    .size(8, 7)
    .when_empty("no garbage collector in these arms");
    let kib = |title: &str, what: StockName, words: &str| {
        held(title, what, words).default("unit", json!("kbytes")).size(8, 7)
    };
    vec![
        kib(
            "Memory",
            StockName::Memory,
            "All replicas together. A saw whose lower edge rises is a queue; a fall to the ground is a kill.",
        ),
        kib("Garbage", StockName::Garbage, "The teeth of the saw: nobody's, until it is collected."),
        stood_still,
        per_second("Collections", Flow::Collections, "Ever more often: hardly anything is left to be freed."),
        per_second(
            "Killed: out of memory",
            Flow::OomKills,
            "Each loses everything inside, and leaves its load to the others until it has started.",
        ),
    ]
}

fn database() -> Vec<Panel> {
    vec![
        held(
            "Waiting for a lock",
            StockName::LockWaiting,
            "They have a worker, and a connection of their caller, and do nothing. Look for it rising while what is in \
             service falls.",
        ),
        per_second(
            "Slow queries",
            Flow::SlowQueries,
            "Look for whether they come before anything else, or when it is over: slow work is counted when it ends.",
        ),
        per_second("No lock in time", Flow::LockTimeouts, "Each gives its rows and its worker back."),
        per_second(
            "Deadlocks",
            Flow::Deadlocks,
            "One of a circle is failed so that the others go on, after all have waited for the detector.",
        ),
        per_second(
            "Refused: too many connections",
            Flow::ConnectionsRefused,
            "Those of all callers count together.",
        ),
        per_second(
            "Conflicts",
            Flow::Conflicts,
            "Work done for nothing because somebody else had written the row. Retries come to the same rows.",
        ),
    ]
}

fn scaling() -> Vec<Panel> {
    let by = ["arm", "service"];
    let replicas = Panel::lines(
        "Replicas",
        "none",
        "Identical instances of each service. Look for more of them that do not raise what is finished: the limit is \
         elsewhere. And for waves: an autoscaler that sees late orders too much, and takes away too much.",
    )
    .twin("{{arm}}: {{service}}", |arms| gauge(Source::Replicas).of(arms).sum(&by))
    .custom("lineInterpolation", json!("stepAfter"))
    .size(8, 7);
    let starting =
        held("Replicas starting", StockName::Starting, "Capacity that was ordered and has not come.");
    let used = Panel::lines(
        "Processors used",
        "none",
        "Seconds of computing per second, over all replicas of services that ask for processors: what an autoscaler that \
         goes by processors sees, late.",
    )
    .twin("{{arm}}: {{service}}", |arms| {
        let computed = flow(Flow::CpuNanos).of(arms);
        where_any(&computed.per_second(&by), &computed.grown(&by))
    })
    .size(8, 7)
    .when_empty("no service asks for processors");
    vec![
        replicas,
        starting.when_empty("no replica took time to start"),
        used,
        per_second("Scaled up", Flow::ScaledUp, "Look for how long after the load."),
        per_second("Scaled down", Flow::ScaledDown, "Look for one shortly before the load comes back."),
        per_second(
            "Turned round",
            Flow::Turned,
            "Up after down, or down after up: each is a decision that was taken back.",
        ),
    ]
}

fn capacity() -> Vec<Panel> {
    let wasted = Panel::lines(
        "Work done for nobody",
        "percentunit",
        "Share of the time in service that was spent after somebody up to the user had given up. Look for a system that is \
         busy and useless: near 100 % while no user gets an answer.",
    )
    .twin("{{arm}}: {{service}}", |arms| {
        let by = ["arm", "service"];
        ratio(&flow(Flow::WastedNanos).of(arms).per_second(&by), &flow(Flow::BusyNanos).of(arms).per_second(&by))
    })
    .default("max", json!(1))
    .size(8, 7)
    .when_empty("nothing was served");
    let useful = Panel::lines(
        "Finished while somebody waited",
        "reqps",
        "Correct answers that everyone up to the user still waited for. Compare with all that were finished: the difference \
         is answers to nobody.",
    )
    .twin("{{arm}}: {{service}}", |arms| flow(Flow::InTime).of(arms).per_second(&["arm", "service"]))
    .size(8, 7);
    let busy = Panel::lines(
        "Work in progress, mean",
        "none",
        "Seconds of service per second, summed over all work: how many pieces were in progress on average.",
    )
    .twin("{{arm}}: {{service}}", |arms| flow(Flow::BusyNanos).of(arms).per_second(&["arm", "service"]))
    .size(8, 7);
    vec![
        wasted,
        useful,
        busy,
        per_second("Finished", Flow::Completed, "Correct answers, whether or not anybody waited."),
        per_second("Failed", Flow::Failed, "Errors of the service itself, not of those it calls."),
    ]
}
