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
    /// Titles of panels; all of the file's if none are named.
    pub panels: &'static [&'static str],
    /// Names of queries; all of the panels' if none are named.
    pub queries: &'static [&'static str],
    /// Why.
    pub why: &'static str,
}

impl MayBeEmpty {
    fn fits(&self, query: &Query) -> bool {
        let among = |names: &[&str], name: &String| names.is_empty() || names.contains(&name.as_str());
        query.file == self.file && among(self.panels, &query.panel) && among(self.queries, &query.name)
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

/// What a live stack need not answer.
pub const LIVE: &[MayBeEmpty] = &[
    MayBeEmpty {
        file: "mechanisms.json",
        panels: &[],
        queries: &[],
        why: "a scenario has some of the mechanisms, and they act when there is a reason; recorded runs have them all",
    },
    MayBeEmpty {
        file: "stocks.json",
        panels: &[],
        queries: &[],
        why: "as mechanisms: stocks in which nothing has moved are not drawn",
    },
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
    MayBeEmpty { file: "home.json", panels: &["markers"], queries: &[], why: MOMENT },
    MayBeEmpty { file: "incident.json", panels: &["markers"], queries: &[], why: MOMENT },
    MayBeEmpty { file: "loops.json", panels: &["markers"], queries: &[], why: MOMENT },
    MayBeEmpty { file: "rig.json", panels: &["markers"], queries: &[], why: MOMENT },
];

/// Why a marker may be missing.
const MOMENT: &str = "five minutes need not have the moment in them";

/// The entry of such a list for this query.
pub fn entry(list: &'static [MayBeEmpty], query: &Query) -> Option<&'static MayBeEmpty> {
    list.iter().find(|entry| entry.fits(query))
}
