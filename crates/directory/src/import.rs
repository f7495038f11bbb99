//! Reading millions of follows from a file of `follower,followee` lines.
//!
//! One transaction holds all of it: a file is imported whole or not at all. This module never
//! holds more than a batch of lines, but one integer and the text of every user id it has met.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};

use presence::ids::{UserId, UserIdError};
use sqlx::sqlite::SqliteConnection;
use sqlx::{QueryBuilder, Row, Sqlite};

use crate::{Directory, DirectoryError};

/// Lines that are sorted and written together: sorted, they touch each page of the tree once.
const BATCH_LINES: usize = 50_000;
/// Rows of one statement.
const ROWS_PER_STATEMENT: usize = 500;
/// Longest line, in bytes; two ids and a comma take at most 129.
const LINE_BYTES_MAX: usize = 1024;
/// Size of the reads from the file.
const READ_BYTES: usize = 256 * 1024;
/// SQLite's page cache while importing, in KiB.
const CACHE_KIB: usize = 256 * 1024;
/// SQLite's own default.
const DEFAULT_CACHE_KIB: usize = 2000;
/// The optional first line.
const COLUMNS: [&str; 2] = ["follower", "followee"];

/// What an import came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ImportReport {
    /// Follows in the file. Blank lines and the line with the names of the columns don't count.
    pub lines: u64,
    /// Users who did not exist.
    pub users_made: u64,
    /// Follows that did not exist.
    pub follows_made: u64,
    /// Follows that existed already, or stand in the file twice.
    pub already_there: u64,
}

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A line is not `follower,followee`.
    #[error(
        "line {line}: {reason}; nothing of the file was imported: correct the line and import again"
    )]
    BadLine {
        /// Number of the line, from 1.
        line: u64,
        /// What is wrong with it.
        reason: LineError,
    },
    /// The file could not be read to its end.
    #[error("the file could not be read after line {line}: {source}; nothing of it was imported")]
    Unreadable {
        /// The last line that was read.
        line: u64,
        /// What the system said.
        source: std::io::Error,
    },
    /// The directory failed.
    #[error("nothing was imported: {0}")]
    Directory(#[from] DirectoryError),
}

impl From<sqlx::Error> for ImportError {
    fn from(error: sqlx::Error) -> Self {
        Self::Directory(error.into())
    }
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// Not two fields.
    #[error(
        "a line is `follower,followee`, two user ids with a comma between, this one has {0} fields"
    )]
    Fields(usize),
    /// Not a user id.
    #[error("the {column} is no user id: {reason}")]
    Id {
        /// `follower` or `followee`.
        column: &'static str,
        /// Why.
        reason: UserIdError,
    },
    /// Both the same.
    #[error("{0} cannot follow itself")]
    Oneself(Box<str>),
    /// Not UTF-8.
    #[error("it is not text in UTF-8")]
    NotText,
    /// Longer than two ids can be.
    #[error("it has more than {LINE_BYTES_MAX} bytes")]
    TooLong,
}

impl Directory {
    /// Imports follows from lines of `follower,followee`, and makes users who are missing. Blank
    /// lines and a first line `follower,followee` are passed over. `progress` is told how many
    /// lines were read, now and then and at the end.
    ///
    /// Reads in place: run it where waiting for a file hurts nobody.
    pub async fn import_follows(
        &self,
        reader: impl Read,
        mut progress: impl FnMut(u64),
    ) -> Result<ImportReport, ImportError> {
        set_cache(self, CACHE_KIB).await?;
        let outcome = self.import_whole(reader, &mut progress).await;
        // What became of the import does not depend on this.
        if let Err(error) = set_cache(self, DEFAULT_CACHE_KIB).await {
            tracing::warn!(%error, "the directory keeps the large cache of an import");
        }
        outcome
    }

    async fn import_whole(
        &self,
        reader: impl Read,
        progress: &mut impl FnMut(u64),
    ) -> Result<ImportReport, ImportError> {
        let mut lines = Lines::new(reader);
        let mut people = People::default();
        let mut report = ImportReport::default();
        let mut tx = self.write().await?;
        let before: i64 =
            sqlx::query_scalar("SELECT last FROM tie_counter").fetch_one(&mut *tx).await?;
        let mut made = before;
        loop {
            let mut batch = Vec::new();
            while batch.len() < BATCH_LINES
                && let Some((follower, followee)) = lines.next_follow(&mut people)?
            {
                made += 1;
                batch.push((follower, followee, made));
            }
            if batch.is_empty() {
                break;
            }
            report.users_made += people.settle(&mut tx).await?;
            let follows_made = write_follows(&mut tx, &people, &batch).await?;
            report.lines += batch.len() as u64;
            report.follows_made += follows_made;
            report.already_there += batch.len() as u64 - follows_made;
            progress(lines.number);
        }
        if report.follows_made > 0 {
            raise_versions(&mut tx, before).await?;
            sqlx::query("UPDATE tie_counter SET last = $1").bind(made).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        progress(lines.number);
        Ok(report)
    }
}

async fn set_cache(directory: &Directory, kib: usize) -> Result<(), DirectoryError> {
    // Negative: KiB, not pages. Shrinking gives back what the import took.
    let statement = format!("PRAGMA cache_size = -{kib}; PRAGMA shrink_memory");
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(directory.writer()).await?;
    Ok(())
}

/// Raises the version of everyone whose follows changed, but not of whom the new follower blocks:
/// they must not notice.
async fn raise_versions(
    connection: &mut SqliteConnection,
    before: i64,
) -> Result<(), DirectoryError> {
    sqlx::query(
        "UPDATE users SET relations = relations + 1 WHERE key IN (
             SELECT follower FROM follows WHERE made > $1
             UNION
             SELECT f.followee FROM follows f WHERE f.made > $1 AND NOT EXISTS
                 (SELECT 1 FROM blocks WHERE blocker = f.follower AND blocked = f.followee)
         )",
    )
    .bind(before)
    .execute(connection)
    .await?;
    Ok(())
}

/// The lines of a file that are meant to be follows, one after the other.
struct Lines<R> {
    input: BufReader<R>,
    line: Vec<u8>,
    /// Lines read so far.
    number: u64,
    /// Whether only blank lines came so far.
    at_top: bool,
}

impl<R: Read> Lines<R> {
    fn new(reader: R) -> Self {
        let input = BufReader::with_capacity(READ_BYTES, reader);
        Self { input, line: Vec::new(), number: 0, at_top: true }
    }

    /// The next follow as two numbers of `people`.
    fn next_follow(&mut self, people: &mut People) -> Result<Option<(usize, usize)>, ImportError> {
        while self.read_line()? {
            let bad = |reason| ImportError::BadLine { line: self.number, reason };
            let text = std::str::from_utf8(&self.line).map_err(|_| bad(LineError::NotText))?;
            // Some programs begin a text file with a byte order mark.
            let text = text.trim_start_matches('\u{feff}').trim();
            if text.is_empty() {
                continue;
            }
            let (follower, followee) = split(text).map_err(bad)?;
            if std::mem::take(&mut self.at_top) && [follower, followee] == COLUMNS {
                continue;
            }
            let [follower, followee] = [(COLUMNS[0], follower), (COLUMNS[1], followee)]
                .map(|(column, id)| people.place(id).map_err(|reason| (column, reason)));
            let id = |(column, reason)| bad(LineError::Id { column, reason });
            let (follower, followee) = (follower.map_err(id)?, followee.map_err(id)?);
            if follower == followee {
                return Err(bad(LineError::Oneself(people.id(follower).into())));
            }
            return Ok(Some((follower, followee)));
        }
        Ok(None)
    }

    /// Reads the next line; false at the end of the file.
    fn read_line(&mut self) -> Result<bool, ImportError> {
        self.line.clear();
        let limit = LINE_BYTES_MAX as u64 + 1;
        let read = self
            .input
            .by_ref()
            .take(limit)
            .read_until(b'\n', &mut self.line)
            .map_err(|source| ImportError::Unreadable { line: self.number, source })?;
        self.number += u64::from(read > 0);
        if read > LINE_BYTES_MAX {
            let reason = LineError::TooLong;
            return Err(ImportError::BadLine { line: self.number, reason });
        }
        Ok(read > 0)
    }
}

fn split(text: &str) -> Result<(&str, &str), LineError> {
    match text.split_once(',') {
        Some((follower, followee)) if !followee.contains(',') => {
            Ok((follower.trim(), followee.trim()))
        }
        _ => Err(LineError::Fields(text.split(',').count())),
    }
}

/// Everyone whom the file has named so far, numbered in the order of their appearance.
#[derive(Default)]
struct People {
    places: HashMap<Box<str>, usize>,
    ids: Vec<Box<str>>,
    /// The database's key of each; shorter than `ids` until the new ones are settled.
    keys: Vec<i64>,
}

impl People {
    fn place(&mut self, id: &str) -> Result<usize, UserIdError> {
        if let Some(place) = self.places.get(id) {
            return Ok(*place);
        }
        UserId::parse(id)?;
        let place = self.ids.len();
        self.places.insert(id.into(), place);
        self.ids.push(id.into());
        Ok(place)
    }

    fn id(&self, place: usize) -> &str {
        &self.ids[place]
    }

    /// Finds the keys of those who came since the last time, and makes whoever is missing. Tells
    /// how many were made.
    async fn settle(&mut self, connection: &mut SqliteConnection) -> Result<u64, ImportError> {
        let start = self.keys.len();
        self.keys.resize(self.ids.len(), 0);
        let mut users_made = 0;
        for first in (start..self.ids.len()).step_by(ROWS_PER_STATEMENT) {
            let end = self.ids.len().min(first + ROWS_PER_STATEMENT);
            let ids = &self.ids[first..end];
            let full = ids.len() == ROWS_PER_STATEMENT;
            let mut make = QueryBuilder::<Sqlite>::new("INSERT INTO users (id, name, avatar) ");
            make.push_values(ids, |mut row, id| {
                row.push_bind(&**id).push_bind(name_of(id)).push_bind("");
            });
            make.push(" ON CONFLICT (id) DO NOTHING");
            let made = make.build().persistent(full).execute(&mut *connection).await?;
            users_made += made.rows_affected();
            let mut find = QueryBuilder::<Sqlite>::new("SELECT key, id FROM users WHERE id IN (");
            let mut list = find.separated(", ");
            for id in ids {
                list.push_bind(&**id);
            }
            find.push(")");
            for row in find.build().persistent(full).fetch_all(&mut *connection).await? {
                let place = self.places[row.try_get::<&str, _>(1)?];
                self.keys[place] = row.try_get(0)?;
            }
        }
        Ok(users_made)
    }
}

/// What a user is called of whom nothing but the id is known.
fn name_of(id: &str) -> &str {
    id.strip_prefix("dev_").unwrap_or(id)
}

/// Writes a batch; tells how many follows did not exist before.
async fn write_follows(
    connection: &mut SqliteConnection,
    people: &People,
    batch: &[(usize, usize, i64)],
) -> Result<u64, ImportError> {
    let mut rows: Vec<(i64, i64, i64)> = batch
        .iter()
        .map(|(follower, followee, made)| (people.keys[*follower], people.keys[*followee], *made))
        .collect();
    rows.sort_unstable();
    let mut follows_made = 0;
    for chunk in rows.chunks(ROWS_PER_STATEMENT) {
        let mut insert =
            QueryBuilder::<Sqlite>::new("INSERT INTO follows (follower, followee, made) ");
        insert.push_values(chunk, |mut row, (follower, followee, made)| {
            row.push_bind(*follower).push_bind(*followee).push_bind(*made);
        });
        insert.push(" ON CONFLICT (follower, followee) DO NOTHING");
        let full = chunk.len() == ROWS_PER_STATEMENT;
        let made = insert.build().persistent(full).execute(&mut *connection).await?;
        follows_made += made.rows_affected();
    }
    Ok(follows_made)
}
