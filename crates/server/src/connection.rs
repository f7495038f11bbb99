//! One upgraded socket: read through tungstenite with tiny buffers, written directly.
//!
//! Everything written goes one way, in order: control frames that tungstenite answers, notices and
//! patches alike. Nothing here decides anything.

use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::os::fd::AsFd;

use mio::net::TcpStream;
use presence::shard::Said;
use presence::time::Timestamp;
use protocol::codec::Codec;
use protocol::limits::MESSAGE_BYTES_MAX;
use protocol::mapping::{self, Heard};
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Message, WebSocket};

/// Bytes that tungstenite reads at once: idle sockets are many, and their messages short.
const READ_BYTES: usize = 128;
/// Bytes that one message, or one turn, may take out of a socket. A message that comes in endless
/// fragments would otherwise keep the shard for as long as its sender likes.
const TURN_BYTES_MAX: usize = MESSAGE_BYTES_MAX;
/// Bytes that may still come after the close: what was on its way, and no flood.
const DRAINED_BYTES_MAX: u32 = 1 << 20;
/// With this much unsent, a socket is no longer read until it takes some.
pub(crate) const UNSENT_BYTES_MAX: usize = 64 << 10;

/// A socket as it is handed from the handshake to a shard.
#[derive(Debug)]
pub(crate) struct Handover {
    /// The socket, non-blocking.
    pub stream: std::net::TcpStream,
    /// What was read beyond the handshake.
    pub leftover: Vec<u8>,
    /// The codec agreed on.
    pub codec: Codec,
    /// Address of the client.
    pub address: IpAddr,
    /// The client program as it names itself.
    pub client: Box<str>,
}

/// An upgraded socket.
pub(crate) struct Connection {
    socket: WebSocket<Gate>,
    /// The codec agreed on.
    pub codec: Codec,
    /// Counts the tenants of this slot.
    pub tenant: u32,
    /// Address of the client.
    pub address: IpAddr,
    /// The client program as it names itself.
    pub client: Box<str>,
    /// Stands in the queue of those to be written.
    pub is_queued: bool,
    /// Stands in the queue of those to be read on.
    pub is_unread: bool,
    /// Is not read until it has taken what it was sent.
    pub is_paused: bool,
    /// A close frame has been written or is about to be: nothing more is said.
    pub closing_since: Option<Timestamp>,
    has_shut_down: bool,
    /// Bytes that came after the close.
    drained: u32,
}

/// What lies between tungstenite and the socket: reads go through, writes wait in order.
struct Gate {
    stream: TcpStream,
    unsent: Vec<u8>,
    sent: usize,
    /// Bytes that may still be read in this turn.
    allowance: usize,
}

impl Read for Gate {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.allowance == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let read = self.stream.read(buffer)?;
        self.allowance = self.allowance.saturating_sub(read);
        Ok(read)
    }
}

impl Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.unsent.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What came out of a socket.
#[derive(Debug)]
pub(crate) enum Step {
    /// A message, or something that is not one or breaks a limit.
    Heard(Heard),
    /// A frame that carries no message.
    Frame,
    /// Nothing more for now.
    Nothing,
    /// The socket is gone.
    Closed {
        /// Whether the client closed it with code 1000.
        goodbye: bool,
    },
}

/// How writing went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// Everything went out.
    All,
    /// The socket takes no more for now.
    Blocked,
    /// The socket is gone.
    Gone,
}

impl Connection {
    /// Takes a socket over.
    pub(crate) fn new(handover: Handover, tenant: u32) -> Self {
        let stream = TcpStream::from_std(handover.stream);
        let gate = Gate { stream, unsent: Vec::new(), sent: 0, allowance: 0 };
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BYTES)
            .write_buffer_size(0)
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        let socket =
            WebSocket::from_partially_read(gate, handover.leftover, Role::Server, Some(config));
        Self {
            socket,
            codec: handover.codec,
            tenant,
            address: handover.address,
            client: handover.client,
            is_queued: false,
            is_unread: false,
            is_paused: false,
            closing_since: None,
            has_shut_down: false,
            drained: 0,
        }
    }

    /// The socket itself, to register it.
    pub(crate) fn stream(&mut self) -> &mut TcpStream {
        &mut self.socket.get_mut().stream
    }

    /// Where bytes to be sent are added; send them with [`Connection::send`].
    pub(crate) fn unsent(&mut self) -> &mut Vec<u8> {
        &mut self.socket.get_mut().unsent
    }

    /// How many bytes wait for the socket.
    pub(crate) fn unsent_bytes(&self) -> usize {
        let gate = self.socket.get_ref();
        gate.unsent.len() - gate.sent
    }

    /// Reads one message, as far as the socket has it.
    pub(crate) fn read(&mut self) -> Step {
        use tungstenite::Error;
        self.socket.get_mut().allowance = TURN_BYTES_MAX;
        match self.socket.read() {
            Ok(Message::Text(text)) if self.codec.is_text() => decode(self.codec, text.as_bytes()),
            Ok(Message::Text(_)) => Step::Heard(Heard::Said(Said::NotText)),
            Ok(Message::Binary(_)) if self.codec.is_text() => {
                Step::Heard(Heard::Said(Said::NotText))
            }
            Ok(Message::Binary(bytes)) => decode(self.codec, &bytes),
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => Step::Frame,
            Ok(Message::Close(frame)) => {
                let goodbye = frame.is_some_and(|frame| u16::from(frame.code) == 1000);
                // Answers the close; the answer waits in the gate.
                let _closed = self.socket.flush();
                Step::Closed { goodbye }
            }
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                if self.socket.get_ref().allowance == 0 { Step::Frame } else { Step::Nothing }
            }
            Err(Error::Capacity(_)) => Step::Heard(Heard::Said(Said::TooLarge)),
            Err(Error::Utf8(_)) => Step::Heard(Heard::Said(Said::NotText)),
            Err(Error::Protocol(problem)) => {
                use tungstenite::error::ProtocolError;
                match problem {
                    // The client went away without a word.
                    ProtocolError::ResetWithoutClosingHandshake => Step::Closed { goodbye: false },
                    _ => Step::Heard(Heard::Said(Said::NotText)),
                }
            }
            Err(_) => Step::Closed { goodbye: false },
        }
    }

    /// Writes what waits, then `patches`; keeps what the socket does not take.
    pub(crate) fn send(&mut self, patches: &[u8]) -> Written {
        let gate = self.socket.get_mut();
        if gate.unsent.is_empty() {
            if patches.is_empty() {
                return Written::All;
            }
            return match gate.stream.write(patches) {
                Ok(taken) if taken == patches.len() => Written::All,
                Ok(taken) => {
                    gate.unsent.extend_from_slice(&patches[taken..]);
                    gate.sent = 0;
                    gate.drain()
                }
                Err(error) => gate.keep(patches, &error),
            };
        }
        gate.unsent.extend_from_slice(patches);
        gate.drain()
    }

    /// Says that nothing more will come, so that the other side reads all and closes.
    pub(crate) fn shut_down(&mut self) {
        if !std::mem::replace(&mut self.has_shut_down, true) {
            let fd = self.socket.get_ref().stream.as_fd();
            // A socket that is gone already needs nothing.
            let _gone = socket2::SockRef::from(&fd).shutdown(std::net::Shutdown::Write);
        }
    }

    /// Reads and drops what still comes; tells whether the other side has closed, or sends so much
    /// that it is not worth waiting for.
    pub(crate) fn is_drained(&mut self) -> bool {
        let mut scrap = [0; 4_096];
        loop {
            match self.stream().read(&mut scrap) {
                Ok(0) => return true,
                Ok(read) => {
                    // At most the length of the scrap.
                    self.drained = self.drained.saturating_add(read as u32);
                    if self.drained > DRAINED_BYTES_MAX {
                        return true;
                    }
                }
                Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
            }
        }
    }
}

impl Gate {
    fn drain(&mut self) -> Written {
        while self.sent < self.unsent.len() {
            match self.stream.write(&self.unsent[self.sent..]) {
                Ok(0) => return Written::Gone,
                Ok(taken) => self.sent += taken,
                Err(error) => return self.keep(&[], &error),
            }
        }
        // Idle sockets are many: they keep no buffer.
        self.unsent = Vec::new();
        self.sent = 0;
        Written::All
    }

    fn keep(&mut self, more: &[u8], error: &io::Error) -> Written {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => {
                self.unsent.drain(..self.sent);
                self.sent = 0;
                self.unsent.extend_from_slice(more);
                Written::Blocked
            }
            _ => Written::Gone,
        }
    }
}

fn decode(codec: Codec, payload: &[u8]) -> Step {
    Step::Heard(mapping::heard(codec.decode_client(payload)))
}
