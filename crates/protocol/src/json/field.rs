//! A client's message as flat fields of any type, before anyone asks what they should be.
//!
//! Reading never fails for a field's type, so that the refusal can name the field and carry the
//! message's `n`. What is nested deeper than the protocol goes is passed over, and never kept.

use std::borrow::Cow;
use std::fmt;

use presence::visibility::HIDDEN_PROJECTS_MAX;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::message::Malformed;

/// The fields of clients' messages that the protocol gives a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
pub(super) enum Key {
    T,
    N,
    Do,
    As,
    Token,
    Name,
    Guest,
    Resume,
    Cursor,
    S,
    P,
    L,
    After,
    Visibility,
    Activity,
    Project,
    Language,
    HiddenProjects,
    Until,
    Id,
    Code,
    Session,
    #[serde(other)]
    Unknown,
}

const KEYS: usize = Key::Unknown as usize;

/// One value, as far as the protocol tells values apart.
#[derive(Debug, Default)]
pub(super) enum Field<'a> {
    /// Not there, or `null`.
    #[default]
    Absent,
    Text(Cow<'a, str>),
    Whole(u64),
    /// Negative, or with a fraction.
    Number(f64),
    /// The first items, one more than any list of the protocol may have.
    List(Vec<Field<'a>>),
    /// A truth value or an object.
    Other,
}

impl<'a> Field<'a> {
    /// A text, or nothing if absent.
    pub(super) fn text(self, name: &str) -> Result<Option<Cow<'a, str>>, Malformed> {
        match self {
            Self::Absent => Ok(None),
            Self::Text(text) => Ok(Some(text)),
            _ => Err(Malformed::bad(format!("`{name}` has to be a text"))),
        }
    }

    /// A text that has to be there.
    pub(super) fn text_due(self, name: &str) -> Result<Cow<'a, str>, Malformed> {
        self.text(name)?.ok_or_else(|| Malformed::bad(format!("`{name}` is missing")))
    }

    /// A list of texts, or nothing if absent.
    pub(super) fn texts(self, name: &str) -> Result<Option<Vec<Cow<'a, str>>>, Malformed> {
        let refused = || Malformed::bad(format!("`{name}` has to be a list of texts"));
        let items = match self {
            Self::Absent => return Ok(None),
            Self::List(items) => items,
            _ => return Err(refused()),
        };
        let text = |item| match item {
            Self::Text(text) => Ok(text),
            _ => Err(refused()),
        };
        items.into_iter().map(text).collect::<Result<_, _>>().map(Some)
    }

    /// A number from zero on, or nothing if absent.
    pub(super) fn positive(self, name: &str) -> Result<Option<f64>, Malformed> {
        match self {
            Self::Absent => Ok(None),
            // Above 2^53 the nearest value that a double has: far beyond every limit.
            Self::Whole(number) => Ok(Some(number as f64)),
            Self::Number(number) if number >= 0.0 => Ok(Some(number)),
            _ => Err(Malformed::bad(format!("`{name}` has to be a number, zero or more"))),
        }
    }

    /// The number, if it is a whole one from zero on.
    pub(super) fn whole(&self) -> Option<u64> {
        match self {
            Self::Whole(number) => Some(*number),
            _ => None,
        }
    }
}

/// A message's known fields.
#[derive(Debug, Default)]
pub(super) struct Fields<'a> {
    known: [Field<'a>; KEYS],
}

impl<'a> Fields<'a> {
    /// Reads one JSON object.
    pub(super) fn read(text: &'a str) -> Result<Self, Malformed> {
        serde_json::from_str(text).map_err(|error| {
            // Of another type than an object, and only then: the error would quote what came.
            if error.is_data() {
                Malformed::bad("a message has to be a JSON object")
            } else {
                Malformed::bad(format!("the message is not JSON: {error}"))
            }
        })
    }

    /// Takes a field out.
    pub(super) fn take(&mut self, key: Key) -> Field<'a> {
        std::mem::take(&mut self.known[key as usize])
    }

    /// The message's number, if it is one.
    pub(super) fn n(&self) -> Option<u64> {
        self.known[Key::N as usize].whole()
    }
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Fields::default();
        while let Some(key) = map.next_key::<Key>()? {
            // Unknown keys come last and have no place.
            match fields.known.get_mut(key as usize) {
                Some(place) => *place = map.next_value()?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(fields)
    }
}

impl<'de> Deserialize<'de> for Field<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldVisitor)
    }
}

struct FieldVisitor;

impl<'de> Visitor<'de> for FieldVisitor {
    type Value = Field<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Field::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Field::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Field::Whole(number))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Field::Number(number as f64))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Field::Number(number))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Field::Other)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Field::Absent)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while items.len() <= HIDDEN_PROJECTS_MAX {
            match list.next_element()? {
                Some(item) => items.push(item),
                None => return Ok(Field::List(items)),
            }
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Field::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Field::Other)
    }
}
