//! Whoever loses sight of somebody cannot tell whether that one hid or left.

use simulation::{Fault, Hiding, compare};

fn seeds() -> u64 {
    let asked = std::env::var("ROLLCALL_SEEDS").ok().and_then(|seeds| seeds.parse().ok());
    // Both worlds of each of four ways.
    asked.unwrap_or(240) / 4
}

fn nobody_can_tell(hiding: Hiding) {
    for seed in 0..seeds() {
        if let Err(violation) = compare(seed, hiding, None) {
            panic!("{violation}");
        }
    }
}

#[test]
fn going_invisible_looks_exactly_like_leaving() {
    nobody_can_tell(Hiding::Invisible);
}

#[test]
fn narrowing_the_visibility_looks_exactly_like_leaving() {
    nobody_can_tell(Hiding::Narrowed);
}

#[test]
fn narrowing_a_fields_audience_looks_exactly_like_clearing_it() {
    nobody_can_tell(Hiding::Field);
}

#[test]
fn blocking_looks_exactly_like_leaving() {
    nobody_can_tell(Hiding::Blocked);
}

#[test]
fn a_last_seen_that_follows_the_hidden_is_found() {
    let is_found =
        |seed| compare(seed, Hiding::Invisible, Some(Fault::LastSeenOfTheHidden)).is_err();
    assert!((0..60).any(is_found));
}
