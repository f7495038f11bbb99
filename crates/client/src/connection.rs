//! The protocol of one client over all its reconnects, without I/O: what to say first, what to
//! answer, and what to do when the socket ends.
//!
//! Time and randomness are handed in. This module never reads a clock or a socket.

use std::time::{Duration, Instant};

use presence::close::ErrorCode;
use presence::hello::{Credentials, Hello, ResumeClaim};
use presence::report::ReportChange;
use protocol::close::{ClientAction, after};
use protocol::message::{ClientMessage, ServerMessage, Welcome};
use protocol::token::{parse_cursor, parse_resume};

use crate::backoff::Backoff;

/// A connection that held so long counts as good: the next wait is a first one again.
pub const STEADY_AFTER: Duration = Duration::from_secs(30);
/// A server that is silent for so many ping intervals is gone.
const SILENT_PINGS_MAX: u32 = 3;
/// A welcome comes within this time of `hello`, or the connection is given up.
const WELCOME_WAIT_MAX: Duration = Duration::from_secs(30);

/// Who the client is, and what it reports of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The identity it claims.
    pub credentials: Credentials,
    /// The first report, which may be empty.
    pub report: ReportChange,
}

/// What the driver does next because of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Send this at once.
    Send(ClientMessage),
    /// Leave this socket after so long, without goodbye, and connect again.
    MoveAfter(Duration),
}

/// What the driver does once a socket has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Connect again after so long; [`Connection::on_open`] then tells what to say.
    Connect(Duration),
    /// Stay away: the session is over.
    StayAway,
    /// Stay away until the person has decided: the login was refused or signed out.
    AskThePerson,
}

/// Where the connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No socket.
    Away,
    /// `hello` was said, `welcome` is due.
    Greeting { since: Instant },
    /// Welcomed.
    Live { since: Instant, heard: Instant, next_heartbeat: Option<Instant> },
}

/// One client's protocol state.
#[derive(Debug)]
pub struct Connection {
    login: Login,
    phase: Phase,
    resume: Option<ResumeClaim>,
    cursor: Option<presence::hello::Cursor>,
    heartbeat: Option<Duration>,
    ping: Option<Duration>,
    backoff: Backoff,
    refusal: Option<String>,
}

impl Connection {
    /// A client that has not connected yet.
    pub fn new(login: Login) -> Self {
        Self {
            login,
            phase: Phase::Away,
            resume: None,
            cursor: None,
            heartbeat: None,
            ping: None,
            backoff: Backoff::default(),
            refusal: None,
        }
    }

    /// The socket is open: what to say first. With a resume token only that, so that no login
    /// token travels without need.
    pub fn on_open(&mut self, now: Instant) -> ClientMessage {
        assert!(self.phase == Phase::Away, "a client has one socket at a time");
        self.phase = Phase::Greeting { since: now };
        self.refusal = None;
        self.hello()
    }

    /// A message came: what to do.
    pub fn on_message(&mut self, message: &ServerMessage<'_>, now: Instant) -> Option<Step> {
        if let Phase::Live { heard, .. } = &mut self.phase {
            *heard = now;
        }
        match message {
            ServerMessage::Welcome(welcome) => {
                self.welcomed(welcome, now);
                None
            }
            ServerMessage::Ping { cursor } => {
                if let Some(cursor) = cursor.as_deref().and_then(parse_cursor) {
                    self.cursor = Some(cursor);
                }
                Some(Step::Send(ClientMessage::Pong))
            }
            ServerMessage::Go { after_ms } => {
                Some(Step::MoveAfter(Duration::from_millis(*after_ms)))
            }
            ServerMessage::Error { n: None, code, message } => self.refused(*code, message),
            _ => None,
        }
    }

    /// The socket has ended, with a close code if one came. `random` is from 0 up to, and without, 1.
    pub fn on_close(&mut self, code: Option<u16>, now: Instant, random: f64) -> Next {
        if let Phase::Live { since, .. } = self.phase
            && now.saturating_duration_since(since) >= STEADY_AFTER
        {
            self.backoff.reset();
        }
        self.phase = Phase::Away;
        // An end without a code is a drop: 1006 stands for it, and never travels (RFC 6455, 7.1.5).
        match after(code.unwrap_or(1006)) {
            ClientAction::StayAway => {
                self.forget();
                Next::StayAway
            }
            ClientAction::AskThePerson => {
                self.forget();
                Next::AskThePerson
            }
            ClientAction::LoginAgain | ClientAction::LoginWithBackoff => {
                self.forget();
                Next::Connect(self.backoff.next(Duration::ZERO, random))
            }
            ClientAction::ResumeAfter { at_least } => {
                Next::Connect(self.backoff.next(at_least, random))
            }
            ClientAction::Resume | ClientAction::ResumeWithBackoff => {
                Next::Connect(self.backoff.next(Duration::ZERO, random))
            }
        }
    }

    /// This client left its socket because the server said `go`: it connects again at once, for the
    /// server has already spread its clients over time.
    pub fn on_moved(&mut self) {
        self.phase = Phase::Away;
    }

    /// No connection came about: when to try again.
    pub fn on_unreachable(&mut self, random: f64) -> Duration {
        self.phase = Phase::Away;
        self.backoff.next(Duration::ZERO, random)
    }

    /// Takes a report of the person; to be sent now if the connection is live, else with the next
    /// `hello`.
    pub fn report(&mut self, change: ReportChange) -> Option<ClientMessage> {
        self.login.report.merge(change.clone());
        self.is_live().then_some(ClientMessage::Report(change))
    }

    /// The heartbeat that is due, if one is.
    pub fn on_time(&mut self, now: Instant) -> Option<ClientMessage> {
        let Phase::Live { next_heartbeat: Some(due), .. } = &mut self.phase else { return None };
        if now < *due {
            return None;
        }
        // From now on, not from when it was due: a process that slept sends one, not a hundred.
        *due = now + self.heartbeat?;
        Some(ClientMessage::Heartbeat)
    }

    /// When [`Connection::on_time`] has something to send.
    pub fn next_heartbeat(&self) -> Option<Instant> {
        match self.phase {
            Phase::Live { next_heartbeat, .. } => next_heartbeat,
            Phase::Away | Phase::Greeting { .. } => None,
        }
    }

    /// When the server, if it says nothing until then, is to be taken for gone.
    pub fn silent_until(&self) -> Option<Instant> {
        match self.phase {
            Phase::Away => None,
            Phase::Greeting { since } => Some(since + WELCOME_WAIT_MAX),
            Phase::Live { heard, .. } => self.ping.map(|ping| heard + ping * SILENT_PINGS_MAX),
        }
    }

    /// Whether the client was welcomed on the present socket.
    pub fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Live { .. })
    }

    /// Whether the next `hello` claims the session before.
    pub fn will_resume(&self) -> bool {
        self.resume.is_some()
    }

    /// What the server last said against this login.
    pub fn refusal(&self) -> Option<&str> {
        self.refusal.as_deref()
    }

    fn hello(&self) -> ClientMessage {
        let credentials = match self.resume {
            Some(_) => None,
            None => Some(self.login.credentials.clone()),
        };
        ClientMessage::Hello(Hello {
            resume: self.resume.clone(),
            cursor: self.cursor,
            credentials,
            report: self.login.report.clone(),
        })
    }

    fn welcomed(&mut self, welcome: &Welcome<'_>, now: Instant) {
        let seconds = |secs: u64| (secs > 0).then(|| Duration::from_secs(secs));
        self.heartbeat = seconds(welcome.heartbeat_secs);
        self.ping = seconds(welcome.ping_secs);
        self.resume = parse_resume(&welcome.resume).map(ResumeClaim::Token);
        if !welcome.resumed {
            self.cursor = None;
        }
        if let Some(token) = &welcome.guest_token {
            // The guest comes again as the same one when the session cannot be resumed.
            self.login.credentials.token = Some(presence::hello::Secret::new(&**token));
        }
        let next_heartbeat = self.heartbeat.map(|every| now + every);
        self.phase = Phase::Live { since: now, heard: now, next_heartbeat };
    }

    fn refused(&mut self, code: ErrorCode, message: &str) -> Option<Step> {
        let Phase::Greeting { .. } = self.phase else { return None };
        if code == ErrorCode::ResumeFailed && self.resume.is_some() {
            self.forget();
            return Some(Step::Send(self.hello()));
        }
        self.refusal = Some(format!("{message} ({})", code.name()));
        None
    }

    fn forget(&mut self) {
        self.resume = None;
        self.cursor = None;
    }
}

#[cfg(test)]
mod tests {
    use presence::close::Close;
    use presence::hello::{IdentityKind, ResumeToken, Secret};
    use presence::ids::SessionId;
    use protocol::close::code;
    use protocol::token::format_resume;

    use super::*;

    fn login() -> Login {
        Login {
            credentials: Credentials {
                kind: IdentityKind::Dev,
                token: Some(Secret::new("ada")),
                name: None,
                guest: None,
            },
            report: ReportChange::default(),
        }
    }

    fn welcome(resumed: bool) -> ServerMessage<'static> {
        let token = ResumeToken { partition: 1, session: SessionId([1; 16]), secret: [2; 32] };
        ServerMessage::Welcome(Welcome {
            id: "dev_ada".into(),
            name: "ada".into(),
            session: "01".into(),
            resume: format_resume(&token).into(),
            resumed,
            heartbeat_secs: 10,
            ping_secs: 30,
            window_secs: 60,
            guest_token: None,
        })
    }

    fn live(now: Instant) -> Connection {
        let mut connection = Connection::new(login());
        connection.on_open(now);
        assert_eq!(connection.on_message(&welcome(false), now), None);
        connection
    }

    fn claims(hello: &ClientMessage) -> (bool, bool) {
        let ClientMessage::Hello(hello) = hello else { panic!("{hello:?}") };
        (hello.resume.is_some(), hello.credentials.is_some())
    }

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn each_close_code_leads_where_the_contract_says() {
        #[derive(Debug, PartialEq)]
        enum Then {
            Away,
            Asks,
            Resumes,
            LogsIn,
        }
        use Then::{Asks, Away, LogsIn, Resumes};
        let table = [
            (Some(code(Close::Goodbye)), Away),
            (Some(code(Close::TooLarge)), LogsIn),
            (Some(code(Close::Restart)), Resumes),
            (Some(code(Close::Drained)), Resumes),
            (Some(code(Close::StoreUnavailable)), Resumes),
            (Some(code(Close::PingsMissed)), LogsIn),
            (Some(code(Close::NoHello)), LogsIn),
            (Some(code(Close::TooMany)), Resumes),
            (Some(code(Close::LoginRefused)), Asks),
            (Some(code(Close::Replaced)), Away),
            (Some(code(Close::SignedOut)), Asks),
            (Some(code(Close::BadMessages)), Away),
            (Some(1001), Resumes),
            (None, Resumes),
        ];
        for (close, expected) in table {
            let now = clock();
            let mut connection = live(now);
            let then = match connection.on_close(close, now, 0.5) {
                Next::StayAway => Away,
                Next::AskThePerson => Asks,
                Next::Connect(_) => match claims(&connection.on_open(now)) {
                    (true, false) => Resumes,
                    (false, true) => LogsIn,
                    both => panic!("{both:?}"),
                },
            };
            assert_eq!(then, expected, "{close:?}");
        }
    }

    fn clock() -> Instant {
        crate::clock::now()
    }

    #[test]
    fn who_sent_too_much_waits_at_least_thirty_seconds() {
        let now = clock();
        let next = live(now).on_close(Some(code(Close::TooMany)), now, 0.0);
        assert_eq!(next, Next::Connect(secs(30)));
    }

    #[test]
    fn the_wait_doubles_until_a_connection_held() {
        let start = clock();
        let mut connection = Connection::new(login());
        for expected_ms in [500, 1_000, 2_000] {
            assert_eq!(connection.on_unreachable(0.5), Duration::from_millis(expected_ms));
        }
        connection.on_open(start);
        connection.on_message(&welcome(false), start);
        // A server that welcomes and closes at once is not hammered.
        let next = connection.on_close(None, start + secs(1), 0.5);
        assert_eq!(next, Next::Connect(secs(4)));
        connection.on_open(start + secs(5));
        connection.on_message(&welcome(true), start + secs(5));
        let next = connection.on_close(None, start + secs(5) + STEADY_AFTER, 0.5);
        assert_eq!(next, Next::Connect(Duration::from_millis(500)));
    }

    #[test]
    fn a_failed_resume_is_followed_by_a_login_on_the_same_socket() {
        let now = clock();
        let mut connection = live(now);
        connection.on_close(None, now, 0.0);
        assert_eq!(claims(&connection.on_open(now)), (true, false));
        let failed = ServerMessage::Error {
            n: None,
            code: ErrorCode::ResumeFailed,
            message: "too late".into(),
        };
        match connection.on_message(&failed, now) {
            Some(Step::Send(hello)) => assert_eq!(claims(&hello), (false, true)),
            other => panic!("{other:?}"),
        }
        // The second time there is nothing left to fall back on.
        assert_eq!(connection.on_message(&failed, now), None);
        assert!(connection.refusal().unwrap().contains("too late"));
    }

    #[test]
    fn a_ping_is_answered_at_once_and_its_cursor_kept() {
        use presence::hello::Cursor;
        use presence::ids::{Epoch, RelationVersion};
        use presence::time::Timestamp;
        let cursor = Cursor { epoch: Epoch(1), at: Timestamp(2), relations: RelationVersion(3) };
        let text = protocol::token::format_cursor(&cursor);
        let now = clock();
        let mut connection = live(now);
        let ping = ServerMessage::Ping { cursor: Some(text.into()) };
        let step = connection.on_message(&ping, now);
        assert_eq!(step, Some(Step::Send(ClientMessage::Pong)));
        connection.on_close(None, now, 0.0);
        match connection.on_open(now) {
            ClientMessage::Hello(hello) => assert_eq!(hello.cursor, Some(cursor)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn heartbeats_follow_the_welcome_and_a_long_sleep_sends_one() {
        let start = clock();
        let mut connection = live(start);
        assert_eq!(connection.on_time(start + secs(9)), None);
        assert_eq!(connection.on_time(start + secs(10)), Some(ClientMessage::Heartbeat));
        assert_eq!(connection.on_time(start + secs(10)), None);
        assert_eq!(connection.on_time(start + secs(1_000)), Some(ClientMessage::Heartbeat));
        assert_eq!(connection.on_time(start + secs(1_000)), None);
    }

    #[test]
    fn a_report_without_a_connection_travels_with_the_next_hello() {
        let now = clock();
        let mut connection = live(now);
        let coding = ReportChange::parse(Some("coding"), None, None).unwrap();
        assert!(connection.report(coding.clone()).is_some());
        connection.on_close(None, now, 0.0);
        let project = ReportChange::parse(None, Some("vscode"), None).unwrap();
        assert_eq!(connection.report(project), None);
        match connection.on_open(now) {
            ClientMessage::Hello(hello) => {
                assert_eq!(hello.report.status, coding.status);
                assert_eq!(hello.report.project.as_deref(), Some("vscode"));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_server_that_is_silent_for_three_pings_is_taken_for_gone() {
        let start = clock();
        let mut connection = live(start);
        assert_eq!(connection.silent_until(), Some(start + secs(90)));
        connection.on_message(&ServerMessage::Fresh, start + secs(50));
        assert_eq!(connection.silent_until(), Some(start + secs(140)));
    }

    #[test]
    fn go_names_the_moment_to_move() {
        let now = clock();
        let mut connection = live(now);
        let step = connection.on_message(&ServerMessage::Go { after_ms: 1234 }, now);
        assert_eq!(step, Some(Step::MoveAfter(Duration::from_millis(1234))));
        connection.on_moved();
        assert_eq!(claims(&connection.on_open(now)), (true, false));
    }
}
