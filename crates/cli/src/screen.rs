//! What kind of terminal this is, and writing to it.

use std::io::{IsTerminal, Write};

use pumphandle_experiment::document::Style;

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

/// Prints to standard output. A reader that has gone away is no error.
pub(crate) fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Prints an error. Problems of scenario files bring their own header.
pub(crate) fn complain(error: &anyhow::Error) {
    let text = format!("{error:#}");
    let header = if text.starts_with("error") || text.contains("\u{1b}[") { "" } else { "error: " };
    eprint!("{header}{}{}", text, if text.ends_with('\n') { "" } else { "\n" });
}
