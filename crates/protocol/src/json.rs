//! The JSON codec: one message, one object, its kind in `t`.
//!
//! Reading takes any order of fields, passes over unknown ones, takes `null` as absent and the
//! last of two fields of one name. Writing always gives the same text for the same message, in the
//! order of the protocol's tables, and allocates nothing but the output. Nothing here keeps state
//! or knows who may see what.

mod client;
mod field;
mod request;
mod server;
mod server_read;
mod writer;

pub use client::{decode_client, encode_client};
pub use server::encode_server;
pub use server_read::decode_server;

pub use crate::message::{Malformed, Unreadable};
