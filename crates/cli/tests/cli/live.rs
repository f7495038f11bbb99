//! `rollcall watch` and `rollcall status` against the reference server.

use std::io::{BufRead, BufReader};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::Duration;

use crate::reference::Reference;
use crate::{rollcall, run, stderr};

/// Nothing here takes longer; a lost connection is tried again within a second.
const WAIT_MAX: Duration = Duration::from_secs(20);
/// Lines that wait to be looked at.
const LINES_MAX: usize = 1_000;

/// A running command and its lines.
struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    fn start(args: &[&str], url: &str) -> Self {
        let mut command = rollcall(args);
        command.args(["--url", url, "--as", "dev"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        let (sender, lines) = sync_channel(LINES_MAX);
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                if sender.send(line.unwrap()).is_err() {
                    return;
                }
            }
        });
        Self { child, lines }
    }

    /// Waits for a line that has this in it.
    fn wait_for(&self, part: &str) -> String {
        let mut before = Vec::new();
        loop {
            match self.lines.recv_timeout(WAIT_MAX) {
                Ok(line) if line.contains(part) => return line,
                Ok(line) => before.push(line),
                Err(_) => panic!("no line with {part:?} came, only {before:#?}"),
            }
        }
    }

    /// Sends a signal and waits for the end.
    fn signal(mut self, signal: &str) -> ExitStatus {
        let pid = self.child.id().to_string();
        let sent = std::process::Command::new("kill").args([signal, &pid]).status().unwrap();
        assert!(sent.success());
        self.child.wait().unwrap()
    }
}

const ADA: [&str; 2] = ["--token", "ada"];
const BOB: [&str; 2] = ["--token", "bob"];

fn watch(reference: &Reference, flags: &[&str]) -> Running {
    Running::start(&[&["watch"], &ADA[..], flags].concat(), &reference.url())
}

fn status(reference: &Reference) -> Running {
    let args = ["status", "coding", "--project", "vscode"];
    Running::start(&[&args[..], &BOB].concat(), &reference.url())
}

#[test]
fn a_watcher_sees_a_friend_come_and_leave_in_words() {
    let reference = Reference::start("dev_ada,dev_bob");
    let watching = watch(&reference, &[]);
    watching.wait_for("bob is on the list: offline");
    let reporting = status(&reference);
    reporting.wait_for("connected as bob (dev_bob): coding · vscode");
    watching.wait_for("bob came: coding · vscode");
    assert_eq!(reporting.signal("-INT").code(), Some(0));
    // Only a goodbye makes this server tell it at once.
    watching.wait_for("bob went: offline");
    assert_eq!(watching.signal("-TERM").code(), Some(0));
}

#[test]
fn each_message_is_printed_exactly_as_it_came() {
    let reference = Reference::start("dev_ada,dev_bob");
    let watching = watch(&reference, &["--json"]);
    watching.wait_for(r#""t":"sync""#);
    let odd = r#"{ "t" : "u", "id" : "dev_bob", "s":"coding", "new": [1, 2] }"#;
    reference.say("dev_ada", odd);
    assert_eq!(watching.wait_for("new"), odd);
    let later = r#"{"t":"tomorrow","x":1}"#;
    reference.say("dev_ada", later);
    assert_eq!(watching.wait_for("tomorrow"), later);
    assert_eq!(watching.signal("-TERM").code(), Some(0));
}

#[test]
fn a_cut_connection_is_resumed_and_told() {
    let reference = Reference::start("dev_bob,dev_ada");
    let args = ["status", "coding", "--token", "ada"];
    let reporting = Running::start(&args, &reference.url());
    reporting.wait_for("connected as ada");
    reference.cut("dev_ada");
    reporting.wait_for("trying again");
    reporting.wait_for("back: the session goes on");
    assert_eq!(reporting.signal("-INT").code(), Some(0));
}

#[test]
fn a_refused_login_is_told_with_the_servers_reason() {
    let reference = Reference::start("");
    for command in [&["watch"][..], &["watch", "--json"], &["status", "coding"]] {
        let url = reference.url();
        let login = ["--as", "dev", "--token", "mallory", "--url", &url];
        let output = run(&[command, &login].concat());
        assert_eq!(output.status.code(), Some(1), "{command:?}");
        assert!(stderr(&output).contains("mallory may not come in"), "{}", stderr(&output));
    }
}

#[test]
fn a_server_that_is_not_there_ends_with_69_and_no_login_with_64() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/ws", listener.local_addr().unwrap());
    drop(listener);
    let output = run(&["watch", "--as", "dev", "--token", "ada", "--url", &url]);
    assert_eq!(output.status.code(), Some(69));
    assert!(stderr(&output).contains("rollcall serve"), "{}", stderr(&output));
    let output = run(&["status", "coding", "--as", "dev"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(stderr(&output).contains("ROLLCALL_TOKEN"), "{}", stderr(&output));
    let long = "x".repeat(33);
    let output = run(&["status", &long, "--as", "dev", "--token", "ada"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(stderr(&output).contains("32 characters"), "{}", stderr(&output));
}

#[test]
fn a_token_in_the_environment_is_used_and_never_shown() {
    let reference = Reference::start("");
    let mut command = rollcall(&["watch", "--as", "dev", "--url", &reference.url()]);
    let output = command.env("ROLLCALL_TOKEN", "mallory").output().unwrap();
    assert!(stderr(&output).contains("mallory may not"), "{}", stderr(&output));
    let help = rollcall(&["watch", "--help"]).env("ROLLCALL_TOKEN", "s3cret").output().unwrap();
    assert!(!crate::stdout(&help).contains("s3cret"));
}
