//! The event loop of a load test: one thread, all sockets, one buffer.
//!
//! A turn waits for sockets, reads what is there and answers pings; who sends when is decided by
//! `join` and `pace`. A patch is decoded in place: nothing is allocated for it.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};
use protocol::json::decode_server;
use protocol::message::ServerMessage;

use super::check::{Arrival, Check, StartError};
use super::conn::{Conn, Got, Stage};
use super::frame::{self, FrameError, Kind};
use super::graph::{Graph, SplitMix64, user_id};
use super::message::{self, Patch};
use super::sends::Sends;
use super::upgrade;
use crate::clock;

/// Events that are taken per turn.
const EVENTS_MAX: usize = 1024;
/// The read buffer that all sockets share.
const BUFFER_BYTES: usize = 256 << 10;
/// Heartbeats that are sent per turn.
const HEARTBEATS_MAX: usize = 256;
/// A server that closes none of the sockets that said goodbye for so long will close no more.
const LEAVE_WAIT_MAX: Duration = Duration::from_secs(2);
/// How often the closed ones are counted.
const LEAVE_LOOK_EVERY: Duration = Duration::from_millis(20);

/// What a connection that is being made came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum News {
    /// Logged in, and the list is right.
    Joined,
    /// Nobody listens at that address.
    NobodyThere {
        /// Who.
        user: u32,
        /// What the system said.
        why: String,
    },
    /// It did not work, and may later.
    TryAgain {
        /// Who.
        user: u32,
        /// Not before, if the server said so.
        after: Option<Duration>,
        /// Why.
        why: String,
    },
}

/// Why a load test cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EngineError {
    /// The server's state is not what the test needs.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The server does not let a user in.
    #[error(
        "{user} is not let in: {why}; `rollcall bench` logs in with `dev`, so start the server with --dev"
    )]
    Refused {
        /// Who.
        user: String,
        /// What the server said.
        why: String,
    },
    /// The system refused something.
    #[error("the event loop failed: {0}")]
    Io(#[from] io::Error),
}

/// What was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    /// Reports sent.
    pub(crate) reports: u64,
    /// Patches that arrived at watchers as they should.
    pub(crate) deliveries: u64,
    /// Bytes of those, framing included.
    pub(crate) delivered_bytes: u64,
    /// Patches that came back to their senders.
    pub(crate) echoes: u64,
}

/// All sockets and what is known of them.
pub(crate) struct Engine {
    poll: Poll,
    events: Events,
    conns: Vec<Option<Conn>>,
    buffer: Vec<u8>,
    text: Vec<u8>,
    out: Vec<u8>,
    random: SplitMix64,
    started: Instant,
    heartbeat: Option<(Duration, Instant)>,
    heartbeats: u64,
    /// What is right and what is not.
    pub(crate) check: Check,
    /// What is on its way.
    pub(crate) sends: Sends,
    /// What was counted since the last [`Engine::begin`].
    pub(crate) counts: Counts,
    /// What came of connections in the making, for `join` to take.
    pub(crate) news: Vec<News>,
}

impl Engine {
    /// Without any socket yet.
    pub(crate) fn new(graph: Graph, seed: u64) -> Result<Self, EngineError> {
        let users = graph.users();
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS_MAX),
            conns: (0..users).map(|_| None).collect(),
            buffer: vec![0; BUFFER_BYTES],
            text: Vec::new(),
            out: Vec::new(),
            random: SplitMix64(!seed),
            started: clock::now(),
            heartbeat: None,
            heartbeats: 0,
            sends: Sends::new(users, graph.follow()),
            check: Check::new(graph),
            counts: Counts::default(),
            news: Vec::new(),
        })
    }

    /// Forgets what was counted before: the measured part begins.
    pub(crate) fn begin(&mut self) {
        self.counts = Counts::default();
    }

    /// Microseconds since the start, modulo 2³².
    pub(crate) fn now_us(&self) -> u32 {
        self.started.elapsed().as_micros() as u32
    }

    /// Begins to connect a user.
    pub(crate) fn connect(
        &mut self,
        user: u32,
        address: SocketAddr,
        authority: &str,
        path: &str,
    ) -> io::Result<()> {
        let stream = mio::net::TcpStream::connect(address)?;
        // Not every system knows it before the connection stands; it only saves time.
        let _ = stream.set_nodelay(true);
        let (request, key) = upgrade::request(authority, path);
        let mut conn = Conn::new(stream, key);
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(conn.stream(), Token(user as usize), interest)?;
        conn.send(&request)?;
        self.conns[user as usize] = Some(conn);
        Ok(())
    }

    /// Sends the next report of a user, which was due then.
    pub(crate) fn report(&mut self, user: u32, due_us: u32) {
        let number = self.check.sends(user);
        self.sends.sent(user, number, due_us);
        self.counts.reports += 1;
        let mut text = std::mem::take(&mut self.text);
        message::write_report(&mut text, number);
        self.send(user, &text);
        self.text = text;
    }

    /// Waits for sockets up to that long, and takes what they bring.
    pub(crate) fn turn(&mut self, timeout: Duration) -> Result<(), EngineError> {
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        let mut result = Ok(());
        for event in &events {
            let user = event.token().0 as u32;
            if event.is_writable() {
                self.flush(user);
            }
            if event.is_readable() || event.is_read_closed() || event.is_error() {
                result = self.read(user, event.is_read_closed());
                if result.is_err() {
                    break;
                }
            }
        }
        self.events = events;
        self.beat();
        result
    }

    /// Says goodbye on every socket and waits until the server has closed them, so that the next run
    /// finds nobody online. What still comes is looked at no more.
    pub(crate) fn leave(&mut self) -> Result<(), EngineError> {
        for user in 0..self.conns.len() as u32 {
            if let Some(conn) = &mut self.conns[user as usize] {
                conn.stage = Stage::Leaving;
                self.send(user, message::BYE);
            }
        }
        let mut left = self.conns.len();
        let mut moved = clock::now();
        while left > 0 && moved.elapsed() < LEAVE_WAIT_MAX {
            self.turn(LEAVE_LOOK_EVERY)?;
            let still = self.conns.iter().flatten().count();
            if still < left {
                moved = clock::now();
            }
            left = still;
        }
        self.conns.fill_with(|| None);
        Ok(())
    }

    fn beat(&mut self) {
        let Some((every, since)) = self.heartbeat else { return };
        let users = self.conns.len() as u64;
        // One after the other, spread evenly over the interval.
        let due = since.elapsed().as_secs_f64() / every.as_secs_f64() * users as f64;
        for _ in 0..HEARTBEATS_MAX {
            if self.heartbeats >= due as u64 {
                return;
            }
            let user = (self.heartbeats % users) as u32;
            self.heartbeats += 1;
            if matches!(&self.conns[user as usize], Some(conn) if conn.stage == Stage::Live) {
                self.send(user, message::HEARTBEAT);
            }
        }
    }

    fn send(&mut self, user: u32, text: &[u8]) {
        let Some(conn) = &mut self.conns[user as usize] else { return };
        self.out.clear();
        frame::write(&mut self.out, Kind::Text, text, self.random.next() as u32);
        if let Err(error) = conn.send(&self.out) {
            self.fail(user, &error);
        }
    }

    fn flush(&mut self, user: u32) {
        let Some(conn) = &mut self.conns[user as usize] else { return };
        if let Err(error) = conn.flush() {
            self.fail(user, &error);
        }
    }

    /// Reads until the socket is empty. `to_the_end`: the other side is known to have ended.
    fn read(&mut self, user: u32, to_the_end: bool) -> Result<(), EngineError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let result = loop {
            let Some(conn) = &mut self.conns[user as usize] else { break Ok(()) };
            let count = match conn.read(&mut buffer) {
                Ok(Got::Bytes(count)) => count,
                Ok(Got::Nothing) => break Ok(()),
                Ok(Got::End) => {
                    self.end(user, "the server hung up");
                    break Ok(());
                }
                Err(error) => {
                    self.fail(user, &error);
                    break Ok(());
                }
            };
            let consumed = match self.take(user, &buffer[..count]) {
                Ok(consumed) => consumed,
                Err(error) => break Err(error),
            };
            if let Some(conn) = &mut self.conns[user as usize] {
                conn.keep(&buffer[consumed..count]);
            }
            // A short read says that the socket is empty (epoll(7)), and saves asking again.
            if count < buffer.len() && !to_the_end {
                break Ok(());
            }
        };
        self.buffer = buffer;
        result
    }

    /// Takes whole frames; tells how many bytes they were.
    fn take(&mut self, user: u32, bytes: &[u8]) -> Result<usize, EngineError> {
        let now_us = self.now_us();
        let mut at = match self.upgraded(user, bytes)? {
            Some(head_bytes) => head_bytes,
            None => return Ok(0),
        };
        loop {
            let frame = match frame::parse(&bytes[at..]) {
                Ok(Some(frame)) => frame,
                Ok(None) => return Ok(at),
                Err(error) => {
                    self.broken(user, error);
                    return Ok(bytes.len());
                }
            };
            let payload = &bytes[at..][frame.payload.clone()];
            match frame.kind {
                _ if self.is_leaving(user) && frame.kind != Kind::Close => {}
                Kind::Text => self.on_text(user, payload, frame.payload.end, now_us)?,
                Kind::Ping => self.pong(user, payload),
                Kind::Pong => {}
                Kind::Close => {
                    self.on_close(user, payload)?;
                    return Ok(bytes.len());
                }
                Kind::Binary => self.check.on_unexpected(user, "a binary frame"),
            }
            at += frame.payload.end;
        }
    }

    /// Takes the answer to the handshake, if it is still due: tells where frames begin.
    fn upgraded(&mut self, user: u32, bytes: &[u8]) -> Result<Option<usize>, EngineError> {
        let Some(conn) = &mut self.conns[user as usize] else { return Ok(None) };
        let Stage::Upgrading { key } = &conn.stage else { return Ok(Some(0)) };
        match upgrade::parse(bytes, key) {
            None => Ok(None),
            Some(upgrade::Answer::Upgraded { head_bytes }) => {
                conn.stage = Stage::Greeting;
                self.check.joins(user);
                let hello = message::hello(user);
                self.send(user, hello.as_bytes());
                Ok(Some(head_bytes))
            }
            Some(upgrade::Answer::Busy { status, retry_after }) => {
                self.conns[user as usize] = None;
                let why = format!("HTTP status {status}");
                self.news.push(News::TryAgain { user, after: retry_after, why });
                Ok(None)
            }
            Some(upgrade::Answer::Refused { why }) => {
                Err(EngineError::Refused { user: user_id(user), why })
            }
        }
    }

    fn on_text(
        &mut self,
        user: u32,
        payload: &[u8],
        frame_bytes: usize,
        now_us: u32,
    ) -> Result<(), EngineError> {
        let patch: Patch<'_> = match serde_json::from_slice(payload) {
            Ok(patch) => patch,
            Err(_) => return self.on_other(user, payload),
        };
        match (patch.t, patch.id) {
            ("u", Some(id)) => {
                match self.check.on_patch(user, id, patch.s, patch.p) {
                    Arrival::Delivered { subject, first, last } => {
                        self.counts.deliveries += 1;
                        self.counts.delivered_bytes += frame_bytes as u64;
                        let newest = self.check.newest(subject);
                        self.sends.delivered(subject, first, last, now_us, newest);
                    }
                    Arrival::Echo => self.counts.echoes += 1,
                    Arrival::Different => {}
                }
                Ok(())
            }
            ("x", Some(id)) => {
                self.check.on_offline(user, id);
                Ok(())
            }
            ("ping", _) => {
                self.send(user, message::PONG);
                Ok(())
            }
            _ => self.on_other(user, payload),
        }
    }

    /// Takes what is no patch: the messages of the login, and what has no place here.
    fn on_other(&mut self, user: u32, payload: &[u8]) -> Result<(), EngineError> {
        let text = String::from_utf8_lossy(payload);
        let is_greeting =
            matches!(&self.conns[user as usize], Some(conn) if conn.stage == Stage::Greeting);
        match decode_server(&text) {
            Ok(ServerMessage::Welcome(welcome)) if is_greeting => {
                if self.heartbeat.is_none() && welcome.heartbeat_secs > 0 {
                    let every = Duration::from_secs(welcome.heartbeat_secs);
                    self.heartbeat = Some((every, clock::now()));
                }
            }
            Ok(ServerMessage::Sync { users, part: false }) if is_greeting => {
                self.check.on_sync(user, &users)?;
                if let Some(conn) = &mut self.conns[user as usize] {
                    conn.stage = Stage::Live;
                }
                self.news.push(News::Joined);
            }
            Ok(ServerMessage::Error { message, code, .. }) if is_greeting => {
                let why = format!("{message} ({})", code.name());
                return Err(EngineError::Refused { user: user_id(user), why });
            }
            _ => self.check.on_unexpected(user, &text),
        }
        Ok(())
    }

    fn is_leaving(&self, user: u32) -> bool {
        matches!(&self.conns[user as usize], Some(conn) if conn.stage == Stage::Leaving)
    }

    fn pong(&mut self, user: u32, payload: &[u8]) {
        let mut pong = Vec::new();
        frame::write(&mut pong, Kind::Pong, payload, self.random.next() as u32);
        if let Some(conn) = &mut self.conns[user as usize]
            && let Err(error) = conn.send(&pong)
        {
            self.fail(user, &error);
        }
    }

    fn on_close(&mut self, user: u32, payload: &[u8]) -> Result<(), EngineError> {
        let (code, reason) = match payload {
            [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
            _ => (1005, payload),
        };
        let why = format!("closed with code {code} {}", String::from_utf8_lossy(reason));
        let login_refused = protocol::close::code(presence::close::Close::LoginRefused);
        if code == login_refused {
            return Err(EngineError::Refused { user: user_id(user), why });
        }
        self.end(user, why.trim_end());
        Ok(())
    }

    fn broken(&mut self, user: u32, error: FrameError) {
        self.check.on_unexpected(user, &error.to_string());
        self.end(user, "a frame that cannot be read");
    }

    /// The system says that a connection is over.
    fn fail(&mut self, user: u32, error: &io::Error) {
        let why = error.to_string();
        if error.kind() == io::ErrorKind::ConnectionRefused {
            self.conns[user as usize] = None;
            self.news.push(News::NobodyThere { user, why });
        } else {
            self.end(user, &why);
        }
    }

    /// A connection is over: a difference once it was live, a reason to try again before.
    fn end(&mut self, user: u32, why: &str) {
        let Some(conn) = self.conns[user as usize].take() else { return };
        match conn.stage {
            Stage::Live => self.check.on_closed(user, why),
            Stage::Leaving => {}
            Stage::Upgrading { .. } | Stage::Greeting => {
                self.news.push(News::TryAgain { user, after: None, why: why.to_owned() });
            }
        }
    }
}
