//! What a person sees for bad files, word for word; and laws of positions and reasons for all files.

mod demo;

use demo::{GOOD, formats, schema, seen};

use super::unsupported_keywords;

#[test]
fn a_good_file_has_no_problems() {
    assert_eq!(seen(GOOD), "");
}

#[test]
fn nothing_in_the_schema_of_every_shape_of_type_is_passed_over() {
    assert_eq!(unsupported_keywords(&schema(), &formats()), Vec::<String>::new());
}
