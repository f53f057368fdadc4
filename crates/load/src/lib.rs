//! Arrival plans, which are pure, and the drivers that carry them out. It knows that there is something that
//! answers calls; it must not know services, policies, sockets or experiments.
//!
//! * [`plan`]: when users arrive
//! * [`classes`]: who wants what; [`demand`]: who comes although it is slow
//! * [`ledger`]: what became of them; [`users`]: the same, counted for whoever watches
//! * [`driver`]: sends them, on whichever clock

pub mod classes;
pub mod demand;
pub mod driver;
pub mod ledger;
pub mod plan;
pub mod users;

pub use classes::{Classes, Classifier};
pub use demand::{Demand, Elastic};
pub use ledger::{Ledger, Tally};
pub use plan::{Arrivals, Load, Plan};
pub use users::Users;
