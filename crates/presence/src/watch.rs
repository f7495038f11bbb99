//! Who watches whom on one shard.
//!
//! Each watched user stands here once, with its last presence, however many sessions watch. A
//! change walks only the watchers of its subject. Watchers and places point at each other by
//! number, so that joining and leaving cost the same however many others watch.

use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use slab::Slab;

use crate::ids::{Epoch, Handle, RelationVersion, UserId};
use crate::outbox::PlaceNumber;
use crate::relation::{CLASSES, Class, Relation};
use crate::view::{Fields, Presence, Sight};

/// Number of a subject in a shard's index.
pub type SubjectNumber = u32;

/// A session that watches a subject.
#[derive(Debug, Clone, Copy)]
pub struct Watcher {
    /// The session's socket: its slot in the shard's table.
    pub slot: u32,
    /// The subject's place on the session's watch list.
    pub place: PlaceNumber,
    /// What the session's user is to the subject.
    pub relation: Relation,
    /// Whether it came while relations were already being read again.
    pub is_late: bool,
}

/// A place on a session's watch list.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// The subject.
    pub subject: SubjectNumber,
    /// Where the session stands among the subject's watchers.
    pub at: u32,
}

/// A watched user.
#[derive(Debug)]
pub struct Subject {
    /// Who.
    pub id: UserId,
    /// Its number on this node, once the store has told it: until then nothing is known.
    pub handle: Option<Handle>,
    /// The state as last delivered.
    pub presence: Arc<Presence>,
    /// A newer state that waits for the relations to be read again.
    pub held: Option<Arc<Presence>>,
    /// The version of the subject's relations that every live watcher's relation was read at, or
    /// later. A session that is still opening may have an older list, and then reads it again.
    pub relations: RelationVersion,
    /// The version that the lists of late watchers who are live are at least of.
    pub late_at: RelationVersion,
    /// By class, what its view last changed by: four bits each.
    deltas: u64,
    /// Who watches.
    pub watchers: Vec<Watcher>,
}

impl Subject {
    /// The newest state that the store has told, whether delivered or kept back.
    pub fn newest(&self) -> &Arc<Presence> {
        self.held.as_ref().unwrap_or(&self.presence)
    }

    /// The relations of everyone who is here now are asked for again.
    pub(crate) fn ask(&mut self) {
        self.late_at = RelationVersion(u64::MAX);
        self.watchers.iter_mut().for_each(|watcher| watcher.is_late = false);
    }

    /// A watcher is live whose list is no older than the newest state.
    pub(crate) fn note_live(&mut self) {
        self.late_at = self.late_at.min(self.newest().relations);
    }

    /// Whether `presence` is what the store has told, be it that it knows nothing. A first state
    /// that is kept back leaves there what the directory knew.
    pub fn is_told(&self) -> bool {
        let is_the_directorys = self.presence.epoch == Epoch(0);
        self.handle.is_some() && !(self.held.is_some() && is_the_directorys)
    }

    /// What the class's view last changed by.
    pub fn delta(&self, class: Class) -> Fields {
        let nibble = self.deltas >> (class.index() * 4);
        Fields::from_bits((nibble & 15) as u8)
    }

    /// Takes the next state; tells what each class's view changed by.
    pub fn advance(&mut self, next: Arc<Presence>) -> [Fields; CLASSES] {
        let mut changes = [Fields::NONE; CLASSES];
        for class in Class::all() {
            let relation = class.relation();
            let before = self.presence.view(relation, Sight::default());
            let fields = before.difference(next.view(relation, Sight::default()));
            changes[class.index()] = fields;
            // A class that saw nothing keeps what it last saw change: an unsent patch of it is
            // still made from that, and must not show that something else happened.
            if !fields.is_empty() {
                let shift = class.index() * 4;
                self.deltas = (self.deltas & !(15 << shift)) | (u64::from(fields.bits()) << shift);
            }
        }
        self.presence = next;
        changes
    }
}

/// The index of one shard.
#[derive(Debug, Default)]
pub struct Watch {
    subjects: Slab<Subject>,
    by_id: HashMap<UserId, SubjectNumber, RandomState>,
    by_handle: HashMap<Handle, SubjectNumber, RandomState>,
}

impl Watch {
    /// The subject of that number.
    pub fn subject(&self, number: SubjectNumber) -> &Subject {
        &self.subjects[number as usize]
    }

    /// The subject of that number, to change.
    pub fn subject_mut(&mut self, number: SubjectNumber) -> &mut Subject {
        &mut self.subjects[number as usize]
    }

    /// The number of a user who is watched here.
    pub fn find(&self, id: &UserId) -> Option<SubjectNumber> {
        self.by_id.get(id).copied()
    }

    /// The number of the subject that the store knows by that handle.
    pub fn find_handle(&self, handle: Handle) -> Option<SubjectNumber> {
        self.by_handle.get(&handle).copied()
    }

    /// How many users are watched.
    pub fn len(&self) -> usize {
        self.subjects.len()
    }

    /// Whether nobody is watched.
    pub fn is_empty(&self) -> bool {
        self.subjects.is_empty()
    }

    /// The number of a user, who stands here from now on; and whether they are new. Until the
    /// store has spoken, `presence` is what the directory knows.
    pub fn ensure(
        &mut self,
        id: &UserId,
        presence: impl FnOnce() -> Presence,
    ) -> (SubjectNumber, bool) {
        if let Some(number) = self.find(id) {
            return (number, false);
        }
        let presence = Arc::new(presence());
        let relations = presence.relations;
        let subject = Subject {
            id: id.clone(),
            handle: None,
            presence,
            held: None,
            relations,
            late_at: relations,
            deltas: 0,
            watchers: Vec::new(),
        };
        let Ok(number) = SubjectNumber::try_from(self.subjects.insert(subject)) else {
            panic!("a shard watches fewer than four thousand million users");
        };
        self.by_id.insert(id.clone(), number);
        (number, true)
    }

    /// The store has told a subject's handle.
    pub fn name(&mut self, number: SubjectNumber, handle: Handle) {
        self.subjects[number as usize].handle = Some(handle);
        self.by_handle.insert(handle, number);
    }

    /// Adds a watcher; gives the place to keep.
    pub fn join(&mut self, number: SubjectNumber, watcher: Watcher) -> Place {
        let subject = &mut self.subjects[number as usize];
        let is_late = subject.held.is_some();
        let watchers = &mut subject.watchers;
        watchers.push(Watcher { is_late, ..watcher });
        let Ok(at) = u32::try_from(watchers.len() - 1) else {
            panic!("a shard has fewer than four thousand million sessions");
        };
        Place { subject: number, at }
    }

    /// Removes the watcher that holds the place. The watcher that took its position is told, to
    /// note it in its own place; a subject whom nobody watches any more leaves the index, and the
    /// handle that the store may forget is told.
    pub fn leave(&mut self, place: Place) -> (Option<Watcher>, Option<Handle>) {
        let number = place.subject;
        let subject = &mut self.subjects[number as usize];
        subject.watchers.swap_remove(place.at as usize);
        if !subject.watchers.is_empty() {
            return (subject.watchers.get(place.at as usize).copied(), None);
        }
        let subject = self.subjects.remove(number as usize);
        self.by_id.remove(&subject.id);
        if let Some(handle) = subject.handle {
            self.by_handle.remove(&handle);
        }
        (None, subject.handle)
    }
}
