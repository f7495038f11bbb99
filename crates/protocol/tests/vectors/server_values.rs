//! The values of `server.json`, in the order of the file.

use presence::ask::{Answer, SessionInfo};
use presence::close::ErrorCode;
use presence::glob::Glob;
use presence::ids::SessionId;
use presence::time::Timestamp;
use presence::visibility::{Mode, Preferences};
use protocol::message::{Entry, EntryState, ServerMessage, Update, Welcome};

use crate::client_values::SESSION;

const RESUME: &str = "AAcAAQIDBAUGBwgJCgsMDQ4PKioqKioqKioqKioqKioqKioqKioqKioqKioqKioqKio";
const CURSOR: &str = "AAAAAAAAAAEABkRZQWJAAAAAAAAAAAAD";

type Case = (&'static str, ServerMessage<'static>);

fn welcome() -> Welcome<'static> {
    Welcome {
        id: "github_1".into(),
        name: "ada".into(),
        session: SESSION.to_string().into(),
        resume: RESUME.into(),
        resumed: false,
        heartbeat_secs: 10,
        ping_secs: 30,
        window_secs: 60,
        guest_token: None,
    }
}

fn welcomes() -> Vec<Case> {
    let guest = Welcome {
        id: "guest_k3v9".into(),
        name: "Zoë".into(),
        guest_token: Some("guest-token".into()),
        ..welcome()
    };
    let resumed = Welcome { resumed: true, heartbeat_secs: 0, ..welcome() };
    vec![
        ("welcome", ServerMessage::Welcome(welcome())),
        ("welcome: resumed, without heartbeats", ServerMessage::Welcome(resumed)),
        ("welcome: a guest", ServerMessage::Welcome(guest)),
    ]
}

fn online(s: &'static str, p: &'static str, l: &'static str) -> EntryState<'static> {
    EntryState::Online { status: s.into(), project: p.into(), language: l.into() }
}

fn entry(
    id: &'static str,
    name: &'static str,
    r: u8,
    state: EntryState<'static>,
) -> Entry<'static> {
    Entry { id: id.into(), name: name.into(), avatar: None, relation: r, state }
}

fn syncs() -> Vec<Case> {
    let bob = Entry {
        avatar: Some("https://avatars.example/123".into()),
        ..entry("github_123", "bob", 3, online("online", "", ""))
    };
    let all = vec![
        entry("github_1", "ada", 0, online("coding", "vscode", "rust")),
        bob,
        entry("github_7", "eve", 1, EntryState::Offline { seen: Some(1_764_000_000) }),
        entry("github_8", "mallory \"m\"", 12, EntryState::Offline { seen: None }),
    ];
    let some = vec![entry("github_123", "bob", 3, online("reading", "", "c"))];
    vec![
        ("sync: oneself and a watch list", ServerMessage::Sync { users: all, part: false }),
        ("sync: part", ServerMessage::Sync { users: some, part: true }),
        ("sync: nothing changed", ServerMessage::Sync { users: vec![], part: true }),
    ]
}

fn patches() -> Vec<Case> {
    let bob = || Update { id: "github_123".into(), ..Update::default() };
    let some = |text: &'static str| Some(text.into());
    let new = Update {
        id: "github_9".into(),
        status: some("coding"),
        project: some("rollcall"),
        language: some("rust"),
        relation: Some(1),
        name: some("carol"),
        avatar: some("https://avatars.example/9"),
    };
    let updates = [
        ("update: the status", Update { status: some("coding"), ..bob() }),
        (
            "update: the project too",
            Update { status: some("coding"), project: some("vscode"), ..bob() },
        ),
        ("update: cleared fields", Update { project: some(""), language: some(""), ..bob() }),
        ("update: the relation", Update { relation: Some(5), ..bob() }),
        ("update: someone new to the list", new),
    ];
    let offline = [
        ("offline", Some(1_764_000_000), false),
        ("offline: last seen unknown", None, false),
        ("offline: left the watch list", None, true),
        ("offline: left the watch list, last seen known", Some(1_764_000_000), true),
    ];
    let mut all: Vec<_> =
        updates.into_iter().map(|(name, update)| (name, ServerMessage::Update(update))).collect();
    all.extend(offline.map(|(name, at, gone)| {
        (name, ServerMessage::Offline { id: "github_123".into(), at, gone })
    }));
    all
}

fn errors() -> Vec<Case> {
    let all = [
        ("err bad_message", None, ErrorCode::BadMessage, "`s` may not be empty"),
        (
            "err unknown_message",
            None,
            ErrorCode::UnknownMessage,
            "there is no message with `t` \"chat\"",
        ),
        ("err unauthorized", None, ErrorCode::Unauthorized, "the token proves nothing"),
        (
            "err identity_unavailable",
            None,
            ErrorCode::IdentityUnavailable,
            "GitHub does not answer",
        ),
        ("err resume_failed", None, ErrorCode::ResumeFailed, "the session is over"),
        ("err not_related", Some(5), ErrorCode::NotRelated, "there is no relation to github_5"),
        ("err no_such_user", Some(6), ErrorCode::NoSuchUser, "there is no user github_5"),
        (
            "err invite_invalid",
            Some(7),
            ErrorCode::InviteInvalid,
            "there is no such invite, or no more",
        ),
        ("err own_invite", Some(8), ErrorCode::OwnInvite, "this is your own invite"),
        ("err too_many_sessions", Some(9), ErrorCode::TooManySessions, "20 sessions are live"),
        ("err rate_limited", Some(10), ErrorCode::RateLimited, "more than 120 requests a minute"),
        ("err read_only", Some(11), ErrorCode::ReadOnly, "the disk is full"),
        ("err not_supported", Some(12), ErrorCode::NotSupported, "invites are not supported"),
    ];
    all.into_iter()
        .map(|(name, n, code, message)| {
            (name, ServerMessage::Error { n, code, message: message.into() })
        })
        .collect()
}

fn responses() -> Vec<Case> {
    let preferences = Preferences {
        visibility: Mode::Everyone,
        activity: Mode::Followers,
        project: Mode::Following,
        language: Mode::CloseFriends,
        hidden_projects: ["secret", "acme-*"].map(|p| Glob::parse(p).unwrap()).to_vec(),
    };
    let sessions = vec![
        SessionInfo {
            id: SESSION,
            since: Timestamp::from_secs(1_764_000_000),
            address: "192.0.2.7".into(),
            client: "vscode 1.9".into(),
            this: true,
        },
        SessionInfo {
            id: SessionId([0xff; 16]),
            since: Timestamp::from_secs(1_763_990_000),
            address: "2001:db8::1".into(),
            client: "".into(),
            this: false,
        },
    ];
    let answers = [
        ("res: done", 1, Answer::Done),
        ("res: preferences", 2, Answer::Preferences(preferences)),
        ("res: sessions", 3, Answer::Sessions(sessions)),
        ("res: no sessions", 4, Answer::Sessions(vec![])),
    ];
    answers
        .into_iter()
        .map(|(name, n, answer)| (name, ServerMessage::Response { n, answer }))
        .collect()
}

pub(crate) fn all() -> Vec<Case> {
    let mut all = welcomes();
    all.extend(syncs());
    all.extend(patches());
    all.extend([
        ("ping", ServerMessage::Ping { cursor: Some(CURSOR.into()) }),
        ("ping without a cursor", ServerMessage::Ping { cursor: None }),
        ("go", ServerMessage::Go { after_ms: 1234 }),
        ("stale", ServerMessage::Stale),
        ("fresh", ServerMessage::Fresh),
    ]);
    all.extend(errors());
    all.extend(responses());
    all
}
