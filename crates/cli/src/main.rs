//! The binary `rollcall`: one command per module.

mod bench;
mod clock;
mod connect;
mod doctor;
mod failure;
mod http;
mod import;
mod limits;
mod signals;
mod span;
mod status;
mod watch;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::failure::{Failure, USAGE};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Tells each person, live, which of the people they follow are here and what they are doing.
#[derive(Debug, Parser)]
#[command(name = "rollcall", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a node
    Serve(Box<server::Settings>),
    /// Show the friends of one person, live
    Watch(watch::WatchArgs),
    /// Report a status and stay until interrupted
    Status(status::StatusArgs),
    /// Put load on a server and check every delivery
    Bench(bench::BenchArgs),
    /// Bring relations into the directory while no server runs
    #[command(subcommand)]
    Import(import::ImportCommand),
    /// Look for what is wrong and say what to do
    Doctor(doctor::DoctorArgs),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too, and are no errors.
            let code = if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
            // Where nobody reads it, the exit code says it all.
            let _ = error.print();
            return code;
        }
    };
    match run(cli.command) {
        Ok(code) => code,
        Err(failure) => {
            if !matches!(failure, Failure::Told | Failure::NobodyReads) {
                eprintln!("rollcall: {failure}");
            }
            failure.code()
        }
    }
}

fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Serve(settings) => return Ok(server::serve(*settings)),
        Command::Watch(args) => watch::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Import(command) => import::run(&command),
        Command::Doctor(args) => doctor::run(&args),
    }
    .map(|()| ExitCode::SUCCESS)
}
