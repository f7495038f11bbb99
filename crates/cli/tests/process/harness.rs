//! Commands that run, with their lines; a server among them that can be killed and come back at
//! the same address; and clients that speak to it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use client::{Client, Options, Pings, Target};
use protocol::message::ServerMessage;

/// Nothing that a test waits for takes longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// Lines that wait to be looked at.
const LINES_MAX: usize = 10_000;

/// The binary with these arguments, and nothing of this environment that could change it.
pub(crate) fn rollcall(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollcall"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ROLLCALL_") {
            command.env_remove(name);
        }
    }
    command.args(args);
    command
}

/// Runs a command to its end.
pub(crate) fn run(args: &[&str]) -> Output {
    rollcall(args).stdin(Stdio::null()).output().unwrap()
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A command that runs, with what it prints.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
    /// Every line of standard output so far that was waited past.
    pub(crate) seen: Vec<String>,
    errors: Receiver<String>,
    /// All of standard error.
    pub(crate) said: Arc<Mutex<String>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// A channel of the lines that a pipe gives; `keep` gets them all.
fn lines_of(pipe: impl Read + Send + 'static, keep: Arc<Mutex<String>>) -> Receiver<String> {
    let (sender, lines) = sync_channel(LINES_MAX);
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let mut kept = keep.lock().unwrap();
            kept.push_str(&line);
            kept.push('\n');
            drop(kept);
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let lines = lines_of(child.stdout.take().unwrap(), Arc::default());
        let errors = lines_of(child.stderr.take().unwrap(), Arc::clone(&said));
        Self { child, lines, seen: Vec::new(), errors, said }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line of standard output that has this in it.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, part: &str) -> String {
        loop {
            let Ok(line) = self.lines.recv_timeout(PATIENCE) else {
                let said = self.said.lock().unwrap();
                panic!("no line with {part:?} came, only {:#?}\n{said}", self.seen);
            };
            self.seen.push(line.clone());
            if line.contains(part) {
                return line;
            }
        }
    }

    /// Waits for a line of standard error that has this in it.
    #[track_caller]
    pub(crate) fn wait_for_error(&self, part: &str) {
        loop {
            match self.errors.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(part) => return,
                Ok(_) => {}
                Err(_) => panic!("{part:?} was not said, only {}", self.said.lock().unwrap()),
            }
        }
    }

    /// How many lines of standard output so far have this in them.
    pub(crate) fn count(&self, part: &str) -> usize {
        self.seen.iter().filter(|line| line.contains(part)).count()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// Waits for the end, which has to come in that time.
    #[track_caller]
    pub(crate) fn ends_within(&mut self, time: Duration) -> ExitStatus {
        // Its output ends with it.
        loop {
            match self.lines.recv_timeout(time) {
                Ok(line) => self.seen.push(line),
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => panic!("still running"),
            }
        }
        self.child.wait().unwrap()
    }

    /// Ends it as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end, as Ctrl-C does, and expects that it does.
    #[track_caller]
    pub(crate) fn interrupt(&mut self) {
        self.signal("-INT");
        assert_eq!(self.ends_within(PATIENCE).code(), Some(0));
    }
}

/// A port below those that the system gives to clients, so that it is still free when a server
/// comes back to it; another one for each test process.
fn own_port() -> u16 {
    let offset = u16::try_from(std::process::id() % 6_000).unwrap();
    (0..100)
        .map(|attempt| 12_000 + offset * 3 + attempt)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .unwrap()
}

/// A server process over a data folder.
pub(crate) struct Server {
    pub(crate) running: Running,
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    data: PathBuf,
    flags: Vec<String>,
}

impl Server {
    /// Starts over that folder and waits until it serves.
    #[track_caller]
    pub(crate) fn start(data: &Path, flags: &[&str]) -> Self {
        let listen = format!("127.0.0.1:{}", own_port());
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        Self::start_at(&listen, data.to_owned(), flags)
    }

    #[track_caller]
    fn start_at(listen: &str, data: PathBuf, flags: Vec<String>) -> Self {
        let mut command = rollcall(&["serve", "--dev", "--listen", listen]);
        command.args(["--admin-listen", "127.0.0.1:0", "--data", text(&data)]).args(&flags);
        let mut running = Running::start(&mut command);
        let line = running.wait_for("rollcall serves ws://");
        let (address, admin) = line
            .strip_prefix("rollcall serves ws://")
            .unwrap()
            .split_once("/ws (metrics: ")
            .unwrap();
        let admin = admin.trim_end_matches(')').parse().unwrap();
        Self { running, address: address.parse().unwrap(), admin, data, flags }
    }

    /// Starts again where it was.
    #[track_caller]
    pub(crate) fn again(self) -> Self {
        let Self { running, address, data, flags, .. } = self;
        drop(running);
        Self::start_at(&address.to_string(), data, flags)
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/ws", self.address)
    }

    /// `rollcall watch` as that user.
    pub(crate) fn watch(&self, name: &str, flags: &[&str]) -> Running {
        let login = ["watch", "--as", "dev", "--token", name, "--url", &self.url()];
        Running::start(rollcall(&login).args(flags))
    }

    /// `rollcall status` as that user.
    pub(crate) fn status(&self, name: &str, report: &[&str]) -> Running {
        let login = ["--as", "dev", "--token", name, "--url", &self.url()];
        Running::start(rollcall(&["status"]).args(report).args(login))
    }

    /// A client that does nothing by itself.
    #[track_caller]
    pub(crate) fn connect(&self) -> Peer {
        Peer::connect(self.address)
    }

    /// The same, logged in by name.
    #[track_caller]
    pub(crate) fn join(&self, name: &str, report: &str) -> Peer {
        let mut peer = self.connect();
        let comma = if report.is_empty() { "" } else { "," };
        peer.say(&format!(r#"{{"t":"hello","as":"dev","token":"{name}"{comma}{report}}}"#));
        peer.welcomed(false);
        peer
    }

    /// The same, back with a token.
    #[track_caller]
    pub(crate) fn resume(&self, token: &str) -> Peer {
        let mut peer = self.connect();
        peer.say(&format!(r#"{{"t":"hello","resume":"{token}"}}"#));
        peer.welcomed(true);
        peer
    }

    /// The status of `/readyz`.
    pub(crate) fn ready(&self) -> u16 {
        let answer = get(self.address, "/readyz").unwrap();
        answer.split(' ').nth(1).unwrap().parse().unwrap()
    }
}

/// An HTTP answer, whole.
pub(crate) fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// One connection.
pub(crate) struct Peer {
    pub(crate) client: Client,
    pub(crate) token: String,
    pub(crate) sync: String,
    asked: u64,
}

impl Peer {
    #[track_caller]
    fn connect(address: SocketAddr) -> Self {
        let target = Target::parse(&format!("ws://{address}/ws")).unwrap();
        let options = Options { target, hello: None, pings: Pings::Answer, origin: None };
        let client = Client::connect(&options).unwrap();
        Self { client, token: String::new(), sync: String::new(), asked: 0 }
    }

    #[track_caller]
    pub(crate) fn say(&mut self, text: &str) {
        self.client.send_text(text).unwrap();
    }

    #[track_caller]
    fn welcomed(&mut self, is_resumed: bool) {
        let text = self.hear();
        let ServerMessage::Welcome(welcome) = protocol::json::decode_server(&text).unwrap() else {
            panic!("a welcome was due, not {text}");
        };
        assert_eq!(welcome.resumed, is_resumed);
        self.token = welcome.resume.to_string();
        self.sync = self.hear();
    }

    /// The next message.
    #[track_caller]
    pub(crate) fn hear(&mut self) -> String {
        loop {
            let received = self.client.next(PATIENCE).unwrap().expect("a message in time");
            if !matches!(received.message(), ServerMessage::Ping { .. }) {
                return received.text().to_owned();
            }
        }
    }

    /// Waits for a message that has this in it.
    #[track_caller]
    pub(crate) fn hears(&mut self, part: &str) {
        while !self.hear().contains(part) {}
    }

    /// Asks and gives the answer, passing over what else comes.
    #[track_caller]
    pub(crate) fn ask(&mut self, what: &str) -> String {
        self.asked += 1;
        let number = format!(r#""n":{},"#, self.asked);
        self.say(&format!(r#"{{"t":"req",{number}{what}}}"#));
        loop {
            let text = self.hear();
            if format!("{text},").contains(number.trim_end_matches(',')) {
                return text;
            }
        }
    }

    /// The code that the server closes with.
    #[track_caller]
    pub(crate) fn close_code(&mut self) -> u16 {
        loop {
            match self.client.next(PATIENCE) {
                Ok(Some(_)) => {}
                Ok(None) => panic!("a close was due"),
                Err(error) => return error.close_code().expect("a close frame"),
            }
        }
    }
}

/// Brings follows into a data folder.
#[track_caller]
pub(crate) fn import(data: &Path, follows: &str) {
    let file = data.with_extension("csv");
    std::fs::write(&file, follows).unwrap();
    let output = run(&["import", "follows", text(&file), "--data", text(data)]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Every file of a folder, byte for byte.
pub(crate) fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read(path).unwrap())
        })
        .collect()
}

/// The newest segment of the presence log.
pub(crate) fn newest_log(folder: &Path) -> PathBuf {
    let names = contents(folder).into_keys();
    let newest = names.filter(|name| name.starts_with("presence-") && name.ends_with(".log")).max();
    folder.join(newest.unwrap())
}
