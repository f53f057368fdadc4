//! Services, queues, the database model, the wire, and their assembly. It knows calls, time and policies; it
//! must not know who sends the load, what an experiment is, or where settings were read from.
//!
//! # Layout, in reading order
//!
//! * [`settings`]: what can be said of a service; [`listen`]: of how it takes connections
//! * [`assembly`]: from settings to running services; **a call's way is written there**
//! * [`process`]: one service in a process of its own
//! * [`service`]: replicas of one service, and who is next
//! * [`replica`]: door, queue, workers, handler
//! * [`cache`]: answers kept in front of the services that are called
//! * [`memory`]: what calls hold, a collector that stops the world, and the end of a process without memory
//! * [`locks`]: rows that calls lock, deadlocks, and rows that nobody locks
//! * [`slow_log`], [`max_connections`]: what a database has besides
//! * [`processor`]: work in progress, slowed by contention
//! * [`service_time`]: how much work a call is
//! * [`disturbance`]: what triggers do to a service
//! * [`wire`]: how calls travel: as values in memory, or HTTP/1.1 over TCP

pub mod assembly;
pub mod cache;
pub mod disturbance;
pub mod listen;
pub mod locks;
pub mod max_connections;
pub mod memory;
pub mod process;
pub mod processor;
pub mod replica;
pub mod service;
pub mod service_time;
pub mod settings;
pub mod slow_log;
#[cfg(test)]
mod testing;
pub mod wire;

pub use assembly::Stack;
pub use disturbance::Disturbance;
pub use process::Process;
pub use settings::{ServiceSettings, StackSettings};
