//! Any bytes as a server's message: read or refused, never a panic, and what is read means the
//! same once written again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::json::{decode_server, encode_server};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(message) = decode_server(text) else { return };
    let mut out = Vec::new();
    encode_server(&message, &mut out);
    let text = std::str::from_utf8(&out).expect("what is written is UTF-8");
    let again = decode_server(text).expect("what is written can be read");
    assert_eq!(again, message, "{text}");
});
