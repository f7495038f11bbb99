//! When each report was due, for a while: what latencies are measured from, and how many reports
//! are still on their way.
//!
//! Times are microseconds since the start of the run, modulo 2³²: a latency is at most 71 minutes.

use hdrhistogram::Histogram;

/// Reports of one user that are remembered.
const DEPTH_MAX: usize = 1024;
/// And at least.
const DEPTH_MIN: usize = 16;
/// Memory that the whole record takes at most.
const BYTES_MAX: usize = 512 << 20;
/// Longest latency that is told apart, in microseconds: ten minutes.
const LATENCY_US_MAX: u64 = 600_000_000;

/// One report: when it was due, and how many watchers have not heard of it or of a newer one.
///
/// An array, for a vector of zeroed arrays takes no memory before it is used.
type Sent = [u32; 2];
const DUE_US: usize = 0;
const MISSING: usize = 1;

/// The last reports of every user.
pub(crate) struct Sends {
    depth: usize,
    ring: Vec<Sent>,
    watchers: u32,
    outstanding: usize,
    forgotten: u64,
    histogram: Histogram<u64>,
}

impl Sends {
    /// For that many users with so many watchers each.
    pub(crate) fn new(users: u32, watchers: usize) -> Self {
        let each = BYTES_MAX / size_of::<Sent>() / users.max(1) as usize;
        let depth = (each.max(1).ilog2()).min(DEPTH_MAX.ilog2());
        let depth = (1_usize << depth).max(DEPTH_MIN);
        let histogram = Histogram::new_with_bounds(1, LATENCY_US_MAX, 3);
        Self {
            depth,
            ring: vec![[0, 0]; depth * users as usize],
            watchers: watchers as u32,
            outstanding: 0,
            forgotten: 0,
            histogram: histogram.expect("the bounds are constants, and in order"),
        }
    }

    /// A report is sent that was due then.
    pub(crate) fn sent(&mut self, user: u32, number: u32, due_us: u32) {
        let watchers = self.watchers;
        let slot = self.slot(user, number);
        let replaced = std::mem::replace(slot, [due_us, watchers]);
        if replaced[MISSING] > 0 {
            self.forgotten += u64::from(replaced[MISSING]);
        } else {
            self.outstanding += 1;
        }
    }

    /// A watcher now has the reports `first` to `last` of that user, or newer ones in their place.
    pub(crate) fn delivered(&mut self, user: u32, first: u32, last: u32, now_us: u32, newest: u32) {
        let oldest = (newest + 1).saturating_sub(self.depth as u32);
        // Number 0 is the report in `hello`, which is not measured; those that left the record were
        // counted when they left it.
        for number in first.max(oldest).max(1)..=last {
            let slot = self.slot(user, number);
            slot[MISSING] = slot[MISSING].saturating_sub(1);
            let latency_us = now_us.wrapping_sub(slot[DUE_US]);
            let done = slot[MISSING] == 0;
            self.outstanding -= usize::from(done);
            self.histogram.saturating_record(u64::from(latency_us).max(1));
        }
    }

    /// Reports that some watcher has not heard of.
    pub(crate) fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// Deliveries that took longer than the record reaches, and so are in no percentile.
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// The latencies, in microseconds.
    pub(crate) fn histogram(&self) -> &Histogram<u64> {
        &self.histogram
    }

    fn slot(&mut self, user: u32, number: u32) -> &mut Sent {
        &mut self.ring[user as usize * self.depth + number as usize % self.depth]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaced_values_are_measured_too() {
        let mut sends = Sends::new(2, 1);
        sends.sent(1, 1, 100);
        sends.sent(1, 2, 200);
        assert_eq!(sends.outstanding(), 2);
        sends.delivered(1, 1, 2, 1_000, 2);
        assert_eq!(sends.outstanding(), 0);
        let mut latencies: Vec<u64> =
            sends.histogram().iter_recorded().map(|at| at.value_iterated_to()).collect();
        latencies.sort_unstable();
        assert_eq!(latencies, [800, 900]);
    }

    #[test]
    fn a_report_is_outstanding_until_its_last_watcher_has_it() {
        let mut sends = Sends::new(1, 2);
        sends.sent(0, 1, 0);
        sends.delivered(0, 1, 1, 5, 1);
        assert_eq!(sends.outstanding(), 1);
        sends.delivered(0, 1, 1, 6, 1);
        assert_eq!(sends.outstanding(), 0);
    }

    #[test]
    fn what_leaves_the_record_is_counted_and_not_measured() {
        let mut sends = Sends::new(1, 1);
        let newest = DEPTH_MAX as u32 + 3;
        for number in 1..=newest {
            sends.sent(0, number, 0);
        }
        assert_eq!(sends.forgotten(), 3);
        assert_eq!(sends.outstanding(), DEPTH_MAX);
        sends.delivered(0, 1, newest, 7, newest);
        assert_eq!(sends.outstanding(), 0);
        assert_eq!(sends.histogram().len(), DEPTH_MAX as u64);
    }
}
