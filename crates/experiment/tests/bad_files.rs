//! Scenario files that cannot run, and what a person sees for each, word for word. The cases are in
//! `bad-files.txt`: each is a heading, the lines of the good scenario that are replaced (`-`) and those that
//! stand in their place (`+`), or a whole file (`=`), and then the problems as they are shown.

use std::fmt::Write;
use std::path::PathBuf;

use pumphandle_experiment::document::Style;
use pumphandle_experiment::scenario::read;

const GOOD: &str = include_str!("good.yaml");
const CASES: &str = include_str!("bad-files.txt");

/// One bad file.
#[derive(Default)]
struct Case {
    heading: String,
    /// The lines that say how the file differs, as they stand.
    recipe: Vec<String>,
    shown: String,
}

fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in CASES.lines() {
        if let Some(heading) = line.strip_prefix("# ") {
            cases.push(Case { heading: heading.to_owned(), ..Case::default() });
        } else if let Some(case) = cases.last_mut() {
            if line.starts_with(['-', '+', '=']) {
                case.recipe.push(line.to_owned());
            } else {
                let _ = writeln!(case.shown, "{line}");
            }
        }
    }
    for case in &mut cases {
        case.shown = case.shown.trim_end().to_owned();
    }
    cases
}

impl Case {
    /// The bad file.
    fn text(&self) -> String {
        let lines = |recipe: &[String]| -> String {
            recipe.iter().map(|line| format!("{}\n", line.get(2..).unwrap_or(""))).collect()
        };
        if self.recipe.iter().all(|line| line.starts_with('=')) {
            let whole = lines(&self.recipe);
            return if whole == "\n" { String::new() } else { whole };
        }
        let mut text = GOOD.to_owned();
        for edit in self.recipe.chunk_by(|before, after| !(before.starts_with('+') && after.starts_with('-')))
        {
            let split = edit.iter().take_while(|line| line.starts_with('-')).count();
            let (old, new) = (lines(&edit[..split]), lines(&edit[split..]));
            assert_eq!(text.matches(&old).count(), 1, "{}: the good file has not once\n{old}", self.heading);
            text = text.replacen(&old, &new, 1);
        }
        text
    }

    /// What a person sees: all but the first and the last line, which are always the same.
    fn seen(&self) -> String {
        let Err(problems) = read::read("mine.yaml", &self.text(), Style::Plain) else {
            return "nothing is wrong".to_owned();
        };
        let body = problems.0.strip_suffix("\nnothing was run\n").expect("it ends so");
        body.split_once("\n\n").expect("it begins with a headline").1.trim_end().to_owned()
    }
}

#[test]
fn the_good_file_is_good() {
    if let Err(problems) = read::read("good.yaml", GOOD, Style::Plain) {
        panic!("{problems}");
    }
}

#[test]
fn every_bad_file_shows_what_is_wrong_where_and_what_would_be_right() {
    let cases = cases();
    assert!(cases.len() >= 45, "only {} cases were found", cases.len());
    let (mut all, mut differ) = (String::new(), String::new());
    for case in &cases {
        let seen = case.seen();
        let _ = writeln!(all, "# {}\n{}\n{seen}\n", case.heading, case.recipe.join("\n"));
        if seen != case.shown {
            let _ = writeln!(differ, "# {}\nexpected:\n{}\nseen:\n{seen}\n", case.heading, case.shown);
        }
    }
    if !differ.is_empty() {
        let now = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("bad-files.txt");
        std::fs::write(&now, all).unwrap();
        panic!("{differ}\nall as they are seen now: {}", now.display());
    }
}

#[test]
fn every_case_differs_from_the_others() {
    let cases = cases();
    for (i, case) in cases.iter().enumerate() {
        for other in &cases[..i] {
            assert_ne!(case.heading, other.heading);
            assert_ne!(case.recipe, other.recipe, "{} and {}", case.heading, other.heading);
        }
    }
}

#[test]
fn what_no_machine_could_run_is_refused_whatever_it_is_that_there_is_too_much_of() {
    let services: String =
        (0..101).map(|i| format!("  s{i}: {{ service_time: {{ constant: 1ms }} }}\n")).collect();
    for (text, said) in [
        (GOOD.replace("services:\n", &format!("services:\n{services}")), "at most 100 services"),
        (GOOD.replace("poisson: 100/s", "poisson: 900000/s"), "at most 1e8 can be run"),
        (GOOD.replace("duration: 300s", "duration: 3000000s"), "can be run"),
        (
            GOOD.replace("calls: [db, cache]", &format!("calls: [{}]", ["db, cache"; 5_000].join(", "))),
            "at most 10000 can be run",
        ),
    ] {
        let problems = read::read("mine.yaml", &text, Style::Plain).expect_err(said).0;
        assert!(problems.contains(said), "{said}: {problems}");
    }
}
