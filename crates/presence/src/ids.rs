//! Names of things: users, sessions, nodes, and the numbers that order changes.
//!
//! This module never makes an id: randomness and clocks belong to the driver.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Longest user id, in bytes.
pub const USER_ID_BYTES_MAX: usize = 64;

/// Users hash into this many fixed partitions.
pub const PARTITIONS: u16 = 256;

/// A person, `github_<number>`, `guest_<random>`, `dev_<name>` or the `sub` of a token issuer.
///
/// Cheap to clone: the text is shared.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(Arc<str>);

/// Why a text is not a user id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UserIdError {
    /// No characters at all.
    #[error("a user id has at least one character")]
    Empty,
    /// More than [`USER_ID_BYTES_MAX`] bytes.
    #[error("a user id has at most {USER_ID_BYTES_MAX} bytes, this one has {0}")]
    TooLong(usize),
    /// A character outside `[A-Za-z0-9_.-]`.
    #[error("a user id has only letters, digits, `_`, `.` and `-`, not {0:?}")]
    Forbidden(char),
}

impl UserId {
    /// Parses a user id: 1 to 64 bytes of `[A-Za-z0-9_.-]`.
    pub fn parse(text: &str) -> Result<Self, UserIdError> {
        if text.is_empty() {
            return Err(UserIdError::Empty);
        }
        if text.len() > USER_ID_BYTES_MAX {
            return Err(UserIdError::TooLong(text.len()));
        }
        let allowed = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        match text.chars().find(|c| !allowed(c)) {
            Some(c) => Err(UserIdError::Forbidden(c)),
            None => Ok(Self(text.into())),
        }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The partition that the user's state lives in: CRC16 (XMODEM, as Redis Cluster hashes keys)
    /// of the id, modulo [`PARTITIONS`].
    pub fn partition(&self) -> u16 {
        let mut crc: u16 = 0;
        for byte in self.0.bytes() {
            crc ^= u16::from(byte) << 8;
            for _ in 0..8 {
                crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
            }
        }
        crc % PARTITIONS
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for UserId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for UserId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// One editor window, tab or terminal of a user, over all its reconnects: 128 random bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionId(pub [u8; 16]);

impl SessionId {
    /// Parses 32 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != 32 {
            return None;
        }
        let mut bytes = [0; 16];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let high = char::from(pair[0]).to_digit(16)?;
            let low = char::from(pair[1]).to_digit(16)?;
            *byte = u8::try_from(high * 16 + low).ok()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A watched user as a small number: one per user and node, never reused while the process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle(pub u32);

/// One socket of a shard: its place in the shard's table, and which tenant of that place it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId {
    /// Place in the shard's table of connections.
    pub slot: u32,
    /// Counts the tenants of the place, so that a late answer never reaches the next one.
    pub tenant: u32,
}

/// A shard of this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId(pub u16);

/// One life of a node process: a node that restarts, or whose lease lapsed, has a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Incarnation(pub u64);

/// One life of the store's data: a store that lost its data is a new epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Epoch(pub u64);

/// Orders the changes of one user's presence within an epoch.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
pub struct Version(pub u64);

/// Counts the changes of one user's relations.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
pub struct RelationVersion(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_id_is_what_the_contract_says() {
        for good in ["github_1", "dev_ada", "a", "A-b.c_9", &"x".repeat(64)] {
            assert_eq!(UserId::parse(good).unwrap().as_str(), good);
        }
        assert_eq!(UserId::parse(""), Err(UserIdError::Empty));
        assert_eq!(UserId::parse(&"x".repeat(65)), Err(UserIdError::TooLong(65)));
        for (bad, c) in [("a b", ' '), ("ä", 'ä'), ("a\u{202e}", '\u{202e}'), ("a/b", '/')] {
            assert_eq!(UserId::parse(bad), Err(UserIdError::Forbidden(c)));
        }
    }

    #[test]
    fn a_partition_is_the_crc16_that_redis_cluster_uses() {
        // CRC16("123456789") is 0x31C3, the check value of the XMODEM variant.
        assert_eq!(UserId::parse("123456789").unwrap().partition(), 0x31C3 % PARTITIONS);
    }

    #[test]
    fn a_session_id_survives_its_text() {
        let id = SessionId([7; 16]);
        assert_eq!(SessionId::parse(&id.to_string()), Some(id));
        assert_eq!(SessionId::parse("07"), None);
        assert_eq!(SessionId::parse(&"zz".repeat(16)), None);
    }
}
