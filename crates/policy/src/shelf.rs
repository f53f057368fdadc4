//! The list of policies, and the order in which a call meets them.

use pumphandle_core::Call;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tower::Layer;

use crate::{Next, Patience, Settings, Surroundings, Wrong};
use crate::{attempt_timeout, breaker, bulkhead, concurrency_limit, deadline, hedge, pool, query_timeout};
use crate::{rate_limit, retry, retry_budget, throttle};

/// Declares the shelf. Each line: the policy's name in scenario files, its settings, and (unless it only
/// lends its settings to another policy) its layer. Outermost first.
macro_rules! shelf {
    ($($(#[$doc:meta])* $name:ident: $settings:ty $(=> $layer:path)?;)+) => {
        /// The settings of every policy on one edge of the call graph. What is absent is off.
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct Policies {
            $(
                $(#[$doc])*
                #[serde(default, skip_serializing_if = "Option::is_none")]
                pub $name: Option<$settings>,
            )+
        }

        impl Policies {
            /// The names of all policies, outermost first.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name),)+];

            /// Everything wrong that the shape alone does not refuse.
            pub fn check(&self) -> Vec<Wrong> {
                let mut all = Vec::new();
                $(
                    for wrong in self.$name.iter().flat_map(Settings::check) {
                        let dot = if wrong.path.is_empty() { "" } else { "." };
                        all.push(Wrong::at(
                            format!("{}{dot}{}", stringify!($name), wrong.path), wrong.message));
                    }
                )+
                all
            }
        }

        /// Wraps `end` in every policy of the shelf.
        pub fn chain(surroundings: &Surroundings, end: Next) -> Next {
            let layers: &[Option<fn(&Surroundings, Next) -> Next>] = &[$(shelf!(@layer $($layer)?),)+];
            layers.iter().rev().flatten().fold(end, |next, layer| layer(surroundings, next))
        }
    };
    (@layer $layer:path) => { Some(|surroundings, next| Box::new($layer(surroundings).layer(next))) };
    (@layer) => { None };
}

shelf! {
    /// The longest that a user waits for the whole call, all attempts and pauses included: such as 3s, or off.
    /// Without a limit if absent.
    // Outside of retries: it ends the series, not one attempt.
    deadline: Patience => deadline::layer;
    /// Tell the called service until when the answer is wanted, so that it may drop work nobody waits for.
    /// It is not told if absent.
    // Read where deadlines are set.
    propagate_deadline: deadline::Propagation;
    /// Try again after a failure. One attempt if absent.
    retry: retry::Retry => retry::layer;
    /// A limit on the share of attempts that are retries. No limit if absent.
    // Consulted by the retry loop.
    retry_budget: retry_budget::RetryBudget;
    /// Ask once more when the answer is late, and take the first. One try per attempt if absent.
    // Inside of retries, or it would hedge whole series; outside of what bounds and limits an attempt, since a
    // hedge is one more attempt to all of them.
    hedge: hedge::Hedge => hedge::layer;
    /// So many attempts per second and no more. As many as there are if absent.
    // Inside of retries, which are attempts too; outside of the breaker, whom its refusals tell nothing.
    rate_limit: rate_limit::RateLimit => rate_limit::layer;
    /// At most a number of attempts under way at a time. No limit if absent.
    // Outside of the breaker: its refusals say nothing of the service, and must not open a breaker on it.
    bulkhead: bulkhead::Bulkhead => bulkhead::layer;
    /// So many attempts at a time and no more, by what their latency tells. As many as there are if absent.
    // Where the bulkhead is, which it is with a number that nobody has to know; and outside of the attempt's
    // timeout, since a timeout is what tells it most.
    concurrency_limit: concurrency_limit::ConcurrencyLimit => concurrency_limit::layer;
    /// Send less while the service refuses. Everything is sent if absent.
    // Outside of the breaker, for the same reason; inside of the bulkhead, whose refusals were no requests.
    throttle: throttle::Throttle => throttle::layer;
    /// Stop calling a service that fails. It is always called if absent.
    // Inside of retries: it sees every attempt, and what it refuses costs nothing further in.
    breaker: breaker::Breaker => breaker::layer;
    /// The longest that one attempt may take: such as 1s, or off. Without a limit if absent.
    // Inside of the breaker, which has to learn of timeouts.
    attempt_timeout: Patience => attempt_timeout::layer;
    /// Connections to the called service, kept and shared. As many as are needed if absent.
    // Inside of the attempt's timeout: waiting for a connection is part of an attempt.
    pool: pool::Pool => pool::layer;
    /// The longest that the called service may work on one attempt before it ends the work itself: such as 2s,
    /// or off. Without a limit if absent.
    query_timeout: Patience => query_timeout::layer;
}

impl Policies {
    /// The first attempt of a call has the same key whether or not anything would try again.
    pub(crate) fn first_attempt(mut call: Call) -> Call {
        call.path = call.path.attempt(0);
        call.attempt = 0;
        call
    }
}

#[cfg(test)]
mod tests;
