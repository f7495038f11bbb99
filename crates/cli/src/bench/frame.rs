//! WebSocket frames (RFC 6455, section 5.2) as a load generator needs them: unmasked ones are read
//! in place, masked ones written into a buffer. It never copies a payload that it reads.

use std::ops::Range;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A whole text.
    Text,
    /// A whole binary message.
    Binary,
    /// The end.
    Close,
    /// A ping of the WebSocket layer.
    Ping,
    /// Its answer.
    Pong,
}

/// One frame in a buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    /// What it is.
    pub(crate) kind: Kind,
    /// Where its payload lies.
    pub(crate) payload: Range<usize>,
}

/// Why bytes are no frame that a server may send here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    /// The server masked a frame.
    #[error("a masked frame from the server (RFC 6455, 5.1)")]
    Masked,
    /// A message in pieces, which nothing so short needs.
    #[error("a fragmented message")]
    Fragmented,
    /// Reserved bits or an unknown kind.
    #[error("a frame of an unknown kind or with reserved bits")]
    Unknown,
    /// Longer than any list.
    #[error("a frame of {0} bytes")]
    TooLong(u64),
}

/// Longest frame that is read.
pub(crate) const FRAME_BYTES_MAX: u64 = 16 << 20;

/// Reads the frame at the start of `bytes`; nothing if it is not all there yet.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Frame>, FrameError> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    if second & 0x80 != 0 {
        return Err(FrameError::Masked);
    }
    if first & 0x70 != 0 {
        return Err(FrameError::Unknown);
    }
    if first & 0x80 == 0 || first & 0x0f == 0 {
        return Err(FrameError::Fragmented);
    }
    let kind = match first & 0x0f {
        0x1 => Kind::Text,
        0x2 => Kind::Binary,
        0x8 => Kind::Close,
        0x9 => Kind::Ping,
        0xa => Kind::Pong,
        _ => return Err(FrameError::Unknown),
    };
    let (start, length) = match (second & 0x7f, rest) {
        (126, [a, b, ..]) => (4, u64::from(u16::from_be_bytes([*a, *b]))),
        (127, [a, b, c, d, e, f, g, h, ..]) => {
            (10, u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]))
        }
        (126 | 127, _) => return Ok(None),
        (short, _) => (2, u64::from(short)),
    };
    if length > FRAME_BYTES_MAX {
        return Err(FrameError::TooLong(length));
    }
    let end = start + length as usize;
    Ok((bytes.len() >= end).then_some(Frame { kind, payload: start..end }))
}

/// Appends a masked frame.
pub(crate) fn write(out: &mut Vec<u8>, kind: Kind, payload: &[u8], mask: u32) {
    let opcode = match kind {
        Kind::Text => 0x1,
        Kind::Binary => 0x2,
        Kind::Close => 0x8,
        Kind::Ping => 0x9,
        Kind::Pong => 0xa,
    };
    out.push(0x80 | opcode);
    match payload.len() {
        short @ ..126 => out.push(0x80 | short as u8),
        medium @ ..65_536 => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(medium as u16).to_be_bytes());
        }
        long => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    let mask = mask.to_be_bytes();
    out.extend_from_slice(&mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unmasked(opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out, Kind::Text, payload, 0);
        out[0] = 0x80 | opcode;
        out[1] &= 0x7f;
        let header = out.len() - payload.len();
        out.drain(header - 4..header);
        out
    }

    #[test]
    fn frames_of_every_length_are_read_when_they_are_whole() {
        for length in [0, 1, 125, 126, 65_535, 65_536] {
            let payload = vec![b'x'; length];
            let bytes = unmasked(1, &payload);
            for cut in [0, 1, 2, 3, bytes.len() - 1] {
                if cut < bytes.len() {
                    assert_eq!(parse(&bytes[..cut]), Ok(None), "{length} cut at {cut}");
                }
            }
            let frame = parse(&bytes).unwrap().unwrap();
            assert_eq!((frame.kind, &bytes[frame.payload]), (Kind::Text, &payload[..]));
        }
    }

    #[test]
    fn what_a_server_may_not_send_is_named() {
        assert_eq!(parse(&[0x81, 0x80, 0, 0, 0, 0]), Err(FrameError::Masked));
        assert_eq!(parse(&[0x01, 0x00]), Err(FrameError::Fragmented));
        assert_eq!(parse(&[0x80, 0x00]), Err(FrameError::Fragmented));
        assert_eq!(parse(&[0xc1, 0x00]), Err(FrameError::Unknown));
        assert_eq!(parse(&[0x83, 0x00]), Err(FrameError::Unknown));
        let long = [0x81, 127, 0xff, 0, 0, 0, 0, 0, 0, 0];
        assert!(matches!(parse(&long), Err(FrameError::TooLong(_))));
    }

    #[test]
    fn a_written_frame_is_masked() {
        let mut out = Vec::new();
        write(&mut out, Kind::Text, b"ab", 0x0102_0304);
        assert_eq!(out, [0x81, 0x82, 1, 2, 3, 4, b'a' ^ 1, b'b' ^ 2]);
    }
}
