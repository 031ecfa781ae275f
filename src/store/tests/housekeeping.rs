use super::*;
use crate::seal::Canary;

#[tokio::test]
async fn the_first_processor_customer_stays() {
    let bench = Bench::new().await;
    let (store, whose) = (&bench.store, account());
    assert_eq!(
        store.processor_customer(&whose, "customer-1").await,
        Ok(None)
    );
    for (offered, seconds) in [("cus_1", 0), ("cus_2", 7)] {
        let now = START.plus_s(seconds);
        let winner = store
            .remember_customer(&whose, "customer-1", offered, now)
            .await;
        assert_eq!(winner.as_deref(), Ok("cus_1"));
    }
    let kept = store.processor_customer(&whose, "customer-1").await;
    assert_eq!(kept, Ok(Some("cus_1".into())));
    assert_eq!(
        bench
            .number("SELECT last_seen_at_ms FROM processor_customers")
            .await,
        START.plus_s(7).unix_ms(),
        "the loser wrote too"
    );
    let other = Account::try_from("brand".to_owned()).unwrap();
    assert_eq!(
        store.processor_customer(&other, "customer-1").await,
        Ok(None)
    );
}

#[tokio::test]
async fn a_key_keeps_its_first_canary() {
    let bench = Bench::new().await;
    assert!(bench.store.canaries().await.unwrap().is_empty());
    let canary = || {
        let value = sealed_value();
        let kek = value.data_key.kek.clone();
        Canary { kek, value }
    };
    let first = canary();
    for canary in [first.clone(), canary()] {
        let event = event(Action::KeysCanaryMade);
        bench.store.put_canary(canary, event).await.unwrap();
    }
    let kept = bench.store.canaries().await.unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].kek, first.kek);
    assert_eq!(kept[0].value.sealed, first.value.sealed);
    assert_eq!(kept[0].value.data_key, first.value.data_key);
    let recorded = bench.outcomes(Action::KeysCanaryMade).await;
    assert_eq!(recorded, ["success", "success"]);
}

#[tokio::test]
async fn the_probe_is_a_write_and_opening_makes_one() {
    let bench = Bench::new().await;
    let written = "SELECT written_at_ms FROM write_probe";
    assert_eq!(bench.number(written).await, START.unix_ms());
    bench.store.probe_write(START.plus_s(3)).await.unwrap();
    assert_eq!(bench.number(written).await, START.plus_s(3).unix_ms());
}

#[tokio::test]
async fn a_sweep_removes_what_is_over_and_nothing_else() {
    let bench = Bench::new().await;
    bench.token().await;
    let asked = claim("session-1");
    let unused = session();
    bench
        .store
        .begin_session(
            Some(asked.clone()),
            unused.clone(),
            event(Action::SessionCreated),
        )
        .await
        .unwrap();
    let day = START.plus_s(86_400);
    let sweep = |now| bench.store.sweep(now);
    assert_eq!(sweep(day.plus_ms(0)).await, Ok(1), "the key has expired");
    assert_eq!(
        bench.number("SELECT COUNT(*) FROM idempotency_keys").await,
        0
    );
    assert_eq!(sweep(unused.expires_at.plus_s(86_399)).await, Ok(0));
    assert_eq!(sweep(unused.expires_at.plus_s(86_400)).await, Ok(1));
    assert_eq!(bench.store.session(unused.id).await, Ok(None));
    assert_eq!(
        bench
            .number("SELECT COUNT(*) FROM sessions WHERE token_id IS NOT NULL")
            .await,
        1,
        "a session that made a token stays with it"
    );
}

#[tokio::test]
async fn a_sweep_leaves_a_session_that_a_key_points_at() {
    let bench = Bench::new().await;
    let long = Claim {
        expires_at: START.plus_s(7 * 86_400),
        ..claim("session-1")
    };
    bench
        .store
        .begin_session(Some(long.clone()), session(), event(Action::SessionCreated))
        .await
        .unwrap();
    assert_eq!(bench.store.sweep(START.plus_s(2 * 86_400)).await, Ok(0));
    // In one sweep both go, since the key goes first.
    assert_eq!(bench.store.sweep(START.plus_s(7 * 86_400)).await, Ok(2));
}

#[tokio::test]
async fn a_sweep_takes_a_bounded_bite() {
    let bench = Bench::new().await;
    bench
        .run(
            "INSERT INTO idempotency_keys (account, client, key, route, request_hash, resource, replays, created_at_ms, last_seen_at_ms, expires_at_ms)
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500)
             SELECT 'default', 'client', 'key-' || i, 'POST /v1/charges', zeroblob(32), 'chg', 0, 0, 0, 1 FROM n",
        )
        .await
        .unwrap();
    for removed in [u64::from(SWEEP_ROWS_MAX), 500, 0] {
        assert_eq!(bench.store.sweep(START).await, Ok(removed));
    }
}

#[tokio::test]
async fn a_reader_in_the_way_of_a_sweep_is_no_failure() {
    let bench = Bench::with(|settings| settings.busy_timeout_ms = 50).await;
    let mut reader = bench.aside().await;
    sqlx::query("BEGIN").execute(&mut reader).await.unwrap();
    sqlx::query("SELECT COUNT(*) FROM tokens")
        .fetch_one(&mut reader)
        .await
        .unwrap();
    bench.store.record(event(Action::TokenRead)).await.unwrap();
    assert_eq!(bench.store.sweep(START).await, Ok(0));
    bench.store.record(event(Action::TokenRead)).await.unwrap();
}

#[tokio::test]
async fn an_event_is_kept_with_all_its_fields() {
    let bench = Bench::new().await;
    let made = Event {
        actor: Actor::Process,
        outcome: Outcome::Failed,
        subject: Some("dek_1".into()),
        request_id: Some("req_1".into()),
        ..event(Action::KeysCanaryMade)
    };
    bench.store.record(made.clone()).await.unwrap();
    let row: (String, i64, String, Option<String>, String, String) =
        sqlx::query_as("SELECT id, at_ms, actor_kind, actor, action, outcome FROM audit_events")
            .fetch_one(&mut bench.aside().await)
            .await
            .unwrap();
    let kind = made.actor.kind().to_owned();
    let (action, outcome) = ("keys.canary_made".to_owned(), "failed".to_owned());
    assert_eq!(
        row,
        (
            made.id.to_string(),
            START.unix_ms(),
            kind,
            None,
            action,
            outcome
        )
    );
    let row: (
        Option<String>,
        Option<String>,
        String,
        String,
        Option<String>,
    ) = sqlx::query_as("SELECT account, subject, origin, node, request_id FROM audit_events")
        .fetch_one(&mut bench.aside().await)
        .await
        .unwrap();
    let account = Some("default".to_owned());
    let (origin, node) = ("127.0.0.1".to_owned(), "node-1".to_owned());
    assert_eq!(
        row,
        (
            account,
            made.subject.clone(),
            origin,
            node,
            made.request_id.clone()
        )
    );
    // The same event twice is a fault of the program, and no act.
    let again = bench.store.record(made).await;
    assert!(matches!(again, Err(Failure::Illegal(_))), "{again:?}");
}

#[tokio::test]
async fn what_is_open_is_counted_and_due_since_its_lease_ended() {
    let bench = Bench::new().await;
    let of = |open: &[OpenWork], table: &str| *open.iter().find(|w| w.table == table).unwrap();
    let open = bench.store.open_work().await.unwrap();
    assert!(
        open.iter().all(|w| w.rows == 0 && w.due_since.is_none()),
        "{open:?}"
    );
    let first = bench.charge().await;
    let second = charge_of(bench.token().await.id);
    let begun = bench
        .store
        .begin_charge(claim("charge-2"), second, opening())
        .await;
    assert!(matches!(begun, Ok(Begun::New(_))));
    let before = START.plus_s(1);
    let moved = format!(
        "UPDATE charges SET lease_until_ms = {} WHERE id = '{}'",
        before.unix_ms(),
        first.id
    );
    assert_eq!(bench.run(&moved).await, Ok(1));
    let figures = bench.store.figures(START.plus_s(10)).await.unwrap();
    let charges = of(&figures.open_work, "charges");
    assert_eq!((charges.rows, charges.due_since), (2, Some(before)));
    assert_eq!(of(&figures.open_work, "refunds").rows, 0);
    // The keys that the tokens were sealed under; none of them has a canary here.
    let [kek] = figures.keks.as_slice() else {
        panic!("one key-encryption key, not {:?}", figures.keks);
    };
    assert_eq!(
        kek.data_keys,
        bench
            .number("SELECT count(*) FROM data_keys")
            .await
            .unsigned_abs()
    );
    assert!(kek.oldest <= kek.newest && kek.in_service_since.is_none());
    assert_eq!((figures.reports, figures.last_report), (0, None));
}
