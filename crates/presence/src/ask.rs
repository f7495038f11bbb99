//! Requests of a client about itself and its relations, and their answers.

use crate::close::ErrorCode;
use crate::glob::Glob;
use crate::hello::Secret;
use crate::ids::{SessionId, UserId};
use crate::time::Timestamp;
use crate::visibility::{Mode, Preferences};

/// A change of preferences: what is absent stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PreferencesChange {
    /// New visibility.
    pub visibility: Option<Mode>,
    /// New audience of the status word.
    pub activity: Option<Mode>,
    /// New audience of the project.
    pub project: Option<Mode>,
    /// New audience of the language.
    pub language: Option<Mode>,
    /// New list of hidden projects.
    pub hidden_projects: Option<Vec<Glob>>,
}

impl PreferencesChange {
    /// Whether nothing is asked for: the answer is then the preferences as they are.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Lays the change over preferences.
    pub fn apply(self, preferences: &mut Preferences) {
        let modes = [
            (&mut preferences.visibility, self.visibility),
            (&mut preferences.activity, self.activity),
            (&mut preferences.project, self.project),
            (&mut preferences.language, self.language),
        ];
        for (held, new) in modes {
            if let Some(new) = new {
                *held = new;
            }
        }
        if let Some(hidden) = self.hidden_projects {
            preferences.hidden_projects = hidden;
        }
    }
}

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Change or read preferences.
    Prefs(PreferencesChange),
    /// Set a status by hand, up to 100 characters, until then if given; empty clears.
    Manual {
        /// The words.
        status: Box<str>,
        /// When it ends by itself.
        until: Option<Timestamp>,
    },
    /// Pin a close friend.
    Pin(UserId),
    /// Unpin.
    Unpin(UserId),
    /// Block.
    Block(UserId),
    /// Unblock.
    Unblock(UserId),
    /// End a connection.
    Remove(UserId),
    /// Make an invite.
    Invite,
    /// Accept an invite.
    Accept(Secret),
    /// List one's sessions.
    Sessions,
    /// End one session, or all.
    Signout(Option<SessionId>),
}

/// One session as told to its own user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionInfo {
    /// Which.
    pub id: SessionId,
    /// Since when.
    pub since: Timestamp,
    /// Address it last came from.
    pub address: Box<str>,
    /// The client program as it named itself.
    pub client: Box<str>,
    /// Whether it is the session that asks.
    pub this: bool,
}

/// What a request is answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Nothing more to say.
    Done,
    /// The preferences as they now are.
    Preferences(Preferences),
    /// One's sessions.
    Sessions(Vec<SessionInfo>),
}

/// Why a request or a login was refused, for the person who reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The code that programs act on.
    pub code: ErrorCode,
    /// What happened and what to do.
    pub message: Box<str>,
}

impl Refusal {
    /// A refusal with its sentence.
    pub fn new(code: ErrorCode, message: impl Into<Box<str>>) -> Self {
        Self { code, message: message.into() }
    }
}
