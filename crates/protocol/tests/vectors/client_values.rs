//! The values of `client.json`, in the order of the file.

use std::time::Duration;

use presence::ask::{Ask, PreferencesChange};
use presence::glob::Glob;
use presence::hello::{Credentials, Cursor, Hello, IdentityKind, ResumeClaim, ResumeToken, Secret};
use presence::ids::{Epoch, RelationVersion, SessionId, UserId};
use presence::report::ReportChange;
use presence::time::Timestamp;
use presence::visibility::Mode;
use protocol::message::ClientMessage;

pub(crate) const SESSION: SessionId =
    SessionId([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);

fn report(s: Option<&str>, p: Option<&str>, l: Option<&str>) -> ReportChange {
    ReportChange::parse(s, p, l).unwrap()
}

fn login(kind: IdentityKind, token: Option<&str>) -> Credentials {
    Credentials { kind, token: token.map(Secret::new), name: None, guest: None }
}

fn hello(credentials: Credentials) -> Hello {
    Hello { credentials: Some(credentials), ..Hello::default() }
}

fn resume() -> Hello {
    let token = ResumeToken { partition: 7, session: SESSION, secret: [0x2a; 32] };
    Hello { resume: Some(ResumeClaim::Token(token)), ..Hello::default() }
}

fn hellos() -> Vec<(&'static str, Hello)> {
    use IdentityKind::{Dev, Github, Guest, Jwt};
    let cursor = Cursor {
        epoch: Epoch(1),
        at: Timestamp(1_764_000_000_000_000),
        relations: RelationVersion(3),
    };
    vec![
        (
            "hello: a GitHub login with a first report",
            Hello {
                report: report(Some("coding"), Some("vscode"), Some("rust")),
                ..hello(login(Github, Some("gho_example")))
            },
        ),
        ("hello: a login without a report", hello(login(Dev, Some("ada")))),
        ("hello: a token of an issuer", hello(login(Jwt, Some("header.claims.signature")))),
        (
            "hello: a new guest",
            hello(Credentials { name: Some("Zoë".into()), ..login(Guest, None) }),
        ),
        ("hello: a guest again", hello(login(Guest, Some("guest-token")))),
        (
            "hello: a guest turns into a GitHub user",
            hello(Credentials {
                guest: Some(Secret::new("guest-token")),
                ..login(Github, Some("gho_example"))
            }),
        ),
        ("hello: a resume", Hello { cursor: Some(cursor), ..resume() }),
        (
            "hello: a resume with a login to fall back on and a report",
            Hello {
                credentials: Some(login(Dev, Some("ada"))),
                report: report(Some("idle"), None, None),
                ..resume()
            },
        ),
        (
            "hello: a resume token that cannot be read",
            Hello { resume: Some(ResumeClaim::Unreadable), ..Hello::default() },
        ),
    ]
}

fn requests() -> Vec<(&'static str, u64, Ask)> {
    let bob = || UserId::parse("github_123").unwrap();
    let manual = |status: &str, until: Option<u64>| Ask::Manual {
        status: status.into(),
        until: until.map(Timestamp::from_secs),
    };
    let all = PreferencesChange {
        visibility: Some(Mode::Followers),
        activity: Some(Mode::Following),
        project: Some(Mode::CloseFriends),
        language: Some(Mode::Invisible),
        hidden_projects: Some(["secret", "acme-*"].map(|p| Glob::parse(p).unwrap()).to_vec()),
    };
    let open = PreferencesChange {
        visibility: Some(Mode::Everyone),
        hidden_projects: Some(vec![]),
        ..PreferencesChange::default()
    };
    vec![
        ("req prefs: read", 1, Ask::Prefs(PreferencesChange::default())),
        ("req prefs: change all", 2, Ask::Prefs(all)),
        ("req prefs: show everything to everyone", 3, Ask::Prefs(open)),
        ("req manual: with an end", 4, manual("on holiday", Some(1_764_000_000))),
        ("req manual: without an end", 5, manual("in a meeting", None)),
        ("req manual: clear", 6, manual("", None)),
        ("req pin", 7, Ask::Pin(bob())),
        ("req unpin", 8, Ask::Unpin(bob())),
        ("req block", 9, Ask::Block(bob())),
        ("req unblock", 10, Ask::Unblock(bob())),
        ("req remove", 11, Ask::Remove(bob())),
        ("req invite", 12, Ask::Invite),
        ("req accept", 13, Ask::Accept(Secret::new("invite-code"))),
        ("req sessions", 14, Ask::Sessions),
        ("req signout: one session", 15, Ask::Signout(Some(SESSION))),
        ("req signout: all, with the largest number", u64::MAX, Ask::Signout(None)),
    ]
}

pub(crate) fn all() -> Vec<(&'static str, ClientMessage)> {
    use ClientMessage::{Bye, Heartbeat, Pong, Report};
    let mut all: Vec<_> =
        hellos().into_iter().map(|(name, hello)| (name, ClientMessage::Hello(hello))).collect();
    all.extend([
        ("report: all fields", Report(report(Some("debugging"), Some("rollcall"), Some("rust")))),
        ("report: a cleared project and language", Report(report(None, Some(""), Some("")))),
        ("report: nothing", Report(ReportChange::default())),
        (
            "report: text that JSON escapes",
            Report(report(Some("coding"), Some("a\"b\\c/ü😀"), None)),
        ),
        ("heartbeat", Heartbeat),
        ("pong", Pong),
        ("bye", Bye { after: None }),
        ("bye: it may come back at once", Bye { after: Some(Duration::from_secs(5)) }),
        ("bye: a fraction of a second", Bye { after: Some(Duration::from_millis(250)) }),
    ]);
    all.extend(
        requests().into_iter().map(|(name, n, ask)| (name, ClientMessage::Request { n, ask })),
    );
    all
}
