//! Servers' messages read from JSON, borrowing from the frame.
//!
//! Made for clients, so it believes the server: texts are not checked against the limits.

use std::borrow::Cow;
use std::fmt;

use presence::ask::{Answer, SessionInfo};
use presence::close::ErrorCode;
use presence::glob::Glob;
use presence::ids::SessionId;
use presence::time::Timestamp;
use presence::visibility::{Mode, Preferences};
use serde::de::{Deserialize, Deserializer, Error, Visitor};

use crate::limits::UNIX_SECS_MAX;
use crate::message::{Entry, EntryState, ServerMessage, Unreadable, Update, Welcome};

/// A text that borrows where it stands unescaped; serde's own `Option<Cow<str>>` always copies.
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor).map(Self)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// The fields of all servers' messages together; which are due depends on `t`.
#[derive(serde::Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    t: Text<'a>,
    n: Option<u64>,
    id: Option<Text<'a>>,
    name: Option<Text<'a>>,
    avatar: Option<Text<'a>>,
    r: Option<u8>,
    s: Option<Text<'a>>,
    p: Option<Text<'a>>,
    l: Option<Text<'a>>,
    at: Option<u64>,
    gone: Option<bool>,
    cursor: Option<Text<'a>>,
    after: Option<u64>,
    users: Option<Vec<EntryFields<'a>>>,
    part: Option<bool>,
    session: Option<Text<'a>>,
    resume: Option<Text<'a>>,
    resumed: Option<bool>,
    hb: Option<u64>,
    ping: Option<u64>,
    window: Option<u64>,
    token: Option<Text<'a>>,
    code: Option<Text<'a>>,
    msg: Option<Text<'a>>,
    visibility: Option<Text<'a>>,
    activity: Option<Text<'a>>,
    project: Option<Text<'a>>,
    language: Option<Text<'a>>,
    hidden_projects: Option<Vec<Text<'a>>>,
    sessions: Option<Vec<SessionFields<'a>>>,
}

#[derive(serde::Deserialize)]
struct EntryFields<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    name: Text<'a>,
    avatar: Option<Text<'a>>,
    r: u8,
    s: Option<Text<'a>>,
    p: Option<Text<'a>>,
    l: Option<Text<'a>>,
    x: Option<u64>,
}

#[derive(serde::Deserialize)]
struct SessionFields<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    since: u64,
    address: Text<'a>,
    client: Text<'a>,
    this: Option<bool>,
}

fn inner(text: Option<Text<'_>>) -> Option<Cow<'_, str>> {
    text.map(|text| text.0)
}

/// A field that has to be there in that message.
fn due<T>(value: Option<T>, message: &'static str, field: &'static str) -> Result<T, Unreadable> {
    value.ok_or(Unreadable::Field { message, field })
}

/// Reads a server's message. [`Unreadable::UnknownMessage`] is for clients to pass over.
pub fn decode_server(text: &str) -> Result<ServerMessage<'_>, Unreadable> {
    let fields: Fields<'_> = serde_json::from_str(text)?;
    Ok(match &*fields.t.0 {
        "u" => ServerMessage::Update(Update {
            id: due(fields.id, "u", "id")?.0,
            status: inner(fields.s),
            project: inner(fields.p),
            language: inner(fields.l),
            relation: fields.r,
            name: inner(fields.name),
            avatar: inner(fields.avatar),
        }),
        "x" => ServerMessage::Offline {
            id: due(fields.id, "x", "id")?.0,
            at: fields.at,
            gone: fields.gone.unwrap_or(false),
        },
        "ping" => ServerMessage::Ping { cursor: inner(fields.cursor) },
        "welcome" => ServerMessage::Welcome(welcome(fields)?),
        "sync" => ServerMessage::Sync {
            users: due(fields.users, "sync", "users")?.into_iter().map(entry).collect(),
            part: fields.part.unwrap_or(false),
        },
        "go" => ServerMessage::Go { after_ms: due(fields.after, "go", "after")? },
        "stale" => ServerMessage::Stale,
        "fresh" => ServerMessage::Fresh,
        "err" => ServerMessage::Error {
            n: fields.n,
            code: code(&due(fields.code, "err", "code")?.0)?,
            message: inner(fields.msg).unwrap_or_default(),
        },
        "res" => ServerMessage::Response { n: due(fields.n, "res", "n")?, answer: answer(fields)? },
        unknown => return Err(Unreadable::UnknownMessage(unknown.to_owned())),
    })
}

fn welcome(fields: Fields<'_>) -> Result<Welcome<'_>, Unreadable> {
    const T: &str = "welcome";
    Ok(Welcome {
        id: due(fields.id, T, "id")?.0,
        name: due(fields.name, T, "name")?.0,
        session: due(fields.session, T, "session")?.0,
        resume: due(fields.resume, T, "resume")?.0,
        resumed: due(fields.resumed, T, "resumed")?,
        heartbeat_secs: due(fields.hb, T, "hb")?,
        ping_secs: due(fields.ping, T, "ping")?,
        window_secs: due(fields.window, T, "window")?,
        guest_token: inner(fields.token),
    })
}

fn entry(fields: EntryFields<'_>) -> Entry<'_> {
    let state = match fields.s {
        Some(status) => EntryState::Online {
            status: status.0,
            project: inner(fields.p).unwrap_or_default(),
            language: inner(fields.l).unwrap_or_default(),
        },
        None => EntryState::Offline { seen: fields.x },
    };
    Entry {
        id: fields.id.0,
        name: fields.name.0,
        avatar: inner(fields.avatar),
        relation: fields.r,
        state,
    }
}

fn code(name: &str) -> Result<ErrorCode, Unreadable> {
    let found = ErrorCode::NAMES.into_iter().find(|(_, n)| *n == name).map(|(code, _)| code);
    due(found, "err", "code")
}

/// A response does not say what was asked, so what it holds tells which answer it is.
fn answer(fields: Fields<'_>) -> Result<Answer, Unreadable> {
    if let Some(sessions) = fields.sessions {
        let sessions = sessions.into_iter().map(session).collect::<Result<_, _>>()?;
        return Ok(Answer::Sessions(sessions));
    }
    if fields.visibility.is_none() {
        return Ok(Answer::Done);
    }
    let mode = |text: Option<Text<'_>>, field| {
        due(text.and_then(|text| Mode::parse(&text.0)), "res", field)
    };
    let patterns = fields.hidden_projects.unwrap_or_default();
    let globs = patterns.iter().map(|pattern| Glob::parse(&pattern.0).ok()).collect();
    Ok(Answer::Preferences(Preferences {
        visibility: mode(fields.visibility, "visibility")?,
        activity: mode(fields.activity, "activity")?,
        project: mode(fields.project, "project")?,
        language: mode(fields.language, "language")?,
        hidden_projects: due(globs, "res", "hidden_projects")?,
    }))
}

fn session(fields: SessionFields<'_>) -> Result<SessionInfo, Unreadable> {
    let since = (fields.since <= UNIX_SECS_MAX).then(|| Timestamp::from_secs(fields.since));
    Ok(SessionInfo {
        id: due(SessionId::parse(&fields.id.0), "res", "sessions")?,
        since: due(since, "res", "sessions")?,
        address: Cow::into(fields.address.0),
        client: Cow::into(fields.client.0),
        this: fields.this.unwrap_or(false),
    })
}
