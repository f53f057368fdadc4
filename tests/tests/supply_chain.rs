//! What comes from others: where from, under which licence, and what must not come at all. Held against what
//! cargo says of every package that a build, a test or a benchmark of this workspace takes in.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use spdx::{Expression, ParseMode};

/// Licences under which the binary may be given away with what is compiled into it.
const LICENCES: [&str; 6] = ["MIT", "MIT-0", "Apache-2.0", "Unicode-3.0", "Zlib", "BSD-3-Clause"];

/// Packages that must not be taken in, not even by others, and why.
const BANNED: &[(&str, &str)] = &[
    ("openssl-sys", "a C library: the binary is built with a Rust compiler and nothing else"),
    ("cmake", "as openssl-sys"),
    ("bindgen", "as openssl-sys"),
    ("reqwest", "nothing here asks anybody on the network for anything"),
    ("serde_yaml", "no longer kept; files are read by saphyr-parser"),
    ("atty", "no longer kept"),
];

struct Package {
    name: String,
    source: Option<String>,
    licence: Option<String>,
}

fn packages() -> Vec<Package> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let version = Command::new(&cargo).arg("-vV").output().expect("cargo starts").stdout;
    let version = String::from_utf8_lossy(&version).into_owned();
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).expect("cargo names its host");
    let output = Command::new(cargo)
        // Of this platform: what others need has not been fetched where nobody built for them.
        .args(["metadata", "--offline", "--locked", "--format-version", "1", "--filter-platform", host])
        .current_dir(root)
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let all = metadata["packages"].as_array().expect("cargo lists packages");
    assert!(all.len() > 100, "cargo lists what others bring too");
    all.iter()
        .map(|package| Package {
            name: text(&package["name"]).expect("a package has a name"),
            source: text(&package["source"]),
            licence: text(&package["license"]),
        })
        .collect()
}

/// Why the licence does not do; none if it does.
fn refusal(licence: Option<&str>) -> Option<String> {
    let Some(licence) = licence else { return Some("it names no licence".to_owned()) };
    let expression = match Expression::parse_mode(licence, ParseMode::LAX) {
        Ok(expression) => expression,
        Err(error) => return Some(format!("`{licence}` cannot be read: {}", error.reason)),
    };
    let allowed = expression.evaluate(|requirement| {
        let id = requirement.license.id();
        id.is_some_and(|id| LICENCES.contains(&id.name))
    });
    (!allowed).then(|| format!("`{licence}` is not among the licences that may be given away"))
}

#[test]
fn every_licence_may_be_given_away_with_the_binary() {
    let wrong: Vec<String> = packages()
        .iter()
        .filter_map(|package| Some(format!("{}: {}", package.name, refusal(package.licence.as_deref())?)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_licence_that_binds_others_is_refused_unless_there_is_a_choice() {
    assert!(refusal(Some("GPL-3.0-only")).is_some());
    assert!(refusal(Some("MIT AND GPL-3.0-only")).is_some());
    assert!(refusal(Some("MPL-2.0")).is_some());
    assert!(refusal(Some("no such thing")).is_some());
    assert!(refusal(None).is_some());
    assert_eq!(refusal(Some("MIT OR GPL-3.0-only")), None);
    assert_eq!(refusal(Some("MIT/Apache-2.0")), None, "as older packages write it");
}

#[test]
fn everything_comes_from_the_registry_or_lies_in_this_repository() {
    let wrong: Vec<String> = packages()
        .into_iter()
        .filter_map(|Package { name, source, .. }| Some((name, source?)))
        .filter(|(_, source)| !source.starts_with("registry+"))
        .map(|(name, source)| format!("{name} comes from {source}: what can change under us is not taken in"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_banned_is_taken_in_by_anybody() {
    let packages = packages();
    let wrong: Vec<String> = BANNED
        .iter()
        .filter(|(name, _)| packages.iter().any(|package| package.name == *name))
        .map(|(name, why)| format!("{name}: {why}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
