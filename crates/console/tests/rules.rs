//! The rules for Prometheus speak of metrics that there are, with labels that they have. A misspelt name is no error to Prometheus: the rule
//! would be silent for ever.

use std::collections::BTreeMap;

use pumphandle_core::catalogue::{self, MetricSpec};

const RULES: &str = include_str!("../../../prometheus/rules.yml");

#[test]
fn rules_name_metrics_of_the_catalogue_and_labels_that_those_have() {
    let known: BTreeMap<String, MetricSpec> =
        catalogue::all().into_iter().map(|spec| (spec.name.clone(), spec)).collect();
    let words = RULES.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':');
    let named: Vec<&str> = words.filter(|word| word.starts_with("pumphandle_")).collect();
    assert!(named.len() >= 4, "{named:?}");
    for name in named {
        assert!(known.contains_key(name), "there is no metric {name}");
    }
    // What rules group by, beside the label that every series has.
    for (name, labels) in [
        ("pumphandle_users_settled_total", &["arm", "outcome"][..]),
        ("pumphandle_users_due_total", &["arm"]),
        ("pumphandle_arrived_total", &["arm", "service"]),
        ("pumphandle_trigger_active", &["trigger"]),
    ] {
        assert!(RULES.contains(name), "this test looks for {name}");
        for label in labels {
            assert!(known[name].labels.contains(label), "{name} has no label {label}");
        }
    }
    assert!(
        known.keys().all(|name| !name.contains(':')),
        "recorded names have colons, scraped ones have none"
    );
}
