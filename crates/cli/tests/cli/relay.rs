//! A relay between a load test and a server, whichever: it passes everything on, but does one patch
//! in so many wrong, on purpose.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// What is done to one patch in so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// It is left out.
    Drop,
    /// It comes twice.
    Double,
    /// It also comes to somebody else.
    Leak,
    /// It comes without its project.
    Strip,
    /// The connection is cut.
    Cut,
    /// The first so many connections are told to come again later.
    Busy,
}

struct Shared {
    fault: Fault,
    one_in: u64,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    patches: u64,
    /// The sockets towards the load test. Whole frames are written under the lock.
    clients: Vec<TcpStream>,
}

/// Starts a relay; tells the address that it listens on.
pub(crate) fn start(upstream: SocketAddr, fault: Fault, one_in: u64) -> SocketAddr {
    let shared = Arc::new(Shared { fault, one_in, inner: Mutex::default() });
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for (count, client) in (0..).zip(listener.incoming()) {
            let mut client = client.unwrap();
            if fault == Fault::Busy && count < one_in {
                // The request is read first, or the answer would be lost with the socket.
                let _ = client.read(&mut [0; 1024]);
                let busy = b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n";
                client.write_all(busy).unwrap();
                continue;
            }
            let server = TcpStream::connect(upstream).unwrap();
            for stream in [&client, &server] {
                stream.set_nodelay(true).unwrap();
            }
            let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(std::net::Shutdown::Both);
            });
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                let _ = pass_down(server, &client, &shared);
                let _ = client.shutdown(std::net::Shutdown::Both);
            });
        }
    });
    address
}

/// Passes the answer of the handshake as it is, and then frame by frame.
fn pass_down(mut server: TcpStream, client: &TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut to_client = client;
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        server.read_exact(&mut byte)?;
        head.extend_from_slice(&byte);
    }
    to_client.write_all(&head)?;
    let place = {
        let mut inner = shared.inner.lock().unwrap();
        inner.clients.push(client.try_clone()?);
        inner.clients.len() - 1
    };
    loop {
        let (frame, payload_at) = read_frame(&mut server)?;
        shared.pass(place, &frame, payload_at)?;
    }
}

fn read_frame(server: &mut TcpStream) -> std::io::Result<(Vec<u8>, usize)> {
    let mut frame = vec![0; 2];
    server.read_exact(&mut frame)?;
    let more = match frame[1] & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    frame.resize(2 + more, 0);
    server.read_exact(&mut frame[2..])?;
    let length = match more {
        0 => usize::from(frame[1] & 0x7f),
        _ => frame[2..].iter().fold(0, |length, byte| length << 8 | usize::from(*byte)),
    };
    let payload_at = frame.len();
    frame.resize(payload_at + length, 0);
    server.read_exact(&mut frame[payload_at..])?;
    Ok((frame, payload_at))
}

impl Shared {
    fn pass(&self, place: usize, frame: &[u8], payload_at: usize) -> std::io::Result<()> {
        let mut inner = self.inner.lock().unwrap();
        let text = String::from_utf8_lossy(&frame[payload_at..]);
        // The report that comes with the login (q0) is left alone, so that the run begins at all.
        let is_patch = text.starts_with(r#"{"t":"u""#) && !text.contains(r#""p":"q0""#);
        inner.patches += u64::from(is_patch);
        let is_hit = is_patch && inner.patches.is_multiple_of(self.one_in);
        match self.fault {
            Fault::Drop if is_hit => return Ok(()),
            Fault::Double if is_hit => inner.clients[place].write_all(frame)?,
            Fault::Leak if is_hit => {
                let other = (place + 1) % inner.clients.len();
                inner.clients[other].write_all(frame)?;
            }
            Fault::Strip if is_hit => {
                let end = text.find(r#","p":"#).unwrap();
                let stripped = format!("{}}}", &text[..end]);
                let mut short = vec![0x81, u8::try_from(stripped.len()).unwrap()];
                short.extend_from_slice(stripped.as_bytes());
                return inner.clients[place].write_all(&short);
            }
            Fault::Cut if is_hit => return Err(std::io::ErrorKind::ConnectionAborted.into()),
            _ => {}
        }
        inner.clients[place].write_all(frame)
    }
}
