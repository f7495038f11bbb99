//! One node under one virtual clock and one seed: shards, store, directory and clients, with drops,
//! crashes, slow readers and late answers, and the checks of what every client is told.
//!
//! Nothing here opens a socket, starts a thread or reads a clock. The rules and the wire format are
//! the real ones: the shards of `presence`, the JSON of `protocol`, the reducer of `client`; the
//! store and the directory are models of a few hundred lines. A seed repeats exactly.

mod chance;
mod check;
mod client;
mod deeds;
mod directory;
mod encode;
mod faults;
mod node;
mod oracle;
mod play;
mod scenario;
mod store;
mod two_worlds;
mod world;

pub use faults::Fault;
pub use scenario::{Mix, Scenario};
pub use two_worlds::{Hiding, compare};
pub use world::{Report, Violation, run};
