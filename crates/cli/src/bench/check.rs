//! Checks every patch of a load test against what was sent, and names what differs.
//!
//! Each report carries `q<number>` as its project, counting up per user, and a status word that
//! alternates with it. A value may be replaced by a newer one on its way, so numbers may be passed
//! over; they may never repeat, go back, or reach someone who does not watch. This module never
//! reads a socket or a clock.

use protocol::message::{Entry, EntryState};

use super::differences::{Differences, Kind};
use super::graph::{Graph, parse_user_id, user_id};

/// Stands for "nothing seen yet".
const UNSEEN: u32 = u32::MAX;

/// The two status words. Both rank alike among the sessions of a user, so that a session of an
/// earlier run does not win by its word.
const STATUS_WORDS: [&str; 2] = ["writing", "testing"];

/// The status word of a report with that number.
pub(crate) fn status_of(number: u32) -> &'static str {
    STATUS_WORDS[(number % 2) as usize]
}

/// A patch that arrived as it should: the values that it brings up to date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// At a watcher: the numbers of `subject` from `first` to `last`, the last one itself and those
    /// before it replaced on the way.
    Delivered {
        /// Whose.
        subject: u32,
        /// The first number that this watcher had not seen.
        first: u32,
        /// The number in the patch.
        last: u32,
    },
    /// At the sender itself.
    Echo,
    /// It is noted as a difference.
    Different,
}

/// Why a load test cannot begin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StartError {
    /// The server's relations are not the graph's.
    #[error(
        "{user} should watch {expected} users, but the server lists {listed}, {missing} of them \
         missing; the server's relations must be this graph: run `rollcall bench --users N \
         --follow K --seed S --write-follows follows.csv`, then, with the server stopped, \
         `rollcall import follows follows.csv`, and start it again"
    )]
    OtherGraph {
        /// Who.
        user: String,
        /// How many it watches in the graph.
        expected: usize,
        /// How many the server lists.
        listed: usize,
        /// How many of the graph's are not listed.
        missing: usize,
    },
    /// Somebody is online who has not been logged in yet.
    #[error(
        "{0} is online before this run has logged in: sessions of an earlier run or another \
         client are still there; wait until the resume window (60 s) is over and run again"
    )]
    StillOnline(String),
}

/// What was sent and what has arrived, for every user and every pair.
pub(crate) struct Check {
    graph: Graph,
    /// Last number sent, by user.
    sent: Vec<u32>,
    /// Last number seen, by pair.
    seen: Vec<u32>,
    /// Last number seen of oneself, by user.
    echoed: Vec<u32>,
    /// Whether the user has been logged in, by user.
    joined: Vec<bool>,
    /// What differed so far.
    pub(crate) differences: Differences,
}

impl Check {
    /// Nobody has joined yet.
    pub(crate) fn new(graph: Graph) -> Self {
        let users = graph.users() as usize;
        let pairs = users * graph.follow();
        Self {
            sent: vec![0; users],
            seen: vec![UNSEEN; pairs],
            echoed: vec![UNSEEN; users],
            joined: vec![false; users],
            differences: Differences::default(),
            graph,
        }
    }

    /// The graph that is checked against.
    pub(crate) fn graph(&self) -> &Graph {
        &self.graph
    }

    /// A user says `hello`, with report number 0.
    pub(crate) fn joins(&mut self, user: u32) {
        self.joined[user as usize] = true;
    }

    /// The last number that the user has sent.
    pub(crate) fn newest(&self, user: u32) -> u32 {
        self.sent[user as usize]
    }

    /// The number of the user's next report.
    pub(crate) fn sends(&mut self, user: u32) -> u32 {
        let sent = &mut self.sent[user as usize];
        *sent += 1;
        *sent
    }

    /// Takes the first list of a watcher: exactly itself and those whom it watches.
    pub(crate) fn on_sync(&mut self, watcher: u32, users: &[Entry<'_>]) -> Result<(), StartError> {
        let mut listed = 0;
        let mut right = 0;
        for entry in users {
            let subject = parse_user_id(&entry.id).filter(|id| *id < self.graph.users());
            if subject == Some(watcher) {
                self.first_seen(None, watcher, &entry.state)?;
                continue;
            }
            listed += 1;
            if let Some(subject) = subject
                && let Some(pair) = self.graph.pair(watcher, subject)
            {
                right += 1;
                self.first_seen(Some(pair), subject, &entry.state)?;
            }
        }
        let expected = self.graph.follow();
        if listed == expected && right == expected {
            return Ok(());
        }
        let missing = expected.saturating_sub(right);
        Err(StartError::OtherGraph { user: user_id(watcher), expected, listed, missing })
    }

    /// Notes what a list says of a subject: for a pair, or for the watcher itself.
    fn first_seen(
        &mut self,
        pair: Option<usize>,
        subject: u32,
        state: &EntryState<'_>,
    ) -> Result<(), StartError> {
        let EntryState::Online { project, .. } = state else { return Ok(()) };
        if !self.joined[subject as usize] || parse_number(project) != Some(0) {
            return Err(StartError::StillOnline(user_id(subject)));
        }
        match pair {
            Some(pair) => self.seen[pair] = 0,
            None => self.echoed[subject as usize] = 0,
        }
        Ok(())
    }

    /// Takes a patch that came on the socket of `watcher`.
    pub(crate) fn on_patch(
        &mut self,
        watcher: u32,
        id: &str,
        status: Option<&str>,
        project: Option<&str>,
    ) -> Arrival {
        let Some(subject) = parse_user_id(id).filter(|user| *user < self.graph.users()) else {
            return self.differs(Kind::Leaked, watcher, || format!("a patch of {id}"));
        };
        let is_echo = subject == watcher;
        let pair = self.graph.pair(watcher, subject);
        if pair.is_none() && !is_echo {
            return self.differs(Kind::Leaked, watcher, || {
                format!("a patch of {id}, whom it does not watch")
            });
        }
        let Some(project) = project else {
            return self.differs(Kind::Incomplete, watcher, || {
                format!("a patch of {id} without the project, which had changed")
            });
        };
        let Some(number) = parse_number(project) else {
            return self.differs(Kind::NeverSent, watcher, || format!("{id} with `{project}`"));
        };
        let sent = self.sent[subject as usize];
        if number > sent {
            return self.differs(Kind::NeverSent, watcher, || {
                format!("{id} with q{number}; the last sent is q{sent}")
            });
        }
        let seen = match pair {
            Some(pair) => &mut self.seen[pair],
            None => &mut self.echoed[subject as usize],
        };
        let before = *seen;
        // The report in `hello` may be in one's own list already when it comes back by itself.
        if is_echo && before == 0 && number == 0 {
            return Arrival::Echo;
        }
        if before != UNSEEN && number <= before {
            return self.differs(Kind::DoubledOrOld, watcher, || {
                format!("{id} with q{number} after q{before}")
            });
        }
        *seen = number;
        // Where the word is absent it is the one before, which must be the right one still.
        let word = status.unwrap_or(if before == UNSEEN { "" } else { status_of(before) });
        if word != status_of(number) {
            return self.differs(Kind::WrongStatus, watcher, || {
                format!("{id} with q{number} as `{word}`")
            });
        }
        match is_echo {
            true => Arrival::Echo,
            false => {
                let first = if before == UNSEEN { 0 } else { before + 1 };
                Arrival::Delivered { subject, first, last: number }
            }
        }
    }

    /// Takes an `x` that came on the socket of `watcher`: nobody goes offline in a load test.
    pub(crate) fn on_offline(&mut self, watcher: u32, id: &str) {
        self.differs(Kind::FalseOffline, watcher, || format!("{id} offline"));
    }

    /// Takes what has no place in a load test.
    pub(crate) fn on_unexpected(&mut self, watcher: u32, what: &str) {
        self.differs(Kind::Unexpected, watcher, || {
            let end = what.char_indices().nth(200).map_or(what.len(), |(at, _)| at);
            what[..end].to_owned()
        });
    }

    /// Takes the end of a connection.
    pub(crate) fn on_closed(&mut self, watcher: u32, why: &str) {
        self.differs(Kind::Closed, watcher, || why.to_owned());
    }

    /// How many pairs, and own views, do not hold the last value sent.
    pub(crate) fn behind(&self) -> u64 {
        self.pairs_behind().count() as u64 + self.echoes_behind().count() as u64
    }

    /// Notes whatever has not arrived by the end.
    pub(crate) fn finish(&mut self) {
        let mut lost = Differences::default();
        for (watcher, subject, seen) in self.pairs_behind() {
            let sent = self.sent[subject as usize];
            lost.note(Kind::Lost, || {
                format!("{} → {}: q{sent} {}", user_id(subject), user_id(watcher), has(seen))
            });
        }
        for user in self.echoes_behind() {
            let (sent, seen) = (self.sent[user as usize], self.echoed[user as usize]);
            lost.note(Kind::LostEcho, || format!("{}: q{sent} {}", user_id(user), has(seen)));
        }
        self.differences.merge(lost);
    }

    fn pairs_behind(&self) -> impl Iterator<Item = (u32, u32, u32)> + '_ {
        let pairs = (0..self.graph.users()).flat_map(|watcher| {
            self.graph.watched_by(watcher).map(move |subject| (watcher, subject))
        });
        let seen =
            pairs.zip(&self.seen).map(|((watcher, subject), seen)| (watcher, subject, *seen));
        seen.filter(|(_, subject, seen)| self.sent[*subject as usize] != *seen)
    }

    fn echoes_behind(&self) -> impl Iterator<Item = u32> + '_ {
        let users = 0..self.graph.users();
        users.filter(|user| self.sent[*user as usize] != self.echoed[*user as usize])
    }

    fn differs(&mut self, kind: Kind, watcher: u32, what: impl FnOnce() -> String) -> Arrival {
        self.differences.note(kind, || format!("{} got {}", user_id(watcher), what()));
        Arrival::Different
    }
}

fn has(seen: u32) -> String {
    if seen == UNSEEN { "never arrived".into() } else { format!("never arrived, it has q{seen}") }
}

/// The number of a project such as `q17`.
fn parse_number(project: &str) -> Option<u32> {
    let digits = project.strip_prefix('q')?.as_bytes();
    if digits.is_empty() || digits.len() > 9 {
        return None;
    }
    digits.iter().try_fold(0, |number: u32, digit| {
        digit.is_ascii_digit().then(|| number * 10 + u32::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three users, each watching one other: of user 0, its watcher and the one who is not.
    fn check() -> (Check, u32, u32) {
        let graph = Graph::new(3, 1, 7).unwrap();
        let watcher = (1..3).find(|w| graph.pair(*w, 0).is_some()).unwrap();
        let mut check = Check::new(graph);
        for user in 0..3 {
            check.joins(user);
        }
        (check, watcher, 3 - watcher)
    }

    fn patch(check: &mut Check, watcher: u32, number: u32) -> Arrival {
        let project = format!("q{number}");
        check.on_patch(watcher, &user_id(0), Some(status_of(number)), Some(&project))
    }

    #[test]
    fn a_value_that_replaced_others_delivers_them_too() {
        let (mut check, watcher, _) = check();
        assert_eq!(
            patch(&mut check, watcher, 0),
            Arrival::Delivered { subject: 0, first: 0, last: 0 }
        );
        for _ in 0..3 {
            check.sends(0);
        }
        assert_eq!(
            patch(&mut check, watcher, 1),
            Arrival::Delivered { subject: 0, first: 1, last: 1 }
        );
        assert_eq!(
            patch(&mut check, watcher, 3),
            Arrival::Delivered { subject: 0, first: 2, last: 3 }
        );
        assert_eq!(patch(&mut check, 0, 3), Arrival::Echo);
        assert!(check.differences.is_empty());
    }

    #[test]
    fn each_way_of_being_wrong_has_its_name() {
        type Act = fn(&mut Check, u32, u32);
        let table: [(Kind, Act); 9] = [
            (Kind::Leaked, |check, _, other| {
                patch(check, other, 0);
            }),
            (Kind::Leaked, |check, watcher, _| {
                check.on_patch(watcher, "github_1", None, Some("q0"));
            }),
            (Kind::NeverSent, |check, watcher, _| {
                patch(check, watcher, 2);
            }),
            (Kind::NeverSent, |check, watcher, _| {
                check.on_patch(watcher, &user_id(0), Some("writing"), Some("else"));
            }),
            (Kind::DoubledOrOld, |check, watcher, _| {
                patch(check, watcher, 1);
                patch(check, watcher, 1);
            }),
            (Kind::DoubledOrOld, |check, watcher, _| {
                patch(check, watcher, 1);
                patch(check, watcher, 0);
            }),
            (Kind::Incomplete, |check, watcher, _| {
                check.on_patch(watcher, &user_id(0), Some("testing"), None);
            }),
            (Kind::WrongStatus, |check, watcher, _| {
                check.on_patch(watcher, &user_id(0), Some("writing"), Some("q1"));
            }),
            (Kind::FalseOffline, |check, watcher, _| check.on_offline(watcher, &user_id(0))),
        ];
        for (kind, act) in table {
            let (mut check, watcher, other) = check();
            check.sends(0);
            act(&mut check, watcher, other);
            assert_eq!(check.differences.count(kind), 1, "{kind:?}");
            assert_eq!(check.differences.iter().count(), 1, "{kind:?}");
        }
    }

    #[test]
    fn a_word_that_is_absent_is_the_one_before() {
        let (mut check, watcher, _) = check();
        patch(&mut check, watcher, 0);
        check.sends(0);
        check.sends(0);
        let arrival = check.on_patch(watcher, &user_id(0), None, Some("q2"));
        assert!(matches!(arrival, Arrival::Delivered { .. }));
        check.sends(0);
        check.on_patch(watcher, &user_id(0), None, Some("q3"));
        assert_eq!(check.differences.count(Kind::WrongStatus), 1);
    }

    #[test]
    fn what_never_arrives_is_lost() {
        let (mut check, _, _) = check();
        assert_eq!(check.behind(), 6, "three pairs and three echoes");
        check.finish();
        assert_eq!(check.differences.count(Kind::Lost), 3);
        assert_eq!(check.differences.count(Kind::LostEcho), 3);
    }

    #[test]
    fn a_list_must_be_the_graphs() {
        let (mut check, watcher, other) = check();
        let entry = |user: u32, state| Entry {
            id: user_id(user).into(),
            name: "x".into(),
            avatar: None,
            relation: 1,
            state,
        };
        let offline = || EntryState::Offline { seen: None };
        let right = [entry(watcher, offline()), entry(0, offline())];
        assert_eq!(check.on_sync(watcher, &right), Ok(()));
        for wrong in [
            vec![entry(watcher, offline())],
            vec![entry(other, offline())],
            vec![entry(0, offline()), entry(other, offline())],
        ] {
            let refused = check.on_sync(watcher, &wrong).unwrap_err();
            assert!(refused.to_string().contains("--write-follows"), "{refused}");
        }
        let online = EntryState::Online {
            status: "writing".into(),
            project: "q7".into(),
            language: "".into(),
        };
        let early = check.on_sync(watcher, &[entry(0, online)]);
        assert_eq!(early, Err(StartError::StillOnline(user_id(0))));
    }
}
