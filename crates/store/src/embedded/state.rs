//! All users of an embedded store, and who hears of them: what each request does.
//!
//! This module never touches the disk, a queue or a clock.

mod last_seen;

use std::collections::BTreeSet;
use std::mem::discriminant;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};
use presence::ask::SessionInfo;
use presence::exchange::{Event, Request};
use presence::ids::{Epoch, Handle, SessionId, ShardId, UserId};
use presence::session::{Cause, Owner};
use presence::time::Timestamp;
use presence::transition::{Context, Outcome, Profile, Transition, UserRecord, Verdict};
use presence::view::Presence;

#[cfg(test)]
pub(super) use last_seen::FORGET_AFTER;

use crate::embedded::record::{Record, StoredUser};

/// Users, sessions, and which shard watches whom.
#[derive(Debug)]
pub(super) struct State {
    epoch: Epoch,
    by_id: HashMap<UserId, Handle, RandomState>,
    entries: Vec<Entry>,
    sessions: HashMap<SessionId, Handle, RandomState>,
    /// When users need a sweep.
    due: BTreeSet<(Timestamp, Handle)>,
    /// Users without sessions, by when their last one ended.
    idle: BTreeSet<(Timestamp, Handle)>,
    dirty: Vec<Handle>,
    unwritten: HashSet<Handle, RandomState>,
    missed: HashMap<Handle, Missed, RandomState>,
}

/// A change of a user of whom the store keeps nothing: a login that is under way may have read the
/// directory before it.
#[derive(Debug)]
struct Missed {
    at: Timestamp,
    changes: Vec<Transition>,
}

/// A change that a login may have missed is remembered this long: far longer than a login takes.
const MISSED_FOR: Duration = Duration::from_secs(60);

/// A user's number stays when the user is forgotten: it is never given to another.
#[derive(Debug)]
struct Entry {
    id: UserId,
    record: Option<Box<UserRecord>>,
    watchers: u64,
    due: Option<Timestamp>,
    idle_since: Option<Timestamp>,
    is_dirty: bool,
}

impl State {
    pub(super) fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            by_id: HashMap::default(),
            entries: Vec::new(),
            sessions: HashMap::default(),
            due: BTreeSet::new(),
            idle: BTreeSet::new(),
            dirty: Vec::new(),
            unwritten: HashSet::default(),
            missed: HashMap::default(),
        }
    }

    /// Takes what the log has of a user; a later record takes the place of an earlier one.
    pub(super) fn restore(&mut self, record: Record) {
        match record {
            Record::User(user) => {
                let (id, user) = user.restore();
                let handle = self.handle_of(&id);
                self.entries[handle.0 as usize].record = Some(Box::new(user));
            }
            Record::Forget(id) => {
                let handle = self.handle_of(&id);
                self.entries[handle.0 as usize].record = None;
            }
            Record::Begin { .. } | Record::Time(_) | Record::Complete => {}
        }
    }

    /// After a restart: sessions have `window` from now to come back, or, if nobody was here for
    /// too long, ended when the store last wrote its time.
    pub(super) fn resume_after_restart(
        &mut self,
        now: Timestamp,
        last: Timestamp,
        down_max: Duration,
        window: Duration,
    ) {
        let is_too_long = now.since(last) > down_max;
        for number in 0..self.entries.len() {
            let Some(record) = &mut self.entries[number].record else { continue };
            let Ok(number) = u32::try_from(number) else { return };
            let handle = Handle(number);
            for session in &record.sessions {
                self.sessions.insert(session.id, handle);
            }
            if is_too_long {
                self.transition(last, handle, Transition::Adopt { dead: None, until: last });
                self.transition(last, handle, Transition::Sweep);
            } else {
                let until = now + window;
                self.transition(now, handle, Transition::Adopt { dead: None, until });
            }
            // Who had left may have left too late for the directory to be told.
            if self.entries[handle.0 as usize].idle_since.is_some() {
                self.unwritten.insert(handle);
            }
        }
    }

    /// Everyone of whom the store keeps something.
    pub(super) fn users(&self) -> Vec<UserId> {
        let kept = self.entries.iter().filter(|entry| entry.record.is_some());
        kept.map(|entry| entry.id.clone()).collect()
    }

    /// Carries out one request; what is to be heard of it goes to `events`.
    pub(super) fn handle(
        &mut self,
        now: Timestamp,
        shard: ShardId,
        request: Request,
        events: &mut Vec<(ShardId, Event)>,
    ) {
        match request {
            Request::Watch { conn, users } => {
                let users = users.into_iter().map(|id| self.watch(shard, id)).collect();
                events.push((shard, Event::Watched { conn, epoch: self.epoch, users }));
            }
            Request::Unwatch(handle) => {
                if let Some(entry) = self.entries.get_mut(handle.0 as usize) {
                    entry.watchers &= !bit(shard);
                }
            }
            Request::Open { user, binding, report, profile } => {
                let conn = binding.owner.conn;
                let handle = self.ensure(now, &user, &profile, events);
                let session = binding.session;
                let open = Transition::Open { binding, report, profile };
                let outcome = self.transition(now, handle, open);
                let opened = outcome.verdict != Verdict::TooManySessions;
                if opened {
                    self.sessions.insert(session, handle);
                }
                self.announce(handle, outcome, Cause::MadeRoom, events);
                events.push((shard, Event::Opened { conn, opened }));
            }
            Request::Resume { binding, secret } => {
                let conn = binding.owner.conn;
                let found = self.sessions.get(&binding.session).copied();
                let user = found.and_then(|handle| {
                    let outcome =
                        self.transition(now, handle, Transition::Resume { binding, secret });
                    let Verdict::Resumed { displaced } = outcome.verdict else { return None };
                    if let Some(owner) = displaced {
                        events.push((owner.shard, Event::Replaced { conn: owner.conn }));
                    }
                    Some(self.entries[handle.0 as usize].id.clone())
                });
                events.push((shard, Event::Resumed { conn, user }));
            }
            Request::Sessions { user, conn, n } => {
                let sessions = self.sessions_of(&user);
                events.push((shard, Event::Sessions { conn, n, sessions }));
            }
            Request::Signout { user, session, conn, n } => {
                let found = self.sign_out(now, &user, session, events);
                // The answer goes first: the socket that asks may be signed out with the rest.
                let done = Event::SignoutDone { conn, n, found: !found.is_empty() };
                events.push((shard, done));
                for owner in found.into_iter().flatten() {
                    events.push((owner.shard, Event::SignedOut { conn: owner.conn }));
                }
            }
            request => self.alter(now, request, events),
        }
    }

    /// Requests that are one transition, answered by nothing but what it publishes.
    fn alter(&mut self, now: Timestamp, request: Request, events: &mut Vec<(ShardId, Event)>) {
        let (user, transition, cause) = match request {
            Request::Confirm { user, session, owner } => {
                (user, Transition::Confirm { session, owner }, None)
            }
            Request::Report { user, session, owner, change } => {
                (user, Transition::Report { session, owner, change }, None)
            }
            Request::Detach { user, session, owner, until, cause } => {
                (user, Transition::Detach { session, owner, until }, Some(cause))
            }
            Request::End { user, session, owner, cause } => {
                (user, Transition::End { session, owner }, Some(cause))
            }
            Request::Manual { user, manual } => (user, Transition::Manual(manual), None),
            Request::Preferences { user, preferences } => {
                let audience = preferences.audience();
                let hidden = preferences.hidden_projects;
                (user, Transition::Preferences { audience, hidden }, None)
            }
            Request::Relations { user, version } => (user, Transition::Relations(version), None),
            Request::Watch { .. }
            | Request::Unwatch(_)
            | Request::Open { .. }
            | Request::Resume { .. }
            | Request::Sessions { .. }
            | Request::Signout { .. } => return,
        };
        let is_of_directory =
            matches!(transition, Transition::Preferences { .. } | Transition::Relations(_));
        if is_of_directory && self.find(&user).is_none() {
            let handle = self.handle_of(&user);
            let missed =
                self.missed.entry(handle).or_insert(Missed { at: now, changes: Vec::new() });
            // Of each kind the last says it all.
            missed.changes.retain(|held| discriminant(held) != discriminant(&transition));
            missed.changes.push(transition);
            missed.at = now;
            return;
        }
        let Some(handle) = self.by_id.get(&user).copied() else { return };
        let outcome = self.transition(now, handle, transition);
        self.announce(handle, outcome, cause.unwrap_or(Cause::Dropped), events);
    }

    /// Ends what is overdue.
    pub(super) fn sweep(&mut self, now: Timestamp, events: &mut Vec<(ShardId, Event)>) {
        while let Some((at, handle)) = self.due.first().copied() {
            if at > now {
                return;
            }
            let outcome = self.transition(now, handle, Transition::Sweep);
            self.announce(handle, outcome, Cause::WindowOver, events);
        }
    }

    /// When [`State::sweep`] has something to do.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Users whose record is different from what the log has.
    pub(super) fn take_dirty(&mut self) -> Vec<Handle> {
        for handle in &self.dirty {
            self.entries[handle.0 as usize].is_dirty = false;
        }
        std::mem::take(&mut self.dirty)
    }

    /// What the log is to have of a user.
    pub(super) fn record(&self, handle: Handle) -> Record {
        let entry = &self.entries[handle.0 as usize];
        match &entry.record {
            Some(record) => Record::User(Box::new(StoredUser::new(&entry.id, record))),
            None => Record::Forget(entry.id.clone()),
        }
    }

    /// Visits up to `most` users from a handle on; tells where to go on, if there are more.
    pub(super) fn walk(
        &self,
        Handle(from): Handle,
        most: usize,
        mut visit: impl FnMut(Record),
    ) -> Option<Handle> {
        let end = self.entries.len().min(from as usize + most);
        for number in from as usize..end {
            if self.entries[number].record.is_some()
                && let Ok(number) = u32::try_from(number)
            {
                visit(self.record(Handle(number)));
            }
        }
        (end < self.entries.len()).then(|| Handle(u32::try_from(end).unwrap_or(u32::MAX)))
    }

    pub(super) fn read(&self, users: &[UserId]) -> Vec<Option<Arc<Presence>>> {
        users.iter().map(|id| Some(Arc::clone(&self.find(id)?.presence))).collect()
    }

    fn handle_of(&mut self, id: &UserId) -> Handle {
        if let Some(handle) = self.by_id.get(id) {
            return *handle;
        }
        let Ok(number) = u32::try_from(self.entries.len()) else {
            panic!("a node meets fewer than four thousand million users in its life");
        };
        self.entries.push(Entry {
            id: id.clone(),
            record: None,
            watchers: 0,
            due: None,
            idle_since: None,
            is_dirty: false,
        });
        self.by_id.insert(id.clone(), Handle(number));
        Handle(number)
    }

    fn find(&self, id: &UserId) -> Option<&UserRecord> {
        let handle = self.by_id.get(id)?;
        self.entries[handle.0 as usize].record.as_deref()
    }

    /// The user's number. Whom the store does not keep yet begins with what the directory said at
    /// login, and what has changed there since.
    fn ensure(
        &mut self,
        now: Timestamp,
        id: &UserId,
        profile: &Profile,
        events: &mut Vec<(ShardId, Event)>,
    ) -> Handle {
        let handle = self.handle_of(id);
        let entry = &mut self.entries[handle.0 as usize];
        if entry.record.is_some() {
            return handle;
        }
        entry.record = Some(Box::new(UserRecord::new(profile)));
        for change in self.missed.remove(&handle).map(|m| m.changes).unwrap_or_default() {
            let outcome = self.transition(now, handle, change);
            self.announce(handle, outcome, Cause::Dropped, events);
        }
        handle
    }

    fn watch(&mut self, shard: ShardId, id: UserId) -> (UserId, Handle, Option<Arc<Presence>>) {
        let handle = self.handle_of(&id);
        let entry = &mut self.entries[handle.0 as usize];
        entry.watchers |= bit(shard);
        let presence = entry.record.as_ref().map(|record| Arc::clone(&record.presence));
        (id, handle, presence)
    }

    /// One transition of one user, and what follows for the indexes.
    fn transition(&mut self, now: Timestamp, handle: Handle, transition: Transition) -> Outcome {
        let context = Context { now, epoch: self.epoch };
        let entry = &mut self.entries[handle.0 as usize];
        let Some(record) = &mut entry.record else {
            return Outcome {
                verdict: Verdict::NotOwner,
                published: None,
                ended: Vec::new(),
                dirty: false,
            };
        };
        let was_online = record.presence.shown.is_some();
        let outcome = record.apply(context, transition);
        let due = record.next_due();
        if due != entry.due {
            entry.due.map(|at| self.due.remove(&(at, handle)));
            due.map(|at| self.due.insert((at, handle)));
            entry.due = due;
        }
        // Someone with a status by hand is kept: only the store has that.
        let is_idle = record.sessions.is_empty() && record.manual.is_none();
        if is_idle != entry.idle_since.is_some() {
            entry.idle_since.map(|at| self.idle.remove(&(at, handle)));
            entry.idle_since = is_idle.then_some(now);
            entry.idle_since.map(|at| self.idle.insert((at, handle)));
        }
        let has_gone = was_online && record.presence.shown.is_none();
        for session in &outcome.ended {
            self.sessions.remove(session);
        }
        if has_gone {
            self.unwritten.insert(handle);
        }
        if outcome.dirty {
            self.touch(handle);
        }
        outcome
    }

    fn touch(&mut self, handle: Handle) {
        let entry = &mut self.entries[handle.0 as usize];
        if !entry.is_dirty {
            entry.is_dirty = true;
            self.dirty.push(handle);
        }
    }

    fn announce(
        &mut self,
        handle: Handle,
        outcome: Outcome,
        cause: Cause,
        events: &mut Vec<(ShardId, Event)>,
    ) {
        let entry = &self.entries[handle.0 as usize];
        for session in &outcome.ended {
            tracing::debug!(user = %entry.id, %session, ?cause, "session ended");
        }
        let Some(presence) = outcome.published else { return };
        let mut watchers = entry.watchers;
        while watchers != 0 {
            let shard = watchers.trailing_zeros();
            watchers &= watchers - 1;
            let Ok(shard) = u16::try_from(shard) else { return };
            let presence = Arc::clone(&presence);
            events.push((ShardId(shard), Event::Presence { handle, presence }));
        }
    }

    fn sessions_of(&self, user: &UserId) -> Vec<SessionInfo> {
        let sessions = self.find(user).map(|record| &record.sessions[..]).unwrap_or_default();
        sessions
            .iter()
            .map(|session| SessionInfo {
                id: session.id,
                since: session.since,
                address: session.address.clone(),
                client: session.client.clone(),
                this: false,
            })
            .collect()
    }

    /// Signs out; tells the socket, if it has one, of each session that ended.
    fn sign_out(
        &mut self,
        now: Timestamp,
        user: &UserId,
        session: Option<SessionId>,
        events: &mut Vec<(ShardId, Event)>,
    ) -> Vec<Option<Owner>> {
        let Some(handle) = self.by_id.get(user).copied() else { return Vec::new() };
        let outcome = self.transition(now, handle, Transition::Signout { session });
        let Verdict::SignedOut(gone) = &outcome.verdict else { return Vec::new() };
        let owners = gone.iter().map(|(_, owner)| *owner).collect();
        self.announce(handle, outcome, Cause::SignedOut, events);
        owners
    }
}

fn bit(shard: ShardId) -> u64 {
    1u64.checked_shl(u32::from(shard.0)).unwrap_or(0)
}
