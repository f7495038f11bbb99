//! A node: built from its configuration, run, and stopped in order.
//!
//! Everything that can be wrong is found before anything binds: the configuration, then the data
//! folder, the directory and the log, then the addresses.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::bounded;
use directory::{Directory, OpenError};
use mio::{Poll, Waker};
use presence::close::Close;
use presence::ids::{Incarnation, ShardId};
use presence::shard::{Limits, Shard};
use protocol::limits::HELLO_TIME_MAX;
use store::embedded::log::{Found, LogError};
use store::embedded::{Embedded, EmbeddedConfig};
use store::folder::{DataFolder, FolderError};
use store::{EVENTS_MAX, ShardPort, Wake};
use tokio::sync::{mpsc, watch};

use crate::accept;
use crate::changes::{Changes, Worker};
use crate::clock::NodeClock;
use crate::config::Config;
use crate::handshakes::Handshakes;
use crate::http::{Admin, Health, Public};
use crate::identity::Identity;
use crate::mailbox::{MAIL_MAX, Mail, Mailbox};
use crate::people::People;
use crate::shard_loop::{ShardLoop, WAKER};
use crate::telemetry::{Metrics, ShardMeters};

/// Size of the presence log at which a new segment begins, where all users take less.
const SEGMENT_BYTES: u64 = 64 << 20;
/// Longest wait for the shards to close their sockets at a stop.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The directory cannot be used.
    #[error(transparent)]
    Directory(#[from] OpenError),
    /// The presence log cannot be used.
    #[error(transparent)]
    Log(#[from] LogError),
    /// An address cannot be bound.
    #[error(
        "cannot listen on {address} ({source}): stop what uses it, or name another with {flag}"
    )]
    Address {
        /// The address.
        address: SocketAddr,
        /// The flag that names it.
        flag: &'static str,
        /// What the system says.
        source: std::io::Error,
    },
    /// Something that every machine has is missing.
    #[error("the node cannot start: {0}")]
    System(String),
}

impl StartError {
    /// The exit code, as in `sysexits.h`.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Folder(FolderError::InUse(_)) => 64,
            Self::Folder(FolderError::Unusable { .. }) => 73,
            Self::Directory(OpenError::Unreachable { .. }) | Self::Log(LogError::Io { .. }) => 73,
            Self::Directory(_) | Self::Log(_) => 65,
            Self::Address { .. } => 69,
            Self::System(_) => 71,
        }
    }
}

/// A node that serves.
pub struct Node {
    /// Where clients connect; the port is the real one.
    pub address: SocketAddr,
    /// Where metrics are, if anywhere.
    pub admin_address: Option<SocketAddr>,
    stop: watch::Sender<bool>,
    is_stopping: Arc<AtomicBool>,
    shards: Vec<(Mailbox, JoinHandle<()>)>,
    changes: Worker,
    store: Embedded,
    last_seen: tokio::task::JoinHandle<()>,
    people: People,
    directory: Directory,
    _folder: DataFolder,
}

impl Node {
    /// Starts a node. Metrics are counted for the whole process, so they come from outside.
    pub async fn start(config: &Config, metrics: Option<Metrics>) -> Result<Self, StartError> {
        let folder = DataFolder::lock(&config.data)?;
        // Both are read before either is written: what is damaged leaves all as it is.
        let log = Found::read(&config.data)?;
        let directory = Directory::open(&config.directory).await?;
        let clock = NodeClock::start();
        let (ports, seeds) = shard_seeds(config.shards)?;
        let store = Embedded::start_from(log, store_config(config), Arc::new(clock), ports)?;
        let public_listener = bind(config.listen, "--listen")?;
        let admin_listener =
            config.admin_listen.map(|address| bind(address, "--admin-listen")).transpose()?;
        let address = local_address(&public_listener)?;
        let admin_address = admin_listener.as_ref().map(local_address).transpose()?;

        let identity = Identity { dev: config.dev };
        let people =
            People::new(directory.clone(), store.handle.clone(), identity, config.watch, clock);
        people
            .confirm_preferences(&store.restored)
            .await
            .map_err(|error| StartError::System(error.to_string()))?;
        let (changes, worker) = Changes::start(people.clone());
        let handshakes = Arc::new(Handshakes::new(config.handshakes));
        let shards = start_shards(config, clock, seeds, &store, &people, &changes, &handshakes)?;
        let (stop, stopped) = watch::channel(false);
        let is_stopping = Arc::new(AtomicBool::new(false));
        let health = Health {
            is_stopping: Arc::clone(&is_stopping),
            store: store.handle.clone(),
            people: people.clone(),
        };
        let public = Arc::new(Public {
            origins: config.origins.clone(),
            trusted: config.trusted_proxies.clone(),
            handshakes,
            clock,
            shards: shards.iter().map(|(mailbox, _)| mailbox.clone()).collect(),
            next: AtomicUsize::new(0),
            health: health.clone(),
        });
        let serve = move |peer, request| Arc::clone(&public).serve(peer, request);
        tokio::spawn(accept::accept(public_listener, stopped.clone(), serve));
        if let (Some(listener), Some(metrics)) = (admin_listener, metrics) {
            let admin = Arc::new(Admin { metrics, health });
            let serve = move |_, request| Arc::clone(&admin).serve(request);
            tokio::spawn(accept::accept(listener, stopped, serve));
        }
        let last_seen = tokio::spawn(write_last_seen(store.seen.clone(), people.clone()));
        Ok(Self {
            address,
            admin_address,
            stop,
            is_stopping,
            shards,
            changes: worker,
            store,
            last_seen,
            people,
            directory,
            _folder: folder,
        })
    }

    /// Stops in order: no new sockets, clients told to come back, everything written. A node on
    /// the embedded store is alone, so there is nowhere to move clients to and no time to take.
    pub async fn stop(self) {
        self.is_stopping.store(true, Ordering::Relaxed);
        // Nobody listens any more if the accept loops have ended.
        let _ended = self.stop.send(true);
        for (mailbox, _) in &self.shards {
            mailbox.deliver(Mail::Stop(Close::Restart)).await;
        }
        let threads: Vec<JoinHandle<()>> = self.shards.into_iter().map(|(_, t)| t).collect();
        let joined = tokio::task::spawn_blocking(move || {
            threads.into_iter().map(JoinHandle::join).filter(Result::is_err).count()
        });
        match tokio::time::timeout(STOP_PATIENCE, joined).await {
            Ok(Ok(0)) => {}
            Ok(_) => tracing::error!("a shard's thread panicked"),
            Err(_) => tracing::warn!("some sockets did not close in time"),
        }
        // Nobody hands in requests any more; what was done of them belongs in the log.
        self.changes.finish().await;
        match self.store.handle.stop().await {
            Ok(batch) => self.people.write_final_last_seen(&batch).await,
            Err(error) => tracing::error!(%error, "the store had stopped already"),
        }
        self.last_seen.abort();
        self.store.join();
        self.directory.close().await;
    }
}

fn bind(address: SocketAddr, flag: &'static str) -> Result<std::net::TcpListener, StartError> {
    accept::bind(address).map_err(|source| StartError::Address { address, flag, source })
}

fn local_address(listener: &std::net::TcpListener) -> Result<SocketAddr, StartError> {
    listener.local_addr().map_err(|error| StartError::System(error.to_string()))
}

fn store_config(config: &Config) -> EmbeddedConfig {
    EmbeddedConfig {
        resume_window: config.resume_window,
        last_seen_interval: config.last_seen_interval,
        segment_bytes: SEGMENT_BYTES,
    }
}

/// What a shard's loop has before the store runs.
struct Seed {
    poll: Poll,
    waker: Arc<Waker>,
    events: crossbeam_channel::Receiver<presence::exchange::Event>,
}

struct ShardWaker(Arc<Waker>);

impl Wake for ShardWaker {
    fn wake(&self) {
        // A waker fails only when its poller is gone, and then nobody sleeps.
        let _gone = self.0.wake();
    }
}

fn shard_seeds(count: u16) -> Result<(Vec<ShardPort>, Vec<Seed>), StartError> {
    let system = |error: std::io::Error| StartError::System(error.to_string());
    let mut ports = Vec::new();
    let mut seeds = Vec::new();
    for _ in 0..count {
        let poll = Poll::new().map_err(system)?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER).map_err(system)?);
        let (sender, events) = bounded(EVENTS_MAX);
        let wake = Box::new(ShardWaker(Arc::clone(&waker)));
        ports.push(ShardPort { events: sender, waker: wake });
        seeds.push(Seed { poll, waker, events });
    }
    Ok((ports, seeds))
}

fn start_shards(
    config: &Config,
    clock: NodeClock,
    seeds: Vec<Seed>,
    store: &Embedded,
    people: &People,
    changes: &Changes,
    handshakes: &Arc<Handshakes>,
) -> Result<Vec<(Mailbox, JoinHandle<()>)>, StartError> {
    let incarnation = Incarnation(clock.now().0);
    let limits = Limits {
        ping_interval: config.ping_interval,
        heartbeat_interval: config.heartbeat_interval,
        resume_window: config.resume_window,
        hello_within: HELLO_TIME_MAX,
        reports: config.reports,
        requests: config.requests,
        frames: config.frames,
    };
    let mut shards = Vec::new();
    for (seed, number) in seeds.into_iter().zip(0u16..) {
        let id = ShardId(number);
        let (mail, inbox) = mpsc::channel(MAIL_MAX);
        let mailbox = Mailbox { mail, waker: seed.waker };
        let shard_loop = ShardLoop {
            shard: Shard::new(incarnation, id, limits.clone()),
            id,
            poll: seed.poll,
            events: seed.events,
            mail: inbox,
            mailbox: mailbox.clone(),
            store: store.handle.clone(),
            people: people.clone(),
            changes: changes.clone(),
            runtime: tokio::runtime::Handle::current(),
            handshakes: Arc::clone(handshakes),
            clock,
            ping_interval: config.ping_interval,
            meters: ShardMeters::new(id),
        };
        let thread = std::thread::Builder::new()
            .name(format!("shard-{number}"))
            .spawn(move || shard_loop.run())
            .map_err(|error| StartError::System(error.to_string()))?;
        shards.push((mailbox, thread));
    }
    Ok(shards)
}

/// Takes last seen from the store and writes it behind, a batch at a time.
async fn write_last_seen(seen: crossbeam_channel::Receiver<store::SeenBatch>, people: People) {
    loop {
        let waiting = seen.clone();
        let next =
            tokio::task::spawn_blocking(move || waiting.recv_timeout(Duration::from_secs(1)));
        match next.await {
            Ok(Ok(batch)) => people.write_last_seen(batch).await,
            Ok(Err(crossbeam_channel::RecvTimeoutError::Timeout)) => {}
            Ok(Err(crossbeam_channel::RecvTimeoutError::Disconnected)) | Err(_) => return,
        }
    }
}
