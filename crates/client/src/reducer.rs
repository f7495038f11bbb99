//! What a client knows: a map of users, and the pure function that applies a message to it.
//!
//! Applying a message twice changes nothing. This module never reads a socket or a clock.

use std::borrow::Cow;
use std::collections::BTreeMap;

use protocol::message::{Entry, EntryState, ServerMessage, Update};

/// The status word of someone who is here and says no more.
const ONLINE: &str = "online";

/// Where one user is, as last told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// Here.
    Online {
        /// Status word.
        status: Box<str>,
        /// Project, empty if none is told.
        project: Box<str>,
        /// Language, empty if none is told.
        language: Box<str>,
    },
    /// Not here.
    Offline {
        /// When last seen, in Unix seconds, if told.
        seen: Option<u64>,
    },
}

impl Presence {
    /// Whether the user is here.
    pub fn is_online(&self) -> bool {
        matches!(self, Self::Online { .. })
    }
}

/// One user as this client knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Display name; the id, if no name was told.
    pub name: Box<str>,
    /// Address of a picture.
    pub avatar: Option<Box<str>>,
    /// What ties the user to this client: 1 followed, 2 follows, 4 connected, 8 pinned.
    pub relation: u8,
    /// As last told; see [`State::seen`] for what may be shown.
    pub presence: Presence,
}

/// Whether what is known still holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Freshness {
    /// Nothing was told yet, the connection is gone, or the server has lost its store.
    #[default]
    Stale,
    Fresh,
}

/// What may be shown of one user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen<'a> {
    /// It holds.
    Known(&'a Presence),
    /// What was last told may no longer be true.
    Unknown,
}

/// All that a client knows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct State {
    me: Option<Box<str>>,
    people: BTreeMap<Box<str>, Person>,
    freshness: Freshness,
}

/// What a message changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A full list came and differs from the one before; the changes of each user follow.
    ListReplaced,
    /// A user is new on the list.
    Added(Box<str>),
    /// A user has left the list.
    Gone(Box<str>),
    /// A user came online.
    Came(Box<str>),
    /// A user went offline.
    Went(Box<str>),
    /// Status, project, language or last seen changed.
    Changed(Box<str>),
    /// Name, picture or relation changed.
    Introduced(Box<str>),
    /// What is known may no longer hold.
    Stale,
    /// What is known holds again.
    Fresh,
}

impl State {
    /// This client's own id, once welcomed.
    pub fn my_id(&self) -> Option<&str> {
        self.me.as_deref()
    }

    /// This client's own entry: the presence merged over all its sessions.
    pub fn me(&self) -> Option<&Person> {
        self.people.get(self.me.as_deref()?)
    }

    /// One user, oneself included.
    pub fn person(&self, id: &str) -> Option<&Person> {
        self.people.get(id)
    }

    /// The watch list by id, without oneself.
    pub fn people(&self) -> impl Iterator<Item = (&str, &Person)> {
        let me = self.me.as_deref();
        self.people
            .iter()
            .map(|(id, person)| (&**id, person))
            .filter(move |(id, _)| Some(*id) != me)
    }

    /// Whether what is known holds.
    pub fn is_fresh(&self) -> bool {
        self.freshness == Freshness::Fresh
    }

    /// What may be shown of a person of this state: nothing as true while it may not be.
    pub fn seen<'a>(&self, person: &'a Person) -> Seen<'a> {
        match self.freshness {
            Freshness::Fresh => Seen::Known(&person.presence),
            Freshness::Stale => Seen::Unknown,
        }
    }

    /// The connection is gone: what is known may no longer hold.
    pub fn disconnected(&mut self) -> Vec<Change> {
        self.turn(Freshness::Stale)
    }

    fn turn(&mut self, freshness: Freshness) -> Vec<Change> {
        if self.freshness == freshness {
            return Vec::new();
        }
        self.freshness = freshness;
        match freshness {
            Freshness::Fresh => vec![Change::Fresh],
            Freshness::Stale => vec![Change::Stale],
        }
    }
}

/// Applies one message; tells what is different now.
pub fn reduce(state: &mut State, message: &ServerMessage<'_>) -> Vec<Change> {
    match message {
        ServerMessage::Welcome(welcome) => welcomed(state, &welcome.id),
        ServerMessage::Sync { users, part } => {
            let mut changes = Vec::new();
            if !part {
                remove_absent(state, users, &mut changes);
            }
            for entry in users {
                merge_entry(state, entry, &mut changes);
            }
            if !part && !changes.is_empty() {
                changes.insert(0, Change::ListReplaced);
            }
            // What a node lists, it has just read: a resumed client needs no `fresh` besides.
            changes.extend(state.turn(Freshness::Fresh));
            changes
        }
        ServerMessage::Update(update) => apply_update(state, update),
        ServerMessage::Offline { id, at, gone: false } => went(state, id, *at),
        ServerMessage::Offline { id, gone: true, .. } => match state.people.remove(&**id) {
            Some(_) => vec![Change::Gone((&**id).into())],
            None => Vec::new(),
        },
        ServerMessage::Stale => state.turn(Freshness::Stale),
        ServerMessage::Fresh => state.turn(Freshness::Fresh),
        ServerMessage::Ping { .. }
        | ServerMessage::Go { .. }
        | ServerMessage::Error { .. }
        | ServerMessage::Response { .. } => Vec::new(),
    }
}

/// Another user than before starts from an empty map.
fn welcomed(state: &mut State, id: &str) -> Vec<Change> {
    if state.me.as_deref() == Some(id) {
        return Vec::new();
    }
    let gone = std::mem::take(&mut state.people).into_keys().map(Change::Gone).collect();
    state.me = Some(id.into());
    gone
}

fn remove_absent(state: &mut State, users: &[Entry<'_>], changes: &mut Vec<Change>) {
    let listed: std::collections::HashSet<&str> = users.iter().map(|entry| &*entry.id).collect();
    state.people.retain(|id, _| {
        let stays = listed.contains(&**id);
        if !stays {
            changes.push(Change::Gone(id.clone()));
        }
        stays
    });
}

fn merge_entry(state: &mut State, entry: &Entry<'_>, changes: &mut Vec<Change>) {
    let presence = match &entry.state {
        EntryState::Online { status, project, language } => Presence::Online {
            status: (&**status).into(),
            project: (&**project).into(),
            language: (&**language).into(),
        },
        EntryState::Offline { seen } => Presence::Offline { seen: *seen },
    };
    let person = Person {
        name: (&*entry.name).into(),
        avatar: entry.avatar.as_deref().map(Into::into),
        relation: entry.relation,
        presence,
    };
    replace(state, &entry.id, person, changes);
}

/// Puts a person in the place of the one before and tells the difference.
fn replace(state: &mut State, id: &str, person: Person, changes: &mut Vec<Change>) {
    let Some(held) = state.people.get_mut(id) else {
        state.people.insert(id.into(), person);
        changes.push(Change::Added(id.into()));
        return;
    };
    if (&held.name, &held.avatar, held.relation) != (&person.name, &person.avatar, person.relation)
    {
        changes.push(Change::Introduced(id.into()));
    }
    match (held.presence.is_online(), person.presence.is_online()) {
        (false, true) => changes.push(Change::Came(id.into())),
        (true, false) => changes.push(Change::Went(id.into())),
        _ if held.presence != person.presence => changes.push(Change::Changed(id.into())),
        _ => {}
    }
    *held = person;
}

fn apply_update(state: &mut State, update: &Update<'_>) -> Vec<Change> {
    let held = state.people.get(&*update.id).cloned();
    let mut person = held.unwrap_or_else(|| Person {
        name: (&*update.id).into(),
        avatar: None,
        relation: 0,
        presence: Presence::Offline { seen: None },
    });
    if let Some(name) = &update.name {
        person.name = (&**name).into();
    }
    if let Some(avatar) = &update.avatar {
        person.avatar = if avatar.is_empty() { None } else { Some((&**avatar).into()) };
    }
    if let Some(relation) = update.relation {
        person.relation = relation;
    }
    let fields = [&update.status, &update.project, &update.language];
    // A relation that changed says nothing of where the user is.
    if fields.iter().any(|field| field.is_some()) {
        person.presence = patched(person.presence, fields);
    }
    let mut changes = Vec::new();
    replace(state, &update.id, person, &mut changes);
    changes
}

/// Lays the fields of a patch over a presence. Who was offline shows only what the patch has.
fn patched(presence: Presence, fields: [&Option<Cow<'_, str>>; 3]) -> Presence {
    let [mut status, mut project, mut language] = match presence {
        Presence::Online { status, project, language } => [status, project, language],
        Presence::Offline { .. } => [ONLINE.into(), "".into(), "".into()],
    };
    for (held, new) in [&mut status, &mut project, &mut language].into_iter().zip(fields) {
        if let Some(new) = new {
            *held = (&**new).into();
        }
    }
    if status.is_empty() {
        status = ONLINE.into();
    }
    Presence::Online { status, project, language }
}

fn went(state: &mut State, id: &str, seen: Option<u64>) -> Vec<Change> {
    let mut person = match state.people.get(id) {
        Some(person) => person.clone(),
        None => Person {
            name: id.into(),
            avatar: None,
            relation: 0,
            presence: Presence::Offline { seen: None },
        },
    };
    person.presence = Presence::Offline { seen };
    let mut changes = Vec::new();
    replace(state, id, person, &mut changes);
    changes
}

#[cfg(test)]
mod tests;
