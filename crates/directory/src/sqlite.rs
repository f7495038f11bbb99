//! Opening and examining the SQLite file.
//!
//! This module never writes to a file before it has found it to be a sound directory of a version
//! that it knows.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection, SqlSafeStr, Sqlite, Transaction};

use crate::error::says_damaged;
use crate::{Directory, DirectoryError, OpenError};

/// Connections that read.
const READERS_MAX: u32 = 4;
/// How long to wait for another process that is writing.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait for a free connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(30);
/// Larger files are not read through at start: it would take too long.
const CHECKED_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// The write-ahead log is cut back to this size after a large transaction.
const WAL_BYTES_KEPT: &str = "67108864";
/// What every SQLite file begins with.
const HEADER: &[u8; 16] = b"SQLite format 3\0";
/// `application_id` of a directory, as the first migration sets it.
const APPLICATION_ID: i64 = 0x5243_4c44;

/// All migrations: version, what it brings, SQL. Never edit one that was released.
const MIGRATIONS: [(i64, &str, &str); 1] =
    [(1, "people and relations", include_str!("../migrations/0001_people_and_relations.sql"))];

/// What `rollcall doctor` tells of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryReport {
    /// Known users.
    pub users: u64,
    /// Follows.
    pub follows: u64,
    /// Size of the database file, without its write-ahead log.
    pub file_bytes: u64,
    /// Version of the schema.
    pub schema_version: i64,
    /// Whether the file is sound.
    pub integrity: Integrity,
}

/// Whether the file is sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Integrity {
    /// Every page was read and nothing is wrong.
    Sound,
    /// What is wrong, at most ten findings.
    Damaged(Vec<String>),
}

fn migrator() -> Migrator {
    let migrations = MIGRATIONS.map(|(version, description, sql)| {
        let sql = sql.into_sql_str();
        Migration::new(version, description.into(), MigrationType::Simple, sql, false)
    });
    Migrator::with_migrations(migrations.into())
}

fn newest_known() -> i64 {
    MIGRATIONS.iter().map(|(version, ..)| *version).max().unwrap_or(0)
}

impl Directory {
    /// Opens the directory in that file, and makes file and folder where they are missing.
    ///
    /// A file that is no sound directory of a version known here is left as it is, byte for byte.
    /// Files up to 512 MiB are read through once; of larger ones header and schema are checked.
    pub async fn open(path: &Path) -> Result<Self, OpenError> {
        // Absolute, so that SQLite never takes a file name for one of its URIs.
        let path = std::path::absolute(path)
            .map_err(|source| OpenError::Unreachable { path: path.into(), source })?;
        if has_content(&path)? {
            examine(&path).await?;
        } else if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .map_err(|source| OpenError::Unreachable { path: path.clone(), source })?;
        }
        let refused = |source| OpenError::Refused { path: path.clone(), source };
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .busy_timeout(BUSY_TIMEOUT)
            .foreign_keys(true)
            .disable_statement_logging();
        let writing = options
            .clone()
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .pragma("journal_size_limit", WAL_BYTES_KEPT);
        let writer = pool(1).connect_with(writing).await.map_err(refused)?;
        migrator()
            .run(&writer)
            .await
            .map_err(|source| OpenError::Migration { path: path.clone(), source })?;
        let readers =
            pool(READERS_MAX).connect_with(options.read_only(true)).await.map_err(refused)?;
        tracing::debug!(path = %path.display(), "directory open");
        Ok(Self { path: Arc::new(path), writer, readers })
    }

    /// Waits for requests under way and closes the file. Clones are closed too.
    pub async fn close(&self) {
        self.readers.close().await;
        // Last, for SQLite folds the write-ahead log into the file with the last connection, which
        // only one that may write can do.
        self.writer.close().await;
    }

    /// Reads the whole file and tells what is in it and whether it is sound. Slow on large files.
    pub async fn check(&self) -> Result<DirectoryReport, DirectoryError> {
        let mut tx = self.read().await?;
        let count = |number: i64| u64::try_from(number).unwrap_or(0);
        let users = sqlx::query_scalar("SELECT COUNT(*) FROM users").fetch_one(&mut *tx).await?;
        let follows =
            sqlx::query_scalar("SELECT COUNT(*) FROM follows").fetch_one(&mut *tx).await?;
        let schema_version = schema_version(&mut tx).await?;
        let findings = quick_check(&mut tx).await?;
        let integrity =
            if findings.is_empty() { Integrity::Sound } else { Integrity::Damaged(findings) };
        let file_bytes = std::fs::metadata(&*self.path)
            .map_err(|error| DirectoryError::Unavailable(sqlx::Error::Io(error)))?
            .len();
        let (users, follows) = (count(users), count(follows));
        Ok(DirectoryReport { users, follows, file_bytes, schema_version, integrity })
    }

    /// Begins a transaction that only reads: all its statements see one state.
    pub(crate) async fn read(&self) -> Result<Transaction<'static, Sqlite>, DirectoryError> {
        Ok(self.readers.begin().await?)
    }

    /// Begins a transaction that writes. What it reads stays true until it ends: the lock is
    /// taken at once, for a read that turns into a write can fail half way.
    pub(crate) async fn write(&self) -> Result<Transaction<'static, Sqlite>, DirectoryError> {
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// The connections that read, for single statements.
    pub(crate) fn readers(&self) -> &SqlitePool {
        &self.readers
    }

    /// The connection that writes, for what cannot stand in a transaction.
    pub(crate) fn writer(&self) -> &SqlitePool {
        &self.writer
    }
}

fn pool(connections_max: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections_max)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // A connection to a file does not die of age; testing it would double each small read.
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
        .after_release(|connection, _| Box::pin(has_ended_its_transaction(connection)))
}

/// Whether a connection can be used again. On a full disk SQLite ends a transaction by itself; sqlx
/// cannot then roll it back and believes for ever to be in it, and every later one would fail.
async fn has_ended_its_transaction(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    if connection.is_in_transaction() {
        // A roll-back may still be under way; the answer comes after it.
        connection.ping().await?;
    }
    Ok(!connection.is_in_transaction())
}

/// Whether there is a file with anything in it. Fails unless it is an SQLite database.
fn has_content(path: &Path) -> Result<bool, OpenError> {
    let unreachable = |source| OpenError::Unreachable { path: path.into(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(unreachable(error)),
    };
    if !file.metadata().map_err(unreachable)?.is_file() {
        return Err(OpenError::NotADatabase { path: path.into() });
    }
    let mut start = Vec::new();
    file.take(HEADER.len() as u64).read_to_end(&mut start).map_err(unreachable)?;
    match start.as_slice() {
        [] => Ok(false),
        start if start == HEADER => Ok(true),
        _ => Err(OpenError::NotADatabase { path: path.into() }),
    }
}

/// Fails unless the file is a sound directory of a known version. Writes nothing.
async fn examine(path: &Path) -> Result<(), OpenError> {
    // A database that was closed in order has no log beside it: then SQLite can be told that
    // nothing changes, and makes no file of its own. With a log (another process is at work, or
    // one was killed) it has to read the log too, with its usual locks.
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .immutable(!PathBuf::from(log).exists())
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging();
    let told = |source: sqlx::Error| {
        if says_damaged(&source) {
            OpenError::Damaged { path: path.into(), finding: source.to_string() }
        } else {
            OpenError::Refused { path: path.into(), source }
        }
    };
    let mut connection = options.connect().await.map_err(told)?;
    let outcome = examine_content(path, &mut connection).await;
    connection.close().await.map_err(told)?;
    match outcome.map_err(told)? {
        Some(refusal) => Err(refusal),
        None => Ok(()),
    }
}

async fn examine_content(
    path: &Path,
    connection: &mut SqliteConnection,
) -> Result<Option<OpenError>, sqlx::Error> {
    let tables: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM sqlite_master")
        .fetch_one(&mut *connection)
        .await?;
    if tables == 0 {
        return Ok(None);
    }
    let application: i64 =
        sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *connection).await?;
    if application != APPLICATION_ID {
        return Ok(Some(OpenError::Foreign { path: path.into() }));
    }
    let (found, known) = (schema_version(connection).await?, newest_known());
    if found > known {
        return Ok(Some(OpenError::Newer { path: path.into(), found, known }));
    }
    let file_bytes = std::fs::metadata(path).map_err(sqlx::Error::Io)?.len();
    if file_bytes > CHECKED_BYTES_MAX {
        return Ok(None);
    }
    let finding = quick_check(connection).await?.into_iter().next();
    Ok(finding.map(|finding| OpenError::Damaged { path: path.into(), finding }))
}

async fn schema_version(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT COALESCE(MAX(version), 0) FROM _sqlx_migrations")
        .fetch_one(connection)
        .await
}

/// At most ten things that are wrong.
async fn quick_check(connection: &mut SqliteConnection) -> Result<Vec<String>, sqlx::Error> {
    match sqlx::query_scalar("PRAGMA quick_check(10)").fetch_all(connection).await {
        Ok(findings) => Ok(findings.into_iter().filter(|finding| finding != "ok").collect()),
        // The check itself may stumble over what it looks for.
        Err(error) if says_damaged(&error) => Ok(vec![error.to_string()]),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use presence::ids::UserId;

    use super::*;
    use crate::WriteRefusal;

    /// What becomes of changes when SQLite is told to behave as on a disk that takes no more.
    async fn refused_after(pragma: &'static str) -> (Directory, tempfile::TempDir, WriteRefusal) {
        let folder = tempfile::tempdir().unwrap();
        let directory = Directory::open(&folder.path().join("directory.sqlite")).await.unwrap();
        let [ada, bob] = ["ada", "bob"].map(|id| UserId::parse(id).unwrap());
        directory.ensure_user(&ada, "ada", "").await.unwrap();
        directory.ensure_user(&bob, "bob", "").await.unwrap();
        sqlx::raw_sql(pragma).execute(directory.writer()).await.unwrap();
        // Long, so that it takes more pages than there are.
        let name = "x".repeat(100_000);
        let error = directory.ensure_user(&ada, &name, "").await.unwrap_err();
        assert!(error.to_string().contains("--directory"), "{error}");
        let DirectoryError::ReadOnly(refusal) = error else { panic!("{error}") };
        let limits = crate::WatchLimits { max: 10, followers: true };
        let person = directory.person(&ada, &limits).await.unwrap().unwrap();
        assert_eq!(&*person.name, "ada", "what is there can still be read, and is unchanged");
        (directory, folder, refusal)
    }

    #[tokio::test]
    async fn a_full_disk_refuses_changes_with_a_clear_error_and_ends_with_it() {
        let (directory, _folder, refusal) = refused_after("PRAGMA max_page_count = 1").await;
        assert_eq!(refusal, WriteRefusal::DiskFull);
        // The connection that ran into the limit was given up, and its limit with it.
        let ada = UserId::parse("ada").unwrap();
        directory.ensure_user(&ada, "Ada L.", "").await.unwrap();
    }

    #[tokio::test]
    async fn a_read_only_file_refuses_changes_with_a_clear_error() {
        let (directory, _folder, refusal) = refused_after("PRAGMA query_only = 1").await;
        assert_eq!(refusal, WriteRefusal::NotWritable);
        let [ada, bob] = ["ada", "bob"].map(|id| UserId::parse(id).unwrap());
        let refused = directory.follow(&ada, &bob, |_, _, _, sight| sight).await;
        assert!(
            matches!(refused, Err(DirectoryError::ReadOnly(WriteRefusal::NotWritable))),
            "{refused:?}"
        );
    }
}
