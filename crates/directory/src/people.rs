//! Users: who they are and what they show to whom.
//!
//! This module never changes relations and never writes when nothing differs.

use std::borrow::Cow;

use presence::ask::PreferencesChange;
use presence::glob::Glob;
use presence::ids::UserId;
use presence::person::Person;
use presence::text;
use presence::time::Timestamp;
use presence::visibility::{Mode, Preferences};
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Row};

use crate::last_seen::seen_from;
use crate::watch_list::{list_from_row, person_row};
use crate::{Directory, DirectoryError, WatchLimits};

const PREFERENCES: &str = "
    SELECT u.key, p.visibility, p.activity, p.project, p.language, p.hidden_projects
    FROM users u LEFT JOIN preferences p ON p.person = u.key
    WHERE u.id = $1";

/// Users asked for in one statement.
const USERS_PER_STATEMENT: usize = 512;

/// [`PREFERENCES`] of so many users, their ids in place of the keys.
fn preferences_of_many() -> String {
    let ids: Vec<String> = (1..=USERS_PER_STATEMENT).map(|number| format!("${number}")).collect();
    format!(
        "SELECT u.id, p.visibility, p.activity, p.project, p.language, p.hidden_projects
         FROM users u LEFT JOIN preferences p ON p.person = u.key
         WHERE u.id IN ({})",
        ids.join(", ")
    )
}

impl Directory {
    /// Makes the user if missing, and brings name and avatar up to date if they differ. Characters
    /// that may never be shown to others, see [`text::is_forbidden`], are left out of both.
    pub async fn ensure_user(
        &self,
        user: &UserId,
        name: &str,
        avatar: &str,
    ) -> Result<(), DirectoryError> {
        let (name, avatar) = (&*shown(name), &*shown(avatar));
        // Nearly always nothing differs, and reading does not wait for whoever writes.
        let held = sqlx::query("SELECT name, avatar FROM users WHERE id = $1")
            .bind(user.as_str())
            .fetch_optional(self.readers())
            .await?;
        if let Some(held) = held
            && held.try_get::<&str, _>(0)? == name
            && held.try_get::<&str, _>(1)? == avatar
        {
            return Ok(());
        }
        let mut tx = self.write().await?;
        sqlx::query(
            "INSERT INTO users (id, name, avatar) VALUES ($1, $2, $3)
             ON CONFLICT (id) DO UPDATE SET name = excluded.name, avatar = excluded.avatar",
        )
        .bind(user.as_str())
        .bind(name)
        .bind(avatar)
        .execute(&mut *tx)
        .await?;
        Ok(tx.commit().await?)
    }

    /// All that a session needs to know of its user, as of one moment; nothing if nobody has that
    /// id.
    pub async fn person(
        &self,
        user: &UserId,
        limits: &WatchLimits,
    ) -> Result<Option<Person>, DirectoryError> {
        let Some(row) = person_row(self, user, limits).await? else { return Ok(None) };
        Ok(Some(Person {
            id: user.clone(),
            name: row.try_get::<&str, _>(2)?.into(),
            avatar: row.try_get::<&str, _>(3)?.into(),
            preferences: preferences_from_row(&row, 6)?,
            seen: seen_from(row.try_get(4)?, row.try_get(5)?)?,
            watch_list: list_from_row(&row)?,
        }))
    }

    /// What the user shows to whom.
    pub async fn preferences(&self, user: &UserId) -> Result<Preferences, DirectoryError> {
        let found =
            sqlx::query(PREFERENCES).bind(user.as_str()).fetch_optional(self.readers()).await?;
        let row = found.ok_or_else(|| DirectoryError::NoSuchUser(user.clone()))?;
        Ok(preferences_from_row(&row, 1)?)
    }

    /// What each of these users shows to whom. Users whom the directory does not know are left out.
    pub async fn preferences_of(
        &self,
        users: &[UserId],
    ) -> Result<Vec<(UserId, Preferences)>, DirectoryError> {
        let mut found = Vec::with_capacity(users.len());
        for some in users.chunks(USERS_PER_STATEMENT) {
            let [.., last] = some else { continue };
            // Filled up with the last one again, so that there is one statement to prepare.
            let mut query = sqlx::query(AssertSqlSafe(preferences_of_many()));
            for number in 0..USERS_PER_STATEMENT {
                query = query.bind(some.get(number).unwrap_or(last).as_str());
            }
            for row in query.fetch_all(self.readers()).await? {
                let id = UserId::parse(row.try_get(0)?)
                    .map_err(|error| sqlx::Error::Decode(error.into()))?;
                found.push((id, preferences_from_row(&row, 1)?));
            }
        }
        Ok(found)
    }

    /// Changes what the user shows to whom, and tells how it is now.
    pub async fn change_preferences(
        &self,
        user: &UserId,
        change: PreferencesChange,
    ) -> Result<Preferences, DirectoryError> {
        if change.is_empty() {
            return self.preferences(user).await;
        }
        let mut tx = self.write().await?;
        let found = sqlx::query(PREFERENCES).bind(user.as_str()).fetch_optional(&mut *tx).await?;
        let row = found.ok_or_else(|| DirectoryError::NoSuchUser(user.clone()))?;
        let held = preferences_from_row(&row, 1)?;
        let mut next = held.clone();
        change.apply(&mut next);
        if next != held {
            write_preferences(&mut tx, row.try_get(0)?, &next).await?;
            tx.commit().await?;
        }
        Ok(next)
    }
}

async fn write_preferences(
    connection: &mut SqliteConnection,
    person: i64,
    preferences: &Preferences,
) -> Result<(), DirectoryError> {
    // A pattern has no control characters, so a line each is unambiguous.
    let patterns: Vec<&str> = preferences.hidden_projects.iter().map(Glob::as_str).collect();
    sqlx::query(
        "INSERT INTO preferences
             (person, visibility, activity, project, language, hidden_projects)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (person) DO UPDATE SET
             visibility = excluded.visibility, activity = excluded.activity,
             project = excluded.project, language = excluded.language,
             hidden_projects = excluded.hidden_projects",
    )
    .bind(person)
    .bind(preferences.visibility.name())
    .bind(preferences.activity.name())
    .bind(preferences.project.name())
    .bind(preferences.language.name())
    .bind(patterns.join("\n"))
    .execute(connection)
    .await?;
    Ok(())
}

/// Reads the five columns of preferences from `at` on; all NULL for whoever never changed any.
fn preferences_from_row(row: &SqliteRow, at: usize) -> Result<Preferences, sqlx::Error> {
    let Some(patterns) = row.try_get::<Option<&str>, _>(at + 4)? else {
        return Ok(Preferences::default());
    };
    let mode = |at: usize| {
        let name: &str = row.try_get(at)?;
        Mode::parse(name)
            .ok_or_else(|| sqlx::Error::Decode(format!("unknown mode {name:?}").into()))
    };
    let hidden_projects = patterns
        .lines()
        .map(|pattern| Glob::parse(pattern).map_err(|error| sqlx::Error::Decode(error.into())))
        .collect::<Result<_, _>>()?;
    Ok(Preferences {
        visibility: mode(at)?,
        activity: mode(at + 1)?,
        project: mode(at + 2)?,
        language: mode(at + 3)?,
        hidden_projects,
    })
}

/// Identity providers are not asked to mind what may be shown, and [`crate::packed`] relies on it.
fn shown(words: &str) -> Cow<'_, str> {
    if words.contains(text::is_forbidden) {
        Cow::Owned(words.replace(text::is_forbidden, ""))
    } else {
        Cow::Borrowed(words)
    }
}

/// The integer that stands for the user in the tables of relations.
pub(crate) async fn user_key(
    connection: &mut SqliteConnection,
    user: &UserId,
) -> Result<i64, DirectoryError> {
    sqlx::query_scalar("SELECT key FROM users WHERE id = $1")
        .bind(user.as_str())
        .fetch_optional(connection)
        .await?
        .ok_or_else(|| DirectoryError::NoSuchUser(user.clone()))
}

/// Moments are stored as SQL's signed integers, which last for 292,000 years.
pub(crate) fn number(micros: u64) -> i64 {
    i64::try_from(micros).unwrap_or(i64::MAX)
}

pub(crate) fn moment(micros: i64) -> Timestamp {
    Timestamp(u64::try_from(micros).unwrap_or(0))
}
