//! Races that a shard must come out of right, each played by hand: what the store, the directory
//! and the sockets say, in an order that hurts.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;
use std::time::Duration;

use presence::ask::Refusal;
use presence::close::{Close, ErrorCode};
use presence::exchange::{Event, Request};
use presence::hello::{Credentials, Cursor, Hello, IdentityKind, ResumeClaim, ResumeToken};
use presence::ids::{
    ConnId, Epoch, Handle, Incarnation, RelationVersion, SessionId, ShardId, UserId, Version,
};
use presence::person::{Person, Tie, WatchEntry, WatchList};
use presence::rate::Rate;
use presence::relation::Relation;
use presence::report::ReportChange;
use presence::shard::{
    CURSOR_AGE_MAX, Effect, Fresh, Input, LAST_SEEN_MAX, Limits, Notice, PatchKind, Said, Shard,
};
use presence::time::Timestamp;
use presence::view::{PerClass, Presence, Shown, Sight};
use presence::visibility::{Mode, Preferences};

const SECOND: Duration = Duration::from_secs(1);
const VERA: ConnId = ConnId { slot: 0, tenant: 0 };

struct Rig {
    shard: Shard,
    now: Timestamp,
    versions: u64,
}

impl Rig {
    fn new() -> Self {
        let limits = Limits {
            ping_interval: 30 * SECOND,
            heartbeat_interval: 10 * SECOND,
            resume_window: 60 * SECOND,
            hello_within: 10 * SECOND,
            reports: Rate::UNLIMITED,
            requests: Rate::UNLIMITED,
            frames: Rate::UNLIMITED,
        };
        let shard = Shard::new(Incarnation(1), ShardId(0), limits);
        Self { shard, now: Timestamp::from_secs(1_000), versions: 0 }
    }

    fn feed(&mut self, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.shard.handle(self.now, input, &mut effects);
        effects
    }

    fn store(&mut self, event: Event) -> Vec<Effect> {
        self.feed(Input::Store(event))
    }

    fn hello(&mut self, conn: ConnId, hello: Hello) -> Vec<Effect> {
        self.feed(Input::Opened { conn, ping_offset: Duration::ZERO });
        self.feed(Input::Hello { conn, hello: Box::new(hello), fresh: fresh(conn) })
    }

    /// Up to the store's answer: the watch list is on the index.
    fn log_in(&mut self, conn: ConnId, name: &str, entries: Vec<WatchEntry>) -> Vec<Effect> {
        self.hello(conn, login());
        self.feed(Input::LoggedIn { conn, result: Ok(Box::new(person(name, 1, entries))) })
    }

    /// Vera, who watches Sam by this relation, is live.
    fn vera_watches_sam(&mut self, relation: Relation) {
        self.log_in(VERA, "vera", vec![entry("sam", relation, 1)]);
        let sam = self.presence(1, Mode::Everyone, Some("coding"));
        let vera = self.presence(1, Mode::Everyone, Some("online"));
        let users = vec![(id("vera"), Handle(0), Some(vera)), (id("sam"), Handle(1), Some(sam))];
        self.store(Event::Watched { conn: Some(VERA), epoch: Epoch(1), users });
        self.store(Event::Opened { conn: VERA, opened: true });
        assert_eq!(self.shard.sessions(), 1);
    }

    fn presence(
        &mut self,
        relations: u64,
        visibility: Mode,
        status: Option<&str>,
    ) -> Arc<Presence> {
        self.versions += 1;
        let mut presence = Presence::offline(PerClass::Same(self.now), RelationVersion(relations));
        presence.epoch = Epoch(1);
        presence.version = Version(self.versions);
        presence.audience = Preferences { visibility, ..Preferences::default() }.audience();
        presence.shown = status.map(|status| Shown::new(status, "rollcall", ""));
        Arc::new(presence)
    }

    fn sam_is(&mut self, relations: u64, status: Option<&str>) -> Vec<Effect> {
        let presence = self.presence(relations, Mode::Everyone, status);
        self.store(Event::Presence { handle: Handle(1), presence })
    }

    fn ties(&mut self, version: u64, relation: Relation) -> Vec<Effect> {
        let sight = Sight { changed: self.now, seen: self.now, since: self.now };
        let ties = vec![Tie { watcher: id("vera"), relation, sight }];
        let version = RelationVersion(version);
        self.feed(Input::Ties { subject: id("sam"), version, ties })
    }

    fn list(&mut self, relations: u64, entries: Vec<WatchEntry>) -> Vec<Effect> {
        let list = WatchList { relations: RelationVersion(relations), entries };
        self.feed(Input::WatchList { conn: VERA, result: Some(Box::new(list)) })
    }

    /// What Vera's socket takes.
    fn patches(&mut self) -> Vec<String> {
        let mut patches = Vec::new();
        self.shard.take_patches(self.now, VERA, |patch| {
            let text = match &patch.kind {
                PatchKind::Update { status, project, relation, .. } => {
                    format!("{} {status:?} {project:?} {relation:?}", patch.id)
                }
                PatchKind::Offline { .. } => format!("{} offline", patch.id),
                PatchKind::Gone => format!("{} gone", patch.id),
            };
            patches.push(text);
            true
        });
        patches
    }

    /// The cursor that Vera's next ping carries.
    fn cursor(&mut self) -> presence::hello::Cursor {
        self.feed(Input::Frame { conn: VERA });
        let mut effects = Vec::new();
        self.shard.expire(self.now, &mut effects);
        let cursor = effects.iter().find_map(|effect| match effect {
            Effect::Send { notice: Notice::Ping { cursor }, .. } => Some(*cursor),
            _ => None,
        });
        cursor.unwrap()
    }
}

fn id(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

fn fresh(conn: ConnId) -> Fresh {
    let byte = u8::try_from(conn.tenant + 1).unwrap();
    Fresh {
        session: SessionId([byte; 16]),
        secret: [byte; 32],
        address: "".into(),
        client: "".into(),
    }
}

fn login() -> Hello {
    let credentials = Credentials { kind: IdentityKind::Dev, token: None, name: None, guest: None };
    Hello { credentials: Some(credentials), ..Hello::default() }
}

fn claim() -> Hello {
    let token = ResumeToken { partition: 0, session: SessionId([9; 16]), secret: [9; 32] };
    Hello { resume: Some(ResumeClaim::Token(token)), ..Hello::default() }
}

fn entry(name: &str, relation: Relation, relations: u64) -> WatchEntry {
    WatchEntry {
        id: id(name),
        name: name.into(),
        avatar: "".into(),
        relation,
        sight: Sight::default(),
        relations: RelationVersion(relations),
        seen: PerClass::default(),
    }
}

fn person(name: &str, relations: u64, entries: Vec<WatchEntry>) -> Person {
    Person {
        id: id(name),
        name: name.into(),
        avatar: "".into(),
        preferences: Preferences::default(),
        seen: PerClass::default(),
        watch_list: WatchList { relations: RelationVersion(relations), entries },
    }
}

fn says(status: &str) -> ReportChange {
    ReportChange::parse(Some(status), None, None).unwrap()
}

fn requests(effects: Vec<Effect>) -> Vec<Request> {
    let request = |effect| match effect {
        Effect::Store(request) => Some(request),
        _ => None,
    };
    effects.into_iter().filter_map(request).collect()
}

#[test]
fn a_report_between_hello_and_welcome_is_not_lost() {
    let mut rig = Rig::new();
    rig.log_in(VERA, "vera", Vec::new());
    rig.feed(Input::Said { conn: VERA, said: Said::Report(says("coding")) });
    let users = vec![(id("vera"), Handle(0), None)];
    rig.store(Event::Watched { conn: Some(VERA), epoch: Epoch(1), users });
    let told = requests(rig.store(Event::Opened { conn: VERA, opened: true }));
    assert!(matches!(&told[..], [Request::Report { change, .. }] if *change == says("coding")));
}

#[test]
fn a_goodbye_while_the_session_is_being_bound_ends_it() {
    for (said, ends) in [(Said::Bye { after: None }, true), (Said::Alive, false)] {
        let mut rig = Rig::new();
        rig.hello(VERA, claim());
        rig.feed(Input::Said { conn: VERA, said });
        rig.feed(Input::Closed { conn: VERA, goodbye: false });
        let told = requests(rig.store(Event::Resumed { conn: VERA, user: Some(id("vera")) }));
        match &told[..] {
            [Request::End { .. }] => assert!(ends),
            [Request::Detach { .. }] => assert!(!ends),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_bound_session_whose_user_is_refused_does_not_stay_live_without_a_socket() {
    let mut rig = Rig::new();
    rig.hello(VERA, claim());
    rig.store(Event::Resumed { conn: VERA, user: Some(id("vera")) });
    let refusal = Refusal::new(ErrorCode::Unauthorized, "there is no such user any more");
    let told = requests(rig.feed(Input::LoggedIn { conn: VERA, result: Err(refusal) }));
    assert!(matches!(&told[..], [Request::End { .. }]), "{told:?}");
}

#[test]
fn whoever_left_before_the_store_could_tell_is_not_watched_for_ever() {
    let mut rig = Rig::new();
    rig.log_in(VERA, "vera", Vec::new());
    rig.feed(Input::Closed { conn: VERA, goodbye: true });
    let users = vec![(id("vera"), Handle(0), None)];
    let told = requests(rig.store(Event::Watched { conn: Some(VERA), epoch: Epoch(1), users }));
    assert!(matches!(&told[..], [Request::Unwatch(Handle(0))]), "{told:?}");
}

#[test]
fn a_cursor_names_no_list_that_the_client_was_not_yet_told() {
    let mut rig = Rig::new();
    rig.vera_watches_sam(Relation::FOLLOWS);
    assert_eq!(rig.cursor().relations, RelationVersion(1));
    rig.now = rig.now + 30 * SECOND;
    rig.list(2, vec![entry("sam", Relation::FOLLOWS, 1), entry("tim", Relation::FOLLOWS, 1)]);
    assert_ne!(rig.cursor().relations, RelationVersion(2), "Tim is not told yet");
    rig.now = rig.now + 30 * SECOND;
    let users = vec![(id("tim"), Handle(2), None)];
    rig.store(Event::Watched { conn: None, epoch: Epoch(1), users });
    assert_eq!(rig.patches().len(), 2);
    assert_eq!(rig.cursor().relations, RelationVersion(2));
}

#[test]
fn a_short_wait_for_relations_does_not_show_in_a_cursor() {
    let mut rig = Rig::new();
    rig.vera_watches_sam(Relation::FOLLOWS);
    rig.sam_is(2, Some("coding"));
    let held_since = rig.now;
    rig.now = rig.now + SECOND;
    assert_eq!(rig.cursor().at, rig.now - 10 * SECOND);
    rig.now = rig.now + 30 * SECOND;
    assert_eq!(rig.cursor().at, held_since - 10 * SECOND, "a long one holds cursors back");
}

#[test]
fn an_older_list_does_not_undo_a_block() {
    let mut rig = Rig::new();
    rig.vera_watches_sam(Relation::FOLLOWS);
    rig.sam_is(2, Some("coding"));
    rig.ties(2, Relation::FOLLOWS.with(Relation::BLOCKED));
    assert_eq!(rig.patches(), ["sam offline"]);
    rig.list(2, vec![entry("sam", Relation::FOLLOWS, 1)]);
    rig.sam_is(2, Some("debugging"));
    assert_eq!(rig.patches(), [""; 0]);
}

#[test]
fn a_pin_on_an_older_list_is_told_all_the_same() {
    let mut rig = Rig::new();
    rig.vera_watches_sam(Relation::FOLLOWS);
    rig.sam_is(2, Some("coding"));
    // Read before the pin, which raises no version of Sam's.
    rig.ties(2, Relation::FOLLOWS);
    let pinned = Relation::FOLLOWS.with(Relation::PINNED);
    rig.list(2, vec![entry("sam", pinned, 1)]);
    assert_eq!(rig.patches(), [r#"sam Some("coding") Some("rollcall") Some(9)"#]);
    rig.sam_is(3, Some("coding"));
    rig.ties(3, Relation::FOLLOWS);
    assert_eq!(rig.patches(), [""; 0], "ties know nothing of the pin");
}

#[test]
fn an_answer_from_before_everyone_was_read_anew_tells_nothing() {
    let mut rig = Rig::new();
    rig.vera_watches_sam(Relation::FOLLOWS);
    rig.sam_is(5, Some("coding"));
    rig.ties(5, Relation::FOLLOWS.with(Relation::BLOCKED));
    assert_eq!(rig.patches(), ["sam offline"]);
    rig.ties(4, Relation::FOLLOWS);
    rig.sam_is(5, Some("debugging"));
    assert_eq!(rig.patches(), [""; 0]);
}

#[test]
fn relations_that_change_while_the_list_is_read_are_read_once_more() {
    let mut rig = Rig::new();
    rig.vera_watches_sam(Relation::FOLLOWS);
    let reads = |effects: &[Effect]| {
        effects.iter().filter(|effect| matches!(effect, Effect::LoadWatchList { .. })).count()
    };
    for (relations, expected) in [(2, 1), (3, 0)] {
        let presence = rig.presence(relations, Mode::Everyone, Some("online"));
        let effects = rig.store(Event::Presence { handle: Handle(0), presence });
        assert_eq!(reads(&effects), expected);
    }
    let effects = rig.list(2, vec![entry("sam", Relation::FOLLOWS, 1)]);
    assert_eq!(reads(&effects), 1);
}

#[test]
fn an_unsent_patch_is_whole_when_the_new_class_saw_less_change() {
    let mut rig = Rig::new();
    rig.vera_watches_sam(Relation::FOLLOWS);
    let mut presence = Presence::clone(&rig.presence(1, Mode::Everyone, Some("coding")));
    let mut say = |rig: &mut Rig, version, relations, project| {
        presence.version = Version(version);
        presence.relations = RelationVersion(relations);
        presence.audience = Preferences { project, ..Preferences::default() }.audience();
        rig.store(Event::Presence { handle: Handle(1), presence: Arc::new(presence.clone()) });
    };
    say(&mut rig, 90, 1, Mode::CloseFriends);
    assert_eq!(rig.patches(), [r#"sam None Some("") None"#]);
    // The project shows again, which those whom Sam has pinned saw all the time; before Vera is
    // told, she is one of them.
    say(&mut rig, 91, 1, Mode::Everyone);
    say(&mut rig, 92, 2, Mode::Everyone);
    rig.ties(2, Relation::FOLLOWS.with(Relation::PINNED_BACK));
    assert_eq!(rig.patches(), [r#"sam Some("coding") Some("rollcall") None"#]);
}

#[test]
fn a_sync_from_a_state_that_is_kept_back_is_put_right_when_that_is_delivered() {
    let mut rig = Rig::new();
    rig.vera_watches_sam(Relation::FOLLOWS);
    rig.sam_is(2, Some("debugging"));
    // Tom logs in with a list that is new enough, and is told the state that is kept back.
    let tom = ConnId { slot: 1, tenant: 1 };
    rig.log_in(tom, "tom", vec![entry("sam", Relation::FOLLOWS, 2)]);
    let users = vec![(id("tom"), Handle(2), None)];
    rig.store(Event::Watched { conn: Some(tom), epoch: Epoch(1), users });
    let effects = rig.store(Event::Opened { conn: tom, opened: true });
    let sync = effects.iter().find_map(|effect| match effect {
        Effect::Send { notice: Notice::Sync { entries, .. }, .. } => Some(entries),
        _ => None,
    });
    assert_eq!(sync.unwrap()[1].presence.shown, Some(Shown::new("debugging", "rollcall", "")));
    // Back to what everyone else still sees: Tom alone has something to hear.
    rig.sam_is(2, Some("coding"));
    rig.ties(2, Relation::FOLLOWS);
    assert_eq!(rig.patches(), [""; 0]);
    let mut told = 0;
    rig.shard.take_patches(rig.now, tom, |_| {
        told += 1;
        true
    });
    assert_eq!(told, 1);
}

/// What Vera hears when she comes back with that cursor: whether the `sync` is a part, and of whom.
fn sync_after(rig: &mut Rig, cursor: Option<Cursor>) -> (bool, Vec<String>) {
    rig.hello(VERA, Hello { cursor, ..claim() });
    rig.store(Event::Resumed { conn: VERA, user: Some(id("vera")) });
    let entries = vec![entry("sam", Relation::FOLLOWS, 1)];
    rig.feed(Input::LoggedIn { conn: VERA, result: Ok(Box::new(person("vera", 1, entries))) });
    let sam = rig.presence(1, Mode::Everyone, Some("coding"));
    let vera = rig.presence(1, Mode::Everyone, Some("online"));
    let users = vec![(id("vera"), Handle(0), Some(vera)), (id("sam"), Handle(1), Some(sam))];
    let effects = rig.store(Event::Watched { conn: Some(VERA), epoch: Epoch(1), users });
    let sync = effects.into_iter().find_map(|effect| match effect {
        Effect::Send { notice: Notice::Sync { part, entries }, .. } => {
            Some((part, entries.into_iter().map(|entry| entry.id.to_string()).collect()))
        }
        _ => None,
    });
    sync.unwrap()
}

#[test]
fn a_cursor_that_is_too_old_or_of_another_epoch_or_list_gets_a_full_sync() {
    let (epoch, relations) = (Epoch(1), RelationVersion(1));
    let both = vec!["vera".to_owned(), "sam".to_owned()];
    let at = |rig: &Rig, age: Duration| rig.now - age;
    let mut rig = Rig::new();
    rig.now = Timestamp::from_secs(10_000);
    let cursor = Cursor { epoch, at: at(&rig, CURSOR_AGE_MAX), relations };
    assert_eq!(sync_after(&mut rig, Some(cursor)), (true, vec!["vera".to_owned()]));
    for useless in [
        None,
        Some(Cursor { at: at(&rig, CURSOR_AGE_MAX + SECOND), ..cursor }),
        Some(Cursor { epoch: Epoch(2), ..cursor }),
        Some(Cursor { relations: RelationVersion(2), ..cursor }),
    ] {
        let mut rig = Rig::new();
        rig.now = Timestamp::from_secs(10_000);
        assert_eq!(sync_after(&mut rig, useless), (false, both.clone()), "{useless:?}");
    }
}

#[test]
fn a_last_seen_of_more_than_seven_days_ago_is_not_told() {
    for (ago, told) in [(LAST_SEEN_MAX, true), (LAST_SEEN_MAX + SECOND, false)] {
        let mut rig = Rig::new();
        rig.now = Timestamp::from_secs(10_000_000);
        rig.vera_watches_sam(Relation::FOLLOWS);
        let long_gone = PerClass::Same(rig.now - ago);
        let tim = WatchEntry { seen: long_gone, ..entry("tim", Relation::FOLLOWS, 1) };
        rig.list(2, vec![entry("sam", Relation::FOLLOWS, 1), tim]);
        let users = vec![(id("tim"), Handle(2), None)];
        rig.store(Event::Watched { conn: None, epoch: Epoch(1), users });
        let mut seen = None;
        rig.shard.take_patches(rig.now, VERA, |patch| {
            if let PatchKind::Offline { seen: at } = patch.kind {
                seen = Some(at);
            }
            true
        });
        let expected = if told { rig.now - ago } else { Timestamp::NEVER };
        assert_eq!(seen, Some(expected));
    }
}

#[test]
fn a_login_that_the_directory_does_not_answer_is_closed_to_come_again() {
    for code in [ErrorCode::IdentityUnavailable, ErrorCode::ReadOnly] {
        let mut rig = Rig::new();
        rig.hello(VERA, login());
        let refusal = Refusal::new(code, "the directory does not answer");
        let effects = rig.feed(Input::LoggedIn { conn: VERA, result: Err(refusal) });
        let closed = effects
            .iter()
            .any(|effect| matches!(effect, Effect::Close { close: Close::StoreUnavailable, .. }));
        assert!(closed, "{effects:?}");
    }
}
