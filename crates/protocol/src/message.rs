//! The messages of the protocol as values, whatever the codec, and what is wrong with those that
//! cannot be read.
//!
//! Texts of server messages are borrowed where they can be: the server encodes from what it holds,
//! a client decodes out of the frame. This module never touches bytes.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use presence::ask::{Answer, Ask};
use presence::close::ErrorCode;
use presence::hello::Hello;
use presence::report::ReportChange;

/// What a client sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientMessage {
    /// Who is there; the first message of a connection.
    Hello(Hello),
    /// A report: absent fields keep their value.
    Report(ReportChange),
    /// A sign of life; nothing answers it.
    Heartbeat,
    /// The answer to a ping.
    Pong,
    /// The session ends, at once or after a while in which it may still come back.
    Bye {
        /// How long the session may come back, at most [`crate::limits::BYE_AFTER_MAX`].
        after: Option<Duration>,
    },
    /// A request, answered by a response or an error with the same number.
    Request {
        /// The client's number for it.
        n: u64,
        /// What is asked for.
        ask: Ask,
    },
}

/// What a server sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerMessage<'a> {
    /// The login or resume went through.
    Welcome(Welcome<'a>),
    /// Oneself and the watch list, or the part of it that changed.
    Sync {
        /// Oneself first, with relation 0, in a full list.
        users: Vec<Entry<'a>>,
        /// Only those whose view changed since the cursor; else the list replaces the map.
        part: bool,
    },
    /// A patch of one user's presence.
    Update(Update<'a>),
    /// A user is offline.
    Offline {
        /// Whom.
        id: Cow<'a, str>,
        /// When last seen, in Unix seconds.
        at: Option<u64>,
        /// The user has left the watch list.
        gone: bool,
    },
    /// Asks for a `pong` at once.
    Ping {
        /// Where the session has got to.
        cursor: Option<Cow<'a, str>>,
    },
    /// Asks the client to reconnect.
    Go {
        /// After so many milliseconds.
        after_ms: u64,
    },
    /// What the client knows may no longer be true.
    Stale,
    /// What the client knows is true again.
    Fresh,
    /// A message was refused.
    Error {
        /// The number of the request that it answers.
        n: Option<u64>,
        /// The code that programs act on.
        code: ErrorCode,
        /// The sentence that a person reads.
        message: Cow<'a, str>,
    },
    /// A request was done.
    Response {
        /// The number of the request.
        n: u64,
        /// What it is answered with.
        answer: Answer,
    },
}

/// The server's first message after a `hello` that went through.
#[derive(Clone, PartialEq, Eq)]
pub struct Welcome<'a> {
    /// Who the client is.
    pub id: Cow<'a, str>,
    /// Display name.
    pub name: Cow<'a, str>,
    /// The session's id.
    pub session: Cow<'a, str>,
    /// The resume token for the next time.
    pub resume: Cow<'a, str>,
    /// Whether the earlier session goes on.
    pub resumed: bool,
    /// Seconds between heartbeats, 0 for none.
    pub heartbeat_secs: u64,
    /// Seconds between the server's pings.
    pub ping_secs: u64,
    /// Seconds within which a dropped session can be resumed.
    pub window_secs: u64,
    /// The token with which a guest comes again.
    pub guest_token: Option<Cow<'a, str>>,
}

impl fmt::Debug for Welcome<'_> {
    // Tokens stand in no log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Welcome")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("session", &self.session)
            .field("resumed", &self.resumed)
            .field("heartbeat_secs", &self.heartbeat_secs)
            .field("ping_secs", &self.ping_secs)
            .field("window_secs", &self.window_secs)
            .finish_non_exhaustive()
    }
}

/// One user in a `sync`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Who.
    pub id: Cow<'a, str>,
    /// Display name.
    pub name: Cow<'a, str>,
    /// Address of a picture.
    pub avatar: Option<Cow<'a, str>>,
    /// What the client may know of the relation; 0 for oneself.
    pub relation: u8,
    /// Here or not.
    pub state: EntryState<'a>,
}

/// The presence of a user in a `sync`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryState<'a> {
    /// The user is here.
    Online {
        /// Status word.
        status: Cow<'a, str>,
        /// Project, empty if none.
        project: Cow<'a, str>,
        /// Language, empty if none.
        language: Cow<'a, str>,
    },
    /// The user is not here.
    Offline {
        /// When last seen, in Unix seconds.
        seen: Option<u64>,
    },
}

/// A patch: only what changed. A user who comes has all fields that are not empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Update<'a> {
    /// Whom it is about.
    pub id: Cow<'a, str>,
    /// New status word.
    pub status: Option<Cow<'a, str>>,
    /// New project, empty if there is none any more.
    pub project: Option<Cow<'a, str>>,
    /// New language, empty if there is none any more.
    pub language: Option<Cow<'a, str>>,
    /// New relation.
    pub relation: Option<u8>,
    /// Display name, for someone new to the list.
    pub name: Option<Cow<'a, str>>,
    /// Address of a picture, for someone new to the list.
    pub avatar: Option<Cow<'a, str>>,
}

fn owned(text: Cow<'_, str>) -> Cow<'static, str> {
    Cow::Owned(text.into_owned())
}

impl ServerMessage<'_> {
    /// The message with texts of its own, to outlive the frame that it came in.
    pub fn into_owned(self) -> ServerMessage<'static> {
        match self {
            Self::Welcome(welcome) => ServerMessage::Welcome(welcome.into_owned()),
            Self::Sync { users, part } => {
                let users = users.into_iter().map(Entry::into_owned).collect();
                ServerMessage::Sync { users, part }
            }
            Self::Update(update) => ServerMessage::Update(update.into_owned()),
            Self::Offline { id, at, gone } => ServerMessage::Offline { id: owned(id), at, gone },
            Self::Ping { cursor } => ServerMessage::Ping { cursor: cursor.map(owned) },
            Self::Go { after_ms } => ServerMessage::Go { after_ms },
            Self::Stale => ServerMessage::Stale,
            Self::Fresh => ServerMessage::Fresh,
            Self::Error { n, code, message } => {
                ServerMessage::Error { n, code, message: owned(message) }
            }
            Self::Response { n, answer } => ServerMessage::Response { n, answer },
        }
    }
}

impl Welcome<'_> {
    /// With texts of its own.
    pub fn into_owned(self) -> Welcome<'static> {
        Welcome {
            id: owned(self.id),
            name: owned(self.name),
            session: owned(self.session),
            resume: owned(self.resume),
            resumed: self.resumed,
            heartbeat_secs: self.heartbeat_secs,
            ping_secs: self.ping_secs,
            window_secs: self.window_secs,
            guest_token: self.guest_token.map(owned),
        }
    }
}

impl Entry<'_> {
    /// With texts of its own.
    pub fn into_owned(self) -> Entry<'static> {
        let state = match self.state {
            EntryState::Online { status, project, language } => EntryState::Online {
                status: owned(status),
                project: owned(project),
                language: owned(language),
            },
            EntryState::Offline { seen } => EntryState::Offline { seen },
        };
        Entry {
            id: owned(self.id),
            name: owned(self.name),
            avatar: self.avatar.map(owned),
            relation: self.relation,
            state,
        }
    }
}

impl Update<'_> {
    /// With texts of its own.
    pub fn into_owned(self) -> Update<'static> {
        Update {
            id: owned(self.id),
            status: self.status.map(owned),
            project: self.project.map(owned),
            language: self.language.map(owned),
            relation: self.relation,
            name: self.name.map(owned),
            avatar: self.avatar.map(owned),
        }
    }
}

/// A client's message that the server cannot take: what it answers with `err`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Malformed {
    /// The message's `n`, where it could be read.
    pub n: Option<u64>,
    /// [`ErrorCode::BadMessage`] or [`ErrorCode::UnknownMessage`].
    pub code: ErrorCode,
    /// What is wrong, naming the field.
    pub message: String,
}

impl Malformed {
    /// A message that cannot be read, or has a bad field.
    pub fn bad(message: impl Into<String>) -> Self {
        Self { n: None, code: ErrorCode::BadMessage, message: message.into() }
    }

    /// A message, or a request, of a kind that nobody knows.
    pub fn unknown(message: impl Into<String>) -> Self {
        Self { n: None, code: ErrorCode::UnknownMessage, message: message.into() }
    }
}

/// A server's message that a client cannot take.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// Not JSON, or a field of another type.
    #[error("the server's message cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// A kind of message that this version does not know. Clients pass over it.
    #[error("the server's message {0:?} is not known; the server may be newer than this client")]
    UnknownMessage(String),
    /// A field is absent, or has a value that this version does not know.
    #[error("the server's message `{message}` has no `{field}` that this client knows")]
    Field {
        /// The kind of message.
        message: &'static str,
        /// The field.
        field: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_welcome_prints_no_token() {
        let welcome = Welcome {
            id: "guest_1".into(),
            name: "zoë".into(),
            session: "00".into(),
            resume: "resume-token".into(),
            resumed: false,
            heartbeat_secs: 10,
            ping_secs: 30,
            window_secs: 60,
            guest_token: Some("guest-token".into()),
        };
        let printed = format!("{:?}", ServerMessage::Welcome(welcome));
        assert!(printed.contains("guest_1") && !printed.contains("-token"), "{printed}");
    }
}
