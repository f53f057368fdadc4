//! Whatever comes to an admin port: an answer in whole sentences or none, never a panic, and never a change by
//! a request that was refused. And whatever a page of metrics has become on its way: it is read as what it was,
//! or refused.

mod support;

use std::cell::RefCell;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use pumphandle_console::read_metrics;
use pumphandle_core::catalogue;
use pumphandle_core::meter::Flow;
use serde_json::Value;
use support::Rig;

static PANICS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static RIG: RefCell<Option<Rig>> = const { RefCell::new(None) };
}

/// One rig for all cases of a test. A panic in one of its tasks would only close a connection, so panics are
/// counted.
fn with_rig<T>(service: &'static str, f: impl FnOnce(&Rig) -> T) -> T {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let of_the_rig = std::thread::current().name().is_some_and(|name| name.starts_with("tokio"));
            PANICS.fetch_add(usize::from(of_the_rig), Ordering::SeqCst);
            usual(info);
        }));
    });
    RIG.with(|rig| f(rig.borrow_mut().get_or_insert_with(|| Rig::start(service, None))))
}

/// What stands where, and what only a mistake or an attacker could put there.
const PATHS: [&str; 24] = [
    "api.workers",
    "api.queue.size",
    "api.queue.order",
    "api.queue.codel",
    "api.service_time",
    "api.service_time.exponential",
    "api.contention.alpha",
    "api.failure",
    "api.latency",
    "api.replicas",
    "api.load_shed",
    "api.load_shed.above",
    "api.cancel_on_disconnect",
    "api.retry.attempts",
    "api.retry_budget",
    "api.pool.size",
    "api.calls",
    "api.with",
    "api",
    "api.",
    ".",
    "client.workers",
    "api.queue.size.more",
    "__proto__",
];

fn value() -> impl Strategy<Value = Value> {
    let texts = ["5ms", "0s", "31d", "10%", "101%", "-1", "off", "fifo", "lifo", "", "\u{0}", "1e9/s", "∞"];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0_i64..50).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(texts.to_vec()).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    let words = ["size", "order", "constant", "exponential", "sum", "attempts", "deposit", "above", "x", ""];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        let field =
            prop_oneof![prop::sample::select(words.to_vec()).prop_map(str::to_owned), any::<String>()];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((field, inner), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn path() -> impl Strategy<Value = String> {
    let known = prop::sample::select(PATHS.to_vec()).prop_map(str::to_owned);
    prop_oneof![8 => known, 1 => any::<String>(), 1 => "[a-z.]{0,40}"]
}

fn body() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::collection::vec((path(), value()), 0..4)
            .prop_map(|fields| Value::Object(fields.into_iter().collect()).to_string()),
        2 => value().prop_map(|value| value.to_string()),
        2 => (prop::sample::select(vec!["slow", "broken", "x", "\n"]), value(), value()).prop_map(|(name, does, lasts)| {
            serde_json::json!({ "trigger": name, "do": { "slow_down": does }, "for": lasts }).to_string()
        }),
        1 => any::<String>(),
        // Deeper than any reader should follow.
        1 => (1_usize..3000).prop_map(|depth| "[".repeat(depth)),
        1 => (1_usize..3000).prop_map(|depth| "{\"api.workers\":".repeat(depth)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_body_makes_a_service_panic_and_none_that_is_refused_changes_anything(
        method in prop::sample::select(vec!["PATCH", "PUT", "POST", "DELETE", "GET"]),
        place in prop::sample::select(
            vec!["/settings", "/settings/api.workers", "/disturb", "/calm", "/restart", "/kill", "/reset", "/settings/x"]),
        body in body(),
    ) {
        with_rig("api", |rig| {
            let before = rig.everything();
            let answer = rig.ask(method, place, &body);
            prop_assert!(answer.status >= 200, "no answer to {method} {place} {body}");
            if answer.status == 200 {
                prop_assert!(method != "GET" || rig.everything() == before);
                // Whatever was accepted can be read, and undone.
                prop_assert_eq!(rig.ask("POST", "/reset", r#"{"seed":1}"#).status, 200);
                prop_assert_eq!(&rig.get("/")["changed"], &serde_json::json!({}));
            } else {
                prop_assert!((400..500).contains(&answer.status), "{answer:?}");
                prop_assert!(rig.everything() == before, "{method} {place} {body}: {answer:?}");
            }
            prop_assert_eq!(PANICS.load(Ordering::SeqCst), 0);
            Ok(())
        })?;
    }

    #[test]
    fn no_bytes_make_a_service_panic_or_change(
        request in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..300),
            // A request of ours with accidents.
            prop::collection::vec((0_usize..400, any::<u8>()), 0..6).prop_map(|accidents| {
                let mut bytes = b"POST /reset HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n\
                                  content-length: 11\r\ntransfer-encoding: chunked\r\n\r\nb\r\n{\"seed\": 99}\r\n0\r\n\r\n".to_vec();
                for (at, byte) in accidents {
                    let at = at % bytes.len();
                    bytes[at] = byte;
                }
                bytes
            }),
            // Heads of any make.
            (any::<String>(), any::<String>(), prop::collection::vec((any::<String>(), any::<String>()), 0..5))
                .prop_map(|(method, path, lines)| {
                    let lines: String = lines.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
                    format!("{method} /{path} HTTP/1.1\r\n{lines}\r\n").into_bytes()
                }),
        ]
    ) {
        with_rig("api", |rig| {
            let before = rig.everything();
            let answer = rig.raw_and_hang_up(&request);
            let untouched = rig.everything() == before;
            prop_assert!(untouched || answer.status == 200 || answer.status == 0, "{request:?}: {answer:?}");
            // Without an answer there may have been a whole request, whose sender hung up before it came: only
            // that can have changed anything.
            prop_assert!(untouched || request.starts_with(b"POST /re"), "{request:?}: {answer:?}");
            prop_assert_eq!(PANICS.load(Ordering::SeqCst), 0);
            prop_assert_eq!(rig.ask("GET", "/healthz", "").status, 200);
            Ok(())
        })?;
    }

    #[test]
    fn any_text_is_read_as_metrics_or_refused_with_a_line_that_it_has(text in prop_oneof![
        any::<String>(),
        "([a-z_]{1,12}(\\{([a-z]{1,5}=\"[a-z\\\\\"n]{0,5}\",?){0,3}\\})? ?[0-9.eE+-]{0,12}\n){0,6}",
    ]) {
        let error = read_metrics(&text).expect_err("a page has far more than this");
        prop_assert!(error.line <= text.lines().count(), "{error:?}");
        prop_assert!(!error.message.is_empty());
    }

    #[test]
    fn a_page_with_accidents_is_refused_or_says_what_each_of_its_lines_says(
        accidents in prop::collection::vec((any::<usize>(), any::<char>(), 0_u8..4), 1..4)
    ) {
        let mut damaged = real_page();
        for (at, c, what) in accidents {
            let mut chars: Vec<char> = damaged.chars().collect();
            let at = at % chars.len();
            match what {
                0 => drop(chars.remove(at)),
                1 => chars[at] = c,
                2 => chars.insert(at, c),
                _ => chars.truncate(at.max(1)),
            }
            damaged = chars.into_iter().collect();
        }
        if let Ok(read) = read_metrics(&damaged) {
            // It was in a comment, a label or a number. Every count is what its line says.
            for flow in Flow::ALL.iter().filter(|flow| !flow.name().ends_with("_ns")) {
                let sample = format!("pumphandle_{}_total{{", flow.name());
                let line = damaged.lines().find(|line| line.starts_with(&sample)).expect("it is there");
                let said = line.rsplit_once(' ').map(|(_, number)| number.parse::<u64>());
                prop_assert_eq!(said, Some(Ok(read.snapshot.flow(*flow))));
            }
        }
    }
}

/// What a service really writes.
fn real_page() -> String {
    with_rig("api", |rig| rig.ask("GET", "/metrics", "").body)
}

#[test]
fn a_real_page_is_read_and_without_any_one_of_its_metrics_it_is_refused() {
    let page = real_page();
    let read = read_metrics(&page).expect("the page is whole");
    assert_eq!((read.service.as_str(), read.arm.as_str(), read.snapshot.replicas), ("api", "control", 1));
    for (spec, _) in catalogue::services() {
        let sample = format!("{}{{", spec.name);
        let (with, without): (Vec<&str>, Vec<&str>) =
            page.lines().partition(|line| line.starts_with(&sample));
        assert_eq!(with.len(), 1, "{}", spec.name);
        let error = read_metrics(&without.join("\n")).unwrap_err();
        assert_eq!((error.line, error.message), (0, format!("`{}` is missing", spec.name)));
        let twice = format!("{page}{}\n", with[0]);
        assert_eq!(read_metrics(&twice).unwrap_err().message, "this metric stands there twice");
        let other = twice.replacen(with[0], &with[0].replace("api", "db"), 1);
        assert!(read_metrics(&other).is_err());
    }
}
