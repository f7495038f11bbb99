//! The node's one clock.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use presence::time::Timestamp;

/// Wall time at the start, and from then on monotonic time: it never goes back while the process
/// lives, whatever is done to the machine's clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NodeClock {
    started: Timestamp,
    origin: Instant,
}

impl NodeClock {
    /// Starts at the machine's time.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads clocks")]
    pub(crate) fn start() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let micros = u64::try_from(wall.as_micros()).unwrap_or(u64::MAX);
        Self { started: Timestamp(micros), origin: Instant::now() }
    }

    /// Now.
    pub(crate) fn now(&self) -> Timestamp {
        self.started + self.origin.elapsed()
    }
}

impl store::Clock for NodeClock {
    fn now(&self) -> Timestamp {
        Self::now(self)
    }
}
