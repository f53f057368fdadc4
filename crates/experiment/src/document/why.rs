//! The reasons that stand beside the numbers of a scenario, as `# why:` comments, and which value each one
//! is for. Whether every number needs one is not decided here.

use std::collections::BTreeMap;

use serde_json::Value;

use super::path::Path;
use super::read::{Form, Inside, Node};
use super::source::{Range, Source, is_blank};
use super::{Document, Segment};

/// Why a number is what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    /// What sort of reason.
    pub kind: WhyKind,
    /// The reason, without the words that gave its kind.
    pub text: String,
}

/// What sort of reason, by the words a reason starts with (before a `:`, a `;` or its end).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhyKind {
    /// `lesson`: the incident needs this value to show what it teaches.
    Lesson,
    /// `source`: measured or documented elsewhere.
    Source,
    /// `free choice`: another value would show the same.
    Free,
    /// Anything else.
    Other,
}

/// The `# why:` comments of a file, by the line they are for.
#[derive(Clone, Debug, Default)]
pub(super) struct Reasons {
    behind: BTreeMap<u32, Why>,
    above: BTreeMap<u32, Why>,
}

struct Comment {
    line: u32,
    column: usize,
    alone: bool,
    text: String,
}

impl Reasons {
    pub(super) fn find(source: &Source, scalars: &[Range]) -> Reasons {
        let comments = comments(source, scalars);
        let mut reasons = Reasons::default();
        let mut at = 0;
        while let Some(comment) = comments.get(at) {
            at += 1;
            let Some(start) = comment.text.strip_prefix("why:") else { continue };
            let mut text = start.trim().to_owned();
            let mut last = comment.line;
            while let Some(next) = comments.get(at).filter(|next| continues(comment, last, next)) {
                text.push(' ');
                text.push_str(&next.text);
                last = next.line;
                at += 1;
            }
            if text.trim().is_empty() {
                continue;
            }
            if comment.alone {
                reasons.above.insert(skip_comments(&comments[at..], last + 1), Why::parse(&text));
            } else {
                reasons.behind.insert(comment.line, Why::parse(&text));
            }
        }
        reasons
    }
}

/// Whether a reason that reached line `last` goes on in this comment.
fn continues(first: &Comment, last: u32, next: &Comment) -> bool {
    let aligned = first.alone || next.column == first.column;
    next.alone && next.line == last + 1 && aligned && !next.text.is_empty() && !next.text.starts_with("why:")
}

/// The first line from `line` on that is not a comment only.
fn skip_comments(comments: &[Comment], line: u32) -> u32 {
    comments
        .iter()
        .fold(line, |line, comment| if comment.alone && comment.line == line { line + 1 } else { line })
}

/// A comment is a `#` at the start of a line or behind a blank, outside of every scalar, to the line's end.
fn comments(source: &Source, scalars: &[Range]) -> Vec<Comment> {
    let chars = source.chars();
    let mut scalars = scalars.iter().peekable();
    let mut comments = Vec::new();
    for (index, &(start, end)) in source.lines().iter().enumerate() {
        let mut at = start;
        while at < end {
            while scalars.next_if(|&&(_, scalar_end)| scalar_end <= at).is_some() {}
            if let Some(&&(scalar_start, scalar_end)) = scalars.peek()
                && scalar_start <= at
            {
                at = scalar_end;
                continue;
            }
            if chars[at] == '#' && (at == start || is_blank(chars[at - 1])) {
                let text: String = chars[at + 1..end].iter().collect();
                let alone = chars[start..at].iter().all(|&c| is_blank(c));
                let line = index as u32 + 1;
                comments.push(Comment { line, column: at - start, alone, text: text.trim().to_owned() });
                break;
            }
            at += 1;
        }
    }
    comments
}

impl Why {
    fn parse(text: &str) -> Why {
        let kinds =
            [("lesson", WhyKind::Lesson), ("source", WhyKind::Source), ("free choice", WhyKind::Free)];
        for (word, kind) in kinds {
            let Some(rest) = text.strip_prefix(word) else { continue };
            let rest = rest.trim_start();
            if rest.is_empty() || rest.starts_with([':', ';']) {
                let text = rest.trim_start_matches([':', ';']).trim().to_owned();
                return Why { kind, text };
            }
        }
        Why { kind: WhyKind::Other, text: text.to_owned() }
    }
}

pub(super) fn why(document: &Document, path: &Path) -> Option<Why> {
    let mut nodes = Vec::new();
    let mut node = &document.root;
    for segment in path.segments() {
        node = node.child(segment)?;
        nodes.push(node);
    }
    nodes.into_iter().rev().find_map(|node| own(document, node)).cloned()
}

/// The reason given for this value itself.
fn own<'a>(document: &'a Document, node: &Node) -> Option<&'a Why> {
    let reasons = &document.reasons;
    let value_line = document.source.line_of(node.value.0);
    let key_line = node.key.map(|key| document.source.line_of(key.0));
    let is_leaf = matches!(node.inside, Inside::Nothing);
    // Behind `- key: value`, a reason is for that entry of the mapping, not for all of the mapping.
    let opens_here = key_line.is_some() || node.form != Form::Block;
    let leaf_line = Some(value_line).filter(|_| is_leaf);
    let start_line = key_line.unwrap_or(value_line);
    let behind = |line| reasons.behind.get(&line);
    let above = |line| reasons.above.get(&line);
    leaf_line
        .and_then(|line| behind(line).or_else(|| above(line)))
        .or_else(|| behind(start_line).filter(|_| opens_here))
        .or_else(|| above(start_line))
}

pub(super) fn numbers(value: &Value) -> Vec<Path> {
    let mut found = Vec::new();
    collect(value, &mut Path::root(), &mut found);
    found
}

fn collect(value: &Value, path: &mut Path, found: &mut Vec<Path>) {
    match value {
        Value::Number(_) => found.push(path.clone()),
        Value::String(text) if is_quantity(text) => found.push(path.clone()),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                within(value, Segment::Index(index), path, found);
            }
        }
        Value::Object(map) => {
            for (key, value) in map {
                within(value, Segment::from(key), path, found);
            }
        }
    }
}

fn within(value: &Value, segment: Segment, path: &mut Path, found: &mut Vec<Path>) {
    path.push(segment);
    collect(value, path, found);
    path.pop();
}

/// `100/s`, `1s`, `10%`, `1m 30s`, `-2.5ms`, `100 /s`; not `3 replicas fail`, which is prose.
fn is_quantity(text: &str) -> bool {
    let mut words = text.split_whitespace();
    let unsigned = text.trim_start().trim_start_matches(['-', '+']);
    unsigned.starts_with(|c: char| c.is_ascii_digit())
        && words.all(|word| word.starts_with(|c: char| c.is_ascii_digit() || "/%+-".contains(c)))
}
