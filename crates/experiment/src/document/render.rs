//! Problems as a person sees them: the line, carets under the words, the sentence beside them. It decides
//! nothing about what is wrong.
//!
//! This is not annotate-snippets because the layout wanted here has no arrow line, no blank gutter lines
//! and one header for all problems, which that crate's renderer always draws.

use std::fmt::Write;

use anstyle::{AnsiColor, Style as Paint};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::printable::{clean, clean_char};
use super::problem::{Problem, Problems};
use super::source::{Source, Span};

/// Whether the output may have colours. They carry no meaning of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Text only, for pipes and `NO_COLOR`.
    Plain,
    /// ANSI escape codes.
    Ansi,
}

/// Lines are cut to this many characters around the carets.
const LINE: usize = 96;
/// A message that would end beyond this column moves to a line of its own.
const PAGE: usize = 120;

struct Paints {
    error: Paint,
    gutter: Paint,
    help: Paint,
}

impl Paints {
    fn of(style: Style) -> Paints {
        match style {
            Style::Plain => Paints { error: Paint::new(), gutter: Paint::new(), help: Paint::new() },
            Style::Ansi => Paints {
                error: AnsiColor::Red.on_default().bold(),
                gutter: AnsiColor::Blue.on_default().bold(),
                help: AnsiColor::Cyan.on_default().bold(),
            },
        }
    }
}

pub(super) fn render(
    source: &Source,
    placed: Vec<(Option<Span>, &Problem)>,
    problems: &Problems,
    style: Style,
) -> String {
    let paints = Paints::of(style);
    let count = match (problems.has_more(), placed.len()) {
        (true, count) => format!("the first {count} problems"),
        (false, 1) => "1 problem".to_owned(),
        (false, count) => format!("{count} problems"),
    };
    let error = paints.error;
    let name = clean(source.name());
    let mut out = format!("{error}error:{error:#} {name} is not a scenario that can run ({count})\n\n");
    let last_line = placed.iter().filter_map(|(span, _)| *span).map(|span| span.line).max().unwrap_or(0);
    let gutter = Gutter { width: 2 + last_line.to_string().len().max(2), paint: paints.gutter };
    let mut shown: Option<(u32, usize)> = None;
    for (span, problem) in placed {
        let Some(span) = span else {
            let _ = writeln!(out, "  {}", clean(&problem.message));
            shown = None;
            continue;
        };
        let window = window(source.line(span.line), span);
        if shown != Some((span.line, window.start)) {
            let _ = writeln!(out, "{} {}", gutter.line(Some(span.line)), window.text.trim_end());
            shown = Some((span.line, window.start));
        }
        annotate(&mut out, &window, problem, &gutter, &paints);
    }
    out.push_str("\nnothing was run\n");
    out
}

struct Gutter {
    width: usize,
    paint: Paint,
}

impl Gutter {
    fn line(&self, number: Option<u32>) -> String {
        let (paint, width) = (self.paint, self.width);
        let number = number.map(|number| number.to_string()).unwrap_or_default();
        format!("{paint}{number:>width$} │{paint:#}")
    }
}

/// The part of a line that is shown, and where the carets go, in terminal columns.
struct Window {
    /// The first character shown.
    start: usize,
    text: String,
    indent: usize,
    carets: usize,
}

fn window(line: &[char], span: Span) -> Window {
    let first = (span.column as usize - 1).min(line.len());
    let last = (first + span.len as usize).min(line.len());
    let start = if line.len() <= LINE || first < LINE / 2 { 0 } else { first - LINE / 3 };
    let end = line.len().min(start + LINE);
    let dots = |cut: bool| if cut { "…" } else { "" };
    let shown: String = line[start..end].iter().map(|&c| clean_char(c)).collect();
    let width = |range: &[char]| -> usize { range.iter().map(|&c| clean_char(c).width().unwrap_or(0)).sum() };
    Window {
        start,
        text: format!("{}{shown}{}", dots(start > 0), dots(end < line.len())),
        indent: usize::from(start > 0) + width(&line[start..first]),
        carets: width(&line[first..last.clamp(first, end.max(first))]).max(1),
    }
}

fn annotate(out: &mut String, window: &Window, problem: &Problem, gutter: &Gutter, paints: &Paints) {
    let (blank, error, help) = (gutter.line(None), paints.error, paints.help);
    let message = clean(&problem.message);
    let carets = "^".repeat(window.carets);
    let used = gutter.width + 3 + window.indent;
    let beside = used + window.carets + 1 + message.width() <= PAGE;
    let indent = window.indent;
    if beside {
        let _ = writeln!(out, "{blank} {:indent$}{error}{carets} {message}{error:#}", "");
    } else {
        let _ = writeln!(out, "{blank} {:indent$}{error}{carets}{error:#}", "");
        let _ = writeln!(out, "{blank}   {error}{message}{error:#}");
    }
    if let Some(text) = problem.help.as_deref().map(clean) {
        let indent = if beside && used + 6 + text.width() <= PAGE { indent } else { 2 };
        let _ = writeln!(out, "{blank} {:indent$}{help}help:{help:#} {text}", "");
    }
}
