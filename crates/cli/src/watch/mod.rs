//! `rollcall watch`: the friends of one person, live: as a table in a terminal, as lines in words
//! through a pipe, or as the messages themselves.

mod rows;
mod table;
pub(crate) mod words;

use std::io::IsTerminal;

use clap::Args;
use client::{Event, State, reduce};
use presence::report::ReportChange;

use crate::clock;
use crate::connect::{ConnectArgs, Link};
use crate::failure::Failure;
use crate::signals::{ASK_EVERY, Interrupts};
use crate::status::{listen, tell};

/// Flags of `rollcall watch`.
#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    /// Print each message on a line, exactly as it came
    #[arg(long)]
    json: bool,
}

/// Watches until it is interrupted or the session is over.
pub(crate) fn run(args: &WatchArgs) -> Result<(), Failure> {
    let mut link = args.connect.link(ReportChange::default())?;
    let interrupts = listen()?;
    if args.json {
        print_messages(&mut link, &interrupts)?;
    } else if std::io::stdout().is_terminal() {
        table::run(&mut link, &interrupts, args.connect.url())?;
    } else {
        print_words(&mut link, &interrupts)?;
    }
    link.goodbye();
    Ok(())
}

fn print_messages(link: &mut Link, interrupts: &Interrupts) -> Result<(), Failure> {
    while !interrupts.came() {
        match link.next(ASK_EVERY)? {
            Some(Event::Message(received)) => tell(received.text())?,
            Some(Event::Unknown(text)) => tell(&text)?,
            // Standard output has nothing but messages.
            Some(Event::Disconnected { why, retry_in }) => {
                let secs = retry_in.as_secs_f64();
                eprintln!("rollcall: {why}; trying again in {secs:.1} s");
            }
            None | Some(Event::Connected | Event::Moving | Event::Ended { .. }) => {}
        }
    }
    Ok(())
}

fn print_words(link: &mut Link, interrupts: &Interrupts) -> Result<(), Failure> {
    let mut state = State::default();
    while !interrupts.came() {
        match link.next(ASK_EVERY)? {
            Some(Event::Message(received)) => {
                let changes = reduce(&mut state, &received.message());
                let now = clock::since_epoch().as_secs();
                for change in &changes {
                    if let Some(line) = words::line(&state, change, now) {
                        tell(&line)?;
                    }
                }
            }
            Some(Event::Disconnected { why, retry_in }) => {
                state.disconnected();
                let secs = retry_in.as_secs_f64();
                tell(&format!("{why}; trying again in {secs:.1} s"))?;
            }
            None
            | Some(Event::Connected | Event::Unknown(_) | Event::Moving | Event::Ended { .. }) => {}
        }
    }
    Ok(())
}
