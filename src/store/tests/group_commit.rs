//! What waits while the writer is busy is one batch.

use std::pin::pin;
use std::sync::mpsc;

use futures_util::future::{join, join_all};

use super::*;

fn records(bench: &Bench, count: usize) -> Vec<impl Future<Output = Result<(), Failure>>> {
    (0..count)
        .map(|_| bench.store.record(event(Action::TokenRead)))
        .collect()
}

async fn recorded(bench: &Bench) -> i64 {
    bench.number("SELECT COUNT(*) FROM audit_events").await
}

/// Keeps the writer busy until all of `work` waits for it.
async fn together<T>(bench: &Bench, work: impl Future<Output = T>) -> T {
    let (release, released) = mpsc::channel::<()>();
    let released = Arc::new(Mutex::new(released));
    let (started, mut has_started) = tokio::sync::mpsc::unbounded_channel();
    let held = bench.store.write(move |_| {
        Box::pin(async move {
            started.send(()).unwrap();
            released.lock().unwrap().recv().unwrap();
            Ok(())
        })
    });
    let waiting = async {
        has_started.recv().await.unwrap();
        let mut work = pin!(work);
        let early = futures_util::poll!(&mut work);
        assert!(early.is_pending(), "nothing is answered before its commit");
        release.send(()).unwrap();
        work.await
    };
    let (held, done) = join(held, waiting).await;
    held.unwrap();
    // The batch that was only to keep the writer busy.
    bench.commits.lock().unwrap().remove(0);
    done
}

/// An act and then a row that the schema refuses, in one operation.
async fn act_and_break(bench: &Bench) -> Result<(), Failure> {
    bench
        .store
        .write(|tx| {
            Box::pin(async move {
                events::record(tx, event(Action::TokenRead));
                sql::query("INSERT INTO write_probe (id, written_at_ms) VALUES (2, 0)")
                    .execute(tx)
                    .await?;
                Ok(())
            })
        })
        .await
}

fn is_engine(failure: &Failure) -> bool {
    matches!(failure, Failure::Unavailable(Cause::Engine(_)))
}

#[tokio::test]
async fn operations_that_wait_together_share_a_commit() {
    let bench = Bench::new().await;
    let done = together(&bench, join_all(records(&bench, 200))).await;
    assert!(done.iter().all(Result::is_ok));
    let commits = bench.commits.lock().unwrap().clone();
    let sizes: Vec<_> = commits.iter().map(|commit| commit.operations).collect();
    assert_eq!(sizes, [64, 64, 64, 8]);
    let queued: Vec<_> = commits.iter().map(|commit| commit.queued).collect();
    assert_eq!(queued, [136, 72, 8, 0]);
    assert!(commits.iter().all(|commit| !commit.duration.is_zero()));
    assert_eq!(recorded(&bench).await, 200);
}

#[tokio::test]
async fn an_operation_that_waits_alone_is_committed_alone() {
    let bench = Bench::with(|settings| settings.batch_ops_max = 0).await;
    for operation in records(&bench, 3) {
        operation.await.unwrap();
    }
    assert_eq!(bench.commits.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn a_member_that_fails_undoes_only_itself() {
    let bench = Bench::new().await;
    let work = join(
        join_all(records(&bench, 2)),
        join(act_and_break(&bench), join_all(records(&bench, 2))),
    );
    let (before, (broken, after)) = together(&bench, work).await;
    assert!(before.iter().chain(&after).all(Result::is_ok));
    assert!(matches!(broken, Err(Failure::Illegal(_))), "{broken:?}");
    let commits = bench.commits.lock().unwrap().clone();
    assert_eq!(commits.len(), 1, "they were one batch");
    assert_eq!(commits[0].operations, 5);
    assert_eq!(recorded(&bench).await, 4, "its first statement is undone");
}

#[tokio::test]
async fn one_operation_too_many_is_refused_at_once() {
    let bench = Bench::with(|settings| {
        settings.queue_ops_max = 2;
        settings.batch_ops_max = 1;
    })
    .await;
    let done = together(&bench, join_all(records(&bench, 3))).await;
    let full = Err(Failure::Unavailable(Cause::QueueFull));
    assert_eq!(done, [Ok(()), Ok(()), full]);
    assert_eq!(recorded(&bench).await, 2);
    bench.store.record(event(Action::TokenRead)).await.unwrap();
}

#[tokio::test]
async fn a_full_disk_fails_the_whole_batch_and_acknowledges_nothing() {
    let bench = Bench::new().await;
    // Not one page more than there is, until the connection is replaced.
    through_writer(&bench.store, "PRAGMA max_page_count = 1")
        .await
        .unwrap();
    let big = NewSession {
        metadata: format!("{{\"note\":\"{}\"}}", "x".repeat(200_000)),
        ..session()
    };
    let big = bench
        .store
        .begin_session(None, big, event(Action::SessionCreated));
    let work = join(
        join_all(records(&bench, 2)),
        join(big, join_all(records(&bench, 2))),
    );
    let (before, (full, after)) = together(&bench, work).await;
    let full = full.unwrap_err();
    assert!(
        is_engine(&full) && full.to_string().contains("full"),
        "{full}"
    );
    for member in before.into_iter().chain(after) {
        assert_eq!(member, Err(full.clone()), "the members share its failure");
    }
    assert_eq!(recorded(&bench).await, 0);
    assert_eq!(bench.number("SELECT COUNT(*) FROM sessions").await, 0);
    bench.store.record(event(Action::TokenRead)).await.unwrap();
    assert_eq!(recorded(&bench).await, 1, "a new connection goes on");
}

#[tokio::test]
async fn a_database_that_cannot_be_written_acknowledges_nothing() {
    let bench = Bench::new().await;
    let work = join(
        through_writer(&bench.store, "PRAGMA query_only = ON"),
        join_all(records(&bench, 3)),
    );
    let (pragma, members) = together(&bench, work).await;
    assert!(pragma.is_err());
    for member in members {
        let failure = member.unwrap_err();
        assert!(
            is_engine(&failure) && failure.to_string().contains("readonly"),
            "{failure}"
        );
    }
    assert_eq!(recorded(&bench).await, 0);
    bench.store.record(event(Action::TokenRead)).await.unwrap();
}

#[tokio::test]
async fn a_commit_that_fails_is_every_members_failure() {
    let bench = Bench::new().await;
    // A deferred foreign key is checked by COMMIT itself, after every member has succeeded.
    let dangling = through_writer(
        &bench.store,
        "INSERT INTO deferred (token_id) VALUES ('nobody')",
    );
    bench
        .run("CREATE TABLE deferred (token_id TEXT REFERENCES tokens (id) DEFERRABLE INITIALLY DEFERRED) STRICT")
        .await
        .unwrap();
    let work = join(join_all(records(&bench, 3)), dangling);
    let (members, broken) = together(&bench, work).await;
    assert!(broken.is_err());
    for member in members {
        assert!(member.is_err(), "{member:?}");
    }
    assert_eq!(recorded(&bench).await, 0);
    bench.store.record(event(Action::TokenRead)).await.unwrap();
    assert_eq!(recorded(&bench).await, 1);
}

#[tokio::test]
async fn a_lock_held_too_long_is_unavailable_and_passes() {
    let bench = Bench::with(|settings| settings.busy_timeout_ms = 100).await;
    let mut other = bench.aside().await;
    sqlx::query("BEGIN IMMEDIATE")
        .execute(&mut other)
        .await
        .unwrap();
    let failure = bench
        .store
        .record(event(Action::TokenRead))
        .await
        .unwrap_err();
    assert!(is_engine(&failure), "{failure}");
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    bench.store.record(event(Action::TokenRead)).await.unwrap();
    assert_eq!(recorded(&bench).await, 1);
}

#[tokio::test]
async fn closing_finishes_what_waits_and_takes_no_more() {
    let bench = Bench::with(|settings| settings.batch_ops_max = 8).await;
    let other_handle = bench.store.clone();
    let (done, closed) = join(join_all(records(&bench, 50)), bench.store.close()).await;
    assert!(done.iter().all(Result::is_ok));
    assert_eq!(closed, Ok(()));
    assert!(!bench.directory.path().join("cloakroom.db-wal").exists());
    let late = Failure::Unavailable(Cause::Closed);
    let written = other_handle.record(event(Action::TokenRead)).await;
    assert_eq!(written, Err(late.clone()));
    let read = other_handle
        .token(&account(), TokenId::new(ENVIRONMENT, START))
        .await;
    assert_eq!(read, Err(late));
    assert_eq!(other_handle.close().await, Ok(()), "once is enough");
    assert_eq!(recorded(&bench).await, 50);
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_take_its_act_back() {
    let bench = Bench::new().await;
    let gone = bench.store.record(event(Action::TokenRead)).now_or_never();
    assert_eq!(gone, None, "it had not been answered");
    bench.store.close().await.unwrap();
    assert_eq!(recorded(&bench).await, 1);
}
