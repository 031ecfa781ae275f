//! Rows that nobody ordered: written beside the store, as whoever writes to the database would.

use super::*;

/// Runs what an attacker writes, and whether it was written.
pub(super) trait Attacker {
    /// Takes the triggers off a table, as its owner can.
    async fn unprotect(&mut self, table: &str);
    async fn write(&mut self, sql: &str) -> u64;
    async fn count(&mut self, sql: &str) -> i64;
    /// `sql` with `HEX{00}` as the engine writes bytes.
    fn dialect(&self, sql: &str) -> String;
}

impl Attacker for SqliteConnection {
    async fn unprotect(&mut self, table: &str) {
        let triggers = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = $1";
        let names: Vec<String> = sqlx::query_scalar(triggers)
            .bind(table)
            .fetch_all(&mut *self)
            .await
            .unwrap();
        for name in names {
            self.write(&format!("DROP TRIGGER {name}")).await;
        }
    }

    async fn write(&mut self, sql: &str) -> u64 {
        let done = sqlx::query(AssertSqlSafe(sql)).execute(self).await;
        done.unwrap().rows_affected()
    }

    async fn count(&mut self, sql: &str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_one(self)
            .await
            .unwrap()
    }

    fn dialect(&self, sql: &str) -> String {
        sql.replace("HEX{", "x'").replace('}', "'")
    }
}

impl Attacker for sqlx::PgConnection {
    async fn unprotect(&mut self, table: &str) {
        self.write(&format!("ALTER TABLE {table} DISABLE TRIGGER USER"))
            .await;
    }

    async fn write(&mut self, sql: &str) -> u64 {
        let done = sqlx::query(AssertSqlSafe(sql)).execute(self).await;
        done.unwrap().rows_affected()
    }

    async fn count(&mut self, sql: &str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_one(self)
            .await
            .unwrap()
    }

    fn dialect(&self, sql: &str) -> String {
        sql.replace("HEX{", "'\\x").replace('}', "'::bytea")
    }
}

/// That these rows are quarantined, each with its event, and that somebody is paged once.
pub(super) async fn quarantined(attacker: &mut impl Attacker, table: &str, rows: i64) {
    let held = format!("SELECT COUNT(*) FROM quarantine WHERE table_name = '{table}'");
    assert_eq!(attacker.count(&held).await, rows, "{table}");
    let recorded = format!(
        "SELECT COUNT(*) FROM audit_events WHERE action = 'row.quarantined' AND subject LIKE '{table}/%'"
    );
    assert_eq!(attacker.count(&recorded).await, rows, "{table}");
    let paged = format!(
        "SELECT COUNT(*) FROM alerts WHERE name = 'row_quarantined' AND severity = 'page' AND subject = '{table}'"
    );
    assert_eq!(attacker.count(&paged).await, i64::from(rows > 0), "{table}");
}

async fn due_refunds(store: &Store) -> usize {
    let due = store.take_due_refunds(due_at(7_200)).await.unwrap();
    assert!(due.unreadable.is_empty(), "{:?}", due.unreadable);
    due.refunds.len()
}

/// A charge and a refund that were never asked for, and ones that were asked for otherwise.
pub(super) async fn money_that_nobody_ordered_is_not_moved(
    store: &Store,
    attacker: &mut impl Attacker,
) {
    let succeeded = settled_on(store, ChargeStatus::Succeeded).await;
    let id = succeeded.id;
    let now = START.unix_ms();

    // A refund that nobody asked for, without a proof and with another row's.
    let refund = |id: &str, proof: &str| {
        format!(
            "INSERT INTO refunds (id, account, client, charge_id, amount, status, processor_key, lease_until_ms, created_at_ms, updated_at_ms, order_proof)
             VALUES ('{id}', 'default', NULL, '{}', 1250, 'processing', 'k', 0, {now}, {now}, {proof})",
            succeeded.id
        )
    };
    let ours = match store
        .begin_refund(
            claim("r"),
            refund_of(id, 250),
            event(Action::RefundRequested),
        )
        .await
        .unwrap()
    {
        Begun::New(work) => work.refund.id,
        other @ (Begun::Resumed(_)
        | Begun::Replayed(_)
        | Begun::InFlight
        | Begun::Mismatch
        | Begun::Refused(_)) => panic!("{other:?}"),
    };
    let copied = format!("(SELECT order_proof FROM refunds WHERE id = '{ours}')");
    for (stolen, proof) in [
        (RefundId::new(ENVIRONMENT, START), "NULL"),
        (RefundId::new(ENVIRONMENT, START), &copied),
    ] {
        attacker.write(&refund(&stolen.to_string(), proof)).await;
    }
    // Only ours is worked on; the others block nothing, and are not taken again.
    assert_eq!(due_refunds(store).await, 1);
    quarantined(attacker, "refunds", 2).await;
    assert_eq!(due_refunds(store).await, 0);
    // Nor where ours is for more than was asked for.
    let more = format!(
        "UPDATE refunds SET lease_until_ms = 0, lease_token = NULL, amount = 1000 WHERE id = '{ours}'"
    );
    attacker.unprotect("refunds").await;
    attacker.write(&more).await;
    assert_eq!(due_refunds(store).await, 0);
    quarantined(attacker, "refunds", 3).await;
    charges_that_nobody_ordered_are_not_made((store, &succeeded), attacker).await;
    no_other_payment_is_refunded(store, attacker).await;
}

async fn charges_that_nobody_ordered_are_not_made(
    (store, succeeded): (&Store, &ChargeRow),
    attacker: &mut impl Attacker,
) {
    let (id, token) = (succeeded.id, succeeded.token);
    // A charge that nobody asked for, in whatever state.
    let columns = "account, client, token_id, captured, refunded, currency, capture, off_session, metadata, disputed, created_at_ms, updated_at_ms, setup_pending, lease_token, processor_key, order_proof, payment_proof";
    let forged = ChargeId::new(ENVIRONMENT, START);
    attacker
        .write(&format!(
            "INSERT INTO charges (id, amount, status, lease_until_ms, {})
             SELECT '{forged}', 4321000, 'processing', 0, {} FROM charges WHERE id = '{id}'",
            columns,
            columns.replace("captured, refunded", "0, 0")
        ))
        .await;
    assert!(take_charges(store, 7_200).await.is_empty());
    quarantined(attacker, "charges", 1).await;
    // It stands in no token's way.
    let whose = account();
    let deletion = store
        .begin_deletion(
            (&whose, token),
            (START, START.plus_s(60)),
            event(Action::TokenDeletionStarted),
        )
        .await;
    assert!(matches!(deletion, Ok(Begun::New(_))), "{deletion:?}");
}

async fn no_other_payment_is_refunded(store: &Store, attacker: &mut impl Attacker) {
    // Nobody gives back, captures or reviews what another payment took.
    let token = new(token_on(store, |_| {}).await);
    let charging = charging_on(store, token, "charge-2").await;
    let authority = Authority::Holder(&charging.lease);
    let other = ChargeOutcome {
        payment: Some("pi_2".into()),
        ..outcome(ChargeStatus::Succeeded)
    };
    let other = settle(store, authority, charging.id, other).await.unwrap();
    let other = other.id;
    attacker.unprotect("charges").await;
    attacker
        .write(&format!(
            "UPDATE charges SET payment = 'pi_victims' WHERE id = '{other}'"
        ))
        .await;
    let begun = store
        .begin_refund(
            claim("another"),
            refund_of(other, 250),
            event(Action::RefundRequested),
        )
        .await;
    assert_eq!(begun, Ok(Begun::Refused(NoRefund::Unknown)));
    quarantined(attacker, "charges", 2).await;
    // Nor is a charge made again that was given up.
    let before = "UPDATE charges SET created_at_ms = created_at_ms + 1, payment = NULL, captured = 0, status = 'processing', lease_until_ms = 0";
    let again = format!("{before} WHERE id = '{other}'");
    attacker.write(&again).await;
    assert!(take_charges(store, 7_200).await.is_empty());
    no_shopper_is_led_elsewhere(store, attacker).await;
}

async fn no_shopper_is_led_elsewhere(store: &Store, attacker: &mut impl Attacker) {
    for (key, change) in [
        ("charge-3", "return_url = 'https://evil.example/'"),
        ("charge-4", "page_expires_at_ms = 4000000000000"),
    ] {
        let token = new(token_on(store, |_| {}).await);
        let charge = charging_on(store, token, key).await.id;
        attacker
            .write(&format!(
                "UPDATE charges SET {change}, lease_until_ms = 0, lease_token = NULL WHERE id = '{charge}'"
            ))
            .await;
        assert!(take_charges(store, 7_200).await.is_empty());
        let held = format!("SELECT COUNT(*) FROM quarantine WHERE row_id = '{charge}'");
        assert_eq!(attacker.count(&held).await, 1);
    }
}

#[tokio::test]
async fn money_that_nobody_ordered_is_not_moved_on_sqlite() {
    let bench = Bench::new().await;
    let mut attacker = bench.aside().await;
    money_that_nobody_ordered_is_not_moved(&bench.store, &mut attacker).await;
}

/// Events that were never published, and one whose words were changed.
pub(super) async fn what_nobody_published_is_told_to_nobody(
    store: &Store,
    attacker: &mut impl Attacker,
) {
    new(token_on(store, |_| {}).await);
    let subscriber = || Subscriber {
        account: account(),
        endpoint: "shop".into(),
        kinds: None,
    };
    let now = START.unix_ms();
    let forged = EventId::new(ENVIRONMENT, START);
    attacker
        .write(&format!(
            "INSERT INTO events (id, account, kind, data, created_at_ms, order_proof)
             SELECT '{forged}', 'default', 'charge.succeeded', '{{\"amount\":500000}}', {now}, order_proof FROM events LIMIT 1"
        ))
        .await;
    // However long it is.
    let long = EventId::new(ENVIRONMENT, START.plus_s(1));
    let data = format!("{{\"long\":\"{}\"}}", "9".repeat(1_100_000));
    attacker
        .write(&format!("INSERT INTO events (id, account, kind, data, created_at_ms) VALUES ('{long}', 'default', 'charge.succeeded', '{data}', {now})"))
        .await;
    // The honest one has its place and its delivery; the forged one is gone from the feed's table.
    assert_eq!(
        store.number_news(vec![subscriber()], 100, START).await,
        Ok(3)
    );
    quarantined(attacker, "events", 2).await;
    let left = "SELECT COUNT(*) FROM events WHERE kind = 'charge.succeeded'";
    assert_eq!(attacker.count(left).await, 0);
    let kept = "SELECT COUNT(*) FROM quarantine WHERE content LIKE 'charge.succeeded %500000%'";
    assert_eq!(attacker.count(kept).await, 1);
    let take = || Take {
        scope: "shop".into(),
        ..due_at(7_200)
    };
    let feed = store.news(&account(), None, 100).await.unwrap().unwrap();
    assert_eq!(feed.len(), 1);

    // What was numbered and is changed afterwards is not told either.
    attacker.unprotect("events").await;
    attacker
        .write("UPDATE events SET data = '{\"amount\":500000}'")
        .await;
    assert_eq!(store.lease_deliveries(take()).await, Ok(Vec::new()));
    quarantined(attacker, "events", 3).await;
    assert_eq!(store.lease_deliveries(take()).await, Ok(Vec::new()));
    let feed = store.news(&account(), None, 100).await.unwrap().unwrap();
    assert_eq!(feed, []);
}

#[tokio::test]
async fn what_nobody_published_is_told_to_nobody_on_sqlite() {
    let bench = Bench::new().await;
    let mut attacker = bench.aside().await;
    what_nobody_published_is_told_to_nobody(&bench.store, &mut attacker).await;
}

#[tokio::test]
async fn the_capture_plane_publishes_tokens_and_neither_charges_nor_their_events() {
    let bench = Bench::with(|settings| settings.orders = orders_of(None)).await;
    let store = &bench.store;
    let session = session();
    let begun = store
        .begin_session(None, session.clone(), event(Action::SessionCreated))
        .await;
    assert_eq!(begun, Ok(Begun::New(())));
    for kind in ["charge.succeeded", "token.deleted", "token.created"] {
        let claimed = store
            .claim_attempt(attempt(session.id), event(Action::CardAttempted))
            .await;
        assert!(
            matches!(claimed, Ok(Attempt::Claimed { .. })),
            "{claimed:?}"
        );
        let published = move |_: &TokenRow| News {
            id: EventId::new(ENVIRONMENT, START),
            kind: kind.into(),
            ..news()
        };
        let kept = store
            .attempt_succeeded(
                (session.id, Some("attempt-1".to_owned())),
                token_of(session.id).token,
                event(Action::TokenCreated),
                published,
            )
            .await;
        match kept {
            Ok(TokenKept::New(_)) => assert_eq!(kind, "token.created"),
            Err(Failure::Illegal(_)) => {
                assert_ne!(kind, "token.created");
                bench
                    .run("UPDATE sessions SET busy_until_ms = NULL, attempts_left = 2")
                    .await
                    .unwrap();
            }
            other => panic!("{kind}: {other:?}"),
        }
    }
    let internal = open(&Settings {
        orders: orders(),
        ..bench.settings.clone()
    })
    .await
    .unwrap();
    assert_eq!(internal.number_news(Vec::new(), 10, START).await, Ok(1));
    let feed = internal.news(&account(), None, 10).await.unwrap().unwrap();
    assert_eq!(feed.len(), 1);
    quarantined(&mut bench.aside().await, "events", 0).await;
}

/// A deletion that nobody asked for.
pub(super) async fn no_card_is_detached_that_nobody_deleted(
    store: &Store,
    attacker: &mut impl Attacker,
) {
    let token = new(token_on(store, |_| {}).await);
    attacker
        .write(&format!(
            "UPDATE tokens SET status = 'deleting', lease_until_ms = 0 WHERE id = '{token}'"
        ))
        .await;
    let due = store
        .take_due_deletions(due_at(7_200), |_| event(Action::TokenDeletionStarted))
        .await;
    assert_eq!(due, Ok(Vec::new()));
    quarantined(attacker, "tokens", 1).await;
    // A client that wants it gone is served.
    let whose = account();
    let begun = store
        .begin_deletion(
            (&whose, token),
            (START, START.plus_s(60)),
            event(Action::TokenDeletionStarted),
        )
        .await;
    assert!(matches!(begun, Ok(Begun::Resumed(_))), "{begun:?}");
    let due = store
        .take_due_deletions(due_at(7_200), |_| event(Action::TokenDeletionStarted))
        .await
        .unwrap();
    assert_eq!(due.len(), 1);
}

#[tokio::test]
async fn no_card_is_detached_that_nobody_deleted_on_sqlite() {
    let bench = Bench::new().await;
    let mut attacker = bench.aside().await;
    no_card_is_detached_that_nobody_deleted(&bench.store, &mut attacker).await;
}

/// A row that hands in once more what has its place would stop the log: nothing behind it would get
/// a place, and after a while nothing would be answered.
pub(super) async fn a_bad_row_does_not_stop_the_log(store: &Store, attacker: &mut impl Attacker) {
    store.record(event(Action::TokenRead)).await.unwrap();
    let sequence = async || {
        let sequenced = store.sequence("one".into(), (START, START), 1_000).await;
        sequenced.unwrap().unwrap()
    };
    assert!(sequence().await.events > 0);
    let size = sequence().await.edge.size();
    store.witnessed(None, size, START).await.unwrap();
    attacker
        .write("INSERT INTO audit_pending (event_id, at_ms, leaf) SELECT event_id, 0, leaf FROM audit_log LIMIT 1")
        .await;
    store.record(event(Action::TokenRead)).await.unwrap();
    let sequenced = sequence().await;
    assert_eq!(sequenced.edge.size(), size.saturating_add(1));
    quarantined(attacker, "audit_pending", 1).await;
    // The report has its own place.
    assert_eq!(sequence().await.events, 1);
    let waiting = "SELECT COUNT(*) FROM audit_pending WHERE seq IS NULL";
    assert_eq!(attacker.count(waiting).await, 0);
}

#[tokio::test]
async fn a_bad_row_does_not_stop_the_log_on_sqlite() {
    let bench = Bench::new().await;
    let mut attacker = bench.aside().await;
    a_bad_row_does_not_stop_the_log(&bench.store, &mut attacker).await;
}
