//! Servers' messages written in JSON: the hot path, straight into the buffer.
//!
//! Writing a patch never allocates beyond the buffer.

use presence::ask::{Answer, SessionInfo};
use presence::visibility::Preferences;

use super::writer::{Object, value_to};
use crate::message::{Entry, EntryState, ServerMessage, Update, Welcome};

/// Appends a server's message.
pub fn encode_server(message: &ServerMessage<'_>, out: &mut Vec<u8>) {
    match message {
        ServerMessage::Update(update) => encode_update(update, out),
        ServerMessage::Offline { id, at, gone } => {
            let mut object = Object::message(out, "x");
            object.text("id", id);
            object.number_if("at", *at);
            object.mark("gone", *gone);
            object.close();
        }
        ServerMessage::Ping { cursor } => {
            let mut object = Object::message(out, "ping");
            object.text_if("cursor", cursor.as_deref());
            object.close();
        }
        ServerMessage::Welcome(welcome) => encode_welcome(welcome, out),
        ServerMessage::Sync { users, part } => {
            let mut object = Object::message(out, "sync");
            object.mark("part", *part);
            object.list("users", users, encode_entry);
            object.close();
        }
        ServerMessage::Go { after_ms } => {
            let mut object = Object::message(out, "go");
            object.number("after", *after_ms);
            object.close();
        }
        ServerMessage::Stale => Object::message(out, "stale").close(),
        ServerMessage::Fresh => Object::message(out, "fresh").close(),
        ServerMessage::Error { n, code, message } => {
            let mut object = Object::message(out, "err");
            object.number_if("n", *n);
            object.text("code", code.name());
            object.text("msg", message);
            object.close();
        }
        ServerMessage::Response { n, answer } => encode_response(*n, answer, out),
    }
}

fn encode_update(update: &Update<'_>, out: &mut Vec<u8>) {
    let mut object = Object::message(out, "u");
    object.text("id", &update.id);
    object.text_if("name", update.name.as_deref());
    object.text_if("avatar", update.avatar.as_deref());
    object.number_if("r", update.relation.map(u64::from));
    object.text_if("s", update.status.as_deref());
    object.text_if("p", update.project.as_deref());
    object.text_if("l", update.language.as_deref());
    object.close();
}

fn encode_welcome(welcome: &Welcome<'_>, out: &mut Vec<u8>) {
    let mut object = Object::message(out, "welcome");
    object.text("id", &welcome.id);
    object.text("name", &welcome.name);
    object.text("session", &welcome.session);
    object.text("resume", &welcome.resume);
    object.truth("resumed", welcome.resumed);
    object.number("hb", welcome.heartbeat_secs);
    object.number("ping", welcome.ping_secs);
    object.number("window", welcome.window_secs);
    object.text_if("token", welcome.guest_token.as_deref());
    object.close();
}

fn encode_entry(entry: &Entry<'_>, out: &mut Vec<u8>) {
    let mut object = Object::open(out);
    object.text("id", &entry.id);
    object.text("name", &entry.name);
    object.text_if("avatar", entry.avatar.as_deref());
    object.number("r", u64::from(entry.relation));
    match &entry.state {
        EntryState::Online { status, project, language } => {
            object.text("s", status);
            object.text_filled("p", project);
            object.text_filled("l", language);
        }
        EntryState::Offline { seen } => object.number_if("x", *seen),
    }
    object.close();
}

fn encode_response(n: u64, answer: &Answer, out: &mut Vec<u8>) {
    let mut object = Object::message(out, "res");
    object.number("n", n);
    match answer {
        Answer::Done => {}
        Answer::Preferences(preferences) => encode_preferences(preferences, &mut object),
        Answer::Sessions(sessions) => object.list("sessions", sessions, encode_session),
    }
    object.close();
}

fn encode_preferences(preferences: &Preferences, object: &mut Object<'_>) {
    object.text("visibility", preferences.visibility.name());
    object.text("activity", preferences.activity.name());
    object.text("project", preferences.project.name());
    object.text("language", preferences.language.name());
    object.list("hidden_projects", &preferences.hidden_projects, |glob, out| {
        value_to(out, glob.as_str());
    });
}

fn encode_session(session: &SessionInfo, out: &mut Vec<u8>) {
    let mut object = Object::open(out);
    object.text("id", &session.id.to_string());
    object.number("since", session.since.secs());
    object.text("address", &session.address);
    object.text("client", &session.client);
    object.mark("this", session.this);
    object.close();
}
