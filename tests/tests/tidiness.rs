//! Rules about the text of this repository, each with its reason. Lists of exceptions carry a reason for every
//! entry, and an entry that is not needed any more is an error too.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Folders that hold no text of ours.
const SKIPPED: [&str; 3] = ["target", ".git", "runs"];

/// This file names what it forbids.
const SELF: &str = "tests/tests/tidiness.rs";

/// Longer files are hard to hold in one's head, and usually two files.
const MOST_LINES: usize = 1_000;

/// What is larger belongs in no repository that people clone before a talk.
const MOST_BYTES: usize = 2 * 1024 * 1024;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the workspace is there")
}

/// Every file of the repository by its path from the root, in order.
fn files() -> Vec<String> {
    fn walk(folder: &Path, root: &Path, files: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).expect("a folder can be read") {
            let entry = entry.expect("a folder can be read");
            let (name, path) = (entry.file_name().to_string_lossy().into_owned(), entry.path());
            if path.is_dir() {
                if !SKIPPED.contains(&name.as_str()) {
                    walk(&path, root, files);
                }
            } else if name != ".git" {
                let path = path.strip_prefix(root).expect("it lies below the root");
                files.push(path.to_string_lossy().replace('\\', "/"));
            }
        }
    }
    let (mut files, root) = (Vec::new(), root());
    walk(&root, &root, &mut files);
    files.sort();
    files
}

fn of_kind(ending: &str) -> Vec<(String, String)> {
    let read = |file: String| {
        let text = std::fs::read_to_string(root().join(&file)).expect("it is text in UTF-8");
        (file, text)
    };
    files().into_iter().filter(|file| file.ends_with(ending)).map(read).collect()
}

fn rust() -> Vec<(String, String)> {
    let all = of_kind(".rs");
    assert!(all.len() > 50, "this test looks in the wrong place");
    all.into_iter().filter(|(file, _)| file != SELF).collect()
}

/// Lines that are not comments, with their numbers.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let numbered = text.lines().enumerate().map(|(i, line)| (i + 1, line));
    numbered.filter(|(_, line)| !line.trim_start().starts_with("//"))
}

fn none(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Holds lines that `is_forbidden` against a list of files that may have them.
fn only_in(allowed: &[(&str, &str)], is_forbidden: impl Fn(&str) -> bool, why: &str) {
    let mut wrong = Vec::new();
    let mut used = BTreeSet::new();
    for (file, text) in rust() {
        for (line, content) in code(&text).filter(|(_, line)| is_forbidden(line)) {
            match allowed.iter().find(|(path, _)| *path == file) {
                Some((path, _)) => drop(used.insert(*path)),
                None => wrong.push(format!("{file}:{line}: {}  ({why})", content.trim())),
            }
        }
    }
    let unused = allowed.iter().filter(|(path, _)| !used.contains(path));
    wrong.extend(unused.map(|(path, _)| format!("{path} does not need its exception any more ({why})")));
    none(&wrong);
}

#[test]
fn every_rust_file_says_first_what_it_is_for() {
    // Attributes of the file and blank lines may come before.
    let first = |text: &str| {
        let mut lines = text.lines().map(str::trim);
        lines.find(|line| !line.is_empty() && !line.starts_with("#![")).unwrap_or_default().to_owned()
    };
    let silent = rust().into_iter().filter(|(_, text)| !first(text).starts_with("//!"));
    none(&silent.map(|(file, _)| format!("{file} does not open with //!")).collect::<Vec<_>>());
}

#[test]
fn nothing_reads_the_clock_of_the_machine_behind_the_run() {
    only_in(
        &[
            ("crates/experiment/src/run/real_clock.rs", "watches how late the machine's own timers are"),
            ("crates/cli/src/calendar.rs", "puts a recording into the past of whoever looks at it"),
            ("crates/cli/src/doctor.rs", "is about the machine's own timers"),
            ("crates/cli/src/progress.rs", "tells a person how long it took; goes to machine.json only"),
            ("benches/src/bin/performance.rs", "measures wall time, and nothing else"),
            ("benches/src/bin/generators.rs", "gives up on a generator that does not end"),
        ],
        |line| {
            let std_clock = line.contains("Instant") && line.contains("std::time::");
            let bare = line.contains("Instant::now(") && !line.contains("tokio::time::Instant::now(");
            std_clock || bare || line.contains("SystemTime")
        },
        "time has one source, pumphandle_core::time",
    );
}

/// A clock that can be set is read by no run, not even for what only people see: it must not change when an
/// administrator or a time server sets it. `clock-steps` tries that.
#[test]
fn nothing_reads_a_clock_that_can_be_set() {
    only_in(
        &[(
            "crates/cli/src/calendar.rs",
            "where a finished run is put into somebody's past; no run knows it",
        )],
        |line| {
            ["SystemTime", "UNIX_EPOCH", "CLOCK_REALTIME", "OffsetDateTime"]
                .iter()
                .any(|it| line.contains(it))
        },
        "lengths of time come from clocks that only go forwards",
    );
}

#[test]
fn only_the_core_and_the_real_run_name_the_clock_of_tokio() {
    only_in(
        &[
            ("crates/core/src/time/mod.rs", "the one place that names a clock"),
            ("crates/console/src/http.rs", "serves pages, below no arm"),
            ("crates/experiment/src/run/real_clock.rs", "looks now and then whether it was interrupted"),
        ],
        |line| line.contains("tokio::time"),
        "below an arm nothing knows which clock it runs under",
    );
}

#[test]
fn nothing_is_kept_in_an_order_that_differs_between_processes() {
    only_in(&[], |line| line.contains("HashMap") || line.contains("HashSet"), "BTreeMap, or IndexMap");
}

#[test]
fn threads_sleep_only_where_the_clock_is_the_machine() {
    only_in(
        &[
            ("crates/load/src/driver.rs", "the generator of a real run waits for the next arrival"),
            ("crates/experiment/src/run/real_clock.rs", "the idle timer that is watched"),
            ("crates/cli/src/doctor.rs", "measures how long a sleep takes"),
            ("benches/src/bin/performance.rs", "waits for another process, which has no event to wait for"),
            ("benches/src/bin/generators.rs", "as performance.rs"),
        ],
        |line| line.contains("thread::sleep"),
        "tests wait for a condition, and virtual time does not pass by waiting",
    );
}

#[test]
fn no_test_is_ignored_and_none_only_panics() {
    let forbidden = |line: &str| line.contains("#[ignore") || line.contains("#[should_panic");
    only_in(&[], forbidden, "a test that is not run, or that any panic satisfies, asserts nothing");
}

#[test]
fn every_select_takes_its_branches_in_order() {
    let mut wrong = Vec::new();
    for (file, text) in rust() {
        let code: Vec<&str> = code(&text).map(|(_, line)| line).collect();
        let code = code.join("\n");
        for (at, _) in code.match_indices("select!") {
            let body = code[at + "select!".len()..].trim_start();
            if !body.starts_with('{') || !body[1..].trim_start().starts_with("biased;") {
                wrong.push(format!("{file}: a select! that does not start with `biased;` chooses at random"));
            }
        }
    }
    none(&wrong);
}

#[test]
fn no_file_is_too_long_or_too_large() {
    let mut wrong = Vec::new();
    for ending in [".rs", ".md", ".yaml", ".js", ".css", ".html"] {
        for (file, text) in of_kind(ending) {
            let lines = text.lines().count();
            if lines > MOST_LINES {
                wrong.push(format!("{file} has {lines} lines, more than {MOST_LINES}"));
            }
        }
    }
    for file in files() {
        let bytes = std::fs::metadata(root().join(&file)).map_or(0, |it| it.len() as usize);
        if bytes > MOST_BYTES {
            wrong.push(format!("{file} has {bytes} bytes, more than {MOST_BYTES}"));
        }
    }
    none(&wrong);
}

#[test]
fn every_incident_names_the_schema_and_has_a_page() {
    const SCHEMA: &str = "# yaml-language-server: $schema=../schema/scenario.schema.json";
    let mut wrong = Vec::new();
    let scenarios: Vec<(String, String)> = of_kind(".yaml")
        .into_iter()
        .filter(|(file, _)| file.starts_with("scenarios/"))
        .filter(|(file, _)| !file.starts_with(OF_POLICIES) && !file.starts_with(OF_CAUSES))
        .collect();
    assert!(!scenarios.is_empty(), "this test looks in the wrong place");
    for (file, text) in scenarios {
        wrong.extend(misnamed("scenarios/", SCHEMA, &file, &text));
        let name = file.trim_start_matches("scenarios/").trim_end_matches(".yaml");
        // A variant, such as filling-queue-burst, stands on the page of its incident, and is named there.
        let page = |name: &str| std::fs::read_to_string(root().join(format!("docs/incidents/{name}.md")));
        let ends = name.match_indices('-').map(|(at, _)| at).chain([name.len()]);
        if !ends.filter_map(|end| page(&name[..end]).ok()).any(|text| text.contains(&file)) {
            wrong.push(format!(
                "{file}: what it is and what was measured belongs in docs/incidents/{name}.md"
            ));
        }
    }
    none(&wrong);
}

/// Incidents that a policy makes. They are no shipped incidents: no page of their own, but a policy's file
/// that sends its reader there.
const OF_POLICIES: &str = "scenarios/policies/";

/// Small scenarios of one cause each. They share a page.
const OF_CAUSES: &str = "scenarios/causes/";

#[test]
fn every_cause_is_explained_on_the_page_of_causes() {
    const SCHEMA: &str = "# yaml-language-server: $schema=../../schema/scenario.schema.json";
    let page = std::fs::read_to_string(root().join("docs/incidents/causes.md")).expect("there is a page");
    let causes: Vec<(String, String)> =
        of_kind(".yaml").into_iter().filter(|(file, _)| file.starts_with(OF_CAUSES)).collect();
    assert!(!causes.is_empty(), "this test looks in the wrong place");
    let mut wrong = Vec::new();
    for (file, text) in causes {
        wrong.extend(misnamed(OF_CAUSES, SCHEMA, &file, &text));
        let name = file.trim_start_matches(OF_CAUSES).trim_end_matches(".yaml");
        if !page.contains(&format!("`{name}`")) {
            wrong.push(format!("{file}: docs/incidents/causes.md does not speak of it"));
        }
    }
    none(&wrong);
}

#[test]
fn every_incident_that_a_policy_makes_is_named_where_the_policy_is_explained() {
    const SCHEMA: &str = "# yaml-language-server: $schema=../../schema/scenario.schema.json";
    let mut wrong = Vec::new();
    let policies: Vec<(String, String)> =
        rust().into_iter().filter(|(file, _)| file.starts_with("crates/policy/src/")).collect();
    let mut found = 0;
    for (file, text) in of_kind(".yaml").into_iter().filter(|(file, _)| file.starts_with(OF_POLICIES)) {
        found += 1;
        wrong.extend(misnamed(OF_POLICIES, SCHEMA, &file, &text));
        if !policies.iter().any(|(_, policy)| policy.contains(&file)) {
            wrong.push(format!("{file}: no file of crates/policy/src says that its policy can cause this"));
        }
    }
    assert!(found > 0, "this test looks in the wrong place");
    none(&wrong);
}

/// What is wrong with the first line and the name of a scenario file.
fn misnamed(folder: &str, schema: &str, file: &str, text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.lines().next() != Some(schema) {
        wrong.push(format!("{file}: editors know the file's shape by its first line, {schema}"));
    }
    let name = file.trim_start_matches(folder).trim_end_matches(".yaml");
    if !text.lines().any(|line| line == format!("scenario: {name}")) {
        wrong.push(format!("{file}: the incident is called by the name of its file"));
    }
    wrong
}

#[test]
fn every_decision_is_one_page_with_a_number_of_its_own_and_stands_in_the_list() {
    let decisions: Vec<(String, String)> =
        of_kind(".md").into_iter().filter(|(file, _)| file.starts_with("docs/decisions/0")).collect();
    assert!(!decisions.is_empty(), "this test looks in the wrong place");
    let list = std::fs::read_to_string(root().join("docs/decisions/README.md")).expect("there is a list");
    let mut numbers = BTreeSet::new();
    for (file, text) in &decisions {
        let name = file.trim_start_matches("docs/decisions/");
        // Numbers are given in blocks, so that work side by side does not collide: there may be gaps.
        let number = name.split_once('-').and_then(|(number, _)| number.parse::<u32>().ok());
        assert!(number.is_some_and(|it| numbers.insert(it)), "{file} has no number of its own");
        assert!(list.contains(&format!("]({name})")), "{file} is not in the list of decisions");
        for part in ["## Context", "## Decision", "## Consequences", "## Alternatives"] {
            assert!(text.lines().any(|line| line == part), "{file} has no part `{part}`");
        }
        assert!(text.lines().count() <= 80, "{file} is longer than a page");
    }
}

/// A row of the threat model says what must not be possible. A row without a test is a hope.
#[test]
fn every_row_of_the_threat_model_names_tests_that_exist_and_every_endpoint_has_a_row() {
    let model = std::fs::read_to_string(root().join("docs/threat-model.md")).expect("there is one");
    // Targets of the fuzzer are functions that it calls; this file has tests too.
    let tests: BTreeSet<String> = of_kind(".rs")
        .iter()
        .flat_map(|(_, text)| text.lines().map(|line| line.trim().trim_start_matches("pub(crate) ")))
        .filter_map(|line| line.strip_prefix("fn "))
        .filter_map(|line| line.split_once('(').map(|(name, _)| name.to_owned()))
        .collect();
    let (mut wrong, mut named, mut has_tests) = (Vec::new(), 0, false);
    for line in model.lines() {
        if !line.starts_with('|') {
            has_tests = false;
            continue;
        }
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let last = cells.last().copied().unwrap_or_default();
        if last == "test" || line.starts_with("|---") {
            has_tests |= last == "test";
            continue;
        }
        let found: Vec<&str> = last
            .split('`')
            .skip(1)
            .step_by(2)
            .filter_map(|code| {
                let function = code.rsplit_once("::").map(|(_, name)| name);
                function.or_else(|| code.starts_with("tests/").then_some(code))
            })
            .collect();
        named += found.len();
        if has_tests && found.is_empty() {
            wrong.push(format!("no test: {line}"));
        }
        let exists = |name: &str| tests.contains(name) || root().join(name).is_file();
        wrong.extend(found.iter().filter(|name| !exists(name)).map(|name| format!("no such test: {name}")));
    }
    assert!(named > 20, "this test does not see the rows");
    let mut listed = Vec::new();
    for port in ["control.rs", "runner.rs"] {
        let port =
            std::fs::read_to_string(root().join("crates/console/src").join(port)).expect("it is there");
        let (_, paths) = port.split_once("const PATHS: &str = \"").expect("the paths are listed");
        let (paths, _) = paths.split_once(';').expect("the list ends");
        let paths = paths.split([' ', ',', '\\', '\n', '"']).map(str::to_owned);
        let paths: Vec<String> = paths.filter(|word| word.starts_with('/') && word.len() < 30).collect();
        assert!(paths.len() >= 11, "this test does not see the paths: {paths:?}");
        listed.extend(paths);
    }
    let missing = listed.iter().filter(|path| !model.contains(&format!("{path}`")));
    wrong.extend(missing.map(|path| format!("no row for {path}")));
    none(&wrong);
}

#[test]
fn every_relative_link_in_a_document_leads_somewhere() {
    let mut wrong = Vec::new();
    let mut links = 0;
    for (file, text) in of_kind(".md") {
        for target in links_of(&text) {
            links += 1;
            if let Some(problem) = follow(&file, &target) {
                wrong.push(format!("{file}: {target}: {problem}"));
            }
        }
    }
    assert!(links > 20, "this test does not see the links");
    none(&wrong);
}

/// Targets of `[text](target)` outside of code.
fn links_of(text: &str) -> Vec<String> {
    let mut targets = Vec::new();
    let mut in_code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        } else if !in_code {
            // Every second part between backticks is code.
            let words: Vec<&str> = line.split('`').collect();
            let plain: String =
                words.iter().enumerate().map(|(i, word)| if i % 2 == 0 { *word } else { "code" }).collect();
            let ends = plain.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
            targets.extend(ends.map(|(target, _)| target.to_owned()));
        }
    }
    targets
}

/// What is wrong with a link; nothing if it leads somewhere, or out of the repository.
fn follow(from: &str, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = target.split_once('#').map_or((target, None), |(path, to)| (path, Some(to)));
    let file = if path.is_empty() {
        root().join(from)
    } else {
        root().join(from).parent().expect("a file lies in a folder").join(path)
    };
    if !file.exists() {
        return Some("there is no such file".to_owned());
    }
    let anchor = anchor.filter(|_| file.extension().is_some_and(|ending| ending == "md"))?;
    let text = std::fs::read_to_string(&file).expect("it is text in UTF-8");
    let found = headings(&text).iter().any(|heading| heading == anchor);
    (!found).then(|| "there is no such heading".to_owned())
}

/// The anchors of a document's headings, as GitHub and GitLab make them.
fn headings(text: &str) -> Vec<String> {
    let titles = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#'));
    let kept = |c: &char| c.is_alphanumeric() || ['-', '_', ' '].contains(c);
    titles
        .map(|title| title.trim().to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-"))
        .collect()
}

#[test]
fn links_and_headings_are_found_as_a_reader_finds_them() {
    assert_eq!(links_of("a [b](c.md#d) and `[not](one)`\n```\n[nor](this)\n```"), ["c.md#d"]);
    assert_eq!(headings("## Two clocks, one code\ntext\n# `x` (y)"), ["two-clocks-one-code", "x-y"]);
}
