//! `rollcall doctor`: looks at the machine, the data and a running server, and says what to do.
//!
//! It changes nothing: it opens the directory only while no server holds the data folder, and never
//! makes a folder or a file that was not there.

mod data;
mod http_date;
mod machine;
mod server;

use std::fmt;
use std::io::{self, Write};

use clap::Args;

use crate::failure::Failure;
use crate::import::PlaceArgs;

/// Flags of `rollcall doctor`.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// The server's address; without it, the usual one is looked at, and may be silent
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The server's admin address; without it, the usual one is looked at, and may be silent
    #[arg(long, value_name = "URL")]
    admin_url: Option<String>,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Ok,
    Warning,
    Problem,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    level: Level,
    subject: &'static str,
    sentence: String,
}

impl Finding {
    fn ok(subject: &'static str, sentence: impl Into<String>) -> Self {
        Self { level: Level::Ok, subject, sentence: sentence.into() }
    }

    fn warning(subject: &'static str, sentence: impl Into<String>) -> Self {
        Self { level: Level::Warning, subject, sentence: sentence.into() }
    }

    fn problem(subject: &'static str, sentence: impl Into<String>) -> Self {
        Self { level: Level::Problem, subject, sentence: sentence.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Ok => "ok",
            Level::Warning => "warning",
            Level::Problem => "PROBLEM",
        };
        write!(f, "{level:<8} {}: {}", self.subject, self.sentence)
    }
}

/// Looks at everything; fails if there is a problem.
pub(crate) fn run(args: &DoctorArgs) -> Result<(), Failure> {
    let mut findings = machine::examine();
    let folder = data::examine(&args.place, &mut findings);
    let ask = server::Ask {
        url: args.url.as_deref(),
        admin_url: args.admin_url.as_deref(),
        is_running: folder == data::Folder::Held,
    };
    findings.extend(server::examine(&ask));
    let mut out = io::stdout().lock();
    for finding in &findings {
        writeln!(out, "{finding}").map_err(|error| Failure::output(&error))?;
    }
    let has_problem = findings.iter().any(|finding| finding.level == Level::Problem);
    if has_problem { Err(Failure::Told) } else { Ok(()) }
}
