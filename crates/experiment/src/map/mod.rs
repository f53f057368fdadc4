//! Maps: how a scenario ends over two settings, and where along one setting its end changes.
//!
//! # Layout, in reading order
//!
//! * [`axis`]: a setting and the values it is given
//! * [`looks`]: how many seeds a point needs
//! * [`refine`], [`search`]: where to measure next; pure
//! * [`class`]: what is measured at a point, and what it is called
//! * [`bench`]: measuring it, on all cores, nothing twice
//! * [`sweep`], [`threshold`]: the two commands' work
//! * [`result`]: the documents that they leave
//!
//! Points are changed copies of one scenario. Nothing here knows a service, a lever or an incident by name.

pub mod axis;
pub mod bench;
pub mod class;
pub mod looks;
pub mod refine;
pub mod result;
pub mod search;
pub mod sweep;
pub mod threshold;
