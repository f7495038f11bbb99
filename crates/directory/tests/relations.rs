//! Follows, connections and pins: who hears about whom, in which order, and what each change tells.

mod common;

use std::sync::Mutex;

use common::{LIMITS, WITH_FOLLOWERS, World, id, raised, same};
use directory::{DirectoryError, RelationChange, Side, WatchLimits};
use presence::ids::RelationVersion;
use presence::relation::Relation;
use presence::time::Timestamp;
use presence::view::Sight;

#[tokio::test]
async fn a_watch_list_has_whom_one_follows_is_connected_with_or_has_pinned() {
    let world = World::of(&["ada", "bob", "cy", "eve"]).await;
    world.acts(&["ada follows bob", "cy connects ada", "eve follows ada"]).await;
    assert_eq!(world.list("ada", &LIMITS).await, ["cy 4", "bob 1"]);
    world.acts(&["ada pins eve"]).await;
    assert_eq!(world.list("ada", &LIMITS).await, ["eve 10", "cy 4", "bob 1"]);
    assert_eq!(world.list("bob", &LIMITS).await, [""; 0], "being followed alone is not watching");
}

#[tokio::test]
async fn followers_are_on_the_list_only_where_the_setting_says_so() {
    let world = World::of(&["ada", "bob", "cy"]).await;
    world.acts(&["bob follows ada", "cy follows ada", "ada follows cy"]).await;
    assert_eq!(world.list("ada", &LIMITS).await, ["cy 3"]);
    assert_eq!(world.list("ada", &WITH_FOLLOWERS).await, ["cy 3", "bob 2"]);
}

#[tokio::test]
async fn a_list_goes_pinned_connected_following_followers_and_newest_first_within_each() {
    let names = ["me", "p1", "p2", "c1", "c2", "f1", "f2", "b1", "b2"];
    let world = World::of(&names).await;
    world
        .acts(&[
            "b1 follows me",
            "me follows f1",
            "me connects c1",
            "me follows p1",
            "me connects p2",
            "me pins p1",
            "me pins p2",
            "c2 connects me",
            "me follows f2",
            "b2 follows me",
        ])
        .await;
    let all = ["p2 12", "p1 9", "c2 4", "c1 4", "f2 1", "f1 1", "b2 2", "b1 2"];
    for max in [0, 1, 3, 5, 7, 8, 9] {
        let limits = WatchLimits { max, followers: true };
        assert_eq!(world.list("me", &limits).await, all[..max.min(8)], "at most {max}");
        let limits = WatchLimits { max, followers: false };
        assert_eq!(world.list("me", &limits).await, all[..max.min(6)], "at most {max}");
    }
}

#[tokio::test]
async fn a_relation_tells_what_both_did_and_keeps_apart_what_is_secret() {
    let world = World::of(&["ada", "bob"]).await;
    world.acts(&["ada follows bob", "bob pins ada"]).await;
    assert_eq!(
        world.tie("ada", "bob").await.relation,
        Relation::FOLLOWS.with(Relation::PINNED_BACK)
    );
    assert_eq!(world.tie("bob", "ada").await.relation, Relation::FOLLOWED.with(Relation::PINNED));
}

#[tokio::test]
async fn a_pin_takes_a_relation_that_is_there() {
    for tie in ["ada follows bob", "bob follows ada", "ada connects bob"] {
        let world = World::of(&["ada", "bob"]).await;
        let refused = world.act("ada pins bob").await;
        assert!(matches!(refused, Err(DirectoryError::NotRelated { .. })), "{refused:?}");
        assert_eq!(world.version("ada").await, 0);
        world.acts(&[tie, "ada pins bob"]).await;
        assert!(world.tie("ada", "bob").await.relation.has(Relation::PINNED), "{tie}");
    }
}

#[tokio::test]
async fn a_pin_goes_with_the_last_relation_and_not_before() {
    let world = World::of(&["ada", "bob"]).await;
    world.acts(&["ada follows bob", "bob follows ada", "ada connects bob"]).await;
    world.acts(&["ada pins bob", "bob pins ada"]).await;
    for act in ["ada unfollows bob", "bob removes ada"] {
        world.acts(&[act]).await;
        assert!(world.tie("ada", "bob").await.relation.has(Relation::PINNED), "{act}");
    }
    world.acts(&["bob unfollows ada"]).await;
    for (watcher, subject) in [("ada", "bob"), ("bob", "ada")] {
        assert_eq!(world.tie(watcher, subject).await.relation, Relation::NONE);
    }
    world.acts(&["ada follows bob"]).await;
    assert_eq!(world.tie("ada", "bob").await.relation, Relation::FOLLOWS, "the pin is forgotten");
}

#[tokio::test]
async fn unknown_people_and_oneself_are_refused_for_every_act() {
    let world = World::of(&["ada"]).await;
    for act in
        ["follows", "unfollows", "connects", "removes", "pins", "unpins", "blocks", "unblocks"]
    {
        let stranger = world.act(&format!("ada {act} nobody")).await;
        assert!(
            matches!(&stranger, Err(DirectoryError::NoSuchUser(user)) if *user == id("nobody")),
            "{act}: {stranger:?}"
        );
        let oneself = world.act(&format!("ada {act} ada")).await;
        assert!(matches!(oneself, Err(DirectoryError::NotRelated { .. })), "{act}: {oneself:?}");
    }
    let (limits, nobody) = (LIMITS, id("nobody"));
    assert_eq!(world.directory.watch_list(&nobody, &limits).await.unwrap(), None);
    let ties = world.directory.ties(&nobody, &[id("ada")]).await;
    assert!(matches!(ties, Err(DirectoryError::NoSuchUser(_))));
}

#[tokio::test]
async fn every_act_raises_the_versions_of_those_concerned_and_twice_raises_none() {
    let table: [(&[&str], &str, &[&str]); 8] = [
        (&[], "ada follows bob", &["ada", "bob"]),
        (&["ada follows bob"], "ada unfollows bob", &["ada", "bob"]),
        (&[], "ada connects bob", &["ada", "bob"]),
        (&["ada connects bob"], "bob removes ada", &["ada", "bob"]),
        (&["bob follows ada"], "ada pins bob", &["ada"]),
        (&["bob follows ada", "ada pins bob"], "ada unpins bob", &["ada"]),
        (&["ada connects bob"], "ada blocks bob", &["ada"]),
        (&["ada connects bob", "ada blocks bob"], "ada unblocks bob", &["ada"]),
    ];
    for (before, act, expected) in table {
        let world = World::of(&["ada", "bob"]).await;
        world.acts(before).await;
        let versions = [world.version("ada").await, world.version("bob").await];
        let change = world.act(act).await.unwrap();
        let mut who = raised(&change);
        who.sort_unstable();
        assert_eq!(who, expected, "{act}");
        for (name, before) in ["ada", "bob"].into_iter().zip(versions) {
            let now = world.version(name).await;
            assert_eq!(now > before, expected.contains(&name), "{name} after {act}");
            if now > before {
                assert!(change.versions.contains(&(id(name), RelationVersion(now))), "{act}");
            }
        }
        assert_eq!(world.act(act).await.unwrap(), RelationChange::default(), "{act} again");
    }
}

#[tokio::test]
async fn the_sight_is_asked_once_for_each_direction_that_changes_and_kept() {
    let world = World::of(&["ada", "bob"]).await;
    let asked = Mutex::new(Vec::new());
    let frozen = Sight { changed: Timestamp(9), seen: Timestamp(7), since: Timestamp(8) };
    let change = world
        .act_seeing("ada follows bob", |side: Side, old, new, sight| {
            asked.lock().unwrap().push((side.watcher.to_string(), old, new, sight));
            if side.watcher == id("ada") { frozen } else { sight }
        })
        .await
        .unwrap();
    let none = Sight::default();
    assert_eq!(
        asked.into_inner().unwrap(),
        [
            ("ada".to_owned(), Relation::NONE, Relation::FOLLOWS, none),
            ("bob".to_owned(), Relation::NONE, Relation::FOLLOWED, none),
        ]
    );
    assert_eq!(change.watchers_hit.len(), 2);
    assert_eq!(change.watchers_hit[0].sight, frozen);
    assert_eq!(world.tie("ada", "bob").await.sight, frozen);
    assert_eq!(world.tie("bob", "ada").await.sight, none);
    let list = world.directory.watch_list(&id("ada"), &LIMITS).await.unwrap().unwrap();
    assert_eq!(list.entries[0].sight, frozen);

    // The next change is told what is kept, and nothing remains of a sight that is back to zero.
    let change = world
        .act_seeing("ada connects bob", |side, _, _, sight| {
            assert_eq!(sight, if side.watcher == id("ada") { frozen } else { none });
            none
        })
        .await
        .unwrap();
    assert_eq!(change.watchers_hit[0].new, Relation::FOLLOWS.with(Relation::CONNECTED));
    assert_eq!(world.tie("ada", "bob").await.sight, none);
}

#[tokio::test]
async fn a_pin_hits_the_pinned_watcher_though_its_version_stays() {
    let world = World::of(&["ada", "bob"]).await;
    world.acts(&["bob follows ada"]).await;
    let change = world.act("ada pins bob").await.unwrap();
    let hit = change.watchers_hit.iter().find(|hit| hit.side.watcher == id("bob")).unwrap();
    assert_eq!(hit.old, Relation::FOLLOWS);
    assert_eq!(hit.new, Relation::FOLLOWS.with(Relation::PINNED_BACK));
    assert_eq!(raised(&change), ["ada"]);
}

#[tokio::test]
async fn a_change_that_fails_leaves_everything_as_it_was() {
    let world = World::of(&["ada", "bob"]).await;
    let before = world.version("ada").await;
    let refused = world.act("bob pins ada").await.unwrap_err();
    assert!(refused.to_string().contains("bob and ada"), "{refused}");
    assert_eq!(world.version("ada").await, before);
    // The connection that writes is free again.
    world.acts(&["bob follows ada"]).await;
}

#[tokio::test]
async fn ties_of_ten_thousand_watchers_come_in_the_order_asked_for() {
    let world = World::of(&["star"]).await;
    let watchers: Vec<_> = (0..10_000).map(|n| id(&format!("dev_{n}"))).collect();
    let follows: String =
        watchers.iter().step_by(2).map(|watcher| format!("{watcher},star\n")).collect();
    world.directory.import_follows(follows.as_bytes(), |_| {}).await.unwrap();
    let (version, ties) = world.directory.ties(&id("star"), &watchers).await.unwrap();
    assert_eq!(version, RelationVersion(1));
    assert_eq!(ties.len(), watchers.len());
    for (number, (tie, watcher)) in ties.iter().zip(&watchers).enumerate() {
        assert_eq!(tie.watcher, *watcher);
        // Every second one is unknown to the directory, and so is nothing to the star.
        let expected = if number % 2 == 0 { Relation::FOLLOWS } else { Relation::NONE };
        assert_eq!(tie.relation, expected, "{watcher}");
    }
    let (_, none) = world.directory.ties(&id("star"), &[]).await.unwrap();
    assert_eq!(none, []);
}

#[tokio::test]
async fn changes_made_at_the_same_time_all_count() {
    let names: Vec<String> = (0..20).map(|n| format!("dev_{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let world = World::of(&names).await;
    let mut tasks = Vec::new();
    for name in &names[1..] {
        let (directory, follower, star) = (world.directory.clone(), id(name), id(names[0]));
        // Spawned, which also shows that a change may move between threads.
        tasks.push(tokio::spawn(async move { directory.follow(&follower, &star, same).await }));
    }
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(world.version(names[0]).await, 19);
    assert_eq!(world.list(names[0], &WITH_FOLLOWERS).await.len(), 19);
}
