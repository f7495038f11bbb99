//! The one place where the client reads the clock.

use std::time::Instant;

/// The present moment, for the drivers; the rules are given it.
#[expect(
    clippy::disallowed_methods,
    reason = "a client has no server::clock; this is its only clock"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}
