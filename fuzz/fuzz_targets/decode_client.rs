//! Any bytes as a client's message: taken or refused, never a panic, and what is taken means the
//! same once written again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use presence::close::ErrorCode;
use protocol::codec::Codec;
use protocol::json::{decode_client, encode_client};

fuzz_target!(|bytes: &[u8]| {
    match Codec::Json.decode_client(bytes) {
        Ok(message) => {
            let mut out = Vec::new();
            encode_client(&message, &mut out);
            let text = std::str::from_utf8(&out).expect("what is written is UTF-8");
            assert_eq!(decode_client(text), Ok(message), "{text}");
        }
        Err(refused) => {
            let due = matches!(refused.code, ErrorCode::BadMessage | ErrorCode::UnknownMessage);
            assert!(due, "a decoder refuses with no other code: {refused:?}");
            assert!(!refused.message.is_empty(), "a refusal says why");
        }
    }
});
