//! A server that does not start says why, with the right exit code, and touches nothing.

use std::net::TcpListener;
use std::path::Path;
use std::process::Output;

use tempfile::TempDir;

use crate::harness::{Server, contents, import, newest_log, rollcall, run, text};

fn serve(data: &Path, flags: &[&str]) -> Output {
    let base = ["serve", "--dev", "--data", text(data), "--listen", "127.0.0.1:0"];
    run(&[&base[..], &["--admin-listen", "none"], flags].concat())
}

/// The server refuses with that exit code and says each of these.
#[track_caller]
fn refuses(output: &Output, code: i32, parts: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(output.stdout.is_empty(), "it served");
    for part in parts {
        assert!(said.contains(part), "{part:?} is not in: {said}");
    }
}

/// A folder that a server was killed over, with a session in it.
fn left_behind() -> TempDir {
    let dir = TempDir::new().unwrap();
    import(dir.path(), "dev_ada,dev_bob\n");
    let mut server = Server::start(dir.path(), &[]);
    let mut bob = server.join("bob", r#""s":"coding""#);
    bob.ask(r#""do":"prefs","visibility":"followers""#);
    server.running.kill();
    drop(server);
    std::fs::remove_file(dir.path().with_extension("csv")).unwrap();
    dir
}

#[test]
fn two_servers_do_not_share_a_data_folder() {
    let dir = TempDir::new().unwrap();
    let server = Server::start(dir.path(), &[]);
    refuses(&serve(dir.path(), &[]), 64, &["in use", text(dir.path()), "--data"]);
    assert_eq!(server.ready(), 200);
}

#[test]
fn an_import_into_a_folder_in_use_is_refused() {
    let dir = TempDir::new().unwrap();
    let server = Server::start(dir.path(), &[]);
    let file = dir.path().join("follows.csv");
    std::fs::write(&file, "dev_ada,dev_bob\n").unwrap();
    let output = run(&["import", "follows", text(&file), "--data", text(dir.path())]);
    refuses(&output, 64, &["in use", "stop"]);
    assert_eq!(server.ready(), 200);
}

#[test]
fn an_address_in_use_is_said_with_its_flag() {
    let dir = TempDir::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = serve(dir.path(), &["--listen", "127.0.0.1:0"]);
    // The flag given twice is a usage error, so the second one is given alone below.
    assert_eq!(output.status.code(), Some(64));
    let data = text(dir.path());
    let public =
        run(&["serve", "--dev", "--data", data, "--listen", &address, "--admin-listen", "none"]);
    refuses(&public, 69, &[&address, "--listen"]);
    let admin = run(&[
        "serve",
        "--dev",
        "--data",
        data,
        "--listen",
        "127.0.0.1:0",
        "--admin-listen",
        &address,
    ]);
    refuses(&admin, 69, &[&address, "--admin-listen"]);
    // The folder is free again.
    let _server = Server::start(dir.path(), &[]);
}

#[test]
fn a_damaged_log_stops_the_start_and_is_left_as_it_is() {
    let dir = left_behind();
    let path = newest_log(dir.path());
    let sound = std::fs::read(&path).unwrap();
    for place in [0, 5, 13, sound.len() / 2] {
        let mut damaged = sound.clone();
        damaged[place] ^= 0x40;
        std::fs::write(&path, &damaged).unwrap();
        let before = contents(dir.path());
        let parts = ["damaged", text(&path), "Nothing was changed", "backup", "move"];
        refuses(&serve(dir.path(), &[]), 65, &parts);
        let after = contents(dir.path());
        let names = |files: &std::collections::BTreeMap<String, Vec<u8>>| {
            files.keys().cloned().collect::<Vec<_>>()
        };
        assert_eq!(names(&after), names(&before), "byte {place}");
        assert!(after == before, "every file is as it was, byte {place}");
    }
    std::fs::write(&path, &sound).unwrap();
    let server = Server::start(dir.path(), &[]);
    assert!(server.join("ada", "").sync.contains("coding"));
}

#[test]
fn a_log_with_a_missing_segment_stops_the_start() {
    let dir = left_behind();
    let path = newest_log(dir.path());
    let whole = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    std::fs::write(dir.path().join("presence-00000050.log"), &whole).unwrap();
    std::fs::write(dir.path().join("presence-00000052.log"), b"").unwrap();
    let before = contents(dir.path());
    refuses(&serve(dir.path(), &[]), 65, &["not whole", "segment 51 is missing"]);
    assert!(contents(dir.path()) == before);
}

#[test]
fn a_damaged_database_stops_the_start_and_is_left_as_it_is() {
    let dir = left_behind();
    let path = dir.path().join("directory.sqlite");
    let log = newest_log(dir.path());
    // A torn log beside it is not touched either.
    let mut torn = std::fs::read(&log).unwrap();
    torn.extend(torn[..6].to_vec());
    std::fs::write(&log, torn).unwrap();
    std::fs::write(&path, "this was a database once").unwrap();
    for extra in ["directory.sqlite-wal", "directory.sqlite-shm"] {
        // Whatever the killed server left beside it.
        let _absent = std::fs::remove_file(dir.path().join(extra));
    }
    let before = contents(dir.path());
    refuses(&serve(dir.path(), &[]), 65, &[text(&path), "was left as it is"]);
    assert!(contents(dir.path()) == before, "every file is as it was");
}

#[test]
fn a_database_with_damaged_pages_is_found_and_left_as_it_is() {
    // With its write-ahead log beside it, as the kill has left it.
    let dir = left_behind();
    let path = dir.path().join("directory.sqlite");
    let mut bytes = std::fs::read(&path).unwrap();
    // The first page, which says what the file is, stays sound.
    bytes[4_096..].fill(0xaa);
    std::fs::write(&path, bytes).unwrap();
    // The index of the write-ahead log holds no data: SQLite makes it anew whenever it reads.
    let data = || {
        let mut files = contents(dir.path());
        files.remove("directory.sqlite-shm");
        files
    };
    let before = data();
    assert!(before.contains_key("directory.sqlite-wal"), "{:?}", before.keys());
    refuses(&serve(dir.path(), &[]), 65, &[text(&path), "damaged", "was left as it is", "backup"]);
    assert!(data() == before, "every file is as it was");
}

#[test]
fn all_that_is_wrong_with_a_configuration_is_said_at_once_and_nothing_is_made() {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("data");
    let config = dir.path().join("rollcall.toml");
    std::fs::write(&config, "colour = \"blue\"\nresume-window = \"1 year\"\n").unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = rollcall(&[
        "serve",
        "--dev",
        "--listen",
        "0.0.0.0:8080",
        "--shards",
        "0",
        "--ping-interval",
        "soon",
        "--store",
        "redis://127.0.0.1",
        "--trusted-proxies",
        "everyone",
        "--allowed-origins",
        "https://*.example",
        "--data",
        text(&data),
        "--config",
        text(&config),
        "--admin-listen",
        &taken.local_addr().unwrap().to_string(),
    ]);
    let output =
        command.env("ROLLCALL_COLOR", "red").env("ROLLCALL_REPORT_RATE", "fast").output().unwrap();
    let expected = [
        "--dev",
        "0.0.0.0:8080",
        "--shards 0",
        "--ping-interval soon",
        "--store redis",
        "--trusted-proxies everyone",
        "--allowed-origins https://*.example",
        "`colour`",
        "--resume-window 1 year",
        "ROLLCALL_COLOR",
        "--report-rate fast",
    ];
    refuses(&output, 64, &expected);
    assert!(!data.exists(), "no folder was made");
    let missing = run(&["serve", "--data", text(&data)]);
    refuses(&missing, 64, &["--dev"]);
    assert!(!data.exists());
    refuses(&run(&["serve", "--nonsense"]), 64, &["--nonsense"]);
}

#[test]
fn a_folder_that_cannot_be_made_is_said() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "no folder").unwrap();
    refuses(&serve(&file.join("data"), &[]), 73, &["--data", text(&file)]);
}
