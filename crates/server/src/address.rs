//! Who is on the other side: the address behind proxies, and whose page opened the socket.
//!
//! A header is believed only where a setting says so.

use std::net::IpAddr;

use http::HeaderMap;
use http::header::{HOST, ORIGIN};
use ipnet::IpNet;

/// The address of the client: the peer's, or, where the peer is a configured proxy, the rightmost
/// hop of `X-Forwarded-For` that is none.
pub(crate) fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let peer = peer.to_canonical();
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(&address));
    if !is_trusted(peer) {
        return peer;
    }
    let mut hops: Vec<&str> = Vec::new();
    for value in headers.get_all("x-forwarded-for") {
        hops.extend(value.to_str().unwrap_or_default().split(','));
    }
    let mut nearest = peer;
    for hop in hops.into_iter().rev() {
        // What cannot be read was not written by a proxy of ours: believe nothing beyond it.
        let Ok(address) = hop.trim().parse::<IpAddr>() else { return nearest };
        nearest = address.to_canonical();
        if !is_trusted(nearest) {
            return nearest;
        }
    }
    nearest
}

/// What an address is charged as: IPv6 by its /64, for a host has many of those.
pub(crate) fn charged(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) >> 64 << 64).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// Whose pages may open a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// Those of the same host and port.
    Same,
    /// Those of any loopback address, as `--dev` allows.
    Loopback,
    /// Exactly these.
    Listed(Vec<String>),
}

impl Origins {
    /// Whether a handshake may go on. Only browsers send an origin, and they always do.
    pub fn admit(&self, headers: &HeaderMap) -> bool {
        let Some(origin) = headers.get(ORIGIN) else { return true };
        let Ok(origin) = origin.to_str() else { return false };
        let origin = origin.to_ascii_lowercase();
        match self {
            Self::Listed(listed) => listed.contains(&origin),
            Self::Same => is_same(&origin, headers),
            // Not the same origin as well: a page whose name was made to lead to this machine has
            // that, and anyone can log in here.
            Self::Loopback => is_loopback(&origin),
        }
    }
}

fn authority(origin: &str) -> Option<&str> {
    origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"))
}

fn is_same(origin: &str, headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    host.is_some_and(|host| authority(origin) == Some(host.to_ascii_lowercase().as_str()))
}

fn is_loopback(origin: &str) -> bool {
    let Some(authority) = authority(origin) else { return false };
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn forwarded_addresses_are_believed_only_from_configured_proxies() {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        let table = [
            // peer, X-Forwarded-For, who it is
            ("203.0.113.9", vec!["198.51.100.1"], "203.0.113.9"),
            ("10.0.0.1", vec!["198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", vec!["6.6.6.6, 198.51.100.1, 10.0.0.2"], "198.51.100.1"),
            ("10.0.0.1", vec!["6.6.6.6", "198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", vec!["6.6.6.6, nonsense"], "10.0.0.1"),
            ("10.0.0.1", vec![], "10.0.0.1"),
            ("10.0.0.1", vec!["10.0.0.3"], "10.0.0.3"),
            ("::1", vec!["::ffff:198.51.100.1"], "198.51.100.1"),
            ("::ffff:10.0.0.1", vec!["2001:db8::5"], "2001:db8::5"),
        ];
        for (peer, forwarded, expected) in table {
            let pairs: Vec<_> = forwarded.iter().map(|value| ("x-forwarded-for", *value)).collect();
            let found = client_address(peer.parse().unwrap(), &headers(&pairs), &trusted);
            assert_eq!(found, expected.parse::<IpAddr>().unwrap(), "{peer} {forwarded:?}");
        }
    }

    #[test]
    fn an_address_of_version_six_is_charged_by_its_network() {
        let charge = |text: &str| charged(text.parse().unwrap());
        assert_eq!(charge("2001:db8::1"), charge("2001:db8::ffff:1"));
        assert_ne!(charge("2001:db8::1"), charge("2001:db8:0:1::1"));
        assert_eq!(charge("::ffff:10.0.0.1"), charge("10.0.0.1"));
    }

    #[test]
    fn only_pages_of_allowed_origins_may_connect() {
        let from = |origin: &str| headers(&[("origin", origin), ("host", "rollcall.test:8080")]);
        let same = Origins::Same;
        assert!(same.admit(&headers(&[])), "no browser, no origin");
        assert!(same.admit(&from("http://rollcall.test:8080")));
        assert!(same.admit(&from("HTTPS://Rollcall.test:8080")));
        for evil in ["http://evil.test", "http://rollcall.test", "null", "rollcall.test:8080"] {
            assert!(!same.admit(&from(evil)), "{evil}");
        }
        let loopback = Origins::Loopback;
        for good in ["http://localhost:3000", "http://127.0.0.1", "http://[::1]:5173"] {
            assert!(loopback.admit(&from(good)), "{good}");
        }
        for evil in ["http://localhost.evil.test", "http://127.0.0.1.evil.test", "file://"] {
            assert!(!loopback.admit(&from(evil)), "{evil}");
        }
        assert!(!loopback.admit(&from("http://rollcall.test:8080")), "a name that leads here");
        let listed = Origins::Listed(vec!["https://app.test".into()]);
        assert!(listed.admit(&from("https://app.test")));
        assert!(!listed.admit(&from("https://app.test:444")));
        assert!(!listed.admit(&from("http://rollcall.test:8080")), "the list is exact");
    }
}
