//! The same card of the same customer is the same token, and what was vaulted for nothing is
//! forgotten at the processor. Attach: tokens without a card in sight.

use hyper::Method;
use serde_json::{Value, json};

use crate::engines::{Engine, on_both_engines};
use crate::support::{Answer, App, VISA, Who, card, eventually, request};

on_both_engines! {
    one_customers_card_is_one_token_and_the_losers_are_forgotten,
    many_posts_of_one_card_at_once_end_in_one_token,
    a_card_that_comes_back_with_a_later_expiry_renews_its_token,
    a_forgotten_card_that_comes_back_is_a_new_token,
    what_the_browser_vaulted_elsewhere_is_attached_once,
    the_very_card_of_a_token_is_not_forgotten_when_it_is_attached_again,
    an_account_without_raw_cards_can_attach_and_check_says_so,
}

const MASTERCARD: &str = "5555555555554444";

impl App {
    async fn session_of(&self, order: &Value) -> String {
        let answer = self.order_session(order).await;
        assert_eq!(answer.status, 201, "{}", answer.json());
        answer.json()["client_secret"].as_str().unwrap().to_owned()
    }

    async fn token_of(&self, order: &Value, body: &Value) -> Value {
        let secret = self.session_of(order).await;
        let answer = self.post_card(&secret, body, &[]).await;
        assert_eq!(answer.status, 201, "{}", answer.json());
        answer.json()
    }

    /// Cards attached to customers at the processor.
    async fn attached(&self) -> usize {
        let ledger = self.ledger().await;
        let methods = ledger["payment_methods"].as_array().unwrap();
        methods
            .iter()
            .filter(|method| !method["customer"].is_null())
            .count()
    }

    async fn attach(&self, body: &Value, key: Option<&str>) -> Answer {
        let url = format!("{}/v1/tokens/attach", self.at.internal);
        let headers: Vec<_> = key
            .map(|key| ("idempotency-key", key))
            .into_iter()
            .collect();
        self.send(
            Who::Checkout,
            request(Method::POST, &url, &headers, body.to_string()),
        )
        .await
    }
}

async fn one_customers_card_is_one_token_and_the_losers_are_forgotten(engine: Engine) {
    let app = App::on(engine);
    let anna = json!({ "customer_ref": "anna" });
    let first = app.token_of(&anna, &card(VISA)).await;
    let second = app.token_of(&anna, &card(VISA)).await;
    assert_eq!(first, second);
    let other_card = app.token_of(&anna, &card(MASTERCARD)).await;
    let other_customer = app
        .token_of(&json!({ "customer_ref": "bert" }), &card(VISA))
        .await;
    let guest = app.token_of(&json!({}), &card(VISA)).await;
    let other_guest = app.token_of(&json!({}), &card(VISA)).await;
    let present = app
        .token_of(
            &json!({ "customer_ref": "anna", "usage": "on_session" }),
            &card(VISA),
        )
        .await;
    let mut ids: Vec<_> = [
        &first,
        &other_card,
        &other_customer,
        &guest,
        &other_guest,
        &present,
    ]
    .map(|token| token["id"].as_str().unwrap())
    .to_vec();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 6, "each of these is a token of its own");
    eventually("only the tokens' cards are left", async || {
        app.attached().await == 6
    })
    .await;
    let charged = app.charge(first["id"].as_str().unwrap(), "charge-1").await;
    assert_eq!(charged.json()["status"], "succeeded");
}

async fn many_posts_of_one_card_at_once_end_in_one_token(engine: Engine) {
    let app = App::on(engine);
    let order = json!({ "customer_ref": "anna" });
    let mut secrets = Vec::new();
    for _ in 0..16 {
        secrets.push(app.session_of(&order).await);
    }
    let posts = secrets.iter().map(|secret| {
        let app = &app;
        async move { app.post_card(secret, &card(VISA), &[]).await.json()["id"].clone() }
    });
    let mut ids: Vec<_> = futures_util::future::join_all(posts).await;
    ids.dedup();
    assert_eq!(ids.len(), 1, "{ids:?}");
    eventually("one card is left", async || app.attached().await == 1).await;
}

async fn a_card_that_comes_back_with_a_later_expiry_renews_its_token(engine: Engine) {
    let app = App::on(engine);
    let order = json!({ "customer_ref": "anna" });
    let first = app.token_of(&order, &card(VISA)).await;
    let mut renewed = card(VISA);
    renewed["card"]["exp_year"] = json!(2036);
    let second = app.token_of(&order, &renewed).await;
    assert_eq!(first["id"], second["id"]);
    assert_eq!(second["card"]["exp_year"], 2036);
    eventually("one card is left, with the new expiry", async || {
        let ledger = app.ledger().await;
        let methods = ledger["payment_methods"].as_array().unwrap();
        let mut left = methods.iter().filter(|one| !one["customer"].is_null());
        let (Some(kept), None) = (left.next(), left.next()) else {
            return false;
        };
        let key = std::fs::read_to_string(app.path("stripe-internal.key")).unwrap();
        let bearer = format!("Bearer {}", key.trim());
        let url = format!(
            "{}/v1/payment_methods/{}",
            app.at.sandbox,
            kept["id"].as_str().unwrap()
        );
        let ask = request(
            Method::GET,
            &url,
            &[("authorization", &bearer)],
            String::new(),
        );
        let kept = crate::support::ask(&app, ask).await.json();
        kept["card"]["exp_year"] == 2036
    })
    .await;
}

async fn a_forgotten_card_that_comes_back_is_a_new_token(engine: Engine) {
    let app = App::on(engine);
    let order = json!({ "customer_ref": "anna" });
    let first = app.token_of(&order, &card(VISA)).await;
    let url = format!(
        "{}/v1/tokens/{}",
        app.at.internal,
        first["id"].as_str().unwrap()
    );
    let gone = app
        .send(
            Who::Admin,
            request(Method::DELETE, &url, &[], String::new()),
        )
        .await;
    assert_eq!(gone.status, 200);
    let second = app.token_of(&order, &card(VISA)).await;
    assert_ne!(first["id"], second["id"]);
    assert_eq!(
        app.charge(second["id"].as_str().unwrap(), "c").await.status,
        201
    );
}

async fn what_the_browser_vaulted_elsewhere_is_attached_once(engine: Engine) {
    let app = App::on(engine);
    let body = json!({ "payment_method": "pm_card_visa", "customer_ref": "anna" });
    let first = app.attach(&body, Some("attach-1")).await;
    assert_eq!(first.status, 201, "{}", first.json());
    let token = first.json();
    assert_eq!(
        (&token["card"]["last4"], &token["status"]),
        (&json!("4242"), &json!("active"))
    );
    let again = app.attach(&body, Some("attach-1")).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.json(), token);
    let other = json!({ "payment_method": "pm_card_mastercard", "customer_ref": "anna" });
    app.attach(&other, Some("attach-1"))
        .await
        .problem(422, "idempotency_mismatch");
    // The same card again, keyless or typed into the form, is the token that it is.
    assert_eq!(app.attach(&body, None).await.json()["id"], token["id"]);
    let typed = app
        .token_of(&json!({ "customer_ref": "anna" }), &card(VISA))
        .await;
    assert_eq!(typed["id"], token["id"]);
    let charged = app.charge(token["id"].as_str().unwrap(), "charge-1").await;
    assert_eq!(charged.json()["status"], "succeeded");

    let declined = json!({ "payment_method": "pm_card_chargeDeclined" });
    assert!(matches!(
        app.attach(&declined, None).await.status,
        201 | 402
    ));
    let unknown = json!({ "payment_method": "pm_1Nothing" });
    app.attach(&unknown, None).await.problem(404, "not_found");
    for payment_method in ["", "pm_", "cus_1", "pm_a/b", "pm_a b", "4242424242424242"] {
        let body = json!({ "payment_method": payment_method });
        app.attach(&body, None)
            .await
            .problem(422, "invalid_request");
    }
    let url = format!("{}/v1/tokens/attach", app.at.internal);
    app.call(Who::Billing, Method::POST, &url, &body)
        .await
        .problem(403, "not_granted");
}

async fn the_very_card_of_a_token_is_not_forgotten_when_it_is_attached_again(engine: Engine) {
    let app = App::on(engine);
    let body = json!({ "payment_method": "pm_card_visa", "customer_ref": "anna" });
    let token = app.attach(&body, None).await.json();
    // The processor's own name of it, as the browser would have been given it.
    let method = app.ledger().await["payment_methods"][0]["id"].clone();
    let very = json!({ "payment_method": method, "customer_ref": "anna" });
    let again = app.attach(&very, None).await;
    assert_eq!(again.json()["id"], token["id"]);
    // Another card that is this one comes later, and is forgotten: so would the first have been.
    assert_eq!(app.attach(&body, None).await.json()["id"], token["id"]);
    eventually("what is to be forgotten is forgotten", async || {
        let ledger = app.ledger().await;
        let methods = ledger["payment_methods"].as_array().unwrap();
        methods.iter().any(|method| method["detached"] == true)
    })
    .await;
    let charged = app.charge(token["id"].as_str().unwrap(), "charge-1").await;
    assert_eq!(charged.json()["status"], "succeeded", "{}", charged.json());
}

async fn an_account_without_raw_cards_can_attach_and_check_says_so(engine: Engine) {
    let app = App::on(engine);
    app.sandbox(Method::POST, "settings", &json!({ "raw_cards": false }))
        .await;
    let secret = app.session().await;
    app.post_card(&secret, &card(VISA), &[])
        .await
        .problem(503, "processor_unavailable");
    let attached = app
        .attach(&json!({ "payment_method": "pm_card_visa" }), None)
        .await;
    assert_eq!(attached.status, 201, "{}", attached.json());
    let check = || {
        let done = std::process::Command::new(env!("CARGO_BIN_EXE_cloakroom"))
            .args(["check", "--config"])
            .arg(app.path("cloakroom.toml"))
            .output()
            .unwrap();
        String::from_utf8(done.stdout).unwrap()
    };
    let said = check();
    assert!(
        said.contains("raw cards") && said.contains("/v1/tokens/attach"),
        "{said}"
    );
    app.sandbox(Method::POST, "settings", &json!({ "raw_cards": true }))
        .await;
    let said = check();
    assert!(
        said.contains("raw cards") && !said.contains("/v1/tokens/attach"),
        "{said}"
    );
}
