//! Writes JSON objects straight into a buffer, field by field.
//!
//! Keys are the protocol's own and are never escaped; values always are.

use serde::Serialize;

/// An object being written: what is appended between its braces.
pub(super) struct Object<'v> {
    out: &'v mut Vec<u8>,
    filled: bool,
}

impl<'v> Object<'v> {
    /// Opens an object.
    pub(super) fn open(out: &'v mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, filled: false }
    }

    /// Opens a message of a kind.
    pub(super) fn message(out: &'v mut Vec<u8>, kind: &str) -> Self {
        let mut object = Self::open(out);
        object.text("t", kind);
        object
    }

    /// Closes the object.
    pub(super) fn close(self) {
        self.out.push(b'}');
    }

    pub(super) fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        value_to(self.out, value);
    }

    pub(super) fn text_if(&mut self, key: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(key, value);
        }
    }

    /// A text that is left out when empty.
    pub(super) fn text_filled(&mut self, key: &str, value: &str) {
        if !value.is_empty() {
            self.text(key, value);
        }
    }

    pub(super) fn number(&mut self, key: &str, value: u64) {
        self.key(key);
        value_to(self.out, &value);
    }

    pub(super) fn number_if(&mut self, key: &str, value: Option<u64>) {
        if let Some(value) = value {
            self.number(key, value);
        }
    }

    /// A number that may have a fraction; it has to be finite.
    pub(super) fn fraction(&mut self, key: &str, value: f64) {
        self.key(key);
        value_to(self.out, &value);
    }

    pub(super) fn truth(&mut self, key: &str, value: bool) {
        self.key(key);
        value_to(self.out, &value);
    }

    /// A mark: `true`, or left out.
    pub(super) fn mark(&mut self, key: &str, value: bool) {
        if value {
            self.truth(key, true);
        }
    }

    /// A list, each item written by `write`.
    pub(super) fn list<T>(
        &mut self,
        key: &str,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(T, &mut Vec<u8>),
    ) {
        self.key(key);
        self.out.push(b'[');
        for (place, item) in items.into_iter().enumerate() {
            if place > 0 {
                self.out.push(b',');
            }
            write(item, self.out);
        }
        self.out.push(b']');
    }

    fn key(&mut self, key: &str) {
        if self.filled {
            self.out.push(b',');
        }
        self.filled = true;
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
    }
}

/// Writes a text, number or truth value.
pub(super) fn value_to<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(out, value).expect("a buffer takes any text, number or truth value");
}
