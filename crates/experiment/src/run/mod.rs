//! Running arms: one arm and seed at a time in virtual time, on all cores; all arms of a seed side by side
//! in real time. What comes out is a [`SeedRun`]; nothing here judges.

pub mod arm;
pub mod real_clock;
pub mod remote;
pub mod rows;
pub mod series;
pub mod virtual_clock;

pub use arm::{SeedRun, conduct};
