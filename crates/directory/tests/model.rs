//! Random sequences of acts, checked at each step against a model that tells the same story in
//! other words: here each person has a notebook of what they know, and a block is a wall through
//! which no news goes.

mod common;

use std::collections::BTreeMap;

use common::{World, id};
use directory::{DirectoryError, RelationChange, WatchLimits};
use presence::relation::Relation;
use proptest::prelude::*;

const USERS: [&str; 3] = ["ada", "bob", "cy"];
const ACTS: [&str; 8] =
    ["follows", "unfollows", "connects", "removes", "pins", "unpins", "blocks", "unblocks"];

type Two = (usize, usize);

/// What is true, and what each knows of the other's part. Values are the order of making.
#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    follows: BTreeMap<Two, u32>,
    /// Under both orders.
    connections: BTreeMap<Two, u32>,
    pins: BTreeMap<Two, u32>,
    blocks: BTreeMap<Two, ()>,
    /// `(who knows, of whom)`: that they follow.
    known_follows: BTreeMap<Two, u32>,
    /// `(who knows, of whom)`: that they are connected.
    known_connections: BTreeMap<Two, u32>,
}

impl Model {
    /// The act, or nothing if it is refused.
    fn after(mut self, act: &str, a: usize, b: usize, now: u32) -> Option<Self> {
        match act {
            "follows" => {
                self.follows.entry((a, b)).or_insert(now);
            }
            "unfollows" => {
                self.follows.remove(&(a, b));
            }
            "connects" => {
                for two in [(a, b), (b, a)] {
                    self.connections.entry(two).or_insert(now);
                    self.known_connections.entry(two).or_insert(now);
                }
            }
            "removes" => {
                self.connections.remove(&(a, b));
                self.connections.remove(&(b, a));
                self.known_connections.remove(&(a, b));
            }
            "pins" => {
                if !self.knows_a_tie(a, b) {
                    return None;
                }
                self.pins.entry((a, b)).or_insert(now);
            }
            "unpins" => {
                self.pins.remove(&(a, b));
            }
            "blocks" => {
                self.blocks.insert((a, b), ());
            }
            "unblocks" => {
                self.blocks.remove(&(a, b));
            }
            _ => unreachable!("{act} is no act"),
        }
        for (knower, of) in [(a, b), (b, a)] {
            self.tell(knower, of);
        }
        for (pinner, pinned) in [(a, b), (b, a)] {
            if !self.knows_a_tie(pinner, pinned) {
                self.pins.remove(&(pinner, pinned));
            }
        }
        Some(self)
    }

    /// News of the truth reaches the knower, unless there is a wall.
    fn tell(&mut self, knower: usize, of: usize) {
        if self.blocks.contains_key(&(of, knower)) {
            return;
        }
        for (truth, known, key) in [
            (&self.follows, &mut self.known_follows, (of, knower)),
            (&self.connections, &mut self.known_connections, (of, knower)),
        ] {
            match truth.get(&key) {
                Some(made) => known.insert((knower, of), *made),
                None => known.remove(&(knower, of)),
            };
        }
    }

    fn knows_a_tie(&self, a: usize, b: usize) -> bool {
        self.relation(a, b).known() & 7 != 0
    }

    fn relation(&self, watcher: usize, subject: usize) -> Relation {
        let (two, back) = ((watcher, subject), (subject, watcher));
        let bits = [
            (self.follows.contains_key(&two), 1),
            (self.known_follows.contains_key(&two), 2),
            (self.known_connections.contains_key(&two), 4),
            (self.pins.contains_key(&two), 8),
            (self.pins.contains_key(&back), 16),
            (self.blocks.contains_key(&back), 32),
        ];
        Relation::from_bits(bits.iter().filter(|(set, _)| *set).map(|(_, bit)| bit).sum())
    }

    fn list(&self, watcher: usize, limits: &WatchLimits) -> Vec<(usize, Relation)> {
        let mut list: Vec<(usize, std::cmp::Reverse<u32>, usize)> = Vec::new();
        let mut ranks = vec![&self.pins, &self.known_connections, &self.follows];
        if limits.followers {
            ranks.push(&self.known_follows);
        }
        for subject in 0..USERS.len() {
            let two = (watcher, subject);
            let first = ranks.iter().enumerate().find_map(|(n, rank)| Some((n, *rank.get(&two)?)));
            if let Some((rank, made)) = first
                && !self.blocks.contains_key(&two)
            {
                list.push((rank, std::cmp::Reverse(made), subject));
            }
        }
        list.sort_unstable();
        list.truncate(limits.max);
        list.into_iter().map(|(.., subject)| (subject, self.relation(watcher, subject))).collect()
    }

    /// Whether the step to `next` is anything to that user: something they may know of, or that
    /// changes what others see of them, except behind a block against them.
    fn concerns(&self, next: &Self, user: usize) -> bool {
        (0..USERS.len()).filter(|other| *other != user).any(|other| {
            let knows = |model: &Self| {
                let blocks = model.blocks.contains_key(&(user, other));
                (model.relation(user, other).known(), blocks)
            };
            let shows = |model: &Self| model.relation(other, user).bits() & !8;
            let wall = |model: &Self| model.blocks.contains_key(&(other, user));
            knows(self) != knows(next)
                || (shows(self) != shows(next) && !(wall(self) && wall(next)))
        })
    }
}

#[derive(Debug, Clone)]
struct Step {
    act: &'static str,
    actor: usize,
    other: usize,
    limits: WatchLimits,
}

fn step() -> impl Strategy<Value = Step> {
    let max = prop_oneof![Just(2000), 0..3_usize];
    (prop::sample::select(&ACTS[..]), 0..USERS.len(), 1..USERS.len(), max, any::<bool>()).prop_map(
        |(act, actor, further, max, followers)| Step {
            act,
            actor,
            other: (actor + further) % USERS.len(),
            limits: WatchLimits { max, followers },
        },
    )
}

async fn versions(world: &World) -> Vec<u64> {
    let mut versions = Vec::new();
    for user in USERS {
        versions.push(world.version(user).await);
    }
    versions
}

async fn check_reads(world: &World, model: &Model, step: &Step) {
    let users = USERS.map(id);
    for (number, user) in users.iter().enumerate() {
        let list = world
            .directory
            .watch_list(user, &step.limits)
            .await
            .expect("a list")
            .expect("a known user");
        let list: Vec<_> =
            list.entries.iter().map(|entry| (entry.id.clone(), entry.relation)).collect();
        let expected: Vec<_> = model
            .list(number, &step.limits)
            .into_iter()
            .map(|(subject, relation)| (users[subject].clone(), relation))
            .collect();
        assert_eq!(list, expected, "the list of {user} after {step:?}");
        let (_, ties) = world.directory.ties(user, &users).await.expect("ties");
        for (watcher, tie) in ties.iter().enumerate() {
            let expected = model.relation(watcher, number);
            assert_eq!(tie.relation, expected, "{} to {user} after {step:?}", tie.watcher);
        }
    }
}

async fn run(steps: &[Step]) {
    let world = World::of(&USERS).await;
    let mut model = Model::default();
    let mut held = versions(&world).await;
    for (step, now) in steps.iter().zip(1..) {
        let sentence = format!("{} {} {}", USERS[step.actor], step.act, USERS[step.other]);
        let answer = world.act(&sentence).await;
        let Some(next) = model.clone().after(step.act, step.actor, step.other, now) else {
            assert!(matches!(answer, Err(DirectoryError::NotRelated { .. })), "{step:?}");
            continue;
        };
        let change = answer.expect("the model allows it");
        let current = versions(&world).await;
        for (user, name) in USERS.iter().enumerate() {
            let raised = change.versions.iter().find(|(id, _)| id.as_str() == *name);
            assert_eq!(raised.is_some(), model.concerns(&next, user), "{name} after {step:?}");
            assert_eq!(current[user] > held[user], raised.is_some(), "{name} after {step:?}");
            assert!(current[user] >= held[user], "no version ever goes back");
            assert!(raised.is_none_or(|(_, version)| version.0 == current[user]));
        }
        for hit in &change.watchers_hit {
            let place = |user| USERS.iter().position(|name| id(name) == user).expect("one of them");
            let (watcher, subject) =
                (place(hit.side.watcher.clone()), place(hit.side.subject.clone()));
            assert_eq!(hit.old, model.relation(watcher, subject), "{step:?}");
            assert_eq!(hit.new, next.relation(watcher, subject), "{step:?}");
        }
        let hits = (0..USERS.len())
            .flat_map(|watcher| (0..USERS.len()).map(move |subject| (watcher, subject)))
            .filter(|(w, s)| w != s && model.relation(*w, *s) != next.relation(*w, *s));
        assert_eq!(change.watchers_hit.len(), hits.count(), "{step:?}");
        check_reads(&world, &next, step).await;
        assert_eq!(
            world.act(&sentence).await.expect("twice is fine"),
            RelationChange::default(),
            "{step:?}"
        );
        (model, held) = (next, current);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_sequence_of_acts_gives_what_the_model_says(steps in prop::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(&steps));
    }
}
