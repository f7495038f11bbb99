//! A node in this process, and people who speak to it from the test's thread.
//!
//! Nobody waits for time to pass: whoever is to hear something waits for it with a time limit, and
//! that nobody heard anything shows when the next thing heard is a later one.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use client::{Client, ClientError, Options, Pings, Target};
use directory::{Directory, Side};
use presence::ids::UserId;
use presence::relation::Relation;
use presence::view::Sight;
use protocol::message::{ServerMessage, Welcome};
use server::{Config, Node, Settings};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Nothing that a test waits for takes longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone, Copy)]
enum Tie {
    Follows,
    Connected,
}

/// What a node is started with.
pub(crate) struct Setup {
    settings: Settings,
    ties: Vec<(Tie, UserId, UserId)>,
    dir: TempDir,
}

impl Setup {
    /// A node without anyone, and without pings that come between: those who test pings set them.
    pub(crate) fn new() -> Self {
        Self::in_folder(TempDir::new().unwrap())
    }

    /// The same over a folder that another node has left.
    pub(crate) fn in_folder(dir: TempDir) -> Self {
        let settings = Settings {
            listen: Some("127.0.0.1:0".into()),
            admin_listen: Some("none".into()),
            data: Some(dir.path().join("data").display().to_string()),
            dev: Some("true".into()),
            shards: Some("2".into()),
            ping_interval: Some("300s".into()),
            ..Settings::default()
        };
        Self { settings, ties: Vec::new(), dir }
    }

    /// One user follows another.
    pub(crate) fn follows(mut self, follower: &str, followee: &str) -> Self {
        self.ties.push((Tie::Follows, id(follower), id(followee)));
        self
    }

    /// Two are connected.
    pub(crate) fn connected(mut self, one: &str, other: &str) -> Self {
        self.ties.push((Tie::Connected, id(one), id(other)));
        self
    }

    /// Changes settings.
    pub(crate) fn set(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    pub(crate) fn start(self) -> TestNode {
        let Self { settings, ties, dir } = self;
        let config = Config::read(settings).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let node = runtime.block_on(async {
            tie(&config.directory, &ties).await;
            Node::start(&config, None).await.unwrap()
        });
        TestNode { address: node.address, node: Some(node), runtime: Some(runtime), dir: Some(dir) }
    }
}

async fn tie(path: &Path, ties: &[(Tie, UserId, UserId)]) {
    let directory = Directory::open(path).await.unwrap();
    let same = |_: Side, _: Relation, _: Relation, sight: Sight| sight;
    for (tie, one, other) in ties {
        for user in [one, other] {
            let name = user.as_str().strip_prefix("dev_").unwrap();
            directory.ensure_user(user, name, "").await.unwrap();
        }
        match tie {
            Tie::Follows => directory.follow(one, other, same).await.unwrap(),
            Tie::Connected => directory.connect(one, other, same).await.unwrap(),
        };
    }
    directory.close().await;
}

fn id(name: &str) -> UserId {
    UserId::parse(&format!("dev_{name}")).unwrap()
}

/// A running node.
pub(crate) struct TestNode {
    pub(crate) address: SocketAddr,
    node: Option<Node>,
    runtime: Option<Runtime>,
    dir: Option<TempDir>,
}

impl Drop for TestNode {
    fn drop(&mut self) {
        // A test that is over waits for nothing.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl TestNode {
    /// Stops it in order; its folder stays.
    pub(crate) fn stop(mut self) -> TempDir {
        let node = self.node.take().unwrap();
        self.runtime.as_ref().unwrap().block_on(node.stop());
        self.dir.take().unwrap()
    }

    /// Stops it on a thread of its own, while the clients see what they are told.
    pub(crate) fn stopping(self) -> std::thread::JoinHandle<TempDir> {
        std::thread::spawn(move || self.stop())
    }

    fn options(&self) -> Options {
        let target = Target::parse(&format!("ws://{}/ws", self.address)).unwrap();
        Options { target, hello: None, pings: Pings::Answer, origin: None }
    }

    /// A socket on which nothing was said.
    pub(crate) fn open(&self) -> Peer {
        Peer::over(Client::connect(&self.options()).unwrap())
    }

    /// A socket that leaves the server's pings unanswered.
    pub(crate) fn open_deaf(&self) -> Peer {
        let options = Options { pings: Pings::Ignore, ..self.options() };
        Peer::over(Client::connect(&options).unwrap())
    }

    /// A socket of a browser's page, or the HTTP status that it was refused with.
    pub(crate) fn open_from(&self, origin: &str) -> Result<Peer, u16> {
        let options = Options { origin: Some(origin.into()), ..self.options() };
        match Client::connect(&options) {
            Ok(client) => Ok(Peer::over(client)),
            Err(ClientError::Refused { status, .. }) => Err(status),
            Err(error) => panic!("{error}"),
        }
    }

    /// Somebody with a new session, who has been told of everyone.
    #[track_caller]
    pub(crate) fn join(&self, name: &str) -> Peer {
        self.join_with(name, "")
    }

    /// The same with a first report, such as `"s":"coding"`.
    #[track_caller]
    pub(crate) fn join_with(&self, name: &str, report: &str) -> Peer {
        let mut peer = self.open();
        peer.log_in(name, report);
        peer
    }

    /// Somebody who comes back with a token.
    #[track_caller]
    pub(crate) fn resume(&self, token: &str, cursor: Option<&str>) -> Peer {
        let mut peer = self.open_deaf();
        let cursor = cursor.map(|cursor| format!(r#","cursor":"{cursor}""#)).unwrap_or_default();
        peer.say(&format!(r#"{{"t":"hello","resume":"{token}"{cursor}}}"#));
        peer.welcomed();
        assert!(peer.resumed, "the session goes on");
        peer
    }
}

/// One client, with what it has heard and not yet looked at.
pub(crate) struct Peer {
    client: Client,
    waiting: VecDeque<String>,
    asked: u64,
    /// The session's id, once welcomed.
    pub(crate) session: String,
    /// The token to come back with.
    pub(crate) token: String,
    /// Whether the last welcome was to an old session.
    pub(crate) resumed: bool,
    /// The last `sync`, as it came.
    pub(crate) sync: String,
    /// The cursor of the last ping.
    pub(crate) cursor: Option<String>,
}

impl Peer {
    fn over(client: Client) -> Self {
        Self {
            client,
            waiting: VecDeque::new(),
            asked: 0,
            session: String::new(),
            token: String::new(),
            resumed: false,
            sync: String::new(),
            cursor: None,
        }
    }

    /// Says a text.
    #[track_caller]
    pub(crate) fn say(&mut self, text: &str) {
        self.client.send_text(text).unwrap();
    }

    /// Says a text to a server that may have closed already.
    pub(crate) fn try_say(&mut self, text: &str) -> Result<(), ClientError> {
        self.client.send_text(text)
    }

    pub(crate) fn say_binary(&mut self, bytes: &[u8]) {
        self.client.send_binary(bytes).unwrap();
    }

    /// Logs in on this socket and is welcomed.
    #[track_caller]
    pub(crate) fn log_in(&mut self, name: &str, report: &str) {
        let comma = if report.is_empty() { "" } else { "," };
        self.say(&format!(r#"{{"t":"hello","as":"dev","token":"{name}"{comma}{report}}}"#));
        self.welcomed();
        assert!(!self.resumed, "a session of its own");
    }

    /// Waits for `welcome` and `sync`.
    #[track_caller]
    pub(crate) fn welcomed(&mut self) {
        let text = self.hear();
        let ServerMessage::Welcome(Welcome { session, resume, resumed, .. }) = message(&text)
        else {
            panic!("a welcome was due, not {text}");
        };
        (self.session, self.token) = (session.to_string(), resume.to_string());
        self.resumed = resumed;
        self.sync = self.hear();
        assert!(self.sync.starts_with(r#"{"t":"sync""#), "a sync was due, not {}", self.sync);
    }

    /// The next message that is no ping; of pings the cursor is kept.
    #[track_caller]
    pub(crate) fn hear(&mut self) -> String {
        if let Some(text) = self.waiting.pop_front() {
            return text;
        }
        match self.receive() {
            Ok(text) => text,
            Err(error) => panic!("a message was due: {error}"),
        }
    }

    #[track_caller]
    fn receive(&mut self) -> Result<String, ClientError> {
        loop {
            let Some(received) = self.client.next(PATIENCE)? else {
                panic!("nothing came for {PATIENCE:?}");
            };
            match received.message() {
                ServerMessage::Ping { cursor } => self.cursor = cursor.map(Into::into),
                _ => return Ok(received.text().to_owned()),
            }
        }
    }

    /// The next message is this one, to the letter.
    #[track_caller]
    pub(crate) fn hears(&mut self, expected: &str) {
        assert_eq!(self.hear(), expected);
    }

    /// The next message says that this user has gone, just now.
    #[track_caller]
    pub(crate) fn sees_leave(&mut self, user: &str) {
        let text = self.hear();
        let ServerMessage::Offline { id, at: Some(at), gone: false } = message(&text) else {
            panic!("{user} was to leave, instead: {text}");
        };
        assert_eq!(id, user);
        assert!(now_secs().abs_diff(at) <= 5, "last seen just now: {text}");
    }

    /// Waits for the next ping and gives its cursor.
    #[track_caller]
    pub(crate) fn pinged(&mut self) -> String {
        self.cursor = None;
        loop {
            let received = self.client.next(PATIENCE).unwrap().expect("a ping in time");
            match received.message() {
                ServerMessage::Ping { cursor } => return cursor.expect("a cursor").into_owned(),
                _ => self.waiting.push_back(received.text().to_owned()),
            }
        }
    }

    /// Asks, such as `"do":"sessions"`, and gives the answer without its number. What else comes
    /// waits to be heard.
    #[track_caller]
    pub(crate) fn ask(&mut self, what: &str) -> String {
        self.asked += 1;
        let n = self.asked;
        self.say(&format!(r#"{{"t":"req","n":{n},{what}}}"#));
        let number = format!(r#""n":{n}"#);
        loop {
            match self.receive() {
                Ok(text) if text.contains(&number) => {
                    return text
                        .replace(&format!("{number},"), "")
                        .replace(&format!(",{number}"), "");
                }
                Ok(text) => self.waiting.push_back(text),
                Err(error) => panic!("{what} was to be answered: {error}"),
            }
        }
    }

    /// Asks for something that is simply done.
    #[track_caller]
    pub(crate) fn does(&mut self, what: &str) {
        assert_eq!(self.ask(what), r#"{"t":"res"}"#, "{what}");
    }

    /// Asks for something that is refused with this code.
    #[track_caller]
    pub(crate) fn is_refused(&mut self, what: &str, code: &str) {
        let answer = self.ask(what);
        assert!(answer.starts_with(&format!(r#"{{"t":"err","code":"{code}""#)), "{what}: {answer}");
    }

    /// Reads on until the server closes; gives the code and what was said before.
    #[track_caller]
    pub(crate) fn until_closed(&mut self) -> (u16, Vec<String>) {
        let mut said: Vec<String> = self.waiting.drain(..).collect();
        loop {
            match self.receive() {
                Ok(text) => said.push(text),
                Err(ClientError::Closed { code, .. }) => return (code, said),
                Err(error) => panic!("a close frame was due: {error}"),
            }
        }
    }

    /// The server closes with this code.
    #[track_caller]
    pub(crate) fn is_closed_with(&mut self, expected: u16) -> Vec<String> {
        let (code, said) = self.until_closed();
        assert_eq!(code, expected, "{said:#?}");
        // A client hangs up then; the server may have done so already.
        let _gone = self.client.stream().shutdown(std::net::Shutdown::Both);
        said
    }

    /// Lets the connection fall without a word.
    pub(crate) fn cut(self) {
        self.client.drop_without_goodbye();
    }

    /// Closes with a code.
    pub(crate) fn close(self, code: u16) {
        self.client.close(code);
    }

    /// The socket itself.
    pub(crate) fn client(&mut self) -> &mut Client {
        &mut self.client
    }
}

/// What a text says.
pub(crate) fn message(text: &str) -> ServerMessage<'_> {
    protocol::json::decode_server(text).unwrap()
}

/// The code of an `err`.
#[track_caller]
pub(crate) fn error_code(text: &str) -> &'static str {
    match message(text) {
        ServerMessage::Error { code, .. } => code.name(),
        _ => panic!("an error was due, not {text}"),
    }
}

/// The machine's time, in Unix seconds.
#[expect(clippy::disallowed_methods, reason = "tests compare what the server tells")]
pub(crate) fn now_secs() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}
