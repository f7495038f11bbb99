//! What the directory tells of a person: who they are, what they show to whom, whom they watch.

use crate::ids::{RelationVersion, UserId};
use crate::relation::Relation;
use crate::view::{PerClass, Sight};
use crate::visibility::Preferences;

/// Everything that a session needs to know of its user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Who.
    pub id: UserId,
    /// Display name.
    pub name: Box<str>,
    /// Address of a picture, empty if none.
    pub avatar: Box<str>,
    /// What they show to whom.
    pub preferences: Preferences,
    /// Last seen per class, as the directory has it.
    pub seen: PerClass,
    /// The watch list.
    pub watch_list: WatchList,
}

/// Whom a user hears about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchList {
    /// Version of the user's relations that the list was read at.
    pub relations: RelationVersion,
    /// In the order pinned, connected, following, followers; at most `--watch-list-max`.
    pub entries: Vec<WatchEntry>,
}

/// One watched user, as one watcher's directory entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchEntry {
    /// Whom.
    pub id: UserId,
    /// Display name.
    pub name: Box<str>,
    /// Address of a picture, empty if none.
    pub avatar: Box<str>,
    /// What the watcher is to them.
    pub relation: Relation,
    /// What the watcher had seen when that relation last changed.
    pub sight: Sight,
    /// Version of *their* relations.
    pub relations: RelationVersion,
    /// Their last seen per class, for when no store has them.
    pub seen: PerClass,
}

/// The relation of one watcher to one subject, read again for a presence that knows of newer ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tie {
    /// The watcher.
    pub watcher: UserId,
    /// What it is to the subject.
    pub relation: Relation,
    /// What it had seen when that relation last changed.
    pub sight: Sight,
}
