//! Signs of life: which socket is heard, which is asked, which is given up.

use std::cmp::Ordering;

use crate::close::Close;
use crate::exchange::Request;
use crate::hello::Cursor;
use crate::ids::{ConnId, RelationVersion};
use crate::shard::conn::{Conn, Stage};
use crate::shard::effect::{Effect, Notice};
use crate::shard::{CURSOR_OVERLAP, HOLD_GRACE, Shard, ask_store};
use crate::time::Timestamp;

/// Pings in a row without any frame since, at which a socket is given up.
const PINGS_MISSED_MAX: u8 = 2;

/// Stands in the cursor of a client that was not yet told of its whole list: no list has this
/// version, so that it gets a full `sync`.
const UNSETTLED: RelationVersion = RelationVersion(u64::MAX);

/// What a socket wants to be woken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Alarm {
    /// No `hello` yet?
    NoHello,
    /// Time for a ping.
    Ping,
    /// Time for merged reports.
    Report,
}

/// One alarm. A socket that is gone leaves its alarms behind; they find nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Timer {
    pub at: Timestamp,
    pub conn: ConnId,
    pub alarm: Alarm,
}

impl Ord for Timer {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.conn, self.alarm).cmp(&(other.at, other.conn, other.alarm))
    }
}

impl PartialOrd for Timer {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Shard {
    pub(super) fn wake(&mut self, at: Timestamp, conn: ConnId, alarm: Alarm) {
        self.timers.push(std::cmp::Reverse(Timer { at, conn, alarm }));
    }

    /// A frame came. Tells whether the socket is still there: too many frames close it.
    pub(super) fn sign_of_life(
        &mut self,
        now: Timestamp,
        conn: ConnId,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let rate = self.limits.frames;
        let Some(held) = self.conn_mut(conn) else { return false };
        held.pings_missed = 0;
        if held.frames.take(now, rate).is_err() {
            self.close(now, conn, Close::TooMany, effects);
            return false;
        }
        if let Some(session) = self.session_mut(conn)
            && session.is_unconfirmed
        {
            session.is_unconfirmed = false;
            let (user, session) = (session.user.clone(), session.id);
            let owner = self.owner(conn);
            ask_store(effects, Request::Confirm { user, session, owner });
        }
        true
    }

    pub(super) fn no_hello(&mut self, now: Timestamp, conn: ConnId, effects: &mut Vec<Effect>) {
        let is_late = |held: &mut Conn| matches!(held.stage, Stage::New) && held.hello_by <= now;
        if self.conn_mut(conn).is_some_and(is_late) {
            self.close(now, conn, Close::NoHello, effects);
        }
    }

    pub(super) fn ping(&mut self, now: Timestamp, conn: ConnId, effects: &mut Vec<Effect>) {
        let Some(held) = self.conn_mut(conn) else { return };
        if held.pings_missed >= PINGS_MISSED_MAX {
            self.close(now, conn, Close::PingsMissed, effects);
            return;
        }
        held.pings_missed += 1;
        if let Some(cursor) = self.cursor(now, conn) {
            effects.push(Effect::Send { conn, notice: Notice::Ping { cursor } });
        }
        self.wake(now + self.limits.ping_interval, conn, Alarm::Ping);
    }

    /// Up to where this session has been written everything: never past its oldest pending patch,
    /// nor past a state that waits for relations.
    fn cursor(&self, now: Timestamp, conn: ConnId) -> Option<Cursor> {
        let session = self.session(conn)?;
        let mut at = session.outbox.pending_since().unwrap_or(now);
        if self.held > 0 && now.since(self.held_since) > HOLD_GRACE {
            at = at.min(self.held_since);
        }
        let relations = if session.is_settled() { session.relations } else { UNSETTLED };
        Some(Cursor { epoch: self.epoch, at: at - CURSOR_OVERLAP, relations })
    }
}
