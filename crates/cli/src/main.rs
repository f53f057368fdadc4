//! The binary `pumphandle`: arguments, printing, exit codes. What is measured, judged and drawn is decided
//! elsewhere; this crate asks for it and shows it.
//!
//! Exit codes: 0 all claims held · 1 a claim was broken · 2 bad usage or a scenario that cannot run (nothing
//! was run) · 3 could not measure, or undecided · 4 measured, but not all of it could be written where it should go
//! (where it is, is said) · 130 interrupted (what was measured so far is kept).

mod args;
mod bench;
mod calendar;
mod check;
mod compare;
mod dashboards;
mod doctor;
mod events;
mod folder;
mod hands;
mod ladder;
mod laws;
mod load;
mod map;
mod progress;
mod recording;
mod run;
mod runner;
mod scenarios;
mod screen;
mod sensitivity;
mod serve;
mod stacks;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Arguments, Command, Compare};

/// What a command ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Held,
    Broken,
    Unusable,
    CouldNotMeasure,
    NotKept,
    Interrupted,
}

impl From<End> for ExitCode {
    fn from(end: End) -> ExitCode {
        ExitCode::from(match end {
            End::Held => 0,
            End::Broken => 1,
            End::Unusable => 2,
            End::CouldNotMeasure => 3,
            End::NotKept => 4,
            End::Interrupted => 130,
        })
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let ended = match arguments.command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Check(arguments) => check::check(&arguments),
        Command::Serve(arguments) => serve::serve(&arguments),
        Command::Trigger(arguments) => hands::trigger(&arguments),
        Command::Calm(arguments) => hands::calm(&arguments),
        Command::Pull(arguments) => hands::pull(&arguments),
        Command::Unpull(arguments) => hands::unpull(&arguments),
        Command::Set(arguments) => hands::set(&arguments),
        Command::Reset(arguments) => hands::reset(&arguments),
        Command::State(arguments) => hands::state(&arguments),
        Command::Healthcheck { url } => hands::healthcheck(&url),
        Command::Sweep(arguments) => map::sweep(&arguments),
        Command::Threshold(arguments) => map::threshold(&arguments),
        Command::Sensitivity(arguments) => sensitivity::sensitivity(&arguments),
        Command::List(arguments) => scenarios::list(&arguments),
        Command::Show { scenario } => scenarios::show(&scenario),
        Command::Schema => scenarios::schema(),
        Command::Compare(Compare::Presets(arguments)) => compare::presets(&arguments),
        Command::Load(arguments) => load::load(&arguments),
        Command::Export(arguments) => recording::export(&arguments),
        Command::Dashboards(arguments) => dashboards::dashboards(&arguments),
        Command::Events(arguments) => events::print(&arguments),
        Command::Ladder(arguments) => ladder::ladder(&arguments),
        Command::Laws(arguments) => laws::laws(&arguments),
        Command::Doctor => doctor::examine(),
    };
    match ended {
        Ok(end) => end.into(),
        Err(error) => {
            screen::complain(&error);
            if error.is::<screen::NotKept>() { End::NotKept.into() } else { End::Unusable.into() }
        }
    }
}
