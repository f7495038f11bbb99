//! What a running server shows of itself: its addresses, its metrics, its logs without secrets.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use tempfile::TempDir;

use crate::harness::{Running, Server, get, import, rollcall, text};

#[test]
fn port_zero_is_told_as_the_real_one_and_no_admin_address_is_none() {
    let dir = TempDir::new().unwrap();
    let args = ["serve", "--dev", "--data", text(dir.path()), "--listen", "127.0.0.1:0"];
    let mut running = Running::start(rollcall(&args).args(["--admin-listen", "none"]));
    let line = running.wait_for("rollcall serves ws://127.0.0.1:");
    assert!(line.ends_with("/ws (metrics: none)"), "{line}");
    let address = line.split("ws://").nth(1).unwrap().split('/').next().unwrap();
    assert!(!address.ends_with(":0"), "{line}");
    let healthy = get(address.parse().unwrap(), "/healthz").unwrap();
    assert!(healthy.starts_with("HTTP/1.1 200 "), "{healthy}");
    running.interrupt();
}

#[test]
fn metrics_count_what_happens() {
    let dir = TempDir::new().unwrap();
    import(dir.path(), "dev_ada,dev_bob\n");
    let server = Server::start(dir.path(), &["--shards", "1"]);
    let mut ada = server.join("ada", "");
    let mut bob = server.join("bob", "");
    bob.say(r#"{"t":"u","s":"coding"}"#);
    ada.hears(r#""s":"coding""#);
    let mut binary = server.connect();
    binary.client.send_binary(b"x").unwrap();
    assert_eq!(binary.close_code(), 4203);
    // A shard tells its numbers at the end of the turn in which it wrote.
    bob.ask(r#""do":"sessions""#);
    let metrics = get(server.admin, "/metrics").unwrap();
    for part in [
        "rollcall_ready 1",
        "rollcall_sessions{shard=\"0\"} 2",
        "rollcall_reports_total{shard=\"0\"} 1",
        "rollcall_closes_total{reason=\"bad messages\"} 1",
        "rollcall_handshakes_total{result=\"ok\"} 3",
        "rollcall_logins_total{result=\"ok\"} 2",
        "process_cpu_seconds_total ",
        "process_resident_memory_bytes ",
        "process_open_fds ",
    ] {
        assert!(metrics.contains(part), "{part}: {metrics}");
    }
    // No user is named there.
    assert!(!metrics.contains("bob"), "{metrics}");
    assert!(get(server.admin, "/healthz").unwrap().starts_with("HTTP/1.1 200 "));
    assert!(get(server.address, "/metrics").unwrap().starts_with("HTTP/1.1 404 "));
}

#[test]
fn no_secret_stands_in_a_log_or_a_metric() {
    let dir = TempDir::new().unwrap();
    let mut server = Server::start(dir.path(), &["--log", "trace", "--log-format", "json"]);
    let bob = server.join("bob", r#""s":"coding""#);
    let first = bob.token.clone();
    bob.client.drop_without_goodbye();
    let mut bob = server.resume(&first);
    bob.say(r#"{"t":"hello","as":"github","token":"gho_secret_one","guest":"guest_secret"}"#);
    bob.say(r#"{"t":"hello","as":"github","token":"gho_secret_two","s":7}"#);
    bob.ask(r#""do":"accept","code":"invite_secret""#);
    let mut other = server.connect();
    other.say(r#"{"t":"hello","as":"jwt","token":"jwt.secret.three"}"#);
    assert_eq!(other.close_code(), 4200);
    let metrics = get(server.admin, "/metrics").unwrap();
    let second = bob.token.clone();
    drop((bob, other));
    server.running.signal("-TERM");
    assert_eq!(server.running.ends_within(crate::harness::PATIENCE).code(), Some(0));
    server.running.wait_for_error("stopped");
    let said = server.running.said.lock().unwrap();
    assert!(said.contains("\"serving\""), "{said}");
    // Of a token the part that counts is its end: the rest names the session.
    let tokens = [&first, &second].map(|token| &token[token.len() - 20..]);
    for secret in [tokens[0], tokens[1], "secret"] {
        assert!(!said.contains(secret), "{secret} stands in the log: {said}");
        assert!(!metrics.contains(secret), "{secret} stands in the metrics");
    }
}

#[test]
fn a_server_whose_output_nobody_reads_any_more_serves_on() {
    let dir = TempDir::new().unwrap();
    let mut command = rollcall(&["serve", "--dev", "--listen", "127.0.0.1:0", "--log", "trace"]);
    command.args(["--admin-listen", "none", "--data", text(dir.path())]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stderr.take());
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.split("ws://").nth(1).unwrap().split('/').next().unwrap();
    // Each of these is logged, into a pipe that is broken.
    for _ in 0..3 {
        let ready = get(address.parse().unwrap(), "/readyz").unwrap();
        assert!(ready.starts_with("HTTP/1.1 200 "), "{ready}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_setting_may_come_from_flag_environment_or_file_in_that_order() {
    let dir = TempDir::new().unwrap();
    let config = dir.path().join("rollcall.toml");
    let file = "dev = true\nlisten = \"127.0.0.1:0\"\nadmin-listen = \"none\"\n\
                resume-window = \"11s\"\nping-interval = \"21s\"\nheartbeat-interval = \"31s\"\n";
    std::fs::write(&config, file).unwrap();
    let data = dir.path().join("data");
    let mut command = rollcall(&["serve", "--resume-window", "13s", "--data", text(&data)]);
    command.env("ROLLCALL_CONFIG", &config).env("ROLLCALL_PING_INTERVAL", "22s");
    let mut running = Running::start(command.env("ROLLCALL_RESUME_WINDOW", "12s"));
    let line = running.wait_for("rollcall serves");
    let url = line.split(' ').nth(2).unwrap().to_owned();
    let args = ["watch", "--json", "--as", "dev", "--token", "ada", "--url", &url];
    let mut watching = Running::start(&mut rollcall(&args));
    watching.wait_for(r#""hb":31,"ping":22,"window":13"#);
}
