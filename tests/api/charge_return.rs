//! After the issuer's page a charge's shopper comes back into the shop that the merchant named, and
//! its backend is told how the charge stands now.

use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::{Value, json};

use crate::engines::{Engine, on_both_engines};
use crate::support::{Answer, App, VISA, Who};

on_both_engines! {
    a_charges_shopper_is_led_back_to_the_shop_that_the_merchant_named,
    a_way_back_that_is_no_path_of_the_shop_is_refused,
    a_reader_is_answered_while_the_processor_is_silent_or_fails,
}

/// A card whose every payment is authenticated by the shopper.
const ALWAYS_AUTHENTICATED: &str = "4000002760003184";

fn text(page: &Answer) -> String {
    String::from_utf8_lossy(&page.body).into_owned()
}

fn order(token: &str, origin: &str, path: &str) -> Value {
    json!({
        "token": token, "amount": 1250, "currency": "eur", "off_session": false,
        "origin": origin, "return_path": path,
    })
}

async fn a_charges_shopper_is_led_back_to_the_shop_that_the_merchant_named(engine: Engine) {
    let app = App::on(engine);
    let token = app.token(ALWAYS_AUTHENTICATED).await;
    for (key, pressed, told, status) in [
        ("k-1", "complete", "succeeded", "succeeded"),
        ("k-2", "fail", "failed", "declined"),
    ] {
        let order = order(&token, "https://Shop.example", "/thanks?order=7");
        let made = app.order_charge(&order, key).await.json();
        assert_eq!(made["status"], "requires_action", "{made}");
        let id = made["id"].as_str().unwrap();
        let issuer = made["next_action"]["redirect_url"].as_str().unwrap();
        let back = app.back_from_issuer(issuer, pressed).await;

        // On to the shop, with the charge's id and nothing secret.
        let page = app.get(Who::Nobody, &back).await;
        assert_eq!(page.status, 200);
        let href = format!(
            "href=\"https://shop.example/thanks?order=7&amp;cloakroom_charge={id}&amp;cloakroom_status={told}\""
        );
        assert!(text(&page).contains(&href), "{}", text(&page));
        assert!(!text(&page).contains("_secret_"), "{}", text(&page));

        // Nobody else's shop, and no other charge.
        for changed in [
            back.replace("shop.example", "evil.example"),
            back.replace("order%3D7", "order%3D8"),
            back.replace("tag=", "tag=A"),
            back.replace(id, "test_chg_01h455vb4pex5vsknk084sn02q"),
        ] {
            assert_ne!(changed, back);
            let page = app.get(Who::Nobody, &changed).await;
            assert!(!text(&page).contains("href="), "{}", text(&page));
        }

        // The backend that asks now is told what is so now.
        let url = format!("{}/v1/charges/{id}", app.at.internal);
        let read = app.get(Who::Billing, &url).await.json();
        assert_eq!(read["status"], status, "{read}");
    }
}

async fn a_way_back_that_is_no_path_of_the_shop_is_refused(engine: Engine) {
    let app = App::on(engine);
    let token = app.token(VISA).await;
    let shop = "https://shop.example";
    for (origin, path, pointer, reason) in [
        ("http://shop.example", "/", "/origin", "not_an_https_origin"),
        (
            "https://shop.example/a",
            "/",
            "/origin",
            "not_an_https_origin",
        ),
        (shop, "", "/return_path", "not_a_path_of_origin"),
        (
            shop,
            "//evil.example/",
            "/return_path",
            "not_a_path_of_origin",
        ),
        (
            shop,
            "https://evil.example/",
            "/return_path",
            "not_a_path_of_origin",
        ),
        (
            shop,
            "/?card=4242424242424242",
            "/return_path",
            "card_number",
        ),
    ] {
        let answer = app.order_charge(&order(&token, origin, path), "k").await;
        let problem = answer.problem(422, "invalid_request");
        let told = json!({ "pointer": pointer, "reason": reason });
        assert_eq!(problem["errors"], json!([told]), "{origin} {path}");
    }
    for (missing, pointer) in [("origin", "/origin"), ("return_path", "/return_path")] {
        let mut half = order(&token, shop, "/");
        half.as_object_mut().unwrap().remove(missing);
        let problem = app
            .order_charge(&half, "k")
            .await
            .problem(422, "invalid_request");
        assert_eq!(problem["errors"][0]["pointer"], pointer);
    }
    // The key is free, and nothing was charged.
    let paid = app.order_charge(&order(&token, shop, "/"), "k").await;
    assert_eq!(paid.json()["status"], "succeeded", "{}", paid.json());
}

/// What is known is answered when the processor does not say more, late or never.
async fn a_reader_is_answered_while_the_processor_is_silent_or_fails(engine: Engine) {
    let app = App::on(engine);
    let token = app.token(ALWAYS_AUTHENTICATED).await;
    let order = order(&token, "https://shop.example", "/");
    let made = app.order_charge(&order, "k").await.json();
    assert_eq!(made["status"], "requires_action", "{made}");
    let url = format!(
        "{}/v1/charges/{}",
        app.at.internal,
        made["id"].as_str().unwrap()
    );
    for fault in [
        json!({ "fault": "hang", "delay_ms": 60_000 }),
        json!({ "fault": "status", "status": 500 }),
    ] {
        let mut fault = fault;
        fault["path"] = json!("/v1/payment_intents/*");
        fault["method"] = json!("GET");
        fault["times"] = json!(20);
        app.sandbox(Method::POST, "faults", &fault).await;
        let began = Instant::now();
        let read = app.get(Who::Billing, &url).await;
        assert_eq!(read.status, 200);
        assert_eq!(read.json()["status"], "requires_action");
        // Bounded, whatever the processor's own time limit is.
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "{:?}",
            began.elapsed()
        );
        app.sandbox(Method::DELETE, "faults", &Value::Null).await;
    }
}
