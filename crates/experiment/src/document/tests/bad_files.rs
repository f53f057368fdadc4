//! Files that are not scenarios, and what a person sees for each: all of it but the first and the last line.

use super::demo::seen;
use crate::document::{Document, Formats, MAX_BYTES, MAX_KEY_CHARS, MAX_PROBLEMS, Path, Problems, Style};

/// The text of a file, and the problems as shown.
type Case = (&'static str, &'static str);

fn shows(cases: &[Case]) {
    for (text, expected) in cases {
        let seen = seen(text);
        let (head, body) = seen.split_once('\n').unwrap_or_else(|| panic!("nothing is wrong with {text:?}"));
        assert!(head.starts_with("error: mine.yaml is not a scenario that can run ("), "{head}");
        let body = body.strip_suffix("\nnothing was run\n").expect("it ends so");
        assert_eq!(body, *expected, "for {text:?}, it shows:\n{body}");
    }
}

#[test]
fn what_is_not_yaml_is_shown_where_it_breaks() {
    shows(NOT_YAML);
}

#[test]
fn yaml_that_could_mislead_is_refused() {
    shows(REFUSED);
}

#[test]
fn unknown_and_missing_fields_are_named() {
    shows(FIELDS);
}

#[test]
fn values_say_what_was_expected_and_what_was_found() {
    shows(VALUES);
}

#[test]
fn a_slip_in_the_tag_of_an_enum_is_told_from_a_slip_inside_it() {
    shows(KINDS);
}

#[test]
fn problems_of_a_union_are_those_of_the_branch_that_was_meant() {
    shows(UNIONS);
}

#[test]
fn carets_stand_under_the_cause_in_any_line() {
    shows(LAYOUT);
}

#[test]
fn the_first_line_counts_the_problems() {
    let head = |text: &str| seen(text).lines().next().map(str::to_owned);
    let line = |count: &str| Some(format!("error: mine.yaml is not a scenario that can run ({count})"));
    assert_eq!(head("scenario: x\nload: 1\n"), line("1 problem"));
    assert_eq!(head("{}"), line("2 problems"));
    let many: String = (0..=MAX_PROBLEMS).map(|index| format!("unknown-{index}: 1\n")).collect();
    assert_eq!(head(&many), line("the first 100 problems"));
}

#[test]
fn colours_change_nothing_but_the_colours() {
    let unreadable = Document::parse("mine.yaml", "a: [\n").expect_err("the list is not closed");
    let (plain, colour) = (unreadable.render(Style::Plain), unreadable.render(Style::Ansi));
    assert!(colour.contains("\u{1b}[") && !plain.contains('\u{1b}'));
    let mut stripped = String::new();
    for (index, part) in colour.split("\u{1b}[").enumerate() {
        stripped.push_str(if index == 0 { part } else { part.split_once('m').expect("a colour").1 });
    }
    assert_eq!(stripped, plain);
}

#[test]
fn a_problem_named_by_path_is_shown_at_it_or_at_the_nearest_key_around_it() {
    let text = "levers:
  larger-pool: {}
claims:
  - faster: { arm: larger-poool, recovers_within: 30s }
";
    let document = Document::parse("scenarios/mine.yaml", text).expect("it is good YAML");
    let claim = Path::from(["claims"]).join(0).join("faster");
    let mut problems = Problems::new();
    problems.at_value(&claim.join("arm"), "no such lever").help("this file has: larger-pool");
    problems.at_key(&Path::from(["levers", "larger-pool", "set"]), "a lever must set something");
    problems.at_key(&claim, "a claim needs a verdict");
    let expected = r#"error: scenarios/mine.yaml is not a scenario that can run (3 problems)

   2 │   larger-pool: {}
     │   ^^^^^^^^^^^ a lever must set something
   4 │   - faster: { arm: larger-poool, recovers_within: 30s }
     │     ^^^^^^ a claim needs a verdict
     │                    ^^^^^^^^^^^^ no such lever
     │                    help: this file has: larger-pool

nothing was run
"#;
    assert_eq!(problems.render(&document, Style::Plain), expected);
}

#[test]
fn should_a_type_refuse_what_its_schema_accepts_that_is_a_problem_too() {
    let document = Document::parse(
        "mine.yaml",
        "a: 1
",
    )
    .expect("it is good YAML");
    let refusal = document.read::<Vec<u8>>(&serde_json::json!({ "type": "object" }), &Formats::new());
    let problems = refusal.expect_err("a mapping is no list");
    assert!(problems.render(&document, Style::Plain).contains("invalid type: map, expected a sequence"));
}

#[test]
fn bombs_are_refused_before_they_go_off() {
    let nine = |levels: usize| {
        let level =
            |index: usize| format!("a{index}: &a{index} [{}]\n", format!("*a{}, ", index - 1).repeat(10));
        format!("a0: &a0 [x]\n{}", (1..=levels).map(level).collect::<String>())
    };
    let cases = [
        (nine(9), "more than 100000 values, with aliases written out"),
        (
            format!("a: &a {}\nb: [{}]\n", "x".repeat(1000), "*a, ".repeat(9000)),
            "more than 4194304 characters, with",
        ),
        (format!("a: {}\n", "[".repeat(70)), "nested more than 64 levels deep"),
        ("- ".repeat(MAX_BYTES / 2), "nested more than 64 levels deep"),
        ("[".repeat(MAX_BYTES), "nested too deep"),
        ("#".repeat(MAX_BYTES + 1), "the file has 1048577 bytes; at most 1048576 are read"),
        ("- 1\n".repeat(MAX_BYTES / 4), "more than 100000 values"),
        (format!("? {}\n: 1\n", "k".repeat(MAX_KEY_CHARS + 1)), "a key of more than 200 characters"),
    ];
    for (text, expected) in cases {
        let unreadable = Document::parse("mine.yaml", &text).expect_err(expected);
        assert_eq!(unreadable.problems().len(), 1);
        assert!(unreadable.to_string().contains(expected), "{unreadable}");
    }
    assert!(Document::parse("mine.yaml", &nine(3)).is_ok());
}

const NOT_YAML: &[Case] = &[
    (
        "a: [1, 2\nb: 3\n",
        r#"
   2 │ b: 3
     │  ^ a `:` where no key can be
     │  help: is a `]` or `}` missing before?
"#,
    ),
    (
        "a: b: c\n",
        r#"
   1 │ a: b: c
     │     ^ a `:` where no key can be
     │     help: check the indentation, or put text with a colon in quotes
"#,
    ),
    (
        "a: 1\n b: 2\n",
        r#"
   2 │  b: 2
     │   ^ a `:` where no key can be
     │   help: check the indentation, or put text with a colon in quotes
"#,
    ),
    (
        "a: \"x\n",
        r#"
   1 │ a: "x
     │    ^ a quote that is never closed
"#,
    ),
    (
        "a: 'x'y\n",
        r#"
   1 │ a: 'x'y
     │       ^ text behind a closing quote
     │       help: put all of it in quotes, or nothing
"#,
    ),
    (
        "a: {b: 1}}\n",
        r#"
   1 │ a: {b: 1}}
     │          ^ a bracket that closes nothing
"#,
    ),
    (
        "a: {b: 1\n",
        r#"
   1 │ a: {b: 1
     │         ^ expected `,` or `}`
     │         help: a `{` above is not closed
"#,
    ),
    (
        "a: [1,\n",
        r#"
   1 │ a: [1,
     │       ^ expected a value
"#,
    ),
    (
        "a: @x\n",
        r#"
   1 │ a: @x
     │    ^ text cannot start with this character
     │    help: put it in quotes
"#,
    ),
    (
        "a: *q\n",
        r#"
   1 │ a: *q
     │    ^^ an alias of nothing above
     │    help: text that starts with `*` needs quotes
"#,
    ),
    (
        "a: - b\n",
        r#"
   1 │ a: - b
     │    ^ a list entry `- ` must start its own line
"#,
    ),
    (
        "a:\n\tb: 1\n",
        r#"
   2 │  b: 1
     │ ^ a tab in the indentation
     │ help: YAML indents with spaces
"#,
    ),
    (
        "\ta: 1\n",
        r#"
   1 │  a: 1
     │ ^ a tab in the indentation
     │ help: YAML indents with spaces
"#,
    ),
    (
        "a:\n  - b\n c\n",
        r#"
   3 │  c
     │  ^ expected a key
     │  help: the indentation fits no line above
"#,
    ),
    (
        "a: x\0y\n",
        r#"
   1 │ a: x�y
     │     ^ the character U+0000 cannot be in a YAML file
"#,
    ),
    (
        "a: \u{1b}[31mred\n",
        r#"
   1 │ a: �[31mred
     │    ^ the character U+001B cannot be in a YAML file
"#,
    ),
    (
        "a: right\u{202e}tfel\n",
        r#"
   1 │ a: right�tfel
     │         ^ the character U+202E cannot be in a YAML file
"#,
    ),
    (
        "a: \"\\e[2J\"\n",
        r#"
   1 │ a: "\e[2J"
     │    ^^^^^^^ the character U+001B cannot be in a scenario
"#,
    ),
    (
        "\"\\u009b2J\": 1\n",
        r#"
   1 │ "\u009b2J": 1
     │ ^^^^^^^^^^ the character U+009B cannot be in a scenario
"#,
    ),
    (
        "a: \"\\q\"\n",
        r#"
   1 │ a: "\q"
     │    ^ a backslash that YAML does not know
     │    help: in single quotes it stands for itself
"#,
    ),
    (
        "- a\nb: 1\n",
        r#"
   2 │ b: 1
     │ ^ expected a list entry `- `
     │ help: a list and fields cannot be mixed
"#,
    ),
];

const REFUSED: &[Case] = &[
    (
        "",
        r#"
  the file is empty
"#,
    ),
    (
        "# only a comment\n",
        r#"
  the file is empty
"#,
    ),
    (
        "\u{feff}\n \n",
        r#"
  the file is empty
"#,
    ),
    (
        "a: 1\n---\nb: 2\n",
        r#"
   2 │ ---
     │ ^^^ a second YAML document starts here; a scenario file holds one
"#,
    ),
    (
        "a: 1\nb: { c: 1, d: 2, c: 3 }\na: 2\n",
        r#"
   2 │ b: { c: 1, d: 2, c: 3 }
     │                  ^ the key `c` is already given on line 2
   3 │ a: 2
     │ ^ the key `a` is already given on line 1
"#,
    ),
    (
        "1: x\ntrue: x\n~: x\n",
        r#"
   1 │ 1: x
     │ ^ the key `1` is not text
     │ help: put it in quotes
   2 │ true: x
     │ ^^^^ the key `true` is not text
     │ help: put it in quotes
   3 │ ~: x
     │ ^ the key `~` is not text
     │ help: put it in quotes
"#,
    ),
    (
        "? [a]\n: 3\n? {b: 1}\n: 4\n",
        r#"
   1 │ ? [a]
     │   ^^^ a key that is not text
   3 │ ? {b: 1}
     │   ^^^^^^ a key that is not text
"#,
    ),
    (
        "? |\n  a\n: 3\n",
        r#"
   2 │   a
     │   ^ a key over several lines
     │   help: a key is a short name
"#,
    ),
    (
        "a: &a { x: 1 }\nb: { <<: *a, y: 2 }\n",
        r#"
   2 │ b: { <<: *a, y: 2 }
     │      ^^ merge keys are not read
     │      help: write the fields out
"#,
    ),
    (
        "a: !t 3\nb: !!str 3\nc: !x { d: 1 }\n",
        r#"
   1 │ a: !t 3
     │    ^^ a YAML tag; types follow from the field, not from tags
   2 │ b: !!str 3
     │    ^^^^^ a YAML tag; types follow from the field, not from tags
   3 │ c: !x { d: 1 }
     │    ^^ a YAML tag; types follow from the field, not from tags
"#,
    ),
    (
        "a: &x { b: *x }\n",
        r#"
   1 │ a: &x { b: *x }
     │            ^^ an alias inside of what it stands for
"#,
    ),
    (
        "a: .inf\nb: -.Inf\nc: .nan\n",
        r#"
   1 │ a: .inf
     │    ^^^^ expected a finite number, found `.inf`
   2 │ b: -.Inf
     │    ^^^^^ expected a finite number, found `-.Inf`
   3 │ c: .nan
     │    ^^^^ expected a finite number, found `.nan`
"#,
    ),
    (
        "a: 1e400\nb: 9999999999999999999999\nc: -1000000000000000001\nd: 0xFFFFFFFFFFFFFFFF\n",
        r#"
   1 │ a: 1e400
     │    ^^^^^ the number `1e400` is beyond 1e18
   2 │ b: 9999999999999999999999
     │    ^^^^^^^^^^^^^^^^^^^^^^ the number `9999999999999999999999` is beyond 1e18
   3 │ c: -1000000000000000001
     │    ^^^^^^^^^^^^^^^^^^^^ the number `-1000000000000000001` is beyond 1e18
   4 │ d: 0xFFFFFFFFFFFFFFFF
     │    ^^^^^^^^^^^^^^^^^^ the number `0xFFFFFFFFFFFFFFFF` is beyond 1e18
"#,
    ),
    (
        "*a: 1\n",
        r#"
   1 │ *a: 1
     │ ^^ an alias of nothing above
     │ help: text that starts with `*` needs quotes
"#,
    ),
];

const FIELDS: &[Case] = &[
    (
        "{}",
        r#"
   1 │ {}
     │ ^^ missing field `scenario`
     │ help: scenario: The name on the command line
     │ ^^ missing field `load`
     │ help: load: What drives the system
"#,
    ),
    (
        "scenario:x\n",
        r#"
   1 │ scenario:x
     │ ^^^^^^^^^^ expected a mapping, found `scenario:x`
     │ help: write a space after the colon
"#,
    ),
    (
        "- a\n",
        r#"
   1 │ - a
     │   ^ expected a mapping, found a list
     │   help: its fields: scenario, load, services, timeline, window
"#,
    ),
    (
        "scenario: 404\nlod: {}\n",
        r#"
   1 │ scenario: 404
     │           ^^^ expected text, found 404
     │           help: put it in quotes
   2 │ lod: {}
     │ ^^^ unknown field `lod`; did you mean `load`?
"#,
    ),
    (
        "scenario: x\nload: { arrivals: none }\nextra: 1\n",
        r#"
   3 │ extra: 1
     │ ^^^^^ unknown field `extra`
     │ help: known fields: scenario, load, services, timeline, window
"#,
    ),
    (
        "scenario: x\nload: \n",
        r#"
   2 │ load:
     │ ^^^^ expected a mapping, found nothing
     │ help: its fields: arrivals, warm_up, shape
"#,
    ),
    (
        "scenario: x\nload: [1]\n",
        r#"
   2 │ load: [1]
     │       ^^^ expected a mapping, found a list
     │       help: its fields: arrivals, warm_up, shape
"#,
    ),
    (
        "scenario: x\nload: { arrivals: none }\nservices:\n  api: { workers: 1, workes: 3 }\n",
        r#"
   4 │   api: { workers: 1, workes: 3 }
     │                      ^^^^^^ unknown field `workes` of `services.api`
     │                      help: known fields: workers, queue, jitter, share, replicas, calls, enabled, service_time
"#,
    ),
    (
        "scenario: x\nload: { arrivals: none }\nservices:\n  api:\n    wrkers: 4\n    queue: 3\n",
        r#"
   5 │     wrkers: 4
     │     ^^^^^^ unknown field `wrkers` of `services.api`; did you mean `workers`?
"#,
    ),
    (
        "scenario: x\nload: { arrivals: none }\ntimeline:\n  - { do: restart, servce: x }\n  - do: restart\n    service: x\n    factor: 2\n",
        r#"
   4 │   - { do: restart, servce: x }
     │                    ^^^^^^ unknown field `servce` of `timeline[0]`; did you mean `service`?
   7 │     factor: 2
     │     ^^^^^^ unknown field `factor` of `timeline[1]`
     │     help: known fields: do, service
"#,
    ),
];

const VALUES: &[Case] = &[
    (
        "scenario: true\nload: { arrivals: none }\n",
        r#"
   1 │ scenario: true
     │           ^^^^ expected text, found `true`
     │           help: put it in quotes
"#,
    ),
    (
        "scenario: x\nload: { arrivals: none }\nservices:\n  api: { workers: 0 }\n  db: { workers: 1.5 }\n  c: { workers: -3 }\n  d: {}\n  e:\n  f: 1\n",
        r#"
   4 │   api: { workers: 0 }
     │                   ^ expected a whole number from 1 on, found 0
   5 │   db: { workers: 1.5 }
     │                  ^^^ expected a whole number from 1 on, found 1.5
   6 │   c: { workers: -3 }
     │                 ^^ expected a whole number from 1 on, found -3
   7 │   d: {}
     │   ^ missing field `workers` of `services.d`
     │   help: workers: How many requests are served at once
   8 │   e:
     │   ^ expected a mapping, found nothing
     │   help: its fields: workers, queue, jitter, share, replicas, calls, enabled, service_time
   9 │   f: 1
     │      ^ expected a mapping, found 1
     │      help: its fields: workers, queue, jitter, share, replicas, calls, enabled, service_time
"#,
    ),
    (
        "scenario: x\nload: { arrivals: none }\nservices:\n  api: { workers: 1, share: 1.5 }\n",
        r#"
   4 │   api: { workers: 1, share: 1.5 }
     │                             ^^^ expected a number from 0 to 1, found 1.5
"#,
    ),
    (
        "scenario: x\nload: { arrivals: none }\nservices:\n  api: { workers: 1, replicas: 256 }\n",
        r#"
   4 │   api: { workers: 1, replicas: 256 }
     │                                ^^^ expected a whole number from 0 to 255, found 256
"#,
    ),
    (
        "scenario: x\nload: { arrivals: none }\nservices:\n  api: { workers: 1, calls: [] }\n",
        r#"
   4 │   api: { workers: 1, calls: [] }
     │                             ^^ expected at least 1 entry, found none
"#,
    ),
    (
        "scenario: x\nload: { arrivals: none }\nservices:\n  api: { workers: 1, calls: [a, b, c, d] }\n",
        r#"
   4 │   api: { workers: 1, calls: [a, b, c, d] }
     │                             ^^^^^^^^^^^^ expected at most 3 entries, found 4
"#,
    ),
    (
        "scenario: x\nload: { arrivals: none }\nservices:\n  api: { workers: 1, calls: [a, 1] }\n",
        r#"
   4 │   api: { workers: 1, calls: [a, 1] }
     │                                 ^ expected text, found 1
     │                                 help: put it in quotes
"#,
    ),
    (
        "scenario: x\nload: { arrivals: none }\nservices:\n  api: { workers: 1, enabled: yes }\n",
        r#"
   4 │   api: { workers: 1, enabled: yes }
     │                               ^^^ expected `true` or `false`, found `yes`
"#,
    ),
    (
        "scenario: x\nload: { arrivals: none }\nservices:\n  api: { workers: 1, enabled: \"true\" }\n",
        r#"
   4 │   api: { workers: 1, enabled: "true" }
     │                               ^^^^^^ expected `true` or `false`, found the text `true`
     │                               help: remove the quotes
"#,
    ),
    (
        "scenario: x\nload: { arrivals: none }\nservices:\n  api: { workers: 1, share: \"0.5\" }\n",
        r#"
   4 │   api: { workers: 1, share: "0.5" }
     │                             ^^^^^ expected a number from 0 to 1, found the text `0.5`
     │                             help: remove the quotes
"#,
    ),
    (
        "scenario: x\nload: { arrivals: none }\nwindow: [1s]\n",
        r#"
   3 │ window: [1s]
     │         ^^^^ expected 2 entries, found 1
"#,
    ),
    (
        "scenario: x\nload: { arrivals: none }\nwindow: [1s, x]\n",
        r#"
   3 │ window: [1s, x]
     │              ^ expected a duration such as 250ms, 3s or 2m, found `x`
"#,
    ),
    (
        "scenario: x\nload: { arrivals: none, warm_up: 3 }\n",
        r#"
   2 │ load: { arrivals: none, warm_up: 3 }
     │                                  ^ expected a duration such as 250ms, 3s or 2m, found 3
"#,
    ),
    (
        "scenario: x\nload: { arrivals: none, warm_up: { a: 1 } }\n",
        r#"
   2 │ load: { arrivals: none, warm_up: { a: 1 } }
     │                                  ^^^^^^^^ expected a duration such as 250ms, 3s or 2m, found a mapping
"#,
    ),
    (
        "scenario: x\nload: { arrivals: { poisson: fast } }\n",
        r#"
   2 │ load: { arrivals: { poisson: fast } }
     │                              ^^^^ expected a rate such as 100/s, found `fast`
"#,
    ),
];

const KINDS: &[Case] = &[
    (
        "scenario: x\nload: { arrivals: { poison: 100/s } }\n",
        r#"
   2 │ load: { arrivals: { poison: 100/s } }
     │                     ^^^^^^ unknown kind of arrivals `poison`; did you mean `poisson`?
     │                     help: known: none, poisson, constant, steps
"#,
    ),
    (
        "scenario: x\nload: { arrivals: nne }\n",
        r#"
   2 │ load: { arrivals: nne }
     │                   ^^^ unknown kind of arrivals `nne`; did you mean `none`?
     │                   help: known: none, poisson, constant, steps
"#,
    ),
    (
        "scenario: x\nload: { arrivals: poisson }\n",
        r#"
   2 │ load: { arrivals: poisson }
     │                   ^^^^^^^ `poisson` needs a value of its own
     │                   help: write { poisson: … }
"#,
    ),
    (
        "scenario: x\nload: { arrivals: { none: 1 } }\n",
        r#"
   2 │ load: { arrivals: { none: 1 } }
     │                     ^^^^ `none` takes no value
     │                     help: write none alone
"#,
    ),
    (
        "scenario: x\nload: { arrivals: 5 }\n",
        r#"
   2 │ load: { arrivals: 5 }
     │                   ^ expected `none`, `poisson: …`, `constant: …` or `steps: …`, found 5
"#,
    ),
    (
        "scenario: x\nload: { arrivals: {} }\n",
        r#"
   2 │ load: { arrivals: {} }
     │                   ^^ expected `none`, `poisson: …`, `constant: …` or `steps: …`, found an empty mapping
"#,
    ),
    (
        "scenario: x\nload: { arrivals: { poisson: 1/s, constant: 1/s } }\n",
        r#"
   2 │ load: { arrivals: { poisson: 1/s, constant: 1/s } }
     │                                   ^^^^^^^^
     │   `poisson` and `constant` are two kinds of arrivals; only one can be given
"#,
    ),
    (
        "scenario: x\nload: { arrivals: { poisson: 1/s, foo: 1/s } }\n",
        r#"
   2 │ load: { arrivals: { poisson: 1/s, foo: 1/s } }
     │                                   ^^^ unknown field `foo` of `load.arrivals`
     │                                   help: known fields: poisson
"#,
    ),
    (
        "scenario: x\nload: { arrivals: none, shape: { poisn: 1/s } }\n",
        r#"
   2 │ load: { arrivals: none, shape: { poisn: 1/s } }
     │                                  ^^^^^ unknown kind of arrivals `poisn`; did you mean `poisson`?
     │                                  help: known: none, poisson, constant, steps
"#,
    ),
    (
        "scenario: x\nload:\n  arrivals:\n    steps:\n      - rate: 1/s\n        hlod: 3s\n      - 5\n",
        r#"
   6 │         hlod: 3s
     │         ^^^^ unknown field `hlod` of `arrivals.steps[0]`; did you mean `hold`?
   7 │       - 5
     │         ^ expected a mapping, found 5
     │         help: its fields: rate, hold
"#,
    ),
    (
        "scenario: x\nload: { arrivals: none }\nservices:\n  api: { workers: 1, jitter: ful }\n",
        r#"
   4 │   api: { workers: 1, jitter: ful }
     │                              ^^^ unknown kind of jitter `ful`; did you mean `full`?
     │                              help: known: full, equal, none
"#,
    ),
    (
        "scenario: x\nload: { arrivals: none }\nservices:\n  api: { workers: 1, jitter: 3 }\n",
        r#"
   4 │   api: { workers: 1, jitter: 3 }
     │                              ^ expected `full`, `equal` or `none`, found 3
"#,
    ),
    (
        "scenario: x\nload: { arrivals: none }\ntimeline:\n  - { do: slow_dwn }\n  - { service: x }\n  - do: 3\n",
        r#"
   4 │   - { do: slow_dwn }
     │           ^^^^^^^^ unknown kind of action `slow_dwn`; did you mean `slow_down`?
     │           help: known: slow_down, restart
   5 │   - { service: x }
     │     ^^^^^^^^^^^^^^ missing field `do` of `timeline[1]`
     │     help: do: `slow_down` or `restart`
   6 │   - do: 3
     │         ^ expected `slow_down` or `restart`, found 3
"#,
    ),
];

const UNIONS: &[Case] = &[
    (
        "scenario: x\nload: { arrivals: none }\nservices:\n  api: { workers: 1, queue: -3 }\n",
        r#"
   4 │   api: { workers: 1, queue: -3 }
     │                             ^^ expected a whole number from 0 on, found -3
"#,
    ),
    (
        "scenario: x\nload: { arrivals: none }\nservices:\n  api: { workers: 1, queue: unbuonded }\n",
        r#"
   4 │   api: { workers: 1, queue: unbuonded }
     │                             ^^^^^^^^^ unknown kind of queue `unbuonded`; did you mean `unbounded`?
     │                             help: known: unbounded
"#,
    ),
    (
        "scenario: x\nload: { arrivals: none }\nservices:\n  api: { workers: 1, queue: plenty }\n",
        r#"
   4 │   api: { workers: 1, queue: plenty }
     │                             ^^^^^^ expected a whole number from 0 on, a mapping, or `unbounded`, found `plenty`
"#,
    ),
    (
        "scenario: x\nload: { arrivals: none }\nservices:\n  api: { workers: 1, queue: { sise: 3 } }\n",
        r#"
   4 │   api: { workers: 1, queue: { sise: 3 } }
     │                               ^^^^ unknown field `sise` of `api.queue`; did you mean `size`?
"#,
    ),
    (
        "scenario: x\nload: { arrivals: none }\nservices:\n  api: { workers: 1, queue: [1] }\n",
        r#"
   4 │   api: { workers: 1, queue: [1] }
     │                             ^^^ expected a whole number from 0 on, a mapping, or `unbounded`, found a list
"#,
    ),
    (
        "scenario: x\nload: { arrivals: none }\nservices:\n  api: { workers: 1, service_time: fst }\n",
        r#"
   4 │   api: { workers: 1, service_time: fst }
     │                                    ^^^ expected a duration such as 250ms, 3s or 2m, found `fst`
"#,
    ),
    (
        "scenario: x\nload: { arrivals: none }\nservices:\n  api: { workers: 1, service_time: 3 }\n",
        r#"
   4 │   api: { workers: 1, service_time: 3 }
     │                                    ^
     │   expected a duration such as 250ms, 3s or 2m, or `exponential: …` or `uniform: …`, found 3
"#,
    ),
    (
        "scenario: x\nload: { arrivals: none }\nservices:\n  api: { workers: 1, service_time: { expnential: 1s } }\n",
        r#"
   4 │   api: { workers: 1, service_time: { expnential: 1s } }
     │                                      ^^^^^^^^^^
     │   unknown kind of service time `expnential`; did you mean `exponential`?
     │   help: known: exponential, uniform
"#,
    ),
    (
        "scenario: x\nload: { arrivals: none }\nservices:\n  api: { workers: 1, service_time: { uniform: { from: 1s } } }\n",
        r#"
   4 │   api: { workers: 1, service_time: { uniform: { from: 1s } } }
     │                                      ^^^^^^^ missing field `to` of `service_time.uniform`
"#,
    ),
];

const LAYOUT: &[Case] = &[
    (
        "scenario: x\nload: { arrivals: none, zzzz: \"012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\", warm_up: x }\n",
        r#"
   2 │ load: { arrivals: none, zzzz: "01234567890123456789012345678901234567890123456789012345678901234…
     │                         ^^^^ unknown field `zzzz` of `load`
     │                         help: known fields: arrivals, warm_up, shape
   2 │ …01234567890123456789", warm_up: x }
     │                                  ^ expected a duration such as 250ms, 3s or 2m, found `x`
"#,
    ),
    (
        "scenario: x\nload: { \"日本\": 1, arrivals: nne }\n",
        r#"
   2 │ load: { "日本": 1, arrivals: nne }
     │         ^^^^^^ unknown field `日本` of `load`
     │         help: known fields: arrivals, warm_up, shape
     │                              ^^^ unknown kind of arrivals `nne`; did you mean `none`?
     │                              help: known: none, poisson, constant, steps
"#,
    ),
    (
        "scenario: x\r\nload:\r\n  arrivals: nne\r\n",
        r#"
   3 │   arrivals: nne
     │             ^^^ unknown kind of arrivals `nne`; did you mean `none`?
     │             help: known: none, poisson, constant, steps
"#,
    ),
    (
        "\u{feff}scenraio: x\nload: { arrivals: none }\n",
        r#"
   1 │ scenraio: x
     │ ^^^^^^^^ unknown field `scenraio`; did you mean `scenario`?
"#,
    ),
    (
        "scenario: x\nload: { shape: none, warm_up: 30s, arrivals: { poisson: 100/s, constant: 100/s } } # why: none\n",
        r#"
   2 │ load: { shape: none, warm_up: 30s, arrivals: { poisson: 100/s, constant: 100/s } } # why: none
     │                                                                ^^^^^^^^
     │   `poisson` and `constant` are two kinds of arrivals; only one can be given
"#,
    ),
    (
        "scenario: *l\nload: 1",
        r#"
   1 │ scenario: *l
     │           ^^ an alias of nothing above
     │           help: text that starts with `*` needs quotes
"#,
    ),
    (
        "x: &a { arrivals: { poison: 1/s } }\nscenario: x\nload: *a\ny: *a\n",
        r#"
   1 │ x: &a { arrivals: { poison: 1/s } }
     │ ^ unknown field `x`
     │ help: known fields: scenario, load, services, timeline, window
     │                     ^^^^^^ unknown kind of arrivals `poison`; did you mean `poisson`?
     │                     help: known: none, poisson, constant, steps
   4 │ y: *a
     │ ^ unknown field `y`
     │ help: known fields: scenario, load, services, timeline, window
"#,
    ),
    (
        "scenario: |\n  a\n  b\nload: |\n  c\n  d\n",
        r#"
   5 │   c
     │   ^ expected a mapping, found `c d`
     │   help: its fields: arrivals, warm_up, shape
"#,
    ),
    (
        "scenario: \"a\u{e000}b\"\nload: \"\u{e000}x\"",
        r#"
   2 │ load: "x"
     │       ^^^^ expected a mapping, found the text `x`
     │       help: its fields: arrivals, warm_up, shape
"#,
    ),
];
