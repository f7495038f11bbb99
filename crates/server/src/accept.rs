//! The accept loop: time limits on headers, a limit on handshakes in progress, and hyper for the
//! rest. It never touches a socket that a shard has.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use protocol::limits::{HEADER_BYTES_MAX, HEADER_TIME_MAX};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::sync::watch;

/// Sockets that are in the middle of a handshake or an HTTP request at once.
const IN_PROGRESS_MAX: usize = 1_024;
/// What the others are told.
const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\
                      Connection: close\r\n\r\n";
/// Sockets that wait to be accepted.
const BACKLOG: i32 = 4_096;
/// A reader that stalls pins this much of the kernel's memory, not four megabytes.
const SEND_BUFFER_BYTES: usize = 16 << 10;
/// Wait after an accept that failed, for instance with too many open files.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// Binds a listening socket whose accepted sockets have small send buffers.
pub(crate) fn bind(address: SocketAddr) -> std::io::Result<std::net::TcpListener> {
    let domain = if address.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Accepts until `stop` says so. `serve` answers requests; it may take the socket with an upgrade.
pub(crate) async fn accept<S, F>(
    listener: std::net::TcpListener,
    mut stop: watch::Receiver<bool>,
    serve: S,
) -> std::io::Result<()>
where
    S: Fn(IpAddr, Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Result<Response<Full<Bytes>>, std::convert::Infallible>> + Send + 'static,
{
    let listener = TcpListener::from_std(listener)?;
    let in_progress = Arc::new(Semaphore::new(IN_PROGRESS_MAX));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stopping| *stopping) => return Ok(()),
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "no socket could be accepted; trying again");
                tokio::time::sleep(ACCEPT_RETRY).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&in_progress).try_acquire_owned() else {
            tokio::spawn(turn_away(stream));
            continue;
        };
        let serve = serve.clone();
        tokio::spawn(async move {
            serve_socket(stream, peer.ip(), serve).await;
            drop(place);
        });
    }
}

async fn serve_socket<S, F>(stream: TcpStream, peer: IpAddr, serve: S)
where
    S: Fn(IpAddr, Request<Incoming>) -> F + Send,
    F: Future<Output = Result<Response<Full<Bytes>>, std::convert::Infallible>> + Send,
{
    // Small frames leave at once; a socket that cannot be set so is slower, not broken.
    let _slower = stream.set_nodelay(true);
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME_MAX)
        .max_header_size(HEADER_BYTES_MAX)
        .max_buf_size(HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service_fn(move |request| serve(peer, request)))
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!(%peer, %error, "a request was not served");
    }
}

async fn turn_away(mut stream: TcpStream) {
    metrics::counter!("rollcall_handshakes_total", "result" => "busy").increment(1);
    // Who does not even take this answer has no need of it.
    let _gone = tokio::time::timeout(Duration::from_secs(1), stream.write_all(BUSY)).await;
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::time::Instant;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn ask(address: SocketAddr) -> std::net::TcpStream {
        let mut socket = std::net::TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        socket
    }

    fn answer(mut socket: std::net::TcpStream) -> String {
        let mut bytes = [0; 512];
        let length = socket.read(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test gives up after some time")]
    fn above_the_limit_of_handshakes_in_progress_the_others_are_told_to_come_again() {
        let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (release, held) = watch::channel(false);
        let (_stop, stopped) = watch::channel(false);
        // Whoever asks waits until it is released.
        let serve = move |_, _| {
            let mut held = held.clone();
            async move {
                let _gone = held.wait_for(|released| *released).await;
                Ok(Response::new(Full::new(Bytes::from_static(b"done"))))
            }
        };
        runtime.spawn(accept(listener, stopped, serve));
        let waiting: Vec<_> = (0..IN_PROGRESS_MAX).map(|_| ask(address)).collect();
        let refused = answer(ask(address));
        assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
        assert!(refused.contains("Retry-After: 1\r\n"), "{refused}");
        release.send(true).unwrap();
        for socket in waiting {
            assert!(answer(socket).starts_with("HTTP/1.1 200 "));
        }
        // Places are free again, once those sockets are gone.
        let started = Instant::now();
        while !answer(ask(address)).starts_with("HTTP/1.1 200 ") {
            assert!(started.elapsed() < PATIENCE, "no place became free");
        }
    }
}
