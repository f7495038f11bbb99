//! Requests about oneself: sessions, signing out, a status by hand, preferences; and those that
//! have to wait.

use protocol::message::ServerMessage;

use crate::harness::{Setup, error_code, message, now_secs};

#[test]
fn one_lists_ones_sessions_with_address_client_and_which_is_this() {
    let node = Setup::new().start();
    let other = node.join("bob");
    let mut bob = node.join("bob");
    let text = bob.ask(r#""do":"sessions""#);
    let numbered = text.replacen(r#""t":"res""#, r#""t":"res","n":1"#, 1);
    let ServerMessage::Response { answer: presence::ask::Answer::Sessions(listed), .. } =
        message(&numbered)
    else {
        panic!("{text}")
    };
    assert_eq!(listed.len(), 2);
    for (session, peer) in listed.iter().zip([&other, &bob]) {
        assert_eq!(session.id.to_string(), peer.session, "the oldest first");
        assert_eq!(session.this, peer.session == bob.session);
        assert_eq!(&*session.address, "127.0.0.1");
        assert!(now_secs().abs_diff(session.since.secs()) <= 5);
    }
}

#[test]
fn signing_out_one_session_ends_that_one_alone() {
    let node = Setup::new().follows("ada", "bob").start();
    let mut ada = node.join("ada");
    let mut bob = node.join("bob");
    ada.hears(r#"{"t":"u","id":"dev_bob","s":"online"}"#);
    let mut stolen = node.join_with("bob", r#""s":"debugging""#);
    ada.hears(r#"{"t":"u","id":"dev_bob","s":"debugging"}"#);
    bob.does(&format!(r#""do":"signout","session":"{}""#, stolen.session));
    stolen.is_closed_with(4202);
    ada.hears(r#"{"t":"u","id":"dev_bob","s":"online"}"#);
    let mut back = node.open();
    back.say(&format!(r#"{{"t":"hello","resume":"{}"}}"#, stolen.token));
    assert_eq!(error_code(&back.hear()), "resume_failed");
    bob.is_refused(&format!(r#""do":"signout","session":"{}""#, stolen.session), "bad_message");
    // Nobody signs out somebody else.
    ada.is_refused(&format!(r#""do":"signout","session":"{}""#, bob.session), "bad_message");
    bob.does(r#""do":"manual","s":"""#);
}

#[test]
fn signing_out_everywhere_ends_live_and_detached_sessions_and_the_one_that_asks() {
    let node = Setup::new().follows("ada", "bob").start();
    let mut ada = node.join("ada");
    let away = node.join("bob");
    ada.hears(r#"{"t":"u","id":"dev_bob","s":"online"}"#);
    let away_token = away.token.clone();
    away.cut();
    let mut other = node.join("bob");
    let mut bob = node.join("bob");
    bob.does(r#""do":"signout""#);
    bob.is_closed_with(4202);
    other.is_closed_with(4202);
    ada.sees_leave("dev_bob");
    let mut back = node.open();
    for token in [&away_token, &bob.token, &other.token] {
        back.say(&format!(r#"{{"t":"hello","resume":"{token}"}}"#));
        assert_eq!(error_code(&back.hear()), "resume_failed");
    }
}

#[test]
fn a_status_by_hand_wins_until_it_ends_or_is_cleared() {
    let node = Setup::new().follows("ada", "bob").start();
    let mut ada = node.join("ada");
    let mut bob = node.join_with("bob", r#""s":"coding","p":"vscode""#);
    ada.hears(r#"{"t":"u","id":"dev_bob","s":"coding","p":"vscode"}"#);
    bob.does(r#""do":"manual","s":"on holiday, until monday""#);
    ada.hears(r#"{"t":"u","id":"dev_bob","s":"on holiday, until monday","p":""}"#);
    // What the session says meanwhile is kept, and shown when the words go.
    bob.say(r#"{"t":"u","s":"debugging"}"#);
    bob.does(r#""do":"manual","s":"""#);
    ada.hears(r#"{"t":"u","id":"dev_bob","s":"debugging","p":"vscode"}"#);
    let until = now_secs() + 2;
    bob.does(&format!(r#""do":"manual","s":"lunch","until":{until}"#));
    ada.hears(r#"{"t":"u","id":"dev_bob","s":"lunch","p":""}"#);
    ada.hears(r#"{"t":"u","id":"dev_bob","s":"debugging","p":"vscode"}"#);
    assert!(now_secs() >= until, "not before its end");
    bob.is_refused(r#""do":"manual","s":"lunch","until":1000"#, "bad_message");
    bob.is_refused(&format!(r#""do":"manual","s":"{}""#, "x".repeat(101)), "bad_message");
}

#[test]
fn preferences_are_answered_as_they_now_are_and_stay() {
    let node = Setup::new().start();
    let mut bob = node.join("bob");
    let start = r#"{"t":"res","visibility":"everyone","activity":"everyone","project":"everyone","language":"everyone","hidden_projects":[]}"#;
    assert_eq!(bob.ask(r#""do":"prefs""#), start);
    let changed = bob.ask(r#""do":"prefs","project":"close-friends","hidden_projects":["acme-*"]"#);
    let expected = r#"{"t":"res","visibility":"everyone","activity":"everyone","project":"close-friends","language":"everyone","hidden_projects":["acme-*"]}"#;
    assert_eq!(changed, expected);
    bob.is_refused(r#""do":"prefs","visibility":"friends""#, "bad_message");
    let mut other = node.join("bob");
    assert_eq!(other.ask(r#""do":"prefs""#), expected);
}

#[test]
fn requests_in_one_breath_are_carried_out_in_their_order() {
    let node =
        Setup::new().follows("ada", "bob").set(|s| s.message_rate = Some("0".into())).start();
    let mut ada = node.join("ada");
    let mut bob = node.join("bob");
    ada.hears(r#"{"t":"u","id":"dev_bob","s":"online"}"#);
    for round in 0..20 {
        for n in 0..10 {
            let mode = if n % 2 == 0 { "invisible" } else { "everyone" };
            bob.say(&format!(r#"{{"t":"req","n":{n},"do":"prefs","visibility":"{mode}"}}"#));
        }
        for n in 0..10 {
            let text = bob.hear();
            let mode = if n % 2 == 0 { "invisible" } else { "everyone" };
            let expected = format!(r#"{{"t":"res","n":{n},"visibility":"{mode}""#);
            assert!(text.starts_with(&expected), "round {round}: {text}");
        }
    }
    // Bob has ended visible each time, so ada's last word has to be that he is here.
    bob.say(r#"{"t":"u","s":"coding"}"#);
    while !ada.hear().contains(r#""s":"coding""#) {}
}

#[test]
fn invites_are_not_supported_yet() {
    let node = Setup::new().start();
    let mut bob = node.join("bob");
    bob.is_refused(r#""do":"invite""#, "not_supported");
    bob.is_refused(r#""do":"accept","code":"abc""#, "not_supported");
}

#[test]
fn other_kinds_of_login_are_refused_and_closed() {
    let node = Setup::new().start();
    for (login, code) in [
        (r#""as":"github","token":"gho_1""#, "not_supported"),
        (r#""as":"jwt","token":"a.b.c""#, "not_supported"),
        (r#""as":"guest","name":"zoe""#, "not_supported"),
        (r#""as":"dev","token":"no such name""#, "unauthorized"),
    ] {
        let mut peer = node.open();
        peer.say(&format!(r#"{{"t":"hello",{login}}}"#));
        let said = peer.is_closed_with(4200);
        assert_eq!(said.len(), 1, "{login}: {said:?}");
        assert_eq!(error_code(&said[0]), code, "{login}");
    }
}

#[test]
fn what_needs_a_session_is_refused_before_there_is_one() {
    let node = Setup::new().start();
    let mut peer = node.open();
    peer.is_refused(r#""do":"sessions""#, "unauthorized");
    peer.say(r#"{"t":"u","s":"coding"}"#);
    assert_eq!(error_code(&peer.hear()), "unauthorized");
    peer.log_in("bob", "");
    peer.say(r#"{"t":"hello","as":"dev","token":"bob"}"#);
    assert_eq!(error_code(&peer.hear()), "bad_message");
}
