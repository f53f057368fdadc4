//! A bar on standard error, for work that takes longer than a second; and being interrupted.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// See the module.
pub(crate) struct Progress {
    bar: ProgressBar,
    begun: std::time::Instant,
    shown: bool,
}

impl Progress {
    /// For `runs` runs, which `what` describes.
    #[allow(clippy::disallowed_methods, reason = "people wait in real time")]
    pub(crate) fn new(runs: u64, what: &str) -> Progress {
        let bar = ProgressBar::with_draw_target(Some(runs), ProgressDrawTarget::hidden());
        bar.set_style(style("  {msg} {wide_bar} {pos}/{len} runs, {eta} left"));
        bar.set_message(what.to_owned());
        Progress { bar, begun: std::time::Instant::now(), shown: !std::io::stderr().is_terminal() }
    }

    /// For so many samples.
    pub(crate) fn of_samples(samples: u64, what: &str) -> Progress {
        let progress = Progress::new(samples, what);
        progress.bar.set_style(style("  {msg} {wide_bar} {human_pos}/{human_len} samples, {eta} left"));
        progress
    }

    /// One run is done.
    pub(crate) fn step(&mut self) {
        self.advance(1);
    }

    /// So many are done.
    pub(crate) fn advance(&mut self, by: u64) {
        if !self.shown && self.begun.elapsed() > Duration::from_secs(1) {
            self.shown = true;
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.bar.inc(by);
    }

    /// Room for `runs` more.
    pub(crate) fn expect(&self, runs: u64) {
        self.bar.inc_length(runs);
    }

    /// All is done; the bar goes away.
    pub(crate) fn finish(self) -> Duration {
        self.bar.finish_and_clear();
        self.begun.elapsed()
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is well formed")
}

/// Becomes true at the first Ctrl-C; the second one ends the process.
pub(crate) fn stop_flag() -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&flag);
    let handler = move || {
        if set.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        crate::screen::note("interrupted: finishing the runs under way, keeping what was measured");
    };
    // Without a handler Ctrl-C ends the process at once: nothing is half written then either.
    let _ = ctrlc::set_handler(handler);
    flag
}
