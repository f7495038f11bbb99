//! Reading relations: whom a user hears about, and what given watchers are to a subject.
//!
//! This module never writes. What a blocked watcher gets is what it knew when the block was made;
//! see [`crate::pair`].

use std::collections::HashMap;

use presence::ids::{RelationVersion, UserId};
use presence::person::{Tie, WatchList};
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Row};

use crate::packed::{self, next_field, row_end};
use crate::{Directory, DirectoryError, WatchLimits};

/// Most watchers whose ties one statement reads. A power of two, see [`ties_statement`].
const TIES_PER_STATEMENT: usize = 512;

/// The watch list of the user `me`, at most `$2` entries, packed. `place` orders it: each rank
/// (pinned, connected, following, followers) has a range of 2^56 of its own, in which newer ties come
/// first.
///
/// Each kind of tie is one range of a table, summed up per subject: cheaper than a look into each
/// table for each entry. Only the subject, its follow and its pin are looked up, for a star has too
/// many followers to read. The bits are those of `Relation`, and 64 marks whom `me` blocks.
///
/// `LIMIT $2 + 0`, for SQLite would plan a statement with a bare `LIMIT $2` again at each use.
macro_rules! packed_list {
    ($followers:expr) => {
        concat!(
            "WITH ties (subject, place, bits, changed, seen, since) AS (
                SELECT pinned, -made, 8, 0, 0, 0 FROM pins WHERE pinner = me.key
                UNION ALL
                SELECT c.other, 72057594037927936 - c.made, 4, 0, 0, 0 FROM connections c
                WHERE c.one = me.key AND NOT EXISTS
                    (SELECT 1 FROM blocks WHERE blocker = c.other AND blocked = me.key)
                UNION ALL
                SELECT followee, 144115188075855872 - made, 1, 0, 0, 0 FROM follows
                WHERE follower = me.key
                UNION ALL
                SELECT blocker, 72057594037927936 - connected,
                    32 + CASE WHEN followed IS NULL THEN 0 ELSE 2 END
                       + CASE WHEN connected IS NULL THEN 0 ELSE 4 END, 0, 0, 0
                FROM blocks WHERE blocked = me.key
                UNION ALL
                SELECT blocked, NULL, 64, 0, 0, 0 FROM blocks WHERE blocker = me.key
                UNION ALL
                SELECT subject, NULL, 0, changed, seen, since FROM sights
                WHERE watcher = me.key",
            $followers,
            "), chosen (subject, place, bits, changed, seen, since) AS (
                SELECT subject, MIN(place), SUM(bits), MAX(changed), MAX(seen), MAX(since)
                FROM ties GROUP BY subject HAVING MIN(place) IS NOT NULL AND SUM(bits) < 64
                ORDER BY 2 LIMIT $2 + 0
            )
            SELECT string_agg((c.bits
                + CASE WHEN b.made IS NULL THEN 0 ELSE 2 END
                + CASE WHEN q.made IS NULL THEN 0 ELSE 16 END)",
            next_field!(),
            "c.changed",
            next_field!(),
            "c.seen",
            next_field!(),
            "c.since",
            next_field!(),
            "u.relations",
            next_field!(),
            "u.seen",
            next_field!(),
            "COALESCE(u.seen_each, '')",
            next_field!(),
            "u.id",
            next_field!(),
            "u.avatar",
            next_field!(),
            "u.name, ",
            row_end!(),
            " ORDER BY c.place)
             FROM chosen c JOIN users u ON u.key = c.subject
             LEFT JOIN follows b
                 ON b.follower = c.subject AND b.followee = me.key AND c.bits < 32
             LEFT JOIN pins q ON q.pinner = c.subject AND q.pinned = me.key"
        )
    };
}

/// The user `$1` with the watch list: one statement, and so as of one moment.
macro_rules! person {
    ($followers:expr) => {
        concat!(
            "SELECT me.relations, (",
            packed_list!($followers),
            "), me.name, me.avatar, me.seen, me.seen_each,
                v.visibility, v.activity, v.project, v.language, v.hidden_projects
             FROM users me LEFT JOIN preferences v ON v.person = me.key
             WHERE me.id = $1"
        )
    };
}

const PERSON: &str = person!("");

// Only the newest `$2` followers are looked at: the others can have no place on the list.
const PERSON_WITH_FOLLOWERS: &str = person!(
    " UNION ALL
      SELECT follower, place, 0, 0, 0, 0 FROM (
          SELECT n.follower AS follower, 216172782113783808 - n.made AS place FROM follows n
          WHERE n.followee = me.key
            AND NOT EXISTS (SELECT 1 FROM blocks WHERE blocker = me.key AND blocked = n.follower)
            AND NOT EXISTS (SELECT 1 FROM blocks WHERE blocker = n.follower AND blocked = me.key)
          ORDER BY n.made DESC LIMIT $2 + 0
      ) AS newest
      UNION ALL
      SELECT blocker, 216172782113783808 - followed, 0, 0, 0, 0 FROM blocks
      WHERE blocked = me.key"
);

impl Directory {
    /// Whom the user hears about; nothing if nobody has that id.
    pub async fn watch_list(
        &self,
        user: &UserId,
        limits: &WatchLimits,
    ) -> Result<Option<WatchList>, DirectoryError> {
        let row = person_row(self, user, limits).await?;
        row.map(|row| list_from_row(&row)).transpose()
    }

    /// What each watcher is to the subject, in the order given, and the version of the subject's
    /// relations, as of one moment. A watcher whom the directory does not know has no tie.
    pub async fn ties(
        &self,
        subject: &UserId,
        watchers: &[UserId],
    ) -> Result<(RelationVersion, Vec<Tie>), DirectoryError> {
        let mut tx = self.read().await?;
        let (key, relations): (i64, i64) =
            sqlx::query_as("SELECT key, relations FROM users WHERE id = $1")
                .bind(subject.as_str())
                .fetch_optional(&mut *tx)
                .await?
                .ok_or_else(|| DirectoryError::NoSuchUser(subject.clone()))?;
        let mut ties = Vec::with_capacity(watchers.len());
        for chunk in watchers.chunks(TIES_PER_STATEMENT) {
            read_ties(&mut tx, key, chunk, &mut ties).await?;
        }
        tx.commit().await?;
        Ok((RelationVersion(relations.unsigned_abs()), ties))
    }
}

/// Relation version, packed watch list, name, avatar, the two columns of last seen, and the five of
/// preferences.
pub(crate) async fn person_row(
    directory: &Directory,
    user: &UserId,
    limits: &WatchLimits,
) -> Result<Option<SqliteRow>, DirectoryError> {
    let statement = if limits.followers { PERSON_WITH_FOLLOWERS } else { PERSON };
    Ok(sqlx::query(statement)
        .bind(user.as_str())
        .bind(i64::try_from(limits.max).unwrap_or(i64::MAX))
        .fetch_optional(directory.readers())
        .await?)
}

/// The watch list of a [`person_row`].
pub(crate) fn list_from_row(row: &SqliteRow) -> Result<WatchList, DirectoryError> {
    let relations: i64 = row.try_get(0)?;
    let entries: Result<_, sqlx::Error> =
        packed::rows(row.try_get(1)?).map(packed::Fields::watch_entry).collect();
    Ok(WatchList { relations: RelationVersion(relations.unsigned_abs()), entries: entries? })
}

/// What ties users `w` to the subject `$1`, packed as [`packed::Fields::relation`] takes it.
const TIES: &str = concat!(
    "SELECT string_agg(w.id",
    next_field!(),
    "(CASE WHEN f.made IS NULL THEN 0 ELSE 1 END
        + CASE WHEN p.made IS NULL THEN 0 ELSE 8 END
        + CASE WHEN q.made IS NULL THEN 0 ELSE 16 END
        + CASE WHEN x.blocker IS NULL
               THEN CASE WHEN b.made IS NULL THEN 0 ELSE 2 END
                  + CASE WHEN k.made IS NULL THEN 0 ELSE 4 END
               ELSE CASE WHEN x.followed IS NULL THEN 0 ELSE 2 END
                  + CASE WHEN x.connected IS NULL THEN 0 ELSE 4 END
                  + 32 END)",
    next_field!(),
    "COALESCE(s.changed, 0)",
    next_field!(),
    "COALESCE(s.seen, 0)",
    next_field!(),
    "COALESCE(s.since, 0), ",
    row_end!(),
    ") FROM users w
     LEFT JOIN follows f ON f.follower = w.key AND f.followee = $1
     LEFT JOIN follows b ON b.follower = $1 AND b.followee = w.key
     LEFT JOIN connections k ON k.one = w.key AND k.other = $1
     LEFT JOIN pins p ON p.pinner = w.key AND p.pinned = $1
     LEFT JOIN pins q ON q.pinner = $1 AND q.pinned = w.key
     LEFT JOIN blocks x ON x.blocker = $1 AND x.blocked = w.key
     LEFT JOIN sights s ON s.watcher = w.key AND s.subject = $1
     WHERE w.id IN ($2"
);

/// [`TIES`] for that many watchers.
fn ties_statement(watchers: usize) -> String {
    let mut statement = TIES.to_owned();
    for number in 3..watchers + 2 {
        statement.push_str(", $");
        statement.push_str(&number.to_string());
    }
    statement.push(')');
    statement
}

async fn read_ties(
    connection: &mut SqliteConnection,
    subject: i64,
    watchers: &[UserId],
    ties: &mut Vec<Tie>,
) -> Result<(), DirectoryError> {
    let [.., last] = watchers else { return Ok(()) };
    // Filled up to a power of two with the last one again, so that there are few different
    // statements and each is prepared only once.
    let width = watchers.len().next_power_of_two();
    let mut query = sqlx::query(AssertSqlSafe(ties_statement(width))).bind(subject);
    for number in 0..width {
        query = query.bind(watchers.get(number).unwrap_or(last).as_str());
    }
    let row = query.fetch_one(connection).await?;
    let mut found = HashMap::with_capacity(watchers.len());
    for mut fields in packed::rows(row.try_get(0)?) {
        found.insert(fields.text()?, fields.relation()?);
    }
    ties.extend(watchers.iter().map(|watcher| {
        let (relation, sight) = found.get(watcher.as_str()).copied().unwrap_or_default();
        Tie { watcher: watcher.clone(), relation, sight }
    }));
    Ok(())
}
