//! What whoever writes to the database makes the service do: nothing. Each input was obeyed once.

use hyper::Method;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, ConnectOptions};

use crate::drills::token_of;
use crate::engines::{Engine, on_both_engines};
use crate::support::{App, VISA, Who, card, eventually, request};

const MASTERCARD: &str = "5555555555554444";

on_both_engines! {
    an_inserted_refund_pays_nothing_out_and_an_inserted_charge_takes_nothing,
    a_token_given_to_another_customer_charges_nobody,
    a_session_given_to_another_customer_takes_no_card,
    a_page_shows_nothing_that_its_merchant_did_not_order,
    a_card_turned_to_another_customers_token_is_answered_with_its_own,
    a_deleted_idempotency_key_charges_nobody_twice,
    an_inserted_event_is_not_told,
}

/// Runs `sql` as the database's owner, or whoever writes the file.
pub(crate) async fn write(app: &App, sql: &str) {
    if let Some(server) = &app.server {
        server.sql(sql);
        return;
    }
    let mut database = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(app.path("cloakroom.db"))
        .busy_timeout(std::time::Duration::from_secs(20))
        .connect()
        .await
        .unwrap();
    let done = sqlx::query(AssertSqlSafe(sql)).execute(&mut database).await;
    assert!(done.unwrap().rows_affected() > 0, "{sql}");
}

/// That the row is quarantined, on the record, and that somebody is paged.
pub(crate) async fn quarantined(app: &App, table: &str, row: &str) {
    let told = format!(
        "SELECT count(*) FROM audit_events WHERE action = 'row.quarantined' AND subject = '{table}/{row}'"
    );
    eventually("a forged row is on the record", async || {
        app.count(&told).await > 0
    })
    .await;
    let paged = format!(
        "SELECT count(*) FROM alerts WHERE name = 'row_quarantined' AND severity = 'page' AND subject = '{table}'"
    );
    assert_eq!(app.count(&paged).await, 1, "{table}");
}

async fn payments(app: &App) -> usize {
    let ledger = app.ledger().await;
    ledger["payment_intents"].as_array().unwrap().len()
}

async fn an_inserted_refund_pays_nothing_out_and_an_inserted_charge_takes_nothing(engine: Engine) {
    let app = App::on(engine);
    let token = app.token(VISA).await;
    let charge = app.charge(&token, "k").await.json();
    let id = charge["id"].as_str().unwrap();
    // One that is asked for is refunded, before and after: the attack holds up nobody.
    let refund = async |key: &str| {
        let url = format!("{}/v1/refunds", app.at.internal);
        let body = json!({ "charge": id, "amount": 100 }).to_string();
        let headers = [("idempotency-key", key)];
        let asked = request(Method::POST, &url, &headers, body);
        app.send(Who::Billing, asked).await
    };
    assert_eq!(refund("r1").await.status, 201);
    let forged_refund = id.replace("chg_", "ref_");
    write(
        &app,
        &format!(
            "INSERT INTO refunds (id, account, charge_id, amount, status, processor_key, lease_until_ms, created_at_ms, updated_at_ms)
             SELECT '{forged_refund}', account, id, 900, 'processing', 'k', 0, created_at_ms, created_at_ms FROM charges WHERE id = '{id}'"
        ),
    )
    .await;
    let columns = "account, client, token_id, captured, refunded, currency, capture, off_session, metadata, disputed, created_at_ms, updated_at_ms, setup_pending, lease_token, processor_key, order_proof";
    let values = columns.replace("captured, refunded", "0, 0");
    let forged_charge = forged_id(id);
    write(
        &app,
        &format!(
            "INSERT INTO charges (id, amount, status, lease_until_ms, {columns})
             SELECT '{forged_charge}', 4321000, 'processing', 0, {values} FROM charges WHERE id = '{id}'"
        ),
    )
    .await;
    quarantined(&app, "refunds", &forged_refund).await;
    quarantined(&app, "charges", &forged_charge).await;
    assert_eq!(payments(&app).await, 1);
    let ledger: Value = app.ledger().await;
    assert!(!ledger.to_string().contains(&forged_refund), "{ledger}");
    assert_eq!(refund("r2").await.status, 201);
    assert_eq!(app.charge(&token, "k2").await.status, 201);
}

/// Another id of the same form.
fn forged_id(id: &str) -> String {
    let (head, last) = id.split_at(id.len() - 1);
    format!("{head}{}", if last == "0" { '1' } else { '0' })
}

async fn a_token_given_to_another_customer_charges_nobody(engine: Engine) {
    let app = App::on(engine);
    let token = token_of(&app, VISA, "victim").await;
    write(
        &app,
        &format!("UPDATE tokens SET customer_ref = 'thief' WHERE id = '{token}'"),
    )
    .await;
    app.charge(&token, "k").await.problem(503, "sealed");
    quarantined(&app, "tokens", &token).await;
    assert_eq!(payments(&app).await, 0);
    // Given back, it is what it was.
    write(
        &app,
        &format!("UPDATE tokens SET customer_ref = 'victim' WHERE id = '{token}'"),
    )
    .await;
    assert_eq!(app.charge(&token, "k2").await.status, 201);
}

async fn a_session_given_to_another_customer_takes_no_card(engine: Engine) {
    let app = App::on(engine);
    for change in [
        "customer_ref = 'thief'",
        "processor_customer = 'cus_thief'",
        "usage = 'on_session'",
        "client = 'spiffe://thief.example'",
        "shopper_verified = true",
        "expires_at_ms = expires_at_ms + 1",
    ] {
        let secret = app.session().await;
        let (id, _) = secret.split_once("_secret_").unwrap();
        write(
            &app,
            &format!("UPDATE sessions SET {change} WHERE id = '{id}'"),
        )
        .await;
        let answer = app.post_card(&secret, &card(VISA), &[]).await;
        answer.problem(401, "unauthenticated");
        quarantined(&app, "sessions", id).await;
    }
    let vaulted = app.ledger().await.to_string();
    assert!(!vaulted.contains("cus_thief"), "{vaulted}");
    assert_eq!(app.count("SELECT count(*) FROM tokens").await, 0);
}

async fn a_page_shows_nothing_that_its_merchant_did_not_order(engine: Engine) {
    let app = App::on(engine);
    let page = async |id: &str| {
        let url = format!("{}/pay/{id}", app.at.capture);
        let answer = app.get(Who::Nobody, &url).await;
        (answer.status, String::from_utf8(answer.body).unwrap())
    };
    let presented = async |amount: i64| {
        let order = json!({ "origin": "https://shop.example",
            "presentation": { "shop_name": "Little Theatre", "amount": amount, "currency": "eur" } });
        let made = app.order_session(&order).await.json();
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        (text("id"), text("client_secret"))
    };
    let (dear, _) = presented(999_900).await;
    let of_the_dear = format!("FROM (SELECT * FROM sessions) AS s WHERE s.id = '{dear}'");
    for change in [
        "presentation = '{\"shop_name\":\"Thief\",\"amount\":1,\"currency\":\"eur\"}'".to_owned(),
        "origin = 'https://thief.example'".to_owned(),
        // What stands on another page, with its tag.
        format!(
            "presentation = (SELECT s.presentation {of_the_dear}), presentation_mac = (SELECT s.presentation_mac {of_the_dear})"
        ),
    ] {
        let (id, secret) = presented(1250).await;
        assert!(page(&id).await.1.contains("Little Theatre"));
        write(
            &app,
            &format!("UPDATE sessions SET {change} WHERE id = '{id}'"),
        )
        .await;
        let (status, text) = page(&id).await;
        assert_eq!(status, 404, "{change}");
        assert!(!text.contains("hief") && !text.contains("999900"), "{text}");
        quarantined(&app, "sessions", &id).await;
        let answer = app.post_card(&secret, &card(VISA), &[]).await;
        answer.problem(401, "unauthenticated");
    }
    // Taken away, nothing is shown, and no card is taken for it.
    let (id, secret) = presented(1250).await;
    let nothing = "presentation = NULL, presentation_mac = NULL";
    write(
        &app,
        &format!("UPDATE sessions SET {nothing} WHERE id = '{id}'"),
    )
    .await;
    assert_eq!(page(&id).await.0, 200);
    let answer = app.post_card(&secret, &card(VISA), &[]).await;
    answer.problem(401, "unauthenticated");
    assert_eq!(app.count("SELECT count(*) FROM tokens").await, 0);
}

async fn a_card_turned_to_another_customers_token_is_answered_with_its_own(engine: Engine) {
    let app = App::on(engine);
    let victim = token_of(&app, VISA, "victim").await;
    let thief = token_of(&app, MASTERCARD, "thief").await;
    write(
        &app,
        &format!("UPDATE token_cards SET token_id = '{victim}' WHERE customer_ref = 'thief'"),
    )
    .await;
    let again = token_of(&app, MASTERCARD, "thief").await;
    assert!(again != victim && again != thief, "{again}");
    quarantined(&app, "token_cards", &victim).await;
}

async fn a_deleted_idempotency_key_charges_nobody_twice(engine: Engine) {
    let app = App::on(engine);
    let token = app.token(VISA).await;
    let first = app.charge(&token, "order-4711").await;
    assert_eq!(first.status, 201);
    write(
        &app,
        "DELETE FROM idempotency_keys WHERE key = 'order-4711'",
    )
    .await;
    let again = app.charge(&token, "order-4711").await;
    assert_eq!(again.status, 201);
    assert_eq!(again.json(), first.json(), "the answer is the first charge");
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(payments(&app).await, 1, "the processor was paid once");
}

async fn an_inserted_event_is_not_told(engine: Engine) {
    let app = App::on(engine);
    let token = app.token(VISA).await;
    assert_eq!(app.charge(&token, "k").await.status, 201);
    let feed = async || {
        let url = format!("{}/v1/events?limit=100", app.at.internal);
        app.get(Who::Billing, &url).await.json()["data"].clone()
    };
    eventually("both are in the feed", async || {
        feed().await.as_array().unwrap().len() == 2
    })
    .await;
    let id = feed().await[0]["id"].as_str().unwrap().to_owned();
    let forged = forged_id(&id);
    write(
        &app,
        &format!(
            "INSERT INTO events (id, account, kind, data, created_at_ms, order_proof)
             SELECT '{forged}', account, 'charge.succeeded', '{{\"amount\":500000}}', created_at_ms, order_proof FROM events WHERE id = '{id}'"
        ),
    )
    .await;
    quarantined(&app, "events", &forged).await;
    assert_eq!(feed().await.as_array().unwrap().len(), 2);
}
