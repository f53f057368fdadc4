//! Writes a page and the terminal text of a `Story`: of a JSON file given as the argument, else of a made-up one.
//! `cargo run -p pumphandle-report --example render -- [STORY.json] > report.html`

#[path = "../tests/support/mod.rs"]
mod support;

use pumphandle_experiment::result::Story;
use pumphandle_report::{Terminal, html, terminal};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let story: Story = match std::env::args().nth(1) {
        Some(path) => serde_json::from_str(&std::fs::read_to_string(path)?)?,
        None => support::story(),
    };
    for (width, colour) in [(80, false), (80, true), (124, true)] {
        eprintln!(
            "{}",
            terminal(&story, &Terminal { width, colour, report: Some("runs/x/report.html".into()) })
        );
    }
    print!("{}", html(&story));
    Ok(())
}
