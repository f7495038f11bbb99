//! A live session: its watch list, what it has still to be told, and what it may still say.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::ids::{RelationVersion, SessionId, UserId};
use crate::outbox::{Outbox, PlaceNumber};
use crate::rate::Bucket;
use crate::relation::Relation;
use crate::report::ReportChange;
use crate::view::{Presence, Sight};
use crate::watch::Place;

/// The place of oneself on one's own watch list.
pub(super) const OWN_PLACE: PlaceNumber = 0;

/// A session bound to a socket of this shard.
#[derive(Debug)]
pub(super) struct Session {
    pub user: UserId,
    pub id: SessionId,
    /// Version of the user's own relations that the watch list was read at.
    pub relations: RelationVersion,
    /// A newer version was seen and the list is being read again.
    pub is_reloading: bool,
    /// The token before the last is still good: the next frame ends that.
    pub is_unconfirmed: bool,
    /// The session stands in the driver's queue of those with patches to take.
    pub is_dirty: bool,
    /// Requests refused in a row.
    pub refused: u8,
    /// Oneself first; a gap where someone has left the list.
    pub places: Vec<Option<Place>>,
    pub outbox: Outbox,
    pub reports: Bucket,
    pub requests: Bucket,
    /// Reports that came faster than the rate, merged.
    pub late_report: Option<Box<ReportChange>>,
    /// What is rare: nothing, for nearly every session.
    pub rare: Option<Box<Rare>>,
}

/// What few sessions ever have.
#[derive(Debug, Default)]
pub(super) struct Rare {
    /// What relations alone let the session see, by place.
    pub sights: HashMap<PlaceNumber, Sight>,
    /// Unsent arrivals and changes of relation, by place.
    pub news: HashMap<PlaceNumber, News>,
    /// Subjects of whom the session knows more than the index, by place. They get no patch until
    /// the index has caught up, and then only for what differs.
    pub ahead: HashMap<PlaceNumber, Ahead>,
    /// Relations as the client knows them, by place, where ties have told of others since and the
    /// list has not.
    pub told: HashMap<PlaceNumber, u8>,
    /// Places of which the next ties tell the relation too.
    pub owed: Vec<PlaceNumber>,
    /// Unsent departures: of those only whom the client was told of, so at most a list's length.
    pub gone: Vec<UserId>,
}

/// What a first `sync` told from a state that is kept back: the session is ahead of the index.
#[derive(Debug)]
pub(super) struct Ahead {
    pub presence: Arc<Presence>,
    pub relation: Relation,
    pub sight: Sight,
}

/// What a patch tells besides the presence.
#[derive(Debug)]
pub(super) enum News {
    /// Someone new on the list.
    Newcomer { name: Box<str>, avatar: Box<str> },
    /// A relation changed.
    Relation,
}

impl Session {
    pub(super) fn sight(&self, place: PlaceNumber) -> Sight {
        let sights = self.rare.as_ref().map(|rare| &rare.sights);
        sights.and_then(|sights| sights.get(&place)).copied().unwrap_or_default()
    }

    pub(super) fn set_sight(&mut self, place: PlaceNumber, sight: Sight) {
        if sight != Sight::default() {
            self.rare.get_or_insert_default().sights.insert(place, sight);
        } else if let Some(rare) = &mut self.rare {
            rare.sights.remove(&place);
        }
    }

    /// Keeps in mind which relation the client knows, when another comes up that it is not told.
    pub(super) fn keep_told(&mut self, place: PlaceNumber, told: Relation, next: Relation) {
        if told.known() != next.known() {
            let told_relations = &mut self.rare.get_or_insert_default().told;
            told_relations.entry(place).or_insert(told.known());
        }
    }

    /// Which relation the client knows: that of the index, or the one kept in mind.
    pub(super) fn take_told(&mut self, place: PlaceNumber, index: Relation) -> u8 {
        let kept = self.rare.as_mut().and_then(|rare| rare.told.remove(&place));
        kept.unwrap_or(index.known())
    }

    /// Notes that the next ties tell the relation of a place too.
    pub(super) fn owe(&mut self, place: PlaceNumber) {
        let owed = &mut self.rare.get_or_insert_default().owed;
        if !owed.contains(&place) {
            owed.push(place);
        }
    }

    /// Whether these ties tell the relation too.
    pub(super) fn take_owed(&mut self, place: PlaceNumber) -> bool {
        let Some(rare) = &mut self.rare else { return false };
        let at = rare.owed.iter().position(|owed| *owed == place);
        at.map(|at| rare.owed.swap_remove(at)).is_some()
    }

    pub(super) fn is_ahead(&self, place: PlaceNumber) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.ahead.contains_key(&place))
    }

    /// A free place, an old gap if there is one.
    pub(super) fn free_place(&mut self) -> Option<PlaceNumber> {
        let at = self.places.iter().position(Option::is_none).unwrap_or(self.places.len());
        if at == self.places.len() {
            self.places.push(None);
        }
        PlaceNumber::try_from(at).ok()
    }

    /// Notes something to tell besides the presence.
    pub(super) fn tell(&mut self, place: PlaceNumber, news: News) {
        let rare = self.rare.get_or_insert_default();
        let is_newcomer = matches!(rare.news.get(&place), Some(News::Newcomer { .. }));
        if !(is_newcomer && matches!(news, News::Relation)) {
            rare.news.insert(place, news);
        }
    }

    /// Notes that someone has left the list.
    pub(super) fn tell_gone(&mut self, place: PlaceNumber, id: UserId) {
        self.outbox.forget(place);
        let rare = self.rare.get_or_insert_default();
        rare.sights.remove(&place);
        rare.ahead.remove(&place);
        rare.told.remove(&place);
        rare.owed.retain(|owed| *owed != place);
        // Who came and went between two writes was never there.
        if !matches!(rare.news.remove(&place), Some(News::Newcomer { .. })) {
            rare.gone.push(id);
        }
    }

    /// Whether the client was told of the whole list, as of the version that it was read at.
    pub(super) fn is_settled(&self) -> bool {
        let has_news = |rare: &Rare| !rare.news.is_empty() || !rare.gone.is_empty();
        !self.is_reloading && !self.rare.as_deref().is_some_and(has_news)
    }

    /// Whether nothing is to be told.
    pub(super) fn is_told(&self) -> bool {
        let nothing_rare = self.rare.as_ref().is_none_or(|rare| rare.gone.is_empty());
        self.outbox.is_empty() && nothing_rare
    }

    pub(super) fn into_places(self) -> Vec<Place> {
        self.places.into_iter().flatten().collect()
    }
}
