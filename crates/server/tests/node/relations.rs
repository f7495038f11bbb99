//! Pins, blocks and connections that change while people are connected: who hears what.

use directory::Directory;
use presence::ids::UserId;
use presence::relation::Relation;
use presence::time::Timestamp;
use presence::view::PerClass;

use crate::harness::{Peer, Setup, TestNode};

fn connected() -> TestNode {
    Setup::new().connected("ada", "bob").start()
}

/// That nothing else came before: a report of bob's is the next thing ada hears.
#[track_caller]
fn hears_next(ada: &mut Peer, bob: &mut Peer, word: &str) {
    bob.say(&format!(r#"{{"t":"u","s":"{word}"}}"#));
    ada.hears(&format!(r#"{{"t":"u","id":"dev_bob","s":"{word}"}}"#));
}

#[test]
fn a_pin_shows_to_who_pins_in_all_windows_and_never_to_the_pinned() {
    let node = connected();
    let mut ada = node.join("ada");
    let mut bob = node.join("bob");
    ada.hears(r#"{"t":"u","id":"dev_bob","s":"online"}"#);
    let mut window = node.join("bob");
    bob.does(r#""do":"pin","id":"dev_ada""#);
    bob.hears(r#"{"t":"u","id":"dev_ada","r":12,"s":"online","p":"","l":""}"#);
    window.hears(r#"{"t":"u","id":"dev_ada","r":12,"s":"online","p":"","l":""}"#);
    // Twice changes nothing.
    bob.does(r#""do":"pin","id":"dev_ada""#);
    bob.does(r#""do":"unpin","id":"dev_ada""#);
    bob.hears(r#"{"t":"u","id":"dev_ada","r":4,"s":"online","p":"","l":""}"#);
    bob.does(r#""do":"unpin","id":"dev_ada""#);
    hears_next(&mut ada, &mut bob, "coding");
    bob.hears(r#"{"t":"u","id":"dev_bob","s":"coding","p":"","l":""}"#);
}

#[test]
fn close_friends_see_from_the_pin_on_and_no_longer_than_it() {
    let node = connected();
    let mut ada = node.join("ada");
    let mut bob = node.join_with("bob", r#""s":"coding""#);
    ada.hears(r#"{"t":"u","id":"dev_bob","s":"coding"}"#);
    bob.ask(r#""do":"prefs","visibility":"close-friends""#);
    ada.sees_leave("dev_bob");
    bob.does(r#""do":"pin","id":"dev_ada""#);
    ada.hears(r#"{"t":"u","id":"dev_bob","s":"coding","p":"","l":""}"#);
    bob.does(r#""do":"unpin","id":"dev_ada""#);
    ada.sees_leave("dev_bob");
}

#[test]
fn a_block_looks_like_leaving_to_the_blocked_and_takes_them_off_the_list_of_the_blocker() {
    let node = connected();
    let mut ada = node.join("ada");
    let mut bob = node.join_with("bob", r#""s":"coding""#);
    ada.hears(r#"{"t":"u","id":"dev_bob","s":"coding"}"#);
    bob.does(r#""do":"block","id":"dev_ada""#);
    ada.sees_leave("dev_bob");
    bob.hears(r#"{"t":"x","id":"dev_ada","gone":true}"#);
    // Whatever either does now, the other hears nothing of it.
    bob.say(r#"{"t":"u","s":"debugging"}"#);
    bob.hears(r#"{"t":"u","id":"dev_bob","s":"debugging","p":"","l":""}"#);
    ada.say(r#"{"t":"u","s":"reading"}"#);
    ada.hears(r#"{"t":"u","id":"dev_ada","s":"reading","p":"","l":""}"#);
    let again = node.join("ada");
    let row = r#"{"id":"dev_bob","name":"bob","r":4,"x":"#;
    assert!(again.sync.contains(row), "the row stays, frozen: {}", again.sync);
    let blocker = node.join("bob");
    assert!(!blocker.sync.contains("dev_ada"), "{}", blocker.sync);
    drop(blocker);
    bob.does(r#""do":"unblock","id":"dev_ada""#);
    bob.hears(r#"{"t":"u","id":"dev_ada","name":"ada","r":4,"s":"reading","p":"","l":""}"#);
    ada.hears(r#"{"t":"u","id":"dev_bob","s":"debugging","p":"","l":""}"#);
}

#[test]
fn removing_a_connection_is_seen_by_both() {
    let node = connected();
    let mut ada = node.join("ada");
    let mut bob = node.join("bob");
    ada.hears(r#"{"t":"u","id":"dev_bob","s":"online"}"#);
    bob.does(r#""do":"remove","id":"dev_ada""#);
    bob.hears(r#"{"t":"x","id":"dev_ada","gone":true}"#);
    ada.hears(r#"{"t":"x","id":"dev_bob","gone":true}"#);
    bob.say(r#"{"t":"u","s":"coding"}"#);
    bob.hears(r#"{"t":"u","id":"dev_bob","s":"coding","p":"","l":""}"#);
    let again = node.join("ada");
    assert!(!again.sync.contains("dev_bob"), "{}", again.sync);
    // Ada heard nothing more: the next thing she hears is her own.
    ada.say(r#"{"t":"u","s":"reading"}"#);
    ada.hears(r#"{"t":"u","id":"dev_ada","s":"reading","p":"","l":""}"#);
}

#[test]
fn who_also_follows_keeps_the_row_with_the_new_relation() {
    let node = Setup::new().connected("ada", "bob").follows("ada", "bob").start();
    let mut ada = node.join("ada");
    let mut bob = node.join("bob");
    ada.hears(r#"{"t":"u","id":"dev_bob","s":"online"}"#);
    bob.does(r#""do":"remove","id":"dev_ada""#);
    bob.hears(r#"{"t":"x","id":"dev_ada","gone":true}"#);
    ada.hears(r#"{"t":"u","id":"dev_bob","r":1,"s":"online","p":"","l":""}"#);
    hears_next(&mut ada, &mut bob, "coding");
}

#[test]
fn relations_need_somebody_and_a_tie() {
    let node = Setup::new().follows("ada", "bob").follows("cyd", "eve").start();
    let mut ada = node.join("ada");
    for act in ["pin", "unpin", "block", "unblock", "remove"] {
        ada.is_refused(&format!(r#""do":"{act}","id":"dev_nobody""#), "no_such_user");
        ada.is_refused(&format!(r#""do":"{act}","id":"dev_ada""#), "not_related");
        ada.is_refused(&format!(r#""do":"{act}","id":"a b""#), "bad_message");
    }
    ada.is_refused(r#""do":"pin","id":"dev_cyd""#, "not_related");
    ada.does(r#""do":"block","id":"dev_cyd""#);
}

#[test]
fn changes_made_while_away_come_with_the_resume() {
    let node = Setup::new()
        .connected("ada", "bob")
        .connected("ada", "cyd")
        .set(|s| s.ping_interval = Some("1s".into()))
        .start();
    let mut bob = node.join_with("bob", r#""s":"coding""#);
    let mut ada = node.join("ada");
    bob.hears(r#"{"t":"u","id":"dev_ada","s":"online"}"#);
    let (cursor, token) = (ada.pinged(), ada.token.clone());
    ada.cut();
    bob.does(r#""do":"remove","id":"dev_ada""#);
    bob.hears(r#"{"t":"x","id":"dev_ada","gone":true}"#);
    let ada = node.resume(&token, Some(&cursor));
    assert!(ada.sync.starts_with(r#"{"t":"sync","users":["#), "a full one: {}", ada.sync);
    assert!(ada.sync.contains("dev_cyd") && !ada.sync.contains("dev_bob"), "{}", ada.sync);
}

#[test]
fn followers_are_watched_where_the_setting_says_so() {
    let node =
        Setup::new().follows("ada", "bob").set(|s| s.watch_followers = Some("true".into())).start();
    let mut bob = node.join("bob");
    let ada = node.join_with("ada", r#""s":"coding""#);
    bob.hears(r#"{"t":"u","id":"dev_ada","s":"coding"}"#);
    drop(ada);
    let ada = node.join("ada");
    assert!(ada.sync.contains(r#"{"id":"dev_bob","name":"bob","r":1,"s":"online"}"#));
}

#[test]
fn a_watch_list_is_as_long_as_the_setting_says() {
    let mut setup = Setup::new().set(|s| s.watch_list_max = Some("3".into()));
    for followee in ["b", "c", "d", "e", "f"] {
        setup = setup.follows("ada", followee);
    }
    let node = setup.connected("ada", "bob").start();
    let ada = node.join("ada");
    let listed = ada.sync.matches(r#""name""#).count();
    assert_eq!(listed, 1 + 3, "oneself and three: {}", ada.sync);
    assert!(ada.sync.contains("dev_bob"), "who is connected comes first: {}", ada.sync);
}

#[test]
fn of_someone_long_gone_a_change_of_relation_turns_no_last_seen_back() {
    let dir = tempfile::TempDir::new().unwrap();
    // Not long ago, by the file system's clock.
    let made = dir.path().metadata().unwrap().modified().unwrap();
    let now = made.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let (earlier, later) = (now - 2_000, now - 1_000);
    let mut seen = PerClass::Same(Timestamp::from_secs(earlier));
    let connected = Relation::FOLLOWS.with(Relation::CONNECTED).class();
    seen.set(1 << connected.index(), Timestamp::from_secs(later));
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let file = dir.path().join("data/directory.sqlite");
        let directory = Directory::open(&file).await.unwrap();
        let bob = UserId::parse("dev_bob").unwrap();
        directory.ensure_user(&bob, "bob", "").await.unwrap();
        directory.last_seen(&[(bob, seen)]).await.unwrap();
        directory.close().await;
    });
    let node = Setup::in_folder(dir).connected("ada", "bob").follows("ada", "bob").start();
    let mut ada = node.join("ada");
    assert!(ada.sync.contains(&format!(r#""r":5,"x":{later}"#)), "{}", ada.sync);
    ada.does(r#""do":"remove","id":"dev_bob""#);
    ada.hears(r#"{"t":"u","id":"dev_bob","r":1}"#);
    ada.hears(&format!(r#"{{"t":"x","id":"dev_bob","at":{later}}}"#));
}
