//! Between the shards' words and the wire: what the node's driver does with frames and patches.

use presence::ids::ConnId;
use presence::shard::{Fresh, Input};
use protocol::json;
use protocol::mapping::{Heard, heard};
use protocol::message::ServerMessage;

/// A client's frame as the shard takes it.
pub(crate) fn input(conn: ConnId, text: &str, fresh: impl FnOnce() -> Fresh) -> Input {
    match heard(json::decode_client(text)) {
        Heard::Hello(hello) => Input::Hello { conn, hello, fresh: fresh() },
        Heard::Said(said) => Input::Said { conn, said },
    }
}

/// A server's message as text.
pub(crate) fn text(message: &ServerMessage<'_>) -> String {
    let mut bytes = Vec::new();
    json::encode_server(message, &mut bytes);
    String::from_utf8(bytes).unwrap_or_else(|error| panic!("JSON is UTF-8: {error}"))
}
