//! Claims as JUnit XML: a suite per scenario, a case per claim. No times, so that equal results are equal bytes.

use pumphandle_experiment::document::clean_lines;
use pumphandle_experiment::result::{Claim, RunResult};
use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};

use crate::check::place;
use crate::words;

/// A broken claim is a failure; one that could not be tested is an error, as it says nothing about the system.
pub fn junit(runs: &[RunResult]) -> String {
    let mut report = Report::new("pumphandle");
    report.add_test_suites(runs.iter().map(suite));
    clean_lines(&report.to_string().expect("writing XML into a string does not fail"))
}

fn suite(run: &RunResult) -> TestSuite {
    let mut suite = TestSuite::new(run.scenario.as_str());
    let seeds: Vec<String> = run.seeds.iter().map(u64::to_string).collect();
    for (name, value) in [
        ("seeds", seeds.join(" ")),
        ("clock", run.clock.clone()),
        ("scenario_sha256", run.scenario_sha256.clone()),
        ("overrides", run.overrides.join(" ")),
        ("valid", run.valid.to_string()),
        ("partial", run.partial.to_string()),
    ] {
        if !value.is_empty() {
            suite.add_property(Property::new(name, value));
        }
    }
    suite.add_test_cases(run.claims.iter().map(|claim| case(run, claim)));
    suite
}

fn case(run: &RunResult, claim: &Claim) -> TestCase {
    let mut status = match claim.is.as_str() {
        "held" => TestCaseStatus::success(),
        "broken" => TestCaseStatus::non_success(NonSuccessKind::Failure),
        _ => TestCaseStatus::non_success(NonSuccessKind::Error),
    };
    if claim.is != "held" {
        let message = match claim.is.as_str() {
            "broken" => format!("expected {}, measured {}", claim.expected, claim.measured),
            _ => format!("not tested: {}", claim.reason),
        };
        let at = place(run, claim).map_or_else(String::new, |place| format!("{place}\n"));
        status.set_message(message.as_str()).set_type(claim.is.as_str());
        status.set_description(format!("{at}{message}\nagain: {}", words::again(run, &claim.arm)));
    }
    let mut case = TestCase::new(claim.claim.as_str(), status);
    case.set_classname(format!("{}.{}", run.scenario, if claim.arm.is_empty() { "all" } else { &claim.arm }));
    case
}
