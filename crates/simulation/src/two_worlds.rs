//! Two worlds of one seed: in the one somebody hides and stays active, in the other the same
//! person leaves at that moment and does nothing. Who loses sight must not be able to tell which
//! world it lives in: every byte, in order, at the same time.

use std::time::Duration;

use presence::ask::PreferencesChange;
use presence::exchange::Request;
use presence::ids::ShardId;
use presence::report::ReportChange;
use presence::session::{Life, SessionRecord};
use presence::time::Timestamp;
use presence::visibility::Mode;

use crate::chance::Chance;
use crate::client::{Window, WindowKey};
use crate::deeds::{self, Deed};
use crate::directory::{Act, Who};
use crate::oracle::{admits, kind};
use crate::scenario::{BYSTANDERS, Mix, START, Scenario};
use crate::world::{Report, Sent, Violation, Work, World};

/// Who hides, in every scenario.
const HIDER: Who = 0;
/// Before it hides it says nothing for so long, so that no merged report is under way.
const QUIET: Duration = Duration::from_secs(10);

/// How somebody hides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hiding {
    /// Visibility `invisible`.
    Invisible,
    /// Visibility narrowed, so that some lose sight.
    Narrowed,
    /// The audience of one field narrowed: looks like clearing that field.
    Field,
    /// One watcher blocked.
    Blocked,
}

impl Hiding {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Invisible, Self::Narrowed, Self::Field, Self::Blocked];
}

/// In which of the two worlds this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Hides,
    Leaves,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Status,
    Project,
    Language,
}

/// What is to happen to the hider.
#[derive(Debug)]
pub(crate) struct Plot {
    hiding: Hiding,
    side: Side,
    at: Timestamp,
    mode: Mode,
    field: Field,
    blocked: Who,
    chance: Chance,
    /// Who must not be able to tell.
    pub(crate) blind: Vec<Who>,
}

impl Plot {
    fn new(scenario: &Scenario, hiding: Hiding, side: Side) -> Self {
        let mut chance = Chance::new(&[scenario.seed, 8]);
        let narrow = [Mode::Followers, Mode::Following, Mode::CloseFriends];
        let mode = match hiding {
            Hiding::Invisible | Hiding::Blocked => Mode::Invisible,
            Hiding::Narrowed => chance.pick(&narrow),
            Hiding::Field => chance.pick(&[narrow[0], narrow[1], narrow[2], Mode::Invisible]),
        };
        Self {
            hiding,
            side,
            at: START + chance.millis(12_000, 16_000),
            mode,
            field: chance.pick(&[Field::Status, Field::Project, Field::Language]),
            blocked: 1 + chance.below(scenario.people - 1),
            chance,
            blind: Vec::new(),
        }
    }
}

/// Runs both worlds and compares what those receive who lose sight.
///
/// Errors with the first difference, or with what either world itself showed wrongly.
pub fn compare(seed: u64, hiding: Hiding, fault: Option<crate::Fault>) -> Result<(), Violation> {
    let mut scenario = Scenario::new(seed, Mix::Everything);
    scenario.fault = fault;
    scenario.acting = Duration::from_secs(35);
    if hiding == Hiding::Field {
        // The one world's window would have to come back after a crash, and may not act.
        scenario.crash_at = None;
    }
    let run = |side| {
        let plot = Plot::new(&scenario, hiding, side);
        World::new(scenario.clone(), Some(plot)).run_with_the_blind()
    };
    let (hides, blind) = run(Side::Hides)?;
    let (leaves, _) = run(Side::Leaves)?;
    for who in blind {
        let [one, other] = [&hides, &leaves].map(|report| received(report, who));
        let differs = one.iter().zip(&other).position(|(a, b)| a != b);
        let end = (one.len() != other.len()).then_some(one.len().min(other.len()));
        if let Some(place) = differs.or(end) {
            let (hid, left) = (one.get(place), other.get(place));
            let at = hid.or(left).map_or(START, |sent| sent.at);
            return Err(Violation {
                seed,
                at_ms: at.since(START).as_millis(),
                what: format!("{hiding:?} is told from leaving: {hid:?} against {left:?}"),
            });
        }
    }
    Ok(())
}

/// What a user's windows received, window by window.
fn received(report: &Report, who: Who) -> Vec<Sent> {
    let mut sent: Vec<Sent> =
        report.sent.iter().filter(|sent| sent.window.0 == who).cloned().collect();
    sent.sort_by_key(|sent| sent.window);
    sent
}

impl World {
    pub(crate) fn lay_plot(&mut self) {
        let Some(plot) = &self.plot else { return };
        let at = plot.at;
        for shard in 0..self.scenario.shards {
            let key = (self.scenario.lurker(), shard as u64);
            self.windows.insert(key, Window::new(self.scenario.seed, key));
            self.later(Duration::ZERO, Work::Act(key));
        }
        self.at(at, Work::Hide);
        for secs in [2, 5, 9, 14] {
            self.at(at + Duration::from_secs(secs), Work::Secret);
        }
    }

    /// Whether somebody does nothing of its own accord for now.
    pub(crate) fn is_silenced(&self, who: Who) -> bool {
        let Some(plot) = self.plot.as_ref().filter(|_| who == HIDER) else { return false };
        let is_quiet = plot.at - QUIET <= self.now && self.now < plot.at;
        is_quiet || (plot.side == Side::Leaves && self.now >= plot.at)
    }

    /// Whom nobody comes closer to any more: that would be a new right to see.
    pub(crate) fn untouchable(&self) -> Option<Who> {
        self.plot.as_ref().filter(|plot| self.now >= plot.at).map(|_| HIDER)
    }

    /// What the hider does once it has hidden: anything that shows, were it not hidden.
    pub(crate) fn choose_hidden(&mut self, key: WindowKey) -> Option<Deed> {
        let now = self.now;
        let plot = self.plot.as_ref().filter(|plot| key.0 == HIDER && now >= plot.at)?;
        let (hiding, field) = (plot.hiding, plot.field);
        let chance = &mut self.windows.get_mut(&key)?.chance;
        Some(match hiding {
            Hiding::Field => Deed::Report(only(field, &deeds::some_report(chance))),
            _ => deeds::choose_hidden(chance),
        })
    }

    /// The moment of which the two worlds differ. Everything comes to a stand before and after,
    /// so that the way it takes, longer or shorter, makes no difference.
    pub(crate) fn hide(&mut self) {
        let Some(plot) = &self.plot else { return };
        let (hiding, side, mode, blocked) = (plot.hiding, plot.side, plot.mode, plot.blocked);
        self.come_to_a_stand();
        let mut blind = self.who_loses_sight(hiding, mode, blocked);
        if hiding == Hiding::Field {
            if self.keep_one_window().is_none() {
                // Who is not here has no field to clear.
                blind.clear();
            }
        } else if side == Side::Leaves {
            self.all_say_bye();
        }
        match (side, hiding) {
            (Side::Leaves, Hiding::Field) => self.clear_field(),
            (Side::Leaves, _) => {}
            (Side::Hides, Hiding::Blocked) => {
                // Blocking again is no error, and nothing else can fail here.
                let _ = self.change_tie(ShardId(0), HIDER, Act::Block, blocked);
            }
            (Side::Hides, _) => self.narrow(),
        }
        self.come_to_a_stand();
        if let Some(plot) = &mut self.plot {
            plot.blind = blind;
        }
    }

    fn who_loses_sight(&self, hiding: Hiding, mode: Mode, blocked: Who) -> Vec<Who> {
        let others = (1..self.scenario.people).filter(|who| match hiding {
            Hiding::Blocked => *who == blocked,
            _ => !admits(mode, kind(self.directory.relation(*who, HIDER))),
        });
        // In a crash the node is down: then the moment is one of silence, in both worlds.
        if self.is_down { Vec::new() } else { others.collect() }
    }

    fn narrow(&mut self) {
        let Some(plot) = &self.plot else { return };
        let mode = Some(plot.mode);
        let mut change = PreferencesChange::default();
        match (plot.hiding, plot.field) {
            (Hiding::Field, Field::Status) => change.activity = mode,
            (Hiding::Field, Field::Project) => change.project = mode,
            (Hiding::Field, Field::Language) => change.language = mode,
            _ => change.visibility = mode,
        }
        let preferences = self.directory.prefer(HIDER, change);
        let user = self.directory.id(HIDER).clone();
        self.queue_for_store(ShardId(0), Request::Preferences { user, preferences });
    }

    fn hiders_windows(&self) -> Vec<WindowKey> {
        self.windows.range((HIDER, 0)..(HIDER + 1, 0)).map(|(key, _)| *key).collect()
    }

    /// All windows say bye; what is detached ends at the same moment.
    fn all_say_bye(&mut self) {
        for key in self.hiders_windows() {
            self.leave(key, None, None);
        }
        self.come_to_a_stand();
        self.end_sessions(|_| true);
    }

    fn end_sessions(&mut self, is_over: impl Fn(&SessionRecord) -> bool) {
        if self.is_down {
            return;
        }
        let user = self.directory.id(HIDER).clone();
        let sessions = self.store.record(&user).map(|record| record.sessions.clone());
        for session in sessions.unwrap_or_default().iter().filter(|session| is_over(session)) {
            let mut events = Vec::new();
            self.store.sign_out(self.now, &user, Some(session.id), &mut events);
            self.store_changed(&user);
            self.send_events(events);
        }
    }

    /// Leaves the hider one live window, if it has any, and no status by hand.
    fn keep_one_window(&mut self) -> Option<WindowKey> {
        let windows = self.hiders_windows();
        let kept = windows.iter().copied().find(|key| self.windows[key].is_live);
        for key in windows.into_iter().filter(|key| Some(*key) != kept) {
            self.leave(key, None, None);
        }
        let user = self.directory.id(HIDER).clone();
        self.queue_for_store(ShardId(0), Request::Manual { user, manual: None });
        self.come_to_a_stand();
        let socket = kept.and_then(|key| self.windows[&key].socket);
        let conn = socket.map(|socket| self.sockets[&socket].conn);
        self.end_sessions(|session| match session.life {
            Life::Live(owner) => Some(owner.conn) != conn,
            Life::Detached { .. } => true,
        });
        self.come_to_a_stand();
        // A window that has not read yet that it was closed has none.
        let record = self.store.record(self.directory.id(HIDER));
        kept.filter(|_| record.is_some_and(|record| !record.sessions.is_empty()))
    }

    fn clear_field(&mut self) {
        let Some(plot) = &self.plot else { return };
        let cleared = ReportChange {
            status: Some("online".into()),
            project: Some("".into()),
            language: Some("".into()),
        };
        let change = only(plot.field, &cleared);
        for key in self.hiders_windows() {
            if let Some(window) = self.windows.get_mut(&key) {
                window.report.merge(change.clone());
            }
        }
        let user = self.directory.id(HIDER).clone();
        let sessions = self.store.record(&user).map(|record| record.sessions.clone());
        for session in sessions.unwrap_or_default() {
            if let Life::Live(owner) = session.life {
                let (user, change, session) = (user.clone(), change.clone(), session.id);
                let report = Request::Report { user, session, owner, change };
                self.queue_for_store(ShardId(0), report);
            }
        }
    }

    /// The hider does something to somebody that the others must not notice. In the other world
    /// everything comes to a stand at the same moment.
    pub(crate) fn act_in_secret(&mut self) {
        self.come_to_a_stand();
        let people = self.scenario.people;
        let Some(plot) = &mut self.plot else { return };
        let acts = [Act::Follow, Act::Unfollow, Act::Pin, Act::Unpin, Act::Block, Act::Unblock];
        let pins = [Act::Pin, Act::Pin, Act::Unpin];
        // Elsewhere a pin may give a right to see.
        let is_pin_secret = match plot.hiding {
            Hiding::Invisible => true,
            Hiding::Narrowed => plot.mode != Mode::CloseFriends,
            Hiding::Field | Hiding::Blocked => false,
        };
        let behind_a_block = [Act::Follow, Act::Unfollow, Act::Pin, Act::Unpin, Act::Remove];
        let (act, other) = if plot.hiding == Hiding::Blocked && plot.chance.percent(60) {
            (plot.chance.pick(&behind_a_block), plot.blocked)
        } else if is_pin_secret && plot.chance.percent(60) {
            (plot.chance.pick(&pins), 1 + plot.chance.below(people - 1))
        } else {
            (plot.chance.pick(&acts), people + plot.chance.below(BYSTANDERS))
        };
        if plot.side == Side::Hides && !self.is_down {
            // A pin without a tie is refused.
            let _ = self.change_tie(ShardId(0), HIDER, act, other);
        }
        self.come_to_a_stand();
    }
}

fn only(field: Field, report: &ReportChange) -> ReportChange {
    let mut one = ReportChange::default();
    match field {
        Field::Status => one.status.clone_from(&report.status),
        Field::Project => one.project.clone_from(&report.project),
        Field::Language => one.language.clone_from(&report.language),
    }
    one
}
