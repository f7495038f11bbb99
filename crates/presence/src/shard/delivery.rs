//! From a change of one subject to patches for each who watches it.
//!
//! A change only sets bits; patches are made when a socket takes them, from the newest state and
//! from nothing but what the watcher sees.

use std::sync::Arc;

use crate::ids::{ConnId, Handle, UserId, Version};
use crate::outbox::PlaceNumber;
use crate::relation::Relation;
use crate::shard::conn::Stage;
use crate::shard::effect::Effect;
use crate::shard::session::{News, OWN_PLACE, Session};
use crate::shard::{LAST_SEEN_MAX, Shard};
use crate::time::Timestamp;
use crate::view::{Fields, Presence, View};
use crate::watch::{SubjectNumber, Watch, Watcher};

/// One patch, as one watcher is to see it.
#[derive(Debug)]
pub struct Patch<'a> {
    /// Whom it is about.
    pub id: &'a UserId,
    /// What happened.
    pub kind: PatchKind<'a>,
    /// The same for every watcher who gets the same bytes; none where that is rare.
    pub key: Option<PatchKey>,
}

/// What a patch says.
#[derive(Debug)]
pub enum PatchKind<'a> {
    /// These fields are new.
    Update {
        /// Status word.
        status: Option<&'a str>,
        /// Project; empty clears.
        project: Option<&'a str>,
        /// Language; empty clears.
        language: Option<&'a str>,
        /// What the client may know of the relation, if it changed.
        relation: Option<u8>,
        /// Name and avatar of someone new to the list.
        profile: Option<(&'a str, &'a str)>,
    },
    /// Offline.
    Offline {
        /// When last seen; never, if unknown or too long ago.
        seen: Timestamp,
    },
    /// No longer on the watch list.
    Gone,
}

/// Names the bytes of a patch, so that they are made once for all who get the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PatchKey {
    /// The subject.
    pub handle: Handle,
    /// Its state.
    pub version: Version,
    /// What of it is seen, and which fields are told.
    pub mask: u8,
}

impl Shard {
    /// A watched user's state is new.
    pub(super) fn deliver(
        &mut self,
        now: Timestamp,
        number: SubjectNumber,
        presence: Arc<Presence>,
        effects: &mut Vec<Effect>,
    ) {
        let subject = self.watch.subject_mut(number);
        let newest = subject.newest();
        if !presence.supersedes(newest) {
            return;
        }
        if presence.relations > newest.relations {
            self.reload_own_list(number, effects);
        }
        let subject = self.watch.subject_mut(number);
        if presence.relations > subject.relations {
            // Also where the user alone watches: how soon a patch of one's own comes must not tell
            // whether somebody unseen watches here.
            self.hold(now, number, presence, effects);
            return;
        }
        if subject.held.is_some() {
            subject.held = Some(presence);
            return;
        }
        self.fan_out(now, number, presence, effects);
    }

    /// Takes the state and marks it for each whose view it changes.
    pub(super) fn fan_out(
        &mut self,
        now: Timestamp,
        number: SubjectNumber,
        presence: Arc<Presence>,
        effects: &mut Vec<Effect>,
    ) {
        let subject = self.watch.subject_mut(number);
        let shows_new = subject.presence.shown != presence.shown;
        let changes = subject.advance(presence);
        let watchers = std::mem::take(&mut subject.watchers);
        for watcher in &watchers {
            if watcher.relation.has(Relation::ONESELF) {
                if shows_new {
                    self.mark(now, *watcher, Outline::Whole, effects);
                }
            } else if !watcher.relation.has(Relation::BLOCKED)
                && !changes[watcher.relation.class().index()].is_empty()
            {
                self.mark(now, *watcher, Outline::Change, effects);
            }
        }
        self.watch.subject_mut(number).watchers = watchers;
    }

    /// Notes a pending patch for one watcher, if it is live: a session that is still opening gets
    /// it all in its first `sync`.
    pub(super) fn mark(
        &mut self,
        now: Timestamp,
        watcher: Watcher,
        outline: Outline,
        effects: &mut Vec<Effect>,
    ) {
        let Some(Some(conn)) = self.conns.get_mut(watcher.slot as usize) else { return };
        let Stage::Live(session) = &mut conn.stage else { return };
        if session.is_ahead(watcher.place) {
            return;
        }
        match outline {
            Outline::Change => session.outbox.mark(watcher.place, now),
            Outline::Whole => session.outbox.mark_whole(watcher.place, now),
        }
        if !session.is_dirty {
            session.is_dirty = true;
            let conn = ConnId { slot: watcher.slot, tenant: conn.tenant };
            effects.push(Effect::Dirty { conn });
        }
    }

    /// Gives a session's pending patches to `sink`, as they are to be told at `now`, until that has enough (it says `false`) or
    /// nothing is pending. Tells whether something still is; [`Effect::Dirty`] comes again only
    /// after a call that left nothing.
    pub fn take_patches(
        &mut self,
        now: Timestamp,
        conn: ConnId,
        mut sink: impl FnMut(&Patch<'_>) -> bool,
    ) -> bool {
        let watch = &self.watch;
        let Some(Some(held)) = self.conns.get_mut(conn.slot as usize) else { return false };
        let Stage::Live(session) = &mut held.stage else { return false };
        if held.tenant != conn.tenant {
            return false;
        }
        let mut has_room = true;
        while has_room && let Some(id) = next_gone(session) {
            has_room = sink(&Patch { id: &id, kind: PatchKind::Gone, key: None });
        }
        while has_room && let Some((place, whole)) = session.outbox.take() {
            has_room = emit(watch, session, place, whole, now - LAST_SEEN_MAX, &mut sink);
        }
        session.is_dirty = !session.is_told();
        session.is_dirty
    }
}

/// How much of a subject's state a pending patch is to tell.
#[derive(Debug, Clone, Copy)]
pub(super) enum Outline {
    /// What changed.
    Change,
    /// All visible fields.
    Whole,
}

fn next_gone(session: &mut Session) -> Option<UserId> {
    session.rare.as_mut()?.gone.pop()
}

fn emit(
    watch: &Watch,
    session: &mut Session,
    place: PlaceNumber,
    whole: bool,
    seen_since: Timestamp,
    sink: &mut impl FnMut(&Patch<'_>) -> bool,
) -> bool {
    let Some(held) = session.places[usize::from(place)] else {
        panic!("a place that is left is forgotten by the outbox in the same step");
    };
    let subject = watch.subject(held.subject);
    let relation = subject.watchers[held.at as usize].relation;
    if !relation.is_known() {
        return true;
    }
    let news = session.rare.as_mut().and_then(|rare| rare.news.remove(&place));
    let (told_relation, profile) = match &news {
        None => (None, None),
        Some(News::Relation) => (Some(relation.known()), None),
        Some(News::Newcomer { name, avatar }) => {
            (Some(relation.known()), Some((&**name, &**avatar)))
        }
    };
    if told_relation.is_some() {
        session.take_told(place, relation);
    }
    let id = &subject.id;
    match subject.presence.view(relation, session.sight(place)) {
        View::Offline { seen } => {
            if told_relation.is_some() {
                let kind = PatchKind::Update {
                    status: None,
                    project: None,
                    language: None,
                    relation: told_relation,
                    profile,
                };
                sink(&Patch { id, kind, key: None });
            }
            if place == OWN_PLACE {
                return true;
            }
            let seen = if seen < seen_since { Timestamp::NEVER } else { seen };
            sink(&Patch { id, kind: PatchKind::Offline { seen }, key: None })
        }
        View::Online { status, project, language } => {
            let mut fields = subject.delta(relation.class());
            if whole || place == OWN_PLACE || news.is_some() {
                fields = Fields::ALL;
            } else if fields.has(Fields::CAME_OR_WENT) {
                fields = Fields::STATUS;
                if !project.is_empty() {
                    fields = fields.with(Fields::PROJECT);
                }
                if !language.is_empty() {
                    fields = fields.with(Fields::LANGUAGE);
                }
            }
            let key = subject.handle.filter(|_| news.is_none()).map(|handle| PatchKey {
                handle,
                version: subject.presence.version,
                mask: subject.presence.audience.rights_of(relation).bits() << 4 | fields.bits(),
            });
            let kind = PatchKind::Update {
                status: fields.has(Fields::STATUS).then_some(status),
                project: fields.has(Fields::PROJECT).then_some(project),
                language: fields.has(Fields::LANGUAGE).then_some(language),
                relation: told_relation,
                profile,
            };
            sink(&Patch { id, kind, key })
        }
    }
}
