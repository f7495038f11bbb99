//! The node: sockets, HTTP, identity, shards, configuration, logs and metrics.
//!
//! The rules are in `presence`, the wire in `protocol`, what lasts in `store` and `directory`: this
//! crate moves bytes and messages between them, and decides nothing that those decide.

mod accept;
mod address;
mod changes;
mod clock;
pub mod config;
mod connection;
mod encode;
mod handshakes;
mod http;
mod identity;
mod mailbox;
mod node;
mod people;
mod process;
mod serve;
mod shard_loop;
mod telemetry;

pub use config::{Config, ConfigError, Settings};
pub use node::{Node, StartError};
pub use serve::serve;
