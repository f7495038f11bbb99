//! A socket that says what no client of ours would.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use crate::harness::PATIENCE;

/// Masks nothing, so that frames can be read in a debugger; it is a mask like any other.
const MASK: [u8; 4] = [0; 4];
pub(crate) const TEXT: u8 = 0x81;
pub(crate) const PING: u8 = 0x89;
pub(crate) const PONG: u8 = 0x8a;
pub(crate) const CLOSE: u8 = 0x88;
/// A text frame that others continue.
pub(crate) const TEXT_BEGINS: u8 = 0x01;
pub(crate) const CONTINUES: u8 = 0x00;
pub(crate) const CONTINUES_AND_ENDS: u8 = 0x80;

pub(crate) struct Raw {
    stream: TcpStream,
}

/// A handshake, with more headers if given, each with its line end.
pub(crate) fn handshake(more: &str) -> String {
    format!(
        "GET /ws HTTP/1.1\r\nHost: rollcall.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
    )
}

/// A frame as clients send it, with that first byte.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match u16::try_from(payload.len()) {
        Ok(short) if short < 126 => bytes.push(0x80 | u8::try_from(short).unwrap()),
        Ok(medium) => {
            bytes.push(0x80 | 126);
            bytes.extend(medium.to_be_bytes());
        }
        Err(_) => {
            bytes.push(0x80 | 127);
            bytes.extend((payload.len() as u64).to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes.extend(payload);
    bytes
}

impl Raw {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream }
    }

    /// A WebSocket, with more headers in its handshake if given.
    pub(crate) fn upgraded(address: SocketAddr, more: &str) -> Self {
        let mut raw = Self::connect(address);
        raw.say(handshake(more).as_bytes()).unwrap();
        let head = raw.head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        raw
    }

    /// The same with a session of that user.
    pub(crate) fn joined(address: SocketAddr, name: &str) -> Self {
        let mut raw = Self::upgraded(address, "");
        raw.say(&frame(TEXT, hello(name).as_bytes())).unwrap();
        assert!(raw.text().starts_with(r#"{"t":"welcome""#));
        assert!(raw.text().starts_with(r#"{"t":"sync""#));
        raw
    }

    pub(crate) fn say(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The head of an HTTP answer.
    pub(crate) fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        String::from_utf8(head).unwrap()
    }

    /// Everything until the server hangs up, which it has to do in time.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self.stream.read_to_end(&mut bytes) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}"),
        }
        bytes
    }

    /// Whether the server hangs up within that time.
    pub(crate) fn ends_within(&mut self, time: Duration) -> bool {
        self.stream.set_read_timeout(Some(time)).unwrap();
        let mut byte = [0];
        let ended = match self.stream.read(&mut byte) {
            Ok(read) => read == 0,
            Err(error) => !matches!(error.kind(), io::ErrorKind::WouldBlock),
        };
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        ended
    }

    /// The next frame: its first byte and its payload.
    pub(crate) fn frame(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 2];
        self.stream.read_exact(&mut head).unwrap();
        let length = match head[1] {
            126 => {
                let mut length = [0; 2];
                self.stream.read_exact(&mut length).unwrap();
                usize::from(u16::from_be_bytes(length))
            }
            127 => panic!("no message here is that long"),
            short => usize::from(short),
        };
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).unwrap();
        (head[0], payload)
    }

    pub(crate) fn text(&mut self) -> String {
        let (first, payload) = self.frame();
        assert_eq!(first, TEXT, "{}", String::from_utf8_lossy(&payload));
        String::from_utf8(payload).unwrap()
    }

    /// The code that the server closes with; texts before it are passed over.
    pub(crate) fn close_code(&mut self) -> u16 {
        loop {
            let (first, payload) = self.frame();
            if first == CLOSE {
                return u16::from_be_bytes([payload[0], payload[1]]);
            }
        }
    }

    /// Sends no more, and still reads.
    pub(crate) fn finish_writing(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }
}

/// A login by name.
pub(crate) fn hello(name: &str) -> String {
    format!(r#"{{"t":"hello","as":"dev","token":"{name}"}}"#)
}

/// One HTTP request that is no handshake, and the whole answer.
pub(crate) fn http(address: SocketAddr, method: &str, path: &str) -> String {
    let mut raw = Raw::connect(address);
    let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    raw.say(request.as_bytes()).unwrap();
    String::from_utf8(raw.rest()).unwrap()
}
