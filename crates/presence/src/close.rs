//! Why a connection ends, and the codes of errors that leave it open.

/// Why the node closes a socket, or how the client did. The close codes stand in the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Close {
    /// The client said goodbye.
    Goodbye,
    /// A message over the limit.
    TooLarge,
    /// This node restarts, and is alone.
    Restart,
    /// Drained after `go`.
    Drained,
    /// The store or the directory does not answer this node.
    StoreUnavailable,
    /// Two pings in a row without any frame since.
    PingsMissed,
    /// No `hello` in time.
    NoHello,
    /// Too many messages, or frames.
    TooMany,
    /// The login was refused.
    LoginRefused,
    /// A newer socket took the session.
    Replaced,
    /// The user signed this session out.
    SignedOut,
    /// Ten bad messages in a row, or a binary frame where text is due.
    BadMessages,
}

impl Close {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Goodbye,
        Self::TooLarge,
        Self::Restart,
        Self::Drained,
        Self::StoreUnavailable,
        Self::PingsMissed,
        Self::NoHello,
        Self::TooMany,
        Self::LoginRefused,
        Self::Replaced,
        Self::SignedOut,
        Self::BadMessages,
    ];

    /// What becomes of the session whose socket is closed so.
    pub const fn fate(self) -> Fate {
        match self {
            Self::Goodbye
            | Self::TooLarge
            | Self::PingsMissed
            | Self::SignedOut
            | Self::LoginRefused
            | Self::BadMessages => Fate::Ends,
            Self::Restart | Self::Drained | Self::StoreUnavailable | Self::TooMany => {
                Fate::Detaches
            }
            Self::NoHello | Self::Replaced => Fate::NotOurs,
        }
    }
}

/// What becomes of a session when its socket is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Ended at once.
    Ends,
    /// Detached for the resume window.
    Detaches,
    /// The socket had no session, or has it no more.
    NotOurs,
}

/// The code of an `err` message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// A message that cannot be read, or has a bad field.
    BadMessage,
    /// A message of a kind that nobody knows.
    UnknownMessage,
    /// The login proves nothing.
    Unauthorized,
    /// The identity provider does not answer.
    IdentityUnavailable,
    /// A wrong or late resume token.
    ResumeFailed,
    /// No relation to that user.
    NotRelated,
    /// Nobody of that id.
    NoSuchUser,
    /// No such invite, or no more.
    InviteInvalid,
    /// One's own invite.
    OwnInvite,
    /// All sessions of the user are live.
    TooManySessions,
    /// Too many requests.
    RateLimited,
    /// The disk is full or the directory cannot be written.
    ReadOnly,
    /// Not in this server, or not in this version.
    NotSupported,
}

impl ErrorCode {
    /// All codes with the names that the protocol gives them.
    pub const NAMES: [(Self, &'static str); 13] = [
        (Self::BadMessage, "bad_message"),
        (Self::UnknownMessage, "unknown_message"),
        (Self::Unauthorized, "unauthorized"),
        (Self::IdentityUnavailable, "identity_unavailable"),
        (Self::ResumeFailed, "resume_failed"),
        (Self::NotRelated, "not_related"),
        (Self::NoSuchUser, "no_such_user"),
        (Self::InviteInvalid, "invite_invalid"),
        (Self::OwnInvite, "own_invite"),
        (Self::TooManySessions, "too_many_sessions"),
        (Self::RateLimited, "rate_limited"),
        (Self::ReadOnly, "read_only"),
        (Self::NotSupported, "not_supported"),
    ];

    /// The protocol's name.
    pub fn name(self) -> &'static str {
        let found = Self::NAMES.iter().find(|(code, _)| *code == self);
        found.map_or("", |(_, name)| name)
    }
}
