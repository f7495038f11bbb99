//! A node with real sockets: what each client sees, whatever the others do.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod harness;
mod hostile;
mod limits;
mod privacy;
mod raw;
mod relations;
mod requests;
mod restart;
mod sessions;
