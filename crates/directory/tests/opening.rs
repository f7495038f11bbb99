//! Opening: new files, good files, and files that have to be left alone.

mod common;

use std::path::Path;

use common::{LIMITS, World, bytes_of, id, same};
use directory::{Directory, Integrity, OpenError};
use sqlx::{ConnectOptions, Connection};

/// Runs SQL on a file behind the directory's back.
async fn sql(path: &Path, statements: &'static str) {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let mut connection = options.connect().await.expect("a connection");
    sqlx::raw_sql(statements).execute(&mut connection).await.expect("good SQL");
    connection.close().await.expect("closed");
}

/// The error of opening that file, after which its whole folder has to be as before.
async fn refusal(path: &Path) -> OpenError {
    let folder = path.parent().expect("a folder");
    let before = bytes_of(folder);
    let error = Directory::open(path).await.expect_err("this is no good file");
    assert!(bytes_of(folder) == before, "a refused file and its folder stay as they are");
    error
}

#[tokio::test]
async fn a_missing_file_is_made_with_its_folder_and_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("not/yet/there.sqlite");
    let directory = Directory::open(&path).await.unwrap();
    directory.ensure_user(&id("ada"), "Ada", "").await.unwrap();
    directory.ensure_user(&id("bob"), "Bob", "").await.unwrap();
    directory.follow(&id("ada"), &id("bob"), same).await.unwrap();
    directory.close().await;
    let names: Vec<_> = bytes_of(path.parent().unwrap()).into_keys().collect();
    assert_eq!(names, std::slice::from_ref(&path), "closed in order, it is one file");

    let directory = Directory::open(&path).await.unwrap();
    let list = directory.watch_list(&id("ada"), &LIMITS).await.unwrap().unwrap();
    assert_eq!(list.entries.len(), 1);
    let report = directory.check().await.unwrap();
    assert_eq!((report.users, report.follows, report.schema_version), (2, 1, 1));
    assert_eq!(report.integrity, Integrity::Sound);
    assert!(report.file_bytes > 0);
    directory.close().await;
}

#[tokio::test]
async fn an_empty_file_counts_as_a_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("directory.sqlite");
    std::fs::write(&path, b"").unwrap();
    Directory::open(&path).await.unwrap().close().await;
}

#[tokio::test]
async fn a_file_that_is_no_database_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("directory.sqlite");
    for content in [&b"follower,followee\n"[..], b"SQ", &[0; 5000]] {
        std::fs::write(&path, content).unwrap();
        let error = refusal(&path).await;
        assert!(matches!(error, OpenError::NotADatabase { .. }), "{error}");
        assert!(error.to_string().contains("--directory"), "{error}");
    }
    let error = Directory::open(folder.path()).await.unwrap_err();
    assert!(matches!(error, OpenError::NotADatabase { .. }), "a folder: {error}");
}

#[tokio::test]
async fn a_database_of_another_program_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bookmarks.sqlite");
    sql(&path, "CREATE TABLE bookmarks (address TEXT)").await;
    let error = refusal(&path).await;
    assert!(matches!(error, OpenError::Foreign { .. }), "{error}");
}

#[tokio::test]
async fn a_directory_of_a_newer_version_is_left_alone() {
    let world = World::of(&["ada"]).await;
    world.directory.close().await;
    sql(
        &world.file(),
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (7, 'from the future', TRUE, x'00', 1)",
    )
    .await;
    let error = refusal(&world.file()).await;
    assert!(matches!(error, OpenError::Newer { found: 7, known: 1, .. }), "{error}");
    assert!(error.to_string().contains("newer version of rollcall"), "{error}");
}

#[tokio::test]
async fn a_damaged_directory_is_left_alone() {
    let world = World::of(&[]).await;
    let follows: String = (1..2000).map(|n| format!("dev_{n},dev_0\n")).collect();
    world.directory.import_follows(follows.as_bytes(), |_| {}).await.unwrap();
    world.directory.close().await;
    let sound = std::fs::read(world.file()).unwrap();

    let mut overwritten = sound.clone();
    let middle = sound.len() / 2;
    overwritten[middle..middle + 8192].fill(0xa5);
    let mut schema_lost = sound.clone();
    schema_lost[100..4000].fill(0xff);
    let cut = sound[..sound.len() - 10_000].to_vec();
    for (what, bytes) in [("overwritten", overwritten), ("schema", schema_lost), ("cut", cut)] {
        std::fs::write(world.file(), bytes).unwrap();
        let error = refusal(&world.file()).await;
        assert!(matches!(error, OpenError::Damaged { .. }), "{what}: {error}");
        assert!(error.to_string().contains("backup"), "{error}");
    }
    std::fs::write(world.file(), sound).unwrap();
    Directory::open(&world.file()).await.unwrap().close().await;
}

/// The files of a directory as a process leaves them that is killed.
fn leave_as_killed(world: &World) -> tempfile::TempDir {
    let left = tempfile::tempdir().expect("there is room for a folder");
    for (path, bytes) in bytes_of(world.folder.path()) {
        let name = path.file_name().expect("a file");
        std::fs::write(left.path().join(name), bytes).expect("a copy");
    }
    left
}

#[tokio::test]
async fn what_was_written_before_a_kill_is_there_after_it() {
    let world = World::of(&["ada", "bob"]).await;
    world.acts(&["ada follows bob"]).await;
    let left = leave_as_killed(&world);
    let directory = Directory::open(&left.path().join("directory.sqlite")).await.unwrap();
    let list = directory.watch_list(&id("ada"), &LIMITS).await.unwrap().unwrap();
    assert_eq!(list.entries.len(), 1);
    directory.close().await;
}

#[tokio::test]
async fn a_damaged_directory_of_a_killed_process_keeps_its_log() {
    let world = World::of(&["ada", "bob"]).await;
    world.directory.close().await;
    let directory = Directory::open(&world.file()).await.unwrap();
    directory.follow(&id("ada"), &id("bob"), same).await.unwrap();
    let left = leave_as_killed(&world);
    directory.close().await;
    let path = left.path().join("directory.sqlite");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[4096 * 3..].fill(0xa5);
    std::fs::write(&path, bytes).unwrap();
    // SQLite's index of the log, the `-shm` file, is made anew by whoever reads it.
    let kept = || {
        let mut bytes = bytes_of(left.path());
        bytes.retain(|path, _| !path.to_string_lossy().ends_with("-shm"));
        bytes
    };
    let before = kept();
    let error = Directory::open(&path).await.unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    assert!(kept() == before);
}

#[tokio::test]
async fn a_second_process_may_open_what_another_has_open() {
    let world = World::of(&["ada"]).await;
    let second = Directory::open(&world.file()).await.unwrap();
    second.ensure_user(&id("bob"), "bob", "").await.unwrap();
    world.acts(&["ada follows bob"]).await;
    let list = second.watch_list(&id("ada"), &LIMITS).await.unwrap().unwrap();
    assert_eq!(list.entries.len(), 1);
    second.close().await;
    world.acts(&["ada unfollows bob"]).await;
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, b"x").unwrap();
    let error = Directory::open(&file.join("directory.sqlite")).await.unwrap_err();
    assert!(matches!(error, OpenError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("--directory"), "{error}");
}
