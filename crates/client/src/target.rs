//! Where a server is: the parts of a `ws://` address.
//!
//! This module never resolves a name or opens a socket.

use std::fmt;

/// The address of a server's WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    host: Box<str>,
    port: u16,
    path: Box<str>,
}

/// Why a text is no address that this client can reach.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// `wss://`.
    #[error(
        "`{0}`: wss:// is not supported by this client yet; use a ws:// address on the server's \
         own machine, or a local proxy that speaks TLS to the server"
    )]
    Tls(Box<str>),
    /// Not `ws://`.
    #[error("`{0}` is no WebSocket address; --url has the form ws://HOST:PORT/ws")]
    Scheme(Box<str>),
    /// No host.
    #[error("`{0}` names no host; --url has the form ws://HOST:PORT/ws")]
    Host(Box<str>),
    /// A port that is no number from 1 to 65535.
    #[error("`{0}` has no valid port; --url has the form ws://HOST:PORT/ws")]
    Port(Box<str>),
    /// A user name, a space or a fragment, which the server could misread.
    #[error("`{0}` has a part that no WebSocket address has; --url has the form ws://HOST:PORT/ws")]
    Forbidden(Box<str>),
}

impl Target {
    /// Parses `ws://host[:port][/path]`; the port is 80 and the path `/ws` unless given. An IPv6
    /// address stands in brackets.
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        let scheme_end = text.find("://").ok_or_else(|| TargetError::Scheme(text.into()))?;
        let (scheme, rest) = (&text[..scheme_end], &text[scheme_end + 3..]);
        if scheme.eq_ignore_ascii_case("wss") {
            return Err(TargetError::Tls(text.into()));
        }
        if !scheme.eq_ignore_ascii_case("ws") {
            return Err(TargetError::Scheme(text.into()));
        }
        let strange = |c: char| c.is_ascii_whitespace() || c.is_control() || matches!(c, '@' | '#');
        if rest.contains(strange) {
            return Err(TargetError::Forbidden(text.into()));
        }
        let (authority, path) = match rest.find(['/', '?']) {
            None => (rest, "/ws".into()),
            Some(at) if rest[at..].starts_with('?') => (&rest[..at], format!("/{}", &rest[at..])),
            Some(at) => (&rest[..at], rest[at..].to_owned()),
        };
        let (host, port) = split_port(authority).ok_or_else(|| TargetError::Port(text.into()))?;
        if host.is_empty() {
            return Err(TargetError::Host(text.into()));
        }
        Ok(Self { host: host.into(), port, path: path.into() })
    }

    /// The host to resolve, an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The path and query of the request.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Host and port as the `Host` header has them.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ws://{}{}", self.authority(), self.path)
    }
}

fn split_port(authority: &str) -> Option<(&str, u16)> {
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (host, after) = rest.split_once(']')?;
        (host, if after.is_empty() { None } else { Some(after.strip_prefix(':')?) })
    } else {
        match authority.split_once(':') {
            None => (authority, None),
            Some((_, port)) if port.contains(':') => return None,
            Some((host, port)) => (host, Some(port)),
        }
    };
    match port {
        None => Some((host, 80)),
        Some(port) => port.parse().ok().filter(|port| *port != 0).map(|port| (host, port)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart() {
        let table = [
            ("ws://127.0.0.1:8080/ws", "127.0.0.1", 8080, "/ws"),
            ("ws://localhost", "localhost", 80, "/ws"),
            ("WS://[::1]:9/a?b=1", "::1", 9, "/a?b=1"),
            ("ws://h:1?b=1", "h", 1, "/?b=1"),
        ];
        for (text, host, port, path) in table {
            let target = Target::parse(text).unwrap();
            assert_eq!((target.host(), target.port(), target.path()), (host, port, path), "{text}");
            assert_eq!(Target::parse(&target.to_string()), Ok(target));
        }
    }

    #[test]
    fn what_is_no_address_is_refused_by_name() {
        assert!(matches!(Target::parse("wss://h/ws"), Err(TargetError::Tls(_))));
        assert!(matches!(Target::parse("http://h/ws"), Err(TargetError::Scheme(_))));
        assert!(matches!(Target::parse("h:80"), Err(TargetError::Scheme(_))));
        assert!(matches!(Target::parse("ws://:80/ws"), Err(TargetError::Host(_))));
        assert!(matches!(Target::parse("ws:///ws"), Err(TargetError::Host(_))));
        for port in ["ws://h:0", "ws://h:70000", "ws://h:x", "ws://::1:80", "ws://[::1]x"] {
            assert!(matches!(Target::parse(port), Err(TargetError::Port(_))), "{port}");
        }
        assert!(matches!(Target::parse("ws://a@h"), Err(TargetError::Forbidden(_))));
        let said = Target::parse("wss://h").unwrap_err().to_string();
        assert!(said.contains("proxy"), "{said}");
    }
}
