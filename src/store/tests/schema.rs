//! The schema refuses by itself what the code never writes.

use super::*;

/// A session, a token and an unsettled charge, in the tables.
async fn filled() -> Bench {
    let bench = Bench::new().await;
    bench.charge().await;
    bench
}

async fn refuses(statements: &[&str]) {
    let bench = filled().await;
    for statement in statements {
        let refused = bench.run(statement).await;
        let words = refused.expect_err(statement);
        assert!(
            words.contains("constraint failed") || words.contains("cannot store"),
            "{statement}: {words}"
        );
    }
}

async fn refused_by_trigger(bench: &Bench, statement: &str, words: &str) {
    let refused = bench.run(statement).await.expect_err(statement);
    assert!(refused.contains(words), "{statement}: {refused}");
}

#[tokio::test]
async fn a_session_is_never_in_an_illegal_state() {
    refuses(&[
        "UPDATE sessions SET attempts_left = -1",
        "UPDATE sessions SET attempts_made = -1",
        "UPDATE sessions SET expires_at_ms = created_at_ms",
        "UPDATE sessions SET usage = 'sometimes'",
        "UPDATE sessions SET metadata = '{'",
        "UPDATE sessions SET secret_mac = x'00'",
        "UPDATE sessions SET secret_mac = 'text'",
        "UPDATE sessions SET token_id = NULL",
        "UPDATE sessions SET busy_until_ms = 1",
        "UPDATE sessions SET token_id = 'nobody'",
        "UPDATE sessions SET account = ''",
        "UPDATE sessions SET attempts_left = 'many'",
        "DELETE FROM sessions",
    ])
    .await;
}

#[tokio::test]
async fn a_token_is_never_in_an_illegal_state() {
    refuses(&[
        "UPDATE tokens SET sealed = NULL",
        "UPDATE tokens SET sealed = x''",
        "UPDATE tokens SET deleted_at_ms = created_at_ms",
        "UPDATE tokens SET last4 = '424'",
        "UPDATE tokens SET last4 = '42424'",
        "UPDATE tokens SET last4 = '424x'",
        "UPDATE tokens SET last4 = '4242424242424242'",
        "UPDATE tokens SET exp_month = 0",
        "UPDATE tokens SET exp_month = 13",
        "UPDATE tokens SET exp_year = 30",
        "UPDATE tokens SET country = 'usa'",
        "UPDATE tokens SET usage = 'sometimes'",
        "UPDATE tokens SET data_key_id = 'nobody'",
        "UPDATE tokens SET data_key_id = NULL",
        "UPDATE tokens SET metadata = 'no json'",
        "DELETE FROM tokens",
        "DELETE FROM data_keys",
        "UPDATE data_keys SET wrapped = x''",
    ])
    .await;
    let bench = filled().await;
    // A tombstone with a value, and one without its date.
    bench
        .run("UPDATE tokens SET status = 'deleting'")
        .await
        .unwrap();
    for statement in [
        "UPDATE tokens SET status = 'deleted', deleted_at_ms = 1",
        "UPDATE tokens SET status = 'deleted', sealed = NULL",
    ] {
        let words = bench.run(statement).await.expect_err(statement);
        assert!(words.contains("CHECK constraint failed"), "{words}");
    }
    let whole =
        "UPDATE tokens SET status = 'deleted', sealed = NULL, deleted_at_ms = created_at_ms";
    assert_eq!(bench.run(whole).await, Ok(1));
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one stage for all of them")]
async fn a_charge_is_never_in_an_illegal_state() {
    refuses(&[
        "UPDATE charges SET status = 'paid'",
        "UPDATE charges SET lease_until_ms = NULL",
        "UPDATE charges SET status = 'succeeded', payment = 'pi_1', lease_until_ms = NULL",
        "UPDATE charges SET status = 'succeeded', payment = 'pi_1', captured = 1",
        "UPDATE charges SET captured = 1",
        "UPDATE charges SET refunded = 1",
        "UPDATE charges SET operation = 'capture', operation_amount = 1",
        "UPDATE charges SET operation = 'nothing'",
        "UPDATE charges SET operation_amount = 1",
        "UPDATE charges SET operation_id = ''",
        "UPDATE charges SET operation_key = ''",
        "UPDATE charges SET processor_key = ''",
        "UPDATE charges SET lease_token = 0",
        "UPDATE charges SET contradiction = ''",
        "UPDATE charges SET cvc_check = 'maybe'",
        "UPDATE charges SET postal_code_check = 'maybe'",
        "UPDATE charges SET network_transaction_id = ''",
        "UPDATE charges SET version = NULL",
        "UPDATE charges SET status = 'succeeded', payment = 'pi_1', lease_until_ms = NULL, captured = amount + 1",
        "UPDATE charges SET status = 'succeeded', payment = 'pi_1', lease_until_ms = NULL, captured = 5, refunded = 6",
        "UPDATE charges SET status = 'requires_capture', payment = 'pi_1', operation = 'capture', operation_amount = amount + 1",
        "UPDATE charges SET status = 'requires_capture', payment = 'pi_1', operation = 'capture'",
        "UPDATE charges SET status = 'requires_capture', payment = 'pi_1', operation = 'cancel', lease_until_ms = NULL",
        "UPDATE charges SET status = 'requires_action', payment = 'pi_1', operation = 'capture', operation_amount = 1",
        "UPDATE charges SET status = 'succeeded', lease_until_ms = NULL",
        "UPDATE charges SET status = 'requires_capture', lease_until_ms = NULL",
        "UPDATE charges SET status = 'requires_action', lease_until_ms = NULL",
        "UPDATE charges SET status = 'declined', lease_until_ms = NULL",
        "UPDATE charges SET status = 'declined', lease_until_ms = NULL, decline_code = 'lost_card'",
        "UPDATE charges SET decline_code = 'lost_card'",
        "UPDATE charges SET decline_retryable = 1",
        "UPDATE charges SET decline_advice = 'stop'",
        "UPDATE charges SET redirect_url = 'https://issuer.example'",
        "UPDATE charges SET metadata = ''",
        "DELETE FROM tokens WHERE id IN (SELECT token_id FROM charges)",
    ])
    .await;
    let bench = filled().await;
    let copy = |changed: &str, value: &str| {
        let columns = "id, account, client, token_id, amount, captured, refunded, currency, capture, off_session, metadata, status, disputed, lease_until_ms, created_at_ms, updated_at_ms";
        let values: Vec<_> = columns
            .split(", ")
            .map(|column| match column {
                "id" => "'chg_copy'",
                column if column == changed => value,
                column => column,
            })
            .collect();
        let values = values.join(", ");
        format!("INSERT INTO charges ({columns}) SELECT {values} FROM charges LIMIT 1")
    };
    for (column, value) in [
        ("amount", "0"),
        ("amount", "-1"),
        ("amount", "NULL"),
        ("currency", "'EUR'"),
        ("currency", "'euro'"),
        ("currency", "'e1r'"),
        ("capture", "2"),
        ("off_session", "2"),
        ("token_id", "'nobody'"),
    ] {
        let words = bench.run(&copy(column, value)).await.expect_err(value);
        assert!(
            words.contains("constraint failed"),
            "{column} {value}: {words}"
        );
    }
    assert_eq!(
        bench.run(&copy("amount", "1")).await,
        Ok(1),
        "the copy itself is legal"
    );
}

#[tokio::test]
async fn a_key_is_never_in_an_illegal_state() {
    refuses(&[
        "UPDATE idempotency_keys SET request_hash = x'00'",
        "UPDATE idempotency_keys SET expires_at_ms = created_at_ms",
        "UPDATE idempotency_keys SET key = ''",
        "UPDATE idempotency_keys SET replays = -1",
        "INSERT INTO idempotency_keys SELECT * FROM idempotency_keys",
        "INSERT INTO write_probe (id, written_at_ms) VALUES (2, 0)",
    ])
    .await;
}

#[tokio::test]
async fn a_charge_takes_only_legal_steps() {
    use ChargeStatus::{
        Canceled, Declined, Processing, RequiresAction, RequiresCapture, Succeeded,
    };
    let all = [
        Processing,
        Succeeded,
        RequiresCapture,
        RequiresAction,
        Declined,
        Canceled,
    ];
    let legal = |from, to| match from {
        Processing | RequiresAction => true,
        RequiresCapture => matches!(to, RequiresCapture | Succeeded | Canceled),
        Succeeded | Declined | Canceled => from == to,
    };
    let step = |to: ChargeStatus| {
        let name = to.name();
        let lease = if to == Processing { "1" } else { "NULL" };
        let captured = if to == Succeeded { "amount" } else { "0" };
        let (code, retryable) = if to == Declined {
            ("'lost_card'", "0")
        } else {
            ("NULL", "NULL")
        };
        format!(
            "UPDATE charges SET status = '{name}', payment = 'pi_1', captured = {captured}, lease_until_ms = {lease}, decline_code = {code}, decline_retryable = {retryable}"
        )
    };
    for from in all {
        for to in all {
            let bench = filled().await;
            bench.run(&step(from)).await.unwrap();
            let stepped = bench.run(&step(to)).await;
            assert_eq!(
                stepped.is_ok(),
                legal(from, to),
                "{from:?} to {to:?}: {stepped:?}"
            );
            if let Err(words) = stepped {
                let known = ["illegal transition", "captured does not change"];
                assert!(known.iter().any(|known| words.contains(known)), "{words}");
            }
        }
    }
}

#[tokio::test]
async fn a_token_takes_only_legal_steps() {
    let bench = filled().await;
    let illegal = "illegal transition";
    refused_by_trigger(
        &bench,
        "UPDATE tokens SET status = 'requires_action'",
        illegal,
    )
    .await;
    let erase =
        "UPDATE tokens SET status = 'deleted', sealed = NULL, deleted_at_ms = 2000000000000";
    refused_by_trigger(&bench, erase, illegal).await;
    bench
        .run("UPDATE tokens SET status = 'deleting'")
        .await
        .unwrap();
    refused_by_trigger(&bench, "UPDATE tokens SET status = 'active'", illegal).await;
    bench.run(erase).await.unwrap();
    let revive = "UPDATE tokens SET status = 'active', sealed = x'01', deleted_at_ms = NULL";
    refused_by_trigger(&bench, revive, illegal).await;
}

#[tokio::test]
async fn what_was_asked_for_is_never_rewritten() {
    let bench = filled().await;
    for column in [
        "amount = 1",
        "currency = 'usd'",
        "account = 'brand'",
        "token_id = 'x'",
        "id = 'x'",
    ] {
        let statement = format!("UPDATE charges SET {column}");
        refused_by_trigger(&bench, &statement, "identity does not change").await;
    }
    bench
        .run("UPDATE charges SET payment = 'pi_1'")
        .await
        .unwrap();
    for statement in [
        "UPDATE charges SET payment = 'pi_2'",
        "UPDATE charges SET payment = NULL",
    ] {
        refused_by_trigger(&bench, statement, "payment does not change").await;
    }
    for column in ["account = 'brand'", "id = 'x'", "session_id = NULL"] {
        let statement = format!("UPDATE tokens SET {column}");
        refused_by_trigger(&bench, &statement, "identity does not change").await;
    }
}

#[tokio::test]
async fn the_audit_log_only_grows() {
    let bench = filled().await;
    let before = bench.number("SELECT COUNT(*) FROM audit_events").await;
    for statement in [
        "UPDATE audit_events SET outcome = 'refused'",
        "UPDATE audit_events SET id = 'x' WHERE rowid = 1",
        "DELETE FROM audit_events",
        "DELETE FROM audit_events WHERE rowid = 1",
        "INSERT OR REPLACE INTO audit_events SELECT * FROM audit_events",
        "INSERT INTO audit_events SELECT * FROM audit_events LIMIT 1",
    ] {
        refused_by_trigger(&bench, statement, "append-only").await;
    }
    assert_eq!(
        bench.number("SELECT COUNT(*) FROM audit_events").await,
        before
    );
    refuses(&[
        "INSERT INTO audit_events SELECT 'evt_1', at_ms, 'root', actor, action, outcome, account, subject, origin, node, request_id, writer FROM audit_events LIMIT 1",
        "INSERT INTO audit_events SELECT 'evt_1', at_ms, 'process', 'me', action, outcome, account, subject, origin, node, request_id, writer FROM audit_events LIMIT 1",
        "INSERT INTO audit_events SELECT 'evt_1', at_ms, 'client', NULL, action, outcome, account, subject, origin, node, request_id, writer FROM audit_events LIMIT 1",
        "INSERT INTO audit_events SELECT 'evt_1', at_ms, actor_kind, actor, 'charged', outcome, account, subject, origin, node, request_id, writer FROM audit_events LIMIT 1",
        "INSERT INTO audit_events SELECT 'evt_1', at_ms, actor_kind, actor, action, 'maybe', account, subject, origin, node, request_id, writer FROM audit_events LIMIT 1",
        "INSERT INTO audit_events SELECT 'evt_1', at_ms, actor_kind, actor, action, outcome, account, subject, '', node, request_id, writer FROM audit_events LIMIT 1",
    ])
    .await;
}

#[tokio::test]
async fn every_column_has_a_comment_that_says_sealed_or_clear() {
    let bench = Bench::new().await;
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE '\\_%' ESCAPE '\\' AND name NOT LIKE 'sqlite%'",
    )
    .fetch_all(&mut bench.aside().await)
    .await
    .unwrap();
    assert_eq!(tables.len(), 37);
    for sql in tables {
        assert!(sql.ends_with("STRICT"), "{sql}");
        let columns = sql.lines().filter(|line| {
            let first = line.split_whitespace().nth(1).unwrap_or_default();
            ["TEXT", "BLOB", "INTEGER"].contains(&first)
        });
        let mut count = 0;
        for column in columns {
            let (_, comment) = column.split_once("--").expect(column);
            let kind = ["clear", "sealed", "keyed hash"];
            assert!(kind.iter().any(|kind| comment.ends_with(kind)), "{column}");
            count += 1;
        }
        assert!(count >= 2, "{sql}");
    }
}
