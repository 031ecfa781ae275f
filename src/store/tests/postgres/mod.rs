//! The same operations on a real PostgreSQL: each verb once, many at once from two processes'
//! stores, the roles, and a server that goes away.

mod acknowledged;
mod failover;
mod log;
mod money;
mod orders;
mod protections;
mod rivals;
mod roles;
mod tls;

use super::cluster::{self, Server};
use super::*;
use crate::token::{ChargeOperation, RefundStatus};

struct Stage {
    server: Server,
    settings: Settings,
    store: Store,
}

fn settings_of(server: &Server, user: &str) -> Settings {
    Settings {
        place: Place::Postgres(Box::new(cluster::place(server, user))),
        ..settings(PathBuf::new())
    }
}

async fn stage() -> Stage {
    let server = Server::start();
    let owner = settings_of(&server, "owner");
    let migrated = migrate(&owner).await.unwrap();
    assert_eq!((migrated.from, migrated.to), (0, 23));
    assert_eq!(migrate(&owner).await.unwrap().applied, []);
    server
        .sql("CREATE ROLE billing LOGIN IN ROLE cloakroom_internal; CREATE ROLE forms LOGIN IN ROLE cloakroom_capture");
    let settings = settings_of(&server, "billing");
    let store = open(&settings).await.unwrap();
    Stage {
        server,
        settings,
        store,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::too_many_lines, reason = "a life in order")]
async fn a_charge_lives_its_whole_life_on_postgres() {
    let Stage {
        server: _server,
        store,
        ..
    } = stage().await;
    let token = new(token_on(&store, |_| {}).await);
    let charge = NewCharge {
        capture: false,
        ..charge_of(token)
    };
    let begun = store
        .begin_charge(claim("c"), charge.clone(), opening())
        .await;
    let Ok(Begun::New(work)) = begun else {
        panic!("{begun:?}");
    };
    assert_eq!((work.charge.id, work.sealed.token), (charge.id, token));
    let whose = account();
    let authority = Authority::Holder(&work.lease);
    let authorized = outcome(ChargeStatus::RequiresCapture);
    settle(&store, authority, charge.id, authorized)
        .await
        .unwrap();
    let operation = operation_of(charge.id, ChargeOperation::Capture);
    let claimed = Claim {
        route: "charges:capture",
        ..claim("s")
    };
    let begun = store
        .begin_operation(claimed, operation, event(Action::ChargeCaptureRequested))
        .await
        .unwrap();
    let Begun::New((lease, _)) = begun else {
        panic!("{begun:?}");
    };
    let authority = Authority::Holder(&lease);
    let captured = outcome(ChargeStatus::Succeeded);
    settle(&store, authority, charge.id, captured)
        .await
        .unwrap();
    let refund = refund_of(charge.id, 250);
    let begun = store
        .begin_refund(claim("r"), refund.clone(), event(Action::RefundRequested))
        .await
        .unwrap();
    let Begun::New(work) = begun else {
        panic!("{begun:?}");
    };
    store
        .settle_refund(
            &work.lease,
            (&whose, refund.id),
            refunded(RefundStatus::Succeeded),
            event(Action::RefundSettled),
            |_| news(),
        )
        .await
        .unwrap();
    let row = store.charge(&whose, charge.id).await.unwrap().unwrap();
    assert_eq!(
        (row.status, row.captured, row.refunded),
        (ChargeStatus::Succeeded, 1_250, 250)
    );
    let listed = store
        .charges_of(
            &whose,
            ChargeFilter {
                limit: 5,
                ..ChargeFilter::default()
            },
        )
        .await
        .unwrap();
    assert_eq!(listed, [row]);
    assert_eq!(
        store
            .refunds_of(&whose, charge.id, 5, None)
            .await
            .unwrap()
            .len(),
        1
    );
    assert_eq!(store.number_news(Vec::new(), 10, START).await, Ok(4));
    assert_eq!(
        store.news(&whose, None, 10).await.unwrap().unwrap().len(),
        4
    );
    let started = event(Action::TokenDeletionStarted);
    let deletion = store
        .begin_deletion((&whose, token), (START, START.plus_s(60)), started)
        .await
        .unwrap();
    assert!(matches!(deletion, Begun::New(_)));
    store
        .finish_deletion((&whose, token), START, event(Action::TokenDeleted), |_| {
            news()
        })
        .await
        .unwrap();
    store.sweep(START.plus_s(4_000_000)).await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::too_many_lines, reason = "one stage for all of them")]
async fn the_capture_role_makes_tokens_and_reads_no_sealed_value() {
    let Stage { server, store, .. } = stage().await;
    let session = session();
    store
        .begin_session(None, session.clone(), event(Action::SessionCreated))
        .await
        .unwrap();
    let forms = open(&settings_of(&server, "forms")).await.unwrap();
    forms
        .claim_attempt(attempt(session.id), event(Action::CardAttempted))
        .await
        .unwrap();
    let of_session = (session.id, None);
    let mut token = token_of(session.id).token;
    token.fingerprint = Some(mark(4));
    let kept = forms
        .attempt_succeeded(of_session, token, event(Action::TokenCreated), |_| News {
            kind: "token.created".into(),
            ..news()
        })
        .await
        .unwrap();
    let token = new(kept);
    assert!(forms.token(&account(), token).await.unwrap().is_some());
    assert_eq!(forms.canary_keks().await, Ok(vec![]));
    let opened = forms
        .begin_deletion(
            (&account(), token),
            (START, START.plus_s(60)),
            event(Action::TokenDeletionStarted),
        )
        .await
        .unwrap_err();
    assert!(opened.to_string().contains("permission denied"), "{opened}");
    let mut connection = cluster::connect(&server, "forms").await;
    for refused in [
        "SELECT sealed FROM tokens",
        "SELECT * FROM tokens",
        "SELECT sealed FROM key_canaries",
        "SELECT sealed FROM orphans",
        "SELECT id FROM charges",
        "SELECT id FROM refunds",
        "SELECT body FROM processor_events",
        "UPDATE processor_events SET status = 'applied'",
        "UPDATE processor_events SET last_seen_at_ms = 0",
        "DELETE FROM processor_events",
        "SELECT charge_id FROM charge_reviews",
        "SELECT id FROM disputes",
        "DELETE FROM idempotency_keys",
        "SELECT * FROM audit_events",
        "UPDATE audit_events SET outcome = 'failed'",
        "DELETE FROM audit_events",
        "TRUNCATE audit_events",
        "UPDATE charges SET amount = 1",
        "DELETE FROM tokens",
        "UPDATE tokens SET status = 'active'",
        "UPDATE tokens SET last4 = '0000'",
        "UPDATE token_cards SET customer_ref = 'thief'",
        "INSERT INTO events (id, account, kind, data, seq, created_at_ms) VALUES ('e', 'default', 'token.created', '{}', 1, 0)",
        "INSERT INTO events (id, account, kind, data, created_at_ms) VALUES ('e', 'default', 'charge.succeeded', '{}', 0)",
        "INSERT INTO processor_events (account, id, status, deliveries, tries, created_at_ms, received_at_ms, last_seen_at_ms) VALUES ('default', 'evt', 'applied', 1, 0, 0, 0, 0)",
        "INSERT INTO watch_blocks (id, rule, subject, action, node, placed_at_ms) VALUES ('b', 'client_opens', 'client spiffe://shop.example/billing', 'block', 'n', 0)",
        "INSERT INTO watch_buckets (process, rule, subject, bucket_ms, events, hits, updated_at_ms) VALUES ('p', 'client_opens', 'client spiffe://shop.example/billing', 0, 1, 1, 0)",
    ] {
        let words = sqlx::raw_sql(refused)
            .execute(&mut connection)
            .await
            .unwrap_err();
        assert!(
            words.to_string().contains("permission denied"),
            "{refused}: {words}"
        );
    }
    // Not even the owner changes the log by accident.
    let mut owner = cluster::connect(&server, "owner").await;
    for refused in [
        "UPDATE audit_events SET outcome = 'failed'",
        "DELETE FROM audit_events",
        "TRUNCATE audit_events",
    ] {
        let words = sqlx::raw_sql(refused)
            .execute(&mut owner)
            .await
            .unwrap_err();
        assert!(
            words.to_string().contains("append-only"),
            "{refused}: {words}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_goes_away_makes_only_unavailable_and_comes_back() {
    let Stage {
        mut server, store, ..
    } = stage().await;
    let token = new(token_on(&store, |_| {}).await);
    store.record(event(Action::TokenRead)).await.unwrap();
    for _ in 0..2 {
        server.kill();
        for _ in 0..3 {
            let write = store.record(event(Action::TokenRead)).await;
            assert!(matches!(write, Err(Failure::Unavailable(_))), "{write:?}");
            let read = store.token(&account(), token).await;
            assert!(matches!(read, Err(Failure::Unavailable(_))), "{read:?}");
        }
        server.run(&[]);
        store.record(event(Action::TokenRead)).await.unwrap();
        assert!(store.token(&account(), token).await.unwrap().is_some());
    }
    // Connections that are cut while idle are nobody's failure.
    server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'billing'");
    store.record(event(Action::TokenRead)).await.unwrap();
    assert!(store.token(&account(), token).await.unwrap().is_some());
    // A server that takes no writes is no primary.
    server.kill();
    server.run(&["default_transaction_read_only=on"]);
    let write = store.record(event(Action::TokenRead)).await;
    assert_eq!(write, Err(Failure::Unavailable(Cause::ReadOnly)));
    let read = store.token(&account(), token).await;
    assert!(
        matches!(read, Err(Failure::Unavailable(_))),
        "no read without its barrier: {read:?}"
    );
    server.kill();
    server.run(&[]);
    store.record(event(Action::TokenRead)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_promised_replicas_nothing_is_written() {
    let Stage { server, .. } = stage().await;
    let mut place = cluster::place(&server, "billing");
    place.require_synchronous_replicas = 1;
    let settings = Settings {
        place: Place::Postgres(Box::new(place)),
        ..settings(PathBuf::new())
    };
    // Whoever does not see the replicas would count none, and look for them in vain.
    let refused = open(&settings).await.unwrap_err();
    assert_eq!(refused, Failure::Unavailable(Cause::ReplicasHidden));
    server.sql("GRANT pg_read_all_stats TO billing");
    let refused = open(&settings).await.unwrap_err();
    let alone = Cause::NotReplicated {
        required: 1,
        attached: 0,
    };
    assert_eq!(refused, Failure::Unavailable(alone));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_no_commit_waits_for_are_not_the_promised_ones() {
    let Stage {
        server: primary,
        store,
        ..
    } = stage().await;
    store.close().await.unwrap();
    primary.sql("GRANT pg_read_all_stats TO billing");
    let copies = [primary.standby("one"), primary.standby("two")];
    let promising = |required| {
        let mut place = cluster::place(&primary, "billing");
        place.require_synchronous_replicas = required;
        Settings {
            place: Place::Postgres(Box::new(place)),
            ..settings(PathBuf::new())
        }
    };
    let both = promising(2);
    let waits_for = |number: u32| {
        primary.sql(&format!(
            "ALTER SYSTEM SET synchronous_standby_names = 'ANY {number} (one, two)'"
        ));
        primary.sql("SELECT pg_reload_conf()");
    };
    waits_for(1);
    let attached =
        || primary.sql("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'quorum'");
    for _ in 0..200 {
        if attached() == "2" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(attached(), "2");

    // Two are attached, and an acknowledged row may be on one of them only.
    let awaited = Failure::Unavailable(Cause::NotAwaited {
        required: 2,
        awaited: 1,
    });
    assert_eq!(open(&both).await.unwrap_err(), awaited);
    waits_for(2);
    let store = until(async || open(&both).await.ok()).await;
    store.record(event(Action::TokenRead)).await.unwrap();
    // A running process sees a change of the setting within a second or two.
    waits_for(1);
    let refused = until(async || store.record(event(Action::TokenRead)).await.err()).await;
    assert_eq!(refused, awaited);
    drop(copies);
}

/// Tries again until there is something, for ten seconds.
async fn until<T>(found: impl AsyncFn() -> Option<T>) -> T {
    for _ in 0..100 {
        if let Some(found) = found().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("not within 10 s");
}
