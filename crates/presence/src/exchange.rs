//! What shards ask of the store, and what they hear from it: two closed enums.
//!
//! The store answers a shard's requests in the order they were made.

use std::sync::Arc;

use crate::ask::SessionInfo;
use crate::hello::TokenHash;
use crate::ids::{ConnId, Epoch, Handle, RelationVersion, SessionId, UserId};
use crate::report::ReportChange;
use crate::session::{Cause, Manual, Owner};
use crate::time::Timestamp;
use crate::transition::{Binding, Profile};
use crate::view::Presence;
use crate::visibility::Preferences;

/// A shard's request to the store, or the node's.
#[derive(Debug)]
pub enum Request {
    /// Tell this shard of each change of these users from now on, and what they are now.
    /// Answered by [`Event::Watched`], also when the list is empty.
    Watch {
        /// The connection that waits for it, if one does.
        conn: Option<ConnId>,
        /// Users that the shard does not watch yet.
        users: Vec<UserId>,
    },
    /// Nobody on this shard watches that user any more.
    Unwatch(Handle),
    /// Open a session. Answered by [`Event::Opened`].
    Open {
        /// Whose.
        user: UserId,
        /// Its socket and token.
        binding: Binding,
        /// The first report, perhaps empty.
        report: ReportChange,
        /// What the directory knows of the user.
        profile: Profile,
    },
    /// Bind a session to a new socket. Answered by [`Event::Resumed`].
    Resume {
        /// The new socket and token.
        binding: Binding,
        /// Hash of the secret that came.
        secret: TokenHash,
    },
    /// The first frame came on a resumed session's socket.
    Confirm {
        /// Whose.
        user: UserId,
        /// The session.
        session: SessionId,
        /// Its socket.
        owner: Owner,
    },
    /// A session reports.
    Report {
        /// Whose.
        user: UserId,
        /// The session.
        session: SessionId,
        /// Its socket.
        owner: Owner,
        /// What it says.
        change: ReportChange,
    },
    /// A session lost its socket.
    Detach {
        /// Whose.
        user: UserId,
        /// The session.
        session: SessionId,
        /// The socket that it lost.
        owner: Owner,
        /// The deadline.
        until: Timestamp,
        /// Why.
        cause: Cause,
    },
    /// A session is over.
    End {
        /// Whose.
        user: UserId,
        /// The session.
        session: SessionId,
        /// Its socket.
        owner: Owner,
        /// Why.
        cause: Cause,
    },
    /// A status by hand. Answered by nothing: it comes back as presence.
    Manual {
        /// Whose.
        user: UserId,
        /// The status, or none.
        manual: Option<Manual>,
    },
    /// Preferences have changed in the directory.
    Preferences {
        /// Whose.
        user: UserId,
        /// As they now are.
        preferences: Preferences,
    },
    /// Relations have changed in the directory.
    Relations {
        /// Whose.
        user: UserId,
        /// As of which version.
        version: RelationVersion,
    },
    /// List a user's sessions. Answered by [`Event::Sessions`].
    Sessions {
        /// Whose.
        user: UserId,
        /// The socket that asks.
        conn: ConnId,
        /// The request's number.
        n: u64,
    },
    /// End one session, or all, by the user's wish. Answered by [`Event::SignoutDone`]; the
    /// sockets hear [`Event::SignedOut`].
    Signout {
        /// Whose.
        user: UserId,
        /// Which; all if none is named.
        session: Option<SessionId>,
        /// The socket that asks.
        conn: ConnId,
        /// The request's number.
        n: u64,
    },
}

/// What a shard hears from the store.
#[derive(Debug)]
pub enum Event {
    /// A watched user's public state is new.
    Presence {
        /// Whose.
        handle: Handle,
        /// The state.
        presence: Arc<Presence>,
    },
    /// These users are watched from now on.
    Watched {
        /// The connection that waited.
        conn: Option<ConnId>,
        /// The life of the store's data.
        epoch: Epoch,
        /// Each user's number and state; none for someone of whom the store knows nothing.
        users: Vec<(UserId, Handle, Option<Arc<Presence>>)>,
    },
    /// A session is open, or was refused for there are too many.
    Opened {
        /// The socket that asked.
        conn: ConnId,
        /// Whether it is open.
        opened: bool,
    },
    /// A session is bound to the socket that asked; its user, or none if it cannot be resumed.
    Resumed {
        /// The socket that asked.
        conn: ConnId,
        /// Whose session it is.
        user: Option<UserId>,
    },
    /// A newer socket has taken the session of this one.
    Replaced {
        /// The old socket.
        conn: ConnId,
    },
    /// The session of this socket was signed out.
    SignedOut {
        /// Its socket.
        conn: ConnId,
    },
    /// The sessions that were asked for.
    Sessions {
        /// The socket that asked.
        conn: ConnId,
        /// The request's number.
        n: u64,
        /// The sessions; `this` is not yet set.
        sessions: Vec<SessionInfo>,
    },
    /// What was to be signed out is.
    SignoutDone {
        /// The socket that asked.
        conn: ConnId,
        /// The request's number.
        n: u64,
        /// Whether there was any such session.
        found: bool,
    },
}
