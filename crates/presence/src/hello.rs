//! How a client says who it is: a login, or the claim to an earlier session.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::ids::{Epoch, RelationVersion, SessionId};
use crate::report::ReportChange;
use crate::time::Timestamp;

/// A text that must not reach a log: prints as dots.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    /// Wraps a secret text.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that checks it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// Which kind of identity a login claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityKind {
    /// A GitHub OAuth token.
    Github,
    /// A token of a configured issuer.
    Jwt,
    /// A guest, new by name or again by token.
    Guest,
    /// Anyone, by name, where `--dev` allows it.
    Dev,
}

/// A login as claimed; nothing in it is believed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The kind of identity.
    pub kind: IdentityKind,
    /// The token (for `dev`, the name).
    pub token: Option<Secret>,
    /// The name that a new guest wants.
    pub name: Option<Box<str>>,
    /// The guest token of the guest whom a GitHub user was.
    pub guest: Option<Secret>,
}

/// The SHA-256 of a resume token's secret: all that is kept of it.
pub type TokenHash = [u8; 32];

/// The claim to a session: where it lives, which it is, and the secret that proves it.
#[derive(Clone, PartialEq, Eq)]
pub struct ResumeToken {
    /// Partition of the session's user.
    pub partition: u16,
    /// The session.
    pub session: SessionId,
    /// 32 random bytes.
    pub secret: [u8; 32],
}

impl ResumeToken {
    /// What the store keeps of the secret.
    pub fn hash(&self) -> TokenHash {
        hash_secret(&self.secret)
    }
}

/// What is kept of a resume token's secret: its SHA-256.
pub fn hash_secret(secret: &[u8; 32]) -> TokenHash {
    Sha256::digest(secret).into()
}

impl fmt::Debug for ResumeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResumeToken({}, …)", self.session)
    }
}

/// What a `hello` brings as `resume`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResumeClaim {
    /// A token that can be read.
    Token(ResumeToken),
    /// A text that is no resume token: refused like a wrong one, and a login may still follow.
    Unreadable,
}

/// Up to where a session's client has everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The store's epoch.
    pub epoch: Epoch,
    /// Store time up to which all that concerns the session was written to its socket.
    pub at: Timestamp,
    /// Version of the user's own relations.
    pub relations: RelationVersion,
}

/// The first message of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hello {
    /// The claim to an earlier session.
    pub resume: Option<ResumeClaim>,
    /// Where that session's client had got to.
    pub cursor: Option<Cursor>,
    /// Who is there, for a new session or where the claim fails.
    pub credentials: Option<Credentials>,
    /// The first report, which may be empty.
    pub report: ReportChange,
}
