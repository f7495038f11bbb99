//! Who watches whom in a load test: a regular graph that a seed alone determines.
//!
//! A permutation of the users stands on a ring; the user at place `i` is watched by those at
//! `i + offset` for `K` distinct offsets. So each user watches exactly `K` others and has exactly
//! `K` watchers, and whether one watches another is a subtraction, however many there are.

use std::io::{self, Write};

/// What every id of the graph begins with.
const ID_PREFIX: &str = "dev_b";
/// Stands for "no such offset".
const NO_SLOT: u16 = u16::MAX;

/// Why there is no such graph.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GraphError {
    /// Not enough users.
    #[error("--follow {follow} needs more than {follow} users, and --users is {users}")]
    TooFewUsers {
        /// Users.
        users: u32,
        /// Watched users of each.
        follow: u16,
    },
    /// Nobody watches anybody.
    #[error("--follow must be at least 1 and below 65535")]
    Follow,
}

/// A regular graph of users `0..users`.
#[derive(Debug, Clone)]
pub(crate) struct Graph {
    order: Vec<u32>,
    place: Vec<u32>,
    offsets: Vec<u32>,
    /// By distance on the ring: which offset it is.
    slot: Vec<u16>,
}

impl Graph {
    /// The graph of that seed: the same in every version of this program.
    pub(crate) fn new(users: u32, follow: u16, seed: u64) -> Result<Self, GraphError> {
        if follow == 0 || follow == NO_SLOT {
            return Err(GraphError::Follow);
        }
        if users <= u32::from(follow) {
            return Err(GraphError::TooFewUsers { users, follow });
        }
        let mut random = SplitMix64(seed);
        let mut order: Vec<u32> = (0..users).collect();
        random.shuffle(&mut order);
        let mut place = vec![0; order.len()];
        for (at, user) in (0..users).zip(&order) {
            place[*user as usize] = at;
        }
        let mut offsets: Vec<u32> = (1..users).collect();
        random.shuffle(&mut offsets);
        offsets.truncate(usize::from(follow));
        let mut slot = vec![NO_SLOT; order.len()];
        for (index, offset) in (0..follow).zip(&offsets) {
            slot[*offset as usize] = index;
        }
        Ok(Self { order, place, offsets, slot })
    }

    /// How many users there are.
    pub(crate) fn users(&self) -> u32 {
        self.order.len() as u32
    }

    /// How many each watches.
    pub(crate) fn follow(&self) -> usize {
        self.offsets.len()
    }

    /// The users in the order in which they report.
    pub(crate) fn order(&self) -> &[u32] {
        &self.order
    }

    /// A number for "this watcher, that subject", below users × follow; nothing if it does not
    /// watch.
    pub(crate) fn pair(&self, watcher: u32, subject: u32) -> Option<usize> {
        let (from, to) = (self.place[watcher as usize], self.place[subject as usize]);
        let distance = if from >= to { from - to } else { from + self.users() - to };
        match self.slot[distance as usize] {
            NO_SLOT => None,
            slot => Some(watcher as usize * self.follow() + usize::from(slot)),
        }
    }

    /// Whom that user watches, in the order of [`Graph::pair`].
    pub(crate) fn watched_by(&self, watcher: u32) -> impl Iterator<Item = u32> + '_ {
        let from = self.place[watcher as usize];
        let users = self.users();
        self.offsets.iter().map(move |offset| {
            let at = if from >= *offset { from - offset } else { from + users - offset };
            self.order[at as usize]
        })
    }

    /// Writes a line `follower,followee` for each pair.
    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        for watcher in 0..self.users() {
            for subject in self.watched_by(watcher) {
                writeln!(out, "{},{}", user_id(watcher), user_id(subject))?;
            }
        }
        out.flush()
    }
}

/// The id of a user.
pub(crate) fn user_id(user: u32) -> String {
    format!("{ID_PREFIX}{user:06}")
}

/// The name that logs a user in: its id without `dev_`.
pub(crate) fn login_name(user: u32) -> String {
    format!("b{user:06}")
}

/// The user of an id, without looking anything up.
pub(crate) fn parse_user_id(id: &str) -> Option<u32> {
    let digits = id.strip_prefix(ID_PREFIX)?.as_bytes();
    // Longer numbers have no leading zero, so that each user has one id.
    if digits.len() < 6 || digits.len() > 9 || (digits.len() > 6 && digits[0] == b'0') {
        return None;
    }
    digits.iter().try_fold(0, |number: u32, digit| {
        digit.is_ascii_digit().then(|| number * 10 + u32::from(digit - b'0'))
    })
}

/// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014). Written
/// out, because the graph of a seed must stay the same whatever a library changes.
pub(crate) struct SplitMix64(pub(crate) u64);

impl SplitMix64 {
    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below that.
    fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    fn shuffle(&mut self, items: &mut [u32]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last as u64 + 1) as usize;
            items.swap(last, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_user_watches_exactly_k_others_and_has_exactly_k_watchers() {
        for (users, follow, seed) in [(2, 1, 0), (7, 6, 1), (100, 20, 1), (1_000, 3, 99)] {
            let graph = Graph::new(users, follow, seed).unwrap();
            let mut watchers = vec![0; users as usize];
            let mut pairs = vec![false; users as usize * usize::from(follow)];
            for watcher in 0..users {
                for subject in graph.watched_by(watcher) {
                    assert_ne!(watcher, subject);
                    watchers[subject as usize] += 1;
                    let pair = graph.pair(watcher, subject).unwrap();
                    assert!(
                        !std::mem::replace(&mut pairs[pair], true),
                        "a pair has its own number"
                    );
                }
                let all = (0..users).filter(|subject| graph.pair(watcher, *subject).is_some());
                assert_eq!(all.count(), usize::from(follow));
            }
            assert!(watchers.iter().all(|count| *count == usize::from(follow)));
        }
    }

    #[test]
    fn the_graph_of_a_seed_never_changes() {
        let graph = Graph::new(10, 3, 1).unwrap();
        let mut out = Vec::new();
        graph.write(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.lines().count(), 30);
        assert_eq!(text.lines().take(3).collect::<Vec<_>>(), GOLDEN);
    }

    const GOLDEN: [&str; 3] =
        ["dev_b000000,dev_b000008", "dev_b000000,dev_b000001", "dev_b000000,dev_b000009"];

    #[test]
    fn an_id_and_its_user_are_one_to_one() {
        for user in [0, 1, 999_999, 1_000_000, 123_456_789] {
            assert_eq!(parse_user_id(&user_id(user)), Some(user));
            assert_eq!(user_id(user), format!("dev_{}", login_name(user)));
        }
        for bad in ["dev_b1", "dev_b00000x", "dev_a000001", "dev_b0000001", "github_1", "dev_b"] {
            assert_eq!(parse_user_id(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_graph_needs_more_users_than_each_watches() {
        let too_few = GraphError::TooFewUsers { users: 3, follow: 3 };
        assert_eq!(Graph::new(3, 3, 1).unwrap_err(), too_few);
        assert_eq!(Graph::new(3, 0, 1).unwrap_err(), GraphError::Follow);
    }
}
