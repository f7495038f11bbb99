//! The directory: who people are, what ties them, what they show to whom, and when they were last
//! seen. Kept in SQLite.
//!
//! This crate never knows whether someone is online: where a change of relation depends on what
//! the watcher sees at that moment, the caller hands in a function that decides.

mod error;
mod import;
mod last_seen;
mod packed;
mod pair;
mod people;
mod relations;
mod sqlite;
mod watch_list;

use std::path::PathBuf;
use std::sync::Arc;

use sqlx::sqlite::SqlitePool;

pub use error::{DirectoryError, OpenError, WriteRefusal};
pub use import::{ImportError, ImportReport, LineError};
pub use last_seen::LastSeenReport;
pub use relations::{RelationChange, Side, WatcherHit};
pub use sqlite::{DirectoryReport, Integrity};

/// How long a watch list may be and whom it takes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchLimits {
    /// Most entries: `--watch-list-max`.
    pub max: usize,
    /// Whether those who follow the watcher are on it too: `--watch-followers`.
    pub followers: bool,
}

/// People and relations in one SQLite file. Cheap to clone: all clones share the connections.
#[derive(Debug, Clone)]
pub struct Directory {
    path: Arc<PathBuf>,
    // SQLite lets one write at a time: they queue here, in order, instead of polling its lock.
    writer: SqlitePool,
    readers: SqlitePool,
}
