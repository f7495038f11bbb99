//! The binary as a person runs it: exit codes, what it prints, and a load test that catches each
//! kind of fault.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod bench;
mod live;
mod node;
mod reference;
mod relay;
mod upkeep;
mod usage;

use std::process::{Command, Output};

/// The binary with these arguments.
fn rollcall(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollcall"));
    command.args(args).env_remove("ROLLCALL_TOKEN");
    command
}

/// Runs it to its end.
fn run(args: &[&str]) -> Output {
    rollcall(args).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}
