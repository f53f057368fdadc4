//! What is left when a disk is full or a process is killed: no half result under a final name, what was there
//! before, and what was measured, somewhere. A real full disk, which takes a file system of its own, is tried by
//! `tests/full-disk.sh`; here it is a limit on the size of files, and the device that is always full.
#![cfg(target_os = "linux")]

mod support;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use support::{code, command, json, names, pumphandle, scenario, text};

const CLAIM: &str = "  - it recovers: { arm: control, state: recovers }\n";

/// The binary where no file may have more than `blocks` of 512 bytes. To exceed it is an error, as with a full
/// disk, and not the end of the process, which is what the signal for it would be.
fn with_little_room(folder: &Path, blocks: u32, arguments: &[&str]) -> Output {
    let limits = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
    Command::new("sh")
        .args(["-c", &limits, env!("CARGO_BIN_EXE_pumphandle")])
        .args(arguments)
        .current_dir(folder)
        .env("TMPDIR", folder.join("tmp"))
        .stdin(Stdio::null())
        .output()
        .expect("there is a shell")
}

/// The binary with standard output on the device that is always full.
fn with_nowhere_to_print(folder: &Path, arguments: &[&str]) -> Output {
    let full = std::fs::File::options().write(true).open("/dev/full").expect("Linux has it");
    let child = command(arguments).current_dir(folder).stdout(full).stderr(Stdio::piped()).spawn();
    child.expect("the binary starts").wait_with_output().expect("it ends")
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("there is room for a test");
    scenario(folder.path(), CLAIM);
    std::fs::create_dir(folder.path().join("tmp")).expect("there is room for a test");
    folder
}

const RUN: [&str; 7] = ["run", "mine.yaml", "--seeds", "2", "--json", "--out", "kept"];

#[test]
fn results_that_fit_nowhere_are_shown_and_no_half_of_them_is_left() {
    let folder = folder();
    let whole = pumphandle(folder.path(), &["run", "mine.yaml", "--seeds", "2", "--json", "--out", "other"]);
    assert_eq!(code(&whole), 0);
    // Room for the first file, and not for the page.
    let output = with_little_room(folder.path(), 64, &RUN);
    assert_eq!(code(&output), 4, "{}", text(&output.stderr));
    assert_eq!(json(&output), json(&whole), "what was measured is on standard output, whole");
    let told = text(&output.stderr);
    for said in ["could not be written to kept", "File too large", "nor to", "was shown, and is nowhere else"]
    {
        assert!(told.contains(said), "{said}: {told}");
    }
    assert_eq!(names(folder.path()), ["mine.yaml", "other", "tmp"]);
    assert_eq!(names(&folder.path().join("tmp")), [""; 0]);
}

#[test]
fn results_that_do_not_fit_leave_those_that_were_there() {
    let folder = folder();
    assert_eq!(code(&pumphandle(folder.path(), &RUN)), 0);
    let read = |file: &str| std::fs::read(folder.path().join("kept").join(file)).unwrap();
    let files = ["result.json", "machine.json", "report.html", "series.ndjson"];
    let before = files.map(read);
    let mut another = RUN.to_vec();
    another.extend(["--seed", "50"]);
    let output = with_little_room(folder.path(), 64, &another);
    assert_eq!(code(&output), 4, "{}", text(&output.stderr));
    assert!(files.map(read) == before, "the earlier run is as it was");
    assert_eq!(names(folder.path()), ["kept", "mine.yaml", "tmp"]);
    // With room, the same command takes its place.
    assert_eq!(code(&pumphandle(folder.path(), &another)), 0);
    assert!(files.map(read) != before && names(folder.path()) == ["kept", "mine.yaml", "tmp"]);
}

#[test]
fn results_that_cannot_go_where_they_should_go_elsewhere_and_it_is_said_where() {
    let folder = folder();
    // There is no folder that takes another, and not even the superuser can make one.
    let mut arguments = RUN.to_vec();
    arguments[6] = "/proc/kept";
    let output =
        command(&arguments).current_dir(folder.path()).env("TMPDIR", folder.path().join("tmp")).output();
    let output = output.expect("the binary starts");
    assert_eq!(code(&output), 4, "{}", text(&output.stderr));
    let told = text(&output.stderr);
    let (_, rest) = told.split_once("what was measured is in ").expect("it says where");
    let elsewhere = Path::new(rest.split_once(": the results").expect("and why").0).to_owned();
    assert!(elsewhere.starts_with(folder.path().join("tmp")), "{told}");
    assert_eq!(std::fs::read(elsewhere.join("result.json")).unwrap(), output.stdout);
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(elsewhere.parent().unwrap()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700, "nobody else looks into it");
}

#[test]
fn what_cannot_be_printed_is_an_error_and_says_where_it_is() {
    let folder = folder();
    let output = with_nowhere_to_print(folder.path(), &RUN);
    assert_eq!(code(&output), 4);
    let told = text(&output.stderr);
    assert!(told.contains("No space left") && told.contains("what was measured is in kept"), "{told}");
    assert!(folder.path().join("kept/result.json").exists());
    for arguments in [
        &["check", "mine.yaml", "--seeds", "20"][..],
        &["check", "mine.yaml", "--seeds", "20", "--json"],
        &["list"],
        &["schema"],
        &["show", "retry-storm"],
    ] {
        let output = with_nowhere_to_print(folder.path(), arguments);
        assert_eq!(code(&output), 4, "{arguments:?}");
        assert!(text(&output.stderr).contains("No space left"), "{arguments:?}");
    }
}

#[test]
fn a_reader_that_has_gone_away_is_no_error() {
    let folder = folder();
    let mut child = command(&["list"])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(code(&output) == 0 && output.stderr.is_empty(), "{}", text(&output.stderr));
}

#[test]
fn claims_are_shown_whatever_file_cannot_be_written_and_each_such_file_is_named() {
    let folder = folder();
    let output = pumphandle(
        folder.path(),
        &["check", "mine.yaml", "--seeds", "20", "--junit", "/dev/full", "--summary", "no/such/s.md"],
    );
    assert_eq!(code(&output), 4);
    assert!(text(&output.stdout).contains("1 held, 0 broken"), "{}", text(&output.stdout));
    let told = text(&output.stderr);
    assert!(
        told.contains("/dev/full") && told.contains("No space left") && told.contains("no/such/s.md"),
        "{told}"
    );
    assert!(std::fs::metadata("/dev/full").is_ok_and(|it| !it.is_file()), "a device stays a device");
}

#[test]
fn a_file_for_ci_is_whole_or_what_it_was() {
    let folder = folder();
    let claims: String =
        (0..40).map(|i| CLAIM.replace("it recovers", &format!("it recovers, no. {i}"))).collect();
    scenario(folder.path(), &claims);
    let check = ["check", "mine.yaml", "--seeds", "20", "--junit", "j.xml", "--summary", "s.md"];
    std::fs::write(folder.path().join("j.xml"), "earlier").unwrap();
    let output = with_little_room(folder.path(), 2, &check);
    assert_eq!(code(&output), 4, "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("cannot write j.xml: File too large"), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("40 held, 0 broken"), "{}", text(&output.stdout));
    assert_eq!(std::fs::read_to_string(folder.path().join("j.xml")).unwrap(), "earlier");
    // The summary is short enough.
    assert_eq!(names(folder.path()), ["j.xml", "mine.yaml", "s.md", "tmp"], "no half file, no draft");
    assert_eq!(code(&pumphandle(folder.path(), &check)), 0);
    assert!(
        std::fs::read_to_string(folder.path().join("j.xml")).unwrap().trim_end().ends_with("</testsuites>")
    );
}

/// The seeds of the result in `kept`, if it is there, whole.
fn kept(folder: &Path) -> Option<Value> {
    let text = std::fs::read(folder.join("kept/result.json")).ok()?;
    let result: Value = serde_json::from_slice(&text).expect("a result that is there is whole");
    for file in ["machine.json", "report.html", "series.ndjson", "events/control.seed-1.events"] {
        assert!(folder.join("kept").join(file).exists(), "{file} is missing");
    }
    Some(result["seeds"].clone())
}

#[test]
fn a_process_that_is_killed_while_it_writes_leaves_the_old_results_or_the_new_ones() {
    let folder = folder();
    assert_eq!(code(&pumphandle(folder.path(), &RUN)), 0);
    let mut another = RUN.to_vec();
    another[3] = "3";
    let (mut old, mut while_writing) = (0, 0);
    for delay in 0..12_u32 {
        let mut child = command(&another).current_dir(folder.path()).stdout(Stdio::null()).spawn().unwrap();
        let draft = folder.path().join(format!(".kept.{}", child.id()));
        // It may also be faster than this can look.
        while !draft.exists() && child.try_wait().unwrap().is_none() {
            std::hint::spin_loop();
        }
        for _ in 0..delay * 100 {
            let _ = draft.exists();
        }
        child.kill().unwrap();
        let killed = child.wait().unwrap().code().is_none();
        let seeds = kept(folder.path());
        let known = [serde_json::json!([1, 2]), serde_json::json!([1, 2, 3])];
        // Killed between the two renames both are there, beside the name.
        let beside = names(folder.path()).iter().filter(|name| name.ends_with(".old")).count();
        assert!(
            seeds.as_ref().is_some_and(|it| known.contains(it)) || seeds.is_none() && beside == 1,
            "{seeds:?}"
        );
        old += u32::from(seeds.as_ref() == Some(&known[0]));
        while_writing += u32::from(killed && draft.exists());
    }
    assert!(while_writing > 0 && old > 0, "none was killed while it wrote: {while_writing}, {old}");
    // And the next one gets through.
    assert_eq!(code(&pumphandle(folder.path(), &RUN)), 0);
    assert_eq!(kept(folder.path()), Some(serde_json::json!([1, 2])));
}
