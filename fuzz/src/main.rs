//! One binary for all targets, so that it is linked once: `FUZZ_TARGET` names the one that is run. A target is a
//! function that must not panic, whatever bytes it is given, and asserts what must be true of what it read.
#![no_main]

mod ports;
mod readers;

use std::sync::OnceLock;

type Target = fn(&[u8]);

/// Every reader of what others wrote, by name.
const TARGETS: [(&str, Target); 8] = [
    ("scenario", readers::scenario),
    ("assignment", readers::assignment),
    ("metrics", readers::metrics),
    ("events", readers::events),
    ("baseline", readers::baseline),
    ("body", ports::body),
    ("request", ports::request),
    ("answer", ports::answer),
];

fn target() -> Target {
    static CHOSEN: OnceLock<Target> = OnceLock::new();
    *CHOSEN.get_or_init(|| {
        let asked = std::env::var("FUZZ_TARGET").unwrap_or_default();
        let found = TARGETS.iter().find(|(name, _)| *name == asked);
        found.map(|(_, target)| *target).unwrap_or_else(|| {
            let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
            eprintln!("FUZZ_TARGET is one of {}", names.join(", "));
            std::process::exit(2)
        })
    })
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| target()(bytes));
