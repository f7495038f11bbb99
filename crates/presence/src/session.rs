//! The life of a session: Live, Detached, and then no more.

use serde::{Deserialize, Serialize};

use crate::hello::TokenHash;
use crate::ids::{ConnId, Incarnation, SessionId, ShardId};
use crate::report::Report;
use crate::time::Timestamp;

/// Most sessions of one user that have not ended.
pub const SESSIONS_PER_USER_MAX: usize = 20;

/// Longest address and client name kept of a session, in characters.
pub const CLIENT_CHARS_MAX: usize = 120;

/// The socket that a session is bound to. Two sockets of one session differ here, so that what an
/// old one still says is told apart from the new one's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Owner {
    /// The life of the node.
    pub node: Incarnation,
    /// The shard.
    pub shard: ShardId,
    /// The socket.
    pub conn: ConnId,
}

/// Whether a session has a socket. One that ended has no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// Bound to a socket.
    Live(Owner),
    /// Without one, and ended unless it comes back.
    Detached {
        /// The deadline, by the store's clock.
        until: Timestamp,
    },
}

/// A session as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRecord {
    /// Which.
    pub id: SessionId,
    /// Live or Detached.
    pub life: Life,
    /// What it says of itself, once it has said anything.
    pub report: Option<Report>,
    /// When the report last changed.
    pub reported: Timestamp,
    /// Hash of the secret of the current resume token.
    pub token: TokenHash,
    /// The one before, good until the first frame on the new socket.
    pub previous: Option<TokenHash>,
    /// When the session was opened.
    pub since: Timestamp,
    /// Address that it last came from.
    pub address: Box<str>,
    /// The client program, as it named itself.
    pub client: Box<str>,
}

/// A status set by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manual {
    /// The words, up to 100 characters.
    pub status: Box<str>,
    /// When it ends by itself.
    pub until: Option<Timestamp>,
}

/// Why a session ended or lost its socket; for the log and, later, the timeline of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// The client said `bye` or closed with 1000.
    Goodbye,
    /// Two pings in a row went unanswered.
    PingsMissed,
    /// The socket was lost.
    Dropped,
    /// The deadline to come back passed.
    WindowOver,
    /// The client broke the protocol.
    Misbehaved,
    /// The user signed it out.
    SignedOut,
    /// The oldest Detached session made room for a new one.
    MadeRoom,
    /// The node stopped.
    NodeStopped,
}
