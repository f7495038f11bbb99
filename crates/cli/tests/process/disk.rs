//! A disk that is full: presence goes on, what cannot be kept is refused, and all is well again
//! once there is room.

use std::process::Command;

use tempfile::TempDir;

use crate::harness::{Server, contents, import};

/// Lets no file of the server grow, as a full disk does; or lets them grow again.
fn limit_files(server: &Server, soft: &str) {
    let pid = server.running.pid().to_string();
    let limit = format!("--fsize={soft}:");
    assert!(Command::new("prlimit").args(["--pid", &pid, &limit]).status().unwrap().success());
}

#[test]
fn a_full_disk_refuses_what_cannot_be_kept_and_presence_goes_on() {
    let dir = TempDir::new().unwrap();
    import(dir.path(), "dev_ada,dev_bob\ndev_bob,dev_ada\n");
    let mut server = Server::start(dir.path(), &[]);
    let mut ada = server.join("ada", "");
    let mut bob = server.join("bob", r#""s":"coding""#);
    ada.hears(r#""s":"coding""#);
    assert_eq!(server.ready(), 200);

    limit_files(&server, "0");
    bob.say(r#"{"t":"u","p":"in memory"}"#);
    ada.hears("in memory");
    assert_eq!(server.ready(), 503);
    for what in [r#""do":"prefs","visibility":"invisible""#, r#""do":"pin","id":"dev_ada""#] {
        let answer = bob.ask(what);
        assert!(answer.contains(r#""code":"read_only""#), "{what}: {answer}");
    }
    // A status by hand and the sessions are presence, and go on; so do those who come back.
    assert!(bob.ask(r#""do":"manual","s":"by hand""#).contains(r#""t":"res""#));
    ada.hears("by hand");
    let token = ada.token.clone();
    ada.client.drop_without_goodbye();
    let mut ada = server.resume(&token);
    assert!(ada.sync.contains("by hand"), "{}", ada.sync);
    let known = server.join("ada", "");
    drop(known);
    // Somebody new cannot be remembered, and is told to try again later.
    let mut stranger = server.connect();
    stranger.say(r#"{"t":"hello","as":"dev","token":"zoe"}"#);
    assert!(stranger.hear().contains(r#""code":"read_only""#));
    assert_eq!(stranger.close_code(), 4001);
    server.running.wait_for_error("presence log cannot be written");

    limit_files(&server, "unlimited");
    server.running.wait_for_error("the presence log is written again");
    // What the store answers after that it answers in a later turn.
    assert!(bob.ask(r#""do":"sessions""#).contains(r#""t":"res""#));
    assert_eq!(server.ready(), 200);
    assert!(bob.ask(r#""do":"pin","id":"dev_ada""#).contains(r#""t":"res""#));
    let logs = contents(dir.path()).into_keys().filter(|name| name.ends_with(".log")).count();
    assert!(logs <= 2, "attempts leave nothing behind: {logs} segments");

    // What was only in memory has been written since.
    server.running.kill();
    let server = server.again();
    let mut bob = server.resume(&bob.token);
    assert!(bob.sync.contains("by hand"), "{}", bob.sync);
    ada = server.resume(&ada.token);
    assert!(ada.sync.contains("by hand"), "{}", ada.sync);
    bob.ask(r#""do":"manual","s":"""#);
    ada.hears("in memory");
}
