//! Who may do what, and what a request must look like.

use super::*;

impl Stage {
    async fn as_key(&self, method: &str, path: &str, body: &str, authorization: &str) -> Answer {
        let mut request = self.request(method, path, body);
        let value = authorization.parse().unwrap();
        request.headers_mut().insert("authorization", value);
        self.send(request).await
    }
}

#[actix_web::test]
async fn without_a_known_key_nothing_is_answered() {
    let stage = Stage::open();
    let mut request = stage.request("GET", "/v1/account", "");
    request.headers_mut().remove("authorization");
    let answer = stage.send(request).await;
    assert_eq!(answer.refusal(), (401, "invalid_request_error", "-"));
    assert!(answer.header("www-authenticate").is_some());
    for authorization in [
        "Bearer sk_test_other",
        "Bearer ",
        "Basic c2s=",
        "Digest x",
        "sk",
    ] {
        for path in ["/v1/account", "/v1/nothing", "/_sandbox/ledger"] {
            let answer = stage.as_key("GET", path, "", authorization).await;
            assert_eq!(answer.status, 401, "{authorization} {path}");
        }
    }
}

#[actix_web::test]
async fn a_key_may_come_as_bearer_or_as_a_user_name() {
    use base64::Engine as _;
    let stage = Stage::open();
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("{SECRET}:"));
    for authorization in [format!("Bearer {SECRET}"), format!("Basic {basic}")] {
        let answer = stage.as_key("GET", "/v1/account", "", &authorization).await;
        assert_eq!(answer.body["object"], "account");
    }
}

#[actix_web::test]
async fn a_restricted_key_vaults_cards_and_nothing_else() {
    let stage = Stage::open();
    let restricted = format!("Bearer {RESTRICTED}");
    let customer = stage.customer().await;
    let form = card_form("4242424242424242", "12", "2031", "123");
    let method = stage
        .as_key("POST", "/v1/payment_methods", &form, &restricted)
        .await
        .id();
    let form = format!("customer={customer}&payment_method={method}&confirm=true");
    let setup = stage
        .as_key("POST", "/v1/setup_intents", &form, &restricted)
        .await
        .id();
    for path in [
        format!("/v1/customers/{customer}"),
        format!("/v1/payment_methods/{method}"),
        format!("/v1/setup_intents/{setup}"),
    ] {
        assert_eq!(
            stage.as_key("GET", &path, "", &restricted).await.status,
            200
        );
    }
    for (method, path) in [
        ("POST", "/v1/customers"),
        ("POST", "/v1/payment_intents"),
        ("GET", "/v1/payment_intents"),
        ("GET", "/v1/payment_intents/search?query=status:'succeeded'"),
        ("GET", "/v1/payment_intents/pi_x"),
        ("POST", "/v1/payment_intents/pi_x/confirm"),
        ("POST", "/v1/payment_intents/pi_x/capture"),
        ("POST", "/v1/payment_intents/pi_x/cancel"),
        ("GET", "/v1/charges/ch_x"),
        ("POST", "/v1/refunds"),
        ("GET", "/v1/refunds"),
        ("GET", "/v1/refunds/re_x"),
        ("GET", "/v1/account"),
        ("GET", "/_sandbox/ledger"),
        ("POST", "/_sandbox/faults"),
        ("POST", "/_sandbox/settings"),
    ] {
        let answer = stage.as_key(method, path, "", &restricted).await;
        assert_eq!(
            answer.refusal(),
            (403, "invalid_request_error", "-"),
            "{path}"
        );
        assert!(
            answer
                .text
                .contains("does not have the required permissions")
        );
    }
}

#[actix_web::test]
async fn what_does_not_exist_is_missing_by_path_and_by_parameter() {
    let stage = Stage::open();
    for path in [
        "/v1/customers/cus_x",
        "/v1/payment_methods/pm_x",
        "/v1/setup_intents/seti_x",
        "/v1/payment_intents/pi_x",
        "/v1/charges/ch_x",
        "/v1/refunds/re_x",
    ] {
        let answer = stage.get(path).await;
        assert_eq!(
            answer.refusal(),
            (404, "invalid_request_error", "resource_missing"),
            "{path}"
        );
    }
    let answer = stage.post("/v1/refunds", "payment_intent=pi_x").await;
    assert_eq!(answer.status, 400);
    assert_eq!(stage.post("/v1/refunds", "").await.status, 400);
    assert_eq!(stage.get("/v1/nothing").await.status, 404);
    assert_eq!(stage.get("/authenticate/pi_x").await.status, 404);
    assert_eq!(stage.get("/_sandbox/nothing").await.status, 404);
    assert_eq!(stage.ledger().await["requests"]["other"], 1);
}

#[actix_web::test]
async fn a_card_number_in_a_wrong_place_is_not_repeated() {
    let stage = Stage::open();
    let number = UNPUBLISHED;
    for body in [
        format!("customer={number}"),
        format!("payment_method={number}"),
        format!("{number}=1"),
        format!("usage={number}"),
        format!("confirm={number}"),
        format!("return_url={number}"),
    ] {
        assert_eq!(stage.post("/v1/setup_intents", &body).await.status, 400);
    }
    for path in ["payment_methods", "customers", "charges"] {
        let answer = stage.get(&format!("/v1/{path}/{number}")).await;
        assert_eq!(answer.status, 404);
    }
    assert_eq!(
        stage
            .get(&format!("/v1/refunds?limit={number}"))
            .await
            .status,
        400
    );
    assert!(!stage.ledger().await.to_string().contains(number));
}

#[actix_web::test]
async fn every_answer_names_its_request_and_version() {
    let stage = Stage::open();
    let answer = stage.get("/v1/account").await;
    assert!(answer.header("request-id").unwrap().starts_with("req_"));
    assert!(answer.header("stripe-version").is_some());
    let mut request = stage.request("GET", "/v1/account", "");
    request
        .headers_mut()
        .insert("stripe-version", "2020-08-27".parse().unwrap());
    let answer = stage.send(request).await;
    assert_eq!(answer.header("stripe-version"), Some("2020-08-27"));
}

#[actix_web::test]
async fn an_oversized_body_is_refused_and_the_connection_closed() {
    let stage = Stage::open();
    let body = format!("description={}", "x".repeat(512 * 1_024));
    let answer = stage.post("/v1/payment_intents", &body).await;
    assert_eq!(answer.status, 413);
    assert_eq!(answer.header("connection"), Some("close"));
}

#[actix_web::test]
async fn only_a_connection_that_carried_a_card_is_closed() {
    let stage = Stage::open();
    let order = stage.order("4242424242424242").await;
    let charged = stage.post("/v1/payment_intents", &order).await;
    assert_eq!(charged.header("connection"), None);
    let astray = stage
        .post("/v1/setup_intents", "card%5Bnumber%5D=4242")
        .await;
    assert_eq!(astray.status, 400);
    assert_eq!(astray.header("connection"), Some("close"));
}

#[actix_web::test]
async fn the_greetings_list_is_the_table() {
    let listed: Vec<_> = super::super::TEST_CARDS
        .iter()
        .map(|(number, _)| *number)
        .collect();
    let known: Vec<_> = TABLE.iter().map(|card| card.number).collect();
    assert_eq!(listed, known);
}
