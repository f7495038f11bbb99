//! Holds every message against the truth: what was so when the message was made, or lately.

use std::collections::BTreeMap;

use client::{Presence, State, reduce};
use presence::time::Timestamp;
use protocol::message::ServerMessage;

use crate::directory::{Directory, Who};
use crate::oracle::{Oracle, Told, lately};

/// What is known to one socket's client once it has read everything sent so far.
pub(crate) struct Shadow {
    pub(crate) watcher: Who,
    pub(crate) state: State,
    /// Up to which truth of each user it has been told: a later message never tells an earlier one.
    pub(crate) matched: BTreeMap<Who, usize>,
}

/// The bit of a relation that is the watcher's pin.
const PIN: u8 = 8;

/// The truth that a message has told of each user.
pub(crate) type Matches = Vec<(Who, usize)>;

impl Shadow {
    /// Takes a message that is being sent; tells what is wrong with it, if anything is.
    pub(crate) fn tell(
        &mut self,
        message: &ServerMessage<'_>,
        oracle: &Oracle,
        directory: &Directory,
        since: Timestamp,
    ) -> Result<Matches, String> {
        reduce(&mut self.state, message);
        let who = |id: &str| directory.who(id).ok_or_else(|| format!("nobody is called {id}"));
        match message {
            ServerMessage::Update(update) => {
                let subject = who(&update.id)?;
                let says_where = [&update.status, &update.project, &update.language];
                if says_where.iter().all(|field| field.is_none()) {
                    self.check_relation(subject, oracle, since)?;
                    return Ok(Vec::new());
                }
                self.check(subject, oracle, since).map(|place| vec![(subject, place)])
            }
            ServerMessage::Offline { id, gone: false, .. } => {
                let subject = who(id)?;
                self.check(subject, oracle, since).map(|place| vec![(subject, place)])
            }
            ServerMessage::Offline { id, gone: true, .. } => {
                let subject = who(id)?;
                // A slow reader may hear of it when the user is back already.
                let from = self.matched.get(&subject).copied().unwrap_or(0);
                let track = oracle.track(self.watcher, subject);
                match (from..track.len()).find(|place| !track[*place].listed) {
                    Some(place) => {
                        self.matched.insert(subject, place);
                        Ok(vec![(subject, place)])
                    }
                    None => Err(format!("{id} is told to have left the list, and has not")),
                }
            }
            ServerMessage::Sync { .. } => self.check_all(oracle, directory, since),
            _ => Ok(Vec::new()),
        }
    }

    /// After a `sync`, whether full or in part, the whole map is true.
    fn check_all(
        &mut self,
        oracle: &Oracle,
        directory: &Directory,
        since: Timestamp,
    ) -> Result<Matches, String> {
        let mut matches = Vec::new();
        for subject in directory.everyone() {
            if self.state.person(directory.id(subject).as_str()).is_some() {
                matches.push((subject, self.check(subject, oracle, since)?));
            } else if !oracle.was((self.watcher, subject), since, |truth| !truth.listed) {
                return Err(format!("a sync leaves {} out", directory.id(subject)));
            }
        }
        Ok(matches)
    }

    /// Whether what the client now shows of somebody is true, or was lately, and not before what
    /// it was told already.
    fn check(&mut self, subject: Who, oracle: &Oracle, since: Timestamp) -> Result<usize, String> {
        self.check_relation(subject, oracle, since)?;
        let id = format!("dev_u{subject}");
        let Some(person) = self.state.person(&id) else {
            return Err(format!("{id} is not on the map"));
        };
        let shown = told(&person.presence);
        let track = oracle.track(self.watcher, subject);
        let from = self.matched.get(&subject).copied().unwrap_or(0);
        let is_so = |place: usize| track[place].told == shown;
        let newest = track.len() - 1;
        let found = lately(track, since).map(|(place, _)| place).find(|p| *p >= from && is_so(*p));
        match found {
            Some(place) => {
                self.matched.insert(subject, place);
                Ok(place)
            }
            None => Err(format!(
                "{id} is shown as {shown:?}; true are {:?} from place {from} of {newest} on",
                lately(track, since).collect::<Vec<_>>()
            )),
        }
    }

    fn check_relation(
        &self,
        subject: Who,
        oracle: &Oracle,
        since: Timestamp,
    ) -> Result<(), String> {
        let id = format!("dev_u{subject}");
        let relation = self.state.person(&id).map(|person| person.relation);
        let pair = (self.watcher, subject);
        // A relation may be told in the moment before its end takes the user off the list. The pin
        // is the watcher's own, read at another time than what both have made.
        let was = |bits: u8| {
            let told = relation.map(|relation| relation & bits);
            oracle.was(pair, since, |truth| Some(truth.relation & bits) == told)
        };
        let is_true = was(PIN) && was(!PIN);
        let is_listed = oracle.was(pair, since, |truth| truth.listed);
        if is_true && is_listed && (relation != Some(0) || self.watcher == subject) {
            Ok(())
        } else {
            let track = oracle.track(self.watcher, subject);
            let true_ones: Vec<_> = lately(track, since).collect();
            Err(format!("{id} is told with the relation {relation:?}; true are {true_ones:?}"))
        }
    }
}

/// Everything has come to rest: a client's map is exactly what its user may see.
pub(crate) fn at_rest(
    watcher: Who,
    state: &State,
    oracle: &Oracle,
    directory: &Directory,
) -> Result<(), String> {
    for subject in directory.everyone() {
        let id = directory.id(subject);
        let truth = oracle.now(watcher, subject);
        match state.person(id.as_str()) {
            None if truth.listed => return Err(format!("the map lacks {id}, who is {truth:?}")),
            Some(_) if !truth.listed => return Err(format!("{id} is on the map, and on no list")),
            Some(person) => {
                let shown = (told(&person.presence), person.relation, &*person.name);
                let name = Directory::name(subject);
                if shown != (truth.told.clone(), truth.relation, &name) {
                    return Err(format!("the map shows {id} as {shown:?}; true is {truth:?}"));
                }
            }
            None => {}
        }
    }
    if state.is_fresh() { Ok(()) } else { Err("the map is stale".to_owned()) }
}

fn told(presence: &Presence) -> Told {
    match presence {
        Presence::Online { status, project, language } => Told::Online {
            status: status.to_string(),
            project: project.to_string(),
            language: language.to_string(),
        },
        Presence::Offline { seen } => Told::Offline { seen: *seen },
    }
}
