//! Where presence lives and how it travels: the store, behind closed enums.
//!
//! A node's store is one thread. Shards and the node ask through [`StoreHandle`]; what happens
//! comes back through a bounded queue per shard. This crate never looks at a socket, a message or
//! the directory.

pub mod embedded;
pub mod folder;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Sender, TrySendError};
use presence::exchange::{Event, Request};
use presence::ids::{ShardId, UserId};
use presence::time::Timestamp;
use presence::view::{PerClass, Presence};
use tokio::sync::oneshot;

/// Most requests that wait for the store.
pub const REQUESTS_MAX: usize = 16_384;
/// Most events that wait for one shard.
pub const EVENTS_MAX: usize = 16_384;

/// The node's one clock: never goes back while the process lives.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// Wakes a shard that sleeps in its event loop.
pub trait Wake: Send {
    /// There is something in the shard's queue.
    fn wake(&self);
}

/// Where a shard hears the store.
pub struct ShardPort {
    /// Its queue, of [`EVENTS_MAX`] places.
    pub events: Sender<Event>,
    /// How to wake it.
    pub waker: Box<dyn Wake>,
}

/// Last seen of users, to be written to the directory.
pub type SeenBatch = Vec<(UserId, PerClass)>;

/// What the store's thread is asked.
#[derive(Debug)]
pub(crate) enum Command {
    Shard(ShardId, Request),
    Read(Vec<UserId>, oneshot::Sender<Vec<Option<Arc<Presence>>>>),
    SeenWritten(SeenBatch),
    Stop(oneshot::Sender<SeenBatch>),
}

/// The store as the node's other parts see it. Cheap to clone.
#[derive(Clone)]
pub struct StoreHandle {
    commands: Sender<Command>,
    health: Arc<Health>,
}

/// Whether the store can keep what it is told.
#[derive(Debug, Default)]
pub(crate) struct Health {
    is_failing: AtomicBool,
}

/// The store's thread has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the store has stopped")]
pub struct Stopped;

impl StoreHandle {
    pub(crate) fn new(commands: Sender<Command>, health: Arc<Health>) -> Self {
        Self { commands, health }
    }

    /// Hands over a shard's request; gives it back while the store's queue is full. Once the store
    /// has stopped, requests go nowhere: the process ends.
    pub fn try_request(&self, shard: ShardId, request: Request) -> Result<(), Box<Request>> {
        match self.commands.try_send(Command::Shard(shard, request)) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => Ok(()),
            Err(TrySendError::Full(Command::Shard(_, request))) => Err(Box::new(request)),
            Err(TrySendError::Full(_)) => Ok(()),
        }
    }

    /// Hands over a request of the node itself, which no event answers. Waits for a place in the
    /// queue, so never call it from a shard.
    pub fn request(&self, request: Request) -> Result<(), Stopped> {
        self.commands.send(Command::Shard(ShardId(0), request)).map_err(|_| Stopped)
    }

    /// The public state of users, none for those of whom the store knows nothing.
    pub async fn read(&self, users: Vec<UserId>) -> Result<Vec<Option<Arc<Presence>>>, Stopped> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Read(users, reply)).map_err(|_| Stopped)?;
        answer.await.map_err(|_| Stopped)
    }

    /// The directory has this last seen.
    pub fn seen_written(&self, batch: SeenBatch) -> Result<(), Stopped> {
        self.commands.send(Command::SeenWritten(batch)).map_err(|_| Stopped)
    }

    /// Writes everything, and ends the store's thread. Gives the last seen that the directory does
    /// not have yet.
    pub async fn stop(&self) -> Result<SeenBatch, Stopped> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Stop(reply)).map_err(|_| Stopped)?;
        answer.await.map_err(|_| Stopped)
    }

    /// Whether the store can keep what it is told; presence goes on from memory while it can't.
    pub fn is_writable(&self) -> bool {
        !self.health.is_failing.load(Ordering::Relaxed)
    }
}
