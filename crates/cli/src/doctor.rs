//! `pumphandle doctor`: what can be measured on this machine.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use crate::{End, screen};

pub(crate) fn examine() -> anyhow::Result<End> {
    let mut out = String::new();
    let mut well = true;
    let mut line = |name: &str, good: bool, text: String| {
        well &= good;
        let mark = if good { "ok " } else { "(!)" };
        let _ = writeln!(out, "{mark}  {name:<18} {text}");
    };
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    line("processors", cpus >= 2, format!("{cpus}; real time needs 2 or more, virtual time 1"));
    let (p50, p99) = oversleep();
    let text = format!("a sleep of 1 ms takes {p50:.2} ms more (median), {p99:.2} ms more (p99)");
    line("idle timer", p99 < 5.0, format!("{text}; real-time runs need p99 under 5 ms"));
    let bound = std::net::TcpListener::bind("127.0.0.1:0");
    line(
        "loopback",
        bound.is_ok(),
        bound.map_or_else(|e| e.to_string(), |_| "a port can be opened".to_owned()),
    );
    let probe = std::env::current_dir()?.join(".pumphandle-doctor");
    let written = std::fs::write(&probe, b"x").and_then(|()| std::fs::remove_file(&probe));
    let text =
        written.as_ref().map_or_else(ToString::to_string, |()| "results can be written here".to_owned());
    line("folder", written.is_ok(), text);
    let readable = crate::scenarios::names().iter().all(|name| crate::scenarios::load(name).is_ok());
    line("incidents", readable, format!("{} built in", crate::scenarios::names().len()));
    out.push_str(if well {
        "virtual and real time can be measured here\n"
    } else {
        "virtual time can be measured anywhere; see above for real time\n"
    });
    screen::print(&out)?;
    Ok(if well { End::Held } else { End::CouldNotMeasure })
}

/// Median and 99th percentile of how much longer than asked a sleep of 1 ms takes, in milliseconds.
#[allow(clippy::disallowed_methods, reason = "this is about the machine's own clock")]
fn oversleep() -> (f64, f64) {
    let mut late: Vec<f64> = (0..300)
        .map(|_| {
            let begun = Instant::now();
            std::thread::sleep(Duration::from_millis(1));
            begun.elapsed().as_secs_f64() * 1e3 - 1.0
        })
        .collect();
    late.sort_by(f64::total_cmp);
    (late[late.len() / 2], late[late.len() * 99 / 100])
}
