//! Between the rules' words and the protocol's messages: the one place where they meet.
//!
//! What goes out is made from what a watcher sees, and from nothing else. This module never
//! touches bytes.

use std::borrow::Cow;

use presence::ask::Refusal;
use presence::hello::Hello;
use presence::shard::{Notice, Patch, PatchKind, Said, SyncEntry, Welcome};
use presence::time::Timestamp;
use presence::view::View;

use crate::message::{self, ClientMessage, Entry, EntryState, Malformed, ServerMessage, Update};
use crate::token;

/// What a client's message is to a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// Who is there; the driver adds random numbers.
    Hello(Box<Hello>),
    /// Anything else.
    Said(Said),
}

/// A client's message, or what was wrong with it, as a shard takes it.
pub fn heard(message: Result<ClientMessage, Malformed>) -> Heard {
    let said = match message {
        Ok(ClientMessage::Hello(hello)) => return Heard::Hello(Box::new(hello)),
        Ok(ClientMessage::Report(change)) => Said::Report(change),
        Ok(ClientMessage::Heartbeat | ClientMessage::Pong) => Said::Alive,
        Ok(ClientMessage::Bye { after }) => Said::Bye { after },
        Ok(ClientMessage::Request { n, ask }) => Said::Request { n, ask },
        Err(Malformed { n, code, message }) => {
            Said::Bad { n, refusal: Refusal::new(code, message) }
        }
    };
    Heard::Said(said)
}

/// A patch as a message.
pub fn patch<'a>(patch: &Patch<'a>) -> ServerMessage<'a> {
    let id = Cow::Borrowed(patch.id.as_str());
    match patch.kind {
        PatchKind::Update { status, project, language, relation, profile } => {
            ServerMessage::Update(Update {
                id,
                status: status.map(Cow::Borrowed),
                project: project.map(Cow::Borrowed),
                language: language.map(Cow::Borrowed),
                relation,
                name: profile.map(|(name, _)| Cow::Borrowed(name)),
                avatar: profile.and_then(|(_, avatar)| filled(avatar)),
            })
        }
        PatchKind::Offline { seen } => ServerMessage::Offline { id, at: told(seen), gone: false },
        PatchKind::Gone => ServerMessage::Offline { id, at: None, gone: true },
    }
}

/// Anything that is not a patch as a message.
pub fn notice(notice: &Notice) -> ServerMessage<'_> {
    match notice {
        Notice::Welcome(welcome) => ServerMessage::Welcome(self::welcome(welcome)),
        Notice::Sync { part, entries } => {
            ServerMessage::Sync { users: entries.iter().map(entry).collect(), part: *part }
        }
        Notice::Ping { cursor } => {
            ServerMessage::Ping { cursor: Some(token::format_cursor(cursor).into()) }
        }
        Notice::Error { n, refusal } => ServerMessage::Error {
            n: *n,
            code: refusal.code,
            message: Cow::Borrowed(&refusal.message),
        },
        Notice::Response { n, answer } => ServerMessage::Response { n: *n, answer: answer.clone() },
    }
}

fn welcome(welcome: &Welcome) -> message::Welcome<'_> {
    message::Welcome {
        id: welcome.user.as_str().into(),
        name: (&*welcome.name).into(),
        session: welcome.session.to_string().into(),
        resume: token::format_resume(&welcome.resume).into(),
        resumed: welcome.resumed,
        heartbeat_secs: welcome.heartbeat.as_secs(),
        ping_secs: welcome.ping.as_secs(),
        window_secs: welcome.window.as_secs(),
        guest_token: None,
    }
}

fn entry(entry: &SyncEntry) -> Entry<'_> {
    let state = match entry.view() {
        View::Online { status, project, language } => EntryState::Online {
            status: status.into(),
            project: project.into(),
            language: language.into(),
        },
        View::Offline { seen } => EntryState::Offline { seen: told(seen) },
    };
    Entry {
        id: entry.id.as_str().into(),
        name: (&*entry.name).into(),
        avatar: filled(&entry.avatar),
        relation: entry.relation.known(),
        state,
    }
}

fn filled(text: &str) -> Option<Cow<'_, str>> {
    (!text.is_empty()).then_some(Cow::Borrowed(text))
}

fn told(seen: Timestamp) -> Option<u64> {
    (seen != Timestamp::NEVER).then(|| seen.secs())
}
