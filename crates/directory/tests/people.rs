//! Users, preferences and last seen.

mod common;

use common::{LIMITS, World, bytes_of, id, same};
use directory::{DirectoryError, LastSeenReport};
use presence::ask::PreferencesChange;
use presence::glob::Glob;
use presence::ids::{RelationVersion, UserId};
use presence::relation::Relation;
use presence::time::Timestamp;
use presence::view::{PerClass, Sight};
use presence::visibility::{Mode, Preferences};

fn globs(patterns: &[&str]) -> Vec<Glob> {
    patterns.iter().map(|pattern| Glob::parse(pattern).expect("a pattern")).collect()
}

fn same_for_all(micros: u64) -> PerClass {
    PerClass::Same(Timestamp(micros))
}

async fn seen(world: &World, user: &str) -> PerClass {
    let person = world.directory.person(&id(user), &LIMITS).await.expect("an answer");
    person.expect("a known user").seen
}

#[tokio::test]
async fn a_person_is_told_with_everything_that_belongs_to_them() {
    let world = World::of(&["ada", "bob"]).await;
    let directory = &world.directory;
    directory.ensure_user(&id("bob"), "Bob Ünal", "https://a.example/b.png").await.unwrap();
    world.acts(&["ada follows bob", "bob pins ada"]).await;
    let change = PreferencesChange { visibility: Some(Mode::Followers), ..Default::default() };
    directory.change_preferences(&id("ada"), change).await.unwrap();
    directory
        .last_seen(&[(id("ada"), same_for_all(5)), (id("bob"), same_for_all(6))])
        .await
        .unwrap();

    let person = directory.person(&id("ada"), &LIMITS).await.unwrap().unwrap();
    assert_eq!(person.id, id("ada"));
    assert_eq!((&*person.name, &*person.avatar), ("ada", ""));
    assert_eq!(person.preferences.visibility, Mode::Followers);
    assert_eq!(person.seen, same_for_all(5));
    assert_eq!(person.watch_list.relations, RelationVersion(1));
    let [bob] = &person.watch_list.entries[..] else { panic!("{person:?}") };
    assert_eq!(bob.id, id("bob"));
    assert_eq!((&*bob.name, &*bob.avatar), ("Bob Ünal", "https://a.example/b.png"));
    assert_eq!(bob.relation, Relation::FOLLOWS.with(Relation::PINNED_BACK));
    assert_eq!(bob.sight, Sight::default());
    assert_eq!(bob.relations, RelationVersion(2), "the version of the watched user");
    assert_eq!(bob.seen, same_for_all(6));
    let list = directory.watch_list(&id("ada"), &LIMITS).await.unwrap();
    assert_eq!(list, Some(person.watch_list));
}

#[tokio::test]
async fn a_watched_user_comes_with_the_last_seen_of_every_class() {
    let world = World::of(&["ada", "bob"]).await;
    world.acts(&["ada follows bob"]).await;
    let mut given = same_for_all(1_764_000_000_000_000);
    given.set(0b1010, Timestamp(7));
    world.directory.last_seen(&[(id("bob"), given.clone())]).await.unwrap();
    let list = world.directory.watch_list(&id("ada"), &LIMITS).await.unwrap().unwrap();
    assert_eq!(list.entries[0].seen, given);
}

#[tokio::test]
async fn characters_that_may_not_be_shown_are_left_out_of_a_name() {
    let world = World::of(&["ada"]).await;
    let directory = &world.directory;
    let name = "Bob\u{1e}\u{1f}\u{202e} \u{0}Ü'\"--";
    directory.ensure_user(&id("bob"), name, "https://a.example/\u{1f}b").await.unwrap();
    directory.follow(&id("ada"), &id("bob"), same).await.unwrap();
    let list = directory.watch_list(&id("ada"), &LIMITS).await.unwrap().unwrap();
    let [bob] = &list.entries[..] else { panic!("{list:?}") };
    assert_eq!((&*bob.name, &*bob.avatar), ("Bob Ü'\"--", "https://a.example/b"));
}

#[tokio::test]
async fn nobody_is_told_of_who_is_unknown() {
    let world = World::of(&[]).await;
    let nobody = id("nobody");
    assert_eq!(world.directory.person(&nobody, &LIMITS).await.unwrap(), None);
    let refused = world.directory.preferences(&nobody).await.unwrap_err();
    assert!(matches!(refused, DirectoryError::NoSuchUser(_)));
    assert_eq!(refused.to_string(), "nobody here has the id nobody");
    let change = PreferencesChange { project: Some(Mode::Invisible), ..Default::default() };
    let refused = world.directory.change_preferences(&nobody, change).await;
    assert!(matches!(refused, Err(DirectoryError::NoSuchUser(_))));
}

#[tokio::test]
async fn a_user_who_is_the_same_as_before_costs_no_write() {
    let world = World::of(&["ada"]).await;
    let directory = &world.directory;
    world.act("ada follows ada").await.unwrap_err();
    let before = bytes_of(world.folder.path());
    directory.ensure_user(&id("ada"), "ada", "").await.unwrap();
    directory.change_preferences(&id("ada"), PreferencesChange::default()).await.unwrap();
    let change = PreferencesChange { activity: Some(Mode::Everyone), ..Default::default() };
    directory.change_preferences(&id("ada"), change).await.unwrap();
    let log = |bytes: &std::collections::BTreeMap<std::path::PathBuf, Vec<u8>>| {
        bytes.iter().find(|(path, _)| path.ends_with("directory.sqlite-wal")).map(|f| f.1.clone())
    };
    assert_eq!(log(&bytes_of(world.folder.path())), log(&before));
    directory.ensure_user(&id("ada"), "Ada L.", "x").await.unwrap();
    assert_ne!(log(&bytes_of(world.folder.path())), log(&before));
    let person = directory.person(&id("ada"), &LIMITS).await.unwrap().unwrap();
    assert_eq!((&*person.name, &*person.avatar), ("Ada L.", "x"));
}

#[tokio::test]
async fn a_new_name_raises_no_relation_version_and_keeps_the_relations() {
    let world = World::of(&["ada", "bob"]).await;
    world.acts(&["ada follows bob"]).await;
    world.directory.ensure_user(&id("bob"), "Robert", "").await.unwrap();
    assert_eq!(world.version("bob").await, 1);
    assert_eq!(world.list("ada", &LIMITS).await, ["bob 1"]);
}

#[tokio::test]
async fn preferences_are_the_defaults_until_changed_and_only_what_is_named_changes() {
    let world = World::of(&["ada"]).await;
    let (directory, ada) = (&world.directory, id("ada"));
    assert_eq!(directory.preferences(&ada).await.unwrap(), Preferences::default());
    let patterns = globs(&["secret-*", "Ä?b c", "x,y"]);
    let change = PreferencesChange {
        visibility: Some(Mode::CloseFriends),
        activity: Some(Mode::Following),
        project: Some(Mode::Followers),
        language: Some(Mode::Invisible),
        hidden_projects: Some(patterns.clone()),
    };
    let all = directory.change_preferences(&ada, change).await.unwrap();
    let expected = Preferences {
        visibility: Mode::CloseFriends,
        activity: Mode::Following,
        project: Mode::Followers,
        language: Mode::Invisible,
        hidden_projects: patterns,
    };
    assert_eq!(all, expected);
    let change = PreferencesChange { hidden_projects: Some(vec![]), ..Default::default() };
    directory.change_preferences(&ada, change).await.unwrap();
    let expected = Preferences { hidden_projects: vec![], ..expected };
    assert_eq!(directory.preferences(&ada).await.unwrap(), expected);
    assert_eq!(world.version("ada").await, 0, "preferences are no relation");
}

#[tokio::test]
async fn preferences_of_many_are_those_of_each() {
    let names: Vec<String> = (0..1_100).map(|number| format!("user{number}")).collect();
    let everyone: Vec<&str> = names.iter().map(String::as_str).collect();
    let world = World::of(&everyone[..1_099]).await;
    let change = PreferencesChange { visibility: Some(Mode::Invisible), ..Default::default() };
    let hidden = world.directory.change_preferences(&id("user1050"), change).await.unwrap();
    let ids: Vec<UserId> = everyone.iter().map(|name| id(name)).collect();
    let found = world.directory.preferences_of(&ids).await.unwrap();
    assert_eq!(found.len(), 1_099, "nobody knows the last one");
    for (user, preferences) in found {
        let expected =
            if user.as_str() == "user1050" { hidden.clone() } else { Preferences::default() };
        assert_eq!(preferences, expected, "{user}");
    }
}

#[tokio::test]
async fn preferences_changed_at_the_same_time_all_count() {
    let world = World::of(&["ada"]).await;
    let changes = [
        PreferencesChange { visibility: Some(Mode::Followers), ..Default::default() },
        PreferencesChange { activity: Some(Mode::Followers), ..Default::default() },
        PreferencesChange { project: Some(Mode::Followers), ..Default::default() },
        PreferencesChange { language: Some(Mode::Followers), ..Default::default() },
    ];
    let tasks = changes.map(|change| {
        let directory = world.directory.clone();
        tokio::spawn(async move { directory.change_preferences(&id("ada"), change).await })
    });
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    let all = world.directory.preferences(&id("ada")).await.unwrap();
    assert_eq!([all.visibility, all.activity, all.project, all.language], [Mode::Followers; 4]);
}

#[tokio::test]
async fn an_older_last_seen_never_takes_the_place_of_a_newer_one() {
    let world = World::of(&["ada"]).await;
    let directory = &world.directory;
    for (given, expected) in [(5, 5), (9, 9), (7, 9), (9, 9)] {
        directory.last_seen(&[(id("ada"), same_for_all(given))]).await.unwrap();
        assert_eq!(seen(&world, "ada").await, same_for_all(expected));
    }
}

#[tokio::test]
async fn each_class_keeps_its_own_latest_moment() {
    let world = World::of(&["ada"]).await;
    let directory = &world.directory;
    let mut held = same_for_all(100);
    held.set(0b11, Timestamp(50));
    directory.last_seen(&[(id("ada"), held.clone())]).await.unwrap();
    assert_eq!(seen(&world, "ada").await, held);
    let mut given = same_for_all(80);
    given.set(0b100, Timestamp(200));
    directory.last_seen(&[(id("ada"), given)]).await.unwrap();
    let mut expected = same_for_all(100);
    expected.set(0b11, Timestamp(80));
    expected.set(0b100, Timestamp(200));
    assert_eq!(seen(&world, "ada").await, expected);
    directory.last_seen(&[(id("ada"), same_for_all(300))]).await.unwrap();
    assert_eq!(seen(&world, "ada").await, same_for_all(300), "one moment again, for all agree");
}

#[tokio::test]
async fn a_batch_counts_whom_it_does_not_know_and_whom_it_knew_better() {
    let names: Vec<String> = (0..1200).map(|n| format!("dev_{n}")).collect();
    let world = World::of(&[]).await;
    let follows: String = names[1..].iter().map(|name| format!("{name},{}\n", names[0])).collect();
    world.directory.import_follows(follows.as_bytes(), |_| {}).await.unwrap();
    let mut batch: Vec<(UserId, PerClass)> =
        names.iter().map(|name| (id(name), same_for_all(10))).collect();
    let all = LastSeenReport { written: 1200, unchanged: 0, unknown: 0 };
    assert_eq!(world.directory.last_seen(&batch).await.unwrap(), all);
    batch[7].1 = same_for_all(11);
    batch.push((id("nobody"), same_for_all(11)));
    // Named twice, in whatever order: the later one counts.
    batch.push((id("dev_8"), same_for_all(12)));
    batch.push((id("dev_8"), same_for_all(9)));
    let again = LastSeenReport { written: 2, unchanged: 1198, unknown: 1 };
    assert_eq!(world.directory.last_seen(&batch).await.unwrap(), again);
    assert_eq!(seen(&world, "dev_7").await, same_for_all(11));
    assert_eq!(seen(&world, "dev_8").await, same_for_all(12));
    assert_eq!(world.directory.last_seen(&[]).await.unwrap(), LastSeenReport::default());
    assert_eq!(world.version("dev_8").await, 1, "last seen is no relation");
}

#[tokio::test]
async fn all_answers_can_be_awaited_on_any_thread() {
    fn check<T: Send>(future: T) -> T {
        future
    }
    let world = World::of(&["ada", "bob"]).await;
    let (directory, ada, bob) = (&world.directory, &id("ada"), &id("bob"));
    check(directory.ensure_user(ada, "ada", "")).await.unwrap();
    check(directory.person(ada, &LIMITS)).await.unwrap();
    check(directory.ties(ada, &[])).await.unwrap();
    check(directory.follow(ada, bob, same)).await.unwrap();
    check(directory.last_seen(&[])).await.unwrap();
    check(directory.import_follows(&b""[..], |_| {})).await.unwrap();
    check(directory.check()).await.unwrap();
    check(directory.close()).await;
}
