//! The server as a process: killed, stopped, started again, with a full disk and with damaged
//! files; and the commands beside it.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod crash;
mod disk;
mod harness;
mod refusals;
mod running;
mod tour;
