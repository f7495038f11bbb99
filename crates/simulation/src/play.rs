//! The clients' side of the world: what they do, what they read, how their sockets end.

use std::collections::VecDeque;
use std::time::Duration;

use presence::ask::Ask;
use presence::close::Close;
use presence::ids::{ConnId, ShardId};
use presence::report::ReportChange;
use protocol::json;
use protocol::message::ClientMessage;

use crate::chance::mix;
use crate::check::Shadow;
use crate::client::{Back, SocketId, Window, WindowKey};
use crate::deeds::{self, Around, Deed, Lost};
use crate::world::{Caller, Frame, Goodbye, Question, Socket, Work, World};

/// Streams of turns, one kind each.
const UP: u64 = 10;
const DOWN: u64 = 11;
/// Most windows of one user, tabs that are closed included.
const WINDOWS_MAX: u64 = 6;
/// A first frame is believed to have invalidated the token before after so long.
const REPLAY_AFTER: Duration = Duration::from_secs(3);

impl World {
    /// A window's turn to do something.
    pub(crate) fn act(&mut self, key: WindowKey) {
        if !self.is_acting() {
            return;
        }
        if self.is_silenced(key.0) {
            self.later(Duration::from_secs(1), Work::Act(key));
            return;
        }
        let Some(window) = self.windows.get_mut(&key) else { return };
        let pause = window.chance.millis(150, 2_500);
        if window.socket.is_none() {
            if window.back.is_some() {
                self.connect(key, Caller::Window);
                self.later(pause, Work::Act(key));
            }
            return;
        }
        if !window.is_live {
            self.later(pause, Work::Act(key));
            return;
        }
        let deed = self.choose(key);
        if let Some(wait) = self.carry_on(key, deed) {
            self.later(wait.max(pause), Work::Act(key));
        }
    }

    fn choose(&mut self, key: WindowKey) -> Deed {
        let untouchable = self.untouchable();
        if key.0 == self.scenario.lurker() {
            return Deed::Heartbeat;
        }
        if let Some(deed) = self.choose_hidden(key) {
            return deed;
        }
        let around = Around {
            now: self.now,
            me: key.0,
            people: self.scenario.people,
            directory: &self.directory,
            mix: self.scenario.mix,
            untouchable,
        };
        let Some(window) = self.windows.get_mut(&key) else { return Deed::Heartbeat };
        deeds::choose(&mut window.chance, &around)
    }

    /// Does it; tells how long to wait at least before the next deed, or that there is none.
    fn carry_on(&mut self, key: WindowKey, deed: Deed) -> Option<Duration> {
        let now = self.now;
        match deed {
            Deed::Report(change) => self.report(key, change),
            Deed::Burst(changes) => {
                for change in changes {
                    self.report(key, change);
                }
            }
            Deed::Heartbeat => self.say(key, &ClientMessage::Heartbeat),
            Deed::Drop { back, after, unread } => {
                self.drop_socket(key, unread);
                self.windows.get_mut(&key)?.back = Some(back);
                return Some(after);
            }
            Deed::Bye { after, back } => return self.leave(key, after, back),
            Deed::AnotherWindow => self.open_window(key, Window::new),
            Deed::DuplicateTab => {
                let window = self.windows.get(&key)?;
                let copy = |seed, copy_key| window.duplicate(seed, copy_key);
                let copy = self.copied(key, copy);
                if let Some((copy_key, copy)) = copy {
                    self.windows.insert(copy_key, copy);
                    self.connect(copy_key, Caller::Window);
                    self.later(REPLAY_AFTER, Work::Act(copy_key));
                }
            }
            Deed::ReplayToken => {
                let window = self.windows.get(&key)?;
                let is_spent = window.spoke_at.is_some_and(|at| at + REPLAY_AFTER <= now);
                if window.spent.is_some() && is_spent {
                    self.connect(key, Caller::Thief);
                }
            }
            Deed::Ask(ask) => self.request(key, ask),
            Deed::Tie(act, other) => {
                let question = Question::Tie { actor: key.0, act, other };
                if !self.is_down {
                    self.ask_directory(ShardId(0), question);
                }
            }
            Deed::StopReading(time) => self.windows.get_mut(&key)?.deaf_until = now + time,
        }
        Some(Duration::ZERO)
    }

    fn report(&mut self, key: WindowKey, change: ReportChange) {
        if let Some(window) = self.windows.get_mut(&key) {
            window.report.merge(change.clone());
            self.say(key, &ClientMessage::Report(change));
        }
    }

    fn request(&mut self, key: WindowKey, ask: Ask) {
        if let Some(window) = self.windows.get_mut(&key) {
            window.requests += 1;
            let n = window.requests;
            self.say(key, &ClientMessage::Request { n, ask });
        }
    }

    pub(crate) fn leave(
        &mut self,
        key: WindowKey,
        after: Option<Duration>,
        back: Option<Duration>,
    ) -> Option<Duration> {
        self.say(key, &ClientMessage::Bye { after });
        self.drop_socket(key, Lost::End);
        let window = self.windows.get_mut(&key)?;
        let comes_back = if after.is_some() { Back::ResumeOrLogIn } else { Back::LogIn };
        window.back = back.map(|_| comes_back);
        back
    }

    fn open_window(&mut self, key: WindowKey, make: impl FnOnce(u64, WindowKey) -> Window) {
        let new = self.copied(key, make);
        if let Some((new_key, window)) = new {
            self.windows.insert(new_key, window);
            self.later(Duration::ZERO, Work::Act(new_key));
        }
    }

    /// Another window of the same user, if the user has not too many.
    fn copied(
        &self,
        (who, _): WindowKey,
        make: impl FnOnce(u64, WindowKey) -> Window,
    ) -> Option<(WindowKey, Window)> {
        let number = self.windows.range((who, 0)..=(who, u64::MAX)).count() as u64;
        let key = (who, number);
        (number < WINDOWS_MAX).then(|| (key, make(self.scenario.seed, key)))
    }

    /// Opens a socket and says hello on it.
    fn connect(&mut self, key: WindowKey, caller: Caller) {
        let id = SocketId::try_from(self.sockets.len()).unwrap_or(SocketId::MAX);
        let user = self.directory.id(key.0).to_string();
        let Some(window) = self.windows.get_mut(&key) else { return };
        window.sockets += 1;
        let choice = mix(&[self.scenario.seed, 7, key.0 as u64, key.1, window.sockets]);
        let shards = self.scenario.shards as u64;
        let is_lurking = key.0 == self.scenario.lurker();
        let place = if is_lurking { key.1 } else { choice } % shards;
        let shard = ShardId(u16::try_from(place).unwrap_or(0));
        let hello = match caller {
            Caller::Window => {
                window.socket = Some(id);
                window.hello(&user)
            }
            Caller::Thief => window.replay(),
        };
        let shadow =
            Shadow { watcher: key.0, state: window.state.clone(), matched: window.matched.clone() };
        let socket = Socket {
            window: key,
            caller,
            shard,
            conn: ConnId { slot: 0, tenant: id },
            is_at_node: false,
            is_at_client: true,
            is_cut: false,
            shadow,
            down: VecDeque::new(),
            has_patches: false,
            is_pumping: false,
            is_reading: false,
            hellos: 0,
        };
        self.sockets.insert(id, socket);
        self.up(id, Work::Arrive(id));
        self.say_on(id, &hello);
    }

    /// Something goes up a socket, after what went before.
    fn up(&mut self, id: SocketId, work: Work) {
        let Some(socket) = self.sockets.get(&id) else { return };
        let part = [UP, socket.window.0 as u64, socket.window.1];
        self.in_turn(self.scenario.link_step, &part, work);
    }

    pub(crate) fn say(&mut self, key: WindowKey, message: &ClientMessage) {
        let Some(window) = self.windows.get_mut(&key) else { return };
        if let Some(socket) = window.socket {
            if window.is_live {
                window.spoke_at.get_or_insert(self.now);
            }
            self.say_on(socket, message);
        }
    }

    fn say_on(&mut self, id: SocketId, message: &ClientMessage) {
        let mut bytes = Vec::new();
        json::encode_client(message, &mut bytes);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        self.up(id, Work::Up(id, text));
    }

    fn drop_socket(&mut self, key: WindowKey, unread: Lost) {
        let Some(window) = self.windows.get_mut(&key) else { return };
        let Some(id) = window.socket else { return };
        window.lose_socket();
        let Some(socket) = self.sockets.get_mut(&id) else { return };
        socket.is_at_client = false;
        socket.is_cut = unread == Lost::EndAndFrames;
        if unread != Lost::Nothing {
            self.up(id, Work::Gone(id, Goodbye::NotSaid));
        }
    }

    /// The node is gone: the client notices.
    pub(crate) fn break_off(&mut self, id: SocketId) {
        let Some(socket) = self.sockets.get_mut(&id) else { return };
        let is_held = socket.is_at_client;
        socket.is_at_client = false;
        let key = socket.window;
        let Some(window) = self.windows.get_mut(&key) else { return };
        if is_held && window.socket == Some(id) {
            window.lose_socket();
            // It tries again at its next turn.
            window.back = Some(window.back.unwrap_or(Back::Resume));
        }
    }

    pub(crate) fn push_down(&mut self, id: SocketId, frame: Frame) {
        let Some(socket) = self.sockets.get_mut(&id) else { return };
        socket.down.push_back(frame);
        if !socket.is_reading {
            socket.is_reading = true;
            let part = [DOWN, socket.window.0 as u64, socket.window.1];
            self.in_turn(self.scenario.link_step, &part, Work::Down(id));
        }
    }

    /// A client reads what has come.
    pub(crate) fn read_socket(&mut self, id: SocketId) {
        let Some(socket) = self.sockets.get_mut(&id) else { return };
        socket.is_reading = false;
        let key = socket.window;
        if !socket.is_at_client {
            socket.down.clear();
            return;
        }
        let deaf_until = self.windows.get(&key).map_or(self.now, |window| window.deaf_until);
        if deaf_until > self.now {
            socket.is_reading = true;
            self.at(deaf_until, Work::Down(id));
            return;
        }
        let frames = std::mem::take(&mut socket.down);
        for frame in frames {
            self.take_frame(id, key, frame);
        }
        self.wish_to_pump(id);
    }

    fn take_frame(&mut self, id: SocketId, key: WindowKey, frame: Frame) {
        let Some(socket) = self.sockets.get_mut(&id) else { return };
        if !socket.is_at_client {
            return;
        }
        if socket.caller == Caller::Thief {
            // Turned away, or closed: it goes, and comes no more.
            socket.is_at_client = false;
            self.up(id, Work::Gone(id, Goodbye::NotSaid));
            return;
        }
        if let Some(close) = Self::close_of(&frame) {
            socket.is_at_client = false;
            self.be_closed(key, close);
            return;
        }
        let Frame::Text(text, matches) = frame else { return };
        let user = self.directory.id(key.0).to_string();
        let Some(window) = self.windows.get_mut(&key) else { return };
        window.matched.extend(matches);
        let Ok(message) = json::decode_server(&text) else { return };
        if let Some(answer) = window.receive(&message, &user) {
            self.say(key, &answer);
        }
    }

    fn be_closed(&mut self, key: WindowKey, close: Close) {
        let Some(window) = self.windows.get_mut(&key) else { return };
        if let Close::BadMessages | Close::TooLarge = close {
            let what = format!("window {key:?} is closed for {close:?}");
            return self.complain(what);
        }
        // If it comes back, then at its next turn.
        window.closed(close);
    }
}
