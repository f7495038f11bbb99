//! A node that is told to stop, and the next one over the same folder.

use crate::harness::{Setup, error_code};

fn setup() -> Setup {
    Setup::new().follows("ada", "bob")
}

#[test]
fn a_node_that_stops_tells_its_clients_to_come_back_and_nobody_hears_anything() {
    let node = setup().set(|s| s.ping_interval = Some("1s".into())).start();
    let mut bob = node.join_with("bob", r#""s":"coding""#);
    let mut ada = node.join("ada");
    let cursor = ada.pinged();
    let stopping = node.stopping();
    ada.is_closed_with(1012);
    bob.is_closed_with(1012);
    let node = Setup::in_folder(stopping.join().unwrap()).start();
    let mut ada = node.resume(&ada.token, Some(&cursor));
    let oneself = r#"{"id":"dev_ada","name":"ada","r":0,"s":"online"}"#;
    let bob_now = r#"{"id":"dev_bob","name":"bob","r":1,"s":"coding"}"#;
    assert_eq!(ada.sync, format!(r#"{{"t":"sync","part":true,"users":[{oneself},{bob_now}]}}"#));
    let mut bob = node.resume(&bob.token, None);
    bob.say(r#"{"t":"u","s":"debugging"}"#);
    ada.hears(r#"{"t":"u","id":"dev_bob","s":"debugging"}"#);
}

#[test]
fn who_does_not_come_back_after_a_restart_leaves_once() {
    let node = setup().start();
    let mut bob = node.join_with("bob", r#""s":"coding""#);
    let mut ada = node.join("ada");
    let stopping = node.stopping();
    ada.is_closed_with(1012);
    bob.is_closed_with(1012);
    let window = |s: &mut server::Settings| s.resume_window = Some("2s".into());
    let node = Setup::in_folder(stopping.join().unwrap()).set(window).start();
    let mut ada = node.resume(&ada.token, None);
    assert!(ada.sync.contains(r#""r":1,"s":"coding""#), "{}", ada.sync);
    ada.sees_leave("dev_bob");
    let mut late = node.open();
    late.say(&format!(r#"{{"t":"hello","resume":"{}"}}"#, bob.token));
    assert_eq!(error_code(&late.hear()), "resume_failed");
    late.log_in("bob", "");
    ada.hears(r#"{"t":"u","id":"dev_bob","s":"online"}"#);
}

#[test]
fn what_was_set_by_hand_hidden_and_blocked_is_so_after_a_restart() {
    let node =
        Setup::new().follows("ada", "bob").connected("eve", "bob").connected("cyd", "bob").start();
    let mut bob = node.join_with("bob", r#""s":"coding","p":"acme""#);
    bob.does(r#""do":"manual","s":"on holiday""#);
    bob.ask(r#""do":"prefs","visibility":"following","hidden_projects":["acme"]"#);
    bob.does(r#""do":"block","id":"dev_eve""#);
    let stopping = node.stopping();
    bob.is_closed_with(1012);
    let node = Setup::in_folder(stopping.join().unwrap()).start();
    let bob = node.resume(&bob.token, None);
    assert!(bob.sync.contains(r#""r":0,"s":"on holiday"}"#), "{}", bob.sync);
    for hidden_from in ["ada", "eve"] {
        let watcher = node.join(hidden_from);
        assert!(!watcher.sync.contains("holiday"), "{hidden_from}: {}", watcher.sync);
    }
    assert!(node.join("cyd").sync.contains("on holiday"));
    let mut other = node.join("bob");
    other.does(r#""do":"manual","s":"""#);
    assert!(node.join("cyd").sync.contains(r#"{"id":"dev_bob","name":"bob","r":4,"s":"coding"}"#));
}

#[test]
fn last_seen_is_in_the_directory_when_a_node_has_stopped() {
    let node = setup().start();
    let bob = node.join("bob");
    let dir = node.stop();
    drop(bob);
    let data = dir.path().join("data");
    for entry in std::fs::read_dir(data).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "log") {
            std::fs::remove_file(path).unwrap();
        }
    }
    let node = Setup::in_folder(dir).start();
    let ada = node.join("ada");
    assert!(ada.sync.contains(r#"{"id":"dev_bob","name":"bob","r":1,"x":"#), "{}", ada.sync);
}

#[test]
fn many_starts_over_one_folder_leave_it_small() {
    let mut dir = setup().start().stop();
    for _ in 0..5 {
        dir = Setup::in_folder(dir).start().stop();
    }
    let logs = std::fs::read_dir(dir.path().join("data"))
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|e| e == "log"))
        .count();
    assert_eq!(logs, 1, "one segment is enough");
}
