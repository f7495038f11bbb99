//! The WebSocket handshake (RFC 6455, section 4.1), as bytes out and bytes in.

use std::time::Duration;

/// Longest answer head that is read.
pub(crate) const HEAD_BYTES_MAX: usize = 8 << 10;

/// What the server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It speaks WebSocket from this byte on.
    Upgraded {
        /// Length of the answer's head.
        head_bytes: usize,
    },
    /// It is busy: try again.
    Busy {
        /// The HTTP status, 429 or 503.
        status: u16,
        /// What `Retry-After` asks for.
        retry_after: Option<Duration>,
    },
    /// It will not.
    Refused {
        /// Why.
        why: String,
    },
}

/// The request, and the key that its answer must prove to have read.
pub(crate) fn request(authority: &str, path: &str) -> (Vec<u8>, String) {
    let key = tungstenite::handshake::client::generate_key();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {authority}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Protocol: rollcall.v1.json\r\n\r\n"
    );
    (request.into_bytes(), key)
}

/// Reads an answer; nothing if its head is not all there yet.
pub(crate) fn parse(bytes: &[u8], key: &str) -> Option<Answer> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        let why = "the head of its answer is too long".to_owned();
        return (bytes.len() > HEAD_BYTES_MAX).then_some(Answer::Refused { why });
    };
    let head = String::from_utf8_lossy(&bytes[..end]);
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|s| s.parse().ok());
    let header = |name: &str| {
        head.split("\r\n").skip(1).find_map(|line| {
            let (n, value) = line.split_once(':')?;
            n.trim().eq_ignore_ascii_case(name).then(|| value.trim())
        })
    };
    Some(match status {
        Some(101) => {
            let expected = tungstenite::handshake::derive_accept_key(key.as_bytes());
            if header("sec-websocket-accept") == Some(&*expected) {
                Answer::Upgraded { head_bytes: end + 4 }
            } else {
                Answer::Refused { why: "its Sec-WebSocket-Accept is wrong".into() }
            }
        }
        Some(status @ (429 | 503)) => {
            let secs = header("retry-after").and_then(|value| value.parse().ok());
            Answer::Busy { status, retry_after: secs.map(Duration::from_secs) }
        }
        Some(status) => Answer::Refused { why: format!("it answers with HTTP status {status}") },
        None => Answer::Refused { why: "it does not speak HTTP".into() },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_must_prove_that_the_key_was_read() {
        // The example of RFC 6455, section 1.3.
        let key = "dGhlIHNhbXBsZSBub25jZQ==";
        let good =
            b"HTTP/1.1 101 x\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n\x81";
        assert_eq!(parse(good, key), Some(Answer::Upgraded { head_bytes: good.len() - 1 }));
        assert_eq!(parse(&good[..good.len() - 2], key), None);
        assert!(matches!(parse(good, "other"), Some(Answer::Refused { .. })));
    }

    #[test]
    fn a_busy_server_says_when_to_come_again() {
        let busy = parse(b"HTTP/1.1 429 Busy\r\nRetry-After: 3\r\n\r\n", "");
        let retry_after = Some(Duration::from_secs(3));
        assert_eq!(busy, Some(Answer::Busy { status: 429, retry_after }));
        let refused = parse(b"HTTP/1.1 403 No\r\n\r\n", "");
        assert!(matches!(refused, Some(Answer::Refused { why }) if why.contains("403")));
        assert!(matches!(parse(b"SSH\r\n\r\n", ""), Some(Answer::Refused { .. })));
        assert!(matches!(parse(&[b'x'; 9000], ""), Some(Answer::Refused { .. })));
    }
}
