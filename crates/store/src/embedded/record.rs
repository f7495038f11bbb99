//! What stands in the log: a user as it is after a change, whole, so that reading twice or reading
//! an old one before a new one does no harm.

use std::sync::Arc;

use presence::glob::Glob;
use presence::hello::TokenHash;
use presence::ids::{Epoch, RelationVersion, SessionId, UserId};
use presence::report::Report;
use presence::session::{Life, Manual, SessionRecord};
use presence::time::Timestamp;
use presence::transition::UserRecord;
use presence::view::Presence;
use serde::{Deserialize, Serialize};

/// One entry of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// First of each segment.
    Begin {
        /// The life of the data.
        epoch: Epoch,
        /// Number of the segment.
        segment: u64,
    },
    /// A user, after a change.
    User(Box<StoredUser>),
    /// The store no longer keeps that user.
    Forget(UserId),
    /// The store's time.
    Time(Timestamp),
    /// Every user stands in this segment: older ones are not needed.
    Complete,
}

/// A user as it stands in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredUser {
    id: UserId,
    sessions: Vec<StoredSession>,
    manual: Option<Manual>,
    hidden: Vec<Glob>,
    presence: Arc<Presence>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct StoredSession {
    id: SessionId,
    /// None while live: whose socket it was is of no use to the next process.
    until: Option<Timestamp>,
    report: Option<Report>,
    reported: Timestamp,
    token: TokenHash,
    previous: Option<TokenHash>,
    since: Timestamp,
    address: Box<str>,
    client: Box<str>,
}

impl StoredUser {
    /// What is to be written of a user.
    pub fn new(id: &UserId, user: &UserRecord) -> Self {
        Self {
            id: id.clone(),
            sessions: user.sessions.iter().map(StoredSession::new).collect(),
            manual: user.manual.clone(),
            hidden: user.hidden.clone(),
            presence: Arc::clone(&user.presence),
        }
    }

    /// Back to what the store keeps. Live sessions become Detached without time left: whoever
    /// restores them decides how long they have. Relation versions start again from the
    /// directory's, which may be an older copy.
    pub fn restore(self) -> (UserId, UserRecord) {
        let mut presence = Arc::unwrap_or_clone(self.presence);
        presence.relations = RelationVersion(0);
        let record = UserRecord {
            sessions: self.sessions.into_iter().map(StoredSession::restore).collect(),
            manual: self.manual,
            hidden: self.hidden,
            presence: Arc::new(presence),
        };
        (self.id, record)
    }
}

impl StoredSession {
    fn new(session: &SessionRecord) -> Self {
        let until = match session.life {
            Life::Live(_) => None,
            Life::Detached { until } => Some(until),
        };
        Self {
            id: session.id,
            until,
            report: session.report.clone(),
            reported: session.reported,
            token: session.token,
            previous: session.previous,
            since: session.since,
            address: session.address.clone(),
            client: session.client.clone(),
        }
    }

    fn restore(self) -> SessionRecord {
        SessionRecord {
            id: self.id,
            life: Life::Detached { until: self.until.unwrap_or(Timestamp::NEVER) },
            report: self.report,
            reported: self.reported,
            token: self.token,
            previous: self.previous,
            since: self.since,
            address: self.address,
            client: self.client,
        }
    }
}
