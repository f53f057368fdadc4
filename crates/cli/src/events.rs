//! Printing an event log.

use std::fmt::Write as _;

use anyhow::bail;
use pumphandle_core::events::{self, EventKind};

use crate::args::EventsArguments;
use crate::{End, scenarios, screen};

/// Bytes of a log that are read: four times what a run keeps.
const MOST_READ: u64 = 4 * events::MOST_KEPT as u64;

pub(crate) fn print(arguments: &EventsArguments) -> anyhow::Result<End> {
    let file = arguments.file.display();
    let bytes = scenarios::bytes(&arguments.file, MOST_READ)?;
    let mut out = String::new();
    for event in events::read(&bytes) {
        let event = match event {
            Ok(event) => event,
            Err(offset) => bail!("{file} is no event log, or it is damaged at byte {offset}"),
        };
        let seconds = event.at.secs_f64();
        let early = arguments.from.is_some_and(|from| seconds < from.secs_f64());
        let late = arguments.to.is_some_and(|to| seconds > to.secs_f64());
        let of_arrival = matches!(
            event.kind,
            EventKind::Arrival
                | EventKind::Resolved
                | EventKind::Arrived
                | EventKind::Rejected
                | EventKind::Started
                | EventKind::Left
                | EventKind::Away
        );
        let other = arguments.arrival.is_some_and(|arrival| !of_arrival || event.a != arrival);
        if early || late || other {
            continue;
        }
        let service =
            if event.service == u8::MAX { "users".to_owned() } else { format!("#{}", event.service) };
        let kind = format!("{:?}", event.kind).to_lowercase();
        writeln!(out, "{seconds:>14.6}  {service:<6} {kind:<10} {:>20} {:#x}", event.a, event.b)?;
        if out.len() > 1 << 16 {
            screen::print(&std::mem::take(&mut out))?;
        }
    }
    screen::print(&out)?;
    Ok(End::Held)
}
