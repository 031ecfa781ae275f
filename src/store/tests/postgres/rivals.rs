//! Two processes on one database, and many requests at once.

use futures_util::future::{join, join_all};
use tokio::sync::Notify;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_at_once_of_two_processes_is_done_once() {
    let Stage {
        server,
        settings,
        store,
    } = stage().await;
    let other = open(&settings).await.unwrap();
    let token = new(token_on(&store, |_| {}).await);
    let charges = (0..100_u8).map(|number| {
        let store = if number.is_multiple_of(2) {
            &store
        } else {
            &other
        };
        store.begin_charge(claim("one"), charge_of(token), opening())
    });
    let mut begun = 0;
    for answer in join_all(charges).await {
        match answer.unwrap() {
            Begun::New(_) => begun += 1,
            Begun::InFlight => {}
            other @ (Begun::Resumed(_)
            | Begun::Replayed(_)
            | Begun::Mismatch
            | Begun::Refused(_)) => panic!("{other:?}"),
        }
    }
    assert_eq!(begun, 1);

    let session = session();
    store
        .begin_session(None, session.clone(), event(Action::SessionCreated))
        .await
        .unwrap();
    let attempts = (0..40_u8).map(|number| {
        let store = if number.is_multiple_of(2) {
            &store
        } else {
            &other
        };
        store.claim_attempt(attempt(session.id), event(Action::CardAttempted))
    });
    let claimed = join_all(attempts)
        .await
        .into_iter()
        .filter(|answer| matches!(answer, Ok(Attempt::Claimed { .. })))
        .count();
    assert_eq!(claimed, 1, "one attempt at a time");

    let same = |number: u8| {
        let store = if number.is_multiple_of(2) {
            store.clone()
        } else {
            other.clone()
        };
        async move { token_on(&store, |token| token.fingerprint = Some(mark(8))).await }
    };
    let kept = join_all((0..12).map(same)).await;
    let made = kept
        .iter()
        .filter(|kept| matches!(kept, TokenKept::New(_)))
        .count();
    assert_eq!(made, 1, "one card is one token");

    let takes = [&store, &other, &store, &other]
        .map(|store| store.take_due_charges(due_at(100), |_| event(Action::TokenOpened)));
    let given: usize = join_all(takes)
        .await
        .into_iter()
        .map(|due| due.unwrap().charges.len())
        .sum();
    assert_eq!(given, 1, "an open charge is given to one");
    drop(server);
}

#[tokio::test]
async fn every_member_of_a_batch_may_meet_a_rival_and_is_run_again() {
    let Stage {
        server,
        mut settings,
        ..
    } = stage().await;
    // One writer, so that what waits for it is one batch.
    settings.place = Place::Postgres(Box::new(Postgres {
        writers_max: 1,
        ..cluster::place(&server, "billing")
    }));
    let commits = Arc::<Mutex<Vec<usize>>>::default();
    let noted = Arc::clone(&commits);
    settings.observer = Some(Arc::new(move |commit: Commit| {
        noted.lock().unwrap().push(commit.operations);
    }));
    let store = open(&settings).await.unwrap();
    let unlucky = |_: u8| {
        let runs = Arc::new(AtomicU64::new(0));
        store.write(move |_| {
            async move {
                match runs.fetch_add(1, Ordering::Relaxed) {
                    0 => Err(Failure::Inconsistent {
                        table: "refunds",
                        column: "id",
                        row: "one that a rival has just settled".into(),
                    }),
                    _ => Ok(()),
                }
            }
            .boxed()
        })
    };
    // The writer is held until all of them wait for it.
    let (begun, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (has_begun, may_go) = (Arc::clone(&begun), Arc::clone(&go));
    let first = store.write(move |_| {
        async move {
            has_begun.notify_one();
            may_go.notified().await;
            Ok(())
        }
        .boxed()
    });
    let members = async {
        begun.notified().await;
        // Polled first, they are in the queue before the writer goes on.
        let (ran, ()) = join(join_all((0..4).map(unlucky)), async { go.notify_one() }).await;
        ran
    };
    let (held, ran) = join(first, members).await;
    assert_eq!(held, Ok(()));
    assert_eq!(ran, [const { Ok(()) }; 4]);
    let commits = commits.lock().unwrap();
    assert_eq!(commits.last(), Some(&4), "they were one batch");
}

/// Two batches that wait for each other's rows, and one whose rows somebody else holds too long,
/// are taken apart: who is in nobody's way is answered well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_of_one_batch_do_not_fail_by_a_row_that_somebody_holds() {
    let Stage {
        server,
        mut settings,
        store: first_of_all,
    } = stage().await;
    let [taken, free] = [(); 2].map(|()| session());
    for session in [&taken, &free] {
        let created = event(Action::SessionCreated);
        first_of_all
            .begin_session(None, session.clone(), created)
            .await
            .unwrap();
    }
    settings.place = Place::Postgres(Box::new(Postgres {
        writers_max: 1,
        lock_timeout_ms: 100,
        ..cluster::place(&server, "billing")
    }));
    let store = open(&settings).await.unwrap();
    let mut holder = cluster::connect(&server, "owner").await;
    let hold = format!(
        "BEGIN; UPDATE sessions SET last_seen_at_ms = 1 WHERE id = '{}'",
        taken.id
    );
    sqlx::raw_sql(AssertSqlSafe(hold))
        .execute(&mut holder)
        .await
        .unwrap();
    let claim =
        |session: SessionId| store.claim_attempt(attempt(session), event(Action::CardAttempted));
    // The writer is held until both wait for it.
    let (begun, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (has_begun, may_go) = (Arc::clone(&begun), Arc::clone(&go));
    let first = store.write(move |_| {
        async move {
            has_begun.notify_one();
            may_go.notified().await;
            Ok(())
        }
        .boxed()
    });
    let members = async {
        begun.notified().await;
        let both = join(claim(taken.id), claim(free.id));
        let (both, ()) = join(both, async { go.notify_one() }).await;
        both
    };
    let (_, (in_the_way, stranger)) = join(first, members).await;
    assert_eq!(in_the_way, Err(Failure::Unavailable(Cause::Contended)));
    assert!(
        matches!(stranger, Ok(Attempt::Claimed { .. })),
        "{stranger:?}"
    );
    // Nothing is wrong with the connection.
    sqlx::raw_sql("ROLLBACK")
        .execute(&mut holder)
        .await
        .unwrap();
    assert!(matches!(claim(taken.id).await, Ok(Attempt::Claimed { .. })));
}
