//! A load test that finds nothing wrong with a server that is right, and each fault of one that is
//! not.

use std::process::Output;

use crate::reference::Reference;
use crate::relay::{self, Fault};
use crate::{run, stderr, stdout};

const GRAPH: [&str; 6] = ["--users", "30", "--follow", "4", "--seed", "7"];

fn follows() -> String {
    let output = run(&[&["bench", "--write-follows", "-"], &GRAPH[..]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    stdout(&output)
}

/// A short open loop against a server behind a relay with that fault.
fn bench(fault: Fault) -> (Option<i32>, serde_json::Value) {
    let reference = Reference::start(&follows());
    let relay = relay::start(reference.address(), fault, 7);
    let url = format!("ws://{relay}/ws");
    let load = ["--rate", "300", "--duration", "1s", "--json", "--url", &url];
    let output = run(&[&["bench"], &GRAPH[..], &load].concat());
    (output.status.code(), results(&output))
}

fn results(output: &Output) -> serde_json::Value {
    serde_json::from_str(&stdout(output)).unwrap_or_else(|_| panic!("{}", stderr(output)))
}

fn kinds(results: &serde_json::Value) -> Vec<String> {
    let differences = results["differences"].as_array().unwrap();
    differences.iter().map(|found| found["kind"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_server_that_is_right_passes_through_a_relay_that_is() {
    let (code, results) = bench(Fault::None);
    assert_eq!((code, kinds(&results)), (Some(0), Vec::new()), "{results}");
    assert_eq!(results["reports"], 300);
    assert_eq!(results["deliveries"], 300 * 4);
    assert_eq!(results["echoes"], 300);
    assert!(results["bytes_per_patch"].as_f64().unwrap() > 20.0);
}

#[test]
fn a_busy_server_is_asked_again_when_it_says() {
    let (code, results) = bench(Fault::Busy);
    assert_eq!((code, kinds(&results)), (Some(0), Vec::new()), "{results}");
    assert!(results["joining_s"].as_f64().unwrap() >= 1.0, "{results}");
}

#[test]
fn a_lost_patch_is_found() {
    let (code, results) = bench(Fault::Drop);
    assert_eq!(code, Some(1));
    assert!(kinds(&results).contains(&"lost".to_owned()), "{results}");
}

#[test]
fn a_doubled_patch_is_found() {
    let (code, results) = bench(Fault::Double);
    assert_eq!((code, kinds(&results)), (Some(1), vec!["doubled or old".to_owned()]), "{results}");
}

#[test]
fn a_leaked_patch_is_found() {
    let (code, results) = bench(Fault::Leak);
    assert_eq!(code, Some(1));
    assert!(kinds(&results).contains(&"leaked".to_owned()), "{results}");
}

#[test]
fn a_patch_without_its_field_is_found() {
    let (code, results) = bench(Fault::Strip);
    assert_eq!(code, Some(1));
    assert!(kinds(&results).contains(&"incomplete".to_owned()), "{results}");
}

#[test]
fn a_cut_connection_is_found() {
    let (code, results) = bench(Fault::Cut);
    assert_eq!(code, Some(1));
    assert!(kinds(&results).contains(&"closed".to_owned()), "{results}");
}

#[test]
fn a_closed_loop_measures_the_servers_figures_too() {
    let reference = Reference::start(&follows());
    let (url, admin_url) = (reference.url(), reference.admin_url());
    let load = ["--window", "16", "--duration", "500ms", "--url", &url, "--admin-url", &admin_url];
    let output = run(&[&["bench"], &GRAPH[..], &load, &["--json"]].concat());
    assert_eq!(output.status.code(), Some(0), "{} {}", stdout(&output), stderr(&output));
    let results = results(&output);
    // More than one window: reports go out again as others arrive.
    assert!(results["reports"].as_u64().unwrap() > 2 * 16, "{results}");
    assert_eq!(results["values_measured"], results["reports"].as_u64().unwrap() * 4);
    assert_eq!(results["server_cpu_s_per_million"], 0.0);
    assert_eq!(results["session_bytes_after"], 0.0);
    // And as a table.
    let reference = Reference::start(&follows());
    let url = reference.url();
    let load = ["--window", "16", "--duration", "100ms", "--url", &url];
    let output = run(&[&["bench"], &GRAPH[..], &load].concat());
    assert!(stdout(&output).contains("no difference"), "{}", stdout(&output));
}

#[test]
fn another_graph_than_the_servers_is_refused_with_the_way_out() {
    let reference = Reference::start(&follows());
    let other = ["bench", "--users", "30", "--follow", "4", "--seed", "8"];
    let output = run(&[&other[..], &["--url", &reference.url()]].concat());
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("import follows"), "{}", stderr(&output));
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/ws", listener.local_addr().unwrap());
    drop(listener);
    let output = run(&[&["bench"], &GRAPH[..], &["--url", &url]].concat());
    assert_eq!(output.status.code(), Some(69));
    assert!(stderr(&output).contains("--url"), "{}", stderr(&output));
}

#[test]
fn the_graph_is_written_as_lines_of_follows() {
    let text = follows();
    assert_eq!(text.lines().count(), 30 * 4);
    assert!(text.lines().all(|line| {
        let (follower, followee) = line.split_once(',').unwrap();
        follower.starts_with("dev_b") && followee.starts_with("dev_b") && follower != followee
    }));
    assert_eq!(text, follows(), "the seed determines it");
}
