//! A server that dies or is stopped and comes back, under the eyes of watchers.

use std::time::Duration;

use tempfile::TempDir;

use crate::harness::{PATIENCE, Running, Server, import, newest_log};

struct Scene {
    dir: TempDir,
    server: Server,
    /// `rollcall watch --json` of ada, who sees bob coding.
    watching: Running,
    /// `rollcall status coding` of bob.
    status: Running,
}

fn scene(flags: &[&str]) -> Scene {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("data");
    import(&data, "dev_ada,dev_bob\n");
    let server = Server::start(&data, flags);
    let mut watching = server.watch("ada", &["--json"]);
    watching.wait_for(r#""t":"sync""#);
    let mut status = server.status("bob", &["coding", "--project", "vscode"]);
    status.wait_for("connected as bob");
    watching.wait_for(r#"{"t":"u","id":"dev_bob","s":"coding","p":"vscode"}"#);
    Scene { dir, server, watching, status }
}

/// Both come back, bob is shown as before, what he does next is seen, and he was never seen to go.
fn comes_back_without_a_flap(scene: &mut Scene) {
    scene.watching.wait_for(r#""resumed":true"#);
    scene.watching.wait_for(r#""t":"sync""#);
    scene.status.wait_for("back: the session goes on, nobody noticed");
    let _window = scene.server.join("bob", r#""s":"debugging""#);
    scene.watching.wait_for(r#"{"t":"u","id":"dev_bob","s":"debugging","p":""}"#);
    assert_eq!(scene.watching.count(r#""t":"x""#), 0, "{:#?}", scene.watching.seen);
    assert_eq!(scene.watching.count(r#""x":"#), 0, "{:#?}", scene.watching.seen);
    assert_eq!(scene.watching.count(r#""resumed":false"#), 1, "only the first time");
}

#[test]
fn a_killed_server_that_comes_back_is_not_noticed() {
    let mut scene = scene(&[]);
    scene.server.running.kill();
    scene.server = scene.server.again();
    comes_back_without_a_flap(&mut scene);
}

#[test]
fn a_server_killed_again_and_again_is_not_noticed() {
    let mut scene = scene(&[]);
    for _ in 0..3 {
        scene.server.running.kill();
        scene.server = scene.server.again();
    }
    comes_back_without_a_flap(&mut scene);
}

#[test]
fn a_server_that_is_told_to_stop_ends_well_and_is_not_noticed() {
    let mut scene = scene(&[]);
    let mut client = scene.server.join("cyd", "");
    scene.server.running.signal("-TERM");
    assert_eq!(client.close_code(), 1012);
    drop(client);
    let ended = scene.server.running.ends_within(Duration::from_secs(10));
    assert_eq!(ended.code(), Some(0));
    scene.server = scene.server.again();
    comes_back_without_a_flap(&mut scene);
}

#[test]
fn ctrl_c_stops_a_server_as_well() {
    let mut scene = scene(&[]);
    scene.server.running.interrupt();
    scene.server = scene.server.again();
    comes_back_without_a_flap(&mut scene);
}

#[test]
fn a_session_that_stays_away_from_a_killed_server_leaves_exactly_once() {
    let mut scene = scene(&["--resume-window", "3s"]);
    scene.server.running.kill();
    scene.status.kill();
    scene.server = scene.server.again();
    scene.watching.wait_for(r#"{"t":"x","id":"dev_bob","at":"#);
    let mut bob = scene.server.join("bob", r#""s":"reading""#);
    scene.watching.wait_for(r#"{"t":"u","id":"dev_bob","s":"reading"}"#);
    bob.say(r#"{"t":"bye"}"#);
    scene.watching.wait_for(r#"{"t":"x","id":"dev_bob","at":"#);
    // Once for the session that stayed away, and once for the one that said goodbye.
    assert_eq!(scene.watching.count(r#""t":"x""#), 2, "{:#?}", scene.watching.seen);
}

#[test]
fn what_anyone_was_told_is_still_so_after_a_kill() {
    let dir = TempDir::new().unwrap();
    import(dir.path(), "dev_ada,dev_bob\ndev_bob,dev_ada\n");
    let mut server = Server::start(dir.path(), &["--report-rate", "0", "--message-rate", "0"]);
    let mut ada = server.join("ada", "");
    let mut bob = server.join("bob", "");
    for round in 0..20 {
        bob.say(&format!(r#"{{"t":"u","s":"coding","p":"round {round}"}}"#));
        ada.hears(&format!("round {round}"));
        bob.ask(r#""do":"prefs","visibility":"invisible""#);
        ada.hears(r#""t":"x""#);
        bob.ask(r#""do":"prefs","visibility":"everyone""#);
        ada.hears(&format!("round {round}"));
    }
    bob.ask(r#""do":"manual","s":"by hand""#);
    ada.hears("by hand");
    server.running.kill();
    server = server.again();
    let ada = server.resume(&ada.token);
    assert!(ada.sync.contains(r#""r":3,"s":"by hand"}"#), "{}", ada.sync);
    let mut bob = server.resume(&bob.token);
    bob.ask(r#""do":"manual","s":"""#);
    bob.hears(r#""p":"round 19""#);
}

#[test]
fn who_went_invisible_is_so_after_a_kill_even_if_nobody_was_told_yet() {
    let dir = TempDir::new().unwrap();
    import(dir.path(), "dev_ada,dev_bob\n");
    let mut server = Server::start(dir.path(), &[]);
    let mut bob = server.join("bob", r#""s":"coding""#);
    bob.ask(r#""do":"prefs","visibility":"everyone""#);
    server.running.kill();
    // As if the kill had come between the two writes: the directory has it, the log has not.
    let log = std::fs::read(newest_log(dir.path())).unwrap();
    let path = newest_log(dir.path());
    server = server.again();
    let mut bob = server.resume(&bob.token);
    bob.ask(r#""do":"prefs","visibility":"invisible""#);
    server.running.kill();
    for name in crate::harness::contents(dir.path()).into_keys() {
        if name.starts_with("presence-") {
            std::fs::remove_file(dir.path().join(name)).unwrap();
        }
    }
    std::fs::write(path, log).unwrap();
    server = server.again();
    let ada = server.join("ada", "");
    assert!(!ada.sync.contains("coding"), "{}", ada.sync);
}

#[test]
fn a_torn_log_is_said_kept_and_used_up_to_the_tear() {
    let mut scene = scene(&[]);
    scene.server.running.kill();
    let data = scene.dir.path().join("data");
    let path = newest_log(&data);
    let mut log = std::fs::read(&path).unwrap();
    // The beginning of a record, as a power cut leaves it: the length and half of its checksum.
    let half = log[..6].to_vec();
    let offset = log.len();
    log.extend(&half);
    std::fs::write(&path, log).unwrap();
    scene.server = scene.server.again();
    scene.server.running.wait_for_error("set aside");
    let kept = crate::harness::contents(&data)
        .into_iter()
        .find(|(name, _)| name.contains(&format!("torn-{offset}")));
    assert_eq!(kept.expect("a file with what was torn").1, half);
    comes_back_without_a_flap(&mut scene);
}

#[test]
fn a_client_that_does_not_hang_up_does_not_keep_a_server_from_stopping() {
    let dir = TempDir::new().unwrap();
    let mut server = Server::start(dir.path(), &[]);
    let client = server.join("bob", "");
    server.running.signal("-TERM");
    let ended = server.running.ends_within(PATIENCE);
    assert_eq!(ended.code(), Some(0));
    drop(client);
}
