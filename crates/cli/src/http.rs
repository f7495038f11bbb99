//! One plain HTTP request: enough to read `/metrics`, `/healthz` and `/readyz`.
//!
//! It asks as HTTP/1.0, so that no server answers in chunks. It never follows a redirect.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// Time limit of connecting, and of each read and write.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// Longest answer that is read.
const ANSWER_BYTES_MAX: u64 = 8 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    /// Not `http://host:port`.
    #[error("`{0}` is no address of the form http://HOST:PORT")]
    Address(String),
    /// The network said no.
    #[error("{authority} does not answer: {source}")]
    Io {
        /// Host and port.
        authority: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// What came is no HTTP answer.
    #[error("{0} answers, but not in HTTP")]
    NotHttp(String),
}

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The status code.
    pub(crate) status: u16,
    /// The header lines.
    headers: Vec<(String, String)>,
    /// The body.
    pub(crate) body: String,
}

impl Answer {
    /// A header by its name in small letters.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| &**value)
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut lines = head.split("\r\n");
        let status = lines.next()?.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
        let header = |line: &str| {
            let (name, value) = line.split_once(':')?;
            Some((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        };
        Some(Self { status, headers: lines.filter_map(header).collect(), body: body.to_owned() })
    }
}

/// Host and port of `http://host[:port][/…]` (or `ws://…`); the port is 80 unless given.
pub(crate) fn authority(address: &str) -> Result<String, HttpError> {
    let rest = address.strip_prefix("http://").or_else(|| address.strip_prefix("ws://"));
    let host = rest.and_then(|rest| rest.split('/').next()).filter(|host| !host.is_empty());
    let host = host.ok_or_else(|| HttpError::Address(address.to_owned()))?;
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    Ok(if has_port { host.to_owned() } else { format!("{host}:80") })
}

/// Asks for a path.
pub(crate) fn get(authority: &str, path: &str) -> Result<Answer, HttpError> {
    let io = |source| HttpError::Io { authority: authority.to_owned(), source };
    let bytes = exchange(authority, path).map_err(io)?;
    Answer::parse(&bytes).ok_or_else(|| HttpError::NotHttp(authority.to_owned()))
}

fn exchange(authority: &str, path: &str) -> std::io::Result<Vec<u8>> {
    let mut failure = std::io::Error::new(std::io::ErrorKind::NotFound, "no such host");
    for address in authority.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, WAIT_MAX) {
            Ok(mut stream) => {
                stream.set_read_timeout(Some(WAIT_MAX))?;
                stream.set_write_timeout(Some(WAIT_MAX))?;
                // In one piece, for a server may answer and close after the first.
                let request = format!("GET {path} HTTP/1.0\r\nHost: {authority}\r\n\r\n");
                stream.write_all(request.as_bytes())?;
                let mut bytes = Vec::new();
                stream.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes)?;
                return Ok(bytes);
            }
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_apart() {
        let answer = Answer::parse(b"HTTP/1.1 503 No\r\nRetry-After: 2\r\n\r\nbusy").unwrap();
        assert_eq!((answer.status, &*answer.body), (503, "busy"));
        assert_eq!(answer.header("retry-after"), Some("2"));
        assert_eq!(Answer::parse(b"SSH-2.0\r\n\r\n"), None);
    }

    #[test]
    fn an_address_without_a_port_means_80() {
        assert_eq!(authority("http://h:1/metrics").unwrap(), "h:1");
        assert_eq!(authority("http://h").unwrap(), "h:80");
        assert_eq!(authority("ws://[::1]:9/ws").unwrap(), "[::1]:9");
        assert!(authority("h:1").is_err());
        assert!(authority("http://").is_err());
    }
}
