//! What each user may see of each other, worked out from the models by the contract alone.
//!
//! Nothing here uses the views, audiences or merged states of the rules under test. Of each pair
//! the moments are kept at which the truth changed, so that a message can be held against what was
//! true when it was made, or lately.

use std::time::Duration;

use presence::glob::Glob;
use presence::relation::Relation;
use presence::time::Timestamp;
use presence::transition::UserRecord;
use presence::visibility::{Mode, Preferences};

use crate::directory::{Directory, Turned, Who};
use crate::store::Store;

/// Last seen is told for so long.
const LAST_SEEN: Duration = Duration::from_secs(7 * 24 * 3_600);

/// Where somebody is, as a client shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    Online { status: String, project: String, language: String },
    Offline { seen: Option<u64> },
}

/// What one user may know of another from a moment on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Truth {
    pub(crate) since: Timestamp,
    pub(crate) listed: bool,
    pub(crate) relation: u8,
    pub(crate) told: Told,
}

/// A kind of watcher: follows, followed, connected, pinned by the subject.
const KINDS: usize = 16;

/// What the store knows of a user.
#[derive(Debug, Clone)]
struct Subject {
    /// Since when it is so.
    since: Timestamp,
    /// Status, project and language; nothing while offline.
    shown: Option<[String; 3]>,
    preferences: Preferences,
    /// Whether each kind sees the user.
    sees: [bool; KINDS],
}

/// How long ago the truth may have been another where it is applied only now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lags {
    /// Until the store hears of a changed relation.
    pub(crate) relation: Duration,
    /// Until a shard shows what the store knows.
    pub(crate) state: Duration,
}

/// All pairs.
pub(crate) struct Oracle {
    subjects: Vec<Subject>,
    /// Earlier states, that a shard may still hold.
    past: Vec<Vec<Subject>>,
    /// When each watcher last lost sight of each subject, whatever the cause: a watcher's past is
    /// its own, and not that of the others of its kind.
    seen: Vec<Vec<Timestamp>>,
    truths: Vec<Vec<Vec<Truth>>>,
    /// Relations that have changed so lately that the store may not know it yet: until when, and
    /// how the watcher stood to the subject before.
    lagging: Vec<(Timestamp, Turned)>,
    lags: Lags,
}

pub(crate) fn kind(relation: Relation) -> usize {
    let bits = [
        relation.has(Relation::FOLLOWS),
        relation.has(Relation::FOLLOWED),
        relation.has(Relation::CONNECTED),
        relation.has(Relation::PINNED_BACK),
    ];
    bits.iter().enumerate().map(|(place, is_set)| usize::from(*is_set) << place).sum()
}

/// Whether a mode lets a kind of watcher through (SPEC: who hears about whom).
pub(crate) fn admits(mode: Mode, kind: usize) -> bool {
    let [follows, followed, connected, pinned] = [1, 2, 4, 8].map(|bit| kind & bit != 0);
    match mode {
        Mode::Everyone => true,
        Mode::Followers => follows || connected,
        Mode::Following => followed || connected,
        Mode::CloseFriends => pinned,
        Mode::Invisible => false,
    }
}

/// The three fields that a user's sessions make, or nothing while there is none.
fn merged(record: &UserRecord, hidden: &[Glob]) -> Option<[String; 3]> {
    let rank = |status: &str| match status.to_ascii_lowercase().as_str() {
        "debugging" => 5,
        "coding" => 4,
        "reading" => 2,
        "idle" => 1,
        "away" => 0,
        _ => 3,
    };
    if record.sessions.is_empty() {
        return None;
    }
    if let Some(manual) = &record.manual {
        return Some([manual.status.to_string(), String::new(), String::new()]);
    }
    let mut best = None;
    for session in &record.sessions {
        let Some(report) = &session.report else { continue };
        let key = (rank(&report.status), session.reported, session.id);
        if best.as_ref().is_none_or(|(held, _)| *held < key) {
            best = Some((key, report));
        }
    }
    let fields =
        best.map(|(_, r)| [r.status.to_string(), r.project.to_string(), r.language.to_string()]);
    let [mut status, mut project, language] = fields.unwrap_or_default();
    if status.is_empty() {
        status = "online".to_owned();
    }
    if hidden.iter().any(|glob| glob.matches(&project)) {
        project.clear();
    }
    Some([status, project, language])
}

impl Oracle {
    pub(crate) fn new(now: Timestamp, lags: Lags, store: &Store, directory: &Directory) -> Self {
        let people = directory.everyone().len();
        let subject = |who: Who| Subject {
            since: now,
            shown: None,
            preferences: directory.preferences(who).clone(),
            sees: [false; KINDS],
        };
        let mut oracle = Self {
            subjects: directory.everyone().map(subject).collect(),
            past: vec![Vec::new(); people],
            seen: vec![directory.everyone().map(|who| directory.seen(who)).collect(); people],
            truths: vec![vec![Vec::new(); people]; people],
            lagging: Vec::new(),
            lags,
        };
        for who in directory.everyone() {
            oracle.store_changed(now, who, store, directory);
        }
        oracle
    }

    /// The store's state of a user may have changed.
    pub(crate) fn store_changed(
        &mut self,
        now: Timestamp,
        who: Who,
        store: &Store,
        directory: &Directory,
    ) {
        // What the store has not been told yet is on its way.
        let told = store.preferences(directory.id(who));
        let preferences = told.unwrap_or_else(|| directory.preferences(who)).clone();
        let record = store.record(directory.id(who));
        let shown = record.and_then(|record| merged(record, &preferences.hidden_projects));
        let mut next = Subject { since: now, ..self.subjects[who].clone() };
        for kind in 0..KINDS {
            next.sees[kind] = shown.is_some() && admits(preferences.visibility, kind);
        }
        (next.shown, next.preferences) = (shown, preferences);
        let before = std::mem::replace(&mut self.subjects[who], next);
        for watcher in directory.everyone() {
            if self.is_lost(&before, who, directory.relation(watcher, who)) {
                self.seen[watcher][who] = now;
            }
        }
        self.note_who_lags(now, who, &before, directory);
        self.past[who].push(before);
        self.refresh(now, who, directory);
    }

    /// Relations have changed: both ways of one pair.
    pub(crate) fn relation_changed(
        &mut self,
        now: Timestamp,
        turned: &[Turned],
        directory: &Directory,
    ) {
        for Turned { watcher, subject, old, new } in turned.iter().copied() {
            let until = now + self.lags.relation;
            self.lagging.push((until, Turned { watcher, subject, old, new }));
            let state = &self.subjects[subject];
            if state.is_seen(old) && !state.is_seen(new) {
                self.seen[watcher][subject] = now;
            }
        }
        for Turned { watcher, subject, new, .. } in turned.iter().copied() {
            self.note_what_lags(now, (watcher, subject), new, directory);
        }
        for Turned { subject, .. } in turned {
            self.refresh(now, *subject, directory);
        }
    }

    /// Whether a watcher of that relation saw a user before, and does no more.
    fn is_lost(&self, before: &Subject, who: Who, relation: Relation) -> bool {
        before.is_seen(relation) && !self.subjects[who].is_seen(relation)
    }

    /// A state that the store publishes before it hears of a changed relation still goes to whom
    /// the old relation let see it.
    fn note_who_lags(&mut self, now: Timestamp, who: Who, before: &Subject, directory: &Directory) {
        self.lagging.retain(|(until, _)| *until >= now);
        for (_, Turned { watcher, subject, old, .. }) in self.lagging.clone() {
            if subject == who {
                let mut truth = self.truth(now, watcher, subject, directory);
                truth.told = if self.is_lost(before, who, old) {
                    Told::Offline { seen: Some(now.secs()) }
                } else {
                    self.told(now, (watcher, subject), old, &self.subjects[subject])
                };
                self.truths[watcher][subject].push(truth);
            }
        }
    }

    /// A relation that is new may meet a state that a shard has not yet replaced.
    fn note_what_lags(
        &mut self,
        now: Timestamp,
        (watcher, subject): (Who, Who),
        relation: Relation,
        directory: &Directory,
    ) {
        // A state holds until the next begins.
        let from = now - self.lags.state;
        while self.past[subject].get(1).is_some_and(|next| next.since < from) {
            self.past[subject].remove(0);
        }
        for state in &self.past[subject] {
            let mut truth = self.truth(now, watcher, subject, directory);
            truth.told = self.told(now, (watcher, subject), relation, state);
            self.truths[watcher][subject].push(truth);
        }
    }

    /// What a watcher may know of a subject as of now.
    fn truth(&self, now: Timestamp, watcher: Who, subject: Who, directory: &Directory) -> Truth {
        let relation = directory.relation(watcher, subject);
        let told = self.told(now, (watcher, subject), relation, &self.subjects[subject]);
        let listed = directory.is_listed(watcher, subject);
        Truth { since: now, listed, relation: relation.known(), told }
    }

    fn told(
        &self,
        now: Timestamp,
        (watcher, subject): (Who, Who),
        relation: Relation,
        state: &Subject,
    ) -> Told {
        if watcher == subject {
            return match state.shown.clone() {
                Some(shown) => online(shown),
                None => Told::Offline { seen: None },
            };
        }
        if let Some(shown) = state.shown.clone().filter(|_| state.is_seen(relation)) {
            return online(filtered(shown, kind(relation), &state.preferences));
        }
        let seen = self.seen[watcher][subject];
        let is_told = seen != Timestamp::NEVER && now.since(seen) <= LAST_SEEN;
        Told::Offline { seen: is_told.then_some(seen.secs()) }
    }

    /// Notes what anyone may now know of a user, and that user of anyone.
    fn refresh(&mut self, now: Timestamp, who: Who, directory: &Directory) {
        for other in directory.everyone() {
            for (watcher, subject) in [(other, who), (who, other)] {
                let truth = self.truth(now, watcher, subject, directory);
                let track = &mut self.truths[watcher][subject];
                let is_new = track.last().is_none_or(|last| {
                    (last.listed, last.relation, &last.told)
                        != (truth.listed, truth.relation, &truth.told)
                });
                if is_new {
                    track.push(truth);
                }
            }
        }
    }

    /// Everything that was true of a pair, in order.
    pub(crate) fn track(&self, watcher: Who, subject: Who) -> &[Truth] {
        &self.truths[watcher][subject]
    }

    /// What is true of a pair now.
    pub(crate) fn now(&self, watcher: Who, subject: Who) -> &Truth {
        let track = self.track(watcher, subject);
        &track[track.len() - 1]
    }

    /// Whether that was true of the pair at some moment since `from`.
    pub(crate) fn was(
        &self,
        (watcher, subject): (Who, Who),
        from: Timestamp,
        is_so: impl Fn(&Truth) -> bool,
    ) -> bool {
        lately(self.track(watcher, subject), from).any(|(_, truth)| is_so(truth))
    }
}

/// The truths that held at some moment since `from`, with their places.
pub(crate) fn lately(track: &[Truth], from: Timestamp) -> impl Iterator<Item = (usize, &Truth)> {
    let held_until = |place: usize| track.get(place + 1).map(|next| next.since);
    let is_late = move |place: usize| held_until(place).is_none_or(|until| until >= from);
    track.iter().enumerate().filter(move |(place, _)| is_late(*place))
}

impl Subject {
    fn is_seen(&self, relation: Relation) -> bool {
        !relation.has(Relation::BLOCKED) && self.sees[kind(relation)]
    }
}

fn online([status, project, language]: [String; 3]) -> Told {
    Told::Online { status, project, language }
}

fn filtered(shown: [String; 3], kind: usize, preferences: &Preferences) -> [String; 3] {
    let [status, project, language] = shown;
    let or = |mode, text, instead: &str| {
        if admits(mode, kind) { text } else { instead.to_owned() }
    };
    [
        or(preferences.activity, status, "online"),
        or(preferences.project, project, ""),
        or(preferences.language, language, ""),
    ]
}
