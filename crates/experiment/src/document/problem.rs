//! What is wrong with a document, collected so that a person sees everything at once. A problem names its
//! place by path; the document turns that into a line and a column when the problems are shown.

use super::path::Path;
use super::source::Span;
use super::{Document, Style, render};

/// Problems beyond this many are not collected: nobody reads them, and a hostile file could make millions.
pub const MAX_PROBLEMS: usize = 100;

/// The half of a mapping's entry that a problem is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The key, such as an unknown field.
    Key,
    /// The value, such as one of the wrong type.
    Value,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where. A path that the document does not have is shown at the nearest enclosing key.
    pub path: Path,
    /// Which half of the entry at `path`.
    pub part: Part,
    /// The place in the text, when known better than by path.
    pub span: Option<Span>,
    /// What is wrong, as a sentence without capital and full stop.
    pub message: String,
    /// What to do about it, in the same form.
    pub help: Option<String>,
}

/// Everything that is wrong with one document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    list: Vec<Problem>,
    more: bool,
}

impl Problems {
    /// Nothing is wrong, so far.
    pub fn new() -> Problems {
        Problems::default()
    }

    /// Reports a problem with the key at `path`. [`Problems::help`] adds to it.
    pub fn at_key(&mut self, path: &Path, message: impl Into<String>) -> &mut Problems {
        self.at(path, Part::Key, message)
    }

    /// Reports a problem with the value at `path`. [`Problems::help`] adds to it.
    pub fn at_value(&mut self, path: &Path, message: impl Into<String>) -> &mut Problems {
        self.at(path, Part::Value, message)
    }

    /// Reports a problem with either half of the entry at `path`.
    pub fn at(&mut self, path: &Path, part: Part, message: impl Into<String>) -> &mut Problems {
        self.push(Problem { path: path.clone(), part, span: None, message: message.into(), help: None })
    }

    /// Reports a problem at a place in the text.
    pub(super) fn at_span(&mut self, span: Option<Span>, message: impl Into<String>) -> &mut Problems {
        self.push(Problem {
            path: Path::root(),
            part: Part::Value,
            span,
            message: message.into(),
            help: None,
        })
    }

    /// Says what to do about the problem reported last.
    pub fn help(&mut self, help: impl Into<String>) -> &mut Problems {
        // Of problems that were not kept, the help is not kept either.
        if let Some(last) = self.list.last_mut().filter(|_| !self.more) {
            last.help = Some(help.into());
        }
        self
    }

    /// Adds a problem, unless there are [`MAX_PROBLEMS`] already.
    pub fn push(&mut self, problem: Problem) -> &mut Problems {
        if self.is_full() {
            self.more = true
        } else {
            self.list.push(problem)
        }
        self
    }

    /// Adds the problems that another check found.
    pub fn extend(&mut self, other: Problems) {
        self.more |= other.more;
        for problem in other.list {
            self.push(problem);
        }
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many problems were kept.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// In the order in which they were found.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.list.iter()
    }

    /// The same, to say it better where more is known than the check that found it.
    pub fn iter_mut(&mut self) -> std::slice::IterMut<'_, Problem> {
        self.list.iter_mut()
    }

    /// Whether there may be problems beyond [`MAX_PROBLEMS`], which were not kept or not looked for.
    pub fn has_more(&self) -> bool {
        self.more
    }

    /// `Ok` when nothing is wrong.
    ///
    /// # Errors
    /// These problems, when there are any.
    pub fn into_result(self) -> Result<(), Problems> {
        if self.is_empty() { Ok(()) } else { Err(self) }
    }

    /// The problems as a person should see them: by position, each under its line, ending with a newline.
    pub fn render(&self, document: &Document, style: Style) -> String {
        let placed = self.placed(|problem| {
            Some(problem.span.unwrap_or_else(|| document.nearest_span(&problem.path, problem.part)))
        });
        render::render(&document.source, placed, self, style)
    }

    /// The problems with their places, in the order of the text, each once: an alias repeats its target's.
    pub(super) fn placed(&self, place: impl Fn(&Problem) -> Option<Span>) -> Vec<(Option<Span>, &Problem)> {
        let mut placed: Vec<_> = self.list.iter().map(|problem| (place(problem), problem)).collect();
        placed.sort_by_key(|&(span, _)| span.map(|span| (span.line, span.column)));
        let mut unique: Vec<(Option<Span>, &Problem)> = Vec::with_capacity(placed.len());
        for (span, problem) in placed {
            if !unique.iter().any(|(other, kept)| *other == span && kept.message == problem.message) {
                unique.push((span, problem));
            }
        }
        unique
    }

    pub(super) fn is_full(&self) -> bool {
        self.list.len() >= MAX_PROBLEMS
    }

    /// Whether looking any further is pointless; if so, it is noted that nobody looked.
    pub(super) fn stop_if_full(&mut self) -> bool {
        self.more |= self.is_full();
        self.more
    }
}

impl IntoIterator for Problems {
    type Item = Problem;
    type IntoIter = std::vec::IntoIter<Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.iter()
    }
}
