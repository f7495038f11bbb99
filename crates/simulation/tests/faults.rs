//! Planted bugs are found, each within few seeds: the checks check.

use simulation::{Fault, Mix, Scenario, run};

/// Runs seeds with a bug until one shows it; tells what it showed.
fn found(fault: Fault) -> String {
    let violation =
        (0..200).find_map(|seed| run(Scenario::new(seed, Mix::Everything).with(fault)).err());
    violation.unwrap_or_else(|| panic!("{fault:?} is not found")).to_string()
}

#[test]
fn a_snapshot_before_the_subscription_is_found() {
    found(Fault::SnapshotBeforeSubscription);
}

#[test]
fn relations_that_are_not_raised_are_found() {
    found(Fault::RelationsNotRaised);
}

#[test]
fn a_token_that_stays_good_too_long_is_found() {
    let what = found(Fault::PreviousTokenStaysGood);
    assert!(what.contains("a token that was good no more"), "{what}");
}

#[test]
fn a_view_made_without_the_audience_is_found() {
    found(Fault::AudienceForgotten);
}

#[test]
fn a_drop_that_ends_the_session_is_found() {
    let fault = Fault::DropEndsTheSession;
    let runs = (0..20).map(|seed| run(Scenario::new(seed, Mix::OnlyDrops).with(fault)));
    let refused: usize = runs.flatten().map(|report| report.refused).sum();
    assert!(refused > 0, "sessions that came back in time were gone");
}
