//! A user's one public state, and what one watcher sees of it.
//!
//! Everything sent to a watcher is made from its [`View`], never from what lies beneath: what a
//! watcher may not see cannot shape a message.

use serde::{Deserialize, Serialize};

use crate::ids::{Epoch, RelationVersion, Version};
use crate::relation::{CLASSES, Class, Relation};
use crate::time::Timestamp;
use crate::visibility::{Audience, Rights};

/// The word for someone who is online and says no more, or not to this watcher.
pub const ONLINE: &str = "online";

/// The merged report of a user who is online.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    // The three fields one after the other, to spend one allocation and two numbers on them.
    text: Box<str>,
    status_end: u16,
    project_end: u16,
}

impl Shown {
    /// Joins the fields. Each is at most some hundreds of bytes, by the limits of [`crate::text`].
    pub fn new(status: &str, project: &str, language: &str) -> Self {
        let status_end = u16::try_from(status.len());
        let project_end = u16::try_from(status.len() + project.len());
        let (Ok(status_end), Ok(project_end)) = (status_end, project_end) else {
            panic!("fields are checked against the limits of `text` before they are merged");
        };
        Self { text: [status, project, language].concat().into(), status_end, project_end }
    }

    /// Status, project and language as those rights let them be seen.
    pub fn visible(&self, rights: Rights) -> (&str, &str, &str) {
        (
            if rights.has(Rights::ACTIVITY) { self.status() } else { ONLINE },
            if rights.has(Rights::PROJECT) { self.project() } else { "" },
            if rights.has(Rights::LANGUAGE) { self.language() } else { "" },
        )
    }

    /// The status word.
    pub fn status(&self) -> &str {
        &self.text[..usize::from(self.status_end)]
    }

    /// The project, empty if none.
    pub fn project(&self) -> &str {
        &self.text[usize::from(self.status_end)..usize::from(self.project_end)]
    }

    /// The language, empty if none.
    pub fn language(&self) -> &str {
        &self.text[usize::from(self.project_end)..]
    }
}

/// A moment per audience class, stored once while all agree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PerClass {
    /// The same for all.
    Same(Timestamp),
    /// One each.
    Each(Box<[Timestamp; CLASSES]>),
}

impl Default for PerClass {
    fn default() -> Self {
        Self::Same(Timestamp::NEVER)
    }
}

impl PerClass {
    /// The moment for one class.
    pub fn get(&self, class: Class) -> Timestamp {
        match self {
            Self::Same(at) => *at,
            Self::Each(all) => all[class.index()],
        }
    }

    /// Sets the moment for the classes in the mask.
    pub fn set(&mut self, classes: u16, at: Timestamp) {
        match classes {
            0 => {}
            u16::MAX => *self = Self::Same(at),
            _ => {
                let mut all = match self {
                    Self::Same(old) => Box::new([*old; CLASSES]),
                    Self::Each(all) => all.clone(),
                };
                for class in Class::all().filter(|class| classes & (1 << class.index()) != 0) {
                    all[class.index()] = at;
                }
                let first = all[0];
                *self = if all.iter().all(|at| *at == first) {
                    Self::Same(first)
                } else {
                    Self::Each(all)
                };
            }
        }
    }

    /// The latest of all classes.
    pub fn latest(&self) -> Timestamp {
        match self {
            Self::Same(at) => *at,
            Self::Each(all) => all.iter().copied().fold(Timestamp::NEVER, Timestamp::max),
        }
    }
}

/// A user's public state as it travels from the store to each shard that watches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// The life of the store in which the version counts.
    pub epoch: Epoch,
    /// Orders this state among the user's states.
    pub version: Version,
    /// Version of the user's relations: a node that holds older ones reads them again first.
    pub relations: RelationVersion,
    /// Who may see what.
    pub audience: Audience,
    /// What is shown, or nothing while offline.
    pub shown: Option<Shown>,
    /// When each class's view last changed.
    pub changed: PerClass,
    /// When each class last saw the user online, as of the last end; not kept up while online.
    pub seen: PerClass,
}

impl Presence {
    /// Someone of whom only the directory knows.
    pub fn offline(seen: PerClass, relations: RelationVersion) -> Self {
        Self {
            epoch: Epoch(0),
            version: Version(0),
            relations,
            audience: Audience::default(),
            shown: None,
            changed: PerClass::default(),
            seen,
        }
    }

    /// Whether this state takes the place of `held`: newer within the epoch, or of another epoch.
    pub fn supersedes(&self, held: &Self) -> bool {
        self.epoch != held.epoch || self.version > held.version
    }

    /// What a watcher of that relation sees. `sight` is what changes of the relation itself left.
    pub fn view(&self, relation: Relation, sight: Sight) -> View<'_> {
        let rights = self.audience.rights_of(relation);
        match &self.shown {
            Some(shown) if rights.has(Rights::PRESENCE) => {
                let (status, project, language) = shown.visible(rights);
                View::Online { status, project, language }
            }
            _ if relation.has(Relation::BLOCKED) => View::Offline { seen: sight.seen },
            _ => {
                let class_seen = self.seen.get(relation.class());
                let is_shared = class_seen > sight.since;
                View::Offline { seen: if is_shared { class_seen } else { sight.seen } }
            }
        }
    }

    /// When a watcher's view last changed.
    pub fn changed_for(&self, relation: Relation, sight: Sight) -> Timestamp {
        let class_changed = self.changed.get(relation.class());
        if relation.has(Relation::BLOCKED) || class_changed <= sight.since {
            sight.changed
        } else {
            class_changed.max(sight.changed)
        }
    }
}

/// What a watcher saw of a subject before it joined the class that it now belongs to. All zero for
/// nearly every pair: those whose history is that of their class.
///
/// What a class saw before somebody joined it is none of the newcomer's: a pin or an unblock, which
/// is never told, must not show by a last seen that rises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sight {
    /// When the view last changed before the watcher joined its class, or when it joined, if that
    /// changed the view.
    pub changed: Timestamp,
    /// When the subject was last seen, before that.
    pub seen: Timestamp,
    /// The last moment of the class's past that the watcher does not share: what the class sees
    /// later counts.
    pub since: Timestamp,
}

impl Sight {
    /// The sight that remains after the relation changed from `old` to `new`.
    ///
    /// Losing sight freezes the last seen at `now`, as if the subject had left. Where neither class
    /// sees the subject, the watcher keeps the last seen that it was told.
    pub fn after(self, presence: &Presence, old: Relation, new: Relation, now: Timestamp) -> Self {
        let (before, after) = (presence.view(old, self), presence.view(new, self));
        // A change that is not yet told everywhere stays one, and no other is told in its place.
        let changed = presence.changed_for(old, self);
        if before == after && changed == presence.changed_for(new, self) {
            return self;
        }
        let seen = match (before, after) {
            (View::Offline { seen }, View::Offline { .. }) => seen,
            _ => now,
        };
        // From the state, not from the clock: what happens while the change is made is later than
        // the state that decided it, and counts.
        let class = new.class();
        let since = presence.seen.get(class).max(presence.changed.get(class));
        let kept = Self { changed, seen, since };
        if presence.view(new, kept) == before { kept } else { Self { changed: now, ..kept } }
    }
}

/// What one watcher sees of one subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View<'a> {
    /// The subject is here.
    Online {
        /// Status word.
        status: &'a str,
        /// Project, empty if none or not for this watcher.
        project: &'a str,
        /// Language, empty if none or not for this watcher.
        language: &'a str,
    },
    /// The subject is not here, or not for this watcher.
    Offline {
        /// When last seen; never, if unknown.
        seen: Timestamp,
    },
}

/// Which fields a patch carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Fields(u8);

impl Fields {
    /// None.
    pub const NONE: Self = Self(0);
    /// The status word.
    pub const STATUS: Self = Self(1);
    /// The project.
    pub const PROJECT: Self = Self(2);
    /// The language.
    pub const LANGUAGE: Self = Self(4);
    /// All three.
    pub const ALL: Self = Self(7);
    /// The subject came or went: whoever comes shows all that is not empty.
    pub const CAME_OR_WENT: Self = Self(8);

    /// From the low four bits.
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits & 15)
    }

    /// As a number below 16.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether any of those is in.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether nothing is in.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// These and those.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl View<'_> {
    /// What changed from this view to the next; nothing if they are the same.
    pub fn difference(self, next: View<'_>) -> Fields {
        match (self, next) {
            (
                View::Online { status: s, project: p, language: l },
                View::Online { status, project, language },
            ) => {
                let mut fields = Fields::NONE;
                for (differs, field) in [
                    (s != status, Fields::STATUS),
                    (p != project, Fields::PROJECT),
                    (l != language, Fields::LANGUAGE),
                ] {
                    if differs {
                        fields = fields.with(field);
                    }
                }
                fields
            }
            (before, after) if before == after => Fields::NONE,
            _ => Fields::CAME_OR_WENT,
        }
    }
}

#[cfg(test)]
mod tests;
