//! The log: segments of records, each with its length and checksums.
//!
//! Everything a segment needs stands before its `Complete`, so older ones can go. A record that
//! was being written when the machine died (the file ends within it) is set aside and said; any
//! other damage stops the start, and nothing is touched.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::{Sender, bounded};
use presence::ids::Epoch;
use presence::time::Timestamp;

use crate::embedded::record::Record;

/// Longest record, in bytes. A user with 20 sessions takes about 10 KiB.
pub const RECORD_BYTES_MAX: u32 = 1 << 20;
/// Length, checksum of the length, checksum of the payload; each four bytes, little endian.
const HEADER_BYTES: usize = 12;

/// Why the log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A record is not what was written.
    #[error(
        "the presence log {path} is damaged at byte {offset} ({what}). Nothing was changed. \
         Restore the data folder from a backup, or move the files {pattern} away to start without \
         the sessions in them: people then show as offline until they connect again"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: usize,
        /// What is wrong there.
        what: &'static str,
        /// The files to move away.
        pattern: String,
    },
    /// The files do not belong together.
    #[error(
        "the presence log in {dir} is not whole: {what}. Nothing was changed. Restore the data \
         folder from a backup, or move its presence-*.log files away to start without sessions"
    )]
    NotWhole {
        /// The folder.
        dir: PathBuf,
        /// What is missing.
        what: String,
    },
    /// The system refuses.
    #[error("the presence log {path} cannot be used: {source}; check the data folder (--data)")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// No thread could be started.
    #[error("the store's thread cannot be started: {0}")]
    Thread(io::Error),
}

/// What the log had.
#[derive(Debug)]
pub struct Recovered {
    /// The life of the data.
    pub epoch: Epoch,
    /// The newest time written.
    pub last_time: Timestamp,
    /// Every record, oldest first.
    pub records: Vec<Record>,
}

/// An open log.
#[derive(Debug)]
pub struct Log {
    dir: PathBuf,
    epoch: Epoch,
    segment: u64,
    file: Option<Arc<File>>,
    /// Segments before this one, and those of them that are not synced yet.
    older: Vec<PathBuf>,
    retired: Vec<Arc<File>>,
    /// Every user stands in the newest segment.
    is_whole: bool,
    pending: Vec<u8>,
    /// Bytes of the segment that are whole records.
    written: u64,
    is_failing: bool,
    /// It was said that the log is failing, which is said once and not at each attempt.
    is_told: bool,
    syncer: Syncer,
}

/// Syncs files on a thread of its own: a disk that takes its time delays nobody.
#[derive(Debug)]
struct Syncer {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    has_failed: Arc<AtomicBool>,
}

/// Files to sync, and files that are not needed once that is done.
#[derive(Debug)]
struct Job {
    sync: Vec<Arc<File>>,
    remove: Vec<PathBuf>,
}

/// A log as it stands in a folder: read and found sound, nothing changed yet.
#[derive(Debug)]
pub struct Found {
    dir: PathBuf,
    files: Vec<(u64, PathBuf)>,
    parts: Vec<Part>,
    /// The newest segment that holds every user: older ones are not needed.
    first: usize,
}

impl Found {
    /// Reads and checks the log in a folder. A folder without one is fine.
    pub fn read(dir: &Path) -> Result<Self, LogError> {
        let files = segments(dir)?;
        let mut parts = Vec::new();
        for (_, path) in &files {
            let bytes = std::fs::read(path).map_err(|e| LogError::io(path, e))?;
            parts.push(read_segment(path, &bytes)?);
        }
        let whole = parts.iter().rposition(|part| part.records.contains(&Record::Complete));
        let has_users = |part: &Part| part.records.iter().any(|r| matches!(r, Record::User(_)));
        if whole.is_none() && parts.iter().any(has_users) {
            return Err(LogError::not_whole(dir, "no segment holds every user".into()));
        }
        let first = whole.unwrap_or(0);
        for pair in files.windows(2).skip(first) {
            if pair[1].0 != pair[0].0 + 1 {
                let what = format!("segment {} is missing", pair[0].0 + 1);
                return Err(LogError::not_whole(dir, what));
            }
        }
        Ok(Self { dir: dir.to_owned(), files, parts, first })
    }
}

impl Log {
    /// Opens the log that was found; where there was none the epoch `fresh` begins. Writing begins
    /// with [`Log::begin_segment`].
    pub fn open(found: Found, fresh: Epoch) -> Result<(Self, Recovered), LogError> {
        let Found { dir, files, parts, first } = found;
        let mut recovered =
            Recovered { epoch: fresh, last_time: Timestamp::NEVER, records: Vec::new() };
        // The power may go while a segment and the one after it are both not synced. What stands
        // before a whole one is not needed any more, torn or not.
        for ((number, path), part) in files.iter().zip(&parts).skip(first) {
            if let Some(torn_at) = part.torn_at {
                set_aside(path, *number, torn_at)?;
            }
        }
        for part in parts.into_iter().skip(first) {
            recovered.take(part.records);
        }
        let log = Self {
            dir,
            epoch: recovered.epoch,
            segment: files.last().map_or(0, |(number, _)| *number),
            file: None,
            older: files.into_iter().map(|(_, path)| path).collect(),
            retired: Vec::new(),
            is_whole: true,
            pending: Vec::new(),
            written: 0,
            is_failing: false,
            is_told: false,
            syncer: Syncer::start()?,
        };
        Ok((log, recovered))
    }

    /// Begins a new segment. The caller then adds every user, and `Complete`.
    pub fn begin_segment(&mut self) {
        self.pending.clear();
        // An attempt that failed half way is made again in its place: what it left holds nothing
        // that is not in memory, and takes the space that this one needs.
        let next = if self.is_whole { self.segment + 1 } else { self.segment };
        let path = self.path(next);
        let made = File::create(&path).and_then(|_| OpenOptions::new().append(true).open(&path));
        match made.and_then(|file| File::open(&self.dir)?.sync_all().map(|()| file)) {
            Ok(file) => {
                if let Some(before) = self.file.take()
                    && self.is_whole
                {
                    self.retired.push(before);
                    self.older.push(self.path(self.segment));
                }
                self.segment = next;
                self.is_whole = false;
                self.file = Some(Arc::new(file));
                self.written = 0;
                self.is_failing = false;
                self.add(&Record::Begin { epoch: self.epoch, segment: self.segment });
                self.write();
            }
            Err(error) => self.fail(&error),
        }
    }

    /// Adds a record to what [`Log::write`] writes.
    pub fn add(&mut self, record: &Record) {
        if self.is_failing {
            return;
        }
        let Ok(payload) = postcard::to_stdvec(record) else {
            panic!("a record has nothing that cannot be written");
        };
        let Some(length) = u32::try_from(payload.len()).ok().filter(|l| *l <= RECORD_BYTES_MAX)
        else {
            panic!("a user's record is bounded by the limits on sessions and texts");
        };
        let length = length.to_le_bytes();
        self.pending.extend_from_slice(&length);
        self.pending.extend_from_slice(&crc32fast::hash(&length).to_le_bytes());
        self.pending.extend_from_slice(&crc32fast::hash(&payload).to_le_bytes());
        self.pending.extend_from_slice(&payload);
    }

    /// Writes what was added, in one go. When that fails the log is failing until a new segment
    /// can be begun.
    pub fn write(&mut self) {
        if self.pending.is_empty() || self.is_failing {
            return;
        }
        let Some(file) = &self.file else { return };
        let mut writer: &File = file;
        match writer.write_all(&self.pending) {
            Ok(()) => {
                self.written += self.pending.len() as u64;
                self.pending.clear();
            }
            Err(error) => {
                // Half a record may stand at the end; the file ends with a whole one again.
                if let Err(error) = file.set_len(self.written) {
                    tracing::error!(%error, "the presence log cannot be cut to its last record");
                }
                self.fail(&error);
            }
        }
    }

    /// Asks for what is written to reach the disk, soon.
    pub fn sync(&mut self) {
        if self.syncer.has_failed.swap(false, Ordering::Relaxed) && !self.is_failing {
            self.fail(&io::Error::other("the disk did not take what was written"));
        }
        let job = Job {
            sync: self.retired.iter().chain(&self.file).cloned().collect(),
            remove: if self.is_whole { self.older.clone() } else { Vec::new() },
        };
        let Some(jobs) = &self.syncer.jobs else { return };
        // One job waits at most: while the disk is busy, a later one does for both.
        if jobs.try_send(job).is_ok() {
            self.retired.clear();
            if self.is_whole {
                self.older.clear();
            }
        }
    }

    /// Waits until what is written has reached the disk.
    pub fn sync_now(&mut self) {
        if let Some(file) = &self.file
            && let Err(error) = file.sync_data()
        {
            self.fail(&error);
        }
    }

    /// Every user stands in this segment: once it is synced, those before it can go.
    pub fn drop_older(&mut self) {
        // A segment that could not be begun leaves the one before it as whole as it was.
        if !self.is_failing {
            self.is_whole = true;
            if std::mem::take(&mut self.is_told) {
                tracing::info!(dir = %self.dir.display(), "the presence log is written again");
            }
        }
        self.sync();
    }

    /// Whether what was added last could not be written.
    pub fn is_failing(&self) -> bool {
        self.is_failing
    }

    /// Size of the segment.
    pub fn segment_bytes(&self) -> u64 {
        self.written
    }

    fn path(&self, segment: u64) -> PathBuf {
        self.dir.join(format!("presence-{segment:08}.log"))
    }

    fn fail(&mut self, error: &io::Error) {
        self.pending.clear();
        self.is_failing = true;
        if !std::mem::replace(&mut self.is_told, true) {
            let dir = self.dir.display();
            tracing::error!(
                %error, %dir,
                "the presence log cannot be written: presence goes on from memory, and a crash now \
                 would end every session. Free space in the data folder (--data)"
            );
        }
    }
}

impl Syncer {
    fn start() -> Result<Self, LogError> {
        let (jobs, waiting) = bounded::<Job>(1);
        let has_failed = Arc::new(AtomicBool::new(false));
        let failed = Arc::clone(&has_failed);
        let work = move || {
            for job in waiting {
                if !job.run() {
                    failed.store(true, Ordering::Relaxed);
                }
            }
        };
        let thread = std::thread::Builder::new().name("log-sync".into()).spawn(work);
        let thread = Some(thread.map_err(LogError::Thread)?);
        Ok(Self { jobs: Some(jobs), thread, has_failed })
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        // Without its sender the thread does what waits, and ends.
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that syncs the presence log panicked");
        }
    }
}

impl Job {
    /// Removes only what the synced files make superfluous.
    fn run(self) -> bool {
        if !self.sync.iter().all(|file| file.sync_data().is_ok()) {
            return false;
        }
        for path in self.remove {
            if let Err(error) = std::fs::remove_file(&path) {
                tracing::warn!(path = %path.display(), %error, "an old log segment stays");
            }
        }
        true
    }
}

impl Recovered {
    fn take(&mut self, records: Vec<Record>) {
        for record in records {
            match record {
                Record::Begin { epoch, .. } => self.epoch = epoch,
                Record::Time(at) => self.last_time = self.last_time.max(at),
                record => self.records.push(record),
            }
        }
    }
}

impl LogError {
    fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    fn not_whole(dir: &Path, what: String) -> Self {
        Self::NotWhole { dir: dir.to_owned(), what }
    }
}

/// Segments of a folder, oldest first.
fn segments(dir: &Path) -> Result<Vec<(u64, PathBuf)>, LogError> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(|e| LogError::io(dir, e))? {
        let path = entry.map_err(|e| LogError::io(dir, e))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let number = name.strip_prefix("presence-").and_then(|rest| rest.strip_suffix(".log"));
        if let Some(number) = number.and_then(|digits| digits.parse().ok()) {
            found.push((number, path));
        }
    }
    found.sort_unstable();
    Ok(found)
}

#[derive(Debug)]
struct Part {
    records: Vec<Record>,
    /// Where the file ends within a record.
    torn_at: Option<usize>,
}

fn read_segment(path: &Path, bytes: &[u8]) -> Result<Part, LogError> {
    let mut records = Vec::new();
    let mut offset = 0;
    while offset < bytes.len() {
        match read_record(&bytes[offset..]) {
            Ok((record, length)) => {
                records.push(record);
                offset += length;
            }
            Err(Flaw::Torn) => return Ok(Part { records, torn_at: Some(offset) }),
            Err(flaw) => {
                let what = match flaw {
                    Flaw::Torn | Flaw::Length => "a length that nobody wrote",
                    Flaw::Payload => "a record whose checksum is wrong",
                    Flaw::Unknown => "a record of a kind that this version does not know",
                };
                let folder = path.parent().unwrap_or(path);
                let pattern = folder.join("presence-*.log").display().to_string();
                return Err(LogError::Damaged { path: path.to_owned(), offset, what, pattern });
            }
        }
    }
    Ok(Part { records, torn_at: None })
}

enum Flaw {
    Torn,
    Length,
    Payload,
    Unknown,
}

fn read_record(bytes: &[u8]) -> Result<(Record, usize), Flaw> {
    // A file that grew before its data reached the disk ends in zeros.
    if bytes.iter().take(HEADER_BYTES).all(|byte| *byte == 0) {
        return Err(if bytes.iter().all(|byte| *byte == 0) { Flaw::Torn } else { Flaw::Length });
    }
    let word = |at: usize| -> Result<[u8; 4], Flaw> {
        bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).ok_or(Flaw::Torn)
    };
    let (length, length_sum, payload_sum) = (word(0)?, word(4)?, word(8)?);
    if crc32fast::hash(&length) != u32::from_le_bytes(length_sum) {
        return Err(Flaw::Length);
    }
    let length = u32::from_le_bytes(length);
    if length > RECORD_BYTES_MAX {
        return Err(Flaw::Length);
    }
    let end = HEADER_BYTES + length as usize;
    let payload = bytes.get(HEADER_BYTES..end).ok_or(Flaw::Torn)?;
    if crc32fast::hash(payload) != u32::from_le_bytes(payload_sum) {
        return Err(Flaw::Payload);
    }
    let record = postcard::from_bytes(payload).map_err(|_| Flaw::Unknown)?;
    Ok((record, end))
}

/// Keeps what stands after the last whole record in a file of its own, says so, and cuts it off.
fn set_aside(path: &Path, number: u64, torn_at: usize) -> Result<(), LogError> {
    let bytes = std::fs::read(path).map_err(|e| LogError::io(path, e))?;
    let aside = path.with_file_name(format!("presence-{number:08}.torn-{torn_at}"));
    std::fs::write(&aside, &bytes[torn_at..]).map_err(|e| LogError::io(&aside, e))?;
    let file = OpenOptions::new().write(true).open(path).map_err(|e| LogError::io(path, e))?;
    file.set_len(torn_at as u64).map_err(|e| LogError::io(path, e))?;
    tracing::warn!(
        path = %path.display(), offset = torn_at, aside = %aside.display(),
        "the presence log ends within a record, as after a power cut: the {} bytes are set aside, \
         everything before them is used",
        bytes.len() - torn_at
    );
    Ok(())
}
