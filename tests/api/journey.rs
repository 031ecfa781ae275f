//! The main job, end to end.

use hyper::Method;
use serde_json::json;

use crate::engines::{Engine, on_both_engines};
use crate::support::{App, CVC, VISA, Who, card, request};

on_both_engines! {
    a_card_goes_in_a_token_comes_out_and_is_charged,
    a_charge_can_be_authorized_only_and_carries_what_billing_says,
    tokens_of_a_customer_are_read_and_listed_page_by_page,
    a_forgotten_token_is_detached_erased_and_proven_gone,
    a_session_makes_one_token_and_then_no_more,
    a_session_allows_five_failed_attempts_and_no_sixth,
    a_browser_page_may_use_a_session_only_from_its_origin,
    requests_in_flight_finish_when_the_service_is_asked_to_stop,
}

async fn a_card_goes_in_a_token_comes_out_and_is_charged(engine: Engine) {
    let app = App::on(engine);

    let order = json!({
        "customer_ref": "customer-7", "origin": "https://shop.example", "expires_in_s": 600,
        "usage": "off_session", "metadata": {"cart": "c-1"},
    });
    let session = app.order_session(&order).await;
    assert_eq!(session.status, 201);
    let session = session.json();
    assert!(session["id"].as_str().unwrap().starts_with("test_cs_"));
    assert_eq!(session["origin"], "https://shop.example");
    assert_eq!(session["metadata"]["cart"], "c-1");
    assert!(session["expires_at"].as_str().unwrap().ends_with('Z'));

    let body = json!({
        "card": {"number": "4242 4242-4242 4242", "exp_month": 12, "exp_year": 2034, "cvc": CVC},
        "billing_details": {
            "name": "Zoë \"Z\" Ångström", "email": "zoe@example.org", "phone": "+46 8 123",
            "address": {"line1": "Gatan 1", "city": "Å", "postal_code": "111 22", "country": "SE"},
        },
    });
    let secret = session["client_secret"].as_str().unwrap();
    let made = app.post_card(secret, &body, &[]).await;
    assert_eq!(made.status, 201, "{}", made.json());
    assert_eq!(made.header("connection"), Some("close"));
    assert_eq!(made.header("cache-control"), Some("no-store"));
    let token = made.json();
    let id = token["id"].as_str().unwrap();
    assert!(id.starts_with("test_tok_"));
    assert_eq!(token["object"], "token");
    assert_eq!(token["status"], "active");
    assert_eq!(token["reusable"], true);
    assert_eq!(token["customer_ref"], "customer-7");
    assert_eq!(
        token["card"],
        json!({"brand": "visa", "last4": "4242", "exp_month": 12, "exp_year": 2034,
               "funding": "credit", "country": "US"})
    );

    let charged = app.charge(id, "order-1").await;
    assert_eq!(charged.status, 201, "{}", charged.json());
    let charge = charged.json();
    assert_eq!(charge["status"], "succeeded");
    assert_eq!(
        (&charge["amount"], &charge["currency"]),
        (&json!(1250), &json!("eur"))
    );
    assert_eq!(charge["token"], token["id"]);

    // The processor really made one payment of that amount, under our charge's id.
    let ledger = app.ledger().await;
    let payments = ledger["payment_intents"].as_array().unwrap();
    assert_eq!(payments.len(), 1, "{ledger}");
    assert_eq!(payments[0]["amount"], 1250);
    assert_eq!(payments[0]["status"], "succeeded");
    assert_eq!(payments[0]["metadata"]["cloakroom_charge"], charge["id"]);

    let url = format!(
        "{}/v1/charges/{}",
        app.at.internal,
        charge["id"].as_str().unwrap()
    );
    assert_eq!(app.get(Who::Billing, &url).await.json(), charge);
}

async fn a_charge_can_be_authorized_only_and_carries_what_billing_says(engine: Engine) {
    let app = App::on(engine);
    let token = app.token(VISA).await;
    let order = json!({
        "token": token, "amount": 500, "currency": "usd", "capture": false, "off_session": false,
        "description": "Two nights", "statement_descriptor_suffix": "NIGHTS",
        "metadata": {"booking": "b-1"},
    });
    let charge = app.order_charge(&order, "k").await.json();
    assert_eq!(charge["status"], "requires_capture");
    assert_eq!(charge["metadata"]["booking"], "b-1");
    assert_eq!(charge["description"], "Two nights");
    let ledger = app.ledger().await;
    assert_eq!(ledger["payment_intents"][0]["status"], "requires_capture");
}

async fn tokens_of_a_customer_are_read_and_listed_page_by_page(engine: Engine) {
    let app = App::on(engine);
    let mut made = Vec::new();
    for number in [VISA, "5555555555554444", "378282246310005"] {
        made.push(app.token(number).await);
    }
    let url = |path: &str| format!("{}{path}", app.at.internal);
    let one = app
        .get(Who::Admin, &url(&format!("/v1/tokens/{}", made[0])))
        .await;
    assert_eq!(
        (one.status, one.json()["id"].as_str()),
        (200, Some(made[0].as_str()))
    );

    let page = app
        .get(
            Who::Billing,
            &url("/v1/tokens?customer_ref=customer-1&limit=2"),
        )
        .await
        .json();
    let ids = |page: &serde_json::Value| -> Vec<String> {
        page["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|t| t["id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(page["has_more"], true);
    assert_eq!(ids(&page), [made[2].clone(), made[1].clone()]);
    let next = format!(
        "/v1/tokens?customer_ref=customer-1&limit=2&starting_after={}",
        made[1]
    );
    let page = app.get(Who::Billing, &url(&next)).await.json();
    assert_eq!(
        (page["has_more"].as_bool(), ids(&page)),
        (Some(false), vec![made[0].clone()])
    );
    let none = app
        .get(Who::Billing, &url("/v1/tokens?customer_ref=somebody-else"))
        .await
        .json();
    assert_eq!(none["data"], json!([]));
}

async fn a_forgotten_token_is_detached_erased_and_proven_gone(engine: Engine) {
    let app = App::on(engine);
    let token = app.token(VISA).await;
    let url = format!("{}/v1/tokens/{token}", app.at.internal);
    let delete = || {
        app.send(
            Who::Admin,
            request(Method::DELETE, &url, &[], String::new()),
        )
    };

    let gone = delete().await;
    assert_eq!(gone.status, 200, "{}", gone.json());
    let gone = gone.json();
    assert_eq!(
        (&gone["id"], &gone["status"]),
        (&json!(token), &json!("deleted"))
    );

    // The receipt verifies under the published key, with an independent reading of RFC 7515.
    let keys = app
        .get(
            Who::Admin,
            &format!("{}/.well-known/jwks.json", app.at.internal),
        )
        .await
        .json();
    let receipt = verify_jws(gone["receipt"].as_str().unwrap(), &keys["keys"][0]);
    assert_eq!(receipt["sub"], token.as_str());
    assert_eq!(receipt["environment"], "test");
    assert_eq!(receipt["deleted_at"], gone["deleted_at"]);

    delete().await.problem(410, "token_deleted");
    app.get(Who::Admin, &url)
        .await
        .problem(410, "token_deleted");
    app.charge(&token, "after")
        .await
        .problem(410, "token_deleted");
    let ledger = app.ledger().await;
    assert_eq!(ledger["payment_methods"][0]["detached"], true, "{ledger}");
}

fn verify_jws(jws: &str, jwk: &serde_json::Value) -> serde_json::Value {
    use base64::Engine as _;
    let decode = |text: &str| {
        base64::prelude::BASE64_URL_SAFE_NO_PAD
            .decode(text)
            .unwrap()
    };
    let parts: Vec<&str> = jws.split('.').collect();
    assert_eq!(
        (parts.len(), &jwk["kty"], &jwk["crv"]),
        (3, &json!("OKP"), &json!("Ed25519"))
    );
    let header: serde_json::Value = serde_json::from_slice(&decode(parts[0])).unwrap();
    assert_eq!(
        (&header["alg"], &header["kid"]),
        (&json!("EdDSA"), &jwk["kid"])
    );
    let key = decode(jwk["x"].as_str().unwrap());
    let signed = format!("{}.{}", parts[0], parts[1]);
    aws_lc_rs::signature::UnparsedPublicKey::new(&aws_lc_rs::signature::ED25519, key)
        .verify(signed.as_bytes(), &decode(parts[2]))
        .expect("the receipt's signature");
    serde_json::from_slice(&decode(parts[1])).unwrap()
}

async fn a_session_makes_one_token_and_then_no_more(engine: Engine) {
    let app = App::on(engine);
    let secret = app.session().await;
    assert_eq!(app.post_card(&secret, &card(VISA), &[]).await.status, 201);
    app.post_card(&secret, &card(VISA), &[])
        .await
        .problem(401, "unauthenticated");
}

async fn a_session_allows_five_failed_attempts_and_no_sixth(engine: Engine) {
    let app = App::on(engine);
    app.sandbox(
        Method::POST,
        "settings",
        &json!({"decline_at_attach": true}),
    )
    .await;
    let secret = app.session().await;
    for attempt in 0..5 {
        let bad = if attempt % 2 == 0 {
            "4000000000000002"
        } else {
            "4242424242424241"
        };
        let status = app.post_card(&secret, &card(bad), &[]).await.status;
        assert!(matches!(status, 402 | 422), "attempt {attempt}: {status}");
    }
    app.post_card(&secret, &card(VISA), &[])
        .await
        .problem(429, "rate_limited");
}

async fn a_browser_page_may_use_a_session_only_from_its_origin(engine: Engine) {
    let app = App::on(engine);
    let order = json!({"customer_ref": "c", "origin": "https://shop.example"});
    let session = app.order_session(&order).await.json();
    let secret = session["client_secret"].as_str().unwrap();

    let url = format!("{}/v1/tokens", app.at.capture);
    let preflight = |origin: &'static str| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
        ];
        app.send(
            Who::Nobody,
            request(Method::OPTIONS, &url, &headers, String::new()),
        )
    };
    let allowed = preflight("https://shop.example").await;
    assert_eq!(
        (
            allowed.status,
            allowed.header("access-control-allow-origin")
        ),
        (204, Some("https://shop.example"))
    );
    preflight("https://evil.example")
        .await
        .problem(403, "not_granted");

    let refused = app
        .post_card(secret, &card(VISA), &[("origin", "https://evil.example")])
        .await;
    refused.problem(403, "not_granted");
    assert_eq!(refused.header("access-control-allow-origin"), None);
    let made = app
        .post_card(secret, &card(VISA), &[("origin", "https://shop.example")])
        .await;
    assert_eq!(
        (made.status, made.header("access-control-allow-origin")),
        (201, Some("https://shop.example"))
    );
}

async fn requests_in_flight_finish_when_the_service_is_asked_to_stop(engine: Engine) {
    let mut app = App::on(engine);
    let token = app.token(VISA).await;
    app.sandbox(Method::POST, "settings", &json!({"latency_ms": 1500}))
        .await;
    let pid = app.pid().to_string();
    let charge = app.charge(&token, "slow");
    let stop = async {
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        std::process::Command::new("kill")
            .arg(&pid)
            .status()
            .unwrap();
    };
    let (charged, ()) = tokio::join!(charge, stop);

    assert_eq!(
        (charged.status, charged.json()["status"].as_str()),
        (201, Some("succeeded"))
    );
    let log = std::fs::read_to_string(app.path("log")).unwrap();
    assert!(app.terminate().success(), "{log}");
}
