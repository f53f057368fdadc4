//! Laws of settings by path, for every setting of the good scenario and for values that fit and do not fit.

use indexmap::IndexMap;
use proptest::prelude::*;
use pumphandle_experiment::document::Style;
use pumphandle_experiment::scenario::{paths, read};
use pumphandle_stack::StackSettings;
use serde_json::{Value, json};

fn services() -> StackSettings {
    let good = read::read("good.yaml", include_str!("good.yaml"), Style::Plain);
    good.expect("the good file is good").scenario.services
}

/// Settings that a lever can change, and a value that each can have.
fn fitting() -> impl Strategy<Value = (&'static str, Value)> {
    let millis = (1_u32..100_000).prop_map(|ms| json!(format!("{}us", ms * 10 + 1)));
    let share = (0_u32..=100).prop_map(|percent| json!(f64::from(percent) / 100.0));
    prop_oneof![
        (1_u32..1000).prop_map(|n| ("api.replicas", json!(n))),
        (1_u32..1000).prop_map(|n| ("db.workers", json!(n))),
        (0_u32..1000).prop_map(|n| ("api.queue.size", json!(n))),
        (1_u32..100).prop_map(|n| ("client.retry.attempts", json!(n))),
        any::<bool>().prop_map(|on| ("client.retry.enabled", json!(on))),
        any::<bool>().prop_map(|on| ("client.propagate_deadline", json!(on))),
        prop_oneof![Just("fifo"), Just("lifo")].prop_map(|word| ("api.pool.order", json!(word))),
        millis.clone().prop_map(|dur| ("client.attempt_timeout", dur)),
        millis.clone().prop_map(|dur| ("api.query_timeout", dur)),
        millis.prop_map(|dur| ("db.latency", dur)),
        share.clone().prop_map(|share| ("db.failure", share)),
        share.prop_map(|share| ("client.retry.share", share)),
        (0.0..10.0).prop_map(|alpha| ("db.contention.alpha", json!(alpha))),
    ]
}

/// Anything that YAML can say, most of which fits nothing.
fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-10_i64..2_000_000_000_000).prop_map(Value::from),
        (-1e18..1e18).prop_map(Value::from),
        "[a-z0-9%]{0,6}".prop_map(Value::from),
        Just(json!("off")),
        Just(json!("5s")),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        let key = prop_oneof![Just("size"), Just("attempts"), Just("constant"), Just("enabled"), Just("x")];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..3)
                .prop_map(|fields| fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
        ]
    })
}

/// Paths near to those that exist.
fn any_path() -> impl Strategy<Value = String> {
    let known: Vec<String> = paths::flatten(&services()).into_keys().collect();
    prop_oneof![
        prop::sample::select(known.clone()),
        prop::sample::select(known).prop_map(|path| path.rsplit_once('.').expect("a path").0.to_owned()),
        prop_oneof![Just("api"), Just("db"), Just("client"), Just("")].prop_flat_map(|service| {
            let field = prop_oneof![
                Just("breaker"),
                Just("pool"),
                Just("with"),
                Just("calls"),
                Just("service_time"),
                Just("constant"),
                Just("size"),
                Just("")
            ];
            prop::collection::vec(field, 0..4)
                .prop_map(move |fields| [vec![service], fields].concat().join("."))
        }),
    ]
}

proptest! {
    #[test]
    fn what_is_set_is_shown((path, value) in fitting()) {
        let mut services = services();
        let service = paths::set(&mut services, path, &value).map_err(TestCaseError::fail)?;
        prop_assert_eq!(Some(service.as_str()), path.split('.').next());
        prop_assert_eq!(paths::show(&services, path), paths::words(&value));
        prop_assert_eq!(&paths::flatten(&services)[path], &paths::words(&value));
    }

    #[test]
    fn setting_a_thing_changes_nothing_else((path, value) in fitting()) {
        let (before, mut after) = (services(), services());
        paths::set(&mut after, path, &value).map_err(TestCaseError::fail)?;
        let (before, mut after) = (paths::flatten(&before), paths::flatten(&after));
        after.shift_remove(path);
        for (other, value) in before.iter().filter(|(other, _)| *other != path) {
            prop_assert_eq!(after.shift_remove(other), Some(value.clone()));
        }
        prop_assert!(after.is_empty(), "{after:?}");
    }

    #[test]
    fn a_refused_change_changes_nothing_and_others_are_right(path in any_path(), value in anything()) {
        let mut services = services();
        let before = services.clone();
        match paths::set(&mut services, &path, &value) {
            Err(sentence) => {
                prop_assert_eq!(&services, &before);
                prop_assert!(!sentence.is_empty() && !sentence.contains("at line"), "{sentence}");
            }
            Ok(service) => {
                prop_assert_eq!(services[&service].check(), Vec::new());
                prop_assert_ne!(value, Value::Null);
            }
        }
    }

    #[test]
    fn of_several_changes_all_or_none_are_made(
        good in fitting(), path in any_path(), value in anything(),
    ) {
        let mut services = services();
        let before = services.clone();
        let changes = IndexMap::from([(good.0.to_owned(), good.1), (path, value)]);
        if paths::set_all(&mut services, &changes).is_err() {
            prop_assert_eq!(services, before);
        }
    }

    #[test]
    fn a_slip_in_a_path_is_refused_with_a_suggestion((path, value) in fitting(), at in 0_usize..40) {
        let last = path.rsplit_once('.').expect("a path").1;
        let slip = last.char_indices().nth(at % last.len()).expect("a letter").0;
        let start = path.len() - last.len();
        let misspelt = format!("{}{}", &path[..start + slip], &path[start + slip + 1..]);
        let sentence = paths::set(&mut services(), &misspelt, &value).expect_err("no field is called so");
        prop_assert!(sentence.contains(&format!("did you mean `{last}`?")), "{misspelt}: {sentence}");
    }
}

#[test]
fn every_setting_in_force_can_be_set_to_what_it_is() {
    let before = services();
    let tree = serde_json::to_value(&before).unwrap();
    let all = paths::flatten(&before);
    assert!(all.len() > 30, "only {} settings", all.len());
    for path in all.keys().filter(|path| !path.ends_with(".calls")) {
        let (service, fields) = path.split_once('.').unwrap();
        let beside_or_in = [&tree[service], &tree[service]["with"]];
        let value = beside_or_in
            .into_iter()
            .find_map(|tree| fields.split('.').try_fold(tree, |at, field| at.get(field)))
            .unwrap_or_else(|| panic!("{path} leads nowhere"));
        let mut after = before.clone();
        assert_eq!(paths::set(&mut after, path, value).as_deref(), Ok(service), "{path}");
        assert_eq!(after, before, "{path}");
    }
}

#[test]
fn a_policy_that_is_not_there_is_set_as_a_whole() {
    let mut services = services();
    let sentence = paths::set(&mut services, "client.breaker.open_for", &json!("3s")).unwrap_err();
    assert!(sentence.contains("client.breaker: {"), "{sentence}");
    paths::set(&mut services, "client.breaker", &json!({ "failure_rate": "50%" })).unwrap();
    assert_eq!(paths::show(&services, "client.breaker.open_for"), "5s");
    paths::set(&mut services, "client.breaker.open_for", &json!("3s")).unwrap();
    assert_eq!(paths::show(&services, "client.breaker.open_for"), "3s");
}

#[test]
fn setting_a_policy_as_a_whole_leaves_nothing_of_what_it_was() {
    let mut services = services();
    assert_eq!(paths::show(&services, "client.retry.backoff.up_to"), "100ms");
    paths::set(&mut services, "client.retry", &json!({ "attempts": 2 })).unwrap();
    assert_eq!(paths::show(&services, "client.retry.attempts"), "2");
    assert_eq!(paths::show(&services, "client.retry.backoff.up_to"), "0s");
}

#[test]
fn a_limit_can_be_switched_off() {
    let mut services = services();
    paths::set(&mut services, "client.attempt_timeout", &json!("off")).unwrap();
    assert_eq!(paths::show(&services, "client.attempt_timeout"), "off");
    assert_eq!(services["client"].with.attempt_timeout.and_then(|patience| patience.limit()), None);
}

#[test]
fn settings_that_only_fit_together_can_be_set_together() {
    let mut services = services();
    let changes: IndexMap<String, Value> = IndexMap::from([
        ("client.retry.backoff.jitter".to_owned(), json!("decorrelated")),
        ("client.retry.backoff.first".to_owned(), json!("10ms")),
    ]);
    let (jitter, value) = changes.first().unwrap();
    let alone = paths::set(&mut services, jitter, value).unwrap_err();
    assert!(alone.contains("add it"), "{alone}");
    assert_eq!(paths::set_all(&mut services, &changes).unwrap(), ["client"]);
    assert_eq!(paths::show(&services, "client.retry.backoff.first"), "10ms");
}

#[test]
fn refusals_are_sentences_for_a_command_line() {
    let cases = [
        ("clint.retry.attempts", json!(2), "no such service: `clint`; did you mean `client`?"),
        ("client.retry.attempts", json!(0), "expected a whole number from 1 to 100, found 0"),
        (
            "client.retry",
            json!({ "atempts": 3 }),
            "client.retry.atempts: unknown field `atempts` of \
            `client.retry`; did you mean `attempts`?",
        ),
        (
            "db.service_time.constant",
            json!("1ms"),
            "`db.service_time` is `exponential` here, not `constant` \
            (set it as a whole: db.service_time: { constant: … })",
        ),
        ("client.retry.backoff.first", json!("1s"), "the first pause, 1s, is above the ceiling up_to, 100ms"),
        ("client.retry.backoff.up_to", json!(5), "expected a duration such as 250ms, 3s or 2m, found 5"),
        ("api", json!({}), "`api` is a whole service (name one of its settings, such as api.workers)"),
    ];
    for (path, value, sentence) in cases {
        assert_eq!(paths::set(&mut services(), path, &value), Err(sentence.to_owned()), "{path}");
    }
}
