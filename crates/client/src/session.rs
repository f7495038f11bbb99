//! A client that stays: it connects, answers, sends heartbeats, and comes back to its session when
//! the socket is lost.
//!
//! It runs on the caller's thread: [`Session::next`] is to be called again and again. Nothing
//! happens between two calls, so a caller that waits elsewhere for more than a few seconds is taken
//! for gone by the server.

use std::time::{Duration, Instant};

use presence::ask::Ask;
use presence::report::ReportChange;
use protocol::message::ClientMessage;

use crate::clock;
use crate::connection::{Connection, Login, Next, Step};
use crate::socket::{Client, ClientError, Incoming, Options, Pings, Received};
use crate::target::Target;

/// What happened to a session.
#[derive(Debug)]
pub enum Event {
    /// The socket is open and `hello` was said; `welcome` comes as a message.
    Connected,
    /// A message came.
    Message(Received),
    /// A text came of a kind that this version does not know, and passes over.
    Unknown(Box<str>),
    /// The socket is gone; the session tries again by itself.
    Disconnected {
        /// Why.
        why: ClientError,
        /// After how long it tries again.
        retry_in: Duration,
    },
    /// The server asked the client to connect again, and it does.
    Moving,
    /// It is over: nothing comes any more.
    Ended {
        /// Why, for the person.
        why: String,
    },
}

/// A client over all its reconnects.
#[derive(Debug)]
pub struct Session {
    target: Target,
    connection: Connection,
    place: Place,
    requests: u64,
}

/// Where the session is.
#[derive(Debug)]
enum Place {
    Waiting { until: Instant },
    Open { socket: Box<Client>, leave_at: Option<Instant> },
    Over,
}

impl Session {
    /// A session that connects at the first [`Session::next`].
    pub fn new(target: Target, login: Login) -> Self {
        let place = Place::Waiting { until: clock::now() };
        Self { target, connection: Connection::new(login), place, requests: 0 }
    }

    /// What happens next, or nothing if nothing did in that time. Connecting may take up to
    /// [`crate::socket::CONNECT_WAIT_MAX`] longer.
    pub fn next(&mut self, timeout: Duration) -> Option<Event> {
        let deadline = clock::now() + timeout;
        loop {
            match &self.place {
                Place::Over => {
                    wait_until(deadline);
                    return None;
                }
                Place::Waiting { until } => {
                    let until = *until;
                    wait_until(until.min(deadline));
                    if clock::now() < until {
                        return None;
                    }
                    return Some(self.connect());
                }
                Place::Open { .. } => {
                    if let Some(event) = self.read(deadline) {
                        return Some(event);
                    }
                    if clock::now() >= deadline {
                        return None;
                    }
                }
            }
        }
    }

    /// Reports; while there is no connection, with the next one.
    pub fn report(&mut self, change: ReportChange) {
        if let Some(message) = self.connection.report(change) {
            self.send(&message);
        }
    }

    /// Asks; the answer comes as a message with the number that is returned. Nothing is asked, and
    /// `None` returned, while there is no connection.
    pub fn ask(&mut self, ask: Ask) -> Option<u64> {
        if !self.connection.is_live() {
            return None;
        }
        self.requests += 1;
        let n = self.requests;
        self.send(&ClientMessage::Request { n, ask });
        Some(n)
    }

    /// Whether the server has welcomed the present connection.
    pub fn is_live(&self) -> bool {
        self.connection.is_live()
    }

    /// Says goodbye: whoever watches sees the user leave at once.
    pub fn goodbye(self) {
        if let Place::Open { mut socket, .. } = self.place {
            // Where the socket is gone already, the server ends the session by its window.
            if socket.send(&ClientMessage::Bye { after: None }).is_ok() {
                socket.close(1000);
            }
        }
    }

    fn connect(&mut self) -> Event {
        let options = Options {
            target: self.target.clone(),
            hello: None,
            // The pongs are the connection's, which keeps the cursor of each ping.
            pings: Pings::Ignore,
            origin: None,
        };
        match Client::connect(&options) {
            Ok(mut socket) => {
                let hello = self.connection.on_open(clock::now());
                if let Err(why) = socket.send(&hello) {
                    return self.ended(why);
                }
                self.place = Place::Open { socket: Box::new(socket), leave_at: None };
                Event::Connected
            }
            Err(why) => {
                let mut retry_in = self.connection.on_unreachable(rand::random());
                if let ClientError::Refused { retry_after: Some(at_least), .. } = &why {
                    retry_in += *at_least;
                }
                self.place = Place::Waiting { until: clock::now() + retry_in };
                Event::Disconnected { why, retry_in }
            }
        }
    }

    /// One message, or one thing that is due; nothing if neither came until then.
    fn read(&mut self, deadline: Instant) -> Option<Event> {
        let Place::Open { socket, leave_at } = &mut self.place else { return None };
        let now = clock::now();
        if leave_at.is_some_and(|at| now >= at) {
            return Some(self.moved());
        }
        let silent_until = self.connection.silent_until();
        if silent_until.is_some_and(|until| now >= until) {
            return Some(self.ended(ClientError::Lost("the server is silent".into())));
        }
        if let Some(heartbeat) = self.connection.on_time(now) {
            self.send(&heartbeat);
            return None;
        }
        let due = [self.connection.next_heartbeat(), silent_until, *leave_at];
        let until = due.into_iter().flatten().fold(deadline, Instant::min);
        match socket.next_text(until) {
            Ok(None) => None,
            Ok(Some(Incoming::Message(received))) => {
                self.on_message(&received);
                Some(Event::Message(received))
            }
            Ok(Some(Incoming::Unknown(text))) => Some(Event::Unknown(text.as_str().into())),
            Err(why) => Some(self.ended(why)),
        }
    }

    fn on_message(&mut self, received: &Received) {
        let now = clock::now();
        match self.connection.on_message(&received.message(), now) {
            None => {}
            Some(Step::Send(message)) => self.send(&message),
            Some(Step::MoveAfter(delay)) => {
                if let Place::Open { leave_at, .. } = &mut self.place {
                    *leave_at = Some(now + delay);
                }
            }
        }
    }

    fn send(&mut self, message: &ClientMessage) {
        if let Place::Open { socket, .. } = &mut self.place {
            // A socket that cannot be written fails in the next read too, where it is told.
            let _ = socket.send(message);
        }
    }

    fn moved(&mut self) -> Event {
        let place = Place::Waiting { until: clock::now() };
        if let Place::Open { socket, .. } = std::mem::replace(&mut self.place, place) {
            // 1001 is a drop to the server: the session waits to be resumed.
            socket.close(1001);
        }
        self.connection.on_moved();
        Event::Moving
    }

    fn ended(&mut self, why: ClientError) -> Event {
        let now = clock::now();
        match self.connection.on_close(why.close_code(), now, rand::random()) {
            Next::Connect(retry_in) => {
                self.place = Place::Waiting { until: now + retry_in };
                Event::Disconnected { why, retry_in }
            }
            Next::StayAway | Next::AskThePerson => {
                self.place = Place::Over;
                let why = match self.connection.refusal() {
                    Some(refusal) => refusal.to_owned(),
                    None => why.to_string(),
                };
                Event::Ended { why }
            }
        }
    }
}

/// Waits for a moment, on purpose without any event: while there is no socket there is nothing to
/// wait on.
fn wait_until(deadline: Instant) {
    loop {
        let left = deadline.saturating_duration_since(clock::now());
        if left.is_zero() {
            return;
        }
        std::thread::park_timeout(left);
    }
}
