//! Importing follows: whole files or nothing.

mod common;

use std::io::Read;

use common::{LIMITS, WITH_FOLLOWERS, World, id};
use directory::{Directory, ImportError, ImportReport, LineError};
use presence::ids::UserIdError;

async fn import(directory: &Directory, file: &str) -> Result<ImportReport, ImportError> {
    directory.import_follows(file.as_bytes(), |_| {}).await
}

#[tokio::test]
async fn users_are_made_where_missing_and_named_by_their_id() {
    let world = World::of(&["dev_ada"]).await;
    let report = import(&world.directory, "dev_ada,dev_bob\ngithub_7,dev_ada\n").await.unwrap();
    let expected = ImportReport { lines: 2, users_made: 2, follows_made: 2, already_there: 0 };
    assert_eq!(report, expected);
    for (user, name) in [("dev_ada", "dev_ada"), ("dev_bob", "bob"), ("github_7", "github_7")] {
        let person = world.directory.person(&id(user), &LIMITS).await.unwrap().unwrap();
        assert_eq!(&*person.name, name, "{user}");
    }
    assert_eq!(world.list("dev_ada", &WITH_FOLLOWERS).await, ["dev_bob 1", "github_7 2"]);
}

#[tokio::test]
async fn blank_lines_a_header_and_other_systems_line_ends_are_fine() {
    for file in [
        "a,b\nb,c",
        "a,b\r\nb,c\r\n",
        "follower,followee\na,b\nb,c\n",
        "\u{feff}follower, followee\r\n\r\na , b\r\n   \r\nb,c\r\n\r\n",
        "\n\nfollower,followee\n\na,b\nb,c\n",
    ] {
        let world = World::of(&[]).await;
        let report = import(&world.directory, file).await.unwrap();
        assert_eq!((report.lines, report.follows_made, report.users_made), (2, 2, 3), "{file:?}");
    }
    let world = World::of(&[]).await;
    let report = import(&world.directory, "").await.unwrap();
    assert_eq!(report, ImportReport::default());
}

#[tokio::test]
async fn a_bad_line_is_named_and_nothing_of_the_file_is_imported() {
    let long = format!("a,{}\n", "b".repeat(2000));
    let table = [
        ("a,b\nb\n", 2, LineError::Fields(1)),
        ("a,b\n\n\nb,c,d\n", 4, LineError::Fields(3)),
        ("a,b\nc,c\n", 2, LineError::Oneself("c".into())),
        (",b\n", 1, LineError::Id { column: "follower", reason: UserIdError::Empty }),
        ("a,b c", 1, LineError::Id { column: "followee", reason: UserIdError::Forbidden(' ') }),
        (
            "a,b\nfollower,fol lowee\n",
            2,
            LineError::Id { column: "followee", reason: UserIdError::Forbidden(' ') },
        ),
        (long.as_str(), 1, LineError::TooLong),
    ];
    for (file, expected_line, expected) in table {
        let world = World::of(&[]).await;
        let error = import(&world.directory, file).await.unwrap_err();
        assert!(error.to_string().starts_with(&format!("line {expected_line}: ")), "{error}");
        let ImportError::BadLine { line, reason } = error else { panic!("{file:?}: {error}") };
        assert_eq!((line, reason), (expected_line, expected), "{file:?}");
        let report = world.directory.check().await.unwrap();
        assert_eq!((report.users, report.follows), (0, 0), "{file:?}");
    }
}

#[tokio::test]
async fn a_line_that_is_no_text_is_a_bad_line() {
    let world = World::of(&[]).await;
    let error = world.directory.import_follows(&b"a,b\nc,\xff\n"[..], |_| {}).await.unwrap_err();
    assert!(
        matches!(error, ImportError::BadLine { line: 2, reason: LineError::NotText }),
        "{error}"
    );
}

#[tokio::test]
async fn a_bad_line_after_many_batches_undoes_them_all() {
    let world = World::of(&[]).await;
    let mut file: String = (1..=120_000).map(|n| format!("dev_{n},dev_0\n")).collect();
    file.push_str("dev_0,dev_0\n");
    let error = import(&world.directory, &file).await.unwrap_err();
    assert!(matches!(error, ImportError::BadLine { line: 120_001, .. }), "{error}");
    let report = world.directory.check().await.unwrap();
    assert_eq!((report.users, report.follows), (0, 0));
    // The connection that writes is free again.
    import(&world.directory, "dev_0,dev_1").await.unwrap();
}

#[tokio::test]
async fn a_file_that_cannot_be_read_to_its_end_is_not_imported() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("the cable is out"))
        }
    }
    let world = World::of(&[]).await;
    let reader = (&b"a,b\nb,c\n"[..]).chain(Broken);
    let error = world.directory.import_follows(reader, |_| {}).await.unwrap_err();
    assert!(matches!(error, ImportError::Unreadable { line: 2, .. }), "{error}");
    assert_eq!(world.directory.check().await.unwrap().users, 0);
}

#[tokio::test]
async fn importing_twice_changes_nothing_the_second_time() {
    let world = World::of(&[]).await;
    let file = "a,b\nb,a\na,c\na,b\n";
    let once = import(&world.directory, file).await.unwrap();
    let expected = ImportReport { lines: 4, users_made: 3, follows_made: 3, already_there: 1 };
    assert_eq!(once, expected, "a line that stands there twice counts once");
    let versions = [world.version("a").await, world.version("b").await, world.version("c").await];
    assert_eq!(versions, [1, 1, 1]);
    let twice = import(&world.directory, file).await.unwrap();
    let expected = ImportReport { lines: 4, users_made: 0, follows_made: 0, already_there: 4 };
    assert_eq!(twice, expected);
    assert_eq!(world.version("a").await, 1);
}

#[tokio::test]
async fn only_those_whose_follows_changed_get_a_new_version() {
    let world = World::of(&["a", "b", "c", "d"]).await;
    world.acts(&["a follows b"]).await;
    import(&world.directory, "a,b\nc,b\n").await.unwrap();
    assert_eq!(world.version("a").await, 1);
    assert_eq!(world.version("b").await, 2);
    assert_eq!(world.version("c").await, 1);
    assert_eq!(world.version("d").await, 0);
}

#[tokio::test]
async fn whom_the_imported_follower_blocks_notices_nothing() {
    let world = World::of(&["sam", "vic"]).await;
    world.acts(&["vic follows sam", "sam blocks vic"]).await;
    let version = world.version("vic").await;
    import(&world.directory, "sam,vic\n").await.unwrap();
    assert_eq!(world.version("vic").await, version);
    assert_eq!(world.list("vic", &WITH_FOLLOWERS).await, ["sam 1"]);
}

#[tokio::test]
async fn the_order_of_the_file_is_the_order_of_the_follows() {
    let world = World::of(&["me", "z", "a", "m"]).await;
    world.acts(&["me follows z"]).await;
    import(&world.directory, "me,m\nme,a\n").await.unwrap();
    assert_eq!(world.list("me", &LIMITS).await, ["a 1", "m 1", "z 1"]);
    let world2 = World::of(&["x"]).await;
    import(&world2.directory, "me,z\n").await.unwrap();
    world2.acts(&["me follows x"]).await;
    assert_eq!(world2.list("me", &LIMITS).await, ["x 1", "z 1"], "what comes later is newer");
}

#[tokio::test]
async fn progress_tells_the_lines_read_and_never_goes_back() {
    let world = World::of(&[]).await;
    let file: String = (1..=120_000).map(|n| format!("dev_{n},dev_0\n")).collect();
    let mut told = Vec::new();
    world.directory.import_follows(file.as_bytes(), |lines| told.push(lines)).await.unwrap();
    assert!(told.len() >= 3, "{told:?}");
    assert!(told.is_sorted(), "{told:?}");
    assert_eq!(told.last(), Some(&120_000));
}
