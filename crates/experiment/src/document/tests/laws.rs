//! What holds for every text: nothing panics, positions lie inside the text, and what stands at the
//! position of an unquoted value is that value.

use proptest::prelude::*;
use serde_json::Value;

use super::demo::{Demo, GOOD, formats, schema, seen};
use crate::document::{Document, MAX_DEPTH, MAX_NODES, Part, Path, Segment, Span, Style};

fn paths(value: &Value) -> Vec<Path> {
    let mut all = vec![Path::root()];
    let mut at = 0;
    while at < all.len() {
        let path = all[at].clone();
        let value = path.segments().iter().fold(value, |value, segment| match segment {
            Segment::Key(key) => &value[key.as_str()],
            Segment::Index(index) => &value[*index],
        });
        match value {
            Value::Object(map) => all.extend(map.keys().map(|key| path.join(key))),
            Value::Array(list) => all.extend((0..list.len()).map(|index| path.join(index))),
            _ => {}
        }
        at += 1;
    }
    all
}

/// The lines of YAML 1.2, found in another way than the module finds them.
fn lines(text: &str) -> Vec<String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.replace("\r\n", "\n").replace('\r', "\n").split('\n').map(str::to_owned).collect()
}

fn text_at(text: &str, span: Span) -> Option<String> {
    let lines = lines(text);
    let line: Vec<char> = lines.get(span.line as usize - 1)?.chars().collect();
    let start = span.column as usize - 1;
    line.get(start..start + span.len as usize).map(|chars| chars.iter().collect())
}

/// Whatever the text, it is read or refused with at least one problem inside the text; what is read has
/// its positions right.
fn positions_hold(text: &str) -> Result<(), TestCaseError> {
    let document = match Document::parse("x.yaml", text) {
        Ok(document) => document,
        Err(unreadable) => {
            prop_assert!(!unreadable.problems().is_empty());
            for problem in unreadable.problems() {
                let inside = problem.span.is_none_or(|span| text_at(text, span).is_some());
                prop_assert!(inside, "{problem:?} is outside of {text:?}");
            }
            prop_assert!(unreadable.render(Style::Ansi).ends_with("nothing was run\n"));
            return Ok(());
        }
    };
    for path in paths(document.value()) {
        for part in [Part::Key, Part::Value] {
            let span = document.span(&path, part).expect("the path was found in the document");
            prop_assert!(text_at(text, span).is_some(), "{path} {part:?} {span:?} is outside of {text:?}");
        }
        key_is_at_its_span(&document, text, &path)?;
        plain_text_is_at_its_span(&document, text, &path)?;
        document.why(&path);
    }
    prop_assert!(document.numbers().iter().all(|path| document.get(path).is_some()));
    let problems = document.check(&schema(), &formats());
    if problems.is_empty() {
        document.read::<Demo>(&schema(), &formats()).expect("what the schema accepts, the types accept");
    } else {
        prop_assert!(problems.render(&document, Style::Plain).contains(" │ "));
    }
    Ok(())
}

fn key_is_at_its_span(document: &Document, text: &str, path: &Path) -> Result<(), TestCaseError> {
    let Some(key) = path.last_key() else { return Ok(()) };
    let span = document.span(path, Part::Key).expect("the path was found in the document");
    let written = text_at(text, span).expect("checked by the caller");
    let bare = written.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(&written);
    let escaped = written.contains(['\\', '\'']);
    prop_assert!(escaped || bare == key, "{path}: {written:?} in {text:?}");
    Ok(())
}

fn plain_text_is_at_its_span(document: &Document, text: &str, path: &Path) -> Result<(), TestCaseError> {
    let Some(plain) = document.plain_text(path) else { return Ok(()) };
    let span = document.span(path, Part::Value).expect("the path was found in the document");
    let written = text_at(text, span).expect("checked by the caller");
    match document.get(path) {
        Some(Value::String(value)) => {
            prop_assert_eq!(&written, value);
            prop_assert_eq!(&plain, value);
        }
        Some(Value::Number(number)) if number.is_i64() && written.parse::<i64>().is_ok() => {
            prop_assert_eq!(written.parse::<i64>().ok(), number.as_i64());
        }
        _ => {}
    }
    Ok(())
}

/// Pieces that YAML gives a meaning to.
#[rustfmt::skip]
const PIECES: &[&str] = &[
    "a", "b: ", "- ", "\n", "\n  ", "\n    ", "{", "}", "[", "]", ",", ": ", "? ", "|", ">-", "\n\t", "\"", "'", "#",
    " # why: x", "&a ", "*a", "!t ", "!!int ", "---\n", "...\n", "%YAML 1.2\n", "<<: ", "1", "-3", "0x1F", "1e9", ".inf",
    "~", "true", "é", "日本", "\u{feff}", "\r\n", "\r", "\u{2028}", "\u{85}", "\0", "\u{1b}[31m", "\\", "@", "`", "load",
    "arrivals: ", "services:\n  x: ", "poisson: 1/s", " ", "  ",
];

fn fragment() -> impl Strategy<Value = String> {
    prop::sample::select(PIECES).prop_map(str::to_owned)
}

pub(super) fn mutated() -> impl Strategy<Value = String> {
    let edits = prop::collection::vec((any::<prop::sample::Index>(), 0..12usize, fragment()), 1..6);
    edits.prop_map(|edits| {
        let mut chars: Vec<char> = GOOD.chars().collect();
        for (at, removed, inserted) in edits {
            let at = at.index(chars.len());
            let end = (at + removed).min(chars.len());
            chars.splice(at..end, inserted.chars());
        }
        chars.into_iter().collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_text_is_read_or_refused(text in any::<String>()) {
        positions_hold(&text)?;
    }

    #[test]
    fn pieces_of_yaml_in_any_order_are_read_or_refused(pieces in prop::collection::vec(fragment(), 0..40)) {
        positions_hold(&pieces.concat())?;
    }

    #[test]
    fn a_good_file_with_slips_is_read_or_refused(text in mutated()) {
        positions_hold(&text)?;
    }

    #[test]
    fn line_breaks_of_other_systems_change_nothing(text in mutated()) {
        let unix = text.replace("\r\n", "\n").replace('\r', "\n");
        let windows = unix.replace('\n', "\r\n");
        prop_assert_eq!(seen(&unix), seen(&windows));
    }

    #[test]
    fn numbers_are_read_as_rust_reads_them(number in -1_000_000_000_000_000_000i64..=1_000_000_000_000_000_000, real in -1e17..1e17f64) {
        let document = Document::parse("x.yaml", &format!("[{number}, {real:?}, {real:e}]")).expect("both are numbers");
        prop_assert_eq!(document.value(), &serde_json::json!([number, real, real]));
    }
}

#[test]
fn a_good_file_has_its_positions_right() {
    positions_hold(GOOD).expect("they hold for all texts");
    let document = Document::parse("x.yaml", GOOD).expect("it is good");
    let at = |path: Path, part| document.span(&path, part).map(|span| (span.line, span.column, span.len));
    assert_eq!(at(["services", "client"].into(), Part::Key), Some((12, 3, 8)));
    assert_eq!(at(["services", "überlast", "workers"].into(), Part::Value), Some((19, 24, 1)));
    assert_eq!(at(Path::from(["timeline"]).join(0), Part::Value), Some((21, 5, 2)));
    assert_eq!(at(Path::from(["nobody"]), Part::Key), None);
    assert_eq!(document.line(&["services", "api", "nothing"].into()), 13);
}

#[test]
fn limits_are_inclusive() {
    let nested = |levels: usize| format!("{}x{}", "[".repeat(levels), "]".repeat(levels));
    assert!(Document::parse("x.yaml", &nested(MAX_DEPTH)).is_ok());
    assert!(Document::parse("x.yaml", &nested(MAX_DEPTH + 1)).is_err());
    // The list counts as a value too.
    let long = |values: usize| "- 1\n".repeat(values - 1);
    assert!(Document::parse("x.yaml", &long(MAX_NODES)).is_ok());
    assert!(Document::parse("x.yaml", &long(MAX_NODES + 1)).is_err());
}

#[test]
fn aliases_stand_for_what_they_name_and_depth_counts_through_them() {
    let document = Document::parse("x.yaml", "a: &a { x: [1, 2] }\nb: *a\n").expect("it is good");
    assert_eq!(document.value(), &serde_json::json!({ "a": { "x": [1, 2] }, "b": { "x": [1, 2] } }));
    let half = MAX_DEPTH / 2;
    let deep = |levels: usize| {
        format!(
            "a: &a {}{}\nb: {}*a{}\n",
            "[".repeat(half),
            "]".repeat(half),
            "[".repeat(levels),
            "]".repeat(levels)
        )
    };
    assert!(Document::parse("x.yaml", &deep(MAX_DEPTH - half - 1)).is_ok());
    assert!(Document::parse("x.yaml", &deep(MAX_DEPTH - half)).is_err());
}
