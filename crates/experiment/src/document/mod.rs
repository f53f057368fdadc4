//! Scenario files as text: a YAML file read into a tree that remembers where everything stands, checked
//! against a JSON Schema, with all problems shown at once under the words that cause them.
//!
//! The types that describe a scenario stay plain `serde` and `schemars` structs without positions. Their
//! schema is the single truth about shape; what a schema cannot say is checked on those types and reported
//! by [`Path`], and the document finds the position. This module knows YAML and JSON Schema; it must not
//! know what a service, a lever or a claim is.
//!
//! The files here, in reading order: [`path`] names a place in the tree, `source` the place in the text,
//! `printable` which characters may be shown, `scalar` says what a word means in YAML 1.2, `read` builds the tree within its limits, [`problem`] and
//! `render` say what is wrong, [`schema`] checks the shape, `why` finds the reasons beside the numbers.

pub mod path;
mod printable;
pub mod problem;
mod read;
mod render;
mod scalar;
pub mod schema;
mod source;
mod suggest;
mod why;

#[cfg(test)]
mod tests;

use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::Value;

pub use path::{Path, Segment};
pub use printable::{clean, clean_lines, clean_page, commands};
pub use problem::{MAX_PROBLEMS, Part, Problem, Problems};
pub use read::{MAX_BYTES, MAX_DEPTH, MAX_EXPANDED_CHARS, MAX_KEY_CHARS, MAX_NODES};
pub use render::Style;
pub use scalar::MAX_NUMBER;
pub use schema::{FormatCheck, Formats, unsupported_keywords};
pub use source::Span;
pub use suggest::suggest;
pub use why::{Why, WhyKind};

use read::{Form, Node};
use source::Source;

/// A YAML file that could be read: its values, and where each of them stands.
#[derive(Clone, Debug)]
pub struct Document {
    source: Source,
    value: Value,
    root: Node,
    reasons: why::Reasons,
}

/// A file that is not the YAML of a scenario, with everything that is wrong with it.
#[derive(Clone, Debug)]
pub struct Unreadable {
    source: Source,
    problems: Problems,
}

impl Unreadable {
    /// What is wrong, in the order of the text.
    pub fn problems(&self) -> &Problems {
        &self.problems
    }

    /// The problems as a person should see them, ending with a newline.
    pub fn render(&self, style: Style) -> String {
        render::render(&self.source, self.problems.placed(|problem| problem.span), &self.problems, style)
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Style::Plain))
    }
}

impl std::error::Error for Unreadable {}

impl Document {
    /// Reads one YAML 1.2 document (core schema). `name` is the file's name as problems should show it.
    ///
    /// # Errors
    /// [`Unreadable`] for YAML that does not parse, and for what this project refuses: repeated or
    /// non-string keys, merge keys, tags, tabs as indentation, several documents or none, characters that
    /// command a terminal, written or escaped, numbers that are not finite or beyond [`MAX_NUMBER`], and anything beyond [`MAX_BYTES`], [`MAX_DEPTH`],
    /// [`MAX_NODES`], [`MAX_EXPANDED_CHARS`] or [`MAX_KEY_CHARS`].
    pub fn parse(name: &str, text: &str) -> Result<Document, Unreadable> {
        let source = Source::new(name, text);
        match read::read(&source) {
            Ok(tree) => {
                let reasons = why::Reasons::find(&source, &tree.scalars);
                Ok(Document { source, value: tree.value, root: tree.root, reasons })
            }
            Err(problems) => Err(Unreadable { source, problems }),
        }
    }

    /// A document that nobody wrote as a file, such as one setting from a command line. Its problems have no
    /// place in a text: read their messages, do not render them.
    pub fn from_value(value: Value) -> Document {
        let source = Source::new("", "");
        let root = Node { form: Form::Flow, key: None, value: (0, 0), inside: read::Inside::Nothing };
        let reasons = why::Reasons::find(&source, &[]);
        Document { source, value, root, reasons }
    }

    /// The file's name, as given to [`Document::parse`].
    pub fn name(&self) -> &str {
        self.source.name()
    }

    /// The values, keys in the file's order, aliases expanded.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The value at `path`, if there is one.
    pub fn get(&self, path: &Path) -> Option<&Value> {
        path.segments().iter().try_fold(&self.value, |value, segment| match segment {
            Segment::Key(key) => value.as_object()?.get(key),
            Segment::Index(index) => value.as_array()?.get(*index),
        })
    }

    /// Where the key or the value at `path` stands, or `None` when the file has no such path.
    ///
    /// Each part falls back to the other when it has no text of its own: list entries and the whole file
    /// have no key, and a value left empty, or a block of lines below its key, is shown by its key.
    pub fn span(&self, path: &Path, part: Part) -> Option<Span> {
        Some(self.source.span(self.node(path)?.range(part)))
    }

    /// The line, from 1, at which `path` starts; for a path that is not in the file, the line of the
    /// nearest enclosing one that is.
    pub fn line(&self, path: &Path) -> u32 {
        self.nearest_span(path, Part::Key).line
    }

    /// Checks the document against a JSON Schema (draft 2020-12, the subset that `schemars` writes; see
    /// [`schema`]). All problems are reported, up to [`MAX_PROBLEMS`].
    pub fn check(&self, schema: &Value, formats: &Formats) -> Problems {
        schema::check(self, schema, formats)
    }

    /// Checks the value at `path` against `part` of `schema`, for values whose shape depends on more than their
    /// place. A path that the document does not have is no problem.
    pub fn check_at(&self, path: &Path, part: &Value, schema: &Value, formats: &Formats) -> Problems {
        schema::check_at(self, path, part, schema, formats)
    }

    /// [`Document::check`], then the checked value as a `T`.
    ///
    /// # Errors
    /// The problems of the check; or, should `T` refuse what its schema accepts, that refusal.
    pub fn read<T: DeserializeOwned>(&self, schema: &Value, formats: &Formats) -> Result<T, Problems> {
        let mut problems = self.check(schema, formats);
        if !problems.is_empty() {
            return Err(problems);
        }
        T::deserialize(&self.value).map_err(|error| {
            problems.at_value(&Path::root(), error.to_string());
            problems
        })
    }

    /// The reason given in a `# why:` comment for what stands at `path`.
    ///
    /// A comment behind a value is for the values of its line (and for everything below a key that opens a
    /// block on that line). A comment that stands alone is for what starts on the next line, and all below
    /// it. A value without a reason of its own has that of the nearest enclosing key with one. A reason may
    /// go on over the following lines of comment.
    pub fn why(&self, path: &Path) -> Option<Why> {
        why::why(self, path)
    }

    /// Every number of the file: numeric values, and text that starts like a quantity (`100/s`, `1s`, `10%`).
    pub fn numbers(&self) -> Vec<Path> {
        why::numbers(&self.value)
    }

    fn node(&self, path: &Path) -> Option<&Node> {
        path.segments().iter().try_fold(&self.root, Node::child)
    }

    /// Like [`Document::span`], for paths that may not exist: the nearest enclosing key is shown instead.
    fn nearest_span(&self, path: &Path, part: Part) -> Span {
        let mut node = &self.root;
        for segment in path.segments() {
            match node.child(segment) {
                Some(child) => node = child,
                None => return self.source.span(node.range(Part::Key)),
            }
        }
        self.source.span(node.range(part))
    }

    /// The text of a one-line unquoted value, exactly as written.
    fn plain_text(&self, path: &Path) -> Option<String> {
        let node = self.node(path)?;
        (node.form == Form::Plain && self.source.is_one_line(node.value))
            .then(|| self.source.slice(node.value))
    }

    fn is_quoted(&self, path: &Path) -> bool {
        self.node(path).is_some_and(|node| node.form == Form::Quoted)
    }
}
