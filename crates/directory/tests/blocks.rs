//! Blocks: the blocked notices nothing but the blocker leaving.

mod common;

use common::{LIMITS, WITH_FOLLOWERS, World, id, raised};
use directory::RelationChange;
use presence::relation::Relation;
use presence::time::Timestamp;
use presence::view::Sight;

#[tokio::test]
async fn a_block_takes_the_blocked_off_the_blockers_list_at_once() {
    let world = World::of(&["sam", "vic"]).await;
    world.acts(&["sam follows vic", "vic follows sam", "sam connects vic", "sam pins vic"]).await;
    world.acts(&["sam blocks vic"]).await;
    for limits in [LIMITS, WITH_FOLLOWERS] {
        assert_eq!(world.list("sam", &limits).await, [""; 0]);
        assert_eq!(world.list("vic", &limits).await, ["sam 7"], "the blocked keeps the row");
    }
    let tie = world.tie("vic", "sam").await;
    assert!(tie.relation.has(Relation::BLOCKED));
}

#[tokio::test]
async fn strangers_can_be_blocked() {
    let world = World::of(&["sam", "vic"]).await;
    let frozen = Sight { seen: Timestamp(5), ..Sight::default() };
    world.act_seeing("sam blocks vic", |_, _, _, _| frozen).await.unwrap();
    let tie = world.tie("vic", "sam").await;
    assert_eq!((tie.relation, tie.sight), (Relation::BLOCKED, frozen));
    world.acts(&["vic follows sam"]).await;
    assert_eq!(world.list("vic", &LIMITS).await, ["sam 1"]);
    assert_eq!(world.list("sam", &WITH_FOLLOWERS).await, [""; 0], "a blocked follower is no one");
}

#[tokio::test]
async fn what_the_blocker_does_changes_nothing_that_the_blocked_knows() {
    let world = World::of(&["sam", "vic"]).await;
    world.acts(&["sam follows vic", "sam connects vic", "vic pins sam", "sam blocks vic"]).await;
    let version = world.version("vic").await;
    for act in [
        "sam unfollows vic",
        "sam removes vic",
        "sam follows vic",
        "sam pins vic",
        "sam unpins vic",
    ] {
        let change = world.act(act).await.unwrap();
        assert_eq!(raised(&change), ["sam"], "{act}");
        assert_eq!(world.list("vic", &WITH_FOLLOWERS).await, ["sam 14"], "{act}");
        assert_eq!(world.version("vic").await, version, "{act}");
    }
}

#[tokio::test]
async fn a_follow_made_behind_a_block_is_not_shown() {
    let world = World::of(&["sam", "vic"]).await;
    world.acts(&["vic follows sam", "sam blocks vic", "sam follows vic"]).await;
    assert_eq!(world.list("vic", &WITH_FOLLOWERS).await, ["sam 1"]);
    world.acts(&["sam unblocks vic"]).await;
    assert_eq!(world.list("vic", &WITH_FOLLOWERS).await, ["sam 3"]);
}

#[tokio::test]
async fn the_blocked_ends_the_relation_by_removing_the_connection() {
    let world = World::of(&["sam", "vic"]).await;
    world.acts(&["sam connects vic", "vic pins sam", "sam blocks vic"]).await;
    let change = world.act("vic removes sam").await.unwrap();
    let mut who = raised(&change);
    who.sort_unstable();
    assert_eq!(who, ["sam", "vic"]);
    assert_eq!(world.list("vic", &WITH_FOLLOWERS).await, [""; 0], "the pin went with it");
    assert_eq!(world.act("vic removes sam").await.unwrap(), RelationChange::default());
    world.acts(&["sam unblocks vic"]).await;
    for user in ["sam", "vic"] {
        assert_eq!(world.list(user, &WITH_FOLLOWERS).await, [""; 0], "it is truly over");
    }
}

#[tokio::test]
async fn the_blocked_can_remove_a_connection_that_the_blocker_has_ended_already() {
    let world = World::of(&["sam", "vic"]).await;
    world.acts(&["sam connects vic", "sam blocks vic", "sam removes vic"]).await;
    assert_eq!(world.list("vic", &LIMITS).await, ["sam 4"]);
    let change = world.act("vic removes sam").await.unwrap();
    assert!(raised(&change).contains(&"vic"));
    assert_eq!(world.list("vic", &LIMITS).await, [""; 0]);
}

#[tokio::test]
async fn the_blocked_ends_the_relation_by_unfollowing() {
    let world = World::of(&["sam", "vic"]).await;
    world.acts(&["vic follows sam", "sam follows vic", "sam blocks vic"]).await;
    world.acts(&["vic unfollows sam"]).await;
    assert_eq!(world.list("vic", &LIMITS).await, [""; 0]);
    assert_eq!(world.list("vic", &WITH_FOLLOWERS).await, ["sam 2"], "the other's follow is frozen");
}

#[tokio::test]
async fn the_pins_and_follows_of_the_blocked_stay_their_own_affair() {
    let world = World::of(&["sam", "vic"]).await;
    world.acts(&["sam follows vic", "sam blocks vic"]).await;
    for (act, expected) in [
        ("vic pins sam", "sam 10"),
        ("vic follows sam", "sam 11"),
        ("vic unpins sam", "sam 3"),
        ("vic unfollows sam", "sam 2"),
    ] {
        let before = world.version("vic").await;
        world.acts(&[act]).await;
        assert_eq!(world.list("vic", &WITH_FOLLOWERS).await, [expected], "{act}");
        assert!(world.version("vic").await > before, "{act}");
    }
}

#[tokio::test]
async fn pinning_a_blocker_is_refused_exactly_when_the_known_relation_is_none() {
    let world = World::of(&["sam", "vic"]).await;
    world.acts(&["sam blocks vic", "sam follows vic"]).await;
    assert!(world.act("vic pins sam").await.is_err(), "the follow behind the block is unknown");
    world.acts(&["sam unblocks vic", "sam blocks vic", "sam unfollows vic"]).await;
    assert!(world.act("vic pins sam").await.is_ok(), "the frozen follow is what is known");
}

#[tokio::test]
async fn after_an_unblock_the_true_relation_shows_and_a_pin_without_a_tie_is_gone() {
    let world = World::of(&["sam", "vic"]).await;
    world.acts(&["sam connects vic", "vic pins sam", "sam blocks vic", "sam removes vic"]).await;
    assert_eq!(world.list("vic", &LIMITS).await, ["sam 12"]);
    let change = world.act("sam unblocks vic").await.unwrap();
    assert_eq!(world.tie("vic", "sam").await.relation, Relation::NONE);
    // Here the blocked learns something, as if it were done now: the list has to be read again.
    assert!(raised(&change).contains(&"vic"));
}

#[tokio::test]
async fn the_order_of_the_blockeds_list_stays_too() {
    let world = World::of(&["vic", "old", "sam", "new"]).await;
    world.acts(&["old connects vic", "sam connects vic", "new connects vic"]).await;
    world.acts(&["old follows vic", "sam follows vic", "new follows vic"]).await;
    let before = world.list("vic", &WITH_FOLLOWERS).await;
    world.acts(&["sam blocks vic"]).await;
    assert_eq!(world.list("vic", &WITH_FOLLOWERS).await, before);
    world.acts(&["sam removes vic", "sam unfollows vic", "sam follows vic"]).await;
    assert_eq!(world.list("vic", &WITH_FOLLOWERS).await, before);
}

#[tokio::test]
async fn a_connection_made_under_a_block_is_seen_by_both_for_both_agreed() {
    let world = World::of(&["sam", "vic"]).await;
    world.acts(&["sam blocks vic", "vic connects sam"]).await;
    assert_eq!(world.list("vic", &LIMITS).await, ["sam 4"]);
    let tie = world.tie("vic", "sam").await;
    assert!(tie.relation.has(Relation::BLOCKED), "it does not lift the block");
    assert_eq!(world.list("sam", &LIMITS).await, [""; 0]);
}

#[tokio::test]
async fn two_who_block_each_other_each_keep_what_they_knew() {
    let world = World::of(&["sam", "vic"]).await;
    world.acts(&["sam connects vic", "sam follows vic", "sam blocks vic", "vic blocks sam"]).await;
    for user in ["sam", "vic"] {
        assert_eq!(world.list(user, &WITH_FOLLOWERS).await, [""; 0]);
    }
    world.acts(&["sam unfollows vic", "sam removes vic"]).await;
    let change = world.act("vic unblocks sam").await.unwrap();
    assert!(raised(&change).contains(&"vic"));
    assert_eq!(world.list("vic", &WITH_FOLLOWERS).await, ["sam 6"], "frozen under the other block");
    assert_eq!(world.list("sam", &WITH_FOLLOWERS).await, [""; 0]);
}

#[tokio::test]
async fn a_block_hits_only_the_blocked_watcher() {
    let world = World::of(&["sam", "vic"]).await;
    world.acts(&["sam connects vic"]).await;
    for (act, blocked) in [("sam blocks vic", true), ("sam unblocks vic", false)] {
        let change = world.act(act).await.unwrap();
        assert_eq!(raised(&change), ["sam"], "{act}");
        let [hit] = &change.watchers_hit[..] else { panic!("{act}: {change:?}") };
        assert_eq!(hit.side.watcher, id("vic"));
        assert_eq!(hit.new.has(Relation::BLOCKED), blocked);
        assert_eq!(hit.old.known(), hit.new.known());
    }
}
