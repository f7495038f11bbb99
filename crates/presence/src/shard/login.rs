//! From `hello` to `welcome`: who is there, whom they watch, and the first `sync`.

use std::sync::Arc;

use crate::ask::Refusal;
use crate::close::{Close, ErrorCode};
use crate::exchange::Request;
use crate::hello::{Cursor, Hello, ResumeClaim, ResumeToken, hash_secret};
use crate::ids::{ConnId, Epoch, Handle, UserId};
use crate::person::{Person, WatchEntry};
use crate::rate::Bucket;
use crate::relation::Relation;
use crate::session::Owner;
use crate::shard::conn::{Fresh, Login, Opening, Stage};
use crate::shard::effect::{Effect, Notice, SyncEntry, Welcome};
use crate::shard::liveness::Alarm;
use crate::shard::session::{Ahead, Rare, Session};
use crate::shard::{CURSOR_AGE_MAX, LAST_SEEN_MAX, RELOADS_MAX, Shard, ask_store};
use crate::time::Timestamp;
use crate::transition::{Binding, Profile};
use crate::view::{Presence, Sight};
use crate::watch::{Place, Watcher};

impl Shard {
    pub(super) fn hello(
        &mut self,
        now: Timestamp,
        conn: ConnId,
        hello: Hello,
        fresh: Fresh,
        effects: &mut Vec<Effect>,
    ) {
        if !self.sign_of_life(now, conn, effects) {
            return;
        }
        let Some(held) = self.conn_mut(conn) else { return };
        if !matches!(held.stage, Stage::New) {
            let refusal =
                Refusal::new(ErrorCode::BadMessage, "`hello` is said once on a connection");
            self.bad_message(now, conn, None, refusal, effects);
            return;
        }
        held.bad = 0;
        let login = Login {
            session: fresh.session,
            fresh,
            report: hello.report,
            cursor: hello.cursor,
            credentials: hello.credentials,
            bound: None,
            is_resumed: false,
            loads: 0,
        };
        match hello.resume {
            Some(ResumeClaim::Token(token)) => self.claim(conn, login, &token, effects),
            Some(ResumeClaim::Unreadable) => self.resume_failed(now, conn, login, effects),
            None => self.log_in(now, conn, login, effects),
        }
    }

    fn claim(
        &mut self,
        conn: ConnId,
        mut login: Login,
        token: &ResumeToken,
        effects: &mut Vec<Effect>,
    ) {
        login.session = token.session;
        let binding = binding(&login, self.owner(conn));
        let secret = token.hash();
        let Some(held) = self.conn_mut(conn) else { return };
        held.stage = Stage::Resuming(Box::new(login));
        ask_store(effects, Request::Resume { binding, secret });
    }

    fn log_in(
        &mut self,
        now: Timestamp,
        conn: ConnId,
        mut login: Login,
        effects: &mut Vec<Effect>,
    ) {
        let Some(credentials) = login.credentials.take() else {
            // A claim that failed leaves the socket open for another `hello`.
            self.expect_hello(now, conn);
            return;
        };
        // A login is a session of its own, whatever claim came with it.
        login.session = login.fresh.session;
        login.cursor = None;
        if let Some(held) = self.conn_mut(conn) {
            held.stage = Stage::LoggingIn(Box::new(login));
            effects.push(Effect::Login { conn, credentials });
        }
    }

    fn resume_failed(
        &mut self,
        now: Timestamp,
        conn: ConnId,
        login: Login,
        effects: &mut Vec<Effect>,
    ) {
        let message = "the session has ended or was resumed elsewhere: log in";
        let notice = Notice::error(ErrorCode::ResumeFailed, message);
        effects.push(Effect::Send { conn, notice });
        self.log_in(now, conn, login, effects);
    }

    pub(super) fn session_resumed(
        &mut self,
        now: Timestamp,
        conn: ConnId,
        user: Option<UserId>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(held) = self.conn_mut(conn) else {
            // The socket left while the store bound the session to it.
            if let Some((user, orphan)) = user.zip(self.orphans.remove(&conn)) {
                self.let_go(conn, user, orphan, effects);
            }
            return;
        };
        let Stage::Resuming(login) = std::mem::replace(&mut held.stage, Stage::New) else {
            return;
        };
        let mut login = *login;
        let Some(user) = user else {
            self.resume_failed(now, conn, login, effects);
            return;
        };
        login.bound = Some(user.clone());
        login.is_resumed = true;
        held.stage = Stage::LoggingIn(Box::new(login));
        effects.push(Effect::Load { conn, user });
    }

    pub(super) fn logged_in(
        &mut self,
        now: Timestamp,
        conn: ConnId,
        result: Result<Box<Person>, Refusal>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(held) = self.conn_mut(conn) else { return };
        let Stage::LoggingIn(login) = std::mem::replace(&mut held.stage, Stage::New) else {
            return;
        };
        let person = match result {
            Ok(person) => *person,
            Err(refusal) => {
                let close = match refusal.code {
                    ErrorCode::IdentityUnavailable | ErrorCode::ReadOnly => Close::StoreUnavailable,
                    _ => Close::LoginRefused,
                };
                held.stage = Stage::LoggingIn(login);
                let notice = Notice::Error { n: None, refusal };
                effects.push(Effect::Send { conn, notice });
                self.close(now, conn, close, effects);
                return;
            }
        };
        let mut login = *login;
        login.loads += 1;
        let mut person = person;
        person.watch_list.entries.retain(|entry| entry.id != person.id);
        self.begin(conn, login, person, effects);
    }

    /// Puts the watch list on the index and asks the store for whom it does not know here. The
    /// store's answer comes after the snapshot of everyone: nothing between is lost.
    fn begin(&mut self, conn: ConnId, mut login: Login, person: Person, effects: &mut Vec<Effect>) {
        let mut unknown = Vec::new();
        let mut places = Vec::with_capacity(person.watch_list.entries.len() + 1);
        let oneself = oneself(&person);
        for entry in std::iter::once(&oneself).chain(&person.watch_list.entries) {
            let place = places.len();
            places.push(self.join(conn.slot, place, entry, &mut unknown));
        }
        ask_store(effects, Request::Watch { conn: Some(conn), users: unknown });
        if login.bound.is_none() {
            let profile = Profile {
                relations: person.watch_list.relations,
                audience: person.preferences.audience(),
                hidden: person.preferences.hidden_projects.clone(),
                seen: person.seen.clone(),
            };
            let binding = binding(&login, self.owner(conn));
            // What is reported from here on waits for `welcome`.
            let (user, report) = (person.id.clone(), std::mem::take(&mut login.report));
            ask_store(effects, Request::Open { user, binding, report, profile });
        }
        if let Some(held) = self.conn_mut(conn) {
            held.stage = Stage::Opening(Box::new(Opening { login, person, places }));
        }
    }

    /// Puts one watcher on the index.
    pub(super) fn join(
        &mut self,
        slot: u32,
        place: usize,
        entry: &WatchEntry,
        unknown: &mut Vec<UserId>,
    ) -> Place {
        let Ok(place) = u16::try_from(place) else {
            panic!("a watch list is at most `--watch-list-max` long, which is checked at start");
        };
        let from_directory = || Presence::offline(entry.seen.clone(), entry.relations);
        let (subject, is_new) = self.watch.ensure(&entry.id, from_directory);
        if is_new {
            unknown.push(entry.id.clone());
        }
        let relation = entry.relation;
        self.watch.join(subject, Watcher { slot, place, relation, is_late: false })
    }

    pub(super) fn session_opened(
        &mut self,
        now: Timestamp,
        conn: ConnId,
        opened: bool,
        effects: &mut Vec<Effect>,
    ) {
        if opened {
            self.go_live(now, conn, effects);
            return;
        }
        let message = "this user has 20 live sessions: sign out one of them first";
        let notice = Notice::error(ErrorCode::TooManySessions, message);
        effects.push(Effect::Send { conn, notice });
        self.close(now, conn, Close::LoginRefused, effects);
    }

    pub(super) fn watched(
        &mut self,
        now: Timestamp,
        conn: Option<ConnId>,
        epoch: Epoch,
        users: Vec<(UserId, Handle, Option<Arc<Presence>>)>,
        effects: &mut Vec<Effect>,
    ) {
        self.epoch = epoch;
        for (id, handle, presence) in users {
            self.become_known(now, &id, handle, presence, effects);
        }
        let Some(conn) = conn else { return };
        let Some(held) = self.conn_mut(conn) else { return };
        if matches!(&held.stage, Stage::Opening(opening) if opening.login.bound.is_some()) {
            self.go_live(now, conn, effects);
        }
    }

    /// Everything is known: `welcome`, `sync`, and from here on patches.
    fn go_live(&mut self, now: Timestamp, conn: ConnId, effects: &mut Vec<Effect>) {
        let Some(held) = self.conn_mut(conn) else { return };
        let stage = std::mem::replace(&mut held.stage, Stage::New);
        let Stage::Opening(opening) = stage else {
            held.stage = stage;
            return;
        };
        let ping_at = now + held.ping_offset;
        let Opening { login, person, places } = *opening;
        if self.is_outdated(&person, &places) {
            self.load_again(now, conn, login, person.id, places, effects);
            return;
        }
        let resumed = login.is_resumed;
        let id = login.session;
        effects.push(Effect::Send {
            conn,
            notice: Notice::Welcome(Box::new(Welcome {
                user: person.id.clone(),
                name: person.name.clone(),
                session: id,
                resume: Self::token(&person.id, id, login.fresh.secret),
                resumed,
                heartbeat: self.limits.heartbeat_interval,
                ping: self.limits.ping_interval,
                window: self.limits.resume_window,
            })),
        });
        effects.push(Effect::Send {
            conn,
            notice: self.first_sync(now, login.cursor, &person, &places),
        });
        let mut session = Session {
            user: person.id.clone(),
            id,
            relations: person.watch_list.relations,
            is_reloading: false,
            is_unconfirmed: resumed,
            is_dirty: false,
            refused: 0,
            places: places.into_iter().map(Some).collect(),
            outbox: crate::outbox::Outbox::default(),
            reports: Bucket::default(),
            requests: Bucket::default(),
            late_report: None,
            rare: None,
        };
        remember_sights(&mut session, &person);
        self.remember_who_is_held(&mut session);
        if let Some(held) = self.conn_mut(conn) {
            held.stage = Stage::Live(Box::new(session));
        }
        self.sessions += 1;
        self.wake(ping_at, conn, Alarm::Ping);
        if resumed {
            effects.push(Effect::Refund { conn });
        }
        self.report(now, conn, login.report, effects);
    }

    fn remember_who_is_held(&mut self, session: &mut Session) {
        for number in 0..session.places.len() {
            let Some(place) = session.places[number] else { continue };
            let Ok(number) = u16::try_from(number) else { return };
            let subject = self.watch.subject_mut(place.subject);
            subject.note_live();
            if let Some(presence) = subject.held.clone() {
                let relation = subject.watchers[place.at as usize].relation;
                let ahead = Ahead { presence, relation, sight: session.sight(number) };
                session.rare.get_or_insert_default().ahead.insert(number, ahead);
            }
        }
    }

    /// Whether anyone on the list has newer relations than the list was read at.
    fn is_outdated(&self, person: &Person, places: &[Place]) -> bool {
        let versions = std::iter::once(person.watch_list.relations)
            .chain(person.watch_list.entries.iter().map(|entry| entry.relations));
        places.iter().zip(versions).any(|(place, version)| {
            let subject = self.watch.subject(place.subject);
            subject.relations.max(subject.newest().relations) > version
        })
    }

    /// Relations changed between reading the list and knowing everyone: read it once more.
    fn load_again(
        &mut self,
        now: Timestamp,
        conn: ConnId,
        mut login: Login,
        user: UserId,
        places: Vec<Place>,
        effects: &mut Vec<Effect>,
    ) {
        login.bound = Some(user.clone());
        let loads = login.loads;
        self.leave_all(places, effects);
        if let Some(held) = self.conn_mut(conn) {
            held.stage = Stage::LoggingIn(Box::new(login));
        }
        if loads >= RELOADS_MAX {
            self.close(now, conn, Close::StoreUnavailable, effects);
        } else {
            effects.push(Effect::Load { conn, user });
        }
    }

    fn first_sync(
        &self,
        now: Timestamp,
        cursor: Option<Cursor>,
        person: &Person,
        places: &[Place],
    ) -> Notice {
        let since = cursor.filter(|cursor| {
            cursor.epoch == self.epoch
                && cursor.relations == person.watch_list.relations
                && now.since(cursor.at) <= CURSOR_AGE_MAX
        });
        let oneself = oneself(person);
        let everyone = std::iter::once(&oneself).chain(&person.watch_list.entries);
        let mut entries = Vec::new();
        for (number, (entry, place)) in everyone.zip(places).enumerate() {
            // The list is no older than a state that is kept back, which so can be told already.
            let presence = self.watch.subject(place.subject).newest();
            let is_new = since.is_none_or(|cursor| {
                presence.changed_for(entry.relation, entry.sight) >= cursor.at
            });
            if is_new || number == 0 {
                entries.push(sync_entry(now, entry, presence));
            }
        }
        Notice::Sync { part: since.is_some(), entries }
    }
}

fn remember_sights(session: &mut Session, person: &Person) {
    for (place, entry) in person.watch_list.entries.iter().enumerate() {
        if entry.sight != Sight::default()
            && let Ok(place) = u16::try_from(place + 1)
        {
            let rare: &mut Box<Rare> = session.rare.get_or_insert_default();
            rare.sights.insert(place, entry.sight);
        }
    }
}

pub(super) fn sync_entry(
    now: Timestamp,
    entry: &WatchEntry,
    presence: &Arc<Presence>,
) -> SyncEntry {
    SyncEntry {
        id: entry.id.clone(),
        name: entry.name.clone(),
        avatar: entry.avatar.clone(),
        relation: entry.relation,
        presence: Arc::clone(presence),
        sight: entry.sight,
        seen_since: now - LAST_SEEN_MAX,
    }
}

/// Oneself, as the first on one's own watch list.
pub(super) fn oneself(person: &Person) -> WatchEntry {
    WatchEntry {
        id: person.id.clone(),
        name: person.name.clone(),
        avatar: person.avatar.clone(),
        relation: Relation::ONESELF,
        sight: Sight::default(),
        relations: person.watch_list.relations,
        seen: person.seen.clone(),
    }
}

fn binding(login: &Login, owner: Owner) -> Binding {
    Binding {
        session: login.session,
        owner,
        token: hash_secret(&login.fresh.secret),
        address: login.fresh.address.clone(),
        client: login.fresh.client.clone(),
    }
}
