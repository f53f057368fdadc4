//! The text of a file, addressed by character: lines, columns, slices. It knows nothing of YAML.
//!
//! Positions are counted in characters (Unicode scalar values), as the YAML parser counts them.

/// A half-open range of characters of the text.
pub(super) type Range = (usize, usize);

/// A place in the text, on one line: what a person is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// In characters; 0 where there is nothing to underline, such as the end of the file.
    pub len: u32,
}

#[derive(Clone, Debug)]
pub(super) struct Source {
    name: String,
    chars: Vec<char>,
    /// Where each line starts and ends, without its line break. Never empty.
    lines: Vec<Range>,
    bytes: usize,
}

impl Source {
    /// A byte order mark at the start is dropped: editors do not show it, so columns must not count it.
    pub(super) fn new(name: &str, text: &str) -> Source {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let chars: Vec<char> = text.chars().collect();
        let lines = lines(&chars);
        Source { name: name.to_owned(), chars, lines, bytes: text.len() }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// In bytes of UTF-8.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn chars(&self) -> &[char] {
        &self.chars
    }

    pub(super) fn slice(&self, (start, end): Range) -> String {
        let end = end.min(self.chars.len());
        self.chars[start.min(end)..end].iter().collect()
    }

    /// All lines as ranges of characters, without their line breaks.
    pub(super) fn lines(&self) -> &[Range] {
        &self.lines
    }

    /// The line, from 1, that holds a character.
    pub(super) fn line_of(&self, at: usize) -> u32 {
        self.lines.partition_point(|&(start, _)| start <= at) as u32
    }

    /// The characters of a line, from 1.
    pub(super) fn line(&self, line: u32) -> &[char] {
        let (start, end) = self.lines[(line as usize - 1).min(self.lines.len() - 1)];
        &self.chars[start..end]
    }

    pub(super) fn is_one_line(&self, (start, end): Range) -> bool {
        self.line_of(start) == self.line_of(end.max(start))
    }

    /// The part of a range that is on its first line, without the blanks at the line's end.
    pub(super) fn span(&self, (start, end): Range) -> Span {
        let (start, end) = self.skip_line_end(start.min(self.chars.len()), end.min(self.chars.len()));
        let line = self.line_of(start);
        let (line_start, line_end) = self.lines[line as usize - 1];
        let start = start.min(line_end);
        let mut end = end.min(line_end).max(start);
        while end > start && is_blank(self.chars[end - 1]) {
            end -= 1;
        }
        Span { line, column: (start - line_start + 1) as u32, len: (end - start) as u32 }
    }

    /// What happens at the very end of a text belongs to its last line that holds anything.
    fn skip_line_end(&self, start: usize, end: usize) -> Range {
        if start < self.chars.len() {
            return (start, end);
        }
        let last = self.chars.iter().rposition(|&c| !is_blank(c) && !is_break(c)).map_or(0, |last| last + 1);
        (last, last)
    }
}

/// The white space of YAML 1.2 within a line. What Unicode counts as well is text to YAML.
pub(super) fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t')
}

pub(super) fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\r')
}

/// Line breaks are those of YAML 1.2: `\n`, `\r\n` and `\r`.
fn lines(chars: &[char]) -> Vec<Range> {
    let mut lines = Vec::new();
    let (mut start, mut at) = (0, 0);
    while at < chars.len() {
        let width = match chars[at] {
            '\r' if chars.get(at + 1) == Some(&'\n') => 2,
            '\r' | '\n' => 1,
            _ => 0,
        };
        if width > 0 {
            lines.push((start, at));
            start = at + width;
        }
        at += width.max(1);
    }
    lines.push((start, chars.len()));
    lines
}
