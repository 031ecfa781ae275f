//! Rows that no operation writes: made beside the store, with the schema's checks off.

use super::*;

impl Bench {
    /// Writes what the schema would refuse.
    async fn spoil(&self, statement: &str) {
        let mut connection = self.aside().await;
        for sql in [
            "PRAGMA ignore_check_constraints = ON",
            "PRAGMA foreign_keys = OFF",
            "DROP TRIGGER tokens_status",
            "DROP TRIGGER charges_status",
            "DROP TRIGGER charges_identity",
            "DROP TRIGGER tokens_identity",
            statement,
        ] {
            sqlx::query(AssertSqlSafe(sql))
                .execute(&mut connection)
                .await
                .unwrap();
        }
    }
}

fn named(table: &'static str, column: &'static str, row: &impl ToString) -> Failure {
    Failure::Inconsistent {
        table,
        column,
        row: row.to_string(),
    }
}

#[tokio::test]
async fn a_session_that_means_nothing_is_named() {
    for (column, value) in [
        ("account", "'not an account'"),
        ("usage", "'sometimes'"),
        ("secret_mac", "x'00'"),
        ("attempts_left", "-1"),
        ("attempts_made", "4294967296"),
        ("token_id", "'tok_01h455vb4pex5vsknk084sn02q'"),
    ] {
        let bench = Bench::new().await;
        let id = bench.token().await.session;
        bench
            .spoil(&format!("UPDATE sessions SET {column} = {value}"))
            .await;
        let read = bench.store.session(id).await;
        assert_eq!(read, Err(named("sessions", column, &id)), "{value}");
    }
}

#[tokio::test]
async fn a_token_that_means_nothing_is_named() {
    for (column, value) in [
        ("session_id", "'cs_nonsense'"),
        ("status", "'lost'"),
        ("last4", "'12a4'"),
        ("last4", "'4242424242424242'"),
        ("exp_month", "300"),
        ("exp_year", "-1"),
        ("usage", "''"),
    ] {
        let bench = Bench::new().await;
        let id = bench.token().await.id;
        bench
            .spoil(&format!("UPDATE tokens SET {column} = {value}"))
            .await;
        let failure = named("tokens", column, &id);
        let read = bench.store.token(&account(), id).await;
        assert_eq!(read, Err(failure.clone()), "{value}");
        let listed = bench
            .store
            .tokens_of(&account(), "customer-1", 9, None)
            .await;
        assert_eq!(listed, Err(failure), "{value}");
    }
}

#[tokio::test]
async fn a_value_is_not_given_out_of_a_row_that_contradicts_itself() {
    for spoiled in [
        "UPDATE tokens SET sealed = NULL",
        "UPDATE tokens SET status = 'deleted'",
    ] {
        let bench = Bench::new().await;
        let id = bench.token().await.id;
        bench.spoil(spoiled).await;
        let failure = named("tokens", "sealed", &id);
        let deleted = bench
            .store
            .begin_deletion(
                (&account(), id),
                (START, START.plus_s(60)),
                event(Action::TokenDeletionStarted),
            )
            .await;
        assert_eq!(deleted, Err(failure.clone()));
        let charged = bench
            .store
            .begin_charge(claim("c"), charge_of(id), opening())
            .await;
        assert_eq!(charged, Err(failure));
        assert!(bench.outcomes(Action::TokenOpened).await.is_empty());
        let begun = bench.outcomes(Action::TokenDeletionStarted).await;
        assert!(begun.is_empty());
        assert_eq!(bench.number("SELECT COUNT(*) FROM charges").await, 0);
    }
}

#[tokio::test]
async fn a_charge_that_means_nothing_is_named() {
    for (column, change) in [
        ("status", "status = 'paid'"),
        ("amount", "amount = 0"),
        ("token_id", "token_id = 'nobody'"),
        ("decline_code", "status = 'declined'"),
        ("decline_code", "decline_code = 'lost_card'"),
        ("operation", "operation = 'refund', operation_key = 'k'"),
        ("operation_key", "operation = 'capture'"),
        ("processor_key", "processor_key = NULL"),
        ("contradiction", "contradiction = 'captured_after_canceled'"),
        ("contradiction", "contradicted_at_ms = 1"),
    ] {
        let bench = Bench::new().await;
        let id = bench.charge().await.id;
        bench.spoil(&format!("UPDATE charges SET {change}")).await;
        let failure = named("charges", column, &id);
        let read = bench.store.charge(&account(), id).await;
        assert_eq!(read, Err(failure.clone()), "{change}");
        let canceled = outcome(ChargeStatus::Canceled);
        let settled = settle(&bench.store, Authority::Observer, id, canceled).await;
        assert_eq!(settled, Err(failure), "{change}");
    }
}

#[tokio::test]
async fn keys_that_mean_nothing_are_named() {
    let bench = Bench::new().await;
    let value = sealed_value();
    let key = value.data_key.id;
    let canary = crate::seal::Canary {
        kek: value.data_key.kek.clone(),
        value,
    };
    bench
        .store
        .put_canary(canary, event(Action::KeysCanaryMade))
        .await
        .unwrap();
    bench
        .spoil("UPDATE key_canaries SET kek = 'nonsense'")
        .await;
    let failure = bench.store.canaries().await.unwrap_err();
    assert_eq!(failure, named("key_canaries", "kek", &"nonsense"));
    bench
        .run("UPDATE data_keys SET kek = 'nonsense'")
        .await
        .unwrap();
    let failure = bench.store.data_key(key).await.unwrap_err();
    assert_eq!(failure, named("data_keys", "kek", &key));
}

#[tokio::test]
async fn what_was_never_begun_cannot_be_finished() {
    let bench = Bench::new().await;
    let session = SessionId::new(ENVIRONMENT, START);
    let made = bench.keep(&token_of(session)).await;
    assert_eq!(made, Err(named("sessions", "id", &session)));
    let id = ChargeId::new(ENVIRONMENT, START);
    let canceled = outcome(ChargeStatus::Canceled);
    let settled = settle(&bench.store, Authority::Observer, id, canceled).await;
    assert_eq!(settled, Err(named("charges", "id", &id)));
    assert_eq!(bench.number("SELECT COUNT(*) FROM audit_events").await, 0);
}
