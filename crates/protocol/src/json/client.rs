//! Clients' messages in JSON: read by the server, written by clients.
//!
//! What is read is checked to the last field here, so that nothing behind this module ever sees a
//! text that breaks a limit.

use std::borrow::Cow;
use std::time::Duration;

use presence::hello::{Credentials, Hello, IdentityKind, ResumeClaim, Secret};
use presence::report::ReportChange;
use presence::text::{self, TextError};

use super::field::{Field, Fields, Key};
use super::request;
use super::writer::Object;
use crate::limits::{BYE_AFTER_MAX, TOKEN_BYTES_MAX};
use crate::message::{ClientMessage, Malformed};
use crate::token;

const KINDS: [IdentityKind; 4] =
    [IdentityKind::Github, IdentityKind::Jwt, IdentityKind::Guest, IdentityKind::Dev];

const fn kind_name(kind: IdentityKind) -> &'static str {
    match kind {
        IdentityKind::Github => "github",
        IdentityKind::Jwt => "jwt",
        IdentityKind::Guest => "guest",
        IdentityKind::Dev => "dev",
    }
}

impl From<TextError> for Malformed {
    fn from(error: TextError) -> Self {
        Self::bad(error.to_string())
    }
}

/// Reads a client's message.
pub fn decode_client(text: &str) -> Result<ClientMessage, Malformed> {
    let mut fields = Fields::read(text)?;
    let n = fields.n();
    message(&mut fields).map_err(|refused| Malformed { n, ..refused })
}

fn message(fields: &mut Fields<'_>) -> Result<ClientMessage, Malformed> {
    let kind = fields.take(Key::T).text_due("t")?;
    Ok(match &*kind {
        "u" => ClientMessage::Report(report(fields)?),
        "hb" => ClientMessage::Heartbeat,
        "pong" => ClientMessage::Pong,
        "hello" => ClientMessage::Hello(hello(fields)?),
        "bye" => ClientMessage::Bye { after: after(fields.take(Key::After))? },
        "req" => {
            let n = fields.n().ok_or_else(|| {
                Malformed::bad("a request needs `n`, a whole number, zero or more")
            })?;
            ClientMessage::Request { n, ask: request::ask(fields)? }
        }
        unknown => {
            let unknown = short(unknown);
            return Err(Malformed::unknown(format!("there is no message with `t` {unknown:?}")));
        }
    })
}

/// As much of a client's own text as an answer quotes.
pub(super) fn short(text: &str) -> String {
    const CHARS_MAX: usize = 32;
    let mut short: String = text.chars().take(CHARS_MAX).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

fn report(fields: &mut Fields<'_>) -> Result<ReportChange, Malformed> {
    let status = fields.take(Key::S).text("s")?;
    let project = fields.take(Key::P).text("p")?;
    let language = fields.take(Key::L).text("l")?;
    Ok(ReportChange::parse(status.as_deref(), project.as_deref(), language.as_deref())?)
}

fn after(field: Field<'_>) -> Result<Option<Duration>, Malformed> {
    let after = field.positive("after")?;
    // Bounded before it is a duration, for a duration has no room for 1e300 seconds.
    Ok(after.map(|secs| Duration::from_secs_f64(secs.min(BYE_AFTER_MAX.as_secs_f64()))))
}

fn hello(fields: &mut Fields<'_>) -> Result<Hello, Malformed> {
    let resume = fields
        .take(Key::Resume)
        .text("resume")?
        .map(|text| token::parse_resume(&text).map_or(ResumeClaim::Unreadable, ResumeClaim::Token));
    // A cursor is only a hint: without one, or with one from elsewhere, the whole list is sent.
    let cursor = match fields.take(Key::Cursor) {
        Field::Text(text) => token::parse_cursor(&text),
        _ => None,
    };
    let credentials = credentials(fields)?;
    if resume.is_none() && credentials.is_none() {
        return Err(Malformed::bad("a `hello` needs a login with `as`, or `resume`, or both"));
    }
    Ok(Hello { resume, cursor, credentials, report: report(fields)? })
}

fn credentials(fields: &mut Fields<'_>) -> Result<Option<Credentials>, Malformed> {
    let Some(kind) = fields.take(Key::As).text("as")? else { return Ok(None) };
    let Some(kind) = KINDS.into_iter().find(|known| kind_name(*known) == kind) else {
        let kinds = KINDS.map(kind_name).join(", ");
        return Err(Malformed::bad(format!("`as` has to be one of {kinds}")));
    };
    let token = secret(fields.take(Key::Token), "token")?;
    let name = fields.take(Key::Name).text("name")?;
    if let Some(name) = &name {
        text::check_filled("name", name, text::NAME_CHARS_MAX)?;
    }
    let guest = secret(fields.take(Key::Guest), "guest")?;
    if kind == IdentityKind::Guest {
        if token.is_none() && name.is_none() {
            return Err(Malformed::bad(
                "a guest needs `name`, to come for the first time, or `token`, to come again",
            ));
        }
    } else if token.is_none() {
        return Err(Malformed::bad("`token` is missing: only a guest can come without one"));
    }
    Ok(Some(Credentials { kind, token, name: name.map(Cow::into), guest }))
}

/// A token or code: opaque here, but not empty and not endless.
pub(super) fn secret(field: Field<'_>, name: &str) -> Result<Option<Secret>, Malformed> {
    let Some(text) = field.text(name)? else { return Ok(None) };
    if text.is_empty() {
        return Err(Malformed::bad(format!("`{name}` may not be empty")));
    }
    if text.len() > TOKEN_BYTES_MAX {
        let got = text.len();
        let message = format!("`{name}` has at most {TOKEN_BYTES_MAX} bytes, this one has {got}");
        return Err(Malformed::bad(message));
    }
    Ok(Some(Secret::new(text)))
}

/// Appends a client's message.
pub fn encode_client(message: &ClientMessage, out: &mut Vec<u8>) {
    match message {
        ClientMessage::Hello(hello) => encode_hello(hello, out),
        ClientMessage::Report(report) => {
            let mut object = Object::message(out, "u");
            encode_report(report, &mut object);
            object.close();
        }
        ClientMessage::Heartbeat => Object::message(out, "hb").close(),
        ClientMessage::Pong => Object::message(out, "pong").close(),
        ClientMessage::Bye { after } => {
            let mut object = Object::message(out, "bye");
            match after {
                Some(after) if after.subsec_nanos() == 0 => {
                    object.number("after", after.as_secs());
                }
                Some(after) => object.fraction("after", after.as_secs_f64()),
                None => {}
            }
            object.close();
        }
        ClientMessage::Request { n, ask } => request::encode_ask(*n, ask, out),
    }
}

fn encode_report(report: &ReportChange, object: &mut Object<'_>) {
    object.text_if("s", report.status.as_deref());
    object.text_if("p", report.project.as_deref());
    object.text_if("l", report.language.as_deref());
}

fn encode_hello(hello: &Hello, out: &mut Vec<u8>) {
    let mut object = Object::message(out, "hello");
    match &hello.resume {
        Some(ResumeClaim::Token(token)) => object.text("resume", &token::format_resume(token)),
        // What could not be read has no text any more; the empty one cannot be read either.
        Some(ResumeClaim::Unreadable) => object.text("resume", ""),
        None => {}
    }
    if let Some(cursor) = &hello.cursor {
        object.text("cursor", &token::format_cursor(cursor));
    }
    if let Some(credentials) = &hello.credentials {
        object.text("as", kind_name(credentials.kind));
        object.text_if("token", credentials.token.as_ref().map(Secret::reveal));
        object.text_if("name", credentials.name.as_deref());
        object.text_if("guest", credentials.guest.as_ref().map(Secret::reveal));
    }
    encode_report(&hello.report, &mut object);
    object.close();
}
