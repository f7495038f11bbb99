//! The five-minute tour, as a new user takes it.

use tempfile::TempDir;

use crate::harness::{Server, import};

#[test]
fn the_tour_works_as_it_is_told() {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("rollcall-data");
    // A few follows, a server, two terminals.
    import(&data, "dev_ada,dev_bob\ndev_bob,dev_ada\n");
    let mut server = Server::start(&data, &[]);
    let mut watching = server.watch("ada", &[]);
    watching.wait_for("bob is on the list: offline");
    let mut status = server.status("bob", &["coding", "--project", "vscode", "--language", "rust"]);
    status.wait_for("connected as bob (dev_bob): coding · vscode · rust");
    watching.wait_for("bob came: coding · vscode · rust");
    // The server is killed and started again.
    server.running.kill();
    watching.wait_for("trying again");
    status.wait_for("trying again");
    server = server.again();
    status.wait_for("back: the session goes on, nobody noticed");
    // Ctrl-C in the second terminal.
    status.interrupt();
    watching.wait_for("bob went: offline");
    assert_eq!(watching.count("bob went"), 1, "{:#?}", watching.seen);
    assert_eq!(watching.count("bob came"), 1, "{:#?}", watching.seen);
    watching.interrupt();
    server.running.interrupt();
}
