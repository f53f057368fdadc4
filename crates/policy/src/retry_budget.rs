//! Retry budget: a limit on the share of attempts that are retries, whatever each call would like.
//!
//! Prevents: the retry storm, because the load that failures add is bounded by the share and not by the
//! number of attempts. Why a budget and not fewer attempts? Two attempts per call still double the load
//! exactly when there is no room for it, and layers multiply. Can cause: errors shown to users that one more
//! attempt would have hidden; and it ends a storm only while it stays below the spare capacity.
//!
//! Amounts are whole thousandths of a token, so that no share is rounded to a fraction 1/n.

use std::sync::{Mutex, PoisonError};

use pumphandle_core::Share;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Settings, Wrong, yes};

/// Settings of a retry budget: exactly one of the two kinds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetryBudget {
    /// On or off. On if absent.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Each call (or success) pays in a part of a token; each retry takes a whole one. The other kind if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_bucket: Option<TokenBucket>,
    /// Retries may be at most a share of the calls under way. The other kind if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share_of_active: Option<ShareOfActive>,
}

/// As in Finagle, Linkerd 2 and the AWS SDKs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenBucket {
    /// Paid in per call or per success, as a share of a token: 10% allows one retry for ten.
    pub deposit: Share,
    /// What pays in: `call` or `success`. Calls if absent.
    #[serde(default)]
    pub per: Deposit,
    /// The most that can be saved up, from 1 to 1000000 tokens; full at the start. 10 if absent.
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub capacity: u32,
}

fn ten() -> u32 {
    10
}

/// What pays into a token bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(title = "deposit")]
pub enum Deposit {
    /// Every first attempt.
    #[default]
    Call,
    /// Every correct answer.
    Success,
}

/// As Envoy's retry budget: `share` of the active calls, but never fewer than `at_least`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShareOfActive {
    /// Retries under way per call under way, such as 20%.
    pub share: Share,
    /// Retries that are always allowed at a time, up to 1000000. None if absent.
    #[serde(default)]
    #[schemars(range(max = 1_000_000))]
    pub at_least: u32,
}

impl Settings for RetryBudget {
    fn check(&self) -> Vec<Wrong> {
        match (&self.token_bucket, &self.share_of_active) {
            (Some(_), None) | (None, Some(_)) => Vec::new(),
            _ => vec![Wrong::at("", "a retry budget is either `token_bucket` or `share_of_active`")],
        }
    }
}

const TOKEN: u64 = 1_000;

/// The state of a budget.
#[derive(Debug, Default)]
pub struct Budget(Mutex<Purse>);

#[derive(Debug, Default)]
struct Purse {
    /// Thousandths of a token; none before the first deposit or withdrawal.
    tokens: Option<u64>,
    active_calls: u64,
    active_retries: u64,
}

impl Purse {
    fn tokens(&mut self, bucket: &TokenBucket) -> &mut u64 {
        let most = u64::from(bucket.capacity) * TOKEN;
        let tokens = self.tokens.get_or_insert(most);
        *tokens = (*tokens).min(most);
        tokens
    }

    fn deposit(&mut self, bucket: &TokenBucket) {
        let most = u64::from(bucket.capacity) * TOKEN;
        let part = (bucket.deposit.0 * TOKEN as f64).round() as u64;
        let tokens = self.tokens(bucket);
        *tokens = (*tokens + part).min(most);
    }
}

impl Budget {
    fn lock(&self) -> std::sync::MutexGuard<'_, Purse> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls and retries under way.
    #[cfg(test)]
    pub(crate) fn active(&self) -> (u64, u64) {
        let purse = self.lock();
        (purse.active_calls, purse.active_retries)
    }

    /// A call begins; the guard ends it.
    pub fn begin<'a>(&'a self, settings: Option<&RetryBudget>) -> CallUnderWay<'a> {
        let mut purse = self.lock();
        purse.active_calls += 1;
        if let Some(bucket) = settings.and_then(|budget| budget.token_bucket.as_ref())
            && bucket.per == Deposit::Call
        {
            purse.deposit(bucket);
        }
        CallUnderWay { budget: self, retrying: false }
    }
}

/// A call, from its first attempt to its end.
#[derive(Debug)]
pub struct CallUnderWay<'a> {
    budget: &'a Budget,
    retrying: bool,
}

impl CallUnderWay<'_> {
    /// A correct answer came.
    pub fn succeeded(&self, settings: Option<&RetryBudget>) {
        if let Some(bucket) = settings.and_then(|budget| budget.token_bucket.as_ref())
            && bucket.per == Deposit::Success
        {
            self.budget.lock().deposit(bucket);
        }
    }

    /// Asks for one retry; true if the budget allows it (always, without a budget).
    pub fn withdraw(&mut self, settings: Option<&RetryBudget>) -> bool {
        let mut purse = self.budget.lock();
        let Some(settings) = settings.filter(|budget| budget.enabled) else { return true };
        if let Some(bucket) = &settings.token_bucket {
            let tokens = purse.tokens(bucket);
            if *tokens < TOKEN {
                return false;
            }
            *tokens -= TOKEN;
        }
        if let Some(ShareOfActive { share, at_least }) = settings.share_of_active {
            let with_this = purse.active_retries - u64::from(self.retrying) + 1;
            // A division, because a product with the share would be rounded to below the count.
            let of_active = with_this as f64 / purse.active_calls as f64;
            if of_active > share.0 && with_this > u64::from(at_least) {
                return false;
            }
        }
        if !std::mem::replace(&mut self.retrying, true) {
            purse.active_retries += 1;
        }
        true
    }
}

impl Drop for CallUnderWay<'_> {
    fn drop(&mut self) {
        let mut purse = self.budget.lock();
        purse.active_calls -= 1;
        purse.active_retries -= u64::from(self.retrying);
    }
}

#[cfg(test)]
mod tests;
