//! Every limit, from both sides: what still passes, and what happens beyond it.

use std::time::Duration;

use protocol::message::ServerMessage;

use crate::harness::{Peer, Setup, TestNode, error_code, message};
use crate::raw::{Raw, TEXT, frame, handshake, hello, http};

fn pair() -> TestNode {
    Setup::new().follows("ada", "bob").start()
}

/// Ada, who watches bob, who is here.
fn watched(node: &TestNode) -> (Peer, Peer) {
    let mut ada = node.join("ada");
    let bob = node.join("bob");
    ada.hears(r#"{"t":"u","id":"dev_bob","s":"online"}"#);
    (ada, bob)
}

#[track_caller]
fn can_resume(node: &TestNode, token: &str) {
    node.resume(token, None);
}

#[track_caller]
fn cannot_resume(node: &TestNode, token: &str) {
    let mut peer = node.open();
    peer.say(&format!(r#"{{"t":"hello","resume":"{token}"}}"#));
    assert_eq!(error_code(&peer.hear()), "resume_failed");
}

#[test]
fn a_message_of_16_kib_passes_and_one_byte_more_ends_the_session() {
    let node = pair();
    let (mut ada, mut bob) = watched(&node);
    let sized = |bytes: usize, project: &str| {
        let head = format!(r#"{{"t":"u","p":"{project}","ignored":""#);
        let tail = r#""}"#;
        format!("{head}{}{tail}", "x".repeat(bytes - head.len() - tail.len()))
    };
    bob.say(&sized(16_384, "fits"));
    ada.hears(r#"{"t":"u","id":"dev_bob","p":"fits"}"#);
    bob.say(&sized(16_385, "no"));
    ada.sees_leave("dev_bob");
    bob.is_closed_with(1009);
    cannot_resume(&node, &bob.token);
}

#[test]
fn a_binary_frame_where_text_is_due_ends_the_session() {
    let node = pair();
    let (mut ada, mut bob) = watched(&node);
    bob.say_binary(br#"{"t":"hb"}"#);
    bob.is_closed_with(4203);
    ada.sees_leave("dev_bob");
    cannot_resume(&node, &bob.token);
}

#[test]
fn nine_bad_messages_and_a_good_one_are_forgiven_and_ten_in_a_row_are_not() {
    let node = pair();
    let (mut ada, mut bob) = watched(&node);
    let bad = ["", "{", "[]", "null", r#"{"t":7}"#, r#"{"T":"u"}"#, "\u{0}", r#"{"t":"u","s":""}"#];
    for round in 0..2 {
        for text in bad.iter().chain(&[r#"{"t":"bye","after":"x"}"#]) {
            bob.say(text);
            assert_eq!(error_code(&bob.hear()), "bad_message", "{text}");
        }
        bob.say(&format!(r#"{{"t":"u","s":"round {round}"}}"#));
        ada.hears(&format!(r#"{{"t":"u","id":"dev_bob","s":"round {round}"}}"#));
        bob.hears(&format!(r#"{{"t":"u","id":"dev_bob","s":"round {round}","p":"","l":""}}"#));
    }
    for _ in 0..10 {
        bob.say("nonsense");
    }
    let said = bob.is_closed_with(4203);
    assert_eq!(said.len(), 10, "each was answered: {said:#?}");
    assert!(said.iter().all(|text| error_code(text) == "bad_message"));
    ada.sees_leave("dev_bob");
    cannot_resume(&node, &bob.token);
}

#[test]
fn what_is_unknown_is_said_to_be_and_unknown_fields_are_passed_over() {
    let node = pair();
    let (mut ada, mut bob) = watched(&node);
    bob.say(r#"{"t":"dance"}"#);
    assert_eq!(error_code(&bob.hear()), "unknown_message");
    bob.is_refused(r#""do":"dance""#, "unknown_message");
    bob.is_refused(r#""do":"pin""#, "bad_message");
    bob.say(r#"{"t":"req","do":"sessions"}"#);
    assert_eq!(error_code(&bob.hear()), "bad_message");
    bob.say(r#"{"z":{"t":[1,{"s":2}]},"t":"u","s":"coding","t2":null}"#);
    ada.hears(r#"{"t":"u","id":"dev_bob","s":"coding"}"#);
}

#[test]
fn fields_that_could_rewrite_a_line_or_are_too_long_are_refused_and_seen_by_nobody() {
    let node = pair();
    let (mut ada, mut bob) = watched(&node);
    let long = [("s", 33), ("p", 65), ("l", 33)]
        .map(|(field, length)| format!(r#"{{"t":"u","{field}":"{}"}}"#, "ä".repeat(length)));
    for text in &long {
        bob.say(text);
        assert_eq!(error_code(&bob.hear()), "bad_message", "{text}");
    }
    for bad in
        ["\\u0000", "\\n", "\\u001b[2J", "\\u202e", "\u{202e}", "\u{2066}", "\u{2028}", "\u{85}"]
    {
        for field in ["s", "p", "l"] {
            bob.say(&format!(r#"{{"t":"u","{field}":"a{bad}b"}}"#));
            assert_eq!(error_code(&bob.hear()), "bad_message", "{field} {bad}");
        }
        bob.does(r#""do":"manual","s":"""#);
        bob.is_refused(&format!(r#""do":"manual","s":"a{bad}b""#), "bad_message");
        let mut peer = node.open();
        peer.say(&format!(r#"{{"t":"hello","as":"guest","name":"a{bad}b"}}"#));
        assert_eq!(error_code(&peer.hear()), "bad_message", "name {bad}");
        peer.say(&format!(r#"{{"t":"hello","as":"dev","token":"a{bad}b"}}"#));
        assert_eq!(error_code(&peer.hear()), "unauthorized", "dev {bad}");
    }
    let longest = format!(r#""s":"{0}","p":"{0}{0}","l":"{0}""#, "ä".repeat(32));
    bob.say(&format!(r#"{{"t":"u",{longest}}}"#));
    ada.hears(&format!(r#"{{"t":"u","id":"dev_bob",{longest}}}"#));
}

#[test]
fn requests_above_their_rate_are_refused_and_ten_refusals_in_a_row_close() {
    let node =
        Setup::new().follows("ada", "bob").set(|s| s.message_rate = Some("20".into())).start();
    let (mut ada, mut bob) = watched(&node);
    for _ in 0..20 {
        bob.ask(r#""do":"sessions""#);
    }
    for _ in 0..9 {
        bob.is_refused(r#""do":"sessions""#, "rate_limited");
    }
    // Reports are no requests.
    bob.say(r#"{"t":"u","s":"coding"}"#);
    ada.hears(r#"{"t":"u","id":"dev_bob","s":"coding"}"#);
    bob.say(r#"{"t":"req","n":99,"do":"sessions"}"#);
    let said = bob.is_closed_with(4102);
    assert_eq!(error_code(said.last().unwrap()), "rate_limited");
    can_resume(&node, &bob.token);
    // Nobody else pays for it.
    assert!(ada.ask(r#""do":"sessions""#).starts_with(r#"{"t":"res""#));
}

#[test]
fn more_than_fifty_frames_in_a_second_close_and_the_session_may_come_back() {
    let node = pair();
    let (mut ada, mut bob) = watched(&node);
    for _ in 0..49 {
        bob.say(r#"{"t":"hb"}"#);
    }
    for _ in 0..60 {
        // The server may have closed by now.
        let _closed = bob.try_say(r#"{"t":"hb"}"#);
    }
    bob.is_closed_with(4102);
    let mut bob = node.resume(&bob.token, None);
    bob.say(r#"{"t":"u","s":"coding"}"#);
    ada.hears(r#"{"t":"u","id":"dev_bob","s":"coding"}"#);
}

#[test]
fn a_message_rate_of_zero_takes_every_limit_of_messages_away() {
    let node = Setup::new().set(|s| s.message_rate = Some("0".into())).start();
    let mut bob = node.join("bob");
    for _ in 0..500 {
        bob.say(r#"{"t":"hb"}"#);
    }
    for _ in 0..200 {
        assert!(bob.ask(r#""do":"sessions""#).starts_with(r#"{"t":"res""#));
    }
}

#[test]
fn reports_above_their_rate_are_merged_and_the_last_is_always_seen() {
    let node = pair();
    let (mut ada, mut bob) = watched(&node);
    bob.say(r#"{"t":"u","l":"rust"}"#);
    for number in 0..30 {
        bob.say(&format!(r#"{{"t":"u","p":"p{number}"}}"#));
    }
    bob.say(r#"{"t":"u","l":"go"}"#);
    let mut heard = Vec::new();
    while heard.last().is_none_or(|text: &String| !text.contains(r#""l":"go""#)) {
        heard.push(ada.hear());
    }
    assert!(heard.last().unwrap().contains(r#""p":"p29""#), "{heard:#?}");
    assert!(heard.len() <= 7, "a burst of five and what was merged: {heard:#?}");
}

#[test]
fn who_says_no_hello_for_ten_seconds_is_closed() {
    let node = pair();
    let mut silent = node.open();
    let mut noisy = node.open();
    // Neither heartbeats nor a resume that failed put the end off for ever.
    noisy.say(r#"{"t":"hb"}"#);
    silent.is_closed_with(4101);
    noisy.is_closed_with(4101);
    let (_ada, _bob) = watched(&node);
}

#[test]
fn a_header_that_does_not_come_whole_is_cut_after_five_seconds() {
    let node = pair();
    let mut raw = Raw::connect(node.address);
    raw.say(b"GET /ws HTTP/1.1\r\nHost: rollcall.test\r\nX-Sl").unwrap();
    assert!(!raw.ends_within(Duration::from_secs(3)), "it has five seconds");
    // One byte more buys no time.
    raw.say(b"o").unwrap();
    assert!(raw.ends_within(Duration::from_secs(4)), "not more than five");
    let (_ada, _bob) = watched(&node);
}

#[test]
fn a_header_of_more_than_8_kib_is_refused() {
    let node = pair();
    let mut raw = Raw::connect(node.address);
    let big = format!("X-Big: {}\r\n", "x".repeat(9_000));
    // The server may hang up before it has taken all.
    let _cut = raw.say(handshake(&big).as_bytes());
    let answer = String::from_utf8(raw.rest()).unwrap();
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let fits = format!("X-Fits: {}\r\n", "x".repeat(6_000));
    Raw::upgraded(node.address, &fits);
}

#[test]
fn pages_of_other_origins_may_not_connect() {
    let node = pair();
    assert_eq!(node.open_from("https://evil.test").err(), Some(403));
    assert_eq!(node.open_from("null").err(), Some(403));
    let mut page = node.open_from("http://localhost:5173").unwrap();
    page.log_in("bob", "");
    let listed = Setup::new()
        .set(|s| s.allowed_origins = Some("https://app.test,https://other.test:8443".into()))
        .start();
    assert_eq!(listed.open_from("http://localhost:5173").err(), Some(403));
    assert_eq!(listed.open_from("https://app.test:444").err(), Some(403));
    listed.open_from("https://APP.test").unwrap().log_in("bob", "");
}

#[test]
fn a_handshake_that_is_none_is_told_so() {
    let node = pair();
    let good = handshake("");
    for (request, status) in [
        (handshake("Sec-WebSocket-Protocol: graphql-ws\r\n"), 400),
        (good.replace("Upgrade: websocket", "Upgrade: h2c"), 400),
        (good.replace("Connection: Upgrade\r\n", ""), 400),
        (good.replace("GET", "POST"), 400),
        (good.replace("Version: 13", "Version: 8"), 426),
        (good.replace("dGhlIHNhbXBsZSBub25jZQ==", "short"), 400),
        (good.replace("/ws", "/elsewhere"), 404),
    ] {
        let mut raw = Raw::connect(node.address);
        raw.say(request.as_bytes()).unwrap();
        let head = raw.head();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{request}{head}");
    }
    let mut raw = Raw::connect(node.address);
    raw.say(handshake("Sec-WebSocket-Protocol: chat, rollcall.v1.json\r\n").as_bytes()).unwrap();
    let head = raw.head().to_ascii_lowercase();
    assert!(head.contains("\r\nsec-websocket-protocol: rollcall.v1.json\r\n"), "{head}");
    assert!(head.contains("s3pplmbitxaq9kygzzhzrbk+xoo="), "{head}");
    let mut raw = Raw::connect(node.address);
    raw.say(good.as_bytes()).unwrap();
    assert!(!raw.head().to_ascii_lowercase().contains("sec-websocket-protocol"));
}

#[test]
fn handshakes_above_their_rate_are_refused_and_a_resume_gives_its_charge_back() {
    let node = Setup::new().set(|s| s.handshake_rate = Some("3".into())).start();
    let mut bob = node.join("bob");
    for _ in 0..10 {
        let token = bob.token.clone();
        bob.cut();
        bob = node.resume(&token, None);
    }
    let (_second, _third) = (node.open(), node.open());
    let mut raw = Raw::connect(node.address);
    raw.say(handshake("").as_bytes()).unwrap();
    let head = raw.head().to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 429 "), "{head}");
    let wait = head.split("retry-after: ").nth(1).unwrap().split("\r\n").next().unwrap();
    let wait: u64 = wait.parse().unwrap();
    assert!((1..=21).contains(&wait), "three a minute: {wait}");
    // Those who are in stay in.
    bob.does(r#""do":"manual","s":"""#);
}

fn address_of_session(node: &TestNode, forwarded: &str) -> String {
    let mut raw = Raw::upgraded(
        node.address,
        &format!("X-Forwarded-For: {forwarded}\r\nUser-Agent: test/1\r\n"),
    );
    raw.say(&frame(TEXT, hello("bob").as_bytes())).unwrap();
    raw.text();
    raw.text();
    raw.say(&frame(TEXT, br#"{"t":"req","n":1,"do":"sessions"}"#)).unwrap();
    let text = raw.text();
    let ServerMessage::Response { answer: presence::ask::Answer::Sessions(sessions), .. } =
        message(&text)
    else {
        panic!("{text}")
    };
    let this = sessions.iter().find(|session| session.this).unwrap();
    assert_eq!(&*this.client, "test/1");
    this.address.to_string()
}

#[test]
fn forwarded_addresses_are_believed_from_configured_proxies_alone() {
    let node = pair();
    assert_eq!(address_of_session(&node, "198.51.100.1"), "127.0.0.1");
    let behind = Setup::new()
        .set(|s| s.trusted_proxies = Some("127.0.0.0/8, 10.0.0.0/8".into()))
        .set(|s| s.handshake_rate = Some("1".into()))
        .start();
    let cases = [
        ("198.51.100.1", "198.51.100.1"),
        ("6.6.6.6, 198.51.100.2, 10.1.2.3", "198.51.100.2"),
        ("nonsense", "127.0.0.1"),
    ];
    for (forwarded, expected) in cases {
        // Each is charged to the address that it is: one handshake each.
        assert_eq!(address_of_session(&behind, forwarded), expected);
    }
    let mut raw = Raw::connect(behind.address);
    raw.say(handshake("X-Forwarded-For: 6.6.6.6, 198.51.100.1\r\n").as_bytes()).unwrap();
    assert!(raw.head().starts_with("HTTP/1.1 429 "));
}

#[test]
fn health_is_told_and_only_to_who_asks_for_it() {
    let node = pair();
    for (method, path, status) in [
        ("GET", "/healthz", 200),
        ("GET", "/readyz", 200),
        ("GET", "/", 200),
        ("HEAD", "/healthz", 200),
        ("POST", "/healthz", 405),
        ("GET", "/metrics", 404),
        ("GET", "/v1/users", 404),
    ] {
        let answer = http(node.address, method, path);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{method} {path}: {answer}");
    }
}
