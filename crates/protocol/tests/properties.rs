//! Properties of the codec: whatever is written is read again, and nothing that comes from outside
//! makes it panic.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::borrow::Cow;
use std::time::Duration;

use presence::ask::{Answer, Ask, PreferencesChange, SessionInfo};
use presence::close::ErrorCode;
use presence::glob::Glob;
use presence::hello::{Credentials, Cursor, Hello, IdentityKind, ResumeClaim, ResumeToken, Secret};
use presence::ids::{Epoch, PARTITIONS, RelationVersion, SessionId, UserId};
use presence::report::ReportChange;
use presence::text::is_forbidden;
use presence::time::Timestamp;
use presence::visibility::{Mode, Preferences};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use protocol::json::{decode_client, decode_server, encode_client, encode_server};
use protocol::limits::{MESSAGE_BYTES_MAX, UNIX_SECS_MAX};
use protocol::message::{ClientMessage, Entry, EntryState, ServerMessage, Update, Welcome};
use protocol::token::{format_cursor, format_resume, parse_cursor, parse_resume};

/// Texts that the rules let through, of so many characters.
fn text(chars: std::ops::Range<usize>) -> impl Strategy<Value = Box<str>> {
    let c = prop_oneof![
        4 => prop::char::range('a', 'z'),
        1 => Just('"'),
        1 => Just('\\'),
        1 => any::<char>(),
    ];
    let c = c.prop_map(|c| if is_forbidden(c) { '?' } else { c });
    vec(c, chars).prop_map(|cs| cs.into_iter().collect::<String>().into())
}

fn filled(chars_max: usize) -> impl Strategy<Value = Box<str>> {
    text(0..chars_max).prop_map(|text| format!("x{text}").into())
}

/// Any text at all, as a server might send: clients do not check.
fn anything() -> impl Strategy<Value = Cow<'static, str>> {
    prop_oneof![any::<String>(), "[a-z0-9_]{0,12}"].prop_map(Cow::Owned)
}

fn report() -> impl Strategy<Value = ReportChange> {
    (of(filled(32)), of(text(0..65)), of(text(0..33))).prop_map(|(s, p, l)| {
        ReportChange::parse(s.as_deref(), p.as_deref(), l.as_deref()).unwrap()
    })
}

fn token() -> impl Strategy<Value = ResumeToken> {
    (0..PARTITIONS, any::<[u8; 16]>(), any::<[u8; 32]>()).prop_map(
        |(partition, session, secret)| ResumeToken {
            partition,
            session: SessionId(session),
            secret,
        },
    )
}

fn cursor() -> impl Strategy<Value = Cursor> {
    any::<(u64, u64, u64)>().prop_map(|(epoch, at, relations)| Cursor {
        epoch: Epoch(epoch),
        at: Timestamp(at),
        relations: RelationVersion(relations),
    })
}

fn secret() -> impl Strategy<Value = Secret> {
    any::<String>().prop_map(|text| Secret::new(format!("s{text}")))
}

fn credentials() -> impl Strategy<Value = Credentials> {
    let other =
        prop_oneof![Just(IdentityKind::Github), Just(IdentityKind::Jwt), Just(IdentityKind::Dev)];
    let guest = (of(secret()), filled(64)).prop_map(|(token, name)| Credentials {
        kind: IdentityKind::Guest,
        token,
        name: Some(name),
        guest: None,
    });
    let other = (other, secret(), of(secret())).prop_map(|(kind, token, guest)| Credentials {
        kind,
        token: Some(token),
        name: None,
        guest,
    });
    prop_oneof![guest, other]
}

fn hello() -> impl Strategy<Value = Hello> {
    let claim = prop_oneof![token().prop_map(ResumeClaim::Token), Just(ResumeClaim::Unreadable),];
    let ways = prop_oneof![
        claim.prop_map(|claim| (Some(claim), None)),
        credentials().prop_map(|credentials| (None, Some(credentials))),
        (token(), credentials())
            .prop_map(|(token, credentials)| (Some(ResumeClaim::Token(token)), Some(credentials))),
    ];
    (ways, of(cursor()), report()).prop_map(|((resume, credentials), cursor, report)| Hello {
        resume,
        cursor,
        credentials,
        report,
    })
}

fn mode() -> impl Strategy<Value = Mode> {
    prop::sample::select(Mode::NAMES.map(|(mode, _)| mode).to_vec())
}

fn globs() -> impl Strategy<Value = Vec<Glob>> {
    vec(filled(64).prop_map(|pattern| Glob::parse(&pattern).unwrap()), 0..51)
}

fn ask() -> impl Strategy<Value = Ask> {
    let user = "[A-Za-z0-9_.-]{1,64}".prop_map(|id| UserId::parse(&id).unwrap());
    let prefs = (of(mode()), of(mode()), of(mode()), of(mode()), of(globs())).prop_map(
        |(visibility, activity, project, language, hidden_projects)| {
            Ask::Prefs(PreferencesChange {
                visibility,
                activity,
                project,
                language,
                hidden_projects,
            })
        },
    );
    let manual = (prop_oneof![filled(100), Just("".into())], of(0..=UNIX_SECS_MAX))
        .prop_map(|(status, until)| Ask::Manual { status, until: until.map(Timestamp::from_secs) });
    prop_oneof![
        prefs,
        manual,
        (user, 0..5).prop_map(|(id, which)| match which {
            0 => Ask::Pin(id),
            1 => Ask::Unpin(id),
            2 => Ask::Block(id),
            3 => Ask::Unblock(id),
            _ => Ask::Remove(id),
        }),
        Just(Ask::Invite),
        secret().prop_map(Ask::Accept),
        Just(Ask::Sessions),
        of(any::<[u8; 16]>()).prop_map(|id| Ask::Signout(id.map(SessionId))),
    ]
}

fn client_message() -> impl Strategy<Value = ClientMessage> {
    prop_oneof![
        hello().prop_map(ClientMessage::Hello),
        report().prop_map(ClientMessage::Report),
        Just(ClientMessage::Heartbeat),
        Just(ClientMessage::Pong),
        of((0..=5_000_000_000u64).prop_map(Duration::from_nanos))
            .prop_map(|after| ClientMessage::Bye { after }),
        (any::<u64>(), ask()).prop_map(|(n, ask)| ClientMessage::Request { n, ask }),
    ]
}

fn entry() -> impl Strategy<Value = Entry<'static>> {
    let online = (anything(), anything(), anything())
        .prop_map(|(status, project, language)| EntryState::Online { status, project, language });
    let offline = of(any::<u64>()).prop_map(|seen| EntryState::Offline { seen });
    (anything(), anything(), of(anything()), any::<u8>(), prop_oneof![online, offline])
        .prop_map(|(id, name, avatar, relation, state)| Entry { id, name, avatar, relation, state })
}

fn update() -> impl Strategy<Value = Update<'static>> {
    let fields = (of(anything()), of(anything()), of(anything()));
    (anything(), fields, of(any::<u8>()), of(anything()), of(anything())).prop_map(
        |(id, (status, project, language), relation, name, avatar)| Update {
            id,
            status,
            project,
            language,
            relation,
            name,
            avatar,
        },
    )
}

fn welcome() -> impl Strategy<Value = Welcome<'static>> {
    let texts = (anything(), anything(), anything(), anything(), of(anything()));
    (texts, any::<bool>(), any::<(u64, u64, u64)>()).prop_map(
        |((id, name, session, resume, guest_token), resumed, (hb, ping, window))| Welcome {
            id,
            name,
            session,
            resume,
            resumed,
            heartbeat_secs: hb,
            ping_secs: ping,
            window_secs: window,
            guest_token,
        },
    )
}

fn answer() -> impl Strategy<Value = Answer> {
    let preferences = (mode(), mode(), mode(), mode(), globs()).prop_map(
        |(visibility, activity, project, language, hidden_projects)| {
            Answer::Preferences(Preferences {
                visibility,
                activity,
                project,
                language,
                hidden_projects,
            })
        },
    );
    let session = (any::<[u8; 16]>(), 0..=UNIX_SECS_MAX, anything(), anything(), any::<bool>())
        .prop_map(|(id, since, address, client, this)| SessionInfo {
            id: SessionId(id),
            since: Timestamp::from_secs(since),
            address: Cow::into(address),
            client: Cow::into(client),
            this,
        });
    prop_oneof![Just(Answer::Done), preferences, vec(session, 0..5).prop_map(Answer::Sessions)]
}

fn server_message() -> impl Strategy<Value = ServerMessage<'static>> {
    let codes = ErrorCode::NAMES.map(|(code, _)| code).to_vec();
    prop_oneof![
        welcome().prop_map(ServerMessage::Welcome),
        (vec(entry(), 0..8), any::<bool>())
            .prop_map(|(users, part)| ServerMessage::Sync { users, part }),
        update().prop_map(ServerMessage::Update),
        (anything(), of(any::<u64>()), any::<bool>())
            .prop_map(|(id, at, gone)| ServerMessage::Offline { id, at, gone }),
        of(anything()).prop_map(|cursor| ServerMessage::Ping { cursor }),
        any::<u64>().prop_map(|after_ms| ServerMessage::Go { after_ms }),
        Just(ServerMessage::Stale),
        Just(ServerMessage::Fresh),
        (of(any::<u64>()), prop::sample::select(codes), anything())
            .prop_map(|(n, code, message)| ServerMessage::Error { n, code, message }),
        (any::<u64>(), answer()).prop_map(|(n, answer)| ServerMessage::Response { n, answer }),
    ]
}

/// Something like a client's message: known keys, values of any type.
fn nearly_a_message() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "t",
        "n",
        "do",
        "as",
        "token",
        "name",
        "guest",
        "resume",
        "cursor",
        "s",
        "p",
        "l",
        "after",
        "hidden_projects",
        "until",
        "id",
        "code",
        "session",
        "visibility",
        "users",
        "sessions",
        "at",
        "r",
        "msg",
        "what",
    ]);
    let words = vec![
        "hello",
        "u",
        "req",
        "bye",
        "hb",
        "pong",
        "prefs",
        "manual",
        "pin",
        "accept",
        "signout",
        "github",
        "guest",
        "x",
        "sync",
        "res",
        "err",
        "welcome",
        "bad_message",
        "everyone",
        "",
    ];
    let value = prop_oneof![
        4 => prop::sample::select(words).prop_map(|word| format!("\"{word}\"")),
        1 => any::<i64>().prop_map(|n| n.to_string()),
        1 => any::<f64>().prop_map(|n| if n.is_finite() { format!("{n:e}") } else { "0".into() }),
        1 => prop::sample::select(vec!["null", "true", "[]", "{}", "[\"a\"]", "[1]", "[{}]", "-0"])
            .prop_map(str::to_owned),
    ];
    vec((key, value), 0..8).prop_map(|fields| {
        let fields: Vec<_> = fields.iter().map(|(k, v)| format!("\"{k}\":{v}")).collect();
        format!("{{{}}}", fields.join(","))
    })
}

proptest! {
    #[test]
    fn a_clients_message_survives_its_text(message in client_message()) {
        let mut out = Vec::new();
        encode_client(&message, &mut out);
        let text = std::str::from_utf8(&out).unwrap();
        prop_assert_eq!(decode_client(text), Ok(message), "{}", text);
    }

    #[test]
    fn a_servers_message_survives_its_text(message in server_message()) {
        let mut out = b"before".to_vec();
        encode_server(&message, &mut out);
        let text = std::str::from_utf8(&out).unwrap().strip_prefix("before").unwrap();
        let read = decode_server(text).unwrap();
        prop_assert_eq!(&read, &message, "{}", text);
        prop_assert_eq!(read.into_owned(), message);
    }

    #[test]
    fn reading_what_comes_never_panics(text in any::<String>()) {
        let _ = decode_client(&text);
        let _ = decode_server(&text);
        let _ = parse_resume(&text);
        let _ = parse_cursor(&text);
    }

    #[test]
    fn what_is_nearly_a_message_is_taken_or_refused(text in nearly_a_message()) {
        if let Ok(message) = decode_client(&text) {
            let mut out = Vec::new();
            encode_client(&message, &mut out);
            let again = decode_client(std::str::from_utf8(&out).unwrap());
            prop_assert_eq!(again, Ok(message));
        }
        if let Ok(message) = decode_server(&text) {
            let mut out = Vec::new();
            encode_server(&message, &mut out);
            prop_assert_eq!(decode_server(std::str::from_utf8(&out).unwrap()).unwrap(), message);
        }
    }

    #[test]
    fn a_golden_message_cut_or_changed_never_panics(
        message in client_message(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut out = Vec::new();
        encode_client(&message, &mut out);
        let at = at.index(out.len());
        let _ = std::str::from_utf8(&out[..at]).map(decode_client);
        out[at] = byte;
        let _ = std::str::from_utf8(&out).map(decode_client);
    }

    #[test]
    fn a_token_survives_its_text_and_a_changed_text_is_another_or_none(
        token in token(),
        cursor in cursor(),
        at in any::<prop::sample::Index>(),
        to in any::<char>(),
    ) {
        let text = format_resume(&token);
        prop_assert_eq!(parse_resume(&text), Some(token.clone()));
        let mut chars: Vec<char> = text.chars().collect();
        let at_char = at.index(chars.len());
        chars[at_char] = to;
        let changed: String = chars.iter().collect();
        prop_assert_eq!(parse_resume(&changed) == Some(token), changed == text);

        let text = format_cursor(&cursor);
        prop_assert_eq!(parse_cursor(&text), Some(cursor));
        let mut chars: Vec<char> = text.chars().collect();
        let at_char = at.index(chars.len());
        chars[at_char] = to;
        let changed: String = chars.iter().collect();
        prop_assert_eq!(parse_cursor(&changed) == Some(cursor), changed == text);
    }
}

#[test]
fn deep_nesting_neither_overflows_the_stack_nor_costs_memory() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let depth = MESSAGE_BYTES_MAX / (open.len() + close.len());
        for deep in [open.repeat(depth), open.repeat(depth) + "1" + &close.repeat(depth)] {
            for key in ["t", "s", "hidden_projects", "users", "what"] {
                let text = format!("{{\"t\":\"u\",\"{key}\":{deep}}}");
                let _ = decode_client(&text);
                let _ = decode_server(&text);
            }
            assert!(decode_client(&deep).is_err());
        }
    }
}

#[test]
fn a_patch_is_read_without_copying_its_texts() {
    let text = r#"{"t":"u","id":"github_1","s":"coding","p":"a\"b"}"#;
    let ServerMessage::Update(update) = decode_server(text).unwrap() else { panic!("an update") };
    assert!(matches!(update.id, Cow::Borrowed(_)));
    assert!(matches!(update.status, Some(Cow::Borrowed(_))));
    assert!(matches!(update.project, Some(Cow::Owned(_))), "an escaped text has to be copied");
}
