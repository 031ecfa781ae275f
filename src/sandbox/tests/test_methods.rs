//! Methods that a browser made: Stripe's test names, the control that stands for its script.

use super::*;

#[actix_web::test]
async fn a_test_method_makes_a_fresh_one_wherever_it_is_named() {
    let stage = Stage::open();
    let customer = stage.customer().await;
    let read = stage.get("/v1/payment_methods/pm_card_visa").await;
    assert_eq!(read.body["card"]["last4"], "4242");
    assert_eq!(read.body["card"]["exp_year"], 2029);
    assert!(read.id().starts_with("pm_1Sbx"));
    let form = format!("customer={customer}");
    let path = "/v1/payment_methods/pm_card_mastercard/attach";
    let attached = stage.post(path, &form).await;
    assert_eq!(attached.body["customer"], customer.as_str());
    assert_eq!(attached.body["card"]["brand"], "mastercard");
    let form = format!("{form}&payment_method=pm_card_visa&confirm=true");
    let setup = stage.post("/v1/setup_intents", &form).await;
    assert_eq!(setup.body["status"], "succeeded");
    let method = setup.body["payment_method"].as_str().unwrap();
    assert!(method.starts_with("pm_1Sbx") && method != read.id());
    let form = format!("{form}&amount=100&currency=eur");
    let paid = stage.post("/v1/payment_intents", &form).await;
    assert_eq!(paid.body["status"], "succeeded");
    let path = format!("/v1/customers/{customer}/payment_methods");
    assert_eq!(stage.ids(&path).await.0, [method.to_owned(), attached.id()]);
    assert_eq!(
        stage.get("/v1/payment_methods/pm_card_gold").await.status,
        404
    );
}

#[actix_web::test]
async fn a_test_method_does_what_its_name_says() {
    let stage = Stage::open();
    let customer = stage.customer().await;
    for (name, outcome) in [
        ("pm_card_visa", "succeeded"),
        ("pm_card_chargeDeclined", "generic_decline"),
        (
            "pm_card_visa_chargeDeclinedInsufficientFunds",
            "insufficient_funds",
        ),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card"),
        ("pm_card_authenticationRequired", "authentication_required"),
        (
            "pm_card_authenticationRequiredSetupForOffSession",
            "succeeded",
        ),
    ] {
        let form = format!(
            "amount=100&currency=eur&customer={customer}&payment_method={name}&confirm=true&off_session=true"
        );
        let answer = stage.post("/v1/payment_intents", &form).await;
        let told = if answer.status == 200 {
            &answer.body["status"]
        } else {
            &answer.error()["decline_code"]
        };
        assert_eq!(told, outcome, "{name}");
    }
}

#[actix_web::test]
async fn a_browser_may_hand_in_a_card_where_the_server_may_not() {
    let stage = Stage::open();
    stage.settings(r#"{"raw_cards":false}"#).await;
    let form = card_form("4000002500003155", "12", "2031", "123");
    let refused = stage.post("/v1/payment_methods", &form).await;
    assert_eq!(refused.refusal(), (402, "invalid_request_error", "-"));
    let sentence = "Sending credit card numbers directly to the Stripe API";
    assert!(refused.text.contains(sentence));
    let made = stage.post("/_sandbox/payment_methods", &form).await;
    assert_eq!(made.body["card"]["last4"], "3155");
    assert_eq!(made.header("connection"), Some("close"));
    let customer = stage.customer().await;
    let form = format!(
        "customer={customer}&payment_method={}&confirm=true",
        made.id()
    );
    let setup = stage.post("/v1/setup_intents", &form).await;
    assert_eq!(setup.body["status"], "requires_action");
    let wrong = card_form("4242424242424241", "12", "2031", "123");
    assert_eq!(
        stage.post("/_sandbox/payment_methods", &wrong).await.status,
        402
    );
}
