//! What watchers may see, live: hiding looks exactly like leaving.

use crate::harness::{Peer, Setup, TestNode};

fn pair() -> TestNode {
    Setup::new().follows("ada", "bob").start()
}

#[test]
fn going_invisible_is_seen_as_leaving_and_nothing_after_it() {
    let node = pair();
    let mut ada = node.join("ada");
    let mut bob = node.join_with("bob", r#""s":"coding","p":"vscode""#);
    ada.hears(r#"{"t":"u","id":"dev_bob","s":"coding","p":"vscode"}"#);
    bob.ask(r#""do":"prefs","visibility":"invisible""#);
    ada.sees_leave("dev_bob");
    bob.say(r#"{"t":"u","s":"debugging"}"#);
    bob.hears(r#"{"t":"u","id":"dev_bob","s":"debugging","p":"vscode","l":""}"#);
    let second = node.join("bob");
    second.close(1000);
    let hidden = node.join("ada");
    assert!(hidden.sync.contains(r#"{"id":"dev_bob","name":"bob","r":1,"x":"#), "{}", hidden.sync);
    bob.ask(r#""do":"prefs","visibility":"everyone""#);
    ada.hears(r#"{"t":"u","id":"dev_bob","s":"debugging","p":"vscode"}"#);
    // Who hides and then leaves is not seen to leave again.
    bob.ask(r#""do":"prefs","visibility":"invisible""#);
    ada.sees_leave("dev_bob");
    bob.close(1000);
    let mut bob = node.join("bob");
    bob.ask(r#""do":"prefs","visibility":"everyone""#);
    ada.hears(r#"{"t":"u","id":"dev_bob","s":"online"}"#);
}

/// What ada hears once bob is online and does this, and what she is told when she comes back;
/// without the moments in it.
fn observed(hide: impl FnOnce(Peer)) -> [String; 2] {
    let node = Setup::new().connected("ada", "bob").start();
    let mut ada = node.join("ada");
    let bob = node.join_with("bob", r#""s":"coding","p":"vscode""#);
    ada.hears(r#"{"t":"u","id":"dev_bob","s":"coding","p":"vscode"}"#);
    hide(bob);
    let heard = ada.hear();
    let token = ada.token.clone();
    ada.cut();
    let again = node.resume(&token, None);
    [without_moments(&heard), without_moments(&again.sync)]
}

fn without_moments(text: &str) -> String {
    let mut left = text.to_owned();
    for key in [r#""at":"#, r#""x":"#] {
        if let Some((before, after)) = left.split_once(key) {
            left =
                format!("{before}{key}{}", after.trim_start_matches(|c: char| c.is_ascii_digit()));
        }
    }
    left
}

#[test]
fn invisible_blocked_narrowed_and_gone_are_the_same_bytes() {
    let gone = observed(|bob| bob.close(1000));
    assert_eq!(gone[0], r#"{"t":"x","id":"dev_bob","at":}"#);
    let invisible = observed(|mut bob| {
        bob.ask(r#""do":"prefs","visibility":"invisible""#);
        bob.say(r#"{"t":"u","s":"debugging"}"#);
        bob.hear();
    });
    let blocked = observed(|mut bob| bob.does(r#""do":"block","id":"dev_ada""#));
    let narrowed = observed(|mut bob| {
        bob.ask(r#""do":"prefs","visibility":"close-friends""#);
    });
    for (name, world) in [("invisible", invisible), ("blocked", blocked), ("narrowed", narrowed)] {
        assert_eq!(world, gone, "{name}");
    }
}

#[test]
fn fields_are_shown_only_to_whom_they_are_meant_for() {
    let node = pair();
    let mut ada = node.join("ada");
    let mut bob = node.join_with("bob", r#""s":"coding","p":"vscode","l":"rust""#);
    ada.hears(r#"{"t":"u","id":"dev_bob","s":"coding","p":"vscode","l":"rust"}"#);
    bob.ask(r#""do":"prefs","project":"following""#);
    ada.hears(r#"{"t":"u","id":"dev_bob","p":""}"#);
    bob.ask(r#""do":"prefs","activity":"close-friends""#);
    ada.hears(r#"{"t":"u","id":"dev_bob","s":"online"}"#);
    bob.ask(r#""do":"prefs","language":"invisible""#);
    ada.hears(r#"{"t":"u","id":"dev_bob","l":""}"#);
    bob.say(r#"{"t":"u","s":"debugging","p":"secret","l":"go"}"#);
    bob.hears(r#"{"t":"u","id":"dev_bob","s":"debugging","p":"secret","l":"go"}"#);
    let again = node.join("ada");
    assert!(again.sync.contains(r#"{"id":"dev_bob","name":"bob","r":1,"s":"online"}"#));
    bob.ask(r#""do":"prefs","activity":"followers","project":"followers","language":"followers""#);
    ada.hears(r#"{"t":"u","id":"dev_bob","s":"debugging","p":"secret","l":"go"}"#);
}

#[test]
fn a_hidden_project_never_leaves_the_server() {
    let node = pair();
    let mut ada = node.join("ada");
    let mut bob = node.join_with("bob", r#""s":"coding","p":"acme-rocket""#);
    ada.hears(r#"{"t":"u","id":"dev_bob","s":"coding","p":"acme-rocket"}"#);
    bob.ask(r#""do":"prefs","hidden_projects":["acme-*"]"#);
    ada.hears(r#"{"t":"u","id":"dev_bob","p":""}"#);
    bob.say(r#"{"t":"u","p":"acme-engine"}"#);
    bob.say(r#"{"t":"u","p":"garden"}"#);
    ada.hears(r#"{"t":"u","id":"dev_bob","p":"garden"}"#);
}

#[test]
fn narrower_visibility_lets_only_those_see_who_pass() {
    // Cyd is followed by bob; ada only follows him.
    let node = Setup::new()
        .follows("ada", "bob")
        .follows("bob", "cyd")
        .follows("cyd", "bob")
        .connected("dan", "bob")
        .start();
    let mut peers: Vec<Peer> = ["ada", "cyd", "dan"].map(|name| node.join(name)).into();
    let mut bob = node.join_with("bob", r#""s":"coding""#);
    for peer in &mut peers {
        peer.hears(r#"{"t":"u","id":"dev_bob","s":"coding"}"#);
    }
    bob.ask(r#""do":"prefs","visibility":"following""#);
    peers[0].sees_leave("dev_bob");
    bob.say(r#"{"t":"u","s":"debugging"}"#);
    for peer in &mut peers[1..] {
        peer.hears(r#"{"t":"u","id":"dev_bob","s":"debugging"}"#);
    }
    bob.ask(r#""do":"prefs","visibility":"everyone""#);
    peers[0].hears(r#"{"t":"u","id":"dev_bob","s":"debugging"}"#);
    bob.ask(r#""do":"prefs","visibility":"followers""#);
    bob.say(r#"{"t":"u","s":"reading"}"#);
    for peer in &mut peers {
        peer.hears(r#"{"t":"u","id":"dev_bob","s":"reading"}"#);
    }
}
