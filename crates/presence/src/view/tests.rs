//! Views, the moments of classes, and what a watcher keeps of its own past.

use super::*;
use crate::visibility::{Mode, Preferences};

fn presence(visibility: Mode, shown: Option<Shown>) -> Presence {
    let audience = Preferences { visibility, ..Preferences::default() }.audience();
    let offline = Presence::offline(PerClass::default(), RelationVersion(0));
    Presence { audience, shown, ..offline }
}

#[test]
fn fields_are_found_again_in_the_joined_text() {
    let shown = Shown::new("coding", "rollçall", "rust");
    assert_eq!((shown.status(), shown.project(), shown.language()), ("coding", "rollçall", "rust"));
    let bare = Shown::new(ONLINE, "", "");
    assert_eq!((bare.status(), bare.project(), bare.language()), (ONLINE, "", ""));
}

#[test]
fn moments_are_stored_once_while_all_classes_agree() {
    let mut seen = PerClass::default();
    seen.set(0b1, Timestamp(5));
    assert!(matches!(seen, PerClass::Each(_)));
    assert_eq!(seen.latest(), Timestamp(5));
    seen.set(!0b1, Timestamp(5));
    assert_eq!(seen, PerClass::Same(Timestamp(5)));
}

#[test]
fn who_may_not_see_the_activity_sees_online() {
    let mut hidden = presence(Mode::Everyone, Some(Shown::new("coding", "x", "rust")));
    hidden.audience =
        Preferences { activity: Mode::Invisible, ..Preferences::default() }.audience();
    assert_eq!(
        hidden.view(Relation::FOLLOWS, Sight::default()),
        View::Online { status: ONLINE, project: "x", language: "rust" }
    );
}

const PINNED: Relation = Relation::FOLLOWS.with(Relation::PINNED_BACK);

fn audience_of(visibility: Mode) -> u16 {
    Preferences { visibility, ..Preferences::default() }.audience().presence
}

/// Shown to everyone until 3, then to close friends until 7, then to nobody.
fn withdrawn() -> Presence {
    let mut gone = presence(Mode::Invisible, Some(Shown::new("coding", "", "")));
    for moments in [&mut gone.seen, &mut gone.changed] {
        moments.set(u16::MAX, Timestamp(3));
        moments.set(audience_of(Mode::CloseFriends), Timestamp(7));
    }
    gone
}

/// The same, once close friends have seen the subject come and go again.
fn seen_again_by_close_friends(mut presence: Presence, at: Timestamp) -> Presence {
    presence.seen.set(1 << PINNED.class().index(), at);
    presence.changed.set(1 << PINNED.class().index(), at);
    presence
}

#[test]
fn losing_a_pin_freezes_the_last_seen_at_that_moment() {
    let here = presence(Mode::CloseFriends, Some(Shown::new("coding", "", "")));
    let sight = Sight::default().after(&here, PINNED, Relation::FOLLOWS, Timestamp(9));
    assert_eq!((sight.changed, sight.seen), (Timestamp(9), Timestamp(9)));
    assert_eq!(here.view(Relation::FOLLOWS, sight), View::Offline { seen: Timestamp(9) });
}

#[test]
fn a_change_of_relation_that_shows_nothing_leaves_no_mark() {
    let here = presence(Mode::Everyone, Some(Shown::new("coding", "", "")));
    for (old, new) in [(Relation::FOLLOWS, PINNED), (PINNED, Relation::FOLLOWS)] {
        assert_eq!(Sight::default().after(&here, old, new, Timestamp(9)), Sight::default());
    }
}

#[test]
fn a_change_that_only_the_old_class_saw_is_still_told_to_who_was_away() {
    // The project has become visible to all; close friends had seen it before.
    let mut here = presence(Mode::Everyone, Some(Shown::new("coding", "x", "")));
    here.changed.set(!(1 << PINNED.class().index()), Timestamp(8));
    let sight = Sight::default().after(&here, Relation::FOLLOWS, PINNED, Timestamp(9));
    assert_eq!(here.changed_for(PINNED, sight), Timestamp(8));
}

#[test]
fn a_change_that_only_the_new_class_saw_is_not_told_to_who_joins_it() {
    // The project was hidden from all but close friends and is gone again.
    let mut here = presence(Mode::Everyone, Some(Shown::new("coding", "", "")));
    here.changed.set(1 << PINNED.class().index(), Timestamp(8));
    let sight = Sight::default().after(&here, Relation::FOLLOWS, PINNED, Timestamp(9));
    assert_eq!(here.changed_for(PINNED, sight), Timestamp::NEVER);

    // A change that the state was read too early for counts, whatever the clocks say.
    let later = seen_again_by_close_friends(here, Timestamp(9));
    assert_eq!(later.changed_for(PINNED, sight), Timestamp(9));
}

#[test]
fn losing_a_pin_while_offline_does_not_turn_the_last_seen_back() {
    let mut gone = presence(Mode::CloseFriends, None);
    gone.seen.set(1 << PINNED.class().index(), Timestamp(7));
    let sight = Sight::default().after(&gone, PINNED, Relation::FOLLOWS, Timestamp(9));
    assert_eq!(gone.view(Relation::FOLLOWS, sight), View::Offline { seen: Timestamp(7) });
    assert_eq!(sight.changed, Timestamp::NEVER, "the view is the same");
}

#[test]
fn a_pin_does_not_tell_what_close_friends_saw_before_it() {
    let gone = withdrawn();
    let before = gone.view(Relation::FOLLOWS, Sight::default());
    let sight = Sight::default().after(&gone, Relation::FOLLOWS, PINNED, Timestamp(9));
    assert_eq!(before, View::Offline { seen: Timestamp(3) });
    assert_eq!(gone.view(PINNED, sight), before);
    assert_eq!(gone.changed_for(PINNED, sight), Timestamp(3), "no `sync` in part tells it");

    // What close friends see from then on counts.
    let again = seen_again_by_close_friends(gone, Timestamp(12));
    assert_eq!(again.view(PINNED, sight), View::Offline { seen: Timestamp(12) });
    assert_eq!(again.changed_for(PINNED, sight), Timestamp(12));
}

#[test]
fn a_pin_and_its_end_leave_what_was_known_before() {
    let gone = withdrawn();
    let pinned = Sight::default().after(&gone, Relation::FOLLOWS, PINNED, Timestamp(9));
    let unpinned = pinned.after(&gone, PINNED, Relation::FOLLOWS, Timestamp(10));
    for (relation, sight) in [(PINNED, pinned), (Relation::FOLLOWS, unpinned)] {
        assert_eq!(gone.view(relation, sight), View::Offline { seen: Timestamp(3) });
        assert_eq!(gone.changed_for(relation, sight), Timestamp(3));
    }
}

#[test]
fn who_gains_sight_sees_the_subject_leave_later() {
    let mut here = presence(Mode::CloseFriends, Some(Shown::new("coding", "", "")));
    let sight = Sight::default().after(&here, Relation::FOLLOWS, PINNED, Timestamp(9));
    assert_eq!(here.changed_for(PINNED, sight), Timestamp(9));
    here.shown = None;
    let gone = seen_again_by_close_friends(here, Timestamp(12));
    assert_eq!(gone.view(PINNED, sight), View::Offline { seen: Timestamp(12) });
}

#[test]
fn the_blocked_keep_their_last_seen_and_an_unblock_does_not_raise_it() {
    let blocked = Relation::FOLLOWS.with(Relation::BLOCKED);
    let here = presence(Mode::Everyone, Some(Shown::new("coding", "", "")));
    let cut = Sight::default().after(&here, Relation::FOLLOWS, blocked, Timestamp(5));
    let mut gone = presence(Mode::Everyone, None);
    gone.seen.set(u16::MAX, Timestamp(7));
    gone.changed.set(u16::MAX, Timestamp(7));
    assert_eq!(gone.view(blocked, cut), View::Offline { seen: Timestamp(5) });
    assert_eq!(gone.changed_for(blocked, cut), Timestamp(5));

    let free = cut.after(&gone, blocked, Relation::FOLLOWS, Timestamp(9));
    assert_eq!(gone.view(Relation::FOLLOWS, free), View::Offline { seen: Timestamp(5) });
    assert_eq!(gone.changed_for(Relation::FOLLOWS, free), Timestamp(5));

    // Unblocked while the subject is here, the blocked sees it.
    let free = cut.after(&here, blocked, Relation::FOLLOWS, Timestamp(9));
    assert!(matches!(here.view(Relation::FOLLOWS, free), View::Online { .. }));
    assert_eq!(here.changed_for(Relation::FOLLOWS, free), Timestamp(9));
}
