//! `docs/protocol.md` against the code: its examples can be read, and its tables leave nothing out.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::Path;

use presence::close::{Close, ErrorCode};
use presence::visibility::Mode;
use protocol::close;
use protocol::codec::Codec;
use protocol::json::{decode_client, decode_server};

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/protocol.md");
    fs::read_to_string(path).unwrap()
}

/// The lines of all fences with that info string.
fn examples<'p>(page: &'p str, info: &str) -> Vec<&'p str> {
    let mut found = Vec::new();
    let mut fence: Option<&str> = None;
    for line in page.lines() {
        match (line.strip_prefix("```"), fence) {
            (Some(info), None) => fence = Some(info),
            (Some(_), Some(_)) => fence = None,
            (None, Some(open)) if open == info => found.push(line),
            (None, _) => {}
        }
    }
    found
}

#[test]
fn every_example_of_a_client_is_taken() {
    let page = page();
    let examples = examples(&page, "json client");
    assert!(examples.len() > 20);
    for example in examples {
        decode_client(example).unwrap_or_else(|refused| panic!("{example}: {refused}"));
    }
}

#[test]
fn every_example_of_a_server_is_read() {
    let page = page();
    let examples = examples(&page, "json server");
    assert!(examples.len() > 20);
    for example in examples {
        decode_server(example).unwrap_or_else(|refused| panic!("{example}: {refused}"));
    }
}

#[test]
fn the_tables_name_every_code_mode_and_subprotocol() {
    let page = page();
    for close in Close::ALL {
        let row = format!("| {} | {} | ", close::code(close), close::name(close));
        assert!(page.contains(&row), "{row}");
    }
    let names = ErrorCode::NAMES.iter().map(|(_, name)| *name);
    for name in names.chain(Mode::NAMES.iter().map(|(_, name)| *name)) {
        assert!(page.contains(&format!("\n| `{name}` | ")), "{name}");
    }
    for codec in Codec::ALL {
        assert!(page.contains(&format!("\n| `{}`", codec.subprotocol())), "{codec:?}");
    }
}
