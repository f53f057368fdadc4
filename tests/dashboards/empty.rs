//! What may have no answer, and why. Everything else that is empty is an error: a misspelt label is not empty, it is wrong.
//!
//! Recorded runs are the same every time. Of several that between them use every mechanism, each query must have an answer
//! in one; what stands here must have none in any, so that an entry that is not needed is an error too. Of a live stack,
//! where it depends on the scenario and on the moment, a query may have an answer.

use super::queries::Query;

/// Queries without an answer.
#[derive(Clone, Copy, Debug)]
pub struct MayBeEmpty {
    /// The dashboard's file.
    pub file: &'static str,
    /// Titles of panels, or what stands before a colon in them; all of the file's if none are named.
    pub panels: &'static [&'static str],
    /// Names of queries; all of the panels' if none are named.
    pub queries: &'static [&'static str],
    /// Why.
    pub why: &'static str,
}

impl MayBeEmpty {
    fn fits(&self, query: &Query) -> bool {
        let among = |names: &[&str], name: &str| names.is_empty() || names.contains(&name);
        let whose = query.panel.split(": ").next().unwrap_or_default();
        let panel = among(self.panels, &query.panel) || among(self.panels, whose);
        query.file == self.file && panel && among(self.queries, &query.name)
    }
}

/// What no recorded run answers.
pub const RECORDED: &[MayBeEmpty] = &[MayBeEmpty {
    file: "rig.json",
    panels: &[
        "Worst lag",
        "Worst idle timer",
        "Processors, mean",
        "Troubles",
        "Generator lag",
        "Late sends",
        "Idle timer",
        "Processors",
    ],
    queries: &[],
    why: "what the runner sees of its own machine is not recorded: in virtual time there is nothing to see",
}];

/// What a live stack need not answer. Where it says that something is missing: from `retry-storm` with one lever, which
/// is what the live tests run; recorded runs have it all.
pub const LIVE: &[MayBeEmpty] = &[
    mechanism(
        &["Breaker state", "Refused by an open breaker", "Fallbacks"],
        "no circuit breaker, and no fallback",
    ),
    mechanism(
        &["Denied by the budget", "Advice heeded"],
        "no retry budget, and no advice to those who retry",
    ),
    mechanism(&["Expired unstarted", "Killed"], "nothing drops or ends work that nobody waits for"),
    mechanism(
        &["Disconnected by a restart", "Touched by a trigger"],
        "its trigger slows queries down, and touches no attempt",
    ),
    mechanism(
        &[
            "Adaptive concurrency limit",
            "Refused by a limit",
            "Places of the bulkhead",
            "Waiting at the bulkhead",
            "Waiting for their turn",
        ],
        "no limits and no bulkhead",
    ),
    mechanism(&["No connection in time", "Waiting for a connection"], CONNECTIONS),
    mechanism(
        &[
            "Hit rate",
            "Misses",
            "Entries",
            "Hits",
            "Fills",
            "Fills under way",
            "Fills in the background",
            "Fills that brought nothing",
            "Served stale",
            "Waited for another's fill",
            "Evicted",
        ],
        CACHE,
    ),
    mechanism(&["Not accepted yet", "Dropped at the accept queue", "Sent again", "Accepted"], LISTENS),
    mechanism(
        &["Memory", "Garbage", "Standing still to collect", "Collections", "Killed: out of memory"],
        MEMORY,
    ),
    mechanism(
        &[
            "Waiting for a lock",
            "Slow queries",
            "No lock in time",
            "Deadlocks",
            "Refused: too many connections",
            "Conflicts",
        ],
        DATABASE,
    ),
    mechanism(&["Hedges sent", "Hedges that won", "Hedges denied"], "no hedges"),
    mechanism(
        &["Replicas starting", "Scaled up", "Scaled down", "Turned round", "Processors used"],
        PROCESSES,
    ),
    stock(
        &["In the bulkhead", "Waiting at the bulkhead", "Waiting for their turn"],
        "no limits and no bulkhead",
    ),
    stock(&["Waiting for a connection"], CONNECTIONS),
    stock(&["Replicas starting"], PROCESSES),
    stock(&["Cache entries", "Cache fills"], CACHE),
    stock(&["Accept queue"], LISTENS),
    stock(&["Memory in KiB", "Garbage in KiB"], MEMORY),
    stock(&["Waiting for a lock"], DATABASE),
    MayBeEmpty {
        file: "incident.json",
        panels: &["Score card"],
        queries: &[],
        why: "known when the run is over",
    },
    MayBeEmpty {
        file: "incident.json",
        panels: &["What happens when"],
        queries: &["trigger", "lever"],
        why: MOMENT,
    },
    MayBeEmpty {
        file: "home.json",
        panels: &["What happens when"],
        queries: &["trigger", "lever"],
        why: MOMENT,
    },
    markers("home.json"),
    markers("incident.json"),
    markers("loops.json"),
    markers("mechanisms.json"),
    markers("rig.json"),
    markers("stocks.json"),
];

/// Panels of a mechanism that is not there.
const fn mechanism(panels: &'static [&'static str], why: &'static str) -> MayBeEmpty {
    MayBeEmpty { file: "mechanisms.json", panels, queries: &[], why }
}

/// Panels of a stock in which nothing has moved.
const fn stock(panels: &'static [&'static str], why: &'static str) -> MayBeEmpty {
    MayBeEmpty { file: "stocks.json", panels, queries: &[], why }
}

const fn markers(file: &'static str) -> MayBeEmpty {
    MayBeEmpty { file, panels: &["markers"], queries: &[], why: MOMENT }
}

/// Why nothing is looked up.
const CACHE: &str = "no cache";

/// Why no connection waits.
const LISTENS: &str = "no service says how it listens";
/// Why nobody locks anything.
const DATABASE: &str = "no locks, and nothing of a database besides";
/// Why no memory is counted.
const MEMORY: &str = "no limit of memory";

/// Why nobody waits for a connection.
const CONNECTIONS: &str = "as many connections as workers, so that nobody waits for one";

/// Why nothing is scaled.
const PROCESSES: &str = "autoscalers act on services of the run's own process only";

/// Why a marker may be missing.
const MOMENT: &str = "five minutes need not have the moment in them";

/// The entry of such a list for this query.
pub fn entry(list: &'static [MayBeEmpty], query: &Query) -> Option<&'static MayBeEmpty> {
    list.iter().find(|entry| entry.fits(query))
}
