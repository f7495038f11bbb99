//! The life of a session as its client and its watchers see it.

use std::sync::{Arc, Barrier};

use protocol::message::ServerMessage;
use protocol::token;

use crate::harness::{Peer, Setup, TestNode, error_code, message};

/// A node where ada follows bob, with a short time to come back.
fn pair(window: &str) -> TestNode {
    Setup::new().follows("ada", "bob").set(|s| s.resume_window = Some(window.into())).start()
}

/// Everyone hears of this report, and of nothing before it.
#[track_caller]
fn only_hears_a_later_report(watcher: &mut Peer, reporter: &mut Peer, status: &str) {
    reporter.say(&format!(r#"{{"t":"u","s":"{status}"}}"#));
    let heard = watcher.hear();
    let expected = format!(r#"{{"t":"u","id":"dev_bob","s":"{status}"}}"#);
    assert_eq!(heard, expected, "nothing else was to be heard before");
}

#[test]
fn a_login_is_welcomed_and_told_of_oneself_and_the_watch_list() {
    let node =
        Setup::new().follows("ada", "bob").follows("ada", "cyd").follows("eve", "ada").start();
    let _bob = node.join_with("bob", r#""s":"coding","p":"vscode","l":"rust""#);
    let mut ada = node.open();
    ada.say(r#"{"t":"hello","as":"dev","token":"ada","s":"reading"}"#);
    let text = ada.hear();
    let ServerMessage::Welcome(welcome) = message(&text) else { panic!("{text}") };
    assert_eq!((&*welcome.id, &*welcome.name), ("dev_ada", "ada"));
    assert!(!welcome.resumed);
    let seconds = (welcome.heartbeat_secs, welcome.ping_secs, welcome.window_secs);
    assert_eq!(seconds, (10, 300, 60));
    assert_eq!(welcome.session.len(), 32);
    assert!(token::parse_resume(&welcome.resume).is_some());
    let oneself = r#"{"id":"dev_ada","name":"ada","r":0,"s":"reading"}"#;
    let cyd = r#"{"id":"dev_cyd","name":"cyd","r":1}"#;
    let bob = r#"{"id":"dev_bob","name":"bob","r":1,"s":"coding","p":"vscode","l":"rust"}"#;
    ada.hears(&format!(r#"{{"t":"sync","users":[{oneself},{cyd},{bob}]}}"#));
}

#[test]
fn a_report_comes_to_watchers_with_only_what_changed_and_to_oneself_in_full() {
    let node = pair("60s");
    let mut ada = node.join("ada");
    let mut bob = node.join("bob");
    ada.hears(r#"{"t":"u","id":"dev_bob","s":"online"}"#);
    bob.say(r#"{"t":"u","s":"coding","p":"vscode"}"#);
    ada.hears(r#"{"t":"u","id":"dev_bob","s":"coding","p":"vscode"}"#);
    bob.hears(r#"{"t":"u","id":"dev_bob","s":"coding","p":"vscode","l":""}"#);
    bob.say(r#"{"t":"u","s":"coding","l":"rust"}"#);
    ada.hears(r#"{"t":"u","id":"dev_bob","l":"rust"}"#);
    bob.hears(r#"{"t":"u","id":"dev_bob","s":"coding","p":"vscode","l":"rust"}"#);
    bob.say(r#"{"t":"u","p":""}"#);
    ada.hears(r#"{"t":"u","id":"dev_bob","p":""}"#);
}

#[test]
fn a_second_window_that_changes_nothing_costs_no_message() {
    let node = pair("60s");
    let mut ada = node.join("ada");
    let mut bob = node.join_with("bob", r#""s":"coding""#);
    ada.hears(r#"{"t":"u","id":"dev_bob","s":"coding"}"#);
    let second = node.join("bob");
    let third = node.join_with("bob", r#""s":"idle","p":"elsewhere""#);
    second.close(1000);
    third.close(1000);
    only_hears_a_later_report(&mut ada, &mut bob, "debugging");
    bob.hears(r#"{"t":"u","id":"dev_bob","s":"debugging","p":"","l":""}"#);
}

#[test]
fn the_busiest_window_is_shown_and_the_next_one_when_it_leaves() {
    let node = pair("60s");
    let mut ada = node.join("ada");
    let _reading = node.join_with("bob", r#""s":"reading","p":"book""#);
    ada.hears(r#"{"t":"u","id":"dev_bob","s":"reading","p":"book"}"#);
    let coding = node.join_with("bob", r#""s":"Coding""#);
    ada.hears(r#"{"t":"u","id":"dev_bob","s":"Coding","p":""}"#);
    coding.close(1000);
    ada.hears(r#"{"t":"u","id":"dev_bob","s":"reading","p":"book"}"#);
}

#[test]
fn a_bye_and_a_close_with_1000_end_the_session_at_once() {
    let node = pair("60s");
    let mut ada = node.join("ada");
    let mut bob = node.join("bob");
    ada.hears(r#"{"t":"u","id":"dev_bob","s":"online"}"#);
    bob.say(r#"{"t":"bye"}"#);
    ada.sees_leave("dev_bob");
    bob.is_closed_with(1000);
    let bob = node.join("bob");
    ada.hears(r#"{"t":"u","id":"dev_bob","s":"online"}"#);
    let token = bob.token.clone();
    bob.close(1000);
    ada.sees_leave("dev_bob");
    refused_resume(&mut node.open(), &token);
}

#[track_caller]
fn refused_resume(peer: &mut Peer, token: &str) {
    peer.say(&format!(r#"{{"t":"hello","resume":"{token}"}}"#));
    let answer = peer.hear();
    assert_eq!(error_code(&answer), "resume_failed", "{answer}");
}

#[test]
fn a_page_that_reloads_in_time_is_never_seen_to_leave() {
    let node = pair("60s");
    let mut ada = node.join("ada");
    let mut bob = node.join("bob");
    ada.hears(r#"{"t":"u","id":"dev_bob","s":"online"}"#);
    bob.say(r#"{"t":"bye","after":5}"#);
    bob.is_closed_with(1000);
    let mut bob = node.resume(&bob.token, None);
    only_hears_a_later_report(&mut ada, &mut bob, "coding");
}

#[test]
fn a_page_that_said_when_it_would_be_back_and_is_not_leaves_then() {
    let node = pair("60s");
    let mut ada = node.join("ada");
    let mut bob = node.join("bob");
    ada.hears(r#"{"t":"u","id":"dev_bob","s":"online"}"#);
    bob.say(r#"{"t":"bye","after":0.3}"#);
    bob.is_closed_with(1000);
    ada.sees_leave("dev_bob");
    refused_resume(&mut node.open(), &bob.token);
}

#[test]
fn a_cut_socket_and_a_close_with_1001_are_drops_that_nobody_hears_of() {
    let node = pair("60s");
    let mut ada = node.join("ada");
    let mut bob = node.join("bob");
    ada.hears(r#"{"t":"u","id":"dev_bob","s":"online"}"#);
    let session = bob.session.clone();
    for round in 0..3 {
        let token = bob.token.clone();
        match round {
            0 => bob.cut(),
            1 => bob.close(1001),
            _ => bob.close(3000),
        }
        bob = node.resume(&token, None);
        assert_eq!(bob.session, session, "the same session over all its reconnects");
    }
    only_hears_a_later_report(&mut ada, &mut bob, "coding");
}

#[test]
fn what_was_reported_just_before_a_drop_is_not_lost() {
    let node = pair("60s");
    let mut ada = node.join("ada");
    let mut bob = node.join("bob");
    ada.hears(r#"{"t":"u","id":"dev_bob","s":"online"}"#);
    // More than the rate of reports lets pass: the last ones are merged and wait.
    for number in 0..9 {
        bob.say(&format!(r#"{{"t":"u","p":"p{number}"}}"#));
    }
    bob.cut();
    while !ada.hear().contains(r#""p":"p8""#) {}
}

#[test]
fn who_resumes_is_told_only_of_whom_changed_since_the_cursor() {
    let node = Setup::new()
        .follows("ada", "bob")
        .follows("ada", "cyd")
        .follows("ada", "eve")
        .set(|s| s.ping_interval = Some("1s".into()))
        .start();
    let mut bob = node.join_with("bob", r#""s":"coding""#);
    let _cyd = node.join_with("cyd", r#""s":"coding""#);
    let mut ada = node.join("ada");
    // A cursor stays ten seconds behind; this one is moved up to its ping.
    let mut cursor = token::parse_cursor(&ada.pinged()).unwrap();
    cursor.at = cursor.at + presence::shard::CURSOR_OVERLAP;
    let cursor = token::format_cursor(&cursor);
    let token = ada.token.clone();
    ada.cut();
    bob.say(r#"{"t":"u","s":"debugging"}"#);
    bob.hears(r#"{"t":"u","id":"dev_bob","s":"debugging","p":"","l":""}"#);
    let ada = node.resume(&token, Some(&cursor));
    let oneself = r#"{"id":"dev_ada","name":"ada","r":0,"s":"online"}"#;
    let bob_now = r#"{"id":"dev_bob","name":"bob","r":1,"s":"debugging"}"#;
    assert_eq!(ada.sync, format!(r#"{{"t":"sync","part":true,"users":[{oneself},{bob_now}]}}"#));
    // As it comes the cursor tells more than needed, never less.
    let token = ada.token.clone();
    ada.cut();
    let ada = node.resume(&token, Some("nonsense"));
    assert!(ada.sync.starts_with(r#"{"t":"sync","users":["#), "a full one: {}", ada.sync);
    for user in ["dev_ada", "dev_bob", "dev_cyd", "dev_eve"] {
        assert!(ada.sync.contains(user), "{user}: {}", ada.sync);
    }
}

#[test]
fn a_session_that_stays_away_ends_once_when_its_time_is_over() {
    let node = pair("1s");
    let mut ada = node.join("ada");
    let bob = node.join("bob");
    ada.hears(r#"{"t":"u","id":"dev_bob","s":"online"}"#);
    let token = bob.token.clone();
    bob.cut();
    ada.sees_leave("dev_bob");
    let mut late = node.open();
    refused_resume(&mut late, &token);
    // The same socket may log in instead, and only that is heard.
    late.log_in("bob", "");
    ada.hears(r#"{"t":"u","id":"dev_bob","s":"online"}"#);
    only_hears_a_later_report(&mut ada, &mut late, "coding");
}

#[test]
fn a_wrong_token_fails_and_a_hello_with_both_falls_through_to_the_login() {
    let node = pair("60s");
    let bob = node.join("bob");
    let good = token::parse_resume(&bob.token).unwrap();
    let mut wrong = good.clone();
    wrong.secret[0] ^= 1;
    let mut nobody = good.clone();
    nobody.session.0[0] ^= 1;
    let mut peer = node.open();
    for bad in [&token::format_resume(&wrong), &token::format_resume(&nobody), "garbage", ""] {
        refused_resume(&mut peer, bad);
    }
    peer.say(r#"{"t":"hello","resume":"garbage","as":"dev","token":"cyd"}"#);
    let answer = peer.hear();
    assert_eq!(error_code(&answer), "resume_failed", "{answer}");
    peer.welcomed();
    assert!(!peer.resumed && peer.session != bob.session);
    // The real session was not touched by any of it.
    let token = bob.token.clone();
    bob.cut();
    node.resume(&token, None);
}

#[test]
fn the_token_before_is_good_until_the_first_frame_on_the_new_socket() {
    let node = pair("60s");
    let bob = node.join("bob");
    let first = bob.token.clone();
    bob.cut();
    // Welcomed, but the welcome may have been lost on its way: the old token has to do again.
    let lost = node.resume(&first, None);
    lost.cut();
    let mut bob = node.resume(&first, None);
    let second = bob.token.clone();
    bob.does(r#""do":"manual","s":"""#);
    bob.cut();
    let mut peer = node.open();
    refused_resume(&mut peer, &first);
    node.resume(&second, None);
}

#[test]
fn a_newer_socket_replaces_the_older_one() {
    let node = pair("60s");
    let mut ada = node.join("ada");
    let mut bob = node.join("bob");
    ada.hears(r#"{"t":"u","id":"dev_bob","s":"online"}"#);
    let mut newer = node.resume(&bob.token, None);
    bob.is_closed_with(4201);
    only_hears_a_later_report(&mut ada, &mut newer, "coding");
}

#[test]
fn of_a_hundred_sockets_with_one_token_exactly_one_stays() {
    let node = pair("60s");
    let mut ada = node.join("ada");
    let bob = node.join("bob");
    ada.hears(r#"{"t":"u","id":"dev_bob","s":"online"}"#);
    let hello = format!(r#"{{"t":"hello","resume":"{}"}}"#, bob.token);
    bob.cut();
    let start = Arc::new(Barrier::new(4));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let mut peers: Vec<Peer> = (0..25).map(|_| node.open_deaf()).collect();
            let (start, hello) = (Arc::clone(&start), hello.clone());
            std::thread::spawn(move || {
                start.wait();
                peers.iter_mut().for_each(|peer| peer.say(&hello));
                peers
            })
        })
        .collect();
    let peers: Vec<Peer> = threads.into_iter().flat_map(|t| t.join().unwrap()).collect();
    let mut bound = Vec::new();
    for mut peer in peers {
        // Refused, replaced before the welcome, or welcomed and then perhaps replaced.
        match peer.client().next(crate::harness::PATIENCE) {
            Err(error) => assert_eq!(error.close_code(), Some(4201), "{error}"),
            Ok(Some(first)) => match first.message() {
                ServerMessage::Error { code, .. } => assert_eq!(code.name(), "resume_failed"),
                ServerMessage::Welcome(welcome) => {
                    assert!(welcome.resumed);
                    bound.push(peer);
                }
                _ => panic!("{}", first.text()),
            },
            Ok(None) => panic!("no answer"),
        }
    }
    assert!(!bound.is_empty(), "one was let in");
    let mut left = Vec::new();
    for mut peer in bound {
        let asked = peer.try_say(r#"{"t":"req","n":1,"do":"sessions"}"#);
        loop {
            match peer.client().next(crate::harness::PATIENCE) {
                Ok(Some(text)) if text.text().starts_with(r#"{"t":"res""#) => {
                    left.push(peer);
                    break;
                }
                Ok(Some(_)) => {}
                Ok(None) => panic!("no answer"),
                Err(error) => {
                    let is_replaced = error.close_code() == Some(4201);
                    assert!(is_replaced || asked.is_err(), "{error}");
                    break;
                }
            }
        }
    }
    assert_eq!(left.len(), 1, "exactly one stays bound");
    only_hears_a_later_report(&mut ada, &mut left[0], "coding");
}

#[test]
fn a_client_that_answers_no_ping_is_closed_and_leaves_once() {
    let node =
        Setup::new().follows("ada", "bob").set(|s| s.ping_interval = Some("1s".into())).start();
    let mut ada = node.join("ada");
    let mut deaf = node.open_deaf();
    deaf.log_in("bob", "");
    ada.hears(r#"{"t":"u","id":"dev_bob","s":"online"}"#);
    // Ada first, who has to answer her own pings meanwhile.
    ada.sees_leave("dev_bob");
    deaf.is_closed_with(4100);
    refused_resume(&mut node.open(), &deaf.token);
    let mut bob = node.join("bob");
    ada.hears(r#"{"t":"u","id":"dev_bob","s":"online"}"#);
    only_hears_a_later_report(&mut ada, &mut bob, "coding");
}

#[test]
fn any_frame_is_a_sign_of_life() {
    let node =
        Setup::new().follows("ada", "bob").set(|s| s.ping_interval = Some("1s".into())).start();
    let mut bob = node.open_deaf();
    bob.log_in("bob", "");
    // At the third ping without any frame it would be given up.
    for _ in 0..3 {
        bob.pinged();
        bob.say(r#"{"t":"hb"}"#);
    }
    bob.does(r#""do":"manual","s":"""#);
}

#[test]
fn the_twenty_first_session_ends_the_oldest_detached_one_or_is_refused() {
    let node = pair("60s");
    let mut sessions: Vec<Peer> = (0..20).map(|_| node.join("bob")).collect();
    let mut refused = node.open();
    refused.say(r#"{"t":"hello","as":"dev","token":"bob"}"#);
    let said = refused.is_closed_with(4200);
    assert_eq!(error_code(&said[0]), "too_many_sessions");
    // Cut in this order, the older session last: the oldest by age makes room.
    let younger = sessions.remove(7);
    let older = sessions.remove(3);
    let (younger_token, older_token) = (younger.token.clone(), older.token.clone());
    younger.cut();
    older.cut();
    let _newcomer = joined_in_the_end(&node);
    refused_resume(&mut node.open(), &older_token);
    node.resume(&younger_token, None);
}

/// Bob's next session. That the sockets before were cut may not have been seen yet.
fn joined_in_the_end(node: &TestNode) -> Peer {
    for _ in 0..100 {
        let mut peer = node.open();
        peer.say(r#"{"t":"hello","as":"dev","token":"bob"}"#);
        match peer.client().next(crate::harness::PATIENCE).unwrap() {
            Some(first) if first.text().starts_with(r#"{"t":"welcome""#) => return peer,
            Some(_) => {}
            None => panic!("no answer"),
        }
    }
    panic!("a detached session was to make room");
}

#[test]
fn what_is_said_before_the_welcome_is_not_lost() {
    let node = pair("60s");
    let mut ada = node.join("ada");
    let mut bob = node.open();
    bob.say(r#"{"t":"hello","as":"dev","token":"bob","s":"reading"}"#);
    bob.say(r#"{"t":"u","p":"early"}"#);
    bob.say(r#"{"t":"u","l":"rust"}"#);
    bob.welcomed();
    while !ada.hear().contains(r#""l":"rust""#) {}
    let again = node.join("ada");
    let row = r#"{"id":"dev_bob","name":"bob","r":1,"s":"reading","p":"early","l":"rust"}"#;
    assert!(again.sync.contains(row), "{}", again.sync);
    // A report may come with a resume too, and is all that anyone hears of it.
    let token = bob.token.clone();
    bob.cut();
    let mut back = node.open();
    back.say(&format!(r#"{{"t":"hello","resume":"{token}","s":"debugging"}}"#));
    back.welcomed();
    assert!(back.resumed);
    while !ada.hear().contains(r#""s":"debugging""#) {}
    only_hears_a_later_report(&mut ada, &mut back, "coding");
}

#[test]
fn who_leaves_before_the_welcome_leaves_no_ghost() {
    let node = pair("1s");
    let mut ada = node.join("ada");
    for farewell in [Some(r#"{"t":"bye"}"#), None] {
        let mut bob = node.open();
        bob.say(r#"{"t":"hello","as":"dev","token":"bob"}"#);
        if let Some(farewell) = farewell {
            bob.say(farewell);
        }
        bob.cut();
    }
    // He may have been seen or not; in the end he is gone, and comes as anyone does.
    let mut bob = node.join_with("bob", r#""s":"coding""#);
    while !ada.hear().contains(r#""s":"coding""#) {}
    bob.say(r#"{"t":"bye"}"#);
    ada.sees_leave("dev_bob");
    let fresh = node.join("ada");
    assert!(fresh.sync.contains(r#"{"id":"dev_bob","name":"bob","r":1,"x":"#), "{}", fresh.sync);
}

#[test]
fn sockets_that_vanish_while_they_resume_take_nothing_with_them() {
    let node = pair("60s");
    let mut ada = node.join("ada");
    let bob = node.join("bob");
    ada.hears(r#"{"t":"u","id":"dev_bob","s":"online"}"#);
    let token = bob.token.clone();
    bob.cut();
    for _ in 0..30 {
        let mut gone = node.open_deaf();
        gone.say(&format!(r#"{{"t":"hello","resume":"{token}"}}"#));
        gone.cut();
    }
    let mut bob = node.resume(&token, None);
    only_hears_a_later_report(&mut ada, &mut bob, "coding");
}

#[test]
fn sockets_that_vanish_while_they_resume_do_not_keep_the_session_alive() {
    let node = pair("1s");
    let mut ada = node.join("ada");
    let bob = node.join("bob");
    ada.hears(r#"{"t":"u","id":"dev_bob","s":"online"}"#);
    let token = bob.token.clone();
    bob.cut();
    for _ in 0..30 {
        let mut gone = node.open_deaf();
        gone.say(&format!(r#"{{"t":"hello","resume":"{token}"}}"#));
        gone.cut();
    }
    ada.sees_leave("dev_bob");
    let mut bob = node.join("bob");
    ada.hears(r#"{"t":"u","id":"dev_bob","s":"online"}"#);
    only_hears_a_later_report(&mut ada, &mut bob, "coding");
}

#[test]
fn a_cursor_of_another_epoch_or_from_long_ago_gets_everything() {
    let node =
        Setup::new().follows("ada", "bob").set(|s| s.ping_interval = Some("1s".into())).start();
    let mut ada = node.join("ada");
    let good = token::parse_cursor(&ada.pinged()).unwrap();
    let mut token = ada.token.clone();
    ada.cut();
    let (mut other_epoch, mut other_relations, mut old) = (good, good, good);
    other_epoch.epoch.0 += 1;
    other_relations.relations.0 += 1;
    old.at = old.at - std::time::Duration::from_secs(601);
    let cursors = [(good, true), (other_epoch, false), (other_relations, false), (old, false)];
    for (cursor, is_part) in cursors {
        let ada = node.resume(&token, Some(&token::format_cursor(&cursor)));
        assert_eq!(ada.sync.contains(r#""part":true"#), is_part, "{cursor:?}: {}", ada.sync);
        assert_eq!(ada.sync.contains("dev_bob"), !is_part, "{cursor:?}: {}", ada.sync);
        token = ada.token.clone();
        ada.cut();
    }
}
