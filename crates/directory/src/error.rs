//! Why the directory could not do what was asked, in sentences for whoever runs the server.
//!
//! This module never decides anything: it sorts what SQLite says into what a caller can act on.

use std::fmt;
use std::path::PathBuf;

use presence::ids::UserId;

/// Why a request to the directory failed.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// The two have no relation that allows it, or are one and the same person.
    #[error(
        "{actor} and {other} have no relation that allows this; one has to follow the other first"
    )]
    NotRelated {
        /// Who asked.
        actor: UserId,
        /// Towards whom.
        other: UserId,
    },
    /// Nobody has that id.
    #[error("nobody here has the id {0}")]
    NoSuchUser(UserId),
    /// The directory can be read but not written. Nothing was changed.
    #[error("the directory cannot be written: {0}")]
    ReadOnly(WriteRefusal),
    /// The directory did not answer, or answered with something that cannot be true.
    #[error(
        "the directory (setting `--directory`) did not answer: {0}; `rollcall doctor` examines it"
    )]
    Unavailable(#[source] sqlx::Error),
}

/// Why nothing can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteRefusal {
    /// No room left on the disk.
    DiskFull,
    /// The file or its file system does not allow writing.
    NotWritable,
    /// The disk failed while writing.
    DiskFailed,
}

impl fmt::Display for WriteRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DiskFull => {
                "the disk is full; free some space on the disk that holds `--directory` (by \
                 default `directory.sqlite` in `--data`)"
            }
            Self::NotWritable => {
                "the file is read-only; give the server's user the right to write the file of \
                 `--directory` and its folder"
            }
            Self::DiskFailed => {
                "the disk reported an error; look into the system's log and check the disk that \
                 holds `--directory`"
            }
        })
    }
}

/// SQLite's result codes, <https://www.sqlite.org/rescode.html>.
mod code {
    pub(super) const READONLY: u32 = 8;
    pub(super) const IOERR: u32 = 10;
    pub(super) const CORRUPT: u32 = 11;
    pub(super) const FULL: u32 = 13;
    pub(super) const NOTADB: u32 = 26;
    /// The read errors among the extended codes of IOERR: reading and reading short.
    pub(super) const IOERR_READS: [u32; 2] = [10 | (1 << 8), 10 | (2 << 8)];
}

fn sqlite_code(error: &sqlx::Error) -> Option<u32> {
    error.as_database_error()?.code()?.parse().ok()
}

/// Whether SQLite found that the file's content cannot be right.
pub(crate) fn says_damaged(error: &sqlx::Error) -> bool {
    sqlite_code(error).is_some_and(|code| matches!(code & 0xff, code::CORRUPT | code::NOTADB))
}

impl From<sqlx::Error> for DirectoryError {
    fn from(error: sqlx::Error) -> Self {
        let Some(code) = sqlite_code(&error) else { return Self::Unavailable(error) };
        match code & 0xff {
            code::FULL => Self::ReadOnly(WriteRefusal::DiskFull),
            code::READONLY => Self::ReadOnly(WriteRefusal::NotWritable),
            code::IOERR if !code::IOERR_READS.contains(&code) => {
                Self::ReadOnly(WriteRefusal::DiskFailed)
            }
            _ => Self::Unavailable(error),
        }
    }
}

/// Why a directory could not be opened. Unless said otherwise nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder or the file cannot be made or read.
    #[error("cannot open the directory {}: {source}; check `--directory` (or `--data`) and the rights on that folder", path.display())]
    Unreachable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is something else than an SQLite database.
    #[error("{} is not an SQLite database and was left as it is; let `--directory` name a directory file, or a new one", path.display())]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// The file is an SQLite database of another program.
    #[error("{} is a database of another program and was left as it is; let `--directory` name a directory file, or a new one", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file is damaged.
    #[error("the directory {} is damaged ({finding}) and was left as it is; put a backup in its place, or move it away and save what can be saved with `sqlite3 FILE .recover`", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the check found first.
        finding: String,
    },
    /// The file was written by a newer version of Rollcall.
    #[error("the directory {} has schema version {found}, but this program knows only up to {known}; it was left as it is: run the newer version of rollcall that made it, or put back a backup", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// The schema version of the file.
        found: i64,
        /// The newest that this program knows.
        known: i64,
    },
    /// SQLite refused.
    #[error("cannot open the directory {}: {source}; check `--directory`, the rights on its folder and the room on its disk", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: sqlx::Error,
    },
    /// The schema could not be brought up to date; the failed step was rolled back.
    #[error("cannot bring the directory {} up to date: {source}; put back a backup or run the version of rollcall that made it", path.display())]
    Migration {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: sqlx::migrate::MigrateError,
    },
}
