//! Lines of spans that never exceed a width. Knows columns and escape sequences; knows nothing of runs.

use anstyle::Style;
use pumphandle_experiment::document::clean;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// A piece of text in one style.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    text: String,
    style: Style,
}

/// Text without a style.
pub(crate) fn plain(text: impl Into<String>) -> Span {
    styled(text, Style::new())
}

/// Text in a style, without what could command the terminal: a name must not move the cursor.
pub(crate) fn styled(text: impl Into<String>, style: Style) -> Span {
    Span { text: clean(&text.into()), style }
}

impl Span {
    /// Columns it takes.
    pub(crate) fn wide(&self) -> usize {
        wide(&self.text)
    }

    /// Filled with blanks up to `columns`, cut if it is wider.
    pub(crate) fn fit(&self, columns: usize) -> Span {
        Span { text: pad(&cut(&self.text, columns), columns), style: self.style }
    }
}

/// Columns that a text takes on a terminal.
pub(crate) fn wide(text: &str) -> usize {
    text.width()
}

/// The text, ending with an ellipsis if it would be wider than `columns`.
pub(crate) fn cut(text: &str, columns: usize) -> String {
    if wide(text) <= columns {
        return text.to_string();
    }
    let (head, _) = split(text, columns.saturating_sub(1));
    format!("{head}…").chars().take(columns).collect()
}

/// The text with blanks up to `columns`.
pub(crate) fn pad(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(wide(text))))
}

/// As many characters as fit into `columns`, and the rest.
fn split(text: &str, columns: usize) -> (&str, &str) {
    let mut used = 0;
    for (at, c) in text.char_indices() {
        used += c.width().unwrap_or(0);
        if used > columns {
            return text.split_at(at);
        }
    }
    (text, "")
}

/// The page that is being filled.
pub(crate) struct Page {
    out: String,
    width: usize,
    colour: bool,
}

impl Page {
    pub(crate) fn new(width: usize, colour: bool) -> Self {
        Self { out: String::new(), width: width.max(40), colour }
    }

    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// One line; what does not fit is cut with an ellipsis. Blanks at the end are left out.
    pub(crate) fn line(&mut self, spans: &[Span]) {
        let mut merged: Vec<Span> = Vec::new();
        for span in spans {
            match merged.last_mut() {
                Some(last) if last.style == span.style => last.text.push_str(&span.text),
                _ => merged.push(span.clone()),
            }
        }
        while merged.last().is_some_and(|span| span.text.trim_end().is_empty()) {
            merged.pop();
        }
        let last = merged.len().saturating_sub(1);
        let mut room = self.width;
        for (at, span) in merged.iter().enumerate() {
            let text = cut(if at == last { span.text.trim_end() } else { &span.text }, room);
            room -= wide(&text);
            self.push(&text, span.style);
        }
        self.out.push('\n');
    }

    /// Sentences joined by a dot if they fit on one line, else each on its own, all from one column.
    pub(crate) fn sentences(&mut self, said: &[String], column: usize) {
        let joined = said.join(" · ");
        if column + wide(&joined) <= self.width {
            self.wrap(&[plain(joined)], column, column);
        } else {
            said.iter().for_each(|sentence| self.wrap(&[plain(sentence)], column, column));
        }
    }

    /// An empty line, unless there is one already.
    pub(crate) fn gap(&mut self) {
        if !self.out.is_empty() && !self.out.ends_with("\n\n") {
            self.out.push('\n');
        }
    }

    /// Left and right on one line if they fit, else on two.
    pub(crate) fn ends(&mut self, left: &[Span], right: &[Span]) {
        let total = |spans: &[Span]| spans.iter().map(Span::wide).sum::<usize>();
        let used = total(left) + total(right);
        if used + 2 <= self.width {
            let between = plain(" ".repeat(self.width - used));
            self.line(&[left, &[between], right].concat());
        } else {
            self.wrap(left, 0, 0);
            self.wrap(right, 0, 0);
        }
    }

    /// `  Title        text`, the text wrapped in its own column.
    pub(crate) fn item(&mut self, title: &str, text: &str) {
        let title = format!("{title}  ");
        let column = wide(&title).max(16);
        self.wrap(&[styled(pad(&title, column), super::bold()), plain(text)], 0, 16);
    }

    /// Words over as many lines as they need: the first line begins at `first`, the others at `rest`. Runs of
    /// blanks inside a span are kept; a word wider than a line is broken.
    pub(crate) fn wrap(&mut self, spans: &[Span], first: usize, rest: usize) {
        let mut line: Vec<Span> = vec![plain(" ".repeat(first))];
        let mut used = first;
        for span in spans {
            for word in span.text.split_inclusive(' ') {
                let mut word = word;
                let needed = wide(word.trim_end());
                if used + needed > self.width && used > rest {
                    self.line(&std::mem::replace(&mut line, vec![plain(" ".repeat(rest))]));
                    used = rest;
                }
                while used + wide(word.trim_end()) > self.width {
                    let (head, tail) = split(word, self.width - used);
                    line.push(styled(head, span.style));
                    self.line(&std::mem::replace(&mut line, vec![plain(" ".repeat(rest))]));
                    (used, word) = (rest, tail);
                }
                used += wide(word);
                line.push(styled(word, span.style));
            }
        }
        if used > rest.min(first) {
            self.line(&line);
        }
    }

    pub(crate) fn finish(self) -> String {
        format!("{}\n", self.out.trim_end_matches('\n'))
    }

    fn push(&mut self, text: &str, style: Style) {
        if !self.colour || style == Style::new() || text.trim().is_empty() {
            return self.out.push_str(text);
        }
        let inner = text.trim();
        let start = text.len() - text.trim_start().len();
        let (before, after) = (&text[..start], &text[start + inner.len()..]);
        self.out.push_str(&format!("{before}{style}{inner}{style:#}{after}"));
    }
}
