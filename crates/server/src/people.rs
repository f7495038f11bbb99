//! Who people are, asked for by the shards: logins, watch lists, relations, requests that change
//! them. Everything that waits for the directory waits here, never in a shard.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use directory::{Directory, DirectoryError, RelationChange, Side, WatchLimits};
use metrics::counter;
use presence::ask::{Answer, Ask, PreferencesChange, Refusal};
use presence::close::ErrorCode;
use presence::exchange::Request;
use presence::hello::Credentials;
use presence::ids::{RelationVersion, UserId};
use presence::person::{Person, Tie, WatchList};
use presence::relation::Relation;
use presence::view::{PerClass, Presence, Sight};
use store::{SeenBatch, StoreHandle};
use tokio::sync::Semaphore;

use crate::clock::NodeClock;
use crate::identity::{Identity, Known};

/// Requests to the directory that are under way at once; the others wait their turn.
const AT_ONCE: usize = 64;
/// Longest wait for one login or request.
const PATIENCE: Duration = Duration::from_secs(10);
/// Time between two attempts where nothing else can be done.
const RETRY: Duration = Duration::from_millis(500);
/// Longest such time.
const RETRY_MAX: Duration = Duration::from_secs(10);

/// The directory and the identities of one node. Cheap to clone.
#[derive(Clone)]
pub(crate) struct People {
    inner: Arc<Inner>,
}

struct Inner {
    directory: Directory,
    store: StoreHandle,
    identity: Identity,
    limits: WatchLimits,
    clock: NodeClock,
    turns: Semaphore,
}

impl People {
    /// Over an open directory and a running store.
    pub(crate) fn new(
        directory: Directory,
        store: StoreHandle,
        identity: Identity,
        limits: WatchLimits,
        clock: NodeClock,
    ) -> Self {
        let turns = Semaphore::new(AT_ONCE);
        Self { inner: Arc::new(Inner { directory, store, identity, limits, clock, turns }) }
    }

    /// Checks a login and reads the person.
    pub(crate) async fn login(&self, credentials: Credentials) -> Result<Box<Person>, Refusal> {
        let result = self.in_turn(self.inner.login(credentials)).await;
        let outcome = if result.is_ok() { "ok" } else { "refused" };
        counter!("rollcall_logins_total", "result" => outcome).increment(1);
        result
    }

    /// Reads a person who is known to be who they are.
    pub(crate) async fn load(&self, user: &UserId) -> Result<Box<Person>, Refusal> {
        self.in_turn(async {
            let person = self.inner.directory.person(user, &self.inner.limits).await;
            let gone = || DirectoryError::NoSuchUser(user.clone());
            person.and_then(|person| person.ok_or_else(gone)).map(Box::new).map_err(refusal)
        })
        .await
    }

    /// Reads a watch list; none if the directory does not answer.
    pub(crate) async fn watch_list(&self, user: &UserId) -> Option<Box<WatchList>> {
        let list = self.in_turn(async {
            self.inner.directory.watch_list(user, &self.inner.limits).await.map_err(refusal)
        });
        list.await.ok().flatten().map(Box::new)
    }

    /// Reads the relations of a subject to its watchers, however long it takes: until then the
    /// subject's newest state is told to nobody.
    pub(crate) async fn ties(
        &self,
        subject: &UserId,
        watchers: &[UserId],
    ) -> (RelationVersion, Vec<Tie>) {
        loop {
            let ties = self.in_turn(async {
                self.inner.directory.ties(subject, watchers).await.map_err(refusal)
            });
            match ties.await {
                Ok(ties) => return ties,
                Err(refusal) => {
                    tracing::warn!(%subject, reason = %refusal.message, "relations not read; trying again");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    /// Carries out a request that changes the directory, and tells the store. One at a time: see
    /// [`crate::changes`]. It is never given up half way, for the store has to hear of what is done;
    /// the directory has time limits of its own.
    pub(crate) async fn perform(&self, user: &UserId, ask: Ask) -> Result<Answer, Refusal> {
        self.inner.perform(user, ask).await
    }

    /// Writes last seen behind, however often it has to try: the store hands out only a few
    /// batches at once and keeps the rest, so nothing piles up here and nothing is lost.
    pub(crate) async fn write_last_seen(&self, batch: SeenBatch) {
        let mut wait = RETRY;
        while let Err(error) = self.inner.directory.last_seen(&batch).await {
            tracing::warn!(%error, users = batch.len(), "last seen is not written; trying again");
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(RETRY_MAX);
        }
        // A store that has stopped asked for this batch to be the last.
        let _stopped = self.inner.store.seen_written(batch);
    }

    /// Tells the store the preferences of these users as the directory has them: a node that died
    /// may have written them there and not yet in its log.
    pub(crate) async fn confirm_preferences(&self, users: &[UserId]) -> Result<(), DirectoryError> {
        for (user, preferences) in self.inner.directory.preferences_of(users).await? {
            // The node starts: a store that has stopped again is found out elsewhere.
            let _stopped = self.inner.store.request(Request::Preferences { user, preferences });
        }
        Ok(())
    }

    /// Writes the last batch of all, at a stop.
    pub(crate) async fn write_final_last_seen(&self, batch: &[(UserId, PerClass)]) {
        if let Err(error) = self.inner.directory.last_seen(batch).await {
            tracing::error!(%error, users = batch.len(), "last seen is not written");
        }
    }

    /// Whether the directory answers.
    pub(crate) async fn is_answering(&self, patience: Duration) -> bool {
        let nobody: &[UserId] = &[];
        let Ok(probe) = UserId::parse("rollcall-probe") else { return false };
        let answer = tokio::time::timeout(patience, self.inner.directory.ties(&probe, nobody));
        matches!(answer.await, Ok(Ok(_) | Err(DirectoryError::NoSuchUser(_))))
    }

    async fn in_turn<T>(
        &self,
        work: impl Future<Output = Result<T, Refusal>>,
    ) -> Result<T, Refusal> {
        let turn = async {
            let _turn = self.inner.turns.acquire().await;
            work.await
        };
        tokio::time::timeout(PATIENCE, turn).await.unwrap_or_else(|_| {
            let message = "the directory did not answer in time: try again";
            Err(Refusal::new(ErrorCode::IdentityUnavailable, message))
        })
    }
}

impl Inner {
    async fn login(&self, credentials: Credentials) -> Result<Box<Person>, Refusal> {
        let Known { id, name, avatar } = self.identity.check(&credentials)?;
        let found = self.directory.person(&id, &self.limits).await.map_err(refusal)?;
        if let Some(person) = found
            && *person.name == *name
        {
            return Ok(Box::new(person));
        }
        self.directory.ensure_user(&id, &name, &avatar).await.map_err(refusal)?;
        let person = self.directory.person(&id, &self.limits).await.map_err(refusal)?;
        person.map(Box::new).ok_or_else(|| refusal(DirectoryError::NoSuchUser(id)))
    }

    async fn perform(&self, user: &UserId, ask: Ask) -> Result<Answer, Refusal> {
        match ask {
            Ask::Prefs(change) => self.change_preferences(user, change).await,
            Ask::Pin(other) => self.change_relation(user, &other, Change::Pin).await,
            Ask::Unpin(other) => self.change_relation(user, &other, Change::Unpin).await,
            Ask::Block(other) => self.change_relation(user, &other, Change::Block).await,
            Ask::Unblock(other) => self.change_relation(user, &other, Change::Unblock).await,
            Ask::Remove(other) => self.change_relation(user, &other, Change::Remove).await,
            Ask::Manual { .. } | Ask::Invite | Ask::Accept(_) | Ask::Sessions | Ask::Signout(_) => {
                let message = "this request is not one for the directory";
                Err(Refusal::new(ErrorCode::NotSupported, message))
            }
        }
    }

    async fn change_preferences(
        &self,
        user: &UserId,
        change: PreferencesChange,
    ) -> Result<Answer, Refusal> {
        if change.is_empty() {
            let preferences = self.directory.preferences(user).await.map_err(refusal)?;
            return Ok(Answer::Preferences(preferences));
        }
        let preferences = self.directory.change_preferences(user, change).await.map_err(refusal)?;
        let request = Request::Preferences { user: user.clone(), preferences: preferences.clone() };
        self.tell_store(request)?;
        Ok(Answer::Preferences(preferences))
    }

    async fn change_relation(
        &self,
        user: &UserId,
        other: &UserId,
        change: Change,
    ) -> Result<Answer, Refusal> {
        let both = vec![user.clone(), other.clone()];
        let mut states = self.store.read(both).await.map_err(|_| stopped())?;
        let (of_other, of_user) = (states.pop().flatten(), states.pop().flatten());
        let of_user = self.state_of(user, of_user).await?;
        let of_other = self.state_of(other, of_other).await?;
        let now = self.clock.now();
        let sight = |side: Side, old: Relation, new: Relation, sight: Sight| {
            let presence = if side.subject == *user { &of_user } else { &of_other };
            sight.after(presence, old, new, now)
        };
        let directory = &self.directory;
        let changed: RelationChange = match change {
            Change::Pin => directory.pin(user, other, sight).await,
            Change::Unpin => directory.unpin(user, other, sight).await,
            Change::Block => directory.block(user, other, sight).await,
            Change::Unblock => directory.unblock(user, other, sight).await,
            Change::Remove => directory.remove(user, other, sight).await,
        }
        .map_err(refusal)?;
        for (user, version) in changed.versions {
            self.tell_store(Request::Relations { user, version })?;
        }
        Ok(Answer::Done)
    }

    /// A user's state by which a change of relation is judged: the store's, or, of whom that keeps
    /// nothing any more, what the directory knows of when they were last seen.
    async fn state_of(
        &self,
        user: &UserId,
        in_store: Option<Arc<Presence>>,
    ) -> Result<Arc<Presence>, Refusal> {
        if let Some(state) = in_store {
            return Ok(state);
        }
        let briefly = WatchLimits { max: 1, followers: false };
        let person = self.directory.person(user, &briefly).await.map_err(refusal)?;
        let seen = person.map(|person| person.seen).unwrap_or_default();
        Ok(Arc::new(Presence::offline(seen, RelationVersion(0))))
    }

    fn tell_store(&self, request: Request) -> Result<(), Refusal> {
        self.store.request(request).map_err(|_| stopped())
    }
}

enum Change {
    Pin,
    Unpin,
    Block,
    Unblock,
    Remove,
}

fn stopped() -> Refusal {
    Refusal::new(ErrorCode::IdentityUnavailable, "this server is stopping: connect again")
}

#[expect(clippy::needless_pass_by_value, reason = "it stands in `map_err`")]
fn refusal(error: DirectoryError) -> Refusal {
    match &error {
        DirectoryError::NotRelated { .. } => Refusal::new(ErrorCode::NotRelated, error.to_string()),
        DirectoryError::NoSuchUser(_) => Refusal::new(ErrorCode::NoSuchUser, error.to_string()),
        DirectoryError::ReadOnly(_) => {
            tracing::error!(%error, "the directory cannot be written");
            Refusal::new(ErrorCode::ReadOnly, error.to_string())
        }
        DirectoryError::Unavailable(_) => {
            tracing::error!(%error, "the directory does not answer");
            let message = "the directory does not answer: try again later";
            Refusal::new(ErrorCode::IdentityUnavailable, message)
        }
    }
}
