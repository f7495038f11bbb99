//! The store of a node that has nothing else installed: the transition function, in memory, with a
//! log on disk.
//!
//! What is published has been written before; it is synced to the disk each second. Kill the
//! process and nothing that anyone was told is lost.

pub mod log;
mod record;
mod state;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use presence::exchange::Event;
use presence::ids::{Epoch, Handle, ShardId, UserId};
use presence::time::Timestamp;

use crate::embedded::log::{Found, Log, LogError};
use crate::embedded::record::Record;
use crate::embedded::state::State;
use crate::{Clock, Command, Health, REQUESTS_MAX, SeenBatch, ShardPort, StoreHandle};

/// Longest time down after which sessions may still come back.
pub const DOWN_MAX: Duration = Duration::from_secs(300);
/// How often the store writes its own time.
const TIME_EVERY: Duration = Duration::from_secs(3);
/// How often the log is synced, and a failing one tried again.
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// Requests taken before the log is written and events go out.
const BATCH_MAX: usize = 256;
/// Users written per turn while a new log segment is filled.
const WALK_PER_TURN: usize = 512;
/// Most users of one batch of last seen.
const SEEN_BATCH_MAX: usize = 4_096;

/// What the embedded store is told at its start.
#[derive(Debug, Clone)]
pub struct EmbeddedConfig {
    /// Time that every session has to come back after a restart.
    pub resume_window: Duration,
    /// How often the last seen of those online goes to the directory.
    pub last_seen_interval: Duration,
    /// Size at which a new log segment begins, in bytes.
    pub segment_bytes: u64,
}

/// A running embedded store.
pub struct Embedded {
    /// How to ask it.
    pub handle: StoreHandle,
    /// Last seen for the directory; each batch is to be answered by [`StoreHandle::seen_written`].
    pub seen: Receiver<SeenBatch>,
    /// Users of whom the log kept something from before the start. What it has of
    /// their preferences may be older than what the directory has.
    pub restored: Vec<UserId>,
    thread: JoinHandle<()>,
}

impl Embedded {
    /// Reads the log in `dir`, gives every session its time to come back, and starts the thread.
    pub fn start(
        dir: &Path,
        config: EmbeddedConfig,
        clock: Arc<dyn Clock>,
        ports: Vec<ShardPort>,
    ) -> Result<Self, LogError> {
        Self::start_from(Found::read(dir)?, config, clock, ports)
    }

    /// The same from a log that was read already.
    pub fn start_from(
        found: Found,
        config: EmbeddedConfig,
        clock: Arc<dyn Clock>,
        ports: Vec<ShardPort>,
    ) -> Result<Self, LogError> {
        let started = clock.now();
        let (log, recovered) = Log::open(found, Epoch(started.0.max(1)))?;
        let mut state = State::new(recovered.epoch);
        for record in recovered.records {
            state.restore(record);
        }
        state.resume_after_restart(started, recovered.last_time, DOWN_MAX, config.resume_window);
        let restored = state.users();
        let (commands, requests) = bounded(REQUESTS_MAX);
        let (seen_out, seen) = bounded(4);
        let health = Arc::new(Health::default());
        let handle = StoreHandle::new(commands, Arc::clone(&health));
        let mut thread = Thread {
            state,
            log,
            clock,
            config,
            ports,
            requests,
            seen: seen_out,
            health,
            events: Vec::new(),
            walk: None,
            walked_bytes: 0,
            last_time: Timestamp::NEVER,
            last_sync: Timestamp::NEVER,
            last_seen: started,
        };
        thread.begin_segment();
        let thread = std::thread::Builder::new()
            .name("store".into())
            .spawn(move || thread.run())
            .map_err(LogError::Thread)?;
        Ok(Self { handle, seen, restored, thread })
    }

    /// Waits for the thread to end, after [`StoreHandle::stop`].
    pub fn join(self) {
        if self.thread.join().is_err() {
            tracing::error!("the store's thread panicked");
        }
    }
}

struct Thread {
    state: State,
    log: Log,
    clock: Arc<dyn Clock>,
    config: EmbeddedConfig,
    ports: Vec<ShardPort>,
    requests: Receiver<Command>,
    seen: Sender<SeenBatch>,
    health: Arc<Health>,
    events: Vec<(ShardId, Event)>,
    /// Where the copying of users into a new segment has got to.
    walk: Option<Handle>,
    /// Size of the log when all users were last copied.
    walked_bytes: u64,
    last_time: Timestamp,
    last_sync: Timestamp,
    last_seen: Timestamp,
}

impl Thread {
    fn run(&mut self) {
        loop {
            let first = match self.requests.recv_timeout(self.patience()) {
                Ok(command) => Some(command),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let now = self.clock.now();
            let mut stop = None;
            let more = std::iter::from_fn(|| self.requests.try_recv().ok()).take(BATCH_MAX);
            let batch: Vec<Command> = first.into_iter().chain(more).collect();
            for command in batch {
                match command {
                    Command::Shard(shard, request) => {
                        self.state.handle(now, shard, request, &mut self.events);
                    }
                    Command::Read(users, reply) => {
                        // Whoever asked may have gone; nobody needs the answer then.
                        let _gone = reply.send(self.state.read(&users));
                    }
                    Command::SeenWritten(batch) => self.state.seen_written(&batch),
                    Command::Stop(reply) => stop = Some(reply),
                }
            }
            self.state.sweep(now, &mut self.events);
            self.write(now);
            self.publish();
            if let Some(reply) = stop {
                let _gone = reply.send(self.finish(now));
                return;
            }
        }
    }

    /// How long the thread may sleep if nobody asks anything.
    fn patience(&self) -> Duration {
        if self.walk.is_some() {
            return Duration::ZERO;
        }
        let now = self.clock.now();
        let due = self.state.next_due().map_or(SYNC_EVERY, |due| due.since(now));
        due.min(SYNC_EVERY)
    }

    /// Writes what changed, before anyone hears of it.
    fn write(&mut self, now: Timestamp) {
        if now.since(self.last_sync) >= SYNC_EVERY {
            self.last_sync = now;
            self.log.sync();
            if self.log.is_failing() {
                // What could not be written is in memory: a whole new segment holds it.
                self.begin_segment();
            }
            self.state.forget_idle(now);
            self.hand_out_last_seen(now);
        }
        for handle in self.state.take_dirty() {
            self.log.add(&self.state.record(handle));
        }
        if now.since(self.last_time) >= TIME_EVERY {
            self.last_time = now;
            self.log.add(&Record::Time(now));
        }
        self.walk_on();
        self.log.write();
        self.health.is_failing.store(self.log.is_failing(), Ordering::Relaxed);
        let limit = self.config.segment_bytes.max(self.walked_bytes * 4);
        if self.walk.is_none() && self.log.segment_bytes() > limit {
            self.begin_segment();
        }
    }

    fn begin_segment(&mut self) {
        self.log.begin_segment();
        // A segment tells by itself when the store last lived: the one before it will go.
        self.log.add(&Record::Time(self.clock.now()));
        self.walk = Some(Handle(0));
        self.walk_on();
        self.log.write();
    }

    fn walk_on(&mut self) {
        let Some(Handle(from)) = self.walk else { return };
        let next = self.state.walk(Handle(from), WALK_PER_TURN, |record| self.log.add(&record));
        self.walk = next;
        if next.is_none() {
            self.log.add(&Record::Complete);
            self.log.write();
            self.log.drop_older();
            self.walked_bytes = self.log.segment_bytes();
        }
    }

    fn publish(&mut self) {
        let mut woken = [false; 64];
        for (shard, event) in self.events.drain(..) {
            let Some(port) = self.ports.get(usize::from(shard.0)) else { continue };
            // A shard never waits for the store, so this wait ends; a shard that has ended needs
            // nothing more.
            if let Err(full) = port.events.try_send(event) {
                port.waker.wake();
                let _ended = port.events.send(full.into_inner());
            }
            woken[usize::from(shard.0) % 64] = true;
        }
        for (port, _) in self.ports.iter().zip(woken).filter(|(_, woken)| *woken) {
            port.waker.wake();
        }
    }

    fn hand_out_last_seen(&mut self, now: Timestamp) {
        let everyone = now.since(self.last_seen) >= self.config.last_seen_interval;
        if everyone {
            self.last_seen = now;
            self.state.mark_online_unwritten();
        }
        while !self.seen.is_full()
            && let Some(batch) = self.state.take_unwritten(now, SEEN_BATCH_MAX)
        {
            if let Err(refused) = self.seen.try_send(batch) {
                self.state.give_back_unwritten(&refused.into_inner());
                return;
            }
        }
    }

    fn finish(&mut self, now: Timestamp) -> SeenBatch {
        while self.walk.is_some() {
            self.walk_on();
        }
        self.log.add(&Record::Time(now));
        self.log.write();
        self.log.sync_now();
        self.state.mark_online_unwritten();
        self.state.take_unwritten(now, usize::MAX).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
