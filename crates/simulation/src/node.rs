//! The node's side of the world: sockets that reach a shard, and what its effects set going.

use std::sync::Arc;

use presence::ask::{Answer, Ask, Refusal};
use presence::close::{Close, ErrorCode};
use presence::exchange::Request;
use presence::hello::Credentials;
use presence::ids::{ConnId, SessionId, ShardId, UserId};
use presence::shard::{Effect, Fresh, Input};
use presence::view::Presence;
use protocol::json;
use protocol::mapping;
use protocol::message::ServerMessage;

use crate::chance::Chance;
use crate::client::SocketId;
use crate::directory::{Act, Directory, Who};
use crate::encode;
use crate::faults::Fault;
use crate::store::Events;
use crate::world::{Caller, Frame, Goodbye, Question, ROOM, Sent, Work, World};

/// Streams of turns, one kind each.
const STORE: u64 = 1;
const SHARD: u64 = 2;
const ASKED: u64 = 3;
const ANSWERED: u64 = 4;
const PUMP: u64 = 5;

impl World {
    pub(crate) fn arrive(&mut self, id: SocketId) {
        let Some(socket) = self.sockets.get_mut(&id) else { return };
        if self.is_down {
            self.break_off(id);
            return;
        }
        let shard = usize::from(socket.shard.0);
        let slots = &mut self.slots[shard];
        let slot = slots.iter().position(Option::is_none).unwrap_or(slots.len());
        slots.resize(slots.len().max(slot + 1), None);
        slots[slot] = Some(id);
        let slot = u32::try_from(slot).unwrap_or(u32::MAX);
        socket.conn = ConnId { slot, tenant: id };
        socket.is_at_node = true;
        let parts = [self.scenario.seed, 5, socket.window.0 as u64, socket.window.1];
        let ping_offset =
            Chance::new(&parts).millis(0, self.scenario.ping_interval.as_millis() as u64);
        let conn = socket.conn;
        self.feed(shard, Input::Opened { conn, ping_offset });
    }

    /// A client's frame reaches its shard.
    pub(crate) fn hear(&mut self, id: SocketId, text: &str) {
        let Some(socket) = self.sockets.get_mut(&id) else { return };
        if !socket.is_at_node || socket.is_cut {
            return;
        }
        let seed = self.scenario.seed;
        let input = encode::input(socket.conn, text, || {
            socket.hellos += 1;
            let (who, window) = socket.window;
            let thief = u64::from(socket.caller == Caller::Thief);
            let parts = [seed, 6, who as u64, window, thief, self.now.0, socket.hellos];
            fresh(&mut Chance::new(&parts))
        });
        let shard = usize::from(socket.shard.0);
        self.feed(shard, input);
    }

    pub(crate) fn notice_end(&mut self, id: SocketId, goodbye: Goodbye) {
        let Some(socket) = self.sockets.get(&id) else { return };
        if !socket.is_at_node {
            return;
        }
        let (shard, conn) = (usize::from(socket.shard.0), socket.conn);
        self.release(shard, conn);
        self.feed(shard, Input::Closed { conn, goodbye: goodbye == Goodbye::Said });
    }

    fn release(&mut self, shard: usize, conn: ConnId) {
        self.slots[shard][conn.slot as usize] = None;
        if let Some(socket) = self.sockets.get_mut(&conn.tenant) {
            socket.is_at_node = false;
        }
    }

    pub(crate) fn feed(&mut self, shard: usize, input: Input) {
        if self.is_down {
            return;
        }
        let mut effects = Vec::new();
        self.shards[shard].handle(self.now, input, &mut effects);
        self.do_effects(shard, effects);
    }

    pub(crate) fn do_effects(&mut self, shard: usize, effects: Vec<Effect>) {
        let Ok(number) = u16::try_from(shard) else { return };
        let from = ShardId(number);
        for effect in effects {
            match effect {
                Effect::Store(request) => self.queue_for_store(from, request),
                Effect::Login { conn, credentials } => match login(&credentials) {
                    Some(user) => self.ask_directory(from, Question::Person { conn, user }),
                    None => self.complain("a client logged in as nobody"),
                },
                Effect::Load { conn, user } => {
                    self.ask_directory(from, Question::Person { conn, user });
                }
                Effect::LoadWatchList { conn, user } => {
                    self.ask_directory(from, Question::WatchList { conn, user });
                }
                Effect::ReadTies { subject, watchers } => {
                    self.ask_directory(from, Question::Ties { subject, watchers });
                }
                Effect::Perform { conn, n, user, ask } => {
                    self.ask_directory(from, Question::Perform { conn, n, user, ask });
                }
                Effect::Send { conn, notice } => {
                    let message = mapping::notice(&notice);
                    self.send(conn.tenant, &message);
                }
                Effect::Dirty { conn } => {
                    if let Some(socket) = self.sockets.get_mut(&conn.tenant) {
                        socket.has_patches = true;
                        self.wish_to_pump(conn.tenant);
                    }
                }
                Effect::Refund { .. } => {}
                Effect::Close { conn, close } => {
                    self.release(shard, conn);
                    self.push_down(conn.tenant, Frame::Close(close));
                }
            }
        }
    }

    pub(crate) fn queue_for_store(&mut self, from: ShardId, request: Request) {
        let is_lost = self.scenario.fault == Some(Fault::RelationsNotRaised)
            && matches!(request, Request::Relations { .. });
        if !is_lost {
            self.in_turn(self.scenario.store_step, &[STORE], Work::Ask(from, request));
        }
    }

    pub(crate) fn ask_store(&mut self, from: ShardId, request: Request) {
        let mut events = Vec::new();
        let touched = self.store.handle(self.now, from, request, &mut events);
        if let Some(user) = touched {
            self.store_changed(&user);
        }
        self.send_events(events);
    }

    pub(crate) fn send_events(&mut self, events: Events) {
        for (shard, event) in events {
            let part = [SHARD, u64::from(shard.0)];
            self.in_turn(self.scenario.shard_step, &part, Work::Event(shard, event));
        }
    }

    /// A number for a question that is the same in two worlds: whose window, or whose ties.
    fn stream(&self, from: ShardId, question: &Question) -> [u64; 3] {
        let window = |conn: &ConnId| {
            let socket = self.sockets.get(&conn.tenant);
            socket.map_or([0; 3], |socket| [1, socket.window.0 as u64, socket.window.1])
        };
        match question {
            Question::Person { conn, .. }
            | Question::WatchList { conn, .. }
            | Question::Perform { conn, .. } => window(conn),
            Question::Ties { subject, .. } => {
                let who = self.directory.who(subject.as_str()).unwrap_or(0);
                [2, u64::from(from.0), who as u64]
            }
            Question::Tie { actor, .. } => [3, *actor as u64, 0],
        }
    }

    pub(crate) fn ask_directory(&mut self, from: ShardId, question: Question) {
        let stream = self.stream(from, &question);
        let part = [&[ASKED][..], &stream].concat();
        self.in_turn(self.scenario.directory_step, &part, Work::Read(from, question));
    }

    pub(crate) fn read_directory(&mut self, from: ShardId, question: Question) {
        let stream = self.stream(from, &question);
        let who = |directory: &Directory, user: &UserId| directory.who(user.as_str());
        let input = match question {
            Question::Person { conn, user } => {
                let person = who(&self.directory, &user).map(|who| self.directory.person(who));
                let unknown = || Refusal::new(ErrorCode::Unauthorized, "nobody is called so");
                Some(Input::LoggedIn { conn, result: person.map(Box::new).ok_or_else(unknown) })
            }
            Question::WatchList { conn, user } => {
                let list = who(&self.directory, &user).map(|who| self.directory.watch_list(who));
                Some(Input::WatchList { conn, result: list.map(Box::new) })
            }
            Question::Ties { subject, watchers } => who(&self.directory, &subject).map(|who| {
                let (version, ties) = self.directory.ties(who, &watchers);
                Input::Ties { subject, version, ties }
            }),
            Question::Perform { conn, n, user, ask } => who(&self.directory, &user).map(|who| {
                let result = self.perform(from, who, ask);
                Input::Answer { conn, n, result }
            }),
            Question::Tie { actor, act, other } => {
                // Refusals are the business of who asks.
                let _ = self.change_tie(from, actor, act, other);
                None
            }
        };
        if let Some(input) = input {
            let part = [&[ANSWERED][..], &stream].concat();
            let work = Work::Answer(from, Box::new(input));
            self.in_turn(self.scenario.directory_step, &part, work);
        }
    }

    fn perform(&mut self, from: ShardId, who: Who, ask: Ask) -> Result<Answer, Refusal> {
        let (act, id) = match ask {
            Ask::Prefs(change) => {
                let is_read = change.is_empty();
                let preferences = self.directory.prefer(who, change);
                if !is_read {
                    let user = self.directory.id(who).clone();
                    let request = Request::Preferences { user, preferences: preferences.clone() };
                    self.queue_for_store(from, request);
                }
                return Ok(Answer::Preferences(preferences));
            }
            Ask::Pin(id) => (Act::Pin, id),
            Ask::Unpin(id) => (Act::Unpin, id),
            Ask::Block(id) => (Act::Block, id),
            Ask::Unblock(id) => (Act::Unblock, id),
            Ask::Remove(id) => (Act::Remove, id),
            other => panic!("{other:?} is no business of the directory"),
        };
        let Some(other) = self.directory.who(id.as_str()) else {
            return Err(Refusal::new(ErrorCode::NoSuchUser, "nobody has that id"));
        };
        match self.change_tie(from, who, act, other) {
            Ok(()) => Ok(Answer::Done),
            Err(code) => Err(Refusal::new(code, "nothing ties you to that user")),
        }
    }

    pub(crate) fn change_tie(
        &mut self,
        from: ShardId,
        actor: Who,
        act: Act,
        other: Who,
    ) -> Result<(), ErrorCode> {
        let store = &self.store;
        let presence = |directory: &Directory, who: Who| -> Arc<Presence> {
            store.presence(directory.id(who), &directory.profile(who))
        };
        let changed = self.directory.act(self.now, actor, act, other, presence)?;
        self.oracle.relation_changed(self.now, &changed.turned, &self.directory);
        for (who, version) in changed.raised {
            let user = self.directory.id(who).clone();
            self.queue_for_store(from, Request::Relations { user, version });
        }
        Ok(())
    }

    pub(crate) fn wish_to_pump(&mut self, id: SocketId) {
        let Some(socket) = self.sockets.get_mut(&id) else { return };
        if socket.has_patches && !socket.is_pumping && socket.down.len() < ROOM {
            socket.is_pumping = true;
            let part = [PUMP, socket.window.0 as u64, socket.window.1];
            self.in_turn(self.scenario.shard_step, &part, Work::Pump(id));
        }
    }

    /// The socket takes patches while it has room.
    pub(crate) fn pump(&mut self, id: SocketId) {
        let Some(socket) = self.sockets.get_mut(&id) else { return };
        socket.is_pumping = false;
        if !socket.is_at_node {
            return;
        }
        let room = ROOM.saturating_sub(socket.down.len());
        let (shard, conn, now) = (usize::from(socket.shard.0), socket.conn, self.now);
        let mut texts = Vec::new();
        if room > 0 {
            let has_more = self.shards[shard].take_patches(now, conn, |patch| {
                texts.push(encode::text(&mapping::patch(patch)));
                texts.len() < room
            });
            socket.has_patches = has_more;
        }
        for text in texts {
            self.send_text(id, text);
        }
        self.wish_to_pump(id);
    }

    pub(crate) fn send(&mut self, id: SocketId, message: &ServerMessage<'_>) {
        self.send_text(id, encode::text(message));
    }

    /// Sends a message, and holds it against the truth.
    fn send_text(&mut self, id: SocketId, text: String) {
        let since = self.now - self.scenario.slack();
        let Some(socket) = self.sockets.get_mut(&id) else { return };
        let message = match json::decode_server(&text) {
            Ok(message) => message,
            Err(error) => return self.complain(format!("{text}: {error}")),
        };
        if socket.caller == Caller::Thief {
            if matches!(message, ServerMessage::Welcome(_)) {
                let what = format!("a token that was good no more let somebody in: {text}");
                return self.complain(what);
            }
        } else {
            self.sent.push(Sent { at: self.now, window: socket.window, text: text.clone() });
        }
        match socket.shadow.tell(&message, &self.oracle, &self.directory, since) {
            Ok(matches) => self.push_down(id, Frame::Text(text, matches)),
            Err(what) => {
                let window = socket.window;
                self.complain(format!("window {window:?} is sent {text}: {what}"));
            }
        }
    }

    /// A close of the node's reaches the client after all that was sent.
    pub(crate) fn close_of(frame: &Frame) -> Option<Close> {
        match frame {
            Frame::Close(close) => Some(*close),
            Frame::Text(..) => None,
        }
    }
}

fn login(credentials: &Credentials) -> Option<UserId> {
    UserId::parse(credentials.token.as_ref()?.reveal()).ok()
}

fn fresh(chance: &mut Chance) -> Fresh {
    Fresh {
        session: SessionId(chance.bytes()),
        secret: chance.bytes(),
        address: "127.0.0.1".into(),
        client: "simulation".into(),
    }
}
