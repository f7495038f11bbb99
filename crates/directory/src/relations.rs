//! Changes of what ties two people, each in one transaction.
//!
//! The rules are in [`crate::pair`]; this module loads a pair, lets the rules decide, and writes
//! what differs. It never writes when nothing does.

use presence::ids::{RelationVersion, UserId};
use presence::relation::Relation;
use presence::time::Timestamp;
use presence::view::Sight;
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use crate::pair::{Act, End, Frozen, Half, Made, Pair};
use crate::people::{moment, number, user_key};
use crate::{Directory, DirectoryError};

/// One direction of a pair: who looks at whom.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Side {
    /// Who looks.
    pub watcher: UserId,
    /// At whom.
    pub subject: UserId,
}

/// What a change of relation did. Both lists are empty when nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RelationChange {
    /// Whose relation version was raised, and to what. Sessions of these read their watch list
    /// again; nobody else notices anything by their own version.
    pub versions: Vec<(UserId, RelationVersion)>,
    /// The directions in which the relation changed, hidden bits included: where a shard holds
    /// that watcher for that subject, this is what it holds from now on.
    pub watchers_hit: Vec<WatcherHit>,
}

/// A watcher whose relation to a subject changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatcherHit {
    /// Who looks at whom.
    pub side: Side,
    /// The relation before.
    pub old: Relation,
    /// The relation after.
    pub new: Relation,
    /// What the watcher had seen until that change, as it was decided and stored.
    pub sight: Sight,
}

/// A pair as it is in the database.
struct Loaded {
    pair: Pair,
    /// What the actor and the other had seen of each other when their relation last changed.
    sights: [Sight; 2],
}

/// The two of a pair: actor, other.
struct Ends<'a> {
    ids: [&'a UserId; 2],
    keys: [i64; 2],
}

impl Ends<'_> {
    const fn key(&self, end: End) -> i64 {
        self.keys[end as usize]
    }

    fn id(&self, end: End) -> UserId {
        self.ids[end as usize].clone()
    }
}

/// Each method is one transaction. `sight` is called within it, once for each direction of the
/// pair whose relation changes, with the side, the old and the new relation and the sight so far;
/// what it returns is stored. Doing anything twice is fine and changes nothing, nor raises a
/// version.
///
/// Errors: `NoSuchUser` when one of the two is unknown, `NotRelated` when they are the same person
/// (or, for [`pin`](Self::pin), not tied), `ReadOnly` and `Unavailable`. After an error nothing has
/// changed.
impl Directory {
    /// `follower` follows `followee`.
    pub async fn follow(
        &self,
        follower: &UserId,
        followee: &UserId,
        sight: impl Fn(Side, Relation, Relation, Sight) -> Sight + Send,
    ) -> Result<RelationChange, DirectoryError> {
        self.change(follower, followee, Act::Follow, sight).await
    }

    /// `follower` no longer follows `followee`. Pins between them go if no other tie is left.
    pub async fn unfollow(
        &self,
        follower: &UserId,
        followee: &UserId,
        sight: impl Fn(Side, Relation, Relation, Sight) -> Sight + Send,
    ) -> Result<RelationChange, DirectoryError> {
        self.change(follower, followee, Act::Unfollow, sight).await
    }

    /// Connects the two, mutually. Both see it, even under a block: both have agreed to it.
    pub async fn connect(
        &self,
        one: &UserId,
        other: &UserId,
        sight: impl Fn(Side, Relation, Relation, Sight) -> Sight + Send,
    ) -> Result<RelationChange, DirectoryError> {
        self.change(one, other, Act::Connect, sight).await
    }

    /// `actor` ends the connection with `other`. Pins between them go if no other tie is left.
    pub async fn remove(
        &self,
        actor: &UserId,
        other: &UserId,
        sight: impl Fn(Side, Relation, Relation, Sight) -> Sight + Send,
    ) -> Result<RelationChange, DirectoryError> {
        self.change(actor, other, Act::Remove, sight).await
    }

    /// `pinner` pins `pinned` as a close friend. Takes a tie that is there already, as far as the
    /// pinner may know: one follows the other, or they are connected.
    pub async fn pin(
        &self,
        pinner: &UserId,
        pinned: &UserId,
        sight: impl Fn(Side, Relation, Relation, Sight) -> Sight + Send,
    ) -> Result<RelationChange, DirectoryError> {
        self.change(pinner, pinned, Act::Pin, sight).await
    }

    /// `pinner` no longer pins `pinned`.
    pub async fn unpin(
        &self,
        pinner: &UserId,
        pinned: &UserId,
        sight: impl Fn(Side, Relation, Relation, Sight) -> Sight + Send,
    ) -> Result<RelationChange, DirectoryError> {
        self.change(pinner, pinned, Act::Unpin, sight).await
    }

    /// `blocker` blocks `blocked`, who keeps what they knew of the relation, frozen.
    pub async fn block(
        &self,
        blocker: &UserId,
        blocked: &UserId,
        sight: impl Fn(Side, Relation, Relation, Sight) -> Sight + Send,
    ) -> Result<RelationChange, DirectoryError> {
        self.change(blocker, blocked, Act::Block, sight).await
    }

    /// `blocker` no longer blocks `blocked`: the true relation shows again.
    pub async fn unblock(
        &self,
        blocker: &UserId,
        blocked: &UserId,
        sight: impl Fn(Side, Relation, Relation, Sight) -> Sight + Send,
    ) -> Result<RelationChange, DirectoryError> {
        self.change(blocker, blocked, Act::Unblock, sight).await
    }

    async fn change(
        &self,
        actor: &UserId,
        other: &UserId,
        act: Act,
        sight: impl Fn(Side, Relation, Relation, Sight) -> Sight + Send,
    ) -> Result<RelationChange, DirectoryError> {
        let not_related =
            || DirectoryError::NotRelated { actor: actor.clone(), other: other.clone() };
        if actor == other {
            return Err(not_related());
        }
        let mut tx = self.write().await?;
        let keys = [user_key(&mut tx, actor).await?, user_key(&mut tx, other).await?];
        let ends = Ends { ids: [actor, other], keys };
        let loaded = load(&mut tx, &ends).await?;
        let made = if act.makes_a_tie() { next_made(&mut tx).await? } else { 0 };
        let next = loaded.pair.after(act, made).map_err(|_| not_related())?;
        if next == loaded.pair {
            return Ok(RelationChange::default());
        }
        let watchers_hit = hits(&loaded, &next, &ends, sight);
        write_pair(&mut tx, &ends, &loaded.pair, &next).await?;
        for (end, hit) in &watchers_hit {
            if hit.sight != loaded.sights[*end as usize] {
                let subject = ends.key(end.opposite());
                write_sight(&mut tx, ends.key(*end), subject, hit.sight).await?;
            }
        }
        let mut versions = Vec::new();
        for end in End::BOTH {
            if loaded.pair.raises(&next, end) {
                versions.push((ends.id(end), raise(&mut tx, ends.key(end)).await?));
            }
        }
        tx.commit().await?;
        let watchers_hit = watchers_hit.into_iter().map(|(_, hit)| hit).collect();
        Ok(RelationChange { versions, watchers_hit })
    }
}

fn hits(
    loaded: &Loaded,
    next: &Pair,
    ends: &Ends<'_>,
    sight: impl Fn(Side, Relation, Relation, Sight) -> Sight,
) -> Vec<(End, WatcherHit)> {
    let changed = End::BOTH.into_iter().filter_map(|end| {
        let (old, new) = (loaded.pair.relation(end), next.relation(end));
        (old != new).then_some((end, old, new))
    });
    changed
        .map(|(end, old, new)| {
            let side = Side { watcher: ends.id(end), subject: ends.id(end.opposite()) };
            let sight = sight(side.clone(), old, new, loaded.sights[end as usize]);
            (end, WatcherHit { side, old, new, sight })
        })
        .collect()
}

/// One row, whatever ties the two: `$1` is the actor, `$2` the other.
const LOAD: &str = "
    SELECT f.made, p.made, x.blocker, x.followed, x.connected, s.changed, s.seen, s.since,
           b.made, q.made, y.blocker, y.followed, y.connected, t.changed, t.seen, t.since,
           k.made
    FROM (SELECT 1 AS row) AS only_one
    LEFT JOIN follows f ON f.follower = $1 AND f.followee = $2
    LEFT JOIN follows b ON b.follower = $2 AND b.followee = $1
    LEFT JOIN pins p ON p.pinner = $1 AND p.pinned = $2
    LEFT JOIN pins q ON q.pinner = $2 AND q.pinned = $1
    LEFT JOIN blocks x ON x.blocker = $1 AND x.blocked = $2
    LEFT JOIN blocks y ON y.blocker = $2 AND y.blocked = $1
    LEFT JOIN sights s ON s.watcher = $1 AND s.subject = $2
    LEFT JOIN sights t ON t.watcher = $2 AND t.subject = $1
    LEFT JOIN connections k ON k.one = $1 AND k.other = $2";

async fn load(
    connection: &mut SqliteConnection,
    ends: &Ends<'_>,
) -> Result<Loaded, DirectoryError> {
    let [actor, other] = ends.keys;
    let row = sqlx::query(LOAD).bind(actor).bind(other).fetch_one(connection).await?;
    let (actor, sight) = load_half(&row, 0)?;
    let (other, sight_back) = load_half(&row, 8)?;
    let pair = Pair { connected: row.try_get(16)?, actor, other };
    Ok(Loaded { pair, sights: [sight, sight_back] })
}

fn load_half(row: &SqliteRow, at: usize) -> Result<(Half, Sight), sqlx::Error> {
    let blocker: Option<i64> = row.try_get(at + 2)?;
    let frozen = Frozen { followed: row.try_get(at + 3)?, connected: row.try_get(at + 4)? };
    let half = Half {
        follows: row.try_get(at)?,
        pins: row.try_get(at + 1)?,
        blocks: blocker.map(|_| frozen),
    };
    let sight = |at: usize| {
        row.try_get(at).map(|micros: Option<i64>| micros.map_or(Timestamp::NEVER, moment))
    };
    let sight = Sight { changed: sight(at + 5)?, seen: sight(at + 6)?, since: sight(at + 7)? };
    Ok((half, sight))
}

async fn next_made(connection: &mut SqliteConnection) -> Result<Made, DirectoryError> {
    Ok(sqlx::query_scalar("UPDATE tie_counter SET last = last + 1 RETURNING last")
        .fetch_one(connection)
        .await?)
}

/// Writes what differs.
async fn write_pair(
    connection: &mut SqliteConnection,
    ends: &Ends<'_>,
    old: &Pair,
    new: &Pair,
) -> Result<(), DirectoryError> {
    for end in End::BOTH {
        let (from, to) = (ends.key(end), ends.key(end.opposite()));
        let (had, has) = (old.half(end), new.half(end));
        write_tie(connection, &FOLLOW, (from, to), had.follows, has.follows).await?;
        write_tie(connection, &PIN, (from, to), had.pins, has.pins).await?;
        write_tie(connection, &CONNECTION, (from, to), old.connected, new.connected).await?;
        if had.blocks != has.blocks {
            write_block(connection, from, to, has.blocks).await?;
        }
    }
    Ok(())
}

/// The statements of one kind of tie.
struct TieStatements {
    insert: &'static str,
    delete: &'static str,
}

const FOLLOW: TieStatements = TieStatements {
    insert: "INSERT INTO follows (follower, followee, made) VALUES ($1, $2, $3)",
    delete: "DELETE FROM follows WHERE follower = $1 AND followee = $2",
};
const PIN: TieStatements = TieStatements {
    insert: "INSERT INTO pins (pinner, pinned, made) VALUES ($1, $2, $3)",
    delete: "DELETE FROM pins WHERE pinner = $1 AND pinned = $2",
};
const CONNECTION: TieStatements = TieStatements {
    insert: "INSERT INTO connections (one, other, made) VALUES ($1, $2, $3)",
    delete: "DELETE FROM connections WHERE one = $1 AND other = $2",
};

async fn write_tie(
    connection: &mut SqliteConnection,
    statements: &TieStatements,
    (from, to): (i64, i64),
    old: Option<Made>,
    new: Option<Made>,
) -> Result<(), DirectoryError> {
    let query = match (old, new) {
        (None, Some(made)) => sqlx::query(statements.insert).bind(from).bind(to).bind(made),
        (Some(_), None) => sqlx::query(statements.delete).bind(from).bind(to),
        (old, new) => {
            assert!(old == new, "a tie keeps its place in the order while it lasts");
            return Ok(());
        }
    };
    query.execute(connection).await?;
    Ok(())
}

async fn write_block(
    connection: &mut SqliteConnection,
    blocker: i64,
    blocked: i64,
    frozen: Option<Frozen>,
) -> Result<(), DirectoryError> {
    let query = match frozen {
        Some(frozen) => sqlx::query(
            "INSERT INTO blocks (blocker, blocked, followed, connected) VALUES ($1, $2, $3, $4)
             ON CONFLICT (blocker, blocked)
             DO UPDATE SET followed = excluded.followed, connected = excluded.connected",
        )
        .bind(blocker)
        .bind(blocked)
        .bind(frozen.followed)
        .bind(frozen.connected),
        None => sqlx::query("DELETE FROM blocks WHERE blocker = $1 AND blocked = $2")
            .bind(blocker)
            .bind(blocked),
    };
    query.execute(connection).await?;
    Ok(())
}

async fn write_sight(
    connection: &mut SqliteConnection,
    watcher: i64,
    subject: i64,
    sight: Sight,
) -> Result<(), DirectoryError> {
    let query = if sight == Sight::default() {
        sqlx::query("DELETE FROM sights WHERE watcher = $1 AND subject = $2")
            .bind(watcher)
            .bind(subject)
    } else {
        sqlx::query(
            "INSERT INTO sights (watcher, subject, changed, seen, since) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (watcher, subject) DO UPDATE
             SET changed = excluded.changed, seen = excluded.seen, since = excluded.since",
        )
        .bind(watcher)
        .bind(subject)
        .bind(number(sight.changed.0))
        .bind(number(sight.seen.0))
        .bind(number(sight.since.0))
    };
    query.execute(connection).await?;
    Ok(())
}

async fn raise(
    connection: &mut SqliteConnection,
    key: i64,
) -> Result<RelationVersion, DirectoryError> {
    let version: i64 = sqlx::query_scalar(
        "UPDATE users SET relations = relations + 1 WHERE key = $1 RETURNING relations",
    )
    .bind(key)
    .fetch_one(connection)
    .await?;
    Ok(RelationVersion(version.unsigned_abs()))
}
