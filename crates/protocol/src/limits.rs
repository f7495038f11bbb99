//! The limits that the protocol promises to clients, each with its name.
//!
//! Limits of texts stand with the texts, in `presence::text`; rates are settings of the server.
//! This module never enforces anything.

use std::time::Duration;

/// Bad messages and refused requests in a row that close a socket, and the longest time after a
/// `bye`: rules of a shard.
pub use presence::shard::{BAD_MESSAGES_MAX, BYE_AFTER_MAX, RATE_LIMITED_MAX};

/// Largest message of a client, in bytes; above it the socket is closed with code 1009.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024;

/// Largest header of a handshake, in bytes.
pub const HEADER_BYTES_MAX: usize = 8 * 1024;

/// Time within which the header of a handshake has to be there.
pub const HEADER_TIME_MAX: Duration = Duration::from_secs(5);

/// Time within which the first message, a `hello`, has to be there; else close code 4101.
pub const HELLO_TIME_MAX: Duration = Duration::from_secs(10);

/// Longest login token, guest token or invite code, in bytes.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// Latest moment that a message may name as the end of a status or the start of a session, in Unix
/// seconds: the end of the year 9999. A larger number is most likely one of milliseconds.
pub const UNIX_SECS_MAX: u64 = 253_402_300_799;

/// Shortest wait before a client resumes that was closed for sending too much.
pub const TOO_MANY_WAIT_MIN: Duration = Duration::from_secs(30);
