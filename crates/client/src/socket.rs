//! One WebSocket connection, blocking, with a time limit on everything.
//!
//! [`Client`] is low-level: it says what it is told to say, and never reconnects by itself.

use std::io;
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use protocol::json;
use protocol::message::{ClientMessage, ServerMessage, Unreadable};
use tungstenite::handshake::HandshakeError;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tungstenite::{ClientRequestBuilder, Message, Utf8Bytes, WebSocket};

use crate::clock;
use crate::target::Target;

/// Time limit of the TCP connection and of the handshake, each.
pub const CONNECT_WAIT_MAX: Duration = Duration::from_secs(10);
/// Time limit of one write: a server that takes nothing for so long is gone.
const WRITE_WAIT_MAX: Duration = Duration::from_secs(10);
/// Time that the closing handshake may take.
const CLOSE_WAIT_MAX: Duration = Duration::from_secs(2);
/// Longest message that is accepted; a full list of 2,000 users stays far below.
const MESSAGE_BYTES_MAX: usize = 16 << 20;
/// The subprotocol that is offered.
const SUBPROTOCOL: &str = "rollcall.v1.json";

/// Whether the client answers the server's pings by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pings {
    /// At once, from the receive path, as the protocol wants it.
    #[default]
    Answer,
    /// Not at all, as a client that hangs.
    Ignore,
}

/// What to connect to, and what to say first.
#[derive(Debug, Clone)]
pub struct Options {
    /// The server.
    pub target: Target,
    /// The first message, sent once the socket is open.
    pub hello: Option<ClientMessage>,
    /// What becomes of the server's pings.
    pub pings: Pings,
    /// The `Origin` header, as a browser would send it.
    pub origin: Option<String>,
}

impl Options {
    /// Connects there and says that first.
    pub fn new(target: Target, hello: ClientMessage) -> Self {
        Self { target, hello: Some(hello), pings: Pings::default(), origin: None }
    }
}

/// Why a connection came to nothing, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The name has no address.
    #[error("{target}: the host cannot be resolved: {source}; check --url")]
    Resolve {
        /// The server.
        target: Target,
        /// What the system said.
        source: io::Error,
    },
    /// Nothing answers there.
    #[error(
        "{target} cannot be reached: {source}; check --url, and that `rollcall serve` listens there"
    )]
    Unreachable {
        /// The server.
        target: Target,
        /// What the system said.
        source: io::Error,
    },
    /// The handshake was answered with an HTTP status.
    #[error("{target} refuses the connection with HTTP status {status}{}", advice(*.status))]
    Refused {
        /// The server.
        target: Target,
        /// The HTTP status.
        status: u16,
        /// What `Retry-After` asks for.
        retry_after: Option<Duration>,
    },
    /// Something answers, but no WebSocket server.
    #[error("{target} does not speak WebSocket: {what}; check the port and the path of --url")]
    Handshake {
        /// The server.
        target: Target,
        /// What was wrong.
        what: String,
    },
    /// The connection was closed by the server.
    #[error("the server closed the connection with code {code}{}", reason_text(.reason))]
    Closed {
        /// The close code.
        code: u16,
        /// The server's reason, possibly empty.
        reason: String,
    },
    /// The connection ended without a close frame.
    #[error("the connection was lost: {0}")]
    Lost(String),
    /// The server sent something that this client cannot read.
    #[error("the server sent what this client cannot read: {what}")]
    Unreadable {
        /// What was wrong.
        what: String,
    },
}

impl ClientError {
    /// The close code with which the server ended the connection, if it did.
    pub fn close_code(&self) -> Option<u16> {
        match self {
            Self::Closed { code, .. } => Some(*code),
            _ => None,
        }
    }
}

fn advice(status: u16) -> &'static str {
    match status {
        401 | 403 => "; the server does not allow this origin (--allowed-origins)",
        404 => "; check the path of --url, which usually is /ws",
        429 => "; too many connections from this address (--handshake-rate), try again later",
        503 => "; it is starting, stopping or overloaded, try again later",
        _ => "",
    }
}

fn reason_text(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {reason}") }
}

/// One message as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    text: Utf8Bytes,
}

/// A text that came.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// A message.
    Message(Received),
    /// A kind of message, or of error, that this version does not know.
    Unknown(Utf8Bytes),
}

impl Incoming {
    fn parse(text: Utf8Bytes) -> Result<Self, ClientError> {
        match json::decode_server(&text) {
            Ok(_) => Ok(Self::Message(Received { text })),
            Err(Unreadable::UnknownMessage(_) | Unreadable::Field { message: "err", .. }) => {
                Ok(Self::Unknown(text))
            }
            Err(error) => Err(ClientError::Unreadable { what: error.to_string() }),
        }
    }
}

impl Received {
    /// The text, byte for byte.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it says.
    pub fn message(&self) -> ServerMessage<'_> {
        json::decode_server(&self.text).expect("a received text was read once already")
    }
}

/// One open connection.
pub struct Client {
    socket: WebSocket<TcpStream>,
    pings: Pings,
    buffer: Vec<u8>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("peer", &self.socket.get_ref().peer_addr()).finish()
    }
}

impl Client {
    /// Connects, shakes hands and says the first message. The answer comes by [`Client::next`].
    pub fn connect(options: &Options) -> Result<Self, ClientError> {
        let target = &options.target;
        let stream = open(target)?;
        let uri =
            target.to_string().parse().map_err(|error: tungstenite::http::uri::InvalidUri| {
                ClientError::Handshake { target: target.clone(), what: error.to_string() }
            })?;
        let mut request = ClientRequestBuilder::new(uri).with_sub_protocol(SUBPROTOCOL);
        if let Some(origin) = &options.origin {
            request = request.with_header("Origin", origin);
        }
        let config = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        let shaken = tungstenite::client::client_with_config(request, stream, Some(config));
        let (socket, _) = shaken.map_err(|error| handshake_error(target, error))?;
        let mut client = Self { socket, pings: options.pings, buffer: Vec::new() };
        if let Some(hello) = &options.hello {
            client.send(hello)?;
        }
        Ok(client)
    }

    /// The next message, or nothing if none came in that time. Messages of a kind that this version
    /// does not know are passed over.
    pub fn next(&mut self, timeout: Duration) -> Result<Option<Received>, ClientError> {
        let deadline = clock::now() + timeout;
        loop {
            match self.next_text(deadline)? {
                None => return Ok(None),
                Some(Incoming::Message(received)) => return Ok(Some(received)),
                Some(Incoming::Unknown(_)) => {}
            }
        }
    }

    /// The next text, readable or not, or nothing if none came until then.
    pub(crate) fn next_text(&mut self, deadline: Instant) -> Result<Option<Incoming>, ClientError> {
        loop {
            match self.read_frame(deadline)? {
                None => return Ok(None),
                Some(Message::Text(text)) => {
                    let incoming = Incoming::parse(text)?;
                    if let Incoming::Message(received) = &incoming
                        && self.pings == Pings::Answer
                        && matches!(received.message(), ServerMessage::Ping { .. })
                    {
                        self.send(&ClientMessage::Pong)?;
                    }
                    return Ok(Some(incoming));
                }
                Some(Message::Binary(_)) => {
                    let what = "a binary frame where text is due".into();
                    return Err(ClientError::Unreadable { what });
                }
                Some(Message::Close(frame)) => {
                    // The agreement is queued by tungstenite; whether it still arrives is no matter.
                    let _ = self.socket.flush();
                    return Err(closed(frame));
                }
                // The WebSocket's own pings are answered by tungstenite.
                Some(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {}
            }
        }
    }

    /// The first message within that time that `wanted` takes; those before it are dropped.
    pub fn wait_for<T>(
        &mut self,
        timeout: Duration,
        mut wanted: impl FnMut(&ServerMessage<'_>) -> Option<T>,
    ) -> Result<Option<T>, ClientError> {
        let deadline = clock::now() + timeout;
        loop {
            let left = deadline.saturating_duration_since(clock::now());
            let Some(received) = self.next(left)? else { return Ok(None) };
            if let Some(found) = wanted(&received.message()) {
                return Ok(Some(found));
            }
        }
    }

    /// Sends one message.
    pub fn send(&mut self, message: &ClientMessage) -> Result<(), ClientError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        json::encode_client(message, &mut buffer);
        let sent = match std::str::from_utf8(&buffer) {
            Ok(text) => self.send_text(text),
            Err(_) => unreachable!("JSON is UTF-8"),
        };
        self.buffer = buffer;
        sent
    }

    /// Sends a text as it is, readable or not.
    pub fn send_text(&mut self, text: &str) -> Result<(), ClientError> {
        self.socket.send(Message::text(text)).map_err(lost)
    }

    /// Sends a binary frame.
    pub fn send_binary(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        self.socket.send(Message::binary(bytes.to_vec())).map_err(lost)
    }

    /// Closes with that code and waits a moment for the server to agree.
    pub fn close(mut self, code: u16) {
        let frame = CloseFrame { code: CloseCode::from(code), reason: Utf8Bytes::default() };
        if self.socket.close(Some(frame)).is_err() {
            return;
        }
        let deadline = clock::now() + CLOSE_WAIT_MAX;
        // Until the server agrees, hangs up, or time is over: what comes in between is of no use.
        while let Ok(Some(message)) = self.read_frame(deadline) {
            if message.is_close() {
                return;
            }
        }
    }

    /// Lets the connection fall, as a lost network does: no `bye`, no close frame.
    pub fn drop_without_goodbye(self) {
        // Whatever the kernel says, the socket is gone with `self`.
        let _ = self.socket.get_ref().shutdown(Shutdown::Both);
    }

    /// The TCP stream, for tests that stall it.
    pub fn stream(&self) -> &TcpStream {
        self.socket.get_ref()
    }

    fn read_frame(&mut self, deadline: Instant) -> Result<Option<Message>, ClientError> {
        loop {
            let left = deadline.saturating_duration_since(clock::now());
            // A timeout of zero would mean "for ever"; one millisecond still takes what is there.
            let wait = left.max(Duration::from_millis(1));
            self.socket.get_ref().set_read_timeout(Some(wait)).map_err(|e| lost(e.into()))?;
            match self.socket.read() {
                Ok(message) => return Ok(Some(message)),
                Err(tungstenite::Error::Io(error)) if is_timeout(&error) => {
                    if left.is_zero() || clock::now() >= deadline {
                        return Ok(None);
                    }
                }
                Err(error) => return Err(lost(error)),
            }
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut | Interrupted)
}

fn closed(frame: Option<CloseFrame>) -> ClientError {
    // A close frame without a code: 1005 stands for it, and never travels (RFC 6455, 7.1.5).
    frame.map_or(ClientError::Closed { code: 1005, reason: String::new() }, |frame| {
        ClientError::Closed { code: frame.code.into(), reason: frame.reason.to_string() }
    })
}

fn lost(error: tungstenite::Error) -> ClientError {
    use tungstenite::error::ProtocolError::ResetWithoutClosingHandshake;
    match error {
        tungstenite::Error::Protocol(ResetWithoutClosingHandshake)
        | tungstenite::Error::ConnectionClosed
        | tungstenite::Error::AlreadyClosed => ClientError::Lost("the server hung up".into()),
        error => ClientError::Lost(error.to_string()),
    }
}

fn open(target: &Target) -> Result<TcpStream, ClientError> {
    let resolved = (target.host(), target.port()).to_socket_addrs();
    let addresses =
        resolved.map_err(|source| ClientError::Resolve { target: target.clone(), source })?;
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        let prepared = TcpStream::connect_timeout(&address, CONNECT_WAIT_MAX).and_then(|stream| {
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(CONNECT_WAIT_MAX))?;
            stream.set_write_timeout(Some(WRITE_WAIT_MAX))?;
            Ok(stream)
        });
        match prepared {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(ClientError::Unreachable { target: target.clone(), source: failure })
}

type Shaking = HandshakeError<tungstenite::handshake::client::ClientHandshake<TcpStream>>;

fn handshake_error(target: &Target, error: Shaking) -> ClientError {
    let target = target.clone();
    let error = match error {
        HandshakeError::Failure(error) => error,
        HandshakeError::Interrupted(_) => {
            let what = format!("no answer within {} s", CONNECT_WAIT_MAX.as_secs());
            return ClientError::Handshake { target, what };
        }
    };
    match error {
        tungstenite::Error::Http(response) => {
            let header = response.headers().get("retry-after");
            let secs = header.and_then(|value| value.to_str().ok()?.trim().parse().ok());
            let retry_after = secs.map(Duration::from_secs);
            ClientError::Refused { target, status: response.status().as_u16(), retry_after }
        }
        tungstenite::Error::Io(source) => ClientError::Unreachable { target, source },
        error => ClientError::Handshake { target, what: error.to_string() },
    }
}
