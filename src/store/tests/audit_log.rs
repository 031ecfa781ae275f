//! Events get their places: each once, none left out, whoever gives them and however late they come.

use super::*;
use crate::audit::Writer;
use crate::audit::leaf::Line;
use crate::audit::tree::Edge;

/// Two nodes at once give everything its place, while more is written.
pub(super) async fn two_nodes_give_places(store: &Store, other: &Store, reader: &Store) {
    let write = async {
        for _ in 0..60 {
            store.record(event(Action::TokenRead)).await.unwrap();
        }
    };
    let order = async |store: &Store, node: &str| {
        for _ in 0..40 {
            let now = Timestamp::from_unix_ms(1);
            let lease = (now, Timestamp::from_unix_ms(0));
            store.sequence(node.to_owned(), lease, 7).await.unwrap();
        }
    };
    tokio::join!(write, order(store, "one"), order(other, "two"));
    let now = Timestamp::from_unix_ms(1);
    let sequenced = store.sequence("one".to_owned(), (now, now), 1_000).await;
    let sequenced = sequenced.unwrap().unwrap();

    let log = reader.log(0, 1_000).await.unwrap();
    let mut edge = Edge::default();
    let mut names = std::collections::BTreeSet::new();
    for (place, entry) in (0..).zip(&log) {
        assert_eq!(entry.seq, place, "no gap, no place twice");
        let line = entry.line.as_ref().unwrap();
        assert_eq!(line.leaf(), entry.leaf);
        assert!(names.insert(entry.event_id.clone()), "each once");
        edge.append(entry.leaf);
    }
    assert_eq!(sequenced.edge, edge);
    assert!(log.len() >= 60);
    assert_eq!(reader.events_outside(10).await, Ok(vec![]));
    assert_eq!(reader.log_length().await.unwrap().waiting, 0);
}

#[tokio::test]
async fn two_who_give_places_at_once_give_each_event_one_and_leave_none_out() {
    let bench = Bench::new().await;
    let other = open(&bench.settings).await.unwrap();
    two_nodes_give_places(&bench.store, &other, &other).await;
}

#[tokio::test]
async fn only_who_has_the_lease_gives_places_until_it_ends() {
    let bench = Bench::new().await;
    let (store, at) = (&bench.store, Timestamp::from_unix_ms);
    let lease = async |node: &str, now, until| {
        let sequenced = store.sequence(node.into(), (at(now), at(until)), 10).await;
        sequenced.unwrap().map(|sequenced| sequenced.events)
    };
    store.record(event(Action::TokenRead)).await.unwrap();
    assert_eq!(lease("one", 1, 100).await, Some(1));
    store.record(event(Action::TokenRead)).await.unwrap();
    assert_eq!(lease("two", 99, 200).await, None);
    assert_eq!(lease("one", 99, 100).await, Some(1));
    assert_eq!(lease("two", 101, 200).await, Some(0));
}

#[tokio::test]
async fn an_event_waits_until_a_sink_holds_a_checkpoint_over_it() {
    let bench = Bench::new().await;
    let store = &bench.store;
    let first = event(Action::TokenRead);
    let leaf = Line::of(&first, Writer::Internal).leaf();
    store.record(first.clone()).await.unwrap();
    store.record(event(Action::TokenRead)).await.unwrap();
    assert_eq!(store.oldest_unwitnessed().await, Ok(Some(first.at)));
    assert_eq!(store.log_has_work().await, Ok(true));
    let sequenced = store.sequence("one".into(), (START, START), 1).await;
    let edge = sequenced.unwrap().unwrap().edge;
    assert_eq!((edge.size(), edge.root()), (1, leaf));

    assert_eq!(store.sink_holds("file".into()).await, Ok(0));
    store
        .witnessed(Some("file".into()), 1, START)
        .await
        .unwrap();
    assert_eq!(store.sink_holds("file".into()).await, Ok(1));
    let waiting = bench.number("SELECT COUNT(*) FROM audit_pending").await;
    assert_eq!(waiting, 1, "the second has no place yet");
    store
        .sequence("one".into(), (START, START), 1)
        .await
        .unwrap();
    store
        .witnessed(Some("file".into()), 2, START)
        .await
        .unwrap();
    assert_eq!(store.oldest_unwitnessed().await, Ok(None));

    let kept = |size, note: &str| KeptCheckpoint {
        size,
        note: note.into(),
        peaks: Some(vec![7; 32]),
        at: START,
    };
    store.put_checkpoint(kept(2, "first")).await.unwrap();
    store.put_checkpoint(kept(2, "second")).await.unwrap();
    assert_eq!(store.checkpoints(0, 10).await, Ok(vec![kept(2, "first")]));
    assert_eq!(store.checkpoints(2, 10).await, Ok(vec![]));
    assert_eq!(store.log_has_work().await, Ok(false));
}

#[tokio::test]
async fn while_nobody_vouches_for_the_log_only_our_own_acts_are_written() {
    let bench = Bench::new().await;
    let made = bench.token().await;
    bench.store.set_witnessed(false);
    let refused = bench.store.record(event(Action::TokenRead)).await;
    assert_eq!(refused, Err(Failure::Unavailable(Cause::Unwitnessed)));
    let session = session();
    let begun = bench
        .store
        .begin_session(None, session.clone(), event(Action::SessionCreated))
        .await;
    assert_eq!(begun, Err(Failure::Unavailable(Cause::Unwitnessed)));
    assert_eq!(bench.store.session(session.id).await, Ok(None));
    assert_eq!(bench.number("SELECT COUNT(*) FROM tokens").await, 1);
    let ours = Event {
        actor: Actor::Process,
        ..event(Action::ChargeSettled)
    };
    assert_eq!(bench.store.record(ours).await, Ok(()));

    bench.store.set_witnessed(true);
    assert_eq!(bench.store.record(event(Action::TokenRead)).await, Ok(()));
    assert!(
        bench
            .store
            .token(&account(), made.id)
            .await
            .unwrap()
            .is_some()
    );
}

#[tokio::test]
async fn the_log_and_its_checkpoints_are_only_appended_to() {
    let bench = Bench::new().await;
    bench.store.record(event(Action::TokenRead)).await.unwrap();
    bench
        .store
        .sequence("one".into(), (START, START), 1)
        .await
        .unwrap();
    let kept = KeptCheckpoint {
        size: 1,
        note: "note".into(),
        peaks: None,
        at: START,
    };
    bench.store.put_checkpoint(kept).await.unwrap();
    for statement in [
        "UPDATE audit_log SET event_id = 'x'",
        "DELETE FROM audit_log",
        "UPDATE audit_checkpoints SET note = 'x'",
        "DELETE FROM audit_checkpoints",
    ] {
        let refused = bench.run(statement).await.unwrap_err();
        assert!(refused.contains("append-only"), "{statement}: {refused}");
    }
}
