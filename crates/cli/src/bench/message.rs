//! The few messages of a load test: written by hand, and read as borrowed fields, for there are
//! millions of them. Everything else goes through the protocol's own codec.

use serde::Deserialize;

use super::check::status_of;
use super::graph::login_name;

/// The answer to a ping.
pub(crate) const PONG: &[u8] = br#"{"t":"pong"}"#;
/// A sign of life.
pub(crate) const HEARTBEAT: &[u8] = br#"{"t":"hb"}"#;
/// The goodbye.
pub(crate) const BYE: &[u8] = br#"{"t":"bye"}"#;

/// The fields of a message that a load test looks at, borrowed from the frame.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Patch<'a> {
    /// The kind of message.
    pub(crate) t: &'a str,
    /// Whom it is about.
    #[serde(default)]
    pub(crate) id: Option<&'a str>,
    /// Status word.
    #[serde(default)]
    pub(crate) s: Option<&'a str>,
    /// Project.
    #[serde(default)]
    pub(crate) p: Option<&'a str>,
}

/// The login of a user, with report number 0.
pub(crate) fn hello(user: u32) -> String {
    let (name, status) = (login_name(user), status_of(0));
    format!(r#"{{"t":"hello","as":"dev","token":"{name}","s":"{status}","p":"q0"}}"#)
}

/// Writes the report of that number in place of what `text` held.
pub(crate) fn write_report(text: &mut Vec<u8>, number: u32) {
    text.clear();
    text.extend_from_slice(br#"{"t":"u","s":""#);
    text.extend_from_slice(status_of(number).as_bytes());
    text.extend_from_slice(br#"","p":"q"#);
    write_number(text, number);
    text.extend_from_slice(br#""}"#);
}

fn write_number(text: &mut Vec<u8>, number: u32) {
    let mut digits = [0; 10];
    let mut at = digits.len();
    let mut left = number;
    loop {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    text.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_by_hand_is_what_the_protocol_reads() {
        use presence::report::ReportChange;
        use protocol::json::decode_client;
        use protocol::message::ClientMessage;
        let mut text = Vec::new();
        write_report(&mut text, 17);
        let report = ReportChange::parse(Some(status_of(17)), Some("q17"), None).unwrap();
        let read = decode_client(std::str::from_utf8(&text).unwrap());
        assert_eq!(read, Ok(ClientMessage::Report(report)));
        assert!(matches!(decode_client(&hello(5)), Ok(ClientMessage::Hello(_))));
        for (text, message) in [
            (PONG, ClientMessage::Pong),
            (HEARTBEAT, ClientMessage::Heartbeat),
            (BYE, ClientMessage::Bye { after: None }),
        ] {
            assert_eq!(decode_client(std::str::from_utf8(text).unwrap()), Ok(message));
        }
    }

    #[test]
    fn a_patch_is_read_whatever_else_it_has() {
        let text = br#"{"t":"u","id":"dev_b000001","name":"a\"b","s":"x","new":[1],"p":"q1"}"#;
        let patch: Patch<'_> = serde_json::from_slice(text).unwrap();
        let (id, s, p) = (Some("dev_b000001"), Some("x"), Some("q1"));
        assert_eq!(patch, Patch { t: "u", id, s, p });
    }

    #[test]
    fn numbers_are_written_in_full() {
        for number in [0, 7, 10, 4_294_967_295] {
            let mut text = Vec::new();
            write_number(&mut text, number);
            assert_eq!(text, number.to_string().as_bytes());
        }
    }
}
