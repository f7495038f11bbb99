//! The directory as sets of ties in memory: people, relations, preferences, and what a change of
//! relation let each watcher see.
//!
//! The rules are those of the real directory, written a second time and in another way: a tie has
//! a number, by which the newer stands first.

use std::collections::BTreeMap;

use presence::ask::PreferencesChange;
use presence::close::ErrorCode;
use presence::ids::{RelationVersion, UserId};
use presence::person::{Person, Tie, WatchEntry, WatchList};
use presence::relation::Relation;
use presence::time::Timestamp;
use presence::transition::Profile;
use presence::view::{PerClass, Presence, Sight};
use presence::visibility::Preferences;

/// A user, by number.
pub(crate) type Who = usize;

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

/// What a blocked user goes on knowing.
#[derive(Debug, Clone, Copy, Default)]
struct Frozen {
    followed: Option<u64>,
    connected: Option<u64>,
}

/// One direction of a pair before and after an act.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turned {
    pub(crate) watcher: Who,
    pub(crate) subject: Who,
    pub(crate) old: Relation,
    pub(crate) new: Relation,
}

/// What an act did.
#[derive(Debug, Default)]
pub(crate) struct Changed {
    pub(crate) turned: Vec<Turned>,
    pub(crate) raised: Vec<(Who, RelationVersion)>,
}

#[derive(Clone)]
pub(crate) struct Directory {
    people: Vec<UserId>,
    preferences: Vec<Preferences>,
    seen: Vec<Timestamp>,
    versions: Vec<u64>,
    ties: u64,
    follows: BTreeMap<(Who, Who), u64>,
    pins: BTreeMap<(Who, Who), u64>,
    /// Both ways round.
    connections: BTreeMap<(Who, Who), u64>,
    blocks: BTreeMap<(Who, Who), Frozen>,
    sights: BTreeMap<(Who, Who), Sight>,
    with_followers: bool,
}

impl Directory {
    pub(crate) fn new(people: usize, with_followers: bool) -> Self {
        let id = |who: usize| {
            UserId::parse(&format!("dev_u{who}")).unwrap_or_else(|error| panic!("{error}"))
        };
        Self {
            people: (0..people).map(id).collect(),
            preferences: vec![Preferences::default(); people],
            seen: vec![Timestamp::NEVER; people],
            versions: vec![1; people],
            ties: 0,
            follows: BTreeMap::new(),
            pins: BTreeMap::new(),
            connections: BTreeMap::new(),
            blocks: BTreeMap::new(),
            sights: BTreeMap::new(),
            with_followers,
        }
    }

    pub(crate) fn everyone(&self) -> std::ops::Range<Who> {
        0..self.people.len()
    }

    pub(crate) fn id(&self, who: Who) -> &UserId {
        &self.people[who]
    }

    pub(crate) fn who(&self, id: &str) -> Option<Who> {
        self.people.iter().position(|person| person.as_str() == id)
    }

    pub(crate) fn name(who: Who) -> String {
        format!("user {who}")
    }

    pub(crate) fn preferences(&self, who: Who) -> &Preferences {
        &self.preferences[who]
    }

    pub(crate) fn prefer(&mut self, who: Who, change: PreferencesChange) -> Preferences {
        change.apply(&mut self.preferences[who]);
        self.preferences[who].clone()
    }

    pub(crate) fn seen(&self, who: Who) -> Timestamp {
        self.seen[who]
    }

    pub(crate) fn set_seen(&mut self, who: Who, seen: Timestamp) {
        self.seen[who] = seen;
    }

    pub(crate) fn profile(&self, who: Who) -> Profile {
        Profile {
            relations: RelationVersion(self.versions[who]),
            audience: self.preferences[who].audience(),
            hidden: self.preferences[who].hidden_projects.clone(),
            seen: PerClass::Same(self.seen[who]),
        }
    }

    /// What a watcher is to a subject, hidden bits included.
    pub(crate) fn relation(&self, watcher: Who, subject: Who) -> Relation {
        if watcher == subject {
            return Relation::ONESELF;
        }
        let (there, back) = ((watcher, subject), (subject, watcher));
        let block = self.blocks.get(&back);
        let known = block.copied().unwrap_or(Frozen {
            followed: self.follows.get(&back).copied(),
            connected: self.connections.get(&there).copied(),
        });
        let mut relation = Relation::NONE;
        for (is_so, bit) in [
            (self.follows.contains_key(&there), Relation::FOLLOWS),
            (known.followed.is_some(), Relation::FOLLOWED),
            (known.connected.is_some(), Relation::CONNECTED),
            (self.pins.contains_key(&there), Relation::PINNED),
            (self.pins.contains_key(&back), Relation::PINNED_BACK),
            (block.is_some(), Relation::BLOCKED),
        ] {
            if is_so {
                relation = relation.with(bit);
            }
        }
        relation
    }

    /// Whether the watcher hears about the subject at all. Oneself is always there.
    pub(crate) fn is_listed(&self, watcher: Who, subject: Who) -> bool {
        let relation = self.relation(watcher, subject);
        let is_blocker = self.blocks.contains_key(&(watcher, subject));
        watcher == subject || (relation.is_watched(self.with_followers) && !is_blocker)
    }

    /// Where a subject stands on a list: pinned, connected, following, followers, the newer first.
    fn place(&self, watcher: Who, subject: Who) -> (u8, std::cmp::Reverse<u64>) {
        let (there, back) = ((watcher, subject), (subject, watcher));
        let block = self.blocks.get(&back);
        let connected = match block {
            Some(frozen) => frozen.connected,
            None => self.connections.get(&there).copied(),
        };
        let followed = match block {
            Some(frozen) => frozen.followed,
            None => self.follows.get(&back).copied(),
        };
        let ranks = [
            self.pins.get(&there).copied(),
            connected,
            self.follows.get(&there).copied(),
            followed,
        ];
        let first = ranks.iter().zip(0u8..).find_map(|(made, rank)| made.map(|made| (rank, made)));
        first
            .map_or((u8::MAX, std::cmp::Reverse(0)), |(rank, made)| (rank, std::cmp::Reverse(made)))
    }

    pub(crate) fn person(&self, who: Who) -> Person {
        Person {
            id: self.people[who].clone(),
            name: Self::name(who).into(),
            avatar: "".into(),
            preferences: self.preferences[who].clone(),
            seen: PerClass::Same(self.seen[who]),
            watch_list: self.watch_list(who),
        }
    }

    pub(crate) fn watch_list(&self, who: Who) -> WatchList {
        let others = self.everyone().filter(|other| *other != who && self.is_listed(who, *other));
        let mut subjects: Vec<Who> = others.collect();
        subjects.sort_by_key(|subject| self.place(who, *subject));
        let entry = |subject: Who| WatchEntry {
            id: self.people[subject].clone(),
            name: Self::name(subject).into(),
            avatar: "".into(),
            relation: self.relation(who, subject),
            sight: self.sight(who, subject),
            relations: RelationVersion(self.versions[subject]),
            seen: PerClass::Same(self.seen[subject]),
        };
        WatchList {
            relations: RelationVersion(self.versions[who]),
            entries: subjects.into_iter().map(entry).collect(),
        }
    }

    fn sight(&self, watcher: Who, subject: Who) -> Sight {
        self.sights.get(&(watcher, subject)).copied().unwrap_or_default()
    }

    pub(crate) fn ties(&self, subject: Who, watchers: &[UserId]) -> (RelationVersion, Vec<Tie>) {
        let tie = |id: &UserId| {
            let watcher = self.who(id.as_str())?;
            Some(Tie {
                watcher: id.clone(),
                relation: self.relation(watcher, subject),
                sight: self.sight(watcher, subject),
            })
        };
        let ties = watchers.iter().filter_map(tie).collect();
        (RelationVersion(self.versions[subject]), ties)
    }

    /// One person does something to another. `presence` tells a user's state now.
    pub(crate) fn act(
        &mut self,
        now: Timestamp,
        actor: Who,
        act: Act,
        other: Who,
        presence: impl Fn(&Self, Who) -> std::sync::Arc<Presence>,
    ) -> Result<Changed, ErrorCode> {
        if actor == other {
            return Err(ErrorCode::NotRelated);
        }
        let ties = Relation::FOLLOWS.with(Relation::FOLLOWED).with(Relation::CONNECTED);
        if act == Act::Pin && !self.relation(actor, other).has(ties) {
            return Err(ErrorCode::NotRelated);
        }
        let before = self.clone();
        self.change(actor, act, other);
        for (one, two) in [(actor, other), (other, actor)] {
            if !self.relation(one, two).has(ties) {
                self.pins.remove(&(one, two));
            }
        }
        let mut changed = Changed::default();
        for (watcher, subject) in [(actor, other), (other, actor)] {
            let old = before.relation(watcher, subject);
            let new = self.relation(watcher, subject);
            if old != new {
                changed.turned.push(Turned { watcher, subject, old, new });
                let state = presence(&before, subject);
                let sight = before.sight(watcher, subject).after(&state, old, new, now);
                self.sights.insert((watcher, subject), sight);
            }
        }
        for (user, peer) in [(actor, other), (other, actor)] {
            if self.raises(&before, user, peer) {
                self.versions[user] += 1;
                changed.raised.push((user, RelationVersion(self.versions[user])));
            }
        }
        Ok(changed)
    }

    fn change(&mut self, actor: Who, act: Act, other: Who) {
        let (there, back) = ((actor, other), (other, actor));
        self.ties += 1;
        let made = self.ties;
        match act {
            Act::Follow => {
                self.follows.entry(there).or_insert(made);
            }
            Act::Unfollow => {
                self.follows.remove(&there);
            }
            Act::Connect => {
                self.connections.entry(there).or_insert(made);
                self.connections.entry(back).or_insert(made);
                for pair in [there, back] {
                    if let Some(frozen) = self.blocks.get_mut(&pair) {
                        frozen.connected.get_or_insert(made);
                    }
                }
            }
            Act::Remove => {
                self.connections.remove(&there);
                self.connections.remove(&back);
                if let Some(frozen) = self.blocks.get_mut(&back) {
                    frozen.connected = None;
                }
            }
            Act::Pin => {
                self.pins.entry(there).or_insert(made);
            }
            Act::Unpin => {
                self.pins.remove(&there);
            }
            Act::Block => {
                let frozen = Frozen {
                    followed: self.follows.get(&there).copied(),
                    connected: self.connections.get(&there).copied(),
                };
                self.blocks.entry(there).or_insert(frozen);
            }
            Act::Unblock => {
                self.blocks.remove(&there);
            }
        }
    }

    /// Whether something changed that a user may know of, or that changes what the other sees of
    /// this user; never what the other did behind a block.
    fn raises(&self, before: &Self, user: Who, peer: Who) -> bool {
        let knows = |directory: &Self| {
            let blocks = directory.blocks.contains_key(&(user, peer));
            (directory.relation(user, peer).known(), blocks)
        };
        let seen = |directory: &Self| directory.relation(peer, user).without(Relation::PINNED);
        let is_blocked = |directory: &Self| directory.blocks.contains_key(&(peer, user));
        let is_behind_a_block = is_blocked(before) && is_blocked(self);
        knows(before) != knows(self) || (seen(before) != seen(self) && !is_behind_a_block)
    }
}
