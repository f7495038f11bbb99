//! When people were last seen, written behind in batches.
//!
//! This module never lets an older moment take the place of a newer one.

use std::collections::HashMap;

use presence::ids::UserId;
use presence::relation::{CLASSES, Class};
use presence::time::Timestamp;
use presence::view::PerClass;
use sqlx::sqlite::SqliteConnection;
use sqlx::{QueryBuilder, Row, Sqlite};

use crate::people::{moment, number};
use crate::{Directory, DirectoryError};

/// Most users that one statement reads or writes.
const USERS_PER_STATEMENT: usize = 500;

/// What a batch of last seen came to. The three add up to the different users of the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LastSeenReport {
    /// Users who are later now than before.
    pub written: usize,
    /// Users of whom the directory knew this already, or something later.
    pub unchanged: usize,
    /// Users whom the directory does not know.
    pub unknown: usize,
}

/// A user's last seen, to be written.
struct Later {
    key: i64,
    seen: PerClass,
}

impl Directory {
    /// Writes a batch of last seen in one transaction. Each class keeps the latest of what it had
    /// and what is given; a user who is given twice, too.
    pub async fn last_seen(
        &self,
        batch: &[(UserId, PerClass)],
    ) -> Result<LastSeenReport, DirectoryError> {
        let mut given: HashMap<&UserId, PerClass> = HashMap::with_capacity(batch.len());
        for (user, seen) in batch {
            let held = given.entry(user).or_default();
            *held = latest(held, seen);
        }
        if given.is_empty() {
            return Ok(LastSeenReport::default());
        }
        let given: Vec<(&UserId, PerClass)> = given.into_iter().collect();
        let mut report = LastSeenReport::default();
        let mut tx = self.write().await?;
        for chunk in given.chunks(USERS_PER_STATEMENT) {
            let held = held(&mut tx, chunk).await?;
            let mut later = Vec::with_capacity(chunk.len());
            for (user, seen) in chunk {
                match held.get(user.as_str()) {
                    None => report.unknown += 1,
                    Some((key, held)) => match latest(held, seen) {
                        seen if seen == *held => report.unchanged += 1,
                        seen => later.push(Later { key: *key, seen }),
                    },
                }
            }
            write(&mut tx, &later).await?;
            report.written += later.len();
        }
        tx.commit().await?;
        Ok(report)
    }
}

async fn held(
    connection: &mut SqliteConnection,
    users: &[(&UserId, PerClass)],
) -> Result<HashMap<String, (i64, PerClass)>, DirectoryError> {
    let mut query =
        QueryBuilder::<Sqlite>::new("SELECT id, key, seen, seen_each FROM users WHERE id IN (");
    let mut list = query.separated(", ");
    for (user, _) in users {
        list.push_bind(user.as_str());
    }
    query.push(")");
    let rows =
        query.build().persistent(users.len() == USERS_PER_STATEMENT).fetch_all(connection).await?;
    let held = rows.iter().map(|row| {
        Ok((row.try_get(0)?, (row.try_get(1)?, seen_from(row.try_get(2)?, row.try_get(3)?)?)))
    });
    Ok(held.collect::<Result<_, sqlx::Error>>()?)
}

async fn write(connection: &mut SqliteConnection, later: &[Later]) -> Result<(), DirectoryError> {
    if later.is_empty() {
        return Ok(());
    }
    let mut query = QueryBuilder::<Sqlite>::new("WITH later (key, seen, seen_each) AS (");
    query.push_values(later, |mut row, later| {
        row.push_bind(later.key)
            .push_bind(number(later.seen.latest().0))
            .push_bind(each_to_text(&later.seen));
    });
    query.push(
        ") UPDATE users SET seen = later.seen, seen_each = later.seen_each
         FROM later WHERE users.key = later.key",
    );
    query.build().persistent(later.len() == USERS_PER_STATEMENT).execute(connection).await?;
    Ok(())
}

/// The later of two moments, for each class.
fn latest(one: &PerClass, other: &PerClass) -> PerClass {
    if let (PerClass::Same(one), PerClass::Same(other)) = (one, other) {
        return PerClass::Same(*one.max(other));
    }
    let mut each = [Timestamp::NEVER; CLASSES];
    for class in Class::all() {
        each[class.index()] = one.get(class).max(other.get(class));
    }
    from_each(each)
}

/// Stored once while all agree.
fn from_each(each: [Timestamp; CLASSES]) -> PerClass {
    if each.iter().all(|at| *at == each[0]) {
        PerClass::Same(each[0])
    } else {
        PerClass::Each(Box::new(each))
    }
}

fn each_to_text(seen: &PerClass) -> Option<String> {
    match seen {
        PerClass::Same(_) => None,
        PerClass::Each(each) => {
            let moments: Vec<String> = each.iter().map(|at| number(at.0).to_string()).collect();
            Some(moments.join(","))
        }
    }
}

/// From the columns `seen` and `seen_each`; the latter is NULL or empty while all classes agree.
pub(crate) fn seen_from(seen: i64, each: Option<&str>) -> Result<PerClass, sqlx::Error> {
    let Some(text) = each.filter(|text| !text.is_empty()) else {
        return Ok(PerClass::Same(moment(seen)));
    };
    let wrong = || sqlx::Error::Decode(format!("{text:?} is not one moment per class").into());
    let moments: Option<Vec<Timestamp>> =
        text.split(',').map(|micros| micros.parse().ok().map(moment)).collect();
    let each = moments.ok_or_else(wrong)?.try_into().map_err(|_| wrong())?;
    Ok(from_each(each))
}
