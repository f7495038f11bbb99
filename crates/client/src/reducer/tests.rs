//! What each message does to the map, and that doing it twice does nothing.

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
            ServerMessage::Update(Update { id, status, project, language, relation, name, avatar })
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
