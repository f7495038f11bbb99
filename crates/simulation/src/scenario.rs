//! What a run is made of, drawn from its seed.

use std::time::Duration;

use presence::ask::PreferencesChange;
use presence::rate::Rate;
use presence::shard::Limits;
use presence::time::Timestamp;
use presence::visibility::Mode;

use crate::chance::Chance;
use crate::directory::{Act, Directory, Who};
use crate::faults::Fault;
use crate::oracle::Lags;

/// Virtual time at which every run begins.
pub(crate) const START: Timestamp = Timestamp::from_secs(1_764_000_000);
/// Time for everything to end by itself once nobody does anything more: a crash's adoption, a
/// window after it, and two missed pings.
pub(crate) const DRAIN: Duration = Duration::from_secs(200);
/// People whom only one user knows, and who never connect.
pub(crate) const BYSTANDERS: usize = 2;

impl Scenario {
    /// Somebody who follows everyone, and in two worlds sits on every shard: whether others have
    /// anyone on a shard's index already must not depend on who hides.
    pub(crate) fn lurker(&self) -> Who {
        self.people + BYSTANDERS
    }
}

/// What the clients do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mix {
    /// All that clients can do.
    Everything,
    /// Sockets are lost and come back in time; nothing else.
    OnlyDrops,
}

/// One run.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// All chance comes from here.
    pub seed: u64,
    /// What the clients do.
    pub mix: Mix,
    /// A bug planted in one of the models.
    pub fault: Option<Fault>,
    pub(crate) people: usize,
    pub(crate) shards: usize,
    pub(crate) acting: Duration,
    pub(crate) crash_at: Option<Duration>,
    pub(crate) with_followers: bool,
    pub(crate) ping_interval: Duration,
    /// Longest time between two turns of each part.
    pub(crate) store_step: Duration,
    pub(crate) shard_step: Duration,
    pub(crate) link_step: Duration,
    pub(crate) directory_step: Duration,
}

impl Scenario {
    /// The scenario of a seed.
    pub fn new(seed: u64, mix: Mix) -> Self {
        let mut chance = Chance::new(&[seed, 1]);
        let is_slow = chance.percent(40);
        let millis =
            |fast: u64, slow: u64| Duration::from_millis(if is_slow { slow } else { fast });
        Self {
            seed,
            mix,
            fault: None,
            people: 3 + chance.below(4),
            shards: 1 + chance.below(3),
            acting: Duration::from_secs(40),
            // Cursors come with pings: often, so that most resumes get only a part.
            ping_interval: Duration::from_secs(match mix {
                Mix::Everything => chance.pick(&[3, 6, 30]),
                // A silent window is given up after two pings, and may be silent for 20 s here.
                Mix::OnlyDrops => 30,
            }),
            crash_at: chance.percent(40).then(|| chance.millis(8_000, 30_000)),
            with_followers: chance.percent(40),
            store_step: millis(4, 40),
            shard_step: millis(4, 40),
            link_step: millis(20, 100),
            directory_step: millis(10, 400),
        }
    }

    /// The same scenario with a bug in it.
    #[must_use]
    pub fn with(mut self, fault: Fault) -> Self {
        self.fault = Some(fault);
        self
    }

    /// How long ago something may have been true that a message says now: what is on its way.
    pub(crate) fn slack(&self) -> Duration {
        // A state may wait for relations that change again while they are read.
        8 * (self.store_step + self.shard_step + 2 * self.directory_step)
    }

    pub(crate) fn lags(&self) -> Lags {
        Lags { relation: 3 * self.store_step, state: self.slack() }
    }

    pub(crate) fn limits(&self) -> Limits {
        let secs = Duration::from_secs;
        Limits {
            ping_interval: self.ping_interval,
            heartbeat_interval: secs(10),
            resume_window: secs(60),
            hello_within: secs(10),
            reports: Rate::per(secs(1), 1, 5),
            requests: Rate::per(secs(60), 120, 120),
            frames: Rate::per(secs(1), 50, 50),
        }
    }

    /// The people and what ties them at the start.
    pub(crate) fn directory(&self) -> Directory {
        let mut chance = Chance::new(&[self.seed, 2]);
        let mut directory = Directory::new(self.lurker() + 1, self.with_followers);
        let ago = |days: u64| START - Duration::from_secs(days * 24 * 3_600);
        for who in directory.everyone() {
            directory.set_seen(who, chance.pick(&[Timestamp::NEVER, ago(3), ago(30)]));
        }
        for (one, other) in pairs(self.people) {
            for (act, times) in [(Act::Follow, 50), (Act::Connect, 15), (Act::Pin, 25)] {
                if chance.percent(times) {
                    tie(&mut directory, one, act, other);
                }
            }
        }
        for who in 0..self.people {
            if chance.percent(30) {
                let visibility = Some(chance.pick(&Mode::NAMES).0);
                let project = Some(chance.pick(&Mode::NAMES).0);
                let change = PreferencesChange { visibility, project, ..Default::default() };
                directory.prefer(who, change);
            }
        }
        for bystander in self.people..self.people + BYSTANDERS {
            tie(&mut directory, 0, Act::Follow, bystander);
        }
        for who in 0..self.lurker() {
            tie(&mut directory, self.lurker(), Act::Follow, who);
        }
        directory
    }
}

fn pairs(people: usize) -> impl Iterator<Item = (Who, Who)> {
    let others =
        move |one| (0..people).filter(move |other| *other != one).map(move |other| (one, other));
    (0..people).flat_map(others)
}

fn tie(directory: &mut Directory, one: Who, act: Act, other: Who) {
    use presence::view::Presence;
    let nobody = |directory: &Directory, who: Who| {
        let profile = directory.profile(who);
        let offline = Presence::offline(profile.seen, profile.relations);
        std::sync::Arc::new(Presence { audience: profile.audience, ..offline })
    };
    // A pin without a tie is refused: then there is none.
    let _ = directory.act(START, one, act, other, nobody);
}
