//! Rates as the generic cell rate algorithm (ITU-T I.371): one moment per bucket, no timer.

use std::time::Duration;

use crate::time::Timestamp;

/// How often something may happen, and how much of it at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Time that pays for one; none for no limit.
    pub every: Option<Duration>,
    /// How many may come at once.
    pub burst: u32,
}

impl Rate {
    /// No limit.
    pub const UNLIMITED: Self = Self { every: None, burst: 0 };

    /// So many per span; zero for no limit.
    pub fn per(span: Duration, count: u32, burst: u32) -> Self {
        Self { every: span.checked_div(count), burst }
    }
}

/// What one source has used of a rate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bucket {
    /// When the source would have paid for all that it has taken.
    paid_at: Timestamp,
}

impl Bucket {
    /// Takes one, or tells when the next may be taken.
    pub fn take(&mut self, now: Timestamp, rate: Rate) -> Result<(), Timestamp> {
        let Some(every) = rate.every else { return Ok(()) };
        let allowance = every * rate.burst.saturating_sub(1);
        let paid_at = self.paid_at.max(now);
        if paid_at.since(now) > allowance {
            return Err(paid_at - allowance);
        }
        self.paid_at = paid_at + every;
        Ok(())
    }

    /// Gives one back.
    pub fn refund(&mut self, rate: Rate) {
        if let Some(every) = rate.every {
            self.paid_at = self.paid_at - every;
        }
    }

    /// Whether nothing is owed, so that the bucket need not be kept.
    pub fn is_full(&self, now: Timestamp) -> bool {
        self.paid_at <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_burst_passes_and_then_one_per_interval() {
        let rate = Rate::per(SECOND, 1, 5);
        let start = Timestamp::from_secs(100);
        let mut bucket = Bucket::default();
        for _ in 0..5 {
            assert_eq!(bucket.take(start, rate), Ok(()));
        }
        assert_eq!(bucket.take(start, rate), Err(start + SECOND));
        assert_eq!(bucket.take(start + SECOND, rate), Ok(()));
        assert_eq!(bucket.take(start + SECOND, rate), Err(start + 2 * SECOND));
        assert!(!bucket.is_full(start + SECOND));
        assert!(bucket.is_full(start + 6 * SECOND));
    }

    #[test]
    fn a_refund_gives_one_back() {
        let rate = Rate::per(SECOND, 1, 1);
        let now = Timestamp::from_secs(100);
        let mut bucket = Bucket::default();
        assert_eq!(bucket.take(now, rate), Ok(()));
        assert!(bucket.take(now, rate).is_err());
        bucket.refund(rate);
        assert_eq!(bucket.take(now, rate), Ok(()));
    }

    #[test]
    fn a_rate_of_zero_is_no_limit() {
        let mut bucket = Bucket::default();
        for _ in 0..1_000 {
            assert_eq!(bucket.take(Timestamp(1), Rate::per(SECOND, 0, 5)), Ok(()));
        }
    }
}
