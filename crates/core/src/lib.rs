//! The vocabulary of the rig: calls, replies, errors, live settings, keyed draws, time, and the catalogue
//! of metrics. It knows no sockets, no YAML, no command line, and none of the other crates.
//!
//! # Layout
//!
//! * [`time`]: `now`, `sleep`, `timeout`, `spawn`, on whichever clock the arm runs
//! * [`units`]: durations, rates and shares as people write them
//! * [`draws`]: randomness by name and key, so that twins draw alike
//! * [`call`]: what travels along the call graph, and who still waits for it
//! * [`gate`]: permits with a queue in front: workers, connections, bulkheads
//! * [`live`]: settings that change under way
//! * [`meter`]: stocks, flows, and the catalogue of their names
//! * [`catalogue`]: every metric that leaves the rig, by name
//! * [`world`]: what all services of one arm share: seed and event log

pub mod call;
pub mod catalogue;
pub mod draws;
pub mod events;
pub mod gate;
pub mod live;
pub mod meter;
pub mod time;
pub mod units;
pub mod world;

pub use call::{Answering, Call, CallError, Class, Criticality, Exchange, Outcome, Reply, Service};
pub use draws::{Draws, Path, Stream};
pub use live::Live;
pub use time::Time;
pub use units::{Bytes, Dur, Rate, Share};
pub use world::World;
