//! The world: one clock, one queue of what happens next, and the parts it happens to.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::time::Duration;

use presence::ask::Ask;
use presence::close::Close;
use presence::exchange::Request;
use presence::ids::{ConnId, Incarnation, ShardId, UserId};
use presence::shard::{Input, Shard};
use presence::time::Timestamp;

use crate::chance::{Turns, mix};
use crate::check::{self, Matches, Shadow};
use crate::client::{SocketId, Window, WindowKey};
use crate::directory::{Act, Directory, Who};
use crate::oracle::Oracle;
use crate::scenario::{DRAIN, START, Scenario};
use crate::store::Store;
use crate::two_worlds::Plot;

/// How long a node is down between a crash and its next life.
const DOWN: Duration = Duration::from_secs(2);
/// Messages that a socket holds before it takes no more patches.
pub(crate) const ROOM: usize = 4;
/// More steps than any run takes: a loop that feeds itself is a bug.
const STEPS_MAX: usize = 2_000_000;

/// What a run found to be wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("seed {seed}, {at_ms} ms after the start: {what}")]
pub struct Violation {
    /// The seed that shows it again.
    pub seed: u64,
    /// When, in virtual milliseconds.
    pub at_ms: u128,
    /// What is wrong.
    pub what: String,
}

/// What came of a run without a violation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Everything that was sent to clients, in order: when, to which window, what.
    pub sent: Vec<Sent>,
    /// Resumes that were refused.
    pub refused: usize,
}

/// One message to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// When.
    pub at: Timestamp,
    /// Whose window: the user's number, and the window's.
    pub window: (usize, u64),
    /// The message.
    pub text: String,
}

/// What somebody asks of the directory.
#[derive(Debug)]
pub(crate) enum Question {
    Person { conn: ConnId, user: UserId },
    WatchList { conn: ConnId, user: UserId },
    Ties { subject: UserId, watchers: Vec<UserId> },
    Perform { conn: ConnId, n: u64, user: UserId, ask: Ask },
    Tie { actor: Who, act: Act, other: Who },
}

/// What happens next.
#[derive(Debug)]
pub(crate) enum Work {
    Arrive(SocketId),
    Up(SocketId, String),
    Gone(SocketId, Goodbye),
    Ask(ShardId, Request),
    Event(ShardId, presence::exchange::Event),
    Read(ShardId, Question),
    Answer(ShardId, Box<Input>),
    Pump(SocketId),
    Down(SocketId),
    Act(WindowKey),
    Crash,
    Restart,
    Hide,
    Secret,
}

/// Whether a client closes with code 1000.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goodbye {
    Said,
    NotSaid,
}

impl Work {
    /// Whether this waits in a queue only until its part has its turn.
    fn is_queued(&self) -> bool {
        matches!(
            self,
            Self::Arrive(_)
                | Self::Up(..)
                | Self::Gone(..)
                | Self::Ask(..)
                | Self::Event(..)
                | Self::Read(..)
                | Self::Answer(..)
        )
    }

    /// Whether it is lost when the node crashes.
    fn is_the_nodes(&self) -> bool {
        matches!(
            self,
            Self::Ask(..) | Self::Event(..) | Self::Read(..) | Self::Answer(..) | Self::Pump(_)
        )
    }
}

struct Task {
    at: Timestamp,
    number: u64,
    life: u64,
    work: Work,
}

impl Task {
    fn key(&self) -> (Timestamp, u64) {
        (self.at, self.number)
    }
}

impl PartialEq for Task {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Task {}

impl PartialOrd for Task {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Task {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

/// What is on its way to a client.
#[derive(Debug)]
pub(crate) enum Frame {
    Text(String, Matches),
    Close(Close),
}

/// Who is at a socket's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caller {
    Window,
    /// Somebody with a token that is good no more.
    Thief,
}

pub(crate) struct Socket {
    pub(crate) window: WindowKey,
    pub(crate) caller: Caller,
    pub(crate) shard: ShardId,
    pub(crate) conn: ConnId,
    /// Whether the node, and the client, still hold their ends.
    pub(crate) is_at_node: bool,
    pub(crate) is_at_client: bool,
    /// What the client said last is lost.
    pub(crate) is_cut: bool,
    pub(crate) shadow: Shadow,
    pub(crate) down: VecDeque<Frame>,
    pub(crate) has_patches: bool,
    pub(crate) is_pumping: bool,
    pub(crate) is_reading: bool,
    pub(crate) hellos: u64,
}

pub(crate) struct World {
    pub(crate) now: Timestamp,
    pub(crate) scenario: Scenario,
    pub(crate) directory: Directory,
    pub(crate) store: Store,
    pub(crate) oracle: Oracle,
    pub(crate) shards: Vec<Shard>,
    /// Who sits in which slot of each shard's table.
    pub(crate) slots: Vec<Vec<Option<SocketId>>>,
    /// Which life of the node this is; crashes count.
    pub(crate) life: u64,
    pub(crate) is_down: bool,
    pub(crate) windows: BTreeMap<WindowKey, Window>,
    pub(crate) sockets: BTreeMap<SocketId, Socket>,
    pub(crate) plot: Option<Plot>,
    pub(crate) sent: Vec<Sent>,
    pub(crate) complaint: Option<String>,
    tasks: BinaryHeap<Reverse<Task>>,
    tasks_made: u64,
}

/// Runs a scenario to its end.
///
/// Errors with the first thing that a client was told wrongly, or that a map shows wrongly when
/// everything has come to rest.
pub fn run(scenario: Scenario) -> Result<Report, Violation> {
    World::new(scenario, None).run()
}

impl World {
    pub(crate) fn new(scenario: Scenario, plot: Option<Plot>) -> Self {
        let directory = scenario.directory();
        let store = Store::new(scenario.fault);
        let oracle = Oracle::new(START, scenario.lags(), &store, &directory);
        let mut world = Self {
            now: START,
            directory,
            store,
            oracle,
            shards: Vec::new(),
            slots: Vec::new(),
            life: 0,
            is_down: false,
            windows: BTreeMap::new(),
            sockets: BTreeMap::new(),
            plot,
            sent: Vec::new(),
            complaint: None,
            tasks: BinaryHeap::new(),
            tasks_made: 0,
            scenario,
        };
        world.start_node();
        for who in 0..world.scenario.people {
            let key = (who, 0);
            world.windows.insert(key, Window::new(world.scenario.seed, key));
            let after = Duration::from_millis(mix(&[world.scenario.seed, 4, who as u64]) % 4_000);
            world.later(after, Work::Act(key));
        }
        if let Some(crash_at) = world.scenario.crash_at {
            world.later(crash_at, Work::Crash);
        }
        world.lay_plot();
        world
    }

    fn start_node(&mut self) {
        let shards = 0..u16::try_from(self.scenario.shards).unwrap_or(1);
        let node = Incarnation(self.life + 1);
        let limits = self.scenario.limits();
        self.shards = shards.map(|id| Shard::new(node, ShardId(id), limits.clone())).collect();
        self.slots = vec![Vec::new(); self.shards.len()];
        self.is_down = false;
    }

    /// The end of the time in which clients do anything of their own accord.
    pub(crate) fn is_acting(&self) -> bool {
        self.now < START + self.scenario.acting
    }

    pub(crate) fn at(&mut self, at: Timestamp, work: Work) {
        self.tasks_made += 1;
        let number = self.tasks_made;
        self.tasks.push(Reverse(Task { at, number, life: self.life, work }));
    }

    pub(crate) fn later(&mut self, after: Duration, work: Work) {
        self.at(self.now + after, work);
    }

    /// At the next turn of a part that works in steps of that length.
    pub(crate) fn in_turn(&mut self, step: Duration, part: &[u64], work: Work) {
        let turns = Turns { seed: self.scenario.seed, step };
        self.at(turns.after(mix(part), self.now), work);
    }

    pub(crate) fn complain(&mut self, what: impl Into<String>) {
        self.complaint.get_or_insert(what.into());
    }

    pub(crate) fn run(self) -> Result<Report, Violation> {
        self.run_with_the_blind().map(|(report, _)| report)
    }

    /// Runs to the end; also tells who, in two worlds, must not tell them apart.
    pub(crate) fn run_with_the_blind(mut self) -> Result<(Report, Vec<Who>), Violation> {
        let end = START + self.scenario.acting + DRAIN;
        for _ in 0..STEPS_MAX {
            match self.next_moment() {
                Some(at) if at <= end => self.step(at),
                _ => {
                    self.now = end;
                    self.check_at_rest();
                    return self.result();
                }
            }
            if self.complaint.is_some() {
                return self.result();
            }
        }
        self.complain("the world does not come to rest");
        self.result()
    }

    fn result(self) -> Result<(Report, Vec<Who>), Violation> {
        match self.complaint {
            Some(what) => Err(Violation {
                seed: self.scenario.seed,
                at_ms: self.now.since(START).as_millis(),
                what,
            }),
            None => {
                let refused = self.windows.values().map(|window| window.refused).sum();
                let blind = self.plot.map(|plot| plot.blind).unwrap_or_default();
                Ok((Report { sent: self.sent, refused }, blind))
            }
        }
    }

    fn next_moment(&self) -> Option<Timestamp> {
        let task = self.tasks.peek().map(|Reverse(task)| task.at);
        let deadlines = self.shards.iter().filter_map(Shard::next_deadline);
        let due = self.store.next_due().filter(|_| !self.is_down);
        deadlines.chain(task).chain(due).min()
    }

    fn step(&mut self, at: Timestamp) {
        self.now = self.now.max(at);
        if let Some(Reverse(task)) = self.tasks.peek()
            && task.at <= self.now
        {
            if let Some(Reverse(task)) = self.tasks.pop() {
                self.carry_out(task);
            }
            return;
        }
        self.let_time_pass();
    }

    fn let_time_pass(&mut self) {
        for shard in 0..self.shards.len() {
            if self.shards[shard].next_deadline().is_some_and(|at| at <= self.now) {
                let mut effects = Vec::new();
                self.shards[shard].expire(self.now, &mut effects);
                self.do_effects(shard, effects);
            }
        }
        if !self.is_down && self.store.next_due().is_some_and(|at| at <= self.now) {
            let mut events = Vec::new();
            for user in self.store.sweep(self.now, &mut events) {
                self.store_changed(&user);
            }
            self.send_events(events);
        }
    }

    fn carry_out(&mut self, task: Task) {
        if task.life != self.life && task.work.is_the_nodes() {
            return;
        }
        match task.work {
            Work::Arrive(socket) => self.arrive(socket),
            Work::Up(socket, text) => self.hear(socket, &text),
            Work::Gone(socket, goodbye) => self.notice_end(socket, goodbye),
            Work::Ask(shard, request) => self.ask_store(shard, request),
            Work::Event(shard, event) => self.feed(usize::from(shard.0), Input::Store(event)),
            Work::Read(shard, question) => self.read_directory(shard, question),
            Work::Answer(shard, input) => self.feed(usize::from(shard.0), *input),
            Work::Pump(socket) => self.pump(socket),
            Work::Down(socket) => self.read_socket(socket),
            Work::Act(window) => self.act(window),
            Work::Crash => self.crash(),
            Work::Restart => self.restart(),
            Work::Hide => self.hide(),
            Work::Secret => self.act_in_secret(),
        }
    }

    /// Lets everything that waits in a queue happen now, until nothing waits: no clock goes on.
    pub(crate) fn come_to_a_stand(&mut self) {
        loop {
            let all = std::mem::take(&mut self.tasks).into_sorted_vec();
            let (mut queued, others): (Vec<_>, Vec<_>) =
                all.into_iter().partition(|Reverse(task)| task.work.is_queued());
            self.tasks = others.into();
            if queued.is_empty() {
                return;
            }
            queued.sort_by_key(|Reverse(task)| task.key());
            for Reverse(task) in queued {
                self.carry_out(task);
            }
        }
    }

    fn crash(&mut self) {
        if self.is_down {
            return;
        }
        self.is_down = true;
        self.life += 1;
        self.shards.clear();
        let held: Vec<SocketId> =
            self.sockets.iter().filter(|(_, s)| s.is_at_node).map(|(id, _)| *id).collect();
        for id in held {
            if let Some(socket) = self.sockets.get_mut(&id) {
                socket.is_at_node = false;
            }
            self.break_off(id);
        }
        self.later(DOWN, Work::Restart);
    }

    fn restart(&mut self) {
        self.start_node();
        let directory = &self.directory;
        self.store.restart(self.now, |user| {
            let who = directory.who(user.as_str());
            who.map(|who| directory.preferences(who).clone()).unwrap_or_default()
        });
        for who in self.directory.everyone() {
            let user = self.directory.id(who).clone();
            self.store_changed(&user);
        }
    }

    /// The store's state of a user may be another.
    pub(crate) fn store_changed(&mut self, user: &UserId) {
        if let Some(who) = self.directory.who(user.as_str()) {
            self.oracle.store_changed(self.now, who, &self.store, &self.directory);
        }
    }

    fn check_at_rest(&mut self) {
        for (key, window) in &self.windows {
            if window.is_live
                && let Err(what) =
                    check::at_rest(key.0, &window.state, &self.oracle, &self.directory)
            {
                self.complaint.get_or_insert(format!("at rest, window {key:?}: {what}"));
            }
        }
        self.check_reports();
        self.check_subscriptions();
    }

    /// No report is lost: the store has what each live window said last.
    fn check_reports(&mut self) {
        for (key, window) in &self.windows {
            let Some(socket) = window.socket.filter(|_| window.is_live) else { continue };
            let Some(socket) = self.sockets.get(&socket) else { continue };
            let record = self.store.record(self.directory.id(key.0));
            let is_this = |session: &&presence::session::SessionRecord| {
                matches!(session.life, presence::session::Life::Live(owner)
                    if owner.conn == socket.conn && owner.shard == socket.shard)
            };
            let session = record.and_then(|record| record.sessions.iter().find(is_this));
            let Some(session) = session else {
                self.complaint.get_or_insert(format!("window {key:?} is live without a session"));
                continue;
            };
            let mut report = session.report.clone().unwrap_or_default();
            if report.apply(&window.report) {
                let what = format!("window {key:?} said {:?}, {report:?} is kept", window.report);
                self.complaint.get_or_insert(what);
            }
        }
    }

    /// The store tells a shard of those whom it watches, and of nobody else.
    fn check_subscriptions(&mut self) {
        for (number, shard) in (0u16..).zip(&self.shards) {
            let told = self.store.watched_by(ShardId(number));
            if told != shard.subjects() {
                let what =
                    format!("shard {number} watches {}, and hears of {told}", shard.subjects());
                self.complaint.get_or_insert(what);
            }
        }
    }
}
