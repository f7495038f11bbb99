//! The store as one map in memory: what the embedded store does, without its disk.
//!
//! Requests are handled in the order they came; every event goes to the end of its shard's queue.
//! The store outlives a crash of the node, as a disk would.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use presence::ask::SessionInfo;
use presence::exchange::{Event, Request};
use presence::hello::TokenHash;
use presence::ids::{ConnId, Epoch, Handle, RelationVersion, SessionId, ShardId, UserId};
use presence::session::Owner;
use presence::time::Timestamp;
use presence::transition::{Binding, Context, Profile, Transition, UserRecord, Verdict};
use presence::view::{PerClass, Presence};
use presence::visibility::{Audience, Preferences};

use crate::faults::Fault;

/// Time that the sessions of a crashed node have to come back.
pub(crate) const ADOPTION: Duration = Duration::from_secs(60);
/// How late [`Fault::SnapshotBeforeSubscription`] subscribes.
const LATE: Duration = Duration::from_millis(400);

/// What goes to which shard.
pub(crate) type Events = Vec<(ShardId, Event)>;

pub(crate) struct Store {
    epoch: Epoch,
    users: BTreeMap<UserId, UserRecord>,
    /// The preferences that the users' audiences were made of, for the checks.
    preferences: BTreeMap<UserId, Preferences>,
    /// Versions of relations that the store was told of, also of users of whom it knows no more.
    relations: BTreeMap<UserId, RelationVersion>,
    sessions: BTreeMap<SessionId, UserId>,
    handles: BTreeMap<UserId, Handle>,
    subscriptions: BTreeMap<UserId, BTreeSet<ShardId>>,
    late: Vec<(Timestamp, UserId, ShardId)>,
    fault: Option<Fault>,
}

impl Store {
    pub(crate) fn new(fault: Option<Fault>) -> Self {
        Self {
            epoch: Epoch(1),
            users: BTreeMap::new(),
            preferences: BTreeMap::new(),
            relations: BTreeMap::new(),
            sessions: BTreeMap::new(),
            handles: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            late: Vec::new(),
            fault,
        }
    }

    pub(crate) fn record(&self, user: &UserId) -> Option<&UserRecord> {
        self.users.get(user)
    }

    /// The preferences that the store has been told of, if any.
    pub(crate) fn preferences(&self, user: &UserId) -> Option<&Preferences> {
        self.preferences.get(user)
    }

    /// When something is overdue.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.users.values().filter_map(UserRecord::next_due).min()
    }

    /// Ends what is overdue; gives the users it touched.
    pub(crate) fn sweep(&mut self, now: Timestamp, events: &mut Events) -> Vec<UserId> {
        let is_due = |record: &UserRecord| record.next_due().is_some_and(|due| due <= now);
        let due: Vec<UserId> =
            self.users.iter().filter(|(_, r)| is_due(r)).map(|(id, _)| id.clone()).collect();
        for user in &due {
            self.apply(now, user, Transition::Sweep, events);
        }
        due
    }

    /// A new life of the node: nobody watches, and every session has its time to come back.
    pub(crate) fn restart(&mut self, now: Timestamp, preferences: impl Fn(&UserId) -> Preferences) {
        self.handles.clear();
        self.subscriptions.clear();
        self.late.clear();
        let users: Vec<UserId> = self.users.keys().cloned().collect();
        for user in users {
            let until = now + ADOPTION;
            self.apply(now, &user, Transition::Adopt { dead: None, until }, &mut Vec::new());
            // What the directory has written and the store was not told of before the crash.
            self.prefer(now, &user, preferences(&user), &mut Vec::new());
        }
    }

    /// Carries out one request; gives the user whose record it touched.
    pub(crate) fn handle(
        &mut self,
        now: Timestamp,
        from: ShardId,
        request: Request,
        events: &mut Events,
    ) -> Option<UserId> {
        self.subscribe_the_late(now);
        match request {
            Request::Watch { conn, users } => {
                self.watch(now, from, conn, users, events);
                None
            }
            Request::Unwatch(handle) => {
                self.unwatch(from, handle);
                None
            }
            Request::Open { user, binding, report, profile } => {
                self.open(now, from, &user, Transition::Open { binding, report, profile }, events);
                Some(user)
            }
            Request::Resume { binding, secret } => self.resume(now, from, binding, secret, events),
            Request::Sessions { user, conn, n } => {
                let sessions = self.list(&user);
                events.push((from, Event::Sessions { conn, n, sessions }));
                None
            }
            Request::Signout { user, session, conn, n } => {
                let mut told = Vec::new();
                let found = self.sign_out(now, &user, session, &mut told);
                // The answer first: the socket that asks may be one of those that are closed.
                events.push((from, Event::SignoutDone { conn, n, found }));
                events.append(&mut told);
                Some(user)
            }
            request => self.change(now, request, events),
        }
    }

    /// The requests that are one transition and are answered by nothing.
    fn change(&mut self, now: Timestamp, request: Request, events: &mut Events) -> Option<UserId> {
        let (user, transition) = match request {
            Request::Confirm { user, session, owner } => {
                if self.fault == Some(Fault::PreviousTokenStaysGood) {
                    return None;
                }
                (user, Transition::Confirm { session, owner })
            }
            Request::Report { user, session, owner, change } => {
                (user, Transition::Report { session, owner, change })
            }
            Request::Detach { user, session, owner, until, .. } => match self.fault {
                Some(Fault::DropEndsTheSession) => (user, Transition::End { session, owner }),
                _ => (user, Transition::Detach { session, owner, until }),
            },
            Request::End { user, session, owner, .. } => (user, Transition::End { session, owner }),
            Request::Manual { user, manual } => (user, Transition::Manual(manual)),
            Request::Preferences { user, preferences } => {
                self.prefer(now, &user, preferences, events);
                return Some(user);
            }
            Request::Relations { user, version } => {
                self.relations.insert(user.clone(), version);
                (user, Transition::Relations(version))
            }
            other => panic!("{other:?} has an answer of its own"),
        };
        self.apply(now, &user, transition, events);
        Some(user)
    }

    /// Ends one session, or all; tells whether there was any.
    pub(crate) fn sign_out(
        &mut self,
        now: Timestamp,
        user: &UserId,
        session: Option<SessionId>,
        events: &mut Events,
    ) -> bool {
        match self.apply(now, user, Transition::Signout { session }, events) {
            Verdict::SignedOut(gone) => {
                for (_, owner) in &gone {
                    tell_owner(*owner, |conn| Event::SignedOut { conn }, events);
                }
                !gone.is_empty()
            }
            _ => false,
        }
    }

    fn prefer(
        &mut self,
        now: Timestamp,
        user: &UserId,
        preferences: Preferences,
        events: &mut Events,
    ) {
        let (audience, hidden) = (preferences.audience(), preferences.hidden_projects.clone());
        self.preferences.insert(user.clone(), preferences);
        self.apply(now, user, Transition::Preferences { audience, hidden }, events);
    }

    fn open(
        &mut self,
        now: Timestamp,
        from: ShardId,
        user: &UserId,
        open: Transition,
        events: &mut Events,
    ) {
        let Transition::Open { binding, profile, .. } = &open else { return };
        let (conn, session) = (binding.owner.conn, binding.session);
        if !self.users.contains_key(user) {
            self.users.insert(user.clone(), UserRecord::new(profile));
            self.catch_up(now, user, events);
        }
        let opened = self.apply(now, user, open, events) == Verdict::Done;
        if opened {
            self.sessions.insert(session, user.clone());
        }
        events.push((from, Event::Opened { conn, opened }));
    }

    fn resume(
        &mut self,
        now: Timestamp,
        from: ShardId,
        binding: Binding,
        secret: TokenHash,
        events: &mut Events,
    ) -> Option<UserId> {
        let conn = binding.owner.conn;
        let user = self.sessions.get(&binding.session).cloned();
        let verdict = user
            .as_ref()
            .map(|user| self.apply(now, user, Transition::Resume { binding, secret }, events));
        let resumed = match verdict {
            Some(Verdict::Resumed { displaced }) => {
                tell_owner(displaced, |conn| Event::Replaced { conn }, events);
                user
            }
            _ => None,
        };
        events.push((from, Event::Resumed { conn, user: resumed.clone() }));
        resumed
    }

    /// What was changed between the reading of a login's profile and the user's first session.
    fn catch_up(&mut self, now: Timestamp, user: &UserId, events: &mut Events) {
        if let Some(version) = self.relations.get(user).copied() {
            self.apply(now, user, Transition::Relations(version), events);
        }
        if let Some(preferences) = self.preferences.get(user).cloned() {
            self.prefer(now, user, preferences, events);
        }
    }

    fn list(&self, user: &UserId) -> Vec<SessionInfo> {
        let sessions = self.users.get(user).map_or(&[][..], |record| &record.sessions);
        let info = |session: &presence::session::SessionRecord| SessionInfo {
            id: session.id,
            since: session.since,
            address: session.address.clone(),
            client: session.client.clone(),
            this: false,
        };
        sessions.iter().map(info).collect()
    }

    fn apply(
        &mut self,
        now: Timestamp,
        user: &UserId,
        transition: Transition,
        events: &mut Events,
    ) -> Verdict {
        let ends = matches!(transition, Transition::End { .. } | Transition::Sweep);
        let Some(record) = self.users.get_mut(user) else { return Verdict::NotOwner };
        let before = record.presence.version;
        let outcome = record.apply(Context { now, epoch: self.epoch }, transition);
        assert!(record.presence.version >= before, "a version never goes back within an epoch");
        for session in &outcome.ended {
            self.sessions.remove(session);
        }
        if let Some(mut presence) = outcome.published {
            if self.fault == Some(Fault::AudienceForgotten) {
                presence = edited(&presence, |p| p.audience = Audience::default());
            }
            if self.fault == Some(Fault::LastSeenOfTheHidden) && ends && presence.shown.is_none() {
                presence = edited(&presence, |p| p.seen = PerClass::Same(now));
                record.presence = Arc::clone(&presence);
            }
            self.publish(user, &presence, events);
        }
        outcome.verdict
    }

    fn publish(&self, user: &UserId, presence: &Arc<Presence>, events: &mut Events) {
        let Some(handle) = self.handles.get(user) else { return };
        for shard in self.subscriptions.get(user).into_iter().flatten() {
            let presence = Arc::clone(presence);
            events.push((*shard, Event::Presence { handle: *handle, presence }));
        }
    }

    fn watch(
        &mut self,
        now: Timestamp,
        from: ShardId,
        conn: Option<ConnId>,
        users: Vec<UserId>,
        events: &mut Events,
    ) {
        let mut known = Vec::with_capacity(users.len());
        for user in users {
            let next = u32::try_from(self.handles.len()).unwrap_or(u32::MAX);
            let handle = *self.handles.entry(user.clone()).or_insert(Handle(next));
            if self.fault == Some(Fault::SnapshotBeforeSubscription) {
                self.late.push((now + LATE, user.clone(), from));
            } else {
                self.subscriptions.entry(user.clone()).or_default().insert(from);
            }
            let presence = self.users.get(&user).map(|record| Arc::clone(&record.presence));
            known.push((user, handle, presence));
        }
        events.push((from, Event::Watched { conn, epoch: self.epoch, users: known }));
    }

    fn subscribe_the_late(&mut self, now: Timestamp) {
        let late = std::mem::take(&mut self.late);
        for (at, user, shard) in late {
            if at <= now {
                self.subscriptions.entry(user).or_default().insert(shard);
            } else {
                self.late.push((at, user, shard));
            }
        }
    }

    fn unwatch(&mut self, from: ShardId, handle: Handle) {
        let user = self.handles.iter().find(|(_, held)| **held == handle).map(|(user, _)| user);
        if let Some(shards) = user.and_then(|user| self.subscriptions.get_mut(user)) {
            shards.remove(&from);
        }
    }

    /// Users whom that shard has subscribed to.
    pub(crate) fn watched_by(&self, shard: ShardId) -> usize {
        self.subscriptions.values().filter(|shards| shards.contains(&shard)).count()
    }

    /// What a change of relation is decided by: the state now, or what the directory knows.
    pub(crate) fn presence(&self, user: &UserId, profile: &Profile) -> Arc<Presence> {
        match self.users.get(user) {
            Some(record) => Arc::clone(&record.presence),
            None => Arc::new(Presence {
                audience: profile.audience,
                ..Presence::offline(profile.seen.clone(), profile.relations)
            }),
        }
    }
}

fn tell_owner(owner: Option<Owner>, event: impl Fn(ConnId) -> Event, events: &mut Events) {
    if let Some(owner) = owner {
        events.push((owner.shard, event(owner.conn)));
    }
}

fn edited(presence: &Presence, edit: impl FnOnce(&mut Presence)) -> Arc<Presence> {
    let mut presence = presence.clone();
    edit(&mut presence);
    Arc::new(presence)
}
