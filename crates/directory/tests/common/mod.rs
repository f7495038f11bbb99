//! A directory in a folder of its own, and relations written as sentences.
#![allow(dead_code, reason = "each test file uses its own part of this")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use directory::{Directory, DirectoryError, RelationChange, Side, WatchLimits};
use presence::ids::UserId;
use presence::person::Tie;
use presence::relation::Relation;
use presence::view::Sight;

/// The default of `--watch-list-max`, without `--watch-followers`.
pub(crate) const LIMITS: WatchLimits = WatchLimits { max: 2000, followers: false };
/// The same with `--watch-followers`.
pub(crate) const WITH_FOLLOWERS: WatchLimits = WatchLimits { max: 2000, followers: true };

pub(crate) fn id(text: &str) -> UserId {
    UserId::parse(text).expect("tests name users well")
}

/// Sight for tests that are not about it.
pub(crate) fn same(_: Side, _: Relation, _: Relation, sight: Sight) -> Sight {
    sight
}

/// All files of a folder with their bytes.
pub(crate) fn bytes_of(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = std::fs::read_dir(folder).expect("the folder is there");
    entries
        .map(|entry| {
            let path = entry.expect("the folder can be read").path();
            let bytes = std::fs::read(&path).expect("the file can be read");
            (path, bytes)
        })
        .collect()
}

pub(crate) struct World {
    pub(crate) directory: Directory,
    pub(crate) folder: tempfile::TempDir,
}

impl World {
    /// A new directory with these users.
    pub(crate) async fn of(users: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let directory =
            Directory::open(&folder.path().join("directory.sqlite")).await.expect("a new file");
        for user in users {
            directory.ensure_user(&id(user), user, "").await.expect("a new user");
        }
        Self { directory, folder }
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("directory.sqlite")
    }

    /// Does what a sentence such as `ada follows bob` says, with that function for the sight.
    pub(crate) async fn act_seeing(
        &self,
        sentence: &str,
        sight: impl Fn(Side, Relation, Relation, Sight) -> Sight + Send,
    ) -> Result<RelationChange, DirectoryError> {
        let words: Vec<&str> = sentence.split(' ').collect();
        let [actor, act, other] = words[..] else { panic!("{sentence:?} is no sentence") };
        let (actor, other, directory) = (&id(actor), &id(other), &self.directory);
        match act {
            "follows" => directory.follow(actor, other, sight).await,
            "unfollows" => directory.unfollow(actor, other, sight).await,
            "connects" => directory.connect(actor, other, sight).await,
            "removes" => directory.remove(actor, other, sight).await,
            "pins" => directory.pin(actor, other, sight).await,
            "unpins" => directory.unpin(actor, other, sight).await,
            "blocks" => directory.block(actor, other, sight).await,
            "unblocks" => directory.unblock(actor, other, sight).await,
            _ => panic!("{act:?} is no act"),
        }
    }

    pub(crate) async fn act(&self, sentence: &str) -> Result<RelationChange, DirectoryError> {
        self.act_seeing(sentence, same).await
    }

    /// Does all of these.
    pub(crate) async fn acts(&self, sentences: &[&str]) {
        for sentence in sentences {
            self.act(sentence).await.expect(sentence);
        }
    }

    /// The watch list as `id r` with what the watcher may know.
    pub(crate) async fn list(&self, user: &str, limits: &WatchLimits) -> Vec<String> {
        let list = self.directory.watch_list(&id(user), limits).await.expect("a list");
        let entries = list.expect("a known user").entries;
        entries.iter().map(|entry| format!("{} {}", entry.id, entry.relation.known())).collect()
    }

    pub(crate) async fn tie(&self, watcher: &str, subject: &str) -> Tie {
        let (_, ties) = self.directory.ties(&id(subject), &[id(watcher)]).await.expect("ties");
        ties.into_iter().next().expect("one tie for one watcher")
    }

    pub(crate) async fn version(&self, user: &str) -> u64 {
        let list = self.directory.watch_list(&id(user), &LIMITS).await.expect("a list");
        list.expect("a known user").relations.0
    }
}

/// Whose version a change raised.
pub(crate) fn raised(change: &RelationChange) -> Vec<&str> {
    change.versions.iter().map(|(user, _)| user.as_str()).collect()
}
