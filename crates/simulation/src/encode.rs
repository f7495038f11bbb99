//! Between the shards' words and the wire: what the node's driver does with frames and patches.

use std::borrow::Cow;

use presence::ask::Refusal;
use presence::hello::Hello;
use presence::ids::ConnId;
use presence::shard::{
    Fresh, Input, LAST_SEEN_MAX, Notice, Patch, PatchKind, Said, SyncEntry, Welcome,
};
use presence::time::Timestamp;
use presence::view::View;
use protocol::json;
use protocol::message::{self, ClientMessage, Entry, EntryState, ServerMessage, Update};
use protocol::token::{format_cursor, format_resume};

/// A client's frame as the shard takes it.
pub(crate) fn input(conn: ConnId, text: &str, fresh: impl FnOnce() -> Fresh) -> Input {
    let said = match json::decode_client(text) {
        Ok(ClientMessage::Hello(hello)) => return hello_input(conn, hello, fresh()),
        Ok(ClientMessage::Report(change)) => Said::Report(change),
        Ok(ClientMessage::Heartbeat | ClientMessage::Pong) => Said::Alive,
        Ok(ClientMessage::Bye { after }) => Said::Bye { after },
        Ok(ClientMessage::Request { n, ask }) => Said::Request { n, ask },
        Err(malformed) => {
            Said::Bad { n: malformed.n, refusal: Refusal::new(malformed.code, malformed.message) }
        }
    };
    Input::Said { conn, said }
}

fn hello_input(conn: ConnId, hello: Hello, fresh: Fresh) -> Input {
    Input::Hello { conn, hello: Box::new(hello), fresh }
}

/// A server's message as text.
pub(crate) fn text(message: &ServerMessage<'_>) -> String {
    let mut bytes = Vec::new();
    json::encode_server(message, &mut bytes);
    String::from_utf8(bytes).unwrap_or_else(|error| panic!("JSON is UTF-8: {error}"))
}

pub(crate) fn notice(notice: Notice) -> ServerMessage<'static> {
    match notice {
        Notice::Welcome(welcome) => ServerMessage::Welcome(self::welcome(&welcome)),
        Notice::Sync { part, entries } => {
            ServerMessage::Sync { users: entries.iter().map(entry).collect(), part }
        }
        Notice::Ping { cursor } => {
            ServerMessage::Ping { cursor: Some(format_cursor(&cursor).into()) }
        }
        Notice::Error { n, refusal } => ServerMessage::Error {
            n,
            code: refusal.code,
            message: String::from(refusal.message).into(),
        },
        Notice::Response { n, answer } => ServerMessage::Response { n, answer },
    }
}

fn welcome(welcome: &Welcome) -> message::Welcome<'static> {
    message::Welcome {
        id: owned(welcome.user.as_str()),
        name: owned(&welcome.name),
        session: welcome.session.to_string().into(),
        resume: format_resume(&welcome.resume).into(),
        resumed: welcome.resumed,
        heartbeat_secs: welcome.heartbeat.as_secs(),
        ping_secs: welcome.ping.as_secs(),
        window_secs: welcome.window.as_secs(),
        guest_token: None,
    }
}

fn owned(text: &str) -> Cow<'static, str> {
    Cow::Owned(text.to_owned())
}

fn entry(entry: &SyncEntry) -> Entry<'static> {
    let state = match entry.view() {
        View::Online { status, project, language } => EntryState::Online {
            status: owned(status),
            project: owned(project),
            language: owned(language),
        },
        View::Offline { seen } => {
            EntryState::Offline { seen: (seen != Timestamp::NEVER).then(|| seen.secs()) }
        }
    };
    Entry {
        id: owned(entry.id.as_str()),
        name: owned(&entry.name),
        avatar: (!entry.avatar.is_empty()).then(|| owned(&entry.avatar)),
        relation: entry.relation.known(),
        state,
    }
}

/// A patch as a message; a last seen that is too old is not told.
pub(crate) fn patch<'a>(now: Timestamp, patch: &Patch<'a>) -> ServerMessage<'a> {
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
                avatar: profile.map(|(_, avatar)| Cow::Borrowed(avatar)),
            })
        }
        PatchKind::Offline { seen } => {
            let is_told = seen != Timestamp::NEVER && now.since(seen) <= LAST_SEEN_MAX;
            ServerMessage::Offline { id, at: is_told.then(|| seen.secs()), gone: false }
        }
        PatchKind::Gone => ServerMessage::Offline { id, at: None, gone: true },
    }
}
