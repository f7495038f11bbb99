//! One presence from many sessions: whose report is shown.

use crate::glob::Glob;
use crate::session::{Manual, SessionRecord};
use crate::view::{ONLINE, Shown};

/// How busy a status word is; the busiest session is shown. Ignores case.
fn rank(status: &str) -> u8 {
    let ranks = [("debugging", 5), ("coding", 4), ("reading", 2), ("idle", 1), ("away", 0)];
    ranks.iter().find(|(word, _)| status.eq_ignore_ascii_case(word)).map_or(3, |(_, rank)| *rank)
}

/// Merges a user's sessions to what is shown of the user; nothing when no session is left.
///
/// A status set by hand wins over every session. Else the session with the most active word wins
/// and supplies all three fields; among equals the one whose report changed last. A session
/// without a report is passed over while another has one. Hidden projects stay here.
pub fn merge(
    sessions: &[SessionRecord],
    manual: Option<&Manual>,
    hidden: &[Glob],
) -> Option<Shown> {
    if sessions.is_empty() {
        return None;
    }
    if let Some(manual) = manual {
        return Some(Shown::new(&manual.status, "", ""));
    }
    let reported = sessions.iter().filter_map(|s| Some((s, s.report.as_ref()?)));
    let busiest = reported.max_by_key(|(s, report)| (rank(&report.status), s.reported, s.id));
    let Some((_, report)) = busiest else {
        return Some(Shown::new(ONLINE, "", ""));
    };
    let status = if report.status.is_empty() { ONLINE } else { &report.status };
    let is_hidden = hidden.iter().any(|glob| glob.matches(&report.project));
    let project = if is_hidden { "" } else { &report.project };
    Some(Shown::new(status, project, &report.language))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::SessionId;
    use crate::report::Report;
    use crate::session::Life;
    use crate::time::Timestamp;

    fn session(id: u8, at: u64, fields: Option<(&str, &str, &str)>) -> SessionRecord {
        SessionRecord {
            id: SessionId([id; 16]),
            life: Life::Detached { until: Timestamp(1_000) },
            report: fields.map(|(s, p, l)| Report {
                status: s.into(),
                project: p.into(),
                language: l.into(),
            }),
            reported: Timestamp(at),
            token: [0; 32],
            previous: None,
            since: Timestamp(0),
            address: "".into(),
            client: "".into(),
        }
    }

    fn shown(sessions: &[SessionRecord]) -> Option<(String, String, String)> {
        let shown = merge(sessions, None, &[])?;
        Some((shown.status().into(), shown.project().into(), shown.language().into()))
    }

    fn triple(s: &str, p: &str, l: &str) -> Option<(String, String, String)> {
        Some((s.into(), p.into(), l.into()))
    }

    #[test]
    fn no_session_is_offline_and_a_silent_one_is_online() {
        assert_eq!(shown(&[]), None);
        assert_eq!(shown(&[session(1, 0, None)]), triple("online", "", ""));
    }

    #[test]
    fn the_most_active_word_wins_and_supplies_all_three_fields() {
        let order = ["away", "idle", "READING", "anything else", "Coding", "debugging"];
        for pair in order.windows(2) {
            let quieter = session(1, 9, Some((pair[0], "quiet", "q")));
            let busier = session(2, 1, Some((pair[1], "", "b")));
            assert_eq!(shown(&[quieter, busier]), triple(pair[1], "", "b"), "{pair:?}");
        }
    }

    #[test]
    fn among_equals_the_latest_changed_report_wins() {
        let early = session(1, 5, Some(("coding", "early", "")));
        let late = session(2, 6, Some(("Coding", "late", "")));
        assert_eq!(shown(&[late, early]), triple("Coding", "late", ""));
    }

    #[test]
    fn a_session_without_a_report_is_passed_over_while_another_has_one() {
        let silent = session(1, 9, None);
        let away = session(2, 1, Some(("away", "", "")));
        assert_eq!(shown(&[silent, away]), triple("away", "", ""));
    }

    #[test]
    fn a_report_without_a_word_shows_online_with_its_project() {
        assert_eq!(shown(&[session(1, 1, Some(("", "x", "")))]), triple("online", "x", ""));
    }

    #[test]
    fn a_status_by_hand_wins_over_every_session_but_not_over_none() {
        let manual = Manual { status: "on holiday".into(), until: None };
        let busy = session(1, 1, Some(("debugging", "x", "rust")));
        assert_eq!(merge(&[busy], Some(&manual), &[]), Some(Shown::new("on holiday", "", "")));
        assert_eq!(merge(&[], Some(&manual), &[]), None);
    }

    #[test]
    fn a_hidden_project_never_leaves() {
        let hidden = [Glob::parse("acme-*").unwrap()];
        let busy = session(1, 1, Some(("coding", "acme-rocket", "rust")));
        assert_eq!(merge(&[busy], None, &hidden), Some(Shown::new("coding", "", "rust")));
    }
}
