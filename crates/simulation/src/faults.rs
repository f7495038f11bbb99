//! Bugs planted on purpose, to show that the checks find them.

/// A bug in one of the models. The models of a world without a fault have none that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The store reads the snapshot first and subscribes somewhat later.
    SnapshotBeforeSubscription,
    /// The directory's changes of relations are never told to the store.
    RelationsNotRaised,
    /// The token before the last stays good after the first frame.
    PreviousTokenStaysGood,
    /// The store publishes as if everyone might see everything.
    AudienceForgotten,
    /// A session that ends is last seen now, also by those it was hidden from.
    LastSeenOfTheHidden,
    /// A node that drops a socket ends the session instead of keeping it for the window.
    DropEndsTheSession,
}
