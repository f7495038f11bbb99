//! The rows of the table, from what the client knows: who stands in which group, and what is shown.
//!
//! Pure: the time is handed in.

use client::{Person, Presence, Seen, State};

use super::words;

/// The groups in the order in which they are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Group {
    /// Oneself.
    You,
    /// Pinned.
    CloseFriends,
    /// Connected by an invite.
    Connected,
    /// Followed.
    Following,
    /// Who follows, and is not followed.
    Followers,
    /// Whoever is not here.
    Offline,
}

impl Group {
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::You => "You",
            Self::CloseFriends => "Close friends",
            Self::Connected => "Connected",
            Self::Following => "Following",
            Self::Followers => "Followers",
            Self::Offline => "Offline",
        }
    }

    fn of(relation: u8) -> Self {
        // The bits of `r` in the protocol.
        match relation {
            r if r & 8 != 0 => Self::CloseFriends,
            r if r & 4 != 0 => Self::Connected,
            r if r & 1 != 0 => Self::Following,
            _ => Self::Followers,
        }
    }
}

/// How a row is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    /// Here.
    Here,
    /// Not here.
    Away,
    /// It may no longer be true.
    Unknown,
}

/// One person in the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) group: Group,
    pub(super) name: String,
    pub(super) doing: String,
    pub(super) mood: Mood,
}

/// All rows, in the order of the groups and of names within each; who was here last comes first
/// among those who are not.
pub(super) fn rows(state: &State, now_secs: u64) -> Vec<Row> {
    let mut keyed: Vec<(Group, u64, String, Row)> = state
        .people()
        .map(|(_, person)| {
            let row = row(state, person, Group::of(person.relation), now_secs);
            let latest_first = match (&person.presence, row.mood) {
                (Presence::Offline { seen }, Mood::Away) => u64::MAX - seen.unwrap_or(0),
                _ => 0,
            };
            (row.group, latest_first, row.name.to_lowercase(), row)
        })
        .collect();
    keyed.sort_by(|a, b| (a.0, a.1, &a.2).cmp(&(b.0, b.1, &b.2)));
    let me = state.me().map(|me| Row { group: Group::You, ..row(state, me, Group::You, now_secs) });
    me.into_iter().chain(keyed.into_iter().map(|(.., row)| row)).collect()
}

fn row(state: &State, person: &Person, group: Group, now_secs: u64) -> Row {
    let name = words::plain(&person.name);
    match state.seen(person) {
        // Nobody moves to another group for what may not be true.
        Seen::Unknown => Row { group, name, doing: "unknown".into(), mood: Mood::Unknown },
        Seen::Known(presence @ Presence::Online { .. }) => {
            Row { group, name, doing: words::doing(presence, now_secs), mood: Mood::Here }
        }
        Seen::Known(Presence::Offline { seen }) => {
            let doing = seen.map_or_else(String::new, |seen| words::ago(seen, now_secs));
            Row { group: Group::Offline, name, doing, mood: Mood::Away }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use client::reduce;
    use protocol::json::decode_server;

    use super::*;

    /// Ada and those whom she watches, at second 1000.
    pub(in crate::watch) fn state() -> State {
        let mut state = State::default();
        for text in [
            r#"{"t":"welcome","id":"dev_ada","name":"ada","session":"01010101010101010101010101010101","resume":"x","resumed":false,"hb":10,"ping":30,"window":60}"#,
            r#"{"t":"sync","users":[{"id":"dev_ada","name":"ada","r":0,"s":"coding"},
                {"id":"dev_bob","name":"bob","r":3,"s":"debugging","p":"vscode","l":"rust"},
                {"id":"dev_cat","name":"Cat","r":9,"s":"idle"},
                {"id":"dev_dan","name":"dan","r":4,"s":"reading"},
                {"id":"dev_eve","name":"eve","r":1,"x":700},
                {"id":"dev_flo","name":"flo","r":9,"x":940},
                {"id":"dev_gil","name":"gil","r":2,"s":"away"},
                {"id":"dev_hal","name":"hal","r":1}]}"#,
        ] {
            reduce(&mut state, &decode_server(text).unwrap());
        }
        state
    }

    #[test]
    fn people_stand_in_groups_and_who_is_not_here_stands_last() {
        let told: Vec<String> = rows(&state(), 1_000)
            .iter()
            .map(|row| format!("{}: {} {}", row.group.title(), row.name, row.doing))
            .collect();
        let expected = [
            "You: ada coding",
            "Close friends: Cat idle",
            "Connected: dan reading",
            "Following: bob debugging · vscode · rust",
            "Followers: gil away",
            "Offline: flo 1 min ago",
            "Offline: eve 5 min ago",
            "Offline: hal ",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn what_is_stale_is_shown_as_unknown_and_moves_nobody() {
        let mut state = state();
        state.disconnected();
        let rows = rows(&state, 1_000);
        assert!(rows.iter().all(|row| row.mood == Mood::Unknown && row.doing == "unknown"));
        assert!(rows.iter().all(|row| row.group != Group::Offline));
    }
}
