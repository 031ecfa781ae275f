//! The page of a charge: a link that holds after a try that failed, and confirms one payment only.

use hyper::Method;
use serde_json::{Value, json};

use crate::engines::{Engine, on_both_engines};
use crate::orders::{quarantined, write};
use crate::support::{Answer, App, VISA, Who, eventually, request};

on_both_engines! {
    a_shopper_who_failed_tries_again_and_pays_once,
    a_page_shows_and_does_nothing_without_its_secret,
    a_page_into_which_somebody_wrote_is_told_nothing,
    nothing_is_confirmed_with_a_card_that_was_deleted,
    a_confirmation_whose_answer_is_lost_is_one_confirmation,
    a_charge_that_waits_for_its_shopper_is_canceled_and_its_page_says_so,
    a_charge_whose_page_is_over_is_declined,
    a_page_that_cannot_be_shown_is_refused,
}

/// A card whose every payment is authenticated by the shopper.
const ALWAYS_AUTHENTICATED: &str = "4000002760003184";

/// A charge with a page.
struct Hosted {
    id: String,
    secret: String,
    /// Where the script of its page asks.
    at: String,
    made: Value,
}

async fn hosted(app: &App, key: &str) -> Hosted {
    let token = app.token(ALWAYS_AUTHENTICATED).await;
    let order = json!({ "token": token, "amount": 1250, "currency": "eur", "off_session": true,
        "origin": "https://shop.example", "return_path": "/bills?n=7",
        "hosted_page": { "shop_name": "Little Theatre" } });
    let answer = app.order_charge(&order, key).await;
    assert_eq!(answer.status, 201, "{}", answer.json());
    let made = answer.json();
    let again = app.order_charge(&order, key).await.json();
    assert_eq!(again["hosted_page"], made["hosted_page"]);
    let link = made["hosted_page"]["url"].as_str().unwrap();
    let (at, secret) = link.split_once('#').unwrap();
    Hosted {
        id: made["id"].as_str().unwrap().to_owned(),
        secret: secret.to_owned(),
        at: at.to_owned(),
        made,
    }
}

impl App {
    async fn page_asks(&self, at: &str, secret: &str, body: &Value) -> Answer {
        let bearer = format!("Bearer {secret}");
        let headers = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
        ];
        let asked = request(Method::POST, at, &headers, body.to_string());
        self.send(Who::Nobody, asked).await
    }

    /// Asks as the page's script does, and waits for the answer.
    async fn page_told(&self, page: &Hosted, ask: &str) -> Value {
        let first = self
            .page_asks(&page.at, &page.secret, &json!({ "ask": ask }))
            .await;
        assert_eq!(first.status, 200, "{}", first.json());
        eventually("the page is answered", async || {
            let told = self.page_asks(&page.at, &page.secret, &json!({})).await;
            told.json()["answered"] == true
        })
        .await;
        self.page_asks(&page.at, &page.secret, &json!({}))
            .await
            .json()
    }
}

async fn a_shopper_who_failed_tries_again_and_pays_once(engine: Engine) {
    let app = App::on(engine);
    let page = hosted(&app, "bill-7").await;
    assert_eq!(page.made["status"], "requires_action", "{}", page.made);
    assert!(page.at.ends_with(&format!("/pay/charges/{}", page.id)));
    // Nobody else is shown the link.
    assert_eq!(app.charge_now(&page.id).await["hosted_page"], Value::Null);

    let told = app.page_told(&page, "look").await;
    for (member, value) in [
        ("amount", json!(1250)),
        ("currency", json!("eur")),
        ("shop_name", json!("Little Theatre")),
        ("status", json!("requires_action")),
        (
            "back",
            json!(format!(
                "https://shop.example/bills?n=7&cloakroom_charge={}",
                page.id
            )),
        ),
    ] {
        assert_eq!(told[member], value, "{member}");
    }
    let mut pages = Vec::new();
    // Each press leads to the issuer, whatever became of the press before.
    for _ in 0..3 {
        let told = app.page_told(&page, "challenge").await;
        let issuer = told["redirect_url"].as_str().unwrap().to_owned();
        let back = app.back_from_issuer(&issuer, "fail").await;
        assert!(back.starts_with(&page.at), "{back}");
        // What is only looked at is not confirmed: the shopper has pressed nothing.
        for _ in 0..2 {
            let told = app.page_told(&page, "look").await;
            assert_eq!(told["status"], "requires_action", "{told}");
            assert_eq!(told["redirect_url"], Value::Null, "{told}");
        }
        let charge = app.charge_now(&page.id).await;
        assert_eq!(charge["status"], "requires_action", "{charge}");
        assert_eq!(charge["next_action"], Value::Null, "{charge}");
        assert!(!pages.contains(&issuer), "{issuer}");
        pages.push(issuer);
    }
    let told = app.page_told(&page, "challenge").await;
    let issuer = told["redirect_url"].as_str().unwrap();
    app.back_from_issuer(issuer, "complete").await;
    let told = app.page_told(&page, "look").await;
    assert_eq!(told["status"], "succeeded", "{told}");
    // Pressed once more by another tab, it stays one payment.
    let told = app.page_told(&page, "challenge").await;
    assert_eq!(
        (&told["status"], &told["redirect_url"]),
        (&json!("succeeded"), &Value::Null)
    );
    assert_eq!(app.paid_for(&page).await, (json!(1), json!(1250)));
}

async fn a_page_shows_and_does_nothing_without_its_secret(engine: Engine) {
    let app = App::on(engine);
    let page = hosted(&app, "bill-7").await;
    let shell = app.get(Who::Nobody, &page.at).await;
    assert_eq!(shell.status, 200);
    let text = String::from_utf8(shell.body.clone()).unwrap();
    assert!(!text.contains("1250") && !text.contains("Little"), "{text}");
    let policy = shell.header("content-security-policy").unwrap();
    assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("report-uri"));
    let other = hosted(&app, "bill-8").await;
    let end = page.secret.len() - 1;
    for secret in [
        String::new(),
        "x".to_owned(),
        page.id.clone(),
        format!("{}x", &page.secret[..end]),
        format!("{}_secret_", page.id),
        other.secret.clone(),
    ] {
        let answer = app
            .page_asks(&page.at, &secret, &json!({ "ask": "challenge" }))
            .await;
        answer.problem(401, "unauthenticated");
    }
    let answer = app
        .page_asks(&page.at, &page.secret, &json!({ "ask": "money" }))
        .await;
    answer.problem(422, "invalid_request");
    let asked = "SELECT count(*) FROM charge_pages WHERE asked > 0";
    assert_eq!(app.count(asked).await, 0);
    // A charge without a page has none.
    let plain = app.token(VISA).await;
    let made = app.charge(&plain, "plain").await.json();
    assert_eq!(made["hosted_page"], Value::Null);
    let nowhere = format!("{}/pay/charges/x", app.at.capture);
    assert_eq!(app.get(Who::Nobody, &nowhere).await.status, 404);
}

async fn a_page_into_which_somebody_wrote_is_told_nothing(engine: Engine) {
    let app = App::on(engine);
    for (key, change) in [
        ("a", "amount = 1"),
        ("b", "shop_name = 'Thief'"),
        ("c", "return_url = 'https://thief.example/'"),
        ("d", "redirect_url = 'https://thief.example/'"),
        ("e", "status = 'succeeded'"),
        ("f", "expires_at_ms = expires_at_ms + 1"),
    ] {
        let page = hosted(&app, key).await;
        app.page_told(&page, "look").await;
        write(
            &app,
            &format!(
                "UPDATE charge_pages SET {change} WHERE charge_id = '{}'",
                page.id
            ),
        )
        .await;
        let answer = app.page_asks(&page.at, &page.secret, &json!({})).await;
        answer.problem(401, "unauthenticated");
        quarantined(&app, "charge_pages", &page.id).await;
    }
    // A question that no shopper has asked confirms nothing.
    let page = hosted(&app, "g").await;
    let told = app.page_told(&page, "challenge").await;
    app.back_from_issuer(told["redirect_url"].as_str().unwrap(), "fail")
        .await;
    app.page_told(&page, "look").await;
    write(
        &app,
        &format!(
            "UPDATE charge_pages SET asked = asked + 1, asked_for = 'challenge' WHERE charge_id = '{}'",
            page.id
        ),
    )
    .await;
    quarantined(&app, "charge_pages", &page.id).await;
    let charge = app.charge_now(&page.id).await;
    assert_eq!(charge["next_action"], Value::Null, "{charge}");
}

impl App {
    /// Lets the shopper fail once.
    async fn failed_once(&self, page: &Hosted) {
        let told = self.page_told(page, "challenge").await;
        let issuer = told["redirect_url"].as_str().unwrap().to_owned();
        self.back_from_issuer(&issuer, "fail").await;
        let told = self.page_told(page, "look").await;
        assert_eq!(told["redirect_url"], Value::Null, "{told}");
    }

    /// How many payments there are of its charge, and how much was taken.
    async fn paid_for(&self, page: &Hosted) -> (Value, Value) {
        let path = format!("ledger/charges/{}", page.id);
        let summary = self.sandbox(Method::GET, &path, &Value::Null).await.json();
        (
            summary["payments"].clone(),
            summary["amount_captured"].clone(),
        )
    }
}

async fn a_confirmation_whose_answer_is_lost_is_one_confirmation(engine: Engine) {
    let app = App::on(engine);
    let page = hosted(&app, "bill-7").await;
    app.failed_once(&page).await;
    // More often than a call is repeated by itself.
    app.fault(
        &json!({ "path": "/v1/payment_intents/*/confirm", "method": "POST", "times": 5,
        "fault": "cut_after" }),
    )
    .await;
    let told = app.page_told(&page, "challenge").await;
    let issuer = told["redirect_url"].as_str().unwrap();
    // The second try, however often it was asked for.
    assert!(issuer.ends_with("/2"), "{issuer}");
    app.back_from_issuer(issuer, "complete").await;
    assert_eq!(app.page_told(&page, "look").await["status"], "succeeded");
    assert_eq!(app.paid_for(&page).await, (json!(1), json!(1250)));
}

async fn a_charge_that_waits_for_its_shopper_is_canceled_and_its_page_says_so(engine: Engine) {
    let app = App::on(engine);
    let page = hosted(&app, "bill-7").await;
    app.failed_once(&page).await;
    let url = format!("{}/v1/charges/{}/cancel", app.at.internal, page.id);
    let headers = [("idempotency-key", "cancel-7")];
    let cancel = request(Method::POST, &url, &headers, String::new());
    let canceled = app.send(Who::Billing, cancel).await;
    assert_eq!(
        (canceled.status, &canceled.json()["status"]),
        (200, &json!("canceled"))
    );
    for ask in ["look", "challenge"] {
        let told = app.page_told(&page, ask).await;
        assert_eq!(
            (&told["status"], &told["redirect_url"]),
            (&json!("canceled"), &Value::Null)
        );
    }
    assert_eq!(app.paid_for(&page).await, (json!(1), json!(0)));
}

async fn nothing_is_confirmed_with_a_card_that_was_deleted(engine: Engine) {
    let app = App::on(engine);
    let page = hosted(&app, "bill-7").await;
    app.failed_once(&page).await;
    let charge = app.charge_now(&page.id).await;
    let token = charge["token"].as_str().unwrap();
    let url = format!("{}/v1/tokens/{token}", app.at.internal);
    let delete = request(Method::DELETE, &url, &[], String::new());
    assert_eq!(app.send(Who::Admin, delete).await.status, 200);
    let told = app.page_told(&page, "challenge").await;
    assert_eq!(told["redirect_url"], Value::Null, "{told}");
    assert_eq!(app.paid_for(&page).await, (json!(1), json!(0)));
}

/// The database's owner writes between the look at the row and the question.
#[tokio::test]
async fn a_row_that_is_changed_while_its_page_asks_sends_the_shopper_nowhere() {
    let app = App::on(Engine::Postgres);
    let page = hosted(&app, "bill-7").await;
    app.page_told(&page, "challenge").await;
    let server = app.server.as_ref().unwrap();
    let id = &page.id;
    let mut held = crate::support::postgres::program("psql")
        .args(["-XAtq", "-U", "owner", "-d", "postgres", "-h"])
        .arg(server.directory())
        .arg("-c")
        .arg(format!(
            "BEGIN;
             UPDATE charge_pages SET redirect_url = 'https://thief.example/' WHERE charge_id = '{id}';
             SELECT pg_sleep(2);
             COMMIT"
        ))
        .spawn()
        .unwrap();
    eventually("the row is held", async || {
        app.count("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
            .await
            == 1
    })
    .await;
    let pressed = json!({ "ask": "look" });
    let answer = app.page_asks(&page.at, &page.secret, &pressed).await;
    assert!(held.wait().unwrap().success());
    answer.problem(401, "unauthenticated");
    quarantined(&app, "charge_pages", id).await;
}

async fn a_charge_whose_page_is_over_is_declined(engine: Engine) {
    // As long as a page may be shown at least, plus what a busy machine needs.
    let app = App::on(engine);
    let token = app.token(ALWAYS_AUTHENTICATED).await;
    let order = json!({ "token": token, "amount": 1250, "currency": "eur",
        "hosted_page": { "expires_in_s": 60 } });
    let made = app.order_charge(&order, "k").await.json();
    let id = made["id"].as_str().unwrap();
    let issuer = made["next_action"]["redirect_url"].as_str().unwrap();
    app.back_from_issuer(issuer, "fail").await;
    // One whose link nobody opens: its first way to the issuer ends with it.
    let unopened = app.order_charge(&order, "unopened").await.json();
    assert_eq!(unopened["status"], "requires_action", "{unopened}");
    // Without a page the same is a decline.
    let plain = json!({ "token": token, "amount": 1250, "currency": "eur" });
    let other = app.order_charge(&plain, "l").await.json();
    let issuer = other["next_action"]["redirect_url"].as_str().unwrap();
    app.back_from_issuer(issuer, "fail").await;
    let other = other["id"].as_str().unwrap();
    eventually("the charge without a page is declined", async || {
        app.charge_now(other).await["status"] == "declined"
    })
    .await;
    assert_eq!(app.charge_now(id).await["status"], "requires_action");
    tokio::time::sleep(std::time::Duration::from_secs(58)).await;
    eventually("the charge whose page is over is declined", async || {
        app.charge_now(id).await["status"] == "declined"
    })
    .await;
    let id = unopened["id"].as_str().unwrap();
    eventually("so is the charge whose link nobody opened", async || {
        app.charge_now(id).await["status"] == "declined"
    })
    .await;
    let there = app.payment_of(id).await;
    let sums = [&there["payments"], &there["canceled"], &there["paid"]];
    assert_eq!(sums, [&json!(1), &json!(1), &json!(0)], "{there}");
}

async fn a_page_that_cannot_be_shown_is_refused(engine: Engine) {
    let app = App::on(engine);
    let token = app.token(VISA).await;
    for (page, pointer) in [
        (json!({ "expires_in_s": 59 }), "/hosted_page/expires_in_s"),
        (
            json!({ "expires_in_s": 2_592_001 }),
            "/hosted_page/expires_in_s",
        ),
        (json!({ "shop_name": "" }), "/hosted_page/shop_name"),
        (
            json!({ "shop_name": "4242424242424242" }),
            "/hosted_page/shop_name",
        ),
    ] {
        let order = json!({ "token": token, "amount": 1250, "currency": "eur",
            "hosted_page": page });
        let refused = app
            .order_charge(&order, "k")
            .await
            .problem(422, "invalid_request");
        assert_eq!(refused["errors"][0]["pointer"], pointer);
    }
}
