//! What can be said of a replica's memory, and what is wrong with what was said.

use std::time::Duration;

use pumphandle_core::{Bytes, Dur, Share};
use pumphandle_policy::Wrong;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Memory of each replica, and what is done when there is no more: it is killed, with all that is inside, and started
/// anew. Amounts count in whole KiB.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// A replica that needs more is killed, such as 512MiB.
    pub limit: Bytes,
    /// What a replica needs that does nothing, such as 100MiB. Nothing if absent.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub base: Bytes,
    /// What a call holds from the door to its answer, waiting or worked on, such as 256KiB. Nothing if absent.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub per_call: Bytes,
    /// What a call uses up besides when its work begins, and nobody needs any more afterwards, such as 1MiB. It
    /// needs a `collector`. Nothing if absent.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub garbage: Bytes,
    /// What frees memory, and nobody else does: a garbage collector. What a call held is free as soon as it is answered
    /// if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collector: Option<Collector>,
}

/// A collector that stops the world: nothing goes on in the replica while it collects, and then all garbage is free.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Collector {
    /// It collects when this share is used of what was free after the collection before, from 1% to 100%. All of it if
    /// absent.
    #[serde(default = "all", skip_serializing_if = "is_all")]
    pub at: Share,
    /// How long a collection takes.
    pub pause: Pause,
}

/// A collection's time: that of finding and moving what is still used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pause {
    /// Of any collection, such as 5ms. None if absent.
    #[serde(default)]
    pub fixed: Dur,
    /// For each MiB that is still used, such as 500us. None if absent.
    #[serde(default)]
    pub per_mib: Dur,
}

impl Pause {
    /// With so many KiB in use.
    pub fn of(&self, live_kib: u64) -> Duration {
        let grows = self.per_mib.0.as_nanos() as f64 * live_kib as f64 / 1024.0;
        self.fixed.0 + Duration::from_nanos(grows as u64)
    }
}

fn is_nothing(bytes: &Bytes) -> bool {
    bytes.0 == 0
}

fn all() -> Share {
    Share(1.0)
}

fn is_all(share: &Share) -> bool {
    share.0 == 1.0
}

impl Memory {
    /// What the shape alone does not refuse.
    pub fn check(&self) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        let Memory { limit, base, per_call, garbage, collector } = self;
        if limit.kib() < base.kib() + per_call.kib() + garbage.kib() {
            let need = Bytes((base.kib() + per_call.kib() + garbage.kib()) << 10);
            let message = format!("a replica with one call needs {need}: it would be killed by the first");
            wrong.push(Wrong::at("limit", message));
        }
        if per_call.0 == 0 && garbage.0 == 0 {
            wrong.push(Wrong::at(
                "per_call",
                "calls need no memory: then there is nothing that could fill it",
            ));
        }
        match collector {
            None if garbage.0 > 0 => {
                wrong.push(Wrong::at("garbage", "nobody would ever free it: add `collector`"));
            }
            Some(Collector { at, .. }) if at.0 < 0.01 => {
                wrong.push(Wrong::at("collector.at", "it collects at 1% to 100% of what is free"));
            }
            Some(Collector { pause, .. }) if pause.fixed.0.is_zero() && pause.per_mib.0.is_zero() => {
                let message = "a collection takes time: say `fixed`, `per_mib` or both";
                wrong.push(Wrong::at("collector.pause", message));
            }
            _ => {}
        }
        wrong
    }
}
