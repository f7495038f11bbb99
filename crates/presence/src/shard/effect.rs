//! What goes into a shard and what comes out of it.

use std::sync::Arc;
use std::time::Duration;

use crate::ask::{Answer, Ask, Refusal};
use crate::close::{Close, ErrorCode};
use crate::exchange::{Event, Request};
use crate::hello::{Credentials, Cursor, Hello, ResumeToken};
use crate::ids::{ConnId, RelationVersion, SessionId, UserId};
use crate::person::{Person, Tie, WatchList};
use crate::relation::Relation;
use crate::report::ReportChange;
use crate::shard::conn::Fresh;
use crate::time::Timestamp;
use crate::view::{Presence, Sight, View};

/// What a client said, `hello` aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// A report.
    Report(ReportChange),
    /// A sign of life, asked for (`pong`) or not (`hb`).
    Alive,
    /// Goodbye; with a time, it may come back at once.
    Bye {
        /// How long to wait for it.
        after: Option<Duration>,
    },
    /// A request.
    Request {
        /// Its number, which the answer carries.
        n: u64,
        /// What is asked.
        ask: Ask,
    },
    /// A message that could not be understood.
    Bad {
        /// The request's number, if it had one.
        n: Option<u64>,
        /// What is wrong.
        refusal: Refusal,
    },
    /// A message over the limit.
    TooLarge,
    /// A binary frame where text is due, or a broken one.
    NotText,
}

/// Everything that can happen to a shard.
#[derive(Debug)]
pub enum Input {
    /// A socket has been handed over.
    Opened {
        /// Its number, chosen by the driver.
        conn: ConnId,
        /// Random part of the ping interval that the first ping waits.
        ping_offset: Duration,
    },
    /// A client says hello.
    Hello {
        /// Its socket.
        conn: ConnId,
        /// What it said.
        hello: Box<Hello>,
        /// Random numbers for a new session and token.
        fresh: Fresh,
    },
    /// A client says something else.
    Said {
        /// Its socket.
        conn: ConnId,
        /// What it said.
        said: Said,
    },
    /// A frame without a message came: a ping, a pong, a part of a message.
    Frame {
        /// Its socket.
        conn: ConnId,
    },
    /// A socket is gone.
    Closed {
        /// Which.
        conn: ConnId,
        /// Whether the client closed it with code 1000.
        goodbye: bool,
    },
    /// A login was checked and the person read, or a session's user was read again.
    LoggedIn {
        /// The socket that waits.
        conn: ConnId,
        /// Who it is.
        result: Result<Box<Person>, Refusal>,
    },
    /// A live session's watch list was read again.
    WatchList {
        /// Its socket.
        conn: ConnId,
        /// The list, or none if the directory did not answer.
        result: Option<Box<WatchList>>,
    },
    /// A subject's relations to its watchers here were read again.
    Ties {
        /// The subject.
        subject: UserId,
        /// The version that they were read at.
        version: RelationVersion,
        /// One per watcher that was asked for.
        ties: Vec<Tie>,
    },
    /// A request that the directory answers was answered.
    Answer {
        /// The socket that asked.
        conn: ConnId,
        /// The request's number.
        n: u64,
        /// The answer.
        result: Result<Answer, Refusal>,
    },
    /// The store says something.
    Store(Event),
    /// The node stops, or gives up its clients.
    CloseAll {
        /// Why.
        close: Close,
    },
}

/// What the driver is to do.
#[derive(Debug)]
pub enum Effect {
    /// Ask the store.
    Store(Request),
    /// Check a login and read the person; answered by [`Input::LoggedIn`].
    Login {
        /// The socket that waits.
        conn: ConnId,
        /// What it claims.
        credentials: Credentials,
    },
    /// Read the person; answered by [`Input::LoggedIn`].
    Load {
        /// The socket that waits.
        conn: ConnId,
        /// Whom.
        user: UserId,
    },
    /// Read a watch list again; answered by [`Input::WatchList`].
    LoadWatchList {
        /// The session's socket.
        conn: ConnId,
        /// Whose.
        user: UserId,
    },
    /// Read relations again; answered by [`Input::Ties`], however long it takes.
    ReadTies {
        /// The subject.
        subject: UserId,
        /// The watchers; perhaps none, and then the version alone is asked for.
        watchers: Vec<UserId>,
    },
    /// Carry out a request on the directory; answered by [`Input::Answer`].
    Perform {
        /// The socket that asks.
        conn: ConnId,
        /// The request's number.
        n: u64,
        /// Whose request it is.
        user: UserId,
        /// What is asked.
        ask: Ask,
    },
    /// Send a message, after everything sent before.
    Send {
        /// To which socket.
        conn: ConnId,
        /// The message.
        notice: Notice,
    },
    /// This socket has patches to take.
    Dirty {
        /// Which.
        conn: ConnId,
    },
    /// A resume succeeded: the handshake's charge is given back.
    Refund {
        /// To whose address.
        conn: ConnId,
    },
    /// Close a socket; the shard has forgotten it already.
    Close {
        /// Which.
        conn: ConnId,
        /// Why.
        close: Close,
    },
}

/// A message that is not a patch.
#[derive(Debug)]
pub enum Notice {
    /// The session is open, or bound again.
    Welcome(Box<Welcome>),
    /// Oneself and the watch list, or the part of it that changed.
    Sync {
        /// Whether what is not listed stays as it was.
        part: bool,
        /// The users.
        entries: Vec<SyncEntry>,
    },
    /// Are you there?
    Ping {
        /// Up to where everything was written.
        cursor: Cursor,
    },
    /// An error.
    Error {
        /// The request's number, if it belongs to one.
        n: Option<u64>,
        /// What is wrong.
        refusal: Refusal,
    },
    /// A request's answer.
    Response {
        /// The request's number.
        n: u64,
        /// The answer.
        answer: Answer,
    },
}

impl Notice {
    pub(super) fn error(code: ErrorCode, message: impl Into<Box<str>>) -> Self {
        Self::Error { n: None, refusal: Refusal::new(code, message) }
    }
}

/// What a session is told when it begins or is bound again.
#[derive(Debug)]
pub struct Welcome {
    /// Who it is.
    pub user: UserId,
    /// Display name.
    pub name: Box<str>,
    /// The session.
    pub session: SessionId,
    /// The new resume token.
    pub resume: ResumeToken,
    /// Whether the session was resumed.
    pub resumed: bool,
    /// Time between two heartbeats.
    pub heartbeat: Duration,
    /// Time between two pings.
    pub ping: Duration,
    /// Time to come back.
    pub window: Duration,
}

/// One user of a `sync`.
#[derive(Debug)]
pub struct SyncEntry {
    /// Who.
    pub id: UserId,
    /// Display name.
    pub name: Box<str>,
    /// Address of a picture, empty if none.
    pub avatar: Box<str>,
    /// What the watcher is to the user.
    pub relation: Relation,
    /// The state, as it was when the message was made.
    pub presence: Arc<Presence>,
    /// What the relation itself lets be seen.
    pub sight: Sight,
    /// An older last seen is not told.
    pub seen_since: Timestamp,
}

impl SyncEntry {
    /// What the watcher sees; a last seen that is too old is none.
    pub fn view(&self) -> View<'_> {
        match self.presence.view(self.relation, self.sight) {
            View::Offline { seen } if seen < self.seen_since => {
                View::Offline { seen: Timestamp::NEVER }
            }
            view => view,
        }
    }
}
