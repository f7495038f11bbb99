//! Presence in words: what one person does, how long ago, and what a change was.
//!
//! Texts of others pass through [`plain`], for no server and no friend may steer the terminal.

use client::{Change, Presence, Seen, State};

/// The text without characters that could steer a terminal or turn a line around.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if presence::text::is_forbidden(c) { '\u{fffd}' } else { c }).collect()
}

/// What one does: `coding · vscode · rust`.
pub(crate) fn doing(presence: &Presence, now_secs: u64) -> String {
    match presence {
        Presence::Online { status, project, language } => {
            let said = [status, project, language].map(|word| plain(word));
            let said: Vec<&str> =
                said.iter().map(String::as_str).filter(|w| !w.is_empty()).collect();
            said.join(" · ")
        }
        Presence::Offline { seen: None } => "offline".into(),
        Presence::Offline { seen: Some(seen) } => format!("offline, {}", ago(*seen, now_secs)),
    }
}

/// How long ago a moment was, in one unit.
pub(crate) fn ago(then_secs: u64, now_secs: u64) -> String {
    match now_secs.saturating_sub(then_secs) {
        0..60 => "just now".into(),
        secs @ 60..3_600 => format!("{} min ago", secs / 60),
        secs @ 3_600..86_400 => format!("{} h ago", secs / 3_600),
        secs => format!("{} d ago", secs / 86_400),
    }
}

/// A change as a sentence; nothing where there is nothing to say.
pub(crate) fn line(state: &State, change: &Change, now_secs: u64) -> Option<String> {
    let (id, verb) = match change {
        Change::Stale => {
            return Some("what was shown may no longer be true".into());
        }
        Change::Fresh => return Some("up to date".into()),
        Change::ListReplaced => return None,
        Change::Gone(id) => return Some(format!("{} has left the list", plain(id))),
        Change::Added(id) => (id, "is on the list"),
        Change::Came(id) => (id, "came"),
        Change::Went(id) => (id, "went"),
        Change::Changed(id) => (id, "changed"),
        Change::Introduced(id) => (id, "is known anew"),
    };
    let person = state.person(id)?;
    let who = match state.my_id() == Some(&**id) {
        true => format!("you ({})", plain(&person.name)),
        false => plain(&person.name),
    };
    let what = match state.seen(person) {
        Seen::Known(presence) => doing(presence, now_secs),
        // The change itself is news, even while the rest of the list is not.
        Seen::Unknown => doing(&person.presence, now_secs),
    };
    Some(format!("{who} {verb}: {what}"))
}

#[cfg(test)]
mod tests {
    use client::reduce;
    use protocol::json::decode_server;

    use super::*;

    #[test]
    fn times_are_told_in_one_unit() {
        let table = [
            (0, "just now"),
            (59, "just now"),
            (300, "5 min ago"),
            (7_300, "2 h ago"),
            (180_000, "2 d ago"),
        ];
        for (secs, expected) in table {
            assert_eq!(ago(1_000_000 - secs, 1_000_000), expected);
        }
        assert_eq!(ago(5, 1), "just now", "a clock that lags shows no negative time");
    }

    #[test]
    fn each_change_is_a_sentence() {
        let mut state = State::default();
        let mut told = Vec::new();
        for text in [
            r#"{"t":"sync","users":[{"id":"dev_ada","name":"ada","r":0,"s":"online"},{"id":"dev_bob","name":"bob","r":1,"x":940}]}"#,
            r#"{"t":"u","id":"dev_bob","s":"coding","p":"vscode"}"#,
            r#"{"t":"u","id":"dev_bob","s":"debugging"}"#,
            r#"{"t":"x","id":"dev_bob","at":700}"#,
            r#"{"t":"x","id":"dev_bob","gone":true}"#,
        ] {
            let changes = reduce(&mut state, &decode_server(text).unwrap());
            told.extend(changes.iter().filter_map(|change| line(&state, change, 1_000)));
        }
        let expected = [
            "ada is on the list: online",
            "bob is on the list: offline, 1 min ago",
            "up to date",
            "bob came: coding · vscode",
            "bob changed: debugging · vscode",
            "bob went: offline, 5 min ago",
            "dev_bob has left the list",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn no_text_steers_the_terminal() {
        assert_eq!(plain("a\u{1b}[2Jb\u{202e}"), "a\u{fffd}[2Jb\u{fffd}");
    }
}
