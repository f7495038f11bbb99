//! Exit codes and sentences for what is wrong on the command line.

use crate::{run, stderr, stdout};

#[test]
fn a_wrong_command_line_ends_with_64_and_help_with_0() {
    for wrong in [&["nonsense"][..], &["bench", "--rate", "0"], &["bench", "--follow", "x"], &[]] {
        let output = run(wrong);
        assert_eq!(output.status.code(), Some(64), "{wrong:?}");
        assert!(!stderr(&output).is_empty());
    }
    let help = run(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    assert!(stdout(&help).contains("bench"));
}

#[test]
fn a_graph_that_cannot_be_ends_with_64() {
    let output = run(&["bench", "--users", "5", "--follow", "5"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(stderr(&output).contains("--follow 5"), "{}", stderr(&output));
}

#[test]
fn more_users_than_files_is_said_before_anything_is_opened() {
    let output = run(&["bench", "--users", "9000000", "--follow", "1"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(stderr(&output).contains("ulimit -n"), "{}", stderr(&output));
}

#[test]
fn an_address_that_cannot_be_reached_this_way_is_explained() {
    let output = run(&["bench", "--url", "wss://127.0.0.1/ws"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(stderr(&output).contains("proxy"), "{}", stderr(&output));
}
