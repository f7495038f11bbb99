//! From what a shard says to bytes in WebSocket frames, once for all who get the same.
//!
//! This module never decides what is said: it makes bytes of it.

use presence::close::Close;
use presence::shard::{Notice, Patch, PatchKey};
use protocol::codec::Codec;
use protocol::mapping;
use protocol::message::ServerMessage;

/// Patches kept encoded, per shard. With the bytes beside them they take a mebibyte.
const CACHE_SLOTS: usize = 4_096;
/// Longest patch that is kept.
const CACHED_BYTES_MAX: usize = 232;

/// The encoder of one shard: a table of patches, the latest of those that fall on the same place.
pub(crate) struct Encoder {
    cache: Vec<Slot>,
}

#[derive(Clone)]
struct Slot {
    key: Option<(PatchKey, Codec)>,
    length: u8,
    bytes: [u8; CACHED_BYTES_MAX],
}

impl Default for Encoder {
    fn default() -> Self {
        let empty = Slot { key: None, length: 0, bytes: [0; CACHED_BYTES_MAX] };
        Self { cache: vec![empty; CACHE_SLOTS] }
    }
}

impl Encoder {
    /// Appends a patch as one frame.
    pub(crate) fn patch(&mut self, codec: Codec, patch: &Patch<'_>, out: &mut Vec<u8>) {
        let Some(key) = patch.key else {
            frame(codec, &mapping::patch(patch), out);
            return;
        };
        // Handles are handed out one after the other, so neighbours fall on different places.
        let place = (key.handle.0 as usize * 4 + usize::from(key.mask & 3)) % CACHE_SLOTS;
        let slot = &mut self.cache[place];
        if slot.key == Some((key, codec)) {
            out.extend_from_slice(&slot.bytes[..usize::from(slot.length)]);
            return;
        }
        let start = out.len();
        frame(codec, &mapping::patch(patch), out);
        let made = &out[start..];
        if let Ok(length) = u8::try_from(made.len())
            && made.len() <= CACHED_BYTES_MAX
        {
            slot.bytes[..made.len()].copy_from_slice(made);
            slot.length = length;
            slot.key = Some((key, codec));
        }
    }
}

/// Appends anything that is not a patch, as one frame.
pub(crate) fn notice(codec: Codec, notice: &Notice, out: &mut Vec<u8>) {
    frame(codec, &mapping::notice(notice), out);
}

/// Appends a close frame.
pub(crate) fn close(close: Close, out: &mut Vec<u8>) {
    let reason = protocol::close::name(close).as_bytes();
    let code = protocol::close::code(close).to_be_bytes();
    let Ok(length) = u8::try_from(reason.len() + code.len()) else {
        panic!("the name of a close code fits into a control frame");
    };
    out.extend_from_slice(&[0x88, length]);
    out.extend_from_slice(&code);
    out.extend_from_slice(reason);
}

/// Appends a message in a frame of its own: unmasked and whole, as servers send (RFC 6455, 5.2).
fn frame(codec: Codec, message: &ServerMessage<'_>, out: &mut Vec<u8>) {
    let opcode = if codec.is_text() { 0x81 } else { 0x82 };
    let start = out.len();
    out.extend_from_slice(&[opcode, 0]);
    codec.encode_server(message, out);
    let length = out.len() - start - 2;
    if let Ok(short) = u8::try_from(length)
        && short < 126
    {
        out[start + 1] = short;
    } else if let Ok(medium) = u16::try_from(length) {
        out[start + 1] = 126;
        out.splice(start + 2..start + 2, medium.to_be_bytes());
    } else {
        out[start + 1] = 127;
        out.splice(start + 2..start + 2, (length as u64).to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use presence::ids::{Handle, UserId, Version};
    use presence::shard::PatchKind;

    use super::*;

    fn update(id: &UserId, project: &'static str, version: u64) -> Vec<u8> {
        let mut encoder = Encoder::default();
        let mut twice = Vec::new();
        let key = PatchKey { handle: Handle(3), version: Version(version), mask: 0xff };
        let kind = || PatchKind::Update {
            status: None,
            project: Some(project),
            language: None,
            relation: None,
            profile: None,
        };
        encoder.patch(Codec::Json, &Patch { id, kind: kind(), key: Some(key) }, &mut twice);
        let once = twice.clone();
        encoder.patch(Codec::Json, &Patch { id, kind: kind(), key: Some(key) }, &mut twice);
        assert_eq!(twice, [once.clone(), once.clone()].concat(), "the second comes from the table");
        once
    }

    #[test]
    fn a_patch_is_one_frame_whatever_its_length() {
        let id = UserId::parse("dev_ada").unwrap();
        let short = update(&id, "x", 1);
        assert_eq!(&short[..2], [0x81, u8::try_from(short.len() - 2).unwrap()]);
        assert_eq!(&short[2..], br#"{"t":"u","id":"dev_ada","p":"x"}"#);
        let long = update(&id, Box::leak("ä".repeat(64).into_boxed_str()), 2);
        assert_eq!(long[1], 126);
        assert_eq!(usize::from(u16::from_be_bytes([long[2], long[3]])), long.len() - 4);
    }

    #[test]
    fn a_newer_state_is_never_served_from_the_table() {
        let id = UserId::parse("dev_ada").unwrap();
        let mut encoder = Encoder::default();
        for version in 1..3 {
            let project = version.to_string();
            let kind = PatchKind::Update {
                status: None,
                project: Some(&project),
                language: None,
                relation: None,
                profile: None,
            };
            let key = PatchKey { handle: Handle(3), version: Version(version), mask: 0xff };
            let mut out = Vec::new();
            encoder.patch(Codec::Json, &Patch { id: &id, kind, key: Some(key) }, &mut out);
            assert!(String::from_utf8_lossy(&out).contains(&format!("\"p\":\"{project}\"")));
        }
    }

    #[test]
    fn every_close_fits_into_a_control_frame() {
        for reason in Close::ALL {
            let mut out = Vec::new();
            close(reason, &mut out);
            assert!(out.len() <= 127);
            assert_eq!(u16::from_be_bytes([out[2], out[3]]), protocol::close::code(reason));
        }
    }
}
