//! The three false acknowledgements of a synchronous PostgreSQL: each trap as a plain client falls
//! into it, and that the store does not.

use sqlx::Connection as _;
use tokio::time::timeout;

use super::*;

/// What every commit of the primary waits for.
const WITH_A_COPY: &str = "synchronous_standby_names=copy";
/// Milliseconds for a batch here: a commit that waits for a copy that is away ends soon.
const BATCH_MS: u32 = 2_500;

/// A primary whose commits wait for a standby, and a store on it.
struct Pair {
    primary: Server,
    copy: Server,
    settings: Settings,
    store: Store,
}

async fn pair() -> Pair {
    let Stage {
        server: mut primary,
        store,
        ..
    } = stage().await;
    store.close().await.unwrap();
    let copy = primary.standby("copy");
    primary.kill();
    primary.run(&[WITH_A_COPY]);
    failover::is_followed(&primary).await;
    primary.sql("CREATE TABLE plain (id INT PRIMARY KEY)");
    let mut place = cluster::place(&primary, "billing");
    place.batch_timeout_ms = BATCH_MS;
    place.connect_timeout_ms = BATCH_MS;
    let settings = Settings {
        place: Place::Postgres(Box::new(place)),
        ..settings(PathBuf::new())
    };
    let store = open(&settings).await.unwrap();
    Pair {
        primary,
        copy,
        settings,
        store,
    }
}

impl Pair {
    /// The primary is lost, and the copy takes over.
    fn fail_over(&mut self) {
        self.primary.kill();
        self.copy.run(&[]);
        assert_eq!(self.copy.sql("SELECT pg_promote()"), "t");
    }

    /// Cancels whoever waits for the copy, as soon as somebody does.
    async fn cancel_the_wait(&self) {
        for _ in 0..200 {
            let canceled = self.primary.sql(
                "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'",
            );
            if canceled.contains('t') {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("nobody waits for the copy");
    }
}

fn is_unavailable<T: fmt::Debug>(answer: &Result<T, Failure>) {
    assert!(matches!(answer, Err(Failure::Unavailable(_))), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canceled_commit_is_acknowledged_to_a_plain_client_and_lost() {
    let mut pair = pair().await;
    let mut plain = cluster::connect(&pair.primary, "owner").await;
    pair.copy.kill();
    let insert = async {
        let done = sqlx::raw_sql("INSERT INTO plain VALUES (1)").execute(&mut plain);
        done.await
    };
    let (acknowledged, ()) = tokio::join!(insert, pair.cancel_the_wait());
    assert_eq!(acknowledged.unwrap().rows_affected(), 1, "the trap");
    pair.fail_over();
    assert_eq!(
        pair.copy.sql("SELECT count(*) FROM plain"),
        "0",
        "and it is gone"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_acknowledges_no_commit_that_somebody_canceled() {
    let mut pair = pair().await;
    pair.copy.kill();
    let canceling = async {
        // No hand is quicker than what is believed without a second look.
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        pair.cancel_the_wait().await;
    };
    let (recorded, ()) = tokio::join!(pair.store.record(event(Action::TokenRead)), canceling);
    is_unavailable(&recorded);
    let events = "SELECT count(*) FROM audit_events WHERE action = 'token.read'";
    assert_eq!(
        pair.primary.sql(events),
        "1",
        "it was written, and not acknowledged"
    );
    pair.fail_over();
    assert_eq!(pair.copy.sql(events), "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_writes_and_so_waits_for_the_copy_that_a_plain_one_does_not() {
    let mut pair = pair().await;
    let token = new(token_on(&pair.store, |_| {}).await);
    pair.copy.kill();
    let charge = || {
        pair.store
            .begin_charge(claim("one"), charge_of(token), opening())
    };
    is_unavailable(&charge().await);
    // A crash, and a start in its place: what no copy has is there and can be found.
    pair.primary.kill();
    pair.primary.run(&[WITH_A_COPY]);
    assert_eq!(pair.primary.sql("SELECT count(*) FROM charges"), "1");
    let mut plain = cluster::connect(&pair.primary, "owner").await;
    let again = sqlx::raw_sql(
        "INSERT INTO idempotency_keys SELECT * FROM idempotency_keys ON CONFLICT DO NOTHING",
    );
    let replayed = timeout(Duration::from_secs(1), again.execute(&mut plain)).await;
    assert!(replayed.unwrap().is_ok(), "the trap: it waits for nobody");

    let charge = || {
        pair.store
            .begin_charge(claim("one"), charge_of(token), opening())
    };
    is_unavailable(&charge().await);
    pair.copy.run(&["cluster_name=copy"]);
    let mut answer = charge().await;
    for _ in 0..20 {
        if answer.is_ok() {
            break;
        }
        answer = charge().await;
    }
    assert!(
        matches!(answer, Ok(Begun::InFlight)),
        "one charge, and it is kept twice: {answer:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_waits_behind_a_write_and_so_shows_nothing_that_no_copy_has() {
    let mut pair = pair().await;
    let token = new(token_on(&pair.store, |_| {}).await);
    pair.copy.kill();
    let new = charge_of(token);
    let id = new.id;
    is_unavailable(&pair.store.begin_charge(claim("one"), new, opening()).await);
    pair.primary.kill();
    pair.primary.run(&[WITH_A_COPY]);
    let mut plain = cluster::connect(&pair.primary, "owner").await;
    let seen: i64 = sqlx::query_scalar("SELECT count(*) FROM charges")
        .fetch_one(&mut plain)
        .await
        .unwrap();
    assert_eq!(seen, 1, "the trap: a charge that a failover would lose");
    plain.close().await.unwrap();

    is_unavailable(&pair.store.charge(&account(), id).await);
    is_unavailable(&open(&pair.settings).await);
    pair.copy.run(&["cluster_name=copy"]);
    for _ in 0..20 {
        if let Ok(found) = pair.store.charge(&account(), id).await {
            assert_eq!(found.unwrap().id, id);
            return;
        }
    }
    panic!("the copy is back, and nothing can be read");
}
