//! What kind of terminal this is, and writing to it. Everything that is printed goes through here, so that nothing
//! that a stranger wrote can command a terminal, and nothing is lost without a word.

use std::borrow::Cow;
use std::fmt;
use std::io::{ErrorKind, IsTerminal, Write};

use anyhow::Context;
use pumphandle_experiment::document::{Style, clean_page};

/// What was measured could not be kept, or not be shown: a disk is full. The sentence says where.
#[derive(Debug)]
pub(crate) struct NotKept(pub(crate) String);

impl std::error::Error for NotKept {}

impl fmt::Display for NotKept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Columns of the terminal; 80 where there is none.
pub(crate) fn width() -> usize {
    terminal_size::terminal_size().map_or(80, |(width, _)| usize::from(width.0)).clamp(40, 160)
}

/// Whether standard output takes colour: a terminal, and nobody asked for none.
pub(crate) fn colour() -> bool {
    anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never
        && std::io::stdout().is_terminal()
}

/// The style of messages on standard error.
pub(crate) fn error_style() -> Style {
    let plain = anstream::AutoStream::choice(&std::io::stderr()) == anstream::ColorChoice::Never;
    if plain || !std::io::stderr().is_terminal() { Style::Plain } else { Style::Ansi }
}

/// Prints to standard output.
///
/// # Errors
///
/// [`NotKept`], if it cannot be written. A reader that has gone away is no error.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    // What a program reads is left as it is: it must be what was measured, byte for byte.
    let text = if out.is_terminal() { Cow::Owned(clean_page(text)) } else { Cow::Borrowed(text) };
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context(NotKept("standard output takes no more".to_owned())),
    }
}

/// Prints a note to standard error, for people.
pub(crate) fn note(text: &str) {
    // There is nowhere left to tell that standard error is gone.
    let _ = writeln!(std::io::stderr(), "{}", clean_page(text));
}

/// Prints an error. Problems of scenario files bring their own header.
pub(crate) fn complain(error: &anyhow::Error) {
    let text = format!("{error:#}");
    let header = if text.starts_with("error") || text.contains("\u{1b}[") { "" } else { "error: " };
    note(&format!("{header}{}", text.trim_end_matches('\n')));
}
