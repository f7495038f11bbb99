//! What the store does: one transition of one user, decided in one step.
//!
//! The embedded store runs this function; a store that runs scripts is checked against it. It
//! never reads a clock: the caller hands in the store's time.

use std::sync::Arc;

use crate::aggregate;
use crate::glob::Glob;
use crate::hello::TokenHash;
use crate::ids::{Epoch, Incarnation, RelationVersion, SessionId, Version};
use crate::relation::Class;
use crate::report::{Report, ReportChange};
use crate::session::{Life, Manual, Owner, SESSIONS_PER_USER_MAX, SessionRecord};
use crate::time::Timestamp;
use crate::view::{PerClass, Presence, Shown};
use crate::visibility::{Audience, Rights};

/// A user as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRecord {
    /// Sessions that have not ended, oldest first; at most [`SESSIONS_PER_USER_MAX`].
    pub sessions: Vec<SessionRecord>,
    /// The status set by hand.
    pub manual: Option<Manual>,
    /// Projects that never leave the server.
    pub hidden: Vec<Glob>,
    /// The public state as last published.
    pub presence: Arc<Presence>,
}

/// What the directory knows of a user and the store needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Version of the user's relations.
    pub relations: RelationVersion,
    /// Who may see what.
    pub audience: Audience,
    /// Projects that never leave the server.
    pub hidden: Vec<Glob>,
    /// Last seen per class.
    pub seen: PerClass,
}

/// The store's side of a transition.
#[derive(Debug, Clone, Copy)]
pub struct Context {
    /// The store's time.
    pub now: Timestamp,
    /// The life of the store's data.
    pub epoch: Epoch,
}

/// The socket and secret that a session is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The session.
    pub session: SessionId,
    /// The socket.
    pub owner: Owner,
    /// Hash of the new resume token's secret.
    pub token: TokenHash,
    /// Address that it comes from.
    pub address: Box<str>,
    /// The client program, as it names itself.
    pub client: Box<str>,
}

/// One change of one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transition {
    /// A new session.
    Open {
        /// Its socket.
        binding: Binding,
        /// Its first report, perhaps empty.
        report: ReportChange,
        /// What the directory knows of the user; what it says of preferences and last seen counts
        /// only where the record is new, see [`UserRecord::new`].
        profile: Profile,
    },
    /// A session's client is back, on a new socket.
    Resume {
        /// The new socket.
        binding: Binding,
        /// Hash of the secret that it brought.
        secret: TokenHash,
    },
    /// The first frame on a resumed session's socket: the token before is no longer good.
    Confirm {
        /// The session.
        session: SessionId,
        /// Its socket.
        owner: Owner,
    },
    /// A session says something of itself.
    Report {
        /// The session.
        session: SessionId,
        /// Its socket.
        owner: Owner,
        /// What it says.
        change: ReportChange,
    },
    /// A session lost its socket and may come back.
    Detach {
        /// The session.
        session: SessionId,
        /// The socket that it lost.
        owner: Owner,
        /// The deadline.
        until: Timestamp,
    },
    /// A session is over, by its own socket.
    End {
        /// The session.
        session: SessionId,
        /// Its socket.
        owner: Owner,
    },
    /// One session, or all, are over, by the user's wish.
    Signout {
        /// Which; all if none is named.
        session: Option<SessionId>,
    },
    /// Ends what is overdue: Detached sessions, and a status by hand.
    Sweep,
    /// A node died: its sessions are Detached.
    Adopt {
        /// The life of the node; any, if none is named (a store that restarts alone).
        dead: Option<Incarnation>,
        /// The deadline.
        until: Timestamp,
    },
    /// A status by hand is set, or cleared.
    Manual(Option<Manual>),
    /// The user's preferences are new.
    Preferences {
        /// Who may see what.
        audience: Audience,
        /// Projects that never leave the server.
        hidden: Vec<Glob>,
    },
    /// The user's relations are new.
    Relations(RelationVersion),
}

/// How a transition went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is so now.
    Done,
    /// The socket no longer owns the session, or the session has ended: nothing was done.
    NotOwner,
    /// No such session, or the secret is wrong: nothing was done.
    ResumeFailed,
    /// The session is bound to the new socket, and its old one, if it still had one, is not.
    Resumed {
        /// The old socket.
        displaced: Option<Owner>,
    },
    /// Twenty sessions are live: nothing was done.
    TooManySessions,
    /// These sessions have ended, with the sockets they had.
    SignedOut(Vec<(SessionId, Option<Owner>)>),
}

/// What came of a transition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// How it went.
    pub verdict: Verdict,
    /// The new public state, where there is one to publish.
    pub published: Option<Arc<Presence>>,
    /// Sessions that ended.
    pub ended: Vec<SessionId>,
    /// Whether the record is different now.
    pub dirty: bool,
}

impl UserRecord {
    /// A user without sessions.
    pub fn new(profile: &Profile) -> Self {
        let presence = Presence {
            audience: profile.audience,
            ..Presence::offline(profile.seen.clone(), profile.relations)
        };
        Self {
            sessions: Vec::new(),
            manual: None,
            hidden: profile.hidden.clone(),
            presence: Arc::new(presence),
        }
    }

    /// When this user needs a [`Transition::Sweep`].
    pub fn next_due(&self) -> Option<Timestamp> {
        let detached = self.sessions.iter().filter_map(|session| match session.life {
            Life::Detached { until } => Some(until),
            Life::Live(_) => None,
        });
        detached.chain(self.manual.as_ref().and_then(|manual| manual.until)).min()
    }

    /// Last seen per class, as of `now`: classes that see the user online see it now.
    pub fn seen_at(&self, now: Timestamp) -> PerClass {
        let mut seen = self.presence.seen.clone();
        if self.presence.shown.is_some() {
            seen.set(self.presence.audience.presence, now);
        }
        seen
    }

    /// Carries out one transition: session, merge, version and what to publish, in one step.
    pub fn apply(&mut self, context: Context, transition: Transition) -> Outcome {
        let mut outcome =
            Outcome { verdict: Verdict::Done, published: None, ended: Vec::new(), dirty: true };
        let mut audience = self.presence.audience;
        let mut relations = self.presence.relations;
        match transition {
            Transition::Open { binding, report, profile } => {
                if !self.make_room(&mut outcome) {
                    return Outcome { verdict: Verdict::TooManySessions, dirty: false, ..outcome };
                }
                // Of preferences the record knows the latest: the login read them some time ago, and
                // must not take back what another session has hidden since.
                // Nearly everyone has one session: room for four would cost more than the rest.
                self.sessions.reserve_exact(1);
                self.sessions.push(open(context.now, binding, &report));
                relations = relations.max(profile.relations);
            }
            Transition::Resume { binding, secret } => match self.resume(binding, &secret) {
                Some(displaced) => outcome.verdict = Verdict::Resumed { displaced },
                None => return Outcome { verdict: Verdict::ResumeFailed, dirty: false, ..outcome },
            },
            Transition::Confirm { session, owner } => match self.owned(session, owner) {
                Some(place) => outcome.dirty = self.sessions[place].previous.take().is_some(),
                None => return not_owner(outcome),
            },
            Transition::Report { session, owner, change } => match self.owned(session, owner) {
                Some(place) => outcome.dirty = report(&mut self.sessions[place], context, &change),
                None => return not_owner(outcome),
            },
            Transition::Detach { session, owner, until } => match self.owned(session, owner) {
                Some(place) => self.sessions[place].life = Life::Detached { until },
                None => return not_owner(outcome),
            },
            Transition::End { session, owner } => match self.owned(session, owner) {
                Some(place) => outcome.ended.push(self.sessions.remove(place).id),
                None => return not_owner(outcome),
            },
            Transition::Signout { session } => self.sign_out(session, &mut outcome),
            Transition::Sweep => self.sweep(context.now, &mut outcome),
            Transition::Adopt { dead, until } => self.adopt(dead, until),
            Transition::Manual(manual) => self.manual = manual,
            Transition::Preferences { audience: new, hidden } => {
                audience = new;
                self.hidden = hidden;
            }
            Transition::Relations(version) => relations = relations.max(version),
        }
        self.publish(context, audience, relations, &mut outcome);
        outcome
    }

    fn owned(&self, session: SessionId, owner: Owner) -> Option<usize> {
        let is_owned = |s: &SessionRecord| s.id == session && s.life == Life::Live(owner);
        self.sessions.iter().position(is_owned)
    }

    /// Ends the oldest Detached session if the user has no place left for another.
    fn make_room(&mut self, outcome: &mut Outcome) -> bool {
        if self.sessions.len() < SESSIONS_PER_USER_MAX {
            return true;
        }
        let is_detached = |s: &SessionRecord| matches!(s.life, Life::Detached { .. });
        let Some(oldest) = self.sessions.iter().position(is_detached) else { return false };
        outcome.ended.push(self.sessions.remove(oldest).id);
        true
    }

    fn resume(&mut self, binding: Binding, secret: &TokenHash) -> Option<Option<Owner>> {
        let session = self.sessions.iter_mut().find(|s| s.id == binding.session)?;
        // The store compares hashes of 256 random bits: how long a comparison takes tells nothing.
        if session.token != *secret && session.previous.as_ref() != Some(secret) {
            return None;
        }
        let displaced = match session.life {
            Life::Live(owner) => Some(owner),
            Life::Detached { .. } => None,
        };
        session.life = Life::Live(binding.owner);
        session.previous = Some(*secret);
        session.token = binding.token;
        session.address = binding.address;
        session.client = binding.client;
        Some(displaced)
    }

    fn sign_out(&mut self, which: Option<SessionId>, outcome: &mut Outcome) {
        let mut gone = Vec::new();
        self.sessions.retain(|session| {
            if which.is_some_and(|id| id != session.id) {
                return true;
            }
            let owner = match session.life {
                Life::Live(owner) => Some(owner),
                Life::Detached { .. } => None,
            };
            gone.push((session.id, owner));
            false
        });
        outcome.ended.extend(gone.iter().map(|(id, _)| *id));
        outcome.dirty = !gone.is_empty();
        outcome.verdict = Verdict::SignedOut(gone);
    }

    fn sweep(&mut self, now: Timestamp, outcome: &mut Outcome) {
        let is_over =
            |s: &SessionRecord| matches!(s.life, Life::Detached { until } if until <= now);
        outcome.ended.extend(self.sessions.iter().filter(|s| is_over(s)).map(|s| s.id));
        self.sessions.retain(|session| !is_over(session));
        let by_hand_is_over =
            self.manual.as_ref().and_then(|m| m.until).is_some_and(|until| until <= now);
        if by_hand_is_over {
            self.manual = None;
        }
        outcome.dirty = by_hand_is_over || !outcome.ended.is_empty();
    }

    fn adopt(&mut self, dead: Option<Incarnation>, until: Timestamp) {
        for session in &mut self.sessions {
            match session.life {
                Life::Live(owner) if dead.is_none_or(|dead| dead == owner.node) => {
                    session.life = Life::Detached { until };
                }
                // A store that restarts alone gives every session its time to come back.
                Life::Detached { .. } if dead.is_none() => {
                    session.life = Life::Detached { until };
                }
                _ => {}
            }
        }
    }

    fn publish(
        &mut self,
        context: Context,
        audience: Audience,
        relations: RelationVersion,
        outcome: &mut Outcome,
    ) {
        let shown = aggregate::merge(&self.sessions, self.manual.as_ref(), &self.hidden);
        let old = &self.presence;
        if shown == old.shown && audience == old.audience && relations == old.relations {
            return;
        }
        let (changed, went) = changed_classes(old, audience, shown.as_ref());
        let mut new = Presence {
            epoch: context.epoch,
            version: Version((old.version.0 + 1).max(context.now.0)),
            relations,
            audience,
            shown,
            changed: old.changed.clone(),
            seen: old.seen.clone(),
        };
        new.changed.set(changed, context.now);
        new.seen.set(went, context.now);
        self.presence = Arc::new(new);
        outcome.published = Some(Arc::clone(&self.presence));
        outcome.dirty = true;
    }
}

fn not_owner(outcome: Outcome) -> Outcome {
    Outcome { verdict: Verdict::NotOwner, dirty: false, ..outcome }
}

fn open(now: Timestamp, binding: Binding, change: &ReportChange) -> SessionRecord {
    let mut session = SessionRecord {
        id: binding.session,
        life: Life::Live(binding.owner),
        report: None,
        reported: Timestamp::NEVER,
        token: binding.token,
        previous: None,
        since: now,
        address: binding.address,
        client: binding.client,
    };
    apply_report(&mut session, now, change);
    session
}

fn report(session: &mut SessionRecord, context: Context, change: &ReportChange) -> bool {
    apply_report(session, context.now, change)
}

fn apply_report(session: &mut SessionRecord, now: Timestamp, change: &ReportChange) -> bool {
    if change.is_empty() {
        return false;
    }
    let is_first = session.report.is_none();
    let changed = session.report.get_or_insert_with(Report::default).apply(change);
    if changed || is_first {
        session.reported = now;
    }
    changed || is_first
}

/// Which classes see something else than before, and which of those no longer see the user.
fn changed_classes(old: &Presence, audience: Audience, shown: Option<&Shown>) -> (u16, u16) {
    let (mut changed, mut went) = (0, 0);
    // Neighbouring classes mostly have the same rights: decide once for a run of them.
    let mut last = None;
    for class in Class::all() {
        let rights = (old.audience.rights(class), audience.rights(class));
        let (differs, gone) = match last {
            Some((seen, verdict)) if seen == rights => verdict,
            _ => compare(old.shown.as_ref(), rights.0, shown, rights.1),
        };
        last = Some((rights, (differs, gone)));
        changed |= u16::from(differs) << class.index();
        went |= u16::from(gone) << class.index();
    }
    (changed, went)
}

fn compare(old: Option<&Shown>, before: Rights, new: Option<&Shown>, now: Rights) -> (bool, bool) {
    let old = old.filter(|_| before.has(Rights::PRESENCE)).map(|shown| shown.visible(before));
    let new = new.filter(|_| now.has(Rights::PRESENCE)).map(|shown| shown.visible(now));
    (old != new, old.is_some() && new.is_none())
}

#[cfg(test)]
mod tests;
