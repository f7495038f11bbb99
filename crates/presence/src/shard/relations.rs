//! Relations that change while people are connected: read again, compared by what each watcher
//! sees, and only the difference told.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::close::Close;
use crate::exchange::Request;
use crate::ids::{ConnId, Handle, RelationVersion, UserId};
use crate::person::{Tie, WatchEntry, WatchList};
use crate::relation::Relation;
use crate::shard::conn::{Conn, Stage};
use crate::shard::delivery::Outline;
use crate::shard::effect::Effect;
use crate::shard::session::{News, OWN_PLACE};
use crate::shard::{Shard, ask_store};
use crate::time::Timestamp;
use crate::view::{Presence, Sight};
use crate::watch::{Place, Subject, SubjectNumber, Watcher};

/// What a watcher is to a subject, as read again. Ties change what may be seen, at once; the
/// relation itself is told to a client by its user's own list, which changes with it. So nobody can
/// tell by the time of it how the subject stands with others.
#[derive(Debug, Clone, Copy)]
enum Known {
    ByTie(Relation, Sight),
    ByList(Relation, Sight),
}

impl Shard {
    /// Keeps a state back until the relations that it was published under are read.
    pub(super) fn hold(
        &mut self,
        now: Timestamp,
        number: SubjectNumber,
        presence: Arc<Presence>,
        effects: &mut Vec<Effect>,
    ) {
        let subject = self.watch.subject_mut(number);
        if subject.held.replace(presence).is_some() {
            return;
        }
        if self.held == 0 {
            self.held_since = now;
        }
        self.held += 1;
        self.read_ties(number, effects);
    }

    fn read_ties(&mut self, number: SubjectNumber, effects: &mut Vec<Effect>) {
        self.watch.subject_mut(number).ask();
        let subject = self.watch.subject(number);
        let others = subject.watchers.iter().filter(|w| !w.relation.has(Relation::ONESELF));
        let mut watchers: Vec<UserId> =
            others.filter_map(|watcher| self.user_at(watcher.slot)).cloned().collect();
        watchers.sort_unstable();
        watchers.dedup();
        effects.push(Effect::ReadTies { subject: subject.id.clone(), watchers });
    }

    /// Whose session, live or opening, a slot holds.
    fn user_at(&self, slot: u32) -> Option<&UserId> {
        match &self.conns.get(slot as usize)?.as_ref()?.stage {
            Stage::Live(session) => Some(&session.user),
            Stage::Opening(opening) => Some(&opening.person.id),
            _ => None,
        }
    }

    fn is_live(&self, slot: u32) -> bool {
        let conn = self.conns.get(slot as usize).and_then(Option::as_ref);
        conn.is_some_and(|conn| matches!(conn.stage, Stage::Live(_)))
    }

    pub(super) fn new_ties(
        &mut self,
        now: Timestamp,
        id: &UserId,
        version: RelationVersion,
        ties: Vec<Tie>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(number) = self.watch.find(id) else { return };
        let ties: HashMap<UserId, Tie> =
            ties.into_iter().map(|tie| (tie.watcher.clone(), tie)).collect();
        let subject = self.watch.subject(number);
        // The answer to a question from before everyone here was read anew tells nothing.
        let is_outdated = version < subject.relations;
        let mut read_at = if is_outdated { subject.relations } else { version };
        let (before, late_at) = (subject.relations, subject.late_at);
        let watchers = if is_outdated { Vec::new() } else { subject.watchers.clone() };
        for watcher in &watchers {
            if watcher.relation.has(Relation::ONESELF) {
                continue;
            }
            let tie = self.user_at(watcher.slot).and_then(|user| ties.get(user));
            match tie.filter(|_| !watcher.is_late) {
                Some(tie) => self.correct(now, *watcher, version, tie, effects),
                // A session that is opening makes sure of its list itself.
                None if !self.is_live(watcher.slot) => {}
                // Its list was no older than the newest state when it came.
                None if watcher.is_late => read_at = read_at.min(late_at),
                None => read_at = before,
            }
        }
        let subject = self.watch.subject_mut(number);
        subject.relations = read_at.max(before);
        let Some(held) = subject.held.take() else { return };
        if held.relations > subject.relations {
            subject.held = Some(held);
            self.read_ties(number, effects);
            return;
        }
        self.held -= 1;
        if held.supersedes(&subject.presence) {
            self.fan_out(now, number, held, effects);
        }
        self.catch_up(now, number, effects);
        self.announce_newcomers(now, number, effects);
    }

    /// The index has caught up with those who were told ahead of it: they hear what has changed
    /// since.
    fn catch_up(&mut self, now: Timestamp, number: SubjectNumber, effects: &mut Vec<Effect>) {
        let subject = self.watch.subject(number);
        let presence = Arc::clone(&subject.presence);
        for watcher in subject.watchers.clone() {
            let Some(Some(conn)) = self.conns.get_mut(watcher.slot as usize) else { continue };
            let Stage::Live(session) = &mut conn.stage else { continue };
            let sight = session.sight(watcher.place);
            let rare = session.rare.as_mut();
            let Some(told) = rare.and_then(|rare| rare.ahead.remove(&watcher.place)) else {
                continue;
            };
            let shown = told.presence.view(told.relation, told.sight);
            if shown != presence.view(watcher.relation, sight) {
                self.mark(now, watcher, Outline::Whole, effects);
            }
        }
    }

    /// Lays a tie over what a watcher was to its subject. A session that is still opening has it on
    /// its list as well, from which its first `sync` is made.
    fn correct(
        &mut self,
        now: Timestamp,
        watcher: Watcher,
        version: RelationVersion,
        tie: &Tie,
        effects: &mut Vec<Effect>,
    ) {
        let Some(place) = self.place_of(watcher) else { return };
        let relation = tie.relation.with_pin_of(watcher.relation);
        let conn = self.conns.get_mut(watcher.slot as usize).and_then(Option::as_mut);
        if let Some(Conn { stage: Stage::Opening(opening), .. }) = conn {
            // Oneself comes before the list.
            let entry = usize::from(watcher.place).checked_sub(1);
            let entries = &mut opening.person.watch_list.entries;
            let Some(entry) = entry.and_then(|entry| entries.get_mut(entry)) else { return };
            if entry.relations >= version {
                return;
            }
            (entry.relation, entry.sight, entry.relations) = (relation, tie.sight, version);
        }
        self.change_relation(now, place, watcher, Known::ByTie(relation, tie.sight), effects);
    }

    /// Sets what a watcher is to its subject, and marks what it now sees otherwise.
    fn change_relation(
        &mut self,
        now: Timestamp,
        place: Place,
        watcher: Watcher,
        next: Known,
        effects: &mut Vec<Effect>,
    ) {
        let (Known::ByTie(relation, sight) | Known::ByList(relation, sight)) = next;
        let subject = self.watch.subject_mut(place.subject);
        subject.watchers[place.at as usize].relation = relation;
        let is_known = subject.is_told();
        let presence = Arc::clone(&subject.presence);
        let deltas = [watcher.relation, relation].map(|relation| subject.delta(relation.class()));
        let Some(Some(conn)) = self.conns.get_mut(watcher.slot as usize) else { return };
        let Stage::Live(session) = &mut conn.stage else { return };
        let before = presence.view(watcher.relation, session.sight(watcher.place));
        session.set_sight(watcher.place, sight);
        // An unsent patch is made from what the new class saw change last, which may be less.
        let is_cut_short = session.outbox.is_pending(watcher.place) && deltas[0] != deltas[1];
        let tells_relation = match next {
            Known::ByTie(..) if !session.take_owed(watcher.place) => {
                session.keep_told(watcher.place, watcher.relation, relation);
                false
            }
            Known::ByTie(..) | Known::ByList(..) => {
                session.take_told(watcher.place, watcher.relation) != relation.known()
            }
        };
        // Whom nothing ties any more the user's own list is about to lose: `gone` says it all.
        if !relation.is_known() {
            return;
        }
        if tells_relation {
            session.tell(watcher.place, News::Relation);
        }
        let was_silent = !watcher.relation.is_known();
        let shows_new = presence.view(relation, sight) != before;
        if is_known && (tells_relation || is_cut_short || was_silent || shows_new) {
            self.mark(now, watcher, Outline::Whole, effects);
        }
    }

    fn place_of(&self, watcher: Watcher) -> Option<Place> {
        match &self.conns.get(watcher.slot as usize)?.as_ref()?.stage {
            Stage::Live(session) => *session.places.get(usize::from(watcher.place))?,
            Stage::Opening(opening) => opening.places.get(usize::from(watcher.place)).copied(),
            _ => None,
        }
    }

    /// The store has told who a subject is: those who wait to hear of someone new can.
    pub(super) fn become_known(
        &mut self,
        now: Timestamp,
        id: &UserId,
        handle: Handle,
        presence: Option<Arc<Presence>>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(number) = self.watch.find(id) else {
            // Whoever wanted to know has left before the store could tell.
            ask_store(effects, Request::Unwatch(handle));
            return;
        };
        self.watch.name(number, handle);
        if let Some(presence) = presence {
            self.deliver(now, number, presence, effects);
        }
        if self.watch.subject(number).held.is_none() {
            self.announce_newcomers(now, number, effects);
        }
    }

    fn announce_newcomers(
        &mut self,
        now: Timestamp,
        number: SubjectNumber,
        effects: &mut Vec<Effect>,
    ) {
        let waiting: Vec<Watcher> = self.watch.subject(number).watchers.clone();
        for watcher in waiting {
            let is_news = self.conns.get(watcher.slot as usize).is_some_and(|conn| {
                let Some(conn) = conn else { return false };
                let Stage::Live(session) = &conn.stage else { return false };
                session.rare.as_ref().is_some_and(|rare| rare.news.contains_key(&watcher.place))
            });
            if is_news {
                self.mark(now, watcher, Outline::Whole, effects);
            }
        }
    }

    /// A user's own relations are new: the user's sessions here read their watch lists again.
    pub(super) fn reload_own_list(&mut self, number: SubjectNumber, effects: &mut Vec<Effect>) {
        for watcher in &self.watch.subject(number).watchers {
            if !watcher.relation.has(Relation::ONESELF) {
                continue;
            }
            let Some(Some(conn)) = self.conns.get_mut(watcher.slot as usize) else { continue };
            let tenant = conn.tenant;
            let Stage::Live(session) = &mut conn.stage else { continue };
            if !session.is_reloading {
                session.is_reloading = true;
                let conn = ConnId { slot: watcher.slot, tenant };
                effects.push(Effect::LoadWatchList { conn, user: session.user.clone() });
            }
        }
    }

    pub(super) fn new_watch_list(
        &mut self,
        now: Timestamp,
        conn: ConnId,
        result: Option<Box<WatchList>>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(session) = self.session_mut(conn) else { return };
        session.is_reloading = false;
        let Some(list) = result else {
            self.close(now, conn, Close::StoreUnavailable, effects);
            return;
        };
        session.relations = session.relations.max(list.relations);
        let own = session.places[usize::from(OWN_PLACE)];
        let mut before = self.places_by_user(conn);
        let mut unknown = Vec::new();
        let mut is_outdated = false;
        for entry in list.entries {
            if let Some((place, number)) = before.remove(&entry.id) {
                self.update_entry(now, conn, place, number, &entry, effects);
            } else {
                is_outdated |= !self.welcome_newcomer(now, conn, entry, &mut unknown, effects);
            }
        }
        let mut left: Vec<_> = before.into_iter().collect();
        left.sort_unstable_by_key(|(_, (_, number))| *number);
        for (id, (place, number)) in left {
            self.see_off(conn, id, place, number, effects);
        }
        if !unknown.is_empty() {
            ask_store(effects, Request::Watch { conn: None, users: unknown });
        }
        let Some(session) = self.session_mut(conn) else { return };
        let (user, relations) = (session.user.clone(), session.relations);
        let newest =
            own.map_or(relations, |own| self.watch.subject(own.subject).newest().relations);
        if is_outdated || newest > relations {
            if let Some(session) = self.session_mut(conn) {
                session.is_reloading = true;
            }
            effects.push(Effect::LoadWatchList { conn, user });
        }
    }

    /// Lays a list's entry over a place that stays on the list.
    fn update_entry(
        &mut self,
        now: Timestamp,
        conn: ConnId,
        place: Place,
        number: u16,
        entry: &WatchEntry,
        effects: &mut Vec<Effect>,
    ) {
        let Some(session) = self.session(conn) else { return };
        let subject = self.watch.subject(place.subject);
        let held = subject.watchers[place.at as usize].relation;
        // Of an older list only the pin is news: what ties have told of the pair since, or are
        // about to tell, is newer.
        let is_older = is_older(entry, subject);
        let (relation, sight) = if is_older {
            (held.with_pin_of(entry.relation), session.sight(number))
        } else {
            (entry.relation, entry.sight)
        };
        let watcher = subject.watchers[place.at as usize];
        if is_older && subject.held.is_some() {
            // The list has had its say: what the coming ties tell of the relation, they tell now.
            self.session_mut(conn).into_iter().for_each(|session| session.owe(number));
        }
        self.change_relation(now, place, watcher, Known::ByList(relation, sight), effects);
    }

    fn places_by_user(&self, conn: ConnId) -> HashMap<UserId, (Place, u16)> {
        let Some(session) = self.session(conn) else { return HashMap::new() };
        let numbered = session.places.iter().zip(0u16..).skip(usize::from(OWN_PLACE) + 1);
        numbered
            .filter_map(|(place, number)| Some((((*place)?), number)))
            .map(|(place, number)| (self.watch.subject(place.subject).id.clone(), (place, number)))
            .collect()
    }

    /// Adds someone to a live list; tells `false`, and adds nobody, if the list is older than what
    /// is known of that user's relations.
    fn welcome_newcomer(
        &mut self,
        now: Timestamp,
        conn: ConnId,
        entry: WatchEntry,
        unknown: &mut Vec<UserId>,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let known = self.watch.find(&entry.id).map(|number| self.watch.subject(number));
        if known.is_some_and(|subject| is_older(&entry, subject)) {
            return false;
        }
        let Some(session) = self.session_mut(conn) else { return true };
        if entry.id == session.user {
            return true;
        }
        let Some(number) = session.free_place() else { return true };
        let place = self.join(conn.slot, usize::from(number), &entry, unknown);
        // Of a subject whose newer state is kept back nothing older is told to someone new.
        let subject = self.watch.subject_mut(place.subject);
        subject.note_live();
        let is_known = subject.handle.is_some() && subject.held.is_none();
        let watcher = subject.watchers[place.at as usize];
        let Some(session) = self.session_mut(conn) else { return true };
        session.places[usize::from(number)] = Some(place);
        session.set_sight(number, entry.sight);
        session.tell(number, News::Newcomer { name: entry.name, avatar: entry.avatar });
        if is_known {
            self.mark(now, watcher, Outline::Whole, effects);
        }
        true
    }

    fn see_off(
        &mut self,
        conn: ConnId,
        id: UserId,
        place: Place,
        number: u16,
        effects: &mut Vec<Effect>,
    ) {
        let Some(session) = self.session_mut(conn) else { return };
        session.places[usize::from(number)] = None;
        session.tell_gone(number, id);
        let was_dirty = std::mem::replace(&mut session.is_dirty, true);
        if !was_dirty {
            effects.push(Effect::Dirty { conn });
        }
        self.leave_all(vec![place], effects);
    }

    /// Takes watchers off the index, and asks the store to forget whom nobody watches any more.
    pub(super) fn leave_all(&mut self, places: Vec<Place>, effects: &mut Vec<Effect>) {
        for place in places {
            let subject = self.watch.subject(place.subject);
            if subject.watchers.len() == 1 && subject.held.is_some() {
                self.held -= 1;
            }
            let (moved, forgotten) = self.watch.leave(place);
            if let Some(watcher) = moved {
                self.move_place(watcher, place.at);
            }
            if let Some(handle) = forgotten {
                ask_store(effects, Request::Unwatch(handle));
            }
        }
    }

    fn move_place(&mut self, watcher: Watcher, at: u32) {
        let Some(Some(conn)) = self.conns.get_mut(watcher.slot as usize) else { return };
        let place = match &mut conn.stage {
            Stage::Live(session) => session.places[usize::from(watcher.place)].as_mut(),
            Stage::Opening(opening) => opening.places.get_mut(usize::from(watcher.place)),
            _ => None,
        };
        if let Some(place) = place {
            place.at = at;
        }
    }
}

/// Whether a list was read before what is known here of a subject's relations.
fn is_older(entry: &WatchEntry, subject: &Subject) -> bool {
    entry.relations < subject.relations.max(subject.newest().relations)
}
