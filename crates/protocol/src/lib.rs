//! The wire protocol of Rollcall: the messages, their codecs, close codes, and the text forms of
//! resume tokens and cursors.
//!
//! Only this crate knows what a message looks like on the wire. It turns bytes into the domain's
//! types and back; it never opens a socket, reads a clock, checks a secret or decides what someone
//! may see.

pub mod close;
pub mod codec;
pub mod json;
pub mod limits;
pub mod mapping;
pub mod message;
pub mod token;
