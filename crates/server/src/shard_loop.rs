//! The driver of one shard: a thread with its own event loop and its own sockets.
//!
//! One turn: wait for events, read sockets, hear the store and the directory, do what is due, then
//! write the longest-waiting sockets that have something to take, one `send` each. Batches grow by
//! themselves with the load, and nothing waits for a timer when there is none.

mod writing;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Receiver;
use mio::{Events, Interest, Poll, Token};
use presence::ask::Refusal;
use presence::close::ErrorCode;
use presence::exchange::{Event, Request};
use presence::ids::{ConnId, SessionId, ShardId};
use presence::session::CLIENT_CHARS_MAX;
use presence::shard::{Effect, Fresh, Input, Notice, Said, Shard};
use presence::time::Timestamp;
use protocol::mapping::Heard;
use store::StoreHandle;
use tokio::sync::mpsc;

use crate::changes::{Changes, Job};
use crate::clock::NodeClock;
use crate::connection::{Connection, Handover, Step, UNSENT_BYTES_MAX};
use crate::encode::{self, Encoder};
use crate::handshakes::Handshakes;
use crate::mailbox::{Mail, Mailbox};
use crate::people::People;
use crate::telemetry::ShardMeters;

/// Events of the poller taken per turn.
const POLL_EVENTS_MAX: usize = 256;
/// Messages read from one socket before others have their turn.
const READS_PER_SOCKET: usize = 8;
/// Events of the store taken per turn.
const STORE_EVENTS_PER_TURN: usize = 4_096;
/// Mail taken per turn.
const MAIL_PER_TURN: usize = 256;
/// Bytes gathered for one `send`; with a message over it, that much more.
const WRITE_BYTES: usize = 16 << 10;
/// Requests that wait for the store before sockets are no longer read.
const BACKLOG_MAX: usize = 4_096;
/// The poller's token for the waker; sockets have their slot's number.
pub(crate) const WAKER: Token = Token(usize::MAX);

/// What a shard's thread is made of.
pub(crate) struct ShardLoop {
    /// The rules.
    pub shard: Shard,
    /// Which shard it is.
    pub id: ShardId,
    /// The poller, with the waker registered as [`WAKER`].
    pub poll: Poll,
    /// What the store says.
    pub events: Receiver<Event>,
    /// What everyone else says.
    pub mail: mpsc::Receiver<Mail>,
    /// Its own mailbox, for answers.
    pub mailbox: Mailbox,
    /// The store.
    pub store: StoreHandle,
    /// Login and directory.
    pub people: People,
    /// Requests that change the directory.
    pub changes: Changes,
    /// Where logins and the directory are waited for.
    pub runtime: tokio::runtime::Handle,
    /// Whom to give handshakes back to.
    pub handshakes: Arc<Handshakes>,
    /// The node's clock.
    pub clock: NodeClock,
    /// Time between two pings, over which the first ones are spread.
    pub ping_interval: Duration,
    /// What is counted.
    pub meters: ShardMeters,
}

/// The running loop: the shard with its sockets and queues.
struct Driver {
    parts: ShardLoop,
    conns: Vec<Option<Box<Connection>>>,
    free: Vec<u32>,
    tenants: u32,
    encoder: Encoder,
    /// Sockets with something to send, the longest-waiting first.
    to_write: VecDeque<ConnId>,
    /// Sockets that have more to read.
    to_read: VecDeque<ConnId>,
    /// Sockets that are closing, the oldest first.
    closing: VecDeque<(Timestamp, ConnId)>,
    /// Requests that the store's queue had no place for.
    backlog: VecDeque<Request>,
    effects: Vec<Effect>,
    buffer: Vec<u8>,
    stopping: bool,
}

impl ShardLoop {
    /// Runs until it is stopped.
    pub(crate) fn run(self) {
        let mut driver = Driver {
            parts: self,
            conns: Vec::new(),
            free: Vec::new(),
            tenants: 0,
            encoder: Encoder::default(),
            to_write: VecDeque::new(),
            to_read: VecDeque::new(),
            closing: VecDeque::new(),
            backlog: VecDeque::new(),
            effects: Vec::new(),
            buffer: Vec::with_capacity(2 * WRITE_BYTES),
            stopping: false,
        };
        let mut events = Events::with_capacity(POLL_EVENTS_MAX);
        while !driver.is_done() {
            driver.turn(&mut events);
        }
    }
}

impl Driver {
    fn is_done(&self) -> bool {
        self.stopping && self.closing.is_empty() && self.backlog.is_empty()
    }

    fn turn(&mut self, events: &mut Events) {
        let patience = self.patience();
        if let Err(error) = self.parts.poll.poll(events, patience)
            && error.kind() != std::io::ErrorKind::Interrupted
        {
            tracing::error!(%error, "the poller failed; trying again");
        }
        let now = self.parts.clock.now();
        self.hand_over_backlog();
        for event in events.iter() {
            if event.token() != WAKER {
                self.socket_event(now, event);
            }
        }
        self.hear_store(now);
        self.take_mail(now);
        self.read_on(now);
        self.parts.shard.expire(now, &mut self.effects);
        self.carry_out(now);
        self.write_some(now);
        self.linger(now);
        let shard = &self.parts.shard;
        let is_idle = self.to_write.is_empty() && self.to_read.is_empty();
        let sockets = self.conns.len() - self.free.len();
        let state = || [shard.sessions(), sockets, shard.subjects()];
        self.parts.meters.turn(state, is_idle);
    }

    fn patience(&self) -> Option<Duration> {
        let is_backed_up = self.backlog.len() >= BACKLOG_MAX;
        if !self.to_write.is_empty() || (!self.to_read.is_empty() && !is_backed_up) {
            return Some(Duration::ZERO);
        }
        if !self.backlog.is_empty() {
            return Some(Duration::from_millis(1));
        }
        let now = self.parts.clock.now();
        let linger = self.closing.front().map(|(since, _)| *since + self.linger_max());
        let due = [self.parts.shard.next_deadline(), linger].into_iter().flatten().min();
        // Rounded up to the poller's unit, or the last part of a millisecond would be spun away.
        due.map(|at| at.since(now) + Duration::from_micros(999))
    }

    fn conn(&mut self, id: ConnId) -> Option<&mut Connection> {
        let held = self.conns.get_mut(id.slot as usize)?.as_deref_mut()?;
        (held.tenant == id.tenant).then_some(held)
    }

    fn socket_event(&mut self, now: Timestamp, event: &mio::event::Event) {
        let Ok(slot) = u32::try_from(event.token().0) else { return };
        let Some(Some(held)) = self.conns.get(slot as usize) else { return };
        let id = ConnId { slot, tenant: held.tenant };
        if event.is_writable() && held.unsent_bytes() > 0 {
            self.queue_write(id);
        }
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            self.read(now, id);
        }
    }

    fn queue_write(&mut self, id: ConnId) {
        if let Some(held) = self.conn(id)
            && !std::mem::replace(&mut held.is_queued, true)
        {
            self.to_write.push_back(id);
        }
    }

    fn queue_read(&mut self, id: ConnId) {
        if let Some(held) = self.conn(id)
            && !std::mem::replace(&mut held.is_unread, true)
        {
            self.to_read.push_back(id);
        }
    }

    fn read_on(&mut self, now: Timestamp) {
        for _ in 0..self.to_read.len() {
            let Some(id) = self.to_read.pop_front() else { return };
            if let Some(held) = self.conn(id) {
                held.is_unread = false;
                self.read(now, id);
            }
        }
    }

    /// Reads a socket for a while. A socket that does not take what it is sent, and a store that
    /// does not take requests, stop the reading: what came waits where it is.
    fn read(&mut self, now: Timestamp, id: ConnId) {
        for _ in 0..READS_PER_SOCKET {
            let is_backed_up = self.backlog.len() >= BACKLOG_MAX;
            let Some(held) = self.conn(id) else { return };
            if held.closing_since.is_some() {
                if held.is_drained() {
                    self.drop_conn(id);
                }
                return;
            }
            if is_backed_up {
                break;
            }
            if held.unsent_bytes() > UNSENT_BYTES_MAX {
                // Read on as soon as the socket has taken it: see `write`.
                held.is_paused = true;
                return;
            }
            let read = held.read();
            // A ping is answered by tungstenite, with the read that follows it at the latest.
            if held.unsent_bytes() > 0 {
                self.queue_write(id);
            }
            let input = match read {
                Step::Nothing => return,
                Step::Heard(heard) => self.input(id, heard),
                Step::Frame => Input::Frame { conn: id },
                Step::Closed { goodbye } => {
                    // The answer to the close, if the socket still takes it.
                    if let Some(held) = self.conn(id) {
                        held.send(&[]);
                    }
                    self.parts.shard.handle(
                        now,
                        Input::Closed { conn: id, goodbye },
                        &mut self.effects,
                    );
                    self.carry_out(now);
                    self.drop_conn(id);
                    return;
                }
            };
            self.parts.shard.handle(now, input, &mut self.effects);
            self.carry_out(now);
        }
        self.queue_read(id);
    }

    fn input(&mut self, conn: ConnId, heard: Heard) -> Input {
        match heard {
            Heard::Hello(hello) => {
                let (address, client) = match self.conn(conn) {
                    Some(held) => (held.address, held.client.clone()),
                    None => (IpAddr::from([0, 0, 0, 0]), "".into()),
                };
                Input::Hello { conn, hello, fresh: fresh(address, client) }
            }
            Heard::Said(said) => {
                self.parts.meters.reports += u64::from(matches!(said, Said::Report(_)));
                Input::Said { conn, said }
            }
        }
    }

    fn hear_store(&mut self, now: Timestamp) {
        for _ in 0..STORE_EVENTS_PER_TURN {
            let Ok(event) = self.parts.events.try_recv() else { break };
            self.parts.shard.handle(now, Input::Store(event), &mut self.effects);
        }
        self.carry_out(now);
        if !self.parts.events.is_empty() {
            let _gone = self.parts.mailbox.waker.wake();
        }
    }

    fn take_mail(&mut self, now: Timestamp) {
        for taken in 0.. {
            if taken == MAIL_PER_TURN {
                let _gone = self.parts.mailbox.waker.wake();
                break;
            }
            let Ok(mail) = self.parts.mail.try_recv() else { break };
            match mail {
                Mail::Socket(handover) => self.take_over(now, handover),
                Mail::Input(input) => self.parts.shard.handle(now, *input, &mut self.effects),
                Mail::Stop(close) => {
                    self.stopping = true;
                    self.parts.shard.handle(now, Input::CloseAll { close }, &mut self.effects);
                }
            }
            self.carry_out(now);
        }
    }

    fn take_over(&mut self, now: Timestamp, handover: Handover) {
        if self.stopping {
            return;
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.conns.push(None);
            u32::try_from(self.conns.len() - 1).unwrap_or(u32::MAX)
        });
        self.tenants = self.tenants.wrapping_add(1);
        let id = ConnId { slot, tenant: self.tenants };
        let mut conn = Connection::new(handover, id.tenant);
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registered =
            self.parts.poll.registry().register(conn.stream(), Token(slot as usize), interest);
        if let Err(error) = registered {
            tracing::error!(%error, "a socket cannot be polled and is dropped");
            self.free.push(slot);
            return;
        }
        self.conns[slot as usize] = Some(Box::new(conn));
        let ping_offset = self.parts.ping_interval.mul_f64(random_fraction());
        self.parts.shard.handle(now, Input::Opened { conn: id, ping_offset }, &mut self.effects);
        // What was read with the handshake announces itself to nobody.
        self.queue_read(id);
    }

    fn carry_out(&mut self, now: Timestamp) {
        let mut effects = std::mem::take(&mut self.effects);
        for effect in effects.drain(..) {
            self.effect(now, effect);
        }
        // Effects have no effects of their own on the shard: the list is empty, its space is kept.
        self.effects = effects;
    }

    fn effect(&mut self, now: Timestamp, effect: Effect) {
        match effect {
            Effect::Store(request) => self.request(request),
            Effect::Dirty { conn } => self.queue_write(conn),
            Effect::Send { conn, notice } => {
                if let Some(held) = self.conn(conn)
                    && held.closing_since.is_none()
                {
                    let codec = held.codec;
                    encode::notice(codec, &notice, held.unsent());
                    self.queue_write(conn);
                }
            }
            Effect::Close { conn, close } => self.begin_close(now, conn, close),
            Effect::Refund { conn } => {
                if let Some(address) = self.conn(conn).map(|held| held.address) {
                    self.parts.handshakes.refund(address);
                }
            }
            Effect::Login { .. }
            | Effect::Load { .. }
            | Effect::LoadWatchList { .. }
            | Effect::ReadTies { .. } => self.ask_people(effect),
            Effect::Perform { conn, n, user, ask } => {
                let mailbox = self.parts.mailbox.clone();
                let job = Job { conn, n, user, ask, mailbox };
                if self.parts.changes.hand_in(job).is_err() {
                    let message = "too many requests wait for the directory: try again";
                    let refusal = Refusal::new(ErrorCode::IdentityUnavailable, message);
                    let notice = Notice::Error { n: Some(n), refusal };
                    self.effect(now, Effect::Send { conn, notice });
                }
            }
        }
    }

    fn request(&mut self, request: Request) {
        if !self.backlog.is_empty() {
            self.backlog.push_back(request);
        } else if let Err(refused) = self.parts.store.try_request(self.parts.id, request) {
            self.backlog.push_back(*refused);
        }
    }

    fn hand_over_backlog(&mut self) {
        while let Some(request) = self.backlog.pop_front() {
            if let Err(refused) = self.parts.store.try_request(self.parts.id, request) {
                self.backlog.push_front(*refused);
                return;
            }
        }
    }

    /// Asks login or directory, elsewhere; the answer comes by mail. At most one login and one
    /// list per socket are under way.
    fn ask_people(&self, effect: Effect) {
        let people = self.parts.people.clone();
        let mailbox = self.parts.mailbox.clone();
        self.parts.runtime.spawn(async move {
            let input = match effect {
                Effect::Login { conn, credentials } => {
                    Input::LoggedIn { conn, result: people.login(credentials).await }
                }
                Effect::Load { conn, user } => {
                    Input::LoggedIn { conn, result: people.load(&user).await }
                }
                Effect::LoadWatchList { conn, user } => {
                    Input::WatchList { conn, result: people.watch_list(&user).await }
                }
                Effect::ReadTies { subject, watchers } => {
                    let (version, ties) = people.ties(&subject, &watchers).await;
                    Input::Ties { subject, version, ties }
                }
                _ => return,
            };
            mailbox.deliver(Mail::Input(Box::new(input))).await;
        });
    }
}

fn fresh(address: IpAddr, client: Box<str>) -> Fresh {
    let mut bytes = [0; 48];
    if getrandom::fill(&mut bytes).is_err() {
        panic!("the system has no random numbers, and sessions without them can be stolen");
    }
    let mut session = [0; 16];
    let mut secret = [0; 32];
    session.copy_from_slice(&bytes[..16]);
    secret.copy_from_slice(&bytes[16..]);
    let address = address.to_string().into_boxed_str();
    Fresh { session: SessionId(session), secret, address, client }
}

fn random_fraction() -> f64 {
    f64::from(getrandom::u32().unwrap_or(u32::MAX / 2)) / f64::from(u32::MAX)
}

/// A client's name of itself as it is kept: short, and nothing that could write over a line.
pub(crate) fn client_name(text: &str) -> Box<str> {
    let shown = text.chars().filter(|c| !presence::text::is_forbidden(*c));
    shown.take(CLIENT_CHARS_MAX).collect::<String>().into_boxed_str()
}
