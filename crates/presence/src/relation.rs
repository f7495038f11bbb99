//! What ties a watcher to the user it watches, in one byte.

use std::fmt;

/// What a watcher is to a subject, and the subject to the watcher.
///
/// The low four bits are what the watcher may know, as the protocol tells them in `r`; the rest
/// never leaves the server.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Relation(u8);

impl Relation {
    /// Nothing ties the two.
    pub const NONE: Self = Self(0);
    /// The watcher follows the subject.
    pub const FOLLOWS: Self = Self(1);
    /// The subject follows the watcher.
    pub const FOLLOWED: Self = Self(2);
    /// Connected, mutually, by an invite.
    pub const CONNECTED: Self = Self(4);
    /// The watcher has pinned the subject as a close friend.
    pub const PINNED: Self = Self(8);
    /// The subject has pinned the watcher. Never told to the watcher.
    pub const PINNED_BACK: Self = Self(16);
    /// The subject has blocked the watcher. Never told to the watcher.
    pub const BLOCKED: Self = Self(32);
    /// The watcher is the subject.
    pub const ONESELF: Self = Self(64);

    /// From bits, those of the constants above.
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits & 0x7f)
    }

    /// All bits.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// This relation with those bits too.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// This relation without those bits.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// This relation with the watcher's own pin as in `list`. Pinning raises the version of the
    /// watcher's relations alone: only the watcher's list, never a tie read for the subject, tells
    /// it in order. A pin goes with the last other tie that the watcher knows of.
    #[must_use]
    pub const fn with_pin_of(self, list: Self) -> Self {
        let unpinned = self.without(Self::PINNED);
        if unpinned.known() == 0 || !list.has(Self::PINNED) {
            unpinned
        } else {
            unpinned.with(Self::PINNED)
        }
    }

    /// Whether any of those bits is set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// What the watcher may know: `r` of the protocol. Zero for oneself.
    pub const fn known(self) -> u8 {
        self.0 & 15
    }

    /// Whether the watcher may know of anything that ties the two. If not, the subject is on no
    /// list of the watcher's, oneself aside.
    pub const fn is_known(self) -> bool {
        self.known() != 0 || self.has(Self::ONESELF)
    }

    /// Whether the subject belongs on the watcher's watch list.
    pub const fn is_watched(self, watch_followers: bool) -> bool {
        let ties = 1 | 4 | 8 | if watch_followers { 2 } else { 0 };
        self.0 & ties != 0
    }

    /// The audience class that the watcher belongs to.
    pub const fn class(self) -> Class {
        Class((self.0 & 7) | ((self.0 >> 1) & 8))
    }
}

impl fmt::Debug for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (Self::FOLLOWS, "follows"),
            (Self::FOLLOWED, "followed"),
            (Self::CONNECTED, "connected"),
            (Self::PINNED, "pinned"),
            (Self::PINNED_BACK, "pinned back"),
            (Self::BLOCKED, "blocked"),
            (Self::ONESELF, "oneself"),
        ];
        f.debug_set().entries(names.iter().filter(|(bit, _)| self.has(*bit)).map(|n| n.1)).finish()
    }
}

/// Number of audience classes.
pub const CLASSES: usize = 16;

/// One of the sixteen kinds of watcher that a subject's audiences tell apart: follows, followed,
/// connected and pinned by the subject, each yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Class(u8);

impl Class {
    /// All sixteen.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..16).map(Self)
    }

    /// A relation of this class, with nothing that classes do not tell apart.
    pub const fn relation(self) -> Relation {
        Relation((self.0 & 7) | ((self.0 & 8) << 1))
    }

    /// Place in a table of [`CLASSES`] entries.
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// The watcher follows the subject.
    pub const fn follows(self) -> bool {
        self.0 & 1 != 0
    }

    /// The subject follows the watcher.
    pub const fn followed(self) -> bool {
        self.0 & 2 != 0
    }

    /// The two are connected.
    pub const fn connected(self) -> bool {
        self.0 & 4 != 0
    }

    /// The subject has pinned the watcher.
    pub const fn pinned_back(self) -> bool {
        self.0 & 8 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_keeps_what_audiences_ask_and_nothing_else() {
        let relation = Relation::FOLLOWS.with(Relation::PINNED).with(Relation::BLOCKED);
        let class = relation.class();
        assert!(class.follows() && !class.followed() && !class.connected());
        assert!(!class.pinned_back(), "whom the watcher pins is the watcher's own affair");
        assert!(Relation::PINNED_BACK.class().pinned_back());
        assert!(Class::all().all(|class| class.relation().class() == class));
    }

    #[test]
    fn what_the_subject_did_in_secret_is_not_known() {
        let secret = Relation::PINNED_BACK.with(Relation::BLOCKED);
        assert_eq!(secret.known(), 0);
        assert_eq!(Relation::CONNECTED.with(secret).known(), 4);
    }

    #[test]
    fn followers_are_watched_only_where_asked_for() {
        assert!(!Relation::FOLLOWED.is_watched(false));
        assert!(Relation::FOLLOWED.is_watched(true));
        assert!(!Relation::PINNED_BACK.is_watched(true));
    }
}
