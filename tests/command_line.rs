//! The binary as a person and a CI job use it: exit codes, what is printed where, what is left on disk.

mod support;

use std::path::Path;
use std::process::{Command, Stdio};

use support::{code, json, pumphandle, scenario, text};

/// A storm small enough for a test: 20 s of trigger, 40 s of storm, 30 s after the pull.
const SMALL: [&str; 8] = [
    "--duration",
    "110s",
    "--pull",
    "70s",
    "--set",
    "timeline.slow-queries.from=20s",
    "--set",
    "timeline.slow-queries.for=20s",
];

fn small(extra: &[&'static str]) -> Vec<&'static str> {
    ["run", "retry-storm"].into_iter().chain(SMALL).chain(extra.iter().copied()).collect()
}

#[test]
fn the_same_command_twice_leaves_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    for out in ["a", "b"] {
        let output =
            pumphandle(folder.path(), &small(&["--lever", "disable-retries", "--seeds", "2", "--out", out]));
        assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    }
    let read = |file: &str| std::fs::read(folder.path().join(file)).expect(file);
    assert_eq!(read("a/result.json"), read("b/result.json"));
    assert_eq!(read("a/series.ndjson"), read("b/series.ndjson"));
    for arm in ["control", "disable-retries"] {
        let file = format!("events/{arm}.seed-1.events");
        let (first, second) = (read(&format!("a/{file}")), read(&format!("b/{file}")));
        assert!(first.len() > 100_000, "the log of a storm is long");
        assert!(first == second, "two runs of one seed differ in {file}");
    }
}

#[test]
fn another_seed_gives_another_log_and_the_same_verdict() {
    let folder = tempfile::tempdir().unwrap();
    let run = |seed: &'static str| {
        json(&pumphandle(
            folder.path(),
            &small(&["--lever", "disable-retries", "--seeds", "6", "--json", "--seed", seed]),
        ))
    };
    let (first, second) = (run("1"), run("100"));
    assert_ne!(first["arms"][0]["events"], second["arms"][0]["events"]);
    for result in [&first, &second] {
        assert_eq!(result["arms"][0]["state"], "stays down");
        assert_eq!(result["arms"][1]["verdict"]["is"], "ends");
    }
}

#[test]
fn the_number_of_threads_cannot_be_seen_in_a_result() {
    let folder = tempfile::tempdir().unwrap();
    let run = |jobs: &'static str| {
        pumphandle(
            folder.path(),
            &small(&["--lever", "retry-budget-2", "--seeds", "3", "--json", "--jobs", jobs]),
        )
        .stdout
    };
    let one = run("1");
    assert!(!one.is_empty());
    assert!(one == run("2") && one == run("5"));
}

#[test]
fn json_means_one_document_and_nothing_else_on_standard_output() {
    let folder = tempfile::tempdir().unwrap();
    let output = pumphandle(folder.path(), &small(&["--lever", "longer-timeout", "--seeds", "2", "--json"]));
    let result = json(&output);
    assert_eq!(result["schema"], 1);
    assert_eq!(result["arms"][1]["lever"], "longer-timeout");
    assert!(!text(&output.stdout).contains("NaN") && !text(&output.stdout).contains("inf"));
}

#[test]
fn a_scenario_with_mistakes_is_refused_whole_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    let file = scenario(folder.path(), "  - it ends: { arm: more-wrokers, verdict: [ends] }\n");
    let text_of = std::fs::read_to_string(&file).unwrap().replace("workers: 4\n", "wrokers: 4\n");
    std::fs::write(&file, text_of).unwrap();
    for command in ["run", "check"] {
        let output = pumphandle(folder.path(), &[command, "mine.yaml"]);
        assert_eq!(code(&output), 2);
        assert!(output.stdout.is_empty());
        let message = text(&output.stderr);
        assert!(message.contains("mine.yaml") && message.contains("did you mean `workers`?"), "{message}");
        assert!(message.contains("nothing was run"), "{message}");
        assert!(!folder.path().join("runs").exists());
    }
}

#[test]
fn unknown_incidents_levers_and_settings_are_refused_with_a_suggestion() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, hint) in [
        (vec!["run", "retry-strom"], "did you mean `retry-storm`?"),
        (vec!["run", "retry-storm", "--lever", "disable-retry"], "did you mean `disable-retries`?"),
        (vec!["run", "retry-storm", "--set", "api.pol.size=3"], "did you mean `pool`?"),
        (vec!["run", "retry-storm", "--set", "load.arrivals=3"], "load.arrivals: expected `poisson: …`"),
        (vec!["run", "retry-storm", "--set", "load.arivals.poisson=3/s"], "did you mean `arrivals`?"),
        (vec!["run", "retry-storm", "--set", "timeline.slow-query.for=3s"], "did you mean `slow-queries`?"),
        (
            vec!["run", "retry-storm", "--set", "timeline.slow-queries.for=soon"],
            "expected a duration such as",
        ),
        (vec!["run", "retry-storm", "--set", "slo.latncy=3s"], "unknown field `latncy` of `slo`"),
        (vec!["run", "retry-storm", "--set", "kind=pulsee"], "did you mean `pulse`?"),
        (vec!["run", "retry-storm", "--set", "slo.latency.p99=3s"], "is a plain value"),
        (vec!["run", "retry-storm", "--set", "levers.larger-pool.set.api.pool.size=no"], "whole number"),
        (vec!["run", "retry-storm", "--pull", "1h"], "when the run of 5m is over"),
        (vec!["run", "retry-storm", "--loops", "--clock", "real"], "in virtual time only"),
        (vec!["run", "no/such/file.yaml"], "cannot read no/such/file.yaml"),
        (vec!["check", "retry-storm", "--filter", "no claim says this"], "no claim"),
    ] {
        let output = pumphandle(folder.path(), &arguments);
        assert_eq!(code(&output), 2, "{arguments:?}");
        let message = text(&output.stderr);
        assert!(message.contains(hint), "{arguments:?}: {message}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_trigger_that_does_nothing_is_not_tested() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = small(&[
        "--lever",
        "disable-retries",
        "--seeds",
        "2",
        "--json",
        "--set",
        "timeline.slow-queries.do.slow_down.factor=1.01",
    ]);
    let output = pumphandle(folder.path(), &arguments);
    assert_eq!(code(&output), 3);
    let result = json(&output);
    assert_eq!(result["valid"], false);
    assert!(result["reasons"][0].as_str().unwrap().contains("did not take effect"), "{}", result["reasons"]);
    assert_eq!(result["arms"][1]["verdict"]["is"], "not tested");
}

#[test]
fn a_control_that_was_ill_before_the_trigger_is_not_tested() {
    let folder = tempfile::tempdir().unwrap();
    let output = pumphandle(
        folder.path(),
        &small(&["--seeds", "2", "--json", "--set", "load.arrivals.poisson=400/s"]),
    );
    assert_eq!(code(&output), 3);
    assert!(json(&output)["reasons"].to_string().contains("not healthy before the trigger"));
}

#[test]
fn check_tells_held_broken_and_undecided_by_its_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let recovers = "  - it recovers: { arm: control, state: recovers }\n";
    let stays = "  - it stays down: { arm: control, state: stays_down }\n";
    let between = "  - good: { arm: control, measure: { of: good_share, window: after, at_least: 0.5 } }\n";
    for (claims, seeds, expected) in
        [(recovers, "20", 0), (stays, "20", 1), (recovers, "2", 3), (between, "20", 0)]
    {
        scenario(folder.path(), claims);
        let output = pumphandle(folder.path(), &["check", "mine.yaml", "--seeds", seeds]);
        assert_eq!(code(&output), expected, "{claims} {}", text(&output.stdout));
    }
    scenario(folder.path(), &format!("{recovers}{stays}"));
    let output = pumphandle(folder.path(), &["check", "mine.yaml", "--seeds", "20", "--json"]);
    assert_eq!(code(&output), 1, "broken outranks the rest");
    let document = json(&output);
    assert_eq!(document["summary"]["held"], 1);
    assert_eq!(document["summary"]["broken"], 1);
}

#[test]
fn check_writes_what_ci_reads_and_says_what_changed() {
    let folder = tempfile::tempdir().unwrap();
    scenario(folder.path(), "  - it ends well: { arm: control, state: recovers }\n");
    let first = pumphandle(
        folder.path(),
        &["check", "mine.yaml", "--seeds", "20", "--junit", "j.xml", "--summary", "s.md", "--json"],
    );
    std::fs::write(folder.path().join("old.json"), &first.stdout).unwrap();
    let read = |file: &str| std::fs::read_to_string(folder.path().join(file)).unwrap();
    assert!(read("j.xml").contains("<testcase name=\"it ends well\""));
    assert!(read("s.md").contains("1 of 1 claim held"), "{}", read("s.md"));
    let same = pumphandle(folder.path(), &["check", "mine.yaml", "--seeds", "20", "--baseline", "old.json"]);
    assert!(text(&same.stdout).contains("nothing changed"), "{}", text(&same.stdout));
    let file = folder.path().join("mine.yaml");
    std::fs::write(&file, std::fs::read_to_string(&file).unwrap().replace("poisson: 20/s", "poisson: 75/s"))
        .unwrap();
    let changed =
        pumphandle(folder.path(), &["check", "mine.yaml", "--seeds", "20", "--baseline", "old.json"]);
    assert!(text(&changed.stdout).contains("it ends well"), "{}", text(&changed.stdout));
    assert!(!text(&changed.stdout).contains("nothing changed"));
}

#[test]
fn a_claim_that_cannot_fail_is_found_out() {
    let folder = tempfile::tempdir().unwrap();
    // It recovers with or without the lever: the claim says nothing of the lever.
    scenario(folder.path(), "  - more workers end it: { arm: more-workers, state: recovers }\n");
    let output = pumphandle(folder.path(), &["check", "mine.yaml", "--seeds", "20", "--prove"]);
    assert_eq!(code(&output), 1);
    assert!(text(&output.stdout).contains("cannot fail"), "{}", text(&output.stdout));
}

#[test]
fn a_folder_that_is_no_run_is_not_overwritten_and_nothing_is_run_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let precious = folder.path().join("precious");
    std::fs::create_dir(&precious).unwrap();
    std::fs::write(precious.join("thesis.txt"), "forty years").unwrap();
    let map = ["--x", "load.arrivals.poisson=80/s..90/s", "--y", "timeline.slow-queries.for=2s..3s"];
    for command in [
        small(&["--seeds", "1", "--out", "precious"]),
        small(&["--seeds", "1", "--out", "precious/thesis.txt"]),
        [&["sweep", "retry-storm", "--out", "precious"][..], &map].concat(),
        vec!["threshold", "retry-storm", "--x", map[1], "--to", "1/s", "--out", "precious"],
    ] {
        let output = pumphandle(folder.path(), &command);
        assert_eq!(code(&output), 2, "{command:?}");
        assert!(text(&output.stderr).contains("not overwritten") && output.stdout.is_empty());
    }
    assert_eq!(support::names(folder.path()), ["precious"], "no draft is left behind");
    assert_eq!(std::fs::read_to_string(precious.join("thesis.txt")).unwrap(), "forty years");
}

#[test]
fn an_event_log_can_be_read_and_a_damaged_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    pumphandle(folder.path(), &small(&["--seeds", "1", "--out", "run"]));
    let log = "run/events/control.seed-1.events";
    let output = pumphandle(folder.path(), &["events", log, "--arrival", "7"]);
    assert_eq!(code(&output), 0);
    let lines = text(&output.stdout);
    assert!(lines.lines().next().unwrap().contains("arrival"), "{lines}");
    assert!(lines.lines().last().unwrap().contains("resolved"), "{lines}");
    std::fs::write(folder.path().join("damaged"), [0xff; 40]).unwrap();
    let output = pumphandle(folder.path(), &["events", "damaged"]);
    assert_eq!(code(&output), 2);
    assert!(text(&output.stderr).contains("damaged at byte 0"));
}

/// A file without an end, one that is too long, one that is no text, one that commands the terminal, and bombs:
/// refused in a sentence, with little memory. 256 MB of address space are enough for the binary and its threads.
#[cfg(target_os = "linux")]
#[test]
fn bad_files_cost_little_memory_and_are_refused_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let aliases = |levels: usize| -> String {
        let level = |i: usize| format!("a{i}: &a{i} [{}]\n", format!("*a{}, ", i - 1).repeat(10));
        format!("a0: &a0 [x]\n{}", (1..=levels).map(level).collect::<String>())
    };
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    write("bomb.yaml", aliases(12).as_bytes());
    write("deep.yaml", "[".repeat(1 << 20).as_bytes());
    write("long.yaml", &vec![b'#'; 300 << 20]);
    write("huge.yaml", format!("duration: {}\n", "9".repeat(1 << 19)).as_bytes());
    write("esc.yaml", b"title: \"\\e]0;owned\\a\\u009b2J\"\nstory: \x1b[2J\n");
    write("deep.json", "[".repeat(1 << 20).as_bytes());
    write("other.json", br#"{"results": [{"scenario": 7}]}"#);
    write("token", &[b'x'; 5000]);
    for (arguments, said) in [
        (&["check", "bomb.yaml"][..], "more than 100000 values"),
        (&["check", "deep.yaml"], "nested too deep"),
        (&["check", "long.yaml"], "more than 1048576 bytes"),
        (&["check", "/dev/zero"], "more than 1048576 bytes"),
        (&["check", "huge.yaml"], "is beyond 1e18"),
        (&["check", "esc.yaml"], "cannot be in a"),
        (&["check", "retry-storm", "--baseline", "deep.json"], "is not what `check --json` prints"),
        (&["check", "retry-storm", "--baseline", "other.json"], "is not what `check --json` prints"),
        (&["check", "retry-storm", "--baseline", "/dev/zero"], "more than 67108864 bytes"),
        (&["events", "/dev/zero"], "more than 67108864 bytes"),
        (&["state", "--stack", "127.0.0.1:1", "--token-file", "token"], "more than 4096 bytes"),
        (&["run", "retry-storm", "--set", "title=\u{1b}[2J\u{202e}"], "is not a value"),
        (&["run", "\u{1b}[2J"], "no such incident"),
    ] {
        let limits = "ulimit -v 262144; exec \"$0\" \"$@\"";
        let mut shell = Command::new("sh");
        shell.args(["-c", limits, env!("CARGO_BIN_EXE_pumphandle")]).args(arguments);
        let output = shell.current_dir(folder.path()).stdin(Stdio::null()).output().unwrap();
        let told = text(&output.stderr);
        assert_eq!(code(&output), 2, "{arguments:?}: {told}");
        assert!(told.contains(said) && told.len() < 20_000, "{arguments:?}: {told}");
        let commands = |c: char| c.is_control() && c != '\n' || "\u{202e}".contains(c);
        assert!(!told.contains(commands) && output.stdout.is_empty(), "{arguments:?}: {told:?}");
    }
}

#[test]
fn list_show_and_schema_print_what_is_built_in() {
    let folder = tempfile::tempdir().unwrap();
    let list = json(&pumphandle(folder.path(), &["list", "--json"]));
    for entry in list.as_array().unwrap() {
        let name = entry["scenario"].as_str().unwrap();
        let shown = pumphandle(folder.path(), &["show", name]);
        assert!(text(&shown.stdout).contains(&format!("scenario: {name}\n")));
        let copy = folder.path().join("copy.yaml");
        std::fs::write(&copy, &shown.stdout).unwrap();
    }
    let schema = json(&pumphandle(folder.path(), &["schema"]));
    assert_eq!(schema["type"], "object");
}

/// Linux only: reads how much the process has worked.
#[cfg(target_os = "linux")]
#[test]
fn dashboards_are_written_and_every_file_that_is_not_current_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let check = || pumphandle(folder.path(), &["dashboards", "--check"]);
    let missing = check();
    assert_eq!(code(&missing), 1);
    assert!(text(&missing.stdout).contains("dashboards/home.json is missing: pumphandle dashboards"));
    let written = pumphandle(folder.path(), &["dashboards"]);
    assert_eq!((code(&written), text(&written.stdout).lines().count()), (0, 6));
    assert_eq!((code(&check()), text(&check().stdout)), (0, String::new()));
    // Changed by hand, and left over from another version.
    std::fs::write(folder.path().join("dashboards/rig.json"), "{}").unwrap();
    std::fs::write(folder.path().join("dashboards/old.json"), "{}").unwrap();
    let stale = check();
    assert_eq!(code(&stale), 1);
    assert_eq!(
        text(&stale.stdout),
        "dashboards/rig.json is not current: pumphandle dashboards\n\
         dashboards/old.json is no dashboard of this version: delete it\n"
    );
    let elsewhere = pumphandle(folder.path(), &["dashboards", "--check", "nowhere"]);
    assert_eq!((code(&elsewhere), text(&elsewhere.stdout).lines().count()), (1, 6));
    let both = pumphandle(folder.path(), &["dashboards", "--check", "--out", "here"]);
    assert_eq!(code(&both), 2, "written or checked, not both");
}

#[test]
fn being_interrupted_keeps_what_was_measured() {
    let folder = tempfile::tempdir().unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_pumphandle"))
        .current_dir(folder.path())
        .args(small(&["--seeds", "5000", "--json", "--out", "kept", "--jobs", "1"]))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let worked = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
        let after_name = stat.rsplit(')').next().unwrap_or_default().to_owned();
        after_name.split_whitespace().nth(11).and_then(|ticks| ticks.parse::<u64>().ok()).unwrap_or(u64::MAX)
    };
    // Five seconds of its own time are enough for several seeds on any machine.
    while worked() < 500 {
        std::thread::yield_now();
    }
    let killed =
        Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill is there");
    assert!(killed.success());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(code(&output), 130, "{}", text(&output.stderr));
    let result = json(&output);
    assert_eq!(result["partial"], true);
    let seeds = result["seeds"].as_array().unwrap().len();
    assert!((1..5000).contains(&seeds), "{seeds} seeds");
    assert_eq!(std::fs::read(folder.path().join("kept/result.json")).unwrap(), output.stdout);
}

/// Two services, so that there are calls to put a policy on.
fn with_calls(folder: &Path) {
    let text = "scenario: mine\ntitle: A queue\nstory: It is slow for a while.\nkind: pulse\nslo: { latency: 1s }\n\
         duration: 160s\npull: 60s\nload: { arrivals: { poisson: 20/s } }\n\
         services:\n  client: { calls: shop, with: { attempt_timeout: 500ms } }\n\
         \x20 shop:\n    workers: 4\n    queue: { size: 1000 }\n    service_time: { exponential: 50ms }\n\
         timeline:\n  - { trigger: slow, from: 20s, for: 20s, do: { slow_down: { service: shop, factor: 20 } } }\n";
    std::fs::write(folder.join("calls.yaml"), text).expect("the folder is there");
}

#[test]
fn presets_are_compared_where_the_users_service_calls_another_and_elsewhere_the_reason_is_told() {
    let folder = tempfile::tempdir().unwrap();
    with_calls(folder.path());
    scenario(folder.path(), "  - it recovers: { arm: control, state: recovers }\n");
    let arguments = ["compare", "presets", "calls.yaml", "mine.yaml", "--preset", "envoy"];
    let output = pumphandle(folder.path(), &arguments);
    let said = text(&output.stdout);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    assert!(said.contains("on the calls of client to shop") && said.contains("  envoy "), "{said}");
    assert!(said.contains("mine: not compared: the users' service, `shop`, calls nobody"), "{said}");
    let document = json(&pumphandle(folder.path(), &[&arguments[..], &["--json"]].concat()));
    let arms = document["scenarios"][0]["result"]["arms"].as_array().expect("an incident has arms");
    let names: Vec<&str> = arms.iter().filter_map(|arm| arm["arm"].as_str()).collect();
    assert_eq!(names, ["control", "envoy@start"]);
    let page = text(&pumphandle(folder.path(), &[&arguments[..], &["--markdown"]].concat()).stdout);
    assert!(page.contains("| envoy |") && page.contains("| `retry.attempts` | 2 |"), "{page}");
    let unknown = pumphandle(folder.path(), &["compare", "presets", "--preset", "envoi"]);
    assert_eq!(code(&unknown), 2);
    assert!(text(&unknown.stderr).contains("did you mean `envoy`?"), "{}", text(&unknown.stderr));
}

#[test]
fn every_lever_stands_on_the_ladder_with_its_level_what_was_said_of_it_and_what_was_measured() {
    let folder = tempfile::tempdir().unwrap();
    scenario(folder.path(), "  - it recovers: { arm: control, state: recovers }\n");
    let output = pumphandle(folder.path(), &["ladder", "mine.yaml"]);
    let said = text(&output.stdout);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    assert!(said.contains("pulled: too few levers to say"), "{said}");
    let document = json(&pumphandle(folder.path(), &["ladder", "mine.yaml", "--json"]));
    let rungs = document["rungs"].as_array().expect("a ladder has rungs");
    assert!(!rungs.is_empty() && rungs.iter().all(|rung| rung["level"].is_u64()), "{document}");
    assert!(document["correlation"]["pulled"].is_null(), "one lever has no rank");
    let page = text(&pumphandle(folder.path(), &["ladder", "mine.yaml", "--markdown"]).stdout);
    let row = format!("| {} | {} |", rungs[0]["level"], rungs[0]["lever"].as_str().unwrap());
    assert!(page.contains(&row), "{row} is not in {page}");
    let none = pumphandle(folder.path(), &["ladder", "nothing.yaml"]);
    assert_eq!((code(&none), none.stdout.len()), (2, 0));
}

#[test]
fn a_preset_is_put_on_a_services_calls_pulled_and_standing() {
    let folder = tempfile::tempdir().unwrap();
    with_calls(folder.path());
    let run = |preset: &str| {
        let arguments = ["run", "calls.yaml", "--seeds", "2", "--out", "it", "--json", "--preset", preset];
        pumphandle(folder.path(), &arguments)
    };
    let result = json(&run("client=aws-standard"));
    let arms = result["arms"].as_array().expect("a run has arms");
    let names: Vec<&str> = arms.iter().filter_map(|arm| arm["arm"].as_str()).collect();
    assert_eq!(names, ["control", "aws-standard", "aws-standard@start"]);
    for (wrong, said) in [
        ("aws-standard", "SERVICE=NAME"),
        ("client=aws", "no such preset"),
        ("clinet=envoy", "no such service"),
        ("shop=envoy", "calls no other service"),
    ] {
        let output = run(wrong);
        assert_eq!(code(&output), 2, "{wrong}");
        assert!(text(&output.stderr).contains(said), "{wrong}: {}", text(&output.stderr));
    }
}
