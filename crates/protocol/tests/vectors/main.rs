//! The golden messages of `vectors/json`, against the codec.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod client_values;
mod server_values;

use std::collections::BTreeSet;
use std::fs;
use std::mem::discriminant;
use std::path::Path;

use presence::close::{Close, ErrorCode};
use presence::hello::{Cursor, ResumeToken};
use presence::ids::{Epoch, RelationVersion, SessionId};
use presence::time::Timestamp;
use protocol::close::{self, ClientAction};
use protocol::json::{decode_client, decode_server, encode_client, encode_server};
use protocol::message::{ClientMessage, ServerMessage, Unreadable};
use protocol::token::{format_cursor, format_resume, parse_cursor, parse_resume};
use serde::de::DeserializeOwned;

#[derive(serde::Deserialize)]
struct File<C> {
    cases: Vec<C>,
}

#[derive(serde::Deserialize)]
struct Golden {
    name: String,
    kind: String,
    json: String,
}

#[derive(serde::Deserialize)]
struct Lenient {
    name: String,
    json: String,
    canonical: String,
}

#[derive(serde::Deserialize)]
struct Bad {
    name: String,
    json: String,
    code: String,
    n: Option<u64>,
    message: String,
}

#[derive(serde::Deserialize)]
struct CloseCode {
    code: u16,
    name: Option<String>,
    then: String,
}

#[derive(serde::Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Token {
    Resume { name: String, text: String, partition: u16, session: String, secret: String },
    Cursor { name: String, text: String, epoch: String, at: String, relations: String },
    None { name: String, text: String },
}

fn cases<C: DeserializeOwned>(file: &str) -> Vec<C> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/json");
    let text = fs::read_to_string(folder.join(file)).unwrap();
    serde_json::from_str::<File<C>>(&text).unwrap().cases
}

fn client_text(message: &ClientMessage) -> String {
    let mut out = Vec::new();
    encode_client(message, &mut out);
    String::from_utf8(out).unwrap()
}

fn server_text(message: &ServerMessage<'_>) -> String {
    let mut out = Vec::new();
    encode_server(message, &mut out);
    String::from_utf8(out).unwrap()
}

/// Each case has one value in the table of the same name, in the same order.
fn assert_names<V>(golden: &[Golden], values: &[(&str, V)]) {
    let in_file: Vec<&str> = golden.iter().map(|case| case.name.as_str()).collect();
    let in_table: Vec<&str> = values.iter().map(|(name, _)| *name).collect();
    assert_eq!(in_file, in_table);
    assert_eq!(in_file.iter().collect::<BTreeSet<_>>().len(), in_file.len(), "names are unique");
}

#[test]
fn a_clients_message_has_exactly_its_golden_text_in_both_directions() {
    let golden: Vec<Golden> = cases("client.json");
    let values = client_values::all();
    assert_names(&golden, &values);
    for (case, (name, value)) in golden.iter().zip(&values) {
        assert_eq!(client_text(value), case.json, "{name}");
        assert_eq!(decode_client(&case.json).as_ref(), Ok(value), "{name}");
        assert!(case.json.starts_with(&format!("{{\"t\":\"{}\"", case.kind)), "{name}");
    }
    let kinds: BTreeSet<&str> = golden.iter().map(|case| case.kind.as_str()).collect();
    assert_eq!(kinds, BTreeSet::from(["hello", "u", "hb", "pong", "bye", "req"]));
}

#[test]
fn a_servers_message_has_exactly_its_golden_text_in_both_directions() {
    let golden: Vec<Golden> = cases("server.json");
    let values = server_values::all();
    assert_names(&golden, &values);
    for (case, (name, value)) in golden.iter().zip(&values) {
        assert_eq!(server_text(value), case.json, "{name}");
        assert_eq!(&decode_server(&case.json).unwrap(), value, "{name}");
        assert!(case.json.starts_with(&format!("{{\"t\":\"{}\"", case.kind)), "{name}");
    }
    let kinds: BTreeSet<&str> = golden.iter().map(|case| case.kind.as_str()).collect();
    let all = ["welcome", "sync", "u", "x", "ping", "go", "stale", "fresh", "err", "res"];
    assert_eq!(kinds, BTreeSet::from(all));
}

#[test]
fn every_variant_has_a_golden_message() {
    let client: Vec<_> = client_values::all().into_iter().map(|(_, value)| value).collect();
    let mut seen = Vec::new();
    for kind in client.iter().map(discriminant) {
        if !seen.contains(&kind) {
            seen.push(kind);
        }
    }
    assert_eq!(seen.len(), 6, "a new kind of client message needs a vector and a number here");
    let mut asks = Vec::new();
    for message in &client {
        if let ClientMessage::Request { ask, .. } = message
            && !asks.contains(&discriminant(ask))
        {
            asks.push(discriminant(ask));
        }
    }
    assert_eq!(asks.len(), 11, "a new request needs a vector and a number here");

    let server: Vec<_> = server_values::all().into_iter().map(|(_, value)| value).collect();
    let mut seen = Vec::new();
    for kind in server.iter().map(discriminant) {
        if !seen.contains(&kind) {
            seen.push(kind);
        }
    }
    assert_eq!(seen.len(), 10, "a new kind of server message needs a vector and a number here");
    for (code, name) in ErrorCode::NAMES {
        let told = |message: &ServerMessage<'_>| matches!(message, ServerMessage::Error { code: c, .. } if *c == code);
        assert!(server.iter().any(told), "{name}");
    }
}

#[test]
fn what_is_taken_leniently_means_its_canonical_text() {
    for case in cases::<Lenient>("client-lenient.json") {
        let message = decode_client(&case.json).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        assert_eq!(client_text(&message), case.canonical, "{}", case.name);
        assert_eq!(decode_client(&case.canonical), Ok(message), "{}", case.name);
    }
}

#[test]
fn what_is_refused_has_its_code_and_number_and_says_why() {
    for case in cases::<Bad>("client-bad.json") {
        let refused = decode_client(&case.json).expect_err(&case.name);
        assert_eq!(refused.code.name(), case.code, "{}", case.name);
        assert_eq!(refused.n, case.n, "{}", case.name);
        assert_eq!(refused.message, case.message, "{}", case.name);
    }
}

#[test]
fn close_codes_are_as_the_vectors_say() {
    let mut named = 0;
    for case in cases::<CloseCode>("close.json") {
        let close = close::close_of(case.code);
        assert_eq!(close.map(close::name), case.name.as_deref(), "{}", case.code);
        if let Some(close) = close {
            assert_eq!(close::code(close), case.code);
            named += 1;
        }
        let then = match close::after(case.code) {
            ClientAction::StayAway => "stay_away".to_owned(),
            ClientAction::Resume => "resume".to_owned(),
            ClientAction::ResumeAfter { at_least } => {
                format!("resume_after_{}s", at_least.as_secs())
            }
            ClientAction::ResumeWithBackoff => "resume_with_backoff".to_owned(),
            ClientAction::LoginAgain => "login_again".to_owned(),
            ClientAction::LoginWithBackoff => "login_with_backoff".to_owned(),
            ClientAction::AskThePerson => "ask_the_person".to_owned(),
        };
        assert_eq!(then, case.then, "{}", case.code);
    }
    assert_eq!(named, Close::ALL.len());
}

#[test]
fn tokens_and_cursors_are_as_the_vectors_say() {
    for case in cases::<Token>("tokens.json") {
        match case {
            Token::Resume { name, text, partition, session, secret } => {
                let half = |from| SessionId::parse(&secret[from..from + 32]).unwrap().0;
                let mut token = ResumeToken {
                    partition,
                    session: SessionId::parse(&session).unwrap(),
                    secret: [0; 32],
                };
                token.secret[..16].copy_from_slice(&half(0));
                token.secret[16..].copy_from_slice(&half(32));
                assert_eq!(format_resume(&token), text, "{name}");
                assert!(parse_resume(&text) == Some(token), "{name}");
            }
            Token::Cursor { name, text, epoch, at, relations } => {
                let cursor = Cursor {
                    epoch: Epoch(epoch.parse().unwrap()),
                    at: Timestamp(at.parse().unwrap()),
                    relations: RelationVersion(relations.parse().unwrap()),
                };
                assert_eq!(format_cursor(&cursor), text, "{name}");
                assert_eq!(parse_cursor(&text), Some(cursor), "{name}");
            }
            Token::None { name, text } => {
                assert!(parse_resume(&text).is_none(), "{name}");
                assert!(parse_cursor(&text).is_none(), "{name}");
            }
        }
    }
}

const SINCE_THE_FAR_FUTURE: &str = r#"{"t":"res","n":1,"sessions":[{
    "id":"000102030405060708090a0b0c0d0e0f","since":253402300800,"address":"","client":""}]}"#;

#[test]
fn a_client_tells_apart_what_it_cannot_take() {
    for text in ["", "[]", "\"hb\"", "{}", r#"{"t":"u","id":5}"#, r#"{"t":"sync","users":[{}]}"#] {
        assert!(matches!(decode_server(text), Err(Unreadable::Json(_))), "{text}");
    }
    let newer = decode_server(r#"{"t":"chat","from":"github_1"}"#);
    assert!(matches!(newer, Err(Unreadable::UnknownMessage(kind)) if kind == "chat"));
    for (text, due) in [
        (r#"{"t":"u","s":"coding"}"#, "id"),
        (r#"{"t":"x"}"#, "id"),
        (r#"{"t":"sync"}"#, "users"),
        (r#"{"t":"go"}"#, "after"),
        (r#"{"t":"err","code":"from_the_future","msg":"x"}"#, "code"),
        (r#"{"t":"res"}"#, "n"),
        (r#"{"t":"res","n":1,"visibility":"nobody"}"#, "visibility"),
        (
            r#"{"t":"res","n":1,"sessions":[{"id":"0","since":1,"address":"","client":""}]}"#,
            "sessions",
        ),
        (SINCE_THE_FAR_FUTURE, "sessions"),
        (r#"{"t":"welcome","id":"a","name":"a","session":"s"}"#, "resume"),
    ] {
        let refused = decode_server(text);
        assert!(
            matches!(refused, Err(Unreadable::Field { field, .. }) if field == due),
            "{text}: {refused:?}"
        );
    }
}

#[test]
fn a_client_passes_over_fields_that_it_does_not_know() {
    let text = r#"{"future":{"a":[1]},"t":"x","id":"github_1","at":null,"gone":false}"#;
    let message = ServerMessage::Offline { id: "github_1".into(), at: None, gone: false };
    assert_eq!(decode_server(text).unwrap(), message);
}
