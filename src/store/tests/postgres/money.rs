//! The money path on PostgreSQL: what the other engine keeps, and what only two transactions at
//! once can break.

use futures_util::future::join;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use super::super::{adoption, deletions, feed, inbox, keys, refunds, reviews};
use super::*;

/// Runs each of them on a store with nothing in it.
macro_rules! on_an_empty_store {
    ($stage:ident, $($scenario:path),+ $(,)?) => {
        $(
            $scenario(&$stage.store).await;
            $stage.server.sql(
                "TRUNCATE sessions, tokens, token_cards, orphans, charges, refunds, disputes, charge_reviews, idempotency_keys, processor_events, events, deliveries CASCADE",
            );
        )+
    };
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_owed_is_kept_on_postgres_as_on_sqlite() {
    let stage = stage().await;
    on_an_empty_store!(
        stage,
        keys::a_refunds_key_stays_until_it_is_settled,
        keys::a_key_past_its_time_is_entered_anew_without_a_sweep,
        keys::a_charges_key_stays_while_it_is_processing,
        keys::an_operations_key_stays_while_it_is_under_way,
        keys::a_lost_manifest_version_leaves_no_canary_and_no_data_key,
        reviews::one_asked_for_again_while_it_is_made_is_made_again,
        reviews::one_that_was_deferred_is_due_when_it_is_asked_for,
        refunds::a_refund_made_at_the_processor_is_taken_over,
        feed::one_objects_events_keep_their_order_on_any_clocks,
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_from_outside_is_applied_on_postgres_as_on_sqlite() {
    let stage = stage().await;
    on_an_empty_store!(
        stage,
        inbox::what_comes_before_its_payment_is_known_waits_for_it,
        inbox::a_dispute_that_was_won_is_over_whatever_comes_late,
        inbox::the_newest_report_of_a_dispute_is_known_by_its_time,
        inbox::a_payment_of_ours_is_looked_at_in_any_state,
        inbox::a_refund_that_is_not_known_has_its_payment_looked_at,
        inbox::an_event_has_its_effect_once,
        adoption::the_newest_vaulting_wins,
        adoption::an_adoption_releases_the_earlier_vaultings,
        adoption::a_card_in_use_is_not_detached,
        adoption::a_token_that_is_deleted_adopts_nothing,
        adoption::a_card_that_was_detached_at_the_processor_is_a_new_token,
        deletions::one_that_stopped_is_finished_by_another_node,
    );
}

/// A connection that holds what `sql` locks or changes, until it commits.
async fn holding(server: &Server, sql: &str) -> PgConnection {
    let mut holder = cluster::connect(server, "owner").await;
    sqlx::raw_sql(AssertSqlSafe(format!("BEGIN; {sql}")))
        .execute(&mut holder)
        .await
        .unwrap();
    holder
}

/// Lets go once so many wait.
async fn released(server: &Server, mut holder: PgConnection, waiting: i64) {
    until_waiting(server, waiting).await;
    sqlx::raw_sql("COMMIT").execute(&mut holder).await.unwrap();
    holder.close().await.unwrap();
}

async fn until_waiting(server: &Server, waiting: i64) {
    let mut looking = cluster::connect(server, "owner").await;
    for _ in 0..200 {
        let blocked: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND usename = 'billing'",
        )
        .fetch_one(&mut looking)
        .await
        .unwrap();
        if blocked >= waiting {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{waiting} do not wait");
}

/// Two answers of which one began what was asked for, and the other came too late for that.
fn one_is_new<W: fmt::Debug, D: fmt::Debug, R: fmt::Debug>(
    answers: [Result<Begun<W, D, R>, Failure>; 2],
) {
    let [one, other] = answers.map(Result::unwrap);
    let late = |begun: &Begun<W, D, R>| matches!(begun, Begun::InFlight | Begun::Replayed(_));
    let new = |begun: &Begun<W, D, R>| matches!(begun, Begun::New(_));
    assert!(
        (new(&one) && late(&other)) || (late(&one) && new(&other)),
        "{one:?} {other:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_transactions_under_one_key_at_once_one_begins() {
    let Stage {
        server,
        settings,
        store,
    } = stage().await;
    let other = open(&settings).await.unwrap();
    let id = settled_on(&store, ChargeStatus::Succeeded).await.id;

    // Both have seen no key before either writes its refund.
    let refund = |store: &Store| {
        let store = store.clone();
        async move {
            let new = refund_of(id, 250);
            let requested = event(Action::RefundRequested);
            store.begin_refund(claim("r"), new, requested).await
        }
    };
    let held = holding(&server, "LOCK TABLE refunds IN SHARE ROW EXCLUSIVE MODE").await;
    let both = join(refund(&store), refund(&other));
    let ((one, two), ()) = join(both, released(&server, held, 2)).await;
    one_is_new([one, two]);
    assert_eq!(server.sql("SELECT count(*) FROM refunds"), "1");
    let row = store.charge(&account(), id).await.unwrap().unwrap();
    assert_eq!(row.refunded, 250);

    let authorized = settled_with(&store, ChargeStatus::RequiresCapture, "charge-2").await;
    let capture = |store: &Store| {
        let store = store.clone();
        async move {
            let new = operation_of(authorized, ChargeOperation::Capture);
            let requested = event(Action::ChargeCaptureRequested);
            store.begin_operation(claim("o"), new, requested).await
        }
    };
    let held = holding(&server, "LOCK TABLE charges IN SHARE ROW EXCLUSIVE MODE").await;
    let both = join(capture(&store), capture(&other));
    let ((one, two), ()) = join(both, released(&server, held, 2)).await;
    one_is_new([one, two]);
    let keys = "SELECT count(*) FROM idempotency_keys WHERE key = 'o'";
    assert_eq!(server.sql(keys), "1");

    let attach = |store: &Store, reference| {
        let store = store.clone();
        async move {
            let mut token = token_of(session().id).token;
            token.reference = mark(reference);
            let owner = Owner {
                account: account(),
                customer_ref: None,
                usage: Usage::OffSession,
                metadata: "{}".into(),
                session: None,
            };
            let created = event(Action::TokenCreated);
            store
                .attach_token(Some(claim("a")), (token, owner), created, |_| news())
                .await
        }
    };
    let tokens: i64 = server.sql("SELECT count(*) FROM tokens").parse().unwrap();
    let held = holding(&server, "LOCK TABLE tokens IN SHARE ROW EXCLUSIVE MODE").await;
    let both = join(attach(&store, 20), attach(&other, 21));
    let ((one, two), ()) = join(both, released(&server, held, 2)).await;
    one_is_new([one, two]);
    let after: i64 = server.sql("SELECT count(*) FROM tokens").parse().unwrap();
    assert_eq!(after, tokens + 1, "one card is kept for one key");
}

/// A charge under a key of its own that stands as `status` says.
async fn settled_with(store: &Store, status: ChargeStatus, key: &str) -> ChargeId {
    let token = new(token_on(store, |_| {}).await);
    let id = charging_on(store, token, key).await.id;
    let said = outcome(status);
    settle(store, Authority::Observer, id, said).await.unwrap();
    id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vaulting_that_comes_during_an_adoption_keeps_its_claim() {
    let Stage {
        server,
        settings,
        store,
    } = stage().await;
    let other = open(&settings).await.unwrap();
    let vaulted = |reference, seconds| {
        move |token: &mut NewToken| {
            token.fingerprint = Some(mark(8));
            token.reference = mark(reference);
            token.created_at = START.plus_s(seconds);
        }
    };
    let token = new(token_on(&store, vaulted(10, 0)).await);
    token_on(&store, vaulted(11, 1)).await;
    let due = store
        .take_due_orphans(due_at(1), |_| event(Action::CardDetachStarted))
        .await
        .unwrap();
    let holder = holding(&server, "SELECT id FROM orphans FOR UPDATE").await;
    let placed = (token, mark(11), sealed_value());
    let done = (event(Action::TokenCardReplaced), START.plus_s(2));
    let adopting = store.adopt_orphan(&due[0], placed, done, |_| news());
    let newest = async {
        // The adoption has seen that it is the newest, and is about to take the place.
        until_waiting(&server, 1).await;
        join(
            token_on(&other, vaulted(12, 3)),
            released(&server, holder, 2),
        )
        .await
        .0
    };
    let (adopted, kept) = join(adopting, newest).await;
    assert_eq!(adopted, Ok(Adopted::Yes));
    assert!(matches!(kept, TokenKept::Same(row) if row.id == token));
    let due = store
        .take_due_orphans(due_at(3), |_| event(Action::CardDetachStarted))
        .await
        .unwrap();
    let waiting = due.iter().filter(|work| work.orphan.adopt_for.is_some());
    assert_eq!(
        waiting.count(),
        1,
        "the newest vaulting is still to be adopted"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_whose_value_is_sealed_anew_meanwhile_is_charged_and_deleted() {
    let Stage { server, store, .. } = stage().await;
    let token = new(token_on(&store, |_| {}).await);
    // Another token's key and value stand for those that a rotation writes.
    let elsewhere = new(token_on(&store, |_| {}).await);
    let reseal = format!(
        "UPDATE tokens SET (sealed, data_key_id) = (SELECT sealed, data_key_id FROM tokens WHERE id = '{elsewhere}') WHERE id = '{token}'"
    );
    let kept = format!("SELECT encode(sealed, 'hex') FROM tokens WHERE id = '{elsewhere}'");
    let anew = server.sql(&kept);

    let holder = holding(&server, &reseal).await;
    let charging = store.begin_charge(claim("c"), charge_of(token), opening());
    let (begun, ()) = join(charging, released(&server, holder, 1)).await;
    let Ok(Begun::New(work)) = begun else {
        panic!("the token is there: {begun:?}");
    };
    assert_eq!(hex(work.sealed.sealed.as_bytes()), anew);
    let said = outcome(ChargeStatus::Succeeded);
    settle(&store, Authority::Observer, work.charge.id, said)
        .await
        .unwrap();

    let third = new(token_on(&store, |_| {}).await);
    let again = reseal.replace(&elsewhere.to_string(), &third.to_string());
    let holder = holding(&server, &again).await;
    let whose = account();
    let started = event(Action::TokenDeletionStarted);
    let lease = (START, START.plus_s(60));
    let deleting = store.begin_deletion((&whose, token), lease, started);
    let (begun, ()) = join(deleting, released(&server, holder, 1)).await;
    assert!(matches!(begun, Ok(Begun::New(_))), "{begun:?}");
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}
