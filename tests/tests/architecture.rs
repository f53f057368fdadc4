//! The rooms of the workspace, and what each may not know, held against what cargo says. ARCHITECTURE.md
//! describes the same table in words: change both or neither.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Which of our crates a crate may use. Everything that is not listed is forbidden.
const ROOMS: &[(&str, &[&str])] = &[
    ("pumphandle-core", &[]),
    ("pumphandle-policy", &["pumphandle-core"]),
    ("pumphandle-stack", &["pumphandle-core", "pumphandle-policy"]),
    ("pumphandle-load", &["pumphandle-core"]),
    (
        "pumphandle-experiment",
        &["pumphandle-core", "pumphandle-policy", "pumphandle-stack", "pumphandle-load"],
    ),
    ("pumphandle-report", &["pumphandle-core", "pumphandle-experiment"]),
    ("pumphandle-console", &["pumphandle-core", "pumphandle-experiment"]),
    ("pumphandle", &["pumphandle-core", "pumphandle-experiment", "pumphandle-report", "pumphandle-console"]),
];

/// Tools around the rig, which look at everything; nothing may use them.
const TOOLS: [&str; 2] = ["pumphandle-tests", "pumphandle-benches"];

/// Libraries that only some rooms may know, and why.
const KEPT_IN: &[(&str, &[&str], &str)] = &[
    ("clap", &["pumphandle"], "arguments are the binary's"),
    ("anyhow", &["pumphandle"], "libraries name their errors"),
    ("ctrlc", &["pumphandle"], "being interrupted is the binary's"),
    ("indicatif", &["pumphandle"], "progress is the binary's"),
    ("hyper", &["pumphandle-stack", "pumphandle-console"], "sockets: the wire, and the metrics pages"),
    ("hyper-util", &["pumphandle-stack", "pumphandle-console"], "as hyper"),
    ("http", &["pumphandle-stack", "pumphandle-console"], "as hyper"),
    ("http-body-util", &["pumphandle-stack", "pumphandle-console"], "as hyper"),
    ("tower", &["pumphandle-policy", "pumphandle-stack"], "layers, at the edges"),
    ("saphyr-parser", &["pumphandle-experiment"], "YAML is read in one place"),
    ("metrics", &["pumphandle-console"], "services count in their own atomics"),
    ("metrics-exporter-prometheus", &["pumphandle-console"], "as metrics"),
    ("prost", &["pumphandle-report"], "remote write is encoded in one place"),
    ("snap", &["pumphandle-report"], "as prost"),
    ("plotly", &["pumphandle-report"], "charts are drawn in one place"),
    ("askama", &["pumphandle-report"], "as plotly"),
    ("quick-junit", &["pumphandle-report"], "as plotly"),
];

/// Libraries that no room may use, and why.
const NOWHERE: &[(&str, &str)] = &[
    ("rand", "draws are keyed: pumphandle_core::draws"),
    ("fastrand", "draws are keyed: pumphandle_core::draws"),
    ("getrandom", "draws are keyed: pumphandle_core::draws"),
    ("chrono", "results hold no wall time"),
    ("time", "results hold no wall time"),
    ("futures", "of its branches that are ready together it takes a random one"),
];

struct Package {
    name: String,
    /// Of any kind: tests that reach over a wall are a door in it.
    dependencies: BTreeSet<String>,
    binaries: Vec<String>,
    default_run: Option<String>,
}

fn packages() -> Vec<Package> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root)
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    list(&metadata["packages"])
        .iter()
        .map(|package| Package {
            name: text(&package["name"]).expect("a package has a name"),
            dependencies: list(&package["dependencies"]).iter().filter_map(|it| text(&it["name"])).collect(),
            binaries: list(&package["targets"])
                .iter()
                .filter(|target| list(&target["kind"]).contains(&Value::from("bin")))
                .filter_map(|target| text(&target["name"]))
                .collect(),
            default_run: text(&package["default_run"]),
        })
        .collect()
}

#[test]
fn every_crate_is_a_room_of_the_table() {
    let rooms: BTreeSet<&str> = ROOMS.iter().map(|(name, _)| *name).chain(TOOLS).collect();
    let packages = packages();
    let found: BTreeSet<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    assert_eq!(found, rooms, "a new crate needs a row in ROOMS, a row in ARCHITECTURE.md, and a reason");
}

#[test]
fn no_crate_knows_more_of_the_others_than_it_may() {
    let packages = packages();
    let ours: BTreeSet<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    let rooms: BTreeMap<&str, &[&str]> = ROOMS.iter().copied().collect();
    for package in packages.iter().filter(|package| !TOOLS.contains(&package.name.as_str())) {
        let known: BTreeSet<&str> =
            package.dependencies.iter().map(String::as_str).filter(|name| ours.contains(name)).collect();
        let may: BTreeSet<&str> = rooms[package.name.as_str()].iter().copied().collect();
        assert_eq!(known, may, "what `{}` uses of this workspace differs from the table", package.name);
    }
}

#[test]
fn libraries_stay_in_the_rooms_that_may_know_them() {
    let packages = packages();
    let mut wrong = Vec::new();
    for package in packages.iter().filter(|package| !TOOLS.contains(&package.name.as_str())) {
        for (library, rooms, why) in KEPT_IN {
            if package.dependencies.contains(*library) && !rooms.contains(&package.name.as_str()) {
                wrong.push(format!("{} uses {library}: {why}", package.name));
            }
        }
        for (library, why) in NOWHERE {
            if package.dependencies.contains(*library) {
                wrong.push(format!("{} uses {library}: {why}", package.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_of_libraries_has_no_row_that_nobody_needs() {
    let packages = packages();
    let uses = |room: &str, library: &str| {
        packages.iter().any(|package| package.name == room && package.dependencies.contains(library))
    };
    for (library, rooms, _) in KEPT_IN {
        for room in *rooms {
            assert!(uses(room, library), "{room} does not use {library} any more: take it out of KEPT_IN");
        }
    }
}

#[test]
fn cargo_run_at_the_root_means_the_binary() {
    let packages = packages();
    let defaults: Vec<&str> = packages.iter().filter_map(|package| package.default_run.as_deref()).collect();
    let binaries: Vec<&str> =
        packages.iter().flat_map(|package| &package.binaries).map(String::as_str).collect();
    // With one binary cargo finds it; with several it has to be told.
    assert!(
        binaries == ["pumphandle"] || defaults == ["pumphandle"],
        "{binaries:?}, default-run {defaults:?}"
    );
}
