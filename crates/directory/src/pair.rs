//! The rules of relations, for one pair of people: what an act makes of what ties them, what each
//! may know of it, and whose relation version it raises.
//!
//! This module is pure: it never reads or writes the database.

use presence::relation::Relation;

/// Number of a tie in the order ties are made: a newer one has a higher number.
pub(crate) type Made = i64;

/// What one person does to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    Follow,
    Unfollow,
    Connect,
    Remove,
    Pin,
    Unpin,
    Block,
    Unblock,
}

impl Act {
    /// Whether the act may make a tie that has a place in the order.
    pub(crate) const fn makes_a_tie(self) -> bool {
        matches!(self, Self::Follow | Self::Connect | Self::Pin)
    }
}

/// One of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Who acts.
    Actor,
    /// Towards whom.
    Other,
}

impl End {
    pub(crate) const BOTH: [Self; 2] = [Self::Actor, Self::Other];

    pub(crate) const fn opposite(self) -> Self {
        match self {
            Self::Actor => Self::Other,
            Self::Other => Self::Actor,
        }
    }
}

/// What ties two people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Pair {
    /// The connection, if there is one.
    pub(crate) connected: Option<Made>,
    /// What the actor has done towards the other.
    pub(crate) actor: Half,
    /// What the other has done towards the actor.
    pub(crate) other: Half,
}

/// What one of the two has done towards the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Half {
    pub(crate) follows: Option<Made>,
    pub(crate) pins: Option<Made>,
    pub(crate) blocks: Option<Frozen>,
}

/// What the blocked goes on knowing of the blocker, as it was when the block was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Frozen {
    /// The blocker follows the blocked.
    pub(crate) followed: Option<Made>,
    /// The two are connected.
    pub(crate) connected: Option<Made>,
}

/// Pinning takes a tie that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Untied;

impl Pair {
    pub(crate) const fn half(&self, end: End) -> &Half {
        match end {
            End::Actor => &self.actor,
            End::Other => &self.other,
        }
    }

    fn half_mut(&mut self, end: End) -> &mut Half {
        match end {
            End::Actor => &mut self.actor,
            End::Other => &mut self.other,
        }
    }

    /// What one of the two, as a watcher, is to the other. Under a block the blocker's side of it
    /// is what the watcher knew when the block was made.
    pub(crate) fn relation(&self, watcher: End) -> Relation {
        let (own, theirs) = (self.half(watcher), self.half(watcher.opposite()));
        let known =
            theirs.blocks.unwrap_or(Frozen { followed: theirs.follows, connected: self.connected });
        let bits = [
            (own.follows.is_some(), Relation::FOLLOWS),
            (known.followed.is_some(), Relation::FOLLOWED),
            (known.connected.is_some(), Relation::CONNECTED),
            (own.pins.is_some(), Relation::PINNED),
            (theirs.pins.is_some(), Relation::PINNED_BACK),
            (theirs.blocks.is_some(), Relation::BLOCKED),
        ];
        bits.iter()
            .filter(|(set, _)| *set)
            .fold(Relation::NONE, |relation, (_, bit)| relation.with(*bit))
    }

    /// What the actor's act makes of the pair. A new tie gets the number `made`.
    pub(crate) fn after(mut self, act: Act, made: Made) -> Result<Self, Untied> {
        match act {
            Act::Follow => {
                self.actor.follows.get_or_insert(made);
            }
            Act::Unfollow => self.actor.follows = None,
            Act::Connect => {
                self.connected.get_or_insert(made);
                // It takes the consent of both, so the blocked knows of it.
                let blocks = [&mut self.actor.blocks, &mut self.other.blocks];
                for frozen in blocks.into_iter().flatten() {
                    frozen.connected.get_or_insert(made);
                }
            }
            Act::Remove => {
                self.connected = None;
                // Whoever is blocked ends what it knows; whom the actor blocks learns nothing.
                if let Some(frozen) = &mut self.other.blocks {
                    frozen.connected = None;
                }
            }
            Act::Pin => {
                if !self.is_tied(End::Actor) {
                    return Err(Untied);
                }
                self.actor.pins.get_or_insert(made);
            }
            Act::Unpin => self.actor.pins = None,
            Act::Block => {
                let known = Frozen { followed: self.actor.follows, connected: self.connected };
                self.actor.blocks.get_or_insert(known);
            }
            Act::Unblock => self.actor.blocks = None,
        }
        // A pin stays only while another tie does, as far as the pinner may know.
        for end in End::BOTH {
            if !self.is_tied(end) {
                self.half_mut(end).pins = None;
            }
        }
        Ok(self)
    }

    fn is_tied(&self, watcher: End) -> bool {
        let ties = Relation::FOLLOWS.with(Relation::FOLLOWED).with(Relation::CONNECTED);
        self.relation(watcher).has(ties)
    }

    /// Whether the change from this pair to `next` raises that one's relation version: if
    /// something changed that they may know of, or that changes what the other sees of them.
    pub(crate) fn raises(&self, next: &Self, end: End) -> bool {
        let watcher = end.opposite();
        let (blocked, blocks) = (self.half(end).blocks, next.half(end).blocks);
        let knows = self.relation(end).known() != next.relation(end).known()
            || blocked.is_some() != blocks.is_some();
        // Whom the watcher pins is no matter of what it sees.
        let seen_by = |pair: &Self| pair.relation(watcher).without(Relation::PINNED);
        // The version is part of this one's cursor: what the other does behind a block must not
        // show in it. The other sees nothing of this one then, and knows by its own version.
        let hidden = self.half(watcher).blocks.is_some() && next.half(watcher).blocks.is_some();
        knows || (seen_by(self) != seen_by(next) && !hidden)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acts(acts: &[Act]) -> Pair {
        acts.iter().fold(Pair::default(), |pair, act| pair.after(*act, 1).unwrap())
    }

    #[test]
    fn every_act_done_twice_changes_nothing() {
        let start = acts(&[Act::Follow, Act::Connect]);
        for act in [
            Act::Follow,
            Act::Unfollow,
            Act::Connect,
            Act::Remove,
            Act::Pin,
            Act::Unpin,
            Act::Block,
            Act::Unblock,
        ] {
            let once = start.after(act, 7).unwrap();
            assert_eq!(once.after(act, 8), Ok(once), "{act:?}");
        }
    }

    #[test]
    fn a_pin_takes_a_tie_and_goes_with_the_last_one() {
        assert_eq!(Pair::default().after(Act::Pin, 1), Err(Untied));
        let pinned = acts(&[Act::Follow, Act::Connect, Act::Pin]);
        let kept = pinned.after(Act::Unfollow, 2).unwrap();
        assert_eq!(kept.relation(End::Actor), Relation::CONNECTED.with(Relation::PINNED));
        let gone = kept.after(Act::Remove, 3).unwrap();
        assert_eq!(gone, Pair::default());
    }

    #[test]
    fn the_order_of_a_tie_is_that_of_its_making() {
        let pair = Pair::default().after(Act::Follow, 3).unwrap().after(Act::Follow, 9).unwrap();
        assert_eq!(pair.actor.follows, Some(3));
    }

    #[test]
    fn no_act_of_the_blocker_changes_what_the_blocked_knows() {
        let blocked = acts(&[Act::Follow, Act::Connect, Act::Block]);
        for act in [Act::Unfollow, Act::Remove, Act::Follow, Act::Pin, Act::Unpin] {
            let next = blocked.after(act, 9).unwrap();
            let known = |pair: &Pair| pair.relation(End::Other).known();
            assert_eq!(known(&next), known(&blocked), "{act:?}");
            assert!(!blocked.raises(&next, End::Other), "{act:?}");
        }
    }
}
