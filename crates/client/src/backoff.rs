//! How long to wait before trying again: full jitter over a doubling bound.
//!
//! This module never reads a random number: the caller hands one in. The scheme is "full jitter" of
//! <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>.

use std::time::Duration;

/// The bound of the first wait.
pub(crate) const BACKOFF_BASE: Duration = Duration::from_secs(1);
/// The bound of any wait.
pub(crate) const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// Counts attempts that failed in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// The next wait: evenly spread from `at_least` over the bound, which then doubles.
    ///
    /// `random` is from 0 up to, and without, 1.
    pub(crate) fn next(&mut self, at_least: Duration, random: f64) -> Duration {
        assert!((0.0..1.0).contains(&random), "a random number from 0 up to 1 is handed in");
        let doubled = BACKOFF_BASE.saturating_mul(1 << self.attempts.min(16));
        self.attempts = self.attempts.saturating_add(1);
        let bound = doubled.min(BACKOFF_MAX);
        at_least + bound.mul_f64(random)
    }

    /// A connection held: the next wait is a first one.
    pub(crate) fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_doubles_up_to_a_minute_and_the_wait_is_spread_from_zero() {
        let mut backoff = Backoff::default();
        let waits: Vec<u64> =
            (0..9).map(|_| backoff.next(Duration::ZERO, 0.5).as_millis() as u64).collect();
        assert_eq!(waits, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
        assert_eq!(backoff.next(Duration::ZERO, 0.0), Duration::ZERO);
        backoff.reset();
        assert_eq!(backoff.next(Duration::from_secs(30), 0.5), Duration::from_millis(30_500));
    }

    #[test]
    fn a_thousand_failures_do_not_overflow() {
        let mut backoff = Backoff { attempts: u32::MAX };
        assert!(backoff.next(Duration::ZERO, 0.999) < BACKOFF_MAX);
    }
}
