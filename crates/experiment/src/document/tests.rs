//! What a person sees for bad files, word for word; and laws of positions and reasons for all files.

mod bad_files;
mod demo;
mod laws;
mod oracle;
mod reasons;

use demo::{GOOD, formats, schema, seen};

use super::{Formats, Path, suggest, unsupported_keywords};

#[test]
fn a_good_file_has_no_problems() {
    assert_eq!(seen(GOOD), "");
}

#[test]
fn nothing_in_the_schema_of_every_shape_of_type_is_passed_over() {
    assert_eq!(unsupported_keywords(&schema(), &formats()), Vec::<String>::new());
}

#[test]
fn keywords_that_would_be_passed_over_are_named() {
    let schema = serde_json::json!({
        "type": "object",
        "title": "nothing wrong with a title",
        "properties": { "a": { "type": "string", "pattern": "^x" }, "b": { "type": "string", "format": "rate" } },
        "patternProperties": { "^x": {}, "^\\d+$": { "not": {} } },
        "oneOf": [{ "if": true }],
        "unevaluatedProperties": false,
    });
    let mut found = unsupported_keywords(&schema, &Formats::new());
    found.sort();
    let expected = [
        "#/oneOf/0/if",
        "#/patternProperties",
        "#/patternProperties/^\\d+$/not",
        "#/properties/a/pattern",
        "#/properties/b/format",
        "#/unevaluatedProperties",
    ];
    assert_eq!(found, expected);
}

#[test]
fn slips_are_recognised_and_other_words_are_not() {
    let known = ["attempt_timeout", "retry", "larger-pool", "smaller-queue", "at"];
    assert_eq!(suggest("attempt_timeuot", known), Some("attempt_timeout"));
    assert_eq!(suggest("AttemptTimeout", known), Some("attempt_timeout"));
    assert_eq!(suggest("larger_poool", known), Some("larger-pool"));
    assert_eq!(suggest("rtery", known), Some("retry"));
    assert_eq!(suggest("breaker", known), None);
    assert_eq!(suggest("x", known), None);
    assert_eq!(suggest(&"retry".repeat(100), known), None);
}

#[test]
fn paths_are_shown_so_that_they_can_be_read_back() {
    let path = Path::from(["services", "client"]).join("with.retry").join(2);
    assert_eq!(path.to_string(), "services.client.\"with.retry\"[2]");
    assert_eq!(path.parent().map(|path| path.to_string()).as_deref(), Some("services.client.\"with.retry\""));
    assert_eq!((Path::root().to_string().as_str(), Path::root().parent()), ("", None));
}
