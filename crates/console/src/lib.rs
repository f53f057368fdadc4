//! The pages of a running stack: `/metrics` of every service, as if each were a program of its own, and, where
//! it is one, the control API on its admin port; with the client of that API and the reader of those pages.
//!
//! It knows meters and the catalogue of their names, and the desk of `experiment`, which decides what a change
//! means. It must not know arguments, the insides of policies, or how a stack is built: whatever is to be shown
//! here is counted by a meter, and named in its catalogue, first. It has no global recorder either, since
//! several arms run in one process.
//!
//! # Layout
//!
//! * `empty`: the admin port of a place without a service
//! * `exposition`: one service's metrics as text; `reader`: that text as metrics
//! * `server`: the metrics of a run's services over HTTP
//! * `control`: the admin port of a service in a process of its own; [`client`]: its other end
//! * [`remote`]: a whole stack of such services
//! * [`prometheus`]: a server that takes samples and answers questions
//! * [`remote`]: a whole stack of such services; [`hands`] on it; `lookout`: what goes on in all of them
//! * `runner`: the port of a runner; `state` and `page.html`: what it shows; `run_page`: its metrics
//! * `guard`: who may do what there
//! * `http`: limits that all of them share

pub mod client;
mod control;
mod empty;
mod exposition;
mod guard;
pub mod hands;
mod http;
mod lookout;
pub mod prometheus;
mod reader;
pub mod remote;
mod run_page;
mod runner;
mod server;
mod state;

pub use control::{MAX_BODY, WHO, serve_control};
pub use empty::serve_nobody;
pub use guard::{Guard, SHORTEST_TOKEN, Token};
pub use lookout::Ports;
pub use reader::{BadMetrics, MAX_PAGE, Page, read_metrics};
pub use runner::{Link, serve_runner};
pub use server::{serve_metrics, serve_run_metrics};
