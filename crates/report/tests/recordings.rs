//! Recordings: what comes out as remote write and as OpenMetrics is what went in, under the names of the catalogue.
#![allow(clippy::unwrap_used, reason = "all of it is test: a panic is how it fails")]

mod support;
#[path = "../../../tests/support/openmetrics.rs"]
mod text;
#[path = "../../../tests/support/remote_write.rs"]
mod wire;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use pumphandle_core::catalogue::{self, Kind, LATENCY_BUCKETS, RUN, RunMetric};
use pumphandle_core::meter::{FLOWS, Flow, STOCKS, StockName};
use pumphandle_experiment::record::{Flows, Latencies, ServiceLine, Settled, Stocks, UsersLine};
use pumphandle_experiment::result::{RunResult, TriggerWindow};
use pumphandle_experiment::run::rows::StockRow;
use pumphandle_report::recording::{self, Batches, Extent, Frames, Sample, Series, TAIL, Unreadable};

const SERVICES: [&str; 2] = ["api", "db"];

/// Ten seconds of two arms, with answers until the thirteenth.
const SECONDS: u32 = 10;
const ANSWERS: u32 = 13;

fn result() -> RunResult {
    let mut result = support::story().result;
    result.arms.retain(|arm| ["control", "disable-retries"].contains(&arm.arm.as_str()));
    assert_eq!(result.arms.len(), 2);
    result.windows_s.trigger = Some([3.0, 5.0]);
    result.windows_s.pull = Some(7.0);
    result.windows_s.end = f64::from(SECONDS) - 0.5;
    let slow = TriggerWindow { trigger: "slow \"db\"\\".to_owned(), from: 3.0, to: Some(5.0) };
    let late = TriggerWindow { trigger: "late".to_owned(), from: 8.0, to: None };
    result.windows_s.triggers = vec![slow, late];
    result
}

/// Some number, always the same for the same place.
fn some(of: &[u32]) -> u32 {
    let mixed = of
        .iter()
        .fold(17_u64, |all, n| (all + u64::from(*n)).wrapping_mul(6_364_136_223_846_793_005) ^ all >> 29);
    (mixed >> 40) as u32 % 1_000
}

fn service(t: u32, arm: &str, at: u32) -> ServiceLine<'_> {
    let stock = |i: u32| match i % 3 {
        0 => StockRow::default(),
        _ => StockRow {
            level: some(&[t, at, i, 1]),
            inflow: some(&[t, at, i, 2]),
            outflow: some(&[t, at, i, 3]),
            integral_ns: 1_000_003 * u64::from(some(&[t, at, i, 4])),
        },
    };
    ServiceLine {
        t,
        arm: arm.into(),
        seed: 1,
        service: SERVICES[at as usize % 2].into(),
        stocks: Stocks(std::array::from_fn(|i| stock(i as u32))),
        flows: Flows(std::array::from_fn(|i| u64::from(some(&[t, at, i as u32])) * u64::from(i as u32 % 4))),
        replicas: 1 + t / 4,
        breaker: u64::from(t % 4),
        concurrency_limit: u64::from(at * t),
    }
}

fn users(t: u32, arm: &str, at: u32) -> UsersLine<'_> {
    let mut within_s = Latencies::default();
    within_s.0.iter_mut().zip(0..).for_each(|(n, i)| *n = some(&[t, at, i]) * u32::from(i % 5 == 0));
    let all: u32 = within_s.0.iter().sum();
    let (degraded, late, errors) = (all / 7, all / 5, all / 3);
    let good = all - degraded - late - errors;
    let waited_ns = 77_777_777 * u64::from(all);
    UsersLine {
        t,
        arm: arm.into(),
        seed: 1,
        service: (),
        arrivals: if t <= SECONDS { 12_000 } else { 0 },
        good: 1,
        degraded: 2,
        late: 3,
        errors: 4,
        away: 0,
        goodput: good,
        settled: Settled { good, degraded, late, errors, within_s, waited_ns },
    }
}

/// The arms' places, which the numbers depend on.
const ARMS: [(&str, u32); 2] = [("control", 0), ("disable-retries", 2)];

fn lines() -> Vec<String> {
    let mut lines = Vec::new();
    for t in 1..=ANSWERS {
        for (arm, at) in ARMS {
            if t <= SECONDS {
                lines.extend((0..2).map(|i| serde_json::to_string(&service(t, arm, at + i)).unwrap()));
            }
            lines.push(serde_json::to_string(&users(t, arm, at)).unwrap());
        }
    }
    lines
}

fn file() -> String {
    lines().join("\n") + "\n"
}

/// Values by second of a series, and when it ends.
type Column = (Vec<(u32, f64)>, Option<u32>);

/// All series by their labels.
type Shown = BTreeMap<BTreeMap<String, String>, Column>;

fn labels(series: &Series) -> BTreeMap<String, String> {
    let labels = series.labels.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
    labels.chain([("__name__".to_owned(), series.name.clone())]).collect()
}

fn shown(result: &RunResult, file: &str) -> (Vec<Series>, Shown) {
    let mut frames = Frames::new(result, file.as_bytes(), "a run").unwrap();
    let mut columns: Vec<Column> = vec![Column::default(); frames.series().len()];
    let mut expected = 0;
    while let Some(frame) = frames.next().unwrap() {
        assert_eq!(frame.second, expected);
        expected += 1;
        for (column, sample) in columns.iter_mut().zip(frame.samples) {
            match sample {
                Sample::None => {}
                Sample::Value(value) => column.0.push((frame.second, *value)),
                Sample::End => assert!(column.1.replace(frame.second).is_none(), "it ends once"),
            }
        }
    }
    let series = frames.series().to_vec();
    let all: Shown = series.iter().map(labels).zip(columns).collect();
    assert_eq!(all.len(), series.len(), "every series has labels of its own");
    (series, all)
}

fn of<'a>(shown: &'a Shown, name: &str, wanted: &[(&str, &str)]) -> &'a [(u32, f64)] {
    let found: Vec<_> = shown
        .iter()
        .filter(|(labels, _)| {
            labels["__name__"] == name && wanted.iter().all(|(k, v)| labels.get(*k).is_some_and(|it| it == v))
        })
        .collect();
    assert_eq!(found.len(), 1, "{name} {wanted:?}");
    &found[0].1.0
}

#[test]
fn series_are_those_of_the_catalogue_with_its_labels_and_the_run() {
    let (series, _) = shown(&result(), &file());
    let specs: BTreeMap<String, _> =
        catalogue::all().into_iter().map(|spec| (spec.name.clone(), spec)).collect();
    for it in &series {
        let spec = &specs[&it.metric];
        assert_eq!((it.kind, &it.help), (spec.kind, &spec.help));
        let mut expected: Vec<&str> = spec.labels.to_vec();
        if it.name.ends_with("_bucket") {
            expected.push("le");
        }
        expected.push(RUN);
        let names: Vec<&str> = it.labels.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, expected, "{}", it.name);
        let own = it.name == it.metric;
        assert_eq!(own, spec.kind != Kind::Histogram, "{}", it.name);
    }
    // The machine of a live run is not recorded; everything else is.
    let shown: BTreeSet<&str> = series.iter().map(|it| it.metric.as_str()).collect();
    let missing = specs.keys().map(String::as_str).filter(|name| !shown.contains(name));
    let machine: BTreeSet<&str> =
        RunMetric::ALL.iter().filter(|it| it.is_of_the_machine()).map(|it| it.name()).collect();
    assert_eq!(missing.collect::<BTreeSet<_>>(), machine);
    assert_eq!(machine.len(), 5);
}

#[test]
fn counters_begin_at_zero_never_fall_and_end_at_the_sum_of_the_lines() {
    let (series, shown) = shown(&result(), &file());
    for it in series.iter().filter(|it| it.kind != Kind::Gauge) {
        let values = &shown[&labels(it)].0;
        assert_eq!(values[0], (0, 0.0), "{it:?}");
        assert!(values.windows(2).all(|pair| pair[0].0 + 1 == pair[1].0 && pair[0].1 <= pair[1].1), "{it:?}");
    }
    let last = |name: &str, wanted: &[(&str, &str)]| of(&shown, name, wanted).last().unwrap().1;
    for (arm, at) in ARMS {
        for i in 0..2_u32 {
            let wanted = [("arm", arm), ("service", SERVICES[i as usize])];
            let sum = |value: &dyn Fn(ServiceLine<'_>) -> u64| -> f64 {
                (1..=SECONDS).map(|t| value(service(t, arm, at + i))).sum::<u64>() as f64
            };
            let flow = |flow: Flow| sum(&|line| line.flows.0[flow as usize]);
            assert_eq!(last("pumphandle_arrived_total", &wanted), flow(Flow::Arrived));
            assert_eq!(last("pumphandle_wasted_seconds_total", &wanted), flow(Flow::WastedNanos) / 1e9);
            let queue = StockName::Queue as usize;
            assert_eq!(
                last("pumphandle_queue_inflow_total", &wanted),
                sum(&|line| line.stocks.0[queue].inflow.into())
            );
            assert_eq!(
                last("pumphandle_queue_level_seconds_total", &wanted),
                sum(&|line| line.stocks.0[queue].integral_ns) / 1e9
            );
        }
        let sum = |value: &dyn Fn(UsersLine<'_>) -> u64| -> f64 {
            (1..=ANSWERS).map(|t| value(users(t, arm, at))).sum::<u64>() as f64
        };
        let settled = |outcome| last("pumphandle_users_settled_total", &[("arm", arm), ("outcome", outcome)]);
        assert_eq!(settled("good"), sum(&|it| it.settled.good.into()));
        assert_eq!(settled("degraded"), sum(&|it| it.settled.degraded.into()));
        assert_eq!(settled("late"), sum(&|it| it.settled.late.into()));
        assert_eq!(settled("error"), sum(&|it| it.settled.errors.into()));
        let all: f64 = ["good", "degraded", "late", "error"].map(settled).iter().sum();
        let due = last("pumphandle_users_due_total", &[("arm", arm)]);
        assert_eq!(due, 12_000.0 * f64::from(SECONDS));
        assert_eq!(last("pumphandle_users_waiting", &[("arm", arm)]), due - all);
        assert_eq!(last("pumphandle_user_latency_seconds_count", &[("arm", arm)]), all);
        assert_eq!(
            last("pumphandle_user_latency_seconds_sum", &[("arm", arm)]),
            sum(&|it| it.settled.waited_ns) / 1e9
        );
        assert_eq!(last("pumphandle_user_latency_seconds_bucket", &[("arm", arm), ("le", "+Inf")]), all);
        let within = |at: usize| sum(&|it| it.settled.within_s.0[..=at].iter().map(|n| u64::from(*n)).sum());
        let second = LATENCY_BUCKETS.iter().position(|le| *le == 1.0).unwrap();
        let bucket = last("pumphandle_user_latency_seconds_bucket", &[("arm", arm), ("le", "1.0")]);
        assert_eq!(bucket, within(second));
    }
}

#[test]
fn gauges_show_each_second_as_it_was() {
    let (_, shown) = shown(&result(), &file());
    let wanted = [("arm", "control"), ("service", "db")];
    let at = |t: u32| service(t, "control", 1);
    let working = StockName::Working as usize;
    let levels: Vec<(u32, f64)> = std::iter::once((0, 0.0))
        .chain((1..=SECONDS).map(|t| (t, at(t).stocks.0[working].level.into())))
        .collect();
    assert_eq!(of(&shown, "pumphandle_working", &wanted), levels);
    // What a service was made of before its first second is not known.
    let replicas: Vec<(u32, f64)> = (1..=SECONDS).map(|t| (t, at(t).replicas.into())).collect();
    assert_eq!(of(&shown, "pumphandle_replicas", &wanted), replicas);
    let breaker: Vec<(u32, f64)> = (1..=SECONDS).map(|t| (t, f64::from(t % 4))).collect();
    assert_eq!(of(&shown, "pumphandle_breaker_state", &wanted), breaker);
}

#[test]
fn what_happened_when_is_shown_when_it_happened() {
    let (_, shown) = shown(&result(), &file());
    let active = |name: &str, wanted: &[(&str, &str)]| -> Vec<u32> {
        of(&shown, name, wanted)
            .iter()
            .filter(|(_, value)| *value == 1.0)
            .map(|(second, _)| *second)
            .collect()
    };
    let phase = |phase| active("pumphandle_phase", &[("phase", phase)]);
    assert_eq!(phase("waiting"), [0_u32; 0]);
    assert_eq!((phase("before"), phase("trigger")), (vec![0, 1, 2], vec![3, 4]));
    assert_eq!(phase("after"), [5, 6, 7, 8, 9]);
    assert_eq!(phase("ended"), (10..=SECONDS + TAIL).collect::<Vec<_>>());
    assert_eq!(active("pumphandle_trigger_active", &[("trigger", "slow \"db\"\\")]), [3, 4]);
    assert_eq!(active("pumphandle_trigger_active", &[("trigger", "late")]), [8, 9]);
    let lever = [("arm", "disable-retries"), ("lever", "disable-retries"), ("level", "7")];
    assert_eq!(active("pumphandle_lever_active", &lever), [7, 8, 9]);
    let result = result();
    let first = |name: &str, wanted: &[(&str, &str)]| of(&shown, name, wanted)[0];
    let share = result.arms[0].outcome.good_share_by_window.clone();
    for (window, since, value) in
        [("before", 3, share.before), ("during", 5, share.during), ("after", 10, share.after)]
    {
        let wanted = [("arm", "control"), ("window", window)];
        assert_eq!(first("pumphandle_good_share", &wanted), (since, value.unwrap()));
    }
    assert_eq!(
        first("pumphandle_harm_share", &[("arm", "control")]),
        (10, result.arms[0].outcome.harm_share)
    );
    let verdict = result.arms[1].verdict.as_ref().unwrap().is.as_str();
    assert_eq!(first("pumphandle_verdict", &[("arm", "disable-retries"), ("verdict", verdict)]), (10, 1.0));
    let info = [("scenario", "retry-storm"), ("clock", "virtual"), ("seed", "1"), ("run", "a run")];
    assert_eq!(first("pumphandle_run_info", &info), (0, 1.0));
}

#[test]
fn every_series_ends_once_a_second_after_its_last_value_and_has_no_gap_before() {
    let (_, shown) = shown(&result(), &file());
    for (labels, (values, end)) in shown {
        let Some((last, _)) = values.last() else { panic!("{labels:?} has no value") };
        assert_eq!(end, Some(last + 1), "{labels:?}");
        assert_eq!(values.len() as u32, last + 1 - values[0].0, "{labels:?}");
        let of_service = labels.contains_key("service");
        assert_eq!(*last, if of_service { SECONDS } else { SECONDS + TAIL }, "{labels:?}");
    }
}

#[test]
fn requests_of_remote_write_hold_the_samples_of_the_recording_and_nothing_else() {
    let (result, file) = (result(), file());
    let (_, shown) = shown(&result, &file);
    let mut batches =
        Batches::new(Frames::new(&result, file.as_bytes(), "a run").unwrap(), 1_700_000_000_000);
    let (mut received, mut samples) = (wire::Received::new(), 0);
    while let Some(batch) = batches.next().unwrap() {
        wire::receive(&batch.body, &mut received);
        samples += batch.samples;
    }
    assert_eq!(samples, received.values().map(Vec::len).sum::<usize>() as u64);
    assert_eq!(received.keys().collect::<Vec<_>>(), shown.keys().collect::<Vec<_>>());
    for (labels, (values, end)) in &shown {
        let at = |second: u32| 1_700_000_000_000 + 1000 * i64::from(second);
        let values = values.iter().map(|(second, value)| (at(*second), value.to_bits()));
        let expected: Vec<_> = values.chain(end.map(|end| (at(end), wire::STALE))).collect();
        assert_eq!(received[labels], expected, "{labels:?}");
    }
    let extent = recording::extent(Frames::new(&result, file.as_bytes(), "a run").unwrap()).unwrap();
    let series = shown.len();
    assert_eq!(extent, Extent { last: SECONDS + TAIL + 1, series, samples, interrupted: None });
}

#[test]
fn a_file_of_openmetrics_holds_the_samples_of_the_recording_and_nothing_else() {
    let (result, file) = (result(), file());
    let (_, shown) = shown(&result, &file);
    let mut text = Vec::new();
    let lines = || Ok(file.as_bytes());
    let samples =
        recording::openmetrics(&result, "a run", 1_700_000_000, 1_000_000, lines, &mut text).unwrap();
    let families = text::parse(std::str::from_utf8(&text).unwrap());
    let mut read: BTreeMap<BTreeMap<String, String>, Vec<(u32, f64)>> = BTreeMap::new();
    for sample in families.iter().flat_map(|family| &family.samples) {
        let mut labels = sample.labels.clone();
        labels.insert("__name__".to_owned(), sample.name.clone());
        read.entry(labels).or_default().push(((sample.time - 1_700_000_000) as u32, sample.value));
    }
    assert_eq!(samples, read.values().map(Vec::len).sum::<usize>() as u64);
    let expected: BTreeMap<_, _> = shown.into_iter().map(|(labels, (values, _))| (labels, values)).collect();
    assert_eq!(read, expected);
}

#[test]
fn what_is_too_much_to_be_held_is_written_piece_by_piece_and_gives_the_same_bytes() {
    let (result, file) = (result(), file());
    let written = |held: usize| {
        let (mut text, mut opened) = (Vec::new(), 0);
        let open = || {
            opened += 1;
            Ok(file.as_bytes())
        };
        recording::openmetrics(&result, "a run", 0, held, open, &mut text).unwrap();
        (text, opened)
    };
    let (whole, opened) = written(1_000_000);
    assert_eq!(opened, 3, "twice to look, once to write");
    for held in [0, 500, 5_000] {
        let (text, opened) = written(held);
        assert!(opened > 5, "{opened}");
        assert!(text == whole, "{held}");
    }
}

/// The lines with one of them changed, or left out, or doubled.
fn with(at: usize, change: impl FnOnce(&str) -> String) -> String {
    let mut lines = lines();
    lines[at] = change(&lines[at]);
    lines.join("\n") + "\n"
}

fn refused(result: &RunResult, file: &str) -> Result<Extent, Unreadable> {
    Frames::new(result, file.as_bytes(), "a run").and_then(recording::extent)
}

#[test]
fn series_that_are_not_whole_are_refused_with_the_line_and_what_is_wrong() {
    let cut = lines()[..6 * 9].join("\n") + "\n";
    let without = |at: usize| {
        let mut lines = lines();
        lines.remove(at);
        lines.join("\n")
    };
    let table: Vec<(&str, String, &str)> = vec![
        ("no line", String::new(), "ends at 0 s, and the run at 10 s: the file was cut off"),
        ("nine of ten seconds", cut.clone(), "ends at 9 s, and the run at 10 s: the file was cut off"),
        ("half a line", file()[..5_000].to_owned(), "EOF while parsing"),
        ("no JSON", with(7, |_| "null and void".to_owned()), "series.ndjson, line 8: "),
        ("an empty line", with(7, |_| String::new()), "line 8: EOF"),
        (
            "another arm",
            with(0, |line| line.replace("control", "kontrol")),
            "line 1: there is no arm `kontrol`",
        ),
        ("another seed", with(0, |line| line.replace("\"seed\":1", "\"seed\":2")), "seed 2 is not the first"),
        (
            "a new service",
            with(6, |line| line.replace("api", "apy")),
            "line 7: the first second of control has no service `apy`",
        ),
        ("no db", without(7), "second 2 of control: no line of db"),
        ("no users", without(8), "second 2 of control: 0 lines of its users"),
        ("twice the same", with(7, |line| format!("{line}\n{line}")), "second 2 of control: two lines of db"),
        (
            "users twice",
            with(8, |line| format!("{line}\n{line}")),
            "second 2 of control: 2 lines of its users",
        ),
        (
            "a gap",
            lines().into_iter().filter(|line| !line.contains("\"t\":4,")).collect::<Vec<_>>().join("\n"),
            "second 4 is missing",
        ),
        ("backwards", with(12, |line| line.replace("\"t\":3", "\"t\":1")), "1 s comes twice"),
        (
            "the far future",
            with(12, |line| line.replace("\"t\":3", "\"t\":4000000000")),
            "second 3 is missing",
        ),
        ("second zero", with(0, |line| line.replace("\"t\":1", "\"t\":0")), "line 1: `t` counts from 1"),
        ("no number", with(0, |line| line.replace("\"t\":1", "\"t\":\"1\"")), "line 1: invalid type"),
        (
            "a flow of another version",
            with(0, |line| line.replace("\"flows\":{", "\"flows\":{\"x\":1,")),
            "no flow `x`",
        ),
        ("too late", with(12, |line| line.replace("control", "disable-retries")), "second 3 of control: "),
    ];
    let result = result();
    for (what, file, said) in table {
        let why = refused(&result, &file).expect_err(what).to_string();
        assert!(why.contains(said), "{what}: {why}");
    }
    // One that says of itself that it was interrupted is shown as far as it went.
    let partial = RunResult { partial: true, ..result };
    let extent = refused(&partial, &cut).expect("it says so");
    assert_eq!((extent.interrupted, extent.last), (Some(9), SECONDS + TAIL + 1));
}

#[test]
fn an_arm_that_ends_before_the_others_ends_there_and_does_not_come_back() {
    let ended = |line: &&String| {
        !line.contains("disable-retries") || !line.contains("\"t\":9,") && !line.contains("\"t\":10,")
    };
    let mut result = result();
    result.partial = true;
    let all = lines();
    let file = all.iter().filter(ended).cloned().collect::<Vec<_>>().join("\n");
    let why = refused(&result, &file).unwrap_err().to_string();
    assert!(why.contains("second 11 of disable-retries: it had ended before"), "{why}");
    let file: Vec<_> = all
        .iter()
        .filter(ended)
        .filter(|line| !line.contains("\"t\":1") || line.contains("\"t\":1,") || line.contains("control"))
        .cloned()
        .collect();
    let (_, shown) = shown(&result, &file.join("\n"));
    let last = |arm| of(&shown, "pumphandle_queue", &[("arm", arm), ("service", "db")]).last().unwrap().0;
    assert_eq!((last("control"), last("disable-retries")), (10, 8));
}

#[test]
fn documents_that_are_no_runs_are_refused() {
    let text = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut json = serde_json::to_value(result()).unwrap();
        change(&mut json);
        json.to_string()
    };
    for (text, said) in [
        (String::new(), "it is not what `pumphandle run` writes"),
        ("{\"x\": 1}".to_owned(), "missing field"),
        (text(&|it| it["schema"] = 2.into()), "schema 2, and this version reads 1"),
        (text(&|it| it["windows_s"]["end"] = (-1).into()), "a run of -1 s is none"),
        (text(&|it| it["windows_s"]["end"] = 1e300.into()), "is none"),
        (text(&|it| it["seeds"] = serde_json::json!([])), "no seed"),
        (text(&|it| it["arms"] = serde_json::json!([])), "no arm"),
        (text(&|it| it["arms"][1]["arm"] = "control".into()), "two arms of one name"),
    ] {
        let why = recording::result(&text).expect_err(said).to_string();
        assert!(why.contains(said), "{why}");
    }
    assert!(recording::result(&text(&|_| {})).is_ok());
    for (name, said) in
        [("live", "needs another name"), ("", "no name"), ("a\nb", "no name"), (&"x".repeat(101), "no name")]
    {
        assert!(recording::misnamed(name).is_some_and(|why| why.contains(said)), "{name}");
    }
    assert_eq!(recording::misnamed("retry-storm-8462"), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn bytes_changed_anywhere_are_read_or_refused_and_nothing_panics(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
        whole in any::<bool>(),
    ) {
        let mut bytes = file().into_bytes();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if !whole {
            bytes.truncate(cut.index(bytes.len()));
        }
        let result = result();
        let read = Frames::new(&result, bytes.as_slice(), "a run").and_then(recording::extent);
        if read.is_ok() {
            let mut batches = Batches::new(Frames::new(&result, bytes.as_slice(), "a run").unwrap(), 0);
            let mut received = wire::Received::new();
            while let Some(batch) = batches.next().unwrap() {
                wire::receive(&batch.body, &mut received);
            }
            for samples in received.values() {
                prop_assert!(samples.windows(2).all(|pair| pair[0].0 < pair[1].0));
            }
        }
    }

    #[test]
    fn any_numbers_make_series_that_only_grow_and_levels_that_are_what_they_were(
        flows in prop::collection::vec(any::<[u64; 4]>(), 3), stocks in any::<[u32; 6]>(), t in 1_u32..4,
    ) {
        let mut result = result();
        result.arms.truncate(1);
        result.windows_s.end = 3.0;
        let line = |t: u32| {
            let some = flows[t as usize - 1];
            let stock = StockRow { level: stocks[0], inflow: stocks[1], outflow: stocks[2], integral_ns: some[1] };
            let line = ServiceLine {
                flows: Flows([some[0]; FLOWS]), stocks: Stocks([stock; STOCKS]), ..service(t, "control", 0)
            };
            let settled = Settled { good: stocks[3], within_s: Latencies([stocks[4]; LATENCY_BUCKETS.len() + 1]),
                waited_ns: some[2], ..Settled::default() };
            let users = UsersLine { arrivals: stocks[5], settled, ..users(t, "control", 0) };
            serde_json::to_string(&line).unwrap() + "\n" + &serde_json::to_string(&users).unwrap() + "\n"
        };
        let file: String = (1..=3).map(line).collect();
        let (series, shown) = shown(&result, &file);
        for it in series.iter().filter(|it| it.kind != Kind::Gauge) {
            let values = &shown[&labels(it)].0;
            prop_assert!(values.windows(2).all(|pair| pair[0].1 <= pair[1].1), "{:?}", it);
        }
        let level = of(&shown, "pumphandle_queue", &[("service", "api")]);
        prop_assert_eq!(level[t as usize], (t, f64::from(stocks[0])));
    }
}
