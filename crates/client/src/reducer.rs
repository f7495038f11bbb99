//! What a client knows: a map of users, and the pure function that applies a message to it.
//!
//! Applying a message twice changes nothing. This module never reads a socket or a clock.

use std::borrow::Cow;
use std::collections::BTreeMap;

use protocol::message::{Entry, EntryState, ServerMessage, Update};

/// The status word of someone who is here and says no more.
const ONLINE: &str = "online";

/// Where one user is, as last told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// Here.
    Online {
        /// Status word.
        status: Box<str>,
        /// Project, empty if none is told.
        project: Box<str>,
        /// Language, empty if none is told.
        language: Box<str>,
    },
    /// Not here.
    Offline {
        /// When last seen, in Unix seconds, if told.
        seen: Option<u64>,
    },
}

impl Presence {
    /// Whether the user is here.
    pub fn is_online(&self) -> bool {
        matches!(self, Self::Online { .. })
    }
}

/// One user as this client knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Display name; the id, if no name was told.
    pub name: Box<str>,
    /// Address of a picture.
    pub avatar: Option<Box<str>>,
    /// What ties the user to this client: 1 followed, 2 follows, 4 connected, 8 pinned.
    pub relation: u8,
    /// As last told; see [`State::seen`] for what may be shown.
    pub presence: Presence,
}

/// Whether what is known still holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Freshness {
    /// Nothing was told yet, the connection is gone, or the server has lost its store.
    #[default]
    Stale,
    Fresh,
}

/// What may be shown of one user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen<'a> {
    /// It holds.
    Known(&'a Presence),
    /// What was last told may no longer be true.
    Unknown,
}

/// All that a client knows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct State {
    me: Option<Box<str>>,
    people: BTreeMap<Box<str>, Person>,
    freshness: Freshness,
}

/// What a message changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A full list came and differs from the one before; the changes of each user follow.
    ListReplaced,
    /// A user is new on the list.
    Added(Box<str>),
    /// A user has left the list.
    Gone(Box<str>),
    /// A user came online.
    Came(Box<str>),
    /// A user went offline.
    Went(Box<str>),
    /// Status, project, language or last seen changed.
    Changed(Box<str>),
    /// Name, picture or relation changed.
    Introduced(Box<str>),
    /// What is known may no longer hold.
    Stale,
    /// What is known holds again.
    Fresh,
}

impl State {
    /// This client's own id, once welcomed.
    pub fn my_id(&self) -> Option<&str> {
        self.me.as_deref()
    }

    /// This client's own entry: the presence merged over all its sessions.
    pub fn me(&self) -> Option<&Person> {
        self.people.get(self.me.as_deref()?)
    }

    /// One user, oneself included.
    pub fn person(&self, id: &str) -> Option<&Person> {
        self.people.get(id)
    }

    /// The watch list by id, without oneself.
    pub fn people(&self) -> impl Iterator<Item = (&str, &Person)> {
        let me = self.me.as_deref();
        self.people
            .iter()
            .map(|(id, person)| (&**id, person))
            .filter(move |(id, _)| Some(*id) != me)
    }

    /// Whether what is known holds.
    pub fn is_fresh(&self) -> bool {
        self.freshness == Freshness::Fresh
    }

    /// What may be shown of a person of this state: nothing as true while it may not be.
    pub fn seen<'a>(&self, person: &'a Person) -> Seen<'a> {
        match self.freshness {
            Freshness::Fresh => Seen::Known(&person.presence),
            Freshness::Stale => Seen::Unknown,
        }
    }

    /// The connection is gone: what is known may no longer hold.
    pub fn disconnected(&mut self) -> Vec<Change> {
        self.turn(Freshness::Stale)
    }

    fn turn(&mut self, freshness: Freshness) -> Vec<Change> {
        if self.freshness == freshness {
            return Vec::new();
        }
        self.freshness = freshness;
        match freshness {
            Freshness::Fresh => vec![Change::Fresh],
            Freshness::Stale => vec![Change::Stale],
        }
    }
}

/// Applies one message; tells what is different now.
pub fn reduce(state: &mut State, message: &ServerMessage<'_>) -> Vec<Change> {
    match message {
        ServerMessage::Welcome(welcome) => welcomed(state, &welcome.id),
        ServerMessage::Sync { users, part } => {
            let mut changes = Vec::new();
            if !part {
                remove_absent(state, users, &mut changes);
            }
            for entry in users {
                merge_entry(state, entry, &mut changes);
            }
            if !part && !changes.is_empty() {
                changes.insert(0, Change::ListReplaced);
            }
            // What a node lists, it has just read: a resumed client needs no `fresh` besides.
            changes.extend(state.turn(Freshness::Fresh));
            changes
        }
        ServerMessage::Update(update) => apply_update(state, update),
        ServerMessage::Offline { id, at, gone: false } => went(state, id, *at),
        ServerMessage::Offline { id, gone: true, .. } => match state.people.remove(&**id) {
            Some(_) => vec![Change::Gone((&**id).into())],
            None => Vec::new(),
        },
        ServerMessage::Stale => state.turn(Freshness::Stale),
        ServerMessage::Fresh => state.turn(Freshness::Fresh),
        ServerMessage::Ping { .. }
        | ServerMessage::Go { .. }
        | ServerMessage::Error { .. }
        | ServerMessage::Response { .. } => Vec::new(),
    }
}

/// Another user than before starts from an empty map.
fn welcomed(state: &mut State, id: &str) -> Vec<Change> {
    if state.me.as_deref() == Some(id) {
        return Vec::new();
    }
    let gone = std::mem::take(&mut state.people).into_keys().map(Change::Gone).collect();
    state.me = Some(id.into());
    gone
}

fn remove_absent(state: &mut State, users: &[Entry<'_>], changes: &mut Vec<Change>) {
    let listed: std::collections::HashSet<&str> = users.iter().map(|entry| &*entry.id).collect();
    state.people.retain(|id, _| {
        let stays = listed.contains(&**id);
        if !stays {
            changes.push(Change::Gone(id.clone()));
        }
        stays
    });
}

fn merge_entry(state: &mut State, entry: &Entry<'_>, changes: &mut Vec<Change>) {
    let presence = match &entry.state {
        EntryState::Online { status, project, language } => Presence::Online {
            status: (&**status).into(),
            project: (&**project).into(),
            language: (&**language).into(),
        },
        EntryState::Offline { seen } => Presence::Offline { seen: *seen },
    };
    let person = Person {
        name: (&*entry.name).into(),
        avatar: entry.avatar.as_deref().map(Into::into),
        relation: entry.relation,
        presence,
    };
    replace(state, &entry.id, person, changes);
}

/// Puts a person in the place of the one before and tells the difference.
fn replace(state: &mut State, id: &str, person: Person, changes: &mut Vec<Change>) {
    let Some(held) = state.people.get_mut(id) else {
        state.people.insert(id.into(), person);
        changes.push(Change::Added(id.into()));
        return;
    };
    if (&held.name, &held.avatar, held.relation) != (&person.name, &person.avatar, person.relation)
    {
        changes.push(Change::Introduced(id.into()));
    }
    match (held.presence.is_online(), person.presence.is_online()) {
        (false, true) => changes.push(Change::Came(id.into())),
        (true, false) => changes.push(Change::Went(id.into())),
        _ if held.presence != person.presence => changes.push(Change::Changed(id.into())),
        _ => {}
    }
    *held = person;
}

fn apply_update(state: &mut State, update: &Update<'_>) -> Vec<Change> {
    let held = state.people.get(&*update.id).cloned();
    let mut person = held.unwrap_or_else(|| Person {
        name: (&*update.id).into(),
        avatar: None,
        relation: 0,
        presence: Presence::Offline { seen: None },
    });
    if let Some(name) = &update.name {
        person.name = (&**name).into();
    }
    if let Some(avatar) = &update.avatar {
        person.avatar = if avatar.is_empty() { None } else { Some((&**avatar).into()) };
    }
    if let Some(relation) = update.relation {
        person.relation = relation;
    }
    let fields = [&update.status, &update.project, &update.language];
    // A relation that changed says nothing of where the user is.
    if fields.iter().any(|field| field.is_some()) {
        person.presence = patched(person.presence, fields);
    }
    let mut changes = Vec::new();
    replace(state, &update.id, person, &mut changes);
    changes
}

/// Lays the fields of a patch over a presence. Who was offline shows only what the patch has.
fn patched(presence: Presence, fields: [&Option<Cow<'_, str>>; 3]) -> Presence {
    let [mut status, mut project, mut language] = match presence {
        Presence::Online { status, project, language } => [status, project, language],
        Presence::Offline { .. } => [ONLINE.into(), "".into(), "".into()],
    };
    for (held, new) in [&mut status, &mut project, &mut language].into_iter().zip(fields) {
        if let Some(new) = new {
            *held = (&**new).into();
        }
    }
    if status.is_empty() {
        status = ONLINE.into();
    }
    Presence::Online { status, project, language }
}

fn went(state: &mut State, id: &str, seen: Option<u64>) -> Vec<Change> {
    let mut person = match state.people.get(id) {
        Some(person) => person.clone(),
        None => Person {
            name: id.into(),
            avatar: None,
            relation: 0,
            presence: Presence::Offline { seen: None },
        },
    };
    person.presence = Presence::Offline { seen };
    let mut changes = Vec::new();
    replace(state, id, person, &mut changes);
    changes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(id: &str, relation: u8, state: EntryState<'static>) -> Entry<'static> {
        let id: Cow<'static, str> = Cow::Owned(id.to_owned());
        Entry { name: id.clone(), id, avatar: None, relation, state }
    }

    fn online(status: &'static str, project: &'static str) -> EntryState<'static> {
        EntryState::Online { status: status.into(), project: project.into(), language: "".into() }
    }

    fn update(id: &'static str) -> Update<'static> {
        Update { id: id.into(), ..Update::default() }
    }

    fn welcome() -> ServerMessage<'static> {
        protocol::json::decode_server(
            r#"{"t":"welcome","id":"dev_me","name":"me","session":"00000000000000000000000000000000","resume":"x","resumed":false,"hb":10,"ping":30,"window":60}"#,
        )
        .unwrap()
    }

    fn started() -> State {
        let mut state = State::default();
        reduce(&mut state, &welcome());
        let users = vec![
            entry("dev_me", 0, online("online", "")),
            entry("dev_bob", 3, online("coding", "vscode")),
            entry("dev_eve", 1, EntryState::Offline { seen: Some(5) }),
        ];
        reduce(&mut state, &ServerMessage::Sync { users, part: false });
        state
    }

    fn shown<'a>(state: &'a State, id: &str) -> (&'a str, &'a str) {
        match &state.person(id).unwrap().presence {
            Presence::Online { status, project, .. } => (status, project),
            Presence::Offline { .. } => ("", ""),
        }
    }

    #[test]
    fn a_full_list_replaces_the_map_and_a_part_merges() {
        let mut state = started();
        let one = |part| ServerMessage::Sync {
            users: vec![entry("dev_bob", 3, online("reading", ""))],
            part,
        };
        assert_eq!(reduce(&mut state, &one(true)), [Change::Changed("dev_bob".into())]);
        assert_eq!(state.people().count(), 2);
        let gone = ["dev_eve", "dev_me"].map(|id| Change::Gone(id.into()));
        let changes = reduce(&mut state, &one(false));
        assert_eq!(changes[0], Change::ListReplaced);
        assert_eq!(changes[1..], gone);
        assert_eq!(state.people().count(), 1);
    }

    #[test]
    fn ones_own_entry_stands_apart_from_the_list() {
        let state = started();
        assert_eq!(state.my_id(), Some("dev_me"));
        assert_eq!(&*state.me().unwrap().name, "me".replace("me", "dev_me"));
        assert_eq!(state.people().map(|(id, _)| id).collect::<Vec<_>>(), ["dev_bob", "dev_eve"]);
    }

    #[test]
    fn a_patch_changes_only_its_fields_and_an_empty_one_clears() {
        let mut state = started();
        let patch = Update { status: Some("debugging".into()), ..update("dev_bob") };
        reduce(&mut state, &ServerMessage::Update(patch));
        assert_eq!(shown(&state, "dev_bob"), ("debugging", "vscode"));
        let patch = Update { project: Some("".into()), ..update("dev_bob") };
        reduce(&mut state, &ServerMessage::Update(patch));
        assert_eq!(shown(&state, "dev_bob"), ("debugging", ""));
    }

    #[test]
    fn who_comes_back_shows_nothing_of_the_time_before() {
        let mut state = started();
        let left = ServerMessage::Offline { id: "dev_bob".into(), at: Some(9), gone: false };
        assert_eq!(reduce(&mut state, &left), [Change::Went("dev_bob".into())]);
        let back = Update { status: Some("coding".into()), ..update("dev_bob") };
        let changes = reduce(&mut state, &ServerMessage::Update(back));
        assert_eq!(changes, [Change::Came("dev_bob".into())]);
        assert_eq!(shown(&state, "dev_bob"), ("coding", ""));
    }

    #[test]
    fn a_changed_relation_does_not_bring_anyone_online() {
        let mut state = started();
        let patch = Update { relation: Some(9), ..update("dev_eve") };
        let changes = reduce(&mut state, &ServerMessage::Update(patch));
        assert_eq!(changes, [Change::Introduced("dev_eve".into())]);
        assert!(!state.person("dev_eve").unwrap().presence.is_online());
    }

    #[test]
    fn a_patch_of_an_unknown_user_without_a_name_adds_it_by_its_id() {
        let mut state = started();
        let patch = Update { status: Some("coding".into()), ..update("dev_new") };
        let changes = reduce(&mut state, &ServerMessage::Update(patch));
        assert_eq!(changes, [Change::Added("dev_new".into())]);
        assert_eq!(&*state.person("dev_new").unwrap().name, "dev_new");
    }

    #[test]
    fn x_keeps_the_row_and_x_with_gone_takes_it_away() {
        let mut state = started();
        let x = |gone| ServerMessage::Offline { id: "dev_bob".into(), at: Some(9), gone };
        reduce(&mut state, &x(false));
        assert_eq!(state.person("dev_bob").unwrap().presence, Presence::Offline { seen: Some(9) });
        assert_eq!(reduce(&mut state, &x(true)), [Change::Gone("dev_bob".into())]);
        assert_eq!(state.person("dev_bob"), None);
    }

    #[test]
    fn what_is_stale_is_unknown_until_fresh() {
        let mut state = started();
        let seen = |state: &State| match state.seen(state.person("dev_bob").unwrap()) {
            Seen::Known(presence) => Some(presence.is_online()),
            Seen::Unknown => None,
        };
        assert_eq!(seen(&state), Some(true));
        assert_eq!(reduce(&mut state, &ServerMessage::Stale), [Change::Stale]);
        assert_eq!(seen(&state), None);
        // A patch in between does not make the rest true.
        let patch = Update { status: Some("idle".into()), ..update("dev_bob") };
        reduce(&mut state, &ServerMessage::Update(patch));
        assert_eq!(seen(&state), None);
        assert_eq!(reduce(&mut state, &ServerMessage::Fresh), [Change::Fresh]);
        assert_eq!(seen(&state), Some(true));
        assert_eq!(state.disconnected(), [Change::Stale]);
        assert_eq!(seen(&state), None);
    }

    #[test]
    fn another_user_than_before_starts_from_an_empty_map() {
        let mut state = started();
        let ServerMessage::Welcome(welcome) = welcome() else { unreachable!() };
        let other = ServerMessage::Welcome(Welcome { id: "dev_other".into(), ..welcome });
        assert_eq!(reduce(&mut state, &other).len(), 3);
        assert_eq!(state.people().count(), 0);
    }

    use protocol::message::Welcome;

    fn text() -> impl Strategy<Value = Cow<'static, str>> {
        prop_oneof![Just(""), Just("coding"), Just("idle")].prop_map(Cow::Borrowed)
    }

    fn id() -> impl Strategy<Value = Cow<'static, str>> {
        prop_oneof![Just("dev_me"), Just("dev_bob"), Just("dev_eve"), Just("dev_new")]
            .prop_map(Cow::Borrowed)
    }

    fn any_entry() -> impl Strategy<Value = Entry<'static>> {
        let state = prop_oneof![
            (text(), text(), text()).prop_map(|(status, project, language)| {
                EntryState::Online { status, project, language }
            }),
            proptest::option::of(0..9u64).prop_map(|seen| EntryState::Offline { seen }),
        ];
        (id(), text(), 0..16u8, state).prop_map(|(id, name, relation, state)| Entry {
            id,
            name,
            avatar: None,
            relation,
            state,
        })
    }

    fn any_message() -> impl Strategy<Value = ServerMessage<'static>> {
        use proptest::option::of;
        let patch = (id(), of(text()), of(text()), of(text()), of(0..16u8), of(text()), of(text()));
        prop_oneof![
            patch.prop_map(|(id, status, project, language, relation, name, avatar)| {
                ServerMessage::Update(Update {
                    id,
                    status,
                    project,
                    language,
                    relation,
                    name,
                    avatar,
                })
            }),
            (id(), of(0..9u64), any::<bool>()).prop_map(|(id, at, gone)| ServerMessage::Offline {
                id,
                at,
                gone
            }),
            // A list names each user once.
            (proptest::collection::btree_map(id(), any_entry(), 0..4), any::<bool>()).prop_map(
                |(users, part)| {
                    let users = users.into_iter().map(|(id, entry)| Entry { id, ..entry });
                    ServerMessage::Sync { users: users.collect(), part }
                }
            ),
            Just(ServerMessage::Stale),
            Just(ServerMessage::Fresh),
            Just(welcome()),
        ]
    }

    proptest! {
        #[test]
        fn a_message_applied_twice_changes_nothing(
            messages in proptest::collection::vec(any_message(), 0..12),
        ) {
            let mut state = started();
            for message in &messages {
                let before = state.clone();
                let changes = reduce(&mut state, message);
                prop_assert_eq!(changes.is_empty(), state == before, "what changed is told");
                let once = state.clone();
                prop_assert_eq!(reduce(&mut state, message), Vec::new());
                prop_assert_eq!(&state, &once);
            }
        }
    }
}
