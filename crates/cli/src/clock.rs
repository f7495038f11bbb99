//! The one place where the command line reads a clock.

use std::time::{Duration, Instant, SystemTime};

/// The present moment, for measuring how long things take.
#[expect(clippy::disallowed_methods, reason = "a tool has no server::clock; this is its only one")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Time since the Unix epoch; zero for a clock that stands before it.
#[expect(clippy::disallowed_methods, reason = "a tool has no server::clock; this is its only one")]
pub(crate) fn since_epoch() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
