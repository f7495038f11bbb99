//! Any text as a resume token or cursor, or as the offer of subprotocols: never a panic, and a
//! token has only one text.

#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::codec::Codec;
use protocol::token::{format_cursor, format_resume, parse_cursor, parse_resume};

fuzz_target!(|text: &str| {
    if let Some(token) = parse_resume(text) {
        assert_eq!(format_resume(&token), text);
    }
    if let Some(cursor) = parse_cursor(text) {
        assert_eq!(format_cursor(&cursor), text);
    }
    let _ = Codec::negotiate(Some(text));
});
