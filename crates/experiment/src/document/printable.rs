//! Text of strangers on its way to a person: what could command a terminal, or show a line in another order than
//! it has, is replaced. One rule for files, reports, and what other processes say; it knows nothing of any of
//! them.

/// Whether a character has no business in a text that people read. Control characters could command a terminal
/// (CSI begins with U+001B or with U+009B). Those that embed, override or isolate a direction of writing show a
/// line in another order than it has (Boucher and Anderson, "Trojan Source", 2021); marks of direction, which
/// Arabic and Hebrew texts need, only act on blanks and signs beside them, and are kept.
pub fn commands(c: char) -> bool {
    match c {
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}' => true,
        // No characters at all, and not allowed in XML.
        '\u{fffe}' | '\u{ffff}' => true,
        c => c.is_control(),
    }
}

/// The text on one line, with nothing in it that commands: white space becomes a blank, the rest U+FFFD.
pub fn clean(text: &str) -> String {
    text.chars().map(clean_char).collect()
}

/// As [`clean`], of a text of several lines: they stay lines.
pub fn clean_lines(text: &str) -> String {
    text.chars().map(|c| if c == '\n' { c } else { clean_char(c) }).collect()
}

/// See [`clean`]. One character stays one character, so that columns stay what they are.
pub(super) fn clean_char(c: char) -> char {
    match c {
        '\t' | '\n' | '\r' => ' ',
        c if commands(c) => '\u{fffd}',
        c => c,
    }
}

/// A whole page on its way to a terminal: lines, tabs and colours (`ESC [ … m`) may pass, which is what our own
/// pages are made of. Everything else that commands is replaced.
pub fn clean_page(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(commands) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let passed = colour(rest).or_else(|| rest.starts_with(['\n', '\t']).then_some(1));
        match passed {
            Some(bytes) => out.push_str(&rest[..bytes]),
            None => out.push('\u{fffd}'),
        }
        let first = rest.chars().next().map_or(1, char::len_utf8);
        rest = &rest[passed.unwrap_or(first)..];
    }
    out.push_str(rest);
    out
}

/// Bytes of the colour that `text` begins with.
fn colour(text: &str) -> Option<usize> {
    let inner = text.strip_prefix("\u{1b}[")?;
    let end = inner.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    inner[end..].starts_with('m').then_some(2 + end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_commands_is_left_and_everything_else_is() {
        let text = "grün \u{1b}[2J\u{9b}31m\u{7f}\u{202e}drow\u{2066}\u{2029}\u{0}\tשלום\u{200f} (α)\r\nend";
        let cleaned = clean(text);
        assert!(!cleaned.contains(commands), "{cleaned:?}");
        assert_eq!(cleaned.chars().count(), text.chars().count(), "columns stay what they are");
        assert_eq!(clean("grün, שלום\u{200f} (α)"), "grün, שלום\u{200f} (α)");
        assert_eq!(clean("a\tb\nc"), "a b c");
        assert_eq!(clean_lines("a\tb\nc\u{9b}\u{fffe}"), "a b\nc\u{fffd}\u{fffd}");
    }

    #[test]
    fn of_a_page_only_lines_and_colours_pass() {
        assert_eq!(clean_page("a\n\tb \u{1b}[1;31mred\u{1b}[0m\n"), "a\n\tb \u{1b}[1;31mred\u{1b}[0m\n");
        for (sent, shown) in [
            ("\u{1b}[2J", "\u{fffd}[2J"),
            ("\u{1b}]0;title\u{7}", "\u{fffd}]0;title\u{fffd}"),
            ("\u{1b}[31", "\u{fffd}[31"),
            ("\u{9b}2Jx", "\u{fffd}2Jx"),
            ("over\rwritten", "over\u{fffd}written"),
            ("\u{1b}[\u{1b}[1m", "\u{fffd}[\u{1b}[1m"),
            ("\u{202e}x", "\u{fffd}x"),
        ] {
            assert_eq!(clean_page(sent), shown, "{sent:?}");
        }
    }
}
