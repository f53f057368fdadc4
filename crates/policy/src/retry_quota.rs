//! Retry quota, on the way in: the edge admits retries only as a share of first attempts, whatever its
//! clients think that they may send.
//!
//! Prevents: the retry storm, even where not every client keeps a budget of its own. Can cause: refusals of
//! retries that there was room for. A refusal says "limited", which clients do not try again.
//!
//! Unlike a retry budget, which every client has to have, it is a rule: kept by the one who is hurt.

use std::sync::{Mutex, PoisonError};

use pumphandle_core::Share;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Settings, yes};

/// Settings of a retry quota.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetryQuota {
    /// On or off. On if absent.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Retries admitted per first attempt, such as 10%.
    pub share: Share,
    /// Retries that can be saved up, from 1 to 1000000; all are there at the start. 10 if absent.
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub burst: u32,
}

fn ten() -> u32 {
    10
}

impl Settings for RetryQuota {}

/// One retry, in the thousandths in which the quota is kept: no share is rounded to a fraction 1/n.
const RETRY: u64 = 1_000;

/// What is left of a quota. Every replica keeps its own.
#[derive(Debug, Default)]
pub struct Quota(Mutex<Option<u64>>);

impl Quota {
    /// Whether the edge admits this attempt; first attempts always, and each pays in its share.
    pub fn admits(&self, settings: &RetryQuota, is_retry: bool) -> bool {
        if !settings.enabled {
            return true;
        }
        let most = u64::from(settings.burst) * RETRY;
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left = left.get_or_insert(most);
        if !is_retry {
            *left = (*left + (settings.share.0 * RETRY as f64).round() as u64).min(most);
            return true;
        }
        if *left < RETRY {
            return false;
        }
        *left = (*left - RETRY).min(most);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn retries_never_exceed_their_share_and_what_was_saved_up(
            share in 0.0_f64..=1.0, burst in 1_u32..20, attempts in prop::collection::vec(any::<bool>(), 0..500),
        ) {
            let settings = RetryQuota { enabled: true, share: Share(share), burst };
            let quota = Quota::default();
            let (mut first, mut retries) = (0_u32, 0_u32);
            for is_retry in attempts {
                let admitted = quota.admits(&settings, is_retry);
                prop_assert!(admitted || is_retry, "a first attempt is always admitted");
                first += u32::from(!is_retry);
                retries += u32::from(is_retry && admitted);
                // Half a thousandth per first attempt is what rounding may add.
                prop_assert!(f64::from(retries) <= f64::from(burst) + (share + 0.0005) * f64::from(first) + 1e-9);
            }
        }
    }

    #[test]
    fn switched_off_it_admits_everything() {
        let settings = RetryQuota { enabled: false, share: Share(0.0), burst: 1 };
        let quota = Quota::default();
        assert!((0..100).all(|_| quota.admits(&settings, true)));
    }
}
