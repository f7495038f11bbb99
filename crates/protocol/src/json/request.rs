//! Requests in JSON: what `do` asks for, and its fields.
//!
//! Whether a request is granted, or even supported, is never decided here.

use std::borrow::Cow;

use presence::ask::{Ask, PreferencesChange};
use presence::glob::Glob;
use presence::ids::{SessionId, UserId};
use presence::text;
use presence::time::Timestamp;
use presence::visibility::{HIDDEN_PROJECTS_MAX, Mode};

use super::client::{secret, short};
use super::field::{Field, Fields, Key};
use super::writer::{Object, value_to};
use crate::limits::UNIX_SECS_MAX;
use crate::message::Malformed;

/// Reads what a request asks for.
pub(super) fn ask(fields: &mut Fields<'_>) -> Result<Ask, Malformed> {
    let kind = fields.take(Key::Do).text_due("do")?;
    Ok(match &*kind {
        "prefs" => Ask::Prefs(preferences(fields)?),
        "manual" => manual(fields)?,
        "pin" => Ask::Pin(user(fields)?),
        "unpin" => Ask::Unpin(user(fields)?),
        "block" => Ask::Block(user(fields)?),
        "unblock" => Ask::Unblock(user(fields)?),
        "remove" => Ask::Remove(user(fields)?),
        "invite" => Ask::Invite,
        "accept" => {
            let code = secret(fields.take(Key::Code), "code")?;
            Ask::Accept(code.ok_or_else(|| Malformed::bad("`code` is missing"))?)
        }
        "sessions" => Ask::Sessions,
        "signout" => Ask::Signout(session(fields)?),
        unknown => {
            let unknown = short(unknown);
            return Err(Malformed::unknown(format!("there is no request with `do` {unknown:?}")));
        }
    })
}

fn preferences(fields: &mut Fields<'_>) -> Result<PreferencesChange, Malformed> {
    Ok(PreferencesChange {
        visibility: mode(fields.take(Key::Visibility), "visibility")?,
        activity: mode(fields.take(Key::Activity), "activity")?,
        project: mode(fields.take(Key::Project), "project")?,
        language: mode(fields.take(Key::Language), "language")?,
        hidden_projects: hidden_projects(fields.take(Key::HiddenProjects))?,
    })
}

fn mode(field: Field<'_>, name: &str) -> Result<Option<Mode>, Malformed> {
    let Some(text) = field.text(name)? else { return Ok(None) };
    Mode::parse(&text).map(Some).ok_or_else(|| {
        let modes = Mode::NAMES.map(|(_, name)| name).join(", ");
        Malformed::bad(format!("`{name}` has to be one of {modes}"))
    })
}

fn hidden_projects(field: Field<'_>) -> Result<Option<Vec<Glob>>, Malformed> {
    let Some(patterns) = field.texts("hidden_projects")? else { return Ok(None) };
    if patterns.len() > HIDDEN_PROJECTS_MAX {
        let message = format!("`hidden_projects` has at most {HIDDEN_PROJECTS_MAX} patterns");
        return Err(Malformed::bad(message));
    }
    let globs = patterns.iter().map(|pattern| Glob::parse(pattern)).collect::<Result<_, _>>()?;
    Ok(Some(globs))
}

fn manual(fields: &mut Fields<'_>) -> Result<Ask, Malformed> {
    let status = fields.take(Key::S).text_due("s")?;
    if !status.is_empty() {
        text::check_filled("s", &status, text::MANUAL_CHARS_MAX)?;
    }
    let until = match fields.take(Key::Until).positive("until")? {
        // A fraction of a second is dropped.
        Some(secs) if secs <= UNIX_SECS_MAX as f64 => Some(Timestamp::from_secs(secs as u64)),
        Some(_) => {
            return Err(Malformed::bad(
                "`until` has to be in Unix seconds, before the year 10000; is it in milliseconds?",
            ));
        }
        None => None,
    };
    Ok(Ask::Manual { status: Cow::into(status), until })
}

fn user(fields: &mut Fields<'_>) -> Result<UserId, Malformed> {
    let text = fields.take(Key::Id).text_due("id")?;
    UserId::parse(&text).map_err(|error| Malformed::bad(format!("`id` is no user id: {error}")))
}

fn session(fields: &mut Fields<'_>) -> Result<Option<SessionId>, Malformed> {
    let Some(text) = fields.take(Key::Session).text("session")? else { return Ok(None) };
    let refused = || Malformed::bad("`session` has to be 32 hexadecimal digits");
    SessionId::parse(&text).map(Some).ok_or_else(refused)
}

/// Appends a request.
pub(super) fn encode_ask(n: u64, ask: &Ask, out: &mut Vec<u8>) {
    let mut object = Object::message(out, "req");
    object.number("n", n);
    object.text("do", name(ask));
    match ask {
        Ask::Prefs(change) => encode_preferences(change, &mut object),
        Ask::Manual { status, until } => {
            object.text("s", status);
            object.number_if("until", until.map(Timestamp::secs));
        }
        Ask::Pin(id) | Ask::Unpin(id) | Ask::Block(id) | Ask::Unblock(id) | Ask::Remove(id) => {
            object.text("id", id.as_str());
        }
        Ask::Accept(code) => object.text("code", code.reveal()),
        Ask::Signout(Some(session)) => object.text("session", &session.to_string()),
        Ask::Invite | Ask::Sessions | Ask::Signout(None) => {}
    }
    object.close();
}

const fn name(ask: &Ask) -> &'static str {
    match ask {
        Ask::Prefs(_) => "prefs",
        Ask::Manual { .. } => "manual",
        Ask::Pin(_) => "pin",
        Ask::Unpin(_) => "unpin",
        Ask::Block(_) => "block",
        Ask::Unblock(_) => "unblock",
        Ask::Remove(_) => "remove",
        Ask::Invite => "invite",
        Ask::Accept(_) => "accept",
        Ask::Sessions => "sessions",
        Ask::Signout(_) => "signout",
    }
}

fn encode_preferences(change: &PreferencesChange, object: &mut Object<'_>) {
    object.text_if("visibility", change.visibility.map(Mode::name));
    object.text_if("activity", change.activity.map(Mode::name));
    object.text_if("project", change.project.map(Mode::name));
    object.text_if("language", change.language.map(Mode::name));
    if let Some(globs) = &change.hidden_projects {
        object.list("hidden_projects", globs, |glob, out| value_to(out, glob.as_str()));
    }
}
