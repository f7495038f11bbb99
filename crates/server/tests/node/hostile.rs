//! Clients that mean harm, or are merely broken: they cost little, and nobody else notices.

use std::time::Duration;

use client::State;
use client::reduce;

use crate::harness::{PATIENCE, Peer, Setup, TestNode, message};
use crate::raw::{
    CONTINUES, CONTINUES_AND_ENDS, PING, PONG, Raw, TEXT, TEXT_BEGINS, frame, handshake, hello,
    http,
};

fn unlimited(setup: Setup) -> Setup {
    setup.set(|s| {
        s.message_rate = Some("0".into());
        s.report_rate = Some("0".into());
        s.handshake_rate = Some("0".into());
    })
}

/// Everyone else is served: a report arrives.
#[track_caller]
fn others_are_served(node: &TestNode) {
    let mut ada = node.join("ada");
    let mut bob = node.join("bob");
    while !ada.hear().contains(r#""s":"online""#) {}
    bob.say(r#"{"t":"u","s":"coding"}"#);
    ada.hears(r#"{"t":"u","id":"dev_bob","s":"coding"}"#);
    bob.close(1000);
    ada.sees_leave("dev_bob");
    ada.close(1000);
}

fn pair() -> TestNode {
    unlimited(Setup::new().follows("ada", "bob")).start()
}

/// Reads until every one of so many users shows its last project.
#[track_caller]
fn reads_to_the_end(peer: &mut Peer, users: usize, last: &str) -> usize {
    let mut state = State::default();
    reduce(&mut state, &message(&peer.sync.clone()));
    let mut bytes = 0;
    let is_last = |state: &State, user: usize| {
        state
            .person(&format!("dev_u{user}"))
            .is_some_and(|person| format!("{:?}", person.presence).contains(last))
    };
    while !(0..users).all(|user| is_last(&state, user)) {
        let text = peer.hear();
        bytes += text.len();
        reduce(&mut state, &message(&text));
    }
    bytes
}

#[test]
fn a_reader_that_stalls_costs_little_and_misses_no_final_state() {
    const USERS: usize = 20;
    const ROUNDS: usize = 1_000;
    let mut setup = Setup::new();
    for user in 0..USERS {
        setup = setup.follows("ada", &format!("u{user}")).follows("eve", &format!("u{user}"));
    }
    let node = unlimited(setup).start();
    let mut stalled = node.join("ada");
    socket2::SockRef::from(stalled.client().stream()).set_recv_buffer_size(4_096).unwrap();
    let mut watching = node.join("eve");
    let mut reporters: Vec<Peer> = (0..USERS).map(|user| node.join(&format!("u{user}"))).collect();
    let filler = "x".repeat(56);
    let served = std::thread::spawn(move || {
        reads_to_the_end(&mut watching, USERS, "the end");
        watching
    });
    for round in 0..ROUNDS {
        for reporter in &mut reporters {
            reporter.say(&format!(r#"{{"t":"u","p":"{round} {filler}"}}"#));
        }
    }
    for reporter in &mut reporters {
        reporter.say(r#"{"t":"u","p":"the end"}"#);
    }
    // The one who reads has got it all before the other one has read anything.
    served.join().unwrap();
    let bytes = reads_to_the_end(&mut stalled, USERS, "the end");
    let sent = USERS * ROUNDS * (56 + 30);
    assert!(bytes < 256 << 10, "of {sent} bytes {bytes} were kept for a stalled reader");
}

#[test]
fn a_big_list_and_what_changes_meanwhile_reach_a_slow_reader() {
    const USERS: usize = 600;
    let mut setup = Setup::new();
    for user in 0..USERS {
        setup = setup.follows("ada", &format!("u{user}"));
    }
    let node = unlimited(setup).start();
    let mut reporters: Vec<Peer> = (0..40)
        .map(|user| node.join_with(&format!("u{user}"), r#""s":"coding","p":"start""#))
        .collect();
    // The `sync` is far bigger than the socket takes at once, and nobody reads it yet.
    let mut ada = node.open();
    socket2::SockRef::from(ada.client().stream()).set_recv_buffer_size(4_096).unwrap();
    ada.say(&hello("ada"));
    for reporter in &mut reporters {
        reporter.say(r#"{"t":"u","p":"the end"}"#);
        while !reporter.hear().contains("the end") {}
    }
    ada.welcomed();
    reads_to_the_end(&mut ada, 40, "the end");
}

#[test]
fn pings_of_a_client_are_answered_at_once() {
    let node = pair();
    let mut raw = Raw::joined(node.address, "bob");
    for payload in [&b""[..], b"are you there", &[7; 125]] {
        raw.say(&frame(PING, payload)).unwrap();
        assert_eq!(raw.frame(), (PONG, payload.to_vec()));
    }
}

#[test]
fn a_message_may_come_in_fragments_with_a_ping_between_them() {
    let node = pair();
    let mut ada = node.join("ada");
    let mut raw = Raw::joined(node.address, "bob");
    ada.hears(r#"{"t":"u","id":"dev_bob","s":"online"}"#);
    raw.say(&frame(TEXT_BEGINS, br#"{"t":"u","#)).unwrap();
    raw.say(&frame(PING, b"between")).unwrap();
    assert_eq!(raw.frame(), (PONG, b"between".to_vec()));
    raw.say(&frame(CONTINUES, br#""s":"cod"#)).unwrap();
    raw.say(&frame(CONTINUES_AND_ENDS, br#"ing"}"#)).unwrap();
    ada.hears(r#"{"t":"u","id":"dev_bob","s":"coding"}"#);
}

#[test]
fn fragments_count_as_the_message_that_they_make() {
    let node = pair();
    let mut raw = Raw::joined(node.address, "bob");
    raw.say(&frame(TEXT_BEGINS, &[b'x'; 10_000])).unwrap();
    raw.say(&frame(CONTINUES, &[b'x'; 10_000])).unwrap();
    assert_eq!(raw.close_code(), 1009);
    let mut raw = Raw::joined(node.address, "bob");
    // The length alone is enough: nobody waits for what it promises.
    raw.say(&frame(TEXT, &[b'x'; 70_000])[..14]).unwrap();
    assert_eq!(raw.close_code(), 1009);
    others_are_served(&node);
}

#[test]
fn half_a_frame_holds_nobody_up_and_may_be_completed() {
    let node = pair();
    let mut raw = Raw::joined(node.address, "cyd");
    let whole = frame(TEXT, br#"{"t":"req","n":1,"do":"sessions"}"#);
    raw.say(&whole[..9]).unwrap();
    others_are_served(&node);
    raw.say(&whole[9..]).unwrap();
    assert!(raw.text().starts_with(r#"{"t":"res","n":1"#));
    let mut half = Raw::joined(node.address, "cyd");
    half.say(&whole[..9]).unwrap();
    half.finish_writing();
    assert!(half.ends_within(PATIENCE), "half a frame and no more to come");
}

#[test]
fn an_endless_fragmented_message_stops_nobody_and_is_cut_off() {
    let node = Setup::new().follows("ada", "bob").set(|s| s.shards = Some("1".into())).start();
    let mut raw = Raw::joined(node.address, "cyd");
    raw.say(&frame(TEXT_BEGINS, b"")).unwrap();
    let many = frame(CONTINUES, b"").repeat(10_000);
    let flood = std::thread::spawn(move || {
        for _ in 0..2_000 {
            if raw.say(&many).is_err() {
                return true;
            }
        }
        false
    });
    others_are_served(&node);
    assert!(flood.join().unwrap(), "the flood was taken");
}

#[test]
fn frames_that_break_the_protocol_end_the_socket() {
    let node = pair();
    let unmasked = [&[0x81, 2][..], b"{}"].concat();
    let reserved = frame(0xf1, b"{}");
    let unknown = frame(0x83, b"{}");
    let long_ping = frame(PING, &[0; 126]);
    let lone = frame(CONTINUES_AND_ENDS, b"{}");
    let not_utf8 = frame(TEXT, &[0xff, 0xfe]);
    for bad in [unmasked, reserved, unknown, long_ping, lone, not_utf8] {
        let mut raw = Raw::joined(node.address, "cyd");
        raw.say(&bad).unwrap();
        assert_eq!(raw.close_code(), 4203, "{bad:?}");
        raw.finish_writing();
        raw.rest();
    }
    others_are_served(&node);
}

#[test]
fn clients_that_leave_in_the_middle_of_a_hello_leave_nothing_behind() {
    let node = pair();
    let whole = frame(TEXT, hello("bob").as_bytes());
    for round in 0..200 {
        let mut raw = Raw::connect(node.address);
        match round % 4 {
            // In the handshake, after it, in the hello, after it.
            0 => raw.say(&handshake("").as_bytes()[..40]).unwrap(),
            1 => raw.say(handshake("").as_bytes()).unwrap(),
            2 => {
                raw.say(handshake("").as_bytes()).unwrap();
                raw.say(&whole[..20]).unwrap();
            }
            _ => {
                raw.say(handshake("").as_bytes()).unwrap();
                raw.say(&whole).unwrap();
            }
        }
    }
    // Fifty of those said who they were, which are more sessions than bob may have; all are
    // Detached or never began, so the newest makes room.
    for _ in 0..100 {
        let mut bob = node.open();
        bob.say(&hello("bob"));
        match bob.client().next(PATIENCE).unwrap() {
            Some(text) if text.text().starts_with(r#"{"t":"welcome""#) => return,
            Some(_) => {}
            None => panic!("no answer"),
        }
    }
    panic!("bob is locked out by those who left");
}

#[test]
fn a_client_that_floods_is_cut_off_and_nobody_else_notices() {
    let node = Setup::new().follows("ada", "bob").set(|s| s.shards = Some("1".into())).start();
    let mut raw = Raw::joined(node.address, "cyd");
    let many = frame(TEXT, br#"{"t":"u","s":"coding"}"#).repeat(1_000);
    let flood = std::thread::spawn(move || {
        for _ in 0..5_000 {
            if raw.say(&many).is_err() {
                return true;
            }
        }
        false
    });
    others_are_served(&node);
    assert!(flood.join().unwrap(), "the flood was taken");
}

#[test]
fn a_flood_without_any_limit_still_lets_others_have_their_turn() {
    let node =
        unlimited(Setup::new().follows("ada", "bob")).set(|s| s.shards = Some("1".into())).start();
    let mut raw = Raw::joined(node.address, "cyd");
    let many = frame(TEXT, br#"{"t":"hb"}"#).repeat(1_000);
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let flood = std::thread::spawn(move || {
        while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
            raw.say(&many).unwrap();
        }
    });
    others_are_served(&node);
    drop(stop);
    flood.join().unwrap();
}

#[test]
fn garbage_instead_of_http_is_refused_and_forgotten() {
    let node = pair();
    for garbage in
        [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], b"SSH-2.0-x\r\n\r\n", &[0; 100]]
    {
        let mut raw = Raw::connect(node.address);
        raw.say(garbage).unwrap();
        let answer = raw.rest();
        let is_refusal = answer.is_empty() || answer.starts_with(b"HTTP/1.1 400 ");
        assert!(is_refusal, "{}", String::from_utf8_lossy(&answer));
    }
    others_are_served(&node);
}

#[test]
fn many_slow_handshakes_let_others_in() {
    let node = pair();
    let mut slow: Vec<Raw> = (0..300).map(|_| Raw::connect(node.address)).collect();
    for raw in &mut slow {
        raw.say(b"GET /ws HTTP/1.1\r\nHost: x\r\nX-A: b").unwrap();
    }
    others_are_served(&node);
    // None of them lives on by sending a byte now and then.
    for _ in 0..40 {
        slow.retain_mut(|raw| raw.say(b"c").is_ok() && !raw.ends_within(Duration::from_millis(1)));
        if slow.is_empty() {
            return;
        }
    }
    panic!("{} slow handshakes are still there", slow.len());
}

#[test]
fn what_comes_in_one_breath_with_the_handshake_is_read() {
    let node = pair();
    let mut ada = node.join("ada");
    let mut raw = Raw::connect(node.address);
    let mut all = handshake("").into_bytes();
    all.extend(frame(TEXT, hello("bob").as_bytes()));
    for number in 0..20 {
        all.extend(frame(TEXT, format!(r#"{{"t":"u","p":"p{number}"}}"#).as_bytes()));
    }
    // The last frame is not whole yet.
    let last = frame(TEXT, br#"{"t":"u","p":"the last"}"#);
    all.extend(&last[..12]);
    raw.say(&all).unwrap();
    assert!(raw.head().starts_with("HTTP/1.1 101 "));
    while !ada.hear().contains(r#""p":"p19""#) {}
    raw.say(&last[12..]).unwrap();
    ada.hears(r#"{"t":"u","id":"dev_bob","p":"the last"}"#);
}

#[test]
fn above_so_many_handshakes_at_once_the_others_are_told_to_come_later() {
    let node = pair();
    let mut slow: Vec<Raw> = (0..1_024).map(|_| Raw::connect(node.address)).collect();
    for raw in &mut slow {
        raw.say(b"GET /ws HTTP/1.1\r\n").unwrap();
    }
    // The node may not have seen all of them yet: a few more are accepted until it has.
    let mut refusal = String::new();
    for _ in 0..100 {
        let mut one_more = Raw::connect(node.address);
        one_more.say(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        refusal = one_more.head().to_ascii_lowercase();
        if !refusal.starts_with("http/1.1 200 ") {
            break;
        }
    }
    assert!(refusal.starts_with("http/1.1 503 "), "{refusal}");
    assert!(refusal.contains("\r\nretry-after: 1\r\n"), "{refusal}");
    drop(slow);
    others_get_in_again(&node);
}

/// Until the node has seen that the others hung up, it still says 503.
fn others_get_in_again(node: &TestNode) {
    for _ in 0..1_000 {
        if http(node.address, "GET", "/readyz").starts_with("HTTP/1.1 200 ") {
            return others_are_served(node);
        }
    }
    panic!("nobody gets in any more");
}

#[test]
fn a_node_listens_on_ipv6_as_well() {
    let node =
        Setup::new().follows("ada", "bob").set(|s| s.listen = Some("[::1]:0".into())).start();
    assert!(node.address.is_ipv6());
    others_are_served(&node);
}
