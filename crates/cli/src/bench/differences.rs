//! The kinds of difference between what was sent and what arrived, counted, with a few examples.

use std::collections::BTreeMap;

/// Examples that are kept of each kind.
const EXAMPLES_MAX: usize = 3;

/// What can be wrong with what arrives, or does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A patch reached someone who does not watch that user.
    Leaked,
    /// A value that nobody sent.
    NeverSent,
    /// A value that had arrived already, or an older one.
    DoubledOrOld,
    /// A patch without the field that changed.
    Incomplete,
    /// The status word of another report.
    WrongStatus,
    /// Somebody who is online was told to be offline.
    FalseOffline,
    /// What cannot be read, or has no place in a load test.
    Unexpected,
    /// A connection that ended.
    Closed,
    /// The last value sent never arrived.
    Lost,
    /// The last value sent never came back to its own sender.
    LostEcho,
}

impl Kind {
    /// The name that results show.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Leaked => "leaked",
            Self::NeverSent => "never sent",
            Self::DoubledOrOld => "doubled or old",
            Self::Incomplete => "incomplete",
            Self::WrongStatus => "wrong status",
            Self::FalseOffline => "false offline",
            Self::Unexpected => "unexpected",
            Self::Closed => "closed",
            Self::Lost => "lost",
            Self::LostEcho => "lost echo",
        }
    }
}

/// How often one kind of difference was met, and the first few.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Found {
    /// How often.
    pub(crate) count: u64,
    /// The first few.
    pub(crate) examples: Vec<String>,
}

/// All differences, by kind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Differences(BTreeMap<Kind, Found>);

impl Differences {
    /// Notes one.
    pub(crate) fn note(&mut self, kind: Kind, example: impl FnOnce() -> String) {
        let found = self.0.entry(kind).or_default();
        found.count += 1;
        if found.examples.len() < EXAMPLES_MAX {
            found.examples.push(example());
        }
    }

    /// Takes kinds that are noted nowhere else.
    pub(crate) fn merge(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are of a kind.
    #[cfg(test)]
    pub(crate) fn count(&self, kind: Kind) -> u64 {
        self.0.get(&kind).map_or(0, |found| found.count)
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Kind, &Found)> {
        self.0.iter().map(|(kind, found)| (*kind, found))
    }
}
