//! One nonblocking socket of a load test: what came and is no whole frame yet, what is still to be
//! written, and how far the login is. It never looks into a message.

use std::io::{self, Read, Write};

use mio::net::TcpStream;

/// Most bytes that wait for a server that does not read.
const UNSENT_BYTES_MAX: usize = 256 << 10;

/// How far a connection is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The handshake was sent; the answer must prove to have read this key.
    Upgrading {
        /// The key.
        key: Box<str>,
    },
    /// `hello` was sent.
    Greeting,
    /// The first list came.
    Live,
    /// `bye` was sent.
    Leaving,
}

/// What a read brought.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Got {
    /// So many bytes at the start of the buffer, the partial ones from before included.
    Bytes(usize),
    /// Nothing more for now.
    Nothing,
    /// The other side has ended the connection.
    End,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Conn {
    stream: TcpStream,
    /// How far it is.
    pub(crate) stage: Stage,
    partial: Vec<u8>,
    unsent: Vec<u8>,
}

impl Conn {
    /// A connection that is being made.
    pub(crate) fn new(stream: TcpStream, key: String) -> Self {
        let stage = Stage::Upgrading { key: key.into() };
        Self { stream, stage, partial: Vec::new(), unsent: Vec::new() }
    }

    /// The socket, for registering it.
    pub(crate) fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Reads once, behind what was kept of the time before.
    pub(crate) fn read(&mut self, buffer: &mut Vec<u8>) -> io::Result<Got> {
        let held = self.partial.len();
        if buffer.len() < held * 2 {
            buffer.resize(held * 2, 0);
        }
        buffer[..held].copy_from_slice(&self.partial);
        loop {
            match self.stream.read(&mut buffer[held..]) {
                Ok(0) => return Ok(Got::End),
                Ok(count) => {
                    self.partial.clear();
                    return Ok(Got::Bytes(held + count));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Got::Nothing),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Keeps what is no whole frame yet for the next read.
    pub(crate) fn keep(&mut self, rest: &[u8]) {
        self.partial.extend_from_slice(rest);
    }

    /// Writes, or queues what the socket does not take.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = if self.unsent.is_empty() { write(&mut self.stream, bytes)? } else { 0 };
        if self.unsent.len() + bytes.len() - written > UNSENT_BYTES_MAX {
            return Err(io::Error::other("the server does not read"));
        }
        self.unsent.extend_from_slice(&bytes[written..]);
        Ok(())
    }

    /// Writes what was queued.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if self.unsent.is_empty() {
            return Ok(());
        }
        let written = write(&mut self.stream, &self.unsent)?;
        self.unsent.drain(..written);
        Ok(())
    }
}

/// Writes as much as the socket takes.
fn write(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut written = 0;
    while written < bytes.len() {
        match stream.write(&bytes[written..]) {
            Ok(count) => written += count,
            // A socket that is still connecting says "not connected".
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected
                ) =>
            {
                break;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(written)
}
