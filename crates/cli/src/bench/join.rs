//! Logs all users of a load test in: so many at a time, again where the server is busy.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

use client::Target;

use super::engine::{Engine, EngineError, News};
use crate::clock;

/// Logins in progress at once.
const IN_FLIGHT_MAX: usize = 256;
/// Times that one user is tried where the server does not say when to come again.
const ATTEMPTS_MAX: u8 = 60;
/// Wait before the next try where the server names none.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// Longest wait that a server may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);
/// Time without any progress after which it is given up.
const STALLED_AFTER: Duration = Duration::from_secs(90);

/// Why not all users could be logged in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JoinError {
    /// The engine cannot go on.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A host has no address.
    #[error("{target} cannot be resolved: {source}; check --url")]
    Resolve {
        /// The server.
        target: Target,
        /// What the system said.
        source: std::io::Error,
    },
    /// No socket, or nobody there.
    #[error(
        "{target} cannot be reached: {why}; check --url, and that `rollcall serve` listens there"
    )]
    Unreachable {
        /// The server.
        target: Target,
        /// Why.
        why: String,
    },
    /// Nothing moves.
    #[error("no login went through for {} s, at {joined} of {users}; the last failure: {why}", STALLED_AFTER.as_secs())]
    Stalled {
        /// How many are in.
        joined: u32,
        /// How many there are.
        users: u32,
        /// Why the last one failed.
        why: String,
    },
}

/// One of the servers.
#[derive(Debug)]
pub(crate) struct Server {
    target: Target,
    address: SocketAddr,
    authority: String,
}

impl Server {
    /// Resolves the server's address.
    pub(crate) fn resolve(target: Target) -> Result<Self, JoinError> {
        let resolved = (target.host(), target.port()).to_socket_addrs();
        match resolved.map(|mut addresses| addresses.next()) {
            Ok(Some(address)) => {
                let authority = target.authority();
                Ok(Self { target, address, authority })
            }
            Ok(None) => {
                let source = std::io::Error::from(std::io::ErrorKind::NotFound);
                Err(JoinError::Resolve { target, source })
            }
            Err(source) => Err(JoinError::Resolve { target, source }),
        }
    }
}

/// Logs everybody in, users spread over the servers in turn.
pub(crate) fn join_all(
    engine: &mut Engine,
    servers: &[Server],
    mut progress: impl FnMut(u32),
) -> Result<(), JoinError> {
    let users = engine.check.graph().users();
    let mut join = Join {
        servers,
        waiting: BinaryHeap::new(),
        attempts: vec![0; users as usize],
        next: 0,
        in_flight: 0,
        joined: 0,
        paused_until: clock::now(),
        last_why: "none".into(),
    };
    let mut moved = clock::now();
    while join.joined < users {
        let before = join.joined;
        join.start(engine, users)?;
        engine.turn(Duration::from_millis(10))?;
        for news in std::mem::take(&mut engine.news) {
            join.on_news(news)?;
        }
        if join.joined > before {
            moved = clock::now();
            progress(join.joined);
        }
        if clock::now().duration_since(moved) > STALLED_AFTER {
            return Err(JoinError::Stalled { joined: join.joined, users, why: join.last_why });
        }
    }
    Ok(())
}

struct Join<'a> {
    servers: &'a [Server],
    waiting: BinaryHeap<Reverse<(Instant, u32)>>,
    attempts: Vec<u8>,
    next: u32,
    in_flight: usize,
    joined: u32,
    paused_until: Instant,
    last_why: String,
}

impl Join<'_> {
    fn server(&self, user: u32) -> &Server {
        &self.servers[user as usize % self.servers.len()]
    }

    fn start(&mut self, engine: &mut Engine, users: u32) -> Result<(), JoinError> {
        while self.in_flight < IN_FLIGHT_MAX && clock::now() >= self.paused_until {
            let due = matches!(self.waiting.peek(), Some(Reverse((at, _))) if *at <= clock::now());
            let user = if due {
                self.waiting.pop().map(|Reverse((_, user))| user)
            } else {
                (self.next < users).then_some(self.next)
            };
            let Some(user) = user else { return Ok(()) };
            if !due {
                self.next += 1;
            }
            let server = self.server(user);
            engine
                .connect(user, server.address, &server.authority, server.target.path())
                .map_err(|error| self.unreachable(user, error.to_string()))?;
            self.in_flight += 1;
        }
        Ok(())
    }

    fn on_news(&mut self, news: News) -> Result<(), JoinError> {
        self.in_flight -= 1;
        match news {
            News::Joined => {
                self.joined += 1;
                Ok(())
            }
            // Where somebody has come in already, a server may be coming back.
            News::NobodyThere { user, why } if self.joined == 0 => Err(self.unreachable(user, why)),
            News::NobodyThere { user, why } => self.again(user, None, why),
            News::TryAgain { user, after, why } => self.again(user, after, why),
        }
    }

    fn again(&mut self, user: u32, after: Option<Duration>, why: String) -> Result<(), JoinError> {
        let now = clock::now();
        match after {
            // It will let more in then: nobody else is tried before, and only a standstill ends it.
            Some(wait) => self.paused_until = now + wait.min(RETRY_AFTER_MAX),
            None => {
                let attempts = &mut self.attempts[user as usize];
                *attempts += 1;
                if *attempts >= ATTEMPTS_MAX {
                    return Err(self.unreachable(user, why));
                }
            }
        }
        self.waiting.push(Reverse((now + after.map_or(RETRY_AFTER, |_| Duration::ZERO), user)));
        self.last_why = why;
        Ok(())
    }

    fn unreachable(&self, user: u32, why: String) -> JoinError {
        JoinError::Unreachable { target: self.server(user).target.clone(), why }
    }
}
