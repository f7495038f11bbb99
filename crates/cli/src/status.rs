//! `rollcall status`: reports once and stays, as an editor would, until it is interrupted.

use std::io::{self, Write};

use clap::Args;
use client::Event;
use presence::report::ReportChange;
use protocol::message::ServerMessage;

use crate::connect::{ConnectArgs, Link};
use crate::failure::Failure;
use crate::signals::{ASK_EVERY, Interrupts};
use crate::watch::words;

/// Flags of `rollcall status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// What you are doing, such as `coding`
    status: String,
    /// The project
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
    /// The programming language
    #[arg(long, value_name = "NAME")]
    language: Option<String>,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// Reports, and tells on standard output what happens.
pub(crate) fn run(args: &StatusArgs) -> Result<(), Failure> {
    let (project, language) = (args.project.as_deref(), args.language.as_deref());
    let report = ReportChange::parse(Some(&args.status), project, language)
        .map_err(|error| Failure::Usage(error.to_string()))?;
    let said = [Some(&*args.status), project, language];
    let said: Vec<&str> = said.into_iter().flatten().filter(|word| !word.is_empty()).collect();
    let mut teller = Teller { said: said.join(" · "), was_welcomed: false };
    let mut link = args.connect.link(report)?;
    let interrupts = listen()?;
    while !interrupts.came() {
        teller.step(&mut link)?;
    }
    link.goodbye();
    tell("goodbye")
}

/// Listens for Ctrl-C and SIGTERM.
pub(crate) fn listen() -> Result<Interrupts, Failure> {
    Interrupts::listen().map_err(|error| Failure::Failed(format!("no signals: {error}")))
}

struct Teller {
    said: String,
    was_welcomed: bool,
}

impl Teller {
    fn step(&mut self, link: &mut Link) -> Result<(), Failure> {
        match link.next(ASK_EVERY)? {
            None | Some(Event::Connected | Event::Unknown(_)) => Ok(()),
            Some(Event::Moving) => tell("the server asks to connect again"),
            Some(Event::Disconnected { why, retry_in }) => {
                let secs = retry_in.as_secs_f64();
                tell(&format!("{why}; trying again in {secs:.1} s"))
            }
            Some(Event::Ended { why }) => Err(Failure::Failed(why)),
            Some(Event::Message(received)) => match received.message() {
                ServerMessage::Welcome(welcome) => {
                    let (id, name) = (words::plain(&welcome.id), words::plain(&welcome.name));
                    let line = match (welcome.resumed, self.was_welcomed) {
                        (true, _) => "back: the session goes on, nobody noticed".to_owned(),
                        (false, true) => format!("back as a new session: {}", self.said),
                        (false, false) => format!("connected as {name} ({id}): {}", self.said),
                    };
                    self.was_welcomed = true;
                    tell(&line)
                }
                ServerMessage::Stale => tell("the server has lost its store and tries again"),
                ServerMessage::Fresh => tell("the server has its store again"),
                ServerMessage::Error { message, code, .. } => {
                    tell(&format!("the server says: {} ({})", words::plain(&message), code.name()))
                }
                _ => Ok(()),
            },
        }
    }
}

/// Prints a line at once, for whoever reads through a pipe.
pub(crate) fn tell(line: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(|error| Failure::output(&error))
}
