//! The embedded store as its node sees it, over real files and a clock that the test turns.

mod damage;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_channel::Receiver;
use presence::exchange::{Event, Request};
use presence::hello::{TokenHash, hash_secret};
use presence::ids::{ConnId, Incarnation, RelationVersion, SessionId, UserId};
use presence::report::ReportChange;
use presence::session::{Cause, Owner};
use presence::transition::{Binding, Profile};
use presence::view::{PerClass, Presence};
use presence::visibility::{Audience, Mode, Preferences};

use super::*;
use crate::{EVENTS_MAX, Wake};

const START: Timestamp = Timestamp::from_secs(1_800_000_000);
const WINDOW: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(20);
const SECRET: [u8; 32] = [9; 32];

struct TestClock(AtomicU64);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
}

struct Asleep;

impl Wake for Asleep {
    fn wake(&self) {}
}

struct Node {
    store: Embedded,
    events: Receiver<Event>,
    clock: Arc<TestClock>,
}

fn start(dir: &Path, at: Timestamp) -> Result<Node, LogError> {
    let clock = Arc::new(TestClock(AtomicU64::new(at.0)));
    let config = EmbeddedConfig {
        resume_window: WINDOW,
        last_seen_interval: Duration::from_secs(300),
        segment_bytes: 64 << 10,
    };
    let (sender, events) = bounded(EVENTS_MAX);
    let ports = vec![ShardPort { events: sender, waker: Box::new(Asleep) }];
    let store = Embedded::start(dir, config, Arc::clone(&clock) as Arc<dyn Clock>, ports)?;
    Ok(Node { store, events, clock })
}

impl Node {
    fn ask(&self, request: Request) {
        self.store.handle.try_request(ShardId(0), request).unwrap();
    }

    fn next(&self) -> Event {
        self.events.recv_timeout(PATIENCE).expect("the store answers in time")
    }

    fn presence(&self) -> Arc<Presence> {
        match self.next() {
            Event::Presence { presence, .. } => presence,
            other => panic!("a presence was due, not {other:?}"),
        }
    }

    fn watch(&self, user: &str) -> Option<Arc<Presence>> {
        self.ask(Request::Watch { conn: None, users: vec![id(user)] });
        match self.next() {
            Event::Watched { mut users, .. } => users.remove(0).2,
            other => panic!("an answer to `Watch` was due, not {other:?}"),
        }
    }

    fn open(&self, user: &str, number: u8) {
        let report = ReportChange::parse(Some("coding"), Some("x"), None).unwrap();
        let binding = binding(number, u32::from(number), hash_secret(&SECRET));
        self.ask(Request::Open { user: id(user), binding, report, profile: profile() });
    }

    fn resume(&self, number: u8, slot: u32) -> Option<UserId> {
        let binding = binding(number, slot, [1; 32]);
        self.ask(Request::Resume { binding, secret: hash_secret(&SECRET) });
        loop {
            if let Event::Resumed { user, .. } = self.next() {
                return user;
            }
        }
    }

    fn set_clock(&self, at: Timestamp) {
        self.clock.0.store(at.0, Ordering::Relaxed);
        // Any request makes the thread look at its clock.
        self.ask(Request::Watch { conn: None, users: Vec::new() });
    }

    /// As `kill -9` does: what the thread has not written is lost, nothing is finished. Dropping
    /// the requests' queue ends the thread where it stands.
    fn kill(self) {
        let Embedded { handle, thread, .. } = self.store;
        drop(handle);
        thread.join().unwrap();
    }
}

fn id(text: &str) -> UserId {
    UserId::parse(text).unwrap()
}

fn owner(slot: u32) -> Owner {
    let conn = ConnId { slot, tenant: 0 };
    Owner { node: Incarnation(1), shard: ShardId(0), conn }
}

fn binding(session: u8, slot: u32, token: TokenHash) -> Binding {
    Binding {
        session: SessionId([session; 16]),
        owner: owner(slot),
        token,
        address: "127.0.0.1".into(),
        client: "test".into(),
    }
}

fn profile() -> Profile {
    Profile {
        relations: RelationVersion(1),
        audience: Audience::default(),
        hidden: Vec::new(),
        seen: PerClass::default(),
    }
}

fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    files
        .map(|file| (file.file_name().into_string().unwrap(), fs::read(file.path()).unwrap()))
        .collect()
}

fn segment(dir: &Path) -> std::path::PathBuf {
    let mut names: Vec<_> = contents(dir).into_keys().filter(|n| n.ends_with(".log")).collect();
    names.sort();
    dir.join(names.pop().unwrap())
}

#[test]
fn a_killed_store_gives_every_session_its_time_to_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), START).unwrap();
    node.watch("dev_ada");
    node.open("dev_ada", 1);
    assert!(node.presence().shown.is_some());
    assert!(matches!(node.next(), Event::Opened { opened: true, .. }));
    node.kill();

    let back = START + Duration::from_secs(100);
    let node = start(dir.path(), back).unwrap();
    let held = node.watch("dev_ada").expect("the store knows of ada");
    assert_eq!(held.shown.as_ref().map(|shown| shown.status()), Some("coding"));
    assert_eq!(node.resume(1, 7), Some(id("dev_ada")));
    // Long after the window: the session that came back is there still.
    node.set_clock(back + 2 * WINDOW);
    assert!(matches!(node.next(), Event::Watched { .. }), "nobody heard anything");
    node.kill();
}

#[test]
fn a_session_that_stays_away_after_a_restart_ends_once_when_the_window_is_over() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), START).unwrap();
    node.watch("dev_ada");
    node.open("dev_ada", 1);
    node.presence();
    node.kill();

    let node = start(dir.path(), START + WINDOW).unwrap();
    node.watch("dev_ada");
    node.set_clock(START + 2 * WINDOW - Duration::from_micros(1));
    assert!(matches!(node.next(), Event::Watched { .. }), "not a moment too early");
    node.clock.0.store((START + 2 * WINDOW).0, Ordering::Relaxed);
    let gone = node.presence();
    assert_eq!(gone.shown, None);
    assert_eq!(gone.seen, PerClass::Same(START + 2 * WINDOW));
    assert_eq!(node.resume(1, 7), None);
    node.kill();
}

#[test]
fn after_more_than_five_minutes_down_sessions_ended_when_the_store_last_wrote_its_time() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), START).unwrap();
    node.open("dev_ada", 1);
    node.next();
    node.kill();

    let node = start(dir.path(), START + DOWN_MAX + Duration::from_secs(10)).unwrap();
    let held = node.watch("dev_ada").unwrap();
    assert_eq!((held.shown.clone(), held.seen.clone()), (None, PerClass::Same(START)));
    assert_eq!(node.resume(1, 7), None);
    node.kill();
}

#[test]
fn a_version_never_goes_back_over_restarts_even_when_the_clock_does() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), START).unwrap();
    node.watch("dev_ada");
    node.open("dev_ada", 1);
    let before = node.presence();
    node.kill();

    let node = start(dir.path(), START - Duration::from_secs(3_600)).unwrap();
    node.watch("dev_ada");
    assert_eq!(node.resume(1, 7), Some(id("dev_ada")));
    let change = ReportChange::parse(Some("reading"), None, None).unwrap();
    let session = SessionId([1; 16]);
    node.ask(Request::Report { user: id("dev_ada"), session, owner: owner(7), change });
    let after = node.presence();
    assert_eq!(after.epoch, before.epoch);
    assert!(after.version > before.version);
    node.kill();
}

#[test]
fn who_left_just_before_a_kill_is_told_to_the_directory_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), START).unwrap();
    node.watch("dev_ada");
    node.open("dev_ada", 1);
    node.presence();
    node.next();
    let session = SessionId([1; 16]);
    let end = Request::End { user: id("dev_ada"), session, owner: owner(1), cause: Cause::Goodbye };
    node.ask(end);
    let gone = node.presence();
    node.kill();

    let node = start(dir.path(), START + WINDOW).unwrap();
    assert_eq!(node.store.restored, [id("dev_ada")]);
    let batch = node.store.seen.recv_timeout(PATIENCE).unwrap();
    assert_eq!(batch, vec![(id("dev_ada"), gone.seen.clone())]);
    node.kill();
}

#[test]
fn what_a_login_could_not_read_is_laid_over_it_when_its_session_opens() {
    let mut state = State::new(Epoch(1));
    let mut events = Vec::new();
    let hidden = Preferences { visibility: Mode::Invisible, ..Preferences::default() };
    for request in [
        Request::Preferences { user: id("dev_ada"), preferences: hidden.clone() },
        Request::Relations { user: id("dev_ada"), version: RelationVersion(7) },
    ] {
        state.handle(START, ShardId(0), request, &mut events);
    }
    let open = Request::Open {
        user: id("dev_ada"),
        binding: binding(1, 1, [1; 32]),
        report: ReportChange::default(),
        profile: profile(),
    };
    state.handle(START, ShardId(0), open, &mut events);
    let held = state.read(&[id("dev_ada")]).remove(0).unwrap();
    assert_eq!((held.audience, held.relations), (hidden.audience(), RelationVersion(7)));
}

#[test]
fn last_seen_is_handed_out_when_the_last_session_ends_and_while_online() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), START).unwrap();
    node.open("dev_ada", 1);
    node.next();
    let later = START + Duration::from_secs(301);
    node.set_clock(later);
    let online = node.store.seen.recv_timeout(PATIENCE).unwrap();
    assert_eq!(online, vec![(id("dev_ada"), PerClass::Same(later))]);
    node.store.handle.seen_written(online).unwrap();
    let session = SessionId([1; 16]);
    let end = Request::End { user: id("dev_ada"), session, owner: owner(1), cause: Cause::Goodbye };
    let gone = later + Duration::from_secs(2);
    node.clock.0.store(gone.0, Ordering::Relaxed);
    node.ask(end);
    let ended = node.store.seen.recv_timeout(PATIENCE).unwrap();
    assert_eq!(ended, vec![(id("dev_ada"), PerClass::Same(gone))]);
    node.kill();
}

#[test]
fn a_user_without_sessions_is_forgotten_once_the_directory_has_the_last_seen() {
    let mut state = State::new(Epoch(1));
    let mut events = Vec::new();
    let open = Request::Open {
        user: id("dev_ada"),
        binding: binding(1, 1, [1; 32]),
        report: ReportChange::default(),
        profile: profile(),
    };
    state.handle(START, ShardId(0), open, &mut events);
    let session = SessionId([1; 16]);
    let end = Request::End { user: id("dev_ada"), session, owner: owner(1), cause: Cause::Goodbye };
    state.handle(START, ShardId(0), end, &mut events);
    let later = START + state::FORGET_AFTER;
    state.forget_idle(later);
    assert!(state.read(&[id("dev_ada")])[0].is_some(), "the directory does not have it yet");
    let batch = state.take_unwritten(later, 10).unwrap();
    state.seen_written(&batch);
    state.forget_idle(later + state::FORGET_AFTER);
    assert!(state.read(&[id("dev_ada")])[0].is_none());
}
