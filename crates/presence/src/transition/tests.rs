//! Tables and a random walk over the transitions of one user.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::hello::hash_secret;
use crate::ids::{ConnId, ShardId};
use crate::relation::Relation;
use crate::view::{Sight, View};
use crate::visibility::{Mode, Preferences};

const SECOND: Duration = Duration::from_secs(1);

/// A user's record under a clock that goes on by a second with each transition.
struct Walk {
    record: UserRecord,
    now: Timestamp,
}

impl Walk {
    fn new() -> Self {
        Self { record: UserRecord::new(&profile(Mode::Everyone)), now: Timestamp::from_secs(1_000) }
    }

    fn apply(&mut self, transition: Transition) -> Outcome {
        self.now = self.now + SECOND;
        let context = Context { now: self.now, epoch: Epoch(7) };
        self.record.apply(context, transition)
    }

    fn open(&mut self, n: u8, report: &str) -> Outcome {
        let report = if report.is_empty() { ReportChange::default() } else { says(report) };
        self.apply(Transition::Open {
            binding: binding(n, n),
            report,
            profile: profile(Mode::Everyone),
        })
    }

    fn view(&self, relation: Relation) -> View<'_> {
        self.record.presence.view(relation, Sight::default())
    }
}

fn profile(visibility: Mode) -> Profile {
    Profile {
        relations: RelationVersion(1),
        audience: Preferences { visibility, ..Preferences::default() }.audience(),
        hidden: Vec::new(),
        seen: PerClass::default(),
    }
}

fn owner(socket: u8) -> Owner {
    Owner {
        node: Incarnation(1),
        shard: ShardId(0),
        conn: ConnId { slot: u32::from(socket), tenant: 0 },
    }
}

fn secret(n: u8) -> TokenHash {
    hash_secret(&[n; 32])
}

/// Session `n` on socket `socket`, whose token is that of the socket.
fn binding(n: u8, socket: u8) -> Binding {
    Binding {
        session: SessionId([n; 16]),
        owner: owner(socket),
        token: secret(socket),
        address: "".into(),
        client: "".into(),
    }
}

fn says(status: &str) -> ReportChange {
    ReportChange::parse(Some(status), None, None).unwrap()
}

fn report(n: u8, socket: u8, status: &str) -> Transition {
    Transition::Report { session: SessionId([n; 16]), owner: owner(socket), change: says(status) }
}

fn resume(n: u8, socket: u8, brought: u8) -> Transition {
    Transition::Resume { binding: binding(n, socket), secret: secret(brought) }
}

fn end(n: u8) -> Transition {
    Transition::End { session: SessionId([n; 16]), owner: owner(n) }
}

fn detach(n: u8, socket: u8, until: Timestamp) -> Transition {
    Transition::Detach { session: SessionId([n; 16]), owner: owner(socket), until }
}

fn prefer(visibility: Mode) -> Transition {
    let audience = Preferences { visibility, ..Preferences::default() }.audience();
    Transition::Preferences { audience, hidden: Vec::new() }
}

const FOLLOWER: Relation = Relation::FOLLOWS;

#[test]
fn the_first_session_is_published_and_a_second_that_changes_nothing_is_not() {
    let mut walk = Walk::new();
    let opened = walk.open(1, "coding");
    assert_eq!(opened.published.unwrap().shown, Some(Shown::new("coding", "", "")));
    for quieter in ["", "idle"] {
        let second = walk.open(2, quieter);
        assert_eq!((second.verdict, second.published), (Verdict::Done, None));
        assert_eq!(walk.apply(end(2)).published, None);
    }
}

#[test]
fn only_the_last_session_that_ends_turns_the_user_offline() {
    let mut walk = Walk::new();
    walk.open(1, "coding");
    walk.open(2, "coding");
    assert_eq!(walk.apply(end(1)).published, None);
    let last = walk.apply(end(2)).published.unwrap();
    assert_eq!(last.shown, None);
    assert_eq!(walk.view(FOLLOWER), View::Offline { seen: walk.now });
    assert_eq!(walk.apply(end(2)).verdict, Verdict::NotOwner, "an end is announced once");
}

#[test]
fn a_drop_and_a_resume_in_time_publish_nothing() {
    let mut walk = Walk::new();
    walk.open(1, "coding");
    let until = walk.now + 60 * SECOND;
    assert_eq!(walk.apply(detach(1, 1, until)).published, None);
    assert_eq!(walk.apply(Transition::Sweep).published, None);
    let back = walk.apply(resume(1, 2, 1));
    assert_eq!((back.verdict, back.published), (Verdict::Resumed { displaced: None }, None));
    assert_eq!(walk.record.next_due(), None);
}

#[test]
fn a_session_that_stays_away_ends_once_at_its_deadline() {
    let mut walk = Walk::new();
    walk.open(1, "coding");
    let until = walk.now + 3 * SECOND;
    walk.apply(detach(1, 1, until));
    assert_eq!(walk.record.next_due(), Some(until));
    assert!(!walk.apply(Transition::Sweep).dirty, "not yet");
    let swept = walk.apply(Transition::Sweep);
    assert_eq!(swept.ended, [SessionId([1; 16])]);
    assert!(swept.published.is_some_and(|presence| presence.shown.is_none()));
    let again = walk.apply(Transition::Sweep);
    assert_eq!((again.dirty, again.published), (false, None));
    assert_eq!(walk.apply(resume(1, 2, 1)).verdict, Verdict::ResumeFailed);
}

#[test]
fn a_token_is_replaced_at_each_resume_and_the_one_before_is_good_until_the_first_frame() {
    let mut walk = Walk::new();
    walk.open(1, "");
    let resumed = |from: u8| Verdict::Resumed { displaced: Some(owner(from)) };
    assert_eq!(walk.apply(resume(1, 2, 1)).verdict, resumed(1));
    assert_eq!(walk.apply(resume(1, 3, 1)).verdict, resumed(2), "the welcome was lost");
    assert_eq!(walk.apply(resume(1, 4, 2)).verdict, Verdict::ResumeFailed, "socket 2's token");
    let confirm =
        |socket| Transition::Confirm { session: SessionId([1; 16]), owner: owner(socket) };
    assert_eq!(walk.apply(confirm(2)).verdict, Verdict::NotOwner);
    assert!(walk.apply(confirm(3)).dirty);
    assert!(!walk.apply(confirm(3)).dirty, "twice changes nothing");
    assert_eq!(walk.apply(resume(1, 4, 1)).verdict, Verdict::ResumeFailed, "the one before");
    assert_eq!(walk.apply(resume(1, 4, 9)).verdict, Verdict::ResumeFailed, "a wrong one");
    assert_eq!(walk.apply(resume(1, 4, 3)).verdict, resumed(3));
}

#[test]
fn what_a_displaced_socket_still_says_changes_nothing() {
    let mut walk = Walk::new();
    walk.open(1, "coding");
    walk.apply(resume(1, 2, 1));
    let before = walk.record.clone();
    let until = walk.now;
    for late in [report(1, 1, "debugging"), detach(1, 1, until), end(1)] {
        let outcome = walk.apply(late);
        assert_eq!((outcome.verdict, outcome.dirty), (Verdict::NotOwner, false));
    }
    assert_eq!(walk.record, before);
}

#[test]
fn the_twenty_first_session_ends_the_oldest_detached_or_is_refused() {
    let mut walk = Walk::new();
    for n in 1..=20 {
        walk.open(n, "");
    }
    let refused = walk.open(21, "");
    assert_eq!((refused.verdict, refused.dirty), (Verdict::TooManySessions, false));
    for n in [5, 3] {
        let until = walk.now + 60 * SECOND;
        walk.apply(detach(n, n, until));
    }
    assert_eq!(walk.open(21, "").ended, [SessionId([3; 16])]);
    assert_eq!(walk.record.sessions.len(), SESSIONS_PER_USER_MAX);
}

#[test]
fn a_login_takes_nothing_back_of_what_another_session_has_hidden() {
    let mut walk = Walk::new();
    walk.open(1, "coding");
    walk.apply(prefer(Mode::Invisible));
    let hidden_at = walk.now;
    // Its profile was read before.
    walk.open(2, "debugging");
    assert_eq!(walk.view(FOLLOWER), View::Offline { seen: hidden_at });
}

#[test]
fn going_invisible_is_seen_as_an_end_and_freezes_the_moments() {
    let mut hiding = Walk::new();
    let mut leaving = Walk::new();
    hiding.open(1, "coding");
    leaving.open(1, "coding");
    hiding.apply(prefer(Mode::Invisible));
    leaving.apply(end(1));
    // However active the one stays.
    hiding.open(2, "debugging");
    hiding.apply(report(1, 1, "reading"));
    hiding.apply(end(2));
    let moments = |walk: &Walk, class: Class| {
        let presence = &walk.record.presence;
        (presence.changed.get(class), presence.seen.get(class))
    };
    for class in Class::all() {
        assert_eq!(moments(&hiding, class), moments(&leaving, class));
        assert_eq!(hiding.view(class.relation()), leaving.view(class.relation()));
    }
}

#[test]
fn moments_are_kept_per_audience() {
    let mut walk = Walk::new();
    walk.open(1, "coding");
    walk.apply(prefer(Mode::CloseFriends));
    let narrowed = walk.now;
    walk.apply(report(1, 1, "debugging"));
    let reported = walk.now;
    walk.apply(end(1));
    let friend = FOLLOWER.with(Relation::PINNED_BACK);
    assert_eq!(walk.view(FOLLOWER), View::Offline { seen: narrowed });
    assert_eq!(walk.view(friend), View::Offline { seen: walk.now });
    let changed = |relation: Relation| walk.record.presence.changed.get(relation.class());
    assert_eq!(changed(FOLLOWER), narrowed);
    assert!(changed(friend) > reported);
}

#[test]
fn a_status_by_hand_wins_until_it_ends() {
    let mut walk = Walk::new();
    walk.open(1, "coding");
    let until = walk.now + 3 * SECOND;
    let manual = Manual { status: "on holiday".into(), until: Some(until) };
    let set = walk.apply(Transition::Manual(Some(manual))).published.unwrap();
    assert_eq!(set.shown, Some(Shown::new("on holiday", "", "")));
    assert_eq!(walk.apply(report(1, 1, "debugging")).published, None);
    assert_eq!(walk.record.next_due(), Some(until));
    let over = walk.apply(Transition::Sweep).published.unwrap();
    assert_eq!(over.shown, Some(Shown::new("debugging", "", "")));
}

#[test]
fn a_sign_out_ends_one_session_or_all_and_tells_their_sockets() {
    let mut walk = Walk::new();
    for n in 1..=3 {
        walk.open(n, "");
    }
    let until = walk.now + 60 * SECOND;
    walk.apply(detach(2, 2, until));
    let id = |n: u8| SessionId([n; 16]);
    let one = walk.apply(Transition::Signout { session: Some(id(1)) });
    assert_eq!(one.verdict, Verdict::SignedOut(vec![(id(1), Some(owner(1)))]));
    let unknown = walk.apply(Transition::Signout { session: Some(id(9)) });
    assert_eq!((unknown.verdict, unknown.dirty), (Verdict::SignedOut(Vec::new()), false));
    let all = walk.apply(Transition::Signout { session: None });
    let both = vec![(id(2), None), (id(3), Some(owner(3)))];
    assert_eq!(all.verdict, Verdict::SignedOut(both));
    assert!(all.published.is_some_and(|presence| presence.shown.is_none()));
}

#[test]
fn an_adopter_detaches_the_dead_nodes_sessions_and_tells_nobody() {
    let mut walk = Walk::new();
    walk.open(1, "coding");
    let until = walk.now + 60 * SECOND;
    let adopt = |dead| Transition::Adopt { dead, until };
    walk.apply(adopt(Some(Incarnation(2))));
    assert_eq!(walk.record.sessions[0].life, Life::Live(owner(1)), "another node's");
    assert_eq!(walk.apply(adopt(Some(Incarnation(1)))).published, None);
    assert_eq!(walk.record.sessions[0].life, Life::Detached { until });
    walk.apply(resume(1, 2, 1));
    assert_eq!(walk.apply(adopt(None)).published, None);
    assert_eq!(walk.record.sessions[0].life, Life::Detached { until });
}

#[test]
fn relations_never_go_back_and_change_no_moment() {
    let mut walk = Walk::new();
    walk.open(1, "coding");
    let before = walk.record.presence.clone();
    let raised = walk.apply(Transition::Relations(RelationVersion(5))).published.unwrap();
    assert_eq!(raised.relations, RelationVersion(5));
    assert!(raised.version > before.version);
    assert_eq!((&raised.changed, &raised.seen), (&before.changed, &before.seen));
    assert_eq!(walk.apply(Transition::Relations(RelationVersion(4))).published, None);
}

#[test]
fn a_clock_that_goes_back_does_not_turn_the_version_back() {
    let mut walk = Walk::new();
    let first = walk.open(1, "coding").published.unwrap().version;
    walk.now = Timestamp::from_secs(1);
    let second = walk.apply(report(1, 1, "reading")).published.unwrap().version;
    assert_eq!(second, Version(first.0 + 1));
}

fn steps() -> impl Strategy<Value = Vec<(u8, u8, u8)>> {
    proptest::collection::vec((0u8..10, 0u8..4, 0u8..8), 1..60)
}

/// A step of the walk; some of what it makes is not allowed, and then does nothing.
fn step(now: Timestamp, (kind, n, other): (u8, u8, u8)) -> Transition {
    let words = ["coding", "debugging", "idle", "online"];
    let word = words[usize::from(other % 4)];
    match kind {
        0 | 1 => Transition::Open {
            binding: binding(n, n),
            report: says(word),
            profile: profile(Mode::Everyone),
        },
        2 => report(n, n, word),
        3 => detach(n, n, now + u32::from(other) * SECOND),
        4 => end(n),
        5 => resume(n, n, other),
        6 => Transition::Sweep,
        7 => prefer(Mode::NAMES[usize::from(other) % 5].0),
        8 => {
            let until = (other > 4).then_some(now + u32::from(other) * SECOND);
            let manual = Manual { status: "by hand".into(), until };
            Transition::Manual((other > 2).then_some(manual))
        }
        _ => Transition::Relations(RelationVersion(u64::from(other))),
    }
}

proptest! {
    #[test]
    fn whatever_happens_a_presence_is_told_exactly_when_it_changed(steps in steps()) {
        let mut walk = Walk::new();
        for transition in steps {
            let transition = step(walk.now, transition);
            let is_new = |n: &Binding| walk.record.sessions.iter().all(|s| s.id != n.session);
            if matches!(&transition, Transition::Open { binding, .. } if !is_new(binding)) {
                continue;
            }
            let before = walk.record.clone();
            let outcome = walk.apply(transition.clone());
            let (old, new) = (&before.presence, &walk.record.presence);
            prop_assert_eq!(outcome.published.is_some(), old != new);
            prop_assert!(outcome.dirty || before == walk.record, "{:?}", transition);
            prop_assert_eq!(new.shown.is_none(), walk.record.sessions.is_empty());
            prop_assert!(old == new || new.supersedes(old));
            for class in Class::all() {
                let view = |presence: &'_ Arc<Presence>| {
                    format!("{:?}", presence.view(class.relation(), Sight::default()))
                };
                let is_changed = view(old) != view(new);
                let at = if is_changed { walk.now } else { old.changed.get(class) };
                prop_assert_eq!(new.changed.get(class), at, "{:?} {:?}", class, transition);
                prop_assert!(new.seen.get(class) >= old.seen.get(class));
            }
            if matches!(transition, Transition::Sweep) {
                prop_assert!(walk.record.next_due().is_none_or(|due| due > walk.now));
            }
            // A report, a sweep, preferences: twice changes nothing.
            let once = walk.record.clone();
            let is_repeatable = !matches!(transition, Transition::Open { .. });
            if is_repeatable {
                let context = Context { now: walk.now, epoch: Epoch(7) };
                walk.record.apply(context, transition.clone());
                if !matches!(transition, Transition::Resume { .. }) {
                    prop_assert_eq!(&walk.record, &once, "{:?}", transition);
                }
            }
        }
    }
}
