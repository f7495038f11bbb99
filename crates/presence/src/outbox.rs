//! What a session has still to be told: one bit per place on its watch list, so that the latest
//! value wins and a reader that stalls costs nothing more.
//!
//! The outbox never holds a message. What is sent is made from the newest state when the socket
//! takes it.

use smallvec::SmallVec;

use crate::time::Timestamp;

/// A place on a session's watch list.
pub type PlaceNumber = u16;

/// Pending patches of one session.
#[derive(Debug, Clone, Default)]
pub struct Outbox {
    /// Two words for each 64 places: which are pending, and which of those replaced an unsent one.
    words: SmallVec<[u64; 2]>,
    pending: u16,
    /// When the outbox last went from empty to not empty.
    since: Timestamp,
}

impl Outbox {
    /// Notes a change at a place. A second one before the first was sent replaces it, and then all
    /// visible fields are due.
    pub fn mark(&mut self, place: PlaceNumber, now: Timestamp) {
        let (word, bit) = self.locate(place);
        if self.words[word] & bit != 0 {
            self.words[word + 1] |= bit;
        } else {
            if self.pending == 0 {
                self.since = now;
            }
            self.words[word] |= bit;
            self.pending += 1;
        }
    }

    /// Notes that all visible fields of a place are due.
    pub fn mark_whole(&mut self, place: PlaceNumber, now: Timestamp) {
        self.mark(place, now);
        let (word, bit) = self.locate(place);
        self.words[word + 1] |= bit;
    }

    /// Forgets what is pending at a place, for its subject has left the list.
    pub fn forget(&mut self, place: PlaceNumber) {
        let (word, bit) = self.locate(place);
        if self.words[word] & bit != 0 {
            self.pending -= 1;
        }
        self.words[word] &= !bit;
        self.words[word + 1] &= !bit;
    }

    /// Forgets everything, for a `sync` says it all.
    pub fn clear(&mut self) {
        self.words.iter_mut().for_each(|word| *word = 0);
        self.pending = 0;
    }

    /// Whether a change at a place is pending.
    pub fn is_pending(&self, place: PlaceNumber) -> bool {
        let word = self.words.get(usize::from(place) / 64 * 2);
        word.is_some_and(|word| word & (1 << (place % 64)) != 0)
    }

    /// Whether nothing is pending.
    pub fn is_empty(&self) -> bool {
        self.pending == 0
    }

    /// Since when something has been pending without a break.
    pub fn pending_since(&self) -> Option<Timestamp> {
        (self.pending > 0).then_some(self.since)
    }

    /// Takes the next pending place, and whether all its visible fields are due.
    pub fn take(&mut self) -> Option<(PlaceNumber, bool)> {
        if self.pending == 0 {
            return None;
        }
        let (group, words) =
            self.words.chunks_exact_mut(2).enumerate().find(|(_, words)| words[0] != 0)?;
        let at = words[0].trailing_zeros();
        let bit = 1u64 << at;
        let whole = words[1] & bit != 0;
        words[0] &= !bit;
        words[1] &= !bit;
        self.pending -= 1;
        let place = u16::try_from(group * 64).ok()? + u16::try_from(at).ok()?;
        Some((place, whole))
    }

    fn locate(&mut self, place: PlaceNumber) -> (usize, u64) {
        let group = usize::from(place) / 64;
        if self.words.len() < (group + 1) * 2 {
            self.words.resize((group + 1) * 2, 0);
        }
        (group * 2, 1 << (place % 64))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_replaced_patch_is_sent_once_and_whole() {
        let mut outbox = Outbox::default();
        outbox.mark(70, Timestamp(1));
        outbox.mark(3, Timestamp(2));
        outbox.mark(70, Timestamp(3));
        assert_eq!(outbox.pending_since(), Some(Timestamp(1)));
        assert_eq!(outbox.take(), Some((3, false)));
        assert_eq!(outbox.take(), Some((70, true)));
        assert_eq!(outbox.take(), None);
        assert_eq!(outbox.pending_since(), None);
    }

    #[test]
    fn an_outbox_costs_two_bits_a_place() {
        let mut outbox = Outbox::default();
        for round in 0..100 {
            for place in 0..2_000 {
                outbox.mark(place, Timestamp(round));
            }
        }
        assert_eq!(outbox.words.len() * 8, 2_000usize.div_ceil(64) * 16);
    }

    proptest! {
        #[test]
        fn an_outbox_is_a_map_of_places(steps in proptest::collection::vec((0u16..200, 0u8..4), 0..100)) {
            let mut outbox = Outbox::default();
            let mut model = BTreeMap::new();
            for (place, step) in steps {
                match step {
                    0 => {
                        outbox.mark(place, Timestamp(1));
                        model.entry(place).and_modify(|whole| *whole = true).or_insert(false);
                    }
                    1 => {
                        outbox.mark_whole(place, Timestamp(1));
                        model.insert(place, true);
                    }
                    2 => {
                        outbox.forget(place);
                        model.remove(&place);
                    }
                    _ => prop_assert_eq!(outbox.take(), model.pop_first()),
                }
                prop_assert_eq!(outbox.is_empty(), model.is_empty());
            }
        }
    }
}
