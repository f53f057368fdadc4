//! Grafana's dashboards as they are committed: current, in Grafana's shape, by its conventions, and about metrics that
//! exist. And that each of these checks can fail: a table of mistakes, each found by the rule that is for it.

use std::collections::BTreeSet;

use pumphandle_core::catalogue;
use pumphandle_report::dashboards::{NOT_DRAWN, files};
use pumphandle_tests::dashboards::lint::{Fault, Rules, coverage};
use pumphandle_tests::dashboards::{Board, committed, folder, promql};
use serde_json::{Value, json};

fn boards() -> Vec<Board> {
    let boards = committed().expect("dashboards are committed");
    assert!(boards.len() >= 6, "this test looks in the wrong place");
    boards
}

#[test]
fn committed_dashboards_are_what_this_version_writes() {
    let mut written = BTreeSet::new();
    for file in files() {
        let committed = std::fs::read_to_string(folder().join(&file.name)).unwrap_or_default();
        assert!(committed == file.text, "{} is not current: pumphandle dashboards", file.name);
        written.insert(file.name);
    }
    let found: BTreeSet<String> = boards().into_iter().map(|board| board.file).collect();
    assert_eq!(found, written, "a dashboard that nobody writes");
    assert_eq!(files(), files(), "the same bytes every time");
}

#[test]
fn no_rule_finds_a_fault_in_the_committed_dashboards() {
    let faults = Rules::default().faults(&boards());
    let told: Vec<String> = faults.iter().map(|it| format!("{}: {}", it.rule, it.what)).collect();
    assert!(told.is_empty(), "\n{}", told.join("\n"));
}

#[test]
fn every_metric_is_drawn_or_there_is_a_reason_why_not() {
    let (missing, _) = coverage(&boards());
    let excused: Vec<String> = NOT_DRAWN.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(missing, excused, "metrics that no dashboard draws, and those of NOT_DRAWN");
    assert!(NOT_DRAWN.iter().all(|(_, why)| !why.is_empty()));
}

/// Expressions of Prometheus' rules, and of their tests, use metrics of the catalogue, or records of each other.
#[test]
fn rules_for_prometheus_use_metrics_that_exist() {
    let texts = ["rules.yml", "rules_test.yml"].map(|file| {
        let path = folder().join("../prometheus").join(file);
        (file, std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    });
    let lines = texts.iter().flat_map(|(_, text)| text.lines());
    let mut known: BTreeSet<String> =
        lines.filter_map(|line| line.split("record:").nth(1)).map(|it| it.trim().to_owned()).collect();
    assert!(!known.is_empty(), "this test looks in the wrong place");
    known.extend(catalogue::all().into_iter().map(|spec| spec.name));
    for (file, text) in &texts {
        for expression in expressions(text) {
            let reading =
                promql::read(&expression).unwrap_or_else(|why| panic!("{file}: {expression}: {why}"));
            for metric in reading.uses.iter().map(|it| it.metric.as_str()) {
                let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| metric.strip_suffix(end));
                let fine = known.contains(metric) || base.is_some_and(|base| known.contains(base));
                assert!(fine, "{file}: the catalogue has no {metric}");
            }
        }
    }
}

/// The values of `expr:` in a file of rules: on the same line, or as a block below it.
fn expressions(text: &str) -> Vec<String> {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (i, line) in lines.iter().enumerate() {
        let Some((before, value)) = line.split_once("expr:") else { continue };
        if !before.trim_start_matches(['-', ' ']).is_empty() {
            continue;
        }
        let value = value.trim();
        if ["|", ">", "|-", ">-"].contains(&value) {
            let block =
                lines[i + 1..].iter().take_while(|it| it.trim().is_empty() || indent(it) > before.len());
            found.push(block.map(|it| it.trim()).collect::<Vec<_>>().join(" "));
        } else {
            found.push(value.trim_matches(['"', '\'']).to_owned());
        }
    }
    found
}

#[test]
fn expressions_of_rules_are_found_in_a_line_and_in_a_block() {
    let text = "rules:\n  - record: a\n    expr: sum(x)\n  - alert: b\n    expr: |\n      sum(y)\n        > 2\n    for: 1m\n";
    assert_eq!(expressions(text), ["sum(x)", "sum(y) > 2"]);
}

// === mistakes ===

/// A mistake that somebody could make in the incident's dashboard: what, the rule that must find it, and the making.
type Mistake = (&'static str, &'static str, fn(&mut Value));

/// The panel of this title.
fn panel<'a>(board: &'a mut Value, title: &str) -> &'a mut Value {
    let panels = board["panels"].as_array_mut().expect("a dashboard has panels");
    panels.iter_mut().find(|panel| panel["title"] == title).expect("there is such a panel")
}

fn answers(board: &mut Value) -> &mut Value {
    panel(board, "Good answers")
}

/// Changes the expression of the first query of "Good answers".
fn asked(board: &mut Value, change: fn(&str) -> String) {
    let expression = &mut answers(board)["targets"][0]["expr"];
    let changed = change(expression.as_str().expect("a query is text"));
    assert_ne!(*expression, changed, "the mistake was made");
    *expression = json!(changed);
}

const MISTAKES: &[Mistake] = &[
    ("a name misspelt", "shape", |it| it["pannels"] = json!([])),
    ("an option misspelt", "shape", |it| answers(it)["options"]["legends"] = json!({})),
    ("an option of the wrong type", "shape", |it| {
        answers(it)["options"]["legend"]["showLegend"] = json!("yes")
    }),
    ("a value that no option has", "shape", |it| answers(it)["options"]["tooltip"]["mode"] = json!("many")),
    ("a property of fields misspelt", "shape", |it| {
        answers(it)["fieldConfig"]["defaults"]["custom"]["linewidth"] = json!(2);
    }),
    ("a property of an override misspelt", "shape", |it| {
        answers(it)["fieldConfig"]["overrides"][0]["properties"][0]["id"] = json!("custom.lineWith");
    }),
    ("a property of an override of the wrong type", "shape", |it| {
        answers(it)["fieldConfig"]["overrides"][0]["properties"][1]["value"] = json!("wide");
    }),
    ("a type of panel that does not exist", "shape", |it| answers(it)["type"] = json!("time-series")),
    ("an option of text misspelt", "shape", |it| {
        panel(it, "How to read this")["options"]["markdown"] = json!("")
    }),
    ("two panels of one id", "ids", |it| answers(it)["id"] = json!(1)),
    ("an address that is none", "uid", |it| it["uid"] = json!("Pumphandle incident")),
    ("the address of another dashboard", "uid", |it| it["uid"] = json!("pumphandle-stocks")),
    ("can be edited, and is overwritten", "provisioned", |it| it["editable"] = json!(true)),
    ("an id of some database", "provisioned", |it| it["id"] = json!(7)),
    ("exported for sharing", "provisioned", |it| it["__inputs"] = json!([])),
    ("an old schema", "version", |it| it["schemaVersion"] = json!(16)),
    ("panels over each other", "grid", |it| answers(it)["gridPos"]["y"] = json!(0)),
    ("a panel too wide", "grid", |it| answers(it)["gridPos"]["w"] = json!(25)),
    ("no description", "described", |it| answers(it)["description"] = json!("")),
    ("no title", "described", |it| answers(it)["title"] = json!("")),
    ("no query", "targets", |it| answers(it)["targets"] = json!([])),
    ("two queries of one name", "targets", |it| answers(it)["targets"][0]["refId"] = json!("treatment")),
    ("a unit misspelt", "unit", |it| answers(it)["fieldConfig"]["defaults"]["unit"] = json!("percentUnit")),
    ("no unit", "unit", |it| {
        answers(it)["fieldConfig"]["defaults"].as_object_mut().expect("it is one").remove("unit");
    }),
    ("a colour misspelt", "colour", |it| {
        answers(it)["fieldConfig"]["defaults"]["color"]["fixedColor"] = json!("bleu");
    }),
    ("a matcher misspelt", "matcher", |it| {
        answers(it)["fieldConfig"]["overrides"][0]["matcher"]["id"] = json!("byFrameRefId");
    }),
    ("an override for a query that is gone", "matcher", |it| {
        answers(it)["fieldConfig"]["overrides"][0]["matcher"]["options"] = json!("A");
    }),
    ("a transformation misspelt", "transformation", |it| {
        panel(it, "Score card")["transformations"][0]["id"] = json!("mergeTables");
    }),
    ("a column of a query that is gone", "transformation", |it| {
        panel(it, "Score card")["transformations"][1]["options"]["renameByName"]["Value #A"] = json!("x");
    }),
    ("a reducer misspelt", "reducer", |it| {
        panel(it, "Good answers at the end")["options"]["reduceOptions"]["calcs"] = json!(["lastNotNul"]);
    }),
    ("a data source of one's own", "datasource", |it| {
        answers(it)["datasource"]["uid"] = json!("PBFA97CFB590B2093")
    }),
    ("a second choice of the data source", "datasource", |it| {
        let list = it["templating"]["list"].as_array_mut().expect("it is one");
        let second = list[0].clone();
        list.push(second);
    }),
    ("a variable that is asked once", "refresh", |it| it["templating"]["list"][1]["refresh"] = json!(1)),
    ("a variable that nobody defined", "variable", |it| asked(it, |q| q.replace("$control", "$contol"))),
    ("repeated by what has one value", "variable", |it| answers(it)["repeat"] = json!("run")),
    ("a link to nowhere", "link", |it| {
        let override_of_arm = &mut panel(it, "Score card")["fieldConfig"]["overrides"][0]["properties"][0];
        override_of_arm["value"][0]["url"] = json!("/d/pumphandle-incidents?x");
    }),
    ("a legend of a label that is gone", "legend", |it| {
        answers(it)["targets"][0]["legendFormat"] = json!("{{service}}")
    }),
    ("no PromQL", "promql", |it| asked(it, |q| q.replacen("(rate", "rate", 1))),
    ("a metric misspelt", "metric", |it| asked(it, |q| q.replace("users_settled", "user_settled"))),
    ("a label misspelt", "label", |it| asked(it, |q| q.replace("outcome=", "outcomes="))),
    ("grouped by a label that it does not have", "label", |it| {
        asked(it, |q| q.replace("by (arm)", "by (arm, service)"))
    }),
    ("a counter as it is", "counter", |it| {
        asked(it, |_| r#"pumphandle_users_due_total{run="$run"}"#.to_owned())
    }),
    ("growth of a gauge", "counter", |it| {
        asked(it, |_| r#"rate(pumphandle_users_waiting{run="$run"}[$__rate_interval])"#.to_owned());
    }),
    ("a range of one's own", "range", |it| asked(it, |q| q.replace("$__rate_interval", "1m"))),
    ("the whole screen at every point", "range", |it| {
        asked(it, |q| q.replace("$__rate_interval", "$__range"))
    }),
    ("of all runs at once", "run", |it| asked(it, |q| q.replace(r#"run="$run","#, ""))),
    ("no word of what recordings do not have", "recorded", |it| {
        asked(it, |_| r#"max by (arm) (pumphandle_rig_lag_seconds{run="$run"})"#.to_owned());
    }),
    ("a marker misspelt", "metric", |it| {
        it["annotations"]["list"][0]["expr"] = json!(r#"pumphandle_trigger_activ{run="$run"} == 1"#);
    }),
    ("a variable that asks for a metric misspelt", "metric", |it| {
        it["templating"]["list"][1]["query"]["query"] = json!("label_values(pumphandle_runinfo, run)");
    }),
];

#[test]
fn each_mistake_is_found_by_the_rule_that_is_for_it() {
    let boards = boards();
    let at = boards.iter().position(|board| board.file == "incident.json").expect("there is an incident");
    let rules = Rules::default();
    let mut missed = Vec::new();
    for (what, rule, make) in MISTAKES {
        let mut wrong = boards.clone();
        make(&mut wrong[at].json);
        assert_ne!(wrong[at].json, boards[at].json, "{what}: the mistake was made");
        let found: Vec<Fault> = rules.faults(&wrong);
        if !found.iter().any(|fault| fault.rule == *rule) {
            missed.push(format!("{what}: not found by `{rule}`, but {found:?}"));
        }
    }
    assert!(missed.is_empty(), "\n{}", missed.join("\n"));
}

#[test]
fn no_rule_is_without_a_mistake_that_it_finds() {
    let tried: BTreeSet<&str> = MISTAKES.iter().map(|(_, rule, _)| *rule).collect();
    let source = include_str!("../dashboards/lint.rs");
    let names = ["found.unless(\"", "found.if_any(\""]
        .map(|call| source.split(call).skip(1).collect::<Vec<_>>())
        .concat();
    let rules: BTreeSet<&str> = names.into_iter().filter_map(|rest| rest.split('"').next()).collect();
    assert!(rules.len() >= 15, "this test does not see the rules");
    assert_eq!(rules, tried, "rules, and rules with a mistake");
}

#[test]
fn a_metric_that_nobody_draws_is_noticed() {
    let mut boards = boards();
    boards.retain(|board| board.file != "rig.json");
    let (missing, _) = coverage(&boards);
    assert!(missing.iter().any(|name| name == "pumphandle_rig_lag_seconds"), "{missing:?}");
}
