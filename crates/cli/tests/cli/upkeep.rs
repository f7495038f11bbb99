//! `rollcall import` and `rollcall doctor` on data folders of the tests' own.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Output, Stdio};

use tempfile::TempDir;

use crate::reference::Reference;
use crate::{rollcall, run, stderr, stdout};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Imports lines by standard input.
fn import(lines: &str, flags: &[&str]) -> Output {
    let mut command = rollcall(&[&["import", "follows", "-"], flags].concat());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that refuses does not read.
    let _ = child.stdin.take().unwrap().write_all(lines.as_bytes());
    child.wait_with_output().unwrap()
}

/// A server in the tests' stead: it holds the folder's lock.
fn hold(data: &Path) -> File {
    std::fs::create_dir_all(data).unwrap();
    let lock = File::create(data.join("lock")).unwrap();
    lock.lock().unwrap();
    lock
}

/// Looks at that folder and a server that answers everything with 200.
fn doctor(data: &Path) -> Output {
    let reference = Reference::start("");
    let admin_url = reference.admin_url();
    let servers = ["--url", &admin_url, "--admin-url", &admin_url];
    run(&[&["doctor", "--data", text(data)], &servers[..]].concat())
}

#[test]
fn follows_come_over_once() {
    let dir = TempDir::new().unwrap();
    let flags = ["--data", text(dir.path())];
    let first = import("follower,followee\ndev_a,dev_b\ndev_b,dev_a\n", &flags);
    assert!(first.status.success(), "{}", stderr(&first));
    assert!(stdout(&first).contains("2 are new, 0 were there already; 2 users"));
    let second = import("dev_a,dev_b\n", &flags);
    assert!(stdout(&second).contains("0 are new, 1 were there already; 0 users"));
    let elsewhere = format!("sqlite://{}", text(&dir.path().join("other.sqlite")));
    let file = dir.path().join("follows.csv");
    std::fs::write(&file, "dev_a,dev_b\n").unwrap();
    let third =
        run(&["import", "follows", text(&file), "--directory", &elsewhere, "--data", "/nowhere"]);
    assert!(stdout(&third).contains("1 are new"), "{}", stderr(&third));
    assert!(dir.path().join("other.sqlite").exists());
}

#[test]
fn a_graph_that_bench_writes_can_be_imported() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("follows.csv");
    let graph = ["bench", "--users", "100", "--follow", "10", "--write-follows", text(&file)];
    assert!(run(&graph).status.success());
    let output = run(&["import", "follows", text(&file), "--data", text(dir.path())]);
    assert!(stdout(&output).contains("1000 are new"), "{}", stderr(&output));
    assert!(stdout(&output).contains("100 users made"));
}

#[test]
fn a_bad_line_is_named_and_nothing_comes_over() {
    let dir = TempDir::new().unwrap();
    let output = import("dev_a,dev_b\ndev_a\n", &["--data", text(dir.path())]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("line 2"), "{}", stderr(&output));
}

#[test]
fn while_a_server_holds_the_data_folder_an_import_is_refused_with_64() {
    let dir = TempDir::new().unwrap();
    let _held = hold(dir.path());
    let output = import("dev_a,dev_b\n", &["--data", text(dir.path())]);
    assert_eq!(output.status.code(), Some(64));
    assert!(stderr(&output).contains("stop that one"), "{}", stderr(&output));
    let postgres = import("", &["--directory", "postgres://h/db"]);
    assert_eq!(postgres.status.code(), Some(64));
    assert!(stderr(&postgres).contains("sqlite://FILE"));
}

#[test]
fn a_sound_folder_has_no_problem() {
    let dir = TempDir::new().unwrap();
    import("dev_a,dev_b\n", &["--data", text(dir.path())]);
    let output = doctor(dir.path());
    let said = stdout(&output);
    assert!(output.status.success(), "{said}");
    for part in ["is sound: 2 users, 1 follows", "no server holds it", "is ready", "time: "] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn a_doctor_looks_and_makes_nothing() {
    let dir = TempDir::new().unwrap();
    let absent = dir.path().join("absent");
    let output = doctor(&absent);
    assert!(output.status.success(), "{}", stdout(&output));
    assert!(stdout(&output).contains("does not exist yet"));
    assert!(!absent.exists());
}

#[test]
fn a_directory_in_use_is_left_alone_and_a_damaged_one_is_a_problem() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("directory.sqlite"), "no database").unwrap();
    let held = hold(dir.path());
    let output = doctor(dir.path());
    assert!(output.status.success(), "{}", stdout(&output));
    assert!(stdout(&output).contains("a running server holds it"));
    drop(held);
    let output = doctor(dir.path());
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("PROBLEM  directory"), "{}", stdout(&output));
}

#[test]
fn a_server_that_was_named_and_does_not_answer_is_a_problem() {
    let dir = TempDir::new().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/ws", listener.local_addr().unwrap());
    drop(listener);
    let output = run(&["doctor", "--data", text(dir.path()), "--url", &url]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("PROBLEM  server"), "{}", stdout(&output));
}
