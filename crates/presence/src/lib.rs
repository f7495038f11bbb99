//! The rules of presence, pure: who hears about whom, what many sessions make of one presence,
//! how long a session lives, and what each watcher's view changed by.
//!
//! This crate never reads a clock, a socket, a disk or a random number, and knows no wire format:
//! time and randomness are handed in, effects are handed out.

pub mod aggregate;
pub mod ask;
pub mod close;
pub mod exchange;
pub mod glob;
pub mod hello;
pub mod ids;
pub mod outbox;
pub mod person;
pub mod rate;
pub mod relation;
pub mod report;
pub mod session;
pub mod shard;
pub mod text;
pub mod time;
pub mod transition;
pub mod view;
pub mod visibility;
pub mod watch;
