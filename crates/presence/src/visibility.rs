//! Who may see a subject's presence and each of its fields.

use serde::{Deserialize, Serialize};

use crate::glob::Glob;
use crate::relation::{Class, Relation};

/// Most hidden projects of one user.
pub const HIDDEN_PROJECTS_MAX: usize = 50;

/// Whom a subject lets see something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Mode {
    /// Every watcher.
    #[default]
    Everyone,
    /// Watchers who follow the subject.
    Followers,
    /// Watchers whom the subject follows.
    Following,
    /// Watchers whom the subject has pinned.
    CloseFriends,
    /// Nobody.
    Invisible,
}

impl Mode {
    /// All modes, with the names that the protocol gives them.
    pub const NAMES: [(Self, &'static str); 5] = [
        (Self::Everyone, "everyone"),
        (Self::Followers, "followers"),
        (Self::Following, "following"),
        (Self::CloseFriends, "close-friends"),
        (Self::Invisible, "invisible"),
    ];

    /// From the protocol's name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, n)| *n == name).map(|(mode, _)| *mode)
    }

    /// The protocol's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Everyone => "everyone",
            Self::Followers => "followers",
            Self::Following => "following",
            Self::CloseFriends => "close-friends",
            Self::Invisible => "invisible",
        }
    }

    /// Whether a watcher of that class is let through. Connected people pass every mode but
    /// `close-friends`, where the pin decides, and `invisible`.
    pub const fn admits(self, class: Class) -> bool {
        match self {
            Self::Everyone => true,
            Self::Followers => class.follows() || class.connected(),
            Self::Following => class.followed() || class.connected(),
            Self::CloseFriends => class.pinned_back(),
            Self::Invisible => false,
        }
    }

    fn classes(self) -> u16 {
        Class::all().filter(|class| self.admits(*class)).map(|class| 1 << class.index()).sum()
    }
}

/// What a user has chosen to show to whom.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Preferences {
    /// Who may see the presence at all.
    pub visibility: Mode,
    /// Who of those may see the status word; others see `online`.
    pub activity: Mode,
    /// Who of those may see the project.
    pub project: Mode,
    /// Who of those may see the language.
    pub language: Mode,
    /// Projects that never leave the server; at most [`HIDDEN_PROJECTS_MAX`].
    pub hidden_projects: Vec<Glob>,
}

impl Preferences {
    /// The masks that travel with each presence.
    pub fn audience(&self) -> Audience {
        let presence = self.visibility.classes();
        Audience {
            presence,
            activity: presence & self.activity.classes(),
            project: presence & self.project.classes(),
            language: presence & self.language.classes(),
        }
    }
}

/// Which classes of watcher may see what: one bit per class, made from [`Preferences`], so that a
/// store that cannot read preferences can still decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audience {
    /// Classes that may see the presence.
    pub presence: u16,
    /// Classes that may see the status word.
    pub activity: u16,
    /// Classes that may see the project.
    pub project: u16,
    /// Classes that may see the language.
    pub language: u16,
}

impl Default for Audience {
    fn default() -> Self {
        Preferences::default().audience()
    }
}

impl Audience {
    /// What a class may see.
    pub const fn rights(&self, class: Class) -> Rights {
        let bit = 1 << class.index();
        let mut rights = 0;
        if self.presence & bit != 0 {
            rights |= Rights::PRESENCE.0;
        }
        if self.activity & bit != 0 {
            rights |= Rights::ACTIVITY.0;
        }
        if self.project & bit != 0 {
            rights |= Rights::PROJECT.0;
        }
        if self.language & bit != 0 {
            rights |= Rights::LANGUAGE.0;
        }
        Rights(rights)
    }

    /// What one watcher may see: nothing when blocked, all of oneself.
    pub const fn rights_of(&self, relation: Relation) -> Rights {
        if relation.has(Relation::ONESELF) {
            Rights::ALL
        } else if relation.has(Relation::BLOCKED) {
            Rights::NONE
        } else {
            self.rights(relation.class())
        }
    }
}

/// What one watcher may see of one subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rights(u8);

impl Rights {
    /// Nothing: the subject is offline to this watcher.
    pub const NONE: Self = Self(0);
    /// That the subject is online.
    pub const PRESENCE: Self = Self(1);
    /// The status word.
    pub const ACTIVITY: Self = Self(2);
    /// The project.
    pub const PROJECT: Self = Self(4);
    /// The language.
    pub const LANGUAGE: Self = Self(8);
    /// Everything.
    pub const ALL: Self = Self(15);

    /// Whether any of those rights is given.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// As a number below 16.
    pub const fn bits(self) -> u8 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(follows: bool, followed: bool, connected: bool, pinned: bool) -> Class {
        let mut relation = Relation::NONE;
        for (yes, bit) in [
            (follows, Relation::FOLLOWS),
            (followed, Relation::FOLLOWED),
            (connected, Relation::CONNECTED),
            (pinned, Relation::PINNED_BACK),
        ] {
            if yes {
                relation = relation.with(bit);
            }
        }
        relation.class()
    }

    #[test]
    fn each_mode_admits_whom_the_contract_names() {
        // mode, then who passes: a follower, one followed, one connected, one pinned, a stranger.
        let table = [
            (Mode::Everyone, [true, true, true, true, true]),
            (Mode::Followers, [true, false, true, false, false]),
            (Mode::Following, [false, true, true, false, false]),
            (Mode::CloseFriends, [false, false, false, true, false]),
            (Mode::Invisible, [false, false, false, false, false]),
        ];
        let people = [
            class(true, false, false, false),
            class(false, true, false, false),
            class(false, false, true, false),
            class(false, false, false, true),
            class(false, false, false, false),
        ];
        for (mode, expected) in table {
            assert_eq!(people.map(|class| mode.admits(class)), expected, "{mode:?}");
            assert_eq!(Mode::parse(mode.name()), Some(mode));
        }
    }

    #[test]
    fn a_field_is_never_shown_wider_than_the_presence() {
        for (visibility, _) in Mode::NAMES {
            for (field, _) in Mode::NAMES {
                let audience =
                    Preferences { visibility, project: field, ..Preferences::default() }.audience();
                for class in Class::all() {
                    let rights = audience.rights(class);
                    assert_eq!(
                        rights.has(Rights::PROJECT),
                        visibility.admits(class) && field.admits(class)
                    );
                    assert_eq!(rights.has(Rights::PRESENCE), visibility.admits(class));
                }
            }
        }
    }

    #[test]
    fn the_blocked_see_nothing_and_oneself_sees_all() {
        let open = Audience::default();
        let friend = Relation::CONNECTED.with(Relation::PINNED_BACK);
        assert_eq!(open.rights_of(friend), Rights::ALL);
        assert_eq!(open.rights_of(friend.with(Relation::BLOCKED)), Rights::NONE);
        let hidden =
            Preferences { visibility: Mode::Invisible, ..Preferences::default() }.audience();
        assert_eq!(hidden.rights_of(Relation::ONESELF), Rights::ALL);
    }
}
