//! 3-D Secure: when the issuer asks, what the page does, and what is left after it.

use super::*;

const BACK: &str = "return_url=https://shop.example/back?cart=9";

impl Stage {
    async fn answer_page(&self, intent: &Value, outcome: &str) -> (String, String) {
        let url = intent["next_action"]["redirect_to_url"]["url"]
            .as_str()
            .unwrap();
        assert!(url.starts_with(&self.base_url));
        let page = self.get(url).await;
        assert!(page.text.contains("Complete") && page.text.contains("Fail"));
        let back = self.post(url, &format!("outcome={outcome}")).await;
        assert_eq!(back.status, 303, "{}", back.text);
        let back = url::Url::parse(back.header("location").unwrap()).unwrap();
        let query = |name: &str| {
            let mut pairs = back.query_pairs();
            pairs
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.into_owned())
        };
        assert_eq!(query("cart").as_deref(), Some("9"));
        let object = intent["object"].as_str().unwrap();
        let secret = query(&format!("{object}_client_secret"));
        assert_eq!(secret.as_deref(), intent["client_secret"].as_str());
        (query(object).unwrap(), query("redirect_status").unwrap())
    }

    async fn begin_set_up(&self, number: &str) -> Answer {
        let (customer, method) = (self.customer().await, self.method(number).await);
        let form = format!("customer={customer}&payment_method={method}&confirm=true&{BACK}");
        self.post("/v1/setup_intents", &form).await
    }

    async fn charge_present(&self, number: &str) -> Answer {
        let order = self.order(number).await.replace("&off_session=true", "");
        self.post("/v1/payment_intents", &format!("{order}&{BACK}"))
            .await
    }
}

#[actix_web::test]
async fn cards_that_ask_at_set_up_wait_for_the_cardholder() {
    let stage = Stage::open();
    for (number, asks) in [
        ("4242424242424242", false),
        ("4000000000003220", true),
        ("4000002500003155", true),
        ("4000002760003184", true),
        ("4000003800000446", false),
        ("4000008260003178", true),
        ("4000008400001629", true),
    ] {
        let setup = stage.begin_set_up(number).await.body;
        let expected = if asks { "requires_action" } else { "succeeded" };
        assert_eq!(setup["status"], expected, "{number}");
        if !asks {
            assert_eq!(setup["next_action"], Value::Null);
            continue;
        }
        assert_eq!(setup["next_action"]["type"], "redirect_to_url");
        let (id, status) = stage.answer_page(&setup, "complete").await;
        assert_eq!(
            (id.as_str(), status.as_str()),
            (setup["id"].as_str().unwrap(), "succeeded")
        );
        let read = stage.get(&format!("/v1/setup_intents/{id}")).await.body;
        assert_eq!(read["status"], "succeeded");
        let method = read["payment_method"].as_str().unwrap();
        let method = stage
            .get(&format!("/v1/payment_methods/{method}"))
            .await
            .body;
        assert_eq!(method["customer"], read["customer"]);
    }
}

#[actix_web::test]
async fn a_failed_page_leaves_the_set_up_without_a_method() {
    let stage = Stage::open();
    let setup = stage.begin_set_up("4000002500003155").await.body;
    let (id, status) = stage.answer_page(&setup, "fail").await;
    assert_eq!(status, "failed");
    let read = stage.get(&format!("/v1/setup_intents/{id}")).await.body;
    assert_eq!(read["status"], "requires_payment_method");
    assert_eq!(read["payment_method"], Value::Null);
    assert_eq!(
        read["last_setup_error"]["code"],
        "setup_intent_authentication_failure"
    );
    // Answered once, the page is gone.
    let page = format!("/authenticate/{id}");
    assert_eq!(stage.get(&page).await.status, 404);
    assert_eq!(stage.post(&page, "outcome=complete").await.status, 404);
}

#[actix_web::test]
async fn a_set_up_is_confirmed_later_or_canceled() {
    let stage = Stage::open();
    let (customer, method) = (
        stage.customer().await,
        stage.method("4242424242424242").await,
    );
    let form = format!("customer={customer}");
    let first = stage.post("/v1/setup_intents", &form).await;
    assert_eq!(first.body["status"], "requires_payment_method");
    let confirm = format!("/v1/setup_intents/{}/confirm", first.id());
    assert_eq!(stage.post(&confirm, "").await.status, 400);
    let done = stage
        .post(&confirm, &format!("payment_method={method}"))
        .await;
    assert_eq!(done.body["status"], "succeeded");
    let cancel = format!("/v1/setup_intents/{}/cancel", first.id());
    let late = stage.post(&cancel, "").await;
    assert_eq!(
        late.refusal(),
        (
            400,
            "invalid_request_error",
            "setup_intent_unexpected_state"
        )
    );
    let second = stage.post("/v1/setup_intents", &form).await.id();
    let canceled = stage
        .post(&format!("/v1/setup_intents/{second}/cancel"), "")
        .await;
    assert_eq!(canceled.body["status"], "canceled");
}

#[actix_web::test]
async fn off_session_a_card_passes_or_wants_its_holder() {
    let stage = Stage::open();
    for (number, status, code) in [
        ("4000000000003220", 200, "-"),
        ("4000002500003155", 200, "-"),
        ("4000002760003184", 402, "authentication_required"),
        ("4000003800000446", 200, "-"),
        ("4000008260003178", 402, "insufficient_funds"),
        ("4000008400001629", 402, "generic_decline"),
    ] {
        let answer = stage.charge_off_session(number).await;
        assert_eq!(answer.status, status, "{number} {}", answer.text);
        if status == 402 {
            assert_eq!(answer.error()["decline_code"], code, "{number}");
            let intent = &answer.error()["payment_intent"];
            assert_eq!(intent["status"], "requires_payment_method");
        }
    }
}

#[actix_web::test]
async fn a_card_that_was_never_set_up_wants_its_holder_off_session() {
    let stage = Stage::open();
    for number in ["4000000000003220", "4000002500003155", "4000002760003184"] {
        let (customer, method) = (stage.customer().await, stage.method(number).await);
        let order = format!(
            "amount=100&currency=eur&customer={customer}&payment_method={method}&confirm=true&off_session=true"
        );
        let answer = stage.post("/v1/payment_intents", &order).await;
        assert_eq!(
            answer.refusal(),
            (402, "card_error", "authentication_required")
        );
    }
}

#[actix_web::test]
async fn a_refused_off_session_charge_recovers_with_its_holder() {
    let stage = Stage::open();
    let order = stage.order("4000002760003184").await;
    let refused = stage.post("/v1/payment_intents", &order).await;
    assert_eq!(
        refused.refusal(),
        (402, "card_error", "authentication_required")
    );
    let intent = refused.error()["payment_intent"]["id"].as_str().unwrap();
    let method = refused.error()["payment_method"]["id"].as_str().unwrap();
    let confirm = format!("/v1/payment_intents/{intent}/confirm");
    let waiting = stage
        .post(&confirm, &format!("payment_method={method}&{BACK}"))
        .await
        .body;
    assert_eq!(waiting["status"], "requires_action");
    let (id, status) = stage.answer_page(&waiting, "complete").await;
    assert_eq!((id.as_str(), status.as_str()), (intent, "succeeded"));
    let read = stage
        .get(&format!("/v1/payment_intents/{intent}"))
        .await
        .body;
    assert_eq!(read["status"], "succeeded");
    assert_eq!(read["last_payment_error"], Value::Null);
}

#[actix_web::test]
async fn with_the_holder_present_the_issuer_decides_after_the_page() {
    let stage = Stage::open();
    for (number, outcome, status, error) in [
        ("4000000000003220", "complete", "succeeded", "-"),
        ("4000002760003184", "complete", "succeeded", "-"),
        ("4000003800000446", "complete", "succeeded", "-"),
        (
            "4000002760003184",
            "fail",
            "failed",
            "payment_intent_authentication_failure",
        ),
        ("4000008260003178", "complete", "failed", "card_declined"),
        ("4000008400001629", "complete", "failed", "card_declined"),
    ] {
        let intent = stage.charge_present(number).await.body;
        assert_eq!(intent["status"], "requires_action", "{number}");
        let (id, told) = stage.answer_page(&intent, outcome).await;
        assert_eq!(told, status, "{number}");
        let read = stage.get(&format!("/v1/payment_intents/{id}")).await.body;
        let code = read["last_payment_error"]["code"].as_str().unwrap_or("-");
        assert_eq!(code, error, "{number}");
    }
    let free = stage.charge_present("4000002500003155").await;
    assert_eq!(free.body["status"], "succeeded");
}

#[actix_web::test]
async fn a_first_payment_sets_the_card_up() {
    let stage = Stage::open();
    let (customer, method) = (
        stage.customer().await,
        stage.method("4000002500003155").await,
    );
    let order =
        format!("amount=100&currency=eur&customer={customer}&payment_method={method}&confirm=true");
    let first = format!("{order}&setup_future_usage=off_session&{BACK}");
    let intent = stage.post("/v1/payment_intents", &first).await.body;
    stage.answer_page(&intent, "complete").await;
    let later = stage
        .post("/v1/payment_intents", &format!("{order}&off_session=true"))
        .await;
    assert_eq!(later.body["status"], "succeeded");
}

#[actix_web::test]
async fn a_caller_may_refuse_to_wait_and_may_have_no_return_url() {
    let stage = Stage::open();
    let order = stage
        .order("4000002760003184")
        .await
        .replace("&off_session=true", "");
    let impatient = format!("{order}&error_on_requires_action=true");
    let answer = stage.post("/v1/payment_intents", &impatient).await;
    assert_eq!(
        answer.refusal(),
        (402, "card_error", "authentication_required")
    );
    let waiting = stage.post("/v1/payment_intents", &order).await.body;
    assert_eq!(waiting["next_action"]["type"], "use_stripe_sdk");
    let page = format!("/authenticate/{}", waiting["id"].as_str().unwrap());
    assert_eq!(stage.post(&page, "outcome=complete").await.status, 200);
}
