//! Several servers, of which one is the primary: what is acknowledged survives the loss of it.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

/// A store that knows both servers, the standby first.
fn settings_of_both(primary: &Server, copy: &Server) -> Settings {
    let mut place = cluster::place(copy, "billing");
    place.hosts.extend(cluster::place(primary, "billing").hosts);
    place.batch_timeout_ms = 2_000;
    place.connect_timeout_ms = 2_000;
    place.statement_timeout_ms = 2_000;
    Settings {
        place: Place::Postgres(Box::new(place)),
        ..settings(PathBuf::new())
    }
}

/// Writes until it is told to stop; the charges that were acknowledged.
async fn write_on(store: &Store, token: TokenId, stop: &AtomicBool) -> Vec<ChargeId> {
    let mut acknowledged = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        let charge = charge_of(token);
        let id = charge.id;
        let claim = claim(&id.to_string());
        match store.begin_charge(claim, charge, opening()).await {
            Ok(Begun::New(_)) => acknowledged.push(id),
            Err(Failure::Unavailable(_)) => tokio::time::sleep(Duration::from_millis(20)).await,
            other => panic!("neither done nor unavailable: {other:?}"),
        }
    }
    acknowledged
}

pub(super) async fn is_followed(primary: &Server) {
    for _ in 0..200 {
        if primary.sql("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") == "1"
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the standby does not follow");
}

async fn until_it_writes(store: &Store) {
    for _ in 0..100 {
        if store.record(event(Action::TokenRead)).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the store does not write again");
}

/// A primary, its synchronous standby, and a store that knows both.
async fn pair() -> (Server, Server, Store) {
    let Stage {
        server: mut primary,
        store,
        ..
    } = stage().await;
    store.close().await.unwrap();
    let copy = primary.standby("copy");
    primary.kill();
    primary.run(&["synchronous_standby_names=copy"]);
    is_followed(&primary).await;
    let store = open(&settings_of_both(&primary, &copy)).await.unwrap();
    (primary, copy, store)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_with_the_primary_and_the_old_one_is_not_gone_back_to() {
    let (mut primary, mut copy, store) = pair().await;
    let token = new(token_on(&store, |_| {}).await);
    let stop = AtomicBool::new(false);
    let failing = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        primary.kill();
        assert_eq!(copy.sql("SELECT pg_promote()"), "t");
        until_it_writes(&store).await;
        // It comes back as what it was, with a history that ended.
        primary.run(&[]);
        tokio::time::sleep(Duration::from_millis(300)).await;
        // Every connection is made anew, and each finds the one that is ahead.
        copy.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'billing'",
        );
        until_it_writes(&store).await;
        stop.store(true, Ordering::SeqCst);
    };
    let (acknowledged, ()) = tokio::join!(write_on(&store, token, &stop), failing);
    assert!(acknowledged.len() > 5, "{}", acknowledged.len());
    for id in &acknowledged {
        let found = store.charge(&account(), *id).await.unwrap();
        assert!(found.is_some(), "{id} was acknowledged");
    }
    let of_old: usize = primary.sql("SELECT count(*) FROM charges").parse().unwrap();
    let of_new: usize = copy.sql("SELECT count(*) FROM charges").parse().unwrap();
    assert!(
        of_new >= acknowledged.len() && of_old < of_new,
        "{of_old} {of_new}"
    );
    // The new primary is lost, too: the old one alone is none.
    copy.kill();
    let refused = store.record(event(Action::TokenRead)).await;
    assert!(
        matches!(refused, Err(Failure::Unavailable(_))),
        "{refused:?}"
    );
    let refused = store.record(event(Action::TokenRead)).await;
    assert!(
        matches!(refused, Err(Failure::Unavailable(_))),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_is_given_up_in_time_and_used_again_when_it_wakes() {
    let Stage { server, .. } = stage().await;
    let store = open(&settings_of_both(&server, &server)).await.unwrap();
    let token = new(token_on(&store, |_| {}).await);
    assert!(store.token(&account(), token).await.unwrap().is_some());
    let frozen = server.freeze();
    for _ in 0..3 {
        // Each may look for a sign of life, connect and wait for its batch: 2 s each.
        let limit = Duration::from_secs(15);
        let write = tokio::time::timeout(limit, store.record(event(Action::TokenRead)));
        let write = write.await.expect("a write ends in time");
        assert!(matches!(write, Err(Failure::Unavailable(_))), "{write:?}");
        let read = async { store.token(&account(), token).await };
        let read = tokio::time::timeout(limit, read).await;
        let read = read.expect("a read ends in time");
        assert!(matches!(read, Err(Failure::Unavailable(_))), "{read:?}");
    }
    frozen.thaw();
    until_it_writes(&store).await;
    assert!(store.token(&account(), token).await.unwrap().is_some());
}

/// The trap: a server that was left behind answers reads for as long as it runs, and nothing fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_leave_a_primary_that_was_left_behind_and_still_answers() {
    let (mut primary, mut copy, store) = pair().await;
    let token = new(token_on(&store, |_| {}).await);
    assert!(store.token(&account(), token).await.unwrap().is_some());
    let before = store.primary().unwrap();
    assert_eq!(before.changes, 0);

    // The copy is promoted, and the old primary runs on.
    assert_eq!(copy.sql("SELECT pg_promote()"), "t");
    let stop = AtomicBool::new(false);
    let (acknowledged, ()) = tokio::join!(write_on(&store, token, &stop), async {
        until_it_writes(&store).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        stop.store(true, Ordering::SeqCst);
    });
    let of_new: usize = copy.sql("SELECT count(*) FROM charges").parse().unwrap();
    assert!(acknowledged.len() > 5, "{}", acknowledged.len());
    assert!(of_new >= acknowledged.len(), "{of_new}");
    for id in &acknowledged {
        let found = store.charge(&account(), *id).await.unwrap();
        assert!(found.is_some(), "{id} was acknowledged and is not read");
    }
    let after = store.primary().unwrap();
    assert_eq!(after.changes, 1, "{after:?}");
    assert!(
        after.timeline > before.timeline && after.host != before.host,
        "{after:?}"
    );
    // The control: whoever asks the old one reads what it was when it was left.
    let of_old: usize = primary.sql("SELECT count(*) FROM charges").parse().unwrap();
    assert!(of_old < acknowledged.len(), "{of_old}");
    copy.kill();
    primary.kill();
}
