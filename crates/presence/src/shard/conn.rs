//! A socket's stages: new, logging in, opening, live.

use std::time::Duration;

use crate::close::{Close, ErrorCode, Fate};
use crate::exchange::Request;
use crate::hello::{Credentials, Cursor, ResumeToken};
use crate::ids::{ConnId, SessionId, UserId};
use crate::person::Person;
use crate::rate::Bucket;
use crate::report::ReportChange;
use crate::session::Cause;
use crate::shard::effect::{Effect, Notice, Said};
use crate::shard::liveness::Alarm;
use crate::shard::session::Session;
use crate::shard::{BAD_MESSAGES_MAX, BYE_AFTER_MAX, Shard, ask_store};
use crate::time::Timestamp;
use crate::watch::Place;

/// Random numbers for a session that begins or is bound again, and what the driver knows of the
/// socket.
#[derive(Debug, Clone)]
pub struct Fresh {
    /// For a new session.
    pub session: SessionId,
    /// Secret of the next resume token.
    pub secret: [u8; 32],
    /// Address that the socket comes from.
    pub address: Box<str>,
    /// The client program, as it named itself.
    pub client: Box<str>,
}

/// A socket.
#[derive(Debug)]
pub(super) struct Conn {
    pub tenant: u32,
    pub stage: Stage,
    /// Pings in a row without any frame since.
    pub pings_missed: u8,
    /// Bad messages in a row.
    pub bad: u8,
    pub frames: Bucket,
    /// When a `hello` must have come.
    pub hello_by: Timestamp,
    pub ping_offset: Duration,
}

#[derive(Debug)]
pub(super) enum Stage {
    /// Nothing said yet, or a resume that failed.
    New,
    /// The store is asked to bind an old session.
    Resuming(Box<Login>),
    /// Login and directory are asked who this is.
    LoggingIn(Box<Login>),
    /// The store is asked for everyone on the watch list, and for a new session.
    Opening(Box<Opening>),
    /// A session.
    Live(Box<Session>),
}

/// What a socket brought, until it is known who it is.
#[derive(Debug)]
pub(super) struct Login {
    pub fresh: Fresh,
    pub report: ReportChange,
    pub cursor: Option<Cursor>,
    /// The login to fall back on when the resume fails.
    pub credentials: Option<Credentials>,
    /// The session that is to be: a claimed one, or a new one.
    pub session: SessionId,
    /// Whose it is, once the store has bound it to this socket.
    pub bound: Option<UserId>,
    pub is_resumed: bool,
    /// Times that the person was read.
    pub loads: u8,
}

/// A session that is about to begin: on the watch index already, not yet told anything.
#[derive(Debug)]
pub(super) struct Opening {
    pub login: Login,
    pub person: Person,
    pub places: Vec<Place>,
}

/// A session whose socket left while the store was binding it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Orphan {
    pub session: SessionId,
    /// How long it may come back; over at once, if not at all.
    pub until: Option<Timestamp>,
    pub cause: Cause,
}

impl Shard {
    pub(super) fn open_conn(&mut self, now: Timestamp, conn: ConnId, ping_offset: Duration) {
        let slot = conn.slot as usize;
        if self.conns.len() <= slot {
            self.conns.resize_with(slot + 1, || None);
        }
        assert!(self.conns[slot].is_none(), "a driver gives each open socket a slot of its own");
        self.conns[slot] = Some(Conn {
            tenant: conn.tenant,
            stage: Stage::New,
            pings_missed: 0,
            bad: 0,
            frames: Bucket::default(),
            hello_by: now,
            ping_offset,
        });
        self.expect_hello(now, conn);
    }

    /// Gives a socket its time to say `hello`.
    pub(super) fn expect_hello(&mut self, now: Timestamp, conn: ConnId) {
        let by = now + self.limits.hello_within;
        if let Some(held) = self.conn_mut(conn) {
            held.stage = Stage::New;
            held.hello_by = by;
            self.wake(by, conn, Alarm::NoHello);
        }
    }

    pub(super) fn hear(
        &mut self,
        now: Timestamp,
        conn: ConnId,
        said: Said,
        effects: &mut Vec<Effect>,
    ) {
        if !self.sign_of_life(now, conn, effects) {
            return;
        }
        match said {
            Said::Bad { n, refusal } => self.bad_message(now, conn, n, refusal, effects),
            Said::TooLarge => self.close(now, conn, Close::TooLarge, effects),
            Said::NotText => self.close(now, conn, Close::BadMessages, effects),
            said => {
                if let Some(held) = self.conn_mut(conn) {
                    held.bad = 0;
                }
                self.understood(now, conn, said, effects);
            }
        }
    }

    fn understood(&mut self, now: Timestamp, conn: ConnId, said: Said, effects: &mut Vec<Effect>) {
        let is_live = self.session(conn).is_some();
        match said {
            Said::Alive => {}
            Said::Bye { after: None } => self.close(now, conn, Close::Goodbye, effects),
            Said::Bye { after: Some(after) } => {
                let until = now + after.min(BYE_AFTER_MAX);
                self.detach(conn, until, Cause::Goodbye, effects);
                self.close(now, conn, Close::Goodbye, effects);
            }
            Said::Report(change) if is_live => self.report(now, conn, change, effects),
            Said::Request { n, ask } if is_live => self.request(now, conn, n, ask, effects),
            Said::Request { n, .. } => {
                let refusal = crate::ask::Refusal::new(
                    ErrorCode::Unauthorized,
                    "say `hello` and wait for `welcome` before any request",
                );
                effects.push(Effect::Send { conn, notice: Notice::Error { n: Some(n), refusal } });
            }
            Said::Report(change) => self.early_report(conn, change, effects),
            Said::Bad { .. } | Said::TooLarge | Said::NotText => {}
        }
    }

    /// A report between `hello` and `welcome` joins the first one: nothing said is lost.
    fn early_report(&mut self, conn: ConnId, change: ReportChange, effects: &mut Vec<Effect>) {
        let Some(held) = self.conn_mut(conn) else { return };
        match &mut held.stage {
            Stage::Resuming(login) | Stage::LoggingIn(login) => login.report.merge(change),
            Stage::Opening(opening) => opening.login.report.merge(change),
            Stage::New | Stage::Live(_) => effects.push(Effect::Send {
                conn,
                notice: Notice::error(ErrorCode::Unauthorized, "say `hello` before any report"),
            }),
        }
    }

    pub(super) fn bad_message(
        &mut self,
        now: Timestamp,
        conn: ConnId,
        n: Option<u64>,
        refusal: crate::ask::Refusal,
        effects: &mut Vec<Effect>,
    ) {
        let Some(held) = self.conn_mut(conn) else { return };
        held.bad += 1;
        let is_enough = held.bad >= BAD_MESSAGES_MAX;
        effects.push(Effect::Send { conn, notice: Notice::Error { n, refusal } });
        if is_enough {
            self.close(now, conn, Close::BadMessages, effects);
        }
    }

    /// The socket is gone by itself.
    pub(super) fn socket_closed(
        &mut self,
        now: Timestamp,
        conn: ConnId,
        goodbye: bool,
        effects: &mut Vec<Effect>,
    ) {
        if goodbye {
            self.end(conn, Cause::Goodbye, effects);
        } else {
            self.detach(conn, now + self.limits.resume_window, Cause::Dropped, effects);
        }
        self.forget(conn, effects);
    }

    /// Closes a socket; its session ends or is detached as the reason says.
    pub(super) fn close(
        &mut self,
        now: Timestamp,
        conn: ConnId,
        close: Close,
        effects: &mut Vec<Effect>,
    ) {
        if self.conn_mut(conn).is_none() {
            return;
        }
        let cause = match close {
            Close::Goodbye => Cause::Goodbye,
            Close::PingsMissed => Cause::PingsMissed,
            Close::Restart | Close::Drained => Cause::NodeStopped,
            Close::TooLarge | Close::BadMessages | Close::TooMany => Cause::Misbehaved,
            _ => Cause::Dropped,
        };
        match close.fate() {
            Fate::Ends => self.end(conn, cause, effects),
            Fate::Detaches => {
                self.detach(conn, now + self.limits.resume_window, cause, effects);
            }
            Fate::NotOurs => {}
        }
        self.forget(conn, effects);
        effects.push(Effect::Close { conn, close });
    }

    pub(super) fn close_all(&mut self, now: Timestamp, close: Close, effects: &mut Vec<Effect>) {
        for slot in 0..self.conns.len() {
            let Some(tenant) = self.conns[slot].as_ref().map(|conn| conn.tenant) else { continue };
            let Ok(slot) = u32::try_from(slot) else { return };
            self.close(now, ConnId { slot, tenant }, close, effects);
        }
    }

    /// The store has given the session to someone else, or ended it.
    pub(super) fn taken_away(&mut self, conn: ConnId, close: Close, effects: &mut Vec<Effect>) {
        if self.conn_mut(conn).is_some() {
            self.forget(conn, effects);
            effects.push(Effect::Close { conn, close });
        }
    }

    fn end(&mut self, conn: ConnId, cause: Cause, effects: &mut Vec<Effect>) {
        self.part(conn, None, cause, effects);
    }

    fn detach(&mut self, conn: ConnId, until: Timestamp, cause: Cause, effects: &mut Vec<Effect>) {
        self.flush_report(conn, effects);
        self.part(conn, Some(until), cause, effects);
    }

    /// Tells the store that a socket leaves its session, now or once the store has bound it.
    fn part(
        &mut self,
        conn: ConnId,
        until: Option<Timestamp>,
        cause: Cause,
        effects: &mut Vec<Effect>,
    ) {
        if let Some((user, session)) = self.bound(conn) {
            self.let_go(conn, user, Orphan { session, until, cause }, effects);
        } else if let Some(session) = self.claimed(conn) {
            // The first word counts: a `bye` is not undone by the close that follows it.
            self.orphans.entry(conn).or_insert(Orphan { session, until, cause });
        }
    }

    pub(super) fn let_go(
        &self,
        conn: ConnId,
        user: UserId,
        orphan: Orphan,
        effects: &mut Vec<Effect>,
    ) {
        let owner = self.owner(conn);
        let Orphan { session, until, cause } = orphan;
        ask_store(
            effects,
            match until {
                Some(until) => Request::Detach { user, session, owner, until, cause },
                None => Request::End { user, session, owner, cause },
            },
        );
    }

    /// The session that the store is asked to bind to this socket.
    fn claimed(&mut self, conn: ConnId) -> Option<SessionId> {
        match &self.conn_mut(conn)?.stage {
            Stage::Resuming(login) => Some(login.session),
            _ => None,
        }
    }

    /// The session that the store has bound, or is about to bind, to this socket.
    pub(super) fn bound(&self, conn: ConnId) -> Option<(UserId, SessionId)> {
        let held = self.conns.get(conn.slot as usize)?.as_ref()?;
        match &held.stage {
            Stage::Live(session) => Some((session.user.clone(), session.id)),
            Stage::Opening(opening) => Some((opening.person.id.clone(), opening.login.session)),
            Stage::LoggingIn(login) => Some((login.bound.clone()?, login.session)),
            Stage::New | Stage::Resuming(_) => None,
        }
    }

    /// Takes a socket off the table and its watch list off the index.
    fn forget(&mut self, conn: ConnId, effects: &mut Vec<Effect>) {
        let Some(slot) = self.conns.get_mut(conn.slot as usize) else { return };
        if slot.as_ref().is_none_or(|held| held.tenant != conn.tenant) {
            return;
        }
        let Some(held) = slot.take() else { return };
        let places = match held.stage {
            Stage::Live(session) => {
                self.sessions -= 1;
                session.into_places()
            }
            Stage::Opening(opening) => opening.places,
            Stage::New | Stage::Resuming(_) | Stage::LoggingIn(_) => return,
        };
        self.leave_all(places, effects);
    }

    /// The token that the client is to come back with.
    pub(super) fn token(user: &UserId, session: SessionId, secret: [u8; 32]) -> ResumeToken {
        ResumeToken { partition: user.partition(), session, secret }
    }
}
