//! The whole binary against itself: a node serves, the other commands come to it.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Stdio};

use tempfile::TempDir;

use crate::relay::{self, Fault};
use crate::{rollcall, run, stderr, stdout};

const GRAPH: [&str; 6] = ["--users", "50", "--follow", "5", "--seed", "3"];

/// A running node; it is stopped when dropped.
struct Node {
    child: Child,
    address: SocketAddr,
    admin: SocketAddr,
    data: TempDir,
}

impl Node {
    /// Starts one on ports of the system's choice, with the relations of the graph.
    fn start() -> Self {
        let data = TempDir::new().unwrap();
        let folder = data.path().to_str().unwrap();
        let follows = data.path().join("follows.csv");
        let follows = follows.to_str().unwrap();
        let written = run(&[&["bench", "--write-follows", follows], &GRAPH[..]].concat());
        assert!(written.status.success(), "{}", stderr(&written));
        let imported = run(&["import", "follows", follows, "--data", folder]);
        assert!(imported.status.success(), "{}", stderr(&imported));
        let any_port = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
        let no_rates = ["--message-rate", "0", "--report-rate", "0", "--handshake-rate", "0"];
        let serve = ["serve", "--dev", "--data", folder];
        let mut command = rollcall(&[&serve[..], &any_port, &no_rates].concat());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines
            .find_map(|line| line.unwrap().strip_prefix("rollcall serves ws://").map(str::to_owned))
            .unwrap();
        // The pipe is read on, or a node that logs much would wait.
        std::thread::spawn(move || lines.for_each(drop));
        let (address, admin) = line.split_once("/ws (metrics: ").unwrap();
        let admin = admin.trim_end_matches(')').parse().unwrap();
        Self { child, address: address.parse().unwrap(), admin, data }
    }

    /// A load test of a second, behind a relay with that fault.
    fn bench(&self, fault: Fault) -> (Option<i32>, String) {
        let url = format!("ws://{}/ws", relay::start(self.address, fault, 20));
        let admin_url = format!("http://{}", self.admin);
        let load = ["--rate", "500", "--duration", "1s", "--url", &url, "--admin-url", &admin_url];
        let output = run(&[&["bench"], &GRAPH[..], &load].concat());
        (output.status.code(), stdout(&output) + &stderr(&output))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_load_test_finds_nothing_wrong_with_a_node() {
    let node = Node::start();
    // Twice: the sessions of the first run have said goodbye.
    for _ in 0..2 {
        let (code, said) = node.bench(Fault::None);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("no difference"), "{said}");
    }
}

/// The load test must end with 1 and name what the relay did.
fn is_found(fault: Fault, name: &str) {
    let (code, said) = Node::start().bench(fault);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&format!("WRONG {name}")), "{said}");
}

#[test]
fn a_patch_of_a_node_that_comes_twice_is_found() {
    is_found(Fault::Double, "doubled or old");
}

#[test]
fn a_patch_of_a_node_that_comes_to_somebody_else_is_found() {
    is_found(Fault::Leak, "leaked");
}

#[test]
fn a_patch_of_a_node_that_never_comes_is_found() {
    is_found(Fault::Drop, "lost");
}

#[test]
fn an_import_is_refused_while_a_node_runs_and_the_doctor_finds_it_well() {
    let node = Node::start();
    let folder = node.data.path().to_str().unwrap();
    let import = run(&["import", "follows", "/dev/null", "--data", folder]);
    assert_eq!(import.status.code(), Some(64), "{}", stderr(&import));
    let url = format!("ws://{}/ws", node.address);
    let admin_url = format!("http://{}", node.admin);
    let doctor = run(&["doctor", "--data", folder, "--url", &url, "--admin-url", &admin_url]);
    assert!(doctor.status.success(), "{}", stdout(&doctor));
    for part in ["a running server holds it", "is healthy", "is ready"] {
        assert!(stdout(&doctor).contains(part), "{part}: {}", stdout(&doctor));
    }
}
