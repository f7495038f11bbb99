//! A client: one editor window or tab, with the real reducer, its resume token and its cursor.
//!
//! It decides what to say first on a socket and what to do when one ends; what it does of its own
//! accord is drawn elsewhere.

use std::collections::BTreeMap;

use client::{State, reduce};
use presence::close::{Close, ErrorCode};
use presence::hello::{Credentials, Cursor, Hello, IdentityKind, ResumeClaim, Secret};
use presence::report::ReportChange;
use presence::time::Timestamp;
use protocol::close::{ClientAction, after, code};
use protocol::message::{ClientMessage, ServerMessage};
use protocol::token::{parse_cursor, parse_resume};

use crate::chance::Chance;
use crate::directory::Who;

/// Whose window, and which of that user's.
pub(crate) type WindowKey = (Who, u64);

/// A socket, never the same again.
pub(crate) type SocketId = u32;

/// How a window that is away says hello when it comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Back {
    /// With its token.
    Resume,
    /// With its token, and a login in case it fails.
    ResumeOrLogIn,
    /// With somebody else's secret.
    WrongToken,
    /// As a new session.
    LogIn,
}

pub(crate) struct Window {
    pub(crate) chance: Chance,
    pub(crate) state: State,
    /// Up to which truth of each user the client has been told.
    pub(crate) matched: BTreeMap<Who, usize>,
    pub(crate) socket: Option<SocketId>,
    pub(crate) is_live: bool,
    /// How it comes back; nothing for a window that is closed for good.
    pub(crate) back: Option<Back>,
    pub(crate) token: Option<String>,
    /// The token before, on a resumed session.
    pub(crate) spent: Option<String>,
    cursor: Option<Cursor>,
    /// Everything it said of itself, and says again when it comes back.
    pub(crate) report: ReportChange,
    /// Reads nothing until then.
    pub(crate) deaf_until: Timestamp,
    /// When it first spoke on this socket after the welcome.
    pub(crate) spoke_at: Option<Timestamp>,
    has_claimed_and_logged_in: bool,
    pub(crate) requests: u64,
    pub(crate) sockets: u64,
    /// Times that a resume was refused.
    pub(crate) refused: usize,
}

impl Window {
    pub(crate) fn new(seed: u64, (who, number): WindowKey) -> Self {
        Self {
            chance: Chance::new(&[seed, 3, who as u64, number]),
            state: State::default(),
            matched: BTreeMap::new(),
            socket: None,
            is_live: false,
            back: Some(Back::LogIn),
            token: None,
            spent: None,
            cursor: None,
            report: ReportChange::default(),
            deaf_until: Timestamp::NEVER,
            spoke_at: None,
            has_claimed_and_logged_in: false,
            requests: 0,
            sockets: 0,
            refused: 0,
        }
    }

    /// A duplicated tab: the same token, cursor and map, and chances of its own.
    pub(crate) fn duplicate(&self, seed: u64, (who, number): WindowKey) -> Self {
        Self {
            chance: Chance::new(&[seed, 3, who as u64, number]),
            state: self.state.clone(),
            matched: self.matched.clone(),
            socket: None,
            is_live: false,
            back: Some(Back::Resume),
            token: self.token.clone(),
            spent: None,
            cursor: self.cursor,
            report: self.report.clone(),
            deaf_until: Timestamp::NEVER,
            spoke_at: None,
            has_claimed_and_logged_in: false,
            requests: 0,
            sockets: 0,
            refused: 0,
        }
    }

    /// What to say first.
    pub(crate) fn hello(&mut self, user: &str) -> ClientMessage {
        let back = self.back.unwrap_or(Back::LogIn);
        let claim = self.token.as_deref().and_then(parse_resume).map(|mut token| {
            if back == Back::WrongToken {
                token.secret[7] ^= 1;
            }
            ResumeClaim::Token(token)
        });
        let resume = claim.filter(|_| back != Back::LogIn);
        let logs_in = resume.is_none() || back == Back::ResumeOrLogIn;
        self.back = Some(Back::Resume);
        self.has_claimed_and_logged_in = resume.is_some() && logs_in;
        ClientMessage::Hello(Hello {
            cursor: self.cursor.filter(|_| resume.is_some()),
            credentials: logs_in.then(|| credentials(user)),
            resume,
            report: self.report.clone(),
        })
    }

    /// Takes a message; gives what to answer.
    pub(crate) fn receive(
        &mut self,
        message: &ServerMessage<'_>,
        user: &str,
    ) -> Option<ClientMessage> {
        reduce(&mut self.state, message);
        match message {
            ServerMessage::Welcome(welcome) => {
                self.is_live = true;
                self.spoke_at = None;
                self.spent = self.token.take().filter(|_| welcome.resumed);
                self.token = Some(welcome.resume.to_string());
                if !welcome.resumed {
                    self.cursor = None;
                }
                None
            }
            ServerMessage::Ping { cursor } => {
                self.cursor = cursor.as_deref().and_then(parse_cursor).or(self.cursor);
                Some(ClientMessage::Pong)
            }
            ServerMessage::Error { n: None, code: ErrorCode::ResumeFailed, .. } => {
                self.token = None;
                self.cursor = None;
                self.refused += 1;
                // Who brought a login as well is being logged in already.
                (!self.has_claimed_and_logged_in).then(|| self.hello(user))
            }
            _ => None,
        }
    }

    /// What a token that is good no more is tried with.
    pub(crate) fn replay(&self) -> ClientMessage {
        let token = self.spent.as_deref().and_then(parse_resume);
        ClientMessage::Hello(Hello {
            resume: token.map(ResumeClaim::Token),
            cursor: self.cursor,
            credentials: None,
            report: ReportChange::default(),
        })
    }

    /// The socket is closed by the server: whether and how the client comes back.
    pub(crate) fn closed(&mut self, close: Close) {
        self.lose_socket();
        let person_wants_more = self.chance.percent(50);
        self.back = match after(code(close)) {
            ClientAction::Resume
            | ClientAction::ResumeWithBackoff
            | ClientAction::ResumeAfter { .. } => Some(Back::Resume),
            ClientAction::LoginAgain | ClientAction::LoginWithBackoff => Some(Back::LogIn),
            ClientAction::StayAway | ClientAction::AskThePerson => {
                person_wants_more.then_some(Back::LogIn)
            }
        };
        if self.back == Some(Back::LogIn) {
            self.token = None;
            self.cursor = None;
        }
    }

    pub(crate) fn lose_socket(&mut self) {
        self.state.disconnected();
        self.socket = None;
        self.is_live = false;
        self.spent = None;
        self.spoke_at = None;
    }
}

pub(crate) fn credentials(user: &str) -> Credentials {
    Credentials { kind: IdentityKind::Dev, token: Some(Secret::new(user)), name: None, guest: None }
}
