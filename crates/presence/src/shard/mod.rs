//! The rules of one shard: a state machine that owns its sessions, its watch index and its timers.
//!
//! The driver turns frames, the store's events and the answers of login and directory into
//! [`Input`]s, carries out the [`Effect`]s, and pulls patches with [`Shard::take_patches`] when a
//! socket takes them. The shard never waits, and never reads a clock or a random number.

mod conn;
mod delivery;
mod effect;
mod liveness;
mod login;
mod relations;
mod requests;
mod session;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use hashbrown::HashMap;

pub use conn::Fresh;
pub use delivery::{Patch, PatchKey, PatchKind};
pub use effect::{Effect, Input, Notice, Said, SyncEntry, Welcome};

use crate::close::Close;
use crate::exchange::{Event, Request};
use crate::ids::{ConnId, Epoch, Incarnation, ShardId};
use crate::rate::Rate;
use crate::session::Owner;
use crate::time::Timestamp;
use crate::watch::Watch;
use conn::{Conn, Orphan, Stage};
use liveness::{Alarm, Timer};
use session::Session;

/// A cursor stays this far behind the store's time, so that what is on its way is told again.
pub const CURSOR_OVERLAP: Duration = Duration::from_secs(10);
/// A state that waits for relations holds cursors back only after so long: until then the overlap
/// covers it, and no cursor tells that somebody's relations have changed.
pub const HOLD_GRACE: Duration = Duration::from_secs(5);
/// An older cursor gets a full `sync`: the store keeps what changed of those offline so long.
pub const CURSOR_AGE_MAX: Duration = Duration::from_secs(600);
/// Last seen is told for this long.
pub const LAST_SEEN_MAX: Duration = Duration::from_secs(7 * 24 * 3_600);
/// This many bad messages in a row close the connection.
pub const BAD_MESSAGES_MAX: u8 = 10;
/// This many refused requests in a row close the connection.
pub const RATE_LIMITED_MAX: u8 = 10;
/// Times that a login reads the directory again because relations changed meanwhile.
pub const RELOADS_MAX: u8 = 5;
/// Longest time after a `bye` with `after`.
pub const BYE_AFTER_MAX: Duration = Duration::from_secs(5);

/// What the node's settings say to a shard.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Time between two pings.
    pub ping_interval: Duration,
    /// Time between two heartbeats of a client; zero for none.
    pub heartbeat_interval: Duration,
    /// Time to come back.
    pub resume_window: Duration,
    /// Time for the first message.
    pub hello_within: Duration,
    /// Reports of a session; above it they are merged.
    pub reports: Rate,
    /// Requests of a connection; above it they are refused.
    pub requests: Rate,
    /// Frames of a connection; above it, it is closed.
    pub frames: Rate,
}

/// The state machine of one shard.
#[derive(Debug)]
pub struct Shard {
    limits: Limits,
    node: Incarnation,
    id: ShardId,
    conns: Vec<Option<Conn>>,
    watch: Watch,
    timers: BinaryHeap<Reverse<Timer>>,
    epoch: Epoch,
    /// Subjects whose newer state waits for relations, and since when any has.
    held: usize,
    held_since: Timestamp,
    sessions: usize,
    /// Sockets that left while the store was binding an old session to them.
    orphans: HashMap<ConnId, Orphan>,
}

impl Shard {
    /// A shard without connections.
    pub fn new(node: Incarnation, id: ShardId, limits: Limits) -> Self {
        Self {
            limits,
            node,
            id,
            conns: Vec::new(),
            watch: Watch::default(),
            timers: BinaryHeap::new(),
            epoch: Epoch(0),
            held: 0,
            held_since: Timestamp::NEVER,
            sessions: 0,
            orphans: HashMap::new(),
        }
    }

    /// Live sessions.
    pub fn sessions(&self) -> usize {
        self.sessions
    }

    /// Users whom anyone here watches.
    pub fn subjects(&self) -> usize {
        self.watch.len()
    }

    /// When [`Shard::expire`] has something to do, if ever.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.timers.peek().map(|Reverse(timer)| timer.at)
    }

    /// Takes one input.
    pub fn handle(&mut self, now: Timestamp, input: Input, effects: &mut Vec<Effect>) {
        match input {
            Input::Opened { conn, ping_offset } => self.open_conn(now, conn, ping_offset),
            Input::Said { conn, said } => self.hear(now, conn, said, effects),
            Input::Frame { conn } => {
                self.sign_of_life(now, conn, effects);
            }
            Input::Hello { conn, hello, fresh } => self.hello(now, conn, *hello, fresh, effects),
            Input::Closed { conn, goodbye } => self.socket_closed(now, conn, goodbye, effects),
            Input::LoggedIn { conn, result } => self.logged_in(now, conn, result, effects),
            Input::WatchList { conn, result } => self.new_watch_list(now, conn, result, effects),
            Input::Ties { subject, version, ties } => {
                self.new_ties(now, &subject, version, ties, effects);
            }
            Input::Answer { conn, n, result } => self.answer(conn, n, result, effects),
            Input::Store(event) => self.store_says(now, event, effects),
            Input::CloseAll { close } => self.close_all(now, close, effects),
        }
    }

    /// Does what is due by `now`.
    pub fn expire(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        while let Some(Reverse(timer)) = self.timers.peek().copied() {
            if timer.at > now {
                return;
            }
            self.timers.pop();
            match timer.alarm {
                Alarm::NoHello => self.no_hello(now, timer.conn, effects),
                Alarm::Ping => self.ping(now, timer.conn, effects),
                Alarm::Report => self.report_due(now, timer.conn, effects),
            }
        }
    }

    fn store_says(&mut self, now: Timestamp, event: Event, effects: &mut Vec<Effect>) {
        match event {
            Event::Presence { handle, presence } => {
                if let Some(subject) = self.watch.find_handle(handle) {
                    self.deliver(now, subject, presence, effects);
                }
            }
            Event::Watched { conn, epoch, users } => {
                self.watched(now, conn, epoch, users, effects);
            }
            Event::Opened { conn, opened } => self.session_opened(now, conn, opened, effects),
            Event::Resumed { conn, user } => self.session_resumed(now, conn, user, effects),
            Event::Replaced { conn } => self.taken_away(conn, Close::Replaced, effects),
            Event::SignedOut { conn } => {
                self.taken_away(conn, Close::SignedOut, effects);
            }
            Event::Sessions { conn, n, sessions } => self.tell_sessions(conn, n, sessions, effects),
            Event::SignoutDone { conn, n, found } => self.tell_signout(conn, n, found, effects),
        }
    }

    fn owner(&self, conn: ConnId) -> Owner {
        Owner { node: self.node, shard: self.id, conn }
    }

    fn conn_mut(&mut self, conn: ConnId) -> Option<&mut Conn> {
        self.conns.get_mut(conn.slot as usize)?.as_mut().filter(|held| held.tenant == conn.tenant)
    }

    fn session_mut(&mut self, conn: ConnId) -> Option<&mut Session> {
        match &mut self.conn_mut(conn)?.stage {
            Stage::Live(session) => Some(session),
            _ => None,
        }
    }

    fn session(&self, conn: ConnId) -> Option<&Session> {
        let held = self.conns.get(conn.slot as usize)?.as_ref()?;
        match &held.stage {
            Stage::Live(session) if held.tenant == conn.tenant => Some(session),
            _ => None,
        }
    }
}

fn ask_store(effects: &mut Vec<Effect>, request: Request) {
    effects.push(Effect::Store(request));
}
