//! The smallest server that speaks the protocol as far as these tests need it: `dev` logins,
//! presence by a fixed graph, patches at once. A thread per socket, and one lock over everything.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use presence::hello::ResumeToken;
use presence::ids::SessionId;
use protocol::message::{ClientMessage, Entry, EntryState, ServerMessage, Update, Welcome};
use protocol::{json, token};
use tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tungstenite::http::HeaderValue;
use tungstenite::{Message, WebSocket};

/// A running server; it ends with the process.
pub(crate) struct Reference {
    address: SocketAddr,
    admin: SocketAddr,
    world: Arc<Mutex<World>>,
}

#[derive(Default)]
struct World {
    /// Whom each watches.
    follows: BTreeMap<String, BTreeSet<String>>,
    users: BTreeMap<String, User>,
}

#[derive(Default)]
struct User {
    /// Status and project while online.
    shown: Option<(String, String)>,
    socket: Option<TcpStream>,
}

impl Reference {
    /// Starts one for lines `follower,followee`.
    pub(crate) fn start(follows: &str) -> Self {
        let mut world = World::default();
        for (follower, followee) in follows.lines().filter_map(|line| line.split_once(',')) {
            let watched = world.follows.entry(follower.to_owned()).or_default();
            watched.insert(followee.to_owned());
        }
        let world = Arc::new(Mutex::new(world));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let admin = TcpListener::bind("127.0.0.1:0").unwrap();
        let addresses = (listener.local_addr().unwrap(), admin.local_addr().unwrap());
        let shared = Arc::clone(&world);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let world = Arc::clone(&shared);
                thread::spawn(move || serve(stream.unwrap(), &world));
            }
        });
        thread::spawn(move || admin.incoming().for_each(|stream| answer_metrics(stream.unwrap())));
        Self { address: addresses.0, admin: addresses.1, world }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/ws", self.address)
    }

    pub(crate) fn admin_url(&self) -> String {
        format!("http://{}", self.admin)
    }

    /// Cuts a user's connection, without a goodbye.
    pub(crate) fn cut(&self, id: &str) {
        let world = self.world.lock().unwrap();
        if let Some(socket) = world.users.get(id).and_then(|user| user.socket.as_ref()) {
            socket.shutdown(std::net::Shutdown::Both).unwrap();
        }
    }

    /// Sends a text to a user, whatever it is.
    pub(crate) fn say(&self, id: &str, text: &str) {
        let mut world = self.world.lock().unwrap();
        if let Some(socket) = world.users.get_mut(id).and_then(|user| user.socket.as_mut()) {
            socket.write_all(&text_frame(text.as_bytes())).unwrap();
        }
    }
}

/// Figures that grow with each asking, as a server's do.
fn answer_metrics(mut stream: TcpStream) {
    let mut head = [0; 1024];
    if stream.read(&mut head).is_ok_and(|count| count > 0) {
        let body = "process_cpu_seconds_total 1.5\nprocess_resident_memory_bytes 1e6\n";
        let _ = write!(stream, "HTTP/1.0 200 OK\r\n\r\n{body}");
    }
}

#[expect(clippy::result_large_err, reason = "the callback's type is tungstenite's")]
fn name_subprotocol(_: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    let name = HeaderValue::from_static("rollcall.v1.json");
    response.headers_mut().insert("sec-websocket-protocol", name);
    Ok(response)
}

fn serve(stream: TcpStream, world: &Mutex<World>) {
    stream.set_nodelay(true).unwrap();
    let Ok(mut socket) = tungstenite::accept_hdr(stream, name_subprotocol) else { return };
    let mut me = None;
    while let Ok(message) = socket.read() {
        let Message::Text(text) = message else { continue };
        let Ok(message) = json::decode_client(&text) else { break };
        let mut world = world.lock().unwrap();
        match message {
            ClientMessage::Hello(hello) => {
                let resumed = hello.resume.is_some();
                let name = match hello.credentials.and_then(|credentials| credentials.token) {
                    Some(name) => name.reveal().to_owned(),
                    // The one user whose session these tests resume.
                    None => "ada".to_owned(),
                };
                if name == "mallory" {
                    refuse(&mut socket);
                    return;
                }
                let id = format!("dev_{name}");
                let report = hello.report;
                world.welcome(&id, &name, &socket, resumed);
                world.report(&id, report.status.as_deref(), report.project.as_deref());
                me = Some(id);
            }
            ClientMessage::Report(report) => {
                let id = me.as_deref().unwrap();
                world.report(id, report.status.as_deref(), report.project.as_deref());
            }
            ClientMessage::Bye { .. } => {
                world.leave(me.as_deref().unwrap());
                drop(world);
                let _ = socket.close(None);
                while socket.read().is_ok() {}
                return;
            }
            ClientMessage::Heartbeat | ClientMessage::Pong | ClientMessage::Request { .. } => {}
        }
    }
}

fn refuse(socket: &mut WebSocket<TcpStream>) {
    let text = r#"{"t":"err","code":"unauthorized","msg":"mallory may not come in"}"#;
    socket.send(Message::text(text)).unwrap();
    let code = protocol::close::code(presence::close::Close::LoginRefused);
    let frame =
        tungstenite::protocol::CloseFrame { code: code.into(), reason: "login refused".into() };
    socket.close(Some(frame)).unwrap();
    while socket.read().is_ok() {}
}

impl World {
    fn welcome(&mut self, id: &str, name: &str, socket: &WebSocket<TcpStream>, resumed: bool) {
        let secret = ResumeToken { partition: 1, session: SessionId([1; 16]), secret: [2; 32] };
        let welcome = ServerMessage::Welcome(Welcome {
            id: id.into(),
            name: name.into(),
            session: "01010101010101010101010101010101".into(),
            resume: token::format_resume(&secret).into(),
            resumed,
            heartbeat_secs: 1,
            ping_secs: 30,
            window_secs: 60,
            guest_token: None,
        });
        let user = self.users.entry(id.to_owned()).or_default();
        user.socket = Some(socket.get_ref().try_clone().unwrap());
        let mut users = vec![self.entry(id, 0)];
        users.extend(self.follows.get(id).into_iter().flatten().map(|id| self.entry(id, 1)));
        let sync = ServerMessage::Sync { users, part: false };
        let messages = [encode(&welcome), encode(&sync)];
        for message in messages {
            self.write(id, &message);
        }
    }

    fn entry(&self, id: &str, relation: u8) -> Entry<'static> {
        let shown = self.users.get(id).and_then(|user| user.shown.clone());
        let state = match shown {
            None => EntryState::Offline { seen: None },
            Some((status, project)) => EntryState::Online {
                status: status.into(),
                project: project.into(),
                language: "".into(),
            },
        };
        let name = id.trim_start_matches("dev_").to_owned();
        Entry { id: id.to_owned().into(), name: name.into(), avatar: None, relation, state }
    }

    fn report(&mut self, id: &str, status: Option<&str>, project: Option<&str>) {
        let user = self.users.get_mut(id).unwrap();
        let before = user.shown.take().unwrap_or_else(|| ("online".into(), String::new()));
        let shown =
            (status.map_or(before.0, str::to_owned), project.map_or(before.1, str::to_owned));
        user.shown = Some(shown.clone());
        let patch = encode(&ServerMessage::Update(Update {
            id: id.to_owned().into(),
            status: Some(shown.0.into()),
            project: Some(shown.1.into()),
            ..Update::default()
        }));
        self.tell_watchers(id, &patch);
    }

    fn leave(&mut self, id: &str) {
        let user = self.users.get_mut(id).unwrap();
        user.shown = None;
        let at = Some(1_700_000_000);
        let left = encode(&ServerMessage::Offline { id: id.to_owned().into(), at, gone: false });
        self.tell_watchers(id, &left);
    }

    /// The watchers, and the user itself.
    fn tell_watchers(&mut self, id: &str, frame: &[u8]) {
        let watches = |(watcher, follows): (&String, &BTreeSet<String>)| {
            follows.contains(id).then(|| watcher.clone())
        };
        let mut watchers: Vec<String> = self.follows.iter().filter_map(watches).collect();
        watchers.push(id.to_owned());
        for watcher in watchers {
            self.write(&watcher, frame);
        }
    }

    fn write(&mut self, id: &str, frame: &[u8]) {
        if let Some(socket) = self.users.get_mut(id).and_then(|user| user.socket.as_mut()) {
            // Who is gone hears nothing.
            let _ = socket.write_all(frame);
        }
    }
}

fn encode(message: &ServerMessage<'_>) -> Vec<u8> {
    let mut text = Vec::new();
    json::encode_server(message, &mut text);
    text_frame(&text)
}

fn text_frame(text: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x81];
    match u8::try_from(text.len()) {
        Ok(short @ ..126) => frame.push(short),
        _ => {
            frame.push(126);
            frame.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
        }
    }
    frame.extend_from_slice(text);
    frame
}
