//! What a run looks like: terminal, HTML, JUnit, Markdown.
