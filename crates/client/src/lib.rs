//! The Rust client of a presence server: what the command line, the load generator and the tests
//! speak through.
//!
//! Three layers, each usable alone. [`reducer`] turns messages into a map of users; [`connection`]
//! decides what one client does next; [`socket`] and [`session`] do the I/O, blocking, on the
//! caller's thread. This crate never starts a thread and needs no runtime.

mod backoff;
mod clock;
pub mod connection;
pub mod reducer;
pub mod session;
pub mod socket;
pub mod target;

pub use connection::{Connection, Login};
pub use reducer::{Change, Person, Presence, Seen, State, reduce};
pub use session::{Event, Session};
pub use socket::{Client, ClientError, Options, Pings, Received};
pub use target::{Target, TargetError};
