//! The data folder and the directory in it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;

use directory::{Directory, Integrity};
use store::folder::{DataFolder, LOCK_FILE};

use super::Finding;
use crate::failure::Failure;
use crate::import::{PlaceArgs, block_on};

/// With less room the server soon refuses changes.
const ROOM_MIN: u64 = 64 << 20;
/// With less it is time to look.
const ROOM_GOOD: u64 = 1 << 30;

/// What was found in the place of the data folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Folder {
    /// Nothing, or no folder.
    Absent,
    /// A folder that no server uses.
    Free,
    /// A folder that a running server holds.
    Held,
}

/// Looks at the folder, and at the directory unless a server uses it.
pub(super) fn examine(place: &PlaceArgs, findings: &mut Vec<Finding>) -> Folder {
    let folder = examine_folder(&place.data, findings);
    findings.push(examine_directory(&place.directory(), &place.data, folder));
    folder
}

fn examine_folder(data: &Path, findings: &mut Vec<Finding>) -> Folder {
    const SUBJECT: &str = "data folder";
    let shown = data.display();
    match std::fs::metadata(data) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let sentence = format!("{shown} does not exist yet; `rollcall serve` makes it");
            findings.push(Finding::ok(SUBJECT, sentence));
            return Folder::Absent;
        }
        Err(error) => {
            let sentence = format!("{shown} cannot be looked at: {error}; check --data");
            findings.push(Finding::problem(SUBJECT, sentence));
            return Folder::Absent;
        }
        Ok(found) if !found.is_dir() => {
            let sentence = format!("{shown} is no folder; name another with --data");
            findings.push(Finding::problem(SUBJECT, sentence));
            return Folder::Absent;
        }
        Ok(_) => {}
    }
    findings.push(match try_writing(data) {
        Ok(()) => Finding::ok(SUBJECT, format!("{shown} can be written")),
        Err(error) => Finding::problem(
            SUBJECT,
            format!("{shown} cannot be written: {error}; give its owner to the server's user"),
        ),
    });
    findings.push(room(data));
    let held = is_held(data);
    findings.push(match held {
        Ok(true) => Finding::ok(SUBJECT, "a running server holds it"),
        Ok(false) => Finding::ok(SUBJECT, "no server holds it"),
        Err(ref error) => Finding::warning(SUBJECT, format!("{LOCK_FILE} in it: {error}")),
    });
    if held.unwrap_or(false) { Folder::Held } else { Folder::Free }
}

/// Writes a file of its own and takes it away again.
fn try_writing(data: &Path) -> io::Result<()> {
    let path = data.join(format!("doctor-{}", std::process::id()));
    let written = OpenOptions::new().write(true).create_new(true).open(&path);
    written.and_then(|file| {
        drop(file);
        std::fs::remove_file(&path)
    })
}

fn room(data: &Path) -> Finding {
    const SUBJECT: &str = "disk";
    let free = match fs4::available_space(data) {
        Ok(free) => free,
        Err(error) => return Finding::warning(SUBJECT, format!("free space unknown: {error}")),
    };
    let sentence = format!("{} MiB free for {}", free >> 20, data.display());
    let full = "on a full disk presence goes on, and changes of relations are refused";
    match free {
        ..ROOM_MIN => Finding::problem(SUBJECT, format!("only {sentence}; make room: {full}")),
        ROOM_MIN..ROOM_GOOD => Finding::warning(SUBJECT, format!("{sentence}; {full}")),
        _ => Finding::ok(SUBJECT, sentence),
    }
}

/// Whether a server has the folder's lock.
fn is_held(data: &Path) -> io::Result<bool> {
    let lock = match File::open(data.join(LOCK_FILE)) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    match lock.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn examine_directory(path: &Path, data: &Path, folder: Folder) -> Finding {
    const SUBJECT: &str = "directory";
    let shown = path.display();
    if !path.exists() {
        let sentence = format!("{shown} does not exist yet; `rollcall serve` makes it");
        return Finding::ok(SUBJECT, sentence);
    }
    if folder == Folder::Held {
        let sentence = format!("{shown} is in use; stop the server to have it read through");
        return Finding::ok(SUBJECT, sentence);
    }
    // No server may start meanwhile, for opening brings an older file up to date.
    let held = (folder == Folder::Free).then(|| DataFolder::lock(data)).transpose();
    let report = held.map_err(|error| Failure::Failed(error.to_string())).and_then(|_held| {
        block_on(async {
            let failed = |error: &dyn std::error::Error| Failure::Failed(error.to_string());
            let directory = Directory::open(path).await.map_err(|error| failed(&error))?;
            let report = directory.check().await;
            directory.close().await;
            report.map_err(|error| failed(&error))
        })
    });
    match report {
        Err(failure) => Finding::problem(SUBJECT, failure.to_string()),
        Ok(report) => match report.integrity {
            Integrity::Sound => Finding::ok(
                SUBJECT,
                format!("{shown} is sound: {} users, {} follows", report.users, report.follows),
            ),
            Integrity::Damaged(found) => Finding::problem(
                SUBJECT,
                format!("{shown} is damaged ({}); put a backup in its place", found.join("; ")),
            ),
        },
    }
}
