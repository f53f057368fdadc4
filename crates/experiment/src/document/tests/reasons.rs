//! Which `# why:` comment is for which number.

use crate::document::{Document, Path, Segment, Why, WhyKind};

fn parse(text: &str) -> Document {
    Document::parse("x.yaml", text).expect("the examples are good")
}

/// `a.b[0]` as a path, for keys without dots.
fn path(text: &str) -> Path {
    text.split(['.', '['])
        .map(|part| match part.strip_suffix(']') {
            Some(index) => Segment::Index(index.parse().expect("an index")),
            None => Segment::from(part),
        })
        .collect()
}

fn reason(text: &str, at: &str) -> Option<String> {
    parse(text).why(&path(at)).map(|why| why.text)
}

#[test]
fn a_reason_is_found_where_a_person_would_look_for_it() {
    let cases = [
        ("behind the value", "a: 1  # why: x", "a", Some("x")),
        ("above the key", "# why: x\na: 1", "a", Some("x")),
        ("not below it", "a: 1\n# why: x\nb: 2", "a", None),
        ("for all values of a line", "a: { b: 1, c: [2, 3] }  # why: x", "a.c[1]", Some("x")),
        ("inherited from the key of a block", "a:  # why: x\n  b:\n    c: 1", "a.b.c", Some("x")),
        ("inherited from above the key", "# why: x\na:\n  b:\n    - 1\n    - 2", "a.b[1]", Some("x")),
        ("the nearest wins", "# why: x\na:\n  b: 1\n  c: 2  # why: y", "a.c", Some("y")),
        ("behind wins over above", "# why: x\na: 1  # why: y", "a", Some("y")),
        ("not from a sibling", "a: 1  # why: x\nb: 2", "b", None),
        ("not from the first key of the file", "# why: x\na: 1\nb: 2", "b", None),
        (
            "above a list entry, for all of it",
            "# why: y\nl:\n  # why: x\n  - a: 1\n    b: 2",
            "l[0].b",
            Some("x"),
        ),
        ("behind a list entry, for its line only", "l:\n  - a: 1  # why: x\n    b: 2", "l[0].b", None),
        ("each line of a list over several", "l: [\n  1, # why: x\n  2, # why: y\n]", "l[1]", Some("y")),
        ("a blank line cuts it off", "# why: x\n\na: 1", "a", None),
        ("other comments between do not", "# why: x\n\n# why: y\n# ---\na: 1", "a", Some("y ---")),
        ("over several lines", "# why: x\n# and\n# y\na: 1", "a", Some("x and y")),
        ("behind, over several aligned lines", "a: 1  # why: x\n      # y\nb: 1", "a", Some("x y")),
        ("a comment elsewhere is not its rest", "a: 1  # why: x\n# y\nb: 1", "a", Some("x")),
        ("of an alias, where its target has none", "a: &q [1]\nb: *q  # why: x", "b[0]", Some("x")),
        ("of an alias, the target's first", "a: &q [1]  # why: y\nb: *q  # why: x", "b[0]", Some("y")),
        ("an empty one is none", "a: 1  # why:", "a", None),
        ("other comments are none", "a: 1  # because", "a", None),
        ("glued to the value is none", "a: 1s# why:x", "a", None),
        ("inside quotes is none", "a: \"1 # why: x\"", "a", None),
        ("behind quotes that hold one", "a: \"1 # why: x\"  # why: y", "a", Some("y")),
        ("behind a quoted key with one", "\"a # why: x\": 1  # why: y", "a # why: x", Some("y")),
        ("inside quotes over lines is none", "a: '1\n  # why: x\n  b'\nc: 2", "c", None),
        ("inside a text block is none", "a: |\n  x\n  # why: x\nb: 2", "b", None),
        ("behind a text block's end", "a: |\n  x\n# why: x\nb: 2", "b", Some("x")),
        ("after text beyond ASCII", "ä: { ö: 1 }  # why: ü", "ä.ö", Some("ü")),
        ("with Windows line breaks", "a:\r\n  b: 1 # why: x\r\n  c: 2\r\n", "a.b", Some("x")),
    ];
    for (case, text, at, expected) in cases {
        assert_eq!(reason(text, at).as_deref(), expected, "{case}: {text:?}");
    }
}

#[test]
fn the_first_words_say_what_kind_of_reason_it_is() {
    let cases = [
        ("lesson", WhyKind::Lesson, ""),
        ("lesson: two thirds", WhyKind::Lesson, "two thirds"),
        ("source; HikariCP's default", WhyKind::Source, "HikariCP's default"),
        ("free choice; above 30 s it is the same", WhyKind::Free, "above 30 s it is the same"),
        ("free: x", WhyKind::Other, "free: x"),
        ("lessons: x", WhyKind::Other, "lessons: x"),
        ("one per pooled connection", WhyKind::Other, "one per pooled connection"),
    ];
    for (text, kind, rest) in cases {
        let why = parse(&format!("a: 1  # why: {text}")).why(&path("a"));
        assert_eq!(why, Some(Why { kind, text: rest.to_owned() }));
    }
}

#[test]
fn numbers_are_numeric_values_and_text_that_starts_like_a_quantity() {
    let document = parse(
        "a: 1\nb: [1.5, x, 100/s, { c: 10% }]\nd: '2s'\ne: 1m 30s\nf: -3ms\ng: 3 replicas fail\nh: v2\ni: true\nj: ~\n",
    );
    let numbers: Vec<String> = document.numbers().iter().map(ToString::to_string).collect();
    assert_eq!(numbers, ["a", "b[0]", "b[2]", "b[3].c", "d", "e", "f"]);
}
