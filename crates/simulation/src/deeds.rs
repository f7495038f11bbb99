//! What clients do of their own accord, drawn by chance.

use std::time::Duration;

use presence::ask::{Ask, PreferencesChange};
use presence::glob::Glob;
use presence::report::ReportChange;
use presence::time::Timestamp;
use presence::visibility::Mode;

use crate::chance::Chance;
use crate::client::Back;
use crate::directory::{Act, Directory, Who};
use crate::scenario::Mix;

/// One thing that a client does.
#[derive(Debug)]
pub(crate) enum Deed {
    Report(ReportChange),
    Burst(Vec<ReportChange>),
    Heartbeat,
    /// Loses its socket, and comes back so.
    Drop {
        back: Back,
        after: Duration,
        unread: Lost,
    },
    Bye {
        after: Option<Duration>,
        back: Option<Duration>,
    },
    AnotherWindow,
    DuplicateTab,
    /// Somebody tries the token before the last.
    ReplayToken,
    Ask(Ask),
    /// A relation changes from outside, as through the HTTP interface.
    Tie(Act, Who),
    StopReading(Duration),
}

/// What the node notices of a lost socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lost {
    /// The end of it, after all that was said.
    End,
    /// The end of it; what was under way is lost.
    EndAndFrames,
    /// Nothing: the other side is just silent from here on.
    Nothing,
}

/// Whom a deed may be about.
pub(crate) struct Around<'a> {
    pub(crate) now: Timestamp,
    pub(crate) me: Who,
    pub(crate) people: usize,
    pub(crate) directory: &'a Directory,
    pub(crate) mix: Mix,
    /// Someone whom nobody may come closer to: see the two worlds.
    pub(crate) untouchable: Option<Who>,
}

const WORDS: [&str; 7] = ["coding", "Debugging", "reading", "idle", "away", "online", "gaming"];
const PROJECTS: [&str; 5] = ["", "rollcall", "acme-rocket", "vscode", "Acme-Boat"];
const LANGUAGES: [&str; 4] = ["", "rust", "lua", "c"];

pub(crate) fn some_report(chance: &mut Chance) -> ReportChange {
    ReportChange {
        status: chance.percent(70).then(|| chance.pick(&WORDS).into()),
        project: chance.percent(60).then(|| chance.pick(&PROJECTS).into()),
        language: chance.percent(40).then(|| chance.pick(&LANGUAGES).into()),
    }
}

pub(crate) fn choose(chance: &mut Chance, around: &Around<'_>) -> Deed {
    if around.mix == Mix::OnlyDrops {
        return drop_in_time(chance);
    }
    match chance.below(100) {
        0..36 => Deed::Report(some_report(chance)),
        36..41 => {
            let reports = 2 + chance.below(8);
            Deed::Burst((0..reports).map(|_| some_report(chance)).collect())
        }
        41..43 => Deed::Heartbeat,
        43..53 => drop_somehow(chance),
        53..58 => bye(chance),
        58..61 => Deed::AnotherWindow,
        61..63 => Deed::DuplicateTab,
        63..65 => Deed::ReplayToken,
        65..75 => Deed::Ask(Ask::Prefs(some_preferences(chance))),
        75..78 => Deed::Ask(by_hand(chance, around.now)),
        78..94 => relation(chance, around),
        94..95 => Deed::Ask(Ask::Sessions),
        95..96 => Deed::Ask(Ask::Signout(None)),
        _ => Deed::StopReading(chance.millis(500, 15_000)),
    }
}

fn drop_in_time(chance: &mut Chance) -> Deed {
    let unread = chance.pick(&[Lost::End, Lost::EndAndFrames, Lost::Nothing]);
    let back = chance.pick(&[Back::Resume, Back::ResumeOrLogIn]);
    Deed::Drop { back, after: chance.millis(50, 20_000), unread }
}

fn drop_somehow(chance: &mut Chance) -> Deed {
    let unread = chance.pick(&[Lost::End, Lost::End, Lost::EndAndFrames, Lost::Nothing]);
    let back = chance.pick(&[
        Back::Resume,
        Back::Resume,
        Back::ResumeOrLogIn,
        Back::WrongToken,
        Back::LogIn,
    ]);
    let after = match chance.below(10) {
        0..7 => chance.millis(50, 5_000),
        7 => chance.millis(59_000, 61_000),
        _ => chance.millis(5_000, 90_000),
    };
    Deed::Drop { back, after, unread }
}

fn bye(chance: &mut Chance) -> Deed {
    let after = chance.percent(50).then(|| Duration::from_secs(5));
    Deed::Bye { after, back: chance.percent(80).then(|| chance.millis(100, 9_000)) }
}

fn some_preferences(chance: &mut Chance) -> PreferencesChange {
    let mode = |chance: &mut Chance| Some(chance.pick(&Mode::NAMES).0);
    let mut change = PreferencesChange::default();
    match chance.below(6) {
        0 | 1 => change.visibility = mode(chance),
        2 => change.visibility = Some(chance.pick(&[Mode::Invisible, Mode::Everyone])),
        3 => change.activity = mode(chance),
        4 => {
            change.project = mode(chance);
            change.language = mode(chance);
        }
        _ => {
            let globs = if chance.percent(50) { &["acme-*"][..] } else { &[] };
            change.hidden_projects =
                Some(globs.iter().filter_map(|glob| Glob::parse(glob).ok()).collect());
        }
    }
    change
}

fn by_hand(chance: &mut Chance, now: Timestamp) -> Ask {
    let status = chance.pick(&["", "on holiday", "in a meeting"]).into();
    // Whole seconds, as the wire carries them.
    let until = chance.percent(60).then(|| now + chance.millis(2_000, 40_000));
    Ask::Manual { status, until: until.map(|until| Timestamp::from_secs(until.secs())) }
}

fn relation(chance: &mut Chance, around: &Around<'_>) -> Deed {
    let other = (around.me + 1 + chance.below(around.people - 1)) % around.people;
    let id = around.directory.id(other).clone();
    let is_touchable = around.untouchable != Some(other);
    match chance.below(11) {
        0 | 1 if is_touchable => Deed::Tie(Act::Follow, other),
        2 => Deed::Tie(Act::Unfollow, other),
        3 if is_touchable => Deed::Tie(Act::Connect, other),
        4 => Deed::Ask(Ask::Remove(id)),
        5 | 6 => Deed::Ask(Ask::Pin(id)),
        7 => Deed::Ask(Ask::Unpin(id)),
        8 => Deed::Ask(Ask::Block(id)),
        9 | 10 if is_touchable => Deed::Ask(Ask::Unblock(id)),
        _ => Deed::Heartbeat,
    }
}

/// What someone does whom nobody is to see: all that shows, were it not hidden.
pub(crate) fn choose_hidden(chance: &mut Chance) -> Deed {
    match chance.below(10) {
        0..5 => Deed::Report(some_report(chance)),
        5 => Deed::AnotherWindow,
        6 | 7 => drop_somehow(chance),
        8 => bye(chance),
        _ => Deed::Ask(Ask::Manual { status: chance.pick(&["", "busy"]).into(), until: None }),
    }
}
