//! Which codec a connection speaks, agreed on by its WebSocket subprotocol.
//!
//! A codec is chosen once per connection and never changes on it.

use crate::json;
use crate::message::{ClientMessage, Malformed, ServerMessage};

/// A way of writing the messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// JSON in text frames.
    Json,
}

/// None of the offered subprotocols is spoken here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "none of the offered WebSocket subprotocols is spoken here; offer `rollcall.v1.json`, or none"
)]
pub struct Unsupported;

impl Codec {
    /// All codecs, the preferred first.
    pub const ALL: [Self; 1] = [Self::Json];

    /// The name in `Sec-WebSocket-Protocol`.
    pub const fn subprotocol(self) -> &'static str {
        match self {
            Self::Json => "rollcall.v1.json",
        }
    }

    /// Whether the messages are text frames, and binary frames are a mistake; else the other way.
    pub const fn is_text(self) -> bool {
        match self {
            Self::Json => true,
        }
    }

    /// Chooses among the client's offers: the value of `Sec-WebSocket-Protocol`, several such
    /// headers joined by commas. The client's order decides. Also gives the subprotocol to answer
    /// with: none where none was named, for a browser fails a connection that answers with a
    /// subprotocol it never offered (RFC 6455, 4.1).
    pub fn negotiate(offered: Option<&str>) -> Result<(Self, Option<&'static str>), Unsupported> {
        let mut offers = offered
            .unwrap_or_default()
            .split(',')
            .map(str::trim)
            .filter(|offer| !offer.is_empty())
            .peekable();
        if offers.peek().is_none() {
            return Ok((Self::Json, None));
        }
        let spoken = |offer| Self::ALL.into_iter().find(|codec| codec.subprotocol() == offer);
        let codec = offers.find_map(spoken).ok_or(Unsupported)?;
        Ok((codec, Some(codec.subprotocol())))
    }

    /// Appends a server's message, without anything around it.
    pub fn encode_server(self, message: &ServerMessage<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Json => json::encode_server(message, out),
        }
    }

    /// Reads a client's message out of one frame's payload.
    pub fn decode_client(self, payload: &[u8]) -> Result<ClientMessage, Malformed> {
        match self {
            Self::Json => match std::str::from_utf8(payload) {
                Ok(text) => json::decode_client(text),
                Err(_) => Err(Malformed::bad("the message is not UTF-8")),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_spoken_also_where_no_subprotocol_is_named() {
        let json = Codec::Json.subprotocol();
        for (offered, expected) in [
            (None, Ok((Codec::Json, None))),
            (Some(""), Ok((Codec::Json, None))),
            (Some(" , "), Ok((Codec::Json, None))),
            (Some("rollcall.v1.json"), Ok((Codec::Json, Some(json)))),
            (Some("chat, rollcall.v1.json"), Ok((Codec::Json, Some(json)))),
            (Some("rollcall.v9.json,rollcall.v1.json"), Ok((Codec::Json, Some(json)))),
            (Some("Rollcall.v1.json"), Err(Unsupported)),
            (Some("rollcall.v1.msgpack"), Err(Unsupported)),
            (Some("chat"), Err(Unsupported)),
        ] {
            assert_eq!(Codec::negotiate(offered), expected, "{offered:?}");
        }
    }

    #[test]
    fn a_codec_reads_what_it_is_given_as_bytes() {
        assert_eq!(Codec::Json.decode_client(br#"{"t":"hb"}"#), Ok(ClientMessage::Heartbeat));
        let refused = Codec::Json.decode_client(b"{\"t\":\"\xff\"}").unwrap_err();
        assert_eq!(refused, Malformed::bad("the message is not UTF-8"));
        let mut out = Vec::new();
        Codec::Json.encode_server(&ServerMessage::Stale, &mut out);
        assert_eq!(out, br#"{"t":"stale"}"#);
    }
}
