//! A live session: its watch list, what it has still to be told, and what it may still say.

use hashbrown::HashMap;

use crate::ids::{RelationVersion, SessionId, UserId};
use crate::outbox::{Outbox, PlaceNumber};
use crate::rate::Bucket;
use crate::report::ReportChange;
use crate::view::Sight;
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
    /// Unsent departures: of those only whom the client was told of, so at most a list's length.
    pub gone: Vec<UserId>,
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
