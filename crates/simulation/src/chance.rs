//! Chance from a seed: streams of numbers, and the turns at which a part of the world works.
//!
//! Every part draws from a stream of its own, so that what one of them does more or less of never
//! shifts the chances of another. Nothing here depends on a library's version: a seed that once
//! found a bug finds it again.

use std::time::Duration;

use presence::time::Timestamp;

/// Mixes numbers to one (SplitMix64, Steele et al. 2014).
pub(crate) fn mix(parts: &[u64]) -> u64 {
    parts.iter().fold(0x9e37_79b9_7f4a_7c15, |state, part| scramble(state ^ part))
}

fn scramble(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// One stream of chance.
#[derive(Debug, Clone)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(parts: &[u64]) -> Self {
        Self(mix(parts))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        scramble(self.0)
    }

    /// A number below `limit`, which is not zero.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        usize::try_from(self.next() % limit).unwrap_or(0)
    }

    /// True so many times of a hundred.
    pub(crate) fn percent(&mut self, times: usize) -> bool {
        self.below(100) < times
    }

    pub(crate) fn pick<T: Copy>(&mut self, among: &[T]) -> T {
        among[self.below(among.len())]
    }

    /// A time from `low` to `high`, both in milliseconds.
    pub(crate) fn millis(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_micros(low * 1_000 + self.next() % ((high - low) * 1_000 + 1))
    }

    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.next().to_le_bytes()[0])
    }
}

/// The turns at which a part of the world works: one in each step, at a moment of its own.
///
/// What is ready waits for the next turn. A turn depends only on the seed, the part and the time,
/// never on how much is waiting: so one world's traffic cannot shift the timing of another's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turns {
    pub(crate) seed: u64,
    pub(crate) step: Duration,
}

impl Turns {
    /// The part's next turn after `now`. Never goes back while `now` does not.
    pub(crate) fn after(self, part: u64, now: Timestamp) -> Timestamp {
        let step = u64::try_from(self.step.as_micros()).unwrap_or(u64::MAX).max(1);
        let turn = |number: u64| Timestamp(number * step + mix(&[self.seed, part, number]) % step);
        let number = now.0 / step;
        if turn(number) > now { turn(number) } else { turn(number + 1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_keep_what_is_ready_in_order() {
        let turns = Turns { seed: 3, step: Duration::from_millis(10) };
        let mut last = Timestamp::NEVER;
        for now in (0..200_000).step_by(37).map(Timestamp) {
            let turn = turns.after(7, now);
            assert!(turn > now && turn >= last && turn.since(now) < 2 * turns.step);
            last = turn;
        }
    }
}
