//! What a live session says and asks: reports, merged above their rate, and requests.

use crate::ask::{Answer, Ask, Refusal, SessionInfo};
use crate::close::{Close, ErrorCode};
use crate::exchange::Request;
use crate::ids::{ConnId, SessionId};
use crate::report::ReportChange;
use crate::session::Manual;
use crate::shard::effect::{Effect, Notice};
use crate::shard::liveness::Alarm;
use crate::shard::{RATE_LIMITED_MAX, Shard, ask_store};
use crate::time::Timestamp;

impl Shard {
    /// A report: passed on, or merged with others until the rate lets it pass.
    pub(super) fn report(
        &mut self,
        now: Timestamp,
        conn: ConnId,
        change: ReportChange,
        effects: &mut Vec<Effect>,
    ) {
        let rate = self.limits.reports;
        if change.is_empty() {
            return;
        }
        let Some(session) = self.session_mut(conn) else { return };
        if let Some(late) = &mut session.late_report {
            late.merge(change);
            return;
        }
        match session.reports.take(now, rate) {
            Ok(()) => self.pass_on(conn, change, effects),
            Err(at) => {
                session.late_report = Some(Box::new(change));
                self.wake(at, conn, Alarm::Report);
            }
        }
    }

    pub(super) fn report_due(&mut self, now: Timestamp, conn: ConnId, effects: &mut Vec<Effect>) {
        let rate = self.limits.reports;
        let Some(session) = self.session_mut(conn) else { return };
        if session.late_report.is_none() {
            return;
        }
        match session.reports.take(now, rate) {
            Ok(()) => self.flush_report(conn, effects),
            Err(at) => self.wake(at, conn, Alarm::Report),
        }
    }

    /// Passes merged reports on, whatever the rate: their session is about to leave.
    pub(super) fn flush_report(&mut self, conn: ConnId, effects: &mut Vec<Effect>) {
        let late = self.session_mut(conn).and_then(|session| session.late_report.take());
        if let Some(change) = late {
            self.pass_on(conn, *change, effects);
        }
    }

    fn pass_on(&mut self, conn: ConnId, change: ReportChange, effects: &mut Vec<Effect>) {
        let owner = self.owner(conn);
        if let Some(held) = self.session(conn) {
            let (user, session) = (held.user.clone(), held.id);
            ask_store(effects, Request::Report { user, session, owner, change });
        }
    }

    pub(super) fn request(
        &mut self,
        now: Timestamp,
        conn: ConnId,
        n: u64,
        ask: Ask,
        effects: &mut Vec<Effect>,
    ) {
        let rate = self.limits.requests;
        let Some(session) = self.session_mut(conn) else { return };
        if let Err(at) = session.requests.take(now, rate) {
            session.refused += 1;
            let is_enough = session.refused >= RATE_LIMITED_MAX;
            let wait_ms = at.since(now).as_millis();
            let message = format!("too many requests: wait {wait_ms} ms (`--message-rate`)");
            refuse(conn, n, Refusal::new(ErrorCode::RateLimited, message), effects);
            if is_enough {
                self.close(now, conn, Close::TooMany, effects);
            }
            return;
        }
        session.refused = 0;
        let user = session.user.clone();
        match ask {
            Ask::Manual { status, until } => {
                if until.is_some_and(|until| until <= now) && !status.is_empty() {
                    let message = "`until` is in the past: leave it out, or name a later time";
                    refuse(conn, n, Refusal::new(ErrorCode::BadMessage, message), effects);
                    return;
                }
                let manual = (!status.is_empty()).then_some(Manual { status, until });
                ask_store(effects, Request::Manual { user, manual });
                effects.push(Effect::Send {
                    conn,
                    notice: Notice::Response { n, answer: Answer::Done },
                });
            }
            Ask::Sessions => ask_store(effects, Request::Sessions { user, conn, n }),
            Ask::Signout(session) => {
                ask_store(effects, Request::Signout { user, session, conn, n });
            }
            Ask::Invite | Ask::Accept(_) => {
                let message = "this version has no invites yet";
                refuse(conn, n, Refusal::new(ErrorCode::NotSupported, message), effects);
            }
            Ask::Prefs(_)
            | Ask::Pin(_)
            | Ask::Unpin(_)
            | Ask::Block(_)
            | Ask::Unblock(_)
            | Ask::Remove(_) => effects.push(Effect::Perform { conn, n, user, ask }),
        }
    }

    pub(super) fn answer(
        &mut self,
        conn: ConnId,
        n: u64,
        result: Result<Answer, Refusal>,
        effects: &mut Vec<Effect>,
    ) {
        if self.session(conn).is_none() {
            return;
        }
        match result {
            Ok(answer) => {
                effects.push(Effect::Send { conn, notice: Notice::Response { n, answer } });
            }
            Err(refusal) => refuse(conn, n, refusal, effects),
        }
    }

    pub(super) fn tell_sessions(
        &mut self,
        conn: ConnId,
        n: u64,
        mut sessions: Vec<SessionInfo>,
        effects: &mut Vec<Effect>,
    ) {
        let this: Option<SessionId> = self.session(conn).map(|session| session.id);
        for session in &mut sessions {
            session.this = Some(session.id) == this;
        }
        self.answer(conn, n, Ok(Answer::Sessions(sessions)), effects);
    }

    pub(super) fn tell_signout(
        &mut self,
        conn: ConnId,
        n: u64,
        found: bool,
        effects: &mut Vec<Effect>,
    ) {
        let nobody = "no session of yours has that id: ask for `sessions`";
        let result =
            if found { Ok(Answer::Done) } else { Err(Refusal::new(ErrorCode::BadMessage, nobody)) };
        self.answer(conn, n, result, effects);
    }
}

fn refuse(conn: ConnId, n: u64, refusal: Refusal, effects: &mut Vec<Effect>) {
    effects.push(Effect::Send { conn, notice: Notice::Error { n: Some(n), refusal } });
}
