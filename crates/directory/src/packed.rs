//! Many rows in one text: the fields of a row are separated by U+001F, the rows by U+001E, which
//! ASCII has for just that. No text of the directory can have such characters.
//!
//! SQLite runs on a thread of its own, and each row that it hands over wakes the one that waits,
//! which costs more than finding the row. This module never makes such a text: `string_agg` in the
//! statements does.

use std::str::{FromStr, Split};

use presence::ids::{RelationVersion, UserId};
use presence::person::WatchEntry;
use presence::relation::Relation;
use presence::time::Timestamp;
use presence::view::Sight;

use crate::last_seen::seen_from;

/// Separates the fields of a row, as an SQL expression between two others.
macro_rules! next_field {
    () => {
        " || '\u{1f}' || "
    };
}
/// Separates the rows, as an SQL literal.
macro_rules! row_end {
    () => {
        "'\u{1e}'"
    };
}
pub(crate) use {next_field, row_end};

/// The rows of a text; none for the NULL or empty text of no row.
pub(crate) fn rows(text: Option<&str>) -> impl Iterator<Item = Fields<'_>> {
    let text = text.filter(|text| !text.is_empty());
    text.into_iter().flat_map(|text| text.split('\u{1e}')).map(|row| Fields(row.split('\u{1f}')))
}

/// The fields of one row, to be taken in order.
pub(crate) struct Fields<'a>(Split<'a, char>);

impl<'a> Fields<'a> {
    pub(crate) fn text(&mut self) -> Result<&'a str, sqlx::Error> {
        self.0.next().ok_or_else(|| sqlx::Error::Decode("a packed row ends too early".into()))
    }

    fn number<T: FromStr>(&mut self) -> Result<T, sqlx::Error> {
        let text = self.text()?;
        text.parse().map_err(|_| sqlx::Error::Decode(format!("{text:?} is no such number").into()))
    }

    fn moment(&mut self) -> Result<Timestamp, sqlx::Error> {
        self.number().map(Timestamp)
    }

    /// Bits, and the three moments of the sight.
    pub(crate) fn relation(&mut self) -> Result<(Relation, Sight), sqlx::Error> {
        let relation = Relation::from_bits(self.number()?);
        let (changed, seen, since) = (self.moment()?, self.moment()?, self.moment()?);
        Ok((relation, Sight { changed, seen, since }))
    }

    /// A whole row of a watch list.
    pub(crate) fn watch_entry(mut self) -> Result<WatchEntry, sqlx::Error> {
        let (relation, sight) = self.relation()?;
        let relations = RelationVersion(self.number()?);
        let seen = self.number()?;
        let seen = seen_from(seen, Some(self.text()?))?;
        let id = UserId::parse(self.text()?).map_err(|error| sqlx::Error::Decode(error.into()))?;
        let (avatar, name) = (self.text()?.into(), self.text()?.into());
        Ok(WatchEntry { id, name, avatar, relation, sight, relations, seen })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_no_rows_has_none() {
        assert_eq!(rows(None).count(), 0);
        assert_eq!(rows(Some("")).count(), 0);
    }

    #[test]
    fn rows_and_fields_are_found_again_and_empty_ones_count() {
        let mut found = rows(Some("a\u{1f}\u{1e}\u{1f}b"));
        let mut first = found.next().unwrap();
        assert_eq!((first.text().unwrap(), first.text().unwrap()), ("a", ""));
        assert!(first.text().is_err(), "a row that ends too early is an error");
        let mut second = found.next().unwrap();
        assert_eq!((second.text().unwrap(), second.text().unwrap()), ("", "b"));
        assert!(found.next().is_none());
    }
}
