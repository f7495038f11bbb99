//! The text forms of resume tokens and cursors: base64url without padding (RFC 4648, section 5),
//! big-endian numbers within.
//!
//! A client keeps both as it gets them. This module never checks a secret and never makes one;
//! each value has exactly one text, so a text that was changed in any way is another value or none.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use presence::hello::{Cursor, ResumeToken};
use presence::ids::{Epoch, PARTITIONS, RelationVersion, SessionId};
use presence::time::Timestamp;

const RESUME_BYTES: usize = 2 + 16 + 32;
const CURSOR_BYTES: usize = 3 * 8;

/// Length of a resume token's text, in characters.
pub const RESUME_CHARS: usize = (RESUME_BYTES * 4).div_ceil(3);
/// Length of a cursor's text, in characters.
pub const CURSOR_CHARS: usize = (CURSOR_BYTES * 4).div_ceil(3);

/// The text of a resume token: partition, session, secret.
pub fn format_resume(token: &ResumeToken) -> String {
    let mut bytes = [0; RESUME_BYTES];
    bytes[..2].copy_from_slice(&token.partition.to_be_bytes());
    bytes[2..18].copy_from_slice(&token.session.0);
    bytes[18..].copy_from_slice(&token.secret);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads a resume token; nothing if the text is none.
pub fn parse_resume(text: &str) -> Option<ResumeToken> {
    let bytes: [u8; RESUME_BYTES] = decode(text, RESUME_CHARS)?;
    let partition = u16::from_be_bytes([bytes[0], bytes[1]]);
    if partition >= PARTITIONS {
        return None;
    }
    let mut token = ResumeToken { partition, session: SessionId([0; 16]), secret: [0; 32] };
    token.session.0.copy_from_slice(&bytes[2..18]);
    token.secret.copy_from_slice(&bytes[18..]);
    Some(token)
}

/// The text of a cursor: epoch, time, relation version.
pub fn format_cursor(cursor: &Cursor) -> String {
    let mut bytes = [0; CURSOR_BYTES];
    bytes[..8].copy_from_slice(&cursor.epoch.0.to_be_bytes());
    bytes[8..16].copy_from_slice(&cursor.at.0.to_be_bytes());
    bytes[16..].copy_from_slice(&cursor.relations.0.to_be_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads a cursor; nothing if the text is none.
pub fn parse_cursor(text: &str) -> Option<Cursor> {
    let bytes: [u8; CURSOR_BYTES] = decode(text, CURSOR_CHARS)?;
    let number = |place: usize| {
        let mut number = [0; 8];
        number.copy_from_slice(&bytes[place..place + 8]);
        u64::from_be_bytes(number)
    };
    Some(Cursor {
        epoch: Epoch(number(0)),
        at: Timestamp(number(8)),
        relations: RelationVersion(number(16)),
    })
}

/// Decodes a text of exactly so many characters to exactly so many bytes.
fn decode<const BYTES: usize>(text: &str, chars: usize) -> Option<[u8; BYTES]> {
    // The length first: whatever comes from outside costs no more than a token does.
    if text.len() != chars {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    bytes.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> ResumeToken {
        ResumeToken { partition: 255, session: SessionId([1; 16]), secret: [2; 32] }
    }

    #[test]
    fn a_token_and_a_cursor_survive_their_text() {
        let text = format_resume(&token());
        assert_eq!(text.len(), RESUME_CHARS);
        assert_eq!(parse_resume(&text), Some(token()));
        let cursor = Cursor {
            epoch: Epoch(u64::MAX),
            at: Timestamp(1_764_000_000_000_000),
            relations: RelationVersion(3),
        };
        let text = format_cursor(&cursor);
        assert_eq!(text.len(), CURSOR_CHARS);
        assert_eq!(parse_cursor(&text), Some(cursor));
    }

    #[test]
    fn a_text_of_another_length_alphabet_or_partition_is_no_token() {
        let good = format_resume(&token());
        for bad in ["", "a", &good[1..], &format!("{good}="), &format!("{good}a")] {
            assert_eq!(parse_resume(bad), None, "{bad}");
            assert_eq!(parse_cursor(bad), None, "{bad}");
        }
        for strange in ['+', '/', '=', ' ', '\0'] {
            assert_eq!(parse_resume(&format!("{}{strange}", &good[1..])), None, "{strange:?}");
        }
        let beyond = ResumeToken { partition: PARTITIONS, ..token() };
        assert_eq!(parse_resume(&format_resume(&beyond)), None);
    }

    #[test]
    fn a_token_has_only_one_text() {
        // 50 bytes leave two bits of the last character unused: they have to be zero.
        let good = format_resume(&token());
        let (head, last) = good.split_at(good.len() - 1);
        for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".chars() {
            let text = format!("{head}{c}");
            let same = parse_resume(&text) == Some(token());
            assert_eq!(same, last.starts_with(c), "{c}");
        }
    }
}
